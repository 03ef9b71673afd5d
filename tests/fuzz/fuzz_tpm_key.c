/* The parts of a TPM's key file, from a folder that somebody else wrote: what is taken for a key is
 * printed as it was read. */
#include "core/cursor.h"
#include "tpm/chip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kv_tpm_blob blob;
    static struct kv_tpm_halves halves;
    struct kv_err err;
    struct kv_cursor cur = kv_cursor(kv_bytes(data, size));
    struct kv_bytes public = kv_cursor_string(&cur), private = kv_cursor_string(&cur);
    if (!kv_cursor_done(&cur) || kv_tpm_blob_parse(public, private, &blob, &err) != KV_OK) {
        return 0;
    }
    enum kv_code code = kv_tpm_blob_print(&blob, &halves, &err);
    assert(code == KV_OK);
    assert(kv_bytes_equal(public, kv_bytes(halves.public, halves.public_len)));
    assert(kv_bytes_equal(private, kv_bytes(halves.private, halves.private_len)));
    return 0;
}
