#include "tpm/chip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_sys.h>
#include <tss2/tss2_tctildr.h>

#include "tpm/way.h"

#define HANDLES_MAX  64   /* asked for at once */
#define FLUSHED_MAX  1024 /* handles that are flushed at a start */
#define RANDOM_CHUNK 32   /* bytes that every chip gives at once */

static bool succeeded(TSS2_RC rc)
{
    return rc == TSS2_RC_SUCCESS;
}

/* ---- start ---- */

static enum kv_code flush_kind(ESYS_CONTEXT *esys, TSS2_SYS_CONTEXT *sys, uint32_t first,
                               struct kv_err *err)
{
    for (size_t flushed = 0; flushed < FLUSHED_MAX;) {
        TPMS_CAPABILITY_DATA *data = NULL;
        TPMI_YES_NO more;
        TSS2_RC rc = Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                        TPM2_CAP_HANDLES, first, HANDLES_MAX, &more, &data);
        if (!succeeded(rc)) {
            return KV_TPM_FAIL(err, rc, "asking the TPM for its handles");
        }
        size_t count = data->data.handles.count;
        for (size_t i = 0; succeeded(rc) && i < count; i++) {
            rc = Tss2_Sys_FlushContext(sys, data->data.handles.handle[i]);
        }
        Esys_Free(data);
        if (!succeeded(rc)) {
            return KV_TPM_FAIL(err, rc, "flushing what was left in the TPM");
        }
        if (count == 0) {
            return KV_OK;
        }
        flushed += count;
    }
    return KV_REFUSE(err, KV_E_TOKEN_IN_USE, "another program fills the TPM with objects");
}

/* A keeper that was killed leaves its objects and sessions; without a resource manager they stay
 * until a reset, and there is room for three. */
static enum kv_code flush_all(ESYS_CONTEXT *esys, struct kv_err *err)
{
    static const uint32_t kinds[] = {TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST,
                                     TPM2_ACTIVE_SESSION_FIRST};
    TSS2_SYS_CONTEXT *sys = NULL;
    TSS2_RC rc = Esys_GetSysContext(esys, &sys);
    if (!succeeded(rc)) {
        return KV_TPM_FAIL(err, rc, "ESAPI");
    }
    enum kv_code code = KV_OK;
    for (size_t i = 0; code == KV_OK && i < KV_COUNT(kinds); i++) {
        code = flush_kind(esys, sys, kinds[i], err);
    }
    return code;
}

/* The standard storage key of the owner hierarchy (TCG EK Credential Profile 2.5 §B.3.4, "SRK"):
 * the chip derives it from a seed that it never gives away and that TPM2_Clear replaces. */
static const TPM2B_PUBLIC storage_template = {
    .publicArea = {
        .type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                            TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                            TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
        .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                               .keyBits.aes = 128,
                                               .mode.aes = TPM2_ALG_CFB},
                                 .scheme.scheme = TPM2_ALG_NULL,
                                 .curveID = TPM2_ECC_NIST_P256,
                                 .kdf.scheme = TPM2_ALG_NULL},
        .unique.ecc = {.x.size = 32, .y.size = 32},
    }};

static TSS2_RC derive(struct kv_tpm_chip *chip, ESYS_TR hierarchy, ESYS_TR *out)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcr;
    return Esys_CreatePrimary(chip->esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                              &no_auth, &storage_template, &no_data, &no_pcr, out, NULL, NULL, NULL,
                              NULL);
}

bool kv_tpm_chip_is_storage(const TPM2B_PUBLIC *public)
{
    return public->publicArea.type == TPM2_ALG_ECC &&
           public->publicArea.objectAttributes == storage_template.publicArea.objectAttributes;
}

static TSS2_RC name_of(struct kv_tpm_chip *chip, ESYS_TR object, TPM2B_NAME *out)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_TR_GetName(chip->esys, object, &name);
    if (succeeded(rc)) {
        *out = *name;
    }
    Esys_Free(name);
    return rc;
}

/* An owner with a password has put the same key at its standard place, if other programs use it. */
static TSS2_RC find_persistent(struct kv_tpm_chip *chip, ESYS_TR *out)
{
    TPM2B_PUBLIC *public = NULL;
    ESYS_TR found = ESYS_TR_NONE;
    TSS2_RC rc = Esys_TR_FromTPMPublic(chip->esys, KV_TPM_SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, &found);
    if (succeeded(rc)) {
        rc = Esys_ReadPublic(chip->esys, found, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
                             NULL, NULL);
    }
    if (succeeded(rc) && !kv_tpm_chip_is_storage(public)) {
        rc = TPM2_RC_TYPE;
    }
    Esys_Free(public);
    if (!succeeded(rc) && found != ESYS_TR_NONE) {
        (void)Esys_TR_Close(chip->esys, &found); /* of ESAPI only */
    }
    *out = succeeded(rc) ? found : ESYS_TR_NONE;
    return rc;
}

