#include "policy/grammar.h"

#include "core/parse.h"

/* clang-format off */
static const enum kv_key request_head[] = {
    KV_KEY_VAULT, KV_KEY_POLICY, KV_KEY_REQUEST, KV_KEY_REQUESTER, KV_KEY_REQUESTER_KEY,
    KV_KEY_ACTION, KV_KEY_NONE,
};
static const enum kv_key request_tail[] = {
    KV_KEY_REASON_COMMITMENT, KV_KEY_NOT_BEFORE, KV_KEY_NOT_AFTER, KV_KEY_ISSUED, KV_KEY_NONCE,
    KV_KEY_NONE,
};
static const enum kv_key decision_head[] = {
    KV_KEY_VAULT, KV_KEY_POLICY, KV_KEY_REQUEST, KV_KEY_REQUEST_SHA256, KV_KEY_DECISION,
    KV_KEY_ROLE, KV_KEY_APPROVER, KV_KEY_APPROVER_KEY, KV_KEY_LOG_CHECKPOINT, KV_KEY_NONCE,
    KV_KEY_ISSUED, KV_KEY_NONE,
};
static const enum kv_key act_head[] = {
    KV_KEY_VAULT, KV_KEY_ACT, KV_KEY_TARGET, KV_KEY_ACTOR, KV_KEY_ACTOR_KEY, KV_KEY_NONE,
};
static const enum kv_key act_tail[] = {
    KV_KEY_REASON_COMMITMENT, KV_KEY_LOG_CHECKPOINT, KV_KEY_NONCE, KV_KEY_ISSUED, KV_KEY_NONE,
};

