/* Secrets that cannot live in the token, wrapped under keys that never leave it. */
#include "pkcs11/session.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "pkcs11/object.h"

#define IV_LEN   12
#define TAG_LEN  16
#define AES_LEN  32
#define GCM_COST (IV_LEN + TAG_LEN)

static const uint8_t p256_oid[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static const CK_ULONG aes_len = AES_LEN, shared_len = KV_SEAL_SHARED_LEN;
static const CK_OBJECT_CLASS secret_class = CKO_SECRET_KEY;
static const CK_KEY_TYPE generic = CKK_GENERIC_SECRET;

static bool has_mechanism(struct kv_pkcs11_token *token, CK_MECHANISM_TYPE type, CK_FLAGS flags)
{
    CK_SESSION_INFO session;
    CK_MECHANISM_INFO info;
    return token->module.f->C_GetSessionInfo(token->session, &session) == CKR_OK &&
           token->module.f->C_GetMechanismInfo(session.slotID, type, &info) == CKR_OK &&
           (info.flags & flags) == flags;
}

static bool has_rung(struct kv_pkcs11_token *token, enum kv_token_rung rung)
{
    if (rung == KV_TOKEN_RUNG_AES_GCM) {
        return has_mechanism(token, CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT) &&
               has_mechanism(token, CKM_AES_KEY_GEN, CKF_GENERATE);
    }
    return rung == KV_TOKEN_RUNG_ECDH && has_mechanism(token, CKM_ECDH1_DERIVE, CKF_DERIVE) &&
           has_mechanism(token, CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR);
}

enum kv_code kv_pkcs11_rung(struct kv_token *base, enum kv_token_rung *out, struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    for (int rung = KV_TOKEN_RUNG_AES_GCM; rung <= KV_TOKEN_RUNG_ECDH; rung++) {
        if (has_rung(token, (enum kv_token_rung)rung)) {
            *out = (enum kv_token_rung)rung;
            return KV_OK;
        }
    }
    return KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                     "the token has neither AES-GCM nor ECDH: it cannot keep KSeF tokens");
}

/* ---- the wrapping keys: one of each rung, made at first use ---- */

static CK_OBJECT_CLASS class_of(enum kv_token_rung rung)
{
    return rung == KV_TOKEN_RUNG_AES_GCM ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
}

static CK_RV make_aes(struct kv_pkcs11_token *token, const char *label)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE of[] = {kv_object_attr(CKA_TOKEN, &yes, sizeof yes),
                         kv_object_attr(CKA_PRIVATE, &yes, sizeof yes),
                         kv_object_attr(CKA_SENSITIVE, &yes, sizeof yes),
                         kv_object_attr(CKA_EXTRACTABLE, &no, sizeof no),
                         kv_object_attr(CKA_ENCRYPT, &yes, sizeof yes),
                         kv_object_attr(CKA_DECRYPT, &yes, sizeof yes),
                         kv_object_attr(CKA_WRAP, &no, sizeof no),
                         kv_object_attr(CKA_UNWRAP, &no, sizeof no),
                         kv_object_attr(CKA_SIGN, &no, sizeof no),
                         kv_object_attr(CKA_DERIVE, &no, sizeof no),
                         kv_object_attr(CKA_VALUE_LEN, &aes_len, sizeof aes_len),
                         kv_object_attr(CKA_LABEL, label, strlen(label))};
    CK_OBJECT_HANDLE made;
    return token->module.f->C_GenerateKey(token->session, &mechanism, of, KV_COUNT(of), &made);
}

static CK_RV make_ecdh(struct kv_pkcs11_token *token, const char *label)
{
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE public[] = {kv_object_attr(CKA_TOKEN, &yes, sizeof yes),
                             kv_object_attr(CKA_PRIVATE, &no, sizeof no),
                             kv_object_attr(CKA_EC_PARAMS, p256_oid, sizeof p256_oid),
                             kv_object_attr(CKA_LABEL, label, strlen(label))};
    CK_ATTRIBUTE private[] = {kv_object_attr(CKA_TOKEN, &yes, sizeof yes),
                              kv_object_attr(CKA_PRIVATE, &yes, sizeof yes),
                              kv_object_attr(CKA_SENSITIVE, &yes, sizeof yes),
                              kv_object_attr(CKA_EXTRACTABLE, &no, sizeof no),
                              kv_object_attr(CKA_DERIVE, &yes, sizeof yes),
                              kv_object_attr(CKA_SIGN, &no, sizeof no),
                              kv_object_attr(CKA_DECRYPT, &no, sizeof no),
                              kv_object_attr(CKA_UNWRAP, &no, sizeof no),
                              kv_object_attr(CKA_LABEL, label, strlen(label))};
    CK_OBJECT_HANDLE made[2];
    return token->module.f->C_GenerateKeyPair(token->session, &mechanism, public, KV_COUNT(public),
                                              private, KV_COUNT(private), &made[0], &made[1]);
}

