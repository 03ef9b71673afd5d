/* The verbs of `ledger`, over several files. */
#ifndef KV_CLI_CMD_LEDGER_H
#define KV_CLI_CMD_LEDGER_H

#include "cli/cli.h"

/* --ledger DIR, else the folder of the configuration. *out is owned by the caller. */
KV_MUST_USE enum kv_code ledger_folder(struct cli *cli, char **out, struct kv_err *err);
/* This account may read the ledger `folder`; what else is wrong with it, the reader tells. Error:
 * KV_E_NOT_ALLOWED. */
KV_MUST_USE enum kv_code ledger_readable(const struct cli *cli, const char *folder,
                                         struct kv_err *err);

cli_run_fn ledger_show, ledger_tail, ledger_verify, ledger_prove, ledger_export;

#endif
