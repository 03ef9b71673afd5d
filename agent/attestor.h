/* The supervisor's answers to the vault's question who runs behind a connection. Looking is quick;
 * reading a program that is not known yet can take seconds, and whoever runs it decides how large
 * it is and how often it changes. So it is read in pieces, a piece in a turn of the loop, and one
 * program at a time of each account: the accounts take turns, and nobody waits for another's. */
#ifndef KV_AGENT_ATTESTOR_H
#define KV_AGENT_ATTESTOR_H

#include "agent/attest.h"
#include "agent/loop.h"

struct kv_attestor;
/* `seen` is borrowed, NULL unless code is KV_OK. Called exactly once, unless the attestor is
 * cleared before; also from inside kv_attestor_ask_take_fd. */
typedef void kv_attestor_fn(void *ctx, uint32_t request, enum kv_code code,
                            const struct kv_attestation *seen, const char *detail);

struct kv_attestor *kv_attestor_new(struct kv_loop *loop, kv_attestor_fn *fn, void *ctx);
void kv_attestor_free(struct kv_attestor *attestor);
/* Question number `request`: who is the process behind `pidfd` (taken), of account `uid`? With
 * `read`, its program is read if its hash is not known. One that cannot be read, changes meanwhile,
 * or has not had its turn within wait_ms, is told without. */
void kv_attestor_ask_take_fd(struct kv_attestor *attestor, uint32_t request, int pidfd,
                             uint32_t uid, bool read, int64_t wait_ms);
/* Who asked is gone: nothing is answered any more. */
void kv_attestor_clear(struct kv_attestor *attestor);

#endif
