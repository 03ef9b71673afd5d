#include "tests/unit/kv_test.h"

#include "cli/out.h"
#include "cli/report.h"

#include <errno.h>
#include <stdlib.h>

static const struct cli_verb verb = {.noun = "grant", .verb = "list"};

/* What people read; owned by the caller. */
static char *report_of(const json_t *problem, const struct kv_err *err)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    assert_non_null(to);
    cli_report(problem, err, to);
    assert_int_equal(fclose(to), 0);
    return text;
}

static struct cli *with_verb(void)
{
    struct cli *cli = calloc(1, sizeof *cli);
    assert_non_null(cli);
    cli->verb = &verb;
    return cli;
}

static void an_error_that_is_found_here_has_the_form_of_the_agents(void **state)
{
    (void)state;
    struct cli *cli = with_verb();
    struct kv_err err;
    errno = ENOENT;
    assert_int_equal(KV_FAIL(&err, KV_E_UNREACHABLE, KV_ERRNO, "no agent at /run/\xff"),
                     KV_E_UNREACHABLE);

    json_t *problem = cli_problem(cli, &err);

    assert_string_equal(cli_str(problem, "code"), "agent.unreachable");
    assert_string_equal(cli_str(problem, "type"), "urn:ksefvault:error:agent.unreachable");
    assert_string_equal(cli_str(problem, "title"), kv_code_row(err.code)->what);
    assert_string_equal(cli_str(problem, "detail"),
                        "no agent at /run/? (No such file or directory)");
    assert_string_equal(cli_str(problem, "retry"), kv_retry_word(kv_code_row(err.code)->retry));
    assert_string_equal(cli_str(problem, "next"), kv_code_row(err.code)->next);
    json_decref(problem);
    free(cli);
}

static void a_cause_that_the_sentence_holds_is_not_said_twice(void **state)
{
    (void)state;
    struct cli *cli = with_verb();
    struct kv_err err;
    errno = ENOENT;
    assert_int_equal(KV_FAIL(&err, KV_E_CONFIG, KV_ERRNO, "cannot read x (%s)", strerror(errno)),
                     KV_E_CONFIG);

    json_t *problem = cli_problem(cli, &err);

    assert_string_equal(cli_str(problem, "detail"), "cannot read x (No such file or directory)");
    json_decref(problem);
    free(cli);
}

static void a_usage_error_points_to_the_help_of_the_command(void **state)
{
    (void)state;
    struct cli *cli = with_verb();
    struct kv_err err;
    assert_int_equal(KV_REFUSE(&err, KV_E_USAGE, "--rate takes a rate like 120/h, not '5'"),
                     KV_E_USAGE);

    json_t *problem = cli_problem(cli, &err);
    KV_CLEANUP(kv_freep) char *text = report_of(problem, &err);

    assert_string_equal(cli_str(problem, "next"), "ksefvault grant list --help");
    assert_string_equal(text, "ksefvault: --rate takes a rate like 120/h, not '5' [input.usage]\n"
                              "next: ksefvault grant list --help\n");
    json_decref(problem);
    free(cli);
}

static void the_agents_problem_is_told_as_it_is_with_who_and_when(void **state)
{
    (void)state;
    struct cli *cli = with_verb();
    struct kv_err err;
    assert_int_equal(KV_REFUSE(&err, KV_E_GRANT_RATE, "the rate is used up"), KV_E_GRANT_RATE);
    cli->problem = json_pack("{s:s,s:s,s:s,s:i}", "code", "policy.rate", "who", "fin-01", "next",
                             "Wait.", "retryAfter", 42);

    json_t *problem = cli_problem(cli, &err);
    KV_CLEANUP(kv_freep) char *text = report_of(problem, &err);

    assert_ptr_equal(problem, cli->problem);
    assert_string_equal(text, "ksefvault: the rate is used up [policy.rate]\nwho: fin-01\n"
                              "next: Wait. (in 42 s)\n");
    json_decref(problem);
    json_decref(cli->problem);
    free(cli);
}

static void a_problem_of_an_earlier_call_is_not_told_for_another_error(void **state)
{
    (void)state;
    struct cli *cli = with_verb();
    struct kv_err err;
    assert_int_equal(KV_REFUSE(&err, KV_E_NOT_FOUND, "there is no such file"), KV_E_NOT_FOUND);
    cli->problem = json_pack("{s:s,s:s}", "code", "policy.rate", "next", "Wait.");

    json_t *problem = cli_problem(cli, &err);

    assert_string_equal(cli_str(problem, "code"), "input.not-found");
    assert_string_equal(cli_str(problem, "detail"), "there is no such file");
    json_decref(problem);
    json_decref(cli->problem);
    free(cli);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_that_is_found_here_has_the_form_of_the_agents),
        cmocka_unit_test(a_cause_that_the_sentence_holds_is_not_said_twice),
        cmocka_unit_test(a_usage_error_points_to_the_help_of_the_command),
        cmocka_unit_test(the_agents_problem_is_told_as_it_is_with_who_and_when),
        cmocka_unit_test(a_problem_of_an_earlier_call_is_not_told_for_another_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
