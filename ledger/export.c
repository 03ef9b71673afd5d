/* One file, though long: each part is written into the folder of the same job, and a part alone is
 * of no use to anybody. */
#include "ledger/export.h"

#include "core/evidence.h"
#include "ledger/approval.h"
#include "ledger/blob.h"
#include "ledger/csv.h"
#include "ledger/embedded.h"
#include "ledger/encode.h"
#include "ledger/file.h"
#include "ledger/follow.h"
#include "ledger/manifest.h"
#include "ledger/note.h"
#include "ledger/reader.h"
#include "ledger/side.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 4096

/* What an export or a set of proofs is being made of. */
struct job {
    const struct kv_export_options *options; /* NULL: proofs only */
    struct kv_reader *reader;
    int to_fd;
    FILE *records, *csv; /* owned; NULL for proofs only */
    struct kv_blob_set *blobs;
    struct kv_tree *tree;
    struct kv_buf csv_line;
    struct kv_vkey vkey;
    bool has_vkey;
    bool has_checkpoint;
    struct kv_checkpoint checkpoint;
    const char *proof_folder; /* "proofs/" or "" */
    const uint64_t *proofs;
    size_t proof_count;
    bool unjudged; /* a record or blob was unreadable: the judge sees nothing any more */
};

static void job_clear(struct job *job)
{
    kv_reader_free(job->reader);
    kv_close_fdp(&job->to_fd);
    if (job->records != NULL) {
        (void)fclose(job->records); /* failed already, or finished by close_streams */
    }
    if (job->csv != NULL) {
        (void)fclose(job->csv);
    }
    kv_blob_set_free(job->blobs);
    kv_tree_free(job->tree);
    kv_buf_clear(&job->csv_line);
}

static enum kv_code open_stream(const struct job *job, const char *name, FILE **out,
                                struct kv_err *err)
{
    int fd = openat(job->to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (stream == NULL) {
        enum kv_code code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%s' cannot be made", name);
        kv_close_fdp(&fd);
        return code;
    }
    *out = stream;
    return KV_OK;
}

static enum kv_code put_stream(FILE *stream, struct kv_bytes bytes, struct kv_err *err)
{
    return fwrite(bytes.ptr, 1, bytes.len, stream) == bytes.len
               ? KV_OK
               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "records cannot be written");
}

static enum kv_code close_stream(FILE **stream, struct kv_err *err)
{
    FILE *closing = *stream;
    *stream = NULL;
    return closing == NULL || fclose(closing) == 0
               ? KV_OK
               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "records cannot be written");
}

/* A copy of a file of the ledger as it is; one that is missing stays missing, so that whoever
 * verifies the export sees what is wrong with the ledger. */
