/* A secret sealed to a P-256 key: who has the private half opens it, and only for what it was
 * sealed for. Hybrid encryption of the parts that RFC 9180 uses (a fresh key pair, ECDH,
 * HKDF-SHA256 over both points, AES-256-GCM), which OpenSSL 3.0 has while it lacks HPKE itself.
 *
 *   sealed = point of the fresh key (65) ‖ ciphertext ‖ tag (16) */
#ifndef KV_CORE_SEAL_H
#define KV_CORE_SEAL_H

#include "core/buf.h"
#include "core/err.h"
#include "core/secret.h"

#define KV_SEAL_POINT_LEN  65 /* uncompressed: 0x04 ‖ x ‖ y */
#define KV_SEAL_SHARED_LEN 32 /* x of the ECDH point */
#define KV_SEAL_OVERHEAD   (KV_SEAL_POINT_LEN + 16)

/* Append `plain`, sealed to the point `to` and bound to `aad`. Errors: KV_E_INPUT_VALUE (no point
 * of the curve), KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_seal(struct kv_bytes to, struct kv_bytes aad, struct kv_bytes plain,
                                 struct kv_buf *out, struct kv_err *err);
/* Open with the ECDH result that a token computed from the first KV_SEAL_POINT_LEN bytes of
 * `sealed`. *out is owned by the caller. Errors: KV_E_TOKEN_WRAPPED. */
KV_MUST_USE enum kv_code kv_seal_open_shared(struct kv_bytes shared, struct kv_bytes to,
                                             struct kv_bytes sealed, struct kv_bytes aad,
                                             struct kv_secret **out, struct kv_err *err);

#define KV_SEAL_KEY_LEN        32
#define KV_SEAL_UNDER_OVERHEAD (12 + 16)

/* Append `plain` under `key` (KV_SEAL_KEY_LEN bytes that both sides have) by AES-256-GCM, bound to
 * `aad`: iv (12, random) ‖ ciphertext ‖ tag (16). Errors: KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_seal_under(const struct kv_secret *key, struct kv_bytes aad,
                                       struct kv_bytes plain, struct kv_buf *out,
                                       struct kv_err *err);
/* *out is owned by the caller. Errors: KV_E_TOKEN_WRAPPED. */
KV_MUST_USE enum kv_code kv_seal_open_under(const struct kv_secret *key, struct kv_bytes sealed,
                                            struct kv_bytes aad, struct kv_secret **out,
                                            struct kv_err *err);

/* What a KSeF token is sealed for on its way from a person's terminal to the keeper. */
void kv_seal_import_purpose(const char *vault, struct kv_bytes credential, struct kv_buf *out);

/* A key that lives in this process and dies with it. */
struct kv_seal_key;
/* NULL: no key could be made. Owned by the caller. */
struct kv_seal_key *kv_seal_key_new(void);
void kv_seal_key_free(struct kv_seal_key *key); /* NULL is fine */
/* Borrowed until the key is freed. */
struct kv_bytes kv_seal_key_point(const struct kv_seal_key *key);
/* As kv_seal_open_shared. */
KV_MUST_USE enum kv_code kv_seal_open(const struct kv_seal_key *key, struct kv_bytes sealed,
                                      struct kv_bytes aad, struct kv_secret **out,
                                      struct kv_err *err);

#endif
