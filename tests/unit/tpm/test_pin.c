/* A sealed PIN: its file, what is refused of it, and who may open it where. */
#include "tpm/pin.h"

#include "tests/unit/tpm/authority.h"
#include "tests/unit/tpm/swtpm.h"
#include "tpm/file.h"

#include <tss2/tss2_tctildr.h>

#define PCRS "sha256:0,7"

static const struct kv_tpm_way *way(const struct swtpm *tpm)
{
    static struct kv_tpm_way way;
    way = (struct kv_tpm_way){.tcti = tpm->tcti, .slots = tpm->dir};
    return &way;
}

static enum kv_code seal(struct swtpm *tpm, const char *pcrs, struct kv_bytes authority,
                         struct kv_tpm_pin *out)
{
    struct kv_err err;
    return kv_tpm_pin_seal(way(tpm), "main", pcrs, authority, tpm->pin, out, &err);
}

static enum kv_code opens(struct swtpm *tpm, const struct kv_tpm_pin *pin)
{
    struct kv_secret *out = NULL;
    enum kv_code code = kv_tpm_pin_unseal(way(tpm), pin, &out, NULL);
    assert_int_equal(code == KV_OK, out != NULL);
    assert_true(out == NULL || kv_bytes_is(kv_secret_bytes(out), USER_PIN));
    kv_secret_free(out);
    return code;
}

/* The way to the chip without what kv_tpm_chip_open cleans up. */
static ESYS_CONTEXT *raw_open(struct swtpm *tpm, TSS2_TCTI_CONTEXT **tcti)
{
    ESYS_CONTEXT *esys = NULL;
    assert_int_equal(Tss2_TctiLdr_Initialize(tpm->tcti, tcti), TSS2_RC_SUCCESS);
    assert_int_equal(Esys_Initialize(&esys, *tcti, NULL), TSS2_RC_SUCCESS);
    return esys;
}

static void a_file_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    struct authority own;
    static struct kv_tpm_pin pin, again;
    struct kv_buf file, second;
    uint8_t message[KV_TPM_MESSAGE_LEN];
    authority_init(&own, "P-256");
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&own.spki), &pin), KV_OK);
    assert_int_equal(kv_tpm_pin_message(way(tpm), &pin, NULL, message, NULL), KV_OK);
    assert_int_equal(approve(&pin, &own, kv_bytes(message, sizeof message)), KV_OK);
    kv_buf_init(&file, KV_TPM_FILE_MAX);
    kv_buf_init(&second, KV_TPM_FILE_MAX);

    assert_int_equal(kv_tpm_pin_print(&pin, &file, NULL), KV_OK);
    struct kv_bytes bytes = kv_buf_bytes(&file);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(kv_tpm_pin_parse(kv_bytes(bytes.ptr, len), &again, NULL),
                         KV_E_PIN_DAMAGED);
    }
    assert_int_equal(kv_tpm_pin_parse(bytes, &again, NULL), KV_OK);
    assert_int_equal(kv_tpm_pin_print(&again, &second, NULL), KV_OK);
    assert_true(kv_bytes_equal(bytes, kv_buf_bytes(&second)));
    assert_int_equal(opens(tpm, &again), KV_OK);
    kv_buf_clear(&file);
    kv_buf_clear(&second);
    authority_clear(&own);
    swtpm_free(tpm);
}

