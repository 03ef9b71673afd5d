/* What approved requests do: policy, credentials, integrations, grants; and what takes them away.
 */
#include "policy/state_model.h"

#include "core/evidence.h"
#include "core/token.h"

#include <stdlib.h>

static void *zeroed(size_t size)
{
    void *mem = calloc(1, size);
    if (mem == NULL) {
        abort();
    }
    return mem;
}

static enum kv_code approved_is(const struct kv_judge *j, const struct kv_request *r,
                                enum kv_key key, const char *recorded)
{
    if (!kv_bytes_is(kv_statement_get(r->text, key), recorded)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "'%.60s' is not what request %s says",
                         recorded, r->id);
    }
    return KV_OK;
}

/* ---- credentials ---- */

/* What both ways to a credential share: a key made in the slot, a token that came from outside. */
static enum kv_code new_credential(const struct kv_judge *j, enum kv_action action,
                                   const char *level, struct kv_credential **out)
{
    struct kv_request *r = NULL;
    enum kv_custody_floor custody;
    if (kv_judge_request(j, action, action, &r) != KV_OK ||
        approved_is(j, r, KV_KEY_CREDENTIAL, j->rec->cred) != KV_OK) {
        return j->err->code;
    }
    if (!kv_custody_floor_parse(kv_bytes_str(level), &custody)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "'%.20s' is no custody level", level);
    }
    if (custody < j->s->rules.custody_minimum) {
        return KV_REFUSE(j->err, KV_E_CUSTODY, "custody is '%s', the policy demands '%s'", level,
                         kv_custody_floor_word(j->s->rules.custody_minimum));
    }
    if (kv_find_credential(j->s, j->rec->cred) != NULL) {
        return KV_REFUSE(j->err, KV_E_REQ_EXISTS, "credential %s exists already", j->rec->cred);
    }
    struct kv_credential *c = zeroed(sizeof *c);
    memcpy(c->id, j->rec->cred, sizeof c->id);
    memcpy(c->custody, level, strlen(level) + 1);
    c->request = r;
    kv_statement_copy(r->text, KV_KEY_SLOT, c->slot, sizeof c->slot);
    (void)kv_cred_kind_parse(kv_statement_get(r->text, KV_KEY_KIND), &c->kind);
    (void)kv_key_type_parse(kv_statement_get(r->text, KV_KEY_KEY_TYPE), &c->key_type);
    c->created_seq = j->rec->seq;
    kv_list_add(&j->s->credentials, c);
    r->step = 1; /* the second record of the action is cred.activate, when it can be used */
    *out = c;
    return KV_OK;
}

/* What a TPM certified is of this key and of nobody else's; and who says that its maker vouches for
 * it shows the maker's certificate. (Whose word it is that the certificate is of this TPM, and that
 * the maker is one: docs/decisions/0010.) */
static enum kv_code judge_evidence(const struct kv_judge *j, const char *level)
{
    struct kv_evidence evidence = {.certificate_count = 0};
    struct kv_evidence_subject subject = {j->s->vault, j->rec->req, j->rec->cred};
    if (j->rec->doc_count == 2) {
        if (kv_evidence_parse(j->blob[1], &evidence, j->err) != KV_OK) {
            return j->err->code;
        }
        enum kv_code code = kv_evidence_check(&evidence, &subject, j->blob[0], j->err);
        bool certified = evidence.certificate_count > 0;
        kv_evidence_clear(&evidence);
        if (code != KV_OK || certified) {
            return code;
        }
    }
    return strcmp(level, kv_custody_word(KV_CUSTODY_ATTESTED)) == 0
               ? KV_REFUSE(j->err, KV_E_LEDGER_EVIDENCE,
                           "custody is 'attested', and there is no certificate of its TPM")
               : KV_OK;
}

