#include "core/call.h"

#include "tests/unit/kv_test.h"

static void every_call_routes_to_itself(void **state)
{
    (void)state;
    for (int i = 0; i < KV_CALL_COUNT; i++) {
        const struct kv_call_row *row = kv_call_row((enum kv_call)i);
        char path[128];
        size_t n = 0;
        for (const char *p = row->path; *p != '\0'; p++) {
            if (*p == '{') {
                path[n++] = 'x';
                p += strcspn(p, "}");
            } else {
                path[n++] = *p;
            }
        }
        path[n] = '\0';
        struct kv_buf args;
        struct kv_err err;
        enum kv_call found;
        kv_buf_init(&args, 1024);
        assert_int_equal(kv_call_route(row->method, path, &found, &args, &err), KV_OK);
        assert_int_equal(found, i);
        kv_buf_clear(&args);
    }
}

static void arguments_of_the_path_become_fields(void **state)
{
    (void)state;
    struct kv_buf args;
    struct kv_err err;
    struct kv_field field[KV_FIELDS_MAX];
    enum kv_call call;
    kv_buf_init(&args, 1024);
    assert_int_equal(
        kv_call_route("GET", "/v1/requests/01KEBQGH006J9ATSEGBABKZVWC", &call, &args, &err), KV_OK);
    assert_int_equal(call, KV_CALL_REQUEST);
    assert_int_equal(kv_message_read(kv_buf_bytes(&args), kv_call_row(call)->args, field, &err),
                     KV_OK);
    assert_true(kv_bytes_is(field[0].value, "01KEBQGH006J9ATSEGBABKZVWC"));
    kv_buf_clear(&args);
}

static void unknown_paths_and_methods_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        enum kv_code want;
    } rows[] = {
        {"GET", "/", KV_E_NOT_FOUND},
        {"GET", "/v1", KV_E_NOT_FOUND},
        {"GET", "/v1/status/", KV_E_NOT_FOUND},
        {"GET", "/v1/statusx", KV_E_NOT_FOUND},
        {"GET", "/v1/requests/", KV_E_NOT_FOUND},
        {"GET", "/v1/requests/a/b", KV_E_NOT_FOUND},
        {"POST", "/v1/status", KV_E_METHOD},
        {"DELETE", "/v1/sessions", KV_E_METHOD},
        {"get", "/v1/status", KV_E_METHOD},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_err err;
        struct kv_buf args;
        enum kv_call call = KV_CALL_COUNT;
        kv_buf_init(&args, 1024);
        assert_int_equal(kv_call_route(rows[i].method, rows[i].path, &call, &args, &err),
                         rows[i].want);
        assert_int_equal(call, KV_CALL_COUNT);
        kv_buf_clear(&args);
    }
}

static void an_argument_of_the_path_has_at_most_64_characters(void **state)
{
    (void)state;
    char path[128] = "/v1/records/";
    struct kv_buf args;
    struct kv_err err;
    enum kv_call call;
    kv_buf_init(&args, 1024);
    memset(path + 12, '1', 64);
    assert_int_equal(kv_call_route("GET", path, &call, &args, &err), KV_OK);
    path[12 + 64] = '1';
    assert_int_equal(kv_call_route("GET", path, &call, &args, &err), KV_E_NOT_FOUND);
    kv_buf_clear(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_routes_to_itself),
        cmocka_unit_test(arguments_of_the_path_become_fields),
        cmocka_unit_test(unknown_paths_and_methods_are_told_apart),
        cmocka_unit_test(an_argument_of_the_path_has_at_most_64_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
