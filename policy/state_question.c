/* May this caller do this now, and if not: which rule, and who lifts it. */
#include "policy/state_model.h"

#include <stdarg.h>
#include <stdio.h>

/* A sentence for a person, cut where it does not fit. */
static void say(char *out, size_t size, const char *fmt, ...) KV_PRINTF(3, 4);

static void say(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    out[n < 0 ? 0 : size - 1] = '\0';
}

static void refuse(struct kv_answer *out, enum kv_code code, const char *detail, const char *who)
{
    say(out->detail, sizeof out->detail, "%s", detail);
    say(out->who, sizeof out->who, "%s", who);
    out->code = code;
}

/* Owner and custodian of an integration are its normal approvers. */
/* Who lifts it: the owner named in `key`, or who has the same duty once the owner has left. */
static void owner(const struct kv_state *s, const struct kv_integration *n, enum kv_key key,
                  const char *duty, char out[static 64])
{
    struct kv_bytes id = kv_statement_get(n->request->text, key);
    const struct kv_person *person = kv_state_person(s, id);
    if (person != NULL && person->enabled) {
        say(out, 64, "%s (%s)", person->id, duty);
    } else {
        say(out, 64, "any %s person", duty);
    }
}

static void owners(const struct kv_state *s, const struct kv_integration *n, char *out, size_t size)
{
    char finance[64], custodian[64];
    owner(s, n, KV_KEY_BUSINESS_OWNER, "finance", finance);
    owner(s, n, KV_KEY_TECHNICAL_CUSTODIAN, "custodian", custodian);
    say(out, size, "%s and %s", finance, custodian);
}

static bool caller_is(const struct kv_integration *n, const struct kv_caller *caller,
                      bool *unit_differs)
{
    const struct kv_statement *st = n->request->text;
    uint64_t uid, gid;
    bool has_uid = kv_statement_number(st, KV_KEY_UID, &uid);
    bool has_unit = kv_statement_has(st, KV_KEY_UNIT);
    bool unit_fits = !has_unit || kv_bytes_is(kv_statement_get(st, KV_KEY_UNIT), caller->unit);
    *unit_differs = has_uid && uid == caller->uid && !unit_fits;
    if (has_uid && uid != caller->uid) {
        return false;
    }
    if (kv_statement_number(st, KV_KEY_GID, &gid) && gid != caller->gid) {
        return false;
    }
    return unit_fits;
}

static const struct kv_integration *find_caller(const struct kv_state *s,
                                                const struct kv_caller *caller,
                                                const struct kv_integration **differs)
{
    for (size_t i = 0; i < s->integrations.count; i++) {
        const struct kv_integration *n = s->integrations.item[i];
        bool unit_differs = false;
        if (caller_is(n, caller, &unit_differs)) {
            return n;
        }
        *differs = unit_differs ? n : *differs;
    }
    return NULL;
}

bool kv_state_knows(const struct kv_state *state, const struct kv_caller *caller)
{
    const struct kv_integration *differs = NULL;
    return find_caller(state, caller, &differs) != NULL;
}

/* What is to be compared was attested at all. */
static bool exe_known(const struct kv_integration *n, const struct kv_caller *caller)
{
    const struct kv_statement *st = n->request->text;
    return (!kv_statement_has(st, KV_KEY_EXE) || caller->exe[0] != '\0') &&
           (!kv_statement_has(st, KV_KEY_EXE_SHA256) || caller->has_exe_hash);
}

/* Path and hash as approved? A changed executable raises an alarm; the policy says what follows. */
static bool exe_fits(const struct kv_integration *n, const struct kv_caller *caller, int64_t now_ms)
{
    const struct kv_statement *st = n->request->text;
    struct kv_hash want;
    if (kv_statement_has(st, KV_KEY_EXE) &&
        !kv_bytes_is(kv_statement_get(st, KV_KEY_EXE), caller->exe)) {
        return false;
    }
    if (!kv_statement_hash(st, KV_KEY_EXE_SHA256, &want)) {
        return true;
    }
    return caller->has_exe_hash && (kv_hash_equal(&want, &caller->exe_hash) ||
                                    (n->has_former_exe && now_ms < n->former_exe_until_ms &&
                                     kv_hash_equal(&n->former_exe, &caller->exe_hash)));
}

