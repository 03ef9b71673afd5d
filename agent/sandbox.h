/* What a program of the agent may still do once it is warm: no new privileges, a list of system
 * calls (seccomp), and the files and ports that its job needs (Landlock, where the kernel has it).
 * Compiled out (KV_SANDBOX=0) in instrumented builds only, and shown by --version and status. */
#ifndef KV_AGENT_SANDBOX_H
#define KV_AGENT_SANDBOX_H

#include "core/frame.h"

/* Paths and ports of one program beyond its role's own; lists end with NULL. */
struct kv_sandbox_paths {
    const char *const *readable;
    const char *const *writable;
    uint16_t connect_port; /* TCP port that may be connected to; 0: none */
    bool unix_sockets; /* may make and connect Unix sockets; without it and a port: none at all */
};

/* Enter the sandbox of `role`; `paths` may be NULL. There is no way back. */
KV_MUST_USE enum kv_code kv_sandbox_enter(enum kv_role role, const struct kv_sandbox_paths *paths,
                                          struct kv_err *err);

#endif
