/* ksefvault-gate: HTTP/1.1 and JSON on connections that the vault accepted and attested → typed
 * frames, and back. It parses what strangers send, so it holds nothing worth stealing: no key, no
 * ledger, no policy, no network of its own. It can name a connection, never an identity. */
#include "agent/gate_json.h"
#include "agent/headroom.h"
#include "agent/program.h"
#include "agent/sandbox.h"

#include "core/log.h"
#include "core/parse.h"
#include "core/secret.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 2048
#define IDLE_TIMEOUT_S  120
#define CONNECTION_MEMORY                                                                          \
    (24 * 1024) /* headers; wiped for each request, so not larger than needed */
#define FD_MAX     4096
#define SMALL_BODY (16 * 1024) /* bytes; of each connection, in the reserve of kv_headroom */

struct gate {
    struct kv_loop *loop;
    struct kv_channel *supervisor, *vault;
    enum kv_code failed; /* why it could not be configured */
    struct MHD_Daemon *http;
    struct kv_source *http_source;
    struct kv_timer *http_timer;
    struct kv_headroom headroom;
    uint64_t number_of_fd[FD_MAX]; /* the vault's number of each client's descriptor, 0: none */
};

/* One HTTP request. */
struct exchange {
    struct gate *gate;
    struct MHD_Connection *connection;
    uint64_t number;
    enum kv_call call;
    struct kv_err err; /* refused before it was asked: code != KV_OK */
    bool asked, answered, over;
    struct kv_buf body; /* JSON as received */
    struct kv_buf args;
    struct MHD_Response *response;
    unsigned status;
};

static void pump(struct gate *gate);

static void free_exchange(struct exchange *x)
{
    if (x->body.data != NULL) {
        kv_wipe(x->body.data, x->body.cap);
    }
    kv_buf_clear(&x->body);
    kv_buf_clear(&x->args);
    if (x->response != NULL) {
        MHD_destroy_response(x->response);
    }
    free(x);
}

static void wipe_text(void *text)
{
    kv_wipe(text, strlen(text));
    free(text);
}

/* The problem details of RFC 9457. `fields` may say more: who, record, retryAfter. */
static json_t *problem(enum kv_code code, const char *detail, json_t *more)
{
    const struct kv_code_row *row = kv_code_row(code);
    char type[96];
    int n = snprintf(type, sizeof type, "urn:ksefvault:error:%s", row->word);
    json_t *object = json_object();
    (void)n;
    json_object_set_new(object, "type", json_string(type));
    json_object_set_new(object, "title", json_string(row->what));
    json_object_set_new(object, "status", json_integer(row->http));
    json_object_set_new(object, "detail", json_string(detail));
    json_object_set_new(object, "code", json_string(row->word));
    json_object_set_new(object, "retry", json_string(kv_retry_word(row->retry)));
    json_object_set_new(object, "next", json_string(row->next));
    if (more != NULL) {
        json_object_update(object, more);
    }
    return object;
}

static void set_response(struct exchange *x, enum kv_code code, const char *detail,
                         struct kv_bytes fields)
{
    const struct kv_code_row *row = kv_code_row(code);
    json_t *said = kv_gate_json_object(fields);
    char retry_after[16] = "";
    if (said == NULL && code == KV_OK) {
        code = KV_E_PROTOCOL;
        row = kv_code_row(code);
        detail = "malformed answer";
    }
    bool failed = row->http >= 400;
    json_t *object = failed ? problem(code, detail, said) : said;
    x->status = (unsigned)row->http;
    if (!failed && kv_call_row(x->call)->method[0] == 'P' && code == KV_OK) {
        x->status = x->call == KV_CALL_SUBMIT || x->call == KV_CALL_SESSION_OPEN ? 201 : 200;
    }
    if (row->retry == KV_RETRY_AFTER && failed) {
        json_int_t s = json_integer_value(json_object_get(object, "retryAfter"));
        s = s > 0 && s < 86400 ? s : 1;
        int n = snprintf(retry_after, sizeof retry_after, "%d", (int)s);
        (void)n;
        json_object_set_new(object, "retryAfter", json_integer(s));
    }
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    if (failed) {
        json_decref(said);
    }
    json_decref(object);
    if (text == NULL) {
        return; /* out of memory: the connection is closed without an answer */
    }
    x->response = MHD_create_response_from_buffer_with_free_callback(strlen(text), text, wipe_text);
    if (x->response == NULL) {
        wipe_text(text);
        return;
    }
    bool good = MHD_add_response_header(x->response, "Content-Type",
                                        failed ? "application/problem+json" : "application/json") &&
                MHD_add_response_header(x->response, "Cache-Control", "no-store");
    if (retry_after[0] != '\0') {
        good = good && MHD_add_response_header(x->response, "Retry-After", retry_after);
    }
    if (!good) {
        kv_log(KV_LOG_WARNING, "header", "lost");
    }
}

