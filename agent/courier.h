/* The courier, for courier.c (the process) and courier_errand.c (calls to KSeF). */
#ifndef KV_AGENT_COURIER_H
#define KV_AGENT_COURIER_H

#include "agent/channel.h"
#include "agent/courier_http.h"
#include "ksef/call.h"
#include "ksef/pace.h"

struct courier {
    struct kv_loop *loop;
    struct kv_channel *supervisor, *vault;
    struct kv_courier_http *http;
    struct kv_pace *pace;
    struct parked *parked;
    enum kv_code failed; /* why it could not be configured */
};

/* ---- courier_errand.c ---- */
/* Make the call that the frame asks for, below KSeF's limits, and answer it with checked fields. */
void courier_errand(struct courier *courier, const struct kv_frame *frame, enum kv_ksef_call call);
/* Let go of what waits. */
void courier_errands_clear(struct courier *courier);

#endif
