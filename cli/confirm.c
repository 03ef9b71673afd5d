#include "cli/confirm.h"

#include "core/parse.h"

#include <stdio.h>

void cli_confirmation(const struct kv_statement *st, char out[static KV_CONFIRMATION_LEN])
{
    struct kv_hash hash = kv_statement_sha256(kv_statement_request(st));
    kv_confirmation_code(&hash, out);
}

bool cli_same_code(const char *typed, const char *code)
{
    size_t i = 0;
    for (const char *p = code; *p != '\0'; p++) {
        if (*p == '-') {
            continue;
        }
        while (typed[i] == '-' || typed[i] == ' ') {
            i++;
        }
        char c = kv_is_lower((uint8_t)typed[i]) ? (char)(typed[i] - 'a' + 'A') : typed[i];
        if (c != *p) {
            return false;
        }
        i++;
    }
    return strcspn(typed + i, "\r\n") == strspn(typed + i, " ");
}

enum kv_code cli_confirm(const struct cli *cli, const struct kv_statement *st, struct kv_err *err)
{
    char code[KV_CONFIRMATION_LEN];
    char typed[64] = "";
    if (cli_flag(cli, "yes")) {
        return KV_OK;
    }
    cli_confirmation(st, code);
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (terminal == NULL) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "there is no terminal to confirm on; --yes signs without asking");
    }
    fprintf(terminal, "To sign, type the confirmation code (%s): ", code);
    fflush(terminal);
    bool read = fgets(typed, sizeof typed, terminal) != NULL;
    fclose(terminal);
    return read && cli_same_code(typed, code)
               ? KV_OK
               : KV_REFUSE(err, KV_E_USAGE, "the code was not typed; nothing was signed");
}
