/* Errands: one call to KSeF on behalf of one frame of the vault. Frames become HTTP, what comes
 * back becomes checked fields; what would go over KSeF's limits, or over our own six at a time,
 * waits its turn. */
#include "agent/courier.h"

#include "core/log.h"
#include "core/name.h"
#include "core/parse.h"
#include "core/time.h"
#include "ksef/ministry.h"
#include "ksef/reply.h"

#include <stdlib.h>

#define CALL_DEADLINE_MS 20000
#define PARK_MS          8000 /* with the call itself, within the vault's patience of 30 s */

/* One call to KSeF on behalf of one frame. */
struct errand {
    struct courier *courier;
    uint32_t request;
    enum kv_ksef_call call;
    char reference[KV_KSEF_REFERENCE_LEN]; /* what is looked for in a list */
    char context[KV_CONTEXT_LEN];          /* KSeF counts sessions by it; "": not told */
};

/* An errand that waits: until KSeF's limits let it go, or until another one under way is done. Its
 * body is wiped when it leaves. */
struct parked {
    struct parked *next; /* the oldest first */
    struct errand *errand;
    struct kv_buf body;
    struct kv_timer *timer;
    bool for_room;
    int64_t until_ms; /* loop clock: then it is given up */
};

/* The fields that every answer carries, so that the ledger can say what KSeF said. */
static void add_outcome(struct kv_buf *out, int http, int ksef, uint32_t retry_after_s)
{
    if (http > 0) {
        kv_message_number(out, "http", (uint64_t)http);
    }
    if (ksef > 0) {
        kv_message_number(out, "ksef-code", (uint64_t)ksef);
    }
    if (retry_after_s > 0) {
        kv_message_number(out, "retry-after", retry_after_s);
    }
}

static void answer(const struct errand *errand, enum kv_code code, const char *detail,
                   struct kv_buf *fields)
{
    kv_channel_reply(errand->courier->vault, errand->request, code, detail, kv_buf_bytes(fields));
    if (fields->data != NULL) {
        kv_wipe(fields->data, fields->cap); /* tokens */
    }
    kv_buf_clear(fields);
}

static void refused(const struct errand *errand, const struct kv_courier_result *result)
{
    struct kv_ksef_reply reply = {.http = result->status,
                                  .content_type = kv_bytes_str(result->content_type),
                                  .retry_after = kv_bytes_str(result->retry_after),
                                  .body = kv_bytes(result->body, result->body_len)};
    struct kv_ksef_error error;
    struct kv_err err;
    struct kv_buf fields;
    enum kv_code code = kv_ksef_read_error(&reply, &error, &err);
    kv_buf_init(&fields, 1024);
    add_outcome(&fields, error.http, error.ksef, error.retry_after_s);
    if (code == KV_E_KSEF_RATE) {
        kv_pace_block(errand->courier->pace, errand->call, kv_bytes_str(errand->context),
                      kv_loop_clock_ms() + error.retry_after_s * KV_SECOND_MS);
    }
    kv_log(KV_LOG_WARNING, "ksef-refused", "call=%s http=%d ksef=%d code=%s",
           kv_ksef_call_row(errand->call)->name, error.http, error.ksef, kv_code_word(code));
    answer(errand, code, err.msg, &fields);
}

static enum kv_code read_challenge(const struct kv_courier_result *result, struct kv_buf *fields,
                                   struct kv_err *err)
{
    struct kv_ksef_challenge challenge;
    if (kv_ksef_read_challenge(kv_bytes(result->body, result->body_len), &challenge, err) !=
        KV_OK) {
        return err->code;
    }
    kv_message_str(fields, "challenge", challenge.challenge);
    kv_message_number(fields, "timestamp", (uint64_t)challenge.timestamp_ms);
    kv_message_str(fields, "client-ip", challenge.client_ip);
    return KV_OK;
}

static void add_token(struct kv_buf *fields, const char *name, const char *until,
                      const struct kv_ksef_token *token)
{
    kv_message_octets(fields, name, kv_secret_bytes(token->token));
    kv_message_number(fields, until, (uint64_t)token->valid_until_ms);
}

