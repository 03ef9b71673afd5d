#include "agent/courier_http_call.h"

#include "core/parse.h"

#include <stdlib.h>

#define HEADERS_MAX 32768 /* bytes of an answer's headers; KSeF's: below 2 KiB */
#define BEARER      "Authorization: Bearer "

static size_t on_body(char *data, size_t one, size_t len, void *ctx)
{
    (void)one; /* always 1, says libcurl */
    struct kv_courier_call *call = ctx;
    if (len > call->body_max - call->body_len) {
        call->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (len == 0) {
        return 0;
    }
    if (call->body == NULL && kv_secret_new(call->body_max, &call->body, NULL) != KV_OK) {
        call->no_memory = true;
        return CURL_WRITEFUNC_ERROR;
    }
    memcpy(kv_secret_data(call->body) + call->body_len, data, len);
    call->body_len += len;
    return len;
}

static size_t on_header(char *data, size_t one, size_t len, void *ctx)
{
    (void)data; /* libcurl keeps them for curl_easy_header; here they are only counted */
    (void)one;
    struct kv_courier_call *call = ctx;
    call->headers_len += len;
    if (call->headers_len > HEADERS_MAX) {
        call->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

/* The connection stands, the peer is verified, the first byte of the request comes next. */
static int on_ready(void *ctx, char *peer, char *local, int peer_port, int local_port)
{
    (void)peer;
    (void)local;
    (void)peer_port;
    (void)local_port;
    struct kv_courier_call *call = ctx;
    call->sent = true;
    return CURL_PREREQFUNC_OK;
}

/* Visible ASCII: nothing that could end a header or a request line. */
static bool is_visible(struct kv_bytes in)
{
    for (size_t i = 0; i < in.len; i++) {
        if (in.ptr[i] <= 0x20 || in.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* Below the base URL: no step upwards, in the clear or percent-encoded. */
static bool path_valid(const char *path)
{
    struct kv_bytes all = kv_bytes_str(path);
    if (path[0] != '/' || all.len > KV_COURIER_URL_MAX || !is_visible(all)) {
        return false;
    }
    bool query = false;
    for (const char *c = path; *c != '\0'; c++) {
        if (*c == '#' || *c == '\\') {
            return false;
        }
        query = query || *c == '?';
        if (!query && (strncmp(c, "/.", 2) == 0 || strncasecmp(c, "%2e", 3) == 0)) {
            return false;
        }
    }
    return true;
}

static const struct method {
    const char *name;
    bool body;
} methods[] = {{"GET", false}, {"POST", true}, {"PUT", true}, {"DELETE", false}};

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < KV_COUNT(methods); i++) {
        if (strcmp(methods[i].name, name) == 0) {
            return &methods[i];
        }
    }
    return NULL;
}

static enum kv_code check_request(const struct kv_courier_request *request, struct kv_err *err)
{
    const struct method *method = find_method(request->method);
    if (method == NULL || (request->body.len > 0 && !method->body)) {
        return KV_REFUSE(err, KV_E_LIMIT, "HTTP method %s is not used, or not with a body",
                         request->method);
    }
    if (!path_valid(request->path)) {
        return KV_REFUSE(err, KV_E_LIMIT, "the path of an HTTP request is not a valid one");
    }
    if (request->body.len > KV_COURIER_REQUEST_MAX || request->body_max > KV_COURIER_BODY_MAX) {
        return KV_REFUSE(err, KV_E_LIMIT, "a body of an HTTP request or answer is too large");
    }
    if (request->deadline_ms < 1 || request->deadline_ms > KV_COURIER_DEADLINE_MAX) {
        return KV_REFUSE(err, KV_E_LIMIT, "the deadline of an HTTP request is not 1 to %d ms",
                         KV_COURIER_DEADLINE_MAX);
    }
    if (request->content_type != NULL && !is_visible(kv_bytes_str(request->content_type))) {
        return KV_REFUSE(err, KV_E_LIMIT, "the content type of an HTTP request is not valid");
    }
    if (request->bearer != NULL && !is_visible(kv_secret_bytes(request->bearer))) {
        return KV_REFUSE(err, KV_E_LIMIT, "a bearer token has bytes that no header may have");
    }
    return KV_OK;
}

static bool add_header(struct kv_courier_call *call, const char *line)
{
    struct curl_slist *list = curl_slist_append(call->headers, line);
    if (list == NULL) {
        return false;
    }
    call->headers = list;
    return true;
}

static bool set_headers(struct kv_courier_call *call, const struct kv_courier_request *request)
{
    char type[KV_COURIER_HEADER_LEN] = "Content-Type:"; /* so: without, not libcurl's default,
                                                           which KSeF answers with 415 */
    KV_CLEANUP(kv_buf_clear) struct kv_buf line;
    kv_buf_init(&line, sizeof type);
    kv_buf_add_str(&line, type);
    if (request->content_type != NULL) {
        kv_buf_add_format(&line, " %s", request->content_type);
    }
    if (line.failed || !add_header(call, kv_buf_str(&line)) ||
        !add_header(call, "Accept: application/json") ||
        !add_header(call, "X-Error-Format: problem-details") || !add_header(call, "Expect:")) {
        return false;
    }
    struct curl_slist *list = call->headers;
    if (request->bearer != NULL) {
        size_t prefix = sizeof BEARER - 1, len = kv_secret_len(request->bearer);
        if (kv_secret_new(prefix + len + 1, &call->bearer, NULL) != KV_OK) {
            return false;
        }
        uint8_t *text = kv_secret_data(call->bearer); /* zeroed: it ends with NUL */
        memcpy(text, BEARER, prefix);
        memcpy(text + prefix, kv_secret_bytes(request->bearer).ptr, len);
        call->bearer_node = (struct curl_slist){(char *)text, call->headers};
        list = &call->bearer_node;
    }
    return curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, list) == CURLE_OK;
}

static bool set_method(struct kv_courier_call *call, const struct kv_courier_request *request)
{
    if (find_method(request->method)->body) {
        /* also without a body: POST with Content-Length 0 */
        return curl_easy_setopt(call->easy, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)call->request_len) ==
                   CURLE_OK &&
               curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS,
                                call->request == NULL ? (const void *)"" : call->request) ==
                   CURLE_OK &&
               curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    }
    return curl_easy_setopt(call->easy, CURLOPT_HTTPGET, 1L) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
}

/* What is the same for every request; see the header for why. */
static bool set_fixed(CURL *easy)
{
    static const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_NOPROGRESS, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_HTTP09_ALLOWED, 0},
        {CURLOPT_PATH_AS_IS, 1},
        {CURLOPT_DISALLOW_USERNAME_IN_URL, 1},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_PROXYTYPE, CURLPROXY_HTTP},
        {CURLOPT_HTTPPROXYTUNNEL, 1},
        {CURLOPT_SUPPRESS_CONNECT_HEADERS, 1},
        {CURLOPT_LOW_SPEED_LIMIT, 1},
    };
    static const struct {
        CURLoption option;
        const char *value;
    } texts[] = {
        {CURLOPT_PROTOCOLS_STR, "https"},
        {CURLOPT_REDIR_PROTOCOLS_STR, "https"},
        {CURLOPT_USERAGENT, "ksefvault/" KV_VERSION},
        {CURLOPT_NOPROXY, ""}, /* set, so that the environment's is not asked for */
        {CURLOPT_CAINFO, NULL},
        {CURLOPT_CAPATH, NULL}, /* the system's folder would be trusted beside our file */
    };
    for (size_t i = 0; i < KV_COUNT(numbers); i++) {
        if (curl_easy_setopt(easy, numbers[i].option, numbers[i].value) != CURLE_OK) {
            return false;
        }
    }
    for (size_t i = 0; i < KV_COUNT(texts); i++) {
        if (curl_easy_setopt(easy, texts[i].option, texts[i].value) != CURLE_OK) {
            return false;
        }
    }
    return true;
}

