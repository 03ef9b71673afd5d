#include "ledger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEN 512 /* bytes of a path below a folder, with NUL and ".tmp" */

enum kv_code kv_dir_open(int dir_fd, const char *name, int *out, struct kv_err *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return KV_FAIL(err, errno == ENOENT ? KV_E_NOT_FOUND : KV_E_IO, KV_ERRNO,
                       "the folder '%s' cannot be opened", name);
    }
    *out = fd;
    return KV_OK;
}

enum kv_code kv_dir_sync(int dir_fd, struct kv_err *err)
{
    return fsync(dir_fd) == 0
               ? KV_OK
               : KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "a folder cannot be synced");
}

enum kv_code kv_dir_make(int dir_fd, const char *name, mode_t mode, int *out, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int fd = -1;
    bool made = mkdirat(dir_fd, name, mode) == 0;
    if (!made && errno != EEXIST) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the folder '%s' cannot be made", name);
    }
    enum kv_code code = kv_dir_open(dir_fd, name, &fd, err);
    if (code != KV_OK) {
        return code;
    }
    if (made) {
        if (fchmod(fd, mode) != 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the mode of '%s' cannot be set", name);
        }
        code = dir_fd == AT_FDCWD ? KV_OK : kv_dir_sync(dir_fd, err);
        if (code != KV_OK) {
            return code;
        }
    }
    *out = fd;
    fd = -1; /* handed over */
    return KV_OK;
}

enum kv_code kv_fd_read_at(int fd, void *to, size_t len, off_t off, struct kv_err *err)
{
    uint8_t *at = to;
    while (len > 0) {
        ssize_t n = pread(fd, at, len, off);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            int number = n < 0 ? errno : ENODATA;
            return KV_FAIL(err, KV_E_IO, ((struct kv_cause){KV_CAUSE_ERRNO, (unsigned)number}),
                           "a file cannot be read");
        }
        at += n;
        off += n;
        len -= (size_t)n;
    }
    return KV_OK;
}

enum kv_code kv_fd_write_at(int fd, struct kv_bytes bytes, off_t off, struct kv_err *err)
{
    while (bytes.len > 0) {
        ssize_t n = pwrite(fd, bytes.ptr, bytes.len, off);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "a file cannot be written");
        }
        bytes.ptr += n;
        bytes.len -= (size_t)n;
        off += n;
    }
    return KV_OK;
}

enum kv_code kv_file_read(int dir_fd, const char *name, size_t max, struct kv_buf *out,
                          struct kv_err *err)
{
    /* NONBLOCK: somebody may have put a FIFO there. */
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return KV_FAIL(err, errno == ENOENT ? KV_E_NOT_FOUND : KV_E_IO, KV_ERRNO,
                       "'%s' cannot be opened", name);
    }
    if (!S_ISREG(st.st_mode)) {
        return KV_REFUSE(err, KV_E_IO, "'%s' is not a file", name);
    }
    if (st.st_size < 0 || (uint64_t)st.st_size > max) {
        return KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "'%s' is longer than %zu bytes", name, max);
    }
    size_t len = (size_t)st.st_size;
    KV_CLEANUP(kv_freep) uint8_t *bytes = malloc(len + 1);
    if (bytes == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for '%s'", name);
    }
    enum kv_code code = kv_fd_read_at(fd, bytes, len, 0, err);
    if (code != KV_OK) {
        return kv_wrap(err, "read '%s'", name);
    }
    kv_buf_add(out, bytes, len);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for '%s'", name) : KV_OK;
}

static enum kv_code write_new(int dir_fd, const char *name, struct kv_bytes bytes, mode_t mode,
                              struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0 || fchmod(fd, mode) != 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "'%s' cannot be made", name);
    }
    enum kv_code code = kv_fd_write_at(fd, bytes, 0, err);
    if (code != KV_OK) {
        return kv_wrap(err, "write '%s'", name);
    }
    if (fsync(fd) != 0) {
        return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "'%s' cannot be synced", name);
    }
    return KV_OK;
}

enum kv_code kv_file_write(int dir_fd, const char *name, struct kv_bytes bytes, mode_t mode,
                           bool sync_dir, struct kv_err *err)
{
    char tmp[NAME_LEN];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", name);
    assert(n > 0 && n < (int)sizeof tmp);
    enum kv_code code = write_new(dir_fd, tmp, bytes, mode, err);
    if (code == KV_OK && renameat(dir_fd, tmp, dir_fd, name) != 0) {
        code = KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "'%s' cannot be renamed", tmp);
    }
    if (code != KV_OK) {
        (void)unlinkat(dir_fd, tmp, 0); /* it may not even be there */
        return code;
    }
    return sync_dir ? kv_dir_sync(dir_fd, err) : KV_OK;
}

enum kv_code kv_file_put(int dir_fd, const char *path, struct kv_bytes bytes, mode_t mode,
                         struct kv_err *err)
{
    char name[NAME_LEN];
    size_t len = strlen(path);
    assert(len < sizeof name);
    memcpy(name, path, len + 1);
    for (char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(dir_fd, name, 0755) != 0 && errno != EEXIST) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the folder '%s' cannot be made", name);
        }
        *slash = '/';
    }
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%s' cannot be made", path);
    }
    for (size_t at = 0; at < bytes.len;) {
        ssize_t n = write(fd, bytes.ptr + at, bytes.len - at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%s' cannot be written", path);
        }
        at += (size_t)n;
    }
    return KV_OK;
}
