/* Whose chip it is. Its maker certifies the endorsement key, which cannot sign; so a secret is
 * sealed to that key and to the name of the chip's attestation key, and only a chip that has both
 * gives it back. That is seen here, at each login, and by nobody else: who reads the ledger later
 * has the certificate and our word (docs/decisions/0010). */
#include "tpm/session.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "core/cursor.h"
#include "core/roots.h"
#include "core/time.h"
#include "tpm/credential.h"

#define NV_CHUNK      512        /* bytes; every chip gives as many at once */
#define ISSUERS       0x01c00100 /* NV indices, §2.2.1.5 */
#define ISSUERS_COUNT 16         /* of 256: a chain of eight certificates has room in them */

/* TCG EK Credential Profile 2.5 §B.3.3 and B.3.4, templates L-1 and L-2. The policy is
 * TPM2_PolicySecret of the endorsement hierarchy. */
#define EK_ATTRIBUTES                                                                              \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |            \
     TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
/* clang-format off */
#define EK_POLICY {.size = 32, .buffer = { \
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, \
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa}}
/* clang-format on */

/* The kinds of endorsement key, the quicker one first: to derive RSA can take a chip many seconds.
 */
static const struct kind {
    TPM2_HANDLE certificate; /* NV index, §2.2.1.4 */
    TPM2_HANDLE persistent;  /* where makers and systems keep it (Provisioning Guidance §7.8) */
    TPMT_PUBLIC template;
} kinds[] = {
    {0x01c0000a,
     0x81010002,
     {.type = TPM2_ALG_ECC,
      .nameAlg = TPM2_ALG_SHA256,
      .objectAttributes = EK_ATTRIBUTES,
      .authPolicy = EK_POLICY,
      .parameters.eccDetail =
          {.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
           .scheme.scheme = TPM2_ALG_NULL,
           .curveID = TPM2_ECC_NIST_P256,
           .kdf.scheme = TPM2_ALG_NULL},
      .unique.ecc = {.x.size = 32, .y.size = 32}}},
    {0x01c00002,
     0x81010001,
     {.type = TPM2_ALG_RSA,
      .nameAlg = TPM2_ALG_SHA256,
      .objectAttributes = EK_ATTRIBUTES,
      .authPolicy = EK_POLICY,
      .parameters.rsaDetail =
          {.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
           .scheme.scheme = TPM2_ALG_NULL,
           .keyBits = 2048},
      .unique.rsa.size = 256}},
};

static bool succeeded(TSS2_RC rc)
{
    return rc == TSS2_RC_SUCCESS;
}

/* ---- the certificate ---- */

static TSS2_RC read_nv(struct kv_tpm_chip *chip, ESYS_TR index, struct kv_buf *out)
{
    TPM2B_NV_PUBLIC *public = NULL;
    TSS2_RC rc = Esys_NV_ReadPublic(chip->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    &public, NULL);
    size_t size = succeeded(rc) ? public->nvPublic.dataSize : 0;
    Esys_Free(public);
    for (size_t at = 0; succeeded(rc) && at < size && at < KV_EVIDENCE_CERTIFICATE_MAX;) {
        TPM2B_MAX_NV_BUFFER *part = NULL;
        size_t want = size - at < NV_CHUNK ? size - at : NV_CHUNK;
        rc = Esys_NV_Read(chip->esys, index, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                          (UINT16)want, (UINT16)at, &part);
        if (succeeded(rc)) {
            kv_buf_add(out, part->buffer, part->size);
            at = part->size == 0 ? size : at + part->size;
        }
        Esys_Free(part);
    }
    return rc;
}

