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

#define KV_GUARD_MAX 16 /* folders */

/* Locks on the folders of tokens; all others wait until it is cleared. {.count = 0} holds nothing.
 */
struct kv_softhsm_guard {
    int fd[KV_GUARD_MAX];
    size_t count;
};

/* For each of `folders` (what is not a folder is passed over): wait until nobody of ours is logging
 * in to a token in it; restore every token.object that is empty from its copy, copy the others
 * aside
 * (`token.object.kv-backup`). *out is owned by the caller, also after a failure. Errors:
 * KV_E_TOKEN_IN_USE (after 10 s), KV_E_LIMIT, KV_E_IO. */
KV_MUST_USE enum kv_code kv_softhsm_guard(const char *const *folders, size_t count,
                                          struct kv_softhsm_guard *out, struct kv_err *err);
void kv_softhsm_guard_clear(struct kv_softhsm_guard *guard);

#endif
