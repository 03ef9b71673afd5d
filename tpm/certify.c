#include "tpm/session.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "core/public.h"

#define SCALAR_LEN 32

/* It signs what begins with TPM_GENERATED and was made by the chip (restricted), and that the chip
 * cannot be made to say of a key that lies elsewhere. It needs no password: what it signs is true,
 * whoever asks. Derived from this template alone, so that it is the same after each start, and
 * tpm2-tools can make it again (docs/guide-auditor.md). */
static const TPMT_PUBLIC attestation_template = {
    .type = TPM2_ALG_ECC,
    .nameAlg = TPM2_ALG_SHA256,
    .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                        TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                        TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
    .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                             .scheme = {.scheme = TPM2_ALG_ECDSA,
                                        .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                             .curveID = TPM2_ECC_NIST_P256,
                             .kdf.scheme = TPM2_ALG_NULL},
};

enum kv_code kv_tpm_endorsed_key(struct kv_tpm_chip *chip, const TPMT_PUBLIC *template,
                                 ESYS_TR *out, TPM2B_PUBLIC *public, struct kv_err *err)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcr;
    const TPM2B_PUBLIC wanted = {.publicArea = *template};
    TPM2B_PUBLIC *made = NULL;
    TSS2_RC rc = Esys_CreatePrimary(chip->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
                                    ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &wanted, &no_data,
                                    &no_pcr, out, &made, NULL, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS) {
        *out = ESYS_TR_NONE;
        return kv_tpm_code(rc) == KV_E_TOKEN_PIN
                   ? KV_REFUSE(err, KV_E_TOKEN_OWNER,
                               "the TPM's endorsement hierarchy has a password")
                   : KV_TPM_FAIL(err, rc, "deriving a key of the endorsement hierarchy");
    }
    *public = *made;
    Esys_Free(made);
    return KV_OK;
}

enum kv_code kv_tpm_attestation_key(struct kv_tpm_chip *chip, ESYS_TR *out, TPM2B_PUBLIC *public,
                                    struct kv_err *err)
{
    return kv_tpm_endorsed_key(chip, &attestation_template, out, public, err);
}

static bool print_public(const TPM2B_PUBLIC *public, uint8_t out[static KV_TPM_PART_MAX],
                         struct kv_bytes *view)
{
    size_t len = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, out, KV_TPM_PART_MAX, &len) != TSS2_RC_SUCCESS) {
        return false;
    }
    *view = kv_bytes(out, len);
    return true;
}

static bool print_signature(const TPMT_SIGNATURE *from, uint8_t out[static KV_PUBLIC_DER_MAX],
                            struct kv_bytes *view)
{
    const TPM2B_ECC_PARAMETER *r = &from->signature.ecdsa.signatureR;
    const TPM2B_ECC_PARAMETER *s = &from->signature.ecdsa.signatureS;
    uint8_t both[2 * SCALAR_LEN] = {0};
    if (from->sigAlg != TPM2_ALG_ECDSA || r->size > SCALAR_LEN || s->size > SCALAR_LEN) {
        return false;
    }
    memcpy(both + SCALAR_LEN - r->size, r->buffer, r->size); /* leading zeros are not sent */
    memcpy(both + sizeof both - s->size, s->buffer, s->size);
    *view = kv_bytes(out, kv_public_sig_to_der(both, out));
    return view->len > 0;
}

/* The chip's own words about the key in its second place; `by` is in the third. */
static enum kv_code certify(struct kv_tpm_token *token, ESYS_TR by, const TPM2B_PUBLIC *by_public,
                            const struct kv_tpm_key *key, const struct kv_evidence_subject *subject,
                            struct kv_buf *out, struct kv_err *err)
{
    static const TPMT_SIG_SCHEME own = {.scheme = TPM2_ALG_NULL}; /* that of the key */
    struct kv_evidence evidence = token->endorsement;
    struct kv_hash binding = kv_evidence_binding(&evidence, subject);
    TPM2B_DATA qualifying = {.size = sizeof binding.b};
    TPM2B_ATTEST *attested = NULL;
    TPMT_SIGNATURE *signature = NULL;
    uint8_t key_bytes[KV_TPM_PART_MAX], by_bytes[KV_TPM_PART_MAX], der[KV_PUBLIC_DER_MAX];
    memcpy(qualifying.buffer, binding.b, sizeof binding.b);
    TSS2_RC rc =
        Esys_Certify(token->chip.esys, token->loaded, by, kv_tpm_chip_session(&token->chip, 0),
                     ESYS_TR_PASSWORD, ESYS_TR_NONE, &qualifying, &own, &attested, &signature);
    if (rc != TSS2_RC_SUCCESS) {
        return KV_TPM_FAIL(err, rc, "TPM2_Certify");
    }
    evidence.attested = kv_bytes(attested->attestationData, attested->size);
    bool good = print_signature(signature, der, &evidence.signature) &&
                print_public(&key->blob.public, key_bytes, &evidence.key) &&
                print_public(by_public, by_bytes, &evidence.signer);
    if (good) {
        kv_evidence_print(&evidence, out);
    }
    Esys_Free(attested);
    Esys_Free(signature);
    return good && !out->failed
               ? KV_OK
               : KV_REFUSE(err, KV_E_TOKEN, "the TPM certified the key in no form that is known");
}

enum kv_code kv_tpm_certify(struct kv_token *base, uint64_t handle,
                            const struct kv_evidence_subject *subject, struct kv_buf *out,
                            struct kv_err *err)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    const struct kv_tpm_key *key = NULL;
    TPM2B_PUBLIC public;
    ESYS_TR by = ESYS_TR_NONE;
    enum kv_code code = kv_tpm_use(token, handle, &key, err);
    if (code == KV_OK) {
        code = kv_tpm_attestation_key(&token->chip, &by, &public, err);
        if (code == KV_E_TOKEN_OWNER) {
            return KV_OK; /* somebody keeps that hierarchy to himself: there is no evidence */
        }
    }
    if (code == KV_OK) {
        code = certify(token, by, &public, key, subject, out, err);
    }
    kv_tpm_chip_flush(&token->chip, &by);
    return code;
}
