#include "core/err.h"
#include "core/parse.h"

#include "tests/unit/kv_test.h"

#include <errno.h>

static enum kv_code fails(struct kv_err *err)
{
    errno = ENOSPC;
    return KV_FAIL(err, KV_E_IO, KV_ERRNO, "write %d", 7);
}

static void a_failure_keeps_code_cause_origin_and_sentence(void **state)
{
    (void)state;
    struct kv_err err;
    char cause[64];
    assert_int_equal(fails(&err), KV_E_IO);
    assert_int_equal(err.code, KV_E_IO);
    assert_string_equal(err.msg, "write 7");
    assert_non_null(strstr(err.origin, "test_err.c:"));
    assert_string_equal(kv_cause_text(err.cause, cause, sizeof cause), "No space left on device");
}

static void context_goes_in_front_and_the_code_stays(void **state)
{
    (void)state;
    struct kv_err err;
    assert_int_equal(fails(&err), KV_E_IO);
    assert_int_equal(kv_wrap(&err, "store '%s'", "x"), KV_E_IO);
    assert_string_equal(err.msg, "store 'x': write 7");
}

static void a_long_message_is_cut_not_overrun(void **state)
{
    (void)state;
    struct kv_err err;
    char longer[400];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(KV_REFUSE(&err, KV_E_LIMIT, "%s", longer), KV_E_LIMIT);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_int_equal(kv_wrap(&err, "%s", longer), KV_E_LIMIT);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

/* Messages go into JSON: a cut must not leave half a character. Each character at each place. */
static void a_cut_message_is_whole_utf8(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "ł", "€", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < KV_COUNT(characters); c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            struct kv_err err;
            char longer[400] = "aaaa";
            size_t len = shift, one = strlen(characters[c]);
            while (len + one < sizeof longer) {
                memcpy(longer + len, characters[c], one);
                len += one;
            }
            longer[len] = '\0';

            assert_int_equal(KV_REFUSE(&err, KV_E_LIMIT, "%s", longer), KV_E_LIMIT);
            assert_true(kv_utf8_valid(kv_bytes_str(err.msg)));
            assert_in_range(strlen(err.msg), sizeof err.msg - 4, sizeof err.msg - 1);
            for (size_t i = 0; i < 4; i++) {
                assert_int_equal(kv_wrap(&err, "b"), KV_E_LIMIT);
                assert_true(kv_utf8_valid(kv_bytes_str(err.msg)));
            }
        }
    }
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    assert_int_equal(fails(NULL), KV_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_keeps_code_cause_origin_and_sentence),
        cmocka_unit_test(context_goes_in_front_and_the_code_stays),
        cmocka_unit_test(a_long_message_is_cut_not_overrun),
        cmocka_unit_test(a_cut_message_is_whole_utf8),
        cmocka_unit_test(nobody_has_to_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
