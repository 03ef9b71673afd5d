/* HTTP bodies from any local account: what is accepted as JSON says the same after it was a
 * message, and reading it against each call's table stays inside the bytes. */
#include "agent/gate_json.h"

#include "core/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_again(struct kv_bytes message)
{
    json_t *object = kv_gate_json_object(message);
    if (object == NULL) {
        return; /* a name longer than answers have */
    }
    struct kv_err err;
    struct kv_buf again;
    char *text = json_dumps(object, JSON_COMPACT);
    assert(text != NULL);
    kv_buf_init(&again, KV_FRAME_BODY_MAX);
    enum kv_code code = kv_gate_json_read(kv_bytes_str(text), &again, &err);
    assert(code == KV_OK && kv_bytes_equal(kv_buf_bytes(&again), message));
    kv_buf_clear(&again);
    free(text);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    struct kv_buf message;
    kv_buf_init(&message, KV_FRAME_BODY_MAX);
    if (size <= KV_CALL_BODY_MAX &&
        kv_gate_json_read(kv_bytes(data, size), &message, &err) == KV_OK) {
        for (int call = 0; call < KV_CALL_COUNT; call++) {
            enum kv_code code = kv_message_read(kv_buf_bytes(&message),
                                                kv_call_row((enum kv_call)call)->args, field, &err);
            assert(code != KV_E_PROTOCOL); /* what the gate makes is well formed */
        }
        same_again(kv_buf_bytes(&message));
    }
    kv_buf_clear(&message);
    return 0;
}
