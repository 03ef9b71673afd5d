/* Answers that only show: they change nothing and use no key. */
#include "agent/vault_view.h"

#include "core/log.h"
#include "core/time.h"
#include "policy/compose.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX (3 * 1024 * 1024)

void vault_view_time(struct kv_buf *out, const char *name, int64_t ms)
{
    char text[KV_TIME_S_LEN];
    if (ms != KV_TIME_MAX && ms > 0) {
        kv_time_format_s(ms, text);
        kv_message_str(out, name, text);
    }
}

void vault_view_hex(struct kv_buf *out, const char *name, const struct kv_hash *hash)
{
    char text[KV_HASH_HEX_LEN];
    kv_hash_hex(hash, text);
    kv_message_str(out, name, text);
}

static void add_ops(struct kv_buf *out, const char *name, uint32_t ops)
{
    char text[KV_OPS_LEN];
    kv_ops_format(ops, text);
    kv_message_str(out, name, text);
}

static void add_line(struct kv_buf *out, const char *name, const struct kv_statement *st,
                     enum kv_key key)
{
    if (kv_statement_has(st, key)) {
        kv_message_text(out, name, kv_statement_get(st, key));
    }
}

/* ---- shared ---- */

void vault_view_checkpoint(const struct vault *v, struct kv_buf *out)
{
    struct kv_size_root cp = {.size = kv_log_covered(v->log)};
    char text[KV_SIZE_ROOT_LEN];
    cp.root = kv_log_root(v->log, cp.size);
    kv_size_root_print(&cp, text);
    kv_message_str(out, "checkpoint", text);
}

/* ---- requests ---- */

static void add_decisions(const struct kv_request *r, struct kv_buf *out)
{
    kv_message_begin(out, "decisions", KV_FIELD_ARRAY);
    for (size_t i = 0; i < r->decision_count; i++) {
        const struct kv_signed_decision *d = &r->decisions[i];
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "person", d->person);
        kv_message_str(out, "role", kv_seat_word(d->seat));
        kv_message_str(out, "decision", d->approve ? "approve" : "deny");
        kv_message_bool(out, "counts", d->counts);
        kv_message_str(out, "key", d->key);
        vault_view_time(out, "recorded", d->recorded_ms);
        kv_message_number(out, "record", d->seq);
        kv_message_end(out);
    }
    kv_message_end(out);
}

static void add_who_may(struct vault *v, const struct kv_request *r, struct kv_buf *out)
{
    const struct kv_person *people[32];
    const struct kv_quorum *need = &kv_state_rules(v->state)->quorum[r->action];
    kv_message_begin(out, "missing", KV_FIELD_ARRAY);
    for (int seat = KV_SEAT_FINANCE; seat < KV_SEAT_COUNT; seat++) {
        unsigned have = 0, want = seat == KV_SEAT_FINANCE ? need->finance : need->custodian;
        for (size_t i = 0; i < r->decision_count; i++) {
            have += r->decisions[i].seat == (enum kv_seat)seat && r->decisions[i].approve &&
                    r->decisions[i].counts;
        }
        if (have >= want || r->state != KV_REQUEST_OPEN) {
            continue;
        }
        struct kv_bytes requester = r->by_integration ? KV_BYTES_NULL : kv_bytes_str(r->requester);
        size_t count = kv_state_eligible(v->state, (enum kv_seat)seat, requester, KV_BYTES_NULL,
                                         KV_BYTES_NULL, vault_now(v), people, KV_COUNT(people));
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "role", kv_seat_word((enum kv_seat)seat));
        kv_message_number(out, "count", want - have);
        kv_message_begin(out, "who", KV_FIELD_ARRAY);
        for (size_t i = 0; i < count && i < KV_COUNT(people); i++) {
            kv_message_str(out, "", people[i]->id);
        }
        kv_message_end(out);
        kv_message_end(out);
    }
    kv_message_end(out);
}

