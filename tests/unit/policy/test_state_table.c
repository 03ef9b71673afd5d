/* The table of states: each state of a request and of a grant, and each record that could come.
 * What the table does not allow is refused and leaves no trace. */
#include "tests/unit/kv_test.h"

#include "tests/unit/policy/steps.h"

struct scene {
    struct world w;
    char id[KV_ULID_LEN]; /* of the request and its grant */
};

typedef void prepare_fn(struct scene *s);
typedef enum kv_code event_fn(struct scene *s);

static enum kv_code by_agent(struct scene *s, enum kv_event ev, const char *info)
{
    struct kv_record *rec = kv_record_new(ev);
    bool request = ev == KV_EV_REQUEST_LAPSE;
    if (request || ev == KV_EV_GRANT_ACTIVATE || ev == KV_EV_GRANT_RESUME) {
        kv_record_set(rec, KV_RK_REQ, s->id);
    }
    if (!request) {
        kv_record_set(rec, KV_RK_GRANT, s->id);
    }
    if (ev == KV_EV_GRANT_ACTIVATE) {
        kv_record_set(rec, KV_RK_INTEG, "erp-1");
        kv_record_set(rec, KV_RK_CRED, "cred-1");
    } else if (ev == KV_EV_GRANT_SUSPEND) {
        kv_record_set(rec, KV_RK_ERR, kv_code_word(KV_E_ALARM_COMPROMISED));
    }
    if (info != NULL) {
        kv_record_info_str(rec, "why", info);
    }
    return world_record(&s->w, rec, NULL);
}

static enum kv_code on_grant(struct scene *s, enum kv_act what, const char *key, const char *value)
{
    char target[80];
    int len = snprintf(target, sizeof target, "grant %s", s->id);
    assert_true(len > 0 && (size_t)len < sizeof target);
    return act(&s->w, "fin-02", what, target, key, value);
}

/* ---- events ---- */

static enum kv_code approve(struct scene *s)
{
    return decide(&s->w, "cus-02", KV_DECISION_APPROVE, s->id);
}

static enum kv_code deny(struct scene *s)
{
    return decide(&s->w, "cus-02", KV_DECISION_DENY, s->id);
}

static enum kv_code withdraw(struct scene *s)
{
    char target[80];
    int len = snprintf(target, sizeof target, "request %s", s->id);
    assert_true(len > 0 && (size_t)len < sizeof target);
    return act(&s->w, "req-01", KV_ACT_WITHDRAW, target, NULL, NULL);
}

static enum kv_code lapse(struct scene *s)
{
    return by_agent(s, KV_EV_REQUEST_LAPSE, NULL);
}

static enum kv_code activate(struct scene *s)
{
    return by_agent(s, KV_EV_GRANT_ACTIVATE, NULL);
}

static enum kv_code use(struct scene *s)
{
    return world_use(&s->w, s->id);
}

static enum kv_code suspend(struct scene *s)
{
    return on_grant(s, KV_ACT_SUSPEND, "operations", "-");
}

static enum kv_code suspend_by_agent(struct scene *s)
{
    return by_agent(s, KV_EV_GRANT_SUSPEND, NULL);
}

static enum kv_code revoke(struct scene *s)
{
    return on_grant(s, KV_ACT_REVOKE, NULL, NULL);
}

static enum kv_code expire_by_time(struct scene *s)
{
    return by_agent(s, KV_EV_GRANT_EXPIRE, "time");
}

static enum kv_code expire_by_uses(struct scene *s)
{
    return by_agent(s, KV_EV_GRANT_EXPIRE, "uses");
}

static enum kv_code expire_by_policy(struct scene *s)
{
    return by_agent(s, KV_EV_GRANT_EXPIRE, "policy");
}

/* By the request of the grant itself, which gives no resumption. */
static enum kv_code resume_unasked(struct scene *s)
{
    return by_agent(s, KV_EV_GRANT_RESUME, NULL);
}

/* ---- states ---- */

static void ask_for_grant(struct scene *s, int64_t begin_ms, const char *max_uses)
{
    struct world *w = &s->w;
    struct world_text text;
    world_open(w);
    world_credential(w, "cred-1");
    world_integration(w, "erp-1", "2101");
    w->not_before_ms = begin_ms == 0 ? 0 : w->now_ms + begin_ms;
    world_request(w, &text, "req-01", KV_ACTION_GRANT, "credential", "cred-1", "integration",
                  "erp-1", "context", WORLD_NIP, "operations", "csr.sign", "class", "routine",
                  "max-uses", max_uses, "rate", "-", NULL);
    memcpy(s->id, text.request, sizeof s->id);
    world_must(w, hand_in(w, &text));
}

