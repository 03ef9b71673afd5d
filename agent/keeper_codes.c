/* QR codes: what a question asks for is given to the token at once, with what it has to sign
 * already (core/token.h, kv_token_begin); a question is answered when its last signature is there.
 */
#include "agent/keeper.h"

#include "core/log.h"
#include "ksef/certificate.h"
#include "ksef/qr.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define KV_CODE_KEYS_MAX 16 /* Offline certificates in use at once in one slot; the oldest goes */
#define JOBS_MAX         (2 * KV_CODES_MAX) /* begun; before more are, some are waited for */

/* An Offline certificate that codes are signed under, checked once and kept with its key. */
struct code_key {
    char label[KV_TOKEN_LABEL_LEN]; /* "": none */
    struct kv_hash certificate;
    char serial[KV_CERTIFICATE_SERIAL_HEX_LEN];
    uint64_t handle;
    enum kv_token_mechanism mechanism;
};

/* A question that is not answered yet. */
struct codes {
    uint32_t request;
    size_t count, left; /* jobs; not done */
    struct kv_token_job jobs[];
};

struct keeper_codes {
    struct code_key keys[KV_CODE_KEYS_MAX];
    size_t next_key;
    size_t jobs;            /* begun, and not done */
    struct kv_source *done; /* NULL: there was nothing to wait for yet */
};

static const struct kv_field_spec codes_specs[] = {
    {"label", KV_FIELD_STRING, KV_TOKEN_LABEL_LEN - 1, true, NULL},
    {"environment", KV_FIELD_STRING, 4, true, NULL},
    {"context", KV_FIELD_STRING, KV_CONTEXT_LEN - 1, true, NULL},
    {"seller", KV_FIELD_STRING, 10, true, NULL},
    {"certificate", KV_FIELD_OCTETS, KV_CERTIFICATE_MAX, true, NULL},
    {"invoices", KV_FIELD_OCTETS, KV_HASH_LEN *KV_CODES_MAX, true, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

/* Only an Offline certificate signs codes, and only with its own key. */
static enum kv_code admit_code_key(struct keeper *k, const char *label, struct kv_bytes der,
                                   struct code_key *out, struct kv_err *err)
{
    static struct kv_certificate_info info; /* with its key: too much for the stack */
    struct kv_token_key key;
    if (kv_certificate_inspect(der, &info, err) != KV_OK ||
        kv_token_find(k->token, label, &key, err) != KV_OK) {
        return err->code;
    }
    if (info.usage != KV_CERTIFICATE_OFFLINE) {
        return KV_REFUSE(err, KV_E_CRED_PURPOSE, "certificate %s is not for QR codes", info.serial);
    }
    if (!kv_bytes_equal(kv_bytes(info.spki, info.spki_len), kv_bytes(key.spki, key.spki_len))) {
        return KV_REFUSE(err, KV_E_CRED_STATE, "certificate %s belongs to another key",
                         info.serial);
    }
    *out = (struct code_key){.certificate = kv_hash(der),
                             .handle = key.handle,
                             .mechanism = key.type == KV_TOKEN_EC_P256 ? KV_TOKEN_ECDSA
                                                                       : KV_TOKEN_RSA_PSS_SHA256};
    memcpy(out->label, label, strlen(label) + 1);
    memcpy(out->serial, info.serial, sizeof out->serial);
    return KV_OK;
}

/* Checked once: thousands of codes are made under one certificate. */
static enum kv_code code_key(struct keeper *k, const char *label, struct kv_bytes der,
                             const struct code_key **out, struct kv_err *err)
{
    struct kv_hash hash = kv_hash(der);
    for (size_t i = 0; i < KV_CODE_KEYS_MAX; i++) {
        const struct code_key *known = &k->codes->keys[i];
        if (strcmp(known->label, label) == 0 && kv_hash_equal(&known->certificate, &hash)) {
            *out = known;
            return KV_OK;
        }
    }
    struct code_key fresh;
    if (admit_code_key(k, label, der, &fresh, err) != KV_OK) {
        return err->code;
    }
    struct code_key *place = &k->codes->keys[k->codes->next_key++ % KV_CODE_KEYS_MAX];
    *place = fresh;
    *out = place;
    return KV_OK;
}

/* The jobs of a question: one signature for each invoice, in their order. Owned by the caller. */
static enum kv_code read_codes(struct keeper *k, const struct kv_field *field, struct codes **out,
                               struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN];
    const struct code_key *key;
    struct kv_bytes invoices = field[5].value;
    if (field[0].type != KV_FIELD_STRING || !kv_field_copy(&field[0], label, sizeof label) ||
        invoices.len == 0 || invoices.len % KV_HASH_LEN != 0) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "label or invoices");
    }
    if (code_key(k, label, field[4].value, &key, err) != KV_OK) {
        return err->code;
    }
    struct kv_qr_issuer issuer = {.environment = field[1].value,
                                  .context = field[2].value,
                                  .seller = field[3].value,
                                  .serial = kv_bytes_str(key->serial)};
    KV_CLEANUP(kv_buf_clear) struct kv_buf front;
    kv_buf_init(&front, KV_QR_TEXT_MAX);
    if (kv_qr_front(&issuer, &front, err) != KV_OK) {
        return err->code;
    }
    size_t count = invoices.len / KV_HASH_LEN;
    struct codes *codes = calloc(1, sizeof *codes + count * sizeof codes->jobs[0]);
    if (codes == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for %zu codes", count);
    }
    codes->count = codes->left = count;
    for (size_t i = 0; i < count; i++) {
        struct kv_token_job *job = &codes->jobs[i];
        struct kv_hash invoice;
        memcpy(invoice.b, invoices.ptr + i * KV_HASH_LEN, sizeof invoice.b);
        job->owner = codes;
        job->handle = key->handle;
        job->mechanism = key->mechanism;
        job->digest = kv_qr_digest(kv_buf_bytes(&front), &invoice);
    }
    *out = codes;
    return KV_OK;
}