static void on_answer(void *ctx, const struct kv_answer_frame *answer)
{
    struct exchange *x = ctx;
    x->answered = true;
    if (x->over) {
        free_exchange(x);
        return;
    }
    set_response(x, answer->code, answer->detail, answer->fields);
    MHD_resume_connection(x->connection);
    kv_timer_arm(x->gate->http_timer, 0); /* MHD goes on in this turn */
}

/* `Prefer: wait=N` (RFC 7240), 0 to KV_WAIT_MAX_S. */
static uint16_t wait_of(struct MHD_Connection *connection)
{
    const char *prefer = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Prefer");
    uint64_t wait = KV_WAIT_MAX_S;
    if (prefer != NULL && strncmp(prefer, "wait=", 5) == 0 &&
        !kv_parse_u64(kv_bytes_str(prefer + 5), KV_WAIT_MAX_S, &wait)) {
        wait = KV_WAIT_MAX_S;
    }
    return (uint16_t)wait;
}

static enum kv_code idempotency_key(struct exchange *x, bool post, struct kv_bytes *out)
{
    const char *key =
        MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Idempotency-Key");
    *out = KV_BYTES_NULL;
    if (!post) {
        return KV_OK;
    }
    size_t len = key == NULL ? 0 : strlen(key);
    bool good = len > 0 && len < KV_IDEMPOTENCY_LEN;
    for (size_t i = 0; good && i < len; i++) {
        good = key[i] > 0x20 && key[i] < 0x7f;
    }
    if (!good) {
        return KV_REFUSE(&x->err, KV_E_IDEMPOTENCY,
                         "send the header Idempotency-Key: 1 to 64 visible characters");
    }
    *out = kv_bytes(key, len);
    return KV_OK;
}

static enum kv_code ask(struct exchange *x)
{
    bool post = kv_call_row(x->call)->method[0] == 'P';
    struct kv_bytes key;
    if (post && x->body.len > 0 &&
        kv_gate_json_read(kv_buf_bytes(&x->body), &x->args, &x->err) != KV_OK) {
        return x->err.code;
    }
    if (idempotency_key(x, post, &key) != KV_OK) {
        return x->err.code;
    }
    uint16_t wait = wait_of(x->connection);
    struct kv_buf frame;
    kv_buf_init(&frame, KV_FRAME_BODY_MAX);
    kv_buf_add_u64(&frame, x->number);
    kv_buf_add_u16(&frame, (uint16_t)x->call);
    kv_buf_add_u16(&frame, wait);
    kv_buf_add_u8(&frame, (uint8_t)key.len);
    kv_buf_add_bytes(&frame, key);
    kv_buf_add_bytes(&frame, kv_buf_bytes(&x->args));
    enum kv_code code =
        frame.failed ? KV_REFUSE(&x->err, KV_E_INPUT_TOO_LARGE, "the body is limited to %d bytes",
                                 KV_CALL_BODY_MAX)
                     : kv_channel_ask(x->gate->vault, KV_FRAME_CALL, kv_buf_bytes(&frame), -1,
                                      (wait + 10) * INT64_C(1000), on_answer, x, &x->err);
    kv_buf_clear(&frame);
    return code;
}

static enum MHD_Result on_query(void *ctx, enum MHD_ValueKind kind, const char *key,
                                const char *value)
{
    (void)kind;
    struct exchange *x = ctx;
    if (kv_gate_query_field(x->call, key, value == NULL ? "" : value, &x->args, &x->err) != KV_OK) {
        return MHD_NO;
    }
    return MHD_YES;
}

/* With little memory left only small requests go on that end something or tell how things stand.
 * Whether a signed text gives or takes away the vault sees, which refuses by its own memory. */
