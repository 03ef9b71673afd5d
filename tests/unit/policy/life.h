/* The life of a vault in which each event of the foundation happens, written as the live vault
 * writes it: texts through drafts, consequences through what is due, the rest by the agent. */
#ifndef KV_TESTS_UNIT_POLICY_LIFE_H
#define KV_TESTS_UNIT_POLICY_LIFE_H

#include "tests/unit/policy/world.h"

/* `w` is opened here. */
void life(struct world *w);
/* erp-1 logs in under `grant` and takes a lease of an access token that lives until then; the
 * session ends at KSeF. */
void life_session_opens(struct world *w, const char *grant, const char *until);
void life_session_ends(struct world *w, const char *until);

#endif
