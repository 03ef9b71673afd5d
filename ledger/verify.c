#include "ledger/verify.h"

#include "core/parse.h"
#include "ledger/blob.h"
#include "ledger/dir.h"
#include "ledger/encode.h"
#include "ledger/file.h"
#include "ledger/follow.h"
#include "ledger/manifest.h"
#include "ledger/side.h"

#include <fcntl.h>
#include <stdio.h>

#define PROOF_SUFFIX ".tlog-proof"

struct run {
    struct kv_reader *reader;
    const struct kv_verify_options *options;
    struct kv_verify_result *result;
    struct kv_blob_set *blobs;
    struct kv_chain chain;
    struct kv_finding later; /* the first finding of A6: reported behind those of A5 */
    bool has_later;
    bool bad; /* a finding of stage A */
};

void kv_verify_result_clear(struct kv_verify_result *result)
{
    kv_findings_clear(&result->findings);
    kv_tree_free(result->tree);
    *result = (struct kv_verify_result){0};
}

static struct kv_finding finding(const char *stage, const char *file, const char *what)
{
    struct kv_finding f = {.exit = KV_VERIFY_BAD, .seq = KV_NO_SEQ};
    int n = snprintf(f.stage, sizeof f.stage, "%s", stage);
    int m = snprintf(f.file, sizeof f.file, "%s", file);
    int k = snprintf(f.what, sizeof f.what, "%s", what);
    assert(n >= 0 && m >= 0 && k >= 0);
    return f;
}

static void add(struct run *run, const struct kv_finding *f)
{
    kv_findings_add(&run->result->findings, f);
    run->bad = run->bad || f->exit == KV_VERIFY_BAD;
}

static void fail_file(struct run *run, const char *stage, const char *file, const char *what)
{
    struct kv_finding f = finding(stage, file, what);
    add(run, &f);
}

/* A finding at the record that is being read; `rec` may be NULL. */
static struct kv_finding at_record(const struct run *run, const struct kv_record *rec,
                                   const char *what)
{
    struct kv_finding f = finding("A4", kv_reader_file(run->reader), what);
    f.line = kv_reader_line(run->reader);
    f.seq = run->chain.seq;
    if (rec != NULL && rec->ev != KV_EV_NONE) {
        int n = snprintf(f.event, sizeof f.event, "%s", kv_event_word(rec->ev));
        assert(n > 0);
    }
    return f;
}

static void fail_record(struct run *run, const struct kv_record *rec, const char *what)
{
    struct kv_finding f = at_record(run, rec, what);
    add(run, &f);
}

/* A1. */
static void check_manifest(struct run *run)
{
    char place[KV_MANIFEST_PLACE];
    struct kv_err why = {0};
    if (kv_reader_kind(run->reader) == KV_READER_EXPORT &&
        kv_manifest_check(kv_reader_dir(run->reader), place, &why) != KV_OK) {
        fail_file(run, "A1", place, why.msg);
    }
}

