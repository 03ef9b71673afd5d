/* The grammars of names (DESIGN: words and grammars), each checked here and nowhere else. */
#ifndef KV_CORE_NAME_H
#define KV_CORE_NAME_H

#include "core/bytes.h"
#include "core/err.h"

/* Sizes with NUL. */
#define KV_ID_LEN      64  /* [a-z0-9][a-z0-9._-]{0,62} */
#define KV_VAULT_LEN   166 /* [a-z0-9.-]{1,100}/[a-z0-9.-]{1,64} */
#define KV_ORIGIN_LEN  172 /* vault name and "/audit" */
#define KV_ULID_LEN    27
#define KV_CONTEXT_LEN 64
#define KV_KEY_LEN     64 /* ssh:SHA256:<43 characters> */
#define KV_OPS_LEN     128

bool kv_id_valid(struct kv_bytes in);
bool kv_vault_valid(struct kv_bytes in);
/* The second part of the name begins with `test-`: the vault was founded with --test. */
bool kv_vault_is_test(struct kv_bytes vault);
bool kv_ulid_valid(struct kv_bytes in);
/* ULID of `ms` and 10 random bytes (the caller's). */
void kv_ulid_make(int64_t ms, const uint8_t random[static 10], char out[static KV_ULID_LEN]);
/* `ssh:SHA256:` and 43 base64 characters. */
bool kv_approval_key_valid(struct kv_bytes in);
bool kv_nip_valid(struct kv_bytes in);

/* KSeF contexts: `Type:value`. */
enum kv_context_type {
    KV_CONTEXT_NIP,
    KV_CONTEXT_INTERNAL_ID,
    KV_CONTEXT_NIP_VAT_UE,
    KV_CONTEXT_PEPPOL_ID,
    KV_CONTEXT_TYPE_COUNT
};
struct kv_context {
    enum kv_context_type type;
    struct kv_bytes value; /* borrowed from the text */
};
const char *kv_context_type_word(enum kv_context_type type); /* "Nip" */
/* Errors: KV_E_INPUT_NIP (check digit), KV_E_INPUT_VALUE. `out` may be NULL. */
KV_MUST_USE enum kv_code kv_context_parse(struct kv_bytes in, struct kv_context *out,
                                          struct kv_err *err);

/* Operations: one list for statement, record, policy and relay. */
enum kv_op {
    KV_OP_NONE,
    KV_OP_AUTH_TOKEN,
    KV_OP_AUTH_XADES,
    KV_OP_CSR_SIGN,
    KV_OP_QR_KOD2,
    KV_OP_RELAY_READ,
    KV_OP_RELAY_SEND,
    KV_OP_SESSION_OPEN,
    KV_OP_SIGN_RAW,
    KV_OP_COUNT
};
const char *kv_op_word(enum kv_op op); /* "auth.xades" */
bool kv_op_parse(struct kv_bytes in, enum kv_op *out);
/* Sets are bit masks, 1 << op. Text: comma-separated, sorted bytewise, no repeats, not empty. */
bool kv_ops_parse(struct kv_bytes in, uint32_t *set);
void kv_ops_format(uint32_t set, char out[static KV_OPS_LEN]);

#endif