/* Add the contents of an index; nothing if there is none. */
static enum kv_code read_index(struct kv_tpm_chip *chip, TPM2_HANDLE handle, struct kv_buf *out,
                               struct kv_err *err)
{
    ESYS_TR index = ESYS_TR_NONE;
    TSS2_RC rc =
        Esys_TR_FromTPMPublic(chip->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index);
    if (!succeeded(rc)) {
        /* kv_tpm_code would take an index that is not there for a chip that is gone */
        return (rc & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER
                   ? KV_TPM_FAIL(err, rc, "the TPM's certificate")
                   : KV_OK;
    }
    rc = read_nv(chip, index, out);
    (void)Esys_TR_Close(chip->esys, &index); /* of ESAPI only */
    return succeeded(rc) ? KV_OK : KV_TPM_FAIL(err, rc, "reading the TPM's certificate");
}

/* The issuers that the maker left in the chip, one behind the other, over as many indices as they
 * need (§2.2.1.5): of chips whose own authority is made with them they are nowhere else. */
static enum kv_code read_issuers(struct kv_tpm_chip *chip, struct kv_buf *out, struct kv_err *err)
{
    for (TPM2_HANDLE i = 0; i < ISSUERS_COUNT; i++) {
        size_t before = out->len;
        enum kv_code code = read_index(chip, ISSUERS + i, out, err);
        if (code != KV_OK || out->len == before) {
            return code;
        }
    }
    return KV_OK;
}

/* Makers pad indices: a certificate is as long as its outermost SEQUENCE says. */
static struct kv_bytes take_certificate(struct kv_bytes *from)
{
    while (from->len > 0 && from->ptr[0] != 0x30) {
        *from = kv_bytes(from->ptr + 1, from->len - 1);
    }
    struct kv_cursor cur = kv_cursor(*from);
    bool good = kv_cursor_u8(&cur) == 0x30 && kv_cursor_u8(&cur) == 0x82;
    struct kv_bytes der = kv_bytes(from->ptr, (size_t)4 + kv_cursor_u16(&cur));
    if (!good || cur.failed || der.len > from->len) {
        *from = KV_BYTES_NULL;
        return KV_BYTES_NULL;
    }
    *from = kv_bytes(from->ptr + der.len, from->len - der.len);
    return der;
}

/* The key's own first; the count, 0: there is none. */
static size_t take_certificates(struct kv_bytes own, struct kv_bytes issuers,
                                struct kv_bytes out[static KV_EVIDENCE_CERTIFICATES_MAX])
{
    size_t count = 0;
    for (struct kv_bytes *from = &own; count < KV_EVIDENCE_CERTIFICATES_MAX; from = &issuers) {
        out[count] = take_certificate(from);
        if (out[count].len == 0) {
            break;
        }
        count++;
    }
    return count;
}

/* ---- the key ---- */

/* The one that was made before, if it is the certificate's. */
static bool find_key(struct kv_tpm_chip *chip, const struct kind *kind, struct kv_bytes certificate,
                     ESYS_TR *out, struct kv_token_key *key)
{
    TPM2B_PUBLIC *public = NULL;
    ESYS_TR found = ESYS_TR_NONE;
    TSS2_RC rc = Esys_TR_FromTPMPublic(chip->esys, kind->persistent, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, &found);
    if (succeeded(rc)) {
        rc = Esys_ReadPublic(chip->esys, found, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
                             NULL, NULL);
    }
    bool good = succeeded(rc) && public->publicArea.objectAttributes == EK_ATTRIBUTES &&
                kv_tpm_public_key(&public->publicArea, key) &&
                kv_roots_certifies(certificate, kv_bytes(key->spki, key->spki_len));
    Esys_Free(public);
    if (!good && found != ESYS_TR_NONE) {
        (void)Esys_TR_Close(chip->esys, &found); /* of ESAPI only */
    }
    *out = good ? found : ESYS_TR_NONE;
    return good;
}

static enum kv_code open_key(struct kv_tpm_chip *chip, const struct kind *kind,
                             struct kv_bytes certificate, ESYS_TR *out, struct kv_token_key *key,
                             struct kv_err *err)
{
    TPM2B_PUBLIC public;
    if (find_key(chip, kind, certificate, out, key)) {
        return KV_OK;
    }
    enum kv_code code = kv_tpm_endorsed_key(chip, &kind->template, out, &public, err);
    if (code == KV_OK && (!kv_tpm_public_key(&public.publicArea, key) ||
                          !kv_roots_certifies(certificate, kv_bytes(key->spki, key->spki_len)))) {
        code = KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "the certificate is of another key");
    }
    return code;
}

