/* SHA-256 (FIPS 180-4), one-shot and incremental, over OpenSSL. */
#ifndef KV_CORE_HASH_H
#define KV_CORE_HASH_H

#include "core/bytes.h"

#define KV_HASH_LEN 32

struct kv_hash {
    uint8_t b[KV_HASH_LEN];
};

/* Aborts when OpenSSL cannot hash at all: nothing useful could follow. */
struct kv_hash kv_hash(struct kv_bytes bytes);
/* H(a ‖ b ‖ c); unused parts are KV_BYTES_NULL. */
struct kv_hash kv_hash3(struct kv_bytes a, struct kv_bytes b, struct kv_bytes c);
/* SHA-512 of `bytes` into out[64] (SSHSIG's usual hash). */
void kv_hash512(struct kv_bytes bytes, uint8_t out[static 64]);
bool kv_hash_equal(const struct kv_hash *a, const struct kv_hash *b);

#define KV_HASH_HEX_LEN    65 /* with NUL */
#define KV_HASH_BASE64_LEN 45
void kv_hash_hex(const struct kv_hash *hash, char out[static KV_HASH_HEX_LEN]);
void kv_hash_base64(const struct kv_hash *hash, char out[static KV_HASH_BASE64_LEN]);
bool kv_hash_from_hex(struct kv_bytes in, struct kv_hash *out);
bool kv_hash_from_base64(struct kv_bytes in, struct kv_hash *out);

/* Incremental, for files. */
struct kv_hasher;
struct kv_hasher *kv_hasher_new(void); /* owned by the caller */
void kv_hasher_add(struct kv_hasher *hasher, struct kv_bytes bytes);
struct kv_hash kv_hasher_finish(struct kv_hasher *hasher); /* frees it */

#endif
