#include "agent/peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5, not in Debian 12's headers */
#endif

enum kv_code kv_peer_read(int fd, struct kv_peer *out, struct kv_err *err)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "SO_PEERCRED");
    }
    int pidfd = -1;
    len = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) != 0) {
        pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
    }
    if (pidfd < 0) {
        return KV_FAIL(err, KV_E_NOT_FOUND, KV_ERRNO, "the caller has ended");
    }
    *out = (struct kv_peer){cred.pid, cred.uid, cred.gid, pidfd};
    return KV_OK;
}
