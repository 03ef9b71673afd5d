#include "agent/courier_http_call.h"

#include "agent/cafile.h"

#include <stdlib.h>

#define CONNECT_MS 10000
#define IDLE_MS    20000

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* `scheme`://host[:port][/path] and nothing else. */
static bool url_valid(const char *text, const char *scheme)
{
    static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                         CURLUPART_QUERY, CURLUPART_FRAGMENT};
    size_t len = strlen(scheme);
    if (strlen(text) > KV_COURIER_URL_MAX || strncmp(text, scheme, len) != 0 ||
        strncmp(text + len, "://", 3) != 0) {
        return false;
    }
    CURLU *url = curl_url();
    bool valid = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                 has_part(url, CURLUPART_HOST);
    for (size_t i = 0; valid && i < KV_COUNT(unwanted); i++) {
        valid = !has_part(url, unwanted[i]);
    }
    curl_url_cleanup(url);
    return valid;
}

/* libcurl wants text; Basic knows no other characters (RFC 7617). */
static enum kv_code read_login(const struct kv_secret *from, struct kv_secret **out,
                               struct kv_err *err)
{
    struct kv_bytes text = from == NULL ? KV_BYTES_NULL : kv_secret_bytes(from);
    if (from == NULL) {
        return KV_OK;
    }
    bool colon = memchr(text.ptr, ':', text.len) != NULL;
    for (size_t i = 0; i < text.len; i++) {
        colon = colon && text.ptr[i] >= ' ' && text.ptr[i] != 0x7f;
    }
    if (!colon) {
        return KV_REFUSE(err, KV_E_CONFIG, "proxy-credentials hold one line, user:password");
    }
    enum kv_code code = kv_secret_new(text.len + 1, out, err); /* zeroed: the NUL is there */
    if (code == KV_OK) {
        memcpy(kv_secret_data(*out), text.ptr, text.len);
    }
    return code;
}

enum kv_code kv_courier_setup_make(const struct kv_courier_config *config,
                                   struct kv_courier_setup *out, struct kv_err *err)
{
    if (!url_valid(config->url, "https")) {
        return KV_REFUSE(err, KV_E_CONFIG, "'%s' is not https://host[:port][/path]", config->url);
    }
    if (config->proxy != NULL && !url_valid(config->proxy, "http")) {
        return KV_REFUSE(err, KV_E_CONFIG, "the proxy is not http://host:port");
    }
    const char *ca_file = config->ca_file;
    if (ca_file == NULL) {
        ca_file = curl_version_info(CURLVERSION_NOW)->cainfo;
    }
    if (ca_file == NULL) {
        return KV_REFUSE(err, KV_E_CONFIG, "the system has no CA file: name one");
    }
    struct kv_courier_setup setup = {
        .connect_ms = config->connect_ms == 0 ? CONNECT_MS : config->connect_ms,
        .idle_ms = config->idle_ms == 0 ? IDLE_MS : config->idle_ms,
    };
    kv_buf_init(&setup.ca, KV_CA_FILE_MAX);
    enum kv_code code = kv_ca_file_read(ca_file, &setup.ca, err);
    if (code == KV_OK) {
        code = read_login(config->proxy_credentials, &setup.proxy_login, err);
    }
    if (code == KV_OK) {
        setup.url = strdup(config->url);
        setup.proxy = strdup(config->proxy == NULL ? "" : config->proxy);
        if (setup.url == NULL || setup.proxy == NULL) {
            code = KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory for the HTTP client");
        }
    }
    if (code != KV_OK) {
        kv_courier_setup_clear(&setup);
        return code;
    }
    for (size_t len = strlen(setup.url); setup.url[len - 1] == '/'; len--) {
        setup.url[len - 1] = '\0'; /* paths of requests begin with it */
    }
    *out = setup;
    return KV_OK;
}

void kv_courier_setup_clear(struct kv_courier_setup *setup)
{
    free(setup->url);
    free(setup->proxy);
    kv_secret_freep(&setup->proxy_login);
    kv_buf_clear(&setup->ca);
    setup->url = setup->proxy = NULL;
}
