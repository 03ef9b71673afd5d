/* One PKCS#11 module: loaded, initialised, asked. Here, once, a CK_RV becomes a kv_code. Nothing is
 * global: a process may use modules one after another. */
#ifndef KV_PKCS11_MODULE_H
#define KV_PKCS11_MODULE_H

#include "core/err.h"
#include "core/hash.h"
#include "core/token.h"

#include <p11-kit/pkcs11.h>

#define KV_CK_SLOTS_MAX   256
#define KV_PKCS11_URI_LEN 512 /* with NUL */

struct kv_pkcs11_module {
    CK_FUNCTION_LIST *f; /* NULL: not loaded */
    bool initialised;
    bool locks; /* several threads may call it */
};

/* Load the file at `path` (absolute; its SHA-256 must be `sha256` unless that is NULL) and
 * initialise it with `init_args` (may be NULL) as pReserved. Errors: KV_E_TOKEN_MODULE,
 * KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_pkcs11_module_load(const char *path, const char *sha256,
                                               const char *init_args, struct kv_pkcs11_module *out,
                                               struct kv_err *err);
/* SHA-256 of the file at `path`. Error: KV_E_TOKEN_MODULE. */
KV_MUST_USE enum kv_code kv_pkcs11_module_hash(const char *path, struct kv_hash *out,
                                               struct kv_err *err);
/* Whether the library calls itself by the word ("softhsm", "nss"), whatever the file is called. */
bool kv_pkcs11_module_is(const struct kv_pkcs11_module *module, const char *word);
/* Finalise and unload; a module that was not loaded is fine. */
void kv_pkcs11_module_clear(struct kv_pkcs11_module *module);

/* A slot and the token in it, if there is one. */
struct kv_pkcs11_slot {
    CK_SLOT_ID id;
    CK_SLOT_INFO info;
    bool present;
    CK_TOKEN_INFO token;
};
/* All slots, with or without a token. *out is owned by the caller (free). */
KV_MUST_USE enum kv_code kv_pkcs11_slots(const struct kv_pkcs11_module *module,
                                         struct kv_pkcs11_slot **out, size_t *count,
                                         struct kv_err *err);

/* Fixed-size, space-padded text of a module as visible ASCII; anything else becomes `?`. `out` has
 * `len` + 1 bytes. */
void kv_pkcs11_text(const CK_UTF8CHAR *in, size_t len, char *out);
/* What the token and the library say of themselves, and the custody level that follows. */
void kv_pkcs11_info(const struct kv_pkcs11_module *module, const struct kv_pkcs11_slot *slot,
                    struct kv_token_info *out);

/* The URI (RFC 7512) that names the token and nothing else; "" if it cannot be told. */
void kv_pkcs11_token_uri(const CK_TOKEN_INFO *token, char *out, size_t size);

/* The code of a CK_RV that is not CKR_OK. */
enum kv_code kv_pkcs11_code(CK_RV rv);
/* Fail with that code: "<what>: <the CK_RV in words>". */
#define KV_CK_FAIL(err, rv, what) kv_pkcs11_fail((err), (rv), KV_ORIGIN, (what))
enum kv_code kv_pkcs11_fail(struct kv_err *err, CK_RV rv, const char *origin,
                            const char *what) KV_MUST_USE;

#endif
