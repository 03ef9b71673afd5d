#include "pkcs11/session.h"

#include <stdlib.h>
#include <string.h>

#include "core/public.h"
#include "core/time.h"
#include "pkcs11/object.h"
#include "pkcs11/token.h"

#define ID_LEN 20 /* bytes of CKA_ID, as long as the SHA-1 that others put there */

static const uint8_t p256_oid[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t rsa_e[] = {0x01, 0x00, 0x01};
static const CK_ULONG rsa_bits = 2048;
static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static bool label_valid(const char *label)
{
    size_t len = strnlen(label, KV_TOKEN_LABEL_LEN);
    for (size_t i = 0; i < len; i++) {
        if (label[i] <= ' ' || label[i] > '~') {
            return false;
        }
    }
    return len > 0 && len < KV_TOKEN_LABEL_LEN;
}

static enum kv_code check_label(const char *label, struct kv_err *err)
{
    return label_valid(label)
               ? KV_OK
               : KV_REFUSE(err, KV_E_LIMIT, "a key's label has 1 to %d visible ASCII characters",
                           KV_TOKEN_LABEL_LEN - 1);
}

static enum kv_code read_public(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object,
                                struct kv_token_key *out, struct kv_err *err)
{
    CK_KEY_TYPE type = CK_UNAVAILABLE_INFORMATION;
    uint8_t a[300], b[16];
    size_t len = 0, a_len = 0, b_len = 0;
    bool ok =
        kv_object_get(token, object, CKA_KEY_TYPE, &type, sizeof type, &len) && len == sizeof type;
    if (ok && type == CKK_EC) {
        ok = kv_object_get(token, object, CKA_EC_PARAMS, b, sizeof b, &b_len) &&
             kv_bytes_equal(kv_bytes(b, b_len), kv_bytes(p256_oid, sizeof p256_oid)) &&
             kv_object_get(token, object, CKA_EC_POINT, a, sizeof a, &a_len) &&
             kv_public_from_point(kv_bytes(a, a_len), out);
    } else if (ok && type == CKK_RSA) {
        ok = kv_object_get(token, object, CKA_MODULUS, a, sizeof a, &a_len) &&
             kv_object_get(token, object, CKA_PUBLIC_EXPONENT, b, sizeof b, &b_len) &&
             kv_public_from_rsa(kv_bytes(a, a_len), kv_bytes(b, b_len), out);
    } else {
        ok = false;
    }
    return ok ? KV_OK
              : KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                          "the public key is neither EC P-256 nor RSA 2048");
}

/* A copy in the session signs without the token's files being read again; a module that does not
 * copy sensitive keys signs with the original. The copy stays sensitive and not extractable
 * (PKCS#11 v2.40 base §5.7 C_CopyObject: these can only become stricter). */
static CK_OBJECT_HANDLE copy_key(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object)
{
    CK_ATTRIBUTE change[] = {kv_object_attr(CKA_TOKEN, &no, sizeof no)};
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    CK_RV rv = token->module.f->C_CopyObject(token->session, object, change, 1, &copy);
    return rv == CKR_OK ? copy : CK_INVALID_HANDLE;
}

static const uint8_t sha256_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

/* What each mechanism is to the module. Hashing and DigestInfo (RFC 8017 §9.2) are ours: not every
 * module has the combined mechanisms (SoftHSM2 lacks CKM_ECDSA_SHA256). */
static const struct {
    CK_MECHANISM_TYPE type;
    const char *name;
    enum kv_token_key_type key;
    bool digest_info, pss;
    size_t sig_len;
} mechanisms[KV_TOKEN_MECHANISM_COUNT] = {
    [KV_TOKEN_ECDSA] = {CKM_ECDSA, "CKM_ECDSA", KV_TOKEN_EC_P256, false, false, 64},
    [KV_TOKEN_RSA_PKCS1_SHA256] = {CKM_RSA_PKCS, "CKM_RSA_PKCS", KV_TOKEN_RSA_2048, true, false,
                                   256},
    [KV_TOKEN_RSA_PSS_SHA256] = {CKM_RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS", KV_TOKEN_RSA_2048, false,
                                 true, 256},
};

