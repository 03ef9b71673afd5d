/* Every good text, changed in every line and cut at every length. */
#include "tests/unit/kv_test.h"

#include "core/buf.h"
#include "policy/sshsig.h"
#include "policy/statement.h"
#include "tests/unit/policy/vector.h"

struct lines {
    struct kv_bytes line[512]; /* with their LF */
    size_t count;
};

static void split(struct kv_bytes text, struct lines *out)
{
    out->count = 0;
    for (size_t at = 0; at < text.len;) {
        const uint8_t *lf = memchr(text.ptr + at, '\n', text.len - at);
        assert_non_null(lf);
        size_t len = (size_t)(lf - text.ptr) + 1 - at;
        assert_true(out->count < KV_COUNT(out->line));
        out->line[out->count++] = kv_bytes(text.ptr + at, len);
        at += len;
    }
}

static void join(const struct lines *lines, struct kv_buf *out)
{
    kv_buf_reset(out);
    for (size_t i = 0; i < lines->count; i++) {
        kv_buf_add_bytes(out, lines->line[i]);
    }
}

static enum kv_code parse(struct kv_bytes text, unsigned *line)
{
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    return kv_statement_parse(text, &st, line, NULL);
}

static void expect(const char *name, const char *what, size_t at, struct kv_buf *text,
                   enum kv_code want, size_t want_line)
{
    unsigned line = 0;
    enum kv_code code = parse(kv_buf_bytes(text), &line);
    if (code != want || line != want_line) {
        fail_msg("%s, line %zu %s: %s at line %u, not %s at line %zu", name, at + 1, what,
                 kv_code_word(code), line, kv_code_word(want), want_line);
    }
}

static void a_line_removed_repeated_or_swapped_is_refused_where_it_is(void **state)
{
    (void)state;
    struct lines *lines = malloc(sizeof *lines), *changed = malloc(sizeof *changed);
    assert_non_null(lines);
    assert_non_null(changed);
    struct kv_buf buf;
    kv_buf_init(&buf, 65536);
    for (size_t i = 0; i < KV_COUNT(vector_good); i++) {
        struct kv_bytes text = vector_read(vector_good[i]);
        split(text, lines);
        for (size_t at = 0; at < lines->count; at++) {
            *changed = *lines;
            changed->count--;
            memmove(&changed->line[at], &lines->line[at + 1],
                    (lines->count - at - 1) * sizeof lines->line[0]);
            join(changed, &buf);
            expect(vector_good[i], "removed", at, &buf, KV_E_STMT_LINE, at + 1);

            *changed = *lines;
            changed->count++;
            memmove(&changed->line[at + 1], &lines->line[at],
                    (lines->count - at) * sizeof lines->line[0]);
            join(changed, &buf);
            expect(vector_good[i], "repeated", at, &buf,
                   at + 1 < lines->count ? KV_E_STMT_LINE : KV_E_STMT_TRANSIT, at + 2);

            if (at + 1 < lines->count) {
                *changed = *lines;
                changed->line[at] = lines->line[at + 1];
                changed->line[at + 1] = lines->line[at];
                join(changed, &buf);
                expect(vector_good[i], "swapped", at, &buf, KV_E_STMT_LINE, at + 1);
            }
        }
        vector_free(text);
    }
    kv_buf_clear(&buf);
    free(lines);
    free(changed);
}

static void a_text_cut_anywhere_is_refused_at_its_last_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(vector_good); i++) {
        struct kv_bytes text = vector_read(vector_good[i]);
        unsigned whole = 0;
        for (size_t len = 0; len < text.len; len++) {
            unsigned line = 0;
            whole += len > 0 && text.ptr[len - 1] == '\n';
            bool at_end = len > 0 && text.ptr[len - 1] == '\n';
            enum kv_code code = parse(kv_bytes(text.ptr, len), &line);
            if (code != (at_end ? KV_E_STMT_LINE : KV_E_STMT_TRANSIT) || line != whole + 1) {
                fail_msg("%s cut to %zu: %s at line %u", vector_good[i], len, kv_code_word(code),
                         line);
            }
        }
        vector_free(text);
    }
}

