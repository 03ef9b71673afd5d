/* Strict reading of KSeF's JSON with jansson, for the modules of this folder. */
#ifndef KV_KSEF_JSON_H
#define KV_KSEF_JSON_H

#include "core/bytes.h"
#include "core/err.h"

#include <jansson.h>

/* One JSON object of at most KV_KSEF_BODY_MAX bytes, each key once, nothing behind it. *out is
 * owned by the caller. Errors: KV_E_KSEF_ANSWER; the message never quotes the text, which may hold
 * a token. */
KV_MUST_USE enum kv_code kv_ksef_json_load(struct kv_bytes body, json_t **out, struct kv_err *err);
void kv_ksef_json_freep(json_t **json);
/* The string `name` of an object; empty if absent or of another type. Borrowed from the object. */
struct kv_bytes kv_ksef_json_text(const json_t *object, const char *name);
/* The integer `name`, 0 to `max`; false if absent, of another type, or outside. */
bool kv_ksef_json_number(const json_t *object, const char *name, int64_t max, int64_t *out);
/* Join the strings of the array `name` with "; ", cleaned, cut at `size`; "" if there are none. */
void kv_ksef_json_join(const json_t *object, const char *name, char *out, size_t size);

#endif