enum kv_code kv_pkcs11_sign_in(const struct kv_pkcs11_module *module, CK_SESSION_HANDLE session,
                               uint64_t handle, enum kv_token_mechanism which,
                               const struct kv_hash *digest, uint8_t sig[static KV_TOKEN_SIG_MAX],
                               size_t *out_len, struct kv_err *err)
{
    CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, KV_HASH_LEN};
    CK_MECHANISM mechanism = {mechanisms[which].type, NULL, 0};
    if (mechanisms[which].pss) {
        mechanism.pParameter = &pss;
        mechanism.ulParameterLen = sizeof pss;
    }
    uint8_t in[sizeof sha256_info + KV_HASH_LEN];
    size_t len = 0;
    if (mechanisms[which].digest_info) {
        memcpy(in, sha256_info, sizeof sha256_info);
        len = sizeof sha256_info;
    }
    memcpy(in + len, digest->b, KV_HASH_LEN);
    CK_RV rv = module->f->C_SignInit(session, &mechanism, handle);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, mechanisms[which].name);
    }
    CK_ULONG sig_len = KV_TOKEN_SIG_MAX;
    rv = module->f->C_Sign(session, in, len + KV_HASH_LEN, sig, &sig_len);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, mechanisms[which].name);
    }
    if (sig_len != mechanisms[which].sig_len) {
        return KV_REFUSE(err, KV_E_TOKEN, "the token gave a signature of %lu bytes", sig_len);
    }
    *out_len = sig_len;
    return KV_OK;
}

/* That two objects have one label does not make them a pair: let the one sign, the other verify. */
static enum kv_code check_pair(struct kv_pkcs11_token *token, const struct kv_token_key *key,
                               struct kv_err *err)
{
    struct kv_hash digest = kv_hash(kv_bytes_str("ksefvault: is this key pair one?"));
    enum kv_token_mechanism mechanism =
        key->type == KV_TOKEN_EC_P256 ? KV_TOKEN_ECDSA : KV_TOKEN_RSA_PKCS1_SHA256;
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len;
    enum kv_code code = kv_pkcs11_sign_in(&token->module, token->session, key->handle, mechanism,
                                          &digest, sig, &len, err);
    if (code == KV_OK && !kv_public_verify(key, mechanism, &digest, kv_bytes(sig, len))) {
        code = KV_REFUSE(err, KV_E_TOKEN, "the private key does not belong to the public key");
    }
    return code;
}

static struct kv_pkcs11_key *cached(struct kv_pkcs11_token *token, const char *label)
{
    for (size_t i = 0; i < token->key_count; i++) {
        if (strcmp(token->keys[i].label, label) == 0) {
            return &token->keys[i];
        }
    }
    return NULL;
}

static enum kv_code remember(struct kv_pkcs11_token *token, const struct kv_pkcs11_key *key,
                             struct kv_err *err)
{
    if (token->key_count == KV_CK_KEYS_MAX) {
        return KV_REFUSE(err, KV_E_LIMIT, "more than %d keys are in use", KV_CK_KEYS_MAX);
    }
    struct kv_pkcs11_key *more = realloc(token->keys, (token->key_count + 1) * sizeof *token->keys);
    if (more == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a key's handle");
    }
    token->keys = more;
    token->keys[token->key_count++] = *key;
    return KV_OK;
}

static void forget(struct kv_pkcs11_token *token, const char *label)
{
    struct kv_pkcs11_key *key = cached(token, label);
    if (key == NULL) {
        return;
    }
    if (key->copy != CK_INVALID_HANDLE) {
        /* ends with the session anyway */
        (void)token->module.f->C_DestroyObject(token->session, key->copy);
    }
    *key = token->keys[--token->key_count];
}

/* The one object of that class and label. */
static enum kv_code find_one(struct kv_pkcs11_token *token, CK_OBJECT_CLASS class,
                             const char *label, CK_OBJECT_HANDLE *out, struct kv_err *err)
{
    CK_OBJECT_HANDLE found[2];
    size_t count = 0;
    enum kv_code code = kv_object_search(token, class, label, found, KV_COUNT(found), &count, err);
    const char *what = class == CKO_PRIVATE_KEY ? "private" : "public";
    if (code != KV_OK) {
        return code;
    }
    if (count == 0) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_MISSING, "there is no %s key '%s'", what, label);
    }
    if (count > 1) {
        return KV_REFUSE(err, KV_E_TOKEN, "there is more than one %s key '%s'", what, label);
    }
    *out = found[0];
    return KV_OK;
}

