/* Answers that only show: they change nothing and use no key. */
#include "agent/vault.h"

#include "core/log.h"
#include "core/parse.h"
#include "core/time.h"
#include "ledger/encode.h"
#include "policy/compose.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX (3 * 1024 * 1024)

static void add_time(struct kv_buf *out, const char *name, int64_t ms)
{
    char text[KV_TIME_S_LEN];
    if (ms != KV_TIME_MAX && ms > 0) {
        kv_time_format_s(ms, text);
        kv_message_str(out, name, text);
    }
}

static void add_hex(struct kv_buf *out, const char *name, const struct kv_hash *hash)
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

/* ---- status ---- */

static const char *state_word(const struct vault *v)
{
    if (v->log == NULL) {
        return "starting";
    }
    switch (kv_log_status(v->log)->state) {
    case KV_LOG_DAMAGED: return "safe-mode";
    case KV_LOG_NEWER: return "newer-version";
    case KV_LOG_EMPTY: return "unfounded";
    case KV_LOG_GOOD: break;
    }
    return !v->started ? "starting" : v->clock_behind ? "clock-behind" : "serving";
}

static const char *next_step(const struct vault *v)
{
    const char *state = state_word(v);
    if (strcmp(state, "unfounded") == 0) {
        return v->log_key.type == 0 ? "Bring the log slot up: `ksefvault slot check`."
                                    : "Found the vault: `ksefvault vault found --help`.";
    }
    if (strcmp(state, "safe-mode") == 0) {
        return "`ksefvault ledger verify` names the first bad place; see docs/operations.md.";
    }
    if (strcmp(state, "clock-behind") == 0) {
        return "Correct the host's clock; revoking and suspending still work.";
    }
    for (size_t i = 0; i < v->keeper_count; i++) {
        const struct keeper *k = &v->keepers[i];
        if (!k->ready && k->code != KV_E_STARTING) {
            return kv_code_row(k->code)->next;
        }
    }
    if (strcmp(state, "serving") != 0) {
        return "Wait a moment.";
    }
    if (v->signer_down) {
        return kv_code_row(KV_E_LEDGER_SIGNER)->next;
    }
    if (kv_state_credential_count(v->state) == 0) {
        return "Create a credential: `ksefvault credential generate --help`.";
    }
    for (size_t i = 0; i < kv_state_request_count(v->state); i++) {
        if (kv_state_request_at(v->state, i)->state == KV_REQUEST_OPEN) {
            return "Requests wait for signatures: `ksefvault request list`.";
        }
    }
    return "Nothing.";
}

static void add_slots(const struct vault *v, struct kv_buf *out)
{
    kv_message_begin(out, "slots", KV_FIELD_ARRAY);
    for (size_t i = 0; i < v->keeper_count; i++) {
        const struct keeper *k = &v->keepers[i];
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "name", k->slot);
        kv_message_str(out, "state", k->ready ? "ready" : kv_code_word(k->code));
        kv_message_str(out, "detail", k->detail);
        kv_message_str(out, "custody", k->custody);
        kv_message_str(out, "custodyWhy", k->custody_why);
        kv_message_str(out, "model", k->model);
        kv_message_end(out);
    }
    kv_message_end(out);
}

static void add_checkpoint(const struct vault *v, struct kv_buf *out)
{
    struct kv_size_root cp = {.size = kv_log_covered(v->log)};
    char text[KV_SIZE_ROOT_LEN];
    cp.root = kv_log_root(v->log, cp.size);
    kv_size_root_print(&cp, text);
    kv_message_str(out, "checkpoint", text);
}

