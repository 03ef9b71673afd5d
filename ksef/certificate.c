#include "ksef/certificate.h"

#include "core/name.h"
#include "core/parse.h"
#include "core/time.h"

#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define TBS_MAX 4096 /* bytes: five name parts of 64 characters, twice, and the largest key */

/* ASN.1 tags (X.690 8.1.2) of what is written here. */
enum { DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_SEQUENCE = 0x30, DER_VERSION = 0xa0 };
enum { DER_EXTENSIONS = 0xa3 };

struct kv_certificate_draft {
    struct kv_buf tbs;
    struct kv_hash digest;
    enum kv_ksef_key key;
    size_t spki_len;
    uint8_t spki[KV_KSEF_SPKI_MAX];
};

static void name_freep(X509_NAME **name)
{
    X509_NAME_free(*name);
}

/* Append tag, length and content. Contents here are below 64 KiB. */
static void add_der(struct kv_buf *out, uint8_t tag, struct kv_bytes content)
{
    assert(content.len <= 0xffff);
    kv_buf_add_u8(out, tag);
    if (content.len > 0xff) {
        kv_buf_add_u8(out, 0x82);
        kv_buf_add_u16(out, (uint16_t)content.len);
    } else {
        if (content.len > 0x7f) {
            kv_buf_add_u8(out, 0x81);
        }
        kv_buf_add_u8(out, (uint8_t)content.len);
    }
    kv_buf_add_bytes(out, content);
}

/* sha256WithRSAEncryption (RFC 4055 5) and ecdsa-with-SHA256 (RFC 5758 3.2). */
static struct kv_bytes algorithm(enum kv_ksef_key key)
{
    static const uint8_t rsa[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                  0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00};
    static const uint8_t ec[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    return key == KV_KSEF_KEY_RSA ? kv_bytes(rsa, sizeof rsa) : kv_bytes(ec, sizeof ec);
}

/* PESEL's check digit: weights 1 3 7 9 over the first ten digits. */
static bool pesel_valid(struct kv_bytes in)
{
    static const unsigned weights[] = {1, 3, 7, 9};
    if (in.len != 11 || !kv_all_digits(in)) {
        return false;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < 10; i++) {
        sum += weights[i % 4] * (unsigned)(in.ptr[i] - '0');
    }
    return (10 - sum % 10) % 10 == (unsigned)(in.ptr[10] - '0');
}

static enum kv_code check_text(const char *what, struct kv_bytes text, struct kv_err *err)
{
    if (text.len == 0) {
        return KV_REFUSE(err, KV_E_INPUT_MISSING, "the certificate needs a %s", what);
    }
    size_t at = 0, count = 0;
    while (at < text.len) {
        uint32_t c;
        if (!kv_utf8_next(text, &at, &c)) {
            return KV_REFUSE(err, KV_E_INPUT_UTF8, "the %s is not valid UTF-8", what);
        }
        if (kv_char_hides(c)) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE, "the %s has a control or hiding character",
                             what);
        }
        count++;
    }
    if (count > KV_CERTIFICATE_NAME_MAX) {
        return KV_REFUSE(err, KV_E_LIMIT, "the %s has more than %d characters", what,
                         KV_CERTIFICATE_NAME_MAX);
    }
    return KV_OK;
}

static enum kv_code check_number(const struct kv_certificate_params *params, struct kv_err *err)
{
    if (params->kind == KV_CERTIFICATE_PERSON_PESEL) {
        return pesel_valid(params->number) ? KV_OK
                                           : KV_REFUSE(err, KV_E_INPUT_VALUE,
                                                       "the PESEL is not one of 11 digits with a "
                                                       "right check digit");
    }
    return kv_nip_valid(params->number) ? KV_OK
                                        : KV_REFUSE(err, KV_E_INPUT_NIP,
                                                    "the NIP is not one of ten digits with a right "
                                                    "check digit");
}

static enum kv_code check_params(const struct kv_certificate_params *params, struct kv_err *err)
{
    enum kv_code code = check_number(params, err);
    if (code == KV_OK) {
        code = check_text("common name", params->common_name, err);
    }
    bool seal = params->kind == KV_CERTIFICATE_SEAL;
    if (code == KV_OK && seal) {
        code = check_text("organisation", params->organisation, err);
    }
    if (code == KV_OK && !seal) {
        code = check_text("given name", params->given_name, err);
    }
    if (code == KV_OK && !seal) {
        code = check_text("surname", params->surname, err);
    }
    if (code == KV_OK &&
        (params->not_before_ms < 0 || params->not_after_ms <= params->not_before_ms)) {
        code = KV_REFUSE(err, KV_E_INPUT_VALUE, "the certificate would end before it begins");
    }
    return code;
}

static bool add_name(X509_NAME *name, int nid, int type, struct kv_bytes value)
{
    return X509_NAME_add_entry_by_NID(name, nid, type, value.ptr, (int)value.len, -1, 0) == 1;
}

/* Order and string types as in KSeF's own certificates and the official clients: KSeF reads the
 * identity from here. */
