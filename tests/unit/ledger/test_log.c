/* The test of one noun. One file, though long: its tests share what they write, kill and read
 * again. */
#include "tests/unit/ledger/log_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct seen {
    uint64_t count;
    uint64_t refuse_at; /* seq; UINT64_MAX: none */
    uint64_t blobs;
};

static enum kv_code see(void *ctx, const struct kv_entry *entry, struct kv_err *err)
{
    struct seen *seen = ctx;
    assert_int_equal(entry->rec->seq, seen->count);
    assert_int_equal(entry->blobs.count, entry->rec->doc_count);
    assert_int_equal(kv_tree_size(entry->tree), seen->count + 1);
    seen->count++;
    seen->blobs += entry->blobs.count;
    return entry->rec->seq == seen->refuse_at
               ? KV_REFUSE(err, KV_E_LEDGER_ILLEGAL, "not what the rules allow")
               : KV_OK;
}

static struct kv_log *open_log(struct folder *f, struct seen *seen)
{
    struct kv_log *log = NULL;
    struct kv_err err = {0};
    *seen = (struct seen){.refuse_at = UINT64_MAX};
    if (kv_log_open(f->fd, small_log(), NULL, see, seen, &log, &err) != KV_OK) {
        fail_msg("open: %s", err.msg);
    }
    return log;
}

static void must(enum kv_code code, const struct kv_err *err)
{
    if (code != KV_OK) {
        fail_msg("%s: %s", kv_code_word(code), err->msg);
    }
}

/* A founded log in `f`: log.init and agent.start under a checkpoint, `more` bounded records after
 * it. */
static struct kv_log *found(struct folder *f, unsigned more)
{
    struct seen seen;
    struct kv_err err = {0};
    struct kv_vkey key = log_key();
    struct kv_log *log = open_log(f, &seen);
    struct kv_bytes spki = kv_bytes(key.key, key.key_len);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_EMPTY);
    must(kv_log_found(log, &key, &err), &err);
    must(kv_log_put_blobs(log, &spki, 1, &err), &err);
    must(append(log, init_record(&key), 1000, &err), &err);
    must(append(log, start_record(), 1000, &err), &err);
    must(kv_log_flush(log, &err), &err);
    must(publish(log, &err), &err);
    for (unsigned i = 0; i < more; i++) {
        must(append(log, stop_record("signal"), 2000 + i, &err), &err);
    }
    must(kv_log_flush(log, &err), &err);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_GOOD);
    return log;
}

static void a_log_lives_through_restarts_and_segments(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct seen seen;
    struct kv_err err = {0};
    struct kv_log *log = found(&f, 40); /* several segments of 4 KiB */
    struct kv_hash root = kv_log_root(log, 42);
    kv_log_free(log);

    log = open_log(&f, &seen);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_GOOD);
    assert_int_equal(seen.count, 42);
    assert_int_equal(kv_log_size(log), 42);
    assert_int_equal(kv_log_covered(log), 2);
    assert_int_equal(kv_log_status(log)->recovered.why, KV_WHY_NONE);
    struct kv_hash again = kv_log_root(log, 42);
    assert_true(kv_hash_equal(&root, &again));
    must(append(log, stop_record("upgrade"), 5000, &err), &err);
    must(kv_log_flush(log, &err), &err);
    must(publish(log, &err), &err);
    assert_int_equal(kv_log_covered(log), 43);
    assert_int_equal(faccessat(f.fd, "wal/00000000000000000000.seg", F_OK, 0), 0);
    assert_int_equal(faccessat(f.fd, "public/tile/0/000.p/43", F_OK, 0), 0);
    kv_log_free(log);

    log = open_log(&f, &seen);
    assert_int_equal(kv_log_covered(log), 43);
    struct kv_buf line, proof;
    kv_buf_init(&line, 65536);
    kv_buf_init(&proof, 65536);
    for (uint64_t seq = 0; seq < 43; seq++) {
        struct kv_vkey key = log_key();
        uint64_t index;
        kv_buf_reset(&line);
        kv_buf_reset(&proof);
        must(kv_log_record(log, seq, &line, &err), &err);
        must(kv_log_prove(log, seq, &proof, &err), &err);
        must(kv_tlog_proof_verify(kv_buf_bytes(&proof), kv_buf_bytes(&line), &key, 1, &index, NULL,
                                  &err),
             &err);
        assert_int_equal(index, seq);
    }
    assert_int_equal(kv_log_record(log, 43, &line, NULL), KV_E_NOT_FOUND);
    kv_buf_clear(&line);
    kv_buf_clear(&proof);
    kv_log_free(log);
    folder_free(&f);
}

