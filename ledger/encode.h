/* A record of the ledger as bytes (docs/ledger-format.md §4): one JSON object, keys in a fixed
 * order, no spaces, jansson's JSON_COMPACT to the byte. The bytes are the truth: they are hashed,
 * kept and compared, and there is exactly one way to write a record. Both directions check the
 * grammar of each value and the row of the event (§5), so nothing is written that would be refused
 * when it is read. */
#ifndef KV_LEDGER_ENCODE_H
#define KV_LEDGER_ENCODE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/record.h"

/* Append the bytes of `rec`, without an LF, to `out` (whose max must allow KV_RECORD_MAX more).
 * On failure `out` is as it was. Errors: KV_E_LEDGER_RECORD (a value or the row of the event is
 * violated, or more than KV_RECORD_MAX bytes), KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_record_encode(const struct kv_record *rec, struct kv_buf *out,
                                          struct kv_err *err);

/* The strict reader: accepts exactly what kv_record_encode writes. *out is owned by the caller
 * (kv_record_free). What needs the neighbours (seq, prev, ts, v follow) is not judged here.
 * Errors: KV_E_LEDGER_RECORD, or KV_E_LEDGER_NEWER when the object has a `v` above
 * KV_RECORD_VERSION, whatever else it holds. */
KV_MUST_USE enum kv_code kv_record_decode(struct kv_bytes line, struct kv_record **out,
                                          struct kv_err *err);

/* What this version can know of a record by a newer one: v, seq, ts, prev and docs (of unknown
 * kinds too, called evidence), so that the chain, the tree and the blobs can still be checked.
 * Everything else is not filled. Errors: KV_E_LEDGER_RECORD when even these cannot be read. */
KV_MUST_USE enum kv_code kv_record_peek(struct kv_bytes line, struct kv_record **out,
                                        struct kv_err *err);

/* The same check of values and row, without the bytes. Errors: KV_E_LEDGER_RECORD. */
KV_MUST_USE enum kv_code kv_record_check(const struct kv_record *rec, struct kv_err *err);

/* Append a JSON string with its quotes as jansson writes it: escapes for `"`, `\`, \b \f \n \r \t,
 * other control characters \u00XX in upper case, everything else as it is. */
void kv_json_string(struct kv_buf *out, struct kv_bytes text);

#endif
