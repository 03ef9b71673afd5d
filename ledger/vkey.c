#include "ledger/vkey.h"

#include "core/openssl.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>

#define BAD(err, ...) KV_REFUSE((err), KV_E_LEDGER_NOTE, __VA_ARGS__)

/* RFC 5480: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING 04 ‖ X ‖ Y }. */
static const uint8_t spki_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

static void md_freep(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static EVP_PKEY *decode(const struct kv_vkey *key)
{
    if (key->type == KV_VKEY_ED25519) {
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->key, key->key_len);
    }
    const uint8_t *at = key->key;
    return d2i_PUBKEY(NULL, &at, (long)key->key_len); /* refuses points off the curve */
}

/* The last one is kept: a log has one key, and each of its checkpoints asks for it. */
static EVP_PKEY *load(const struct kv_vkey *key)
{
    static EVP_PKEY *last;
    static uint8_t last_type, last_key[KV_SPKI_LEN];
    if (last == NULL || last_type != key->type || memcmp(last_key, key->key, key->key_len) != 0) {
        EVP_PKEY_free(last);
        last = decode(key);
        last_type = key->type;
        memcpy(last_key, key->key, key->key_len);
    }
    return last != NULL && EVP_PKEY_up_ref(last) == 1 ? last : NULL;
}

/* C2SP signed-note: not empty, no space, no plus; and nothing that would hide in a listing. */
static bool name_valid(struct kv_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == '+') {
            return false;
        }
    }
    return name.len > 0 && name.len < KV_ORIGIN_LEN;
}

/* Type 1: H(name ‖ 0A ‖ 01 ‖ key); type 2: H(SPKI). */
static void compute_id(struct kv_vkey *key)
{
    struct kv_hash hash;
    if (key->type == KV_VKEY_ED25519) {
        static const uint8_t tag[] = {'\n', KV_VKEY_ED25519};
        hash = kv_hash3(kv_bytes_str(key->name), kv_bytes(tag, sizeof tag),
                        kv_bytes(key->key, key->key_len));
    } else {
        hash = kv_hash(kv_bytes(key->key, key->key_len));
    }
    memcpy(key->id, hash.b, sizeof key->id);
}

static enum kv_code make(struct kv_bytes name, uint8_t type, struct kv_bytes bytes,
                         struct kv_vkey *out, struct kv_err *err)
{
    struct kv_vkey key = {.type = type, .key_len = bytes.len};
    if (!name_valid(name)) {
        return BAD(err, "the name of a log key is malformed");
    }
    memcpy(key.name, name.ptr, name.len);
    bool known = (type == KV_VKEY_ED25519 && bytes.len == 32) ||
                 (type == KV_VKEY_ECDSA && bytes.len == KV_SPKI_LEN &&
                  memcmp(bytes.ptr, spki_head, sizeof spki_head) == 0);
    if (!known) {
        return BAD(err, "the log key is neither P-256 nor Ed25519");
    }
    memcpy(key.key, bytes.ptr, bytes.len);
    compute_id(&key);
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *pkey = load(&key);
    if (pkey == NULL) {
        return BAD(err, "the log key is not a public key");
    }
    *out = key;
    return KV_OK;
}

enum kv_code kv_vkey_from_spki(const char *name, struct kv_bytes spki, struct kv_vkey *out,
                               struct kv_err *err)
{
    return make(kv_bytes_str(name), KV_VKEY_ECDSA, spki, out, err);
}

enum kv_code kv_vkey_parse(struct kv_bytes text, struct kv_vkey *out, struct kv_err *err)
{
    if (text.len > 0 && text.ptr[text.len - 1] == '\n') {
        text.len--;
    }
    const uint8_t *plus = text.len == 0 ? NULL : memchr(text.ptr, '+', text.len);
    size_t name_len = plus == NULL ? 0 : (size_t)(plus - text.ptr);
    if (plus == NULL || text.len - name_len < 11 || plus[9] != '+') {
        return BAD(err, "a log key is written name+hash+base64");
    }
    uint8_t id[4];
    uint8_t bytes[1 + KV_SPKI_LEN];
    size_t id_len, len;
    if (!kv_hex_decode(kv_bytes(plus + 1, 8), id, sizeof id, &id_len) ||
        !kv_base64_decode(kv_bytes(plus + 10, text.len - name_len - 10), bytes, sizeof bytes,
                          &len) ||
        len < 2) {
        return BAD(err, "a log key is written name+hash+base64");
    }
    struct kv_vkey key;
    enum kv_code code =
        make(kv_bytes(text.ptr, name_len), bytes[0], kv_bytes(bytes + 1, len - 1), &key, err);
    if (code != KV_OK) {
        return code;
    }
    if (memcmp(key.id, id, sizeof id) != 0) {
        return BAD(err, "the hash of the log key does not belong to its key");
    }
    *out = key;
    return KV_OK;
}

