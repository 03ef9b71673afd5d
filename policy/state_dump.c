/* The state as text: a canonical dump to compare two, and the signers' file of an export. */
#include "core/buf.h"
#include "policy/state_model.h"

void kv_state_allowed_signers(const struct kv_state *state, struct kv_buf *out)
{
    for (size_t i = 0; i < state->keys.count; i++) {
        const struct kv_person_key *key = state->keys.item[i];
        /* OpenSSH still accepts the second of valid-before: it is the last good one */
        int64_t last =
            key->not_after_ms == KV_TIME_MAX ? KV_TIME_MAX : key->not_after_ms - KV_SECOND_MS;
        if (key->retired_ms != 0 && key->retired_ms < last) {
            last = key->retired_ms;
        }
        if (key->compromised && key->compromised_since_ms - KV_SECOND_MS < last) {
            last = key->compromised_since_ms - KV_SECOND_MS;
        }
        kv_pubkey_print_signer(&key->key, key->person, key->valid_from_ms, last, out);
    }
}

static void dump_people(const struct kv_state *s, struct kv_buf *out)
{
    for (size_t i = 0; i < s->persons.count; i++) {
        const struct kv_person *p = s->persons.item[i];
        kv_buf_add_format(out, "person %s %s %d %d %llu %llu\n", p->id, kv_duty_word(p->duty),
                          p->enabled, p->has_uid, (unsigned long long)p->uid,
                          (unsigned long long)p->seq);
    }
    for (size_t i = 0; i < s->keys.count; i++) {
        const struct kv_person_key *k = s->keys.item[i];
        kv_buf_add_format(out, "key %s %s %lld %lld %lld %lld %d %lld %llu\n", k->fingerprint,
                          k->person, (long long)k->valid_from_ms, (long long)k->back_ms,
                          (long long)k->not_after_ms, (long long)k->retired_ms, k->compromised,
                          (long long)k->compromised_since_ms, (unsigned long long)k->seq);
    }
}

static void dump_requests(const struct kv_state *s, struct kv_buf *out)
{
    for (size_t i = 0; i < s->requests.count; i++) {
        const struct kv_request *r = s->requests.item[i];
        kv_buf_add_format(out, "request %s %s %u%s %d %llu\n", r->id,
                          kv_request_state_word(r->state), r->step, r->proven ? "+" : "",
                          r->orphaned, (unsigned long long)r->decided_seq);
        for (size_t k = 0; k < r->decision_count; k++) {
            const struct kv_signed_decision *d = &r->decisions[k];
            kv_buf_add_format(out, " %s %s %s %d %d %llu\n", d->person, d->key,
                              kv_seat_word(d->seat), d->approve, d->counts,
                              (unsigned long long)d->seq);
        }
    }
}

static void dump_things(const struct kv_state *s, struct kv_buf *out)
{
    for (size_t i = 0; i < s->credentials.count; i++) {
        const struct kv_credential *c = s->credentials.item[i];
        kv_buf_add_format(out, "credential %s %s %s%s%s %d %lld %lld %llu\n", c->id, c->request->id,
                          c->custody, c->rung[0] == '\0' ? "" : "/", c->rung, c->active,
                          (long long)c->from_ms, (long long)c->to_ms,
                          (unsigned long long)c->active_seq);
    }
    for (size_t i = 0; i < s->integrations.count; i++) {
        const struct kv_integration *n = s->integrations.item[i];
        kv_buf_add_format(out, "integration %s %s %s %d %x %d %s %d %lld %d %lld %d %llu\n", n->id,
                          n->request->id, n->resumed == NULL ? "-" : n->resumed->id, n->suspended,
                          n->suspended_ops, n->by_agent, n->suspended_why, n->exe_alarm,
                          (long long)n->exe_alarm_until_ms, n->has_former_exe,
                          (long long)n->former_exe_until_ms, n->compromised,
                          (unsigned long long)n->seq);
    }
    for (size_t i = 0; i < s->grants.count; i++) {
        const struct kv_grant *g = s->grants.item[i];
        kv_buf_add_format(out, "grant %s %s %s %d %s %x %llu %zu %d %d %llu\n", g->id,
                          kv_grant_state_word(g->state), g->resumed == NULL ? "-" : g->resumed->id,
                          g->revoked, g->why, g->suspended_ops, (unsigned long long)g->uses,
                          g->use_count, g->compromised, g->ends_by_policy,
                          (unsigned long long)g->seq);
    }
    for (size_t i = 0; i < s->intent_count; i++) {
        kv_buf_add_format(out, "intent %llu %s\n", (unsigned long long)s->intents[i].seq,
                          s->intents[i].grant);
    }
    for (size_t i = 0; i < s->session_count; i++) {
        kv_buf_add_format(out, "session %s %s %s %lld %lld\n", s->sessions[i].ref,
                          s->sessions[i].cred, s->sessions[i].ctx,
                          (long long)s->sessions[i].seen_ms,
                          (long long)s->sessions[i].access_until_ms);
    }
    for (size_t i = 0; i < s->ministry_count; i++) {
        char hex[KV_HASH_HEX_LEN];
        kv_hash_hex(&s->ministry[i].id, hex);
        kv_buf_add_format(out, "ksef-key %s %d\n", hex, s->ministry_alarm);
    }
}

void kv_state_dump(const struct kv_state *state, struct kv_buf *out)
{
    char policy[KV_HASH_HEX_LEN];
    kv_hash_hex(&state->policy, policy);
    kv_buf_add_format(out, "vault %s %d %d %llu %lld %llu %d %s %zu %zu\n", state->vault,
                      state->test, state->founded, (unsigned long long)state->size,
                      (long long)state->last_ts_ms, (unsigned long long)state->start_seq,
                      state->cloned != NULL, policy, state->texts.count, state->nonces.count);
    dump_people(state, out);
    dump_requests(state, out);
    dump_things(state, out);
}

struct kv_hash kv_state_digest(const struct kv_state *state)
{
    struct kv_buf out;
    kv_buf_init(&out, (size_t)256 << 20);
    kv_state_dump(state, &out);
    assert(!out.failed);
    struct kv_hash digest = kv_hash(kv_buf_bytes(&out));
    kv_buf_clear(&out);
    return digest;
}
