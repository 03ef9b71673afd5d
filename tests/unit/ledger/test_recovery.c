#include "tests/unit/ledger/log_test.h"

#include "ledger/wal.h"

#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>

static const char FIRST[] = "wal/00000000000000000000.seg";

static struct kv_log *open_log(struct folder *f)
{
    struct kv_log *log = NULL;
    struct kv_err err = {0};
    if (kv_log_open(f->fd, small_log(), NULL, NULL, NULL, &log, &err) != KV_OK) {
        fail_msg("open: %s", err.msg);
    }
    return log;
}

static void the_sum_is_crc_32c(void **state)
{
    (void)state;
    assert_int_equal(kv_crc32c(0, kv_bytes_str("123456789")), 0xe3069283);
    assert_int_equal(kv_crc32c(kv_crc32c(0, kv_bytes_str("1234")), kv_bytes_str("56789")),
                     0xe3069283);
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 5);
    }
    for (size_t len = 0; len < 290; len++) { /* from every alignment */
        struct kv_bytes part = kv_bytes(bytes + len % 9, len);
        assert_int_equal(kv_crc32c(17, part), kv_crc32c_plain(17, part));
    }
}

static json_t *index_json(void)
{
    json_t *json = json_load_file(VECTOR("v1/index.json"), 0, NULL);
    assert_non_null(json);
    return json;
}

/* Frames and leaves as published, and the segment of the vectors is ours to the byte. */
static void frames_and_leaves_are_the_published_ones(void **state)
{
    (void)state;
    json_t *index = index_json();
    struct kv_buf records = load(VECTOR("v1/evidence/records.jsonl"));
    struct kv_buf segment = load(VECTOR("v1/wal/00000000000000000000.seg"));
    struct kv_buf ours;
    struct kv_bytes rest = kv_buf_bytes(&records);
    struct kv_bytes line, back;
    kv_buf_init(&ours, 1 << 20);
    for (size_t seq = 0; next_line(&rest, &line); seq++) {
        size_t off = ours.len;
        kv_wal_frame(seq, line, &ours);
        assert_int_equal(kv_segment_frame(kv_buf_bytes(&ours), off, seq, &back), KV_WHY_NONE);
        assert_true(kv_bytes_equal(back, line));
        assert_int_equal(kv_segment_frame(kv_buf_bytes(&ours), off, seq + 1, &back), KV_WHY_SEQ);
        char hex[KV_HASH_HEX_LEN];
        struct kv_hash leaf = kv_leaf_hash(line);
        kv_hash_hex(&leaf, hex);
        const json_t *want = json_array_get(json_object_get(index, "leaves"), seq);
        assert_string_equal(hex, json_string_value(json_object_get(want, "leaf")));
        want = json_array_get(json_object_get(index, "frames"), seq);
        if (want != NULL) {
            kv_hex_encode(kv_bytes(ours.data + off + 8, 4), hex);
            assert_string_equal(hex, json_string_value(json_object_get(want, "crc32c")));
        }
    }
    assert_memory_equal(ours.data, segment.data, ours.len);
    kv_buf_clear(&ours);
    kv_buf_clear(&segment);
    kv_buf_clear(&records);
    json_decref(index);
}

static struct folder damaged_ledger(const json_t *item)
{
    struct folder f = vector_ledger();
    const json_t *patches = json_object_get(item, "patches");
    for (size_t i = 0; i < json_array_size(patches); i++) {
        const json_t *patch = json_array_get(patches, i);
        const char *hex = json_string_value(json_array_get(patch, 1));
        uint8_t bytes[4096];
        size_t len;
        assert_true(kv_hex_decode(kv_bytes_str(hex), bytes, sizeof bytes, &len));
        patch_file(f.fd, FIRST, (size_t)json_integer_value(json_array_get(patch, 0)),
                   kv_bytes(bytes, len));
    }
    const json_t *length = json_object_get(item, "length");
    if (length != NULL) {
        char path[128];
        assert_true(snprintf(path, sizeof path, "%s/%s", f.path, FIRST) > 0);
        assert_int_equal(truncate(path, json_integer_value(length)), 0);
    }
    return f;
}

