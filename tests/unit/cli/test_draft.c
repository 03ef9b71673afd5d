#include "tests/unit/kv_test.h"

#include "cli/draft.h"
#include "cli/out.h"
#include "ledger/side.h"

#include <stdlib.h>

static const int64_t noon_ms = 1767787200 * KV_SECOND_MS; /* 2026-01-07T12:00:00Z */

/* A command line of these options; NULL ends them. */
static struct cli *with(const char *const *options)
{
    struct cli *cli = calloc(1, sizeof *cli);
    assert_non_null(cli);
    for (size_t i = 0; options[i] != NULL; i += 2) {
        cli->values[cli->value_count++] = (struct cli_value){options[i], options[i + 1]};
    }
    return cli;
}

static struct kv_bytes line_of(const struct cli_draft *draft, enum kv_key key)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (draft->lines[i].key == key) {
            return draft->lines[i].value;
        }
    }
    return KV_BYTES_NULL;
}

static void lists_are_sorted_bytewise_and_say_things_once(void **state)
{
    (void)state;
    static const struct {
        const char *options[12];
        const char *want;
    } rows[] = {
        {{"operation", "session.open", "operation", "auth.xades", NULL}, "auth.xades,session.open"},
        {{"operation", "session.open,auth.xades", NULL}, "auth.xades,session.open"},
        {{"operation", "a", "operation", "a", "operation", "b,a", NULL}, "a,b"},
        {{"operation", "a", NULL}, "a"},
        {{"other", "a", NULL}, "-"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct cli *cli = with(rows[i].options);
        KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();

        cli_draft_list(draft, cli, KV_KEY_BUSINESS_DUTIES, "operation");

        assert_true(kv_bytes_is(line_of(draft, KV_KEY_BUSINESS_DUTIES), rows[i].want));
        assert_int_equal(draft->failure.code, KV_OK);
        free(cli);
    }
}

static void a_word_without_the_form_of_its_line_is_refused_by_its_option(void **state)
{
    (void)state;
    static const struct {
        const char *options[4];
        enum kv_key key;
        bool list;
        enum kv_code code;
        const char *says;
    } rows[] = {
        {{"rate", "5"}, KV_KEY_RATE, false, KV_E_USAGE, "--rate '5' is not a rate like 120/h"},
        {{"kind", "auth"}, KV_KEY_KIND, false, KV_E_USAGE, "auth-certificate or offline-"},
        {{"duty", "boss"}, KV_KEY_DUTY, false, KV_E_USAGE, ": -, finance, custodian, auditor, "},
        {{"context", "Nip:5265877636"}, KV_KEY_CONTEXTS, true, KV_E_INPUT_NIP, "--context 'Nip:"},
        {{"context", "Nip:5265877636"}, KV_KEY_CONTEXT, false, KV_E_INPUT_NIP, "--context 'Nip:"},
        {{"context", "5265877635"}, KV_KEY_CONTEXTS, true, KV_E_USAGE, "like Nip:5265877635"},
        {{"operation", "session.open,foo"},
         KV_KEY_OPERATIONS,
         true,
         KV_E_USAGE,
         "--operation 'foo' is no operation: auth.token, auth.xades, "},
        {{"business-duties", "Sales"}, KV_KEY_BUSINESS_DUTIES, true, KV_E_USAGE, "is not an id"},
        {{"rate", "120/h"}, KV_KEY_RATE, false, KV_OK, ""},
        {{"context", "Nip:5265877635"}, KV_KEY_CONTEXTS, true, KV_OK, ""},
        {{"duty", "-"}, KV_KEY_DUTY, false, KV_OK, ""},
        {{"operation", "-"}, KV_KEY_OPERATIONS, true, KV_OK, ""},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct cli *cli = with(rows[i].options);
        KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();

        (rows[i].list ? cli_draft_list : cli_draft_option)(draft, cli, rows[i].key,
                                                           rows[i].options[0]);

        assert_int_equal(draft->failure.code, rows[i].code);
        assert_non_null(strstr(draft->failure.msg, rows[i].says));
        free(cli);
    }
}

static void an_operand_that_is_no_id_is_refused(void **state)
{
    (void)state;
    struct cli *cli = calloc(1, sizeof *cli);
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();
    assert_non_null(cli);
    cli->values[cli->value_count++] = (struct cli_value){NULL, "Not An Id"};

    cli_draft_operand(draft, cli, KV_KEY_CREDENTIAL);

    assert_int_equal(draft->failure.code, KV_E_USAGE);
    assert_non_null(strstr(draft->failure.msg, "credential 'Not An Id' is not an id"));
    free(cli);
}

static void an_act_on_what_is_no_id_is_refused_before_anything_is_asked(void **state)
{
    (void)state;
    static const struct {
        const char *noun, *says;
    } rows[] = {{"key", "'nope!' is no id of a key: ssh:SHA256:"},
                {"grant", "'nope!' is no id of a grant: 26 "},
                {"person", "'nope!' is no id of a person: [a-z0-9]"}};
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct cli *cli = calloc(1, sizeof *cli);
        struct cli_draft *draft = NULL;
        struct kv_err err;
        assert_non_null(cli);

        assert_int_equal(cli_act(cli, KV_ACT_SUSPEND, rows[i].noun, "nope!", &draft, &err),
                         KV_E_USAGE);

        assert_null(draft);
        assert_non_null(strstr(err.msg, rows[i].says));
        free(cli);
    }
}

