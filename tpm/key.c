/* Keys that sign. One file, though long: a key is made, found, judged and used by the same
 * templates, and what one of these forgets another must refuse. */
#include "tpm/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/public.h"

#define FILE_HEAD    "key-"
#define POINT_LEN    65
#define SCALAR_LEN   32
#define RSA_BITS     2048
#define RSA_EXPONENT 65537
#define RSA_LEN      (RSA_BITS / 8)

/* Made in the chip, bound to it and to the storage key, not counted by the lockout of other
 * programs' wrong passwords; it signs any digest and does nothing else. */
#define KEY_ATTRIBUTES                                                                             \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |            \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)
#define SEALED_ATTRIBUTES                                                                          \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA)

static enum kv_code check_label(const char *label, struct kv_err *err)
{
    size_t len = strnlen(label, KV_TOKEN_LABEL_LEN);
    bool valid = len > 0 && len < KV_TOKEN_LABEL_LEN;
    for (size_t i = 0; valid && i < len; i++) {
        valid = label[i] > ' ' && label[i] <= '~';
    }
    return valid ? KV_OK
                 : KV_REFUSE(err, KV_E_LIMIT, "a key's label has 1 to %d visible ASCII characters",
                             KV_TOKEN_LABEL_LEN - 1);
}

/* ---- what all objects of the slot have ---- */

/* In hex: a label may hold anything visible, `/` too, and is told apart by upper and lower case. */
void kv_tpm_file_name(const char *label, char out[static KV_TPM_NAME_LEN])
{
    char hex[KV_HEX_LEN(KV_TOKEN_LABEL_LEN)];
    assert(strlen(label) < KV_TOKEN_LABEL_LEN);
    kv_hex_encode(kv_bytes_str(label), hex);
    int n = snprintf(out, KV_TPM_NAME_LEN, FILE_HEAD "%s", hex);
    assert(n > 0 && n < KV_TPM_NAME_LEN);
}

void kv_tpm_bind(const char *purpose, const char *label, TPM2B_DIGEST *out)
{
    char text[KV_TOKEN_LABEL_LEN + 64];
    int n = snprintf(text, sizeof text, "ksefvault-tpm-1\n%s\n%s\n", purpose, label);
    assert(n > 0 && (size_t)n < sizeof text);
    struct kv_hash hash = kv_hash(kv_bytes_str(text));
    out->size = KV_HASH_LEN;
    memcpy(out->buffer, hash.b, KV_HASH_LEN);
}

void kv_tpm_auth(const struct kv_secret *root, const char *label, TPM2B_AUTH *out)
{
    struct kv_hash hash = kv_hash3(kv_bytes_str("ksefvault-tpm-1 password of\n"),
                                   kv_secret_bytes(root), kv_bytes_str(label));
    out->size = KV_HASH_LEN;
    memcpy(out->buffer, hash.b, KV_HASH_LEN);
    kv_wipe(&hash, sizeof hash);
}

