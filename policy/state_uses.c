/* Uses of grants: what stands, what counts, intents and their outcomes. */
#include "policy/state_model.h"

#include <stdlib.h>

#define SESSION_DAYS 8

/* The end of the window, held to the active policy's limit: the stricter of both. */
int64_t kv_grant_end_ms(const struct kv_state *s, const struct kv_grant *g)
{
    int64_t limit = g->request->not_before_ms + s->rules.grant_days_max * KV_DAY_MS;
    return limit < g->request->not_after_ms ? limit : g->request->not_after_ms;
}

static int64_t wait_of(const struct kv_grant *g, const struct kv_rate *rate, int64_t now_ms)
{
    if (rate->count == 0 || g->use_count < rate->count) {
        return 0;
    }
    int64_t free_at = g->use_times[g->use_count - (size_t)rate->count] + rate->per_ms;
    return free_at > now_ms ? free_at - now_ms : 0;
}

/* The grant's own rate and the policy's both hold: neither window may be full. */
int64_t kv_grant_wait_ms(const struct kv_state *s, const struct kv_grant *g, int64_t now_ms)
{
    int64_t own = wait_of(g, &g->rate, now_ms);
    int64_t general = wait_of(g, &s->rules.rate_max, now_ms);
    return own > general ? own : general;
}

static uint64_t room_in(const struct kv_grant *g, const struct kv_rate *rate, int64_t now_ms)
{
    uint64_t used = 0;
    if (rate->count == 0) {
        return UINT64_MAX;
    }
    for (size_t i = g->use_count; i > 0 && g->use_times[i - 1] > now_ms - rate->per_ms; i--) {
        used++;
    }
    return used >= rate->count ? 0 : rate->count - used;
}

uint64_t kv_grant_room(const struct kv_state *s, const struct kv_grant *g, int64_t now_ms,
                       enum kv_code *more)
{
    uint64_t own = room_in(g, &g->rate, now_ms);
    uint64_t general = room_in(g, &s->rules.rate_max, now_ms);
    uint64_t rate = own < general ? own : general;
    uint64_t left = UINT64_MAX;
    if (g->has_max_uses) {
        left = g->uses < g->max_uses ? g->max_uses - g->uses : 0;
    }
    *more = left <= rate ? KV_E_GRANT_USES : KV_E_GRANT_RATE;
    return left < rate ? left : rate;
}

bool kv_cred_serves(enum kv_cred_kind kind, enum kv_op op)
{
    switch (op) {
    case KV_OP_AUTH_XADES:
    case KV_OP_CSR_SIGN: return kind == KV_CRED_AUTH_CERTIFICATE;
    case KV_OP_AUTH_TOKEN: return kind == KV_CRED_TOKEN;
    case KV_OP_QR_KOD2: return kind == KV_CRED_OFFLINE_CERTIFICATE;
    case KV_OP_SESSION_OPEN:
    case KV_OP_RELAY_READ:
    case KV_OP_RELAY_SEND: return kind == KV_CRED_AUTH_CERTIFICATE || kind == KV_CRED_TOKEN;
    case KV_OP_SIGN_RAW: return kind != KV_CRED_TOKEN;
    case KV_OP_NONE:
    case KV_OP_COUNT: break;
    }
    return false;
}

enum kv_op kv_cred_login(enum kv_cred_kind kind)
{
    return kind == KV_CRED_TOKEN ? KV_OP_AUTH_TOKEN : KV_OP_AUTH_XADES;
}

static bool bit(uint32_t set, enum kv_op op)
{
    return (set >> op & 1) != 0;
}

