#include "ledger/log_state.h"

#include "core/cursor.h"
#include "ledger/dir.h"
#include "ledger/encode.h"
#include "ledger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Start of the log (docs/ledger-format.md §7). One pass over the segments, some records at a time:
 * each frame is checked, decoded, chained, its blobs loaded, and handed to the judge. */

struct kv_scan {
    struct kv_log *log;
    kv_entry_fn on_record; /* may be NULL */
    bool judging;          /* false: a founding that may be unfinished is only read */
    bool reading;          /* there may be more records */
    void *ctx;
    struct kv_blob_set *blobs;
    uint64_t *list; /* owned: first seqs of the segments */
    size_t count;
    size_t index;        /* of the segment being read */
    struct kv_buf bytes; /* of that segment */
    size_t off;          /* of the next frame in it */
    enum kv_why why;     /* why reading ended */
    bool started;        /* the first agent.start was seen */
    bool beyond_start;   /* and something behind it */
};

void kv_scan_free(struct kv_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    free(scan->list);
    kv_blob_set_free(scan->blobs);
    kv_buf_clear(&scan->bytes);
    free(scan);
}

/* Safe mode, with its place. The first one counts. */
static void damage(struct kv_log *log, enum kv_log_state state, uint64_t seq, const char *place,
                   enum kv_why why, const char *what)
{
    struct kv_log_status *status = &log->status;
    *status = (struct kv_log_status){.state = state,
                                     .bad_seq = seq,
                                     .bad_why = why,
                                     .size = log->chain.seq,
                                     .covered = status->covered};
    int n = snprintf(status->bad_place, sizeof status->bad_place, "%s", place);
    int m = snprintf(status->bad_what, sizeof status->bad_what, "%s", what);
    assert(n >= 0 && m >= 0);
}

static void segment_path(const struct kv_scan *scan, char out[static KV_SEGMENT_NAME_LEN + 4])
{
    memcpy(out, "wal/", 4);
    kv_segment_name(scan->count == 0 ? 0 : scan->list[scan->index], out + 4);
}

/* Damage of the record that is due. */
static void damage_here(struct kv_scan *scan, enum kv_log_state state, enum kv_why why,
                        const char *what)
{
    char path[KV_SEGMENT_NAME_LEN + 4];
    segment_path(scan, path);
    damage(scan->log, state, scan->log->chain.seq, path, why, what);
}

static enum kv_code load_segment(struct kv_scan *scan, size_t index, struct kv_err *err)
{
    char name[KV_SEGMENT_NAME_LEN];
    kv_segment_name(scan->list[index], name);
    kv_buf_reset(&scan->bytes);
    scan->index = index;
    scan->off = 0;
    return kv_file_read(scan->log->wal_fd, name, KV_SEGMENT_MAX, &scan->bytes, err);
}

/* The judge's part: blobs and meaning. False: damaged. */
static bool judge(struct kv_scan *scan, const struct kv_record *rec, struct kv_bytes line,
                  const struct kv_hash *leaf)
{
    struct kv_log *log = scan->log;
    struct kv_entry entry = {rec, line, *leaf, {0}, log->tree, log->checkpoint.size};
    struct kv_err why = {0};
    size_t bad = 0;
    if (kv_blob_set_load(scan->blobs, log->blobs_fd, rec, &entry.blobs, &bad, &why) != KV_OK) {
        char path[6 + KV_HASH_HEX_LEN] = "blobs/";
        kv_hash_hex(&rec->docs[bad].hash, path + 6);
        damage(log, KV_LOG_DAMAGED, rec->seq, path, KV_WHY_NONE, why.msg);
        return false;
    }
    if (scan->on_record != NULL && scan->on_record(scan->ctx, &entry, &why) != KV_OK) {
        char path[KV_SEGMENT_NAME_LEN + 4];
        segment_path(scan, path);
        damage(log, KV_LOG_DAMAGED, rec->seq, path, KV_WHY_NONE, why.msg);
        return false;
    }
    return true;
}

