/* QR codes: the questions of a turn are gathered, and all that they ask for is signed together
 * (core/token.h, kv_token_sign_all), each answered as soon as its last signature is there. */
#include "agent/keeper.h"

#include "core/log.h"
#include "ksef/certificate.h"
#include "ksef/qr.h"

#include <stdlib.h>

#define KV_CODE_KEYS_MAX 16 /* Offline certificates in use at once in one slot; the oldest goes */
/* Gathered; what is more is signed in the same turn, after them. */
#define JOBS_MAX (2 * KV_CODES_MAX)

/* An Offline certificate that codes are signed under, checked once and kept with its key. */
struct code_key {
    char label[KV_TOKEN_LABEL_LEN]; /* "": none */
    struct kv_hash certificate;
    char serial[KV_CERTIFICATE_SERIAL_HEX_LEN];
    uint64_t handle;
    enum kv_token_mechanism mechanism;
};

struct codes {
    uint32_t request;
    size_t count; /* of its jobs */
};

struct keeper_codes {
    struct code_key keys[KV_CODE_KEYS_MAX];
    size_t next_key;
    struct codes waiting[JOBS_MAX];
    size_t waiting_count;
    struct kv_token_job jobs[JOBS_MAX];
    size_t job_count;
    size_t answered, first; /* while they are signed: of `waiting`, and its first job */
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

/* The jobs of a question, after those that wait: one signature for each invoice, in their order. */
static enum kv_code gather(struct keeper *k, const struct kv_field *field, struct kv_err *err)
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
    for (size_t at = 0; at < invoices.len; at += KV_HASH_LEN) {
        struct kv_token_job *job = &k->codes->jobs[k->codes->job_count++];
        struct kv_hash invoice;
        memcpy(invoice.b, invoices.ptr + at, sizeof invoice.b);
        job->handle = key->handle;
        job->mechanism = key->mechanism;
        job->digest = kv_qr_digest(kv_buf_bytes(&front), &invoice);
    }
    return KV_OK;
}

/* All signatures of one question, or why there are none. */
static void answer(struct keeper *k, const struct codes *codes, const struct kv_token_job *jobs)
{
    struct kv_buf signatures, out;
    kv_buf_init(&signatures, KV_CODES_MAX * KV_TOKEN_SIG_MAX);
    for (size_t i = 0; i < codes->count; i++) {
        if (jobs[i].code != KV_OK) {
            keeper_reply(k, KV_FRAME_SIGN_CODES, codes->request, NULL, &jobs[i].err);
            kv_buf_clear(&signatures);
            return;
        }
        kv_buf_add(&signatures, jobs[i].sig, jobs[i].len);
    }
    kv_buf_init(&out, KV_FRAME_BODY_MAX);
    kv_message_octets(&out, "signatures", kv_buf_bytes(&signatures));
    keeper_reply(k, KV_FRAME_SIGN_CODES, codes->request, &out, NULL);
    kv_buf_clear(&out);
    kv_buf_clear(&signatures);
}

static void on_done(void *keeper, size_t number)
{
    struct keeper *k = keeper;
    struct keeper_codes *codes = k->codes;
    const struct codes *first = &codes->waiting[codes->answered];
    if (number + 1 == codes->first + first->count) {
        answer(k, first, &codes->jobs[codes->first]);
        codes->first += first->count;
        codes->answered++;
    }
}

void keeper_codes_sign(void *keeper)
{
    struct keeper *k = keeper;
    struct keeper_codes *codes = k->codes;
    if (codes == NULL || codes->job_count == 0) {
        return;
    }
    codes->answered = 0;
    codes->first = 0;
    kv_token_sign_all(k->token, codes->jobs, codes->job_count, on_done, k);
    enum kv_code failed = KV_OK;
    for (size_t i = 0; i < codes->job_count && failed == KV_OK; i++) {
        failed = kv_token_failing(codes->jobs[i].code) ? codes->jobs[i].code : KV_OK;
    }
    codes->job_count = 0;
    codes->waiting_count = 0;
    if (failed != KV_OK) {
        keeper_give_up_if_gone(k, failed);
    }
}

void keeper_codes_add(struct keeper *k, const struct kv_frame *frame)
{
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err = {.msg = ""};
    if (k->codes == NULL && (k->codes = calloc(1, sizeof *k->codes)) == NULL) {
        abort();
    }
    struct keeper_codes *codes = k->codes;
    if (codes->job_count + KV_CODES_MAX > JOBS_MAX) {
        keeper_codes_sign(k);
    }
    size_t before = codes->job_count;
    enum kv_code code = kv_message_read(frame->body, codes_specs, field, &err);
    code = code == KV_OK ? gather(k, field, &err) : code;
    if (code != KV_OK) {
        keeper_reply(k, frame->op, frame->request, NULL, &err);
        keeper_give_up_if_gone(k, code);
        return;
    }
    codes->waiting[codes->waiting_count++] =
        (struct codes){frame->request, codes->job_count - before};
}
