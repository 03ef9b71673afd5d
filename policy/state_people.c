/* Founding, persons and their keys. */
#include "policy/sshsig.h"
#include "policy/state_founding.h"
#include "policy/state_model.h"

#include <stdlib.h>

enum kv_code kv_on_log_init(const struct kv_judge *j)
{
    const char *vault = kv_record_info_get_str(j->rec, "vault");
    const char *vkey = kv_record_info_get_str(j->rec, "vkey");
    const struct kv_info *test = kv_record_info(j->rec, "test");
    if (!kv_vault_valid(kv_bytes_str(vault)) || strlen(vkey) >= sizeof j->s->log_key ||
        test == NULL || test->b != kv_vault_is_test(kv_bytes_str(vault))) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "log.init names no vault");
    }
    memcpy(j->s->vault, vault, strlen(vault) + 1);
    memcpy(j->s->log_key, vkey, strlen(vkey) + 1);
    j->s->test = test->b;
    return KV_OK;
}

struct kv_request *kv_add_request(const struct kv_judge *j, struct kv_statement *st)
{
    struct kv_request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        abort();
    }
    kv_statement_copy(st, KV_KEY_REQUEST, r->id, sizeof r->id);
    r->action = kv_statement_action(st);
    r->text = st;
    r->sha256 = kv_statement_sha256(st);
    struct kv_bytes id;
    r->by_integration = kv_statement_requester(st, &id) == KV_REQUESTER_INTEGRATION;
    if (id.len > 0 && id.len < sizeof r->requester) {
        memcpy(r->requester, id.ptr, id.len);
    }
    kv_statement_copy(st, KV_KEY_REQUESTER_KEY, r->requester_key, sizeof r->requester_key);
    r->has_reason = kv_statement_commitment(st, KV_KEY_REASON_COMMITMENT, &r->reason);
    bool timed = kv_statement_time(st, KV_KEY_ISSUED, &r->issued_ms) &&
                 kv_statement_time(st, KV_KEY_NOT_BEFORE, &r->not_before_ms) &&
                 kv_statement_time(st, KV_KEY_NOT_AFTER, &r->not_after_ms);
    assert(timed); /* lines of every request */
    r->opened_ms = j->now;
    r->open_seq = r->decided_seq = j->rec->seq;
    kv_list_add(&j->s->requests, r);
    return r;
}

static enum kv_code check_votes(const struct kv_judge *j, const struct kv_statement *request,
                                size_t first)
{
    bool voted[KV_FOUNDERS_MAX + 2] = {false};
    for (size_t i = first; i + 1 < j->rec->doc_count; i += 2) {
        struct kv_statement *st = NULL;
        uint64_t founder = 0;
        if (kv_judge_text(j, i, KV_STATEMENT_DECISION, &st) != KV_OK) {
            return j->err->code;
        }
        struct kv_founding_vote vote = {st, j->blob[i + 1]};
        enum kv_code code = kv_founding_check_vote(request, &vote, j->now, &founder, j->err);
        kv_statement_free(st);
        if (code != KV_OK) {
            return code;
        }
        assert(founder < KV_COUNT(voted));
        voted[founder] = true;
    }
    for (uint64_t n = 1; n < KV_COUNT(voted); n++) {
        if (kv_founding_must_vote(request, n) && !voted[n]) {
            return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "founder %llu has not signed",
                             (unsigned long long)n);
        }
    }
    return KV_OK;
}

