#include "policy/ruleset.h"

#include "core/parse.h"
#include "policy/ruleset_raw.h"

#include <stdio.h>

#define ALARM_HOURS_MAX 168 /* a week: longer would be no answer to a changed program */

static const char *const floors[KV_CUSTODY_FLOOR_COUNT] = {
    [KV_CUSTODY_FLOOR_SOFTWARE] = "software",
    [KV_CUSTODY_FLOOR_CLAIMED] = "claimed",
    [KV_CUSTODY_FLOOR_ATTESTED] = "attested",
};

const char *kv_custody_floor_word(enum kv_custody_floor floor)
{
    return floors[floor];
}

bool kv_custody_floor_parse(struct kv_bytes word, enum kv_custody_floor *out)
{
    for (int i = 0; i < KV_CUSTODY_FLOOR_COUNT; i++) {
        if (kv_bytes_is(word, floors[i])) {
            *out = (enum kv_custody_floor)i;
            return true;
        }
    }
    return false;
}

bool kv_ruleset_ends_grant(const struct kv_ruleset *rules, uint32_t ops, struct kv_bytes custody)
{
    const uint32_t need_login =
        1U << KV_OP_SESSION_OPEN | 1U << KV_OP_RELAY_READ | 1U << KV_OP_RELAY_SEND;
    const uint32_t token = 1U << KV_OP_AUTH_TOKEN;
    enum kv_custody_floor floor = KV_CUSTODY_FLOOR_SOFTWARE;
    (void)kv_custody_floor_parse(custody, &floor);
    bool only_token = (ops & token) != 0 && (ops & ~(token | need_login)) == 0;
    return floor < rules->custody_minimum || (only_token && !rules->token_logins);
}

/* Where a key stands, for messages. */
struct place {
    struct kv_bytes text;
    const char *parent;
    const char *key;
};

static enum kv_code refuse(const struct place *place, const char *what, struct kv_err *err)
{
    return KV_REFUSE(err, KV_E_POLICY_TEXT, "line %u: %s%s%s %s",
                     kv_raw_ruleset_line(place->text, place->parent, place->key), place->parent,
                     place->parent[0] == '\0' ? "" : ": ", place->key, what);
}

static enum kv_code read_number(const struct place *place, const char *value, uint64_t min,
                                uint64_t max, uint64_t *out, struct kv_err *err)
{
    uint64_t number;
    if (!kv_parse_u64(kv_bytes_str(value), max, &number) || number < min) {
        char what[80];
        int len = snprintf(what, sizeof what, "is not a number from %llu to %llu",
                           (unsigned long long)min, (unsigned long long)max);
        assert(len > 0 && (size_t)len < sizeof what);
        return refuse(place, what, err);
    }
    *out = number;
    return KV_OK;
}

/* What version 1 means where the text is silent. Part of the version for ever: a policy in the
 * ledger is judged by these and no others. */
static struct kv_ruleset version_1(void)
{
    struct kv_ruleset rules = {
        .version = KV_RULESET_VERSION,
        .grant_days_max = KV_GRANT_DAYS_MAX,
        .emergency_hours_max = KV_EMERGENCY_HOURS_DEFAULT,
        .emergency_hours_default = KV_EMERGENCY_HOURS_DEFAULT,
        .collect_hours = KV_COLLECT_HOURS_MAX,
        .emergency_collect_hours = KV_EMERGENCY_COLLECT_HOURS_MAX,
        .renew_days = KV_RENEW_DAYS_MAX,
        .token_logins = true,
        .custody_minimum = KV_CUSTODY_FLOOR_CLAIMED,
    };
    for (int seat = KV_SEAT_NONE + 1; seat < KV_SEAT_COUNT; seat++) {
        for (int kind = KV_PUBKEY_NONE + 1; kind < KV_PUBKEY_KIND_COUNT; kind++) {
            rules.key_kinds[seat] |= UINT32_C(1) << kind;
        }
    }
    return rules;
}

static enum kv_code read_version(const struct place *place, const char *value, struct kv_err *err)
{
    return strcmp(value, "1") == 0 ? KV_OK : refuse(place, "is not 1", err);
}