enum kv_code kv_pkcs11_find(struct kv_token *base, const char *label, struct kv_token_key *out,
                            struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    enum kv_code code = check_label(label, err);
    if (code != KV_OK) {
        return code;
    }
    const struct kv_pkcs11_key *known = cached(token, label);
    if (known != NULL) {
        *out = known->key;
        return KV_OK;
    }
    struct kv_pkcs11_key key = {.copy = CK_INVALID_HANDLE};
    CK_OBJECT_HANDLE private = CK_INVALID_HANDLE, public = CK_INVALID_HANDLE;
    code = find_one(token, CKO_PRIVATE_KEY, label, &private, err);
    if (code == KV_OK) {
        code = find_one(token, CKO_PUBLIC_KEY, label, &public, err);
    }
    if (code == KV_OK) {
        code = read_public(token, public, &key.key, err);
    }
    if (code != KV_OK) {
        return code;
    }
    memcpy(key.label, label, strlen(label) + 1);
    /* what the module does not tell is taken for the worse */
    key.key.local = kv_object_flag(token, private, CKA_LOCAL, false);
    key.key.sensitive = kv_object_flag(token, private, CKA_SENSITIVE, false);
    key.key.extractable = kv_object_flag(token, private, CKA_EXTRACTABLE, true);
    key.key.always_sensitive = kv_object_flag(token, private, CKA_ALWAYS_SENSITIVE, false);
    key.key.never_extractable = kv_object_flag(token, private, CKA_NEVER_EXTRACTABLE, false);
    if (key.key.extractable || !key.key.sensitive) {
        /* planted, since a key made here is destroyed again if it is like that */
        return KV_REFUSE(err, KV_E_TOKEN_KEY_WEAK, "key '%s' can be taken out of the token", label);
    }
    if (key.key.type == KV_TOKEN_EC_P256) {
        key.copy = copy_key(token, private);
    }
    key.key.handle = key.copy != CK_INVALID_HANDLE ? key.copy : private;
    code = check_pair(token, &key.key, err);
    if (code == KV_OK) {
        code = remember(token, &key, err);
    }
    if (code == KV_OK) {
        *out = key.key;
    } else if (key.copy != CK_INVALID_HANDLE) {
        (void)token->module.f->C_DestroyObject(token->session, key.copy); /* see forget */
    }
    return code;
}

/* Whether the object has exactly this label, and the CKA_ID that a key made here has. */
static bool made_for(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object, const char *label)
{
    struct kv_hash want = kv_hash(kv_bytes_str(label));
    uint8_t id[ID_LEN], have[KV_TOKEN_LABEL_LEN];
    size_t id_len = 0, len = 0;
    return kv_object_get(token, object, CKA_ID, id, sizeof id, &id_len) &&
           kv_object_get(token, object, CKA_LABEL, have, sizeof have, &len) &&
           kv_bytes_equal(kv_bytes(id, id_len), kv_bytes(want.b, ID_LEN)) &&
           kv_bytes_equal(kv_bytes(have, len), kv_bytes_str(label));
}

/* Refuse a label that is taken. A module may die when only the public half of a pair is written:
 * that half, of no use to anybody, must not block the label for good. Whatever else has the label
 * somebody put there, and it stays. */
static enum kv_code free_label(struct kv_pkcs11_token *token, const char *label, struct kv_err *err)
{
    CK_OBJECT_HANDLE private, public[2];
    size_t privates = 0, publics = 0;
    enum kv_code code =
        kv_object_search(token, CKO_PRIVATE_KEY, label, &private, 1, &privates, err);
    if (code == KV_OK) {
        code =
            kv_object_search(token, CKO_PUBLIC_KEY, label, public, KV_COUNT(public), &publics, err);
    }
    if (code != KV_OK || (privates == 0 && publics == 0)) {
        return code;
    }
    if (privates > 0 || publics > 1 || !made_for(token, public[0], label)) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_EXISTS, "a key '%s' is on the token", label);
    }
    CK_RV rv = token->module.f->C_DestroyObject(token->session, public[0]);
    return rv == CKR_OK ? KV_OK : KV_CK_FAIL(err, rv, "C_DestroyObject");
}

/* Uses that a signing key has no need of, and that modules give it unless told not to (SoftHSM2
 * does): who gets at the session could decrypt or derive with it. */
static const CK_ATTRIBUTE_TYPE other_uses[] = {CKA_DECRYPT, CKA_UNWRAP, CKA_SIGN_RECOVER,
                                               CKA_DERIVE};

