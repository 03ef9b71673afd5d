/* A person confirms a text by typing its code, so that nobody signs by pressing Enter. */
#ifndef KV_CLI_CONFIRM_H
#define KV_CLI_CONFIRM_H

#include "cli/cli.h"
#include "policy/statement.h"

/* The confirmation code of the request that `st` is or repeats. */
void cli_confirmation(const struct kv_statement *st, char out[static KV_CONFIRMATION_LEN]);
/* `typed` is the code, whatever its case, dashes and spaces. */
bool cli_same_code(const char *typed, const char *code);
/* Ask at the terminal, unless --yes was given. Error: KV_E_USAGE (no terminal, another code). */
KV_MUST_USE enum kv_code cli_confirm(const struct cli *cli, const struct kv_statement *st,
                                     struct kv_err *err);

#endif
