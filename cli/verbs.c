/* The table of verbs, put together from the nouns: the source of dispatch, --help and usage
 * errors. What is not in it does not exist. */
#include "cli/cmd.h"

static const struct cli_verb *const nouns[] = {
    cmd_daily,   cmd_slot,       cmd_pin,         cmd_vault,  cmd_person,
    cmd_key,     cmd_credential, cmd_integration, cmd_grant,  cmd_request,
    cmd_session, cmd_code,       cmd_policy,      cmd_ledger, cmd_backup};

const struct cli_verb *cli_verb(size_t i)
{
    for (size_t n = 0; n < KV_COUNT(nouns); n++) {
        for (const struct cli_verb *verb = nouns[n]; verb->noun != NULL; verb++) {
            if (i-- == 0) {
                return verb;
            }
        }
    }
    return NULL;
}
