#include "core/message.h"

#include "core/parse.h"
#include "tests/unit/kv_test.h"

static const struct kv_field_spec specs[] = {
    {"name", KV_FIELD_STRING, 8, true, NULL},   {"count", KV_FIELD_NUMBER, 100, false, NULL},
    {"flag", KV_FIELD_BOOLEAN, 1, false, NULL}, {"list", KV_FIELD_ARRAY, 2, false, NULL},
    {"raw", KV_FIELD_OCTETS, 4, false, NULL},   {NULL, KV_FIELD_END, 0, false, NULL}};

static enum kv_code read_it(struct kv_buf *buf, struct kv_field *field)
{
    struct kv_err err;
    enum kv_code code = kv_message_read(kv_buf_bytes(buf), specs, field, &err);
    return code;
}

static void fields_come_back_in_the_order_of_the_table(void **state)
{
    (void)state;
    struct kv_buf buf;
    struct kv_field field[KV_FIELDS_MAX];
    kv_buf_init(&buf, 1024);
    kv_message_begin(&buf, "list", KV_FIELD_ARRAY);
    kv_message_str(&buf, "", "a");
    kv_message_begin(&buf, "", KV_FIELD_OBJECT);
    kv_message_str(&buf, "k", "v");
    kv_message_end(&buf);
    kv_message_end(&buf);
    kv_message_number(&buf, "count", 100);
    kv_message_octets(&buf, "raw", kv_bytes("\0\1\2\3", 4));
    kv_message_str(&buf, "name", "12345678");
    assert_int_equal(read_it(&buf, field), KV_OK);
    assert_true(kv_bytes_is(field[0].value, "12345678"));
    assert_int_equal(field[1].number, 100);
    assert_int_equal(field[2].type, 0);
    assert_int_equal(field[3].number, 2);
    assert_int_equal(field[4].value.len, 4);
    kv_buf_clear(&buf);
}

static void what_the_table_does_not_allow_is_refused(void **state)
{
    (void)state;
    struct kv_buf buf;
    struct kv_field field[KV_FIELDS_MAX];
    kv_buf_init(&buf, 1024);

    kv_message_number(&buf, "count", 1);
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_MISSING);

    kv_message_str(&buf, "name", "x");
    assert_int_equal(read_it(&buf, field), KV_OK);

    kv_message_number(&buf, "count", 2);
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_JSON);

    kv_buf_reset(&buf);
    kv_message_str(&buf, "name", "123456789");
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_TOO_LARGE);

    kv_buf_reset(&buf);
    kv_message_number(&buf, "name", 1);
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_TYPE);

    kv_buf_reset(&buf);
    kv_message_str(&buf, "name", "\xff");
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_UTF8);

    kv_buf_reset(&buf);
    kv_message_str(&buf, "name", "x");
    kv_message_str(&buf, "nam", "x");
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_FIELD);

    kv_buf_reset(&buf);
    kv_message_str(&buf, "name", "x");
    kv_message_number(&buf, "count", 101);
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_TOO_LARGE);

    kv_buf_reset(&buf);
    kv_message_str(&buf, "name", "x");
    kv_message_begin(&buf, "list", KV_FIELD_ARRAY);
    for (int i = 0; i < 3; i++) {
        kv_message_str(&buf, "", "e");
    }
    kv_message_end(&buf);
    assert_int_equal(read_it(&buf, field), KV_E_INPUT_TOO_LARGE);
    kv_buf_clear(&buf);
}

static void a_message_cut_anywhere_is_never_taken_for_another(void **state)
{
    (void)state;
    struct kv_buf buf;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    kv_buf_init(&buf, 1024);
    kv_message_bool(&buf, "flag", true);
    size_t whole_fields = buf.len;
    kv_message_str(&buf, "name", "x");
    for (size_t cut = 0; cut < buf.len; cut++) {
        enum kv_code code = kv_message_read(kv_bytes(buf.data, cut), specs, field, &err);
        assert_int_equal(code,
                         cut == 0 || cut == whole_fields ? KV_E_INPUT_MISSING : KV_E_PROTOCOL);
    }
    kv_buf_clear(&buf);
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    struct kv_buf buf;
    struct kv_field field[KV_FIELDS_MAX];
    kv_buf_init(&buf, 4096);
    kv_message_str(&buf, "name", "x");
    kv_message_begin(&buf, "list", KV_FIELD_ARRAY);
    for (int i = 0; i < KV_MESSAGE_DEPTH; i++) {
        kv_message_begin(&buf, "", KV_FIELD_ARRAY);
    }
    for (int i = 0; i <= KV_MESSAGE_DEPTH; i++) {
        kv_message_end(&buf);
    }
    assert_int_equal(read_it(&buf, field), KV_E_PROTOCOL);
    kv_buf_clear(&buf);
}

static void numbers_beyond_2_53_are_malformed(void **state)
{
    (void)state;
    struct kv_buf buf;
    struct kv_field field;
    kv_buf_init(&buf, 64);
    kv_message_number(&buf, "n", KV_NUMBER_MAX);
    struct kv_cursor cur = kv_cursor(kv_buf_bytes(&buf));
    assert_true(kv_message_next(&cur, &field));
    kv_buf_reset(&buf);
    kv_message_number(&buf, "n", KV_NUMBER_MAX + 1);
    cur = kv_cursor(kv_buf_bytes(&buf));
    assert_false(kv_message_next(&cur, &field));
    assert_true(cur.failed);
    kv_buf_clear(&buf);
}

static void a_value_with_a_nul_is_no_text(void **state)
{
    (void)state;
    char text[8];
    struct kv_field field = {.type = KV_FIELD_STRING, .value = kv_bytes("a\0b", 3)};
    assert_false(kv_field_copy(&field, text, sizeof text));
    field.value = kv_bytes("1234567", 7);
    assert_true(kv_field_copy(&field, text, sizeof text));
    field.value = kv_bytes("12345678", 8);
    assert_false(kv_field_copy(&field, text, sizeof text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_back_in_the_order_of_the_table),
        cmocka_unit_test(what_the_table_does_not_allow_is_refused),
        cmocka_unit_test(a_message_cut_anywhere_is_never_taken_for_another),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(numbers_beyond_2_53_are_malformed),
        cmocka_unit_test(a_value_with_a_nul_is_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