static enum kv_code room_for(struct gate *gate, enum kv_call call, const char *length, bool chunked,
                             struct kv_err *err)
{
    uint64_t bytes = 0;
    bool small =
        !chunked && (length == NULL || kv_parse_u64(kv_bytes_str(length), SMALL_BODY, &bytes));
    bool needed = call == KV_CALL_STATUS || call == KV_CALL_HEALTH || call == KV_CALL_SUBMIT ||
                  call == KV_CALL_SESSION_CLOSE || call == KV_CALL_STATEMENT;
    return small && needed ? KV_OK : kv_headroom(&gate->headroom, err);
}

static struct exchange *begin(struct gate *gate, struct MHD_Connection *connection, const char *url,
                              const char *method)
{
    struct exchange *x = calloc(1, sizeof *x);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (x == NULL || info == NULL || info->connect_fd < 0 || info->connect_fd >= FD_MAX) {
        free(x);
        return NULL;
    }
    *x = (struct exchange){
        .gate = gate, .connection = connection, .number = gate->number_of_fd[info->connect_fd]};
    kv_buf_init(&x->body, KV_CALL_BODY_MAX);
    kv_buf_init(&x->args, KV_FRAME_BODY_MAX);
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    bool chunked =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding") != NULL;
    if (kv_call_route(method, url, &x->call, &x->args, &x->err) != KV_OK ||
        room_for(gate, x->call, length, chunked, &x->err) != KV_OK) {
        return x;
    }
    bool has_body = length != NULL && strcmp(length, "0") != 0;
    if (has_body && (type == NULL || strncmp(type, "application/json", 16) != 0)) {
        enum kv_code code =
            KV_REFUSE(&x->err, KV_E_MEDIA_TYPE, "send Content-Type: application/json");
        (void)code; /* kept in x->err */
        return x;
    }
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, on_query, x);
    return x;
}

