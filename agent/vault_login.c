/* A KSeF login by certificate, from challenge to access token:
 *
 *   decide → challenge → sign (keeper) → use.intent auth.xades → POST → poll → use.outcome
 *          → use.intent session.open → redeem → use.outcome → a session (vault_session.c)
 *
 * Each arrow behind an intent or outcome waits until that record is durable. Callers of the same
 * grant and context who come meanwhile join the login that is under way, and later its session. */
#include "agent/vault_wait.h"

#include "core/log.h"
#include "core/parse.h"
#include "core/secret.h"
#include "core/time.h"

#include <stdlib.h>

#define COURIER_TIMEOUT_MS 30000
#define KEEPER_TIMEOUT_MS  20000
#define POLL_FIRST_MS      250
#define POLL_MAX_MS        3000
#define POLL_TOTAL_MS      120000 /* KSeF decides certificates at once; after this it is an error */
#define BACKDATE_MS        60000  /* SigningTime: KSeF's clock may be behind ours */
#define REF_MAX            63
#define KV_TOGETHER_MAX    256 /* callers who get their leases in one go */

struct login {
    struct login *next;
    struct vault *v;
    struct entitlement who;
    char ctx[KV_CONTEXT_LEN];
    char via[KV_VIA_LEN];
    struct waiters waiters;
    struct kv_timer *timer; /* of the next poll */
    int64_t poll_ms, poll_until;
    struct kv_buf document;
    char challenge[KV_REF_LEN];
    bool has_offset;
    int64_t offset_ms; /* KSeF's clock minus ours */
    char reference[KV_REF_LEN];
    struct kv_secret *token; /* authentication token */
    struct kv_secret *access;
    int64_t access_until, refresh_until;
    uint64_t intent; /* seq of the open one */
    bool intent_open;
};

static void free_login(struct login *login)
{
    struct vault *v = login->v;
    for (struct login **at = &v->logins; *at != NULL; at = &(*at)->next) {
        if (*at == login) {
            *at = login->next;
            break;
        }
    }
    waiters_clear(&login->waiters);
    vault_drop_effects(v, login);
    if (v->courier != NULL) {
        kv_channel_forget(v->courier, login);
    }
    kv_timer_free(login->timer);
    kv_secret_free(login->token);
    kv_secret_free(login->access);
    kv_buf_clear(&login->document);
    free(login);
}

/* A failure before or after the intent: the intent gets its outcome, the callers their refusal. */
static void fail(struct login *login, enum kv_code code, const char *detail, uint32_t retry_after);

static void put_ksef(const struct login *login, struct kv_record *rec, int64_t http, int64_t ksef)
{
    struct kv_record_ksef *k = &rec->ksef;
    memcpy(k->auth_ref, login->reference, sizeof k->auth_ref);
    k->has_http = http > 0;
    k->http = http;
    k->has_code = ksef > 0;
    k->code = ksef;
    k->has_off = login->has_offset;
    k->off_ms = login->offset_ms;
    if (k->auth_ref[0] != '\0' || k->has_http || k->has_code || k->has_off) {
        rec->has |= UINT32_C(1) << KV_RK_KSEF;
    }
}

static enum kv_code record_intent(struct login *login, enum kv_op op, const struct kv_hash *dig,
                                  struct kv_err *err)
{
    struct kv_record *rec = kv_record_new(KV_EV_USE_INTENT);
    kv_record_set_who(rec, KV_WHO_INTEGRATION, login->who.integration, login->via);
    kv_record_set(rec, KV_RK_GRANT, login->who.grant);
    kv_record_set(rec, KV_RK_CRED, login->who.credential);
    kv_record_set(rec, KV_RK_CTX, login->ctx);
    kv_record_set_op(rec, op);
    if (dig != NULL) {
        kv_record_set_dig(rec, dig);
    } else {
        memcpy(rec->ksef.auth_ref, login->reference, sizeof rec->ksef.auth_ref);
        rec->has |= UINT32_C(1) << KV_RK_KSEF;
    }
    enum kv_code code = vault_record(login->v, rec, NULL, &login->intent, err);
    login->intent_open = code == KV_OK;
    return code;
}

