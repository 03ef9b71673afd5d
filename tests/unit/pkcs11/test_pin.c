#include "pkcs11/pin.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "tests/unit/kv_test.h"

#define UID_OTHER 12345

static char dir[] = "/tmp/kv-pin-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL || kv_secret_heap_init(NULL) != KV_OK ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

static void put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void a_pin_file_must_be_closed_to_others(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        enum kv_code want;
    } rows[] = {{0400, KV_OK},         {0600, KV_OK},         {0440, KV_E_PIN_OPEN},
                {0404, KV_E_PIN_OPEN}, {0620, KV_E_PIN_OPEN}, {0602, KV_E_PIN_OPEN},
                {0601, KV_E_PIN_OPEN}};
    char path[64], source[80];
    (void)snprintf(path, sizeof path, "%s/pin", dir);
    (void)snprintf(source, sizeof source, "file:%s", path);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        int fd = -1;
        put(path, "1234\n", rows[i].mode);
        assert_int_equal(kv_pin_open(source, getuid(), &fd, NULL), rows[i].want);
        assert_int_equal(fd >= 0, rows[i].want == KV_OK);
        if (fd >= 0) {
            struct kv_secret *pin = NULL;
            assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
            assert_int_equal(kv_pin_read_fd(fd, &pin, NULL), KV_OK);
            assert_true(kv_bytes_is(kv_secret_bytes(pin), "1234"));
            kv_secret_free(pin);
            assert_int_equal(close(fd), 0);
        }
        assert_int_equal(unlink(path), 0);
    }
}

static void a_pin_file_must_be_regular_and_of_a_trusted_owner(void **state)
{
    (void)state;
    char path[64], link[64], source[80], link_source[80], folder[80];
    int fd = -1;
    (void)snprintf(path, sizeof path, "%s/pin", dir);
    (void)snprintf(link, sizeof link, "%s/link", dir);
    (void)snprintf(source, sizeof source, "file:%s", path);
    (void)snprintf(link_source, sizeof link_source, "file:%s", link);
    (void)snprintf(folder, sizeof folder, "file:%s", dir);
    put(path, "1234", 0400);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(kv_pin_open(link_source, getuid(), &fd, NULL), KV_E_TOKEN_NO_PIN);
    assert_int_equal(kv_pin_open(folder, getuid(), &fd, NULL), KV_E_TOKEN_NO_PIN);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(mkfifo(link, 0600), 0);
    assert_int_equal(kv_pin_open(link_source, getuid(), &fd, NULL), KV_E_TOKEN_NO_PIN);
    if (getuid() == 0) {
        assert_int_equal(chown(path, UID_OTHER, 0), 0);
        assert_int_equal(kv_pin_open(source, 54321, &fd, NULL), KV_E_PIN_OPEN);
        assert_int_equal(fd, -1);
        assert_int_equal(kv_pin_open(source, UID_OTHER, &fd, NULL), KV_OK);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_credential_stays_in_its_folder(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        enum kv_code want;
    } rows[] = {{"credential:pin", KV_OK},
                {"credential:", KV_E_TOKEN_NO_PIN},
                {"credential:.", KV_E_TOKEN_NO_PIN},
                {"credential:..", KV_E_TOKEN_NO_PIN},
                {"credential:../pin", KV_E_TOKEN_NO_PIN},
                {"credential:./pin", KV_E_TOKEN_NO_PIN},
                {"credential:none", KV_E_PIN_CREDENTIAL},
                {"file:/nonexistent/pin", KV_E_PIN_MISSING},
                {"sealed:/nonexistent/pin", KV_E_PIN_MISSING},
                {"file:pin", KV_E_TOKEN_NO_PIN},
                {"sealed:pin", KV_E_TOKEN_NO_PIN},
                {"env:PIN", KV_E_TOKEN_NO_PIN},
                {"1234", KV_E_TOKEN_NO_PIN},
                {"", KV_E_TOKEN_NO_PIN},
                {NULL, KV_E_TOKEN_NO_PIN}};
    char path[64];
    int fd = -1;
    (void)snprintf(path, sizeof path, "%s/pin", dir);
    put(path, "1234", 0440); /* as systemd's ACL shows */
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(kv_pin_open("credential:pin", getuid(), &fd, NULL), KV_E_PIN_CREDENTIAL);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        fd = -1;
        assert_int_equal(kv_pin_open(rows[i].source, getuid(), &fd, NULL), rows[i].want);
        if (fd >= 0) {
            assert_int_equal(close(fd), 0);
        }
    }
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(kv_pin_open("credential:pin", getuid(), &fd, NULL), KV_E_PIN_OPEN);
    assert_int_equal(unlink(path), 0);
}

