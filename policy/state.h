/* The state of a vault: a pure fold over the records of its ledger and their blobs. One function
 * judges a record and, if it is good, changes the state; the live vault calls it with drafts, a
 * start and a verification with what is stored. So live = replay by construction, and no second
 * database can disagree. No I/O, no clock: time comes from the record or as a value. */
#ifndef KV_POLICY_STATE_H
#define KV_POLICY_STATE_H

#include "core/record.h"
#include "policy/ruleset.h"
#include "policy/statement.h"

struct kv_state;

struct kv_moment {
    int64_t now_ms;
    uint64_t covered; /* records under the signed checkpoint; UINT64_MAX in a replay */
};

/* What a judgement may ask of the log. */
struct kv_log_view {
    bool (*root_at)(void *ctx, uint64_t size, struct kv_hash *out); /* false: never had that size */
    void *ctx;
    uint64_t size;    /* a signed `log-checkpoint` above this is unknown */
    uint64_t covered; /* as in kv_moment */
};

struct kv_state *kv_state_new(void); /* owned by the caller; out of memory aborts, here and below */
void kv_state_free(struct kv_state *state);
void kv_state_freep(struct kv_state **state);

/* Judge `rec` (seq must be the next, ts not before the last) with the bytes of its docs, and apply
 * it. On failure nothing changed. The code says which rule refused it: statement.*, signature.*,
 * approval.*, act.*, person.*, request.*, policy.*, ledger.illegal for what no live vault would
 * ever write, ledger.not-approved for a giving record without its approvals. */
KV_MUST_USE enum kv_code kv_state_apply(struct kv_state *state, const struct kv_record *rec,
                                        const struct kv_blobs *blobs, const struct kv_log_view *log,
                                        struct kv_err *err);

/* ---- what is in it ---- */

struct kv_person {
    char id[KV_ID_LEN];
    enum kv_duty duty;
    bool enabled; /* false after leaving */
    bool has_uid;
    uint64_t uid; /* of a local account that may read */
    uint64_t seq; /* of the record that gave it */
};
struct kv_person_key {
    char fingerprint[KV_KEY_LEN];
    char person[KV_ID_LEN];
    struct kv_pubkey key;
    int64_t
        valid_from_ms;    /* the second of the enrolment; founders: `issued` of the founding text */
    int64_t back_ms;      /* she left and came back: signs again from then; else 0 */
    int64_t not_after_ms; /* KV_TIME_MAX: none */
    int64_t retired_ms;   /* 0: not retired */
    bool compromised;
    int64_t compromised_since_ms;
    uint64_t seq;
};
enum kv_request_state {
    KV_REQUEST_OPEN,
    KV_REQUEST_APPROVED,
    KV_REQUEST_DONE,
    KV_REQUEST_DENIED,
    KV_REQUEST_WITHDRAWN,
    KV_REQUEST_LAPSED,
    KV_REQUEST_STATE_COUNT
};
const char *kv_request_state_word(enum kv_request_state state);

