/* The oracle of test_state_model.c: who is in the small world, what they can do, and what has to
 * follow from it. It knows nothing of records, texts or the fold. */
#ifndef KV_TESTS_UNIT_POLICY_ORACLE_H
#define KV_TESTS_UNIT_POLICY_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

/* Keys; key FIN_1B is the second one of fin-01. */
enum key { FIN_1, FIN_1B, FIN_2, CUS_1, CUS_2, REQ, KEYS };
enum person { P_FIN_1, P_FIN_2, P_CUS_1, P_CUS_2, P_REQ, PERSONS };
struct key_holder {
    const char *label;
    enum person person;
};
extern const struct key_holder keys[KEYS];
extern const char *const persons[PERSONS];

enum kind { APPROVE, DENY, WITHDRAW, LEAVE, RETIRE, COMPROMISED, SUSPEND, REVOKE, POLICY, USE };
struct event {
    enum kind kind;
    enum key by;
    int on;           /* person or key concerned */
    const char *role; /* of a decision */
};
#define EVENTS 30
extern const struct event events[EVENTS];

/* What the oracle knows. */
struct truth {
    unsigned left, bad, retired; /* sets of persons; of keys */
    unsigned said;               /* persons who decided */
    unsigned approved;           /* keys whose approval counts */
    bool over;                   /* denied, withdrawn, lapsed: never a grant */
    bool given, revoked, suspended, policy;
    unsigned given_by; /* keys on which the grant rests */
};

/* The key's person is here and the key is good. */
bool can_sign(const struct truth *t, enum key key);
/* Whether the event has to be accepted; of POLICY always true. */
bool wanted(const struct truth *t, const struct event *e);
/* The event happened. */
void learn(struct truth *t, const struct event *e);
/* Its word. */
const char *kind_word(enum kind kind);

#endif
