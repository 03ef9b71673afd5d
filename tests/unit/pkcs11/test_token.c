#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "core/time.h"
#include "tests/unit/pkcs11/softhsm.h"

static void a_softhsm_is_software_and_a_device_only_claims(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    const struct kv_token_info *info = kv_token_info(token);
    uint8_t random[32] = {0};
    static const uint8_t zero[32];
    assert_string_equal(info->label, "unit");
    assert_string_equal(info->manufacturer, "SoftHSM project");
    assert_int_equal(info->custody, KV_CUSTODY_SOFTWARE);
    assert_non_null(strstr(info->custody_why, "SoftHSM"));
    assert_int_equal(kv_token_random(token, random, sizeof random, NULL), KV_OK);
    assert_memory_not_equal(random, zero, sizeof zero);
    kv_token_close(token);
    hsm->profile.module = KV_FAKE_MODULE;
    hsm->profile.uri = "pkcs11:serial=42";
    token = softhsm_open(hsm);
    assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_CLAIMED);
    assert_string_equal(kv_token_info(token)->label, "unit?[2J");
    kv_token_close(token);
    softhsm_free(hsm);
}

static void after_a_wrong_pin_only_a_deliberate_try_is_made(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_secret *wrong = secret("wrong-pin");
    struct kv_token *token = NULL;
    struct kv_err err;
    assert_int_equal(kv_pkcs11_open(&hsm->profile, wrong, &token, &err), KV_E_TOKEN_PIN);
    assert_int_equal(err.cause.kind, KV_CAUSE_CK_RV);
    assert_null(strstr(err.msg, "wrong-pin"));
    /* SoftHSM2 raises CKF_USER_PIN_COUNT_LOW: now even the right PIN is not tried */
    assert_int_equal(kv_pkcs11_open(&hsm->profile, hsm->pin, &token, &err), KV_E_TOKEN_PIN_LOW);
    assert_null(token);
    hsm->profile.allow_low = true;
    assert_int_equal(kv_pkcs11_open(&hsm->profile, wrong, &token, &err), KV_E_TOKEN_PIN);
    hsm->profile.allow_low = false;
    assert_int_equal(kv_pkcs11_open(&hsm->profile, hsm->pin, &token, &err), KV_E_TOKEN_PIN_LOW);
    hsm->profile.allow_low = true;
    kv_token_close(softhsm_open(hsm));
    /* the right PIN has cleared the flag */
    hsm->profile.allow_low = false;
    kv_token_close(softhsm_open(hsm));
    kv_secret_free(wrong);
    softhsm_free(hsm);
}

static void a_login_is_refused_before_the_last_tries(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum kv_code want, want_allowed; /* with allow_low */
    } rows[] = {{"low", KV_E_TOKEN_PIN_LOW, KV_OK},
                {"final", KV_E_TOKEN_PIN_LOW, KV_E_TOKEN_PIN_LOW},
                {"locked", KV_E_TOKEN_PIN_LOCKED, KV_E_TOKEN_PIN_LOCKED},
                {"lockless", KV_OK, KV_OK}, /* asked again without CKF_OS_LOCKING_OK */
                {"hard", KV_OK, KV_OK}};
    struct softhsm *hsm = softhsm_new();
    hsm->profile.module = KV_FAKE_MODULE;
    hsm->profile.uri = "pkcs11:serial=42";
    for (size_t i = 0; i < 2 * KV_COUNT(rows); i++) {
        struct kv_token *token = NULL;
        hsm->profile.init_args = rows[i / 2].word;
        hsm->profile.allow_low = i % 2 == 1;
        assert_int_equal(kv_pkcs11_open(&hsm->profile, hsm->pin, &token, NULL),
                         hsm->profile.allow_low ? rows[i / 2].want_allowed : rows[i / 2].want);
        kv_token_close(token);
    }
    softhsm_free(hsm);
}

static void a_second_process_is_held_off_until_the_first_is_gone(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = NULL;
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (kv_pkcs11_open(&hsm->profile, hsm->pin, &token, NULL) == KV_OK &&
            write(ready[1], "r", 1) == 1) {
            for (;;) {
                (void)pause();
            }
        }
        _exit(1);
    }
    assert_int_equal(close(ready[1]), 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    /* by another URI of the same token, too */
    hsm->profile.uri = "pkcs11:token=unit;manufacturer=SoftHSM%20project";
    assert_int_equal(kv_pkcs11_open(&hsm->profile, hsm->pin, &token, NULL), KV_E_TOKEN_IN_USE);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(close(ready[0]), 0);
    token = softhsm_open(hsm);
    kv_token_close(token);
    softhsm_free(hsm);
}

