/* Verbs that only show what the agent answers. */
#ifndef KV_CLI_LIST_H
#define KV_CLI_LIST_H

#include "cli/cli.h"
#include "cli/out.h"

/* Make the call (takes ownership of args) and show the array `array` of its answer as a table, or
 * with --json the whole answer. */
KV_MUST_USE enum kv_code cli_list(struct cli *cli, enum kv_call call, json_t *args,
                                  const char *array, const struct cli_column *columns,
                                  const char *nothing, struct kv_err *err);

#endif
