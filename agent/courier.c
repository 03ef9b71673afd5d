/* ksefvault-courier: typed frames from the vault → TLS, HTTP and JSON to the one configured KSeF
 * host → typed frames. It has the network and nothing else: no key, no ledger, no policy. What it
 * reads is hostile and leaves here as checked fields only. */
#include "agent/courier_http.h"
#include "agent/program.h"
#include "agent/sandbox.h"

#include "core/log.h"
#include "core/parse.h"
#include "core/time.h"
#include "ksef/ministry.h"
#include "ksef/reply.h"

#include <stdio.h>
#include <stdlib.h>

#define CALL_DEADLINE_MS 25000

struct courier {
    struct kv_loop *loop;
    struct kv_channel *supervisor, *vault;
    struct kv_courier_http *http;
};

/* One call to KSeF on behalf of one frame. */
struct errand {
    struct courier *courier;
    uint32_t request;
    enum kv_ksef_call call;
    char reference[KV_KSEF_REFERENCE_LEN]; /* what is looked for in a list */
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
    free(errand);
}

static const struct kv_field_spec errand_specs[] = {
    {"document", KV_FIELD_OCTETS, 32768, false, NULL},
    {"reference", KV_FIELD_STRING, KV_KSEF_REFERENCE_LEN - 1, false, NULL},
    {"token", KV_FIELD_OCTETS, KV_KSEF_TOKEN_MAX, false, NULL},
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

static void on_errand(struct courier *courier, const struct kv_frame *frame, enum kv_ksef_call call)
{
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    struct errand *errand = malloc(sizeof *errand);
    if (errand == NULL) {
        abort();
    }
    *errand = (struct errand){.courier = courier, .request = frame->request, .call = call};
    if (kv_message_read(frame->body, errand_specs, field, &err) != KV_OK ||
        start(errand, field, &err) != KV_OK) {
        kv_channel_reply(courier->vault, frame->request, err.code, err.msg, KV_BYTES_NULL);
        free(errand);
    }
}

/* The port of https://host[:port]/path or http://host[:port], for Landlock. */
static uint16_t port_of(const char *url)
{
    const char *host = strstr(url, "://");
    size_t len = host == NULL ? 0 : strcspn(host + 3, "/");
    const char *colon = host == NULL ? NULL : memrchr(host + 3, ':', len);
    uint64_t port = strncmp(url, "http://", 7) == 0 ? 80 : 443;
    if (colon != NULL) {
        (void)kv_parse_u64(kv_bytes(colon + 1, strspn(colon + 1, "0123456789")), UINT16_MAX, &port);
    }
    return (uint16_t)port;
}

static enum kv_code configure(struct courier *courier, const struct kv_frame *frame,
                              struct kv_err *err)
{
    static const struct kv_field_spec specs[] = {{"url", KV_FIELD_STRING, 1024, true, NULL},
                                                 {"ca-file", KV_FIELD_STRING, 1024, false, NULL},
                                                 {"proxy", KV_FIELD_STRING, 1024, false, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};
    static const char *const readable[] = {"/etc", "/usr/lib", "/lib", "/usr/share", NULL};
    struct kv_field field[KV_FIELDS_MAX];
    char text[3][1025] = {"", "", ""};
    if (kv_message_read(frame->body, specs, field, err) != KV_OK) {
        return err->code;
    }
    for (size_t i = 0; i < 3; i++) {
        bool fits = kv_field_copy(&field[i], text[i], sizeof text[i]);
        assert(fits); /* the table's limits */
    }
    struct kv_courier_config config = {.url = text[0],
                                       .ca_file = field[1].type == 0 ? NULL : text[1],
                                       .proxy = field[2].type == 0 ? NULL : text[2]};
    if (kv_courier_warm_up(config.url, err) != KV_OK ||
        kv_courier_http_new(courier->loop, &config, &courier->http, err) != KV_OK) {
        return err->code;
    }
    /* name service files (resolver, hosts, CA folder) stay readable; nothing is writable */
    struct kv_sandbox_paths paths = {.readable = readable,
                                     .connect_port =
                                         port_of(config.proxy != NULL ? config.proxy : config.url)};
    return kv_sandbox_enter(KV_ROLE_COURIER, &paths, err);
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd)
{
    static const struct {
        enum kv_frame_op op;
        enum kv_ksef_call call;
    } table[] = {
        {KV_FRAME_KSEF_CHALLENGE, KV_KSEF_CHALLENGE},
        {KV_FRAME_KSEF_LOGIN, KV_KSEF_XADES},
        {KV_FRAME_KSEF_TOKEN_LOGIN, KV_KSEF_TOKEN_LOGIN},
        {KV_FRAME_KSEF_KEYS, KV_KSEF_KEYS},
        {KV_FRAME_KSEF_STATUS, KV_KSEF_STATUS},
        {KV_FRAME_KSEF_REDEEM, KV_KSEF_REDEEM},
        {KV_FRAME_KSEF_REFRESH, KV_KSEF_REFRESH},
        {KV_FRAME_KSEF_END, KV_KSEF_SESSION_CURRENT},
        {KV_FRAME_KSEF_SESSIONS, KV_KSEF_SESSIONS},
        {KV_FRAME_KSEF_END_OTHER, KV_KSEF_SESSION_END},
    };
    struct courier *courier = ctx;
    kv_close_fdp(&fd); /* the table of frames lets none through */
    if (frame->op == KV_FRAME_CONFIGURE) {
        struct kv_err err;
        enum kv_code code = configure(courier, frame, &err);
        kv_channel_reply(channel, frame->request, code, code == KV_OK ? "" : err.msg,
                         KV_BYTES_NULL);
        return;
    }
    for (size_t i = 0; i < KV_COUNT(table); i++) {
        if (table[i].op == frame->op) {
            if (courier->http == NULL) {
                kv_channel_reply(channel, frame->request, KV_E_STARTING, "not configured yet",
                                 KV_BYTES_NULL);
            } else {
                on_errand(courier, frame, table[i].call);
            }
        }
    }
}

static void on_gone(void *ctx, struct kv_channel *channel)
{
    struct courier *courier = ctx;
    (void)channel; /* without supervisor or vault there is nothing to do */
    kv_loop_stop(courier->loop);
}

int main(int argc, char **argv)
{
    struct kv_err err;
    struct courier courier = {0};
    kv_program_args(argc, argv, "ksefvault-courier",
                    "TLS and HTTP to KSeF for the credential agent");
    courier.loop = kv_program_start("ksefvault-courier");
    kv_ksef_json_init();
    if (kv_channel_new_take_fd(courier.loop, KV_FD_VAULT, KV_ROLE_COURIER, KV_ROLE_VAULT, on_frame,
                               on_gone, &courier, &courier.vault, &err) != KV_OK ||
        kv_channel_new_take_fd(courier.loop, KV_FD_SUPERVISOR, KV_ROLE_COURIER, KV_ROLE_SUPERVISOR,
                               on_frame, on_gone, &courier, &courier.supervisor, &err) != KV_OK ||
        kv_loop_run(courier.loop, &err) != KV_OK) {
        kv_program_die(&err);
    }
    kv_courier_http_free(courier.http);
    kv_channel_free(courier.vault);
    kv_channel_free(courier.supervisor);
    kv_loop_free(courier.loop);
    return 0;
}
