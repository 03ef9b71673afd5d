/* A maker of TPMs: an authority of the test's own, and chips (swtpm) that it certifies as in the
 * factory. */
#ifndef KV_TESTS_UNIT_TPM_MAKER_H
#define KV_TESTS_UNIT_TPM_MAKER_H

#include "tests/unit/tpm/swtpm.h"
#include "tpm/session.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define DAY 86400L

static EVP_PKEY *maker_key;
static const char *maker_name = "Maker";

/* A certificate by the maker; `spki` NULL: his own. `use`: extendedKeyUsage, or NULL. */
static inline X509 *certify(const char *name, struct kv_bytes spki, const char *use, long days)
{
    const unsigned char *at = spki.ptr;
    X509 *out = X509_new();
    EVP_PKEY *key = spki.ptr == NULL ? maker_key : d2i_PUBKEY(NULL, &at, (long)spki.len);
    X509_NAME *issuer = X509_NAME_new();
    assert_non_null(key);
    assert_int_equal(X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_ASC,
                                                (const unsigned char *)maker_name, -1, -1, 0),
                     1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(out), "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    X509_set_issuer_name(out, issuer);
    X509_set_version(out, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(out), 7);
    X509_gmtime_adj(X509_getm_notBefore(out), -2 * DAY);
    X509_gmtime_adj(X509_getm_notAfter(out), days * DAY);
    X509_set_pubkey(out, key);
    X509_EXTENSION *extension =
        use != NULL ? X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, use)
                    : X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    assert_int_equal(X509_add_ext(out, extension, -1), 1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(out, maker_key, EVP_sha256()) > 0);
    X509_NAME_free(issuer);
    if (key != maker_key) {
        EVP_PKEY_free(key);
    }
    return out;
}

/* The roots file of this maker, in the folder of the TPM. */
static inline void be_trusted(struct swtpm *tpm, char path[static 128])
{
    (void)snprintf(path, 128, "%s/roots.pem", tpm->dir);
    X509 *root = certify("Maker", KV_BYTES_NULL, NULL, 30);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("what people write between certificates\n", file);
    assert_int_equal(PEM_write_X509(file, root), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(root);
    tpm->profile.roots = path;
}

/* ---- his chip: TCG EK Credential Profile, templates L-1 and L-2 and their NV indices ---- */

struct model {
    const char *name;
    TPM2_HANDLE index;
    TPMT_PUBLIC template;
};
#define ATTRIBUTES                                                                                 \
    0x300b2 /* fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|… */
#define POLICY                                                                                     \
    {                                                                                              \
        32,                                                                                        \
        {                                                                                          \
            0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5,    \
                0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda,      \
                0x1b, 0x33, 0x14, 0x69, 0xaa                                                       \
        }                                                                                          \
    }
#define AES                                                                                        \
    {                                                                                              \
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB                    \
    }
static const struct model models[] = {
    {"ECC",
     0x01c0000a,
     {.type = TPM2_ALG_ECC,
      .nameAlg = TPM2_ALG_SHA256,
      .objectAttributes = ATTRIBUTES,
      .authPolicy = POLICY,
      .parameters.eccDetail = {.symmetric = AES,
                               .scheme.scheme = TPM2_ALG_NULL,
                               .curveID = TPM2_ECC_NIST_P256,
                               .kdf.scheme = TPM2_ALG_NULL},
      .unique.ecc = {{.size = 32}, {.size = 32}}}},
    {"RSA",
     0x01c00002,
     {.type = TPM2_ALG_RSA,
      .nameAlg = TPM2_ALG_SHA256,
      .objectAttributes = ATTRIBUTES,
      .authPolicy = POLICY,
      .parameters.rsaDetail = {.symmetric = AES, .scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048},
      .unique.rsa.size = 256}},
};

static inline void burn(struct kv_tpm_chip *chip, TPM2_HANDLE index, const uint8_t *data,
                        size_t len)
{
    static const TPM2B_AUTH none;
    const TPM2B_NV_PUBLIC public = {
        .nvPublic = {.nvIndex = index,
                     .nameAlg = TPM2_ALG_SHA256,
                     .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_AUTHWRITE | TPMA_NV_OWNERREAD |
                                   TPMA_NV_AUTHREAD | TPMA_NV_NO_DA,
                     .dataSize = (UINT16)(len + 9)}}; /* makers leave room behind it */
    TPM2B_MAX_NV_BUFFER part;
    ESYS_TR handle = ESYS_TR_NONE;
    assert_int_equal(Esys_NV_DefineSpace(chip->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
                                         ESYS_TR_NONE, ESYS_TR_NONE, &none, &public, &handle),
                     TSS2_RC_SUCCESS);
    for (size_t at = 0; at < len; at += part.size) {
        part.size = (UINT16)(len - at < 512 ? len - at : 512);
        memcpy(part.buffer, data + at, part.size);
        assert_int_equal(Esys_NV_Write(chip->esys, handle, handle, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE, &part, (UINT16)at),
                         TSS2_RC_SUCCESS);
    }
    assert_int_equal(Esys_TR_Close(chip->esys, &handle), TSS2_RC_SUCCESS);
}

static inline void endorsement_of(struct swtpm *tpm, const struct model *model,
                                  struct kv_token_key *out)
{
    struct kv_token *token = swtpm_open(tpm);
    struct kv_tpm_chip *chip = &kv_tpm_token(token)->chip;
    ESYS_TR made = ESYS_TR_NONE;
    TPM2B_PUBLIC public;
    assert_int_equal(kv_tpm_endorsed_key(chip, &model->template, &made, &public, NULL), KV_OK);
    assert_true(kv_tpm_public_key(&public.publicArea, out));
    kv_tpm_chip_flush(chip, &made);
    kv_token_close(token);
}

/* Certified in the factory. */
static inline void endorse(struct swtpm *tpm, const struct model *model,
                           const struct kv_token_key *key, const char *use, long days)
{
    unsigned char *der = NULL;
    X509 *certificate = certify("A TPM", kv_bytes(key->spki, key->spki_len), use, days);
    int len = i2d_X509(certificate, &der);
    assert_true(len > 0);
    struct kv_token *token = swtpm_open(tpm);
    burn(&kv_tpm_token(token)->chip, model->index, der, (size_t)len);
    kv_token_close(token);
    OPENSSL_free(der);
    X509_free(certificate);
}

/* A slot on such a chip, opened by one who trusts the maker. */
static inline struct kv_token *opened(struct swtpm *tpm, const struct model *model, const char *use,
                                      long days, char roots[static 128])
{
    struct kv_token_key key;
    endorsement_of(tpm, model, &key);
    endorse(tpm, model, &key, use, days);
    be_trusted(tpm, roots);
    return swtpm_open(tpm);
}
#define OF_TPM "2.23.133.8.1"

#endif
