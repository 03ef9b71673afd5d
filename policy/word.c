#include "policy/word.h"

/* NULL words (the zero values) never match. */
static int find(const char *const *words, int count, struct kv_bytes word)
{
    for (int i = 0; i < count; i++) {
        if (words[i] != NULL && kv_bytes_is(word, words[i])) {
            return i;
        }
    }
    return -1;
}

static const char *const duties[KV_DUTY_COUNT] = {
    [KV_DUTY_NONE] = "-",
    [KV_DUTY_FINANCE] = "finance",
    [KV_DUTY_CUSTODIAN] = "custodian",
    [KV_DUTY_AUDITOR] = "auditor",
    [KV_DUTY_EXTERNAL] = "external-auditor",
};
static const char *const seats[KV_SEAT_COUNT] = {
    [KV_SEAT_FINANCE] = "finance",
    [KV_SEAT_CUSTODIAN] = "custodian",
};
static const char *const decisions[KV_DECISION_COUNT] = {
    [KV_DECISION_APPROVE] = "approve",
    [KV_DECISION_DENY] = "deny",
};
static const char *const classes[KV_CLASS_COUNT] = {
    [KV_CLASS_ROUTINE] = "routine",
    [KV_CLASS_EMERGENCY] = "emergency",
};
static const char *const cred_kinds[KV_CRED_COUNT] = {
    [KV_CRED_AUTH_CERTIFICATE] = "auth-certificate",
    [KV_CRED_OFFLINE_CERTIFICATE] = "offline-certificate",
    [KV_CRED_TOKEN] = "token",
};
static const char *const key_types[KV_KEY_TYPE_COUNT] = {
    [KV_KEY_TYPE_EC_P256] = "ec-p256",
    [KV_KEY_TYPE_RSA_2048] = "rsa-2048",
};
static const char *const environments[KV_ENVIRONMENT_COUNT] = {
    [KV_ENVIRONMENT_TEST] = "test",
    [KV_ENVIRONMENT_DEMO] = "demo",
    [KV_ENVIRONMENT_PROD] = "prod",
};
static const char *const langs[KV_LANG_COUNT] = {
    [KV_LANG_EN] = "en",
    [KV_LANG_PL] = "pl",
};
static const char *const actions[KV_ACTION_COUNT] = {
    [KV_ACTION_FOUND] = "found",
    [KV_ACTION_PERSON_ENROL] = "person.enrol",
    [KV_ACTION_PERSON_CHANGE] = "person.change",
    [KV_ACTION_KEY_ENROL] = "key.enrol",
    [KV_ACTION_CREDENTIAL_CREATE] = "credential.create",
    [KV_ACTION_CREDENTIAL_IMPORT] = "credential.import",
    [KV_ACTION_INTEGRATION_REGISTER] = "integration.register",
    [KV_ACTION_INTEGRATION_CHANGE] = "integration.change",
    [KV_ACTION_GRANT] = "grant",
    [KV_ACTION_POLICY] = "policy",
    [KV_ACTION_RESUME] = "resume",
    [KV_ACTION_EMERGENCY] = "emergency",
    [KV_ACTION_REVIEW] = "review",
    [KV_ACTION_ROTATE] = "rotate",
    [KV_ACTION_DESTROY] = "destroy",
    [KV_ACTION_EXCEPTION_ACCEPT] = "exception.accept",
    [KV_ACTION_SOD_ACCEPT] = "sod.accept",
    [KV_ACTION_PRIV_ERASE] = "priv.erase",
    [KV_ACTION_RESTORE] = "restore",
    [KV_ACTION_CLOCK_RESET] = "clock.reset",
};
static const char *const acts[KV_ACT_COUNT] = {
    [KV_ACT_WITHDRAW] = "withdraw", [KV_ACT_SUSPEND] = "suspend",
    [KV_ACT_REVOKE] = "revoke",     [KV_ACT_RETIRE] = "retire",
    [KV_ACT_LEAVE] = "leave",       [KV_ACT_COMPROMISED] = "compromised",
    [KV_ACT_RELEASE] = "release",   [KV_ACT_CLOSE] = "close",
    [KV_ACT_ASSIGN] = "assign",     [KV_ACT_ATTEST] = "attest",
    [KV_ACT_RECORD] = "record",
};
static const char *const nouns[KV_NOUN_COUNT] = {
    [KV_NOUN_REQUEST] = "request",
    [KV_NOUN_GRANT] = "grant",
    [KV_NOUN_INTEGRATION] = "integration",
    [KV_NOUN_CREDENTIAL] = "credential",
    [KV_NOUN_KEY] = "key",
    [KV_NOUN_PERSON] = "person",
    [KV_NOUN_EXCEPTION] = "exception",
    [KV_NOUN_REVIEW] = "review",
    [KV_NOUN_VAULT] = "vault",
};

/* The two readers of one table. */
#define WORDS(type, name, table)                                                                   \
    const char *kv_##name##_word(enum type value)                                                  \
    {                                                                                              \
        const char *word = table[value];                                                           \
        return word == NULL ? "" : word;                                                           \
    }                                                                                              \
    bool kv_##name##_parse(struct kv_bytes word, enum type *out)                                   \
    {                                                                                              \
        int at = find(table, (int)KV_COUNT(table), word);                                          \
        if (at < 0) {                                                                              \
            return false;                                                                          \
        }                                                                                          \
        *out = (enum type)at;                                                                      \
        return true;                                                                               \
    }

WORDS(kv_duty, duty, duties)
WORDS(kv_seat, seat, seats)
WORDS(kv_decision, decision, decisions)
WORDS(kv_class, class, classes)
WORDS(kv_cred_kind, cred_kind, cred_kinds)
WORDS(kv_key_type, key_type, key_types)
WORDS(kv_environment, environment, environments)
WORDS(kv_lang, lang, langs)
WORDS(kv_action, action, actions)
WORDS(kv_act, act, acts)
WORDS(kv_noun, noun, nouns)

enum kv_duty kv_seat_duty(enum kv_seat seat)
{
    switch (seat) {
    case KV_SEAT_FINANCE: return KV_DUTY_FINANCE;
    case KV_SEAT_CUSTODIAN: return KV_DUTY_CUSTODIAN;
    case KV_SEAT_NONE:
    case KV_SEAT_COUNT: break;
    }
    return KV_DUTY_UNKNOWN;
}
