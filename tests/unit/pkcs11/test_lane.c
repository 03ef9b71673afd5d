#include "core/public.h"
#include "pkcs11/session.h"
#include "tests/unit/pkcs11/softhsm.h"

#include <poll.h>
#include <semaphore.h>
#include <time.h>

#define JOBS 40

static struct softhsm *hsm;
static struct kv_token *token;
static struct kv_pkcs11_token *inside;
static struct kv_token_key ec, rsa;
static struct kv_token_job jobs[JOBS];

/* What the module does, but for what a test puts in its place. */
static CK_FUNCTION_LIST functions, *original;
static CK_RV (*real_sign)(CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR);
static CK_SESSION_HANDLE first_session;
static unsigned refused;

static CK_RV sign_in_the_first_session_only(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG len,
                                            CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    CK_RV rv = real_sign(session, in, len, out, out_len);
    if (session == first_session) {
        return rv;
    }
    (void)__atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
    return CKR_DEVICE_ERROR;
}

static unsigned asked;
static CK_RV begin_nowhere(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                           CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    (void)__atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
    (void)usleep(1000);
    return CKR_DEVICE_REMOVED;
}

static CK_RV no_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                        CK_SESSION_HANDLE *session)
{
    (void)slot;
    (void)flags;
    (void)app;
    (void)notify;
    (void)session;
    return CKR_SESSION_COUNT;
}

static int begin(void **state)
{
    (void)state;
    hsm = softhsm_ready();
    token = softhsm_open(hsm);
    inside = kv_pkcs11_token(token);
    assert_int_equal(kv_token_generate(token, "ec", KV_TOKEN_EC_P256, &ec, NULL), KV_OK);
    assert_int_equal(kv_token_generate(token, "rsa", KV_TOKEN_RSA_2048, &rsa, NULL), KV_OK);
    original = inside->module.f;
    functions = *original;
    real_sign = functions.C_Sign;
    first_session = inside->session;
    refused = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    inside->module.f = original;
    kv_token_close(token);
    softhsm_free(hsm);
    return 0;
}

static size_t threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    size_t count = 0;
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        count += e->d_name[0] != '.';
    }
    (void)closedir(dir);
    return count;
}

/* A thread that was joined may be listed for a moment. */
static void expect_threads(size_t wanted)
{
    for (int i = 0; i < 200 && threads() > wanted; i++) {
        (void)usleep(10000);
    }
    assert_int_equal(threads(), wanted);
}

static void set_sign_us(uint64_t us)
{
    for (size_t i = 0; i < KV_TOKEN_MECHANISM_COUNT; i++) {
        inside->sign_us[i] = us;
    }
}

/* Each comes back once. */
static void take_all(size_t count)
{
    bool back[JOBS] = {false};
    for (size_t i = 0; i < count; i++) {
        const struct kv_token_job *job = kv_token_take(token, true);
        assert_non_null(job);
        assert_in_range(job - jobs, 0, count - 1);
        assert_false(back[job - jobs]);
        back[job - jobs] = true;
    }
    assert_null(kv_token_take(token, true));
}

/* Both keys in turn, each job another text; job 7 has a key that is not there. */
static void sign_all(uint64_t last_us)
{
    static const char texts[JOBS] = {0};
    set_sign_us(last_us);
    for (size_t i = 0; i < JOBS; i++) {
        const struct kv_token_key *key = i % 3 == 0 ? &ec : &rsa;
        jobs[i] = (struct kv_token_job){.handle = i == 7 ? 123456 : key->handle,
                                        .mechanism = i % 3 == 0   ? KV_TOKEN_ECDSA
                                                     : i % 3 == 1 ? KV_TOKEN_RSA_PSS_SHA256
                                                                  : KV_TOKEN_RSA_PKCS1_SHA256,
                                        .digest = kv_hash(kv_bytes(texts, i))};
        kv_token_begin(token, &jobs[i]);
    }
    take_all(JOBS);
    for (size_t i = 0; i < JOBS; i++) {
        const struct kv_token_key *key = i % 3 == 0 ? &ec : &rsa;
        if (i == 7) {
            assert_int_equal(jobs[i].code, KV_E_TOKEN_KEY_MISSING);
            continue;
        }
        assert_int_equal(jobs[i].code, KV_OK);
        assert_true(kv_public_verify(key, jobs[i].mechanism, &jobs[i].digest,
                                     kv_bytes(jobs[i].sig, jobs[i].len)));
    }
}

static void slow_keys_sign_side_by_side(void **state)
{
    (void)state;
    size_t before = threads();
    sign_all(1);
    expect_threads(before); /* as far as is known they are quick */
    sign_all(1000);
    expect_threads(before + 4);
    sign_all(1000);
    expect_threads(before + 4); /* the same again */
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd in = {.fd = fd, .events = POLLIN};
    return poll(&in, 1, timeout_ms) == 1;
}

