#include "agent/gate_json.h"

#include "tests/unit/kv_test.h"

#include <stdlib.h>

static enum kv_code read_it(const char *text, struct kv_buf *out)
{
    struct kv_err err;
    kv_buf_init(out, 65536);
    return kv_gate_json_read(kv_bytes_str(text), out, &err);
}

static void an_object_becomes_a_message_and_back(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":\"x\",\"n\":7,\"t\":true,\"l\":[\"p\",{\"k\":\"v\"}],\"o\":{\"i\":0}}";
    struct kv_buf out;
    assert_int_equal(read_it(text, &out), KV_OK);
    json_t *object = kv_gate_json_object(kv_buf_bytes(&out));
    assert_non_null(object);
    char *back = json_dumps(object, JSON_COMPACT);
    assert_string_equal(back, text);
    free(back);
    json_decref(object);
    kv_buf_clear(&out);
}

static void what_is_no_plain_object_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum kv_code want;
    } rows[] = {
        {"", KV_E_INPUT_JSON},
        {"[]", KV_E_INPUT_JSON},
        {"7", KV_E_INPUT_JSON},
        {"{\"a\":1", KV_E_INPUT_JSON},
        {"{\"a\":1}x", KV_E_INPUT_JSON},
        {"{\"a\":1,\"a\":2}", KV_E_INPUT_JSON},
        {"{\"a\":null}", KV_E_INPUT_TYPE},
        {"{\"a\":1.5}", KV_E_INPUT_TYPE},
        {"{\"a\":-1}", KV_E_INPUT_VALUE},
        {"{\"a\":9007199254740992}", KV_E_INPUT_VALUE},
        {"{\"a\":\"\xff\"}", KV_E_INPUT_UTF8},
        {"{\"a\":[[[[[[[[[1]]]]]]]]]}", KV_E_INPUT_JSON},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_buf out;
        assert_int_equal(read_it(rows[i].text, &out), rows[i].want);
        kv_buf_clear(&out);
    }
}

static void query_arguments_have_the_types_of_their_call(void **state)
{
    (void)state;
    struct kv_buf out;
    struct kv_err err;
    kv_buf_init(&out, 1024);
    assert_int_equal(kv_gate_query_field(KV_CALL_RECORDS, "from", "7", &out, &err), KV_OK);
    assert_int_equal(kv_gate_query_field(KV_CALL_RECORDS, "from", "x", &out, &err),
                     KV_E_INPUT_VALUE);
    assert_int_equal(kv_gate_query_field(KV_CALL_RECORDS, "frm", "7", &out, &err),
                     KV_E_INPUT_FIELD);
    kv_buf_clear(&out);
}

static void a_malformed_message_is_no_object(void **state)
{
    (void)state;
    assert_null(kv_gate_json_object(kv_bytes("\1\1aXX", 5)));
    assert_null(kv_gate_json_object(kv_bytes("\7\0", 2)));
    assert_null(kv_gate_json_object(kv_bytes("\5\1a", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_becomes_a_message_and_back),
        cmocka_unit_test(what_is_no_plain_object_is_refused),
        cmocka_unit_test(query_arguments_have_the_types_of_their_call),
        cmocka_unit_test(a_malformed_message_is_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
