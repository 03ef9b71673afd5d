/* The command line: `ksefvault [options] NOUN VERB [options] [operands]`, read against the table of
 * verbs. Only long options; `--` ends them. */
#include "cli/cli.h"

#include "core/parse.h"

const struct cli_option cli_global_options[] = {
    {"json", NULL, CLI_OPTIONAL, "print JSON for programs"},
    {"socket", "PATH", CLI_OPTIONAL, "the agent's socket (default: from the configuration)"},
    {"config", "PATH", CLI_OPTIONAL, "the configuration (default: " KV_CONFIG_PATH ")"},
    {"help", NULL, CLI_OPTIONAL, "explain the command"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_verb help_verb = {.noun = "help",
                                          .operands = "[NOUN [VERB]]",
                                          .operands_max = 2,
                                          .run = cli_run_help,
                                          .summary = "Explain ksefvault, a noun or a verb."};
static const struct cli_verb version_verb = {
    .noun = "--version", .run = cli_run_version, .summary = "Print the version."};

static const struct cli_option *find_in(const struct cli_option *options, const char *name,
                                        size_t len)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (strlen(options->name) == len && memcmp(options->name, name, len) == 0) {
            return options;
        }
    }
    return NULL;
}

static const struct cli_option *find_option(const struct cli_verb *verb, const char *name,
                                            size_t len)
{
    const struct cli_option *option = find_in(cli_global_options, name, len);
    if (option == NULL && verb != NULL) {
        option = find_in(verb->options, name, len);
        option = option == NULL ? find_in(verb->shared, name, len) : option;
    }
    return option;
}

const char *cli_get_n(const struct cli *cli, const char *name, size_t n)
{
    for (size_t i = 0; i < cli->value_count; i++) {
        const char *has = cli->values[i].name;
        bool same = name == NULL ? has == NULL : has != NULL && strcmp(has, name) == 0;
        if (same && n-- == 0) {
            return cli->values[i].value;
        }
    }
    return NULL;
}

const char *cli_get(const struct cli *cli, const char *name)
{
    return cli_get_n(cli, name, 0);
}

bool cli_flag(const struct cli *cli, const char *name)
{
    return cli_get_n(cli, name, 0) != NULL;
}

const char *cli_operand(const struct cli *cli, size_t n)
{
    return cli_get_n(cli, NULL, n);
}

enum kv_code cli_number(const struct cli *cli, const char *name, uint64_t min, uint64_t max,
                        uint64_t fallback, uint64_t *out, struct kv_err *err)
{
    const char *value = cli_get(cli, name);
    uint64_t number = fallback;
    if (value != NULL && (!kv_parse_u64(kv_bytes_str(value), max, &number) || number < min)) {
        return KV_REFUSE(err, KV_E_USAGE, "--%s takes a number from %llu to %llu, not '%.40s'",
                         name, (unsigned long long)min, (unsigned long long)max, value);
    }
    *out = number;
    return KV_OK;
}

static enum kv_code add_value(struct cli *cli, const char *name, const char *value,
                              struct kv_err *err)
{
    if (cli->value_count == CLI_VALUES_MAX) {
        return KV_REFUSE(err, KV_E_USAGE, "more than %d options and operands", CLI_VALUES_MAX);
    }
    cli->values[cli->value_count++] = (struct cli_value){name, value};
    return KV_OK;
}

/* `--name`, `--name VALUE`, `--name=VALUE` at argv[*at]. */
static enum kv_code read_option(struct cli *cli, int argc, char **argv, int *at, struct kv_err *err)
{
    const char *name = argv[*at] + 2;
    size_t len = strcspn(name, "=");
    const struct cli_option *option = find_option(cli->verb, name, len);
    if (option == NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "there is no option --%.*s here", (int)len, name);
    }
    if (option->value == NULL) {
        return name[len] == '\0' ? add_value(cli, option->name, "", err)
                                 : KV_REFUSE(err, KV_E_USAGE, "--%s takes no value", option->name);
    }
    if (option->needs != CLI_MANY && cli_flag(cli, option->name)) {
        return KV_REFUSE(err, KV_E_USAGE, "--%s is given twice", option->name);
    }
    const char *value = name + len + 1;
    if (name[len] == '\0') {
        if (*at + 1 >= argc) {
            return KV_REFUSE(err, KV_E_USAGE, "--%s needs a value: %s", option->name,
                             option->value);
        }
        value = argv[++*at];
    }
    if (value[0] == '\0') {
        return KV_REFUSE(err, KV_E_USAGE, "--%s needs a value that is not empty", option->name);
    }
    return add_value(cli, option->name, value, err);
}