static void begin_one(size_t i)
{
    jobs[i] = (struct kv_token_job){
        .handle = rsa.handle, .mechanism = KV_TOKEN_RSA_PSS_SHA256, .owner = &jobs[JOBS - 1 - i]};
    kv_token_begin(token, &jobs[i]);
}

/* Who begins jobs sleeps meanwhile, and is told. */
static void a_descriptor_tells_of_what_is_done(void **state)
{
    (void)state;
    uint64_t count;
    assert_int_equal(kv_token_done_fd(token), -1);
    set_sign_us(1000);
    for (size_t i = 0; i < JOBS; i++) { /* while many wait it tells of several together */
        begin_one(i);
    }
    size_t taken = 0;
    while (taken < JOBS) {
        const struct kv_token_job *job = kv_token_take(token, false);
        if (job == NULL) {
            assert_true(readable(kv_token_done_fd(token), 10000));
            assert_int_equal(read(kv_token_done_fd(token), &count, sizeof count), sizeof count);
            continue;
        }
        assert_int_equal(job->code, KV_OK);
        assert_ptr_equal(job->owner, &jobs[JOBS - 1 - (job - jobs)]);
        taken++;
    }
    assert_null(kv_token_take(token, false));
}

/* Signatures that begin when they are told to: a lane that has begun its next one has put its last.
 */
static sem_t begun, may;
static CK_RV sign_when_told(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG len,
                            CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    (void)sem_post(&begun);
    while (sem_wait(&may) != 0) {
    }
    return real_sign(session, in, len, out, out_len);
}