struct kv_signed_decision {
    char person[KV_ID_LEN];
    char key[KV_KEY_LEN];
    enum kv_seat seat;
    bool approve;
    bool counts; /* false once the person left, or her key went bad, while the request was open */
    int64_t recorded_ms;
    uint64_t seq;
};
struct kv_request {
    char id[KV_ULID_LEN];
    enum kv_action action;
    enum kv_request_state state;
    struct kv_statement *text; /* owned by the state */
    struct kv_hash sha256;
    char requester[KV_ID_LEN]; /* person or integration; "" for nobody (founding) */
    bool by_integration;
    char requester_key[KV_KEY_LEN]; /* "" if none */
    struct kv_hash reason;          /* commitment */
    bool has_reason;
    int64_t issued_ms, not_before_ms, not_after_ms, collect_until_ms, opened_ms;
    uint64_t open_seq, decided_seq;
    struct kv_signed_decision *decisions;
    size_t decision_count;
    bool orphaned; /* while open, its requester left or changed duty, or her key went bad */
    unsigned step; /* records of its action written so far */
    bool proven;   /* credential.import: KSeF took the token */
};
struct kv_credential {
    char id[KV_ID_LEN];
    const struct kv_request *request; /* its terms */
    enum kv_cred_kind kind;
    enum kv_key_type key_type;
    char slot[KV_ID_LEN];
    char custody[16];
    struct kv_hash public_key; /* blob: SPKI; none of a token */
    char rung[8];              /* a token: how it is wrapped (core/token.h); it came from outside */
    bool active;
    struct kv_hash certificate; /* blob; valid if has_certificate */
    bool has_certificate, self_signed;
    int64_t from_ms, to_ms; /* validity of the certificate */
    uint64_t created_seq, active_seq;
};
struct kv_integration {
    char id[KV_ID_LEN];
    const struct kv_request *request; /* whose terms hold */
    const struct kv_request *resumed; /* that lifted the last suspension; NULL: none */
    bool suspended;
    uint32_t suspended_ops; /* while not wholly suspended */
    bool by_agent;          /* the agent suspended it; a person's suspension needs `resume` */
    char suspended_why[KV_ERR_WORD_LEN];
    bool has_former_exe; /* the hash before the last change passes until … */
    struct kv_hash former_exe;
    int64_t former_exe_until_ms;
    bool exe_alarm; /* changed executable seen, `alarm-for` runs */
    int64_t exe_alarm_until_ms;
    bool compromised; /* the agent has to suspend it */
    uint64_t seq;
};
enum kv_grant_state {
    KV_GRANT_ACTIVE,
    KV_GRANT_SUSPENDED,
    KV_GRANT_CLOSING, /* over, and something of it may still be open at KSeF */
    KV_GRANT_CLOSED,
    KV_GRANT_STATE_COUNT
};
const char *kv_grant_state_word(enum kv_grant_state state);
struct kv_grant {
    char id[KV_ULID_LEN];
    const struct kv_request *request;
    const struct kv_request *resumed; /* that lifted the last suspension; NULL: none */
    struct kv_credential *credential;
    struct kv_integration *integration;
    enum kv_grant_state state;
    bool revoked;           /* over because a person ended it, */
    char closer[KV_ID_LEN]; /* this one */
    char why[16];           /* over by itself: time, uses, policy */
    int64_t residual_ms; /* the last access token that was handed out lives until then; 0: none */
    uint32_t ops;
    uint32_t suspended_ops;
    char suspended_why[KV_ERR_WORD_LEN];
    bool has_max_uses;
    uint64_t max_uses, uses;
    struct kv_rate rate; /* count 0: none */
    int64_t *use_times;  /* within the rate's window */
    size_t use_count, use_cap;
    bool compromised, ends_by_policy;
    uint64_t seq;
};
/* Ended for good; what is left of it is to be closed, or is. */
bool kv_grant_over(const struct kv_grant *grant);
/* A session at KSeF, from the outcome of its redeeming (also of one that nobody knows: it may be
 * open) to its ksef.close. */
struct kv_ksef_session {
    char ref[KV_REF_LEN];
    char grant[KV_ULID_LEN];
    char cred[KV_ID_LEN];
    char ctx[KV_CONTEXT_LEN];
    int64_t seen_ms;         /* of the last record about it */
    int64_t access_until_ms; /* of its last access token; 0: not known */
};

struct kv_intent {
    uint64_t seq;
    int64_t ts_ms;
    char grant[KV_ULID_LEN];
    char ref[KV_REF_LEN]; /* session.open: of the session */
    enum kv_op op;
};

const char *kv_state_vault(const struct kv_state *state); /* "" before log.init */
bool kv_state_is_test(const struct kv_state *state);
bool kv_state_founded(const struct kv_state *state);
uint64_t kv_state_size(const struct kv_state *state); /* records applied */
const struct kv_ruleset *kv_state_rules(const struct kv_state *state);
const struct kv_hash *
kv_state_policy(const struct kv_state *state); /* SHA-256 of the active text */
size_t kv_state_policy_len(const struct kv_state *state);

size_t kv_state_person_count(const struct kv_state *state);
const struct kv_person *kv_state_person_at(const struct kv_state *state, size_t i);
size_t kv_state_key_count(const struct kv_state *state);
const struct kv_person_key *kv_state_key_at(const struct kv_state *state, size_t i);
size_t kv_state_request_count(const struct kv_state *state);
const struct kv_request *kv_state_request_at(const struct kv_state *state, size_t i);
size_t kv_state_credential_count(const struct kv_state *state);
const struct kv_credential *kv_state_credential_at(const struct kv_state *state, size_t i);
size_t kv_state_integration_count(const struct kv_state *state);
const struct kv_integration *kv_state_integration_at(const struct kv_state *state, size_t i);
size_t kv_state_grant_count(const struct kv_state *state);
const struct kv_grant *kv_state_grant_at(const struct kv_state *state, size_t i);
size_t kv_state_intent_count(const struct kv_state *state); /* without outcome */
const struct kv_intent *kv_state_intent_at(const struct kv_state *state, size_t i);