/* The reason behind a commitment, with its salt, so that the signer's own tool can check it. */
static void add_reason(struct vault *v, const struct kv_request *r, struct kv_buf *out)
{
    struct kv_side_row row;
    struct kv_buf store;
    struct kv_err err;
    kv_buf_init(&store, KV_SIDE_ROW_MAX);
    if (r->has_reason && kv_log_row(v->log, &r->reason, &row, &store, &err) == KV_OK) {
        char salt[KV_BASE64_LEN(KV_SALT_LEN)];
        kv_base64_encode(kv_bytes(row.salt, sizeof row.salt), salt);
        kv_message_begin(out, "reason", KV_FIELD_OBJECT);
        kv_message_str(out, "field", kv_priv_field_word(row.field));
        kv_message_str(out, "salt", salt);
        kv_message_text(out, "value", row.value);
        kv_message_end(out);
    }
    kv_buf_clear(&store);
}

static void add_request(struct vault *v, const struct kv_request *r, bool whole, struct kv_buf *out)
{
    char code[KV_CONFIRMATION_LEN];
    kv_confirmation_code(&r->sha256, code);
    kv_message_str(out, "id", r->id);
    kv_message_str(out, "action", kv_action_word(r->action));
    kv_message_str(out, "state", kv_request_state_word(r->state));
    kv_message_str(out, "requester", r->requester);
    kv_message_bool(out, "byIntegration", r->by_integration);
    kv_message_str(out, "confirmationCode", code);
    vault_view_time(out, "issued", r->issued_ms);
    vault_view_time(out, "collectUntil", r->collect_until_ms);
    vault_view_time(out, "notBefore", r->not_before_ms);
    vault_view_time(out, "notAfter", r->not_after_ms);
    kv_message_number(out, "record", r->open_seq);
    add_decisions(r, out);
    add_who_may(v, r, out);
    if (whole) {
        kv_message_text(out, "text", kv_statement_text(r->text));
        vault_view_hex(out, "sha256", &r->sha256);
        add_reason(v, r, out);
    }
}

static void view_requests(struct vault *v, const struct call *call, struct kv_buf *out)
{
    kv_message_begin(out, "requests", KV_FIELD_ARRAY);
    for (size_t i = 0; i < kv_state_request_count(v->state); i++) {
        const struct kv_request *r = kv_state_request_at(v->state, i);
        if (call->field[0].type == 0 ||
            kv_bytes_is(call->field[0].value, kv_request_state_word(r->state))) {
            kv_message_begin(out, "", KV_FIELD_OBJECT);
            add_request(v, r, false, out);
            kv_message_end(out);
        }
    }
    kv_message_end(out);
}

static enum kv_code view_request(struct vault *v, const struct call *call, struct kv_buf *out,
                                 struct kv_err *err)
{
    const struct kv_request *r = kv_state_request(v->state, call->field[0].value);
    if (r == NULL) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "there is no request of that id");
    }
    add_request(v, r, true, out);
    return KV_OK;
}

enum { S_ID, S_KEY, S_DECISION, S_PERSON };

static enum kv_code view_statement(struct vault *v, const struct call *call, struct kv_buf *out,
                                   struct kv_err *err)
{
    const struct kv_request *r = kv_state_request(v->state, call->field[S_ID].value);
    const struct kv_person *p = kv_state_person(v->state, call->field[S_PERSON].value);
    uint8_t random[32];
    char nonce[KV_NONCE_LEN];
    struct kv_decision_head head = {.approver = call->field[S_PERSON].value,
                                    .approver_key = call->field[S_KEY].value,
                                    .issued_ms = vault_now(v)};
    if (r == NULL || p == NULL || !p->enabled) {
        return KV_REFUSE(err, r == NULL ? KV_E_NOT_FOUND : KV_E_APPR_PERSON, "there is no such %s",
                         r == NULL ? "request" : "person");
    }
    if (!kv_decision_parse(call->field[S_DECISION].value, &head.decision)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "decision is approve or deny");
    }
    head.seat = p->duty == KV_DUTY_FINANCE ? KV_SEAT_FINANCE : KV_SEAT_CUSTODIAN;
    if (p->duty != kv_seat_duty(head.seat)) {
        return KV_REFUSE(err, KV_E_APPR_DUTY, "%s is neither finance nor custodian", p->id);
    }
    if (RAND_bytes(random, sizeof random) != 1) {
        return KV_REFUSE(err, KV_E_INTERNAL, "no random numbers");
    }
    kv_nonce_print(random, nonce);
    head.nonce = kv_bytes_str(nonce);
    head.checkpoint.size = kv_log_covered(v->log);
    head.checkpoint.root = kv_log_root(v->log, head.checkpoint.size);
    struct kv_statement *st = NULL;
    if (kv_compose_decision(r->text, &head, &st, err) != KV_OK) {
        return err->code;
    }
    char code[KV_CONFIRMATION_LEN];
    kv_confirmation_code(&r->sha256, code);
    kv_message_text(out, "text", kv_statement_text(st));
    kv_message_str(out, "confirmationCode", code);
    kv_message_str(out, "role", kv_seat_word(head.seat));
    add_reason(v, r, out);
    kv_statement_free(st);
    return KV_OK;
}

