#include "tests/unit/kv_test.h"

#include "core/time.h"
#include "policy/sshsig.h"
#include "policy/statement.h"
#include "tests/unit/policy/vector.h"

/* What one text of the index is found to be by everything that needs no state: bytes, lines,
 * values, repetition, signature. */
static enum kv_code judge_text(const json_t *row, unsigned *line, struct kv_err *err)
{
    struct kv_bytes text = vector_read(vector_str(row, "text"));
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    enum kv_code code = kv_statement_parse(text, &st, line, err);
    const char *request = vector_str(row, "request");
    if (code == KV_OK && strcmp(request, "-") != 0) {
        struct kv_bytes recorded = vector_read(request);
        code = kv_statement_repeats(st, recorded, line, err);
        vector_free(recorded);
    }
    const char *sig = vector_str(row, "sig");
    if (code == KV_OK && strcmp(sig, "-") != 0) {
        enum kv_key named = KV_KEY_REQUESTER_KEY;
        if (kv_statement_type(st) == KV_STATEMENT_DECISION) {
            named = KV_KEY_APPROVER_KEY;
        } else if (kv_statement_type(st) == KV_STATEMENT_ACT) {
            named = KV_KEY_ACTOR_KEY;
        } else if (strcmp(vector_str(row, "signer"), "new-key") == 0) {
            named = KV_KEY_KEY;
        }
        struct kv_bytes armour = vector_read(sig);
        code = kv_sshsig_verify(text, armour, kv_statement_get(st, named), NULL, err);
        vector_free(armour);
    }
    vector_free(text);
    return code;
}

/* The code that a text of the index must have here: what needs counting is good for us, and a
 * signature by another than the new key is, without knowing that it should prove one,
 * signature.key.
 */
static const char *expected_code(const json_t *row)
{
    const char *expect = vector_str(row, "expect");
    if (strcmp(expect, "person.key-not-proven") == 0) {
        return "signature.key";
    }
    return strncmp(expect, "approval.", 9) == 0 || strncmp(expect, "person.", 7) == 0 ||
                   strncmp(expect, "vault.", 6) == 0 || strcmp(expect, "good") == 0
               ? "ok"
               : expect;
}

static void every_text_of_the_vectors_has_its_code_and_line(void **state)
{
    (void)state;
    json_t *index = vector_index();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(index, "texts"), i, row)
    {
        unsigned line = 0;
        struct kv_err err = {.code = KV_OK};
        enum kv_code code = judge_text(row, &line, &err);
        /* a number, or "-" */
        unsigned want_line = (unsigned)json_integer_value(json_object_get(row, "line"));
        const char *word = code == KV_OK ? "ok" : kv_code_word(code);
        if (strcmp(word, expected_code(row)) != 0 || line != want_line) {
            fail_msg("%s (%s): %s at line %u (%s), not %s at line %u", vector_str(row, "text"),
                     vector_str(row, "sig"), word, line, err.msg, expected_code(row), want_line);
        }
    }
    assert_int_equal(i, 105);
    json_decref(index);
}

static struct kv_statement *parse_vector(const char *name)
{
    struct kv_bytes text = vector_read(name);
    struct kv_statement *st = NULL;
    struct kv_err err;
    if (kv_statement_parse(text, &st, NULL, &err) != KV_OK) {
        fail_msg("%s: %s", name, err.msg);
    }
    vector_free(text);
    return st;
}

static void confirmation_codes_are_those_of_the_vectors(void **state)
{
    (void)state;
    json_t *index = vector_index();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(index, "codes"), i, row)
    {
        struct kv_statement *st = parse_vector(vector_str(row, "text"));
        struct kv_hash hash = kv_statement_sha256(st);
        char code[KV_CONFIRMATION_LEN];
        kv_confirmation_code(&hash, code);
        assert_string_equal(code, vector_str(row, "code"));
        kv_statement_free(st);
    }
    assert_true(i > 0);
    json_decref(index);
}