#define LINES_MAX 22
static const enum kv_key action_lines[KV_ACTION_COUNT][LINES_MAX] = {
    [KV_ACTION_FOUND] = {
        KV_KEY_LOG_KEY, KV_KEY_TEST, KV_KEY_PERSONS, KV_KEY_PERSON_N, KV_KEY_PUBLIC_KEY_N,
        KV_KEY_POLICY_SHA256, KV_KEY_LANG, KV_KEY_SENTENCES, KV_KEY_SENTENCE_N},
    [KV_ACTION_PERSON_ENROL] = {
        KV_KEY_PERSON, KV_KEY_DUTY, KV_KEY_ORGANISATION, KV_KEY_CONTRACT_END,
        KV_KEY_BUSINESS_DUTIES, KV_KEY_UID, KV_KEY_NAME_COMMITMENT, KV_KEY_KEY, KV_KEY_PUBLIC_KEY,
        KV_KEY_KEY_NOT_AFTER},
    [KV_ACTION_PERSON_CHANGE] = {
        KV_KEY_PERSON, KV_KEY_DUTY_FROM, KV_KEY_DUTY_TO, KV_KEY_ORGANISATION, KV_KEY_CONTRACT_END,
        KV_KEY_BUSINESS_DUTIES, KV_KEY_UID, KV_KEY_NAME_COMMITMENT},
    [KV_ACTION_KEY_ENROL] = {
        KV_KEY_PERSON, KV_KEY_KEY, KV_KEY_PUBLIC_KEY, KV_KEY_KEY_NOT_AFTER, KV_KEY_REPLACES_KEY},
    [KV_ACTION_CREDENTIAL_CREATE] = {
        KV_KEY_CREDENTIAL, KV_KEY_KIND, KV_KEY_KEY_TYPE, KV_KEY_SLOT, KV_KEY_ENVIRONMENT,
        KV_KEY_CONTEXTS, KV_KEY_BUSINESS_OWNER, KV_KEY_TECHNICAL_CUSTODIAN},
    [KV_ACTION_CREDENTIAL_IMPORT] = {
        KV_KEY_CREDENTIAL, KV_KEY_KIND, KV_KEY_KEY_TYPE, KV_KEY_SLOT, KV_KEY_ENVIRONMENT,
        KV_KEY_CONTEXTS, KV_KEY_BUSINESS_OWNER, KV_KEY_TECHNICAL_CUSTODIAN, KV_KEY_KSEF_REF,
        KV_KEY_PUBLIC_KEY_SHA256},
    [KV_ACTION_INTEGRATION_REGISTER] = {
        KV_KEY_INTEGRATION, KV_KEY_PURPOSE, KV_KEY_BUSINESS_OWNER, KV_KEY_TECHNICAL_CUSTODIAN,
        KV_KEY_ORGANISATION, KV_KEY_CONTRACT_END, KV_KEY_CONTEXTS, KV_KEY_OPERATIONS, KV_KEY_UID,
        KV_KEY_GID, KV_KEY_UNIT, KV_KEY_EXE, KV_KEY_EXE_SHA256},
    [KV_ACTION_INTEGRATION_CHANGE] = {
        KV_KEY_REPLACES_REQUEST, KV_KEY_INTEGRATION, KV_KEY_PURPOSE, KV_KEY_BUSINESS_OWNER,
        KV_KEY_TECHNICAL_CUSTODIAN, KV_KEY_ORGANISATION, KV_KEY_CONTRACT_END, KV_KEY_CONTEXTS,
        KV_KEY_OPERATIONS, KV_KEY_UID, KV_KEY_GID, KV_KEY_UNIT, KV_KEY_EXE, KV_KEY_EXE_SHA256},
    [KV_ACTION_GRANT] = {
        KV_KEY_CREDENTIAL, KV_KEY_INTEGRATION, KV_KEY_CONTEXT, KV_KEY_OPERATIONS, KV_KEY_CLASS,
        KV_KEY_MAX_USES, KV_KEY_RATE},
    [KV_ACTION_POLICY] = {
        KV_KEY_POLICY_SHA256, KV_KEY_LANG, KV_KEY_SENTENCES, KV_KEY_SENTENCE_N, KV_KEY_ENDS_GRANTS,
        KV_KEY_ENDS_GRANT_N},
    [KV_ACTION_RESUME] = {KV_KEY_TARGET},
    [KV_ACTION_EMERGENCY] = {
        KV_KEY_CREDENTIAL, KV_KEY_INTEGRATION, KV_KEY_CONTEXT, KV_KEY_OPERATIONS, KV_KEY_CLASS,
        KV_KEY_MAX_USES, KV_KEY_RATE, KV_KEY_BENEFICIARY, KV_KEY_INCIDENT, KV_KEY_WAIVE},
    [KV_ACTION_REVIEW] = {
        KV_KEY_GRANT, KV_KEY_COVERS, KV_KEY_REQUESTED_BY, KV_KEY_APPROVED_BY, KV_KEY_USED_BY,
        KV_KEY_CLOSED_BY, KV_KEY_USES, KV_KEY_REFUSED, KV_KEY_INVOICES, KV_KEY_FOREIGN_INVOICES,
        KV_KEY_ERRORS, KV_KEY_STILL_OPEN, KV_KEY_ASKED_AT, KV_KEY_MANUAL_WORK,
        KV_KEY_MANUAL_WORK_COMMITMENT, KV_KEY_REASON_TRUE, KV_KEY_LEAST_PRIVILEGE, KV_KEY_ROTATION,
        KV_KEY_FOLLOW_UP, KV_KEY_LIFTED},
    [KV_ACTION_ROTATE] = {
        KV_KEY_CREDENTIAL, KV_KEY_SUCCESSOR, KV_KEY_KEY_TYPE, KV_KEY_SLOT, KV_KEY_UNTIL},
    [KV_ACTION_DESTROY] = {KV_KEY_CREDENTIAL, KV_KEY_PUBLIC_KEY_SHA256},
    [KV_ACTION_EXCEPTION_ACCEPT] = {
        KV_KEY_EXCEPTION, KV_KEY_COMPENSATING_COMMITMENT, KV_KEY_UNTIL},
    [KV_ACTION_SOD_ACCEPT] = {
        KV_KEY_PERSON, KV_KEY_CONFLICT, KV_KEY_COMPENSATING_COMMITMENT, KV_KEY_UNTIL},
    [KV_ACTION_PRIV_ERASE] = {KV_KEY_RECORD, KV_KEY_FIELD},
    [KV_ACTION_RESTORE] = {KV_KEY_FROM_VAULT, KV_KEY_FROM_CHECKPOINT, KV_KEY_BACKUP_SHA256},
    [KV_ACTION_CLOCK_RESET] = {KV_KEY_LAST, KV_KEY_NOW},
};

/* Act and noun of its target choose the lines. `release` and `attest` are not here: no version
 * carries them out yet, and their rows have no settled form; a text that says so is refused. */
#define ACT_LINES_MAX 3
static const struct {
    enum kv_act act;
    enum kv_noun noun;
    enum kv_key lines[ACT_LINES_MAX];
} act_forms[] = {
    {KV_ACT_WITHDRAW, KV_NOUN_REQUEST, {KV_KEY_NONE}},
    {KV_ACT_SUSPEND, KV_NOUN_GRANT, {KV_KEY_OPERATIONS}},
    {KV_ACT_SUSPEND, KV_NOUN_INTEGRATION, {KV_KEY_OPERATIONS}},
    {KV_ACT_REVOKE, KV_NOUN_GRANT, {KV_KEY_NONE}},
    {KV_ACT_REVOKE, KV_NOUN_CREDENTIAL, {KV_KEY_NONE}},
    {KV_ACT_RETIRE, KV_NOUN_KEY, {KV_KEY_NONE}},
    {KV_ACT_COMPROMISED, KV_NOUN_KEY, {KV_KEY_SINCE}},
    {KV_ACT_LEAVE, KV_NOUN_PERSON, {KV_KEY_LEFT_ON}},
    {KV_ACT_CLOSE, KV_NOUN_GRANT, {KV_KEY_NONE}},
    {KV_ACT_CLOSE, KV_NOUN_EXCEPTION, {KV_KEY_CAUSE, KV_KEY_DONE_COMMITMENT}},
    {KV_ACT_ASSIGN, KV_NOUN_EXCEPTION, {KV_KEY_PERSON, KV_KEY_UNTIL}},
    {KV_ACT_RECORD, KV_NOUN_PERSON, {KV_KEY_EVENT, KV_KEY_HAPPENED}},
    {KV_ACT_RECORD, KV_NOUN_INTEGRATION, {KV_KEY_EVENT, KV_KEY_HAPPENED}},
    {KV_ACT_RECORD, KV_NOUN_VAULT, {KV_KEY_EVENT, KV_KEY_HAPPENED}},
};
/* clang-format on */

