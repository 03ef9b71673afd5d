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
    struct kv_hash nonce[KV_FOUNDERS_MAX + 2];
    size_t count = 0;
    for (size_t i = first; i + 1 < j->rec->doc_count; i += 2) {
        struct kv_statement *st = NULL;
        uint64_t founder = 0;
        if (kv_judge_text(j, i, KV_STATEMENT_DECISION, &st) != KV_OK) {
            return j->err->code;
        }
        struct kv_founding_vote vote = {st, j->blob[i + 1]};
        enum kv_code code = kv_founding_check_vote(request, &vote, j->now, &founder, j->err);
        assert(code != KV_OK || founder < KV_COUNT(voted));
        if (code == KV_OK && voted[founder]) {
            code = KV_REFUSE(j->err, KV_E_APPR_TWICE, "founder %llu has signed twice",
                             (unsigned long long)founder);
        }
        nonce[count] = kv_hash(kv_statement_get(st, KV_KEY_NONCE));
        for (size_t k = 0; code == KV_OK && k < count; k++) {
            if (kv_hash_equal(&nonce[k], &nonce[count])) {
                code = KV_REFUSE(j->err, KV_E_APPR_NONCE, "two founders have one nonce");
            }
        }
        count++;
        kv_statement_free(st);
        if (code != KV_OK) {
            return code;
        }
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

/* The document of an enrolment is the key's line, with an LF. */
enum kv_code kv_judge_key_doc(const struct kv_judge *j, struct kv_bytes line)
{
    struct kv_bytes doc = j->rec->doc_count == 1 ? j->blob[0] : KV_BYTES_NULL;
    if (doc.len != line.len + 1 || memcmp(doc.ptr, line.ptr, line.len) != 0 ||
        doc.ptr[line.len] != '\n') {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the key is not the one that was approved");
    }
    return KV_OK;
}

enum kv_code kv_judge_same(const struct kv_judge *j, struct kv_bytes approved, const char *recorded)
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
    if (kv_judge_same(j, f.id, j->rec->person) != KV_OK ||
        kv_judge_same(j, f.key, j->rec->key) != KV_OK ||
        kv_judge_same(j, kv_bytes_str(kv_duty_word(f.duty)),
                      kv_record_info_get_str(j->rec, "duty")) != KV_OK ||
        kv_judge_key_doc(j, f.public_key) != KV_OK) {
        return j->err->code;
    }
    add_person(j, f.duty, NULL);
    kv_enrol_key(j, j->rec->person, f.public_key, r->issued_ms, KV_TIME_MAX);
    r->step++;
    return KV_OK;
}

/* The last good second ends before key-not-after. */
int64_t kv_key_end(const struct kv_statement *st)
{
    int64_t end;
    return kv_statement_time(st, KV_KEY_KEY_NOT_AFTER, &end) ? end : KV_TIME_MAX;
}

int64_t kv_whole_second(int64_t ms)
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
    if (kv_judge_same(j, kv_statement_get(st, KV_KEY_PERSON), j->rec->person) != KV_OK ||
        kv_judge_same(j, kv_statement_get(st, KV_KEY_DUTY),
                      kv_record_info_get_str(j->rec, "duty")) != KV_OK) {
        return j->err->code;
    }
    if (has_key != kv_record_has(j->rec, KV_RK_KEY) ||
        (has_key && (kv_judge_same(j, kv_statement_get(st, KV_KEY_KEY), j->rec->key) != KV_OK ||
                     kv_judge_key_doc(j, kv_statement_get(st, KV_KEY_PUBLIC_KEY)) != KV_OK))) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "the key is not what was approved");
    }
    struct kv_person *old = kv_find_person(j->s, j->rec->person);
    if (kv_check_new_key(j->s, st, old != NULL, j->err) != KV_OK) {
        return j->err->code; /* another enrolment of this key came first */
    }
    if (!kv_request_ready(j->s, r, j->now)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "%s is enrolled already", j->rec->person);
    }
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
                     kv_whole_second(j->now), kv_key_end(st));
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
    if (p == NULL || !kv_request_ready(j->s, r, j->now) ||
        kv_judge_same(j, kv_statement_get(st, KV_KEY_PERSON), j->rec->person) != KV_OK ||
        kv_judge_same(j, kv_statement_get(st, KV_KEY_DUTY_TO),
                      kv_record_info_get_str(j->rec, "duty")) != KV_OK) {
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
    /* An act is never refused for its time (INT64_MAX): taking away works with a wrong clock. */
    if (code == KV_OK) {
        code = kv_judge_signature(j, kv_statement_text(st), 1, key);
    }
    if (code == KV_OK) {
        code = kv_judge_person(j, j->rec->who_id, key, INT64_MAX, actor);
    }
    if (code == KV_OK && (*actor)->duty == KV_DUTY_EXTERNAL) {
        code =
            KV_REFUSE(j->err, KV_E_ACT_ENTITLED, "nothing an external auditor signs is accepted");
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

enum kv_seat kv_seat_of(enum kv_duty duty)
{
    return duty == KV_DUTY_FINANCE     ? KV_SEAT_FINANCE
           : duty == KV_DUTY_CUSTODIAN ? KV_SEAT_CUSTODIAN
                                       : KV_SEAT_NONE;
}

bool kv_takes_away(const struct kv_person *p)
{
    return p->duty == KV_DUTY_FINANCE || p->duty == KV_DUTY_CUSTODIAN;
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
    } else if (kv_takes_away(p) && !kv_duty_remains(j->s, p->duty, p->id, NULL, j->now)) {
        code = KV_REFUSE(j->err, KV_E_ACT_LAST, "%s is the last %s with a good key", p->id,
                         kv_duty_word(p->duty));
    }
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        p->enabled = false;
        kv_discount(j->s, p->id, NULL, 0);
    }
    kv_statement_free(st);
    return code;
}
