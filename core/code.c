#include "core/code.h"

#include <string.h>

static const struct kv_code_row rows[KV_CODE_COUNT] = {
    [KV_OK] = {"ok", 200, KV_EXIT_OK, KV_RETRY_NEVER, "Done.", "Nothing."},
#define KV_CODE_ROW(name, word, http, exit, retry, what, next)                                     \
    [KV_E_##name] = {word, http, KV_EXIT_##exit, KV_RETRY_##retry, what, next},
    KV_CODE_TABLE(KV_CODE_ROW)
#undef KV_CODE_ROW
};

const struct kv_code_row *kv_code_row(enum kv_code code)
{
    return (unsigned)code < KV_CODE_COUNT ? &rows[code] : &rows[KV_OK];
}

const char *kv_code_word(enum kv_code code)
{
    return kv_code_row(code)->word;
}

const char *kv_retry_word(enum kv_retry retry)
{
    switch (retry) {
    case KV_RETRY_NEVER: return "never";
    case KV_RETRY_AFTER: return "after";
    case KV_RETRY_WHEN_LIFTED: return "when-lifted";
    }
    return "never";
}

bool kv_code_from_word(const char *word, enum kv_code *out)
{
    for (unsigned i = 0; i < KV_CODE_COUNT; i++) {
        if (strcmp(rows[i].word, word) == 0) {
            *out = (enum kv_code)i;
            return true;
        }
    }
    return false;
}
