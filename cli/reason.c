#include "cli/reason.h"

#include "cli/out.h"
#include "ledger/side.h"

static const enum kv_key commitments[] = {KV_KEY_REASON_COMMITMENT, KV_KEY_NAME_COMMITMENT};
static const char *const labels[] = {"reason", "name"};

static bool opens(const json_t *row, const struct kv_hash *commitment)
{
    uint8_t salt[KV_SALT_LEN];
    size_t len;
    const char *text = cli_str(row, "salt");
    if (!kv_base64_decode(kv_bytes_str(text), salt, sizeof salt, &len) || len != sizeof salt) {
        return false;
    }
    struct kv_hash made = kv_commitment(salt, kv_bytes_str(cli_str(row, "value")));
    return kv_hash_equal(&made, commitment);
}

/* Which commitment of the text the row opens, -1 for none. */
static int opened_by(const struct kv_statement *request, const json_t *row)
{
    for (size_t i = 0; i < KV_COUNT(commitments); i++) {
        struct kv_hash hash;
        if (kv_statement_commitment(request, commitments[i], &hash) && opens(row, &hash)) {
            return (int)i;
        }
    }
    return -1;
}

enum kv_code cli_put_reasons(FILE *to, const struct kv_statement *request, const json_t *answer,
                             struct kv_err *err)
{
    const json_t *rows = json_object_get(answer, "private");
    bool opened[KV_COUNT(commitments)] = {false};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        int which = opened_by(request, row);
        if (which < 0) {
            return KV_REFUSE(err, KV_E_STMT_TRANSIT,
                             "the %.16s that came with the text is not the one it commits to",
                             cli_str(row, "field"));
        }
        opened[which] = true;
        fprintf(to, "%s: ", labels[which]);
        cli_put(to, kv_bytes_str(cli_str(row, "value")));
        fputc('\n', to);
    }
    for (i = 0; i < KV_COUNT(commitments); i++) {
        if (!opened[i] && kv_statement_has(request, commitments[i])) {
            fprintf(to, "%s: not shown to this account; ask who requested\n", labels[i]);
        }
    }
    return KV_OK;
}
