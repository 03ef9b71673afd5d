/* Signed texts, from the API and from the inbox. */
#include "agent/vault_submit.h"

#include "core/log.h"
#include "core/time.h"
#include "policy/sshsig.h"

#include <stdio.h>
#include <stdlib.h>

enum { A_TEXT, A_SIGNATURE, A_NEW_KEY, A_POLICY, A_PRIVATE };
#define ROWS_MAX  8
#define NAMED_MAX 24 /* of each kind: an answer stays below 8 KiB */

void submitted_free(struct submitted *s)
{
    kv_buf_clear(&s->suspended);
    free(s);
}

/* ---- the answer ---- */

static void missing_seats(const struct vault *v, const struct kv_request *r, struct kv_buf *out)
{
    unsigned have[KV_SEAT_COUNT] = {0};
    const struct kv_quorum *need = &kv_state_rules(v->state)->quorum[r->action];
    for (size_t i = 0; i < r->decision_count; i++) {
        have[r->decisions[i].seat] += r->decisions[i].approve && r->decisions[i].counts;
    }
    kv_message_begin(out, "missing", KV_FIELD_ARRAY);
    for (unsigned n = have[KV_SEAT_FINANCE]; n < need->finance; n++) {
        kv_message_str(out, "", "finance");
    }
    for (unsigned n = have[KV_SEAT_CUSTODIAN]; n < need->custodian; n++) {
        kv_message_str(out, "", "custodian");
    }
    kv_message_end(out);
}

static void answer(struct submitted *s)
{
    struct vault *v = s->vault;
    struct kv_buf fields;
    const struct kv_request *r = kv_state_request(v->state, kv_bytes_str(s->request));
    kv_buf_init(&fields, 8192);
    kv_message_number(&fields, "record", s->seq);
    kv_message_bool(&fields, "repeated", s->repeated);
    if (r != NULL) {
        char code[KV_CONFIRMATION_LEN];
        kv_confirmation_code(&r->sha256, code);
        kv_message_str(&fields, "request", r->id);
        kv_message_str(&fields, "state", kv_request_state_word(r->state));
        kv_message_str(&fields, "confirmationCode", code);
        if (r->state == KV_REQUEST_OPEN) {
            missing_seats(v, r, &fields);
        }
    }
    kv_buf_add_bytes(&fields, kv_buf_bytes(&s->suspended));
    vault_reply(s->call, &fields);
}

/* What rests on the key that was just declared bad; this turn suspends it. */
static void list_suspended(struct submitted *s)
{
    const struct kv_state *state = s->vault->state;
    size_t grants = 0, integrations = 0;
    char name[KV_ID_LEN + KV_ULID_LEN + 16];
    kv_message_begin(&s->suspended, "suspended", KV_FIELD_ARRAY);
    for (size_t i = 0; i < kv_state_grant_count(state); i++) {
        const struct kv_grant *g = kv_state_grant_at(state, i);
        if (g->compromised && g->state == KV_GRANT_ACTIVE && grants++ < NAMED_MAX) {
            int n = snprintf(name, sizeof name, "grant %s of %s", g->id, g->integration->id);
            assert(n > 0 && (size_t)n < sizeof name);
            kv_message_str(&s->suspended, "", name);
        }
    }
    for (size_t i = 0; i < kv_state_integration_count(state); i++) {
        const struct kv_integration *n = kv_state_integration_at(state, i);
        if (n->compromised && !n->suspended && integrations++ < NAMED_MAX) {
            int len = snprintf(name, sizeof name, "integration %s", n->id);
            assert(len > 0 && (size_t)len < sizeof name);
            kv_message_str(&s->suspended, "", name);
        }
    }
    kv_message_end(&s->suspended);
    kv_message_number(&s->suspended, "suspendedGrants", grants);
    kv_message_number(&s->suspended, "suspendedIntegrations", integrations);
}

static void on_done(void *ctx, enum kv_code code, const char *detail)
{
    struct submitted *s = ctx;
    if (s->call == NULL) {
        char word[sizeof s->name];
        kv_log(KV_LOG_INFO, "inbox", "file=%s code=%s", kv_log_word(s->name, word, sizeof word),
               kv_code_word(code));
        vault_inbox_answer(s->vault, s->name, code, detail);
    } else if (code != KV_OK) {
        vault_refuse(s->call, code, detail);
    } else {
        answer(s);
    }
    submitted_free(s);
}

