/* key: the approval keys of persons. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/newkey.h"

static const struct cli_option enrol_options[] = {
    {"public-key", "FILE", CLI_OPTIONAL, "the new key's .pub file"},
    {"new-key", "FILE", CLI_OPTIONAL, "its private file, to prove it here and now"},
    {"key-not-after", "TIME", CLI_OPTIONAL, "end of the key, 2028-01-05T12:00:00Z"},
    {"replaces", "KEY", CLI_OPTIONAL, "the key that it replaces, ssh:SHA256:..."},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option compromised_options[] = {
    {"since", "TIME", CLI_REQUIRED, "since when others may have had it, 2026-01-07T08:00:00Z"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static enum kv_code run_enrol(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_get(cli, "public-key") == NULL && cli_get(cli, "new-key") == NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "--public-key FILE or --new-key FILE is missing");
    }
    if (cli_request(cli, KV_ACTION_KEY_ENROL, &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_operand(draft, cli, KV_KEY_PERSON);
    cli_draft_option(draft, cli, KV_KEY_REPLACES_KEY, "replaces");
    return cli_draft_new_key(cli, draft, err) == KV_OK ? cli_deliver(cli, draft, err) : err->code;
}

static enum kv_code run_retire(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    return cli_act(cli, KV_ACT_RETIRE, "key", cli_operand(cli, 0), &draft, err) == KV_OK
               ? cli_deliver(cli, draft, err)
               : err->code;
}

static enum kv_code run_compromised(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_act(cli, KV_ACT_COMPROMISED, "key", cli_operand(cli, 0), &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_option(draft, cli, KV_KEY_SINCE, "since");
    return cli_deliver(cli, draft, err);
}

const struct cli_verb cmd_key[] = {
    {.noun = "key",
     .verb = "enrol",
     .run = run_enrol,
     .operands = "PERSON",
     .operands_min = 1,
     .operands_max = 1,
     .options = enrol_options,
     .shared = cli_request_options,
     .summary = "Request a further key for a person.",
     .more = "The new key must sign the same text: with --new-key here, or elsewhere with --out.\n"
             "Two keys each, kept in two places, are recommended.",
     .examples = "  ksefvault key enrol cus-02 --new-key ~/.ssh/id_second --reason \"Second key\" "
                 "--as cus-02 --key ~/.ssh/id_ed25519\n"},
    {.noun = "key",
     .verb = "retire",
     .run = run_retire,
     .operands = "KEY",
     .operands_min = 1,
     .operands_max = 1,
     .shared = cli_act_options,
     .summary = "End a key at once; its person, a finance or a custodian signs.",
     .examples = "  ksefvault key retire ssh:SHA256:fulV... --as cus-02 --key ~/.ssh/id_ed25519\n"},
    {.noun = "key",
     .verb = "compromised",
     .run = run_compromised,
     .operands = "KEY",
     .operands_min = 1,
     .operands_max = 1,
     .options = compromised_options,
     .shared = cli_act_options,
     .summary = "Say that others had a key; what it gave since then is suspended.",
     .examples = "  ksefvault key compromised ssh:SHA256:fulV... --since 2026-01-07T08:00:00Z "
                 "--as cus-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = NULL},
};
