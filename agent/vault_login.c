/* A KSeF login, by certificate or by token, from challenge to access token:
 *
 *   decide → challenge → proof (keeper) → use.intent auth.* → POST → poll → use.outcome
 *          → use.intent session.open → redeem → use.outcome → keep the refresh token
 *          → a session (vault_session.c)
 *
 * Each arrow behind an intent or outcome waits until that record is durable. Callers of the same
 * grant and context who come meanwhile join the login that is under way, and later its session.
 * When KSeF limits the rate, the login waits as long as its callers do. */
#include "agent/vault_login.h"

#include "core/log.h"
#include "core/parse.h"
#include "core/secret.h"
#include "core/time.h"

#include <stdlib.h>

#define POLL_FIRST_MS    250
#define POLL_MAX_MS      3000
#define POLL_TOTAL_MS    120000 /* KSeF decides at once as a rule; after this it is an error */
#define REF_MAX          63
#define SECRETS_OF_LOGIN (3 * 16384) /* its three tokens, as long as they may be */

bool login_by_token(const struct login *login)
{
    return login->who.kind == KV_CRED_TOKEN;
}

void login_free(struct login *login)
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
    vault_ministry_drop(v, login);
    if (v->courier != NULL) {
        kv_channel_forget(v->courier, login);
    }
    const struct keeper *keeper = vault_keeper(v, login->who.slot);
    if (keeper != NULL && keeper->channel != NULL) {
        kv_channel_forget(keeper->channel, login);
    }
    kv_timer_free(login->timer);
    kv_secret_free(login->token);
    kv_secret_free(login->access);
    kv_secret_free(login->refresh);
    kv_buf_clear(&login->document);
    free(login);
}

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

enum kv_code login_intent(struct login *login, enum kv_op op, const struct kv_hash *dig,
                          struct kv_err *err)
{
    struct kv_record *rec = kv_record_new(KV_EV_USE_INTENT);
    if (login->proven == NULL) {
        kv_record_set_who(rec, KV_WHO_INTEGRATION, login->who.integration, login->via);
    } /* else the agent itself */
    kv_record_set(rec, KV_RK_GRANT, login->grant);
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

enum kv_code login_outcome(struct login *login, enum kv_out out, enum kv_code why, int64_t http,
                           int64_t ksef, struct kv_err *err)
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
    struct login *login = failure->login;
    waiters_refuse(&login->waiters, failure->code, failure->detail, failure->retry_after);
    if (login->proven != NULL) {
        login->proven(login->proven_ctx, failure->code, failure->detail);
    }
    login_free(login);
    free(failure);
}

