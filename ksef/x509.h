/* Reading X.509 with OpenSSL, for the modules of this folder. */
#ifndef KV_KSEF_X509_H
#define KV_KSEF_X509_H

#include "ksef/certificate.h"

#include <openssl/x509.h>

/* One certificate from hostile bytes, within the bounds of kv_certificate_inspect. *out is owned by
 * the caller. Errors: KV_E_INPUT_VALUE, KV_E_INPUT_TOO_LARGE. */
KV_MUST_USE enum kv_code kv_x509_parse(struct kv_bytes der, X509 **out, struct kv_err *err);
void kv_x509_freep(X509 **cert);
/* The octets of the serial number; borrowed. Checked by kv_x509_parse: 1 to 20, not zero. */
struct kv_bytes kv_x509_serial(const X509 *cert);
/* Milliseconds since the epoch; false: not a time. */
bool kv_x509_time(const ASN1_TIME *time, int64_t *ms);
/* SHA-256 of the SubjectPublicKeyInfo, KSeF's publicKeyId (KSeF API 2.0, public keys). */
bool kv_x509_key_id(const X509 *cert, struct kv_hash *out);
/* Append the issuer as RFC 2253 text in UTF-8: last RDN first; types outside that RFC's table by
 * number, with their value in hex (2.4), since names for them are not agreed on. */
KV_MUST_USE enum kv_code kv_x509_issuer_text(const X509 *cert, struct kv_buf *out,
                                             struct kv_err *err);
/* Append the serial number in decimal. */
KV_MUST_USE enum kv_code kv_x509_serial_decimal(const X509 *cert, struct kv_buf *out,
                                                struct kv_err *err);

#endif
