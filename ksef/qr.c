#include "ksef/qr.h"

#include "core/cursor.h"
#include "core/openssl.h"
#include "core/time.h"
#include "ksef/x509.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

#define SCHEME         "https://"
#define PSS_SALT       32
#define ECDSA_RAW_LEN  64
#define SERIAL_HEX_MIN 16
#define SEGMENTS_MAX   8

static const struct {
    const char *environment, *host;
} hosts[] = {{"test", "qr-test.ksef.mf.gov.pl"},
             {"demo", "qr-demo.ksef.mf.gov.pl"},
             {"prod", "qr.ksef.mf.gov.pl"}};

static const char *host_of(struct kv_bytes environment)
{
    for (size_t i = 0; i < KV_COUNT(hosts); i++) {
        if (kv_bytes_is(environment, hosts[i].environment)) {
            return hosts[i].host;
        }
    }
    return NULL;
}

static bool is_serial(struct kv_bytes in)
{
    bool good = in.len >= SERIAL_HEX_MIN && in.len < KV_CERTIFICATE_SERIAL_HEX_LEN;
    for (size_t i = 0; good && i < in.len; i++) {
        good = (in.ptr[i] >= '0' && in.ptr[i] <= '9') || (in.ptr[i] >= 'A' && in.ptr[i] <= 'F');
    }
    return good;
}

static enum kv_code check_seller(struct kv_bytes seller, struct kv_err *err)
{
    return kv_nip_valid(seller) ? KV_OK
                                : KV_REFUSE(err, KV_E_INPUT_NIP,
                                            "seller: not a NIP with a good "
                                            "check digit");
}

static void add_hash(struct kv_buf *out, const struct kv_hash *hash)
{
    char text[KV_HASH_BASE64_LEN];
    kv_base64url_encode(kv_bytes(hash->b, sizeof hash->b), text);
    kv_buf_add_str(out, text);
}

/* ---- building ---- */

enum kv_code kv_qr_front(const struct kv_qr_issuer *issuer, struct kv_buf *out, struct kv_err *err)
{
    struct kv_context context;
    const char *host = host_of(issuer->environment);
    if (host == NULL) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "environment is test, demo or prod");
    }
    if (kv_context_parse(issuer->context, &context, err) != KV_OK ||
        check_seller(issuer->seller, err) != KV_OK) {
        return err == NULL ? KV_E_INPUT_VALUE : err->code;
    }
    if (!is_serial(issuer->serial)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the serial number is not upper-case hex");
    }
    struct kv_bytes value = issuer->context; /* behind `Type:` */
    const char *type = kv_context_type_word(context.type);
    size_t skip = strlen(type) + 1;
    kv_buf_add_str(out, host);
    kv_buf_add_str(out, "/certificate/");
    kv_buf_add_str(out, type);
    kv_buf_add_str(out, "/");
    kv_buf_add(out, value.ptr + skip, value.len - skip);
    kv_buf_add_str(out, "/");
    kv_buf_add_bytes(out, issuer->seller);
    kv_buf_add_str(out, "/");
    kv_buf_add_bytes(out, issuer->serial);
    kv_buf_add_str(out, "/");
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a code") : KV_OK;
}

struct kv_hash kv_qr_digest(struct kv_bytes front, const struct kv_hash *invoice)
{
    char text[KV_HASH_BASE64_LEN];
    kv_base64url_encode(kv_bytes(invoice->b, sizeof invoice->b), text);
    return kv_hash3(front, kv_bytes(text, KV_QR_HASH_CHARS), KV_BYTES_NULL);
}

void kv_qr_certificate_link(struct kv_bytes front, const struct kv_hash *invoice,
                            struct kv_bytes signature, struct kv_buf *out)
{
    char text[KV_BASE64_LEN(KV_KSEF_SIGNATURE_MAX)];
    assert(signature.len <= KV_KSEF_SIGNATURE_MAX);
    kv_buf_add_str(out, SCHEME);
    kv_buf_add_bytes(out, front);
    add_hash(out, invoice);
    kv_buf_add_str(out, "/");
    kv_base64url_encode(signature, text);
    kv_buf_add_str(out, text);
}