void kv_tpm_sealed_template(const char *purpose, const char *label, TPM2B_PUBLIC *out)
{
    *out =
        (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_KEYEDHASH,
                                      .nameAlg = TPM2_ALG_SHA256,
                                      .objectAttributes = SEALED_ATTRIBUTES,
                                      .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    kv_tpm_bind(purpose, label, &out->publicArea.authPolicy);
}

bool kv_tpm_sealed_good(const TPM2B_PUBLIC *public)
{
    return public->publicArea.type == TPM2_ALG_KEYEDHASH &&
           public->publicArea.nameAlg == TPM2_ALG_SHA256 &&
           public->publicArea.objectAttributes == SEALED_ATTRIBUTES;
}

enum kv_code kv_tpm_read(struct kv_tpm_token *token, const char *purpose, const char *label,
                         struct kv_tpm_blob *out, struct kv_err *err)
{
    struct kv_buf file;
    struct kv_bytes part[3];
    char name[KV_TPM_NAME_LEN];
    TPM2B_DIGEST bound;
    kv_tpm_file_name(label, name);
    enum kv_code code = kv_tpm_file_read(token->dir, name, &file, part, KV_COUNT(part),
                                         KV_E_TOKEN_KEY_MISSING, err);
    if (code == KV_OK) {
        code = kv_tpm_blob_parse(part[1], part[2], out, err);
    }
    kv_tpm_bind(purpose, label, &bound);
    const TPM2B_DIGEST *policy = &out->public.publicArea.authPolicy;
    if (code == KV_OK &&
        (!kv_bytes_is(part[0], label) || !kv_bytes_equal(kv_bytes(policy->buffer, policy->size),
                                                         kv_bytes(bound.buffer, bound.size)))) {
        code = KV_REFUSE(err, KV_E_TOKEN_KEY_DAMAGED, "the file holds another key");
    }
    kv_buf_clear(&file);
    return code == KV_OK || err == NULL ? code : kv_wrap(err, "key '%s'", label);
}

enum kv_code kv_tpm_write(struct kv_tpm_token *token, const char *label,
                          const struct kv_tpm_blob *blob, struct kv_err *err)
{
    struct kv_tpm_halves halves;
    char name[KV_TPM_NAME_LEN];
    kv_tpm_file_name(label, name);
    enum kv_code code = kv_tpm_blob_print(blob, &halves, err);
    if (code != KV_OK) {
        return code;
    }
    const struct kv_bytes part[] = {kv_bytes_str(label), kv_bytes(halves.public, halves.public_len),
                                    kv_bytes(halves.private, halves.private_len)};
    return kv_tpm_file_write(token->dir, name, part, KV_COUNT(part), KV_E_TOKEN_KEY_EXISTS, err);
}

void kv_tpm_make_room(struct kv_tpm_token *token)
{
    kv_tpm_chip_flush(&token->chip, &token->loaded);
    token->loaded_handle = 0;
}

/* ---- the public half ---- */

static void template(enum kv_token_key_type type, const char *label, TPM2B_PUBLIC *out)
{
    *out = (TPM2B_PUBLIC){
        .publicArea = {.nameAlg = TPM2_ALG_SHA256, .objectAttributes = KEY_ATTRIBUTES}};
    kv_tpm_bind(KV_TPM_SIGNS, label, &out->publicArea.authPolicy);
    if (type == KV_TOKEN_EC_P256) {
        out->publicArea.type = TPM2_ALG_ECC;
        out->publicArea.parameters.eccDetail = (TPMS_ECC_PARMS){
            .symmetric.algorithm = TPM2_ALG_NULL,
            .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
            .curveID = TPM2_ECC_NIST_P256,
            .kdf.scheme = TPM2_ALG_NULL};
    } else {
        out->publicArea.type = TPM2_ALG_RSA;
        out->publicArea.parameters.rsaDetail =
            (TPMS_RSA_PARMS){.symmetric.algorithm = TPM2_ALG_NULL,
                             .scheme.scheme = TPM2_ALG_NULL, /* both of ours */
                             .keyBits = RSA_BITS};
    }
}

static bool read_ec(const TPMT_PUBLIC *area, struct kv_token_key *out)
{
    const TPMS_ECC_POINT *point = &area->unique.ecc;
    uint8_t bytes[POINT_LEN] = {0x04};
    if (area->parameters.eccDetail.curveID != TPM2_ECC_NIST_P256 || point->x.size > SCALAR_LEN ||
        point->y.size > SCALAR_LEN) {
        return false;
    }
    memcpy(bytes + 1 + SCALAR_LEN - point->x.size, point->x.buffer, point->x.size);
    memcpy(bytes + POINT_LEN - point->y.size, point->y.buffer, point->y.size);
    return kv_public_from_point(kv_bytes(bytes, sizeof bytes), out);
}

static bool read_rsa(const TPMT_PUBLIC *area, struct kv_token_key *out)
{
    static const uint8_t exponent[] = {0x01, 0x00, 0x01};
    const TPM2B_PUBLIC_KEY_RSA *modulus = &area->unique.rsa;
    uint32_t e = area->parameters.rsaDetail.exponent; /* 0: the usual one */
    return (e == 0 || e == RSA_EXPONENT) && area->parameters.rsaDetail.keyBits == RSA_BITS &&
           kv_public_from_rsa(kv_bytes(modulus->buffer, modulus->size),
                              kv_bytes(exponent, sizeof exponent), out);
}

bool kv_tpm_public_key(const TPMT_PUBLIC *area, struct kv_token_key *out)
{
    return area->nameAlg == TPM2_ALG_SHA256 &&
           ((area->type == TPM2_ALG_ECC && read_ec(area, out)) ||
            (area->type == TPM2_ALG_RSA && read_rsa(area, out)));
}

/* What the file says of the key; that it is true is what the chip checks when it loads it. */
static enum kv_code read_public(const TPM2B_PUBLIC *public, struct kv_token_key *out,
                                struct kv_err *err)
{
    const TPMT_PUBLIC *area = &public->publicArea;
    if (!kv_tpm_public_key(area, out)) {
        return KV_REFUSE(err, KV_E_TOKEN_MECHANISM, "the key is neither EC P-256 nor RSA 2048");
    }
    out->local = (area->objectAttributes & TPMA_OBJECT_SENSITIVEDATAORIGIN) != 0;
    out->sensitive = out->always_sensitive = true; /* no command gives a private half in clear */
    out->never_extractable = (area->objectAttributes & TPMA_OBJECT_FIXEDTPM) != 0 &&
                             (area->objectAttributes & TPMA_OBJECT_FIXEDPARENT) != 0;
    out->extractable = !out->never_extractable;
    if (area->objectAttributes != KEY_ATTRIBUTES) {
        return KV_REFUSE(
            err, KV_E_TOKEN_KEY_WEAK,
            "the key was not made by the agent: it can leave the TPM, was made outside "
            "of it, or does more than sign");
    }
    return KV_OK;
}

/* ---- signatures ---- */

static const struct {
    TPMI_ALG_SIG_SCHEME scheme;
    enum kv_token_key_type key;
    size_t sig_len;
} mechanisms[KV_TOKEN_MECHANISM_COUNT] = {
    [KV_TOKEN_ECDSA] = {TPM2_ALG_ECDSA, KV_TOKEN_EC_P256, 2 * (size_t)SCALAR_LEN},
    [KV_TOKEN_RSA_PKCS1_SHA256] = {TPM2_ALG_RSASSA, KV_TOKEN_RSA_2048, RSA_LEN},
    [KV_TOKEN_RSA_PSS_SHA256] = {TPM2_ALG_RSAPSS, KV_TOKEN_RSA_2048, RSA_LEN},
};

static enum kv_code load(struct kv_tpm_token *token, const struct kv_tpm_key *key,
                         struct kv_err *err)
{
    TPM2B_AUTH auth;
    if (token->loaded_handle == key->key.handle) {
        return KV_OK;
    }
    kv_tpm_make_room(token);
    kv_tpm_auth(token->root, key->label, &auth);
    enum kv_code code = kv_tpm_chip_load(&token->chip, &key->blob, &auth, &token->loaded, err);
    kv_wipe(&auth, sizeof auth);
    if (code == KV_OK) {
        token->loaded_handle = key->key.handle;
    }
    return code;
}

/* r and s may be shorter than the curve's order: leading zeros are not sent. */
static bool take_signature(const TPMT_SIGNATURE *from, enum kv_token_mechanism mechanism,
                           uint8_t out[static KV_TOKEN_SIG_MAX])
{
    if (from->sigAlg != mechanisms[mechanism].scheme) {
        return false;
    }
    memset(out, 0, mechanisms[mechanism].sig_len);
    if (mechanism == KV_TOKEN_ECDSA) {
        const TPM2B_ECC_PARAMETER *r = &from->signature.ecdsa.signatureR;
        const TPM2B_ECC_PARAMETER *s = &from->signature.ecdsa.signatureS;
        if (r->size > SCALAR_LEN || s->size > SCALAR_LEN) {
            return false;
        }
        memcpy(out + SCALAR_LEN - r->size, r->buffer, r->size);
        memcpy(out + 2 * (size_t)SCALAR_LEN - s->size, s->buffer, s->size);
        return true;
    }
    /* both kinds of RSA lie at one place in the union */
    const TPM2B_PUBLIC_KEY_RSA *sig = mechanism == KV_TOKEN_RSA_PSS_SHA256
                                          ? &from->signature.rsapss.sig
                                          : &from->signature.rsassa.sig;
    if (sig->size != RSA_LEN) {
        return false;
    }
    memcpy(out, sig->buffer, RSA_LEN);
    return true;
}

static enum kv_code sign(struct kv_tpm_token *token, const struct kv_tpm_key *key,
                         enum kv_token_mechanism mechanism, const struct kv_hash *digest,
                         uint8_t out[static KV_TOKEN_SIG_MAX], struct kv_err *err)
{
    static const TPMT_TK_HASHCHECK outside = {.tag = TPM2_ST_HASHCHECK,
                                              .hierarchy = TPM2_RH_NULL}; /* hashed by us */
    const TPMT_SIG_SCHEME scheme = {.scheme = mechanisms[mechanism].scheme,
                                    .details.any.hashAlg = TPM2_ALG_SHA256};
    TPM2B_DIGEST in = {.size = KV_HASH_LEN};
    TPMT_SIGNATURE *sig = NULL;
    memcpy(in.buffer, digest->b, KV_HASH_LEN);
    enum kv_code code = load(token, key, err);
    if (code != KV_OK) {
        return code;
    }
    TSS2_RC rc = Esys_Sign(token->chip.esys, token->loaded, kv_tpm_chip_session(&token->chip, 0),
                           ESYS_TR_NONE, ESYS_TR_NONE, &in, &scheme, &outside, &sig);
    if (rc != TSS2_RC_SUCCESS) {
        /* its password comes from what the login gave: the PIN is right, the file is not */
        return kv_tpm_code(rc) == KV_E_TOKEN_PIN
                   ? KV_REFUSE(err, KV_E_TOKEN_KEY_DAMAGED, "key '%s' is of another slot",
                               key->label)
                   : KV_TPM_FAIL(err, rc, "TPM2_Sign");
    }
    bool good = take_signature(sig, mechanism, out);
    Esys_Free(sig);
    return good ? KV_OK
                : KV_REFUSE(err, KV_E_TOKEN, "the TPM gave no signature of the kind asked for");
}

/* The library lets a chip choose the salt: as long as the digest (since revision 1.38), or as long
 * as fits. KSeF wants 32 bytes, so each signature is looked at. */
static enum kv_code check_salt(const struct kv_tpm_key *key, const struct kv_hash *digest,
                               struct kv_bytes sig, struct kv_err *err)
{
    return kv_public_verify(&key->key, KV_TOKEN_RSA_PSS_SHA256, digest, sig)
               ? KV_OK
               : KV_REFUSE(err, KV_E_TOKEN_MECHANISM,
                           "this TPM signs RSA-PSS with a salt that is not of 32 bytes: it cannot "
                           "serve RSA Offline certificates; use an EC key");
}

static struct kv_tpm_key *of_handle(struct kv_tpm_token *token, uint64_t handle)
{
    for (size_t i = 0; i < token->key_count; i++) {
        if (token->keys[i]->key.handle == handle) {
            return token->keys[i];
        }
    }
    return NULL;
}

enum kv_code kv_tpm_use(struct kv_tpm_token *token, uint64_t handle, const struct kv_tpm_key **out,
                        struct kv_err *err)
{
    const struct kv_tpm_key *key = of_handle(token, handle);
    if (key == NULL) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_MISSING, "no key of that handle was found before");
    }
    *out = key;
    return load(token, key, err);
}

