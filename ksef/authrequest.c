#include "ksef/authrequest.h"

#include "ksef/allowedips.h"

#include "core/parse.h"
#include "core/time.h"
#include "ksef/call.h"
#include "ksef/x509.h"

#include <stdlib.h>

#define ISSUER_MAX 4096 /* bytes of the issuer's name as XML text */

/* Namespaces and algorithms (XML-DSig, RFC 9231, XAdES ETSI TS 101 903 v1.3.2). All start tags are
 * in canonical form: namespace declarations first, attributes in order, no empty-element tags. */
#define NS_AUTH  "http://ksef.mf.gov.pl/auth/token/"
#define NS_DS    " xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\""
#define NS_XADES " xmlns:xades=\"http://uri.etsi.org/01903/v1.3.2#\""
#define EXC_C14N "http://www.w3.org/2001/10/xml-exc-c14n#"
#define SHA256   "http://www.w3.org/2001/04/xmlenc#sha256"

#define TRANSFORM(algorithm) "<ds:Transform Algorithm=\"" algorithm "\"></ds:Transform>"

struct kv_auth_request {
    struct kv_buf document;          /* up to, not with, the root's end tag */
    struct kv_buf signed_properties; /* as they stand in the document */
    struct kv_buf signed_info;
    struct kv_buf certificate; /* base64 */
    struct kv_hash digest;
    enum kv_ksef_key key;
    size_t spki_len;
    uint8_t spki[KV_KSEF_SPKI_MAX];
};

static const char root_end[] = "</AuthTokenRequest>";

/* KSeF API 2.0: ^\d{8}-CR-[A-F0-9]{10}-[A-F0-9]{10}-[A-F0-9]{2}$, a reference number of kind CR. */
bool kv_auth_challenge_valid(struct kv_bytes in)
{
    return kv_ksef_reference_valid(in) && in.ptr[9] == 'C' && in.ptr[10] == 'R';
}

/* Text as canonical XML writes it (xml-c14n 2.3, text nodes). False for what XML can't hold. */
static bool add_text(struct kv_buf *out, struct kv_bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t from = at;
        uint32_t c;
        if (!kv_utf8_next(text, &at, &c) || c < 0x20 || c == 0xfffe || c == 0xffff) {
            return false;
        }
        switch (c) {
        case '&': kv_buf_add_str(out, "&amp;"); break;
        case '<': kv_buf_add_str(out, "&lt;"); break;
        case '>': kv_buf_add_str(out, "&gt;"); break;
        default: kv_buf_add(out, text.ptr + from, at - from); break; /* a character, not an enum */
        }
    }
    return true;
}

/* KSeF API 2.0, schema auth/token/2.0: the order of the elements is fixed. */
static enum kv_code write_document(struct kv_auth_request *request,
                                   const struct kv_auth_request_params *params, struct kv_err *err)
{
    struct kv_context context;
    enum kv_code code = kv_context_parse(params->context, &context, err);
    if (code != KV_OK) {
        return code;
    }
    if (!kv_auth_challenge_valid(params->challenge)) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "the challenge is not one of KSeF");
    }
    code = kv_allowed_ips_check(params->allowed_ips, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_buf *out = &request->document;
    const char *type = kv_context_type_word(context.type);
    kv_buf_add_format(out, "<AuthTokenRequest xmlns=\"" NS_AUTH "%s\"><Challenge>",
                      params->allowed_ips.len == 0 ? "2.0" : "2.1");
    kv_buf_add_bytes(out, params->challenge);
    kv_buf_add_format(out, "</Challenge><ContextIdentifier><%s>", type);
    bool fits = add_text(out, context.value);
    assert(fits); /* the grammars of contexts are ASCII */
    kv_buf_add_format(out, "</%s></ContextIdentifier><SubjectIdentifierType>%s", type,
                      params->subject == KV_AUTH_SUBJECT_FINGERPRINT ? "certificateFingerprint"
                                                                     : "certificateSubject");
    kv_buf_add_str(out, "</SubjectIdentifierType>");
    kv_allowed_ips_xml(params->allowed_ips, out);
    return KV_OK;
}

