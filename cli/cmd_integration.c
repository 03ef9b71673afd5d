/* integration: programs that may be given grants. Registering gives them nothing. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/file.h"
#include "cli/list.h"
#include "core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define OPTIONS_TERMS                                                                              \
    {"purpose", "TEXT", CLI_OPTIONAL, "what it does, in one line"},                                \
        {"business-owner", "PERSON", CLI_OPTIONAL, "who owns it: finance"},                        \
        {"custodian", "PERSON", CLI_OPTIONAL, "who keeps it running: a custodian"},                \
        {"organisation", "ID", CLI_OPTIONAL, "own (default) or the outside company that runs it"}, \
        {"contract-end", "TIME", CLI_OPTIONAL, "end of that company's contract"},                  \
        {"context", "CONTEXT", CLI_MANY, "KSeF context it may ever be granted"},                   \
        {"operation", "OPERATION", CLI_MANY, "operation it may ever be granted"},                  \
        {"uid", "NUMBER", CLI_OPTIONAL, "its local account"},                                      \
        {"gid", "NUMBER", CLI_OPTIONAL, "its group, if that must match too"},                      \
        {"unit", "UNIT", CLI_OPTIONAL, "its systemd unit"},                                        \
        {"exe", "PATH", CLI_OPTIONAL, "its executable"},                                           \
    {                                                                                              \
        "exe-sha256", "HEX", CLI_OPTIONAL, "SHA-256 of the executable; a change suspends it"       \
    }

static const struct cli_option register_options[] = {
    OPTIONS_TERMS,
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option change_options[] = {
    OPTIONS_TERMS,
    {"next-exe", "FILE", CLI_OPTIONAL, "take --exe-sha256 from this file"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option suspend_options[] = {
    {"operation", "OPERATION", CLI_MANY, "only this operation (default: all)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

/* The terms of an integration: option, line, and the member of the agent's list. */
static const struct term {
    const char *option;
    enum kv_key key;
    const char *member;
    bool list, required;
} terms[] = {
    {"purpose", KV_KEY_PURPOSE, "purpose", false, true},
    {"business-owner", KV_KEY_BUSINESS_OWNER, "businessOwner", false, true},
    {"custodian", KV_KEY_TECHNICAL_CUSTODIAN, "technicalCustodian", false, true},
    {"organisation", KV_KEY_ORGANISATION, "organisation", false, false},
    {"contract-end", KV_KEY_CONTRACT_END, "contractEnd", false, false},
    {"context", KV_KEY_CONTEXTS, "contexts", true, true},
    {"operation", KV_KEY_OPERATIONS, "operations", true, true},
    {"uid", KV_KEY_UID, "uid", false, true},
    {"gid", KV_KEY_GID, "gid", false, false},
    {"unit", KV_KEY_UNIT, "unit", false, false},
    {"exe", KV_KEY_EXE, "exe", false, false},
    {"exe-sha256", KV_KEY_EXE_SHA256, "exeSha256", false, false},
};

/* A value of the list as a line has it: arrays joined by commas without spaces. */
static char *line_of(const json_t *value)
{
    struct kv_buf buf;
    size_t i;
    json_t *element;
    kv_buf_init(&buf, KV_STATEMENT_LINE_MAX);
    if (json_is_integer(value)) {
        kv_buf_add_format(&buf, "%lld", (long long)json_integer_value(value));
    } else if (json_is_string(value)) {
        kv_buf_add_str(&buf, json_string_value(value));
    }
    json_array_foreach(value, i, element)
    {
        kv_buf_add_format(&buf, "%s%s", i == 0 ? "" : ",",
                          json_is_string(element) ? json_string_value(element) : "");
    }
    char *out = strdup(buf.len == 0 ? "-" : kv_buf_str(&buf));
    kv_buf_clear(&buf);
    if (out == NULL) {
        abort();
    }
    return out;
}

/* Each term from its option, else as it is `now` (NULL: nothing is). */
static enum kv_code add_terms(struct cli_draft *draft, const struct cli *cli, const json_t *now,
                              const char *exe_sha256, struct kv_err *err)
{
    cli_draft_operand(draft, cli, KV_KEY_INTEGRATION);
    for (size_t i = 0; i < KV_COUNT(terms); i++) {
        const struct term *t = &terms[i];
        const char *value = cli_get(cli, t->option);
        if (t->key == KV_KEY_EXE_SHA256 && exe_sha256 != NULL) {
            cli_draft_add(draft, t->key, exe_sha256);
        } else if (value != NULL && t->list) {
            cli_draft_list(draft, cli, t->key, t->option);
        } else if (value != NULL) {
            cli_draft_option(draft, cli, t->key, t->option);
        } else if (now != NULL) {
            KV_CLEANUP(kv_freep) char *line = line_of(json_object_get(now, t->member));
            cli_draft_add(draft, t->key, line);
        } else if (t->required) {
            return KV_REFUSE(err, KV_E_USAGE, "--%s is missing", t->option);
        } else {
            cli_draft_add(draft, t->key, t->key == KV_KEY_ORGANISATION ? "own" : NULL);
        }
    }
    return KV_OK;
}

