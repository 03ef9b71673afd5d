#include "agent/program.h"

#include "core/log.h"
#include "core/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

_Noreturn void kv_program_die(const struct kv_err *err)
{
    kv_log_err(KV_LOG_ERROR, "fatal", err);
    kv_log_release();
    exit(1);
}

void kv_program_args(int argc, char **argv, const char *name, const char *about)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s (sandbox %s)\n", name, KV_VERSION, KV_SANDBOX ? "on" : "off");
        exit(0);
    }
    if (argc > 1 || fcntl(KV_FD_SUPERVISOR, F_GETFD) < 0) {
        printf("%s: %s\nksefvaultd starts it; it does nothing when started by hand.\n", name,
               about);
        exit(argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2);
    }
}

/* Room for all connections and their pidfds; the soft limit of 1024 is made for select(). */
#define FILES_MAX 4096
#define FILES_MIN 128 /* our own, twice as many as needed, and some connections */

enum kv_code kv_program_limits(struct kv_err *err)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "RLIMIT_NOFILE");
    }
    if (files.rlim_max < FILES_MIN) {
        return KV_REFUSE(err, KV_E_LIMIT, "RLIMIT_NOFILE is %llu, at least %d are needed",
                         (unsigned long long)files.rlim_max, FILES_MIN);
    }
    files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "RLIMIT_NOFILE");
    }
    /* a log that nobody reads any more must not end us */
    (void)signal(SIGPIPE, SIG_IGN);
    return KV_OK;
}

struct kv_loop *kv_program_start(const char *name)
{
    struct kv_err err;
    struct kv_loop *loop = NULL;
    kv_log_init(name, KV_LOG_INFO);
    if (kv_program_limits(&err) != KV_OK || kv_secret_harden_process(&err) != KV_OK ||
        kv_secret_heap_init(&err) != KV_OK || kv_loop_new(&loop, &err) != KV_OK) {
        kv_program_die(&err);
    }
    return loop;
}
