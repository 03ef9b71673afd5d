/* Readable names of the signed texts in an export: approvals/<request>/… and approvals/acts/…. The
 * one place that knows them, for export and for the check that both copies are equal. */
#ifndef KV_LEDGER_APPROVAL_H
#define KV_LEDGER_APPROVAL_H

#include "ledger/entry.h"

#define KV_APPROVAL_PATH_LEN 192 /* with NUL */
#define KV_SIGNERS_PATH      "approvals/allowed_signers"

/* `path` below the export folder; `doc` is the index into entry->rec->docs. */
typedef enum kv_code (*kv_approval_fn)(void *ctx, const char *path, size_t doc, struct kv_err *err);

/* Call `fn` for each text and signature of the record, in the order of its docs. Names of a
 * founding decision come from the lines `role:` and `approver:` of its text. Errors: the
 * callback's; KV_E_LEDGER_RECORD when such a text has no such lines. */
KV_MUST_USE enum kv_code kv_approval_files(const struct kv_entry *entry, kv_approval_fn fn,
                                           void *ctx, struct kv_err *err);

#endif