static enum kv_code read_quorum(struct kv_bytes text, const char *name,
                                const struct kv_raw_quorum *raw, struct kv_quorum *out,
                                struct kv_err *err)
{
    uint64_t finance, custodian;
    struct place place = {text, name, "finance"};
    enum kv_code code =
        read_number(&place, raw->finance, 1, KV_RULESET_APPROVALS_MAX, &finance, err);
    if (code == KV_OK) {
        place.key = "custodian";
        code = read_number(&place, raw->custodian, 1, KV_RULESET_APPROVALS_MAX, &custodian, err);
    }
    if (code == KV_OK) {
        *out = (struct kv_quorum){(unsigned)finance, (unsigned)custodian};
    }
    return code;
}

static enum kv_code read_approvals(struct kv_bytes text, const struct kv_raw_approvals *raw,
                                   struct kv_ruleset *rules, struct kv_err *err)
{
    enum kv_code code =
        read_quorum(text, "default", raw->of[KV_ACTION_NONE], &rules->quorum[KV_ACTION_NONE], err);
    for (int i = KV_ACTION_NONE + 1; i < KV_ACTION_COUNT && code == KV_OK; i++) {
        rules->quorum[i] = rules->quorum[KV_ACTION_NONE];
        if (raw->of[i] != NULL) {
            code = read_quorum(text, kv_action_word((enum kv_action)i), raw->of[i],
                               &rules->quorum[i], err);
        }
    }
    return code;
}

static enum kv_code read_limits(struct kv_bytes text, const struct kv_raw_limits *raw,
                                struct kv_ruleset *rules, struct kv_err *err)
{
    const struct {
        const char *key;
        const char *value;
        unsigned max;
        unsigned *to;
    } numbers[] = {
        {"grant-days-max", raw->grant_days_max, KV_GRANT_DAYS_MAX, &rules->grant_days_max},
        {"emergency-hours-max", raw->emergency_hours_max, KV_EMERGENCY_HOURS_MAX,
         &rules->emergency_hours_max},
        {"emergency-hours-default", raw->emergency_hours_default, KV_EMERGENCY_HOURS_MAX,
         &rules->emergency_hours_default},
        {"collect-hours", raw->collect_hours, KV_COLLECT_HOURS_MAX, &rules->collect_hours},
        {"emergency-collect-hours", raw->emergency_collect_hours, KV_EMERGENCY_COLLECT_HOURS_MAX,
         &rules->emergency_collect_hours},
        {"renew-days", raw->renew_days, KV_RENEW_DAYS_MAX, &rules->renew_days},
    };
    for (size_t i = 0; i < KV_COUNT(numbers); i++) {
        struct place place = {text, "limits", numbers[i].key};
        uint64_t number;
        if (numbers[i].value == NULL) {
            continue;
        }
        if (read_number(&place, numbers[i].value, 1, numbers[i].max, &number, err) != KV_OK) {
            return KV_E_POLICY_TEXT;
        }
        *numbers[i].to = (unsigned)number;
    }
    struct place place = {text, "limits", "max-uses-default"};
    if (raw->max_uses_default != NULL &&
        read_number(&place, raw->max_uses_default, 0, KV_NUMBER_MAX, &rules->max_uses_default,
                    err) != KV_OK) {
        return KV_E_POLICY_TEXT;
    }
    place.key = "rate-max";
    if (raw->rate_max != NULL && (!kv_rate_parse(kv_bytes_str(raw->rate_max), &rules->rate_max) ||
                                  rules->rate_max.count == 0)) {
        return refuse(&place, "is not a rate like 120/h, with s, min, h or day", err);
    }
    return KV_OK;
}

/* The shorter maximum also shortens a default that the text does not name. */
static enum kv_code settle_emergency(struct kv_bytes text, const struct kv_raw_limits *raw,
                                     struct kv_ruleset *rules, struct kv_err *err)
{
    if (rules->emergency_hours_default <= rules->emergency_hours_max) {
        return KV_OK;
    }
    if (raw->emergency_hours_default != NULL) {
        struct place place = {text, "limits", "emergency-hours-default"};
        return refuse(&place, "is above emergency-hours-max", err);
    }
    rules->emergency_hours_default = rules->emergency_hours_max;
    return KV_OK;
}

