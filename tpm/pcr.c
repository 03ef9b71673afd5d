#include "tpm/pcr.h"

#include <string.h>

#include <tss2/tss2_mu.h>

#include "core/parse.h"

#define PCR_MAX 23 /* of a PC client */

bool kv_tpm_pcrs_parse(const char *text, TPML_PCR_SELECTION *out)
{
    static const char bank[] = "sha256:";
    TPMS_PCR_SELECTION selection = {.hash = TPM2_ALG_SHA256, .sizeofSelect = 3};
    if (strncmp(text, bank, strlen(bank)) != 0) {
        return false;
    }
    const char *at = text + strlen(bank);
    for (uint64_t next = 0;;) {
        uint64_t number;
        size_t len = strcspn(at, ",");
        if (!kv_parse_u64(kv_bytes(at, len), PCR_MAX, &number) || number < next) {
            return false;
        }
        selection.pcrSelect[number / 8] |= (BYTE)(1U << number % 8);
        next = number + 1;
        if (at[len] == '\0') {
            break;
        }
        at += len + 1;
    }
    *out = (TPML_PCR_SELECTION){.count = 1, .pcrSelections = {selection}};
    return true;
}

/* A TPM leaves out, without a word, what its bank does not have: the policy would then bind
 * nothing.
 */
static enum kv_code check_bank(struct kv_tpm_chip *chip, const TPMS_PCR_SELECTION *wanted,
                               struct kv_err *err)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    bool kept = false;
    TSS2_RC rc = Esys_GetCapability(chip->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    TPM2_CAP_PCRS, 0, 1, &more, &data);
    if (rc != TSS2_RC_SUCCESS) {
        return KV_TPM_FAIL(err, rc, "asking the TPM for its PCRs");
    }
    const TPML_PCR_SELECTION *banks = &data->data.assignedPCR;
    for (uint32_t i = 0; i < banks->count && i < TPM2_NUM_PCR_BANKS; i++) {
        const TPMS_PCR_SELECTION *bank = &banks->pcrSelections[i];
        if (bank->hash != wanted->hash || bank->sizeofSelect < wanted->sizeofSelect) {
            continue;
        }
        kept = true;
        for (uint8_t k = 0; k < wanted->sizeofSelect; k++) {
            kept = kept && (wanted->pcrSelect[k] & ~bank->pcrSelect[k]) == 0;
        }
    }
    Esys_Free(data);
    return kept ? KV_OK
                : KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                            "the TPM does not keep these PCRs by SHA-256");
}

enum kv_code kv_tpm_pcrs_begin(struct kv_tpm_chip *chip, const char *pcrs, TPM2_SE type,
                               const struct kv_hash *values, ESYS_TR *session,
                               struct kv_hash *state, struct kv_err *err)
{
    TPML_PCR_SELECTION selection;
    TPM2B_DIGEST wanted = {.size = 0}; /* empty: as they are */
    TPM2B_DIGEST *digest = NULL;
    *session = ESYS_TR_NONE;
    bool parsed = kv_tpm_pcrs_parse(pcrs, &selection);
    assert(parsed); /* whoever names them has tried */
    assert(values == NULL || type == TPM2_SE_TRIAL);
    if (values != NULL) {
        wanted.size = KV_HASH_LEN;
        memcpy(wanted.buffer, values->b, KV_HASH_LEN);
    }
    enum kv_code code = check_bank(chip, &selection.pcrSelections[0], err);
    if (code == KV_OK) {
        code = kv_tpm_chip_begin(chip, type, session, err);
    }
    if (code != KV_OK) {
        return code;
    }
    TSS2_RC rc = Esys_PolicyPCR(chip->esys, *session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                &wanted, &selection);
    if (rc == TSS2_RC_SUCCESS) {
        rc = Esys_PolicyGetDigest(chip->esys, *session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                  &digest);
    }
    if (rc != TSS2_RC_SUCCESS) {
        return KV_TPM_FAIL(err, rc, "TPM2_PolicyPCR");
    }
    bool sha256 = digest->size == KV_HASH_LEN;
    memcpy(state->b, digest->buffer, KV_HASH_LEN);
    Esys_Free(digest);
    return sha256 ? KV_OK : KV_REFUSE(err, KV_E_TOKEN, "the TPM gave no digest of its PCRs");
}

static void public_of(const uint8_t authority[static KV_TPM_POINT_LEN], TPM2B_PUBLIC *out)
{
    *out = (TPM2B_PUBLIC){
        .publicArea = {.type = TPM2_ALG_ECC,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_USERWITHAUTH,
                       .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                                .scheme.scheme = TPM2_ALG_NULL,
                                                .curveID = TPM2_ECC_NIST_P256,
                                                .kdf.scheme = TPM2_ALG_NULL},
                       .unique.ecc = {.x.size = 32, .y.size = 32}}};
    memcpy(out->publicArea.unique.ecc.x.buffer, authority + 1, 32);
    memcpy(out->publicArea.unique.ecc.y.buffer, authority + 33, 32);
}

