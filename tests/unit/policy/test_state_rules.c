/* Rules of the fold that are easy to get around: by two requests at a time, by time, by a
 * text that says less than it does. Each test tries to, and is refused. */
#include "tests/unit/kv_test.h"

#include "tests/unit/certifier.h"
#include "tests/unit/policy/steps.h"

#include "policy/state_model.h"

static struct kv_answer ask(const struct world *w, const struct kv_caller *caller, enum kv_op op)
{
    struct kv_answer answer;
    struct kv_moment moment = {w->now_ms, UINT64_MAX};
    kv_state_question(w->state, caller, op, WORLD_NIP, &moment, &answer);
    return answer;
}

static const struct kv_caller erp = {.uid = 2101, .gid = 2101, .unit = "", .exe = ""};

/* ---- two requests at a time ---- */

static void one_key_does_not_become_two_people(void **state)
{
    (void)state;
    struct world w;
    char first[KV_ULID_LEN], second[KV_ULID_LEN];
    world_open(&w);
    world_must(&w, ask_enrolment(&w, "fin-03", "new-01", "finance", first));
    world_must(&w, ask_enrolment(&w, "cus-03", "new-01", "custodian", second));
    both_approve(&w, first);
    both_approve(&w, second);
    world_due(&w);
    assert_int_equal(state_of(&w, first), KV_REQUEST_DONE);
    assert_int_equal(state_of(&w, second), KV_REQUEST_LAPSED);
    assert_non_null(kv_state_person(w.state, kv_bytes_str("fin-03")));
    assert_null(kv_state_person(w.state, kv_bytes_str("cus-03")));
    /* nor afterwards */
    must_refuse(&w, ask_enrolment(&w, "cus-04", "new-01", "custodian", second),
                KV_E_PERSON_KEY_USED);
    world_close(&w);
}

static void a_record_cannot_enrol_the_key_a_second_time(void **state)
{
    (void)state;
    struct world w;
    char first[KV_ULID_LEN], second[KV_ULID_LEN];
    struct kv_buf line;
    world_open(&w);
    world_must(&w, ask_enrolment(&w, "fin-03", "new-01", "finance", first));
    world_must(&w, ask_enrolment(&w, "cus-03", "new-01", "custodian", second));
    both_approve(&w, first);
    world_due(&w);
    both_approve(&w, second); /* and now somebody writes the record that nobody should */
    kv_buf_init(&line, 256);
    kv_buf_add_format(&line, "%s\n", world_signer(&w, "new-01")->line);
    struct kv_bytes blob = kv_buf_bytes(&line);
    struct kv_record *rec = kv_record_new(KV_EV_PERSON_ENROL);
    kv_record_set(rec, KV_RK_PERSON, "cus-03");
    kv_record_set(rec, KV_RK_KEY, world_signer(&w, "new-01")->fingerprint);
    kv_record_set(rec, KV_RK_REQ, second);
    kv_record_info_str(rec, "duty", "custodian");
    kv_record_add_doc(rec, KV_DOC_PUBLIC_KEY, blob);
    must_refuse(&w, world_record(&w, rec, &blob), KV_E_PERSON_KEY_USED);
    kv_buf_clear(&line);
    world_close(&w);
}

static void one_account_serves_one_integration(void **state)
{
    (void)state;
    struct world w;
    struct world_text text[2];
    static const char *const names[] = {"erp-1", "erp-2"};
    world_open(&w);
    for (size_t i = 0; i < 2; i++) {
        world_request(&w, &text[i], "cus-02", KV_ACTION_INTEGRATION_REGISTER, "integration",
                      names[i], "purpose", "Sends invoices", "business-owner", "fin-01",
                      "technical-custodian", "cus-01", "organisation", "own", "contract-end", "-",
                      "contexts", WORLD_NIP, "operations", "csr.sign", "uid", "2101", "gid", "-",
                      "unit", "-", "exe", "-", "exe-sha256", "-", NULL);
        world_must(&w, world_submit(&w, &text[i]));
    }
    both_approve(&w, text[0].request);
    both_approve(&w, text[1].request);
    world_due(&w);
    assert_int_equal(kv_state_integration_count(w.state), 1);
    assert_int_equal(state_of(&w, text[1].request), KV_REQUEST_LAPSED);
    world_text_clear(&text[0]);
    world_text_clear(&text[1]);
    world_close(&w);
}

