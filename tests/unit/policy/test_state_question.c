/* May this caller do this now: each refusal has its own reason, the first that applies, and says
 * who lifts it. */
#include "tests/unit/kv_test.h"

#include "tests/unit/policy/world.h"

#include <stdio.h>

static const char exe_a[] = "6b5e7090e6e681302c48109780613f883b1a1d232c719ec082ce50f8a847cb51";
static const char exe_b[] = "bab090cf1c2e43d03034e7b5256a45219906ac26cfd101aa5596d3f74c3e7c8f";
static const char path[] = "/opt/erp/bin/connector";

static void submit(struct world *w, struct world_text *text)
{
    world_must(w, world_submit(w, text));
    world_text_clear(text);
}

/* Register or change erp-1: uid 2101, unit erp.service, the executable with this hash. */
static void terms(struct world *w, const char *replaces, const char *hash, char id[KV_ULID_LEN])
{
    struct world_text text;
    enum kv_action action =
        replaces == NULL ? KV_ACTION_INTEGRATION_REGISTER : KV_ACTION_INTEGRATION_CHANGE;
    /* the first pair is repeated where there is nothing to replace */
    world_request(w, &text, "cus-02", action, "integration", "erp-1", "purpose", "Sends invoices",
                  "business-owner", "fin-01", "technical-custodian", "cus-01", "organisation",
                  "own", "contract-end", "-", "contexts", WORLD_NIP, "operations",
                  "auth.xades,csr.sign,session.open", "uid", "2101", "gid", "-", "unit",
                  "erp.service", "exe", path, "exe-sha256", hash,
                  replaces == NULL ? NULL : "replaces-request", replaces, NULL);
    world_must(w, world_submit(w, &text));
    memcpy(id, text.request, KV_ULID_LEN);
    world_approve(w, id);
    world_text_clear(&text);
}

static struct kv_caller caller(const char *hash)
{
    struct kv_caller c = {.uid = 2101, .gid = 2101, .unit = "erp.service", .exe = path};
    c.has_exe_hash = hash != NULL && kv_hash_from_hex(kv_bytes_str(hash), &c.exe_hash);
    return c;
}

static struct kv_answer ask_in(const struct world *w, struct kv_caller c, enum kv_op op,
                               const char *context)
{
    struct kv_answer answer;
    struct kv_moment moment = {w->now_ms, w->covered};
    kv_state_question(w->state, &c, op, context, &moment, &answer);
    return answer;
}

static struct kv_answer ask(const struct world *w, struct kv_caller c, enum kv_op op)
{
    return ask_in(w, c, op, WORLD_NIP);
}

static void must(struct kv_answer answer, enum kv_code code)
{
    if (answer.code != code) {
        fail_msg("%s instead of %s: %s", kv_code_word(answer.code), kv_code_word(code),
                 answer.detail);
    }
    if (code != KV_OK) {
        assert_string_not_equal(answer.detail, "");
    }
}

static void must_ask(const struct world *w, struct kv_caller c, enum kv_op op, enum kv_code code)
{
    must(ask(w, c, op), code);
}

static void request_grant(struct world *w, const char *operations, const char *max_uses,
                          char id[KV_ULID_LEN])
{
    struct world_text text;
    world_request(w, &text, "req-01", KV_ACTION_GRANT, "credential", "cred-1", "integration",
                  "erp-1", "context", WORLD_NIP, "operations", operations, "class", "routine",
                  "max-uses", max_uses, "rate", "-", NULL);
    memcpy(id, text.request, KV_ULID_LEN);
    submit(w, &text);
}

static void world_with_terms(struct world *w, char id[KV_ULID_LEN])
{
    world_open(w);
    world_credential(w, "cred-1");
    terms(w, NULL, exe_a, id);
}

