/* What people read: sentences and tables. Text that came from elsewhere is shown without control
 * characters and characters that change how a line is shown. */
#ifndef KV_CLI_OUT_H
#define KV_CLI_OUT_H

#include "core/bytes.h"

#include <jansson.h>
#include <stdio.h>

void cli_say(const char *fmt, ...) KV_PRINTF(1, 2);
/* Print `text`, LF and tabs as they are, everything else that hides as `?`. */
void cli_put(FILE *to, struct kv_bytes text);
void cli_put_json(const json_t *value);
/* `key: value` of a string or number in `object`, nothing if it is not there. */
void cli_put_member(const char *label, const json_t *object, const char *key);

struct cli_column {
    const char *title;
    const char *key; /* of a row: string, number, boolean, or array of strings; "a.b" goes deeper */
};
/* Print the array `rows` of objects; `columns` ends with a NULL title. An empty array is said as
 * `nothing`. */
void cli_put_table(const json_t *rows, const struct cli_column *columns, const char *nothing);
/* The text of a value for people, owned by the caller: arrays joined by commas, "-" for nothing. */
char *cli_text_of(const json_t *value);
/* Who is missing: seats, or objects {role, count, who}. Owned by the caller. */
char *cli_missing_text(const json_t *missing);
/* "a.b" within `object`; NULL if it is not there. Borrowed. */
const json_t *cli_member(const json_t *object, const char *path);
const char *cli_str(const json_t *object, const char *path); /* "" if not there or no string */

/* Progress of long work, on standard error if it is a terminal: nothing in the first two seconds,
 * then one line a second, overwritten. */
struct cli_progress {
    bool shown_at_all, enabled;
    int64_t started_ms, last_ms;
    const char *what;
};
void cli_progress_begin(struct cli_progress *progress, bool enabled, const char *what);
void cli_progress_at(struct cli_progress *progress, uint64_t count);
void cli_progress_end(struct cli_progress *progress);

#endif