/* The alarm tolerates a changed executable for some hours, if the policy says so. */
static bool exe_tolerated(const struct kv_state *s, const struct kv_integration *n, int64_t now_ms)
{
    return s->rules.exe_alarm_hours > 0 && (!n->exe_alarm || now_ms < n->exe_alarm_until_ms);
}

/* All have signed, only its time has not come: nobody is missing. */
static void not_begun(const struct kv_request *r, const struct kv_moment *m, struct kv_answer *out)
{
    char text[192], when[KV_TIME_S_LEN];
    int64_t left_s = (r->not_before_ms - m->now_ms) / KV_SECOND_MS + 1;
    kv_time_format_s(r->not_before_ms, when);
    say(text, sizeof text, "grant %s is approved and begins at %s", r->id, when);
    refuse(out, KV_E_GRANT_EARLY, text, "nobody: wait");
    out->retry_after_s = left_s < KV_DAY_MS / KV_SECOND_MS ? (uint32_t)left_s : 86399;
}

static void waiting_or_none(const struct kv_state *s, const struct kv_integration *n,
                            const char *context, const struct kv_moment *m, const char *who,
                            struct kv_answer *out)
{
    char text[192];
    for (size_t i = 0; i < s->requests.count; i++) {
        const struct kv_request *r = s->requests.item[i];
        bool live = r->state == KV_REQUEST_OPEN || r->state == KV_REQUEST_APPROVED;
        if (r->action == KV_ACTION_GRANT && live &&
            kv_bytes_is(kv_statement_get(r->text, KV_KEY_INTEGRATION), n->id) &&
            kv_bytes_is(kv_statement_get(r->text, KV_KEY_CONTEXT), context)) {
            if (r->state == KV_REQUEST_APPROVED && m->now_ms < r->not_before_ms) {
                not_begun(r, m, out);
                return;
            }
            say(text, sizeof text, "grant %s for %s waits: it is %s", r->id, n->id,
                kv_request_state_word(r->state));
            refuse(out, KV_E_GRANT_WAITING, text, who);
            return;
        }
    }
    say(text, sizeof text, "integration %s has no grant", n->id);
    refuse(out, KV_E_NO_GRANT, text, who);
}

/* Of several grants the one that stands wins; else the refusal that is nearest to standing. */
static void choose(const struct kv_state *s, const struct kv_integration *n, enum kv_op op,
                   const char *context, const struct kv_moment *m, struct kv_answer *out)
{
    char who[128], text[192];
    bool any = false, other_context = false;
    owners(s, n, who, sizeof who);
    for (size_t i = s->grants.count; i > 0; i--) { /* the newest first */
        const struct kv_grant *g = s->grants.item[i - 1];
        struct kv_err err;
        if (g->integration != n) {
            continue;
        }
        if (!kv_bytes_is(kv_statement_get(g->request->text, KV_KEY_CONTEXT), context)) {
            other_context = other_context || !kv_grant_over(g);
            continue;
        }
        enum kv_code code = kv_grant_standing(s, g, op, m->now_ms, &err);
        if (code == KV_OK && op == KV_OP_SESSION_OPEN) {
            code = kv_grant_standing(s, g, kv_cred_login(g->credential->kind), m->now_ms, &err);
        }
        if (code != KV_OK) {
            if (!any) {
                refuse(out, code, err.msg, who);
                out->grant = g;
                out->credential = g->credential;
            }
            any = true;
            continue;
        }
        out->code = KV_OK;
        out->detail[0] = out->who[0] = '\0';
        out->grant = g;
        out->credential = g->credential;
        return;
    }
    if (any) {
        /* a request that waits tells more than a grant that has ended */
        if (out->code == KV_E_GRANT_EXPIRED || out->code == KV_E_GRANT_REVOKED ||
            out->code == KV_E_GRANT_USES) {
            struct kv_answer waiting = *out;
            waiting_or_none(s, n, context, m, who, &waiting);
            if (waiting.code != KV_E_NO_GRANT) {
                *out = waiting;
            }
        }
        return;
    }
    waiting_or_none(s, n, context, m, who, out);
    if (out->code == KV_E_NO_GRANT && other_context) {
        say(text, sizeof text, "the grants of %s are for other contexts than %s", n->id, context);
        refuse(out, KV_E_GRANT_CONTEXT, text, who);
    }
}

