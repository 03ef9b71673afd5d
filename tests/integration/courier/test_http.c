/* What the HTTP client promises by itself: trust, limits, deadlines, and what it never does. The
 * environment of this program holds traps for all of it: see main. One file, though long, since
 * they must all run in that environment. */
#include "tests/integration/courier/world.h"
#include "tests/unit/ksef/software_key.h"

#include "core/parse.h"
#include "core/time.h"
#include "ksef/certificate.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char key_log[64];

static struct world *world_of(void **state)
{
    struct world *world = *state;
    world_control(world, "/clear", "{}");
    return world;
}

static struct kv_courier_request challenge_request(void)
{
    return (struct kv_courier_request){
        .method = "POST", .path = "/auth/challenge", .deadline_ms = 10000};
}

static struct kv_courier_http *client_of(struct world *world,
                                         const struct kv_courier_config *config)
{
    struct kv_courier_http *http = NULL;
    struct kv_err err = {0};
    if (kv_courier_http_new(world->loop, config, &http, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return http;
}

/* One challenge through a client of its own; the answer is the caller's. */
static struct answer *ask_with(struct world *world, const struct kv_courier_config *config)
{
    struct kv_courier_http *http = client_of(world, config);
    struct kv_courier_request request = challenge_request();
    struct answer *answer = world_call(world, http, &request);
    kv_courier_http_free(http);
    return answer;
}

static void assert_ended(struct answer *answer, enum kv_code want, bool sent)
{
    if (answer->code != want || answer->sent != sent) {
        fail_msg("%s, sent %d: %s", kv_code_word(answer->code), answer->sent, answer->message);
    }
    free(answer);
}

static void the_environment_is_not_listened_to(void **state)
{
    struct world *world = world_of(state);
    assert_string_equal(getenv("https_proxy"), "http://127.0.0.1:9"); /* nobody is there */
    struct kv_courier_config config = {.url = world->url, .ca_file = world->ca_file};

    assert_ended(ask_with(world, &config), KV_OK, true);

    assert_int_not_equal(access(key_log, F_OK), 0); /* where SSLKEYLOGFILE pointed to */
    assert_null(getenv("SSLKEYLOGFILE"));
}

/* A certificate for itself, as PEM with its key, in FOLDER/NAME. */
static void write_identity(struct world *world, const char *name, const char *common_name)
{
    struct software_key key = software_key_ec("P-256");
    struct kv_certificate_params params = {
        .kind = KV_CERTIFICATE_SEAL,
        .number = kv_bytes_str("5265877635"),
        .common_name = kv_bytes_str(common_name),
        .organisation = kv_bytes_str("test"),
        .spki = software_key_spki(&key),
        .not_before_ms = kv_time_now_ms() - KV_HOUR_MS,
        .not_after_ms = kv_time_now_ms() + KV_HOUR_MS,
    };
    struct kv_certificate_draft *draft = NULL;
    assert_int_equal(kv_certificate_begin(&params, &draft, NULL), KV_OK);
    uint8_t signature[KV_KSEF_SIGNATURE_MAX];
    size_t len = software_key_sign(&key, kv_certificate_digest(draft), signature);
    struct kv_buf der;
    kv_buf_init(&der, KV_CERTIFICATE_MAX);
    assert_int_equal(kv_certificate_finish(draft, kv_bytes(signature, len), &der, NULL), KV_OK);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio(bio, PEM_STRING_X509, "", der.data, (long)der.len) > 0, 1);
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key.pkey, NULL, NULL, 0, NULL, NULL), 1);
    char *text = NULL;
    long text_len = BIO_get_mem_data(bio, &text);
    world_write_file(world, name, kv_bytes(text, (size_t)text_len));
    (void)BIO_free(bio); /* memory only */
    kv_buf_clear(&der);
    kv_certificate_draft_free(draft);
    software_key_free(&key);
}

/* openssl s_server with that identity; its port. It answers with a page of its own (-www), or with
 * the files of the folder as whole answers (-HTTP). */
