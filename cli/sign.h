/* Signing as a person: with stock `ssh-keygen`, whose keys we never read. */
#ifndef KV_CLI_SIGN_H
#define KV_CLI_SIGN_H

#include "cli/cli.h"
#include "policy/sshsig.h"

struct cli_signer {
    const char *person;   /* --as */
    char key[KV_KEY_LEN]; /* fingerprint */
    const char *key_file; /* signs here; NULL: somewhere else, later */
};

/* The options --as, --key and --out, for verbs whose text a person signs. */
extern const struct cli_option cli_signer_options[];
/* Who signs with what, from these options. Without --key the person's only good key is looked up
 * at the agent. Errors: KV_E_USAGE, those of reading the key, of the call. */
KV_MUST_USE enum kv_code cli_signer(struct cli *cli, struct cli_signer *out, struct kv_err *err);
/* The public key behind a `.pub` file, or beside or inside a private key file. */
KV_MUST_USE enum kv_code cli_public_key(const char *path, struct kv_pubkey *out,
                                        struct kv_err *err);
/* Sign `text`; the armoured signature is appended to `armour` after it was verified to be a good
 * one by the key `fingerprint`. Errors: KV_E_SIG_BAD (ssh-keygen did not sign), those of
 * policy/sshsig.h. */
KV_MUST_USE enum kv_code cli_sign(const char *key_file, const char *fingerprint,
                                  struct kv_bytes text, struct kv_buf *armour, struct kv_err *err);

#endif
