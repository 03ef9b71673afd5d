#include "client/api.h"

#include "client/arguments.h"
#include "core/secret.h"
#include "core/time.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define CONNECT_TIMEOUT_MS 5000
#define ANSWER_SLACK_MS    15000 /* above what the agent itself may wait */
#define TARGET_MAX         2048
#define HEADER_MAX         128
#define SOCKET_PATH_MAX    108 /* sun_path */

struct kv_api {
    char *socket_path;
    CURL *curl; /* kept: one connection serves all calls */
    unsigned wait_s;
    char idempotency[KV_IDEMPOTENCY_LEN];
    char error[CURL_ERROR_SIZE];
    kv_api_tick_fn *tick;
    void *tick_ctx;
    uint64_t began_us; /* of the call under way */
    unsigned ticked_s;
};

/* An answer on its way in; it may hold an access token. */
struct reply {
    struct kv_buf body;
};

void kv_api_answer_clear(struct kv_api_answer *answer)
{
    json_decref(answer->body);
    *answer = (struct kv_api_answer){0, NULL};
}

struct kv_api *kv_api_new(const char *socket_path)
{
    struct kv_api *api = calloc(1, sizeof *api);
    if (api == NULL || (api->socket_path = strdup(socket_path)) == NULL) {
        abort();
    }
    api->wait_s = KV_WAIT_MAX_S;
    return api;
}

void kv_api_free(struct kv_api *api)
{
    if (api != NULL) {
        curl_easy_cleanup(api->curl);
        free(api->socket_path);
        free(api);
    }
}

void kv_api_freep(struct kv_api **api)
{
    kv_api_free(*api);
    *api = NULL;
}

const char *kv_api_socket(const struct kv_api *api)
{
    return api->socket_path;
}

void kv_api_set_wait(struct kv_api *api, unsigned seconds)
{
    assert(seconds <= KV_WAIT_MAX_S);
    api->wait_s = seconds;
}

void kv_api_set_idempotency_key(struct kv_api *api, const char *key)
{
    size_t len = strlen(key);
    assert(len > 0 && len < sizeof api->idempotency);
    memcpy(api->idempotency, key, len + 1);
}

void kv_api_set_tick(struct kv_api *api, kv_api_tick_fn *fn, void *ctx)
{
    api->tick = fn;
    api->tick_ctx = ctx;
}

/* libcurl calls this at least once a second; the numbers of bytes mean nothing here. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct kv_api *api = ctx;
    unsigned seconds = (unsigned)((kv_time_mono_us() - api->began_us) / 1000000);
    (void)a, (void)b, (void)c, (void)d;
    if (api->tick != NULL && seconds > api->ticked_s) {
        api->ticked_s = seconds;
        api->tick(api->tick_ctx, seconds);
    }
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct reply *reply = ctx;
    kv_buf_add(&reply->body, data, size * count);
    return reply->body.failed ? 0 : size * count; /* 0 ends the transfer */
}

/* curl_easy_setopt checks the types of its arguments at compile time; what can fail at run time is
 * memory. */
#define SET(option, value) good = good && curl_easy_setopt(api->curl, option, value) == CURLE_OK

static bool set_common(struct kv_api *api, const char *url, struct reply *reply)
{
    bool good = true;
    curl_easy_reset(api->curl);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_UNIX_SOCKET_PATH, api->socket_path);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* whatever http_proxy says: the agent is local */
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_USERAGENT, "ksefvault/" KV_VERSION);
    SET(CURLOPT_ERRORBUFFER, api->error);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    SET(CURLOPT_TIMEOUT_MS, (long)api->wait_s * 1000 + ANSWER_SLACK_MS);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, (void *)api);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, (void *)reply);
    return good;
}

static bool add_header(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    *list = longer == NULL ? *list : longer;
    return longer != NULL;
}

static bool idempotency_header(struct kv_api *api, struct curl_slist **headers)
{
    char header[HEADER_MAX];
    if (api->idempotency[0] == '\0') {
        uint8_t random[24];
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
            return false;
        }
        kv_base64url_encode(kv_bytes(random, sizeof random), api->idempotency);
    }
    int n = snprintf(header, sizeof header, "Idempotency-Key: %s", api->idempotency);
    api->idempotency[0] = '\0';
    return n > 0 && n < (int)sizeof header && add_header(headers, header);
}

