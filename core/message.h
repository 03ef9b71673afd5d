/* Typed fields, the body of every frame between the agent's programs and of every API call: a flat
 * sequence of named values, with objects and arrays for answers. It says what JSON says, without
 * being text: the gate translates, the vault never parses JSON from outside.
 *
 *   field = u8 type ‖ u8 name length ‖ name ‖ value
 *   value = u32 length ‖ bytes (string, octets) | u64 (number) | u8 (boolean) | nothing (begin,
 * end)
 *
 * Elements of arrays have an empty name. Nesting is at most KV_MESSAGE_DEPTH. */
#ifndef KV_CORE_MESSAGE_H
#define KV_CORE_MESSAGE_H

#include "core/buf.h"
#include "core/cursor.h"
#include "core/err.h"

#define KV_MESSAGE_DEPTH 8

enum kv_field_type {
    KV_FIELD_STRING = 1, /* UTF-8 */
    KV_FIELD_OCTETS = 2,
    KV_FIELD_NUMBER = 3, /* 0 to 2^53-1 */
    KV_FIELD_BOOLEAN = 4,
    KV_FIELD_OBJECT = 5, /* begin */
    KV_FIELD_ARRAY = 6,  /* begin */
    KV_FIELD_END = 7,    /* of the innermost object or array */
};
const char *kv_field_type_word(enum kv_field_type type);

/* Writers append to a buffer; failures are the buffer's (sticky). `name` is "" inside arrays. */
void kv_message_str(struct kv_buf *buf, const char *name, const char *value);
void kv_message_text(struct kv_buf *buf, const char *name, struct kv_bytes value);
void kv_message_octets(struct kv_buf *buf, const char *name, struct kv_bytes value);
void kv_message_number(struct kv_buf *buf, const char *name, uint64_t value);
void kv_message_bool(struct kv_buf *buf, const char *name, bool value);
void kv_message_begin(struct kv_buf *buf, const char *name, enum kv_field_type object_or_array);
void kv_message_end(struct kv_buf *buf);

/* One field as read; `value` is borrowed from the message. */
struct kv_field {
    enum kv_field_type type;
    struct kv_bytes name;
    struct kv_bytes value; /* string, octets */
    uint64_t number;       /* number, boolean */
};
/* The next field, at any depth (the reader keeps its own depth). False at the end or, with
 * cur->failed set, on malformed input. */
bool kv_message_next(struct kv_cursor *cur, struct kv_field *out);

/* What a message must look like: a table of fields, in any order in the message. */
struct kv_field_spec {
    const char *name; /* NULL ends the table */
    enum kv_field_type type;
    uint64_t max; /* bytes of a string or octets; largest number; elements of an array */
    bool required;
    const char *help; /* for --help and docs; may be NULL */
};
#define KV_FIELDS_MAX 32
/* Read a message against `specs` into out[], by the index of the spec. A field that is absent has
 * type 0. For objects and arrays, value is the content between begin and end, still encoded.
 * Unknown, duplicate, missing, ill-typed, oversized fields, and malformed bytes, are refused:
 * KV_E_INPUT_FIELD, _MISSING, _TYPE, _TOO_LARGE, _UTF8, KV_E_PROTOCOL. */
KV_MUST_USE enum kv_code kv_message_read(struct kv_bytes message, const struct kv_field_spec *specs,
                                         struct kv_field out[static KV_FIELDS_MAX],
                                         struct kv_err *err);
/* The value as NUL-terminated text in buf (cut never: false if it does not fit or holds a NUL). */
bool kv_field_copy(const struct kv_field *field, char *buf, size_t size);

#endif
