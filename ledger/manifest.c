#include "ledger/manifest.h"

#include "core/buf.h"
#include "core/hash.h"
#include "ledger/dir.h"
#include "ledger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME         "MANIFEST"
#define MANIFEST_MAX (64U << 20) /* bytes; about half a million files */

struct paths {
    char **list; /* owned, each */
    size_t count;
    size_t cap;
};

static void paths_clear(struct paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) {
        free(paths->list[i]);
    }
    free(paths->list);
}

static enum kv_code add_path(void *ctx, const char *path, struct kv_err *err)
{
    struct paths *paths = ctx;
    if (strcmp(path, NAME) == 0) {
        return KV_OK;
    }
    if (paths->count == paths->cap) {
        size_t cap = paths->cap == 0 ? 64 : 2 * paths->cap;
        char **grown = reallocarray(paths->list, cap, sizeof *grown);
        if (grown == NULL) {
            return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a list of files");
        }
        paths->list = grown;
        paths->cap = cap;
    }
    paths->list[paths->count] = strdup(path);
    if (paths->list[paths->count] == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a list of files");
    }
    paths->count++;
    return KV_OK;
}

static int compare(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

static enum kv_code sorted_paths(int dir_fd, struct paths *paths, struct kv_err *err)
{
    enum kv_code code = kv_files_walk(dir_fd, add_path, paths, err);
    if (code == KV_OK && paths->count > 0) {
        qsort(paths->list, paths->count, sizeof *paths->list, compare);
    }
    return code;
}

static enum kv_code hash_file(int dir_fd, const char *path, struct kv_hash *out, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%s' cannot be opened", path);
    }
    enum { BLOCK = 4096 };
    uint8_t block[BLOCK];
    struct kv_hasher *hasher = kv_hasher_new();
    ssize_t n;
    while ((n = read(fd, block, BLOCK)) > 0 || (n < 0 && errno == EINTR)) {
        kv_hasher_add(hasher, kv_bytes(block, n < 0 ? 0 : (size_t)n));
    }
    int number = errno;
    *out = kv_hasher_finish(hasher);
    return n == 0 ? KV_OK
                  : KV_FAIL(err, KV_E_IO, ((struct kv_cause){KV_CAUSE_ERRNO, (unsigned)number}),
                            "'%s' cannot be read", path);
}

enum kv_code kv_manifest_write(int dir_fd, struct kv_err *err)
{
    struct paths paths = {0};
    struct kv_buf text;
    kv_buf_init(&text, MANIFEST_MAX);
    enum kv_code code = sorted_paths(dir_fd, &paths, err);
    for (size_t i = 0; code == KV_OK && i < paths.count; i++) {
        struct kv_hash hash;
        char hex[KV_HASH_HEX_LEN];
        code = hash_file(dir_fd, paths.list[i], &hash, err);
        if (code == KV_OK) {
            kv_hash_hex(&hash, hex);
            kv_buf_add_format(&text, "%s  %s\n", hex, paths.list[i]);
        }
    }
    if (code == KV_OK) {
        code = text.failed ? KV_REFUSE(err, KV_E_IO, "MANIFEST would be too long")
                           : kv_file_put(dir_fd, NAME, kv_buf_bytes(&text), 0644, err);
    }
    kv_buf_clear(&text);
    paths_clear(&paths);
    return code;
}

static void set_place(char place[static KV_MANIFEST_PLACE], struct kv_bytes path)
{
    size_t n = path.len < KV_MANIFEST_PLACE - 1 ? path.len : KV_MANIFEST_PLACE - 1;
    memcpy(place, path.ptr, n);
    place[n] = '\0';
}

/* The next line of MANIFEST: `<hex>  <path>`, paths ascending. False at the end; *bad on a line
 * that is none. */
static bool take_line(struct kv_bytes *rest, struct kv_hash *hash, struct kv_bytes *path, bool *bad)
{
    struct kv_bytes before = *path;
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *lf = memchr(rest->ptr, '\n', rest->len);
    size_t len = lf == NULL ? 0 : (size_t)(lf - rest->ptr);
    if (len < 67 || rest->ptr[64] != ' ' || rest->ptr[65] != ' ' ||
        !kv_hash_from_hex(kv_bytes(rest->ptr, 64), hash)) {
        *bad = true;
        return false;
    }
    *path = kv_bytes(rest->ptr + 66, len - 66);
    rest->ptr += len + 1;
    rest->len -= len + 1;
    *bad = before.len > 0 && kv_bytes_compare(before, *path) >= 0;
    return !*bad;
}

static enum kv_code compare_all(int dir_fd, struct kv_bytes text, const struct paths *paths,
                                char place[static KV_MANIFEST_PLACE], struct kv_err *err)
{
    struct kv_bytes listed = KV_BYTES_NULL;
    struct kv_hash want, is;
    bool bad = false;
    size_t i = 0;
    bool more = take_line(&text, &want, &listed, &bad);
    while (!bad && (more || i < paths->count)) {
        struct kv_bytes found = i < paths->count ? kv_bytes_str(paths->list[i]) : KV_BYTES_NULL;
        int order = !more ? -1 : i == paths->count ? 1 : kv_bytes_compare(found, listed);
        set_place(place, order < 0 ? found : listed);
        if (order != 0) {
            return KV_REFUSE(err, KV_E_LEDGER_RECORD,
                             order < 0 ? "MANIFEST does not list this file"
                                       : "this file of MANIFEST is missing");
        }
        enum kv_code code = hash_file(dir_fd, paths->list[i], &is, err);
        if (code != KV_OK) {
            return code;
        }
        if (!kv_hash_equal(&is, &want)) {
            return KV_REFUSE(err, KV_E_LEDGER_RECORD, "the content is not what MANIFEST says");
        }
        i++;
        more = take_line(&text, &want, &listed, &bad);
    }
    if (bad) {
        set_place(place, kv_bytes_str(NAME));
        return KV_REFUSE(err, KV_E_LEDGER_RECORD, "not sorted lines of a hash and a path");
    }
    return KV_OK;
}

enum kv_code kv_manifest_check(int dir_fd, char place[static KV_MANIFEST_PLACE], struct kv_err *err)
{
    struct paths paths = {0};
    struct kv_buf text;
    kv_buf_init(&text, MANIFEST_MAX);
    set_place(place, kv_bytes_str(NAME));
    enum kv_code code = kv_file_read(dir_fd, NAME, MANIFEST_MAX, &text, err);
    if (code == KV_E_NOT_FOUND || code == KV_E_INPUT_TOO_LARGE) {
        code = KV_REFUSE(err, KV_E_LEDGER_RECORD, "MANIFEST is missing or too long");
    }
    if (code == KV_OK) {
        code = sorted_paths(dir_fd, &paths, err);
    }
    if (code == KV_OK) {
        code = compare_all(dir_fd, kv_buf_bytes(&text), &paths, place, err);
    }
    kv_buf_clear(&text);
    paths_clear(&paths);
    return code;
}