static enum kv_code open_storage(struct kv_tpm_chip *chip, struct kv_err *err)
{
    TSS2_RC rc = derive(chip, ESYS_TR_RH_OWNER, &chip->primary);
    enum kv_code code = succeeded(rc) ? KV_OK : kv_tpm_code(rc);
    if ((code == KV_E_TOKEN_PIN || code == KV_E_TOKEN_OWNER) &&
        !succeeded(find_persistent(chip, &chip->primary))) {
        return KV_FAIL(err, KV_E_TOKEN_OWNER, ((struct kv_cause){KV_CAUSE_TSS2, rc}),
                       "the TPM's owner does not let us derive a storage key, and keeps none");
    }
    if (code != KV_OK && chip->primary == ESYS_TR_NONE) {
        return KV_TPM_FAIL(err, rc, "deriving the storage key");
    }
    rc = name_of(chip, chip->primary, &chip->primary_name);
    return succeeded(rc) ? KV_OK : KV_TPM_FAIL(err, rc, "the storage key");
}

enum kv_code kv_tpm_chip_begin(struct kv_tpm_chip *chip, TPM2_SE type, ESYS_TR *out,
                               struct kv_err *err)
{
    static const TPMT_SYM_DEF aes = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    TSS2_RC rc =
        Esys_StartAuthSession(chip->esys, chip->primary, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              ESYS_TR_NONE, NULL, type, &aes, TPM2_ALG_SHA256, out);
    return succeeded(rc) ? KV_OK : KV_TPM_FAIL(err, rc, "beginning a session with the TPM");
}

/* Four characters of a property, at `out`; what is not visible ends it. */
static void add_letters(uint32_t value, char *out)
{
    size_t len = strlen(out);
    for (int shift = 24; shift >= 0; shift -= 8) {
        char c = (char)(value >> shift & 0xff);
        if (c >= ' ' && c <= '~') {
            out[len++] = c;
        }
    }
    out[len] = '\0';
}

/* What hypervisors and simulators call themselves; who says so is believed. (Not by the vendor's
 * string alone: chips of Google, too, say "xCG fTPM", as the reference code does.) */
static bool is_virtual(const struct kv_tpm_chip *chip)
{
    static const char *const makers[] = {
        "AMZN", "GOOG", "MSFT", "VMW",         /* of their clouds and hypervisors */
        "SIM0", "SIM1", "SIM2", "SIM3", "XYZ", /* TCG's registry, the reference code */
    };
    if (strncmp(chip->vendor, "SW", 2) == 0) { /* libtpms: "SW   TPM" */
        return true;
    }
    for (size_t i = 0; i < KV_COUNT(makers); i++) {
        if (strncmp(chip->manufacturer, makers[i], strlen(makers[i])) == 0) {
            return true;
        }
    }
    return false;
}

static enum kv_code read_properties(struct kv_tpm_chip *chip, struct kv_err *err)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    uint32_t version = 0;
    TSS2_RC rc = Esys_GetCapability(
        chip->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
        TPM2_PT_MANUFACTURER, TPM2_PT_FIRMWARE_VERSION_1 - TPM2_PT_MANUFACTURER + 1, &more, &data);
    if (!succeeded(rc)) {
        return KV_TPM_FAIL(err, rc, "asking the TPM who made it");
    }
    for (uint32_t i = 0; i < data->data.tpmProperties.count; i++) {
        const TPMS_TAGGED_PROPERTY *p = &data->data.tpmProperties.tpmProperty[i];
        if (p->property == TPM2_PT_MANUFACTURER) {
            add_letters(p->value, chip->manufacturer);
        } else if (p->property >= TPM2_PT_VENDOR_STRING_1 &&
                   p->property <= TPM2_PT_VENDOR_STRING_4 &&
                   strlen(chip->vendor) + 4 < sizeof chip->vendor) {
            add_letters(p->value, chip->vendor);
        } else if (p->property == TPM2_PT_FIRMWARE_VERSION_1) {
            version = p->value;
        }
    }
    Esys_Free(data);
    int n =
        snprintf(chip->firmware, sizeof chip->firmware, "%u.%u", version >> 16, version & 0xffff);
    assert(n > 0 && (size_t)n < sizeof chip->firmware);
    chip->software |= is_virtual(chip);
    return KV_OK;
}

