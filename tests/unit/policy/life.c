#include "tests/unit/policy/life.h"

#include "tests/unit/kv_test.h"
#include "tests/unit/policy/steps.h"

static void minute(struct world *w)
{
    w->now_ms += KV_MINUTE_MS;
}

static void done(struct world *w, struct kv_record *rec)
{
    minute(w);
    world_must(w, world_record(w, rec, NULL));
}

static void agent_start(struct world *w)
{
    struct kv_record *rec = kv_record_new(KV_EV_AGENT_START);
    char hash[KV_HASH_BASE64_LEN];
    kv_hash_base64(kv_state_policy(w->state), hash);
    kv_record_info_str(rec, "version", "0.1.0");
    kv_record_info_map_str(rec, "programs", "ksefvaultd", hash);
    kv_record_info_map_str(rec, "modules", NULL, NULL);
    kv_record_info_str(rec, "config", hash);
    kv_record_info_str(rec, "policy", hash);
    kv_record_info_map_str(rec, "custody", "main", "software");
    kv_record_info_int(rec, "batch", 256);
    kv_record_info_int(rec, "wait", 1000);
    done(w, rec);
}

static void approved(struct world *w, struct world_text *text)
{
    minute(w);
    world_must(w, world_submit(w, text));
    minute(w);
    world_approve(w, text->request);
    world_text_clear(text);
}

static void people(struct world *w)
{
    struct world_text text;
    const struct signer *b = world_signer(w, "fin-02.b");
    minute(w);
    enrol(w, "fin-03", "fin-03", "finance");
    enrol(w, "cus-03", "cus-03", "custodian");
    world_request(w, &text, "cus-02", KV_ACTION_PERSON_CHANGE, "person", "fin-03", "duty-from",
                  "finance", "duty-to", "finance", "organisation", "own", "contract-end", "-",
                  "business-duties", "-", "uid", "1005", "name-commitment", "-", NULL);
    approved(w, &text);
    world_request(w, &text, "fin-02", KV_ACTION_KEY_ENROL, "person", "fin-02", "key",
                  b->fingerprint, "public-key", b->line, "key-not-after", "2028-01-05T12:00:00Z",
                  "replaces-key", "-", NULL);
    world_prove(w, &text, "fin-02.b");
    approved(w, &text);
    minute(w);
    world_must(w, act_on_key(w, "fin-02.b", KV_ACT_RETIRE, "fin-02", 0));
}

static void ksef_reference(struct kv_record *rec)
{
    static const char reference[] = "20260105-AU-812A3FE087-BDF827EF7D-1F";
    memcpy(rec->ksef.auth_ref, reference, sizeof reference);
    rec->has |= UINT32_C(1) << KV_RK_KSEF;
}

static struct kv_record *by_erp(enum kv_event ev, const char *grant, enum kv_op op)
{
    struct kv_record *rec = kv_record_new(ev);
    struct kv_hash dig = kv_hash(kv_bytes_str("what is signed or sent"));
    kv_record_set_who(rec, KV_WHO_INTEGRATION, "erp-1", "uid:2101");
    kv_record_set(rec, KV_RK_GRANT, grant);
    kv_record_set(rec, KV_RK_CRED, "cred-1");
    kv_record_set_op(rec, op);
    kv_record_set(rec, KV_RK_CTX, WORLD_NIP);
    if (op == KV_OP_SESSION_OPEN) {
        ksef_reference(rec);
    } else {
        kv_record_set_dig(rec, &dig);
    }
    return rec;
}

static void outcome(struct world *w, enum kv_out out)
{
    struct kv_record *rec = kv_record_new(KV_EV_USE_OUTCOME);
    kv_record_set_of(rec, kv_state_intent_at(w->state, 0)->seq);
    kv_record_set_out(rec, out);
    done(w, rec);
}

static void ksef_session(struct kv_record *rec)
{
    kv_record_set(rec, KV_RK_CRED, "cred-1");
    kv_record_set(rec, KV_RK_CTX, WORLD_NIP);
    ksef_reference(rec);
}