/* One frame's record. Sets scan->why when it is not the next one, the status when it is damage. */
static bool take_record(struct kv_scan *scan, struct kv_bytes line)
{
    struct kv_log *log = scan->log;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = NULL;
    struct kv_err why = {0};
    enum kv_code code = kv_record_decode(line, &rec, &why);
    if (code != KV_OK) {
        /* Not ours to read: a stale frame, a newer version, or damage with a good sum. */
        KV_CLEANUP(kv_record_freep) struct kv_record *peek = NULL;
        if (kv_record_peek(line, &peek, NULL) == KV_OK && !kv_chain_prev(&log->chain, peek)) {
            scan->why = KV_WHY_PREV;
            return false;
        }
        damage_here(scan, code == KV_E_LEDGER_NEWER ? KV_LOG_NEWER : KV_LOG_DAMAGED, KV_WHY_NONE,
                    why.msg);
        return false;
    }
    if (!kv_chain_prev(&log->chain, rec)) {
        scan->why = KV_WHY_PREV;
        return false;
    }
    if (kv_chain_check(&log->chain, rec, &why) != KV_OK) {
        damage_here(scan, KV_LOG_DAMAGED, KV_WHY_NONE, why.msg);
        return false;
    }
    struct kv_hash leaf = kv_leaf_hash(line);
    struct kv_log_place place = {scan->list[scan->index], (uint32_t)(scan->off + KV_FRAME_HEADER),
                                 (uint32_t)line.len};
    kv_log_add(log, rec, &leaf, place);
    scan->beyond_start = scan->beyond_start || scan->started;
    scan->started = scan->started || rec->ev == KV_EV_AGENT_START;
    return !scan->judging || judge(scan, rec, line, &leaf);
}

static enum kv_code read_first(struct kv_scan *scan, struct kv_err *err)
{
    scan->why = KV_WHY_END;
    if (scan->count == 0 || scan->list[0] != 0) {
        return KV_OK; /* nothing that could begin with record 0 */
    }
    scan->reading = true;
    return scan->bytes.len > 0 ? KV_OK : load_segment(scan, 0, err); /* there is the first one */
}

/* Read up to `records`, until the first frame that is not the next record; then `reading` is false.
 * KV_OK also when the status says damage. */
static enum kv_code read_some(struct kv_scan *scan, uint64_t records, struct kv_err *err)
{
    struct kv_log *log = scan->log;
    enum kv_code code = KV_OK;
    while (code == KV_OK && scan->reading && records > 0) {
        struct kv_bytes line;
        scan->why = kv_segment_frame(kv_buf_bytes(&scan->bytes), scan->off, log->chain.seq, &line);
        if (scan->why == KV_WHY_NONE) {
            scan->reading = take_record(scan, line);
            scan->off += scan->reading ? KV_FRAME_HEADER + line.len : 0;
            records--;
            continue;
        }
        size_t next = scan->index + 1;
        if (scan->why != KV_WHY_END || next == scan->count || scan->list[next] != log->chain.seq ||
            scan->off == 0) {
            scan->reading = false;
        } else {
            code = load_segment(scan, next, err);
        }
    }
    return code;
}

/* Zero [off, off + len) of the open segment and sync it. */
static enum kv_code zero_tail(struct kv_scan *scan, uint64_t len, struct kv_err *err)
{
    static const uint8_t zeros[4096];
    char name[KV_SEGMENT_NAME_LEN];
    kv_segment_name(scan->list[scan->index], name);
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(scan->log->wal_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/%s cannot be opened", name);
    }
    for (uint64_t at = 0; at < len; at += sizeof zeros) {
        size_t n = len - at < sizeof zeros ? (size_t)(len - at) : sizeof zeros;
        enum kv_code code = kv_fd_write_at(fd, kv_bytes(zeros, n), (off_t)(scan->off + at), err);
        if (code != KV_OK) {
            return code;
        }
    }
    return fsync(fd) == 0
               ? KV_OK
               : KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/%s cannot be synced", name);
}

/* Count and remove the segments behind the one that ended. */
static enum kv_code drop_later(struct kv_scan *scan, uint64_t *bytes, uint64_t *frames,
                               struct kv_err *err)
{
    size_t last = scan->index;
    size_t off = scan->off;
    for (size_t i = last + 1; i < scan->count; i++) {
        char name[KV_SEGMENT_NAME_LEN];
        uint64_t b, f;
        enum kv_code code = load_segment(scan, i, err);
        if (code != KV_OK) {
            return code;
        }
        kv_segment_rest(kv_buf_bytes(&scan->bytes), 0, &b, &f);
        *bytes += b;
        *frames += f;
        kv_segment_name(scan->list[i], name);
        if (unlinkat(scan->log->wal_fd, name, 0) != 0) {
            return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/%s cannot be removed", name);
        }
    }
    scan->index = last;
    scan->off = off;
    return last + 1 < scan->count ? kv_dir_sync(scan->log->wal_fd, err) : KV_OK;
}

/* Everything behind the last good record goes: it was never acknowledged, and a stale frame must
 * not come back to life when new ones end just before it. */
