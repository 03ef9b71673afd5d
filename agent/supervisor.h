/* The supervisor: starts the other programs, each under its own account, replaces those that end,
 * and answers the vault's one question: who runs behind this pidfd? It holds no client's socket, no
 * key and no network. */
#ifndef KV_AGENT_SUPERVISOR_H
#define KV_AGENT_SUPERVISOR_H

#include "agent/attestor.h"
#include "agent/channel.h"
#include "agent/listener.h"
#include "core/config.h"

#include <sys/types.h>

#define KV_CHILDREN_MAX (3 + KV_CONFIG_SLOTS_MAX)

struct kv_child {
    struct kv_supervisor *sup;
    enum kv_role role;
    const struct kv_config_slot *slot; /* keepers only */
    pid_t pid;                         /* 0: not running */
    struct kv_channel *channel;        /* to it */
    int peer_fd;                       /* the vault's end of the pair vault–child, until sent */
    struct kv_timer *respawn;
    int64_t born_ms, backoff_ms;
    bool hangs; /* killed for that */
    bool ready; /* it answered that it serves */
    /* why a keeper waits for `slot unlock`: its PIN was refused, or is awaited; else KV_OK */
    enum kv_code latched;
    int handed;   /* a PIN that root hands over by hand, for the next start alone; else -1 */
    bool by_hand; /* this keeper's PIN comes from there */
};

struct kv_supervisor {
    struct kv_loop *loop;
    const struct kv_config *config;
    char config_sha256[KV_HASH_BASE64_LEN];
    char program_dir[256];
    struct kv_listener listener;
    struct kv_attestor *attestor;
    int child_signals;         /* signalfd of SIGCHLD */
    struct kv_timer *patience; /* how long a stop may take */
    struct kv_child children[KV_CHILDREN_MAX];
    size_t child_count; /* children[0] is the vault */
    bool stopping;
};

/* Start one child and ask it to configure itself; on failure it is tried again later. */
void kv_child_start(struct kv_child *child);
/* A child ended; reap, decide what follows. */
void kv_supervisor_reap(struct kv_supervisor *sup);
/* The fields of CONFIGURE for this child. */
void kv_child_configuration(const struct kv_child *child, struct kv_buf *out);
/* Tell the vault of a child's state. */
void kv_supervisor_tell(struct kv_supervisor *sup, const struct kv_child *child, enum kv_code code,
                        const char *detail);
/* The attestor's answer, for the vault. */
void kv_supervisor_attested(void *sup, uint32_t request, enum kv_code code,
                            const struct kv_attestation *seen, const char *detail);
/* Open the proxy's user and password; as a PIN's file it must be closed to others. Errors:
 * KV_E_CONFIG. */
KV_MUST_USE enum kv_code kv_proxy_login_open(const char *source, uid_t owner, int *fd,
                                             struct kv_err *err);
const char *kv_child_program(enum kv_role role);
const char *kv_child_account(const struct kv_child *child);

/* ---- slots.c ---- */
/* Touch files as this account from now on: in the keeper's folder root has no rights of its own
 * (the unit leaves out CAP_DAC_OVERRIDE), and a link there must not lead it elsewhere. */
KV_MUST_USE bool kv_act_as(uid_t uid, gid_t gid);
/* The vault's frames SLOT_UNLOCK, which is answered, and SLOT_HANGS. */
void kv_supervisor_unlock(struct kv_supervisor *sup, struct kv_channel *channel,
                          const struct kv_frame *frame);
void kv_supervisor_slot_hangs(struct kv_supervisor *sup, const struct kv_frame *frame);

#endif
