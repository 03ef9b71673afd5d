/* The ledger as the vault uses it (docs/ledger-format.md §6, §7): one process, holding wal/lock,
 * replays it, appends to it and publishes checkpoints.
 *
 *   wal/<first seq>.seg  blobs/  private/   0700
 *   public/checkpoint  public/tile/         0755
 *   reserve                                 space given back when the disk is full
 *   unfinished/<n>/                         what was left of a founding that never finished
 *
 * A turn: put blobs and side rows, append records, flush once. Then bounded answers may leave. For
 * strict ones: kv_log_checkpoint_text, signature by the keeper, kv_log_publish. An error of flush
 * or publish that is KV_E_LEDGER_WRITE is fatal: exit, start again, recover. */
#ifndef KV_LEDGER_LOG_H
#define KV_LEDGER_LOG_H

#include "ledger/blob.h"
#include "ledger/entry.h"
#include "ledger/note.h"
#include "ledger/segment.h"
#include "ledger/side.h"

struct kv_log;

enum kv_log_state {
    KV_LOG_DAMAGED, /* safe mode: reads only; status says where and why */
    KV_LOG_NEWER,   /* written by a newer version: reads only */
    KV_LOG_EMPTY,   /* unfounded; kv_log_found begins it */
    KV_LOG_GOOD,
};

struct kv_log_options {
    uint64_t segment_len; /* bytes; 0: KV_SEGMENT_LEN */
    uint64_t reserve_len; /* bytes; 0: KV_LOG_RESERVE_LEN */
};
#define KV_LOG_RESERVE_LEN  (UINT64_C(64) << 20)
#define KV_LOG_RESERVE_STEP (UINT64_C(1) << 20)
#define KV_LOG_FREE_MIN     (UINT64_C(16) << 20) /* free bytes below which disk is low */

/* What a start dropped behind the last good record: the facts of `log.recovered`. */
struct kv_log_recovered {
    uint64_t from;   /* first seq dropped */
    uint64_t frames; /* headers with the right magic among what was dropped */
    uint64_t bytes;
    enum kv_why why; /* KV_WHY_NONE: nothing was dropped */
};

struct kv_log_status {
    enum kv_log_state state;
    uint64_t size;    /* durable records */
    uint64_t covered; /* of them under the checkpoint */
    struct kv_log_recovered recovered;
    bool set_aside; /* EMPTY: an unfinished founding was moved to unfinished/ */
    /* DAMAGED and NEWER: the first bad place. */
    uint64_t bad_seq;
    char bad_place[96]; /* path below the ledger folder */
    enum kv_why bad_why;
    char bad_what[192];
};

/* Open the ledger in the folder `dir_fd` (borrowed), making its folders if there are none: lock,
 * read, recover. `on_record` judges each record in order; its error makes the ledger DAMAGED, with
 * its message. The judge must itself hold signed `log-checkpoint`s against entry->covered and
 * entry->tree. `expected` (may be NULL): the key that the log must be of; without it the key named
 * by the first record is taken. *out is owned by the caller also when the state is DAMAGED.
 * Errors: KV_E_LEDGER_LOCKED, KV_E_IO, KV_E_LEDGER_WRITE, KV_E_NO_MEMORY; damage is a state, not an
 * error. */
KV_MUST_USE enum kv_code kv_log_open(int dir_fd, const struct kv_log_options *options,
                                     const struct kv_vkey *expected, kv_entry_fn on_record,
                                     void *ctx, struct kv_log **out, struct kv_err *err);
/* The same in steps, for who has other things to do meanwhile: begin, then step until *out is the
 * log. Each step reads up to `records` more. Errors: as kv_log_open; there is nothing to go on with
 * after one. */
struct kv_log_opening;
KV_MUST_USE enum kv_code kv_log_open_begin(int dir_fd, const struct kv_log_options *options,
                                           const struct kv_vkey *expected, kv_entry_fn on_record,
                                           void *ctx, struct kv_log_opening **out,
                                           struct kv_err *err);
/* *out is NULL while there is more to read, then the log, owned by the caller. */
KV_MUST_USE enum kv_code kv_log_open_step(struct kv_log_opening *opening, uint64_t records,
                                          struct kv_log **out, struct kv_err *err);
struct kv_log_progress {
    uint64_t read; /* records so far */
    uint64_t of;   /* that the checkpoint covers; some more may lie behind it */
};
struct kv_log_progress kv_log_open_progress(const struct kv_log_opening *opening);
void kv_log_opening_free(struct kv_log_opening *opening);
void kv_log_opening_freep(struct kv_log_opening **opening);

/* Whether the file system takes a write now and makes it durable: asked before the first record,
 * since a disk that failed may well be read. Errors: KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_log_probe(const struct kv_log *log, struct kv_err *err);
/* Staged records that were not flushed are lost. */
void kv_log_free(struct kv_log *log);
void kv_log_freep(struct kv_log **log);

const struct kv_log_status *kv_log_status(const struct kv_log *log);
/* The log's key; NULL while EMPTY and not being founded. */
const struct kv_vkey *kv_log_vkey(const struct kv_log *log);

/* Begin a new log of `key` (state EMPTY). Nothing counts as a ledger before the first checkpoint is
 * published; then the state is GOOD. Errors: KV_E_FOUNDED, KV_E_LEDGER_WRITE, KV_E_LEDGER_DISK. */
KV_MUST_USE enum kv_code kv_log_found(struct kv_log *log, const struct kv_vkey *key,
                                      struct kv_err *err);
/* A founding that is refused half-way: what was written is set aside, the state is EMPTY again. */
KV_MUST_USE enum kv_code kv_log_abandon(struct kv_log *log, struct kv_err *err);

