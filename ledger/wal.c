#include "ledger/wal.h"

#include "ledger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Written behind the records now and then. Blocks that were only allocated are marked as written by
 * the flush that first fills them, which costs the disk a second write; over zeros it is one. */
#define ZEROS_LEN (256 * 1024)

static const char SPARE[] = "spare.tmp"; /* the next segment, made ahead; not a segment's name */

struct kv_wal {
    int dir_fd; /* borrowed */
    uint64_t segment_len;
    int fd;           /* the open segment, -1 before the first */
    uint64_t first;   /* its name */
    uint64_t cap;     /* bytes allocated for it */
    uint64_t written; /* bytes of it that are durable */
    uint64_t zeroed;  /* end of the zeros that were written behind them */
    uint8_t *zeros;   /* ZEROS_LEN of them */
    bool has_spare;
    bool broken; /* a write or sync failed: nothing more is tried */
    struct kv_buf staged;
};

struct kv_wal *kv_wal_new(int wal_fd, uint64_t segment_len)
{
    struct kv_wal *wal = calloc(1, sizeof *wal);
    if (wal == NULL) {
        abort();
    }
    wal->dir_fd = wal_fd;
    wal->segment_len = segment_len == 0 ? KV_SEGMENT_LEN : segment_len;
    wal->fd = -1;
    wal->zeros = calloc(1, ZEROS_LEN);
    if (wal->zeros == NULL) {
        abort();
    }
    kv_buf_init(&wal->staged, KV_SEGMENT_MAX);
    return wal;
}

void kv_wal_free(struct kv_wal *wal)
{
    if (wal != NULL) {
        kv_close_fdp(&wal->fd);
        kv_buf_clear(&wal->staged);
        free(wal->zeros);
        free(wal);
    }
}

static enum kv_code broken(struct kv_err *err)
{
    return KV_REFUSE(err, KV_E_LEDGER_WRITE, "an earlier write failed; only a new start recovers");
}

/* A full disk, a quota, a limit on the length of a file: a shorter file may still fit. */
static bool no_room(int number)
{
    return number == ENOSPC || number == EDQUOT || number == EFBIG;
}

/* Make a zeroed, allocated, durable file of `len` bytes under the name of the spare. */
static enum kv_code make_spare(struct kv_wal *wal, uint64_t len, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(wal->dir_fd, SPARE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "a segment cannot be made");
    }
    int rc = posix_fallocate(fd, 0, (off_t)len);
    if (rc != 0) {
        (void)unlinkat(wal->dir_fd, SPARE, 0); /* give back what was got */
        return KV_FAIL(err, no_room(rc) ? KV_E_LEDGER_DISK : KV_E_LEDGER_WRITE,
                       ((struct kv_cause){KV_CAUSE_ERRNO, (unsigned)rc}),
                       "no room for a segment of %llu bytes", (unsigned long long)len);
    }
    if (fsync(fd) != 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "a segment cannot be synced");
    }
    wal->has_spare = true;
    return KV_OK;
}

/* What takes away must be recorded on a disk that has no room for a whole segment, too: a short one
 * is enough for a thousand records. */
static enum kv_code make_next(struct kv_wal *wal, struct kv_err *err)
{
    enum kv_code code = make_spare(wal, wal->segment_len, err);
    return code == KV_E_LEDGER_DISK && wal->segment_len > KV_SEGMENT_SHORT
               ? make_spare(wal, KV_SEGMENT_SHORT, err)
               : code;
}

static enum kv_code open_segment(struct kv_wal *wal, uint64_t first, struct kv_err *err)
{
    char name[KV_SEGMENT_NAME_LEN];
    struct stat st;
    kv_segment_name(first, name);
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(wal->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/%s cannot be opened", name);
    }
    kv_close_fdp(&wal->fd);
    wal->fd = fd;
    fd = -1; /* handed over */
    wal->first = first;
    wal->cap = (uint64_t)st.st_size;
    wal->written = wal->zeroed = 0;
    return KV_OK;
}

enum kv_code kv_wal_begin(struct kv_wal *wal, uint64_t seq, struct kv_err *err)
{
    char name[KV_SEGMENT_NAME_LEN];
    if (wal->broken) {
        return broken(err);
    }
    enum kv_code code = wal->has_spare ? KV_OK : make_next(wal, err);
    if (code != KV_OK) {
        return code;
    }
    kv_segment_name(seq, name);
    wal->has_spare = false;
    if (renameat2(wal->dir_fd, SPARE, wal->dir_fd, name, RENAME_NOREPLACE) != 0) {
        wal->broken = true;
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "wal/%s cannot be made", name);
    }
    code = kv_dir_sync(wal->dir_fd, err);
    wal->broken = code != KV_OK;
    return code == KV_OK ? open_segment(wal, seq, err) : code;
}