/* All signatures of one question, or why there are none. */
static void answer(struct keeper *k, const struct codes *codes)
{
    struct kv_buf signatures, out;
    kv_buf_init(&signatures, KV_CODES_MAX * KV_TOKEN_SIG_MAX);
    for (size_t i = 0; i < codes->count; i++) {
        const struct kv_token_job *job = &codes->jobs[i];
        if (job->code != KV_OK) {
            keeper_reply(k, KV_FRAME_SIGN_CODES, codes->request, NULL, &job->err);
            kv_buf_clear(&signatures);
            return;
        }
        kv_buf_add(&signatures, job->sig, job->len);
    }
    kv_buf_init(&out, KV_FRAME_BODY_MAX);
    kv_message_octets(&out, "signatures", kv_buf_bytes(&signatures));
    keeper_reply(k, KV_FRAME_SIGN_CODES, codes->request, &out, NULL);
    kv_buf_clear(&out);
    kv_buf_clear(&signatures);
}

/* Answer what is signed, or with `wait` what is asked, until no more than `left` jobs are left.
 * Returns the failure of the token's own among them, if there was one. */
static enum kv_code collect(struct keeper *k, size_t left, bool wait)
{
    enum kv_code failed = KV_OK;
    struct kv_token_job *job;
    /* with none left, until the token says so: then it forgets a failure */
    while ((left == 0 || k->codes->jobs > left) && (job = kv_token_take(k->token, wait)) != NULL) {
        struct codes *codes = job->owner;
        failed = kv_token_failing(job->code) ? job->code : failed;
        k->codes->jobs--;
        if (--codes->left == 0) {
            answer(k, codes);
            free(codes);
        }
    }
    return failed;
}

/* A token that fails tells it to all who wait. */
static void collect_or_end(struct keeper *k, size_t left, bool wait)
{
    enum kv_code failed = collect(k, left, wait);
    if (failed != KV_OK) {
        (void)collect(k, 0, true);
        keeper_give_up_if_gone(k, failed);
    }
}

/* What was signed is collected at the turn's end. */
static void on_done(void *ctx, uint32_t events)
{
    const struct keeper *k = ctx;
    uint64_t count;
    (void)events;
    if (read(kv_token_done_fd(k->token), &count, sizeof count) < 0) {
        kv_log(KV_LOG_DEBUG, "codes", "done=none"); /* collected before this was read */
    }
}

static void watch(struct keeper *k)
{
    struct kv_err err;
    int fd = kv_token_done_fd(k->token);
    if (k->codes->done == NULL && fd >= 0 &&
        kv_loop_watch(k->loop, fd, EPOLLIN, on_done, k, &k->codes->done, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "codes", &err);
        kv_loop_stop(k->loop); /* nothing would tell of what is signed */
    }
}

void keeper_codes_collect(void *keeper)
{
    struct keeper *k = keeper;
    if (k->codes == NULL) {
        return;
    }
    collect_or_end(k, 0, false);
    watch(k);
}

void keeper_codes_end(struct keeper *k)
{
    if (k->codes != NULL) {
        (void)collect(k, 0, true);
        kv_channel_flush(k->vault); /* the loop that would send them has ended */
        kv_loop_unwatch(&k->codes->done);
        free(k->codes);
    }
}

void keeper_codes_add(struct keeper *k, const struct kv_frame *frame)
{
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err = {.msg = ""};
    struct codes *codes = NULL;
    if (k->codes == NULL && (k->codes = calloc(1, sizeof *k->codes)) == NULL) {
        abort();
    }
    enum kv_code code = kv_message_read(frame->body, codes_specs, field, &err);
    code = code == KV_OK ? read_codes(k, field, &codes, &err) : code;
    if (code != KV_OK) {
        keeper_reply(k, frame->op, frame->request, NULL, &err);
        keeper_give_up_if_gone(k, code);
        return;
    }
    codes->request = frame->request;
    if (k->codes->jobs + codes->count > JOBS_MAX) {
        collect_or_end(k, JOBS_MAX - codes->count, true);
    }
    for (size_t i = 0; i < codes->count; i++) {
        kv_token_begin(k->token, &codes->jobs[i]);
    }
    k->codes->jobs += codes->count;
}