void submit_refused(struct submitted *s, enum kv_code code, const char *detail)
{
    on_done(s, code, detail);
}

/* ---- side rows: reasons and names behind the commitments ---- */

static const struct kv_field_spec row_specs[] = {{"field", KV_FIELD_STRING, 8, true, NULL},
                                                 {"salt", KV_FIELD_STRING, 24, true, NULL},
                                                 {"value", KV_FIELD_STRING, 4096, true, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};

static enum kv_code read_row(struct kv_bytes message, struct kv_side_row *row, struct kv_err *err)
{
    struct kv_field field[KV_FIELDS_MAX];
    size_t len;
    if (kv_message_read(message, row_specs, field, err) != KV_OK) {
        return err->code;
    }
    int i = 0;
    while (i < KV_PRIV_COUNT &&
           !kv_bytes_is(field[0].value, kv_priv_field_word((enum kv_priv_field)i))) {
        i++;
    }
    if (i == KV_PRIV_COUNT || field[2].value.len == 0 ||
        !kv_base64_decode(field[1].value, row->salt, sizeof row->salt, &len) ||
        len != sizeof row->salt) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "private: field, 16 bytes of salt in base64, value");
    }
    row->field = (enum kv_priv_field)i;
    row->value = field[2].value;
    return KV_OK;
}

/* Rows must open commitments of this very record; what opens none is refused. */
static enum kv_code read_rows(const struct kv_field *array, const struct kv_record *rec,
                              struct kv_side_row *rows, size_t *count, struct kv_err *err)
{
    struct kv_cursor cur = kv_cursor(array->value);
    struct kv_field field;
    *count = 0;
    while (array->type != 0 && kv_message_next(&cur, &field) && *count < ROWS_MAX) {
        const uint8_t *start = cur.ptr;
        unsigned depth = field.type == KV_FIELD_OBJECT ? 1 : 0;
        size_t len = 0;
        struct kv_field inner;
        while (depth > 0 && kv_message_next(&cur, &inner)) {
            depth += inner.type == KV_FIELD_OBJECT || inner.type == KV_FIELD_ARRAY;
            depth -= inner.type == KV_FIELD_END;
            len = (size_t)(cur.ptr - start);
        }
        if (len < 2 || read_row(kv_bytes(start, len - 2), &rows[*count], err) != KV_OK) {
            return len < 2 ? KV_REFUSE(err, KV_E_INPUT_TYPE, "private: an array of objects")
                           : err->code;
        }
        struct kv_hash commitment = kv_commitment(rows[*count].salt, rows[*count].value);
        enum kv_priv_field f = rows[*count].field;
        if (!rec->has_priv[f] || !kv_hash_equal(&rec->priv[f], &commitment)) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE,
                             "private: the %s does not open the text's commitment",
                             kv_priv_field_word(f));
        }
        ++*count;
    }
    return KV_OK;
}

/* A commitment whose row nobody has could never be opened: neither verified nor backed up. */
static enum kv_code rows_complete(const struct submitted *s, const struct kv_record *rec,
                                  const struct kv_side_row *rows, size_t count, struct kv_err *err)
{
    for (int f = 0; f < KV_PRIV_COUNT; f++) {
        size_t i = 0;
        while (i < count && rows[i].field != (enum kv_priv_field)f) {
            i++;
        }
        if (!rec->has_priv[f] || i < count) {
            continue;
        }
        const char *what = kv_priv_field_word((enum kv_priv_field)f);
        return s->call == NULL
                   ? KV_REFUSE(err, KV_E_INPUT_MISSING,
                               "private: its %s must come with it, which the inbox does not take; "
                               "run `ksefvault submit FILE` with FILE.private.json beside FILE",
                               what)
                   : KV_REFUSE(err, KV_E_INPUT_MISSING,
                               "private: its %s must come with it: hand in FILE.private.json too",
                               what);
    }
    return KV_OK;
}

/* ---- handing in ---- */

