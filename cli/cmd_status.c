/* status and explain: what state things are in, and what to do next. */
#include "cli/cmd_daily.h"
#include "cli/out.h"

#include "core/parse.h"

static bool shown_elsewhere(const char *key)
{
    static const char *const keys[] = {"vault", "state", "next", "slots", "attention"};
    for (size_t i = 0; i < KV_COUNT(keys); i++) {
        if (strcmp(keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void put_attention(const json_t *items)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        cli_say("%s", "  ! ");
        cli_put(stdout, kv_bytes_str(cli_str(item, "what")));
        cli_say("\n    ");
        cli_put(stdout, kv_bytes_str(cli_str(item, "next")));
        cli_say("\n");
    }
}

/* One that works has no detail: then there is room for why its custody is what it is. */
static void put_slots(json_t *rows)
{
    static const struct cli_column columns[] = {{"SLOT", "name"},       {"STATE", "state"},
                                                {"CUSTODY", "custody"}, {"TOKEN", "model"},
                                                {"DETAIL", "detail"},   {NULL, NULL}};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (cli_str(row, "detail")[0] == '\0') {
            json_object_set(row, "detail", json_object_get(row, "custodyWhy"));
        }
    }
    cli_put_table(rows, columns, "no slots");
}

enum kv_code cmd_status(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    const char *key;
    json_t *value;
    if (cli_call(cli, KV_CALL_STATUS, NULL, &answer, err) != KV_OK) {
        return err->code;
    }
    const char *state = cli_str(answer.body, "state");
    cli->exit = strcmp(state, "serving") == 0 ? KV_EXIT_OK : KV_EXIT_UNREACHABLE;
    if (cli->json) {
        cli_put_json(answer.body);
        kv_api_answer_clear(&answer);
        return KV_OK;
    }
    cli_put_member("vault", answer.body, "vault");
    cli_put_member("state", answer.body, "state");
    json_object_foreach(answer.body, key, value)
    {
        if (!shown_elsewhere(key) && !json_is_object(value)) {
            cli_put_member(key, answer.body, key);
        }
    }
    if (json_is_array(cli_member(answer.body, "slots"))) {
        put_slots(json_object_get(answer.body, "slots"));
    }
    put_attention(cli_member(answer.body, "attention"));
    cli_put_member("next", answer.body, "next");
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static void explain_code(const struct cli *cli, enum kv_code code)
{
    const struct kv_code_row *row = kv_code_row(code);
    if (cli->json) {
        json_t *object = json_pack("{s:s,s:i,s:i,s:s,s:s,s:s}", "code", row->word, "http",
                                   row->http, "exit", (int)row->exit, "retry",
                                   kv_retry_word(row->retry), "what", row->what, "next", row->next);
        cli_put_json(object);
        json_decref(object);
        return;
    }
    cli_say("%s\n  %s\n  next: %s\n  retry: %s   exit status: %d   HTTP status: %d\n", row->word,
            row->what, row->next, kv_retry_word(row->retry), (int)row->exit, row->http);
}

static enum kv_code explain_use(struct cli *cli, struct kv_err *err)
{
    static const char *const names[] = {"integration", "operation", "context"};
    struct kv_api_answer answer;
    json_t *args = json_object();
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        const char *value = cli_get(cli, names[i]);
        if (value == NULL) {
            json_decref(args);
            return KV_REFUSE(err, KV_E_USAGE,
                             "name an error code, or --integration, --operation and --context");
        }
        json_object_set_new(args, names[i], json_string(value));
    }
    if (cli_call(cli, KV_CALL_EXPLAIN, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        const char *key;
        json_t *value;
        json_object_foreach(answer.body, key, value)
        {
            cli_put_member(key, answer.body, key);
        }
    }
    /* the answer is an explanation, also of a no: scripts read `allowed` */
    kv_api_answer_clear(&answer);
    return KV_OK;
}

enum kv_code cmd_explain(struct cli *cli, struct kv_err *err)
{
    const char *word = cli_operand(cli, 0);
    enum kv_code code;
    if (word == NULL) {
        return explain_use(cli, err);
    }
    if (cli_get(cli, "integration") != NULL || cli_get(cli, "operation") != NULL ||
        cli_get(cli, "context") != NULL) {
        return KV_REFUSE(err, KV_E_USAGE, "explain a code or a use, not both");
    }
    if (!kv_code_from_word(word, &code)) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "'%.64s' is no error code of this version", word);
    }
    explain_code(cli, code);
    return KV_OK;
}
