/* People who leave, come back, or lose a key: what they signed counts as the rules say, and no
 * longer. */
#include "tests/unit/kv_test.h"

#include "tests/unit/policy/steps.h"

/* ---- people ---- */

static void a_leaver_decides_nothing_in_the_same_turn(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    world_open(&w);
    enrol(&w, "fin-03", "fin-03", "finance");
    world_must(&w, ask_enrolment(&w, "aud-01", "aud-01", "auditor", id));
    world_must(&w, decide(&w, "fin-03", KV_DECISION_APPROVE, id));
    world_must(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person fin-03", "left-on", "2026-01-05"));
    world_must(&w, decide(&w, "cus-01", KV_DECISION_APPROVE, id));
    assert_int_equal(state_of(&w, id), KV_REQUEST_OPEN); /* fin-03 no longer counts */
    must_refuse(&w, decide(&w, "fin-03", KV_DECISION_DENY, id), KV_E_APPR_PERSON);
    world_must(&w, decide(&w, "fin-02", KV_DECISION_APPROVE, id));
    assert_int_equal(state_of(&w, id), KV_REQUEST_APPROVED);

    /* what a leaver asked for ends, even before the agent has written so */
    world_must(&w, ask_enrolment(&w, "aud-02", "aud-02", "auditor", id));
    world_must(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person req-01", "left-on", "2026-01-05"));
    must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id), KV_E_APPR_NOT_OPEN);
    world_due(&w);
    assert_int_equal(state_of(&w, id), KV_REQUEST_LAPSED);
    world_close(&w);
}

static void who_left_comes_back_with_her_key_and_not_with_what_she_signed_away(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct world_text text;
    world_open(&w);
    enrol(&w, "fin-03", "fin-03", "finance");
    world_must(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person fin-03", "left-on", "2026-01-05"));
    world_must(&w, ask_enrolment(&w, "aud-01", "aud-01", "auditor", id));
    world_decision(&w, &text, "fin-03", "finance", KV_DECISION_APPROVE, id); /* while away */
    w.now_ms += KV_HOUR_MS;
    enrol(&w, "fin-03", "fin-03", "finance");
    must_refuse(&w, hand_in(&w, &text), KV_E_APPR_KEY);
    w.now_ms += KV_MINUTE_MS;
    world_must(&w, decide(&w, "fin-03", KV_DECISION_APPROVE, id));
    assert_int_equal(kv_state_key_count(w.state), 6); /* one line of allowed_signers for hers */
    world_close(&w);
}

static void nobody_holds_both_duties_and_auditors_do_not_ask(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct world_text text;
    world_open(&w);
    must_refuse(&w, ask_enrolment(&w, "fin-01", "new-01", "custodian", id), KV_E_PERSON_DUTIES);
    must_refuse(&w, ask_enrolment(&w, "fin-01", "new-01", "finance", id), KV_E_PERSON_EXISTS);
    enrol(&w, "aud-01", "aud-01", "auditor");
    world_credential(&w, "cred-1");
    world_integration(&w, "erp-1", "2101");
    world_request(&w, &text, "aud-01", KV_ACTION_GRANT, "credential", "cred-1", "integration",
                  "erp-1", "context", WORLD_NIP, "operations", "csr.sign", "class", "routine",
                  "max-uses", "-", "rate", "-", NULL);
    must_refuse(&w, hand_in(&w, &text), KV_E_APPR_DUTY);
    must_refuse(&w, act(&w, "aud-01", KV_ACT_SUSPEND, "integration erp-1", "operations", "-"),
                KV_E_ACT_ENTITLED);
    world_close(&w);
}

static void the_last_of_a_duty_stays(void **state)
{
    (void)state;
    struct world w;
    struct world_text text;
    world_open(&w);
    world_must(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person fin-02", "left-on", "2026-01-05"));
    must_refuse(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person fin-01", "left-on", "2026-01-05"),
                KV_E_ACT_LAST);
    must_refuse(&w, act_on_key(&w, "fin-01", KV_ACT_RETIRE, "fin-01", 0), KV_E_ACT_LAST);
    world_request(&w, &text, "req-01", KV_ACTION_PERSON_CHANGE, "person", "fin-01", "duty-from",
                  "finance", "duty-to", "-", "organisation", "own", "contract-end", "-",
                  "business-duties", "-", "uid", "-", "name-commitment", "-", NULL);
    must_refuse(&w, hand_in(&w, &text), KV_E_ACT_LAST);
    /* a compromised key is no key, whoever remains */
    must_refuse(&w, act_on_key(&w, "fin-01", KV_ACT_COMPROMISED, "fin-01", w.now_ms),
                KV_E_ACT_ENTITLED);
    world_must(&w, act_on_key(&w, "cus-01", KV_ACT_COMPROMISED, "fin-01", w.now_ms));
    world_close(&w);
}

/* ---- keys ---- */

static void decisions_of_a_retired_key_go_on(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    world_open(&w);
    world_must(&w, ask_enrolment(&w, "aud-01", "aud-01", "auditor", id));
    world_must(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id));
    world_must(&w, act_on_key(&w, "fin-02", KV_ACT_RETIRE, "fin-01", 0));
    world_must(&w, decide(&w, "cus-01", KV_DECISION_APPROVE, id));
    assert_int_equal(state_of(&w, id), KV_REQUEST_APPROVED);
    world_close(&w);
}

static void decisions_of_a_compromised_key_do_not_count_since_then(void **state)
{
    (void)state;
    struct world w;
    char before[KV_ULID_LEN], after[KV_ULID_LEN];
    world_open(&w);
    world_must(&w, ask_enrolment(&w, "aud-01", "aud-01", "auditor", before));
    world_must(&w, ask_enrolment(&w, "aud-02", "aud-02", "auditor", after));
    world_must(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, before));
    w.now_ms += KV_HOUR_MS;
    int64_t since = w.now_ms;
    world_must(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, after));
    w.now_ms += KV_HOUR_MS;
    world_must(&w, act_on_key(&w, "cus-01", KV_ACT_COMPROMISED, "fin-01", since));
    world_must(&w, decide(&w, "cus-01", KV_DECISION_APPROVE, before));
    world_must(&w, decide(&w, "cus-01", KV_DECISION_APPROVE, after));
    assert_int_equal(state_of(&w, before), KV_REQUEST_APPROVED);
    assert_int_equal(state_of(&w, after), KV_REQUEST_OPEN);
    /* it turns out to have been earlier: more is taken away, never less */
    must_refuse(&w, act_on_key(&w, "cus-01", KV_ACT_COMPROMISED, "fin-01", since + KV_HOUR_MS),
                KV_E_ACT_TARGET);
    world_must(&w, act_on_key(&w, "cus-01", KV_ACT_COMPROMISED, "fin-01", since - KV_HOUR_MS));
    world_close(&w);
}