static enum kv_code initialise(struct kv_tpm_chip *chip, struct kv_err *err)
{
    TSS2_RC rc = Esys_Initialize(&chip->esys, chip->tcti, NULL);
    if (!succeeded(rc)) {
        chip->esys = NULL;
        return KV_TPM_FAIL(err, rc, "the TPM");
    }
    return KV_OK;
}

static enum kv_code begin(struct kv_tpm_chip *chip, struct kv_err *err)
{
    enum kv_code code = chip->managed ? KV_OK : flush_all(chip->esys, err);
    if (code == KV_OK) {
        code = open_storage(chip, err);
    }
    return code == KV_OK ? kv_tpm_chip_begin(chip, TPM2_SE_HMAC, &chip->session, err) : code;
}

enum kv_code kv_tpm_chip_connect(const char *tcti, struct kv_tpm_chip *out, struct kv_err *err)
{
    *out = (struct kv_tpm_chip){.primary = ESYS_TR_NONE, .session = ESYS_TR_NONE};
    if (!kv_tpm_way_known(tcti)) {
        return KV_REFUSE(err, KV_E_CONFIG, "'%.80s' is no way to a TPM that is known", tcti);
    }
    /* its log can hold what crosses the bus (level trace), whoever set the environment */
    if (setenv("TSS2_LOG", "all+none", 1) != 0) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for the environment");
    }
    out->software = kv_tpm_way_software(tcti);
    out->managed = kv_tpm_way_managed(tcti);
    TSS2_RC rc = Tss2_TctiLdr_Initialize(tcti, &out->tcti);
    if (!succeeded(rc)) {
        out->tcti = NULL;
        enum kv_code code = KV_TPM_FAIL(err, rc, tcti);
        return err == NULL ? code : kv_wrap(err, "no TPM is reached");
    }
    return initialise(out, err);
}

enum kv_code kv_tpm_chip_open(const char *tcti, struct kv_tpm_chip *out, struct kv_err *err)
{
    enum kv_code code = kv_tpm_chip_connect(tcti, out, err);
    if (code == KV_OK) {
        code = begin(out, err);
    }
    return code == KV_OK ? read_properties(out, err) : code;
}

enum kv_code kv_tpm_chip_again(struct kv_tpm_chip *chip, struct kv_err *err)
{
    TPM2B_NAME before = chip->primary_name;
    chip->primary = chip->session = ESYS_TR_NONE;
    Esys_Finalize(&chip->esys);
    enum kv_code code = initialise(chip, err);
    code = code == KV_OK ? begin(chip, err) : code;
    if (code == KV_OK &&
        !kv_bytes_equal(kv_bytes(before.name, before.size),
                        kv_bytes(chip->primary_name.name, chip->primary_name.size))) {
        code = KV_REFUSE(err, KV_E_TOKEN_FOREIGN, "the TPM is another one, or it was cleared");
    }
    chip->primary_name = before;
    return code;
}

void kv_tpm_chip_clear(struct kv_tpm_chip *chip)
{
    if (chip->session != ESYS_TR_NONE) {
        (void)Esys_FlushContext(chip->esys, chip->session); /* a chip that is gone has none */
    }
    if (chip->primary != ESYS_TR_NONE) {
        kv_tpm_chip_flush(chip, &chip->primary);
    }
    Esys_Finalize(&chip->esys); /* NULL is fine */
    Tss2_TctiLdr_Finalize(&chip->tcti);
    *chip = (struct kv_tpm_chip){.primary = ESYS_TR_NONE, .session = ESYS_TR_NONE};
}

void kv_tpm_chip_identity(struct kv_tpm_chip *chip, TPM2B_NAME *out)
{
    ESYS_TR own = ESYS_TR_NONE;
    out->size = 0;
    if (succeeded(derive(chip, ESYS_TR_RH_ENDORSEMENT, &own)) &&
        !succeeded(name_of(chip, own, out))) {
        out->size = 0;
    }
    kv_tpm_chip_flush(chip, &own);
}

/* ---- objects ---- */

static ESYS_TR use(struct kv_tpm_chip *chip, ESYS_TR session, TPMA_SESSION also)
{
    static const TPMA_SESSION all = TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT |
                                    TPMA_SESSION_ENCRYPT | TPMA_SESSION_AUDIT;
    /* fails only for what is no session; the command then fails the same way */
    (void)Esys_TRSess_SetAttributes(chip->esys, session, TPMA_SESSION_CONTINUESESSION | also, all);
    return session;
}