static void expect_good(struct folder *f, const char *name, const json_t *expect)
{
    struct kv_log *log = open_log(f);
    const struct kv_log_status *status = kv_log_status(log);
    const json_t *recovered = json_object_get(expect, "recovered");
    if (status->state != KV_LOG_GOOD) {
        fail_msg("%s: %s: %s", name, status->bad_place, status->bad_what);
    }
    uint64_t records = (uint64_t)json_integer_value(json_object_get(expect, "records"));
    assert_int_equal(status->size, records);
    if (recovered == NULL) {
        assert_int_equal(status->recovered.why, KV_WHY_NONE);
    } else {
        const char *why = json_string_value(json_object_get(recovered, "why"));
        assert_string_equal(kv_why_word(status->recovered.why), why);
        assert_int_equal(status->recovered.from, records);
        assert_int_equal(status->recovered.frames,
                         json_integer_value(json_object_get(recovered, "frames")));
        assert_int_equal(status->recovered.bytes,
                         json_integer_value(json_object_get(recovered, "bytes")));
    }
    kv_log_free(log);
    /* What was dropped never comes back, and the log goes on. */
    struct kv_err err = {0};
    log = open_log(f);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_GOOD);
    assert_int_equal(kv_log_status(log)->recovered.why, KV_WHY_NONE);
    assert_int_equal(kv_log_size(log), records);
    assert_int_equal(append(log, stop_record("x"), INT64_C(1800000000000), &err), KV_OK);
    assert_int_equal(kv_log_flush(log, &err), KV_OK);
    assert_int_equal(publish(log, &err), KV_OK);
    kv_log_free(log);
    log = open_log(f);
    assert_int_equal(kv_log_covered(log), records + 1);
    kv_log_free(log);
}

static void each_damage_of_the_vectors_is_recovered_or_refused(void **state)
{
    (void)state;
    json_t *index = index_json();
    const json_t *cases = json_object_get(index, "recovery");
    assert_int_equal(json_array_size(cases), 11);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *item = json_array_get(cases, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *expect = json_object_get(item, "expect");
        const json_t *safe = json_object_get(expect, "safe-mode");
        struct folder f = damaged_ledger(item);
        if (safe == NULL) {
            expect_good(&f, name, expect);
        } else {
            struct kv_log *log = open_log(&f);
            const struct kv_log_status *status = kv_log_status(log);
            assert_int_equal(status->state, KV_LOG_DAMAGED);
            assert_int_equal(status->bad_seq, json_integer_value(safe));
            assert_string_equal(status->bad_place, FIRST);
            assert_string_equal(kv_why_word(status->bad_why),
                                json_string_value(json_object_get(expect, "why")));
            kv_log_free(log);
        }
        folder_free(&f);
    }
    json_decref(index);
}

/* A founded log: 2 records covered, 3 more acknowledged, and where the fourth turn (3 records) lies
 * in the segment. */
struct torn {
    struct folder f;
    struct kv_buf segment; /* with the last turn */
    size_t from, to;
    struct kv_hash root[9]; /* by size */
};

static struct torn torn_new(void)
{
    struct torn t = {.f = folder_new()};
    struct kv_err err = {0};
    struct kv_vkey key = log_key();
    struct kv_bytes spki = kv_bytes(key.key, key.key_len);
    struct kv_log_options options = {.segment_len = 8192, .reserve_len = 4096};
    struct kv_log *log = NULL;
    char path[128];
    assert_int_equal(kv_log_open(t.f.fd, &options, NULL, NULL, NULL, &log, &err), KV_OK);
    assert_int_equal(kv_log_found(log, &key, &err), KV_OK);
    assert_int_equal(kv_log_put_blobs(log, &spki, 1, &err), KV_OK);
    assert_int_equal(append(log, init_record(&key), 1000, &err), KV_OK);
    assert_int_equal(append(log, start_record(), 1000, &err), KV_OK);
    assert_int_equal(kv_log_flush(log, &err), KV_OK);
    assert_int_equal(publish(log, &err), KV_OK);
    assert_true(snprintf(path, sizeof path, "%s/%s", t.f.path, FIRST) > 0);
    for (int turn = 0; turn < 2; turn++) {
        struct kv_buf before = load(path);
        t.from = before.len;
        while (before.data[t.from - 1] == 0) {
            t.from--;
        }
        kv_buf_clear(&before);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(append(log, stop_record("signal"), 2000, &err), KV_OK);
        }
        assert_int_equal(kv_log_flush(log, &err), KV_OK);
    }
    for (uint64_t size = 0; size < KV_COUNT(t.root); size++) {
        t.root[size] = kv_log_root(log, size);
    }
    kv_log_free(log);
    t.segment = load(path);
    t.to = t.segment.len;
    while (t.segment.data[t.to - 1] == 0) {
        t.to--;
    }
    return t;
}