static enum kv_code check_grant(const struct kv_state *s, const struct kv_grant *g, enum kv_op op,
                                int64_t now_ms, struct kv_err *err)
{
    char when[KV_TIME_S_LEN];
    if (g->revoked) {
        return KV_REFUSE(err, KV_E_GRANT_REVOKED, "grant %s was revoked", g->id);
    }
    if (now_ms >= kv_grant_end_ms(s, g) || kv_grant_over(g) || g->ends_by_policy) {
        kv_time_format_s(kv_grant_end_ms(s, g), when);
        return strcmp(g->why, "uses") == 0
                   ? KV_REFUSE(err, KV_E_GRANT_USES, "grant %s had %llu uses", g->id,
                               (unsigned long long)g->max_uses)
                   : KV_REFUSE(err, KV_E_GRANT_EXPIRED, "grant %s ended (%s)", g->id,
                               g->why[0] != '\0' && strcmp(g->why, "time") != 0 ? g->why : when);
    }
    if (now_ms < g->request->not_before_ms) {
        kv_time_format_s(g->request->not_before_ms, when);
        return KV_REFUSE(err, KV_E_GRANT_EARLY, "grant %s begins at %s", g->id, when);
    }
    if (!bit(g->ops, op)) {
        return KV_REFUSE(err, KV_E_GRANT_OPERATION, "grant %s does not hold %s", g->id,
                         kv_op_word(op));
    }
    if (bit(g->suspended_ops, op) || g->compromised) {
        return KV_REFUSE(err, KV_E_GRANT_SUSPENDED, "grant %s is suspended%s", g->id,
                         g->compromised || g->suspended_why[0] != '\0' ? " after a compromised key"
                                                                       : "");
    }
    if (g->has_max_uses && g->uses >= g->max_uses) {
        return KV_REFUSE(err, KV_E_GRANT_USES, "grant %s had %llu uses", g->id,
                         (unsigned long long)g->max_uses);
    }
    return KV_OK;
}

static enum kv_code check_integration(const struct kv_grant *g, enum kv_op op, struct kv_err *err)
{
    const struct kv_integration *n = g->integration;
    if (n->suspended || n->compromised || bit(n->suspended_ops, op)) {
        return KV_REFUSE(err, KV_E_INTEG_SUSPENDED, "integration %s is suspended%s%s", n->id,
                         n->suspended_why[0] == '\0' ? "" : ": ", n->suspended_why);
    }
    struct kv_bytes context = kv_statement_get(g->request->text, KV_KEY_CONTEXT);
    if (!bit(kv_statement_ops(n->request->text), op) ||
        !kv_list_has(kv_statement_get(n->request->text, KV_KEY_CONTEXTS), context)) {
        return KV_REFUSE(err, KV_E_GRANT_OPERATION,
                         "the terms of %s no longer hold what grant %s gives", n->id, g->id);
    }
    return KV_OK;
}

static enum kv_code check_credential(const struct kv_grant *g, enum kv_op op, int64_t now_ms,
                                     struct kv_err *err)
{
    const struct kv_credential *c = g->credential;
    char when[KV_TIME_S_LEN];
    if (!kv_cred_serves(c->kind, op)) {
        return KV_REFUSE(err, KV_E_CRED_PURPOSE, "credential %s is of kind %s, which is not for %s",
                         c->id, kv_cred_kind_word(c->kind), kv_op_word(op));
    }
    if (!c->active) {
        return KV_REFUSE(err, KV_E_CRED_STATE, "credential %s is not active yet", c->id);
    }
    if (now_ms < c->from_ms || now_ms >= c->to_ms) {
        kv_time_format_s(now_ms < c->from_ms ? c->from_ms : c->to_ms, when);
        return KV_REFUSE(err, KV_E_CERT_EXPIRED, "the certificate of %s is valid %s %s", c->id,
                         now_ms < c->from_ms ? "from" : "until", when);
    }
    return KV_OK;
}

enum kv_code kv_grant_standing(const struct kv_state *s, const struct kv_grant *g, enum kv_op op,
                               int64_t now_ms, struct kv_err *err)
{
    enum kv_custody_floor custody = KV_CUSTODY_FLOOR_SOFTWARE;
    (void)kv_custody_floor_parse(kv_bytes_str(g->credential->custody), &custody);
    if (check_grant(s, g, op, now_ms, err) != KV_OK || check_integration(g, op, err) != KV_OK ||
        check_credential(g, op, now_ms, err) != KV_OK) {
        return err->code;
    }
    if (custody < s->rules.custody_minimum) {
        return KV_REFUSE(err, KV_E_CUSTODY, "custody of %s is '%s', the policy demands '%s'",
                         g->credential->id, g->credential->custody,
                         kv_custody_floor_word(s->rules.custody_minimum));
    }
    if (op == KV_OP_AUTH_TOKEN && !s->rules.token_logins) {
        return KV_REFUSE(err, KV_E_GRANT_OPERATION, "the policy does not allow auth.token");
    }
    return KV_OK;
}

