#include "pkcs11/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/time.h"

/* On the wire: u32 len ‖ u8 kind ‖ body. */
#define KIND_ROW   1
#define KIND_END   2
#define OUT_FD     3
#define TEXT_MAX   4096
#define GRACE_S    5   /* the child's own alarm, if its parent died */
#define EXIT_SETUP 120 /* the child could not even begin */

void kv_child_add_text(struct kv_buf *row, const char *text)
{
    kv_buf_add_u32(row, (uint32_t)strlen(text));
    kv_buf_add_str(row, text);
}

bool kv_child_take_text(struct kv_cursor *row, char *out, size_t size)
{
    struct kv_bytes text = kv_cursor_string(row);
    if (row->failed || text.len >= size) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] > '~') {
            return false;
        }
        out[i] = (char)text.ptr[i];
    }
    out[text.len] = '\0';
    return true;
}

static void send_out(int fd, uint8_t kind, const struct kv_buf *body)
{
    struct kv_buf frame;
    kv_buf_init(&frame, KV_CHILD_OUTPUT_MAX);
    kv_buf_add_u32(&frame, (uint32_t)(body->len + 1));
    kv_buf_add_u8(&frame, kind);
    kv_buf_add_bytes(&frame, kv_buf_bytes(body));
    bool ok = !body->failed && !frame.failed;
    for (size_t at = 0; ok && at < frame.len;) {
        ssize_t n = write(fd, frame.data + at, frame.len - at);
        ok = n > 0 || (n < 0 && errno == EINTR);
        at += n > 0 ? (size_t)n : 0;
    }
    kv_buf_clear(&frame);
    /* Not ok: the parent is gone. The work goes on all the same, to clean up behind itself. */
}

void kv_child_row(const struct kv_child_out *out, const struct kv_buf *row)
{
    send_out(out->fd, KIND_ROW, row);
}

static void send_end(int fd, enum kv_code code, const struct kv_err *err)
{
    struct kv_buf end;
    kv_buf_init(&end, TEXT_MAX);
    kv_buf_add_u32(&end, (uint32_t)code);
    kv_buf_add_u32(&end, code == KV_OK ? 0 : (uint32_t)err->cause.kind);
    kv_buf_add_u64(&end, code == KV_OK ? 0 : err->cause.number);
    kv_child_add_text(&end, code == KV_OK ? "" : err->msg);
    send_out(fd, KIND_END, &end);
    kv_buf_clear(&end);
}

/* Become the account. False: errno tells. */
static bool change_account(const struct kv_slot_account *account)
{
    if (geteuid() != 0) {
        return true;
    }
    /* with the groups that the keeper has from the agent, too (agent/children.c) */
    const struct passwd *pw = getpwuid(account->uid);
    int grouped = pw != NULL ? initgroups(pw->pw_name, account->gid) : setgroups(0, NULL);
    return grouped == 0 && setresgid(account->gid, account->gid, account->gid) == 0 &&
           setresuid(account->uid, account->uid, account->uid) == 0;
}

/* The child's surroundings: nothing open but the pipe and standard error, where the module may
 * print. Own session: Ctrl-C at the terminal must not end a login half-way (SoftHSM2 would lose the
 * token); the alarm ends a child whose parent died. */
static bool set_up(const struct kv_child_job *job, int pipe_fd, struct kv_err *err)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0 || dup2(pipe_fd, OUT_FD) < 0 ||
        close_range(OUT_FD + 1, ~0U, 0) != 0 || setsid() < 0) {
        return false;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail with these arguments */
    (void)alarm((unsigned)(job->timeout_ms / 1000) + GRACE_S);
    for (size_t i = 0; i < KV_COUNT(job->secrets); i++) {
        if (job->secrets[i] != NULL) {
            struct kv_bytes view = kv_secret_bytes(job->secrets[i]);
            if (mlock(view.ptr, view.len) != 0) {
                return false;
            }
        }
    }
    if (!change_account(job->account)) {
        return false;
    }
    /* after the change, which resets "not dumpable" */
    if (kv_secret_harden_process(err) != KV_OK) {
        return false;
    }
    for (const char *const *env = job->account->env; env != NULL && *env != NULL; env++) {
        const char *equals = strchr(*env, '=');
        char *name = equals == NULL ? NULL : strndup(*env, (size_t)(equals - *env));
        if (name == NULL || setenv(name, equals + 1, 1) != 0) {
            return false;
        }
        free(name);
    }
    return true;
}

static _Noreturn void run_child(const struct kv_child_job *job, int pipe_fd)
{
    struct kv_err err = {.code = KV_OK};
    struct kv_child_out out = {OUT_FD};
    if (!set_up(job, pipe_fd, &err)) {
        enum kv_code failed =
            KV_FAIL(&err, KV_E_IO, KV_ERRNO, "cannot set the child up: %s", strerror(errno));
        send_end(pipe_fd, failed, &err);
        _exit(EXIT_SETUP);
    }
    enum kv_code code = job->work(job->arg, &out, &err);
    send_end(OUT_FD, code, &err);
    /* _exit: handlers of the caller and of the module's libraries are not ours to run */
    _exit(0);
}

