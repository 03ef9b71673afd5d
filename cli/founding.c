#include "cli/founding.h"

#include "cli/file.h"
#include "core/time.h"
#include "policy/compose.h"
#include "policy/sshsig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINES_MAX  (2 * FOUNDERS_MAX + KV_RULESET_SENTENCES_MAX + 32)
#define SCRIPT_MAX 65536

char *founding_file(const struct kv_founder *founder)
{
    char *out = NULL;
    if (founder->duty != KV_DUTY_FINANCE && founder->duty != KV_DUTY_CUSTODIAN) {
        return NULL;
    }
    if (asprintf(&out, "%s-%.*s.txt", kv_duty_word(founder->duty), (int)founder->id.len,
                 (const char *)founder->id.ptr) < 0) {
        abort();
    }
    return out;
}

static void draw(void *to, size_t len)
{
    if (getrandom(to, len, 0) != (ssize_t)len) {
        abort();
    }
}

/* Lines whose values live in one arena until composed. */
struct lines {
    struct kv_line line[LINES_MAX];
    size_t count;
    char *owned[LINES_MAX];
};

static void add(struct lines *lines, enum kv_key key, uint32_t n, char *owned)
{
    assert(lines->count < LINES_MAX); /* FOUNDERS_MAX and the sentences are limited */
    if (owned == NULL) {
        abort();
    }
    lines->owned[lines->count] = owned;
    lines->line[lines->count++] = (struct kv_line){key, n, kv_bytes_str(owned)};
}

static void add_time(struct lines *lines, enum kv_key key, int64_t ms)
{
    char text[KV_TIME_S_LEN];
    kv_time_format_s(ms, text);
    add(lines, key, 0, strdup(text));
}

static void free_lines(struct lines **lines)
{
    for (size_t i = 0; i < (*lines)->count; i++) {
        free((*lines)->owned[i]);
    }
    free(*lines);
}

static void add_founders(struct lines *lines, const struct founding *founding)
{
    for (size_t i = 0; i < founding->count; i++) {
        const struct founder *f = &founding->founders[i];
        char *text = NULL;
        struct kv_buf key;
        kv_buf_init(&key, KV_PUBKEY_LINE_MAX);
        kv_pubkey_print(&f->key, &key);
        if (asprintf(&text, "%s %s %s", f->id, kv_duty_word(f->duty), f->key.fingerprint) < 0) {
            abort();
        }
        add(lines, KV_KEY_PERSON_N, (uint32_t)i + 1, text);
        add(lines, KV_KEY_PUBLIC_KEY_N, (uint32_t)i + 1, strdup(kv_buf_str(&key)));
        kv_buf_clear(&key);
    }
}

static enum kv_code add_sentences(struct lines *lines, const struct founding *founding,
                                  struct kv_err *err)
{
    KV_CLEANUP(kv_freep) struct kv_sentences *sentences = calloc(1, sizeof *sentences);
    if (sentences == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the sentences of the policy");
    }
    kv_ruleset_sentences(&founding->rules, founding->lang, sentences);
    for (size_t i = 0; i < sentences->count; i++) {
        add(lines, KV_KEY_SENTENCE_N, (uint32_t)i + 1, strdup(sentences->text[i]));
    }
    return KV_OK;
}

/* The one with duty `-` asks, if there is one; a founding with none is asked by nobody. */
static const struct founder *requester(const struct founding *founding)
{
    for (size_t i = 0; i < founding->count; i++) {
        if (founding->founders[i].duty == KV_DUTY_NONE) {
            return &founding->founders[i];
        }
    }
    return NULL;
}

static void nonce(char out[static KV_NONCE_LEN])
{
    uint8_t random[32];
    draw(random, sizeof random);
    kv_nonce_print(random, out);
}

