#include "core/parse.h"
#include "ksef/json.h"
#include "ksef/reply.h"

#include <stdio.h>

#define RETRY_AFTER_MAX     86400 /* seconds; reports say 2500: more than a day is a mistake */
#define RETRY_AFTER_DEFAULT 60    /* seconds, for a 429 that does not say */

struct rule {
    int number;
    enum kv_code code;
};

static const struct rule *find(const struct rule *rules, size_t count, int number)
{
    for (size_t i = 0; i < count; i++) {
        if (rules[i].number == number) {
            return &rules[i];
        }
    }
    return NULL;
}

/* KSeF API 2.0, codes of the authentication operation. */
static const struct rule status_rules[] = {
    {100, KV_E_KSEF_BUSY},       {400, KV_E_KSEF_CERT}, /* only in OpenAPI's examples: as 460 */
    {415, KV_E_KSEF_PERMISSION}, {425, KV_E_KSEF_REVOKED},  {450, KV_E_KSEF_TOKEN},
    {460, KV_E_KSEF_CERT},       {470, KV_E_KSEF_IDENTITY}, {480, KV_E_KSEF_BLOCKED},
    {500, KV_E_KSEF_SERVER},     {550, KV_E_KSEF_SERVER}, /* cancelled by the system: try again */
};

/* KSeF API 2.0, exception codes of the login's calls. */
static const struct rule exception_rules[] = {
    {9101, KV_E_KSEF_SIGNATURE},  {9102, KV_E_KSEF_SIGNATURE},  {9103, KV_E_KSEF_SIGNATURE},
    {9104, KV_E_KSEF_SIGNATURE},  {9105, KV_E_KSEF_SIGNATURE},  {21001, KV_E_KSEF_SIGNATURE},
    {21111, KV_E_KSEF_CHALLENGE}, {21115, KV_E_KSEF_SIGNATURE}, {21117, KV_E_KSEF_PERMISSION},
    {21217, KV_E_KSEF_SIGNATURE}, {21301, KV_E_KSEF_AUTH},      {21304, KV_E_KSEF_AUTH},
    {21308, KV_E_KSEF_IDENTITY},  {21401, KV_E_KSEF_SIGNATURE}, {21405, KV_E_KSEF_SIGNATURE},
    {21406, KV_E_KSEF_SIGNATURE}, {21470, KV_E_KSEF_KEY},
};

/* "KSeF 460: description (details)", cut at a character so that it fits a kv_err with its context.
 */
static void describe(const char *description, const char *details,
                     char out[static KV_KSEF_TEXT_LEN])
{
    char text[2 * KV_KSEF_TEXT_LEN + 8];
    int len =
        snprintf(text, sizeof text, details[0] == '\0' ? "%s%s" : "%s (%s)", description, details);
    assert(len >= 0 && (size_t)len < sizeof text);
    kv_ksef_text(kv_bytes(text, (size_t)len), out, 140);
}

enum kv_code kv_ksef_status_code(const struct kv_ksef_status *status, struct kv_err *err)
{
    if (status->code == 200) {
        return KV_OK;
    }
    const struct rule *rule = find(status_rules, KV_COUNT(status_rules), status->code);
    char text[KV_KSEF_TEXT_LEN];
    describe(status->description, status->details, text);
    return KV_REFUSE(err, rule == NULL ? KV_E_KSEF_REJECTED : rule->code, "KSeF status %d: %s",
                     status->code, text);
}

/* Seconds, at most a day; 0 if the header has no number (an HTTP date is not used by KSeF). */
static uint32_t read_retry_after(struct kv_bytes header)
{
    uint64_t seconds = 0;
    if (header.len == 0 || !kv_all_digits(header)) {
        return 0;
    }
    bool parsed = kv_parse_u64(header, UINT32_MAX, &seconds);
    return !parsed || seconds > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (uint32_t)seconds;
}

/* `type` or `type; parameter`, ASCII letters in any case. */
static bool media_type_is(struct kv_bytes header, const char *type)
{
    size_t len = strlen(type);
    if (header.len < len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = header.ptr[i];
        if ((kv_is_upper(c) ? c - 'A' + 'a' : c) != type[i]) {
            return false;
        }
    }
    return header.len == len || header.ptr[len] == ';' || header.ptr[len] == ' ';
}

