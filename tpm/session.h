/* The inside of an open TPM token, shared by token.c (opening, closing), key.c (keys that sign) and
 * kek.c (keys that wrap); ops.c calls them. */
#ifndef KV_TPM_SESSION_H
#define KV_TPM_SESSION_H

#include "core/evidence.h"
#include "core/token.h"
#include "tpm/chip.h"
#include "tpm/file.h"
#include "tpm/token.h"
#include "tpm/turn.h"

#define KV_TPM_KEYS_MAX 1024 /* that were used since the start */

#define KV_TPM_SIGNS "sign"
#define KV_TPM_WRAPS "wrap"
#define KV_TPM_LOGIN "login"

/* A key that was found: its file is read, and its public half judged, once. */
struct kv_tpm_key {
    char label[KV_TOKEN_LABEL_LEN];
    struct kv_token_key key;
    struct kv_tpm_blob blob;
};

struct kv_tpm_token {
    struct kv_token base; /* first: kv_token* and kv_tpm_token* are one address */
    struct kv_tpm_chip chip;
    int dir, lock;
    struct kv_tpm_turn turn;
    bool lost;                /* a turn could not begin: the next one must */
    struct kv_secret *root;   /* what the login unsealed: from it, the passwords of all keys */
    struct kv_tpm_key **keys; /* owned, each too */
    size_t key_count;
    uint64_t next_handle;
    /* the one key that stays in the chip, as long as no other is needed */
    uint64_t loaded_handle; /* 0: none */
    ESYS_TR loaded;
    /* of the endorsement key, once they are checked: they go into the evidence of new keys */
    struct kv_buf certificates;     /* what the evidence borrows its certificates from */
    struct kv_evidence endorsement; /* only its certificates */
};

/* The token behind the interface. */
static inline struct kv_tpm_token *kv_tpm_token(struct kv_token *token)
{
    return (struct kv_tpm_token *)token;
}

/* Keep others off the slot's folder and say which storage key its keys lie under; size 0: it is not
 * initialised, and there is no lock. *lock is closed by the caller. Error: KV_E_TOKEN_IN_USE. */
KV_MUST_USE enum kv_code kv_tpm_folder_hold(const char *folder, int *lock, TPM2B_NAME *primary,
                                            struct kv_err *err);
/* The name of the file of a key. */
void kv_tpm_file_name(const char *label, char out[static KV_TPM_NAME_LEN]);
/* An object's authPolicy: no policy has this digest, so it opens nothing; but it is part of what
 * the chip binds to the private half, and says whose object it is and what for. A file under
 * another label is found out. */
void kv_tpm_bind(const char *purpose, const char *label, TPM2B_DIGEST *out);
/* The password of the object; wiped by the caller. */
void kv_tpm_auth(const struct kv_secret *root, const char *label, TPM2B_AUTH *out);
/* Read the object of `label`, bound to it for `purpose`. Errors: KV_E_TOKEN_KEY_MISSING,
 * KV_E_TOKEN_KEY_DAMAGED. */
KV_MUST_USE enum kv_code kv_tpm_read(struct kv_tpm_token *token, const char *purpose,
                                     const char *label, struct kv_tpm_blob *out,
                                     struct kv_err *err);
KV_MUST_USE enum kv_code kv_tpm_write(struct kv_tpm_token *token, const char *label,
                                      const struct kv_tpm_blob *blob, struct kv_err *err);
/* A sealed object's public half: the bytes in it leave for who has its password, on this chip. */
void kv_tpm_sealed_template(const char *purpose, const char *label, TPM2B_PUBLIC *out);
bool kv_tpm_sealed_good(const TPM2B_PUBLIC *public);
/* The public key of one, whatever it is for; false: neither P-256 nor RSA 2048. */
bool kv_tpm_public_key(const TPMT_PUBLIC *area, struct kv_token_key *out);
/* Have the key of this handle in the chip's second place, as token->loaded. Errors:
 * KV_E_TOKEN_KEY_MISSING, those of kv_tpm_chip_load. */
