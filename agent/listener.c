#include "agent/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define TRY_MS  50
#define BACKLOG 1024

static enum kv_code new_socket(int *out, struct kv_err *err)
{
    *out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return *out >= 0 ? KV_OK : KV_FAIL(err, KV_E_IO, KV_ERRNO, "socket");
}

/* Whether nobody listens. KV_E_LEDGER_LOCKED: somebody does. */
static enum kv_code is_silent(const struct sockaddr_un *addr, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int fd = -1;
    if (new_socket(&fd, err) != KV_OK) {
        return err->code;
    }
    if (connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0 ||
        errno == EAGAIN) { /* so many wait that it could not */
        return KV_REFUSE(err, KV_E_LEDGER_LOCKED, "another agent answers on %.100s",
                         addr->sun_path);
    }
    return errno == ECONNREFUSED || errno == ENOENT
               ? KV_OK
               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot ask who listens on %.100s",
                         addr->sun_path);
}

/* The lock keeps two apart that start at once: both would find nobody, and the second would take
 * the first one's socket away. Who listens is asked all the same: the programs of an agent that was
 * killed may outlive it by a moment. */
static enum kv_code take_place(const struct sockaddr_un *addr, int patience_ms, int *lock,
                               struct kv_err *err)
{
    char name[sizeof addr->sun_path + 8];
    int n = snprintf(name, sizeof name, "%s.lock", addr->sun_path);
    assert(n > 0 && (size_t)n < sizeof name);
    *lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (*lock < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open %.120s", name);
    }
    for (int waited = 0;; waited += TRY_MS) {
        enum kv_code code;
        if (flock(*lock, LOCK_EX | LOCK_NB) == 0) {
            code = is_silent(addr, err);
        } else {
            code = errno == EWOULDBLOCK
                       ? KV_REFUSE(err, KV_E_LEDGER_LOCKED, "another agent holds %.120s", name)
                       : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot lock %.120s", name);
        }
        if (code != KV_E_LEDGER_LOCKED || waited >= patience_ms) {
            return code;
        }
        (void)poll(NULL, 0, TRY_MS);
    }
}

/* Left behind by an agent that was killed. */
static enum kv_code remove_left(const char *path, struct kv_err *err)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        return KV_REFUSE(err, KV_E_CONFIG, "socket: %.120s is there, and is no socket", path);
    }
    return unlink(path) == 0 || errno == ENOENT
               ? KV_OK
               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot remove the old %.120s", path);
}

static enum kv_code bind_here(const char *path, int patience_ms, struct kv_listener *out,
                              struct kv_err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path) {
        return KV_REFUSE(err, KV_E_CONFIG, "socket: the path is longer than %zu bytes",
                         sizeof addr.sun_path - 1);
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    KV_CLEANUP(kv_close_fdp) int fd = -1;
    if (take_place(&addr, patience_ms, &out->lock, err) != KV_OK ||
        remove_left(path, err) != KV_OK || new_socket(&fd, err) != KV_OK) {
        return err->code;
    }
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || chmod(path, 0666) != 0 ||
        listen(fd, BACKLOG) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot listen on %.120s", path);
    }
    out->fd = fd;
    fd = -1; /* handed over */
    return KV_OK;
}

enum kv_code kv_listener_open(const char *path, int patience_ms, struct kv_listener *out,
                              struct kv_err *err)
{
    *out = KV_LISTENER_NONE;
    int n = sd_listen_fds(1);
    if (n < 0 || n > 1) {
        return KV_REFUSE(err, KV_E_CONFIG, "systemd passed %d sockets, one is expected", n);
    }
    if (n == 1) {
        out->fd = SD_LISTEN_FDS_START;
        return fcntl(out->fd, F_SETFL, O_NONBLOCK) == 0
                   ? KV_OK
                   : KV_FAIL(err, KV_E_IO, KV_ERRNO, "the socket that systemd passed");
    }
    return bind_here(path, patience_ms, out, err);
}

void kv_listener_close(struct kv_listener *listener, const char *path)
{
    if (listener->fd >= 0 && listener->lock >= 0) {
        (void)unlink(path); /* gone already is fine */
    }
    kv_close_fdp(&listener->fd);
    kv_close_fdp(&listener->lock); /* last: whoever waits for it finds nothing of ours */
}
