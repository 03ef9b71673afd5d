#include "agent/attest.h"

#include "tests/unit/kv_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_unit_is_the_first_group_below_the_system_s_slices(void **state)
{
    (void)state;
    static const struct {
        const char *cgroup, *unit;
    } rows[] = {
        {"0::/system.slice/sap-ksef.service\n", "sap-ksef.service"},
        {"0::/system.slice/system-erp.slice/erp@1.service\n", "erp@1.service"},
        {"0::/system.slice/erp.service/worker\n", "erp.service"},
        {"0::/system.slice/docker.service/evil.service\n", "docker.service"},
        {"12:cpu:/x.service\n0::/system.slice/erp.service\n", "erp.service"},
        {"0::/user.slice/user-1000.slice/user@1000.service/sap-ksef.service\n", ""},
        {"0::/user.slice/user-1000.slice/session-3.scope\n", ""},
        {"0::/system.slice/sap ksef.service\n", ""},
        {"0::/system.slice/\xc4\x85.service\n", ""},
        {"0::/system.slice\n", ""},
        {"0::/\n", ""},
        {"0::/sap-ksef\n", ""},
        {"", ""},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char unit[KV_UNIT_LEN];
        kv_attest_unit(rows[i].cgroup, unit);
        assert_string_equal(unit, rows[i].unit);
    }
}

static void a_live_process_is_named_with_its_program(void **state)
{
    (void)state;
    struct kv_attestation a;
    struct kv_err err;
    char own[KV_EXE_LEN] = "";
    struct kv_hash hash;
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    assert_true(pidfd >= 0);
    assert_true(readlink("/proc/self/exe", own, sizeof own - 1) > 0);
    assert_int_equal(kv_attest(pidfd, &a, &err), KV_OK);
    assert_string_equal(a.exe, own);
    assert_false(a.has_exe_hash); /* nobody has read it yet */
    assert_true(a.start_ticks > 0);
    int fd = -1;
    assert_int_equal(kv_attest_open(pidfd, &fd, &err), KV_OK);
    assert_int_equal(kv_attest_file(fd, &hash, &err), KV_OK);
    assert_int_equal(kv_attest(pidfd, &a, &err), KV_OK);
    assert_true(a.has_exe_hash);
    assert_true(kv_hash_equal(&hash, &a.exe_hash));
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(pidfd), 0);
}

static void a_process_that_ended_is_not_attested(void **state)
{
    (void)state;
    struct kv_attestation a;
    struct kv_err err;
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(pidfd >= 0);
    int fd = -1;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(kv_attest(pidfd, &a, &err), KV_E_NOT_FOUND);
    assert_int_equal(kv_attest_open(pidfd, &fd, &err), KV_E_NOT_FOUND);
    assert_int_equal(close(pidfd), 0);
}

/* ---- a program whose file goes away while it runs ---- */

struct runs {
    char dir[64], exe[80], next[80];
    pid_t pid;
    int pidfd;
};

static void copy_to(const char *from, const char *to)
{
    char part[4096];
    ssize_t n;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, part, sizeof part)) > 0) {
        assert_int_equal(write(out, part, (size_t)n), n);
    }
    assert_int_equal(close(in), 0);
    assert_int_equal(close(out), 0);
}

/* A copy of sleep(1) under `name`, running; and a next version that is another file. */
static void begin(struct runs *r, const char *name)
{
    char target[80] = "";
    snprintf(r->dir, sizeof r->dir, "/tmp/ksefvault-attest.XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->exe, sizeof r->exe, "%s/%s", r->dir, name);
    snprintf(r->next, sizeof r->next, "%s/next", r->dir);
    copy_to("/bin/sleep", r->exe);
    copy_to("/bin/true", r->next);
    r->pid = fork();
    if (r->pid == 0) {
        execl(r->exe, "sleep", "60", (char *)NULL);
        _exit(1);
    }
    r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    assert_true(r->pidfd >= 0);
    snprintf(target, sizeof target, "/proc/%d/exe", (int)r->pid);
    for (;;) { /* until it is what it executes */
        char exe[KV_EXE_LEN] = "";
        assert_true(readlink(target, exe, sizeof exe - 1) > 0);
        if (strcmp(exe, r->exe) == 0) {
            return;
        }
        usleep(1000);
    }
}

static void end(struct runs *r)
{
    assert_int_equal(kill(r->pid, SIGKILL), 0);
    assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
    assert_int_equal(close(r->pidfd), 0);
    (void)unlink(r->exe);  /* gone already in some tests */
    (void)unlink(r->next); /* as well */
    assert_int_equal(rmdir(r->dir), 0);
}

static struct kv_hash hash_of(const char *path)
{
    struct kv_hash hash = {{0}};
    struct kv_err err;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(kv_attest_file(fd, &hash, &err), KV_OK);
    assert_int_equal(close(fd), 0);
    return hash;
}

static void a_program_keeps_its_name_when_its_file_is_replaced(void **state)
{
    (void)state;
    struct runs r;
    struct kv_attestation a;
    struct kv_err err;
    begin(&r, "connector");
    assert_int_equal(rename(r.next, r.exe), 0);
    assert_int_equal(kv_attest(r.pidfd, &a, &err), KV_OK);
    assert_string_equal(a.exe, r.exe);
    int fd = -1;
    struct kv_hash old = hash_of("/bin/sleep"), read;
    assert_int_equal(kv_attest_open(r.pidfd, &fd, &err), KV_OK);
    assert_int_equal(kv_attest_file(fd, &read, &err), KV_OK);
    assert_true(kv_hash_equal(&read, &old)); /* what runs, not what lies there now */
    assert_int_equal(close(fd), 0);
    end(&r);
}

static void a_program_keeps_its_name_when_its_file_has_another_one(void **state)
{
    (void)state;
    struct runs r;
    struct kv_attestation a;
    struct kv_err err;
    char kept[96];
    begin(&r, "connector");
    snprintf(kept, sizeof kept, "%s.dpkg-tmp", r.exe);
    assert_int_equal(link(r.exe, kept), 0);
    assert_int_equal(rename(r.next, r.exe), 0);
    assert_int_equal(kv_attest(r.pidfd, &a, &err), KV_OK);
    assert_string_equal(a.exe, r.exe);
    assert_int_equal(unlink(kept), 0);
    end(&r);
}

static void a_name_that_only_looks_deleted_is_kept(void **state)
{
    (void)state;
    struct runs r;
    struct kv_attestation a;
    struct kv_err err;
    char other[96];
    begin(&r, "connector (deleted)");
    snprintf(other, sizeof other, "%s/connector", r.dir);
    copy_to("/bin/true", other); /* what it would pass for */
    assert_int_equal(kv_attest(r.pidfd, &a, &err), KV_OK);
    assert_string_equal(a.exe, r.exe);
    assert_int_equal(unlink(r.exe), 0);
    assert_int_equal(kv_attest(r.pidfd, &a, &err), KV_OK);
    assert_string_equal(a.exe, r.exe); /* one mark is the kernel's */
    assert_int_equal(unlink(other), 0);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unit_is_the_first_group_below_the_system_s_slices),
        cmocka_unit_test(a_live_process_is_named_with_its_program),
        cmocka_unit_test(a_process_that_ended_is_not_attested),
        cmocka_unit_test(a_program_keeps_its_name_when_its_file_is_replaced),
        cmocka_unit_test(a_program_keeps_its_name_when_its_file_has_another_one),
        cmocka_unit_test(a_name_that_only_looks_deleted_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
