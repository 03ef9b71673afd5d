/* The calls of the agent's API (docs/protocol.md): one table, walked by the gate to route and to
 * translate, by the vault to read and to refuse, by the client to make them. What is not in the
 * table does not exist.
 *
 * Arguments come from the path (names in braces), for GET from the query, for POST from the JSON
 * body; together they are one message that follows `args`. */
#ifndef KV_CORE_CALL_H
#define KV_CORE_CALL_H

#include "core/message.h"

enum kv_call {
    KV_CALL_STATUS,
    KV_CALL_HEALTH,
    KV_CALL_FOUNDING,
    KV_CALL_SESSION_OPEN,
    KV_CALL_SESSIONS,
    KV_CALL_SESSION_CLOSE,
    KV_CALL_OFFLINE_CODES,
    KV_CALL_SUBMIT,
    KV_CALL_REQUESTS,
    KV_CALL_REQUEST,
    KV_CALL_STATEMENT,
    KV_CALL_PERSONS,
    KV_CALL_QUORUM,
    KV_CALL_CREDENTIALS,
    KV_CALL_SELF_SIGN,
    KV_CALL_IMPORT_POINT,
    KV_CALL_IMPORT,
    KV_CALL_INTEGRATIONS,
    KV_CALL_GRANTS,
    KV_CALL_POLICY,
    KV_CALL_EXPLAIN,
    KV_CALL_RECORDS,
    KV_CALL_RECORD,
    KV_CALL_EXPORT,
    KV_CALL_VERIFIED,
    KV_CALL_SLOT_UNLOCK,
    KV_CALL_COUNT
};

/* Who may make the call at all; what it then gives is decided in the vault. */
enum kv_access {
    KV_ACCESS_ANYONE,      /* any local account */
    KV_ACCESS_READER,      /* a person with this local uid, or root; an integration sees its own */
    KV_ACCESS_INTEGRATION, /* the policy decides */
    KV_ACCESS_ROOT,        /* the host's administrator: custody of the machine, no approval */
};

struct kv_call_row {
    const char *name;
    const char *method;
    const char *path;
    enum kv_access access;
    bool unfounded; /* also answered before founding and in safe mode */
    const struct kv_field_spec *args;
    const char *help; /* one sentence */
};

#define KV_CALL_BODY_MAX   49152 /* bytes of a request's JSON body */
#define KV_CALL_REPLY_MAX  (4 * 1024 * 1024)
#define KV_IDEMPOTENCY_LEN 65
#define KV_WAIT_MAX_S      30

const struct kv_call_row *kv_call_row(enum kv_call call);
/* Find the call of method and path; arguments of the path are written to `args` as strings.
 * Errors: KV_E_NOT_FOUND, KV_E_METHOD. */
KV_MUST_USE enum kv_code kv_call_route(const char *method, const char *path, enum kv_call *out,
                                       struct kv_buf *args, struct kv_err *err);

#endif
