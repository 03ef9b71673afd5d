/* What a failed command says, for people and for programs. */
#ifndef KV_CLI_REPORT_H
#define KV_CLI_REPORT_H

#include "cli/cli.h"

/* The problem object of the failure: the agent's, or one of the same form if the error was found
 * here (without `status`: nothing was answered). Owned by the caller. */
json_t *cli_problem(const struct cli *cli, const struct kv_err *err);
/* `ksefvault: <sentence> [code]`, who can lift it, what to do next and when. */
void cli_report(const json_t *problem, const struct kv_err *err, FILE *to);

#endif
