#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* The log's level and name are among the few globals (docs/architecture.md). */
static const char *program_name = "ksefvault";
static enum kv_log_level level_max = KV_LOG_INFO;

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

void kv_log(enum kv_log_level level, const char *event, const char *fmt, ...)
{
    if (level > level_max) {
        return;
    }
    char line[1024];
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
    ssize_t w = write(STDERR_FILENO, line, len);
    (void)w; /* nowhere left to say that the log is gone */
}

void kv_log_err(enum kv_log_level level, const char *event, const struct kv_err *err)
{
    char cause[128];
    kv_log(level, event, "code=%s msg=\"%s\" cause=\"%s\" at=%s", kv_code_word(err->code), err->msg,
           kv_cause_text(err->cause, cause, sizeof cause), err->origin == NULL ? "-" : err->origin);
}