static CK_RV generate_pair(struct kv_pkcs11_token *token, const char *label,
                           enum kv_token_key_type type)
{
    struct kv_hash id = kv_hash(kv_bytes_str(label));
    bool ec = type == KV_TOKEN_EC_P256;
    CK_MECHANISM mechanism = {ec ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    /* no CKA_VERIFY: nobody asks the token to verify, and tpm2-pkcs11 1.9 takes it for a
     * contradiction to a key that does not decrypt */
    CK_ATTRIBUTE public[] = {
        kv_object_attr(CKA_TOKEN, &yes, sizeof yes),
        kv_object_attr(CKA_PRIVATE, &no, sizeof no),
        kv_object_attr(CKA_LABEL, label, strlen(label)),
        kv_object_attr(CKA_ID, id.b, ID_LEN),
        ec ? kv_object_attr(CKA_EC_PARAMS, p256_oid, sizeof p256_oid)
           : kv_object_attr(CKA_MODULUS_BITS, &rsa_bits, sizeof rsa_bits),
        kv_object_attr(CKA_PUBLIC_EXPONENT, rsa_e, sizeof rsa_e), /* RSA only */
    };
    CK_ATTRIBUTE private[7 + KV_COUNT(other_uses)] = {
        kv_object_attr(CKA_TOKEN, &yes, sizeof yes),
        kv_object_attr(CKA_PRIVATE, &yes, sizeof yes),
        kv_object_attr(CKA_SENSITIVE, &yes, sizeof yes),
        kv_object_attr(CKA_EXTRACTABLE, &no, sizeof no),
        kv_object_attr(CKA_SIGN, &yes, sizeof yes),
        kv_object_attr(CKA_LABEL, label, strlen(label)),
        kv_object_attr(CKA_ID, id.b, ID_LEN),
    };
    for (size_t i = 0; i < KV_COUNT(other_uses); i++) {
        private[7 + i] = kv_object_attr(other_uses[i], &no, sizeof no);
    }
    CK_OBJECT_HANDLE public_key, private_key;
    return token->module.f->C_GenerateKeyPair(token->session, &mechanism, public,
                                              KV_COUNT(public) - (ec ? 1 : 0), private,
                                              KV_COUNT(private), &public_key, &private_key);
}

/* What a module made of the template. One that does not tell a use is believed. */
static enum kv_code check_new(struct kv_pkcs11_token *token, const struct kv_token_key *key,
                              enum kv_token_key_type type, const char *label, struct kv_err *err)
{
    CK_OBJECT_HANDLE private = CK_INVALID_HANDLE;
    if (key->type != type) {
        return KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                         "the token made a key of another type; it was destroyed again");
    }
    /* the original: what signs may be a copy of it */
    enum kv_code code = find_one(token, CKO_PRIVATE_KEY, label, &private, err);
    for (size_t i = 0; code == KV_OK && i < KV_COUNT(other_uses); i++) {
        if (kv_object_flag(token, private, other_uses[i], false)) {
            code = KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                             "the token made a key that does more than sign (attribute 0x%lx); it "
                             "was destroyed again",
                             other_uses[i]);
        }
    }
    return code;
}

enum kv_code kv_pkcs11_generate(struct kv_token *base, const char *label,
                                enum kv_token_key_type type, struct kv_token_key *out,
                                struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    assert(type == KV_TOKEN_EC_P256 || type == KV_TOKEN_RSA_2048);
    struct kv_token_key key;
    enum kv_code code = check_label(label, err);
    if (code == KV_OK) {
        code = free_label(token, label, err);
    }
    if (code != KV_OK) {
        return code;
    }
    CK_RV rv = generate_pair(token, label, type);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv,
                          type == KV_TOKEN_EC_P256 ? "CKM_EC_KEY_PAIR_GEN"
                                                   : "CKM_RSA_PKCS_KEY_PAIR_GEN");
    }
    code = kv_pkcs11_find(base, label, &key, err);
    if (code == KV_E_TOKEN_KEY_WEAK) {
        code = KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                         "the token made a key that can leave it; it was destroyed again");
    }
    if (code == KV_OK) {
        code = check_new(token, &key, type, label, err);
    }
    if (code != KV_OK) {
        struct kv_err second; /* the first failure is the one to tell */
        enum kv_code undone = kv_pkcs11_destroy(base, label, &second);
        return undone == KV_OK ? code : kv_wrap(err, "the new key '%s' stays on the token", label);
    }
    *out = key;
    return KV_OK;
}

