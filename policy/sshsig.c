#include "policy/sshsig.h"

#include "core/cursor.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#define BLOB_MAX   2048 /* bytes of the decoded armour; RSA of 4096 bits takes 1200 */
#define FLAG_TOUCH 0x01
#define FLAG_PIN   0x04

static const char begin_line[] = "-----BEGIN SSH SIGNATURE-----";
static const char end_line[] = "-----END SSH SIGNATURE-----";

/* The decoded armour (PROTOCOL.sshsig, blob format). Views into `blob`. */
struct envelope {
    uint8_t blob[BLOB_MAX];
    size_t blob_len;
    struct kv_pubkey key;
    struct kv_bytes space; /* namespace */
    struct kv_bytes hash;  /* sha512, sha256 */
    struct kv_bytes algorithm;
    struct kv_bytes value;
    bool whole; /* the fields inside `signature` are those of the key's kind */
    uint8_t flags;
    uint32_t counter;
};

/* Take the next line without LF or CR LF; false at the end. */
static bool next_line(struct kv_bytes *rest, struct kv_bytes *line)
{
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *lf = memchr(rest->ptr, '\n', rest->len);
    size_t len = lf == NULL ? rest->len : (size_t)(lf - rest->ptr);
    size_t skip = lf == NULL ? len : len + 1;
    *line = kv_bytes(rest->ptr, len);
    if (lf != NULL && len > 0 && line->ptr[len - 1] == '\r') {
        line->len--;
    }
    *rest = kv_bytes(rest->ptr + skip, rest->len - skip);
    return true;
}

static bool open_armour(struct kv_bytes armour, struct envelope *env)
{
    char text[KV_SSHSIG_ARMOUR_MAX];
    size_t len = 0;
    struct kv_bytes rest = armour, line;
    if (armour.len > KV_SSHSIG_ARMOUR_MAX || !next_line(&rest, &line) ||
        !kv_bytes_is(line, begin_line)) {
        return false;
    }
    while (next_line(&rest, &line)) {
        if (kv_bytes_is(line, end_line)) {
            return rest.len == 0 && kv_base64_decode(kv_bytes(text, len), env->blob,
                                                     sizeof env->blob, &env->blob_len);
        }
        if (line.len == 0 || line.len > 76) { /* ssh-keygen writes 70; RFC 4648 allows 76 */
            return false;
        }
        memcpy(text + len, line.ptr, line.len);
        len += line.len;
    }
    return false;
}

/* `string algorithm | string value`, of a security key then `u8 flags | u32 counter`. */
static void open_signature(struct kv_bytes signature, struct envelope *env)
{
    struct kv_cursor cur = kv_cursor(signature);
    env->algorithm = kv_cursor_string(&cur);
    env->value = kv_cursor_string(&cur);
    if (kv_pubkey_kind_is_sk(env->key.kind)) {
        env->flags = kv_cursor_u8(&cur);
        env->counter = kv_cursor_u32(&cur);
    }
    env->whole = kv_cursor_done(&cur);
}

static enum kv_code open_envelope(struct kv_bytes armour, struct envelope *env, struct kv_err *err)
{
    static const char magic[] = "SSHSIG";
    memset(env, 0, sizeof *env);
    if (!open_armour(armour, env)) {
        return KV_REFUSE(err, KV_E_SIG_FORMAT, "this is not one armoured SSH signature");
    }
    struct kv_cursor cur = kv_cursor(kv_bytes(env->blob, env->blob_len));
    struct kv_bytes head = kv_cursor_take(&cur, sizeof magic - 1);
    uint32_t version = kv_cursor_u32(&cur);
    struct kv_bytes key = kv_cursor_string(&cur);
    env->space = kv_cursor_string(&cur);
    struct kv_bytes reserved = kv_cursor_string(&cur);
    env->hash = kv_cursor_string(&cur);
    struct kv_bytes signature = kv_cursor_string(&cur);
    if (!kv_cursor_done(&cur) || !kv_bytes_is(head, magic) || version != 1 || reserved.len != 0) {
        return KV_REFUSE(err, KV_E_SIG_FORMAT, "the armour holds no SSHSIG of version 1");
    }
    if (!kv_bytes_is(env->hash, "sha512") && !kv_bytes_is(env->hash, "sha256")) {
        return KV_REFUSE(err, KV_E_SIG_FORMAT, "the hash is neither sha512 nor sha256");
    }
    struct kv_err detail;
    if (kv_pubkey_parse_blob(key, &env->key, &detail) != KV_OK) {
        return KV_REFUSE(err, KV_E_SIG_FORMAT, "%.150s", detail.msg);
    }
    open_signature(signature, env);
    return KV_OK;
}

/* The digest that the algorithm of this key's kind signs with; false: not an accepted algorithm
 * (ssh-rsa would be SHA-1; webauthn-sk-… is another method). */