static void a_waiting_grant_of_a_compromised_key_is_suspended_when_it_begins(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    world_open(&w);
    world_credential(&w, "cred-1");
    world_integration(&w, "erp-1", "2101");
    int64_t since = w.now_ms += KV_MINUTE_MS;
    w.not_before_ms = w.now_ms + KV_DAY_MS;
    world_must(&w, ask_grant(&w, "cred-1", "erp-1", "-", id));
    both_approve(&w, id);
    world_due(&w);
    assert_int_equal(state_of(&w, id), KV_REQUEST_APPROVED); /* waits for its day */
    world_must(&w, act_on_key(&w, "cus-02", KV_ACT_COMPROMISED, "fin-01", since));
    w.now_ms += 2 * KV_DAY_MS;
    world_due(&w);
    const struct kv_grant *g = kv_state_grant(w.state, kv_bytes_str(id));
    assert_non_null(g);
    assert_int_equal(g->state, KV_GRANT_SUSPENDED);
    must_refuse(&w, world_use(&w, id), KV_E_GRANT_SUSPENDED);
    world_close(&w);
}

static void what_a_compromised_key_resumed_is_suspended_again(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN], target[40];
    struct world_text text;
    world_open(&w);
    world_grant(&w, id);
    (void)snprintf(target, sizeof target, "grant %s", id);
    world_must(&w, act(&w, "fin-01", KV_ACT_SUSPEND, target, "operations", "-"));
    int64_t since = w.now_ms += KV_HOUR_MS;
    world_request(&w, &text, "req-01", KV_ACTION_RESUME, "target", target, NULL);
    world_must(&w, world_submit(&w, &text));
    world_must(&w, decide(&w, "fin-02", KV_DECISION_APPROVE, text.request));
    world_must(&w, decide(&w, "cus-02", KV_DECISION_APPROVE, text.request));
    world_due(&w);
    world_text_clear(&text);
    world_must(&w, world_use(&w, id));
    world_must(&w, act_on_key(&w, "cus-01", KV_ACT_COMPROMISED, "cus-02", since));
    must_refuse(&w, world_use(&w, id),
                KV_E_GRANT_SUSPENDED); /* at once, before the agent's record */
    world_due(&w);
    assert_int_equal(kv_state_grant(w.state, kv_bytes_str(id))->state, KV_GRANT_SUSPENDED);
    world_close(&w);
}