static void alarm_checkpoint(struct vault *v, struct kv_bytes text)
{
    struct kv_statement *st = NULL;
    struct kv_size_root said;
    struct kv_err err;
    char person[KV_ID_LEN], key[KV_KEY_LEN], root[KV_HASH_BASE64_LEN];
    if (kv_statement_parse(text, &st, NULL, &err) != KV_OK || !kv_statement_checkpoint(st, &said)) {
        kv_statement_free(st);
        return;
    }
    bool act = kv_statement_type(st) == KV_STATEMENT_ACT;
    kv_statement_copy(st, act ? KV_KEY_ACTOR : KV_KEY_APPROVER, person, sizeof person);
    kv_statement_copy(st, act ? KV_KEY_ACTOR_KEY : KV_KEY_APPROVER_KEY, key, sizeof key);
    kv_hash_base64(&said.root, root);
    kv_statement_free(st);
    struct kv_record *rec = kv_record_new(KV_EV_ALARM_CHECKPOINT);
    kv_record_set(rec, KV_RK_PERSON, person);
    kv_record_set(rec, KV_RK_KEY, key);
    kv_record_info_int(rec, "size", (int64_t)said.size);
    kv_record_info_str(rec, "root", root);
    if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "alarm", &err);
    }
}

/* The answer to a recorded text, when its record allows it: an approval's not before its
 * checkpoint, as the first time. */
static enum kv_code answer_after(struct submitted *s, bool strict, struct kv_err *err)
{
    struct vault *v = s->vault;
    if (!strict || s->seq < kv_log_covered(v->log)) {
        vault_after_flush(v, on_done, s);
        return KV_OK;
    }
    if (vault_may_give(v, err) != KV_OK) {
        return err->code;
    }
    vault_after_cover(v, s->seq, on_done, s);
    return KV_OK;
}

/* A repeated text gets the recorded answer. Of signed texts only approvals are strict. */
static enum kv_code repeat(struct submitted *s, struct kv_bytes text, struct kv_err *err)
{
    struct kv_statement *st = NULL;
    if (kv_statement_parse(text, &st, NULL, err) != KV_OK) {
        return err->code;
    }
    s->repeated = true;
    kv_statement_copy(st, KV_KEY_REQUEST, s->request, sizeof s->request);
    bool strict = kv_bytes_is(kv_statement_get(st, KV_KEY_DECISION), "approve");
    kv_statement_free(st);
    return answer_after(s, strict, err);
}

/* What a request shall make in a slot is asked for in one that this agent has and that keeps keys
 * as well as the policy demands, and what shall log in at KSeF for the environment that it talks
 * to. (The fold knows no configuration.) */
static enum kv_code fits_here(struct vault *v, struct kv_bytes text, struct kv_err *err)
{
    struct kv_statement *st = NULL;
    char slot[KV_ID_LEN] = "", environment[8] = "";
    if (kv_statement_parse(text, &st, NULL, err) != KV_OK) {
        return err->code;
    }
    kv_statement_copy(st, KV_KEY_SLOT, slot, sizeof slot);
    kv_statement_copy(st, KV_KEY_ENVIRONMENT, environment, sizeof environment);
    bool codes = kv_bytes_is(kv_statement_get(st, KV_KEY_KIND), "offline-certificate");
    kv_statement_free(st);
    if (environment[0] != '\0' && !codes && strcmp(environment, v->environment) != 0) {
        return KV_REFUSE(err, KV_E_NOT_ALLOWED,
                         "this agent talks to KSeF's environment '%s': a credential for '%s' could "
                         "never log in here",
                         v->environment, environment);
    }
    if (slot[0] != '\0' && vault_keeper(v, slot) == NULL) {
        return KV_REFUSE(err, KV_E_REQ_NAME, "slot '%s' is not in this agent's configuration",
                         slot);
    }
    return slot[0] == '\0' ? KV_OK : vault_custody_allows(v, slot, err);
}

