/* What a request may ask for: names exist and fit, limits of the policy hold. */
#include "policy/state_model.h"

static struct kv_bytes value(const struct kv_statement *st, enum kv_key key)
{
    return kv_statement_get(st, key);
}

static enum kv_code unknown(const struct kv_judge *j, const char *what, struct kv_bytes name)
{
    return KV_REFUSE(j->err, KV_E_REQ_NAME, "%s '%.*s' does not exist or does not fit", what,
                     (int)name.len, name.len == 0 ? "" : (const char *)name.ptr);
}

static enum kv_code exists(const struct kv_judge *j, const char *what, struct kv_bytes name)
{
    return KV_REFUSE(j->err, KV_E_REQ_EXISTS, "%s '%.*s' exists already", what, (int)name.len,
                     (const char *)name.ptr);
}

/* Owner is finance, custodian is custodian. A change takes over who was it: the message names the
 * option, since its author may not have given one. */
static enum kv_code check_owner(const struct kv_judge *j, const struct kv_statement *st,
                                enum kv_key key, enum kv_duty duty, const char *what,
                                const char *option)
{
    const struct kv_person *p = kv_state_person(j->s, value(st, key));
    if (kv_has_duty(j->s, value(st, key), duty)) {
        return KV_OK;
    }
    if (p == NULL) {
        return unknown(j, what, value(st, key));
    }
    return KV_REFUSE(j->err, KV_E_REQ_NAME, "%s %s: name another %s with --%s", p->id,
                     p->enabled ? "has another duty" : "has left", what, option);
}

static enum kv_code check_owners(const struct kv_judge *j, const struct kv_statement *st)
{
    enum kv_code code = check_owner(j, st, KV_KEY_BUSINESS_OWNER, KV_DUTY_FINANCE, "finance person",
                                    "business-owner");
    return code != KV_OK ? code
                         : check_owner(j, st, KV_KEY_TECHNICAL_CUSTODIAN, KV_DUTY_CUSTODIAN,
                                       "custodian", "custodian");
}

static enum kv_code person_enrol(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_person *p = kv_state_person(j->s, value(st, KV_KEY_PERSON));
    if (p != NULL && p->enabled) {
        bool both = kv_takes_away(p) && p->duty != kv_statement_duty(st, KV_KEY_DUTY) &&
                    kv_seat_of(kv_statement_duty(st, KV_KEY_DUTY)) != KV_SEAT_NONE;
        return KV_REFUSE(j->err, both ? KV_E_PERSON_DUTIES : KV_E_PERSON_EXISTS,
                         "%s is enrolled already, as %s", p->id, kv_duty_word(p->duty));
    }
    return kv_check_new_key(j->s, st, p != NULL, j->err);
}

static enum kv_code person_change(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_person *p = kv_state_person(j->s, value(st, KV_KEY_PERSON));
    if (p == NULL || !p->enabled || p->duty != kv_statement_duty(st, KV_KEY_DUTY_FROM)) {
        return unknown(j, "person with that duty", value(st, KV_KEY_PERSON));
    }
    if (kv_takes_away(p) && kv_statement_duty(st, KV_KEY_DUTY_TO) != p->duty &&
        !kv_duty_remains(j->s, p->duty, p->id, NULL, j->now)) {
        return KV_REFUSE(j->err, KV_E_ACT_LAST, "%s is the last %s with a good key", p->id,
                         kv_duty_word(p->duty));
    }
    return KV_OK;
}

static enum kv_code key_enrol(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_person *p = kv_state_person(j->s, value(st, KV_KEY_PERSON));
    char replaced[KV_KEY_LEN];
    if (p == NULL || !p->enabled || p->duty == KV_DUTY_EXTERNAL) {
        return unknown(j, "person", value(st, KV_KEY_PERSON));
    }
    kv_statement_copy(st, KV_KEY_REPLACES_KEY, replaced, sizeof replaced);
    const struct kv_person_key *old = replaced[0] == '\0' ? NULL : kv_find_key(j->s, replaced);
    if (replaced[0] != '\0' && (old == NULL || strcmp(old->person, p->id) != 0)) {
        return unknown(j, "key to be replaced", kv_bytes_str(replaced));
    }
    return kv_check_new_key(j->s, st, false, j->err);
}

