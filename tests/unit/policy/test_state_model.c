/* A small world, searched exhaustively: two finance people (one of them with two keys), two
 * custodians, a requester without a duty, one request for a grant, and every order of what they
 * can do about it, up to a depth. In each state reached, the fold is compared with an oracle that
 * only knows who did what: a grant exists exactly when one finance person and one custodian who
 * still counted had approved it, one denial vetoed it, and taking away works with anyone. */
#include "tests/unit/kv_test.h"
#include "tests/unit/policy/copy.h"
#include "tests/unit/policy/oracle.h"
#include "tests/unit/policy/world.h"

#include <stdio.h>
#include <stdlib.h>

#define DEPTH_OPEN      4 /* events after the request is there */
#define DEPTH_ACTIVE    3 /* events after the grant is */
#define STATES_MAX      20000
#define PATH_MAX_EVENTS 8

struct node {
    struct kv_state *state;
    struct truth truth;
    uint8_t path[PATH_MAX_EVENTS];
    size_t depth;
};
struct search {
    struct world w;
    struct world_text text[EVENTS];
    struct world_text policy[3]; /* request and two approvals */
    char request[KV_ULID_LEN];
    struct kv_state *base;
    size_t shared; /* requests of the base */
    struct node *node;
    size_t count;
    struct kv_hash *seen; /* open addressing */
    size_t deepest, found, steps, refused, compared, probes;
};
#define SEEN_CAP (4 * STATES_MAX)

/* ---- the fold ---- */

static enum kv_code judge(const struct search *s, struct kv_state *state, struct kv_record *rec,
                          const struct kv_bytes *blobs, size_t depth, struct kv_err *err)
{
    struct kv_log_view log = {world_root_at, NULL, kv_state_size(state), UINT64_MAX};
    struct kv_blobs view = {blobs, rec->doc_count};
    rec->seq = kv_state_size(state);
    rec->ts_ms = s->w.now_ms + (int64_t)depth * KV_SECOND_MS;
    return kv_state_apply(state, rec, &view, &log, err);
}

static void settle(const struct search *s, struct kv_state *state, size_t depth)
{
    struct kv_due due;
    struct kv_err err;
    struct kv_moment moment = {s->w.now_ms + (int64_t)depth * KV_SECOND_MS, UINT64_MAX};
    for (;;) {
        kv_state_due(state, &moment, true, &due);
        if (due.rec == NULL) {
            kv_buf_clear(&due.doc);
            return;
        }
        struct kv_bytes blob = kv_buf_bytes(&s->w.policy);
        if (due.wants_policy) {
            kv_record_add_doc(due.rec, KV_DOC_POLICY, blob);
        }
        if (judge(s, state, due.rec, &blob, depth, &err) != KV_OK) {
            fail_msg("due %s: %s", kv_event_word(due.rec->ev), err.msg);
        }
        kv_record_free(due.rec);
        kv_buf_clear(&due.doc);
    }
}

static bool submit(const struct search *s, struct kv_state *state, const struct world_text *text,
                   size_t depth, struct kv_err *err)
{
    struct kv_draft draft = {.rec = NULL};
    struct kv_submission sub = {.text = kv_buf_bytes(&text->text),
                                .signature = kv_buf_bytes(&text->signature),
                                .policy = kv_buf_bytes(&text->policy)};
    bool good = kv_state_draft(state, &sub, &draft, err) == KV_OK &&
                judge(s, state, draft.rec, draft.blobs, depth, err) == KV_OK;
    kv_record_free(draft.rec);
    if (good) {
        settle(s, state, depth);
    }
    return good;
}

static bool use(const struct search *s, struct kv_state *state, size_t depth, struct kv_err *err)
{
    struct kv_record *rec = kv_record_new(KV_EV_USE_SIGN);
    struct kv_hash dig = kv_hash(kv_bytes_str("what is signed"));
    kv_record_set_who(rec, KV_WHO_INTEGRATION, "erp-1", "uid:2101");
    kv_record_set(rec, KV_RK_GRANT, s->request);
    kv_record_set(rec, KV_RK_CRED, "cred-1");
    kv_record_set_op(rec, KV_OP_CSR_SIGN);
    kv_record_set(rec, KV_RK_CTX, WORLD_NIP);
    kv_record_set_dig(rec, &dig);
    bool good = judge(s, state, rec, NULL, depth, err) == KV_OK;
    kv_record_free(rec);
    return good;
}

/* True iff something was recorded. */
static bool happen(const struct search *s, struct kv_state *state, size_t i, size_t depth,
                   struct kv_err *err)
{
    if (events[i].kind == USE) {
        return use(s, state, depth, err);
    }
    if (events[i].kind != POLICY) {
        return submit(s, state, &s->text[i], depth, err);
    }
    return submit(s, state, &s->policy[0], depth, err) &&
           submit(s, state, &s->policy[1], depth, err) &&
           submit(s, state, &s->policy[2], depth, err);
}