static enum MHD_Result finish(struct exchange *x)
{
    if (x->response == NULL) {
        set_response(x, x->err.code == KV_OK ? KV_E_INTERNAL : x->err.code, x->err.msg,
                     KV_BYTES_NULL);
    }
    return x->response == NULL ? MHD_NO : MHD_queue_response(x->connection, x->status, x->response);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    struct gate *gate = ctx;
    struct exchange *x = *state;
    (void)version; /* MHD refuses what is not HTTP/1.x */
    if (x == NULL) {
        x = begin(gate, connection, url, method);
        *state = x;
        return x == NULL ? MHD_NO : MHD_YES;
    }
    if (*upload_len > 0) {
        kv_buf_add(&x->body, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    if (x->asked) {
        return finish(x);
    }
    if (x->err.code == KV_OK && x->body.failed) {
        enum kv_code code = KV_REFUSE(&x->err, KV_E_INPUT_TOO_LARGE,
                                      "the body is limited to %d bytes", KV_CALL_BODY_MAX);
        (void)code; /* kept in x->err */
    }
    if (x->err.code != KV_OK || ask(x) != KV_OK) {
        return finish(x);
    }
    x->asked = true;
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)ctx;
    (void)connection;
    (void)why;
    struct exchange *x = *state;
    if (x == NULL) {
        return;
    }
    *state = NULL;
    if (x->asked && !x->answered) {
        x->over = true; /* freed by the answer, which always comes */
    } else {
        free_exchange(x);
    }
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    struct gate *gate = ctx;
    (void)state;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (what != MHD_CONNECTION_NOTIFY_CLOSED || info == NULL || info->connect_fd < 0 ||
        info->connect_fd >= FD_MAX) {
        return;
    }
    struct kv_err err;
    struct kv_buf body;
    kv_buf_init(&body, 64);
    kv_message_number(&body, "connection", gate->number_of_fd[info->connect_fd]);
    gate->number_of_fd[info->connect_fd] = 0;
    if (kv_channel_send(gate->vault, KV_FRAME_HANGUP, kv_buf_bytes(&body), -1, &err) != KV_OK) {
        kv_log_err(KV_LOG_WARNING, "hangup", &err);
    }
    kv_buf_clear(&body);
}

static void add_client(struct gate *gate, const struct kv_frame *frame, int fd)
{
    static const struct kv_field_spec specs[] = {
        {"connection", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct kv_field fields[KV_FIELDS_MAX];
    struct kv_err err;
    struct sockaddr_storage none = {.ss_family = AF_UNIX};
    if (kv_message_read(frame->body, specs, fields, &err) != KV_OK || fd >= FD_MAX) {
        kv_log_err(KV_LOG_ERROR, "connection", &err);
        kv_close_fdp(&fd);
        return;
    }
    gate->number_of_fd[fd] = fields[0].number;
    /* takes the descriptor, and closes it on failure */
    if (MHD_add_connection(gate->http, fd, (struct sockaddr *)&none, sizeof(sa_family_t)) !=
        MHD_YES) {
        kv_log(KV_LOG_WARNING, "connection", "refused=%s", "too many");
    }
    pump(gate);
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd);

static void on_gone(void *ctx, struct kv_channel *channel)
{
    struct gate *gate = ctx;
    (void)channel; /* without supervisor or vault there is nothing to do */
    kv_loop_stop(gate->loop);
}

/* Not before the sandbox stands anything is taken from the vault, least of all a client. */
static enum kv_code configure(struct gate *gate, struct kv_err *err)
{
    if (kv_sandbox_enter(KV_ROLE_GATE, NULL, err) != KV_OK ||
        kv_channel_new_take_fd(gate->loop, KV_FD_VAULT, KV_ROLE_GATE, KV_ROLE_VAULT, on_frame,
                               on_gone, gate, &gate->vault, err) != KV_OK) {
        return err->code;
    }
    kv_channel_eager(gate->vault);
    return KV_OK;
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd)
{
    struct gate *gate = ctx;
    if (frame->op == KV_FRAME_CONNECTION) {
        add_client(gate, frame, fd);
        return;
    }
    kv_close_fdp(&fd);
    if (frame->op == KV_FRAME_CONFIGURE) {
        struct kv_err err;
        enum kv_code code = configure(gate, &err);
        kv_channel_reply(channel, frame->request, code, code == KV_OK ? "" : err.msg,
                         KV_BYTES_NULL);
        if (code != KV_OK) {
            kv_log_err(KV_LOG_ERROR, "configure", &err);
            gate->failed = code;
            kv_loop_stop(gate->loop); /* the supervisor starts another */
        }
    }
}

static void pump(struct gate *gate)
{
    MHD_UNSIGNED_LONG_LONG timeout;
    if (MHD_run(gate->http) != MHD_YES) {
        kv_log(KV_LOG_ERROR, "http", "run failed");
        kv_loop_stop(gate->loop);
    }
    if (MHD_get_timeout(gate->http, &timeout) == MHD_YES) {
        kv_timer_arm(gate->http_timer, (int64_t)timeout);
    } else {
        kv_timer_disarm(gate->http_timer);
    }
}

static void on_http(void *ctx, uint32_t events)
{
    (void)events;
    pump(ctx);
}

static void on_http_timer(void *ctx)
{
    pump(ctx);
}

static void on_turn(void *ctx)
{
    struct gate *gate = ctx;
    gate->headroom.known = false;
}

static enum kv_code start_http(struct gate *gate, struct kv_err *err)
{
    gate->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
        on_request, gate, MHD_OPTION_NOTIFY_COMPLETED, on_completed, gate,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, gate, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (gate->http == NULL) {
        return KV_REFUSE(err, KV_E_INTERNAL, "libmicrohttpd does not start");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(gate->http, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        return KV_REFUSE(err, KV_E_INTERNAL, "libmicrohttpd has no epoll descriptor");
    }
    gate->http_timer = kv_timer_new(gate->loop, on_http_timer, gate);
    return kv_loop_watch(gate->loop, info->epoll_fd, EPOLLIN, on_http, gate, &gate->http_source,
                         err);
}

int main(int argc, char **argv)
{
    struct kv_err err;
    kv_program_args(argc, argv, "ksefvault-gate", "HTTP and JSON of the KSeF credential agent");
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL) {
        return 1;
    }
    gate->loop = kv_program_start("ksefvault-gate");
    kv_loop_on_turn(gate->loop, on_turn, gate);
    kv_gate_json_init();
    if (start_http(gate, &err) != KV_OK ||
        kv_channel_new_take_fd(gate->loop, KV_FD_SUPERVISOR, KV_ROLE_GATE, KV_ROLE_SUPERVISOR,
                               on_frame, on_gone, gate, &gate->supervisor, &err) != KV_OK) {
        kv_program_die(&err);
    }
    if (kv_loop_run(gate->loop, &err) != KV_OK) {
        kv_program_die(&err);
    }
    /* the kernel takes the rest; open connections see a closed socket */
    return (int)kv_code_row(gate->failed)->exit;
}
