/* A grant that is over closes when nothing of it is left at KSeF, and its record says who ended it
 * and how long what was handed out lives on. */
#include "tests/unit/policy/life.h"
#include "tests/unit/policy/steps.h"

#define UNTIL "2026-01-05T23:00:00Z"

struct scene {
    struct world w;
    char id[KV_ULID_LEN];
};

static const struct kv_grant *grant(const struct scene *s)
{
    return kv_state_grant(s->w.state, kv_bytes_str(s->id));
}

static void open_scene(struct scene *s)
{
    world_open(&s->w);
    world_grant(&s->w, s->id);
}

static enum kv_code revoke(struct scene *s)
{
    char target[80];
    int len = snprintf(target, sizeof target, "grant %s", s->id);
    assert_true(len > 0 && (size_t)len < sizeof target);
    return act(&s->w, "fin-02", KV_ACT_REVOKE, target, NULL, NULL);
}

static enum kv_code close_it(struct scene *s, const char *person, const char *residual)
{
    struct kv_record *rec = kv_record_new(KV_EV_GRANT_CLOSE);
    kv_record_set(rec, KV_RK_GRANT, s->id);
    if (person != NULL) {
        kv_record_set(rec, KV_RK_PERSON, person);
    }
    if (residual != NULL) {
        kv_record_info_str(rec, "residual", residual);
    }
    return world_record(&s->w, rec, NULL);
}

static const struct kv_record *last(const struct scene *s)
{
    return s->w.entry[s->w.count - 1].rec;
}

static void a_grant_that_stands_is_not_closed(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    must_refuse(&s.w, close_it(&s, NULL, NULL), KV_E_LEDGER_ILLEGAL);
    must_refuse(&s.w, close_it(&s, "fin-02", NULL), KV_E_LEDGER_ILLEGAL);
    assert_int_equal(grant(&s)->state, KV_GRANT_ACTIVE);
    world_close(&s.w);
}

static void with_nothing_at_ksef_it_closes_at_once(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    world_must(&s.w, revoke(&s));
    assert_int_equal(grant(&s)->state, KV_GRANT_CLOSING);
    world_due(&s.w);
    assert_int_equal(grant(&s)->state, KV_GRANT_CLOSED);
    assert_int_equal(last(&s)->ev, KV_EV_GRANT_CLOSE);
    assert_string_equal(last(&s)->person, "fin-02");
    assert_null(kv_record_info(last(&s), "residual"));
    must_refuse(&s.w, close_it(&s, "fin-02", NULL), KV_E_LEDGER_ILLEGAL); /* once */
    world_close(&s.w);
}

static void a_session_keeps_it_closing(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    life_session_opens(&s.w, s.id, UNTIL);
    world_must(&s.w, revoke(&s));
    world_due(&s.w);
    assert_int_equal(grant(&s)->state, KV_GRANT_CLOSING);
    must_refuse(&s.w, close_it(&s, "fin-02", UNTIL), KV_E_LEDGER_ILLEGAL);

    life_session_ends(&s.w, UNTIL);
    must_refuse(&s.w, close_it(&s, NULL, UNTIL), KV_E_LEDGER_ILLEGAL);     /* she ended it */
    must_refuse(&s.w, close_it(&s, "fin-01", UNTIL), KV_E_LEDGER_ILLEGAL); /* not she */
    must_refuse(&s.w, close_it(&s, "fin-02", NULL), KV_E_LEDGER_ILLEGAL);  /* a token lives on */
    must_refuse(&s.w, close_it(&s, "fin-02", "2026-01-05T22:59:59Z"), KV_E_LEDGER_ILLEGAL);
    world_due(&s.w);
    assert_int_equal(grant(&s)->state, KV_GRANT_CLOSED);
    assert_string_equal(kv_record_info_get_str(last(&s), "residual"), UNTIL);
    world_close(&s.w);
}

static void by_time_nobody_is_named(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.w.now_ms = grant(&s)->request->not_after_ms;
    world_due(&s.w);
    assert_int_equal(grant(&s)->state, KV_GRANT_CLOSED);
    assert_string_equal(last(&s)->person, "");
    world_close(&s.w);
}

/* A refresh token lives for seven days: what nobody could end has ended then. */
static void a_lost_session_does_not_keep_it_for_ever(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    life_session_opens(&s.w, s.id, UNTIL);
    world_must(&s.w, revoke(&s));
    s.w.now_ms += 7 * KV_DAY_MS;
    world_due(&s.w);
    assert_int_equal(grant(&s)->state, KV_GRANT_CLOSING);
    s.w.now_ms += KV_DAY_MS + 1000;
    world_due(&s.w);
    assert_int_equal(grant(&s)->state, KV_GRANT_CLOSED);
    world_close(&s.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_that_stands_is_not_closed),
        cmocka_unit_test(with_nothing_at_ksef_it_closes_at_once),
        cmocka_unit_test(a_session_keeps_it_closing),
        cmocka_unit_test(by_time_nobody_is_named),
        cmocka_unit_test(a_lost_session_does_not_keep_it_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