enum kv_code kv_on_vault_found(const struct kv_judge *j)
{
    struct kv_statement *request = NULL;
    if (kv_judge_text(j, 0, KV_STATEMENT_REQUEST, &request) != KV_OK) {
        return j->err->code;
    }
    size_t first = j->rec->doc_count > 1 && j->rec->docs[1].kind == KV_DOC_SIGNATURE ? 2 : 1;
    struct kv_bytes signature = first == 2 ? j->blob[1] : KV_BYTES_NULL;
    if (kv_founding_check_request(j->s->vault, j->s->log_key, request, signature, j->err) !=
            KV_OK ||
        check_votes(j, request, first) != KV_OK) {
        kv_statement_free(request);
        return j->err->code;
    }
    if (!kv_bytes_is(kv_statement_get(request, KV_KEY_REQUEST), j->rec->req)) {
        kv_statement_free(request);
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record names another request");
    }
    struct kv_request *r = kv_add_request(j, request);
    r->state = KV_REQUEST_APPROVED;
    kv_note_text(j, request, j->rec->doc_count);
    for (size_t i = first; i + 1 < j->rec->doc_count; i += 2) {
        struct kv_statement *st = NULL;
        if (kv_judge_text(j, i, KV_STATEMENT_DECISION, &st) == KV_OK) { /* as above */
            kv_note_text(j, st, i + 1);
            kv_statement_free(st);
        }
    }
    return KV_OK;
}

/* ---- enrolment ---- */

void kv_enrol_key(const struct kv_judge *j, const char *person, struct kv_bytes line,
                  int64_t valid_from_ms, int64_t not_after_ms)
{
    struct kv_person_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        abort();
    }
    enum kv_code code = kv_pubkey_parse_line(line, &key->key, NULL);
    assert(code == KV_OK); /* checked by the caller */
    memcpy(key->fingerprint, key->key.fingerprint, sizeof key->fingerprint);
    memcpy(key->person, person, strlen(person) + 1);
    key->valid_from_ms = valid_from_ms;
    key->not_after_ms = not_after_ms;
    key->seq = j->rec->seq;
    kv_list_add(&j->s->keys, key);
}

/* The document of an enrolment is the key's line, with an LF. */
static enum kv_code check_key_doc(const struct kv_judge *j, struct kv_bytes line)
{
    struct kv_bytes doc = j->rec->doc_count == 1 ? j->blob[0] : KV_BYTES_NULL;
    if (doc.len != line.len + 1 || memcmp(doc.ptr, line.ptr, line.len) != 0 ||
        doc.ptr[line.len] != '\n') {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the key is not the one that was approved");
    }
    return KV_OK;
}

static enum kv_code same(const struct kv_judge *j, struct kv_bytes approved, const char *recorded)
{
    if (!kv_bytes_is(approved, recorded)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "'%.60s' is not what was approved",
                         recorded);
    }
    return KV_OK;
}

static void add_person(const struct kv_judge *j, enum kv_duty duty, const struct kv_statement *st)
{
    struct kv_person *p = calloc(1, sizeof *p);
    if (p == NULL) {
        abort();
    }
    memcpy(p->id, j->rec->person, sizeof p->id);
    p->duty = duty;
    p->enabled = true;
    p->seq = j->rec->seq;
    p->has_uid = st != NULL && kv_statement_number(st, KV_KEY_UID, &p->uid);
    kv_list_add(&j->s->persons, p);
}

static enum kv_code enrol_founder(const struct kv_judge *j, struct kv_request *r)
{
    struct kv_founder f;
    if (!kv_statement_founder(r->text, r->step + 1, &f)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "one founder more than were approved");
    }
    if (same(j, f.id, j->rec->person) != KV_OK || same(j, f.key, j->rec->key) != KV_OK ||
        same(j, kv_bytes_str(kv_duty_word(f.duty)), kv_record_info_get_str(j->rec, "duty")) !=
            KV_OK ||
        check_key_doc(j, f.public_key) != KV_OK) {
        return j->err->code;
    }
    add_person(j, f.duty, NULL);
    kv_enrol_key(j, j->rec->person, f.public_key, r->issued_ms, KV_TIME_MAX);
    r->step++;
    return KV_OK;
}

/* The last good second ends before key-not-after. */
static int64_t key_end(const struct kv_statement *st)
{
    int64_t end;
    return kv_statement_time(st, KV_KEY_KEY_NOT_AFTER, &end) ? end : KV_TIME_MAX;
}

