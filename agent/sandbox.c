#include "agent/sandbox.h"

#if KV_RELEASE && !KV_SANDBOX
#error "what users run is confined: KV_SANDBOX is off in instrumented builds only"
#endif

#if KV_SANDBOX

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's headers; the kernel's ABI number tells what it has (landlock(7)). */
#define LANDLOCK_FS_REFER_BIT        (UINT64_C(1) << 13) /* ABI 2 */
#define LANDLOCK_FS_TRUNCATE_BIT     (UINT64_C(1) << 14) /* ABI 3 */
#define LANDLOCK_NET_CONNECT_TCP_BIT (UINT64_C(1) << 1)  /* ABI 4 */
#define LANDLOCK_NET_BIND_TCP_BIT    (UINT64_C(1) << 0)
#define LANDLOCK_RULE_NET_PORT_TYPE  2

struct ruleset_attr { /* struct landlock_ruleset_attr of ABI 4 */
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
};
struct net_port_attr {
    uint64_t allowed_access;
    uint64_t port;
};

#define FS_READ                                                                                    \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define FS_ALL_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

/* What every program needs to run its loop. */
static const int common[] = {
    SCMP_SYS(brk),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(futex),
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getpid),
    SCMP_SYS(getrandom),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),
    SCMP_SYS(lseek),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(munlock),
    SCMP_SYS(munmap),
    SCMP_SYS(nanosleep),
    SCMP_SYS(newfstatat),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(stat),
    SCMP_SYS(sysinfo),
    SCMP_SYS(tgkill),
    SCMP_SYS(time),
    SCMP_SYS(uname),
    SCMP_SYS(write),
    SCMP_SYS(writev),
};
static const int files_read[] = {
    SCMP_SYS(access),   SCMP_SYS(faccessat),  SCMP_SYS(faccessat2), SCMP_SYS(getdents64),
    SCMP_SYS(lstat),    SCMP_SYS(open),       SCMP_SYS(openat),     SCMP_SYS(pread64),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(statfs),     SCMP_SYS(fstatfs),
    SCMP_SYS(statx),    SCMP_SYS(getcwd),     SCMP_SYS(fadvise64),  SCMP_SYS(openat2),
};
static const int files_write[] = {
    SCMP_SYS(chmod),     SCMP_SYS(fallocate), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
    SCMP_SYS(fdatasync), SCMP_SYS(flock),     SCMP_SYS(fsync),  SCMP_SYS(ftruncate),
    SCMP_SYS(link),      SCMP_SYS(linkat),    SCMP_SYS(mkdir),  SCMP_SYS(mkdirat),
    SCMP_SYS(pwrite64),  SCMP_SYS(pwritev),   SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(rmdir),     SCMP_SYS(umask),  SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
};
static const int sockets[] = {
    /* which kinds may be made: add_domains */
    SCMP_SYS(bind),       SCMP_SYS(connect),  SCMP_SYS(getpeername), SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt), SCMP_SYS(ioctl),    SCMP_SYS(recvmmsg),    SCMP_SYS(sendmmsg),
    SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(socketpair),
};
static const int threads[] = {
    SCMP_SYS(clone),
    SCMP_SYS(clone3),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getrusage),
};
static const int gate_extra[] = {
    SCMP_SYS(accept4),     SCMP_SYS(eventfd2),   SCMP_SYS(getpeername),
    SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(ioctl),
    SCMP_SYS(pipe2),       SCMP_SYS(sendfile),   SCMP_SYS(shutdown),
};
static const int vault_extra[] = {
    SCMP_SYS(accept4),       SCMP_SYS(getsockopt), SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_init1), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(setsockopt),    SCMP_SYS(shutdown),
};

struct calls {
    const int *list;
    size_t count;
};
#define CALLS(list)                                                                                \
    {                                                                                              \
        list, KV_COUNT(list)                                                                       \
    }

static const struct calls *calls_of(enum kv_role role, size_t *count)
{
    static const struct calls gate[] = {CALLS(common), CALLS(gate_extra)};
    static const struct calls vault[] = {CALLS(common), CALLS(files_read), CALLS(files_write),
                                         CALLS(vault_extra)};
    static const struct calls keeper[] = {CALLS(common), CALLS(files_read), CALLS(files_write),
                                          CALLS(threads)};
    static const struct calls courier[] = {CALLS(common), CALLS(files_read), CALLS(sockets),
                                           CALLS(threads)};
    static const struct {
        const struct calls *calls;
        size_t count;
    } table[KV_ROLE_COUNT] = {
        [KV_ROLE_GATE] = {gate, KV_COUNT(gate)},
        [KV_ROLE_VAULT] = {vault, KV_COUNT(vault)},
        [KV_ROLE_KEEPER] = {keeper, KV_COUNT(keeper)},
        [KV_ROLE_COURIER] = {courier, KV_COUNT(courier)},
    };
    *count = table[role].count;
    return table[role].calls;
}

static int add(scmp_filter_ctx filter, const struct calls *calls)
{
    int rc = 0;
    for (size_t i = 0; i < calls->count && rc == 0; i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls->list[i], 0);
        rc = rc == -EFAULT || rc == -EDOM ? 0 : rc; /* not a call of this architecture */
    }
    return rc;
}

