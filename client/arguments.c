#include "client/arguments.h"

#include "core/parse.h"

/* RFC 3986 §2.3: everything else is percent-encoded, so no argument can end its segment. */
static void add_encoded(struct kv_buf *out, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const char *p = value; *p != '\0'; p++) {
        uint8_t c = (uint8_t)*p;
        if (kv_is_digit(c) || kv_is_lower(c) || kv_is_upper(c) || strchr("-._~", c) != NULL) {
            kv_buf_add_u8(out, c);
        } else {
            kv_buf_add_u8(out, '%');
            kv_buf_add_u8(out, (uint8_t)hex[c >> 4]);
            kv_buf_add_u8(out, (uint8_t)hex[c & 15]);
        }
    }
}

static bool has_type(const json_t *value, enum kv_field_type type)
{
    switch (type) {
    case KV_FIELD_STRING:
    case KV_FIELD_OCTETS: return json_is_string(value);
    case KV_FIELD_NUMBER: return json_is_integer(value);
    case KV_FIELD_BOOLEAN: return json_is_boolean(value);
    case KV_FIELD_OBJECT: return json_is_object(value);
    case KV_FIELD_ARRAY: return json_is_array(value);
    case KV_FIELD_END: break;
    }
    return false;
}

static enum kv_code check_size(const struct kv_field_spec *spec, const json_t *value,
                               struct kv_err *err)
{
    if (json_is_string(value) && json_string_length(value) > spec->max) {
        return KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "'%s' has at most %llu bytes", spec->name,
                         (unsigned long long)spec->max);
    }
    if (json_is_integer(value) &&
        (json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > spec->max)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "'%s' is a number from 0 to %llu", spec->name,
                         (unsigned long long)spec->max);
    }
    if (json_is_array(value) && json_array_size(value) > spec->max) {
        return KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "'%s' has at most %llu elements", spec->name,
                         (unsigned long long)spec->max);
    }
    return KV_OK;
}

/* The vault checks the same; here a mistake is named before anything is sent. */
static enum kv_code check(const struct kv_call_row *row, const json_t *args, struct kv_err *err)
{
    size_t known = 0;
    for (const struct kv_field_spec *spec = row->args; spec->name != NULL; spec++) {
        const json_t *value = json_object_get(args, spec->name);
        if (value == NULL) {
            if (spec->required) {
                return KV_REFUSE(err, KV_E_INPUT_MISSING, "%s: '%s' is missing (%s)", row->name,
                                 spec->name, spec->help);
            }
            continue;
        }
        known++;
        if (!has_type(value, spec->type)) {
            return KV_REFUSE(err, KV_E_INPUT_TYPE, "%s: '%s' must be a %s", row->name, spec->name,
                             kv_field_type_word(spec->type));
        }
        if (check_size(spec, value, err) != KV_OK) {
            return err->code;
        }
    }
    if (known != json_object_size(args)) {
        return KV_REFUSE(err, KV_E_INPUT_FIELD, "%s: an argument is not one of this call",
                         row->name);
    }
    return KV_OK;
}

/* Write the path; names that stand in it are taken out of `rest`. */
static enum kv_code add_path(const char *pattern, json_t *rest, struct kv_buf *target,
                             struct kv_err *err)
{
    while (*pattern != '\0') {
        if (*pattern != '{') {
            kv_buf_add_u8(target, (uint8_t)*pattern++);
            continue;
        }
        char name[32];
        size_t len = strcspn(pattern, "}") - 1;
        assert(len < sizeof name);
        memcpy(name, pattern + 1, len);
        name[len] = '\0';
        const char *value = json_string_value(json_object_get(rest, name));
        if (value == NULL || value[0] == '\0' || strchr(value, '/') != NULL || value[0] == '.') {
            return KV_REFUSE(err, KV_E_INPUT_VALUE, "'%s' cannot stand in a path", name);
        }
        add_encoded(target, value);
        json_object_del(rest, name);
        pattern += len + 2;
    }
    return KV_OK;
}

static void add_query(json_t *rest, struct kv_buf *target)
{
    const char *name;
    json_t *value;
    char separator = '?';
    json_object_foreach(rest, name, value)
    {
        kv_buf_add_u8(target, (uint8_t)separator);
        kv_buf_add_format(target, "%s=", name);
        separator = '&';
        if (json_is_string(value)) {
            add_encoded(target, json_string_value(value));
        } else {
            kv_buf_add_format(target, "%lld", (long long)json_integer_value(value));
        }
    }
}

static int add_dumped(const char *data, size_t len, void *buf)
{
    kv_buf_add(buf, data, len);
    return 0;
}

enum kv_code kv_api_lay_out(enum kv_call call, const json_t *args, struct kv_buf *target,
                            struct kv_buf *body, struct kv_err *err)
{
    const struct kv_call_row *row = kv_call_row(call);
    /* a copy of the top only: what stands in the path is taken out of it */
    json_t *rest = json_object();
    if (rest == NULL ||
        (args != NULL && json_object_update(rest, (json_t *)(uintptr_t)args) != 0)) {
        json_decref(rest);
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the arguments of %s", row->name);
    }
    enum kv_code code = check(row, rest, err);
    if (code == KV_OK) {
        code = add_path(row->path, rest, target, err);
    }
    if (code == KV_OK && row->method[0] == 'G') {
        add_query(rest, target);
    } else if (code == KV_OK && json_dump_callback(rest, add_dumped, body, JSON_COMPACT) != 0) {
        code =
            KV_REFUSE(err, KV_E_INPUT_UTF8, "the arguments of %s are not valid UTF-8", row->name);
    }
    json_decref(rest);
    if (code == KV_OK && (target->failed || body->failed)) {
        code = KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "a call has at most %d bytes of arguments",
                         KV_CALL_BODY_MAX);
    }
    return code;
}

enum kv_code kv_api_problem(const json_t *body, int status, struct kv_err *err)
{
    const char *word = json_string_value(json_object_get(body, "code"));
    const char *detail = json_string_value(json_object_get(body, "detail"));
    enum kv_code code;
    if (word == NULL || !kv_code_from_word(word, &code) || code == KV_OK) {
        return KV_REFUSE(err, KV_E_PROTOCOL,
                         "the answer has HTTP status %d and no error code of this version", status);
    }
    return KV_REFUSE(err, code, "%s",
                     detail == NULL || detail[0] == '\0' ? kv_code_row(code)->what : detail);
}