static enum kv_code read_login(struct kv_courier_result *result, struct kv_buf *fields,
                               struct kv_err *err)
{
    struct kv_ksef_login login;
    if (kv_ksef_read_login(result->body, result->body_len, &login, err) != KV_OK) {
        return err->code;
    }
    kv_message_str(fields, "reference", login.reference);
    add_token(fields, "token", "until", &login.authentication);
    kv_ksef_login_clear(&login);
    return KV_OK;
}

/* A status is an answer even when it is not success: the outcome is in the code. */
static enum kv_code read_status(const struct kv_courier_result *result, struct kv_buf *fields,
                                struct kv_err *err)
{
    struct kv_ksef_status status;
    if (kv_ksef_read_status(kv_bytes(result->body, result->body_len), &status, err) != KV_OK) {
        return err->code;
    }
    add_outcome(fields, 0, status.code, 0);
    return kv_ksef_status_code(&status, err);
}

static enum kv_code read_tokens(struct kv_courier_result *result, struct kv_buf *fields,
                                struct kv_err *err)
{
    struct kv_ksef_tokens tokens;
    if (kv_ksef_read_tokens(result->body, result->body_len, &tokens, err) != KV_OK) {
        return err->code;
    }
    add_token(fields, "access", "access-until", &tokens.access);
    add_token(fields, "refresh", "refresh-until", &tokens.refresh);
    kv_ksef_tokens_clear(&tokens);
    return KV_OK;
}

static enum kv_code read_refresh(struct kv_courier_result *result, struct kv_buf *fields,
                                 struct kv_err *err)
{
    struct kv_ksef_token access;
    if (kv_ksef_read_refresh(result->body, result->body_len, &access, err) != KV_OK) {
        return err->code;
    }
    add_token(fields, "access", "access-until", &access);
    kv_ksef_token_clear(&access);
    return KV_OK;
}

static enum kv_code read_sessions(const struct errand *errand,
                                  const struct kv_courier_result *result, struct kv_buf *fields,
                                  struct kv_err *err)
{
    bool listed, whole;
    if (kv_ksef_read_sessions(kv_bytes(result->body, result->body_len), errand->reference, &listed,
                              &whole, err) != KV_OK) {
        return err->code;
    }
    kv_message_bool(fields, "listed", listed || !whole);
    return KV_OK;
}

/* The one to encrypt to, and all that are listed, so that a rotation can be told from a swap. */
static enum kv_code read_keys(const struct kv_courier_result *result, struct kv_buf *fields,
                              struct kv_err *err)
{
    struct kv_ministry_key *keys = NULL;
    size_t count = 0;
    uint8_t ids[KV_MINISTRY_KEYS_MAX * KV_HASH_LEN];
    if (kv_ksef_read_ministry_keys(kv_bytes(result->body, result->body_len), kv_time_now_ms(),
                                   &keys, &count, err) != KV_OK) {
        return err->code;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(ids + i * KV_HASH_LEN, keys[i].id.b, KV_HASH_LEN);
    }
    kv_message_octets(fields, "certificate",
                      kv_bytes(keys[0].certificate, keys[0].certificate_len));
    kv_message_number(fields, "from", (uint64_t)keys[0].from_ms);
    kv_message_number(fields, "to", (uint64_t)keys[0].to_ms);
    kv_message_octets(fields, "listed", kv_bytes(ids, count * KV_HASH_LEN));
    free(keys);
    return KV_OK;
}