enum kv_code kv_on_cred_create(const struct kv_judge *j)
{
    struct kv_credential *c = NULL;
    const char *level = kv_record_info_get_str(j->rec, "custody");
    if (judge_evidence(j, level) != KV_OK) {
        return j->err->code;
    }
    if (new_credential(j, KV_ACTION_CREDENTIAL_CREATE, level, &c) != KV_OK) {
        return j->err->code;
    }
    c->public_key = j->rec->docs[0].hash;
    return KV_OK;
}

enum kv_code kv_on_cred_import(const struct kv_judge *j)
{
    struct kv_credential *c = NULL;
    const struct kv_request *r = kv_find_request(j->s, j->rec->req);
    const char *rung = kv_record_info_get_str(j->rec, "rung");
    if (r == NULL || !r->proven) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "KSeF has not taken this token yet");
    }
    /* the level of the slot that wraps it, by the slot's name */
    const struct kv_info *custody = kv_record_info(j->rec, "custody");
    if (custody->pair_count != 1 || custody->pairs[0].is_bool ||
        approved_is(j, r, KV_KEY_SLOT, custody->pairs[0].name) != KV_OK) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "its custody is not that of its slot");
    }
    if (!kv_token_rung_known(rung)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "'%.20s' is no way to wrap", rung);
    }
    if (new_credential(j, KV_ACTION_CREDENTIAL_IMPORT, custody->pairs[0].s, &c) != KV_OK) {
        return j->err->code;
    }
    memcpy(c->rung, rung, strlen(rung) + 1);
    return KV_OK;
}

enum kv_code kv_on_cred_activate(const struct kv_judge *j)
{
    struct kv_credential *c = kv_find_credential(j->s, j->rec->cred);
    int64_t from = 0, to = KV_TIME_MAX;
    if (c == NULL || strcmp(c->request->id, j->rec->req) != 0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "there is no such credential behind it");
    }
    struct kv_request *r = NULL; /* it may have been denied, withdrawn or have lapsed meanwhile */
    if (kv_judge_request(j, KV_ACTION_CREDENTIAL_CREATE, KV_ACTION_CREDENTIAL_IMPORT, &r) !=
        KV_OK) {
        return j->err->code;
    }
    if (c->kind == KV_CRED_TOKEN && j->rec->doc_count != 0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "a token has no certificate");
    }
    if (c->active || r->step != 1) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "credential %s is active already", c->id);
    }
    const char *from_text = kv_record_info_get_str(j->rec, "from");
    const char *to_text = kv_record_info_get_str(j->rec, "to");
    if (j->rec->doc_count == 1 && (!kv_time_parse_s(kv_bytes_str(from_text), &from) ||
                                   !kv_time_parse_s(kv_bytes_str(to_text), &to) || to <= from)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "a certificate comes with its validity");
    }
    const struct kv_info *self = kv_record_info(j->rec, "self");
    c->active = true;
    c->has_certificate = j->rec->doc_count == 1;
    if (c->has_certificate) {
        c->certificate = j->rec->docs[0].hash;
    }
    c->self_signed = self != NULL && self->b;
    c->from_ms = from;
    c->to_ms = to;
    c->active_seq = j->rec->seq;
    r->step = 2;
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

/* ---- integrations ---- */