ESYS_TR kv_tpm_chip_session(struct kv_tpm_chip *chip, TPMA_SESSION also)
{
    return use(chip, chip->session, also);
}

void kv_tpm_chip_flush(struct kv_tpm_chip *chip, ESYS_TR *object)
{
    if (*object == ESYS_TR_NONE) {
        return;
    }
    /* a persistent object is not flushed, and one of a chip that is gone is gone; ESAPI's own
     * memory of it ends either way */
    if (!succeeded(Esys_FlushContext(chip->esys, *object))) {
        (void)Esys_TR_Close(chip->esys, object);
    }
    *object = ESYS_TR_NONE;
}

/* What is refused here is the storage key's empty password, which is not the slot's PIN. */
static enum kv_code parent_code(enum kv_code code)
{
    return code == KV_E_TOKEN_PIN ? KV_E_TOKEN_OWNER : code;
}

enum kv_code kv_tpm_chip_create(struct kv_tpm_chip *chip, const TPM2B_PUBLIC *template,
                                const TPM2B_AUTH *auth, const struct kv_secret *sealed,
                                struct kv_tpm_blob *out, struct kv_err *err)
{
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcr;
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth = *auth};
    TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC *public = NULL;
    if (sealed != NULL) {
        struct kv_bytes view = kv_secret_bytes(sealed);
        assert(view.len <= sizeof sensitive.sensitive.data.buffer);
        sensitive.sensitive.data.size = (UINT16)view.len;
        memcpy(sensitive.sensitive.data.buffer, view.ptr, view.len);
    }
    TSS2_RC rc = Esys_Create(
        chip->esys, chip->primary, kv_tpm_chip_session(chip, TPMA_SESSION_DECRYPT), ESYS_TR_NONE,
        ESYS_TR_NONE, &sensitive, template, &no_data, &no_pcr, &private, &public, NULL, NULL, NULL);
    kv_wipe(&sensitive, sizeof sensitive);
    if (succeeded(rc)) {
        *out = (struct kv_tpm_blob){.public = *public, .private = *private};
    }
    Esys_Free(private);
    Esys_Free(public);
    return succeeded(rc)
               ? KV_OK
               : KV_FAIL(err, parent_code(kv_tpm_code(rc)), ((struct kv_cause){KV_CAUSE_TSS2, rc}),
                         "TPM2_Create: %s", Tss2_RC_Decode(rc));
}

/* Any complaint about a parameter is about the file: there is nothing else in the command. */
static enum kv_code load_code(TSS2_RC rc)
{
    TSS2_RC plain = rc & ~TSS2_RC_LAYER_MASK;
    bool parameter =
        kv_tpm_rc_of_chip(rc) && (plain & TPM2_RC_FMT1) != 0 && (plain & TPM2_RC_P) != 0;
    return parameter ? KV_E_TOKEN_KEY_DAMAGED : parent_code(kv_tpm_code(rc));
}

enum kv_code kv_tpm_chip_load(struct kv_tpm_chip *chip, const struct kv_tpm_blob *blob,
                              const TPM2B_AUTH *auth, ESYS_TR *out, struct kv_err *err)
{
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rc = Esys_Load(chip->esys, chip->primary, kv_tpm_chip_session(chip, 0), ESYS_TR_NONE,
                           ESYS_TR_NONE, &blob->private, &blob->public, &object);
    if (!succeeded(rc)) {
        return kv_err_set(err, load_code(rc), (struct kv_cause){KV_CAUSE_TSS2, rc}, KV_ORIGIN,
                          "the TPM does not load the key: %s", Tss2_RC_Decode(rc));
    }
    rc = Esys_TR_SetAuth(chip->esys, object, auth);
    if (!succeeded(rc)) {
        kv_tpm_chip_flush(chip, &object);
        return KV_TPM_FAIL(err, rc, "ESAPI");
    }
    *out = object;
    return KV_OK;
}