/* ---- the four layers ---- */

static void view_persons(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    kv_message_begin(out, "persons", KV_FIELD_ARRAY);
    for (size_t i = 0; i < kv_state_person_count(v->state); i++) {
        const struct kv_person *p = kv_state_person_at(v->state, i);
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "id", p->id);
        kv_message_str(out, "duty", kv_duty_word(p->duty));
        kv_message_bool(out, "enabled", p->enabled);
        kv_message_begin(out, "keys", KV_FIELD_ARRAY);
        for (size_t k = 0; k < kv_state_key_count(v->state); k++) {
            const struct kv_person_key *key = kv_state_key_at(v->state, k);
            if (strcmp(key->person, p->id) == 0) {
                kv_message_begin(out, "", KV_FIELD_OBJECT);
                kv_message_str(out, "key", key->fingerprint);
                kv_message_str(out, "state",
                               key->compromised                    ? "compromised"
                               : key->retired_ms != 0              ? "retired"
                               : vault_now(v) >= key->not_after_ms ? "ended"
                                                                   : "good");
                vault_view_time(out, "from", key->valid_from_ms);
                vault_view_time(out, "until", key->not_after_ms);
                kv_message_end(out);
            }
        }
        kv_message_end(out);
        kv_message_end(out);
    }
    kv_message_end(out);
}

static void add_quorum(struct vault *v, struct kv_bytes requester, struct kv_bytes away,
                       struct kv_buf *out)
{
    const struct kv_person *people[64];
    for (int seat = KV_SEAT_FINANCE; seat < KV_SEAT_COUNT; seat++) {
        size_t n = kv_state_eligible(v->state, (enum kv_seat)seat, requester, KV_BYTES_NULL, away,
                                     vault_now(v), people, KV_COUNT(people));
        kv_message_begin(out, kv_seat_word((enum kv_seat)seat), KV_FIELD_ARRAY);
        for (size_t i = 0; i < n && i < KV_COUNT(people); i++) {
            kv_message_str(out, "", people[i]->id);
        }
        kv_message_end(out);
    }
}

/* Per action who can approve, and what fails if one of the deciding persons is away. */
static void view_quorum(struct vault *v, const struct call *call, struct kv_buf *out)
{
    struct kv_bytes requester = call->field[0].value;
    const struct kv_ruleset *rules = kv_state_rules(v->state);
    kv_message_begin(out, "needed", KV_FIELD_ARRAY);
    for (int a = KV_ACTION_PERSON_ENROL; a <= KV_ACTION_RESUME; a++) {
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "action", kv_action_word((enum kv_action)a));
        kv_message_number(out, "finance", rules->quorum[a].finance);
        kv_message_number(out, "custodian", rules->quorum[a].custodian);
        kv_message_end(out);
    }
    kv_message_end(out);
    kv_message_begin(out, "available", KV_FIELD_OBJECT);
    add_quorum(v, requester, KV_BYTES_NULL, out);
    kv_message_end(out);
    kv_message_begin(out, "withOneAway", KV_FIELD_ARRAY);
    for (size_t i = 0; i < kv_state_person_count(v->state); i++) {
        const struct kv_person *p = kv_state_person_at(v->state, i);
        if (p->enabled && (p->duty == KV_DUTY_FINANCE || p->duty == KV_DUTY_CUSTODIAN)) {
            kv_message_begin(out, "", KV_FIELD_OBJECT);
            kv_message_str(out, "away", p->id);
            add_quorum(v, requester, kv_bytes_str(p->id), out);
            kv_message_end(out);
        }
    }
    kv_message_end(out);
}

