#include "tests/unit/kv_test.h"

#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 200

/* Split at spaces; the words live in `line`. */
static int split(char *line, char **words)
{
    int count = 0;
    char *rest = line;
    char *word;
    while ((word = strsep(&rest, " ")) != NULL) {
        assert_true(count < WORDS_MAX);
        words[count++] = word;
    }
    return count;
}

static enum kv_code read_line(struct cli *cli, char *line, struct kv_err *err)
{
    char *words[WORDS_MAX];
    int count = split(line, words);
    *cli = (struct cli){.verb = NULL};
    return cli_read(cli, count, words, err);
}

static void options_and_operands_are_found_wherever_they_stand(void **state)
{
    (void)state;
    struct cli *cli = calloc(1, sizeof *cli);
    struct kv_err err;
    char line[] = "--socket /s grant --json revoke --as=cus-01 01KEBQGH006J9ATSEGBABKZVWC --key k";

    assert_int_equal(read_line(cli, line, &err), KV_OK);

    assert_string_equal(cli->verb->noun, "grant");
    assert_string_equal(cli->verb->verb, "revoke");
    assert_string_equal(cli->socket_path, "/s");
    assert_true(cli->json);
    assert_string_equal(cli_get(cli, "as"), "cus-01");
    assert_string_equal(cli_get(cli, "key"), "k");
    assert_null(cli_get(cli, "reason"));
    assert_string_equal(cli_operand(cli, 0), "01KEBQGH006J9ATSEGBABKZVWC");
    assert_null(cli_operand(cli, 1));
    free(cli);
}

static void repeated_options_keep_their_order(void **state)
{
    (void)state;
    struct cli *cli = calloc(1, sizeof *cli);
    struct kv_err err;
    char line[] = "grant suspend G --operation a --as p --operation b --key k";

    assert_int_equal(read_line(cli, line, &err), KV_OK);

    assert_string_equal(cli_get_n(cli, "operation", 0), "a");
    assert_string_equal(cli_get_n(cli, "operation", 1), "b");
    assert_null(cli_get_n(cli, "operation", 2));
    free(cli);
}

static void behind_two_dashes_everything_is_an_operand(void **state)
{
    (void)state;
    struct cli *cli = calloc(1, sizeof *cli);
    struct kv_err err;
    char line[] = "submit -- --file";

    assert_int_equal(read_line(cli, line, &err), KV_OK);

    assert_string_equal(cli_operand(cli, 0), "--file");
    free(cli);
}

static void a_line_that_is_not_understood_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"nonsense", "is no command"},
        {"grant", "needs a verb"},
        {"grant nonsense", "is no command"},
        {"revoke", "is no command"},
        {"grant revoke", "--as PERSON is missing"},
        {"grant revoke --as p", "GRANT is missing"},
        {"grant revoke a b --as p", "one word too many"},
        {"grant revoke a --as", "needs a value"},
        {"grant revoke a --as=", "not empty"},
        {"grant revoke a --as p --as q", "given twice"},
        {"grant revoke a --as p --ass q", "there is no option --ass"},
        {"grant revoke a --as p --a q", "there is no option --a"},
        {"grant revoke a --as p -k", "options are long"},
        {"grant revoke a --as p --json=yes", "takes no value"},
        {"--operation x grant revoke a --as p", "there is no option --operation"},
        {"status extra", "one word too many"},
        {"--version status", "there is no option --version"},
        {"--json", "a command is missing"},
        {"submit", "FILE...|- is missing"},
    };
    struct cli *cli = calloc(1, sizeof *cli);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_err err;
        char line[128];
        assert_true(snprintf(line, sizeof line, "%s", rows[i].line) > 0);

        enum kv_code code = read_line(cli, line, &err);

        if (code != KV_E_USAGE || strstr(err.msg, rows[i].says) == NULL) {
            fail_msg("'%s': %s, %s", rows[i].line, kv_code_word(code),
                     code == KV_OK ? "" : err.msg);
        }
    }
    free(cli);
}