static enum kv_code check_new_credential(const struct kv_judge *j, const struct kv_statement *st)
{
    if (kv_state_credential(j->s, value(st, KV_KEY_CREDENTIAL)) != NULL) {
        return exists(j, "credential", value(st, KV_KEY_CREDENTIAL));
    }
    for (size_t i = 0; i < j->s->requests.count; i++) { /* nor approved and waiting */
        const struct kv_request *r = j->s->requests.item[i];
        bool makes =
            r->action == KV_ACTION_CREDENTIAL_CREATE || r->action == KV_ACTION_CREDENTIAL_IMPORT;
        if (makes && r->state == KV_REQUEST_APPROVED &&
            kv_bytes_equal(value(r->text, KV_KEY_CREDENTIAL), value(st, KV_KEY_CREDENTIAL))) {
            return exists(j, "credential", value(st, KV_KEY_CREDENTIAL));
        }
    }
    return check_owners(j, st);
}

static enum kv_code credential_create(const struct kv_judge *j, const struct kv_statement *st)
{
    if (kv_bytes_is(value(st, KV_KEY_KIND), kv_cred_kind_word(KV_CRED_TOKEN)) ||
        !kv_statement_has(st, KV_KEY_KEY_TYPE)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "a token is imported, not created");
    }
    return check_new_credential(j, st);
}

/* KSeF gives tokens in a context of type Nip or InternalId, each in one (KSeF API 2.0, tokens). */
static enum kv_code credential_import(const struct kv_judge *j, const struct kv_statement *st)
{
    struct kv_context context;
    if (!kv_bytes_is(value(st, KV_KEY_KIND), kv_cred_kind_word(KV_CRED_TOKEN))) {
        return KV_REFUSE(j->err, KV_E_REQ_ACTION, "only tokens are imported; keys are made here");
    }
    if (!j->s->rules.token_logins) {
        return KV_REFUSE(j->err, KV_E_REQ_LIMIT, "the policy does not allow logins by token");
    }
    if (kv_context_parse(value(st, KV_KEY_CONTEXTS), &context, NULL) != KV_OK ||
        (context.type != KV_CONTEXT_NIP && context.type != KV_CONTEXT_INTERNAL_ID)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE,
                         "a KSeF token is good in one context, of type Nip or InternalId");
    }
    return check_new_credential(j, st);
}

static enum kv_code check_ops(const struct kv_judge *j, uint32_t ops)
{
    if (!j->s->rules.token_logins && (ops >> KV_OP_AUTH_TOKEN & 1) != 0) {
        return KV_REFUSE(j->err, KV_E_REQ_LIMIT, "the policy does not allow auth.token");
    }
    return KV_OK;
}

/* Both integrations could be the same caller: one account, or one unit of any account. */
static bool same_caller(const struct kv_statement *a, const struct kv_statement *b)
{
    uint64_t uid_a, uid_b;
    bool has_a = kv_statement_number(a, KV_KEY_UID, &uid_a);
    bool has_b = kv_statement_number(b, KV_KEY_UID, &uid_b);
    if (has_a && has_b) {
        return uid_a == uid_b;
    }
    return kv_statement_has(a, KV_KEY_UNIT) &&
           kv_bytes_equal(value(a, KV_KEY_UNIT), value(b, KV_KEY_UNIT));
}

/* One account serves one integration: the uid, or the unit, is the boundary. */
enum kv_code kv_check_account(const struct kv_state *s, const struct kv_statement *st,
                              struct kv_err *err)
{
    for (size_t i = 0; i < s->integrations.count; i++) {
        const struct kv_integration *n = s->integrations.item[i];
        if (!kv_bytes_is(value(st, KV_KEY_INTEGRATION), n->id) &&
            same_caller(st, n->request->text)) {
            return KV_REFUSE(err, KV_E_REQ_EXISTS,
                             "this account or unit serves integration %s already", n->id);
        }
    }
    return KV_OK;
}

static enum kv_code check_caller(const struct kv_judge *j, const struct kv_statement *st)
{
    uint64_t uid;
    bool has_uid = kv_statement_number(st, KV_KEY_UID, &uid);
    if (!has_uid && !kv_statement_has(st, KV_KEY_UNIT)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "an integration is known by its uid or its unit");
    }
    if (has_uid && uid == 0) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "an integration may not run as root");
    }
    return kv_check_account(j->s, st, j->err);
}