static unsigned start_tls_server(struct world *world, const char *name, const char *mode)
{
    char pem[128], log[64];
    world_path(world, name, pem, sizeof pem);
    const char *const argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
                                pem,       "-key",     pem,       mode,          NULL};
    char label[32];
    int n = snprintf(label, sizeof label, "server-%s", name);
    assert_in_range(n, 1, sizeof label - 1);
    world_start(world, label, argv);
    n = snprintf(log, sizeof log, "%s.log", label);
    assert_in_range(n, 1, sizeof log - 1);
    for (int i = 0; i < 100; i++) { /* "ACCEPT 127.0.0.1:40123\n" */
        struct kv_buf text = world_wait_file(world, log);
        const char *accept = strstr(kv_buf_str(&text), "ACCEPT 127.0.0.1:");
        const char *end = accept == NULL ? NULL : strchr(accept, '\n');
        uint64_t port = 0;
        if (end != NULL) {
            accept += strlen("ACCEPT 127.0.0.1:");
            assert_true(kv_parse_u64(kv_bytes(accept, (size_t)(end - accept)), 65535, &port));
        }
        kv_buf_clear(&text);
        if (port != 0) {
            return (unsigned)port;
        }
        world_turn(world, 50);
    }
    fail_msg("openssl s_server does not say its port");
    return 0;
}

static void the_peer_and_its_name_are_always_verified(void **state)
{
    struct world *world = world_of(state);
    static const struct {
        const char *identity, *common_name;
        bool own_ca; /* trust the server's own certificate, else the stand-in's CA */
        enum kv_code want;
    } cases[] = {
        {"good.pem", "localhost", true, KV_OK},
        {"stranger.pem", "localhost", false, KV_E_KSEF_TLS},
        {"misnamed.pem", "ksef.example", true, KV_E_KSEF_TLS},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        write_identity(world, cases[i].identity, cases[i].common_name);
        unsigned port = start_tls_server(world, cases[i].identity, "-www");
        char url[64], pem[128];
        int n = snprintf(url, sizeof url, "https://localhost:%u", port);
        assert_in_range(n, 1, sizeof url - 1);
        world_path(world, cases[i].identity, pem, sizeof pem);
        struct kv_courier_config config = {.url = url,
                                           .ca_file = cases[i].own_ca ? pem : world->ca_file};
        struct kv_courier_http *http = client_of(world, &config);
        struct kv_courier_request request = {.method = "GET", .path = "/", .deadline_ms = 10000};

        struct answer *answer = world_call(world, http, &request);

        assert_ended(answer, cases[i].want, cases[i].want == KV_OK);
        kv_courier_http_free(http);
    }
}

/* The system's CA folder would be trusted beside our file: the stand-in's CA is put there in
 * spirit, by not naming a file at all. */
static void the_systems_authorities_do_not_know_the_stand_in(void **state)
{
    struct world *world = world_of(state);
    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) != 0) {
        print_message("skipped: no ca-certificates\n");
        skip();
    }
    struct kv_courier_config config = {.url = world->url};

    assert_ended(ask_with(world, &config), KV_E_KSEF_TLS, false);
}

static void a_closed_port_is_unreachable(void **state)
{
    struct world *world = world_of(state);
    struct kv_courier_config config = {.url = "https://127.0.0.1:9/v2", .ca_file = world->ca_file};
    assert_ended(ask_with(world, &config), KV_E_KSEF_UNREACHABLE, false);

    config.url = "https://no-such-host.invalid/v2";
    assert_ended(ask_with(world, &config), KV_E_KSEF_UNREACHABLE, false);

    config.url = world->url;
    config.proxy = "http://127.0.0.1:9";
    assert_ended(ask_with(world, &config), KV_E_KSEF_UNREACHABLE, false);
}

