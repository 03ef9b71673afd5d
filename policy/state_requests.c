/* Requests and how they are decided: collectable, approved, lapsed (docs/approvals.md). */
#include "policy/sshsig.h"
#include "policy/state_model.h"

#include <stdlib.h>

bool kv_has_duty(const struct kv_state *s, struct kv_bytes id, enum kv_duty duty)
{
    const struct kv_person *p = kv_state_person(s, id);
    return p != NULL && p->enabled && p->duty == duty;
}

bool kv_key_may(const struct kv_state *s, const struct kv_person_key *key, enum kv_seat seat)
{
    return (s->rules.key_kinds[seat] >> key->key.kind & 1) != 0;
}

static bool can_sign(const struct kv_state *s, const char *person, enum kv_seat seat,
                     int64_t now_ms)
{
    for (size_t i = 0; i < s->keys.count; i++) {
        const struct kv_person_key *key = s->keys.item[i];
        if (strcmp(key->person, person) == 0 && kv_key_good(key, now_ms) &&
            kv_key_may(s, key, seat)) {
            return true;
        }
    }
    return false;
}

size_t kv_state_eligible(const struct kv_state *state, enum kv_seat seat, struct kv_bytes requester,
                         struct kv_bytes beneficiary, struct kv_bytes away, int64_t now_ms,
                         const struct kv_person **out, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < state->persons.count; i++) {
        const struct kv_person *p = state->persons.item[i];
        if (p->enabled && p->duty == kv_seat_duty(seat) && !kv_bytes_is(requester, p->id) &&
            !kv_bytes_is(beneficiary, p->id) && !kv_bytes_is(away, p->id) &&
            can_sign(state, p->id, seat, now_ms)) {
            if (out != NULL && count < max) {
                out[count] = p;
            }
            count++;
        }
    }
    return count;
}

static struct kv_bytes beneficiary_of(const struct kv_statement *request)
{
    return kv_statement_get(request, KV_KEY_BENEFICIARY);
}

static const struct kv_quorum *quorum_of(const struct kv_state *s, enum kv_action action)
{
    return &s->rules.quorum[action];
}

/* Distinct persons in each seat; two keys of one person are one person. */
bool kv_request_complete(const struct kv_state *s, const struct kv_request *r)
{
    unsigned have[KV_SEAT_COUNT] = {0};
    for (size_t i = 0; i < r->decision_count; i++) {
        const struct kv_signed_decision *d = &r->decisions[i];
        have[d->seat] +=
            d->approve && d->counts ? 1 : 0; /* one decision a person, see on_decision */
    }
    const struct kv_quorum *need = quorum_of(s, r->action);
    return have[KV_SEAT_FINANCE] >= need->finance && have[KV_SEAT_CUSTODIAN] >= need->custodian;
}

static enum kv_code could_complete(const struct kv_judge *j, const struct kv_statement *st,
                                   struct kv_bytes requester)
{
    const struct kv_quorum *need = quorum_of(j->s, kv_statement_action(st));
    struct kv_bytes none = KV_BYTES_NULL, beneficiary = beneficiary_of(st);
    size_t finance =
        kv_state_eligible(j->s, KV_SEAT_FINANCE, requester, beneficiary, none, j->now, NULL, 0);
    size_t custodian =
        kv_state_eligible(j->s, KV_SEAT_CUSTODIAN, requester, beneficiary, none, j->now, NULL, 0);
    if (finance < need->finance || custodian < need->custodian) {
        return KV_REFUSE(
            j->err, KV_E_APPR_NO_QUORUM,
            "%s is missing: of %u finance and %u custodians needed, %zu and %zu could sign",
            finance < need->finance ? "finance" : "a custodian", need->finance, need->custodian,
            finance, custodian);
    }
    return KV_OK;
}

/* ---- opening ---- */

static int64_t collect_ms(const struct kv_state *s, enum kv_action action)
{
    return (action == KV_ACTION_EMERGENCY ? s->rules.emergency_collect_hours
                                          : s->rules.collect_hours) *
           KV_HOUR_MS;
}

