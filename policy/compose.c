#include "policy/compose.h"

#include "core/time.h"
#include "policy/grammar.h"

#include <stdio.h>
#include <stdlib.h>

/* The values given, and which of them have found their line. */
struct given {
    const struct kv_line *lines;
    size_t count;
    bool *used; /* owned by compose() */
};

static void print_key(enum kv_key key, uint32_t n, char out[static 48])
{
    int len = n == 0 ? snprintf(out, 48, "%s", kv_key_word(key))
                     : snprintf(out, 48, "%s%u", kv_key_word(key), n);
    assert(len > 0 && len < 48);
}

static const struct kv_line *take(const struct given *given, enum kv_key key, uint32_t n)
{
    for (size_t i = 0; i < given->count; i++) {
        if (given->lines[i].key == key && given->lines[i].n == n && !given->used[i]) {
            given->used[i] = true;
            return &given->lines[i];
        }
    }
    return NULL;
}

/* The highest number among the lines that `count_key` counts. */
static uint32_t count_of(const struct given *given, enum kv_key count_key)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < given->count; i++) {
        const struct kv_line *line = &given->lines[i];
        if (kv_grammar_count_of(line->key) == count_key && line->n > highest) {
            highest = line->n;
        }
    }
    return highest;
}

static bool is_count(enum kv_key key)
{
    return key == KV_KEY_PERSONS || key == KV_KEY_SENTENCES || key == KV_KEY_ENDS_GRANTS;
}

/* The value of the line that comes next; number[] holds a count that was left out. */
static enum kv_code find_value(const struct given *given, enum kv_key key, uint32_t n,
                               char number[static 12], struct kv_bytes *value, struct kv_err *err)
{
    char name[48];
    print_key(key, n, name);
    const struct kv_line *line = take(given, key, n);
    if (line == NULL && is_count(key)) {
        int len = snprintf(number, 12, "%u", count_of(given, key));
        assert(len > 0 && len < 12);
        *value = kv_bytes_str(number);
        return KV_OK;
    }
    if (line == NULL) {
        return KV_REFUSE(err, KV_E_STMT_LINE, "%s is missing", name);
    }
    /* A line end inside a value would begin another line. */
    if (line->value.len == 0 || memchr(line->value.ptr, '\n', line->value.len) != NULL) {
        return KV_REFUSE(err, KV_E_STMT_VALUE, "%s is empty or has more than one line", name);
    }
    *value = line->value;
    return KV_OK;
}

static enum kv_code check_used(const struct given *given, struct kv_err *err)
{
    for (size_t i = 0; i < given->count; i++) {
        if (!given->used[i]) {
            char name[48];
            print_key(given->lines[i].key, given->lines[i].n, name);
            return KV_REFUSE(err, KV_E_STMT_LINE, "%s has no place here, or is given twice", name);
        }
    }
    return KV_OK;
}

static enum kv_code write_lines(struct kv_grammar *grammar, const struct given *given,
                                struct kv_buf *text, struct kv_err *err)
{
    enum kv_key key;
    uint32_t n;
    while (kv_grammar_next(grammar, &key, &n)) {
        char number[12], name[48];
        struct kv_bytes value;
        enum kv_code code = find_value(given, key, n, number, &value, err);
        if (code != KV_OK) {
            return code;
        }
        print_key(key, n, name);
        kv_buf_add_format(text, "%s: ", name);
        kv_buf_add_bytes(text, value);
        kv_buf_add_u8(text, '\n');
        if (!kv_grammar_feed(grammar, key, value)) {
            return KV_REFUSE(err, KV_E_STMT_VALUE, "%s has a value that chooses no known lines",
                             name);
        }
    }
    return check_used(given, err);
}

/* What was written is read again: the parser is the only judge of values. */
static enum kv_code read_back(struct kv_buf *text, struct kv_statement **out, struct kv_err *err)
{
    if (text->failed) {
        return KV_REFUSE(err, KV_E_STMT_TOO_LONG, "the text would have more than %d bytes",
                         KV_STATEMENT_MAX);
    }
    return kv_statement_parse(kv_buf_bytes(text), out, NULL, err);
}

