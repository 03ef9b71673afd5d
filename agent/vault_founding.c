/* Founding: the texts of the first people are gathered, and with the last the ledger begins. */
#include "agent/vault_submit.h"

#include "core/log.h"
#include "core/time.h"

#include <stdlib.h>

static enum kv_code found(struct vault *v, uint64_t *last, struct kv_err *err)
{
    static struct kv_founding_record r; /* 64 views: kept off the stack */
    struct kv_bytes spki = kv_bytes(v->log_key.key, v->log_key.key_len);
    if (kv_log_found(v->log, &v->log_key, err) != KV_OK) {
        return err->code;
    }
    v->signer_down = v->unsigned_tail = false;
    enum kv_code code = KV_OK;
    for (size_t i = 0; code == KV_OK; i++) {
        kv_founding_record(v->founding, spki, i, &r);
        if (r.rec == NULL) {
            break;
        }
        code = vault_record(v, r.rec, r.blobs, last, err);
    }
    code = code != KV_OK ? code : vault_custody_allows(v, v->log_slot, err);
    if (code != KV_OK) {
        struct kv_err ignored;
        if (kv_log_abandon(v->log, &ignored) != KV_OK) {
            vault_fatal(v, &ignored);
        }
        kv_state_free(v->state);
        v->state = kv_state_new();
        return code;
    }
    vault_started_records(v);
    *last = kv_log_next_seq(v->log) - 1;
    kv_founding_free(v->founding);
    v->founding = NULL;
    return KV_OK;
}

/* Without its first checkpoint there is no ledger: what was written is set aside, and we start
 * anew. Whoever handed the last text in is told why before we go. */
static _Noreturn void unfounded(struct submitted *s, enum kv_code code, const char *detail)
{
    struct vault *v = s->vault;
    struct kv_err err, why;
    if (kv_log_abandon(v->log, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "founding", &err);
    }
    submit_refused(s, KV_REFUSE(&why, code, "not founded: %.150s", detail), why.msg);
    if (v->gate != NULL) {
        kv_channel_flush(v->gate);
    }
    vault_fatal(v, &why);
}

static void on_founded(void *ctx, enum kv_code code, const char *detail)
{
    struct submitted *s = ctx;
    struct kv_buf fields;
    if (code != KV_OK) {
        unfounded(s, code, detail);
    }
    if (s->call != NULL) {
        kv_buf_init(&fields, 1024);
        kv_message_str(&fields, "state", "founded");
        kv_message_number(&fields, "record", s->seq);
        kv_message_str(&fields, "next",
                       "Create a credential: ksefvault credential generate --help.");
        vault_reply(s->call, &fields);
    }
    vault_keep_evidence(s->vault);
    kv_log(KV_LOG_INFO, "founded", "vault=%s", s->vault->name);
    submitted_free(s);
}

static enum kv_code founding_of(struct vault *v, struct kv_err *err)
{
    char text[KV_VKEY_TEXT_LEN];
    if (v->log_key.type == 0) {
        const struct keeper *keeper = vault_keeper(v, v->log_slot);
        return KV_REFUSE(err, KV_E_LEDGER_SIGNER, "slot %s has not made the ledger's key: %.100s",
                         v->log_slot, keeper == NULL ? "" : keeper->detail);
    }
    if (v->founding == NULL) {
        kv_vkey_format(&v->log_key, text);
        v->founding = kv_founding_new(v->name, text);
    }
    return KV_OK;
}

/* Refused before anybody signs, not at the last signature. A text that is no policy is refused by
 * the founding itself. */
static enum kv_code founding_custody(struct vault *v, const struct kv_submission *sub,
                                     struct kv_err *err)
{
    struct kv_ruleset rules;
    struct kv_err ignored;
    return sub->policy.len == 0 || kv_ruleset_parse(sub->policy, &rules, &ignored) != KV_OK
               ? KV_OK
               : vault_custody_reaches(v, v->log_slot, rules.custody_minimum, err);
}

void submit_founding(struct submitted *s, const struct kv_submission *sub)
{
    struct vault *v = s->vault;
    struct kv_err err;
    struct kv_buf missing, fields;
    if (founding_of(v, &err) != KV_OK || founding_custody(v, sub, &err) != KV_OK ||
        kv_founding_add(v->founding, sub, kv_time_now_ms(), &err) != KV_OK) {
        submit_refused(s, err.code, err.msg);
        return;
    }
    if (kv_founding_complete(v->founding)) {
        if (found(v, &s->seq, &err) != KV_OK) {
            submit_refused(s, err.code, err.msg);
        } else {
            vault_after_cover(v, s->seq, on_founded, s);
        }
        return;
    }
    if (s->call != NULL) {
        kv_buf_init(&missing, 4096);
        kv_buf_init(&fields, 8192);
        kv_founding_missing(v->founding, &missing);
        kv_message_str(&fields, "state", "collecting");
        kv_message_str(&fields, "missing", kv_buf_str(&missing));
        kv_buf_clear(&missing);
        vault_reply(s->call, &fields);
    }
    submitted_free(s);
}

void vault_call_founding(struct call *call)
{
    struct vault *v = call->vault;
    struct kv_err err;
    struct kv_buf fields, missing;
    const struct keeper *keeper = vault_keeper(v, v->log_slot);
    char text[KV_VKEY_TEXT_LEN];
    if (v->log == NULL || kv_log_status(v->log)->state != KV_LOG_EMPTY) {
        vault_refuse(call, v->log == NULL ? KV_E_STARTING : KV_E_FOUNDED, "this vault is founded");
        return;
    }
    if (founding_of(v, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        return;
    }
    kv_vkey_format(&v->log_key, text);
    kv_buf_init(&missing, 4096);
    kv_founding_missing(v->founding, &missing);
    kv_buf_init(&fields, 8192);
    kv_message_str(&fields, "vault", v->name);
    kv_message_str(&fields, "logKey", text);
    kv_message_str(&fields, "logSlot", v->log_slot);
    kv_message_str(&fields, "custody", keeper == NULL ? "" : keeper->custody);
    kv_message_str(&fields, "checkpoint", "0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    kv_message_str(&fields, "state", missing.len == 0 ? "empty" : "collecting");
    kv_message_str(&fields, "missing", kv_buf_str(&missing));
    kv_buf_clear(&missing);
    vault_reply(call, &fields);
}
