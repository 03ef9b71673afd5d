/* Many signatures at once. A lane is one more session of the token, with a thread that signs in it:
 * a network HSM answers several faster than one after another, and a software token has the other
 * processors. Where one signature takes no longer than a thread needs to wake up, lanes only cost
 * and are left asleep.
 *
 * A module that locks by itself may be called by several threads, and objects of one session are
 * seen by all others of the process (PKCS#11 v2.40 base §5.4, §2.6 usage). */
#include "pkcs11/session.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/time.h"

#define LANES_MAX   3            /* beside the first session; YubiHSM 2 has 16 in all */
#define WORTH_US    200          /* of a signature: several times what waking a thread takes */
#define STACK_BYTES (512 * 1024) /* of a thread: modules bring their own libraries */

enum { TO_DO, DONE, DONE_IN_LANE }; /* of a job */

struct kv_pkcs11_lanes {
    const struct kv_pkcs11_token *token; /* borrowed; only read here */
    pthread_mutex_t mutex;
    pthread_cond_t more, less;         /* there are jobs; one was done */
    struct kv_token_job *jobs;         /* of the caller */
    size_t count, next;                /* of the jobs; the next to take */
    uint64_t least_us;                 /* that a job of these took */
    const struct kv_token_job *failed; /* one of them, for the token's sake; NULL: none */
    bool ending;
    size_t lane_count;
    struct lane {
        struct kv_pkcs11_lanes *lanes;
        CK_SESSION_HANDLE session;
        pthread_t thread;
    } lane[LANES_MAX];
};

static void lock(struct kv_pkcs11_lanes *lanes)
{
    int rc = pthread_mutex_lock(&lanes->mutex);
    assert(rc == 0);
}

static void unlock(struct kv_pkcs11_lanes *lanes)
{
    int rc = pthread_mutex_unlock(&lanes->mutex);
    assert(rc == 0);
}

/* Sign the next job, if there is one. Called with the lock, which is let go meanwhile. */
static bool do_next(struct kv_pkcs11_lanes *lanes, CK_SESSION_HANDLE session)
{
    if (lanes->next == lanes->count) {
        return false;
    }
    struct kv_token_job *job = &lanes->jobs[lanes->next++];
    if (lanes->failed != NULL) {
        kv_token_job_like(job, lanes->failed);
        job->state = DONE;
        return true;
    }
    unlock(lanes);
    uint64_t begin_us = kv_time_mono_us();
    job->len = sizeof job->sig;
    job->code = kv_pkcs11_sign_in(lanes->token, session, job->handle, job->mechanism, &job->digest,
                                  job->sig, &job->len, &job->err);
    uint64_t took_us = kv_time_mono_us() - begin_us;
    lock(lanes);
    lanes->least_us = took_us < lanes->least_us ? took_us : lanes->least_us;
    bool in_lane = session != lanes->token->session;
    job->state = in_lane ? DONE_IN_LANE : DONE;
    lanes->failed = !in_lane && kv_token_failing(job->code) ? job : lanes->failed;
    return true;
}

static void *run(void *arg)
{
    struct lane *lane = arg;
    struct kv_pkcs11_lanes *lanes = lane->lanes;
    lock(lanes);
    while (!lanes->ending) {
        if (do_next(lanes, lane->session)) {
            (void)pthread_cond_signal(&lanes->less);
        } else {
            (void)pthread_cond_wait(&lanes->more, &lanes->mutex);
        }
    }
    unlock(lanes);
    return NULL;
}

static bool add_lane(struct kv_pkcs11_lanes *lanes, const pthread_attr_t *attr)
{
    struct lane *lane = &lanes->lane[lanes->lane_count];
    const struct kv_pkcs11_token *token = lanes->token;
    lane->lanes = lanes;
    if (token->module.f->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                       &lane->session) != CKR_OK) {
        return false; /* it has no more to give */
    }
    if (pthread_create(&lane->thread, attr, run, lane) != 0) {
        (void)token->module.f->C_CloseSession(lane->session);
        return false;
    }
    lanes->lane_count++;
    return true;
}

