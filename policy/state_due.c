/* What the agent writes by itself: consequences of approved requests and of time. */
#include "policy/state_model.h"

typedef bool ready_fn(const struct kv_state *s, const struct kv_request *r, int64_t now_ms);

static bool person_enrol_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    (void)now_ms;
    const struct kv_person *p = kv_state_person(s, kv_statement_get(r->text, KV_KEY_PERSON));
    return (p == NULL || !p->enabled) && kv_check_new_key(s, r->text, p != NULL, NULL) == KV_OK;
}

static bool person_change_ready(const struct kv_state *s, const struct kv_request *r,
                                int64_t now_ms)
{
    (void)now_ms;
    const struct kv_person *p = kv_state_person(s, kv_statement_get(r->text, KV_KEY_PERSON));
    return p != NULL && p->enabled && p->duty == kv_statement_duty(r->text, KV_KEY_DUTY_FROM);
}

static bool key_enrol_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    (void)now_ms;
    const struct kv_person *p = kv_state_person(s, kv_statement_get(r->text, KV_KEY_PERSON));
    return p != NULL && p->enabled && kv_check_new_key(s, r->text, false, NULL) == KV_OK;
}

static bool register_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    (void)now_ms;
    return kv_state_integration(s, kv_statement_get(r->text, KV_KEY_INTEGRATION)) == NULL &&
           kv_check_account(s, r->text, NULL) == KV_OK;
}

static bool change_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    (void)now_ms;
    const struct kv_integration *n =
        kv_state_integration(s, kv_statement_get(r->text, KV_KEY_INTEGRATION));
    if (r->step == 1) { /* its terms hold; what is left is to lift the alarm's suspension */
        return n != NULL && n->request == r && n->suspended && n->by_agent;
    }
    return n != NULL &&
           kv_bytes_is(kv_statement_get(r->text, KV_KEY_REPLACES_REQUEST), n->request->id) &&
           kv_check_account(s, r->text, NULL) == KV_OK;
}

static bool create_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    (void)now_ms;
    return r->step > 0 ||
           kv_state_credential(s, kv_statement_get(r->text, KV_KEY_CREDENTIAL)) == NULL;
}

/* A grant must stand: asked of one that is not there yet. */
static bool grant_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    const struct kv_statement *st = r->text;
    struct kv_integration *n = NULL;
    struct kv_credential *c = NULL;
    struct kv_err err;
    char integration[KV_ID_LEN], credential[KV_ID_LEN];
    kv_statement_copy(st, KV_KEY_INTEGRATION, integration, sizeof integration);
    kv_statement_copy(st, KV_KEY_CREDENTIAL, credential, sizeof credential);
    n = kv_find_integration(s, integration);
    c = kv_find_credential(s, credential);
    if (n == NULL || c == NULL || n->compromised ||
        kv_credential_elsewhere(s, st, now_ms) != NULL) {
        return false;
    }
    struct kv_grant g = {.request = r,
                         .credential = c,
                         .integration = n,
                         .state = KV_GRANT_ACTIVE,
                         .ops = kv_statement_ops(st)};
    for (int op = KV_OP_NONE + 1; op < KV_OP_COUNT; op++) { /* one that may be used is enough */
        if ((g.ops >> op & 1) != 0 &&
            kv_grant_standing(s, &g, (enum kv_op)op, now_ms, &err) == KV_OK) {
            return true;
        }
    }
    return false;
}

static bool resume_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    struct kv_target target;
    if (!kv_statement_target(r->text, &target)) {
        return false;
    }
    const struct kv_grant *g = target.noun == KV_NOUN_GRANT ? kv_state_grant(s, target.id) : NULL;
    const struct kv_integration *n =
        target.noun == KV_NOUN_INTEGRATION ? kv_state_integration(s, target.id) : NULL;
    return (n != NULL && (n->suspended || n->suspended_ops != 0)) ||
           (g != NULL && !kv_grant_over(g) &&
            (g->state == KV_GRANT_SUSPENDED || g->suspended_ops != 0) &&
            now_ms < kv_grant_end_ms(s, g));
}

static bool policy_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    (void)s;
    (void)r;
    (void)now_ms;
    return true; /* its list of ended grants is compared with its text, which is not here */
}