static bool fill_name(X509_NAME *name, const struct kv_certificate_params *params)
{
    char number[32] = "";
    bool pesel = params->kind == KV_CERTIFICATE_PERSON_PESEL;
    bool seal = params->kind == KV_CERTIFICATE_SEAL;
    const char *prefix = seal ? "VATPL-" : pesel ? "PNOPL-" : "TINPL-";
    memcpy(number, prefix, 6);
    memcpy(number + 6, params->number.ptr, params->number.len); /* 10 or 11: checked */
    struct kv_bytes id = kv_bytes_str(number), country = kv_bytes_str("PL");
    if (seal) {
        return add_name(name, NID_countryName, V_ASN1_PRINTABLESTRING, country) &&
               add_name(name, NID_organizationIdentifier, V_ASN1_UTF8STRING, id) &&
               add_name(name, NID_organizationName, V_ASN1_UTF8STRING, params->organisation) &&
               add_name(name, NID_commonName, V_ASN1_UTF8STRING, params->common_name);
    }
    return add_name(name, NID_givenName, V_ASN1_UTF8STRING, params->given_name) &&
           add_name(name, NID_surname, V_ASN1_UTF8STRING, params->surname) &&
           add_name(name, NID_serialNumber, V_ASN1_PRINTABLESTRING, id) &&
           add_name(name, NID_commonName, V_ASN1_UTF8STRING, params->common_name) &&
           add_name(name, NID_countryName, V_ASN1_PRINTABLESTRING, country);
}

static bool encode_name(const struct kv_certificate_params *params, struct kv_buf *out)
{
    KV_CLEANUP(name_freep) X509_NAME *name = X509_NAME_new();
    if (name == NULL || !fill_name(name, params)) {
        return false;
    }
    uint8_t *der = NULL;
    int len = i2d_X509_NAME(name, &der);
    if (len > 0) {
        kv_buf_add(out, der, (size_t)len);
    }
    OPENSSL_free(der);
    return len > 0 && !out->failed;
}

/* UTCTime before 2050, then GeneralizedTime (RFC 5280 4.1.2.5): OpenSSL chooses. */
static bool add_time(struct kv_buf *out, int64_t ms)
{
    ASN1_TIME *time = ASN1_TIME_set(NULL, (time_t)(ms / KV_SECOND_MS));
    uint8_t *der = NULL;
    int len = time == NULL ? -1 : i2d_ASN1_TIME(time, &der);
    if (len > 0) {
        kv_buf_add(out, der, (size_t)len);
    }
    OPENSSL_free(der);
    ASN1_TIME_free(time);
    return len > 0;
}

static bool add_validity(struct kv_buf *out, const struct kv_certificate_params *params)
{
    KV_CLEANUP(kv_buf_clear) struct kv_buf times;
    kv_buf_init(&times, 64);
    if (!add_time(&times, params->not_before_ms) || !add_time(&times, params->not_after_ms)) {
        return false;
    }
    add_der(out, DER_SEQUENCE, kv_buf_bytes(&times));
    return !times.failed;
}

static void add_serial(struct kv_buf *out, const uint8_t serial[static KV_CERTIFICATE_SERIAL_LEN])
{
    uint8_t octets[KV_CERTIFICATE_SERIAL_LEN];
    memcpy(octets, serial, sizeof octets);
    octets[0] &= 0x7f; /* positive */
    if (octets[0] == 0) {
        octets[0] = 1; /* of full length, as 16 hex digits */
    }
    add_der(out, DER_INTEGER, kv_bytes(octets, sizeof octets));
}

/* basicConstraints and keyUsage critical, subjectKeyIdentifier: the left 160 bits of the SHA-256 of
 * the key's bits (RFC 7093 2, method 1), since SHA-1 is not wanted anywhere here. */
static bool add_extensions(struct kv_buf *out, struct kv_bytes spki, bool offline)
{
    static const uint8_t constraints[] = {0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13,
                                          0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00};
    static const uint8_t usage[] = {0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f,
                                    0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02};
    /* BIT STRING: how many bits are spare, then bit 0 or bit 1 from the left */
    static const uint8_t digital_signature[] = {0x07, 0x80}, non_repudiation[] = {0x06, 0x40};
    static const uint8_t key_id[] = {0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d,
                                     0x0e, 0x04, 0x16, 0x04, 0x14};
    const uint8_t *at = spki.ptr, *bits = NULL;
    int bits_len = 0;
    X509_PUBKEY *key = d2i_X509_PUBKEY(NULL, &at, (long)spki.len);
    if (key == NULL || X509_PUBKEY_get0_param(NULL, &bits, &bits_len, NULL, key) != 1) {
        X509_PUBKEY_free(key);
        return false;
    }
    struct kv_hash id = kv_hash(kv_bytes(bits, (size_t)bits_len));
    X509_PUBKEY_free(key);
    KV_CLEANUP(kv_buf_clear) struct kv_buf list, sequence;
    kv_buf_init(&list, 128);
    kv_buf_init(&sequence, 128);
    kv_buf_add(&list, constraints, sizeof constraints);
    kv_buf_add(&list, usage, sizeof usage);
    kv_buf_add(&list, offline ? non_repudiation : digital_signature, 2);
    kv_buf_add(&list, key_id, sizeof key_id);
    kv_buf_add(&list, id.b, 20);
    add_der(&sequence, DER_SEQUENCE, kv_buf_bytes(&list));
    add_der(out, DER_EXTENSIONS, kv_buf_bytes(&sequence));
    return !list.failed && !sequence.failed;
}