static void let(unsigned end, unsigned begin_next)
{
    struct timespec until;
    for (unsigned i = 0; i < end; i++) {
        (void)sem_post(&may);
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    for (unsigned i = 0; i < begin_next; i++) {
        assert_int_equal(sem_timedwait(&begun, &until), 0);
    }
}

static void take_told(unsigned count)
{
    uint64_t told;
    assert_true(readable(kv_token_done_fd(token), 0));
    assert_int_equal(read(kv_token_done_fd(token), &told, sizeof told), sizeof told);
    assert_int_equal(told, 1);
    for (unsigned i = 0; i < count; i++) {
        assert_non_null(kv_token_take(token, false));
    }
    assert_null(kv_token_take(token, false));
}

static void begin_sixteen(uint64_t us)
{
    functions.C_Sign = sign_when_told;
    inside->module.f = &functions;
    set_sign_us(us);
    for (size_t i = 0; i < 16; i++) {
        begin_one(i);
    }
    assert_null(kv_token_take(token, false));
    let(0, 4);
}

static void four_are_told_of_together_while_as_many_wait(void **state)
{
    (void)state;
    begin_sixteen(1000);
    for (unsigned i = 0; i < 3; i++) {
        let(1, 1);
        assert_false(readable(kv_token_done_fd(token), 0));
    }
    let(1, 1);
    take_told(4);
    let(4, 4);
    take_told(4);
    let(1, 1); /* four waited behind this one, and three behind the next */
    assert_false(readable(kv_token_done_fd(token), 0));
    let(1, 1);
    take_told(2);
    let(6, 2);
    for (unsigned i = 0; i < 6; i++) {
        assert_non_null(kv_token_take(token, true));
    }
}

static void one_that_takes_long_is_told_of_at_once(void **state)
{
    (void)state;
    begin_sixteen(100000);
    let(1, 1);
    take_told(1);
    let(15, 11);
    for (unsigned i = 0; i < 15; i++) {
        assert_non_null(kv_token_take(token, true));
    }
}

static int begin_told(void **state)
{
    return sem_init(&begun, 0, 0) == 0 && sem_init(&may, 0, 0) == 0 ? begin(state) : -1;
}

static int end_told(void **state)
{
    for (unsigned i = 0; i < 2 * JOBS; i++) { /* whom a failed test left waiting */
        (void)sem_post(&may);
    }
    return end(state);
}

static unsigned in_lanes;
static CK_RV sign_and_count(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG len,
                            CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    if (session != first_session) {
        (void)__atomic_add_fetch(&in_lanes, 1, __ATOMIC_RELAXED);
    }
    (void)usleep(500); /* on the quickest machine, too, worth a lane */
    return real_sign(session, in, len, out, out_len);
}

/* A thread is not woken for one that would have nothing to wait for. */
static void who_is_alone_is_signed_for_at_once(void **state)
{
    (void)state;
    functions.C_Sign = sign_and_count;
    inside->module.f = &functions;
    in_lanes = 0;
    set_sign_us(1000);
    for (size_t i = 0; i < JOBS; i++) {
        begin_one(i);
        assert_ptr_equal(kv_token_take(token, true), &jobs[i]);
        (void)usleep(1000);
    }
    assert_in_range(in_lanes, 1, 8); /* those before it was sure */
    in_lanes = 0;
    begin_one(0);
    for (size_t i = 1; i < JOBS; i++) { /* always one under way */
        begin_one(i);
        assert_non_null(kv_token_take(token, true));
    }
    assert_non_null(kv_token_take(token, true));
    assert_null(kv_token_take(token, true));
    assert_int_equal(in_lanes, JOBS);
}

static void what_a_lane_cannot_the_first_session_signs(void **state)
{
    (void)state;
    size_t before = threads();
    functions.C_Sign = sign_in_the_first_session_only;
    inside->module.f = &functions;
    do { /* until a lane had its turn */
        sign_all(1000);
    } while (refused == 0);
    expect_threads(before); /* it is not tried again */
    unsigned was = refused;
    sign_all(1000);
    assert_int_equal(refused, was);
    expect_threads(before);
}

static void without_another_session_all_sign_in_the_first(void **state)
{
    (void)state;
    size_t before = threads();
    functions.C_OpenSession = no_session;
    inside->module.f = &functions;
    sign_all(1000);
    expect_threads(before);
}

static unsigned sessions_left;
static CK_RV some_sessions(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                           CK_SESSION_HANDLE *session)
{
    if (sessions_left == 0) {
        return CKR_SESSION_COUNT;
    }
    sessions_left--;
    return original->C_OpenSession(slot, flags, app, notify, session);
}

/* A thread alone would only be woken to do what the first session can; two are worth it. */
static void one_more_session_is_left_asleep_and_two_sign(void **state)
{
    (void)state;
    functions.C_OpenSession = some_sessions;
    functions.C_Sign = sign_and_count;
    inside->module.f = &functions;
    for (unsigned more = 1; more <= 2; more++) {
        kv_pkcs11_lanes_free(inside->lanes);
        inside->lanes = NULL;
        sessions_left = more;
        in_lanes = 0;
        sign_all(1000);
        assert_int_equal(sessions_left, 0);
        assert_true(more == 1 ? in_lanes == 0 : in_lanes > 0);
    }
}

static CK_RV fail_at_once(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                          CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    return CKR_FUNCTION_FAILED;
}

/* Else one of them would keep a slow token from its lanes for good. */
static void a_failure_is_no_quick_signature(void **state)
{
    (void)state;
    functions.C_SignInit = fail_at_once;
    inside->module.f = &functions;
    set_sign_us(1000);
    for (size_t i = 0; i < JOBS; i++) {
        begin_one(i);
    }
    take_all(JOBS);
    assert_int_not_equal(jobs[0].code, KV_OK);
    assert_int_equal(inside->sign_us[KV_TOKEN_RSA_PSS_SHA256], 1000);
}

static void a_module_that_does_not_lock_has_one_thread(void **state)
{
    (void)state;
    size_t before = threads();
    inside->module.locks = false;
    sign_all(1000);
    expect_threads(before);
}

/* Whichever way they are signed: each call may take as long as the module waits for its device. */
static void a_token_that_fails_is_not_asked_for_every_job(void **state)
{
    (void)state;
    static const uint64_t last_us[] = {1, 1000};
    functions.C_SignInit = begin_nowhere;
    inside->module.f = &functions;
    for (size_t i = 0; i < KV_COUNT(last_us); i++) {
        asked = 0;
        set_sign_us(last_us[i]);
        for (size_t j = 0; j < JOBS; j++) {
            begin_one(j);
        }
        take_all(JOBS);
        for (size_t j = 0; j < JOBS; j++) {
            assert_int_equal(jobs[j].code, KV_E_TOKEN_ABSENT);
            assert_int_equal(jobs[j].err.code, KV_E_TOKEN_ABSENT);
        }
        assert_in_range(asked, 1, 4 + 1); /* by each lane, and by the first session */
    }
    functions.C_SignInit = original->C_SignInit;
    begin_one(0); /* who comes later asks anew */
    take_all(1);
    assert_int_equal(jobs[0].code, KV_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slow_keys_sign_side_by_side, begin, end),
        cmocka_unit_test_setup_teardown(a_descriptor_tells_of_what_is_done, begin, end),
        cmocka_unit_test_setup_teardown(four_are_told_of_together_while_as_many_wait, begin_told,
                                        end_told),
        cmocka_unit_test_setup_teardown(one_that_takes_long_is_told_of_at_once, begin_told,
                                        end_told),
        cmocka_unit_test_setup_teardown(who_is_alone_is_signed_for_at_once, begin, end),
        cmocka_unit_test_setup_teardown(what_a_lane_cannot_the_first_session_signs, begin, end),
        cmocka_unit_test_setup_teardown(without_another_session_all_sign_in_the_first, begin, end),
        cmocka_unit_test_setup_teardown(one_more_session_is_left_asleep_and_two_sign, begin, end),
        cmocka_unit_test_setup_teardown(a_failure_is_no_quick_signature, begin, end),
        cmocka_unit_test_setup_teardown(a_module_that_does_not_lock_has_one_thread, begin, end),
        cmocka_unit_test_setup_teardown(a_token_that_fails_is_not_asked_for_every_job, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
