/* The signed document of a login by certificate: AuthTokenRequest (schema 2.0, or 2.1 with
 * allowed addresses) with an
 * enveloped XAdES signature (BASELINE-B with SigningCertificate v1). The bytes are written so that
 * they are in exclusive canonical form already (W3C xml-exc-c14n): the three hash inputs are slices
 * of the text, and no XML library is needed where the key is.
 *
 * What is signed is built here from challenge, context and time, never taken from a caller as a
 * bare hash: the process at the key knows which context it logs into.
 *
 * No JSON and no sockets here: the keeper links this. */
#ifndef KV_KSEF_AUTHREQUEST_H
#define KV_KSEF_AUTHREQUEST_H

#include "core/name.h"
#include "ksef/key.h"

#define KV_AUTH_REQUEST_MAX   32768 /* bytes of the document: two thirds of a frame */
#define KV_AUTH_CHALLENGE_LEN 37    /* 20250604-CR-461EA5B000-537A6BA15D-D7 and NUL */

/* KSeF API 2.0: SubjectIdentifierType. By the NIP or PESEL in the certificate, or by its SHA-256.
 */
enum kv_auth_subject { KV_AUTH_SUBJECT_CERTIFICATE, KV_AUTH_SUBJECT_FINGERPRINT };

struct kv_auth_request_params {
    struct kv_bytes challenge; /* as KSeF gave it; its pattern is checked */
    struct kv_bytes context;   /* `Nip:5265877635`; checked by kv_context_parse */
    enum kv_auth_subject subject;
    struct kv_bytes allowed_ips; /* ksef/allowedips.h; empty: none, and schema 2.0 */
    int64_t signing_time_ms;     /* the caller back-dates by 60 s: KSeF's clock may be behind */
    struct kv_bytes certificate; /* DER */
};

struct kv_auth_request;

bool kv_auth_challenge_valid(struct kv_bytes in);

/* *out is owned by the caller. Errors: KV_E_KSEF_ANSWER (challenge), KV_E_INPUT_VALUE,
 * KV_E_INPUT_NIP (context, certificate), KV_E_INPUT_TOO_LARGE, KV_E_NO_MEMORY. Whether the
 * certificate is valid now is asked with kv_certificate_check_login. */
KV_MUST_USE enum kv_code kv_auth_request_begin(const struct kv_auth_request_params *params,
                                               struct kv_auth_request **out, struct kv_err *err);
/* SHA-256 of SignedInfo: what the token signs, with ECDSA or RSA PKCS#1 v1.5 as the key's type
 * says. Borrowed. */
const struct kv_hash *kv_auth_request_digest(const struct kv_auth_request *request);
enum kv_ksef_key kv_auth_request_key(const struct kv_auth_request *request);
/* SignedInfo itself, for signers that hash themselves. Borrowed. */
struct kv_bytes kv_auth_request_signed_info(const struct kv_auth_request *request);
/* Check the raw signature (R‖S of 64 bytes, or RSA) against the certificate's key and append the
 * document to `out`: exactly these bytes are sent. Its SHA-256 is what KSeF's UPO names later, so
 * record it. Errors: KV_E_TOKEN (not a signature by this key), KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_auth_request_finish(const struct kv_auth_request *request,
                                                struct kv_bytes signature, struct kv_buf *out,
                                                struct kv_err *err);
void kv_auth_request_free(struct kv_auth_request *request);
void kv_auth_request_freep(struct kv_auth_request **request);

#endif
