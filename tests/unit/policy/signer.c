#include "tests/unit/policy/signer.h"

#include "core/hash.h"
#include "policy/sshsig.h"

#include <openssl/sha.h>
#include <stdio.h>

#define ALGORITHM "ssh-ed25519"

static void add_string(struct kv_buf *out, struct kv_bytes bytes)
{
    kv_buf_add_u32(out, (uint32_t)bytes.len);
    kv_buf_add_bytes(out, bytes);
}

static void add_key_blob(const struct signer *signer, struct kv_buf *out)
{
    uint8_t raw[32];
    size_t len = sizeof raw;
    int ok = EVP_PKEY_get_raw_public_key(signer->key, raw, &len);
    assert(ok == 1 && len == sizeof raw);
    add_string(out, kv_bytes_str(ALGORITHM));
    add_string(out, kv_bytes(raw, len));
}

void signer_init(struct signer *signer, const char *label)
{
    struct kv_hash seed =
        kv_hash3(kv_bytes_str("TEST key of "), kv_bytes_str(label), KV_BYTES_NULL);
    size_t name = strcspn(label, ".");
    *signer = (struct signer){.key = NULL};
    assert(strlen(label) < sizeof signer->label);
    memcpy(signer->label, label, strlen(label) + 1);
    memcpy(signer->person, label, name);
    signer->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.b, sizeof seed.b);
    assert(signer->key != NULL);

    struct kv_buf blob, line;
    kv_buf_init(&blob, 256);
    kv_buf_init(&line, 256);
    add_key_blob(signer, &blob);
    kv_buf_add_str(&line, ALGORITHM " ");
    kv_buf_add_base64(&line, kv_buf_bytes(&blob));
    assert(line.len < sizeof signer->line);
    memcpy(signer->line, line.data, line.len);
    char hash[KV_HASH_BASE64_LEN];
    struct kv_hash sha256 = kv_hash(kv_buf_bytes(&blob));
    kv_hash_base64(&sha256, hash);
    hash[strcspn(hash, "=")] = '\0'; /* as ssh-keygen -l prints it */
    int len = snprintf(signer->fingerprint, sizeof signer->fingerprint, "ssh:SHA256:%s", hash);
    assert(len > 0 && (size_t)len < sizeof signer->fingerprint);
    kv_buf_clear(&blob);
    kv_buf_clear(&line);
}

void signer_clear(struct signer *signer)
{
    EVP_PKEY_free(signer->key);
    signer->key = NULL;
}

static void raw_signature(const struct signer *signer, struct kv_bytes message,
                          uint8_t out[static 64])
{
    size_t len = 64;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->key) == 1 &&
             EVP_DigestSign(ctx, out, &len, message.ptr, message.len) == 1;
    assert(ok && len == 64);
    EVP_MD_CTX_free(ctx);
}

static void add_armour(struct kv_bytes blob, struct kv_buf *armour)
{
    struct kv_buf base64;
    kv_buf_init(&base64, 4096);
    kv_buf_add_base64(&base64, blob);
    kv_buf_reset(armour);
    kv_buf_add_str(armour, "-----BEGIN SSH SIGNATURE-----\n");
    for (size_t at = 0; at < base64.len; at += 70) {
        size_t len = base64.len - at < 70 ? base64.len - at : 70;
        kv_buf_add(armour, base64.data + at, len);
        kv_buf_add_str(armour, "\n");
    }
    kv_buf_add_str(armour, "-----END SSH SIGNATURE-----\n");
    kv_buf_clear(&base64);
}

void signer_sign_in(const struct signer *signer, const char *namespace, struct kv_bytes text,
                    struct kv_buf *armour)
{
    uint8_t digest[SHA512_DIGEST_LENGTH], signature[64];
    struct kv_buf part, blob;
    kv_buf_init(&part, 4096);
    kv_buf_init(&blob, 4096);
    (void)SHA512(text.ptr, text.len, digest);
    kv_buf_add_str(&part, "SSHSIG");
    add_string(&part, kv_bytes_str(namespace));
    add_string(&part, KV_BYTES_NULL);
    add_string(&part, kv_bytes_str("sha512"));
    add_string(&part, kv_bytes(digest, sizeof digest));
    raw_signature(signer, kv_buf_bytes(&part), signature);

    kv_buf_add_str(&blob, "SSHSIG");
    kv_buf_add_u32(&blob, 1);
    kv_buf_reset(&part);
    add_key_blob(signer, &part);
    add_string(&blob, kv_buf_bytes(&part));
    add_string(&blob, kv_bytes_str(namespace));
    add_string(&blob, KV_BYTES_NULL);
    add_string(&blob, kv_bytes_str("sha512"));
    kv_buf_reset(&part);
    add_string(&part, kv_bytes_str(ALGORITHM));
    add_string(&part, kv_bytes(signature, sizeof signature));
    add_string(&blob, kv_buf_bytes(&part));
    add_armour(kv_buf_bytes(&blob), armour);
    kv_buf_clear(&part);
    kv_buf_clear(&blob);
}

void signer_sign(const struct signer *signer, struct kv_bytes text, struct kv_buf *armour)
{
    signer_sign_in(signer, KV_SSHSIG_NAMESPACE, text, armour);
}
