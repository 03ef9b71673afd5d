/* A TPM's slot from its making to the chip's loss. One file, though long: nearly every test damages
 * what the helpers here make. */
#include "core/public.h"
#include "tests/unit/tpm/swtpm.h"
#include "tpm/session.h"

#define SECRET "20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|919f"

static struct kv_bytes aad(void)
{
    return kv_bytes_str("what it is for");
}

static const struct kv_hash digest = {.b = {1, 2, 3}};

static void make(struct kv_token *token, const char *label, enum kv_token_key_type type,
                 struct kv_token_key *out)
{
    struct kv_err err = {.msg = ""};
    if (kv_token_generate(token, label, type, out, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
}

static void signs(struct kv_token *token, const struct kv_token_key *key,
                  enum kv_token_mechanism mechanism)
{
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    struct kv_err err = {.msg = ""};
    if (kv_token_sign(token, key->handle, mechanism, &digest, sig, &len, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    assert_true(kv_public_verify(key, mechanism, &digest, kv_bytes(sig, len)));
}

static void path_of(const struct swtpm *tpm, const char *label, char *out, size_t size)
{
    char name[KV_TPM_NAME_LEN];
    kv_tpm_file_name(label, name);
    (void)snprintf(out, size, "%s/%s", tpm->folder, name);
}

static size_t slurp(const char *path, uint8_t *out, size_t size)
{
    FILE *file = fopen(path, "rbe");
    assert_non_null(file);
    size_t len = fread(out, 1, size, file);
    assert_int_equal(fclose(file), 0);
    return len;
}

static void spew(const char *path, const uint8_t *data, size_t len)
{
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* ---- keys ---- */

static void what_is_made_cannot_leave_and_is_not_locked_by_others(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_tpm_token *inside = kv_tpm_token(token);
    const TPMA_OBJECT want = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                             TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                             TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT;
    struct kv_token_key key;
    struct kv_tpm_blob blob;
    make(token, "log", KV_TOKEN_EC_P256, &key);
    assert_int_equal(kv_tpm_read(inside, KV_TPM_SIGNS, "log", &blob, NULL), KV_OK);
    assert_int_equal(blob.public.publicArea.objectAttributes, want);
    kv_token_close(token);
    swtpm_free(tpm);
}

/* ---- handles ---- */

static void nothing_is_left_in_the_chip(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_tpm_chip *chip = &kv_tpm_token(token)->chip;
    struct kv_secret *plain = secret(SECRET), *out = NULL;
    struct kv_token_key key[4], none;
    char label[8];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(label, sizeof label, "key-%d", i);
        make(token, label, KV_TOKEN_EC_P256, &key[i]);
    }
    for (int i = 0; i < 8; i++) {
        struct kv_buf box;
        kv_buf_init(&box, 4096);
        signs(token, &key[i % 4], KV_TOKEN_ECDSA);
        assert_int_equal(
            kv_token_wrap(token, "wrap", KV_TOKEN_RUNG_SEALED, aad(), plain, &box, NULL), KV_OK);
        assert_int_equal(kv_token_unwrap(token, "wrap", KV_TOKEN_RUNG_SEALED, aad(),
                                         kv_buf_bytes(&box), &out, NULL),
                         KV_OK);
        kv_secret_free(out);
        assert_int_equal(kv_token_generate(token, "key-1", KV_TOKEN_EC_P256, &none, NULL),
                         KV_E_TOKEN_KEY_EXISTS);
        assert_int_equal(kv_token_find(token, "none", &none, NULL), KV_E_TOKEN_KEY_MISSING);
        assert_true(swtpm_held(chip->esys) <=
                    3); /* storage key, one key, one session (counted as loaded) */
        kv_buf_clear(&box);
    }
    kv_token_close(token);
    assert_int_equal(swtpm_left(tpm), 0);
    kv_secret_free(plain);
    swtpm_free(tpm);
}

/* A process that is killed closes nothing: the next one finds the chip full, and empties it. */
static void what_a_killed_process_left_is_flushed(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct kv_tpm_chip chip;
            _exit(kv_tpm_chip_open(tpm->tcti, &chip, NULL) == KV_OK ? 0 : 1); /* not cleared */
        }
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    struct kv_token *token = swtpm_open(tpm);
    assert_int_equal(swtpm_held(kv_tpm_token(token)->chip.esys), 2);
    kv_token_close(token);
    swtpm_free(tpm);
}

/* ---- login ---- */

static void a_wrong_pin_is_told_and_locks_nothing(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_err err = {.msg = ""};
    for (int i = 0; i < 33; i++) { /* a chip locks after 32 that it counts */
        assert_int_equal(swtpm_try(tpm, "not the PIN of this slot", &err), KV_E_TOKEN_PIN);
    }
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_OK);
    swtpm_free(tpm);
}

static void a_slot_is_initialised_once_with_a_long_pin(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    struct kv_secret *little = secret("4711-user");
    struct kv_err err = {.msg = ""};
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_E_TOKEN_ABSENT);
    assert_int_equal(kv_tpm_init(&tpm->profile, "unit", little, &err), KV_E_LIMIT);
    assert_int_equal(kv_tpm_init(&tpm->profile, "", tpm->pin, &err), KV_E_LIMIT);
    assert_int_equal(kv_tpm_init(&tpm->profile, "unit", tpm->pin, &err), KV_OK);
    assert_int_equal(kv_tpm_init(&tpm->profile, "unit", tpm->pin, &err), KV_E_TOKEN_INITIALISED);
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_OK);
    struct kv_token_info info;
    assert_int_equal(kv_tpm_read_info(tpm->folder, &info, &err), KV_OK);
    assert_string_equal(info.label, "unit");
    assert_int_equal(info.custody, KV_CUSTODY_SOFTWARE);
    assert_int_equal(strlen(info.serial), 16);
    kv_secret_free(little);
    swtpm_free(tpm);
}

