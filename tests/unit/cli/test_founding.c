#include "tests/unit/kv_test.h"

#include "cli/file.h"
#include "cli/founding.h"
#include "cli/sign.h"
#include "core/time.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS KV_VECTORS "/approvals/keys/TEST-"

static const char policy_text[] = "version: 1\napprovals:\n  default: {finance: 1, custodian: 1}\n"
                                  "limits:\n  grant-days-max: 106\ncustody-minimum: software\n"
                                  "on-exe-change: suspend\n";
static const char test_log_key[] =
    "vault.example.com/test-nip-5265877635/audit+de3c461b+"
    "AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOwaP4fWaKxhcfZ4toODC97087lopHbuEHI3NiKVfl003Hch0Ob5QQ/"
    "GbCeWNxihRtX7UtAth6G5089VaB0U6a8=";

static void add_founder(struct founding *f, const char *id, enum kv_duty duty)
{
    struct kv_err err;
    char path[256];
    struct founder *founder = &f->founders[f->count++];
    assert_true(snprintf(founder->id, sizeof founder->id, "%s", id) > 0);
    assert_true(snprintf(path, sizeof path, KEYS "%s.pub", id) > 0);
    founder->duty = duty;
    assert_int_equal(cli_public_key(path, &founder->key, &err), KV_OK);
}

static struct founding *new_founding(void)
{
    struct kv_err err;
    struct founding *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->test = true;
    f->lang = KV_LANG_EN;
    f->founders = calloc(FOUNDERS_MAX, sizeof *f->founders);
    assert_non_null(f->founders);
    f->log_key = test_log_key;
    f->now_ms = 1764576000 * KV_SECOND_MS;
    assert_true(snprintf(f->vault, sizeof f->vault, "vault.example.com/test-nip-5265877635") > 0);
    kv_buf_init(&f->policy, 4096);
    kv_buf_add_str(&f->policy, policy_text);
    assert_int_equal(kv_ruleset_parse(kv_buf_bytes(&f->policy), &f->rules, &err), KV_OK);
    return f;
}

static void free_founding(struct founding *f)
{
    kv_buf_clear(&f->policy);
    free(f->founders);
    free(f);
}

static struct kv_statement *read_statement(const char *dir, const char *name)
{
    char path[256];
    struct kv_buf text;
    struct kv_err err;
    struct kv_statement *st = NULL;
    kv_buf_init(&text, KV_STATEMENT_MAX);
    assert_true(snprintf(path, sizeof path, "%s/%s", dir, name) > 0);
    assert_int_equal(cli_file_read(path, &text, &err), KV_OK);
    assert_int_equal(kv_statement_parse(kv_buf_bytes(&text), &st, NULL, &err), KV_OK);
    kv_buf_clear(&text);
    return st;
}

static void remove_folder(const char *dir)
{
    static const char *const names[] = {"request.txt", "policy.yaml",        "log.vkey",
                                        "README.txt",  "finance-fin-01.txt", "custodian-cus-01.txt",
                                        "other"};
    char path[256];
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        assert_true(snprintf(path, sizeof path, "%s/%s", dir, names[i]) > 0);
        unlink(path);
    }
    rmdir(dir);
}

