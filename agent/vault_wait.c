/* Calls that wait for something that goes on without them, each until its own deadline. */
#include "agent/vault_wait.h"

#include <stdlib.h>

struct waiter {
    struct waiter *next;
    struct call *call;
};

/* Those whose deadline has come are told busy; what they wait for goes on. */
static void on_timer(void *ctx)
{
    struct waiters *w = ctx;
    int64_t now = kv_loop_clock_ms(), next = INT64_MAX;
    struct waiter **at = &w->first;
    while (*at != NULL) {
        struct waiter *waiter = *at;
        if (waiter->call->deadline_ms <= now) {
            *at = waiter->next;
            vault_refuse_retry(waiter->call, KV_E_KSEF_BUSY, w->busy, w->retry_after);
            free(waiter);
        } else {
            next = waiter->call->deadline_ms < next ? waiter->call->deadline_ms : next;
            at = &waiter->next;
        }
    }
    if (next != INT64_MAX) {
        kv_timer_arm(w->timer, next - now);
    }
}

void waiters_init(struct waiters *w, struct kv_loop *loop, const char *busy, uint32_t retry_after)
{
    *w = (struct waiters){.busy = busy, .retry_after = retry_after};
    w->timer = kv_timer_new(loop, on_timer, w);
}

void waiters_add(struct waiters *w, struct call *call)
{
    struct waiter *waiter = malloc(sizeof *waiter);
    if (waiter == NULL) {
        abort();
    }
    *waiter = (struct waiter){w->first, call};
    w->first = waiter;
    kv_timer_arm(w->timer, 0); /* it finds the next deadline by itself */
}

struct call *waiters_next(struct waiters *w)
{
    struct waiter *waiter = w->first;
    if (waiter == NULL) {
        kv_timer_disarm(w->timer);
        return NULL;
    }
    struct call *call = waiter->call;
    w->first = waiter->next;
    free(waiter);
    return call;
}

int64_t waiters_last_deadline(const struct waiters *w)
{
    int64_t last = INT64_MIN;
    for (const struct waiter *waiter = w->first; waiter != NULL; waiter = waiter->next) {
        last = waiter->call->deadline_ms > last ? waiter->call->deadline_ms : last;
    }
    return last;
}

void waiters_refuse(struct waiters *w, enum kv_code code, const char *detail, uint32_t retry_after)
{
    struct call *call;
    while ((call = waiters_next(w)) != NULL) {
        vault_refuse_retry(call, code, detail, retry_after);
    }
}

void waiters_clear(struct waiters *w)
{
    assert(w->first == NULL); /* each call gets an answer */
    kv_timer_free(w->timer);
    w->timer = NULL;
}
