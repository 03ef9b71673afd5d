#include "core/evidence.h"

#include <stdlib.h>

#include "core/cursor.h"
#include "core/public.h"

#define FIRST_LINE "ksefvault-evidence-1\n"
#define SCALAR_LEN 32

/* TPM 2.0 Library, part 2: TPM_ALG_ID, TPM_ST, TPM_GENERATED, TPMA_OBJECT, TPM_HC */
enum {
    ALG_RSA = 0x0001,
    ALG_SHA256 = 0x000b,
    ALG_NULL = 0x0010,
    ALG_ECDSA = 0x0018,
    ALG_ECC = 0x0023,
    CURVE_P256 = 0x0003,
    ST_ATTEST_CERTIFY = 0x8017,
};
#define GENERATED      0xff544347U
#define RH_ENDORSEMENT 0x4000000bU

enum {
    FIXED_TPM = 0x2,
    FIXED_PARENT = 0x10,
    SENSITIVE_DATA_ORIGIN = 0x20, /* made by the TPM itself */
    RESTRICTED = 0x10000,
    DECRYPTS = 0x20000,
    SIGNS = 0x40000,
};
#define STAYS (FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | SIGNS)

/* ---- the text ---- */

static const char *const names[] = {"attested ", "signature ", "key ", "attestation-key "};
#define CERTIFICATE "certificate "

/* The value of the line that begins with `name`, decoded at *to, which moves on; false: another
 * line, or no strict base64. */
static bool take_line(struct kv_bytes *text, const char *name, size_t max, uint8_t **to,
                      struct kv_bytes *out)
{
    size_t len = strlen(name);
    if (text->len < len || !kv_bytes_is(kv_bytes(text->ptr, len), name)) {
        return false;
    }
    const uint8_t *value = text->ptr + len;
    const uint8_t *end = memchr(value, '\n', text->len - len);
    size_t got;
    if (end == NULL || !kv_base64_decode(kv_bytes(value, (size_t)(end - value)), *to, max, &got) ||
        got == 0) {
        return false;
    }
    *out = kv_bytes(*to, got);
    *to += got;
    *text = kv_bytes(end + 1, text->len - (size_t)(end + 1 - text->ptr));
    return true;
}

static bool take_text(struct kv_bytes text, struct kv_evidence *out)
{
    struct kv_bytes *const parts[] = {&out->attested, &out->signature, &out->key, &out->signer};
    size_t head = strlen(FIRST_LINE);
    uint8_t *to = out->store;
    if (text.len < head || !kv_bytes_is(kv_bytes(text.ptr, head), FIRST_LINE)) {
        return false;
    }
    text = kv_bytes(text.ptr + head, text.len - head);
    for (size_t i = 0; i < KV_COUNT(parts); i++) {
        if (!take_line(&text, names[i], KV_EVIDENCE_CERTIFICATE_MAX, &to, parts[i])) {
            return false;
        }
    }
    while (text.len > 0) {
        if (out->certificate_count == KV_EVIDENCE_CERTIFICATES_MAX ||
            !take_line(&text, CERTIFICATE, KV_EVIDENCE_CERTIFICATE_MAX, &to,
                       &out->certificate[out->certificate_count])) {
            return false;
        }
        out->certificate_count++;
    }
    return true;
}

enum kv_code kv_evidence_parse(struct kv_bytes text, struct kv_evidence *out, struct kv_err *err)
{
    struct kv_evidence evidence = {.certificate_count = 0};
    if (text.len == 0 || text.len > KV_EVIDENCE_MAX) {
        return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "evidence has 1 to %d bytes", KV_EVIDENCE_MAX);
    }
    evidence.store = malloc(text.len); /* what is decoded is shorter */
    if (evidence.store == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for evidence");
    }
    if (!take_text(text, &evidence)) {
        kv_evidence_clear(&evidence);
        return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "this is no evidence of a key");
    }
    *out = evidence;
    return KV_OK;
}

void kv_evidence_clear(struct kv_evidence *evidence)
{
    free(evidence->store);
    *evidence = (struct kv_evidence){.certificate_count = 0};
}

static void put_line(struct kv_buf *out, const char *name, struct kv_bytes value)
{
    kv_buf_add_str(out, name);
    kv_buf_add_base64(out, value);
    kv_buf_add_str(out, "\n");
}