static enum kv_code record_outcome(struct login *login, enum kv_out out, enum kv_code why,
                                   int64_t http, int64_t ksef, struct kv_err *err)
{
    struct kv_record *rec = kv_record_new(KV_EV_USE_OUTCOME);
    kv_record_set_of(rec, login->intent);
    kv_record_set_out(rec, out);
    put_ksef(login, rec, http, ksef);
    if (out == KV_OUT_ERROR) {
        kv_record_set(rec, KV_RK_ERR, kv_code_word(why));
    }
    if (login->access_until != 0) {
        char text[KV_TIME_S_LEN];
        kv_time_format_s(login->access_until, text);
        kv_record_info_str(rec, "access", text);
        kv_time_format_s(login->refresh_until, text);
        kv_record_info_str(rec, "refresh", text);
    }
    login->intent_open = false;
    return vault_record(login->v, rec, NULL, NULL, err);
}

struct failure {
    struct login *login;
    enum kv_code code;
    char detail[192];
    uint32_t retry_after;
};

static void on_failure_durable(void *ctx, enum kv_code code, const char *detail)
{
    struct failure *failure = ctx;
    (void)code;
    (void)detail; /* the flush itself cannot fail without ending us */
    waiters_refuse(&failure->login->waiters, failure->code, failure->detail, failure->retry_after);
    free_login(failure->login);
    free(failure);
}

static void end_badly(struct login *login, enum kv_out out, enum kv_code code, const char *detail,
                      uint32_t retry_after, int64_t http, int64_t ksef)
{
    struct kv_err err;
    kv_timer_disarm(login->timer);
    kv_log(KV_LOG_WARNING, "login-failed", "grant=%s code=%s detail=\"%s\"", login->who.grant,
           kv_code_word(code), detail);
    if (login->intent_open && record_outcome(login, out, code, http, ksef, &err) != KV_OK) {
        vault_fatal(login->v, &err); /* an intent must have its outcome */
    }
    struct failure *failure = calloc(1, sizeof *failure);
    if (failure == NULL) {
        abort();
    }
    *failure = (struct failure){.login = login, .code = code, .retry_after = retry_after};
    size_t n = strlen(detail);
    memcpy(failure->detail, detail, n < sizeof failure->detail ? n : sizeof failure->detail - 1);
    login->who.grant[0] = '\0'; /* nobody joins it any more */
    vault_after_flush(login->v, on_failure_durable, failure);
}

static void fail(struct login *login, enum kv_code code, const char *detail, uint32_t retry_after)
{
    end_badly(login, KV_OUT_ERROR, code, detail, retry_after, 0, 0);
}

