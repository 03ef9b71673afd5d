#include "tpm/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cursor.h"

#define MAGIC "ksefvault-tpm-1\n"
#define FRESH ".new" /* of one that was not finished: made anew */

static enum kv_code write_all(int fd, struct kv_bytes data, struct kv_err *err)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno != EINTR) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot write a key file");
        }
        size_t done = n > 0 ? (size_t)n : 0;
        data = kv_bytes(data.ptr + done, data.len - done);
    }
    return fsync(fd) == 0 ? KV_OK : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot write a key file");
}

static enum kv_code put(int dir, const char *name, struct kv_bytes data, enum kv_code exists,
                        struct kv_err *err)
{
    if (unlinkat(dir, FRESH, 0) != 0 && errno != ENOENT) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot remove %s", FRESH);
    }
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(dir, FRESH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot create a key file");
    }
    enum kv_code code = write_all(fd, data, err);
    if (code != KV_OK) {
        return code;
    }
    if (renameat2(dir, FRESH, dir, name, exists == KV_OK ? 0 : RENAME_NOREPLACE) != 0) {
        return errno == EEXIST ? KV_REFUSE(err, exists, "there is a file for it already")
                               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot put a key file in place");
    }
    return fsync(dir) == 0 ? KV_OK : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot keep a key file");
}

void kv_tpm_file_print(const struct kv_bytes *part, size_t count, struct kv_buf *out)
{
    kv_buf_add_str(out, MAGIC);
    for (size_t i = 0; i < count; i++) {
        kv_buf_add_u32(out, (uint32_t)part[i].len);
        kv_buf_add_bytes(out, part[i]);
    }
}

enum kv_code kv_tpm_file_write(int dir, const char *name, const struct kv_bytes *part, size_t count,
                               enum kv_code exists, struct kv_err *err)
{
    struct kv_buf buf;
    kv_buf_init(&buf, KV_TPM_FILE_MAX);
    kv_tpm_file_print(part, count, &buf);
    enum kv_code code = buf.failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a key file")
                                   : put(dir, name, kv_buf_bytes(&buf), exists, err);
    kv_buf_clear(&buf);
    return code;
}

enum kv_code kv_tpm_file_parse(struct kv_bytes file, struct kv_bytes *part, size_t count,
                               struct kv_err *err)
{
    struct kv_cursor cur = kv_cursor(file);
    bool good = kv_bytes_is(kv_cursor_take(&cur, strlen(MAGIC)), MAGIC);
    for (size_t i = 0; i < count; i++) {
        part[i] = kv_cursor_string(&cur);
    }
    return good && kv_cursor_done(&cur)
               ? KV_OK
               : KV_REFUSE(err, KV_E_TOKEN_KEY_DAMAGED, "a key file is cut short or no key file");
}

enum kv_code kv_tpm_file_read_fd(int fd, struct kv_buf *buf, struct kv_bytes *part, size_t count,
                                 struct kv_err *err)
{
    uint8_t chunk[1024];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 && !buf->failed) {
        kv_buf_add(buf, chunk, (size_t)n);
    }
    if (n < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot read a key file");
    }
    return kv_tpm_file_parse(kv_buf_bytes(buf), part, count, err); /* too long: nothing is left */
}

enum kv_code kv_tpm_file_read(int dir, const char *name, struct kv_buf *buf, struct kv_bytes *part,
                              size_t count, enum kv_code missing, struct kv_err *err)
{
    kv_buf_init(buf, KV_TPM_FILE_MAX);
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? KV_REFUSE(err, missing, "there is no file for it")
                               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open a key file");
    }
    return kv_tpm_file_read_fd(fd, buf, part, count, err);
}

enum kv_code kv_tpm_file_remove(int dir, const char *name, enum kv_code missing, struct kv_err *err)
{
    if (unlinkat(dir, name, 0) != 0) {
        return errno == ENOENT ? KV_REFUSE(err, missing, "there is no file for it")
                               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot remove a key file");
    }
    return fsync(dir) == 0 ? KV_OK : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot remove a key file");
}
