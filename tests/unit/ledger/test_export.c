#include "tests/unit/ledger/log_test.h"

#include "ledger/csv.h"
#include "ledger/dir.h"
#include "ledger/encode.h"
#include "ledger/export.h"
#include "ledger/verify.h"

#include <sys/wait.h>

struct target {
    struct folder parent;
    char path[128];
};

static struct target target_new(void)
{
    struct target t = {.parent = folder_new()};
    assert_true(snprintf(t.path, sizeof t.path, "%s/out", t.parent.path) > 0);
    return t;
}

static struct kv_buf signers;

static enum kv_code give_signers(void *ctx, struct kv_bytes *text, struct kv_err *err)
{
    (void)err;
    assert_int_equal(*(uint64_t *)ctx, 77); /* after the last record */
    *text = kv_buf_bytes(&signers);
    return KV_OK;
}

static enum kv_code count_entry(void *ctx, const struct kv_entry *entry, struct kv_err *err)
{
    (void)err;
    assert_int_equal(entry->rec->seq, *(uint64_t *)ctx);
    (*(uint64_t *)ctx)++;
    return KV_OK;
}

static enum kv_code do_export(const struct folder *f, const struct target *t, bool with_private,
                              struct kv_err *err)
{
    static const uint64_t proofs[] = {9, 20, 26};
    uint64_t count = 0;
    struct kv_export_options options = {.ledger_path = f->path,
                                        .target_path = t->path,
                                        .proofs = proofs,
                                        .proof_count = KV_COUNT(proofs),
                                        .with_private = with_private,
                                        .on_entry = count_entry,
                                        .signers = give_signers,
                                        .ctx = &count};
    struct kv_export_result result;
    signers = load(VECTOR("v1/evidence/approvals/allowed_signers"));
    enum kv_code code = kv_export(&options, &result, err);
    if (code == KV_OK) {
        assert_int_equal(result.records, 77);
        assert_int_equal(result.size, 73);
    }
    kv_buf_clear(&signers);
    return code;
}

/* Ours; the vectors have their own, or lie two folders up. */
static const char *const own[] = {"README", "MANIFEST", "verify_ecdsa_openssl.sh", "logcheck.go"};

