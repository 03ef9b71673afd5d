/* Keys in memory that sign as a token does: R‖S, or PKCS#1 v1.5, of a digest. */
#ifndef KV_TESTS_UNIT_KSEF_SOFTWARE_KEY_H
#define KV_TESTS_UNIT_KSEF_SOFTWARE_KEY_H

#include "tests/unit/kv_test.h"

#include "core/hash.h"
#include "ksef/key.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

struct software_key {
    EVP_PKEY *pkey;
    uint8_t spki[KV_KSEF_SPKI_MAX];
    size_t spki_len;
};

static inline struct software_key software_key_take(EVP_PKEY *pkey)
{
    assert_non_null(pkey);
    struct software_key key = {.pkey = pkey};
    int len = i2d_PUBKEY(pkey, NULL);
    assert_in_range(len, 1, sizeof key.spki);
    uint8_t *end = key.spki;
    assert_int_equal(i2d_PUBKEY(pkey, &end), len);
    key.spki_len = (size_t)len;
    return key;
}

static inline struct software_key software_key_ec(const char *curve)
{
    return software_key_take(EVP_EC_gen(curve));
}

static inline struct software_key software_key_rsa(unsigned bits)
{
    return software_key_take(EVP_RSA_gen(bits));
}

static inline void software_key_free(struct software_key *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}

static inline struct kv_bytes software_key_spki(const struct software_key *key)
{
    return kv_bytes(key->spki, key->spki_len);
}

/* Returns the length of the raw signature. */
static inline size_t software_key_sign(const struct software_key *key, const struct kv_hash *digest,
                                       uint8_t out[static KV_KSEF_SIGNATURE_MAX])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    assert_non_null(ctx);
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    if (EVP_PKEY_is_a(key->pkey, "RSA")) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
    }
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()), 1);
    uint8_t raw[KV_KSEF_SIGNATURE_MAX];
    size_t len = sizeof raw;
    assert_int_equal(EVP_PKEY_sign(ctx, raw, &len, digest->b, KV_HASH_LEN), 1);
    EVP_PKEY_CTX_free(ctx);
    if (EVP_PKEY_is_a(key->pkey, "RSA")) {
        memcpy(out, raw, len);
        return len;
    }
    const uint8_t *at = raw;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32), 32);
    ECDSA_SIG_free(sig);
    return 64;
}

#endif