static enum kv_code copy_as_is(const struct job *job, int from_fd, const char *name,
                               const char *folder, size_t max, struct kv_err *err)
{
    char path[PATH_LEN];
    struct kv_buf bytes;
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    assert(n > 0);
    if (from_fd < 0 || fstatat(job->to_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return KV_OK;
    }
    kv_buf_init(&bytes, max);
    enum kv_code code = kv_file_read(from_fd, name, max, &bytes, err);
    if (code == KV_OK) {
        code = kv_file_put(job->to_fd, path, kv_buf_bytes(&bytes), 0644, err);
    }
    kv_buf_clear(&bytes);
    return code == KV_E_NOT_FOUND || code == KV_E_INPUT_TOO_LARGE ? KV_OK : code;
}

static enum kv_code copy_files(const struct job *job, const struct kv_record *rec,
                               struct kv_err *err)
{
    char name[KV_HASH_HEX_LEN + 5];
    enum kv_code code = KV_OK;
    for (size_t i = 0; code == KV_OK && i < rec->doc_count; i++) {
        kv_hash_hex(&rec->docs[i].hash, name);
        code = copy_as_is(job, kv_reader_blobs(job->reader), name, "blobs", KV_BLOB_MAX, err);
    }
    for (int i = 0; code == KV_OK && job->options->with_private && i < KV_PRIV_COUNT; i++) {
        if (rec->has_priv[i]) {
            kv_hash_hex(&rec->priv[i], name);
            memcpy(name + KV_HASH_HEX_LEN - 1, ".json", sizeof ".json");
            code = copy_as_is(job, kv_reader_private(job->reader), name, "private", KV_SIDE_ROW_MAX,
                              err);
        }
    }
    return code;
}

struct approvals {
    const struct job *job;
    const struct kv_entry *entry;
};

static enum kv_code put_approval(void *ctx, const char *path, size_t doc, struct kv_err *err)
{
    const struct approvals *a = ctx;
    return kv_file_put(a->job->to_fd, path, a->entry->blobs.blob[doc], 0644, err);
}

/* A record that can be read: its CSV line, blobs, texts, and the judge. */
static enum kv_code export_entry(struct job *job, struct kv_entry *entry, struct kv_err *err)
{
    size_t bad;
    const struct kv_export_options *options = job->options;
    kv_buf_reset(&job->csv_line);
    kv_csv_record(entry->rec, &entry->leaf, &job->csv_line);
    enum kv_code code = put_stream(job->csv, kv_buf_bytes(&job->csv_line), err);
    if (code == KV_OK) {
        code = copy_files(job, entry->rec, err);
    }
    if (code != KV_OK) {
        return code;
    }
    if (kv_blob_set_load(job->blobs, kv_reader_blobs(job->reader), entry->rec, &entry->blobs, &bad,
                         NULL) != KV_OK) {
        job->unjudged = true;
        return KV_OK;
    }
    struct approvals approvals = {job, entry};
    code = kv_approval_files(entry, put_approval, &approvals, err);
    if (code == KV_E_LEDGER_RECORD) { /* a text without a name: still evidence, as a blob */
        job->unjudged = true;
        return KV_OK;
    }
    if (code != KV_OK || job->unjudged || options->on_entry == NULL) {
        return code;
    }
    return options->on_entry(options->ctx, entry, err);
}

static bool is_proof(const struct job *job, uint64_t seq)
{
    for (size_t i = 0; i < job->proof_count; i++) {
        if (job->proofs[i] == seq) {
            return true;
        }
    }
    return false;
}

static enum kv_code put_proof_file(const struct job *job, uint64_t seq, const char *suffix,
                                   struct kv_bytes bytes, struct kv_err *err)
{
    char path[64];
    int n =
        snprintf(path, sizeof path, "%s%llu%s", job->proof_folder, (unsigned long long)seq, suffix);
    assert(n > 0 && n < (int)sizeof path);
    return kv_file_put(job->to_fd, path, bytes, 0644, err);
}

/* The key from log.init, and the checkpoint under it. */
static void open_head(struct job *job, const struct kv_record *init)
{
    job->has_vkey = kv_chain_vkey(init, &job->vkey, NULL) == KV_OK;
    job->has_checkpoint =
        job->has_vkey && kv_checkpoint_open(kv_reader_checkpoint(job->reader), &job->vkey, 1,
                                            &job->checkpoint, NULL) == KV_OK;
}

/* Is this the next record? Above the checkpoint a frame with another prev is one of an earlier life
 * of that place: the log ends before it, and the next start drops it. */
static bool is_next(const struct job *job, const struct kv_record *rec)
{
    uint64_t seq = kv_tree_size(job->tree);
    if (seq == 0 || seq < job->checkpoint.size) {
        return true; /* whatever is wrong below the checkpoint is evidence */
    }
    struct kv_chain chain = {.seq = seq, .last_leaf = kv_tree_leaf(job->tree, seq - 1)};
    return kv_chain_prev(&chain, rec);
}

static enum kv_code put_line(const struct job *job, struct kv_bytes line, struct kv_err *err)
{
    uint64_t seq = kv_tree_size(job->tree) - 1;
    enum kv_code code = KV_OK;
    if (job->records != NULL) {
        code = put_stream(job->records, line, err);
        if (code == KV_OK) {
            code = put_stream(job->records, kv_bytes_str("\n"), err);
        }
    }
    return code == KV_OK && is_proof(job, seq) ? put_proof_file(job, seq, ".json", line, err)
                                               : code;
}

static enum kv_code one_record(struct job *job, struct kv_bytes line, bool *more,
                               struct kv_err *err)
{
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = NULL;
    bool known = kv_record_decode(line, &rec, NULL) == KV_OK;
    if (!known && kv_record_peek(line, &rec, NULL) != KV_OK) {
        rec = NULL; /* the line itself is evidence; verify will name it */
    }
    *more = rec == NULL || is_next(job, rec);
    if (!*more) {
        return KV_OK;
    }
    struct kv_entry entry = {.rec = rec, .line = line, .leaf = kv_leaf_hash(line)};
    kv_tree_append(job->tree, &entry.leaf);
    job->unjudged = job->unjudged || !known;
    enum kv_code code = put_line(job, line, err);
    if (code != KV_OK || !known) {
        return code;
    }
    if (kv_tree_size(job->tree) == 1) {
        open_head(job, rec);
    }
    entry.tree = job->tree;
    entry.covered = job->checkpoint.size;
    return job->options == NULL ? KV_OK : export_entry(job, &entry, err);
}

static enum kv_code all_records(struct job *job, struct kv_err *err)
{
    struct kv_bytes line;
    bool more = true;
    for (;;) {
        enum kv_code code = kv_reader_next(job->reader, &line, &more, err);
        if (code != KV_OK || !more) {
            return code;
        }
        code = one_record(job, line, &more, err);
        if (code != KV_OK || !more) {
            return code;
        }
    }
}

static enum kv_code write_proofs(const struct job *job, struct kv_err *err)
{
    enum kv_code code = KV_OK;
    for (size_t i = 0; code == KV_OK && i < job->proof_count; i++) {
        uint64_t seq = job->proofs[i];
        uint64_t size = job->has_checkpoint ? job->checkpoint.size : 0;
        if (seq >= kv_tree_size(job->tree)) {
            return KV_REFUSE(err, KV_E_NOT_FOUND, "there is no record %llu: the ledger has %llu",
                             (unsigned long long)seq, (unsigned long long)kv_tree_size(job->tree));
        }
        if (seq >= size || size > kv_tree_size(job->tree)) {
            return KV_REFUSE(err, KV_E_LEDGER_COVER, "record %llu is not under the checkpoint",
                             (unsigned long long)seq);
        }
        struct kv_tlog_proof proof = {.index = seq, .note = kv_reader_checkpoint(job->reader)};
        struct kv_hash leaf = kv_tree_leaf(job->tree, seq);
        kv_tree_inclusion(job->tree, seq, size, &proof.proof);
        if (!kv_inclusion_verify(&proof.proof, seq, size, &leaf, &job->checkpoint.root)) {
            return KV_REFUSE(err, KV_E_LEDGER_PROOF, "the proof of record %llu does not hold",
                             (unsigned long long)seq);
        }
        struct kv_buf text;
        kv_buf_init(&text, 2 * KV_NOTE_MAX);
        kv_tlog_proof_write(&proof, &text);
        code = put_proof_file(job, seq, ".tlog-proof", kv_buf_bytes(&text), err);
        kv_buf_clear(&text);
    }
    return code;
}

static enum kv_code write_keys(const struct job *job, struct kv_err *err)
{
    char text[KV_VKEY_TEXT_LEN];
    struct kv_buf out;
    if (!job->has_vkey) {
        return KV_OK;
    }
    kv_vkey_format(&job->vkey, text);
    kv_buf_init(&out, 4096);
    kv_buf_add_format(&out, "%s\n", text);
    enum kv_code code = kv_file_put(job->to_fd, "keys/log.vkey", kv_buf_bytes(&out), 0644, err);
    kv_buf_reset(&out);
    kv_vkey_pem(&job->vkey, &out);
    if (code == KV_OK) {
        code = kv_file_put(job->to_fd, "keys/log.pem", kv_buf_bytes(&out), 0644, err);
    }
    kv_buf_clear(&out);
    return code;
}

/* What a token says of that key, if anything. */
static enum kv_code write_evidence(const struct job *job, struct kv_err *err)
{
    struct kv_buf text;
    kv_buf_init(&text, KV_EVIDENCE_MAX);
    enum kv_code code =
        kv_file_read(kv_reader_dir(job->reader), kv_reader_evidence_path(job->reader),
                     KV_EVIDENCE_MAX, &text, err);
    if (code == KV_OK) {
        code = kv_file_put(job->to_fd, "keys/log.evidence", kv_buf_bytes(&text), 0644, err);
    } else if (code == KV_E_NOT_FOUND) {
        code = KV_OK;
    }
    kv_buf_clear(&text);
    return code;
}

/* The README with its three numbers filled in. */
static enum kv_code write_readme(const struct job *job, struct kv_err *err)
{
    char records[24], size[24];
    const char *vault = job->has_vkey ? job->vkey.name : "an unreadable ledger";
    int n = snprintf(records, sizeof records, "%llu", (unsigned long long)kv_tree_size(job->tree));
    int m = snprintf(size, sizeof size, "%llu", (unsigned long long)job->checkpoint.size);
    assert(n > 0 && m > 0);
    const struct {
        const char *mark, *value;
    } marks[] = {{"@VAULT@", vault}, {"@RECORDS@", records}, {"@SIZE@", size}};
    struct kv_buf out;
    kv_buf_init(&out, 65536);
    struct kv_bytes rest = kv_embedded_readme;
    for (size_t i = 0; i < KV_COUNT(marks); i++) {
        const uint8_t *at = memmem(rest.ptr, rest.len, marks[i].mark, strlen(marks[i].mark));
        assert(at != NULL);
        size_t before = (size_t)(at - rest.ptr);
        kv_buf_add(&out, rest.ptr, before);
        kv_buf_add_str(&out, marks[i].value);
        rest.ptr = at + strlen(marks[i].mark);
        rest.len -= before + strlen(marks[i].mark);
    }
    kv_buf_add_bytes(&out, rest);
    enum kv_code code = kv_file_put(job->to_fd, "README", kv_buf_bytes(&out), 0644, err);
    kv_buf_clear(&out);
    return code;
}

static enum kv_code write_rest(const struct job *job, struct kv_err *err)
{
    struct kv_bytes signers = KV_BYTES_NULL;
    const struct kv_export_options *options = job->options;
    enum kv_code code = options->signers == NULL || job->unjudged
                            ? KV_OK
                            : options->signers(options->ctx, &signers, err);
    const struct {
        const char *path;
        struct kv_bytes bytes;
        mode_t mode;
    } files[] = {
        {"checkpoint", kv_reader_checkpoint(job->reader), 0644},
        {KV_SIGNERS_PATH, signers, 0644},
        {"verify_ecdsa_openssl.sh", kv_embedded_verify_sh, 0755},
        {"logcheck.go", kv_embedded_logcheck_go, 0644},
    };
    for (size_t i = 0; code == KV_OK && i < KV_COUNT(files); i++) {
        code = kv_file_put(job->to_fd, files[i].path, files[i].bytes, files[i].mode, err);
    }
    if (code == KV_OK) {
        code = write_keys(job, err);
    }
    if (code == KV_OK) {
        code = write_evidence(job, err);
    }
    if (code == KV_OK) {
        code = write_readme(job, err);
    }
    return code == KV_OK ? kv_manifest_write(job->to_fd, err) : code;
}

static enum kv_code fill(struct job *job, const char *partial, struct kv_err *err)
{
    static const char *const folders[] = {"blobs", "keys", "approvals"};
    job->to_fd = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (job->to_fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%.100s' cannot be opened", partial);
    }
    for (size_t i = 0; i < KV_COUNT(folders); i++) {
        if (mkdirat(job->to_fd, folders[i], 0755) != 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%s' cannot be made", folders[i]);
        }
    }
    enum kv_code code = open_stream(job, "records.jsonl", &job->records, err);
    if (code == KV_OK) {
        code = open_stream(job, "records.csv", &job->csv, err);
    }
    if (code == KV_OK) {
        kv_csv_header(&job->csv_line);
        code = put_stream(job->csv, kv_buf_bytes(&job->csv_line), err);
    }
    if (code == KV_OK) {
        code = all_records(job, err);
    }
    if (code == KV_OK) {
        code = close_stream(&job->records, err);
    }
    if (code == KV_OK) {
        code = close_stream(&job->csv, err);
    }
    if (code == KV_OK) {
        code = write_proofs(job, err);
    }
    return code == KV_OK ? write_rest(job, err) : code;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* The folder that becomes the target. One that an export left when it was cut short is removed. */
static enum kv_code make_partial(const char *partial, struct kv_err *err)
{
    struct stat st;
    if (mkdir(partial, 0700) == 0) {
        return KV_OK;
    }
    if (errno == EEXIST && lstat(partial, &st) == 0 && S_ISDIR(st.st_mode) &&
        nftw(partial, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 && mkdir(partial, 0700) == 0) {
        return KV_OK;
    }
    return errno == EEXIST
               ? KV_REFUSE(err, KV_E_USAGE,
                           "'%.100s' exists and is no folder of an export; move it away", partial)
               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%.100s' cannot be made", partial);
}

static enum kv_code open_job(struct job *job, const char *ledger_path, struct kv_err *err)
{
    kv_buf_init(&job->csv_line, 65536);
    job->blobs = kv_blob_set_new();
    job->tree = kv_tree_new();
    enum kv_code code = kv_reader_open(ledger_path, &job->reader, err);
    if (code == KV_OK && kv_reader_kind(job->reader) != KV_READER_LEDGER) {
        code = KV_REFUSE(err, KV_E_NOT_FOUND, "'%.100s' is not a ledger folder", ledger_path);
    }
    return code;
}

enum kv_code kv_export(const struct kv_export_options *options, struct kv_export_result *result,
                       struct kv_err *err)
{
    struct job job = {.options = options,
                      .to_fd = -1,
                      .proof_folder = "proofs/",
                      .proofs = options->proofs,
                      .proof_count = options->proof_count};
    char partial[PATH_LEN];
    struct stat st;
    int n = snprintf(partial, sizeof partial, "%s.partial", options->target_path);
    if (n < 0 || n >= (int)sizeof partial || lstat(options->target_path, &st) == 0) {
        return KV_REFUSE(err, KV_E_USAGE, "'%.100s' exists already", options->target_path);
    }
    enum kv_code code = open_job(&job, options->ledger_path, err);
    if (code == KV_OK) {
        code = make_partial(partial, err);
    }
    if (code == KV_OK) {
        code = fill(&job, partial, err);
        if (code == KV_OK &&
            renameat2(AT_FDCWD, partial, AT_FDCWD, options->target_path, RENAME_NOREPLACE) != 0) {
            code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%.100s' cannot be renamed", partial);
        }
        if (code != KV_OK) {
            (void)nftw(partial, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* the failure stands */
        }
    }
    if (code == KV_OK) {
        *result = (struct kv_export_result){kv_tree_size(job.tree), job.checkpoint.size,
                                            job.checkpoint.root};
    }
    job_clear(&job);
    return code;
}

enum kv_code kv_prove(const char *ledger_path, const uint64_t *seqs, size_t count,
                      const char *target_path, struct kv_err *err)
{
    struct job job = {.to_fd = -1, .proof_folder = "", .proofs = seqs, .proof_count = count};
    bool made = false;
    enum kv_code code = open_job(&job, ledger_path, err);
    if (code == KV_OK) {
        made = mkdir(target_path, 0755) == 0; /* what else is wrong with it, open tells */
        job.to_fd = open(target_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        code = job.to_fd < 0
                   ? KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%.100s' cannot be opened", target_path)
                   : all_records(&job, err);
    }
    if (code == KV_OK) {
        code = write_proofs(&job, err);
    }
    if (code != KV_OK && made) {
        (void)rmdir(target_path); /* only if nothing was written */
    }
    job_clear(&job);
    return code;
}
