#include "core/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* One context per process, reused, and the algorithms fetched once: EVP_MD_CTX_new for each leaf
 * costs as much as the hash, and so does looking SHA-256 up. */
static EVP_MD_CTX *shared;
static EVP_MD *sha256, *sha512;

static void must(int ok)
{
    if (ok != 1) {
        abort(); /* libcrypto without SHA-2: nothing this program does could be trusted */
    }
}

static void fetch_once(void)
{
    if (shared == NULL) {
        shared = EVP_MD_CTX_new();
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
        sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
        must(shared != NULL && sha256 != NULL && sha512 != NULL);
    }
}

static void digest(EVP_MD *const *md, const struct kv_bytes *parts, size_t count, uint8_t *out)
{
    fetch_once();
    must(EVP_DigestInit_ex(shared, *md, NULL));
    for (size_t i = 0; i < count; i++) {
        must(EVP_DigestUpdate(shared, parts[i].ptr, parts[i].len));
    }
    must(EVP_DigestFinal_ex(shared, out, NULL));
}

struct kv_hash kv_hash(struct kv_bytes bytes)
{
    struct kv_hash out;
    digest(&sha256, &bytes, 1, out.b);
    return out;
}

struct kv_hash kv_hash3(struct kv_bytes a, struct kv_bytes b, struct kv_bytes c)
{
    struct kv_hash out;
    digest(&sha256, (struct kv_bytes[]){a, b, c}, 3, out.b);
    return out;
}

void kv_hash512(struct kv_bytes bytes, uint8_t out[static 64])
{
    digest(&sha512, &bytes, 1, out);
}

bool kv_hash_equal(const struct kv_hash *a, const struct kv_hash *b)
{
    return memcmp(a->b, b->b, KV_HASH_LEN) == 0;
}

void kv_hash_hex(const struct kv_hash *hash, char out[static KV_HASH_HEX_LEN])
{
    kv_hex_encode(kv_bytes(hash->b, KV_HASH_LEN), out);
}

void kv_hash_base64(const struct kv_hash *hash, char out[static KV_HASH_BASE64_LEN])
{
    kv_base64_encode(kv_bytes(hash->b, KV_HASH_LEN), out);
}

bool kv_hash_from_hex(struct kv_bytes in, struct kv_hash *out)
{
    struct kv_hash hash;
    size_t len;
    if (!kv_hex_decode(in, hash.b, sizeof hash.b, &len) || len != KV_HASH_LEN) {
        return false;
    }
    *out = hash;
    return true;
}

bool kv_hash_from_base64(struct kv_bytes in, struct kv_hash *out)
{
    struct kv_hash hash;
    size_t len;
    if (!kv_base64_decode(in, hash.b, sizeof hash.b, &len) || len != KV_HASH_LEN) {
        return false;
    }
    *out = hash;
    return true;
}

struct kv_hasher {
    EVP_MD_CTX *ctx;
};

struct kv_hasher *kv_hasher_new(void)
{
    struct kv_hasher *hasher = calloc(1, sizeof *hasher);
    must(hasher != NULL);
    hasher->ctx = EVP_MD_CTX_new();
    must(hasher->ctx != NULL);
    must(EVP_DigestInit_ex(hasher->ctx, EVP_sha256(), NULL));
    return hasher;
}

void kv_hasher_add(struct kv_hasher *hasher, struct kv_bytes bytes)
{
    must(EVP_DigestUpdate(hasher->ctx, bytes.ptr, bytes.len));
}

struct kv_hash kv_hasher_finish(struct kv_hasher *hasher)
{
    struct kv_hash out;
    must(EVP_DigestFinal_ex(hasher->ctx, out.b, NULL));
    EVP_MD_CTX_free(hasher->ctx);
    free(hasher);
    return out;
}
