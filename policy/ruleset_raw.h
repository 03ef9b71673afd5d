/* The policy text as strings, before anything is believed: what libcyaml makes of it, and where its
 * keys stand. Only for policy/ruleset.c. */
#ifndef KV_POLICY_RULESET_RAW_H
#define KV_POLICY_RULESET_RAW_H

#include "policy/ruleset.h"

struct kv_raw_quorum {
    char *finance;
    char *custodian;
};
struct kv_raw_limits {
    char *grant_days_max;
    char *emergency_hours_max;
    char *emergency_hours_default;
    char *collect_hours;
    char *emergency_collect_hours;
    char *renew_days;
    char *max_uses_default;
    char *rate_max;
};
struct kv_raw_key_types {
    char **finance;
    unsigned finance_count;
    char **custodian;
    unsigned custodian_count;
};
/* NULL: not in the text. */
struct kv_raw_ruleset {
    char *version;
    struct kv_raw_approvals {
        struct kv_raw_quorum *of[KV_ACTION_COUNT]; /* [KV_ACTION_NONE]: default */
    } * approvals;
    struct kv_raw_limits *limits;
    struct kv_raw_key_types *key_types;
    char *token_logins;
    char *custody_minimum;
    char *on_exe_change;
};

/* Check the characters and load; *out is owned by the caller. KV_E_POLICY_TEXT with the line. */
KV_MUST_USE enum kv_code kv_raw_ruleset_load(struct kv_bytes text, struct kv_raw_ruleset **out,
                                             struct kv_err *err);
void kv_raw_ruleset_freep(struct kv_raw_ruleset **raw);
/* The line, from 1, on which `key` stands, behind that of `parent` ("" for none); 0: nowhere. */
unsigned kv_raw_ruleset_line(struct kv_bytes text, const char *parent, const char *key);

#endif