static enum kv_code run_register(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    for (size_t i = 0; i < KV_COUNT(terms); i++) {
        if (terms[i].required && cli_get(cli, terms[i].option) == NULL) {
            return KV_REFUSE(err, KV_E_USAGE, "--%s is missing", terms[i].option);
        }
    }
    if (cli_request(cli, KV_ACTION_INTEGRATION_REGISTER, &draft, err) != KV_OK ||
        add_terms(draft, cli, NULL, NULL, err) != KV_OK) {
        return err->code;
    }
    return cli_deliver(cli, draft, err);
}

static enum kv_code hash_file(const char *path, char out[static KV_HASH_HEX_LEN],
                              struct kv_err *err)
{
    uint8_t chunk[4096];
    ssize_t n;
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return KV_FAIL(err, errno == ENOENT ? KV_E_NOT_FOUND : KV_E_IO, KV_ERRNO, "opening %.150s",
                       path);
    }
    struct kv_hasher *hasher = kv_hasher_new();
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        kv_hasher_add(hasher, kv_bytes(chunk, (size_t)n));
    }
    struct kv_hash hash = kv_hasher_finish(hasher);
    if (n < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "reading %.150s", path);
    }
    kv_hash_hex(&hash, out);
    return KV_OK;
}

static enum kv_code run_change(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    char hash[KV_HASH_HEX_LEN] = "";
    const char *next_exe = cli_get(cli, "next-exe");
    json_t *now = NULL;
    if (next_exe != NULL && cli_get(cli, "exe-sha256") != NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "give --next-exe or --exe-sha256, not both");
    }
    if ((next_exe != NULL && hash_file(next_exe, hash, err) != KV_OK) ||
        cli_find(cli, KV_CALL_INTEGRATIONS, "integrations", "id", cli_operand(cli, 0), &now, err) !=
            KV_OK) {
        return err->code;
    }
    enum kv_code code = cli_request(cli, KV_ACTION_INTEGRATION_CHANGE, &draft, err);
    if (code == KV_OK) {
        cli_draft_add(draft, KV_KEY_REPLACES_REQUEST, cli_str(now, "request"));
        code = add_terms(draft, cli, now, hash[0] == '\0' ? NULL : hash, err);
    }
    json_decref(now);
    return code == KV_OK ? cli_deliver(cli, draft, err) : code;
}

static enum kv_code run_suspend(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_act(cli, KV_ACT_SUSPEND, "integration", cli_operand(cli, 0), &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_list(draft, cli, KV_KEY_OPERATIONS, "operation");
    return cli_deliver(cli, draft, err);
}

static enum kv_code run_resume(struct cli *cli, struct kv_err *err)
{
    return cli_resume(cli, "integration", err);
}

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"INTEGRATION", "id"},
                                                {"STATE", "state"},
                                                {"WHY", "suspendedWhy"},
                                                {"UID", "uid"},
                                                {"UNIT", "unit"},
                                                {"EXE", "exe"},
                                                {"CONTEXTS", "contexts"},
                                                {"OPERATIONS", "operations"},
                                                {"OWNER", "businessOwner"},
                                                {"CUSTODIAN", "technicalCustodian"},
                                                {NULL, NULL}};
    return cli_list(cli, KV_CALL_INTEGRATIONS, NULL, "integrations", columns,
                    "No integrations yet. next: `ksefvault integration register --help`", err);
}

const struct cli_verb cmd_integration[] = {
    {.noun = "integration",
     .verb = "register",
     .run = run_register,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = register_options,
     .shared = cli_request_options,
     .summary = "Request that a program is registered. It may do nothing before a grant.",
     .examples =
         "  ksefvault integration register sap-fi-prod --purpose \"Sends sales invoices of SAP FI "
         "to "
         "KSeF\" \\\n      --business-owner fin-01 --custodian cus-01 --context Nip:5265877635 "
         "--operation auth.xades \\\n      --operation session.open --uid 2101 --unit "
         "sap-ksef.service --exe /opt/sap-ksef/bin/connector \\\n      --reason \"The sales ERP\" "
         "--as cus-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "integration",
     .verb = "change",
     .run = run_change,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = change_options,
     .shared = cli_request_options,
     .summary = "Request other terms; what is not named stays as it is.",
     .examples =
         "  ksefvault integration change sap-fi-prod --next-exe /opt/sap-ksef/bin/connector "
         "\\\n      --reason \"Update 7.2\" --as cus-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "integration",
     .verb = "suspend",
     .run = run_suspend,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .options = suspend_options,
     .shared = cli_act_options,
     .summary = "Stop an integration at once, until it is resumed; one signature.",
     .examples =
         "  ksefvault integration suspend sap-fi-prod --as fin-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "integration",
     .verb = "resume",
     .run = run_resume,
     .operands = "ID",
     .operands_min = 1,
     .operands_max = 1,
     .shared = cli_request_options,
     .summary = "Request that a suspended integration goes on; two signatures.",
     .examples = "  ksefvault integration resume sap-fi-prod --reason \"Program compared\" --as "
                 "cus-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "integration",
     .verb = "list",
     .run = run_list,
     .summary = "The registered integrations.",
     .examples = "  ksefvault integration list\n"},
    {.noun = NULL},
};
