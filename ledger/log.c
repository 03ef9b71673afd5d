#include "ledger/log_state.h"

#include "core/evidence.h"
#include "ledger/encode.h"
#include "ledger/file.h"
#include "ledger/tile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

void kv_log_add(struct kv_log *log, const struct kv_record *rec, const struct kv_hash *leaf,
                struct kv_log_place place)
{
    size_t seq = (size_t)log->chain.seq;
    if (seq == log->place_cap) {
        size_t cap = seq == 0 ? 256 : 2 * seq;
        struct kv_log_place *grown = reallocarray(log->place, cap, sizeof *grown);
        if (grown == NULL) {
            abort(); /* as the tree: what cannot be indexed cannot be kept */
        }
        log->place = grown;
        log->place_cap = cap;
    }
    log->place[seq] = place;
    kv_tree_append(log->tree, leaf);
    kv_chain_add(&log->chain, rec, leaf);
}

static struct kv_log *new_log(const struct kv_log_options *options)
{
    struct kv_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        abort();
    }
    log->dir_fd = log->wal_fd = log->blobs_fd = log->private_fd = -1;
    log->public_fd = log->tile_fd = log->lock_fd = -1;
    if (options != NULL) {
        log->options = *options;
    }
    if (log->options.segment_len == 0) {
        log->options.segment_len = KV_SEGMENT_LEN;
    }
    if (log->options.reserve_len == 0) {
        log->options.reserve_len = KV_LOG_RESERVE_LEN;
    }
    log->tree = kv_tree_new();
    kv_buf_init(&log->note, KV_NOTE_MAX);
    kv_buf_init(&log->line, 2 * KV_RECORD_MAX);
    return log;
}

void kv_log_free(struct kv_log *log)
{
    if (log == NULL) {
        return;
    }
    kv_wal_free(log->wal);
    kv_tree_free(log->tree);
    free(log->place);
    kv_buf_clear(&log->note);
    kv_buf_clear(&log->line);
    int *const fds[] = {&log->tile_fd, &log->public_fd, &log->private_fd, &log->blobs_fd,
                        &log->lock_fd, &log->wal_fd,    &log->dir_fd};
    for (size_t i = 0; i < KV_COUNT(fds); i++) {
        kv_close_fdp(fds[i]);
    }
    free(log);
}

void kv_log_freep(struct kv_log **log)
{
    kv_log_free(*log);
    *log = NULL;
}

static enum kv_code open_folders(struct kv_log *log, struct kv_err *err)
{
    const struct {
        const int *in;
        const char *name;
        mode_t mode;
        int *fd;
    } dirs[] = {
        {&log->dir_fd, "wal", 0700, &log->wal_fd},
        {&log->dir_fd, "blobs", 0700, &log->blobs_fd},
        {&log->dir_fd, "private", 0700, &log->private_fd},
        {&log->dir_fd, "public", 0755, &log->public_fd},
        {&log->public_fd, "tile", 0755, &log->tile_fd},
    };
    for (size_t i = 0; i < KV_COUNT(dirs); i++) {
        enum kv_code code = kv_dir_make(*dirs[i].in, dirs[i].name, dirs[i].mode, dirs[i].fd, err);
        if (code != KV_OK) {
            return kv_wrap(err, "open the ledger");
        }
    }
    return KV_OK;
}