enum kv_code kv_qr_invoice_link(struct kv_bytes environment, struct kv_bytes seller,
                                struct kv_bytes date, const struct kv_hash *invoice,
                                struct kv_buf *out, struct kv_err *err)
{
    int64_t ms;
    const char *host = host_of(environment);
    if (host == NULL) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "environment is test, demo or prod");
    }
    if (check_seller(seller, err) != KV_OK) {
        return KV_E_INPUT_NIP;
    }
    if (!kv_date_parse(date, &ms)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "date: the invoice's P_1, for example 2026-02-01");
    }
    const char *d = (const char *)date.ptr; /* YYYY-MM-DD → DD-MM-YYYY */
    kv_buf_add_format(out, SCHEME "%s/invoice/%.10s/%.2s-%.2s-%.4s/", host,
                      (const char *)seller.ptr, d + 8, d + 5, d);
    add_hash(out, invoice);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a code") : KV_OK;
}

/* ---- taking apart ---- */

static size_t split(struct kv_bytes text, struct kv_bytes out[static SEGMENTS_MAX])
{
    size_t count = 0, from = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '/') {
            continue;
        }
        if (count == SEGMENTS_MAX) {
            return 0;
        }
        out[count++] = kv_bytes(text.ptr + from, i - from);
        from = i + 1;
    }
    return count;
}

static bool copy(struct kv_bytes in, char *out, size_t size)
{
    if (in.len >= size) {
        return false;
    }
    memcpy(out, in.ptr, in.len);
    out[in.len] = '\0';
    return true;
}

static bool read_hash(struct kv_bytes in, struct kv_hash *out)
{
    size_t len;
    return in.len == KV_QR_HASH_CHARS && kv_base64url_decode(in, out->b, sizeof out->b, &len) &&
           len == sizeof out->b;
}

/* DD-MM-YYYY → YYYY-MM-DD */
static bool read_date(struct kv_bytes in, char out[static KV_QR_DATE_LEN])
{
    int64_t ms;
    if (in.len != KV_QR_DATE_LEN - 1) {
        return false;
    }
    const char *d = (const char *)in.ptr;
    const char turned[KV_QR_DATE_LEN] = {d[6], d[7], d[8], d[9], d[5], d[3],
                                         d[4], d[2], d[0], d[1], '\0'};
    memcpy(out, turned, sizeof turned);
    return kv_date_parse(kv_bytes(turned, sizeof turned - 1), &ms);
}

static bool read_context(struct kv_bytes type, struct kv_bytes value, struct kv_qr *out)
{
    if (type.len + 1 + value.len >= sizeof out->context) {
        return false;
    }
    memcpy(out->context, type.ptr, type.len);
    out->context[type.len] = ':';
    memcpy(out->context + type.len + 1, value.ptr, value.len);
    out->context[type.len + 1 + value.len] = '\0';
    /* by its length: a NUL within would hide the rest */
    return kv_context_parse(kv_bytes(out->context, type.len + 1 + value.len), NULL, NULL) == KV_OK;
}

static bool read_signature(struct kv_bytes in, struct kv_qr *out)
{
    return in.len > 0 &&
           kv_base64url_decode(in, out->signature, sizeof out->signature, &out->signature_len);
}

