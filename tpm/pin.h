/* A slot's PIN, sealed to this TPM: a file that is of no use anywhere else, and, if that was asked
 * for, only while the PCRs are in a state that an authority has signed (docs/decisions/0011). It
 * protects a disk that is carried off, not the host from its own root. */
#ifndef KV_TPM_PIN_H
#define KV_TPM_PIN_H

#include "core/secret.h"
#include "core/token.h"
#include "tpm/pcr.h"

/* The TPM that PINs are sealed in. Borrowed strings. */
struct kv_tpm_way {
    const char *tcti;
    const char *slots; /* the folder that those of TPM slots lie in: one works at a time */
};

#define KV_TPM_PIN_LEN       128 /* bytes that a TPM seals (MAX_SYM_DATA) */
#define KV_TPM_APPROVALS_MAX 8   /* the oldest gives way to a ninth */
/* What the authority signs: the state of the PCRs, then for which TPM and slot. */
#define KV_TPM_MESSAGE_LEN (2 * KV_HASH_LEN)

struct kv_tpm_pin {
    char slot[KV_TOKEN_LABEL_LEN];
    TPM2B_NAME storage;         /* of the TPM's storage key: whose file it is */
    char pcrs[KV_TPM_PCRS_LEN]; /* "": bound to the TPM alone */
    uint8_t authority[KV_TPM_POINT_LEN];
    struct kv_tpm_blob blob;
    struct kv_tpm_approval approval[KV_TPM_APPROVALS_MAX];
    size_t approval_count;
};

/* The bytes of the file. Error: KV_E_PIN_DAMAGED. */
KV_MUST_USE enum kv_code kv_tpm_pin_parse(struct kv_bytes file, struct kv_tpm_pin *out,
                                          struct kv_err *err);
/* What is parsed again as this; `out` fails if it is too small. Errors: KV_E_TOKEN, KV_E_NO_MEMORY.
 */
KV_MUST_USE enum kv_code kv_tpm_pin_print(const struct kv_tpm_pin *pin, struct kv_buf *out,
                                          struct kv_err *err);
/* From an open file, as `slot` may use it. Errors: KV_E_PIN_DAMAGED, KV_E_PIN_OTHER (of another
 * slot), KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_pin_read_fd(int fd, const char *slot, struct kv_tpm_pin *out,
                                            struct kv_err *err);
/* As a file, whole or not at all, in the place of one that is there only if `replace`. Errors:
 * KV_E_PIN_EXISTS, KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_pin_write(const char *path, const struct kv_tpm_pin *pin,
                                          bool replace, struct kv_err *err);

/* Seal `pin` for `slot`. `pcrs` (NULL: the TPM alone) with the authority's SubjectPublicKeyInfo,
 * P-256. Errors: KV_E_LIMIT (PIN), KV_E_INPUT_VALUE (PCRs, authority), KV_E_PIN_TPM, KV_E_TOKEN….
 */
KV_MUST_USE enum kv_code kv_tpm_pin_seal(const struct kv_tpm_way *way, const char *slot,
                                         const char *pcrs, struct kv_bytes authority,
                                         const struct kv_secret *pin, struct kv_tpm_pin *out,
                                         struct kv_err *err);
/* *out is owned by the caller. The TPM is let go before this returns. Errors: KV_E_PIN_TPM,
 * _FOREIGN, _OTHER, _DAMAGED, _PCRS, _APPROVAL, KV_E_TOKEN…. */
KV_MUST_USE enum kv_code kv_tpm_pin_unseal(const struct kv_tpm_way *way,
                                           const struct kv_tpm_pin *pin, struct kv_secret **out,
                                           struct kv_err *err);

/* The text to sign for the PCRs as they are, or for values with this SHA-256 (NULL: as they are).
 * Errors: KV_E_INPUT_VALUE (not bound to PCRs), KV_E_PIN_TPM, _FOREIGN, _OTHER, KV_E_TOKEN…. */
KV_MUST_USE enum kv_code kv_tpm_pin_message(const struct kv_tpm_way *way,
                                            const struct kv_tpm_pin *pin,
                                            const struct kv_hash *values,
                                            uint8_t out[static KV_TPM_MESSAGE_LEN],
                                            struct kv_err *err);
/* Add the approval: a message as above and its signature (DER). Without a TPM. Errors:
 * KV_E_PIN_APPROVAL, KV_E_INPUT_VALUE. */
KV_MUST_USE enum kv_code kv_tpm_pin_approve(struct kv_tpm_pin *pin, struct kv_bytes message,
                                            struct kv_bytes signature, struct kv_err *err);

#endif
