/* The courier's HTTP client: libcurl's multi interface on the program's event loop, talking to one
 * host over TLS and to nothing else. Every curl_* call of the product is in courier_http*.c.
 *
 * Fixed, not configurable: https only, no redirects, peer and host always verified, TLS 1.2 or
 * newer, HTTP/1.1, no cookies, no content encodings, no environment variable (proxies, key log),
 * bodies with a hard maximum. The CA file is read once, before the sandbox.
 *
 * Secrets: the bearer line is kept in kv_secret and lent to libcurl, which copies it into its send
 * buffer, and TLS keeps what it has read and written for a while (class B: memory of a process that
 * can't be dumped). The answer's body is kept in kv_secret and wiped after the callback.
 *
 * Debian's libcurl resolves names in a thread of its own; we start none. Freeing a
 * client while a name is being resolved waits for the resolver. */
#ifndef KV_AGENT_COURIER_HTTP_H
#define KV_AGENT_COURIER_HTTP_H

#include "agent/loop.h"
#include "core/secret.h"

#define KV_COURIER_BODY_MAX     65000 /* bytes of an answer: one secret of 64 KiB with its head */
#define KV_COURIER_REQUEST_MAX  65536 /* bytes of a request body */
#define KV_COURIER_CALLS_MAX    6     /* at the same time: 384 KiB of the secure heap at most */
#define KV_COURIER_DEADLINE_MAX 60000 /* ms */

struct kv_courier_config {
    const char *url;     /* https://host[:port][/path]: what the paths of requests are below */
    const char *ca_file; /* PEM; NULL: the system's */
    const char *proxy;   /* http://host:port; NULL: none, whatever the environment says */
    const struct kv_secret *proxy_credentials; /* `user:password` for Basic; NULL: none */
    int64_t connect_ms;                        /* until TLS stands; 0: 10 s */
    int64_t idle_ms;                           /* without a byte moving; 0: 20 s */
};

/* Once per process, before the first client and before the sandbox: sets libcurl up, loads what
 * the resolver loads later (NSS modules), and takes variables out of the environment that would
 * make TLS write its keys to a file. `url` as above: its host is resolved once; failing that is
 * fine. */
KV_MUST_USE enum kv_code kv_courier_warm_up(const char *url, struct kv_err *err);

struct kv_courier_http;
struct kv_courier_call; /* one request under way; valid until its callback returns */

/* *out is owned by the caller. `loop` outlives it. Errors: KV_E_CONFIG, KV_E_IO (CA file),
 * KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_courier_http_new(struct kv_loop *loop,
                                             const struct kv_courier_config *config,
                                             struct kv_courier_http **out, struct kv_err *err);
/* Ends what is under way without calling back. Not inside a callback. */
void kv_courier_http_free(struct kv_courier_http *http);
void kv_courier_http_freep(struct kv_courier_http **http);

/* Everything is borrowed for the call only and copied where needed. */
struct kv_courier_request {
    const char *method;             /* GET, POST, PUT, DELETE */
    const char *path;               /* "/auth/challenge": visible ASCII, no '#', below the url */
    struct kv_bytes body;           /* POST, PUT; may be empty */
    const char *content_type;       /* NULL: none is sent */
    const struct kv_secret *bearer; /* NULL: none */
    int64_t deadline_ms;            /* 1 to KV_COURIER_DEADLINE_MAX, for the whole exchange */
    size_t body_max;                /* of the answer; 0: KV_COURIER_BODY_MAX */
    bool fresh; /* a new connection: for calls that must not be sent twice (libcurl repeats a
                   request by itself when a reused connection turns out dead) */
};

#define KV_COURIER_HEADER_LEN 256

struct kv_courier_result {
    enum kv_code code; /* KV_OK: an HTTP answer is here, of any status. Else KV_E_KSEF_UNREACHABLE,
                          KV_E_KSEF_TLS, KV_E_TIMEOUT, KV_E_KSEF_ANSWER (too large, broken off,
                          not HTTP), KV_E_NO_MEMORY */
    struct kv_err err;
    bool sent; /* KSeF may have seen the request: after this, a failure is an unknown outcome */
    int status;
    char content_type[KV_COURIER_HEADER_LEN]; /* headers: "" if absent or longer than this */
    char retry_after[KV_COURIER_HEADER_LEN];
    char warning[KV_COURIER_HEADER_LEN]; /* X-System-Warning; cut */
    uint8_t *body;                       /* may be overwritten; wiped after the callback */
    size_t body_len;
};
/* Called exactly once for each request that was started and not cancelled, from the loop, never
 * from within kv_courier_http_start. It may start and cancel others. */
typedef void kv_courier_done_fn(void *ctx, struct kv_courier_result *result);

/* Errors: KV_E_LIMIT, KV_E_BUSY (KV_COURIER_CALLS_MAX under way), KV_E_NO_MEMORY. `call` may be
 * NULL. */
KV_MUST_USE enum kv_code kv_courier_http_start(struct kv_courier_http *http,
                                               const struct kv_courier_request *request,
                                               kv_courier_done_fn *done, void *ctx,
                                               struct kv_courier_call **call, struct kv_err *err);
/* Break off; the callback is not called. */
void kv_courier_http_cancel(struct kv_courier_call *call);
size_t kv_courier_http_count(const struct kv_courier_http *http); /* under way */

#endif