static void one_process_has_the_slot(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_err err = {.msg = ""};
    struct kv_token_key key;
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_E_TOKEN_IN_USE);
    make(token, "log", KV_TOKEN_EC_P256, &key); /* and is not disturbed */
    kv_token_close(token);
    swtpm_free(tpm);
}

/* ---- files ---- */

static void swapped_files_are_found_out(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_secret *plain = secret(SECRET);
    struct kv_token_key key;
    struct kv_err err = {.msg = ""};
    struct kv_buf box;
    char a[256], b[256], wrap[256];
    static uint8_t data[KV_TPM_FILE_MAX];
    kv_buf_init(&box, 4096);
    make(token, "a", KV_TOKEN_EC_P256, &key);
    make(token, "b", KV_TOKEN_EC_P256, &key);
    assert_int_equal(kv_token_wrap(token, "w", KV_TOKEN_RUNG_SEALED, aad(), plain, &box, &err),
                     KV_OK);
    kv_token_close(token);
    path_of(tpm, "a", a, sizeof a);
    path_of(tpm, "b", b, sizeof b);
    path_of(tpm, "w", wrap, sizeof wrap);
    size_t len = slurp(a, data, sizeof data);
    spew(b, data, len);
    token = swtpm_open(tpm);
    assert_int_equal(kv_token_find(token, "b", &key, &err), KV_E_TOKEN_KEY_DAMAGED);
    uint8_t *label = memmem(data, len, "\0\0\0\1a", 5); /* the words before the key, too */
    assert_non_null(label);
    label[4] = 'b';
    spew(b, data, len);
    assert_int_equal(kv_token_find(token, "b", &key, &err), KV_E_TOKEN_KEY_DAMAGED);
    label[4] = 'w';
    spew(wrap, data, len);
    struct kv_secret *out = NULL;
    assert_int_equal(
        kv_token_unwrap(token, "w", KV_TOKEN_RUNG_SEALED, aad(), kv_buf_bytes(&box), &out, &err),
        KV_E_TOKEN_KEY_DAMAGED);
    assert_int_equal(kv_token_find(token, "a", &key, &err), KV_OK);
    assert_int_equal(swtpm_held(kv_tpm_token(token)->chip.esys), 3);
    kv_token_close(token);
    kv_buf_clear(&box);
    kv_secret_free(plain);
    swtpm_free(tpm);
}

