#include "agent/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define READY_MAX 64

struct kv_source {
    struct kv_loop *loop;
    int fd;
    kv_loop_fd_fn *fn;
    void *ctx;
    bool dead;
    struct kv_source *next;
};

struct kv_timer {
    struct kv_loop *loop;
    kv_loop_fn *fn;
    void *ctx;
    bool armed;
    int64_t due_ms;
    struct kv_timer *next;
};

struct kv_loop {
    int epoll;
    int signals;
    bool running;
    struct kv_source *sources; /* all, also the dead until the turn's end */
    struct kv_timer *timers;
    struct kv_loop_leaver *leavers; /* a handful: a list is enough */
    kv_loop_fn *turn_fn;
    void *turn_ctx;
    kv_loop_fn *term_fn;
    void *term_ctx;
};

int64_t kv_loop_clock_ms(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_MONOTONIC, &ts);
    assert(rc == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

enum kv_code kv_loop_new(struct kv_loop **out, struct kv_err *err)
{
    struct kv_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
    }
    loop->signals = -1;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        free(loop);
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "epoll_create1");
    }
    *out = loop;
    return KV_OK;
}

static void sweep(struct kv_loop *loop)
{
    struct kv_source **at = &loop->sources;
    while (*at != NULL) {
        struct kv_source *source = *at;
        if (source->dead) {
            *at = source->next;
            free(source);
        } else {
            at = &source->next;
        }
    }
}

void kv_loop_free(struct kv_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    for (struct kv_source *s = loop->sources; s != NULL; s = s->next) {
        s->dead = true;
    }
    sweep(loop);
    kv_close_fdp(&loop->signals);
    kv_close_fdp(&loop->epoll);
    free(loop);
}

enum kv_code kv_loop_watch(struct kv_loop *loop, int fd, uint32_t events, kv_loop_fd_fn *fn,
                           void *ctx, struct kv_source **out, struct kv_err *err)
{
    struct kv_source *source = calloc(1, sizeof *source);
    if (source == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
    }
    *source = (struct kv_source){.loop = loop, .fd = fd, .fn = fn, .ctx = ctx};
    struct epoll_event ev = {.events = events, .data.ptr = source};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        free(source);
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "epoll_ctl add");
    }
    source->next = loop->sources;
    loop->sources = source;
    *out = source;
    return KV_OK;
}

enum kv_code kv_loop_change(struct kv_source *source, uint32_t events, struct kv_err *err)
{
    struct epoll_event ev = {.events = events, .data.ptr = source};
    if (epoll_ctl(source->loop->epoll, EPOLL_CTL_MOD, source->fd, &ev) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "epoll_ctl mod");
    }
    return KV_OK;
}

void kv_loop_unwatch(struct kv_source **source)
{
    struct kv_source *s = *source;
    if (s != NULL) {
        (void)epoll_ctl(s->loop->epoll, EPOLL_CTL_DEL, s->fd, NULL); /* it may be closed already */
        s->dead = true; /* freed at the turn's end: the event list may still name it */
        *source = NULL;
    }
}

struct kv_timer *kv_timer_new(struct kv_loop *loop, kv_loop_fn *fn, void *ctx)
{
    struct kv_timer *timer = calloc(1, sizeof *timer);
    if (timer == NULL) {
        abort(); /* a few bytes at start */
    }
    *timer = (struct kv_timer){.loop = loop, .fn = fn, .ctx = ctx, .next = loop->timers};
    loop->timers = timer;
    return timer;
}

void kv_timer_free(struct kv_timer *timer)
{
    if (timer == NULL) {
        return;
    }
    struct kv_timer **at = &timer->loop->timers;
    while (*at != timer) {
        at = &(*at)->next;
    }
    *at = timer->next;
    free(timer);
}

void kv_timer_arm(struct kv_timer *timer, int64_t ms)
{
    timer->armed = true;
    timer->due_ms = kv_loop_clock_ms() + (ms < 0 ? 0 : ms);
}

void kv_timer_disarm(struct kv_timer *timer)
{
    timer->armed = false;
}

bool kv_timer_armed(const struct kv_timer *timer)
{
    return timer->armed;
}

static void on_signal(void *ctx, uint32_t events)
{
    (void)events; /* readable is all there is */
    struct kv_loop *loop = ctx;
    struct signalfd_siginfo info;
    if (read(loop->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        loop->term_fn(loop->term_ctx);
    }
}

enum kv_code kv_loop_on_terminate(struct kv_loop *loop, kv_loop_fn *fn, void *ctx,
                                  struct kv_err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "sigprocmask");
    }
    loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "signalfd");
    }
    loop->term_fn = fn;
    loop->term_ctx = ctx;
    struct kv_source *source;
    return kv_loop_watch(loop, loop->signals, EPOLLIN, on_signal, loop, &source, err);
}

void kv_loop_on_turn(struct kv_loop *loop, kv_loop_fn *fn, void *ctx)
{
    loop->turn_fn = fn;
    loop->turn_ctx = ctx;
}

void kv_loop_on_leave(struct kv_loop *loop, struct kv_loop_leaver *leaver)
{
    leaver->next = loop->leavers;
    loop->leavers = leaver;
}

void kv_loop_quiet(struct kv_loop *loop, const struct kv_loop_leaver *leaver)
{
    for (struct kv_loop_leaver **at = &loop->leavers; *at != NULL; at = &(*at)->next) {
        if (*at == leaver) {
            *at = leaver->next;
            return;
        }
    }
}

void kv_loop_stop(struct kv_loop *loop)
{
    loop->running = false;
}

/* Milliseconds until the next timer, -1 for none. */
static int next_timeout(const struct kv_loop *loop)
{
    int64_t now = kv_loop_clock_ms(), best = -1;
    for (const struct kv_timer *t = loop->timers; t != NULL; t = t->next) {
        if (t->armed) {
            int64_t left = t->due_ms > now ? t->due_ms - now : 0;
            best = best < 0 || left < best ? left : best;
        }
    }
    return best > 3600000 ? 3600000 : (int)best;
}

static void run_timers(struct kv_loop *loop)
{
    int64_t now = kv_loop_clock_ms();
    bool again = true;
    while (again) { /* a callback may free or make timers: begin anew after each */
        again = false;
        for (struct kv_timer *t = loop->timers; t != NULL; t = t->next) {
            if (t->armed && t->due_ms <= now) {
                t->armed = false;
                t->fn(t->ctx);
                again = true;
                break;
            }
        }
    }
}

static void leave(struct kv_loop *loop)
{
    for (struct kv_loop_leaver *l = loop->leavers; l != NULL; l = l->next) {
        l->fn(l->ctx); /* sends; makes and frees nothing */
    }
}

enum kv_code kv_loop_run(struct kv_loop *loop, struct kv_err *err)
{
    struct epoll_event ready[READY_MAX];
    loop->running = true;
    while (loop->running) {
        leave(loop); /* also what was gathered before the first turn */
        int n = epoll_wait(loop->epoll, ready, READY_MAX, next_timeout(loop));
        if (n < 0 && errno != EINTR) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "epoll_wait");
        }
        for (int i = 0; i < n; i++) {
            struct kv_source *source = ready[i].data.ptr;
            if (!source->dead) {
                source->fn(source->ctx, ready[i].events);
            }
        }
        run_timers(loop);
        if (loop->turn_fn != NULL) {
            loop->turn_fn(loop->turn_ctx);
        }
        sweep(loop);
    }
    leave(loop);
    return KV_OK;
}
