#include "tests/unit/kv_test.h"

#include "core/time.h"
#include "policy/compose.h"
#include "tests/unit/policy/vector.h"

#define LINES_MAX 64

static struct kv_statement *parse_vector(const char *name)
{
    struct kv_bytes text = vector_read(name);
    struct kv_statement *st = NULL;
    struct kv_err err;
    if (kv_statement_parse(text, &st, NULL, &err) != KV_OK) {
        fail_msg("%s: %s", name, err.msg);
    }
    vector_free(text);
    return st;
}

static size_t lines_of(const struct kv_statement *st, struct kv_line out[static LINES_MAX])
{
    size_t count = kv_statement_line_count(st);
    assert_true(count <= LINES_MAX);
    for (size_t i = 0; i < count; i++) {
        out[i] = *kv_statement_line(st, i);
    }
    return count;
}

static enum kv_code compose_again(const struct kv_statement *st, const struct kv_line *lines,
                                  size_t count, struct kv_statement **out, struct kv_err *err)
{
    return kv_statement_type(st) == KV_STATEMENT_ACT ? kv_compose_act(lines, count, out, err)
                                                     : kv_compose_request(lines, count, out, err);
}

static void composing_what_was_parsed_gives_the_same_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(vector_good); i++) {
        KV_CLEANUP(kv_statement_freep) struct kv_statement *st = parse_vector(vector_good[i]);
        KV_CLEANUP(kv_statement_freep) struct kv_statement *again = NULL;
        struct kv_err err;
        struct kv_line lines[LINES_MAX];
        size_t count = lines_of(st, lines);

        enum kv_code code;
        if (kv_statement_type(st) == KV_STATEMENT_DECISION) {
            struct kv_decision_head head = {
                .decision = kv_statement_decision(st),
                .seat = kv_statement_seat(st),
                .approver = kv_statement_get(st, KV_KEY_APPROVER),
                .approver_key = kv_statement_get(st, KV_KEY_APPROVER_KEY),
                .nonce = kv_statement_get(st, KV_KEY_NONCE),
            };
            assert_true(kv_statement_checkpoint(st, &head.checkpoint));
            assert_true(kv_statement_time(st, KV_KEY_ISSUED, &head.issued_ms));
            code = kv_compose_decision(kv_statement_request(st), &head, &again, &err);
        } else {
            code = compose_again(st, lines, count, &again, &err);
        }

        if (code != KV_OK) {
            fail_msg("%s: %s", vector_good[i], err.msg);
        }
        assert_true(kv_bytes_equal(kv_statement_text(st), kv_statement_text(again)));
    }
}

static void lines_may_come_in_any_order_and_counts_may_be_left_out(void **state)
{
    (void)state;
    static const char *const names[] = {"good/found/request.txt", "good/policy/request.txt"};
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        KV_CLEANUP(kv_statement_freep) struct kv_statement *st = parse_vector(names[i]);
        KV_CLEANUP(kv_statement_freep) struct kv_statement *again = NULL;
        struct kv_line lines[LINES_MAX], turned[LINES_MAX];
        struct kv_err err;
        size_t count = lines_of(st, lines), kept = 0;
        for (size_t j = count; j-- > 0;) {
            if (lines[j].key != KV_KEY_PERSONS && lines[j].key != KV_KEY_SENTENCES &&
                lines[j].key != KV_KEY_ENDS_GRANTS) {
                turned[kept++] = lines[j];
            }
        }
        assert_int_equal(kept, count - 2);
        assert_int_equal(kv_compose_request(turned, kept, &again, &err), KV_OK);
        assert_true(kv_bytes_equal(kv_statement_text(st), kv_statement_text(again)));
    }
}

static void a_missing_needless_or_repeated_line_is_named(void **state)
{
    (void)state;
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = parse_vector("good/grant/request.txt");
    struct kv_statement *out = NULL;
    struct kv_line lines[LINES_MAX];
    struct kv_err err;
    size_t count = lines_of(st, lines);

    for (size_t i = 0; i < count; i++) {
        struct kv_line left[LINES_MAX];
        memcpy(left, lines, sizeof left);
        left[i] = lines[count - 1];
        assert_int_equal(kv_compose_request(left, count - 1, &out, &err), KV_E_STMT_LINE);
        assert_non_null(strstr(err.msg, kv_key_word(lines[i].key)));
    }
    lines[count] = (struct kv_line){KV_KEY_SLOT, 0, kv_bytes_str("main")};
    assert_int_equal(kv_compose_request(lines, count + 1, &out, &err), KV_E_STMT_LINE);
    assert_non_null(strstr(err.msg, "slot"));
    lines[count] = lines[3];
    assert_int_equal(kv_compose_request(lines, count + 1, &out, &err), KV_E_STMT_LINE);
    assert_non_null(strstr(err.msg, kv_key_word(lines[3].key)));
    assert_null(out);
}