static void put_certificates(struct kv_buf *out, const struct kv_evidence *evidence)
{
    for (size_t i = 0; i < evidence->certificate_count; i++) {
        put_line(out, CERTIFICATE, evidence->certificate[i]);
    }
}

void kv_evidence_print(const struct kv_evidence *evidence, struct kv_buf *out)
{
    const struct kv_bytes parts[] = {evidence->attested, evidence->signature, evidence->key,
                                     evidence->signer};
    kv_buf_add_str(out, FIRST_LINE);
    for (size_t i = 0; i < KV_COUNT(parts); i++) {
        put_line(out, names[i], parts[i]);
    }
    put_certificates(out, evidence);
}

struct kv_hash kv_evidence_binding(const struct kv_evidence *evidence,
                                   const struct kv_evidence_subject *subject)
{
    struct kv_buf text;
    kv_buf_init(&text, 2 * (size_t)KV_EVIDENCE_MAX);
    kv_buf_add_format(&text, FIRST_LINE "%s\n%s\n%s\n", subject->vault, subject->request,
                      subject->credential);
    put_certificates(&text, evidence);
    assert(!text.failed); /* names and certificates have maxima */
    struct kv_hash hash = kv_hash(kv_buf_bytes(&text));
    kv_buf_clear(&text);
    return hash;
}

/* ---- the TPM's structures ---- */

/* TPM2B_…: u16 len ‖ bytes. */
static struct kv_bytes take_sized(struct kv_cursor *cur)
{
    return kv_cursor_take(cur, kv_cursor_u16(cur));
}

static bool take_point(struct kv_cursor *cur, struct kv_token_key *out)
{
    uint8_t point[1 + 2 * SCALAR_LEN] = {0x04};
    struct kv_bytes x = take_sized(cur), y = take_sized(cur);
    if (x.len == 0 || x.len > SCALAR_LEN || y.len == 0 || y.len > SCALAR_LEN ||
        !kv_cursor_done(cur)) {
        return false;
    }
    memcpy(point + 1 + SCALAR_LEN - x.len, x.ptr, x.len); /* leading zeros may be left out */
    memcpy(point + 1 + 2 * (size_t)SCALAR_LEN - y.len, y.ptr, y.len);
    return kv_public_from_point(kv_bytes(point, sizeof point), out);
}

/* P-256 that signs by ECDSA with SHA-256. */
static bool take_ec(struct kv_cursor *cur, struct kv_token_key *out)
{
    bool good = kv_cursor_u16(cur) == ALG_NULL && kv_cursor_u16(cur) == ALG_ECDSA &&
                kv_cursor_u16(cur) == ALG_SHA256 && kv_cursor_u16(cur) == CURVE_P256 &&
                kv_cursor_u16(cur) == ALG_NULL;
    return good && take_point(cur, out);
}

/* RSA of 2048 bits, of either scheme. */
static bool take_rsa(struct kv_cursor *cur, struct kv_token_key *out)
{
    static const uint8_t exponent[] = {0x01, 0x00, 0x01}; /* 0 means this one */
    bool good = kv_cursor_u16(cur) == ALG_NULL && kv_cursor_u16(cur) == ALG_NULL &&
                kv_cursor_u16(cur) == 2048 && kv_cursor_u32(cur) == 0;
    struct kv_bytes modulus = take_sized(cur);
    return good && kv_cursor_done(cur) &&
           kv_public_from_rsa(modulus, kv_bytes(exponent, sizeof exponent), out);
}

/* A TPM2B_PUBLIC of a key that signs: what may be done with it, and its public half. */
static bool read_public(struct kv_bytes in, uint32_t *attributes, struct kv_token_key *out)
{
    struct kv_cursor cur = kv_cursor(in);
    uint16_t len = kv_cursor_u16(&cur), type = kv_cursor_u16(&cur), hash = kv_cursor_u16(&cur);
    *attributes = kv_cursor_u32(&cur);
    (void)take_sized(&cur); /* authPolicy: it says which label the key has, part of its name */
    return len + (size_t)2 == in.len && hash == ALG_SHA256 &&
           ((type == ALG_ECC && take_ec(&cur, out)) || (type == ALG_RSA && take_rsa(&cur, out)));
}

