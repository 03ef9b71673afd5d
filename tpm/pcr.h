/* PCRs: what the machine was booted with, and who may say that it is good. An object under the
 * authority's policy (TPM2_PolicyAuthorize) opens for every state of the PCRs that this key has
 * signed, so an update needs a signature and no new object. */
#ifndef KV_TPM_PCR_H
#define KV_TPM_PCR_H

#include "core/err.h"
#include "core/hash.h"
#include "tpm/chip.h"

#define KV_TPM_PCRS_LEN  80 /* "sha256:0,1,…,23" with NUL */
#define KV_TPM_POINT_LEN 65 /* a P-256 point, not compressed */

/* A state and the authority's signature (r‖s) of it; so it lies in the file. */
struct kv_tpm_approval {
    uint8_t state[KV_HASH_LEN]; /* the policy digest of TPM2_PolicyPCR */
    uint8_t sig[64];
};

/* `sha256:` and numbers from 0 to 23, rising, with commas. */
bool kv_tpm_pcrs_parse(const char *text, TPML_PCR_SELECTION *out);
/* Begin a session of this type (policy, trial) and bind it to the PCRs as they are, or, in a trial,
 * to the values of this digest (NULL: as they are). *session is flushed by the caller, also after a
 * failure. Errors: KV_E_TOKEN_MECHANISM (the TPM keeps no such PCR), KV_E_TOKEN…. */
KV_MUST_USE enum kv_code kv_tpm_pcrs_begin(struct kv_tpm_chip *chip, const char *pcrs, TPM2_SE type,
                                           const struct kv_hash *values, ESYS_TR *session,
                                           struct kv_hash *state, struct kv_err *err);
/* Let the session, which is at the approval's state, go on as if the object named that state.
 * Errors: KV_E_PIN_APPROVAL if the signature is not the authority's. */
KV_MUST_USE enum kv_code kv_tpm_pcrs_authorise(struct kv_tpm_chip *chip, ESYS_TR session,
                                               const struct kv_tpm_approval *approval,
                                               const uint8_t authority[static KV_TPM_POINT_LEN],
                                               const TPM2B_DIGEST *ref, struct kv_err *err);
/* The authPolicy of an object that this authority's approvals for `ref` open. */
void kv_tpm_pcrs_policy(const uint8_t authority[static KV_TPM_POINT_LEN], const TPM2B_DIGEST *ref,
                        TPM2B_DIGEST *out);

#endif