/* ---- the challenge ---- */

static TSS2_RC open_policy(struct kv_tpm_chip *chip, ESYS_TR *out)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    TSS2_RC rc =
        Esys_StartAuthSession(chip->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none, TPM2_ALG_SHA256, out);
    if (!succeeded(rc)) {
        *out = ESYS_TR_NONE;
        return rc;
    }
    return Esys_PolicySecret(chip->esys, ESYS_TR_RH_ENDORSEMENT, *out, ESYS_TR_PASSWORD,
                             ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
}

/* The chip opens what was sealed to `key` and to the name of `own`: it has both. */
static enum kv_code challenge(struct kv_tpm_chip *chip, ESYS_TR key, struct kv_bytes spki,
                              ESYS_TR own, struct kv_err *err)
{
    struct kv_hash secret;
    TPM2B_ID_OBJECT blob;
    TPM2B_ENCRYPTED_SECRET seed;
    TPM2B_NAME *name = NULL;
    TPM2B_DIGEST *opened = NULL;
    ESYS_TR policy = ESYS_TR_NONE;
    TSS2_RC rc = Esys_TR_GetName(chip->esys, own, &name);
    enum kv_code code = succeeded(rc) && RAND_bytes(secret.b, sizeof secret.b) == 1
                            ? kv_tpm_credential_make(spki, name, &secret, &blob, &seed, err)
                            : KV_REFUSE(err, KV_E_INTERNAL, "no challenge could be made");
    Esys_Free(name);
    if (code != KV_OK) {
        return code;
    }
    rc = open_policy(chip, &policy);
    if (succeeded(rc)) {
        rc = Esys_ActivateCredential(chip->esys, own, key, ESYS_TR_PASSWORD, policy, ESYS_TR_NONE,
                                     &blob, &seed, &opened);
    }
    bool same = succeeded(rc) && opened->size == sizeof secret.b &&
                CRYPTO_memcmp(opened->buffer, secret.b, sizeof secret.b) == 0;
    Esys_Free(opened);
    if (policy != ESYS_TR_NONE && !succeeded(Esys_FlushContext(chip->esys, policy))) {
        (void)Esys_TR_Close(chip->esys, &policy); /* the chip has ended it already */
    }
    if (!succeeded(rc)) {
        return KV_TPM_FAIL(err, rc, "the certified key does not answer");
    }
    return same ? KV_OK : KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "the certified key is not here");
}

static enum kv_code prove(struct kv_tpm_chip *chip, const struct kind *kind,
                          struct kv_bytes certificate, struct kv_err *err)
{
    struct kv_token_key key;
    TPM2B_PUBLIC public;
    ESYS_TR endorsement = ESYS_TR_NONE, own = ESYS_TR_NONE;
    enum kv_code code = open_key(chip, kind, certificate, &endorsement, &key, err);
    if (code == KV_OK) {
        code = kv_tpm_attestation_key(chip, &own, &public, err);
    }
    if (code == KV_OK) {
        code = challenge(chip, endorsement, kv_bytes(key.spki, key.spki_len), own, err);
    }
    kv_tpm_chip_flush(chip, &own);
    kv_tpm_chip_flush(chip, &endorsement);
    return code;
}

/* ---- the verdict ---- */

