/* KSeF's answers as checked structs. Everything from the network is hostile: bodies are capped,
 * JSON is strict (no duplicate keys, nothing behind it), unknown properties are ignored and unknown
 * enum values stay opaque (KSeF API 2.0, compatibility), patterns and lengths are checked. Texts
 * for people are cleaned: no control or hiding characters, cut at a character.
 *
 * Bodies with tokens are wiped by the reader, whether it succeeds or not; tokens live in kv_secret.
 * Only the courier links this. */
#ifndef KV_KSEF_REPLY_H
#define KV_KSEF_REPLY_H

#include "core/secret.h"
#include "ksef/call.h"

#define KV_KSEF_BODY_MAX  65536 /* bytes of any answer read here */
#define KV_KSEF_TOKEN_MAX 8192  /* bytes of a JWT; observed: below 2 KiB */

/* Make jansson wipe what it frees, since it copies tokens. Once per process, before any JSON is
 * touched; the one global setting of this module. */
void kv_ksef_json_init(void);

struct kv_ksef_challenge {
    char challenge[KV_KSEF_REFERENCE_LEN];
    int64_t timestamp_ms; /* KSeF's clock: compare with ours */
    char client_ip[46];   /* as KSeF saw us; "" if it is not an address */
};
/* Errors of all readers: KV_E_KSEF_ANSWER (not understood), KV_E_NO_MEMORY. Nothing is touched on
 * failure but a body that is wiped. */
KV_MUST_USE enum kv_code kv_ksef_read_challenge(struct kv_bytes body, struct kv_ksef_challenge *out,
                                                struct kv_err *err);

struct kv_ksef_token {
    struct kv_secret *token; /* owned */
    int64_t valid_until_ms;
};
void kv_ksef_token_clear(struct kv_ksef_token *token); /* for KV_CLEANUP too */

struct kv_ksef_login {
    char reference[KV_KSEF_REFERENCE_LEN];
    struct kv_ksef_token authentication; /* bearer of status and redeem; never leaves the agent */
};
/* The 202 of a login. `body` is wiped. */
KV_MUST_USE enum kv_code kv_ksef_read_login(uint8_t *body, size_t len, struct kv_ksef_login *out,
                                            struct kv_err *err);
void kv_ksef_login_clear(struct kv_ksef_login *login);

struct kv_ksef_tokens {
    struct kv_ksef_token access, refresh;
};
/* The 200 of redeem (both tokens). `body` is wiped. */
KV_MUST_USE enum kv_code kv_ksef_read_tokens(uint8_t *body, size_t len, struct kv_ksef_tokens *out,
                                             struct kv_err *err);
void kv_ksef_tokens_clear(struct kv_ksef_tokens *tokens);
/* The 200 of refresh (an access token only; the refresh token stays). `body` is wiped. */
KV_MUST_USE enum kv_code kv_ksef_read_refresh(uint8_t *body, size_t len, struct kv_ksef_token *out,
                                              struct kv_err *err);

/* The 200 of GET /auth/sessions: is the session `reference` among those that are open? *whole: the
 * list was not longer than this page, so that one that is not there is not open. */
KV_MUST_USE enum kv_code kv_ksef_read_sessions(struct kv_bytes body, const char *reference,
                                               bool *listed, bool *whole, struct kv_err *err);

#define KV_KSEF_TEXT_LEN 160

struct kv_ksef_status {
    int code; /* 100 in progress, 200 success, else failed */
    char description[KV_KSEF_TEXT_LEN];
    char details[KV_KSEF_TEXT_LEN]; /* joined with "; " */
};
/* The 200 of GET /auth/{reference}. */
KV_MUST_USE enum kv_code kv_ksef_read_status(struct kv_bytes body, struct kv_ksef_status *out,
                                             struct kv_err *err);
/* What the status means: KV_OK for 200, KV_E_KSEF_BUSY for 100 (ask again), else a failure of the
 * login, with KSeF's number and text in the message. Judged by number, never by text. */
KV_MUST_USE enum kv_code kv_ksef_status_code(const struct kv_ksef_status *status,
                                             struct kv_err *err);

/* An answer that is not the call's success. */
struct kv_ksef_reply {
    int http;
    struct kv_bytes content_type; /* header; empty if absent */
    struct kv_bytes retry_after;  /* header; empty if absent */
    struct kv_bytes body;
};
struct kv_ksef_error {
    int http;
    int ksef; /* KSeF's own code (21111 …); 0 if there is none */
    char description[KV_KSEF_TEXT_LEN];
    char details[KV_KSEF_TEXT_LEN];
    char reason[KV_KSEF_TEXT_LEN]; /* reasonCode of a 403 */
    uint32_t retry_after_s;        /* 0: none asked for; at most a day */
};
/* Understand an error in all shapes that are seen: problem details, the old exception, the status
 * object of a 429, and what is not KSeF's at all (firewall, gateway: KV_E_KSEF_ANSWER, or
 * KV_E_KSEF_SERVER for 5xx). Always returns an error code and sets *out. */
KV_MUST_USE enum kv_code kv_ksef_read_error(const struct kv_ksef_reply *reply,
                                            struct kv_ksef_error *out, struct kv_err *err);

/* Does the X-System-Warning header (`[code]: text | [code]: text`) hold `code`? Known: sig-001, the
 * signature's format is accepted no longer: a defect of ours. */
bool kv_ksef_warning_has(struct kv_bytes header, const char *code);
/* Copy text from outside as it may be shown: see above. */
void kv_ksef_text(struct kv_bytes in, char *out, size_t size);

#endif
