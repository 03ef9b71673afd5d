#include "cli/draft.h"

#include "cli/out.h"
#include "core/parse.h"
#include "ledger/side.h"
#include "policy/statement_value.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define LIST_MAX   64
#define TARGET_LEN 160

const struct cli_option cli_request_options[] = {
    {"reason", "TEXT", CLI_REQUIRED, "why; shown to those who approve, kept beside the ledger"},
    {"as", "PERSON", CLI_REQUIRED, "who requests and signs"},
    {"key", "FILE", CLI_OPTIONAL,
     "sign with this private key (or .pub of a key in ssh-agent) and hand in"},
    {"out", "FILE", CLI_OPTIONAL, "write the text, to be signed elsewhere; nothing is handed in"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
const struct cli_option cli_act_options[] = {
    {"reason", "TEXT", CLI_OPTIONAL, "why; kept beside the ledger"},
    {"as", "PERSON", CLI_REQUIRED, "who acts and signs"},
    {"key", "FILE", CLI_OPTIONAL,
     "sign with this private key (or .pub of a key in ssh-agent) and hand in"},
    {"out", "FILE", CLI_OPTIONAL, "write the text, to be signed elsewhere; nothing is handed in"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

struct cli_draft *cli_draft_new(void)
{
    struct cli_draft *draft = calloc(1, sizeof *draft);
    if (draft == NULL || (draft->private = json_array()) == NULL) {
        abort();
    }
    kv_buf_init(&draft->policy, 65536);
    return draft;
}

void cli_draft_free(struct cli_draft *draft)
{
    if (draft == NULL) {
        return;
    }
    for (size_t i = 0; i < draft->count; i++) {
        free((void *)(uintptr_t)draft->lines[i].value.ptr);
    }
    json_decref(draft->private);
    kv_buf_clear(&draft->policy);
    kv_statement_free(draft->text);
    free(draft);
}

void cli_draft_freep(struct cli_draft **draft)
{
    cli_draft_free(*draft);
    *draft = NULL;
}

/* The first failure is reported when the text is composed: lines are added without asking. */
static void fail(struct cli_draft *draft, enum kv_code code, const struct kv_err *err)
{
    if (draft->failure.code == KV_OK && code != KV_OK) {
        draft->failure = *err;
    }
}

void cli_draft_add_n(struct cli_draft *draft, enum kv_key key, uint32_t n, const char *value)
{
    struct kv_err err;
    if (draft->count == CLI_DRAFT_LINES_MAX) {
        fail(draft,
             KV_REFUSE(&err, KV_E_STMT_TOO_LONG, "the text would have more than %d lines",
                       CLI_DRAFT_LINES_MAX),
             &err);
        return;
    }
    char *copy = strdup(value == NULL ? "-" : value);
    if (copy == NULL) {
        abort();
    }
    draft->lines[draft->count++] = (struct kv_line){key, n, kv_bytes_str(copy)};
}

void cli_draft_add(struct cli_draft *draft, enum kv_key key, const char *value)
{
    cli_draft_add_n(draft, key, 0, value);
}

void cli_draft_add_time(struct cli_draft *draft, enum kv_key key, int64_t ms)
{
    char text[KV_TIME_S_LEN];
    kv_time_format_s(ms, text);
    cli_draft_add(draft, key, text);
}

/* What there is to choose from, behind a complaint; "" where its sentence says enough. */
static void add_choices(enum kv_key key, struct kv_buf *out)
{
    if (key == KV_KEY_KIND) {
        kv_buf_add_format(out, ": %s or %s", kv_cred_kind_word(KV_CRED_AUTH_CERTIFICATE),
                          kv_cred_kind_word(KV_CRED_OFFLINE_CERTIFICATE));
    }
    for (int i = KV_OP_NONE + 1; key == KV_KEY_OPERATIONS && i < KV_OP_COUNT; i++) {
        kv_buf_add_format(out, "%s%s", out->len == 0 ? ": " : ", ", kv_op_word((enum kv_op)i));
    }
    bool duty = key == KV_KEY_DUTY || key == KV_KEY_DUTY_FROM || key == KV_KEY_DUTY_TO;
    for (int i = KV_DUTY_UNKNOWN + 1; duty && i < KV_DUTY_COUNT; i++) {
        kv_buf_add_format(out, "%s%s", out->len == 0 ? ": " : ", ", kv_duty_word((enum kv_duty)i));
    }
}

/* A word of the command line, or an element of a list in it, has the form of its line. `name` is
 * what the person knows it by: "--rate". */
static enum kv_code check_word(enum kv_key key, const char *name, const char *word,
                               struct kv_err *err)
{
    const char *complaint = NULL;
    if (key == KV_KEY_CONTEXT || key == KV_KEY_CONTEXTS) {
        enum kv_code code = kv_context_parse(kv_bytes_str(word), NULL, err);
        if (code == KV_OK || code == KV_E_INPUT_NIP) {
            return code == KV_OK ? KV_OK : kv_wrap(err, "%s '%.64s'", name, word);
        }
        complaint = "is no KSeF context like Nip:5265877635";
    } else if (key == KV_KEY_BUSINESS_DUTIES) {
        complaint = kv_value_complaint(KV_KEY_PERSON, kv_bytes_str(word));
    } else {
        complaint = kv_value_complaint(key, kv_bytes_str(word));
    }
    if (complaint == NULL) {
        return KV_OK;
    }
    struct kv_buf choices;
    kv_buf_init(&choices, 256);
    add_choices(key, &choices);
    enum kv_code code =
        KV_REFUSE(err, KV_E_USAGE, "%s '%.40s' %s%s", name, word,
                  key == KV_KEY_OPERATIONS ? "is no operation" : complaint, kv_buf_str(&choices));
    kv_buf_clear(&choices);
    return code;
}

static void check_option(struct cli_draft *draft, enum kv_key key, const char *option,
                         const char *word)
{
    struct kv_err err;
    char name[64];
    (void)snprintf(name, sizeof name, "--%s", option);
    fail(draft, check_word(key, name, word, &err), &err);
}

void cli_draft_option(struct cli_draft *draft, const struct cli *cli, enum kv_key key,
                      const char *option)
{
    const char *value = cli_get(cli, option);
    if (value != NULL) {
        check_option(draft, key, option, value);
    }
    cli_draft_add(draft, key, value);
}

void cli_draft_operand(struct cli_draft *draft, const struct cli *cli, enum kv_key key)
{
    struct kv_err err;
    const char *value = cli_operand(cli, 0);
    fail(draft, check_word(key, kv_key_word(key), value, &err), &err);
    cli_draft_add(draft, key, value);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void cli_draft_list(struct cli_draft *draft, const struct cli *cli, enum kv_key key,
                    const char *option)
{
    char *items[LIST_MAX];
    size_t count = 0;
    const char *value;
    for (size_t n = 0; (value = cli_get_n(cli, option, n)) != NULL; n++) {
        while (count < LIST_MAX) {
            size_t len = strcspn(value, ",");
            items[count] = strndup(value, len);
            if (items[count++] == NULL) {
                abort();
            }
            if (value[len] == '\0') {
                break;
            }
            value += len + 1;
        }
    }
    qsort(items, count, sizeof *items, compare_texts);
    struct kv_buf joined;
    kv_buf_init(&joined, KV_STATEMENT_LINE_MAX);
    for (size_t i = 0; i < count; i++) {
        /* what is said twice is meant once */
        if (i == 0 || strcmp(items[i - 1], items[i]) != 0) {
            kv_buf_add_format(&joined, "%s%s", joined.len == 0 ? "" : ",", items[i]);
        }
    }
    if (joined.failed || count == LIST_MAX) {
        struct kv_err err;
        fail(draft, KV_REFUSE(&err, KV_E_LIMIT, "--%s: the list is too long", option), &err);
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(items[i], "-") != 0) { /* which alone stands for no list */
            check_option(draft, key, option, items[i]);
        }
    }
    cli_draft_add(draft, key, joined.len == 0 ? NULL : kv_buf_str(&joined));
    kv_buf_clear(&joined);
    for (size_t i = 0; i < count; i++) {
        free(items[i]);
    }
}

static void draw(void *to, size_t len)
{
    if (getrandom(to, len, 0) != (ssize_t)len) {
        abort(); /* no text may be made with a nonce or salt that can be guessed */
    }
}

void cli_draft_commit(struct cli_draft *draft, const struct cli *cli, enum kv_key key,
                      const char *field, const char *option)
{
    uint8_t salt[KV_SALT_LEN];
    char salt_text[KV_BASE64_LEN(KV_SALT_LEN)];
    char text[KV_HASH_BASE64_LEN];
    const char *value = cli_get(cli, option);
    if (value == NULL) {
        cli_draft_add(draft, key, NULL);
        return;
    }
    if (strlen(value) > KV_SIDE_VALUE_MAX || !kv_utf8_valid(kv_bytes_str(value))) {
        struct kv_err err;
        fail(draft,
             KV_REFUSE(&err, KV_E_INPUT_VALUE, "--%s must be UTF-8 of at most %d bytes", option,
                       KV_SIDE_VALUE_MAX),
             &err);
        return;
    }
    draw(salt, sizeof salt);
    struct kv_hash commitment = kv_commitment(salt, kv_bytes_str(value));
    kv_hash_base64(&commitment, text);
    kv_base64_encode(kv_bytes(salt, sizeof salt), salt_text);
    json_t *row = json_pack("{s:s,s:s,s:s}", "field", field, "salt", salt_text, "value", value);
    if (row == NULL || json_array_append_new(draft->private, row) != 0) {
        abort();
    }
    cli_draft_add(draft, key, text);
}

static bool take(const json_t *status, const char *key, char *to, size_t size)
{
    const char *value = cli_str(status, key);
    size_t len = strlen(value);
    if (len == 0 || len >= size) {
        return false;
    }
    memcpy(to, value, len + 1);
    return true;
}

enum kv_code cli_facts(struct cli *cli, struct cli_facts *out, struct kv_err *err)
{
    struct kv_api_answer answer;
    if (cli_call(cli, KV_CALL_STATUS, NULL, &answer, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = KV_OK;
    if (strcmp(cli_str(answer.body, "state"), "unfounded") == 0) {
        code = KV_REFUSE(err, KV_E_UNFOUNDED, "this vault has not been founded");
    } else if (strcmp(cli_str(answer.body, "state"), "starting") == 0) {
        const json_t *first = json_array_get(json_object_get(answer.body, "attention"), 0);
        code = KV_REFUSE(err, KV_E_STARTING, "%.150s", cli_str(first, "what"));
    } else if (!take(answer.body, "vault", out->vault, sizeof out->vault) ||
               !take(answer.body, "policySha256", out->policy, sizeof out->policy) ||
               !take(answer.body, "checkpoint", out->checkpoint, sizeof out->checkpoint)) {
        code = KV_REFUSE(err, KV_E_PROTOCOL,
                         "the agent's status does not tell vault, policy and checkpoint (state %s)",
                         cli_str(answer.body, "state"));
    } else if (!kv_time_parse_any(kv_bytes_str(cli_str(answer.body, "now")), &out->now_ms)) {
        out->now_ms = kv_time_now_ms();
    }
    kv_api_answer_clear(&answer);
    return code;
}

static void add_nonce(struct cli_draft *draft)
{
    uint8_t random[32];
    char nonce[KV_NONCE_LEN];
    draw(random, sizeof random);
    kv_nonce_print(random, nonce);
    cli_draft_add(draft, KV_KEY_NONCE, nonce);
}

static enum kv_code begin(struct cli *cli, struct cli_draft *draft, struct cli_facts *facts,
                          struct kv_err *err)
{
    if (cli_signer(cli, &draft->signer, err) != KV_OK || cli_facts(cli, facts, err) != KV_OK) {
        return err->code;
    }
    draft->now_ms = facts->now_ms - facts->now_ms % KV_SECOND_MS;
    memcpy(draft->checkpoint, facts->checkpoint, sizeof draft->checkpoint);
    check_option(draft, KV_KEY_ACTOR, "as", draft->signer.person);
    cli_draft_add(draft, KV_KEY_VAULT, facts->vault);
    cli_draft_commit(draft, cli, KV_KEY_REASON_COMMITMENT, "reason", "reason");
    cli_draft_add_time(draft, KV_KEY_ISSUED, draft->now_ms);
    add_nonce(draft);
    return KV_OK;
}

enum kv_code cli_request(struct cli *cli, enum kv_action action, struct cli_draft **out,
                         struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();
    struct cli_facts facts;
    uint8_t random[10];
    char ulid[KV_ULID_LEN];
    if (begin(cli, draft, &facts, err) != KV_OK) {
        return err->code;
    }
    draw(random, sizeof random);
    kv_ulid_make(draft->now_ms, random, ulid);
    cli_draft_add(draft, KV_KEY_POLICY, facts.policy);
    cli_draft_add(draft, KV_KEY_REQUEST, ulid);
    cli_draft_add(draft, KV_KEY_REQUESTER, draft->signer.person);
    cli_draft_add(draft, KV_KEY_REQUESTER_KEY, draft->signer.key);
    cli_draft_add(draft, KV_KEY_ACTION, kv_action_word(action));
    *out = draft;
    draft = NULL; /* handed over */
    return KV_OK;
}

/* `NOUN ID`, as a line `target` has it. */
static enum kv_code print_target(const char *noun, const char *id, char out[static TARGET_LEN],
                                 struct kv_err *err)
{
    struct kv_target target;
    int n = snprintf(out, TARGET_LEN, "%s %s", noun, id);
    if (n > 0 && n < TARGET_LEN && kv_target_parse(kv_bytes_str(out), &target)) {
        return KV_OK;
    }
    const char *form = "[a-z0-9][a-z0-9._-]{0,62}";
    if (strcmp(noun, "key") == 0) {
        form = "ssh:SHA256: and 43 characters, as `ksefvault person list` has it";
    } else if (strcmp(noun, "grant") == 0 || strcmp(noun, "request") == 0) {
        form = "26 letters and digits, as the list of them has it";
    }
    return KV_REFUSE(err, KV_E_USAGE, "'%.64s' is no id of a %s: %s", id, noun, form);
}

enum kv_code cli_act(struct cli *cli, enum kv_act act, const char *noun, const char *id,
                     struct cli_draft **out, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();
    struct cli_facts facts;
    char target[TARGET_LEN];
    if (print_target(noun, id, target, err) != KV_OK || begin(cli, draft, &facts, err) != KV_OK) {
        return err->code;
    }
    cli_draft_add(draft, KV_KEY_ACT, kv_act_word(act));
    cli_draft_add(draft, KV_KEY_TARGET, target);
    cli_draft_add(draft, KV_KEY_ACTOR, draft->signer.person);
    cli_draft_add(draft, KV_KEY_ACTOR_KEY, draft->signer.key);
    cli_draft_add(draft, KV_KEY_LOG_CHECKPOINT, draft->checkpoint);
    *out = draft;
    draft = NULL; /* handed over */
    return KV_OK;
}

enum kv_code cli_resume(struct cli *cli, const char *noun, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    char target[TARGET_LEN];
    if (print_target(noun, cli_operand(cli, 0), target, err) != KV_OK ||
        cli_request(cli, KV_ACTION_RESUME, &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_add(draft, KV_KEY_TARGET, target);
    return cli_deliver(cli, draft, err);
}

static enum kv_code time_option(const struct cli *cli, const char *name, int64_t *ms, bool *given,
                                struct kv_err *err)
{
    const char *value = cli_get(cli, name);
    *given = value != NULL;
    if (value != NULL && !kv_time_parse_s(kv_bytes_str(value), ms)) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "--%s takes a time like 2026-01-07T08:00:00Z, not '%.40s'", name, value);
    }
    return KV_OK;
}

/* One of --days, --hours, --seconds; 0 if none was given. */
static enum kv_code span_option(const struct cli *cli, int64_t *ms, struct kv_err *err)
{
    static const struct {
        const char *name;
        int64_t unit_ms;
        uint64_t max;
    } units[] = {{"days", KV_DAY_MS, 366},
                 {"hours", KV_HOUR_MS, 24 * 366},
                 {"seconds", KV_SECOND_MS, 366 * 86400}};
    *ms = 0;
    for (size_t i = 0; i < KV_COUNT(units); i++) {
        uint64_t n;
        if (cli_number(cli, units[i].name, 1, units[i].max, 0, &n, err) != KV_OK) {
            return err->code;
        }
        if (n > 0 && *ms > 0) {
            return KV_REFUSE(err, KV_E_USAGE, "give one of --days, --hours and --seconds");
        }
        *ms = n > 0 ? (int64_t)n * units[i].unit_ms : *ms;
    }
    return KV_OK;
}

enum kv_code cli_draft_window(struct cli *cli, struct cli_draft *draft, int64_t default_ms,
                              struct kv_err *err)
{
    int64_t from = draft->now_ms;
    int64_t until = 0;
    int64_t span;
    bool given;
    bool until_given;
    if (time_option(cli, "not-before", &from, &given, err) != KV_OK ||
        time_option(cli, "not-after", &until, &until_given, err) != KV_OK ||
        span_option(cli, &span, err) != KV_OK) {
        return err->code;
    }
    if (until_given && span > 0) {
        return KV_REFUSE(err, KV_E_USAGE, "give the end or the length, not both");
    }
    if (!until_given) {
        until = from + (span > 0 ? span : default_ms);
    }
    cli_draft_add_time(draft, KV_KEY_NOT_BEFORE, from);
    cli_draft_add_time(draft, KV_KEY_NOT_AFTER, until);
    draft->window_given = true;
    return KV_OK;
}