bool kv_request_ready(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    static ready_fn *const ready[KV_ACTION_COUNT] = {
        [KV_ACTION_PERSON_ENROL] = person_enrol_ready,
        [KV_ACTION_PERSON_CHANGE] = person_change_ready,
        [KV_ACTION_KEY_ENROL] = key_enrol_ready,
        [KV_ACTION_INTEGRATION_REGISTER] = register_ready,
        [KV_ACTION_INTEGRATION_CHANGE] = change_ready,
        [KV_ACTION_CREDENTIAL_CREATE] = create_ready,
        [KV_ACTION_CREDENTIAL_IMPORT] = create_ready,
        [KV_ACTION_GRANT] = grant_ready,
        [KV_ACTION_RESUME] = resume_ready,
        [KV_ACTION_POLICY] = policy_ready,
    };
    return ready[r->action] != NULL && now_ms >= r->not_before_ms && now_ms < r->not_after_ms &&
           ready[r->action](s, r, now_ms);
}

static void set_from(struct kv_record *rec, enum kv_record_key to, const struct kv_statement *st,
                     enum kv_key from)
{
    char text[KV_KEY_LEN];
    kv_statement_copy(st, from, text, sizeof text);
    kv_record_set(rec, to, text);
}

static void add_doc(struct kv_due *due)
{
    due->has_doc = true;
    kv_record_add_doc(due->rec, KV_DOC_PUBLIC_KEY, kv_buf_bytes(&due->doc));
}

static void enrolment(const struct kv_request *r, enum kv_event ev, struct kv_due *due)
{
    const struct kv_statement *st = r->text;
    due->rec = kv_record_new(ev);
    kv_record_set(due->rec, KV_RK_REQ, r->id);
    set_from(due->rec, KV_RK_PERSON, st, KV_KEY_PERSON);
    if (ev == KV_EV_PERSON_ENROL) {
        kv_record_info_str(due->rec, "duty", kv_duty_word(kv_statement_duty(st, KV_KEY_DUTY)));
    }
    if (kv_statement_has(st, KV_KEY_KEY)) {
        set_from(due->rec, KV_RK_KEY, st, KV_KEY_KEY);
        kv_buf_add_bytes(&due->doc, kv_statement_get(st, KV_KEY_PUBLIC_KEY));
        kv_buf_add_str(&due->doc, "\n");
        add_doc(due);
    }
}

static void step_of(const struct kv_request *r, struct kv_due *due)
{
    const struct kv_statement *st = r->text;
    struct kv_target target;
    char id[KV_ID_LEN] = "";
    enum kv_event ev = KV_EV_NONE;
    if (r->action == KV_ACTION_PERSON_ENROL) {
        enrolment(r, KV_EV_PERSON_ENROL, due);
        return;
    }
    if (r->action == KV_ACTION_KEY_ENROL) {
        enrolment(r, KV_EV_KEY_ENROL, due);
        return;
    }
    if (r->action == KV_ACTION_CREDENTIAL_CREATE || r->action == KV_ACTION_CREDENTIAL_IMPORT) {
        return; /* needs the slot, or a person with the token: kv_state_key_wanted, _token_wanted */
    }
    if (r->action == KV_ACTION_RESUME && kv_statement_target(st, &target)) {
        ev = target.noun == KV_NOUN_GRANT ? KV_EV_GRANT_RESUME : KV_EV_INTEG_RESUME;
        memcpy(id, target.id.ptr, target.id.len < sizeof id ? target.id.len : 0);
    } else if (r->action == KV_ACTION_INTEGRATION_CHANGE) {
        ev = r->step == 1 ? KV_EV_INTEG_RESUME : KV_EV_INTEG_CHANGE;
    } else if (r->action == KV_ACTION_INTEGRATION_REGISTER) {
        ev = KV_EV_INTEG_REGISTER;
    } else if (r->action == KV_ACTION_GRANT) {
        ev = KV_EV_GRANT_ACTIVATE;
    } else if (r->action == KV_ACTION_PERSON_CHANGE) {
        ev = KV_EV_PERSON_CHANGE;
    } else {
        assert(r->action == KV_ACTION_POLICY); /* nothing else is opened */
        ev = KV_EV_POLICY_ACTIVATE;
    }
    due->rec = kv_record_new(ev);
    kv_record_set(due->rec, KV_RK_REQ, r->id);
    if (ev == KV_EV_GRANT_RESUME) {
        kv_record_set(due->rec, KV_RK_GRANT, id);
    } else if (ev == KV_EV_GRANT_ACTIVATE) {
        kv_record_set(due->rec, KV_RK_GRANT, r->id);
        set_from(due->rec, KV_RK_INTEG, st, KV_KEY_INTEGRATION);
        set_from(due->rec, KV_RK_CRED, st, KV_KEY_CREDENTIAL);
    } else if (ev == KV_EV_PERSON_CHANGE) {
        set_from(due->rec, KV_RK_PERSON, st, KV_KEY_PERSON);
        kv_record_info_str(due->rec, "duty", kv_duty_word(kv_statement_duty(st, KV_KEY_DUTY_TO)));
    } else if (ev == KV_EV_POLICY_ACTIVATE) {
        due->wants_policy = kv_statement_hash(st, KV_KEY_POLICY_SHA256, &due->policy);
    } else if (id[0] != '\0') {
        kv_record_set(due->rec, KV_RK_INTEG, id);
    } else {
        set_from(due->rec, KV_RK_INTEG, st, KV_KEY_INTEGRATION);
    }
}

