/* A handed-in text becomes the draft of a record; judging it is kv_state_apply's. */
#include "policy/state_model.h"

static void copy(struct kv_bytes from, char *to, size_t size)
{
    size_t n = from.len < size ? from.len : 0;
    if (n > 0) {
        memcpy(to, from.ptr, n);
    }
    to[n] = '\0';
}

static void put_priv(struct kv_record *rec, const struct kv_statement *st)
{
    struct kv_hash commitment;
    if (kv_statement_commitment(st, KV_KEY_REASON_COMMITMENT, &commitment)) {
        kv_record_set_priv(rec, KV_PRIV_REASON, &commitment);
    }
}

static void put_name(struct kv_record *rec, const struct kv_statement *st)
{
    struct kv_hash commitment;
    enum kv_action action = kv_statement_action(st);
    if ((action == KV_ACTION_PERSON_ENROL || action == KV_ACTION_PERSON_CHANGE) &&
        kv_statement_commitment(st, KV_KEY_NAME_COMMITMENT, &commitment)) {
        kv_record_set_priv(rec, KV_PRIV_NAME, &commitment);
    }
}

static void by_person(struct kv_record *rec, const struct kv_statement *st, enum kv_key person,
                      enum kv_key key)
{
    char id[KV_ID_LEN], via[KV_KEY_LEN];
    copy(kv_statement_get(st, person), id, sizeof id);
    copy(kv_statement_get(st, key), via, sizeof via);
    kv_record_set_who(rec, KV_WHO_PERSON, id, via);
}

static void add(struct kv_draft *d, enum kv_doc_kind kind, struct kv_bytes blob)
{
    d->blobs[d->rec->doc_count] = blob;
    kv_record_add_doc(d->rec, kind, blob);
}

static enum kv_code draft_request(const struct kv_state *s, const struct kv_submission *sub,
                                  const struct kv_statement *st, struct kv_draft *d,
                                  struct kv_err *err)
{
    struct kv_bytes id;
    char name[KV_ID_LEN];
    enum kv_action action = kv_statement_action(st);
    if (action == KV_ACTION_FOUND) {
        return KV_REFUSE(err, KV_E_FOUNDED, "vault %.80s is founded", s->vault);
    }
    if (action == KV_ACTION_POLICY && kv_check_policy_text(s, st, sub->policy, err) != KV_OK) {
        return err->code;
    }
    bool by_integration = kv_statement_requester(st, &id) == KV_REQUESTER_INTEGRATION;
    if (by_integration != (sub->integration != NULL && sub->signature.len == 0)) {
        return by_integration ? KV_REFUSE(err, KV_E_CALLER_UNKNOWN,
                                          "only the integration itself, over its own connection, "
                                          "may ask in its name")
                              : KV_REFUSE(err, KV_E_INPUT_MISSING, "the signature is missing");
    }
    d->rec = kv_record_new(KV_EV_REQUEST_OPEN);
    copy(kv_statement_get(st, KV_KEY_REQUEST), name, sizeof name);
    kv_record_set(d->rec, KV_RK_REQ, name);
    kv_record_info_str(d->rec, "action", kv_action_word(action));
    add(d, KV_DOC_REQUEST, sub->text);
    put_priv(d->rec, st);
    put_name(d->rec, st);
    if (by_integration) {
        kv_record_set_who(d->rec, KV_WHO_INTEGRATION, sub->integration, sub->via);
        return KV_OK;
    }
    by_person(d->rec, st, KV_KEY_REQUESTER, KV_KEY_REQUESTER_KEY);
    add(d, KV_DOC_SIGNATURE, sub->signature);
    if (sub->new_key_signature.len > 0) {
        add(d, KV_DOC_SIGNATURE, sub->new_key_signature);
    }
    return KV_OK;
}

static void draft_decision(const struct kv_submission *sub, const struct kv_statement *st,
                           struct kv_draft *d)
{
    char id[KV_ID_LEN];
    bool approve = kv_statement_decision(st) == KV_DECISION_APPROVE;
    d->rec = kv_record_new(approve ? KV_EV_APPROVE : KV_EV_DENY);
    by_person(d->rec, st, KV_KEY_APPROVER, KV_KEY_APPROVER_KEY);
    kv_record_set(d->rec, KV_RK_ROLE, kv_seat_word(kv_statement_seat(st)));
    copy(kv_statement_get(st, KV_KEY_REQUEST), id, sizeof id);
    kv_record_set(d->rec, KV_RK_REQ, id);
    add(d, KV_DOC_STATEMENT, sub->text);
    add(d, KV_DOC_SIGNATURE, sub->signature);
}