static enum kv_code check_times(const struct kv_judge *j, const struct kv_statement *st)
{
    int64_t issued = 0, before = 0, after = 0;
    enum kv_action action = kv_statement_action(st);
    bool timed = kv_statement_time(st, KV_KEY_ISSUED, &issued) &&
                 kv_statement_time(st, KV_KEY_NOT_BEFORE, &before) &&
                 kv_statement_time(st, KV_KEY_NOT_AFTER, &after);
    if (!timed || j->now < issued - KV_CLOCK_SLACK_5MIN ||
        j->now >= issued + collect_ms(j->s, action)) {
        return KV_REFUSE(j->err, KV_E_APPR_TIME,
                         "the request's time is not now: compare the clocks");
    }
    bool window = action == KV_ACTION_GRANT || action == KV_ACTION_EMERGENCY;
    if (after <= before || before < issued || (!window && before != issued) ||
        (window && before > issued + 30 * KV_DAY_MS)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "not-before and not-after do not fit the action");
    }
    if (after <= j->now) {
        return KV_REFUSE(j->err, KV_E_APPR_TIME, "its end has passed already");
    }
    return KV_OK;
}

static enum kv_code check_requester(const struct kv_judge *j, const struct kv_statement *st,
                                    struct kv_bytes *requester)
{
    char key[KV_KEY_LEN];
    int64_t issued = 0;
    struct kv_person *p = NULL;
    enum kv_requester kind = kv_statement_requester(st, requester);
    if (!kv_bytes_is(*requester, j->rec->who_id)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record names another requester");
    }
    if (kind == KV_REQUESTER_INTEGRATION) {
        if (j->rec->who != KV_WHO_INTEGRATION || kv_state_integration(j->s, *requester) == NULL) {
            return KV_REFUSE(j->err, KV_E_CALLER_UNKNOWN,
                             "only the integration itself may ask in its name");
        }
        return KV_OK;
    }
    if (kind != KV_REQUESTER_PERSON || j->rec->who != KV_WHO_PERSON) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "a request names its requester");
    }
    kv_statement_copy(st, KV_KEY_REQUESTER_KEY, key, sizeof key);
    (void)kv_statement_time(st, KV_KEY_ISSUED, &issued);
    if (strcmp(key, j->rec->via) != 0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record names another key");
    }
    if (kv_judge_signature(j, kv_statement_text(st), 1, key) != KV_OK ||
        kv_judge_person(j, j->rec->who_id, key, issued + KV_CLOCK_SLACK_5MIN, &p) != KV_OK) {
        return j->err->code;
    }
    if (p->duty == KV_DUTY_EXTERNAL || p->duty == KV_DUTY_AUDITOR) {
        return KV_REFUSE(j->err, KV_E_APPR_DUTY, "auditors may not request");
    }
    return KV_OK;
}

/* An enrolment carries a signature by the new key over the same text. */
static enum kv_code check_new_key(const struct kv_judge *j, const struct kv_statement *st)
{
    enum kv_action action = kv_statement_action(st);
    bool enrols = (action == KV_ACTION_PERSON_ENROL || action == KV_ACTION_KEY_ENROL) &&
                  kv_statement_has(st, KV_KEY_KEY);
    if (enrols != (j->rec->doc_count == 3)) {
        return KV_REFUSE(j->err, enrols ? KV_E_PERSON_KEY_PROOF : KV_E_STMT_LINE,
                         enrols ? "the new key's own signature is missing"
                                : "a second signature belongs to enrolments only");
    }
    struct kv_bytes key = kv_statement_get(st, KV_KEY_KEY);
    if (enrols && kv_sshsig_verify(kv_statement_text(st), j->blob[2], key, NULL, j->err) != KV_OK) {
        return KV_REFUSE(j->err, KV_E_PERSON_KEY_PROOF, "the new key has not signed this text");
    }
    return KV_OK;
}

static enum kv_code judge_open(const struct kv_judge *j, const struct kv_statement *st)
{
    struct kv_bytes requester;
    struct kv_hash policy;
    if (!kv_bytes_is(kv_statement_get(st, KV_KEY_REQUEST), j->rec->req) ||
        strcmp(kv_action_word(kv_statement_action(st)), kv_record_info_get_str(j->rec, "action")) !=
            0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record is not about this request");
    }
    if (!kv_statement_hash(st, KV_KEY_POLICY, &policy) || !kv_hash_equal(&policy, &j->s->policy)) {
        return KV_REFUSE(j->err, KV_E_APPR_POLICY, "the request names another policy");
    }
    if (kv_find_request(j->s, j->rec->req) != NULL) {
        return KV_REFUSE(j->err, KV_E_REQ_EXISTS, "request %s exists already", j->rec->req);
    }
    if (check_times(j, st) != KV_OK || check_requester(j, st, &requester) != KV_OK ||
        kv_judge_nonce(j, st) != KV_OK || kv_check_request_terms(j, st) != KV_OK ||
        check_new_key(j, st) != KV_OK || could_complete(j, st, requester) != KV_OK) {
        return j->err->code;
    }
    return KV_OK;
}

