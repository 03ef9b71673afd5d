/* Frames and segments of the write-ahead log (docs/ledger-format.md §6, §7), as bytes in memory:
 *
 *   frame = "KVF1" ‖ u32 len ‖ u32 crc ‖ u64 seq ‖ record        crc = CRC-32C(len ‖ seq ‖ record)
 *
 * Frames follow each other without padding; zero where a magic is due is the end. */
#ifndef KV_LEDGER_SEGMENT_H
#define KV_LEDGER_SEGMENT_H

#include "core/buf.h"
#include "core/record.h"

#define KV_FRAME_HEADER     20
#define KV_SEGMENT_LEN      (UINT64_C(64) << 20)  /* bytes of a segment */
#define KV_SEGMENT_SHORT    (UINT64_C(1) << 20)   /* of one that is begun on a full disk */
#define KV_SEGMENT_MAX      (UINT64_C(256) << 20) /* bytes that a reader is ready to hold */
#define KV_SEGMENT_NAME_LEN 25                    /* 20 digits, ".seg", NUL */

/* CRC-32C (Castagnoli, reflected) of `bytes`, going on from `crc`; start with 0. */
uint32_t kv_crc32c(uint32_t crc, struct kv_bytes bytes);
/* The same for processors without an instruction for it. */
uint32_t kv_crc32c_plain(uint32_t crc, struct kv_bytes bytes);
/* Append a frame. */
void kv_wal_frame(uint64_t seq, struct kv_bytes record, struct kv_buf *out);
void kv_segment_name(uint64_t first_seq, char out[static KV_SEGMENT_NAME_LEN]);
bool kv_segment_name_parse(const char *name, uint64_t *first_seq);

/* Why a frame is not the next record. KV_WHY_PREV is found by who knows the record before. */
enum kv_why {
    KV_WHY_NONE,
    KV_WHY_END, /* zero up to the end of the segment */
    KV_WHY_GAP, /* zero magic, but not only zero behind it */
    KV_WHY_MAGIC,
    KV_WHY_LENGTH,
    KV_WHY_CRC,
    KV_WHY_SEQ,
    KV_WHY_PREV,
    KV_WHY_COUNT
};
const char *kv_why_word(enum kv_why why); /* "crc" */

/* Look at the frame at `off`: KV_WHY_NONE and its record (borrowed from `segment`; the next frame
 * is behind it), or why there is none. The order of checks is that of §7. */
enum kv_why kv_segment_frame(struct kv_bytes segment, size_t off, uint64_t seq,
                             struct kv_bytes *record);
/* What lies from `off` on: bytes up to the last one that is not zero, and headers with the right
 * magic found by stepping. */
void kv_segment_rest(struct kv_bytes segment, size_t off, uint64_t *bytes, uint64_t *frames);

#endif
