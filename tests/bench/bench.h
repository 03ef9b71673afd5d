/* A load for a peer that signs: closed loops of clients, each waiting for its answer before it asks
 * again, for some seconds; then one line of JSON with throughput and latencies. What one operation
 * is, and how many clients one process carries, is the peer's. Numbers are for people to compare;
 * no test looks at them. */
#ifndef KV_TESTS_BENCH_H
#define KV_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_CLIENTS_MAX 256
#define BENCH_LONGEST_US  400000 /* longer ones are counted as this long */

struct bench_options {
    const char *peer;    /* raw, p11, ssh, http, sha256 */
    const char *module;  /* raw, p11: PKCS#11 module */
    const char *token;   /* raw, p11: label of the token */
    const char *pin;     /* raw, p11: file with the user PIN */
    const char *key;     /* raw, p11: label of the key */
    const char *socket;  /* ssh, http */
    const char *request; /* http: file with a request; @HASH@ becomes a new hash, @KEY@ a new key */
    bool rsa;            /* RSA-PSS instead of ECDSA */
    unsigned clients;
    bool processes; /* each client in a process of its own */
    double seconds;
};

/* Latencies of one process, in memory that it shares with its parent. */
struct bench_tally {
    uint64_t operations, failures;
    uint32_t us[BENCH_LONGEST_US + 1];
};

/* A peer: `open` prepares `count` clients and may be slow; `run` works until bench_now_us() reaches
 * the end, and tallies each operation. Both end the process with a message when something fails. */
struct bench_peer {
    const char *name;
    bool threads; /* several clients in one process are threads, each opened by itself */
    void *(*open)(const struct bench_options *options, unsigned count);
    void (*run)(void *clients, uint64_t end_us, struct bench_tally *tally);
};

extern const struct bench_peer bench_pkcs11, bench_ssh, bench_http;

uint64_t bench_now_us(void);
void bench_count(struct bench_tally *tally, uint64_t begin_us);
_Noreturn void bench_die(const char *what);
/* 32 bytes that differ with each call in any process. */
void bench_hash(uint8_t out[static 32]);
int bench_connect(const char *path);

#endif