/* A short segment becomes a whole one, or stays as it is when there is no room. */
static enum kv_code lengthen(struct kv_wal *wal, struct kv_err *err)
{
    int rc = posix_fallocate(wal->fd, 0, (off_t)wal->segment_len);
    bool full = no_room(rc);
    if (full) {
        rc = ftruncate(wal->fd, (off_t)wal->cap) == 0 ? 0 : errno; /* give back what was got */
    }
    if (rc != 0 || fsync(wal->fd) != 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE,
                       ((struct kv_cause){KV_CAUSE_ERRNO, (unsigned)(rc != 0 ? rc : errno)}),
                       "a short segment cannot be allocated again");
    }
    wal->cap = full ? wal->cap : wal->segment_len;
    return KV_OK;
}

enum kv_code kv_wal_resume(struct kv_wal *wal, uint64_t first_seq, uint64_t off, struct kv_err *err)
{
    enum kv_code code = open_segment(wal, first_seq, err);
    if (code != KV_OK) {
        return code;
    }
    if (wal->cap < wal->segment_len && (code = lengthen(wal, err)) != KV_OK) {
        return code;
    }
    assert(off <= wal->cap);
    wal->written = wal->zeroed = off;
    return KV_OK;
}

/* What is staged, and the next zeros when it reaches beyond the last: they ride on its flush. */
static enum kv_code write_staged(struct kv_wal *wal, struct kv_err *err)
{
    uint64_t end = wal->written + wal->staged.len;
    enum kv_code code =
        kv_fd_write_at(wal->fd, kv_buf_bytes(&wal->staged), (off_t)wal->written, err);
    if (code == KV_OK && end > wal->zeroed && end < wal->cap) {
        uint64_t len = wal->cap - end < ZEROS_LEN ? wal->cap - end : ZEROS_LEN;
        code = kv_fd_write_at(wal->fd, kv_bytes(wal->zeros, (size_t)len), (off_t)end, err);
        wal->zeroed = end + len;
    }
    return code == KV_OK ? KV_OK : kv_wrap(err, "write records");
}

enum kv_code kv_wal_flush(struct kv_wal *wal, struct kv_err *err)
{
    if (wal->broken) {
        return broken(err);
    }
    if (wal->staged.len == 0) {
        return KV_OK;
    }
    wal->broken = true; /* until both have succeeded */
    enum kv_code code = write_staged(wal, err);
    if (code != KV_OK) {
        return code;
    }
    if (fdatasync(wal->fd) != 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "records cannot be synced");
    }
    wal->written += wal->staged.len;
    kv_buf_reset(&wal->staged);
    wal->broken = false;
    return KV_OK;
}

enum kv_code kv_wal_stage(struct kv_wal *wal, uint64_t seq, struct kv_bytes record,
                          uint64_t *segment, uint32_t *off, struct kv_err *err)
{
    if (wal->broken) {
        return broken(err);
    }
    size_t need = KV_FRAME_HEADER + record.len;
    if (need > wal->cap - wal->written - wal->staged.len) {
        enum kv_code code = kv_wal_flush(wal, err);
        if (code == KV_OK) {
            code = kv_wal_begin(wal, seq, err);
        }
        if (code != KV_OK) {
            return code;
        }
        if (need > wal->cap) {
            return KV_REFUSE(err, KV_E_LEDGER_RECORD, "a record larger than a segment");
        }
    }
    uint64_t at = wal->written + wal->staged.len + KV_FRAME_HEADER;
    kv_wal_frame(seq, record, &wal->staged);
    if (wal->staged.failed) {
        wal->broken = true; /* what was staged before is lost with it */
        return KV_REFUSE(err, KV_E_LEDGER_WRITE, "no memory for staged records");
    }
    *segment = wal->first;
    *off = (uint32_t)at;
    return KV_OK;
}

enum kv_code kv_wal_prepare(struct kv_wal *wal, struct kv_err *err)
{
    if (wal->broken) {
        return broken(err);
    }
    bool due = wal->fd >= 0 && wal->written >= wal->cap / 4 * 3;
    return due && !wal->has_spare ? make_spare(wal, wal->segment_len, err) : KV_OK;
}

uint64_t kv_wal_left(const struct kv_wal *wal)
{
    return wal->has_spare ? wal->segment_len
           : wal->fd < 0  ? 0
                          : wal->cap - wal->written - wal->staged.len;
}

/* The inode alone is asked for. Who asks for times, as stat() does, makes Linux give the next write
 * a time of its own, and file systems write that with the next flush: half as much again. */
static bool inode_of(int fd, const char *name, int flags, struct statx *out)
{
    return statx(fd, name, flags, STATX_INO, out) == 0;
}

enum kv_code kv_wal_check(const struct kv_wal *wal, struct kv_err *err)
{
    char name[KV_SEGMENT_NAME_LEN];
    struct statx open_st, name_st;
    if (wal->fd < 0) {
        return KV_OK;
    }
    kv_segment_name(wal->first, name);
    if (!inode_of(wal->fd, "", AT_EMPTY_PATH, &open_st) ||
        !inode_of(wal->dir_fd, name, AT_SYMLINK_NOFOLLOW, &name_st) ||
        open_st.stx_ino != name_st.stx_ino || open_st.stx_dev_major != name_st.stx_dev_major ||
        open_st.stx_dev_minor != name_st.stx_dev_minor) {
        return KV_REFUSE(err, KV_E_LEDGER_SAFE, "wal/%s was removed or replaced", name);
    }
    return KV_OK;
}
