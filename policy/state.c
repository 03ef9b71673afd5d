#include "policy/state_model.h"

#include <stdlib.h>

static const char *const request_words[KV_REQUEST_STATE_COUNT] = {
    [KV_REQUEST_OPEN] = "open",           [KV_REQUEST_APPROVED] = "approved",
    [KV_REQUEST_DONE] = "done",           [KV_REQUEST_DENIED] = "denied",
    [KV_REQUEST_WITHDRAWN] = "withdrawn", [KV_REQUEST_LAPSED] = "lapsed",
};
static const char *const grant_words[KV_GRANT_STATE_COUNT] = {
    [KV_GRANT_ACTIVE] = "active",
    [KV_GRANT_SUSPENDED] = "suspended",
    [KV_GRANT_CLOSING] = "closing",
    [KV_GRANT_CLOSED] = "closed",
};

const char *kv_request_state_word(enum kv_request_state state)
{
    return request_words[state];
}

const char *kv_grant_state_word(enum kv_grant_state state)
{
    return grant_words[state];
}

bool kv_grant_over(const struct kv_grant *grant)
{
    return grant->state == KV_GRANT_CLOSING || grant->state == KV_GRANT_CLOSED;
}

void *kv_state_grow(void *old, size_t count, size_t *cap, size_t size)
{
    if (count < *cap) {
        return old;
    }
    *cap = *cap == 0 ? 8 : *cap * 2;
    void *mem = reallocarray(old, *cap, size);
    if (mem == NULL) {
        abort(); /* a state that lost a fact must not go on */
    }
    return mem;
}

void kv_list_add(struct kv_list *list, void *item)
{
    list->item = kv_state_grow(list->item, list->count, &list->cap, sizeof *list->item);
    list->item[list->count++] = item;
}

static struct kv_hash_slot *probe(const struct kv_hash_map *map, const struct kv_hash *key)
{
    uint64_t at; /* the keys are hashes already */
    memcpy(&at, key->b, sizeof at);
    for (size_t i = (size_t)at & (map->cap - 1);; i = (i + 1) & (map->cap - 1)) {
        if (!map->slot[i].used || kv_hash_equal(&map->slot[i].key, key)) {
            return &map->slot[i];
        }
    }
}

bool kv_hash_map_get(const struct kv_hash_map *map, const struct kv_hash *key, uint64_t *value)
{
    const struct kv_hash_slot *slot = map->cap == 0 ? NULL : probe(map, key);
    if (slot == NULL || !slot->used) {
        return false;
    }
    *value = slot->value;
    return true;
}

void kv_hash_map_put(struct kv_hash_map *map, const struct kv_hash *key, uint64_t value)
{
    if (2 * (map->count + 1) > map->cap) {
        struct kv_hash_map bigger = {.cap = map->cap == 0 ? 64 : 2 * map->cap};
        bigger.slot = calloc(bigger.cap, sizeof *bigger.slot);
        if (bigger.slot == NULL) {
            abort();
        }
        for (size_t i = 0; i < map->cap; i++) {
            if (map->slot[i].used) {
                *probe(&bigger, &map->slot[i].key) = map->slot[i];
            }
        }
        bigger.count = map->count;
        free(map->slot);
        *map = bigger;
    }
    struct kv_hash_slot *slot = probe(map, key);
    map->count += slot->used ? 0 : 1;
    *slot = (struct kv_hash_slot){*key, value, true};
}

struct kv_state *kv_state_new(void)
{
    struct kv_state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        abort();
    }
    return state;
}

static void free_list(struct kv_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->item[i]);
    }
    free(list->item);
}

void kv_state_free(struct kv_state *state)
{
    if (state == NULL) {
        return;
    }
    for (size_t i = 0; i < state->requests.count; i++) {
        struct kv_request *r = state->requests.item[i];
        kv_statement_free(r->text);
        free(r->decisions);
    }
    for (size_t i = 0; i < state->grants.count; i++) {
        struct kv_grant *g = state->grants.item[i];
        free(g->use_times);
    }
    free_list(&state->persons);
    free_list(&state->keys);
    free_list(&state->requests);
    free_list(&state->credentials);
    free_list(&state->integrations);
    free_list(&state->grants);
    free(state->intents);
    free(state->sessions);
    free(state->ministry);
    free(state->texts.slot);
    free(state->nonces.slot);
    free(state->counters.slot);
    free(state);
}

void kv_state_freep(struct kv_state **state)
{
    kv_state_free(*state);
    *state = NULL;
}

/* All things have their id as first member. */
static void *find(const struct kv_list *list, struct kv_bytes id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (kv_bytes_is(id, list->item[i])) {
            return list->item[i];
        }
    }
    return NULL;
}
_Static_assert(offsetof(struct kv_person, id) == 0 &&
                   offsetof(struct kv_person_key, fingerprint) == 0 &&
                   offsetof(struct kv_request, id) == 0 &&
                   offsetof(struct kv_credential, id) == 0 &&
                   offsetof(struct kv_integration, id) == 0 && offsetof(struct kv_grant, id) == 0,
               "find() takes the id from the start");

