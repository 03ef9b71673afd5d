/* What every verb of `ksefvault` is given: its options and operands, the agent, and ways to speak.
 *
 * A verb returns KV_OK or an error; main prints the error once (a sentence, its code, what to do
 * next) and takes the exit status from the table of codes. A verb that did its work and still has
 * something to say by its exit status (waiting, a verification) sets cli->exit. */
#ifndef KV_CLI_CLI_H
#define KV_CLI_CLI_H

#include "client/api.h"
#include "core/config.h"

#include <stdio.h>

#define CLI_VALUES_MAX   128 /* options and operands of one command line */
#define CLI_OPTION_WIDTH 26  /* column of the help behind an option */

struct cli;

enum cli_needs { CLI_OPTIONAL, CLI_REQUIRED, CLI_MANY /* may be repeated */ };
struct cli_option {
    const char *name;  /* without the dashes; NULL ends the table */
    const char *value; /* what it takes, "PERSON"; NULL: nothing */
    enum cli_needs needs;
    const char *help;
};

typedef enum kv_code cli_run_fn(struct cli *cli, struct kv_err *err);
struct cli_verb {
    const char *noun; /* "grant"; an everyday verb stands alone: "status" */
    const char *verb; /* "request"; NULL for everyday verbs */
    cli_run_fn *run;
    const char *operands; /* "ID", "FILE..."; NULL: none */
    unsigned operands_min, operands_max;
    const struct cli_option *options; /* own ones; NULL: none */
    const struct cli_option *shared;  /* a second table, of options that several verbs take */
    const char *summary;              /* one sentence */
    const char *more;                 /* what else to know; NULL: nothing */
    const char *examples;             /* lines, each one command */
};

struct cli_value {
    const char *name; /* of the option; NULL: an operand */
    const char *value;
};

struct cli {
    const struct cli_verb *verb;
    struct cli_value values[CLI_VALUES_MAX];
    size_t value_count;
    bool json;
    bool answered; /* the command's JSON is printed although it failed: no problem object follows */
    bool terminal; /* standard error is one: progress may be shown */
    const char *socket_path;
    const char *config_path;
    struct kv_config *config; /* loaded at need */
    struct kv_api *api;       /* made at need */
    bool ticked;              /* progress of a call is on the screen */
    json_t *problem;          /* what the agent said about the error that is returned */
    int exit;
};

/* ---- options.c ---- */
extern const struct cli_option cli_global_options[];
/* Read the command line behind the program's name. Sets cli->verb and the values; for --help,
 * --version and `help`, cli->verb is the pseudo verb that shows it. Error: KV_E_USAGE; cli->json is
 * set all the same. */
KV_MUST_USE enum kv_code cli_read(struct cli *cli, int argc, char **argv, struct kv_err *err);
/* The option's value, NULL if it was not given; of a flag, "". */
const char *cli_get(const struct cli *cli, const char *name);
bool cli_flag(const struct cli *cli, const char *name);
/* The n-th value of an option that may be repeated, from 0; NULL beyond the last. */
const char *cli_get_n(const struct cli *cli, const char *name, size_t n);
/* The n-th operand, from 0; NULL beyond the last. */
const char *cli_operand(const struct cli *cli, size_t n);
/* The option as a number from `min` to `max`, `fallback` if not given. Error: KV_E_USAGE. */
KV_MUST_USE enum kv_code cli_number(const struct cli *cli, const char *name, uint64_t min,
                                    uint64_t max, uint64_t fallback, uint64_t *out,
                                    struct kv_err *err);

/* ---- verbs.c, help.c ---- */
/* The i-th row of the table of verbs, NULL beyond the last. */
const struct cli_verb *cli_verb(size_t i);
void cli_help_all(FILE *to);
void cli_help_noun(FILE *to, const char *noun);
void cli_help_verb(FILE *to, const struct cli_verb *verb);
cli_run_fn cli_run_help, cli_run_version;

/* ---- agent.c ---- */
/* Make cli->api, from --socket, the configuration or the usual place. */
KV_MUST_USE enum kv_code cli_agent(struct cli *cli, struct kv_err *err);
/* One call of the API; see kv_api_call. What the agent says about an error is kept in
 * cli->problem for main. */
KV_MUST_USE enum kv_code cli_call(struct cli *cli, enum kv_call call, json_t *args,
                                  struct kv_api_answer *answer, struct kv_err *err);
/* The configuration, loaded once. */
KV_MUST_USE enum kv_code cli_config(struct cli *cli, const struct kv_config **out,
                                    struct kv_err *err);
/* The element of array `array` in the answer of `call` whose `key` is `value`; owned by the caller.
 * Error: KV_E_NOT_FOUND. */
KV_MUST_USE enum kv_code cli_find(struct cli *cli, enum kv_call call, const char *array,
                                  const char *key, const char *value, json_t **out,
                                  struct kv_err *err);
void cli_clear(struct cli *cli);

#endif
