/* What is asked of KSeF about a session: a new access token; its end, and whether it is gone. */
#include "agent/vault_session.h"

#include "core/log.h"
#include "core/parse.h"
#include "core/time.h"

#define RETRY_FIRST_MS    2000
#define RETRY_MAX_MS      30000
#define KEEPER_TIMEOUT_MS 20000

#define KSEF_NO_SUCH_SESSION 21304 /* KSeF API 2.0, exception codes */

/* ---- ending it at KSeF ---- */

static struct kv_record *end_record(const struct session *s, enum kv_event ev)
{
    struct kv_record *rec = kv_record_new(ev);
    kv_record_set(rec, KV_RK_CRED, s->who.credential);
    kv_record_set(rec, KV_RK_CTX, s->ctx);
    memcpy(rec->ksef.auth_ref, s->reference, sizeof rec->ksef.auth_ref);
    rec->has |= UINT32_C(1) << KV_RK_KSEF;
    return rec;
}

static void write(struct session *s, struct kv_record *rec)
{
    struct kv_err err;
    if (vault_record(s->v, rec, NULL, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "session-end", &err);
    }
}

/* Gone at KSeF; and until when an access token that somebody has still works. */
static void record_end(struct session *s, int64_t http)
{
    static const char *const words[] = {[WHY_NONE] = "",
                                        [WHY_LAST_LEASE] = "last-lease",
                                        [WHY_GRANT_END] = "grant-end",
                                        [WHY_SUSPENDED] = "suspended",
                                        [WHY_ORPHAN] = "orphan"};
    char until[KV_TIME_S_LEN];
    struct kv_record *rec = end_record(s, KV_EV_KSEF_CLOSE);
    rec->ksef.has_http = http > 0;
    rec->ksef.http = http;
    kv_record_set_out(rec, KV_OUT_OK);
    kv_record_info_str(rec, "why", words[s->why]);
    write(s, rec);
    if (s->given_until > vault_now(s->v)) {
        rec = end_record(s, KV_EV_KSEF_RESIDUAL);
        kv_time_format_s(s->given_until, until);
        kv_record_info_str(rec, "until", until);
        write(s, rec);
    }
}

static void on_dropped(void *ctx, const struct kv_answer_frame *answer)
{
    (void)ctx;
    if (answer->code != KV_OK) { /* it opens nothing any more */
        kv_log(KV_LOG_WARNING, "session-drop", "code=%s detail=\"%s\"", kv_code_word(answer->code),
               answer->detail);
    }
}

static enum kv_code ask_keeper(const struct session *s, enum kv_frame_op op,
                               kv_channel_answer_fn *fn, void *ctx, struct kv_err *err)
{
    const struct keeper *keeper = vault_keeper(s->v, s->who.slot);
    struct kv_buf body;
    if (keeper == NULL || !keeper->ready) {
        return KV_REFUSE(err, keeper == NULL ? KV_E_TOKEN_ABSENT : keeper->code, "slot %s: %.100s",
                         s->who.slot, keeper == NULL ? "not configured" : keeper->detail);
    }
    kv_buf_init(&body, 2048);
    vault_add_binding(&body, s->who.terms, s->who.credential, s->reference);
    enum kv_code code = kv_channel_ask(keeper->channel, op, kv_buf_bytes(&body), -1,
                                       KEEPER_TIMEOUT_MS, fn, ctx, err);
    kv_buf_clear(&body);
    return code;
}

/* Gone: written down, the kept refresh token dropped. */
static void ended(struct session *s, int64_t http)
{
    struct kv_err err;
    record_end(s, http);
    if (ask_keeper(s, KV_FRAME_END_DROP, on_dropped, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_WARNING, "session-drop", &err);
    }
    session_free(s);
}