static void one_credential_serves_one_integration(void **state)
{
    (void)state;
    struct world w;
    char first[KV_ULID_LEN], second[KV_ULID_LEN], third[KV_ULID_LEN];
    world_open(&w);
    world_credential(&w, "cred-1");
    world_integration(&w, "erp-1", "2101");
    world_integration(&w, "erp-2", "2102");
    world_must(&w, ask_grant(&w, "cred-1", "erp-1", "-", first));
    world_must(&w, ask_grant(&w, "cred-1", "erp-2", "-", second)); /* neither stands yet */
    both_approve(&w, second);
    both_approve(&w, first);
    world_due(&w);
    assert_int_equal(kv_state_grant_count(w.state), 1);
    assert_int_equal(state_of(&w, second), KV_REQUEST_DONE);
    assert_int_equal(state_of(&w, first), KV_REQUEST_LAPSED);
    must_refuse(&w, ask_grant(&w, "cred-1", "erp-1", "-", third), KV_E_REQ_CRED_SHARED);
    world_close(&w);
}

static void what_was_denied_meanwhile_gives_nothing(void **state)
{
    (void)state;
    struct world w;
    struct world_text text;
    struct kv_moment moment;
    world_open(&w);
    world_request(&w, &text, "cus-02", KV_ACTION_CREDENTIAL_CREATE, "credential", "cred-1", "kind",
                  "auth-certificate", "key-type", "ec-p256", "slot", "main", "environment", "test",
                  "contexts", WORLD_NIP, "business-owner", "fin-01", "technical-custodian",
                  "cus-01", NULL);
    world_must(&w, world_submit(&w, &text));
    both_approve(&w, text.request);
    moment = (struct kv_moment){w.now_ms, UINT64_MAX};
    size_t at = 0;
    assert_non_null(kv_state_key_wanted(w.state, &moment, &at));
    assert_null(kv_state_key_wanted(w.state, &moment, &at)); /* there is no other */
    moment.covered = kv_state_size(w.state) - 1; /* the second approval waits for its checkpoint */
    at = 0;
    assert_null(kv_state_key_wanted(w.state, &moment, &at));

    struct kv_bytes spki = kv_buf_bytes(&w.spki);
    struct kv_record *rec = kv_record_new(KV_EV_CRED_CREATE);
    kv_record_set(rec, KV_RK_REQ, text.request);
    kv_record_set(rec, KV_RK_CRED, "cred-1");
    kv_record_info_str(rec, "custody", "software");
    kv_record_add_doc(rec, KV_DOC_PUBLIC_KEY, spki);
    world_must(&w, world_record(&w, rec, &spki));
    world_must(&w,
               decide(&w, "fin-02", KV_DECISION_DENY, text.request)); /* before its certificate */
    struct kv_bytes certificate = kv_bytes_str("certificate");
    rec = kv_record_new(KV_EV_CRED_ACTIVATE);
    kv_record_set(rec, KV_RK_REQ, text.request);
    kv_record_set(rec, KV_RK_CRED, "cred-1");
    kv_record_info_str(rec, "from", "2026-01-01T00:00:00Z");
    kv_record_info_str(rec, "to", "2027-01-01T00:00:00Z");
    kv_record_add_doc(rec, KV_DOC_CERTIFICATE, certificate);
    must_refuse(&w, world_record(&w, rec, &certificate), KV_E_LEDGER_NOT_APPROVED);
    world_text_clear(&text);
    world_close(&w);
}

/* ---- evidence ---- */

