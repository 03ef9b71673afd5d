/* Between the files that make answers (vault_view.c, vault_records.c). */
#ifndef KV_AGENT_VAULT_VIEW_H
#define KV_AGENT_VAULT_VIEW_H

#include "agent/vault.h"

/* An answer that may not exist. */
typedef enum kv_code vault_finds_fn(struct vault *v, const struct call *call, struct kv_buf *out,
                                    struct kv_err *err);
vault_finds_fn vault_view_records, vault_view_record;
/* `checkpoint`: `<size> <root>` of what is covered, as statements name it. */
void vault_view_checkpoint(const struct vault *v, struct kv_buf *out);
/* RFC 3339; nothing for 0 and KV_TIME_MAX. */
void vault_view_time(struct kv_buf *out, const char *name, int64_t ms);

/* ---- vault_status.c ---- */
typedef void vault_shows_fn(struct vault *v, const struct call *call, struct kv_buf *out);
vault_shows_fn vault_view_status, vault_view_health;
void vault_view_hex(struct kv_buf *out, const char *name, const struct kv_hash *hash);

#endif
