#include "core/time.h"

#include "tests/unit/kv_test.h"

#define B(s) kv_bytes_str(s)

static void times_are_written_and_read_back(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, 999, 951782400000, 1767772800000, 253402300799999};
    for (size_t i = 0; i < KV_COUNT(times); i++) {
        char text[KV_TIME_MS_LEN];
        int64_t back;
        kv_time_format_ms(times[i], text);
        assert_true(kv_time_parse_ms(B(text), &back));
        assert_int_equal(back, times[i]);
    }
    char text[KV_TIME_S_LEN];
    kv_time_format_s(1767772800999, text);
    assert_string_equal(text, "2026-01-07T08:00:00Z");
}

static void only_the_one_form_is_read(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2026-01-07",
                                      "2026-01-07T08:00:00",
                                      "2026-01-07T08:00:00z",
                                      "2026-01-07 08:00:00Z",
                                      "2026-01-07T08:00:00+00:00",
                                      "2026-1-07T08:00:00Z",
                                      "2026-02-29T08:00:00Z",
                                      "2026-13-07T08:00:00Z",
                                      "2026-01-32T08:00:00Z",
                                      "2026-01-07T24:00:00Z",
                                      "2026-01-07T08:60:00Z",
                                      "2026-01-07T08:00:60Z",
                                      "1969-12-31T23:59:59Z",
                                      "2026-01-07T08:00:00.0Z",
                                      "2026-01-00T08:00:00Z"};
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        int64_t ms = 42;
        assert_false(kv_time_parse_s(B(bad[i]), &ms));
        assert_int_equal(ms, 42);
    }
    int64_t ms;
    assert_true(kv_time_parse_s(B("2028-02-29T08:00:00Z"), &ms));
    assert_false(kv_time_parse_ms(B("2026-01-07T08:00:00Z"), &ms));
}

static void ksef_s_times_have_offsets_and_fractions(void **state)
{
    (void)state;
    int64_t a, b;
    assert_true(kv_time_parse_any(B("2026-06-01T10:00:00.1234567+00:00"), &a));
    assert_true(kv_time_parse_any(B("2026-06-01T12:00:00.123+02:00"), &b));
    assert_int_equal(a, b);
    assert_true(kv_time_parse_any(B("2026-06-01T10:00:00Z"), &b));
    assert_int_equal(a, b + 123);
    static const char *const bad[] = {"2026-06-01T10:00:00",      "2026-06-01T10:00:00.",
                                      "2026-06-01T10:00:00.Z",    "2026-06-01T10:00:00.1234567891Z",
                                      "2026-06-01T10:00:00+0000", "2026-06-01T10:00:00Zx",
                                      "1970-01-01T00:00:00+01:00"};
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_false(kv_time_parse_any(B(bad[i]), &a));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_and_read_back),
        cmocka_unit_test(only_the_one_form_is_read),
        cmocka_unit_test(ksef_s_times_have_offsets_and_fractions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
