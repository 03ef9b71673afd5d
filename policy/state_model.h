/* Inside of struct kv_state, for the files of the fold only. */
#ifndef KV_POLICY_STATE_MODEL_H
#define KV_POLICY_STATE_MODEL_H

#include "policy/state.h"

#define KV_CLOCK_SLACK_5MIN (5 * KV_MINUTE_MS)

/* A growing array of pointers: things are never taken out of a fold, and pointers to them stay. */
struct kv_list {
    void **item;
    size_t count, cap;
};

/* A set of hashes with a number each: texts → seq, nonces, counters of security keys. */
struct kv_hash_map {
    struct kv_hash_slot {
        struct kv_hash key;
        uint64_t value;
        bool used;
    } * slot;
    size_t count, cap; /* cap: a power of two */
};

/* publicKeyId: SHA-256 of a public key of KSeF (KSeF API 2.0). */
struct kv_ministry_id {
    struct kv_hash id;
};

struct kv_state {
    char vault[KV_VAULT_LEN];
    char log_key[512];
    bool test, founded;
    uint64_t size;
    int64_t last_ts_ms;
    struct kv_ruleset rules;
    bool has_rules;
    struct kv_hash policy; /* of the active text */
    size_t policy_len;
    uint64_t policy_seq;
    const struct kv_request *policy_request; /* that activated it */
    struct kv_list persons, keys, requests, credentials, integrations, grants;
    struct kv_ksef_session *sessions; /* open at KSeF, as far as the ledger knows */
    size_t session_count, session_cap;
    struct kv_ksef_session closed; /* by record closed_seq: its residual comes right behind */
    uint64_t closed_seq;
    struct kv_ministry_id *ministry; /* keys of KSeF that tokens were encrypted to, oldest first */
    size_t ministry_count, ministry_cap;
    bool ministry_alarm; /* the newest came unannounced: its exception is due */
    struct kv_intent *intents;
    size_t intent_count, intent_cap;
    struct kv_hash_map texts, nonces, counters;
    struct kv_person_key *cloned; /* its alarm is due */
    uint64_t start_seq;           /* of the newest agent.start */
};

/* One judgement under way. */
struct kv_judge {
    struct kv_state *s;
    const struct kv_record *rec;
    const struct kv_bytes *blob;
    const struct kv_log_view *log;
    int64_t now; /* the record's time */
    struct kv_err *err;
};

/* ---- state.c ---- */
void kv_list_add(struct kv_list *list, void *item);
void *kv_state_grow(void *old, size_t count, size_t *cap, size_t size);
bool kv_hash_map_get(const struct kv_hash_map *map, const struct kv_hash *key, uint64_t *value);
void kv_hash_map_put(struct kv_hash_map *map, const struct kv_hash *key, uint64_t value);
struct kv_person *kv_find_person(const struct kv_state *s, const char *id);
struct kv_person_key *kv_find_key(const struct kv_state *s, const char *fingerprint);
struct kv_request *kv_find_request(const struct kv_state *s, const char *id);
struct kv_credential *kv_find_credential(const struct kv_state *s, const char *id);
struct kv_integration *kv_find_integration(const struct kv_state *s, const char *id);
struct kv_grant *kv_find_grant(const struct kv_state *s, const char *id);

/* ---- state_text.c: signed texts ---- */
/* Text `index` of the record's docs, parsed as `type`; the vault's name agrees. *out is owned by
 * the caller. */
KV_MUST_USE enum kv_code kv_judge_text(const struct kv_judge *j, size_t index,
                                       enum kv_statement_type type, struct kv_statement **out);
/* The signature in docs[index] over `text` by `fingerprint`. */
KV_MUST_USE enum kv_code kv_judge_signature(const struct kv_judge *j, struct kv_bytes text,
                                            size_t index, const char *fingerprint);
/* The person is enabled and the key is hers, enrolled before `issued`, and good now. */
KV_MUST_USE enum kv_code kv_judge_person(const struct kv_judge *j, const char *person,
                                         const char *fingerprint, int64_t issued_ms,
                                         struct kv_person **out);
KV_MUST_USE enum kv_code kv_judge_nonce(const struct kv_judge *j, const struct kv_statement *st);
KV_MUST_USE enum kv_code kv_judge_checkpoint(const struct kv_judge *j,
                                             const struct kv_statement *st);
/* Remember a text that was accepted: its hash, its nonce, its key's counter. */
void kv_note_text(const struct kv_judge *j, const struct kv_statement *st, size_t signature);

/* ---- handlers, by event ---- */
typedef enum kv_code kv_judge_fn(const struct kv_judge *j);
kv_judge_fn kv_on_log_init, kv_on_vault_found, kv_on_person_enrol, kv_on_key_enrol,
    kv_on_person_change, kv_on_person_leave, kv_on_key_retire, kv_on_key_compromised;
kv_judge_fn kv_on_request_open, kv_on_request_withdraw, kv_on_request_lapse, kv_on_approve,
    kv_on_deny;
kv_judge_fn kv_on_policy_activate, kv_on_cred_create, kv_on_cred_activate, kv_on_cred_import,
    kv_on_integ_register, kv_on_integ_change, kv_on_integ_resume, kv_on_integ_suspend,
    kv_on_grant_activate, kv_on_grant_suspend, kv_on_grant_resume, kv_on_grant_revoke,
    kv_on_grant_expire, kv_on_grant_close;
