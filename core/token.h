/* A token: what a keeper works with, whichever device holds the keys. The kind (PKCS#11; TPM 2.0)
 * is behind a table of functions; who opens one names the kind, everybody else only this.
 *
 * One process, one token, one login. Keys are named by labels of 1 to 63 visible ASCII characters;
 * they are made on the token and never leave it. */
#ifndef KV_CORE_TOKEN_H
#define KV_CORE_TOKEN_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"
#include "core/secret.h"

#define KV_TOKEN_LABEL_LEN 64  /* with NUL, of keys */
#define KV_TOKEN_SPKI_MAX  600 /* bytes; RSA-4096 needs 550 */
#define KV_TOKEN_SIG_MAX   512 /* bytes; RSA-4096 */
#define KV_TOKEN_WHY_LEN   128

enum kv_token_key_type { KV_TOKEN_EC_P256, KV_TOKEN_RSA_2048, KV_TOKEN_KEY_TYPE_COUNT };

/* Each signs a SHA-256 digest. Signatures: ECDSA r‖s (64 bytes), RSA as of PKCS #1. */
enum kv_token_mechanism {
    KV_TOKEN_ECDSA,
    KV_TOKEN_RSA_PKCS1_SHA256,
    KV_TOKEN_RSA_PSS_SHA256, /* MGF1 with SHA-256, salt of 32 bytes */
    KV_TOKEN_MECHANISM_COUNT
};

/* How well the keys are kept, and who says so; larger is better. */
enum kv_custody {
    KV_CUSTODY_SOFTWARE, /* a software token was recognised */
    KV_CUSTODY_CLAIMED,  /* the module says so; nothing proves it */
    KV_CUSTODY_ATTESTED, /* evidence of the vendor was verified */
};

static inline const char *kv_custody_word(enum kv_custody custody)
{
    switch (custody) {
    case KV_CUSTODY_SOFTWARE: return "software";
    case KV_CUSTODY_CLAIMED: return "claimed";
    case KV_CUSTODY_ATTESTED: return "attested";
    }
    return "software";
}

/* What the token says of itself: visible ASCII, anything else shown as `?`. */
struct kv_token_info {
    char label[33];
    char manufacturer[33];
    char model[17];
    char serial[17];
    enum kv_custody custody;
    char custody_why[KV_TOKEN_WHY_LEN]; /* one sentence: the evidence for it */
};

struct kv_token_key {
    uint64_t handle; /* of the private key; valid until the token is closed */
    enum kv_token_key_type type;
    uint8_t spki[KV_TOKEN_SPKI_MAX]; /* SubjectPublicKeyInfo, DER (RFC 5280 §4.1) */
    size_t spki_len;
    /* as the module reports them */
    bool local, sensitive, extractable, always_sensitive, never_extractable;
};

/* How a secret that cannot live in the token is kept outside of it, under a key of the token's.
 * The number stands in files, the word in records. */
enum kv_token_rung {
    KV_TOKEN_RUNG_AES_GCM, /* encrypted and opened by the token itself */
    KV_TOKEN_RUNG_ECDH,    /* sealed to the token's key (core/seal.h); it computes the ECDH */
    KV_TOKEN_RUNG_SEALED,  /* under a key that the token unseals for one use (a TPM) */
    KV_TOKEN_RUNG_COUNT
};

static inline const char *kv_token_rung_word(enum kv_token_rung rung)
{
    switch (rung) {
    case KV_TOKEN_RUNG_AES_GCM: return "aes-gcm";
    case KV_TOKEN_RUNG_ECDH: return "ecdh";
    case KV_TOKEN_RUNG_SEALED: return "sealed";
    case KV_TOKEN_RUNG_COUNT: break;
    }
    return "";
}

static inline bool kv_token_rung_known(const char *word)
{
    for (int i = 0; i < KV_TOKEN_RUNG_COUNT; i++) {
        if (strcmp(word, kv_token_rung_word((enum kv_token_rung)i)) == 0) {
            return true;
        }
    }
    return false;
}

/* One signature of many; the caller's own, but between kv_token_begin and kv_token_take. */
struct kv_token_job {
    struct kv_token_job *next; /* the token's */
    void *owner;               /* for the caller */
    uint64_t handle;
    enum kv_token_mechanism mechanism;
    struct kv_hash digest;
    uint8_t sig[KV_TOKEN_SIG_MAX]; /* `len` bytes, if `code` is KV_OK */
    size_t len;
    enum kv_code code;
    struct kv_err err;
    uint64_t took_us; /* the token's */
};

/* Jobs in their order. */
struct kv_token_jobs {
    struct kv_token_job *first, *last;
    size_t count;
};

static inline void kv_token_jobs_put(struct kv_token_jobs *jobs, struct kv_token_job *job)
{
    job->next = NULL;
    if (jobs->first == NULL) {
        jobs->first = job;
    } else {
        jobs->last->next = job;
    }
    jobs->last = job;
    jobs->count++;
}

