/* Sessions at KSeF that live, and their leases. Callers of one grant and context share a session:
 * each gets a lease of its own, which is the access token with a record of who got it and until
 * when. A token that is near its end is refreshed before it is given. The session is ended at KSeF
 * with its last lease, or when its grant no longer stands, and KSeF's list is asked whether it is
 * gone; an access token cannot be called back, so how long the last one lives on is recorded.
 *
 * The refresh token is here, and wrapped in the credential's slot: after a crash or a stop,
 * sessions that the ledger knows and nobody holds are ended with it. */
#include "agent/vault_session.h"

#include "core/time.h"

#include <stdlib.h>
#include <sys/random.h>

#define FRESH_MS        120000 /* an access token that is given is good for at least this long */
#define REFRESH_LIFE_MS (7 * KV_DAY_MS) /* KSeF API 2.0: at most */
#define UNCLAIMED_MS    120000          /* a session without a lease waits so long for one */

/* ---- leases: by their id, and in the order of their ends ---- */

static size_t bucket_of(struct kv_bytes id)
{
    /* the end of a ULID is random */
    size_t sum = 0;
    for (size_t i = id.len < 3 ? 0 : id.len - 3; i < id.len; i++) {
        sum = sum * 32 + id.ptr[i];
    }
    return sum % LEASE_BUCKETS;
}

static struct lease *find_lease(const struct session *s, struct kv_bytes id)
{
    struct lease *lease;
    LIST_FOREACH(lease, &s->leases.bucket[bucket_of(id)], of_bucket)
    {
        if (kv_bytes_is(id, lease->id)) {
            break;
        }
    }
    return lease;
}

static void add_lease(struct leases *leases, struct lease *lease)
{
    LIST_INSERT_HEAD(&leases->bucket[bucket_of(kv_bytes_str(lease->id))], lease, of_bucket);
    TAILQ_INSERT_TAIL(&leases->by_age, lease, by_age);
    leases->count++;
}

static void drop_lease(struct leases *leases, struct lease *lease)
{
    LIST_REMOVE(lease, of_bucket);
    TAILQ_REMOVE(&leases->by_age, lease, by_age);
    leases->count--;
    free(lease);
}

void session_free_leases(struct session *s)
{
    while (!TAILQ_EMPTY(&s->leases.by_age)) {
        drop_lease(&s->leases, TAILQ_FIRST(&s->leases.by_age));
    }
}

void session_free(struct session *s)
{
    struct vault *v = s->v;
    for (struct session **at = &v->sessions; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    waiters_clear(&s->waiters);
    vault_drop_effects(v, s);
    if (v->courier != NULL) {
        kv_channel_forget(v->courier, s);
    }
    const struct keeper *keeper = vault_keeper(v, s->who.slot);
    if (keeper != NULL && keeper->channel != NULL) {
        kv_channel_forget(keeper->channel, s);
    }
    session_free_leases(s);
    kv_timer_free(s->timer);
    kv_timer_free(s->refresh_timer);
    kv_secret_free(s->access);
    kv_secret_free(s->refresh);
    free(s);
}

/* ---- giving a lease ---- */

struct gift {
    struct call *call;
    struct kv_buf fields;
};

static void on_gift_durable(void *ctx, enum kv_code code, const char *detail)
{
    struct gift *gift = ctx;
    (void)code;
    (void)detail; /* the flush itself cannot fail without ending us */
    vault_reply(gift->call, &gift->fields);
    free(gift);
}

static struct lease *new_lease(const struct session *s)
{
    uint8_t random[10];
    struct lease *lease = calloc(1, sizeof *lease);
    if (lease == NULL) {
        abort();
    }
    /* the kernel's: OpenSSL asks it, too, and several of its own locks for each */
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        free(lease);
        return NULL;
    }
    kv_ulid_make(vault_now(s->v), random, lease->id);
    lease->until_ms = s->access_until;
    return lease;
}

static struct kv_record *lease_record(const struct session *s, const struct call *call,
                                      const struct lease *lease, const char *until)
{
    struct kv_record *rec = kv_record_new(KV_EV_KSEF_SESSION);
    char via[KV_VIA_LEN];
    memcpy(via, s->via, sizeof via);
    if (call->client != NULL) {
        vault_client_via(call->client, true, via); /* of this caller, not of the one who began */
    }
    kv_record_set_who(rec, KV_WHO_INTEGRATION, s->who.integration, via);
    kv_record_set(rec, KV_RK_GRANT, s->who.grant);
    kv_record_set(rec, KV_RK_CRED, s->who.credential);
    kv_record_set(rec, KV_RK_CTX, s->ctx);
    kv_record_set_op(rec, KV_OP_SESSION_OPEN);
    memcpy(rec->ksef.auth_ref, s->reference, sizeof rec->ksef.auth_ref);
    rec->has |= UINT32_C(1) << KV_RK_KSEF;
    kv_record_info_str(rec, "lease", lease->id);
    kv_record_info_str(rec, "until", until);
    return rec;
}

static void arm(struct session *s);