static void each_refusal_has_its_reason(void **state)
{
    (void)state;
    struct world w;
    char reg[KV_ULID_LEN], id[KV_ULID_LEN], target[40];
    struct world_text text;
    struct kv_caller c = caller(exe_a), other = c;
    world_with_terms(&w, reg);

    other.uid = 61003;
    must_ask(&w, other, KV_OP_CSR_SIGN, KV_E_CALLER_UNKNOWN);
    other = c;
    other.unit = "";
    must_ask(&w, other, KV_OP_CSR_SIGN, KV_E_CALLER_UNIT);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_NO_GRANT);
    assert_string_equal(ask(&w, c, KV_OP_CSR_SIGN).who, "fin-01 (finance) and cus-01 (custodian)");

    w.not_before_ms = w.now_ms + KV_DAY_MS;
    request_grant(&w, "csr.sign", "2", id);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_WAITING);
    world_approve(&w, id);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_EARLY);                 /* approved, not begun */
    assert_int_equal(ask(&w, c, KV_OP_CSR_SIGN).retry_after_s, 86399); /* at most what is sent */
    w.now_ms += KV_DAY_MS - 10 * KV_SECOND_MS;
    assert_int_equal(ask(&w, c, KV_OP_CSR_SIGN).retry_after_s, 11);
    w.now_ms -= KV_DAY_MS - 10 * KV_SECOND_MS;
    w.now_ms += KV_DAY_MS;
    world_due(&w);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_OK);
    assert_string_equal(ask(&w, c, KV_OP_CSR_SIGN).credential->id, "cred-1");
    must_ask(&w, c, KV_OP_QR_KOD2, KV_E_GRANT_OPERATION);
    must(ask_in(&w, c, KV_OP_CSR_SIGN, "Nip:1111111111"), KV_E_GRANT_CONTEXT);
    must_ask(&w, c, KV_OP_SESSION_OPEN, KV_E_GRANT_OPERATION);

    (void)snprintf(target, sizeof target, "grant %s", id);
    world_act(&w, &text, "fin-02", KV_ACT_SUSPEND, target, "operations", "csr.sign");
    submit(&w, &text);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_SUSPENDED);
    world_request(&w, &text, "req-01", KV_ACTION_RESUME, "target", target, NULL);
    memcpy(reg, text.request, sizeof reg);
    submit(&w, &text);
    world_approve(&w, reg);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_OK);

    world_must(&w, world_use(&w, id));
    world_must(&w, world_use(&w, id));
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_USES);
    world_due(&w);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_USES); /* after grant.expire too */

    request_grant(&w, "csr.sign", "-", id);
    world_approve(&w, id);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_OK);
    w.now_ms += 60 * KV_DAY_MS;
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_EXPIRED); /* by the clock, with no record */
    world_due(&w);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_EXPIRED);

    request_grant(&w, "csr.sign", "-", id);
    world_approve(&w, id);
    (void)snprintf(target, sizeof target, "grant %s", id);
    world_act(&w, &text, "cus-02", KV_ACT_REVOKE, target, NULL, NULL);
    submit(&w, &text);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_GRANT_REVOKED);

    world_act(&w, &text, "cus-02", KV_ACT_SUSPEND, "integration erp-1", "operations", "-");
    submit(&w, &text);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_INTEG_SUSPENDED); /* before what its grants are */
    world_close(&w);
}

static void a_session_needs_its_login_granted_too(void **state)
{
    (void)state;
    struct world w;
    char reg[KV_ULID_LEN], id[KV_ULID_LEN];
    world_with_terms(&w, reg);
    request_grant(&w, "session.open", "-", id);
    world_approve(&w, id);
    must_ask(&w, caller(exe_a), KV_OP_SESSION_OPEN, KV_E_GRANT_OPERATION);
    request_grant(&w, "auth.xades,session.open", "-", id);
    world_approve(&w, id);
    must_ask(&w, caller(exe_a), KV_OP_SESSION_OPEN, KV_OK);
    assert_string_equal(ask(&w, caller(exe_a), KV_OP_SESSION_OPEN).grant->id, id);
    world_close(&w);
}