size_t kv_state_session_count(const struct kv_state *state); /* open at KSeF */
const struct kv_ksef_session *kv_state_session_at(const struct kv_state *state, size_t i);
/* A token was encrypted to this key of KSeF (its publicKeyId) before. */
bool kv_state_ministry_key(const struct kv_state *state, const struct kv_hash *id);
/* The key that was new last; false: none yet. */
bool kv_state_newest_ministry_key(const struct kv_state *state, struct kv_hash *id);

/* NULL if there is none. */
const struct kv_person *kv_state_person(const struct kv_state *state, struct kv_bytes id);
const struct kv_request *kv_state_request(const struct kv_state *state, struct kv_bytes id);
const struct kv_credential *kv_state_credential(const struct kv_state *state, struct kv_bytes id);
const struct kv_integration *kv_state_integration(const struct kv_state *state, struct kv_bytes id);
const struct kv_grant *kv_state_grant(const struct kv_state *state, struct kv_bytes id);
/* The person has an enrolled key good at `now_ms`; returns one, or NULL. */
const struct kv_person_key *kv_state_good_key(const struct kv_state *state, const char *person,
                                              int64_t now_ms);
/* An enabled person has this local uid: she may read. */
bool kv_state_reader(const struct kv_state *state, uint64_t uid);
/* The seq of the record that holds exactly this text; false if none does. */
bool kv_state_text_seq(const struct kv_state *state, const struct kv_hash *sha256, uint64_t *seq);

/* The state as text, one fact a line: what golden ledgers are held to. */
void kv_state_dump(const struct kv_state *state, struct kv_buf *out);
/* SHA-256 over that text: equal iff the states decide alike. */
struct kv_hash kv_state_digest(const struct kv_state *state);
/* The file allowed_signers of an export, from the enrolments (APPROVALS §7). */
void kv_state_allowed_signers(const struct kv_state *state, struct kv_buf *out);

/* ---- what the agent must do ---- */

/* A record that the agent writes by itself now, as a consequence of what people signed or of time.
 */
struct kv_due {
    struct kv_record *rec; /* owned by the caller; NULL: nothing is due */
    struct kv_buf doc;     /* bytes of its one document, if `has_doc` */
    bool has_doc;
    bool wants_policy; /* the document is the policy text of this hash, which the caller has */
    struct kv_hash policy;
};
/* A policy.activate may be refused with request.policy-text: grants began since people signed its
 * list of ended grants. Then this is the record to write instead; NULL: no reason to. Owned by the
 * caller. */
struct kv_record *kv_state_lapse(const struct kv_state *state, const struct kv_record *refused);
/* Ask again after each that was applied, until rec is NULL. `give`: strict records may be written;
 * without it only those that take away. */
void kv_state_due(const struct kv_state *state, const struct kv_moment *moment, bool give,
                  struct kv_due *out);
/* The next time at which something may become due by itself; KV_TIME_MAX: none. */
int64_t kv_state_next_due_ms(const struct kv_state *state, int64_t now_ms);
/* The next approved credential.create that waits for its key, from *at (0: the first), which moves
 * on; NULL: none. */
const struct kv_request *kv_state_key_wanted(const struct kv_state *state,
                                             const struct kv_moment *moment, size_t *at);

/* The approved credential.import of this credential that waits for its token; NULL: none. */
const struct kv_request *kv_state_token_wanted(const struct kv_state *state,
                                               struct kv_bytes credential,
                                               const struct kv_moment *moment);

/* ---- signed texts ---- */

/* What a handed-in text becomes. docs are added to the record; blobs[i] are their bytes, borrowed
 * from the arguments. */
