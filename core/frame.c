#include "core/frame.h"

static const char *const role_words[KV_ROLE_COUNT] = {
    [KV_ROLE_SUPERVISOR] = "supervisor", [KV_ROLE_GATE] = "gate",       [KV_ROLE_VAULT] = "vault",
    [KV_ROLE_KEEPER] = "keeper",         [KV_ROLE_COURIER] = "courier",
};

const char *kv_role_word(enum kv_role role)
{
    return role_words[role];
}

/* clang-format off */
static const struct kv_frame_row rows[KV_FRAME_COUNT] = {
    [KV_FRAME_NONE]              = {"none", KV_ROLE_COUNT, KV_ROLE_COUNT, 0, false},
    [KV_FRAME_REPLY]             = {"reply", KV_ROLE_COUNT, KV_ROLE_COUNT, KV_FRAME_BODY_MAX, false},
    [KV_FRAME_REPLY_PART]        = {"reply-part", KV_ROLE_COUNT, KV_ROLE_COUNT, KV_FRAME_BODY_MAX, false},
    [KV_FRAME_CONFIGURE]         = {"configure", KV_ROLE_SUPERVISOR, KV_ROLE_COUNT, 32768, false},
    [KV_FRAME_CHILD]             = {"child", KV_ROLE_SUPERVISOR, KV_ROLE_VAULT, 1024, false},
    [KV_FRAME_PEER]              = {"peer", KV_ROLE_SUPERVISOR, KV_ROLE_VAULT, 256, true},
    [KV_FRAME_LISTENER]          = {"listener", KV_ROLE_SUPERVISOR, KV_ROLE_VAULT, 256, true},
    [KV_FRAME_ATTEST]            = {"attest", KV_ROLE_VAULT, KV_ROLE_SUPERVISOR, 256, true},
    [KV_FRAME_CONNECTION]        = {"connection", KV_ROLE_VAULT, KV_ROLE_GATE, 256, true},
    [KV_FRAME_HANGUP]            = {"hangup", KV_ROLE_GATE, KV_ROLE_VAULT, 64, false},
    [KV_FRAME_CALL]              = {"call", KV_ROLE_GATE, KV_ROLE_VAULT, KV_FRAME_BODY_MAX, false},
    [KV_FRAME_SLOT_STATE]        = {"slot-state", KV_ROLE_VAULT, KV_ROLE_KEEPER, 64, false},
    [KV_FRAME_SLOT_UNLOCK]       = {"slot-unlock", KV_ROLE_VAULT, KV_ROLE_SUPERVISOR, 128, false},
    [KV_FRAME_SLOT_HANGS]         = {"slot-hangs", KV_ROLE_VAULT, KV_ROLE_SUPERVISOR, 128, false},
    [KV_FRAME_STARTING]          = {"starting", KV_ROLE_VAULT, KV_ROLE_SUPERVISOR, 0, false},
    [KV_FRAME_KEY_FIND]          = {"key-find", KV_ROLE_VAULT, KV_ROLE_KEEPER, 512, false},
    [KV_FRAME_KEY_GENERATE]      = {"key-generate", KV_ROLE_VAULT, KV_ROLE_KEEPER, 512, false},
    [KV_FRAME_SIGN_CHECKPOINT]   = {"sign-checkpoint", KV_ROLE_VAULT, KV_ROLE_KEEPER, 1024, false},
    [KV_FRAME_SIGN_LOGIN]        = {"sign-login", KV_ROLE_VAULT, KV_ROLE_KEEPER, 16384, false},
    [KV_FRAME_SIGN_CERTIFICATE]  = {"sign-certificate", KV_ROLE_VAULT, KV_ROLE_KEEPER, 4096, false},
    [KV_FRAME_SIGN_CODES]        = {"sign-codes", KV_ROLE_VAULT, KV_ROLE_KEEPER, 16384, false},
    [KV_FRAME_SIGN_TOKEN_LOGIN]  = {"sign-token-login", KV_ROLE_VAULT, KV_ROLE_KEEPER, 16384, false},
    [KV_FRAME_TOKEN_POINT]       = {"token-point", KV_ROLE_VAULT, KV_ROLE_KEEPER, 64, false},
    [KV_FRAME_TOKEN_IMPORT]      = {"token-import", KV_ROLE_VAULT, KV_ROLE_KEEPER, 4096, false},
    [KV_FRAME_TOKEN_DROP]        = {"token-drop", KV_ROLE_VAULT, KV_ROLE_KEEPER, 2048, false},
    [KV_FRAME_END_KEEP]          = {"end-keep", KV_ROLE_VAULT, KV_ROLE_KEEPER, 16384, false},
    [KV_FRAME_END_TAKE]          = {"end-take", KV_ROLE_VAULT, KV_ROLE_KEEPER, 2048, false},
    [KV_FRAME_END_DROP]          = {"end-drop", KV_ROLE_VAULT, KV_ROLE_KEEPER, 2048, false},
    [KV_FRAME_KSEF_CHALLENGE]    = {"ksef-challenge", KV_ROLE_VAULT, KV_ROLE_COURIER, 64, false},
    [KV_FRAME_KSEF_LOGIN]        = {"ksef-login", KV_ROLE_VAULT, KV_ROLE_COURIER, 32768, false},
    [KV_FRAME_KSEF_TOKEN_LOGIN]  = {"ksef-token-login", KV_ROLE_VAULT, KV_ROLE_COURIER, 16384, false},
    [KV_FRAME_KSEF_KEYS]         = {"ksef-keys", KV_ROLE_VAULT, KV_ROLE_COURIER, 64, false},
    [KV_FRAME_KSEF_STATUS]       = {"ksef-status", KV_ROLE_VAULT, KV_ROLE_COURIER, 16384, false},
    [KV_FRAME_KSEF_REDEEM]       = {"ksef-redeem", KV_ROLE_VAULT, KV_ROLE_COURIER, 16384, false},
    [KV_FRAME_KSEF_REFRESH]      = {"ksef-refresh", KV_ROLE_VAULT, KV_ROLE_COURIER, 16384, false},
    [KV_FRAME_KSEF_END]          = {"ksef-end", KV_ROLE_VAULT, KV_ROLE_COURIER, 16384, false},
    [KV_FRAME_KSEF_END_OTHER]    = {"ksef-end-other", KV_ROLE_VAULT, KV_ROLE_COURIER, 16384, false},
    [KV_FRAME_KSEF_SESSIONS]     = {"ksef-sessions", KV_ROLE_VAULT, KV_ROLE_COURIER, 16384, false},
};
/* clang-format on */

