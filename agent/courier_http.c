#include "agent/courier_http.h"

#include "agent/courier_http_call.h"

#include <netdb.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#define IDLE_CONNECTIONS 2L /* kept open between requests */

struct kv_courier_http {
    struct kv_loop *loop;
    CURLM *multi;
    struct kv_timer *timer;
    struct kv_courier_setup setup;
    struct kv_courier_call *calls; /* under way */
    size_t count;
    bool calling_back;
};

/* A socket of libcurl that our loop watches; libcurl keeps it for us (curl_multi_assign). */
struct watch {
    struct kv_courier_http *http;
    struct kv_source *source;
    int fd;
};

enum kv_code kv_courier_warm_up(const char *url, struct kv_err *err)
{
    /* libcurl appends the TLS keys to the file that this names. */
    (void)unsetenv("SSLKEYLOGFILE"); /* fails for malformed names only */
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (rc != CURLE_OK) {
        return KV_FAIL(err, KV_E_INTERNAL, ((struct kv_cause){KV_CAUSE_CURL, (unsigned long)rc}),
                       "libcurl cannot start");
    }
    char *host = NULL;
    CURLU *parsed = curl_url();
    bool known = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                 curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    curl_url_cleanup(parsed);
    if (!known) {
        return KV_REFUSE(err, KV_E_CONFIG, "'%s' is not a URL with a host", url);
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, "https", &hints, &found) == 0) {
        freeaddrinfo(found); /* only the loading of NSS modules counts */
    }
    curl_free(host);
    tzset(); /* else TLS opens /etc/localtime later */
    return KV_OK;
}

static void unlink_call(struct kv_courier_call *call)
{
    struct kv_courier_http *http = call->http;
    struct kv_courier_call **at = &http->calls;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    http->count--;
    (void)curl_multi_remove_handle(http->multi, call->easy); /* it was added */
}

/* Tell the caller, who may start and cancel other calls meanwhile. */
static void finish_call(struct kv_courier_call *call, CURLcode rc)
{
    struct kv_courier_http *http = call->http;
    struct kv_courier_result result;
    unlink_call(call);
    call->finished = true; /* to cancel it now is too late, and harmless */
    kv_courier_call_result(call, rc, &result);
    http->calling_back = true;
    call->done(call->ctx, &result);
    http->calling_back = false;
    kv_courier_call_free(call);
}

/* After each step of libcurl: what has ended, or everything when libcurl itself gave up. */
static void after_step(struct kv_courier_http *http, CURLMcode rc)
{
    while (rc != CURLM_OK && http->calls != NULL) {
        finish_call(http->calls, CURLE_FAILED_INIT);
    }
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct kv_courier_call *call = NULL;
        CURLcode ended = message->data.result; /* the message dies with the handle's removal */
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK) {
            finish_call(call, ended);
        }
    }
}

static void on_ready(void *ctx, uint32_t events)
{
    const struct watch *watch = ctx;
    struct kv_courier_http *http = watch->http; /* the watch may be gone after the step */
    int mask = ((events & (EPOLLIN | EPOLLHUP)) != 0 ? CURL_CSELECT_IN : 0) |
               ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
               ((events & EPOLLERR) != 0 ? CURL_CSELECT_ERR : 0);
    int running;
    after_step(http, curl_multi_socket_action(http->multi, watch->fd, mask, &running));
}

static void on_due(void *ctx)
{
    struct kv_courier_http *http = ctx;
    int running;
    after_step(http, curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running));
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct kv_courier_http *http = ctx;
    if (timeout_ms < 0) {
        kv_timer_disarm(http->timer);
    } else {
        kv_timer_arm(http->timer, timeout_ms);
    }
    return 0;
}

static uint32_t events_of(int what)
{
    return ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
           ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
}

static int start_watch(struct kv_courier_http *http, int fd, int what)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return -1;
    }
    *watch = (struct watch){.http = http, .fd = fd};
    if (kv_loop_watch(http->loop, fd, events_of(what), on_ready, watch, &watch->source, NULL) !=
            KV_OK ||
        curl_multi_assign(http->multi, fd, watch) != CURLM_OK) {
        kv_loop_unwatch(&watch->source);
        free(watch);
        return -1;
    }
    return 0;
}

/* libcurl wants a socket watched, otherwise watched, or no longer (before it closes it). -1 makes
 * the step fail, which ends all calls. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    (void)easy;
    struct watch *watch = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            kv_loop_unwatch(&watch->source);
            free(watch);
        }
        return 0;
    }
    if (watch == NULL) {
        return start_watch(ctx, fd, what);
    }
    return kv_loop_change(watch->source, events_of(what), NULL) == KV_OK ? 0 : -1;
}

static bool set_multi(struct kv_courier_http *http)
{
    CURLM *multi = http->multi;
    return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)KV_COURIER_CALLS_MAX) ==
               CURLM_OK;
}

enum kv_code kv_courier_http_new(struct kv_loop *loop, const struct kv_courier_config *config,
                                 struct kv_courier_http **out, struct kv_err *err)
{
    KV_CLEANUP(kv_courier_http_freep) struct kv_courier_http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for the HTTP client");
    }
    http->loop = loop;
    enum kv_code code = kv_courier_setup_make(config, &http->setup, err);
    if (code != KV_OK) {
        return code;
    }
    http->timer = kv_timer_new(loop, on_due, http);
    http->multi = curl_multi_init();
    if (http->multi == NULL || !set_multi(http)) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "libcurl could not be prepared");
    }
    *out = http;
    http = NULL; /* handed over */
    return KV_OK;
}

void kv_courier_http_free(struct kv_courier_http *http)
{
    if (http == NULL) {
        return;
    }
    assert(!http->calling_back);
    while (http->calls != NULL) {
        kv_courier_http_cancel(http->calls);
    }
    (void)curl_multi_cleanup(http->multi); /* closes idle connections; NULL is fine */
    kv_timer_free(http->timer);
    kv_courier_setup_clear(&http->setup);
    free(http);
}

void kv_courier_http_freep(struct kv_courier_http **http)
{
    kv_courier_http_free(*http);
    *http = NULL;
}

enum kv_code kv_courier_http_start(struct kv_courier_http *http,
                                   const struct kv_courier_request *request,
                                   kv_courier_done_fn *done, void *ctx,
                                   struct kv_courier_call **out, struct kv_err *err)
{
    if (http->count >= KV_COURIER_CALLS_MAX) {
        return KV_REFUSE(err, KV_E_BUSY, "%d calls to KSeF are under way", KV_COURIER_CALLS_MAX);
    }
    KV_CLEANUP(kv_courier_call_freep) struct kv_courier_call *call = NULL;
    enum kv_code code = kv_courier_call_new(&http->setup, request, &call, err);
    if (code != KV_OK) {
        return code;
    }
    call->http = http;
    call->done = done;
    call->ctx = ctx;
    CURLMcode rc = curl_multi_add_handle(http->multi, call->easy); /* arms the timer */
    if (rc != CURLM_OK) {
        return KV_FAIL(err, KV_E_IO, ((struct kv_cause){KV_CAUSE_CURL, (unsigned long)rc}),
                       "libcurl takes no more requests");
    }
    call->next = http->calls;
    http->calls = call;
    http->count++;
    if (out != NULL) {
        *out = call;
    }
    call = NULL; /* handed over to the client */
    return KV_OK;
}

void kv_courier_http_cancel(struct kv_courier_call *call)
{
    if (!call->finished) {
        unlink_call(call);
        kv_courier_call_free(call);
    }
}

size_t kv_courier_http_count(const struct kv_courier_http *http)
{
    return http->count;
}