/* TPM 2.0 Library part 1, §16: the hash's number and the hash of the public area. */
static void name_of(const uint8_t authority[static KV_TPM_POINT_LEN], TPM2B_NAME *out)
{
    TPM2B_PUBLIC public;
    uint8_t area[256];
    size_t len = 0;
    public_of(authority, &public);
    TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Marshal(&public.publicArea, area, sizeof area, &len);
    assert(rc == TSS2_RC_SUCCESS);
    struct kv_hash hash = kv_hash(kv_bytes(area, len));
    out->size = 2 + KV_HASH_LEN;
    out->name[0] = TPM2_ALG_SHA256 >> 8;
    out->name[1] = TPM2_ALG_SHA256 & 0xff;
    memcpy(out->name + 2, hash.b, KV_HASH_LEN);
}

/* TPM 2.0 Library part 3, TPM2_PolicyAuthorize: two rounds of PolicyUpdate from a digest of zeros.
 */
void kv_tpm_pcrs_policy(const uint8_t authority[static KV_TPM_POINT_LEN], const TPM2B_DIGEST *ref,
                        TPM2B_DIGEST *out)
{
    static const uint8_t head[KV_HASH_LEN + 4] = {[KV_HASH_LEN + 2] = TPM2_CC_PolicyAuthorize >> 8,
                                                  [KV_HASH_LEN + 3] =
                                                      TPM2_CC_PolicyAuthorize & 0xff};
    TPM2B_NAME name;
    name_of(authority, &name);
    struct kv_hash hash =
        kv_hash3(kv_bytes(head, sizeof head), kv_bytes(name.name, name.size), KV_BYTES_NULL);
    hash = kv_hash3(kv_bytes(hash.b, KV_HASH_LEN), kv_bytes(ref->buffer, ref->size), KV_BYTES_NULL);
    out->size = KV_HASH_LEN;
    memcpy(out->buffer, hash.b, KV_HASH_LEN);
}

static TSS2_RC verify(struct kv_tpm_chip *chip, const struct kv_tpm_approval *approval,
                      const uint8_t authority[static KV_TPM_POINT_LEN], const TPM2B_DIGEST *ref,
                      TPMT_TK_VERIFIED **ticket)
{
    TPM2B_PUBLIC public;
    ESYS_TR key = ESYS_TR_NONE;
    struct kv_hash hash = kv_hash3(kv_bytes(approval->state, KV_HASH_LEN),
                                   kv_bytes(ref->buffer, ref->size), KV_BYTES_NULL);
    TPM2B_DIGEST digest = {.size = KV_HASH_LEN};
    TPMT_SIGNATURE sig = {
        .sigAlg = TPM2_ALG_ECDSA,
        .signature.ecdsa = {.hash = TPM2_ALG_SHA256, .signatureR.size = 32, .signatureS.size = 32}};
    memcpy(digest.buffer, hash.b, KV_HASH_LEN);
    memcpy(sig.signature.ecdsa.signatureR.buffer, approval->sig, 32);
    memcpy(sig.signature.ecdsa.signatureS.buffer, approval->sig + 32, 32);
    public_of(authority, &public);
    /* in the null hierarchy its ticket would be empty, and authorise nothing */
    TSS2_RC rc = Esys_LoadExternal(chip->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                                   &public, ESYS_TR_RH_OWNER, &key);
    if (rc == TSS2_RC_SUCCESS) {
        rc = Esys_VerifySignature(chip->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                  &digest, &sig, ticket);
    }
    kv_tpm_chip_flush(chip, &key);
    return rc;
}

enum kv_code kv_tpm_pcrs_authorise(struct kv_tpm_chip *chip, ESYS_TR session,
                                   const struct kv_tpm_approval *approval,
                                   const uint8_t authority[static KV_TPM_POINT_LEN],
                                   const TPM2B_DIGEST *ref, struct kv_err *err)
{
    TPMT_TK_VERIFIED *ticket = NULL;
    TPM2B_DIGEST state = {.size = KV_HASH_LEN};
    TPM2B_NAME name;
    TSS2_RC rc = verify(chip, approval, authority, ref, &ticket);
    if ((rc & (TPM2_RC_FMT1 | 0x3f)) == TPM2_RC_SIGNATURE) {
        return KV_FAIL(err, KV_E_PIN_APPROVAL, ((struct kv_cause){KV_CAUSE_TSS2, rc}),
                       "the approval of the PCRs is not signed by the authority");
    }
    if (rc != TSS2_RC_SUCCESS) {
        return KV_TPM_FAIL(err, rc, "the authority's signature");
    }
    memcpy(state.buffer, approval->state, KV_HASH_LEN);
    name_of(authority, &name);
    rc = Esys_PolicyAuthorize(chip->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &state,
                              ref, &name, ticket);
    Esys_Free(ticket);
    return rc == TSS2_RC_SUCCESS ? KV_OK : KV_TPM_FAIL(err, rc, "TPM2_PolicyAuthorize");
}