/* The first record of a ledger folder names the key; it is checked again when it is read. */
static enum kv_code key_of_ledger(const struct run *run, struct kv_vkey *out, struct kv_err *err)
{
    struct kv_reader *reader = run->reader;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = NULL;
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(kv_reader_dir(reader), "wal/00000000000000000000.seg",
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    uint8_t head[KV_FRAME_HEADER];
    struct kv_buf bytes;
    struct kv_bytes line;
    kv_buf_init(&bytes, KV_FRAME_HEADER + KV_RECORD_MAX);
    enum kv_code code = fd < 0 ? KV_REFUSE(err, KV_E_LEDGER_RECORD, "there is no first segment")
                               : kv_fd_read_at(fd, head, sizeof head, 0, err);
    if (code == KV_OK) {
        uint8_t block[1024];
        size_t len = (size_t)head[6] << 8 | head[7];
        kv_buf_add(&bytes, head, sizeof head);
        for (size_t at = 0; code == KV_OK && at < len && len <= KV_RECORD_MAX;) {
            size_t n = len - at < sizeof block ? len - at : sizeof block;
            code = kv_fd_read_at(fd, block, n, (off_t)(sizeof head + at), err);
            kv_buf_add(&bytes, block, n);
            at += n;
        }
    }
    if (code == KV_OK &&
        (bytes.failed || kv_segment_frame(kv_buf_bytes(&bytes), 0, 0, &line) != KV_WHY_NONE)) {
        code = KV_REFUSE(err, KV_E_LEDGER_RECORD, "the first frame is bad");
    }
    if (code == KV_OK) {
        code = kv_record_decode(line, &rec, err);
    }
    if (code == KV_OK) {
        code = kv_chain_vkey(rec, out, err);
    }
    kv_buf_clear(&bytes);
    return code;
}

static enum kv_code read_vkey(const struct run *run, struct kv_vkey *out, struct kv_err *err)
{
    struct kv_buf text;
    kv_buf_init(&text, 4096);
    enum kv_code code = kv_file_read(kv_reader_dir(run->reader), "keys/log.vkey", 4096, &text, err);
    if (code == KV_OK) {
        code = kv_vkey_parse(kv_buf_bytes(&text), out, err);
    }
    kv_buf_clear(&text);
    return code;
}

/* Does the folder's keys/log.pem, for people with openssl, hold the same key? */
static bool pem_equal(const struct run *run, const struct kv_vkey *key)
{
    struct kv_buf is, want;
    kv_buf_init(&is, 4096);
    kv_buf_init(&want, 4096);
    kv_vkey_pem(key, &want);
    bool equal =
        kv_file_read(kv_reader_dir(run->reader), "keys/log.pem", 4096, &is, NULL) == KV_OK &&
        kv_bytes_equal(kv_buf_bytes(&is), kv_buf_bytes(&want));
    kv_buf_clear(&is);
    kv_buf_clear(&want);
    return equal;
}

/* A2, but for log.init, which is read in A4. */
static void check_key(struct run *run)
{
    struct kv_verify_result *result = run->result;
    bool export = kv_reader_kind(run->reader) == KV_READER_EXPORT;
    const char *place = export ? "keys/log.vkey" : "wal/00000000000000000000.seg";
    struct kv_vkey own;
    struct kv_err why = {0};
    const struct kv_vkey *given = run->options->vkey;
    if (given != NULL) {
        result->vkey = *given;
    }
    if (!export && given != NULL) {
        return;
    }
    enum kv_code code = export ? read_vkey(run, &own, &why) : key_of_ledger(run, &own, &why);
    if (code != KV_OK) {
        fail_file(run, "A2", place, why.msg);
    } else if (given != NULL && !kv_vkey_equal(given, &own)) {
        fail_file(run, "A2", place, "this is not the key that was given");
    } else if (export && !pem_equal(run, &own)) {
        fail_file(run, "A2", "keys/log.pem", "not the key of keys/log.vkey");
    } else if (given == NULL) {
        result->vkey = own;
    }
}

/* A3. */
static void check_checkpoint(struct run *run)
{
    struct kv_verify_result *result = run->result;
    struct kv_err why = {0};
    struct kv_bytes note = kv_reader_checkpoint(run->reader);
    const char *path = kv_reader_checkpoint_path(run->reader);
    if (note.len == 0) {
        fail_file(run, "A3", path, "missing, empty or too long");
    } else if (kv_checkpoint_open(note, &result->vkey, 1, &result->checkpoint, &why) != KV_OK) {
        fail_file(run, "A3", path, why.msg);
    }
}

static void note_later(struct run *run, const struct kv_record *rec, const char *file,
                       const char *what)
{
    if (!run->has_later) {
        run->later = at_record(run, rec, what);
        memcpy(run->later.stage, "A6", 3);
        run->later.line = 0;
        int n = snprintf(run->later.file, sizeof run->later.file, "%s", file);
        assert(n > 0);
        run->has_later = true;
    }
}

/* A6: blobs and, where they are included, side rows of one record. */
static void check_files(struct run *run, const struct kv_record *rec, struct kv_blobs *blobs)
{
    struct kv_err why = {0};
    size_t bad = 0;
    char path[9 + KV_HASH_HEX_LEN + 5];
    char hex[KV_HASH_HEX_LEN];
    if (kv_blob_set_load(run->blobs, kv_reader_blobs(run->reader), rec, blobs, &bad, &why) !=
        KV_OK) {
        kv_hash_hex(&rec->docs[bad].hash, hex);
        int n = snprintf(path, sizeof path, "blobs/%s", hex);
        assert(n > 0);
        note_later(run, rec, path, why.msg);
    }
    for (int i = 0; i < KV_PRIV_COUNT && kv_reader_private(run->reader) >= 0; i++) {
        struct kv_side_row row;
        struct kv_buf store;
        if (!rec->has_priv[i]) {
            continue;
        }
        kv_buf_init(&store, KV_SIDE_ROW_MAX);
        enum kv_code code =
            kv_side_row_get(kv_reader_private(run->reader), &rec->priv[i], &row, &store, &why);
        kv_buf_clear(&store);
        if (code != KV_OK || row.field != (enum kv_priv_field)i) {
            kv_hash_hex(&rec->priv[i], hex);
            int n = snprintf(path, sizeof path, "private/%s.json", hex);
            assert(n > 0);
            note_later(run, rec, path, code == KV_OK ? "the row is of another field" : why.msg);
        }
    }
}

/* Whether record 0 is a log.init that names the key. */
static void check_init(struct run *run, const struct kv_record *rec)
{
    struct kv_vkey key;
    struct kv_err why = {0};
    if (kv_chain_vkey(rec, &key, &why) != KV_OK) {
        fail_record(run, rec, why.msg);
    } else if (!kv_vkey_equal(&key, &run->result->vkey)) {
        fail_record(run, rec, "the log is of another key than the one that it is checked with");
    }
    const struct kv_info *test = kv_record_info(rec, "test");
    run->result->test = test != NULL && test->b;
}

/* A record that this version cannot read: its chain and blobs still count. */
static enum kv_code read_newer(struct run *run, struct kv_bytes line, const char *what,
                               struct kv_record **rec, struct kv_err *err)
{
    enum kv_code code = kv_record_peek(line, rec, err);
    if (code == KV_OK && !run->result->newer) {
        struct kv_finding f = at_record(run, NULL, what);
        f.exit = KV_VERIFY_UNJUDGED;
        add(run, &f);
        run->result->newer = true;
    }
    return code;
}

/* One record. *stop at the first bad one, or where a ledger folder's records end. */
static enum kv_code check_record(struct run *run, struct kv_bytes line, bool *stop,
                                 struct kv_err *err)
{
    struct kv_verify_result *result = run->result;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = NULL;
    struct kv_err why = {0};
    enum kv_code code = kv_record_decode(line, &rec, &why);
    if (code == KV_E_LEDGER_NEWER) {
        char what[sizeof why.msg];
        memcpy(what, why.msg, sizeof what);
        code = read_newer(run, line, what, &rec, &why);
    }
    *stop = true;
    if (code != KV_OK) {
        fail_record(run, NULL, why.msg);
        return KV_OK;
    }
    if (kv_reader_kind(run->reader) == KV_READER_LEDGER &&
        run->chain.seq >= result->checkpoint.size && !kv_chain_prev(&run->chain, rec)) {
        result->tail = KV_WHY_PREV; /* a stale frame, which the next start drops */
        return KV_OK;
    }
    if (kv_chain_check(&run->chain, rec, &why) != KV_OK) {
        fail_record(run, rec, why.msg);
        return KV_OK;
    }
    if (run->chain.seq == 0) {
        check_init(run, rec);
        if (run->bad) {
            return KV_OK;
        }
    }
    struct kv_entry entry = {.rec = rec, .line = line, .leaf = kv_leaf_hash(line)};
    kv_tree_append(result->tree, &entry.leaf);
    check_files(run, rec, &entry.blobs);
    kv_chain_add(&run->chain, rec, &entry.leaf);
    *stop = false;
    if (run->has_later || result->newer || run->options->on_entry == NULL) {
        return KV_OK;
    }
    entry.tree = result->tree;
    entry.covered = result->checkpoint.size;
    return run->options->on_entry(run->options->ctx, &entry, err);
}

/* A4, and A6 on the way. */
static enum kv_code check_records(struct run *run, struct kv_err *err)
{
    struct kv_verify_result *result = run->result;
    bool more = true;
    bool stop = false;
    result->tail = KV_WHY_END;
    while (!stop) {
        struct kv_bytes line;
        struct kv_err why = {0};
        enum kv_code code = kv_reader_next(run->reader, &line, &more, &why);
        if (code == KV_E_LEDGER_RECORD) {
            fail_record(run, NULL, why.msg);
            break;
        }
        if (code != KV_OK) {
            return KV_FAIL(err, code, why.cause, "%s", why.msg);
        }
        if (!more) {
            result->tail = kv_reader_why(run->reader);
            break;
        }
        code = check_record(run, line, &stop, err);
        if (code != KV_OK) {
            return code;
        }
    }
    result->records = kv_reader_count(run->reader) - (result->tail == KV_WHY_PREV ? 1 : 0);
    result->records_good = run->chain.seq;
    result->covered =
        run->chain.seq < result->checkpoint.size ? run->chain.seq : result->checkpoint.size;
    if (!run->bad && result->tail != KV_WHY_END && run->chain.seq < result->checkpoint.size) {
        char what[64];
        int n = snprintf(what, sizeof what, "a bad frame: %s", kv_why_word(result->tail));
        assert(n > 0);
        fail_record(run, NULL, what);
    }
    return KV_OK;
}

struct proofs {
    struct run *run;
    int dir_fd;
};

static bool proof_good(struct run *run, int dir_fd, const char *name, size_t stem,
                       struct kv_err *why)
{
    uint64_t seq, index;
    struct kv_checkpoint cp;
    char json[64];
    struct kv_buf proof, record;
    if (stem > 20 || !kv_parse_u64(kv_bytes(name, stem), KV_NUMBER_MAX, &seq)) {
        return KV_REFUSE(why, KV_E_LEDGER_PROOF, "not named by a number") == KV_OK;
    }
    int n = snprintf(json, sizeof json, "%llu.json", (unsigned long long)seq);
    assert(n > 0);
    kv_buf_init(&proof, KV_NOTE_MAX);
    kv_buf_init(&record, KV_RECORD_MAX);
    enum kv_code code = kv_file_read(dir_fd, name, KV_NOTE_MAX, &proof, why);
    if (code == KV_OK) {
        code = kv_file_read(dir_fd, json, KV_RECORD_MAX, &record, why);
    }
    if (code == KV_OK) {
        code = kv_tlog_proof_verify(kv_buf_bytes(&proof), kv_buf_bytes(&record), &run->result->vkey,
                                    1, &index, &cp, why);
    }
    const struct kv_tree *tree = run->result->tree;
    if (code == KV_OK && (index != seq || cp.size > kv_tree_size(tree))) {
        code = KV_REFUSE(why, KV_E_LEDGER_PROOF, "the proof is of another record or a later log");
    }
    if (code == KV_OK) {
        struct kv_hash root = kv_tree_root(tree, cp.size);
        if (!kv_hash_equal(&root, &cp.root)) {
            code = KV_REFUSE(why, KV_E_LEDGER_PROOF, "the proof is of another log");
        }
    }
    kv_buf_clear(&proof);
    kv_buf_clear(&record);
    return code == KV_OK;
}

static enum kv_code check_proof(void *ctx, const char *path, struct kv_err *err)
{
    struct proofs *proofs = ctx;
    struct kv_err why = {0};
    size_t len = strlen(path);
    size_t suffix = sizeof PROOF_SUFFIX - 1;
    (void)err;
    if (proofs->run->bad || len < suffix || strcmp(path + len - suffix, PROOF_SUFFIX) != 0) {
        return KV_OK;
    }
    if (!proof_good(proofs->run, proofs->dir_fd, path, len - suffix, &why)) {
        char place[KV_FINDING_PLACE];
        int n = snprintf(place, sizeof place, "proofs/%s", path);
        assert(n > 0);
        fail_file(proofs->run, "A5", place, why.msg);
    }
    return KV_OK;
}

/* A5. */
static enum kv_code check_tree(struct run *run, struct kv_err *err)
{
    struct kv_verify_result *result = run->result;
    if (run->chain.seq < result->checkpoint.size) {
        char what[96];
        int n = snprintf(what, sizeof what, "missing: the checkpoint covers %llu records",
                         (unsigned long long)result->checkpoint.size);
        assert(n > 0);
        fail_record(run, NULL, what);
        memcpy(result->findings.list[result->findings.count - 1].stage, "A5", 3);
        return KV_OK;
    }
    struct kv_hash root = kv_tree_root(result->tree, result->checkpoint.size);
    if (!kv_hash_equal(&root, &result->checkpoint.root)) {
        fail_file(run, "A5", kv_reader_checkpoint_path(run->reader),
                  "the root is not that of the records");
        return KV_OK;
    }
    struct proofs proofs = {.run = run, .dir_fd = -1};
    enum kv_code code = kv_dir_open(kv_reader_dir(run->reader), "proofs", &proofs.dir_fd, err);
    if (code == KV_OK) {
        code = kv_files_walk(proofs.dir_fd, check_proof, &proofs, err);
    }
    kv_close_fdp(&proofs.dir_fd);
    return code == KV_E_NOT_FOUND ? KV_OK : code;
}

static void check_expected(struct run *run)
{
    const struct kv_checkpoint *expect = run->options->expect;
    const struct kv_tree *tree = run->result->tree;
    if (expect == NULL) {
        return;
    }
    if (expect->size <= kv_tree_size(tree)) {
        struct kv_hash root = kv_tree_root(tree, expect->size);
        if (kv_hash_equal(&root, &expect->root)) {
            return;
        }
    }
    char what[96];
    int n =
        snprintf(what, sizeof what, "older than, or not a continuation of, the log of size %llu",
                 (unsigned long long)expect->size);
    assert(n > 0);
    struct kv_finding f = finding("B2", kv_reader_checkpoint_path(run->reader), what);
    f.exit = KV_VERIFY_ROLLBACK;
    kv_findings_add(&run->result->findings, &f);
}

static enum kv_code verify(struct run *run, struct kv_err *err)
{
    static void (*const before[])(struct run *) = {check_manifest, check_key, check_checkpoint};
    for (size_t i = 0; i < KV_COUNT(before) && !run->bad; i++) {
        before[i](run);
    }
    enum kv_code code = run->bad ? KV_OK : check_records(run, err);
    if (code == KV_OK && !run->bad) {
        code = check_tree(run, err);
    }
    if (code != KV_OK) {
        return code;
    }
    if (!run->bad && run->has_later) {
        add(run, &run->later);
    }
    run->result->stage_a_good = !run->bad;
    if (!run->bad) {
        check_expected(run);
    }
    return KV_OK;
}

enum kv_code kv_verify(struct kv_reader *reader, const struct kv_verify_options *options,
                       struct kv_verify_result *result, struct kv_err *err)
{
    struct run run = {.reader = reader, .options = options, .result = result};
    *result =
        (struct kv_verify_result){.tree = kv_tree_new(), .vkey_from_folder = options->vkey == NULL};
    run.blobs = kv_blob_set_new();
    enum kv_code code = verify(&run, err);
    kv_blob_set_free(run.blobs);
    return code;
}
