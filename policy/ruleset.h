/* The policy text: what people approve as sentences and the fold holds requests and grants to. YAML
 * by libcyaml, every scalar read as a string and converted here (libcyaml reads `90d` as 90); no
 * aliases, anchors, tags, second documents, unknown or duplicate keys.
 *
 * Hard limits of the product can't be loosened by any text: one finance and one custodian at least,
 * 106 days of a routine grant, 24 hours of an emergency. */
#ifndef KV_POLICY_RULESET_H
#define KV_POLICY_RULESET_H

#include "core/err.h"
#include "core/time.h"
#include "policy/pubkey.h"
#include "policy/statement.h"
#include "policy/word.h"

#define KV_RULESET_BYTES_MAX           65536
#define KV_RULESET_VERSION             1
#define KV_RULESET_APPROVALS_MAX       9   /* of one duty: more could never be completed */
#define KV_GRANT_DAYS_MAX              106 /* a quarter and 14 days */
#define KV_EMERGENCY_HOURS_MAX         24
#define KV_EMERGENCY_HOURS_DEFAULT     4
#define KV_COLLECT_HOURS_MAX           72
#define KV_EMERGENCY_COLLECT_HOURS_MAX 2
#define KV_RENEW_DAYS_MAX              30
#define KV_RULESET_SENTENCES_MAX       32
#define KV_SENTENCE_LEN                201 /* 1 to 200 bytes and NUL */

/* How well a slot must protect keys. (The evidence itself comes from the slot.) */
enum kv_custody_floor {
    KV_CUSTODY_FLOOR_SOFTWARE,
    KV_CUSTODY_FLOOR_CLAIMED,
    KV_CUSTODY_FLOOR_ATTESTED,
    KV_CUSTODY_FLOOR_COUNT
};
const char *kv_custody_floor_word(enum kv_custody_floor floor);
bool kv_custody_floor_parse(struct kv_bytes word, enum kv_custody_floor *out);

/* Distinct persons needed, each at least 1. */
struct kv_quorum {
    unsigned finance;
    unsigned custodian;
};

struct kv_ruleset {
    unsigned version;
    struct kv_quorum quorum[KV_ACTION_COUNT]; /* by action; [KV_ACTION_NONE] is the default */
    unsigned grant_days_max;                  /* 1 to 106 */
    unsigned emergency_hours_max;             /* 1 to 24 */
    unsigned emergency_hours_default;         /* 1 to emergency_hours_max */
    unsigned collect_hours;                   /* 1 to 72 */
    unsigned emergency_collect_hours;         /* 1 to 2 */
    unsigned renew_days;                      /* 1 to 30 */
    uint64_t max_uses_default;                /* proposed for new grants; 0: none */
    struct kv_rate rate_max;                  /* of a grant; count 0: no limit */
    uint32_t key_kinds[KV_SEAT_COUNT];        /* 1 << enum kv_pubkey_kind that may sign, by seat */
    bool token_logins;                        /* grants may hold auth.token */
    enum kv_custody_floor custody_minimum;
    unsigned exe_alarm_hours; /* changed executable: alarm for so long; 0: suspend at once */
};

/* Parse and check. Error: KV_E_POLICY_TEXT with line and key; *out untouched then. Plain data. */
KV_MUST_USE enum kv_code kv_ruleset_parse(struct kv_bytes text, struct kv_ruleset *out,
                                          struct kv_err *err);

/* Nothing would be left under `rules` of a grant of these operations (1 << enum kv_op) whose key is
 * kept as `custody` says: its only login is forbidden, or its key is kept less well than they
 * demand. Other limits shorten or slow a grant, and do not end it. */
bool kv_ruleset_ends_grant(const struct kv_ruleset *rules, uint32_t ops, struct kv_bytes custody);

struct kv_sentences {
    size_t count; /* at least 1 */
    char text[KV_RULESET_SENTENCES_MAX][KV_SENTENCE_LEN];
};
/* The sentences that people sign, complete: two rulesets with the same sentences decide alike.
 * (8 KiB: on the heap or static.) */
void kv_ruleset_sentences(const struct kv_ruleset *rules, enum kv_lang lang,
                          struct kv_sentences *out);

#endif
