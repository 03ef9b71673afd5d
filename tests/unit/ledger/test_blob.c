#include "tests/unit/ledger/log_test.h"

#include "ledger/file.h"
#include "ledger/tile.h"

static void blobs_are_kept_under_their_hash(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct kv_bytes blobs[] = {kv_bytes_str("one"), kv_bytes_str("two"), kv_bytes_str("one")};
    struct kv_hash one = kv_hash(blobs[0]);
    struct kv_hash other = kv_hash(kv_bytes_str("three"));
    struct kv_buf out;
    kv_buf_init(&out, 1 << 20);
    assert_int_equal(kv_blobs_put(f.fd, blobs, KV_COUNT(blobs), &err), KV_OK);
    kv_buf_add_str(&out, "before ");
    assert_int_equal(kv_blob_get(f.fd, &one, 3, &out, &err), KV_OK);
    assert_string_equal(kv_buf_str(&out), "before one");
    assert_int_equal(kv_blob_get(f.fd, &one, 0, &out, &err), KV_OK);
    assert_int_equal(kv_blob_get(f.fd, &one, 4, &out, &err), KV_E_LEDGER_BLOB);
    assert_int_equal(kv_blob_get(f.fd, &other, 0, &out, &err), KV_E_LEDGER_BLOB);
    assert_int_equal(kv_blob_get(-1, &one, 0, &out, &err), KV_E_LEDGER_BLOB);
    assert_int_equal(out.len, 13);
    kv_buf_clear(&out);
    folder_free(&f);
}

/* An existing name is kept: were its content damaged, overwriting would hide it. */
static void an_existing_blob_is_not_written_again(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct kv_bytes blob = kv_bytes_str("one");
    struct kv_hash hash = kv_hash(blob);
    struct kv_buf out;
    char name[KV_HASH_HEX_LEN];
    kv_hash_hex(&hash, name);
    kv_buf_init(&out, 1 << 20);
    write_file(f.fd, name, kv_bytes_str("bad"));
    assert_int_equal(kv_blobs_put(f.fd, &blob, 1, &err), KV_OK);
    assert_int_equal(kv_blob_get(f.fd, &hash, 3, &out, &err), KV_E_LEDGER_BLOB);
    kv_buf_clear(&out);
    folder_free(&f);
}

static void blobs_have_limits(void **state)
{
    (void)state;
    static const uint8_t big[KV_BLOB_MAX + 1] = {1};
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct kv_bytes blobs[] = {kv_bytes_str("fine"), kv_bytes(big, sizeof big)};
    assert_int_equal(kv_blobs_put(f.fd, blobs, 2, &err), KV_E_LIMIT);
    struct kv_hash hash = kv_hash(blobs[0]);
    struct kv_buf out;
    kv_buf_init(&out, 1 << 20);
    assert_int_equal(kv_blob_get(f.fd, &hash, 0, &out, &err), KV_E_LEDGER_BLOB); /* all or none */
    blobs[1].len--;
    assert_int_equal(kv_blobs_put(f.fd, blobs, 2, &err), KV_OK);
    blobs[0].len = 0;
    assert_int_equal(kv_blobs_put(f.fd, blobs, 1, &err), KV_E_LIMIT);
    /* A longer file under that name is not read into memory. */
    char name[KV_HASH_HEX_LEN];
    hash = kv_hash(kv_bytes(big, sizeof big));
    kv_hash_hex(&hash, name);
    write_file(f.fd, name, kv_bytes(big, sizeof big));
    assert_int_equal(kv_blob_get(f.fd, &hash, 0, &out, &err), KV_E_LEDGER_BLOB);
    kv_buf_clear(&out);
    folder_free(&f);
}