/* A word that is no option: the noun, its verb, or an operand. */
static enum kv_code read_word(struct cli *cli, const char *word, const char **noun,
                              struct kv_err *err)
{
    if (cli->verb != NULL) {
        return add_value(cli, NULL, word, err);
    }
    if (*noun == NULL && strcmp(word, "help") == 0) {
        cli->verb = &help_verb;
        return KV_OK;
    }
    bool noun_known = false;
    const struct cli_verb *row;
    for (size_t i = 0; (row = cli_verb(i)) != NULL && cli->verb == NULL; i++) {
        const char *expected = *noun == NULL ? word : *noun;
        if (strcmp(row->noun, expected) != 0) {
            continue;
        }
        noun_known = true;
        if (*noun == NULL ? row->verb == NULL : strcmp(row->verb, word) == 0) {
            cli->verb = row;
        }
    }
    if (cli->verb == NULL && *noun == NULL && noun_known) {
        *noun = word;
        return KV_OK;
    }
    if (cli->verb == NULL) {
        return *noun == NULL
                   ? KV_REFUSE(err, KV_E_USAGE, "'%.40s' is no command; see `ksefvault help`", word)
                   : KV_REFUSE(err, KV_E_USAGE, "'%s %.40s' is no command; see `ksefvault help %s`",
                               *noun, word, *noun);
    }
    return KV_OK;
}

static enum kv_code check_complete(const struct cli *cli, struct kv_err *err)
{
    const struct cli_option *tables[] = {cli->verb->options, cli->verb->shared};
    for (size_t t = 0; t < KV_COUNT(tables); t++) {
        for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++) {
            if (o->needs == CLI_REQUIRED && !cli_flag(cli, o->name)) {
                return KV_REFUSE(err, KV_E_USAGE, "--%s %s is missing: %s", o->name, o->value,
                                 o->help);
            }
        }
    }
    unsigned operands = 0;
    while (cli_operand(cli, operands) != NULL) {
        operands++;
    }
    if (operands < cli->verb->operands_min) {
        return KV_REFUSE(err, KV_E_USAGE, "%s is missing", cli->verb->operands);
    }
    if (operands > cli->verb->operands_max) {
        return KV_REFUSE(err, KV_E_USAGE, "'%.60s' is one word too many",
                         cli_operand(cli, cli->verb->operands_max));
    }
    return KV_OK;
}

/* The option stands anywhere, however wrong the rest of the line is. */
static bool stands(const char *option, int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], option) == 0) {
            return true;
        }
    }
    return false;
}

/* The words of the line become operands of `help`. */
static enum kv_code read_help(struct cli *cli, int argc, char **argv, struct kv_err *err)
{
    const char *noun = NULL;
    cli->verb = &help_verb;
    for (int i = 0; i < argc; i++) {
        const struct cli_verb *row;
        for (size_t k = 0; (row = cli_verb(k)) != NULL; k++) {
            bool first = noun == NULL && strcmp(row->noun, argv[i]) == 0;
            bool second = noun != NULL && row->verb != NULL && strcmp(row->noun, noun) == 0 &&
                          strcmp(row->verb, argv[i]) == 0;
            if (first || second) {
                noun = first ? argv[i] : noun;
                if (add_value(cli, NULL, argv[i], err) != KV_OK || second) {
                    return second ? KV_OK : err->code;
                }
                break;
            }
        }
    }
    return KV_OK;
}

enum kv_code cli_read(struct cli *cli, int argc, char **argv, struct kv_err *err)
{
    const char *noun = NULL;
    bool options = true;
    if (argc == 1 && strcmp(argv[0], "--version") == 0) {
        cli->verb = &version_verb;
        return KV_OK;
    }
    cli->json = stands("--json", argc, argv); /* for what is wrong with the line */
    if (stands("--help", argc, argv)) {       /* wins over everything that is wrong */
        return read_help(cli, argc, argv, err);
    }
    for (int i = 0; i < argc; i++) {
        enum kv_code code = KV_OK;
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && strncmp(argv[i], "--", 2) == 0) {
            code = read_option(cli, argc, argv, &i, err);
        } else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            code = KV_REFUSE(err, KV_E_USAGE, "%.40s: options are long here, --help shows them",
                             argv[i]);
        } else {
            code = read_word(cli, argv[i], &noun, err);
        }
        if (code != KV_OK) {
            return code;
        }
    }
    if (cli->verb == NULL) {
        return noun == NULL ? KV_REFUSE(err, KV_E_USAGE,
                                        "a command is missing; see "
                                        "`ksefvault help`")
                            : KV_REFUSE(err, KV_E_USAGE, "%s needs a verb; see `ksefvault help %s`",
                                        noun, noun);
    }
    cli->json = cli_flag(cli, "json");
    cli->socket_path = cli_get(cli, "socket");
    cli->config_path = cli_get(cli, "config");
    return check_complete(cli, err);
}