static enum kv_code write_issuer(X509 *cert, struct kv_buf *out, struct kv_err *err)
{
    KV_CLEANUP(kv_buf_clear) struct kv_buf name;
    kv_buf_init(&name, ISSUER_MAX);
    enum kv_code code = kv_x509_issuer_text(cert, &name, err);
    if (code != KV_OK) {
        return code;
    }
    if (!add_text(out, kv_buf_bytes(&name))) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "the issuer's name has a character that XML cannot hold");
    }
    return KV_OK;
}

/* SignedProperties. The prefix ds is declared on every ds: element because exclusive
 * canonicalisation renders it there: no ancestor inside SignedProperties uses it. */
static enum kv_code write_properties(struct kv_auth_request *request,
                                     const struct kv_auth_request_params *params, X509 *cert,
                                     struct kv_err *err)
{
    char time[KV_TIME_S_LEN], digest[KV_HASH_BASE64_LEN];
    kv_time_format_s(params->signing_time_ms, time);
    struct kv_hash hash = kv_hash(params->certificate);
    kv_hash_base64(&hash, digest);
    struct kv_buf *out = &request->signed_properties;
    kv_buf_add_format(
        out,
        "<xades:SignedProperties" NS_XADES " Id=\"sp-1\"><xades:SignedSignatureProperties>"
        "<xades:SigningTime>%s</xades:SigningTime><xades:SigningCertificate><xades:Cert>"
        "<xades:CertDigest><ds:DigestMethod" NS_DS " Algorithm=\"" SHA256 "\"></ds:DigestMethod>"
        "<ds:DigestValue" NS_DS ">%s</ds:DigestValue></xades:CertDigest><xades:IssuerSerial>"
        "<ds:X509IssuerName" NS_DS ">",
        time, digest);
    enum kv_code code = write_issuer(cert, out, err);
    if (code != KV_OK) {
        return code;
    }
    kv_buf_add_str(out, "</ds:X509IssuerName><ds:X509SerialNumber" NS_DS ">");
    code = kv_x509_serial_decimal(cert, out, err);
    kv_buf_add_str(out, "</ds:X509SerialNumber></xades:IssuerSerial></xades:Cert>"
                        "</xades:SigningCertificate></xades:SignedSignatureProperties>"
                        "<xades:SignedDataObjectProperties>"
                        "<xades:DataObjectFormat ObjectReference=\"#ref-1\">"
                        "<xades:MimeType>text/xml</xades:MimeType></xades:DataObjectFormat>"
                        "</xades:SignedDataObjectProperties></xades:SignedProperties>");
    return code;
}

static void add_digest(struct kv_buf *out, const struct kv_hash *hash)
{
    char text[KV_HASH_BASE64_LEN];
    kv_hash_base64(hash, text);
    kv_buf_add_format(out,
                      "<ds:DigestMethod Algorithm=\"" SHA256 "\"></ds:DigestMethod>"
                      "<ds:DigestValue>%s</ds:DigestValue></ds:Reference>",
                      text);
}

