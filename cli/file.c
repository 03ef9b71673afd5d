#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC_FAILED 127

static enum kv_code read_all(int fd, struct kv_buf *out, const char *what, struct kv_err *err)
{
    uint8_t chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "reading %.120s", what);
        }
        kv_buf_add(out, chunk, (size_t)n);
        if (out->failed) {
            return KV_REFUSE(err, KV_E_INPUT_TOO_LARGE, "%.120s has more than %zu bytes", what,
                             out->max);
        }
    }
    return KV_OK;
}

enum kv_code cli_file_read(const char *path, struct kv_buf *out, struct kv_err *err)
{
    if (strcmp(path, "-") == 0) {
        return read_all(STDIN_FILENO, out, "standard input", err);
    }
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return KV_FAIL(err, errno == ENOENT ? KV_E_NOT_FOUND : KV_E_IO, KV_ERRNO, "opening %.150s",
                       path);
    }
    return read_all(fd, out, path, err);
}

bool cli_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static bool write_all(int fd, struct kv_bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes.ptr += n > 0 ? n : 0;
        bytes.len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

enum kv_code cli_file_write(const char *path, struct kv_bytes bytes, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0 && errno == EEXIST) {
        return KV_REFUSE(err, KV_E_USAGE, "%.150s exists already; nothing was written", path);
    }
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "making %.150s", path);
    }
    if (!write_all(fd, bytes) || fchmod(fd, 0644) != 0 || fsync(fd) != 0) {
        enum kv_code code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "writing %.150s", path);
        (void)unlink(path); /* half a file helps nobody */
        return code;
    }
    return KV_OK;
}

char *cli_path_add(const char *path, const char *suffix)
{
    char *out = NULL;
    if (asprintf(&out, "%s%s", path, suffix) < 0) {
        abort();
    }
    return out;
}

/* The input as a file: a program that does not read it cannot make us wait. */
static int input_file(struct kv_bytes input)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd >= 0 && (!write_all(fd, input) || lseek(fd, 0, SEEK_SET) != 0)) {
        kv_close_fdp(&fd);
    }
    return fd;
}

static _Noreturn void become(const char *const *argv, int in, int out)
{
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) {
        _exit(EXEC_FAILED);
    }
    /* execvp takes char *const * and changes nothing */
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(EXEC_FAILED);
}

static enum kv_code wait_for(pid_t pid, const char *name, int *status, struct kv_err *err)
{
    int raw;
    while (waitpid(pid, &raw, 0) < 0) {
        if (errno != EINTR) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "waiting for %s", name);
        }
    }
    if (!WIFEXITED(raw)) {
        return KV_REFUSE(err, KV_E_IO, "%s was ended by a signal", name);
    }
    if (WEXITSTATUS(raw) == EXEC_FAILED) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "cannot run %s; is it installed?", name);
    }
    *status = WEXITSTATUS(raw);
    return KV_OK;
}

enum kv_code cli_program(const char *const *argv, struct kv_bytes input, struct kv_buf *out,
                         int *status, struct kv_err *err)
{
    int ends[2];
    KV_CLEANUP(kv_close_fdp) int in = input_file(input);
    if (in < 0 || pipe2(ends, O_CLOEXEC) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "preparing %s", argv[0]);
    }
    KV_CLEANUP(kv_close_fdp) int read_end = ends[0];
    int write_end = ends[1];
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        become(argv, in, write_end);
    }
    kv_close_fdp(&write_end);
    if (pid < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "starting %s", argv[0]);
    }
    enum kv_code code = read_all(read_end, out, argv[0], err);
    kv_close_fdp(&read_end); /* it ends, should it still write */
    struct kv_err ended;
    enum kv_code waited = wait_for(pid, argv[0], status, code == KV_OK ? err : &ended);
    return code == KV_OK ? waited : code;
}
