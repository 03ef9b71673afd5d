/* A login at the stand-in with a key in memory: what vault, keeper and courier do together. */
#ifndef KV_TESTS_INTEGRATION_COURIER_LOGIN_H
#define KV_TESTS_INTEGRATION_COURIER_LOGIN_H

#include "tests/integration/courier/world.h"
#include "tests/unit/ksef/software_key.h"

#include "ksef/reply.h"

struct login {
    struct software_key key;
    struct kv_buf certificate;
    struct kv_ksef_challenge challenge;
    struct kv_buf document;
    struct kv_ksef_login started;
    struct kv_ksef_tokens tokens;
    struct kv_ksef_error error; /* of the step that failed */
    struct kv_err err;
};

/* A self-signed seal for NIP 5265877635, valid around now. */
void login_init(struct login *login, struct software_key key_take);
void login_clear(struct login *login);

/* The steps; each returns what the courier would report. */
enum kv_code login_challenge(struct world *world, struct login *login);
void login_sign(struct login *login, const char *context);
enum kv_code login_submit(struct world *world, struct login *login);
/* Until the status is no longer "in progress". */
enum kv_code login_wait(struct world *world, struct login *login);
enum kv_code login_redeem(struct world *world, struct login *login);
enum kv_code login_refresh(struct world *world, struct login *login);
enum kv_code login_end(struct world *world, struct login *login);
/* GET /auth/sessions with the access token. */
enum kv_code login_use(struct world *world, struct login *login);
/* All steps up to the tokens; the first failure. */
enum kv_code login_all(struct world *world, struct login *login, const char *context);

#endif