static void end_again(struct session *s, enum kv_code code, const char *detail)
{
    kv_log(KV_LOG_WARNING, "session-end", "reference=%s code=%s detail=\"%s\"", s->reference,
           kv_code_word(code), detail);
    if (vault_now(s->v) >= s->refresh_until) {
        ended(s, 0); /* it ended by itself */
        return;
    }
    s->retry_ms = s->retry_ms == 0                 ? RETRY_FIRST_MS
                  : s->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS
                                                   : s->retry_ms * 2;
    kv_timer_arm(s->timer, s->retry_ms);
}

/* What the courier says of a call that ends sessions or lists them. */
enum { E_HTTP, E_KSEF, E_RETRY, E_SENT, E_LISTED };

static bool read_end(const struct kv_answer_frame *answer,
                     struct kv_field field[static KV_FIELDS_MAX])
{
    static const struct kv_field_spec specs[] = {
        {"http", KV_FIELD_NUMBER, 999, false, NULL},
        {"ksef-code", KV_FIELD_NUMBER, 999999, false, NULL},
        {"retry-after", KV_FIELD_NUMBER, 86400, false, NULL},
        {"sent", KV_FIELD_BOOLEAN, 1, false, NULL},
        {"listed", KV_FIELD_BOOLEAN, 1, false, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct kv_err err;
    return kv_message_read(answer->fields, specs, field, &err) == KV_OK;
}

static void on_listed(void *ctx, const struct kv_answer_frame *answer)
{
    struct session *s = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    bool read = read_end(answer, field);
    if (answer->code != KV_OK || !read || field[E_LISTED].type == 0) {
        end_again(s, answer->code != KV_OK ? answer->code : KV_E_PROTOCOL, answer->detail);
    } else if (field[E_LISTED].number != 0) {
        end_again(s, KV_E_KSEF_ANSWER, "KSeF still lists the session");
    } else {
        ended(s, (int64_t)field[E_HTTP].number);
    }
}

static void ask(struct session *s, enum kv_frame_op op, const struct kv_secret *token,
                kv_channel_answer_fn *fn)
{
    struct kv_err err;
    struct kv_buf body;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_message_octets(&body, "token", kv_secret_bytes(token));
    kv_message_str(&body, "context", s->ctx);
    if (op != KV_FRAME_KSEF_END && op != KV_FRAME_KSEF_REFRESH) {
        kv_message_str(&body, "reference", s->reference);
    }
    enum kv_code code = vault_ask_courier(s->v, op, kv_buf_bytes(&body), fn, s, &err);
    kv_wipe(body.data, body.cap);
    kv_buf_clear(&body);
    if (code != KV_OK) {
        struct kv_answer_frame failed = {code, err.msg, KV_BYTES_NULL};
        fn(s, &failed);
    }
}

static void on_ended(void *ctx, const struct kv_answer_frame *answer)
{
    struct session *s = ctx;
    vault_note_ksef(s->v, answer->code, answer->detail);
    /* it may be gone already: revoked by its owner, or by a DELETE whose answer was lost */
    bool gone = answer->code == KV_OK || answer->code == KV_E_KSEF_AUTH ||
                answer->code == KV_E_KSEF_REVOKED;
    if (!gone) {
        end_again(s, answer->code, answer->detail);
    } else if (s->access_until > vault_now(s->v)) {
        ask(s, KV_FRAME_KSEF_SESSIONS, s->access, on_listed);
    } else {
        ended(s, 0); /* no token is left that could ask */
    }
}

/* An orphan's refresh token, from its slot. */
static void on_taken(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {{"secret", KV_FIELD_OCTETS, 8192, true, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};
    struct session *s = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err = {.msg = ""};
    enum kv_code code = answer->code;
    if (code == KV_OK) {
        code = kv_message_read(answer->fields, specs, field, &err);
        code = code != KV_OK ? code : kv_secret_from(field[0].value, &s->refresh, &err);
    }
    if (code == KV_OK) {
        session_end_at_ksef(s);
    } else if (code == KV_E_TOKEN_WRAPPED) { /* killed before it was kept, or damaged */
        kv_log(KV_LOG_WARNING, "session-lost", "reference=%s detail=\"%s\"", s->reference,
               answer->detail);
        s->lost = true;
        for (struct session *other = s->v->sessions; other != NULL; other = other->next) {
            if (other->why == WHY_NONE && strcmp(other->who.credential, s->who.credential) == 0 &&
                strcmp(other->ctx, s->ctx) == 0) {
                session_end_lost(other);
                return;
            }
        }
    } else {
        end_again(s, code, answer->code != KV_OK ? answer->detail : err.msg);
    }
}

void session_end_at_ksef(struct session *s)
{
    struct kv_err err;
    if (s->refresh != NULL) {
        ask(s, KV_FRAME_KSEF_END, s->refresh, on_ended);
    } else if (ask_keeper(s, KV_FRAME_END_TAKE, on_taken, s, &err) != KV_OK) {
        end_again(s, err.code, err.msg);
    }
}

/* KSeF lets who has an access token end sessions of the same subject and context by their reference
 * (KSeF API 2.0, authentication sessions). */
static void on_lost_ended(void *ctx, const struct kv_answer_frame *answer)
{
    struct session *s = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    /* not by our code: that is also what a 401 gives, to a token that has just ended */
    bool never_begun = read_end(answer, field) && field[E_KSEF].type != 0 &&
                       field[E_KSEF].number == KSEF_NO_SUCH_SESSION;
    if (answer->code == KV_OK || never_begun) {
        ended(s, 0);
    } else {
        kv_log(KV_LOG_WARNING, "session-lost", "reference=%s code=%s detail=\"%s\"", s->reference,
               kv_code_word(answer->code), answer->detail);
    }
}

void session_end_lost(struct session *s)
{
    for (struct session *lost = s->v->sessions, *next; lost != NULL; lost = next) {
        next = lost->next;
        if (lost->lost && strcmp(lost->who.credential, s->who.credential) == 0 &&
            strcmp(lost->ctx, s->ctx) == 0) {
            ask(lost, KV_FRAME_KSEF_END_OTHER, s->access, on_lost_ended);
        }
    }
}

void session_end(struct session *s, enum why why)
{
    if (s->why != WHY_NONE) {
        return;
    }
    s->why = why;
    kv_timer_disarm(s->timer);
    waiters_refuse(&s->waiters, KV_E_KSEF_BUSY, "the session was just ended: ask again", 1);
    session_free_leases(s);
    if (!s->refreshing) {
        session_end_at_ksef(s); /* else when the refresh has its outcome */
    }
}

/* ---- refreshing ---- */

static void record_refresh(struct session *s, enum kv_out out, enum kv_code why, int64_t http)
{
    struct kv_err err;
    char text[KV_TIME_S_LEN];
    struct kv_record *rec = kv_record_new(KV_EV_USE_OUTCOME);
    kv_record_set_of(rec, s->intent);
    kv_record_set_out(rec, out);
    memcpy(rec->ksef.auth_ref, s->reference, sizeof rec->ksef.auth_ref);
    rec->ksef.has_http = http > 0;
    rec->ksef.http = http;
    rec->has |= UINT32_C(1) << KV_RK_KSEF;
    if (out == KV_OUT_ERROR) {
        kv_record_set(rec, KV_RK_ERR, kv_code_word(why));
    }
    if (out == KV_OUT_OK) {
        kv_time_format_s(s->access_until, text);
        kv_record_info_str(rec, "access", text);
        kv_time_format_s(s->refresh_until, text);
        kv_record_info_str(rec, "refresh", text);
    }
    if (vault_record(s->v, rec, NULL, NULL, &err) != KV_OK) {
        vault_fatal(s->v, &err); /* an intent must have its outcome */
    }
}

static void refresh_failed(struct session *s, enum kv_code code, const char *detail,
                           uint32_t retry_after)
{
    int64_t wait = retry_after * KV_SECOND_MS;
    if (code == KV_E_KSEF_RATE && wait > 0 && s->why == WHY_NONE &&
        kv_loop_clock_ms() + wait < waiters_last_deadline(&s->waiters)) {
        kv_timer_arm(s->refresh_timer, wait); /* they wait that long */
        return;
    }
    waiters_refuse(&s->waiters, code, detail, retry_after);
    bool dead = code == KV_E_KSEF_AUTH || code == KV_E_KSEF_REVOKED || code == KV_E_KSEF_TOKEN;
    if (s->why != WHY_NONE) {
        session_end_at_ksef(s);
    } else if (dead || s->access_until <= vault_now(s->v)) {
        session_end(s, WHY_LAST_LEASE); /* the next caller logs in anew */
    }
}

static void on_refreshed(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"http", KV_FIELD_NUMBER, 999, false, NULL},
        {"ksef-code", KV_FIELD_NUMBER, 999999, false, NULL},
        {"retry-after", KV_FIELD_NUMBER, 86400, false, NULL},
        {"sent", KV_FIELD_BOOLEAN, 1, false, NULL},
        {"access", KV_FIELD_OCTETS, 8192, false, NULL},
        {"access-until", KV_FIELD_NUMBER, KV_NUMBER_MAX, false, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct session *s = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err = {.msg = ""};
    struct kv_secret *fresh = NULL;
    struct call *call;
    s->refreshing = false;
    enum kv_code code = kv_message_read(answer->fields, specs, field, &err);
    code = answer->code != KV_OK ? answer->code : code;
    if (code == KV_OK && (field[4].value.len == 0 || field[5].type == 0)) {
        code = KV_REFUSE(&err, KV_E_KSEF_ANSWER, "no access token in the answer");
    }
    code = code != KV_OK ? code : kv_secret_from(field[4].value, &fresh, &err);
    if (code != KV_OK) {
        bool unknown = answer->code == KV_E_TIMEOUT || answer->code == KV_E_STARTING;
        record_refresh(s, unknown ? KV_OUT_UNKNOWN : KV_OUT_ERROR, code, (int64_t)field[0].number);
        refresh_failed(s, code, answer->code != KV_OK ? answer->detail : err.msg,
                       (uint32_t)field[2].number);
        return;
    }
    kv_secret_free(s->access);
    s->access = fresh;
    s->access_until = (int64_t)field[5].number;
    record_refresh(s, KV_OUT_OK, KV_OK, (int64_t)field[0].number);
    if (s->why != WHY_NONE) {
        session_end_at_ksef(s);
        return;
    }
    while ((call = waiters_next(&s->waiters)) != NULL) {
        session_give(s, call);
    }
}

static void send_refresh(void *ctx, enum kv_code code, const char *detail)
{
    struct session *s = ctx;
    (void)code;
    (void)detail;
    ask(s, KV_FRAME_KSEF_REFRESH, s->refresh, on_refreshed);
}

enum kv_code session_refresh(struct session *s, struct kv_err *err)
{
    struct kv_record *rec = kv_record_new(KV_EV_USE_INTENT);
    kv_record_set_who(rec, KV_WHO_INTEGRATION, s->who.integration, s->via);
    kv_record_set(rec, KV_RK_GRANT, s->who.grant);
    kv_record_set(rec, KV_RK_CRED, s->who.credential);
    kv_record_set(rec, KV_RK_CTX, s->ctx);
    kv_record_set_op(rec, KV_OP_SESSION_OPEN);
    memcpy(rec->ksef.auth_ref, s->reference, sizeof rec->ksef.auth_ref);
    rec->has |= UINT32_C(1) << KV_RK_KSEF;
    if (vault_record(s->v, rec, NULL, &s->intent, err) != KV_OK) {
        return err->code;
    }
    s->refreshing = true;
    vault_after_flush(s->v, send_refresh, s);
    return KV_OK;
}

void session_refresh_timer(void *session)
{
    struct session *s = session;
    struct kv_err err;
    if (s->why == WHY_NONE && !s->refreshing && s->waiters.first != NULL &&
        session_refresh(s, &err) != KV_OK) {
        waiters_refuse(&s->waiters, err.code, err.msg, 0);
    }
}
