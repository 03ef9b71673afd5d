/* Limits of the fold: each time at its last good moment and just past it, numbers of people and of
 * uses. */
#include "tests/unit/kv_test.h"

#include "tests/unit/policy/steps.h"

static void open_with_grant_terms(struct world *w)
{
    world_open(w);
    world_credential(w, "cred-1");
    world_integration(w, "erp-1", "2101");
}

/* A request for a grant, made now; the knobs of the world are those of its text. */
static enum kv_code ask(struct world *w, const char *signer, const char *max_uses, const char *rate,
                        char id[static KV_ULID_LEN])
{
    struct world_text text;
    world_request(w, &text, signer, KV_ACTION_GRANT, "credential", "cred-1", "integration", "erp-1",
                  "context", WORLD_NIP, "operations", "csr.sign", "class", "routine", "max-uses",
                  max_uses, "rate", rate, NULL);
    memcpy(id, text.request, KV_ULID_LEN);
    return hand_in(w, &text);
}

/* ---- times ---- */

static void a_request_is_opened_within_its_window(void **state)
{
    (void)state;
    static const struct {
        int64_t ahead_ms; /* issued, against our clock */
        enum kv_code code;
    } rows[] = {
        {5 * KV_MINUTE_MS + KV_SECOND_MS, KV_E_APPR_TIME},
        {5 * KV_MINUTE_MS, KV_OK},
        {-72 * KV_HOUR_MS + KV_SECOND_MS, KV_OK},
        {-72 * KV_HOUR_MS, KV_E_APPR_TIME},
    };
    struct world w;
    char id[KV_ULID_LEN];
    open_with_grant_terms(&w);
    w.now_ms += 10 * KV_DAY_MS;
    w.issued_ms = w.now_ms + 5 * KV_MINUTE_MS;
    w.now_ms -= 1; /* a millisecond too early */
    must_refuse(&w, ask(&w, "req-01", "-", "-", id), KV_E_APPR_TIME);
    w.now_ms += 1;
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        w.issued_ms = w.now_ms + rows[i].ahead_ms;
        must_refuse(&w, ask(&w, "req-01", "-", "-", id), rows[i].code);
    }
    world_close(&w);
}

static void windows_of_grants_have_limits(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    open_with_grant_terms(&w);
    int64_t now = w.now_ms;
    w.not_after_ms = now + 106 * KV_DAY_MS;
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    w.not_after_ms = now + 106 * KV_DAY_MS + KV_SECOND_MS;
    must_refuse(&w, ask(&w, "req-01", "-", "-", id), KV_E_REQ_LIMIT);
    w.not_before_ms = now + 30 * KV_DAY_MS;
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    world_close(&w);
}

static void a_decision_comes_within_its_window(void **state)
{
    (void)state;
    static const struct {
        int64_t at_ms, issued_ms; /* behind the request's issued */
        enum kv_code code;
    } rows[] = {
        {0, 5 * KV_MINUTE_MS, KV_OK},
        {0, 5 * KV_MINUTE_MS + KV_SECOND_MS, KV_E_APPR_TIME},
        {KV_HOUR_MS, -5 * KV_MINUTE_MS, KV_OK},
        {KV_HOUR_MS, -5 * KV_MINUTE_MS - KV_SECOND_MS, KV_E_APPR_TIME},
        {72 * KV_HOUR_MS, 0, KV_OK},
        {72 * KV_HOUR_MS + 1, 0, KV_E_APPR_TIME},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct world w;
        char id[KV_ULID_LEN];
        open_with_grant_terms(&w);
        w.now_ms += KV_DAY_MS;
        int64_t asked = w.now_ms;
        world_must(&w, ask(&w, "req-01", "-", "-", id));
        w.now_ms = asked + rows[i].at_ms;
        w.issued_ms = asked + rows[i].issued_ms;
        must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id), rows[i].code);
        w.now_ms += KV_DAY_MS * 365;
        w.issued_ms = asked - KV_DAY_MS / 2;
        world_must(&w, decide(&w, "cus-02", KV_DECISION_DENY, id)); /* never asked for time */
        world_close(&w);
    }
}

