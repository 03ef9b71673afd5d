#include "agent/attest.h"

#include "core/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXE_BYTES_MAX (512LL * 1024 * 1024)
#define CACHE_ROWS    32
#define READ_BYTES    (1024 * 1024) /* in one go, a millisecond or two: others wait as long */

/* Hashing a large program for each connection would be silly. ctime can't be set back by the owner,
 * so an unchanged (device, inode, size, mtime, ctime) is unchanged content. */
struct cached {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
    struct kv_hash hash;
    bool used;
};
static struct cached cache[CACHE_ROWS];
static size_t cache_next;

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static struct cached *find_cached(const struct stat *st)
{
    for (size_t i = 0; i < CACHE_ROWS; i++) {
        struct cached *c = &cache[i];
        if (c->used && c->dev == st->st_dev && c->ino == st->st_ino && c->size == st->st_size &&
            same_time(c->mtime, st->st_mtim) && same_time(c->ctime, st->st_ctim)) {
            return c;
        }
    }
    return NULL;
}

struct kv_attest_read {
    int fd;
    struct stat st;
    struct kv_hasher *hasher;
};

enum kv_code kv_attest_read_new_take_fd(int fd, struct kv_attest_read **out, struct kv_err *err)
{
    struct kv_attest_read *r = calloc(1, sizeof *r);
    if (r == NULL) {
        abort();
    }
    *r = (struct kv_attest_read){.fd = fd, .hasher = kv_hasher_new()};
    enum kv_code code = KV_OK;
    if (fstat(fd, &r->st) != 0) {
        code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot look at the executable");
    } else if (!S_ISREG(r->st.st_mode) || r->st.st_size > EXE_BYTES_MAX) {
        code = KV_REFUSE(err, KV_E_LIMIT, "the executable is no file of at most 512 MiB");
    }
    if (code != KV_OK) {
        kv_attest_read_free(r);
        return code;
    }
    *out = r;
    return KV_OK;
}

void kv_attest_read_free(struct kv_attest_read *r)
{
    if (r != NULL) {
        if (r->hasher != NULL) {
            (void)kv_hasher_finish(r->hasher); /* frees it */
        }
        kv_close_fdp(&r->fd);
        free(r);
    }
}

static void remember(const struct stat *st, const struct kv_hash *hash)
{
    cache[cache_next] = (struct cached){.dev = st->st_dev,
                                        .ino = st->st_ino,
                                        .size = st->st_size,
                                        .mtime = st->st_mtim,
                                        .ctime = st->st_ctim,
                                        .hash = *hash,
                                        .used = true};
    cache_next = (cache_next + 1) % CACHE_ROWS;
}

enum kv_code kv_attest_read_on(struct kv_attest_read *r, bool *done, struct kv_hash *out,
                               struct kv_err *err)
{
    uint8_t chunk[4096];
    ssize_t n = 1;
    for (size_t len = 0; len < READ_BYTES; len += (size_t)n) {
        n = read(r->fd, chunk, sizeof chunk);
        if (n <= 0) {
            break;
        }
        kv_hasher_add(r->hasher, kv_bytes(chunk, (size_t)n));
    }
    struct stat after;
    if (n < 0 || fstat(r->fd, &after) != 0 || !same_time(r->st.st_ctim, after.st_ctim)) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the executable changed while it was read");
    }
    *done = n == 0;
    if (n == 0) {
        *out = kv_hasher_finish(r->hasher);
        r->hasher = NULL;
        remember(&r->st, out);
    }
    return KV_OK;
}

/* Takes ownership of `fd`. */
static enum kv_code read_all(int fd, struct kv_hash *out, struct kv_err *err)
{
    struct kv_attest_read *r = NULL;
    bool done = false;
    enum kv_code code = kv_attest_read_new_take_fd(fd, &r, err);
    while (code == KV_OK && !done) {
        code = kv_attest_read_on(r, &done, out, err);
    }
    kv_attest_read_free(r);
    return code;
}

enum kv_code kv_attest_file(int fd, struct kv_hash *out, struct kv_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot look at the executable");
    }
    const struct cached *known = find_cached(&st);
    if (known != NULL) {
        *out = known->hash;
        return KV_OK;
    }
    int own = dup(fd);
    if (own < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "dup");
    }
    return read_all(own, out, err);
}

static bool ends_with(const char *part, size_t len, const char *end)
{
    size_t tail = strlen(end);
    return len > tail && memcmp(part + len - tail, end, tail) == 0;
}

/* systemd.unit(5): letters, digits and `:-_.\@`. */
static bool unit_name(const char *part, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)part[i];
        if (!kv_is_lower(c) && !kv_is_upper(c) && !kv_is_digit(c) &&
            (c == 0 || strchr(":-_.\\@", c) == NULL)) {
            return false;
        }
    }
    return true;
}

