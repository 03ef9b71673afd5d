/* Frames from a subverted program: what is accepted is whole, and within the limits of its row of
 * the table. */
#include "core/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_frame frame;
    struct kv_err err;
    for (int from = 0; from < KV_ROLE_COUNT; from++) {
        for (int to = 0; to < KV_ROLE_COUNT; to++) {
            if (kv_frame_parse(kv_bytes(data, size), (enum kv_role)from, (enum kv_role)to, false,
                               &frame, &err) == KV_OK) {
                assert(frame.body.len == size - KV_FRAME_HEAD_LEN);
                assert(frame.body.len <= kv_frame_row(frame.op)->body_max);
            }
        }
    }
    return 0;
}
