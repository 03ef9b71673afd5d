/* Approval keys of persons: enrolled, replaced, retired, compromised. */
#include "policy/state_model.h"

#include <stdlib.h>

enum kv_code kv_check_new_key(const struct kv_state *s, const struct kv_statement *st, bool again,
                              struct kv_err *err)
{
    struct kv_pubkey key;
    if (!kv_statement_has(st, KV_KEY_KEY)) {
        return KV_OK; /* an external auditor has none */
    }
    if (kv_pubkey_parse_line(kv_statement_get(st, KV_KEY_PUBLIC_KEY), &key, err) != KV_OK ||
        !kv_bytes_is(kv_statement_get(st, KV_KEY_KEY), key.fingerprint)) {
        return KV_REFUSE(err, KV_E_STMT_VALUE, "the public key has another fingerprint");
    }
    struct kv_hash material = kv_pubkey_material(&key);
    for (size_t i = 0; i < s->keys.count; i++) {
        const struct kv_person_key *known = s->keys.item[i];
        struct kv_hash other = kv_pubkey_material(&known->key);
        bool hers = again && strcmp(known->fingerprint, key.fingerprint) == 0 &&
                    kv_bytes_is(kv_statement_get(st, KV_KEY_PERSON), known->person) &&
                    !known->compromised && known->retired_ms == 0;
        if (!hers && kv_hash_equal(&material, &other)) {
            return KV_REFUSE(err, KV_E_PERSON_KEY_USED, "this key is %s's already", known->person);
        }
    }
    return KV_OK;
}

void kv_enrol_key(const struct kv_judge *j, const char *person, struct kv_bytes line,
                  int64_t valid_from_ms, int64_t not_after_ms)
{
    struct kv_pubkey parsed;
    enum kv_code code = kv_pubkey_parse_line(line, &parsed, NULL);
    assert(code == KV_OK); /* checked by the caller */
    struct kv_person_key *key = kv_find_key(j->s, parsed.fingerprint);
    if (key != NULL) { /* of a person who comes back: texts of her absence stay refused */
        key->back_ms = valid_from_ms;
    } else {
        key = calloc(1, sizeof *key);
        if (key == NULL) {
            abort();
        }
        key->key = parsed;
        key->valid_from_ms = valid_from_ms;
        memcpy(key->fingerprint, parsed.fingerprint, sizeof key->fingerprint);
        memcpy(key->person, person, strlen(person) + 1);
        kv_list_add(&j->s->keys, key);
    }
    key->not_after_ms = not_after_ms;
    key->seq = j->rec->seq;
}

bool kv_duty_remains(const struct kv_state *s, enum kv_duty duty, const char *without,
                     const char *without_key, int64_t now_ms)
{
    for (size_t i = 0; i < s->keys.count; i++) {
        const struct kv_person_key *key = s->keys.item[i];
        const struct kv_person *holder = kv_find_person(s, key->person);
        bool taken = (without != NULL && strcmp(key->person, without) == 0) ||
                     (without_key != NULL && strcmp(key->fingerprint, without_key) == 0);
        if (!taken && holder->enabled && holder->duty == duty && kv_key_good(key, now_ms)) {
            return true;
        }
    }
    return false;
}

