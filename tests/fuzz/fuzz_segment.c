/* Segments: reading goes forward and stays inside; what was read is framed back the same; and what
 * lies behind the end is measured within it. */
#include "ledger/segment.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_bytes segment = kv_bytes(data, size);
    struct kv_bytes record;
    size_t off = 0;
    uint64_t seq = 0;
    enum kv_why why;
    while ((why = kv_segment_frame(segment, off, seq, &record)) == KV_WHY_NONE) {
        struct kv_buf again;
        kv_buf_init(&again, KV_FRAME_HEADER + KV_RECORD_MAX);
        kv_wal_frame(seq, record, &again);
        if (again.failed || again.len > size - off ||
            memcmp(again.data, data + off, again.len) != 0) {
            abort();
        }
        off += again.len;
        seq++;
        kv_buf_clear(&again);
    }
    uint64_t bytes, frames;
    kv_segment_rest(segment, off, &bytes, &frames);
    if (bytes > size - off || frames > (size - off) / KV_FRAME_HEADER ||
        (why == KV_WHY_END) != (bytes == 0)) {
        abort();
    }
    return 0;
}