static void a_list_that_is_too_long_fails_when_the_text_is_made(void **state)
{
    (void)state;
    char value[256];
    static const char *options[] = {"operation", NULL, NULL};
    memset(value, ',', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    options[1] = value;
    struct cli *cli = with(options);
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();
    struct kv_err err;

    cli_draft_list(draft, cli, KV_KEY_OPERATIONS, "operation");

    assert_int_equal(cli_deliver(cli, draft, &err), KV_E_LIMIT);
    free(cli);
}

static void a_commitment_is_opened_by_its_row(void **state)
{
    (void)state;
    static const char *const options[] = {"reason", "Invoices of March", NULL};
    struct cli *cli = with(options);
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();
    uint8_t salt[KV_SALT_LEN];
    struct kv_hash hash;
    size_t len;

    cli_draft_commit(draft, cli, KV_KEY_REASON_COMMITMENT, "reason", "reason");

    const json_t *row = json_array_get(draft->private, 0);
    assert_string_equal(cli_str(row, "field"), "reason");
    assert_string_equal(cli_str(row, "value"), "Invoices of March");
    assert_true(kv_base64_decode(kv_bytes_str(cli_str(row, "salt")), salt, sizeof salt, &len));
    assert_int_equal(len, KV_SALT_LEN);
    assert_true(kv_hash_from_base64(line_of(draft, KV_KEY_REASON_COMMITMENT), &hash));
    struct kv_hash made = kv_commitment(salt, kv_bytes_str("Invoices of March"));
    assert_true(kv_hash_equal(&made, &hash));
    free(cli);
}

static void the_same_reason_has_another_commitment_each_time(void **state)
{
    (void)state;
    static const char *const options[] = {"reason", "x", NULL};
    struct cli *cli = with(options);
    KV_CLEANUP(cli_draft_freep) struct cli_draft *one = cli_draft_new();
    KV_CLEANUP(cli_draft_freep) struct cli_draft *two = cli_draft_new();

    cli_draft_commit(one, cli, KV_KEY_REASON_COMMITMENT, "reason", "reason");
    cli_draft_commit(two, cli, KV_KEY_REASON_COMMITMENT, "reason", "reason");

    assert_false(kv_bytes_equal(line_of(one, KV_KEY_REASON_COMMITMENT),
                                line_of(two, KV_KEY_REASON_COMMITMENT)));
    free(cli);
}

static void the_window_follows_from_its_options(void **state)
{
    (void)state;
    static const struct {
        const char *options[8];
        const char *from, *until;
    } rows[] = {
        {{NULL}, "2026-01-07T12:00:00Z", "2026-04-07T12:00:00Z"},
        {{"days", "1", NULL}, "2026-01-07T12:00:00Z", "2026-01-08T12:00:00Z"},
        {{"hours", "2", NULL}, "2026-01-07T12:00:00Z", "2026-01-07T14:00:00Z"},
        {{"seconds", "12", NULL}, "2026-01-07T12:00:00Z", "2026-01-07T12:00:12Z"},
        {{"not-after", "2026-02-01T00:00:00Z", NULL},
         "2026-01-07T12:00:00Z",
         "2026-02-01T00:00:00Z"},
        {{"not-before", "2026-01-10T00:00:00Z", "days", "1", NULL},
         "2026-01-10T00:00:00Z",
         "2026-01-11T00:00:00Z"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct cli *cli = with(rows[i].options);
        KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();
        struct kv_err err;
        draft->now_ms = noon_ms;

        assert_int_equal(cli_draft_window(cli, draft, 90 * KV_DAY_MS, &err), KV_OK);

        assert_true(kv_bytes_is(line_of(draft, KV_KEY_NOT_BEFORE), rows[i].from));
        assert_true(kv_bytes_is(line_of(draft, KV_KEY_NOT_AFTER), rows[i].until));
        free(cli);
    }
}

static void a_window_that_is_said_twice_or_badly_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][5] = {
        {"days", "1", "hours", "1", NULL},
        {"days", "1", "not-after", "2026-02-01T00:00:00Z", NULL},
        {"days", "0", NULL},
        {"days", "367", NULL},
        {"days", "1.5", NULL},
        {"not-after", "2026-02-01", NULL},
        {"not-after", "2026-02-30T00:00:00Z", NULL},
        {"not-before", "2026-02-01T00:00:00", NULL},
        {"not-before", "tomorrow", NULL},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct cli *cli = with(rows[i]);
        KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = cli_draft_new();
        struct kv_err err;
        draft->now_ms = noon_ms;

        assert_int_equal(cli_draft_window(cli, draft, KV_DAY_MS, &err), KV_E_USAGE);

        assert_int_equal(draft->count, 0);
        free(cli);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_sorted_bytewise_and_say_things_once),
        cmocka_unit_test(a_word_without_the_form_of_its_line_is_refused_by_its_option),
        cmocka_unit_test(an_operand_that_is_no_id_is_refused),
        cmocka_unit_test(an_act_on_what_is_no_id_is_refused_before_anything_is_asked),
        cmocka_unit_test(a_list_that_is_too_long_fails_when_the_text_is_made),
        cmocka_unit_test(a_commitment_is_opened_by_its_row),
        cmocka_unit_test(the_same_reason_has_another_commitment_each_time),
        cmocka_unit_test(the_window_follows_from_its_options),
        cmocka_unit_test(a_window_that_is_said_twice_or_badly_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
