/* The client against recorded bytes: a child listens on a socket in a fresh folder, keeps what it
 * was sent, and answers with what the test gives it. */
#include "tests/unit/kv_test.h"

#include "client/api.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
    char folder[64], path[96];
    pid_t pid;
    int asked; /* read end: what the client sent */
};

static void serve(int listener, int asked, const char *answer, size_t len)
{
    static char in[65536];
    int fd = accept(listener, NULL, NULL);
    size_t got = 0;
    /* the whole request: headers, and a body that follows at once */
    while (got < sizeof in) {
        ssize_t n = read(fd, in + got, sizeof in - got);
        if (n <= 0) {
            break;
        }
        got += (size_t)n;
        const char *end = memmem(in, got, "\r\n\r\n", 4);
        if (end != NULL && (strncmp(in, "GET", 3) == 0 || in[got - 1] == '}')) {
            break;
        }
    }
    ssize_t n = write(asked, in, got);
    n = n < 0 ? n : write(fd, answer, len);
    _exit(n < 0);
}

static struct server start(const char *answer)
{
    struct server s = {.folder = "/tmp/kv-client-XXXXXX"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int ends[2];
    assert_non_null(mkdtemp(s.folder));
    assert_true(snprintf(s.path, sizeof s.path, "%s/agent.sock", s.folder) > 0);
    assert_true(snprintf(address.sun_path, sizeof address.sun_path, "%s", s.path) > 0);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(pipe(ends), 0);
    s.pid = fork();
    if (s.pid == 0) {
        serve(listener, ends[1], answer, strlen(answer));
    }
    close(listener);
    close(ends[1]);
    s.asked = ends[0];
    return s;
}

/* What was asked, in `in`. */
static void stop(struct server *s, char *in, size_t size)
{
    size_t got = 0;
    ssize_t n;
    while (got < size - 1 && (n = read(s->asked, in + got, size - 1 - got)) > 0) {
        got += (size_t)n;
    }
    in[got] = '\0';
    close(s->asked);
    kill(s->pid, SIGKILL);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    unlink(s->path);
    rmdir(s->folder);
}

static enum kv_code ask(const char *path, enum kv_call call, json_t *args,
                        struct kv_api_answer *answer, struct kv_err *err)
{
    struct kv_api *api = kv_api_new(path);
    kv_api_set_wait(api, 2);
    if (kv_call_row(call)->method[0] == 'P') {
        kv_api_set_idempotency_key(api, "key-1");
    }
    enum kv_code code = kv_api_call(api, call, args, answer, err);
    kv_api_free(api);
    return code;
}

static void a_call_sends_what_the_api_asks_for(void **state)
{
    (void)state;
    char in[4096];
    struct kv_api_answer answer;
    struct kv_err err;
    struct server s =
        start("HTTP/1.1 201 Created\r\nContent-Length: 15\r\n\r\n{\"session\":\"s\"}");

    enum kv_code code = ask(s.path, KV_CALL_SESSION_OPEN,
                            json_pack("{s:s}", "context", "Nip:5265877635"), &answer, &err);

    stop(&s, in, sizeof in);
    assert_int_equal(code, KV_OK);
    assert_int_equal(answer.status, 201);
    assert_string_equal(json_string_value(json_object_get(answer.body, "session")), "s");
    assert_non_null(strstr(in, "POST /v1/sessions HTTP/1.1\r\n"));
    assert_non_null(strstr(in, "\r\nIdempotency-Key: key-1\r\n"));
    assert_non_null(strstr(in, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(in, "\r\nPrefer: wait=2\r\n"));
    assert_non_null(strstr(in, "\r\n\r\n{\"context\":\"Nip:5265877635\"}"));
    kv_api_answer_clear(&answer);
}

static void a_problem_is_returned_with_its_object(void **state)
{
    (void)state;
    char in[4096];
    struct kv_api_answer answer;
    struct kv_err err;
    struct server s =
        start("HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\n"
              "Content-Length: 61\r\n\r\n"
              "{\"code\":\"policy.no-grant\",\"detail\":\"no grant\",\"who\":\"fin-01\"}");

    enum kv_code code = ask(s.path, KV_CALL_STATUS, NULL, &answer, &err);

    stop(&s, in, sizeof in);
    assert_int_equal(code, KV_E_NO_GRANT);
    assert_string_equal(err.msg, "no grant");
    assert_string_equal(json_string_value(json_object_get(answer.body, "who")), "fin-01");
    kv_api_answer_clear(&answer);
}

static void what_is_no_answer_of_the_api_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *answer;
        enum kv_code want;
    } rows[] = {
        {"nothing", "", KV_E_UNREACHABLE},
        {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", KV_E_PROTOCOL},
        {"cut off", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"state\":", KV_E_PROTOCOL},
        {"no JSON", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", KV_E_PROTOCOL},
        {"an array", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", KV_E_PROTOCOL},
        {"a key twice", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"a\":2}",
         KV_E_PROTOCOL},
        {"no error code", "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", KV_E_PROTOCOL},
        {"a redirect",
         "HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 2\r\n\r\n{}",
         KV_E_PROTOCOL},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char in[4096];
        struct kv_api_answer answer;
        struct kv_err err;
        struct server s = start(rows[i].answer);

        enum kv_code code = ask(s.path, KV_CALL_STATUS, NULL, &answer, &err);

        stop(&s, in, sizeof in);
        if (code != rows[i].want) {
            fail_msg("%s: %s (%s)", rows[i].name, kv_code_word(code), err.msg);
        }
        kv_api_answer_clear(&answer);
    }
}

static void an_answer_above_the_limit_is_cut_off(void **state)
{
    (void)state;
    char in[4096];
    struct kv_api_answer answer;
    struct kv_err err;
    size_t len = KV_CALL_REPLY_MAX + 1;
    char *text = malloc(len + 128);
    assert_non_null(text);
    int head = snprintf(text, 128, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
    assert_true(head > 0);
    memset(text + head, ' ', len);
    text[(size_t)head + len] = '\0';
    struct server s = start(text);

    enum kv_code code = ask(s.path, KV_CALL_STATUS, NULL, &answer, &err);

    stop(&s, in, sizeof in);
    free(text);
    assert_int_equal(code, KV_E_PROTOCOL);
    assert_null(answer.body);
}

static void without_an_agent_the_answer_is_unreachable(void **state)
{
    (void)state;
    struct kv_api_answer answer;
    struct kv_err err;

    assert_int_equal(ask("/nonexistent/agent.sock", KV_CALL_STATUS, NULL, &answer, &err),
                     KV_E_UNREACHABLE);
    assert_null(answer.body);
    assert_int_equal(ask("relative.sock", KV_CALL_STATUS, NULL, &answer, &err), KV_E_USAGE);
}

static void the_environment_names_no_proxy(void **state)
{
    (void)state;
    char in[4096];
    struct kv_api_answer answer;
    struct kv_err err;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    struct server s = start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");

    enum kv_code code = ask(s.path, KV_CALL_STATUS, NULL, &answer, &err);

    stop(&s, in, sizeof in);
    unsetenv("http_proxy");
    assert_int_equal(code, KV_OK);
    assert_non_null(strstr(in, "GET /v1/status HTTP/1.1\r\n"));
    kv_api_answer_clear(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_sends_what_the_api_asks_for),
        cmocka_unit_test(a_problem_is_returned_with_its_object),
        cmocka_unit_test(what_is_no_answer_of_the_api_is_refused),
        cmocka_unit_test(an_answer_above_the_limit_is_cut_off),
        cmocka_unit_test(without_an_agent_the_answer_is_unreachable),
        cmocka_unit_test(the_environment_names_no_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