/* The first one; NULL if there is none. */
static inline struct kv_token_job *kv_token_jobs_take(struct kv_token_jobs *jobs)
{
    struct kv_token_job *job = jobs->first;
    if (job != NULL) {
        jobs->first = job->next;
        jobs->count--;
    }
    return job;
}

struct kv_evidence_subject;
struct kv_token;
struct kv_token_ops {
    void (*close)(struct kv_token *token);
    enum kv_code (*generate)(struct kv_token *token, const char *label, enum kv_token_key_type type,
                             struct kv_token_key *out, struct kv_err *err);
    enum kv_code (*find)(struct kv_token *token, const char *label, struct kv_token_key *out,
                         struct kv_err *err);
    enum kv_code (*sign)(struct kv_token *token, uint64_t handle, enum kv_token_mechanism mechanism,
                         const struct kv_hash *digest, uint8_t *sig, size_t *len,
                         struct kv_err *err);
    /* NULL: one after another */
    struct kv_token_job *(*take)(struct kv_token *token, bool wait);
    int (*done_fd)(const struct kv_token *token);
    /* NULL: this kind of token proves nothing */
    enum kv_code (*certify)(struct kv_token *token, uint64_t handle,
                            const struct kv_evidence_subject *subject, struct kv_buf *out,
                            struct kv_err *err);
    enum kv_code (*random)(struct kv_token *token, uint8_t *out, size_t len, struct kv_err *err);
    enum kv_code (*destroy)(struct kv_token *token, const char *label, struct kv_err *err);
    enum kv_code (*count)(struct kv_token *token, size_t *count, struct kv_err *err);
    enum kv_code (*destroy_prefix)(struct kv_token *token, const char *prefix, size_t *count,
                                   struct kv_err *err);
    enum kv_code (*rung)(struct kv_token *token, enum kv_token_rung *out, struct kv_err *err);
    enum kv_code (*wrap)(struct kv_token *token, const char *label, enum kv_token_rung rung,
                         struct kv_bytes aad, const struct kv_secret *plain, struct kv_buf *out,
                         struct kv_err *err);
    enum kv_code (*unwrap)(struct kv_token *token, const char *label, enum kv_token_rung rung,
                           struct kv_bytes aad, struct kv_bytes wrapped, struct kv_secret **out,
                           struct kv_err *err);
};

/* The first member of each kind's own struct. */
struct kv_token {
    const struct kv_token_ops *ops;
    struct kv_token_info info;
    struct kv_token_jobs waiting; /* not begun yet */
    struct kv_err failure;        /* the token's own, met by a job; code KV_OK: none */
};

/* Log out and free; NULL is fine. */
static inline void kv_token_close(struct kv_token *token)
{
    if (token != NULL) {
        token->ops->close(token);
    }
}

static inline void kv_token_closep(struct kv_token **token)
{
    kv_token_close(*token);
    *token = NULL;
}

/* Borrowed until the token is closed. */
static inline const struct kv_token_info *kv_token_info(const struct kv_token *token)
{
    return &token->info;
}

/* Make a key pair that signs and does nothing else, sensitive and not extractable; one that the
 * token made otherwise is destroyed again. The public half that an earlier generation, cut short,
 * left behind is replaced. Errors: KV_E_TOKEN_KEY_EXISTS, KV_E_TOKEN_MECHANISM, KV_E_TOKEN…,
 * KV_E_LIMIT (no label). */
KV_MUST_USE static inline enum kv_code kv_token_generate(struct kv_token *token, const char *label,
                                                         enum kv_token_key_type type,
                                                         struct kv_token_key *out,
                                                         struct kv_err *err)
{
    return token->ops->generate(token, label, type, out, err);
}

/* Errors: KV_E_TOKEN_KEY_MISSING; KV_E_TOKEN_KEY_WEAK if the private key is extractable or not
 * sensitive; KV_E_TOKEN if there are two, or the private key does not belong to the public one. */
KV_MUST_USE static inline enum kv_code kv_token_find(struct kv_token *token, const char *label,
                                                     struct kv_token_key *out, struct kv_err *err)
{
    return token->ops->find(token, label, out, err);
}

/* Sign with the key of `handle`. *len: room in `sig` (KV_TOKEN_SIG_MAX is always enough), then the
 * length of the signature. */
KV_MUST_USE static inline enum kv_code kv_token_sign(struct kv_token *token, uint64_t handle,
                                                     enum kv_token_mechanism mechanism,
                                                     const struct kv_hash *digest, uint8_t *sig,
                                                     size_t *len, struct kv_err *err)
{
    return token->ops->sign(token, handle, mechanism, digest, sig, len, err);
}

/* Such a failure is the token's, not the job's: it is not asked for the others in vain, each of
 * which may take its deadline. */
static inline bool kv_token_failing(enum kv_code code)
{
    return code == KV_E_TOKEN || code == KV_E_TOKEN_ABSENT || code == KV_E_TOKEN_MODULE;
}

