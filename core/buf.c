#include "core/buf.h"

#include "core/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void kv_buf_init(struct kv_buf *buf, size_t max)
{
    *buf = (struct kv_buf){.max = max};
}

void kv_buf_clear(struct kv_buf *buf)
{
    free(buf->data);
    kv_buf_init(buf, buf->max);
}

void kv_buf_reset(struct kv_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

static bool reserve(struct kv_buf *buf, size_t more)
{
    if (buf->failed || more > buf->max - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + more + 1;
    if (need > buf->cap) {
        size_t cap = buf->cap == 0 ? 256 : buf->cap;
        while (cap < need) {
            cap *= 2;
        }
        uint8_t *data = malloc(cap);
        if (data == NULL) {
            buf->failed = true;
            return false;
        }
        if (buf->cap > 0) { /* not realloc: a token may be in it, and would stay behind */
            memcpy(data, buf->data, buf->len);
            kv_wipe(buf->data, buf->cap);
            free(buf->data);
        }
        buf->data = data;
        buf->cap = cap;
    }
    return true;
}

void kv_buf_add(struct kv_buf *buf, const void *data, size_t len)
{
    if (reserve(buf, len)) {
        if (len > 0) {
            memcpy(buf->data + buf->len, data, len);
        }
        buf->len += len;
        buf->data[buf->len] = '\0';
    }
}

void kv_buf_add_bytes(struct kv_buf *buf, struct kv_bytes bytes)
{
    kv_buf_add(buf, bytes.ptr, bytes.len);
}

void kv_buf_add_str(struct kv_buf *buf, const char *s)
{
    kv_buf_add(buf, s, strlen(s));
}

static void add_integer(struct kv_buf *buf, uint64_t v, size_t len)
{
    uint8_t be[8];
    for (size_t i = 0; i < len; i++) {
        be[i] = (uint8_t)(v >> (8 * (len - 1 - i)) & 0xff);
    }
    kv_buf_add(buf, be, len);
}

void kv_buf_add_u8(struct kv_buf *buf, uint8_t v)
{
    add_integer(buf, v, 1);
}

void kv_buf_add_u16(struct kv_buf *buf, uint16_t v)
{
    add_integer(buf, v, 2);
}

void kv_buf_add_u32(struct kv_buf *buf, uint32_t v)
{
    add_integer(buf, v, 4);
}

void kv_buf_add_u64(struct kv_buf *buf, uint64_t v)
{
    add_integer(buf, v, 8);
}

void kv_buf_add_format(struct kv_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        buf->failed = true;
    } else if (reserve(buf, (size_t)n)) {
        n = vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += n < 0 ? 0 : (size_t)n;
    }
    va_end(again);
}

void kv_buf_add_base64(struct kv_buf *buf, struct kv_bytes bytes)
{
    size_t text = KV_BASE64_LEN(bytes.len) - 1;
    if (reserve(buf, text)) {
        kv_base64_encode(bytes, (char *)buf->data + buf->len);
        buf->len += text;
    }
}

struct kv_bytes kv_buf_bytes(const struct kv_buf *buf)
{
    return (struct kv_bytes){buf->data, buf->len};
}

const char *kv_buf_str(const struct kv_buf *buf)
{
    return buf->data == NULL ? "" : (const char *)buf->data;
}
