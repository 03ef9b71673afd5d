/* Personal data beside the log (docs/ledger-format.md §10): a leaf holds a salted commitment, the
 * side row private/<hex of the commitment>.json the value. A row may be erased later; the tree
 * stays valid. */
#ifndef KV_LEDGER_SIDE_H
#define KV_LEDGER_SIDE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/record.h"

#define KV_SALT_LEN       16
#define KV_SIDE_VALUE_MAX 4096 /* bytes of a name, reason or note */
#define KV_SIDE_ROW_MAX   32768

struct kv_side_row {
    enum kv_priv_field field;
    uint8_t salt[KV_SALT_LEN];
    struct kv_bytes value; /* UTF-8, 1 to KV_SIDE_VALUE_MAX bytes without NUL */
};

/* H("ksefvault/priv/v1" 00 ‖ salt ‖ u32 length ‖ value). */
struct kv_hash kv_commitment(const uint8_t salt[static KV_SALT_LEN], struct kv_bytes value);
/* Append `{"field":…,"salt":…,"value":…}` and an LF. Errors: KV_E_LIMIT, KV_E_INPUT_UTF8. */
KV_MUST_USE enum kv_code kv_side_row_encode(const struct kv_side_row *row, struct kv_buf *out,
                                            struct kv_err *err);
/* Read exactly what the encoder writes. row->value points into *store, which is cleared first and
 * owned by the caller. Errors: KV_E_LEDGER_RECORD. */
KV_MUST_USE enum kv_code kv_side_row_parse(struct kv_bytes text, struct kv_side_row *out,
                                           struct kv_buf *store, struct kv_err *err);
/* Make rows durable below `private_fd`, each under the hex of its commitment, with one fsync of the
 * folder. Errors: those of the encoder, KV_E_LEDGER_WRITE. */
KV_MUST_USE enum kv_code kv_side_rows_put(int private_fd, const struct kv_side_row *rows,
                                          size_t count, struct kv_err *err);
/* Read the row of a commitment and check it against it. Errors: KV_E_NOT_FOUND,
 * KV_E_LEDGER_RECORD (changed), KV_E_IO. */
KV_MUST_USE enum kv_code kv_side_row_get(int private_fd, const struct kv_hash *commitment,
                                         struct kv_side_row *out, struct kv_buf *store,
                                         struct kv_err *err);

#endif
