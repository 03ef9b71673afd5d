/* A bounded reader with a sticky failure: read every field, then ask once (kv_cursor_done). A
 * failed cursor returns zeros and empty views, so no value sizes a loop or an allocation before the
 * question is asked. */
#ifndef KV_CORE_CURSOR_H
#define KV_CORE_CURSOR_H

#include "core/bytes.h"

struct kv_cursor {
    const uint8_t *ptr;
    size_t left;
    bool failed;
};

struct kv_cursor kv_cursor(struct kv_bytes bytes);
uint8_t kv_cursor_u8(struct kv_cursor *cur);
uint16_t kv_cursor_u16(struct kv_cursor *cur); /* big-endian */
uint32_t kv_cursor_u32(struct kv_cursor *cur);
uint64_t kv_cursor_u64(struct kv_cursor *cur);
/* `len` bytes, borrowed from the input. */
struct kv_bytes kv_cursor_take(struct kv_cursor *cur, size_t len);
/* `u32 len ‖ bytes`, an SSH string (RFC 4251 §5). */
struct kv_bytes kv_cursor_string(struct kv_cursor *cur);
/* True iff nothing failed and nothing is left. */
bool kv_cursor_done(const struct kv_cursor *cur);

#endif