static void nothing_rests_on_what_no_checkpoint_covers(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct kv_caller c = {.uid = 2101, .gid = 1, .unit = "", .exe = ""};
    world_open(&w);
    world_grant(&w, id);
    const struct kv_grant *g = kv_state_grant(w.state, kv_bytes_str(id));
    w.covered = g->seq; /* all but the grant's own record */
    struct kv_answer answer = ask(&w, c, KV_OP_CSR_SIGN);
    must(answer, KV_E_LEDGER_COVER);
    assert_int_equal(answer.retry_after_s, 1);
    w.covered = g->seq + 1;
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_OK);
    /* nor does a person whose enrolment is not covered sign */
    struct world_text text;
    w.covered = 3; /* log.init, vault.found, fin-01 */
    world_act(&w, &text, "fin-02", KV_ACT_SUSPEND, "integration erp-1", "operations", "-");
    assert_int_equal(world_submit(&w, &text), KV_E_LEDGER_COVER);
    world_text_clear(&text);
    world_act(&w, &text, "fin-01", KV_ACT_SUSPEND, "integration erp-1", "operations", "-");
    submit(&w, &text);
    world_close(&w);
}

static void a_certificate_is_asked_for_its_time(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct kv_caller c = {.uid = 2101, .gid = 1, .unit = "", .exe = ""};
    world_open(&w);
    world_grant(&w, id);
    w.now_ms += 340 * KV_DAY_MS; /* the certificate ends after 365 */
    world_due(&w);
    world_grant(&w, id);
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_OK);
    w.now_ms += 30 * KV_DAY_MS;
    must_ask(&w, c, KV_OP_CSR_SIGN, KV_E_CERT_EXPIRED);
    assert_int_equal(world_use(&w, id), KV_E_CERT_EXPIRED);
    world_close(&w);
}

static void a_changed_program_is_told_from_an_unreadable_one(void **state)
{
    (void)state;
    struct world w;
    char reg[KV_ULID_LEN];
    struct kv_caller moved = caller(exe_a);
    world_with_terms(&w, reg);
    struct kv_answer answer = ask(&w, caller(exe_b), KV_OP_CSR_SIGN);
    must(answer, KV_E_CALLER_EXE);
    assert_true(answer.exe_changed && answer.exe_suspend);
    moved.exe = "/tmp/connector";
    answer = ask(&w, moved, KV_OP_CSR_SIGN);
    must(answer, KV_E_CALLER_EXE);
    assert_true(answer.exe_suspend);
    answer = ask(&w, caller(NULL), KV_OP_CSR_SIGN);
    must(answer, KV_E_CALLER_UNREAD);
    assert_false(answer.exe_changed || answer.exe_suspend);
    assert_true(answer.retry_after_s > 0);
    world_close(&w);
}

static void alarm(struct world *w)
{
    struct kv_record *rec = kv_record_new(KV_EV_ALARM_EXE_CHANGED);
    kv_record_set(rec, KV_RK_INTEG, "erp-1");
    kv_record_info_str(rec, "exe", exe_b);
    world_must(w, world_record(w, rec, NULL));
}

static void a_policy_may_tolerate_a_changed_program_for_hours(void **state)
{
    (void)state;
    struct world w;
    char reg[KV_ULID_LEN], id[KV_ULID_LEN];
    world_open_with(&w, "version: 1\n"
                        "approvals:\n"
                        "  default: {finance: 1, custodian: 1}\n"
                        "custody-minimum: software\n"
                        "on-exe-change: alarm-for 4\n");
    world_credential(&w, "cred-1");
    terms(&w, NULL, exe_a, reg);
    request_grant(&w, "csr.sign", "-", id);
    world_approve(&w, id);
    struct kv_answer answer = ask(&w, caller(exe_b), KV_OP_CSR_SIGN);
    must(answer, KV_OK);
    assert_true(answer.exe_changed && !answer.exe_suspend);
    alarm(&w);
    w.now_ms += 4 * KV_HOUR_MS - 1;
    must_ask(&w, caller(exe_b), KV_OP_CSR_SIGN, KV_OK);
    w.now_ms += 1;
    answer = ask(&w, caller(exe_b), KV_OP_CSR_SIGN);
    must(answer, KV_E_CALLER_EXE);
    assert_true(answer.exe_suspend);
    world_close(&w);
}