static void the_number_of_values_is_limited(void **state)
{
    (void)state;
    struct cli *cli = calloc(1, sizeof *cli);
    struct kv_err err;
    char *words[WORDS_MAX];
    char submit[] = "submit", file[] = "f";
    words[0] = submit;
    for (int i = 1; i < WORDS_MAX; i++) {
        words[i] = file;
    }

    assert_int_equal(cli_read(cli, CLI_VALUES_MAX + 1, words, &err), KV_OK);
    *cli = (struct cli){.verb = NULL};
    assert_int_equal(cli_read(cli, CLI_VALUES_MAX + 2, words, &err), KV_E_USAGE);
    free(cli);
}

static void help_wins_over_what_else_is_wrong(void **state)
{
    (void)state;
    static const char *const rows[] = {"--help", "grant --help", "grant revoke --help",
                                       "grant revoke --nonsense --help", "help grant"};
    struct cli *cli = calloc(1, sizeof *cli);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_err err;
        char line[64];
        assert_true(snprintf(line, sizeof line, "%s", rows[i]) > 0);

        assert_int_equal(read_line(cli, line, &err), KV_OK);

        assert_string_equal(cli->verb->noun, "help");
    }
    free(cli);
}

static void json_is_known_before_the_rest_of_the_line_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool json;
    } rows[] = {{"grant list --nonsense --json", true},
                {"--json nonsense", true},
                {"grant list --nonsense", false},
                {"nonsense -- --json", false}};
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct cli *cli = calloc(1, sizeof *cli);
        struct kv_err err;
        char line[64];
        (void)snprintf(line, sizeof line, "%s", rows[i].line);

        assert_int_equal(read_line(cli, line, &err), KV_E_USAGE);

        assert_int_equal(cli->json, rows[i].json);
        free(cli);
    }
}

static void numbers_are_read_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {"0",  "731", "-1",  "+1",
                                      "01", "1x",  "1.0", "99999999999999999999999"};
    struct cli *cli = calloc(1, sizeof *cli);
    struct kv_err err;
    uint64_t out = 7;
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        cli->values[0] = (struct cli_value){"days", bad[i]};
        cli->value_count = 1;
        assert_int_equal(cli_number(cli, "days", 1, 730, 5, &out, &err), KV_E_USAGE);
        assert_int_equal(out, 7);
    }
    cli->values[0].value = "730";
    assert_int_equal(cli_number(cli, "days", 1, 730, 5, &out, &err), KV_OK);
    assert_int_equal(out, 730);
    assert_int_equal(cli_number(cli, "hours", 1, 730, 5, &out, &err), KV_OK);
    assert_int_equal(out, 5);
    free(cli);
}

/* The table is the source of help and errors: each row must be complete. */
static void every_verb_can_be_explained(void **state)
{
    (void)state;
    const struct cli_verb *verb;
    for (size_t i = 0; (verb = cli_verb(i)) != NULL; i++) {
        const char *example = verb->examples == NULL ? "" : verb->examples;
        char start[64];
        assert_true(snprintf(start, sizeof start, "  ksefvault %s%s%s", verb->noun,
                             verb->verb == NULL ? "" : " ",
                             verb->verb == NULL ? "" : verb->verb) > 0);
        if (strncmp(example, start, strlen(start)) != 0 || verb->summary == NULL ||
            verb->run == NULL || (verb->operands == NULL) != (verb->operands_max == 0)) {
            fail_msg("%s: incomplete", start);
        }
        const struct cli_option *tables[] = {verb->options, verb->shared};
        for (size_t t = 0; t < KV_COUNT(tables); t++) {
            for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++) {
                if (o->help == NULL || (o->needs != CLI_OPTIONAL && o->value == NULL)) {
                    fail_msg("%s --%s: incomplete", start, o->name);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_are_found_wherever_they_stand),
        cmocka_unit_test(repeated_options_keep_their_order),
        cmocka_unit_test(behind_two_dashes_everything_is_an_operand),
        cmocka_unit_test(a_line_that_is_not_understood_is_refused),
        cmocka_unit_test(the_number_of_values_is_limited),
        cmocka_unit_test(help_wins_over_what_else_is_wrong),
        cmocka_unit_test(json_is_known_before_the_rest_of_the_line_is_understood),
        cmocka_unit_test(numbers_are_read_strictly),
        cmocka_unit_test(every_verb_can_be_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
