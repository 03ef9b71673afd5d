/* What state the agent is in, what is wrong, and what to do next: in one answer. */
#include "agent/vault_view.h"

#include "core/time.h"

#include <stdarg.h>
#include <stdio.h>

#define SOON_MS (30 * KV_DAY_MS) /* an end that is nearer than this is told */

static const char *state_word(const struct vault *v)
{
    if (v->log == NULL) {
        return "starting";
    }
    switch (kv_log_status(v->log)->state) {
    case KV_LOG_DAMAGED: return "safe-mode";
    case KV_LOG_NEWER: return "newer-version";
    case KV_LOG_EMPTY: return "unfounded";
    case KV_LOG_GOOD: break;
    }
    return !v->started ? "starting" : v->clock_behind ? "clock-behind" : "serving";
}

/* ---- what wants attention: the most pressing first ---- */

struct list {
    struct kv_buf *out;
    char first[320]; /* what to do about the first */
};

static void attend(struct list *list, const char *next, const char *fmt, ...) KV_PRINTF(3, 4);
static void attend(struct list *list, const char *next, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    what[n < 0 ? 0 : sizeof what - 1] = '\0';
    kv_message_begin(list->out, "", KV_FIELD_OBJECT);
    kv_message_str(list->out, "what", what);
    kv_message_str(list->out, "next", next);
    kv_message_end(list->out);
    if (list->first[0] == '\0') {
        size_t len = strlen(next);
        memcpy(list->first, next, len < sizeof list->first ? len : sizeof list->first - 1);
    }
}

static void attend_state(const struct vault *v, struct list *list)
{
    const char *state = state_word(v);
    if (v->held.code != KV_OK) {
        attend(list, kv_code_row(v->held.code)->next, "The ledger waits: %s [%s]", v->held.msg,
               kv_code_word(v->held.code));
    } else if (strcmp(state, "unfounded") == 0) {
        attend(list,
               v->log_key.type == 0 ? "Bring the log slot up: `ksefvault slot check`."
                                    : "Found the vault: `ksefvault vault found --help`.",
               "The vault has not been founded.");
    } else if (strcmp(state, "safe-mode") == 0) {
        attend(list, "`ksefvault ledger verify` names the first bad place; see docs/operations.md.",
               "The ledger is damaged: nothing is given.");
    } else if (strcmp(state, "newer-version") == 0) {
        attend(list, kv_code_row(KV_E_LEDGER_NEWER)->next, "A newer version wrote the ledger.");
    } else if (strcmp(state, "clock-behind") == 0) {
        attend(list, "Correct the host's clock; revoking and suspending still work.",
               "The host's clock is behind the ledger's last record.");
    }
    for (size_t i = 0; i < v->keeper_count; i++) {
        const struct keeper *k = &v->keepers[i];
        if (!k->ready && k->code != KV_E_STARTING) {
            attend(list, kv_code_row(k->code)->next, "Slot %s is not usable: %s [%s]", k->slot,
                   k->detail, kv_code_word(k->code));
        }
    }
    if (v->courier_code != KV_OK && v->courier_code != KV_E_STARTING) {
        attend(list, kv_code_row(v->courier_code)->next,
               "KSeF is out of reach, the courier is not ready: %s [%s]", v->courier_detail,
               kv_code_word(v->courier_code));
    }
    if (v->log == NULL && v->held.code == KV_OK) {
        char text[KV_READING_LEN];
        vault_reading(v, text);
        attend(list, "Wait until the ledger is read.", "The agent is starting: %s.", text);
    } else if (strcmp(state, "starting") == 0 && v->held.code == KV_OK) {
        attend(list, "Wait a moment.", "The agent is starting.");
    }
}

static void attend_health(struct vault *v, struct list *list)
{
    char when[KV_TIME_S_LEN];
    struct kv_err err;
    if (v->signer_down || v->unsigned_tail) {
        attend(list, kv_code_row(KV_E_LEDGER_SIGNER)->next, "The ledger is not being signed: %s",
               v->signer_detail);
    } else if (vault_may_give(v, &err) != KV_OK && !v->clock_behind) {
        attend(list, kv_code_row(err.code)->next, "%s [%s]", err.msg, kv_code_word(err.code));
    }
    if (v->ksef_code != KV_OK) {
        kv_time_format_s(v->ksef_since_ms, when);
        attend(list, kv_code_row(v->ksef_code)->next, "KSeF, since %s: %s [%s]", when,
               v->ksef_detail, kv_code_word(v->ksef_code));
    }
}

