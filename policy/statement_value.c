#include "policy/statement_value.h"

#include "core/parse.h"
#include "core/time.h"
#include "policy/pubkey.h"

enum form {
    FORM_NONE,
    FORM_VAULT,
    FORM_HASH,
    FORM_ULID,
    FORM_DECISION,
    FORM_SEAT,
    FORM_ID,
    FORM_KEY,
    FORM_CHECKPOINT,
    FORM_NONCE,
    FORM_TIME,
    FORM_DATE,
    FORM_REQUESTER,
    FORM_ACTION,
    FORM_ACT,
    FORM_COMMITMENT,
    FORM_TARGET,
    FORM_LOG_KEY,
    FORM_YES_NO,
    FORM_NUMBER,
    FORM_FOUNDER,
    FORM_PUBLIC_KEY,
    FORM_LANG,
    FORM_PROSE,
    FORM_DUTY,
    FORM_ID_LIST,
    FORM_CRED_KIND,
    FORM_KEY_TYPE,
    FORM_ENVIRONMENT,
    FORM_CONTEXT,
    FORM_CONTEXTS,
    FORM_KSEF_REF,
    FORM_OPERATIONS,
    FORM_UNIT,
    FORM_EXE,
    FORM_CLASS,
    FORM_RATE,
    FORM_INCIDENT,
    FORM_WAIVE,
    FORM_SPAN,
    FORM_WHO,
    FORM_TALLY,
    FORM_STILL_OPEN,
    FORM_ROTATION,
    FORM_FOLLOW_UP,
    FORM_SEAT_LIST,
    FORM_EVENT,
    FORM_COUNT
};

/* Cut `in` at the first `at`; false if there is none. */
static bool cut(struct kv_bytes in, char at, struct kv_bytes *head, struct kv_bytes *tail)
{
    const uint8_t *found = in.len == 0 ? NULL : memchr(in.ptr, at, in.len);
    if (found == NULL) {
        return false;
    }
    *head = kv_bytes(in.ptr, (size_t)(found - in.ptr));
    *tail = kv_bytes(found + 1, in.len - head->len - 1);
    return true;
}

static bool strip(struct kv_bytes in, const char *prefix, struct kv_bytes *rest)
{
    size_t len = strlen(prefix);
    if (in.len < len || memcmp(in.ptr, prefix, len) != 0) {
        return false;
    }
    *rest = kv_bytes(in.ptr + len, in.len - len);
    return true;
}

/* Every element is good, sorted bytewise, none twice. */
static bool is_list(struct kv_bytes in, bool (*good)(struct kv_bytes))
{
    struct kv_bytes last = KV_BYTES_NULL, item = in, rest = KV_BYTES_NULL;
    for (;;) {
        bool more = cut(in, ',', &item, &rest);
        if (!good(item) || (last.ptr != NULL && kv_bytes_compare(last, item) >= 0)) {
            return false;
        }
        if (!more) {
            return true;
        }
        last = item;
        in = rest;
        item = rest;
    }
}

static bool one_of(struct kv_bytes in, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (kv_bytes_is(in, *words)) {
            return true;
        }
    }
    return false;
}

static bool is_hash(struct kv_bytes in)
{
    struct kv_hash hash;
    return kv_hash_from_hex(in, &hash);
}

static bool is_commitment(struct kv_bytes in)
{
    struct kv_hash hash;
    return kv_hash_from_base64(in, &hash);
}

static bool is_nonce(struct kv_bytes in)
{
    uint8_t random[32];
    size_t len;
    return kv_base64url_decode(in, random, sizeof random, &len) && len == sizeof random;
}

static bool is_checkpoint(struct kv_bytes in)
{
    struct kv_size_root checkpoint;
    return kv_size_root_parse(in, &checkpoint);
}

static bool is_time(struct kv_bytes in)
{
    int64_t ms;
    return kv_time_parse_s(in, &ms);
}

static bool is_date(struct kv_bytes in)
{
    int64_t ms;
    return kv_date_parse(in, &ms);
}

static bool is_number(struct kv_bytes in)
{
    uint64_t number;
    return kv_parse_u64(in, KV_NUMBER_MAX, &number);
}

static bool is_yes_no(struct kv_bytes in)
{
    return kv_bytes_is(in, "yes") || kv_bytes_is(in, "no");
}

