/* What records refer to: blobs/<hex SHA-256>, at most 64 KiB each, durable before the record that
 * names them is appended. Content decides the name, so an existing name is kept as it is and
 * written never again. */
#ifndef KV_LEDGER_BLOB_H
#define KV_LEDGER_BLOB_H

#include "core/buf.h"
#include "core/err.h"
#include "core/record.h"

/* Make `count` blobs durable below `blobs_fd`: each tmp, fsync, rename; then one fsync of the
 * folder. Errors: KV_E_LIMIT (empty or above KV_BLOB_MAX), KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_blobs_put(int blobs_fd, const struct kv_bytes *blobs, size_t count,
                                      struct kv_err *err);
/* Append the blob to `out` after checking its hash and, unless 0, its length.
 * Errors: KV_E_LEDGER_BLOB (missing or changed), KV_E_IO. */
KV_MUST_USE enum kv_code kv_blob_get(int blobs_fd, const struct kv_hash *hash, size_t len,
                                     struct kv_buf *out, struct kv_err *err);

/* All blobs of one record at once, for callbacks that need `struct kv_blobs`. */
struct kv_blob_set;
struct kv_blob_set *kv_blob_set_new(void); /* owned by the caller */
void kv_blob_set_free(struct kv_blob_set *set);
void kv_blob_set_freep(struct kv_blob_set **set);
/* Load the blobs of rec->docs. *out is borrowed until the next load. On failure *bad is the index
 * of the document. Errors: KV_E_LEDGER_BLOB, KV_E_IO. */
KV_MUST_USE enum kv_code kv_blob_set_load(struct kv_blob_set *set, int blobs_fd,
                                          const struct kv_record *rec, struct kv_blobs *out,
                                          size_t *bad, struct kv_err *err);

#endif