static enum kv_code unseal(struct kv_tpm_chip *chip, const struct kv_tpm_blob *blob,
                           const TPM2B_AUTH *auth, ESYS_TR session, struct kv_secret **out,
                           struct kv_err *err)
{
    ESYS_TR object = ESYS_TR_NONE;
    TPM2B_SENSITIVE_DATA *data = NULL;
    enum kv_code code = kv_tpm_chip_load(chip, blob, auth, &object, err);
    if (code != KV_OK) {
        return code;
    }
    TSS2_RC rc = Esys_Unseal(chip->esys, object, use(chip, session, TPMA_SESSION_ENCRYPT),
                             ESYS_TR_NONE, ESYS_TR_NONE, &data);
    kv_tpm_chip_flush(chip, &object);
    if (!succeeded(rc)) {
        return KV_TPM_FAIL(err, rc, "TPM2_Unseal");
    }
    code = kv_secret_from(kv_bytes(data->buffer, data->size), out, err);
    kv_wipe(data, sizeof *data);
    Esys_Free(data);
    return code;
}

enum kv_code kv_tpm_chip_unseal(struct kv_tpm_chip *chip, const struct kv_tpm_blob *blob,
                                const TPM2B_AUTH *auth, struct kv_secret **out, struct kv_err *err)
{
    return unseal(chip, blob, auth, chip->session, out, err);
}

enum kv_code kv_tpm_chip_unseal_by(struct kv_tpm_chip *chip, const struct kv_tpm_blob *blob,
                                   ESYS_TR policy, struct kv_secret **out, struct kv_err *err)
{
    static const TPM2B_AUTH no_auth;
    return unseal(chip, blob, &no_auth, policy, out, err);
}

enum kv_code kv_tpm_chip_random(struct kv_tpm_chip *chip, uint8_t *out, size_t len,
                                struct kv_err *err)
{
    while (len > 0) {
        TPM2B_DIGEST *chunk = NULL;
        size_t want = len < RANDOM_CHUNK ? len : RANDOM_CHUNK;
        TSS2_RC rc = Esys_GetRandom(chip->esys, kv_tpm_chip_session(chip, TPMA_SESSION_ENCRYPT),
                                    ESYS_TR_NONE, ESYS_TR_NONE, (UINT16)want, &chunk);
        if (!succeeded(rc)) {
            return KV_TPM_FAIL(err, rc, "TPM2_GetRandom");
        }
        size_t got = chunk->size < want ? chunk->size : want;
        memcpy(out, chunk->buffer, got);
        kv_wipe(chunk, sizeof *chunk);
        Esys_Free(chunk);
        if (got == 0) {
            return KV_REFUSE(err, KV_E_TOKEN, "the TPM gave no random numbers");
        }
        out += got;
        len -= got;
    }
    return KV_OK;
}

/* ---- files ---- */

/* The library passes over a wrong length inside: only what it would write itself is taken. */
static bool read_public(struct kv_bytes in, TPM2B_PUBLIC *out)
{
    uint8_t again[KV_TPM_PART_MAX];
    size_t at = 0, len = 0;
    return succeeded(Tss2_MU_TPM2B_PUBLIC_Unmarshal(in.ptr, in.len, &at, out)) &&
           succeeded(Tss2_MU_TPM2B_PUBLIC_Marshal(out, again, sizeof again, &len)) &&
           kv_bytes_equal(in, kv_bytes(again, len));
}

static bool read_private(struct kv_bytes in, TPM2B_PRIVATE *out)
{
    uint8_t again[KV_TPM_PART_MAX];
    size_t at = 0, len = 0;
    return succeeded(Tss2_MU_TPM2B_PRIVATE_Unmarshal(in.ptr, in.len, &at, out)) &&
           succeeded(Tss2_MU_TPM2B_PRIVATE_Marshal(out, again, sizeof again, &len)) &&
           kv_bytes_equal(in, kv_bytes(again, len));
}

enum kv_code kv_tpm_blob_parse(struct kv_bytes public, struct kv_bytes private,
                               struct kv_tpm_blob *out, struct kv_err *err)
{
    struct kv_tpm_blob blob = {.public.size = 0};
    if (!read_public(public, &blob.public) || !read_private(private, &blob.private)) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_DAMAGED, "a key file does not hold a key of a TPM");
    }
    *out = blob;
    return KV_OK;
}

enum kv_code kv_tpm_blob_print(const struct kv_tpm_blob *blob, struct kv_tpm_halves *out,
                               struct kv_err *err)
{
    out->public_len = out->private_len = 0;
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(&blob->public, out->public, sizeof out->public,
                                              &out->public_len);
    if (succeeded(rc)) {
        rc = Tss2_MU_TPM2B_PRIVATE_Marshal(&blob->private, out->private, sizeof out->private,
                                           &out->private_len);
    }
    return succeeded(rc) ? KV_OK : KV_TPM_FAIL(err, rc, "a new key");
}