/* The checked certificates, for the evidence of keys. */
static void keep(struct kv_tpm_token *token)
{
    struct kv_cursor cur = kv_cursor(kv_buf_bytes(&token->certificates));
    size_t count = 0;
    while (count < KV_EVIDENCE_CERTIFICATES_MAX && cur.left > 0) {
        token->endorsement.certificate[count++] = kv_cursor_string(&cur);
    }
    assert(kv_cursor_done(&cur)); /* the chain's depth is limited to as many */
    token->endorsement.certificate_count = count;
}

static enum kv_code check(struct kv_tpm_token *token, const struct kind *kind,
                          const struct kv_roots *roots, struct kv_bytes own,
                          struct kv_bytes issuers, char name[static KV_ROOT_NAME_LEN],
                          struct kv_err *err)
{
    struct kv_bytes certificate[KV_EVIDENCE_CERTIFICATES_MAX];
    size_t count = take_certificates(own, issuers, certificate);
    enum kv_code code = kv_roots_check(roots, certificate, count, kv_time_now_ms(), name,
                                       &token->certificates, err);
    return code == KV_OK ? prove(&token->chip, kind, certificate[0], err) : code;
}

/* *seen: there is a certificate of this kind. */
static enum kv_code try_kind(struct kv_tpm_token *token, const struct kind *kind,
                             const struct kv_roots *roots, bool *seen,
                             char name[static KV_ROOT_NAME_LEN], struct kv_err *err)
{
    struct kv_buf own, issuers;
    kv_buf_init(&own, KV_EVIDENCE_CERTIFICATE_MAX);
    kv_buf_init(&issuers, KV_EVIDENCE_MAX);
    kv_buf_reset(&token->certificates);
    enum kv_code code = read_index(&token->chip, kind->certificate, &own, err);
    *seen = own.len > 0;
    if (code == KV_OK && !*seen) {
        code = KV_REFUSE(err, KV_E_NOT_FOUND, "the TPM keeps none");
    }
    if (code == KV_OK) {
        code = read_issuers(&token->chip, &issuers, err);
    }
    if (code == KV_OK) {
        code = check(token, kind, roots, kv_buf_bytes(&own), kv_buf_bytes(&issuers), name, err);
    }
    kv_buf_clear(&own);
    kv_buf_clear(&issuers);
    return code;
}

static bool ends(enum kv_code code)
{
    return code == KV_E_TOKEN_ABSENT || code == KV_E_NO_MEMORY;
}

enum kv_code kv_tpm_endorse(struct kv_tpm_token *token, const char *path, struct kv_err *err)
{
    struct kv_token_info *info = &token->base.info;
    KV_CLEANUP(kv_roots_freep) struct kv_roots *roots = NULL;
    char name[KV_ROOT_NAME_LEN];
    struct kv_err why = {.msg = "the TPM keeps none"};
    enum kv_code code = kv_roots_load(path, &roots, err);
    if (code != KV_OK) {
        return code;
    }
    code = KV_E_NOT_FOUND;
    for (size_t i = 0; code != KV_OK && !ends(code) && i < KV_COUNT(kinds); i++) {
        struct kv_err this = {.msg = ""};
        bool seen;
        code = try_kind(token, &kinds[i], roots, &seen, name, &this);
        if (seen || ends(code)) {
            why = this; /* what is wrong with one that is there says more */
        }
    }
    if (ends(code)) {
        *err = why;
        return code;
    }
    if (code == KV_OK) {
        keep(token);
        info->custody = KV_CUSTODY_ATTESTED;
        int n = snprintf(info->custody_why, sizeof info->custody_why,
                         "Certified by '%s'%s; the TPM has shown that it is the one.", name,
                         token->chip.software ? ", though in software" : "");
        assert(n > 0 && (size_t)n < sizeof info->custody_why);
    } else {
        size_t len = strlen(info->custody_why);
        (void)snprintf(info->custody_why + len, sizeof info->custody_why - len,
                       " Certificate: %.60s.", why.msg);
        kv_buf_reset(&token->certificates);
    }
    return KV_OK;
}
