/* What became due: the agent's own records, keys to be made, certificates to be signed. */
#include "agent/vault.h"

#include "core/evidence.h"
#include "core/log.h"
#include "core/time.h"
#include "ksef/certificate.h"

#include <openssl/rand.h>
#include <stdlib.h>

#define KEY_TIMEOUT_MS   60000 /* an RSA key in a slow token */
#define SIGN_TIMEOUT_MS  20000
#define RETRY_MS         5000
#define CERT_BACKDATE_MS (61 * KV_MINUTE_MS) /* KSeF's clock may be behind */
#define CERT_DAYS        730

/* ---- records that follow from others ---- */

static bool policy_blob(struct vault *v, const struct kv_hash *hash, struct kv_buf *out)
{
    struct kv_err err;
    if (kv_log_blob(v->log, hash, 0, out, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "policy-text", &err);
        return false;
    }
    return true;
}

/* A policy whose list of ended grants is no longer true lapses instead. */
static bool write_due(struct vault *v, struct kv_record *rec, const struct kv_bytes *blob)
{
    struct kv_err err;
    KV_CLEANUP(kv_record_freep) struct kv_record *tried = kv_record_new(rec->ev);
    memcpy(tried->req, rec->req, sizeof tried->req);
    if (vault_record(v, rec, blob, NULL, &err) == KV_OK) {
        return true;
    }
    struct kv_record *lapse =
        err.code == KV_E_REQ_POLICY_TEXT ? kv_state_lapse(v->state, tried) : NULL;
    kv_log_err(KV_LOG_WARNING, "due", &err);
    return lapse != NULL && vault_record(v, lapse, NULL, NULL, &err) == KV_OK;
}

/* One due record; false when there is none or it could not be written. */
static bool write_one(struct vault *v, bool give)
{
    struct kv_due due;
    struct kv_buf policy;
    struct kv_moment moment = vault_moment(v);
    kv_state_due(v->state, &moment, give, &due);
    if (due.rec == NULL) {
        kv_buf_clear(&due.doc);
        return false;
    }
    struct kv_bytes blob = kv_buf_bytes(&due.doc);
    kv_buf_init(&policy, KV_BLOB_MAX);
    bool good = true;
    if (due.wants_policy) {
        good = policy_blob(v, &due.policy, &policy);
        blob = kv_buf_bytes(&policy);
        if (good) {
            kv_record_add_doc(due.rec, KV_DOC_POLICY, blob);
        }
    }
    if (!good) {
        kv_record_free(due.rec);
    } else {
        good = write_due(v, due.rec, &blob);
    }
    kv_buf_clear(&policy);
    kv_buf_clear(&due.doc);
    return good;
}

/* ---- keys of new credentials ---- */

struct work {
    struct work *next;
    struct vault *v;
    char request[KV_ULID_LEN], credential[KV_ID_LEN], slot[KV_ID_LEN];
    bool busy; /* the keeper is asked */
};

static struct work *work_of(struct vault *v, const char *request)
{
    for (struct work *w = v->work; w != NULL; w = w->next) {
        if (strcmp(w->request, request) == 0) {
            return w;
        }
    }
    return NULL;
}

static void drop_work(struct work *work)
{
    for (struct work **at = &work->v->work; *at != NULL; at = &(*at)->next) {
        if (*at == work) {
            *at = work->next;
            break;
        }
    }
    free(work);
}

static void add_attrs(struct kv_record *rec, struct kv_bytes message)
{
    struct kv_cursor cur = kv_cursor(message);
    struct kv_field field;
    while (kv_message_next(&cur, &field)) {
        char name[32];
        struct kv_field as_name = {.value = field.name};
        if (field.type == KV_FIELD_BOOLEAN && kv_field_copy(&as_name, name, sizeof name)) {
            kv_record_info_map_bool(rec, "attrs", name, field.number != 0);
        }
    }
}

