/* The inside of struct kv_log, shared by log.c, recover.c and space.c only. */
#ifndef KV_LEDGER_LOG_STATE_H
#define KV_LEDGER_LOG_STATE_H

#include "ledger/follow.h"
#include "ledger/log.h"
#include "ledger/wal.h"

/* Where a record's bytes lie. */
struct kv_log_place {
    uint64_t segment; /* first seq of it */
    uint32_t off;
    uint32_t len;
};

struct kv_log {
    int dir_fd, wal_fd, blobs_fd, private_fd, public_fd, tile_fd, lock_fd;
    struct kv_log_options options; /* zeros replaced by defaults */
    struct kv_log_status status;
    bool has_vkey;
    bool founding; /* EMPTY, and records may be appended */
    struct kv_vkey vkey;
    struct kv_wal *wal;
    struct kv_tree *tree;
    struct kv_log_place *place; /* owned; by seq */
    size_t place_cap;
    struct kv_chain chain; /* staged records included */
    bool has_checkpoint;
    struct kv_checkpoint checkpoint;
    uint64_t tiled;     /* records that the tiles are of */
    struct kv_buf note; /* the published checkpoint's bytes */
    struct kv_buf line; /* of the record being appended */
};

/* Note that a record whose bytes lie at `place` is the next leaf. */
void kv_log_add(struct kv_log *log, const struct kv_record *rec, const struct kv_hash *leaf,
                struct kv_log_place place);
/* Read, recover and judge what is on disk, in steps of some records; the last one sets the status
 * and *done. The scan is owned by the caller. Errors: as kv_log_open. */
struct kv_scan;
KV_MUST_USE enum kv_code kv_scan_begin(struct kv_log *log, const struct kv_vkey *expected,
                                       kv_entry_fn on_record, void *ctx, struct kv_scan **out,
                                       struct kv_err *err);
KV_MUST_USE enum kv_code kv_scan_step(struct kv_scan *scan, uint64_t records, bool *done,
                                      struct kv_err *err);
void kv_scan_free(struct kv_scan *scan);
/* Move all segments to unfinished/<n>/. */
KV_MUST_USE enum kv_code kv_log_set_aside(struct kv_log *log, struct kv_err *err);
#endif
