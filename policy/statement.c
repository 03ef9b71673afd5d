#include "policy/statement.h"

#include "policy/grammar.h"
#include "policy/statement_value.h"

#include <stdio.h>
#include <stdlib.h>

struct kv_statement {
    enum kv_statement_type type;
    enum kv_action action;
    enum kv_act act;
    uint8_t *text; /* owned */
    size_t text_len;
    struct kv_bytes *raw; /* owned; lines of the text without LF, views into it */
    size_t raw_count;
    struct kv_line *lines; /* owned; views into the text */
    size_t line_count;
    unsigned line_offset;         /* of a repeated request: lines before it in the decision */
    struct kv_statement *request; /* owned; of a decision */
};

/* Where a text is refused. */
struct refusal {
    enum kv_code code;
    unsigned line;
    enum kv_key key; /* KV_KEY_NONE: no key to name */
    uint32_t n;
    const char *what;
};

static enum kv_code refuse(const struct refusal *refusal, unsigned *line, struct kv_err *err)
{
    char number[12] = "";
    if (refusal->n != 0) {
        int len = snprintf(number, sizeof number, "%u", refusal->n);
        assert(len > 0 && (size_t)len < sizeof number);
    }
    if (line != NULL) {
        *line = refusal->line;
    }
    if (refusal->key == KV_KEY_NONE) {
        return KV_REFUSE(err, refusal->code, "line %u: %s", refusal->line, refusal->what);
    }
    return KV_REFUSE(err, refusal->code, "line %u: %s%s %s", refusal->line,
                     kv_key_word(refusal->key), number, refusal->what);
}

/* Check (1): what happens to a text on its way (mail, editors), and its sizes. Line by line, so
 * that the first line that was touched is the one that is named. */
static bool check_bytes(struct kv_bytes text, size_t text_max, struct refusal *refusal)
{
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
    *refusal = (struct refusal){.code = KV_E_STMT_TRANSIT, .line = 1};
    if (text.len >= sizeof bom && memcmp(text.ptr, bom, sizeof bom) == 0) {
        refusal->what = "changed in transit: a byte order mark was put in front";
        return false;
    }
    for (size_t at = 0; at < text.len || at == 0; refusal->line++) {
        const uint8_t *lf = text.len == 0 ? NULL : memchr(text.ptr + at, '\n', text.len - at);
        size_t end = lf == NULL ? text.len : (size_t)(lf - text.ptr);
        if (lf != NULL && end > at && text.ptr[end - 1] == '\r') {
            refusal->what = "changed in transit: the line ends in CR LF";
            return false;
        }
        if (end - at > KV_STATEMENT_LINE_MAX || end >= text_max) {
            refusal->code = KV_E_STMT_TOO_LONG;
            refusal->what = end - at > KV_STATEMENT_LINE_MAX
                                ? "the line is longer than 1024 bytes"
                                : "the text is longer than such a text may be";
            return false;
        }
        if (lf == NULL) {
            refusal->what = "changed in transit: the last line does not end in LF";
            return false;
        }
        at = end + 1;
    }
    return true;
}

/* The type that the first line names; false if it is none. */
static bool find_type(struct kv_bytes text, enum kv_statement_type *out)
{
    for (int i = KV_STATEMENT_REQUEST; i <= KV_STATEMENT_ACT; i++) {
        const char *word = kv_grammar_type_line((enum kv_statement_type)i);
        size_t len = strlen(word);
        if (text.len > len && memcmp(text.ptr, word, len) == 0 && text.ptr[len] == '\n') {
            *out = (enum kv_statement_type)i;
            return true;
        }
    }
    return false;
}

/* A statement that holds `first` ‖ `rest` and knows where their lines are; NULL: no memory. */
static struct kv_statement *hold(struct kv_bytes first, struct kv_bytes rest)
{
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = calloc(1, sizeof *st);
    if (st == NULL) {
        return NULL;
    }
    st->text_len = first.len + rest.len;
    st->text = malloc(st->text_len);
    if (st->text == NULL) {
        return NULL;
    }
    memcpy(st->text, first.ptr, first.len);
    if (rest.len > 0) {
        memcpy(st->text + first.len, rest.ptr, rest.len);
    }
    size_t count = 0;
    for (size_t i = 0; i < st->text_len; i++) {
        count += st->text[i] == '\n';
    }
    st->raw = calloc(count, sizeof *st->raw);
    st->lines = calloc(count, sizeof *st->lines);
    if (st->raw == NULL || st->lines == NULL) {
        return NULL;
    }
    for (size_t at = 0, end = 0; end < st->text_len; end++) {
        if (st->text[end] == '\n') {
            st->raw[st->raw_count++] = kv_bytes(st->text + at, end - at);
            at = end + 1;
        }
    }
    struct kv_statement *made = st;
    st = NULL; /* handed over */
    return made;
}