/* ---- comparing ---- */

static const char *tell(const struct node *n)
{
    static char text[512];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n->depth && at < sizeof text - 64; i++) {
        const struct event *e = &events[n->path[i]];
        int len = snprintf(text + at, sizeof text - at, " %s(%s,%d)", kind_word(e->kind),
                           keys[e->by].label, e->on);
        at += len > 0 ? (size_t)len : 0;
    }
    return text;
}

static void check(const struct search *s, const struct node *n)
{
    const struct truth *t = &n->truth;
    struct kv_bytes id = kv_bytes_str(s->request);
    const struct kv_grant *g = kv_state_grant(n->state, id);
    const struct kv_request *r = kv_state_request(n->state, id);
    if ((g != NULL) != t->given) {
        fail_msg("grant %s:%s", g != NULL ? "given" : "missing", tell(n));
    }
    enum kv_grant_state want = t->revoked     ? KV_GRANT_CLOSED
                               : t->suspended ? KV_GRANT_SUSPENDED
                                              : KV_GRANT_ACTIVE;
    if (g != NULL && g->state != want) {
        fail_msg("grant is %s, not %s:%s", kv_grant_state_word(g->state), kv_grant_state_word(want),
                 tell(n));
    }
    bool over = r->state == KV_REQUEST_DENIED || r->state == KV_REQUEST_WITHDRAWN ||
                r->state == KV_REQUEST_LAPSED;
    if (over != t->over || (r->state == KV_REQUEST_DONE) != t->given) {
        fail_msg("request is %s:%s", kv_request_state_word(r->state), tell(n));
    }
    bool anyone = false;
    for (enum key k = 0; k < REQ; k++) {
        anyone = anyone || can_sign(t, k);
    }
    if (!anyone) {
        fail_msg("nobody can take away:%s", tell(n));
    }
}

/* With the grant not closed, everyone who can sign can revoke it, alone. */
static void check_revocable(struct search *s, const struct node *n)
{
    const struct truth *t = &n->truth;
    if (!t->given || t->revoked) {
        return;
    }
    for (size_t i = 0; i < EVENTS; i++) {
        if (events[i].kind != REVOKE || !can_sign(t, events[i].by)) {
            continue;
        }
        struct kv_err err;
        struct kv_state *copy = state_copy(n->state, s->shared);
        if (!happen(s, copy, i, n->depth + 1, &err)) {
            fail_msg("%s can't revoke: %s:%s", keys[events[i].by].label, err.msg, tell(n));
        }
        state_copy_free(copy, s->shared);
        s->probes++;
    }
}

/* The copies lead where the records lead. */
static void check_replay(struct search *s, const struct node *n)
{
    size_t bad;
    struct kv_err err;
    struct kv_state *state = world_replay(&s->w, &bad, &err);
    assert_int_equal(bad, s->w.count);
    for (size_t i = 0; i < n->depth; i++) {
        (void)happen(s, state, n->path[i], i + 1, &err);
    }
    struct kv_hash want = kv_state_digest(state), have = kv_state_digest(n->state);
    if (!kv_hash_equal(&want, &have)) {
        fail_msg("a replay differs:%s", tell(n));
    }
    kv_state_free(state);
    s->compared++;
}

/* ---- searching ---- */

/* Two states with the same mark have the same future: what each event asks is in it. */
static struct kv_hash mark_of(const struct search *s, const struct node *n)
{
    const struct truth *t = &n->truth;
    const struct kv_request *r = kv_state_request(n->state, kv_bytes_str(s->request));
    const struct kv_grant *g = kv_state_grant(n->state, kv_bytes_str(s->request));
    char text[256];
    int len = snprintf(
        text, sizeof text, "%x %x %x %x %x %d%d%d%d%d %x %u %llu %zu", t->left, t->bad, t->retired,
        t->said, t->approved, t->over, t->given, t->revoked, t->suspended, t->policy, t->given_by,
        r->state, (unsigned long long)(g == NULL ? 0 : g->uses), kv_state_request_count(n->state));
    assert_true(len > 0 && (size_t)len < sizeof text);
    return kv_hash(kv_bytes(text, (size_t)len));
}

static bool is_new(struct search *s, const struct kv_hash *mark)
{
    static const struct kv_hash none;
    uint32_t at;
    memcpy(&at, mark->b, sizeof at);
    for (at %= SEEN_CAP; !kv_hash_equal(&s->seen[at], &none); at = (at + 1) % SEEN_CAP) {
        if (kv_hash_equal(&s->seen[at], mark)) {
            return false;
        }
    }
    s->seen[at] = *mark;
    return true;
}

