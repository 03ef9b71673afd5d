/* ksefvault: the command line for people, and with --json for programs. */
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/report.h"

#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

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
        json_t *problem = cli_problem(&cli, &err);
        cli_report(problem, &err, stderr);
        if (cli.json && !cli.answered) {
            cli_put_json(problem);
        }
        json_decref(problem);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ksefvault: standard output");
        status = status == 0 ? KV_EXIT_FAILED : status;
    }
    cli_clear(&cli);
    return status;
}
