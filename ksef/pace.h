/* KSeF's limits on calls (KSeF API 2.0, rate limits), so that we keep below them instead of running
 * into refusals that grow longer: sliding windows of a second, a minute and an hour, each endpoint
 * for itself and, where KSeF counts so, each context. Pure: the time is a value. */
#ifndef KV_KSEF_PACE_H
#define KV_KSEF_PACE_H

#include "core/bytes.h"
#include "ksef/call.h"

struct kv_pace;

struct kv_pace *kv_pace_new(void); /* owned by the caller; out of memory aborts */
void kv_pace_free(struct kv_pace *pace);
/* May `call` be made at `now_ms`, for `context` (empty: none)? 0: yes, and it is counted; else the
 * milliseconds until it may. */
int64_t kv_pace_wait_ms(struct kv_pace *pace, enum kv_ksef_call call, struct kv_bytes context,
                        int64_t now_ms);
/* KSeF refused `call` for its rate: none of them before `until_ms`. */
void kv_pace_block(struct kv_pace *pace, enum kv_ksef_call call, struct kv_bytes context,
                   int64_t until_ms);

#endif
