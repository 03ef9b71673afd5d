/* What others keep in the chip is told, and never touched. */
#include "tests/unit/tpm/swtpm.h"
#include "tpm/persistent.h"
#include "tpm/session.h"

struct seen {
    struct kv_tpm_kept kept[8];
    size_t count;
};

static void see(const struct kv_tpm_kept *kept, void *arg)
{
    struct seen *seen = arg;
    assert_true(seen->count < KV_COUNT(seen->kept));
    seen->kept[seen->count++] = *kept;
}

static void survey(const struct swtpm *tpm, struct seen *seen)
{
    struct kv_err err = {.msg = ""};
    seen->count = 0;
    if (kv_tpm_persistent(&tpm->profile, see, seen, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
}

enum kind { SIGNS, STORAGE, OTHER_STORAGE };

/* Somebody else's program keeps a key in the chip: one that signs, the standard storage key of the
 * hierarchy, or one that was made otherwise. */
static void keep(const struct swtpm *tpm, uint32_t handle, ESYS_TR hierarchy, enum kind kind)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcr;
    static const TPM2B_PUBLIC signing = {
        .publicArea = {.type = TPM2_ALG_RSA,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                           TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT,
                       .parameters.rsaDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                                .scheme.scheme = TPM2_ALG_NULL,
                                                .keyBits = 2048}}};
    struct kv_tpm_chip chip;
    TPM2B_PUBLIC *ours = NULL;
    ESYS_TR key = ESYS_TR_NONE, kept = ESYS_TR_NONE;
    assert_int_equal(kv_tpm_chip_open(tpm->tcti, &chip, NULL), KV_OK);
    assert_int_equal(Esys_ReadPublic(chip.esys, chip.primary, ESYS_TR_NONE, ESYS_TR_NONE,
                                     ESYS_TR_NONE, &ours, NULL, NULL),
                     TSS2_RC_SUCCESS);
    TPM2B_PUBLIC template = kind == SIGNS ? signing : *ours;
    if (kind != SIGNS) { /* of the point, only the length stands in the standard's template */
        memset(template.publicArea.unique.ecc.x.buffer, kind == STORAGE ? 0 : 7, 32);
        memset(template.publicArea.unique.ecc.y.buffer, 0, 32);
        template.publicArea.unique.ecc.x.size = template.publicArea.unique.ecc.y.size = 32;
    }
    assert_int_equal(Esys_CreatePrimary(chip.esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &no_auth, &template, &no_data, &no_pcr, &key,
                                        NULL, NULL, NULL, NULL),
                     TSS2_RC_SUCCESS);
    assert_int_equal(Esys_EvictControl(chip.esys, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD,
                                       ESYS_TR_NONE, ESYS_TR_NONE, handle, &kept),
                     TSS2_RC_SUCCESS);
    Esys_Free(ours);
    kv_tpm_chip_flush(&chip, &key);
    kv_tpm_chip_clear(&chip);
}

static void what_stays_in_a_chip_is_told_for_what_it_is(void **state)
{
    (void)state;
    static const struct {
        uint32_t handle;
        ESYS_TR hierarchy;
        enum kind kind;
        const char *key, *before, *after; /* the slot was initialised */
    } rows[] = {
        {0x81000001, ESYS_TR_RH_OWNER, STORAGE, "EC P-256", "storage key; this slot would use it",
         "storage key; parent of this slot's keys"},
        {0x81000002, ESYS_TR_RH_OWNER, OTHER_STORAGE, "EC P-256", "storage key of another program",
         "storage key of another program"},
        {0x81000020, ESYS_TR_RH_OWNER, SIGNS, "RSA 2048", "of another program",
         "of another program"},
        {0x81010001, ESYS_TR_RH_ENDORSEMENT, STORAGE, "EC P-256", "endorsement key",
         "endorsement key"},
        {0x81010010, ESYS_TR_RH_ENDORSEMENT, SIGNS, "RSA 2048", "of the endorsement hierarchy",
         "of the endorsement hierarchy"},
    };
    struct swtpm *tpm = swtpm_new();
    struct seen seen;
    survey(tpm, &seen);
    assert_int_equal(seen.count, 0);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        keep(tpm, rows[i].handle, rows[i].hierarchy, rows[i].kind);
    }
    for (int after = 0; after < 2; after++) {
        survey(tpm, &seen);
        assert_int_equal(seen.count, KV_COUNT(rows));
        for (size_t i = 0; i < KV_COUNT(rows); i++) {
            assert_int_equal(seen.kept[i].handle, rows[i].handle);
            assert_string_equal(seen.kept[i].key, rows[i].key);
            assert_string_equal(seen.kept[i].use, after == 0 ? rows[i].before : rows[i].after);
        }
        if (after == 0) {
            assert_int_equal(kv_tpm_init(&tpm->profile, "unit", tpm->pin, NULL), KV_OK);
        }
    }
    swtpm_free(tpm);
}

static void a_slot_adds_nothing_to_the_chip_and_one_in_use_is_not_asked(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_token_key key;
    struct kv_hash digest = {.b = {1}};
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    struct seen seen = {.count = 0};
    assert_int_equal(kv_token_generate(token, "log", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    assert_int_equal(kv_tpm_persistent(&tpm->profile, see, &seen, NULL), KV_E_TOKEN_IN_USE);
    /* one of another slot is not disturbed: what it has loaded stays */
    struct kv_tpm_profile other = tpm->profile;
    other.folder = "/nonexistent/slot";
    assert_int_equal(kv_tpm_persistent(&other, see, &seen, NULL), KV_OK);
    assert_int_equal(kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &len, NULL),
                     KV_OK);
    kv_token_close(token);
    survey(tpm, &seen);
    assert_int_equal(seen.count, 0);
    swtpm_kill(tpm);
    assert_int_equal(kv_tpm_persistent(&tpm->profile, see, &seen, NULL), KV_E_TOKEN_ABSENT);
    swtpm_free(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_in_a_chip_is_told_for_what_it_is),
        cmocka_unit_test(a_slot_adds_nothing_to_the_chip_and_one_in_use_is_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