static enum kv_code read_success(const struct errand *errand, struct kv_courier_result *result,
                                 struct kv_buf *fields, struct kv_err *err)
{
    switch (errand->call) {
    case KV_KSEF_CHALLENGE: return read_challenge(result, fields, err);
    case KV_KSEF_XADES:
    case KV_KSEF_TOKEN_LOGIN: return read_login(result, fields, err);
    case KV_KSEF_KEYS: return read_keys(result, fields, err);
    case KV_KSEF_STATUS: return read_status(result, fields, err);
    case KV_KSEF_REDEEM: return read_tokens(result, fields, err);
    case KV_KSEF_REFRESH: return read_refresh(result, fields, err);
    case KV_KSEF_SESSIONS: return read_sessions(errand, result, fields, err);
    case KV_KSEF_SESSION_CURRENT:
    case KV_KSEF_SESSION_END:
    case KV_KSEF_CALL_COUNT: break; /* 204: nothing to read */
    }
    return KV_OK;
}

static void next_errand(struct courier *courier);

static void on_done(void *ctx, struct kv_courier_result *result)
{
    struct errand *errand = ctx;
    struct kv_err err = {.msg = ""};
    struct kv_buf fields;
    enum kv_code code = KV_OK;
    kv_buf_init(&fields, 4 * KV_KSEF_TOKEN_MAX);
    if (result->warning[0] != '\0') {
        kv_log(KV_LOG_WARNING, "ksef-warning", "call=%s text=\"%s\"",
               kv_ksef_call_row(errand->call)->name, result->warning);
    }
    if (result->code != KV_OK) {
        kv_message_bool(&fields, "sent", result->sent);
        answer(errand, result->code, result->err.msg, &fields);
    } else if (result->status != kv_ksef_call_row(errand->call)->status) {
        refused(errand, result);
    } else {
        add_outcome(&fields, result->status, 0, 0);
        code = read_success(errand, result, &fields, &err);
        answer(errand, code, err.msg, &fields);
    }
    struct courier *courier = errand->courier;
    free(errand);
    next_errand(courier);
}