/* TBSCertificate (RFC 5280 4.1). Written by hand because OpenSSL can fill in a signature only by
 * making it, and the key is elsewhere; so the SPKI also stays byte for byte what the token gave. */
static bool encode_tbs(const struct kv_certificate_params *params, enum kv_ksef_key key,
                       struct kv_buf *out)
{
    static const uint8_t version3[] = {0x02, 0x01, 0x02};
    KV_CLEANUP(kv_buf_clear) struct kv_buf name, body;
    kv_buf_init(&name, TBS_MAX);
    kv_buf_init(&body, TBS_MAX);
    add_der(&body, DER_VERSION, kv_bytes(version3, sizeof version3));
    add_serial(&body, params->serial);
    kv_buf_add_bytes(&body, algorithm(key));
    if (!encode_name(params, &name)) {
        return false;
    }
    kv_buf_add_bytes(&body, kv_buf_bytes(&name)); /* issuer */
    if (!add_validity(&body, params)) {
        return false;
    }
    kv_buf_add_bytes(&body, kv_buf_bytes(&name)); /* subject */
    kv_buf_add_bytes(&body, params->spki);
    if (!add_extensions(&body, params->spki, params->offline) || body.failed) {
        return false;
    }
    add_der(out, DER_SEQUENCE, kv_buf_bytes(&body));
    return !out->failed;
}

enum kv_code kv_certificate_begin(const struct kv_certificate_params *params,
                                  struct kv_certificate_draft **out, struct kv_err *err)
{
    enum kv_ksef_key key;
    enum kv_code code = check_params(params, err);
    if (code == KV_OK) {
        code = kv_ksef_key_type(params->spki, &key, NULL, err);
    }
    if (code != KV_OK) {
        return code;
    }
    KV_CLEANUP(kv_certificate_draft_freep)
    struct kv_certificate_draft *draft = calloc(1, sizeof *draft);
    if (draft == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for a certificate");
    }
    kv_buf_init(&draft->tbs, TBS_MAX);
    draft->key = key;
    draft->spki_len = params->spki.len;
    memcpy(draft->spki, params->spki.ptr, params->spki.len); /* bounded by kv_ksef_key_type */
    if (!encode_tbs(params, key, &draft->tbs)) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the certificate could not be encoded");
    }
    draft->digest = kv_hash(kv_buf_bytes(&draft->tbs));
    *out = draft;
    draft = NULL; /* handed over */
    return KV_OK;
}

const struct kv_hash *kv_certificate_digest(const struct kv_certificate_draft *draft)
{
    return &draft->digest;
}

enum kv_ksef_key kv_certificate_key(const struct kv_certificate_draft *draft)
{
    return draft->key;
}

struct kv_bytes kv_certificate_tbs(const struct kv_certificate_draft *draft)
{
    return kv_buf_bytes(&draft->tbs);
}

enum kv_code kv_certificate_finish(const struct kv_certificate_draft *draft,
                                   struct kv_bytes signature, struct kv_buf *out,
                                   struct kv_err *err)
{
    enum kv_code code =
        kv_ksef_key_verify(kv_bytes(draft->spki, draft->spki_len), &draft->digest, signature, err);
    if (code != KV_OK) {
        return code;
    }
    KV_CLEANUP(kv_buf_clear) struct kv_buf bits, body;
    kv_buf_init(&bits, KV_KSEF_SIGNATURE_MAX + 1);
    kv_buf_init(&body, KV_CERTIFICATE_MAX);
    kv_buf_add_u8(&bits, 0); /* no unused bits */
    if (draft->key == KV_KSEF_KEY_EC_P256) {
        code = kv_ksef_key_ecdsa_der(signature, &bits, err);
        if (code != KV_OK) {
            return code;
        }
    } else {
        kv_buf_add_bytes(&bits, signature);
    }
    kv_buf_add_bytes(&body, kv_buf_bytes(&draft->tbs));
    kv_buf_add_bytes(&body, algorithm(draft->key));
    add_der(&body, DER_BIT_STRING, kv_buf_bytes(&bits));
    if (bits.failed || body.failed) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for a certificate");
    }
    add_der(out, DER_SEQUENCE, kv_buf_bytes(&body));
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a certificate") : KV_OK;
}

void kv_certificate_draft_free(struct kv_certificate_draft *draft)
{
    if (draft != NULL) {
        kv_buf_clear(&draft->tbs);
        free(draft);
    }
}

void kv_certificate_draft_freep(struct kv_certificate_draft **draft)
{
    kv_certificate_draft_free(*draft);
    *draft = NULL;
}