/* Durable before the records that name them are appended. Errors: see blob.h and side.h. */
KV_MUST_USE enum kv_code kv_log_put_blobs(struct kv_log *log, const struct kv_bytes *blobs,
                                          size_t count, struct kv_err *err);
KV_MUST_USE enum kv_code kv_log_put_rows(struct kv_log *log, const struct kv_side_row *rows,
                                         size_t count, struct kv_err *err);
/* Stamp v, seq and prev into `rec`, encode and stage it. ts must not be less than that of the
 * record before. On failure nothing was staged and the caller may go on, unless it is
 * KV_E_LEDGER_WRITE. Errors: KV_E_LEDGER_RECORD, KV_E_LEDGER_SAFE, KV_E_LEDGER_NEWER,
 * KV_E_UNFOUNDED, KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_log_append(struct kv_log *log, struct kv_record *rec,
                                       struct kv_err *err);
/* One write, one fdatasync for all staged records. Errors: KV_E_LEDGER_WRITE, KV_E_LEDGER_SAFE (the
 * segment was unlinked or replaced). */
KV_MUST_USE enum kv_code kv_log_flush(struct kv_log *log, struct kv_err *err);
/* When there is time: make the next segment, see that the open one is still there, write the tiles
 * that the last checkpoint has none of yet.
 * Errors: KV_E_LEDGER_SAFE, KV_E_LEDGER_DISK. */
KV_MUST_USE enum kv_code kv_log_tend(struct kv_log *log, struct kv_err *err);

uint64_t kv_log_next_seq(const struct kv_log *log); /* staged records included */
uint64_t kv_log_size(const struct kv_log *log);     /* durable */
uint64_t kv_log_covered(const struct kv_log *log);
int64_t kv_log_last_ts_ms(const struct kv_log *log); /* of the last record, staged too; 0 if none */
/* Root over the first `size` durable records. */
struct kv_hash kv_log_root(const struct kv_log *log, uint64_t size);
const struct kv_tree *kv_log_tree(const struct kv_log *log); /* staged records included */

/* Append the text to sign for all durable records; *size says how many, for kv_log_publish. */
KV_MUST_USE enum kv_code kv_log_checkpoint_text(const struct kv_log *log, struct kv_buf *out,
                                                uint64_t *size, struct kv_err *err);
/* Take the signature (r ‖ s) over the text for `size`: verified with the public key, written
 * durably as public/checkpoint, then the tiles, unless more records follow: then those come with
 * the next checkpoint, or by kv_log_tend. `size` must be above what is covered and durable. Errors:
 * KV_E_LEDGER_NOTE (signature wrong; nothing changed), KV_E_LEDGER_WRITE, KV_E_LEDGER_COVER (not a
 * continuation). */
KV_MUST_USE enum kv_code kv_log_publish(struct kv_log *log, uint64_t size,
                                        const uint8_t rs[static KV_ECDSA_RS_LEN],
                                        struct kv_err *err);
/* What a token says of the log's key (core/evidence.h), kept as public/log.evidence beside the
 * checkpoint and judged by who reads it. Errors: KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_log_put_evidence(struct kv_log *log, struct kv_bytes text,
                                             struct kv_err *err);
/* Append it. Errors: KV_E_NOT_FOUND, KV_E_INPUT_TOO_LARGE, KV_E_IO. */
KV_MUST_USE enum kv_code kv_log_evidence(const struct kv_log *log, struct kv_buf *out,
                                         struct kv_err *err);
/* The checkpoint as published, empty if none; borrowed until the next one. */
struct kv_bytes kv_log_checkpoint(const struct kv_log *log);

/* Append the bytes of record `seq` (durable). Errors: KV_E_NOT_FOUND, KV_E_LEDGER_RECORD (changed
 * since it was read), KV_E_IO. */
KV_MUST_USE enum kv_code kv_log_record(const struct kv_log *log, uint64_t seq, struct kv_buf *out,
                                       struct kv_err *err);
KV_MUST_USE enum kv_code kv_log_blob(const struct kv_log *log, const struct kv_hash *hash,
                                     size_t len, struct kv_buf *out, struct kv_err *err);
/* The side row of a commitment; see kv_side_row_get. */
KV_MUST_USE enum kv_code kv_log_row(const struct kv_log *log, const struct kv_hash *commitment,
                                    struct kv_side_row *out, struct kv_buf *store,
                                    struct kv_err *err);
/* Append a tlog-proof of record `seq` under the published checkpoint. Errors: KV_E_LEDGER_COVER
 * (not covered yet), KV_E_NOT_FOUND, KV_E_LEDGER_PROOF. */
KV_MUST_USE enum kv_code kv_log_prove(const struct kv_log *log, uint64_t seq, struct kv_buf *out,
                                      struct kv_err *err);

struct kv_log_space {
    uint64_t free;    /* bytes that the file system still gives us */
    uint64_t reserve; /* bytes left in `reserve` */
    bool low;         /* nothing may be given or used */
    bool read_only;   /* nothing can be written at all */
};
/* Bytes of records that the segments which are there still take. */
uint64_t kv_log_segment_left(const struct kv_log *log);
KV_MUST_USE enum kv_code kv_log_space(const struct kv_log *log, struct kv_log_space *out,
                                      struct kv_err *err);
/* Give up to KV_LOG_RESERVE_STEP bytes of the reserve back to the file system, for what takes away.
 * Errors: KV_E_LEDGER_DISK (nothing left), KV_E_IO. */
KV_MUST_USE enum kv_code kv_log_reserve_give(struct kv_log *log, struct kv_err *err);
/* Fill the reserve up again if there is room for it beside KV_LOG_FREE_MIN; otherwise nothing. */
KV_MUST_USE enum kv_code kv_log_reserve_fill(struct kv_log *log, struct kv_err *err);

#endif