static void torn_free(struct torn *t)
{
    kv_buf_clear(&t->segment);
    folder_free(&t->f);
}

/* All five acknowledged records are there; of the turn that was torn, a prefix. */
static void expect_acknowledged(struct torn *t, struct kv_bytes segment, uint64_t most)
{
    write_file(t->f.fd, FIRST, segment);
    struct kv_log *log = open_log(&t->f);
    const struct kv_log_status *status = kv_log_status(log);
    if (status->state != KV_LOG_GOOD) {
        fail_msg("%s: %s", status->bad_place, status->bad_what);
    }
    assert_in_range(status->size, 5, most);
    struct kv_hash root = kv_log_root(log, status->size);
    assert_true(kv_hash_equal(&root, &t->root[status->size]));
    kv_log_free(log);
}

static void a_write_cut_at_any_byte_loses_nothing_acknowledged(void **state)
{
    (void)state;
    struct torn t = torn_new();
    struct kv_buf copy;
    kv_buf_init(&copy, 1 << 20);
    for (size_t cut = t.from; cut <= t.to; cut += 7) {
        kv_buf_reset(&copy);
        kv_buf_add_bytes(&copy, kv_buf_bytes(&t.segment));
        memset(copy.data + cut, 0, copy.len - cut); /* the rest never reached the disk */
        expect_acknowledged(&t, kv_buf_bytes(&copy), cut == t.from ? 5 : 8);
        copy.len = cut; /* or the file ends there */
        expect_acknowledged(&t, kv_buf_bytes(&copy), cut == t.from ? 5 : 8);
    }
    kv_buf_clear(&copy);
    torn_free(&t);
}

/* Sectors land in any order: every subset of the sectors of the last turn. */
static void sectors_in_any_order_lose_nothing_acknowledged(void **state)
{
    (void)state;
    enum { SECTOR = 256 };
    struct torn t = torn_new();
    struct kv_buf copy;
    size_t first = t.from / SECTOR;
    size_t count = (t.to - 1) / SECTOR - first + 1;
    assert_in_range(count, 3, 8);
    kv_buf_init(&copy, 1 << 20);
    for (unsigned set = 0; set < 1U << count; set++) {
        kv_buf_reset(&copy);
        kv_buf_add_bytes(&copy, kv_buf_bytes(&t.segment));
        for (size_t i = 0; i < count; i++) {
            if ((set >> i & 1) == 0) {
                size_t at = (first + i) * SECTOR < t.from ? t.from : (first + i) * SECTOR;
                memset(copy.data + at, 0, (first + i + 1) * SECTOR - at);
            }
        }
        expect_acknowledged(&t, kv_buf_bytes(&copy), set == 0 ? 5 : 8);
    }
    kv_buf_clear(&copy);
    torn_free(&t);
}

/* Later segments behind a bad frame are counted and removed. */
static void later_segments_go_with_what_was_before_them(void **state)
{
    (void)state;
    struct torn t = torn_new();
    struct kv_buf frame;
    kv_buf_init(&frame, 65536);
    kv_wal_frame(8, kv_bytes_str("stale"), &frame);
    write_file(t.f.fd, "wal/00000000000000000008.seg", kv_buf_bytes(&frame));
    t.segment.data[t.to - 1] ^= 1;
    write_file(t.f.fd, FIRST, kv_buf_bytes(&t.segment));
    struct kv_log *log = open_log(&t.f);
    const struct kv_log_status *status = kv_log_status(log);
    assert_int_equal(status->state, KV_LOG_GOOD);
    assert_int_equal(status->size, 7);
    assert_int_equal(status->recovered.frames, 2);
    assert_int_equal(status->recovered.why, KV_WHY_CRC);
    assert_int_equal(faccessat(t.f.fd, "wal/00000000000000000008.seg", F_OK, 0), -1);
    kv_log_free(log);
    kv_buf_clear(&frame);
    torn_free(&t);
}

