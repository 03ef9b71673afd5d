/* The file of a sealed PIN, which anybody may have written who can write its folder: what is taken
 * for one is printed as it was read. */
#include "tpm/file.h"
#include "tpm/pin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kv_tpm_pin pin;
    struct kv_err err;
    struct kv_buf again;
    if (kv_tpm_pin_parse(kv_bytes(data, size), &pin, &err) != KV_OK) {
        return 0;
    }
    kv_buf_init(&again, size);
    enum kv_code code = kv_tpm_pin_print(&pin, &again, &err);
    assert(code == KV_OK);
    assert(kv_bytes_equal(kv_bytes(data, size), kv_buf_bytes(&again)));
    kv_buf_clear(&again);
    return 0;
}
