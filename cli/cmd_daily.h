/* The everyday verbs, which stand without a noun. */
#ifndef KV_CLI_CMD_DAILY_H
#define KV_CLI_CMD_DAILY_H

#include "cli/cmd.h"

cli_run_fn cmd_status, cmd_explain, cmd_approve, cmd_deny, cmd_statement, cmd_submit;

#endif