static void view_status(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    (void)vault_now(v);
    kv_message_str(out, "state", state_word(v));
    kv_message_str(out, "next", next_step(v));
    kv_message_str(out, "vault", v->name);
    kv_message_str(out, "version", KV_VERSION);
    kv_message_str(out, "sandbox", KV_SANDBOX ? "on" : "off");
    kv_message_str(out, "environment", v->environment);
    add_time(out, "now", kv_time_now_ms());
    add_slots(v, out);
    kv_message_str(out, "courier", v->courier == NULL ? "restarting" : "ready");
    if (v->log == NULL || !v->started) {
        const struct kv_log_status *st = v->log == NULL ? NULL : kv_log_status(v->log);
        if (st != NULL && st->bad_what[0] != '\0') {
            kv_message_number(out, "badRecord", st->bad_seq);
            kv_message_str(out, "badPlace", st->bad_place);
            kv_message_str(out, "badWhat", st->bad_what);
        }
        return;
    }
    kv_message_bool(out, "test", kv_state_is_test(v->state));
    add_hex(out, "policySha256", kv_state_policy(v->state));
    kv_message_number(out, "records", kv_log_size(v->log));
    kv_message_number(out, "covered", kv_log_covered(v->log));
    add_checkpoint(v, out);
    kv_message_str(out, "signer", v->signer_down ? v->signer_detail : "ready");
    kv_message_str(out, "anchors",
                   "approvals name checkpoints; a disk put back as a whole is seen only with a "
                   "later checkpoint kept elsewhere (ledger verify --expect)");
    kv_message_str(out, "enforcement", "software-policy");
}

static void view_health(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    (void)vault_now(v);
    kv_message_str(out, "state", state_word(v));
    kv_message_bool(out, "serving", v->started && !v->signer_down && !v->clock_behind);
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
        add_time(out, "recorded", d->recorded_ms);
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
    add_time(out, "issued", r->issued_ms);
    add_time(out, "collectUntil", r->collect_until_ms);
    add_time(out, "notBefore", r->not_before_ms);
    add_time(out, "notAfter", r->not_after_ms);
    kv_message_number(out, "record", r->open_seq);
    add_decisions(r, out);
    add_who_may(v, r, out);
    if (whole) {
        kv_message_text(out, "text", kv_statement_text(r->text));
        add_hex(out, "sha256", &r->sha256);
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
                add_time(out, "from", key->valid_from_ms);
                add_time(out, "until", key->not_after_ms);
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
        add_time(out, "from", c->active ? c->from_ms : 0);
        add_time(out, "to", c->active ? c->to_ms : 0);
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
        add_time(out, "notBefore", g->request->not_before_ms);
        add_time(out, "notAfter", g->request->not_after_ms);
        kv_message_number(out, "record", g->seq);
        kv_message_end(out);
    }
    kv_message_end(out);
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
    add_hex(out, "sha256", kv_state_policy(v->state));
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

/* ---- records ---- */

static enum kv_code add_record(struct vault *v, uint64_t seq, struct kv_buf *out,
                               struct kv_err *err)
{
    struct kv_buf line;
    kv_buf_init(&line, KV_RECORD_MAX);
    enum kv_code code = kv_log_record(v->log, seq, &line, err);
    if (code == KV_OK) {
        kv_message_text(out, "", kv_buf_bytes(&line));
    }
    kv_buf_clear(&line);
    return code;
}

static enum kv_code view_records(struct vault *v, const struct call *call, struct kv_buf *out,
                                 struct kv_err *err)
{
    uint64_t size = kv_log_size(v->log);
    uint64_t from = call->field[0].number;
    uint64_t count = call->field[1].type == 0 ? 64 : call->field[1].number;
    if (call->field[0].type == 0 && size > count) {
        from = size - count;
    }
    kv_message_number(out, "size", size);
    kv_message_number(out, "covered", kv_log_covered(v->log));
    kv_message_number(out, "from", from);
    kv_message_begin(out, "records", KV_FIELD_ARRAY);
    for (uint64_t seq = from; seq < size && seq < from + count; seq++) {
        if (add_record(v, seq, out, err) != KV_OK) {
            return err->code;
        }
    }
    kv_message_end(out);
    return KV_OK;
}

/* An integration sees its own records only. */
static bool own_record(struct vault *v, const struct call *call, const struct kv_record *rec)
{
    struct kv_answer answer;
    struct kv_moment moment = vault_moment(v);
    if (call->client == NULL) {
        return false;
    }
    struct kv_caller caller = vault_caller(call->client);
    kv_state_question(v->state, &caller, KV_OP_SESSION_OPEN, "Nip:5265877635", &moment, &answer);
    return answer.integration != NULL && rec->who == KV_WHO_INTEGRATION &&
           answer.code != KV_E_CALLER_UNIT && strcmp(rec->who_id, answer.integration->id) == 0;
}

static void add_docs(struct vault *v, const struct kv_record *rec, struct kv_buf *out)
{
    struct kv_err err;
    kv_message_begin(out, "documents", KV_FIELD_ARRAY);
    for (size_t i = 0; i < rec->doc_count; i++) {
        struct kv_buf blob;
        kv_buf_init(&blob, KV_BLOB_MAX);
        if (kv_log_blob(v->log, &rec->docs[i].hash, rec->docs[i].len, &blob, &err) == KV_OK) {
            kv_message_begin(out, "", KV_FIELD_OBJECT);
            kv_message_str(out, "kind", kv_doc_kind_word(rec->docs[i].kind));
            add_hex(out, "sha256", &rec->docs[i].hash);
            kv_message_octets(out, "base64", kv_buf_bytes(&blob));
            kv_message_end(out);
        }
        kv_buf_clear(&blob);
    }
    kv_message_end(out);
}

static enum kv_code view_record(struct vault *v, const struct call *call, struct kv_buf *out,
                                struct kv_err *err)
{
    uint64_t seq;
    struct kv_buf line, proof;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = NULL;
    struct kv_err ignored;
    if (!kv_parse_u64(call->field[0].value, KV_NUMBER_MAX, &seq) || seq >= kv_log_size(v->log)) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "there are %llu records",
                         (unsigned long long)kv_log_size(v->log));
    }
    kv_buf_init(&line, KV_RECORD_MAX);
    kv_buf_init(&proof, 16384);
    enum kv_code code = kv_log_record(v->log, seq, &line, err);
    code = code != KV_OK ? code : kv_record_decode(kv_buf_bytes(&line), &rec, err);
    if (code == KV_OK && !vault_is_reader(v, call) && !own_record(v, call, rec)) {
        code = KV_REFUSE(err, KV_E_NOT_ALLOWED, "uid %u may not read this record", call->uid);
    }
    if (code == KV_OK) {
        kv_message_text(out, "record", kv_buf_bytes(&line));
        add_docs(v, rec, out);
        if (kv_log_prove(v->log, seq, &proof, &ignored) == KV_OK) {
            kv_message_text(out, "proof", kv_buf_bytes(&proof));
        }
        kv_message_text(out, "checkpoint", kv_log_checkpoint(v->log));
    }
    kv_buf_clear(&line);
    kv_buf_clear(&proof);
    return code;
}