static void suspend_for_exe(struct world *w)
{
    alarm(w);
    struct kv_record *rec = kv_record_new(KV_EV_INTEG_SUSPEND);
    kv_record_set(rec, KV_RK_INTEG, "erp-1");
    kv_record_set(rec, KV_RK_ERR, kv_code_word(KV_E_CALLER_EXE));
    world_must(w, world_record(w, rec, NULL));
}

static void the_next_program_is_approved_beforehand(void **state)
{
    (void)state;
    struct world w;
    char reg[KV_ULID_LEN], change[KV_ULID_LEN], id[KV_ULID_LEN];
    world_with_terms(&w, reg);
    request_grant(&w, "csr.sign", "-", id);
    world_approve(&w, id);
    w.not_after_ms = w.now_ms + KV_DAY_MS;
    terms(&w, reg, exe_b, change);
    must_ask(&w, caller(exe_a), KV_OP_CSR_SIGN, KV_OK); /* not installed yet */
    must_ask(&w, caller(exe_b), KV_OP_CSR_SIGN, KV_OK);
    w.now_ms += KV_DAY_MS;
    must_ask(&w, caller(exe_a), KV_OP_CSR_SIGN, KV_E_CALLER_EXE);
    must_ask(&w, caller(exe_b), KV_OP_CSR_SIGN, KV_OK);
    world_close(&w);
}

static void a_change_lifts_the_alarm_and_not_what_a_person_suspended(void **state)
{
    (void)state;
    struct world w;
    char reg[KV_ULID_LEN], change[KV_ULID_LEN];
    struct world_text text;
    world_with_terms(&w, reg);
    suspend_for_exe(&w);
    must_ask(&w, caller(exe_b), KV_OP_CSR_SIGN, KV_E_INTEG_SUSPENDED);
    terms(&w, reg, exe_b, change);
    must_ask(&w, caller(exe_b), KV_OP_CSR_SIGN, KV_E_NO_GRANT); /* resumed */

    memcpy(reg, change, sizeof reg);
    suspend_for_exe(&w);
    world_act(&w, &text, "fin-02", KV_ACT_SUSPEND, "integration erp-1", "operations", "-");
    submit(&w, &text);
    terms(&w, reg, exe_a, change);
    assert_int_equal(kv_state_request(w.state, kv_bytes_str(change))->state, KV_REQUEST_DONE);
    must_ask(&w, caller(exe_a), KV_OP_CSR_SIGN, KV_E_INTEG_SUSPENDED);
    world_close(&w);
}

static void an_explanation_needs_no_caller(void **state)
{
    (void)state;
    struct world w;
    char reg[KV_ULID_LEN];
    struct kv_answer answer;
    world_with_terms(&w, reg);
    struct kv_moment moment = {w.now_ms, UINT64_MAX};
    kv_state_explain(w.state, kv_bytes_str("erp-1"), KV_OP_CSR_SIGN, WORLD_NIP, &moment, &answer);
    must(answer, KV_E_NO_GRANT);
    assert_string_equal(answer.who, "fin-01 (finance) and cus-01 (custodian)");
    kv_state_explain(w.state, kv_bytes_str("erp-9"), KV_OP_CSR_SIGN, WORLD_NIP, &moment, &answer);
    must(answer, KV_E_NOT_FOUND);
    suspend_for_exe(&w);
    kv_state_explain(w.state, kv_bytes_str("erp-1"), KV_OP_CSR_SIGN, WORLD_NIP, &moment, &answer);
    must(answer, KV_E_INTEG_SUSPENDED);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_has_its_reason),
        cmocka_unit_test(a_session_needs_its_login_granted_too),
        cmocka_unit_test(nothing_rests_on_what_no_checkpoint_covers),
        cmocka_unit_test(a_certificate_is_asked_for_its_time),
        cmocka_unit_test(a_changed_program_is_told_from_an_unreadable_one),
        cmocka_unit_test(a_policy_may_tolerate_a_changed_program_for_hours),
        cmocka_unit_test(the_next_program_is_approved_beforehand),
        cmocka_unit_test(a_change_lifts_the_alarm_and_not_what_a_person_suspended),
        cmocka_unit_test(an_explanation_needs_no_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
