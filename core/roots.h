/* Whom somebody trusts to vouch for TPMs: certificates of makers, in a PEM file. A chain ends in a
 * root (signed by itself) of the file; others in it help to get there. The other end is the
 * certificate of a TPM's endorsement key (TCG EK Credential Profile). Nothing is fetched, and no
 * revocation is asked for: neither a keeper nor an auditor has a way to the network. */
#ifndef KV_CORE_ROOTS_H
#define KV_CORE_ROOTS_H

#include "core/evidence.h"

#define KV_ROOT_NAME_LEN 48 /* of a subject, cut, with NUL */

struct kv_roots;

/* *out is owned by the caller. Error: KV_E_CONFIG when the file cannot be read, or holds no
 * certificate or a damaged one. */
KV_MUST_USE enum kv_code kv_roots_load(const char *path, struct kv_roots **out, struct kv_err *err);
void kv_roots_free(struct kv_roots *roots);
void kv_roots_freep(struct kv_roots **roots);

/* Whether the first certificate is one of an endorsement key and led, at that time, over the others
 * or those of the file to a root of the file. Error: KV_E_LEDGER_EVIDENCE. `name` gets the root's
 * subject; `chain` (may be NULL) the DER of each certificate on the way, as strings
 * (core/cursor.h): the first, then its issuers, without the root. */
KV_MUST_USE enum kv_code kv_roots_check(const struct kv_roots *roots,
                                        const struct kv_bytes *certificate, size_t count,
                                        int64_t at_ms, char name[static KV_ROOT_NAME_LEN],
                                        struct kv_buf *chain, struct kv_err *err);

/* Whether the certificate is of this public key (DER). Compared as bits: makers name RSA keys by an
 * algorithm (id-RSAES-OAEP) that OpenSSL does not read. */
bool kv_roots_certifies(struct kv_bytes certificate, struct kv_bytes spki);

#endif
