#include "ksef/json.h"

#include "core/buf.h"
#include "ksef/reply.h"

#include <malloc.h>
#include <stdlib.h>

#define JOIN_MAX 4 /* details shown; more would not fit */

/* jansson copies tokens into its own buffers and values; wiping what it frees covers all of them.
 * The usable size is never smaller than what was asked for. */
static void wiping_free(void *ptr)
{
    if (ptr != NULL) {
        kv_wipe(ptr, malloc_usable_size(ptr));
        free(ptr);
    }
}

void kv_ksef_json_init(void)
{
    json_set_alloc_funcs(malloc, wiping_free);
    json_object_seed(0); /* reads the kernel's random numbers now, not inside the sandbox */
}

enum kv_code kv_ksef_json_load(struct kv_bytes body, json_t **out, struct kv_err *err)
{
    if (body.len > KV_KSEF_BODY_MAX) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's answer has %zu bytes, more than %d",
                         body.len, KV_KSEF_BODY_MAX);
    }
    json_error_t where;
    json_t *json = body.len == 0 ? NULL
                                 : json_loadb((const char *)body.ptr, body.len,
                                              JSON_REJECT_DUPLICATES, &where);
    if (json == NULL || !json_is_object(json)) {
        json_decref(json);
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's answer is not one JSON object");
    }
    *out = json;
    return KV_OK;
}

void kv_ksef_json_freep(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

struct kv_bytes kv_ksef_json_text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? kv_bytes(json_string_value(value), json_string_length(value))
                                 : KV_BYTES_NULL;
}

bool kv_ksef_json_number(const json_t *object, const char *name, int64_t max, int64_t *out)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value)) {
        return false;
    }
    int64_t number = json_integer_value(value);
    if (number < 0 || number > max) {
        return false;
    }
    *out = number;
    return true;
}

void kv_ksef_json_join(const json_t *object, const char *name, char *out, size_t size)
{
    const json_t *array = json_object_get(object, name);
    KV_CLEANUP(kv_buf_clear) struct kv_buf text;
    kv_buf_init(&text, KV_KSEF_BODY_MAX + 2 * (size_t)JOIN_MAX);
    for (size_t i = 0; i < json_array_size(array) && i < JOIN_MAX; i++) {
        const json_t *item = json_array_get(array, i);
        if (json_is_string(item)) {
            kv_buf_add_str(&text, text.len == 0 ? "" : "; ");
            kv_buf_add(&text, json_string_value(item), json_string_length(item));
        }
    }
    kv_ksef_text(kv_buf_bytes(&text), out, size);
}
