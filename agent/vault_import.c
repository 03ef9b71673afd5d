/* KSeF tokens from outside. The token arrives sealed to a key of the keeper's process: here it is
 * passed on unread. The keeper wraps it, KSeF is asked once whether it takes it, and only then it
 * becomes a credential; a token that KSeF refuses is removed again. */
#include "agent/vault.h"

#include "core/log.h"
#include "core/seal.h"

#include <stdlib.h>

#define KEEPER_TIMEOUT_MS 20000

void vault_add_binding(struct kv_buf *body, const struct kv_statement *terms,
                       const char *credential, const char *reference)
{
    kv_message_str(body, "credential", credential);
    kv_message_str(body, "reference", reference);
    kv_message_text(body, "environment", kv_statement_get(terms, KV_KEY_ENVIRONMENT));
    kv_message_text(body, "contexts", kv_statement_get(terms, KV_KEY_CONTEXTS));
}

struct import {
    struct import *next;
    struct vault *v;
    struct call *call; /* not after its answer */
    const struct kv_request *request;
    char credential[KV_ID_LEN], slot[KV_ID_LEN], context[KV_CONTEXT_LEN];
    char custody[16], rung[8];
    uint64_t seq;
};

static void add_terms(const struct import *import, struct kv_buf *body)
{
    char reference[KV_REF_LEN];
    kv_statement_copy(import->request->text, KV_KEY_KSEF_REF, reference, sizeof reference);
    vault_add_binding(body, import->request->text, import->credential, reference);
}

/* The request that waits for this token, and its slot. */
static enum kv_code wanted(const struct call *call, const struct kv_request **request,
                           struct keeper **keeper, struct kv_err *err)
{
    struct vault *v = call->vault;
    struct kv_moment moment = vault_moment(v);
    const struct kv_request *r = kv_state_token_wanted(v->state, call->field[0].value, &moment);
    char slot[KV_ID_LEN];
    if (kv_state_credential(v->state, call->field[0].value) != NULL) {
        return KV_REFUSE(err, KV_E_REQ_EXISTS, "the credential has its token or key already");
    }
    for (const struct import *other = v->imports; other != NULL; other = other->next) {
        if (kv_bytes_is(call->field[0].value, other->credential)) {
            return KV_REFUSE(err, KV_E_BUSY,
                             "a token is being brought in under that name: KSeF is being asked");
        }
    }
    if (r == NULL) {
        return KV_REFUSE(err, KV_E_NOT_FOUND,
                         "no approved import of a token waits under that name; first: `ksefvault "
                         "credential import --help`, and two approvals");
    }
    if (!kv_bytes_is(kv_statement_get(r->text, KV_KEY_ENVIRONMENT), v->environment)) {
        return KV_REFUSE(err, KV_E_NOT_ALLOWED,
                         "the request is for another KSeF environment than this agent's, %s",
                         v->environment);
    }
    kv_statement_copy(r->text, KV_KEY_SLOT, slot, sizeof slot);
    struct keeper *k = vault_keeper(v, slot);
    if (k == NULL || !k->ready) {
        return KV_REFUSE(err, k == NULL ? KV_E_TOKEN_ABSENT : k->code, "slot %s: %.100s", slot,
                         k == NULL ? "not configured" : k->detail);
    }
    *request = r;
    *keeper = k;
    return vault_may_give(v, err);
}

