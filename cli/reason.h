/* The reason behind a text's commitment, opened and checked before anybody signs. */
#ifndef KV_CLI_REASON_H
#define KV_CLI_REASON_H

#include "core/err.h"
#include "policy/statement.h"

#include <jansson.h>
#include <stdio.h>

/* Print the reason {field, salt, value} that `answer` has as `reason`, after it was checked to open
 * the reason-commitment of `request`. Where there is a commitment and no reason is told, that is
 * said. Error: KV_E_STMT_TRANSIT (another reason than the text commits to). */
KV_MUST_USE enum kv_code cli_put_reason(FILE *to, const struct kv_statement *request,
                                        const json_t *answer, struct kv_err *err);

#endif
