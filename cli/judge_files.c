/* B1: the readable copies of an export are what the records name: every signed text and signature
 * has a copy below approvals/, and nothing else is there. Copies are compared by content. (What a
 * copy is called says nothing that is not signed inside it.) */
#include "cli/judge_parts.h"

#include "ledger/approval.h"
#include "ledger/dir.h"
#include "ledger/file.h"
#include "policy/state.h"

#include <stdio.h>
#include <stdlib.h>

#define SIGNERS_MAX (4 * 1024 * 1024)

struct collecting {
    struct approvals *approvals;
    const struct kv_entry *entry;
};

static char *copy_of(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

static enum kv_code note_named(void *ctx, const char *path, size_t doc, struct kv_err *err)
{
    struct collecting *collecting = ctx;
    struct approvals *approvals = collecting->approvals;
    (void)err;
    if (approvals->named_count == approvals->named_cap) {
        approvals->named_cap = approvals->named_cap == 0 ? 64 : 2 * approvals->named_cap;
        approvals->named =
            reallocarray(approvals->named, approvals->named_cap, sizeof *approvals->named);
        if (approvals->named == NULL) {
            abort();
        }
    }
    approvals->named[approvals->named_count++] =
        (struct named){collecting->entry->rec->docs[doc].hash, copy_of(path), false};
    return KV_OK;
}

void judge_files_entry(struct judge *judge, const struct kv_entry *entry)
{
    struct collecting collecting = {&judge->approvals, entry};
    struct kv_err why = {0};
    if (kv_reader_kind(judge->reader) == KV_READER_EXPORT &&
        kv_approval_files(entry, note_named, &collecting, &why) != KV_OK) {
        struct place place = judge_place(judge, entry);
        judge_find(judge, KV_VERIFY_BAD, "B1", &place, NULL, entry->rec->ev, why.msg);
    }
}

void judge_files_clear(struct approvals *approvals)
{
    for (size_t i = 0; i < approvals->named_count; i++) {
        free(approvals->named[i].path);
    }
    for (size_t i = 0; i < approvals->file_count; i++) {
        free(approvals->files[i]);
    }
    free(approvals->named);
    free(approvals->files);
}

static enum kv_code note_file(void *ctx, const char *name, struct kv_err *err)
{
    struct approvals *approvals = ctx;
    char *path = NULL;
    (void)err;
    if (approvals->file_count == approvals->file_cap) {
        approvals->file_cap = approvals->file_cap == 0 ? 64 : 2 * approvals->file_cap;
        approvals->files =
            reallocarray(approvals->files, approvals->file_cap, sizeof *approvals->files);
    }
    if (approvals->files == NULL || asprintf(&path, "approvals/%s", name) < 0) {
        abort();
    }
    approvals->files[approvals->file_count++] = path;
    return KV_OK;
}

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(((const struct named *)a)->hash.b, ((const struct named *)b)->hash.b,
                  KV_HASH_LEN);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Mark what has this content; false if no record names it. */
static bool mark(struct approvals *approvals, const struct kv_hash *hash)
{
    struct named key = {.hash = *hash};
    struct named *end = approvals->named + approvals->named_count;
    struct named *at = approvals->named_count == 0
                           ? NULL
                           : bsearch(&key, approvals->named, approvals->named_count,
                                     sizeof *approvals->named, compare_hashes);
    if (at == NULL) {
        return false;
    }
    while (at > approvals->named && kv_hash_equal(&at[-1].hash, hash)) {
        at--;
    }
    for (; at < end && kv_hash_equal(&at->hash, hash); at++) {
        at->seen = true;
    }
    return true;
}

static void check_file(struct judge *judge, const char *path)
{
    struct kv_buf bytes;
    struct kv_err why = {0};
    kv_buf_init(&bytes, KV_BLOB_MAX);
    if (kv_file_read(kv_reader_dir(judge->reader), path, KV_BLOB_MAX, &bytes, &why) != KV_OK) {
        judge_find(judge, KV_VERIFY_BAD, "B1", NULL, path, KV_EV_NONE, why.msg);
    } else {
        struct kv_hash hash = kv_hash(kv_buf_bytes(&bytes));
        if (!mark(&judge->approvals, &hash)) {
            judge_find(judge, KV_VERIFY_BAD, "B1", NULL, path, KV_EV_NONE,
                       "no record names such a text or signature");
        }
    }
    kv_buf_clear(&bytes);
}

static void check_files(struct judge *judge)
{
    struct approvals *approvals = &judge->approvals;
    int fd = -1;
    struct kv_err why = {0};
    if (kv_dir_open(kv_reader_dir(judge->reader), "approvals", &fd, &why) != KV_OK ||
        kv_files_walk(fd, note_file, approvals, &why) != KV_OK) {
        judge_find(judge, KV_VERIFY_BAD, "B1", NULL, "approvals", KV_EV_NONE, why.msg);
    }
    kv_close_fdp(&fd);
    if (approvals->named_count > 0) {
        qsort(approvals->named, approvals->named_count, sizeof *approvals->named, compare_hashes);
    }
    if (approvals->file_count > 0) {
        qsort(approvals->files, approvals->file_count, sizeof *approvals->files, compare_paths);
    }
    for (size_t i = 0; i < approvals->file_count; i++) {
        if (strcmp(approvals->files[i], KV_SIGNERS_PATH) != 0) {
            check_file(judge, approvals->files[i]);
        }
    }
    for (size_t i = 0; i < approvals->named_count; i++) {
        if (!approvals->named[i].seen) {
            judge_find(judge, KV_VERIFY_BAD, "B1", NULL, approvals->named[i].path, KV_EV_NONE,
                       "the copy of what a record names is missing");
        }
    }
}

static enum kv_code check_signers(struct judge *judge, struct kv_err *err)
{
    struct kv_buf want;
    struct kv_buf is;
    struct kv_err why = {0};
    kv_buf_init(&want, SIGNERS_MAX);
    kv_buf_init(&is, SIGNERS_MAX);
    kv_state_allowed_signers(judge->state, &want);
    enum kv_code code =
        kv_file_read(kv_reader_dir(judge->reader), KV_SIGNERS_PATH, SIGNERS_MAX, &is, &why);
    if (code != KV_OK || !kv_bytes_equal(kv_buf_bytes(&want), kv_buf_bytes(&is))) {
        judge_find(judge, KV_VERIFY_BAD, "B1", NULL, KV_SIGNERS_PATH, KV_EV_NONE,
                   code == KV_OK ? "not the keys that the records enrolled" : why.msg);
    }
    code = want.failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "the list of signers") : KV_OK;
    kv_buf_clear(&want);
    kv_buf_clear(&is);
    return code;
}

enum kv_code judge_files_finish(struct judge *judge, struct kv_err *err)
{
    if (kv_reader_kind(judge->reader) != KV_READER_EXPORT) {
        return KV_OK;
    }
    check_files(judge);
    return judge->fold_ended ? KV_OK : check_signers(judge, err);
}
