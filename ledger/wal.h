/* The write-ahead log on disk: wal/<first seq>.seg, one of them open for appending. A segment is
 * allocated and durable before its first frame. Staged frames reach the disk with one write and one
 * fdatasync. After a failed write or sync the state of the file is unknown (the kernel may have
 * dropped the dirty pages and cleared the error), so the descriptor is never synced again: every
 * later call fails, and the way on is a new start with recovery. */
#ifndef KV_LEDGER_WAL_H
#define KV_LEDGER_WAL_H

#include "core/buf.h"
#include "core/err.h"
#include "ledger/segment.h"

struct kv_wal;

/* An appender below `wal_fd` (borrowed). segment_len 0 means KV_SEGMENT_LEN; smaller ones are for
 * tests. Owned by the caller. */
struct kv_wal *kv_wal_new(int wal_fd, uint64_t segment_len);
void kv_wal_free(struct kv_wal *wal);
/* Begin the segment named by `seq`, durably; a short one when there is no room for more. Errors:
 * KV_E_LEDGER_WRITE, KV_E_LEDGER_DISK. */
KV_MUST_USE enum kv_code kv_wal_begin(struct kv_wal *wal, uint64_t seq, struct kv_err *err);
/* Go on in the segment named by `first_seq` behind `off`; a short file is allocated again if there
 * is room. Errors: KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_wal_resume(struct kv_wal *wal, uint64_t first_seq, uint64_t off,
                                       struct kv_err *err);
/* Stage the next frame. One that does not fit flushes what is staged and begins the next segment.
 * Says where the record's bytes will be. Errors: as flush and begin. */
KV_MUST_USE enum kv_code kv_wal_stage(struct kv_wal *wal, uint64_t seq, struct kv_bytes record,
                                      uint64_t *segment, uint32_t *off, struct kv_err *err);
/* One write, one fdatasync; nothing staged: nothing done. Errors: KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_wal_flush(struct kv_wal *wal, struct kv_err *err);
/* Make the next segment ahead of need, once the current one is three quarters full. To be called
 * when there is time. Errors: KV_E_LEDGER_DISK. */
KV_MUST_USE enum kv_code kv_wal_prepare(struct kv_wal *wal, struct kv_err *err);
/* Bytes that can be staged without room on the disk for another segment. */
uint64_t kv_wal_left(const struct kv_wal *wal);
/* Is the open segment still the file of its name? Errors: KV_E_LEDGER_SAFE (unlinked, replaced). */
KV_MUST_USE enum kv_code kv_wal_check(const struct kv_wal *wal, struct kv_err *err);

#endif