static void the_configured_proxy_sees_a_tunnel_only(void **state)
{
    struct world *world = world_of(state);
    const char *const argv[] = {"/usr/bin/python3", PROXY, world->folder, NULL};
    world_start(world, "proxy", argv);
    struct kv_buf text = world_wait_file(world, "proxy-port");
    char proxy[64];
    int n = snprintf(proxy, sizeof proxy, "http://127.0.0.1:%.*s", (int)text.len - 1,
                     (const char *)text.data);
    assert_in_range(n, 1, sizeof proxy - 1);
    kv_buf_clear(&text);
    struct kv_courier_config config = {
        .url = world->url, .ca_file = world->ca_file, .proxy = proxy};
    struct kv_courier_http *http = client_of(world, &config);
    struct kv_secret *bearer = NULL;
    assert_int_equal(kv_secret_from(kv_bytes_str("very.secret.token"), &bearer, NULL), KV_OK);
    struct kv_courier_request request = challenge_request();
    request.bearer = bearer;

    struct answer *answer = world_call(world, http, &request);

    assert_int_equal(answer->status, 200);
    free(answer);
    struct kv_buf log = world_wait_file(world, "proxy-log");
    assert_memory_equal(log.data, "CONNECT localhost:", 18);
    assert_null(strstr(kv_buf_str(&log), "secret"));
    assert_null(strstr(kv_buf_str(&log), "challenge"));
    kv_buf_clear(&log);
    kv_secret_free(bearer);
    kv_courier_http_free(http);
}

static void a_deadline_ends_the_call(void **state)
{
    struct world *world = world_of(state);
    static const char *const faults[] = {
        "{\"endpoint\":\"challenge\",\"kind\":\"slow\",\"delay\":5}",
        "{\"endpoint\":\"challenge\",\"kind\":\"trickle\",\"delay\":0.1}",
    };
    for (size_t i = 0; i < KV_COUNT(faults); i++) {
        world_control(world, "/fault", faults[i]);
        struct kv_courier_request request = challenge_request();
        request.deadline_ms = 300;
        int64_t start_ms = kv_loop_clock_ms();

        assert_ended(world_call(world, world->ksef, &request), KV_E_TIMEOUT, true);

        assert_in_range(kv_loop_clock_ms() - start_ms, 250, 2000);
    }
}

static void silence_ends_the_call_before_its_deadline(void **state)
{
    struct world *world = world_of(state);
    world_control(world, "/fault", "{\"endpoint\":\"challenge\",\"kind\":\"slow\",\"delay\":20}");
    struct kv_courier_config config = {
        .url = world->url, .ca_file = world->ca_file, .idle_ms = 1000};
    int64_t start_ms = kv_loop_clock_ms();

    assert_ended(ask_with(world, &config), KV_E_TIMEOUT, true);

    assert_in_range(kv_loop_clock_ms() - start_ms, 500, 6000);
}

static void an_answer_is_cut_off_at_its_limit(void **state)
{
    struct world *world = world_of(state);
    /* {"padding":"…"} has 14 bytes around the x */
    static const struct {
        unsigned bytes;
        size_t max;
        enum kv_code want;
    } cases[] = {
        {100 - 14, 100, KV_OK},
        {101 - 14, 100, KV_E_KSEF_ANSWER},
        {KV_COURIER_BODY_MAX - 14, 0, KV_OK},
        {KV_COURIER_BODY_MAX - 13, 0, KV_E_KSEF_ANSWER},
        {8 * 1024 * 1024, 0, KV_E_KSEF_ANSWER},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        char json[128];
        int n = snprintf(json, sizeof json,
                         "{\"endpoint\":\"challenge\",\"kind\":\"oversized\",\"bytes\":%u}",
                         cases[i].bytes);
        assert_in_range(n, 1, sizeof json - 1);
        world_control(world, "/fault", json);
        struct kv_courier_request request = challenge_request();
        request.body_max = cases[i].max;

        struct answer *answer = world_call(world, world->ksef, &request);

        if (cases[i].want == KV_OK) {
            assert_int_equal(answer->body_len, cases[i].bytes + 14);
            assert_memory_equal(answer->body + answer->body_len - 3, "x\"}", 3);
        } else {
            assert_int_equal(answer->body_len, 0);
        }
        assert_ended(answer, cases[i].want, true);
    }
    world_control(world, "/fault", "{\"endpoint\":\"challenge\",\"kind\":\"endless\"}");
    struct kv_courier_request request = challenge_request();
    assert_ended(world_call(world, world->ksef, &request), KV_E_KSEF_ANSWER, true);
}