static void expire(const struct kv_grant *g, const char *why, struct kv_due *due)
{
    due->rec = kv_record_new(KV_EV_GRANT_EXPIRE);
    kv_record_set(due->rec, KV_RK_GRANT, g->id);
    kv_record_info_str(due->rec, "why", why);
}

static void suspend(enum kv_event ev, enum kv_record_key key, const char *id, struct kv_due *due)
{
    due->rec = kv_record_new(ev);
    kv_record_set(due->rec, key, id);
    kv_record_set(due->rec, KV_RK_ERR, kv_code_word(KV_E_ALARM_COMPROMISED));
}

static void close_if_clear(const struct kv_state *s, const struct kv_grant *g, int64_t now_ms,
                           struct kv_due *due)
{
    char until[KV_TIME_S_LEN];
    if (g->state != KV_GRANT_CLOSING || !kv_grant_is_clear(s, g, now_ms)) {
        return;
    }
    due->rec = kv_record_new(KV_EV_GRANT_CLOSE);
    kv_record_set(due->rec, KV_RK_GRANT, g->id);
    if (g->closer[0] != '\0') {
        kv_record_set(due->rec, KV_RK_PERSON, g->closer);
    }
    if (g->residual_ms > now_ms) {
        kv_time_format_s(g->residual_ms, until);
        kv_record_info_str(due->rec, "residual", until);
    }
}

/* What takes away comes first, and does not wait for a checkpoint. */
static void due_taking(const struct kv_state *s, const struct kv_moment *m, struct kv_due *due)
{
    if (s->cloned != NULL) {
        due->rec = kv_record_new(KV_EV_ALARM_KEY_CLONED);
        kv_record_set(due->rec, KV_RK_PERSON, s->cloned->person);
        kv_record_set(due->rec, KV_RK_KEY, s->cloned->fingerprint);
        return;
    }
    for (size_t i = 0; i < s->grants.count && due->rec == NULL; i++) {
        const struct kv_grant *g = s->grants.item[i];
        if (kv_grant_over(g)) {
            close_if_clear(s, g, m->now_ms, due);
        } else if (g->ends_by_policy) {
            expire(g, "policy", due);
        } else if (m->now_ms >= kv_grant_end_ms(s, g)) {
            expire(g, "time", due);
        } else if (g->has_max_uses && g->uses >= g->max_uses) {
            expire(g, "uses", due);
        } else if (g->compromised) {
            suspend(KV_EV_GRANT_SUSPEND, KV_RK_GRANT, g->id, due);
        }
    }
    for (size_t i = 0; i < s->integrations.count && due->rec == NULL; i++) {
        const struct kv_integration *n = s->integrations.item[i];
        if (n->compromised && !n->suspended) {
            suspend(KV_EV_INTEG_SUSPEND, KV_RK_INTEG, n->id, due);
        }
    }
    for (size_t i = 0; i < s->requests.count && due->rec == NULL; i++) {
        const struct kv_request *r = s->requests.item[i];
        if (kv_request_lapsed(s, r, m->now_ms)) {
            due->rec = kv_record_new(KV_EV_REQUEST_LAPSE);
            kv_record_set(due->rec, KV_RK_REQ, r->id);
        }
    }
}

