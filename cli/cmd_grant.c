/* grant: what an integration may do with a credential. */
#include "cli/cmd.h"

#include "cli/draft.h"
#include "cli/list.h"
#include "policy/ruleset.h"

#define GRANT_DAYS_DEFAULT 90

static const struct cli_option request_options[] = {
    {"credential", "ID", CLI_REQUIRED, "the credential"},
    {"integration", "ID", CLI_REQUIRED, "who may use it"},
    {"context", "CONTEXT", CLI_REQUIRED, "in which KSeF context, Nip:5265877635"},
    {"operation", "OPERATION", CLI_MANY, "what it may do, session.open"},
    {"max-uses", "N", CLI_OPTIONAL, "how often in all (default: no limit)"},
    {"rate", "N/h", CLI_OPTIONAL, "how often per s, min, h or day (default: no limit)"},
    {"not-before", "TIME", CLI_OPTIONAL, "first moment of use (default: now)"},
    {"not-after", "TIME", CLI_OPTIONAL, "end of use"},
    {"days", "N", CLI_OPTIONAL, "length instead of an end (default: 90)"},
    {"hours", "N", CLI_OPTIONAL, "length instead of an end"},
    {"seconds", "N", CLI_OPTIONAL, "length instead of an end"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option renew_options[] = {
    {"not-after", "TIME", CLI_OPTIONAL, "end of use"},
    {"days", "N", CLI_OPTIONAL, "length instead of an end (default: as long as the old one)"},
    {"hours", "N", CLI_OPTIONAL, "length instead of an end"},
    {"seconds", "N", CLI_OPTIONAL, "length instead of an end"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option suspend_options[] = {
    {"operation", "OPERATION", CLI_MANY, "only this operation (default: all)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static enum kv_code run_request(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_get(cli, "operation") == NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "--operation OPERATION is missing, e.g. session.open");
    }
    if (cli_request(cli, KV_ACTION_GRANT, &draft, err) != KV_OK ||
        cli_draft_window(cli, draft, GRANT_DAYS_DEFAULT * KV_DAY_MS, err) != KV_OK) {
        return err->code;
    }
    cli_draft_option(draft, cli, KV_KEY_CREDENTIAL, "credential");
    cli_draft_option(draft, cli, KV_KEY_INTEGRATION, "integration");
    cli_draft_option(draft, cli, KV_KEY_CONTEXT, "context");
    cli_draft_list(draft, cli, KV_KEY_OPERATIONS, "operation");
    cli_draft_add(draft, KV_KEY_CLASS, kv_class_word(KV_CLASS_ROUTINE));
    cli_draft_option(draft, cli, KV_KEY_MAX_USES, "max-uses");
    cli_draft_option(draft, cli, KV_KEY_RATE, "rate");
    return cli_deliver(cli, draft, err);
}

/* Not before the time that the policy names: its people agreed to look again then. */
static enum kv_code may_renew(struct cli *cli, int64_t end_ms, int64_t now_ms, struct kv_err *err)
{
    struct kv_api_answer answer;
    struct kv_ruleset rules;
    char from[KV_TIME_S_LEN];
    if (cli_call(cli, KV_CALL_POLICY, NULL, &answer, err) != KV_OK) {
        return err->code;
    }
    const char *text = json_string_value(json_object_get(answer.body, "text"));
    enum kv_code code = text == NULL
                            ? KV_REFUSE(err, KV_E_PROTOCOL, "the agent's answer has no policy")
                            : kv_ruleset_parse(kv_bytes_str(text), &rules, err);
    kv_api_answer_clear(&answer);
    if (code != KV_OK) {
        return code;
    }
    int64_t from_ms = end_ms - rules.renew_days * KV_DAY_MS;
    kv_time_format_s(from_ms, from);
    return now_ms >= from_ms
               ? KV_OK
               : KV_REFUSE(err, KV_E_REQ_LIMIT, "the policy lets it be renewed from %s", from);
}

static const char *text_of(const json_t *grant, const char *name)
{
    const char *text = json_string_value(json_object_get(grant, name));
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* A new grant with the terms of an old one, beginning now: the old one runs out by itself. */
static enum kv_code renew(struct cli *cli, const json_t *old, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    int64_t from, until;
    const char *begins = text_of(old, "notBefore"), *ends = text_of(old, "notAfter");
    if (begins == NULL || ends == NULL || !kv_time_parse_s(kv_bytes_str(begins), &from) ||
        !kv_time_parse_s(kv_bytes_str(ends), &until)) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "the agent's answer has no window");
    }
    if (cli_request(cli, KV_ACTION_GRANT, &draft, err) != KV_OK ||
        may_renew(cli, until, draft->now_ms, err) != KV_OK ||
        cli_draft_window(cli, draft, until - from, err) != KV_OK) {
        return err->code;
    }
    cli_draft_add(draft, KV_KEY_CREDENTIAL, text_of(old, "credential"));
    cli_draft_add(draft, KV_KEY_INTEGRATION, text_of(old, "integration"));
    cli_draft_add(draft, KV_KEY_CONTEXT, text_of(old, "context"));
    cli_draft_add(draft, KV_KEY_OPERATIONS, text_of(old, "operations"));
    cli_draft_add(draft, KV_KEY_CLASS, kv_class_word(KV_CLASS_ROUTINE));
    cli_draft_add(draft, KV_KEY_MAX_USES, text_of(old, "maxUses"));
    cli_draft_add(draft, KV_KEY_RATE, text_of(old, "rate"));
    return cli_deliver(cli, draft, err);
}

static enum kv_code run_renew(struct cli *cli, struct kv_err *err)
{
    json_t *old = NULL;
    if (cli_find(cli, KV_CALL_GRANTS, "grants", "id", cli_operand(cli, 0), &old, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = renew(cli, old, err);
    json_decref(old);
    return code;
}

static enum kv_code run_suspend(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    if (cli_act(cli, KV_ACT_SUSPEND, "grant", cli_operand(cli, 0), &draft, err) != KV_OK) {
        return err->code;
    }
    cli_draft_list(draft, cli, KV_KEY_OPERATIONS, "operation");
    return cli_deliver(cli, draft, err);
}

static enum kv_code run_resume(struct cli *cli, struct kv_err *err)
{
    return cli_resume(cli, "grant", err);
}

static enum kv_code run_revoke(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(cli_draft_freep) struct cli_draft *draft = NULL;
    return cli_act(cli, KV_ACT_REVOKE, "grant", cli_operand(cli, 0), &draft, err) == KV_OK
               ? cli_deliver(cli, draft, err)
               : err->code;
}

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"GRANT", "id"},
                                                {"STATE", "state"},
                                                {"ENDED", "ended"},
                                                {"INTEGRATION", "integration"},
                                                {"CREDENTIAL", "credential"},
                                                {"CONTEXT", "context"},
                                                {"OPERATIONS", "operations"},
                                                {"UNTIL", "notAfter"},
                                                {"USES", "uses"},
                                                {"RATE", "rate"},
                                                {NULL, NULL}};
    return cli_list(cli, KV_CALL_GRANTS, NULL, "grants", columns,
                    "No grants yet. next: `ksefvault grant request --help`", err);
}

const struct cli_verb cmd_grant[] = {
    {.noun = "grant",
     .verb = "request",
     .run = run_request,
     .options = request_options,
     .shared = cli_request_options,
     .summary = "Request that an integration may use a credential.",
     .more = "One finance person and one custodian approve; neither may be the requester.",
     .examples =
         "  ksefvault grant request --credential ksef-auth-2026a --integration sap-fi-prod "
         "--context Nip:5265877635 \\\n      --operation auth.xades --operation session.open "
         "--days 90 --rate 120/h \\\n      --reason \"Invoices of this quarter\" --as fin-02 "
         "--key ~/.ssh/id_ed25519\n"},
    {.noun = "grant",
     .verb = "renew",
     .run = run_renew,
     .operands = "GRANT",
     .operands_min = 1,
     .operands_max = 1,
     .options = renew_options,
     .shared = cli_request_options,
     .summary = "Request a new grant with the terms of one that ends soon.",
     .more =
         "It begins when it is approved; the old one runs out by itself, so there is no gap. The "
         "policy says how many days before the end this may be asked.",
     .examples =
         "  ksefvault grant renew 01KEBQGH006J9ATSEGBABKZVWC --reason \"Next quarter\" --as "
         "fin-02 --key ~/.ssh/id_ed25519\n"},
    {.noun = "grant",
     .verb = "suspend",
     .run = run_suspend,
     .operands = "GRANT",
     .operands_min = 1,
     .operands_max = 1,
     .options = suspend_options,
     .shared = cli_act_options,
     .summary = "Stop a grant at once, until it is resumed; one signature.",
     .examples = "  ksefvault grant suspend 01KEBQGH006J9ATSEGBABKZVWC --as cus-01 --key "
                 "~/.ssh/id_ed25519\n"},
    {.noun = "grant",
     .verb = "resume",
     .run = run_resume,
     .operands = "GRANT",
     .operands_min = 1,
     .operands_max = 1,
     .shared = cli_request_options,
     .summary = "Request that a suspended grant goes on; two signatures.",
     .examples = "  ksefvault grant resume 01KEBQGH006J9ATSEGBABKZVWC --reason \"Cleared up\" --as "
                 "cus-01 --key ~/.ssh/id_ed25519\n"},
    {.noun = "grant",
     .verb = "revoke",
     .run = run_revoke,
     .operands = "GRANT",
     .operands_min = 1,
     .operands_max = 1,
     .shared = cli_act_options,
     .summary = "End a grant at once and for good; one signature.",
     .examples = "  ksefvault grant revoke 01KEBQGH006J9ATSEGBABKZVWC --reason \"Contract ended\" "
                 "--as cus-02 --key ~/.ssh/id_ed25519\n"},
    {.noun = "grant",
     .verb = "list",
     .run = run_list,
     .summary = "The grants and their states.",
     .examples = "  ksefvault grant list\n"},
    {.noun = NULL},
};
