/* Messages from a subverted program: reading never goes beyond the bytes, and what the table
 * accepts keeps its limits. */
#include "core/call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    for (int call = 0; call < KV_CALL_COUNT; call++) {
        const struct kv_field_spec *spec = kv_call_row((enum kv_call)call)->args;
        if (kv_message_read(kv_bytes(data, size), spec, field, &err) != KV_OK) {
            continue;
        }
        for (size_t i = 0; spec[i].name != NULL; i++) {
            if (field[i].type == KV_FIELD_STRING) {
                assert(field[i].value.len <= spec[i].max);
                assert(field[i].value.len == 0 ||
                       (field[i].value.ptr >= data &&
                        field[i].value.ptr + field[i].value.len <= data + size));
            }
            assert(field[i].type != 0 || !spec[i].required);
        }
    }
    return 0;
}
