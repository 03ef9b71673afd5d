#include "core/public.h"

#include "core/openssl.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define POINT_LEN  65
#define SCALAR_LEN 32

static void bn_freep(BIGNUM **p)
{
    BN_free(*p);
}
static void bld_freep(OSSL_PARAM_BLD **p)
{
    OSSL_PARAM_BLD_free(*p);
}
static void param_freep(OSSL_PARAM **p)
{
    OSSL_PARAM_free(*p);
}
static void ecdsa_sig_freep(ECDSA_SIG **p)
{
    ECDSA_SIG_free(*p);
}

/* SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point (RFC 5480 §2). */
static const uint8_t p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static EVP_PKEY *parse(const uint8_t *spki, size_t len)
{
    const unsigned char *at = spki;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)len);
    if (pkey != NULL && at != spki + len) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    return pkey;
}

bool kv_public_from_point(struct kv_bytes point, struct kv_token_key *out)
{
    if (point.len == POINT_LEN + 2 && point.ptr[0] == 0x04 && point.ptr[1] == POINT_LEN) {
        point = kv_bytes(point.ptr + 2, POINT_LEN);
    }
    if (point.len != POINT_LEN || point.ptr[0] != 0x04) {
        return false;
    }
    uint8_t spki[sizeof p256_head + POINT_LEN];
    memcpy(spki, p256_head, sizeof p256_head);
    memcpy(spki + sizeof p256_head, point.ptr, POINT_LEN);
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *pkey = parse(spki, sizeof spki);
    if (pkey == NULL) { /* not on the curve */
        return false;
    }
    out->type = KV_TOKEN_EC_P256;
    memcpy(out->spki, spki, sizeof spki);
    out->spki_len = sizeof spki;
    return true;
}

bool kv_public_from_rsa(struct kv_bytes modulus, struct kv_bytes exponent, struct kv_token_key *out)
{
    if (modulus.len == 0 || modulus.len > 257 || exponent.len == 0 || exponent.len > 8) {
        return false;
    }
    KV_CLEANUP(bn_freep) BIGNUM *n = BN_bin2bn(modulus.ptr, (int)modulus.len, NULL);
    KV_CLEANUP(bn_freep) BIGNUM *e = BN_bin2bn(exponent.ptr, (int)exponent.len, NULL);
    KV_CLEANUP(bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (n == NULL || e == NULL || bld == NULL || BN_num_bits(n) != 2048 || !BN_is_odd(n) ||
        !BN_is_odd(e) || BN_is_one(e) || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e)) {
        return false;
    }
    KV_CLEANUP(param_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    KV_CLEANUP(kv_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *pkey = NULL;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0) {
        return false;
    }
    int len = i2d_PUBKEY(pkey, NULL);
    if (len <= 0 || len > KV_TOKEN_SPKI_MAX) {
        return false;
    }
    unsigned char *at = out->spki;
    out->type = KV_TOKEN_RSA_2048;
    out->spki_len = (size_t)i2d_PUBKEY(pkey, &at);
    return true;
}

size_t kv_public_sig_to_der(const uint8_t sig[static 64], uint8_t out[static KV_PUBLIC_DER_MAX])
{
    KV_CLEANUP(ecdsa_sig_freep) ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig, SCALAR_LEN, NULL);
    BIGNUM *s = BN_bin2bn(sig + SCALAR_LEN, SCALAR_LEN, NULL);
    if (pair == NULL || r == NULL || s == NULL || !ECDSA_SIG_set0(pair, r, s)) {
        BN_free(r);
        BN_free(s);
        return 0;
    }
    unsigned char *at = out;
    int len = i2d_ECDSA_SIG(pair, NULL);
    if (len <= 0 || len > KV_PUBLIC_DER_MAX || i2d_ECDSA_SIG(pair, &at) != len) {
        return 0;
    }
    return (size_t)len;
}

bool kv_public_sig_from_der(struct kv_bytes der, uint8_t out[static 64])
{
    uint8_t sig[2 * SCALAR_LEN], again[KV_PUBLIC_DER_MAX];
    const unsigned char *at = der.ptr;
    KV_CLEANUP(ecdsa_sig_freep)
    ECDSA_SIG *pair = der.len > sizeof again ? NULL : d2i_ECDSA_SIG(NULL, &at, (long)der.len);
    if (pair == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(pair), sig, SCALAR_LEN) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), sig + SCALAR_LEN, SCALAR_LEN) < 0 ||
        !kv_bytes_equal(der, kv_bytes(again, kv_public_sig_to_der(sig, again)))) {
        return false;
    }
    memcpy(out, sig, sizeof sig);
    return true;
}

bool kv_public_verify(const struct kv_token_key *key, enum kv_token_mechanism mechanism,
                      const struct kv_hash *digest, struct kv_bytes sig)
{
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *pkey = parse(key->spki, key->spki_len);
    KV_CLEANUP(kv_pkey_ctx_freep)
    EVP_PKEY_CTX *ctx = pkey == NULL ? NULL : EVP_PKEY_CTX_new(pkey, NULL);
    bool is_rsa = key->type == KV_TOKEN_RSA_2048;
    if (ctx == NULL || is_rsa != (mechanism != KV_TOKEN_ECDSA) || EVP_PKEY_verify_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) <= 0) {
        return false;
    }
    uint8_t der[KV_PUBLIC_DER_MAX];
    switch (mechanism) {
    case KV_TOKEN_ECDSA:
        if (sig.len != (size_t)2 * SCALAR_LEN) {
            return false;
        }
        sig = kv_bytes(der, kv_public_sig_to_der(sig.ptr, der));
        break;
    case KV_TOKEN_RSA_PKCS1_SHA256:
        if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) <= 0) {
            return false;
        }
        break;
    case KV_TOKEN_RSA_PSS_SHA256:
        if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
            EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) <= 0 ||
            EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, KV_HASH_LEN) <= 0) {
            return false;
        }
        break;
    case KV_TOKEN_MECHANISM_COUNT: return false;
    }
    return EVP_PKEY_verify(ctx, sig.ptr, sig.len, digest->b, KV_HASH_LEN) == 1;
}