static enum kv_code integration_terms(const struct kv_judge *j, const struct kv_statement *st)
{
    if (check_owners(j, st) != KV_OK || check_caller(j, st) != KV_OK) {
        return j->err->code;
    }
    return KV_OK;
}

static enum kv_code integration_register(const struct kv_judge *j, const struct kv_statement *st)
{
    if (kv_state_integration(j->s, value(st, KV_KEY_INTEGRATION)) != NULL) {
        return exists(j, "integration", value(st, KV_KEY_INTEGRATION));
    }
    return integration_terms(j, st);
}

static enum kv_code integration_change(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_integration *n = kv_state_integration(j->s, value(st, KV_KEY_INTEGRATION));
    if (n == NULL) {
        return unknown(j, "integration", value(st, KV_KEY_INTEGRATION));
    }
    if (!kv_bytes_is(value(st, KV_KEY_REPLACES_REQUEST), n->request->id)) {
        return KV_REFUSE(j->err, KV_E_REQ_CHANGED, "the terms of %s are those of request %s now",
                         n->id, n->request->id);
    }
    return integration_terms(j, st);
}

const struct kv_request *kv_credential_elsewhere(const struct kv_state *s,
                                                 const struct kv_statement *st, int64_t now_ms)
{
    for (size_t i = 0; i < s->requests.count; i++) {
        const struct kv_request *r = s->requests.item[i];
        if (r->action != KV_ACTION_GRANT || r->text == st ||
            !kv_bytes_equal(value(r->text, KV_KEY_CREDENTIAL), value(st, KV_KEY_CREDENTIAL)) ||
            kv_bytes_equal(value(r->text, KV_KEY_INTEGRATION), value(st, KV_KEY_INTEGRATION))) {
            continue;
        }
        const struct kv_grant *g = kv_find_grant(s, r->id);
        bool stands = g != NULL && !kv_grant_over(g) && now_ms < kv_grant_end_ms(s, g);
        /* of two that were approved and wait, the later one gives way */
        const struct kv_request *own = kv_state_request(s, value(st, KV_KEY_REQUEST));
        bool waits =
            r->state == KV_REQUEST_APPROVED &&
            (own == NULL || own->state != KV_REQUEST_APPROVED || r->decided_seq < own->decided_seq);
        if (stands || waits) {
            return r;
        }
    }
    return NULL;
}

static enum kv_code check_shared(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_request *r = kv_credential_elsewhere(j->s, st, j->now);
    if (r != NULL) {
        struct kv_bytes other = value(r->text, KV_KEY_INTEGRATION);
        return KV_REFUSE(j->err, KV_E_REQ_CRED_SHARED, "it serves %.*s by grant %s", (int)other.len,
                         (const char *)other.ptr, r->id);
    }
    return KV_OK;
}

static bool rate_exceeds(const struct kv_rate *asked, const struct kv_rate *max)
{
    return (double)asked->count / (double)asked->per_ms > (double)max->count / (double)max->per_ms;
}

static enum kv_code grant_limits(const struct kv_judge *j, const struct kv_statement *st)
{
    int64_t before = 0, after = 0;
    struct kv_rate rate;
    (void)kv_statement_time(st, KV_KEY_NOT_BEFORE, &before);
    (void)kv_statement_time(st, KV_KEY_NOT_AFTER, &after);
    if (after - before > j->s->rules.grant_days_max * KV_DAY_MS) {
        return KV_REFUSE(j->err, KV_E_REQ_LIMIT, "a grant lasts at most %u days",
                         j->s->rules.grant_days_max);
    }
    const struct kv_rate *max = &j->s->rules.rate_max;
    if (max->count > 0 && kv_statement_rate(st, &rate) && rate_exceeds(&rate, max)) {
        return KV_REFUSE(j->err, KV_E_REQ_LIMIT, "the rate exceeds that of the policy");
    }
    return KV_OK;
}

/* An operation that the credential is not for could be granted, but never used. */
static enum kv_code check_purpose(const struct kv_judge *j, const struct kv_credential *c,
                                  uint32_t ops)
{
    for (enum kv_op op = KV_OP_NONE + 1; op < KV_OP_COUNT; op++) {
        if ((ops >> op & 1) != 0 && !kv_cred_serves(c->kind, op)) {
            return KV_REFUSE(j->err, KV_E_CRED_PURPOSE,
                             "credential %s is of kind %s, which is not for %s", c->id,
                             kv_cred_kind_word(c->kind), kv_op_word(op));
        }
    }
    return KV_OK;
}