static void an_unfinished_founding_leaves_no_ledger(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct seen seen;
    struct kv_err err = {0};
    struct kv_vkey key = log_key();
    struct kv_bytes spki = kv_bytes(key.key, key.key_len);
    struct kv_log *log = open_log(&f, &seen);
    assert_int_equal(append(log, init_record(&key), 1, NULL), KV_E_UNFOUNDED);
    must(kv_log_found(log, &key, &err), &err);
    must(kv_log_put_blobs(log, &spki, 1, &err), &err);
    must(append(log, init_record(&key), 1000, &err), &err);
    must(append(log, start_record(), 1000, &err), &err);
    must(kv_log_flush(log, &err), &err);
    kv_log_free(log); /* dies before the checkpoint */

    log = open_log(&f, &seen);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_EMPTY);
    assert_true(kv_log_status(log)->set_aside);
    assert_int_equal(seen.count, 0);
    assert_int_equal(faccessat(f.fd, "unfinished/1/00000000000000000000.seg", F_OK, 0), 0);
    kv_log_free(log);
    log = found(&f, 1); /* and a new one can be founded in the same folder */
    kv_log_free(log);

    /* A ledger that went on and lost its checkpoint is no unfinished founding. */
    assert_int_equal(unlinkat(f.fd, "public/checkpoint", 0), 0);
    log = open_log(&f, &seen);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_DAMAGED);
    assert_string_equal(kv_log_status(log)->bad_place, "public/checkpoint");
    kv_log_free(log);
    /* Nor when its first record is damaged too. */
    patch_file(f.fd, "wal/00000000000000000000.seg", 30, kv_bytes_str("#"));
    log = open_log(&f, &seen);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_DAMAGED);
    kv_log_free(log);
    folder_free(&f);
}

static void a_refused_founding_is_set_aside(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct seen seen;
    struct kv_err err = {0};
    struct kv_vkey key = log_key();
    struct kv_log *log = open_log(&f, &seen);
    must(kv_log_found(log, &key, &err), &err);
    must(append(log, init_record(&key), 1000, &err), &err);
    must(kv_log_abandon(log, &err), &err);
    assert_int_equal(kv_log_next_seq(log), 0);
    must(kv_log_found(log, &key, &err), &err);
    kv_log_free(log);
    folder_free(&f);
}

static void only_one_process_holds_the_ledger(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct seen seen = {0};
    struct kv_log *log = found(&f, 0);
    struct kv_log *second = NULL;
    assert_int_equal(kv_log_open(f.fd, small_log(), NULL, see, &seen, &second, NULL),
                     KV_E_LEDGER_LOCKED);
    assert_null(second);
    kv_log_free(log);
    folder_free(&f);
}

static void a_wrong_signature_is_not_published(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_log *log = found(&f, 1);
    struct kv_err err = {0};
    struct kv_buf text;
    uint64_t size;
    uint8_t rs[KV_ECDSA_RS_LEN];
    kv_buf_init(&text, 4096);
    must(kv_log_checkpoint_text(log, &text, &size, &err), &err);
    sign(kv_buf_bytes(&text), rs);
    rs[0] ^= 1;
    assert_int_equal(kv_log_publish(log, size, rs, &err), KV_E_LEDGER_NOTE);
    assert_int_equal(kv_log_covered(log), 2);
    rs[0] ^= 1;
    assert_int_equal(kv_log_publish(log, size + 1, rs, &err), KV_E_LEDGER_COVER);
    must(kv_log_publish(log, size, rs, &err), &err);
    assert_int_equal(kv_log_publish(log, size, rs, &err), KV_E_LEDGER_COVER);
    kv_buf_clear(&text);
    kv_log_free(log);
    folder_free(&f);
}

/* A signature that arrives late covers what was signed, though more was written meanwhile. */
static void a_checkpoint_covers_what_was_signed(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_log *log = found(&f, 1);
    struct kv_err err = {0};
    struct kv_buf text;
    uint64_t size;
    uint8_t rs[KV_ECDSA_RS_LEN];
    kv_buf_init(&text, 4096);
    must(append(log, stop_record("a"), 9000, &err), &err); /* staged, not durable */
    must(kv_log_checkpoint_text(log, &text, &size, &err), &err);
    assert_int_equal(size, 3);
    must(kv_log_flush(log, &err), &err);
    sign(kv_buf_bytes(&text), rs);
    must(kv_log_publish(log, size, rs, &err), &err);
    assert_int_equal(kv_log_covered(log), 3);
    assert_int_equal(kv_log_size(log), 4);
    kv_buf_clear(&text);
    kv_log_free(log);
    folder_free(&f);
}

