/* Who says which states of the PCRs are good. */
#ifndef KV_TESTS_UNIT_TPM_AUTHORITY_H
#define KV_TESTS_UNIT_TPM_AUTHORITY_H

#include "tests/unit/kv_test.h"
#include "tpm/pin.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

/* An authority with its key; SubjectPublicKeyInfo in `spki`. */
struct authority {
    EVP_PKEY *key;
    struct kv_buf spki;
};

static inline void authority_init(struct authority *a, const char *curve)
{
    unsigned char *der = NULL;
    a->key = EVP_EC_gen(curve);
    assert_non_null(a->key);
    int len = i2d_PUBKEY(a->key, &der);
    assert_true(len > 0);
    kv_buf_init(&a->spki, 512);
    kv_buf_add(&a->spki, der, (size_t)len);
    OPENSSL_free(der);
}

static inline void authority_clear(struct authority *a)
{
    EVP_PKEY_free(a->key);
    kv_buf_clear(&a->spki);
}

static inline size_t authority_signs(struct authority *a, struct kv_bytes message, uint8_t out[128])
{
    size_t len = 128;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_non_null(ctx);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, a->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, out, &len, message.ptr, message.len), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

static inline enum kv_code approve(struct kv_tpm_pin *pin, struct authority *by,
                                   struct kv_bytes message)
{
    uint8_t sig[128];
    size_t len = authority_signs(by, message, sig);
    return kv_tpm_pin_approve(pin, message, kv_bytes(sig, len), NULL);
}

#endif
