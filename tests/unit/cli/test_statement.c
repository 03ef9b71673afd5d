/* approve and deny against an agent that gives another text than was asked for: nothing may be
 * signed. The agent is recorded bytes behind a socket; the texts are those of the vectors. */
#include "tests/unit/kv_test.h"

#include "cli/cmd_daily.h"
#include "cli/file.h"
#include "cli/sign.h"
#include "policy/statement.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRANT KV_VECTORS "/approvals/good/grant/"
#define KEYS  KV_VECTORS "/approvals/keys/TEST-"

static char folder[] = "/tmp/kv-statement-XXXXXX";
static char key_path[64], socket_path[64];

static struct kv_buf slurp(const char *path)
{
    struct kv_buf buf;
    struct kv_err err;
    kv_buf_init(&buf, 65536);
    assert_int_equal(cli_file_read(path, &buf, &err), KV_OK);
    return buf;
}

static int set_up(void **state)
{
    (void)state;
    struct kv_err err;
    if (mkdtemp(folder) == NULL || snprintf(key_path, sizeof key_path, "%s/key", folder) < 0 ||
        snprintf(socket_path, sizeof socket_path, "%s/agent.sock", folder) < 0) {
        return 1;
    }
    /* ssh-keygen refuses a key that others may read */
    struct kv_buf key = slurp(KEYS "fin-01");
    bool good =
        cli_file_write(key_path, kv_buf_bytes(&key), &err) == KV_OK && chmod(key_path, 0600) == 0;
    kv_buf_clear(&key);
    return !good;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(key_path);
    unlink(socket_path);
    return rmdir(folder);
}

/* Answer the first request with the statement, a POST with an outcome; exit with their number. */
static void serve(int listener, const char *statement)
{
    static char in[65536];
    const char *outcome = "{\"state\":\"open\"}";
    int requests = 0;
    int fd = accept(listener, NULL, NULL);
    size_t got = 0;
    ssize_t n;
    while (got < sizeof in && (n = read(fd, in + got, sizeof in - got)) > 0) {
        got += (size_t)n;
        const char *end = memmem(in, got, "\r\n\r\n", 4);
        if (end == NULL || (in[0] == 'P' && in[got - 1] != '}')) {
            continue;
        }
        const char *body = in[0] == 'P' ? outcome : statement;
        requests++;
        got = 0;
        if (dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body) <
            0) {
            break;
        }
    }
    _exit(requests);
}

/* How many requests an agent saw that gives `text` to this command line. */
static int requests_with(const char *text, const char *id, const char *person,
                         enum kv_code (*run)(struct cli *, struct kv_err *), enum kv_code *code)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct cli *cli = calloc(1, sizeof *cli);
    struct kv_err err = {0};
    const struct cli_value values[] = {{NULL, id}, {"as", person}, {"key", key_path}, {"yes", ""}};
    json_t *answer = json_pack("{s:s}", "text", text);
    char *statement = json_dumps(answer, JSON_COMPACT);
    int status;
    json_decref(answer);
    assert_non_null(cli);
    assert_non_null(statement);
    unlink(socket_path);
    assert_true(snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path) > 0);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid_t pid = fork();
    if (pid == 0) {
        serve(listener, statement);
    }
    close(listener);
    free(statement);
    const struct cli_verb verb = {.noun = "approve"};
    cli->verb = &verb;
    cli->socket_path = socket_path;
    memcpy(cli->values, values, sizeof values);
    cli->value_count = KV_COUNT(values);
    cli->json = true; /* keeps the test's own output short */

    *code = run(cli, &err);

    cli_clear(cli);
    free(cli);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void only_for_an_account(void)
{
    if (getpwuid(getuid()) == NULL) {
        print_message("skipped: ssh-keygen wants a passwd entry for uid %u\n", getuid());
        skip();
    }
}

/* The request's id, for a command line that fits the text. */
static void id_of(const struct kv_buf *text, char id[static KV_ULID_LEN])
{
    struct kv_err err;
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    assert_int_equal(kv_statement_parse(kv_buf_bytes(text), &st, NULL, &err), KV_OK);
    kv_statement_copy(st, KV_KEY_REQUEST, id, KV_ULID_LEN);
}

