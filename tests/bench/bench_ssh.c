/* ssh-agent with a PKCS#11 key: SSH_AGENTC_SIGN_REQUEST (draft-miller-ssh-agent §4.5). */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_IDENTITIES 11
#define IDENTITIES_ANSWER  12
#define SIGN_REQUEST       13
#define SIGN_RESPONSE      14
#define MESSAGE_MAX        4096

struct client {
    int fd;
    uint8_t key[2048];
    uint32_t key_len;
};

static void put32(uint8_t *at, uint32_t n)
{
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(n >> (24 - 8 * i) & 0xff);
    }
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void all(int fd, uint8_t *bytes, size_t len, bool send_it)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send_it ? send(fd, bytes + done, len - done, MSG_NOSIGNAL)
                            : recv(fd, bytes + done, len - done, 0);
        if (n <= 0) {
            bench_die("ssh-agent");
        }
        done += (size_t)n;
    }
}

/* `message` begins with room for its length. */
static uint32_t ask(int fd, uint8_t *message, uint32_t len, uint8_t wanted)
{
    put32(message, len);
    all(fd, message, 4 + len, true);
    all(fd, message, 4, false);
    uint32_t got = get32(message);
    errno = 0;
    if (got == 0 || got > MESSAGE_MAX - 4) {
        bench_die("ssh-agent: length");
    }
    all(fd, message + 4, got, false);
    if (message[4] != wanted) {
        bench_die("ssh-agent refused");
    }
    return got;
}

static void *open_client(const struct bench_options *options, unsigned count)
{
    struct client *c = calloc(1, sizeof *c);
    uint8_t message[MESSAGE_MAX];
    if (c == NULL || count != 1) {
        bench_die("ssh: one client a process");
    }
    c->fd = bench_connect(options->socket);
    message[4] = REQUEST_IDENTITIES;
    uint32_t len = ask(c->fd, message, 1, IDENTITIES_ANSWER);
    c->key_len = len < 9 || get32(message + 5) < 1 ? 0 : get32(message + 9);
    if (c->key_len == 0 || c->key_len > sizeof c->key || c->key_len + 13 > len + 4) {
        bench_die("ssh-agent has no key");
    }
    memcpy(c->key, message + 13, c->key_len);
    return c;
}

static void run_client(void *clients, uint64_t end_us, struct bench_tally *tally)
{
    struct client *c = clients;
    uint8_t message[MESSAGE_MAX];
    uint64_t begin;
    while ((begin = bench_now_us()) < end_us) {
        uint8_t *at = message + 4;
        *at++ = SIGN_REQUEST;
        put32(at, c->key_len);
        memcpy(at + 4, c->key, c->key_len);
        at += 4 + c->key_len;
        put32(at, 32);
        bench_hash(at + 4);
        put32(at + 36, 0); /* flags */
        (void)ask(c->fd, message, 1 + 4 + c->key_len + 4 + 32 + 4, SIGN_RESPONSE);
        bench_count(tally, begin);
    }
}

const struct bench_peer bench_ssh = {
    .name = "ssh", .threads = true, .open = open_client, .run = run_client};
