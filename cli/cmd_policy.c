/* policy: the limits that people agreed on, as sentences. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/file.h"
#include "cli/out.h"
#include "policy/ruleset.h"
#include "policy/state.h"

#include <stdlib.h>

static const struct cli_option check_options[] = {
    {"lang", "en|pl", CLI_OPTIONAL, "language of the sentences (default: en)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option propose_options[] = {
    {"lang", "en|pl", CLI_OPTIONAL, "language of the sentences that people sign (default: en)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

/* A policy text that is valid, and what it says. */
struct proposal {
    struct kv_buf text;
    struct kv_ruleset rules;
    enum kv_lang lang;
    struct kv_sentences sentences; /* 6 KiB: on the heap */
};

static void free_proposal(struct proposal **p)
{
    if (*p != NULL) {
        kv_buf_clear(&(*p)->text);
        free(*p);
    }
}

static enum kv_code read_lang(const struct cli *cli, enum kv_lang *out, struct kv_err *err)
{
    const char *word = cli_get(cli, "lang");
    *out = KV_LANG_EN;
    if (word != NULL && !kv_lang_parse(kv_bytes_str(word), out)) {
        return KV_REFUSE(err, KV_E_USAGE, "--lang is en or pl, not '%.16s'", word);
    }
    return KV_OK;
}

static enum kv_code read_proposal(const struct cli *cli, struct proposal **out, struct kv_err *err)
{
    const char *path = cli_operand(cli, 0);
    KV_CLEANUP(free_proposal) struct proposal *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the policy");
    }
    kv_buf_init(&p->text, KV_RULESET_BYTES_MAX);
    if (read_lang(cli, &p->lang, err) != KV_OK || cli_file_read(path, &p->text, err) != KV_OK) {
        return err->code;
    }
    if (kv_ruleset_parse(kv_buf_bytes(&p->text), &p->rules, err) != KV_OK) {
        return kv_wrap(err, "%.80s", path);
    }
    kv_ruleset_sentences(&p->rules, p->lang, &p->sentences);
    *out = p;
    p = NULL;
    return KV_OK;
}

static json_t *as_list(const struct kv_sentences *sentences)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sentences->count; i++) {
        json_array_append_new(list, json_string(sentences->text[i]));
    }
    return list;
}

static void put_sentences(const struct cli *cli, const struct proposal *p)
{
    char hex[KV_HASH_HEX_LEN];
    struct kv_hash hash = kv_hash(kv_buf_bytes(&p->text));
    kv_hash_hex(&hash, hex);
    if (!cli->json) {
        for (size_t i = 0; i < p->sentences.count; i++) {
            cli_say("%zu. %s\n", i + 1, p->sentences.text[i]);
        }
        cli_say("\nThe text is valid. SHA-256: %s\nnext: `ksefvault policy propose FILE` asks "
                "finance and a custodian to sign these sentences.\n",
                hex);
        return;
    }
    json_t *object = json_pack("{s:s,s:o}", "policy", hex, "sentences", as_list(&p->sentences));
    cli_put_json(object);
    json_decref(object);
}

static enum kv_code run_check(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(free_proposal) struct proposal *p = NULL;
    if (read_proposal(cli, &p, err) != KV_OK) {
        return err->code;
    }
    put_sentences(cli, p);
    return KV_OK;
}