enum kv_code kv_on_integ_register(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    if (kv_judge_request(j, KV_ACTION_INTEGRATION_REGISTER, KV_ACTION_INTEGRATION_REGISTER, &r) !=
            KV_OK ||
        approved_is(j, r, KV_KEY_INTEGRATION, j->rec->integ) != KV_OK) {
        return j->err->code;
    }
    if (kv_find_integration(j->s, j->rec->integ) != NULL) {
        return KV_REFUSE(j->err, KV_E_REQ_EXISTS, "integration %s exists already", j->rec->integ);
    }
    if (kv_check_account(j->s, r->text, j->err) != KV_OK) {
        return j->err->code; /* another registration of this account came first */
    }
    struct kv_integration *n = zeroed(sizeof *n);
    memcpy(n->id, j->rec->integ, sizeof n->id);
    n->request = r;
    n->seq = j->rec->seq;
    n->compromised = kv_rests_on_bad_key(j->s, r);
    kv_list_add(&j->s->integrations, n);
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

/* The executable that was approved so far passes until the change's not-after: the next version is
 * approved beforehand and installed in between (docs/decisions/0002-next-exe.md). */
static void keep_former_exe(struct kv_integration *n, const struct kv_request *r)
{
    struct kv_hash next;
    n->has_former_exe = kv_statement_hash(n->request->text, KV_KEY_EXE_SHA256, &n->former_exe) &&
                        kv_statement_hash(r->text, KV_KEY_EXE_SHA256, &next) &&
                        !kv_hash_equal(&next, &n->former_exe);
    n->former_exe_until_ms = r->not_after_ms;
}

enum kv_code kv_on_integ_change(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    if (kv_judge_request(j, KV_ACTION_INTEGRATION_CHANGE, KV_ACTION_INTEGRATION_CHANGE, &r) !=
            KV_OK ||
        approved_is(j, r, KV_KEY_INTEGRATION, j->rec->integ) != KV_OK) {
        return j->err->code;
    }
    struct kv_integration *n = kv_find_integration(j->s, j->rec->integ);
    if (n == NULL ||
        !kv_bytes_is(kv_statement_get(r->text, KV_KEY_REPLACES_REQUEST), n->request->id)) {
        return KV_REFUSE(j->err, KV_E_REQ_CHANGED, "its terms were changed meanwhile");
    }
    if (kv_check_account(j->s, r->text, j->err) != KV_OK) {
        return j->err->code;
    }
    keep_former_exe(n, r);
    n->request = r;
    n->seq = j->rec->seq;
    n->exe_alarm = false;
    n->compromised = !n->suspended && kv_rests_on_bad_key(j->s, r);
    /* what the agent suspended for its executable, two people have looked at now */
    bool resumes =
        n->suspended && n->by_agent && strcmp(n->suspended_why, kv_code_word(KV_E_CALLER_EXE)) == 0;
    r->step = 1;
    r->state = resumes ? KV_REQUEST_APPROVED : KV_REQUEST_DONE;
    return KV_OK;
}

static bool target_is(const struct kv_request *r, enum kv_noun noun, const char *id)
{
    struct kv_target target;
    return kv_statement_target(r->text, &target) && target.noun == noun &&
           kv_bytes_is(target.id, id);
}

enum kv_code kv_on_integ_resume(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    struct kv_integration *n = kv_find_integration(j->s, j->rec->integ);
    if (kv_judge_request(j, KV_ACTION_RESUME, KV_ACTION_INTEGRATION_CHANGE, &r) != KV_OK) {
        return j->err->code;
    }
    bool by_change = r->action == KV_ACTION_INTEGRATION_CHANGE && r->step == 1 && n != NULL &&
                     n->request == r && n->by_agent;
    if (n == NULL || (!by_change && (r->action != KV_ACTION_RESUME ||
                                     !target_is(r, KV_NOUN_INTEGRATION, n->id)))) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "this is not what was approved");
    }
    if (!n->suspended && n->suspended_ops == 0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "integration %s is not suspended", n->id);
    }
    n->suspended = false;
    n->suspended_ops = 0;
    n->suspended_why[0] = '\0';
    n->resumed = r;
    n->compromised = kv_rests_on_bad_key(j->s, r);
    n->by_agent = false;
    n->exe_alarm = false;
    n->seq = j->rec->seq;
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

static uint32_t ops_of_act(const struct kv_statement *st)
{
    return kv_statement_has(st, KV_KEY_OPERATIONS) ? kv_statement_ops(st) : UINT32_MAX;
}

