/* tlog-proofs: what is read is written back the same, but for an `extra` line; and no proof
 * verifies for two indexes. */
#include "ledger/note.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_extra(const uint8_t *data, size_t size)
{
    static const char head[] = "c2sp.org/tlog-proof@v1\nextra ";
    return size >= sizeof head - 1 && memcmp(data, head, sizeof head - 1) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_tlog_proof proof;
    if (kv_tlog_proof_read(kv_bytes(data, size), &proof, NULL) != KV_OK) {
        return 0;
    }
    struct kv_buf again;
    kv_buf_init(&again, 2 * KV_NOTE_MAX);
    kv_tlog_proof_write(&proof, &again);
    if (!has_extra(data, size) && !kv_bytes_equal(kv_buf_bytes(&again), kv_bytes(data, size))) {
        abort();
    }
    kv_buf_clear(&again);
    struct kv_hash leaf = kv_leaf_hash(kv_bytes(data, size));
    struct kv_hash root = leaf;
    uint64_t tree = (uint64_t)proof.proof.count + 1;
    size_t good = 0;
    for (uint64_t index = 0; index < tree; index++) {
        good += kv_inclusion_verify(&proof.proof, index, tree, &leaf, &root);
    }
    if (good > 1) {
        abort();
    }
    return 0;
}
