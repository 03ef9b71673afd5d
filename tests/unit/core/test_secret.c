#include "core/secret.h"

#include "tests/unit/kv_test.h"

#include <openssl/crypto.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void without_a_locked_heap_there_is_no_secret(void **state)
{
    (void)state;
    struct kv_err err;
    struct kv_secret *secret = NULL;
    assert_int_equal(kv_secret_new(16, &secret, &err), KV_E_NO_MEMORY);
    assert_null(secret);
}

/* In a child without the right to lock memory: usable but unlocked memory must be refused. */
static void memory_that_cannot_be_locked_is_refused(void **state)
{
    (void)state;
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        struct kv_err err;
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (getuid() == 0 && setuid(65534) != 0)) {
            _exit(2);
        }
        _exit(kv_secret_heap_init(&err) == KV_E_NO_MEMORY ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_secret_lives_in_locked_memory_and_keeps_its_bytes(void **state)
{
    (void)state;
    struct kv_err err;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *secret = NULL;
    assert_int_equal(kv_secret_heap_init(&err), KV_OK);
    assert_int_equal(kv_secret_from(kv_bytes_str("4711"), &secret, &err), KV_OK);
    assert_true(CRYPTO_secure_allocated(kv_secret_data(secret)));
    assert_int_equal(kv_secret_len(secret), 4);
    assert_memory_equal(kv_secret_data(secret), "4711", 4);
    kv_secret_shrink(secret, 2);
    assert_true(kv_bytes_is(kv_secret_bytes(secret), "47"));
    assert_int_equal(kv_secret_data(secret)[2], 0);
}

static void room_is_told_before_it_is_gone(void **state)
{
    (void)state;
    struct kv_err err;
    static struct kv_secret *secret[4096];
    size_t count = 0;
    assert_int_equal(kv_secret_heap_init(&err), KV_OK);
    while (count < KV_COUNT(secret) && kv_secret_room(4096)) {
        assert_int_equal(kv_secret_new(2000, &secret[count++], &err), KV_OK);
    }
    assert_in_range(count, 2000, KV_COUNT(secret) - 1); /* a thousand sessions of two tokens */
    while (count > 0) {
        kv_secret_freep(&secret[--count]);
    }
    assert_true(kv_secret_room(4096));
}

static void lengths_have_limits(void **state)
{
    (void)state;
    struct kv_err err;
    struct kv_secret *secret = NULL;
    assert_int_equal(kv_secret_new(0, &secret, &err), KV_E_LIMIT);
    assert_int_equal(kv_secret_new(KV_SECRET_MAX + 1, &secret, &err), KV_E_LIMIT);
    assert_null(secret);
    assert_int_equal(kv_secret_new(KV_SECRET_MAX, &secret, &err), KV_OK);
    kv_secret_free(secret);
}

static void a_hardened_process_leaves_no_core(void **state)
{
    (void)state;
    struct kv_err err;
    struct rlimit limit;
    assert_int_equal(kv_secret_harden_process(&err), KV_OK);
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    assert_true(limit.rlim_max == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_locked_heap_there_is_no_secret),
        cmocka_unit_test(memory_that_cannot_be_locked_is_refused),
        cmocka_unit_test(a_secret_lives_in_locked_memory_and_keeps_its_bytes),
        cmocka_unit_test(room_is_told_before_it_is_gone),
        cmocka_unit_test(lengths_have_limits),
        cmocka_unit_test(a_hardened_process_leaves_no_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
