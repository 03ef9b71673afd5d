#include "ledger/blob.h"

#include "ledger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum kv_code kv_blobs_put(int blobs_fd, const struct kv_bytes *blobs, size_t count,
                          struct kv_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (blobs[i].len == 0 || blobs[i].len > KV_BLOB_MAX) {
            return KV_REFUSE(err, KV_E_LIMIT, "a blob has 1 to %d bytes, not %zu", KV_BLOB_MAX,
                             blobs[i].len);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct kv_hash hash = kv_hash(blobs[i]);
        char name[KV_HASH_HEX_LEN];
        struct stat st;
        kv_hash_hex(&hash, name);
        if (fstatat(blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            continue; /* its name is its content; if it is damaged, verify must be able to say so */
        }
        if (errno != ENOENT) {
            return KV_FAIL(err, KV_E_LEDGER_WRITE, KV_ERRNO, "blobs/%s cannot be looked up", name);
        }
        enum kv_code code = kv_file_write(blobs_fd, name, blobs[i], 0600, false, err);
        if (code != KV_OK) {
            return kv_wrap(err, "keep a blob");
        }
    }
    /* Also when nothing was new: an earlier run may have died between rename and this. */
    return count == 0 ? KV_OK : kv_dir_sync(blobs_fd, err);
}

enum kv_code kv_blob_get(int blobs_fd, const struct kv_hash *hash, size_t len, struct kv_buf *out,
                         struct kv_err *err)
{
    char name[KV_HASH_HEX_LEN];
    size_t start = out->len;
    struct kv_err why = {0};
    kv_hash_hex(hash, name);
    if (blobs_fd < 0) {
        return KV_REFUSE(err, KV_E_LEDGER_BLOB, "missing");
    }
    enum kv_code code = kv_file_read(blobs_fd, name, KV_BLOB_MAX, out, &why);
    if (code == KV_E_NOT_FOUND) {
        return KV_REFUSE(err, KV_E_LEDGER_BLOB, "missing");
    }
    if (code == KV_E_NO_MEMORY) {
        return KV_REFUSE(err, code, "no room for a blob");
    }
    if (code != KV_OK) {
        return KV_FAIL(err, KV_E_LEDGER_BLOB, why.cause, "unreadable: %.100s", why.msg);
    }
    struct kv_bytes got = kv_bytes(out->data + start, out->len - start);
    struct kv_hash is = kv_hash(got);
    if (!kv_hash_equal(&is, hash) || (len != 0 && len != got.len)) {
        out->len = start;
        return KV_REFUSE(err, KV_E_LEDGER_BLOB,
                         kv_hash_equal(&is, hash) ? "not as long as the record says"
                                                  : "the content is not what the name says");
    }
    return KV_OK;
}

struct kv_blob_set {
    struct kv_buf bytes;
    struct kv_bytes view[KV_RECORD_DOCS_MAX];
};

struct kv_blob_set *kv_blob_set_new(void)
{
    struct kv_blob_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        abort();
    }
    kv_buf_init(&set->bytes, (size_t)KV_RECORD_DOCS_MAX * KV_BLOB_MAX);
    return set;
}

void kv_blob_set_free(struct kv_blob_set *set)
{
    if (set != NULL) {
        kv_buf_clear(&set->bytes);
        free(set);
    }
}

void kv_blob_set_freep(struct kv_blob_set **set)
{
    kv_blob_set_free(*set);
    *set = NULL;
}

enum kv_code kv_blob_set_load(struct kv_blob_set *set, int blobs_fd, const struct kv_record *rec,
                              struct kv_blobs *out, size_t *bad, struct kv_err *err)
{
    assert(rec->doc_count <= KV_RECORD_DOCS_MAX);
    kv_buf_reset(&set->bytes);
    for (size_t i = 0; i < rec->doc_count; i++) {
        enum kv_code code =
            kv_blob_get(blobs_fd, &rec->docs[i].hash, rec->docs[i].len, &set->bytes, err);
        if (code != KV_OK) {
            *bad = i;
            return code;
        }
    }
    /* Only now: the buffer does not move any more. */
    size_t at = 0;
    for (size_t i = 0; i < rec->doc_count; i++) {
        set->view[i] = kv_bytes(set->bytes.data + at, rec->docs[i].len);
        at += rec->docs[i].len;
    }
    *out = (struct kv_blobs){set->view, rec->doc_count};
    return KV_OK;
}
