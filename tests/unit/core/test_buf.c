#include "core/buf.h"

#include "tests/unit/kv_test.h"

static void appends_up_to_its_maximum_and_not_a_byte_more(void **state)
{
    (void)state;
    struct kv_buf buf;
    kv_buf_init(&buf, 4);
    kv_buf_add(&buf, "abcd", 4);
    assert_false(buf.failed);
    assert_string_equal(kv_buf_str(&buf), "abcd");
    kv_buf_add_u8(&buf, 1);
    assert_true(buf.failed);
    assert_int_equal(buf.len, 4);
    kv_buf_clear(&buf);
}

static void failure_sticks_until_reset(void **state)
{
    (void)state;
    struct kv_buf buf;
    kv_buf_init(&buf, 2);
    kv_buf_add_str(&buf, "abc");
    kv_buf_add_u8(&buf, 'x');
    assert_true(buf.failed);
    assert_int_equal(buf.len, 0);
    kv_buf_reset(&buf);
    kv_buf_add_str(&buf, "ab");
    assert_false(buf.failed);
    kv_buf_clear(&buf);
}

static void integers_are_big_endian(void **state)
{
    (void)state;
    struct kv_buf buf;
    static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    kv_buf_init(&buf, 64);
    kv_buf_add_u8(&buf, 1);
    kv_buf_add_u16(&buf, 0x0203);
    kv_buf_add_u32(&buf, 0x04050607);
    kv_buf_add_u64(&buf, UINT64_C(0x08090a0b0c0d0e0f));
    assert_int_equal(buf.len, sizeof want);
    assert_memory_equal(buf.data, want, sizeof want);
    kv_buf_clear(&buf);
}

static void formats_and_encodes(void **state)
{
    (void)state;
    struct kv_buf buf;
    kv_buf_init(&buf, 64);
    kv_buf_add_format(&buf, "%s=%d;", "n", 7);
    kv_buf_add_base64(&buf, kv_bytes_str("any"));
    assert_string_equal(kv_buf_str(&buf), "n=7;YW55");
    kv_buf_clear(&buf);
    assert_string_equal(kv_buf_str(&buf), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_up_to_its_maximum_and_not_a_byte_more),
        cmocka_unit_test(failure_sticks_until_reset),
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(formats_and_encodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