static enum kv_code judge_use(const struct kv_judge *j, struct kv_grant **out)
{
    struct kv_grant *g = kv_find_grant(j->s, j->rec->grant);
    if (g == NULL || strcmp(g->credential->id, j->rec->cred) != 0 ||
        !kv_bytes_is(kv_statement_get(g->request->text, KV_KEY_CONTEXT), j->rec->ctx) ||
        (j->rec->who == KV_WHO_INTEGRATION && strcmp(g->integration->id, j->rec->who_id) != 0)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "grant %s does not give this", j->rec->grant);
    }
    *out = g;
    return kv_grant_standing(j->s, g, j->rec->op, j->now, j->err);
}

static enum kv_code count_use(const struct kv_judge *j, struct kv_grant *g)
{
    const struct kv_rate *own = &g->rate, *general = &j->s->rules.rate_max;
    uint64_t most = own->count > general->count ? own->count : general->count;
    int64_t wait = kv_grant_wait_ms(j->s, g, j->now);
    if (wait > 0) {
        return KV_REFUSE(j->err, KV_E_GRANT_RATE, "the rate of grant %s is used up for %lld s",
                         g->id, (long long)(wait / KV_SECOND_MS + 1));
    }
    if (most > 0) {
        if (g->use_count >= 2 * most) { /* the older half is outside every window */
            size_t keep = (size_t)most;
            memmove(g->use_times, g->use_times + g->use_count - keep, keep * sizeof *g->use_times);
            g->use_count = keep;
        }
        g->use_times = kv_state_grow(g->use_times, g->use_count, &g->use_cap, sizeof *g->use_times);
        g->use_times[g->use_count++] = j->now;
    }
    g->uses++;
    return KV_OK;
}

/* A token that is imported proves itself by one login, before any grant can name it: the request of
 * the import stands in the grant's place. */
static enum kv_code judge_check(const struct kv_judge *j)
{
    const struct kv_request *r = kv_find_request(j->s, j->rec->grant);
    if (r == NULL || r->action != KV_ACTION_CREDENTIAL_IMPORT || r->state != KV_REQUEST_APPROVED ||
        j->now < r->not_before_ms || j->now >= r->not_after_ms) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "there is no approved import behind it");
    }
    if (r->step != 0 || j->rec->op != KV_OP_AUTH_TOKEN ||
        !kv_bytes_is(kv_statement_get(r->text, KV_KEY_CREDENTIAL), j->rec->cred) ||
        !kv_list_has(kv_statement_get(r->text, KV_KEY_CONTEXTS), kv_bytes_str(j->rec->ctx))) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "request %s does not give this", r->id);
    }
    return KV_OK;
}

static void open_intent(const struct kv_judge *j)
{
    struct kv_state *s = j->s;
    s->intents = kv_state_grow(s->intents, s->intent_count, &s->intent_cap, sizeof *s->intents);
    struct kv_intent *intent = &s->intents[s->intent_count++];
    *intent = (struct kv_intent){.seq = j->rec->seq, .ts_ms = j->now, .op = j->rec->op};
    memcpy(intent->grant, j->rec->grant, sizeof intent->grant);
    memcpy(intent->ref, j->rec->ksef.auth_ref, sizeof intent->ref);
}

/* use.sign counts; use.intent of logins and refreshes does not, they are the vault's own. */
enum kv_code kv_on_use(const struct kv_judge *j)
{
    struct kv_grant *g = NULL;
    enum kv_op op = j->rec->op;
    if (j->rec->who == KV_WHO_AGENT) {
        if (judge_check(j) != KV_OK) {
            return j->err->code;
        }
        open_intent(j);
        return KV_OK;
    }
    if (judge_use(j, &g) != KV_OK) {
        return j->err->code;
    }
    bool counts = j->rec->ev == KV_EV_USE_SIGN || op == KV_OP_RELAY_READ || op == KV_OP_RELAY_SEND;
    if (counts && count_use(j, g) != KV_OK) {
        return j->err->code;
    }
    if (j->rec->ev == KV_EV_USE_INTENT) {
        open_intent(j);
    }
    return KV_OK;
}

static struct kv_ksef_session *find_session(struct kv_state *s, const char *ref)
{
    for (size_t i = 0; i < s->session_count; i++) {
        if (strcmp(s->sessions[i].ref, ref) == 0) {
            return &s->sessions[i];
        }
    }
    return NULL;
}

static void drop_session(struct kv_state *s, struct kv_ksef_session *session)
{
    *session = s->sessions[--s->session_count];
}

/* A refresh token lives for seven days at most (KSeF API 2.0): what nobody spoke of for longer has
 * ended by itself, its agent having lost the token. */
