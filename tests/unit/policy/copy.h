/* A copy of a state, for the search of test_state_model.c: judging an event changes a state for
 * good, and making each of thousands of states again from its records takes too long. It looks
 * into the model for that; what it makes is compared with a replay in the same test. */
#ifndef KV_TESTS_UNIT_POLICY_COPY_H
#define KV_TESTS_UNIT_POLICY_COPY_H

#include "policy/state.h"

/* The texts of the first `shared` requests, which never change, stay those of `from`, which must
 * live longer. Owned by the caller, freed by state_copy_free with the same number. */
struct kv_state *state_copy(const struct kv_state *from, size_t shared);
void state_copy_free(struct kv_state *copy, size_t shared);

#endif