static void write_signed_info(struct kv_auth_request *request)
{
    struct kv_hash document =
        kv_hash3(kv_buf_bytes(&request->document), kv_bytes_str(root_end), KV_BYTES_NULL);
    struct kv_hash properties = kv_hash(kv_buf_bytes(&request->signed_properties));
    struct kv_buf *out = &request->signed_info;
    kv_buf_add_format(
        out,
        "<ds:SignedInfo" NS_DS "><ds:CanonicalizationMethod Algorithm=\"" EXC_C14N "\">"
        "</ds:CanonicalizationMethod><ds:SignatureMethod "
        "Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#%s-sha256\"></ds:SignatureMethod>"
        "<ds:Reference Id=\"ref-1\" URI=\"\"><ds:Transforms>" TRANSFORM(
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature")
            TRANSFORM(EXC_C14N) "</ds:Transforms>",
        request->key == KV_KSEF_KEY_RSA ? "rsa" : "ecdsa");
    add_digest(out, &document);
    kv_buf_add_str(out, "<ds:Reference Type=\"http://uri.etsi.org/01903#SignedProperties\" "
                        "URI=\"#sp-1\"><ds:Transforms>" TRANSFORM(EXC_C14N) "</ds:Transforms>");
    add_digest(out, &properties);
    kv_buf_add_str(out, "</ds:SignedInfo>");
    request->digest = kv_hash(kv_buf_bytes(out));
}

static enum kv_code read_key(struct kv_auth_request *request, struct kv_bytes certificate,
                             struct kv_err *err)
{
    struct kv_certificate_info info;
    enum kv_code code = kv_certificate_inspect(certificate, &info, err);
    if (code == KV_OK) {
        request->key = info.key;
        request->spki_len = info.spki_len;
        memcpy(request->spki, info.spki, info.spki_len);
    }
    return code;
}

enum kv_code kv_auth_request_begin(const struct kv_auth_request_params *params,
                                   struct kv_auth_request **out, struct kv_err *err)
{
    KV_CLEANUP(kv_auth_request_freep)
    struct kv_auth_request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for a login");
    }
    kv_buf_init(&request->document, 4096);
    kv_buf_init(&request->signed_properties, 2 * ISSUER_MAX);
    kv_buf_init(&request->signed_info, 2048);
    kv_buf_init(&request->certificate, KV_BASE64_LEN(KV_CERTIFICATE_MAX));
    KV_CLEANUP(kv_x509_freep) X509 *cert = NULL;
    enum kv_code code = write_document(request, params, err);
    if (code == KV_OK) {
        code = read_key(request, params->certificate, err);
    }
    if (code == KV_OK) {
        code = kv_x509_parse(params->certificate, &cert, err);
    }
    if (code == KV_OK) {
        code = write_properties(request, params, cert, err);
    }
    if (code != KV_OK) {
        return code;
    }
    write_signed_info(request);
    kv_buf_add_base64(&request->certificate, params->certificate);
    if (request->document.failed || request->signed_properties.failed ||
        request->signed_info.failed || request->certificate.failed) {
        return KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "the login's document would be too large");
    }
    *out = request;
    request = NULL; /* handed over */
    return KV_OK;
}

const struct kv_hash *kv_auth_request_digest(const struct kv_auth_request *request)
{
    return &request->digest;
}

enum kv_ksef_key kv_auth_request_key(const struct kv_auth_request *request)
{
    return request->key;
}

struct kv_bytes kv_auth_request_signed_info(const struct kv_auth_request *request)
{
    return kv_buf_bytes(&request->signed_info);
}

enum kv_code kv_auth_request_finish(const struct kv_auth_request *request,
                                    struct kv_bytes signature, struct kv_buf *out,
                                    struct kv_err *err)
{
    /* KSeF would say only "signature negative", and the challenge would be spent. */
    enum kv_code code = kv_ksef_key_verify(kv_bytes(request->spki, request->spki_len),
                                           &request->digest, signature, err);
    if (code != KV_OK) {
        return code;
    }
    kv_buf_add_bytes(out, kv_buf_bytes(&request->document));
    kv_buf_add_str(out, "<ds:Signature" NS_DS " Id=\"sig-1\">");
    kv_buf_add_bytes(out, kv_buf_bytes(&request->signed_info));
    kv_buf_add_str(out, "<ds:SignatureValue>");
    kv_buf_add_base64(out, signature);
    kv_buf_add_str(out, "</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>");
    kv_buf_add_bytes(out, kv_buf_bytes(&request->certificate));
    kv_buf_add_str(out, "</ds:X509Certificate></ds:X509Data></ds:KeyInfo><ds:Object>"
                        "<xades:QualifyingProperties" NS_XADES " Target=\"#sig-1\">");
    kv_buf_add_bytes(out, kv_buf_bytes(&request->signed_properties));
    kv_buf_add_str(out, "</xades:QualifyingProperties></ds:Object></ds:Signature>");
    kv_buf_add_str(out, root_end);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for the login's document") : KV_OK;
}

void kv_auth_request_free(struct kv_auth_request *request)
{
    if (request != NULL) {
        kv_buf_clear(&request->document);
        kv_buf_clear(&request->signed_properties);
        kv_buf_clear(&request->signed_info);
        kv_buf_clear(&request->certificate);
        free(request);
    }
}

void kv_auth_request_freep(struct kv_auth_request **request)
{
    kv_auth_request_free(*request);
    *request = NULL;
}
