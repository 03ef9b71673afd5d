#include "core/seal.h"

#include "core/openssl.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define TAG_LEN 16
#define KEY_LEN 32
#define IV_LEN  12

struct kv_seal_key {
    EVP_PKEY *pkey;
    uint8_t point[KV_SEAL_POINT_LEN];
};

static void kdf_freep(EVP_KDF **p)
{
    EVP_KDF_free(*p);
}
static void kdf_ctx_freep(EVP_KDF_CTX **p)
{
    EVP_KDF_CTX_free(*p);
}

static OSSL_PARAM octets(const char *name, const void *ptr, size_t len)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)ptr, len); /* only read */
}

static OSSL_PARAM text(const char *name, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(name, (char *)(uintptr_t)value, 0); /* only read */
}

/* NULL: not a point of the curve (OpenSSL checks). */
static EVP_PKEY *public_key(struct kv_bytes point)
{
    KV_CLEANUP(kv_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM params[] = {text(OSSL_PKEY_PARAM_GROUP_NAME, "P-256"),
                           octets(OSSL_PKEY_PARAM_PUB_KEY, point.ptr, point.len), OSSL_PARAM_END};
    bool good = point.len == KV_SEAL_POINT_LEN && point.ptr[0] == 0x04 && ctx != NULL &&
                EVP_PKEY_fromdata_init(ctx) == 1 &&
                EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;
    return good ? pkey : NULL;
}

static bool agree(EVP_PKEY *own, struct kv_bytes point, uint8_t out[static KV_SEAL_SHARED_LEN])
{
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *peer = public_key(point);
    KV_CLEANUP(kv_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
    size_t len = KV_SEAL_SHARED_LEN;
    return peer != NULL && ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
           EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, out, &len) == 1 &&
           len == KV_SEAL_SHARED_LEN;
}

struct box {
    uint8_t key[KEY_LEN], iv[IV_LEN];
};

/* HKDF (RFC 5869) over both points, so that a key belongs to one sender and one receiver. The fresh
 * key makes key and IV new for every box. */
static bool derive(const uint8_t shared[static KV_SEAL_SHARED_LEN], struct kv_bytes fresh,
                   struct kv_bytes to, struct box *out)
{
    static const char name[] = "ksefvault/seal/v1";
    uint8_t info[sizeof name + 2 * KV_SEAL_POINT_LEN];
    KV_CLEANUP(kdf_freep) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    KV_CLEANUP(kdf_ctx_freep) EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    memcpy(info, name, sizeof name);
    memcpy(info + sizeof name, fresh.ptr, KV_SEAL_POINT_LEN);
    memcpy(info + sizeof name + KV_SEAL_POINT_LEN, to.ptr, KV_SEAL_POINT_LEN);
    OSSL_PARAM params[] = {text(OSSL_KDF_PARAM_DIGEST, "SHA256"),
                           octets(OSSL_KDF_PARAM_KEY, shared, KV_SEAL_SHARED_LEN),
                           octets(OSSL_KDF_PARAM_INFO, info, sizeof info), OSSL_PARAM_END};
    return ctx != NULL && EVP_KDF_derive(ctx, (uint8_t *)out, sizeof *out, params) == 1;
}
_Static_assert(sizeof(struct box) == KEY_LEN + IV_LEN, "derived in one piece");

static bool encrypt(const struct box *box, struct kv_bytes aad, struct kv_bytes plain, uint8_t *out)
{
    KV_CLEANUP(kv_cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, more = 0;
    return ctx != NULL &&
           EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), box->key, box->iv, NULL) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, aad.ptr, (int)aad.len) == 1 &&
           EVP_EncryptUpdate(ctx, out, &n, plain.ptr, (int)plain.len) == 1 &&
           EVP_EncryptFinal_ex(ctx, out + n, &more) == 1 && (size_t)(n + more) == plain.len &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + plain.len) == 1;
}

static bool decrypt(const struct box *box, struct kv_bytes aad, struct kv_bytes sealed,
                    uint8_t *out)
{
    KV_CLEANUP(kv_cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    size_t len = sealed.len - TAG_LEN;
    uint8_t tag[TAG_LEN];
    int n = 0, more = 0;
    memcpy(tag, sealed.ptr + len, sizeof tag);
    return ctx != NULL &&
           EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), box->key, box->iv, NULL) == 1 &&
           EVP_DecryptUpdate(ctx, NULL, &n, aad.ptr, (int)aad.len) == 1 &&
           EVP_DecryptUpdate(ctx, out, &n, sealed.ptr, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
           EVP_DecryptFinal_ex(ctx, out + n, &more) == 1;
}

enum kv_code kv_seal(struct kv_bytes to, struct kv_bytes aad, struct kv_bytes plain,
                     struct kv_buf *out, struct kv_err *err)
{
    assert(plain.len > 0 && plain.len <= KV_SECRET_MAX && aad.len <= KV_SECRET_MAX);
    uint8_t shared[KV_SEAL_SHARED_LEN];
    struct box box;
    KV_CLEANUP(kv_freep) uint8_t *body = malloc(plain.len + TAG_LEN);
    struct kv_seal_key *fresh = kv_seal_key_new();
    if (fresh == NULL || body == NULL) {
        kv_seal_key_free(fresh);
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no key could be made");
    }
    bool agreed = agree(fresh->pkey, to, shared);
    bool good = agreed && derive(shared, kv_seal_key_point(fresh), to, &box) &&
                encrypt(&box, aad, plain, body);
    if (good) {
        kv_buf_add_bytes(out, kv_seal_key_point(fresh));
        kv_buf_add(out, body, plain.len + TAG_LEN);
    }
    kv_wipe(shared, sizeof shared);
    kv_wipe(&box, sizeof box);
    kv_seal_key_free(fresh);
    if (!good) {
        return agreed ? KV_REFUSE(err, KV_E_NO_MEMORY, "nothing could be sealed")
                      : KV_REFUSE(err, KV_E_INPUT_VALUE, "this is no P-256 public key");
    }
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a sealed secret") : KV_OK;
}

