/* Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint; docs/ledger-format.md §3).
 * Signing happens where the key is: this module gives the text to sign, puts the note together from
 * r ‖ s and never lets one out that does not verify. */
#ifndef KV_LEDGER_NOTE_H
#define KV_LEDGER_NOTE_H

#include "ledger/tree.h"
#include "ledger/vkey.h"

#define KV_NOTE_MAX       65536 /* bytes of a note that is read */
#define KV_NOTE_LINES_MAX 32    /* signature lines of a note that is read */
#define KV_CHECKPOINT_MAX 512   /* bytes of a text or note that we write */

struct kv_checkpoint {
    char origin[KV_ORIGIN_LEN]; /* vault name and "/audit" */
    uint64_t size;
    struct kv_hash root;
};

/* Append the text that is signed: origin, size, root, each with its LF. Its SHA-256 goes to the
 * key. */
void kv_checkpoint_text(const struct kv_checkpoint *cp, struct kv_buf *out);
/* Read such a text; further lines are accepted and ignored. Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_checkpoint_parse(struct kv_bytes text, struct kv_checkpoint *out,
                                             struct kv_err *err);

/* Append text, empty line and the signature line of `key` (type 2). Verifies first; on failure
 * `out` is as it was. Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_note_make(const struct kv_vkey *key, struct kv_bytes text,
                                      const uint8_t rs[static KV_ECDSA_RS_LEN], struct kv_buf *out,
                                      struct kv_err *err);
/* Check syntax and signatures. Lines by keys that are not in keys[] are ignored; a wrong signature
 * by one that is rejects the note, and so does the lack of any line by one. *text is borrowed from
 * `note`. Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_note_open(struct kv_bytes note, const struct kv_vkey *keys,
                                      size_t key_count, struct kv_bytes *text, struct kv_err *err);
/* kv_note_open, then kv_checkpoint_parse; the origin must be the name of the first key.
 * Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_checkpoint_open(struct kv_bytes note, const struct kv_vkey *keys,
                                            size_t key_count, struct kv_checkpoint *out,
                                            struct kv_err *err);

/* A tlog-proof (C2SP): `c2sp.org/tlog-proof@v1`, index, hashes, empty line, checkpoint. */
struct kv_tlog_proof {
    uint64_t index;
    struct kv_proof proof;
    struct kv_bytes note; /* borrowed */
};
void kv_tlog_proof_write(const struct kv_tlog_proof *proof, struct kv_buf *out);
/* Syntax only; `extra` after the first line is accepted and skipped. Errors: KV_E_LEDGER_PROOF. */
KV_MUST_USE enum kv_code kv_tlog_proof_read(struct kv_bytes text, struct kv_tlog_proof *out,
                                            struct kv_err *err);
/* The whole: read, open its checkpoint, follow the proof from the leaf of `record` (its bytes).
 * `cp` may be NULL, `index` too. Errors: KV_E_LEDGER_PROOF, KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_tlog_proof_verify(struct kv_bytes text, struct kv_bytes record,
                                              const struct kv_vkey *keys, size_t key_count,
                                              uint64_t *index, struct kv_checkpoint *cp,
                                              struct kv_err *err);

#endif
