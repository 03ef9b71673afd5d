/* Decisions on uses, and their refusals: each is recorded, with what would lift it; the same one
 * within a minute is counted into one further record. */
#include "agent/vault.h"

#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>

#define REPEAT_MS    60000
#define REFUSALS_MAX 256

struct refusal {
    struct refusal *next;
    struct kv_hash key;      /* of who, operation, credential, code */
    struct kv_record *again; /* to be written with `n` when the minute is over */
    uint64_t seq;
    uint64_t n; /* repetitions since */
    int64_t until_ms;
};

void vault_key_label(const struct vault *v, const char *credential, char out[static KV_LABEL_LEN])
{
    /* labels are short, names are not: the hash tells vaults on one token apart */
    char hex[KV_HASH_HEX_LEN];
    struct kv_hash hash = kv_hash3(kv_bytes_str(v->name), kv_bytes_str("/"),
                                   kv_bytes_str(credential == NULL ? "/log" : credential));
    kv_hash_hex(&hash, hex);
    int n = snprintf(out, KV_LABEL_LEN, "ksefvault-%.24s-%.16s",
                     credential == NULL ? "log" : credential, hex);
    assert(n > 0 && n < KV_LABEL_LEN);
}

static struct kv_record *new_record(const struct kv_answer *answer, const struct client *client,
                                    enum kv_op op, const char *ctx)
{
    struct kv_record *rec = kv_record_new(KV_EV_USE_REFUSED);
    char via[KV_VIA_LEN], id[KV_ID_LEN];
    vault_client_via(client, true, via);
    if (answer->integration != NULL) {
        kv_record_set_who(rec, KV_WHO_INTEGRATION, answer->integration->id, via);
    } else {
        int n = snprintf(id, sizeof id, "uid-%u", client->uid);
        assert(n > 0 && (size_t)n < sizeof id);
        kv_record_set_who(rec, KV_WHO_CALLER, id, via);
    }
    if (answer->grant != NULL) {
        kv_record_set(rec, KV_RK_GRANT, answer->grant->id);
    }
    if (answer->credential != NULL) {
        kv_record_set(rec, KV_RK_CRED, answer->credential->id);
    }
    kv_record_set_op(rec, op);
    kv_record_set(rec, KV_RK_CTX, ctx);
    kv_record_set(rec, KV_RK_ERR, kv_code_word(answer->code));
    return rec;
}

static struct kv_hash key_of(const struct kv_record *rec)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%d %s %s %s %s", (int)rec->who, rec->who_id,
                     kv_op_word(rec->op), rec->cred, rec->err);
    assert(n > 0 && (size_t)n < sizeof text);
    return kv_hash(kv_bytes_str(text));
}

/* Write what was counted; NULL-safe for the one that never repeated. */
static void settle(struct vault *v, struct refusal *r)
{
    struct kv_err err;
    if (r->n > 0) {
        kv_record_info_int(r->again, "n", (int64_t)r->n);
        if (vault_record(v, r->again, NULL, NULL, &err) != KV_OK) {
            kv_log_err(KV_LOG_ERROR, "refused", &err);
        }
    } else {
        kv_record_free(r->again);
    }
    free(r);
}

void vault_refusals_settle(struct vault *v, bool all)
{
    int64_t now = kv_loop_clock_ms(), next = INT64_MAX;
    struct refusal **at = &v->refusals;
    size_t kept = 0;
    while (*at != NULL) {
        struct refusal *r = *at;
        if (all || r->until_ms <= now || ++kept > REFUSALS_MAX) {
            *at = r->next;
            settle(v, r);
        } else {
            next = r->until_ms < next ? r->until_ms : next;
            at = &r->next;
        }
    }
    if (next != INT64_MAX) {
        kv_timer_arm(v->refusal_timer, next - now);
    }
}

void vault_refusal_timer(void *vault)
{
    vault_refusals_settle(vault, false);
}

/* The number of the record that holds this refusal. */
static uint64_t record_refusal(struct vault *v, const struct kv_answer *answer,
                               const struct client *client, enum kv_op op, const char *ctx)
{
    struct kv_err err;
    struct kv_record *rec = new_record(answer, client, op, ctx);
    struct kv_hash key = key_of(rec);
    for (struct refusal *r = v->refusals; r != NULL; r = r->next) {
        if (kv_hash_equal(&r->key, &key) && r->until_ms > kv_loop_clock_ms()) {
            r->n++;
            kv_record_free(rec);
            return r->seq;
        }
    }
    struct refusal *r = calloc(1, sizeof *r);
    if (r == NULL) {
        abort();
    }
    *r = (struct refusal){.next = v->refusals,
                          .key = key,
                          .again = new_record(answer, client, op, ctx),
                          .until_ms = kv_loop_clock_ms() + REPEAT_MS};
    if (vault_record(v, rec, NULL, &r->seq, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "refused", &err);
    }
    v->refusals = r;
    vault_refusals_settle(v, false);
    return r->seq;
}

