/* What keeps a token whole while processes log in to it: a lock file per token, and a guard around
 * SoftHSM2, which rewrites `token.object` in place on every login (truncate, then write): a process
 * that dies in between leaves an empty file, and all keys of the token are lost. */
#ifndef KV_PKCS11_LOCK_H
#define KV_PKCS11_LOCK_H

#include "core/err.h"
#include "core/token.h"

/* Take the lock of the token `info` in the folder `dir`, for as long as *fd (owned by the caller)
 * is open. Errors: KV_E_TOKEN_IN_USE, KV_E_IO. */
KV_MUST_USE enum kv_code kv_token_lock(const char *dir, const struct kv_token_info *info, int *fd,
                                       struct kv_err *err);

/* Wait until nobody of ours is logging in to a token of the folder `tokens`; restore every
 * token.object that is empty from its copy, copy the others aside (`token.object.kv-backup`). Until
 * *fd (owned by the caller) is closed, others wait here. With `tokens` NULL, *fd is -1. Errors:
 * KV_E_TOKEN_IN_USE (after 10 s), KV_E_IO. */
KV_MUST_USE enum kv_code kv_softhsm_guard(const char *tokens, int *fd, struct kv_err *err);

#endif
