/* The golden ledgers of record format v 1: exports that this version's own agent made. Every later
 * version must verify each and replay it to the state that is stored beside it
 * (docs/ledger-format.md §7, versions). `v1` is the life of `ci/demo`, `v1-b` that of
 * golden/make.sh, which tells how to add another. Neither is ever made anew; a state that is told
 * in more words is written with KV_GOLDEN_WRITE=1, and its difference read. */
#include "tests/unit/kv_test.h"

#include "ledger/verify.h"
#include "policy/state.h"

#include <stdio.h>
#include <stdlib.h>

#define GOLDEN KV_VECTORS "/ledger/golden/"

static const char *const ledgers[] = {"v1", "v1-b"};

/* In no golden ledger: an event that comes to the table needs another ledger, or a reason here. */
static const enum kv_event missing[] = {
    KV_EV_ALARM_KEY_CLONED, /* needs a security key that exists twice */
};

struct replay {
    struct kv_state *state;
    bool seen[KV_EV_COUNT];
};

static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct kv_tree *tree = ctx;
    if (size > kv_tree_size(tree)) {
        return false;
    }
    *out = kv_tree_root(tree, size);
    return true;
}

static enum kv_code on_entry(void *ctx, const struct kv_entry *entry, struct kv_err *err)
{
    struct replay *replay = ctx;
    struct kv_log_view view = {root_at, (void *)(uintptr_t)entry->tree, entry->covered, UINT64_MAX};
    replay->seen[entry->rec->ev] = true;
    return kv_state_apply(replay->state, entry->rec, &entry->blobs, &view, err);
}

static void read_text(const char *path, struct kv_buf *out)
{
    char part[4096];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) {
        kv_buf_add(out, part, n);
    }
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *path, const struct kv_buf *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
    assert_int_equal(fclose(file), 0);
}

static void one_ledger(const char *name, struct replay *replay)
{
    struct kv_err err;
    struct kv_reader *reader = NULL;
    struct kv_verify_result result;
    struct kv_verify_options options = {.on_entry = on_entry, .ctx = replay};
    struct kv_buf want, got;
    char folder[128], state[128];
    kv_buf_init(&want, 1 << 20);
    kv_buf_init(&got, 1 << 20);
    assert_true(snprintf(folder, sizeof folder, GOLDEN "%s", name) > 0);
    assert_true(snprintf(state, sizeof state, GOLDEN "%s.state", name) > 0);
    replay->state = kv_state_new();
    assert_int_equal(kv_reader_open(folder, &reader, &err), KV_OK);
    assert_int_equal(kv_verify(reader, &options, &result, &err), KV_OK);
    assert_int_equal(kv_findings_exit(&result.findings), KV_VERIFY_GOOD);
    assert_true(result.records > 50);
    kv_state_dump(replay->state, &got);
    if (getenv("KV_GOLDEN_WRITE") != NULL) {
        write_text(state, &got);
    }
    read_text(state, &want);
    assert_string_equal(kv_buf_str(&got), kv_buf_str(&want));
    kv_buf_clear(&want);
    kv_buf_clear(&got);
    kv_verify_result_clear(&result);
    kv_reader_free(reader);
    kv_state_free(replay->state);
}

static void each_golden_ledger_verifies_and_replays_to_its_state(void **state)
{
    (void)state;
    struct replay replay = {0};
    for (size_t i = 0; i < KV_COUNT(ledgers); i++) {
        one_ledger(ledgers[i], &replay);
    }
}

static void each_kind_of_event_is_in_one_or_is_known_to_be_missing(void **state)
{
    (void)state;
    struct replay replay = {0};
    for (size_t i = 0; i < KV_COUNT(ledgers); i++) {
        one_ledger(ledgers[i], &replay);
    }
    for (size_t i = 0; i < KV_COUNT(missing); i++) {
        assert_false(replay.seen[missing[i]]);
        print_message("in no golden ledger: %s\n", kv_event_word(missing[i]));
        replay.seen[missing[i]] = true;
    }
    for (int ev = KV_EV_NONE + 1; ev < KV_EV_COUNT; ev++) {
        if (!replay.seen[ev]) {
            fail_msg("%s is in no golden ledger", kv_event_word((enum kv_event)ev));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_golden_ledger_verifies_and_replays_to_its_state),
        cmocka_unit_test(each_kind_of_event_is_in_one_or_is_known_to_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
