/* What all programs of the agent share: how they start and how their channels are numbered. */
#ifndef KV_AGENT_PROGRAM_H
#define KV_AGENT_PROGRAM_H

#include "agent/channel.h"
#include "agent/loop.h"

/* Descriptors that the supervisor leaves to a child, besides 0, 1 and 2. */
enum {
    KV_FD_SUPERVISOR = 3, /* the channel to the supervisor */
    KV_FD_VAULT = 4,      /* gate, keeper, courier: the channel to the vault */
    KV_FD_PIN = 5,        /* keeper: the open PIN file; courier: the proxy's user:password */
};

/* Answer --version and --help of a program that nobody starts by hand; exits then. */
void kv_program_args(int argc, char **argv, const char *name, const char *about);
/* Descriptors enough, and no death by SIGPIPE; for the supervisor too. */
KV_MUST_USE enum kv_code kv_program_limits(struct kv_err *err);
/* Log, harden, set the secret heap up, make the loop. Exits with a message if it can't. */
struct kv_loop *kv_program_start(const char *name);
/* The last words of a program that can't go on: log and exit 1. */
_Noreturn void kv_program_die(const struct kv_err *err);

#endif