static enum kv_code create(struct world *w, const char *request, const char *level,
                           const struct kv_buf *evidence)
{
    const struct kv_bytes blobs[] = {kv_buf_bytes(&w->spki), kv_buf_bytes(evidence)};
    struct kv_record *rec = kv_record_new(KV_EV_CRED_CREATE);
    kv_record_set(rec, KV_RK_REQ, request);
    kv_record_set(rec, KV_RK_CRED, "cred-1");
    kv_record_info_str(rec, "custody", level);
    kv_record_info_map_bool(rec, "attrs", "local", true);
    kv_record_add_doc(rec, KV_DOC_PUBLIC_KEY, blobs[0]);
    if (evidence->len > 0) {
        kv_record_add_doc(rec, KV_DOC_EVIDENCE, blobs[1]);
    }
    return world_record(w, rec, blobs);
}

/* Whose credential it is: the vault, the request and the name of the record, or others. */
static void evidence_is_judged_with_the_record_of_its_key(void **state)
{
    (void)state;
    struct world w;
    struct world_text text;
    struct kv_buf evidence, other, none;
    struct certifier bare = certifier_honest;
    bare.certificate = NULL;
    kv_buf_init(&none, 1);
    for (int row = 0; row < 9; row++) {
        world_open(&w);
        world_request(&w, &text, "cus-02", KV_ACTION_CREDENTIAL_CREATE, "credential", "cred-1",
                      "kind", "auth-certificate", "key-type", "ec-p256", "slot", "main",
                      "environment", "test", "contexts", WORLD_NIP, "business-owner", "fin-01",
                      "technical-custodian", "cus-01", NULL);
        world_must(&w, world_submit(&w, &text));
        both_approve(&w, text.request);
        const struct kv_evidence_subject subject = {
            row == 4 ? "ksef-vault.example.com/test-other" : WORLD_VAULT,
            row == 5 ? "01M8RDBZ702DD05EARSWR5F8EA" : text.request, row == 6 ? "cred-2" : "cred-1"};
        certifier_spki(&other);
        certifier_say(row == 1 || row == 3 ? &bare : &certifier_honest, &subject,
                      kv_buf_bytes(row == 7 ? &other : &w.spki), &evidence);
        if (row == 8) {
            evidence.data[evidence.len - 4] ^= 1; /* in the certificate */
        }
        const char *level = row == 1 ? "claimed" : "attested";
        enum kv_code code = create(&w, text.request, level, row == 2 ? &none : &evidence);
        if ((code == KV_OK) != (row < 2) || (row >= 2 && code != KV_E_LEDGER_EVIDENCE)) {
            fail_msg("row %d: %s %s", row, kv_code_word(code), w.err.msg);
        }
        kv_buf_clear(&evidence);
        kv_buf_clear(&other);
        world_text_clear(&text);
        world_close(&w);
    }
}

/* ---- denials and time ---- */

static void a_denial_is_asked_for_neither_time_nor_policy(void **state)
{
    (void)state;
    static const int64_t off[] = {-366 * KV_DAY_MS, -KV_HOUR_MS, 10 * KV_SECOND_MS, KV_HOUR_MS,
                                  366 * KV_DAY_MS};
    for (size_t i = 0; i < KV_COUNT(off); i++) {
        struct world w;
        char id[KV_ULID_LEN];
        struct world_text text;
        world_open(&w);
        world_must(&w, ask_enrolment(&w, "aud-01", "aud-01", "auditor", id));
        w.issued_ms = w.now_ms + off[i];
        world_decision(&w, &text, "fin-01", "finance", KV_DECISION_APPROVE, id);
        must_refuse(&w, hand_in(&w, &text), i == 2 ? KV_OK : KV_E_APPR_TIME);
        w.issued_ms = w.now_ms + off[i];
        world_decision(&w, &text, "cus-01", "custodian", KV_DECISION_DENY, id);
        world_must(&w, hand_in(&w, &text));
        assert_int_equal(state_of(&w, id), KV_REQUEST_DENIED);
        world_close(&w);
    }
}

/* ---- policies ---- */

