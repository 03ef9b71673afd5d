/* The ledger vectors through the fold: a whole export is accepted record by record, and what was
 * changed in its meaning, though signed anew, is refused with the rule that was broken. */
#include "tests/unit/kv_test.h"

#include "ledger/encode.h"
#include "ledger/tree.h"
#include "policy/state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define LEDGER KV_VECTORS "/ledger/v1/"
#define LINES  128

struct story {
    const char *variant; /* a folder of tampered/, or NULL: the evidence itself */
    char *text;          /* owned; records.jsonl */
    struct kv_bytes line[LINES];
    size_t count;
    struct kv_tree *tree;
    struct kv_state *state;
};

static bool read_path(const char *folder, const char *name, struct kv_buf *out)
{
    char path[512];
    uint8_t part[4096];
    int len = snprintf(path, sizeof path, LEDGER "%s/%s", folder, name);
    assert(len > 0 && (size_t)len < sizeof path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    kv_buf_reset(out);
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) {
        kv_buf_add(out, part, n);
    }
    assert_int_equal(fclose(file), 0);
    return true;
}

/* A file of the variant, or that of the evidence which it did not change. */
static void read_file(const struct story *s, const char *name, struct kv_buf *out)
{
    char folder[128];
    int len = snprintf(folder, sizeof folder, "tampered/%s", s->variant == NULL ? "" : s->variant);
    assert(len > 0 && (size_t)len < sizeof folder);
    if ((s->variant == NULL || !read_path(folder, name, out)) &&
        !read_path("evidence", name, out)) {
        fail_msg("%s is missing", name);
    }
}

static void open_story(struct story *s, const char *variant)
{
    struct kv_buf file;
    *s = (struct story){.variant = variant, .tree = kv_tree_new(), .state = kv_state_new()};
    kv_buf_init(&file, 1 << 20);
    read_file(s, "records.jsonl", &file);
    s->text = malloc(file.len);
    assert_non_null(s->text);
    memcpy(s->text, file.data, file.len);
    const char *at = s->text, *end = s->text + file.len;
    for (const char *lf; at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL;
         at = lf + 1) {
        assert_true(s->count < LINES);
        s->line[s->count] = kv_bytes(at, (size_t)(lf - at));
        struct kv_hash leaf = kv_leaf_hash(s->line[s->count++]);
        kv_tree_append(s->tree, &leaf);
    }
    kv_buf_clear(&file);
}

static void close_story(struct story *s)
{
    kv_state_free(s->state);
    kv_tree_free(s->tree);
    free(s->text);
}

static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct story *s = ctx;
    if (size > kv_tree_size(s->tree)) {
        return false;
    }
    *out = kv_tree_root(s->tree, size);
    return true;
}

static enum kv_code apply(struct story *s, size_t i, struct kv_err *err)
{
    struct kv_record *rec = NULL;
    struct kv_buf blob[KV_RECORD_DOCS_MAX];
    struct kv_bytes view[KV_RECORD_DOCS_MAX];
    char hex[KV_HASH_HEX_LEN], name[sizeof hex + 8];
    assert_int_equal(kv_record_decode(s->line[i], &rec, err), KV_OK);
    for (size_t d = 0; d < rec->doc_count; d++) {
        kv_buf_init(&blob[d], KV_BLOB_MAX);
        kv_hash_hex(&rec->docs[d].hash, hex);
        int len = snprintf(name, sizeof name, "blobs/%s", hex);
        assert(len > 0 && (size_t)len < sizeof name);
        read_file(s, name, &blob[d]);
        view[d] = kv_buf_bytes(&blob[d]);
    }
    struct kv_blobs blobs = {view, rec->doc_count};
    struct kv_log_view log = {root_at, s, rec->seq, UINT64_MAX};
    enum kv_code code = kv_state_apply(s->state, rec, &blobs, &log, err);
    for (size_t d = 0; d < rec->doc_count; d++) {
        kv_buf_clear(&blob[d]);
    }
    kv_record_free(rec);
    return code;
}

/* The number of the first line that is refused, from 1; 0: none is. */
static size_t replay(struct story *s, struct kv_err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        if (apply(s, i, err) != KV_OK) {
            return i + 1;
        }
    }
    return 0;
}

static void test_evidence_is_accepted(void **state)
{
    (void)state;
    struct story s;
    struct kv_err err = {0};
    struct kv_buf signers, want;
    open_story(&s, NULL);
    size_t bad = replay(&s, &err);
    if (bad != 0) {
        fail_msg("line %zu: %s: %s", bad, kv_code_word(err.code), err.msg);
    }
    assert_int_equal(kv_state_size(s.state), 77);
    assert_int_equal(kv_state_intent_count(s.state), 0);
    const struct kv_grant *g = kv_state_grant(s.state, kv_bytes_str("01M8RFVFHRBN52YREPEQW7SFTP"));
    assert_non_null(g);
    assert_int_equal(g->state, KV_GRANT_CLOSING);
    assert_true(g->revoked);
    assert_false(kv_state_person(s.state, kv_bytes_str("cus-02"))->enabled);

    kv_buf_init(&signers, KV_BLOB_MAX);
    kv_buf_init(&want, KV_BLOB_MAX);
    kv_state_allowed_signers(s.state, &signers);
    read_file(&s, "approvals/allowed_signers", &want);
    assert_string_equal(kv_buf_str(&signers), kv_buf_str(&want));
    kv_buf_clear(&signers);
    kv_buf_clear(&want);
    close_story(&s);
}

static void test_changed_meaning_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *variant;
        size_t line;
        enum kv_code code;
    } rows[] = {
        {"approval-short", 20, KV_E_LEDGER_NOT_APPROVED},
        {"approval-forged", 20, KV_E_SIG_BAD},
        {"rewritten", 28, KV_E_APPR_CHECKPOINT},
        {"cut-above", 0, KV_OK},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct story s;
        struct kv_err err = {0};
        open_story(&s, rows[i].variant);
        size_t bad = replay(&s, &err);
        if (bad != rows[i].line || err.code != rows[i].code) {
            fail_msg("%s: line %zu, %s: %s", rows[i].variant, bad, kv_code_word(err.code), err.msg);
        }
        close_story(&s);
    }
}

/* An agent that came back without writing the outcome: nothing is illegal in that, the intent is
 * left over, and who verifies sees it. */
static void test_open_intent_is_left(void **state)
{
    (void)state;
    struct story s;
    struct kv_err err = {0};
    open_story(&s, "intent-open");
    assert_int_equal(replay(&s, &err), 0);
    assert_int_equal(kv_state_intent_count(s.state), 1);
    assert_int_equal(kv_state_intent_at(s.state, 0)->seq, 69);
    close_story(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evidence_is_accepted),
        cmocka_unit_test(test_changed_meaning_is_refused),
        cmocka_unit_test(test_open_intent_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
