#include "cli/list.h"

enum kv_code cli_list(struct cli *cli, enum kv_call call, json_t *args, const char *array,
                      const struct cli_column *columns, const char *nothing, struct kv_err *err)
{
    struct kv_api_answer answer;
    if (cli_call(cli, call, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        cli_put_table(json_object_get(answer.body, array), columns, nothing);
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}