static void the_agent_suspends_only_for_a_reason(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    world_open(&w);
    world_grant(&w, id);
    struct kv_record *rec = kv_record_new(KV_EV_GRANT_SUSPEND);
    kv_record_set(rec, KV_RK_GRANT, id);
    kv_record_set(rec, KV_RK_ERR, "key.compromised");
    must_refuse(&w, world_record(&w, rec, NULL), KV_E_LEDGER_ILLEGAL);
    rec = kv_record_new(KV_EV_INTEG_SUSPEND);
    kv_record_set(rec, KV_RK_INTEG, "erp-1");
    kv_record_set(rec, KV_RK_ERR, "policy.exe-changed");
    must_refuse(&w, world_record(&w, rec, NULL), KV_E_LEDGER_ILLEGAL);
    world_close(&w);
}

static void a_new_key_signs_its_own_enrolment(void **state)
{
    (void)state;
    struct world w;
    struct world_text text;
    const struct signer *own;
    world_open(&w);
    own = world_signer(&w, "fin-01.b");
    for (int proof = 0; proof < 3; proof++) {
        world_request(&w, &text, "req-01", KV_ACTION_KEY_ENROL, "person", "fin-01", "key",
                      own->fingerprint, "public-key", own->line, "key-not-after", "-",
                      "replaces-key", "-", NULL);
        if (proof > 0) {
            world_prove(&w, &text, proof == 1 ? "fin-01" : "fin-01.b");
        }
        must_refuse(&w, hand_in(&w, &text), proof == 2 ? KV_OK : KV_E_PERSON_KEY_PROOF);
    }
    world_close(&w);
}

static void two_keys_of_one_person_are_one_person(void **state)
{
    (void)state;
    struct world w;
    struct world_text text;
    char id[KV_ULID_LEN];
    world_open_with(&w, "version: 1\n"
                        "approvals:\n"
                        "  default: {finance: 2, custodian: 1}\n"
                        "custody-minimum: software\n");
    const struct signer *own = world_signer(&w, "fin-01.b");
    world_request(&w, &text, "req-01", KV_ACTION_KEY_ENROL, "person", "fin-01", "key",
                  own->fingerprint, "public-key", own->line, "key-not-after", "-", "replaces-key",
                  world_signer(&w, "fin-01")->fingerprint, NULL);
    world_prove(&w, &text, "fin-01.b");
    memcpy(id, text.request, sizeof id);
    world_must(&w, hand_in(&w, &text));
    world_must(&w, decide(&w, "fin-02", KV_DECISION_APPROVE, id));
    world_approve(&w, id);
    must_refuse(&w, act_on_key(&w, "fin-01", KV_ACT_RETIRE, "fin-02", 0), KV_E_APPR_KEY);

    world_must(&w, ask_enrolment(&w, "aud-01", "aud-01", "auditor", id));
    world_must(&w, decide(&w, "fin-01.b", KV_DECISION_APPROVE, id));
    must_refuse(&w, decide(&w, "fin-01", KV_DECISION_APPROVE, id), KV_E_APPR_KEY); /* replaced */
    must_refuse(&w, decide(&w, "fin-01.b", KV_DECISION_APPROVE, id), KV_E_APPR_TWICE);
    world_must(&w, decide(&w, "cus-01", KV_DECISION_APPROVE, id));
    assert_int_equal(state_of(&w, id), KV_REQUEST_OPEN);
    world_must(&w, decide(&w, "fin-02", KV_DECISION_APPROVE, id));
    assert_int_equal(state_of(&w, id), KV_REQUEST_APPROVED);
    world_close(&w);
}