static void no_part_of_a_file_may_change(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_token_key key;
    struct kv_err err = {.msg = ""};
    char path[256];
    static uint8_t data[KV_TPM_FILE_MAX];
    make(token, "a", KV_TOKEN_EC_P256, &key);
    kv_token_close(token);
    path_of(tpm, "a", path, sizeof path);
    size_t len = slurp(path, data, sizeof data);
    token = swtpm_open(tpm);
    for (size_t i = 0; i < len; i += 7) {
        data[i] ^= 1;
        spew(path, data, len);
        enum kv_code code = kv_token_find(token, "a", &key, &err);
        /* a changed attribute or type is found before the chip is asked */
        if (code != KV_E_TOKEN_KEY_DAMAGED && code != KV_E_TOKEN_KEY_WEAK &&
            code != KV_E_TOKEN_MECHANISM) {
            fail_msg("byte %zu: %s %s", i, kv_code_word(code), err.msg);
        }
        data[i] ^= 1;
    }
    for (size_t cut = 0; cut < len; cut += 5) {
        spew(path, data, cut);
        assert_int_equal(kv_token_find(token, "a", &key, &err), KV_E_TOKEN_KEY_DAMAGED);
    }
    spew(path, data, len);
    assert_int_equal(kv_token_find(token, "a", &key, &err), KV_OK);
    kv_token_close(token);
    swtpm_free(tpm);
}

/* Both halves may be good, and still not belong together. */
static void the_public_half_of_another_key_is_refused(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_tpm_token *inside = kv_tpm_token(token);
    struct kv_token_key key;
    struct kv_tpm_blob a, b;
    struct kv_err err = {.msg = ""};
    make(token, "a", KV_TOKEN_EC_P256, &key);
    assert_int_equal(kv_tpm_read(inside, KV_TPM_SIGNS, "a", &a, &err), KV_OK);
    assert_int_equal(kv_token_destroy(token, "a", &err), KV_OK);
    make(token, "a", KV_TOKEN_EC_P256, &key);
    assert_int_equal(kv_tpm_read(inside, KV_TPM_SIGNS, "a", &b, &err), KV_OK);
    assert_int_equal(kv_token_destroy(token, "a", &err), KV_OK);
    a.private = b.private;
    assert_int_equal(kv_tpm_write(inside, "a", &a, &err), KV_OK);
    assert_int_equal(kv_token_find(token, "a", &key, &err), KV_E_TOKEN_KEY_DAMAGED);
    kv_token_close(token);
    swtpm_free(tpm);
}

/* Somebody with the PIN makes a key that he can take along. */
static void a_planted_key_is_not_used(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_tpm_token *inside = kv_tpm_token(token);
    struct kv_tpm_blob blob;
    struct kv_token_key key;
    struct kv_err err = {.msg = ""};
    TPM2B_AUTH auth;
    make(token, "a", KV_TOKEN_EC_P256, &key);
    assert_int_equal(kv_tpm_read(inside, KV_TPM_SIGNS, "a", &blob, &err), KV_OK);
    assert_int_equal(kv_token_destroy(token, "a", &err), KV_OK);
    blob.public.publicArea.objectAttributes &=
        ~(TPMA_OBJECT)(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT);
    blob.public.publicArea.unique.ecc = (TPMS_ECC_POINT){.x.size = 0};
    kv_tpm_auth(inside->root, "a", &auth);
    assert_int_equal(kv_tpm_chip_create(&inside->chip, &blob.public, &auth, NULL, &blob, &err),
                     KV_OK);
    assert_int_equal(kv_tpm_write(inside, "a", &blob, &err), KV_OK);
    assert_int_equal(kv_token_find(token, "a", &key, &err), KV_E_TOKEN_KEY_WEAK);
    kv_token_close(token);
    swtpm_free(tpm);
}

/* ---- wrapped secrets ---- */

/* ---- the chip ---- */

static void a_chip_that_is_gone_is_absent_and_found_again(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_token_key key;
    struct kv_err err = {.msg = ""};
    uint8_t sig[KV_TOKEN_SIG_MAX], byte;
    size_t len = sizeof sig;
    make(token, "log", KV_TOKEN_EC_P256, &key);
    swtpm_kill(tpm);
    assert_int_equal(kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &len, &err),
                     KV_E_TOKEN_ABSENT);
    assert_int_equal(kv_token_random(token, &byte, 1, &err), KV_E_TOKEN_ABSENT);
    kv_token_close(token);
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_E_TOKEN_ABSENT);
    swtpm_start(tpm);
    token = swtpm_open(tpm);
    assert_int_equal(kv_token_find(token, "log", &key, &err), KV_OK);
    signs(token, &key, KV_TOKEN_ECDSA);
    /* back already, but what was loaded is gone: this login is over, too */
    swtpm_kill(tpm);
    swtpm_start(tpm);
    assert_int_equal(kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &len, &err),
                     KV_E_TOKEN_ABSENT);
    kv_token_close(token);
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_OK);
    swtpm_free(tpm);
}