void kv_vkey_format(const struct kv_vkey *key, char out[static KV_VKEY_TEXT_LEN])
{
    uint8_t bytes[1 + KV_SPKI_LEN];
    char id[KV_HEX_LEN(4)];
    char base64[KV_BASE64_LEN(sizeof bytes)];
    bytes[0] = key->type;
    memcpy(bytes + 1, key->key, key->key_len);
    kv_hex_encode(kv_bytes(key->id, sizeof key->id), id);
    kv_base64_encode(kv_bytes(bytes, 1 + key->key_len), base64);
    int n = snprintf(out, KV_VKEY_TEXT_LEN, "%s+%s+%s", key->name, id, base64);
    assert(n > 0 && n < KV_VKEY_TEXT_LEN);
}

bool kv_vkey_equal(const struct kv_vkey *a, const struct kv_vkey *b)
{
    return strcmp(a->name, b->name) == 0 && a->type == b->type &&
           kv_bytes_equal(kv_bytes(a->key, a->key_len), kv_bytes(b->key, b->key_len));
}

void kv_vkey_pem(const struct kv_vkey *key, struct kv_buf *out)
{
    char base64[KV_BASE64_LEN(KV_SPKI_LEN)];
    kv_base64_encode(kv_bytes(key->key, key->key_len), base64);
    kv_buf_add_str(out, "-----BEGIN PUBLIC KEY-----\n");
    size_t len = strlen(base64);
    for (size_t at = 0; at < len; at += 64) {
        kv_buf_add(out, base64 + at, len - at < 64 ? len - at : 64);
        kv_buf_add_u8(out, '\n');
    }
    kv_buf_add_str(out, "-----END PUBLIC KEY-----\n");
}

/* One INTEGER of 32 bytes, minimal: no leading zeros, one zero byte before a set top bit. */
static size_t put_integer(const uint8_t in[static 32], uint8_t *out)
{
    size_t skip = 0;
    while (skip < 32 && in[skip] == 0) {
        skip++;
    }
    if (skip == 32) {
        return 0;
    }
    size_t pad = (in[skip] & 0x80) != 0 ? 1 : 0;
    out[0] = 0x02;
    out[1] = (uint8_t)(32 - skip + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, in + skip, 32 - skip);
    return 2 + pad + 32 - skip;
}

enum kv_code kv_ecdsa_to_der(const uint8_t rs[static KV_ECDSA_RS_LEN],
                             uint8_t out[static KV_ECDSA_DER_MAX], size_t *len, struct kv_err *err)
{
    uint8_t der[KV_ECDSA_DER_MAX] = {0x30};
    size_t r = put_integer(rs, der + 2);
    size_t s = r == 0 ? 0 : put_integer(rs + 32, der + 2 + r);
    if (r == 0 || s == 0) {
        return BAD(err, "r or s of the signature is zero");
    }
    der[1] = (uint8_t)(r + s);
    memcpy(out, der, sizeof der);
    *len = 2 + r + s;
    return KV_OK;
}

/* Read one INTEGER at *at into 32 bytes, padded left. */
static bool take_integer(struct kv_bytes der, size_t *at, uint8_t out[static 32])
{
    if (der.len - *at < 2 || der.ptr[*at] != 0x02) {
        return false;
    }
    size_t len = der.ptr[*at + 1];
    const uint8_t *p = der.ptr + *at + 2;
    if (len < 1 || len > 33 || len > der.len - *at - 2 || (p[0] & 0x80) != 0) {
        return false; /* also long forms of the length, and negative numbers */
    }
    if (p[0] == 0 && (len == 1 || (p[1] & 0x80) == 0)) {
        return false; /* zero, or a needless zero in front */
    }
    *at += 2 + len;
    if (p[0] == 0) {
        p++;
        len--;
    }
    if (len > 32) {
        return false;
    }
    memset(out, 0, 32);
    memcpy(out + 32 - len, p, len);
    return true;
}

enum kv_code kv_ecdsa_from_der(struct kv_bytes der, uint8_t out[static KV_ECDSA_RS_LEN],
                               struct kv_err *err)
{
    uint8_t rs[KV_ECDSA_RS_LEN];
    size_t at = 2;
    if (der.len < 8 || der.len > KV_ECDSA_DER_MAX || der.ptr[0] != 0x30 ||
        der.ptr[1] != der.len - 2 || !take_integer(der, &at, rs) ||
        !take_integer(der, &at, rs + 32) || at != der.len) {
        return BAD(err, "the signature is not strict DER of r and s");
    }
    memcpy(out, rs, sizeof rs);
    return KV_OK;
}

enum kv_code kv_vkey_verify(const struct kv_vkey *key, struct kv_bytes text, struct kv_bytes sig,
                            struct kv_err *err)
{
    uint8_t rs[KV_ECDSA_RS_LEN];
    bool ed = key->type == KV_VKEY_ED25519;
    if (!ed) {
        /* OpenSSL's own reader is laxer than we are. */
        enum kv_code code = kv_ecdsa_from_der(sig, rs, err);
        if (code != KV_OK) {
            return code;
        }
    }
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *pkey = load(key);
    KV_CLEANUP(md_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (pkey == NULL || ctx == NULL ||
        EVP_DigestVerifyInit(ctx, NULL, ed ? NULL : EVP_sha256(), NULL, pkey) != 1 ||
        EVP_DigestVerify(ctx, sig.ptr, sig.len, text.ptr, text.len) != 1) {
        return BAD(err, "the signature of %s is wrong", key->name);
    }
    return KV_OK;
}
