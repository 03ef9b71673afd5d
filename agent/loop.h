/* The one event loop of each program: descriptors, timers, and a hook at the end of each turn (the
 * vault commits there). Nothing polls: it sleeps in epoll until something is ready or due. */
#ifndef KV_AGENT_LOOP_H
#define KV_AGENT_LOOP_H

#include "core/err.h"

struct kv_loop;
struct kv_source; /* a watched descriptor */
struct kv_timer;

typedef void kv_loop_fd_fn(void *ctx, uint32_t events); /* EPOLLIN … */
typedef void kv_loop_fn(void *ctx);

KV_MUST_USE enum kv_code kv_loop_new(struct kv_loop **out, struct kv_err *err);
void kv_loop_free(struct kv_loop *loop);

/* Watch `fd` (borrowed; remove it before closing). *out is owned by the loop until removed. */
KV_MUST_USE enum kv_code kv_loop_watch(struct kv_loop *loop, int fd, uint32_t events,
                                       kv_loop_fd_fn *fn, void *ctx, struct kv_source **out,
                                       struct kv_err *err);
KV_MUST_USE enum kv_code kv_loop_change(struct kv_source *source, uint32_t events,
                                        struct kv_err *err);
/* Safe inside callbacks; NULL is fine. Sets *source to NULL. */
void kv_loop_unwatch(struct kv_source **source);

/* A one-shot timer, not armed; owned by the caller (free before the loop). */
struct kv_timer *kv_timer_new(struct kv_loop *loop, kv_loop_fn *fn, void *ctx);
void kv_timer_free(struct kv_timer *timer);
/* Fire `ms` from now (CLOCK_MONOTONIC); arming again moves it. */
void kv_timer_arm(struct kv_timer *timer, int64_t ms);
void kv_timer_disarm(struct kv_timer *timer);
bool kv_timer_armed(const struct kv_timer *timer);

/* Call `fn` when SIGTERM or SIGINT arrives (through a signalfd, never in a handler). */
KV_MUST_USE enum kv_code kv_loop_on_terminate(struct kv_loop *loop, kv_loop_fn *fn, void *ctx,
                                              struct kv_err *err);
/* `fn` runs before the loop sleeps and when it ends: what a turn has gathered leaves together. The
 * node is the caller's; taken out by kv_loop_quiet. */
struct kv_loop_leaver {
    struct kv_loop_leaver *next;
    kv_loop_fn *fn;
    void *ctx;
};
void kv_loop_on_leave(struct kv_loop *loop, struct kv_loop_leaver *leaver);
void kv_loop_quiet(struct kv_loop *loop, const struct kv_loop_leaver *leaver);
/* `fn` runs after each turn's callbacks. */
void kv_loop_on_turn(struct kv_loop *loop, kv_loop_fn *fn, void *ctx);
KV_MUST_USE enum kv_code kv_loop_run(struct kv_loop *loop, struct kv_err *err);
void kv_loop_stop(struct kv_loop *loop);
int64_t kv_loop_clock_ms(void); /* CLOCK_MONOTONIC */

#endif