static enum kv_code look(struct kv_pkcs11_token *token, const char *label, CK_OBJECT_CLASS class,
                         CK_OBJECT_HANDLE *out, struct kv_err *err)
{
    CK_OBJECT_HANDLE found[2];
    size_t count = 0;
    enum kv_code code = kv_object_search(token, class, label, found, KV_COUNT(found), &count, err);
    if (code != KV_OK) {
        return code;
    }
    if (count != 1) {
        return KV_REFUSE(err, count == 0 ? KV_E_TOKEN_KEY_MISSING : KV_E_TOKEN,
                         "the token has %zu wrapping keys '%s'", count, label);
    }
    *out = found[0];
    return KV_OK;
}

/* A key that somebody planted could be known outside; what the module does not tell is taken for
 * the worse. */
static enum kv_code check_kept(struct kv_pkcs11_token *token, const char *label,
                               CK_OBJECT_HANDLE key, struct kv_err *err)
{
    if (kv_object_flag(token, key, CKA_EXTRACTABLE, true) ||
        !kv_object_flag(token, key, CKA_SENSITIVE, false) ||
        !kv_object_flag(token, key, CKA_LOCAL, false)) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_WEAK,
                         "the wrapping key '%s' was not made in the token, or can leave it", label);
    }
    return KV_OK;
}

static enum kv_code read_point(struct kv_pkcs11_token *token, const char *label,
                               uint8_t out[static KV_SEAL_POINT_LEN], struct kv_err *err)
{
    CK_OBJECT_HANDLE public;
    uint8_t point[KV_SEAL_POINT_LEN + 2];
    size_t len = 0;
    enum kv_code code = look(token, label, CKO_PUBLIC_KEY, &public, err);
    if (code != KV_OK) {
        return code;
    }
    bool read = kv_object_get(token, public, CKA_EC_POINT, point, sizeof point, &len);
    size_t head = len == sizeof point ? 2 : 0; /* DER OCTET STRING (PKCS#11 v2.40), or bare */
    if (!read || len != head + KV_SEAL_POINT_LEN) {
        return KV_REFUSE(err, KV_E_TOKEN, "the wrapping key '%s' has no P-256 point", label);
    }
    memcpy(out, point + head, KV_SEAL_POINT_LEN);
    return KV_OK;
}

static enum kv_code find_wrapping(struct kv_pkcs11_token *token, const char *label,
                                  enum kv_token_rung rung, struct kv_err *err)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    assert(strlen(label) < KV_TOKEN_LABEL_LEN);
    if (strcmp(token->wrapping[rung].label, label) == 0) {
        return KV_OK;
    }
    enum kv_code code = look(token, label, class_of(rung), &key, err);
    if (code == KV_OK) {
        code = check_kept(token, label, key, err);
    }
    if (code == KV_OK && rung == KV_TOKEN_RUNG_ECDH) {
        code = read_point(token, label, token->wrapping[rung].point, err);
    }
    if (code != KV_OK) {
        return code;
    }
    token->wrapping[rung].key = key;
    memcpy(token->wrapping[rung].label, label, strlen(label) + 1);
    return KV_OK;
}

/* A new wrapping key is not told from one that somebody planted. */
static enum kv_code take_back(struct kv_pkcs11_token *token, const char *label,
                              enum kv_token_rung rung, struct kv_err *err)
{
    size_t count = 0;
    enum kv_code code = kv_object_destroy_all(token, class_of(rung), label, false, &count, err);
    if (code == KV_OK && rung == KV_TOKEN_RUNG_ECDH) {
        code = kv_object_destroy_all(token, CKO_PUBLIC_KEY, label, false, &count, err);
    }
    return code != KV_OK
               ? kv_wrap(err, "the new wrapping key '%s' stays on the token", label)
               : KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                           "the token does not say of a wrapping key ('%s') that it was made there "
                           "and cannot leave (CKA_LOCAL); it was destroyed again",
                           kv_token_rung_word(rung));
}

static enum kv_code have_wrapping(struct kv_pkcs11_token *token, const char *label,
                                  enum kv_token_rung rung, struct kv_err *err)
{
    enum kv_code code = find_wrapping(token, label, rung, err);
    if (code != KV_E_TOKEN_KEY_MISSING) {
        return code;
    }
    CK_RV rv = rung == KV_TOKEN_RUNG_AES_GCM ? make_aes(token, label) : make_ecdh(token, label);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "making a wrapping key");
    }
    code = find_wrapping(token, label, rung, err);
    return code == KV_E_TOKEN_KEY_WEAK ? take_back(token, label, rung, err) : code;
}