static void parts_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        size_t part, len; /* the part is replaced by so many bytes of `fill` */
        uint8_t fill;
    } rows[] = {
        {"another purpose", 0, 4, 'x'},
        {"a slot of no text", 1, 4, 0},
        {"a slot too long", 1, 64, 'a'},
        {"no storage key", 2, 0, 0},
        {"a storage key too long", 2, 69, 1},
        {"no PCRs, but an authority", 3, 0, 0},
        {"PCRs in no order", 3, 10, '7'},
        {"no authority", 4, 0, 0},
        {"an authority off the curve", 4, 65, 4},
        {"no public half", 5, 0, 0},
        {"no private half", 6, 0, 0},
        {"half an approval", 7, 48, 1},
        {"nine approvals", 7, (size_t)9 * 96, 1},
    };
    struct swtpm *tpm = swtpm_new();
    struct authority own;
    static struct kv_tpm_pin pin, again;
    struct kv_buf file;
    struct kv_bytes part[8];
    authority_init(&own, "P-256");
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&own.spki), &pin), KV_OK);
    kv_buf_init(&file, KV_TPM_FILE_MAX);
    assert_int_equal(kv_tpm_pin_print(&pin, &file, NULL), KV_OK);
    assert_int_equal(kv_tpm_file_parse(kv_buf_bytes(&file), part, KV_COUNT(part), NULL), KV_OK);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        uint8_t fill[9 * 96];
        struct kv_bytes changed[KV_COUNT(part)];
        struct kv_buf other;
        memset(fill, rows[i].fill, sizeof fill);
        memcpy(changed, part, sizeof changed);
        changed[rows[i].part] = kv_bytes(fill, rows[i].len);
        kv_buf_init(&other, KV_TPM_FILE_MAX);
        kv_tpm_file_print(changed, KV_COUNT(changed), &other);
        if (kv_tpm_pin_parse(kv_buf_bytes(&other), &again, NULL) != KV_E_PIN_DAMAGED) {
            fail_msg("%s", rows[i].what);
        }
        kv_buf_clear(&other);
    }
    kv_buf_clear(&file);
    authority_clear(&own);
    swtpm_free(tpm);
}

static void what_a_tpm_cannot_seal_is_said_before_it_is_asked(void **state)
{
    (void)state;
    static const char *const pcrs[] = {"",           "sha256:",      "sha1:0",    "sha256:24",
                                       "sha256:1,0", "sha256:1,1",   "sha256:1,", "sha256:,1",
                                       "sha256:01",  "sha256:0,1 2", "0,7",       "SHA256:0"};
    struct swtpm *tpm = swtpm_new();
    struct authority own, weak;
    struct kv_tpm_pin pin;
    char text[KV_TPM_PIN_LEN + 2];
    authority_init(&own, "P-256");
    authority_init(&weak, "P-384");
    for (size_t i = 0; i < KV_COUNT(pcrs); i++) {
        assert_int_equal(seal(tpm, pcrs[i], kv_buf_bytes(&own.spki), &pin), KV_E_INPUT_VALUE);
    }
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&weak.spki), &pin), KV_E_INPUT_VALUE);
    assert_int_equal(seal(tpm, PCRS, KV_BYTES_NULL, &pin), KV_E_INPUT_VALUE);
    memset(text, '7', sizeof text);
    text[KV_TPM_PIN_LEN + 1] = '\0';
    struct kv_secret *longer = secret(text);
    assert_int_equal(kv_tpm_pin_seal(way(tpm), "main", NULL, KV_BYTES_NULL, longer, &pin, NULL),
                     KV_E_LIMIT);
    kv_secret_shrink(longer, KV_TPM_PIN_LEN);
    assert_int_equal(kv_tpm_pin_seal(way(tpm), "main", NULL, KV_BYTES_NULL, longer, &pin, NULL),
                     KV_OK);
    kv_secret_free(longer);
    authority_clear(&own);
    authority_clear(&weak);
    swtpm_free(tpm);
}

