/* credential: keys and tokens by which KSeF knows the company, kept in slots. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/list.h"

static const struct cli_option generate_options[] = {
    {"kind", "KIND", CLI_REQUIRED, "auth-certificate or offline-certificate"},
    {"key-type", "TYPE", CLI_REQUIRED, "ec-p256 or rsa-2048"},
    {"slot", "ID", CLI_REQUIRED, "where the key is made; it never leaves it"},
    {"environment", "ENV", CLI_REQUIRED, "test, demo or prod"},
    {"context", "CONTEXT", CLI_MANY, "KSeF context it may be used in, Nip:5265877635"},
    {"business-owner", "PERSON", CLI_REQUIRED, "who owns it: finance"},
    {"custodian", "PERSON", CLI_REQUIRED, "who keeps it running: a custodian"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option self_sign_options[] = {
    {"subject", "KIND", CLI_REQUIRED, "seal (a company) or person"},
    {"nip", "NIP", CLI_REQUIRED, "NIP of the subject"},
    {"common-name", "TEXT", CLI_REQUIRED, "name shown in the certificate"},
    {"organization", "TEXT", CLI_OPTIONAL, "seal: the company's name"},
    {"given-name", "TEXT", CLI_OPTIONAL, "person"},
    {"surname", "TEXT", CLI_OPTIONAL, "person"},
    {"days", "N", CLI_OPTIONAL, "validity, 1 to 730 (default: 730)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static enum kv_code run_generate(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_get(cli, "context") == NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "--context CONTEXT is missing, e.g. Nip:5265877635");
    }
    if (cli_request(cli, KV_ACTION_CREDENTIAL_CREATE, &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_add(draft, KV_KEY_CREDENTIAL, cli_operand(cli, 0));
    cli_draft_option(draft, cli, KV_KEY_KIND, "kind");
    cli_draft_option(draft, cli, KV_KEY_KEY_TYPE, "key-type");
    cli_draft_option(draft, cli, KV_KEY_SLOT, "slot");
    cli_draft_option(draft, cli, KV_KEY_ENVIRONMENT, "environment");
    cli_draft_list(draft, cli, KV_KEY_CONTEXTS, "context");
    cli_draft_option(draft, cli, KV_KEY_BUSINESS_OWNER, "business-owner");
    cli_draft_option(draft, cli, KV_KEY_TECHNICAL_CUSTODIAN, "custodian");
    return cli_deliver(cli, draft, err);
}

static enum kv_code run_self_sign(struct cli *cli, struct kv_err *err)
{
    static const struct {
        const char *option, *argument;
    } texts[] = {{"subject", "subject"},        {"nip", "nip"},
                 {"common-name", "commonName"}, {"organization", "organization"},
                 {"given-name", "givenName"},   {"surname", "surname"}};
    struct kv_api_answer answer;
    uint64_t days;
    if (cli_number(cli, "days", 1, 730, 730, &days, err) != KV_OK) {
        return err->code;
    }
    json_t *args = json_pack("{s:s,s:I}", "id", cli_operand(cli, 0), "days", (json_int_t)days);
    for (size_t i = 0; i < KV_COUNT(texts); i++) {
        const char *value = cli_get(cli, texts[i].option);
        if (value != NULL &&
            json_object_set_new(args, texts[i].argument, json_string(value)) != 0) {
            json_decref(args);
            return KV_REFUSE(err, KV_E_INPUT_UTF8, "--%s is not valid UTF-8", texts[i].option);
        }
    }
    if (cli_call(cli, KV_CALL_SELF_SIGN, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        cli_put_outcome(answer.body);
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"CREDENTIAL", "id"},
                                                {"KIND", "kind"},
                                                {"STATE", "state"},
                                                {"SLOT", "slot"},
                                                {"CUSTODY", "custody"},
                                                {"ENVIRONMENT", "environment"},
                                                {"CONTEXTS", "contexts"},
                                                {"OWNER", "businessOwner"},
                                                {"CUSTODIAN", "technicalCustodian"},
                                                {"UNTIL", "to"},
                                                {NULL, NULL}};
    return cli_list(cli, KV_CALL_CREDENTIALS, NULL, "credentials", columns,
                    "No credentials yet. next: `ksefvault credential generate --help`", err);
}

const struct cli_verb cmd_credential[] = {
    {.noun = "credential",
     .verb = "generate",
     .run = run_generate,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = generate_options,
     .shared = cli_request_options,
     .summary = "Request a KSeF credential whose key is made in a slot.",
     .examples =
         "  ksefvault credential generate ksef-auth-2026a --kind auth-certificate --key-type "
         "ec-p256 --slot main \\\n      --environment test --context Nip:5265877635 "
         "--business-owner fin-01 --custodian cus-01 \\\n      --reason \"First KSeF "
         "certificate\" --as cus-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "credential",
     .verb = "self-sign",
     .run = run_self_sign,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = self_sign_options,
     .summary = "Give a credential a certificate by its own key (KSeF TEST only; root).",
     .examples = "  ksefvault credential self-sign ksef-auth --subject seal --nip 5265877635 "
                 "--common-name \"Demo sp. z o.o.\" --organization \"Demo sp. z o.o.\"\n"},
    {.noun = "credential",
     .verb = "list",
     .run = run_list,
     .summary = "The credentials, where they live, who owns them.",
     .examples = "  ksefvault credential list\n"},
    {.noun = NULL},
};
