#include "core/public.h"
#include "pkcs11/session.h"
#include "tests/unit/pkcs11/softhsm.h"

#define JOBS 40

static struct softhsm *hsm;
static struct kv_token *token;
static struct kv_pkcs11_token *inside;
static struct kv_token_key ec, rsa;
static struct kv_token_job jobs[JOBS];
static size_t told;

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

static void on_done(void *ctx, size_t number)
{
    assert_ptr_equal(ctx, &told);
    assert_int_equal(number, told);
    told++;
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

/* Both keys in turn, each job another text; job 7 has a key that is not there. */
static void sign_all(uint64_t last_us)
{
    static const char texts[JOBS] = {0};
    for (size_t i = 0; i < JOBS; i++) {
        const struct kv_token_key *key = i % 3 == 0 ? &ec : &rsa;
        jobs[i] = (struct kv_token_job){.handle = i == 7 ? 123456 : key->handle,
                                        .mechanism = i % 3 == 0   ? KV_TOKEN_ECDSA
                                                     : i % 3 == 1 ? KV_TOKEN_RSA_PSS_SHA256
                                                                  : KV_TOKEN_RSA_PKCS1_SHA256,
                                        .digest = kv_hash(kv_bytes(texts, i))};
    }
    told = 0;
    inside->sign_us = last_us;
    kv_token_sign_all(token, jobs, JOBS, on_done, &told);
    assert_int_equal(told, JOBS);
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

static void slow_keys_sign_side_by_side_and_are_told_in_order(void **state)
{
    (void)state;
    size_t before = threads();
    sign_all(0);
    expect_threads(before); /* as far as is known they are quick */
    sign_all(1000);
    expect_threads(before + 3);
    sign_all(1000);
    expect_threads(before + 3); /* the same again */
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
    static const uint64_t last_us[] = {0, 1000};
    functions.C_SignInit = begin_nowhere;
    inside->module.f = &functions;
    for (size_t i = 0; i < KV_COUNT(last_us); i++) {
        for (size_t j = 0; j < JOBS; j++) {
            jobs[j] =
                (struct kv_token_job){.handle = rsa.handle, .mechanism = KV_TOKEN_RSA_PSS_SHA256};
        }
        told = 0;
        asked = 0;
        inside->sign_us = last_us[i];
        kv_token_sign_all(token, jobs, JOBS, on_done, &told);
        assert_int_equal(told, JOBS);
        for (size_t j = 0; j < JOBS; j++) {
            assert_int_equal(jobs[j].code, KV_E_TOKEN_ABSENT);
            assert_int_equal(jobs[j].err.code, KV_E_TOKEN_ABSENT);
        }
        assert_in_range(asked, 1, JOBS / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slow_keys_sign_side_by_side_and_are_told_in_order, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_a_lane_cannot_the_first_session_signs, begin, end),
        cmocka_unit_test_setup_teardown(without_another_session_all_sign_in_the_first, begin, end),
        cmocka_unit_test_setup_teardown(a_module_that_does_not_lock_has_one_thread, begin, end),
        cmocka_unit_test_setup_teardown(a_token_that_fails_is_not_asked_for_every_job, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
