/* person: who may request and approve. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/list.h"
#include "cli/newkey.h"

static const struct cli_option enrol_options[] = {
    {"duty", "DUTY", CLI_REQUIRED, "finance, custodian, auditor, external-auditor, or -"},
    {"public-key", "FILE", CLI_OPTIONAL, "the person's .pub file (an external auditor has none)"},
    {"new-key", "FILE", CLI_OPTIONAL, "the same key's private file, to prove it here and now"},
    {"key-not-after", "TIME", CLI_OPTIONAL, "end of the key, 2028-01-05T12:00:00Z"},
    {"organisation", "ID", CLI_OPTIONAL, "own (default) or an outside company"},
    {"contract-end", "TIME", CLI_OPTIONAL, "end of an outside person's contract"},
    {"business-duties", "LIST", CLI_MANY, "what else the person does, for conflicts of duties"},
    {"uid", "NUMBER", CLI_OPTIONAL, "local account that may read the ledger"},
    {"name", "TEXT", CLI_OPTIONAL, "the person's name; kept beside the ledger"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option change_options[] = {
    {"duty-from", "DUTY", CLI_REQUIRED, "the duty now"},
    {"duty-to", "DUTY", CLI_REQUIRED, "the duty after it; - for none"},
    {"organisation", "ID", CLI_OPTIONAL, "own (default) or an outside company"},
    {"contract-end", "TIME", CLI_OPTIONAL, "end of an outside person's contract"},
    {"business-duties", "LIST", CLI_MANY, "what else the person does, for conflicts of duties"},
    {"uid", "NUMBER", CLI_OPTIONAL, "local account that may read the ledger"},
    {"name", "TEXT", CLI_OPTIONAL, "the person's name; kept beside the ledger"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option leave_options[] = {
    {"left-on", "DATE", CLI_REQUIRED, "the day, 2026-03-31"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option quorum_options[] = {
    {"requester", "PERSON", CLI_OPTIONAL, "as if this person asked"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

/* The lines that enrolling and changing share. */
static void add_person(struct cli_draft *draft, const struct cli *cli)
{
    const char *organisation = cli_get(cli, "organisation");
    cli_draft_add(draft, KV_KEY_PERSON, cli_operand(cli, 0));
    cli_draft_add(draft, KV_KEY_ORGANISATION, organisation == NULL ? "own" : organisation);
    cli_draft_option(draft, cli, KV_KEY_CONTRACT_END, "contract-end");
    cli_draft_list(draft, cli, KV_KEY_BUSINESS_DUTIES, "business-duties");
    cli_draft_option(draft, cli, KV_KEY_UID, "uid");
    cli_draft_commit(draft, cli, KV_KEY_NAME_COMMITMENT, "name", "name");
}

static enum kv_code run_enrol(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_request(cli, KV_ACTION_PERSON_ENROL, &draft, err) != KV_OK) {
        return err->code;
    }
    add_person(draft, cli);
    cli_draft_option(draft, cli, KV_KEY_DUTY, "duty");
    return cli_draft_new_key(cli, draft, err) == KV_OK ? cli_deliver(cli, draft, err) : err->code;
}

static enum kv_code run_change(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_request(cli, KV_ACTION_PERSON_CHANGE, &draft, err) != KV_OK) {
        return err->code;
    }
    add_person(draft, cli);
    cli_draft_option(draft, cli, KV_KEY_DUTY_FROM, "duty-from");
    cli_draft_option(draft, cli, KV_KEY_DUTY_TO, "duty-to");
    return cli_deliver(cli, draft, err);
}

static enum kv_code run_leave(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_act(cli, KV_ACT_LEAVE, "person", cli_operand(cli, 0), &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_option(draft, cli, KV_KEY_LEFT_ON, "left-on");
    return cli_deliver(cli, draft, err);
}

static enum kv_code run_quorum(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"ACTION", "action"},
                                                {"FINANCE", "finance"},
                                                {"CUSTODIAN", "custodian"},
                                                {"POSSIBLE", "possible"},
                                                {"NEEDED BY EVERYTHING", "indispensable"},
                                                {NULL, NULL}};
    const char *requester = cli_get(cli, "requester");
    json_t *args = requester == NULL ? NULL : json_pack("{s:s}", "requester", requester);
    return cli_list(cli, KV_CALL_QUORUM, args, "actions", columns, "no actions", err);
}

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {
        {"PERSON", "id"}, {"DUTY", "duty"}, {"STATE", "state"}, {"ORGANISATION", "organisation"},
        {"UID", "uid"},   {"KEYS", "keys"}, {NULL, NULL}};
    return cli_list(cli, KV_CALL_PERSONS, NULL, "persons", columns, "no persons", err);
}

const struct cli_verb cmd_person[] = {
    {.noun = "person",
     .verb = "enrol",
     .run = run_enrol,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = enrol_options,
     .shared = cli_request_options,
     .summary = "Request that a person with a key and a duty is enrolled.",
     .more = "The new key must sign the same text: with --new-key here, or elsewhere with --out.\n"
             "Pseudonymous ids are recommended: ids stay in the ledger for ever.",
     .examples = "  ksefvault person enrol fin-03 --duty finance --public-key fin-03.pub --reason "
                 "\"New in accounting\" \\\n      --as cus-01 --key ~/.ssh/id_ed25519 --out "
                 "enrol.txt\n"},
    {.noun = "person",
     .verb = "change",
     .run = run_change,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = change_options,
     .shared = cli_request_options,
     .summary = "Request another duty or other facts of a person.",
     .examples = "  ksefvault person change fin-03 --duty-from finance --duty-to - --reason "
                 "\"Moved to sales\" --as fin-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "person",
     .verb = "leave",
     .run = run_leave,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = leave_options,
     .shared = cli_act_options,
     .summary = "Take a person out at once; one finance or custodian signs.",
     .examples = "  ksefvault person leave fin-03 --left-on 2026-03-31 --as cus-01 --key "
                 "~/.ssh/id_ed25519\n"},
    {.noun = "person",
     .verb = "quorum",
     .run = run_quorum,
     .options = quorum_options,
     .summary = "Who can approve what, also with any one person away.",
     .examples = "  ksefvault person quorum --requester cus-01\n"},
    {.noun = "person",
     .verb = "list",
     .run = run_list,
     .summary = "The persons, their duties and keys.",
     .examples = "  ksefvault person list\n"},
    {.noun = NULL},
};
