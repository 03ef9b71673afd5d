/* ledger verify: the bytes by ledger/verify, the meaning by the judge, in one pass. Needs no agent.
 */
#include "cli/cmd_ledger.h"

#include "cli/file.h"
#include "cli/judge.h"
#include "core/parse.h"
#include "core/roots.h"

#include <stdlib.h>

struct expectation {
    bool given;
    struct kv_checkpoint checkpoint;
    struct kv_buf note; /* of a file: its signature is checked once the key is known */
};

/* SIZE:ROOT, or a file that holds a checkpoint. */
static enum kv_code read_expectation(const struct cli *cli, struct expectation *out,
                                     struct kv_err *err)
{
    const char *value = cli_get(cli, "expect");
    kv_buf_init(&out->note, KV_NOTE_MAX);
    out->given = value != NULL;
    if (value == NULL) {
        return KV_OK;
    }
    size_t size = strcspn(value, ":");
    if (value[size] == ':' &&
        kv_parse_u64(kv_bytes(value, size), KV_NUMBER_MAX, &out->checkpoint.size)) {
        return kv_hash_from_base64(kv_bytes_str(value + size + 1), &out->checkpoint.root)
                   ? KV_OK
                   : KV_REFUSE(err, KV_E_USAGE, "--expect: the root is not a base64 SHA-256");
    }
    if (cli_file_read(value, &out->note, err) != KV_OK) {
        return err->code;
    }
    struct kv_bytes note = kv_buf_bytes(&out->note);
    const uint8_t *end = memmem(note.ptr, note.len, "\n\n", 2);
    if (end == NULL) {
        return KV_REFUSE(err, KV_E_LEDGER_NOTE, "--expect: %.100s is not a checkpoint", value);
    }
    return kv_checkpoint_parse(kv_bytes(note.ptr, (size_t)(end - note.ptr) + 1), &out->checkpoint,
                               err);
}

static enum kv_code read_vkey(const struct cli *cli, struct kv_vkey *out, bool *given,
                              struct kv_err *err)
{
    const char *path = cli_get(cli, "vkey");
    struct kv_buf text;
    *given = path != NULL;
    if (path == NULL) {
        return KV_OK;
    }
    kv_buf_init(&text, 4096);
    enum kv_code code = cli_file_read(path, &text, err);
    if (code == KV_OK) {
        code = kv_vkey_parse(kv_buf_bytes(&text), out, err);
        code = code == KV_OK ? KV_OK : kv_wrap(err, "%.80s", path);
    }
    kv_buf_clear(&text);
    return code;
}

static json_t *finding_json(const struct kv_finding *f)
{
    json_t *object = json_pack("{s:i,s:s,s:s,s:s}", "exit", (int)f->exit, "stage", f->stage, "file",
                               f->file, "what", f->what);
    if (f->line > 0) {
        json_object_set_new(object, "line", json_integer((json_int_t)f->line));
    }
    if (f->seq != KV_NO_SEQ) {
        json_object_set_new(object, "seq", json_integer((json_int_t)f->seq));
    }
    return object;
}

static void put_finding(const struct kv_finding *f)
{
    cli_say("FAIL %d %s", (int)f->exit, f->file[0] == '\0' ? "-" : f->file);
    if (f->line > 0) {
        cli_say(":%llu", (unsigned long long)f->line);
    }
    if (f->seq != KV_NO_SEQ) {
        cli_say(" seq %llu", (unsigned long long)f->seq);
    }
    cli_say("%s%s: ", f->event[0] == '\0' ? "" : " ", f->event);
    cli_put(stdout, kv_bytes_str(f->what));
    cli_say("\n");
}

/* The vault's name: that of the key without its last part. */
static int name_len(const struct kv_verify_result *result)
{
    const char *last = strrchr(result->vkey.name, '/');
    return (int)(last == NULL ? strlen(result->vkey.name) : (size_t)(last - result->vkey.name));
}

/* What was checked, for both ways to tell it. */
struct report {
    const struct kv_verify_result *result;
    uint64_t total;     /* records there, also behind a bad one */
    uint64_t covered;   /* of them, under the checkpoint */
    uint64_t in_flight; /* intents that may still get their outcome */
    struct judge_evidence evidence;
    bool makers; /* of TPMs, checked */
};

