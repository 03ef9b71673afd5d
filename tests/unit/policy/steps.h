/* Steps of the tests' vault that may be refused, each in one call. */
#ifndef KV_TESTS_UNIT_POLICY_STEPS_H
#define KV_TESTS_UNIT_POLICY_STEPS_H

#include "tests/unit/kv_test.h"
#include "tests/unit/policy/world.h"

#include <stdio.h>

static inline enum kv_code hand_in(struct world *w, struct world_text *text)
{
    enum kv_code code = world_submit(w, text);
    world_text_clear(text);
    return code;
}

static inline void must_refuse(const struct world *w, enum kv_code code, enum kv_code expected)
{
    if (code != expected) {
        fail_msg("%s instead of %s: %s", kv_code_word(code), kv_code_word(expected), w->err.msg);
    }
}

static inline enum kv_code decide(struct world *w, const char *signer, enum kv_decision decision,
                                  const char *request)
{
    struct world_text text;
    const char *role = strncmp(signer, "fin", 3) == 0 ? "finance" : "custodian";
    world_decision(w, &text, signer, role, decision, request);
    return hand_in(w, &text);
}

static inline void both_approve(struct world *w, const char *request)
{
    world_must(w, decide(w, "fin-01", KV_DECISION_APPROVE, request));
    world_must(w, decide(w, "cus-01", KV_DECISION_APPROVE, request));
}

static inline enum kv_code act(struct world *w, const char *signer, enum kv_act what,
                               const char *target, const char *key, const char *value)
{
    struct world_text text;
    world_act(w, &text, signer, what, target, key, value);
    return hand_in(w, &text);
}

static inline enum kv_code act_on_key(struct world *w, const char *signer, enum kv_act what,
                                      const char *key_of, int64_t since_ms)
{
    char target[80], since[KV_TIME_S_LEN];
    int n = snprintf(target, sizeof target, "key %s", world_signer(w, key_of)->fingerprint);
    assert_true(n > 0 && (size_t)n < sizeof target);
    kv_time_format_s(since_ms, since);
    bool bad = what == KV_ACT_COMPROMISED;
    return act(w, signer, what, target, bad ? "since" : NULL, bad ? since : NULL);
}

/* Ask for an enrolment of `person` with the key of `key`; the request's id is in `id`. */
static inline enum kv_code ask_enrolment(struct world *w, const char *person, const char *key,
                                         const char *duty, char id[static KV_ULID_LEN])
{
    struct world_text text;
    const struct signer *s = world_signer(w, key);
    world_request(w, &text, "req-01", KV_ACTION_PERSON_ENROL, "person", person, "duty", duty,
                  "organisation", "own", "contract-end", "-", "business-duties", "-", "uid", "-",
                  "name-commitment", "-", "key", s->fingerprint, "public-key", s->line,
                  "key-not-after", "-", NULL);
    world_prove(w, &text, key);
    memcpy(id, text.request, KV_ULID_LEN);
    return hand_in(w, &text);
}

static inline void enrol(struct world *w, const char *person, const char *key, const char *duty)
{
    char id[KV_ULID_LEN];
    world_must(w, ask_enrolment(w, person, key, duty, id));
    world_approve(w, id);
}

static inline enum kv_request_state state_of(const struct world *w, const char *request)
{
    const struct kv_request *r = kv_state_request(w->state, kv_bytes_str(request));
    assert_non_null(r);
    return r->state;
}

static inline enum kv_code ask_grant(struct world *w, const char *credential,
                                     const char *integration, const char *rate,
                                     char id[static KV_ULID_LEN])
{
    struct world_text text;
    world_request(w, &text, "req-01", KV_ACTION_GRANT, "credential", credential, "integration",
                  integration, "context", WORLD_NIP, "operations",
                  "auth.xades,csr.sign,session.open", "class", "routine", "max-uses", "-", "rate",
                  rate, NULL);
    memcpy(id, text.request, KV_ULID_LEN);
    return hand_in(w, &text);
}

#endif
