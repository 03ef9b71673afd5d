/* Writes what is installed beside the program, from the table of verbs: `manual man` the page
 * ksefvault(1), `manual bash` the completion. Run by the build; not installed. */
#include "cli/cli.h"

/* Text for roff: a backslash and a leading dot or quote would be commands, a hyphen a hyphen. */
static void roff(const char *text)
{
    bool begins = true;
    for (; *text != '\0'; text++) {
        if (begins && (*text == '.' || *text == '\'')) {
            fputs("\\&", stdout);
        }
        if (*text == '\\') {
            fputs("\\e", stdout);
        } else if (*text == '-') {
            fputs("\\-", stdout);
        } else {
            putchar(*text);
        }
        begins = *text == '\n';
    }
}

static void man_options(const struct cli_option *option)
{
    for (; option != NULL && option->name != NULL; option++) {
        fputs(".TP\n\\fB\\-\\-", stdout);
        roff(option->name);
        fputs("\\fR", stdout);
        if (option->value != NULL) {
            fputs(" \\fI", stdout);
            roff(option->value);
            fputs("\\fR", stdout);
        }
        putchar('\n');
        roff(option->help);
        fputs(option->needs == CLI_REQUIRED ? " (required)\n"
              : option->needs == CLI_MANY   ? " (may be repeated)\n"
                                            : "\n",
              stdout);
    }
}

static void man_verb(const struct cli_verb *verb)
{
    printf(".SS \"ksefvault %s%s%s%s%s\"\n", verb->noun, verb->verb == NULL ? "" : " ",
           verb->verb == NULL ? "" : verb->verb, verb->operands == NULL ? "" : " ",
           verb->operands == NULL ? "" : verb->operands);
    roff(verb->summary);
    putchar('\n');
    if (verb->more != NULL) {
        roff(verb->more);
        putchar('\n');
    }
    man_options(verb->options);
    man_options(verb->shared);
    if (verb->examples != NULL) {
        fputs(".PP\n.nf\n", stdout);
        roff(verb->examples);
        fputs(".fi\n", stdout);
    }
}

static void write_man(void)
{
    const struct cli_verb *verb;
    printf(".TH KSEFVAULT 1 \"\" \"ksefvault %s\" \"User Commands\"\n", KV_VERSION);
    fputs(
        ".SH NAME\nksefvault \\- keep KSeF credentials in hardware, under approval by finance and "
        "IT\n.SH SYNOPSIS\n.B ksefvault\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIOPERANDS\\fR]\n"
        ".SH DESCRIPTION\nThe command line of the KSeF credential agent, \\fBksefvaultd\\fR(8). "
        "People read tables and\nsentences; programs use \\fB\\-\\-json\\fR. "
        "\\fBksefvault explain\\fR \\fICODE\\fR explains any error code.\n.SH COMMANDS\n",
        stdout);
    for (size_t i = 0; (verb = cli_verb(i)) != NULL; i++) {
        man_verb(verb);
    }
    fputs(".SH OPTIONS OF ALL COMMANDS\n", stdout);
    man_options(cli_global_options);
    fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 usage or bad input, 3 refused, 4 waiting for "
          "approval, 5 agent unreachable\nor not serving, 6 try again later. \\fBledger verify\\fR "
          "also 10 bad record or signature, 11 rollback,\n12 open intents, 13 approvals not "
          "sufficient.\n.SH FILES\n/etc/ksefvault/ksefvault.yaml, /run/ksefvault/agent.sock\n"
          ".SH SEE ALSO\n\\fBksefvaultd\\fR(8), \\fBksefvault.yaml\\fR(5)\n",
          stdout);
}

static void bash_options(const struct cli_option *option)
{
    for (; option != NULL && option->name != NULL; option++) {
        printf(" --%s", option->name);
    }
}

static void write_bash(void)
{
    const struct cli_verb *verb;
    const char *noun = "";
    fputs("# Completion of ksefvault for bash; made from its table of commands.\n"
          "_ksefvault() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
          "    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n",
          stdout);
    for (size_t i = 0; (verb = cli_verb(i)) != NULL; i++) {
        printf("    '%s '%s%s) words='", verb->noun, verb->verb == NULL ? "*" : "",
               verb->verb == NULL ? "" : verb->verb);
        bash_options(verb->options);
        bash_options(verb->shared);
        bash_options(cli_global_options);
        fputs("' ;;\n", stdout);
    }
    fputs("    esac\n    case $COMP_CWORD in\n    1) words='help", stdout);
    for (size_t i = 0; (verb = cli_verb(i)) != NULL; i++) {
        if (strcmp(noun, verb->noun) != 0) {
            printf(" %s", verb->noun);
        }
        noun = verb->noun;
    }
    fputs("' ;;\n    2)\n        case ${COMP_WORDS[1]} in\n", stdout);
    noun = "";
    for (size_t i = 0; (verb = cli_verb(i)) != NULL; i++) {
        if (verb->verb == NULL) {
            continue;
        }
        if (strcmp(noun, verb->noun) != 0) {
            printf("%s        %s) words='", noun[0] == '\0' ? "" : "' ;;\n", verb->noun);
        }
        printf(" %s", verb->verb);
        noun = verb->noun;
    }
    fputs("' ;;\n        esac\n        ;;\n    esac\n"
          "    if [[ $cur == -* || $COMP_CWORD -le 2 && -n $words ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
          "    else\n        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n    fi\n}\n"
          "complete -o filenames -F _ksefvault ksefvault\n",
          stdout);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "man") == 0) {
        write_man();
    } else if (argc == 2 && strcmp(argv[1], "bash") == 0) {
        write_bash();
    } else {
        return 2;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
