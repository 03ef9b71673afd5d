/* The links behind the QR codes of an invoice (KSeF API 2.0, offline QR codes): KOD I names the
 * invoice, KOD II the certificate of who issued it, with a signature. Building, taking apart and
 * checking; the key is in a token, so signing is somebody else's.
 *
 *   KOD I    https://HOST/invoice/SELLER/DD-MM-YYYY/HASH
 *   KOD II   https://HOST/certificate/TYPE/CONTEXT/SELLER/SERIAL/HASH/SIGNATURE
 *
 * What is signed is KOD II without `https://` and without the last slash and the signature. HASH
 * and SIGNATURE are base64url without padding. The host names the environment, so a code of TEST is
 * never one of PROD.
 *
 * No JSON and no sockets here: the keeper links this. */
#ifndef KV_KSEF_QR_H
#define KV_KSEF_QR_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"
#include "core/name.h"
#include "ksef/certificate.h"
#include "ksef/key.h"

#define KV_QR_LINK_MAX   1024 /* bytes; with RSA-4096 a KOD II has 840 */
#define KV_QR_DATE_LEN   11   /* YYYY-MM-DD and NUL */
#define KV_QR_TEXT_MAX   256  /* bytes of what is signed */
#define KV_QR_HASH_CHARS 43
#define KV_CODES_MAX     64 /* invoices of one call: a slot is busy for 30 ms with RSA */

enum kv_qr_kind { KV_QR_INVOICE, KV_QR_CERTIFICATE };

/* What KOD II says; texts are borrowed. */
struct kv_qr_issuer {
    struct kv_bytes environment; /* test, demo, prod */
    struct kv_bytes context;     /* Type:value */
    struct kv_bytes seller;      /* NIP, ten digits */
    struct kv_bytes serial;      /* of the Offline certificate, upper-case hex */
};

/* The front of what is signed, up to the hash: the same for all invoices of a batch. Checks the
 * context, both NIPs and the serial number. Errors: KV_E_INPUT_VALUE, KV_E_INPUT_NIP. */
KV_MUST_USE enum kv_code kv_qr_front(const struct kv_qr_issuer *issuer, struct kv_buf *out,
                                     struct kv_err *err);
/* What is signed for this invoice is front ‖ hash; its SHA-256, once (not a hash of a hash). */
struct kv_hash kv_qr_digest(struct kv_bytes front, const struct kv_hash *invoice);
/* Append KOD II. `signature` is R‖S or RSASSA-PSS, as a token returns it. */
void kv_qr_certificate_link(struct kv_bytes front, const struct kv_hash *invoice,
                            struct kv_bytes signature, struct kv_buf *out);
/* Append KOD I. `date` is P_1 of the invoice, YYYY-MM-DD. Errors: KV_E_INPUT_VALUE, KV_E_INPUT_NIP.
 */
KV_MUST_USE enum kv_code kv_qr_invoice_link(struct kv_bytes environment, struct kv_bytes seller,
                                            struct kv_bytes date, const struct kv_hash *invoice,
                                            struct kv_buf *out, struct kv_err *err);

/* A link taken apart. */
struct kv_qr {
    enum kv_qr_kind kind;
    char environment[5];
    char seller[11];
    struct kv_hash invoice;
    char date[KV_QR_DATE_LEN];                  /* KOD I: YYYY-MM-DD */
    char context[KV_CONTEXT_LEN];               /* KOD II */
    char serial[KV_CERTIFICATE_SERIAL_HEX_LEN]; /* KOD II */
    uint8_t signature[KV_KSEF_SIGNATURE_MAX];   /* KOD II */
    size_t signature_len;
    struct kv_hash digest; /* KOD II: of what was signed */
};

/* Take a link apart, from hostile bytes: exactly one of both forms, at most KV_QR_LINK_MAX bytes.
 * Errors: KV_E_CODE_LINK. */
KV_MUST_USE enum kv_code kv_qr_parse(struct kv_bytes link, struct kv_qr *out, struct kv_err *err);
/* Was this KOD II signed with the key of this certificate (DER), and may that key sign codes? ECDSA
 * as R‖S or DER, RSASSA-PSS with SHA-256 and a salt of 32. Time and revocation are not judged: only
 * KSeF knows. Errors: KV_E_CODE_CERTIFICATE (another serial number, or not an Offline certificate),
 * KV_E_CODE_SIGNATURE, those of kv_certificate_inspect. */
KV_MUST_USE enum kv_code kv_qr_verify(const struct kv_qr *qr, struct kv_bytes certificate,
                                      struct kv_err *err);

#endif
