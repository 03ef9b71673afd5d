/* A TPM 2.0 as a kv_token, over ESAPI: one chip, one folder of key files, one login. A key is made
 * in the chip, wrapped by a storage key that the chip derives anew at each start, and lies as a
 * file that only this chip can open (docs/decisions/0009). The process must not fork after opening.
 * Errors name the code of docs/errors; the TSS2_RC is the cause, for the log. */
#ifndef KV_TPM_TOKEN_H
#define KV_TPM_TOKEN_H

#include "core/secret.h"
#include "core/token.h"
#include "tpm/way.h"

/* No attempt is counted by the chip (the keys are noDA, or an unclean stop could lock them), so the
 * PIN has to be long. */
#define KV_TPM_PIN_MIN 16

/* Borrowed strings; what the configuration says of a slot. */
struct kv_tpm_profile {
    const char *tcti;   /* device:/dev/tpmrm0, swtpm:path=…, tabrmd */
    const char *folder; /* of the key files; two levels of it are made */
    const char *roots;  /* PEM file of those who vouch for TPMs (core/roots.h), or NULL */
};

/* Make the folder and, in it, what the login with `pin` is tried on. `label`: 1 to 32 visible ASCII
 * characters. Errors: KV_E_TOKEN_INITIALISED (nothing was changed), KV_E_LIMIT (label, PIN),
 * KV_E_TOKEN_ABSENT, _IN_USE, _OWNER, KV_E_TOKEN…, KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_init(const struct kv_tpm_profile *profile, const char *label,
                                     const struct kv_secret *pin, struct kv_err *err);
/* Keep others off the folder, flush what others left in a chip without a resource manager, see that
 * it is the chip of the folder, log in. *out is owned by the caller, who closes it with
 * kv_token_close. The PIN may be wiped afterwards. Errors: KV_E_TOKEN_ABSENT (no chip, or a folder
 * that was not initialised), KV_E_TOKEN_FOREIGN, _IN_USE, _PIN, _OWNER, _LOCKOUT, _KEY_DAMAGED,
 * KV_E_TOKEN…, KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_open(const struct kv_tpm_profile *profile,
                                     const struct kv_secret *pin, struct kv_token **out,
                                     struct kv_err *err);
/* Log in with `pin` and put `fresh` in its place; the keys stay. Who has a copy of the folder as it
 * was still opens that with the former PIN, in this TPM. Errors: as above, KV_E_LIMIT (PIN). */
KV_MUST_USE enum kv_code kv_tpm_change_pin(const struct kv_tpm_profile *profile,
                                           const struct kv_secret *pin,
                                           const struct kv_secret *fresh, struct kv_err *err);
/* What the folder says of its token, without asking the chip. Error: KV_E_TOKEN_ABSENT. */
KV_MUST_USE enum kv_code kv_tpm_read_info(const char *folder, struct kv_token_info *out,
                                          struct kv_err *err);

#endif
