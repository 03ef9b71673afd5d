#include "tpm/credential.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "core/buf.h"
#include "core/openssl.h"
#include "core/secret.h"

#define SCALAR_LEN 32
#define POINT_LEN  (1 + 2 * SCALAR_LEN)
#define AES_LEN    16
#define LABEL      "IDENTITY" /* with its NUL, wherever it is used */

/* ---- the seed ---- */

static bool seed_rsa(EVP_PKEY *key, struct kv_hash *seed, TPM2B_ENCRYPTED_SECRET *out)
{
    KV_CLEANUP(kv_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    char *label = OPENSSL_strdup(LABEL);
    size_t len = sizeof out->secret;
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) <= 0 ||
        EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, label, sizeof LABEL) <= 0) {
        OPENSSL_free(label);
        return false;
    }
    if (RAND_bytes(seed->b, sizeof seed->b) != 1 ||
        EVP_PKEY_encrypt(ctx, out->secret, &len, seed->b, sizeof seed->b) <= 0) {
        return false;
    }
    out->size = (UINT16)len;
    return true;
}

static bool point_of(EVP_PKEY *key, uint8_t out[static POINT_LEN])
{
    size_t len = 0;
    return EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out, POINT_LEN, &len) ==
               1 &&
           len == POINT_LEN;
}

static void copy_scalar(const uint8_t *from, TPM2B_ECC_PARAMETER *out)
{
    out->size = SCALAR_LEN;
    memcpy(out->buffer, from, SCALAR_LEN);
}

/* KDFe (part 1, §11.4.10.3): one round gives all. */
static void kdf_e(const uint8_t z[static SCALAR_LEN], const uint8_t *own_x, const uint8_t *peer_x,
                  struct kv_hash *out)
{
    static const uint8_t counter[4] = {0, 0, 0, 1};
    uint8_t parts[sizeof counter + SCALAR_LEN], info[sizeof LABEL + 2 * SCALAR_LEN];
    memcpy(parts, counter, sizeof counter);
    memcpy(parts + sizeof counter, z, SCALAR_LEN);
    memcpy(info, LABEL, sizeof LABEL);
    memcpy(info + sizeof LABEL, own_x, SCALAR_LEN);
    memcpy(info + sizeof LABEL + SCALAR_LEN, peer_x, SCALAR_LEN);
    *out = kv_hash3(kv_bytes(parts, sizeof parts), kv_bytes(info, sizeof info), KV_BYTES_NULL);
    kv_wipe(parts, sizeof parts);
}

static bool seed_ec(EVP_PKEY *key, struct kv_hash *seed, TPM2B_ENCRYPTED_SECRET *out)
{
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *own = EVP_EC_gen("P-256");
    KV_CLEANUP(kv_pkey_ctx_freep)
    EVP_PKEY_CTX *ctx = own == NULL ? NULL : EVP_PKEY_CTX_new(own, NULL);
    uint8_t z[SCALAR_LEN], point[POINT_LEN], peer[POINT_LEN];
    TPMS_ECC_POINT sent;
    size_t len = sizeof z, at = 0;
    if (ctx == NULL || EVP_PKEY_derive_init(ctx) <= 0 || EVP_PKEY_derive_set_peer(ctx, key) <= 0 ||
        EVP_PKEY_derive(ctx, z, &len) <= 0 || len != sizeof z || !point_of(own, point) ||
        !point_of(key, peer)) {
        return false;
    }
    kdf_e(z, point + 1, peer + 1, seed);
    kv_wipe(z, sizeof z);
    copy_scalar(point + 1, &sent.x);
    copy_scalar(point + 1 + SCALAR_LEN, &sent.y);
    if (Tss2_MU_TPMS_ECC_POINT_Marshal(&sent, out->secret, sizeof out->secret, &at) !=
        TSS2_RC_SUCCESS) {
        return false;
    }
    out->size = (UINT16)at;
    return true;
}

/* ---- what is sealed to it ---- */

/* KDFa (part 1, §11.4.10.2): one round gives up to 256 bits. */
static bool kdf_a(const struct kv_hash *seed, const char *label, struct kv_bytes context,
                  uint32_t bits, struct kv_hash *out)
{
    struct kv_buf text;
    kv_buf_init(&text, 256);
    kv_buf_add_u32(&text, 1);
    kv_buf_add(&text, label, strlen(label) + 1);
    kv_buf_add_bytes(&text, context);
    kv_buf_add_u32(&text, bits);
    bool good = !text.failed && HMAC(EVP_sha256(), seed->b, sizeof seed->b, text.data, text.len,
                                     out->b, NULL) != NULL;
    kv_buf_clear(&text);
    return good;
}

static bool encrypt(const uint8_t key[static AES_LEN], const uint8_t *plain, size_t len,
                    uint8_t *out)
{
    static const uint8_t iv[AES_LEN];
    KV_CLEANUP(kv_cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    return ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_128_cfb128(), NULL, key, iv) == 1 &&
           EVP_EncryptUpdate(ctx, out, &n, plain, (int)len) == 1 && (size_t)n == len;
}

static bool seal(const struct kv_hash *seed, const TPM2B_NAME *name, const struct kv_hash *secret,
                 TPM2B_ID_OBJECT *out)
{
    uint8_t plain[2 + KV_HASH_LEN] = {0, KV_HASH_LEN};
    uint8_t sealed[sizeof plain + sizeof name->name];
    struct kv_hash key, integrity, outer;
    struct kv_buf text;
    memcpy(plain + 2, secret->b, sizeof secret->b);
    if (!kdf_a(seed, "STORAGE", kv_bytes(name->name, name->size), 8 * AES_LEN, &key) ||
        !kdf_a(seed, "INTEGRITY", KV_BYTES_NULL, 8 * KV_HASH_LEN, &integrity) ||
        !encrypt(key.b, plain, sizeof plain, sealed)) {
        return false;
    }
    memcpy(sealed + sizeof plain, name->name, name->size);
    if (HMAC(EVP_sha256(), integrity.b, sizeof integrity.b, sealed, sizeof plain + name->size,
             outer.b, NULL) == NULL) {
        return false;
    }
    kv_buf_init(&text, sizeof out->credential);
    kv_buf_add_u16(&text, KV_HASH_LEN);
    kv_buf_add(&text, outer.b, sizeof outer.b);
    kv_buf_add(&text, sealed, sizeof plain);
    bool good = !text.failed;
    if (good) {
        out->size = (UINT16)text.len;
        memcpy(out->credential, text.data, text.len);
    }
    kv_buf_clear(&text);
    return good;
}

enum kv_code kv_tpm_credential_make(struct kv_bytes endorsement, const TPM2B_NAME *name,
                                    const struct kv_hash *secret, TPM2B_ID_OBJECT *out,
                                    TPM2B_ENCRYPTED_SECRET *seed, struct kv_err *err)
{
    const unsigned char *at = endorsement.ptr;
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)endorsement.len);
    struct kv_hash secret_seed;
    bool good = key != NULL &&
                (EVP_PKEY_is_a(key, "RSA") ? seed_rsa : seed_ec)(key, &secret_seed, seed) &&
                seal(&secret_seed, name, secret, out);
    kv_wipe(&secret_seed, sizeof secret_seed);
    return good ? KV_OK
                : KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                            "no challenge could be made for the TPM's endorsement key");
}