/* Answers that the stand-in does not give: raw bytes from a file. */
static void odd_answers_are_not_believed(void **state)
{
    struct world *world = world_of(state);
    write_identity(world, "odd.pem", "localhost");
    unsigned port = start_tls_server(world, "odd.pem", "-HTTP");
    char url[64], pem[128];
    int n = snprintf(url, sizeof url, "https://localhost:%u", port);
    assert_in_range(n, 1, sizeof url - 1);
    world_path(world, "odd.pem", pem, sizeof pem);
    static const struct {
        const char *head;
        enum kv_code want;
        int status;
        const char *body;
    } cases[] = {
        {"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", KV_OK, 200, "hello"},
        {"HTTP/1.0 302 Found\r\nLocation: /odd-0\r\n\r\n", KV_OK, 302, ""}, /* not followed */
        {"hello", KV_E_KSEF_ANSWER, 0, ""},                                 /* HTTP/0.9 */
        {"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello", KV_E_KSEF_ANSWER, 0, ""},
        /* not unpacked: what is small on the wire stays small */
        {"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\nhello", KV_OK, 200, "hello"},
        {"HTTP/1.0 200 OK\r\nX: ", KV_E_KSEF_ANSWER, 0, ""}, /* and 40000 bytes more */
    };
    struct kv_courier_config config = {.url = url, .ca_file = pem};
    struct kv_courier_http *http = client_of(world, &config);
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_buf file;
        kv_buf_init(&file, 65536);
        kv_buf_add_str(&file, cases[i].head);
        for (size_t k = 0; i == KV_COUNT(cases) - 1 && k < 5000; k++) {
            kv_buf_add_str(&file, "\r\nX: xyz");
        }
        char name[16], path[16];
        n = snprintf(name, sizeof name, "odd-%zu", i);
        assert_in_range(n, 1, sizeof name - 1);
        n = snprintf(path, sizeof path, "/%s", name);
        assert_in_range(n, 1, sizeof path - 1);
        world_write_file(world, name, kv_buf_bytes(&file));
        kv_buf_clear(&file);
        struct kv_courier_request request = {.method = "GET", .path = path, .deadline_ms = 5000};

        struct answer *answer = world_call(world, http, &request);

        if (answer->code != cases[i].want || answer->status != cases[i].status ||
            !kv_bytes_is(kv_bytes(answer->body, answer->body_len), cases[i].body)) {
            fail_msg("%zu: %s %d %s", i, kv_code_word(answer->code), answer->status,
                     answer->message);
        }
        free(answer);
    }
    kv_courier_http_free(http);
}

static void headers_are_handed_on(void **state)
{
    struct world *world = world_of(state);
    struct kv_courier_request request = challenge_request();

    struct answer *plain = world_call(world, world->ksef, &request);
    world_control(world, "/fault",
                  "{\"endpoint\":\"challenge\",\"kind\":\"too-many-requests\",\"retry_after\":42}");
    struct answer *limited = world_call(world, world->ksef, &request);
    world_control(world, "/fault",
                  "{\"endpoint\":\"challenge\",\"kind\":\"warning\",\"message\":\"[sig-001]: x\"}");
    struct answer *warned = world_call(world, world->ksef, &request);

    assert_string_equal(plain->retry_after, "");
    assert_string_equal(plain->warning, "");
    assert_int_equal(strncmp(plain->content_type, "application/json", 16), 0);
    assert_int_equal(limited->status, 429);
    assert_string_equal(limited->retry_after, "42");
    /* we asked for problem details, and got them */
    assert_int_equal(strncmp(limited->content_type, "application/problem+json", 24), 0);
    assert_string_equal(warned->warning, "[sig-001]: x");
    free(plain);
    free(limited);
    free(warned);
}

