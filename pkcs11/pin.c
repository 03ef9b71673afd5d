#include "pkcs11/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "core/base.h"

#define PATH_LEN 4096

/* The path of a credential: systemd gives the folder, the name must stay inside it. */
static enum kv_code credential_path(const char *name, char path[static PATH_LEN],
                                    struct kv_err *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        return KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "'%.64s' is not the name of a credential", name);
    }
    if (folder == NULL || folder[0] != '/') {
        return KV_REFUSE(err, KV_E_PIN_CREDENTIAL,
                         "there are no credentials; put LoadCredential=%.64s:… into the unit",
                         name);
    }
    int n = snprintf(path, PATH_LEN, "%s/%s", folder, name);
    if (n < 0 || n >= PATH_LEN) {
        return KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "the path of credential '%.64s' is too long",
                         name);
    }
    return KV_OK;
}

/* `closed`: mode bits that must not be set. */
static enum kv_code check_file(int fd, const char *source, uid_t owner, mode_t closed,
                               struct kv_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO, "cannot stat '%.100s'", source);
    }
    if (!S_ISREG(st.st_mode)) {
        return KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "'%.100s' is not a regular file", source);
    }
    if (st.st_uid != 0 && st.st_uid != owner) {
        return KV_REFUSE(err, KV_E_PIN_OPEN, "'%.100s' belongs to uid %ju; chown it to root",
                         source, (uintmax_t)st.st_uid);
    }
    if ((st.st_mode & closed) != 0) {
        return KV_REFUSE(err, KV_E_PIN_OPEN, "'%.100s' is open to others; chmod it to 0400",
                         source);
    }
    return KV_OK;
}

enum kv_code kv_pin_open(const char *source, uid_t owner, int *fd, struct kv_err *err)
{
    char path[PATH_LEN];
    mode_t closed = 077;
    enum kv_code missing = KV_E_PIN_MISSING;
    if (source != NULL &&
        (strncmp(source, "file:/", 6) == 0 || strncmp(source, "sealed:/", 8) == 0)) {
        int n = snprintf(path, sizeof path, "%s", strchr(source, '/'));
        if (n < 0 || (size_t)n >= sizeof path) {
            return KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "the path of the PIN file is too long");
        }
    } else if (source != NULL && strncmp(source, "credential:", 11) == 0) {
        enum kv_code code = credential_path(source + 11, path, err);
        if (code != KV_OK) {
            return code;
        }
        missing = KV_E_PIN_CREDENTIAL;
        /* systemd opens a credential to the unit's user by an ACL, whose mask shows as the group's
         * bits (systemd.exec(5), Credentials) */
        closed = 07;
    } else {
        return KV_REFUSE(err, KV_E_TOKEN_NO_PIN,
                         "the PIN source must be file:/PATH, credential:NAME or sealed:/PATH");
    }
    /* non-blocking: a FIFO in the file's place must not hold the supervisor up */
    int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (in < 0) {
        if (errno == ELOOP) {
            return KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO,
                           "'%.100s' is a link; name the file itself", source);
        }
        return KV_FAIL(err, missing, KV_ERRNO, "cannot open '%.100s' (%s)", source,
                       strerror(errno));
    }
    enum kv_code code = check_file(in, source, owner, closed, err);
    if (code != KV_OK) {
        (void)close(in); /* read-only: nothing to lose */
        return code;
    }
    *fd = in;
    return KV_OK;
}

enum kv_code kv_pin_open_pipe(const char *path, int *fd, struct kv_err *err)
{
    struct stat st;
    KV_CLEANUP(kv_close_fdp) int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (in < 0 && errno == ENOENT) {
        return KV_REFUSE(err, KV_E_PIN_AWAITED, "the PIN is entered by hand");
    }
    if (in < 0 || fstat(in, &st) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open %.120s", path);
    }
    if (!S_ISFIFO(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        return KV_REFUSE(err, KV_E_PIN_OPEN, "%.120s is not a pipe that only root has", path);
    }
    /* the keeper waits until all of it is there */
    int waiting = 0;
    if (ioctl(in, FIONREAD, &waiting) != 0 || fcntl(in, F_SETFL, 0) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open %.120s", path);
    }
    if (waiting == 0) { /* left behind by a command that was ended */
        return KV_REFUSE(err, KV_E_PIN_AWAITED, "the PIN is entered by hand");
    }
    *fd = in;
    in = -1; /* handed over */
    return KV_OK;
}

/* Drop one newline, check the length, hand over. Takes ownership of *buf, which holds `len` bytes.
 */
static enum kv_code finish(struct kv_secret **buf, size_t len, struct kv_secret **out,
                           struct kv_err *err)
{
    const uint8_t *data = kv_secret_data(*buf);
    if (len > 0 && data[len - 1] == '\n') {
        len--;
    }
    if (len < KV_PIN_MIN || len > KV_PIN_MAX) {
        return KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "a PIN has %d to %d bytes, this one has not",
                         KV_PIN_MIN, KV_PIN_MAX);
    }
    kv_secret_shrink(*buf, len);
    *out = *buf;
    *buf = NULL; /* handed over */
    return KV_OK;
}