void life_session_opens(struct world *w, const char *grant, const char *until)
{
    done(w, by_erp(KV_EV_USE_INTENT, grant, KV_OP_AUTH_XADES));
    outcome(w, KV_OUT_OK);
    done(w, by_erp(KV_EV_USE_INTENT, grant, KV_OP_SESSION_OPEN));
    struct kv_record *rec = kv_record_new(KV_EV_USE_OUTCOME);
    kv_record_set_of(rec, kv_state_intent_at(w->state, 0)->seq);
    kv_record_set_out(rec, KV_OUT_OK);
    ksef_reference(rec);
    kv_record_info_str(rec, "access", until);
    kv_record_info_str(rec, "refresh", "2026-01-12T12:00:00Z");
    done(w, rec);
    rec = by_erp(KV_EV_KSEF_SESSION, grant, KV_OP_SESSION_OPEN);
    kv_record_info_str(rec, "lease", "01KEBQGH006J9ATSEGBABKZVWC");
    kv_record_info_str(rec, "until", until);
    done(w, rec);
}

void life_session_ends(struct world *w, const char *until)
{
    struct kv_record *rec = kv_record_new(KV_EV_KSEF_CLOSE);
    ksef_session(rec);
    kv_record_set_out(rec, KV_OUT_OK);
    kv_record_info_str(rec, "why", "last-lease");
    done(w, rec);
    rec = kv_record_new(KV_EV_KSEF_RESIDUAL);
    ksef_session(rec);
    kv_record_info_str(rec, "until", until);
    done(w, rec);
}

static void uses(struct world *w, const char *grant)
{
    static const char until[] = "2026-01-05T12:00:00Z";
    life_session_opens(w, grant, until);
    life_session_ends(w, until);
    done(w, by_erp(KV_EV_USE_SIGN, grant, KV_OP_CSR_SIGN));
    struct kv_record *rec = kv_record_new(KV_EV_USE_REFUSED);
    kv_record_set_who(rec, KV_WHO_CALLER, "uid-61003", "uid:61003");
    kv_record_set(rec, KV_RK_ERR, kv_code_word(KV_E_CALLER_UNKNOWN));
    done(w, rec);
}

static void ksef_key(struct world *w, const char *key, bool announced)
{
    char id[KV_HASH_BASE64_LEN];
    struct kv_bytes blob = kv_bytes_str(key);
    struct kv_hash hash = kv_hash(blob);
    kv_hash_base64(&hash, id);
    struct kv_record *rec = kv_record_new(KV_EV_KSEF_KEY);
    kv_record_info_str(rec, "id", id);
    kv_record_info_str(rec, "from", "2026-01-01T00:00:00Z");
    kv_record_info_str(rec, "to", "2028-01-01T00:00:00Z");
    kv_record_info_bool(rec, "announced", announced);
    kv_record_add_doc(rec, KV_DOC_CERTIFICATE, blob);
    minute(w);
    world_must(w, world_record(w, rec, &blob));
}

/* A token comes from outside: it proves itself by one login, then it is a credential. */
static void import(struct world *w)
{
    struct world_text text;
    struct kv_hash dig = kv_hash(kv_bytes_str("body of the login"));
    world_request(w, &text, "cus-02", KV_ACTION_CREDENTIAL_IMPORT, "credential", "token-1", "kind",
                  "token", "key-type", "-", "slot", "main", "environment", "test", "contexts",
                  WORLD_NIP, "business-owner", "fin-01", "technical-custodian", "cus-01",
                  "ksef-ref", "20251010-EC-1DCE3E3000-12ECB5B36E-45", "public-key-sha256", "-",
                  NULL);
    minute(w);
    world_must(w, world_submit(w, &text));
    minute(w);
    world_approve(w, text.request);
    ksef_key(w, "the first key of KSeF", true);
    struct kv_record *rec = kv_record_new(KV_EV_USE_INTENT);
    kv_record_set(rec, KV_RK_GRANT, text.request);
    kv_record_set(rec, KV_RK_CRED, "token-1");
    kv_record_set_op(rec, KV_OP_AUTH_TOKEN);
    kv_record_set(rec, KV_RK_CTX, WORLD_NIP);
    kv_record_set_dig(rec, &dig);
    done(w, rec);
    outcome(w, KV_OUT_OK);
    rec = kv_record_new(KV_EV_CRED_IMPORT);
    kv_record_set(rec, KV_RK_REQ, text.request);
    kv_record_set(rec, KV_RK_CRED, "token-1");
    kv_record_info_map_str(rec, "custody", "main", "software");
    kv_record_info_str(rec, "rung", "aes-gcm");
    done(w, rec);
    rec = kv_record_new(KV_EV_CRED_ACTIVATE);
    kv_record_set(rec, KV_RK_REQ, text.request);
    kv_record_set(rec, KV_RK_CRED, "token-1");
    done(w, rec);
    ksef_key(w, "a key that nobody spoke of", false);
    rec = kv_record_new(KV_EV_EXCEPTION_OPEN);
    kv_record_set(rec, KV_RK_ERR, kv_code_word(KV_E_KSEF_KEY));
    kv_record_info_str(rec, "id", "01KEBQGH006J9ATSEGBABKZVWC");
    kv_record_info_str(rec, "class", "ksef-key");
    done(w, rec);
    world_text_clear(&text);
}

