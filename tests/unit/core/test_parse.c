#include "core/parse.h"

#include "tests/unit/kv_test.h"

static void numbers_are_plain_decimals_within_their_maximum(void **state)
{
    (void)state;
    uint64_t v = 0;
    assert_true(kv_parse_u64(kv_bytes_str("0"), 0, &v));
    assert_true(kv_parse_u64(kv_bytes_str("18446744073709551615"), UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_true(kv_parse_u64(kv_bytes_str("100"), 100, &v));
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "1.0",
                                      "0x1",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "101"};
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        v = 7;
        assert_false(
            kv_parse_u64(kv_bytes_str(bad[i]), i == KV_COUNT(bad) - 1 ? 100 : UINT64_MAX, &v));
        assert_int_equal(v, 7);
    }
}

static void utf8_is_the_shortest_form_without_surrogates(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\xc4\x85",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xed\x9f\xbf"};
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc4",
        "\xe2\x82",     "\xf0\x9f\x98",     "\xf0\x80\x80\x80", "\xff",
        "\xc4\x41"};
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        assert_true(kv_utf8_valid(kv_bytes_str(good[i])));
    }
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_false(kv_utf8_valid(kv_bytes_str(bad[i])));
    }
}

static void hiding_characters_are_known(void **state)
{
    (void)state;
    static const uint32_t hides[] = {0,      9,      0x1f,   0x7f,   0x85,   0xad,
                                     0x61c,  0x180e, 0x200b, 0x200f, 0x2028, 0x202e,
                                     0x2060, 0x2069, 0xfeff, 0xfff9, 0xfffb};
    static const uint32_t shows[] = {' ',    'a',    0xa0,   0x105,  0x200a, 0x2010, 0x2027,
                                     0x202f, 0x205f, 0x206a, 0xfff8, 0xfffc, 0x1f600};
    for (size_t i = 0; i < KV_COUNT(hides); i++) {
        assert_true(kv_char_hides(hides[i]));
    }
    for (size_t i = 0; i < KV_COUNT(shows); i++) {
        assert_false(kv_char_hides(shows[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_plain_decimals_within_their_maximum),
        cmocka_unit_test(utf8_is_the_shortest_form_without_surrogates),
        cmocka_unit_test(hiding_characters_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
