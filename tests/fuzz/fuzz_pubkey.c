/* Public keys: a line that parses is the only one that prints so. */
#include "policy/pubkey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printed(const struct kv_pubkey *key)
{
    struct kv_buf line;
    struct kv_pubkey again;
    kv_buf_init(&line, KV_PUBKEY_LINE_MAX);
    kv_pubkey_print(key, &line);
    assert(!line.failed);
    enum kv_code code = kv_pubkey_parse_line(kv_buf_bytes(&line), &again, NULL);
    assert(code == KV_OK);
    assert(kv_bytes_equal(kv_pubkey_blob(key), kv_pubkey_blob(&again)));
    kv_buf_clear(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_bytes in = kv_bytes(data, size);
    struct kv_pubkey key;
    struct kv_err err;
    if (kv_pubkey_parse_blob(in, &key, &err) == KV_OK) {
        assert(kv_bytes_equal(kv_pubkey_blob(&key), in));
        check_printed(&key);
    }
    if (kv_pubkey_parse_line(in, &key, &err) == KV_OK) {
        struct kv_buf line;
        kv_buf_init(&line, KV_PUBKEY_LINE_MAX);
        kv_pubkey_print(&key, &line);
        assert(kv_bytes_equal(kv_buf_bytes(&line), in));
        kv_buf_clear(&line);
    }
    if (kv_pubkey_parse_file(in, &key, &err) == KV_OK) {
        check_printed(&key);
    }
    return 0;
}
