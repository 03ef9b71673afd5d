/* session: what an integration does, by hand; for trying a grant out. */
#include "cli/cmd.h"

#include "cli/list.h"

static const struct cli_option open_options[] = {
    {"context", "CONTEXT", CLI_REQUIRED, "KSeF context, Nip:5265877635"},
    {"wait", "N", CLI_OPTIONAL, "seconds to wait for KSeF, 0 to 30 (default: 30)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static enum kv_code run_open(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    uint64_t wait;
    if (cli_number(cli, "wait", 0, KV_WAIT_MAX_S, KV_WAIT_MAX_S, &wait, err) != KV_OK ||
        cli_agent(cli, err) != KV_OK) {
        return err->code;
    }
    kv_api_set_wait(cli->api, (unsigned)wait);
    json_t *args = json_pack("{s:s}", "context", cli_get(cli, "context"));
    if (cli_call(cli, KV_CALL_SESSION_OPEN, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        cli_put_member("session", answer.body, "session");
        cli_put_member("valid until", answer.body, "validUntil");
        cli_put_member("record", answer.body, "record");
        cli_put_member("access token", answer.body, "accessToken");
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static enum kv_code run_close(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    if (cli_agent(cli, err) != KV_OK ||
        cli_call(cli, KV_CALL_SESSION_CLOSE, json_pack("{s:s}", "id", cli_operand(cli, 0)), &answer,
                 err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        bool last = json_is_true(json_object_get(answer.body, "endsAtKsef"));
        cli_say("The lease has ended%s.\n",
                last ? "; it was the last one, and the session is being ended at KSeF"
                     : "; others use the session");
        cli_say("KSeF cannot call an access token back: this one works until %s.\n",
                cli_str(answer.body, "accessTokenValidUntil"));
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {{"SESSION AT KSEF", "reference"},
                                                {"STATE", "state"},
                                                {"INTEGRATION", "integration"},
                                                {"CREDENTIAL", "credential"},
                                                {"CONTEXT", "context"},
                                                {"LEASES", "leases"},
                                                {"TOKEN UNTIL", "accessTokenValidUntil"},
                                                {NULL, NULL}};
    return cli_list(cli, KV_CALL_SESSIONS, NULL, "sessions", columns,
                    "No session lives at KSeF that the agent opened.", err);
}

const struct cli_verb cmd_session[] = {
    {.noun = "session",
     .verb = "open",
     .run = run_open,
     .options = open_options,
     .summary = "Open a KSeF session as the integration whose account this is.",
     .more = "Prints the access token, as the API gives it: mind where the output goes.",
     .examples = "  ksefvault session open --context Nip:5265877635 --json\n"},
    {.noun = "session",
     .verb = "close",
     .run = run_close,
     .operands = "LEASE",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "End a lease; with the last one the session is ended at KSeF.",
     .examples = "  ksefvault session close 01KEBQGH006J9ATSEGBABKZVWC\n"},
    {.noun = "session",
     .verb = "list",
     .run = run_list,
     .summary = "The sessions that live at KSeF, whose they are, how many leases they have.",
     .more =
         "ending: its end was asked for and is not confirmed yet. lost: a crash left it without "
         "a token; the next login of its credential ends it.",
     .examples = "  ksefvault session list\n"},
    {.noun = NULL},
};