static void put_text(const struct report *report)
{
    const struct kv_verify_result *result = report->result;
    const struct kv_findings *findings = &result->findings;
    const struct kv_finding *first = kv_findings_first(findings);
    char id[9];
    kv_hex_encode(kv_bytes(result->vkey.id, sizeof result->vkey.id), id);
    if (first == NULL) {
        cli_say("GOOD nothing found\n");
    } else {
        put_finding(first);
    }
    cli_say("vault %.*s%s   key %s from %s   %llu of %llu records good, %llu covered",
            name_len(result), result->vkey.name, result->test ? " (TEST)" : "", id,
            result->vkey_from_folder ? "the folder itself" : "--vkey",
            (unsigned long long)result->records_good, (unsigned long long)report->total,
            (unsigned long long)report->covered);
    if (report->in_flight > 0) {
        cli_say(", %llu in flight", (unsigned long long)report->in_flight);
    }
    cli_say("\n");
    if (report->evidence.certified + report->evidence.attested > 0) {
        cli_say("keys %llu certified by a TPM, %llu attested by its maker%s\n",
                (unsigned long long)report->evidence.certified,
                (unsigned long long)report->evidence.attested,
                report->evidence.attested == 0 ? ""
                : report->makers
                    ? " (checked with --tpm-roots)"
                    : " (not checked here: name your list of makers with --tpm-roots)");
    }
    for (size_t i = 0; i < findings->count; i++) {
        if (&findings->list[i] != first) {
            put_finding(&findings->list[i]);
        }
    }
    if (result->vkey_from_folder) {
        fputs("warning: the key came from what is being checked; compare it with your own copy, "
              "or name that with --vkey\n",
              stderr);
    }
}

static void put_json(const struct report *report)
{
    const struct kv_verify_result *result = report->result;
    const struct kv_findings *findings = &result->findings;
    const struct kv_finding *first = kv_findings_first(findings);
    char vkey[KV_VKEY_TEXT_LEN];
    char root[KV_HASH_BASE64_LEN];
    kv_vkey_format(&result->vkey, vkey);
    kv_hash_base64(&result->checkpoint.root, root);
    json_t *list = json_array();
    for (size_t i = 0; i < findings->count; i++) {
        json_array_append_new(list, finding_json(&findings->list[i]));
    }
    enum kv_verify_exit exit = kv_findings_exit(findings);
    json_t *object = json_pack(
        "{s:i,s:o,s:o,s:I,s:I,s:s,s:I,s:I,s:b,s:s#,s:s,s:{s:I,s:I,s:b}}", "exit", (int)exit,
        "first", first == NULL ? json_null() : finding_json(first), "findings", list, "records",
        (json_int_t)report->total, "size", (json_int_t)result->checkpoint.size, "root", root,
        "covered", (json_int_t)report->covered, "inFlight", (json_int_t)report->in_flight, "test",
        result->test, "vault", result->vkey.name, name_len(result), "key", vkey, "tpmKeys",
        "certified", (json_int_t)report->evidence.certified, "attested",
        (json_int_t)report->evidence.attested, "makersChecked", report->makers);
    cli_put_json(object);
    json_decref(object);
}

/* The local ledger: the verification becomes a record, if the agent runs and lets us. */
static void note_run(struct cli *cli, const struct report *report)
{
    const struct kv_verify_result *result = report->result;
    struct kv_api_answer answer;
    struct kv_err ignored;
    char root[KV_HASH_BASE64_LEN];
    kv_hash_base64(&result->checkpoint.root, root);
    json_t *args = json_pack("{s:I,s:I,s:s,s:i}", "records", (json_int_t)report->total, "size",
                             (json_int_t)result->checkpoint.size, "root", root, "exit", cli->exit);
    if (cli_call(cli, KV_CALL_VERIFIED, args, &answer, &ignored) != KV_OK) {
        fprintf(stderr, "not noted in the ledger: %s\n", ignored.msg);
    }
    kv_api_answer_clear(&answer);
}