static void forget_old_sessions(struct kv_state *s, int64_t now_ms)
{
    for (size_t i = s->session_count; i > 0; i--) {
        if (now_ms - s->sessions[i - 1].seen_ms > SESSION_DAYS * KV_DAY_MS) {
            drop_session(s, &s->sessions[i - 1]);
        }
    }
}

/* A session stands from the outcome that redeemed it, or may: after a crash nobody knows. Each
 * refresh is another such outcome. */
static void note_session(const struct kv_judge *j, const struct kv_intent *intent)
{
    struct kv_state *s = j->s;
    struct kv_grant *g = kv_find_grant(s, intent->grant);
    const struct kv_info *access = kv_record_info(j->rec, "access");
    if (intent->op != KV_OP_SESSION_OPEN || j->rec->out == KV_OUT_ERROR || g == NULL ||
        intent->ref[0] == '\0') {
        return;
    }
    struct kv_ksef_session *session = find_session(s, intent->ref);
    if (session == NULL) {
        forget_old_sessions(s, j->now);
        s->sessions =
            kv_state_grow(s->sessions, s->session_count, &s->session_cap, sizeof *s->sessions);
        session = &s->sessions[s->session_count++];
        *session = (struct kv_ksef_session){.seen_ms = 0};
        memcpy(session->ref, intent->ref, sizeof session->ref);
        memcpy(session->grant, g->id, sizeof session->grant);
        memcpy(session->cred, g->credential->id, sizeof session->cred);
        kv_statement_copy(g->request->text, KV_KEY_CONTEXT, session->ctx, sizeof session->ctx);
    }
    session->seen_ms = j->now;
    if (access != NULL) { /* written by us; what is no time tells nothing */
        (void)kv_time_parse_s(kv_bytes_str(access->s), &session->access_until_ms);
        if (session->access_until_ms > g->residual_ms) {
            g->residual_ms = session->access_until_ms;
        }
    }
}

static void note_proof(const struct kv_judge *j, const struct kv_intent *intent)
{
    struct kv_request *r = kv_find_request(j->s, intent->grant);
    if (r != NULL && r->action == KV_ACTION_CREDENTIAL_IMPORT) {
        r->proven = j->rec->out == KV_OUT_OK;
    }
}

enum kv_code kv_on_use_outcome(const struct kv_judge *j)
{
    struct kv_state *s = j->s;
    for (size_t i = 0; i < s->intent_count; i++) {
        if (s->intents[i].seq == j->rec->of) {
            note_session(j, &s->intents[i]);
            note_proof(j, &s->intents[i]);
            s->intents[i] = s->intents[--s->intent_count];
            return KV_OK;
        }
    }
    return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL,
                     "record %llu is no intent that waits for an outcome",
                     (unsigned long long)j->rec->of);
}

enum kv_code kv_on_ksef_session(const struct kv_judge *j)
{
    struct kv_grant *g = NULL;
    if (judge_use(j, &g) != KV_OK) {
        return j->err->code;
    }
    return count_use(j, g);
}

static bool is_of(const struct kv_ksef_session *session, const struct kv_record *rec)
{
    return strcmp(session->ref, rec->ksef.auth_ref) == 0 && strcmp(session->cred, rec->cred) == 0 &&
           strcmp(session->ctx, rec->ctx) == 0;
}

/* The session is gone at KSeF; one that could not be ended stays open here. */
enum kv_code kv_on_ksef_close(const struct kv_judge *j)
{
    struct kv_ksef_session *session = find_session(j->s, j->rec->ksef.auth_ref);
    if (session == NULL || !is_of(session, j->rec)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "no session %s of %s is open",
                         j->rec->ksef.auth_ref, j->rec->cred);
    }
    if (j->rec->out == KV_OUT_OK) {
        j->s->closed = *session;
        j->s->closed_seq = j->rec->seq;
        drop_session(j->s, session);
    }
    return KV_OK;
}

/* For how long access tokens of the session that the record before closed live on. */
enum kv_code kv_on_ksef_residual(const struct kv_judge *j)
{
    if (j->s->closed_seq == 0 || j->s->closed_seq + 1 != j->rec->seq ||
        !is_of(&j->s->closed, j->rec)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "session %s was not closed just before",
                         j->rec->ksef.auth_ref);
    }
    return KV_OK;
}

/* Of a grant that is over, nothing is left at KSeF: no login under way, no session that may live.
 */
