#include "core/name.h"
#include "core/parse.h"
#include "core/time.h"
#include "ksef/x509.h"

#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <time.h>

#define SERIAL_DIGITS_MIN 16 /* KSeF writes serial numbers so */
#define USAGE_LOGIN       KU_DIGITAL_SIGNATURE
#define USAGE_OFFLINE     KU_NON_REPUDIATION

/* Which attribute of the subject names whom (KSeF API 2.0, who is the subject). */
static const struct identity {
    int nid;
    const char *prefix;
    size_t digits;
} identities[] = {
    {NID_serialNumber, "PNOPL", 11},           {NID_serialNumber, "PESEL", 11},
    {NID_serialNumber, "TINPL", 10},           {NID_serialNumber, "NIP", 10},
    {NID_organizationIdentifier, "VATPL", 10},
};

/* `PREFIX`, anything without digits (usually '-'), exactly the digits: KSeF refuses another count.
 */
static bool read_number(struct kv_bytes text, const struct identity *identity, char *out)
{
    size_t at = strlen(identity->prefix);
    if (text.len < at || !kv_bytes_is(kv_bytes(text.ptr, at), identity->prefix)) {
        return false;
    }
    while (at < text.len && !kv_is_digit(text.ptr[at])) {
        at++;
    }
    struct kv_bytes digits = kv_bytes(text.ptr + at, text.len - at);
    if (digits.len != identity->digits || !kv_all_digits(digits)) {
        return false;
    }
    memcpy(out, digits.ptr, digits.len);
    out[digits.len] = '\0';
    return true;
}

static void read_identity_at(const X509_NAME *subject, const struct identity *identity,
                             struct kv_certificate_info *info)
{
    int at = -1;
    while ((at = X509_NAME_get_index_by_NID(subject, identity->nid, at)) >= 0) {
        uint8_t *text = NULL;
        int len =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (len > 0) {
            bool person = identity->digits == 11;
            bool found = read_number(kv_bytes(text, (size_t)len), identity,
                                     person ? info->pesel : info->nip);
            if (found && !person && !kv_nip_valid(kv_bytes_str(info->nip))) {
                info->nip[0] = '\0';
            }
        }
        OPENSSL_free(text);
        if (info->nip[0] != '\0' || info->pesel[0] != '\0') {
            return;
        }
    }
}

static void read_identity(const X509_NAME *subject, struct kv_certificate_info *info)
{
    /* A seal's subject must not name a person, else KSeF refuses it. */
    bool person = X509_NAME_get_index_by_NID(subject, NID_givenName, -1) >= 0 ||
                  X509_NAME_get_index_by_NID(subject, NID_surname, -1) >= 0;
    for (size_t i = 0; i < KV_COUNT(identities); i++) {
        if (identities[i].nid == NID_organizationIdentifier && person) {
            continue;
        }
        read_identity_at(subject, &identities[i], info);
        if (info->nip[0] != '\0' || info->pesel[0] != '\0') {
            return;
        }
    }
}

/* Errors: extensions that OpenSSL calls invalid (doubled, malformed). */
static enum kv_code read_usage(X509 *cert, enum kv_certificate_usage *out, struct kv_err *err)
{
    if ((X509_get_extension_flags(cert) & EXFLAG_INVALID) != 0) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the certificate has a malformed extension");
    }
    uint32_t usage = X509_get_key_usage(cert); /* all bits set when the extension is absent */
    bool login = (usage & USAGE_LOGIN) != 0, offline = (usage & USAGE_OFFLINE) != 0;
    if (login) {
        *out = offline ? KV_CERTIFICATE_ANY : KV_CERTIFICATE_AUTHENTICATION;
    } else {
        *out = offline ? KV_CERTIFICATE_OFFLINE : KV_CERTIFICATE_NOTHING;
    }
    return KV_OK;
}

static enum kv_code read_key(X509 *cert, struct kv_certificate_info *info, struct kv_err *err)
{
    const X509_PUBKEY *key = X509_get_X509_PUBKEY(cert);
    int len = i2d_X509_PUBKEY(key, NULL);
    if (len <= 0 || (size_t)len > sizeof info->spki) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the certificate's key is not one for KSeF");
    }
    uint8_t *end = info->spki;
    (void)i2d_X509_PUBKEY(key, &end); /* its length is known */
    info->spki_len = (size_t)len;
    struct kv_bytes spki = kv_bytes(info->spki, info->spki_len);
    info->spki_sha256 = kv_hash(spki);
    return kv_ksef_key_type(spki, &info->key, &info->key_bits, err);
}

static void read_serial(const X509 *cert, char out[static KV_CERTIFICATE_SERIAL_HEX_LEN])
{
    struct kv_bytes serial = kv_x509_serial(cert);
    size_t digits = 2 * serial.len, pad = 0;
    if (digits < SERIAL_DIGITS_MIN) {
        pad = SERIAL_DIGITS_MIN - digits;
        memset(out, '0', pad);
    }
    kv_hex_encode(serial, out + pad);
    for (char *c = out; *c != '\0'; c++) {
        if (kv_is_lower((uint8_t)*c)) {
            *c = (char)(*c - 'a' + 'A');
        }
    }
}

enum kv_code kv_certificate_inspect(struct kv_bytes der, struct kv_certificate_info *out,
                                    struct kv_err *err)
{
    KV_CLEANUP(kv_x509_freep) X509 *cert = NULL;
    enum kv_code code = kv_x509_parse(der, &cert, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_certificate_info info = {.sha256 = kv_hash(der)};
    if ((code = read_key(cert, &info, err)) != KV_OK ||
        (code = read_usage(cert, &info.usage, err)) != KV_OK) {
        return code;
    }
    if (!kv_x509_time(X509_get0_notBefore(cert), &info.not_before_ms) ||
        !kv_x509_time(X509_get0_notAfter(cert), &info.not_after_ms)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the certificate's validity cannot be read");
    }
    read_serial(cert, info.serial);
    read_identity(X509_get_subject_name(cert), &info);
    info.self_signed = X509_self_signed(cert, 1) == 1;
    *out = info;
    return KV_OK;
}

enum kv_code kv_certificate_check_login(const struct kv_certificate_info *info,
                                        struct kv_bytes spki, int64_t now_ms, struct kv_err *err)
{
    if (!kv_bytes_equal(kv_bytes(info->spki, info->spki_len), spki)) {
        return KV_REFUSE(err, KV_E_CRED_STATE,
                         "certificate %s is for another key than the credential's", info->serial);
    }
    if (info->usage != KV_CERTIFICATE_AUTHENTICATION && info->usage != KV_CERTIFICATE_ANY) {
        return KV_REFUSE(err, KV_E_CRED_STATE,
                         "certificate %s is not for logging in (key usage: %s)", info->serial,
                         info->usage == KV_CERTIFICATE_OFFLINE ? "offline codes" : "neither");
    }
    char time[KV_TIME_S_LEN];
    if (now_ms < info->not_before_ms) {
        kv_time_format_s(info->not_before_ms, time);
        return KV_REFUSE(err, KV_E_CERT_EXPIRED, "certificate %s is valid from %s on only",
                         info->serial, time);
    }
    if (now_ms > info->not_after_ms) {
        kv_time_format_s(info->not_after_ms, time);
        return KV_REFUSE(err, KV_E_CERT_EXPIRED, "certificate %s expired at %s", info->serial,
                         time);
    }
    return KV_OK;
}
