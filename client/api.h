/* The agent API for our own programs: the calls of core/call.h over HTTP/1.1 on the agent's Unix
 * socket, by libcurl; answers as jansson values. It knows no meanings: what a call gives is the
 * vault's matter, how it is shown the program's.
 *
 *   struct kv_api *api = kv_api_new(KV_SOCKET_PATH);
 *   json_t *args = json_pack("{s:s}", "context", "Nip:5265877635");
 *   code = kv_api_call(api, KV_CALL_SESSION_OPEN, args, &answer, &err);
 *
 * Not for two threads at once. Answers may hold an access token: do not log them. */
#ifndef KV_CLIENT_API_H
#define KV_CLIENT_API_H

#include "core/call.h"

#include <jansson.h>

struct kv_api;

struct kv_api_answer {
    int status;   /* HTTP status; 0 if nothing was answered */
    json_t *body; /* owned; an object: what the call gives, or the problem details (RFC 9457) */
};
void kv_api_answer_clear(struct kv_api_answer *answer);

/* A client of the agent behind `socket_path` (absolute, shorter than 108 bytes; checked at the
 * first call). Nothing is connected yet. Owned by the caller. Out of memory aborts. */
struct kv_api *kv_api_new(const char *socket_path);
void kv_api_free(struct kv_api *api);
void kv_api_freep(struct kv_api **api);
const char *kv_api_socket(const struct kv_api *api);
/* How long the agent may wait for a result (`Prefer: wait=N`), 0 to KV_WAIT_MAX_S. */
void kv_api_set_wait(struct kv_api *api, unsigned seconds);
/* `fn` is called about once a second while a call is waited for. */
typedef void kv_api_tick_fn(void *ctx, unsigned seconds);
void kv_api_set_tick(struct kv_api *api, kv_api_tick_fn *fn, void *ctx);
/* The Idempotency-Key of the next POST only, 1 to 64 visible characters; without it a fresh random
 * one is used. */
void kv_api_set_idempotency_key(struct kv_api *api, const char *key);

/* Make one call. `args` (takes ownership; NULL: none) is an object of the call's arguments by their
 * names in core/call.h: those of the path go into the path, the others into the query of a GET or
 * the body of a POST.
 *
 * KV_OK: answer->body is what the call gives. An error that the agent answered with has the agent's
 * code and sentence, and answer->body is the whole problem object. Without an answer, body is NULL:
 * KV_E_UNREACHABLE (no socket, refused, cut off), KV_E_TIMEOUT, KV_E_PROTOCOL (not an answer of
 * this API, or too large), KV_E_INPUT_FIELD, _MISSING, _TYPE, _TOO_LARGE (the arguments do not fit
 * the call; nothing was sent). `answer` is always set. */
KV_MUST_USE enum kv_code kv_api_call(struct kv_api *api, enum kv_call call, json_t *args,
                                     struct kv_api_answer *answer, struct kv_err *err);

#endif