/* A chip without a resource manager has room for three objects, and other users. */
static void each_refusal_leaves_the_chip_empty(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    struct authority own, wrong;
    struct kv_tpm_pin pin, bare;
    uint8_t message[KV_TPM_MESSAGE_LEN];
    authority_init(&own, "P-256");
    authority_init(&wrong, "P-256");
    assert_int_equal(seal(tpm, NULL, KV_BYTES_NULL, &bare), KV_OK);
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&own.spki), &pin), KV_OK);
    assert_int_equal(kv_tpm_pin_message(way(tpm), &bare, NULL, message, NULL), KV_E_INPUT_VALUE);
    assert_int_equal(kv_tpm_pin_message(way(tpm), &pin, NULL, message, NULL), KV_OK);
    assert_int_equal(swtpm_left(tpm), 0);
    for (int i = 0; i < 2; i++) {
        pin.approval_count = 0;
        assert_int_equal(opens(tpm, &pin), KV_E_PIN_PCRS);
        assert_int_equal(swtpm_left(tpm), 0);
        assert_int_equal(approve(&pin, &wrong, kv_bytes(message, sizeof message)),
                         KV_E_PIN_APPROVAL);
        assert_int_equal(approve(&pin, &own, kv_bytes(message, sizeof message)), KV_OK);
        pin.approval[0].sig[i] ^= 1;
        assert_int_equal(opens(tpm, &pin), KV_E_PIN_APPROVAL);
        assert_int_equal(swtpm_left(tpm), 0);
        pin.approval[0].sig[i] ^= 1;
        pin.slot[0] ^= 1;
        assert_int_equal(opens(tpm, &pin), KV_E_PIN_OTHER);
        pin.slot[0] ^= 1;
        pin.storage.name[9] ^= 1;
        assert_int_equal(opens(tpm, &pin), KV_E_PIN_FOREIGN);
        pin.storage.name[9] ^= 1;
        bare.blob.private.buffer[20] ^= 1;
        assert_int_equal(opens(tpm, &bare), KV_E_PIN_DAMAGED);
        bare.blob.private.buffer[20] ^= 1;
        assert_int_equal(opens(tpm, &bare), KV_OK);
        assert_int_equal(opens(tpm, &pin), KV_OK);
        assert_int_equal(swtpm_left(tpm), 0);
    }
    swtpm_kill(tpm);
    assert_int_equal(opens(tpm, &pin), KV_E_PIN_TPM);
    authority_clear(&own);
    authority_clear(&wrong);
    swtpm_free(tpm);
}

/* Our own checks are only the first: the file's owner may have programs of his own. */
static void the_chip_holds_to_it_whoever_asks(void **state)
{
    (void)state;
    static const TPM2B_AUTH no_auth;
    struct swtpm *tpm = swtpm_new();
    struct authority own, wrong;
    static struct kv_tpm_pin pin, other;
    struct kv_tpm_chip chip;
    struct kv_secret *out = NULL;
    struct kv_hash now;
    struct kv_tpm_approval approval;
    uint8_t message[KV_TPM_MESSAGE_LEN];
    TPM2B_DIGEST ref = {.size = KV_HASH_LEN};
    ESYS_TR session;
    authority_init(&own, "P-256");
    authority_init(&wrong, "P-256");
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&own.spki), &pin), KV_OK);
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&wrong.spki), &other), KV_OK);
    assert_int_equal(kv_tpm_pin_message(way(tpm), &other, NULL, message, NULL), KV_OK);
    assert_int_equal(approve(&other, &wrong, kv_bytes(message, sizeof message)), KV_OK);
    approval = other.approval[0];
    memcpy(ref.buffer, message + KV_HASH_LEN, KV_HASH_LEN);

    assert_int_equal(kv_tpm_chip_open(tpm->tcti, &chip, NULL), KV_OK);
    assert_int_not_equal(kv_tpm_chip_unseal(&chip, &pin.blob, &no_auth, &out, NULL), KV_OK);
    /* the PCRs are as they are, and nobody approves */
    assert_int_equal(kv_tpm_pcrs_begin(&chip, PCRS, TPM2_SE_POLICY, NULL, &session, &now, NULL),
                     KV_OK);
    assert_int_not_equal(kv_tpm_chip_unseal_by(&chip, &pin.blob, session, &out, NULL), KV_OK);
    /* somebody else does */
    assert_int_equal(kv_tpm_pcrs_authorise(&chip, session, &approval, other.authority, &ref, NULL),
                     KV_OK);
    assert_int_not_equal(kv_tpm_chip_unseal_by(&chip, &pin.blob, session, &out, NULL), KV_OK);
    assert_null(out);
    assert_int_equal(kv_tpm_chip_unseal_by(&chip, &other.blob, session, &out, NULL), KV_OK);
    kv_secret_free(out);
    kv_tpm_chip_flush(&chip, &session);
    kv_tpm_chip_clear(&chip);
    authority_clear(&own);
    authority_clear(&wrong);
    swtpm_free(tpm);
}

