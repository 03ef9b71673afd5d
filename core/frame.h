/* Frames between the agent's programs, over SOCK_SEQPACKET pairs (docs/protocol.md):
 *
 *   {u16 op, u16 version, u32 request, u32 len} ‖ len bytes        all big-endian, ≤ 64 KiB
 *
 * A packet holds one frame or several, one behind the other, 64 KiB in all.
 *
 * The body is a message (core/message.h). `request` pairs an answer with its question; answers
 * are KV_FRAME_REPLY, preceded by any number of KV_FRAME_REPLY_PART whose bodies go in front of it.
 */
#ifndef KV_CORE_FRAME_H
#define KV_CORE_FRAME_H

#include "core/buf.h"
#include "core/cursor.h"
#include "core/err.h"

#define KV_FRAME_VERSION  1
#define KV_FRAME_HEAD_LEN 12
#define KV_FRAME_MAX      65536 /* head and body */
#define KV_FRAME_BODY_MAX (KV_FRAME_MAX - KV_FRAME_HEAD_LEN)

/* The programs, as peers on a channel. */
enum kv_role {
    KV_ROLE_SUPERVISOR,
    KV_ROLE_GATE,
    KV_ROLE_VAULT,
    KV_ROLE_KEEPER,
    KV_ROLE_COURIER,
    KV_ROLE_COUNT
};
const char *kv_role_word(enum kv_role role); /* "gate" */

enum kv_frame_op {
    KV_FRAME_NONE,
    KV_FRAME_REPLY,        /* the answer: code, detail, then the call's own fields */
    KV_FRAME_REPLY_PART,   /* a first part of a long answer */
    KV_FRAME_CONFIGURE,    /* supervisor → child: what it needs of the configuration */
    KV_FRAME_CHILD,        /* supervisor → vault: a child came up, went down, or was refused */
    KV_FRAME_PEER,         /* supervisor → vault, with a descriptor: the channel to a child */
    KV_FRAME_LISTENER,     /* supervisor → vault, with a descriptor: the API's socket */
    KV_FRAME_ATTEST,       /* vault → supervisor, with a pidfd: who runs there? */
    KV_FRAME_CONNECTION,   /* vault → gate, with a descriptor: a client, under its number */
    KV_FRAME_HANGUP,       /* gate → vault: that client is gone */
    KV_FRAME_CALL,         /* gate → vault: an API call */
    KV_FRAME_SLOT_STATE,   /* vault → keeper: is the slot logged in, what is it */
    KV_FRAME_SLOT_UNLOCK,  /* vault → supervisor: try the slot's PIN source once more */
    KV_FRAME_SLOT_HANGS,   /* vault → supervisor: the slot's module or TPM does not answer */
    KV_FRAME_STARTING,     /* vault → supervisor: its start takes long, but goes on */
    KV_FRAME_KEY_FIND,     /* vault → keeper: public key and attributes of a key */
    KV_FRAME_KEY_GENERATE, /* vault → keeper */
    KV_FRAME_SIGN_CHECKPOINT,
    KV_FRAME_SIGN_LOGIN,       /* build and sign an AuthTokenRequest */
    KV_FRAME_SIGN_CERTIFICATE, /* build and self-sign a certificate */
    KV_FRAME_SIGN_CODES,       /* build and sign the texts of QR codes, one for each invoice */
    KV_FRAME_SIGN_TOKEN_LOGIN, /* encrypt a KSeF token for one challenge */
    KV_FRAME_TOKEN_POINT,      /* to what a KSeF token is sealed that is to be imported */
    KV_FRAME_TOKEN_IMPORT,     /* open, check, wrap, keep */
    KV_FRAME_TOKEN_DROP,
    KV_FRAME_END_KEEP, /* a refresh token, to end its session after a crash */
    KV_FRAME_END_TAKE,
    KV_FRAME_END_DROP,
    KV_FRAME_KSEF_CHALLENGE, /* vault → courier */
    KV_FRAME_KSEF_LOGIN,
    KV_FRAME_KSEF_TOKEN_LOGIN,
    KV_FRAME_KSEF_KEYS, /* the ministry's public key for tokens */
    KV_FRAME_KSEF_STATUS,
    KV_FRAME_KSEF_REDEEM,
    KV_FRAME_KSEF_REFRESH,
    KV_FRAME_KSEF_END,       /* DELETE the session of a refresh token */
    KV_FRAME_KSEF_END_OTHER, /* DELETE a session by its reference, with another's access token */
    KV_FRAME_KSEF_SESSIONS,  /* is a session still listed? */
    KV_FRAME_COUNT
};

/* What may travel: one table. */
struct kv_frame_row {
    const char *word;
    enum kv_role from, to;
    uint32_t body_max; /* bytes */
    bool descriptor;   /* exactly one travels with it, else none */
};
const struct kv_frame_row *kv_frame_row(enum kv_frame_op op);

struct kv_frame {
    enum kv_frame_op op;
    uint32_t request;
    struct kv_bytes body; /* borrowed from what was decoded */
};

/* The head for a body of `len` bytes. */
void kv_frame_head(enum kv_frame_op op, uint32_t request, size_t len,
                   uint8_t out[static KV_FRAME_HEAD_LEN]);
/* The bytes of the first frame of a packet, head and body; all of them if they are no whole frame,
 * which kv_frame_parse then refuses. */
size_t kv_frame_first(struct kv_bytes packet);
/* Check a received frame against the table: version, length, that `from` may send it to `to`, and
 * the descriptor. KV_E_PROTOCOL otherwise. Replies may go both ways. */
KV_MUST_USE enum kv_code kv_frame_parse(struct kv_bytes packet, enum kv_role from, enum kv_role to,
                                        bool has_descriptor, struct kv_frame *out,
                                        struct kv_err *err);

#endif
