/* The socket that callers reach: one that systemd passed, or one bound here, where an agent that is
 * ending is waited for and two that start at once do not both get in. */
#ifndef KV_AGENT_LISTENER_H
#define KV_AGENT_LISTENER_H

#include "core/err.h"

struct kv_listener {
    int fd;   /* listening, not blocking */
    int lock; /* PATH.lock, held as long as this process lives; -1: systemd's socket, and systemd
               * sees to it that there is one of us */
};
#define KV_LISTENER_NONE ((struct kv_listener){-1, -1})

/* Listen at `path`, for everybody (0666: who may do what the vault decides). If another agent is
 * there, its end is waited for up to patience_ms. What an agent that was killed left behind is
 * replaced; anything but a socket is left alone. Close it also after an error.
 * Errors: KV_E_LEDGER_LOCKED (another agent is there and stays), KV_E_CONFIG, KV_E_IO. */
KV_MUST_USE enum kv_code kv_listener_open(const char *path, int patience_ms,
                                          struct kv_listener *out, struct kv_err *err);

/* A socket that was bound here is removed from `path`; one of systemd's stays. */
void kv_listener_close(struct kv_listener *listener, const char *path);

#endif
