/* Listings of the ledger's folders. */
#ifndef KV_LEDGER_DIR_H
#define KV_LEDGER_DIR_H

#include "core/err.h"

/* The segments of a wal folder, by their first seq, ascending. *out is owned by the caller (free).
 * Errors: KV_E_IO. */
KV_MUST_USE enum kv_code kv_segments_list(int wal_fd, uint64_t **out, size_t *count,
                                          struct kv_err *err);
/* Call `fn` for every regular file below `dir_fd`, with its path, in no order; other kinds of files
 * are refused (an export is files and folders). Folders deeper than 8 are refused.
 * Errors: KV_E_IO, the callback's own. */
typedef enum kv_code (*kv_file_fn)(void *ctx, const char *path, struct kv_err *err);
KV_MUST_USE enum kv_code kv_files_walk(int dir_fd, kv_file_fn fn, void *ctx, struct kv_err *err);

#endif