static enum kv_code draft_act(const struct kv_state *s, const struct kv_submission *sub,
                              const struct kv_statement *st, struct kv_draft *d, struct kv_err *err)
{
    static const struct {
        enum kv_act act;
        enum kv_noun noun;
        enum kv_event ev;
        enum kv_record_key key;
    } rows[] = {
        {KV_ACT_WITHDRAW, KV_NOUN_REQUEST, KV_EV_REQUEST_WITHDRAW, KV_RK_REQ},
        {KV_ACT_SUSPEND, KV_NOUN_GRANT, KV_EV_GRANT_SUSPEND, KV_RK_GRANT},
        {KV_ACT_SUSPEND, KV_NOUN_INTEGRATION, KV_EV_INTEG_SUSPEND, KV_RK_INTEG},
        {KV_ACT_REVOKE, KV_NOUN_GRANT, KV_EV_GRANT_REVOKE, KV_RK_GRANT},
        {KV_ACT_RETIRE, KV_NOUN_KEY, KV_EV_KEY_RETIRE, KV_RK_KEY},
        {KV_ACT_COMPROMISED, KV_NOUN_KEY, KV_EV_KEY_COMPROMISED, KV_RK_KEY},
        {KV_ACT_LEAVE, KV_NOUN_PERSON, KV_EV_PERSON_LEAVE, KV_RK_PERSON},
    };
    struct kv_target target;
    char id[KV_KEY_LEN], since[KV_TIME_S_LEN];
    size_t i = 0;
    bool named = kv_statement_target(st, &target);
    while (i < KV_COUNT(rows) &&
           !(named && rows[i].act == kv_statement_act(st) && rows[i].noun == target.noun)) {
        i++;
    }
    if (i == KV_COUNT(rows)) {
        return KV_REFUSE(err, KV_E_REQ_ACTION, "this version does not carry out '%s' of that",
                         kv_act_word(kv_statement_act(st)));
    }
    copy(target.id, id, sizeof id);
    d->rec = kv_record_new(rows[i].ev);
    by_person(d->rec, st, KV_KEY_ACTOR, KV_KEY_ACTOR_KEY);
    kv_record_set(d->rec, rows[i].key, id);
    if (rows[i].key == KV_RK_KEY) {
        const struct kv_person_key *key = kv_find_key(s, id);
        if (key == NULL) {
            kv_record_freep(&d->rec);
            return KV_REFUSE(err, KV_E_ACT_TARGET, "there is no such key");
        }
        kv_record_set(d->rec, KV_RK_PERSON, key->person);
    }
    if (rows[i].act == KV_ACT_COMPROMISED) {
        copy(kv_statement_get(st, KV_KEY_SINCE), since, sizeof since);
        kv_record_info_str(d->rec, "since", since);
    }
    add(d, KV_DOC_STATEMENT, sub->text);
    add(d, KV_DOC_SIGNATURE, sub->signature);
    put_priv(d->rec, st);
    return KV_OK;
}

enum kv_code kv_state_draft(const struct kv_state *state, const struct kv_submission *sub,
                            struct kv_draft *out, struct kv_err *err)
{
    struct kv_statement *st = NULL;
    struct kv_draft draft = {.rec = NULL};
    if (kv_statement_parse(sub->text, &st, NULL, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = KV_OK;
    enum kv_statement_type type = kv_statement_type(st);
    if (type != KV_STATEMENT_REQUEST && sub->signature.len == 0) {
        code = KV_REFUSE(err, KV_E_INPUT_MISSING, "the signature is missing");
    } else if (type == KV_STATEMENT_REQUEST) {
        code = draft_request(state, sub, st, &draft, err);
    } else if (type == KV_STATEMENT_DECISION) {
        draft_decision(sub, st, &draft);
    } else {
        code = draft_act(state, sub, st, &draft, err);
    }
    kv_statement_free(st);
    if (code == KV_OK) {
        *out = draft;
    }
    return code;
}
