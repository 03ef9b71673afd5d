/* A channel between two of the agent's programs: frames (core/frame.h) over a SOCK_SEQPACKET pair,
 * questions with their answers and deadlines. Frames of one turn of the loop leave together, as
 * many in a packet as fit; one that brings a descriptor is a packet of its own. Everything received
 * is checked against the table of frames; a peer that breaks it is cut off. Buffers are wiped after
 * each packet, since PINs and tokens pass through them. */
#ifndef KV_AGENT_CHANNEL_H
#define KV_AGENT_CHANNEL_H

#include "agent/loop.h"
#include "core/frame.h"
#include "core/message.h"

struct kv_channel;

/* The answer to a question. `fields` is its message, borrowed for the call. */
struct kv_answer_frame {
    enum kv_code code; /* KV_OK, the peer's refusal, KV_E_TIMEOUT (of a keeper: KV_E_TOKEN_TIMEOUT),
                          or KV_E_STARTING: peer gone */
    const char *detail;
    struct kv_bytes fields;
};
typedef void kv_channel_answer_fn(void *ctx, const struct kv_answer_frame *answer);

/* A frame that is not an answer. `fd` is -1 or belongs to the callee. */
typedef void kv_channel_frame_fn(void *ctx, struct kv_channel *channel,
                                 const struct kv_frame *frame, int fd);
typedef void kv_channel_gone_fn(void *ctx, struct kv_channel *channel);

/* Takes ownership of `fd` (also on failure). */
KV_MUST_USE enum kv_code kv_channel_new_take_fd(struct kv_loop *loop, int fd, enum kv_role self,
                                                enum kv_role peer, kv_channel_frame_fn *on_frame,
                                                kv_channel_gone_fn *on_gone, void *ctx,
                                                struct kv_channel **out, struct kv_err *err);
/* Open questions are answered with KV_E_STARTING first. Safe inside its own callbacks. */
void kv_channel_free(struct kv_channel *channel);
enum kv_role kv_channel_peer(const struct kv_channel *channel);

/* Send a frame at the end of this turn; `fd` is -1, or duplicated to the peer (the caller keeps its
 * own). Never blocks: what does not fit into the socket waits in a bounded queue; a full queue is
 * KV_E_BUSY. */
KV_MUST_USE enum kv_code kv_channel_send(struct kv_channel *channel, enum kv_frame_op op,
                                         struct kv_bytes body, int fd, struct kv_err *err);
/* Send a question; `fn` is called exactly once, later, unless this fails. */
KV_MUST_USE enum kv_code kv_channel_ask(struct kv_channel *channel, enum kv_frame_op op,
                                        struct kv_bytes body, int fd, int64_t timeout_ms,
                                        kv_channel_answer_fn *fn, void *ctx, struct kv_err *err);
/* Answer the question `request`; `fields` may be longer than one frame. */
void kv_channel_reply(struct kv_channel *channel, uint32_t request, enum kv_code code,
                      const char *detail, struct kv_bytes fields);
/* All open questions of `ctx` are due `timeout_ms` from now: the peer works on them still. */
void kv_channel_extend(struct kv_channel *channel, const void *ctx, int64_t timeout_ms);
/* `fn` is told whenever a question finds no answer within its deadline, after its own callback. */
void kv_channel_on_timeout(struct kv_channel *channel, kv_channel_gone_fn *fn);
/* Frames leave a few at a time, not all at the end of the turn, so that the peer works on the first
 * while we make the last. Not for the vault: what it says rests on records that the end of its turn
 * makes durable. */
void kv_channel_eager(struct kv_channel *channel);
/* What was gathered leaves now: for one who is about to end. */
void kv_channel_flush(struct kv_channel *channel);
/* Forget all questions of `ctx`: their `fn` is not called any more. */
void kv_channel_forget(struct kv_channel *channel, const void *ctx);

#endif
