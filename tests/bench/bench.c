#include "tests/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What parent and children share: the children's readiness, the start, the tallies. */
struct shared {
    unsigned ready;
    uint64_t begin_us; /* 0: wait */
    struct bench_tally tally[];
};

uint64_t bench_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void bench_count(struct bench_tally *tally, uint64_t begin_us)
{
    uint64_t took = bench_now_us() - begin_us;
    tally->us[took > BENCH_LONGEST_US ? BENCH_LONGEST_US : took]++;
    tally->operations++;
}

void bench_die(const char *what)
{
    (void)fprintf(stderr, "bench: %s%s%s\n", what, errno != 0 ? ": " : "",
                  errno != 0 ? strerror(errno) : "");
    exit(1);
}

void bench_hash(uint8_t out[static 32])
{
    static _Thread_local uint64_t state;
    if (state == 0) {
        state = bench_now_us() ^ (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)&state;
    }
    for (size_t i = 0; i < 32; i += 8) { /* splitmix64: distinct is enough */
        uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        memcpy(out + i, &z, 8);
    }
}

int bench_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);
    if (len == 0 || len >= sizeof addr.sun_path) {
        errno = 0;
        bench_die("--socket names no socket");
    }
    memcpy(addr.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        bench_die(path);
    }
    return fd;
}

static void wait_for_start(struct shared *shared)
{
    (void)__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&shared->begin_us, __ATOMIC_SEQ_CST) == 0) {
        (void)usleep(200);
    }
}

struct thread {
    const struct bench_peer *peer;
    void *clients;
    struct shared *shared;
    struct bench_tally *tally;
    double seconds;
};

static void *work(void *ctx)
{
    struct thread *t = ctx;
    wait_for_start(t->shared);
    t->peer->run(t->clients, t->shared->begin_us + (uint64_t)(t->seconds * 1e6), t->tally);
    return NULL;
}

/* `count` clients in this process: one loop over all, or a thread for each. */
static void carry(const struct bench_peer *peer, const struct bench_options *options,
                  unsigned count, struct shared *shared, struct bench_tally *tally)
{
    static pthread_t id[BENCH_CLIENTS_MAX]; /* off the stack */
    static struct thread threads[BENCH_CLIENTS_MAX];
    unsigned thread_count = peer->threads ? count : 1;
    for (unsigned i = 0; i < thread_count; i++) {
        threads[i] = (struct thread){.peer = peer,
                                     .clients = peer->open(options, peer->threads ? 1 : count),
                                     .shared = shared,
                                     .tally = &tally[i],
                                     .seconds = options->seconds};
    }
    for (unsigned i = 0; i < thread_count; i++) {
        if (pthread_create(&id[i], NULL, work, &threads[i]) != 0) {
            bench_die("pthread_create");
        }
    }
    for (unsigned i = 0; i < thread_count; i++) {
        (void)pthread_join(id[i], NULL); /* ours */
    }
}

static uint64_t percentile(const struct bench_tally *all, double part)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)all->operations * part);
    for (size_t us = 0; us <= BENCH_LONGEST_US; us++) {
        seen += all->us[us];
        if (seen > wanted) {
            return us;
        }
    }
    return BENCH_LONGEST_US;
}

static double cpu_seconds(int who)
{
    struct rusage usage;
    (void)getrusage(who, &usage); /* cannot fail with these arguments */
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const struct bench_options *options, struct bench_tally *tally, unsigned count,
                   double took)
{
    for (unsigned i = 1; i < count; i++) {
        tally[0].operations += tally[i].operations;
        tally[0].failures += tally[i].failures;
        for (size_t us = 0; us <= BENCH_LONGEST_US; us++) {
            tally[0].us[us] += tally[i].us[us];
        }
    }
    double cpu = cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN);
    (void)printf("{\"peer\":\"%s\",\"clients\":%u,\"processes\":%s,\"operations\":%llu,"
                 "\"failures\":%llu,\"perSecond\":%.0f,\"p50us\":%llu,\"p99us\":%llu,"
                 "\"clientCpuUs\":%.1f}\n",
                 options->peer, options->clients, options->processes ? "true" : "false",
                 (unsigned long long)tally->operations, (unsigned long long)tally->failures,
                 (double)tally->operations / took, (unsigned long long)percentile(tally, 0.5),
                 (unsigned long long)percentile(tally, 0.99),
                 tally->operations == 0 ? 0 : cpu * 1e6 / (double)tally->operations);
}