static void resume(struct world *w, const char *target)
{
    struct world_text text;
    world_request(w, &text, "cus-02", KV_ACTION_RESUME, "target", target, NULL);
    approved(w, &text);
}

static void suspensions(struct world *w, const char *grant)
{
    char target[80];
    int len = snprintf(target, sizeof target, "grant %s", grant);
    assert_true(len > 0 && (size_t)len < sizeof target);
    minute(w);
    world_must(w, act(w, "fin-03", KV_ACT_SUSPEND, target, "operations", "csr.sign"));
    world_must(w, act(w, "cus-03", KV_ACT_SUSPEND, target, "operations", "-"));
    resume(w, target);
    world_must(w, act(w, "fin-03", KV_ACT_SUSPEND, "integration erp-1", "operations", "-"));
    resume(w, "integration erp-1");
}

/* The program is bound to its hash, changes, is suspended by the agent, approved as it is now. */
static void change_program(struct world *w, const char *exe, bool alarm)
{
    struct world_text text;
    if (alarm) {
        struct kv_record *rec = kv_record_new(KV_EV_ALARM_EXE_CHANGED);
        kv_record_set(rec, KV_RK_INTEG, "erp-1");
        kv_record_info_str(rec, "exe", exe);
        done(w, rec);
        rec = kv_record_new(KV_EV_INTEG_SUSPEND);
        kv_record_set(rec, KV_RK_INTEG, "erp-1");
        kv_record_set(rec, KV_RK_ERR, kv_code_word(KV_E_CALLER_EXE));
        done(w, rec);
    }
    const char *now = kv_state_integration(w->state, kv_bytes_str("erp-1"))->request->id;
    world_request(w, &text, "cus-02", KV_ACTION_INTEGRATION_CHANGE, "replaces-request", now,
                  "integration", "erp-1", "purpose", "Sends invoices", "business-owner", "fin-01",
                  "technical-custodian", "cus-01", "organisation", "own", "contract-end", "-",
                  "contexts", WORLD_NIP, "operations", "auth.xades,csr.sign,qr.kod2,session.open",
                  "uid", "2101", "gid", "-", "unit", "-", "exe", "/opt/erp/bin/erp", "exe-sha256",
                  exe, NULL);
    approved(w, &text);
}

static void requests_that_end(struct world *w)
{
    char id[KV_ULID_LEN], target[80];
    struct world_text text;
    minute(w);
    world_must(w, ask_grant(w, "cred-1", "erp-1", "-", id));
    world_must(w, decide(w, "fin-03", KV_DECISION_APPROVE, id));
    world_must(w, decide(w, "cus-03", KV_DECISION_DENY, id));
    world_must(w, ask_grant(w, "cred-1", "erp-1", "120/h", id));
    int len = snprintf(target, sizeof target, "request %s", id);
    assert_true(len > 0 && (size_t)len < sizeof target);
    world_must(w, act(w, "req-01", KV_ACT_WITHDRAW, target, NULL, NULL));
    world_request(w, &text, "integration:erp-1", KV_ACTION_GRANT, "credential", "cred-1",
                  "integration", "erp-1", "context", WORLD_NIP, "operations", "csr.sign", "class",
                  "routine", "max-uses", "40", "rate", "-", NULL);
    world_must(w, world_submit(w, &text));
    world_text_clear(&text);
    w->now_ms += 3 * KV_DAY_MS;
    world_due(w); /* nobody signed it */
}