/* The findings of both stages; those of the meaning count only if the bytes are good. */
static void join(struct kv_findings *into, const struct kv_verify_result *result,
                 const struct kv_findings *judged)
{
    for (size_t i = 0; result->stage_a_good && i < judged->count; i++) {
        kv_findings_add(into, &judged->list[i]);
    }
    for (int e = 0; result->stage_a_good && e < (int)KV_COUNT(judged->exits); e++) {
        into->exits[e] = into->exits[e] || judged->exits[e];
    }
}

/* Verification stops reading at the first bad record; how many there are is told all the same. */
static uint64_t count_rest(struct kv_reader *reader)
{
    struct kv_bytes line;
    struct kv_err ignored;
    bool more = true;
    while (more && kv_reader_next(reader, &line, &more, &ignored) == KV_OK) {
        continue;
    }
    return kv_reader_count(reader);
}

static enum kv_code verify(struct cli *cli, struct kv_reader *reader, const struct kv_vkey *vkey,
                           const struct kv_roots *roots, const struct expectation *expected,
                           bool local, struct kv_err *err)
{
    struct cli_progress progress;
    struct kv_verify_result result = {0};
    KV_CLEANUP(judge_freep) struct judge *judge = NULL;
    cli_progress_begin(&progress, cli->terminal, "records read");
    judge = judge_new(reader, roots, &progress);
    struct kv_verify_options options = {.vkey = vkey,
                                        .expect = expected->given ? &expected->checkpoint : NULL,
                                        .on_entry = judge_entry,
                                        .ctx = judge};
    enum kv_code code = kv_verify(reader, &options, &result, err);
    if (code == KV_OK && result.stage_a_good && !result.newer) {
        code = judge_finish(judge, &result.vkey, err);
    }
    cli_progress_end(&progress);
    if (code == KV_OK && expected->note.len > 0) {
        struct kv_checkpoint opened;
        code = kv_checkpoint_open(kv_buf_bytes(&expected->note), &result.vkey, 1, &opened, err);
        code = code == KV_OK ? KV_OK : kv_wrap(err, "--expect");
    }
    if (code == KV_OK) {
        join(&result.findings, &result, judge_findings(judge));
        enum kv_verify_exit exit = kv_findings_exit(&result.findings);
        cli->exit = (int)exit;
        uint64_t total = count_rest(reader);
        uint64_t size = result.checkpoint.size;
        struct report report = {.result = &result,
                                .total = total,
                                .covered = size < total ? size : total,
                                .in_flight = judge_in_flight(judge),
                                .evidence = judge_evidence(judge),
                                .makers = roots != NULL};
        (cli->json ? put_json : put_text)(&report);
        if (local) {
            note_run(cli, &report);
        }
    }
    kv_verify_result_clear(&result);
    return code;
}

enum kv_code ledger_verify(struct cli *cli, struct kv_err *err)
{
    struct kv_vkey vkey;
    bool vkey_given;
    struct expectation expected = {0};
    KV_CLEANUP(kv_freep) char *folder = NULL;
    KV_CLEANUP(kv_reader_freep) struct kv_reader *reader = NULL;
    KV_CLEANUP(kv_roots_freep) struct kv_roots *roots = NULL;
    const char *makers = cli_get(cli, "tpm-roots");
    const char *named = cli_operand(cli, 0);
    enum kv_code code = read_vkey(cli, &vkey, &vkey_given, err);
    if (code == KV_OK) {
        code = read_expectation(cli, &expected, err);
    }
    if (code == KV_OK && makers != NULL) {
        code = kv_roots_load(makers, &roots, err);
    }
    if (code == KV_OK && named == NULL) {
        code = ledger_folder(cli, &folder, err);
    }
    if (code == KV_OK) {
        code = ledger_readable(cli, named == NULL ? folder : named, err);
    }
    if (code == KV_OK) {
        code = kv_reader_open(named == NULL ? folder : named, &reader, err);
    }
    if (code == KV_OK) {
        code = verify(cli, reader, vkey_given ? &vkey : NULL, roots, &expected, named == NULL, err);
    }
    kv_buf_clear(&expected.note);
    return code;
}