static enum kv_code run_show(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    size_t i;
    json_t *sentence;
    enum kv_lang lang;
    if (read_lang(cli, &lang, err) != KV_OK) {
        return err->code;
    }
    /* dotted names are one member here */
    const char *member = lang == KV_LANG_PL ? "sentences.pl" : "sentences.en";
    if (cli_call(cli, KV_CALL_POLICY, NULL, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        json_array_foreach(json_object_get(answer.body, member), i, sentence)
        {
            cli_say("%zu. ", i + 1);
            const char *text = json_string_value(sentence);
            cli_put(stdout, kv_bytes_str(text == NULL ? "" : text));
            cli_say("\n");
        }
        cli_say("\n");
        cli_put(stdout, kv_bytes_str(cli_str(answer.body, "text")));
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static bool among(const json_t *sentences, const char *sentence)
{
    size_t i;
    json_t *each;
    json_array_foreach(sentences, i, each)
    {
        if (json_is_string(each) && strcmp(json_string_value(each), sentence) == 0) {
            return true;
        }
    }
    return false;
}

/* Those of `from` that `other` has not. */
static json_t *only_in(const json_t *from, const json_t *other)
{
    json_t *list = json_array();
    size_t i;
    json_t *each;
    json_array_foreach(from, i, each)
    {
        if (json_is_string(each) && !among(other, json_string_value(each))) {
            json_array_append(list, each);
        }
    }
    return list;
}

static void put_marked(const json_t *list, const char *mark)
{
    size_t i;
    json_t *each;
    json_array_foreach(list, i, each)
    {
        cli_say("%s ", mark);
        cli_put(stdout, kv_bytes_str(json_string_value(each)));
        cli_say("\n");
    }
}

static bool is_over(const json_t *grant)
{
    const char *state = cli_str(grant, "state");
    return strcmp(state, kv_grant_state_word(KV_GRANT_CLOSING)) == 0 ||
           strcmp(state, kv_grant_state_word(KV_GRANT_CLOSED)) == 0;
}

/* The standing grants that the rules would end, as the agent lists them: {id, integration, …}. */
static enum kv_code ended_grants(struct cli *cli, const struct kv_ruleset *rules, json_t **out,
                                 struct kv_err *err)
{
    struct kv_api_answer grants, credentials;
    size_t i, k;
    json_t *grant, *credential;
    if (cli_call(cli, KV_CALL_GRANTS, NULL, &grants, err) != KV_OK) {
        return err->code;
    }
    if (cli_call(cli, KV_CALL_CREDENTIALS, NULL, &credentials, err) != KV_OK) {
        kv_api_answer_clear(&grants);
        return err->code;
    }
    *out = json_array();
    json_array_foreach(json_object_get(grants.body, "grants"), i, grant)
    {
        uint32_t ops = 0;
        const char *custody = "";
        (void)kv_ops_parse(kv_bytes_str(cli_str(grant, "operations")), &ops);
        json_array_foreach(json_object_get(credentials.body, "credentials"), k, credential)
        {
            if (strcmp(cli_str(credential, "id"), cli_str(grant, "credential")) == 0) {
                custody = cli_str(credential, "custody");
            }
        }
        if (!is_over(grant) && kv_ruleset_ends_grant(rules, ops, kv_bytes_str(custody))) {
            json_array_append(*out, grant);
        }
    }
    kv_api_answer_clear(&grants);
    kv_api_answer_clear(&credentials);
    return KV_OK;
}

static void put_ended(const json_t *ended)
{
    size_t i;
    json_t *grant;
    json_array_foreach(ended, i, grant)
    {
        cli_say("! ends grant %s of %s (credential %s)\n", cli_str(grant, "id"),
                cli_str(grant, "integration"), cli_str(grant, "credential"));
    }
}

static void put_diff(const struct cli *cli, const json_t *now, const json_t *then,
                     const json_t *ended)
{
    json_t *gone = only_in(now, then), *fresh = only_in(then, now);
    if (cli->json) {
        json_t *object =
            json_pack("{s:O,s:O,s:O}", "removed", gone, "added", fresh, "endsGrants", ended);
        cli_put_json(object);
        json_decref(object);
    } else if (json_array_size(gone) + json_array_size(fresh) == 0) {
        cli_say("No difference: the text decides as the active policy does.\n");
    } else {
        put_marked(gone, "-");
        put_marked(fresh, "+");
        put_ended(ended);
        cli_say("\nEverything else stays. next: `ksefvault policy propose FILE`\n");
    }
    json_decref(gone);
    json_decref(fresh);
}

static enum kv_code run_diff(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    json_t *ended;
    KV_CLEANUP(free_proposal) struct proposal *p = NULL;
    if (read_proposal(cli, &p, err) != KV_OK ||
        ended_grants(cli, &p->rules, &ended, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = cli_call(cli, KV_CALL_POLICY, NULL, &answer, err);
    if (code == KV_OK) {
        json_t *then = as_list(&p->sentences);
        const char *member = p->lang == KV_LANG_PL ? "sentences.pl" : "sentences.en";
        put_diff(cli, json_object_get(answer.body, member), then, ended);
        json_decref(then);
        kv_api_answer_clear(&answer);
    }
    json_decref(ended);
    return code;
}

static enum kv_code run_propose(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(free_proposal) struct proposal *p = NULL;
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    char hex[KV_HASH_HEX_LEN];
    json_t *ended, *grant;
    size_t at;
    if (read_proposal(cli, &p, err) != KV_OK ||
        ended_grants(cli, &p->rules, &ended, err) != KV_OK) {
        return err->code;
    }
    if (cli_request(cli, KV_ACTION_POLICY, &draft, err) != KV_OK) {
        json_decref(ended);
        return err->code;
    }
    struct kv_hash hash = kv_hash(kv_buf_bytes(&p->text));
    kv_hash_hex(&hash, hex);
    cli_draft_add(draft, KV_KEY_POLICY_SHA256, hex);
    cli_draft_add(draft, KV_KEY_LANG, kv_lang_word(p->lang));
    for (size_t i = 0; i < p->sentences.count; i++) {
        cli_draft_add_n(draft, KV_KEY_SENTENCE_N, (uint32_t)i + 1, p->sentences.text[i]);
    }
    json_array_foreach(ended, at, grant)
    {
        cli_draft_add_n(draft, KV_KEY_ENDS_GRANT_N, (uint32_t)at + 1, cli_str(grant, "id"));
    }
    json_decref(ended);
    kv_buf_add_bytes(&draft->policy, kv_buf_bytes(&p->text));
    return cli_deliver(cli, draft, err);
}

const struct cli_verb cmd_policy[] = {
    {.noun = "policy",
     .verb = "check",
     .run = run_check,
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .options = check_options,
     .summary = "Check a policy text and show its sentences; needs no agent.",
     .examples = "  ksefvault policy check policy.yaml --lang pl\n"},
    {.noun = "policy",
     .verb = "show",
     .run = run_show,
     .options = check_options,
     .summary = "The active policy: its sentences and its text.",
     .examples = "  ksefvault policy show\n"},
    {.noun = "policy",
     .verb = "diff",
     .run = run_diff,
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .options = check_options,
     .summary = "What a policy text would change: sentences that go (-) and come (+).",
     .examples = "  ksefvault policy diff policy.yaml --lang pl\n"},
    {.noun = "policy",
     .verb = "propose",
     .run = run_propose,
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .options = propose_options,
     .shared = cli_request_options,
     .summary = "Request that another policy becomes active.",
     .more = "People sign its sentences. Requests that are open lapse when it becomes active.",
     .examples = "  ksefvault policy propose policy.yaml --reason \"Shorter grants\" --as fin-01 "
                 "--key ~/.ssh/id_ed25519\n"},
    {.noun = NULL},
};
