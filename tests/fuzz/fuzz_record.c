/* Reader of records: what is accepted is written back byte for byte; what is refused sets nothing.
 */
#include "ledger/encode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_record *rec = NULL;
    struct kv_bytes line = kv_bytes(data, size);
    enum kv_code code = kv_record_decode(line, &rec, NULL);
    if ((code == KV_OK) != (rec != NULL)) {
        abort();
    }
    if (code == KV_OK) {
        struct kv_buf again;
        kv_buf_init(&again, 2 * KV_RECORD_MAX);
        if (kv_record_encode(rec, &again, NULL) != KV_OK ||
            !kv_bytes_equal(kv_buf_bytes(&again), line)) {
            abort();
        }
        kv_buf_clear(&again);
    }
    kv_record_free(rec);
    rec = NULL;
    if (kv_record_peek(line, &rec, NULL) != KV_OK && (code == KV_OK || rec != NULL)) {
        abort(); /* what is read whole can be read in part */
    }
    kv_record_free(rec);
    return 0;
}