/* Another grant of the same integration, credential and context goes on behind this one. */
static bool continued(const struct vault *v, const struct kv_grant *g)
{
    for (size_t i = 0; i < kv_state_grant_count(v->state); i++) {
        const struct kv_grant *other = kv_state_grant_at(v->state, i);
        if (other != g && other->state == KV_GRANT_ACTIVE && other->integration == g->integration &&
            other->credential == g->credential &&
            other->request->not_after_ms > g->request->not_after_ms &&
            kv_bytes_equal(kv_statement_get(other->request->text, KV_KEY_CONTEXT),
                           kv_statement_get(g->request->text, KV_KEY_CONTEXT))) {
            return true;
        }
    }
    return false;
}

static void attend_grants(struct vault *v, struct list *list)
{
    int64_t now = vault_now(v);
    const int64_t soon = kv_state_rules(v->state)->renew_days * KV_DAY_MS;
    char when[KV_TIME_S_LEN], next[96];
    for (size_t i = 0; i < kv_state_grant_count(v->state); i++) {
        const struct kv_grant *g = kv_state_grant_at(v->state, i);
        int64_t length = g->request->not_after_ms - g->request->not_before_ms;
        int64_t left = g->request->not_after_ms - now;
        /* of a short grant, which was meant to be short, only its last tenth */
        bool near = left < soon && (length > soon || left < length / 10);
        if (g->state == KV_GRANT_SUSPENDED) {
            int n = snprintf(next, sizeof next, "If it is cleared up: `ksefvault grant resume %s`.",
                             g->id);
            assert(n > 0 && (size_t)n < sizeof next);
            attend(list, next, "A grant of %s is suspended%s%s.", g->integration->id,
                   g->suspended_why[0] == '\0' ? "" : ": ", g->suspended_why);
            continue;
        }
        if (kv_grant_over(g) || !near || continued(v, g)) {
            continue;
        }
        kv_time_format_s(g->request->not_after_ms, when);
        int n = snprintf(next, sizeof next, "`ksefvault grant renew %s`", g->id);
        assert(n > 0 && (size_t)n < sizeof next);
        attend(list, next, "The grant of %s ends at %s.", g->integration->id, when);
    }
}

static void attend_credentials(struct vault *v, struct list *list)
{
    int64_t now = vault_now(v);
    char when[KV_TIME_S_LEN];
    for (size_t i = 0; i < kv_state_credential_count(v->state); i++) {
        const struct kv_credential *c = kv_state_credential_at(v->state, i);
        if (c->active && c->has_certificate && c->to_ms - now < SOON_MS) {
            kv_time_format_s(c->to_ms, when);
            attend(list, "Create a credential with a new certificate, and move the grant to it.",
                   "The certificate of %s %s %s.", c->id, c->to_ms > now ? "ends at" : "ended at",
                   when);
        } else if (c->active && c->kind == KV_CRED_TOKEN) {
            attend(list, "Create a credential with a certificate, and move the grant to it.",
                   "%s is a KSeF token: KSeF takes tokens until 31 December 2026.", c->id);
        }
    }
}

/* ---- who answers for something, and has left ---- */

static const struct {
    enum kv_key key;
    enum kv_duty duty;
    const char *what, *option;
} owners[] = {
    {KV_KEY_BUSINESS_OWNER, KV_DUTY_FINANCE, "owner", "business-owner"},
    {KV_KEY_TECHNICAL_CUSTODIAN, KV_DUTY_CUSTODIAN, "custodian", "custodian"},
};

/* The owner of row `i` whom `r` names is none any more: her id and what she did. */
static bool owner_gone(const struct vault *v, const struct kv_request *r, size_t i,
                       char id[static KV_ID_LEN], const char **what)
{
    const struct kv_person *p = kv_state_person(v->state, kv_statement_get(r->text, owners[i].key));
    if (p == NULL || (p->enabled && p->duty == owners[i].duty)) {
        return false;
    }
    memcpy(id, p->id, KV_ID_LEN);
    *what = p->enabled ? "has another duty" : "has left";
    return true;
}

