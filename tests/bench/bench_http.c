/* The agent's API: HTTP/1.1 over its Unix socket, one request under way per connection. Several
 * clients of one process are connections of one epoll loop. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 4096
#define ANSWER_MAX  65536

struct connection {
    int fd;
    uint64_t begin_us;
    size_t have;
    char answer[ANSWER_MAX];
};

struct clients {
    const char *socket;
    char *request; /* the whole request with its placeholders */
    unsigned count;
    int epoll;
    struct connection *connection;
};

static char *read_request(const char *path)
{
    char *text = calloc(1, REQUEST_MAX + 1);
    FILE *file = path == NULL ? NULL : fopen(path, "re");
    if (text == NULL || file == NULL || fread(text, 1, REQUEST_MAX, file) == 0) {
        bench_die("--request names no file");
    }
    (void)fclose(file); /* only read */
    return text;
}

static void *open_clients(const struct bench_options *options, unsigned count)
{
    struct clients *c = calloc(1, sizeof *c);
    if (c == NULL || (c->connection = calloc(count, sizeof *c->connection)) == NULL) {
        bench_die("memory");
    }
    c->request = read_request(options->request);
    c->count = count;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < count; i++) {
        c->connection[i].fd = bench_connect(options->socket);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->connection[i].fd, &event) != 0) {
            bench_die("epoll");
        }
    }
    return c;
}

static void base64(const uint8_t in[static 32], char out[static 45])
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *at = out;
    for (size_t i = 0; i < 32; i += 3) {
        uint32_t n = (uint32_t)in[i] << 16 | (uint32_t)(i + 1 < 32 ? in[i + 1] : 0) << 8 |
                     (uint32_t)(i + 2 < 32 ? in[i + 2] : 0);
        *at++ = digit[n >> 18];
        *at++ = digit[n >> 12 & 63];
        *at++ = i + 1 < 32 ? digit[n >> 6 & 63] : '=';
        *at++ = i + 2 < 32 ? digit[n & 63] : '=';
    }
    *at = '\0';
}

/* Both placeholders take as many characters as they have themselves in the Content-Length that
 * the file gives: @HASH@ is padded to 44 characters, @KEY@ stands in a header. */
static void ask(struct clients *c, struct connection *at)
{
    char text[REQUEST_MAX + 256];
    size_t len = 0;
    at->begin_us = bench_now_us();
    at->have = 0;
    for (const char *in = c->request; *in != '\0';) {
        uint8_t hash[32];
        char word[45];
        bool is_hash = strncmp(in, "@HASH@", 6) == 0, is_key = strncmp(in, "@KEY@", 5) == 0;
        if (is_hash || is_key) {
            bench_hash(hash);
            base64(hash, word);
            size_t n = is_hash ? 44 : 22;
            for (size_t i = 0; i < n; i++) {
                bool plain = is_hash || (word[i] != '+' && word[i] != '/');
                text[len++] = plain ? word[i] : 'x';
            }
            in += is_hash ? 6 : 5;
        } else {
            text[len++] = *in++;
        }
    }
    if (send(at->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len) {
        bench_die("send");
    }
}

/* Whether the answer is whole. */
static bool whole(struct connection *at, struct bench_tally *tally)
{
    at->answer[at->have] = '\0';
    const char *body = strstr(at->answer, "\r\n\r\n");
    const char *length = body == NULL ? NULL : strcasestr(at->answer, "\r\nContent-Length:");
    if (length == NULL || length > body) {
        return false;
    }
    size_t wanted = (size_t)(body + 4 - at->answer) + strtoul(length + 17, NULL, 10);
    if (at->have < wanted) {
        return false;
    }
    if (strncmp(at->answer, "HTTP/1.1 2", 10) != 0 && tally->failures++ == 0) {
        (void)fprintf(stderr, "bench: %s\n", at->answer);
    }
    return true;
}

static void run_clients(void *clients, uint64_t end_us, struct bench_tally *tally)
{
    struct clients *c = clients;
    unsigned open = c->count;
    for (unsigned i = 0; i < c->count; i++) {
        ask(c, &c->connection[i]);
    }
    while (open > 0) {
        struct epoll_event events[64];
        int n = epoll_wait(c->epoll, events, 64, 10000);
        if (n <= 0) {
            bench_die("no answer in ten seconds");
        }
        for (int i = 0; i < n; i++) {
            struct connection *at = &c->connection[events[i].data.u32];
            ssize_t got = recv(at->fd, at->answer + at->have, ANSWER_MAX - 1 - at->have, 0);
            if (got <= 0) {
                bench_die("the agent hung up");
            }
            at->have += (size_t)got;
            if (!whole(at, tally)) {
                continue;
            }
            bench_count(tally, at->begin_us);
            if (at->begin_us < end_us && bench_now_us() < end_us) {
                ask(c, at);
            } else {
                open--;
            }
        }
    }
}

const struct bench_peer bench_http = {
    .name = "http", .threads = false, .open = open_clients, .run = run_clients};
