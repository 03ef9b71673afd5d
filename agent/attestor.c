#include "agent/attestor.h"

#include <stdlib.h>
#include <unistd.h>

struct waiting {
    struct waiting *next;
    uint32_t request, uid;
    int pidfd;
    int64_t until_ms;
    struct kv_attest_read *read; /* the one of its account that has begun */
};

struct kv_attestor {
    struct kv_loop *loop;
    struct kv_timer *timer;
    kv_attestor_fn *fn;
    void *ctx;
    struct waiting *first, **end; /* in the order of their turns: at most one for each connection */
};

static void free_waiting(struct waiting *w)
{
    kv_attest_read_free(w->read);
    kv_close_fdp(&w->pidfd);
    free(w);
}

/* What is told is one look at the process, at the end: if it executes another program by now, the
 * hash of what was read is not told as that one's. */
static void tell(struct kv_attestor *a, struct waiting *w)
{
    struct kv_attestation seen;
    struct kv_err err;
    enum kv_code code = kv_attest(w->pidfd, &seen, &err);
    a->fn(a->ctx, w->request, code, code == KV_OK ? &seen : NULL, code == KV_OK ? "" : err.msg);
    free_waiting(w);
}

static void append(struct kv_attestor *a, struct waiting *w)
{
    w->next = NULL;
    *a->end = w;
    a->end = &w->next;
}

static struct waiting *take(struct kv_attestor *a, struct waiting **at)
{
    struct waiting *w = *at;
    *at = w->next;
    a->end = a->end == &w->next ? at : a->end;
    return w;
}

/* Whether this one need not be read any more: another's turn has brought its hash, or it is late.
 */
static bool settled(const struct waiting *w)
{
    struct kv_attestation seen;
    struct kv_err err;
    return kv_loop_clock_ms() >= w->until_ms || kv_attest(w->pidfd, &seen, &err) != KV_OK ||
           seen.has_exe_hash;
}

static bool begin(struct waiting *w)
{
    struct kv_err err;
    int fd = -1;
    return kv_attest_open(w->pidfd, &fd, &err) == KV_OK &&
           kv_attest_read_new_take_fd(fd, &w->read, &err) == KV_OK;
}

/* The account's turn is over: all of its own go to the end, in their order, so that the next turn
 * is another's. */
static void pass_on(struct kv_attestor *a, uint32_t uid)
{
    struct waiting *own = NULL, **own_end = &own;
    struct waiting **at = &a->first;
    while (*at != NULL) {
        if ((*at)->uid == uid) {
            *own_end = take(a, at);
            own_end = &(*own_end)->next;
            *own_end = NULL;
        } else {
            at = &(*at)->next;
        }
    }
    while (own != NULL) {
        struct waiting *next = own->next;
        append(a, own);
        own = next;
    }
}

/* One piece of one program. */
static void on_timer(void *ctx)
{
    struct kv_attestor *a = ctx;
    struct waiting *w = a->first;
    struct kv_hash hash;
    struct kv_err err;
    bool done = false;
    uint32_t uid = w->uid;
    if ((w->read == NULL && (settled(w) || !begin(w))) || kv_loop_clock_ms() >= w->until_ms ||
        kv_attest_read_on(w->read, &done, &hash, &err) != KV_OK || done) {
        tell(a, take(a, &a->first));
    }
    pass_on(a, uid);
    if (a->first != NULL) {
        kv_timer_arm(a->timer, 0);
    }
}

struct kv_attestor *kv_attestor_new(struct kv_loop *loop, kv_attestor_fn *fn, void *ctx)
{
    struct kv_attestor *a = calloc(1, sizeof *a);
    if (a == NULL) {
        abort(); /* a few bytes at start */
    }
    *a = (struct kv_attestor){.loop = loop, .fn = fn, .ctx = ctx, .end = &a->first};
    a->timer = kv_timer_new(loop, on_timer, a);
    return a;
}

void kv_attestor_ask_take_fd(struct kv_attestor *a, uint32_t request, int pidfd, uint32_t uid,
                             bool read, int64_t wait_ms)
{
    struct waiting *w = calloc(1, sizeof *w);
    if (w == NULL) {
        abort();
    }
    *w = (struct waiting){
        .request = request, .uid = uid, .pidfd = pidfd, .until_ms = kv_loop_clock_ms() + wait_ms};
    if (!read || settled(w)) {
        tell(a, w);
        return;
    }
    append(a, w);
    if (!kv_timer_armed(a->timer)) {
        kv_timer_arm(a->timer, 0);
    }
}

void kv_attestor_clear(struct kv_attestor *a)
{
    while (a->first != NULL) {
        free_waiting(take(a, &a->first));
    }
    kv_timer_disarm(a->timer);
}

void kv_attestor_free(struct kv_attestor *a)
{
    if (a != NULL) {
        kv_attestor_clear(a);
        kv_timer_free(a->timer);
        free(a);
    }
}
