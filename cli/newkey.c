#include "cli/newkey.h"

enum kv_code cli_draft_new_key(const struct cli *cli, struct cli_draft *draft, struct kv_err *err)
{
    const char *new_key = cli_get(cli, "new-key");
    const char *file = cli_get(cli, "public-key");
    struct kv_pubkey key;
    struct kv_buf line;
    cli_draft_option(draft, cli, KV_KEY_KEY_NOT_AFTER, "key-not-after");
    file = file == NULL ? new_key : file;
    if (file == NULL) {
        cli_draft_add(draft, KV_KEY_KEY, NULL);
        cli_draft_add(draft, KV_KEY_PUBLIC_KEY, NULL);
        return KV_OK;
    }
    if (new_key == NULL && draft->signer.key_file != NULL) {
        return KV_REFUSE(
            err, KV_E_USAGE,
            "the new key must sign too: --new-key FILE, or --out FILE to sign elsewhere");
    }
    if (cli_public_key(file, &key, err) != KV_OK) {
        return err->code;
    }
    kv_buf_init(&line, KV_PUBKEY_LINE_MAX);
    kv_pubkey_print(&key, &line);
    cli_draft_add(draft, KV_KEY_KEY, key.fingerprint);
    cli_draft_add(draft, KV_KEY_PUBLIC_KEY, kv_buf_str(&line));
    kv_buf_clear(&line);
    draft->new_key_file = draft->signer.key_file == NULL ? NULL : new_key;
    return KV_OK;
}