/* libcurl repeats a request by itself when a reused connection closes without an answer. */
static void a_fresh_call_is_sent_once_even_if_the_line_breaks(void **state)
{
    struct world *world = world_of(state);
    struct kv_courier_request request = challenge_request();
    for (int fresh = 0; fresh <= 1; fresh++) {
        free(world_call(world, world->ksef, &request)); /* leaves a connection to reuse */
        unsigned before = world_calls(world, "challenge");
        world_control(world, "/fault",
                      "{\"endpoint\":\"challenge\",\"kind\":\"hang-up\",\"times\":99}");
        request.fresh = fresh == 1;

        assert_ended(world_call(world, world->ksef, &request), KV_E_KSEF_UNREACHABLE, true);

        unsigned sent = world_calls(world, "challenge") - before;
        assert_int_equal(fresh == 1 ? sent == 1 : sent > 1, 1);
        world_control(world, "/clear", "{}");
    }
}

static void a_cancelled_call_never_calls_back(void **state)
{
    struct world *world = world_of(state);
    world_control(world, "/fault",
                  "{\"endpoint\":\"challenge\",\"kind\":\"slow\",\"delay\":0.2,\"times\":9}");
    struct answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    struct kv_courier_request request = challenge_request();
    struct kv_courier_call *call = NULL;
    assert_int_equal(
        kv_courier_http_start(world->ksef, &request, world_on_done, answer, &call, NULL), KV_OK);
    world_turn(world, 100);
    assert_int_equal(kv_courier_http_count(world->ksef), 1);

    kv_courier_http_cancel(call);

    assert_int_equal(kv_courier_http_count(world->ksef), 0);
    world_turn(world, 400);
    assert_false(answer->done);

    /* so does freeing the client with calls under way */
    struct kv_courier_config config = {.url = world->url, .ca_file = world->ca_file};
    struct kv_courier_http *http = client_of(world, &config);
    assert_int_equal(kv_courier_http_start(http, &request, world_on_done, answer, NULL, NULL),
                     KV_OK);
    world_turn(world, 100);
    kv_courier_http_free(http);
    world_turn(world, 400);
    assert_false(answer->done);
    free(answer);
}

static void only_so_many_calls_run_at_once(void **state)
{
    struct world *world = world_of(state);
    world_control(world, "/fault",
                  "{\"endpoint\":\"challenge\",\"kind\":\"slow\",\"delay\":0.3,\"times\":99}");
    struct answer *answers = calloc(KV_COURIER_CALLS_MAX, sizeof *answers);
    assert_non_null(answers);
    struct kv_courier_request request = challenge_request();
    for (size_t i = 0; i < KV_COURIER_CALLS_MAX; i++) {
        assert_int_equal(
            kv_courier_http_start(world->ksef, &request, world_on_done, &answers[i], NULL, NULL),
            KV_OK);
    }

    assert_int_equal(
        kv_courier_http_start(world->ksef, &request, world_on_done, &answers[0], NULL, NULL),
        KV_E_BUSY);
    int64_t start_ms = kv_loop_clock_ms();
    while (kv_courier_http_count(world->ksef) > 0) {
        world_turn(world, 20);
        assert_in_range(kv_loop_clock_ms() - start_ms, 0, 10000);
    }

    for (size_t i = 0; i < KV_COURIER_CALLS_MAX; i++) {
        assert_true(answers[i].done);
        assert_int_equal(answers[i].code, KV_OK);
        assert_int_equal(answers[i].status, 200);
    }
    assert_in_range(kv_loop_clock_ms() - start_ms, 0, 1700); /* side by side, not in a row */
    free(answers);
}

/* The callback starts the next call and cancels itself: both are allowed. */
struct chain {
    struct world *world;
    struct kv_courier_call *call;
    int left;
};

static void on_link(void *ctx, struct kv_courier_result *result)
{
    struct chain *chain = ctx;
    assert_int_equal(result->code, KV_OK);
    kv_courier_http_cancel(chain->call); /* too late: nothing happens */
    if (--chain->left == 0) {
        kv_loop_stop(chain->world->loop);
        return;
    }
    struct kv_courier_request request = challenge_request();
    assert_int_equal(
        kv_courier_http_start(chain->world->ksef, &request, on_link, chain, &chain->call, NULL),
        KV_OK);
}

