#include "agent/listener.h"

#include "tests/unit/kv_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS    20000 /* longer than anything here waits for */
#define SHORT_MS   100
#define PATIENT_MS 1000

static char folder[] = "/tmp/kv-listener.XXXXXX";
static char path[64];

static int plain_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static struct sockaddr_un address(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, path, strlen(path) + 1);
    return addr;
}

static bool answers(void)
{
    struct sockaddr_un addr = address();
    int fd = plain_socket();
    bool ok = connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    (void)close(fd);
    return ok;
}

/* Somebody who listens and holds no lock: the programs of an agent whose first was killed. */
static int bare_listener(int backlog)
{
    struct sockaddr_un addr = address();
    int fd = plain_socket();
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static int says[2]; /* a pipe from other processes */

static void say(enum kv_code code)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
    ssize_t n = write(says[1], &code, sizeof code);
    while (n == sizeof code) { /* until it is killed */
        (void)pause();
    }
    _exit(1);
}

static enum kv_code hear(void)
{
    enum kv_code code;
    assert_int_equal(read(says[0], &code, sizeof code), sizeof code);
    return code;
}

static pid_t another_agent(int patience_ms)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kv_listener own;
        struct kv_err err;
        say(kv_listener_open(path, patience_ms, &own, &err));
    }
    return pid;
}

static pid_t bare_program(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)bare_listener(16);
        say(KV_OK);
    }
    assert_int_equal(hear(), KV_OK);
    return pid;
}

/* A process that ends that one after a moment. */
static pid_t ends_later(pid_t whom)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)usleep(3 * SHORT_MS * 1000);
        (void)kill(whom, SIGKILL);
        _exit(0);
    }
    return pid;
}

