/* policy: the limits that people agreed on, as sentences. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/file.h"
#include "cli/out.h"
#include "policy/ruleset.h"

#include <stdlib.h>

static const struct cli_option check_options[] = {
    {"lang", "en|pl", CLI_OPTIONAL, "language of the sentences (default: en)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option propose_options[] = {
    {"lang", "en|pl", CLI_OPTIONAL, "language of the sentences that people sign (default: en)"},
    {"ends-grant", "GRANT", CLI_MANY, "a standing grant that the policy would end"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static enum kv_code read_lang(const struct cli *cli, enum kv_lang *out, struct kv_err *err)
{
    const char *word = cli_get(cli, "lang");
    *out = KV_LANG_EN;
    if (word != NULL && !kv_lang_parse(kv_bytes_str(word), out)) {
        return KV_REFUSE(err, KV_E_USAGE, "--lang is en or pl, not '%.16s'", word);
    }
    return KV_OK;
}

/* The text, valid, and its sentences (owned by the caller). */
static enum kv_code read_policy(const struct cli *cli, struct kv_buf *text, enum kv_lang *lang,
                                struct kv_sentences **out, struct kv_err *err)
{
    struct kv_ruleset rules;
    const char *path = cli_operand(cli, 0);
    if (read_lang(cli, lang, err) != KV_OK || cli_file_read(path, text, err) != KV_OK) {
        return err->code;
    }
    if (kv_ruleset_parse(kv_buf_bytes(text), &rules, err) != KV_OK) {
        return kv_wrap(err, "%.80s", path);
    }
    struct kv_sentences *sentences = calloc(1, sizeof *sentences);
    if (sentences == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "the sentences");
    }
    kv_ruleset_sentences(&rules, *lang, sentences);
    *out = sentences;
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

static void put_sentences(const struct cli *cli, const struct kv_buf *text,
                          const struct kv_sentences *sentences)
{
    char hex[KV_HASH_HEX_LEN];
    struct kv_hash hash = kv_hash(kv_buf_bytes(text));
    kv_hash_hex(&hash, hex);
    if (!cli->json) {
        for (size_t i = 0; i < sentences->count; i++) {
            cli_say("%zu. %s\n", i + 1, sentences->text[i]);
        }
        cli_say("\nThe text is valid. SHA-256: %s\nnext: `ksefvault policy propose FILE` asks "
                "finance and a custodian to sign these sentences.\n",
                hex);
        return;
    }
    json_t *object = json_pack("{s:s,s:o}", "policy", hex, "sentences", as_list(sentences));
    cli_put_json(object);
    json_decref(object);
}

static enum kv_code run_check(struct cli *cli, struct kv_err *err)
{
    struct kv_buf text;
    enum kv_lang lang;
    KV_CLEANUP(kv_freep) struct kv_sentences *sentences = NULL;
    kv_buf_init(&text, KV_RULESET_BYTES_MAX);
    enum kv_code code = read_policy(cli, &text, &lang, &sentences, err);
    if (code == KV_OK) {
        put_sentences(cli, &text, sentences);
    }
    kv_buf_clear(&text);
    return code;
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

static void put_diff(const struct cli *cli, const json_t *now, const json_t *then)
{
    json_t *gone = only_in(now, then), *fresh = only_in(then, now);
    if (cli->json) {
        json_t *object = json_pack("{s:O,s:O}", "removed", gone, "added", fresh);
        cli_put_json(object);
        json_decref(object);
    } else if (json_array_size(gone) + json_array_size(fresh) == 0) {
        cli_say("No difference: the text decides as the active policy does.\n");
    } else {
        put_marked(gone, "-");
        put_marked(fresh, "+");
        cli_say("\nEverything else stays. next: `ksefvault policy propose FILE`\n");
    }
    json_decref(gone);
    json_decref(fresh);
}

static enum kv_code run_diff(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    struct kv_buf text;
    enum kv_lang lang;
    KV_CLEANUP(kv_freep) struct kv_sentences *sentences = NULL;
    kv_buf_init(&text, KV_RULESET_BYTES_MAX);
    enum kv_code code = read_policy(cli, &text, &lang, &sentences, err);
    kv_buf_clear(&text);
    if (code != KV_OK || cli_call(cli, KV_CALL_POLICY, NULL, &answer, err) != KV_OK) {
        return err->code;
    }
    json_t *then = as_list(sentences);
    put_diff(cli,
             json_object_get(answer.body, lang == KV_LANG_PL ? "sentences.pl" : "sentences.en"),
             then);
    json_decref(then);
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static enum kv_code propose(struct cli *cli, const struct kv_buf *text, enum kv_lang lang,
                            const struct kv_sentences *sentences, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    char hex[KV_HASH_HEX_LEN];
    const char *grant;
    struct kv_hash hash = kv_hash(kv_buf_bytes(text));
    kv_hash_hex(&hash, hex);
    if (cli_request(cli, KV_ACTION_POLICY, &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_add(draft, KV_KEY_POLICY_SHA256, hex);
    cli_draft_add(draft, KV_KEY_LANG, kv_lang_word(lang));
    for (size_t i = 0; i < sentences->count; i++) {
        cli_draft_add_n(draft, KV_KEY_SENTENCE_N, (uint32_t)i + 1, sentences->text[i]);
    }
    for (size_t i = 0; (grant = cli_get_n(cli, "ends-grant", i)) != NULL; i++) {
        cli_draft_add_n(draft, KV_KEY_ENDS_GRANT_N, (uint32_t)i + 1, grant);
    }
    kv_buf_add_bytes(&draft->policy, kv_buf_bytes(text));
    return cli_deliver(cli, draft, err);
}

static enum kv_code run_propose(struct cli *cli, struct kv_err *err)
{
    struct kv_buf text;
    enum kv_lang lang;
    KV_CLEANUP(kv_freep) struct kv_sentences *sentences = NULL;
    kv_buf_init(&text, 16384); /* of the call */
    enum kv_code code = read_policy(cli, &text, &lang, &sentences, err);
    if (code == KV_OK) {
        code = propose(cli, &text, lang, sentences, err);
    }
    kv_buf_clear(&text);
    return code;
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