static void a_callback_may_start_the_next_call(void **state)
{
    struct world *world = world_of(state);
    struct chain chain = {.world = world, .left = 5};
    struct kv_courier_request request = challenge_request();
    unsigned before = world_calls(world, "challenge");

    assert_int_equal(
        kv_courier_http_start(world->ksef, &request, on_link, &chain, &chain.call, NULL), KV_OK);
    assert_int_equal(kv_loop_run(world->loop, NULL), KV_OK);

    assert_int_equal(chain.left, 0);
    assert_int_equal(world_calls(world, "challenge") - before, 5);
}

static void what_could_leave_the_url_or_the_header_is_refused(void **state)
{
    struct world *world = world_of(state);
    static const struct {
        const char *name, *method, *path, *type, *bearer;
    } cases[] = {
        {"method", "PATCH", "/a", NULL, NULL},
        {"method with a line", "GET / HTTP/1.1\r\nX:", "/a", NULL, NULL},
        {"no slash", "GET", "a", NULL, NULL},
        {"another host", "GET", "@evil.example/", NULL, NULL},
        {"empty", "GET", "", NULL, NULL},
        {"upwards", "GET", "/../control/state", NULL, NULL},
        {"upwards, encoded", "GET", "/%2E%2e/control/state", NULL, NULL},
        {"upwards, half encoded", "GET", "/.%2e/control/state", NULL, NULL},
        {"fragment", "GET", "/a#b", NULL, NULL},
        {"backslash", "GET", "/\\evil.example", NULL, NULL},
        {"space", "GET", "/a b", NULL, NULL},
        {"line in the path", "GET", "/a\r\nX: y", NULL, NULL},
        {"not ASCII", "GET", "/ł", NULL, NULL},
        {"line in the type", "POST", "/a", "application/json\r\nX: y", NULL},
        {"line in the bearer", "GET", "/a", NULL, "abc\r\nX: y"},
        {"space in the bearer", "GET", "/a", NULL, "abc def"},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_secret *bearer = NULL;
        if (cases[i].bearer != NULL) {
            assert_int_equal(kv_secret_from(kv_bytes_str(cases[i].bearer), &bearer, NULL), KV_OK);
        }
        struct kv_courier_request request = {.method = cases[i].method,
                                             .path = cases[i].path,
                                             .content_type = cases[i].type,
                                             .bearer = bearer,
                                             .deadline_ms = 1000};
        enum kv_code code =
            kv_courier_http_start(world->ksef, &request, world_on_done, NULL, NULL, NULL);
        if (code != KV_E_LIMIT) {
            fail_msg("%s: %s", cases[i].name, kv_code_word(code));
        }
        kv_secret_free(bearer);
    }
}

static void limits_of_a_request_are_kept(void **state)
{
    struct world *world = world_of(state);
    static uint8_t body[KV_COURIER_REQUEST_MAX + 1];
    struct kv_courier_request good = challenge_request(), bad[6];
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        bad[i] = good;
    }
    bad[0].deadline_ms = 0;
    bad[1].deadline_ms = KV_COURIER_DEADLINE_MAX + 1;
    bad[2].body_max = KV_COURIER_BODY_MAX + 1;
    bad[3].body = kv_bytes(body, sizeof body);
    bad[4].method = "GET";
    bad[4].body = kv_bytes(body, 1);
    bad[5].method = "DELETE";
    bad[5].body = kv_bytes(body, 1);

    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_int_equal(
            kv_courier_http_start(world->ksef, &bad[i], world_on_done, NULL, NULL, NULL),
            KV_E_LIMIT);
    }
    assert_int_equal(kv_courier_http_count(world->ksef), 0);
}

