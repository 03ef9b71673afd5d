/* ledger export, ledger prove: evidence for those who check without us. */
#include "cli/cmd_ledger.h"

#include "cli/out.h"
#include "core/parse.h"
#include "ledger/export.h"
#include "policy/state.h"

#include <stdlib.h>
#include <unistd.h>

#define PROOFS_MAX  1024
#define SIGNERS_MAX (4 * 1024 * 1024)

/* The fold beside an export, for the list of signers; a damaged ledger is exported as far as it is
 * good. */
struct signers {
    struct kv_state *state;
    bool ended;
    struct kv_buf text;
    struct cli_progress progress;
};

static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct kv_tree *tree = ctx;
    if (size > kv_tree_size(tree)) {
        return false;
    }
    *out = kv_tree_root(tree, size);
    return true;
}

static enum kv_code on_entry(void *ctx, const struct kv_entry *entry, struct kv_err *err)
{
    struct signers *signers = ctx;
    struct kv_log_view view = {root_at, (void *)(uintptr_t)entry->tree, entry->covered, UINT64_MAX};
    struct kv_err why;
    (void)err;
    cli_progress_at(&signers->progress, entry->rec->seq + 1);
    signers->ended = signers->ended || kv_state_apply(signers->state, entry->rec, &entry->blobs,
                                                      &view, &why) != KV_OK;
    return KV_OK;
}

static enum kv_code on_signers(void *ctx, struct kv_bytes *text, struct kv_err *err)
{
    struct signers *signers = ctx;
    kv_state_allowed_signers(signers->state, &signers->text);
    if (signers->text.failed) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the list of signers");
    }
    *text = kv_buf_bytes(&signers->text);
    return KV_OK;
}

static enum kv_code add_seq(uint64_t *seqs, size_t *count, struct kv_bytes text, struct kv_err *err)
{
    if (*count == PROOFS_MAX) {
        return KV_REFUSE(err, KV_E_USAGE, "at most %d proofs at once", PROOFS_MAX);
    }
    if (!kv_parse_u64(text, KV_NUMBER_MAX, &seqs[*count])) {
        return KV_REFUSE(err, KV_E_USAGE, "'%.*s' is not the number of a record", (int)text.len,
                         (const char *)text.ptr);
    }
    (*count)++;
    return KV_OK;
}

/* --proof 4,17, repeated or not. */
static enum kv_code read_proofs(const struct cli *cli, uint64_t *seqs, size_t *count,
                                struct kv_err *err)
{
    const char *value;
    for (size_t i = 0; (value = cli_get_n(cli, "proof", i)) != NULL; i++) {
        for (;;) {
            size_t len = strcspn(value, ",");
            if (add_seq(seqs, count, kv_bytes(value, len), err) != KV_OK) {
                return err->code;
            }
            if (value[len] == '\0') {
                break;
            }
            value += len + 1;
        }
    }
    return KV_OK;
}

/* The agent signs what there is and notes the export. Without an agent, or with a damaged ledger,
 * what lies on disk is exported as it is. */
static enum kv_code announce(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    json_t *args = json_pack("{s:b}", "private", cli_flag(cli, "with-private"));
    enum kv_code code = cli_call(cli, KV_CALL_EXPORT, args, &answer, err);
    kv_api_answer_clear(&answer);
    if (code == KV_E_UNREACHABLE || code == KV_E_LEDGER_SAFE || code == KV_E_STARTING ||
        code == KV_E_LEDGER_NEWER) {
        fprintf(stderr,
                "the export is not noted in the ledger, and its end may not be covered: %s\n",
                err->msg);
        json_decref(cli->problem);
        cli->problem = NULL;
        return KV_OK;
    }
    return code;
}

static void tell(const struct cli *cli, const char *target, const struct kv_export_result *result)
{
    char root[KV_HASH_BASE64_LEN];
    kv_hash_base64(&result->root, root);
    if (cli->json) {
        json_t *object =
            json_pack("{s:s,s:I,s:I,s:s}", "dir", target, "records", (json_int_t)result->records,
                      "size", (json_int_t)result->size, "root", root);
        cli_put_json(object);
        json_decref(object);
        return;
    }
    cli_say("%llu records are in %s, %llu of them under the checkpoint %llu:%s\n"
            "next: hand the folder to the auditor; its README has the commands that check it.\n",
            (unsigned long long)result->records, target, (unsigned long long)result->size,
            (unsigned long long)result->size, root);
}

static enum kv_code export_to(struct cli *cli, const char *folder, const uint64_t *seqs,
                              size_t count, struct kv_err *err)
{
    const char *target = cli_operand(cli, 0);
    struct signers signers = {.state = kv_state_new()};
    struct kv_export_result result;
    kv_buf_init(&signers.text, SIGNERS_MAX);
    cli_progress_begin(&signers.progress, cli->terminal, "records exported");
    struct kv_export_options options = {.ledger_path = folder,
                                        .target_path = target,
                                        .proofs = seqs,
                                        .proof_count = count,
                                        .with_private = cli_flag(cli, "with-private"),
                                        .on_entry = on_entry,
                                        .signers = on_signers,
                                        .ctx = &signers};
    enum kv_code code = kv_export(&options, &result, err);
    cli_progress_end(&signers.progress);
    kv_buf_clear(&signers.text);
    kv_state_free(signers.state);
    if (code == KV_OK) {
        tell(cli, target, &result);
    }
    return code;
}

enum kv_code ledger_export(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) uint64_t *seqs = calloc(PROOFS_MAX, sizeof *seqs);
    KV_CLEANUP(kv_freep) char *folder = NULL;
    size_t count = 0;
    if (seqs == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the list of proofs");
    }
    if (read_proofs(cli, seqs, &count, err) != KV_OK || ledger_folder(cli, &folder, err) != KV_OK) {
        return err->code;
    }
    if (access(cli_operand(cli, 0), F_OK) == 0) {
        return KV_REFUSE(err, KV_E_USAGE, "%.120s exists already; nothing was written",
                         cli_operand(cli, 0));
    }
    if (ledger_readable(cli, folder, err) != KV_OK) {
        return err->code;
    }
    return announce(cli, err) == KV_OK ? export_to(cli, folder, seqs, count, err) : err->code;
}

enum kv_code ledger_prove(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) uint64_t *seqs = calloc(PROOFS_MAX, sizeof *seqs);
    KV_CLEANUP(kv_freep) char *folder = NULL;
    size_t count = 0;
    const char *word;
    const char *out = cli_get(cli, "out");
    out = out == NULL ? "." : out;
    if (seqs == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the list of proofs");
    }
    while ((word = cli_operand(cli, count)) != NULL) {
        if (add_seq(seqs, &count, kv_bytes_str(word), err) != KV_OK) {
            return err->code;
        }
    }
    if (ledger_folder(cli, &folder, err) != KV_OK || ledger_readable(cli, folder, err) != KV_OK ||
        kv_prove(folder, seqs, count, out, err) != KV_OK) {
        return err->code;
    }
    json_t *files = json_array();
    for (size_t i = 0; i < count; i++) {
        unsigned long long seq = seqs[i];
        json_array_append_new(files, json_sprintf("%s/%llu.json", out, seq));
        json_array_append_new(files, json_sprintf("%s/%llu.tlog-proof", out, seq));
        if (!cli->json) {
            cli_say("%s/%llu.json\n%s/%llu.tlog-proof\n", out, seq, out, seq);
        }
    }
    if (cli->json) {
        json_t *object = json_pack("{s:O}", "files", files);
        cli_put_json(object);
        json_decref(object);
    }
    json_decref(files);
    return KV_OK;
}