/* A company's machines have one authority, and slots of one name: what it approved of a machine for
 * trying things out says nothing of another one. */
static void an_approval_is_for_one_tpm_and_one_slot(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new(), *other_tpm = swtpm_new();
    struct authority own;
    static struct kv_tpm_pin pin, other[2];
    uint8_t message[KV_TPM_MESSAGE_LEN];
    authority_init(&own, "P-256");
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&own.spki), &pin), KV_OK);
    assert_int_equal(seal(other_tpm, PCRS, kv_buf_bytes(&own.spki), &other[0]), KV_OK);
    assert_int_equal(kv_tpm_pin_seal(way(tpm), "second", PCRS, kv_buf_bytes(&own.spki), tpm->pin,
                                     &other[1], NULL),
                     KV_OK);
    for (int i = 0; i < 2; i++) {
        struct swtpm *of = i == 0 ? other_tpm : tpm;
        assert_int_equal(kv_tpm_pin_message(way(of), &other[i], NULL, message, NULL), KV_OK);
        assert_int_equal(approve(&other[i], &own, kv_bytes(message, sizeof message)), KV_OK);
        assert_int_equal(opens(of, &other[i]), KV_OK);
        assert_int_equal(approve(&pin, &own, kv_bytes(message, sizeof message)), KV_E_INPUT_VALUE);
        /* the file is anybody's; its PCRs are in the very state that was approved */
        pin.approval[0] = other[i].approval[0];
        pin.approval_count = 1;
        assert_int_equal(opens(tpm, &pin), KV_E_PIN_APPROVAL);
        pin.approval_count = 0;
    }
    assert_int_equal(kv_tpm_pin_message(way(other_tpm), &pin, NULL, message, NULL),
                     KV_E_PIN_FOREIGN);
    authority_clear(&own);
    swtpm_free(tpm);
    swtpm_free(other_tpm);
}

/* TPM2_PolicyPCR would take them all the same, and bind the PIN to nothing. */
static void pcrs_that_the_tpm_does_not_keep_are_refused(void **state)
{
    (void)state;
    static const TPML_PCR_SELECTION fewer = {
        .count = 3,
        .pcrSelections = {
            {.hash = TPM2_ALG_SHA1, .sizeofSelect = 3},
            {.hash = TPM2_ALG_SHA256, .sizeofSelect = 3, .pcrSelect = {0xff, 0, 0}},
            {.hash = TPM2_ALG_SHA384, .sizeofSelect = 3, .pcrSelect = {0xff, 0xff, 0xff}}}};
    struct swtpm *tpm = swtpm_new();
    struct authority own;
    struct kv_tpm_pin pin;
    TSS2_TCTI_CONTEXT *tcti = NULL;
    TPMI_YES_NO done;
    UINT32 most, needed, free_bytes;
    authority_init(&own, "P-256");
    ESYS_CONTEXT *esys = raw_open(tpm, &tcti);
    assert_int_equal(Esys_PCR_Allocate(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                       ESYS_TR_NONE, &fewer, &done, &most, &needed, &free_bytes),
                     TSS2_RC_SUCCESS);
    assert_int_equal(done, TPM2_YES);
    Esys_Finalize(&esys);
    Tss2_TctiLdr_Finalize(&tcti);
    swtpm_kill(tpm);
    swtpm_start(tpm);
    assert_int_equal(seal(tpm, "sha256:0,7", kv_buf_bytes(&own.spki), &pin), KV_OK);
    assert_int_equal(seal(tpm, "sha256:0,8", kv_buf_bytes(&own.spki), &pin), KV_E_TOKEN_MECHANISM);
    assert_int_equal(swtpm_left(tpm), 0);
    authority_clear(&own);
    swtpm_free(tpm);
}

