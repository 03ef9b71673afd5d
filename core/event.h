/* The events of the ledger (FORMATS §5): one table of names, classes, and what a record of each
 * must, may and must not have. `ledger/` checks records against it, `policy/` gives them meaning.
 */
#ifndef KV_CORE_EVENT_H
#define KV_CORE_EVENT_H

#include "core/bytes.h"

enum kv_event {
    KV_EV_NONE,
    KV_EV_LOG_INIT,
    KV_EV_VAULT_FOUND,
    KV_EV_PERSON_ENROL,
    KV_EV_KEY_ENROL,
    KV_EV_PERSON_CHANGE,
    KV_EV_PERSON_LEAVE,
    KV_EV_KEY_RETIRE,
    KV_EV_KEY_COMPROMISED,
    KV_EV_POLICY_ACTIVATE,
    KV_EV_AGENT_START,
    KV_EV_AGENT_STOP,
    KV_EV_LOG_RECOVERED,
    KV_EV_REQUEST_OPEN,
    KV_EV_REQUEST_WITHDRAW,
    KV_EV_REQUEST_LAPSE,
    KV_EV_APPROVE,
    KV_EV_DENY,
    KV_EV_INTEG_REGISTER,
    KV_EV_INTEG_CHANGE,
    KV_EV_INTEG_RESUME,
    KV_EV_INTEG_SUSPEND,
    KV_EV_CRED_CREATE,
    KV_EV_CRED_ACTIVATE,
    KV_EV_CRED_IMPORT,
    KV_EV_GRANT_ACTIVATE,
    KV_EV_GRANT_SUSPEND,
    KV_EV_GRANT_RESUME,
    KV_EV_GRANT_REVOKE,
    KV_EV_GRANT_EXPIRE,
    KV_EV_GRANT_CLOSE,
    KV_EV_USE_SIGN,
    KV_EV_USE_INTENT,
    KV_EV_USE_OUTCOME,
    KV_EV_USE_REFUSED,
    KV_EV_KSEF_SESSION,
    KV_EV_KSEF_CLOSE,
    KV_EV_KSEF_RESIDUAL,
    KV_EV_KSEF_KEY,
    KV_EV_EXCEPTION_OPEN,
    KV_EV_EXPORT_MADE,
    KV_EV_VERIFY_RUN,
    KV_EV_ALARM_SIGNER_DOWN,
    KV_EV_ALARM_EXE_CHANGED,
    KV_EV_ALARM_KEY_CLONED,
    KV_EV_ALARM_CHECKPOINT,
    KV_EV_ALARM_DISK_LOW,
    KV_EV_ALARM_CLOCK_BEHIND,
    KV_EV_COUNT
};

/* Strict events give something: nothing may rest on them before a checkpoint covers them. */
enum kv_event_class { KV_BOUNDED, KV_STRICT };

/* Keys of a record behind `who`, in the order in which they are written. */
enum kv_record_key {
    KV_RK_PERSON,
    KV_RK_KEY,
    KV_RK_ROLE,
    KV_RK_REQ,
    KV_RK_GRANT,
    KV_RK_INTEG,
    KV_RK_CRED,
    KV_RK_OP,
    KV_RK_CTX,
    KV_RK_DIG,
    KV_RK_OF,
    KV_RK_KSEF,
    KV_RK_INV,
    KV_RK_OUT,
    KV_RK_ERR,
    KV_RK_COUNT
};

enum kv_who { KV_WHO_PERSON = 1, KV_WHO_INTEGRATION = 2, KV_WHO_CALLER = 4, KV_WHO_AGENT = 8 };

enum kv_info_type { KV_INFO_STRING, KV_INFO_INTEGER, KV_INFO_BOOLEAN, KV_INFO_MAP };
struct kv_info_spec {
    const char *name; /* NULL ends the list */
    enum kv_info_type type;
    bool optional;
};

/* One way to write the event. */
struct kv_event_form {
    unsigned who;      /* set of enum kv_who; 0 ends the list */
    uint32_t required; /* 1 << enum kv_record_key */
    uint32_t optional;
    struct kv_info_spec info[10]; /* in this order */
    const char *docs; /* kinds in order: "statement signature"; `?` optional, "(a b)+" repeated */
};

struct kv_event_row {
    const char *word; /* "use.intent" */
    enum kv_event_class class;
    struct kv_event_form forms[4];
};

const struct kv_event_row *kv_event_row(enum kv_event ev);
const char *kv_event_word(enum kv_event ev);
bool kv_event_parse(struct kv_bytes word, enum kv_event *out);
const char *kv_record_key_word(enum kv_record_key key);
const char *kv_who_word(enum kv_who who);

#endif