void session_give(struct session *s, struct call *call)
{
    struct vault *v = s->v;
    struct kv_err err;
    uint64_t seq;
    char until[KV_TIME_S_LEN];
    struct lease *lease = new_lease(s);
    if (lease == NULL) {
        vault_refuse(call, KV_E_INTERNAL, "no random numbers");
        return;
    }
    kv_time_format_s(s->access_until, until);
    if (vault_record(v, lease_record(s, call, lease, until), NULL, &seq, &err) != KV_OK) {
        free(lease);
        vault_refuse(call, err.code, err.msg);
        return;
    }
    if (s->leases.count == LEASES_MAX) {
        drop_lease(&s->leases, TAILQ_FIRST(&s->leases.by_age));
    }
    add_lease(&s->leases, lease);
    s->given_until = s->access_until > s->given_until ? s->access_until : s->given_until;
    struct gift *gift = calloc(1, sizeof *gift);
    if (gift == NULL) {
        abort();
    }
    gift->call = call;
    kv_buf_init(&gift->fields, 16384);
    kv_message_str(&gift->fields, "session", lease->id);
    kv_message_text(&gift->fields, "accessToken", kv_secret_bytes(s->access));
    kv_message_str(&gift->fields, "validUntil", until);
    kv_message_number(&gift->fields, "record", seq);
    arm(s);
    vault_after_flush(v, on_gift_durable, gift);
}