/* Nothing is cut off below the checkpoint, ever: the bytes stay as they were. */
static void safe_mode_writes_nothing(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    char path[128];
    assert_true(snprintf(path, sizeof path, "%s/%s", f.path, FIRST) > 0);
    patch_file(f.fd, FIRST, 20000, kv_bytes_str("#"));
    struct kv_buf before = load(path);
    struct kv_log *log = open_log(&f);
    struct kv_err err = {0};
    assert_int_equal(kv_log_status(log)->state, KV_LOG_DAMAGED);
    assert_int_equal(append(log, stop_record("x"), INT64_C(1800000000000), &err), KV_E_LEDGER_SAFE);
    assert_int_equal(kv_log_flush(log, &err), KV_E_LEDGER_SAFE);
    kv_log_free(log);
    struct kv_buf after = load(path);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    kv_buf_clear(&before);
    kv_buf_clear(&after);
    folder_free(&f);
}

/* Everything chains, only the signed root knows better. */
static void records_under_another_root_are_safe_mode(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct kv_buf segment = other_last_segment();
    write_file(f.fd, FIRST, kv_buf_bytes(&segment));
    struct kv_log *log = open_log(&f);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_DAMAGED);
    assert_string_equal(kv_log_status(log)->bad_place, "public/checkpoint");
    assert_int_equal(kv_log_status(log)->size, 73);
    kv_log_free(log);
    kv_buf_clear(&segment);
    folder_free(&f);
}

static void a_newer_record_makes_the_ledger_read_only(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct kv_buf segment = load(VECTOR("v1/wal/00000000000000000000.seg"));
    struct kv_buf records = load(VECTOR("v1/evidence/records.jsonl"));
    struct kv_bytes rest = kv_buf_bytes(&records);
    struct kv_bytes line = KV_BYTES_NULL;
    while (next_line(&rest, &line)) {
        /* to the last */
    }
    struct kv_hash leaf = kv_leaf_hash(line);
    char prev[KV_HASH_BASE64_LEN];
    struct kv_buf frame, newer;
    kv_buf_init(&frame, 65536);
    kv_buf_init(&newer, 65536);
    kv_hash_base64(&leaf, prev);
    kv_buf_add_format(
        &newer, "{\"v\":2,\"seq\":77,\"ts\":\"2027-12-02T07:15:03.030Z\",\"prev\":\"%s\"}", prev);
    kv_wal_frame(77, kv_buf_bytes(&newer), &frame);
    patch_file(f.fd, FIRST, segment.len - 256, kv_buf_bytes(&frame));
    struct kv_log *log = open_log(&f);
    struct kv_err err = {0};
    assert_int_equal(kv_log_status(log)->state, KV_LOG_NEWER);
    assert_int_equal(kv_log_status(log)->bad_seq, 77);
    assert_int_equal(append(log, stop_record("x"), INT64_C(1900000000000), &err),
                     KV_E_LEDGER_NEWER);
    kv_log_free(log);
    kv_buf_clear(&frame);
    kv_buf_clear(&newer);
    kv_buf_clear(&records);
    kv_buf_clear(&segment);
    folder_free(&f);
}

static off_t length_of(int dir, const char *name)
{
    struct stat st;
    assert_int_equal(fstatat(dir, name, &st, 0), 0);
    return st.st_size;
}

