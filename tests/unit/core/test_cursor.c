#include "core/cursor.h"

#include "tests/unit/kv_test.h"

static void reads_what_is_there_then_fails_for_good(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 0, 2, 0, 0, 0, 1, 'x'};
    struct kv_cursor cur = kv_cursor(kv_bytes(bytes, sizeof bytes));
    assert_int_equal(kv_cursor_u8(&cur), 1);
    assert_int_equal(kv_cursor_u16(&cur), 2);
    assert_true(kv_bytes_is(kv_cursor_string(&cur), "x"));
    assert_true(kv_cursor_done(&cur));
    assert_int_equal(kv_cursor_u8(&cur), 0);
    assert_false(kv_cursor_done(&cur));
}

static void a_length_beyond_the_end_gives_nothing(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 'x'};
    struct kv_cursor cur = kv_cursor(kv_bytes(bytes, sizeof bytes));
    assert_int_equal(kv_cursor_string(&cur).len, 0);
    assert_true(cur.failed);
    assert_int_equal(kv_cursor_u64(&cur), 0);
}

static void bytes_left_over_are_not_done(void **state)
{
    (void)state;
    struct kv_cursor cur = kv_cursor(kv_bytes_str("ab"));
    (void)kv_cursor_u8(&cur);
    assert_false(kv_cursor_done(&cur));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_there_then_fails_for_good),
        cmocka_unit_test(a_length_beyond_the_end_gives_nothing),
        cmocka_unit_test(bytes_left_over_are_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