/* A TPM's name: the number of the hash, and the hash of the public area. */
struct name {
    uint8_t b[2 + KV_HASH_LEN];
};

static struct name name_of(struct kv_bytes area)
{
    struct name name = {{ALG_SHA256 >> 8, ALG_SHA256 & 0xff}};
    struct kv_hash hash = kv_hash(area);
    memcpy(name.b + 2, hash.b, sizeof hash.b);
    return name;
}

static struct kv_bytes area_of(struct kv_bytes public)
{
    return kv_bytes(public.ptr + 2, public.len - 2);
}

/* The qualified name of a primary key of the endorsement hierarchy (part 1, §16). */
static struct name endorsed(const struct name *name)
{
    uint8_t path[4 + sizeof name->b] = {RH_ENDORSEMENT >> 24, RH_ENDORSEMENT >> 16 & 0xff,
                                        RH_ENDORSEMENT >> 8 & 0xff, RH_ENDORSEMENT & 0xff};
    memcpy(path + 4, name->b, sizeof name->b);
    return name_of(kv_bytes(path, sizeof path));
}

/* TPMS_ATTEST of a certified key. */
static bool read_attested(struct kv_bytes in, struct kv_bytes *signer, struct kv_bytes *binding,
                          struct kv_bytes *name)
{
    struct kv_cursor cur = kv_cursor(in);
    bool good = kv_cursor_u32(&cur) == GENERATED && kv_cursor_u16(&cur) == ST_ATTEST_CERTIFY;
    *signer = take_sized(&cur);
    *binding = take_sized(&cur);
    (void)kv_cursor_take(&cur, 8 + 4 + 4 + 1 + 8); /* clockInfo, firmwareVersion */
    *name = take_sized(&cur);
    (void)take_sized(&cur); /* where the key lies, below a parent that nobody here knows */
    return kv_cursor_done(&cur) && good;
}

static enum kv_code refuse(struct kv_err *err, const char *what)
{
    return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "evidence: %s", what);
}

enum kv_code kv_evidence_check(const struct kv_evidence *evidence,
                               const struct kv_evidence_subject *subject, struct kv_bytes spki,
                               struct kv_err *err)
{
    uint32_t attributes;
    struct kv_bytes signed_by, bound_to, certified;
    struct kv_token_key key, signer;
    uint8_t sig[2 * SCALAR_LEN];
    if (!read_public(evidence->key, &attributes, &key) ||
        !kv_bytes_equal(spki, kv_bytes(key.spki, key.spki_len))) {
        return refuse(err, "it is of another key");
    }
    if ((attributes & STAYS) != STAYS || (attributes & (RESTRICTED | DECRYPTS)) != 0) {
        return refuse(err, "the key can leave the TPM, was made outside of it, or does more than "
                           "sign");
    }
    if (!read_public(evidence->signer, &attributes, &signer) || signer.type != KV_TOKEN_EC_P256 ||
        (attributes & (STAYS | RESTRICTED)) != (STAYS | RESTRICTED) ||
        (attributes & DECRYPTS) != 0) {
        return refuse(err, "who signed it is no attestation key");
    }
    struct kv_hash digest = kv_hash(evidence->attested);
    if (!kv_public_sig_from_der(evidence->signature, sig) ||
        !kv_public_verify(&signer, KV_TOKEN_ECDSA, &digest, kv_bytes(sig, sizeof sig))) {
        return refuse(err, "the signature is wrong");
    }
    struct name name = name_of(area_of(evidence->key)), own = name_of(area_of(evidence->signer));
    struct name path = endorsed(&own);
    struct kv_hash binding = kv_evidence_binding(evidence, subject);
    if (!read_attested(evidence->attested, &signed_by, &bound_to, &certified) ||
        !kv_bytes_equal(certified, kv_bytes(name.b, sizeof name.b)) ||
        !kv_bytes_equal(signed_by, kv_bytes(path.b, sizeof path.b))) {
        return refuse(err, "what was signed is of another key");
    }
    return kv_bytes_equal(bound_to, kv_bytes(binding.b, sizeof binding.b))
               ? KV_OK
               : refuse(err, "it was made for another credential, or with another certificate");
}