bool kv_grant_is_clear(const struct kv_state *s, const struct kv_grant *g, int64_t now_ms)
{
    for (size_t i = 0; i < s->intent_count; i++) {
        if (strcmp(s->intents[i].grant, g->id) == 0) {
            return false;
        }
    }
    for (size_t i = 0; i < s->session_count; i++) {
        if (strcmp(s->sessions[i].grant, g->id) == 0 &&
            now_ms - s->sessions[i].seen_ms <= SESSION_DAYS * KV_DAY_MS) {
            return false;
        }
    }
    return true;
}

/* How long its access tokens live on: stated while any does. */
static bool residual_fits(const struct kv_judge *j, const struct kv_grant *g)
{
    char until[KV_TIME_S_LEN];
    const struct kv_info *residual = kv_record_info(j->rec, "residual");
    if (g->residual_ms <= j->now) {
        return residual == NULL;
    }
    kv_time_format_s(g->residual_ms, until);
    return residual != NULL && strcmp(residual->s, until) == 0;
}

enum kv_code kv_on_grant_close(const struct kv_judge *j)
{
    struct kv_grant *g = kv_find_grant(j->s, j->rec->grant);
    if (g == NULL || g->state != KV_GRANT_CLOSING || !kv_grant_is_clear(j->s, g, j->now)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "grant %s has not ended, or not at KSeF",
                         j->rec->grant);
    }
    if (strcmp(j->rec->person, g->closer) != 0 || !residual_fits(j, g)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "grant %s ended otherwise", j->rec->grant);
    }
    g->state = KV_GRANT_CLOSED;
    return KV_OK;
}

static struct kv_ministry_id *find_ministry(const struct kv_state *s, const struct kv_hash *id)
{
    for (size_t i = 0; i < s->ministry_count; i++) {
        if (kv_hash_equal(&s->ministry[i].id, id)) {
            return &s->ministry[i];
        }
    }
    return NULL;
}

bool kv_state_ministry_key(const struct kv_state *state, const struct kv_hash *id)
{
    return find_ministry(state, id) != NULL;
}

bool kv_state_newest_ministry_key(const struct kv_state *state, struct kv_hash *id)
{
    if (state->ministry_count > 0) {
        *id = state->ministry[state->ministry_count - 1].id;
    }
    return state->ministry_count > 0;
}

/* A key of KSeF, the first time that a token is encrypted to it. The rotation that KSeF announces
 * lists the old and the new one side by side. */
enum kv_code kv_on_ksef_key(const struct kv_judge *j)
{
    struct kv_state *s = j->s;
    struct kv_hash id;
    int64_t from, to;
    if (!kv_hash_from_base64(kv_bytes_str(kv_record_info_get_str(j->rec, "id")), &id) ||
        !kv_time_parse_s(kv_bytes_str(kv_record_info_get_str(j->rec, "from")), &from) ||
        !kv_time_parse_s(kv_bytes_str(kv_record_info_get_str(j->rec, "to")), &to) || to <= from ||
        find_ministry(s, &id) != NULL) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "this key of KSeF is known or no key");
    }
    s->ministry =
        kv_state_grow(s->ministry, s->ministry_count, &s->ministry_cap, sizeof *s->ministry);
    s->ministry_alarm = s->ministry_count > 0 && !kv_record_info(j->rec, "announced")->b;
    s->ministry[s->ministry_count++].id = id;
    return KV_OK;
}

/* What somebody must own and close; so far one class. */
enum kv_code kv_on_exception_open(const struct kv_judge *j)
{
    if (j->rec->who != KV_WHO_AGENT || !j->s->ministry_alarm ||
        strcmp(kv_record_info_get_str(j->rec, "class"), "ksef-key") != 0 ||
        strcmp(j->rec->err, kv_code_word(KV_E_KSEF_KEY)) != 0 ||
        !kv_ulid_valid(kv_bytes_str(kv_record_info_get_str(j->rec, "id")))) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "there is no such exception");
    }
    j->s->ministry_alarm = false;
    return KV_OK;
}

enum kv_code kv_state_grant_stands(const struct kv_state *state, struct kv_bytes grant,
                                   int64_t now_ms, struct kv_err *err)
{
    const struct kv_grant *g = kv_state_grant(state, grant);
    return g == NULL ? KV_REFUSE(err, KV_E_NO_GRANT, "there is no such grant")
                     : kv_grant_standing(state, g, KV_OP_SESSION_OPEN, now_ms, err);
}