static void is_open(struct scene *s)
{
    ask_for_grant(s, 0, "-");
}

static void is_half(struct scene *s)
{
    is_open(s);
    world_must(&s->w, decide(&s->w, "fin-01", KV_DECISION_APPROVE, s->id));
}

static void is_approved(struct scene *s)
{
    ask_for_grant(s, 0, "-");
    both_approve(&s->w, s->id);
}

static void is_waiting(struct scene *s)
{
    ask_for_grant(s, KV_DAY_MS, "-");
    both_approve(&s->w, s->id);
}

static void is_past(struct scene *s)
{
    is_waiting(s);
    s->w.now_ms += 61 * KV_DAY_MS;
}

static void is_uncollected(struct scene *s)
{
    is_half(s);
    s->w.now_ms += 3 * KV_DAY_MS + 1;
}

static void is_denied(struct scene *s)
{
    is_open(s);
    world_must(&s->w, decide(&s->w, "cus-01", KV_DECISION_DENY, s->id));
}

static void is_withdrawn(struct scene *s)
{
    is_half(s);
    world_must(&s->w, withdraw(s));
}

static void is_lapsed(struct scene *s)
{
    is_uncollected(s);
    world_due(&s->w);
}

static void is_active(struct scene *s)
{
    ask_for_grant(s, 0, "1");
    world_approve(&s->w, s->id);
}

static void is_suspended(struct scene *s)
{
    is_active(s);
    world_must(&s->w, suspend(s));
}

static void is_compromised(struct scene *s)
{
    is_active(s);
    world_must(&s->w, act_on_key(&s->w, "fin-02", KV_ACT_COMPROMISED, "fin-01", s->w.now_ms));
}

static void is_used_up(struct scene *s)
{
    is_active(s);
    world_must(&s->w, use(s));
}

static void is_over(struct scene *s)
{
    is_active(s);
    s->w.now_ms += 60 * KV_DAY_MS;
}

static void is_revoked(struct scene *s)
{
    is_active(s);
    world_must(&s->w, revoke(s));
}

static void is_expired(struct scene *s)
{
    is_over(s);
    world_due(&s->w);
}

/* ---- the table ---- */

#define COLUMNS 8
struct row {
    prepare_fn *prepare;
    const char *name;
    const char *allowed; /* 'y' under each event that is allowed */
};

static void check_table(const struct row *rows, size_t count, event_fn *const events[],
                        const char *const names[], size_t columns)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < columns; k++) {
            struct scene s;
            rows[i].prepare(&s);
            struct kv_hash before = kv_state_digest(s.w.state);
            enum kv_code code = events[k](&s);
            struct kv_hash after = kv_state_digest(s.w.state);
            bool wanted = rows[i].allowed[k] == 'y';
            if ((code == KV_OK) != wanted) {
                fail_msg("%s, %s: %s %s", rows[i].name, names[k], kv_code_word(code),
                         code == KV_OK ? "" : s.w.err.msg);
            }
            assert_int_equal(kv_hash_equal(&before, &after), !wanted);
            world_close(&s.w);
        }
    }
}

static void requests(void **state)
{
    (void)state;
    static event_fn *const events[] = {approve, deny, withdraw, lapse, activate};
    static const char *const names[] = {"approve", "deny", "withdraw", "lapse", "activate"};
    static const struct row rows[] = {
        {is_open, "open", "yyy--"},
        {is_half, "half approved", "yyy--"},
        {is_approved, "approved", "-yy-y"},
        {is_waiting, "approved, not begun", "-yy--"},
        {is_past, "approved, past its end", "-yyy-"},
        {is_uncollected, "open, window over", "-yyy-"},
        {is_active, "done", "-----"},
        {is_denied, "denied", "-----"},
        {is_withdrawn, "withdrawn", "-----"},
        {is_lapsed, "lapsed", "-----"},
    };
    check_table(rows, KV_COUNT(rows), events, names, KV_COUNT(events));
}

static void grants(void **state)
{
    (void)state;
    static event_fn *const events[COLUMNS] = {use,
                                              suspend,
                                              suspend_by_agent,
                                              revoke,
                                              expire_by_time,
                                              expire_by_uses,
                                              expire_by_policy,
                                              resume_unasked};
    static const char *const names[COLUMNS] = {"use",
                                               "suspend",
                                               "suspend by the agent",
                                               "revoke",
                                               "expire by time",
                                               "expire by uses",
                                               "expire by policy",
                                               "resume unasked"};
    static const struct row rows[] = {
        {is_approved, "not there", "--------"},
        {is_active, "active", "yy-y----"},
        {is_suspended, "suspended", "---y----"},
        {is_compromised, "given by a compromised key", "-yyy----"},
        {is_used_up, "used up", "-y-y-y--"},
        {is_over, "past its end", "-y-yy---"},
        {is_revoked, "revoked", "--------"},
        {is_expired, "expired", "--------"},
    };
    check_table(rows, KV_COUNT(rows), events, names, KV_COUNT(events));
}

