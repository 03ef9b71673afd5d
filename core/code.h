/* The error codes of the whole product: one table, the source of `ksefvault explain`, of the API's
 * problem details, of exit statuses and of docs. A code is stable for ever; its sentences may
 * improve.
 *
 * Columns: C name, dotted word, HTTP status, exit status, retry, what happened, what to do next. */
#ifndef KV_CORE_CODE_H
#define KV_CORE_CODE_H

#include "core/base.h"
#include "core/code_table.h"

enum kv_code {
#define KV_CODE_ENUM(name, word, http, exit, retry, what, next) KV_E_##name,
    KV_OK = 0,
    KV_CODE_TABLE(KV_CODE_ENUM)
#undef KV_CODE_ENUM
        KV_CODE_COUNT
};

/* Whether the same call may succeed later: never, after a while, or when a person lifted something.
 */
enum kv_retry { KV_RETRY_NEVER, KV_RETRY_AFTER, KV_RETRY_WHEN_LIFTED };

/* Exit statuses that scripts can trust (DESIGN: words and grammars). */
enum kv_exit {
    KV_EXIT_OK = 0,
    KV_EXIT_FAILED = 1,
    KV_EXIT_USAGE = 2,
    KV_EXIT_REFUSED = 3,
    KV_EXIT_WAITING = 4,
    KV_EXIT_UNREACHABLE = 5,
    KV_EXIT_LATER = 6,
};

struct kv_code_row {
    const char *word; /* `policy.caller-unknown` */
    int http;
    enum kv_exit exit;
    enum kv_retry retry;
    const char *what; /* one sentence: what happened */
    const char *next; /* one sentence: what to do about it */
};

/* The row of `code`; of KV_OK and of numbers outside the table, the row of `ok`. Never NULL. */
const struct kv_code_row *kv_code_row(enum kv_code code);
const char *kv_code_word(enum kv_code code);
const char *kv_retry_word(enum kv_retry retry);
/* The code whose word is `word`; false if there is none. */
bool kv_code_from_word(const char *word, enum kv_code *out);

#endif