/* The value of `raw` if it is the line `key: value`. */
static bool take_value(struct kv_bytes raw, enum kv_key key, uint32_t n, struct kv_bytes *value)
{
    char prefix[48];
    int len = kv_key_numbered(key) ? snprintf(prefix, sizeof prefix, "%s%u: ", kv_key_word(key), n)
                                   : snprintf(prefix, sizeof prefix, "%s: ", kv_key_word(key));
    assert(len > 0 && (size_t)len < sizeof prefix);
    size_t skip = (size_t)len;
    /* An empty value is written "-"; a value that begins with a space is no value either. */
    if (raw.len <= skip || memcmp(raw.ptr, prefix, skip) != 0 || raw.ptr[skip] == ' ') {
        return false;
    }
    *value = kv_bytes(raw.ptr + skip, raw.len - skip);
    return true;
}

/* Check (2): the lines behind the type line. Walks raw lines from *at; what chooses further lines
 * (action, act, target, counts) must be good to go on. */
static bool walk_lines(struct kv_statement *st, struct refusal *refusal)
{
    struct kv_grammar grammar;
    kv_grammar_init(&grammar, st->type);
    size_t at = 1;
    enum kv_key key;
    uint32_t n;
    while (kv_grammar_next(&grammar, &key, &n)) {
        struct kv_bytes value;
        *refusal = (struct refusal){.line = (unsigned)at + 1 + st->line_offset, .key = key, .n = n};
        if (at >= st->raw_count || !take_value(st->raw[at], key, n, &value)) {
            refusal->code = KV_E_STMT_LINE;
            refusal->what = at >= st->raw_count ? "is missing" : "is expected here, with a value";
            return false;
        }
        st->lines[st->line_count++] = (struct kv_line){key, n, value};
        if (!kv_grammar_feed(&grammar, key, value)) {
            refusal->code = KV_E_STMT_VALUE;
            refusal->what = "has a value that chooses no known lines";
            return false;
        }
        at++;
    }
    st->action = grammar.action;
    st->act = grammar.act;
    if (st->type != KV_STATEMENT_DECISION && at < st->raw_count) {
        *refusal = (struct refusal){.code = KV_E_STMT_TRANSIT,
                                    .line = (unsigned)at + 1 + st->line_offset,
                                    .what = "changed in transit: something follows the last line"};
        return false;
    }
    return true;
}

/* Check (3). */
static bool check_values(const struct kv_statement *st, struct refusal *refusal)
{
    for (size_t i = 0; i < st->line_count; i++) {
        const struct kv_line *line = &st->lines[i];
        const char *what = kv_value_complaint(line->key, line->value);
        if (what != NULL) {
            *refusal = (struct refusal){KV_E_STMT_VALUE, (unsigned)i + 2 + st->line_offset,
                                        line->key, line->n, what};
            return false;
        }
    }
    return true;
}

static bool check_agreement(const struct kv_statement *st, struct refusal *refusal)
{
    size_t at = 0;
    const char *what = kv_values_complaint(st, &at);
    if (what != NULL) {
        *refusal = (struct refusal){KV_E_STMT_VALUE, (unsigned)at + 2 + st->line_offset,
                                    st->lines[at].key, st->lines[at].n, what};
    }
    return what == NULL;
}

/* The request that a decision repeats, held as a text of its own; its lines are numbered as in the
 * decision. */
static struct kv_statement *hold_request(const struct kv_statement *decision)
{
    static const char type_line[] = "ksefvault/request/v1\n";
    size_t skip = decision->text_len;
    if (decision->raw_count > KV_DECISION_HEAD) {
        skip = (size_t)(decision->raw[KV_DECISION_HEAD].ptr - decision->text);
    }
    struct kv_statement *request = hold(kv_bytes(type_line, sizeof type_line - 1),
                                        kv_bytes(decision->text + skip, decision->text_len - skip));
    if (request != NULL) {
        request->line_offset = KV_DECISION_HEAD - 1;
    }
    return request;
}

static bool judge(struct kv_statement *st, struct refusal *refusal)
{
    struct kv_statement *request = st->request;
    if (request != NULL && request->text_len > KV_REQUEST_MAX) {
        *refusal = (struct refusal){.code = KV_E_STMT_TOO_LONG,
                                    .line = (unsigned)st->raw_count,
                                    .what = "the request is longer than 15360 bytes"};
        return false;
    }
    return walk_lines(st, refusal) && (request == NULL || walk_lines(request, refusal)) &&
           check_values(st, refusal) && (request == NULL || check_values(request, refusal)) &&
           check_agreement(st, refusal) && (request == NULL || check_agreement(request, refusal));
}

