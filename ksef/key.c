#include "ksef/key.h"

#include "core/openssl.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define RSA_BITS_MIN  2048
#define RSA_BITS_MAX  4096
#define EC_SPKI_LEN   91 /* P-256, named curve, uncompressed point */
#define EC_HALF       32
#define ECDSA_DER_MAX 72

const char *kv_ksef_key_word(enum kv_ksef_key type)
{
    switch (type) {
    case KV_KSEF_KEY_EC_P256: return "ec-p256";
    case KV_KSEF_KEY_RSA: return "rsa";
    }
    return "?";
}

/* The key, if its encoding is the one that OpenSSL would write: what is compared byte for byte
 * elsewhere must have one form only. */
static EVP_PKEY *parse_spki(struct kv_bytes spki)
{
    if (spki.len == 0 || spki.len > KV_KSEF_SPKI_MAX) {
        return NULL;
    }
    const uint8_t *at = spki.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (key == NULL || at != spki.ptr + spki.len) {
        EVP_PKEY_free(key);
        return NULL;
    }
    uint8_t *again = NULL;
    int len = i2d_PUBKEY(key, &again);
    bool same = len > 0 && kv_bytes_equal(kv_bytes(again, (size_t)len), spki);
    OPENSSL_free(again);
    if (!same) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static bool is_p256(EVP_PKEY *key, size_t spki_len)
{
    char group[32] = "";
    /* the length leaves room for a curve's name and an uncompressed point, not for parameters */
    return EVP_PKEY_is_a(key, "EC") == 1 && spki_len == EC_SPKI_LEN &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                          NULL) == 1 &&
           kv_bytes_is(kv_bytes_str(group), "prime256v1");
}

static enum kv_code key_type(EVP_PKEY *key, size_t spki_len, enum kv_ksef_key *out,
                             struct kv_err *err)
{
    if (key == NULL) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the public key is not a SubjectPublicKeyInfo");
    }
    int bits = EVP_PKEY_get_bits(key);
    if (is_p256(key, spki_len)) {
        *out = KV_KSEF_KEY_EC_P256;
        return KV_OK;
    }
    if (EVP_PKEY_is_a(key, "RSA") == 1 && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX) {
        *out = KV_KSEF_KEY_RSA;
        return KV_OK;
    }
    return KV_REFUSE(err, KV_E_INPUT_VALUE,
                     "KSeF takes EC P-256 keys and RSA keys of %d to %d bits, not this of %d bits",
                     RSA_BITS_MIN, RSA_BITS_MAX, bits);
}

enum kv_code kv_ksef_key_type(struct kv_bytes spki, enum kv_ksef_key *out, unsigned *bits,
                              struct kv_err *err)
{
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *key = parse_spki(spki);
    enum kv_code code = key_type(key, spki.len, out, err);
    if (code == KV_OK && bits != NULL) {
        *bits = (unsigned)EVP_PKEY_get_bits(key);
    }
    return code;
}

enum kv_code kv_ksef_key_ecdsa_der(struct kv_bytes raw, struct kv_buf *out, struct kv_err *err)
{
    if (raw.len != (size_t)2 * EC_HALF) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "an ECDSA P-256 signature has %d bytes, not %zu",
                         2 * EC_HALF, raw.len);
    }
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.ptr, EC_HALF, NULL);
    BIGNUM *s = BN_bin2bn(raw.ptr + EC_HALF, EC_HALF, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for a signature");
    }
    uint8_t der[ECDSA_DER_MAX], *end = der;
    int len = i2d_ECDSA_SIG(sig, NULL);
    assert(len > 0 && len <= ECDSA_DER_MAX);
    (void)i2d_ECDSA_SIG(sig, &end); /* its length is known */
    kv_buf_add(out, der, (size_t)len);
    ECDSA_SIG_free(sig);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a signature") : KV_OK;
}

static bool verifies(EVP_PKEY *key, enum kv_ksef_key type, const struct kv_hash *digest,
                     struct kv_bytes signature)
{
    KV_CLEANUP(kv_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) != 1) {
        return false;
    }
    if (type == KV_KSEF_KEY_RSA && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1) {
        return false;
    }
    return EVP_PKEY_verify(ctx, signature.ptr, signature.len, digest->b, KV_HASH_LEN) == 1;
}

enum kv_code kv_ksef_key_verify(struct kv_bytes spki, const struct kv_hash *digest,
                                struct kv_bytes signature, struct kv_err *err)
{
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *key = parse_spki(spki);
    enum kv_ksef_key type = KV_KSEF_KEY_EC_P256; /* gcc -O3 does not see that key_type sets it */
    enum kv_code code = key_type(key, spki.len, &type, err);
    if (code != KV_OK) {
        return code;
    }
    KV_CLEANUP(kv_buf_clear) struct kv_buf der;
    kv_buf_init(&der, ECDSA_DER_MAX);
    if (type == KV_KSEF_KEY_EC_P256) {
        if (kv_ksef_key_ecdsa_der(signature, &der, NULL) != KV_OK) {
            return KV_REFUSE(err, KV_E_TOKEN, "the token's ECDSA signature has %zu bytes, not %d",
                             signature.len, 2 * EC_HALF);
        }
        signature = kv_buf_bytes(&der);
    }
    if (!verifies(key, type, digest, signature)) {
        return KV_REFUSE(err, KV_E_TOKEN,
                         "the token's signature does not verify with the certificate's key");
    }
    return KV_OK;
}