enum kv_code kv_tpm_sign(struct kv_token *base, uint64_t handle, enum kv_token_mechanism mechanism,
                         const struct kv_hash *digest, uint8_t *sig, size_t *len,
                         struct kv_err *err)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    assert(mechanism < KV_TOKEN_MECHANISM_COUNT);
    const struct kv_tpm_key *key = of_handle(token, handle);
    size_t want = mechanisms[mechanism].sig_len;
    uint8_t out[KV_TOKEN_SIG_MAX];
    if (key == NULL) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_MISSING, "no key of that handle was found before");
    }
    if (key->key.type != mechanisms[mechanism].key) {
        return KV_REFUSE(err, KV_E_TOKEN_MECHANISM, "the key is of another kind than that");
    }
    if (*len < want) {
        return KV_REFUSE(err, KV_E_LIMIT, "no room for a signature of %zu bytes", want);
    }
    enum kv_code code = sign(token, key, mechanism, digest, out, err);
    if (code == KV_OK && mechanism == KV_TOKEN_RSA_PSS_SHA256) {
        code = check_salt(key, digest, kv_bytes(out, want), err);
    }
    if (code == KV_OK) {
        memcpy(sig, out, want);
        *len = want;
    }
    return code;
}

/* ---- keys ---- */

static size_t cached(const struct kv_tpm_token *token, const char *label)
{
    size_t i = 0;
    while (i < token->key_count && strcmp(token->keys[i]->label, label) != 0) {
        i++;
    }
    return i;
}