enum kv_code kv_statement_parse(struct kv_bytes text, struct kv_statement **out, unsigned *line,
                                struct kv_err *err)
{
    enum kv_statement_type type = KV_STATEMENT_DECISION;
    bool known = find_type(text, &type);
    size_t text_max = type == KV_STATEMENT_REQUEST ? KV_REQUEST_MAX : KV_STATEMENT_MAX;
    struct refusal refusal;
    if (!check_bytes(text, text_max, &refusal)) {
        return refuse(&refusal, line, err);
    }
    if (!known) {
        refusal = (struct refusal){
            .code = KV_E_STMT_LINE, .line = 1, .what = "is no type of text that is known here"};
        return refuse(&refusal, line, err);
    }
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = hold(text, KV_BYTES_NULL);
    if (st == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
    }
    st->type = type;
    if (type == KV_STATEMENT_DECISION) {
        st->request = hold_request(st);
        if (st->request == NULL) {
            return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
        }
    }
    if (!judge(st, &refusal)) {
        return refuse(&refusal, line, err);
    }
    *out = st;
    st = NULL; /* handed over */
    return KV_OK;
}

void kv_statement_free(struct kv_statement *st)
{
    if (st != NULL) {
        kv_statement_free(st->request);
        free(st->text);
        free(st->raw);
        free(st->lines);
        free(st);
    }
}

void kv_statement_freep(struct kv_statement **st)
{
    kv_statement_free(*st);
    *st = NULL;
}

enum kv_statement_type kv_statement_type(const struct kv_statement *st)
{
    return st->type;
}

struct kv_bytes kv_statement_text(const struct kv_statement *st)
{
    return kv_bytes(st->text, st->text_len);
}

enum kv_action kv_statement_action(const struct kv_statement *st)
{
    return st->request != NULL ? st->request->action : st->action;
}

enum kv_act kv_statement_act(const struct kv_statement *st)
{
    return st->act;
}

const struct kv_statement *kv_statement_request(const struct kv_statement *st)
{
    return st->type == KV_STATEMENT_REQUEST ? st : st->request;
}

size_t kv_statement_line_count(const struct kv_statement *st)
{
    return st->line_count;
}

const struct kv_line *kv_statement_line(const struct kv_statement *st, size_t i)
{
    assert(i < st->line_count);
    return &st->lines[i];
}

static enum kv_code differs(unsigned at, const char *what, unsigned *line, struct kv_err *err)
{
    if (line != NULL) {
        *line = at;
    }
    return KV_REFUSE(err, KV_E_STMT_REQUEST, "line %u: %s", at, what);
}

/* The first line of the repeated request that is not the recorded one; 0 if there is none. */
static unsigned first_difference(const struct kv_statement *request, struct kv_bytes recorded)
{
    struct kv_bytes text = kv_statement_text(request);
    if (kv_bytes_equal(text, recorded)) {
        return 0;
    }
    unsigned at = 1;
    for (size_t i = 0; i < text.len && i < recorded.len && text.ptr[i] == recorded.ptr[i]; i++) {
        at += text.ptr[i] == '\n';
    }
    return at + request->line_offset;
}

enum kv_code kv_statement_repeats(const struct kv_statement *decision, struct kv_bytes request_text,
                                  unsigned *line, struct kv_err *err)
{
    assert(decision->type == KV_STATEMENT_DECISION);
    const struct kv_statement *request = decision->request;
    unsigned at = first_difference(request, request_text);
    if (at != 0) {
        return differs(at, "is not that of the recorded request", line, err);
    }
    struct kv_hash hash = kv_hash(request_text), named;
    if (!kv_statement_hash(decision, KV_KEY_REQUEST_SHA256, &named) ||
        !kv_hash_equal(&hash, &named)) {
        return differs(5, "request-sha256 is not that of the recorded request", line, err);
    }
    static const enum kv_key same[] = {KV_KEY_VAULT, KV_KEY_POLICY, KV_KEY_REQUEST};
    for (size_t i = 0; i < KV_COUNT(same); i++) {
        if (!kv_bytes_equal(kv_statement_get(decision, same[i]),
                            kv_statement_get(request, same[i]))) {
            return differs((unsigned)i + 2, "the head names another than its request", line, err);
        }
    }
    return KV_OK;
}
