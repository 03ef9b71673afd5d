/* The ministry's list of keys from hostile bytes: each key that is taken names its own public key,
 * is valid, and fits what the courier hands on. */
#include "ksef/ministry.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
    if (!promise) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t now = INT64_C(1780308000000); /* June 2026 */
    struct kv_ministry_key *keys = NULL;
    size_t count = 0;
    if (kv_ksef_read_ministry_keys(kv_bytes(data, size), now, &keys, &count, NULL) != KV_OK) {
        check(keys == NULL);
        return 0;
    }
    check(count >= 1 && count <= KV_MINISTRY_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        check(keys[i].certificate_len >= 1 && keys[i].certificate_len <= KV_CERTIFICATE_MAX);
        check(keys[i].from_ms <= now && now <= keys[i].to_ms);
        check(keys[i].from_ms <= keys[0].from_ms); /* the one to use comes first */
    }
    free(keys);
    return 0;
}