static void a_login_waits_while_another_process_logs_in(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(hsm->tokens, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (flock(fd, LOCK_EX) == 0 && write(ready[1], "r", 1) == 1) {
            (void)usleep(300000);
        }
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    uint64_t begin = kv_time_mono_us();
    struct kv_token *token = softhsm_open(hsm);
    assert_true(kv_time_mono_us() - begin > 200000);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    kv_token_close(token);
    assert_int_equal(close(ready[0]), 0);
    assert_int_equal(close(ready[1]), 0);
    softhsm_free(hsm);
}

static void an_emptied_token_is_restored_from_its_copy(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_token_key key;
    struct stat st;
    char path[512];
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    kv_token_close(token);
    softhsm_path(hsm, "token.object", path, sizeof path);
    assert_int_equal(truncate(path, 0), 0);

    token = softhsm_open(hsm);

    assert_int_equal(kv_token_find(token, "a", &key, NULL), KV_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 0);
    assert_int_equal(st.st_mode & 077, 0);
    kv_token_close(token);
    /* without the guard such a token is gone */
    assert_int_equal(truncate(path, 0), 0);
    hsm->profile.writable_count = 0;
    token = NULL;
    assert_int_equal(kv_pkcs11_open(&hsm->profile, hsm->pin, &token, NULL), KV_E_TOKEN_ABSENT);
    softhsm_free(hsm);
}

/* Bytes of a file; -1: there is none. */
static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void the_guard_goes_by_what_the_library_says(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    char other[128], closed[160], module[128], path[512];
    (void)snprintf(other, sizeof other, "%s/other", hsm->dir);
    (void)snprintf(closed, sizeof closed, "%s/closed", other);
    (void)snprintf(module, sizeof module, "%s/hsm.so", hsm->dir);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(mkdir(closed, 0), 0);
    assert_int_equal(symlink(hsm->profile.module, module), 0);
    kv_token_close(softhsm_open(hsm)); /* makes the copy */
    softhsm_path(hsm, "token.object", path, sizeof path);
    /* no SoftHSM: its folders are its own */
    const struct kv_pkcs11_profile good = hsm->profile;
    assert_int_equal(truncate(path, 0), 0);
    hsm->profile.module = KV_FAKE_MODULE;
    hsm->profile.uri = "pkcs11:serial=42";
    kv_token_close(softhsm_open(hsm));
    assert_int_equal(size_of(path), 0);
    /* SoftHSM by another name, its tokens in the last of the folders */
    const char *const writable[] = {"/dev/null", hsm->conf, other, hsm->tokens};
    hsm->profile = good;
    hsm->profile.module = module;
    hsm->profile.writable = writable;
    hsm->profile.writable_count = KV_COUNT(writable);
    kv_token_close(softhsm_open(hsm));
    assert_true(size_of(path) > 0);
    softhsm_free(hsm);
}

static void an_empty_copy_never_replaces_and_is_never_made(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = NULL;
    struct stat st;
    char path[512], copy[512];
    softhsm_path(hsm, "token.object", path, sizeof path);
    softhsm_path(hsm, "token.object.kv-backup", copy, sizeof copy);
    assert_int_not_equal(stat(copy, &st), 0); /* init alone has nothing to copy yet */
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(kv_pkcs11_open(&hsm->profile, hsm->pin, &token, NULL), KV_E_TOKEN_ABSENT);
    assert_int_not_equal(stat(copy, &st), 0);
    softhsm_free(hsm);
}

static void opening_names_what_is_wrong(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    static const char *const missing[] = {"/nonexistent"};
    const struct kv_pkcs11_profile good = hsm->profile;
    struct {
        enum kv_code want;
        struct kv_pkcs11_profile profile;
    } rows[] = {
        {KV_E_TOKEN_ABSENT, good}, {KV_E_CONFIG, good},       {KV_E_CONFIG, good},
        {KV_E_CONFIG, good},       {KV_E_TOKEN_MODULE, good}, {KV_E_TOKEN_MODULE, good},
        {KV_E_TOKEN_MODULE, good}, {KV_E_TOKEN_MODULE, good}, {KV_E_IO, good},
        {KV_E_IO, good},
    };
    rows[0].profile.uri = "pkcs11:token=other";
    rows[1].profile.uri = "token=unit";
    rows[2].profile.uri = "pkcs11:token=unit?pin-value=" USER_PIN;
    rows[3].profile.uri = "pkcs11:token=unit;nonsense=1";
    rows[4].profile.module = "libsofthsm2.so";
    rows[5].profile.module = "/nonexistent/module.so";
    rows[6].profile.module_sha256 = zeros;
    rows[7].profile.module = hsm->conf; /* no library */
    rows[8].profile.lock_dir = "/nonexistent";
    rows[9].profile.writable = missing;
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_token *token = NULL;
        struct kv_err err = {.msg = ""};
        enum kv_code code = kv_pkcs11_open(&rows[i].profile, hsm->pin, &token, &err);
        if (code != rows[i].want || token != NULL) {
            fail_msg("row %zu: %s: %s", i, kv_code_word(code), err.msg);
        }
    }
    softhsm_free(hsm);
}

static void the_recorded_module_is_loaded(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    char hex[KV_HASH_HEX_LEN];
    uint8_t buf[4096];
    FILE *in = fopen(hsm->profile.module, "re");
    assert_non_null(in);
    struct kv_hasher *hasher = kv_hasher_new();
    for (size_t n = fread(buf, 1, sizeof buf, in); n > 0; n = fread(buf, 1, sizeof buf, in)) {
        kv_hasher_add(hasher, kv_bytes(buf, n));
    }
    assert_int_equal(fclose(in), 0);
    struct kv_hash hash = kv_hasher_finish(hasher);
    kv_hash_hex(&hash, hex);
    hsm->profile.module_sha256 = hex;
    struct kv_token *token = softhsm_open(hsm);
    kv_token_close(token);
    softhsm_free(hsm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_softhsm_is_software_and_a_device_only_claims),
        cmocka_unit_test(after_a_wrong_pin_only_a_deliberate_try_is_made),
        cmocka_unit_test(a_login_is_refused_before_the_last_tries),
        cmocka_unit_test(a_second_process_is_held_off_until_the_first_is_gone),
        cmocka_unit_test(a_login_waits_while_another_process_logs_in),
        cmocka_unit_test(an_emptied_token_is_restored_from_its_copy),
        cmocka_unit_test(the_guard_goes_by_what_the_library_says),
        cmocka_unit_test(an_empty_copy_never_replaces_and_is_never_made),
        cmocka_unit_test(opening_names_what_is_wrong),
        cmocka_unit_test(the_recorded_module_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
