/* Inside of the courier's HTTP client: one request as libcurl sees it. courier_http.c drives them
 * on the loop; courier_http_call.c makes them and reads how they ended. */
#ifndef KV_AGENT_COURIER_HTTP_CALL_H
#define KV_AGENT_COURIER_HTTP_CALL_H

#include "agent/courier_http.h"
#include "core/buf.h"

#include <curl/curl.h>

#define KV_COURIER_URL_MAX 2048 /* bytes, base and path each */

/* What all requests of a client share. */
struct kv_courier_setup {
    char *url;                     /* owned; no '/' at its end */
    char *proxy;                   /* owned; "" for none: libcurl then ignores the environment */
    struct kv_secret *proxy_login; /* `user:password` with NUL; NULL: none */
    struct kv_buf ca;              /* PEM, lent to libcurl */
    int64_t connect_ms, idle_ms;
};

struct kv_courier_call {
    struct kv_courier_http *http;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist bearer_node; /* in front of headers; lends libcurl the secret's text */
    struct kv_secret *bearer;
    uint8_t *request; /* owned copy, wiped */
    size_t request_len;
    struct kv_secret *body; /* of the answer; made with its first byte */
    size_t body_len, body_max, headers_len;
    bool too_large, no_memory, sent, finished;
    char curl_text[CURL_ERROR_SIZE];
    kv_courier_done_fn *done;
    void *ctx;
    struct kv_courier_call *next;
};

KV_MUST_USE enum kv_code kv_courier_setup_make(const struct kv_courier_config *config,
                                               struct kv_courier_setup *out, struct kv_err *err);
void kv_courier_setup_clear(struct kv_courier_setup *setup);

/* A call that is ready to be added to a multi handle; owned by the caller. */
KV_MUST_USE enum kv_code kv_courier_call_new(const struct kv_courier_setup *setup,
                                             const struct kv_courier_request *request,
                                             struct kv_courier_call **out, struct kv_err *err);
/* Removed from the multi handle before. */
void kv_courier_call_free(struct kv_courier_call *call);
void kv_courier_call_freep(struct kv_courier_call **call);
/* How it ended; the result borrows from the call. */
void kv_courier_call_result(struct kv_courier_call *call, CURLcode rc,
                            struct kv_courier_result *out);

#endif
