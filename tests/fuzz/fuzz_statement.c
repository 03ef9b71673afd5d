/* Statements: what parses is what was given, and composing its lines gives the same bytes. */
#include "policy/compose.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_composed(const struct kv_statement *st)
{
    size_t count = kv_statement_line_count(st);
    struct kv_line *lines = calloc(count, sizeof *lines);
    assert(lines != NULL);
    for (size_t i = 0; i < count; i++) {
        lines[i] = *kv_statement_line(st, i);
    }
    struct kv_statement *again = NULL;
    enum kv_code code = kv_statement_type(st) == KV_STATEMENT_ACT
                            ? kv_compose_act(lines, count, &again, NULL)
                            : kv_compose_request(lines, count, &again, NULL);
    assert(code == KV_OK);
    assert(kv_bytes_equal(kv_statement_text(st), kv_statement_text(again)));
    kv_statement_free(again);
    free(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_bytes text = kv_bytes(data, size);
    struct kv_statement *st = NULL;
    unsigned line = 0;
    struct kv_err err;
    if (kv_statement_parse(text, &st, &line, &err) != KV_OK) {
        assert(line >= 1 && line <= size + 1);
        assert(st == NULL);
        return 0;
    }
    assert(line == 0);
    assert(kv_bytes_equal(kv_statement_text(st), text));
    if (kv_statement_type(st) == KV_STATEMENT_DECISION) {
        struct kv_bytes request = kv_statement_text(kv_statement_request(st));
        enum kv_code code = kv_statement_repeats(st, request, &line, NULL);
        assert(code == KV_OK || (code == KV_E_STMT_REQUEST && line >= 2 && line <= 5));
        check_composed(kv_statement_request(st));
    } else {
        check_composed(st);
    }
    kv_statement_free(st);
    return 0;
}