static void on_point(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"point", KV_FIELD_OCTETS, KV_SEAL_POINT_LEN, true, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct call *call = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    struct kv_buf fields;
    char text[KV_BASE64_LEN(KV_SEAL_POINT_LEN)];
    if (answer->code != KV_OK) {
        vault_refuse(call, answer->code, answer->detail);
        return;
    }
    if (kv_message_read(answer->fields, specs, field, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        return;
    }
    kv_base64_encode(field[0].value, text);
    kv_buf_init(&fields, 512);
    kv_message_str(&fields, "vault", call->vault->name);
    kv_message_text(&fields, "credential", call->field[0].value);
    kv_message_str(&fields, "point", text);
    vault_reply(call, &fields);
}

void vault_call_import_point(struct call *call)
{
    const struct kv_request *request = NULL;
    struct keeper *keeper = NULL;
    struct kv_err err;
    if (wanted(call, &request, &keeper, &err) != KV_OK ||
        kv_channel_ask(keeper->channel, KV_FRAME_TOKEN_POINT, KV_BYTES_NULL, -1, KEEPER_TIMEOUT_MS,
                       on_point, call, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
    }
}

static void ignore(void *ctx, const struct kv_answer_frame *answer)
{
    (void)ctx;
    if (answer->code != KV_OK) {
        kv_log(KV_LOG_WARNING, "import-drop", "code=%s detail=\"%s\"", kv_code_word(answer->code),
               answer->detail);
    }
}

static void drop_token(const struct import *import)
{
    const struct keeper *keeper = vault_keeper(import->v, import->slot);
    struct kv_err err;
    struct kv_buf body;
    kv_buf_init(&body, 2048);
    add_terms(import, &body);
    if (keeper != NULL && keeper->channel != NULL &&
        kv_channel_ask(keeper->channel, KV_FRAME_TOKEN_DROP, kv_buf_bytes(&body), -1,
                       KEEPER_TIMEOUT_MS, ignore, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_WARNING, "import-drop", &err);
    }
    kv_buf_clear(&body);
}

static void end_import(struct import *import)
{
    struct import **at = &import->v->imports;
    while (*at != import) {
        at = &(*at)->next;
    }
    *at = import->next;
    free(import);
}

static void end_badly(struct import *import, enum kv_code code, const char *detail)
{
    drop_token(import);
    vault_refuse(import->call, code, detail);
    end_import(import);
}

static void on_active(void *ctx, enum kv_code code, const char *detail)
{
    struct import *import = ctx;
    struct kv_buf fields;
    if (code != KV_OK) { /* recorded, only not covered yet: it stands */
        vault_refuse(import->call, code, detail);
    } else {
        kv_buf_init(&fields, 1024);
        kv_message_str(&fields, "credential", import->credential);
        kv_message_str(&fields, "rung", import->rung);
        kv_message_number(&fields, "record", import->seq);
        kv_message_str(&fields, "next",
                       "KSeF took the token. Remove it wherever else it lies, then request grants "
                       "for it (operations auth.token,session.open).");
        vault_reply(import->call, &fields);
    }
    end_import(import);
}

static enum kv_code record(struct import *import, struct kv_err *err)
{
    struct vault *v = import->v;
    struct kv_record *rec = kv_record_new(KV_EV_CRED_IMPORT);
    kv_record_set(rec, KV_RK_REQ, import->request->id);
    kv_record_set(rec, KV_RK_CRED, import->credential);
    kv_record_info_map_str(rec, "custody", import->slot, import->custody);
    kv_record_info_str(rec, "rung", import->rung);
    if (vault_record(v, rec, NULL, NULL, err) != KV_OK) {
        return err->code;
    }
    rec = kv_record_new(KV_EV_CRED_ACTIVATE);
    kv_record_set(rec, KV_RK_REQ, import->request->id);
    kv_record_set(rec, KV_RK_CRED, import->credential);
    return vault_record(v, rec, NULL, &import->seq, err);
}

static void on_proven(void *ctx, enum kv_code code, const char *detail)
{
    struct import *import = ctx;
    struct kv_err err;
    if (code != KV_OK) {
        end_badly(import, code, detail);
    } else if (record(import, &err) != KV_OK) {
        end_badly(import, err.code, err.msg);
    } else {
        vault_after_cover(import->v, import->seq, on_active, import);
    }
}

static void on_wrapped(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {{"custody", KV_FIELD_STRING, 15, true, NULL},
                                                 {"rung", KV_FIELD_STRING, 7, true, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};
    struct import *import = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (answer->code != KV_OK) {
        vault_refuse(import->call, answer->code, answer->detail);
        end_import(import);
        return;
    }
    if (kv_message_read(answer->fields, specs, field, &err) != KV_OK) {
        end_badly(import, err.code, err.msg);
        return;
    }
    bool fits = kv_field_copy(&field[0], import->custody, sizeof import->custody) &&
                kv_field_copy(&field[1], import->rung, sizeof import->rung);
    assert(fits); /* the table's limits */
    vault_prove_token(import->v, import->request, import->context, on_proven, import);
}

static bool octets(const struct kv_field *field, struct kv_buf *body, const char *name)
{
    uint8_t bytes[512];
    size_t len = 0;
    if (!kv_base64_decode(field->value, bytes, sizeof bytes, &len)) {
        return false;
    }
    kv_message_octets(body, name, kv_bytes(bytes, len));
    return true;
}

void vault_call_import(struct call *call)
{
    const struct kv_request *request = NULL;
    struct keeper *keeper = NULL;
    struct kv_err err;
    struct kv_buf body;
    if (wanted(call, &request, &keeper, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        return;
    }
    struct import *import = calloc(1, sizeof *import);
    if (import == NULL) {
        abort();
    }
    import->next = call->vault->imports;
    call->vault->imports = import;
    import->v = call->vault;
    import->call = call;
    import->request = request;
    kv_statement_copy(request->text, KV_KEY_CREDENTIAL, import->credential,
                      sizeof import->credential);
    kv_statement_copy(request->text, KV_KEY_SLOT, import->slot, sizeof import->slot);
    kv_statement_copy(request->text, KV_KEY_CONTEXTS, import->context, sizeof import->context);
    kv_buf_init(&body, 4096);
    add_terms(import, &body);
    enum kv_code code = KV_OK;
    if (!octets(&call->field[1], &body, "point") || !octets(&call->field[2], &body, "sealed")) {
        code = KV_REFUSE(&err, KV_E_INPUT_VALUE, "point and sealed are base64");
    } else {
        code = kv_channel_ask(keeper->channel, KV_FRAME_TOKEN_IMPORT, kv_buf_bytes(&body), -1,
                              KEEPER_TIMEOUT_MS, on_wrapped, import, &err);
    }
    kv_buf_clear(&body);
    if (code != KV_OK) {
        vault_refuse(call, code, err.msg);
        end_import(import);
    }
}
