/* The login by KSeF token (KSeF API 2.0, POST /auth/ksef-token): the token and the challenge's time
 * encrypted to the ministry's public key, in the body that is sent. Token and ministry's key meet
 * here, where the token is unwrapped, so that it never leaves that process in clear.
 *
 * No JSON library and no sockets here: the keeper links this. The values of the body are checked
 * patterns, in which nothing needs escaping. */
#ifndef KV_KSEF_TOKENLOGIN_H
#define KV_KSEF_TOKENLOGIN_H

#include "core/buf.h"
#include "core/name.h"
#include "core/secret.h"

#define KV_KSEF_TOKEN_SECRET_MAX 160  /* bytes of a KSeF token (KSeF API 2.0, tokens) */
#define KV_TOKEN_LOGIN_MAX       8192 /* bytes of the body */

/* A token is opaque but for its beginning, its own public reference number: `<reference>|…`, of
 * visible ASCII characters. `reference` is the one that was approved; empty: any. Errors:
 * KV_E_INPUT_VALUE, which says what it looks like instead, never the token. */
KV_MUST_USE enum kv_code kv_ksef_token_check(struct kv_bytes token, struct kv_bytes reference,
                                             struct kv_err *err);

struct kv_token_login_params {
    struct kv_bytes challenge;   /* as KSeF gave it; its pattern is checked */
    int64_t timestamp_ms;        /* timestampMs of that challenge */
    struct kv_bytes context;     /* `Nip:5265877635`; checked by kv_context_parse */
    struct kv_bytes allowed_ips; /* ksef/allowedips.h; empty: none */
    struct kv_bytes certificate; /* DER, of the ministry's key */
};
/* Append the body; it holds publicKeyId, so that KSeF knows its key. RSA of 2048 to 4096 bits only:
 * what KSeF would do with another kind is not documented. Errors: KV_E_KSEF_ANSWER (challenge),
 * KV_E_KSEF_KEY (certificate), KV_E_INPUT_VALUE, KV_E_INPUT_NIP (context), KV_E_INTERNAL. */
KV_MUST_USE enum kv_code kv_token_login(const struct kv_token_login_params *params,
                                        struct kv_bytes token, struct kv_buf *out,
                                        struct kv_err *err);

#endif
