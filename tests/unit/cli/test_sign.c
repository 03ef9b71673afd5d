/* Signing with the real ssh-keygen. */
#include "tests/unit/kv_test.h"

#include "cli/file.h"
#include "cli/sign.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS KV_VECTORS "/approvals/keys/TEST-"

static char folder[] = "/tmp/kv-sign-XXXXXX";

/* ssh-keygen refuses a key that others may read: a private copy of the TEST key. */
static char *key_copy(const char *id, bool public_too)
{
    static const char *const suffixes[] = {"", ".pub"};
    struct kv_err err;
    char from[256];
    char *to = NULL;
    for (size_t i = 0; i < (public_too ? 2 : 1); i++) {
        struct kv_buf bytes;
        char path[256];
        kv_buf_init(&bytes, 16384);
        assert_true(snprintf(from, sizeof from, KEYS "%s%s", id, suffixes[i]) > 0);
        assert_true(snprintf(path, sizeof path, "%s/%s%s", folder, id, suffixes[i]) > 0);
        assert_int_equal(cli_file_read(from, &bytes, &err), KV_OK);
        unlink(path);
        assert_int_equal(cli_file_write(path, kv_buf_bytes(&bytes), &err), KV_OK);
        kv_buf_clear(&bytes);
    }
    assert_true(asprintf(&to, "%s/%s", folder, id) > 0);
    return to;
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"fin-01", "fin-01.pub", "cus-01", "cus-01.pub"};
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        char path[256];
        if (snprintf(path, sizeof path, "%s/%s", folder, names[i]) > 0) {
            unlink(path);
        }
    }
    return rmdir(folder);
}

static void only_for_an_account(void)
{
    if (getpwuid(getuid()) == NULL) {
        print_message("skipped: ssh-keygen wants a passwd entry for uid %u\n", getuid());
        skip();
    }
}

static void a_key_signs_and_its_signature_is_good(void **state)
{
    (void)state;
    only_for_an_account();
    struct kv_err err;
    struct kv_pubkey key;
    struct kv_buf armour;
    char *path = key_copy("fin-01", true);
    assert_int_equal(chmod(path, 0600), 0);
    kv_buf_init(&armour, KV_SSHSIG_ARMOUR_MAX);
    assert_int_equal(cli_public_key(path, &key, &err), KV_OK);

    enum kv_code code = cli_sign(path, key.fingerprint, kv_bytes_str("text\n"), &armour, &err);

    assert_int_equal(code, KV_OK);
    assert_int_equal(kv_sshsig_verify(kv_bytes_str("text\n"), kv_buf_bytes(&armour),
                                      kv_bytes_str(key.fingerprint), NULL, &err),
                     KV_OK);
    kv_buf_clear(&armour);
    free(path);
}

static void a_signature_by_another_key_than_the_text_names_is_not_used(void **state)
{
    (void)state;
    only_for_an_account();
    struct kv_err err;
    struct kv_pubkey other;
    struct kv_buf armour;
    char *path = key_copy("fin-01", true);
    assert_int_equal(chmod(path, 0600), 0);
    kv_buf_init(&armour, KV_SSHSIG_ARMOUR_MAX);
    assert_int_equal(cli_public_key(KEYS "cus-01.pub", &other, &err), KV_OK);

    enum kv_code code = cli_sign(path, other.fingerprint, kv_bytes_str("text\n"), &armour, &err);

    assert_int_equal(code, KV_E_SIG_KEY);
    assert_int_equal(armour.len, 0);
    kv_buf_clear(&armour);
    free(path);
}

static void a_file_that_is_no_key_does_not_sign(void **state)
{
    (void)state;
    only_for_an_account();
    struct kv_err err;
    struct kv_buf armour;
    kv_buf_init(&armour, KV_SSHSIG_ARMOUR_MAX);

    assert_int_equal(
        cli_sign("/nonexistent/key", "ssh:SHA256:x", kv_bytes_str("t\n"), &armour, &err),
        KV_E_SIG_BAD);
    assert_int_equal(armour.len, 0);
    kv_buf_clear(&armour);
}

static void the_public_key_is_found_beside_or_inside_the_private_one(void **state)
{
    (void)state;
    only_for_an_account();
    struct kv_err err;
    struct kv_pubkey beside, inside, named;
    char *with = key_copy("fin-01", true);
    char *without = key_copy("cus-01", false);
    assert_int_equal(chmod(without, 0600), 0);

    assert_int_equal(cli_public_key(with, &beside, &err), KV_OK);
    assert_int_equal(cli_public_key(without, &inside, &err), KV_OK);
    assert_int_equal(cli_public_key(KEYS "cus-01.pub", &named, &err), KV_OK);

    assert_string_equal(inside.fingerprint, named.fingerprint);
    assert_string_not_equal(beside.fingerprint, inside.fingerprint);
    free(with);
    free(without);
}

static void a_file_that_exists_is_never_overwritten(void **state)
{
    (void)state;
    char path[64];
    struct kv_buf read;
    struct kv_err err;
    assert_true(snprintf(path, sizeof path, "%s/fin-01", folder) > 0);
    unlink(path);
    assert_int_equal(cli_file_write(path, kv_bytes_str("mine"), &err), KV_OK);

    enum kv_code code = cli_file_write(path, kv_bytes_str("other"), &err);

    kv_buf_init(&read, 64);
    assert_int_equal(code, KV_E_USAGE);
    assert_int_equal(cli_file_read(path, &read, &err), KV_OK);
    assert_string_equal(kv_buf_str(&read), "mine");
    kv_buf_clear(&read);
}

static void a_program_that_is_missing_is_named(void **state)
{
    (void)state;
    const char *argv[] = {"kv-no-such-program", NULL};
    struct kv_buf out;
    struct kv_err err;
    int status;
    kv_buf_init(&out, 64);

    assert_int_equal(cli_program(argv, KV_BYTES_NULL, &out, &status, &err), KV_E_NOT_FOUND);
    assert_non_null(strstr(err.msg, "kv-no-such-program"));
    kv_buf_clear(&out);
}

static void a_program_gets_its_input_and_its_output_is_limited(void **state)
{
    (void)state;
    const char *argv[] = {"cat", NULL};
    struct kv_buf out;
    struct kv_err err;
    int status = 1;
    kv_buf_init(&out, 5);

    assert_int_equal(cli_program(argv, kv_bytes_str("12345"), &out, &status, &err), KV_OK);
    assert_int_equal(status, 0);
    assert_string_equal(kv_buf_str(&out), "12345");
    kv_buf_reset(&out);
    assert_int_equal(cli_program(argv, kv_bytes_str("123456"), &out, &status, &err),
                     KV_E_INPUT_TOO_LARGE);
    kv_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_signs_and_its_signature_is_good),
        cmocka_unit_test(a_signature_by_another_key_than_the_text_names_is_not_used),
        cmocka_unit_test(a_file_that_is_no_key_does_not_sign),
        cmocka_unit_test(the_public_key_is_found_beside_or_inside_the_private_one),
        cmocka_unit_test(a_file_that_exists_is_never_overwritten),
        cmocka_unit_test(a_program_that_is_missing_is_named),
        cmocka_unit_test(a_program_gets_its_input_and_its_output_is_limited),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
