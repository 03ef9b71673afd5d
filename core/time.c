#include "core/time.h"

#include "core/parse.h"

#include <stdio.h>
#include <time.h>

#define TIME_LAST_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

int64_t kv_time_now_ms(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    assert(rc == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t kv_time_mono_us(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_BOOTTIME, &ts);
    assert(rc == 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct tm broken_down(int64_t *ms)
{
    *ms = *ms < 0 ? 0 : *ms > TIME_LAST_MS ? TIME_LAST_MS : *ms;
    time_t t = (time_t)(*ms / 1000);
    struct tm tm;
    struct tm *ok = gmtime_r(&t, &tm);
    assert(ok != NULL);
    return tm;
}

void kv_time_format_s(int64_t ms, char out[static KV_TIME_S_LEN])
{
    struct tm tm = broken_down(&ms);
    size_t n = strftime(out, KV_TIME_S_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm);
    assert(n == KV_TIME_S_LEN - 1);
}

void kv_time_format_ms(int64_t ms, char out[static KV_TIME_MS_LEN])
{
    char seconds[KV_TIME_S_LEN];
    struct tm tm = broken_down(&ms);
    size_t n = strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%SZ", &tm);
    assert(n == KV_TIME_S_LEN - 1);
    int m = snprintf(out, KV_TIME_MS_LEN, "%.19s.%03dZ", seconds, (int)(ms % 1000));
    assert(m == KV_TIME_MS_LEN - 1);
}

static bool number(struct kv_bytes in, size_t at, size_t len, int low, int high, int *out)
{
    int v = 0;
    for (size_t i = at; i < at + len; i++) {
        if (i >= in.len || !kv_is_digit(in.ptr[i])) {
            return false;
        }
        v = v * 10 + (in.ptr[i] - '0');
    }
    *out = v;
    return v >= low && v <= high;
}

static bool literal(struct kv_bytes in, size_t at, char c)
{
    return at < in.len && in.ptr[at] == (uint8_t)c;
}

bool kv_date_parse(struct kv_bytes in, int64_t *ms)
{
    struct tm tm = {0};
    int year, month, day;
    if (in.len != 10 || !number(in, 0, 4, 1970, 9999, &year) || !literal(in, 4, '-') ||
        !number(in, 5, 2, 1, 12, &month) || !literal(in, 7, '-') ||
        !number(in, 8, 2, 1, 31, &day)) {
        return false;
    }
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    time_t t = timegm(&tm);
    if (tm.tm_mday != day || tm.tm_mon != month - 1) {
        return false; /* normalised: the date does not exist */
    }
    *ms = (int64_t)t * 1000;
    return true;
}

static bool clock_part(struct kv_bytes in, int64_t *ms)
{
    int hour, minute, second;
    int64_t date;
    if (in.len < 19 || !kv_date_parse(kv_bytes(in.ptr, 10), &date) || !literal(in, 10, 'T') ||
        !number(in, 11, 2, 0, 23, &hour) || !literal(in, 13, ':') ||
        !number(in, 14, 2, 0, 59, &minute) || !literal(in, 16, ':') ||
        !number(in, 17, 2, 0, 59, &second)) {
        return false;
    }
    *ms = date + ((int64_t)hour * 3600 + minute * 60 + second) * 1000;
    return true;
}

bool kv_time_parse_s(struct kv_bytes in, int64_t *ms)
{
    int64_t t;
    if (in.len != KV_TIME_S_LEN - 1 || !literal(in, 19, 'Z') || !clock_part(in, &t)) {
        return false;
    }
    *ms = t;
    return true;
}

bool kv_time_parse_ms(struct kv_bytes in, int64_t *ms)
{
    int64_t t;
    int milli;
    if (in.len != KV_TIME_MS_LEN - 1 || !literal(in, 19, '.') ||
        !number(in, 20, 3, 0, 999, &milli) || !literal(in, 23, 'Z') || !clock_part(in, &t)) {
        return false;
    }
    *ms = t + milli;
    return true;
}

bool kv_time_parse_any(struct kv_bytes in, int64_t *ms)
{
    int64_t t;
    if (!clock_part(in, &t)) {
        return false;
    }
    size_t at = 19;
    if (literal(in, at, '.')) {
        int64_t scale = 100;
        size_t first = ++at;
        while (at < in.len && kv_is_digit(in.ptr[at])) {
            t += scale * (in.ptr[at] - '0');
            scale /= 10;
            at++;
        }
        if (at == first || at - first > 9) {
            return false;
        }
    }
    if (literal(in, at, 'Z')) {
        at++;
    } else {
        int hours, minutes;
        if (!(literal(in, at, '+') || literal(in, at, '-')) ||
            !number(in, at + 1, 2, 0, 23, &hours) || !literal(in, at + 3, ':') ||
            !number(in, at + 4, 2, 0, 59, &minutes)) {
            return false;
        }
        int64_t offset = ((int64_t)hours * 60 + minutes) * KV_MINUTE_MS;
        t += literal(in, at, '+') ? -offset : offset;
        at += 6;
    }
    if (at != in.len || t < 0) {
        return false;
    }
    *ms = t;
    return true;
}
