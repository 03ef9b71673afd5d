/* request: what was proposed and what it waits for. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/list.h"
#include "cli/reason.h"

static const struct cli_option list_options[] = {
    {"state", "STATE", CLI_OPTIONAL, "only these: open, approved, done, denied, withdrawn, lapsed"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"REQUEST", "id"},          {"ACTION", "action"},
                                                {"ABOUT", "subject"},       {"STATE", "state"},
                                                {"REQUESTER", "requester"}, {"MISSING", "missing"},
                                                {"UNTIL", "until"},         {NULL, NULL}};
    const char *state = cli_get(cli, "state");
    json_t *args = state == NULL ? NULL : json_pack("{s:s}", "state", state);
    return cli_list(cli, KV_CALL_REQUESTS, args, "requests", columns, "No requests.", err);
}

static enum kv_code run_show(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    const char *key;
    json_t *value;
    json_t *args = json_pack("{s:s}", "id", cli_operand(cli, 0));
    if (cli_call(cli, KV_CALL_REQUEST, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
        kv_api_answer_clear(&answer);
        return KV_OK;
    }
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    enum kv_code code =
        kv_statement_parse(kv_bytes_str(cli_str(answer.body, "text")), &st, NULL, err);
    if (code == KV_OK) {
        char confirmation[KV_CONFIRMATION_LEN];
        struct kv_hash hash = kv_statement_sha256(st);
        cli_put(stdout, kv_statement_text(st));
        cli_say("\n");
        kv_confirmation_code(&hash, confirmation);
        code = cli_put_reasons(stdout, st, answer.body, err);
        cli_say("confirmation code: %s\n", confirmation);
    }
    if (code == KV_OK) {
        json_object_foreach(answer.body, key, value)
        {
            if (strcmp(key, "text") != 0 && strcmp(key, "private") != 0 &&
                strcmp(key, "confirmation") != 0) {
                cli_put_member(key, answer.body, key);
            }
        }
    }
    kv_api_answer_clear(&answer);
    return code;
}

static enum kv_code run_withdraw(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    return cli_act(cli, KV_ACT_WITHDRAW, "request", cli_operand(cli, 0), &draft, err) == KV_OK
               ? cli_deliver(cli, draft, err)
               : err->code;
}

const struct cli_verb cmd_request[] = {
    {.noun = "request",
     .verb = "list",
     .run = run_list,
     .options = list_options,
     .summary = "The requests, what they wait for and until when.",
     .examples = "  ksefvault request list --state open\n"},
    {.noun = "request",
     .verb = "show",
     .run = run_show,
     .operands = "REQUEST",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "One request: its whole text, who decided, who is missing.",
     .examples = "  ksefvault request show 01KEBQGH006J9ATSEGBABKZVWC\n"},
    {.noun = "request",
     .verb = "withdraw",
     .run = run_withdraw,
     .operands = "REQUEST",
     .operands_min = 1,
     .operands_max = 1,
     .shared = cli_act_options,
     .summary = "Take back an own request.",
     .examples = "  ksefvault request withdraw 01KEBQGH006J9ATSEGBABKZVWC --as fin-02 --key "
                 "~/.ssh/id_ed25519\n"},
    {.noun = NULL},
};
