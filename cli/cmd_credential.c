/* credential: keys and tokens by which KSeF knows the company, kept in slots. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/list.h"
#include "core/seal.h"
#include "pkcs11/pin.h"

#include <unistd.h>

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

static const struct cli_option import_options[] = {
    {"slot", "ID", CLI_REQUIRED, "the slot under whose key it is wrapped"},
    {"environment", "ENV", CLI_REQUIRED, "test, demo or prod"},
    {"context", "CONTEXT", CLI_REQUIRED, "the token's context, Nip:5265877635"},
    {"business-owner", "PERSON", CLI_REQUIRED, "who owns it: finance"},
    {"custodian", "PERSON", CLI_REQUIRED, "who keeps it running: a custodian"},
    {"ksef-ref", "REFERENCE", CLI_OPTIONAL,
     "only this token: its reference number, the part before the first |"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option token_options[] = {
    {"token-fd", "N", CLI_OPTIONAL,
     "read the token from this descriptor (default: ask at the terminal)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

/* Two approve which token comes in, where to, and for what. */
static enum kv_code run_import(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_request(cli, KV_ACTION_CREDENTIAL_IMPORT, &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_operand(draft, cli, KV_KEY_CREDENTIAL);
    cli_draft_add(draft, KV_KEY_KIND, "token");
    cli_draft_add(draft, KV_KEY_KEY_TYPE, NULL);
    cli_draft_option(draft, cli, KV_KEY_SLOT, "slot");
    cli_draft_option(draft, cli, KV_KEY_ENVIRONMENT, "environment");
    cli_draft_option(draft, cli, KV_KEY_CONTEXTS, "context");
    cli_draft_option(draft, cli, KV_KEY_BUSINESS_OWNER, "business-owner");
    cli_draft_option(draft, cli, KV_KEY_TECHNICAL_CUSTODIAN, "custodian");
    cli_draft_option(draft, cli, KV_KEY_KSEF_REF, "ksef-ref");
    cli_draft_add(draft, KV_KEY_PUBLIC_KEY_SHA256, NULL);
    return cli_deliver(cli, draft, err);
}

static enum kv_code read_token(struct cli *cli, struct kv_secret **out, struct kv_err *err)
{
    uint64_t fd;
    if (cli_get(cli, "token-fd") == NULL) {
        return kv_pin_read_terminal("KSeF token: ", out, err) == KV_OK
                   ? KV_OK
                   : KV_REFUSE(err, KV_E_USAGE,
                               "no token was typed; give it by --token-fd N N<FILE, or at a "
                               "terminal");
    }
    if (cli_number(cli, "token-fd", 0, 1023, 0, &fd, err) != KV_OK) {
        return err->code;
    }
    return kv_pin_read_fd((int)fd, out, err) == KV_OK
               ? KV_OK
               : KV_REFUSE(err, KV_E_INPUT_VALUE, "descriptor %d holds no KSeF token", (int)fd);
}

/* Seal the token to the keeper's own key, so that nobody on the way can read it. */
static enum kv_code seal(struct cli *cli, const struct kv_secret *token, json_t **args,
                         struct kv_err *err)
{
    struct kv_api_answer answer;
    struct kv_buf purpose, sealed, text;
    uint8_t point[KV_SEAL_POINT_LEN];
    size_t len = 0;
    if (cli_call(cli, KV_CALL_IMPORT_POINT, json_pack("{s:s}", "id", cli_operand(cli, 0)), &answer,
                 err) != KV_OK) {
        return err->code;
    }
    const char *vault = json_string_value(json_object_get(answer.body, "vault"));
    const char *base64 = json_string_value(json_object_get(answer.body, "point"));
    enum kv_code code = KV_OK;
    kv_buf_init(&purpose, 512);
    kv_buf_init(&sealed, 512);
    kv_buf_init(&text, 512);
    if (vault == NULL || base64 == NULL ||
        !kv_base64_decode(kv_bytes_str(base64), point, sizeof point, &len)) {
        code = KV_REFUSE(err, KV_E_PROTOCOL, "the agent's answer is not understood");
    } else {
        kv_seal_import_purpose(vault, kv_bytes_str(cli_operand(cli, 0)), &purpose);
        code = kv_seal(kv_bytes(point, len), kv_buf_bytes(&purpose), kv_secret_bytes(token),
                       &sealed, err);
    }
    if (code == KV_OK) {
        kv_buf_add_base64(&text, kv_buf_bytes(&sealed));
        *args = json_pack("{s:s,s:s,s:s}", "id", cli_operand(cli, 0), "point", base64, "sealed",
                          kv_buf_str(&text));
    }
    kv_buf_clear(&purpose);
    kv_buf_clear(&sealed);
    kv_buf_clear(&text);
    kv_api_answer_clear(&answer);
    return code;
}

static enum kv_code run_import_token(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *token = NULL;
    struct kv_api_answer answer;
    json_t *args = NULL;
    if (kv_secret_heap_init(err) != KV_OK || kv_secret_harden_process(err) != KV_OK ||
        read_token(cli, &token, err) != KV_OK || seal(cli, token, &args, err) != KV_OK ||
        cli_call(cli, KV_CALL_IMPORT, args, &answer, err) != KV_OK) {
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

static enum kv_code run_generate(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_get(cli, "context") == NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "--context CONTEXT is missing, e.g. Nip:5265877635");
    }
    if (cli_request(cli, KV_ACTION_CREDENTIAL_CREATE, &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_operand(draft, cli, KV_KEY_CREDENTIAL);
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
     .verb = "import",
     .run = run_import,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = import_options,
     .shared = cli_request_options,
     .summary = "Request that a KSeF token is brought into a slot.",
     .more = "Finance and a custodian approve; then root hands the token in by `ksefvault "
             "credential import-token ID`. A token was outside before, and stays marked as "
             "imported; KSeF takes tokens until 31 December 2026 only.",
     .examples =
         "  ksefvault credential import ksef-token-1 --slot main --environment prod --context "
         "Nip:5265877635 \\\n      --ksef-ref 20251010-EC-1DCE3E3000-12ECB5B36E-45 "
         "--business-owner fin-01 --custodian cus-01 \\\n      --reason \"Token of the old ERP\" "
         "--as cus-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "credential",
     .verb = "import-token",
     .run = run_import_token,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = token_options,
     .summary = "Hand in the token of an approved import (root).",
     .more = "Typed at the terminal or read from a descriptor, never an argument. It is sealed to "
             "the slot before it leaves this program, wrapped under a key that never leaves the "
             "slot, and tried once at KSeF; only then the credential is active.",
     .examples = "  ksefvault credential import-token ksef-token-1\n"
                 "  ksefvault credential import-token ksef-token-1 --token-fd 3 3</root/token\n"},
    {.noun = "credential",
     .verb = "list",
     .run = run_list,
     .summary = "The credentials, where they live, who owns them.",
     .examples = "  ksefvault credential list\n"},
    {.noun = NULL},
};
