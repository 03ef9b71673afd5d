/* What each program can still do once it is in its sandbox, tried from inside: the programs are
 * linked once more with this behind kv_sandbox_enter (ld --wrap), and say in the log how each try
 * ended. */
#include "agent/program.h"
#include "agent/sandbox.h"
#include "core/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Paths in the folder `probe` beside the program, which the test makes. */
static char secret[256];  /* anybody may read it, by its mode */
static char written[256]; /* is not there, and anybody may make it */
static char fail[256];    /* if it is there, this role's sandbox is not to be set up */

enum kv_code __real_kv_sandbox_enter(enum kv_role role, const struct kv_sandbox_paths *paths,
                                     struct kv_err *err);
enum kv_code __wrap_kv_sandbox_enter(enum kv_role role, const struct kv_sandbox_paths *paths,
                                     struct kv_err *err);

static int read_secret(void)
{
    return open(secret, O_RDONLY | O_CLOEXEC);
}

static int read_pin_again(void)
{
    char byte;
    return (int)read(KV_FD_PIN, &byte, 1);
}

static int write_file(void)
{
    return open(written, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int connect_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&to, sizeof to);
}

static int listen_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        return -1;
    }
    return listen(fd, 1);
}

static int execute(void)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    return execve("/usr/bin/true", argv, NULL);
}

static int trace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int read_memory(void)
{
    char byte;
    struct iovec local = {&byte, 1}, remote = {(void *)(uintptr_t)0x400000, 1};
    return (int)process_vm_readv(getppid(), &local, 1, &remote, 1, 0);
}

static int signal_parent(void)
{
    return kill(getppid(), 0);
}

static int become_root(void)
{
    return setuid(0);
}

static int be_dumped(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 0
                                                                                              : -1;
}

static int change_folder(void)
{
    return chroot("/");
}

/* What the gate is told makes its HTTP library stop asking: for it this must be ENOPROTOOPT. */
static int set_an_option(void)
{
    int on = 1;
    return setsockopt(KV_FD_SUPERVISOR, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

static const struct {
    const char *name;
    int (*act)(void);
} tries[] = {
    {"read-a-file", read_secret},
    {"read-the-pin-again", read_pin_again},
    {"write-a-file", write_file},
    {"connect", connect_tcp},
    {"listen", listen_tcp},
    {"execute", execute},
    {"trace", trace},
    {"read-memory", read_memory},
    {"signal", signal_parent},
    {"become-root", become_root},
    {"be-dumped", be_dumped},
    {"chroot", change_folder},
    {"set-an-option", set_an_option},
};

/* Before the sandbox, from which nobody sees /proc. */
static void find_paths(const char *role)
{
    char program[200];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    assert(len > 0);
    program[len] = '\0';
    *strrchr(program, '/') = '\0';
    int n = snprintf(secret, sizeof secret, "%s/probe/pin", program);
    int m = snprintf(written, sizeof written, "%s/probe/written", program);
    int k = snprintf(fail, sizeof fail, "%s/probe/fail-%s", program, role);
    assert(n > 0 && m > 0 && k > 0);
}

enum kv_code __wrap_kv_sandbox_enter(enum kv_role role, const struct kv_sandbox_paths *paths,
                                     struct kv_err *err)
{
    find_paths(kv_role_word(role));
    if (access(fail, F_OK) == 0) {
        return KV_REFUSE(err, KV_E_IO, "no sandbox: the test asks for it");
    }
    enum kv_code code = __real_kv_sandbox_enter(role, paths, err);
    for (size_t i = 0; code == KV_OK && i < KV_COUNT(tries); i++) {
        errno = 0;
        int got = tries[i].act();
        kv_log(KV_LOG_INFO, "probe", "role=%s try=%s result=%s errno=%d", kv_role_word(role),
               tries[i].name, got < 0 ? "refused" : "done", errno);
    }
    return code;
}