/* As many lanes as can be had: none is no failure. */
static struct kv_pkcs11_lanes *make_lanes(const struct kv_pkcs11_token *token)
{
    struct kv_pkcs11_lanes *lanes = calloc(1, sizeof *lanes);
    pthread_attr_t attr;
    if (lanes == NULL) {
        return NULL;
    }
    lanes->token = token;
    int rc = pthread_mutex_init(&lanes->mutex, NULL);
    rc = rc != 0 ? rc : pthread_cond_init(&lanes->more, NULL);
    rc = rc != 0 ? rc : pthread_cond_init(&lanes->less, NULL);
    rc = rc != 0 ? rc : pthread_attr_init(&attr);
    assert(rc == 0); /* glibc's cannot fail */
    rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    assert(rc == 0);
    bool more = token->module.locks;
    while (more && lanes->lane_count < LANES_MAX) {
        more = add_lane(lanes, &attr);
    }
    (void)pthread_attr_destroy(&attr);
    return lanes;
}

static void end_threads(struct kv_pkcs11_lanes *lanes)
{
    lock(lanes);
    lanes->ending = true;
    (void)pthread_cond_broadcast(&lanes->more);
    unlock(lanes);
    for (size_t i = 0; i < lanes->lane_count; i++) {
        (void)pthread_join(lanes->lane[i].thread, NULL);
        (void)lanes->token->module.f->C_CloseSession(lanes->lane[i].session);
    }
    lanes->lane_count = 0;
}

void kv_pkcs11_lanes_free(struct kv_pkcs11_lanes *lanes)
{
    if (lanes == NULL) {
        return;
    }
    end_threads(lanes);
    (void)pthread_cond_destroy(&lanes->less);
    (void)pthread_cond_destroy(&lanes->more);
    (void)pthread_mutex_destroy(&lanes->mutex);
    free(lanes);
}

/* What a lane could not do, the first session tries; *useless: it can, so modules may have less to
 * offer than they say. The failure that is the token's own, if it was one. */
static const struct kv_token_job *do_again(struct kv_pkcs11_token *token, struct kv_token_job *job,
                                           const struct kv_token_job *failed, bool *useless)
{
    if (failed != NULL) {
        kv_token_job_like(job, failed);
        return failed;
    }
    kv_token_do(&token->base, job);
    *useless = *useless || job->code == KV_OK;
    return kv_token_failing(job->code) ? job : NULL;
}

/* Take jobs beside the lanes, and tell of each that is done when those before it are. */
static void side_by_side(struct kv_pkcs11_token *token, struct kv_token_job *jobs, size_t count,
                         kv_token_done_fn *done, void *ctx)
{
    struct kv_pkcs11_lanes *lanes = token->lanes;
    size_t told = 0;
    bool useless = false;
    for (size_t i = 0; i < count; i++) {
        jobs[i].state = TO_DO;
    }
    lock(lanes);
    lanes->jobs = jobs;
    lanes->count = count;
    lanes->next = 0;
    lanes->least_us = UINT64_MAX;
    lanes->failed = NULL;
    (void)pthread_cond_broadcast(&lanes->more);
    while (told < count) {
        struct kv_token_job *job = &jobs[told];
        if (job->state != TO_DO) {
            const struct kv_token_job *failed = lanes->failed;
            unlock(lanes);
            if (job->state == DONE_IN_LANE && job->code != KV_OK) {
                failed = do_again(token, job, failed, &useless);
            }
            done(ctx, told++);
            lock(lanes);
            lanes->failed = lanes->failed != NULL ? lanes->failed : failed;
        } else if (!do_next(lanes, token->session)) {
            (void)pthread_cond_wait(&lanes->less, &lanes->mutex);
        }
    }
    token->sign_us = lanes->least_us;
    unlock(lanes);
    if (useless) {
        end_threads(lanes);
    }
}

static bool lanes_pay(struct kv_pkcs11_token *token, size_t count)
{
    if (count < 2 || token->sign_us < WORTH_US) {
        return false;
    }
    token->lanes = token->lanes != NULL ? token->lanes : make_lanes(token);
    return token->lanes != NULL && token->lanes->lane_count > 0;
}

void kv_pkcs11_sign_all(struct kv_token *base, struct kv_token_job *jobs, size_t count,
                        kv_token_done_fn *done, void *ctx)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    if (lanes_pay(token, count)) {
        side_by_side(token, jobs, count, done, ctx);
        return;
    }
    kv_token_in_turn(base, jobs, count, done, ctx);
}
