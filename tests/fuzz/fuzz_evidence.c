/* Evidence of a key, which an export brings along: what is read is printed as it was, and judging
 * it accepts nothing that it was not made for. */
#include "core/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kv_evidence_subject subject = {"vault.example.com/another",
                                                       "01M8RDBZ702DD05EARSWR5F8EA", "another"};
    struct kv_err err;
    struct kv_evidence evidence;
    struct kv_buf again;
    if (kv_evidence_parse(kv_bytes(data, size), &evidence, &err) != KV_OK) {
        return 0;
    }
    kv_buf_init(&again, KV_EVIDENCE_MAX);
    kv_evidence_print(&evidence, &again);
    assert(kv_bytes_equal(kv_bytes(data, size), kv_buf_bytes(&again)));
    /* the key that it is of, if it has one: the last field of the area is y, before it x */
    uint8_t spki[91] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                        0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
    if (evidence.key.len >= 68) {
        memcpy(spki + 27, evidence.key.ptr + evidence.key.len - 66, 32);
        memcpy(spki + 59, evidence.key.ptr + evidence.key.len - 32, 32);
    }
    assert(kv_evidence_check(&evidence, &subject, kv_bytes(spki, sizeof spki), &err) != KV_OK);
    kv_evidence_clear(&evidence);
    kv_buf_clear(&again);
    return 0;
}