static enum kv_code grant(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_credential *c = kv_state_credential(j->s, value(st, KV_KEY_CREDENTIAL));
    const struct kv_integration *n = kv_state_integration(j->s, value(st, KV_KEY_INTEGRATION));
    uint32_t ops = kv_statement_ops(st);
    if (c == NULL) {
        return unknown(j, "credential", value(st, KV_KEY_CREDENTIAL));
    }
    if (n == NULL) {
        return unknown(j, "integration", value(st, KV_KEY_INTEGRATION));
    }
    struct kv_bytes context = value(st, KV_KEY_CONTEXT);
    if (!kv_list_has(value(c->request->text, KV_KEY_CONTEXTS), context)) {
        return unknown(j, "in the credential's terms, context", context);
    }
    if (!kv_list_has(value(n->request->text, KV_KEY_CONTEXTS), context)) {
        return unknown(j, "in the integration's terms, context", context);
    }
    if ((ops & ~kv_statement_ops(n->request->text)) != 0) {
        return unknown(j, "in the integration's terms, one of the operations of",
                       value(st, KV_KEY_OPERATIONS));
    }
    if (!kv_bytes_is(value(st, KV_KEY_CLASS), kv_class_word(KV_CLASS_ROUTINE))) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE,
                         "a grant of class emergency is an emergency request");
    }
    if (check_ops(j, ops) != KV_OK || check_purpose(j, c, ops) != KV_OK ||
        grant_limits(j, st) != KV_OK) {
        return j->err->code;
    }
    return check_shared(j, st);
}

static enum kv_code resume(const struct kv_judge *j, const struct kv_statement *st)
{
    struct kv_target target;
    bool named = kv_statement_target(st, &target);
    const struct kv_integration *n =
        named && target.noun == KV_NOUN_INTEGRATION ? kv_state_integration(j->s, target.id) : NULL;
    const struct kv_grant *g =
        named && target.noun == KV_NOUN_GRANT ? kv_state_grant(j->s, target.id) : NULL;
    if ((n == NULL || (!n->suspended && n->suspended_ops == 0)) &&
        (g == NULL || kv_grant_over(g) || (g->state == KV_GRANT_ACTIVE && g->suspended_ops == 0))) {
        return unknown(j, "suspended integration or grant", named ? target.id : KV_BYTES_NULL);
    }
    return KV_OK;
}

static enum kv_code policy(const struct kv_judge *j, const struct kv_statement *st)
{
    uint64_t count = 0;
    (void)kv_statement_number(st, KV_KEY_ENDS_GRANTS, &count);
    for (uint64_t n = 1; n <= count; n++) {
        struct kv_bytes id = kv_statement_get_n(st, KV_KEY_ENDS_GRANT_N, n);
        const struct kv_grant *g = kv_state_grant(j->s, id);
        if (g == NULL || kv_grant_over(g)) {
            return unknown(j, "standing grant", id);
        }
    }
    return KV_OK;
}

enum kv_code kv_check_request_terms(const struct kv_judge *j, const struct kv_statement *st)
{
    static enum kv_code (*const checks[KV_ACTION_COUNT])(const struct kv_judge *,
                                                         const struct kv_statement *) = {
        [KV_ACTION_PERSON_ENROL] = person_enrol,
        [KV_ACTION_PERSON_CHANGE] = person_change,
        [KV_ACTION_KEY_ENROL] = key_enrol,
        [KV_ACTION_CREDENTIAL_CREATE] = credential_create,
        [KV_ACTION_CREDENTIAL_IMPORT] = credential_import,
        [KV_ACTION_INTEGRATION_REGISTER] = integration_register,
        [KV_ACTION_INTEGRATION_CHANGE] = integration_change,
        [KV_ACTION_GRANT] = grant,
        [KV_ACTION_POLICY] = policy,
        [KV_ACTION_RESUME] = resume,
    };
    enum kv_action action = kv_statement_action(st);
    if (checks[action] == NULL) {
        return KV_REFUSE(j->err, KV_E_REQ_ACTION, "this version does not carry out '%s'",
                         kv_action_word(action));
    }
    return checks[action](j, st);
}
