/* A growing byte buffer with a hard maximum and a sticky failure: append everything, ask once.
 * A failed buffer stays empty-handed; nothing is half written. Not for secrets (core/secret.h). */
#ifndef KV_CORE_BUF_H
#define KV_CORE_BUF_H

#include "core/bytes.h"

struct kv_buf {
    uint8_t *data; /* owned; NUL-terminated behind len, so text can be printed */
    size_t len;    /* bytes */
    size_t cap;
    size_t max;  /* constructor argument: bytes that may ever be held */
    bool failed; /* over max or out of memory; sticky until cleared */
};

void kv_buf_init(struct kv_buf *buf, size_t max);
/* Free and leave an empty buffer of the same maximum. */
void kv_buf_clear(struct kv_buf *buf);
/* Forget the contents, keep the memory. */
void kv_buf_reset(struct kv_buf *buf);
void kv_buf_add(struct kv_buf *buf, const void *data, size_t len);
void kv_buf_add_bytes(struct kv_buf *buf, struct kv_bytes bytes);
void kv_buf_add_str(struct kv_buf *buf, const char *s);
void kv_buf_add_u8(struct kv_buf *buf, uint8_t v);
void kv_buf_add_u16(struct kv_buf *buf, uint16_t v); /* big-endian, as all wire integers */
void kv_buf_add_u32(struct kv_buf *buf, uint32_t v);
void kv_buf_add_u64(struct kv_buf *buf, uint64_t v);
void kv_buf_add_format(struct kv_buf *buf, const char *fmt, ...) KV_PRINTF(2, 3);
void kv_buf_add_base64(struct kv_buf *buf, struct kv_bytes bytes);
/* Borrowed until the buffer changes. */
struct kv_bytes kv_buf_bytes(const struct kv_buf *buf);
/* The contents as NUL-terminated text, "" when empty; borrowed until the buffer changes. */
const char *kv_buf_str(const struct kv_buf *buf);

#endif
