/* The rules that tie values of one text to each other, and say when "-" may stand (KV_KEY_TABLE:
 * CASE). Each rule belongs to the line that it refuses. */
#include "policy/statement_value.h"

#include "core/time.h"
#include "policy/pubkey.h"

#define BEGIN_MAX_MS (30 * KV_DAY_MS) /* a grant may begin so long after its request */

static bool is_action(const struct kv_statement *st, enum kv_action action)
{
    return kv_statement_action(st) == action;
}

static bool is_dash(struct kv_bytes value)
{
    return kv_bytes_is(value, "-");
}

/* The founder who is the requester of a TEST vault, who holds no duty. */
static bool requester_is_named(const struct kv_statement *st, struct kv_bytes requester)
{
    struct kv_founder founder;
    for (uint64_t n = 1; kv_statement_founder(st, n, &founder); n++) {
        if (founder.duty == KV_DUTY_NONE && kv_bytes_equal(founder.id, requester)) {
            return kv_bytes_equal(founder.key, kv_statement_get(st, KV_KEY_REQUESTER_KEY));
        }
    }
    return false;
}

static const char *check_requester(const struct kv_statement *st, const struct kv_line *line)
{
    struct kv_bytes id;
    enum kv_requester who = kv_statement_requester(st, &id);
    if (!is_action(st, KV_ACTION_FOUND)) {
        return who == KV_REQUESTER_NOBODY ? "may be - only in a founding text" : NULL;
    }
    if (who == KV_REQUESTER_NOBODY) {
        return NULL;
    }
    /* That a person with duty - founds only a TEST vault is a rule of the line person-n. */
    return who == KV_REQUESTER_PERSON && requester_is_named(st, line->value)
               ? NULL
               : "of a founding text must be named in it with duty - and the same key";
}

static const char *check_requester_key(const struct kv_statement *st, const struct kv_line *line)
{
    struct kv_bytes id;
    bool person = kv_statement_requester(st, &id) == KV_REQUESTER_PERSON;
    return person != is_dash(line->value) ? NULL
                                          : "is given exactly when a person is the requester";
}

static const char *check_reason(const struct kv_statement *st, const struct kv_line *line)
{
    bool may = kv_statement_type(st) == KV_STATEMENT_ACT || is_action(st, KV_ACTION_FOUND);
    return is_dash(line->value) && !may ? "may be - only in a founding text or an act" : NULL;
}

static const char *check_test(const struct kv_statement *st, const struct kv_line *line)
{
    bool test = kv_vault_is_test(kv_statement_get(st, KV_KEY_VAULT));
    return kv_bytes_is(line->value, "yes") == test
               ? NULL
               : "is yes exactly when the second part of the vault's name begins with test-";
}

static const char *check_log_key(const struct kv_statement *st, const struct kv_line *line)
{
    static const char audit[] = "/audit+";
    struct kv_bytes vault = kv_statement_get(st, KV_KEY_VAULT);
    return line->value.len > vault.len + sizeof audit - 1 &&
                   memcmp(line->value.ptr, vault.ptr, vault.len) == 0 &&
                   memcmp(line->value.ptr + vault.len, audit, sizeof audit - 1) == 0
               ? NULL
               : "is not named after this vault";
}

static const char *check_key_pair(struct kv_bytes key, struct kv_bytes public_key)
{
    struct kv_pubkey parsed;
    bool good = kv_pubkey_parse_line(public_key, &parsed, NULL) == KV_OK;
    return good && kv_bytes_is(key, parsed.fingerprint)
               ? NULL
               : "does not name the fingerprint of the public key";
}

static const char *check_founder(const struct kv_statement *st, const struct kv_line *line)
{
    struct kv_founder founder;
    bool there = kv_statement_founder(st, line->n, &founder);
    assert(there);
    bool seat = founder.duty == KV_DUTY_FINANCE || founder.duty == KV_DUTY_CUSTODIAN;
    bool asks = founder.duty == KV_DUTY_NONE && kv_statement_yes(st, KV_KEY_TEST) &&
                kv_bytes_equal(founder.id, kv_statement_get(st, KV_KEY_REQUESTER));
    if (!seat && !asks) {
        return "has a duty that founds no vault";
    }
    return check_key_pair(founder.key, founder.public_key);
}

/* A vault begins with the policy that its founders sign. */
static const char *check_policy_sha256(const struct kv_statement *st, const struct kv_line *line)
{
    return is_action(st, KV_ACTION_FOUND) &&
                   !kv_bytes_equal(line->value, kv_statement_get(st, KV_KEY_POLICY))
               ? "is not the policy of the founding text"
               : NULL;
}

/* Only an external auditor is enrolled without a key. */
static const char *check_key(const struct kv_statement *st, const struct kv_line *line)
{
    struct kv_bytes public_key = kv_statement_get(st, KV_KEY_PUBLIC_KEY);
    if (!is_dash(line->value)) { /* a missing public key is the next line's matter */
        return is_dash(public_key) ? NULL : check_key_pair(line->value, public_key);
    }
    return kv_statement_duty(st, KV_KEY_DUTY) == KV_DUTY_EXTERNAL && is_dash(public_key)
               ? NULL
               : "may be - only with an external auditor who has none";
}

