/* Policies: what their request must say about the text, and what their activation ends. */
#include "policy/state_model.h"

#include <stdlib.h>

static bool is_listed(const struct kv_statement *st, const char *grant)
{
    uint64_t count = 0;
    (void)kv_statement_number(st, KV_KEY_ENDS_GRANTS, &count);
    for (uint64_t n = 1; n <= count; n++) {
        if (kv_bytes_is(kv_statement_get_n(st, KV_KEY_ENDS_GRANT_N, n), grant)) {
            return true;
        }
    }
    return false;
}

/* The request lists exactly the standing grants that the text would end: people sign it. */
static enum kv_code check_ended(const struct kv_state *s, const struct kv_statement *st,
                                const struct kv_ruleset *rules, struct kv_err *err)
{
    for (size_t i = 0; i < s->grants.count; i++) {
        const struct kv_grant *g = s->grants.item[i];
        bool ends = kv_ruleset_ends_grant(rules, g->ops, kv_bytes_str(g->credential->custody));
        if (!kv_grant_over(g) && ends != is_listed(st, g->id)) {
            return KV_REFUSE(err, KV_E_REQ_POLICY_TEXT,
                             ends ? "the text would end grant %s, which the request does not list"
                                  : "the request lists grant %s, which the text would not end",
                             g->id);
        }
    }
    return KV_OK;
}

bool kv_policy_outdated(const struct kv_state *s, const struct kv_request *r)
{
    for (size_t i = 0; r->action == KV_ACTION_POLICY && i < s->grants.count; i++) {
        const struct kv_grant *g = s->grants.item[i];
        if (!kv_grant_over(g) && g->seq > r->open_seq) {
            return true;
        }
    }
    return false;
}

static enum kv_code check_sentences(const struct kv_statement *st, const struct kv_ruleset *rules,
                                    struct kv_err *err)
{
    uint64_t count = 0;
    enum kv_lang lang = KV_LANG_NONE;
    KV_CLEANUP(kv_freep) struct kv_sentences *sentences = malloc(sizeof *sentences);
    if (sentences == NULL) {
        abort();
    }
    (void)kv_lang_parse(kv_statement_get(st, KV_KEY_LANG), &lang);
    kv_ruleset_sentences(rules, lang, sentences);
    (void)kv_statement_number(st, KV_KEY_SENTENCES, &count);
    bool same = count == sentences->count;
    for (uint64_t n = 1; same && n <= count; n++) {
        same = kv_bytes_is(kv_statement_get_n(st, KV_KEY_SENTENCE_N, n), sentences->text[n - 1]);
    }
    if (!same) {
        return KV_REFUSE(err, KV_E_REQ_POLICY_TEXT, "the sentences are not those of the text");
    }
    return KV_OK;
}

/* What a live vault checks of a policy request, and replay never derives again: its sentences are
 * those of its text, and it ends exactly the grants that the text would end. */
enum kv_code kv_check_policy_text(const struct kv_state *s, const struct kv_statement *st,
                                  struct kv_bytes text, struct kv_err *err)
{
    struct kv_ruleset rules;
    struct kv_hash want, have = kv_hash(text);
    if (text.len == 0) {
        return KV_REFUSE(err, KV_E_INPUT_MISSING,
                         "the policy text must be handed in with its request");
    }
    if (kv_ruleset_parse(text, &rules, err) != KV_OK) {
        return err->code;
    }
    if (!kv_statement_hash(st, KV_KEY_POLICY_SHA256, &want) || !kv_hash_equal(&want, &have)) {
        return KV_REFUSE(err, KV_E_REQ_POLICY_TEXT, "policy-sha256 is not that of the text");
    }
    bool test = s != NULL ? s->test : kv_statement_yes(st, KV_KEY_TEST);
    if (!test && rules.custody_minimum == KV_CUSTODY_FLOOR_SOFTWARE) {
        return KV_REFUSE(err, KV_E_REQ_POLICY_TEXT,
                         "only a vault founded with --test may allow software custody");
    }
    if (check_sentences(st, &rules, err) != KV_OK ||
        (s != NULL && check_ended(s, st, &rules, err) != KV_OK)) {
        return err->code;
    }
    return KV_OK;
}

enum kv_code kv_on_policy_activate(const struct kv_judge *j)
{
    struct kv_request *r = NULL;
    struct kv_ruleset rules;
    struct kv_hash want;
    if (kv_judge_request(j, KV_ACTION_POLICY, KV_ACTION_FOUND, &r) != KV_OK) {
        return j->err->code;
    }
    struct kv_bytes text = j->rec->doc_count == 1 ? j->blob[0] : KV_BYTES_NULL;
    struct kv_hash have = kv_hash(text);
    if (!kv_statement_hash(r->text, KV_KEY_POLICY_SHA256, &want) || !kv_hash_equal(&want, &have)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_NOT_APPROVED, "the policy is not the approved one");
    }
    struct kv_founder f;
    if (r->action == KV_ACTION_FOUND && kv_statement_founder(r->text, r->step + 1, &f)) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "a founder is not enrolled yet");
    }
    if (kv_ruleset_parse(text, &rules, j->err) != KV_OK ||
        check_ended(j->s, r->text, &rules, j->err) != KV_OK) {
        return j->err->code;
    }
    j->s->rules = rules;
    j->s->has_rules = true;
    j->s->policy = have;
    j->s->policy_len = text.len;
    j->s->policy_seq = j->rec->seq;
    j->s->policy_request = r;
    j->s->founded = true;
    r->state = KV_REQUEST_DONE;
    for (size_t i = 0; i < j->s->grants.count; i++) {
        struct kv_grant *g = j->s->grants.item[i];
        g->ends_by_policy = g->ends_by_policy || (!kv_grant_over(g) && is_listed(r->text, g->id));
    }
    return KV_OK;
}
