/* Between JSON and messages (core/message.h), both ways, by the tables of core/call.h. */
#ifndef KV_AGENT_GATE_JSON_H
#define KV_AGENT_GATE_JSON_H

#include "core/call.h"

#include <jansson.h>

/* Make jansson wipe what it frees: access tokens pass through it. Call once, first. */
void kv_gate_json_init(void);
/* Append the fields of a JSON object to `out`. Errors: KV_E_INPUT_JSON, _UTF8, _TYPE. Types and
 * names are left to the vault, which reads the message against the call's table. */
KV_MUST_USE enum kv_code kv_gate_json_read(struct kv_bytes text, struct kv_buf *out,
                                           struct kv_err *err);
/* One argument of a query, by the type that the call's table gives it. */
KV_MUST_USE enum kv_code kv_gate_query_field(enum kv_call call, const char *name, const char *value,
                                             struct kv_buf *out, struct kv_err *err);
/* The object that a message says; NULL if it is malformed. Owned by the caller. */
json_t *kv_gate_json_object(struct kv_bytes message);

#endif