static enum kv_code compose(enum kv_statement_type type, const struct kv_line *lines, size_t count,
                            struct kv_statement **out, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) bool *used = calloc(count + 1, sizeof *used);
    if (used == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
    }
    struct given given = {lines, count, used};
    struct kv_grammar grammar;
    kv_grammar_init(&grammar, type);
    struct kv_buf text;
    kv_buf_init(&text, KV_STATEMENT_MAX);
    kv_buf_add_format(&text, "%s\n", kv_grammar_type_line(type));
    enum kv_code code = write_lines(&grammar, &given, &text, err);
    if (code == KV_OK) {
        code = read_back(&text, out, err);
    }
    kv_buf_clear(&text);
    return code;
}

enum kv_code kv_compose_request(const struct kv_line *lines, size_t count,
                                struct kv_statement **out, struct kv_err *err)
{
    return compose(KV_STATEMENT_REQUEST, lines, count, out, err);
}

enum kv_code kv_compose_act(const struct kv_line *lines, size_t count, struct kv_statement **out,
                            struct kv_err *err)
{
    return compose(KV_STATEMENT_ACT, lines, count, out, err);
}

enum kv_code kv_compose_decision(const struct kv_statement *request,
                                 const struct kv_decision_head *head, struct kv_statement **out,
                                 struct kv_err *err)
{
    assert(kv_statement_type(request) == KV_STATEMENT_REQUEST);
    struct kv_hash hash = kv_statement_sha256(request);
    char sha256[KV_HASH_HEX_LEN], checkpoint[KV_SIZE_ROOT_LEN], issued[KV_TIME_S_LEN];
    kv_hash_hex(&hash, sha256);
    kv_size_root_print(&head->checkpoint, checkpoint);
    kv_time_format_s(head->issued_ms, issued);
    const struct kv_line lines[] = {
        {KV_KEY_VAULT, 0, kv_statement_get(request, KV_KEY_VAULT)},
        {KV_KEY_POLICY, 0, kv_statement_get(request, KV_KEY_POLICY)},
        {KV_KEY_REQUEST, 0, kv_statement_get(request, KV_KEY_REQUEST)},
        {KV_KEY_REQUEST_SHA256, 0, kv_bytes_str(sha256)},
        {KV_KEY_DECISION, 0, kv_bytes_str(kv_decision_word(head->decision))},
        {KV_KEY_ROLE, 0, kv_bytes_str(kv_seat_word(head->seat))},
        {KV_KEY_APPROVER, 0, head->approver},
        {KV_KEY_APPROVER_KEY, 0, head->approver_key},
        {KV_KEY_LOG_CHECKPOINT, 0, kv_bytes_str(checkpoint)},
        {KV_KEY_NONCE, 0, head->nonce},
        {KV_KEY_ISSUED, 0, kv_bytes_str(issued)},
    };
    bool used[KV_COUNT(lines)] = {false};
    struct given given = {lines, KV_COUNT(lines), used};
    struct kv_grammar grammar;
    kv_grammar_init(&grammar, KV_STATEMENT_DECISION);
    struct kv_buf text;
    kv_buf_init(&text, KV_STATEMENT_MAX);
    kv_buf_add_format(&text, "%s\n", kv_grammar_type_line(KV_STATEMENT_DECISION));
    enum kv_code code = write_lines(&grammar, &given, &text, err);
    if (code == KV_OK) {
        struct kv_bytes repeated = kv_statement_text(request);
        const uint8_t *lf = memchr(repeated.ptr, '\n', repeated.len);
        size_t skip = (size_t)(lf - repeated.ptr) + 1;
        kv_buf_add(&text, repeated.ptr + skip, repeated.len - skip);
        code = read_back(&text, out, err);
    }
    kv_buf_clear(&text);
    return code;
}

void kv_nonce_print(const uint8_t random[static 32], char out[static KV_NONCE_LEN])
{
    kv_base64url_encode(kv_bytes(random, 32), out);
}

void kv_size_root_print(const struct kv_size_root *checkpoint, char out[static KV_SIZE_ROOT_LEN])
{
    char root[KV_HASH_BASE64_LEN];
    kv_hash_base64(&checkpoint->root, root);
    int len =
        snprintf(out, KV_SIZE_ROOT_LEN, "%llu %s", (unsigned long long)checkpoint->size, root);
    assert(len > 0 && len < KV_SIZE_ROOT_LEN);
}
