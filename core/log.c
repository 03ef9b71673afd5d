#include "core/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 1024
#define HELD_MAX     32768
#define PART_MAX     4096 /* what a pipe that says it is writable takes at once (PIPE_BUF) */

/* The log's state is among the few globals (docs/architecture.md). */
static const char *program_name = "ksefvault";
static enum kv_log_level level_max = KV_LOG_INFO;
static char held[HELD_MAX];
static size_t held_len;
static bool holding;
static unsigned long lost; /* lines that nobody took */

static const char *const level_words[] = {
    [KV_LOG_ERROR] = "error",
    [KV_LOG_WARNING] = "warning",
    [KV_LOG_INFO] = "info",
    [KV_LOG_DEBUG] = "debug",
};

void kv_log_init(const char *program, enum kv_log_level level)
{
    program_name = program;
    level_max = level;
}

static unsigned long lines_in(const char *text, size_t len)
{
    unsigned long lines = 0;
    for (size_t i = 0; i < len; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

/* A reader that stands still must not stop us: what it does not take is lost, and counted. */
static bool writable(void)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0;
}

static void put(const char *text, size_t len)
{
    while (len > 0 && writable()) {
        ssize_t n = write(STDERR_FILENO, text, len < PART_MAX ? len : PART_MAX);
        if (n <= 0) {
            break;
        }
        text += n;
        len -= (size_t)n;
    }
    lost += lines_in(text, len);
}

static void tell_lost(void)
{
    char line[128];
    int n = snprintf(line, sizeof line, "%s %s log-lost lines=%lu\n", level_words[KV_LOG_WARNING],
                     program_name, lost);
    if (lost > 0 && n > 0 && writable()) {
        lost = 0;
        put(line, (size_t)n);
    }
}

void kv_log_hold(void)
{
    holding = true;
}

void kv_log_release(void)
{
    if (held_len > 0) {
        tell_lost();
        put(held, held_len);
        held_len = 0;
    }
}

static void emit(const char *line, size_t len)
{
    if (!holding) {
        tell_lost();
        put(line, len);
        return;
    }
    if (held_len + len > sizeof held) {
        kv_log_release();
    }
    memcpy(held + held_len, line, len);
    held_len += len;
}

void kv_log(enum kv_log_level level, const char *event, const char *fmt, ...)
{
    if (level > level_max) {
        return;
    }
    char line[LINE_MAX_LEN];
    int n = snprintf(line, sizeof line - 1, "%s %s %s ", level_words[level], program_name, event);
    size_t len = n < 0 ? 0 : (size_t)n;
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + len, sizeof line - 1 - len, fmt, ap);
    va_end(ap);
    len += m < 0 ? 0 : (size_t)m;
    if (len > sizeof line - 2) {
        len = sizeof line - 2; /* cut: a log line is not evidence */
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[len++] = '\n';
    emit(line, len);
}

const char *kv_log_word(const char *text, char *out, size_t size)
{
    size_t len = 0;
    for (; text[len] != '\0' && len < size - 1; len++) {
        char c = text[len];
        bool plain = c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '=';
        out[len] = plain ? c : '?';
    }
    out[len] = '\0';
    return out;
}

void kv_log_err(enum kv_log_level level, const char *event, const struct kv_err *err)
{
    char cause[128];
    kv_log(level, event, "code=%s msg=\"%s\" cause=\"%s\" at=%s", kv_code_word(err->code), err->msg,
           kv_cause_text(err->cause, cause, sizeof cause), err->origin == NULL ? "-" : err->origin);
}
