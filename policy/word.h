/* The words of statements and policy texts: closed lists, each an enum and a table that is read
 * both ways. The zero value never parses, so a forgotten value is not a permission. */
#ifndef KV_POLICY_WORD_H
#define KV_POLICY_WORD_H

#include "core/bytes.h"

enum kv_duty {
    KV_DUTY_UNKNOWN,
    KV_DUTY_NONE, /* "-": may request, and withdraw what she requested */
    KV_DUTY_FINANCE,
    KV_DUTY_CUSTODIAN,
    KV_DUTY_AUDITOR,
    KV_DUTY_EXTERNAL, /* "external-auditor": nothing signed by one is accepted */
    KV_DUTY_COUNT
};
const char *kv_duty_word(enum kv_duty duty);
bool kv_duty_parse(struct kv_bytes word, enum kv_duty *out);

/* The line `role:` of a decision: the seat that it fills. (core/frame.h has the roles of our
 * programs, another thing.) */
enum kv_seat { KV_SEAT_NONE, KV_SEAT_FINANCE, KV_SEAT_CUSTODIAN, KV_SEAT_COUNT };
const char *kv_seat_word(enum kv_seat seat);
bool kv_seat_parse(struct kv_bytes word, enum kv_seat *out);
/* The duty whose holders fill the seat. */
enum kv_duty kv_seat_duty(enum kv_seat seat);

enum kv_decision { KV_DECISION_NONE, KV_DECISION_APPROVE, KV_DECISION_DENY, KV_DECISION_COUNT };
const char *kv_decision_word(enum kv_decision decision);
bool kv_decision_parse(struct kv_bytes word, enum kv_decision *out);

enum kv_class { KV_CLASS_NONE, KV_CLASS_ROUTINE, KV_CLASS_EMERGENCY, KV_CLASS_COUNT };
const char *kv_class_word(enum kv_class class);
bool kv_class_parse(struct kv_bytes word, enum kv_class *out);

enum kv_cred_kind {
    KV_CRED_NONE,
    KV_CRED_AUTH_CERTIFICATE,
    KV_CRED_OFFLINE_CERTIFICATE,
    KV_CRED_TOKEN,
    KV_CRED_COUNT
};
const char *kv_cred_kind_word(enum kv_cred_kind kind);
bool kv_cred_kind_parse(struct kv_bytes word, enum kv_cred_kind *out);

enum kv_key_type { KV_KEY_TYPE_NONE, KV_KEY_TYPE_EC_P256, KV_KEY_TYPE_RSA_2048, KV_KEY_TYPE_COUNT };
const char *kv_key_type_word(enum kv_key_type type);
bool kv_key_type_parse(struct kv_bytes word, enum kv_key_type *out);

enum kv_environment {
    KV_ENVIRONMENT_NONE,
    KV_ENVIRONMENT_TEST,
    KV_ENVIRONMENT_DEMO,
    KV_ENVIRONMENT_PROD,
    KV_ENVIRONMENT_COUNT
};
const char *kv_environment_word(enum kv_environment environment);
bool kv_environment_parse(struct kv_bytes word, enum kv_environment *out);

enum kv_lang { KV_LANG_NONE, KV_LANG_EN, KV_LANG_PL, KV_LANG_COUNT };
const char *kv_lang_word(enum kv_lang lang);
bool kv_lang_parse(struct kv_bytes word, enum kv_lang *out);

/* What a request asks for. The grammars of all of them are fixed, so that no stored text changes
 * its meaning; which ones are carried out is the fold's matter. */
enum kv_action {
    KV_ACTION_NONE,
    KV_ACTION_FOUND,
    KV_ACTION_PERSON_ENROL,
    KV_ACTION_PERSON_CHANGE,
    KV_ACTION_KEY_ENROL,
    KV_ACTION_CREDENTIAL_CREATE,
    KV_ACTION_CREDENTIAL_IMPORT,
    KV_ACTION_INTEGRATION_REGISTER,
    KV_ACTION_INTEGRATION_CHANGE,
    KV_ACTION_GRANT,
    KV_ACTION_POLICY,
    KV_ACTION_RESUME,
    KV_ACTION_EMERGENCY,
    KV_ACTION_REVIEW,
    KV_ACTION_ROTATE,
    KV_ACTION_DESTROY,
    KV_ACTION_EXCEPTION_ACCEPT,
    KV_ACTION_SOD_ACCEPT,
    KV_ACTION_PRIV_ERASE,
    KV_ACTION_RESTORE,
    KV_ACTION_CLOCK_RESET,
    KV_ACTION_COUNT
};
const char *kv_action_word(enum kv_action action);
bool kv_action_parse(struct kv_bytes word, enum kv_action *out);

enum kv_act {
    KV_ACT_NONE,
    KV_ACT_WITHDRAW,
    KV_ACT_SUSPEND,
    KV_ACT_REVOKE,
    KV_ACT_RETIRE,
    KV_ACT_COMPROMISED,
    KV_ACT_LEAVE,
    KV_ACT_RELEASE,
    KV_ACT_CLOSE,
    KV_ACT_ASSIGN,
    KV_ACT_ATTEST,
    KV_ACT_RECORD,
    KV_ACT_COUNT
};
const char *kv_act_word(enum kv_act act);
bool kv_act_parse(struct kv_bytes word, enum kv_act *out);

/* The noun of a target, `grant 01KE…`. */
enum kv_noun {
    KV_NOUN_NONE,
    KV_NOUN_REQUEST,
    KV_NOUN_GRANT,
    KV_NOUN_INTEGRATION,
    KV_NOUN_CREDENTIAL,
    KV_NOUN_KEY,
    KV_NOUN_PERSON,
    KV_NOUN_EXCEPTION,
    KV_NOUN_REVIEW,
    KV_NOUN_VAULT,
    KV_NOUN_COUNT
};
const char *kv_noun_word(enum kv_noun noun);
bool kv_noun_parse(struct kv_bytes word, enum kv_noun *out);

#endif
