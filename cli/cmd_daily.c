#include "cli/cmd_daily.h"

#include "cli/sign.h"

static const struct cli_option explain_options[] = {
    {"integration", "ID", CLI_OPTIONAL, "explain whether this integration ..."},
    {"operation", "OPERATION", CLI_OPTIONAL, "... may do this ..."},
    {"context", "CONTEXT", CLI_OPTIONAL, "... in this KSeF context"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option statement_options[] = {
    {"as", "PERSON", CLI_REQUIRED, "who will sign"},
    {"key", "KEY", CLI_OPTIONAL, "the key that will sign: fingerprint or file"},
    {"deny", NULL, CLI_OPTIONAL, "the text that denies"},
    {"out", "FILE", CLI_OPTIONAL, "write it to FILE (default: standard output)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option decide_options[] = {
    {"as", "PERSON", CLI_REQUIRED, "who decides and signs"},
    {"key", "FILE", CLI_REQUIRED, "private key file, or .pub of a key in ssh-agent"},
    {"yes", NULL, CLI_OPTIONAL, "sign without asking for the confirmation code"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

const struct cli_verb cmd_daily[] = {
    {.noun = "status",
     .run = cmd_status,
     .summary = "What state the agent is in, and what to do next.",
     .more = "Exit status 0 when it serves, 5 otherwise.",
     .examples = "  ksefvault status\n  ksefvault status --json | jq -r .state\n"},
    {.noun = "explain",
     .run = cmd_explain,
     .operands = "[CODE]",
     .operands_max = 1,
     .options = explain_options,
     .summary = "Explain an error code, or whether a use is allowed and why not.",
     .examples = "  ksefvault explain policy.no-grant\n"
                 "  ksefvault explain --integration sap-fi-prod --operation session.open "
                 "--context Nip:5265877635\n"},
    {.noun = "approve",
     .run = cmd_approve,
     .operands = "REQUEST",
     .operands_min = 1,
     .operands_max = 1,
     .options = decide_options,
     .summary = "Read a request and approve it.",
     .more = "Shows the whole text, the reason and the confirmation code, then signs with "
             "ssh-keygen.\nCompare the code with the requester by phone.",
     .examples = "  ksefvault approve 01KEBQGH006J9ATSEGBABKZVWC --as fin-01 --key "
                 "~/.ssh/id_ed25519\n"},
    {.noun = "deny",
     .run = cmd_deny,
     .operands = "REQUEST",
     .operands_min = 1,
     .operands_max = 1,
     .options = decide_options,
     .summary = "Read a request and deny it; one denial ends it.",
     .examples = "  ksefvault deny 01KEBQGH006J9ATSEGBABKZVWC --as cus-01 --key "
                 "~/.ssh/id_ed25519\n"},
    {.noun = "statement",
     .run = cmd_statement,
     .operands = "REQUEST",
     .operands_min = 1,
     .operands_max = 1,
     .options = statement_options,
     .summary = "The exact text to sign, for signing on another machine.",
     .examples = "  ksefvault statement 01KEBQGH006J9ATSEGBABKZVWC --as fin-01 --key "
                 "ssh:SHA256:fulV... --out grant.txt\n"},
    {.noun = "submit",
     .run = cmd_submit,
     .operands = "FILE...|-",
     .operands_min = 1,
     .operands_max = CLI_VALUES_MAX,
     .summary = "Hand in signed texts, from any account.",
     .more = "Each FILE has its signature beside it as FILE.sig, or both are joined in one file.\n"
             "FILE.private.json, FILE.policy and FILE.new-key.sig travel along if they are there.\n"
             "A text with a reason or name is refused without its FILE.private.json.",
     .examples =
         "  ksefvault submit grant.txt\n  cat grant.txt grant.txt.sig | ksefvault submit -\n"},
    {.noun = NULL},
};
