#include "ledger/dir.h"

#include "ledger/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define DEPTH_MAX 8
#define PATH_LEN  320

static void dir_freep(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir); /* read-only */
    }
}

/* A stream of its own over the folder `name` below `dir_fd`. */
static enum kv_code open_stream(int dir_fd, const char *name, DIR **out, struct kv_err *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        enum kv_code code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "the folder '%s' cannot be read", name);
        kv_close_fdp(&fd);
        return code;
    }
    *out = dir;
    return KV_OK;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

enum kv_code kv_segments_list(int wal_fd, uint64_t **out, size_t *count, struct kv_err *err)
{
    KV_CLEANUP(dir_freep) DIR *dir = NULL;
    KV_CLEANUP(kv_freep) uint64_t *list = NULL;
    size_t n = 0;
    enum kv_code code = open_stream(wal_fd, ".", &dir, err);
    if (code != KV_OK) {
        return code;
    }
    errno = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        uint64_t first;
        if (kv_segment_name_parse(entry->d_name, &first)) {
            uint64_t *grown = reallocarray(list, n + 1, sizeof *list);
            if (grown == NULL) {
                return KV_REFUSE(err, KV_E_NO_MEMORY, "too many segments");
            }
            list = grown;
            list[n++] = first;
        }
        errno = 0;
    }
    if (errno != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "wal cannot be listed");
    }
    if (n > 0) {
        qsort(list, n, sizeof *list, compare);
    }
    *out = list;
    list = NULL; /* handed over */
    *count = n;
    return KV_OK;
}

static enum kv_code walk(int dir_fd, char path[static PATH_LEN], size_t len, unsigned depth,
                         kv_file_fn fn, void *ctx, struct kv_err *err);

static enum kv_code walk_entry(int dir_fd, const char *name, char path[static PATH_LEN], size_t len,
                               unsigned depth, kv_file_fn fn, void *ctx, struct kv_err *err)
{
    struct stat st;
    int n = snprintf(path + len, PATH_LEN - len, "%s%s", len == 0 ? "" : "/", name);
    if (n < 0 || (size_t)n >= PATH_LEN - len) {
        return KV_REFUSE(err, KV_E_IO, "a path is longer than %d bytes", PATH_LEN);
    }
    if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "'%s' cannot be looked up", path);
    }
    if (S_ISDIR(st.st_mode)) {
        return depth == DEPTH_MAX ? KV_REFUSE(err, KV_E_IO, "'%s' lies too deep", path)
                                  : walk(dir_fd, path, len + (size_t)n, depth + 1, fn, ctx, err);
    }
    if (!S_ISREG(st.st_mode)) {
        return KV_REFUSE(err, KV_E_IO, "'%s' is neither a file nor a folder", path);
    }
    return fn(ctx, path, err);
}

static enum kv_code walk(int dir_fd, char path[static PATH_LEN], size_t len, unsigned depth,
                         kv_file_fn fn, void *ctx, struct kv_err *err)
{
    KV_CLEANUP(dir_freep) DIR *dir = NULL;
    enum kv_code code = open_stream(dir_fd, len == 0 ? "." : path, &dir, err);
    errno = 0;
    for (struct dirent *entry = code == KV_OK ? readdir(dir) : NULL; entry != NULL && code == KV_OK;
         entry = code == KV_OK ? readdir(dir) : NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            code = walk_entry(dir_fd, entry->d_name, path, len, depth, fn, ctx, err);
            path[len] = '\0';
        }
        errno = 0;
    }
    if (code == KV_OK && errno != 0) {
        code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "a folder cannot be listed");
    }
    return code;
}

enum kv_code kv_files_walk(int dir_fd, kv_file_fn fn, void *ctx, struct kv_err *err)
{
    char path[PATH_LEN] = "";
    return walk(dir_fd, path, 0, 0, fn, ctx, err);
}
