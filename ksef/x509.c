#include "ksef/x509.h"

#include "core/openssl.h"
#include "core/parse.h"
#include "core/time.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/objects.h>

#define SERIAL_MAX 20 /* octets (RFC 5280 4.1.2.2) */
#define OID_TEXT   128

void kv_x509_freep(X509 **cert)
{
    X509_free(*cert);
    *cert = NULL;
}

struct kv_bytes kv_x509_serial(const X509 *cert)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    return kv_bytes(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
}

static bool serial_fits(const X509 *cert)
{
    struct kv_bytes serial = kv_x509_serial(cert);
    int type = ASN1_STRING_type(X509_get0_serialNumber(cert));
    return type == V_ASN1_INTEGER && serial.len >= 1 && serial.len <= SERIAL_MAX &&
           serial.ptr[0] != 0; /* OpenSSL strips leading zeros: this is the number zero */
}

/* What OpenSSL would write again: no second encoding of the same certificate. */
static bool is_der(X509 *cert, struct kv_bytes der)
{
    uint8_t *again = NULL;
    int len = i2d_X509(cert, &again);
    bool same = len > 0 && kv_bytes_equal(kv_bytes(again, (size_t)len), der);
    OPENSSL_free(again);
    return same;
}

bool kv_x509_time(const ASN1_TIME *time, int64_t *ms)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return false;
    }
    *ms = (int64_t)timegm(&tm) * KV_SECOND_MS;
    return true;
}

bool kv_x509_key_id(const X509 *cert, struct kv_hash *out)
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    if (len > 0) {
        *out = kv_hash(kv_bytes(spki, (size_t)len));
    }
    OPENSSL_free(spki);
    return len > 0;
}

enum kv_code kv_x509_parse(struct kv_bytes der, X509 **out, struct kv_err *err)
{
    if (der.len > KV_CERTIFICATE_MAX) {
        return KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "a certificate has at most %d bytes, not %zu",
                         KV_CERTIFICATE_MAX, der.len);
    }
    const uint8_t *at = der.ptr;
    KV_CLEANUP(kv_x509_freep)
    X509 *cert = der.len == 0 ? NULL : d2i_X509(NULL, &at, (long)der.len);
    if (cert == NULL || at != der.ptr + der.len || !is_der(cert, der)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "this is not one X.509 certificate in DER");
    }
    if (X509_get_version(cert) != X509_VERSION_3) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the certificate is not of X.509 version 3");
    }
    if (!serial_fits(cert)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "the certificate's serial number is not a positive number of at most %d "
                         "octets",
                         SERIAL_MAX);
    }
    *out = cert;
    cert = NULL; /* handed over */
    return KV_OK;
}

/* RFC 2253 2.3: the types that have names. */
static const char *type_name(int nid)
{
    static const struct {
        int nid;
        const char *name;
    } names[] = {
        {NID_commonName, "CN"},
        {NID_localityName, "L"},
        {NID_stateOrProvinceName, "ST"},
        {NID_organizationName, "O"},
        {NID_organizationalUnitName, "OU"},
        {NID_countryName, "C"},
        {NID_streetAddress, "STREET"},
        {NID_domainComponent, "DC"},
        {NID_userId, "UID"},
    };
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        if (names[i].nid == nid) {
            return names[i].name;
        }
    }
    return NULL;
}

static bool print_entry(BIO *bio, const X509_NAME_ENTRY *entry)
{
    const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
    const char *name = type_name(OBJ_obj2nid(object));
    if (name != NULL) {
        /* UTF-8 itself, not \C3\B3: the document is UTF-8 */
        unsigned long flags = ASN1_STRFLGS_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
        return BIO_printf(bio, "%s=", name) > 0 && ASN1_STRING_print_ex(bio, value, flags) >= 0;
    }
    char oid[OID_TEXT];
    int len = OBJ_obj2txt(oid, sizeof oid, object, 1);
    return len > 0 && len < OID_TEXT && BIO_printf(bio, "%s=", oid) > 0 &&
           ASN1_STRING_print_ex(bio, value, ASN1_STRFLGS_DUMP_ALL | ASN1_STRFLGS_DUMP_DER) >= 0;
}

static bool print_name(BIO *bio, const X509_NAME *name)
{
    int set = -1;
    for (int i = X509_NAME_entry_count(name) - 1; i >= 0; i--) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        if (set != -1 && BIO_puts(bio, X509_NAME_ENTRY_set(entry) == set ? "+" : ",") != 1) {
            return false;
        }
        set = X509_NAME_ENTRY_set(entry);
        if (!print_entry(bio, entry)) {
            return false;
        }
    }
    return true;
}

enum kv_code kv_x509_issuer_text(const X509 *cert, struct kv_buf *out, struct kv_err *err)
{
    KV_CLEANUP(kv_bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for a name");
    }
    char *text = NULL;
    if (!print_name(bio, X509_get_issuer_name(cert))) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the certificate's issuer name cannot be read");
    }
    long len = BIO_get_mem_data(bio, &text);
    if (len <= 0 || !kv_utf8_valid(kv_bytes(text, (size_t)len))) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "the certificate's issuer name is empty or not UTF-8");
    }
    kv_buf_add(out, text, (size_t)len);
    return out->failed ? KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "the issuer name is too long")
                       : KV_OK;
}

enum kv_code kv_x509_serial_decimal(const X509 *cert, struct kv_buf *out, struct kv_err *err)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *text = number == NULL ? NULL : BN_bn2dec(number);
    BN_free(number);
    if (text == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for a serial number");
    }
    kv_buf_add_str(out, text);
    OPENSSL_free(text);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a serial number") : KV_OK;
}