static void the_folder_holds_a_text_for_each_who_decides(void **state)
{
    (void)state;
    char dir[] = "/tmp/kv-founding-XXXXXX";
    struct kv_err err;
    struct stat st;
    char path[256];
    assert_non_null(mkdtemp(dir));
    struct founding *f = new_founding();
    add_founder(f, "fin-01", KV_DUTY_FINANCE);
    add_founder(f, "cus-01", KV_DUTY_CUSTODIAN);
    add_founder(f, "req-01", KV_DUTY_NONE);
    KV_CLEANUP(kv_statement_freep) struct kv_statement *request = NULL;
    assert_int_equal(founding_compose(f, &request, &err), KV_OK);

    assert_int_equal(founding_write(f, dir, request, &err), KV_OK);

    KV_CLEANUP(kv_statement_freep) struct kv_statement *read = read_statement(dir, "request.txt");
    KV_CLEANUP(kv_statement_freep)
    struct kv_statement *finance = read_statement(dir, "finance-fin-01.txt");
    KV_CLEANUP(kv_statement_freep)
    struct kv_statement *custodian = read_statement(dir, "custodian-cus-01.txt");
    assert_true(kv_bytes_equal(kv_statement_text(read), kv_statement_text(request)));
    assert_true(kv_bytes_is(kv_statement_get(read, KV_KEY_REQUESTER), "req-01"));
    assert_true(kv_bytes_is(kv_statement_get(read, KV_KEY_LOG_KEY), test_log_key));
    assert_int_equal(kv_statement_repeats(finance, kv_statement_text(read), NULL, &err), KV_OK);
    assert_int_equal(kv_statement_repeats(custodian, kv_statement_text(read), NULL, &err), KV_OK);
    assert_int_equal(kv_statement_seat(finance), KV_SEAT_FINANCE);
    assert_int_equal(kv_statement_seat(custodian), KV_SEAT_CUSTODIAN);
    assert_false(kv_bytes_equal(kv_statement_get(finance, KV_KEY_NONCE),
                                kv_statement_get(custodian, KV_KEY_NONCE)));
    assert_true(snprintf(path, sizeof path, "%s/finance-req-01.txt", dir) > 0);
    assert_false(cli_file_exists(path));
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_true(snprintf(path, sizeof path, "%s/request.txt", dir) > 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    free_founding(f);
    remove_folder(dir);
}

static void a_founding_nobody_asks_for_has_no_requester(void **state)
{
    (void)state;
    struct kv_err err;
    struct founding *f = new_founding();
    add_founder(f, "fin-01", KV_DUTY_FINANCE);
    add_founder(f, "cus-01", KV_DUTY_CUSTODIAN);
    KV_CLEANUP(kv_statement_freep) struct kv_statement *request = NULL;

    assert_int_equal(founding_compose(f, &request, &err), KV_OK);

    assert_true(kv_bytes_is(kv_statement_get(request, KV_KEY_REQUESTER), "-"));
    assert_true(kv_bytes_is(kv_statement_get(request, KV_KEY_REQUESTER_KEY), "-"));
    free_founding(f);
}

static void the_script_tells_everybody_what_to_sign(void **state)
{
    (void)state;
    struct kv_err err;
    struct kv_buf script;
    char code[KV_CONFIRMATION_LEN];
    struct founding *f = new_founding();
    add_founder(f, "fin-01", KV_DUTY_FINANCE);
    add_founder(f, "cus-01", KV_DUTY_CUSTODIAN);
    add_founder(f, "req-01", KV_DUTY_NONE);
    KV_CLEANUP(kv_statement_freep) struct kv_statement *request = NULL;
    assert_int_equal(founding_compose(f, &request, &err), KV_OK);
    kv_buf_init(&script, 65536);

    founding_script(request, "ceremony", &script);

    struct kv_hash hash = kv_statement_sha256(request);
    kv_confirmation_code(&hash, code);
    assert_non_null(strstr(kv_buf_str(&script), code));
    assert_non_null(strstr(kv_buf_str(&script), "-f KEY finance-fin-01.txt\n"));
    assert_non_null(strstr(kv_buf_str(&script), "-f KEY custodian-cus-01.txt\n"));
    assert_non_null(strstr(kv_buf_str(&script), "-f KEY request.txt\n"));
    assert_non_null(strstr(kv_buf_str(&script), "A routine grant lasts at most 106 days."));
    assert_non_null(strstr(kv_buf_str(&script), "TEST vault"));
    kv_buf_clear(&script);
    free_founding(f);
}

static void a_folder_with_something_else_is_left_alone(void **state)
{
    (void)state;
    char dir[] = "/tmp/kv-founding-XXXXXX";
    char path[256];
    struct kv_err err;
    assert_non_null(mkdtemp(dir));
    assert_true(snprintf(path, sizeof path, "%s/other", dir) > 0);
    assert_int_equal(cli_file_write(path, kv_bytes_str("mine"), &err), KV_OK);
    struct founding *f = new_founding();
    add_founder(f, "fin-01", KV_DUTY_FINANCE);
    add_founder(f, "cus-01", KV_DUTY_CUSTODIAN);
    KV_CLEANUP(kv_statement_freep) struct kv_statement *request = NULL;
    assert_int_equal(founding_compose(f, &request, &err), KV_OK);

    enum kv_code code = founding_write(f, dir, request, &err);

    assert_int_equal(code, KV_E_USAGE);
    assert_true(cli_file_exists(path));
    assert_true(snprintf(path, sizeof path, "%s/request.txt", dir) > 0);
    assert_false(cli_file_exists(path));
    assert_true(snprintf(path, sizeof path, "%s.part-%ld", dir, (long)getpid()) > 0);
    assert_false(cli_file_exists(path));
    free_founding(f);
    remove_folder(dir);
}

static void a_vault_is_named_after_what_it_is(void **state)
{
    (void)state;
    struct kv_err err;
    struct founding *f = new_founding();
    add_founder(f, "fin-01", KV_DUTY_FINANCE);
    add_founder(f, "cus-01", KV_DUTY_CUSTODIAN);
    KV_CLEANUP(kv_statement_freep) struct kv_statement *request = NULL;
    f->test = false; /* but the vault's name says test- */

    assert_int_equal(founding_compose(f, &request, &err), KV_E_STMT_VALUE);
    assert_null(request);
    free_founding(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_folder_holds_a_text_for_each_who_decides),
        cmocka_unit_test(a_founding_nobody_asks_for_has_no_requester),
        cmocka_unit_test(the_script_tells_everybody_what_to_sign),
        cmocka_unit_test(a_folder_with_something_else_is_left_alone),
        cmocka_unit_test(a_vault_is_named_after_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