/* Judge and record one text. */
static enum kv_code hand_in(struct submitted *s, const struct kv_submission *sub,
                            const struct kv_field *rows_field, struct kv_err *err)
{
    struct vault *v = s->vault;
    struct kv_draft draft;
    struct kv_side_row rows[ROWS_MAX];
    size_t row_count = 0;
    struct kv_hash hash = kv_hash(sub->text);
    if (kv_state_text_seq(v->state, &hash, &s->seq)) {
        return repeat(s, sub->text, err);
    }
    if (kv_state_draft(v->state, sub, &draft, err) != KV_OK) {
        return err->code;
    }
    memcpy(s->request, draft.rec->req, sizeof s->request);
    enum kv_code code = draft.rec->ev == KV_EV_REQUEST_OPEN ? fits_here(v, sub->text, err) : KV_OK;
    if (code == KV_OK && rows_field != NULL) {
        code = read_rows(rows_field, draft.rec, rows, &row_count, err);
    }
    code = code == KV_OK ? rows_complete(s, draft.rec, rows, row_count, err) : code;
    if (code != KV_OK) {
        kv_record_free(draft.rec);
        return code;
    }
    v->rows = rows;
    v->row_count = row_count;
    bool policy =
        strcmp(kv_record_info_get_str(draft.rec, "action"), kv_action_word(KV_ACTION_POLICY)) == 0;
    v->text = policy ? sub->policy : KV_BYTES_NULL;
    const enum kv_event ev = draft.rec->ev; /* the record goes with its writing */
    bool strict = kv_event_row(ev)->class == KV_STRICT;
    code = vault_record(v, draft.rec, draft.blobs, &s->seq, err);
    v->row_count = 0;
    v->text = KV_BYTES_NULL;
    if (code == KV_OK && ev == KV_EV_KEY_COMPROMISED) {
        list_suspended(s);
    }
    if (code == KV_E_APPR_CHECKPOINT) {
        alarm_checkpoint(v, sub->text);
    }
    return code == KV_OK ? answer_after(s, strict, err) : code;
}

/* ---- entry points ---- */

static struct submitted *new_submitted(struct vault *v, struct call *call)
{
    struct submitted *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    s->vault = v;
    s->call = call;
    kv_buf_init(&s->suspended, 8192);
    return s;
}

static void submit(struct submitted *s, const struct kv_submission *sub,
                   const struct kv_field *rows)
{
    struct vault *v = s->vault;
    struct kv_err err;
    if (v->log == NULL) {
        submit_refused(s, KV_E_STARTING, "the ledger is being read");
        return;
    }
    const struct kv_log_status *st = kv_log_status(v->log);
    if (st->state == KV_LOG_EMPTY && !v->started) {
        submit_founding(s, sub);
        return;
    }
    if (st->state == KV_LOG_DAMAGED || st->state == KV_LOG_NEWER) {
        submit_refused(s, st->state == KV_LOG_DAMAGED ? KV_E_LEDGER_SAFE : KV_E_LEDGER_NEWER,
                       st->bad_what);
        return;
    }
    enum kv_code code = hand_in(s, sub, rows, &err);
    if (code != KV_OK) {
        submit_refused(s, code, err.msg);
    }
}

void vault_call_submit(struct call *call)
{
    struct vault *v = call->vault;
    char via[KV_VIA_LEN];
    struct kv_submission sub = {.text = call->field[A_TEXT].value,
                                .signature = call->field[A_SIGNATURE].value,
                                .new_key_signature = call->field[A_NEW_KEY].value,
                                .policy = call->field[A_POLICY].value};
    if (sub.signature.len == 0 && v->started) {
        /* an integration's own request: attested by its connection */
        struct kv_answer who;
        struct kv_caller caller = vault_caller(call->client);
        struct kv_moment moment = vault_moment(v);
        kv_state_question(v->state, &caller, KV_OP_SESSION_OPEN, "Nip:5265877635", &moment, &who);
        if (who.code == KV_E_CALLER_UNREAD) {
            vault_client_read(call->client);
            vault_refuse_retry(call, who.code, who.detail, who.retry_after_s);
            return;
        }
        if (who.integration != NULL && !who.exe_changed && who.code != KV_E_CALLER_UNIT) {
            vault_client_via(call->client, true, via);
            sub.integration = who.integration->id;
            sub.via = via;
        }
    }
    submit(new_submitted(v, call), &sub, &call->field[A_PRIVATE]);
}

void vault_submit_file(struct vault *v, const char *name, struct kv_bytes joined)
{
    struct submitted *s = new_submitted(v, NULL);
    struct kv_submission sub = {.text = KV_BYTES_NULL};
    size_t n = strlen(name);
    memcpy(s->name, name, n < sizeof s->name ? n : sizeof s->name - 1);
    if (!kv_sshsig_split(joined, &sub.text, &sub.signature)) {
        submit_refused(s, KV_E_SIG_FORMAT,
                       "the file holds no text with an armoured signature behind it");
        return;
    }
    submit(s, &sub, NULL);
}
