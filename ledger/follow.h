/* What holds between a record and its neighbours, where replay and verification must agree. */
#ifndef KV_LEDGER_FOLLOW_H
#define KV_LEDGER_FOLLOW_H

#include "core/record.h"
#include "ledger/vkey.h"

/* What is known of the records before. All zero before record 0. */
struct kv_chain {
    uint64_t seq; /* of the next record */
    struct kv_hash last_leaf;
    uint32_t v;
    int64_t ts_ms;
};

/* Is rec->prev the leaf of the record before? */
bool kv_chain_prev(const struct kv_chain *chain, const struct kv_record *rec);
/* seq, prev, ts (never less), v (never falls), log.init first and only there.
 * Errors: KV_E_LEDGER_RECORD. */
KV_MUST_USE enum kv_code kv_chain_check(const struct kv_chain *chain, const struct kv_record *rec,
                                        struct kv_err *err);
void kv_chain_add(struct kv_chain *chain, const struct kv_record *rec, const struct kv_hash *leaf);

/* The key that log.init names; its document must be that key. Errors: KV_E_LEDGER_RECORD. */
KV_MUST_USE enum kv_code kv_chain_vkey(const struct kv_record *init, struct kv_vkey *out,
                                       struct kv_err *err);

#endif