static void view_credentials(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    kv_message_begin(out, "credentials", KV_FIELD_ARRAY);
    for (size_t i = 0; i < kv_state_credential_count(v->state); i++) {
        const struct kv_credential *c = kv_state_credential_at(v->state, i);
        bool valid = vault_now(v) >= c->from_ms && vault_now(v) < c->to_ms;
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "id", c->id);
        kv_message_str(out, "kind", kv_cred_kind_word(c->kind));
        kv_message_str(out, "keyType", kv_key_type_word(c->key_type));
        kv_message_str(out, "slot", c->slot);
        kv_message_str(out, "custody", c->custody);
        kv_message_str(out, "state", !c->active ? "key" : valid ? "active" : "expired");
        kv_message_bool(out, "selfSigned", c->self_signed);
        kv_message_bool(out, "imported", c->kind == KV_CRED_TOKEN); /* it was outside before */
        if (c->rung[0] != '\0') {
            kv_message_str(out, "rung", c->rung);
        }
        vault_view_time(out, "from", c->active ? c->from_ms : 0);
        vault_view_time(out, "to", c->active ? c->to_ms : 0);
        add_line(out, "environment", c->request->text, KV_KEY_ENVIRONMENT);
        add_line(out, "contexts", c->request->text, KV_KEY_CONTEXTS);
        add_line(out, "businessOwner", c->request->text, KV_KEY_BUSINESS_OWNER);
        add_line(out, "technicalCustodian", c->request->text, KV_KEY_TECHNICAL_CUSTODIAN);
        kv_message_str(out, "request", c->request->id);
        kv_message_end(out);
    }
    kv_message_end(out);
}

static void view_integrations(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    kv_message_begin(out, "integrations", KV_FIELD_ARRAY);
    for (size_t i = 0; i < kv_state_integration_count(v->state); i++) {
        const struct kv_integration *n = kv_state_integration_at(v->state, i);
        const struct kv_statement *st = n->request->text;
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "id", n->id);
        kv_message_str(out, "state", n->suspended ? "suspended" : "registered");
        kv_message_str(out, "suspendedWhy", n->suspended_why);
        add_line(out, "purpose", st, KV_KEY_PURPOSE);
        add_line(out, "contexts", st, KV_KEY_CONTEXTS);
        add_line(out, "operations", st, KV_KEY_OPERATIONS);
        add_line(out, "uid", st, KV_KEY_UID);
        add_line(out, "gid", st, KV_KEY_GID);
        add_line(out, "unit", st, KV_KEY_UNIT);
        add_line(out, "exe", st, KV_KEY_EXE);
        add_line(out, "exeSha256", st, KV_KEY_EXE_SHA256);
        add_line(out, "businessOwner", st, KV_KEY_BUSINESS_OWNER);
        add_line(out, "technicalCustodian", st, KV_KEY_TECHNICAL_CUSTODIAN);
        add_line(out, "organisation", st, KV_KEY_ORGANISATION);
        add_line(out, "contractEnd", st, KV_KEY_CONTRACT_END);
        kv_message_str(out, "request", n->request->id);
        kv_message_end(out);
    }
    kv_message_end(out);
}

static void view_grants(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    kv_message_begin(out, "grants", KV_FIELD_ARRAY);
    for (size_t i = 0; i < kv_state_grant_count(v->state); i++) {
        const struct kv_grant *g = kv_state_grant_at(v->state, i);
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "id", g->id);
        kv_message_str(out, "state", kv_grant_state_word(g->state));
        kv_message_str(out, "ended", g->revoked ? "revoked" : g->why);
        kv_message_str(out, "integration", g->integration->id);
        kv_message_str(out, "credential", g->credential->id);
        add_line(out, "context", g->request->text, KV_KEY_CONTEXT);
        add_ops(out, "operations", g->ops);
        add_line(out, "rate", g->request->text, KV_KEY_RATE);
        add_line(out, "maxUses", g->request->text, KV_KEY_MAX_USES);
        kv_message_number(out, "uses", g->uses);
        vault_view_time(out, "notBefore", g->request->not_before_ms);
        vault_view_time(out, "notAfter", g->request->not_after_ms);
        kv_message_number(out, "record", g->seq);
        kv_message_end(out);
    }
    kv_message_end(out);
}