/* Threads get names; nothing else of prctl, or a process could make itself dumpable again. */
static int add_prctl(scmp_filter_ctx filter)
{
    static const int harmless[] = {PR_SET_NAME, PR_GET_NAME};
    int rc = 0;
    for (size_t i = 0; i < KV_COUNT(harmless) && rc == 0; i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)harmless[i]));
    }
    return rc;
}

/* Sockets to other programs, and, only for who has a port, to other machines: the resolver asks by
 * AF_NETLINK for the addresses of this one. Landlock knows TCP since Linux 6.7 only. */
static int add_domains(scmp_filter_ctx filter, bool internet)
{
    static const int domains[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    int rc = 0;
    for (size_t i = 0; i < (internet ? KV_COUNT(domains) : 1) && rc == 0; i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)domains[i]));
    }
    return rc;
}

/* libmicrohttpd tries TCP's options twice for each answer, until it hears that there are none; what
 * a Unix socket says (EOPNOTSUPP) it does not take for that. The gate needs no option at all. */
static int deny_options(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOPROTOOPT), SCMP_SYS(setsockopt), 0);
}

static enum kv_code filter_calls(enum kv_role role, const struct kv_sandbox_paths *paths,
                                 struct kv_err *err)
{
    static const struct calls network = CALLS(sockets);
    size_t count;
    const struct calls *calls = calls_of(role, &count);
    /* EPERM, not kill: a module or resolver that tries more is told no, and we go on serving. */
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = filter == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = add(filter, &calls[i]);
    }
    if (rc == 0 && (role == KV_ROLE_KEEPER || role == KV_ROLE_COURIER)) {
        rc = add_prctl(filter);
    }
    if (rc == 0 && role == KV_ROLE_GATE) {
        rc = deny_options(filter);
    }
    bool internet = role == KV_ROLE_COURIER || (paths != NULL && paths->connect_port != 0);
    if (rc == 0 && role == KV_ROLE_KEEPER && (internet || paths->unix_sockets)) {
        rc = add(filter, &network);
    }
    if (rc == 0 && (internet || (paths != NULL && paths->unix_sockets))) {
        rc = add_domains(filter, internet);
    }
    if (rc == 0) {
        rc = seccomp_load(filter);
    }
    seccomp_release(filter);
    if (rc != 0) {
        return KV_FAIL(err, KV_E_IO, ((struct kv_cause){KV_CAUSE_ERRNO, (unsigned long)-rc}),
                       "seccomp");
    }
    return KV_OK;
}

static enum kv_code allow_path(int rules, const char *path, uint64_t access, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (errno == ENOENT) {
            return KV_OK; /* nothing there to open */
        }
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "sandbox: %.120s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                  LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_FS_TRUNCATE_BIT;
    }
    struct landlock_path_beneath_attr attr = {.allowed_access = access, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "landlock: %.120s", path);
    }
    return KV_OK;
}

static enum kv_code allow_paths(int rules, const char *const *paths, uint64_t access,
                                struct kv_err *err)
{
    for (; paths != NULL && *paths != NULL; paths++) {
        if (allow_path(rules, *paths, access, err) != KV_OK) {
            return err->code;
        }
    }
    return KV_OK;
}

static enum kv_code confine_files(const struct kv_sandbox_paths *paths, struct kv_err *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        return KV_OK; /* this kernel has none: accounts and seccomp remain (SECURITY.md) */
    }
    uint64_t all = FS_ALL_1 | (abi >= 2 ? LANDLOCK_FS_REFER_BIT : 0) |
                   (abi >= 3 ? LANDLOCK_FS_TRUNCATE_BIT : 0);
    struct ruleset_attr attr = {.handled_access_fs = all};
    if (abi >= 4) {
        attr.handled_access_net = LANDLOCK_NET_CONNECT_TCP_BIT | LANDLOCK_NET_BIND_TCP_BIT;
    }
    KV_CLEANUP(kv_close_fdp)
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, abi >= 4 ? sizeof attr : 8UL, 0);
    if (rules < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "landlock");
    }
    if (paths != NULL && (allow_paths(rules, paths->readable, FS_READ, err) != KV_OK ||
                          allow_paths(rules, paths->writable, all, err) != KV_OK)) {
        return err->code;
    }
    if (abi >= 4 && paths != NULL && paths->connect_port != 0) {
        struct net_port_attr port = {LANDLOCK_NET_CONNECT_TCP_BIT, paths->connect_port};
        if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_NET_PORT_TYPE, &port, 0) != 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "landlock: port %u", paths->connect_port);
        }
    }
    if (syscall(SYS_landlock_restrict_self, rules, 0) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "landlock_restrict_self");
    }
    return KV_OK;
}

enum kv_code kv_sandbox_enter(enum kv_role role, const struct kv_sandbox_paths *paths,
                              struct kv_err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "no_new_privs");
    }
    if (confine_files(paths, err) != KV_OK) {
        return err->code;
    }
    return filter_calls(role, paths, err);
}

#else

enum kv_code kv_sandbox_enter(enum kv_role role, const struct kv_sandbox_paths *paths,
                              struct kv_err *err)
{
    (void)role;
    (void)paths;
    (void)err;
    return KV_OK; /* instrumented builds re-exec and write files; --version tells */
}

#endif
