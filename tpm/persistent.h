/* What stays in a TPM for good, whoever put it there. We put nothing there: our keys are files. */
#ifndef KV_TPM_PERSISTENT_H
#define KV_TPM_PERSISTENT_H

#include "core/err.h"
#include "tpm/token.h"

struct kv_tpm_kept {
    uint32_t handle; /* 0x81…: the owner's, the endorsement hierarchy's, the platform's */
    char key[16];    /* its kind, for people */
    char use[64];    /* what it is for, as far as it can be told */
};

/* Ask the slot's chip, changing nothing in it, and call `each` for each object, in the order of
 * handles. Errors: KV_E_TOKEN_IN_USE (the agent has the slot; the chip is not asked),
 * KV_E_TOKEN_ABSENT, KV_E_TOKEN…. */
KV_MUST_USE enum kv_code kv_tpm_persistent(const struct kv_tpm_profile *profile,
                                           void (*each)(const struct kv_tpm_kept *kept, void *arg),
                                           void *arg, struct kv_err *err);

#endif