static bool set_callbacks(struct kv_courier_call *call)
{
    CURL *easy = call->easy;
    return curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PREREQDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK;
}

static bool set_target(struct kv_courier_call *call, const struct kv_courier_setup *setup,
                       const struct kv_courier_request *request)
{
    KV_CLEANUP(kv_buf_clear) struct kv_buf url;
    kv_buf_init(&url, 2 * (size_t)KV_COURIER_URL_MAX);
    kv_buf_add_str(&url, setup->url);
    kv_buf_add_str(&url, request->path);
    int64_t deadline_ms = request->deadline_ms;
    int64_t connect_ms = setup->connect_ms < deadline_ms ? setup->connect_ms : deadline_ms;
    long idle_s = setup->idle_ms < 1000 ? 1 : (long)(setup->idle_ms / 1000);
    /* lent, not copied: the bundle is large; the setup outlives every call */
    struct curl_blob ca = {setup->ca.data, setup->ca.len, CURL_BLOB_NOCOPY};
    CURL *easy = call->easy;
    return !url.failed && curl_easy_setopt(easy, CURLOPT_URL, kv_buf_str(&url)) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, setup->proxy) == CURLE_OK &&
           (setup->proxy_login == NULL ||
            (curl_easy_setopt(easy, CURLOPT_PROXYAUTH, CURLAUTH_BASIC) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_PROXYUSERPWD,
                              (const char *)kv_secret_data(setup->proxy_login)) == CURLE_OK)) &&
           curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)deadline_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, idle_s) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->fresh ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXFILESIZE, (long)call->body_max) == CURLE_OK;
}

