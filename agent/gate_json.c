#include "agent/gate_json.h"

#include "core/parse.h"
#include "core/secret.h"

#include <malloc.h>
#include <stdlib.h>

static void wipe_free(void *ptr)
{
    if (ptr != NULL) {
        kv_wipe(ptr, malloc_usable_size(ptr));
        free(ptr);
    }
}

void kv_gate_json_init(void)
{
    json_set_alloc_funcs(malloc, wipe_free);
}

static enum kv_code add_value(const char *name, const json_t *value, unsigned depth,
                              struct kv_buf *out, struct kv_err *err);

static enum kv_code add_members(const json_t *value, unsigned depth, struct kv_buf *out,
                                struct kv_err *err)
{
    enum kv_code code = KV_OK;
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value) && code == KV_OK; i++) {
            code = add_value("", json_array_get(value, i), depth, out, err);
        }
        return code;
    }
    /* json_object_iter wants a mutable object, though it changes nothing */
    json_t *object = (json_t *)(uintptr_t)value;
    for (void *it = json_object_iter(object); it != NULL && code == KV_OK;
         it = json_object_iter_next(object, it)) {
        code = add_value(json_object_iter_key(it), json_object_iter_value(it), depth, out, err);
    }
    return code;
}

static enum kv_code add_value(const char *name, const json_t *value, unsigned depth,
                              struct kv_buf *out, struct kv_err *err)
{
    if (strlen(name) > 64) {
        return KV_REFUSE(err, KV_E_INPUT_FIELD, "'%.32s...' is not a field of this call", name);
    }
    switch (json_typeof(value)) {
    case JSON_STRING:
        kv_message_text(out, name, kv_bytes(json_string_value(value), json_string_length(value)));
        return KV_OK;
    case JSON_TRUE:
    case JSON_FALSE: kv_message_bool(out, name, json_is_true(value)); return KV_OK;
    case JSON_INTEGER:
        if (json_integer_value(value) < 0 ||
            json_integer_value(value) > (json_int_t)KV_NUMBER_MAX) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE, "'%s' must be a number from 0 to 2^53-1", name);
        }
        kv_message_number(out, name, (uint64_t)json_integer_value(value));
        return KV_OK;
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (depth >= KV_MESSAGE_DEPTH - 1) {
            return KV_REFUSE(err, KV_E_INPUT_JSON, "the JSON is nested too deeply");
        }
        kv_message_begin(out, name, json_is_object(value) ? KV_FIELD_OBJECT : KV_FIELD_ARRAY);
        if (add_members(value, depth + 1, out, err) != KV_OK) {
            return err->code;
        }
        kv_message_end(out);
        return KV_OK;
    case JSON_REAL:
    case JSON_NULL: break;
    }
    return KV_REFUSE(err, KV_E_INPUT_TYPE, "'%s' must be a text, a whole number, true or false",
                     name);
}

enum kv_code kv_gate_json_read(struct kv_bytes text, struct kv_buf *out, struct kv_err *err)
{
    json_error_t why;
    if (!kv_utf8_valid(text)) {
        return KV_REFUSE(err, KV_E_INPUT_UTF8, "the body is not valid UTF-8");
    }
    json_t *object = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL) {
        return KV_REFUSE(err, KV_E_INPUT_JSON, "line %d: %.120s", why.line, why.text);
    }
    enum kv_code code = json_is_object(object) ? add_members(object, 0, out, err)
                                               : KV_REFUSE(err, KV_E_INPUT_JSON,
                                                           "the body must be a JSON object, {...}");
    json_decref(object);
    if (code == KV_OK && out->failed) {
        code = KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "the body is limited to %d bytes",
                         KV_CALL_BODY_MAX);
    }
    return code;
}

enum kv_code kv_gate_query_field(enum kv_call call, const char *name, const char *value,
                                 struct kv_buf *out, struct kv_err *err)
{
    const struct kv_field_spec *spec = kv_call_row(call)->args;
    while (spec->name != NULL && strcmp(spec->name, name) != 0) {
        spec++;
    }
    if (spec->name == NULL || strlen(name) > 64) {
        return KV_REFUSE(err, KV_E_INPUT_FIELD, "'%.32s' is not an argument of this call", name);
    }
    if (spec->type == KV_FIELD_NUMBER) {
        uint64_t number;
        if (!kv_parse_u64(kv_bytes_str(value), KV_NUMBER_MAX, &number)) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE, "'%s' must be a whole number", name);
        }
        kv_message_number(out, name, number);
    } else {
        kv_message_str(out, name, value);
    }
    return KV_OK;
}

static json_t *value_of(const struct kv_field *field)
{
    switch (field->type) {
    case KV_FIELD_STRING:
        return json_stringn(field->value.len == 0 ? "" : (const char *)field->value.ptr,
                            field->value.len);
    case KV_FIELD_OCTETS: {
        char *text = malloc(KV_BASE64_LEN(field->value.len));
        if (text == NULL) {
            return NULL;
        }
        kv_base64_encode(field->value, text);
        json_t *out = json_string(text);
        free(text);
        return out;
    }
    case KV_FIELD_NUMBER: return json_integer((json_int_t)field->number);
    case KV_FIELD_BOOLEAN: return json_boolean(field->number != 0);
    case KV_FIELD_OBJECT: return json_object();
    case KV_FIELD_ARRAY: return json_array();
    case KV_FIELD_END: break;
    }
    return NULL;
}

static bool put(json_t *into, struct kv_bytes name, json_t *value)
{
    char key[256];
    if (json_is_array(into)) {
        return json_array_append_new(into, value) == 0;
    }
    if (name.len >= sizeof key) {
        json_decref(value);
        return false;
    }
    if (name.len > 0) {
        memcpy(key, name.ptr, name.len);
    }
    key[name.len] = '\0';
    return json_object_set_new(into, key, value) == 0;
}

json_t *kv_gate_json_object(struct kv_bytes message)
{
    json_t *stack[KV_MESSAGE_DEPTH + 1] = {json_object()};
    size_t depth = 0;
    struct kv_cursor cur = kv_cursor(message);
    struct kv_field field;
    bool good = stack[0] != NULL;
    while (good && kv_message_next(&cur, &field)) {
        if (field.type == KV_FIELD_END) {
            good = depth > 0;
            depth -= good ? 1 : 0;
            continue;
        }
        json_t *value = value_of(&field);
        good = value != NULL && put(stack[depth], field.name, value);
        if (good && (json_is_object(value) || json_is_array(value))) {
            good = depth < KV_MESSAGE_DEPTH;
            depth += good ? 1 : 0;
            stack[depth] = good ? value : stack[depth];
        }
    }
    if (!good || !kv_cursor_done(&cur) || depth != 0) {
        json_decref(stack[0]);
        return NULL;
    }
    return stack[0];
}