static int64_t whole_second(int64_t ms)
{
    return ms / KV_SECOND_MS * KV_SECOND_MS;
}

enum kv_code kv_on_person_enrol(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    if (kv_judge_request(j, KV_ACTION_PERSON_ENROL, KV_ACTION_FOUND, &r) != KV_OK) {
        return j->err->code;
    }
    if (r->action == KV_ACTION_FOUND) {
        return enrol_founder(j, r);
    }
    const struct kv_statement *st = r->text;
    bool has_key = kv_statement_has(st, KV_KEY_KEY);
    if (same(j, kv_statement_get(st, KV_KEY_PERSON), j->rec->person) != KV_OK ||
        same(j, kv_statement_get(st, KV_KEY_DUTY), kv_record_info_get_str(j->rec, "duty")) !=
            KV_OK) {
        return j->err->code;
    }
    if (has_key != kv_record_has(j->rec, KV_RK_KEY) ||
        (has_key && (same(j, kv_statement_get(st, KV_KEY_KEY), j->rec->key) != KV_OK ||
                     check_key_doc(j, kv_statement_get(st, KV_KEY_PUBLIC_KEY)) != KV_OK))) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "the key is not what was approved");
    }
    struct kv_person *old = kv_find_person(j->s, j->rec->person);
    if (old != NULL) { /* who left is enrolled again */
        old->duty = kv_statement_duty(st, KV_KEY_DUTY);
        old->enabled = true;
        old->seq = j->rec->seq;
        old->has_uid = kv_statement_number(st, KV_KEY_UID, &old->uid);
    } else {
        add_person(j, kv_statement_duty(st, KV_KEY_DUTY), st);
    }
    if (has_key) {
        kv_enrol_key(j, j->rec->person, kv_statement_get(st, KV_KEY_PUBLIC_KEY),
                     whole_second(j->now), key_end(st));
    }
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

static void retire(const struct kv_judge *j, struct kv_person_key *key)
{
    key->retired_ms = j->now;
    kv_discount(j->s, key->person, key->fingerprint, 0);
}

enum kv_code kv_on_key_enrol(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    if (kv_judge_request(j, KV_ACTION_KEY_ENROL, KV_ACTION_KEY_ENROL, &r) != KV_OK) {
        return j->err->code;
    }
    const struct kv_statement *st = r->text;
    char replaced[KV_KEY_LEN];
    if (same(j, kv_statement_get(st, KV_KEY_PERSON), j->rec->person) != KV_OK ||
        same(j, kv_statement_get(st, KV_KEY_KEY), j->rec->key) != KV_OK ||
        check_key_doc(j, kv_statement_get(st, KV_KEY_PUBLIC_KEY)) != KV_OK) {
        return j->err->code;
    }
    kv_statement_copy(st, KV_KEY_REPLACES_KEY, replaced, sizeof replaced);
    struct kv_person_key *old = replaced[0] == '\0' ? NULL : kv_find_key(j->s, replaced);
    kv_enrol_key(j, j->rec->person, kv_statement_get(st, KV_KEY_PUBLIC_KEY), whole_second(j->now),
                 key_end(st));
    if (old != NULL && old->retired_ms == 0) {
        retire(j, old);
    }
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

enum kv_code kv_on_person_change(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    if (kv_judge_request(j, KV_ACTION_PERSON_CHANGE, KV_ACTION_PERSON_CHANGE, &r) != KV_OK) {
        return j->err->code;
    }
    const struct kv_statement *st = r->text;
    struct kv_person *p = kv_find_person(j->s, j->rec->person);
    if (p == NULL || same(j, kv_statement_get(st, KV_KEY_PERSON), j->rec->person) != KV_OK ||
        same(j, kv_statement_get(st, KV_KEY_DUTY_TO), kv_record_info_get_str(j->rec, "duty")) !=
            KV_OK) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "this is not what was approved");
    }
    enum kv_duty to = kv_statement_duty(st, KV_KEY_DUTY_TO);
    if (to != p->duty) {
        kv_discount(j->s, p->id, NULL, 0);
    }
    p->duty = to;
    p->seq = j->rec->seq;
    p->has_uid = kv_statement_number(st, KV_KEY_UID, &p->uid);
    r->state = KV_REQUEST_DONE;
    return KV_OK;
}