/* A person's act on an integration or grant: any finance person or custodian. */
static enum kv_code taking_act(const struct kv_judge *j, enum kv_act act, enum kv_noun noun,
                               const char *id, struct kv_statement **st)
{
    struct kv_person *actor = NULL;
    struct kv_target target;
    if (kv_judge_act(j, act, noun, st, &actor, &target) != KV_OK) {
        return j->err->code;
    }
    if (!kv_takes_away(actor)) {
        return KV_REFUSE(j->err, KV_E_ACT_ENTITLED, "any finance person or custodian may do this");
    }
    if (!kv_bytes_is(target.id, id)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record is about another target");
    }
    return KV_OK;
}

enum kv_code kv_on_integ_suspend(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    struct kv_integration *n = kv_find_integration(j->s, j->rec->integ);
    bool person = j->rec->who == KV_WHO_PERSON;
    uint32_t ops = UINT32_MAX;
    enum kv_code code = KV_OK;
    if (person) {
        code = taking_act(j, KV_ACT_SUSPEND, KV_NOUN_INTEGRATION, j->rec->integ, &st);
        ops = code == KV_OK ? ops_of_act(st) : 0;
    }
    if (code == KV_OK && (n == NULL || (n->suspended && !(person && n->by_agent)))) {
        code = KV_REFUSE(j->err, KV_E_ACT_TARGET,
                         "integration %s is not there or suspended already", j->rec->integ);
    }
    if (code == KV_OK && !person && !n->compromised && !n->exe_alarm) {
        code = KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "there is no reason to suspend %s", n->id);
    }
    if (code == KV_OK) {
        if (person) {
            kv_note_text(j, st, 1);
        }
        n->suspended = n->suspended || ops == UINT32_MAX;
        n->suspended_ops |= ops;
        n->by_agent = !person;
        n->compromised = false;
        struct kv_request *terms = kv_find_request(j->s, n->request->id);
        if (person && terms->state == KV_REQUEST_APPROVED) {
            terms->state = KV_REQUEST_DONE; /* a change does not lift what a person suspends */
        }
        memcpy(n->suspended_why, j->rec->err, sizeof n->suspended_why);
    }
    kv_statement_free(st);
    return code;
}

enum kv_code kv_on_alarm_exe(const struct kv_judge *j)
{
    struct kv_integration *n = kv_find_integration(j->s, j->rec->integ);
    if (n == NULL) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "there is no integration %s", j->rec->integ);
    }
    if (!n->exe_alarm) {
        n->exe_alarm = true;
        n->exe_alarm_until_ms = j->now + j->s->rules.exe_alarm_hours * KV_HOUR_MS;
    }
    return KV_OK;
}

/* ---- grants ---- */

enum kv_code kv_on_grant_activate(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    if (kv_judge_request(j, KV_ACTION_GRANT, KV_ACTION_GRANT, &r) != KV_OK ||
        approved_is(j, r, KV_KEY_INTEGRATION, j->rec->integ) != KV_OK ||
        approved_is(j, r, KV_KEY_CREDENTIAL, j->rec->cred) != KV_OK) {
        return j->err->code;
    }
    struct kv_integration *n = kv_find_integration(j->s, j->rec->integ);
    struct kv_credential *c = kv_find_credential(j->s, j->rec->cred);
    if (strcmp(j->rec->grant, r->id) != 0 || n == NULL || c == NULL ||
        !kv_request_ready(j->s, r, j->now)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "grant %s cannot stand", j->rec->grant);
    }
    struct kv_grant *g = zeroed(sizeof *g);
    memcpy(g->id, r->id, sizeof g->id);
    g->request = r;
    g->credential = c;
    g->integration = n;
    g->ops = kv_statement_ops(r->text);
    g->has_max_uses = kv_statement_number(r->text, KV_KEY_MAX_USES, &g->max_uses);
    (void)kv_statement_rate(r->text, &g->rate); /* none: count stays 0 */
    g->compromised = kv_rests_on_bad_key(j->s, r);
    g->seq = j->rec->seq;
    kv_list_add(&j->s->grants, g);
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