enum kv_code kv_qr_parse(struct kv_bytes link, struct kv_qr *out, struct kv_err *err)
{
    struct kv_bytes part[SEGMENTS_MAX];
    const size_t scheme = sizeof SCHEME - 1;
    *out = (struct kv_qr){.kind = KV_QR_INVOICE};
    if (link.len > KV_QR_LINK_MAX || link.len < scheme || memcmp(link.ptr, SCHEME, scheme) != 0) {
        return KV_REFUSE(err, KV_E_CODE_LINK,
                         "a link begins with " SCHEME " and has at most %d characters",
                         KV_QR_LINK_MAX);
    }
    size_t count = split(kv_bytes(link.ptr + scheme, link.len - scheme), part);
    for (size_t i = 0; count > 0 && i < KV_COUNT(hosts); i++) {
        if (kv_bytes_is(part[0], hosts[i].host)) {
            memcpy(out->environment, hosts[i].environment, strlen(hosts[i].environment) + 1);
        }
    }
    if (out->environment[0] == '\0') {
        return KV_REFUSE(err, KV_E_CODE_LINK, "the host is none of KSeF's");
    }
    bool good = false;
    if (count == 5 && kv_bytes_is(part[1], "invoice")) {
        good = kv_nip_valid(part[2]) && copy(part[2], out->seller, sizeof out->seller) &&
               read_date(part[3], out->date) && read_hash(part[4], &out->invoice);
    } else if (count == 8 && kv_bytes_is(part[1], "certificate")) {
        out->kind = KV_QR_CERTIFICATE;
        good = read_context(part[2], part[3], out) && kv_nip_valid(part[4]) &&
               copy(part[4], out->seller, sizeof out->seller) && is_serial(part[5]) &&
               copy(part[5], out->serial, sizeof out->serial) &&
               read_hash(part[6], &out->invoice) && read_signature(part[7], out);
        size_t front = good ? (size_t)(part[6].ptr - part[0].ptr) : 0;
        out->digest = kv_qr_digest(kv_bytes(part[0].ptr, front), &out->invoice);
    }
    return good ? KV_OK
                : KV_REFUSE(err, KV_E_CODE_LINK,
                            "neither an invoice's link (KOD I) nor a certificate's (KOD II)");
}

/* ---- checking ---- */

static bool verifies(EVP_PKEY *key, enum kv_ksef_key type, const struct kv_hash *digest,
                     struct kv_bytes signature)
{
    KV_CLEANUP(kv_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1) {
        return false;
    }
    if (type == KV_KSEF_KEY_RSA && (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
                                    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, PSS_SALT) != 1)) {
        return false;
    }
    return EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_verify(ctx, signature.ptr, signature.len, digest->b, KV_HASH_LEN) == 1;
}

enum kv_code kv_qr_verify(const struct kv_qr *qr, struct kv_bytes certificate, struct kv_err *err)
{
    static struct kv_certificate_info info; /* with its key: too much for the stack */
    assert(qr->kind == KV_QR_CERTIFICATE);
    if (kv_certificate_inspect(certificate, &info, err) != KV_OK) {
        return err == NULL ? KV_E_INPUT_VALUE : err->code;
    }
    if (strcmp(info.serial, qr->serial) != 0) {
        return KV_REFUSE(err, KV_E_CODE_CERTIFICATE,
                         "the code names certificate %s, this one has serial number %s", qr->serial,
                         info.serial);
    }
    if (info.usage != KV_CERTIFICATE_OFFLINE && info.usage != KV_CERTIFICATE_ANY) {
        return KV_REFUSE(err, KV_E_CODE_CERTIFICATE, "this is not an Offline certificate");
    }
    const uint8_t *at = info.spki;
    KV_CLEANUP(kv_pkey_freep) EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)info.spki_len);
    KV_CLEANUP(kv_buf_clear) struct kv_buf der;
    kv_buf_init(&der, KV_KSEF_SIGNATURE_MAX);
    struct kv_bytes signature = kv_bytes(qr->signature, qr->signature_len);
    /* KSeF recommends R‖S and tolerates DER; a DER signature of 64 bytes is one in 2^60 */
    if (info.key == KV_KSEF_KEY_EC_P256 && signature.len == ECDSA_RAW_LEN) {
        if (kv_ksef_key_ecdsa_der(signature, &der, err) != KV_OK) {
            return err == NULL ? KV_E_NO_MEMORY : err->code;
        }
        signature = kv_buf_bytes(&der);
    }
    if (key == NULL || !verifies(key, info.key, &qr->digest, signature)) {
        return KV_REFUSE(err, KV_E_CODE_SIGNATURE,
                         "the signature is not one of this code by the "
                         "certificate's key");
    }
    return KV_OK;
}
