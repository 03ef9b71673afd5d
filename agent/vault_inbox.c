/* The inbox: a drop box for signed texts (anybody may put a file in, nobody may list it). A file
 * holds text and armoured signature joined, or NAME and NAME.sig lie side by side. What was taken
 * is removed; NAME.answer says what came of it. Watched, never polled. */
#include "agent/vault.h"

#include "core/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX  32768
#define NAME_ROOM 200

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* Only regular files, never through a link: the box is open to hostile hands. */
static bool slurp(int dir, const char *name, struct kv_buf *out)
{
    uint8_t chunk[4096];
    struct stat st;
    ssize_t n;
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        kv_buf_add(out, chunk, (size_t)n);
    }
    return n == 0 && !out->failed && out->len > 0;
}

void vault_inbox_answer(struct vault *v, const char *name, enum kv_code code, const char *detail)
{
    char file[NAME_ROOM + 16];
    struct kv_buf text;
    int n = snprintf(file, sizeof file, "%.200s.answer", name);
    if (n < 0) {
        return;
    }
    kv_buf_init(&text, 2048);
    kv_buf_add_format(&text, "%s: %s\n%s\n", kv_code_word(code),
                      code == KV_OK ? "recorded" : detail, kv_code_row(code)->next);
    (void)unlinkat(v->inbox_dir, file, 0); /* an older answer, or none */
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(v->inbox_dir, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) != 0 || write(fd, text.data, text.len) != (ssize_t)text.len) {
        kv_log(KV_LOG_WARNING, "inbox", "answer=lost");
    }
    kv_buf_clear(&text);
}

static void take(struct vault *v, const char *name)
{
    struct kv_buf joined;
    char base[NAME_ROOM + 1], other[NAME_ROOM + 8];
    if (strlen(name) > NAME_ROOM || name[0] == '.' || ends_with(name, ".answer")) {
        return;
    }
    bool sig = ends_with(name, ".sig");
    memcpy(base, name, strlen(name) + 1);
    if (sig) {
        base[strlen(base) - 4] = '\0';
    }
    int n = snprintf(other, sizeof other, "%s.sig", base);
    assert(n > 0);
    kv_buf_init(&joined, FILE_MAX);
    bool have = slurp(v->inbox_dir, base, &joined);
    bool armoured = have && memmem(joined.data, joined.len, "-----BEGIN SSH SIGNATURE", 24) != NULL;
    if (have && !armoured) {
        have = slurp(v->inbox_dir, other, &joined); /* appended: text, then its signature */
    }
    if (have) {
        (void)unlinkat(v->inbox_dir, base, 0); /* ours to remove: the folder is */
        (void)unlinkat(v->inbox_dir, other, 0);
        vault_submit_file(v, base, kv_buf_bytes(&joined));
    }
    kv_buf_clear(&joined);
}

static void on_inbox(void *ctx, uint32_t events)
{
    union {
        struct inotify_event event;
        char bytes[4096];
    } buf;
    struct vault *v = ctx;
    (void)events;
    ssize_t n = read(v->inbox_watch, &buf, sizeof buf);
    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
        const struct inotify_event *event = (const void *)(buf.bytes + at);
        if (event->len > 0) {
            take(v, event->name);
        }
        at += (ssize_t)(sizeof *event + event->len);
    }
}

void vault_inbox_sweep(struct vault *v)
{
    int fd = v->inbox_dir < 0 ? -1 : fcntl(v->inbox_dir, F_DUPFD_CLOEXEC, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        take(v, entry->d_name);
    }
    if (dir != NULL) {
        rewinddir(dir);
        (void)closedir(dir); /* read-only */
    }
}

void vault_inbox_start(struct vault *v)
{
    struct kv_err err;
    struct kv_source *source;
    char path[300];
    int n = snprintf(path, sizeof path, "%s/inbox", v->state_dir);
    assert(n > 0 && (size_t)n < sizeof path);
    v->inbox_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    v->inbox_watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (v->inbox_dir < 0 || v->inbox_watch < 0 ||
        inotify_add_watch(v->inbox_watch, path, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0 ||
        kv_loop_watch(v->loop, v->inbox_watch, EPOLLIN, on_inbox, v, &source, &err) != KV_OK) {
        kv_log(KV_LOG_ERROR, "inbox", "detail=\"not watched: errno %d\"", errno);
    }
}