void kv_state_due(const struct kv_state *state, const struct kv_moment *moment, bool give,
                  struct kv_due *out)
{
    *out = (struct kv_due){.rec = NULL};
    kv_buf_init(&out->doc, KV_BLOB_MAX);
    if (!state->founded) {
        return;
    }
    due_taking(state, moment, out);
    /* A policy last: the one step that may be refused (kv_state_lapse). */
    for (int last = 0; give && last <= 1; last++) {
        for (size_t i = 0; i < state->requests.count && out->rec == NULL; i++) {
            const struct kv_request *r = state->requests.item[i];
            if (r->state == KV_REQUEST_APPROVED && (r->action == KV_ACTION_POLICY) == last &&
                kv_request_ready(state, r, moment->now_ms)) {
                step_of(r, out);
            }
        }
    }
}

struct kv_record *kv_state_lapse(const struct kv_state *state, const struct kv_record *refused)
{
    const struct kv_request *r =
        refused->ev == KV_EV_POLICY_ACTIVATE ? kv_find_request(state, refused->req) : NULL;
    if (r == NULL || r->state != KV_REQUEST_APPROVED || !kv_policy_outdated(state, r)) {
        return NULL;
    }
    struct kv_record *rec = kv_record_new(KV_EV_REQUEST_LAPSE);
    kv_record_set(rec, KV_RK_REQ, r->id);
    return rec;
}

const struct kv_request *kv_state_key_wanted(const struct kv_state *state,
                                             const struct kv_moment *moment, size_t *at)
{
    while (*at < state->requests.count) {
        const struct kv_request *r = state->requests.item[(*at)++];
        if (r->action == KV_ACTION_CREDENTIAL_CREATE && r->state == KV_REQUEST_APPROVED &&
            r->step == 0 && kv_request_ready(state, r, moment->now_ms) &&
            r->decided_seq < moment->covered) {
            return r;
        }
    }
    return NULL;
}

const struct kv_request *kv_state_token_wanted(const struct kv_state *state,
                                               struct kv_bytes credential,
                                               const struct kv_moment *moment)
{
    for (size_t i = 0; i < state->requests.count; i++) {
        const struct kv_request *r = state->requests.item[i];
        if (r->action == KV_ACTION_CREDENTIAL_IMPORT && r->state == KV_REQUEST_APPROVED &&
            r->step == 0 && kv_request_ready(state, r, moment->now_ms) &&
            r->decided_seq < moment->covered &&
            kv_bytes_equal(kv_statement_get(r->text, KV_KEY_CREDENTIAL), credential)) {
            return r;
        }
    }
    return NULL;
}

static void earlier(int64_t *best, int64_t candidate, int64_t now_ms)
{
    if (candidate > now_ms && candidate < *best) {
        *best = candidate;
    }
}

int64_t kv_state_next_due_ms(const struct kv_state *state, int64_t now_ms)
{
    int64_t best = KV_TIME_MAX;
    for (size_t i = 0; i < state->requests.count; i++) {
        const struct kv_request *r = state->requests.item[i];
        if (r->state == KV_REQUEST_OPEN) {
            earlier(&best, r->collect_until_ms, now_ms);
        }
        if (r->state == KV_REQUEST_OPEN || r->state == KV_REQUEST_APPROVED) {
            earlier(&best, r->not_before_ms, now_ms);
            earlier(&best, r->not_after_ms, now_ms);
        }
        const struct kv_credential *c =
            r->state == KV_REQUEST_APPROVED && r->action == KV_ACTION_GRANT
                ? kv_state_credential(state, kv_statement_get(r->text, KV_KEY_CREDENTIAL))
                : NULL;
        if (c != NULL && c->active) {
            earlier(&best, c->from_ms, now_ms);
        }
    }
    for (size_t i = 0; i < state->grants.count; i++) {
        const struct kv_grant *g = state->grants.item[i];
        if (!kv_grant_over(g)) {
            earlier(&best, kv_grant_end_ms(state, g), now_ms);
        }
    }
    return best;
}