/* A clock that is wrong by a year does not keep anybody from taking away. */
static void taking_away_is_never_late(void **state)
{
    (void)state;
    static const int64_t off_ms[] = {10 * KV_SECOND_MS, KV_HOUR_MS, 365 * KV_DAY_MS};
    for (size_t i = 0; i < 2 * KV_COUNT(off_ms); i++) {
        struct world w;
        char id[KV_ULID_LEN], target[80];
        int64_t off = (i % 2 == 0 ? 1 : -1) * off_ms[i / 2];
        world_open(&w);
        world_grant(&w, id);
        int len = snprintf(target, sizeof target, "grant %s", id);
        assert_true(len > 0 && (size_t)len < sizeof target);
        w.issued_ms = w.now_ms + off;
        world_must(&w, act(&w, "cus-02", KV_ACT_SUSPEND, target, "operations", "-"));
        w.issued_ms = w.now_ms + off;
        world_must(&w, act(&w, "fin-02", KV_ACT_REVOKE, target, NULL, NULL));
        must_refuse(&w, world_use(&w, id), KV_E_GRANT_REVOKED);
        world_close(&w);
    }
}

static void a_grant_stands_to_the_millisecond(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    open_with_grant_terms(&w);
    int64_t begin = w.now_ms + KV_DAY_MS, end = begin + KV_HOUR_MS;
    w.not_before_ms = begin;
    w.not_after_ms = end;
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    world_approve(&w, id);
    w.now_ms = begin - 1;
    world_due(&w);
    assert_null(kv_state_grant(w.state, kv_bytes_str(id)));
    assert_int_equal(kv_state_next_due_ms(w.state, w.now_ms), begin);
    w.now_ms = begin;
    world_due(&w);
    world_must(&w, world_use(&w, id));

    struct kv_answer answer; /* asked with a clock that fell back */
    struct kv_moment early = {begin - 1, UINT64_MAX};
    kv_state_explain(w.state, kv_bytes_str("erp-1"), KV_OP_CSR_SIGN, WORLD_NIP, &early, &answer);
    assert_int_equal(answer.code, KV_E_GRANT_EARLY);

    assert_int_equal(kv_state_next_due_ms(w.state, w.now_ms), end);
    w.now_ms = end - 1;
    world_must(&w, world_use(&w, id));
    w.now_ms = end;
    must_refuse(&w, world_use(&w, id), KV_E_GRANT_EXPIRED);
    world_due(&w);
    assert_int_equal(kv_state_grant(w.state, kv_bytes_str(id))->state, KV_GRANT_CLOSED);
    world_close(&w);
}

/* What was approved is carried out before not-after, or not at all. */
static void an_approved_request_ends(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct world w;
        struct kv_due due;
        char id[KV_ULID_LEN];
        world_open(&w);
        int64_t end = w.now_ms + KV_HOUR_MS;
        w.not_after_ms = end;
        world_must(&w, ask_enrolment(&w, "fin-03", "fin-03", "finance", id));
        both_approve(&w, id);
        w.now_ms = end - 1 + late; /* the log key was away meanwhile */
        struct kv_moment moment = {w.now_ms, UINT64_MAX};
        kv_state_due(w.state, &moment, true, &due);
        assert_non_null(due.rec);
        assert_int_equal(due.rec->ev, late ? KV_EV_REQUEST_LAPSE : KV_EV_PERSON_ENROL);
        kv_record_free(due.rec);
        kv_buf_clear(&due.doc);
        world_due(&w);
        assert_int_equal(state_of(&w, id), late ? KV_REQUEST_LAPSED : KV_REQUEST_DONE);
        world_close(&w);
    }
}

