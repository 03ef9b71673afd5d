#include "core/event.h"

#define K(name) (UINT32_C(1) << KV_RK_##name)
#define P       KV_WHO_PERSON
#define I       KV_WHO_INTEGRATION
#define C       KV_WHO_CALLER
#define A       KV_WHO_AGENT
#define S(name)                                                                                    \
    {                                                                                              \
        name, KV_INFO_STRING, false                                                                \
    }
#define S_OPT(name)                                                                                \
    {                                                                                              \
        name, KV_INFO_STRING, true                                                                 \
    }
#define N(name)                                                                                    \
    {                                                                                              \
        name, KV_INFO_INTEGER, false                                                               \
    }
#define N_OPT(name)                                                                                \
    {                                                                                              \
        name, KV_INFO_INTEGER, true                                                                \
    }
#define B(name)                                                                                    \
    {                                                                                              \
        name, KV_INFO_BOOLEAN, false                                                               \
    }
#define B_OPT(name)                                                                                \
    {                                                                                              \
        name, KV_INFO_BOOLEAN, true                                                                \
    }
#define M(name)                                                                                    \
    {                                                                                              \
        name, KV_INFO_MAP, false                                                                   \
    }

#define SIGNED "statement signature"

/* clang-format off */
static const struct kv_event_row rows[KV_EV_COUNT] = {
    [KV_EV_NONE]            = {"-", KV_BOUNDED, {{0}}},
    [KV_EV_LOG_INIT]        = {"log.init", KV_STRICT, {{A, 0, 0, {S("vault"), S("vkey"), B("test")}, "public-key"}}},
    [KV_EV_VAULT_FOUND]     = {"vault.found", KV_STRICT, {{A, K(REQ), 0, {{0}}, "request signature? (statement signature)+"}}},
    [KV_EV_PERSON_ENROL]    = {"person.enrol", KV_STRICT, {{A, K(PERSON) | K(REQ), K(KEY), {S("duty")}, "public-key?"}}},
    [KV_EV_KEY_ENROL]       = {"key.enrol", KV_STRICT, {{A, K(PERSON) | K(KEY) | K(REQ), 0, {{0}}, "public-key"}}},
    [KV_EV_PERSON_CHANGE]   = {"person.change", KV_STRICT, {{A, K(PERSON) | K(REQ), 0, {S("duty")}, ""}}},
    [KV_EV_PERSON_LEAVE]    = {"person.leave", KV_BOUNDED, {{P, K(PERSON), 0, {{0}}, SIGNED}}},
    [KV_EV_KEY_RETIRE]      = {"key.retire", KV_BOUNDED, {{P, K(PERSON) | K(KEY), 0, {{0}}, SIGNED}}},
    [KV_EV_KEY_COMPROMISED] = {"key.compromised", KV_BOUNDED, {{P, K(PERSON) | K(KEY), 0, {S("since")}, SIGNED}}},
    [KV_EV_POLICY_ACTIVATE] = {"policy.activate", KV_STRICT, {{A, K(REQ), 0, {{0}}, "policy"}}},
    [KV_EV_AGENT_START]     = {"agent.start", KV_BOUNDED, {{A, 0, 0, {S("version"), M("programs"), M("modules"), S("config"), S("policy"), M("custody"), N("batch"), N("wait")}, ""}}},
    [KV_EV_AGENT_STOP]      = {"agent.stop", KV_BOUNDED, {{A, 0, K(ERR), {S("why")}, ""}}},
    [KV_EV_LOG_RECOVERED]   = {"log.recovered", KV_BOUNDED, {{A, 0, 0, {N("from"), N("frames"), N("bytes"), S("why")}, ""}}},
    [KV_EV_REQUEST_OPEN]    = {"request.open", KV_BOUNDED, {{P, K(REQ), 0, {S("action")}, "request signature signature?"}, {I, K(REQ), 0, {S("action")}, "request"}}},
    [KV_EV_REQUEST_WITHDRAW] = {"request.withdraw", KV_BOUNDED, {{P, K(REQ), 0, {{0}}, SIGNED}}},
    [KV_EV_REQUEST_LAPSE]   = {"request.lapse", KV_BOUNDED, {{A, K(REQ), 0, {{0}}, ""}}},
    [KV_EV_APPROVE]         = {"approve", KV_STRICT, {{P, K(ROLE) | K(REQ), 0, {{0}}, SIGNED}}},
    [KV_EV_DENY]            = {"deny", KV_BOUNDED, {{P, K(ROLE) | K(REQ), 0, {{0}}, SIGNED}}},
    [KV_EV_INTEG_REGISTER]  = {"integ.register", KV_STRICT, {{A, K(REQ) | K(INTEG), 0, {{0}}, ""}}},
    [KV_EV_INTEG_CHANGE]    = {"integ.change", KV_STRICT, {{A, K(REQ) | K(INTEG), 0, {{0}}, ""}}},
    [KV_EV_INTEG_RESUME]    = {"integ.resume", KV_STRICT, {{A, K(REQ) | K(INTEG), 0, {{0}}, ""}}},
    [KV_EV_INTEG_SUSPEND]   = {"integ.suspend", KV_BOUNDED, {{P, K(INTEG), 0, {{0}}, SIGNED}, {A, K(INTEG) | K(ERR), 0, {{0}}, ""}}},
    [KV_EV_CRED_CREATE]     = {"cred.create", KV_STRICT, {{A, K(REQ) | K(CRED), 0, {S("custody"), M("attrs")}, "public-key evidence?"}}},
    [KV_EV_CRED_ACTIVATE]   = {"cred.activate", KV_STRICT, {{A, K(REQ) | K(CRED), 0, {S_OPT("from"), S_OPT("to"), B_OPT("self")}, "certificate?"}}},
    [KV_EV_CRED_IMPORT]     = {"cred.import", KV_STRICT, {{A, K(REQ) | K(CRED), 0, {M("custody"), S("rung")}, "evidence?"}}},
    [KV_EV_GRANT_ACTIVATE]  = {"grant.activate", KV_STRICT, {{A, K(REQ) | K(GRANT) | K(INTEG) | K(CRED), 0, {{0}}, ""}}},
    [KV_EV_GRANT_SUSPEND]   = {"grant.suspend", KV_BOUNDED, {{P, K(GRANT), 0, {{0}}, SIGNED}, {A, K(GRANT) | K(ERR), 0, {{0}}, ""}}},
    [KV_EV_GRANT_RESUME]    = {"grant.resume", KV_STRICT, {{A, K(REQ) | K(GRANT), 0, {{0}}, ""}}},
    [KV_EV_GRANT_REVOKE]    = {"grant.revoke", KV_BOUNDED, {{P, K(GRANT), 0, {{0}}, SIGNED}}},
    [KV_EV_GRANT_EXPIRE]    = {"grant.expire", KV_BOUNDED, {{A, K(GRANT), 0, {S("why")}, ""}}},
    [KV_EV_GRANT_CLOSE]     = {"grant.close", KV_BOUNDED, {{A, K(GRANT), K(PERSON), {S_OPT("residual")}, ""}}},
    [KV_EV_USE_SIGN]        = {"use.sign", KV_BOUNDED, {{I, K(GRANT) | K(CRED) | K(OP) | K(CTX) | K(DIG), K(INV), {{0}}, ""}}},
    [KV_EV_USE_INTENT]      = {"use.intent", KV_BOUNDED, {{I | A, K(GRANT) | K(CRED) | K(OP) | K(CTX), K(DIG) | K(KSEF), {{0}}, ""}}},
    [KV_EV_USE_OUTCOME]     = {"use.outcome", KV_BOUNDED, {{A, K(OF) | K(OUT), K(KSEF) | K(ERR), {S_OPT("access"), S_OPT("refresh")}, ""}}},
    [KV_EV_USE_REFUSED]     = {"use.refused", KV_BOUNDED, {{I | P | C, K(ERR), K(GRANT) | K(CRED) | K(OP) | K(CTX), {N_OPT("n")}, ""}}},
    [KV_EV_KSEF_SESSION]    = {"ksef.session", KV_BOUNDED, {{I, K(GRANT) | K(CRED) | K(OP) | K(CTX) | K(KSEF), 0, {S("lease"), S("until")}, ""}}},
    [KV_EV_KSEF_CLOSE]      = {"ksef.close", KV_BOUNDED, {{A, K(CRED) | K(CTX) | K(KSEF) | K(OUT), K(ERR), {S("why")}, ""}}},
    [KV_EV_KSEF_RESIDUAL]   = {"ksef.residual", KV_BOUNDED, {{A, K(CRED) | K(CTX) | K(KSEF), 0, {S("until")}, ""}}},
    [KV_EV_KSEF_KEY]        = {"ksef.key", KV_BOUNDED, {{A, 0, 0, {S("id"), S("from"), S("to"), B("announced")}, "certificate"}}},
    [KV_EV_EXCEPTION_OPEN]  = {"exception.open", KV_BOUNDED, {{A | P | I, K(ERR), K(GRANT) | K(INTEG) | K(CRED), {S("id"), S("class"), N_OPT("n")}, ""}}},
    [KV_EV_EXPORT_MADE]     = {"export.made", KV_BOUNDED, {{P | C, 0, 0, {N("records"), N("size"), S("root"), B("private")}, ""}}},
    [KV_EV_VERIFY_RUN]      = {"verify.run", KV_BOUNDED, {{P | C | A, 0, 0, {N("records"), N("size"), S("root"), N("exit")}, ""}}},
    [KV_EV_ALARM_SIGNER_DOWN] = {"alarm.signer-down", KV_BOUNDED, {{A, K(ERR), 0, {{0}}, ""}}},
    [KV_EV_ALARM_EXE_CHANGED] = {"alarm.exe-changed", KV_BOUNDED, {{A, K(INTEG), 0, {S("exe")}, ""}}},
    [KV_EV_ALARM_KEY_CLONED] = {"alarm.key-cloned", KV_BOUNDED, {{A, K(PERSON) | K(KEY), 0, {{0}}, ""}}},
    [KV_EV_ALARM_CHECKPOINT] = {"alarm.checkpoint", KV_BOUNDED, {{A, K(PERSON) | K(KEY), 0, {N("size"), S("root")}, ""}}},
    [KV_EV_ALARM_DISK_LOW]  = {"alarm.disk-low", KV_BOUNDED, {{A, 0, 0, {N("free")}, ""}}},
    [KV_EV_ALARM_CLOCK_BEHIND] = {"alarm.clock-behind", KV_BOUNDED, {{A, 0, 0, {N("behind")}, ""}}},
};