static void records_follow_each_other(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_log *log = found(&f, 1);
    struct kv_err err = {0};
    struct kv_vkey key = log_key();
    assert_int_equal(append(log, stop_record("x"), 1999, &err), KV_E_LEDGER_RECORD);
    assert_int_equal(append(log, init_record(&key), 9000, &err), KV_E_LEDGER_RECORD);
    assert_int_equal(append(log, kv_record_new(KV_EV_AGENT_STOP), 9000, &err), KV_E_LEDGER_RECORD);
    assert_int_equal(kv_log_next_seq(log), 3);
    must(append(log, stop_record("x"), 2000, &err), &err);
    kv_log_free(log);
    folder_free(&f);
}

static void a_log_opens_in_steps_of_some_records(void **state)
{
    (void)state;
    struct folder f = folder_new();
    kv_log_free(found(&f, 8)); /* 10 records, 2 of them covered */
    for (uint64_t step = 1; step <= 11; step++) {
        struct seen seen = {.refuse_at = UINT64_MAX};
        struct kv_err err = {0};
        struct kv_log_opening *opening = NULL;
        struct kv_log *log = NULL;
        must(kv_log_open_begin(f.fd, small_log(), NULL, see, &seen, &opening, &err), &err);
        for (uint64_t read = step; read <= 10; read += step) {
            must(kv_log_open_step(opening, step, &log, &err), &err);
            struct kv_log_progress at = kv_log_open_progress(opening);
            assert_null(log);
            assert_int_equal(at.read, read);
            assert_int_equal(at.of, 2);
            assert_int_equal(seen.count, read);
        }
        must(kv_log_open_step(opening, step, &log, &err), &err);
        assert_non_null(log);
        kv_log_opening_free(opening);
        assert_int_equal(seen.count, 10);
        assert_int_equal(kv_log_status(log)->state, KV_LOG_GOOD);
        assert_int_equal(kv_log_size(log), 10);
        kv_log_free(log);
    }
    folder_free(&f);
}

static void an_opening_that_is_given_up_changes_nothing(void **state)
{
    (void)state;
    struct folder f = folder_new();
    kv_log_free(found(&f, 4));
    struct seen seen = {.refuse_at = UINT64_MAX};
    struct kv_err err = {0};
    struct kv_log_opening *opening = NULL;
    struct kv_log *log = NULL;
    must(kv_log_open_begin(f.fd, small_log(), NULL, see, &seen, &opening, &err), &err);
    must(kv_log_open_step(opening, 3, &log, &err), &err);
    assert_null(log);
    kv_log_opening_free(opening);
    log = open_log(&f, &seen); /* the lock is free, too */
    assert_int_equal(kv_log_status(log)->state, KV_LOG_GOOD);
    assert_int_equal(kv_log_size(log), 6);
    kv_log_free(log);
    folder_free(&f);
}

static void what_the_judge_refuses_is_safe_mode(void **state)
{
    (void)state;
    struct folder f = folder_new();
    kv_log_free(found(&f, 4));
    struct seen seen = {.refuse_at = 5}; /* in the uncovered tail */
    struct kv_log *log = NULL;
    struct kv_err err = {0};
    must(kv_log_open(f.fd, small_log(), NULL, see, &seen, &log, &err), &err);
    const struct kv_log_status *status = kv_log_status(log);
    assert_int_equal(status->state, KV_LOG_DAMAGED);
    assert_int_equal(status->bad_seq, 5);
    assert_string_equal(status->bad_what, "not what the rules allow");
    assert_int_equal(append(log, stop_record("x"), 9000, &err), KV_E_LEDGER_SAFE);
    kv_log_free(log);
    folder_free(&f);
}

static void a_missing_or_changed_blob_is_safe_mode(void **state)
{
    (void)state;
    static const char blob[] =
        "blobs/1549794fac2ad0b3609d7f116b95b41b64d6c37a50115ad9a500eedf46f3b34b";
    struct folder f = vector_ledger();
    struct seen seen;
    patch_file(f.fd, blob, 7, kv_bytes_str("X"));
    struct kv_log *log = open_log(&f, &seen);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_DAMAGED);
    assert_int_equal(kv_log_status(log)->bad_seq, 9);
    assert_string_equal(kv_log_status(log)->bad_place, blob);
    kv_log_free(log);
    assert_int_equal(unlinkat(f.fd, blob, 0), 0);
    log = open_log(&f, &seen);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_DAMAGED);
    kv_log_free(log);
    folder_free(&f);
}