static enum kv_code drop_tail(struct kv_scan *scan, struct kv_err *err)
{
    struct kv_log_recovered *rec = &scan->log->status.recovered;
    uint64_t bytes = 0;
    uint64_t frames = 0;
    enum kv_why why = scan->why;
    if (why != KV_WHY_END) {
        kv_segment_rest(kv_buf_bytes(&scan->bytes), scan->off, &bytes, &frames);
        enum kv_code code = zero_tail(scan, bytes, err);
        if (code != KV_OK) {
            return code;
        }
    }
    enum kv_code code = drop_later(scan, &bytes, &frames, err);
    if (code != KV_OK || bytes == 0) {
        return code;
    }
    *rec = (struct kv_log_recovered){scan->log->chain.seq, frames, bytes,
                                     why == KV_WHY_END ? KV_WHY_GAP : why};
    return KV_OK;
}

enum kv_code kv_log_set_aside(struct kv_log *log, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) uint64_t *list = NULL;
    KV_CLEANUP(kv_close_fdp) int unfinished = -1;
    KV_CLEANUP(kv_close_fdp) int to = -1;
    size_t count = 0;
    char name[24];
    enum kv_code code = kv_segments_list(log->wal_fd, &list, &count, err);
    if (code == KV_OK && count > 0) {
        code = kv_dir_make(log->dir_fd, "unfinished", 0700, &unfinished, err);
    }
    if (code != KV_OK || count == 0) {
        return code;
    }
    for (unsigned i = 1; to < 0; i++) {
        struct stat st;
        int n = snprintf(name, sizeof name, "%u", i);
        assert(n > 0);
        if (fstatat(unfinished, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            code = kv_dir_make(unfinished, name, 0700, &to, err);
            if (code != KV_OK) {
                return code;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        char segment[KV_SEGMENT_NAME_LEN];
        kv_segment_name(list[i], segment);
        if (renameat(log->wal_fd, segment, to, segment) != 0) {
            return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/%s cannot be set aside", segment);
        }
    }
    code = kv_dir_sync(to, err);
    return code == KV_OK ? kv_dir_sync(log->wal_fd, err) : code;
}

/* Does the rest of what was read, stepped over by the lengths alone, go on behind an agent.start? A
 * founded ledger that lost its checkpoint and has a bad frame early on must not pass for a founding
 * that was torn. */
static bool rest_goes_on(const struct kv_scan *scan)
{
    static const char start[] = "\"ev\":\"agent.start\"";
    struct kv_bytes all = kv_buf_bytes(&scan->bytes);
    bool started = scan->started;
    size_t at = scan->off;
    while (all.len - at >= KV_FRAME_HEADER && memcmp(all.ptr + at, "KVF1", 4) == 0) {
        struct kv_cursor cur = kv_cursor(kv_bytes(all.ptr + at + 4, 4));
        size_t len = kv_cursor_u32(&cur);
        at += KV_FRAME_HEADER;
        if (started) {
            return true;
        }
        if (len > all.len - at) {
            break;
        }
        started = memmem(all.ptr + at, len, start, sizeof start - 1) != NULL;
        at += len;
    }
    return scan->count > 1;
}

/* No checkpoint: a founding that never finished, or a ledger that lost it. */
static enum kv_code finish_unfounded(struct kv_scan *scan, struct kv_err *err)
{
    struct kv_log *log = scan->log;
    if (log->status.state == KV_LOG_NEWER || scan->beyond_start || rest_goes_on(scan)) {
        damage(log, KV_LOG_DAMAGED, 0, "public/checkpoint", KV_WHY_NONE,
               "the ledger has records of a founded vault, but no checkpoint");
        return KV_OK;
    }
    /* Also when a record of it is malformed: nobody was ever told that it counts. */
    bool any = scan->count > 0;
    enum kv_code code = kv_log_set_aside(log, err);
    kv_tree_free(log->tree);
    log->tree = kv_tree_new();
    log->chain = (struct kv_chain){0};
    log->status = (struct kv_log_status){.state = KV_LOG_EMPTY, .set_aside = any};
    return code;
}

/* The key from record 0, then the checkpoint under it. False: damaged. */
static enum kv_code open_checkpoint(struct kv_scan *scan, const struct kv_vkey *expected,
                                    bool *good, struct kv_err *err)
{
    struct kv_log *log = scan->log;
    KV_CLEANUP(kv_record_freep) struct kv_record *init = NULL;
    struct kv_bytes line;
    struct kv_err why = {0};
    *good = false;
    enum kv_why bad = KV_WHY_END;
    if (scan->count > 0 && scan->list[0] == 0) {
        enum kv_code code = load_segment(scan, 0, err);
        if (code != KV_OK) {
            return code;
        }
        bad = kv_segment_frame(kv_buf_bytes(&scan->bytes), 0, 0, &line);
    }
    if (bad != KV_WHY_NONE) {
        damage_here(scan, KV_LOG_DAMAGED, bad, "the first record cannot be read");
        return KV_OK;
    }
    enum kv_code code = kv_record_decode(line, &init, &why);
    if (code == KV_OK) {
        code = kv_chain_vkey(init, &log->vkey, &why);
    }
    if (code != KV_OK) {
        damage_here(scan, code == KV_E_LEDGER_NEWER ? KV_LOG_NEWER : KV_LOG_DAMAGED, KV_WHY_NONE,
                    why.msg);
        return KV_OK;
    }
    log->has_vkey = true;
    if (expected != NULL && !kv_vkey_equal(expected, &log->vkey)) {
        damage_here(scan, KV_LOG_DAMAGED, KV_WHY_NONE, "log.init names another key than expected");
        return KV_OK;
    }
    if (kv_checkpoint_open(kv_buf_bytes(&log->note), &log->vkey, 1, &log->checkpoint, &why) !=
        KV_OK) {
        damage(log, KV_LOG_DAMAGED, 0, "public/checkpoint", KV_WHY_NONE, why.msg);
        return KV_OK;
    }
    log->has_checkpoint = true;
    log->status.covered = log->checkpoint.size;
    *good = true;
    return KV_OK;
}

static enum kv_code finish(struct kv_scan *scan, struct kv_err *err)
{
    struct kv_log *log = scan->log;
    uint64_t size = log->chain.seq;
    if (size < log->checkpoint.size) {
        char what[128];
        int n = snprintf(what, sizeof what, "the records end here (%s), the checkpoint covers %llu",
                         kv_why_word(scan->why), (unsigned long long)log->checkpoint.size);
        assert(n > 0);
        damage_here(scan, KV_LOG_DAMAGED, scan->why, what);
        return KV_OK;
    }
    struct kv_hash root = kv_tree_root(log->tree, log->checkpoint.size);
    if (!kv_hash_equal(&root, &log->checkpoint.root)) {
        damage(log, KV_LOG_DAMAGED, 0, "public/checkpoint", KV_WHY_NONE,
               "the root is not that of the records");
        return KV_OK;
    }
    enum kv_code code = drop_tail(scan, err);
    if (code == KV_OK) {
        code = kv_wal_resume(log->wal, scan->list[scan->index], scan->off, err);
    }
    if (code == KV_OK) {
        log->status.state = KV_LOG_GOOD;
        log->status.size = size;
    }
    return code;
}

static enum kv_code begin(struct kv_scan *scan, const struct kv_vkey *expected, struct kv_err *err)
{
    struct kv_log *log = scan->log;
    struct kv_err why = {0};
    bool good = false;
    enum kv_code code = kv_segments_list(log->wal_fd, &scan->list, &scan->count, err);
    if (code != KV_OK) {
        return code;
    }
    code = kv_file_read(log->public_fd, "checkpoint", KV_NOTE_MAX, &log->note, &why);
    if (code == KV_E_NOT_FOUND) {
        scan->judging = false;
        return read_first(scan, err);
    }
    if (code != KV_OK) {
        damage(log, KV_LOG_DAMAGED, 0, "public/checkpoint", KV_WHY_NONE, why.msg);
        return KV_OK;
    }
    code = open_checkpoint(scan, expected, &good, err);
    if (code != KV_OK || !good) {
        return code;
    }
    log->status.state = KV_LOG_GOOD; /* until something says otherwise */
    return read_first(scan, err);
}

enum kv_code kv_scan_begin(struct kv_log *log, const struct kv_vkey *expected,
                           kv_entry_fn on_record, void *ctx, struct kv_scan **out,
                           struct kv_err *err)
{
    struct kv_scan *scan = calloc(1, sizeof *scan);
    if (scan == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory to read the ledger");
    }
    *scan = (struct kv_scan){.log = log, .on_record = on_record, .ctx = ctx, .judging = true};
    scan->blobs = kv_blob_set_new();
    kv_buf_init(&scan->bytes, KV_SEGMENT_MAX);
    enum kv_code code = begin(scan, expected, err);
    if (code != KV_OK) {
        kv_scan_free(scan);
        return code;
    }
    *out = scan;
    return KV_OK;
}

enum kv_code kv_scan_step(struct kv_scan *scan, uint64_t records, bool *done, struct kv_err *err)
{
    enum kv_code code = read_some(scan, records, err);
    if (code != KV_OK || scan->reading) {
        *done = false;
        return code;
    }
    *done = true;
    if (!scan->judging) {
        return finish_unfounded(scan, err);
    }
    return scan->log->status.state == KV_LOG_GOOD ? finish(scan, err) : KV_OK;
}