static void the_text_that_was_asked_for_is_signed_and_handed_in(void **state)
{
    (void)state;
    only_for_an_account();
    struct kv_buf text = slurp(GRANT "finance-fin-01.txt");
    char id[KV_ULID_LEN];
    enum kv_code code;
    id_of(&text, id);

    int requests = requests_with(kv_buf_str(&text), id, "fin-01", cmd_approve, &code);

    assert_int_equal(code, KV_OK);
    assert_int_equal(requests, 2);
    kv_buf_clear(&text);
}

/* `from` in the text becomes `to`; both of one length, or the whole text if from is NULL. */
static char *changed(const struct kv_buf *text, const char *from, const char *to, bool last)
{
    char *copy = strdup(from == NULL ? to : kv_buf_str(text));
    assert_non_null(copy);
    char *at = from == NULL ? NULL : strstr(copy, from);
    for (char *next = at; last && next != NULL; next = strstr(next + 1, from)) {
        at = next;
    }
    if (from != NULL) {
        assert_non_null(at);
        assert_int_equal(strlen(from), strlen(to));
        memcpy(at, to, strlen(to));
    }
    return copy;
}

static void another_text_than_was_asked_for_is_not_signed(void **state)
{
    (void)state;
    only_for_an_account();
    static const struct {
        const char *name, *from, *to;
        bool last; /* the last occurrence: in the repeated request */
        enum kv_code want;
    } rows[] = {
        {"a denial", "decision: approve", "decision: deny   ", false, KV_E_STMT_VALUE},
        {"another person", "approver: fin-01", "approver: fin-02", false, KV_E_PROTOCOL},
        {"another key", "approver-key: ssh:SHA256:f", "approver-key: ssh:SHA256:g", false,
         KV_E_PROTOCOL},
        {"a request that does not fit its hash", "rate: 120/h", "rate: 999/h", false,
         KV_E_STMT_REQUEST},
        {"another hash", "request-sha256: ", "request-sha256:0", false, KV_E_STMT_LINE},
        {"no text", NULL, "", false, KV_E_STMT_TRANSIT},
        {"some other text", NULL, "Please sign here.\n", false, KV_E_STMT_LINE},
    };
    struct kv_buf text = slurp(GRANT "finance-fin-01.txt");
    char id[KV_ULID_LEN];
    id_of(&text, id);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char *other = changed(&text, rows[i].from, rows[i].to, rows[i].last);
        enum kv_code code;

        int requests = requests_with(other, id, "fin-01", cmd_approve, &code);

        if (code != rows[i].want || requests != 1) {
            fail_msg("%s: %s, %d requests", rows[i].name, kv_code_word(code), requests);
        }
        free(other);
    }
    kv_buf_clear(&text);
}

static void an_approval_is_not_signed_where_a_denial_was_meant(void **state)
{
    (void)state;
    only_for_an_account();
    struct kv_buf text = slurp(GRANT "finance-fin-01.txt");
    char id[KV_ULID_LEN];
    enum kv_code code;
    id_of(&text, id);

    int requests = requests_with(kv_buf_str(&text), id, "fin-01", cmd_deny, &code);

    assert_int_equal(code, KV_E_PROTOCOL);
    assert_int_equal(requests, 1);
    kv_buf_clear(&text);
}

static void another_request_is_not_signed(void **state)
{
    (void)state;
    only_for_an_account();
    struct kv_buf text = slurp(GRANT "finance-fin-01.txt");
    enum kv_code code;

    int requests = requests_with(kv_buf_str(&text), "01KEBQGH006J9ATSEGBABKZVWD", "fin-01",
                                 cmd_approve, &code);

    assert_int_equal(code, KV_E_PROTOCOL);
    assert_int_equal(requests, 1);
    kv_buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_that_was_asked_for_is_signed_and_handed_in),
        cmocka_unit_test(another_text_than_was_asked_for_is_not_signed),
        cmocka_unit_test(an_approval_is_not_signed_where_a_denial_was_meant),
        cmocka_unit_test(another_request_is_not_signed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