static const struct kv_field_spec key_specs[] = {
    {"public-key", KV_FIELD_OCTETS, 600, true, NULL},
    {"custody", KV_FIELD_STRING, 15, true, NULL},
    {"custody-why", KV_FIELD_STRING, 127, true, NULL},
    {"model", KV_FIELD_STRING, 79, true, NULL},
    {"attrs", KV_FIELD_OBJECT, 0, true, NULL},
    {"evidence", KV_FIELD_OCTETS, KV_EVIDENCE_MAX, false, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

static void on_key(void *ctx, const struct kv_answer_frame *answer)
{
    struct work *work = ctx;
    struct vault *v = work->v;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    char custody[16];
    work->busy = false;
    if (answer->code != KV_OK) {
        kv_log(KV_LOG_ERROR, "key", "credential=%s code=%s detail=\"%s\"", work->credential,
               kv_code_word(answer->code), answer->detail);
        kv_timer_arm(v->due_timer, RETRY_MS);
        return;
    }
    if (kv_message_read(answer->fields, key_specs, field, &err) != KV_OK ||
        !kv_field_copy(&field[1], custody, sizeof custody)) {
        kv_log_err(KV_LOG_ERROR, "key", &err);
        return;
    }
    struct kv_record *rec = kv_record_new(KV_EV_CRED_CREATE);
    kv_record_set(rec, KV_RK_REQ, work->request);
    kv_record_set(rec, KV_RK_CRED, work->credential);
    kv_record_info_str(rec, "custody", custody);
    add_attrs(rec, field[4].value);
    const struct kv_bytes blobs[] = {field[0].value, field[5].value};
    kv_record_add_doc(rec, KV_DOC_PUBLIC_KEY, blobs[0]);
    if (field[5].type != 0) { /* it is judged with the record */
        kv_record_add_doc(rec, KV_DOC_EVIDENCE, blobs[1]);
    }
    if (vault_record(v, rec, blobs, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "key", &err);
        kv_timer_arm(v->due_timer, RETRY_MS);
        return;
    }
    drop_work(work);
}

/* One key at a time: the deadline is for one. */
static bool slot_is_busy(const struct vault *v, const char *slot)
{
    const struct work *w = v->work;
    while (w != NULL && !(w->busy && strcmp(w->slot, slot) == 0)) {
        w = w->next;
    }
    return w != NULL;
}

static void make_key(struct vault *v, const struct kv_request *r)
{
    struct kv_err err;
    struct kv_buf body;
    char label[KV_LABEL_LEN];
    struct work *work = work_of(v, r->id);
    if (work == NULL) {
        work = calloc(1, sizeof *work);
        if (work == NULL) {
            abort();
        }
        *work = (struct work){.next = v->work, .v = v};
        memcpy(work->request, r->id, sizeof work->request);
        kv_statement_copy(r->text, KV_KEY_CREDENTIAL, work->credential, sizeof work->credential);
        kv_statement_copy(r->text, KV_KEY_SLOT, work->slot, sizeof work->slot);
        v->work = work;
    }
    const struct keeper *keeper = vault_keeper(v, work->slot);
    if (slot_is_busy(v, work->slot) || keeper == NULL || !keeper->ready ||
        vault_custody_allows(v, work->slot, &err) != KV_OK) {
        return; /* asked again when the slot is there and good enough, or is done with another one
                 */
    }
    vault_key_label(v, work->credential, label);
    kv_buf_init(&body, 512);
    kv_message_str(&body, "label", label);
    kv_message_text(&body, "type", kv_statement_get(r->text, KV_KEY_KEY_TYPE));
    kv_message_bool(&body, "existing", true);
    kv_message_str(&body, "request", work->request);
    kv_message_str(&body, "credential", work->credential);
    work->busy = kv_channel_ask(keeper->channel, KV_FRAME_KEY_GENERATE, kv_buf_bytes(&body), -1,
                                KEY_TIMEOUT_MS, on_key, work, &err) == KV_OK;
    kv_buf_clear(&body);
}

void vault_work_keeper_gone(struct vault *v, const struct keeper *keeper)
{
    (void)keeper; /* open questions were answered when the channel went */
    kv_timer_arm(v->due_timer, RETRY_MS);
}

void vault_work_clear(struct vault *v)
{
    while (v->work != NULL) {
        for (size_t i = 0; i < v->keeper_count; i++) {
            if (v->keepers[i].channel != NULL) {
                kv_channel_forget(v->keepers[i].channel, v->work);
            }
        }
        drop_work(v->work);
    }
}

void vault_due_timer(void *vault)
{
    struct vault *v = vault;
    v->dirty = true; /* the turn's end looks what is due */
}

void vault_work_due(struct vault *v)
{
    struct kv_err err;
    struct kv_moment moment = vault_moment(v);
    if (!v->started) {
        return;
    }
    bool give = vault_may_give(v, &err) == KV_OK;
    for (int i = 0; i < 1000 && write_one(v, give); i++) {
    }
    const struct kv_request *r;
    for (size_t at = 0; give && (r = kv_state_key_wanted(v->state, &moment, &at)) != NULL;) {
        make_key(v, r); /* of each: one slot that is not there holds up no other */
    }
    int64_t next = kv_state_next_due_ms(v->state, moment.now_ms);
    if (next != KV_TIME_MAX) {
        int64_t left = next - moment.now_ms;
        kv_timer_arm(v->due_timer, left > KV_HOUR_MS ? KV_HOUR_MS : left);
    }
}

/* ---- certificates by a credential's own key ---- */

struct self_sign {
    struct call *call;
    bool offline;
    char credential[KV_ID_LEN], request[KV_ULID_LEN];
    uint64_t seq;
};

static void on_activated(void *ctx, enum kv_code code, const char *detail)
{
    struct self_sign *s = ctx;
    struct kv_buf fields;
    if (code != KV_OK) {
        vault_refuse(s->call, code, detail);
    } else {
        kv_buf_init(&fields, 1024);
        kv_message_str(&fields, "credential", s->credential);
        kv_message_number(&fields, "record", s->seq);
        kv_message_str(&fields, "next",
                       s->offline ? "The credential is active: request grants for it. KSeF itself "
                                    "knows only Offline certificates that it issued: these codes "
                                    "are for trying out."
                                  : "The credential is active: request grants for it.");
        vault_reply(s->call, &fields);
    }
    free(s);
}

static enum kv_code activate(struct vault *v, struct self_sign *s, struct kv_bytes der,
                             struct kv_err *err)
{
    static struct kv_certificate_info info; /* with its key: too much for the stack */
    char from[KV_TIME_S_LEN], to[KV_TIME_S_LEN];
    if (kv_certificate_inspect(der, &info, err) != KV_OK) {
        return err->code;
    }
    kv_time_format_s(info.not_before_ms, from);
    kv_time_format_s(info.not_after_ms, to);
    struct kv_record *rec = kv_record_new(KV_EV_CRED_ACTIVATE);
    kv_record_set(rec, KV_RK_REQ, s->request);
    kv_record_set(rec, KV_RK_CRED, s->credential);
    kv_record_info_str(rec, "from", from);
    kv_record_info_str(rec, "to", to);
    kv_record_info_bool(rec, "self", true);
    kv_record_add_doc(rec, KV_DOC_CERTIFICATE, der);
    return vault_record(v, rec, &der, &s->seq, err);
}

static void on_certificate(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"certificate", KV_FIELD_OCTETS, KV_CERTIFICATE_MAX, true, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct self_sign *s = ctx;
    struct vault *v = s->call->vault;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    enum kv_code code = answer->code;
    const char *detail = answer->detail;
    if (code == KV_OK) {
        code = kv_message_read(answer->fields, specs, field, &err);
        code = code != KV_OK ? code : activate(v, s, field[0].value, &err);
        detail = err.msg;
    }
    if (code != KV_OK) {
        vault_refuse(s->call, code, detail);
        free(s);
        return;
    }
    vault_after_cover(v, s->seq, on_activated, s);
}

enum { A_ID, A_SUBJECT, A_CN, A_O, A_NIP, A_GIVEN, A_SURNAME, A_DAYS };

static enum kv_code may_self_sign(const struct call *call, const struct kv_credential **out,
                                  struct kv_err *err)
{
    struct vault *v = call->vault;
    const struct kv_credential *c = kv_state_credential(v->state, call->field[A_ID].value);
    bool seal = kv_bytes_is(call->field[A_SUBJECT].value, "seal");
    if (c == NULL) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "there is no credential of that name");
    }
    if (c->active) {
        return KV_REFUSE(err, KV_E_REQ_EXISTS, "credential %s has its certificate already", c->id);
    }
    if (!seal && !kv_bytes_is(call->field[A_SUBJECT].value, "person")) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "subject is seal or person");
    }
    if (c->kind == KV_CRED_TOKEN) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "a token has no certificate");
    }
    if (strcmp(v->environment, "test") != 0 ||
        !kv_bytes_is(kv_statement_get(c->request->text, KV_KEY_ENVIRONMENT), "test")) {
        return KV_REFUSE(err, KV_E_NOT_ALLOWED,
                         "KSeF accepts self-signed certificates on TEST only");
    }
    const struct keeper *keeper = vault_keeper(v, c->slot);
    if (keeper == NULL || !keeper->ready) {
        return KV_REFUSE(err, keeper == NULL ? KV_E_TOKEN_ABSENT : keeper->code, "slot %s: %.100s",
                         c->slot, keeper == NULL ? "not configured" : keeper->detail);
    }
    *out = c;
    return vault_may_give(v, err);
}

