/* Export of a ledger for those who check it without us (docs/ledger-format.md §9): a folder that sh
 * and openssl, the Go checksum database's libraries, and ssh-keygen can verify. Read from a ledger
 * folder without its lock, also from a damaged one; written under a temporary name, then renamed.
 */
#ifndef KV_LEDGER_EXPORT_H
#define KV_LEDGER_EXPORT_H

#include "core/err.h"
#include "ledger/entry.h"

/* Text of approvals/allowed_signers, owned by the callee until the export ends. Called once, after
 * the last record. */
typedef enum kv_code (*kv_signers_fn)(void *ctx, struct kv_bytes *text, struct kv_err *err);

struct kv_export_options {
    const char *ledger_path; /* the ledger folder */
    const char *target_path; /* must not exist; its parent must */
    const uint64_t *proofs;  /* seqs below the checkpoint's size */
    size_t proof_count;
    bool with_private; /* side rows leave the machine */
    /* Sees each record once, in order (the caller's fold, for allowed_signers); may be NULL. */
    kv_entry_fn on_entry;
    kv_signers_fn signers; /* may be NULL: an empty file */
    void *ctx;             /* of both */
};

struct kv_export_result {
    uint64_t records;
    uint64_t size; /* of the checkpoint; 0 if the ledger has none */
    struct kv_hash root;
};

/* Errors: KV_E_USAGE (target exists), KV_E_NOT_FOUND (no ledger, proof of a record that is not
 * there), KV_E_LEDGER_COVER (… that is not covered), KV_E_LEDGER_RECORD, KV_E_LEDGER_BLOB, KV_E_IO,
 * the callbacks' own. On failure nothing is left under the target's name; what a run that was cut
 * short left as `<target>.partial` is removed. */
KV_MUST_USE enum kv_code kv_export(const struct kv_export_options *options,
                                   struct kv_export_result *result, struct kv_err *err);

/* Write `<seq>.json` and `<seq>.tlog-proof` for each of seqs[] into the folder
 * `target_path`, which is made if only its parent is there: `ledger prove`. Errors as kv_export. */
KV_MUST_USE enum kv_code kv_prove(const char *ledger_path, const uint64_t *seqs, size_t count,
                                  const char *target_path, struct kv_err *err);

#endif