static void wait_for_refresh(struct session *s, struct call *call)
{
    struct kv_err err;
    if (!s->refreshing && session_refresh(s, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        return;
    }
    waiters_add(&s->waiters, call);
}

/* ---- leases that end ---- */

/* Tokens end in the order in which they were given, so with the last one all leases are over. */
static void on_timer(void *ctx)
{
    struct session *s = ctx;
    if (s->why != WHY_NONE) {
        session_end_at_ksef(s); /* once more */
        return;
    }
    bool young = kv_loop_clock_ms() - s->born_ms < UNCLAIMED_MS;
    if (s->given_until <= vault_now(s->v)) {
        session_free_leases(s);
    }
    if (s->leases.count == 0 && s->waiters.first == NULL && !s->refreshing && !young) {
        session_end(s, WHY_LAST_LEASE);
    } else {
        arm(s);
    }
}

/* The moment at which the last lease, and the time to claim a first one, are over. */
static void arm(struct session *s)
{
    int64_t unclaimed = s->born_ms + UNCLAIMED_MS - kv_loop_clock_ms();
    int64_t leased = s->given_until - vault_now(s->v);
    int64_t left = leased > unclaimed ? leased : unclaimed;
    kv_timer_arm(s->timer, left > 0 ? left + 1 : 1000);
}

/* ---- what the rest of the vault asks ---- */

static struct session *new_session(struct vault *v, const struct entitlement *who, const char *ctx,
                                   const char *reference)
{
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    *s = (struct session){.next = v->sessions, .v = v, .who = *who, .born_ms = kv_loop_clock_ms()};
    memcpy(s->ctx, ctx, strlen(ctx) + 1);
    memcpy(s->reference, reference, strlen(reference) + 1);
    TAILQ_INIT(&s->leases.by_age);
    s->timer = kv_timer_new(v->loop, on_timer, s);
    s->refresh_timer = kv_timer_new(v->loop, session_refresh_timer, s);
    waiters_init(&s->waiters, v->loop, "the session is being refreshed", 1);
    v->sessions = s;
    return s;
}

void vault_session_begin(struct vault *v, const struct vault_session_start *start,
                         struct call *const *calls, size_t count)
{
    struct session *s = new_session(v, start->who, start->ctx, start->reference);
    memcpy(s->via, start->via, strlen(start->via) + 1);
    s->access = start->access;
    s->refresh = start->refresh;
    s->access_until = start->access_until;
    s->refresh_until = start->refresh_until;
    if (start->unwanted) {
        session_end(s, WHY_LAST_LEASE);
        return;
    }
    arm(s);
    session_end_lost(s);
    for (size_t i = 0; i < count; i++) {
        session_give(s, calls[i]);
    }
    v->rules_changed = true; /* the grant may have been taken away while the login went on */
    v->dirty = true;
}

static bool is_held(const struct vault *v, const char *reference)
{
    const struct session *s = v->sessions;
    while (s != NULL && strcmp(s->reference, reference) != 0) {
        s = s->next;
    }
    return s != NULL;
}

void vault_sessions_end_orphans(struct vault *v)
{
    for (size_t i = 0; i < kv_state_session_count(v->state); i++) {
        const struct kv_ksef_session *known = kv_state_session_at(v->state, i);
        const struct kv_credential *c = kv_state_credential(v->state, kv_bytes_str(known->cred));
        if (c == NULL || is_held(v, known->ref)) {
            continue;
        }
        struct entitlement who = {.kind = c->kind, .terms = c->request->text};
        memcpy(who.credential, c->id, sizeof who.credential);
        memcpy(who.slot, c->slot, sizeof who.slot);
        struct session *s = new_session(v, &who, known->ctx, known->ref);
        s->why = WHY_ORPHAN;
        s->given_until = known->access_until_ms;
        s->refresh_until = known->seen_ms + REFRESH_LIFE_MS;
        kv_timer_arm(s->timer, 1);
    }
}

bool vault_session_join(struct call *call, const struct entitlement *who, const char *ctx)
{
    struct session *s = call->vault->sessions;
    while (s != NULL && (s->why != WHY_NONE || strcmp(s->who.grant, who->grant) != 0 ||
                         strcmp(s->ctx, ctx) != 0)) {
        s = s->next;
    }
    int64_t now = vault_now(call->vault);
    if (s == NULL || s->refresh_until - now < FRESH_MS) {
        return false; /* a new login; the old session ends with its leases */
    }
    if (s->access_until - now >= FRESH_MS && !s->refreshing) {
        session_give(s, call);
    } else {
        wait_for_refresh(s, call);
    }
    return true;
}

/* Only who got a lease ends it: another integration is told that there is none. */
static bool is_own(const struct session *s, const struct call *call)
{
    struct kv_answer answer;
    struct kv_caller caller = vault_caller(call->client);
    struct kv_moment moment = vault_moment(s->v);
    kv_state_question(s->v->state, &caller, KV_OP_SESSION_OPEN, s->ctx, &moment, &answer);
    return answer.integration != NULL && answer.code != KV_E_CALLER_UNIT &&
           answer.code != KV_E_CALLER_EXE && answer.code != KV_E_CALLER_UNREAD &&
           strcmp(answer.integration->id, s->who.integration) == 0;
}

/* The session with the lease of this id, or NULL. */
static struct session *leasing(const struct vault *v, struct kv_bytes id, struct lease **lease)
{
    struct session *s = v->sessions;
    while (s != NULL && (*lease = find_lease(s, id)) == NULL) {
        s = s->next;
    }
    return s;
}

bool vault_session_leased(struct vault *v, struct kv_bytes id)
{
    struct lease *lease;
    return leasing(v, id, &lease) != NULL;
}

void vault_call_session_close(struct call *call)
{
    struct kv_bytes id = call->field[0].value;
    struct lease *lease = NULL;
    struct session *s = leasing(call->vault, id, &lease);
    if (s == NULL || (call->uid != 0 && !is_own(s, call))) {
        vault_refuse(call, KV_E_NOT_FOUND, "there is no lease of that name, or it has ended");
        return;
    }
    char until[KV_TIME_S_LEN];
    struct kv_buf fields;
    kv_time_format_s(lease->until_ms, until);
    drop_lease(&s->leases, lease);
    bool last = s->leases.count == 0 && s->waiters.first == NULL && !s->refreshing;
    kv_buf_init(&fields, 512);
    kv_message_text(&fields, "session", id);
    kv_message_str(&fields, "accessTokenValidUntil", until);
    kv_message_bool(&fields, "endsAtKsef", last);
    if (last) {
        session_end(s, WHY_LAST_LEASE);
    }
    vault_reply(call, &fields);
}

void vault_sessions_check(struct vault *v)
{
    struct kv_err err;
    int64_t now = vault_now(v);
    for (struct session *s = v->sessions, *next; s != NULL; s = next) {
        next = s->next;
        enum kv_code code = kv_state_grant_stands(v->state, kv_bytes_str(s->who.grant), now, &err);
        if (code != KV_OK && s->why == WHY_NONE) {
            bool suspended = code == KV_E_GRANT_SUSPENDED || code == KV_E_INTEG_SUSPENDED;
            session_end(s, suspended ? WHY_SUSPENDED : WHY_GRANT_END);
        }
    }
}

size_t vault_sessions_count(const struct vault *v)
{
    size_t count = 0;
    for (const struct session *s = v->sessions; s != NULL; s = s->next) {
        count++;
    }
    return count;
}

void vault_sessions_view(struct vault *v, struct kv_buf *out)
{
    char until[KV_TIME_S_LEN];
    kv_message_begin(out, "sessions", KV_FIELD_ARRAY);
    for (const struct session *s = v->sessions; s != NULL; s = s->next) {
        const char *state = s->why == WHY_NONE ? s->refreshing ? "refreshing" : "open" : "ending";
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "reference", s->reference);
        kv_message_str(out, "state", s->lost ? "lost" : state);
        kv_message_str(out, "integration", s->who.integration); /* "": an orphan's is not known */
        kv_message_str(out, "grant", s->who.grant);
        kv_message_str(out, "credential", s->who.credential);
        kv_message_str(out, "context", s->ctx);
        kv_message_number(out, "leases", s->leases.count);
        if (s->given_until != 0) {
            kv_time_format_s(s->given_until, until);
            kv_message_str(out, "accessTokenValidUntil", until);
        }
        kv_message_end(out);
    }
    kv_message_end(out);
}

void vault_sessions_clear(struct vault *v)
{
    while (v->sessions != NULL) {
        waiters_refuse(&v->sessions->waiters, KV_E_STARTING, "the agent stops", 0);
        session_free(v->sessions);
    }
}