static void notes(struct world *w)
{
    char root[KV_HASH_BASE64_LEN];
    struct kv_hash hash = kv_hash(KV_BYTES_NULL);
    const struct signer *s = world_signer(w, "fin-03");
    kv_hash_base64(&hash, root);
    static const enum kv_event events[] = {KV_EV_EXPORT_MADE, KV_EV_VERIFY_RUN,
                                           KV_EV_ALARM_CHECKPOINT};
    for (size_t i = 0; i < KV_COUNT(events); i++) {
        struct kv_record *rec = kv_record_new(events[i]);
        if (events[i] == KV_EV_ALARM_CHECKPOINT) {
            kv_record_set(rec, KV_RK_PERSON, s->person);
            kv_record_set(rec, KV_RK_KEY, s->fingerprint);
        } else {
            kv_record_set_who(rec, KV_WHO_CALLER, "uid-0", "uid:0");
            kv_record_info_int(rec, "records", 1);
        }
        kv_record_info_int(rec, "size", 1);
        kv_record_info_str(rec, "root", root);
        if (events[i] == KV_EV_EXPORT_MADE) {
            kv_record_info_bool(rec, "private", false);
        } else if (events[i] == KV_EV_VERIFY_RUN) {
            kv_record_info_int(rec, "exit", 0);
        }
        done(w, rec);
    }
    struct kv_record *rec = kv_record_new(KV_EV_ALARM_KEY_CLONED);
    kv_record_set(rec, KV_RK_PERSON, s->person);
    kv_record_set(rec, KV_RK_KEY, s->fingerprint);
    done(w, rec);
    rec = kv_record_new(KV_EV_ALARM_SIGNER_DOWN);
    kv_record_set(rec, KV_RK_ERR, kv_code_word(KV_E_TOKEN_ABSENT));
    done(w, rec);
    rec = kv_record_new(KV_EV_ALARM_DISK_LOW);
    kv_record_info_int(rec, "free", 1 << 20);
    done(w, rec);
    rec = kv_record_new(KV_EV_ALARM_CLOCK_BEHIND);
    kv_record_info_int(rec, "behind", 3600000);
    done(w, rec);
}

static void crash(struct world *w, const char *grant)
{
    struct kv_record *rec = kv_record_new(KV_EV_AGENT_STOP);
    kv_record_info_str(rec, "why", "signal");
    done(w, rec);
    agent_start(w);
    done(w, by_erp(KV_EV_USE_INTENT, grant, KV_OP_AUTH_XADES));
    agent_start(w);
    rec = kv_record_new(KV_EV_LOG_RECOVERED);
    kv_record_info_int(rec, "from", (int64_t)kv_state_size(w->state));
    kv_record_info_int(rec, "frames", 1);
    kv_record_info_int(rec, "bytes", 512);
    kv_record_info_str(rec, "why", "crc");
    done(w, rec);
    outcome(w, KV_OUT_UNKNOWN);
}

void life(struct world *w)
{
    static const char stricter[] = "version: 1\n"
                                   "approvals:\n"
                                   "  default: {finance: 1, custodian: 1}\n"
                                   "limits:\n"
                                   "  grant-days-max: 30\n"
                                   "custody-minimum: claimed\n"
                                   "on-exe-change: suspend\n";
    char grant[KV_ULID_LEN], second[KV_ULID_LEN], target[80];
    char exe[2][KV_HASH_HEX_LEN];
    struct kv_hash a = kv_hash(kv_bytes_str("a")), b = kv_hash(kv_bytes_str("b"));
    struct world_text text;
    kv_hash_hex(&a, exe[0]);
    kv_hash_hex(&b, exe[1]);
    world_open(w);
    agent_start(w);
    people(w);
    world_grant(w, grant);
    uses(w, grant);
    import(w);
    suspensions(w, grant);
    change_program(w, exe[0], false);
    change_program(w, exe[1], true);
    requests_that_end(w);
    world_grant(w, second);
    notes(w);
    crash(w, grant);
    int len = snprintf(target, sizeof target, "grant %s", second);
    assert_true(len > 0 && (size_t)len < sizeof target);
    world_must(w, act(w, "cus-03", KV_ACT_REVOKE, target, NULL, NULL));
    world_due(w);
    minute(w);
    world_must(w, act(w, "fin-03", KV_ACT_LEAVE, "person cus-03", "left-on", "2026-01-08"));
    world_must(w, act_on_key(w, "cus-01", KV_ACT_COMPROMISED, "fin-03", w->now_ms));
    world_policy_request(w, &text, "req-01", stricter, grant);
    approved(w, &text);
}