static bool set_request(struct kv_api *api, const struct kv_call_row *row,
                        const struct kv_buf *body, struct curl_slist **headers)
{
    char prefer[32];
    bool good = true;
    int n = snprintf(prefer, sizeof prefer, "Prefer: wait=%u", api->wait_s);
    good = n > 0 && add_header(headers, prefer) && add_header(headers, "Expect:");
    if (row->method[0] == 'P') {
        good = good && add_header(headers, "Content-Type: application/json") &&
               idempotency_header(api, headers);
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE, (long)body->len);
        SET(CURLOPT_POSTFIELDS, kv_buf_str(body));
    }
    if (row->method[0] == 'D') {
        SET(CURLOPT_CUSTOMREQUEST, row->method);
    }
    SET(CURLOPT_HTTPHEADER, *headers);
    return good;
}

static enum kv_code transport_error(const struct kv_api *api, CURLcode rc, struct kv_err *err)
{
    struct kv_cause cause = {KV_CAUSE_CURL, (unsigned long)rc};
    const char *why = api->error[0] != '\0' ? api->error : curl_easy_strerror(rc);
    if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST) {
        return KV_FAIL(err, KV_E_UNREACHABLE, cause, "no agent answers on %.107s",
                       api->socket_path);
    }
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        return KV_FAIL(err, KV_E_TIMEOUT, cause, "the agent did not answer in time");
    }
    if (rc == CURLE_WRITE_ERROR) {
        return KV_FAIL(err, KV_E_PROTOCOL, cause, "the answer is larger than %d bytes",
                       KV_CALL_REPLY_MAX);
    }
    if (rc == CURLE_GOT_NOTHING || rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR) {
        return KV_FAIL(err, KV_E_UNREACHABLE, cause, "the agent closed the connection: %.120s",
                       why);
    }
    return KV_FAIL(err, KV_E_PROTOCOL, cause, "talking to the agent: %.140s", why);
}

static enum kv_code read_answer(struct kv_api *api, const struct reply *reply,
                                struct kv_api_answer *answer, struct kv_err *err)
{
    long status = 0;
    json_error_t why;
    if (curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "the answer has no HTTP status");
    }
    answer->status = (int)status;
    answer->body =
        json_loadb(kv_buf_str(&reply->body), reply->body.len, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(answer->body)) {
        kv_api_answer_clear(answer);
        return KV_REFUSE(err, KV_E_PROTOCOL, "the answer (HTTP status %ld) is not a JSON object",
                         status);
    }
    return status >= 200 && status < 300 ? KV_OK
                                         : kv_api_problem(answer->body, answer->status, err);
}

static enum kv_code perform(struct kv_api *api, const struct kv_call_row *row, const char *url,
                            const struct kv_buf *body, struct kv_api_answer *answer,
                            struct kv_err *err)
{
    struct reply reply;
    struct curl_slist *headers = NULL;
    enum kv_code code;
    kv_buf_init(&reply.body, KV_CALL_REPLY_MAX);
    api->error[0] = '\0';
    api->began_us = kv_time_mono_us();
    api->ticked_s = 0;
    if (!set_common(api, url, &reply) || !set_request(api, row, body, &headers)) {
        code = KV_REFUSE(err, KV_E_NO_MEMORY, "cannot prepare the call");
    } else {
        CURLcode rc = curl_easy_perform(api->curl);
        code =
            rc == CURLE_OK ? read_answer(api, &reply, answer, err) : transport_error(api, rc, err);
    }
    curl_slist_free_all(headers);
    if (reply.body.data != NULL) {
        kv_wipe(reply.body.data, reply.body.cap);
    }
    kv_buf_clear(&reply.body);
    return code;
}

static enum kv_code ready(struct kv_api *api, struct kv_err *err)
{
    if (api->socket_path[0] != '/' || strlen(api->socket_path) >= SOCKET_PATH_MAX) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "the socket must be an absolute path of less than %d bytes",
                         SOCKET_PATH_MAX);
    }
    if (api->curl == NULL) {
        api->curl = curl_easy_init();
    }
    return api->curl != NULL ? KV_OK : KV_REFUSE(err, KV_E_NO_MEMORY, "libcurl");
}

enum kv_code kv_api_call(struct kv_api *api, enum kv_call call, json_t *args,
                         struct kv_api_answer *answer, struct kv_err *err)
{
    struct kv_buf url;
    struct kv_buf body;
    *answer = (struct kv_api_answer){0, NULL};
    kv_buf_init(&url, TARGET_MAX);
    kv_buf_init(&body, KV_CALL_BODY_MAX);
    kv_buf_add_str(&url, "http://ksefvault"); /* the socket decides who answers, not this name */
    enum kv_code code = ready(api, err);
    if (code == KV_OK) {
        code = kv_api_lay_out(call, args, &url, &body, err);
    }
    if (code == KV_OK) {
        code = perform(api, kv_call_row(call), kv_buf_str(&url), &body, answer, err);
    }
    json_decref(args);
    kv_buf_clear(&url);
    kv_buf_clear(&body);
    return code;
}