static enum kv_code lock(struct kv_log *log, struct kv_err *err)
{
    log->lock_fd = openat(log->wal_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log->lock_fd < 0) {
        return KV_FAIL(err, errno == EROFS ? KV_E_LEDGER_WRITE : KV_E_IO, KV_ERRNO,
                       "wal/lock cannot be opened");
    }
    if (flock(log->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? KV_REFUSE(err, KV_E_LEDGER_LOCKED, "another process holds wal/lock")
                   : KV_FAIL(err, KV_E_IO, KV_ERRNO, "wal/lock cannot be locked");
    }
    return KV_OK;
}

/* Derived, for others' convenience: the log is good without them, and the next start writes them
 * again. */
static void write_tiles(struct kv_log *log, uint64_t size)
{
    if (kv_tiles_write(log->tile_fd, log->tree, log->tiled, size, NULL) == KV_OK) {
        log->tiled = size;
    }
}

struct kv_log_opening {
    struct kv_log *log; /* owned until it is handed over */
    struct kv_scan *scan;
};

void kv_log_opening_free(struct kv_log_opening *opening)
{
    if (opening == NULL) {
        return;
    }
    kv_scan_free(opening->scan);
    kv_log_free(opening->log);
    free(opening);
}

void kv_log_opening_freep(struct kv_log_opening **opening)
{
    kv_log_opening_free(*opening);
    *opening = NULL;
}

enum kv_code kv_log_open_begin(int dir_fd, const struct kv_log_options *options,
                               const struct kv_vkey *expected, kv_entry_fn on_record, void *ctx,
                               struct kv_log_opening **out, struct kv_err *err)
{
    KV_CLEANUP(kv_log_opening_freep)
    struct kv_log_opening *opening = calloc(1, sizeof *opening);
    if (opening == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory to open the ledger");
    }
    struct kv_log *log = opening->log = new_log(options);
    log->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (log->dir_fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the ledger folder cannot be opened");
    }
    enum kv_code code = open_folders(log, err);
    if (code == KV_OK) {
        code = lock(log, err);
    }
    if (code != KV_OK) {
        return code;
    }
    log->wal = kv_wal_new(log->wal_fd, log->options.segment_len);
    code = kv_scan_begin(log, expected, on_record, ctx, &opening->scan, err);
    if (code != KV_OK) {
        return code;
    }
    *out = opening;
    opening = NULL; /* handed over */
    return KV_OK;
}

enum kv_code kv_log_open_step(struct kv_log_opening *opening, uint64_t records, struct kv_log **out,
                              struct kv_err *err)
{
    struct kv_log *log = opening->log;
    bool done = false;
    enum kv_code code = kv_scan_step(opening->scan, records, &done, err);
    if (code != KV_OK) {
        return code;
    }
    if (!done) {
        *out = NULL;
        return KV_OK;
    }
    if (log->status.state == KV_LOG_GOOD || log->status.state == KV_LOG_EMPTY) {
        code = kv_log_reserve_fill(log, err);
        if (code != KV_OK) {
            return code;
        }
    }
    if (log->status.state == KV_LOG_GOOD) {
        write_tiles(log, log->checkpoint.size);
    }
    *out = log;
    opening->log = NULL; /* handed over */
    return KV_OK;
}

struct kv_log_progress kv_log_open_progress(const struct kv_log_opening *opening)
{
    const struct kv_log *log = opening->log;
    return (struct kv_log_progress){log->chain.seq, log->checkpoint.size};
}

enum kv_code kv_log_open(int dir_fd, const struct kv_log_options *options,
                         const struct kv_vkey *expected, kv_entry_fn on_record, void *ctx,
                         struct kv_log **out, struct kv_err *err)
{
    KV_CLEANUP(kv_log_opening_freep) struct kv_log_opening *opening = NULL;
    enum kv_code code = kv_log_open_begin(dir_fd, options, expected, on_record, ctx, &opening, err);
    return code == KV_OK ? kv_log_open_step(opening, UINT64_MAX, out, err) : code;
}

enum kv_code kv_log_probe(const struct kv_log *log, struct kv_err *err)
{
    /* statvfs does not tell: ext4 may have gone read-only by itself, or the device be gone */
    if (pwrite(log->lock_fd, "\n", 1, 0) != 1 && errno != ENOSPC && errno != EDQUOT) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/lock cannot be written");
    }
    return fdatasync(log->lock_fd) == 0
               ? KV_OK
               : KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/lock cannot be synced");
}

const struct kv_log_status *kv_log_status(const struct kv_log *log)
{
    return &log->status;
}

const struct kv_vkey *kv_log_vkey(const struct kv_log *log)
{
    return log->has_vkey ? &log->vkey : NULL;
}

enum kv_code kv_log_found(struct kv_log *log, const struct kv_vkey *key, struct kv_err *err)
{
    if (log->status.state != KV_LOG_EMPTY || log->founding) {
        return KV_REFUSE(err, KV_E_FOUNDED, "the ledger folder holds a ledger");
    }
    enum kv_code code = kv_wal_begin(log->wal, 0, err);
    if (code == KV_OK) {
        log->vkey = *key;
        log->has_vkey = true;
        log->founding = true;
    }
    return code;
}