/* Between the event that ends a request and the record that says so, it gives nothing either. */
static void an_ended_request_collects_nothing(void **state)
{
    (void)state;
    struct world w;
    char left[KV_ULID_LEN], late[KV_ULID_LEN], id[KV_ULID_LEN];
    struct kv_due due;
    open_with_grant_terms(&w);
    world_must(&w, ask(&w, "req-01", "-", "-", left));
    int64_t end = w.now_ms + KV_HOUR_MS;
    w.not_after_ms = end;
    world_must(&w, ask(&w, "cus-02", "-", "-", late));
    w.not_after_ms = end;
    world_must(&w, ask_enrolment(&w, "fin-03", "fin-03", "finance", id));
    both_approve(&w, id);
    world_must(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person req-01", "left-on", "2026-01-05"));
    must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, left), KV_E_APPR_NOT_OPEN);

    struct kv_moment moment = {end - 1, UINT64_MAX};
    world_due(&w); /* fin-03 as well */
    kv_state_due(w.state, &moment, true, &due);
    assert_null(due.rec);
    kv_buf_clear(&due.doc);
    w.now_ms = end - 1;
    world_must(&w, decide(&w, "fin-02", KV_DECISION_APPROVE, late));
    w.now_ms = end;
    must_refuse(&w, decide(&w, "cus-01", KV_DECISION_APPROVE, late), KV_E_APPR_NOT_OPEN);
    world_close(&w);
}

/* A record made in time and written too late gives nothing. */
static void what_is_carried_out_is_so_in_time(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct kv_due due;
    world_open(&w);
    int64_t end = w.now_ms + KV_HOUR_MS;
    w.not_after_ms = end;
    world_must(&w, ask_enrolment(&w, "fin-03", "fin-03", "finance", id));
    both_approve(&w, id);
    struct kv_moment moment = {end - 1, UINT64_MAX};
    kv_state_due(w.state, &moment, true, &due);
    struct kv_bytes line = kv_buf_bytes(&due.doc);
    w.now_ms = end;
    must_refuse(&w, world_record(&w, due.rec, &line), KV_E_LEDGER_ILLEGAL);
    kv_buf_clear(&due.doc);
    world_close(&w);
}

static void a_key_is_good_from_its_enrolment_to_its_end(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct world_text text;
    open_with_grant_terms(&w);
    w.now_ms += KV_DAY_MS;
    const struct signer *b = world_signer(&w, "fin-02.b");
    char end[KV_TIME_S_LEN];
    int64_t enrolled = w.now_ms, end_ms = enrolled + KV_DAY_MS;
    kv_time_format_s(end_ms, end);
    world_request(&w, &text, "req-01", KV_ACTION_KEY_ENROL, "person", "fin-02", "key",
                  b->fingerprint, "public-key", b->line, "key-not-after", end, "replaces-key", "-",
                  NULL);
    world_prove(&w, &text, "fin-02.b");
    world_must(&w, world_submit(&w, &text));
    world_approve(&w, text.request);
    world_text_clear(&text);

    world_must(&w, ask(&w, "req-01", "-", "-", id));
    w.issued_ms = enrolled - KV_SECOND_MS;
    must_refuse(&w, decide(&w, "fin-02.b", KV_DECISION_APPROVE, id), KV_E_APPR_KEY);
    w.now_ms = end_ms;
    must_refuse(&w, decide(&w, "fin-02.b", KV_DECISION_APPROVE, id), KV_E_APPR_KEY);
    w.now_ms = end_ms; /* the fold's last record is earlier still: a refusal is none */
    must_refuse(&w, act(&w, "fin-02.b", KV_ACT_LEAVE, "person cus-02", "left-on", "2026-01-06"),
                KV_E_APPR_KEY);
    w.now_ms = end_ms - 1;
    w.issued_ms = enrolled;
    world_must(&w, decide(&w, "fin-02.b", KV_DECISION_APPROVE, id));
    world_close(&w);
}

/* ---- numbers ---- */

