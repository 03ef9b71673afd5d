#include "tests/integration/courier/world.h"

#include "core/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_STEPS 500 /* of 20 ms */

static void nap(void)
{
    const struct timespec ms20 = {0, 20000000};
    (void)nanosleep(&ms20, NULL); /* shorter is fine */
}

void world_path(const struct world *world, const char *name, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s", world->folder, name);
    assert_in_range(n, 1, size - 1);
}

static pid_t spawn(const struct world *world, const char *name, const char *const argv[])
{
    char file[128], log[128];
    int n = snprintf(file, sizeof file, "%s.log", name);
    assert_in_range(n, 1, sizeof file - 1);
    world_path(world, file, log, sizeof log);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        /* the environment's traps are for the client, not for its servers */
        if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(world->folder) != 0 ||
            unsetenv("SSLKEYLOGFILE") != 0) {
            _exit(126);
        }
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv); /* returns on failure only */
        _exit(127);
    }
    return pid;
}

void world_start(struct world *world, const char *name, const char *const argv[])
{
    assert_true(world->child_count < WORLD_CHILDREN);
    world->children[world->child_count++] = spawn(world, name, argv);
}

int world_run(struct world *world, const char *name, const char *const argv[])
{
    int status = 0;
    pid_t pid = spawn(world, name, argv);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct kv_buf read_file(const char *path)
{
    struct kv_buf buf;
    kv_buf_init(&buf, 1 << 20);
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        uint8_t part[4096];
        size_t n;
        while ((n = fread(part, 1, sizeof part, file)) > 0) {
            kv_buf_add(&buf, part, n);
        }
        assert_int_equal(fclose(file), 0);
    }
    return buf;
}

struct kv_buf world_wait_file(const struct world *world, const char *name)
{
    char path[128];
    world_path(world, name, path, sizeof path);
    for (int i = 0; i < WAIT_STEPS; i++) {
        struct kv_buf buf = read_file(path);
        if (buf.len > 0) {
            return buf;
        }
        kv_buf_clear(&buf);
        nap();
    }
    fail_msg("%s did not appear", path);
    abort();
}

void world_write_file(const struct world *world, const char *name, struct kv_bytes data)
{
    char path[128];
    world_path(world, name, path, sizeof path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data.ptr, 1, data.len, file), data.len);
    assert_int_equal(fclose(file), 0);
}

/* Wait until the stand-in listens; false when it ended instead (a package is missing). */
static bool stand_in_ready(struct world *world)
{
    char ready[128];
    world_path(world, "ready", ready, sizeof ready);
    for (int i = 0; i < WAIT_STEPS; i++) {
        if (access(ready, F_OK) == 0) {
            return true;
        }
        if (waitpid(world->children[0], NULL, WNOHANG) == world->children[0]) {
            world->child_count = 0;
            return false;
        }
        nap();
    }
    fail_msg("the stand-in is not ready after 10 s");
    return false;
}

static struct kv_courier_http *client(struct world *world, const char *path)
{
    char url[80];
    int n = snprintf(url, sizeof url, "https://localhost:%u%s", world->port, path);
    assert_in_range(n, 1, sizeof url - 1);
    struct kv_courier_config config = {.url = url, .ca_file = world->ca_file};
    struct kv_courier_http *http = NULL;
    assert_int_equal(kv_courier_http_new(world->loop, &config, &http, NULL), KV_OK);
    return http;
}