/* Clients are opened one after another: SoftHSM2 loses logins that come at the same moment. */
static int run(const struct bench_peer *peer, const struct bench_options *options)
{
    size_t size = sizeof(struct shared) + options->clients * sizeof(struct bench_tally);
    unsigned processes = options->processes ? options->clients : 1;
    unsigned threads = !options->processes && peer->threads ? options->clients : 1;
    struct shared *shared =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        bench_die("mmap");
    }
    for (unsigned i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            bench_die("fork");
        }
        if (pid == 0) {
            carry(peer, options, options->processes ? 1 : options->clients, shared,
                  &shared->tally[i]);
            _exit(0);
        }
        unsigned wanted = options->processes ? i + 1 : threads;
        int status;
        while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < wanted) {
            (void)usleep(500);
            if (waitpid(pid, &status, WNOHANG) == pid) {
                errno = 0;
                bench_die("a client did not start");
            }
        }
    }
    uint64_t begin = bench_now_us();
    __atomic_store_n(&shared->begin_us, begin, __ATOMIC_SEQ_CST);
    int status, bad = 0;
    while (wait(&status) > 0) {
        bad |= status;
    }
    double took = (double)(bench_now_us() - begin) / 1e6;
    report(options, shared->tally, options->processes ? processes : threads,
           took > options->seconds ? options->seconds : took);
    return bad == 0 && shared->tally[0].failures == 0 ? 0 : 1;
}

static void usage(FILE *to)
{
    (void)fputs("bench PEER --clients N --seconds S [--processes] …\n"
                "  raw, p11  --module SO --token LABEL --pin FILE --key LABEL [--rsa]\n"
                "  ssh       --socket PATH\n"
                "  http      --socket PATH --request FILE\n",
                to);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"module", 1, NULL, 'm'},  {"token", 1, NULL, 't'},   {"pin", 1, NULL, 'p'},
        {"key", 1, NULL, 'k'},     {"socket", 1, NULL, 's'},  {"request", 1, NULL, 'r'},
        {"clients", 1, NULL, 'c'}, {"seconds", 1, NULL, 'n'}, {"processes", 0, NULL, 'P'},
        {"rsa", 0, NULL, 'R'},     {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
    static const struct {
        const char *name;
        const struct bench_peer *peer;
    } peers[] = {
        {"raw", &bench_pkcs11}, {"p11", &bench_pkcs11}, {"ssh", &bench_ssh}, {"http", &bench_http}};
    struct bench_options options = {.clients = 1, .seconds = 2};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'm': options.module = optarg; break;
        case 't': options.token = optarg; break;
        case 'p': options.pin = optarg; break;
        case 'k': options.key = optarg; break;
        case 's': options.socket = optarg; break;
        case 'r': options.request = optarg; break;
        case 'c': options.clients = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'n': options.seconds = strtod(optarg, NULL); break;
        case 'P': options.processes = true; break;
        case 'R': options.rsa = true; break;
        default: usage(option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 2;
        }
    }
    options.peer = optind < argc ? argv[optind] : "";
    if (options.clients == 0 || options.clients > BENCH_CLIENTS_MAX || options.seconds <= 0) {
        usage(stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        if (strcmp(peers[i].name, options.peer) == 0) {
            return run(peers[i].peer, &options);
        }
    }
    usage(stderr);
    return 2;
}
