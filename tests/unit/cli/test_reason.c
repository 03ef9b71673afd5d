#include "tests/unit/kv_test.h"

#include "cli/file.h"
#include "cli/reason.h"
#include "ledger/side.h"

#include <stdio.h>

/* A request of the vectors with another reason-commitment: that of `value` under a salt of zeros.
 */
static struct kv_statement *request_with(const char *value)
{
    static const uint8_t salt[KV_SALT_LEN];
    struct kv_err err;
    struct kv_buf text, changed;
    struct kv_statement *st = NULL;
    char commitment[KV_HASH_BASE64_LEN];
    struct kv_hash hash = kv_commitment(salt, kv_bytes_str(value));
    kv_hash_base64(&hash, commitment);
    kv_buf_init(&text, KV_STATEMENT_MAX);
    kv_buf_init(&changed, KV_STATEMENT_MAX);
    assert_int_equal(cli_file_read(KV_VECTORS "/approvals/good/grant/request.txt", &text, &err),
                     KV_OK);
    const char *line = strstr(kv_buf_str(&text), "\nreason-commitment: ");
    assert_non_null(line);
    size_t before = (size_t)(line - kv_buf_str(&text)) + sizeof "\nreason-commitment: " - 1;
    kv_buf_add(&changed, text.data, before);
    kv_buf_add_str(&changed, commitment);
    kv_buf_add_str(&changed, strchr(line + 1, '\n'));
    assert_int_equal(kv_statement_parse(kv_buf_bytes(&changed), &st, NULL, &err), KV_OK);
    kv_buf_clear(&text);
    kv_buf_clear(&changed);
    return st;
}

/* What is printed goes to out[]. */
static enum kv_code put(const struct kv_statement *request, json_t *answer, char out[static 512])
{
    struct kv_err err;
    FILE *to = fmemopen(out, 512, "w");
    assert_non_null(to);
    enum kv_code code = cli_put_reason(to, request, answer, &err);
    fclose(to);
    json_decref(answer);
    return code;
}

static json_t *with_row(const char *value)
{
    return json_pack("{s:{s:s,s:s,s:s}}", "reason", "field", "reason", "salt",
                     "AAAAAAAAAAAAAAAAAAAAAA==", "value", value);
}

static void a_reason_that_opens_the_commitment_is_shown(void **state)
{
    (void)state;
    char out[512] = "";
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = request_with("Invoices of March");

    assert_int_equal(put(st, with_row("Invoices of March"), out), KV_OK);

    assert_string_equal(out, "reason: Invoices of March\n");
}

static void another_reason_than_the_text_commits_to_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"reason\":{\"field\":\"reason\",\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA==\","
        "\"value\":\"Invoices of April\"}}",
        "{\"reason\":{\"field\":\"reason\",\"salt\":\"AQAAAAAAAAAAAAAAAAAAAA==\","
        "\"value\":\"Invoices of March\"}}",
        "{\"reason\":{\"field\":\"reason\",\"salt\":\"AAAA\",\"value\":\"Invoices of March\"}}",
        "{\"reason\":{\"field\":\"reason\",\"value\":\"Invoices of March\"}}",
        "{\"reason\":{}}",
        "{\"reason\":[7]}",
        "{\"reason\":\"Invoices of March\"}",
        "{\"reason\":null}",
    };
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = request_with("Invoices of March");
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char out[512] = "";

        assert_int_equal(put(st, json_loads(rows[i], 0, NULL), out), KV_E_STMT_TRANSIT);

        assert_null(strstr(out, "April"));
    }
}

static void a_reason_that_is_not_told_is_said_to_be_missing(void **state)
{
    (void)state;
    char out[512] = "";
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = request_with("Invoices of March");

    assert_int_equal(put(st, json_object(), out), KV_OK);

    assert_non_null(strstr(out, "reason: not told"));
}

static void a_reason_cannot_draw_on_the_terminal(void **state)
{
    (void)state;
    char out[512] = "";
    KV_CLEANUP(kv_statement_freep)
    struct kv_statement *st = request_with("a\033[2Jb\xE2\x80\xAE"
                                           "c");

    assert_int_equal(put(st,
                         with_row("a\033[2Jb\xE2\x80\xAE"
                                  "c"),
                         out),
                     KV_OK);

    assert_string_equal(out, "reason: a?[2Jb?c\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reason_that_opens_the_commitment_is_shown),
        cmocka_unit_test(another_reason_than_the_text_commits_to_is_refused),
        cmocka_unit_test(a_reason_that_is_not_told_is_said_to_be_missing),
        cmocka_unit_test(a_reason_cannot_draw_on_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
