#include "core/cursor.h"

struct kv_cursor kv_cursor(struct kv_bytes bytes)
{
    return (struct kv_cursor){bytes.ptr, bytes.len, false};
}

struct kv_bytes kv_cursor_take(struct kv_cursor *cur, size_t len)
{
    if (cur->failed || len > cur->left) {
        cur->failed = true;
        return KV_BYTES_NULL;
    }
    struct kv_bytes out = {cur->ptr, len};
    if (len > 0) {
        cur->ptr += len;
        cur->left -= len;
    }
    return out;
}

static uint64_t integer(struct kv_cursor *cur, size_t len)
{
    struct kv_bytes b = kv_cursor_take(cur, len);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++) {
        v = v << 8 | b.ptr[i];
    }
    return v;
}

uint8_t kv_cursor_u8(struct kv_cursor *cur)
{
    return (uint8_t)integer(cur, 1);
}

uint16_t kv_cursor_u16(struct kv_cursor *cur)
{
    return (uint16_t)integer(cur, 2);
}

uint32_t kv_cursor_u32(struct kv_cursor *cur)
{
    return (uint32_t)integer(cur, 4);
}

uint64_t kv_cursor_u64(struct kv_cursor *cur)
{
    return integer(cur, 8);
}

struct kv_bytes kv_cursor_string(struct kv_cursor *cur)
{
    return kv_cursor_take(cur, kv_cursor_u32(cur));
}

bool kv_cursor_done(const struct kv_cursor *cur)
{
    return !cur->failed && cur->left == 0;
}