/* ---- AES-GCM in the token: iv ‖ ciphertext ‖ tag ---- */

static struct ck_gcm_params gcm(uint8_t iv[static IV_LEN], struct kv_bytes aad)
{
    return (struct ck_gcm_params){.iv_ptr = iv,
                                  .iv_len = IV_LEN,
                                  .iv_bits = 8 * IV_LEN,
                                  .aad_ptr = (uint8_t *)(uintptr_t)aad.ptr, /* only read */
                                  .aad_len = aad.len,
                                  .tag_bits = 8 * TAG_LEN};
}

static enum kv_code wrap_gcm(struct kv_pkcs11_token *token, struct kv_bytes aad,
                             const struct kv_secret *plain, struct kv_buf *out, struct kv_err *err)
{
    uint8_t iv[IV_LEN];
    struct kv_bytes in = kv_secret_bytes(plain);
    KV_CLEANUP(kv_secret_freep)
    struct kv_secret *box = NULL; /* a module may write the plain text */
    if (RAND_bytes(iv, sizeof iv) != 1) {
        return KV_REFUSE(err, KV_E_INTERNAL, "no random numbers");
    }
    enum kv_code code = kv_secret_new(in.len + TAG_LEN, &box, err);
    if (code != KV_OK) {
        return code;
    }
    struct ck_gcm_params params = gcm(iv, aad);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    CK_ULONG len = kv_secret_len(box);
    CK_RV rv = token->module.f->C_EncryptInit(token->session, &mechanism,
                                              token->wrapping[KV_TOKEN_RUNG_AES_GCM].key);
    if (rv == CKR_OK) {
        rv = token->module.f->C_Encrypt(token->session, (uint8_t *)(uintptr_t)in.ptr, in.len,
                                        kv_secret_data(box), &len);
    }
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "C_Encrypt");
    }
    if (len != in.len + TAG_LEN || CRYPTO_memcmp(kv_secret_data(box), in.ptr, in.len) == 0) {
        return KV_REFUSE(err, KV_E_TOKEN, "the token did not encrypt");
    }
    kv_buf_add(out, iv, sizeof iv);
    kv_buf_add(out, kv_secret_data(box), len);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a wrapped secret") : KV_OK;
}

static enum kv_code unwrap_gcm(struct kv_pkcs11_token *token, struct kv_bytes aad,
                               struct kv_bytes wrapped, struct kv_secret **out, struct kv_err *err)
{
    uint8_t iv[IV_LEN];
    KV_CLEANUP(kv_secret_freep) struct kv_secret *plain = NULL;
    if (wrapped.len <= GCM_COST || wrapped.len > KV_SECRET_MAX) {
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "a wrapped secret has %zu bytes", wrapped.len);
    }
    memcpy(iv, wrapped.ptr, sizeof iv);
    struct ck_gcm_params params = gcm(iv, aad);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    CK_ULONG len = wrapped.len - IV_LEN;
    enum kv_code code = kv_secret_new(len, &plain, err);
    if (code != KV_OK) {
        return code;
    }
    CK_RV rv = token->module.f->C_DecryptInit(token->session, &mechanism,
                                              token->wrapping[KV_TOKEN_RUNG_AES_GCM].key);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "C_DecryptInit");
    }
    rv = token->module.f->C_Decrypt(token->session, (uint8_t *)(uintptr_t)wrapped.ptr + IV_LEN,
                                    wrapped.len - IV_LEN, kv_secret_data(plain), &len);
    code = rv == CKR_OK ? KV_OK : kv_pkcs11_code(rv);
    if (code == KV_E_TOKEN_ABSENT || code == KV_E_TOKEN_MODULE) {
        return KV_CK_FAIL(err, rv, "C_Decrypt");
    }
    if (code != KV_OK ||
        len != wrapped.len - GCM_COST) { /* modules have many words for a bad tag */
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED,
                         "a wrapped secret was changed, or is for another key or purpose");
    }
    kv_secret_shrink(plain, len);
    *out = plain;
    plain = NULL;
    return KV_OK;
}

/* ---- ECDH in the token, AES-256-GCM here ---- */

