#include "tests/unit/ledger/log_test.h"

#include "ledger/manifest.h"
#include "ledger/verify.h"

#include <jansson.h>

/* Copy a tree of files; existing ones are replaced. */
static void copy_tree(const char *from, int to)
{
    DIR *dir = opendir(from);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[1024];
        struct stat st;
        assert_true(snprintf(path, sizeof path, "%s/%s", from, e->d_name) > 0);
        if (e->d_name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            (void)mkdirat(to, e->d_name, 0700); /* may be there */
            int fd = openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            assert_true(fd >= 0);
            copy_tree(path, fd);
            (void)close(fd);
        }
    }
    (void)closedir(dir);
    copy_files(from, to);
}

static struct folder variant(const char *name)
{
    struct folder f = folder_new();
    char path[512];
    copy_tree(VECTOR("v1/evidence"), f.fd);
    if (strcmp(name, "good") == 0) {
        return f;
    }
    assert_true(snprintf(path, sizeof path, "%s/%s", VECTOR("v1/tampered"), name) > 0);
    copy_tree(path, f.fd);
    assert_true(snprintf(path, sizeof path, "%s/%s.remove", VECTOR("v1/tampered"), name) > 0);
    struct kv_buf list = load(path);
    struct kv_bytes rest = kv_buf_bytes(&list);
    struct kv_bytes line;
    while (next_line(&rest, &line)) {
        assert_true(snprintf(path, sizeof path, "%.*s", (int)line.len, (const char *)line.ptr) > 0);
        assert_int_equal(unlinkat(f.fd, path, 0), 0);
    }
    kv_buf_clear(&list);
    return f;
}

static enum kv_code count_entry(void *ctx, const struct kv_entry *entry, struct kv_err *err)
{
    uint64_t *count = ctx;
    (void)err;
    assert_int_equal(entry->rec->seq, *count);
    assert_int_equal(entry->blobs.count, entry->rec->doc_count);
    (*count)++;
    return KV_OK;
}

