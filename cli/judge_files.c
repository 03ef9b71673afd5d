/* B1: the readable copies of an export equal what the records name, no more and no less. */
#include "cli/judge_parts.h"

#include "ledger/approval.h"
#include "ledger/dir.h"
#include "ledger/file.h"
#include "policy/state.h"

#include <stdio.h>
#include <stdlib.h>

#define SIGNERS_MAX (4 * 1024 * 1024)

struct copy {
    struct judge *judge;
    const struct kv_entry *entry;
};

static void remember(struct approvals *approvals, const char *path)
{
    if (approvals->count == approvals->cap) {
        approvals->cap = approvals->cap == 0 ? 64 : 2 * approvals->cap;
        approvals->paths = reallocarray(approvals->paths, approvals->cap, sizeof *approvals->paths);
        if (approvals->paths == NULL) {
            abort();
        }
    }
    char *copy = strdup(path);
    if (copy == NULL) {
        abort();
    }
    approvals->paths[approvals->count++] = copy;
}

static enum kv_code check_copy(void *ctx, const char *path, size_t doc, struct kv_err *err)
{
    struct copy *copy = ctx;
    struct kv_buf file;
    struct kv_err why = {0};
    (void)err;
    remember(&copy->judge->approvals, path);
    kv_buf_init(&file, KV_BLOB_MAX);
    enum kv_code code =
        kv_file_read(kv_reader_dir(copy->judge->reader), path, KV_BLOB_MAX, &file, &why);
    if (code != KV_OK || !kv_bytes_equal(kv_buf_bytes(&file), copy->entry->blobs.blob[doc])) {
        judge_find(copy->judge, KV_VERIFY_BAD, "B1", NULL, path, copy->entry->rec->ev,
                   code == KV_OK ? "not what the record names" : why.msg);
    }
    kv_buf_clear(&file);
    return KV_OK;
}

enum kv_code judge_files_entry(struct judge *judge, const struct kv_entry *entry,
                               struct kv_err *err)
{
    struct copy copy = {judge, entry};
    if (kv_reader_kind(judge->reader) != KV_READER_EXPORT) {
        return KV_OK;
    }
    struct kv_err why = {0};
    (void)err;
    if (kv_approval_files(entry, check_copy, &copy, &why) != KV_OK) {
        struct place place = judge_place(judge, entry);
        judge_find(judge, KV_VERIFY_BAD, "B1", &place, NULL, entry->rec->ev, why.msg);
    }
    return KV_OK;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum kv_code check_named(void *ctx, const char *name, struct kv_err *err)
{
    struct judge *judge = ctx;
    char path[KV_FINDING_PLACE];
    (void)err;
    int n = snprintf(path, sizeof path, "approvals/%s", name);
    const char *key = path;
    if (n > 0 && n < (int)sizeof path &&
        (strcmp(path, KV_SIGNERS_PATH) == 0 ||
         bsearch(&key, judge->approvals.paths, judge->approvals.count,
                 sizeof *judge->approvals.paths, compare_paths) != NULL)) {
        return KV_OK;
    }
    judge_find(judge, KV_VERIFY_BAD, "B1", NULL, path, KV_EV_NONE, "no record names this file");
    return KV_OK;
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
    if (judge->approvals.count > 0) {
        qsort(judge->approvals.paths, judge->approvals.count, sizeof *judge->approvals.paths,
              compare_paths);
    }
    int fd = -1;
    struct kv_err why = {0};
    enum kv_code code = KV_OK;
    if (kv_dir_open(kv_reader_dir(judge->reader), "approvals", &fd, &why) != KV_OK) {
        judge_find(judge, KV_VERIFY_BAD, "B1", NULL, "approvals", KV_EV_NONE, why.msg);
    } else {
        code = kv_files_walk(fd, check_named, judge, err);
    }
    kv_close_fdp(&fd);
    return code == KV_OK && !judge->fold_ended ? check_signers(judge, err) : code;
}