static enum kv_code shared_secret(struct kv_pkcs11_token *token, struct kv_bytes point,
                                  struct kv_secret **out, struct kv_err *err)
{
    struct ck_ecdh1_derive_params params = {.kdf = CKD_NULL,
                                            .public_data_len = point.len,
                                            .public_data = (uint8_t *)(uintptr_t)point.ptr};
    CK_MECHANISM mechanism = {CKM_ECDH1_DERIVE, &params, sizeof params};
    CK_ATTRIBUTE of[] = {kv_object_attr(CKA_CLASS, &secret_class, sizeof secret_class),
                         kv_object_attr(CKA_KEY_TYPE, &generic, sizeof generic),
                         kv_object_attr(CKA_TOKEN, &no, sizeof no),
                         kv_object_attr(CKA_SENSITIVE, &no, sizeof no),
                         kv_object_attr(CKA_EXTRACTABLE, &yes, sizeof yes),
                         kv_object_attr(CKA_VALUE_LEN, &shared_len, sizeof shared_len)};
    CK_OBJECT_HANDLE derived = CK_INVALID_HANDLE;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *shared = NULL;
    size_t len = 0;
    enum kv_code code = kv_secret_new(KV_SEAL_SHARED_LEN, &shared, err);
    if (code != KV_OK) {
        return code;
    }
    CK_RV rv = token->module.f->C_DeriveKey(token->session, &mechanism,
                                            token->wrapping[KV_TOKEN_RUNG_ECDH].key, of,
                                            KV_COUNT(of), &derived);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "C_DeriveKey");
    }
    bool read = kv_object_get(token, derived, CKA_VALUE, kv_secret_data(shared),
                              kv_secret_len(shared), &len);
    (void)token->module.f->C_DestroyObject(token->session, derived); /* of this session */
    if (!read || len != KV_SEAL_SHARED_LEN) {
        return KV_REFUSE(err, KV_E_TOKEN, "the token did not give an ECDH result");
    }
    *out = shared;
    shared = NULL;
    return KV_OK;
}

static enum kv_code unwrap_ecdh(struct kv_pkcs11_token *token, struct kv_bytes aad,
                                struct kv_bytes wrapped, struct kv_secret **out, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *shared = NULL;
    if (wrapped.len <= KV_SEAL_OVERHEAD || wrapped.ptr[0] != 0x04) {
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "a wrapped secret has %zu bytes", wrapped.len);
    }
    struct kv_bytes point = kv_bytes(wrapped.ptr, KV_SEAL_POINT_LEN);
    enum kv_code code = shared_secret(token, point, &shared, err);
    if (code == KV_E_TOKEN) { /* a changed point is not on the curve */
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "a wrapped secret's point was changed");
    }
    return code != KV_OK ? code
                         : kv_seal_open_shared(kv_secret_bytes(shared),
                                               kv_bytes(token->wrapping[KV_TOKEN_RUNG_ECDH].point,
                                                        KV_SEAL_POINT_LEN),
                                               wrapped, aad, out, err);
}

/* A file may have been wrapped by another token than the slot has now. And what the token cannot
 * open is not sealed to it: that would need no more than its public key. */
static enum kv_code check_rung(struct kv_pkcs11_token *token, enum kv_token_rung rung,
                               struct kv_err *err)
{
    return has_rung(token, rung)
               ? KV_OK
               : KV_REFUSE(err, KV_E_TOKEN_MECHANISM, "the PKCS#11 token has no '%s'",
                           kv_token_rung_word(rung));
}

enum kv_code kv_pkcs11_wrap(struct kv_token *base, const char *label, enum kv_token_rung rung,
                            struct kv_bytes aad, const struct kv_secret *plain, struct kv_buf *out,
                            struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    enum kv_code code = check_rung(token, rung, err);
    if (code == KV_OK) {
        code = have_wrapping(token, label, rung, err);
    }
    if (code != KV_OK) {
        return code;
    }
    return rung == KV_TOKEN_RUNG_AES_GCM
               ? wrap_gcm(token, aad, plain, out, err)
               : kv_seal(kv_bytes(token->wrapping[rung].point, KV_SEAL_POINT_LEN), aad,
                         kv_secret_bytes(plain), out, err);
}

enum kv_code kv_pkcs11_unwrap(struct kv_token *base, const char *label, enum kv_token_rung rung,
                              struct kv_bytes aad, struct kv_bytes wrapped, struct kv_secret **out,
                              struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    enum kv_code code = check_rung(token, rung, err);
    if (code == KV_OK) {
        code = find_wrapping(token, label, rung, err);
    }
    if (code != KV_OK) {
        return code;
    }
    return rung == KV_TOKEN_RUNG_AES_GCM ? unwrap_gcm(token, aad, wrapped, out, err)
                                         : unwrap_ecdh(token, aad, wrapped, out, err);
}