/* What takes away goes on at the end of a segment, and over a restart there. */
static void a_full_disk_gets_a_short_segment(void **state)
{
    (void)state;
    static const char name[] = "00000000000000000000.seg";
    struct folder f = folder_new();
    int dir = make_dir(f.fd, "wal");
    struct kv_err err = {0};
    uint64_t segment;
    uint32_t off;
    struct kv_wal *wal = kv_wal_new(dir, UINT64_C(1) << 60); /* no disk has that */
    assert_int_equal(kv_wal_begin(wal, 0, &err), KV_OK);
    assert_int_equal(length_of(dir, name), KV_SEGMENT_SHORT);
    assert_int_equal(faccessat(dir, "spare.tmp", F_OK, 0), -1); /* nothing is left behind */
    assert_int_equal(kv_wal_left(wal), KV_SEGMENT_SHORT);
    kv_wal_free(wal);

    wal = kv_wal_new(dir, UINT64_C(1) << 60);
    assert_int_equal(kv_wal_resume(wal, 0, 100, &err), KV_OK);
    assert_int_equal(length_of(dir, name), KV_SEGMENT_SHORT);
    assert_int_equal(kv_wal_left(wal), KV_SEGMENT_SHORT - 100);
    assert_int_equal(kv_wal_stage(wal, 1, kv_bytes_str("{}"), &segment, &off, &err), KV_OK);
    assert_int_equal(kv_wal_flush(wal, &err), KV_OK);
    kv_wal_free(wal);

    wal = kv_wal_new(dir, 2 * KV_SEGMENT_SHORT); /* there is room again */
    assert_int_equal(kv_wal_resume(wal, 0, 100, &err), KV_OK);
    assert_int_equal(length_of(dir, name), 2 * KV_SEGMENT_SHORT);
    kv_wal_free(wal);
    (void)close(dir);
    folder_free(&f);
}

static void a_full_disk_fails_the_next_segment_only(void **state)
{
    (void)state;
    struct folder f = folder_new();
    int dir = make_dir(f.fd, "wal");
    struct kv_err err = {0};
    struct rlimit before, none;
    struct kv_wal *wal = kv_wal_new(dir, 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){SEGMENT, before.rlim_max}; /* not even for a short one */
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    enum kv_code code = kv_wal_begin(wal, 0, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(code, KV_E_LEDGER_DISK);
    assert_int_equal(faccessat(dir, "spare.tmp", F_OK, 0), -1); /* nothing is left behind */
    assert_int_equal(kv_wal_begin(wal, 0, &err), KV_OK);
    assert_true(signal(SIGXFSZ, was) == SIG_IGN);
    kv_wal_free(wal);
    (void)close(dir);
    folder_free(&f);
}

/* Blocks that were written once take a record with one write of the disk, not two. Ahead of the
 * records they are that, and a segment's length stays what it was. */
static void zeros_lie_written_ahead_of_the_records(void **state)
{
    (void)state;
    static const char name[] = "00000000000000000000.seg";
    const uint64_t lens[] = {KV_SEGMENT_SHORT, 64 * 1024};
    for (size_t i = 0; i < KV_COUNT(lens); i++) {
        struct folder f = folder_new();
        int dir = make_dir(f.fd, "wal");
        struct kv_err err = {0};
        uint64_t segment;
        uint32_t off;
        struct kv_wal *wal = kv_wal_new(dir, lens[i]);
        assert_int_equal(kv_wal_begin(wal, 0, &err), KV_OK);
        int fd = openat(dir, name, O_RDONLY);
        off_t before = lseek(fd, 0, SEEK_HOLE);
        assert_int_equal(kv_wal_stage(wal, 0, kv_bytes_str("{}"), &segment, &off, &err), KV_OK);
        assert_int_equal(kv_wal_flush(wal, &err), KV_OK);
        off_t after = lseek(fd, 0, SEEK_HOLE);
        /* not every file system tells the allocated from the written */
        assert_true(before > 0 || (after >= 64 * 1024 && after > off + 4096));
        assert_int_equal(length_of(dir, name), lens[i]);
        (void)close(fd);
        kv_wal_free(wal);
        (void)close(dir);
        folder_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_crc_32c),
        cmocka_unit_test(frames_and_leaves_are_the_published_ones),
        cmocka_unit_test(each_damage_of_the_vectors_is_recovered_or_refused),
        cmocka_unit_test(a_write_cut_at_any_byte_loses_nothing_acknowledged),
        cmocka_unit_test(sectors_in_any_order_lose_nothing_acknowledged),
        cmocka_unit_test(later_segments_go_with_what_was_before_them),
        cmocka_unit_test(safe_mode_writes_nothing),
        cmocka_unit_test(records_under_another_root_are_safe_mode),
        cmocka_unit_test(a_newer_record_makes_the_ledger_read_only),
        cmocka_unit_test(a_full_disk_gets_a_short_segment),
        cmocka_unit_test(a_full_disk_fails_the_next_segment_only),
        cmocka_unit_test(zeros_lie_written_ahead_of_the_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