static const char *const key_words[KV_RK_COUNT] = {
    [KV_RK_PERSON] = "person", [KV_RK_KEY] = "key",   [KV_RK_ROLE] = "role", [KV_RK_REQ] = "req",
    [KV_RK_GRANT] = "grant",   [KV_RK_INTEG] = "integ", [KV_RK_CRED] = "cred", [KV_RK_OP] = "op",
    [KV_RK_CTX] = "ctx",       [KV_RK_DIG] = "dig",   [KV_RK_OF] = "of",     [KV_RK_KSEF] = "ksef",
    [KV_RK_INV] = "inv",       [KV_RK_OUT] = "out",   [KV_RK_ERR] = "err",
};
/* clang-format on */

const struct kv_event_row *kv_event_row(enum kv_event ev)
{
    return &rows[ev];
}

const char *kv_event_word(enum kv_event ev)
{
    return rows[ev].word;
}

bool kv_event_parse(struct kv_bytes word, enum kv_event *out)
{
    for (int i = KV_EV_NONE + 1; i < KV_EV_COUNT; i++) {
        if (kv_bytes_is(word, rows[i].word)) {
            *out = (enum kv_event)i;
            return true;
        }
    }
    return false;
}

const char *kv_record_key_word(enum kv_record_key key)
{
    return key_words[key];
}

const char *kv_who_word(enum kv_who who)
{
    switch (who) {
    case KV_WHO_PERSON: return "person";
    case KV_WHO_INTEGRATION: return "integration";
    case KV_WHO_CALLER: return "caller";
    case KV_WHO_AGENT: return "agent";
    }
    return "-";
}