/* Two signatures lift a suspension, once, and nothing that has ended meanwhile. */
static void resumption(void **state)
{
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        struct scene s;
        struct world_text text;
        char target[80], request[KV_ULID_LEN];
        is_suspended(&s);
        int len = snprintf(target, sizeof target, "grant %s", s.id);
        assert_true(len > 0 && (size_t)len < sizeof target);
        world_request(&s.w, &text, "req-01", KV_ACTION_RESUME, "target", target, NULL);
        memcpy(request, text.request, sizeof request);
        world_must(&s.w, hand_in(&s.w, &text));
        both_approve(&s.w, request);
        if (ended != 0) {
            world_must(&s.w, revoke(&s));
        }
        world_due(&s.w);
        assert_int_equal(state_of(&s.w, request), ended ? KV_REQUEST_LAPSED : KV_REQUEST_DONE);
        must_refuse(&s.w, use(&s), ended ? KV_E_GRANT_REVOKED : KV_OK);
        world_request(&s.w, &text, "req-01", KV_ACTION_RESUME, "target", target, NULL);
        must_refuse(&s.w, hand_in(&s.w, &text), KV_E_REQ_NAME); /* nothing to lift */
        world_close(&s.w);
    }
}

/* Before the founding nothing but the founding can be recorded, in its order. */
static void unfounded(void **state)
{
    (void)state;
    struct world full, w;
    world_open(&full);
    for (size_t at = 0; at < full.count; at++) {
        world_open_unfounded(&w, world_policy);
        for (size_t i = 0; i < full.count; i++) {
            if (i == at) {
                continue; /* left out: none of those that follow is accepted in its place */
            }
            struct kv_record rec = *full.entry[i].rec;
            struct kv_bytes blobs[WORLD_BLOBS];
            struct kv_log_view log = world_log(&w);
            for (size_t k = 0; k < rec.doc_count; k++) {
                blobs[k] = kv_buf_bytes(&full.entry[i].blob[k]);
            }
            struct kv_blobs view = {blobs, rec.doc_count};
            rec.seq = kv_state_size(w.state);
            bool good = kv_state_apply(w.state, &rec, &view, &log, &w.err) == KV_OK;
            assert_int_equal(good, i < at);
        }
        assert_false(kv_state_founded(w.state));
        struct kv_record *start = kv_record_new(KV_EV_AGENT_START);
        assert_int_not_equal(world_record(&w, start, NULL), KV_OK);
        world_close(&w);
    }
    world_close(&full);
}

/* Everybody who is named has to have signed: one vote less founds nothing. */
static void found_with_a_vote_less(void **state)
{
    (void)state;
    struct world full;
    world_open(&full);
    const struct kv_record *found = full.entry[1].rec;
    assert_int_equal(found->doc_count, 10); /* request, signature, four votes */
    for (size_t out = 2; out < found->doc_count; out += 2) {
        struct kv_err err = {0};
        struct kv_state *fresh = kv_state_new();
        struct kv_log_view log = {world_root_at, &full, 0, UINT64_MAX};
        struct kv_bytes blobs[WORLD_BLOBS] = {kv_buf_bytes(&full.entry[0].blob[0])};
        struct kv_blobs view = {blobs, 1};
        assert_int_equal(kv_state_apply(fresh, full.entry[0].rec, &view, &log, &err), KV_OK);
        struct kv_record *rec = kv_record_new(KV_EV_VAULT_FOUND);
        kv_record_set(rec, KV_RK_REQ, found->req);
        rec->seq = 1;
        rec->ts_ms = found->ts_ms;
        for (size_t i = 0; i < found->doc_count; i++) {
            if (i != out && i != out + 1) {
                blobs[rec->doc_count] = kv_buf_bytes(&full.entry[1].blob[i]);
                kv_record_add_doc(rec, found->docs[i].kind, blobs[rec->doc_count]);
            }
        }
        view.count = rec->doc_count;
        assert_int_equal(kv_state_apply(fresh, rec, &view, &log, &err), KV_E_LEDGER_NOT_APPROVED);
        kv_record_free(rec);
        kv_state_free(fresh);
    }
    world_close(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(grants),
        cmocka_unit_test(resumption),
        cmocka_unit_test(unfounded),
        cmocka_unit_test(found_with_a_vote_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