static bool ended(const struct kv_grant *g)
{
    return g == NULL || kv_grant_over(g);
}

enum kv_code kv_on_grant_suspend(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    struct kv_grant *g = kv_find_grant(j->s, j->rec->grant);
    bool person = j->rec->who == KV_WHO_PERSON;
    uint32_t ops = UINT32_MAX;
    enum kv_code code = KV_OK;
    if (person) {
        code = taking_act(j, KV_ACT_SUSPEND, KV_NOUN_GRANT, j->rec->grant, &st);
        ops = code == KV_OK ? ops_of_act(st) : 0;
    }
    if (code == KV_OK && (ended(g) || g->state == KV_GRANT_SUSPENDED)) {
        code = KV_REFUSE(j->err, KV_E_ACT_TARGET, "grant %s is not there or not active",
                         j->rec->grant);
    }
    if (code == KV_OK && !person && !g->compromised) {
        code = KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "there is no reason to suspend %s", g->id);
    }
    if (code == KV_OK) {
        if (person) {
            kv_note_text(j, st, 1);
        }
        g->suspended_ops |= ops;
        g->state = (g->ops & ~g->suspended_ops) == 0 ? KV_GRANT_SUSPENDED : KV_GRANT_ACTIVE;
        g->compromised = false;
        memcpy(g->suspended_why, j->rec->err, sizeof g->suspended_why);
    }
    kv_statement_free(st);
    return code;
}

enum kv_code kv_on_grant_resume(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    struct kv_grant *g = kv_find_grant(j->s, j->rec->grant);
    if (kv_judge_request(j, KV_ACTION_RESUME, KV_ACTION_RESUME, &r) != KV_OK) {
        return j->err->code;
    }
    if (ended(g) || !target_is(r, KV_NOUN_GRANT, g->id) || j->now >= kv_grant_end_ms(j->s, g)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "this is not what was approved");
    }
    if (g->state == KV_GRANT_ACTIVE && g->suspended_ops == 0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "grant %s is not suspended", g->id);
    }
    g->state = KV_GRANT_ACTIVE;
    g->suspended_ops = 0;
    g->suspended_why[0] = '\0';
    g->resumed = r;
    g->compromised = kv_rests_on_bad_key(j->s, r);
    g->seq = j->rec->seq;
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

enum kv_code kv_on_grant_revoke(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    struct kv_grant *g = kv_find_grant(j->s, j->rec->grant);
    enum kv_code code = taking_act(j, KV_ACT_REVOKE, KV_NOUN_GRANT, j->rec->grant, &st);
    if (code == KV_OK && ended(g)) {
        code =
            KV_REFUSE(j->err, KV_E_ACT_TARGET, "grant %s is not there or has ended", j->rec->grant);
    }
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        g->state = KV_GRANT_CLOSING;
        g->revoked = true;
        memcpy(g->closer, j->rec->who_id, sizeof g->closer);
    }
    kv_statement_free(st);
    return code;
}

enum kv_code kv_on_grant_expire(const struct kv_judge *j)
{
    struct kv_grant *g = kv_find_grant(j->s, j->rec->grant);
    const char *why = kv_record_info_get_str(j->rec, "why");
    bool due =
        !ended(g) && ((strcmp(why, "time") == 0 && j->now >= kv_grant_end_ms(j->s, g)) ||
                      (strcmp(why, "uses") == 0 && g->has_max_uses && g->uses >= g->max_uses) ||
                      (strcmp(why, "policy") == 0 && g->ends_by_policy));
    if (!due) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "grant %s does not end by '%.10s'",
                         j->rec->grant, why);
    }
    g->state = KV_GRANT_CLOSING;
    memcpy(g->why, why, strlen(why) + 1);
    return KV_OK;
}