enum kv_code kv_pin_read_fd(int fd, struct kv_secret **out, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *buf = NULL;
    size_t room = KV_PIN_MAX + 2; /* with its newline, and one byte that tells "too long" */
    enum kv_code code = kv_secret_new(room, &buf, err);
    if (code != KV_OK) {
        return code;
    }
    size_t len = 0;
    while (len < room) {
        ssize_t n = read(fd, kv_secret_data(buf) + len, room - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO, "cannot read the PIN");
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return finish(&buf, len, out, err);
}

/* Signals that would end or stop the program while the echo is off. */
static const int held[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

/* One line of the terminal, or the signal that came instead. *signal_number 0: none. */
static enum kv_code read_line(int tty, int signals, struct kv_secret *buf, size_t *len,
                              int *signal_number, struct kv_err *err)
{
    *len = 0;
    *signal_number = 0;
    for (;;) {
        struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = tty, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "poll");
        }
        struct signalfd_siginfo info;
        if ((fds[0].revents & POLLIN) != 0 && read(signals, &info, sizeof info) == sizeof info) {
            *signal_number = (int)info.ssi_signo;
            return KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "interrupted; no PIN was read");
        }
        if (fds[1].revents == 0) {
            continue;
        }
        ssize_t n = read(tty, kv_secret_data(buf) + *len, kv_secret_len(buf) - *len);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO, "cannot read the terminal");
        }
        if (n > 0) {
            *len += (size_t)n;
        }
        if (n == 0 || *len == kv_secret_len(buf) ||
            (*len > 0 && kv_secret_data(buf)[*len - 1] == '\n')) {
            return KV_OK;
        }
    }
}

/* Prompt and read with the echo off. The held signals are blocked by the caller. */
static enum kv_code ask(int tty, int signals, const char *prompt, struct kv_secret *buf,
                        size_t *len, int *signal_number, struct kv_err *err)
{
    struct termios was, quiet;
    if (tcgetattr(tty, &was) != 0) {
        return KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO, "cannot read the terminal's settings");
    }
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    quiet.c_lflag |= ICANON | ISIG;
    /* TCSAFLUSH: what was typed ahead was typed with echo; it is not the PIN */
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0) {
        return KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO, "cannot switch the echo off");
    }
    enum kv_code code;
    if (dprintf(tty, "%s", prompt) < 0) {
        code = KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO, "cannot write to the terminal");
    } else {
        code = read_line(tty, signals, buf, len, signal_number, err);
    }
    if (tcsetattr(tty, TCSAFLUSH, &was) != 0 && code == KV_OK) {
        code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot restore the terminal");
    }
    (void)dprintf(tty, "\n"); /* the person's own newline was not shown; only looks */
    return code;
}

enum kv_code kv_pin_read_terminal(const char *prompt, struct kv_secret **out, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *buf = NULL;
    KV_CLEANUP(kv_close_fdp) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0) {
        return KV_FAIL(err, KV_E_TOKEN_NO_PIN, KV_ERRNO,
                       "there is no terminal to ask at; --help names the option for a descriptor");
    }
    enum kv_code code = kv_secret_new(KV_PIN_MAX + 2, &buf, err);
    if (code != KV_OK) {
        return code;
    }
    sigset_t block, before;
    sigemptyset(&block);
    for (size_t i = 0; i < KV_COUNT(held); i++) {
        sigaddset(&block, held[i]);
    }
    KV_CLEANUP(kv_close_fdp) int signals = signalfd(-1, &block, SFD_CLOEXEC);
    if (signals < 0 || sigprocmask(SIG_BLOCK, &block, &before) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot hold signals");
    }
    size_t len = 0;
    int signal_number = 0;
    code = ask(tty, signals, prompt, buf, &len, &signal_number, err);
    if (signal_number != 0) {
        (void)raise(signal_number); /* still blocked; acts below, with the terminal restored */
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL); /* cannot fail with these arguments */
    return code == KV_OK ? finish(&buf, len, out, err) : code;
}
