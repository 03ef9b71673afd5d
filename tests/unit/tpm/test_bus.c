/* What a listener on the bus sees: the test sits between the token and the chip, and keeps all. */
#include "tests/unit/tpm/authority.h"
#include "tests/unit/tpm/swtpm.h"
#include "tpm/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CAPTURE_MAX (4 * 1024 * 1024)

struct listener {
    char path[96], capture[96];
    pid_t pid;
};

static int unix_socket(const char *path, bool listening)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof name.sun_path);
    memcpy(name.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        (listening ? bind(fd, (struct sockaddr *)&name, sizeof name) != 0 || listen(fd, 16) != 0
                   : connect(fd, (struct sockaddr *)&name, sizeof name) != 0)) {
        _exit(1);
    }
    return fd;
}

/* Until one end is closed, all that passes goes to `capture`, too. */
static void pass(int client, int chip, int capture)
{
    struct pollfd ends[] = {{.fd = client, .events = POLLIN}, {.fd = chip, .events = POLLIN}};
    static uint8_t data[8192];
    while (poll(ends, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            if (ends[i].revents == 0) {
                continue;
            }
            ssize_t n = read(ends[i].fd, data, sizeof data);
            if (n <= 0 || write(ends[1 - i].fd, data, (size_t)n) != n ||
                write(capture, data, (size_t)n) != n) {
                return;
            }
        }
    }
}