static void a_decision_gives_its_head_and_its_request(void **state)
{
    (void)state;
    struct kv_statement *st = parse_vector("good/grant/finance-fin-01.txt");
    const struct kv_statement *request = kv_statement_request(st);
    struct kv_bytes recorded = vector_read("good/grant/request.txt");
    assert_non_null(request);

    assert_int_equal(kv_statement_type(st), KV_STATEMENT_DECISION);
    assert_int_equal(kv_statement_action(st), KV_ACTION_GRANT);
    assert_int_equal(kv_statement_decision(st), KV_DECISION_APPROVE);
    assert_int_equal(kv_statement_seat(st), KV_SEAT_FINANCE);
    assert_true(kv_bytes_is(kv_statement_get(st, KV_KEY_APPROVER), "fin-01"));
    assert_int_equal(kv_statement_get(st, KV_KEY_CREDENTIAL).len, 0);
    assert_true(kv_bytes_equal(kv_statement_text(request), recorded));
    assert_true(kv_bytes_is(kv_statement_get(request, KV_KEY_CREDENTIAL), "ksef-auth-2026a"));
    assert_int_equal(kv_statement_ops(request), 1U << KV_OP_AUTH_XADES | 1U << KV_OP_SESSION_OPEN);
    int64_t decided, asked;
    assert_true(kv_statement_time(st, KV_KEY_ISSUED, &decided));
    assert_true(kv_statement_time(request, KV_KEY_ISSUED, &asked));
    assert_int_equal(decided - asked, 20 * KV_MINUTE_MS);
    uint64_t uses;
    assert_false(kv_statement_number(request, KV_KEY_MAX_USES, &uses));
    struct kv_rate rate;
    assert_true(kv_statement_rate(request, &rate));
    assert_int_equal(rate.count, 120);
    assert_int_equal(rate.per_ms, KV_HOUR_MS);
    struct kv_size_root checkpoint;
    assert_true(kv_statement_checkpoint(st, &checkpoint));
    assert_int_equal(checkpoint.size, 5);

    vector_free(recorded);
    kv_statement_free(st);
}

static void founders_and_requesters_are_read(void **state)
{
    (void)state;
    struct kv_statement *st = parse_vector("good/found.test/request.txt");
    struct kv_founder founder;
    struct kv_bytes id;

    assert_true(kv_statement_founder(st, 3, &founder));
    assert_true(kv_bytes_is(founder.id, "req-01"));
    assert_int_equal(founder.duty, KV_DUTY_NONE);
    assert_false(kv_statement_founder(st, 0, &founder));
    assert_false(kv_statement_founder(st, 4, &founder));
    assert_int_equal(kv_statement_requester(st, &id), KV_REQUESTER_PERSON);
    assert_true(kv_bytes_is(id, "req-01"));
    assert_true(kv_statement_yes(st, KV_KEY_TEST));
    assert_false(kv_statement_has(st, KV_KEY_REASON_COMMITMENT));
    kv_statement_free(st);

    st = parse_vector("good/emergency/request.txt");
    assert_int_equal(kv_statement_requester(st, &id), KV_REQUESTER_INTEGRATION);
    assert_true(kv_bytes_is(id, "sap-fi-prod"));
    kv_statement_free(st);

    st = parse_vector("good/found/request.txt");
    assert_int_equal(kv_statement_requester(st, &id), KV_REQUESTER_NOBODY);
    kv_statement_free(st);
}

static void an_act_names_its_target(void **state)
{
    (void)state;
    struct kv_statement *st = parse_vector("good/acts/revoke.txt");
    struct kv_target target;

    assert_int_equal(kv_statement_act(st), KV_ACT_REVOKE);
    assert_int_equal(kv_statement_action(st), KV_ACTION_NONE);
    assert_null(kv_statement_request(st));
    assert_true(kv_statement_target(st, &target));
    assert_int_equal(target.noun, KV_NOUN_GRANT);
    assert_true(kv_bytes_is(target.id, "01KEBQGH006J9ATSEGBABKZVWC"));
    kv_statement_free(st);
}

static void keys_are_read_both_ways(void **state)
{
    (void)state;
    for (int i = KV_KEY_NONE + 1; i < KV_KEY_COUNT; i++) {
        enum kv_key key;
        uint32_t n;
        char word[64];
        bool numbered = kv_key_numbered((enum kv_key)i);
        int len =
            snprintf(word, sizeof word, "%s%s", kv_key_word((enum kv_key)i), numbered ? "17" : "");
        assert_true(len > 0);
        assert_true(kv_key_parse(kv_bytes_str(word), &key, &n));
        assert_int_equal(key, i);
        assert_int_equal(n, numbered ? 17 : 0);
    }
    static const char *const bad[] = {"",          "-",        "person-", "person-0",
                                      "person-01", "person-x", "Vault",   "person-99999"};
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        enum kv_key key;
        uint32_t n;
        assert_false(kv_key_parse(kv_bytes_str(bad[i]), &key, &n));
    }
}

static void lists_are_searched_by_whole_elements(void **state)
{
    (void)state;
    struct kv_bytes list = kv_bytes_str("auth.token,auth.xades,session.open");
    assert_true(kv_list_has(list, kv_bytes_str("auth.token")));
    assert_true(kv_list_has(list, kv_bytes_str("session.open")));
    assert_false(kv_list_has(list, kv_bytes_str("auth")));
    assert_false(kv_list_has(list, kv_bytes_str("open")));
    assert_false(kv_list_has(list, kv_bytes_str("auth.token,auth.xades")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_of_the_vectors_has_its_code_and_line),
        cmocka_unit_test(confirmation_codes_are_those_of_the_vectors),
        cmocka_unit_test(a_decision_gives_its_head_and_its_request),
        cmocka_unit_test(founders_and_requesters_are_read),
        cmocka_unit_test(an_act_names_its_target),
        cmocka_unit_test(keys_are_read_both_ways),
        cmocka_unit_test(lists_are_searched_by_whole_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