/* A person, or an integration that asks for itself. */
static bool is_who(struct kv_bytes in)
{
    struct kv_bytes id = in;
    (void)strip(in, "integration:", &id); /* without it, a person */
    return kv_id_valid(id);
}

static bool is_target(struct kv_bytes in)
{
    struct kv_target target;
    return kv_target_parse(in, &target);
}

static bool is_public_key(struct kv_bytes in)
{
    struct kv_pubkey key;
    return kv_pubkey_parse_line(in, &key, NULL) == KV_OK;
}

static bool is_founder(struct kv_bytes in)
{
    struct kv_bytes id, duty, key, rest;
    enum kv_duty held;
    return cut(in, ' ', &id, &rest) && cut(rest, ' ', &duty, &key) && kv_id_valid(id) &&
           kv_duty_parse(duty, &held) && kv_approval_key_valid(key);
}

static bool is_context(struct kv_bytes in)
{
    return kv_context_parse(in, NULL, NULL) == KV_OK;
}

static bool is_contexts(struct kv_bytes in)
{
    return is_list(in, is_context);
}

static bool is_id_list(struct kv_bytes in)
{
    return is_list(in, kv_id_valid);
}

static bool is_operations(struct kv_bytes in)
{
    uint32_t set;
    return kv_ops_parse(in, &set);
}

static bool is_rate(struct kv_bytes in)
{
    struct kv_rate rate;
    return kv_rate_parse(in, &rate);
}

