#include <fcntl.h>
#include <sys/wait.h>

#include "core/time.h"
#include "tests/unit/pkcs11/softhsm.h"

#define UID_OTHER 12345

struct seen {
    size_t slots, initialised, rows, bad_rows;
    struct kv_slot_info first; /* initialised one */
    char text[2000];           /* the rows */
};

static void see_slot(const struct kv_slot_info *slot, void *arg)
{
    struct seen *seen = arg;
    if (slot->initialised && seen->initialised++ == 0) {
        seen->first = *slot;
    }
    seen->slots++;
}

static void see_row(const struct kv_slot_row *row, void *arg)
{
    struct seen *seen = arg;
    size_t at = strlen(seen->text);
    seen->rows++;
    seen->bad_rows += row->ok ? 0 : 1;
    (void)snprintf(seen->text + at, sizeof seen->text - at, "%s %s: %s\n", row->ok ? "ok" : "NO",
                   row->what, row->detail);
}

static enum kv_code list(const struct softhsm *hsm, struct seen *seen)
{
    struct kv_slot_account account = softhsm_account();
    *seen = (struct seen){.slots = 0};
    return kv_slot_list(hsm->profile.module, NULL, &account, 20000, see_slot, seen, NULL);
}

static enum kv_code check(const struct softhsm *hsm, struct seen *seen, struct kv_err *err)
{
    struct kv_slot_account account = softhsm_account();
    *seen = (struct seen){.slots = 0};
    struct kv_slot_opener opener = {.profile = &hsm->profile};
    return kv_slot_check(&opener, &account, hsm->pin, see_row, seen, err);
}

/* Objects of the token that the login shows. */
static size_t count_keys(const struct softhsm *hsm, const char *prefix)
{
    struct kv_token *token = softhsm_open(hsm);
    size_t count = 0;
    assert_int_equal(kv_token_destroy_prefix(token, prefix, &count, NULL), KV_OK);
    kv_token_close(token);
    return count;
}

static void an_initialised_slot_is_listed_with_its_uri(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_new();
    struct seen seen;
    struct kv_slot_account account = softhsm_account();
    assert_int_equal(list(hsm, &seen), KV_OK);
    assert_int_equal(seen.slots, 1);
    assert_int_equal(seen.initialised, 0);
    assert_int_equal(kv_slot_init(&hsm->profile, &account, "unit", hsm->so_pin, hsm->pin, NULL),
                     KV_OK);
    assert_int_equal(list(hsm, &seen), KV_OK);
    assert_int_equal(seen.slots, 2);
    assert_int_equal(seen.initialised, 1);
    assert_true(seen.first.present && seen.first.user_pin_set);
    assert_string_equal(seen.first.label, "unit");
    assert_string_equal(seen.first.manufacturer, "SoftHSM project");
    assert_string_equal(seen.first.model, "SoftHSM v2");
    assert_int_equal(strlen(seen.first.serial), 16);
    assert_non_null(strstr(seen.first.uri, "token=unit"));
    /* the URI that is listed opens the token */
    hsm->profile.uri = seen.first.uri;
    struct kv_token *token = softhsm_open(hsm);
    kv_token_close(token);
    softhsm_free(hsm);
}

static void a_label_is_initialised_once(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a b", "012345678901234567890123456789012", "a\n"};
    struct softhsm *hsm = softhsm_ready();
    struct kv_slot_account account = softhsm_account();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_token_key key;
    struct seen seen;
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    kv_token_close(token);
    assert_int_equal(kv_slot_init(&hsm->profile, &account, "unit", hsm->so_pin, hsm->pin, NULL),
                     KV_E_TOKEN_INITIALISED);
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_int_equal(kv_slot_init(&hsm->profile, &account, bad[i], hsm->so_pin, hsm->pin, NULL),
                         KV_E_LIMIT);
    }
    token = softhsm_open(hsm); /* nothing was changed */
    assert_int_equal(kv_token_find(token, "a", &key, NULL), KV_OK);
    kv_token_close(token);
    assert_int_equal(kv_slot_init(&hsm->profile, &account, "second", hsm->so_pin, hsm->pin, NULL),
                     KV_OK);
    assert_int_equal(list(hsm, &seen), KV_OK);
    assert_int_equal(seen.initialised, 2);
    softhsm_free(hsm);
}