/* A changed executable: an alarm, and the suspension that the policy asks for. */
static void executable_changed(struct vault *v, const struct kv_answer *answer,
                               const struct client *client)
{
    struct kv_err err;
    char hex[KV_HASH_HEX_LEN] = "unreadable";
    if (client->has_exe_hash) {
        kv_hash_hex(&client->exe_hash, hex);
    }
    if (!answer->integration->exe_alarm || answer->exe_suspend) {
        struct kv_record *alarm = kv_record_new(KV_EV_ALARM_EXE_CHANGED);
        kv_record_set(alarm, KV_RK_INTEG, answer->integration->id);
        kv_record_info_str(alarm, "exe", hex);
        kv_log(KV_LOG_WARNING, "exe-changed", "integration=%s exe=%s sha256=%s",
               answer->integration->id, client->exe, hex);
        if (vault_record(v, alarm, NULL, NULL, &err) != KV_OK) {
            kv_log_err(KV_LOG_ERROR, "alarm", &err);
        }
    }
    if (answer->exe_suspend) {
        struct kv_record *suspend = kv_record_new(KV_EV_INTEG_SUSPEND);
        kv_record_set(suspend, KV_RK_INTEG, answer->integration->id);
        kv_record_set(suspend, KV_RK_ERR, kv_code_word(KV_E_CALLER_EXE));
        if (vault_record(v, suspend, NULL, NULL, &err) != KV_OK) {
            kv_log_err(KV_LOG_ERROR, "suspend", &err);
        }
    }
}

struct denial {
    struct call *call;
    enum kv_code code;
    char detail[192];
    struct kv_buf more;
};

static void on_denial_durable(void *ctx, enum kv_code code, const char *detail)
{
    struct denial *denial = ctx;
    (void)code;
    (void)detail;
    vault_refuse_more(denial->call, denial->code, denial->detail, &denial->more);
    free(denial);
}

static void how_to_register(const struct client *client, struct kv_buf *more)
{
    char text[512];
    char hex[KV_HASH_HEX_LEN] = "";
    if (client->has_exe_hash) {
        kv_hash_hex(&client->exe_hash, hex);
    }
    int n =
        snprintf(text, sizeof text,
                 "ksefvault integration register NAME --uid %u --exe %s%s%s --purpose ... --help",
                 client->uid, client->exe, hex[0] == '\0' ? "" : " --exe-sha256 ", hex);
    if (n > 0 && (size_t)n < sizeof text) {
        kv_message_str(more, "register", text);
    }
}

static void deny(struct call *call, const struct kv_answer *answer, enum kv_op op, const char *ctx)
{
    struct vault *v = call->vault;
    struct denial *denial = calloc(1, sizeof *denial);
    if (denial == NULL) {
        abort();
    }
    denial->call = call;
    denial->code = answer->code;
    memcpy(denial->detail, answer->detail, sizeof denial->detail);
    kv_buf_init(&denial->more, 4096);
    kv_message_number(&denial->more, "record", record_refusal(v, answer, call->client, op, ctx));
    if (answer->who[0] != '\0') {
        kv_message_str(&denial->more, "who", answer->who);
    }
    if (answer->grant != NULL) {
        kv_message_str(&denial->more, "grant", answer->grant->id);
    }
    if (answer->retry_after_s > 0) {
        kv_message_number(&denial->more, "retryAfter", answer->retry_after_s);
    }
    if (answer->code == KV_E_CALLER_UNREAD) {
        vault_client_read(call->client); /* for who comes again over this connection */
    }
    if (answer->code == KV_E_CALLER_UNKNOWN) {
        how_to_register(call->client, &denial->more);
    }
    vault_after_flush(v, on_denial_durable, denial);
}

bool vault_entitled(struct call *call, enum kv_op op, const char *ctx, struct entitlement *out)
{
    struct vault *v = call->vault;
    struct kv_answer answer;
    struct kv_moment moment = vault_moment(v);
    struct kv_caller caller = vault_caller(call->client);
    struct kv_err err;
    kv_state_question(v->state, &caller, op, ctx, &moment, &answer);
    if (answer.exe_changed) {
        executable_changed(v, &answer, call->client);
    }
    if (answer.code != KV_OK) {
        deny(call, &answer, op, ctx);
        return false;
    }
    if (vault_may_use(v, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        return false;
    }
    *out = (struct entitlement){.kind = answer.credential->kind,
                                .terms = answer.credential->request->text,
                                .certificate = answer.credential->certificate,
                                .room = answer.room,
                                .room_code = answer.room_code};
    memcpy(out->integration, answer.integration->id, sizeof out->integration);
    memcpy(out->grant, answer.grant->id, sizeof out->grant);
    memcpy(out->credential, answer.credential->id, sizeof out->credential);
    memcpy(out->slot, answer.credential->slot, sizeof out->slot);
    return true;
}