static void another_chip_is_told_from_a_cleared_one(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready(), *other = swtpm_new();
    struct kv_token *token = NULL;
    struct kv_tpm_chip chip;
    struct kv_err err = {.msg = ""};
    struct kv_tpm_profile profile = {.tcti = other->tcti, .folder = tpm->folder};
    assert_int_equal(kv_tpm_open(&profile, tpm->pin, &token, &err), KV_E_TOKEN_FOREIGN);
    assert_non_null(strstr(err.msg, "another TPM"));
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_OK);
    assert_int_equal(kv_tpm_chip_open(tpm->tcti, &chip, &err), KV_OK);
    assert_int_equal(
        Esys_Clear(chip.esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
        TSS2_RC_SUCCESS);
    kv_tpm_chip_clear(&chip);
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_E_TOKEN_FOREIGN);
    assert_non_null(strstr(err.msg, "cleared"));
    swtpm_free(other);
    swtpm_free(tpm);
}

static void set_owner_password(struct kv_tpm_chip *chip)
{
    static const TPM2B_AUTH password = {.size = 4, .buffer = "boss"};
    assert_int_equal(Esys_HierarchyChangeAuth(chip->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
                                              ESYS_TR_NONE, ESYS_TR_NONE, &password),
                     TSS2_RC_SUCCESS);
}

static void an_owner_with_a_password_must_keep_a_storage_key(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_tpm_chip chip;
    struct kv_err err = {.msg = ""};
    assert_int_equal(kv_tpm_chip_open(tpm->tcti, &chip, &err), KV_OK);
    set_owner_password(&chip);
    kv_tpm_chip_clear(&chip);
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_E_TOKEN_OWNER);
    swtpm_free(tpm);
}

static void the_owners_storage_key_serves_as_well(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_tpm_chip chip;
    struct kv_token_key key;
    struct kv_err err = {.msg = ""};
    ESYS_TR kept = ESYS_TR_NONE;
    struct kv_token *token = swtpm_open(tpm);
    make(token, "log", KV_TOKEN_EC_P256, &key);
    kv_token_close(token);
    assert_int_equal(kv_tpm_chip_open(tpm->tcti, &chip, &err), KV_OK);
    assert_int_equal(Esys_EvictControl(chip.esys, ESYS_TR_RH_OWNER, chip.primary, ESYS_TR_PASSWORD,
                                       ESYS_TR_NONE, ESYS_TR_NONE, 0x81000001, &kept),
                     TSS2_RC_SUCCESS);
    set_owner_password(&chip);
    kv_tpm_chip_clear(&chip);
    for (int i = 0; i < 2; i++) { /* closing does not take it away */
        token = swtpm_open(tpm);
        assert_int_equal(kv_token_find(token, "log", &key, &err), KV_OK);
        signs(token, &key, KV_TOKEN_ECDSA);
        kv_token_close(token);
    }
    swtpm_free(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made_cannot_leave_and_is_not_locked_by_others),
        cmocka_unit_test(nothing_is_left_in_the_chip),
        cmocka_unit_test(what_a_killed_process_left_is_flushed),
        cmocka_unit_test(a_wrong_pin_is_told_and_locks_nothing),
        cmocka_unit_test(a_slot_is_initialised_once_with_a_long_pin),
        cmocka_unit_test(one_process_has_the_slot),
        cmocka_unit_test(swapped_files_are_found_out),
        cmocka_unit_test(no_part_of_a_file_may_change),
        cmocka_unit_test(the_public_half_of_another_key_is_refused),
        cmocka_unit_test(a_planted_key_is_not_used),
        cmocka_unit_test(a_chip_that_is_gone_is_absent_and_found_again),
        cmocka_unit_test(another_chip_is_told_from_a_cleared_one),
        cmocka_unit_test(an_owner_with_a_password_must_keep_a_storage_key),
        cmocka_unit_test(the_owners_storage_key_serves_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