static void view_sessions(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    vault_sessions_view(v, out);
}

static enum kv_code view_policy(struct vault *v, const struct call *call, struct kv_buf *out,
                                struct kv_err *err)
{
    (void)call;
    static struct kv_sentences sentences; /* 6 KiB: too much for the stack */
    struct kv_buf text;
    kv_buf_init(&text, KV_BLOB_MAX);
    if (kv_log_blob(v->log, kv_state_policy(v->state), kv_state_policy_len(v->state), &text, err) !=
        KV_OK) {
        return err->code;
    }
    vault_view_hex(out, "sha256", kv_state_policy(v->state));
    kv_message_text(out, "text", kv_buf_bytes(&text));
    for (int lang = KV_LANG_EN; lang < KV_LANG_COUNT; lang++) {
        char name[32];
        int n = snprintf(name, sizeof name, "sentences.%s", kv_lang_word((enum kv_lang)lang));
        assert(n > 0);
        kv_ruleset_sentences(kv_state_rules(v->state), (enum kv_lang)lang, &sentences);
        kv_message_begin(out, name, KV_FIELD_ARRAY);
        for (size_t i = 0; i < sentences.count; i++) {
            kv_message_str(out, "", sentences.text[i]);
        }
        kv_message_end(out);
    }
    kv_buf_clear(&text);
    return KV_OK;
}

static enum kv_code view_explain(struct vault *v, const struct call *call, struct kv_buf *out,
                                 struct kv_err *err)
{
    enum kv_op op;
    char context[KV_CONTEXT_LEN];
    struct kv_answer answer;
    struct kv_moment moment = vault_moment(v);
    if (!kv_op_parse(call->field[1].value, &op)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "there is no such operation");
    }
    if (kv_context_parse(call->field[2].value, NULL, err) != KV_OK) {
        return err->code;
    }
    bool fits = kv_field_copy(&call->field[2], context, sizeof context);
    assert(fits);
    kv_state_explain(v->state, call->field[0].value, op, context, &moment, &answer);
    kv_message_bool(out, "allowed", answer.code == KV_OK);
    kv_message_str(out, "code", kv_code_word(answer.code));
    kv_message_str(out, "why",
                   answer.code == KV_OK ? "A grant stands." : kv_code_row(answer.code)->what);
    kv_message_str(out, "detail", answer.detail);
    kv_message_str(out, "who", answer.who);
    kv_message_str(out, "how", answer.code == KV_OK ? "" : kv_code_row(answer.code)->next);
    if (answer.grant != NULL) {
        kv_message_str(out, "grant", answer.grant->id);
    }
    return KV_OK;
}

/* ---- dispatch ---- */

static vault_shows_fn *const showing[KV_CALL_COUNT] = {
    [KV_CALL_STATUS] = vault_view_status,
    [KV_CALL_HEALTH] = vault_view_health,
    [KV_CALL_REQUESTS] = view_requests,
    [KV_CALL_PERSONS] = view_persons,
    [KV_CALL_QUORUM] = view_quorum,
    [KV_CALL_CREDENTIALS] = view_credentials,
    [KV_CALL_INTEGRATIONS] = view_integrations,
    [KV_CALL_GRANTS] = view_grants,
    [KV_CALL_SESSIONS] = view_sessions,
};
static vault_finds_fn *const finding[KV_CALL_COUNT] = {
    [KV_CALL_REQUEST] = view_request,       [KV_CALL_STATEMENT] = view_statement,
    [KV_CALL_POLICY] = view_policy,         [KV_CALL_EXPLAIN] = view_explain,
    [KV_CALL_RECORDS] = vault_view_records, [KV_CALL_RECORD] = vault_view_record,
};

void vault_call_view(struct call *call)
{
    struct vault *v = call->vault;
    struct kv_buf out;
    struct kv_err err;
    enum kv_code code = KV_OK;
    kv_buf_init(&out, ANSWER_MAX);
    if (showing[call->call] != NULL) {
        showing[call->call](v, call, &out);
    } else {
        code = finding[call->call](v, call, &out, &err);
    }
    if (code != KV_OK) {
        kv_buf_clear(&out);
        vault_refuse(call, code, err.msg);
    } else {
        vault_reply(call, &out);
    }
}
