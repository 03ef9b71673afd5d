/* Certificates: making the self-signed one that KSeF's TEST environment takes for a qualified
 * signature or seal, and reading any that is used for logging in. The key is in a token, so making
 * one takes two steps: begin gives the digest, the token signs it, finish gives the certificate.
 *
 * No JSON and no sockets here: the keeper links this. */
#ifndef KV_KSEF_CERTIFICATE_H
#define KV_KSEF_CERTIFICATE_H

#include "ksef/key.h"

#define KV_CERTIFICATE_MAX        8192 /* bytes of DER; qualified ones have 2 to 3 KiB */
#define KV_CERTIFICATE_SERIAL_LEN 8    /* as KSeF's own: shown as 16 hex digits */
#define KV_CERTIFICATE_NAME_MAX   64   /* characters of a name's part (X.520 upper bounds) */

/* What the subject is (KSeF API 2.0, who is the subject): a seal of a company or the signature of a
 * person. The identifier decides who logs in. */
enum kv_certificate_kind {
    KV_CERTIFICATE_SEAL,         /* organizationIdentifier VATPL-<NIP> */
    KV_CERTIFICATE_PERSON_NIP,   /* serialNumber TINPL-<NIP> */
    KV_CERTIFICATE_PERSON_PESEL, /* serialNumber PNOPL-<PESEL> */
};

/* Texts are UTF-8, borrowed for the call. */
struct kv_certificate_params {
    enum kv_certificate_kind kind;
    bool offline;           /* for QR codes (nonRepudiation) instead of logins (digitalSignature) */
    struct kv_bytes number; /* ten digits NIP or eleven digits PESEL, check digit checked */
    struct kv_bytes common_name;               /* always */
    struct kv_bytes organisation;              /* seal only */
    struct kv_bytes given_name;                /* person only */
    struct kv_bytes surname;                   /* person only */
    struct kv_bytes spki;                      /* DER; appears in the certificate byte for byte */
    uint8_t serial[KV_CERTIFICATE_SERIAL_LEN]; /* random; the caller's. Made positive and 8 bytes
                                                  long here: first octet 0x01 to 0x7f */
    int64_t not_before_ms; /* the caller back-dates by 61 minutes: KSeF's clock may be behind */
    int64_t not_after_ms;
};

struct kv_certificate_draft;

/* *out is owned by the caller. Errors: KV_E_INPUT_VALUE, KV_E_INPUT_NIP, KV_E_INPUT_UTF8,
 * KV_E_INPUT_MISSING, KV_E_LIMIT, KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_certificate_begin(const struct kv_certificate_params *params,
                                              struct kv_certificate_draft **out,
                                              struct kv_err *err);
/* SHA-256 of the bytes to be signed; sign with ECDSA, or RSA PKCS#1 v1.5, as the key's type says.
 * Borrowed from the draft. */
const struct kv_hash *kv_certificate_digest(const struct kv_certificate_draft *draft);
enum kv_ksef_key kv_certificate_key(const struct kv_certificate_draft *draft);
/* The bytes to be signed, for signers that hash themselves. Borrowed from the draft. */
struct kv_bytes kv_certificate_tbs(const struct kv_certificate_draft *draft);
/* Check the raw signature and append the certificate (DER) to `out`. Errors: KV_E_TOKEN (not a
 * signature by this key), KV_E_NO_MEMORY, KV_E_LIMIT. */
KV_MUST_USE enum kv_code kv_certificate_finish(const struct kv_certificate_draft *draft,
                                               struct kv_bytes signature, struct kv_buf *out,
                                               struct kv_err *err);
void kv_certificate_draft_free(struct kv_certificate_draft *draft);
void kv_certificate_draft_freep(struct kv_certificate_draft **draft);

/* What a certificate's key may do at KSeF, from its key usage. */
enum kv_certificate_usage {
    KV_CERTIFICATE_NOTHING,        /* a key usage that fits neither */
    KV_CERTIFICATE_AUTHENTICATION, /* digitalSignature: logs in */
    KV_CERTIFICATE_OFFLINE,        /* nonRepudiation only: KOD II; login is refused */
    KV_CERTIFICATE_ANY,            /* both, or no key usage extension */
};

#define KV_CERTIFICATE_SERIAL_HEX_LEN 41 /* 20 octets (RFC 5280 4.1.2.2) and NUL */

struct kv_certificate_info {
    int64_t not_before_ms, not_after_ms;
    enum kv_ksef_key key;
    unsigned key_bits;
    enum kv_certificate_usage usage;
    char nip[11];                               /* of the subject; "" if it has none */
    char pesel[12];                             /* of the subject; "" if it has none */
    char serial[KV_CERTIFICATE_SERIAL_HEX_LEN]; /* upper-case hex, at least 16 digits */
    bool self_signed;                           /* verified with its own key */
    struct kv_hash sha256;                      /* of the DER */
    struct kv_hash spki_sha256;
    size_t spki_len;
    uint8_t spki[KV_KSEF_SPKI_MAX]; /* SubjectPublicKeyInfo, DER */
};

/* Read a certificate from hostile bytes: exactly one, DER, at most KV_CERTIFICATE_MAX, version 3,
 * a positive serial number of at most 20 octets, a key that KSeF accepts. Trust is not judged: only
 * KSeF can. Errors: KV_E_INPUT_VALUE, KV_E_INPUT_TOO_LARGE, KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code
kv_certificate_inspect(struct kv_bytes der, struct kv_certificate_info *out, struct kv_err *err);
/* May this certificate log in now with the key `spki`? Refused before KSeF is asked, so that the
 * reason is ours and clear: another key (KV_E_CRED_STATE), offline usage (KV_E_CRED_STATE), not
 * valid at `now_ms` (KV_E_CERT_EXPIRED). */
KV_MUST_USE enum kv_code kv_certificate_check_login(const struct kv_certificate_info *info,
                                                    struct kv_bytes spki, int64_t now_ms,
                                                    struct kv_err *err);

#endif