static const struct kv_field_spec errand_specs[] = {
    {"document", KV_FIELD_OCTETS, 32768, false, NULL},
    {"reference", KV_FIELD_STRING, KV_KSEF_REFERENCE_LEN - 1, false, NULL},
    {"token", KV_FIELD_OCTETS, KV_KSEF_TOKEN_MAX, false, NULL},
    {"context", KV_FIELD_STRING, KV_CONTEXT_LEN - 1, false, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

static enum kv_code start(struct errand *errand, const struct kv_field *field, struct kv_err *err)
{
    const struct kv_ksef_call_row *row = kv_ksef_call_row(errand->call);
    KV_CLEANUP(kv_secret_freep) struct kv_secret *bearer = NULL;
    struct kv_buf path;
    kv_buf_init(&path, 256);
    enum kv_code code = KV_OK;
    if (row->bearer != KV_KSEF_BEARER_NONE) {
        code = kv_secret_from(field[2].value, &bearer, err);
    }
    if (code == KV_OK) {
        bool fits = field[1].type == 0 ||
                    kv_field_copy(&field[1], errand->reference, sizeof errand->reference);
        assert(fits); /* the table's limit */
        code = kv_ksef_call_path(errand->call, row->reference ? field[1].value : KV_BYTES_NULL,
                                 &path, err);
    }
    if (code == KV_OK) {
        struct kv_courier_request request = {.method = row->method,
                                             .path = kv_buf_str(&path),
                                             .body = field[0].value,
                                             .content_type = row->content_type,
                                             .bearer = bearer,
                                             .deadline_ms = CALL_DEADLINE_MS,
                                             .fresh = row->single_use};
        code = kv_courier_http_start(errand->courier->http, &request, on_done, errand, NULL, err);
    }
    kv_buf_clear(&path);
    return code;
}

static void give_up(struct errand *errand, enum kv_code code, const char *detail, int64_t wait_ms)
{
    struct kv_buf fields;
    kv_buf_init(&fields, 256);
    kv_message_bool(&fields, "sent", false);
    if (wait_ms > 0) {
        kv_message_number(&fields, "retry-after", (uint64_t)(wait_ms / KV_SECOND_MS + 1));
    }
    answer(errand, code, detail, &fields);
    free(errand);
}

static void send_or_park(struct errand *errand, struct kv_bytes body, int64_t until_ms);

static void unpark(struct parked *parked)
{
    for (struct parked **at = &parked->errand->courier->parked; *at != NULL; at = &(*at)->next) {
        if (*at == parked) {
            *at = parked->next;
            break;
        }
    }
    kv_timer_free(parked->timer);
    kv_wipe(parked->body.data, parked->body.cap); /* tokens */
    kv_buf_clear(&parked->body);
    free(parked);
}

static void resume(struct parked *parked)
{
    struct errand *errand = parked->errand;
    struct kv_buf body = parked->body;
    int64_t until_ms = parked->until_ms;
    kv_buf_init(&parked->body, 0); /* ours now */
    unpark(parked);
    send_or_park(errand, kv_buf_bytes(&body), until_ms);
    kv_wipe(body.data, body.cap);
    kv_buf_clear(&body);
}

static void on_parked_timer(void *ctx)
{
    struct parked *parked = ctx;
    if (parked->for_room) {
        struct errand *errand = parked->errand;
        unpark(parked);
        give_up(errand, KV_E_BUSY, "KSeF answers too slowly for all who ask", 1000);
    } else {
        resume(parked);
    }
}

static void park(struct errand *errand, struct kv_bytes body, int64_t until_ms, int64_t wait_ms)
{
    struct parked *parked = calloc(1, sizeof *parked);
    struct parked **end = &errand->courier->parked;
    if (parked == NULL) {
        abort();
    }
    *parked = (struct parked){.errand = errand, .until_ms = until_ms, .for_room = wait_ms == 0};
    kv_buf_init(&parked->body, KV_FRAME_BODY_MAX);
    kv_buf_add_bytes(&parked->body, body);
    parked->timer = kv_timer_new(errand->courier->loop, on_parked_timer, parked);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = parked;
    kv_timer_arm(parked->timer, wait_ms == 0 ? until_ms - kv_loop_clock_ms() : wait_ms);
}

/* One is done: the oldest that waits for room goes. */
static void next_errand(struct courier *courier)
{
    struct parked *parked = courier->parked;
    while (parked != NULL && !parked->for_room) {
        parked = parked->next;
    }
    if (parked != NULL) {
        resume(parked);
    }
}

/* Below KSeF's limits and ours: now, or as soon as they allow; if that is too late for the caller,
 * he is told when to come again, and KSeF hears nothing. */
static void send_or_park(struct errand *errand, struct kv_bytes body, int64_t until_ms)
{
    struct courier *courier = errand->courier;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    int64_t now = kv_loop_clock_ms();
    if (kv_message_read(body, errand_specs, field, &err) != KV_OK) {
        give_up(errand, err.code, err.msg, 0);
        return;
    }
    if (kv_courier_http_count(courier->http) >= KV_COURIER_CALLS_MAX && now < until_ms) {
        park(errand, body, until_ms, 0);
        return;
    }
    bool fits = field[3].type == 0 || kv_field_copy(&field[3], errand->context, KV_CONTEXT_LEN);
    assert(fits); /* the table's limit */
    int64_t wait = kv_pace_wait_ms(courier->pace, errand->call, kv_bytes_str(errand->context), now);
    if (wait > 0 && now + wait < until_ms) {
        park(errand, body, until_ms, wait);
    } else if (wait > 0) {
        give_up(errand, KV_E_KSEF_RATE, "KSeF's limit on such calls is reached", wait);
    } else if (start(errand, field, &err) != KV_OK) {
        give_up(errand, err.code, err.msg, 0);
    }
}

void courier_errand(struct courier *courier, const struct kv_frame *frame, enum kv_ksef_call call)
{
    struct errand *errand = calloc(1, sizeof *errand);
    if (errand == NULL) {
        abort();
    }
    *errand = (struct errand){.courier = courier, .request = frame->request, .call = call};
    send_or_park(errand, frame->body, kv_loop_clock_ms() + PARK_MS);
}

void courier_errands_clear(struct courier *courier)
{
    while (courier->parked != NULL) {
        struct errand *errand = courier->parked->errand;
        unpark(courier->parked);
        free(errand);
    }
}
