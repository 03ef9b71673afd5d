/* One TPM 2.0 over ESAPI: opened, cleaned, asked. The chip
 * has room for three transient objects if nobody manages it: the storage key has one, a key in use
 * the second, and the third is what commands need themselves. */
#ifndef KV_TPM_CHIP_H
#define KV_TPM_CHIP_H

#include "core/err.h"
#include "core/secret.h"
#include "core/token.h"
#include "tpm/rc.h"

#include <tss2/tss2_esys.h>

struct kv_tpm_chip {
    TSS2_TCTI_CONTEXT *tcti; /* NULL: not open */
    ESYS_CONTEXT *esys;
    ESYS_TR primary; /* the storage key; ESYS_TR_NONE: none */
    ESYS_TR session; /* HMAC, salted to it; ESYS_TR_NONE: none */
    TPM2B_NAME primary_name;
    char manufacturer[5], vendor[17], firmware[24];
    bool software; /* it says so, or the way to it does */
    bool managed;  /* a resource manager is behind it: others' handles are not ours to flush */
};

/* An object as it lies in a file. */
struct kv_tpm_blob {
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
};

#define KV_TPM_SRK_HANDLE 0x81000001U /* TCG TPM v2.0 Provisioning Guidance §7.8 */

/* Only connect: no storage key, no session, and nothing of others is flushed. *out as below. */
KV_MUST_USE enum kv_code kv_tpm_chip_connect(const char *tcti, struct kv_tpm_chip *out,
                                             struct kv_err *err);
/* Whether the public half is that of the standard storage key, as we would derive it. */
bool kv_tpm_chip_is_storage(const TPM2B_PUBLIC *public);
/* Connect, flush what was left in a chip without a resource manager, derive the storage key, begin
 * the session. *out is owned by the caller, also after a failure. */
KV_MUST_USE enum kv_code kv_tpm_chip_open(const char *tcti, struct kv_tpm_chip *out,
                                          struct kv_err *err);
/* The same, once more, over the connection that is there: another has emptied the chip, and what we
 * know of it is forgotten. Error also KV_E_TOKEN_FOREIGN: its storage key is another one. */
KV_MUST_USE enum kv_code kv_tpm_chip_again(struct kv_tpm_chip *chip, struct kv_err *err);
/* Flush and disconnect; what is not open is fine. */
void kv_tpm_chip_clear(struct kv_tpm_chip *chip);
/* The name of a key of the endorsement hierarchy, which TPM2_Clear does not change: it is the
 * chip's own. size 0: the hierarchy does not let us. */
void kv_tpm_chip_identity(struct kv_tpm_chip *chip, TPM2B_NAME *out);

/* Make an object under the storage key; what is secret of it crosses the bus encrypted. `sealed`
 * (may be NULL: a key that the chip makes) is kept in the private half. */
KV_MUST_USE enum kv_code kv_tpm_chip_create(struct kv_tpm_chip *chip, const TPM2B_PUBLIC *template,
                                            const TPM2B_AUTH *auth, const struct kv_secret *sealed,
                                            struct kv_tpm_blob *out, struct kv_err *err);
/* *out is flushed by the caller. Errors: KV_E_TOKEN_KEY_DAMAGED if the chip does not take it. */
KV_MUST_USE enum kv_code kv_tpm_chip_load(struct kv_tpm_chip *chip, const struct kv_tpm_blob *blob,
                                          const TPM2B_AUTH *auth, ESYS_TR *out, struct kv_err *err);
/* Flush a transient object; *object becomes ESYS_TR_NONE. */
void kv_tpm_chip_flush(struct kv_tpm_chip *chip, ESYS_TR *object);
/* Load, unseal (encrypted on the bus), flush. *out is owned by the caller. */
KV_MUST_USE enum kv_code kv_tpm_chip_unseal(struct kv_tpm_chip *chip,
                                            const struct kv_tpm_blob *blob, const TPM2B_AUTH *auth,
                                            struct kv_secret **out, struct kv_err *err);
/* The same by a policy session, which says what opens it. */
KV_MUST_USE enum kv_code kv_tpm_chip_unseal_by(struct kv_tpm_chip *chip,
                                               const struct kv_tpm_blob *blob, ESYS_TR policy,
                                               struct kv_secret **out, struct kv_err *err);
/* A session of this type, salted to the storage key; flushed by the caller. */
KV_MUST_USE enum kv_code kv_tpm_chip_begin(struct kv_tpm_chip *chip, TPM2_SE type, ESYS_TR *out,
                                           struct kv_err *err);
/* The session for one command: with TPMA_SESSION_DECRYPT the first parameter is encrypted, with
 * _ENCRYPT the first one of the answer (names as the chip sees it). */
ESYS_TR kv_tpm_chip_session(struct kv_tpm_chip *chip, TPMA_SESSION also);
KV_MUST_USE enum kv_code kv_tpm_chip_random(struct kv_tpm_chip *chip, uint8_t *out, size_t len,
                                            struct kv_err *err);

/* What lies in a file of the slot, after the words that it starts with. */
KV_MUST_USE enum kv_code kv_tpm_blob_parse(struct kv_bytes public, struct kv_bytes private,
                                           struct kv_tpm_blob *out, struct kv_err *err);
#define KV_TPM_PART_MAX 2048 /* bytes of a half */
struct kv_tpm_halves {
    uint8_t public[KV_TPM_PART_MAX], private[KV_TPM_PART_MAX];
    size_t public_len, private_len;
};
KV_MUST_USE enum kv_code kv_tpm_blob_print(const struct kv_tpm_blob *blob,
                                           struct kv_tpm_halves *out, struct kv_err *err);

#endif