static bool find_digest(const struct envelope *env, const EVP_MD **md)
{
    if (env->key.kind == KV_PUBKEY_RSA) {
        bool is512 = kv_bytes_is(env->algorithm, "rsa-sha2-512");
        *md = is512 ? EVP_sha512() : EVP_sha256();
        return is512 || kv_bytes_is(env->algorithm, "rsa-sha2-256");
    }
    bool ec = env->key.kind == KV_PUBKEY_ECDSA_P256 || env->key.kind == KV_PUBKEY_SK_ECDSA_P256;
    *md = ec ? EVP_sha256() : NULL; /* Ed25519 hashes by itself */
    return kv_bytes_is(env->algorithm, kv_pubkey_kind_word(env->key.kind));
}

static void free_pkey(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void free_bld(OSSL_PARAM_BLD **bld)
{
    OSSL_PARAM_BLD_free(*bld);
}

static void free_params(OSSL_PARAM **params)
{
    OSSL_PARAM_free(*params);
}

static void free_pkey_ctx(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void free_md_ctx(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static void free_bn(BIGNUM **bn)
{
    BN_free(*bn);
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *bld)
{
    KV_CLEANUP(free_params) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    KV_CLEANUP(free_pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        return NULL;
    }
    return pkey;
}

/* NULL also for a point that is not on the curve: such a key has made no signature. */
static EVP_PKEY *load_ec(struct kv_bytes point)
{
    KV_CLEANUP(free_bld) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld == NULL ||
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.ptr, point.len) != 1) {
        return NULL;
    }
    return pkey_from("EC", bld);
}

static BIGNUM *bn_of(struct kv_bytes bytes)
{
    return BN_bin2bn(bytes.ptr, (int)bytes.len, NULL);
}

static EVP_PKEY *load_rsa(struct kv_bytes modulus, struct kv_bytes exponent)
{
    KV_CLEANUP(free_bld) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    KV_CLEANUP(free_bn) BIGNUM *n = bn_of(modulus);
    KV_CLEANUP(free_bn) BIGNUM *e = bn_of(exponent);
    if (bld == NULL || n == NULL || e == NULL ||
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) != 1) {
        return NULL;
    }
    return pkey_from("RSA", bld);
}

static EVP_PKEY *load_key(const struct kv_pubkey *key)
{
    struct kv_bytes point = kv_pubkey_part(key, key->point);
    switch (key->kind) {
    case KV_PUBKEY_ED25519:
    case KV_PUBKEY_SK_ED25519:
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point.ptr, point.len);
    case KV_PUBKEY_ECDSA_P256:
    case KV_PUBKEY_SK_ECDSA_P256: return load_ec(point);
    case KV_PUBKEY_RSA: return load_rsa(point, kv_pubkey_part(key, key->exponent));
    case KV_PUBKEY_NONE:
    case KV_PUBKEY_KIND_COUNT: break;
    }
    return NULL;
}

/* RFC 5656 §3.1.2: `mpint r | mpint s`, to the DER that OpenSSL wants; 0 if it is none. */
static int ecdsa_to_der(struct kv_bytes value, uint8_t **der)
{
    struct kv_cursor cur = kv_cursor(value);
    struct kv_bytes r = kv_cursor_string(&cur);
    struct kv_bytes s = kv_cursor_string(&cur);
    if (!kv_cursor_done(&cur) || r.len == 0 || r.len > 33 || s.len == 0 || s.len > 33 ||
        (r.ptr[0] & 0x80) != 0 || (s.ptr[0] & 0x80) != 0) {
        return 0;
    }
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *bn_r = bn_of(r), *bn_s = bn_of(s);
    if (sig == NULL || bn_r == NULL || bn_s == NULL || ECDSA_SIG_set0(sig, bn_r, bn_s) != 1) {
        BN_free(bn_r);
        BN_free(bn_s);
        ECDSA_SIG_free(sig);
        return 0;
    }
    int len = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    return len < 0 ? 0 : len;
}

static bool verify_raw(EVP_PKEY *pkey, const EVP_MD *md, struct kv_bytes data,
                       struct kv_bytes signature)
{
    KV_CLEANUP(free_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    return ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md, NULL, pkey) == 1 &&
           EVP_DigestVerify(ctx, signature.ptr, signature.len, data.ptr, data.len) == 1;
}