/* The fields that the courier adds to every answer. */
static const struct kv_field_spec courier_specs[] = {
    {"challenge", KV_FIELD_STRING, REF_MAX, false, NULL},
    {"timestamp", KV_FIELD_NUMBER, KV_NUMBER_MAX, false, NULL},
    {"client-ip", KV_FIELD_STRING, 63, false, NULL},
    {"http", KV_FIELD_NUMBER, 999, false, NULL},
    {"ksef-code", KV_FIELD_NUMBER, 999999, false, NULL},
    {"retry-after", KV_FIELD_NUMBER, 86400, false, NULL},
    {"reference", KV_FIELD_STRING, REF_MAX, false, NULL},
    {"token", KV_FIELD_OCTETS, 8192, false, NULL},
    {"until", KV_FIELD_NUMBER, KV_NUMBER_MAX, false, NULL},
    {"access", KV_FIELD_OCTETS, 8192, false, NULL},
    {"access-until", KV_FIELD_NUMBER, KV_NUMBER_MAX, false, NULL},
    {"refresh", KV_FIELD_OCTETS, 8192, false, NULL},
    {"refresh-until", KV_FIELD_NUMBER, KV_NUMBER_MAX, false, NULL},
    {"sent", KV_FIELD_BOOLEAN, 1, false, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};
enum {
    F_CHALLENGE,
    F_TIMESTAMP,
    F_CLIENT_IP,
    F_HTTP,
    F_KSEF,
    F_RETRY,
    F_REFERENCE,
    F_TOKEN,
    F_UNTIL,
    F_ACCESS,
    F_ACCESS_UNTIL,
    F_REFRESH,
    F_REFRESH_UNTIL,
    F_SENT
};

/* Read the courier's answer; a failure ends the login here. */
static bool good_answer(struct login *login, const struct kv_answer_frame *answer,
                        struct kv_field field[static KV_FIELDS_MAX])
{
    struct kv_err err;
    if (kv_message_read(answer->fields, courier_specs, field, &err) != KV_OK) {
        end_badly(login, KV_OUT_UNKNOWN, KV_E_PROTOCOL, err.msg, 0, 0, 0);
        return false;
    }
    if (answer->code == KV_OK) {
        return true;
    }
    /* Did KSeF see it? The courier says so; when the courier itself is gone, nobody knows. */
    bool lost = answer->code == KV_E_STARTING || answer->code == KV_E_TIMEOUT;
    bool unknown = field[F_HTTP].type == 0 && field[F_KSEF].type == 0 &&
                   (field[F_SENT].number != 0 || (lost && field[F_SENT].type == 0));
    end_badly(login, unknown ? KV_OUT_UNKNOWN : KV_OUT_ERROR, answer->code, answer->detail,
              (uint32_t)field[F_RETRY].number, (int64_t)field[F_HTTP].number,
              (int64_t)field[F_KSEF].number);
    return false;
}

static void ask_courier(struct login *login, enum kv_frame_op op, struct kv_buf *body,
                        kv_channel_answer_fn *fn)
{
    struct kv_err err;
    if (login->v->courier == NULL) {
        fail(login, KV_E_KSEF_UNREACHABLE, "the courier is being restarted", 1);
    } else if (kv_channel_ask(login->v->courier, op, kv_buf_bytes(body), -1, COURIER_TIMEOUT_MS, fn,
                              login, &err) != KV_OK) {
        fail(login, err.code, err.msg, 1);
    }
    if (body->data != NULL) {
        kv_wipe(body->data, body->cap);
    }
    kv_buf_clear(body);
}

/* ---- 6. redeemed: the session stands ---- */

/* The session takes the tokens and the callers who still wait. */
static void hand_over(struct login *login, struct kv_secret *refresh)
{
    struct call *calls[KV_TOGETHER_MAX], *call;
    size_t count = 0;
    struct vault_session_start start = {.who = &login->who,
                                        .ctx = login->ctx,
                                        .via = login->via,
                                        .reference = login->reference,
                                        .access = login->access,
                                        .refresh = refresh,
                                        .access_until = login->access_until,
                                        .refresh_until = login->refresh_until};
    login->access = NULL; /* handed over */
    while (count < KV_TOGETHER_MAX && (call = waiters_next(&login->waiters)) != NULL) {
        calls[count++] = call;
    }
    vault_session_begin(login->v, &start, calls, count);
    while ((call = waiters_next(&login->waiters)) !=
           NULL) { /* more than fit: as any who comes now */
        if (!vault_session_join(call, &login->who, login->ctx)) {
            vault_refuse_retry(call, KV_E_KSEF_BUSY, "the session was just opened: ask again", 1);
        }
    }
    free_login(login);
}

static void on_redeemed(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_secret *refresh = NULL;
    struct kv_err err;
    if (!good_answer(login, answer, field)) {
        return;
    }
    if (field[F_ACCESS].value.len == 0 || field[F_REFRESH].value.len == 0 ||
        kv_secret_from(field[F_ACCESS].value, &login->access, &err) != KV_OK ||
        kv_secret_from(field[F_REFRESH].value, &refresh, &err) != KV_OK) {
        end_badly(login, KV_OUT_UNKNOWN, KV_E_KSEF_ANSWER, "no tokens in the answer", 0, 0, 0);
        return;
    }
    login->access_until = (int64_t)field[F_ACCESS_UNTIL].number;
    login->refresh_until = (int64_t)field[F_REFRESH_UNTIL].number;
    if (record_outcome(login, KV_OUT_OK, KV_OK, (int64_t)field[F_HTTP].number, 0, &err) != KV_OK) {
        vault_fatal(login->v, &err);
    }
    hand_over(login, refresh);
}

static void redeem(void *ctx, enum kv_code code, const char *detail)
{
    struct login *login = ctx;
    struct kv_buf body;
    (void)code;
    (void)detail;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_message_octets(&body, "token", kv_secret_bytes(login->token));
    ask_courier(login, KV_FRAME_KSEF_REDEEM, &body, on_redeemed);
}

/* ---- 5. poll until KSeF has decided ---- */

static void poll_status(struct login *login);

static void on_status(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (answer->code == KV_E_KSEF_BUSY) {
        login->poll_ms = login->poll_ms * 2 > POLL_MAX_MS ? POLL_MAX_MS : login->poll_ms * 2;
        if (kv_loop_clock_ms() > login->poll_until) {
            end_badly(login, KV_OUT_UNKNOWN, KV_E_KSEF_BUSY, "KSeF has not decided in two minutes",
                      60, 0, 100);
        } else {
            kv_timer_arm(login->timer, login->poll_ms);
        }
        return;
    }
    if (!good_answer(login, answer, field)) {
        return;
    }
    if (record_outcome(login, KV_OUT_OK, KV_OK, (int64_t)field[F_HTTP].number,
                       (int64_t)field[F_KSEF].number, &err) != KV_OK) {
        vault_fatal(login->v, &err);
    }
    if (record_intent(login, KV_OP_SESSION_OPEN, NULL, &err) != KV_OK) {
        fail(login, err.code, err.msg, 1);
        return;
    }
    vault_after_flush(login->v, redeem, login);
}

static void poll_status(struct login *login)
{
    struct kv_buf body;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_message_str(&body, "reference", login->reference);
    kv_message_octets(&body, "token", kv_secret_bytes(login->token));
    ask_courier(login, KV_FRAME_KSEF_STATUS, &body, on_status);
}

static void on_timer(void *ctx)
{
    poll_status(ctx);
}

/* ---- 4. posted ---- */

static void on_posted(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (!good_answer(login, answer, field)) {
        return;
    }
    if (!kv_field_copy(&field[F_REFERENCE], login->reference, sizeof login->reference) ||
        field[F_TOKEN].value.len == 0 ||
        kv_secret_from(field[F_TOKEN].value, &login->token, &err) != KV_OK) {
        end_badly(login, KV_OUT_UNKNOWN, KV_E_KSEF_ANSWER, "no reference in the answer", 0, 0, 0);
        return;
    }
    login->poll_ms = POLL_FIRST_MS;
    login->poll_until = kv_loop_clock_ms() + POLL_TOTAL_MS;
    poll_status(login);
}

static void post(void *ctx, enum kv_code code, const char *detail)
{
    struct login *login = ctx;
    struct kv_buf body;
    (void)code;
    (void)detail;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_message_octets(&body, "document", kv_buf_bytes(&login->document));
    ask_courier(login, KV_FRAME_KSEF_LOGIN, &body, on_posted);
}

/* ---- 3. signed: the intent, then the POST ---- */

static void on_signed(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {{"document", KV_FIELD_OCTETS, 32768, true, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (answer->code != KV_OK) {
        fail(login, answer->code, answer->detail, 1);
        return;
    }
    if (kv_message_read(answer->fields, specs, field, &err) != KV_OK) {
        fail(login, err.code, err.msg, 0);
        return;
    }
    kv_buf_add_bytes(&login->document, field[0].value);
    struct kv_hash dig = kv_hash(kv_buf_bytes(&login->document));
    if (record_intent(login, KV_OP_AUTH_XADES, &dig, &err) != KV_OK) {
        fail(login, err.code, err.msg, 1);
        return;
    }
    vault_after_flush(login->v, post, login);
}

/* ---- 2. challenged: let the keeper build and sign the document ---- */

static void sign(struct login *login)
{
    struct vault *v = login->v;
    struct keeper *keeper = vault_keeper(v, login->who.slot);
    struct kv_err err;
    struct kv_buf body, certificate;
    char label[KV_LABEL_LEN];
    if (keeper == NULL || !keeper->ready) {
        fail(login, keeper == NULL ? KV_E_TOKEN_ABSENT : keeper->code,
             keeper == NULL ? "the credential's slot is not configured" : keeper->detail, 1);
        return;
    }
    vault_key_label(v, login->who.credential, label);
    kv_buf_init(&body, 16384);
    kv_buf_init(&certificate, KV_BLOB_MAX);
    enum kv_code code = kv_log_blob(v->log, &login->who.certificate, 0, &certificate, &err);
    kv_message_str(&body, "label", label);
    kv_message_str(&body, "challenge", login->challenge);
    kv_message_str(&body, "context", login->ctx);
    kv_message_number(&body, "time", (uint64_t)(vault_now(v) - BACKDATE_MS));
    kv_message_octets(&body, "certificate", kv_buf_bytes(&certificate));
    if (code == KV_OK) {
        code = kv_channel_ask(keeper->channel, KV_FRAME_SIGN_LOGIN, kv_buf_bytes(&body), -1,
                              KEEPER_TIMEOUT_MS, on_signed, login, &err);
    }
    kv_buf_clear(&certificate);
    kv_buf_clear(&body);
    if (code != KV_OK) {
        fail(login, code, err.msg, 1);
    }
}

static void on_challenge(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    if (!good_answer(login, answer, field)) {
        return;
    }
    if (!kv_field_copy(&field[F_CHALLENGE], login->challenge, sizeof login->challenge) ||
        login->challenge[0] == '\0') {
        fail(login, KV_E_KSEF_ANSWER, "no challenge in the answer", 1);
        return;
    }
    login->has_offset = field[F_TIMESTAMP].type != 0;
    login->offset_ms = (int64_t)field[F_TIMESTAMP].number - kv_time_now_ms();
    sign(login);
}

static struct login *find(struct vault *v, const struct entitlement *who, const char *ctx)
{
    for (struct login *l = v->logins; l != NULL; l = l->next) {
        if (strcmp(l->who.grant, who->grant) == 0 && strcmp(l->ctx, ctx) == 0 &&
            strcmp(l->who.integration, who->integration) == 0) {
            return l;
        }
    }
    return NULL;
}

void vault_call_session_open(struct call *call)
{
    struct vault *v = call->vault;
    struct entitlement who;
    char ctx[KV_CONTEXT_LEN];
    struct kv_err err;
    bool fits = kv_field_copy(&call->field[0], ctx, sizeof ctx);
    if (!fits || kv_context_parse(call->field[0].value, NULL, &err) != KV_OK) {
        vault_refuse(call, fits ? err.code : KV_E_INPUT_VALUE, fits ? err.msg : "context");
        return;
    }
    if (!vault_entitled(call, KV_OP_SESSION_OPEN, ctx, &who)) {
        return; /* refused, recorded and answered */
    }
    if (vault_session_join(call, &who, ctx)) {
        return;
    }
    struct login *login = find(v, &who, ctx);
    if (login != NULL) {
        waiters_add(&login->waiters, call);
        return;
    }
    login = calloc(1, sizeof *login);
    if (login == NULL) {
        abort();
    }
    *login = (struct login){.next = v->logins, .v = v, .who = who};
    memcpy(login->ctx, ctx, sizeof login->ctx);
    vault_client_via(call->client, true, login->via);
    kv_buf_init(&login->document, 32768);
    login->timer = kv_timer_new(v->loop, on_timer, login);
    waiters_init(&login->waiters, v->loop, "the login at KSeF goes on", 2);
    v->logins = login;
    waiters_add(&login->waiters, call);
    struct kv_buf body;
    kv_buf_init(&body, 16);
    ask_courier(login, KV_FRAME_KSEF_CHALLENGE, &body, on_challenge);
}

void vault_logins_clear(struct vault *v)
{
    while (v->logins != NULL) {
        waiters_refuse(&v->logins->waiters, KV_E_STARTING, "the agent stops", 0);
        free_login(v->logins);
    }
}