static void the_last_eight_approvals_are_kept(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    struct authority own;
    struct kv_tpm_pin pin;
    uint8_t message[10][KV_TPM_MESSAGE_LEN];
    authority_init(&own, "P-256");
    assert_int_equal(seal(tpm, PCRS, kv_buf_bytes(&own.spki), &pin), KV_OK);
    for (uint8_t i = 0; i < KV_COUNT(message); i++) {
        const struct kv_hash values = {.b = {i}};
        assert_int_equal(kv_tpm_pin_message(way(tpm), &pin, &values, message[i], NULL), KV_OK);
        assert_int_equal(approve(&pin, &own, kv_bytes(message[i], KV_TPM_MESSAGE_LEN)), KV_OK);
    }
    /* the same state once more takes nobody's place */
    assert_int_equal(approve(&pin, &own, kv_bytes(message[5], KV_TPM_MESSAGE_LEN)), KV_OK);
    static const size_t left[] = {2, 3, 4, 6, 7, 8, 9, 5};
    assert_int_equal(pin.approval_count, KV_COUNT(left));
    for (size_t i = 0; i < KV_COUNT(left); i++) {
        assert_memory_equal(pin.approval[i].state, message[left[i]], KV_HASH_LEN);
    }
    message[0][KV_TPM_MESSAGE_LEN - 1] ^= 1; /* of another slot */
    assert_int_equal(approve(&pin, &own, kv_bytes(message[0], KV_TPM_MESSAGE_LEN)),
                     KV_E_INPUT_VALUE);
    assert_int_equal(approve(&pin, &own, kv_bytes(message[1], KV_HASH_LEN)), KV_E_INPUT_VALUE);
    authority_clear(&own);
    swtpm_free(tpm);
}

/* The slot's own PIN: what the login opens stays, so the keys do. */
static void a_slots_pin_is_changed_and_its_keys_stay(void **state)
{
    (void)state;
    static const struct kv_hash digest = {.b = {1}};
    struct swtpm *tpm = swtpm_ready();
    struct kv_token_key key;
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    struct kv_token *token = swtpm_open(tpm);
    assert_int_equal(kv_token_generate(token, "k", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    kv_token_close(token);
    struct kv_secret *wrong = secret("no PIN of any slot here"), *brief = secret("short"),
                     *fresh = secret("another long PIN, as it needs");
    assert_int_equal(kv_tpm_change_pin(&tpm->profile, wrong, fresh, NULL), KV_E_TOKEN_PIN);
    assert_int_equal(kv_tpm_change_pin(&tpm->profile, tpm->pin, brief, NULL), KV_E_LIMIT);
    assert_int_equal(kv_tpm_change_pin(&tpm->profile, tpm->pin, fresh, NULL), KV_OK);
    assert_int_equal(swtpm_try(tpm, USER_PIN, NULL), KV_E_TOKEN_PIN);
    assert_int_equal(kv_tpm_open(&tpm->profile, fresh, &token, NULL), KV_OK);
    assert_int_equal(kv_token_find(token, "k", &key, NULL), KV_OK);
    assert_int_equal(kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &len, NULL),
                     KV_OK);
    kv_token_close(token);
    kv_secret_free(wrong);
    kv_secret_free(brief);
    kv_secret_free(fresh);
    swtpm_free(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_or_not_at_all),
        cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
        cmocka_unit_test(what_a_tpm_cannot_seal_is_said_before_it_is_asked),
        cmocka_unit_test(each_refusal_leaves_the_chip_empty),
        cmocka_unit_test(the_chip_holds_to_it_whoever_asks),
        cmocka_unit_test(an_approval_is_for_one_tpm_and_one_slot),
        cmocka_unit_test(pcrs_that_the_tpm_does_not_keep_are_refused),
        cmocka_unit_test(the_last_eight_approvals_are_kept),
        cmocka_unit_test(a_slots_pin_is_changed_and_its_keys_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
