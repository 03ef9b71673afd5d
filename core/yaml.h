/* YAML by libcyaml, for configuration and policy texts: where what is wrong stands is kept, which
 * libcyaml tells only to its log. */
#ifndef KV_CORE_YAML_H
#define KV_CORE_YAML_H

#include "core/bytes.h"

#include <cyaml/cyaml.h>

/* What is wrong with a text, for a message; "" where libcyaml says nothing. */
struct kv_yaml_fault {
    char what[128];  /* `Unexpected key: foo` */
    char where[128]; /* `in mapping field 'ksef' (line: 2, column: 3)` */
    unsigned lines;  /* of libcyaml's log, so far */
};

/* Load `text` as `schema` says; no aliases. *out (by kv_yaml_free) is NULL for an empty text, too.
 * false: `fault` says what and where. */
KV_MUST_USE bool kv_yaml_load(struct kv_bytes text, const cyaml_schema_value_t *schema, void **out,
                              struct kv_yaml_fault *fault);
/* NULL is fine. */
void kv_yaml_free(const cyaml_schema_value_t *schema, void *data);

#endif
