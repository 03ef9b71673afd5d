/* The ministry's public keys (KSeF API 2.0, GET /security/public-key-certificates): hostile bytes
 * to checked structs, and the choice among them. Only the courier links this. */
#ifndef KV_KSEF_MINISTRY_H
#define KV_KSEF_MINISTRY_H

#include "core/hash.h"
#include "core/time.h"
#include "ksef/certificate.h"

#define KV_MINISTRY_KEYS_MAX 16

/* A key to which KSeF tokens are encrypted. */
struct kv_ministry_key {
    struct kv_hash id;      /* publicKeyId: SHA-256 of the SubjectPublicKeyInfo; recomputed */
    int64_t from_ms, to_ms; /* validity of the certificate */
    uint8_t certificate[KV_CERTIFICATE_MAX]; /* DER */
    size_t certificate_len;
};
/* Those with the usage KsefTokenEncryption that are valid at `now_ms`, the one to use first: of the
 * latest beginning. Entries that are not understood, or whose ids are not those of their
 * certificate, are left out. *keys is owned by the caller (free). Errors: KV_E_KSEF_ANSWER;
 * KV_E_KSEF_KEY if none is left. */
KV_MUST_USE enum kv_code kv_ksef_read_ministry_keys(struct kv_bytes body, int64_t now_ms,
                                                    struct kv_ministry_key **keys, size_t *count,
                                                    struct kv_err *err);

#endif