void login_end_badly(struct login *login, enum kv_out out, enum kv_code code, const char *detail,
                     uint32_t retry_after, int64_t http, int64_t ksef)
{
    struct kv_err err;
    kv_timer_disarm(login->timer);
    kv_log(KV_LOG_WARNING, "login-failed", "grant=%s code=%s detail=\"%s\"", login->grant,
           kv_code_word(code), detail);
    if (login->intent_open && login_outcome(login, out, code, http, ksef, &err) != KV_OK) {
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

void login_fail(struct login *login, enum kv_code code, const char *detail, uint32_t retry_after)
{
    login_end_badly(login, KV_OUT_ERROR, code, detail, retry_after, 0, 0);
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

void vault_note_ksef(struct vault *v, enum kv_code code, const char *detail)
{
    bool reached = code != KV_E_KSEF_UNREACHABLE && code != KV_E_KSEF_TLS &&
                   code != KV_E_KSEF_PROXY && code != KV_E_TIMEOUT;
    if (reached) {
        v->ksef_code =
            code == KV_E_STARTING ? v->ksef_code : KV_OK; /* a courier's end says nothing */
        return;
    }
    size_t len = strlen(detail);
    len = len < sizeof v->ksef_detail ? len : sizeof v->ksef_detail - 1;
    memcpy(v->ksef_detail, detail, len);
    v->ksef_detail[len] = '\0';
    v->ksef_since_ms = v->ksef_code == KV_OK ? vault_now(v) : v->ksef_since_ms;
    v->ksef_code = code;
}

/* KSeF refused the call that an intent stands for, and it will be made anew. */
static void outcome_of_refusal(struct login *login, enum kv_code code,
                               const struct kv_field field[static KV_FIELDS_MAX])
{
    struct kv_err err;
    if (login->intent_open &&
        login_outcome(login, KV_OUT_ERROR, code, (int64_t)field[F_HTTP].number,
                      (int64_t)field[F_KSEF].number, &err) != KV_OK) {
        vault_fatal(login->v, &err); /* an intent must have its outcome */
    }
}

/* Over KSeF's limit: wait as long as it says, if somebody waits that long. What was posted already
 * is asked for again; what was not begins anew, since challenges are for one use. */
static bool try_later(struct login *login, const struct kv_field field[static KV_FIELDS_MAX])
{
    int64_t wait = (int64_t)field[F_RETRY].number * KV_SECOND_MS;
    int64_t now = kv_loop_clock_ms();
    if (wait == 0 || now + wait >= waiters_last_deadline(&login->waiters)) {
        return false;
    }
    kv_log(KV_LOG_WARNING, "rate-limited", "grant=%s wait_s=%llu", login->grant,
           (unsigned long long)field[F_RETRY].number);
    if (login->stage != LOGIN_POLLS) {
        outcome_of_refusal(login, KV_E_KSEF_RATE, field);
    }
    kv_timer_arm(login->timer, wait);
    return true;
}

bool login_good_answer(struct login *login, const struct kv_answer_frame *answer,
                       struct kv_field field[static KV_FIELDS_MAX])
{
    struct kv_err err;
    vault_note_ksef(login->v, answer->code, answer->detail);
    if (kv_message_read(answer->fields, courier_specs, field, &err) != KV_OK) {
        login_end_badly(login, KV_OUT_UNKNOWN, KV_E_PROTOCOL, err.msg, 0, 0, 0);
        return false;
    }
    if (answer->code == KV_OK) {
        return true;
    }
    if (answer->code == KV_E_KSEF_RATE && try_later(login, field)) {
        return false;
    }
    if (answer->code == KV_E_KSEF_KEY && !login->key_refused && login_by_token(login)) {
        login->key_refused = true; /* KSeF API 2.0, 21470: fetch its keys anew, once */
        vault_ministry_forget(login->v);
        outcome_of_refusal(login, answer->code, field);
        login_begin(login);
        return false;
    }
    /* Did KSeF see it? The courier says so; when the courier itself is gone, nobody knows. */
    bool lost = answer->code == KV_E_STARTING || answer->code == KV_E_TIMEOUT;
    bool unknown = field[F_HTTP].type == 0 && field[F_KSEF].type == 0 &&
                   (field[F_SENT].number != 0 || (lost && field[F_SENT].type == 0));
    login_end_badly(login, unknown ? KV_OUT_UNKNOWN : KV_OUT_ERROR, answer->code, answer->detail,
                    (uint32_t)field[F_RETRY].number, (int64_t)field[F_HTTP].number,
                    (int64_t)field[F_KSEF].number);
    return false;
}

void login_ask(struct login *login, enum kv_frame_op op, struct kv_buf *body,
               kv_channel_answer_fn *fn)
{
    struct kv_err err;
    if (vault_ask_courier(login->v, op, kv_buf_bytes(body), fn, login, &err) != KV_OK) {
        bool passes = kv_code_row(err.code)->retry == KV_RETRY_AFTER;
        login_fail(login, err.code, err.msg, passes ? 1 : 0);
    }
    if (body->data != NULL) {
        kv_wipe(body->data, body->cap);
    }
    kv_buf_clear(body);
}

/* ---- poll until KSeF has decided ---- */

static void on_proven(void *ctx, enum kv_code code, const char *detail)
{
    struct login *login = ctx;
    login->proven(login->proven_ctx, code, detail);
    login_free(login);
}

static void on_status(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (answer->code == KV_E_KSEF_BUSY) {
        login->poll_ms = login->poll_ms * 2 > POLL_MAX_MS ? POLL_MAX_MS : login->poll_ms * 2;
        if (kv_loop_clock_ms() > login->poll_until) {
            login_end_badly(login, KV_OUT_UNKNOWN, KV_E_KSEF_BUSY,
                            "KSeF has not decided in two minutes", 60, 0, 100);
        } else {
            kv_timer_arm(login->timer, login->poll_ms);
        }
        return;
    }
    if (!login_good_answer(login, answer, field)) {
        return;
    }
    if (login_outcome(login, KV_OUT_OK, KV_OK, (int64_t)field[F_HTTP].number,
                      (int64_t)field[F_KSEF].number, &err) != KV_OK) {
        vault_fatal(login->v, &err);
    }
    if (login->proven != NULL) {
        vault_after_flush(login->v, on_proven, login); /* nobody redeems it: there is no session */
    } else {
        login_redeem(login);
    }
}

static void poll_status(struct login *login)
{
    struct kv_buf body;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_message_str(&body, "reference", login->reference);
    kv_message_octets(&body, "token", kv_secret_bytes(login->token));
    login_ask(login, KV_FRAME_KSEF_STATUS, &body, on_status);
}

void login_posted(struct login *login)
{
    login->stage = LOGIN_POLLS;
    login->poll_ms = POLL_FIRST_MS;
    login->poll_until = kv_loop_clock_ms() + POLL_TOTAL_MS;
    poll_status(login);
}

static void on_timer(void *ctx)
{
    struct login *login = ctx;
    switch (login->stage) {
    case LOGIN_PROVES: login_begin(login); break;
    case LOGIN_POLLS: poll_status(login); break;
    case LOGIN_REDEEMS: login_redeem(login); break;
    }
}

/* ---- who wants one ---- */

static struct login *new_login(struct vault *v, const struct entitlement *who, const char *grant,
                               const char *ctx)
{
    struct login *login = calloc(1, sizeof *login);
    if (login == NULL) {
        abort();
    }
    *login = (struct login){.next = v->logins, .v = v, .who = *who};
    memcpy(login->grant, grant, sizeof login->grant);
    memcpy(login->ctx, ctx, strlen(ctx) + 1);
    kv_buf_init(&login->document, 32768);
    login->timer = kv_timer_new(v->loop, on_timer, login);
    waiters_init(&login->waiters, v->loop, "the login at KSeF goes on", 2);
    v->logins = login;
    return login;
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
    if (!kv_secret_room(SECRETS_OF_LOGIN)) { /* now, not when KSeF has opened a session */
        vault_refuse(call, KV_E_NO_MEMORY, "so many sessions live that there is no locked memory");
        return;
    }
    login = new_login(v, &who, who.grant, ctx);
    vault_client_via(call->client, true, login->via);
    waiters_add(&login->waiters, call);
    login_begin(login);
}

void vault_prove_token(struct vault *v, const struct kv_request *request, const char *ctx,
                       vault_proven_fn *fn, void *fn_ctx)
{
    struct entitlement who = {.kind = KV_CRED_TOKEN, .terms = request->text};
    kv_statement_copy(request->text, KV_KEY_CREDENTIAL, who.credential, sizeof who.credential);
    kv_statement_copy(request->text, KV_KEY_SLOT, who.slot, sizeof who.slot);
    struct login *login = new_login(v, &who, request->id, ctx);
    login->proven = fn;
    login->proven_ctx = fn_ctx;
    login_begin(login);
}

void vault_logins_clear(struct vault *v)
{
    while (v->logins != NULL) {
        struct login *login = v->logins;
        waiters_refuse(&login->waiters, KV_E_STARTING, "the agent stops", 0);
        if (login->proven != NULL) {
            login->proven(login->proven_ctx, KV_E_STARTING, "the agent stops");
        }
        login_free(login);
    }
}
