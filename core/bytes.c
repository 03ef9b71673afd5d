#include "core/bytes.h"

static const char HEX[] = "0123456789abcdef";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char BASE64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char BASE32[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

bool kv_bytes_equal(struct kv_bytes a, struct kv_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool kv_bytes_is(struct kv_bytes a, const char *s)
{
    return kv_bytes_equal(a, kv_bytes_str(s));
}

int kv_bytes_compare(struct kv_bytes a, struct kv_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

void kv_hex_encode(struct kv_bytes in, char *out)
{
    for (size_t i = 0; i < in.len; i++) {
        out[2 * i] = HEX[in.ptr[i] >> 4];
        out[2 * i + 1] = HEX[in.ptr[i] & 15];
    }
    out[2 * in.len] = '\0';
}

static int digit_of(const char *alphabet, size_t count, uint8_t c)
{
    const char *at = c == 0 ? NULL : memchr(alphabet, c, count);
    return at == NULL ? -1 : (int)(at - alphabet);
}

bool kv_hex_decode(struct kv_bytes in, uint8_t *out, size_t max, size_t *len)
{
    if (in.len % 2 != 0 || in.len / 2 > max) {
        return false;
    }
    for (size_t i = 0; i < in.len; i += 2) {
        int hi = digit_of(HEX, 16, in.ptr[i]);
        int lo = digit_of(HEX, 16, in.ptr[i + 1]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        out[i / 2] = (uint8_t)(hi << 4 | lo);
    }
    *len = in.len / 2;
    return true;
}

static void encode64(const char *alphabet, bool pad, struct kv_bytes in, char *out)
{
    size_t o = 0;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i;
        uint32_t v = (uint32_t)in.ptr[i] << 16;
        v |= left > 1 ? (uint32_t)in.ptr[i + 1] << 8 : 0;
        v |= left > 2 ? in.ptr[i + 2] : 0;
        out[o++] = alphabet[v >> 18 & 63];
        out[o++] = alphabet[v >> 12 & 63];
        if (left > 1 || pad) {
            out[o++] = left > 1 ? alphabet[v >> 6 & 63] : '=';
        }
        if (left > 2 || pad) {
            out[o++] = left > 2 ? alphabet[v & 63] : '=';
        }
    }
    out[o] = '\0';
}

static bool decode64(const char *alphabet, bool pad, struct kv_bytes in, uint8_t *out, size_t max,
                     size_t *len)
{
    size_t n = in.len;
    if (pad) {
        if (n % 4 != 0) {
            return false;
        }
        if (n > 0 && in.ptr[n - 1] == '=') {
            n -= in.ptr[n - 2] == '=' ? 2 : 1;
        }
    }
    size_t rest = n % 4;
    size_t bytes = n / 4 * 3 + (rest == 0 ? 0 : rest - 1);
    if (rest == 1 || bytes > max) {
        return false;
    }
    uint32_t acc = 0;
    unsigned bits = 0;
    size_t o = 0;
    for (size_t i = 0; i < n; i++) {
        int d = digit_of(alphabet, 64, in.ptr[i]);
        if (d < 0) {
            return false;
        }
        acc = acc << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[o++] = (uint8_t)(acc >> bits & 0xff);
        }
    }
    if ((acc & ((1U << bits) - 1)) != 0) {
        return false; /* spare bits: two texts would decode to the same bytes */
    }
    *len = bytes;
    return true;
}

void kv_base64_encode(struct kv_bytes in, char *out)
{
    encode64(BASE64, true, in, out);
}

void kv_base64url_encode(struct kv_bytes in, char *out)
{
    encode64(BASE64URL, false, in, out);
}

bool kv_base64_decode(struct kv_bytes in, uint8_t *out, size_t max, size_t *len)
{
    return decode64(BASE64, true, in, out, max, len);
}

bool kv_base64url_decode(struct kv_bytes in, uint8_t *out, size_t max, size_t *len)
{
    return decode64(BASE64URL, false, in, out, max, len);
}

void kv_base32_encode(struct kv_bytes in, size_t chars, char *out)
{
    assert(in.len * 8 >= chars * 5);
    for (size_t i = 0; i < chars; i++) {
        size_t bit = i * 5;
        uint32_t pair = (uint32_t)in.ptr[bit / 8] << 8;
        pair |= bit / 8 + 1 < in.len ? in.ptr[bit / 8 + 1] : 0;
        out[i] = BASE32[pair >> (11 - bit % 8) & 31];
    }
    out[chars] = '\0';
}