static uint64_t verify(const char *path, struct kv_verify_options options,
                       struct kv_verify_result *result)
{
    struct kv_reader *reader = NULL;
    struct kv_err err = {0};
    uint64_t entries = 0;
    options.on_entry = count_entry;
    options.ctx = &entries;
    if (kv_reader_open(path, &reader, &err) != KV_OK ||
        kv_verify(reader, &options, result, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    kv_reader_free(reader);
    return entries;
}

static const char *const meaning[] = {"approval-copy",  "signers",         "intent-open",
                                      "approval-short", "approval-forged", "rewritten"};

static bool is_meaning(const char *name)
{
    for (size_t i = 0; i < KV_COUNT(meaning); i++) {
        if (strcmp(name, meaning[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void check_variant(const json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    json_int_t exit = json_integer_value(json_object_get(item, "exit"));
    const char *place = json_string_value(json_object_get(item, "place"));
    struct kv_vkey key = log_key();
    struct kv_checkpoint expect;
    struct kv_verify_options options = {0};
    struct kv_verify_result result;
    struct folder f = variant(name);
    char got[KV_FINDING_PLACE + 32] = "";
    if (json_object_get(item, "arguments") != NULL) { /* --expect evidence/checkpoint */
        struct kv_buf note = load(VECTOR("v1/evidence/checkpoint"));
        assert_int_equal(kv_checkpoint_open(kv_buf_bytes(&note), &key, 1, &expect, NULL), KV_OK);
        kv_buf_clear(&note);
        options.expect = &expect;
    }
    if (is_meaning(name)) { /* the bytes are all right: decided by who knows the meaning */
        exit = 0;
        place = "";
    }
    uint64_t entries = verify(f.path, options, &result);
    const struct kv_finding *first = kv_findings_first(&result.findings);
    if (first != NULL) {
        assert_true(snprintf(got, sizeof got, first->line == 0 ? "%s" : "%s:%llu", first->file,
                             (unsigned long long)first->line) > 0);
    }
    enum kv_verify_exit is = kv_findings_exit(&result.findings);
    if (is != (enum kv_verify_exit)exit || strcmp(got, place) != 0) {
        fail_msg("%s: exit %u at '%s' (%s)", name, is, got, first == NULL ? "" : first->what);
    }
    assert_int_equal(result.stage_a_good, exit != 10);
    if (exit == 0) {
        assert_int_equal(entries, result.records);
    }
    assert_true(result.vkey_from_folder);
    kv_verify_result_clear(&result);
    folder_free(&f);
}

static void each_tampered_folder_gives_its_exit_and_place(void **state)
{
    (void)state;
    json_t *index = json_load_file(VECTOR("v1/index.json"), 0, NULL);
    const json_t *variants = json_object_get(index, "variants");
    assert_int_equal(json_array_size(variants), 23);
    for (size_t i = 0; i < json_array_size(variants); i++) {
        check_variant(json_array_get(variants, i));
    }
    json_decref(index);
}

static void the_good_folder_is_described(void **state)
{
    (void)state;
    struct kv_vkey key = log_key();
    struct kv_verify_result result;
    struct kv_verify_options options = {.vkey = &key};
    assert_int_equal(verify(VECTOR("v1/evidence"), options, &result), 77);
    assert_int_equal(result.records, 77);
    assert_int_equal(result.records_good, 77);
    assert_int_equal(result.covered, 73);
    assert_false(result.vkey_from_folder);
    assert_false(result.test);
    char root[KV_HASH_BASE64_LEN];
    kv_hash_base64(&result.checkpoint.root, root);
    assert_string_equal(root, "MnSspV86kWerbwkHVzNMDvUZuFzHcxThWVhSO+Q68fI=");
    kv_verify_result_clear(&result);
}

static void another_key_is_refused(void **state)
{
    (void)state;
    struct kv_buf file = load(VECTOR("v1/keys/other.vkey"));
    struct kv_vkey other;
    struct kv_verify_result result;
    assert_int_equal(kv_vkey_parse(kv_buf_bytes(&file), &other, NULL), KV_OK);
    kv_buf_clear(&file);
    struct kv_verify_options options = {.vkey = &other};
    (void)verify(VECTOR("v1/evidence"), options, &result);
    assert_int_equal(kv_findings_exit(&result.findings), KV_VERIFY_BAD);
    assert_string_equal(result.findings.list[0].stage, "A2");
    kv_verify_result_clear(&result);
    /* Signed by it, put into keys/, and checked with the real one. */
    struct folder f = variant("key-all");
    struct kv_vkey key = log_key();
    options.vkey = &key;
    (void)verify(f.path, options, &result);
    assert_string_equal(result.findings.list[0].file, "keys/log.vkey");
    kv_verify_result_clear(&result);
    folder_free(&f);
}

static size_t line_of(const struct kv_buf *text, size_t at)
{
    size_t line = 1;
    for (size_t i = 0; i < at; i++) {
        line += text->data[i] == '\n';
    }
    return line;
}

/* Change one byte of `file` at a time, a prime number of bytes apart. MANIFEST is made anew, so
 * that the deeper checks have to find it. The place is near: the line itself or, if that is still a
 * record, the next one; the checkpoint for the last that it covers. */
static void expect_changes_found(struct folder *f, const char *file, size_t step)
{
    char path[128];
    assert_true(snprintf(path, sizeof path, "%s/%s", f->path, file) > 0);
    struct kv_buf bytes = load(path);
    for (size_t at = 0; at < bytes.len; at += step) {
        struct kv_err err = {0};
        struct kv_verify_result result;
        uint8_t changed = bytes.data[at] ^ 1;
        patch_file(f->fd, file, at, kv_bytes(&changed, 1));
        assert_int_equal(kv_manifest_write(f->fd, &err), KV_OK);
        (void)verify(f->path, (struct kv_verify_options){0}, &result);
        const struct kv_finding *first = kv_findings_first(&result.findings);
        bool last = strcmp(file, "records.jsonl") == 0 && line_of(&bytes, at) == 77;
        if (first == NULL && !last) { /* behind the last record nothing commits to it */
            fail_msg("%s: byte %zu is not found", file, at);
        }
        if (first != NULL && first->line != 0) {
            assert_in_range(first->line, line_of(&bytes, at), line_of(&bytes, at) + 1);
        } else if (first != NULL) {
            assert_true(strcmp(first->file, "checkpoint") == 0 ||
                        strncmp(first->file, "blobs/", 6) == 0);
        }
        kv_verify_result_clear(&result);
        patch_file(f->fd, file, at, kv_bytes(&bytes.data[at], 1));
    }
    kv_buf_clear(&bytes);
}

static void changed_bytes_of_records_and_checkpoint_are_found_and_placed(void **state)
{
    (void)state;
    struct folder f = variant("good");
    expect_changes_found(&f, "records.jsonl", SANITIZED ? 307 : 61);
    expect_changes_found(&f, "checkpoint", 3);
    folder_free(&f);
}

static void expect_place(const char *path, const char *stage, const char *file)
{
    struct kv_verify_result result;
    (void)verify(path, (struct kv_verify_options){0}, &result);
    const struct kv_finding *first = kv_findings_first(&result.findings);
    if (stage == NULL) {
        if (first != NULL) {
            fail_msg("%s %s: %s", first->stage, first->file, first->what);
        }
    } else {
        assert_non_null(first);
        assert_string_equal(first->stage, stage);
        assert_string_equal(first->file, file);
        assert_false(result.stage_a_good);
    }
    kv_verify_result_clear(&result);
}

static void what_lies_in_the_folder_must_be_listed(void **state)
{
    (void)state;
    struct folder f = variant("good");
    write_file(f.fd, "approvals/note", kv_bytes_str("x"));
    expect_place(f.path, "A1", "approvals/note");
    assert_int_equal(unlinkat(f.fd, "approvals/note", 0), 0);
    expect_place(f.path, NULL, NULL);
    assert_int_equal(unlinkat(f.fd, "records.csv", 0), 0);
    expect_place(f.path, "A1", "records.csv");
    assert_int_equal(unlinkat(f.fd, "MANIFEST", 0), 0);
    expect_place(f.path, "A1", "MANIFEST");
    folder_free(&f);
}

static void side_rows_and_proofs_are_checked_where_they_are(void **state)
{
    (void)state;
    static const char row[] =
        "private/1e5652b870b763e433d9ea3ebfce3dd10d4e946ccedc783a413b32c7f318be1c.json";
    struct kv_err err = {0};
    struct folder f = variant("good");
    int dir = make_dir(f.fd, "private");
    copy_files(VECTOR("v1/private"), dir);
    (void)close(dir);
    assert_int_equal(kv_manifest_write(f.fd, &err), KV_OK);
    expect_place(f.path, NULL, NULL);
    patch_file(f.fd, row, 70, kv_bytes_str("X"));
    assert_int_equal(kv_manifest_write(f.fd, &err), KV_OK);
    expect_place(f.path, "A6", row);
    assert_int_equal(unlinkat(f.fd, row, 0), 0);
    assert_int_equal(kv_manifest_write(f.fd, &err), KV_OK);
    expect_place(f.path, "A6", row);
    patch_file(f.fd, "proofs/20.json", 50, kv_bytes_str("X"));
    assert_int_equal(kv_manifest_write(f.fd, &err), KV_OK);
    expect_place(f.path, "A5", "proofs/20.tlog-proof"); /* stage A5 comes first */
    folder_free(&f);
}

static void a_ledger_folder_is_verified_without_its_agent(void **state)
{
    (void)state;
    static const char segment[] = "wal/00000000000000000000.seg";
    static const char blob[] =
        "blobs/1549794fac2ad0b3609d7f116b95b41b64d6c37a50115ad9a500eedf46f3b34b";
    struct folder f = vector_ledger();
    struct kv_verify_result result;
    assert_int_equal(verify(f.path, (struct kv_verify_options){0}, &result), 77);
    assert_int_equal(kv_findings_exit(&result.findings), KV_VERIFY_GOOD);
    assert_int_equal(result.covered, 73);
    assert_int_equal(result.tail, KV_WHY_END);
    kv_verify_result_clear(&result);
    patch_file(f.fd, segment, 34894 + 30,
               kv_bytes_str("#")); /* the last, not covered: a torn tail */
    assert_int_equal(verify(f.path, (struct kv_verify_options){0}, &result), 76);
    assert_int_equal(kv_findings_exit(&result.findings), KV_VERIFY_GOOD);
    assert_int_equal(result.tail, KV_WHY_CRC);
    kv_verify_result_clear(&result);
    patch_file(f.fd, segment, 20000, kv_bytes_str("#"));
    expect_place(f.path, "A4", segment);
    folder_free(&f);

    f = vector_ledger();
    patch_file(f.fd, blob, 3, kv_bytes_str("#"));
    expect_place(f.path, "A6", blob);
    assert_int_equal(unlinkat(f.fd, "public/checkpoint", 0), 0);
    expect_place(f.path, "A3", "public/checkpoint");
    patch_file(f.fd, segment, 100, kv_bytes_str("#"));
    expect_place(f.path, "A2", segment);
    folder_free(&f);
}

/* Everything chains, only the signed root knows better. */
static void records_under_another_root_are_refused(void **state)
{
    (void)state;
    struct kv_err err = {0};
    struct folder f = variant("good");
    struct kv_buf lines = other_last_record();
    write_file(f.fd, "records.jsonl", kv_buf_bytes(&lines));
    assert_int_equal(kv_manifest_write(f.fd, &err), KV_OK);
    expect_place(f.path, "A5", "checkpoint");
    folder_free(&f);
    f = vector_ledger();
    struct kv_buf segment = other_last_segment();
    write_file(f.fd, "wal/00000000000000000000.seg", kv_buf_bytes(&segment));
    expect_place(f.path, "A5", "public/checkpoint");
    kv_buf_clear(&segment);
    kv_buf_clear(&lines);
    folder_free(&f);
}

static void a_folder_of_neither_kind_is_said_so(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_reader *reader = NULL;
    struct kv_err err = {0};
    assert_int_equal(kv_reader_open(f.path, &reader, &err), KV_E_NOT_FOUND);
    assert_int_equal(kv_reader_open("/nonexistent", &reader, &err), KV_E_NOT_FOUND);
    assert_null(reader);
    folder_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tampered_folder_gives_its_exit_and_place),
        cmocka_unit_test(the_good_folder_is_described),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(changed_bytes_of_records_and_checkpoint_are_found_and_placed),
        cmocka_unit_test(what_lies_in_the_folder_must_be_listed),
        cmocka_unit_test(side_rows_and_proofs_are_checked_where_they_are),
        cmocka_unit_test(a_ledger_folder_is_verified_without_its_agent),
        cmocka_unit_test(records_under_another_root_are_refused),
        cmocka_unit_test(a_folder_of_neither_kind_is_said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