enum kv_code kv_courier_call_new(const struct kv_courier_setup *setup,
                                 const struct kv_courier_request *request,
                                 struct kv_courier_call **out, struct kv_err *err)
{
    enum kv_code code = check_request(request, err);
    if (code != KV_OK) {
        return code;
    }
    KV_CLEANUP(kv_courier_call_freep) struct kv_courier_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for an HTTP request");
    }
    call->body_max = request->body_max == 0 ? KV_COURIER_BODY_MAX : request->body_max;
    if (request->body.len > 0) {
        call->request = malloc(request->body.len);
        if (call->request == NULL) {
            return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for an HTTP request");
        }
        memcpy(call->request, request->body.ptr, request->body.len);
        call->request_len = request->body.len;
    }
    call->easy = curl_easy_init();
    if (call->easy == NULL || !set_fixed(call->easy) || !set_callbacks(call) ||
        !set_target(call, setup, request) || !set_headers(call, request) ||
        !set_method(call, request)) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "an HTTP request could not be prepared");
    }
    *out = call;
    call = NULL; /* handed over */
    return KV_OK;
}

void kv_courier_call_free(struct kv_courier_call *call)
{
    if (call == NULL) {
        return;
    }
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    kv_secret_free(call->bearer);
    kv_secret_free(call->body);
    if (call->request != NULL) {
        kv_wipe(call->request, call->request_len);
        free(call->request);
    }
    free(call);
}

void kv_courier_call_freep(struct kv_courier_call **call)
{
    kv_courier_call_free(*call);
    *call = NULL;
}

/* libcurl has one number for a handshake that failed and for a line that broke during it. OpenSSL's
 * errors are quoted with "error:"; without it the network is to blame, and trying again helps. */
static bool handshake_failed(const struct kv_courier_call *call, CURLcode rc)
{
    return rc == CURLE_SSL_CONNECT_ERROR && strstr(call->curl_text, "error:") != NULL;
}

