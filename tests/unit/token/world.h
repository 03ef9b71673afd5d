/* The four tokens that the suite runs over: how each is made ready, and what it is expected to
 * offer. What is expected is what docs/tokens.md tells. */
#ifndef KV_TESTS_UNIT_TOKEN_WORLD_H
#define KV_TESTS_UNIT_TOKEN_WORLD_H

#include "core/token.h"

struct token_world {
    const char *name;  /* of the CTest entry and of the row in docs/tokens.md */
    const char *title; /* of the product */
    bool signs[KV_TOKEN_MECHANISM_COUNT];
    enum kv_code no_key; /* of making a key that none of these signs with */
    bool local_told;     /* that a key was made in the token (CKA_LOCAL) */
    bool rungs[KV_TOKEN_RUNG_COUNT];
    enum kv_token_rung best; /* KV_TOKEN_RUNG_COUNT: it says that it has none */
    enum kv_custody custody;
    const char *custody_why;       /* part of the sentence */
    enum kv_code after_wrong_pin;  /* of the right PIN, after a wrong one */
    enum kv_code after_destroying; /* of making a key in a session that destroyed one */
    size_t objects;                /* that a key is */
    bool leaks;                    /* the module, in each search */
    void *(*ready)(void);          /* with a token `unit` in it */
    enum kv_code (*open)(void *made, const char *pin, struct kv_token **out, struct kv_err *err);
    void (*free)(void *made);
    const char *pin;
};

extern const struct token_world world_softhsm2, world_nss, world_tpm2_pkcs11, world_tpm,
    world_tabrmd;

#endif
