#include "core/bytes.h"

#include "tests/unit/kv_test.h"

/* RFC 4648 §10 */
static const struct {
    const char *plain, *base64, *url;
} vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "+//+", "-__-"},
};

static void encodes_and_decodes_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(vectors); i++) {
        char text[32];
        uint8_t back[32];
        size_t len;
        struct kv_bytes plain = kv_bytes_str(vectors[i].plain);
        kv_base64_encode(plain, text);
        assert_string_equal(text, vectors[i].base64);
        assert_true(kv_base64_decode(kv_bytes_str(text), back, sizeof back, &len));
        assert_true(kv_bytes_equal(kv_bytes(back, len), plain));
        kv_base64url_encode(plain, text);
        assert_string_equal(text, vectors[i].url);
        assert_true(kv_base64url_decode(kv_bytes_str(text), back, sizeof back, &len));
        assert_true(kv_bytes_equal(kv_bytes(back, len), plain));
    }
}

static void refuses_text_that_is_not_the_one_encoding(void **state)
{
    (void)state;
    static const char *const bad[] = {"Zg",    "Zg=",    "Zh==",     "Zm9=", "Zm9v ",
                                      " Zm9v", "Zm9v\n", "Zg==Zg==", "====", "=",
                                      "Z===",  "Zm-_",   "Z"};
    uint8_t out[32];
    size_t len;
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_false(kv_base64_decode(kv_bytes_str(bad[i]), out, sizeof out, &len));
    }
    assert_false(kv_base64url_decode(kv_bytes_str("Zg=="), out, sizeof out, &len));
    assert_false(kv_base64url_decode(kv_bytes_str("Zh"), out, sizeof out, &len));
}

static void decoders_respect_the_room_they_have(void **state)
{
    (void)state;
    uint8_t out[3];
    size_t len;
    assert_true(kv_base64_decode(kv_bytes_str("Zm9v"), out, 3, &len));
    assert_false(kv_base64_decode(kv_bytes_str("Zm9v"), out, 2, &len));
    assert_true(kv_hex_decode(kv_bytes_str("00ff7f"), out, 3, &len));
    assert_false(kv_hex_decode(kv_bytes_str("00ff7f"), out, 2, &len));
}

static void hex_is_lower_case_only(void **state)
{
    (void)state;
    uint8_t out[4];
    size_t len;
    char text[9];
    kv_hex_encode(kv_bytes("\x00\xab\xff", 3), text);
    assert_string_equal(text, "00abff");
    assert_false(kv_hex_decode(kv_bytes_str("AB"), out, sizeof out, &len));
    assert_false(kv_hex_decode(kv_bytes_str("abc"), out, sizeof out, &len));
    assert_false(kv_hex_decode(kv_bytes_str("g0"), out, sizeof out, &len));
}

static void base32_takes_bits_from_the_left(void **state)
{
    (void)state;
    char text[17];
    kv_base32_encode(kv_bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10), 16, text);
    assert_string_equal(text, "ZZZZZZZZZZZZZZZZ");
    kv_base32_encode(kv_bytes("\x08\x42\x10\x84\x21", 5), 8, text);
    assert_string_equal(text, "11111111");
}

static void compares_with_prefixes_first(void **state)
{
    (void)state;
    assert_true(kv_bytes_compare(kv_bytes_str("a"), kv_bytes_str("ab")) < 0);
    assert_true(kv_bytes_compare(kv_bytes_str("b"), kv_bytes_str("ab")) > 0);
    assert_int_equal(kv_bytes_compare(KV_BYTES_NULL, kv_bytes_str("")), 0);
    assert_true(kv_bytes_is(kv_bytes_str("x"), "x"));
    assert_false(kv_bytes_is(kv_bytes_str("x"), "xy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_and_decodes_the_vectors_of_rfc_4648),
        cmocka_unit_test(refuses_text_that_is_not_the_one_encoding),
        cmocka_unit_test(decoders_respect_the_room_they_have),
        cmocka_unit_test(hex_is_lower_case_only),
        cmocka_unit_test(base32_takes_bits_from_the_left),
        cmocka_unit_test(compares_with_prefixes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
