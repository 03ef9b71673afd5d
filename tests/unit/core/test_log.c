#include "tests/unit/kv_test.h"

#include "core/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Standard error is a pipe while a test runs. */
struct reader {
    int own, pipe[2];
    char text[65536];
};

static void begin(struct reader *r)
{
    assert_int_equal(pipe2(r->pipe, O_CLOEXEC), 0);
    assert_true(fcntl(r->pipe[0], F_SETFL, O_NONBLOCK) == 0);
    r->own = dup(STDERR_FILENO);
    assert_true(r->own >= 0);
    assert_true(dup2(r->pipe[1], STDERR_FILENO) >= 0);
    kv_log_init("test", KV_LOG_INFO);
}

/* What was written since the last time. */
static const char *taken(struct reader *r)
{
    size_t len = 0;
    ssize_t n;
    while (len < sizeof r->text - 1 &&
           (n = read(r->pipe[0], r->text + len, sizeof r->text - 1 - len)) > 0) {
        len += (size_t)n;
    }
    r->text[len] = '\0';
    return r->text;
}

static void end(struct reader *r)
{
    assert_true(dup2(r->own, STDERR_FILENO) >= 0);
    (void)close(r->own);
    (void)close(r->pipe[0]);
    (void)close(r->pipe[1]);
}

static void a_line_has_level_program_event_and_no_control_characters(void **state)
{
    (void)state;
    struct reader *r = calloc(1, sizeof *r);
    assert_non_null(r);
    begin(r);
    kv_log(KV_LOG_WARNING, "caller", "name=\"%s\"", "a\nb\x1b[2J");
    char text[128];
    (void)snprintf(text, sizeof text, "%s", taken(r));
    end(r);
    assert_string_equal(text, "warning test caller name=\"a?b?[2J\"\n");
    free(r);
}

static void a_word_from_elsewhere_is_no_other_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"req-1.txt", "req-1.txt"},
        {"a code=ok", "a?code?ok"},
        {"\"a' b\"", "?a??b?"},
        {"a\n\x1b[2J\x7f", "a??[2J?"},
        {"\xc5\x82", "??"},
        {"0123456789abcdef", "0123456789a"}, /* cut */
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char out[12];
        assert_string_equal(kv_log_word(rows[i].text, out, sizeof out), rows[i].want);
    }
}

static void held_lines_leave_together(void **state)
{
    (void)state;
    struct reader *r = calloc(1, sizeof *r);
    assert_non_null(r);
    begin(r);
    kv_log_hold();
    kv_log(KV_LOG_INFO, "one", "n=1");
    kv_log(KV_LOG_INFO, "two", "n=2");
    bool early = taken(r)[0] != '\0';
    kv_log_release();
    char text[128];
    (void)snprintf(text, sizeof text, "%s", taken(r));
    end(r);
    assert_false(early);
    assert_string_equal(text, "info test one n=1\ninfo test two n=2\n");
    free(r);
}

static void a_reader_that_stands_still_stops_nobody(void **state)
{
    (void)state;
    struct reader *r = calloc(1, sizeof *r);
    assert_non_null(r);
    begin(r);
    for (int i = 0; i < 20000; i++) { /* far more than a pipe holds; without a bound: for ever */
        kv_log(KV_LOG_INFO, "line", "n=%d", i);
    }
    kv_log_release();
    (void)taken(r);
    kv_log(KV_LOG_INFO, "line", "n=last");
    kv_log_release();
    bool told = strstr(taken(r), "warning test log-lost lines=") != NULL;
    bool last = strstr(r->text, "n=last\n") != NULL;
    end(r);
    assert_true(told);
    assert_true(last);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_level_program_event_and_no_control_characters),
        cmocka_unit_test(a_word_from_elsewhere_is_no_other_key),
        cmocka_unit_test(held_lines_leave_together),
        cmocka_unit_test(a_reader_that_stands_still_stops_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