enum kv_code kv_log_abandon(struct kv_log *log, struct kv_err *err)
{
    if (!log->founding) {
        return KV_OK;
    }
    kv_wal_free(log->wal);
    log->wal = kv_wal_new(log->wal_fd, log->options.segment_len);
    kv_tree_free(log->tree);
    log->tree = kv_tree_new();
    log->chain = (struct kv_chain){0};
    log->status.size = 0;
    log->founding = false;
    log->has_vkey = false;
    log->status.set_aside = true;
    return kv_log_set_aside(log, err);
}

static enum kv_code writable(const struct kv_log *log, struct kv_err *err)
{
    switch (log->status.state) {
    case KV_LOG_GOOD: return KV_OK;
    case KV_LOG_EMPTY:
        return log->founding ? KV_OK
                             : KV_REFUSE(err, KV_E_UNFOUNDED, "the ledger has not been begun");
    case KV_LOG_NEWER: return KV_REFUSE(err, KV_E_LEDGER_NEWER, "the ledger is of a newer version");
    case KV_LOG_DAMAGED: break;
    }
    return KV_REFUSE(err, KV_E_LEDGER_SAFE, "%s: %.120s", log->status.bad_place,
                     log->status.bad_what);
}

enum kv_code kv_log_put_blobs(struct kv_log *log, const struct kv_bytes *blobs, size_t count,
                              struct kv_err *err)
{
    enum kv_code code = writable(log, err);
    return code == KV_OK ? kv_blobs_put(log->blobs_fd, blobs, count, err) : code;
}

enum kv_code kv_log_put_rows(struct kv_log *log, const struct kv_side_row *rows, size_t count,
                             struct kv_err *err)
{
    enum kv_code code = writable(log, err);
    return code == KV_OK ? kv_side_rows_put(log->private_fd, rows, count, err) : code;
}

/* A founding log must be of the key that it was begun with. */
static enum kv_code check_init(const struct kv_log *log, const struct kv_record *rec,
                               struct kv_err *err)
{
    struct kv_vkey key;
    if (rec->seq != 0) {
        return KV_OK;
    }
    enum kv_code code = kv_chain_vkey(rec, &key, err);
    if (code == KV_OK && !kv_vkey_equal(&key, &log->vkey)) {
        return KV_REFUSE(err, KV_E_LEDGER_RECORD, "log.init names another key than the log's");
    }
    return code;
}

enum kv_code kv_log_append(struct kv_log *log, struct kv_record *rec, struct kv_err *err)
{
    enum kv_code code = writable(log, err);
    if (code != KV_OK) {
        return code;
    }
    rec->v = KV_RECORD_VERSION;
    rec->seq = log->chain.seq;
    rec->has_prev = log->chain.seq > 0;
    rec->prev = log->chain.last_leaf;
    code = kv_chain_check(&log->chain, rec, err);
    if (code == KV_OK) {
        code = check_init(log, rec, err);
    }
    kv_buf_reset(&log->line);
    if (code == KV_OK) {
        code = kv_record_encode(rec, &log->line, err);
    }
    struct kv_log_place place = {.len = (uint32_t)log->line.len};
    if (code == KV_OK) {
        code = kv_wal_stage(log->wal, rec->seq, kv_buf_bytes(&log->line), &place.segment,
                            &place.off, err);
    }
    if (code != KV_OK) {
        return kv_wrap(err, "record %s", kv_event_word(rec->ev));
    }
    struct kv_hash leaf = kv_leaf_hash(kv_buf_bytes(&log->line));
    kv_log_add(log, rec, &leaf, place);
    return KV_OK;
}

enum kv_code kv_log_flush(struct kv_log *log, struct kv_err *err)
{
    enum kv_code code = writable(log, err);
    if (code != KV_OK || log->status.size == log->chain.seq) {
        return code;
    }
    code = kv_wal_check(log->wal, err);
    if (code == KV_OK) {
        code = kv_wal_flush(log->wal, err);
    }
    if (code == KV_OK) {
        log->status.size = log->chain.seq;
    }
    return code;
}

enum kv_code kv_log_tend(struct kv_log *log, struct kv_err *err)
{
    enum kv_code code = writable(log, err);
    if (code == KV_OK) {
        code = kv_wal_check(log->wal, err);
    }
    if (code == KV_OK && log->tiled < log->status.covered) {
        write_tiles(log, log->status.covered);
    }
    return code == KV_OK ? kv_wal_prepare(log->wal, err) : code;
}

