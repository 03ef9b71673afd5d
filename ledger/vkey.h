/* Keys that sign notes (C2SP signed-note): type 0x02, ECDSA P-256 over SHA-256, which the log uses,
 * and type 0x01, Ed25519, which is verified for those who hand in such a key. Text form:
 * `name+hex8(key id)+base64(type ‖ key)`. The key id of type 2 is the start of SHA-256(SPKI); name
 * and type are not in it. */
#ifndef KV_LEDGER_VKEY_H
#define KV_LEDGER_VKEY_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"
#include "core/name.h"

#define KV_VKEY_ED25519  1
#define KV_VKEY_ECDSA    2
#define KV_SPKI_LEN      91  /* bytes of a P-256 SubjectPublicKeyInfo, DER */
#define KV_ECDSA_RS_LEN  64  /* r ‖ s as a token gives them, each padded left to 32 */
#define KV_ECDSA_DER_MAX 72  /* SEQUENCE{r, s} with minimal INTEGERs */
#define KV_VKEY_TEXT_LEN 320 /* with NUL */

struct kv_vkey {
    char name[KV_ORIGIN_LEN];
    uint8_t type;
    uint8_t id[4];
    uint8_t key[KV_SPKI_LEN]; /* SPKI, or the 32 bytes of an Ed25519 key */
    size_t key_len;
};

/* A type 2 key from its SPKI (exactly 91 bytes, uncompressed point on P-256).
 * Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_vkey_from_spki(const char *name, struct kv_bytes spki,
                                           struct kv_vkey *out, struct kv_err *err);
/* Read the text form, with or without one LF at its end. Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_vkey_parse(struct kv_bytes text, struct kv_vkey *out,
                                       struct kv_err *err);
/* The text form, without LF. */
void kv_vkey_format(const struct kv_vkey *key, char out[static KV_VKEY_TEXT_LEN]);
bool kv_vkey_equal(const struct kv_vkey *a, const struct kv_vkey *b);
/* Append `-----BEGIN PUBLIC KEY-----` … of a type 2 key (keys/log.pem of an export). */
void kv_vkey_pem(const struct kv_vkey *key, struct kv_buf *out);

/* r ‖ s to strict DER; r and s must not be zero. Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_ecdsa_to_der(const uint8_t rs[static KV_ECDSA_RS_LEN],
                                         uint8_t out[static KV_ECDSA_DER_MAX], size_t *len,
                                         struct kv_err *err);
/* Strict DER to r ‖ s: refuses non-minimal integers and lengths, trailing bytes, negative or zero
 * r or s. High s is fine. Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_ecdsa_from_der(struct kv_bytes der, uint8_t out[static KV_ECDSA_RS_LEN],
                                           struct kv_err *err);
/* `sig` is what follows the key id in a signature line: DER for type 2, 64 bytes for type 1.
 * Errors: KV_E_LEDGER_NOTE. */
KV_MUST_USE enum kv_code kv_vkey_verify(const struct kv_vkey *key, struct kv_bytes text,
                                        struct kv_bytes sig, struct kv_err *err);

#endif
