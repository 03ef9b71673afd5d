#include "cli/report.h"

#include "cli/out.h"

#include <stdlib.h>
#include <string.h>

/* The sentence and what the system said, fit for a screen and for JSON. Owned by the caller. */
static char *sentence_of(const struct kv_err *err)
{
    char *text = NULL;
    size_t len;
    char cause[128];
    FILE *to = open_memstream(&text, &len);
    if (to == NULL) {
        abort(); /* out of memory */
    }
    kv_cause_text(err->cause, cause, sizeof cause);
    cli_put(to, kv_bytes_str(err->msg[0] == '\0' ? kv_code_row(err->code)->what : err->msg));
    if (strstr(err->msg, cause) == NULL) { /* nor is an empty one; some messages hold theirs */
        fprintf(to, " (%s)", cause);
    }
    if (fclose(to) != 0) {
        abort();
    }
    return text;
}

static json_t *next_of(const struct cli *cli, const struct kv_err *err)
{
    const struct cli_verb *verb = cli->verb;
    if (err->code != KV_E_USAGE || verb == NULL) {
        return json_string(kv_code_row(err->code)->next);
    }
    return json_sprintf("ksefvault %s%s%s --help", verb->noun, verb->verb == NULL ? "" : " ",
                        verb->verb == NULL ? "" : verb->verb);
}

json_t *cli_problem(const struct cli *cli, const struct kv_err *err)
{
    const struct kv_code_row *row = kv_code_row(err->code);
    if (strcmp(cli_str(cli->problem, "code"), row->word) == 0) {
        return json_incref(cli->problem);
    }
    KV_CLEANUP(kv_freep) char *sentence = sentence_of(err);
    json_t *problem = json_pack("{s:o,s:s,s:s,s:s,s:s,s:o}", "type",
                                json_sprintf("urn:ksefvault:error:%s", row->word), "title",
                                row->what, "detail", sentence, "code", row->word, "retry",
                                kv_retry_word(row->retry), "next", next_of(cli, err));
    if (problem == NULL) {
        abort(); /* out of memory */
    }
    return problem;
}

void cli_report(const json_t *problem, const struct kv_err *err, FILE *to)
{
    KV_CLEANUP(kv_freep) char *sentence = sentence_of(err);
    const json_t *who = cli_member(problem, "who");
    json_int_t seconds = json_integer_value(json_object_get(problem, "retryAfter"));
    fprintf(to, "ksefvault: %s [%s]\n", sentence, kv_code_word(err->code));
    if (who != NULL) {
        KV_CLEANUP(kv_freep) char *text = cli_text_of(who);
        fputs("who: ", to);
        cli_put(to, kv_bytes_str(text));
        fputc('\n', to);
    }
    fputs("next: ", to);
    cli_put(to, kv_bytes_str(cli_str(problem, "next")));
    if (seconds > 0) {
        fprintf(to, " (in %lld s)", (long long)seconds);
    }
    fputc('\n', to);
}