struct kv_person *kv_find_person(const struct kv_state *s, const char *id)
{
    return find(&s->persons, kv_bytes_str(id));
}

struct kv_person_key *kv_find_key(const struct kv_state *s, const char *fingerprint)
{
    return find(&s->keys, kv_bytes_str(fingerprint));
}

struct kv_request *kv_find_request(const struct kv_state *s, const char *id)
{
    return find(&s->requests, kv_bytes_str(id));
}

struct kv_credential *kv_find_credential(const struct kv_state *s, const char *id)
{
    return find(&s->credentials, kv_bytes_str(id));
}

struct kv_integration *kv_find_integration(const struct kv_state *s, const char *id)
{
    return find(&s->integrations, kv_bytes_str(id));
}

struct kv_grant *kv_find_grant(const struct kv_state *s, const char *id)
{
    return find(&s->grants, kv_bytes_str(id));
}

static enum kv_code only_note(const struct kv_judge *j)
{
    (void)j; /* a note: it changes nothing */
    return KV_OK;
}

static enum kv_code on_agent_start(const struct kv_judge *j)
{
    j->s->start_seq = j->rec->seq;
    return KV_OK;
}

static kv_judge_fn *const handlers[KV_EV_COUNT] = {
    [KV_EV_LOG_INIT] = kv_on_log_init,
    [KV_EV_VAULT_FOUND] = kv_on_vault_found,
    [KV_EV_PERSON_ENROL] = kv_on_person_enrol,
    [KV_EV_KEY_ENROL] = kv_on_key_enrol,
    [KV_EV_PERSON_CHANGE] = kv_on_person_change,
    [KV_EV_PERSON_LEAVE] = kv_on_person_leave,
    [KV_EV_KEY_RETIRE] = kv_on_key_retire,
    [KV_EV_KEY_COMPROMISED] = kv_on_key_compromised,
    [KV_EV_POLICY_ACTIVATE] = kv_on_policy_activate,
    [KV_EV_AGENT_START] = on_agent_start,
    [KV_EV_AGENT_STOP] = only_note,
    [KV_EV_LOG_RECOVERED] = only_note,
    [KV_EV_REQUEST_OPEN] = kv_on_request_open,
    [KV_EV_REQUEST_WITHDRAW] = kv_on_request_withdraw,
    [KV_EV_REQUEST_LAPSE] = kv_on_request_lapse,
    [KV_EV_APPROVE] = kv_on_approve,
    [KV_EV_DENY] = kv_on_deny,
    [KV_EV_INTEG_REGISTER] = kv_on_integ_register,
    [KV_EV_INTEG_CHANGE] = kv_on_integ_change,
    [KV_EV_INTEG_RESUME] = kv_on_integ_resume,
    [KV_EV_INTEG_SUSPEND] = kv_on_integ_suspend,
    [KV_EV_CRED_CREATE] = kv_on_cred_create,
    [KV_EV_CRED_ACTIVATE] = kv_on_cred_activate,
    [KV_EV_CRED_IMPORT] = kv_on_cred_import,
    [KV_EV_GRANT_ACTIVATE] = kv_on_grant_activate,
    [KV_EV_GRANT_SUSPEND] = kv_on_grant_suspend,
    [KV_EV_GRANT_RESUME] = kv_on_grant_resume,
    [KV_EV_GRANT_REVOKE] = kv_on_grant_revoke,
    [KV_EV_GRANT_EXPIRE] = kv_on_grant_expire,
    [KV_EV_GRANT_CLOSE] = kv_on_grant_close,
    [KV_EV_USE_SIGN] = kv_on_use,
    [KV_EV_USE_INTENT] = kv_on_use,
    [KV_EV_USE_OUTCOME] = kv_on_use_outcome,
    [KV_EV_USE_REFUSED] = only_note,
    [KV_EV_KSEF_SESSION] = kv_on_ksef_session,
    [KV_EV_KSEF_CLOSE] = kv_on_ksef_close,
    [KV_EV_KSEF_RESIDUAL] = kv_on_ksef_residual,
    [KV_EV_KSEF_KEY] = kv_on_ksef_key,
    [KV_EV_EXCEPTION_OPEN] = kv_on_exception_open,
    [KV_EV_EXPORT_MADE] = only_note,
    [KV_EV_VERIFY_RUN] = only_note,
    [KV_EV_ALARM_SIGNER_DOWN] = only_note,
    [KV_EV_ALARM_EXE_CHANGED] = kv_on_alarm_exe,
    [KV_EV_ALARM_KEY_CLONED] = kv_on_alarm_cloned,
    [KV_EV_ALARM_CHECKPOINT] = only_note,
    [KV_EV_ALARM_DISK_LOW] = only_note,
    [KV_EV_ALARM_CLOCK_BEHIND] = only_note,
};

/* Founding is a fixed order: log.init, vault.found, the founders, the policy; nothing else before.
 */