void vault_call_self_sign(struct call *call)
{
    struct vault *v = call->vault;
    const struct kv_credential *c = NULL;
    struct kv_err err;
    struct kv_buf body;
    char label[KV_LABEL_LEN];
    uint8_t serial[KV_CERTIFICATE_SERIAL_LEN];
    if (may_self_sign(call, &c, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        return;
    }
    if (RAND_bytes(serial, sizeof serial) != 1) {
        vault_refuse(call, KV_E_INTERNAL, "no random numbers");
        return;
    }
    struct self_sign *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    s->call = call;
    s->offline = c->kind == KV_CRED_OFFLINE_CERTIFICATE;
    memcpy(s->credential, c->id, sizeof s->credential);
    memcpy(s->request, c->request->id, sizeof s->request);
    vault_key_label(v, c->id, label);
    int64_t from = vault_now(v) - CERT_BACKDATE_MS;
    uint64_t days = call->field[A_DAYS].type == 0 ? CERT_DAYS : call->field[A_DAYS].number;
    kv_buf_init(&body, 4096);
    kv_message_str(&body, "label", label);
    kv_message_text(&body, "subject", call->field[A_SUBJECT].value);
    kv_message_text(&body, "number", call->field[A_NIP].value);
    kv_message_text(&body, "common-name", call->field[A_CN].value);
    kv_message_text(&body, "organisation", call->field[A_O].value);
    kv_message_text(&body, "given-name", call->field[A_GIVEN].value);
    kv_message_text(&body, "surname", call->field[A_SURNAME].value);
    kv_message_octets(&body, "serial", kv_bytes(serial, sizeof serial));
    kv_message_number(&body, "from", (uint64_t)from);
    kv_message_number(&body, "to", (uint64_t)(from + (int64_t)days * KV_DAY_MS));
    kv_message_bool(&body, "offline", c->kind == KV_CRED_OFFLINE_CERTIFICATE);
    if (kv_channel_ask(vault_keeper(v, c->slot)->channel, KV_FRAME_SIGN_CERTIFICATE,
                       kv_buf_bytes(&body), -1, SIGN_TIMEOUT_MS, on_certificate, s,
                       &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        free(s);
    }
    kv_buf_clear(&body);
}
