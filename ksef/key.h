/* Public keys that KSeF accepts, and signatures as tokens return them. A token signs raw: ECDSA
 * gives R‖S of fixed length (PKCS#11 v2.40, 2.3.1), RSA the PKCS#1 v1.5 block. Those are also the
 * forms that travel in XML signatures; X.509 wants ECDSA in DER, which is made here.
 *
 * No JSON and no sockets here: the keeper links this. */
#ifndef KV_KSEF_KEY_H
#define KV_KSEF_KEY_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"

/* KSeF API 2.0: RSA of at least 2048 bits or EC P-256; larger RSA keys than 4096 are refused
 * because they serve nobody and cost time. */
enum kv_ksef_key { KV_KSEF_KEY_EC_P256, KV_KSEF_KEY_RSA };
const char *kv_ksef_key_word(enum kv_ksef_key type); /* "ec-p256", "rsa" */

#define KV_KSEF_SPKI_MAX      600 /* bytes: an RSA-4096 SubjectPublicKeyInfo has 550 */
#define KV_KSEF_SIGNATURE_MAX 512 /* bytes: RSA-4096 */

/* The type of a SubjectPublicKeyInfo (DER, nothing behind it; EC as a named curve). `bits` may be
 * NULL. Errors: KV_E_INPUT_VALUE. */
KV_MUST_USE enum kv_code kv_ksef_key_type(struct kv_bytes spki, enum kv_ksef_key *out,
                                          unsigned *bits, struct kv_err *err);
/* Check a raw signature of a SHA-256 digest: R‖S of 64 bytes, or PKCS#1 v1.5 as long as the
 * modulus. It is made by our own token, so a bad one is the token's failure: KV_E_TOKEN. */
KV_MUST_USE enum kv_code kv_ksef_key_verify(struct kv_bytes spki, const struct kv_hash *digest,
                                            struct kv_bytes signature, struct kv_err *err);
/* Append the DER form of R‖S (Ecdsa-Sig-Value, RFC 3279 2.2.3). Errors: KV_E_INPUT_VALUE. */
KV_MUST_USE enum kv_code kv_ksef_key_ecdsa_der(struct kv_bytes raw, struct kv_buf *out,
                                               struct kv_err *err);

#endif