static enum kv_code in_order(const struct kv_judge *j)
{
    enum kv_event ev = j->rec->ev;
    bool founding = ev == KV_EV_LOG_INIT || ev == KV_EV_VAULT_FOUND || ev == KV_EV_PERSON_ENROL ||
                    ev == KV_EV_POLICY_ACTIVATE;
    if (j->rec->seq != j->s->size || j->rec->ts_ms < j->s->last_ts_ms ||
        (ev == KV_EV_LOG_INIT) != (j->s->size == 0) ||
        (ev == KV_EV_VAULT_FOUND) != (j->s->size == 1)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "%s may not be record %llu here",
                         kv_event_word(ev), (unsigned long long)j->rec->seq);
    }
    if (!j->s->founded && !founding) {
        return KV_REFUSE(j->err, KV_E_UNFOUNDED, "%s before the vault is founded",
                         kv_event_word(ev));
    }
    return KV_OK;
}

enum kv_code kv_state_apply(struct kv_state *state, const struct kv_record *rec,
                            const struct kv_blobs *blobs, const struct kv_log_view *log,
                            struct kv_err *err)
{
    struct kv_judge j = {
        .s = state, .rec = rec, .blob = blobs->blob, .log = log, .now = rec->ts_ms, .err = err};
    assert(blobs->count == rec->doc_count && rec->ev > KV_EV_NONE && rec->ev < KV_EV_COUNT);
    if (in_order(&j) != KV_OK || handlers[rec->ev](&j) != KV_OK) {
        return err->code;
    }
    state->size++;
    state->last_ts_ms = rec->ts_ms;
    return KV_OK;
}

/* ---- views ---- */

const char *kv_state_vault(const struct kv_state *state)
{
    return state->vault;
}

bool kv_state_is_test(const struct kv_state *state)
{
    return state->test;
}

bool kv_state_founded(const struct kv_state *state)
{
    return state->founded;
}

uint64_t kv_state_size(const struct kv_state *state)
{
    return state->size;
}

const struct kv_ruleset *kv_state_rules(const struct kv_state *state)
{
    return &state->rules;
}

const struct kv_hash *kv_state_policy(const struct kv_state *state)
{
    return &state->policy;
}

size_t kv_state_policy_len(const struct kv_state *state)
{
    return state->policy_len;
}

#define VIEW(noun, type, list)                                                                     \
    size_t kv_state_##noun##_count(const struct kv_state *state)                                   \
    {                                                                                              \
        return state->list.count;                                                                  \
    }                                                                                              \
    const struct type *kv_state_##noun##_at(const struct kv_state *state, size_t i)                \
    {                                                                                              \
        assert(i < state->list.count);                                                             \
        return state->list.item[i];                                                                \
    }
VIEW(person, kv_person, persons)
VIEW(key, kv_person_key, keys)
VIEW(request, kv_request, requests)
VIEW(credential, kv_credential, credentials)
VIEW(integration, kv_integration, integrations)
VIEW(grant, kv_grant, grants)

size_t kv_state_intent_count(const struct kv_state *state)
{
    return state->intent_count;
}

const struct kv_intent *kv_state_intent_at(const struct kv_state *state, size_t i)
{
    assert(i < state->intent_count);
    return &state->intents[i];
}

size_t kv_state_session_count(const struct kv_state *state)
{
    return state->session_count;
}

const struct kv_ksef_session *kv_state_session_at(const struct kv_state *state, size_t i)
{
    assert(i < state->session_count);
    return &state->sessions[i];
}

const struct kv_person *kv_state_person(const struct kv_state *state, struct kv_bytes id)
{
    return find(&state->persons, id);
}

const struct kv_request *kv_state_request(const struct kv_state *state, struct kv_bytes id)
{
    return find(&state->requests, id);
}

const struct kv_credential *kv_state_credential(const struct kv_state *state, struct kv_bytes id)
{
    return find(&state->credentials, id);
}

const struct kv_integration *kv_state_integration(const struct kv_state *state, struct kv_bytes id)
{
    return find(&state->integrations, id);
}

const struct kv_grant *kv_state_grant(const struct kv_state *state, struct kv_bytes id)
{
    return find(&state->grants, id);
}

const struct kv_person_key *kv_state_good_key(const struct kv_state *state, const char *person,
                                              int64_t now_ms)
{
    for (size_t i = 0; i < state->keys.count; i++) {
        const struct kv_person_key *key = state->keys.item[i];
        if (strcmp(key->person, person) == 0 && kv_key_good(key, now_ms)) {
            return key;
        }
    }
    return NULL;
}

bool kv_state_reader(const struct kv_state *state, uint64_t uid)
{
    for (size_t i = 0; i < state->persons.count; i++) {
        const struct kv_person *p = state->persons.item[i];
        if (p->enabled && p->has_uid && p->uid == uid) {
            return true;
        }
    }
    return false;
}

bool kv_state_text_seq(const struct kv_state *state, const struct kv_hash *sha256, uint64_t *seq)
{
    return kv_hash_map_get(&state->texts, sha256, seq);
}
