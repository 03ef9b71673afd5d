/* A login at KSeF under way, for vault_login.c (who waits, polling, how it ends),
 * vault_login_proof.c (the challenge, and what proves to KSeF who we are) and vault_login_redeem.c
 * (from there to the session). */
#ifndef KV_AGENT_VAULT_LOGIN_H
#define KV_AGENT_VAULT_LOGIN_H

#include "agent/vault_wait.h"

enum login_stage { LOGIN_PROVES, LOGIN_POLLS, LOGIN_REDEEMS };

struct login {
    struct login *next;
    struct vault *v;
    struct entitlement who;  /* grant "": nobody joins it (any more) */
    char grant[KV_ULID_LEN]; /* in the records: the grant, or the request of an import */
    char ctx[KV_CONTEXT_LEN];
    char via[KV_VIA_LEN];
    struct waiters waiters;
    enum login_stage stage;
    struct kv_timer *timer; /* of the next poll, or of the next try */
    int64_t poll_ms, poll_until;
    struct kv_buf document;
    char challenge[KV_REF_LEN];
    int64_t timestamp_ms; /* of the challenge */
    char client_ip[64];   /* as KSeF saw us then */
    bool has_offset;
    int64_t offset_ms; /* KSeF's clock minus ours */
    bool key_refused;  /* KSeF did not know its own key: fetched anew once */
    char reference[KV_REF_LEN];
    struct kv_secret *token; /* authentication token */
    struct kv_secret *access, *refresh;
    int64_t access_until, refresh_until;
    int64_t redeemed_http;
    uint64_t intent; /* seq of the open one */
    bool intent_open;
    vault_proven_fn *proven; /* an import's: no session is wanted, only KSeF's word */
    void *proven_ctx;
};

/* The fields that the courier adds to every answer. */
enum {
    F_CHALLENGE,
    F_TIMESTAMP,
    F_CLIENT_IP,
    F_HTTP,
    F_KSEF,
    F_RETRY,
    F_REFERENCE,
    F_TOKEN,
    F_UNTIL,
    F_ACCESS,
    F_ACCESS_UNTIL,
    F_REFRESH,
    F_REFRESH_UNTIL,
    F_SENT
};

/* ---- vault_login.c ---- */
/* A failure before or after the intent: the intent gets its outcome, the callers their refusal. */
void login_fail(struct login *login, enum kv_code code, const char *detail, uint32_t retry_after);
void login_end_badly(struct login *login, enum kv_out out, enum kv_code code, const char *detail,
                     uint32_t retry_after, int64_t http, int64_t ksef);
/* Read the courier's answer; a failure is dealt with here: false. */
KV_MUST_USE bool login_good_answer(struct login *login, const struct kv_answer_frame *answer,
                                   struct kv_field field[static KV_FIELDS_MAX]);
/* Ask the courier; `body` is wiped. */
void login_ask(struct login *login, enum kv_frame_op op, struct kv_buf *body,
               kv_channel_answer_fn *fn);
KV_MUST_USE enum kv_code login_intent(struct login *login, enum kv_op op, const struct kv_hash *dig,
                                      struct kv_err *err);
/* What became of the open intent. */
KV_MUST_USE enum kv_code login_outcome(struct login *login, enum kv_out out, enum kv_code why,
                                       int64_t http, int64_t ksef, struct kv_err *err);
void login_free(struct login *login);
/* KSeF has taken the proof under consideration: poll until it has decided. */
void login_posted(struct login *login);
bool login_by_token(const struct login *login);

/* ---- vault_login_proof.c ---- */
/* Get a challenge and prove who we are. */
void login_begin(struct login *login);

/* ---- vault_login_redeem.c ---- */
/* KSeF has taken the proof: fetch the tokens; the session takes the callers, and `login` goes. */
void login_redeem(struct login *login);

#endif
