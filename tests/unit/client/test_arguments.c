#include "tests/unit/kv_test.h"

#include "client/arguments.h"

static enum kv_code lay_out(enum kv_call call, json_t *args, struct kv_buf *target,
                            struct kv_buf *body)
{
    struct kv_err err;
    kv_buf_init(target, 2048);
    kv_buf_init(body, KV_CALL_BODY_MAX);
    enum kv_code code = kv_api_lay_out(call, args, target, body, &err);
    json_decref(args);
    return code;
}

static void arguments_go_into_path_query_and_body(void **state)
{
    (void)state;
    static const struct {
        enum kv_call call;
        const char *args, *target, *body;
    } rows[] = {
        {KV_CALL_STATUS, "{}", "/v1/status", ""},
        {KV_CALL_REQUEST, "{\"id\":\"01KEBQGH006J9ATSEGBABKZVWC\"}",
         "/v1/requests/01KEBQGH006J9ATSEGBABKZVWC", ""},
        {KV_CALL_STATEMENT,
         "{\"id\":\"01KEBQGH006J9ATSEGBABKZVWC\",\"key\":\"ssh:SHA256:a/"
         "b+c\",\"decision\":\"deny\","
         "\"person\":\"fin-01\"}",
         "/v1/requests/01KEBQGH006J9ATSEGBABKZVWC/"
         "statement?key=ssh%3ASHA256%3Aa%2Fb%2Bc&decision=deny&person=fin-01",
         ""},
        {KV_CALL_RECORDS, "{\"from\":4,\"count\":2}", "/v1/records?from=4&count=2", ""},
        {KV_CALL_SESSION_OPEN, "{\"context\":\"Nip:5265877635\"}", "/v1/sessions",
         "{\"context\":\"Nip:5265877635\"}"},
        {KV_CALL_SELF_SIGN,
         "{\"id\":\"a\",\"subject\":\"seal\",\"commonName\":\"Żółw\",\"nip\":\"5265877635\"}",
         "/v1/credentials/a/self-sign",
         "{\"subject\":\"seal\",\"commonName\":\"Żółw\",\"nip\":\"5265877635\"}"},
        {KV_CALL_SLOT_UNLOCK, "{\"name\":\"main\"}", "/v1/slots/main/unlock", "{}"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_buf target, body;

        enum kv_code code =
            lay_out(rows[i].call, json_loads(rows[i].args, 0, NULL), &target, &body);

        assert_int_equal(code, KV_OK);
        assert_string_equal(kv_buf_str(&target), rows[i].target);
        assert_string_equal(kv_buf_str(&body), rows[i].body);
        kv_buf_clear(&target);
        kv_buf_clear(&body);
    }
}

static void what_does_not_fit_the_call_is_never_sent(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum kv_call call;
        enum kv_code want;
        const char *args;
    } rows[] = {
        {"unknown", KV_CALL_STATUS, KV_E_INPUT_FIELD, "{\"x\":1}"},
        {"unknown beside known", KV_CALL_REQUEST, KV_E_INPUT_FIELD, "{\"id\":\"a\",\"x\":1}"},
        {"missing", KV_CALL_REQUEST, KV_E_INPUT_MISSING, "{}"},
        {"missing in body", KV_CALL_SUBMIT, KV_E_INPUT_MISSING, "{\"signature\":\"s\"}"},
        {"number for text", KV_CALL_REQUEST, KV_E_INPUT_TYPE, "{\"id\":1}"},
        {"text for number", KV_CALL_RECORDS, KV_E_INPUT_TYPE, "{\"from\":\"1\"}"},
        {"object for array", KV_CALL_SUBMIT, KV_E_INPUT_TYPE, "{\"text\":\"t\",\"private\":{}}"},
        {"null", KV_CALL_REQUEST, KV_E_INPUT_TYPE, "{\"id\":null}"},
        {"negative", KV_CALL_RECORDS, KV_E_INPUT_VALUE, "{\"from\":-1}"},
        {"too large", KV_CALL_RECORDS, KV_E_INPUT_VALUE, "{\"count\":257}"},
        {"too long", KV_CALL_REQUEST, KV_E_INPUT_TOO_LARGE,
         "{\"id\":\"01KEBQGH006J9ATSEGBABKZVWCX\"}"},
        {"too many", KV_CALL_SUBMIT, KV_E_INPUT_TOO_LARGE,
         "{\"text\":\"t\",\"private\":[1,2,3,4,5,6,7,8,9]}"},
        {"empty segment", KV_CALL_REQUEST, KV_E_INPUT_VALUE, "{\"id\":\"\"}"},
        {"two segments", KV_CALL_REQUEST, KV_E_INPUT_VALUE, "{\"id\":\"a/statement\"}"},
        {"parent", KV_CALL_REQUEST, KV_E_INPUT_VALUE, "{\"id\":\"..\"}"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_buf target, body;

        enum kv_code code =
            lay_out(rows[i].call, json_loads(rows[i].args, 0, NULL), &target, &body);

        if (code != rows[i].want) {
            fail_msg("%s: %s", rows[i].name, kv_code_word(code));
        }
        kv_buf_clear(&target);
        kv_buf_clear(&body);
    }
}

static void no_argument_can_leave_its_place_in_the_path(void **state)
{
    (void)state;
    struct kv_buf target, body;

    enum kv_code code =
        lay_out(KV_CALL_REQUEST, json_pack("{s:s}", "id", "a?b#c%d e\n"), &target, &body);

    assert_int_equal(code, KV_OK);
    assert_string_equal(kv_buf_str(&target), "/v1/requests/a%3Fb%23c%25d%20e%0A");
    kv_buf_clear(&target);
    kv_buf_clear(&body);
}

static void the_largest_texts_fit_one_call(void **state)
{
    (void)state;
    static char text[16385];
    static char armour[8193];
    struct kv_buf target, body;
    memset(text, 'a', 16384);
    text[16384] = '\0';
    memset(armour, 'b', 8192);
    armour[8192] = '\0';

    enum kv_code code =
        lay_out(KV_CALL_SUBMIT,
                json_pack("{s:s,s:s,s:s}", "text", text, "signature", armour, "policy", text),
                &target, &body);

    assert_int_equal(code, KV_OK);
    kv_buf_clear(&target);
    kv_buf_clear(&body);
}

static void a_problem_gives_the_agents_code_and_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum kv_code want;
        const char *msg;
    } rows[] = {
        {"{\"code\":\"policy.no-grant\",\"detail\":\"no grant for x\"}", KV_E_NO_GRANT,
         "no grant for x"},
        {"{\"code\":\"policy.no-grant\"}", KV_E_NO_GRANT,
         "No grant lets this integration do this."},
        {"{\"code\":\"policy.no-grant\",\"detail\":7}", KV_E_NO_GRANT,
         "No grant lets this integration do this."},
        {"{\"code\":\"of.the-future\",\"detail\":\"x\"}", KV_E_PROTOCOL,
         "the answer has HTTP status 403 and no error code of this version"},
        {"{\"code\":\"ok\"}", KV_E_PROTOCOL,
         "the answer has HTTP status 403 and no error code of this version"},
        {"{}", KV_E_PROTOCOL, "the answer has HTTP status 403 and no error code of this version"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_err err;
        json_t *body = json_loads(rows[i].body, 0, NULL);

        enum kv_code code = kv_api_problem(body, 403, &err);

        assert_int_equal(code, rows[i].want);
        assert_string_equal(err.msg, rows[i].msg);
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_go_into_path_query_and_body),
        cmocka_unit_test(what_does_not_fit_the_call_is_never_sent),
        cmocka_unit_test(no_argument_can_leave_its_place_in_the_path),
        cmocka_unit_test(the_largest_texts_fit_one_call),
        cmocka_unit_test(a_problem_gives_the_agents_code_and_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
