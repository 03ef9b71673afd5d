/* The verbs, by noun; each file cmd_<noun>.c has its own. */
#ifndef KV_CLI_CMD_H
#define KV_CLI_CMD_H

#include "cli/cli.h"

/* The rows of the table of verbs, one array per noun (cmd_pin: of slot, too); see verbs.c. */
extern const struct cli_verb cmd_daily[], cmd_slot[], cmd_pin[], cmd_vault[], cmd_person[],
    cmd_key[], cmd_credential[], cmd_integration[], cmd_grant[], cmd_request[], cmd_session[],
    cmd_code[], cmd_policy[], cmd_ledger[], cmd_backup[];

#endif
