#include "tpm/persistent.h"

#include <stdio.h>
#include <string.h>

#include "tpm/session.h"

#define HANDLES_MAX 64 /* of a chip; those that are made have room for a dozen */

static void describe_key(const TPMT_PUBLIC *public, char *out, size_t size)
{
    int n;
    if (public->type == TPM2_ALG_ECC) {
        n = snprintf(out, size, "%s",
                     public->parameters.eccDetail.curveID == TPM2_ECC_NIST_P256 ? "EC P-256"
                                                                                : "EC");
    } else if (public->type == TPM2_ALG_RSA) {
        n = snprintf(out, size, "RSA %u", public->parameters.rsaDetail.keyBits);
    } else {
        n = snprintf(out, size, "%s",
                     public->type == TPM2_ALG_KEYEDHASH ? "sealed or HMAC" : "symmetric");
    }
    assert(n > 0 && (size_t)n < size);
}

/* By the places that the TCG gives out (Registry of Reserved TPM 2.0 Handles and Localities, §2.3),
 * and by what it can do. */
static const char *use_of(uint32_t handle, const TPM2B_PUBLIC *public, const TPM2B_NAME *name,
                          const TPM2B_NAME *parent)
{
    const TPMA_OBJECT parents = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
    bool is_parent = (public->publicArea.objectAttributes & parents) == parents;
    if (parent->size > 0 &&
        kv_bytes_equal(kv_bytes(name->name, name->size), kv_bytes(parent->name, parent->size))) {
        return "storage key; parent of this slot's keys";
    }
    if (handle == KV_TPM_SRK_HANDLE && kv_tpm_chip_is_storage(public)) {
        return "storage key; this slot would use it";
    }
    if (handle >= TPM2_PLATFORM_PERSISTENT) {
        return "the platform's";
    }
    if (handle >= 0x81010000 && handle <= 0x8101ffff) {
        return is_parent ? "endorsement key" : "of the endorsement hierarchy";
    }
    return is_parent ? "storage key of another program" : "of another program";
}

static enum kv_code look_at(struct kv_tpm_chip *chip, uint32_t handle, const TPM2B_NAME *parent,
                            struct kv_tpm_kept *out, struct kv_err *err)
{
    ESYS_TR object = ESYS_TR_NONE;
    TPM2B_PUBLIC *public = NULL;
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_TR_FromTPMPublic(chip->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       &object);
    if (rc == TSS2_RC_SUCCESS) {
        rc = Esys_ReadPublic(chip->esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
                             &name, NULL);
    }
    if (rc == TSS2_RC_SUCCESS) {
        out->handle = handle;
        describe_key(&public->publicArea, out->key, sizeof out->key);
        int n = snprintf(out->use, sizeof out->use, "%s", use_of(handle, public, name, parent));
        assert(n > 0 && (size_t)n < sizeof out->use);
    }
    Esys_Free(public);
    Esys_Free(name);
    if (object != ESYS_TR_NONE) {
        (void)Esys_TR_Close(chip->esys, &object); /* of ESAPI only: what is in the chip stays */
    }
    return rc == TSS2_RC_SUCCESS ? KV_OK : KV_TPM_FAIL(err, rc, "looking at a persistent object");
}

static enum kv_code look(struct kv_tpm_chip *chip, const TPM2B_NAME *parent,
                         void (*each)(const struct kv_tpm_kept *kept, void *arg), void *arg,
                         struct kv_err *err)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    TSS2_RC rc =
        Esys_GetCapability(chip->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                           TPM2_PERSISTENT_FIRST, HANDLES_MAX, &more, &data);
    if (rc != TSS2_RC_SUCCESS) {
        return KV_TPM_FAIL(err, rc, "asking the TPM for its persistent handles");
    }
    enum kv_code code = KV_OK;
    for (uint32_t i = 0; code == KV_OK && i < data->data.handles.count; i++) {
        struct kv_tpm_kept kept;
        code = look_at(chip, data->data.handles.handle[i], parent, &kept, err);
        if (code == KV_OK) {
            each(&kept, arg);
        }
    }
    Esys_Free(data);
    return code;
}

enum kv_code kv_tpm_persistent(const struct kv_tpm_profile *profile,
                               void (*each)(const struct kv_tpm_kept *kept, void *arg), void *arg,
                               struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int lock = -1;
    struct kv_tpm_chip chip = {.primary = ESYS_TR_NONE, .session = ESYS_TR_NONE};
    TPM2B_NAME parent;
    enum kv_code code = kv_tpm_folder_hold(profile->folder, &lock, &parent, err);
    if (code == KV_OK) {
        code = kv_tpm_chip_connect(profile->tcti, &chip, err);
    }
    if (code == KV_OK) {
        code = look(&chip, &parent, each, arg, err);
    }
    kv_tpm_chip_clear(&chip);
    return code;
}
