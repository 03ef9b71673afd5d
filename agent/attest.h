/* Who runs behind a connection: read by the supervisor, which alone may look into other accounts'
 * processes, and told to the vault. Executable and hash are tripwires against change, not a
 * boundary inside one uid: a process can connect and then exec (SECURITY.md). */
#ifndef KV_AGENT_ATTEST_H
#define KV_AGENT_ATTEST_H

#include "core/err.h"
#include "core/hash.h"

#define KV_EXE_LEN  256
#define KV_UNIT_LEN 128

struct kv_attestation {
    char exe[KV_EXE_LEN]; /* the name it was started from, also when the file there was replaced;
                             "" if it could not be read or is longer */
    bool has_exe_hash;
    struct kv_hash exe_hash;
    uint64_t device, inode;
    uint64_t start_ticks;   /* since boot; with the pid it names the process for ever */
    char unit[KV_UNIT_LEN]; /* systemd unit from the cgroup, "" if none */
};

/* Look at the live process behind `pidfd`; its program's hash is told if the file was read before.
 * Errors: KV_E_NOT_FOUND when it has ended. */
KV_MUST_USE enum kv_code kv_attest(int pidfd, struct kv_attestation *out, struct kv_err *err);
/* The program of that process, for reading; *fd is owned by the caller. Errors: KV_E_NOT_FOUND. */
KV_MUST_USE enum kv_code kv_attest_open(int pidfd, int *fd, struct kv_err *err);
/* SHA-256 of an open file, remembered by its identity and times. Reads all of it if need be. */
KV_MUST_USE enum kv_code kv_attest_file(int fd, struct kv_hash *out, struct kv_err *err);

/* The same in pieces of a mebibyte, for who has others to serve. */
struct kv_attest_read;
/* Takes ownership of `fd` (also on failure); *out is owned by the caller. Errors: KV_E_LIMIT (no
 * file, or larger than 512 MiB), KV_E_IO. */
KV_MUST_USE enum kv_code kv_attest_read_new_take_fd(int fd, struct kv_attest_read **out,
                                                    struct kv_err *err);
/* Read the next piece; with *done the hash is known, and remembered, and only the end is left.
 * Errors: KV_E_IO, also when the file is changed meanwhile. */
KV_MUST_USE enum kv_code kv_attest_read_on(struct kv_attest_read *read, bool *done,
                                           struct kv_hash *out, struct kv_err *err);
void kv_attest_read_free(struct kv_attest_read *read);

/* The system unit of /proc/PID/cgroup (cgroup v2): the first group below the slices, "" for what
 * runs below user.slice, where an account may name groups as it likes. */
void kv_attest_unit(const char *cgroup, char out[static KV_UNIT_LEN]);

#endif
