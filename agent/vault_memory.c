/* Answers to POSTs, for their repetition under the same Idempotency-Key. Kept in memory only: after
 * a restart the ledger answers (a repeated text gets the recorded answer), and a KSeF session that
 * nobody holds any more is not given twice. */
#include "agent/vault.h"

#include "core/secret.h"

#include <stdlib.h>
#include <sys/queue.h>

#define REMEMBER_MS (15 * 60 * 1000)
#define BYTES_MAX   (48 * 1024 * 1024) /* the oldest go first */
#define BUCKETS     65536              /* as many as two bytes of a key tell apart */

struct remembered {
    LIST_ENTRY(remembered) of_bucket;
    TAILQ_ENTRY(remembered) by_age;
    struct kv_hash key;
    struct kv_hash args_hash;
    int64_t until_ms;
    enum kv_code code;
    size_t detail_len, fields_len; /* detail with its NUL, then fields */
    uint8_t bytes[];
};

struct vault_memory {
    LIST_HEAD(bucket, remembered) bucket[BUCKETS];
    TAILQ_HEAD(, remembered) by_age; /* the oldest first */
    size_t bytes;
};

struct vault_memory *vault_memory_new(void)
{
    struct vault_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL) {
        abort(); /* at start */
    }
    TAILQ_INIT(&memory->by_age);
    return memory;
}

static struct bucket *bucket(struct vault_memory *memory, const struct kv_hash *key)
{
    return &memory->bucket[(size_t)key->b[0] << 8 | key->b[1]];
}

static size_t size_of(const struct remembered *r)
{
    return sizeof *r + r->detail_len + r->fields_len;
}

static void forget(struct vault_memory *memory, struct remembered *r)
{
    LIST_REMOVE(r, of_bucket);
    TAILQ_REMOVE(&memory->by_age, r, by_age);
    memory->bytes -= size_of(r);
    kv_wipe(r->bytes, r->detail_len + r->fields_len); /* an access token may be in it */
    free(r);
}

/* All live equally long, so the oldest are also those that are over. */
static void make_room(struct vault_memory *memory, int64_t now)
{
    struct remembered *r;
    while ((r = TAILQ_FIRST(&memory->by_age)) != NULL &&
           (r->until_ms <= now || memory->bytes > BYTES_MAX)) {
        forget(memory, r);
    }
}

void vault_memory_keep(struct vault_memory *memory, const struct call *call, enum kv_code code,
                       const char *detail, struct kv_bytes fields)
{
    /* What may succeed later is tried again, not repeated. */
    if (!call->has_key || kv_code_row(code)->retry == KV_RETRY_AFTER) {
        return;
    }
    int64_t now = kv_loop_clock_ms();
    size_t detail_len = strlen(detail) + 1;
    struct remembered *r = malloc(sizeof *r + detail_len + fields.len);
    if (r == NULL) {
        abort();
    }
    *r = (struct remembered){.key = call->key,
                             .args_hash = call->args_hash,
                             .until_ms = now + REMEMBER_MS,
                             .code = code,
                             .detail_len = detail_len,
                             .fields_len = fields.len};
    memcpy(r->bytes, detail, detail_len);
    if (fields.len > 0) {
        memcpy(r->bytes + detail_len, fields.ptr, fields.len);
    }
    LIST_INSERT_HEAD(bucket(memory, &r->key), r, of_bucket);
    TAILQ_INSERT_TAIL(&memory->by_age, r, by_age);
    memory->bytes += size_of(r);
    make_room(memory, now);
}

bool vault_memory_find(struct vault_memory *memory, const struct call *call,
                       struct vault_memory_answer *out)
{
    if (!call->has_key) {
        return false;
    }
    make_room(memory, kv_loop_clock_ms());
    const struct remembered *r;
    LIST_FOREACH(r, bucket(memory, &call->key), of_bucket)
    {
        if (kv_hash_equal(&r->key, &call->key)) { /* the youngest stands first */
            *out = (struct vault_memory_answer){
                .same = kv_hash_equal(&r->args_hash, &call->args_hash),
                .code = r->code,
                .detail = (const char *)r->bytes,
                .fields = kv_bytes(r->bytes + r->detail_len, r->fields_len)};
            return true;
        }
    }
    return false;
}

void vault_memory_free(struct vault_memory *memory)
{
    while (memory != NULL && !TAILQ_EMPTY(&memory->by_age)) {
        forget(memory, TAILQ_FIRST(&memory->by_age));
    }
    free(memory);
}
