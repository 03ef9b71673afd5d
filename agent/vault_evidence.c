/* What the token says of the ledger's own key. `log.init` has no place for it, so it lies beside
 * the checkpoint: it proves itself, and whoever takes it away proves nothing. */
#include "agent/vault.h"

#include "core/evidence.h"
#include "core/log.h"

static bool good(const struct vault *v, struct kv_bytes text, size_t *certificates,
                 struct kv_err *err)
{
    struct kv_evidence evidence = {.certificate_count = 0};
    struct kv_evidence_subject subject = {v->name, KV_EVIDENCE_LOG_REQUEST, KV_EVIDENCE_LOG_NAME};
    if (kv_evidence_parse(text, &evidence, err) != KV_OK) {
        return false;
    }
    enum kv_code code =
        kv_evidence_check(&evidence, &subject, kv_bytes(v->log_key.key, v->log_key.key_len), err);
    *certificates = evidence.certificate_count;
    kv_evidence_clear(&evidence);
    return code == KV_OK;
}

void vault_keep_evidence(struct vault *v)
{
    struct kv_err err;
    struct kv_buf kept;
    size_t now = 0, before = 0;
    struct kv_bytes text = kv_buf_bytes(&v->log_evidence);
    if (v->log == NULL || kv_log_status(v->log)->state == KV_LOG_EMPTY || text.len == 0) {
        return;
    }
    if (!good(v, text, &now, &err)) {
        kv_log_err(KV_LOG_ERROR, "log-key", &err);
        return;
    }
    /* the one that is there stays, unless this one says more */
    kv_buf_init(&kept, KV_EVIDENCE_MAX);
    bool stays = kv_log_evidence(v->log, &kept, &err) == KV_OK &&
                 good(v, kv_buf_bytes(&kept), &before, &err) && before >= now;
    kv_buf_clear(&kept);
    if (!stays && kv_log_put_evidence(v->log, text, &err) != KV_OK) {
        kv_log_err(KV_LOG_WARNING, "log-key", &err); /* the next start tries again */
    }
}