enum kv_code founding_compose(const struct founding *founding, struct kv_statement **out,
                              struct kv_err *err)
{
    KV_CLEANUP(free_lines) struct lines *lines = calloc(1, sizeof *lines);
    char policy[KV_HASH_HEX_LEN];
    char ulid[KV_ULID_LEN];
    char once[KV_NONCE_LEN];
    uint8_t random[10];
    struct kv_hash hash = kv_hash(kv_buf_bytes(&founding->policy));
    const struct founder *asks = requester(founding);
    if (lines == NULL) {
        abort();
    }
    draw(random, sizeof random);
    kv_ulid_make(founding->now_ms, random, ulid);
    kv_hash_hex(&hash, policy);
    nonce(once);
    add(lines, KV_KEY_VAULT, 0, strdup(founding->vault));
    add(lines, KV_KEY_POLICY, 0, strdup(policy));
    add(lines, KV_KEY_REQUEST, 0, strdup(ulid));
    add(lines, KV_KEY_REQUESTER, 0, strdup(asks == NULL ? "-" : asks->id));
    add(lines, KV_KEY_REQUESTER_KEY, 0, strdup(asks == NULL ? "-" : asks->key.fingerprint));
    add(lines, KV_KEY_ACTION, 0, strdup(kv_action_word(KV_ACTION_FOUND)));
    add(lines, KV_KEY_LOG_KEY, 0, strdup(founding->log_key));
    add(lines, KV_KEY_TEST, 0, strdup(founding->test ? "yes" : "no"));
    add_founders(lines, founding);
    add(lines, KV_KEY_POLICY_SHA256, 0, strdup(policy));
    add(lines, KV_KEY_LANG, 0, strdup(kv_lang_word(founding->lang)));
    if (add_sentences(lines, founding, err) != KV_OK) {
        return err->code;
    }
    add(lines, KV_KEY_REASON_COMMITMENT, 0, strdup("-"));
    add_time(lines, KV_KEY_NOT_BEFORE, founding->now_ms);
    add_time(lines, KV_KEY_NOT_AFTER, founding->now_ms + FOUNDING_HOURS * KV_HOUR_MS);
    add_time(lines, KV_KEY_ISSUED, founding->now_ms);
    add(lines, KV_KEY_NONCE, 0, strdup(once));
    return kv_compose_request(lines->line, lines->count, out, err);
}

static enum kv_code write_in(const char *dir, const char *name, struct kv_bytes bytes,
                             struct kv_err *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        abort();
    }
    enum kv_code code = cli_file_write(path, bytes, err);
    free(path);
    return code;
}

static enum kv_code write_decision(const char *dir, const struct kv_statement *request,
                                   const struct kv_founder *founder, int64_t now_ms,
                                   struct kv_err *err)
{
    char once[KV_NONCE_LEN];
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    KV_CLEANUP(kv_freep) char *name = founding_file(founder);
    if (name == NULL) {
        return KV_OK;
    }
    nonce(once);
    struct kv_decision_head head = {.decision = KV_DECISION_APPROVE,
                                    .seat = founder->duty == KV_DUTY_FINANCE ? KV_SEAT_FINANCE
                                                                             : KV_SEAT_CUSTODIAN,
                                    .approver = founder->id,
                                    .approver_key = founder->key,
                                    .checkpoint = {0, kv_hash(KV_BYTES_NULL)}, /* the empty log */
                                    .nonce = kv_bytes_str(once),
                                    .issued_ms = now_ms};
    return kv_compose_decision(request, &head, &st, err) == KV_OK
               ? write_in(dir, name, kv_statement_text(st), err)
               : err->code;
}

static enum kv_code write_all(const struct founding *founding, const char *part, const char *dir,
                              const struct kv_statement *request, struct kv_err *err)
{
    struct kv_founder founder;
    struct kv_buf script;
    struct kv_buf log_key;
    enum kv_code code = KV_OK;
    for (uint64_t n = 1; code == KV_OK && kv_statement_founder(request, n, &founder); n++) {
        code = write_decision(part, request, &founder, founding->now_ms, err);
    }
    kv_buf_init(&script, SCRIPT_MAX);
    kv_buf_init(&log_key, KV_STATEMENT_LINE_MAX);
    founding_script(request, dir, &script);
    kv_buf_add_format(&log_key, "%s\n", founding->log_key);
    code = code == KV_OK ? write_in(part, "log.vkey", kv_buf_bytes(&log_key), err) : code;
    code =
        code == KV_OK ? write_in(part, "policy.yaml", kv_buf_bytes(&founding->policy), err) : code;
    code = code == KV_OK ? write_in(part, "README.txt", kv_buf_bytes(&script), err) : code;
    code = code == KV_OK ? write_in(part, "request.txt", kv_statement_text(request), err) : code;
    kv_buf_clear(&script);
    kv_buf_clear(&log_key);
    return code;
}

