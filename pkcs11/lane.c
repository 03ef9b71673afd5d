/* Many signatures at once. A lane is one more session of the token, with a thread that signs in it,
 * while the thread that begins the jobs does something else: a network HSM answers several faster
 * than one after another, and a software token has the other processors. Where one signature takes
 * no longer than a thread needs to wake up, or there is only one at a time, lanes only cost and are
 * left asleep.
 *
 * A module that locks by itself may be called by several threads, and objects of one session are
 * seen by all others of the process (PKCS#11 v2.40 base §5.4, §2.6 usage). Of the token lanes know
 * nothing but the module and what a job says. */
#include "pkcs11/session.h"

#include "core/time.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LANES_MAX   4            /* beside the first session; YubiHSM 2 has 16 in all */
#define WORTH_US    200          /* of a signature: several times what waking a thread takes */
#define ALONE_MAX   8            /* jobs in a row that found no other: then they do without */
#define TOGETHER    4            /* done, before it is told, while as many more wait for a lane */
#define SOON_US     5000         /* of a signature: one that takes as long is told of at once */
#define STACK_BYTES (512 * 1024) /* of a thread: modules bring their own libraries */

struct kv_pkcs11_lanes {
    const struct kv_pkcs11_module *module; /* borrowed; only read */
    size_t out;                            /* jobs that the lanes were given, and still have */
    pthread_mutex_t mutex;                 /* for what is below */
    pthread_cond_t more, less;             /* there are jobs; one was done */
    struct kv_token_jobs todo, done;
    bool doubt; /* one failed: before the next is begun the first session tries that one */
    bool slow;  /* a signature takes so long that nobody is kept waiting for more of them */
    bool told;  /* that some are done, which were not all taken yet */
    bool ending;
    int done_fd;
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

static void put_done(struct kv_pkcs11_lanes *lanes, struct kv_token_job *job)
{
    static const uint64_t one = 1;
    kv_token_jobs_put(&lanes->done, job);
    lanes->doubt = lanes->doubt || job->code != KV_OK;
    (void)pthread_cond_signal(&lanes->less);
    /* to be woken is dear for all whom an answer passes; with enough to do nobody is kept waiting
     */
    bool enough = lanes->todo.count >= TOGETHER && lanes->done.count < TOGETHER && !lanes->slow &&
                  !lanes->doubt;
    if (!enough && !lanes->told) {
        ssize_t n = write(lanes->done_fd, &one, sizeof one);
        assert(n == (ssize_t)sizeof one || errno == EAGAIN); /* readable already */
        lanes->told = true;
    }
}

static void *run(void *arg)
{
    struct lane *lane = arg;
    struct kv_pkcs11_lanes *lanes = lane->lanes;
    lock(lanes);
    while (!lanes->ending) {
        struct kv_token_job *job = lanes->doubt ? NULL : kv_token_jobs_take(&lanes->todo);
        if (job == NULL) {
            (void)pthread_cond_wait(&lanes->more, &lanes->mutex);
            continue;
        }
        unlock(lanes);
        uint64_t begin_us = kv_time_mono_us();
        job->code = kv_pkcs11_sign_in(lanes->module, lane->session, job->handle, job->mechanism,
                                      &job->digest, job->sig, &job->len, &job->err);
        job->took_us = kv_time_mono_us() - begin_us;
        lock(lanes);
        put_done(lanes, job);
    }
    unlock(lanes);
    return NULL;
}

static bool add_lane(struct kv_pkcs11_lanes *lanes, CK_SLOT_ID slot, const pthread_attr_t *attr)
{
    struct lane *lane = &lanes->lane[lanes->lane_count];
    lane->lanes = lanes;
    if (lanes->module->f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                        &lane->session) != CKR_OK) {
        return false; /* it has no more to give */
    }
    if (pthread_create(&lane->thread, attr, run, lane) != 0) {
        (void)lanes->module->f->C_CloseSession(lane->session);
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
    lanes->module = &token->module;
    int rc = pthread_mutex_init(&lanes->mutex, NULL);
    rc = rc != 0 ? rc : pthread_cond_init(&lanes->more, NULL);
    rc = rc != 0 ? rc : pthread_cond_init(&lanes->less, NULL);
    rc = rc != 0 ? rc : pthread_attr_init(&attr);
    assert(rc == 0); /* glibc's cannot fail */
    rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    assert(rc == 0);
    lanes->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool more = token->module.locks && lanes->done_fd >= 0;
    while (more && lanes->lane_count < LANES_MAX) {
        more = add_lane(lanes, token->slot, &attr);
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
        (void)lanes->module->f->C_CloseSession(lanes->lane[i].session);
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
    kv_close_fdp(&lanes->done_fd);
    free(lanes);
}

int kv_pkcs11_done_fd(const struct kv_token *base)
{
    const struct kv_pkcs11_token *token = (const struct kv_pkcs11_token *)base;
    return token->lanes == NULL ? -1 : token->lanes->done_fd;
}

static size_t under_way(const struct kv_pkcs11_token *token)
{
    return token->lanes == NULL ? 0 : token->lanes->out;
}

/* Whether the next job that waits is one for a lane. It is not alone, too, if it came while the one
 * before was signed. */
static bool lanes_pay(struct kv_pkcs11_token *token, const struct kv_token_job *job)
{
    bool alone = token->base.waiting.count + under_way(token) < 2 &&
                 kv_time_mono_us() - token->signed_us > WORTH_US / 2;
    token->alone = alone ? token->alone + 1 : 0;
    if (token->sign_us[job->mechanism] < WORTH_US || token->alone > ALONE_MAX ||
        token->base.failure.code != KV_OK) {
        return false;
    }
    token->lanes = token->lanes != NULL ? token->lanes : make_lanes(token);
    return token->lanes != NULL && token->lanes->lane_count > 1; /* one alone gains nothing */
}

/* The jobs in front that are for lanes. */
static void hand_over(struct kv_pkcs11_token *token)
{
    struct kv_err err;
    struct kv_token_job *job;
    while ((job = token->base.waiting.first) != NULL && lanes_pay(token, job) &&
           kv_pkcs11_may_sign(token, job->handle, job->mechanism, &err) == KV_OK) {
        struct kv_pkcs11_lanes *lanes = token->lanes;
        (void)kv_token_jobs_take(&token->base.waiting);
        lock(lanes);
        kv_token_jobs_put(&lanes->todo, job);
        lanes->slow = token->sign_us[job->mechanism] >= SOON_US;
        lanes->out++;
        (void)pthread_cond_signal(&lanes->more);
        unlock(lanes);
    }
}

static struct kv_token_job *take_done(struct kv_pkcs11_lanes *lanes, bool wait)
{
    if (lanes == NULL || lanes->out == 0) {
        return NULL;
    }
    lock(lanes);
    struct kv_token_job *job = kv_token_jobs_take(&lanes->done);
    while (job == NULL && wait) {
        (void)pthread_cond_wait(&lanes->less, &lanes->mutex);
        job = kv_token_jobs_take(&lanes->done);
    }
    lanes->told = lanes->told && lanes->done.count > 0;
    unlock(lanes);
    lanes->out -= job != NULL;
    return job;
}

/* What the lanes have not begun waits for the first session again. */
static void take_back(struct kv_pkcs11_token *token)
{
    struct kv_pkcs11_lanes *lanes = token->lanes;
    struct kv_token_job *job;
    lock(lanes);
    while ((job = kv_token_jobs_take(&lanes->todo)) != NULL) {
        kv_token_jobs_put(&token->base.waiting, job);
        lanes->out--;
    }
    lanes->doubt = false;
    (void)pthread_cond_broadcast(&lanes->more);
    unlock(lanes);
}

/* What a lane could not do, the first session tries. If it can, modules may have less to offer than
 * they say, and lanes are given up. */
static void do_again(struct kv_pkcs11_token *token, struct kv_token_job *job)
{
    take_back(token);
    kv_token_do(&token->base, job);
    if (job->code == KV_OK) {
        end_threads(token->lanes);
    }
}

struct kv_token_job *kv_pkcs11_take(struct kv_token *base, bool wait)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    hand_over(token);
    struct kv_token_job *job = take_done(token->lanes, wait && base->waiting.count == 0);
    if (job == NULL) {
        return under_way(token) > 0 && base->waiting.count == 0 ? NULL
                                                                : kv_token_take_in_turn(base);
    }
    if (job->code == KV_OK) {
        kv_pkcs11_took(token, job->mechanism, job->took_us);
    } else {
        do_again(token, job);
    }
    return job;
}
