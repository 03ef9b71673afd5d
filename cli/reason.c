#include "cli/reason.h"

#include "cli/out.h"
#include "ledger/side.h"

static bool opens(const json_t *reason, const struct kv_hash *commitment)
{
    uint8_t salt[KV_SALT_LEN];
    size_t len;
    const char *text = cli_str(reason, "salt");
    if (!kv_base64_decode(kv_bytes_str(text), salt, sizeof salt, &len) || len != sizeof salt) {
        return false;
    }
    struct kv_hash made = kv_commitment(salt, kv_bytes_str(cli_str(reason, "value")));
    return kv_hash_equal(&made, commitment);
}

enum kv_code cli_put_reason(FILE *to, const struct kv_statement *request, const json_t *answer,
                            struct kv_err *err)
{
    const json_t *reason = json_object_get(answer, "reason");
    struct kv_hash commitment;
    bool committed = kv_statement_commitment(request, KV_KEY_REASON_COMMITMENT, &commitment);
    if (reason == NULL) {
        if (committed) {
            fputs("reason: not told by the agent; ask who requested\n", to);
        }
        return KV_OK;
    }
    if (!committed || !opens(reason, &commitment)) {
        return KV_REFUSE(err, KV_E_STMT_TRANSIT,
                         "the reason that came with the text is not the one it commits to");
    }
    fputs("reason: ", to);
    cli_put(to, kv_bytes_str(cli_str(reason, "value")));
    fputc('\n', to);
    return KV_OK;
}
