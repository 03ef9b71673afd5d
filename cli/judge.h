/* Stage B of `ledger verify`: what the records mean. Fed with each record that the bytes' stage
 * found good; runs through, and gathers findings:
 *
 *   B1  the fold accepts each record; approvals/ equals the blobs, allowed_signers the enrolments
 *   B2  each log-checkpoint that a person signed is the tree of this log at that size
 *   B3  each record that gives has its approvals (the fold's verdict)
 *   B4  each intent has exactly one outcome
 *   B5  the TPM of each attested key is of a maker whom the verifier trusts; what a TPM says of the
 *       log's key, which no record holds, is of that key
 *
 * After the first record that the fold refuses it is not asked again: later verdicts would only be
 * consequences. The other checks go on. */
#ifndef KV_CLI_JUDGE_H
#define KV_CLI_JUDGE_H

#include "cli/out.h"
#include "ledger/verify.h"

struct judge;
struct kv_roots;

/* Keys that were made in slots. */
struct judge_evidence {
    uint64_t certified; /* by a TPM, on record */
    uint64_t attested;  /* whose custody says so */
};

/* `reader` tells where records lie, `roots` whose TPMs are trusted (NULL: B5 is left out); both
 * borrowed. Owned by the caller. */
struct judge *judge_new(const struct kv_reader *reader, const struct kv_roots *roots,
                        struct cli_progress *progress);
void judge_free(struct judge *judge);
void judge_freep(struct judge **judge);
/* For kv_verify_options.on_entry, with the judge as ctx. */
enum kv_code judge_entry(void *judge, const struct kv_entry *entry, struct kv_err *err);
/* The checks that need the whole: open intents, files that no record names, allowed_signers, what a
 * token says of the log's key. */
KV_MUST_USE enum kv_code judge_finish(struct judge *judge, const struct kv_vkey *vkey,
                                      struct kv_err *err);
const struct kv_findings *judge_findings(const struct judge *judge);
uint64_t judge_in_flight(const struct judge *judge);
struct judge_evidence judge_evidence(const struct judge *judge);

#endif