static bool read_numbered(const json_t *object, const char *number, const char *description,
                          struct kv_ksef_error *out)
{
    int64_t code;
    if (!kv_ksef_json_number(object, number, INT32_MAX, &code)) {
        return false;
    }
    out->ksef = (int)code;
    kv_ksef_text(kv_ksef_json_text(object, description), out->description, sizeof out->description);
    kv_ksef_json_join(object, "details", out->details, sizeof out->details);
    return true;
}

/* The shapes of KSeF's errors (KSeF API 2.0, error bodies). False: it is none of them. */
static bool read_shape(const json_t *json, struct kv_ksef_error *out)
{
    const json_t *legacy =
        json_object_get(json_object_get(json, "exception"), "exceptionDetailList");
    if (read_numbered(json_array_get(legacy, 0), "exceptionCode", "exceptionDescription", out) ||
        read_numbered(json_array_get(json_object_get(json, "errors"), 0), "code", "description",
                      out)) {
        return true;
    }
    if (read_numbered(json_object_get(json, "status"), "code", "description", out)) {
        out->ksef = 0; /* the HTTP status once more */
        return true;
    }
    struct kv_bytes title = kv_ksef_json_text(json, "title");
    struct kv_bytes detail = kv_ksef_json_text(json, "detail");
    struct kv_bytes reason = kv_ksef_json_text(json, "reasonCode");
    int64_t status;
    if (title.len == 0 || !kv_ksef_json_number(json, "status", 999, &status)) {
        return false;
    }
    kv_ksef_text(detail.len == 0 ? title : detail, out->description, sizeof out->description);
    kv_ksef_text(reason, out->reason, sizeof out->reason);
    return true;
}

static bool read_body(const struct kv_ksef_reply *reply, struct kv_ksef_error *out)
{
    if (!media_type_is(reply->content_type, "application/json") &&
        !media_type_is(reply->content_type, "application/problem+json")) {
        return false;
    }
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    return kv_ksef_json_load(reply->body, &json, NULL) == KV_OK && read_shape(json, out);
}

static enum kv_code decide(const struct kv_ksef_error *error, bool ksef)
{
    if (error->http == 429) {
        return KV_E_KSEF_RATE; /* also when a gateway says it */
    }
    if (error->http >= 500) {
        return KV_E_KSEF_SERVER;
    }
    if (!ksef || error->http < 400) {
        return KV_E_KSEF_ANSWER;
    }
    if (error->http == 401 || error->http == 410) {
        return KV_E_KSEF_AUTH; /* 410: the login is too old to be asked for */
    }
    if (error->http == 403) {
        /* a firewall that speaks for KSeF: not a matter of permissions */
        return kv_bytes_is(kv_bytes_str(error->reason), "security-service-blocked")
                   ? KV_E_KSEF_REJECTED
                   : KV_E_KSEF_PERMISSION;
    }
    const struct rule *rule = find(exception_rules, KV_COUNT(exception_rules), error->ksef);
    return rule == NULL ? KV_E_KSEF_REJECTED : rule->code;
}

enum kv_code kv_ksef_read_error(const struct kv_ksef_reply *reply, struct kv_ksef_error *out,
                                struct kv_err *err)
{
    *out = (struct kv_ksef_error){.http = reply->http};
    bool ksef = read_body(reply, out);
    enum kv_code code = decide(out, ksef);
    out->retry_after_s = read_retry_after(reply->retry_after);
    if (code == KV_E_KSEF_RATE && out->retry_after_s == 0) {
        out->retry_after_s = RETRY_AFTER_DEFAULT;
    }
    if (!ksef) {
        return KV_REFUSE(err, code, "HTTP %d with a body that is not KSeF's", reply->http);
    }
    char text[KV_KSEF_TEXT_LEN];
    describe(out->description, out->reason[0] == '\0' ? out->details : out->reason, text);
    if (out->ksef == 0) {
        return KV_REFUSE(err, code, "KSeF, HTTP %d: %s", reply->http, text);
    }
    return KV_REFUSE(err, code, "KSeF %d: %s", out->ksef, text);
}
