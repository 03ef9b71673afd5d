#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message that was cut may end inside a UTF-8 character: take the beginning of it away, for the
 * message goes into JSON. */
static void whole_characters(char *msg)
{
    size_t len = strlen(msg), tail = 0;
    while (tail < len && tail < 3 && ((unsigned char)msg[len - 1 - tail] & 0xc0) == 0x80) {
        tail++;
    }
    if (tail == len) {
        return;
    }
    unsigned char first = (unsigned char)msg[len - 1 - tail];
    size_t want = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    if (tail < want) {
        msg[len - 1 - tail] = '\0';
    }
}

enum kv_code kv_err_set(struct kv_err *err, enum kv_code code, struct kv_cause cause,
                        const char *origin, const char *fmt, ...)
{
    assert(code != KV_OK);
    if (err == NULL) {
        return code;
    }
    err->code = code;
    err->cause = cause;
    err->origin = origin;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    if (n < 0) {
        err->msg[0] = '\0';
    }
    if (n >= (int)sizeof err->msg) {
        whole_characters(err->msg);
    }
    return code;
}

enum kv_code kv_wrap(struct kv_err *err, const char *fmt, ...)
{
    if (err == NULL) {
        return KV_E_INTERNAL;
    }
    char was[sizeof err->msg];
    memcpy(was, err->msg, sizeof was);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at < sizeof err->msg - 1) {
        int m = snprintf(err->msg + at, sizeof err->msg - at, ": %s", was);
        if (m < 0) {
            err->msg[at] = '\0';
        }
    }
    whole_characters(err->msg);
    return err->code;
}

const char *kv_cause_text(struct kv_cause cause, char *buf, size_t len)
{
    int n = 0;
    buf[0] = '\0';
    switch (cause.kind) {
    case KV_CAUSE_NONE: break;
    case KV_CAUSE_ERRNO: n = snprintf(buf, len, "%s", strerror((int)cause.number)); break;
    case KV_CAUSE_CK_RV: n = snprintf(buf, len, "CKR 0x%lx", cause.number); break;
    case KV_CAUSE_TSS2: n = snprintf(buf, len, "TSS2 0x%lx", cause.number); break;
    case KV_CAUSE_CURL: n = snprintf(buf, len, "curl %lu", cause.number); break;
    }
    return n < 0 ? "" : buf;
}
