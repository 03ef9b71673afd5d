/* The log, for people: one line `level event key=value …` to standard error. Only agent/ and cli/
 * log; everything below returns a kv_err. Never a secret, never personal data. It never blocks:
 * when nobody reads any more, lines are lost and their number is told later. */
#ifndef KV_CORE_LOG_H
#define KV_CORE_LOG_H

#include "core/err.h"

enum kv_log_level { KV_LOG_ERROR, KV_LOG_WARNING, KV_LOG_INFO, KV_LOG_DEBUG };

/* The program's name stands in each line; lines below `level` are dropped. */
void kv_log_init(const char *program, enum kv_log_level level);
/* `fmt` makes the `key=value` pairs; control characters in the result are shown as `?`. */
void kv_log(enum kv_log_level level, const char *event, const char *fmt, ...) KV_PRINTF(3, 4);
/* `text` from elsewhere as the value of one key, in `out` of `size` bytes (cut if need be): visible
 * ASCII stays, and what could end the value or look like another key (a space, a quote, `=`) is
 * `?`, as is everything else. Returns `out`. */
const char *kv_log_word(const char *text, char *out, size_t size);
/* From now on lines are gathered (32 KiB at most) until kv_log_release: for a program that writes
 * many lines in one turn. Who holds, releases before it sleeps and before it ends. */
void kv_log_hold(void);
void kv_log_release(void);
/* A failure, where it stops travelling: code, message, cause, origin. */
void kv_log_err(enum kv_log_level level, const char *event, const struct kv_err *err);

#endif
