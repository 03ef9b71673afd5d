#include "tests/unit/kv_test.h"

#include "policy/word.h"

/* Every value but zero has a word that only it has; zero and unknown words do not parse. */
#define WORD_TEST(type, name, count)                                                               \
    static void every_##name##_is_read_as_it_is_written(void **state)                              \
    {                                                                                              \
        (void)state;                                                                               \
        enum type value;                                                                           \
        for (int i = 1; i < (count); i++) {                                                        \
            const char *word = kv_##name##_word((enum type)i);                                     \
            assert_true(word[0] != '\0');                                                          \
            assert_true(kv_##name##_parse(kv_bytes_str(word), &value));                            \
            assert_int_equal(value, i);                                                            \
        }                                                                                          \
        assert_string_equal(kv_##name##_word((enum type)0), "");                                   \
        assert_false(kv_##name##_parse(KV_BYTES_NULL, &value));                                    \
        assert_false(kv_##name##_parse(kv_bytes_str("nonsense"), &value));                         \
        assert_false(kv_##name##_parse(kv_bytes_str("Finance"), &value));                          \
    }

WORD_TEST(kv_duty, duty, KV_DUTY_COUNT)
WORD_TEST(kv_seat, seat, KV_SEAT_COUNT)
WORD_TEST(kv_decision, decision, KV_DECISION_COUNT)
WORD_TEST(kv_class, class, KV_CLASS_COUNT)
WORD_TEST(kv_cred_kind, cred_kind, KV_CRED_COUNT)
WORD_TEST(kv_key_type, key_type, KV_KEY_TYPE_COUNT)
WORD_TEST(kv_environment, environment, KV_ENVIRONMENT_COUNT)
WORD_TEST(kv_lang, lang, KV_LANG_COUNT)
WORD_TEST(kv_action, action, KV_ACTION_COUNT)
WORD_TEST(kv_act, act, KV_ACT_COUNT)
WORD_TEST(kv_noun, noun, KV_NOUN_COUNT)

static void only_finance_and_custodians_fill_seats(void **state)
{
    (void)state;
    assert_int_equal(kv_seat_duty(KV_SEAT_FINANCE), KV_DUTY_FINANCE);
    assert_int_equal(kv_seat_duty(KV_SEAT_CUSTODIAN), KV_DUTY_CUSTODIAN);
    assert_int_equal(kv_seat_duty(KV_SEAT_NONE), KV_DUTY_UNKNOWN);
    enum kv_seat seat;
    assert_false(kv_seat_parse(kv_bytes_str("auditor"), &seat));
    assert_false(kv_seat_parse(kv_bytes_str("-"), &seat));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duty_is_read_as_it_is_written),
        cmocka_unit_test(every_seat_is_read_as_it_is_written),
        cmocka_unit_test(every_decision_is_read_as_it_is_written),
        cmocka_unit_test(every_class_is_read_as_it_is_written),
        cmocka_unit_test(every_cred_kind_is_read_as_it_is_written),
        cmocka_unit_test(every_key_type_is_read_as_it_is_written),
        cmocka_unit_test(every_environment_is_read_as_it_is_written),
        cmocka_unit_test(every_lang_is_read_as_it_is_written),
        cmocka_unit_test(every_action_is_read_as_it_is_written),
        cmocka_unit_test(every_act_is_read_as_it_is_written),
        cmocka_unit_test(every_noun_is_read_as_it_is_written),
        cmocka_unit_test(only_finance_and_custodians_fill_seats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