/* The whole judgement that needs no state, as in test_statement.c. */
static bool is_accepted(struct kv_bytes text, struct kv_bytes request, struct kv_bytes sig)
{
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    if (kv_statement_parse(text, &st, NULL, NULL) != KV_OK) {
        return false;
    }
    enum kv_key named = KV_KEY_REQUESTER_KEY;
    if (kv_statement_type(st) == KV_STATEMENT_DECISION) {
        named = KV_KEY_APPROVER_KEY;
        if (kv_statement_repeats(st, request, NULL, NULL) != KV_OK) {
            return false;
        }
    } else if (kv_statement_type(st) == KV_STATEMENT_ACT) {
        named = KV_KEY_ACTOR_KEY;
    }
    return kv_sshsig_verify(text, sig, kv_statement_get(st, named), NULL, NULL) == KV_OK;
}

static void a_character_changed_in_any_line_of_a_signed_text_is_refused(void **state)
{
    (void)state;
    json_t *index = vector_index();
    size_t i, tried = 0;
    json_t *row;
    json_array_foreach(json_object_get(index, "texts"), i, row)
    {
        if (strcmp(vector_str(row, "expect"), "good") != 0 ||
            strcmp(vector_str(row, "signed"), "yes") != 0 ||
            strcmp(vector_str(row, "signer"), "new-key") == 0) {
            continue;
        }
        struct kv_bytes text = vector_read(vector_str(row, "text"));
        struct kv_bytes sig = vector_read(vector_str(row, "sig"));
        bool decision = strcmp(vector_str(row, "request"), "-") != 0;
        struct kv_bytes request =
            decision ? vector_read(vector_str(row, "request")) : KV_BYTES_NULL;
        assert_true(is_accepted(text, request, sig));
        uint8_t *copy = malloc(text.len);
        assert_non_null(copy);
        memcpy(copy, text.ptr, text.len);
        for (size_t at = 0; at < text.len; at++) {
            /* the last character of each line: of the value, or of the type */
            if (text.ptr[at] != '\n') {
                continue;
            }
            uint8_t was = copy[at - 1];
            copy[at - 1] = was == '1' ? '2' : '1';
            if (is_accepted(kv_bytes(copy, text.len), request, sig)) {
                fail_msg("%s: changed at byte %zu", vector_str(row, "text"), at - 1);
            }
            copy[at - 1] = was;
            tried++;
        }
        free(copy);
        vector_free(text);
        vector_free(sig);
        if (decision) {
            vector_free(request);
        }
    }
    assert_true(tried > 1000);
    json_decref(index);
}

/* A decision is good for the one request that it repeats. */
static void a_decision_repeats_no_other_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(vector_good); i++) {
        struct kv_bytes text = vector_read(vector_good[i]);
        KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
        assert_int_equal(kv_statement_parse(text, &st, NULL, NULL), KV_OK);
        vector_free(text);
        if (kv_statement_type(st) != KV_STATEMENT_DECISION) {
            continue;
        }
        struct kv_bytes own = kv_statement_text(kv_statement_request(st));
        for (size_t j = 0; j < KV_COUNT(vector_good); j++) {
            struct kv_bytes other = vector_read(vector_good[j]);
            unsigned line = 0;
            enum kv_code code = kv_statement_repeats(st, other, &line, NULL);
            assert_int_equal(code, kv_bytes_equal(own, other) ? KV_OK : KV_E_STMT_REQUEST);
            vector_free(other);
        }
        for (size_t len = 0; len < own.len; len++) {
            unsigned line = 0;
            assert_int_equal(kv_statement_repeats(st, kv_bytes(own.ptr, len), &line, NULL),
                             KV_E_STMT_REQUEST);
            assert_true(line >= KV_DECISION_HEAD);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_removed_repeated_or_swapped_is_refused_where_it_is),
        cmocka_unit_test(a_text_cut_anywhere_is_refused_at_its_last_line),
        cmocka_unit_test(a_character_changed_in_any_line_of_a_signed_text_is_refused),
        cmocka_unit_test(a_decision_repeats_no_other_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
