/* Turns at a chip that nobody manages (swtpm). Several slots may lie in one, and the PINs of
 * others, each with a process of its own, and each start empties the chip of what the others have
 * loaded. So one works at a time, under a lock beside the slots' folders; and who finds there that
 * another worked since knows that nothing in the chip is his any more, and begins anew. */
#ifndef KV_TPM_TURN_H
#define KV_TPM_TURN_H

#include "core/err.h"

#define KV_TPM_TURN_WAIT_MS 30000 /* a slow chip makes an RSA key for another slot */

struct kv_tpm_turn {
    int fd;           /* -1: none is needed */
    uint8_t mark[16]; /* stands in the file while nobody else worked since */
};

/* `slots`, seen from `dir`, is the folder that those of the slots lie in. Where there is none there
 * are no others. out->fd is closed by the caller, which ends the turn. Error: KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_turn_open(int dir, const char *slots, struct kv_tpm_turn *out,
                                          struct kv_err *err);
/* Wait for our turn. *alone: nobody else worked since our last one. Errors: KV_E_TOKEN_IN_USE after
 * KV_TPM_TURN_WAIT_MS, KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_turn_take(const struct kv_tpm_turn *turn, bool *alone,
                                          struct kv_err *err);
/* The same for who only takes away what is his own, and that only if *alone: others are told
 * nothing. */
KV_MUST_USE enum kv_code kv_tpm_turn_last(const struct kv_tpm_turn *turn, bool *alone,
                                          struct kv_err *err);
void kv_tpm_turn_give(const struct kv_tpm_turn *turn);

#endif
