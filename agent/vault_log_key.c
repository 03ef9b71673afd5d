/* The log's key: made when its slot is first used, asked for at each start. */
#include "agent/vault.h"

#include "core/evidence.h"
#include "core/log.h"
#include "core/parse.h"

static void log_key_known(struct vault *v, struct kv_bytes spki)
{
    struct kv_err err;
    struct kv_vkey key;
    if (kv_vkey_from_spki(v->origin, spki, &key, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "log-key", &err);
        return;
    }
    v->log_key = key;
    const struct kv_vkey *log = v->log == NULL ? NULL : kv_log_vkey(v->log);
    if (log != NULL && !kv_vkey_equal(log, &key)) {
        kv_log(KV_LOG_ERROR, "log-key", "detail=\"the slot has another key than the ledger\"");
    }
    vault_begin_serving(v);
    vault_want_checkpoint(v); /* what waits since the slot went away */
}

void vault_log_slot_says(struct vault *v, enum kv_code code, const char *detail)
{
    if (v->signer_down && code != KV_E_STARTING) {
        vault_signer_why(v, code, detail);
    }
}

static void on_log_key(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"public-key", KV_FIELD_OCTETS, 600, true, NULL},
        {"custody", KV_FIELD_STRING, 16, true, NULL},
        {"custody-why", KV_FIELD_STRING, 127, true, NULL},
        {"attrs", KV_FIELD_OBJECT, 0, true, NULL},
        {"model", KV_FIELD_STRING, 79, true, NULL},
        {"evidence", KV_FIELD_OCTETS, KV_EVIDENCE_MAX, false, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct vault *v = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (answer->code != KV_OK) {
        kv_log(KV_LOG_ERROR, "log-key", "code=%s detail=\"%s\"", kv_code_word(answer->code),
               answer->detail);
        vault_log_slot_says(v, answer->code, answer->detail);
        return;
    }
    if (kv_message_read(answer->fields, specs, field, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "log-key", &err);
        return;
    }
    kv_buf_reset(&v->log_evidence);
    if (field[5].type != 0) {
        kv_buf_add_bytes(&v->log_evidence, field[5].value);
    }
    log_key_known(v, field[0].value);
    vault_keep_evidence(v);
}

/* The log's key is made when the slot is first used; a key that exists is never replaced. */
void vault_ask_log_key(struct vault *v)
{
    struct kv_err err;
    struct kv_buf body;
    const struct keeper *keeper = vault_keeper(v, v->log_slot);
    char label[KV_LABEL_LEN];
    if (v->log == NULL || keeper == NULL || !keeper->ready) {
        return; /* asked again when both are there */
    }
    bool founded = kv_log_status(v->log)->state != KV_LOG_EMPTY;
    vault_key_label(v, NULL, label);
    kv_buf_init(&body, 256);
    kv_message_str(&body, "label", label);
    kv_message_str(&body, "type", "ec-p256");
    kv_message_bool(&body, "existing", true);
    kv_message_str(&body, "request", KV_EVIDENCE_LOG_REQUEST);
    kv_message_str(&body, "credential", KV_EVIDENCE_LOG_NAME);
    enum kv_frame_op op = founded ? KV_FRAME_KEY_FIND : KV_FRAME_KEY_GENERATE;
    if (kv_channel_ask(keeper->channel, op, kv_buf_bytes(&body), -1, 30000, on_log_key, v, &err) !=
        KV_OK) {
        kv_log_err(KV_LOG_ERROR, "log-key", &err);
    }
    kv_buf_clear(&body);
}
