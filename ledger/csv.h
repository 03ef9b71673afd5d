/* records.csv of an export: RFC 4180 for spreadsheets, not authoritative. A cell that a spreadsheet
 * would run as a formula gets an apostrophe in front. */
#ifndef KV_LEDGER_CSV_H
#define KV_LEDGER_CSV_H

#include "core/buf.h"
#include "core/record.h"

/* Append the header line, and one record's line; both end in CRLF. */
void kv_csv_header(struct kv_buf *out);
void kv_csv_record(const struct kv_record *rec, const struct kv_hash *leaf, struct kv_buf *out);

#endif
