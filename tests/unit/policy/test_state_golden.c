/* The golden ledger of record format v 1: an export that this version's own agent made. Every later
 * version must verify it and replay it to the state that is stored beside it (docs/ledger-format.md
 * §7, versions). To renew it before the format's first release: put a `ci/demo --keep` export
 * there, run this test with KV_GOLDEN_WRITE=1, and read the difference. */
#include "tests/unit/kv_test.h"

#include "ledger/verify.h"
#include "policy/state.h"

#include <stdio.h>
#include <stdlib.h>

#define GOLDEN KV_VECTORS "/ledger/golden/"

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
    struct kv_log_view view = {root_at, (void *)(uintptr_t)entry->tree, entry->covered, UINT64_MAX};
    return kv_state_apply(ctx, entry->rec, &entry->blobs, &view, err);
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

static void the_ledger_of_v1_verifies_and_replays_to_its_state(void **state)
{
    (void)state;
    struct kv_err err;
    struct kv_reader *reader = NULL;
    struct kv_verify_result result;
    struct kv_state *replayed = kv_state_new();
    struct kv_verify_options options = {.on_entry = on_entry, .ctx = replayed};
    struct kv_buf want, got;
    kv_buf_init(&want, 1 << 20);
    kv_buf_init(&got, 1 << 20);
    assert_int_equal(kv_reader_open(GOLDEN "v1", &reader, &err), KV_OK);
    assert_int_equal(kv_verify(reader, &options, &result, &err), KV_OK);
    assert_int_equal(kv_findings_exit(&result.findings), KV_VERIFY_GOOD);
    assert_true(result.records > 50);
    kv_state_dump(replayed, &got);
    if (getenv("KV_GOLDEN_WRITE") != NULL) {
        write_text(GOLDEN "v1.state", &got);
    }
    read_text(GOLDEN "v1.state", &want);
    assert_string_equal(kv_buf_str(&got), kv_buf_str(&want));
    kv_buf_clear(&want);
    kv_buf_clear(&got);
    kv_verify_result_clear(&result);
    kv_reader_free(reader);
    kv_state_free(replayed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ledger_of_v1_verifies_and_replays_to_its_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