enum kv_code kv_on_request_open(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    if (kv_judge_text(j, 0, KV_STATEMENT_REQUEST, &st) != KV_OK) {
        return j->err->code;
    }
    enum kv_code code = judge_open(j, st);
    if (code != KV_OK) {
        kv_statement_free(st);
        return code;
    }
    kv_note_text(j, st, 1);
    struct kv_request *r = kv_add_request(j, st);
    r->collect_until_ms = r->issued_ms + collect_ms(j->s, r->action);
    return KV_OK;
}

/* ---- deciding ---- */

static bool about_this_decision(const struct kv_judge *j, const struct kv_statement *st,
                                bool approve)
{
    return kv_bytes_is(kv_statement_get(st, KV_KEY_APPROVER), j->rec->who_id) &&
           kv_bytes_is(kv_statement_get(st, KV_KEY_APPROVER_KEY), j->rec->via) &&
           strcmp(kv_seat_word(kv_statement_seat(st)), j->rec->role) == 0 &&
           (kv_statement_decision(st) == KV_DECISION_APPROVE) == approve;
}

/* State, policy and time of the request. Of a denial neither policy nor time is asked. */
static enum kv_code check_open(const struct kv_judge *j, const struct kv_request *r,
                               const struct kv_statement *st, bool approve)
{
    struct kv_hash policy;
    int64_t issued = 0;
    if (r->state != KV_REQUEST_OPEN && !(r->state == KV_REQUEST_APPROVED && !approve)) {
        return KV_REFUSE(j->err, KV_E_APPR_NOT_OPEN, "the request is %s",
                         kv_request_state_word(r->state));
    }
    if (!approve) {
        return KV_OK;
    }
    if (!kv_statement_hash(r->text, KV_KEY_POLICY, &policy) ||
        !kv_hash_equal(&policy, &j->s->policy)) {
        return KV_REFUSE(j->err, KV_E_APPR_POLICY, "the policy has changed since it was requested");
    }
    if (!kv_statement_time(st, KV_KEY_ISSUED, &issued) || issued - KV_CLOCK_SLACK_5MIN > j->now ||
        j->now > r->collect_until_ms || r->issued_ms - KV_CLOCK_SLACK_5MIN > issued) {
        return KV_REFUSE(j->err, KV_E_APPR_TIME, "signed or handed in outside the request's time");
    }
    if (r->orphaned || j->now >= r->not_after_ms) {
        return KV_REFUSE(j->err, KV_E_APPR_NOT_OPEN, "the request has lapsed");
    }
    return KV_OK;
}

/* collectable(d, r, now) of docs/approvals.md §4. */
static enum kv_code collectable(const struct kv_judge *j, const struct kv_request *r,
                                const struct kv_statement *st, bool approve)
{
    int64_t issued = INT64_MAX; /* of a denial no time is asked */
    struct kv_person *p = NULL;
    const char *person = j->rec->who_id;
    if (kv_statement_repeats(st, kv_statement_text(r->text), NULL, j->err) != KV_OK) {
        return j->err->code;
    }
    if (!about_this_decision(j, st, approve)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record is not about this decision");
    }
    if (approve && !kv_statement_time(st, KV_KEY_ISSUED, &issued)) {
        return KV_REFUSE(j->err, KV_E_STMT_VALUE, "the text says no time");
    }
    if (kv_judge_signature(j, kv_statement_text(st), 1, j->rec->via) != KV_OK ||
        check_open(j, r, st, approve) != KV_OK ||
        kv_judge_person(j, person, j->rec->via, issued, &p) != KV_OK) {
        return j->err->code;
    }
    if (p->duty != kv_seat_duty(kv_statement_seat(st))) {
        return KV_REFUSE(j->err, KV_E_APPR_DUTY, "%s does not hold the duty %s", person,
                         j->rec->role);
    }
    const struct kv_person_key *key = kv_find_key(j->s, j->rec->via);
    if (approve && !kv_key_may(j->s, key, kv_statement_seat(st))) {
        return KV_REFUSE(j->err, KV_E_APPR_KEY, "the policy does not let %s keys sign as %s",
                         kv_pubkey_kind_word(key->key.kind), j->rec->role);
    }
    if (!r->by_integration && strcmp(r->requester, person) == 0) {
        return KV_REFUSE(j->err, KV_E_APPR_REQUESTER, "%s made the request", person);
    }
    if (kv_bytes_is(beneficiary_of(r->text), person)) {
        return KV_REFUSE(j->err, KV_E_APPR_BENEFICIARY, "%s would use the access", person);
    }
    return KV_OK;
}

