/* Verification of bytes: stages A1 to A6 of `ledger verify` (docs/ledger-format.md §8), over an
 * export or a ledger folder, needing no agent. Nothing that is stored is trusted; every hash is
 * made again. The meaning (stages B) is judged in the same pass by the caller's callback. */
#ifndef KV_LEDGER_VERIFY_H
#define KV_LEDGER_VERIFY_H

#include "ledger/entry.h"
#include "ledger/note.h"
#include "ledger/reader.h"

#define KV_FINDINGS_MAX  100
#define KV_FINDING_PLACE 320 /* bytes of a path, with NUL */
#define KV_NO_SEQ        UINT64_MAX

/* Exit statuses of `ledger verify`, besides 0, 1 (could not judge) and 2. */
enum kv_verify_exit {
    KV_VERIFY_GOOD = 0,
    KV_VERIFY_UNJUDGED = 1, /* a record of a newer version */
    KV_VERIFY_BAD = 10,     /* bad record or signature */
    KV_VERIFY_ROLLBACK = 11,
    KV_VERIFY_INTENTS = 12,
    KV_VERIFY_APPROVALS = 13,
};

struct kv_finding {
    enum kv_verify_exit exit;
    char stage[3];               /* "A4" */
    char file[KV_FINDING_PLACE]; /* below the folder; "" if of the whole */
    uint64_t line;               /* in `file`; 0 if none */
    uint64_t seq;                /* KV_NO_SEQ if of no record */
    char event[24];              /* of that record, "" if not known */
    char what[256];
};

struct kv_findings {
    struct kv_finding *list; /* owned; at most KV_FINDINGS_MAX are kept */
    size_t count;
    bool exits[16]; /* which exit statuses occurred, also of those not kept */
};
void kv_findings_clear(struct kv_findings *findings);
/* Add one; beyond the maximum only its exit is noted. The fields are copied. */
void kv_findings_add(struct kv_findings *findings, const struct kv_finding *finding);
/* The first of 10, 11, 13, 12, 1 that occurred; else 0. */
enum kv_verify_exit kv_findings_exit(const struct kv_findings *findings);
/* The first finding of that exit, NULL if there is none. */
const struct kv_finding *kv_findings_first(const struct kv_findings *findings);

struct kv_verify_options {
    const struct kv_vkey *vkey; /* --vkey; NULL: the folder's own */
    /* --expect: the log must be a continuation of this; its checkpoint's signature was checked by
     * the caller. NULL: none. A mismatch is a finding of stage B2, exit 11. */
    const struct kv_checkpoint *expect;
    /* Called in order for each record that stages A4 and A6 found good, until the first finding of
     * stage A. An error stops the verification and is returned. May be NULL. */
    kv_entry_fn on_entry;
    void *ctx;
};

struct kv_verify_result {
    struct kv_findings findings; /* stage A, and --expect */
    bool stage_a_good;           /* false: what the callback found so far does not count */
    bool newer;                  /* a record of a newer version: stage B was not completed */
    bool vkey_from_folder;       /* warn: the key came from what is being checked */
    struct kv_vkey vkey;
    struct kv_checkpoint checkpoint;
    bool test;             /* log.init says so */
    uint64_t records;      /* read */
    uint64_t records_good; /* good before the first bad one */
    uint64_t covered;      /* of records_good, under the checkpoint */
    enum kv_why tail;      /* ledger folder: why the records end */
    struct kv_tree *tree;  /* over all records read; owned */
};
void kv_verify_result_clear(struct kv_verify_result *result);

/* Run the stages. KV_OK also when there are findings. The folder named by the reader must not have
 * been read from before. Errors: what prevents judging (KV_E_IO, the callback's own). */
KV_MUST_USE enum kv_code kv_verify(struct kv_reader *reader,
                                   const struct kv_verify_options *options,
                                   struct kv_verify_result *result, struct kv_err *err);

#endif