enum kv_code kv_on_key_enrol(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    if (kv_judge_request(j, KV_ACTION_KEY_ENROL, KV_ACTION_KEY_ENROL, &r) != KV_OK) {
        return j->err->code;
    }
    const struct kv_statement *st = r->text;
    char replaced[KV_KEY_LEN];
    if (kv_judge_same(j, kv_statement_get(st, KV_KEY_PERSON), j->rec->person) != KV_OK ||
        kv_judge_same(j, kv_statement_get(st, KV_KEY_KEY), j->rec->key) != KV_OK ||
        kv_judge_key_doc(j, kv_statement_get(st, KV_KEY_PUBLIC_KEY)) != KV_OK ||
        kv_check_new_key(j->s, st, false, j->err) != KV_OK) {
        return j->err->code;
    }
    if (!kv_request_ready(j->s, r, j->now)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "%s is not here any more", j->rec->person);
    }
    kv_statement_copy(st, KV_KEY_REPLACES_KEY, replaced, sizeof replaced);
    struct kv_person_key *old = replaced[0] == '\0' ? NULL : kv_find_key(j->s, replaced);
    kv_enrol_key(j, j->rec->person, kv_statement_get(st, KV_KEY_PUBLIC_KEY),
                 kv_whole_second(j->now), kv_key_end(st));
    if (old != NULL && old->retired_ms == 0) {
        old->retired_ms = j->now;
    }
    r->state = KV_REQUEST_DONE;
    return KV_OK;
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
        strcmp(key->person, j->rec->person) != 0 ||
        (act == KV_ACT_RETIRE && (key->compromised || key->retired_ms != 0))) {
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
    const struct kv_person *p = code == KV_OK ? kv_find_person(j->s, key->person) : NULL;
    if (code == KV_OK && p->enabled && kv_takes_away(p) &&
        !kv_duty_remains(j->s, p->duty, NULL, key->fingerprint, j->now)) {
        code = KV_REFUSE(j->err, KV_E_ACT_LAST, "%s is the last %s with a good key", p->id,
                         kv_duty_word(p->duty));
    }
    if (code == KV_OK) { /* what it has signed goes on */
        kv_note_text(j, st, 1);
        key->retired_ms = j->now;
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
        if (d->approve && d->counts && strcmp(d->key, key) == 0 && d->recorded_ms >= since_ms) {
            return true;
        }
    }
    return false;
}

bool kv_rests_on_bad_key(const struct kv_state *s, const struct kv_request *r)
{
    for (size_t i = 0; i < s->keys.count; i++) {
        const struct kv_person_key *key = s->keys.item[i];
        if (key->compromised && rests_on(r, key->fingerprint, key->compromised_since_ms)) {
            return true;
        }
    }
    return false;
}

/* `known`: the key was bad before, and only the time has moved back; what was resumed after that
 * rests on the signatures of its resumption alone. */
static bool given_with(const struct kv_request *r, const struct kv_request *resumed,
                       const struct kv_person_key *key, bool known)
{
    int64_t since = key->compromised_since_ms;
    return (resumed != NULL && rests_on(resumed, key->fingerprint, since)) ||
           ((resumed == NULL || !known) && rests_on(r, key->fingerprint, since));
}

static void compromise(struct kv_state *s, struct kv_person_key *key, int64_t since_ms)
{
    bool known = key->compromised;
    key->compromised = true;
    key->compromised_since_ms = since_ms;
    kv_discount(s, key->person, key->fingerprint, since_ms);
    for (size_t i = 0; i < s->grants.count; i++) {
        struct kv_grant *g = s->grants.item[i];
        if (g->state == KV_GRANT_ACTIVE && given_with(g->request, g->resumed, key, known)) {
            g->compromised = true;
        }
    }
    for (size_t i = 0; i < s->integrations.count; i++) {
        struct kv_integration *n = s->integrations.item[i];
        if (!n->suspended && given_with(n->request, n->resumed, key, known)) {
            n->compromised = true;
        }
    }
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
    if (code == KV_OK && key->compromised && since >= key->compromised_since_ms) {
        code = KV_REFUSE(j->err, KV_E_ACT_TARGET, "this key is compromised since then already");
    }
    if (code == KV_OK) {
        kv_note_text(j, st, 1);
        compromise(j->s, key, since);
    }
    kv_statement_free(st);
    return code;
}

/* An alarm changes nothing but that it was given; the counters are found when texts come in. */
enum kv_code kv_on_alarm_cloned(const struct kv_judge *j)
{
    const struct kv_person_key *key = kv_find_key(j->s, j->rec->key);
    if (key == NULL || strcmp(key->person, j->rec->person) != 0) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the alarm names no key of that person");
    }
    if (j->s->cloned == key) {
        j->s->cloned = NULL;
    }
    return KV_OK;
}
