#include "core/parse.h"

bool kv_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool kv_is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

bool kv_is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

bool kv_all_digits(struct kv_bytes in)
{
    for (size_t i = 0; i < in.len; i++) {
        if (!kv_is_digit(in.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool kv_parse_u64(struct kv_bytes in, uint64_t max, uint64_t *out)
{
    if (in.len == 0 || in.len > 20 || !kv_all_digits(in) || (in.len > 1 && in.ptr[0] == '0')) {
        return false;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < in.len; i++) {
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(in.ptr[i] - '0'), &v)) {
            return false;
        }
    }
    if (v > max) {
        return false;
    }
    *out = v;
    return true;
}

bool kv_utf8_next(struct kv_bytes in, size_t *at, uint32_t *code_point)
{
    uint8_t lead = in.ptr[*at];
    size_t more = lead < 0x80 ? 0 : lead < 0xc2 ? 4 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (more == 4 || lead > 0xf4 || more > in.len - *at - 1) {
        return false;
    }
    static const uint8_t lead_mask[] = {0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = lead & lead_mask[more];
    for (size_t i = 1; i <= more; i++) {
        uint8_t next = in.ptr[*at + i];
        if ((next & 0xc0) != 0x80) {
            return false;
        }
        c = c << 6 | (next & 0x3fU);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return false;
    }
    *at += more + 1;
    *code_point = c;
    return true;
}

bool kv_utf8_valid(struct kv_bytes in)
{
    size_t at = 0;
    uint32_t c;
    while (at < in.len) {
        if (!kv_utf8_next(in, &at, &c)) {
            return false;
        }
    }
    return true;
}

bool kv_char_hides(uint32_t c)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } hidden[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e},
        {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x2069}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
    };
    for (size_t i = 0; i < KV_COUNT(hidden); i++) {
        if (c >= hidden[i].first && c <= hidden[i].last) {
            return true;
        }
    }
    return false;
}