/* ---- acts that take persons and keys away ---- */

/* Parse and check the act of the record: its kind, actor, signature, nonce, checkpoint. */
enum kv_code kv_judge_act(const struct kv_judge *j, enum kv_act act, enum kv_noun noun,
                          struct kv_statement **out, struct kv_person **actor,
                          struct kv_target *target)
{
    struct kv_statement *st = NULL;
    char key[KV_KEY_LEN];
    int64_t issued = 0;
    if (kv_judge_text(j, 0, KV_STATEMENT_ACT, &st) != KV_OK) {
        return j->err->code;
    }
    enum kv_code code = KV_OK;
    if (kv_statement_act(st) != act || !kv_statement_target(st, target) || target->noun != noun ||
        !kv_bytes_is(kv_statement_get(st, KV_KEY_ACTOR), j->rec->who_id) ||
        !kv_bytes_is(kv_statement_get(st, KV_KEY_ACTOR_KEY), j->rec->via)) {
        code = KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record is not about this act");
    }
    kv_statement_copy(st, KV_KEY_ACTOR_KEY, key, sizeof key);
    /* An act is never refused for its time: taking away works with a wrong clock. */
    (void)kv_statement_time(st, KV_KEY_ISSUED, &issued);
    if (code == KV_OK) {
        code = kv_judge_person(j, j->rec->who_id, key, INT64_MAX, actor);
    }
    if (code == KV_OK) {
        code = kv_judge_signature(j, kv_statement_text(st), 1, key, KV_SEAT_NONE);
    }
    if (code == KV_OK) {
        code = kv_judge_nonce(j, st);
    }
    if (code == KV_OK) {
        code = kv_judge_checkpoint(j, st);
    }
    if (code != KV_OK) {
        kv_statement_free(st);
        return code;
    }
    *out = st;
    return KV_OK;
}

bool kv_takes_away(const struct kv_person *p)
{
    return p->duty == KV_DUTY_FINANCE || p->duty == KV_DUTY_CUSTODIAN;
}

static enum kv_code not_last(const struct kv_judge *j, const struct kv_person *p,
                             const char *without_key)
{
    if (!kv_takes_away(p)) {
        return KV_OK;
    }
    for (size_t i = 0; i < j->s->keys.count; i++) {
        const struct kv_person_key *key = j->s->keys.item[i];
        const struct kv_person *holder = kv_find_person(j->s, key->person);
        bool taken = without_key != NULL ? strcmp(key->fingerprint, without_key) == 0
                                         : strcmp(key->person, p->id) == 0;
        if (!taken && holder->enabled && holder->duty == p->duty && kv_key_good(key, j->now)) {
            return KV_OK;
        }
    }
    return KV_REFUSE(j->err, KV_E_ACT_LAST, "%s is the last %s with a good key", p->id,
                     kv_duty_word(p->duty));
}

enum kv_code kv_on_person_leave(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    struct kv_person *actor = NULL;
    struct kv_target target;
    if (kv_judge_act(j, KV_ACT_LEAVE, KV_NOUN_PERSON, &st, &actor, &target) != KV_OK) {
        return j->err->code;
    }
    struct kv_person *p = kv_find_person(j->s, j->rec->person);
    enum kv_code code = KV_OK;
    if (!kv_takes_away(actor)) {
        code = KV_REFUSE(j->err, KV_E_ACT_ENTITLED, "any finance person or custodian may do this");
    } else if (p == NULL || !p->enabled || !kv_bytes_is(target.id, j->rec->person)) {
        code = KV_REFUSE(j->err, KV_E_ACT_TARGET, "%s is not enrolled", j->rec->person);
    } else {
        code = not_last(j, p, NULL);
    }
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        p->enabled = false;
        kv_discount(j->s, p->id, NULL, 0);
    }
    kv_statement_free(st);
    return code;
}