static void a_bad_configuration_is_refused(void **state)
{
    struct world *world = world_of(state);
    static const struct {
        const char *url, *proxy, *ca_file;
        enum kv_code want;
    } cases[] = {
        {"http://localhost/v2", NULL, NULL, KV_E_CONFIG},
        {"HTTPS://localhost/v2", NULL, NULL, KV_E_CONFIG},
        {"localhost/v2", NULL, NULL, KV_E_CONFIG},
        {"https://", NULL, NULL, KV_E_CONFIG},
        {"https://user@localhost/v2", NULL, NULL, KV_E_CONFIG},
        {"https://user:word@localhost/v2", NULL, NULL, KV_E_CONFIG},
        {"https://localhost/v2?a=b", NULL, NULL, KV_E_CONFIG},
        {"https://localhost/v2#a", NULL, NULL, KV_E_CONFIG},
        {"https://localhost:99999/v2", NULL, NULL, KV_E_CONFIG},
        {"ftp://localhost/v2", NULL, NULL, KV_E_CONFIG},
        {"https://localhost/v2", "socks5://localhost:1", NULL, KV_E_CONFIG},
        {"https://localhost/v2", "http://user:word@localhost:1", NULL, KV_E_CONFIG},
        {"https://localhost/v2", "localhost:1", NULL, KV_E_CONFIG},
        {"https://localhost/v2", NULL, "/nonexistent/ca.pem", KV_E_CONFIG},
        {"https://localhost/v2", NULL, "/dev/null", KV_E_CONFIG},
        {"https://localhost/v2", NULL, "/etc/passwd", KV_E_CONFIG},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_courier_config config = {.url = cases[i].url,
                                           .proxy = cases[i].proxy,
                                           .ca_file = cases[i].ca_file == NULL ? world->ca_file
                                                                               : cases[i].ca_file};
        struct kv_courier_http *http = NULL;
        enum kv_code code = kv_courier_http_new(world->loop, &config, &http, NULL);
        if (code != cases[i].want || http != NULL) {
            fail_msg("%s: %s", cases[i].url, kv_code_word(code));
        }
    }
}

static void no_client_is_made_for_a_ca_file_without_a_certificate(void **state)
{
    struct world *world = world_of(state);
    world_write_file(world, "junk.pem", kv_bytes_str("nothing\n"));
    char junk[128];
    world_path(world, "junk.pem", junk, sizeof junk);
    struct kv_courier_config config = {.url = world->url, .ca_file = junk};
    struct kv_courier_http *http = NULL;

    assert_int_equal(kv_courier_http_new(world->loop, &config, &http, NULL), KV_E_CONFIG);
    assert_null(http);
}

static struct world world; /* for cmocka's main, which has no other place */

static int share(void **state)
{
    *state = &world;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_is_not_listened_to),
        cmocka_unit_test(the_peer_and_its_name_are_always_verified),
        cmocka_unit_test(the_systems_authorities_do_not_know_the_stand_in),
        cmocka_unit_test(a_closed_port_is_unreachable),
        cmocka_unit_test(the_configured_proxy_sees_a_tunnel_only),
        cmocka_unit_test(a_deadline_ends_the_call),
        cmocka_unit_test(silence_ends_the_call_before_its_deadline),
        cmocka_unit_test(an_answer_is_cut_off_at_its_limit),
        cmocka_unit_test(odd_answers_are_not_believed),
        cmocka_unit_test(headers_are_handed_on),
        cmocka_unit_test(a_fresh_call_is_sent_once_even_if_the_line_breaks),
        cmocka_unit_test(a_cancelled_call_never_calls_back),
        cmocka_unit_test(only_so_many_calls_run_at_once),
        cmocka_unit_test(a_callback_may_start_the_next_call),
        cmocka_unit_test(what_could_leave_the_url_or_the_header_is_refused),
        cmocka_unit_test(limits_of_a_request_are_kept),
        cmocka_unit_test(a_bad_configuration_is_refused),
        cmocka_unit_test(no_client_is_made_for_a_ca_file_without_a_certificate),
    };
    int n = snprintf(key_log, sizeof key_log, "/tmp/kv-courier-keys-%ld", (long)getpid());
    if (n < 0 || kv_secret_heap_init(NULL) != KV_OK ||
        setenv("https_proxy", "http://127.0.0.1:9", 1) != 0 ||
        setenv("ALL_PROXY", "http://127.0.0.1:9", 1) != 0 ||
        setenv("SSLKEYLOGFILE", key_log, 1) != 0) {
        return 1;
    }
    if (!world_open(&world)) {
        world_close(&world);
        return 77; /* CTest: skipped */
    }
    int failed = cmocka_run_group_tests(tests, share, NULL);
    world_close(&world);
    return failed;
}
