/* The API's calls: read against their table, access, repetition, dispatch. */
#include "agent/vault.h"

#include "core/log.h"
#include "core/secret.h"

#include <stdlib.h>

/* Those without a key lie in the first. */
static struct call_bucket *bucket(const struct call *call)
{
    return &call->vault->calls[call->key.b[0] % CALL_BUCKETS];
}

static void answer(struct call *call, enum kv_code code, const char *detail, struct kv_bytes fields)
{
    if (call->gate != NULL) {
        kv_channel_reply(call->gate, call->request, code, detail, fields);
    }
    LIST_REMOVE(call, of_bucket);
    kv_buf_clear(&call->args);
    free(call);
}

static struct call *follower_of(const struct call *call)
{
    struct call *at = LIST_FIRST(bucket(call));
    while (at != NULL && at->leader != call) {
        at = LIST_NEXT(at, of_bucket);
    }
    return at;
}

static void end(struct call *call, enum kv_code code, const char *detail, struct kv_bytes fields)
{
    struct call *follower;
    vault_memory_keep(call->vault->memory, call, code, detail, fields);
    while (call->followed && (follower = follower_of(call)) != NULL) {
        answer(follower, code, detail, fields);
    }
    answer(call, code, detail, fields);
}

void vault_reply(struct call *call, struct kv_buf *fields)
{
    if (fields->failed) {
        end(call, KV_E_INPUT_TOO_LARGE, "the answer is too large; ask for less", KV_BYTES_NULL);
    } else {
        end(call, KV_OK, "", kv_buf_bytes(fields));
    }
    if (fields->data != NULL) {
        kv_wipe(fields->data, fields->cap);
    }
    kv_buf_clear(fields);
}

void vault_refuse(struct call *call, enum kv_code code, const char *detail)
{
    end(call, code, detail, KV_BYTES_NULL);
}

void vault_refuse_more(struct call *call, enum kv_code code, const char *detail,
                       struct kv_buf *fields)
{
    end(call, code, detail, kv_buf_bytes(fields));
    kv_buf_clear(fields);
}

void vault_refuse_retry(struct call *call, enum kv_code code, const char *detail,
                        uint32_t retry_after)
{
    struct kv_buf more;
    kv_buf_init(&more, 256);
    if (retry_after > 0) {
        kv_message_number(&more, "retryAfter", retry_after);
    }
    vault_refuse_more(call, code, detail, &more);
}

void vault_calls_gate_gone(struct vault *v)
{
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        struct call *call;
        LIST_FOREACH(call, &v->calls[i], of_bucket)
        {
            call->gate = NULL; /* they end in their own time; nobody hears the answer */
            call->client = NULL;
        }
    }
}

void vault_calls_client_gone(struct vault *v, const struct client *client)
{
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        struct call *call;
        LIST_FOREACH(call, &v->calls[i], of_bucket)
        {
            call->client = call->client == client ? NULL : call->client;
        }
    }
}

void vault_calls_clear(struct vault *v, enum kv_code code, const char *detail)
{
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        struct call *call;
        while ((call = LIST_FIRST(&v->calls[i])) != NULL) {
            vault_refuse(call->leader != NULL ? call->leader : call, code, detail);
        }
    }
}

bool vault_is_reader(struct vault *v, const struct call *call)
{
    return call->uid == 0 || kv_state_reader(v->state, call->uid);
}

static enum kv_code access_allowed(struct call *call, struct kv_err *err)
{
    struct vault *v = call->vault;
    switch (kv_call_row(call->call)->access) {
    case KV_ACCESS_ANYONE:
    case KV_ACCESS_INTEGRATION: return KV_OK;
    case KV_ACCESS_READER:
        if (vault_is_reader(v, call) || call->call == KV_CALL_RECORD) {
            return KV_OK; /* an integration sees its own records: judged per record */
        }
        return KV_REFUSE(err, KV_E_NOT_ALLOWED,
                         "uid %u is neither root nor the local account of an enrolled person",
                         call->uid);
    case KV_ACCESS_ROOT:
        if (call->uid == 0) {
            return KV_OK;
        }
        return KV_REFUSE(err, KV_E_NOT_ALLOWED, "only root on this host may do this, not uid %u",
                         call->uid);
    }
    return KV_REFUSE(err, KV_E_INTERNAL, "access");
}