static enum kv_code remember(struct kv_tpm_token *token, struct kv_tpm_key *key, struct kv_err *err)
{
    if (token->key_count == KV_TPM_KEYS_MAX) {
        return KV_REFUSE(err, KV_E_LIMIT, "more than %d keys are in use", KV_TPM_KEYS_MAX);
    }
    struct kv_tpm_key **more = realloc(token->keys, (token->key_count + 1) * sizeof *token->keys);
    if (more == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a key");
    }
    token->keys = more;
    token->keys[token->key_count++] = key;
    return KV_OK;
}

/* The key signs, and what the file calls its public half verifies. */
static enum kv_code check_pair(struct kv_tpm_token *token, const struct kv_tpm_key *key,
                               struct kv_err *err)
{
    struct kv_hash digest = kv_hash(kv_bytes_str("ksefvault: is this key pair one?"));
    enum kv_token_mechanism mechanism =
        key->key.type == KV_TOKEN_EC_P256 ? KV_TOKEN_ECDSA : KV_TOKEN_RSA_PKCS1_SHA256;
    uint8_t sig[KV_TOKEN_SIG_MAX];
    enum kv_code code = sign(token, key, mechanism, &digest, sig, err);
    if (code == KV_OK && !kv_public_verify(&key->key, mechanism, &digest,
                                           kv_bytes(sig, mechanisms[mechanism].sig_len))) {
        code = KV_REFUSE(err, KV_E_TOKEN, "the private key does not belong to the public key");
    }
    return code;
}