static enum kv_code key_act(const struct kv_judge *j, enum kv_act act, struct kv_person_key **out,
                            struct kv_statement **st)
{
    struct kv_person *actor = NULL;
    struct kv_target target;
    if (kv_judge_act(j, act, KV_NOUN_KEY, st, &actor, &target) != KV_OK) {
        return j->err->code;
    }
    struct kv_person_key *key = kv_find_key(j->s, j->rec->key);
    if (key == NULL || !kv_bytes_is(target.id, j->rec->key) ||
        strcmp(key->person, j->rec->person) != 0 || key->compromised ||
        (act == KV_ACT_RETIRE && key->retired_ms != 0)) {
        return KV_REFUSE(j->err, KV_E_ACT_TARGET, "there is no such key in use");
    }
    bool own = strcmp(key->person, actor->id) == 0;
    if (!own && !kv_takes_away(actor)) {
        return KV_REFUSE(j->err, KV_E_ACT_ENTITLED,
                         "its person, any finance person or custodian may do this");
    }
    if (act == KV_ACT_COMPROMISED && own && strcmp(j->rec->via, key->fingerprint) == 0) {
        return KV_REFUSE(j->err, KV_E_ACT_ENTITLED, "a key can't speak about its own compromise");
    }
    *out = key;
    return KV_OK;
}

enum kv_code kv_on_key_retire(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    struct kv_person_key *key = NULL;
    enum kv_code code = key_act(j, KV_ACT_RETIRE, &key, &st);
    if (code == KV_OK) {
        code = not_last(j, kv_find_person(j->s, key->person), key->fingerprint);
    }
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        retire(j, key);
    }
    kv_statement_free(st);
    return code;
}

/* What was given with the key since then is suspended by the agent. */
static bool rests_on(const struct kv_request *r, const char *key, int64_t since_ms)
{
    if (strcmp(r->requester_key, key) == 0 && r->opened_ms >= since_ms) {
        return true;
    }
    for (size_t i = 0; i < r->decision_count; i++) {
        const struct kv_signed_decision *d = &r->decisions[i];
        if (d->approve && strcmp(d->key, key) == 0 && d->recorded_ms >= since_ms) {
            return true;
        }
    }
    return false;
}

enum kv_code kv_on_key_compromised(const struct kv_judge *j)
{
    struct kv_statement *st = NULL;
    struct kv_person_key *key = NULL;
    int64_t since = 0;
    enum kv_code code = key_act(j, KV_ACT_COMPROMISED, &key, &st);
    if (code == KV_OK && (!kv_statement_time(st, KV_KEY_SINCE, &since) ||
                          !kv_bytes_is(kv_statement_get(st, KV_KEY_SINCE),
                                       kv_record_info_get_str(j->rec, "since")))) {
        code = KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record names another time");
    }
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        key->compromised = true;
        key->compromised_since_ms = since;
        kv_discount(j->s, key->person, key->fingerprint, since);
        for (size_t i = 0; i < j->s->grants.count; i++) {
            struct kv_grant *g = j->s->grants.item[i];
            g->compromised = g->compromised || (g->state == KV_GRANT_ACTIVE &&
                                                rests_on(g->request, key->fingerprint, since));
        }
        for (size_t i = 0; i < j->s->integrations.count; i++) {
            struct kv_integration *n = j->s->integrations.item[i];
            n->compromised =
                n->compromised || (!n->suspended && rests_on(n->request, key->fingerprint, since));
        }
    }
    kv_statement_free(st);
    return code;
}

enum kv_code kv_on_alarm_cloned(const struct kv_judge *j)
{
    if (j->s->cloned == NULL || strcmp(j->s->cloned->fingerprint, j->rec->key) != 0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "no counter was seen twice");
    }
    j->s->cloned = NULL;
    return KV_OK;
}