static enum kv_code read_kinds(const struct place *place, char *const *words, unsigned count,
                               uint32_t *set, struct kv_err *err)
{
    if (count == 0) {
        return KV_OK;
    }
    uint32_t read = 0;
    for (unsigned i = 0; i < count; i++) {
        enum kv_pubkey_kind kind;
        if (!kv_pubkey_kind_parse(kv_bytes_str(words[i]), &kind)) {
            return refuse(place, "names a type of key that does not exist", err);
        }
        if ((read >> kind & 1) != 0) {
            return refuse(place, "names a type of key twice", err);
        }
        read |= UINT32_C(1) << kind;
    }
    *set = read;
    return KV_OK;
}

static enum kv_code read_key_types(struct kv_bytes text, const struct kv_raw_key_types *raw,
                                   struct kv_ruleset *rules, struct kv_err *err)
{
    struct place place = {text, "key-types", "finance"};
    enum kv_code code = read_kinds(&place, raw->finance, raw->finance_count,
                                   &rules->key_kinds[KV_SEAT_FINANCE], err);
    if (code != KV_OK) {
        return code;
    }
    place.key = "custodian";
    return read_kinds(&place, raw->custodian, raw->custodian_count,
                      &rules->key_kinds[KV_SEAT_CUSTODIAN], err);
}

static enum kv_code read_exe_change(const struct place *place, const char *value, unsigned *hours,
                                    struct kv_err *err)
{
    static const char alarm[] = "alarm-for ";
    size_t skip = sizeof alarm - 1;
    if (strcmp(value, "suspend") == 0) {
        *hours = 0;
        return KV_OK;
    }
    if (strncmp(value, alarm, skip) != 0) {
        return refuse(place, "is neither suspend nor alarm-for and a number of hours", err);
    }
    uint64_t number;
    enum kv_code code = read_number(place, value + skip, 1, ALARM_HOURS_MAX, &number, err);
    if (code == KV_OK) {
        *hours = (unsigned)number;
    }
    return code;
}

static enum kv_code read_words(struct kv_bytes text, const struct kv_raw_ruleset *raw,
                               struct kv_ruleset *rules, struct kv_err *err)
{
    struct place place = {text, "", "token-logins"};
    if (raw->token_logins != NULL) {
        rules->token_logins = strcmp(raw->token_logins, "yes") == 0;
        if (!rules->token_logins && strcmp(raw->token_logins, "no") != 0) {
            return refuse(&place, "is neither yes nor no", err);
        }
    }
    place.key = "custody-minimum";
    if (raw->custody_minimum != NULL &&
        !kv_custody_floor_parse(kv_bytes_str(raw->custody_minimum), &rules->custody_minimum)) {
        return refuse(&place, "is not attested, claimed or software", err);
    }
    place.key = "on-exe-change";
    return raw->on_exe_change == NULL
               ? KV_OK
               : read_exe_change(&place, raw->on_exe_change, &rules->exe_alarm_hours, err);
}

enum kv_code kv_ruleset_parse(struct kv_bytes text, struct kv_ruleset *out, struct kv_err *err)
{
    KV_CLEANUP(kv_raw_ruleset_freep) struct kv_raw_ruleset *raw = NULL;
    enum kv_code code = kv_raw_ruleset_load(text, &raw, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_ruleset rules = version_1();
    struct place place = {text, "", "version"};
    code = read_version(&place, raw->version, err);
    if (code == KV_OK) {
        code = read_approvals(text, raw->approvals, &rules, err);
    }
    if (code == KV_OK && raw->limits != NULL) {
        code = read_limits(text, raw->limits, &rules, err);
        if (code == KV_OK) {
            code = settle_emergency(text, raw->limits, &rules, err);
        }
    }
    if (code == KV_OK && raw->key_types != NULL) {
        code = read_key_types(text, raw->key_types, &rules, err);
    }
    if (code == KV_OK) {
        code = read_words(text, raw, &rules, err);
    }
    if (code == KV_OK) {
        *out = rules;
    }
    return code;
}