/* Everything the child writes, until it closes the pipe. */
static enum kv_code collect(int fd, int timeout_ms, struct kv_buf *all, struct kv_err *err)
{
    int64_t deadline = (int64_t)(kv_time_mono_us() / 1000) + timeout_ms;
    for (;;) {
        int64_t left = deadline - (int64_t)(kv_time_mono_us() / 1000);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (ready == 0) {
            return KV_REFUSE(err, KV_E_TOKEN_TIMEOUT, "no answer within %d s", timeout_ms / 1000);
        }
        uint8_t chunk[4096];
        ssize_t n = ready < 0 ? -1 : read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot read from the child");
        }
        if (n == 0) {
            return KV_OK;
        }
        kv_buf_add(all, chunk, (size_t)n);
        if (all->failed) {
            return KV_REFUSE(err, KV_E_TOKEN_MODULE, "it reports too much");
        }
    }
}

/* The result that the child sent; KV_E_PROTOCOL: malformed. */
static enum kv_code read_end(struct kv_cursor *end, struct kv_err *err)
{
    char msg[TEXT_MAX];
    uint32_t code = kv_cursor_u32(end);
    uint32_t kind = kv_cursor_u32(end);
    struct kv_cause cause = {KV_CAUSE_NONE, (unsigned long)kv_cursor_u64(end)};
    struct kv_bytes text = kv_cursor_string(end);
    if (!kv_cursor_done(end) || code >= KV_CODE_COUNT || text.len >= sizeof msg) {
        return KV_REFUSE(err, KV_E_TOKEN_MODULE, "the child's answer is malformed");
    }
    if (code == KV_OK) {
        return KV_OK;
    }
    for (size_t i = 0; i < text.len; i++) {
        bool control = text.ptr[i] < ' ' || text.ptr[i] == 0x7f;
        msg[i] = control ? '?' : (char)text.ptr[i]; /* UTF-8 is fine: strerror and p11-kit */
    }
    msg[text.len] = '\0';
    cause.kind = kind == KV_CAUSE_CK_RV   ? KV_CAUSE_CK_RV
                 : kind == KV_CAUSE_ERRNO ? KV_CAUSE_ERRNO
                                          : KV_CAUSE_NONE;
    enum kv_code result = (enum kv_code)code;
    return KV_FAIL(err, result, cause, "%s", msg);
}

/* Give the rows to the caller and return what the child ended with. */
static enum kv_code deliver(const struct kv_child_job *job, const struct kv_buf *all, bool clean,
                            struct kv_err *err)
{
    struct kv_cursor cur = kv_cursor(kv_buf_bytes(all));
    while (cur.left > 0) {
        struct kv_cursor frame = kv_cursor(kv_cursor_string(&cur));
        uint8_t kind = kv_cursor_u8(&frame);
        if (cur.failed || frame.failed) {
            break; /* the last row was cut by the child's death */
        }
        if (kind == KIND_END) {
            return read_end(&frame, err);
        }
        if (kind != KIND_ROW || job->row == NULL || !job->row(&frame, job->row_arg)) {
            return KV_REFUSE(err, KV_E_TOKEN_MODULE, "what the module reports is malformed");
        }
    }
    return KV_REFUSE(err, KV_E_TOKEN_MODULE, "%s",
                     clean ? "the module ended the process" : "the module crashed");
}

enum kv_code kv_child_run(const struct kv_child_job *job, struct kv_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "pipe");
    }
    KV_CLEANUP(kv_close_fdp) int in = ends[0];
    pid_t pid = fork();
    if (pid < 0) {
        enum kv_code failed = KV_FAIL(err, KV_E_IO, KV_ERRNO, "fork");
        (void)close(ends[1]); /* nothing was written */
        return failed;
    }
    if (pid == 0) {
        run_child(job, ends[1]);
    }
    (void)close(ends[1]); /* the child's */
    struct kv_buf all;
    kv_buf_init(&all, KV_CHILD_OUTPUT_MAX);
    enum kv_code code = collect(in, job->timeout_ms, &all, err);
    /* After the deadline, or when the pipe is closed: then the child has set its exit status, or a
     * module closed what is not its own. */
    (void)kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (code == KV_OK) {
        code = deliver(job, &all, WIFEXITED(status), err);
    } else {
        struct kv_err lost; /* rows that came before the deadline are still told */
        enum kv_code told = deliver(job, &all, false, &lost);
        code = told == KV_OK ? KV_OK : code; /* it had ended, and hung on its way out */
    }
    kv_buf_clear(&all);
    return code;
}