enum kv_code kv_pkcs11_may_sign(const struct kv_pkcs11_token *token, uint64_t handle,
                                enum kv_token_mechanism mechanism, struct kv_err *err)
{
    assert(mechanism < KV_TOKEN_MECHANISM_COUNT);
    const struct kv_token_key *key = NULL;
    for (size_t i = 0; i < token->key_count && key == NULL; i++) {
        key = token->keys[i].key.handle == handle ? &token->keys[i].key : NULL;
    }
    if (key == NULL) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_MISSING, "no key of that handle was found before");
    }
    return key->type == mechanisms[mechanism].key
               ? KV_OK
               : KV_REFUSE(err, KV_E_TOKEN_MECHANISM, "the key is of another kind than that");
}

void kv_pkcs11_took(struct kv_pkcs11_token *token, enum kv_token_mechanism mechanism, uint64_t us)
{
    uint64_t *least = &token->sign_us[mechanism];
    *least = *least == 0 || us < *least ? us : *least;
}

enum kv_code kv_pkcs11_sign(struct kv_token *base, uint64_t handle,
                            enum kv_token_mechanism mechanism, const struct kv_hash *digest,
                            uint8_t *sig, size_t *len, struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    uint8_t out[KV_TOKEN_SIG_MAX];
    size_t out_len;
    enum kv_code code = kv_pkcs11_may_sign(token, handle, mechanism, err);
    if (code != KV_OK) {
        return code;
    }
    if (*len < mechanisms[mechanism].sig_len) {
        return KV_REFUSE(err, KV_E_LIMIT, "no room for a signature of %zu bytes",
                         mechanisms[mechanism].sig_len);
    }
    uint64_t begin_us = kv_time_mono_us();
    code = kv_pkcs11_sign_in(&token->module, token->session, handle, mechanism, digest, out,
                             &out_len, err);
    token->signed_us = kv_time_mono_us();
    if (code == KV_OK) {
        kv_pkcs11_took(token, mechanism, token->signed_us - begin_us);
        *len = out_len;
        memcpy(sig, out, out_len);
    }
    return code;
}

enum kv_code kv_pkcs11_destroy(struct kv_token *base, const char *label, struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    size_t count = 0;
    enum kv_code code = check_label(label, err);
    if (code != KV_OK) {
        return code;
    }
    forget(token, label);
    /* the private half first: what is left after a failure cannot sign */
    code = kv_object_destroy_all(token, CKO_PRIVATE_KEY, label, false, &count, err);
    if (code == KV_OK) {
        code = kv_object_destroy_all(token, CKO_PUBLIC_KEY, label, false, &count, err);
    }
    if (code == KV_OK && count == 0) {
        code = KV_REFUSE(err, KV_E_TOKEN_KEY_MISSING, "there is no key '%s'", label);
    }
    return code;
}

enum kv_code kv_pkcs11_destroy_prefix(struct kv_token *base, const char *prefix, size_t *count,
                                      struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    assert(prefix[0] != '\0'); /* that would be every key */
    size_t n = 0;
    for (size_t i = token->key_count; i-- > 0;) {
        if (strncmp(token->keys[i].label, prefix, strlen(prefix)) == 0) {
            char label[KV_TOKEN_LABEL_LEN];
            memcpy(label, token->keys[i].label, sizeof label);
            forget(token, label);
        }
    }
    enum kv_code code = kv_object_destroy_all(token, CKO_PRIVATE_KEY, prefix, true, &n, err);
    if (code == KV_OK) {
        code = kv_object_destroy_all(token, CKO_PUBLIC_KEY, prefix, true, &n, err);
    }
    if (code == KV_OK) {
        code = kv_object_destroy_all(token, CKO_SECRET_KEY, prefix, true, &n, err);
    }
    memset(token->wrapping, 0, sizeof token->wrapping); /* looked for again */
    if (code == KV_OK) {
        *count = n;
    }
    return code;
}

enum kv_code kv_pkcs11_count(struct kv_token *base, size_t *count, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) CK_OBJECT_HANDLE *found = calloc(KV_CK_KEYS_MAX, sizeof *found);
    if (found == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for handles");
    }
    return kv_object_search(kv_pkcs11_token(base), CKO_PRIVATE_KEY, NULL, found, KV_CK_KEYS_MAX,
                            count, err);
}