static bool is_own(const char *path)
{
    for (size_t i = 0; i < KV_COUNT(own); i++) {
        if (strcmp(path, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

struct sides {
    const char *other;
    size_t count;
};

static enum kv_code same_file(void *ctx, const char *path, struct kv_err *err)
{
    struct sides *sides = ctx;
    char a[1024], b[1024];
    (void)err;
    if (is_own(path)) {
        return KV_OK;
    }
    assert_true(snprintf(a, sizeof a, "%s/%s", VECTOR("v1/evidence"), path) > 0);
    assert_true(snprintf(b, sizeof b, "%s/%s", sides->other, path) > 0);
    struct kv_buf x = load(a);
    struct kv_buf y = load(b);
    if (!kv_bytes_equal(kv_buf_bytes(&x), kv_buf_bytes(&y))) {
        fail_msg("%s differs", path);
    }
    kv_buf_clear(&x);
    kv_buf_clear(&y);
    sides->count++;
    return KV_OK;
}

static size_t compare_from(const char *folder, const char *other)
{
    struct kv_err err = {0};
    struct sides sides = {.other = other};
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(kv_files_walk(fd, same_file, &sides, &err), KV_OK);
    (void)close(fd);
    return sides.count;
}

static void an_export_is_the_published_folder_byte_for_byte(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    if (do_export(&f, &t, false, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    size_t there = compare_from(VECTOR("v1/evidence"), t.path);
    size_t here = compare_from(t.path, t.path);
    assert_int_equal(here, there); /* and nothing more */
    folder_free(&f);
    folder_free(&t.parent);
}

static enum kv_verify_exit verify(const char *path, struct kv_finding *first)
{
    struct kv_reader *reader = NULL;
    struct kv_verify_result result;
    struct kv_err err = {0};
    assert_int_equal(kv_reader_open(path, &reader, &err), KV_OK);
    assert_int_equal(kv_verify(reader, &(struct kv_verify_options){0}, &result, &err), KV_OK);
    enum kv_verify_exit exit = kv_findings_exit(&result.findings);
    if (exit != KV_VERIFY_GOOD) {
        *first = *kv_findings_first(&result.findings);
    }
    kv_reader_free(reader);
    kv_verify_result_clear(&result);
    return exit;
}

/* 0: it holds. */
static int run_script(const char *folder, const char *vkey)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char script[256];
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)snprintf(script, sizeof script, "%s/verify_ecdsa_openssl.sh", folder);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        (void)execl("/bin/sh", "sh", script, folder, vkey, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void an_export_verifies_with_us_and_with_its_own_script(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    struct kv_finding first;
    assert_int_equal(do_export(&f, &t, true, &err), KV_OK);
    if (verify(t.path, &first) != KV_VERIFY_GOOD) {
        fail_msg("%s: %s", first.file, first.what);
    }
    if (!SANITIZED) { /* the script is none of our code */
        assert_int_equal(run_script(t.path, VECTOR("v1/keys/log.vkey")), 0);
        assert_int_equal(run_script(t.path, VECTOR("v1/keys/other.vkey")), 1);
    }
    char path[160];
    assert_true(snprintf(path, sizeof path, "%s/private", t.path) > 0);
    assert_int_equal(access(path, F_OK), 0); /* side rows were asked for */
    folder_free(&f);
    folder_free(&t.parent);
}

static void a_failed_export_leaves_nothing(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    struct kv_export_result result;
    uint64_t above = 75;
    struct kv_export_options options = {
        .ledger_path = f.path, .target_path = t.path, .proofs = &above, .proof_count = 1};
    assert_int_equal(kv_export(&options, &result, &err), KV_E_LEDGER_COVER);
    assert_int_equal(rmdir(t.path), -1);
    assert_int_equal(faccessat(t.parent.fd, "out.partial", F_OK, 0), -1);
    options.proof_count = 0;
    assert_int_equal(mkdirat(t.parent.fd, "out", 0700), 0);
    assert_int_equal(kv_export(&options, &result, &err), KV_E_USAGE);
    options.target_path = "/nonexistent/x";
    assert_int_equal(kv_export(&options, &result, &err), KV_E_IO);
    options.ledger_path = VECTOR("v1/evidence");
    options.target_path = t.path;
    assert_int_equal(rmdir(t.path), 0);
    assert_int_equal(kv_export(&options, &result, &err), KV_E_NOT_FOUND);
    folder_free(&f);
    folder_free(&t.parent);
}

static void proofs_make_their_folder(void **state)
{
    (void)state;
    static const uint64_t seqs[] = {72, 77};
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    assert_int_equal(kv_prove(f.path, &seqs[1], 1, t.path, &err), KV_E_NOT_FOUND);
    assert_int_equal(access(t.path, F_OK), -1);
    assert_int_equal(kv_prove(f.path, seqs, 1, t.path, &err), KV_OK);
    assert_int_equal(faccessat(t.parent.fd, "out/72.json", F_OK, 0), 0);
    assert_int_equal(faccessat(t.parent.fd, "out/72.tlog-proof", F_OK, 0), 0);
    assert_int_equal(kv_prove(f.path, seqs, 1, "/nonexistent/x", &err), KV_E_IO);
    folder_free(&f);
    folder_free(&t.parent);
}

static void what_a_cut_short_export_left_is_removed(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    struct kv_finding first;
    assert_int_equal(mkdirat(t.parent.fd, "out.partial", 0700), 0);
    assert_int_equal(mkdirat(t.parent.fd, "out.partial/blobs", 0700), 0);
    assert_int_equal(do_export(&f, &t, false, &err), KV_OK);
    assert_int_equal(verify(t.path, &first), KV_VERIFY_GOOD);
    assert_int_equal(faccessat(t.parent.fd, "out.partial", F_OK, 0), -1);
    folder_free(&f);
    folder_free(&t.parent);
}

static void what_is_no_folder_of_an_export_is_not_removed(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    assert_int_equal(symlinkat(f.path, t.parent.fd, "out.partial"), 0);
    assert_int_equal(do_export(&f, &t, false, &err), KV_E_USAGE);
    assert_int_equal(faccessat(t.parent.fd, "out.partial/wal", F_OK, 0), 0);
    folder_free(&f);
    folder_free(&t.parent);
}

/* A damaged ledger can be exported, and the export shows the damage. */
static void a_damaged_ledger_is_exported_as_it_is(void **state)
{
    (void)state;
    static const char blob[] =
        "blobs/1549794fac2ad0b3609d7f116b95b41b64d6c37a50115ad9a500eedf46f3b34b";
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    struct kv_finding first;
    struct kv_export_result result;
    struct kv_export_options options = {.ledger_path = f.path, .target_path = t.path};
    patch_file(f.fd, blob, 3, kv_bytes_str("#"));
    assert_int_equal(kv_export(&options, &result, &err), KV_OK);
    assert_int_equal(result.records, 77);
    assert_int_equal(verify(t.path, &first), KV_VERIFY_BAD);
    assert_string_equal(first.file, blob);
    folder_free(&t.parent);

    t = target_new();
    options.target_path = t.path;
    patch_file(f.fd, "wal/00000000000000000000.seg", 20000, kv_bytes_str("#"));
    assert_int_equal(kv_export(&options, &result, &err), KV_OK);
    assert_in_range(result.records, 30, 60);
    assert_int_equal(verify(t.path, &first), KV_VERIFY_BAD);
    assert_int_equal(first.line, result.records + 1);
    folder_free(&f);
    folder_free(&t.parent);
}

/* Before a crash was recovered from, a frame of an earlier life may follow the last record. */
static void a_stale_frame_is_not_exported(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct target t = target_new();
    struct kv_err err = {0};
    struct kv_finding first;
    struct kv_export_result result;
    struct kv_export_options options = {.ledger_path = f.path, .target_path = t.path};
    struct kv_record *rec = stop_record("stale");
    struct kv_buf line, frame;
    kv_buf_init(&line, 65536);
    kv_buf_init(&frame, 65536);
    rec->seq = 77;
    rec->ts_ms = INT64_C(1800000000000);
    rec->has_prev = true; /* of a record that is not there any more */
    memcpy(rec->boot, "00c0ffee", 9);
    assert_int_equal(kv_record_encode(rec, &line, &err), KV_OK);
    kv_wal_frame(77, kv_buf_bytes(&line), &frame);
    patch_file(f.fd, "wal/00000000000000000000.seg", 35677 - 256, kv_buf_bytes(&frame));
    assert_int_equal(kv_export(&options, &result, &err), KV_OK);
    assert_int_equal(result.records, 77);
    assert_int_equal(verify(t.path, &first), KV_VERIFY_GOOD);
    kv_record_free(rec);
    kv_buf_clear(&line);
    kv_buf_clear(&frame);
    folder_free(&f);
    folder_free(&t.parent);
}

static void a_cell_is_no_formula(void **state)
{
    (void)state;
    struct kv_record *rec = stop_record("x");
    struct kv_hash leaf = {{0xf8}}; /* + in base64 */
    struct kv_buf out;
    kv_buf_init(&out, 65536);
    kv_csv_record(rec, &leaf, &out);
    assert_non_null(strstr(kv_buf_str(&out), ",'+AAAA"));
    kv_buf_clear(&out);
    kv_record_free(rec);
}

static void single_records_are_proven(void **state)
{
    (void)state;
    static const uint64_t seqs[] = {0, 72};
    struct folder f = vector_ledger();
    struct folder to = folder_new();
    struct kv_vkey key = log_key();
    struct kv_err err = {0};
    assert_int_equal(kv_prove(f.path, seqs, KV_COUNT(seqs), to.path, &err), KV_OK);
    char path[128];
    assert_true(snprintf(path, sizeof path, "%s/72.json", to.path) > 0);
    struct kv_buf record = load(path);
    assert_true(snprintf(path, sizeof path, "%s/72.tlog-proof", to.path) > 0);
    struct kv_buf proof = load(path);
    uint64_t index;
    assert_int_equal(kv_tlog_proof_verify(kv_buf_bytes(&proof), kv_buf_bytes(&record), &key, 1,
                                          &index, NULL, &err),
                     KV_OK);
    assert_int_equal(index, 72);
    uint64_t above = 73;
    assert_int_equal(kv_prove(f.path, &above, 1, to.path, &err), KV_E_LEDGER_COVER);
    uint64_t beyond = 77;
    assert_int_equal(kv_prove(f.path, &beyond, 1, to.path, &err), KV_E_NOT_FOUND);
    kv_buf_clear(&record);
    kv_buf_clear(&proof);
    folder_free(&f);
    folder_free(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_is_the_published_folder_byte_for_byte),
        cmocka_unit_test(an_export_verifies_with_us_and_with_its_own_script),
        cmocka_unit_test(a_failed_export_leaves_nothing),
        cmocka_unit_test(what_a_cut_short_export_left_is_removed),
        cmocka_unit_test(what_is_no_folder_of_an_export_is_not_removed),
        cmocka_unit_test(proofs_make_their_folder),
        cmocka_unit_test(a_damaged_ledger_is_exported_as_it_is),
        cmocka_unit_test(a_stale_frame_is_not_exported),
        cmocka_unit_test(a_cell_is_no_formula),
        cmocka_unit_test(single_records_are_proven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