static enum kv_code serving(const struct call *call, struct kv_err *err)
{
    const struct vault *v = call->vault;
    char text[KV_READING_LEN];
    bool always = call->call == KV_CALL_STATUS || call->call == KV_CALL_HEALTH ||
                  call->call == KV_CALL_SLOT_UNLOCK; /* these look at no record */
    if (v->held.code != KV_OK && !always) {
        *err = v->held;
        return err->code;
    }
    if (v->log == NULL && !always) {
        vault_reading(v, text);
        return KV_REFUSE(err, KV_E_STARTING, "%s", text);
    }
    if (kv_call_row(call->call)->unfounded) {
        return KV_OK;
    }
    const struct kv_log_status *status = kv_log_status(v->log);
    switch (status->state) {
    case KV_LOG_DAMAGED:
        return KV_REFUSE(err, KV_E_LEDGER_SAFE, "record %llu (%s): %.100s",
                         (unsigned long long)status->bad_seq, status->bad_place, status->bad_what);
    case KV_LOG_NEWER:
        return KV_REFUSE(err, KV_E_LEDGER_NEWER, "record %llu was written by a newer version",
                         (unsigned long long)status->bad_seq);
    case KV_LOG_EMPTY: return KV_REFUSE(err, KV_E_UNFOUNDED, "this vault has not been founded");
    case KV_LOG_GOOD: break;
    }
    return v->started ? KV_OK : KV_REFUSE(err, KV_E_STARTING, "the vault is starting");
}

static void call_slot_unlock(struct call *call);

static call_fn *const handlers[KV_CALL_COUNT] = {
    [KV_CALL_STATUS] = vault_call_view,         [KV_CALL_HEALTH] = vault_call_view,
    [KV_CALL_FOUNDING] = vault_call_founding,   [KV_CALL_SESSION_OPEN] = vault_call_session_open,
    [KV_CALL_SESSIONS] = vault_call_view,       [KV_CALL_SESSION_CLOSE] = vault_call_session_close,
    [KV_CALL_OFFLINE_CODES] = vault_call_codes, [KV_CALL_SUBMIT] = vault_call_submit,
    [KV_CALL_REQUESTS] = vault_call_view,       [KV_CALL_REQUEST] = vault_call_view,
    [KV_CALL_STATEMENT] = vault_call_view,      [KV_CALL_PERSONS] = vault_call_view,
    [KV_CALL_QUORUM] = vault_call_view,         [KV_CALL_CREDENTIALS] = vault_call_view,
    [KV_CALL_SELF_SIGN] = vault_call_self_sign, [KV_CALL_IMPORT_POINT] = vault_call_import_point,
    [KV_CALL_IMPORT] = vault_call_import,       [KV_CALL_INTEGRATIONS] = vault_call_view,
    [KV_CALL_GRANTS] = vault_call_view,         [KV_CALL_POLICY] = vault_call_view,
    [KV_CALL_EXPLAIN] = vault_call_view,        [KV_CALL_RECORDS] = vault_call_view,
    [KV_CALL_RECORD] = vault_call_view,         [KV_CALL_EXPORT] = vault_call_export,
    [KV_CALL_VERIFIED] = vault_call_verified,   [KV_CALL_SLOT_UNLOCK] = call_slot_unlock,
};

/* What an integration got is repeated only to who may have it now: while the grant stands, and to
 * the program that was approved. */
static bool still_entitled(const struct call *call)
{
    struct vault *v = call->vault;
    struct kv_answer answer;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    char context[KV_CONTEXT_LEN];
    if (kv_call_row(call->call)->access != KV_ACCESS_INTEGRATION) {
        return true;
    }
    if (!v->started ||
        kv_message_read(kv_buf_bytes(&call->args), kv_call_row(call->call)->args, field, &err) !=
            KV_OK ||
        !kv_field_copy(&field[0], context, sizeof context)) {
        return false;
    }
    struct kv_caller caller = vault_caller(call->client);
    struct kv_moment moment = vault_moment(v);
    enum kv_op op = call->call == KV_CALL_OFFLINE_CODES ? KV_OP_QR_KOD2 : KV_OP_SESSION_OPEN;
    kv_state_question(v->state, &caller, op, context, &moment, &answer);
    return answer.code == KV_OK || answer.code == KV_E_GRANT_RATE;
}

/* What was answered is still so: a lease that has ended is not given again. */
static bool still_true(const struct call *call, const struct vault_memory_answer *kept)
{
    struct kv_cursor cur = kv_cursor(kept->fields);
    struct kv_field session;
    if (kept->code != KV_OK) {
        return true;
    }
    return still_entitled(call) &&
           (call->call != KV_CALL_SESSION_OPEN ||
            (kv_message_next(&cur, &session) && vault_session_leased(call->vault, session.value)));
}

