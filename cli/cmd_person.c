/* person: who may request and approve. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/newkey.h"
#include "cli/out.h"

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
    cli_draft_operand(draft, cli, KV_KEY_PERSON);
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

static void put_quorum(const json_t *answer)
{
    static const struct cli_column needed[] = {
        {"ACTION", "action"}, {"FINANCE", "finance"}, {"CUSTODIANS", "custodian"}, {NULL, NULL}};
    static const struct cli_column away[] = {
        {"AWAY", "away"}, {"FINANCE", "finance"}, {"CUSTODIANS", "custodian"}, {NULL, NULL}};
    cli_say("Signatures that an action needs:\n");
    cli_put_table(json_object_get(answer, "needed"), needed, "none");
    cli_say("\nWho can give them now:\n");
    cli_put_member("finance", answer, "available.finance");
    cli_put_member("custodians", answer, "available.custodian");
    cli_say("\nWho remains if one is away (- is nobody: then nothing can be approved):\n");
    cli_put_table(json_object_get(answer, "withOneAway"), away, "nobody decides");
}

static enum kv_code run_quorum(struct cli *cli, struct kv_err *err)
{
    const char *requester = cli_get(cli, "requester");
    struct kv_api_answer answer;
    json_t *args = requester == NULL ? NULL : json_pack("{s:s}", "requester", requester);
    if (cli_call(cli, KV_CALL_QUORUM, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        put_quorum(answer.body);
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

/* One row for each key; a person without keys has one too. */
static json_t *rows_of(const json_t *persons)
{
    json_t *rows = json_array();
    size_t i;
    size_t k;
    json_t *person;
    json_t *key;
    json_array_foreach(persons, i, person)
    {
        json_array_foreach(json_object_get(person, "keys"), k, key)
        {
            json_t *row = json_copy(person);
            json_object_set(row, "key", key);
            json_array_append_new(rows, row);
        }
        if (k == 0) {
            json_array_append(rows, person);
        }
    }
    return rows;
}

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {
        {"PERSON", "id"},   {"DUTY", "duty"},       {"ENABLED", "enabled"},
        {"KEY", "key.key"}, {"STATE", "key.state"}, {"UNTIL", "key.until"},
        {NULL, NULL}};
    struct kv_api_answer answer;
    if (cli_call(cli, KV_CALL_PERSONS, NULL, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        json_t *rows = rows_of(json_object_get(answer.body, "persons"));
        cli_put_table(rows, columns, "No persons.");
        json_decref(rows);
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
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