enum kv_code kv_tpm_find(struct kv_token *base, const char *label, struct kv_token_key *out,
                         struct kv_err *err)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    enum kv_code code = check_label(label, err);
    if (code != KV_OK) {
        return code;
    }
    size_t at = cached(token, label);
    if (at < token->key_count) {
        *out = token->keys[at]->key;
        return KV_OK;
    }
    KV_CLEANUP(kv_freep) struct kv_tpm_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a key");
    }
    memcpy(key->label, label, strlen(label) + 1);
    code = kv_tpm_read(token, KV_TPM_SIGNS, label, &key->blob, err);
    if (code == KV_OK) {
        code = read_public(&key->blob.public, &key->key, err);
    }
    if (code != KV_OK) {
        return code;
    }
    key->key.handle = token->next_handle++;
    code = check_pair(token, key, err);
    if (code == KV_OK) {
        code = remember(token, key, err);
    }
    if (code != KV_OK) {
        kv_tpm_make_room(token);
        return code;
    }
    *out = key->key;
    key = NULL; /* handed over */
    return KV_OK;
}

enum kv_code kv_tpm_generate(struct kv_token *base, const char *label, enum kv_token_key_type type,
                             struct kv_token_key *out, struct kv_err *err)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    assert(type == KV_TOKEN_EC_P256 || type == KV_TOKEN_RSA_2048);
    KV_CLEANUP(kv_freep) struct kv_tpm_blob *blob = calloc(1, sizeof *blob);
    TPM2B_PUBLIC wanted;
    TPM2B_AUTH auth;
    enum kv_code code = check_label(label, err);
    if (code == KV_OK && blob == NULL) {
        code = KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a key");
    }
    if (code != KV_OK) {
        return code;
    }
    template(type, label, &wanted);
    kv_tpm_auth(token->root, label, &auth);
    kv_tpm_make_room(token);
    code = kv_tpm_chip_create(&token->chip, &wanted, &auth, NULL, blob, err);
    kv_wipe(&auth, sizeof auth);
    if (code == KV_OK) {
        code = kv_tpm_write(token, label, blob, err);
    }
    if (code == KV_OK) {
        code = kv_tpm_find(base, label, out, err);
        if (code != KV_OK) {
            struct kv_err second; /* the first failure is the one to tell */
            enum kv_code undone = kv_tpm_destroy(base, label, &second);
            code = undone == KV_OK ? code : kv_wrap(err, "the new key '%s' stays", label);
        }
    }
    return code;
}

