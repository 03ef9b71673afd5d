#include "tests/unit/kv_test.h"

#include "ksef/call.h"

static const char reference[] = "20250625-AU-2FDC223000-C2BFC98A9C-4E";

static void every_call_has_its_path(void **state)
{
    (void)state;
    static const struct {
        enum kv_ksef_call call;
        const char *method, *path;
    } cases[] = {
        {KV_KSEF_CHALLENGE, "POST", "/auth/challenge"},
        {KV_KSEF_XADES, "POST", "/auth/xades-signature"},
        {KV_KSEF_TOKEN_LOGIN, "POST", "/auth/ksef-token"},
        {KV_KSEF_KEYS, "GET", "/security/public-key-certificates"},
        {KV_KSEF_STATUS, "GET", "/auth/20250625-AU-2FDC223000-C2BFC98A9C-4E"},
        {KV_KSEF_REDEEM, "POST", "/auth/token/redeem"},
        {KV_KSEF_REFRESH, "POST", "/auth/token/refresh"},
        {KV_KSEF_SESSION_CURRENT, "DELETE", "/auth/sessions/current"},
        {KV_KSEF_SESSION_END, "DELETE", "/auth/sessions/20250625-AU-2FDC223000-C2BFC98A9C-4E"},
        {KV_KSEF_SESSIONS, "GET", "/auth/sessions?pageSize=100"},
    };
    _Static_assert(KV_COUNT(cases) == KV_KSEF_CALL_COUNT, "every call");
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        const struct kv_ksef_call_row *row = kv_ksef_call_row(cases[i].call);
        struct kv_buf path;
        kv_buf_init(&path, 128);

        assert_int_equal(kv_ksef_call_path(cases[i].call,
                                           row->reference ? kv_bytes_str(reference) : KV_BYTES_NULL,
                                           &path, NULL),
                         KV_OK);

        assert_string_equal(row->method, cases[i].method);
        assert_string_equal(kv_buf_str(&path), cases[i].path);
        kv_buf_clear(&path);
    }
}

static void a_path_is_made_of_nothing_but_a_reference_number(void **state)
{
    (void)state;
    static const struct {
        enum kv_ksef_call call;
        const char *reference;
    } cases[] = {
        {KV_KSEF_STATUS, ""},
        {KV_KSEF_STATUS, "challenge"},
        {KV_KSEF_STATUS, "20250625-AU-2FDC223000-C2BFC98A9C-4"},
        {KV_KSEF_STATUS, "20250625-AU-2FDC223000-C2BFC98A9C-4E0"},
        {KV_KSEF_STATUS, "20250625-au-2FDC223000-C2BFC98A9C-4E"},
        {KV_KSEF_STATUS, "20250625-A1-2FDC223000-C2BFC98A9C-4E"},
        {KV_KSEF_STATUS, "2025062A-AU-2FDC223000-C2BFC98A9C-4E"},
        {KV_KSEF_STATUS, "20250625-AU-2FDC22300G-C2BFC98A9C-4E"},
        {KV_KSEF_STATUS, "20250625/AU-2FDC223000-C2BFC98A9C-4E"},
        {KV_KSEF_SESSION_END, "current"},
        {KV_KSEF_CHALLENGE, reference},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_buf path;
        kv_buf_init(&path, 128);
        assert_int_equal(
            kv_ksef_call_path(cases[i].call, kv_bytes_str(cases[i].reference), &path, NULL),
            KV_E_INPUT_VALUE);
        assert_int_equal(path.len, 0);
        kv_buf_clear(&path);
    }
}

static void only_calls_that_can_be_repeated_may_be(void **state)
{
    (void)state;
    assert_true(kv_ksef_call_row(KV_KSEF_REDEEM)->single_use);
    assert_true(kv_ksef_call_row(KV_KSEF_XADES)->single_use);
    assert_false(kv_ksef_call_row(KV_KSEF_STATUS)->single_use);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_has_its_path),
        cmocka_unit_test(a_path_is_made_of_nothing_but_a_reference_number),
        cmocka_unit_test(only_calls_that_can_be_repeated_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