static const char attested_policy[] = "version: 1\n"
                                      "approvals:\n"
                                      "  default: {finance: 1, custodian: 1}\n"
                                      "custody-minimum: attested\n";

static void people_sign_which_grants_a_policy_ends(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct world_text text;
    world_open(&w);
    world_grant(&w, id);
    world_policy_request(&w, &text, "req-01", attested_policy, NULL);
    must_refuse(&w, hand_in(&w, &text), KV_E_REQ_POLICY_TEXT); /* its key is in software */
    world_policy_request(&w, &text, "req-01", world_policy, id);
    must_refuse(&w, hand_in(&w, &text), KV_E_REQ_POLICY_TEXT); /* it would not end it */
    world_policy_request(&w, &text, "req-01", attested_policy, id);
    world_must(&w, world_submit(&w, &text));
    world_approve(&w, text.request);
    assert_int_equal(state_of(&w, text.request), KV_REQUEST_DONE);
    const struct kv_grant *g = kv_state_grant(w.state, kv_bytes_str(id));
    assert_int_equal(g->state, KV_GRANT_CLOSED); /* ended, and nothing was left at KSeF */
    assert_string_equal(g->why, "policy");
    world_text_clear(&text);
    world_close(&w);
}

static void a_policy_lapses_when_what_it_ends_has_changed(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    struct world_text text;
    struct kv_due due;
    world_open(&w);
    world_credential(&w, "cred-1");
    world_integration(&w, "erp-1", "2101");
    world_policy_request(&w, &text, "req-01", attested_policy, NULL); /* nothing stands yet */
    world_must(&w, world_submit(&w, &text));
    world_grant(&w, id);
    both_approve(&w, text.request);
    struct kv_moment moment = {w.now_ms, UINT64_MAX};
    kv_state_due(w.state, &moment, true, &due);
    assert_non_null(due.rec);
    assert_int_equal(due.rec->ev, KV_EV_POLICY_ACTIVATE);
    struct kv_bytes blob = kv_buf_bytes(&text.policy);
    kv_record_add_doc(due.rec, KV_DOC_POLICY, blob);
    struct kv_record *instead = kv_state_lapse(w.state, due.rec);
    must_refuse(&w, world_record(&w, due.rec, &blob), KV_E_REQ_POLICY_TEXT);
    assert_non_null(instead);
    world_must(&w, world_record(&w, instead, NULL));
    assert_int_equal(state_of(&w, text.request), KV_REQUEST_LAPSED);
    kv_buf_clear(&due.doc);
    world_text_clear(&text);
    world_close(&w);
}

static void rates_of_grant_and_policy_both_hold(void **state)
{
    (void)state;
    struct world w;
    char id[KV_ULID_LEN];
    world_open_with(&w, "version: 1\n"
                        "approvals:\n"
                        "  default: {finance: 1, custodian: 1}\n"
                        "limits:\n"
                        "  rate-max: 2/min\n"
                        "custody-minimum: software\n");
    world_credential(&w, "cred-1");
    world_integration(&w, "erp-1", "2101");
    world_must(&w, ask_grant(&w, "cred-1", "erp-1", "5/day", id)); /* fewer a day, more at once */
    both_approve(&w, id);
    world_due(&w);
    assert_int_equal(ask(&w, &erp, KV_OP_CSR_SIGN).room, 2);
    world_must(&w, world_use(&w, id));
    assert_int_equal(ask(&w, &erp, KV_OP_CSR_SIGN).room, 1);
    assert_int_equal(ask(&w, &erp, KV_OP_CSR_SIGN).room_code, KV_E_GRANT_RATE);
    world_must(&w, world_use(&w, id));
    must_refuse(&w, world_use(&w, id), KV_E_GRANT_RATE);
    struct kv_answer answer = ask(&w, &erp, KV_OP_CSR_SIGN);
    assert_int_equal(answer.code, KV_E_GRANT_RATE);
    assert_in_range(answer.retry_after_s, 60, 61);
    for (int i = 0; i < 3; i++) {
        w.now_ms += KV_HOUR_MS;
        assert_int_equal(ask(&w, &erp, KV_OP_CSR_SIGN).room, i < 2 ? 2 : 1); /* three are left */
        world_must(&w, world_use(&w, id));
    }
    w.now_ms += KV_HOUR_MS;
    must_refuse(&w, world_use(&w, id), KV_E_GRANT_RATE); /* five of the day */
    w.now_ms += 21 * KV_HOUR_MS;
    world_must(&w, world_use(&w, id));
    world_close(&w);
}