bool world_open(struct world *world)
{
    *world = (struct world){.folder = "/tmp/kv-courier-XXXXXX"};
    assert_non_null(mkdtemp(world->folder));
    const char *const argv[] = {"/usr/bin/python3", KSEFSIM, "--state", world->folder, NULL};
    world_start(world, "ksefsim", argv);
    if (!stand_in_ready(world)) {
        print_message("skipped: the KSeF stand-in does not start; it needs python3-xmlsec, "
                      "python3-cryptography and python3-lxml\n");
        return false;
    }
    struct kv_buf text = world_wait_file(world, "port");
    uint64_t port = 0;
    assert_true(kv_parse_u64(kv_bytes(text.data, text.len - 1), 65535, &port));
    kv_buf_clear(&text);
    world->port = (unsigned)port;
    world_path(world, "ca.pem", world->ca_file, sizeof world->ca_file);
    int n = snprintf(world->url, sizeof world->url, "https://localhost:%u/v2", world->port);
    assert_in_range(n, 1, sizeof world->url - 1);
    assert_int_equal(kv_courier_warm_up(world->url, NULL), KV_OK);
    assert_int_equal(kv_loop_new(&world->loop, NULL), KV_OK);
    world->ksef = client(world, "/v2");
    world->control = client(world, "/control/"); /* the '/' at the end is not doubled */
    return true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void world_close(struct world *world)
{
    kv_courier_http_free(world->ksef);
    kv_courier_http_free(world->control);
    kv_loop_free(world->loop);
    for (size_t i = 0; i < world->child_count; i++) {
        (void)kill(world->children[i], SIGKILL); /* it may have ended */
        (void)waitpid(world->children[i], NULL, 0);
    }
    (void)nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* a temporary folder */
}

void world_on_done(void *ctx, struct kv_courier_result *result)
{
    struct answer *answer = ctx;
    answer->done = true;
    answer->code = result->code;
    answer->sent = result->sent;
    answer->status = result->status;
    memcpy(answer->message, result->err.msg, sizeof answer->message);
    memcpy(answer->content_type, result->content_type, sizeof answer->content_type);
    memcpy(answer->retry_after, result->retry_after, sizeof answer->retry_after);
    memcpy(answer->warning, result->warning, sizeof answer->warning);
    if (result->body_len > 0) {
        memcpy(answer->body, result->body, result->body_len);
    }
    answer->body_len = result->body_len;
    if (answer->loop != NULL) {
        kv_loop_stop(answer->loop);
    }
}

struct answer *world_call(struct world *world, struct kv_courier_http *http,
                          const struct kv_courier_request *request)
{
    struct answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    answer->loop = world->loop;
    struct kv_err err = {0};
    if (kv_courier_http_start(http, request, world_on_done, answer, NULL, &err) != KV_OK) {
        fail_msg("not started: %s", err.msg);
    }
    assert_false(answer->done); /* never from within start */
    assert_int_equal(kv_loop_run(world->loop, NULL), KV_OK);
    assert_true(answer->done);
    return answer;
}

static void on_time(void *ctx)
{
    kv_loop_stop(ctx);
}

void world_turn(struct world *world, int64_t ms)
{
    struct kv_timer *timer = kv_timer_new(world->loop, on_time, world->loop);
    kv_timer_arm(timer, ms);
    assert_int_equal(kv_loop_run(world->loop, NULL), KV_OK);
    kv_timer_free(timer);
}

void world_control(struct world *world, const char *path, const char *json)
{
    struct kv_courier_request request = {
        .method = "POST",
        .path = path,
        .body = kv_bytes_str(json),
        .content_type = "application/json",
        .deadline_ms = 10000,
    };
    struct answer *answer = world_call(world, world->control, &request);
    if (answer->code != KV_OK || answer->status != 200) {
        fail_msg("%s %s: %s %d %.*s", path, json, answer->message, answer->status,
                 (int)answer->body_len, (const char *)answer->body);
    }
    free(answer);
}

unsigned world_calls(struct world *world, const char *endpoint)
{
    struct kv_courier_request request = {.method = "GET", .path = "/state", .deadline_ms = 10000};
    struct answer *answer = world_call(world, world->control, &request);
    assert_int_equal(answer->status, 200);
    char key[64];
    int n = snprintf(key, sizeof key, "\"%s\":", endpoint);
    assert_in_range(n, 1, sizeof key - 1);
    const uint8_t *at = memmem(answer->body, answer->body_len, key, (size_t)n);
    assert_non_null(at);
    at += n;
    size_t len = 0;
    while (kv_is_digit(at[len])) {
        len++;
    }
    uint64_t calls = 0;
    assert_true(kv_parse_u64(kv_bytes(at, len), 1000000, &calls));
    free(answer);
    return (unsigned)calls;
}