kv_judge_fn kv_on_use, kv_on_use_outcome, kv_on_ksef_session, kv_on_ksef_close, kv_on_ksef_residual,
    kv_on_ksef_key, kv_on_exception_open, kv_on_alarm_exe, kv_on_alarm_cloned;

/* ---- shared rules ---- */
/* The request that a giving record names, approved, of one of these actions, in its window. */
KV_MUST_USE enum kv_code kv_judge_request(const struct kv_judge *j, enum kv_action a,
                                          enum kv_action b, struct kv_request **out);
/* `id` holds `duty`, is enabled. */
/* A grant began after this policy request came in: its list of ended grants may be wrong. */
bool kv_policy_outdated(const struct kv_state *s, const struct kv_request *r);
/* What `r` gave rests on a key that was declared compromised: since then, it signed a part of it.
 */
bool kv_rests_on_bad_key(const struct kv_state *s, const struct kv_request *r);
/* The key of an enrolment parses, and is nobody's yet (or, when `again`, this person's own good
 * one, who left and comes back). */
KV_MUST_USE enum kv_code kv_check_new_key(const struct kv_state *s, const struct kv_statement *st,
                                          bool again, struct kv_err *err);
/* No other integration has this account (or, where there is none, this unit). */
KV_MUST_USE enum kv_code kv_check_account(const struct kv_state *s, const struct kv_statement *st,
                                          struct kv_err *err);
/* Another integration's grant of the same credential stands, or is approved and waits. */
const struct kv_request *kv_credential_elsewhere(const struct kv_state *s,
                                                 const struct kv_statement *st, int64_t now_ms);
/* An enabled person other than `without`, with another key than `without_key` (NULL: none), holds
 * the duty and has a good key. */
bool kv_duty_remains(const struct kv_state *s, enum kv_duty duty, const char *without,
                     const char *without_key, int64_t now_ms);
bool kv_has_duty(const struct kv_state *s, struct kv_bytes id, enum kv_duty duty);
bool kv_key_may(const struct kv_state *s, const struct kv_person_key *key, enum kv_seat seat);
bool kv_key_good(const struct kv_person_key *key, int64_t now_ms);
bool kv_request_complete(const struct kv_state *s, const struct kv_request *r);
/* A request of this state that can never be carried out any more. */
bool kv_request_lapsed(const struct kv_state *s, const struct kv_request *r, int64_t now_ms);
/* Whether an approved request's own step may happen now. */
bool kv_request_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms);
int64_t kv_grant_end_ms(const struct kv_state *s, const struct kv_grant *g);
bool kv_grant_is_clear(const struct kv_state *s, const struct kv_grant *g, int64_t now_ms);
/* What each kind of credential is for: none does the work of another. Sessions and the relay follow
 * a login of either kind. */
bool kv_cred_serves(enum kv_cred_kind kind, enum kv_op op);
/* The operation by which a credential of this kind logs in. */
enum kv_op kv_cred_login(enum kv_cred_kind kind);
/* How many uses the grant and both rates allow now; UINT64_MAX: as many as one likes. *more: the
 * refusal of one more than that. */
uint64_t kv_grant_room(const struct kv_state *s, const struct kv_grant *g, int64_t now_ms,
                       enum kv_code *more);
/* Until the rates of the grant and of the policy allow another use; 0: now. */
int64_t kv_grant_wait_ms(const struct kv_state *s, const struct kv_grant *g, int64_t now_ms);
/* KV_OK if the grant stands for `op` now, else the refusal. */
KV_MUST_USE enum kv_code kv_grant_standing(const struct kv_state *s, const struct kv_grant *g,
                                           enum kv_op op, int64_t now_ms, struct kv_err *err);
KV_MUST_USE enum kv_code kv_check_request_terms(const struct kv_judge *j,
                                                const struct kv_statement *st);
/* A person's decisions no longer count in what is open; `key` NULL: all of hers. Her own requests
 * end (those made with the key). */
void kv_discount(struct kv_state *s, const char *person, const char *key, int64_t since_ms);
/* The policy text behind a founding or policy request: its hash and its sentences. `s` may be NULL.
 */
KV_MUST_USE enum kv_code kv_check_policy_text(const struct kv_state *s,
                                              const struct kv_statement *st, struct kv_bytes text,
                                              struct kv_err *err);
struct kv_request *kv_add_request(const struct kv_judge *j, struct kv_statement *st);
/* The act of the record: its kind, actor, signature, nonce, checkpoint. *out is owned by the
 * caller. */
KV_MUST_USE enum kv_code kv_judge_act(const struct kv_judge *j, enum kv_act act, enum kv_noun noun,
                                      struct kv_statement **out, struct kv_person **actor,
                                      struct kv_target *target);
bool kv_takes_away(const struct kv_person *p); /* finance or custodian */
enum kv_seat kv_seat_of(enum kv_duty duty);    /* KV_SEAT_NONE: none */
enum kv_code kv_judge_same(const struct kv_judge *j, struct kv_bytes approved,
                           const char *recorded) KV_MUST_USE;
/* The document of an enrolment is the key's line, with an LF. */
enum kv_code kv_judge_key_doc(const struct kv_judge *j, struct kv_bytes line) KV_MUST_USE;
int64_t kv_key_end(const struct kv_statement *st); /* of an enrolment, KV_TIME_MAX: none */
int64_t kv_whole_second(int64_t ms);
void kv_enrol_key(const struct kv_judge *j, const char *person, struct kv_bytes line,
                  int64_t valid_from_ms, int64_t not_after_ms);

#endif