static const char *check_public_key(const struct kv_statement *st, const struct kv_line *line)
{
    return is_dash(line->value) && !is_dash(kv_statement_get(st, KV_KEY_KEY))
               ? "is missing beside its fingerprint"
               : NULL;
}

static const char *check_uid(const struct kv_statement *st, const struct kv_line *line)
{
    bool integration = is_action(st, KV_ACTION_INTEGRATION_REGISTER) ||
                       is_action(st, KV_ACTION_INTEGRATION_CHANGE);
    return integration && is_dash(line->value) ? "may not be - of an integration" : NULL;
}

static const char *check_kind(const struct kv_statement *st, const struct kv_line *line)
{
    return is_action(st, KV_ACTION_CREDENTIAL_CREATE) && kv_bytes_is(line->value, "token")
               ? "is a token, which is imported and not created"
               : NULL;
}

static const char *check_key_type(const struct kv_statement *st, const struct kv_line *line)
{
    struct kv_bytes kind = kv_statement_get(st, KV_KEY_KIND);
    return kind.len != 0 && kv_bytes_is(kind, "token") != is_dash(line->value)
               ? "is - exactly for a token"
               : NULL;
}

static const char *check_class(const struct kv_statement *st, const struct kv_line *line)
{
    bool emergency = is_action(st, KV_ACTION_EMERGENCY);
    return kv_bytes_is(line->value, emergency ? "emergency" : "routine")
               ? NULL
               : "is not the class that this action gives";
}

static const char *check_emergency_only(const struct kv_statement *st, const struct kv_line *line)
{
    return is_dash(line->value) && !is_action(st, KV_ACTION_EMERGENCY)
               ? "may be - only in an emergency"
               : NULL;
}

static const char *check_max_uses(const struct kv_statement *st, const struct kv_line *line)
{
    return is_dash(line->value) && is_action(st, KV_ACTION_EMERGENCY)
               ? "may not be - in an emergency"
               : NULL;
}

static const char *check_operations(const struct kv_statement *st, const struct kv_line *line)
{
    return is_dash(line->value) && kv_statement_act(st) != KV_ACT_SUSPEND
               ? "may be - only in a suspension"
               : NULL;
}

static const char *check_target(const struct kv_statement *st, const struct kv_line *line)
{
    struct kv_target target;
    bool good = kv_target_parse(line->value, &target);
    assert(good);
    /* Of an act, the table of line orders has chosen the nouns. */
    return is_action(st, KV_ACTION_RESUME) && target.noun != KV_NOUN_GRANT &&
                   target.noun != KV_NOUN_INTEGRATION
               ? "is neither a grant nor an integration"
               : NULL;
}

static const char *check_not_before(const struct kv_statement *st, const struct kv_line *line)
{
    (void)line; /* every rule has this shape */
    int64_t issued, from;
    bool there = kv_statement_time(st, KV_KEY_ISSUED, &issued);
    there = kv_statement_time(st, KV_KEY_NOT_BEFORE, &from) && there;
    assert(there);
    if (is_action(st, KV_ACTION_GRANT) || is_action(st, KV_ACTION_EMERGENCY)) {
        return from >= issued && from - issued <= BEGIN_MAX_MS
                   ? NULL
                   : "is not within the 30 days from issued";
    }
    return from == issued ? NULL : "is not the time of issued";
}

static const char *check_not_after(const struct kv_statement *st, const struct kv_line *line)
{
    (void)line; /* every rule has this shape */
    int64_t from, to;
    bool there = kv_statement_time(st, KV_KEY_NOT_BEFORE, &from);
    there = kv_statement_time(st, KV_KEY_NOT_AFTER, &to) && there;
    assert(there);
    return to > from ? NULL : "is not after not-before";
}

static const struct {
    enum kv_key key;
    const char *(*check)(const struct kv_statement *st, const struct kv_line *line);
} rules[] = {
    {KV_KEY_REQUESTER, check_requester},
    {KV_KEY_REQUESTER_KEY, check_requester_key},
    {KV_KEY_REASON_COMMITMENT, check_reason},
    {KV_KEY_TEST, check_test},
    {KV_KEY_LOG_KEY, check_log_key},
    {KV_KEY_PERSON_N, check_founder},
    {KV_KEY_POLICY_SHA256, check_policy_sha256},
    {KV_KEY_KEY, check_key},
    {KV_KEY_PUBLIC_KEY, check_public_key},
    {KV_KEY_UID, check_uid},
    {KV_KEY_KIND, check_kind},
    {KV_KEY_KEY_TYPE, check_key_type},
    {KV_KEY_CLASS, check_class},
    {KV_KEY_INTEGRATION, check_emergency_only},
    {KV_KEY_MAX_USES, check_max_uses},
    {KV_KEY_OPERATIONS, check_operations},
    {KV_KEY_TARGET, check_target},
    {KV_KEY_NOT_BEFORE, check_not_before},
    {KV_KEY_NOT_AFTER, check_not_after},
};

const char *kv_values_complaint(const struct kv_statement *st, size_t *at)
{
    for (size_t i = 0; i < kv_statement_line_count(st); i++) {
        const struct kv_line *line = kv_statement_line(st, i);
        for (size_t r = 0; r < KV_COUNT(rules); r++) {
            const char *what = rules[r].key == line->key ? rules[r].check(st, line) : NULL;
            if (what != NULL) {
                *at = i;
                return what;
            }
        }
    }
    return NULL;
}
