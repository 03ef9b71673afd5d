/* The agent and the configuration, as verbs need them. */
#include "cli/cli.h"
#include "cli/out.h"

#include <unistd.h>

enum kv_code cli_config(struct cli *cli, const struct kv_config **out, struct kv_err *err)
{
    if (cli->config == NULL &&
        kv_config_load(cli->config_path == NULL ? KV_CONFIG_PATH : cli->config_path, &cli->config,
                       NULL, err) != KV_OK) {
        return err->code;
    }
    *out = cli->config;
    return KV_OK;
}

static void on_tick(void *ctx, unsigned seconds)
{
    struct cli *cli = ctx;
    if (cli->terminal && seconds >= 2) {
        fprintf(stderr, "\rwaiting for the agent: %u s ", seconds);
        fflush(stderr);
        cli->ticked = true;
    }
}

/* --socket, else what the configuration says, else the usual place: who only talks to the agent
 * needs no configuration. */
enum kv_code cli_agent(struct cli *cli, struct kv_err *err)
{
    if (cli->api != NULL) {
        return KV_OK;
    }
    const struct kv_config *config = NULL;
    const char *path = cli->socket_path;
    if (path == NULL && (cli->config_path != NULL || access(KV_CONFIG_PATH, R_OK) == 0)) {
        if (cli_config(cli, &config, err) != KV_OK) {
            return err->code;
        }
        path = config->socket;
    }
    cli->api = kv_api_new(path == NULL ? KV_SOCKET_PATH : path);
    kv_api_set_tick(cli->api, on_tick, cli);
    return KV_OK;
}

enum kv_code cli_call(struct cli *cli, enum kv_call call, json_t *args,
                      struct kv_api_answer *answer, struct kv_err *err)
{
    if (cli_agent(cli, err) != KV_OK) {
        json_decref(args);
        *answer = (struct kv_api_answer){0, NULL};
        return err->code;
    }
    enum kv_code code = kv_api_call(cli->api, call, args, answer, err);
    if (cli->ticked) {
        fputs("\r\033[K", stderr);
        cli->ticked = false;
    }
    if (code != KV_OK) {
        json_decref(cli->problem);
        cli->problem = answer->body;
        answer->body = NULL;
    }
    return code;
}

enum kv_code cli_find(struct cli *cli, enum kv_call call, const char *array, const char *key,
                      const char *value, json_t **out, struct kv_err *err)
{
    struct kv_api_answer answer;
    size_t i;
    json_t *element;
    if (cli_call(cli, call, NULL, &answer, err) != KV_OK) {
        return err->code;
    }
    json_array_foreach(json_object_get(answer.body, array), i, element)
    {
        if (strcmp(cli_str(element, key), value) == 0) {
            *out = json_incref(element);
            kv_api_answer_clear(&answer);
            return KV_OK;
        }
    }
    kv_api_answer_clear(&answer);
    return KV_REFUSE(err, KV_E_NOT_FOUND, "there is no '%.64s' among the %s", value, array);
}

void cli_clear(struct cli *cli)
{
    kv_api_freep(&cli->api);
    kv_config_freep(&cli->config);
    json_decref(cli->problem);
    cli->problem = NULL;
}