static bool in_use(const struct vault *v, const struct kv_credential *c)
{
    for (size_t i = 0; i < kv_state_grant_count(v->state); i++) {
        const struct kv_grant *g = kv_state_grant_at(v->state, i);
        if (g->credential == c && !kv_grant_over(g)) {
            return true;
        }
    }
    return false;
}

static void attend_owners(struct vault *v, struct list *list)
{
    char id[KV_ID_LEN], next[160];
    const char *what;
    for (size_t i = 0; i < kv_state_integration_count(v->state); i++) {
        const struct kv_integration *n = kv_state_integration_at(v->state, i);
        for (size_t k = 0; k < KV_COUNT(owners); k++) {
            if (owner_gone(v, n->request, k, id, &what)) {
                int len =
                    snprintf(next, sizeof next, "`ksefvault integration change %s --%s PERSON`",
                             n->id, owners[k].option);
                assert(len > 0 && (size_t)len < sizeof next);
                attend(list, next, "The %s of integration %s, %s, %s.", owners[k].what, n->id, id,
                       what);
            }
        }
    }
    /* a credential keeps its terms; the next one has others */
    for (size_t i = 0; i < kv_state_credential_count(v->state); i++) {
        const struct kv_credential *c = kv_state_credential_at(v->state, i);
        for (size_t k = 0; in_use(v, c) && k < KV_COUNT(owners); k++) {
            if (owner_gone(v, c->request, k, id, &what)) {
                attend(list,
                       "Create the next credential with others, `ksefvault credential generate "
                       "--help`, and move the grants to it.",
                       "The %s of credential %s, %s, %s.", owners[k].what, c->id, id, what);
            }
        }
    }
}

/* Approved, and the slot that shall make the key is not there, or not good enough any more. */
static void attend_keys(struct vault *v, struct list *list)
{
    struct kv_err err;
    struct kv_moment moment = vault_moment(v);
    const struct kv_request *r;
    char credential[KV_ID_LEN], slot[KV_ID_LEN];
    for (size_t at = 0; (r = kv_state_key_wanted(v->state, &moment, &at)) != NULL;) {
        kv_statement_copy(r->text, KV_KEY_CREDENTIAL, credential, sizeof credential);
        kv_statement_copy(r->text, KV_KEY_SLOT, slot, sizeof slot);
        const struct keeper *keeper = vault_keeper(v, slot);
        if (keeper == NULL || !keeper->ready) {
            attend(list, "Bring the slot back, or deny the request and make another one.",
                   "The key of %s is approved and waits for slot %s%s.", credential, slot,
                   keeper == NULL ? ", which is not configured" : "");
        } else if (vault_custody_allows(v, slot, &err) != KV_OK) {
            attend(list, kv_code_row(err.code)->next,
                   "The key of %s is approved and waits: %s [%s]", credential, err.msg,
                   kv_code_word(err.code));
        }
    }
}

static void attend_people(struct vault *v, struct list *list)
{
    size_t open = 0;
    char next[96];
    if (kv_state_credential_count(v->state) == 0) {
        attend(list, "Create a credential: `ksefvault credential generate --help`.",
               "There is no credential yet.");
    }
    for (size_t i = 0; i < kv_state_integration_count(v->state); i++) {
        const struct kv_integration *n = kv_state_integration_at(v->state, i);
        if (n->suspended) {
            int len = snprintf(next, sizeof next,
                               "If it is cleared up: `ksefvault integration resume %s`.", n->id);
            assert(len > 0 && (size_t)len < sizeof next);
            attend(list, next, "Integration %s is suspended%s%s.", n->id,
                   n->suspended_why[0] == '\0' ? "" : ": ", n->suspended_why);
        }
    }
    for (size_t i = 0; i < kv_state_request_count(v->state); i++) {
        const struct kv_request *r = kv_state_request_at(v->state, i);
        open += r->state == KV_REQUEST_OPEN;
        if (r->state == KV_REQUEST_APPROVED && r->action == KV_ACTION_GRANT) {
            int len = snprintf(next, sizeof next, "See `ksefvault request show %s`.", r->id);
            assert(len > 0 && (size_t)len < sizeof next);
            attend(
                list, next,
                "A grant is approved and waits for its integration or credential to be in order.");
        }
    }
    if (open > 0) {
        attend(list, "Requests wait for signatures: `ksefvault request list`.",
               "%zu request%s for signatures.", open, open == 1 ? " waits" : "s wait");
    }
}