enum kv_code kv_tpm_destroy(struct kv_token *base, const char *label, struct kv_err *err)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    char name[KV_TPM_NAME_LEN];
    enum kv_code code = check_label(label, err);
    if (code != KV_OK) {
        return code;
    }
    size_t at = cached(token, label);
    if (at < token->key_count) {
        if (token->loaded_handle == token->keys[at]->key.handle) {
            kv_tpm_make_room(token);
        }
        free(token->keys[at]);
        token->keys[at] = token->keys[--token->key_count];
    }
    kv_tpm_file_name(label, name);
    return kv_tpm_file_remove(token->dir, name, KV_E_TOKEN_KEY_MISSING, err);
}

/* ---- all of them ---- */

static void close_dirp(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir); /* read-only: nothing to lose */
    }
}

/* The label of which this is the file; false: of none. */
static bool label_of(const char *name, char out[static KV_TOKEN_LABEL_LEN])
{
    uint8_t bytes[KV_TOKEN_LABEL_LEN - 1];
    size_t len = 0;
    if (strncmp(name, FILE_HEAD, strlen(FILE_HEAD)) != 0 ||
        !kv_hex_decode(kv_bytes_str(name + strlen(FILE_HEAD)), bytes, sizeof bytes, &len)) {
        return false;
    }
    memcpy(out, bytes, len);
    out[len] = '\0';
    return strlen(out) == len && check_label(out, NULL) == KV_OK;
}

/* Count the labels that begin with `prefix`, and destroy them if that is asked for. */
static enum kv_code walk(struct kv_tpm_token *token, const char *prefix, bool destroy,
                         size_t *count, struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN];
    int fd = openat(token->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    KV_CLEANUP(close_dirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        kv_close_fdp(&fd);
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot read the slot's folder");
    }
    enum kv_code code = KV_OK;
    size_t n = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot read the slot's folder");
        }
        if (entry == NULL) {
            break;
        }
        if (!label_of(entry->d_name, label) || strncmp(label, prefix, strlen(prefix)) != 0) {
            continue;
        }
        code = destroy ? kv_tpm_destroy(&token->base, label, err) : KV_OK;
        if (code != KV_OK) {
            return code;
        }
        n++;
    }
    *count = n;
    return KV_OK;
}

enum kv_code kv_tpm_count(struct kv_token *base, size_t *count, struct kv_err *err)
{
    return walk(kv_tpm_token(base), "", false, count, err);
}

enum kv_code kv_tpm_destroy_prefix(struct kv_token *base, const char *prefix, size_t *count,
                                   struct kv_err *err)
{
    assert(prefix[0] != '\0'); /* that would be every key */
    return walk(kv_tpm_token(base), prefix, true, count, err);
}