/* True if the call was answered from memory, or is refused because its key was used for another. */
static bool repeated(struct call *call)
{
    struct vault_memory_answer kept;
    if (!vault_memory_find(call->vault->memory, call, &kept) ||
        (kept.same && !still_true(call, &kept))) {
        return false; /* as any call: if it was revoked meanwhile, refused and recorded */
    }
    if (kept.same) {
        answer(call, kept.code, kept.detail, kept.fields);
    } else {
        answer(call, KV_E_IDEMPOTENCY, "this Idempotency-Key was used for another request",
               KV_BYTES_NULL);
    }
    return true;
}

/* True if the same key is under way already: this call gets that one's answer, so that two who come
 * at the same moment do one thing. */
static bool joined(struct call *call)
{
    struct call *at = call->has_key ? LIST_NEXT(call, of_bucket) : NULL;
    while (at != NULL && (at->leader != NULL || !kv_hash_equal(&at->key, &call->key))) {
        at = LIST_NEXT(at, of_bucket);
    }
    if (at == NULL || !still_entitled(call)) {
        return false;
    }
    if (!kv_hash_equal(&at->args_hash, &call->args_hash)) {
        answer(call, KV_E_IDEMPOTENCY, "this Idempotency-Key is under way for another request",
               KV_BYTES_NULL);
        return true;
    }
    call->leader = at;
    at->followed = true;
    return true;
}

static void dispatch(struct call *call)
{
    struct kv_err err;
    if (repeated(call) || joined(call)) {
        return;
    }
    if (kv_message_read(kv_buf_bytes(&call->args), kv_call_row(call->call)->args, call->field,
                        &err) != KV_OK ||
        serving(call, &err) != KV_OK || access_allowed(call, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        return;
    }
    handlers[call->call](call);
}

static struct kv_hash key_of(const struct call *call, struct kv_bytes idempotency)
{
    uint8_t who[8] = {(uint8_t)(call->uid >> 24 & 0xff),
                      (uint8_t)(call->uid >> 16 & 0xff),
                      (uint8_t)(call->uid >> 8 & 0xff),
                      (uint8_t)(call->uid & 0xff),
                      (uint8_t)((unsigned)call->call >> 8 & 0xff),
                      (uint8_t)((unsigned)call->call & 0xff)};
    return kv_hash3(kv_bytes(who, sizeof who), idempotency, KV_BYTES_NULL);
}

void vault_on_call(struct vault *v, struct kv_channel *gate, const struct kv_frame *frame)
{
    struct kv_cursor cur = kv_cursor(frame->body);
    uint64_t connection = kv_cursor_u64(&cur);
    uint16_t number = kv_cursor_u16(&cur);
    uint16_t wait_s = kv_cursor_u16(&cur);
    struct kv_bytes key = kv_cursor_take(&cur, kv_cursor_u8(&cur));
    struct client *client = vault_client(v, connection);
    if (cur.failed || number >= KV_CALL_COUNT || key.len >= KV_IDEMPOTENCY_LEN || client == NULL ||
        wait_s > KV_WAIT_MAX_S) {
        kv_channel_reply(gate, frame->request, KV_E_PROTOCOL, "malformed call", KV_BYTES_NULL);
        return;
    }
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        abort();
    }
    *call = (struct call){.vault = v,
                          .gate = gate,
                          .request = frame->request,
                          .connection = connection,
                          .call = (enum kv_call)number,
                          .deadline_ms = kv_loop_clock_ms() + wait_s * INT64_C(1000),
                          .client = client,
                          .uid = client->uid,
                          .has_key = key.len > 0};
    if (call->has_key) {
        call->key = key_of(call, key);
    }
    kv_buf_init(&call->args, KV_FRAME_BODY_MAX);
    kv_buf_add(&call->args, cur.ptr, cur.left);
    call->args_hash = kv_hash(kv_buf_bytes(&call->args));
    LIST_INSERT_HEAD(bucket(call), call, of_bucket);
    dispatch(call);
}

static void on_unlocked(void *ctx, const struct kv_answer_frame *answer)
{
    struct call *call = ctx;
    struct kv_buf fields;
    if (answer->code != KV_OK) {
        vault_refuse(call, answer->code, answer->detail);
        return;
    }
    kv_buf_init(&fields, 256);
    kv_message_str(
        &fields, "next",
        "Unless it is ready, the slot logs in once more; `ksefvault status` shows the result.");
    vault_reply(call, &fields);
}

static void call_slot_unlock(struct call *call)
{
    struct kv_err err;
    struct kv_buf body;
    kv_buf_init(&body, 128);
    kv_message_text(&body, "slot", call->field[0].value);
    if (kv_channel_ask(call->vault->supervisor, KV_FRAME_SLOT_UNLOCK, kv_buf_bytes(&body), -1, 5000,
                       on_unlocked, call, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
    }
    kv_buf_clear(&body);
}
