#include "agent/attestor.h"

#include "tests/unit/kv_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (64 * 1024 * 1024) /* bytes: 64 turns */
#define KINDS 4

/* Programs that run: copies of sleep(1), made long by zeros; all different files. */
struct programs {
    char dir[64], path[KINDS][96];
    pid_t pid[KINDS];
    struct kv_loop *loop;
    struct kv_attestor *attestor;
    uint32_t told[2 * KINDS]; /* in this order */
    bool with_hash[2 * KINDS];
    size_t count, wanted;
};

static void on_told(void *ctx, uint32_t request, enum kv_code code,
                    const struct kv_attestation *seen, const char *detail)
{
    struct programs *p = ctx;
    (void)detail;
    p->told[p->count] = request;
    p->with_hash[p->count++] = code == KV_OK && seen->has_exe_hash;
    if (p->count == p->wanted) {
        kv_loop_stop(p->loop);
    }
}

static void copy_sleep(const char *path, off_t size)
{
    char part[4096];
    ssize_t n;
    int in = open("/bin/sleep", O_RDONLY | O_CLOEXEC);
    int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, part, sizeof part)) > 0) {
        assert_int_equal(write(out, part, (size_t)n), n);
    }
    assert_true(size == 0 || ftruncate(out, size) == 0);
    assert_int_equal(close(in), 0);
    assert_int_equal(close(out), 0);
}

static void start(struct programs *p, size_t i, off_t size)
{
    char dir[64], link[64], exe[KV_EXE_LEN] = "";
    memcpy(dir, p->dir, sizeof dir);
    snprintf(p->path[i], sizeof p->path[i], "%s/%zu", dir, i);
    copy_sleep(p->path[i], size);
    p->pid[i] = fork();
    if (p->pid[i] == 0) {
        execl(p->path[i], "sleep", "60", (char *)NULL);
        _exit(1);
    }
    snprintf(link, sizeof link, "/proc/%d/exe", (int)p->pid[i]);
    while (strcmp(exe, p->path[i]) != 0) { /* until it is what it executes */
        ssize_t n = readlink(link, exe, sizeof exe - 1);
        assert_true(n > 0);
        exe[n] = '\0';
    }
}

static void begin(struct programs *p)
{
    struct kv_err err;
    *p = (struct programs){.dir = "/tmp/ksefvault-attestor.XXXXXX"};
    assert_non_null(mkdtemp(p->dir));
    assert_int_equal(kv_loop_new(&p->loop, &err), KV_OK);
    p->attestor = kv_attestor_new(p->loop, on_told, p);
    start(p, 0, LARGE);
    start(p, 1, LARGE);
    start(p, 2, 0);
    start(p, 3, 0);
}

static void end(struct programs *p)
{
    kv_attestor_free(p->attestor);
    kv_loop_free(p->loop);
    for (size_t i = 0; i < KINDS; i++) {
        assert_int_equal(kill(p->pid[i], SIGKILL), 0);
        assert_int_equal(waitpid(p->pid[i], NULL, 0), p->pid[i]);
        assert_int_equal(unlink(p->path[i]), 0);
    }
    assert_int_equal(rmdir(p->dir), 0);
}

/* Who runs program `i`? The number of the question is that of the program. */
static void ask(struct programs *p, size_t i, uint32_t uid, bool read, int64_t wait_ms)
{
    int pidfd = (int)syscall(SYS_pidfd_open, p->pid[i], 0);
    assert_true(pidfd >= 0);
    p->wanted++;
    kv_attestor_ask_take_fd(p->attestor, (uint32_t)i, pidfd, uid, read, wait_ms);
}

static void run(struct programs *p)
{
    struct kv_err err;
    if (p->count < p->wanted) {
        assert_int_equal(kv_loop_run(p->loop, &err), KV_OK);
    }
    assert_int_equal(p->count, p->wanted);
}

static void an_account_s_large_program_delays_nobody_else(void **state)
{
    (void)state;
    struct programs p;
    begin(&p);
    ask(&p, 0, 61001, true, INT32_MAX);
    ask(&p, 1, 61001, true, INT32_MAX);
    ask(&p, 2, 61002, true, INT32_MAX);
    run(&p);
    assert_int_equal(p.told[0], 2);
    assert_int_equal(p.told[1], 0);
    assert_int_equal(p.told[2], 1);
    assert_true(p.with_hash[0] && p.with_hash[1] && p.with_hash[2]);
    end(&p);
}

static void an_account_has_one_program_read_at_a_time(void **state)
{
    (void)state;
    struct programs p;
    begin(&p);
    ask(&p, 0, 61001, true, INT32_MAX);
    ask(&p, 2, 61001, true, INT32_MAX); /* small, but behind */
    ask(&p, 3, 61001, true, INT32_MAX);
    run(&p);
    assert_int_equal(p.told[0], 0);
    assert_int_equal(p.told[1], 2);
    assert_int_equal(p.told[2], 3);
    assert_true(p.with_hash[0] && p.with_hash[1] && p.with_hash[2]);
    end(&p);
}

static void a_program_is_read_for_who_asks_so_only(void **state)
{
    (void)state;
    struct programs p;
    begin(&p);
    ask(&p, 2, 61001, false, INT32_MAX);
    assert_int_equal(p.count, 1); /* at once */
    assert_false(p.with_hash[0]);
    ask(&p, 2, 61001, true, INT32_MAX);
    run(&p);
    assert_true(p.with_hash[1]);
    ask(&p, 2, 61001, true, INT32_MAX);
    assert_int_equal(p.count, 3); /* known */
    assert_true(p.with_hash[2]);
    end(&p);
}

static void who_cannot_wait_is_told_without(void **state)
{
    (void)state;
    struct programs p;
    begin(&p);
    ask(&p, 2, 61001, true, 0);
    run(&p);
    assert_false(p.with_hash[0]);
    end(&p);
}

static void on_first_turn(void *ctx)
{
    struct programs *p = ctx;
    assert_int_equal(kill(p->pid[0], SIGKILL), 0);
}

static void who_ends_while_his_program_is_read_is_not_attested(void **state)
{
    (void)state;
    struct programs p;
    begin(&p);
    struct kv_timer *timer = kv_timer_new(p.loop, on_first_turn, &p);
    kv_timer_arm(timer, 0);
    ask(&p, 0, 61001, true, INT32_MAX);
    run(&p);
    assert_false(p.with_hash[0]);
    kv_timer_free(timer);
    end(&p);
}

static void nobody_is_told_after_a_clear(void **state)
{
    (void)state;
    struct programs p;
    begin(&p);
    ask(&p, 0, 61001, true, INT32_MAX);
    ask(&p, 2, 61002, true, INT32_MAX);
    kv_attestor_clear(p.attestor);
    p.wanted = 1;
    ask(&p, 3, 61003, true, INT32_MAX);
    p.wanted = 1;
    run(&p);
    assert_int_equal(p.told[0], 3);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_s_large_program_delays_nobody_else),
        cmocka_unit_test(an_account_has_one_program_read_at_a_time),
        cmocka_unit_test(a_program_is_read_for_who_asks_so_only),
        cmocka_unit_test(who_cannot_wait_is_told_without),
        cmocka_unit_test(who_ends_while_his_program_is_read_is_not_attested),
        cmocka_unit_test(nobody_is_told_after_a_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
