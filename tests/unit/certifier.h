/* What a TPM would say of a P-256 key, said by a key of the test's own: good, or wrong in one way
 * that no real TPM offers. */
#ifndef KV_TESTS_UNIT_CERTIFIER_H
#define KV_TESTS_UNIT_CERTIFIER_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "core/evidence.h"
#include "tests/unit/kv_test.h"

/* The words; `certifier_honest` are those of a TPM. */
struct certifier {
    uint32_t generated;           /* TPM_GENERATED */
    uint16_t type;                /* TPM_ST_ATTEST_CERTIFY */
    uint32_t key_may, signer_may; /* TPMA_OBJECT */
    uint16_t scheme;              /* of the key: TPM_ALG_ECDSA */
    uint32_t hierarchy;           /* of the signer: endorsement */
    const char *certificate;      /* NULL: none */
};
static const struct certifier certifier_honest = {
    0xff544347, 0x8017, 0x40472, 0x50472, 0x0018, 0x4000000b, "a maker's certificate"};

static inline void certifier_sized(struct kv_buf *out, struct kv_bytes bytes)
{
    kv_buf_add_u16(out, (uint16_t)bytes.len);
    kv_buf_add_bytes(out, bytes);
}

/* TPM2B_PUBLIC of the P-256 key whose SPKI this is. */
static inline void certifier_public(struct kv_bytes spki, uint32_t may, uint16_t scheme,
                                    struct kv_buf *out)
{
    static const uint8_t policy[32] = {4, 7, 11};
    struct kv_buf area;
    assert_int_equal(spki.len, 91);
    kv_buf_init(&area, 1024);
    kv_buf_add_u16(&area, 0x0023);
    kv_buf_add_u16(&area, 0x000b);
    kv_buf_add_u32(&area, may);
    certifier_sized(&area, kv_bytes(policy, sizeof policy));
    kv_buf_add_u16(&area, 0x0010);
    kv_buf_add_u16(&area, scheme);
    kv_buf_add_u16(&area, 0x000b);
    kv_buf_add_u16(&area, 0x0003);
    kv_buf_add_u16(&area, 0x0010);
    certifier_sized(&area, kv_bytes(spki.ptr + 27, 32));
    certifier_sized(&area, kv_bytes(spki.ptr + 59, 32));
    kv_buf_init(out, 1024);
    certifier_sized(out, kv_buf_bytes(&area));
    kv_buf_clear(&area);
}

/* A name: of the area of a TPM2B_PUBLIC, or of other bytes. */
static inline void certifier_name(struct kv_bytes of, struct kv_buf *out)
{
    struct kv_hash hash = kv_hash(of);
    kv_buf_init(out, 64);
    kv_buf_add_u16(out, 0x000b);
    kv_buf_add(out, hash.b, sizeof hash.b);
}

static inline struct kv_bytes certifier_area(const struct kv_buf *public)
{
    return kv_bytes(public->data + 2, public->len - 2);
}

static inline void certifier_attest(const struct certifier *words, const struct kv_buf *key,
                                    const struct kv_buf *signer, const struct kv_hash *binding,
                                    struct kv_buf *out)
{
    static const uint8_t clock_and_firmware[25] = {0};
    struct kv_buf name, own, path, qualified;
    certifier_name(certifier_area(key), &name);
    certifier_name(certifier_area(signer), &own);
    kv_buf_init(&path, 64);
    kv_buf_add_u32(&path, words->hierarchy);
    kv_buf_add_bytes(&path, kv_buf_bytes(&own));
    certifier_name(kv_buf_bytes(&path), &qualified);
    kv_buf_init(out, 1024);
    kv_buf_add_u32(out, words->generated);
    kv_buf_add_u16(out, words->type);
    certifier_sized(out, kv_buf_bytes(&qualified));
    certifier_sized(out, kv_bytes(binding->b, sizeof binding->b));
    kv_buf_add(out, clock_and_firmware, sizeof clock_and_firmware);
    certifier_sized(out, kv_buf_bytes(&name));
    certifier_sized(out, kv_buf_bytes(&name));
    kv_buf_clear(&name);
    kv_buf_clear(&own);
    kv_buf_clear(&path);
    kv_buf_clear(&qualified);
}

static inline void certifier_say(const struct certifier *words,
                                 const struct kv_evidence_subject *subject, struct kv_bytes spki,
                                 struct kv_buf *out)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *own = NULL;
    uint8_t der[80];
    size_t der_len = sizeof der;
    struct kv_buf key, signer, attested;
    struct kv_evidence evidence = {.store = NULL};
    int own_len = i2d_PUBKEY(pkey, &own);
    assert_true(own_len > 0);
    if (words->certificate != NULL) {
        evidence.certificate[evidence.certificate_count++] = kv_bytes_str(words->certificate);
    }
    struct kv_hash binding = kv_evidence_binding(&evidence, subject);
    certifier_public(spki, words->key_may, words->scheme, &key);
    certifier_public(kv_bytes(own, (size_t)own_len), words->signer_may, 0x0018, &signer);
    certifier_attest(words, &key, &signer, &binding, &attested);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &der_len, attested.data, attested.len), 1);
    evidence.attested = kv_buf_bytes(&attested);
    evidence.signature = kv_bytes(der, der_len);
    evidence.key = kv_buf_bytes(&key);
    evidence.signer = kv_buf_bytes(&signer);
    kv_buf_init(out, KV_EVIDENCE_MAX);
    kv_evidence_print(&evidence, out);
    kv_buf_clear(&key);
    kv_buf_clear(&signer);
    kv_buf_clear(&attested);
    OPENSSL_free(own);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

/* A P-256 key's SPKI. */
static inline void certifier_spki(struct kv_buf *out)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    assert_true(len > 0);
    kv_buf_init(out, 128);
    kv_buf_add(out, der, (size_t)len);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
}

#endif
