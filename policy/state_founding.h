/* The one rule of founding, for the record vault.found and for the collection before it. */
#ifndef KV_POLICY_STATE_FOUNDING_H
#define KV_POLICY_STATE_FOUNDING_H

#include "core/buf.h"
#include "policy/statement.h"

#define KV_FOUNDERS_MAX 30 /* a request of 15 KiB holds no more keys */

/* A decision of the founding, parsed; views are borrowed. */
struct kv_founding_vote {
    const struct kv_statement *text;
    struct kv_bytes signature;
};

/* The request itself: for this vault and log key, enough founders, each once, keys that parse and
 * differ; the requester's signature where it needs one. Errors: statement.value,
 * vault.too-few-founders, person.*, signature.*. */
KV_MUST_USE enum kv_code kv_founding_check_request(const char *vault, const char *log_key,
                                                   const struct kv_statement *request,
                                                   struct kv_bytes signature, struct kv_err *err);
/* One vote: an approval by a founder, in the seat and with the key that the request names. *founder
 * is the number of the founder, from 1. */
KV_MUST_USE enum kv_code kv_founding_check_vote(const struct kv_statement *request,
                                                const struct kv_founding_vote *vote, int64_t now_ms,
                                                uint64_t *founder, struct kv_err *err);
/* Whether founder `n` must vote: all with the duty finance or custodian. */
bool kv_founding_must_vote(const struct kv_statement *request, uint64_t n);

#endif
