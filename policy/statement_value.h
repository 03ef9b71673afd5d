/* Check (3) of policy/statement.h: the form of each value, and the rules that tie values of one
 * text to each other. For policy/statement.c, and for who makes a text from what a person typed. */
#ifndef KV_POLICY_STATEMENT_VALUE_H
#define KV_POLICY_STATEMENT_VALUE_H

#include "policy/statement.h"

/* NULL if `value` has the form of `key`, else what that form is: "is a ULID". */
const char *kv_value_complaint(enum kv_key key, struct kv_bytes value);

/* NULL if the values of `st` (each of its form) agree with each other, else what does not; *at is
 * the index of the line in kv_statement_line. */
const char *kv_values_complaint(const struct kv_statement *st, size_t *at);

#endif