static enum kv_code first_decision(const struct kv_judge *j, const struct kv_request *r,
                                   bool approve)
{
    for (size_t i = 0; i < r->decision_count; i++) {
        const struct kv_signed_decision *d = &r->decisions[i];
        if (strcmp(d->person, j->rec->who_id) == 0 && (approve || !d->approve)) {
            return KV_REFUSE(j->err, KV_E_APPR_TWICE, "%s decided in record %llu", d->person,
                             (unsigned long long)d->seq);
        }
    }
    return KV_OK;
}

static void add_decision(const struct kv_judge *j, struct kv_request *r, bool approve)
{
    struct kv_signed_decision *list =
        reallocarray(r->decisions, r->decision_count + 1, sizeof *list);
    if (list == NULL) {
        abort();
    }
    r->decisions = list;
    struct kv_signed_decision *d = &list[r->decision_count++];
    *d = (struct kv_signed_decision){
        .approve = approve, .counts = true, .recorded_ms = j->now, .seq = j->rec->seq};
    memcpy(d->person, j->rec->who_id, sizeof d->person);
    memcpy(d->key, j->rec->via, sizeof d->key);
    bool known = kv_seat_parse(kv_bytes_str(j->rec->role), &d->seat);
    assert(known); /* compared with the text */
}

static enum kv_code on_decision(const struct kv_judge *j, bool approve)
{
    struct kv_statement *st = NULL;
    struct kv_request *r = kv_find_request(j->s, j->rec->req);
    if (kv_judge_text(j, 0, KV_STATEMENT_DECISION, &st) != KV_OK) {
        return j->err->code;
    }
    if (r == NULL || r->action == KV_ACTION_FOUND) {
        /* a text that contradicts itself is refused for that, whether or not there is the request
         */
        struct kv_bytes repeated = kv_statement_text(kv_statement_request(st));
        enum kv_code code = kv_statement_repeats(st, repeated, NULL, j->err);
        kv_statement_free(st);
        return code != KV_OK
                   ? code
                   : KV_REFUSE(j->err, KV_E_APPR_NOT_OPEN, "there is no request %s", j->rec->req);
    }
    enum kv_code code = collectable(j, r, st, approve);
    code = code != KV_OK ? code : kv_judge_nonce(j, st);
    code = code != KV_OK ? code : first_decision(j, r, approve);
    code = code != KV_OK ? code : kv_judge_checkpoint(j, st);
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        add_decision(j, r, approve);
        r->decided_seq = j->rec->seq;
        if (!approve) {
            r->state = KV_REQUEST_DENIED;
        } else if (kv_request_complete(j->s, r)) {
            r->state = KV_REQUEST_APPROVED;
        }
    }
    kv_statement_free(st);
    return code;
}

enum kv_code kv_on_approve(const struct kv_judge *j)
{
    return on_decision(j, true);
}

enum kv_code kv_on_deny(const struct kv_judge *j)
{
    return on_decision(j, false);
}

