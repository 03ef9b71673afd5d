#include "agent/program.h"

#include "core/log.h"
#include "core/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void kv_program_die(const struct kv_err *err)
{
    kv_log_err(KV_LOG_ERROR, "fatal", err);
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

struct kv_loop *kv_program_start(const char *name)
{
    struct kv_err err;
    struct kv_loop *loop = NULL;
    kv_log_init(name, KV_LOG_INFO);
    if (kv_secret_harden_process(&err) != KV_OK || kv_secret_heap_init(&err) != KV_OK ||
        kv_loop_new(&loop, &err) != KV_OK) {
        kv_program_die(&err);
    }
    return loop;
}
