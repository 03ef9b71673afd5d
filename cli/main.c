/* ksefvault: the command line for people, and with --json for programs. */
#include "cli/cli.h"
#include "cli/out.h"

#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

/* `ksefvault: <sentence> [code]`, who can lift it, what to do next. */
static void report(const struct cli *cli, const struct kv_err *err)
{
    const struct kv_code_row *row = kv_code_row(err->code);
    const char *next = cli_str(cli->problem, "next");
    char cause[128];
    kv_cause_text(err->cause, cause, sizeof cause);
    fputs("ksefvault: ", stderr);
    cli_put(stderr, kv_bytes_str(err->msg[0] == '\0' ? row->what : err->msg));
    fprintf(stderr, "%s%s%s [%s]\n", cause[0] == '\0' ? "" : " (", cause,
            cause[0] == '\0' ? "" : ")", row->word);
    const json_t *who = cli_member(cli->problem, "who");
    if (who != NULL) {
        KV_CLEANUP(kv_freep) char *text = cli_text_of(who);
        fputs("who: ", stderr);
        cli_put(stderr, kv_bytes_str(text));
        fputc('\n', stderr);
    }
    fputs("next: ", stderr);
    if (err->code == KV_E_USAGE && cli->verb != NULL) {
        fprintf(stderr, "ksefvault %s%s%s --help\n", cli->verb->noun,
                cli->verb->verb == NULL ? "" : " ", cli->verb->verb == NULL ? "" : cli->verb->verb);
    } else {
        cli_put(stderr, kv_bytes_str(next[0] == '\0' ? row->next : next));
        fputc('\n', stderr);
    }
    if (cli->json && cli->problem != NULL) {
        cli_put_json(cli->problem);
    }
}

int main(int argc, char **argv)
{
    struct cli cli = {.terminal = isatty(STDERR_FILENO) == 1};
    struct kv_err err = {0};
    int status;
    (void)setlocale(LC_CTYPE, ""); /* widths of letters in tables; without it they are escaped */
    enum kv_code code = cli_read(&cli, argc - 1, argv + 1, &err);
    if (code == KV_OK) {
        code = cli.verb->run(&cli, &err);
    }
    status = code == KV_OK ? cli.exit : (int)kv_code_row(code)->exit;
    if (code != KV_OK) {
        report(&cli, &err);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ksefvault: standard output");
        status = status == 0 ? KV_EXIT_FAILED : status;
    }
    cli_clear(&cli);
    return status;
}
