#include "tpm/session.h"

#include <string.h>

#include "core/seal.h"

/* A TPM has no authenticated encryption, and hardly 128 bytes fit into what it seals: so it keeps
 * the key of a wrapping label, never the secret. The key is unsealed for one use and wiped; it
 * crosses the bus encrypted. */

static enum kv_code take_kek(struct kv_tpm_token *token, const char *label, enum kv_token_rung rung,
                             struct kv_secret **out, struct kv_err *err)
{
    if (rung != KV_TOKEN_RUNG_SEALED) {
        return KV_REFUSE(err, KV_E_TOKEN_MECHANISM, "a TPM does not open '%s'",
                         kv_token_rung_word(rung));
    }
    struct kv_tpm_blob blob;
    TPM2B_AUTH auth;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *kek = NULL;
    enum kv_code code = kv_tpm_read(token, KV_TPM_WRAPS, label, &blob, err);
    if (code != KV_OK) {
        return code;
    }
    if (!kv_tpm_sealed_good(&blob.public)) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_WEAK,
                         "the wrapping key '%s' was not made by the agent, or can leave the TPM",
                         label);
    }
    kv_tpm_make_room(token);
    kv_tpm_auth(token->root, label, &auth);
    code = kv_tpm_chip_unseal(&token->chip, &blob, &auth, &kek, err);
    kv_wipe(&auth, sizeof auth);
    if (code == KV_E_TOKEN_PIN || (code == KV_OK && kv_secret_len(kek) != KV_SEAL_KEY_LEN)) {
        code =
            KV_REFUSE(err, KV_E_TOKEN_KEY_DAMAGED, "wrapping key '%s' is of another slot", label);
    }
    if (code == KV_OK) {
        *out = kek;
        kek = NULL; /* handed over */
    }
    return code;
}

static enum kv_code make_kek(struct kv_tpm_token *token, const char *label, struct kv_err *err)
{
    struct kv_tpm_blob blob;
    TPM2B_PUBLIC wanted;
    TPM2B_AUTH auth;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *kek = NULL;
    enum kv_code code = kv_secret_new(KV_SEAL_KEY_LEN, &kek, err);
    if (code == KV_OK) {
        code = kv_tpm_chip_random(&token->chip, kv_secret_data(kek), KV_SEAL_KEY_LEN, err);
    }
    if (code != KV_OK) {
        return code;
    }
    kv_tpm_sealed_template(KV_TPM_WRAPS, label, &wanted);
    kv_tpm_auth(token->root, label, &auth);
    kv_tpm_make_room(token);
    code = kv_tpm_chip_create(&token->chip, &wanted, &auth, kek, &blob, err);
    kv_wipe(&auth, sizeof auth);
    return code == KV_OK ? kv_tpm_write(token, label, &blob, err) : code;
}

enum kv_code kv_tpm_wrap(struct kv_token *base, const char *label, enum kv_token_rung rung,
                         struct kv_bytes aad, const struct kv_secret *plain, struct kv_buf *out,
                         struct kv_err *err)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    KV_CLEANUP(kv_secret_freep) struct kv_secret *kek = NULL;
    enum kv_code code = take_kek(token, label, rung, &kek, err);
    if (code == KV_E_TOKEN_KEY_MISSING) {
        code = make_kek(token, label, err);
        if (code == KV_OK) { /* as it lies there, not as we meant it */
            code = take_kek(token, label, rung, &kek, err);
        }
    }
    return code == KV_OK ? kv_seal_under(kek, aad, kv_secret_bytes(plain), out, err) : code;
}

enum kv_code kv_tpm_unwrap(struct kv_token *base, const char *label, enum kv_token_rung rung,
                           struct kv_bytes aad, struct kv_bytes wrapped, struct kv_secret **out,
                           struct kv_err *err)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    KV_CLEANUP(kv_secret_freep) struct kv_secret *kek = NULL;
    enum kv_code code = take_kek(token, label, rung, &kek, err);
    return code == KV_OK ? kv_seal_open_under(kek, wrapped, aad, out, err) : code;
}