struct kv_submission {
    struct kv_bytes text;
    struct kv_bytes signature;         /* armour; empty for an integration's own request */
    struct kv_bytes new_key_signature; /* enrolments; else empty */
    struct kv_bytes policy;            /* the text behind a policy request; else empty */
    const char *integration;           /* attested caller of its own request; else NULL */
    const char *via;                   /* of that caller */
};
struct kv_draft {
    struct kv_record *rec; /* owned by the caller */
    struct kv_bytes blobs[3];
};
/* Shape the record for a text; judging is kv_state_apply's. What only a live vault checks
 * (sentences and ended grants of a policy request) is checked here. */
KV_MUST_USE enum kv_code kv_state_draft(const struct kv_state *state,
                                        const struct kv_submission *sub, struct kv_draft *out,
                                        struct kv_err *err);

/* ---- questions ---- */

struct kv_caller {
    uint32_t uid, gid;
    const char *unit; /* "" if none */
    const char *exe;  /* "" if not known */
    bool has_exe_hash;
    struct kv_hash exe_hash;
};
struct kv_answer {
    enum kv_code code; /* KV_OK, or the refusal */
    char detail[192];  /* what rule refused, with names and times */
    char who[128];     /* who can lift it; "" if nobody needs to */
    bool exe_changed;  /* the executable is not the approved one: alarm, and suspend unless told */
    bool exe_suspend;
    uint32_t retry_after_s;
    uint64_t room; /* with KV_OK: how many uses the grant allows at once; UINT64_MAX: any */
    enum kv_code room_code; /* the refusal of more: KV_E_GRANT_USES or KV_E_GRANT_RATE */
    const struct kv_integration *integration; /* NULL if the caller is nobody */
    const struct kv_grant *grant;             /* NULL if none fits */
    const struct kv_credential *credential;
};
/* Is an integration registered for this account, and unit if it names one, whatever it runs? */
bool kv_state_knows(const struct kv_state *state, const struct kv_caller *caller);
/* May this caller do `op` in `context` now? For session.open the grant must also allow the login
 * that its credential makes: auth.xades or auth.token. */
void kv_state_question(const struct kv_state *state, const struct kv_caller *caller, enum kv_op op,
                       const char *context, const struct kv_moment *moment, struct kv_answer *out);
/* Does this very grant stand for sessions, whoever calls and whatever its rate? Errors: the refusal
 * of a use; KV_E_NO_GRANT. */
KV_MUST_USE enum kv_code kv_state_grant_stands(const struct kv_state *state, struct kv_bytes grant,
                                               int64_t now_ms, struct kv_err *err);
/* The same for an integration by name, whoever calls. */
void kv_state_explain(const struct kv_state *state, struct kv_bytes integration, enum kv_op op,
                      const char *context, const struct kv_moment *moment, struct kv_answer *out);

/* Who could fill the seat for a request of `requester` ("" for nobody), if `away` ("" for nobody)
 * is not there: enabled, with the duty and a good key. */
size_t kv_state_eligible(const struct kv_state *state, enum kv_seat seat, struct kv_bytes requester,
                         struct kv_bytes beneficiary, struct kv_bytes away, int64_t now_ms,
                         const struct kv_person **out, size_t max);

/* ---- founding ---- */

/* Collects the founding request and its decisions; nothing is recorded before all have signed. */
struct kv_founding;
struct kv_founding *kv_founding_new(const char *vault, const char *log_key); /* vkey text */
void kv_founding_free(struct kv_founding *founding);
/* Take one text with its signature (kv_submission as above; the request brings the policy text).
 * Repeating one is fine. Another founding request replaces the former and its decisions. */
KV_MUST_USE enum kv_code kv_founding_add(struct kv_founding *founding,
                                         const struct kv_submission *sub, int64_t now_ms,
                                         struct kv_err *err);
bool kv_founding_complete(const struct kv_founding *founding);
/* Append the ids of those who have not signed, comma-separated. */
void kv_founding_missing(const struct kv_founding *founding, struct kv_buf *out);
/* The i-th record of the founding commit (log.init, vault.found, person.enrol each,
 * policy.activate), with its blobs; rec NULL behind the last. Only when complete. Blobs are
 * borrowed from `founding`. */
#define KV_FOUNDING_BLOBS_MAX 64
struct kv_founding_record {
    struct kv_record *rec; /* owned by the caller */
    struct kv_bytes blobs[KV_FOUNDING_BLOBS_MAX];
};
void kv_founding_record(const struct kv_founding *founding, struct kv_bytes spki, size_t i,
                        struct kv_founding_record *out);

#endif