static bool verify_value(const struct envelope *env, const EVP_MD *md, struct kv_bytes data)
{
    KV_CLEANUP(free_pkey) EVP_PKEY *pkey = load_key(&env->key);
    if (pkey == NULL) {
        return false;
    }
    bool ec = env->key.kind == KV_PUBKEY_ECDSA_P256 || env->key.kind == KV_PUBKEY_SK_ECDSA_P256;
    if (!ec) {
        return verify_raw(pkey, md, data, env->value);
    }
    uint8_t *der = NULL;
    int len = ecdsa_to_der(env->value, &der);
    bool good = len > 0 && verify_raw(pkey, md, data, kv_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return good;
}

static void add_string(struct kv_buf *buf, struct kv_bytes bytes)
{
    kv_buf_add_u32(buf, (uint32_t)bytes.len);
    kv_buf_add_bytes(buf, bytes);
}

/* What the key signed: PROTOCOL.sshsig "Signed Data", and around it, of a security key,
 * PROTOCOL.u2f "SSH U2F Signatures". */
static void signed_data(const struct envelope *env, struct kv_bytes text, struct kv_buf *out)
{
    uint8_t digest[64];
    struct kv_bytes hashed = kv_bytes(digest, sizeof digest);
    if (kv_bytes_is(env->hash, "sha512")) {
        kv_hash512(text, digest);
    } else {
        struct kv_hash hash = kv_hash(text);
        memcpy(digest, hash.b, sizeof hash.b);
        hashed.len = sizeof hash.b;
    }
    kv_buf_add_str(out, "SSHSIG");
    add_string(out, env->space);
    add_string(out, KV_BYTES_NULL); /* reserved */
    add_string(out, env->hash);
    add_string(out, hashed);
    if (kv_pubkey_kind_is_sk(env->key.kind)) {
        struct kv_hash message = kv_hash(kv_buf_bytes(out));
        struct kv_hash application = kv_hash(kv_pubkey_part(&env->key, env->key.application));
        kv_buf_reset(out);
        kv_buf_add(out, application.b, sizeof application.b);
        kv_buf_add_u8(out, env->flags);
        kv_buf_add_u32(out, env->counter);
        kv_buf_add(out, message.b, sizeof message.b);
    }
}

static bool is_good(const struct envelope *env, const EVP_MD *md, struct kv_bytes text)
{
    struct kv_buf data;
    kv_buf_init(&data, BLOB_MAX);
    signed_data(env, text, &data);
    bool good = !data.failed && verify_value(env, md, kv_buf_bytes(&data));
    kv_buf_clear(&data);
    ERR_clear_error(); /* what a bad signature left there is no later call's error */
    return good;
}

static enum kv_code judge(const struct envelope *env, struct kv_bytes text,
                          struct kv_bytes fingerprint, struct kv_err *err)
{
    if (!kv_bytes_is(env->space, KV_SSHSIG_NAMESPACE)) {
        return KV_REFUSE(err, KV_E_SIG_NAMESPACE,
                         "the signature was not made in the namespace " KV_SSHSIG_NAMESPACE);
    }
    const EVP_MD *md;
    if (env->whole && !find_digest(env, &md)) {
        return KV_REFUSE(err, KV_E_SIG_FORMAT, "the algorithm of the signature is not accepted");
    }
    if (!env->whole || !is_good(env, md, text)) {
        return KV_REFUSE(err, KV_E_SIG_BAD, "the signature is not one of this text by %s",
                         env->key.fingerprint);
    }
    if (!kv_bytes_is(fingerprint, env->key.fingerprint)) {
        return KV_REFUSE(err, KV_E_SIG_KEY, "the signature is by %s, which the text does not name",
                         env->key.fingerprint);
    }
    bool sk = kv_pubkey_kind_is_sk(env->key.kind);
    if (sk && (env->flags & FLAG_TOUCH) == 0) {
        return KV_REFUSE(err, KV_E_SIG_NO_TOUCH, "the security key signed without a touch");
    }
    if (sk && (env->flags & FLAG_PIN) == 0) {
        return KV_REFUSE(err, KV_E_SIG_NO_PIN, "the security key signed without its PIN");
    }
    return KV_OK;
}

enum kv_code kv_sshsig_verify(struct kv_bytes text, struct kv_bytes armour,
                              struct kv_bytes fingerprint, struct kv_sshsig_result *out,
                              struct kv_err *err)
{
    struct envelope env;
    enum kv_code code = open_envelope(armour, &env, err);
    if (code == KV_OK) {
        code = judge(&env, text, fingerprint, err);
    }
    if (code == KV_OK && out != NULL) {
        *out = (struct kv_sshsig_result){env.key, env.flags, env.counter};
    }
    return code;
}

enum kv_code kv_sshsig_signer(struct kv_bytes armour, struct kv_pubkey *out, struct kv_err *err)
{
    struct envelope env;
    enum kv_code code = open_envelope(armour, &env, err);
    if (code == KV_OK) {
        *out = env.key;
    }
    return code;
}

bool kv_sshsig_split(struct kv_bytes joined, struct kv_bytes *text, struct kv_bytes *armour)
{
    size_t len = sizeof begin_line - 1;
    for (size_t at = 0; at + len <= joined.len;) {
        if (memcmp(joined.ptr + at, begin_line, len) == 0) {
            *text = kv_bytes(joined.ptr, at);
            *armour = kv_bytes(joined.ptr + at, joined.len - at);
            return true;
        }
        const uint8_t *lf = memchr(joined.ptr + at, '\n', joined.len - at);
        at = lf == NULL ? joined.len : (size_t)(lf - joined.ptr) + 1;
    }
    return false;
}
