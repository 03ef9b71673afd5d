#include "core/code.h"

#include "tests/unit/kv_test.h"

#include <ctype.h>

static void every_code_has_a_word_of_two_parts_and_sentences(void **state)
{
    (void)state;
    for (int i = 1; i < KV_CODE_COUNT; i++) {
        const struct kv_code_row *row = kv_code_row((enum kv_code)i);
        const char *dot = strchr(row->word, '.');
        assert_non_null(dot);
        assert_null(strchr(dot + 1, '.'));
        for (const char *c = row->word; *c != '\0'; c++) {
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '.' ||
                        *c == '-');
        }
        assert_true(row->what[strlen(row->what) - 1] == '.');
        assert_true(row->next[strlen(row->next) - 1] == '.');
        assert_true(row->http >= 200 && row->http < 600);
    }
}

static void words_are_unique_and_found_again(void **state)
{
    (void)state;
    for (int i = 0; i < KV_CODE_COUNT; i++) {
        enum kv_code found;
        assert_true(kv_code_from_word(kv_code_word((enum kv_code)i), &found));
        assert_int_equal(found, i);
    }
    enum kv_code found = KV_OK;
    assert_false(kv_code_from_word("no.such-code", &found));
    assert_int_equal(found, KV_OK);
}

static void a_number_outside_the_table_is_ok_s_row(void **state)
{
    (void)state;
    assert_string_equal(kv_code_word((enum kv_code)9999), "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_word_of_two_parts_and_sentences),
        cmocka_unit_test(words_are_unique_and_found_again),
        cmocka_unit_test(a_number_outside_the_table_is_ok_s_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
