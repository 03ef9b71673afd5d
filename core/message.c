#include "core/message.h"

#include "core/parse.h"

#include <stdlib.h>

const char *kv_field_type_word(enum kv_field_type type)
{
    switch (type) {
    case KV_FIELD_STRING: return "string";
    case KV_FIELD_OCTETS: return "octets";
    case KV_FIELD_NUMBER: return "number";
    case KV_FIELD_BOOLEAN: return "boolean";
    case KV_FIELD_OBJECT: return "object";
    case KV_FIELD_ARRAY: return "array";
    case KV_FIELD_END: return "end";
    }
    return "nothing";
}

static void head(struct kv_buf *buf, enum kv_field_type type, const char *name)
{
    size_t len = strlen(name);
    assert(len <= UINT8_MAX);
    kv_buf_add_u8(buf, (uint8_t)type);
    kv_buf_add_u8(buf, (uint8_t)len);
    kv_buf_add(buf, name, len);
}

static void add_run(struct kv_buf *buf, enum kv_field_type type, const char *name,
                    struct kv_bytes value)
{
    assert(value.len <= UINT32_MAX);
    head(buf, type, name);
    kv_buf_add_u32(buf, (uint32_t)value.len);
    kv_buf_add_bytes(buf, value);
}

void kv_message_str(struct kv_buf *buf, const char *name, const char *value)
{
    add_run(buf, KV_FIELD_STRING, name, kv_bytes_str(value));
}

void kv_message_text(struct kv_buf *buf, const char *name, struct kv_bytes value)
{
    add_run(buf, KV_FIELD_STRING, name, value);
}

void kv_message_octets(struct kv_buf *buf, const char *name, struct kv_bytes value)
{
    add_run(buf, KV_FIELD_OCTETS, name, value);
}

void kv_message_number(struct kv_buf *buf, const char *name, uint64_t value)
{
    head(buf, KV_FIELD_NUMBER, name);
    kv_buf_add_u64(buf, value);
}

void kv_message_bool(struct kv_buf *buf, const char *name, bool value)
{
    head(buf, KV_FIELD_BOOLEAN, name);
    kv_buf_add_u8(buf, value ? 1 : 0);
}

void kv_message_begin(struct kv_buf *buf, const char *name, enum kv_field_type object_or_array)
{
    assert(object_or_array == KV_FIELD_OBJECT || object_or_array == KV_FIELD_ARRAY);
    head(buf, object_or_array, name);
}

void kv_message_end(struct kv_buf *buf)
{
    head(buf, KV_FIELD_END, "");
}

bool kv_message_next(struct kv_cursor *cur, struct kv_field *out)
{
    if (cur->failed || cur->left == 0) {
        return false;
    }
    uint8_t type = kv_cursor_u8(cur);
    struct kv_field field = {.type = (enum kv_field_type)type};
    field.name = kv_cursor_take(cur, kv_cursor_u8(cur));
    switch (field.type) {
    case KV_FIELD_STRING:
    case KV_FIELD_OCTETS: field.value = kv_cursor_string(cur); break;
    case KV_FIELD_NUMBER:
        field.number = kv_cursor_u64(cur);
        cur->failed = cur->failed || field.number > KV_NUMBER_MAX;
        break;
    case KV_FIELD_BOOLEAN:
        field.number = kv_cursor_u8(cur);
        cur->failed = cur->failed || field.number > 1;
        break;
    case KV_FIELD_OBJECT:
    case KV_FIELD_ARRAY:
    case KV_FIELD_END: break;
    default: cur->failed = true; break;
    }
    if (cur->failed) {
        return false;
    }
    *out = field;
    return true;
}

/* The content of the object or array that was just begun; moves `cur` behind its end. */
static bool take_nested(struct kv_cursor *cur, struct kv_bytes *content, uint64_t *count)
{
    const uint8_t *start = cur->ptr;
    unsigned depth = 1;
    uint64_t elements = 0;
    struct kv_field field;
    while (depth > 0) {
        const uint8_t *before = cur->ptr;
        if (!kv_message_next(cur, &field)) {
            cur->failed = true;
            return false;
        }
        if (field.type == KV_FIELD_END) {
            depth--;
            *content = kv_bytes(start, (size_t)(before - start));
        } else {
            elements += depth == 1;
            depth += field.type == KV_FIELD_OBJECT || field.type == KV_FIELD_ARRAY;
        }
        if (depth > KV_MESSAGE_DEPTH) {
            cur->failed = true;
            return false;
        }
    }
    *count = elements;
    return true;
}

static enum kv_code check(const struct kv_field_spec *spec, const struct kv_field *field,
                          struct kv_err *err)
{
    if (field->type != spec->type) {
        return KV_REFUSE(err, KV_E_INPUT_TYPE, "'%s' must be a %s", spec->name,
                         kv_field_type_word(spec->type));
    }
    bool sized = spec->type == KV_FIELD_STRING || spec->type == KV_FIELD_OCTETS;
    uint64_t size = sized ? field->value.len : field->number;
    if (spec->type != KV_FIELD_BOOLEAN && spec->type != KV_FIELD_OBJECT && size > spec->max) {
        return KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "'%s' is limited to %llu%s", spec->name,
                         (unsigned long long)spec->max, sized ? " bytes" : "");
    }
    if (spec->type == KV_FIELD_STRING && !kv_utf8_valid(field->value)) {
        return KV_REFUSE(err, KV_E_INPUT_UTF8, "'%s' is not valid UTF-8", spec->name);
    }
    return KV_OK;
}

enum kv_code kv_message_read(struct kv_bytes message, const struct kv_field_spec *specs,
                             struct kv_field out[static KV_FIELDS_MAX], struct kv_err *err)
{
    struct kv_cursor cur = kv_cursor(message);
    struct kv_field field;
    memset(out, 0, KV_FIELDS_MAX * sizeof *out);
    while (kv_message_next(&cur, &field)) {
        size_t i = 0;
        while (specs[i].name != NULL && !kv_bytes_is(field.name, specs[i].name)) {
            i++;
        }
        assert(i < KV_FIELDS_MAX);
        if (field.type == KV_FIELD_OBJECT || field.type == KV_FIELD_ARRAY) {
            if (!take_nested(&cur, &field.value, &field.number)) {
                break;
            }
        }
        if (specs[i].name == NULL) {
            return KV_REFUSE(err, KV_E_INPUT_FIELD, "'%.*s' is not a field of this call",
                             (int)(field.name.len < 64 ? field.name.len : 64),
                             field.name.len == 0 ? "" : (const char *)field.name.ptr);
        }
        if (out[i].type != 0) {
            return KV_REFUSE(err, KV_E_INPUT_JSON, "'%s' stands twice", specs[i].name);
        }
        if (check(&specs[i], &field, err) != KV_OK) {
            return err == NULL ? KV_E_INPUT_VALUE : err->code;
        }
        out[i] = field;
    }
    if (cur.failed) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "malformed message");
    }
    for (size_t i = 0; specs[i].name != NULL; i++) {
        if (specs[i].required && out[i].type == 0) {
            return KV_REFUSE(err, KV_E_INPUT_MISSING, "'%s' is missing", specs[i].name);
        }
    }
    return KV_OK;
}

bool kv_field_copy(const struct kv_field *field, char *buf, size_t size)
{
    struct kv_bytes v = field->value;
    if (v.len >= size || (v.len > 0 && memchr(v.ptr, 0, v.len) != NULL)) {
        return false;
    }
    if (v.len > 0) {
        memcpy(buf, v.ptr, v.len);
    }
    buf[v.len] = '\0';
    return true;
}
