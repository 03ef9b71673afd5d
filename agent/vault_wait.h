/* Calls that wait for a login or a refresh that goes on without them. */
#ifndef KV_AGENT_VAULT_WAIT_H
#define KV_AGENT_VAULT_WAIT_H

#include "agent/vault.h"

struct waiters {
    struct waiter *first; /* the youngest */
    struct kv_timer *timer;
    const char *busy; /* what is said at a deadline, with KV_E_KSEF_BUSY; borrowed */
    uint32_t retry_after;
};

/* Stays where it is: its timer knows it. */
void waiters_init(struct waiters *w, struct kv_loop *loop, const char *busy, uint32_t retry_after);
void waiters_add(struct waiters *w, struct call *call);
/* Take one out; the caller ends the call. NULL: none is left. */
struct call *waiters_next(struct waiters *w);
/* When the most patient one gives up, by the loop's clock; INT64_MIN: nobody waits. */
int64_t waiters_last_deadline(const struct waiters *w);
void waiters_refuse(struct waiters *w, enum kv_code code, const char *detail, uint32_t retry_after);
void waiters_clear(struct waiters *w);

#endif
