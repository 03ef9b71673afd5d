/* The calls of KSeF API 2.0 that the agent makes itself, as a table: what is not here is not
 * called.
 */
#ifndef KV_KSEF_CALL_H
#define KV_KSEF_CALL_H

#include "core/buf.h"
#include "core/err.h"

enum kv_ksef_call {
    KV_KSEF_CHALLENGE,       /* POST /auth/challenge */
    KV_KSEF_XADES,           /* POST /auth/xades-signature */
    KV_KSEF_TOKEN_LOGIN,     /* POST /auth/ksef-token */
    KV_KSEF_KEYS,            /* GET /security/public-key-certificates */
    KV_KSEF_STATUS,          /* GET /auth/{reference} */
    KV_KSEF_REDEEM,          /* POST /auth/token/redeem */
    KV_KSEF_REFRESH,         /* POST /auth/token/refresh */
    KV_KSEF_SESSION_CURRENT, /* DELETE /auth/sessions/current */
    KV_KSEF_SESSION_END,     /* DELETE /auth/sessions/{reference} */
    KV_KSEF_SESSIONS,        /* GET /auth/sessions: the newest hundred */
    KV_KSEF_CALL_COUNT
};

/* Which token a call wants. */
enum kv_ksef_bearer {
    KV_KSEF_BEARER_NONE,
    KV_KSEF_BEARER_AUTHENTICATION,
    KV_KSEF_BEARER_ACCESS,
    KV_KSEF_BEARER_REFRESH,
};

struct kv_ksef_call_row {
    const char *name;         /* for logs: "challenge" */
    const char *method;       /* "POST" */
    const char *path;         /* below the base URL */
    bool reference;           /* the path goes on with a reference number */
    const char *content_type; /* of the body; NULL: the call has none */
    int status;               /* HTTP status of success */
    enum kv_ksef_bearer bearer;
    bool single_use; /* a repetition is not the same call: send it on a fresh connection, for
                        libcurl repeats a request by itself when a reused one turns out dead */
};
const struct kv_ksef_call_row *kv_ksef_call_row(enum kv_ksef_call call);

/* Reference numbers: `20250625-AU-2FDC223000-C2BFC98A9C-4E`; the letters are the kind. */
#define KV_KSEF_REFERENCE_LEN 37 /* with NUL */
bool kv_ksef_reference_valid(struct kv_bytes in);
/* Append the path below the base URL. `reference` is "" for calls without one. Errors:
 * KV_E_INPUT_VALUE. */
KV_MUST_USE enum kv_code kv_ksef_call_path(enum kv_ksef_call call, struct kv_bytes reference,
                                           struct kv_buf *out, struct kv_err *err);

#endif
