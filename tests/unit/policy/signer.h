/* People of the tests: Ed25519 keys made from their names, OpenSSH public key lines, and real
 * armoured SSHSIG signatures made with OpenSSL, which the code under test then verifies. */
#ifndef KV_TESTS_UNIT_POLICY_SIGNER_H
#define KV_TESTS_UNIT_POLICY_SIGNER_H

#include "core/buf.h"
#include "core/name.h"

#include <openssl/evp.h>

struct signer {
    char label[40];  /* "fin-01", or "fin-01.b" for her second key */
    char person[40]; /* the label up to a dot */
    EVP_PKEY *key;
    char line[128];               /* `ssh-ed25519 AAAA…` */
    char fingerprint[KV_KEY_LEN]; /* ssh:SHA256:… */
};

/* The same label always makes the same key: a throw-away TEST key. */
void signer_init(struct signer *signer, const char *label);
void signer_clear(struct signer *signer);
/* Sign `text` in `namespace`; replaces the contents of `armour`. */
void signer_sign_in(const struct signer *signer, const char *namespace, struct kv_bytes text,
                    struct kv_buf *armour);
/* In the namespace of approvals. */
void signer_sign(const struct signer *signer, struct kv_bytes text, struct kv_buf *armour);

#endif
