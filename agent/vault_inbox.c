/* The inbox: a drop box for signed texts (anybody may put a file in, nobody may list it). A file
 * holds text and armoured signature joined, or NAME and NAME.sig lie side by side. What was taken
 * or is too large is removed; NAME.answer says what came of it. Watched, and swept at the start,
 * when events were lost, and once a day; then also what has lain there for a week goes. The box is
 * open to hostile hands: each turn looks at a few files and reads little of each. */
#include "agent/vault.h"

#include "core/log.h"
#include "core/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_MAX       32768 /* bytes of a text and its signature */
#define NAME_ROOM      200
#define EVENTS_LEN     1024 /* bytes read in one turn: up to 32 events */
#define SWEEP_ENTRIES  32   /* looked at in one turn */
#define SWEEP_EVERY_MS KV_DAY_MS
#define KEEP_MS        (7 * KV_DAY_MS)

enum found { NOTHING, WHOLE, TOO_LARGE };

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* Open an entry of the inbox itself: through no link, and nothing that is mounted over it. Behind a
 * mount a file system of the attacker's (FUSE) could let us wait for ever, for as little as its
 * attributes. */
static int open_entry(int dir, const char *name, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, dir, name, &how, sizeof how); /* glibc has no wrapper */
}

/* Append the file to `out`. Only regular files. */
static enum found slurp(int dir, const char *name, struct kv_buf *out)
{
    uint8_t chunk[4096];
    size_t before = out->len;
    struct stat st;
    ssize_t n;
    KV_CLEANUP(kv_close_fdp)
    int fd = open_entry(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return NOTHING;
    }
    if (st.st_size > FILE_MAX) {
        return TOO_LARGE; /* a sparse file has terabytes for nothing */
    }
    do {
        n = read(fd, chunk, sizeof chunk);
        kv_buf_add(out, chunk, n > 0 ? (size_t)n : 0);
    } while (n > 0 && !out->failed);
    if (out->failed) {
        return TOO_LARGE; /* it grows, or both together are */
    }
    return n == 0 && out->len > before ? WHOLE : NOTHING; /* empty: its bytes are on their way */
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
    enum found found = slurp(v->inbox_dir, base, &joined);
    bool armoured =
        found == WHOLE && memmem(joined.data, joined.len, "-----BEGIN SSH SIGNATURE", 24) != NULL;
    if (found == NOTHING) { /* a signature without its text waits, unless it can be none */
        found = slurp(v->inbox_dir, other, &joined) == TOO_LARGE ? TOO_LARGE : NOTHING;
    } else if (found == WHOLE && !armoured) {
        found = slurp(v->inbox_dir, other, &joined); /* appended: text, then its signature */
    }
    if (found != NOTHING) {
        (void)unlinkat(v->inbox_dir, base, 0); /* ours to remove: the folder is */
        (void)unlinkat(v->inbox_dir, other, 0);
    }
    if (found == WHOLE) {
        vault_submit_file(v, base, kv_buf_bytes(&joined));
    } else if (found == TOO_LARGE) {
        kv_log(KV_LOG_INFO, "inbox", "file=%s code=%s", kv_log_word(base, other, sizeof other),
               kv_code_word(KV_E_INPUT_TOO_LARGE));
        vault_inbox_answer(v, base, KV_E_INPUT_TOO_LARGE,
                           "a text and its signature have at most 32 KiB");
    }
    kv_buf_clear(&joined);
}

/* ---- sweeping ---- */

/* By the time of the last change, which nobody can set. Folders go when they are empty. */
static void remove_old(const struct vault *v, const char *name)
{
    struct stat st;
    KV_CLEANUP(kv_close_fdp)
    int fd = open_entry(v->inbox_dir, name, O_PATH);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || fd < 0 || fstat(fd, &st) != 0 ||
        kv_time_now_ms() - (int64_t)st.st_ctim.tv_sec * 1000 < KEEP_MS) {
        return;
    }
    (void)unlinkat(v->inbox_dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

static void sweep(struct vault *v)
{
    if (v->inbox_sweep != NULL) {
        v->inbox_again = true;
        return;
    }
    int fd = openat(v->inbox_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    v->inbox_sweep = fd < 0 ? NULL : fdopendir(fd);
    if (v->inbox_sweep == NULL) {
        kv_close_fdp(&fd);
        kv_log(KV_LOG_ERROR, "inbox", "detail=\"not swept: errno %d\"", errno);
    }
    kv_timer_arm(v->inbox_timer, v->inbox_sweep == NULL ? SWEEP_EVERY_MS : 0);
}

static void on_sweep(void *ctx)
{
    struct vault *v = ctx;
    const struct dirent *entry;
    if (v->inbox_sweep == NULL) {
        sweep(v); /* the day is over */
        return;
    }
    for (int i = 0; i < SWEEP_ENTRIES; i++) {
        if ((entry = readdir(v->inbox_sweep)) == NULL) {
            (void)closedir(v->inbox_sweep); /* read-only */
            v->inbox_sweep = NULL;
            kv_timer_arm(v->inbox_timer, v->inbox_again ? 0 : SWEEP_EVERY_MS);
            v->inbox_again = false;
            return;
        }
        take(v, entry->d_name);
        remove_old(v, entry->d_name);
    }
    kv_timer_arm(v->inbox_timer, 0);
}

/* ---- watching ---- */

static void on_inbox(void *ctx, uint32_t events)
{
    union {
        struct inotify_event event;
        char bytes[EVENTS_LEN];
    } buf;
    struct vault *v = ctx;
    (void)events;
    ssize_t n = read(v->inbox_watch, &buf, sizeof buf);
    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
        const struct inotify_event *event = (const void *)(buf.bytes + at);
        if ((event->mask & IN_Q_OVERFLOW) != 0) {
            sweep(v); /* more was dropped than we heard of */
        } else if (event->len > 0) {
            take(v, event->name);
        }
        at += (ssize_t)(sizeof *event + event->len);
    }
}

static void start(struct vault *v)
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
        return;
    }
    v->inbox_timer = kv_timer_new(v->loop, on_sweep, v);
    sweep(v); /* what was dropped while nobody watched */
}

/* Whether texts can be judged: an approval that is taken before the ledger's end is signed would
 * be refused and gone. A signer that told why it does not sign is waited for no longer, since
 * taking away works without it. In safe mode everything stays where it lies. */
static bool can_judge(struct vault *v)
{
    const struct keeper *keeper = vault_keeper(v, v->log_slot);
    if (v->log == NULL) {
        return false;
    }
    if (!v->started) {
        return kv_log_status(v->log)->state == KV_LOG_EMPTY && v->log_key.type != 0;
    }
    return !v->unsigned_tail || v->signer_told || (!keeper->ready && keeper->code != KV_E_STARTING);
}

void vault_inbox_begin(struct vault *v)
{
    if (!v->inbox_begun && can_judge(v)) {
        v->inbox_begun = true;
        start(v);
    }
}

void vault_inbox_clear(struct vault *v)
{
    if (v->inbox_sweep != NULL) {
        (void)closedir(v->inbox_sweep); /* read-only */
    }
    kv_timer_free(v->inbox_timer);
}