/* libcurl's numbers that do not mean "unreachable". */
static enum kv_code code_of(const struct kv_courier_call *call, CURLcode rc)
{
    static const struct {
        CURLcode rc;
        enum kv_code code;
    } rules[] = {
        {CURLE_PEER_FAILED_VERIFICATION, KV_E_KSEF_TLS},
        {CURLE_SSL_CACERT_BADFILE, KV_E_KSEF_TLS},
        {CURLE_SSL_ISSUER_ERROR, KV_E_KSEF_TLS},
        {CURLE_SSL_CIPHER, KV_E_KSEF_TLS},
        {CURLE_SSL_CERTPROBLEM, KV_E_KSEF_TLS},
        {CURLE_SSL_CLIENTCERT, KV_E_KSEF_TLS},
        {CURLE_PARTIAL_FILE, KV_E_KSEF_ANSWER},
        {CURLE_WEIRD_SERVER_REPLY, KV_E_KSEF_ANSWER},
        {CURLE_UNSUPPORTED_PROTOCOL, KV_E_KSEF_ANSWER},
        {CURLE_WRITE_ERROR, KV_E_KSEF_ANSWER},
        {CURLE_FILESIZE_EXCEEDED, KV_E_KSEF_ANSWER},
        {CURLE_OUT_OF_MEMORY, KV_E_NO_MEMORY},
    };
    if (call->no_memory) {
        return KV_E_NO_MEMORY;
    }
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        return call->sent ? KV_E_TIMEOUT : KV_E_KSEF_UNREACHABLE;
    }
    if (handshake_failed(call, rc)) {
        return KV_E_KSEF_TLS;
    }
    for (size_t i = 0; i < KV_COUNT(rules); i++) {
        if (rules[i].rc == rc) {
            return rules[i].code;
        }
    }
    return KV_E_KSEF_UNREACHABLE;
}

static enum kv_code fail(const struct kv_courier_call *call, CURLcode rc, struct kv_err *err)
{
    struct kv_cause cause = {KV_CAUSE_CURL, (unsigned long)rc};
    if (call->too_large || rc == CURLE_FILESIZE_EXCEEDED) {
        return KV_FAIL(err, KV_E_KSEF_ANSWER, cause,
                       "KSeF's answer has more than %zu bytes, or %d of headers", call->body_max,
                       HEADERS_MAX);
    }
    long connect = 0; /* what a proxy said to CONNECT */
    if (curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &connect) == CURLE_OK &&
        connect >= 300) {
        return KV_FAIL(err, KV_E_KSEF_PROXY, cause, "the proxy answered %ld%s", connect,
                       connect == 401 || connect == 407 ? ": it wants other credentials" : "");
    }
    const char *text = call->curl_text[0] == '\0' ? curl_easy_strerror(rc) : call->curl_text;
    return KV_FAIL(err, code_of(call, rc), cause, "no answer of KSeF: %.150s", text);
}

/* The last header of that name, if it is visible text; cut where it does not fit. */
static void read_header(CURL *easy, const char *name, char out[static KV_COURIER_HEADER_LEN])
{
    struct curl_header *header = NULL;
    size_t len = 0;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
        for (; header->value[len] != '\0' && len < KV_COURIER_HEADER_LEN - 1; len++) {
            uint8_t c = (uint8_t)header->value[len];
            out[len] = c >= 0x20 && c < 0x7f ? (char)c : '?';
        }
    }
    out[len] = '\0';
}

void kv_courier_call_result(struct kv_courier_call *call, CURLcode rc,
                            struct kv_courier_result *out)
{
    *out = (struct kv_courier_result){.sent = call->sent};
    if (rc != CURLE_OK) {
        out->code = fail(call, rc, &out->err);
        return;
    }
    long status = 0;
    if (curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK) {
        out->status = (int)status;
    }
    read_header(call->easy, "Content-Type", out->content_type);
    read_header(call->easy, "Retry-After", out->retry_after);
    read_header(call->easy, "X-System-Warning", out->warning);
    if (call->body != NULL) {
        out->body = kv_secret_data(call->body);
        out->body_len = call->body_len;
    }
}