static void serve(const struct listener *l, const struct swtpm *tpm, int ready)
{
    char ctrl[160], chip_ctrl[128];
    (void)snprintf(ctrl, sizeof ctrl, "%s.ctrl", l->path);
    (void)snprintf(chip_ctrl, sizeof chip_ctrl, "%s.ctrl", tpm->socket);
    int capture = open(l->capture, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct pollfd doors[] = {{.fd = unix_socket(l->path, true), .events = POLLIN},
                             {.fd = unix_socket(ctrl, true), .events = POLLIN}};
    if (capture < 0 || write(ready, "", 1) != 1) {
        _exit(1);
    }
    while (poll(doors, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            int client =
                doors[i].revents != 0 ? accept4(doors[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;
            if (client >= 0) {
                int chip = unix_socket(i == 0 ? tpm->socket : chip_ctrl, false);
                pass(client, chip, capture);
                (void)close(chip);
                (void)close(client);
            }
        }
    }
    _exit(0);
}

static void listen_to(struct swtpm *tpm, struct listener *l)
{
    int ready[2];
    char byte;
    (void)snprintf(l->path, sizeof l->path, "%s/bus", tpm->dir);
    (void)snprintf(l->capture, sizeof l->capture, "%s/capture", tpm->dir);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    l->pid = fork();
    assert_true(l->pid >= 0);
    if (l->pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0) {
            serve(l, tpm, ready[1]);
        }
        _exit(1);
    }
    assert_int_equal(close(ready[1]), 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(close(ready[0]), 0);
    (void)snprintf(tpm->tcti, sizeof tpm->tcti, "swtpm:path=%s", l->path);
}

static uint8_t *heard(const struct listener *l, size_t *len)
{
    uint8_t *data = malloc(CAPTURE_MAX);
    assert_non_null(data);
    FILE *file = fopen(l->capture, "rbe");
    assert_non_null(file);
    *len = fread(data, 1, CAPTURE_MAX, file);
    assert_int_equal(fclose(file), 0);
    return data;
}

static bool was_heard(const uint8_t *data, size_t len, struct kv_bytes what)
{
    return memmem(data, len, what.ptr, what.len) != NULL;
}

static void no_secret_crosses_the_bus_in_clear(void **state)
{
    (void)state;
    static const char secret_text[] = "20251010-EC-1DCE3E3000-12ECB5B36E-45";
    struct swtpm *tpm = swtpm_new();
    struct listener l;
    struct kv_token_key key;
    struct kv_tpm_blob blob;
    struct kv_secret *plain = secret(secret_text), *kek = NULL;
    struct kv_hash digest = kv_hash(kv_bytes_str("a digest that is signed")), random;
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t sig_len = sizeof sig, len;
    TPM2B_AUTH auth, wrap_auth;
    struct kv_buf box;
    kv_buf_init(&box, 4096);
    listen_to(tpm, &l);
    assert_int_equal(kv_tpm_init(&tpm->profile, "unit", tpm->pin, NULL), KV_OK);
    struct kv_token *token = swtpm_open(tpm);
    struct kv_tpm_token *inside = kv_tpm_token(token);
    assert_int_equal(kv_token_generate(token, "log", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    assert_int_equal(kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &sig_len, NULL),
                     KV_OK);
    assert_int_equal(kv_token_random(token, random.b, sizeof random.b, NULL), KV_OK);
    assert_int_equal(
        kv_token_wrap(token, "w", KV_TOKEN_RUNG_SEALED, kv_bytes_str(""), plain, &box, NULL),
        KV_OK);
    kv_tpm_auth(inside->root, "log", &auth);
    kv_tpm_auth(inside->root, "w", &wrap_auth);
    assert_int_equal(kv_tpm_read(inside, KV_TPM_WRAPS, "w", &blob, NULL), KV_OK);
    kv_tpm_make_room(inside);
    assert_int_equal(kv_tpm_chip_unseal(&inside->chip, &blob, &wrap_auth, &kek, NULL), KV_OK);

    uint8_t *data = heard(&l, &len);
    /* the listener hears: what is no secret is there */
    assert_true(was_heard(data, len, kv_bytes(digest.b, sizeof digest.b)));
    assert_true(was_heard(data, len, kv_bytes(sig, 32)));
    assert_false(was_heard(data, len, kv_bytes_str(USER_PIN)));
    assert_false(was_heard(data, len, kv_secret_bytes(inside->root)));
    assert_false(was_heard(data, len, kv_bytes(auth.buffer, auth.size)));
    assert_false(was_heard(data, len, kv_bytes(wrap_auth.buffer, wrap_auth.size)));
    assert_false(was_heard(data, len, kv_secret_bytes(kek)));
    assert_false(was_heard(data, len, kv_bytes(random.b, sizeof random.b)));
    assert_false(was_heard(data, len, kv_bytes_str(secret_text)));
    free(data);
    kv_token_close(token);
    assert_int_equal(kill(l.pid, SIGKILL), 0);
    assert_int_equal(waitpid(l.pid, NULL, 0), l.pid);
    kv_secret_free(kek);
    kv_secret_free(plain);
    kv_buf_clear(&box);
    swtpm_free(tpm);
}

/* In either session: that of a password, which nobody needs, and that of a policy. */
static void a_sealed_pin_crosses_the_bus_encrypted(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    struct listener l;
    struct authority own;
    uint8_t message[KV_TPM_MESSAGE_LEN];
    size_t len;
    authority_init(&own, "P-256");
    listen_to(tpm, &l);
    const struct kv_tpm_way way = {.tcti = tpm->tcti, .slots = tpm->dir};
    for (int bound = 0; bound < 2; bound++) {
        struct kv_tpm_pin pin;
        struct kv_secret *out = NULL;
        assert_int_equal(kv_tpm_pin_seal(&way, "main", bound != 0 ? "sha256:0" : NULL,
                                         kv_buf_bytes(&own.spki), tpm->pin, &pin, NULL),
                         KV_OK);
        if (bound != 0) {
            assert_int_equal(kv_tpm_pin_message(&way, &pin, NULL, message, NULL), KV_OK);
            assert_int_equal(approve(&pin, &own, kv_bytes(message, sizeof message)), KV_OK);
        }
        assert_int_equal(kv_tpm_pin_unseal(&way, &pin, &out, NULL), KV_OK);
        assert_true(kv_bytes_is(kv_secret_bytes(out), USER_PIN));
        kv_secret_free(out);
    }
    uint8_t *data = heard(&l, &len);
    assert_true(was_heard(data, len, kv_bytes(message, KV_HASH_LEN))); /* no secret */
    assert_false(was_heard(data, len, kv_bytes_str(USER_PIN)));
    free(data);
    authority_clear(&own);
    assert_int_equal(kill(l.pid, SIGKILL), 0);
    assert_int_equal(waitpid(l.pid, NULL, 0), l.pid);
    swtpm_free(tpm);
}

/* At level trace it would write what crosses the bus, before it is encrypted. */
static void the_library_logs_nothing_whatever_the_environment_says(void **state)
{
    (void)state;
    char path[] = "/tmp/kv-tss-log-XXXXXX";
    struct stat st;
    struct swtpm *tpm = swtpm_new();
    assert_int_equal(setenv("TSS2_LOG", "all+trace", 1), 0);
    int log = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(log >= 0 && before >= 0);
    assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
    enum kv_code made = kv_tpm_init(&tpm->profile, "unit", tpm->pin, NULL);
    enum kv_code opened = swtpm_try(tpm, USER_PIN, NULL);
    enum kv_code refused = swtpm_try(tpm, "not the PIN of this slot", NULL);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(made, KV_OK);
    assert_int_equal(opened, KV_OK);
    assert_int_equal(refused, KV_E_TOKEN_PIN);
    assert_int_equal(fstat(log, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(close(log), 0);
    assert_int_equal(close(before), 0);
    swtpm_free(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: the library reads its level once */
        cmocka_unit_test(the_library_logs_nothing_whatever_the_environment_says),
        cmocka_unit_test(no_secret_crosses_the_bus_in_clear),
        cmocka_unit_test(a_sealed_pin_crosses_the_bus_encrypted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