/* Nothing may rest on what no checkpoint covers yet. */
static bool covered(const struct kv_state *s, const struct kv_answer *out, uint64_t size)
{
    return out->grant->seq < size && out->integration->seq < size &&
           out->credential->active_seq < size && out->credential->created_seq < size &&
           s->policy_seq < size;
}

static void decide(const struct kv_state *s, const struct kv_integration *n, enum kv_op op,
                   const char *context, const struct kv_moment *m, struct kv_answer *out)
{
    char text[192], who[128];
    out->integration = n;
    if (n->suspended) {
        say(text, sizeof text, "integration %s is suspended%s%.64s", n->id,
            n->suspended_why[0] == '\0' ? "" : ": ", n->suspended_why);
        owners(s, n, who, sizeof who);
        refuse(out, KV_E_INTEG_SUSPENDED, text, who);
        return;
    }
    choose(s, n, op, context, m, out);
    if (out->code != KV_OK) {
        return;
    }
    int64_t wait = kv_grant_wait_ms(s, out->grant, m->now_ms);
    if (!covered(s, out, m->covered)) {
        refuse(out, KV_E_LEDGER_COVER, "what this rests on waits for its checkpoint", "");
        out->retry_after_s = 1;
    } else if (wait > 0) {
        refuse(out, KV_E_GRANT_RATE, "the grant's rate is used up", "");
        out->retry_after_s = (uint32_t)(wait / KV_SECOND_MS) + 1;
    } else {
        out->room = kv_grant_room(s, out->grant, m->now_ms, &out->room_code);
    }
}

void kv_state_question(const struct kv_state *state, const struct kv_caller *caller, enum kv_op op,
                       const char *context, const struct kv_moment *moment, struct kv_answer *out)
{
    char text[192], who[128];
    const struct kv_integration *differs = NULL;
    *out = (struct kv_answer){.code = KV_E_NO_GRANT};
    const struct kv_integration *n = find_caller(state, caller, &differs);
    if (n == NULL && differs != NULL) {
        say(text, sizeof text, "uid %u is %.40s, which is registered for another unit than '%.40s'",
            caller->uid, differs->id, caller->unit);
        owners(state, differs, who, sizeof who);
        out->integration = differs;
        refuse(out, KV_E_CALLER_UNIT, text, who);
        return;
    }
    if (n == NULL) {
        say(text, sizeof text, "uid %u (%.100s) is no registered integration", caller->uid,
            caller->exe[0] == '\0' ? "?" : caller->exe);
        refuse(out, KV_E_CALLER_UNKNOWN, text, "one finance person and one custodian");
        return;
    }
    out->integration = n;
    if (!n->suspended && !exe_known(n, caller)) {
        say(text, sizeof text, "what %s runs could not be read, or has not been yet", n->id);
        refuse(out, KV_E_CALLER_UNREAD, text, "nobody: try again");
        out->retry_after_s = 1;
        return; /* not a changed program: no alarm */
    }
    if (!n->suspended && !exe_fits(n, caller, moment->now_ms)) {
        out->exe_changed = true;
        out->exe_suspend = !exe_tolerated(state, n, moment->now_ms);
        if (out->exe_suspend) {
            say(text, sizeof text, "%.120s is not the program approved for %s",
                caller->exe[0] == '\0' ? "what runs there" : caller->exe, n->id);
            owners(state, n, who, sizeof who);
            refuse(out, KV_E_CALLER_EXE, text, who);
            return;
        }
    }
    decide(state, n, op, context, moment, out);
}

void kv_state_explain(const struct kv_state *state, struct kv_bytes integration, enum kv_op op,
                      const char *context, const struct kv_moment *moment, struct kv_answer *out)
{
    *out = (struct kv_answer){.code = KV_E_NOT_FOUND};
    const struct kv_integration *n = kv_state_integration(state, integration);
    if (n == NULL) {
        refuse(out, KV_E_NOT_FOUND, "there is no integration of that name",
               "one finance person and one custodian register it");
        return;
    }
    decide(state, n, op, context, moment, out);
}
