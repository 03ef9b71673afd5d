/* Secret memory: PINs, tokens, private keys live here from birth to wipe. Locked, not dumped,
 * zeroed before it is freed. There is no way to print, resize or copy one to ordinary memory. */
#ifndef KV_CORE_SECRET_H
#define KV_CORE_SECRET_H

#include "core/bytes.h"
#include "core/err.h"

#define KV_SECRET_MAX 65536 /* bytes: one frame */

struct kv_secret;

/* Set up the locked heap (4 MiB) once per process, before the first secret. Fails with
 * KV_E_NO_MEMORY when memory cannot be locked; "usable but not locked" is refused. */
KV_MUST_USE enum kv_code kv_secret_heap_init(struct kv_err *err);
/* Make the process undumpable: no core, PR_SET_DUMPABLE 0, umask 077. */
KV_MUST_USE enum kv_code kv_secret_harden_process(struct kv_err *err);

/* A zeroed secret of `len` bytes (1 to KV_SECRET_MAX). *out is owned by the caller, who frees it
 * with kv_secret_free; on failure it is untouched. Errors: KV_E_LIMIT, KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_secret_new(size_t len, struct kv_secret **out, struct kv_err *err);
/* So many bytes are still free, in whatever pieces. A secret takes the next power of two. */
bool kv_secret_room(size_t bytes);
/* The same, filled with a copy of `bytes` (which the caller wipes). */
KV_MUST_USE enum kv_code kv_secret_from(struct kv_bytes bytes, struct kv_secret **out,
                                        struct kv_err *err);
/* Wipe and free; NULL is fine. */
void kv_secret_free(struct kv_secret *secret);
void kv_secret_freep(struct kv_secret **secret);
uint8_t *kv_secret_data(struct kv_secret *secret);
size_t kv_secret_len(const struct kv_secret *secret);
/* A view for the shortest time needed; never kept. */
struct kv_bytes kv_secret_bytes(const struct kv_secret *secret);
/* Shorten to `len` ≤ its length; the rest is wiped. */
void kv_secret_shrink(struct kv_secret *secret, size_t len);
/* Wipe ordinary memory through which a secret passed. */
void kv_wipe(void *ptr, size_t len);

#endif