static void a_key_that_is_not_the_expected_one_is_safe_mode(void **state)
{
    (void)state;
    struct folder f = vector_ledger();
    struct kv_buf file = load(VECTOR("v1/keys/other.vkey"));
    struct kv_vkey other;
    struct kv_log *log = NULL;
    struct kv_err err = {0};
    assert_int_equal(kv_vkey_parse(kv_buf_bytes(&file), &other, NULL), KV_OK);
    kv_buf_clear(&file);
    must(kv_log_open(f.fd, small_log(), &other, NULL, NULL, &log, &err), &err);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_DAMAGED);
    kv_log_free(log);
    struct kv_vkey key = log_key();
    must(kv_log_open(f.fd, small_log(), &key, NULL, NULL, &log, &err), &err);
    assert_int_equal(kv_log_status(log)->state, KV_LOG_GOOD);
    kv_log_free(log);
    folder_free(&f);
}

static void a_removed_or_replaced_segment_is_noticed(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_log *log = found(&f, 1);
    struct kv_err err = {0};
    must(kv_log_tend(log, &err), &err);
    assert_int_equal(renameat(f.fd, "wal/00000000000000000000.seg", f.fd, "wal/x"), 0);
    must(append(log, stop_record("x"), 9000, &err), &err);
    assert_int_equal(kv_log_flush(log, &err), KV_E_LEDGER_SAFE);
    write_file(f.fd, "wal/00000000000000000000.seg", kv_bytes_str("x"));
    assert_int_equal(kv_log_tend(log, &err), KV_E_LEDGER_SAFE);
    kv_log_free(log);
    folder_free(&f);
}

static void a_changed_record_is_not_given_out(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_log *log = found(&f, 1);
    struct kv_buf line;
    kv_buf_init(&line, 65536);
    patch_file(f.fd, "wal/00000000000000000000.seg", 40, kv_bytes_str("#"));
    assert_int_equal(kv_log_record(log, 0, &line, NULL), KV_E_LEDGER_RECORD);
    assert_int_equal(line.len, 0);
    kv_buf_clear(&line);
    kv_log_free(log);
    folder_free(&f);
}

static void the_reserve_is_given_back_in_steps(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_log_options options = {.segment_len = SEGMENT,
                                     .reserve_len = 3 * KV_LOG_RESERVE_STEP};
    struct kv_log *log = NULL;
    struct kv_log_space space;
    struct kv_err err = {0};
    must(kv_log_open(f.fd, &options, NULL, NULL, NULL, &log, &err), &err);
    must(kv_log_space(log, &space, &err), &err);
    assert_int_equal(space.reserve, 3 * KV_LOG_RESERVE_STEP);
    assert_false(space.low);
    for (unsigned left = 3; left > 0; left--) {
        must(kv_log_reserve_give(log, &err), &err);
        must(kv_log_space(log, &space, &err), &err);
        assert_int_equal(space.reserve, (left - 1) * KV_LOG_RESERVE_STEP);
        assert_true(space.low);
    }
    assert_int_equal(kv_log_reserve_give(log, &err), KV_E_LEDGER_DISK);
    must(kv_log_reserve_fill(log, &err), &err);
    must(kv_log_space(log, &space, &err), &err);
    assert_false(space.low);
    kv_log_free(log);
    folder_free(&f);
}

