/* The new key of an enrolment: its lines, and its proof. */
#ifndef KV_CLI_NEWKEY_H
#define KV_CLI_NEWKEY_H

#include "cli/draft.h"

/* Add `key`, `public-key` and `key-not-after` from --public-key or --new-key, "-" without. With
 * --key the proof must be made here, so --new-key is needed then. Errors: KV_E_USAGE, those of
 * reading the key. */
KV_MUST_USE enum kv_code cli_draft_new_key(const struct cli *cli, struct cli_draft *draft,
                                           struct kv_err *err);

#endif
