#include "cli/out.h"

#include "core/buf.h"
#include "core/parse.h"
#include "core/time.h"

#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT_MAX         (64 * 1024)
#define PROGRESS_WAIT_MS 2000
#define PROGRESS_STEP_MS 1000

void cli_say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
}

void cli_put(FILE *to, struct kv_bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t from = at;
        uint32_t c;
        if (!kv_utf8_next(text, &at, &c)) {
            at = from + 1;
            fputc('?', to);
        } else if (c != '\n' && c != '\t' && kv_char_hides(c)) {
            fputc('?', to);
        } else {
            fwrite(text.ptr + from, 1, at - from, to);
        }
    }
}

void cli_put_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
}

const json_t *cli_member(const json_t *object, const char *path)
{
    char name[64];
    while (object != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        if (len >= sizeof name) {
            return NULL;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        object = json_object_get(object, name);
        path += len + (path[len] == '.' ? 1 : 0);
    }
    return object;
}

const char *cli_str(const json_t *object, const char *path)
{
    const char *value = json_string_value(cli_member(object, path));
    return value == NULL ? "" : value;
}

static void add_text(const json_t *value, struct kv_buf *out)
{
    size_t i;
    json_t *element;
    switch (value == NULL ? JSON_NULL : json_typeof(value)) {
    case JSON_STRING: kv_buf_add_str(out, json_string_value(value)); break;
    case JSON_INTEGER: kv_buf_add_format(out, "%lld", (long long)json_integer_value(value)); break;
    case JSON_TRUE: kv_buf_add_str(out, "yes"); break;
    case JSON_FALSE: kv_buf_add_str(out, "no"); break;
    case JSON_ARRAY:
        json_array_foreach(value, i, element)
        {
            kv_buf_add_str(out, i == 0 ? "" : ", ");
            add_text(element, out);
        }
        break;
    case JSON_OBJECT: {
        const char *key;
        const char *separator = "";
        json_object_foreach((json_t *)(uintptr_t)value, key, element)
        {
            kv_buf_add_format(out, "%s%s ", separator, key);
            add_text(element, out);
            separator = ", ";
        }
        break;
    }
    case JSON_REAL:
    case JSON_NULL: break;
    }
}

char *cli_text_of(const json_t *value)
{
    struct kv_buf buf;
    kv_buf_init(&buf, TEXT_MAX);
    add_text(value, &buf);
    char *text = strdup(buf.len == 0 ? "-" : kv_buf_str(&buf));
    kv_buf_clear(&buf);
    if (text == NULL) {
        abort();
    }
    return text;
}

static void add_seat(const json_t *seat, struct kv_buf *out)
{
    json_int_t count = json_integer_value(json_object_get(seat, "count"));
    size_t i;
    json_t *person;
    kv_buf_add_format(out, "%s%s", out->len == 0 ? "" : ", ", cli_str(seat, "role"));
    if (count > 1) {
        kv_buf_add_format(out, " x %lld", (long long)count);
    }
    kv_buf_add_str(out, " (");
    json_array_foreach(json_object_get(seat, "who"), i, person)
    {
        const char *id = json_string_value(person);
        kv_buf_add_format(out, "%s%s", i == 0 ? "" : " or ", id == NULL ? "" : id);
    }
    kv_buf_add_str(out, i == 0 ? "nobody can)" : ")");
}

char *cli_missing_text(const json_t *missing)
{
    struct kv_buf buf;
    size_t i;
    json_t *seat;
    if (!json_is_object(json_array_get(missing, 0))) {
        return cli_text_of(missing);
    }
    kv_buf_init(&buf, TEXT_MAX);
    json_array_foreach(missing, i, seat)
    {
        add_seat(seat, &buf);
    }
    char *text = strdup(kv_buf_str(&buf));
    kv_buf_clear(&buf);
    if (text == NULL) {
        abort();
    }
    return text;
}

void cli_put_member(const char *label, const json_t *object, const char *key)
{
    const json_t *value = cli_member(object, key);
    if (value != NULL) {
        KV_CLEANUP(kv_freep) char *text = cli_text_of(value);
        printf("%s: ", label);
        cli_put(stdout, kv_bytes_str(text));
        fputc('\n', stdout);
    }
}

void cli_put_table(const json_t *rows, const struct cli_column *columns, const char *nothing)
{
    size_t r;
    json_t *row;
    if (json_array_size(rows) == 0) {
        printf("%s\n", nothing);
        return;
    }
    struct libscols_table *table = scols_new_table();
    if (table == NULL) {
        abort();
    }
    for (const struct cli_column *c = columns; c->title != NULL; c++) {
        if (scols_table_new_column(table, c->title, 0, 0) == NULL) {
            abort();
        }
    }
    json_array_foreach(rows, r, row)
    {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        for (size_t i = 0; columns[i].title != NULL; i++) {
            KV_CLEANUP(kv_freep) char *text = cli_text_of(cli_member(row, columns[i].key));
            if (line == NULL || scols_line_set_data(line, i, text) != 0) {
                abort(); /* out of memory */
            }
        }
    }
    scols_table_enable_noencoding(table, 0); /* unprintable characters are shown as \x.. */
    scols_print_table(table);
    scols_unref_table(table);
}

void cli_progress_begin(struct cli_progress *progress, bool enabled, const char *what)
{
    int64_t now = (int64_t)(kv_time_mono_us() / 1000);
    *progress =
        (struct cli_progress){.enabled = enabled, .started_ms = now, .last_ms = now, .what = what};
}

void cli_progress_at(struct cli_progress *progress, uint64_t count)
{
    if (!progress->enabled) {
        return;
    }
    int64_t now = (int64_t)(kv_time_mono_us() / 1000);
    if (now - progress->started_ms >= PROGRESS_WAIT_MS &&
        now - progress->last_ms >= PROGRESS_STEP_MS) {
        fprintf(stderr, "\r%s: %llu ", progress->what, (unsigned long long)count);
        fflush(stderr);
        progress->last_ms = now;
        progress->shown_at_all = true;
    }
}

void cli_progress_end(struct cli_progress *progress)
{
    if (progress->shown_at_all) {
        fputs("\r\033[K", stderr);
    }
}
