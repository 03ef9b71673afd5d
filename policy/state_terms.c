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

/* Owner is finance, custodian is custodian. */
static enum kv_code check_owners(const struct kv_judge *j, const struct kv_statement *st)
{
    struct kv_bytes owner = value(st, KV_KEY_BUSINESS_OWNER);
    struct kv_bytes custodian = value(st, KV_KEY_TECHNICAL_CUSTODIAN);
    if (!kv_has_duty(j->s, owner, KV_DUTY_FINANCE)) {
        return unknown(j, "finance person", owner);
    }
    if (!kv_has_duty(j->s, custodian, KV_DUTY_CUSTODIAN)) {
        return unknown(j, "custodian", custodian);
    }
    return KV_OK;
}

static enum kv_code check_new_public_key(const struct kv_judge *j, const struct kv_statement *st)
{
    struct kv_pubkey key;
    if (!kv_statement_has(st, KV_KEY_KEY)) {
        return KV_OK;
    }
    if (kv_pubkey_parse_line(value(st, KV_KEY_PUBLIC_KEY), &key, j->err) != KV_OK ||
        !kv_bytes_is(value(st, KV_KEY_KEY), key.fingerprint)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "the public key has another fingerprint");
    }
    struct kv_hash material = kv_pubkey_material(&key);
    for (size_t i = 0; i < j->s->keys.count; i++) {
        const struct kv_person_key *known = j->s->keys.item[i];
        struct kv_hash other = kv_pubkey_material(&known->key);
        if (kv_hash_equal(&material, &other)) {
            return KV_REFUSE(j->err, KV_E_PERSON_KEY_USED, "this key is %s's", known->person);
        }
    }
    return KV_OK;
}

static enum kv_code person_enrol(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_person *p = kv_state_person(j->s, value(st, KV_KEY_PERSON));
    if (p != NULL && p->enabled) {
        return KV_REFUSE(j->err, KV_E_PERSON_EXISTS, "%s is enrolled already", p->id);
    }
    return check_new_public_key(j, st);
}

static enum kv_code person_change(const struct kv_judge *j, const struct kv_statement *st)
{
    const struct kv_person *p = kv_state_person(j->s, value(st, KV_KEY_PERSON));
    if (p == NULL || !p->enabled || p->duty != kv_statement_duty(st, KV_KEY_DUTY_FROM)) {
        return unknown(j, "person with that duty", value(st, KV_KEY_PERSON));
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
    return check_new_public_key(j, st);
}

static enum kv_code credential_create(const struct kv_judge *j, const struct kv_statement *st)
{
    if (kv_state_credential(j->s, value(st, KV_KEY_CREDENTIAL)) != NULL) {
        return exists(j, "credential", value(st, KV_KEY_CREDENTIAL));
    }
    for (size_t i = 0; i < j->s->requests.count; i++) { /* nor approved and waiting for its key */
        const struct kv_request *r = j->s->requests.item[i];
        if (r->action == KV_ACTION_CREDENTIAL_CREATE && r->state == KV_REQUEST_APPROVED &&
            kv_bytes_equal(value(r->text, KV_KEY_CREDENTIAL), value(st, KV_KEY_CREDENTIAL))) {
            return exists(j, "credential", value(st, KV_KEY_CREDENTIAL));
        }
    }
    if (kv_bytes_is(value(st, KV_KEY_KIND), kv_cred_kind_word(KV_CRED_TOKEN)) ||
        !kv_statement_has(st, KV_KEY_KEY_TYPE)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "a token is imported, not created");
    }
    return check_owners(j, st);
}

static enum kv_code check_ops(const struct kv_judge *j, uint32_t ops)
{
    if (!j->s->rules.token_logins && (ops >> KV_OP_AUTH_TOKEN & 1) != 0) {
        return KV_REFUSE(j->err, KV_E_REQ_LIMIT, "the policy does not allow auth.token");
    }
    return KV_OK;
}

/* One account serves one integration: the uid is the boundary. */
static enum kv_code check_caller(const struct kv_judge *j, const struct kv_statement *st)
{
    uint64_t uid, other;
    bool has_uid = kv_statement_number(st, KV_KEY_UID, &uid);
    if (!has_uid && !kv_statement_has(st, KV_KEY_UNIT)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "an integration is known by its uid or its unit");
    }
    if (has_uid && uid == 0) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "an integration may not run as root");
    }
    for (size_t i = 0; has_uid && i < j->s->integrations.count; i++) {
        const struct kv_integration *n = j->s->integrations.item[i];
        if (kv_statement_number(n->request->text, KV_KEY_UID, &other) && other == uid &&
            !kv_bytes_is(value(st, KV_KEY_INTEGRATION), n->id)) {
            return KV_REFUSE(j->err, KV_E_REQ_EXISTS, "uid %llu serves integration %s already",
                             (unsigned long long)uid, n->id);
        }
    }
    return KV_OK;
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

static enum kv_code check_shared(const struct kv_judge *j, struct kv_bytes credential,
                                 struct kv_bytes integration)
{
    for (size_t i = 0; i < j->s->requests.count; i++) {
        const struct kv_request *r = j->s->requests.item[i];
        const struct kv_grant *g = kv_find_grant(j->s, r->id);
        bool live = r->state == KV_REQUEST_APPROVED ||
                    (r->state == KV_REQUEST_DONE && g != NULL && g->state != KV_GRANT_CLOSING &&
                     j->now < kv_grant_end_ms(j->s, g));
        if (r->action == KV_ACTION_GRANT && live &&
            kv_bytes_equal(value(r->text, KV_KEY_CREDENTIAL), credential) &&
            !kv_bytes_equal(value(r->text, KV_KEY_INTEGRATION), integration)) {
            struct kv_bytes other = value(r->text, KV_KEY_INTEGRATION);
            return KV_REFUSE(j->err, KV_E_REQ_CRED_SHARED, "it serves %.*s by grant %s",
                             (int)other.len, (const char *)other.ptr, r->id);
        }
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
    if (check_ops(j, ops) != KV_OK || grant_limits(j, st) != KV_OK) {
        return j->err->code;
    }
    return check_shared(j, value(st, KV_KEY_CREDENTIAL), value(st, KV_KEY_INTEGRATION));
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
        (g == NULL || g->state == KV_GRANT_CLOSING ||
         (g->state == KV_GRANT_ACTIVE && g->suspended_ops == 0))) {
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
        if (g == NULL || g->state == KV_GRANT_CLOSING) {
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