static void a_check_tries_everything_and_leaves_nothing(void **state)
{
    (void)state;
    static const char *const rows[] = {"ok login: token 'unit'",
                                       "ok module: ",
                                       "ok uri: pkcs11:",
                                       "ok keys: 1 private keys",
                                       "ok custody: software: ",
                                       "ok random: ",
                                       "ok generate EC P-256: ",
                                       "ok generate RSA 2048: ",
                                       "ok attributes of EC P-256: ",
                                       "ok attributes of RSA 2048: ",
                                       "ok sign ECDSA P-256: verified",
                                       "ok sign RSA PKCS#1 v1.5 SHA-256: verified",
                                       "ok sign RSA PSS SHA-256: verified",
                                       "ok wrapping: aes-gcm: wrapped",
                                       "ok leftovers: 2 objects",
                                       "ok clean up: 5 objects"};
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_token_key key;
    struct seen seen;
    struct kv_err err = {.msg = ""};
    assert_int_equal(kv_token_generate(token, "mine", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    assert_int_equal(kv_token_generate(token, "ksefvault-probe-old", KV_TOKEN_EC_P256, &key, NULL),
                     KV_OK);
    kv_token_close(token);

    if (check(hsm, &seen, &err) != KV_OK) {
        fail_msg("%s\n%s", err.msg, seen.text);
    }

    assert_int_equal(seen.rows, KV_COUNT(rows));
    assert_int_equal(seen.bad_rows, 0);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        if (strstr(seen.text, rows[i]) == NULL) {
            fail_msg("no row '%s' in\n%s", rows[i], seen.text);
        }
    }
    assert_int_equal(count_keys(hsm, "ksefvault-probe-"), 0);
    assert_int_equal(count_keys(hsm, "mine"), 2);
    softhsm_free(hsm);
}

static void a_check_tells_why_it_failed(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_secret *right = hsm->pin;
    struct seen seen;
    struct kv_err err = {.msg = ""};
    hsm->pin = secret("wrong-pin");
    assert_int_equal(check(hsm, &seen, &err), KV_E_TOKEN_PIN);
    assert_int_equal(seen.rows, 1);
    assert_non_null(strstr(seen.text, "NO login: token.pin-wrong"));
    assert_int_equal(err.cause.kind, KV_CAUSE_CK_RV);
    kv_secret_free(hsm->pin);
    hsm->pin = right;
    /* a device that can nothing but log in: every row is told, the first failure is the result */
    hsm->profile.module = KV_FAKE_MODULE;
    hsm->profile.uri = "pkcs11:serial=42";
    assert_int_equal(check(hsm, &seen, &err), KV_E_TOKEN_MECHANISM);
    assert_non_null(strstr(seen.text, "ok login: "));
    assert_non_null(strstr(seen.text, "ok custody: claimed: "));
    assert_non_null(strstr(seen.text, "NO generate RSA 2048: token.mechanism: CKM_RSA_PKCS_KEY"));
    assert_non_null(strstr(seen.text, "ok wrapping: none, so no KSeF tokens: the token has"));
    softhsm_free(hsm);
}

static void a_module_that_hangs_or_dies_does_not_take_the_caller_along(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int timeout_ms;
        enum kv_code want;
        size_t slots;
    } rows[] = {{"hang", 300, KV_E_TOKEN_TIMEOUT, 0},
                {"crash", 20000, KV_E_TOKEN_MODULE, 0},
                {"exit", 20000, KV_E_TOKEN_MODULE, 0},
                {"hard", 20000, KV_OK, 1}};
    struct kv_slot_account account = softhsm_account();
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct seen seen = {.slots = 0};
        uint64_t begin = kv_time_mono_us();
        assert_int_equal(kv_slot_list(KV_FAKE_MODULE, rows[i].word, &account, rows[i].timeout_ms,
                                      see_slot, &seen, NULL),
                         rows[i].want);
        assert_int_equal(seen.slots, rows[i].slots);
        assert_true(kv_time_mono_us() - begin < 4000000); /* not by the child's own alarm */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    }
    struct seen seen = {.slots = 0};
    assert_int_equal(kv_slot_list("/nonexistent.so", NULL, &account, 20000, see_slot, &seen, NULL),
                     KV_E_TOKEN_MODULE);
}

static void what_the_module_writes_belongs_to_the_keeper(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can act for another account\n");
        skip();
    }
    struct softhsm *hsm = softhsm_new();
    char conf[128];
    (void)snprintf(conf, sizeof conf, "SOFTHSM2_CONF=%s", hsm->conf);
    const char *const env[] = {conf, NULL};
    struct kv_slot_account account = {.env = env, .uid = UID_OTHER, .gid = UID_OTHER};
    char path[512];
    struct stat st;
    struct seen seen = {.slots = 0};
    assert_int_equal(unsetenv("SOFTHSM2_CONF"), 0); /* the environment given is the one used */
    assert_int_equal(chown(hsm->dir, UID_OTHER, UID_OTHER), 0);
    assert_int_equal(chown(hsm->tokens, UID_OTHER, UID_OTHER), 0);

    assert_int_equal(kv_slot_init(&hsm->profile, &account, "unit", hsm->so_pin, hsm->pin, NULL),
                     KV_OK);
    struct kv_slot_opener opener = {.profile = &hsm->profile};
    assert_int_equal(kv_slot_check(&opener, &account, hsm->pin, see_row, &seen, NULL), KV_OK);

    static const char *const names[] = {"token.object", "token.object.kv-backup", "generation"};
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        softhsm_path(hsm, names[i], path, sizeof path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, UID_OTHER);
        assert_int_equal(st.st_gid, UID_OTHER);
        assert_int_equal(st.st_mode & 077, 0);
    }
    assert_null(getenv("SOFTHSM2_CONF"));
    /* also what root copies aside, should root ever open the token itself */
    softhsm_path(hsm, "token.object.kv-backup", path, sizeof path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(setenv("SOFTHSM2_CONF", hsm->conf, 1), 0);
    kv_token_close(softhsm_open(hsm));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, UID_OTHER);
    assert_int_equal(geteuid(), 0);
    softhsm_free(hsm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_initialised_slot_is_listed_with_its_uri),
        cmocka_unit_test(a_label_is_initialised_once),
        cmocka_unit_test(a_check_tries_everything_and_leaves_nothing),
        cmocka_unit_test(a_check_tells_why_it_failed),
        cmocka_unit_test(a_module_that_hangs_or_dies_does_not_take_the_caller_along),
        cmocka_unit_test(what_the_module_writes_belongs_to_the_keeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
