#include "agent/attest.h"

#include "tests/unit/kv_test.h"

#include <fcntl.h>
#include <signal.h>
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
    assert_true(a.has_exe_hash);
    assert_true(a.start_ticks > 0);
    int fd = open(own, O_RDONLY | O_CLOEXEC);
    assert_int_equal(kv_attest_file(fd, &hash, &err), KV_OK);
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
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(kv_attest(pidfd, &a, &err), KV_E_NOT_FOUND);
    assert_int_equal(close(pidfd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unit_is_the_first_group_below_the_system_s_slices),
        cmocka_unit_test(a_live_process_is_named_with_its_program),
        cmocka_unit_test(a_process_that_ended_is_not_attested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
