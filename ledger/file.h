/* Files of the ledger: whole reads with a limit, and writes that are either there completely and
 * durably or not at all. Names are relative to a folder's descriptor; links are never followed in
 * the last part. */
#ifndef KV_LEDGER_FILE_H
#define KV_LEDGER_FILE_H

#include "core/buf.h"
#include "core/err.h"

#include <sys/types.h>

/* Open the folder `name` below `dir_fd`, making it with `mode` (whatever the umask) if it is not
 * there; AT_FDCWD is fine. The new name is durable. *out is owned by the caller. */
KV_MUST_USE enum kv_code kv_dir_make(int dir_fd, const char *name, mode_t mode, int *out,
                                     struct kv_err *err);
/* Open an existing folder for reading. Errors: KV_E_NOT_FOUND, KV_E_IO. */
KV_MUST_USE enum kv_code kv_dir_open(int dir_fd, const char *name, int *out, struct kv_err *err);
/* Append the whole regular file to `out`, at most `max` bytes. Errors: KV_E_NOT_FOUND,
 * KV_E_INPUT_TOO_LARGE, KV_E_IO. */
KV_MUST_USE enum kv_code kv_file_read(int dir_fd, const char *name, size_t max, struct kv_buf *out,
                                      struct kv_err *err);
/* Read exactly `len` bytes at `off`. Errors: KV_E_IO (also when the file ends before). */
KV_MUST_USE enum kv_code kv_fd_read_at(int fd, void *to, size_t len, off_t off, struct kv_err *err);
/* Write all bytes at `off`. Errors: KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_fd_write_at(int fd, struct kv_bytes bytes, off_t off,
                                        struct kv_err *err);
/* Write `<name>.tmp`, fsync and rename it to `name`; an old file of that name is replaced. The
 * folder is synced only if `sync_dir`. Errors: KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_file_write(int dir_fd, const char *name, struct kv_bytes bytes,
                                       mode_t mode, bool sync_dir, struct kv_err *err);
/* fsync of a folder. Errors: KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_dir_sync(int dir_fd, struct kv_err *err);
/* Plain, unsynced write of a new file below `dir_fd`, making the folders of `path`
 * (exports, tiles). Errors: KV_E_IO. */
KV_MUST_USE enum kv_code kv_file_put(int dir_fd, const char *path, struct kv_bytes bytes,
                                     mode_t mode, struct kv_err *err);

#endif