static void add(struct search *s, struct node *n)
{
    struct kv_hash mark = mark_of(s, n);
    if (!is_new(s, &mark)) {
        state_copy_free(n->state, s->shared);
        return;
    }
    check_revocable(s, n);
    if (++s->found % 200 == 0) {
        check_replay(s, n);
    }
    if (n->depth == s->deepest) {
        state_copy_free(n->state, s->shared); /* nothing follows */
        return;
    }
    assert_true(s->count < STATES_MAX);
    s->node[s->count++] = *n;
}

/* The policy changes in three steps, of which the later ones may be refused. */
static void learn_policy(const struct search *s, struct node *n)
{
    struct kv_hash old = *kv_state_policy(s->base), now = *kv_state_policy(n->state);
    if (!kv_hash_equal(&old, &now) && !n->truth.policy) {
        if (!can_sign(&n->truth, FIN_2) || !can_sign(&n->truth, CUS_2) ||
            !can_sign(&n->truth, REQ)) {
            fail_msg("the policy was changed without its people:%s", tell(n));
        }
        learn(&n->truth, &(struct event){.kind = POLICY});
    }
}

/* Each event in the state of node `at`. */
static void expand(struct search *s, size_t at)
{
    struct kv_state *copy = NULL;
    struct kv_hash before = kv_state_digest(s->node[at].state);
    for (size_t i = 0; i < EVENTS; i++) {
        struct node next = s->node[at];
        struct kv_err err = {0};
        if (memchr(next.path, (int)i, next.depth) != NULL) {
            continue; /* a text is handed in once */
        }
        copy = copy == NULL ? state_copy(next.state, s->shared) : copy;
        uint64_t size = kv_state_size(copy);
        next.path[next.depth++] = (uint8_t)i;
        next.state = copy;
        bool good = happen(s, copy, i, next.depth, &err);
        bool want = wanted(&next.truth, &events[i]);
        if (events[i].kind != POLICY && good != want) {
            fail_msg("%s, %s:%s", good ? "accepted" : "refused", good ? "-" : err.msg, tell(&next));
        }
        s->steps++;
        if (kv_state_size(copy) == size) {
            struct kv_hash after = kv_state_digest(copy);
            assert_true(kv_hash_equal(&before, &after)); /* refused: nothing changed */
            s->refused++;
            continue;
        }
        if (events[i].kind == POLICY) {
            learn_policy(s, &next);
        } else {
            learn(&next.truth, &events[i]);
        }
        check(s, &next);
        add(s, &next);
        copy = NULL;
    }
    state_copy_free(copy, s->shared);
}

static void run(struct search *s, const struct node *root, size_t depth)
{
    size_t first = s->count;
    struct node start = *root;
    start.state = state_copy(root->state, s->shared);
    s->deepest = root->depth + depth;
    check(s, &start);
    add(s, &start);
    for (size_t at = first; at < s->count; at++) {
        expand(s, at);
    }
}

/* ---- the story before ---- */

static void second_key(struct world *w)
{
    struct world_text text;
    const struct signer *b = world_signer(w, "fin-01.b");
    world_request(w, &text, "fin-02", KV_ACTION_KEY_ENROL, "person", "fin-01", "key",
                  b->fingerprint, "public-key", b->line, "key-not-after", "-", "replaces-key", "-",
                  NULL);
    world_prove(w, &text, "fin-01.b");
    world_must(w, world_submit(w, &text));
    world_approve(w, text.request);
    world_text_clear(&text);
}

static void make_texts(struct search *s)
{
    static const enum kv_act acts[] = {
        [WITHDRAW] = KV_ACT_WITHDRAW,       [LEAVE] = KV_ACT_LEAVE,     [RETIRE] = KV_ACT_RETIRE,
        [COMPROMISED] = KV_ACT_COMPROMISED, [SUSPEND] = KV_ACT_SUSPEND, [REVOKE] = KV_ACT_REVOKE};
    struct world *w = &s->w;
    char target[128], since[KV_TIME_S_LEN];
    kv_time_format_s(w->now_ms, since);
    for (size_t i = 0; i < EVENTS; i++) {
        const struct event *e = &events[i];
        const char *by = keys[e->by].label, *key = NULL, *value = NULL;
        int len = 0;
        switch (e->kind) {
        case APPROVE:
        case DENY:
            world_decision(w, &s->text[i], by, e->role,
                           e->kind == APPROVE ? KV_DECISION_APPROVE : KV_DECISION_DENY, s->request);
            continue;
        case POLICY:
        case USE: world_text_init(&s->text[i]); continue;
        case WITHDRAW: len = snprintf(target, sizeof target, "request %s", s->request); break;
        case LEAVE:
            len = snprintf(target, sizeof target, "person %s", persons[e->on]);
            key = "left-on";
            value = "2026-01-05";
            break;
        case RETIRE:
        case COMPROMISED:
            len = snprintf(target, sizeof target, "key %s",
                           world_signer(w, keys[e->on].label)->fingerprint);
            key = e->kind == COMPROMISED ? "since" : NULL;
            value = since;
            break;
        case SUSPEND:
            key = "operations";
            value = "-";
            len = snprintf(target, sizeof target, "grant %s", s->request);
            break;
        case REVOKE: len = snprintf(target, sizeof target, "grant %s", s->request); break;
        }
        assert_true(len > 0 && (size_t)len < sizeof target);
        world_act(w, &s->text[i], by, acts[e->kind], target, key, value);
    }
}