static void a_pipe_is_read_only_if_nobody_else_has_it(void **state)
{
    (void)state;
    char path[64];
    int fd = -1;
    struct kv_secret *pin = NULL;
    (void)snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(kv_pin_open_pipe(path, &fd, NULL), KV_E_PIN_AWAITED);
    put(path, "1234", 0600);
    assert_int_equal(kv_pin_open_pipe(path, &fd, NULL), KV_E_PIN_OPEN);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(kv_pin_open_pipe(path, &fd, NULL), KV_E_PIN_OPEN);
    assert_int_equal(fd, -1);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(kv_pin_open_pipe(path, &fd, NULL), KV_E_PIN_AWAITED); /* left behind */
    int own = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(write(own, "1234", 4), 4);
    assert_int_equal(kv_pin_open_pipe(path, &fd, NULL), KV_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(close(own), 0);
    assert_int_equal(kv_pin_read_fd(fd, &pin, NULL), KV_OK);
    assert_true(kv_bytes_is(kv_secret_bytes(pin), "1234"));
    kv_secret_free(pin);
    assert_int_equal(close(fd), 0);
}

static void a_pin_has_4_to_255_bytes_without_its_newline(void **state)
{
    (void)state;
    static const struct {
        size_t digits, newlines;
        size_t want; /* 0: refused */
    } rows[] = {{0, 0, 0},   {0, 1, 0},   {3, 0, 0},     {3, 1, 0},     {4, 0, 4},
                {4, 1, 4},   {4, 2, 5},   {255, 0, 255}, {255, 1, 255}, {256, 0, 0},
                {256, 1, 0}, {255, 2, 0}, {1000, 0, 0},  {3, 2, 4}};
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char text[1024];
        int ends[2];
        struct kv_secret *pin = NULL;
        memset(text, '7', rows[i].digits);
        memset(text + rows[i].digits, '\n', rows[i].newlines);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        size_t len = rows[i].digits + rows[i].newlines;
        assert_int_equal(write(ends[1], text, len), len);
        assert_int_equal(close(ends[1]), 0);
        enum kv_code code = kv_pin_read_fd(ends[0], &pin, NULL);
        assert_int_equal(code, rows[i].want == 0 ? KV_E_TOKEN_NO_PIN : KV_OK);
        if (pin != NULL) {
            assert_int_equal(kv_secret_len(pin), rows[i].want);
        }
        kv_secret_free(pin);
        assert_int_equal(close(ends[0]), 0);
    }
}

/* What the terminal shows, up to `until` or its end. */
static void read_screen(int master, const char *until, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    while (len + 1 < size && (until == NULL || strstr(out, until) == NULL)) {
        ssize_t n = read(master, out + len, size - 1 - len);
        if (n <= 0) {
            break; /* EIO: the child is gone */
        }
        len += (size_t)n;
        out[len] = '\0';
    }
}

/* A child asks at its own terminal. *slave: held open, so that the settings can be looked at. */
static pid_t ask_in_child(int *master, int *slave)
{
    assert_int_equal(openpty(master, slave, NULL, NULL, NULL), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kv_secret *pin = NULL;
        (void)login_tty(*slave);
        enum kv_code code = kv_pin_read_terminal("PIN: ", &pin, NULL);
        _exit(code == KV_OK && kv_bytes_is(kv_secret_bytes(pin), "secret77") ? 0 : 1);
    }
    return pid;
}

static bool echoes(int tty)
{
    struct termios t;
    assert_int_equal(tcgetattr(tty, &t), 0);
    return (t.c_lflag & ECHO) != 0;
}

static void the_terminal_does_not_show_the_pin(void **state)
{
    (void)state;
    int master, slave, status = 0;
    char screen[256];
    pid_t pid = ask_in_child(&master, &slave);
    read_screen(master, "PIN: ", screen, sizeof screen);
    assert_false(echoes(slave));
    assert_int_equal(write(master, "secret77\n", 9), 9);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(echoes(slave));
    assert_int_equal(close(slave), 0);
    read_screen(master, NULL, screen, sizeof screen);
    assert_null(strstr(screen, "secret"));
    assert_int_equal(close(master), 0);
}

static void a_signal_ends_the_question_with_the_terminal_restored(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < KV_COUNT(signals); i++) {
        int master, slave, status = 0;
        char screen[256];
        pid_t pid = ask_in_child(&master, &slave);
        read_screen(master, "PIN: ", screen, sizeof screen);
        assert_false(echoes(slave));
        assert_int_equal(kill(pid, signals[i]), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        assert_true(echoes(slave));
        assert_int_equal(close(slave), 0);
        assert_int_equal(close(master), 0);
    }
}

static void without_a_terminal_there_is_no_pin(void **state)
{
    (void)state;
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kv_secret *pin = NULL;
        (void)setsid(); /* away from the terminal, if there is one */
        _exit(kv_pin_read_terminal("PIN: ", &pin, NULL) == KV_E_TOKEN_NO_PIN ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_file_must_be_closed_to_others),
        cmocka_unit_test(a_pin_file_must_be_regular_and_of_a_trusted_owner),
        cmocka_unit_test(a_credential_stays_in_its_folder),
        cmocka_unit_test(a_pipe_is_read_only_if_nobody_else_has_it),
        cmocka_unit_test(a_pin_has_4_to_255_bytes_without_its_newline),
        cmocka_unit_test(the_terminal_does_not_show_the_pin),
        cmocka_unit_test(a_signal_ends_the_question_with_the_terminal_restored),
        cmocka_unit_test(without_a_terminal_there_is_no_pin),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
