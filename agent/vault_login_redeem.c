/* The end of a login: KSeF redeems it, its refresh token is kept in the slot, and the session takes
 * the callers. */
#include "agent/vault_login.h"

#include "core/log.h"

#define KEEPER_TIMEOUT_MS 20000
#define KV_TOGETHER_MAX   256 /* callers who get their leases in one go */

static struct vault_session_start start_of(struct login *login)
{
    struct vault_session_start start = {.who = &login->who,
                                        .ctx = login->ctx,
                                        .via = login->via,
                                        .reference = login->reference,
                                        .access = login->access,
                                        .refresh = login->refresh,
                                        .access_until = login->access_until,
                                        .refresh_until = login->refresh_until};
    login->access = login->refresh = NULL; /* handed over */
    return start;
}

/* The session takes the tokens and the callers who still wait. */
static void hand_over(struct login *login)
{
    struct call *calls[KV_TOGETHER_MAX], *call;
    size_t count = 0;
    struct vault_session_start start = start_of(login);
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
    login_free(login);
}

/* A session that a crash would leave open is not begun: it is ended at once. Only where the token
 * cannot wrap at all there is none without that. */
static void on_kept(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_err err;
    if (login_outcome(login, KV_OUT_OK, KV_OK, login->redeemed_http, 0, &err) != KV_OK) {
        vault_fatal(login->v, &err);
    }
    if (answer->code == KV_E_TOKEN_MECHANISM) { /* this token can keep nothing: known, and told */
        kv_log(KV_LOG_WARNING, "session-not-kept", "slot=%s detail=\"%s\"", login->who.slot,
               answer->detail);
    }
    if (answer->code == KV_OK || answer->code == KV_E_TOKEN_MECHANISM) {
        hand_over(login);
        return;
    }
    struct vault_session_start start = start_of(login);
    start.unwanted = true;
    vault_session_begin(login->v, &start, NULL, 0);
    login_fail(login, answer->code, answer->detail, 1);
}

/* The refresh token is kept in the slot before anybody has a lease: who starts after a crash ends
 * the session with it. */
static void keep(struct login *login)
{
    struct keeper *keeper = vault_keeper(login->v, login->who.slot);
    struct kv_err err;
    struct kv_buf body;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    vault_add_binding(&body, login->who.terms, login->who.credential, login->reference);
    kv_message_octets(&body, "secret", kv_secret_bytes(login->refresh));
    enum kv_code code =
        keeper == NULL || !keeper->ready
            ? KV_REFUSE(&err, KV_E_TOKEN_ABSENT, "the slot went away meanwhile")
            : kv_channel_ask(keeper->channel, KV_FRAME_END_KEEP, kv_buf_bytes(&body), -1,
                             KEEPER_TIMEOUT_MS, on_kept, login, &err);
    kv_wipe(body.data, body.cap);
    kv_buf_clear(&body);
    if (code != KV_OK) {
        struct kv_answer_frame failed = {code, err.msg, KV_BYTES_NULL};
        on_kept(login, &failed);
    }
}

static void on_redeemed(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (!login_good_answer(login, answer, field)) {
        return;
    }
    if (field[F_ACCESS].value.len == 0 || field[F_REFRESH].value.len == 0 ||
        kv_secret_from(field[F_ACCESS].value, &login->access, &err) != KV_OK ||
        kv_secret_from(field[F_REFRESH].value, &login->refresh, &err) != KV_OK) {
        login_end_badly(login, KV_OUT_UNKNOWN, KV_E_KSEF_ANSWER, "no tokens in the answer", 0, 0,
                        0);
        return;
    }
    login->access_until = (int64_t)field[F_ACCESS_UNTIL].number;
    login->refresh_until = (int64_t)field[F_REFRESH_UNTIL].number;
    login->redeemed_http = (int64_t)field[F_HTTP].number;
    keep(login);
}

static void redeem(void *ctx, enum kv_code code, const char *detail)
{
    struct login *login = ctx;
    struct kv_buf body;
    (void)code;
    (void)detail;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_message_octets(&body, "token", kv_secret_bytes(login->token));
    login_ask(login, KV_FRAME_KSEF_REDEEM, &body, on_redeemed);
}

void login_redeem(struct login *login)
{
    struct kv_err err;
    login->stage = LOGIN_REDEEMS;
    if (login_intent(login, KV_OP_SESSION_OPEN, NULL, &err) != KV_OK) {
        login_fail(login, err.code, err.msg, 1);
        return;
    }
    vault_after_flush(login->v, redeem, login);
}