static void reap(pid_t pid)
{
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void everybody_reaches_it_until_it_is_closed(void **state)
{
    (void)state;
    struct kv_listener own;
    struct stat st;
    assert_int_equal(kv_listener_open(path, 0, &own, NULL), KV_OK);
    assert_true(answers());
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(fcntl(own.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fstat(own.lock, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600); /* who could lock it could keep every agent away */
    kv_listener_close(&own, path);
    assert_int_equal(lstat(path, &st), -1);
    assert_int_equal(kv_listener_open(path, 0, &own, NULL), KV_OK);
    kv_listener_close(&own, path);
}

static void what_a_killed_one_left_is_replaced(void **state)
{
    (void)state;
    struct kv_listener own;
    (void)close(bare_listener(1));
    assert_false(answers());
    assert_int_equal(kv_listener_open(path, 0, &own, NULL), KV_OK);
    assert_true(answers());
    kv_listener_close(&own, path);
}

static void expect_to_wait_for(pid_t other)
{
    struct kv_listener own;
    struct kv_err err;
    assert_int_equal(kv_listener_open(path, SHORT_MS, &own, &err), KV_E_LEDGER_LOCKED);
    kv_listener_close(&own, path);
    assert_true(answers());
    pid_t killer = ends_later(other);
    assert_int_equal(kv_listener_open(path, LONG_MS, &own, &err), KV_OK);
    assert_true(answers());
    kv_listener_close(&own, path);
    reap(killer);
    reap(other);
}

static void another_agent_is_waited_for_and_never_pushed_out(void **state)
{
    (void)state;
    pid_t other = another_agent(0);
    assert_int_equal(hear(), KV_OK);
    expect_to_wait_for(other);
}

static void so_are_programs_that_outlive_theirs(void **state)
{
    (void)state;
    expect_to_wait_for(bare_program());
}

static void a_full_queue_is_somebodys(void **state)
{
    (void)state;
    struct kv_listener own;
    struct kv_err err;
    struct sockaddr_un addr = address();
    int waiting[16];
    size_t count = 0;
    int other = bare_listener(0);
    do {
        waiting[count++] = plain_socket();
    } while (connect(waiting[count - 1], (struct sockaddr *)&addr, sizeof addr) == 0 &&
             count < KV_COUNT(waiting));
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(kv_listener_open(path, SHORT_MS, &own, &err), KV_E_LEDGER_LOCKED);
    kv_listener_close(&own, path);
    while (count > 0) {
        (void)close(waiting[--count]);
    }
    assert_int_equal(access(path, F_OK), 0);
    (void)close(other);
    (void)unlink(path);
}

/* Of two that find nobody the second would take the first one's socket away. */
static void who_begins_to_listen_has_the_place(void **state)
{
    (void)state;
    struct kv_listener own;
    struct kv_err err;
    char lock[80];
    snprintf(lock, sizeof lock, "%s.lock", path);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(kv_listener_open(path, SHORT_MS, &own, &err), KV_E_LEDGER_LOCKED);
    kv_listener_close(&own, path);
    (void)close(fd);
    assert_int_equal(kv_listener_open(path, 0, &own, &err), KV_OK);
    kv_listener_close(&own, path);
}

static void of_two_that_wait_one_gets_in(void **state)
{
    (void)state;
    pid_t old = bare_program();
    pid_t first = another_agent(PATIENT_MS), second = another_agent(PATIENT_MS);
    (void)usleep(SHORT_MS * 1000);
    (void)kill(old, SIGKILL);
    enum kv_code one = hear(), two = hear();
    assert_true((one == KV_OK) != (two == KV_OK));
    assert_int_equal(one == KV_OK ? two : one, KV_E_LEDGER_LOCKED);
    assert_true(answers());
    (void)kill(first, SIGKILL);
    (void)kill(second, SIGKILL);
    reap(old);
    reap(first);
    reap(second);
    (void)unlink(path);
}

static void anything_but_a_socket_is_left_alone(void **state)
{
    (void)state;
    struct kv_listener own;
    struct kv_err err;
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    (void)close(fd);
    assert_int_equal(kv_listener_open(path, 0, &own, &err), KV_E_CONFIG);
    kv_listener_close(&own, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4);
    (void)unlink(path);
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
    (void)state;
    struct kv_listener own;
    struct kv_err err;
    char longer[128];
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(kv_listener_open(longer, 0, &own, &err), KV_E_CONFIG);
    assert_int_equal(kv_listener_open("/tmp/kv-nowhere/x", 0, &own, &err), KV_E_IO);
}

static void one_socket_of_systemd_is_taken_and_stays(void **state)
{
    (void)state;
    for (int sockets = 1; sockets <= 2; sockets++) {
        pid_t pid = fork(); /* its descriptors 3 and 4 are systemd's */
        assert_true(pid >= 0);
        if (pid == 0) {
            struct kv_listener own;
            struct kv_err err;
            char text[16];
            snprintf(text, sizeof text, "%d", (int)getpid());
            int fd = bare_listener(16);
            bool good = dup2(fd, 3) == 3 && dup2(fd, 4) == 4 &&
                        setenv("LISTEN_PID", text, 1) == 0 &&
                        setenv("LISTEN_FDS", sockets == 1 ? "1" : "2", 1) == 0;
            enum kv_code code = kv_listener_open("/tmp/kv-nowhere/x", 0, &own, &err);
            good = good && (sockets == 1 ? code == KV_OK && own.fd == 3 && own.lock < 0 && answers()
                                         : code == KV_E_CONFIG);
            kv_listener_close(&own, path);
            _exit(good && access(path, F_OK) == 0 ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        (void)unlink(path);
    }
}

static int begin(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || pipe(says) != 0) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/sock", folder);
    return 0;
}

static int end(void **state)
{
    char lock[80];
    (void)state;
    snprintf(lock, sizeof lock, "%s.lock", path);
    return unlink(lock) == 0 && rmdir(folder) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_reaches_it_until_it_is_closed),
        cmocka_unit_test(what_a_killed_one_left_is_replaced),
        cmocka_unit_test(another_agent_is_waited_for_and_never_pushed_out),
        cmocka_unit_test(so_are_programs_that_outlive_theirs),
        cmocka_unit_test(a_full_queue_is_somebodys),
        cmocka_unit_test(who_begins_to_listen_has_the_place),
        cmocka_unit_test(of_two_that_wait_one_gets_in),
        cmocka_unit_test(anything_but_a_socket_is_left_alone),
        cmocka_unit_test(a_path_that_no_socket_can_have_is_refused),
        cmocka_unit_test(one_socket_of_systemd_is_taken_and_stays),
    };
    (void)alarm(120); /* who waits for a process that said nothing would wait for good */
    return cmocka_run_group_tests(tests, begin, end);
}
