/* The inside of an open PKCS#11 token, shared by token.c (loading, opening, closing), key.c (keys
 * that sign), lane.c (many signatures at once), wrap.c (keys that wrap), object.c (objects) and
 * admin.c. */
#ifndef KV_PKCS11_SESSION_H
#define KV_PKCS11_SESSION_H

#include "core/seal.h"
#include "core/token.h"
#include "pkcs11/lock.h"
#include "pkcs11/module.h"
#include "pkcs11/token.h"

#define KV_CK_KEYS_MAX 1024 /* cached keys, and objects looked at in one search */

/* A key that was found: searching costs three times a signature (SoftHSM2), so it is done once. */
struct kv_pkcs11_key {
    char label[KV_TOKEN_LABEL_LEN];
    struct kv_token_key key;
    CK_OBJECT_HANDLE copy; /* session object that signs instead; CK_INVALID_HANDLE: none */
};

struct kv_pkcs11_lanes;

struct kv_pkcs11_token {
    struct kv_token base; /* first: kv_token* and kv_pkcs11_token* are one address */
    struct kv_pkcs11_module module;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;                  /* CK_INVALID_HANDLE: none */
    struct kv_pkcs11_lanes *lanes;              /* owned; NULL: not tried yet */
    uint64_t sign_us[KV_TOKEN_MECHANISM_COUNT]; /* the least that one took; 0: none was made */
    uint64_t signed_us;                         /* when the first session made its last */
    unsigned alone;                             /* jobs in a row that found no other */
    int lock;
    char uri[KV_PKCS11_URI_LEN];
    struct kv_pkcs11_key *keys; /* owned */
    size_t key_count;
    struct {
        char label[KV_TOKEN_LABEL_LEN]; /* "": not looked for yet */
        CK_OBJECT_HANDLE key;
        uint8_t point[KV_SEAL_POINT_LEN]; /* KV_TOKEN_RUNG_ECDH: the public half */
    } wrapping[KV_TOKEN_RUNG_ECDH + 1];   /* those of PKCS#11 */
};

/* The token behind the interface. */
static inline struct kv_pkcs11_token *kv_pkcs11_token(struct kv_token *token)
{
    return (struct kv_pkcs11_token *)token;
}

/* Load the module of the profile, for a login: if it is SoftHSM, *guard holds the locks on its
 * tokens. Both are owned by the caller, also after a failure. */
KV_MUST_USE enum kv_code kv_pkcs11_load(const struct kv_pkcs11_profile *profile,
                                        struct kv_pkcs11_module *module,
                                        struct kv_softhsm_guard *guard, struct kv_err *err);

/* Whether that key was found, and is one for that mechanism. Errors: KV_E_TOKEN_KEY_MISSING,
 * KV_E_TOKEN_MECHANISM. */
KV_MUST_USE enum kv_code kv_pkcs11_may_sign(const struct kv_pkcs11_token *token, uint64_t handle,
                                            enum kv_token_mechanism mechanism, struct kv_err *err);
/* Sign in `session` with a key that may. Several threads may at once, each in its own. */
KV_MUST_USE enum kv_code
kv_pkcs11_sign_in(const struct kv_pkcs11_module *module, CK_SESSION_HANDLE session, uint64_t handle,
                  enum kv_token_mechanism mechanism, const struct kv_hash *digest,
                  uint8_t sig[static KV_TOKEN_SIG_MAX], size_t *len, struct kv_err *err);
/* Learn what a signature took; one that had to wait for a processor says nothing. */
void kv_pkcs11_took(struct kv_pkcs11_token *token, enum kv_token_mechanism mechanism, uint64_t us);
/* End the threads and close their sessions; NULL is fine. */
void kv_pkcs11_lanes_free(struct kv_pkcs11_lanes *lanes);

/* The functions of kv_token_ops. */
enum kv_code kv_pkcs11_generate(struct kv_token *token, const char *label,
                                enum kv_token_key_type type, struct kv_token_key *out,
                                struct kv_err *err);
enum kv_code kv_pkcs11_find(struct kv_token *token, const char *label, struct kv_token_key *out,
                            struct kv_err *err);
enum kv_code kv_pkcs11_sign(struct kv_token *token, uint64_t handle,
                            enum kv_token_mechanism mechanism, const struct kv_hash *digest,
                            uint8_t *sig, size_t *len, struct kv_err *err);
struct kv_token_job *kv_pkcs11_take(struct kv_token *token, bool wait);
int kv_pkcs11_done_fd(const struct kv_token *token);
enum kv_code kv_pkcs11_destroy(struct kv_token *token, const char *label, struct kv_err *err);
enum kv_code kv_pkcs11_count(struct kv_token *token, size_t *count, struct kv_err *err);
enum kv_code kv_pkcs11_destroy_prefix(struct kv_token *token, const char *prefix, size_t *count,
                                      struct kv_err *err);
enum kv_code kv_pkcs11_rung(struct kv_token *token, enum kv_token_rung *out, struct kv_err *err);
enum kv_code kv_pkcs11_wrap(struct kv_token *token, const char *label, enum kv_token_rung rung,
                            struct kv_bytes aad, const struct kv_secret *plain, struct kv_buf *out,
                            struct kv_err *err);
enum kv_code kv_pkcs11_unwrap(struct kv_token *token, const char *label, enum kv_token_rung rung,
                              struct kv_bytes aad, struct kv_bytes wrapped, struct kv_secret **out,
                              struct kv_err *err);

#endif