const struct kv_frame_row *kv_frame_row(enum kv_frame_op op)
{
    return &rows[op];
}

void kv_frame_head(enum kv_frame_op op, uint32_t request, size_t len,
                   uint8_t out[static KV_FRAME_HEAD_LEN])
{
    assert(len <= rows[op].body_max);
    const uint64_t fields[] = {(uint64_t)op << 16 | KV_FRAME_VERSION, request, len};
    for (size_t i = 0; i < KV_COUNT(fields); i++) {
        for (size_t j = 0; j < 4; j++) {
            out[4 * i + j] = (uint8_t)(fields[i] >> (24 - 8 * j) & 0xff);
        }
    }
}

static bool may_travel(const struct kv_frame_row *row, enum kv_role from, enum kv_role to)
{
    return (row->from == from || row->from == KV_ROLE_COUNT) &&
           (row->to == to || row->to == KV_ROLE_COUNT);
}

size_t kv_frame_first(struct kv_bytes packet)
{
    struct kv_cursor cur = kv_cursor(packet);
    (void)kv_cursor_u32(&cur); /* op and version */
    (void)kv_cursor_u32(&cur); /* request */
    uint32_t len = kv_cursor_u32(&cur);
    return cur.failed || len > cur.left ? packet.len : KV_FRAME_HEAD_LEN + len;
}

enum kv_code kv_frame_parse(struct kv_bytes packet, enum kv_role from, enum kv_role to,
                            bool has_descriptor, struct kv_frame *out, struct kv_err *err)
{
    struct kv_cursor cur = kv_cursor(packet);
    uint16_t op = kv_cursor_u16(&cur);
    uint16_t version = kv_cursor_u16(&cur);
    uint32_t request = kv_cursor_u32(&cur);
    uint32_t len = kv_cursor_u32(&cur);
    struct kv_bytes body = kv_cursor_take(&cur, len);
    if (!kv_cursor_done(&cur)) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "a frame of %zu bytes is cut or too long", packet.len);
    }
    if (version != KV_FRAME_VERSION) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "a frame of version %u, this program speaks %d",
                         version, KV_FRAME_VERSION);
    }
    if (op == KV_FRAME_NONE || op >= KV_FRAME_COUNT || !may_travel(&rows[op], from, to) ||
        len > rows[op].body_max || has_descriptor != rows[op].descriptor) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "frame %u may not come from the %s", op,
                         role_words[from]);
    }
    *out = (struct kv_frame){(enum kv_frame_op)op, request, body};
    return KV_OK;
}
