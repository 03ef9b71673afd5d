/* Files that people name, and the programs that we run for them. */
#ifndef KV_CLI_FILE_H
#define KV_CLI_FILE_H

#include "core/buf.h"
#include "core/err.h"

/* Append the whole file to `out` (whose maximum limits it); `-` is standard input. Errors:
 * KV_E_NOT_FOUND, KV_E_INPUT_TOO_LARGE, KV_E_IO. */
KV_MUST_USE enum kv_code cli_file_read(const char *path, struct kv_buf *out, struct kv_err *err);
bool cli_file_exists(const char *path);
/* Write a new file of mode 0644 completely or not at all; an existing one is not touched. Errors:
 * KV_E_USAGE (exists), KV_E_IO. */
KV_MUST_USE enum kv_code cli_file_write(const char *path, struct kv_bytes bytes,
                                        struct kv_err *err);
/* `path` and `suffix`, owned by the caller. */
char *cli_path_add(const char *path, const char *suffix);

/* Run argv[0], found by PATH, with `input` as its standard input; its standard output is appended
 * to `out`, what it says on standard error goes to ours. *status is its exit status. Errors:
 * KV_E_NOT_FOUND (no such program), KV_E_IO. */
KV_MUST_USE enum kv_code cli_program(const char *const *argv, struct kv_bytes input,
                                     struct kv_buf *out, int *status, struct kv_err *err);

#endif