static void add_slots(const struct vault *v, struct kv_buf *out)
{
    kv_message_begin(out, "slots", KV_FIELD_ARRAY);
    for (size_t i = 0; i < v->keeper_count; i++) {
        const struct keeper *k = &v->keepers[i];
        kv_message_begin(out, "", KV_FIELD_OBJECT);
        kv_message_str(out, "name", k->slot);
        kv_message_str(out, "state", k->ready ? "ready" : kv_code_word(k->code));
        kv_message_str(out, "detail", k->detail);
        kv_message_str(out, "custody", k->custody);
        kv_message_str(out, "custodyWhy", k->custody_why);
        kv_message_str(out, "model", k->model);
        kv_message_end(out);
    }
    kv_message_end(out);
}

static const char *courier_word(const struct vault *v)
{
    if (v->courier_code == KV_OK) {
        return v->courier == NULL ? "restarting" : "ready";
    }
    return v->courier_code == KV_E_STARTING ? "restarting" : kv_code_word(v->courier_code);
}

static void add_attention(struct vault *v, struct kv_buf *out)
{
    struct kv_buf items;
    kv_buf_init(&items, 256 * 1024);
    struct list list = {.out = &items};
    attend_state(v, &list);
    if (v->log != NULL && v->started) {
        attend_health(v, &list);
        attend_keys(v, &list);
        attend_people(v, &list);
        attend_grants(v, &list);
        attend_credentials(v, &list);
        attend_owners(v, &list);
    }
    kv_message_str(out, "next", list.first[0] == '\0' ? "Nothing." : list.first);
    kv_message_begin(out, "attention", KV_FIELD_ARRAY);
    kv_buf_add_bytes(out, kv_buf_bytes(&items));
    kv_message_end(out);
    kv_buf_clear(&items);
}

void vault_view_status(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    (void)vault_now(v);
    kv_message_str(out, "state", state_word(v));
    add_attention(v, out);
    kv_message_str(out, "vault", v->name);
    kv_message_str(out, "version", KV_VERSION);
    kv_message_str(out, "sandbox", KV_SANDBOX ? "on" : "off");
    kv_message_str(out, "environment", v->environment);
    vault_view_time(out, "now", kv_time_now_ms());
    add_slots(v, out);
    kv_message_str(out, "courier", courier_word(v));
    if (v->log == NULL || !v->started) {
        const struct kv_log_status *st = v->log == NULL ? NULL : kv_log_status(v->log);
        if (st != NULL && st->bad_what[0] != '\0') {
            kv_message_number(out, "badRecord", st->bad_seq);
            kv_message_str(out, "badPlace", st->bad_place);
            kv_message_str(out, "badWhat", st->bad_what);
        }
        return;
    }
    kv_message_bool(out, "test", kv_state_is_test(v->state));
    vault_view_hex(out, "policySha256", kv_state_policy(v->state));
    kv_message_number(out, "sessions", vault_sessions_count(v));
    kv_message_number(out, "records", kv_log_size(v->log));
    kv_message_number(out, "covered", kv_log_covered(v->log));
    vault_view_checkpoint(v, out);
    kv_message_str(out, "signer", v->signer_down || v->unsigned_tail ? v->signer_detail : "ready");
    kv_message_str(out, "anchors",
                   "approvals name checkpoints; a disk put back as a whole is seen only with a "
                   "later checkpoint kept elsewhere (ledger verify --expect)");
    kv_message_str(out, "enforcement", "software-policy");
}

void vault_view_health(struct vault *v, const struct call *call, struct kv_buf *out)
{
    (void)call;
    (void)vault_now(v);
    kv_message_str(out, "state", state_word(v));
    kv_message_bool(out, "serving",
                    v->started && !v->signer_down && !v->unsigned_tail && !v->clock_behind);
}
