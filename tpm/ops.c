/* What core/token.h asks of a TPM: each call is one turn at the chip, so that the slots in it do
 * not disturb each other. */
#include "tpm/session.h"

static enum kv_code leave(struct kv_token *token, enum kv_code code)
{
    kv_tpm_leave(kv_tpm_token(token));
    return code;
}

static enum kv_code generate(struct kv_token *token, const char *label, enum kv_token_key_type type,
                             struct kv_token_key *out, struct kv_err *err)
{
    enum kv_code code = kv_tpm_enter(kv_tpm_token(token), err);
    return code == KV_OK ? leave(token, kv_tpm_generate(token, label, type, out, err)) : code;
}

static enum kv_code find(struct kv_token *token, const char *label, struct kv_token_key *out,
                         struct kv_err *err)
{
    enum kv_code code = kv_tpm_enter(kv_tpm_token(token), err);
    return code == KV_OK ? leave(token, kv_tpm_find(token, label, out, err)) : code;
}

static enum kv_code sign(struct kv_token *token, uint64_t handle, enum kv_token_mechanism mechanism,
                         const struct kv_hash *digest, uint8_t *sig, size_t *len,
                         struct kv_err *err)
{
    enum kv_code code = kv_tpm_enter(kv_tpm_token(token), err);
    return code == KV_OK
               ? leave(token, kv_tpm_sign(token, handle, mechanism, digest, sig, len, err))
               : code;
}

static enum kv_code certify(struct kv_token *token, uint64_t handle,
                            const struct kv_evidence_subject *subject, struct kv_buf *out,
                            struct kv_err *err)
{
    enum kv_code code = kv_tpm_enter(kv_tpm_token(token), err);
    return code == KV_OK ? leave(token, kv_tpm_certify(token, handle, subject, out, err)) : code;
}

static enum kv_code get_random(struct kv_token *token, uint8_t *out, size_t len, struct kv_err *err)
{
    enum kv_code code = kv_tpm_enter(kv_tpm_token(token), err);
    return code == KV_OK
               ? leave(token, kv_tpm_chip_random(&kv_tpm_token(token)->chip, out, len, err))
               : code;
}

/* Destroying removes files, and what is loaded of them if that is still there: it must not depend
 * on a chip that may be gone. */
static enum kv_code destroy(struct kv_token *token, const char *label, struct kv_err *err)
{
    bool entered = kv_tpm_enter(kv_tpm_token(token), NULL) == KV_OK;
    enum kv_code code = kv_tpm_destroy(token, label, err);
    return entered ? leave(token, code) : code;
}

static enum kv_code destroy_prefix(struct kv_token *token, const char *prefix, size_t *count,
                                   struct kv_err *err)
{
    bool entered = kv_tpm_enter(kv_tpm_token(token), NULL) == KV_OK;
    enum kv_code code = kv_tpm_destroy_prefix(token, prefix, count, err);
    return entered ? leave(token, code) : code;
}

static enum kv_code best_rung(struct kv_token *token, enum kv_token_rung *out, struct kv_err *err)
{
    (void)token;
    (void)err;
    *out = KV_TOKEN_RUNG_SEALED;
    return KV_OK;
}

static enum kv_code wrap(struct kv_token *token, const char *label, enum kv_token_rung rung,
                         struct kv_bytes aad, const struct kv_secret *plain, struct kv_buf *out,
                         struct kv_err *err)
{
    enum kv_code code = kv_tpm_enter(kv_tpm_token(token), err);
    return code == KV_OK ? leave(token, kv_tpm_wrap(token, label, rung, aad, plain, out, err))
                         : code;
}

static enum kv_code unwrap(struct kv_token *token, const char *label, enum kv_token_rung rung,
                           struct kv_bytes aad, struct kv_bytes wrapped, struct kv_secret **out,
                           struct kv_err *err)
{
    enum kv_code code = kv_tpm_enter(kv_tpm_token(token), err);
    return code == KV_OK ? leave(token, kv_tpm_unwrap(token, label, rung, aad, wrapped, out, err))
                         : code;
}

const struct kv_token_ops kv_tpm_ops = {
    .close = kv_tpm_close,
    .generate = generate,
    .find = find,
    .sign = sign,
    .certify = certify,
    .random = get_random,
    .destroy = destroy,
    .count = kv_tpm_count,
    .destroy_prefix = destroy_prefix,
    .rung = best_rung,
    .wrap = wrap,
    .unwrap = unwrap,
};