static void uses_and_rates_are_counted(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    open_with_grant_terms(&w);
    world_must(&w, ask(&w, "req-01", "4", "2/min", id));
    world_approve(&w, id);
    int64_t first = w.now_ms;
    world_must(&w, world_use(&w, id));
    w.now_ms += KV_SECOND_MS;
    world_must(&w, world_use(&w, id));
    w.now_ms = first + KV_MINUTE_MS - 1;
    must_refuse(&w, world_use(&w, id), KV_E_GRANT_RATE);
    w.now_ms = first + KV_MINUTE_MS;
    world_must(&w, world_use(&w, id));
    must_refuse(&w, world_use(&w, id), KV_E_GRANT_RATE);
    w.now_ms += KV_HOUR_MS;
    world_must(&w, world_use(&w, id)); /* the fourth */
    w.now_ms += KV_HOUR_MS;
    must_refuse(&w, world_use(&w, id), KV_E_GRANT_USES);
    world_close(&w);
}

static void a_request_that_nobody_could_complete_is_refused(void **state)
{
    (void)state;
    static const char two[] = "version: 1\n"
                              "approvals:\n"
                              "  default: {finance: 1, custodian: 1}\n"
                              "  grant: {finance: 2, custodian: 1}\n"
                              "custody-minimum: software\n"
                              "on-exe-change: suspend\n";
    struct world w;
    char id[KV_ULID_LEN];
    world_open_with(&w, two);
    world_credential(&w, "cred-1");
    world_integration(&w, "erp-1", "2101");
    must_refuse(&w, ask(&w, "fin-01", "-", "-", id), KV_E_APPR_NO_QUORUM);
    world_must(&w, ask(&w, "cus-01", "-", "-", id));
    world_must(&w, decide(&w, "cus-02", KV_DECISION_APPROVE, id));
    world_must(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id));
    world_due(&w);
    assert_int_equal(state_of(&w, id), KV_REQUEST_OPEN); /* one finance person is not two */
    must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id), KV_E_APPR_TWICE);
    must_refuse(&w, decide(&w, "cus-01", KV_DECISION_APPROVE, id), KV_E_APPR_REQUESTER);
    world_must(&w, decide(&w, "fin-02", KV_DECISION_APPROVE, id));
    world_due(&w);
    assert_int_equal(state_of(&w, id), KV_REQUEST_DONE);

    world_must(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person fin-02", "left-on", "2026-01-06"));
    must_refuse(&w, ask(&w, "req-01", "-", "-", id), KV_E_APPR_NO_QUORUM);
    world_close(&w);
}

static void nobody_signs_before_her_enrolment_is_covered(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    open_with_grant_terms(&w);
    enrol(&w, "fin-03", "fin-03", "finance");
    uint64_t seq = kv_state_person(w.state, kv_bytes_str("fin-03"))->seq;
    world_must(&w, ask(&w, "req-01", "-", "-", id));
    w.covered = seq;
    must_refuse(&w, decide(&w, "fin-03", KV_DECISION_APPROVE, id), KV_E_LEDGER_COVER);
    w.covered = seq + 1;
    world_must(&w, decide(&w, "fin-03", KV_DECISION_APPROVE, id));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_opened_within_its_window),
        cmocka_unit_test(windows_of_grants_have_limits),
        cmocka_unit_test(a_decision_comes_within_its_window),
        cmocka_unit_test(taking_away_is_never_late),
        cmocka_unit_test(a_grant_stands_to_the_millisecond),
        cmocka_unit_test(an_approved_request_ends),
        cmocka_unit_test(an_ended_request_collects_nothing),
        cmocka_unit_test(what_is_carried_out_is_so_in_time),
        cmocka_unit_test(a_key_is_good_from_its_enrolment_to_its_end),
        cmocka_unit_test(uses_and_rates_are_counted),
        cmocka_unit_test(a_request_that_nobody_could_complete_is_refused),
        cmocka_unit_test(nobody_signs_before_her_enrolment_is_covered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