void kv_attest_unit(const char *cgroup, char out[static KV_UNIT_LEN])
{
    const char *line = strstr(cgroup, "0::/");
    out[0] = '\0';
    if (line == NULL || (line != cgroup && line[-1] != '\n')) {
        return;
    }
    const char *part = line + 4;
    size_t len = strcspn(part, "/\n");
    /* Below user.slice an account makes groups as it likes, with any name: those prove nothing. */
    if (len == 10 && memcmp(part, "user.slice", len) == 0) {
        return;
    }
    while (ends_with(part, len, ".slice") && part[len] == '/') {
        part += len + 1;
        len = strcspn(part, "/\n");
    }
    /* The first group below the slices is the unit; deeper ones may be delegated to it. */
    bool unit = ends_with(part, len, ".service") || ends_with(part, len, ".scope") ||
                ends_with(part, len, ".socket");
    if (unit && len < KV_UNIT_LEN && unit_name(part, len)) {
        memcpy(out, part, len);
        out[len] = '\0';
    }
}

/* Read a small file of /proc into text. */
static bool read_text(int dir, const char *name, char *text, size_t size)
{
    KV_CLEANUP(kv_close_fdp) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    text[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

/* The number behind `key` in the text of /proc files. */
static bool find_number(const char *text, const char *key, uint64_t *out)
{
    const char *at = strstr(text, key);
    if (at == NULL) {
        return false;
    }
    at += strlen(key);
    at += strspn(at, " \t");
    return kv_parse_u64(kv_bytes(at, strspn(at, "0123456789")), UINT64_MAX, out);
}

static bool pid_of(int pidfd, uint64_t *pid)
{
    char path[64], text[512];
    int n = snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    return n > 0 && read_text(AT_FDCWD, path, text, sizeof text) &&
           find_number(text, "\nPid:", pid);
}

/* Field 22 of /proc/PID/stat, behind the command name, which may hold anything but ends at the last
 * parenthesis (proc(5)). */
static bool start_time(const char *stat, uint64_t *out)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL &&
           kv_parse_u64(kv_bytes(at + 1, strspn(at + 1, "0123456789")), UINT64_MAX, out);
}

/* The kernel marks the name of what was started from a file that is not there any more: removed, or
 * replaced by rename as package managers do. The process was started under that name, so it keeps
 * it; what it runs, the hash tells. Not by st_nlink: the former file may have further names (dpkg's
 * .dpkg-tmp while it unpacks). A file whose own name ends so is found under it. */
static void strip_deleted(char *exe, const struct stat *st)
{
    static const char mark[] = " (deleted)";
    struct stat named;
    size_t len = strlen(exe);
    if (ends_with(exe, len, mark) &&
        (lstat(exe, &named) != 0 || named.st_dev != st->st_dev || named.st_ino != st->st_ino)) {
        exe[len - (sizeof mark - 1)] = '\0';
    }
}

static bool alive(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 0; /* readable once the process has ended */
}

/* The folder of the process in /proc. Its number could be another process' by now: what was read
 * there counts only if the process is still alive afterwards. */
static int open_process(int pidfd)
{
    uint64_t pid;
    char path[64];
    if (!pid_of(pidfd, &pid) ||
        snprintf(path, sizeof path, "/proc/%llu", (unsigned long long)pid) < 0) {
        return -1;
    }
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int open_exe(int dir)
{
    return openat(dir, "exe", O_RDONLY | O_CLOEXEC);
}

enum kv_code kv_attest_open(int pidfd, int *fd, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int dir = open_process(pidfd);
    KV_CLEANUP(kv_close_fdp) int exe = dir < 0 ? -1 : open_exe(dir);
    if (exe < 0 || !alive(pidfd)) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "the process has ended, or its program is not there");
    }
    *fd = exe;
    exe = -1; /* handed over */
    return KV_OK;
}

enum kv_code kv_attest(int pidfd, struct kv_attestation *out, struct kv_err *err)
{
    struct kv_attestation a = {.exe = ""};
    char text[4096];
    KV_CLEANUP(kv_close_fdp) int dir = open_process(pidfd);
    if (dir < 0 || !read_text(dir, "stat", text, sizeof text) ||
        !start_time(text, &a.start_ticks)) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "the process has ended");
    }
    ssize_t n = readlinkat(dir, "exe", a.exe, sizeof a.exe);
    if (n <= 0 || (size_t)n >= sizeof a.exe) {
        n = 0;
    }
    a.exe[n] = '\0';
    KV_CLEANUP(kv_close_fdp) int exe = open_exe(dir);
    struct stat st;
    if (exe >= 0 && fstat(exe, &st) == 0) {
        strip_deleted(a.exe, &st);
        a.device = st.st_dev;
        a.inode = st.st_ino;
        const struct cached *known = find_cached(&st);
        if (known != NULL) {
            a.has_exe_hash = true;
            a.exe_hash = known->hash;
        }
    }
    if (read_text(dir, "cgroup", text, sizeof text)) {
        kv_attest_unit(text, a.unit);
    }
    if (!alive(pidfd)) { /* the number could have been another process's all along */
        return KV_REFUSE(err, KV_E_NOT_FOUND, "the process has ended");
    }
    *out = a;
    return KV_OK;
}
