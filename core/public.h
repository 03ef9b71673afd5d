/* Public keys as a token gives them, turned into SubjectPublicKeyInfo; and the check of a signature
 * by OpenSSL instead of the token, since what a token says is not evidence. */
#ifndef KV_CORE_PUBLIC_H
#define KV_CORE_PUBLIC_H

#include "core/token.h"

/* The P-256 point, either bare (0x04 ‖ x ‖ y) or as the DER OCTET STRING that PKCS#11 v2.40
 * (mechanisms §2.3.3) asks for. False: not a point of the curve. */
bool kv_public_from_point(struct kv_bytes point, struct kv_token_key *out);
/* RSA of exactly 2048 bits, big-endian numbers. False: not that. */
bool kv_public_from_rsa(struct kv_bytes modulus, struct kv_bytes exponent,
                        struct kv_token_key *out);
/* Whether `sig` is a signature of `digest` by the key, in the form of core/token.h. */
bool kv_public_verify(const struct kv_token_key *key, enum kv_token_mechanism mechanism,
                      const struct kv_hash *digest, struct kv_bytes sig);

#define KV_PUBLIC_DER_MAX 80 /* bytes of an ECDSA signature in DER */
/* An ECDSA signature of P-256, r‖s of 64 bytes, as DER, and back (minimal DER only). The length, 0:
 * cannot. */
size_t kv_public_sig_to_der(const uint8_t sig[static 64], uint8_t out[static KV_PUBLIC_DER_MAX]);
bool kv_public_sig_from_der(struct kv_bytes der, uint8_t out[static 64]);

#endif