static void a_bad_value_is_refused_by_its_key(void **state)
{
    (void)state;
    static const struct {
        enum kv_key key;
        const char *value;
    } bad[] = {
        {KV_KEY_CREDENTIAL, "Upper"},
        {KV_KEY_CREDENTIAL, ""},
        {KV_KEY_CREDENTIAL, " a"},
        {KV_KEY_CREDENTIAL, "a "},
        {KV_KEY_CREDENTIAL, "a\nintegration: b"},
        {KV_KEY_CONTEXT, "Nip:5265877636"},
        {KV_KEY_OPERATIONS, "session.open,auth.xades"},
        {KV_KEY_OPERATIONS, "-"},
        {KV_KEY_CLASS, "emergency"},
        {KV_KEY_MAX_USES, "9007199254740992"},
        {KV_KEY_RATE, "120/hour"},
        {KV_KEY_NOT_BEFORE, "2026-01-07T08:00:00"},
        {KV_KEY_ACTION, "grants"},
    };
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = parse_vector("good/grant/request.txt");
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        struct kv_line lines[LINES_MAX];
        struct kv_statement *out = NULL;
        struct kv_err err;
        size_t count = lines_of(st, lines);
        for (size_t j = 0; j < count; j++) {
            if (lines[j].key == bad[i].key) {
                lines[j].value = kv_bytes_str(bad[i].value);
            }
        }
        enum kv_code code = kv_compose_request(lines, count, &out, &err);
        if ((code != KV_E_STMT_VALUE && code != KV_E_STMT_LINE) || out != NULL ||
            strstr(err.msg, kv_key_word(bad[i].key)) == NULL) {
            fail_msg("%s: %s gave %s (%s)", kv_key_word(bad[i].key), bad[i].value,
                     kv_code_word(code), err.msg);
        }
    }
}

static void a_request_that_no_decision_could_repeat_is_refused(void **state)
{
    (void)state;
    KV_CLEANUP(kv_statement_freep)
    struct kv_statement *st = parse_vector("good/policy/request.txt");
    struct kv_line lines[256];
    struct kv_statement *out = NULL;
    struct kv_err err;
    size_t count = 0, all = kv_statement_line_count(st);
    char sentence[201];
    memset(sentence, 'a', 200);
    sentence[200] = '\0';
    for (size_t i = 0; i < all; i++) {
        const struct kv_line *line = kv_statement_line(st, i);
        if (line->key != KV_KEY_SENTENCES && line->key != KV_KEY_SENTENCE_N) {
            lines[count++] = *line;
        }
    }
    for (uint32_t n = 1; n <= 70; n++) {
        lines[count++] = (struct kv_line){KV_KEY_SENTENCE_N, n, kv_bytes_str(sentence)};
    }
    assert_int_equal(kv_compose_request(lines, count, &out, &err), KV_E_STMT_TOO_LONG);
    count -= 10;
    assert_int_equal(kv_compose_request(lines, count, &out, &err), KV_OK);
    kv_statement_free(out);
}

static void nonces_and_checkpoints_are_printed_as_they_are_read(void **state)
{
    (void)state;
    uint8_t random[32];
    for (size_t i = 0; i < sizeof random; i++) {
        random[i] = (uint8_t)(250 - i);
    }
    char nonce[KV_NONCE_LEN], text[KV_SIZE_ROOT_LEN];
    kv_nonce_print(random, nonce);
    assert_int_equal(strlen(nonce), 43);
    struct kv_size_root empty = {0, kv_hash(KV_BYTES_NULL)}, read;
    kv_size_root_print(&empty, text);
    assert_string_equal(text, "0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    struct kv_size_root most = {(UINT64_C(1) << 53) - 1, empty.root};
    kv_size_root_print(&most, text);
    assert_true(kv_size_root_parse(kv_bytes_str(text), &read));
    assert_int_equal(read.size, most.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(composing_what_was_parsed_gives_the_same_bytes),
        cmocka_unit_test(lines_may_come_in_any_order_and_counts_may_be_left_out),
        cmocka_unit_test(a_missing_needless_or_repeated_line_is_named),
        cmocka_unit_test(a_bad_value_is_refused_by_its_key),
        cmocka_unit_test(a_request_that_no_decision_could_repeat_is_refused),
        cmocka_unit_test(nonces_and_checkpoints_are_printed_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