/* What lies in `body`, a text and its tag; the box is wiped. */
static enum kv_code open_box(struct box *box, struct kv_bytes body, struct kv_bytes aad,
                             struct kv_secret **out, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *plain = NULL;
    enum kv_code code = kv_secret_new(body.len - TAG_LEN, &plain, err);
    if (code == KV_OK && !decrypt(box, aad, body, kv_secret_data(plain))) {
        code = KV_REFUSE(err, KV_E_TOKEN_WRAPPED,
                         "a sealed secret was changed, or is for another key or purpose");
    }
    kv_wipe(box, sizeof *box);
    if (code == KV_OK) {
        *out = plain;
        plain = NULL;
    }
    return code;
}

enum kv_code kv_seal_open_shared(struct kv_bytes shared, struct kv_bytes to, struct kv_bytes sealed,
                                 struct kv_bytes aad, struct kv_secret **out, struct kv_err *err)
{
    struct box box;
    if (sealed.len <= KV_SEAL_OVERHEAD || sealed.len > KV_SECRET_MAX ||
        shared.len != KV_SEAL_SHARED_LEN || to.len != KV_SEAL_POINT_LEN) {
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "a sealed secret has %zu bytes", sealed.len);
    }
    struct kv_bytes fresh = kv_bytes(sealed.ptr, KV_SEAL_POINT_LEN);
    struct kv_bytes body = kv_bytes(sealed.ptr + KV_SEAL_POINT_LEN, sealed.len - KV_SEAL_POINT_LEN);
    if (!derive(shared.ptr, fresh, to, &box)) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no key could be derived");
    }
    return open_box(&box, body, aad, out, err);
}

enum kv_code kv_seal_under(const struct kv_secret *key, struct kv_bytes aad, struct kv_bytes plain,
                           struct kv_buf *out, struct kv_err *err)
{
    assert(kv_secret_len(key) == KV_SEAL_KEY_LEN);
    assert(plain.len > 0 && plain.len <= KV_SECRET_MAX && aad.len <= KV_SECRET_MAX);
    struct box box;
    KV_CLEANUP(kv_freep) uint8_t *body = malloc(plain.len + TAG_LEN);
    memcpy(box.key, kv_secret_bytes(key).ptr, sizeof box.key);
    bool good =
        body != NULL && RAND_bytes(box.iv, sizeof box.iv) == 1 && encrypt(&box, aad, plain, body);
    if (good) {
        kv_buf_add(out, box.iv, sizeof box.iv);
        kv_buf_add(out, body, plain.len + TAG_LEN);
    }
    kv_wipe(&box, sizeof box);
    return good && !out->failed ? KV_OK
                                : KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a sealed secret");
}

enum kv_code kv_seal_open_under(const struct kv_secret *key, struct kv_bytes sealed,
                                struct kv_bytes aad, struct kv_secret **out, struct kv_err *err)
{
    assert(kv_secret_len(key) == KV_SEAL_KEY_LEN);
    struct box box;
    if (sealed.len <= KV_SEAL_UNDER_OVERHEAD || sealed.len > KV_SECRET_MAX) {
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "a sealed secret has %zu bytes", sealed.len);
    }
    memcpy(box.key, kv_secret_bytes(key).ptr, sizeof box.key);
    memcpy(box.iv, sealed.ptr, sizeof box.iv);
    return open_box(&box, kv_bytes(sealed.ptr + IV_LEN, sealed.len - IV_LEN), aad, out, err);
}

void kv_seal_import_purpose(const char *vault, struct kv_bytes credential, struct kv_buf *out)
{
    kv_buf_add_format(out, "ksefvault/import/v1\n%s\n", vault);
    kv_buf_add_bytes(out, credential);
    kv_buf_add_str(out, "\n");
}

struct kv_seal_key *kv_seal_key_new(void)
{
    struct kv_seal_key *key = calloc(1, sizeof *key);
    size_t len = 0;
    if (key == NULL) {
        return NULL;
    }
    key->pkey = EVP_EC_gen("P-256");
    if (key->pkey == NULL ||
        EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY, key->point,
                                        sizeof key->point, &len) != 1 ||
        len != sizeof key->point) {
        kv_seal_key_free(key);
        return NULL;
    }
    return key;
}

void kv_seal_key_free(struct kv_seal_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        free(key);
    }
}

struct kv_bytes kv_seal_key_point(const struct kv_seal_key *key)
{
    return kv_bytes(key->point, sizeof key->point);
}

enum kv_code kv_seal_open(const struct kv_seal_key *key, struct kv_bytes sealed,
                          struct kv_bytes aad, struct kv_secret **out, struct kv_err *err)
{
    uint8_t shared[KV_SEAL_SHARED_LEN];
    if (sealed.len <= KV_SEAL_OVERHEAD ||
        !agree(key->pkey, kv_bytes(sealed.ptr, KV_SEAL_POINT_LEN), shared)) {
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "this is no sealed secret");
    }
    enum kv_code code = kv_seal_open_shared(kv_bytes(shared, sizeof shared), kv_seal_key_point(key),
                                            sealed, aad, out, err);
    kv_wipe(shared, sizeof shared);
    return code;
}
