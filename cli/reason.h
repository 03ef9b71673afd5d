/* The reasons and names behind a text's commitments, opened and checked before anybody signs. */
#ifndef KV_CLI_REASON_H
#define KV_CLI_REASON_H

#include "core/err.h"
#include "policy/statement.h"

#include <jansson.h>
#include <stdio.h>

/* Find the rows {field, salt, value} in `answer` (as `private`, an array) that open the commitments
 * of `request`, and print them. A row that opens none is an error: KV_E_SIG_BAD would be too weak a
 * word, so KV_E_STMT_TRANSIT. A commitment without a row is said. */
KV_MUST_USE enum kv_code cli_put_reasons(FILE *to, const struct kv_statement *request,
                                         const json_t *answer, struct kv_err *err);

#endif
