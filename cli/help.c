/* --help, `ksefvault help`, --version: all from the one table of verbs. */
#include "cli/cli.h"
#include "cli/out.h"

static int usage_width(const struct cli_verb *verb)
{
    return (int)(strlen(verb->noun) + (verb->verb == NULL ? 0 : strlen(verb->verb) + 1));
}

static void print_summary(FILE *to, const struct cli_verb *verb)
{
    fprintf(to, "  %s%s%s%*s  %s\n", verb->noun, verb->verb == NULL ? "" : " ",
            verb->verb == NULL ? "" : verb->verb, 24 - usage_width(verb), "", verb->summary);
}

void cli_help_all(FILE *to)
{
    const char *noun = "";
    fputs("ksefvault keeps KSeF credentials in hardware and releases their use only to registered\n"
          "integrations, within what finance and IT have approved together.\n\n"
          "Usage: ksefvault COMMAND [OPTIONS] [OPERANDS]\n",
          to);
    const struct cli_verb *row;
    for (size_t i = 0; (row = cli_verb(i)) != NULL; i++) {
        if (i == 0 || (row->verb != NULL && strcmp(noun, row->noun) != 0)) {
            fputc('\n', to);
        }
        noun = row->noun;
        print_summary(to, row);
    }
    fputs(
        "\n`ksefvault COMMAND --help` explains one. Exit status: 0 done, 1 failed, 2 usage or bad "
        "input,\n3 refused, 4 waiting for approval, 5 agent unreachable or not serving, 6 try "
        "again later.\n",
        to);
}

void cli_help_noun(FILE *to, const char *noun)
{
    fprintf(to, "Usage: ksefvault %s VERB [OPTIONS] [OPERANDS]\n\n", noun);
    const struct cli_verb *row;
    for (size_t i = 0; (row = cli_verb(i)) != NULL; i++) {
        if (strcmp(row->noun, noun) == 0) {
            print_summary(to, row);
        }
    }
    fprintf(to, "\n`ksefvault %s VERB --help` explains one.\n", noun);
}

static void print_options(FILE *to, const struct cli_option *option)
{
    for (; option != NULL && option->name != NULL; option++) {
        int len = (int)strlen(option->name) + 2;
        fprintf(to, "  --%s", option->name);
        if (option->value != NULL) {
            fprintf(to, " %s", option->value);
            len += (int)strlen(option->value) + 1;
        }
        fprintf(to, "%*s%s%s\n", len < CLI_OPTION_WIDTH ? CLI_OPTION_WIDTH - len : 1, "",
                option->help,
                option->needs == CLI_REQUIRED ? " (required)"
                : option->needs == CLI_MANY   ? " (may be repeated)"
                                              : "");
    }
}

void cli_help_verb(FILE *to, const struct cli_verb *verb)
{
    fprintf(to, "Usage: ksefvault %s%s%s [OPTIONS]%s%s\n\n%s\n", verb->noun,
            verb->verb == NULL ? "" : " ", verb->verb == NULL ? "" : verb->verb,
            verb->operands == NULL ? "" : " ", verb->operands == NULL ? "" : verb->operands,
            verb->summary);
    if (verb->more != NULL) {
        fprintf(to, "%s\n", verb->more);
    }
    fputs("\nOptions:\n", to);
    print_options(to, verb->options);
    print_options(to, verb->shared);
    print_options(to, cli_global_options);
    if (verb->examples != NULL) {
        fprintf(to, "\nExamples:\n%s", verb->examples);
    }
}

enum kv_code cli_run_help(struct cli *cli, struct kv_err *err)
{
    const char *noun = cli_operand(cli, 0);
    const char *verb = cli_operand(cli, 1);
    const struct cli_verb *of_noun = NULL;
    if (noun == NULL) {
        cli_help_all(stdout);
        return KV_OK;
    }
    const struct cli_verb *row;
    for (size_t i = 0; (row = cli_verb(i)) != NULL; i++) {
        if (strcmp(row->noun, noun) != 0) {
            continue;
        }
        of_noun = row;
        if (row->verb == NULL || (verb != NULL && strcmp(row->verb, verb) == 0)) {
            cli_help_verb(stdout, row);
            return KV_OK;
        }
    }
    if (of_noun == NULL || verb != NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "'%.40s%s%.40s' is no command; see `ksefvault help`",
                         noun, verb == NULL ? "" : " ", verb == NULL ? "" : verb);
    }
    cli_help_noun(stdout, noun);
    return KV_OK;
}

enum kv_code cli_run_version(struct cli *cli, struct kv_err *err)
{
    (void)cli;
    (void)err;
    cli_say("ksefvault %s\nsandbox: %s\n", KV_VERSION,
            KV_SANDBOX ? "on" : "off (built for tests, not for use)");
    return KV_OK;
}
