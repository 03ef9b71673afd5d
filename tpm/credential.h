/* TPM2_MakeCredential, in software: a secret that only the TPM with this endorsement key opens, and
 * only while the object of this name is in it (TPM 2.0 Library part 1, §24 and annexes B.10.4,
 * C.6.4). In software, since a device that only says that it is a TPM would be asked to make its
 * own riddle. */
#ifndef KV_TPM_CREDENTIAL_H
#define KV_TPM_CREDENTIAL_H

#include "core/err.h"
#include "core/hash.h"

#include <tss2/tss2_tpm2_types.h>

/* `endorsement`: the public key (DER) of one with names by SHA-256 and AES-128, RSA 2048 or P-256,
 * as in the templates L-1 and L-2 of the TCG EK Credential Profile. Error: KV_E_TOKEN_MECHANISM. */
KV_MUST_USE enum kv_code kv_tpm_credential_make(struct kv_bytes endorsement, const TPM2B_NAME *name,
                                                const struct kv_hash *secret, TPM2B_ID_OBJECT *out,
                                                TPM2B_ENCRYPTED_SECRET *seed, struct kv_err *err);

#endif
