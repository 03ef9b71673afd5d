#include "core/event.h"
#include "core/record.h"

#include "tests/unit/kv_test.h"

static void words_are_unique_and_found_again(void **state)
{
    (void)state;
    for (int i = 1; i < KV_EV_COUNT; i++) {
        enum kv_event found;
        assert_true(kv_event_parse(kv_bytes_str(kv_event_word((enum kv_event)i)), &found));
        assert_int_equal(found, i);
    }
    enum kv_event found;
    assert_false(kv_event_parse(kv_bytes_str("-"), &found));
    assert_false(kv_event_parse(kv_bytes_str("use.intents"), &found));
}

/* What takes away must never be strict: it would wait for a signature that may not come. */
static void what_takes_away_is_bounded(void **state)
{
    (void)state;
    static const enum kv_event takes[] = {KV_EV_DENY,
                                          KV_EV_REQUEST_WITHDRAW,
                                          KV_EV_REQUEST_LAPSE,
                                          KV_EV_PERSON_LEAVE,
                                          KV_EV_KEY_RETIRE,
                                          KV_EV_KEY_COMPROMISED,
                                          KV_EV_INTEG_SUSPEND,
                                          KV_EV_GRANT_SUSPEND,
                                          KV_EV_GRANT_REVOKE,
                                          KV_EV_GRANT_EXPIRE,
                                          KV_EV_USE_OUTCOME,
                                          KV_EV_USE_REFUSED,
                                          KV_EV_ALARM_SIGNER_DOWN};
    static const enum kv_event gives[] = {
        KV_EV_APPROVE,        KV_EV_PERSON_ENROL, KV_EV_KEY_ENROL,      KV_EV_POLICY_ACTIVATE,
        KV_EV_INTEG_REGISTER, KV_EV_INTEG_CHANGE, KV_EV_INTEG_RESUME,   KV_EV_CRED_CREATE,
        KV_EV_CRED_ACTIVATE,  KV_EV_CRED_IMPORT,  KV_EV_GRANT_ACTIVATE, KV_EV_GRANT_RESUME,
        KV_EV_VAULT_FOUND};
    for (size_t i = 0; i < KV_COUNT(takes); i++) {
        assert_int_equal(kv_event_row(takes[i])->class, KV_BOUNDED);
    }
    for (size_t i = 0; i < KV_COUNT(gives); i++) {
        assert_int_equal(kv_event_row(gives[i])->class, KV_STRICT);
    }
}

static void every_row_has_a_form(void **state)
{
    (void)state;
    for (int i = 1; i < KV_EV_COUNT; i++) {
        const struct kv_event_row *row = kv_event_row((enum kv_event)i);
        assert_true(row->forms[0].who != 0);
        assert_non_null(row->forms[0].docs);
        assert_int_equal(row->forms[0].required & row->forms[0].optional, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_unique_and_found_again),
        cmocka_unit_test(what_takes_away_is_bounded),
        cmocka_unit_test(every_row_has_a_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
