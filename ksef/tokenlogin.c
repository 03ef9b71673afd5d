#include "ksef/tokenlogin.h"

#include "core/hash.h"
#include "core/openssl.h"
#include "ksef/allowedips.h"
#include "ksef/authrequest.h"
#include "ksef/call.h"
#include "ksef/x509.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>

#define PLAIN_MAX (KV_KSEF_TOKEN_SECRET_MAX + 1 + 20) /* `|` and a number */

enum kv_code kv_ksef_token_check(struct kv_bytes token, struct kv_bytes reference,
                                 struct kv_err *err)
{
    if (token.len == 0 || token.len > KV_KSEF_TOKEN_SECRET_MAX) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "a KSeF token has 1 to %d characters, not %zu",
                         KV_KSEF_TOKEN_SECRET_MAX, token.len);
    }
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] <= ' ' || token.ptr[i] > '~') {
            return KV_REFUSE(err, KV_E_INPUT_VALUE,
                             "character %zu is not one that a KSeF token can have", i + 1);
        }
    }
    struct kv_bytes own = kv_bytes(token.ptr, KV_KSEF_REFERENCE_LEN - 1);
    bool begins = token.len > own.len && token.ptr[own.len] == '|' &&
                  kv_ksef_reference_valid(own) && memcmp(own.ptr + 9, "EC", 2) == 0;
    if (!begins) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "this is no token of KSeF 2.0, which begins with its reference number and "
                         "'|'; tokens of KSeF 1.0 work no longer");
    }
    if (reference.len != 0 && !kv_bytes_equal(own, reference)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "this token is not the approved one, %.*s",
                         (int)reference.len, (const char *)reference.ptr);
    }
    return KV_OK;
}

/* RSAES-OAEP with SHA-256 for both hashes and an empty label (KSeF API 2.0; RFC 8017 §7.1). */
static bool encrypt(EVP_PKEY *key, struct kv_bytes plain, uint8_t *out, size_t *len)
{
    KV_CLEANUP(kv_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    return ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_encrypt(ctx, out, len, plain.ptr, plain.len) == 1;
}

/* The key of the certificate, borrowed from it, and its publicKeyId. */
static enum kv_code key_of(const X509 *cert, EVP_PKEY **out, struct kv_hash *id, struct kv_err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    if (key == NULL || !kv_x509_key_id(cert, id) || !EVP_PKEY_is_a(key, "RSA") || bits < 2048 ||
        bits > 4096) {
        return KV_REFUSE(err, KV_E_KSEF_KEY,
                         "KSeF's key for tokens is not RSA of 2048 to 4096 bits");
    }
    *out = key;
    return KV_OK;
}

static enum kv_code encrypt_token(EVP_PKEY *key, struct kv_bytes token, int64_t timestamp_ms,
                                  struct kv_buf *out, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *plain = NULL;
    uint8_t cipher[512]; /* RSA-4096 */
    size_t len = sizeof cipher;
    if (kv_secret_new(PLAIN_MAX, &plain, err) != KV_OK) {
        return err->code;
    }
    uint8_t *at = kv_secret_data(plain);
    memcpy(at, token.ptr, token.len);
    int n =
        snprintf((char *)at + token.len, PLAIN_MAX - token.len, "|%lld", (long long)timestamp_ms);
    if (n < 0 || token.len + (size_t)n >= PLAIN_MAX ||
        !encrypt(key, kv_bytes(at, token.len + (size_t)n), cipher, &len)) {
        return KV_REFUSE(err, KV_E_INTERNAL, "the token could not be encrypted");
    }
    kv_buf_add_base64(out, kv_bytes(cipher, len));
    return KV_OK;
}

enum kv_code kv_token_login(const struct kv_token_login_params *params, struct kv_bytes token,
                            struct kv_buf *out, struct kv_err *err)
{
    KV_CLEANUP(kv_x509_freep) X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    struct kv_context context;
    struct kv_hash id;
    char id_text[KV_HASH_BASE64_LEN];
    if (!kv_auth_challenge_valid(params->challenge)) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's challenge is not well-formed");
    }
    if (kv_ksef_token_check(token, KV_BYTES_NULL, err) != KV_OK ||
        kv_allowed_ips_check(params->allowed_ips, err) != KV_OK ||
        kv_context_parse(params->context, &context, err) != KV_OK) {
        return err->code;
    }
    if (kv_x509_parse(params->certificate, &cert, err) != KV_OK) {
        return KV_REFUSE(err, KV_E_KSEF_KEY, "KSeF's key for tokens has no good certificate");
    }
    if (key_of(cert, &key, &id, err) != KV_OK) {
        return err->code;
    }
    kv_hash_base64(&id, id_text);
    kv_buf_add_format(out,
                      "{\"challenge\":\"%.*s\",\"contextIdentifier\":{\"type\":\"%s\","
                      "\"value\":\"%.*s\"},\"encryptedToken\":\"",
                      (int)params->challenge.len, (const char *)params->challenge.ptr,
                      kv_context_type_word(context.type), (int)context.value.len,
                      (const char *)context.value.ptr);
    if (encrypt_token(key, token, params->timestamp_ms, out, err) != KV_OK) {
        return err->code;
    }
    kv_buf_add_format(out, "\",\"publicKeyId\":\"%s\"", id_text);
    kv_allowed_ips_json(params->allowed_ips, out);
    kv_buf_add_str(out, "}");
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a login") : KV_OK;
}