uint64_t kv_log_next_seq(const struct kv_log *log)
{
    return log->chain.seq;
}

uint64_t kv_log_size(const struct kv_log *log)
{
    return log->status.size;
}

uint64_t kv_log_covered(const struct kv_log *log)
{
    return log->status.covered;
}

int64_t kv_log_last_ts_ms(const struct kv_log *log)
{
    return log->chain.ts_ms;
}

struct kv_hash kv_log_root(const struct kv_log *log, uint64_t size)
{
    assert(size <= log->status.size);
    return kv_tree_root(log->tree, size);
}

const struct kv_tree *kv_log_tree(const struct kv_log *log)
{
    return log->tree;
}

static struct kv_checkpoint head_of(const struct kv_log *log, uint64_t size)
{
    struct kv_checkpoint cp = {.size = size, .root = kv_tree_root(log->tree, size)};
    memcpy(cp.origin, log->vkey.name, sizeof cp.origin);
    return cp;
}

enum kv_code kv_log_checkpoint_text(const struct kv_log *log, struct kv_buf *out, uint64_t *size,
                                    struct kv_err *err)
{
    enum kv_code code = writable(log, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_checkpoint cp = head_of(log, log->status.size);
    kv_checkpoint_text(&cp, out);
    if (out->failed) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a checkpoint");
    }
    *size = cp.size;
    return KV_OK;
}

/* A signed head that is no continuation of the last would be evidence against ourselves. */
static enum kv_code check_continuation(const struct kv_log *log, uint64_t size, struct kv_err *err)
{
    if (size > log->status.size || size <= log->status.covered) {
        return KV_REFUSE(err, KV_E_LEDGER_COVER, "size %llu is not between %llu and %llu",
                         (unsigned long long)size, (unsigned long long)log->status.covered + 1,
                         (unsigned long long)log->status.size);
    }
    struct kv_hash last = kv_tree_root(log->tree, log->status.covered);
    if (log->has_checkpoint && !kv_hash_equal(&last, &log->checkpoint.root)) {
        return KV_REFUSE(err, KV_E_LEDGER_COVER, "not a continuation of the last checkpoint");
    }
    return KV_OK;
}

enum kv_code kv_log_publish(struct kv_log *log, uint64_t size,
                            const uint8_t rs[static KV_ECDSA_RS_LEN], struct kv_err *err)
{
    struct kv_buf text, note;
    enum kv_code code = writable(log, err);
    if (code == KV_OK) {
        code = check_continuation(log, size, err);
    }
    if (code != KV_OK) {
        return code;
    }
    struct kv_checkpoint cp = head_of(log, size);
    kv_buf_init(&text, KV_CHECKPOINT_MAX);
    kv_buf_init(&note, KV_NOTE_MAX);
    kv_checkpoint_text(&cp, &text);
    code = kv_note_make(&log->vkey, kv_buf_bytes(&text), rs, &note, err);
    if (code == KV_OK) {
        code = kv_file_write(log->public_fd, "checkpoint", kv_buf_bytes(&note), 0644, true, err);
    }
    kv_buf_clear(&text);
    if (code != KV_OK) {
        kv_buf_clear(&note);
        return kv_wrap(err, "publish a checkpoint");
    }
    kv_buf_clear(&log->note);
    log->note = note; /* handed over */
    if (log->chain.seq == size) {
        write_tiles(log, size); /* else the next one brings them, or kv_log_tend does */
    }
    log->checkpoint = cp;
    log->has_checkpoint = true;
    log->status.covered = size;
    log->status.state = KV_LOG_GOOD;
    log->founding = false;
    return KV_OK;
}

enum kv_code kv_log_put_evidence(struct kv_log *log, struct kv_bytes text, struct kv_err *err)
{
    return kv_file_write(log->public_fd, "log.evidence", text, 0644, true, err);
}

enum kv_code kv_log_evidence(const struct kv_log *log, struct kv_buf *out, struct kv_err *err)
{
    return kv_file_read(log->public_fd, "log.evidence", KV_EVIDENCE_MAX, out, err);
}

struct kv_bytes kv_log_checkpoint(const struct kv_log *log)
{
    return kv_buf_bytes(&log->note);
}