static void make_policy(struct search *s)
{
    static const char policy[] = "version: 1\n"
                                 "approvals:\n"
                                 "  default: {finance: 1, custodian: 1}\n"
                                 "limits:\n"
                                 "  grant-days-max: 90\n"
                                 "custody-minimum: software\n"
                                 "on-exe-change: suspend\n";
    struct kv_statement *st = NULL;
    struct world *w = &s->w;
    world_policy_request(w, &s->policy[0], "req-01", policy, NULL);
    world_must(w, kv_statement_parse(kv_buf_bytes(&s->policy[0].text), &st, NULL, &w->err));
    world_decide(w, &s->policy[1], "fin-02", "finance", KV_DECISION_APPROVE, st);
    world_decide(w, &s->policy[2], "cus-02", "custodian", KV_DECISION_APPROVE, st);
    kv_buf_reset(&w->policy);
    kv_buf_add_str(&w->policy, policy);
    kv_statement_free(st);
}

static void open_search(struct search *s)
{
    struct world *w = &s->w;
    struct world_text text;
    size_t bad;
    *s = (struct search){.count = 0};
    world_open(w);
    second_key(w);
    world_credential(w, "cred-1");
    world_integration(w, "erp-1", "2101");
    w->now_ms += KV_HOUR_MS;
    world_request(w, &text, "req-01", KV_ACTION_GRANT, "credential", "cred-1", "integration",
                  "erp-1", "context", WORLD_NIP, "operations", "csr.sign", "class", "routine",
                  "max-uses", "-", "rate", "-", NULL);
    world_must(w, world_submit(w, &text));
    memcpy(s->request, text.request, sizeof s->request);
    world_text_clear(&text);
    make_texts(s);
    make_policy(s);
    s->base = world_replay(w, &bad, &w->err);
    assert_int_equal(bad, w->count);
    s->shared = kv_state_request_count(s->base);
    s->node = calloc(STATES_MAX, sizeof *s->node);
    s->seen = calloc(SEEN_CAP, sizeof *s->seen);
    assert_non_null(s->node);
    assert_non_null(s->seen);
}

static void close_search(struct search *s)
{
    for (size_t i = 0; i < s->count; i++) {
        state_copy_free(s->node[i].state, s->shared);
    }
    for (size_t i = 0; i < EVENTS; i++) {
        world_text_clear(&s->text[i]);
    }
    for (size_t i = 0; i < KV_COUNT(s->policy); i++) {
        world_text_clear(&s->policy[i]);
    }
    free(s->node);
    free(s->seen);
    kv_state_free(s->base);
    world_close(&s->w);
}

static void test_open_request(void **state)
{
    (void)state;
    static struct search s;
    open_search(&s);
    run(&s, &(struct node){.state = s.base}, DEPTH_OPEN);
    print_message("%zu states, %zu steps, %zu refused, %zu probes, %zu replays\n", s.found, s.steps,
                  s.refused, s.probes, s.compared);
    assert_true(s.found > 1000 && s.probes > 100 && s.compared > 5);
    close_search(&s);
}

/* What follows once the grant is there needs two events fewer. */
static void test_active_grant(void **state)
{
    (void)state;
    static struct search s;
    struct kv_err err;
    open_search(&s);
    struct node n = {.state = state_copy(s.base, s.shared), .path = {0, 4}, .depth = 2};
    for (size_t i = 0; i < n.depth; i++) {
        assert_true(happen(&s, n.state, n.path[i], i + 1, &err));
        learn(&n.truth, &events[n.path[i]]);
    }
    assert_true(n.truth.given);
    run(&s, &n, DEPTH_ACTIVE);
    print_message("%zu states, %zu steps, %zu refused, %zu probes, %zu replays\n", s.found, s.steps,
                  s.refused, s.probes, s.compared);
    assert_true(s.found > 300 && s.probes > 500);
    state_copy_free(n.state, s.shared);
    close_search(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_request),
        cmocka_unit_test(test_active_grant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
