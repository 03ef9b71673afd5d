#include "tests/unit/policy/oracle.h"

const struct key_holder keys[KEYS] = {{"fin-01", P_FIN_1}, {"fin-01.b", P_FIN_1},
                                      {"fin-02", P_FIN_2}, {"cus-01", P_CUS_1},
                                      {"cus-02", P_CUS_2}, {"req-01", P_REQ}};
const char *const persons[PERSONS] = {"fin-01", "fin-02", "cus-01", "cus-02", "req-01"};

const struct event events[EVENTS] = {
    {APPROVE, FIN_1, 0, "finance"},
    {APPROVE, FIN_1B, 0, "finance"},
    {APPROVE, FIN_2, 0, "finance"},
    {APPROVE, CUS_1, 0, "custodian"},
    {APPROVE, CUS_2, 0, "custodian"},
    {APPROVE, CUS_1, 0, "finance"}, /* never good */
    {APPROVE, REQ, 0, "custodian"}, /* never good */
    {DENY, FIN_1, 0, "finance"},
    {DENY, FIN_2, 0, "finance"},
    {DENY, CUS_1, 0, "custodian"},
    {DENY, CUS_2, 0, "custodian"},
    {WITHDRAW, REQ, 0, NULL},
    {LEAVE, CUS_2, P_FIN_1, NULL},
    {LEAVE, FIN_2, P_CUS_1, NULL},
    {LEAVE, FIN_2, P_CUS_2, NULL},
    {LEAVE, FIN_2, P_REQ, NULL},
    {RETIRE, FIN_1, FIN_1, NULL},
    {RETIRE, FIN_2, FIN_2, NULL},
    {RETIRE, FIN_1, CUS_2, NULL},
    {COMPROMISED, FIN_1B, FIN_1, NULL},
    {COMPROMISED, FIN_2, CUS_1, NULL},
    {COMPROMISED, FIN_1, CUS_2, NULL},
    {COMPROMISED, FIN_1, REQ, NULL},
    {SUSPEND, FIN_1, 0, NULL},
    {REVOKE, FIN_1B, 0, NULL},
    {REVOKE, FIN_2, 0, NULL},
    {REVOKE, CUS_1, 0, NULL},
    {REVOKE, CUS_2, 0, NULL},
    {POLICY, FIN_2, 0, NULL},
    {USE, FIN_1, 0, NULL},
};

static bool has(unsigned set, unsigned n)
{
    return (set >> n & 1) != 0;
}

static unsigned with(unsigned set, unsigned n)
{
    return set | 1U << n;
}

static bool is_finance(enum person p)
{
    return p == P_FIN_1 || p == P_FIN_2;
}

bool can_sign(const struct truth *t, enum key key)
{
    return !has(t->left, keys[key].person) && !has(t->bad | t->retired, key);
}

/* Somebody of the duty of `like`, without this person and key, could still sign. */
static bool remains(const struct truth *t, enum person like, int without, int without_key)
{
    for (enum key k = 0; k < REQ; k++) {
        enum person p = keys[k].person;
        if (is_finance(p) == is_finance(like) && (int)p != without && (int)k != without_key &&
            can_sign(t, k)) {
            return true;
        }
    }
    return false;
}

bool wanted(const struct truth *t, const struct event *e)
{
    enum person p = keys[e->by].person;
    bool open = !t->over && !t->given;
    if (!can_sign(t, e->by) && e->kind != USE && e->kind != POLICY) {
        return false;
    }
    switch (e->kind) {
    case APPROVE:
        return open && p != P_REQ && is_finance(p) == (e->role[0] == 'f') && !has(t->said, p);
    case DENY: return open; /* also who had approved */
    case WITHDRAW: return open;
    case LEAVE:
        return !has(t->left, (unsigned)e->on) &&
               (e->on == P_REQ || remains(t, (enum person)e->on, e->on, -1));
    case RETIRE:
        return !has(t->bad | t->retired, (unsigned)e->on) &&
               (has(t->left, keys[e->on].person) || remains(t, keys[e->on].person, -1, e->on));
    case COMPROMISED: return !has(t->bad, (unsigned)e->on);
    case SUSPEND: return t->given && !t->revoked && !t->suspended;
    case REVOKE: return t->given && !t->revoked;
    case POLICY: return true; /* not predicted */
    case USE: return t->given && !t->revoked && !t->suspended;
    }
    return false;
}

static void give_if_complete(struct truth *t)
{
    bool finance = has(t->approved, FIN_1) || has(t->approved, FIN_1B) || has(t->approved, FIN_2);
    bool custodian = has(t->approved, CUS_1) || has(t->approved, CUS_2);
    if (finance && custodian && !t->over && !t->given) {
        t->given = true;
        t->given_by = t->approved | 1U << REQ;
    }
}

static void discount(struct truth *t, unsigned of_keys)
{
    t->approved &= ~of_keys;
}

void learn(struct truth *t, const struct event *e)
{
    switch (e->kind) {
    case APPROVE:
        t->said = with(t->said, keys[e->by].person);
        t->approved = with(t->approved, e->by);
        give_if_complete(t);
        break;
    case DENY:
    case WITHDRAW: t->over = true; break;
    case LEAVE:
        t->left = with(t->left, (unsigned)e->on);
        for (enum key k = 0; k < KEYS; k++) {
            if ((int)keys[k].person == e->on) {
                discount(t, 1U << k);
            }
        }
        t->over = t->over || (e->on == P_REQ && !t->given);
        break;
    case RETIRE: t->retired = with(t->retired, (unsigned)e->on); break;
    case COMPROMISED:
        t->bad = with(t->bad, (unsigned)e->on);
        discount(t, 1U << e->on);
        t->over = t->over || (e->on == REQ && !t->given);
        t->suspended = t->suspended || (t->given && has(t->given_by, (unsigned)e->on));
        break;
    case SUSPEND: t->suspended = true; break;
    case REVOKE: t->revoked = true; break;
    case POLICY:
        t->policy = true;
        t->over = t->over || !t->given;
        break;
    case USE: break;
    }
}

const char *kind_word(enum kind kind)
{
    static const char *const words[] = {"approve",     "deny",    "withdraw", "leave",  "retire",
                                        "compromised", "suspend", "revoke",   "policy", "use"};
    return words[kind];
}
