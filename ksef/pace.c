#include "ksef/pace.h"

#include "core/hash.h"
#include "core/time.h"

#include <stdlib.h>

#define TIMES_MAX   120 /* of the largest hourly limit */
#define WINDOWS_MAX 256 /* endpoints and contexts in use; the one that is idle longest goes */

struct limit {
    unsigned second, minute, hour; /* 0: none */
};

/* Logins are limited by the second only, for each address; what concerns sessions, for each
 * context. */
static const struct limit login = {60, 0, 0}, other = {10, 30, 120};

static const struct limit *limit_of(enum kv_ksef_call call)
{
    switch (call) {
    case KV_KSEF_SESSION_CURRENT:
    case KV_KSEF_SESSION_END:
    case KV_KSEF_SESSIONS: return &other;
    case KV_KSEF_CHALLENGE:
    case KV_KSEF_XADES:
    case KV_KSEF_TOKEN_LOGIN:
    case KV_KSEF_KEYS:
    case KV_KSEF_STATUS:
    case KV_KSEF_REDEEM:
    case KV_KSEF_REFRESH:
    case KV_KSEF_CALL_COUNT: break;
    }
    return &login;
}

struct window {
    enum kv_ksef_call call;
    struct kv_hash context;
    int64_t times[TIMES_MAX]; /* a ring */
    size_t next, count;
    int64_t used_ms, blocked_until;
};

struct kv_pace {
    struct window window[WINDOWS_MAX];
    size_t count;
};

struct kv_pace *kv_pace_new(void)
{
    struct kv_pace *pace = calloc(1, sizeof *pace);
    if (pace == NULL) {
        abort();
    }
    return pace;
}

void kv_pace_free(struct kv_pace *pace)
{
    free(pace);
}

static struct window *window_of(struct kv_pace *pace, enum kv_ksef_call call,
                                struct kv_bytes context)
{
    struct kv_hash hash = kv_hash(limit_of(call) == &other ? context : KV_BYTES_NULL);
    struct window *oldest = &pace->window[0];
    for (size_t i = 0; i < pace->count; i++) {
        struct window *w = &pace->window[i];
        if (w->call == call && kv_hash_equal(&w->context, &hash)) {
            return w;
        }
        oldest = w->used_ms < oldest->used_ms ? w : oldest;
    }
    struct window *fresh = pace->count < WINDOWS_MAX ? &pace->window[pace->count++] : oldest;
    *fresh = (struct window){.call = call, .context = hash};
    return fresh;
}

/* Until the window of `span` has room for one more: its `limit`-th youngest call must be older. */
static int64_t wait_of(const struct window *w, unsigned limit, int64_t span, int64_t now_ms)
{
    if (limit == 0 || w->count < limit) {
        return 0;
    }
    int64_t at = w->times[(w->next + TIMES_MAX - limit) % TIMES_MAX];
    return at + span > now_ms ? at + span - now_ms : 0;
}

int64_t kv_pace_wait_ms(struct kv_pace *pace, enum kv_ksef_call call, struct kv_bytes context,
                        int64_t now_ms)
{
    struct window *w = window_of(pace, call, context);
    const struct limit *limit = limit_of(call);
    const int64_t waits[] = {wait_of(w, limit->second, KV_SECOND_MS, now_ms),
                             wait_of(w, limit->minute, KV_MINUTE_MS, now_ms),
                             wait_of(w, limit->hour, KV_HOUR_MS, now_ms),
                             w->blocked_until > now_ms ? w->blocked_until - now_ms : 0};
    int64_t longest = 0;
    for (size_t i = 0; i < KV_COUNT(waits); i++) {
        longest = waits[i] > longest ? waits[i] : longest;
    }
    if (longest == 0) {
        w->times[w->next] = now_ms;
        w->next = (w->next + 1) % TIMES_MAX;
        w->count = w->count < TIMES_MAX ? w->count + 1 : TIMES_MAX;
        w->used_ms = now_ms;
    }
    return longest;
}

void kv_pace_block(struct kv_pace *pace, enum kv_ksef_call call, struct kv_bytes context,
                   int64_t until_ms)
{
    struct window *w = window_of(pace, call, context);
    w->blocked_until = until_ms > w->blocked_until ? until_ms : w->blocked_until;
}
