/* A PKCS#11 token as a kv_token: one module, one slot, one login, one session that stays open
 * (closing the last one would log out: PKCS#11 v2.40 base §5.6), and a few more once signatures
 * turn out to take long (lane.c). The process must not fork after opening. Errors name the code of
 * docs/errors; the CK_RV is the cause, for the log. */
#ifndef KV_PKCS11_TOKEN_H
#define KV_PKCS11_TOKEN_H

#include "core/secret.h"
#include "core/token.h"

/* Borrowed strings; what the configuration says of a slot. */
struct kv_pkcs11_profile {
    const char *module;        /* absolute path */
    const char *module_sha256; /* lower-case hex, or NULL: not checked */
    const char *uri;           /* RFC 7512, `pkcs11:token=…`; must match exactly one token */
    const char *init_args;     /* pReserved of C_Initialize, or NULL */
    const char *lock_dir;      /* folder of the lock files; must exist */
    /* folders that the module writes to; SoftHSM's tokens in them are guarded at a login */
    const char *const *writable;
    size_t writable_count;
    /* Log in although the token reports a wrong PIN since the last login (COUNT_LOW; never at the
     * last try). SoftHSM2 reports that after one wrong PIN, and only a login takes it back. For one
     * try that somebody asked for (`slot unlock`), never for a retry. */
    bool allow_low;
};

/* Load the module, find the token, keep others off it, log in once. *out is owned by the caller,
 * who closes it with kv_token_close. The PIN may be wiped afterwards; NULL has the token ask at its
 * own pad (CKF_PROTECTED_AUTHENTICATION_PATH), which waits for a person. Errors: KV_E_TOKEN_MODULE,
 * KV_E_TOKEN_ABSENT, KV_E_TOKEN_IN_USE, KV_E_TOKEN_PIN, _PIN_LOW, _PIN_LOCKED, KV_E_TOKEN,
 * KV_E_CONFIG (URI), KV_E_IO (lock, guard). */
KV_MUST_USE enum kv_code kv_pkcs11_open(const struct kv_pkcs11_profile *profile,
                                        const struct kv_secret *pin, struct kv_token **out,
                                        struct kv_err *err);
/* Log in with `pin`, as above, and put `fresh` in its place. Errors: also those of a PIN that the
 * token does not take; nothing was changed then. */
KV_MUST_USE enum kv_code kv_pkcs11_change_pin(const struct kv_pkcs11_profile *profile,
                                              const struct kv_secret *pin,
                                              const struct kv_secret *fresh, struct kv_err *err);
/* The URI that names this token and no other; valid as long as the token. "" if it has none. */
const char *kv_pkcs11_uri(struct kv_token *token);

#endif