/* ---- dispatch ---- */

typedef void shows(struct vault *v, const struct call *call, struct kv_buf *out);
typedef enum kv_code finds(struct vault *v, const struct call *call, struct kv_buf *out,
                           struct kv_err *err);

static shows *const showing[KV_CALL_COUNT] = {
    [KV_CALL_STATUS] = view_status,
    [KV_CALL_HEALTH] = view_health,
    [KV_CALL_REQUESTS] = view_requests,
    [KV_CALL_PERSONS] = view_persons,
    [KV_CALL_QUORUM] = view_quorum,
    [KV_CALL_CREDENTIALS] = view_credentials,
    [KV_CALL_INTEGRATIONS] = view_integrations,
    [KV_CALL_GRANTS] = view_grants,
};
static finds *const finding[KV_CALL_COUNT] = {
    [KV_CALL_REQUEST] = view_request, [KV_CALL_STATEMENT] = view_statement,
    [KV_CALL_POLICY] = view_policy,   [KV_CALL_EXPLAIN] = view_explain,
    [KV_CALL_RECORDS] = view_records, [KV_CALL_RECORD] = view_record,
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

/* ---- notes of exports and verifications ---- */

static void set_reader(struct kv_record *rec, const struct vault *v, const struct call *call)
{
    char id[KV_ID_LEN], via[KV_VIA_LEN];
    int n = snprintf(via, sizeof via, "uid:%u", call->uid);
    int m = snprintf(id, sizeof id, "uid-%u", call->uid);
    assert(n > 0 && m > 0);
    for (size_t i = 0; i < kv_state_person_count(v->state); i++) {
        const struct kv_person *p = kv_state_person_at(v->state, i);
        if (p->enabled && p->has_uid && p->uid == call->uid) {
            kv_record_set_who(rec, KV_WHO_PERSON, p->id, via);
            return;
        }
    }
    kv_record_set_who(rec, KV_WHO_CALLER, id, via);
}

struct note {
    struct call *call;
    bool private_rows;
    uint64_t seq;
    bool covered;
};

static void on_noted(void *ctx, enum kv_code code, const char *detail)
{
    struct note *note = ctx;
    struct vault *v = note->call->vault;
    struct kv_buf fields;
    (void)detail;
    kv_buf_init(&fields, 2048);
    kv_message_number(&fields, "record", note->seq);
    kv_message_number(&fields, "records", kv_log_size(v->log));
    kv_message_number(&fields, "covered", kv_log_covered(v->log));
    add_checkpoint(v, &fields);
    kv_message_bool(&fields, "signed", code == KV_OK && note->covered);
    vault_reply(note->call, &fields);
    free(note);
}

static void write_export(struct note *note)
{
    struct vault *v = note->call->vault;
    struct kv_err err;
    char root[KV_HASH_BASE64_LEN];
    struct kv_hash hash = kv_log_root(v->log, kv_log_covered(v->log));
    kv_hash_base64(&hash, root);
    struct kv_record *rec = kv_record_new(KV_EV_EXPORT_MADE);
    set_reader(rec, v, note->call);
    kv_record_info_int(rec, "records", (int64_t)kv_log_size(v->log));
    kv_record_info_int(rec, "size", (int64_t)kv_log_covered(v->log));
    kv_record_info_str(rec, "root", root);
    kv_record_info_bool(rec, "private", note->private_rows);
    if (vault_record(v, rec, NULL, &note->seq, &err) != KV_OK) {
        vault_refuse(note->call, err.code, err.msg);
        free(note);
        return;
    }
    vault_after_flush(v, on_noted, note);
}

/* The checkpoint stands, or the signer is down: the tail is then exported as not covered. */
static void on_checkpoint(void *ctx, enum kv_code code, const char *detail)
{
    struct note *note = ctx;
    (void)detail;
    note->covered = code == KV_OK;
    write_export(note);
}

void vault_call_export(struct call *call)
{
    struct vault *v = call->vault;
    struct note *note;
    if (v->log == NULL || kv_log_status(v->log)->state != KV_LOG_GOOD || !v->started) {
        struct kv_buf
            fields; /* safe mode: neither checkpoint nor record, the folder is read as it is */
        if (v->log == NULL || kv_log_status(v->log)->state == KV_LOG_EMPTY) {
            vault_refuse(call, v->log == NULL ? KV_E_STARTING : KV_E_UNFOUNDED,
                         "there is no ledger");
            return;
        }
        kv_buf_init(&fields, 256);
        kv_message_bool(&fields, "signed", false);
        vault_reply(call, &fields);
        return;
    }
    note = calloc(1, sizeof *note);
    if (note == NULL) {
        abort();
    }
    note->call = call;
    note->private_rows = call->field[0].number != 0;
    if (kv_log_covered(v->log) == kv_log_next_seq(v->log)) {
        note->covered = true;
        write_export(note);
    } else if (v->signer_down) {
        write_export(note);
    } else {
        vault_after_cover(v, kv_log_next_seq(v->log) - 1, on_checkpoint, note);
    }
}

void vault_call_verified(struct call *call)
{
    struct vault *v = call->vault;
    struct kv_err err;
    char root[KV_HASH_BASE64_LEN];
    struct kv_hash hash;
    if (!kv_hash_from_base64(call->field[2].value, &hash) ||
        !kv_field_copy(&call->field[2], root, sizeof root)) {
        vault_refuse(call, KV_E_INPUT_VALUE, "root is 44 characters of base64");
        return;
    }
    struct note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        abort();
    }
    note->call = call;
    struct kv_record *rec = kv_record_new(KV_EV_VERIFY_RUN);
    set_reader(rec, v, call);
    kv_record_info_int(rec, "records", (int64_t)call->field[0].number);
    kv_record_info_int(rec, "size", (int64_t)call->field[1].number);
    kv_record_info_str(rec, "root", root);
    kv_record_info_int(rec, "exit", (int64_t)call->field[3].number);
    if (vault_record(v, rec, NULL, &note->seq, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        free(note);
        return;
    }
    vault_after_flush(v, on_noted, note);
}
