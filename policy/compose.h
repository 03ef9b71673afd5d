/* Writing statements. What is written is parsed again by policy/statement.h before it is returned,
 * so nothing leaves here that the vault would refuse for its bytes, lines or values. */
#ifndef KV_POLICY_COMPOSE_H
#define KV_POLICY_COMPOSE_H

#include "core/buf.h"
#include "policy/statement.h"

/* Compose a request from its lines, given in any order; the line `action` chooses the grammar. The
 * counts (`persons`, `sentences`, `ends-grants`) may be left out: they follow from the numbered
 * lines. *out is owned by the caller; kv_statement_text gives the text to sign.
 * Errors: KV_E_STMT_LINE (missing, needless or given twice; the message names the key),
 * KV_E_STMT_VALUE (names the key), KV_E_STMT_TOO_LONG. */
KV_MUST_USE enum kv_code kv_compose_request(const struct kv_line *lines, size_t count,
                                            struct kv_statement **out, struct kv_err *err);
/* The same for an act; the line `act` chooses the grammar. */
KV_MUST_USE enum kv_code kv_compose_act(const struct kv_line *lines, size_t count,
                                        struct kv_statement **out, struct kv_err *err);

/* What a decision says beside its request. */
struct kv_decision_head {
    enum kv_decision decision;
    enum kv_seat seat;
    struct kv_bytes approver;
    struct kv_bytes approver_key; /* fingerprint */
    struct kv_size_root checkpoint;
    struct kv_bytes nonce; /* 43 characters */
    int64_t issued_ms;
};
/* A decision on `request`, whose lines it repeats. */
KV_MUST_USE enum kv_code kv_compose_decision(const struct kv_statement *request,
                                             const struct kv_decision_head *head,
                                             struct kv_statement **out, struct kv_err *err);

/* Texts of values. */
#define KV_NONCE_LEN     44 /* 43 characters and NUL */
#define KV_SIZE_ROOT_LEN 62 /* `<size> <root>` and NUL */
void kv_nonce_print(const uint8_t random[static 32], char out[static KV_NONCE_LEN]);
void kv_size_root_print(const struct kv_size_root *checkpoint, char out[static KV_SIZE_ROOT_LEN]);

#endif