enum kv_code kv_on_request_withdraw(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    struct kv_person *actor = NULL;
    struct kv_target target;
    if (kv_judge_act(j, KV_ACT_WITHDRAW, KV_NOUN_REQUEST, &st, &actor, &target) != KV_OK) {
        return j->err->code;
    }
    struct kv_request *r = kv_find_request(j->s, j->rec->req);
    enum kv_code code = KV_OK;
    if (r == NULL || !kv_bytes_is(target.id, j->rec->req) ||
        (r->state != KV_REQUEST_OPEN && r->state != KV_REQUEST_APPROVED)) {
        code = KV_REFUSE(j->err, KV_E_ACT_TARGET, "there is no request that could be withdrawn");
    } else if (r->by_integration) {
        const struct kv_integration *n = kv_find_integration(j->s, r->requester);
        bool owner =
            n != NULL &&
            (kv_bytes_is(kv_statement_get(n->request->text, KV_KEY_BUSINESS_OWNER), actor->id) ||
             kv_bytes_is(kv_statement_get(n->request->text, KV_KEY_TECHNICAL_CUSTODIAN),
                         actor->id));
        code =
            owner ? KV_OK
                  : KV_REFUSE(j->err, KV_E_ACT_ENTITLED, "only its owner or custodian may do this");
    } else if (strcmp(r->requester, actor->id) != 0) {
        code = KV_REFUSE(j->err, KV_E_ACT_ENTITLED, "only %s may withdraw it; you may deny it",
                         r->requester);
    }
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        r->state = KV_REQUEST_WITHDRAWN;
    }
    kv_statement_free(st);
    return code;
}

/* ---- ending by itself ---- */

/* An approved step that can no longer happen at all; a grant waits, if what it needs may return. */
static bool can_not_be_done(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    if (r->action == KV_ACTION_FOUND || r->step != 0 || now_ms < r->not_before_ms) {
        return false;
    }
    return r->action == KV_ACTION_GRANT ? kv_credential_elsewhere(s, r->text, now_ms) != NULL
                                        : !kv_request_ready(s, r, now_ms);
}

bool kv_request_lapsed(const struct kv_state *s, const struct kv_request *r, int64_t now_ms)
{
    struct kv_hash policy;
    if (r->state == KV_REQUEST_OPEN) {
        return now_ms >= r->collect_until_ms || now_ms >= r->not_after_ms || r->orphaned ||
               !kv_statement_hash(r->text, KV_KEY_POLICY, &policy) ||
               !kv_hash_equal(&policy, &s->policy);
    }
    return r->state == KV_REQUEST_APPROVED && r->action != KV_ACTION_FOUND &&
           (now_ms >= r->not_after_ms || can_not_be_done(s, r, now_ms));
}

enum kv_code kv_on_request_lapse(const struct kv_judge *j)
{
    struct kv_request *r = kv_find_request(j->s, j->rec->req);
    /* The window is counted from `issued`, by the requester's clock, which may be 5 min ahead. */
    int64_t slack = r != NULL && r->state == KV_REQUEST_OPEN ? KV_CLOCK_SLACK_5MIN : 0;
    bool outdated = r != NULL && r->state == KV_REQUEST_APPROVED && kv_policy_outdated(j->s, r);
    if (r == NULL || !(outdated || kv_request_lapsed(j->s, r, j->now + slack))) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the request does not lapse");
    }
    r->state = KV_REQUEST_LAPSED;
    return KV_OK;
}

void kv_discount(struct kv_state *s, const char *person, const char *key, int64_t since_ms)
{
    for (size_t i = 0; i < s->requests.count; i++) {
        struct kv_request *r = s->requests.item[i];
        if (r->state != KV_REQUEST_OPEN) {
            continue;
        }
        if (!r->by_integration && strcmp(r->requester, person) == 0 && r->opened_ms >= since_ms &&
            (key == NULL || strcmp(r->requester_key, key) == 0)) {
            r->orphaned = true;
        }
        for (size_t k = 0; k < r->decision_count; k++) {
            struct kv_signed_decision *d = &r->decisions[k];
            if (strcmp(d->person, person) == 0 && (key == NULL || strcmp(d->key, key) == 0) &&
                d->recorded_ms >= since_ms) {
                d->counts = false;
            }
        }
    }
}

enum kv_code kv_judge_request(const struct kv_judge *j, enum kv_action a, enum kv_action b,
                              struct kv_request **out)
{
    struct kv_request *r = kv_find_request(j->s, j->rec->req);
    if (r == NULL || (r->action != a && r->action != b)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "there is no such request behind it");
    }
    if (r->state != KV_REQUEST_APPROVED) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "request %s is %s, not approved", r->id,
                         kv_request_state_word(r->state));
    }
    if (r->action != KV_ACTION_FOUND && (j->now < r->not_before_ms || j->now >= r->not_after_ms)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "request %s is outside its time", r->id);
    }
    *out = r;
    return KV_OK;
}
