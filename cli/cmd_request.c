/* request: what was proposed and what it waits for. */
#include "cli/cmd.h"

#include "cli/confirm.h"
#include "cli/draft.h"
#include "cli/out.h"
#include "cli/reason.h"

static const struct cli_option list_options[] = {
    {"state", "STATE", CLI_OPTIONAL, "only these: open, approved, done, denied, withdrawn, lapsed"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"REQUEST", "id"},
                                                {"ACTION", "action"},
                                                {"STATE", "state"},
                                                {"REQUESTER", "requester"},
                                                {"MISSING", "missing"},
                                                {"UNTIL", "collectUntil"},
                                                {NULL, NULL}};
    const char *state = cli_get(cli, "state");
    struct kv_api_answer answer;
    size_t i;
    json_t *row;
    json_t *args = state == NULL ? NULL : json_pack("{s:s}", "state", state);
    if (cli_call(cli, KV_CALL_REQUESTS, args, &answer, err) != KV_OK) {
        return err->code;
    }
    json_t *rows = json_object_get(answer.body, "requests");
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        json_array_foreach(rows, i, row)
        {
            KV_CLEANUP(kv_freep) char *who = cli_missing_text(json_object_get(row, "missing"));
            json_object_set_new(row, "missing", json_string(who));
        }
        cli_put_table(rows, columns, "No requests.");
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static enum kv_code put_request(const json_t *answer, struct kv_err *err)
{
    static const struct cli_column decisions[] = {
        {"PERSON", "person"}, {"ROLE", "role"},   {"DECISION", "decision"},
        {"COUNTS", "counts"}, {"AT", "recorded"}, {"RECORD", "record"},
        {NULL, NULL}};
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    char code[KV_CONFIRMATION_LEN];
    if (kv_statement_parse(kv_bytes_str(cli_str(answer, "text")), &st, NULL, err) != KV_OK) {
        return err->code;
    }
    cli_put(stdout, kv_statement_text(st));
    cli_say("\n");
    if (cli_put_reason(stdout, st, answer, err) != KV_OK) {
        return err->code;
    }
    cli_confirmation(st, code);
    cli_say("confirmation code: %s\n", code);
    cli_put_member("state", answer, "state");
    cli_put_member("record", answer, "record");
    cli_put_member("approvals are taken until", answer, "collectUntil");
    cli_put_table(json_object_get(answer, "decisions"), decisions, "Nobody has decided yet.");
    if (json_array_size(json_object_get(answer, "missing")) > 0) {
        KV_CLEANUP(kv_freep) char *who = cli_missing_text(json_object_get(answer, "missing"));
        cli_say("missing: %s\nnext: ksefvault approve %s --as PERSON --key FILE\n", who,
                cli_str(answer, "id"));
    }
    return KV_OK;
}

static enum kv_code run_show(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    json_t *args = json_pack("{s:s}", "id", cli_operand(cli, 0));
    if (cli_call(cli, KV_CALL_REQUEST, args, &answer, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = KV_OK;
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        code = put_request(answer.body, err);
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