static void a_request_that_nobody_could_complete_is_refused_at_once(void **state)
{
    (void)state;
    struct world w;
    struct world_text text;
    world_open(&w);
    world_must(&w, act(&w, "cus-01", KV_ACT_LEAVE, "person fin-02", "left-on", "2026-01-05"));
    world_request(&w, &text, "fin-01", KV_ACTION_CREDENTIAL_CREATE, "credential", "cred-1", "kind",
                  "auth-certificate", "key-type", "ec-p256", "slot", "main", "environment", "test",
                  "contexts", WORLD_NIP, "business-owner", "fin-01", "technical-custodian",
                  "cus-01", NULL);
    must_refuse(&w, hand_in(&w, &text), KV_E_APPR_NO_QUORUM);
    assert_int_equal(kv_state_eligible(w.state, KV_SEAT_FINANCE, kv_bytes_str(""), kv_bytes_str(""),
                                       kv_bytes_str("fin-01"), w.now_ms, NULL, 0),
                     0);
    assert_int_equal(kv_state_eligible(w.state, KV_SEAT_CUSTODIAN, kv_bytes_str("fin-01"),
                                       kv_bytes_str("cus-02"), kv_bytes_str(""), w.now_ms, NULL, 0),
                     1);
    world_close(&w);
}

static void only_finance_and_custodians_take_people_away(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    must_refuse(&w, act(&w, "req-01", KV_ACT_LEAVE, "person fin-02", "left-on", "2026-01-05"),
                KV_E_ACT_ENTITLED);
    must_refuse(&w, act_on_key(&w, "req-01", KV_ACT_RETIRE, "fin-02", 0), KV_E_ACT_ENTITLED);
    world_must(&w, act_on_key(&w, "req-01", KV_ACT_RETIRE, "req-01", 0)); /* her own */
    world_close(&w);
}

static void an_uncovered_key_signs_nothing_yet(void **state)
{
    (void)state;
    struct world w;
    struct world_text text;
    char id[KV_ULID_LEN];
    world_open(&w);
    const struct signer *own = world_signer(&w, "fin-01.b");
    world_request(&w, &text, "req-01", KV_ACTION_KEY_ENROL, "person", "fin-01", "key",
                  own->fingerprint, "public-key", own->line, "key-not-after", "-", "replaces-key",
                  "-", NULL);
    world_prove(&w, &text, "fin-01.b");
    memcpy(id, text.request, sizeof id);
    world_must(&w, hand_in(&w, &text));
    world_approve(&w, id);
    w.covered = kv_state_size(w.state) - 1; /* all but key.enrol itself */
    must_refuse(&w, act_on_key(&w, "fin-01.b", KV_ACT_RETIRE, "fin-02", 0), KV_E_LEDGER_COVER);
    w.covered++;
    world_must(&w, act_on_key(&w, "fin-01.b", KV_ACT_RETIRE, "fin-02", 0));
    world_close(&w);
}

static void a_policy_may_narrow_the_keys_that_approve(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    world_open_with(&w, "version: 1\n"
                        "approvals:\n"
                        "  default: {finance: 1, custodian: 1}\n"
                        "key-types:\n"
                        "  finance: [sk-ssh-ed25519@openssh.com]\n"
                        "custody-minimum: software\n");
    /* all founders have plain keys: nobody of finance could approve */
    must_refuse(&w, ask_enrolment(&w, "aud-01", "aud-01", "auditor", id), KV_E_APPR_NO_QUORUM);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaver_decides_nothing_in_the_same_turn),
        cmocka_unit_test(who_left_comes_back_with_her_key_and_not_with_what_she_signed_away),
        cmocka_unit_test(nobody_holds_both_duties_and_auditors_do_not_ask),
        cmocka_unit_test(the_last_of_a_duty_stays),
        cmocka_unit_test(decisions_of_a_retired_key_go_on),
        cmocka_unit_test(decisions_of_a_compromised_key_do_not_count_since_then),
        cmocka_unit_test(a_waiting_grant_of_a_compromised_key_is_suspended_when_it_begins),
        cmocka_unit_test(what_a_compromised_key_resumed_is_suspended_again),
        cmocka_unit_test(the_agent_suspends_only_for_a_reason),
        cmocka_unit_test(a_new_key_signs_its_own_enrolment),
        cmocka_unit_test(only_finance_and_custodians_take_people_away),
        cmocka_unit_test(an_uncovered_key_signs_nothing_yet),
        cmocka_unit_test(a_policy_may_narrow_the_keys_that_approve),
        cmocka_unit_test(two_keys_of_one_person_are_one_person),
        cmocka_unit_test(a_request_that_nobody_could_complete_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
