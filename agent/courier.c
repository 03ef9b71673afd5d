/* ksefvault-courier: typed frames from the vault → TLS, HTTP and JSON to the one configured KSeF
 * host → typed frames. It has the network and nothing else: no key, no ledger, no policy. What it
 * reads is hostile and leaves here as checked fields only. */
#include "agent/courier.h"
#include "agent/program.h"
#include "agent/sandbox.h"

#include "core/log.h"
#include "core/parse.h"
#include "ksef/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROXY_LOGIN_MAX 255 /* bytes */

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

/* From the descriptor that the supervisor opened: this account need not read the file. */
static enum kv_code read_proxy_login(struct kv_secret **out, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *buf = NULL;
    if (kv_secret_new(PROXY_LOGIN_MAX + 1, &buf, err) != KV_OK) {
        return err->code;
    }
    ssize_t n = read(KV_FD_PIN, kv_secret_data(buf), PROXY_LOGIN_MAX + 1);
    (void)close(KV_FD_PIN); /* read, and never again */
    if (n > 0 && kv_secret_data(buf)[n - 1] == '\n') {
        n--;
    }
    if (n <= 0 || n > PROXY_LOGIN_MAX) {
        return KV_REFUSE(err, KV_E_CONFIG,
                         "proxy-credentials hold one line, user:password, of at "
                         "most 255 characters");
    }
    kv_secret_shrink(buf, (size_t)n);
    *out = buf;
    buf = NULL;
    return KV_OK;
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd);
static void on_gone(void *ctx, struct kv_channel *channel);

static enum kv_code configure(struct courier *courier, const struct kv_frame *frame,
                              struct kv_err *err)
{
    static const struct kv_field_spec specs[] = {
        {"url", KV_FIELD_STRING, 1024, true, NULL},
        {"ca-file", KV_FIELD_STRING, 1024, false, NULL},
        {"proxy", KV_FIELD_STRING, 1024, false, NULL},
        {"proxy-credentials", KV_FIELD_BOOLEAN, 1, true, NULL},
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
    KV_CLEANUP(kv_secret_freep) struct kv_secret *login = NULL;
    if (field[3].number != 0 && read_proxy_login(&login, err) != KV_OK) {
        return err->code;
    }
    config.proxy_credentials = login;
    if (kv_courier_warm_up(config.url, err) != KV_OK ||
        kv_courier_http_new(courier->loop, &config, &courier->http, err) != KV_OK) {
        return err->code;
    }
    /* name service files (resolver, hosts, CA folder) stay readable; nothing is writable */
    struct kv_sandbox_paths paths = {.readable = readable,
                                     .connect_port =
                                         port_of(config.proxy != NULL ? config.proxy : config.url)};
    if (kv_sandbox_enter(KV_ROLE_COURIER, &paths, err) != KV_OK) {
        return err->code;
    }
    /* only now: what the vault asks meanwhile waits in the socket */
    return kv_channel_new_take_fd(courier->loop, KV_FD_VAULT, KV_ROLE_COURIER, KV_ROLE_VAULT,
                                  on_frame, on_gone, courier, &courier->vault, err);
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
        if (code != KV_OK) {
            kv_log_err(KV_LOG_ERROR, "configure", &err);
            courier->failed = code;
            kv_loop_stop(courier->loop); /* the supervisor starts another: it may be set right */
        }
        return;
    }
    for (size_t i = 0; i < KV_COUNT(table); i++) {
        if (table[i].op == frame->op) {
            courier_errand(courier, frame, table[i].call);
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
    courier.pace = kv_pace_new();
    if (kv_channel_new_take_fd(courier.loop, KV_FD_SUPERVISOR, KV_ROLE_COURIER, KV_ROLE_SUPERVISOR,
                               on_frame, on_gone, &courier, &courier.supervisor, &err) != KV_OK ||
        kv_loop_run(courier.loop, &err) != KV_OK) {
        kv_program_die(&err);
    }
    courier_errands_clear(&courier);
    kv_courier_http_free(courier.http);
    kv_pace_free(courier.pace);
    kv_channel_free(courier.vault);
    kv_channel_free(courier.supervisor);
    kv_loop_free(courier.loop);
    return (int)kv_code_row(courier.failed)->exit;
}