/* Sign now, unless the token failed before. */
static inline void kv_token_do(struct kv_token *token, struct kv_token_job *job)
{
    if (token->failure.code != KV_OK) {
        job->err = token->failure;
        job->code = job->err.code;
        return;
    }
    job->len = sizeof job->sig;
    job->code = kv_token_sign(token, job->handle, job->mechanism, &job->digest, job->sig, &job->len,
                              &job->err);
    if (kv_token_failing(job->code)) {
        token->failure = job->err;
    }
}

/* The next job that waits, done; NULL if none does. */
static inline struct kv_token_job *kv_token_take_in_turn(struct kv_token *token)
{
    struct kv_token_job *job = kv_token_jobs_take(&token->waiting);
    if (job != NULL) {
        kv_token_do(token, job);
    } else {
        token->failure.code = KV_OK; /* who comes later asks anew */
    }
    return job;
}

/* Many signatures, several at a time where that pays. Jobs are begun, and come back done, in any
 * order. After one that fails for the token's sake (kv_token_failing) those not signed yet fail
 * like it. */
static inline void kv_token_begin(struct kv_token *token, struct kv_token_job *job)
{
    kv_token_jobs_put(&token->waiting, job);
}

/* A job that is done. NULL if none is: with `wait`, because there are no more; without it there may
 * be some under way, which kv_token_done_fd will tell of. */
static inline struct kv_token_job *kv_token_take(struct kv_token *token, bool wait)
{
    return token->ops->take == NULL ? kv_token_take_in_turn(token) : token->ops->take(token, wait);
}

/* An eventfd, readable when jobs under way were done, to be read by who watches it; borrowed until
 * the token is closed. -1 as long as none was ever under way. */
static inline int kv_token_done_fd(const struct kv_token *token)
{
    return token->ops->done_fd == NULL ? -1 : token->ops->done_fd(token);
}

/* Append the evidence (core/evidence.h) that the key of `handle` was made in this token and cannot
 * leave it, for this subject; nothing if the token has none to give. */
KV_MUST_USE static inline enum kv_code kv_token_certify(struct kv_token *token, uint64_t handle,
                                                        const struct kv_evidence_subject *subject,
                                                        struct kv_buf *out, struct kv_err *err)
{
    return token->ops->certify == NULL ? KV_OK
                                       : token->ops->certify(token, handle, subject, out, err);
}

KV_MUST_USE static inline enum kv_code kv_token_random(struct kv_token *token, uint8_t *out,
                                                       size_t len, struct kv_err *err)
{
    return token->ops->random(token, out, len, err);
}

/* Destroy both halves. Errors: KV_E_TOKEN_KEY_MISSING. */
KV_MUST_USE static inline enum kv_code kv_token_destroy(struct kv_token *token, const char *label,
                                                        struct kv_err *err)
{
    return token->ops->destroy(token, label, err);
}

/* How many private keys lie in the token, whoever made them. */
KV_MUST_USE static inline enum kv_code kv_token_count(struct kv_token *token, size_t *count,
                                                      struct kv_err *err)
{
    return token->ops->count(token, count, err);
}

/* Destroy all keys of the token whose label begins with `prefix`. *count: objects destroyed. */
KV_MUST_USE static inline enum kv_code kv_token_destroy_prefix(struct kv_token *token,
                                                               const char *prefix, size_t *count,
                                                               struct kv_err *err)
{
    return token->ops->destroy_prefix(token, prefix, count, err);
}

/* The best rung that the token has. Errors: KV_E_TOKEN_MECHANISM if none. */
KV_MUST_USE static inline enum kv_code
kv_token_best_rung(struct kv_token *token, enum kv_token_rung *out, struct kv_err *err)
{
    return token->ops->rung(token, out, err);
}

/* Append `plain`, wrapped under the token's wrapping key `label` (made at its first use, and good
 * for nothing else) and bound to `aad`. Errors: KV_E_TOKEN_MECHANISM (not a rung of this kind),
 * KV_E_TOKEN…, KV_E_TOKEN_KEY_WEAK. */
KV_MUST_USE static inline enum kv_code kv_token_wrap(struct kv_token *token, const char *label,
                                                     enum kv_token_rung rung, struct kv_bytes aad,
                                                     const struct kv_secret *plain,
                                                     struct kv_buf *out, struct kv_err *err)
{
    return token->ops->wrap(token, label, rung, aad, plain, out, err);
}

/* *out is owned by the caller. Errors: KV_E_TOKEN_WRAPPED (changed, or bound to something else),
 * KV_E_TOKEN_KEY_MISSING, KV_E_TOKEN…. */
KV_MUST_USE static inline enum kv_code kv_token_unwrap(struct kv_token *token, const char *label,
                                                       enum kv_token_rung rung, struct kv_bytes aad,
                                                       struct kv_bytes wrapped,
                                                       struct kv_secret **out, struct kv_err *err)
{
    return token->ops->unwrap(token, label, rung, aad, wrapped, out, err);
}

#endif