static void a_disk_that_takes_no_write_is_noticed(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct rlimit before, none;
    struct kv_log *log = found(&f, 0);
    must(kv_log_probe(log, &err), &err);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    enum kv_code code = kv_log_probe(log, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(signal(SIGXFSZ, was) == SIG_IGN);
    assert_int_equal(code, KV_E_LEDGER_WRITE);
    must(kv_log_probe(log, &err), &err); /* nothing is lost by asking */
    kv_log_free(log);
    folder_free(&f);
}

/* The kernel may have dropped the dirty pages and forgotten the error: trying again could "succeed"
 * without them. Only a new start recovers. */
static void a_failed_write_is_never_repeated(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_log *log = found(&f, 1);
    struct kv_err err = {0};
    struct rlimit was, tight;
    struct seen seen;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    tight = (struct rlimit){16, was.rlim_max};
    must(append(log, stop_record("x"), 9000, &err), &err);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    enum kv_code first = kv_log_flush(log, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);

    assert_int_equal(first, KV_E_LEDGER_WRITE);
    assert_int_equal(kv_log_flush(log, &err), KV_E_LEDGER_WRITE);
    assert_int_equal(append(log, stop_record("x"), 9000, &err), KV_E_LEDGER_WRITE);
    assert_int_equal(kv_log_size(log), 3);
    kv_log_free(log);
    log = open_log(&f, &seen);
    assert_int_equal(kv_log_size(log), 3);
    must(append(log, stop_record("x"), 9000, &err), &err);
    must(kv_log_flush(log, &err), &err);
    kv_log_free(log);
    folder_free(&f);
}

/* Writes turns until it is killed, and says after each flush how many records are durable. */
static void serve_until_killed(struct folder *f, int acknowledge)
{
    struct kv_log *log = NULL;
    struct kv_err err = {0};
    if (kv_log_open(f->fd, small_log(), NULL, NULL, NULL, &log, &err) != KV_OK) {
        _exit(1);
    }
    for (;;) {
        for (int i = 0; i < 3; i++) {
            if (append(log, stop_record("signal"), 9000, &err) != KV_OK) {
                _exit(1);
            }
        }
        if (kv_log_flush(log, &err) != KV_OK || kv_log_tend(log, &err) != KV_OK) {
            _exit(1);
        }
        uint64_t size = kv_log_size(log);
        if (write(acknowledge, &size, sizeof size) != (ssize_t)sizeof size) {
            _exit(1);
        }
    }
}

static void what_was_acknowledged_survives_being_killed(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct seen seen;
    kv_log_free(found(&f, 0));
    for (int round = 0; round < 8; round++) {
        int ends[2];
        uint64_t acknowledged = 0;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            serve_until_killed(&f, ends[1]);
        }
        assert_int_equal(close(ends[1]), 0);
        assert_int_equal(read(ends[0], &acknowledged, sizeof acknowledged), sizeof acknowledged);
        assert_int_equal(usleep(5000), 0);
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        uint64_t last;
        while (read(ends[0], &last, sizeof last) == (ssize_t)sizeof last) {
            acknowledged = last;
        }
        assert_int_equal(close(ends[0]), 0);

        struct kv_log *log = open_log(&f, &seen);
        assert_int_equal(kv_log_status(log)->state, KV_LOG_GOOD);
        assert_true(kv_log_size(log) >= acknowledged);
        assert_int_equal(seen.count, kv_log_size(log));
        kv_log_free(log);
    }
    folder_free(&f);
}

static bool has_tile(const struct folder *f, uint64_t width)
{
    char path[64];
    int n = snprintf(path, sizeof path, "public/tile/0/000.p/%llu", (unsigned long long)width);
    assert_in_range(n, 1, sizeof path - 1);
    return faccessat(f->fd, path, F_OK, 0) == 0;
}

/* Under load a checkpoint is followed by the next; the last of a row has its tiles. */
static void tiles_wait_while_records_follow(void **state)
{
    (void)state;
    struct folder f = folder_new();
    struct kv_err err = {0};
    struct kv_log *log = found(&f, 1);
    must(append(log, stop_record("upgrade"), 6000, &err), &err); /* not flushed: it follows */
    must(publish(log, &err), &err);
    uint64_t size = kv_log_size(log);
    assert_int_equal(kv_log_covered(log), size);
    assert_false(has_tile(&f, size));
    must(kv_log_tend(log, &err), &err);
    assert_true(has_tile(&f, size));
    must(kv_log_flush(log, &err), &err);
    must(publish(log, &err), &err);
    assert_true(has_tile(&f, size + 1));
    kv_log_free(log);
    folder_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_lives_through_restarts_and_segments),
        cmocka_unit_test(an_unfinished_founding_leaves_no_ledger),
        cmocka_unit_test(a_refused_founding_is_set_aside),
        cmocka_unit_test(only_one_process_holds_the_ledger),
        cmocka_unit_test(a_wrong_signature_is_not_published),
        cmocka_unit_test(a_checkpoint_covers_what_was_signed),
        cmocka_unit_test(tiles_wait_while_records_follow),
        cmocka_unit_test(records_follow_each_other),
        cmocka_unit_test(a_log_opens_in_steps_of_some_records),
        cmocka_unit_test(an_opening_that_is_given_up_changes_nothing),
        cmocka_unit_test(what_the_judge_refuses_is_safe_mode),
        cmocka_unit_test(a_missing_or_changed_blob_is_safe_mode),
        cmocka_unit_test(a_key_that_is_not_the_expected_one_is_safe_mode),
        cmocka_unit_test(a_removed_or_replaced_segment_is_noticed),
        cmocka_unit_test(a_changed_record_is_not_given_out),
        cmocka_unit_test(the_reserve_is_given_back_in_steps),
        cmocka_unit_test(a_disk_that_takes_no_write_is_noticed),
        cmocka_unit_test(a_failed_write_is_never_repeated),
        cmocka_unit_test(what_was_acknowledged_survives_being_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