enum kv_code founding_write(const struct founding *founding, const char *dir,
                            const struct kv_statement *request, struct kv_err *err)
{
    char *part = NULL; /* renamed when it is complete: there is no half a ceremony */
    if (asprintf(&part, "%s.part-%ld", dir, (long)getpid()) < 0) {
        abort();
    }
    enum kv_code code = KV_OK;
    if (mkdir(part, 0755) != 0 || chmod(part, 0755) != 0) {
        code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "making the folder %.120s", part);
    } else {
        code = write_all(founding, part, dir, request, err);
    }
    if (code == KV_OK && rename(part, dir) != 0) {
        code =
            errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                ? KV_REFUSE(err, KV_E_USAGE, "%.120s holds something else; name a new folder", dir)
                : KV_FAIL(err, KV_E_IO, KV_ERRNO, "making the folder %.120s", dir);
    }
    if (code != KV_OK) {
        struct kv_err ignored;
        struct kv_buf out;
        int status;
        const char *argv[] = {"rm", "-rf", "--", part, NULL};
        kv_buf_init(&out, 4096);
        if (cli_program(argv, KV_BYTES_NULL, &out, &status, &ignored) != KV_OK) {
            fprintf(stderr, "ksefvault: %s was left behind\n", part);
        }
        kv_buf_clear(&out);
    }
    free(part);
    return code;
}

static void add_view(struct kv_buf *out, struct kv_bytes view)
{
    kv_buf_add_bytes(out, view);
}

void founding_script(const struct kv_statement *request, const char *dir, struct kv_buf *out)
{
    char code[KV_CONFIRMATION_LEN];
    struct kv_hash hash = kv_statement_sha256(request);
    struct kv_founder founder;
    uint64_t sentences = 0;
    kv_confirmation_code(&hash, code);
    kv_buf_add_str(out, "Founding of the vault ");
    add_view(out, kv_statement_get(request, KV_KEY_VAULT));
    kv_buf_add_str(out, kv_statement_yes(request, KV_KEY_TEST)
                            ? "\n\nThis is a TEST vault; it says so for ever.\n"
                            : "\n");
    kv_buf_add_format(
        out,
        "\nEverybody named here reads their own file, compares the confirmation code\n\n"
        "    %s\n\nwith the others by phone, and signs until ",
        code);
    add_view(out, kv_statement_get(request, KV_KEY_NOT_AFTER));
    kv_buf_add_str(out, ".\nBy signing you agree to these rules (the policy):\n\n");
    kv_statement_number(request, KV_KEY_SENTENCES, &sentences);
    for (uint64_t n = 1; n <= sentences; n++) {
        kv_buf_add_format(out, "  %llu. ", (unsigned long long)n);
        add_view(out, kv_statement_get_n(request, KV_KEY_SENTENCE_N, n));
        kv_buf_add_str(out, "\n");
    }
    kv_buf_add_str(out, "\nWho signs what, on any machine, with stock OpenSSH (KEY is one's own "
                        "private key file):\n");
    for (uint64_t n = 1; kv_statement_founder(request, n, &founder); n++) {
        KV_CLEANUP(kv_freep) char *file = founding_file(&founder);
        kv_buf_add_str(out, "\n  ");
        add_view(out, founder.id);
        kv_buf_add_format(out, file == NULL ? ", who requests, key " : ", %s, key ",
                          kv_duty_word(founder.duty));
        add_view(out, founder.key);
        kv_buf_add_format(out, "\n    ssh-keygen -Y sign -n %s -f KEY %s\n", KV_SSHSIG_NAMESPACE,
                          file == NULL ? "request.txt" : file);
    }
    kv_buf_add_format(out,
                      "\nEach signature is a file FILE.sig. Put them into %s and run the same "
                      "`ksefvault vault found`\nagain: it hands in what is there and says who is "
                      "missing. Keep log.vkey apart from this machine:\nit is the key by which "
                      "auditors check the ledger.\n",
                      dir);
}
