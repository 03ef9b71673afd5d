/* A keeper: one slot, one login, cached keys. It signs what it builds itself (a checkpoint, a login
 * request, a certificate, the text of a QR code) from fields, never a hash that somebody hands it.
 */
#ifndef KV_AGENT_KEEPER_H
#define KV_AGENT_KEEPER_H

#include "agent/channel.h"
#include "core/name.h"
#include "core/parse.h"
#include "core/seal.h"
#include "core/token.h"
#include "ksef/call.h"

struct keeper {
    struct kv_loop *loop;
    struct kv_channel *supervisor, *vault;
    struct kv_token *token;
    char vault_name[KV_VAULT_LEN];
    enum kv_code failed;        /* why the slot could not be opened */
    struct keeper_codes *codes; /* keeper_codes.c; NULL: none were asked for */
    int wrapped_dir;            /* keeper_secret.c */
    struct kv_seal_key *transport;
};

/* Answer a question that `op` asked: with the fields of `out`, or, where that is NULL, with why
 * not. */
void keeper_reply(struct keeper *k, enum kv_frame_op op, uint32_t request, const struct kv_buf *out,
                  const struct kv_err *err);
/* End, after this turn, if such a failure means that the token is gone. */
void keeper_give_up_if_gone(struct keeper *k, enum kv_code code);

/* A question for QR codes; answered when all are signed. */
void keeper_codes_add(struct keeper *k, const struct kv_frame *frame);
/* Answer what is signed: the hook of the turn's end. */
void keeper_codes_collect(void *keeper);
/* Before the token is closed: answer what was asked, and free. */
void keeper_codes_end(struct keeper *k);

/* Answer any other question of the vault: what is not in its table is KV_E_PROTOCOL. The answer's
 * fields are appended to `out`; on failure they mean nothing. */
KV_MUST_USE enum kv_code keeper_answer(struct keeper *k, const struct kv_frame *frame,
                                       struct kv_buf *out, struct kv_err *err);

/* ---- keeper_secret.c ---- */
typedef enum kv_code keeper_fn(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                               struct kv_err *err);
keeper_fn keeper_on_point, keeper_on_import, keeper_on_keep, keeper_on_take, keeper_on_drop_end,
    keeper_on_drop_token, keeper_on_token_login;
extern const struct kv_field_spec keeper_binding_specs[], keeper_import_specs[],
    keeper_keep_specs[], keeper_token_login_specs[];
/* Make the folder of wrapped secrets in `folder`, and the key for imports. */
KV_MUST_USE enum kv_code keeper_secrets_open(struct keeper *k, const char *folder,
                                             struct kv_err *err);

#endif
