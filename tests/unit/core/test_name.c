#include "core/name.h"

#include "tests/unit/kv_test.h"

#define B(s) kv_bytes_str(s)

static void ids_follow_their_grammar(void **state)
{
    (void)state;
    char longest[65];
    memset(longest, 'a', 64);
    longest[63] = '\0';
    assert_true(kv_id_valid(B(longest)));
    longest[63] = 'a';
    longest[64] = '\0';
    assert_false(kv_id_valid(B(longest)));
    static const char *const good[] = {"a", "0", "fin-01", "sap_fi.prod"};
    static const char *const bad[] = {"", "-a", ".a", "A", "a b", "a/b", "\xc4\x85"};
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        assert_true(kv_id_valid(B(good[i])));
    }
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_false(kv_id_valid(B(bad[i])));
    }
}

static void vault_names_have_two_parts(void **state)
{
    (void)state;
    assert_true(kv_vault_valid(B("ksef-vault.example.com/nip-5265877635")));
    assert_false(kv_vault_valid(B("ksef-vault.example.com")));
    assert_false(kv_vault_valid(B("/x")));
    assert_false(kv_vault_valid(B("x/")));
    assert_false(kv_vault_valid(B("x/y/z")));
    assert_false(kv_vault_valid(B("X/y")));
    assert_true(kv_vault_is_test(B("x/test-1")));
    assert_false(kv_vault_is_test(B("test-x/y")));
    assert_false(kv_vault_is_test(B("x/tes")));
}

static void ulids_sort_by_time_and_are_checked(void **state)
{
    (void)state;
    char a[KV_ULID_LEN], b[KV_ULID_LEN];
    static const uint8_t random[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    kv_ulid_make(1767772800000, random, a);
    kv_ulid_make(1767772800001, random, b);
    assert_true(kv_ulid_valid(B(a)));
    assert_true(strcmp(a, b) < 0);
    assert_string_equal(a + 10, "ZZZZZZZZZZZZZZZZ");
    assert_false(kv_ulid_valid(B("81KEBQGH006J9ATSEGBABKZVWC")));
    assert_false(kv_ulid_valid(B("01KEBQGH006J9ATSEGBABKZVWI")));
    assert_false(kv_ulid_valid(B("01KEBQGH006J9ATSEGBABKZVW")));
}

static void nips_have_a_check_digit(void **state)
{
    (void)state;
    assert_true(kv_nip_valid(B("5265877635")));
    for (char c = '0'; c <= '9'; c++) {
        char nip[] = "5265877635";
        nip[9] = c;
        assert_int_equal(kv_nip_valid(B(nip)), c == '5');
    }
    assert_false(kv_nip_valid(B("526587763")));
    assert_false(kv_nip_valid(B("52658776350")));
    assert_false(kv_nip_valid(B("526587763x")));
}

static void contexts_of_all_types_are_told_from_bad_ones(void **state)
{
    (void)state;
    static const char *const good[] = {"Nip:5265877635", "InternalId:5265877635-12345",
                                       "NipVatUe:5265877635-DE123456789", "PeppolId:PPL123456"};
    static const struct {
        const char *text;
        enum kv_code want;
    } bad[] = {
        {"", KV_E_INPUT_VALUE},
        {"Nip", KV_E_INPUT_VALUE},
        {"nip:5265877635", KV_E_INPUT_VALUE},
        {"Nip:5265877634", KV_E_INPUT_NIP},
        {"Nip:52658776350", KV_E_INPUT_VALUE},
        {"InternalId:5265877635-1234", KV_E_INPUT_VALUE},
        {"InternalId:5265877634-12345", KV_E_INPUT_NIP},
        {"NipVatUe:5265877635-de1", KV_E_INPUT_VALUE},
        {"PeppolId:PP1234567", KV_E_INPUT_VALUE},
        {"PeppolId:APL123456", KV_E_INPUT_VALUE},
    };
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        struct kv_err err;
        struct kv_context context;
        assert_int_equal(kv_context_parse(B(good[i]), &context, &err), KV_OK);
        assert_int_equal(context.type, i);
    }
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        struct kv_err err;
        assert_int_equal(kv_context_parse(B(bad[i].text), NULL, &err), bad[i].want);
    }
}

static void operations_are_a_sorted_list_without_repeats(void **state)
{
    (void)state;
    uint32_t set = 0;
    char text[KV_OPS_LEN];
    assert_true(kv_ops_parse(B("auth.xades,session.open"), &set));
    kv_ops_format(set, text);
    assert_string_equal(text, "auth.xades,session.open");
    kv_ops_format(UINT32_MAX, text);
    assert_true(kv_ops_parse(B(text), &set));
    static const char *const bad[] = {"",
                                      ",",
                                      "auth.xades,",
                                      ",auth.xades",
                                      "session.open,auth.xades",
                                      "auth.xades,auth.xades",
                                      "auth.xades, session.open",
                                      "-",
                                      "auth"};
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_false(kv_ops_parse(B(bad[i]), &set));
    }
}

static void approval_keys_are_fingerprints(void **state)
{
    (void)state;
    assert_true(kv_approval_key_valid(B("ssh:SHA256:fulVT3THb3iK4l2yWKEod8oXsAntymuTZezYSr5lLGg")));
    assert_false(kv_approval_key_valid(B("SHA256:fulVT3THb3iK4l2yWKEod8oXsAntymuTZezYSr5lLGg")));
    assert_false(
        kv_approval_key_valid(B("ssh:SHA256:fulVT3THb3iK4l2yWKEod8oXsAntymuTZezYSr5lLGh")));
    assert_false(kv_approval_key_valid(B("ssh:SHA256:fulVT3THb3iK4l2yWKEod8oXsAntymuTZezYSr5lLG")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_follow_their_grammar),
        cmocka_unit_test(vault_names_have_two_parts),
        cmocka_unit_test(ulids_sort_by_time_and_are_checked),
        cmocka_unit_test(nips_have_a_check_digit),
        cmocka_unit_test(contexts_of_all_types_are_told_from_bad_ones),
        cmocka_unit_test(operations_are_a_sorted_list_without_repeats),
        cmocka_unit_test(approval_keys_are_fingerprints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
