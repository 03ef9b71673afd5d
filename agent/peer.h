/* The other end of a Unix socket, as the kernel knows it. */
#ifndef KV_AGENT_PEER_H
#define KV_AGENT_PEER_H

#include "core/err.h"

#include <sys/types.h>

struct kv_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int pidfd; /* owned by the caller */
};

/* SO_PEERCRED and SO_PEERPIDFD; on kernels before 6.5 pidfd_open of the pid, which then may be
 * another process with its number: the attestation's start time and the uid still bind. */
KV_MUST_USE enum kv_code kv_peer_read(int fd, struct kv_peer *out, struct kv_err *err);

#endif
