/* From arguments to the parts of an HTTP request: checked against the table of calls, laid into
 * path, query and body. Pure; apart from client/api.c so that it can be tested without an agent. */
#ifndef KV_CLIENT_ARGUMENTS_H
#define KV_CLIENT_ARGUMENTS_H

#include "core/call.h"

#include <jansson.h>

/* Append `/v1/…?…` to `target`, and for a POST the JSON body to `body`. Errors: KV_E_INPUT_FIELD,
 * _MISSING, _TYPE, _VALUE, _TOO_LARGE. */
KV_MUST_USE enum kv_code kv_api_lay_out(enum kv_call call, const json_t *args,
                                        struct kv_buf *target, struct kv_buf *body,
                                        struct kv_err *err);

/* The error that a problem object says: its code if it is one of ours, else KV_E_PROTOCOL. */
KV_MUST_USE enum kv_code kv_api_problem(const json_t *body, int status, struct kv_err *err);

#endif