KV_MUST_USE enum kv_code kv_tpm_use(struct kv_tpm_token *token, uint64_t handle,
                                    const struct kv_tpm_key **out, struct kv_err *err);
/* Leave the chip's second place to another object. */
void kv_tpm_make_room(struct kv_tpm_token *token);

/* ---- certify.c, endorsement.c ---- */
/* A primary key of the endorsement hierarchy, which the chip derives anew: what TPM2_Clear does not
 * change is the chip's own. *out is flushed by the caller. Errors: KV_E_TOKEN_OWNER if the
 * hierarchy has a password or is off, KV_E_TOKEN…. */
KV_MUST_USE enum kv_code kv_tpm_endorsed_key(struct kv_tpm_chip *chip, const TPMT_PUBLIC *template,
                                             ESYS_TR *out, TPM2B_PUBLIC *public,
                                             struct kv_err *err);
/* The one that signs what the chip says of other keys, and nothing else. */
KV_MUST_USE enum kv_code kv_tpm_attestation_key(struct kv_tpm_chip *chip, ESYS_TR *out,
                                                TPM2B_PUBLIC *public, struct kv_err *err);
/* Whose chip it is: the certificate of its endorsement key, checked with the roots in the file, and
 * proved to be of this chip. Custody, its reason, and the token's certificates follow. Nothing to
 * check, or found wrong, is no error: KV_E_CONFIG (the file), KV_E_TOKEN_ABSENT, KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_tpm_endorse(struct kv_tpm_token *token, const char *roots,
                                        struct kv_err *err);

/* Before anything is asked of the chip, and after it. If another slot's turn emptied the chip, it
 * is begun anew; the login is kept. Errors: those of kv_tpm_turn_take and kv_tpm_chip_open,
 * KV_E_TOKEN_FOREIGN. */
KV_MUST_USE enum kv_code kv_tpm_enter(struct kv_tpm_token *token, struct kv_err *err);
void kv_tpm_leave(struct kv_tpm_token *token);

/* Each of its functions is one turn at the chip. */
extern const struct kv_token_ops kv_tpm_ops;

/* What the functions of kv_tpm_ops do in their turn. */
void kv_tpm_close(struct kv_token *token);
enum kv_code kv_tpm_generate(struct kv_token *token, const char *label, enum kv_token_key_type type,
                             struct kv_token_key *out, struct kv_err *err);
enum kv_code kv_tpm_find(struct kv_token *token, const char *label, struct kv_token_key *out,
                         struct kv_err *err);
enum kv_code kv_tpm_sign(struct kv_token *token, uint64_t handle, enum kv_token_mechanism mechanism,
                         const struct kv_hash *digest, uint8_t *sig, size_t *len,
                         struct kv_err *err);
enum kv_code kv_tpm_certify(struct kv_token *token, uint64_t handle,
                            const struct kv_evidence_subject *subject, struct kv_buf *out,
                            struct kv_err *err);
enum kv_code kv_tpm_destroy(struct kv_token *token, const char *label, struct kv_err *err);
enum kv_code kv_tpm_count(struct kv_token *token, size_t *count, struct kv_err *err);
enum kv_code kv_tpm_destroy_prefix(struct kv_token *token, const char *prefix, size_t *count,
                                   struct kv_err *err);
enum kv_code kv_tpm_wrap(struct kv_token *token, const char *label, enum kv_token_rung rung,
                         struct kv_bytes aad, const struct kv_secret *plain, struct kv_buf *out,
                         struct kv_err *err);
enum kv_code kv_tpm_unwrap(struct kv_token *token, const char *label, enum kv_token_rung rung,
                           struct kv_bytes aad, struct kv_bytes wrapped, struct kv_secret **out,
                           struct kv_err *err);

#endif
