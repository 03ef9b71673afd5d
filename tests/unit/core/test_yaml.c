#include "core/yaml.h"

#include "tests/unit/kv_test.h"

struct inner {
    char *allowed;
};
struct outer {
    struct inner *ksef;
};
static const cyaml_schema_field_t inner_fields[] = {
    CYAML_FIELD_STRING_PTR("allowed", CYAML_FLAG_POINTER, struct inner, allowed, 1, 50),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t outer_fields[] = {
    CYAML_FIELD_MAPPING_PTR("ksef", CYAML_FLAG_POINTER, struct outer, ksef, inner_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct outer, outer_fields),
};

static void a_text_is_loaded(void **state)
{
    (void)state;
    struct kv_yaml_fault fault;
    void *data = NULL;
    assert_true(kv_yaml_load(kv_bytes_str("ksef: {allowed: x}\n"), &schema, &data, &fault));
    assert_string_equal(((struct outer *)data)->ksef->allowed, "x");
    kv_yaml_free(&schema, data);
}

static void an_empty_text_is_nothing(void **state)
{
    (void)state;
    struct kv_yaml_fault fault;
    void *data = &fault;
    assert_true(kv_yaml_load(KV_BYTES_NULL, &schema, &data, &fault));
    assert_null(data);
    kv_yaml_free(&schema, data);
}

static void a_fault_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what, *where;
    } rows[] = {
        {"ksef:\n  allowed: \"\"\n", "STRING length < 1", "'allowed' (line: 2"},
        {"ksef:\n  allowed: a\n  foo: 1\n", "Unexpected key: foo", "in mapping (line: 2"},
        {"ksef: {}\n", "Missing required mapping field: allowed", "(line: 1"},
        {"ksef: &a {allowed: x}\nother: *a\n", "", ""},
        {"ksef: [", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct kv_yaml_fault fault;
        void *data = NULL;
        assert_false(kv_yaml_load(kv_bytes_str(rows[i].text), &schema, &data, &fault));
        assert_null(data);
        assert_true(fault.what[0] != '\0');
        assert_non_null(strstr(fault.what, rows[i].what));
        assert_non_null(strstr(fault.where, rows[i].where));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_loaded),
        cmocka_unit_test(an_empty_text_is_nothing),
        cmocka_unit_test(a_fault_is_told_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
