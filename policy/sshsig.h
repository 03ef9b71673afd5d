/* SSHSIG (OpenSSH PROTOCOL.sshsig): the signatures of persons over statements, namespace
 * ksefvault-approval-v1. Stricter than `ssh-keygen -Y verify`, which accepts a security key's
 * signature made without touch or PIN: here both flags are demanded. */
#ifndef KV_POLICY_SSHSIG_H
#define KV_POLICY_SSHSIG_H

#include "policy/pubkey.h"

#define KV_SSHSIG_NAMESPACE  "ksefvault-approval-v1"
#define KV_SSHSIG_ARMOUR_MAX 4096 /* bytes; RSA of 4096 bits takes 1600 */

struct kv_sshsig_result {
    struct kv_pubkey key; /* that made it */
    uint8_t flags;        /* of a security key: 0x01 touch, 0x04 PIN; else 0 */
    uint32_t counter;     /* of a security key; the same non-zero counter twice: a cloned key */
};

/* Verify the armoured signature over the exact bytes of `text`. `fingerprint` is the key that the
 * text names (ssh:SHA256:…). The armour's own CR LF is tolerated: nobody signed it.
 * Errors, the first that applies: KV_E_SIG_FORMAT (not an armoured SSHSIG of an accepted kind),
 * _NAMESPACE, _BAD, _KEY (good, by another key than `fingerprint`), _NO_TOUCH, _NO_PIN. `out` may
 * be NULL. */
KV_MUST_USE enum kv_code kv_sshsig_verify(struct kv_bytes text, struct kv_bytes armour,
                                          struct kv_bytes fingerprint, struct kv_sshsig_result *out,
                                          struct kv_err *err);
/* The key inside the armour, nothing verified: to say whose signature it claims to be. */
KV_MUST_USE enum kv_code kv_sshsig_signer(struct kv_bytes armour, struct kv_pubkey *out,
                                          struct kv_err *err);
/* Split a file in which text and signature were joined, at the line that begins the armour. False
 * if there is none. Views into `joined`. */
bool kv_sshsig_split(struct kv_bytes joined, struct kv_bytes *text, struct kv_bytes *armour);

#endif
