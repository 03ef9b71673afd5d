#include "ledger/log_state.h"

#include "ledger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* What the log answers, and the disk space it lives in. */

enum kv_code kv_log_record(const struct kv_log *log, uint64_t seq, struct kv_buf *out,
                           struct kv_err *err)
{
    if (seq >= log->status.size) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "there is no record %llu", (unsigned long long)seq);
    }
    const struct kv_log_place *place = &log->place[seq];
    uint8_t bytes[KV_RECORD_MAX / 4];
    char name[KV_SEGMENT_NAME_LEN];
    kv_segment_name(place->segment, name);
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(log->wal_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "wal/%s cannot be opened", name);
    }
    size_t start = out->len;
    for (size_t at = 0; at < place->len;) {
        size_t n = place->len - at < sizeof bytes ? place->len - at : sizeof bytes;
        enum kv_code code = kv_fd_read_at(fd, bytes, n, (off_t)(place->off + at), err);
        if (code != KV_OK) {
            out->len = start;
            return code;
        }
        kv_buf_add(out, bytes, n);
        at += n;
    }
    if (out->failed) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a record");
    }
    struct kv_hash is = kv_leaf_hash(kv_bytes(out->data + start, out->len - start));
    struct kv_hash was = kv_tree_leaf(log->tree, seq);
    if (!kv_hash_equal(&is, &was)) {
        out->len = start;
        return KV_REFUSE(err, KV_E_LEDGER_RECORD, "record %llu was changed on disk",
                         (unsigned long long)seq);
    }
    return KV_OK;
}

enum kv_code kv_log_blob(const struct kv_log *log, const struct kv_hash *hash, size_t len,
                         struct kv_buf *out, struct kv_err *err)
{
    return kv_blob_get(log->blobs_fd, hash, len, out, err);
}

enum kv_code kv_log_row(const struct kv_log *log, const struct kv_hash *commitment,
                        struct kv_side_row *out, struct kv_buf *store, struct kv_err *err)
{
    return kv_side_row_get(log->private_fd, commitment, out, store, err);
}

enum kv_code kv_log_prove(const struct kv_log *log, uint64_t seq, struct kv_buf *out,
                          struct kv_err *err)
{
    if (seq >= log->status.size) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "there is no record %llu", (unsigned long long)seq);
    }
    if (seq >= log->status.covered) {
        return KV_REFUSE(err, KV_E_LEDGER_COVER, "record %llu is not under a checkpoint yet",
                         (unsigned long long)seq);
    }
    struct kv_tlog_proof proof = {.index = seq, .note = kv_buf_bytes(&log->note)};
    kv_tree_inclusion(log->tree, seq, log->checkpoint.size, &proof.proof);
    struct kv_hash leaf = kv_tree_leaf(log->tree, seq);
    if (!kv_inclusion_verify(&proof.proof, seq, log->checkpoint.size, &leaf,
                             &log->checkpoint.root)) {
        return KV_REFUSE(err, KV_E_LEDGER_PROOF, "the proof of record %llu does not hold",
                         (unsigned long long)seq);
    }
    kv_tlog_proof_write(&proof, out);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a proof") : KV_OK;
}

static const char RESERVE[] = "reserve";

static enum kv_code reserve_len(const struct kv_log *log, uint64_t *out, struct kv_err *err)
{
    struct stat st;
    *out = 0;
    if (fstatat(log->dir_fd, RESERVE, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? KV_OK
                               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "reserve cannot be looked up");
    }
    *out = (uint64_t)st.st_size;
    return KV_OK;
}

uint64_t kv_log_segment_left(const struct kv_log *log)
{
    return kv_wal_left(log->wal);
}

enum kv_code kv_log_space(const struct kv_log *log, struct kv_log_space *out, struct kv_err *err)
{
    struct statvfs vfs;
    struct kv_log_space space = {0};
    enum kv_code code = reserve_len(log, &space.reserve, err);
    if (code != KV_OK) {
        return code;
    }
    if (fstatvfs(log->dir_fd, &vfs) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the free space cannot be asked for");
    }
    space.free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    space.read_only = (vfs.f_flag & ST_RDONLY) != 0;
    space.low = space.free < KV_LOG_FREE_MIN || space.reserve < log->options.reserve_len;
    *out = space;
    return KV_OK;
}

enum kv_code kv_log_reserve_give(struct kv_log *log, struct kv_err *err)
{
    uint64_t len;
    enum kv_code code = reserve_len(log, &len, err);
    if (code != KV_OK) {
        return code;
    }
    if (len == 0) {
        return KV_REFUSE(err, KV_E_LEDGER_DISK, "the reserve is used up");
    }
    uint64_t left = len > KV_LOG_RESERVE_STEP ? len - KV_LOG_RESERVE_STEP : 0;
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(log->dir_fd, RESERVE, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || ftruncate(fd, (off_t)left) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the reserve cannot be shortened");
    }
    return KV_OK;
}

enum kv_code kv_log_reserve_fill(struct kv_log *log, struct kv_err *err)
{
    struct kv_log_space space;
    enum kv_code code = kv_log_space(log, &space, err);
    if (code != KV_OK) {
        return code;
    }
    if (space.reserve >= log->options.reserve_len ||
        space.free < KV_LOG_FREE_MIN + (log->options.reserve_len - space.reserve)) {
        return KV_OK;
    }
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(log->dir_fd, RESERVE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the reserve cannot be made");
    }
    int rc = posix_fallocate(fd, 0, (off_t)log->options.reserve_len);
    if (rc != 0 && rc != ENOSPC) { /* somebody else was faster: low, as it was */
        return KV_FAIL(err, KV_E_IO, ((struct kv_cause){KV_CAUSE_ERRNO, (unsigned)rc}),
                       "the reserve cannot be made");
    }
    return KV_OK;
}
