/* A session at KSeF, for vault_session.c (leases, who joins and who waits) and vault_session_ksef.c
 * (refresh and end). */
#ifndef KV_AGENT_VAULT_SESSION_H
#define KV_AGENT_VAULT_SESSION_H

#include "agent/vault_wait.h"

#include <sys/queue.h>

#define LEASE_BUCKETS 4096
#define LEASES_MAX    65536 /* of a session; beyond them the oldest ends with its token, unasked */

struct lease {
    LIST_ENTRY(lease) of_bucket;
    TAILQ_ENTRY(lease) by_age;
    char id[KV_ULID_LEN];
    int64_t until_ms;
};

struct leases {
    LIST_HEAD(, lease) bucket[LEASE_BUCKETS];
    TAILQ_HEAD(, lease) by_age; /* the oldest first */
    size_t count;
};

/* Why a session ends. */
enum why { WHY_NONE, WHY_LAST_LEASE, WHY_GRANT_END, WHY_SUSPENDED, WHY_ORPHAN };

struct session {
    struct session *next;
    struct vault *v;
    struct entitlement who;
    char ctx[KV_CONTEXT_LEN];
    char via[KV_VIA_LEN];
    char reference[KV_REF_LEN];
    struct kv_secret *access, *refresh; /* of an orphan, NULL until the keeper gave one back */
    int64_t access_until, refresh_until;
    int64_t given_until; /* of the access tokens that callers have */
    int64_t born_ms;     /* loop clock */
    struct leases leases;
    struct waiters waiters;         /* for a refreshed token */
    struct kv_timer *timer;         /* leases that end; what is tried again */
    struct kv_timer *refresh_timer; /* KSeF asked for patience */
    uint64_t intent;
    bool refreshing;
    enum why why; /* not WHY_NONE: it is being ended, and nobody joins it any more */
    int64_t retry_ms;
    bool lost; /* an orphan without a refresh token: another session of its kind ends it */
};

/* ---- vault_session.c ---- */
/* Record a lease of the session's token, and answer the call with it. */
void session_give(struct session *s, struct call *call);
void session_free_leases(struct session *s);
void session_free(struct session *s);

/* ---- vault_session_ksef.c ---- */
/* Get a new access token; who waits then gets it. */
KV_MUST_USE enum kv_code session_refresh(struct session *s, struct kv_err *err);
void session_refresh_timer(void *session);
/* End it at KSeF: nobody joins it any more. It may be freed when this returns. */
void session_end(struct session *s, enum why why);
/* Use the tokens of `s`, which is fresh, to end what was lost. */
void session_end_lost(struct session *s);
/* The next try. */
void session_end_at_ksef(struct session *s);

#endif
