/* One record on its way to whoever judges its meaning: what replay, verification and export hand to
 * their callbacks. Everything is borrowed for the call. */
#ifndef KV_LEDGER_ENTRY_H
#define KV_LEDGER_ENTRY_H

#include "core/err.h"
#include "core/record.h"
#include "ledger/tree.h"

struct kv_entry {
    const struct kv_record *rec;
    struct kv_bytes line; /* the leaf: its bytes without LF */
    struct kv_hash leaf;
    struct kv_blobs blobs;      /* of rec->docs, in their order */
    const struct kv_tree *tree; /* over all records up to and with this one */
    uint64_t covered;           /* size of the checkpoint that the whole log stands under */
};

/* An error is the judge's verdict that the record is not acceptable; what follows from it is said
 * where the callback is taken. */
typedef enum kv_code (*kv_entry_fn)(void *ctx, const struct kv_entry *entry, struct kv_err *err);

#endif