const char *kv_grammar_type_line(enum kv_statement_type type)
{
    static const char *const lines[] = {
        [KV_STATEMENT_REQUEST] = "ksefvault/request/v1",
        [KV_STATEMENT_DECISION] = "ksefvault/approval/v1",
        [KV_STATEMENT_ACT] = "ksefvault/act/v1",
    };
    return lines[type];
}

enum kv_key kv_grammar_count_of(enum kv_key numbered)
{
    if (numbered == KV_KEY_PERSON_N || numbered == KV_KEY_PUBLIC_KEY_N) {
        return KV_KEY_PERSONS;
    }
    if (numbered == KV_KEY_SENTENCE_N) {
        return KV_KEY_SENTENCES;
    }
    return numbered == KV_KEY_ENDS_GRANT_N ? KV_KEY_ENDS_GRANTS : KV_KEY_NONE;
}

void kv_grammar_init(struct kv_grammar *g, enum kv_statement_type type)
{
    *g = (struct kv_grammar){.part = {decision_head, NULL, NULL}};
    if (type == KV_STATEMENT_REQUEST) {
        g->part[0] = request_head;
        g->part[2] = request_tail;
    } else if (type == KV_STATEMENT_ACT) {
        g->part[0] = act_head;
        g->part[2] = act_tail;
    }
}

bool kv_grammar_next(struct kv_grammar *g, enum kv_key *key, uint32_t *n)
{
    while (g->at_part < KV_GRAMMAR_PARTS) {
        const enum kv_key *list = g->part[g->at_part];
        if (list == NULL || list[g->at] == KV_KEY_NONE) {
            g->at_part++;
            g->at = 0;
            continue;
        }
        if (!kv_key_numbered(list[g->at])) {
            *key = list[g->at++];
            *n = 0;
            return true;
        }
        size_t group = 0;
        while (kv_key_numbered(list[g->at + group])) {
            group++;
        }
        g->n += g->n == 0;
        if (g->n > g->count) {
            g->at += group;
            g->n = 0;
            continue;
        }
        *key = list[g->at + g->in_group];
        *n = (uint32_t)g->n; /* a text has fewer lines than this could hold */
        g->in_group = (g->in_group + 1) % group;
        g->n += g->in_group == 0;
        return true;
    }
    return false;
}

static bool feed_count(struct kv_grammar *g, enum kv_key key, struct kv_bytes value)
{
    /* ends-grants: more would not be one decision any more, revoke first. No sentence at all would
     * mean that nobody knows what was signed. */
    uint64_t max = key == KV_KEY_ENDS_GRANTS ? KV_ENDS_GRANTS_MAX : KV_STATEMENT_MAX;
    return kv_parse_u64(value, max, &g->count) && (key != KV_KEY_SENTENCES || g->count > 0);
}

static bool feed_target(struct kv_grammar *g, struct kv_bytes value)
{
    struct kv_target target;
    if (!kv_target_parse(value, &target)) {
        return false;
    }
    for (size_t i = 0; i < KV_COUNT(act_forms); i++) {
        if (act_forms[i].act == g->act && act_forms[i].noun == target.noun) {
            g->part[1] = act_forms[i].lines;
            return true;
        }
    }
    return false;
}

static bool feed_act(struct kv_grammar *g, struct kv_bytes value)
{
    if (!kv_act_parse(value, &g->act)) {
        return false;
    }
    for (size_t i = 0; i < KV_COUNT(act_forms); i++) {
        if (act_forms[i].act == g->act) {
            return true;
        }
    }
    return false;
}

bool kv_grammar_feed(struct kv_grammar *g, enum kv_key key, struct kv_bytes value)
{
    if (key == KV_KEY_ACTION) {
        if (!kv_action_parse(value, &g->action)) {
            return false;
        }
        g->part[1] = action_lines[g->action];
        return true;
    }
    if (key == KV_KEY_ACT) {
        return feed_act(g, value);
    }
    if (key == KV_KEY_TARGET && g->act != KV_ACT_NONE) {
        return feed_target(g, value);
    }
    if (key == KV_KEY_PERSONS || key == KV_KEY_SENTENCES || key == KV_KEY_ENDS_GRANTS) {
        return feed_count(g, key, value);
    }
    return true;
}
