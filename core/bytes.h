/* Views of bytes, and the text encodings of them that the formats use: lower-case hex, base64
 * (RFC 4648 §4, padded, §5 base64url unpadded), Crockford base32. Decoders are strict: no white
 * space, no missing or needless padding, no non-zero spare bits; so decode∘encode = identity. */
#ifndef KV_CORE_BYTES_H
#define KV_CORE_BYTES_H

#include "core/base.h"

#include <string.h>

/* A borrowed view; the owner is named where one is kept. ptr may be NULL when len is 0. */
struct kv_bytes {
    const uint8_t *ptr;
    size_t len;
};

#define KV_BYTES_NULL ((struct kv_bytes){NULL, 0})

static inline struct kv_bytes kv_bytes(const void *ptr, size_t len)
{
    return (struct kv_bytes){ptr, len};
}
static inline struct kv_bytes kv_bytes_str(const char *s)
{
    return (struct kv_bytes){(const uint8_t *)s, strlen(s)};
}
bool kv_bytes_equal(struct kv_bytes a, struct kv_bytes b);
bool kv_bytes_is(struct kv_bytes a, const char *s);
/* <0, 0, >0 as memcmp, a prefix first. */
int kv_bytes_compare(struct kv_bytes a, struct kv_bytes b);

/* Sizes of the output, with its NUL. */
#define KV_HEX_LEN(n)    (2 * (n) + 1)
#define KV_BASE64_LEN(n) (4 * (((n) + 2) / 3) + 1)

/* Encoders write NUL-terminated text; `out` must have the size of the macros above. */
void kv_hex_encode(struct kv_bytes in, char *out);
void kv_base64_encode(struct kv_bytes in, char *out);
void kv_base64url_encode(struct kv_bytes in, char *out);
/* Decoders: true iff `in` is exactly the encoding of at most `max` bytes; *len is set then. */
bool kv_hex_decode(struct kv_bytes in, uint8_t *out, size_t max, size_t *len);
bool kv_base64_decode(struct kv_bytes in, uint8_t *out, size_t max, size_t *len);
bool kv_base64url_decode(struct kv_bytes in, uint8_t *out, size_t max, size_t *len);
/* The first 5·chars bits of `in` as Crockford base32 (0-9A-HJKMNP-TV-Z), NUL-terminated. */
void kv_base32_encode(struct kv_bytes in, size_t chars, char *out);

#endif