static void links_are_not_followed(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct kv_buf out;
    kv_buf_init(&out, 1 << 20);
    write_file(f.fd, "target", kv_bytes_str("x"));
    assert_int_equal(symlinkat("target", f.fd, "link"), 0);
    assert_int_equal(mkfifoat(f.fd, "fifo", 0600), 0);
    assert_int_equal(kv_file_read(f.fd, "target", 10, &out, &err), KV_OK);
    assert_int_equal(kv_file_read(f.fd, "link", 10, &out, &err), KV_E_IO);
    assert_int_equal(kv_file_read(f.fd, "fifo", 10, &out, &err), KV_E_IO); /* and no waiting */
    assert_int_equal(kv_file_read(f.fd, "target", 0, &out, &err), KV_E_INPUT_TOO_LARGE);
    assert_int_equal(kv_file_write(f.fd, "new", kv_bytes_str("y"), 0644, true, &err), KV_OK);
    struct stat st;
    assert_int_equal(fstatat(f.fd, "new", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(faccessat(f.fd, "new.tmp", F_OK, 0), -1);
    assert_int_equal(kv_file_write(f.fd, "no/such", kv_bytes_str("y"), 0644, true, &err),
                     KV_E_LEDGER_WRITE);
    kv_buf_clear(&out);
    folder_free(&f);
}

/* The rows of the vectors: name and commitment, there and back. */
static void side_rows_are_what_their_name_commits_to(void **state)
{
    (void)state;
    DIR *dir = opendir(VECTOR("v1/private"));
    struct folder f = folder_new();
    struct kv_err err = {0};
    size_t count = 0;
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct kv_hash name;
        struct kv_side_row row;
        struct kv_buf store, again;
        if (!kv_hash_from_hex(kv_bytes(e->d_name, strlen(e->d_name) < 64 ? 0 : 64), &name)) {
            continue;
        }
        char path[1024];
        assert_true(snprintf(path, sizeof path, "%s/%s", VECTOR("v1/private"), e->d_name) > 0);
        struct kv_buf text = load(path);
        kv_buf_init(&store, KV_SIDE_ROW_MAX);
        kv_buf_init(&again, KV_SIDE_ROW_MAX);
        assert_int_equal(kv_side_row_parse(kv_buf_bytes(&text), &row, &store, &err), KV_OK);
        struct kv_hash is = kv_commitment(row.salt, row.value);
        assert_true(kv_hash_equal(&is, &name));
        assert_int_equal(kv_side_row_encode(&row, &again, &err), KV_OK);
        assert_string_equal(kv_buf_str(&again), kv_buf_str(&text));
        assert_int_equal(kv_side_rows_put(f.fd, &row, 1, &err), KV_OK);
        struct kv_side_row back;
        struct kv_buf other;
        kv_buf_init(&other, KV_SIDE_ROW_MAX);
        assert_int_equal(kv_side_row_get(f.fd, &name, &back, &other, &err), KV_OK);
        assert_true(kv_bytes_equal(back.value, row.value));
        kv_buf_clear(&other);
        for (size_t n = 0; n < text.len; n++) {
            struct kv_side_row bad;
            kv_buf_init(&other, KV_SIDE_ROW_MAX);
            assert_int_equal(kv_side_row_parse(kv_bytes(text.data, n), &bad, &other, &err),
                             KV_E_LEDGER_RECORD);
            kv_buf_clear(&other);
        }
        kv_buf_clear(&store);
        kv_buf_clear(&again);
        kv_buf_clear(&text);
        count++;
    }
    (void)closedir(dir);
    assert_int_equal(count, 17);
    folder_free(&f);
}

static void side_rows_that_are_changed_or_missing_are_told_apart(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct kv_side_row row = {
        KV_PRIV_NAME, {1, 2, 3}, kv_bytes_str("Za\xc5\xbc\xc3\xb3\xc5\x82\xc4")};
    struct kv_buf store;
    kv_buf_init(&store, KV_SIDE_ROW_MAX);
    assert_int_equal(kv_side_rows_put(f.fd, &row, 1, &err), KV_E_INPUT_UTF8); /* half a letter */
    row.value = kv_bytes_str("\"Za\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87\"\n");
    assert_int_equal(kv_side_rows_put(f.fd, &row, 1, &err), KV_OK);
    struct kv_hash c = kv_commitment(row.salt, row.value);
    struct kv_side_row back;
    assert_int_equal(kv_side_row_get(f.fd, &c, &back, &store, &err), KV_OK);
    assert_int_equal(back.field, KV_PRIV_NAME);
    char name[KV_HASH_HEX_LEN + 5];
    kv_hash_hex(&c, name);
    memcpy(name + 64, ".json", 6);
    patch_file(f.fd, name, 28, kv_bytes_str("B")); /* the salt */
    assert_int_equal(kv_side_row_get(f.fd, &c, &back, &store, &err), KV_E_LEDGER_RECORD);
    assert_int_equal(unlinkat(f.fd, name, 0), 0);
    assert_int_equal(kv_side_row_get(f.fd, &c, &back, &store, &err), KV_E_NOT_FOUND);
    row.value.len = 0;
    assert_int_equal(kv_side_rows_put(f.fd, &row, 1, &err), KV_E_LIMIT);
    kv_buf_clear(&store);
    folder_free(&f);
}

static void tiles_have_their_names(void **state)
{
    (void)state;
    static const struct {
        unsigned level;
        uint64_t index;
        unsigned width;
        const char *want;
    } rows[] = {
        {0, 1234067, 256, "0/x001/x234/067"},
        {0, 0, 5, "0/000.p/5"},
        {1, 0, 1, "1/000.p/1"},
        {0, 273, 112, "0/273.p/112"},
        {1, 1, 17, "1/001.p/17"},
        {2, 0, 1, "2/000.p/1"},
        {0, 999, 256, "0/999"},
        {0, 1000, 256, "0/x001/000"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char path[KV_TILE_PATH_LEN];
        kv_tile_path(rows[i].level, rows[i].index, rows[i].width, path);
        assert_string_equal(path, rows[i].want);
    }
}

static bool exists(struct folder *f, const char *path, off_t size)
{
    struct stat st;
    return fstatat(f->fd, path, &st, 0) == 0 && st.st_size == size;
}

/* Size 70000, written in three steps: the tiles that the format says, and their hashes are those of
 * the tree. */
static void tiles_of_seventy_thousand_leaves(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct kv_tree *tree = kv_tree_new();
    struct kv_hash leaf = {{0}};
    for (uint32_t i = 0; i < 70000; i++) {
        memcpy(leaf.b, &i, sizeof i);
        kv_tree_append(tree, &leaf);
    }
    assert_int_equal(kv_tiles_write(f.fd, tree, 0, 300, &err), KV_OK);
    assert_true(exists(&f, "0/000", 8192));
    assert_true(exists(&f, "0/001.p/44", 44 * 32));
    assert_true(exists(&f, "1/000.p/1", 32));
    assert_int_equal(kv_tiles_write(f.fd, tree, 300, 512, &err), KV_OK);
    assert_true(exists(&f, "0/001", 8192));
    assert_false(exists(&f, "0/002.p/0", 0));
    assert_true(exists(&f, "1/000.p/2", 64));
    assert_int_equal(kv_tiles_write(f.fd, tree, 512, 70000, &err), KV_OK);
    assert_true(exists(&f, "0/272", 8192));
    assert_true(exists(&f, "0/273.p/112", 112 * 32));
    assert_true(exists(&f, "1/000", 8192));
    assert_true(exists(&f, "1/001.p/17", 17 * 32));
    assert_true(exists(&f, "2/000.p/1", 32));
    char path[128];
    assert_true(snprintf(path, sizeof path, "%s/1/001.p/17", f.path) > 0);
    struct kv_buf tile = load(path);
    struct kv_hash want = kv_tree_node(tree, 8, 256 + 16);
    assert_memory_equal(tile.data + (size_t)16 * 32, want.b, 32);
    kv_buf_clear(&tile);
    kv_tree_free(tree);
    folder_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blobs_are_kept_under_their_hash),
        cmocka_unit_test(an_existing_blob_is_not_written_again),
        cmocka_unit_test(blobs_have_limits),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(side_rows_are_what_their_name_commits_to),
        cmocka_unit_test(side_rows_that_are_changed_or_missing_are_told_apart),
        cmocka_unit_test(tiles_have_their_names),
        cmocka_unit_test(tiles_of_seventy_thousand_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