static void no_credential_does_the_work_of_another_kind(void **state)
{
    (void)state;
    static const struct {
        enum kv_cred_kind kind;
        const char *ops; /* all that it serves */
    } rows[] = {
        {KV_CRED_AUTH_CERTIFICATE,
         "auth.xades,csr.sign,relay.read,relay.send,session.open,sign.raw"},
        {KV_CRED_OFFLINE_CERTIFICATE, "qr.kod2,sign.raw"},
        {KV_CRED_TOKEN, "auth.token,relay.read,relay.send,session.open"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        uint32_t want, have = 0;
        assert_true(kv_ops_parse(kv_bytes_str(rows[i].ops), &want));
        for (enum kv_op op = KV_OP_NONE; op < KV_OP_COUNT; op++) {
            have |= kv_cred_serves(rows[i].kind, op) ? UINT32_C(1) << op : 0;
        }
        assert_int_equal(have, want);
    }
}

/* ---- founding ---- */

static void a_crowd_cannot_hide_a_founder_who_did_not_sign(void **state)
{
    (void)state;
    struct world w;
    static struct kv_line lines[128];
    static char person[34][160], label[34][16];
    static struct kv_sentences sentences;
    struct kv_ruleset rules;
    struct kv_statement *st = NULL;
    char hex[KV_HASH_HEX_LEN];
    size_t n = 0;
    world_open_unfounded(&w, world_policy);
    struct kv_hash policy = kv_hash(kv_buf_bytes(&w.policy));
    kv_hash_hex(&policy, hex);
    assert_int_equal(kv_ruleset_parse(kv_buf_bytes(&w.policy), &rules, &w.err), KV_OK);
    kv_ruleset_sentences(&rules, KV_LANG_EN, &sentences);
    const struct {
        enum kv_key key;
        const char *value;
    } fixed[] = {
        {KV_KEY_VAULT, WORLD_VAULT},
        {KV_KEY_POLICY, hex},
        {KV_KEY_REQUEST, "01KE6P4YM0QK34KKYVHK2NE19X"},
        {KV_KEY_REQUESTER, "-"},
        {KV_KEY_REQUESTER_KEY, "-"},
        {KV_KEY_ACTION, "found"},
        {KV_KEY_LOG_KEY, w.log_key},
        {KV_KEY_TEST, "yes"},
        {KV_KEY_POLICY_SHA256, hex},
        {KV_KEY_LANG, "en"},
        {KV_KEY_REASON_COMMITMENT, "-"},
        {KV_KEY_NOT_BEFORE, "2026-01-05T09:00:00Z"},
        {KV_KEY_NOT_AFTER, "2026-01-08T09:00:00Z"},
        {KV_KEY_ISSUED, "2026-01-05T09:00:00Z"},
        {KV_KEY_NONCE, "h0OmQdgQJhV9HuvzCmoFNpGBWNwY6AT6Dc9HmIBbIUo"},
    };
    for (size_t i = 0; i < KV_COUNT(fixed); i++) {
        lines[n++] = (struct kv_line){fixed[i].key, 0, kv_bytes_str(fixed[i].value)};
    }
    static struct signer crowd[31];
    for (uint32_t i = 0; i < KV_COUNT(crowd); i++) {
        (void)snprintf(label[i], sizeof label[i], "crowd-%u", i);
        signer_init(&crowd[i], label[i]);
        (void)snprintf(person[i], sizeof person[i], "%s %s %s", label[i],
                       i % 2 == 0 ? "finance" : "custodian", crowd[i].fingerprint);
        lines[n++] = (struct kv_line){KV_KEY_PERSON_N, i + 1, kv_bytes_str(person[i])};
        lines[n++] = (struct kv_line){KV_KEY_PUBLIC_KEY_N, i + 1, kv_bytes_str(crowd[i].line)};
    }
    for (size_t i = 0; i < sentences.count; i++) {
        lines[n++] =
            (struct kv_line){KV_KEY_SENTENCE_N, (uint32_t)i + 1, kv_bytes_str(sentences.text[i])};
    }
    if (kv_compose_request(lines, n, &st, &w.err) != KV_OK) {
        fail_msg("%s", w.err.msg);
    }
    struct kv_founding *f = kv_founding_new(WORLD_VAULT, w.log_key);
    struct kv_submission sub = {.text = kv_statement_text(st), .policy = kv_buf_bytes(&w.policy)};
    must_refuse(&w, kv_founding_add(f, &sub, w.now_ms, &w.err), KV_E_LIMIT);
    kv_founding_free(f);
    kv_statement_free(st);
    for (size_t i = 0; i < KV_COUNT(crowd); i++) {
        signer_clear(&crowd[i]);
    }
    world_close(&w);
}

/* ---- tokens ---- */

static enum kv_code ask_import(struct world *w, const char *kind, const char *contexts)
{
    struct world_text text;
    world_request(w, &text, "cus-02", KV_ACTION_CREDENTIAL_IMPORT, "credential", "token-1", "kind",
                  kind, "key-type", strcmp(kind, "token") == 0 ? "-" : "ec-p256", "slot", "main",
                  "environment", "test", "contexts", contexts, "business-owner", "fin-01",
                  "technical-custodian", "cus-01", "ksef-ref", "-", "public-key-sha256", "-", NULL);
    return hand_in(w, &text);
}

static void a_token_is_of_one_context_and_keys_are_not_imported(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    must_refuse(&w, ask_import(&w, "auth-certificate", WORLD_NIP), KV_E_REQ_ACTION);
    must_refuse(&w, ask_import(&w, "token", "InternalId:5265877635-12345," WORLD_NIP),
                KV_E_STMT_VALUE);
    must_refuse(&w, ask_import(&w, "token", "PeppolId:PPL123456"), KV_E_STMT_VALUE);
    world_must(&w, ask_import(&w, "token", WORLD_NIP));
    world_close(&w);
}

static void without_logins_by_token_no_token_is_imported(void **state)
{
    (void)state;
    struct world w;
    world_open_with(&w, "version: 1\n"
                        "approvals:\n"
                        "  default: {finance: 1, custodian: 1}\n"
                        "token-logins: no\n"
                        "custody-minimum: software\n");
    must_refuse(&w, ask_import(&w, "token", WORLD_NIP), KV_E_REQ_LIMIT);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_key_does_not_become_two_people),
        cmocka_unit_test(a_record_cannot_enrol_the_key_a_second_time),
        cmocka_unit_test(one_account_serves_one_integration),
        cmocka_unit_test(one_credential_serves_one_integration),
        cmocka_unit_test(what_was_denied_meanwhile_gives_nothing),
        cmocka_unit_test(evidence_is_judged_with_the_record_of_its_key),
        cmocka_unit_test(a_denial_is_asked_for_neither_time_nor_policy),
        cmocka_unit_test(people_sign_which_grants_a_policy_ends),
        cmocka_unit_test(a_policy_lapses_when_what_it_ends_has_changed),
        cmocka_unit_test(rates_of_grant_and_policy_both_hold),
        cmocka_unit_test(no_credential_does_the_work_of_another_kind),
        cmocka_unit_test(a_crowd_cannot_hide_a_founder_who_did_not_sign),
        cmocka_unit_test(a_token_is_of_one_context_and_keys_are_not_imported),
        cmocka_unit_test(without_logins_by_token_no_token_is_imported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