/* KSeF API 2.0, ReferenceNumber: yyyyMMdd-XX-10 hex-10 hex-2 hex, upper case, 36 characters. */
static bool is_ksef_ref(struct kv_bytes in)
{
    static const char pattern[] = "dddddddd-AA-XXXXXXXXXX-XXXXXXXXXX-XX";
    if (in.len != sizeof pattern - 1) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        bool good = c == '-';
        if (pattern[i] == 'd') {
            good = kv_is_digit(c);
        } else if (pattern[i] == 'A') {
            good = kv_is_upper(c);
        } else if (pattern[i] == 'X') {
            good = kv_is_digit(c) || (c >= 'A' && c <= 'F');
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool all_of(struct kv_bytes in, size_t max, const char *extra)
{
    if (in.len == 0 || in.len > max) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (!kv_is_digit(c) && !kv_is_lower(c) && !kv_is_upper(c) &&
            (c == 0 || strchr(extra, c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* systemd.unit(5); processes live in services and scopes only. */
static bool is_unit(struct kv_bytes in)
{
    static const char *const suffixes[] = {".service", ".scope"};
    for (size_t i = 0; i < KV_COUNT(suffixes); i++) {
        size_t len = strlen(suffixes[i]);
        if (in.len > len && memcmp(in.ptr + in.len - len, suffixes[i], len) == 0) {
            return all_of(in, 255, ":-_.\\@");
        }
    }
    return false;
}

/* As the kernel prints it: absolute, no empty, `.` or `..` component, no slash at the end. */
static bool is_exe(struct kv_bytes in)
{
    if (in.len < 2 || in.len > 255 || in.ptr[0] != '/') {
        return false;
    }
    struct kv_bytes rest = kv_bytes(in.ptr + 1, in.len - 1), name;
    for (bool more = true; more;) {
        name = rest;
        more = cut(rest, '/', &name, &rest);
        if (name.len == 0 || kv_bytes_is(name, ".") || kv_bytes_is(name, "..")) {
            return false;
        }
    }
    return true;
}

static bool is_incident(struct kv_bytes in)
{
    return all_of(in, 64, "._/-");
}

static bool is_waiver(struct kv_bytes in)
{
    struct kv_bytes hash;
    return kv_bytes_is(in, "hours") || kv_bytes_is(in, "rate") ||
           (strip(in, "exe-sha256=", &hash) && is_hash(hash));
}

static bool is_waive(struct kv_bytes in)
{
    return is_list(in, is_waiver);
}

static bool is_span(struct kv_bytes in)
{
    struct kv_bytes from, to;
    int64_t from_ms, to_ms;
    return cut(in, ' ', &from, &to) && kv_time_parse_s(from, &from_ms) &&
           kv_time_parse_s(to, &to_ms) && from_ms <= to_ms;
}

/* `214 <hash of the list>`, `0 -` */
static bool is_tally(struct kv_bytes in)
{
    struct kv_bytes number, hash;
    return cut(in, ' ', &number, &hash) && is_number(number) &&
           (kv_bytes_is(number, "0") ? kv_bytes_is(hash, "-") : is_hash(hash));
}

static bool is_still_open(struct kv_bytes in)
{
    static const char *const names[] = {"sessions=", "tokens=", "tickets=", "waivers=", "rights="};
    struct kv_bytes rest = in, item;
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        struct kv_bytes number;
        item = rest;
        bool more = cut(rest, ' ', &item, &rest);
        if (more != (i + 1 < KV_COUNT(names)) || !strip(item, names[i], &number) ||
            !is_number(number)) {
            return false;
        }
    }
    return true;
}

static bool is_rotation(struct kv_bytes in)
{
    static const char *const words[] = {"done", "planned", "not-needed", NULL};
    return one_of(in, words);
}

static bool is_event(struct kv_bytes in)
{
    static const char *const words[] = {"role-change", "outsourcing", "incident", NULL};
    return one_of(in, words);
}

static bool is_follow_up(struct kv_bytes in)
{
    struct kv_bytes person, date;
    return cut(in, ' ', &person, &date) && kv_id_valid(person) && is_date(date);
}

static bool is_prose(struct kv_bytes in)
{
    return in.len <= 200;
}

/* `name+hex of the first 4 bytes of H(SPKI)+base64(02 ‖ SPKI)`, a P-256 key (ledger format: notes).
 * That the name is this vault's is a rule across lines. */
static bool is_log_key(struct kv_bytes in)
{
    static const uint8_t head[] = {0x02, 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
                                   0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                                   0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    uint8_t key[92];
    size_t len;
    struct kv_bytes name, id, text, rest;
    if (!cut(in, '+', &name, &rest) || !cut(rest, '+', &id, &text) ||
        !kv_base64_decode(text, key, sizeof key, &len) || len != sizeof key ||
        memcmp(key, head, sizeof head) != 0 || key[sizeof head] != 0x04) {
        return false;
    }
    struct kv_hash hash = kv_hash(kv_bytes(key + 1, sizeof key - 1));
    char hex[9];
    kv_hex_encode(kv_bytes(hash.b, 4), hex);
    return kv_bytes_is(id, hex);
}

/* The words of policy/word.h as checks. */
#define IS_WORD(name)                                                                              \
    static bool is_##name(struct kv_bytes in)                                                      \
    {                                                                                              \
        enum kv_##name value;                                                                      \
        return kv_##name##_parse(in, &value);                                                      \
    }
IS_WORD(action)
IS_WORD(act)
IS_WORD(decision)
IS_WORD(seat)
IS_WORD(duty)
IS_WORD(class)
IS_WORD(cred_kind)
IS_WORD(key_type)
IS_WORD(environment)
IS_WORD(lang)

static bool is_seat_list(struct kv_bytes in)
{
    return is_list(in, is_seat);
}

static const struct {
    bool (*good)(struct kv_bytes);
    const char *complaint;
} forms[FORM_COUNT] = {
    [FORM_VAULT] = {kv_vault_valid, "is not a vault's name"},
    [FORM_HASH] = {is_hash, "is not 64 lower-case hex digits"},
    [FORM_ULID] = {kv_ulid_valid, "is not a ULID"},
    [FORM_DECISION] = {is_decision, "is neither approve nor deny"},
    [FORM_SEAT] = {is_seat, "is neither finance nor custodian"},
    [FORM_ID] = {kv_id_valid, "is not an id ([a-z0-9][a-z0-9._-]{0,62})"},
    [FORM_KEY] = {kv_approval_key_valid, "is not ssh:SHA256: and 43 characters"},
    [FORM_CHECKPOINT] = {is_checkpoint, "is not a size and a root in base64"},
    [FORM_NONCE] = {is_nonce, "is not 32 bytes in base64url"},
    [FORM_TIME] = {is_time, "is not a time like 2026-01-07T08:00:00Z"},
    [FORM_DATE] = {is_date, "is not a date like 2026-01-07"},
    [FORM_REQUESTER] = {is_who, "is neither a person's id nor integration: and an id"},
    [FORM_ACTION] = {is_action, "is no action that exists"},
    [FORM_ACT] = {is_act, "is no act that exists"},
    [FORM_COMMITMENT] = {is_commitment, "is not 32 bytes in base64"},
    [FORM_TARGET] = {is_target, "is not a noun and its id"},
    [FORM_LOG_KEY] = {is_log_key, "is not a verifier key of a P-256 log"},
    [FORM_YES_NO] = {is_yes_no, "is neither yes nor no"},
    [FORM_NUMBER] = {is_number, "is not a number without leading zero"},
    [FORM_FOUNDER] = {is_founder, "is not an id, a duty and a key"},
    [FORM_PUBLIC_KEY] = {is_public_key, "is not an OpenSSH public key of an accepted kind"},
    [FORM_LANG] = {is_lang, "is neither en nor pl"},
    [FORM_PROSE] = {is_prose, "is longer than 200 bytes"},
    [FORM_DUTY] = {is_duty, "is no duty that exists"},
    [FORM_ID_LIST] = {is_id_list, "is not a sorted list of ids"},
    [FORM_CRED_KIND] = {is_cred_kind, "is no kind of credential that exists"},
    [FORM_KEY_TYPE] = {is_key_type, "is neither ec-p256 nor rsa-2048"},
    [FORM_ENVIRONMENT] = {is_environment, "is not test, demo or prod"},
    [FORM_CONTEXT] = {is_context, "is not a KSeF context, or its check digit is wrong"},
    [FORM_CONTEXTS] = {is_contexts, "is not a sorted list of good KSeF contexts"},
    [FORM_KSEF_REF] = {is_ksef_ref, "is not a KSeF reference number"},
    [FORM_OPERATIONS] = {is_operations, "is not a sorted list of operations"},
    [FORM_UNIT] = {is_unit, "is not the name of a systemd service or scope"},
    [FORM_EXE] = {is_exe, "is not an absolute normalised path of at most 255 bytes"},
    [FORM_CLASS] = {is_class, "is neither routine nor emergency"},
    [FORM_RATE] = {is_rate, "is not a rate like 120/h"},
    [FORM_INCIDENT] = {is_incident, "is not [A-Za-z0-9._/-]{1,64}"},
    [FORM_WAIVE] = {is_waive, "is not a sorted list of waivers"},
    [FORM_SPAN] = {is_span, "is not two times in order"},
    [FORM_WHO] = {is_who, "is neither a person's id nor integration: and an id"},
    [FORM_TALLY] = {is_tally, "is not a number and the hash of a list"},
    [FORM_STILL_OPEN] = {is_still_open, "is not the five counts of what is still open"},
    [FORM_ROTATION] = {is_rotation, "is not done, planned or not-needed"},
    [FORM_FOLLOW_UP] = {is_follow_up, "is not a person and a date"},
    [FORM_SEAT_LIST] = {is_seat_list, "is not a sorted list of roles"},
    [FORM_EVENT] = {is_event, "is not role-change, outsourcing or incident"},
};

enum dash { DASH_NEVER, DASH_CASE, DASH_ALWAYS };
static const struct {
    enum form form;
    enum dash dash;
} keys[KV_KEY_COUNT] = {
#define KEY_FORM(name, word, form, dash) [KV_KEY_##name] = {FORM_##form, DASH_##dash},
    KV_KEY_TABLE(KEY_FORM)
#undef KEY_FORM
};

/* Characters, before any form: broken UTF-8, what hides or turns text, a space at an end; ASCII
 * only outside prose. */
static const char *check_characters(struct kv_bytes value, bool prose)
{
    size_t at = 0;
    while (at < value.len) {
        uint32_t c;
        if (!kv_utf8_next(value, &at, &c)) {
            return "is not UTF-8";
        }
        if (kv_char_hides(c)) {
            return "holds a character that changes how a line is shown";
        }
        if (c > 0x7e && !prose) {
            return "may hold ASCII only";
        }
    }
    if (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[value.len - 1] == ' ')) {
        return "begins or ends with a space";
    }
    return NULL;
}

const char *kv_value_complaint(enum kv_key key, struct kv_bytes value)
{
    enum form form = keys[key].form;
    assert(forms[form].good != NULL);
    const char *complaint = check_characters(value, form == FORM_PROSE);
    if (complaint != NULL) {
        return complaint;
    }
    if (keys[key].dash != DASH_NEVER && kv_bytes_is(value, "-")) {
        return NULL;
    }
    return forms[form].good(value) ? NULL : forms[form].complaint;
}
