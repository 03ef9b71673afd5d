#include "ksef/pace.h"

#include "core/time.h"
#include "tests/unit/kv_test.h"

#include <stdio.h>

#define START INT64_C(1780308000000)

static struct kv_bytes nip(void)
{
    return kv_bytes_str("Nip:5265877635");
}

/* As many as may be made at `now`. */
static unsigned burst(struct kv_pace *pace, enum kv_ksef_call call, struct kv_bytes context,
                      int64_t now)
{
    unsigned n = 0;
    while (n < 1000 && kv_pace_wait_ms(pace, call, context, now) == 0) {
        n++;
    }
    return n;
}

static void logins_are_limited_by_the_second_whatever_the_context(void **state)
{
    (void)state;
    struct kv_pace *pace = kv_pace_new();
    assert_int_equal(burst(pace, KV_KSEF_CHALLENGE, nip(), START), 60);
    assert_int_equal(burst(pace, KV_KSEF_CHALLENGE, kv_bytes_str("other"), START), 0);
    assert_int_equal(kv_pace_wait_ms(pace, KV_KSEF_CHALLENGE, nip(), START + 1), 999);
    assert_int_equal(burst(pace, KV_KSEF_XADES, nip(), START), 60); /* each for itself */
    assert_int_equal(burst(pace, KV_KSEF_CHALLENGE, nip(), START + KV_SECOND_MS), 60);
    kv_pace_free(pace);
}

static void sessions_are_limited_by_minute_and_hour_for_each_context(void **state)
{
    (void)state;
    struct kv_pace *pace = kv_pace_new();
    int64_t now = START;
    unsigned made = 0;
    assert_int_equal(burst(pace, KV_KSEF_SESSIONS, nip(), now), 10);
    assert_int_equal(burst(pace, KV_KSEF_SESSIONS, nip(), now + KV_SECOND_MS), 10);
    assert_int_equal(burst(pace, KV_KSEF_SESSIONS, nip(), now + 2 * KV_SECOND_MS), 10);
    assert_int_equal(kv_pace_wait_ms(pace, KV_KSEF_SESSIONS, nip(), now + 3 * KV_SECOND_MS),
                     KV_MINUTE_MS - 3 * KV_SECOND_MS);
    assert_int_equal(burst(pace, KV_KSEF_SESSIONS, kv_bytes_str("Nip:1"), now), 10);
    made = 30;
    for (now = START + KV_MINUTE_MS + 3 * KV_SECOND_MS; made < 120; now += KV_SECOND_MS) {
        made += burst(pace, KV_KSEF_SESSIONS, nip(), now);
    }
    assert_int_equal(made, 120);
    assert_true(now < START + KV_HOUR_MS);
    assert_int_equal(kv_pace_wait_ms(pace, KV_KSEF_SESSIONS, nip(), START + KV_HOUR_MS - 1), 1);
    assert_int_equal(burst(pace, KV_KSEF_SESSIONS, nip(), START + KV_HOUR_MS), 10);
    kv_pace_free(pace);
}

static void what_ksef_blocks_waits_as_long_as_it_says(void **state)
{
    (void)state;
    struct kv_pace *pace = kv_pace_new();
    kv_pace_block(pace, KV_KSEF_REFRESH, nip(), START + 40 * KV_SECOND_MS);
    kv_pace_block(pace, KV_KSEF_REFRESH, nip(), START + 10 * KV_SECOND_MS); /* never shorter */
    assert_int_equal(kv_pace_wait_ms(pace, KV_KSEF_REFRESH, nip(), START), 40 * KV_SECOND_MS);
    assert_int_equal(kv_pace_wait_ms(pace, KV_KSEF_STATUS, nip(), START), 0);
    assert_int_equal(kv_pace_wait_ms(pace, KV_KSEF_REFRESH, nip(), START + 40 * KV_SECOND_MS), 0);
    kv_pace_free(pace);
}

/* Contexts without end do not grow it, and the busy one is not the one forgotten. */
static void many_contexts_push_out_the_idle(void **state)
{
    (void)state;
    struct kv_pace *pace = kv_pace_new();
    int64_t now = START;
    assert_int_equal(burst(pace, KV_KSEF_SESSIONS, nip(), now), 10);
    for (int i = 0; i < 1000; i++) {
        char text[24];
        assert_true(snprintf(text, sizeof text, "Nip:%d", i) > 0);
        assert_int_equal(kv_pace_wait_ms(pace, KV_KSEF_SESSIONS, kv_bytes_str(text), ++now), 0);
        if (i % 100 == 0) {
            (void)kv_pace_wait_ms(pace, KV_KSEF_SESSIONS, nip(), now + KV_SECOND_MS);
        }
    }
    assert_true(burst(pace, KV_KSEF_SESSIONS, nip(), now) < 10);
    kv_pace_free(pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins_are_limited_by_the_second_whatever_the_context),
        cmocka_unit_test(sessions_are_limited_by_minute_and_hour_for_each_context),
        cmocka_unit_test(what_ksef_blocks_waits_as_long_as_it_says),
        cmocka_unit_test(many_contexts_push_out_the_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
