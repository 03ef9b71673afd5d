#include "ledger/segment.h"

#include "core/cursor.h"
#include "core/parse.h"

#include <stdio.h>

static const uint8_t MAGIC[4] = {'K', 'V', 'F', '1'};

/* CRC-32C: reflected polynomial 82f63b78, as iSCSI (RFC 3720 B.4) and ext4 use it. The table is
 * made by the compiler, four bits at a time, so that nothing is initialised at run time. */
#define STEP(c) ((c) >> 1 ^ (((c)&1) != 0 ? UINT32_C(0x82f63b78) : 0))
#define ROW(c)  STEP(STEP(STEP(STEP(UINT32_C(c)))))
static const uint32_t table[16] = {ROW(0),  ROW(1),  ROW(2),  ROW(3), ROW(4),  ROW(5),
                                   ROW(6),  ROW(7),  ROW(8),  ROW(9), ROW(10), ROW(11),
                                   ROW(12), ROW(13), ROW(14), ROW(15)};

uint32_t kv_crc32c_plain(uint32_t crc, struct kv_bytes bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.ptr[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc,
                                                                 struct kv_bytes bytes)
{
    uint64_t sum = ~crc;
    while (bytes.len >= 8) {
        uint64_t eight;
        memcpy(&eight, bytes.ptr, sizeof eight);
        sum = __builtin_ia32_crc32di(sum, eight);
        bytes.ptr += 8;
        bytes.len -= 8;
    }
    crc = (uint32_t)sum;
    while (bytes.len > 0) {
        crc = __builtin_ia32_crc32qi(crc, *bytes.ptr++);
        bytes.len--;
    }
    return ~crc;
}
#endif

uint32_t kv_crc32c(uint32_t crc, struct kv_bytes bytes)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return by_instruction(crc, bytes);
    }
#endif
    return kv_crc32c_plain(crc, bytes);
}

static void put_be(uint8_t *to, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        to[i] = (uint8_t)(v >> (8 * (len - 1 - i)) & 0xff);
    }
}

/* Over len ‖ seq ‖ record: what lies around the sum itself. */
static uint32_t frame_crc(const uint8_t head[static KV_FRAME_HEADER], struct kv_bytes record)
{
    uint32_t crc = kv_crc32c(0, kv_bytes(head + 4, 4));
    crc = kv_crc32c(crc, kv_bytes(head + 12, 8));
    return kv_crc32c(crc, record);
}

void kv_wal_frame(uint64_t seq, struct kv_bytes record, struct kv_buf *out)
{
    uint8_t head[KV_FRAME_HEADER];
    assert(record.len >= 1 && record.len <= KV_RECORD_MAX);
    memcpy(head, MAGIC, sizeof MAGIC);
    put_be(head + 4, record.len, 4);
    put_be(head + 12, seq, 8);
    put_be(head + 8, frame_crc(head, record), 4);
    kv_buf_add(out, head, sizeof head);
    kv_buf_add_bytes(out, record);
}

void kv_segment_name(uint64_t first_seq, char out[static KV_SEGMENT_NAME_LEN])
{
    int n = snprintf(out, KV_SEGMENT_NAME_LEN, "%020llu.seg", (unsigned long long)first_seq);
    assert(n == KV_SEGMENT_NAME_LEN - 1);
}

bool kv_segment_name_parse(const char *name, uint64_t *first_seq)
{
    struct kv_bytes in = kv_bytes_str(name);
    if (in.len != KV_SEGMENT_NAME_LEN - 1 || strcmp(name + 20, ".seg") != 0) {
        return false;
    }
    in.len = 20;
    while (in.len > 1 && in.ptr[0] == '0') {
        in.ptr++;
        in.len--;
    }
    return kv_parse_u64(in, KV_NUMBER_MAX, first_seq);
}

const char *kv_why_word(enum kv_why why)
{
    static const char *const words[KV_WHY_COUNT] = {
        [KV_WHY_NONE] = "none",   [KV_WHY_END] = "end",       [KV_WHY_GAP] = "gap",
        [KV_WHY_MAGIC] = "magic", [KV_WHY_LENGTH] = "length", [KV_WHY_CRC] = "crc",
        [KV_WHY_SEQ] = "seq",     [KV_WHY_PREV] = "prev",
    };
    return words[why];
}

/* Length without the zeros at its end. */
static size_t used(struct kv_bytes bytes)
{
    size_t len = bytes.len;
    while (len > 0 && bytes.ptr[len - 1] == 0) {
        len--;
    }
    return len;
}

enum kv_why kv_segment_frame(struct kv_bytes segment, size_t off, uint64_t seq,
                             struct kv_bytes *record)
{
    assert(off <= segment.len);
    struct kv_bytes rest = kv_bytes(segment.ptr + off, segment.len - off);
    size_t magic = rest.len < sizeof MAGIC ? rest.len : sizeof MAGIC;
    if (used(kv_bytes(rest.ptr, magic)) == 0) {
        return used(rest) == 0 ? KV_WHY_END : KV_WHY_GAP;
    }
    if (magic < sizeof MAGIC || memcmp(rest.ptr, MAGIC, sizeof MAGIC) != 0) {
        return KV_WHY_MAGIC;
    }
    struct kv_cursor cur = kv_cursor(rest);
    (void)kv_cursor_take(&cur, sizeof MAGIC); /* looked at above */
    uint32_t len = kv_cursor_u32(&cur);
    uint32_t crc = kv_cursor_u32(&cur);
    uint64_t number = kv_cursor_u64(&cur);
    if (cur.failed || len < 1 || len > KV_RECORD_MAX || len > cur.left) {
        return KV_WHY_LENGTH;
    }
    struct kv_bytes data = kv_cursor_take(&cur, len);
    if (frame_crc(rest.ptr, data) != crc) {
        return KV_WHY_CRC;
    }
    if (number != seq) {
        return KV_WHY_SEQ;
    }
    *record = data;
    return KV_WHY_NONE;
}

void kv_segment_rest(struct kv_bytes segment, size_t off, uint64_t *bytes, uint64_t *frames)
{
    assert(off <= segment.len);
    *bytes = used(kv_bytes(segment.ptr + off, segment.len - off));
    *frames = 0;
    uint64_t at = off;
    while (at + KV_FRAME_HEADER <= segment.len &&
           memcmp(segment.ptr + at, MAGIC, sizeof MAGIC) == 0) {
        struct kv_cursor cur = kv_cursor(kv_bytes(segment.ptr + at + 4, 4));
        (*frames)++;
        at += KV_FRAME_HEADER + (uint64_t)kv_cursor_u32(&cur);
    }
}
