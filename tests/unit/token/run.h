/* What each test of the suite begins with, does and ends with. */
#ifndef KV_TESTS_UNIT_TOKEN_RUN_H
#define KV_TESTS_UNIT_TOKEN_RUN_H

#include "core/public.h"
#include "tests/unit/kv_test.h"
#include "tests/unit/token/world.h"

#define SECRET "20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|919f"
#define LABEL  "wrap"

extern const struct token_world *world; /* of this run of the program */
/* What is put away after a test, also if it failed: a module that stays open would fail the next.
 */
extern void *made;             /* NULL: nothing */
extern struct kv_token *token; /* NULL: not open */

/* Each mechanism, the key that the suite makes for it, and the length of a signature. */
static const struct {
    enum kv_token_key_type key;
    const char *label, *name;
    size_t len;
} mechanisms[KV_TOKEN_MECHANISM_COUNT] = {
    [KV_TOKEN_ECDSA] = {KV_TOKEN_EC_P256, "ec", "ECDSA P-256", 64},
    [KV_TOKEN_RSA_PKCS1_SHA256] = {KV_TOKEN_RSA_2048, "rsa", "RSA PKCS#1", 256},
    [KV_TOKEN_RSA_PSS_SHA256] = {KV_TOKEN_RSA_2048, "rsa", "RSA-PSS", 256},
};

static inline struct kv_bytes aad(void)
{
    return kv_bytes_str("what it is for");
}

static inline void open_token(void)
{
    struct kv_err err = {.msg = ""};
    kv_token_closep(&token);
    if (world->open(made, world->pin, &token, &err) != KV_OK) {
        fail_msg("%s: %s", kv_code_word(err.code), err.msg);
    }
}

static inline void begin(void)
{
    made = world->ready();
    open_token();
}

static inline int end(void **state)
{
    (void)state;
    kv_token_closep(&token);
    if (made != NULL) {
        world->free(made);
    }
    return 0;
}

static inline void make(const char *label, enum kv_token_key_type type, struct kv_token_key *out)
{
    struct kv_err err = {.msg = ""};
    if (kv_token_generate(token, label, type, out, &err) != KV_OK) {
        fail_msg("%s: %s", label, err.msg);
    }
}

static inline void find(const char *label, struct kv_token_key *out)
{
    struct kv_err err = {.msg = ""};
    if (kv_token_find(token, label, out, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
}

/* By OpenSSL, and for nothing else than what was signed. */
static inline void signs(const struct kv_token_key *key, enum kv_token_mechanism mechanism)
{
    struct kv_hash digest = kv_hash(kv_bytes_str("text")), other = kv_hash(kv_bytes_str("tex"));
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    struct kv_err err = {.msg = ""};
    enum kv_code code = kv_token_sign(token, key->handle, mechanism, &digest, sig, &len, &err);
    if (code != KV_OK) {
        fail_msg("%s: %s", mechanisms[mechanism].name, err.msg);
    }
    assert_int_equal(len, mechanisms[mechanism].len);
    assert_false(kv_public_verify(key, mechanism, &other, kv_bytes(sig, len)));
    assert_false(kv_public_verify(key, mechanism, &digest, kv_bytes(sig, len - 1)));
    for (int m = 0; m < KV_TOKEN_MECHANISM_COUNT; m++) {
        enum kv_token_mechanism any = (enum kv_token_mechanism)m;
        assert_int_equal(kv_public_verify(key, any, &digest, kv_bytes(sig, len)), any == mechanism);
    }
}

static inline bool has(enum kv_token_key_type type)
{
    bool any = false;
    for (int m = 0; m < KV_TOKEN_MECHANISM_COUNT; m++) {
        any = any || (mechanisms[m].key == type && world->signs[m]);
    }
    return any;
}

static inline void wrap(enum kv_token_rung rung, const struct kv_secret *plain, struct kv_buf *out)
{
    struct kv_err err = {.msg = ""};
    kv_buf_init(out, 65536);
    if (kv_token_wrap(token, LABEL, rung, aad(), plain, out, &err) != KV_OK) {
        fail_msg("%s: %s", kv_token_rung_word(rung), err.msg);
    }
}

static inline void opens(enum kv_token_rung rung, const struct kv_buf *box,
                         const struct kv_secret *plain)
{
    struct kv_secret *out = NULL;
    struct kv_err err = {.msg = ""};
    if (kv_token_unwrap(token, LABEL, rung, aad(), kv_buf_bytes(box), &out, &err) != KV_OK) {
        fail_msg("%s: %s", kv_token_rung_word(rung), err.msg);
    }
    assert_true(kv_bytes_equal(kv_secret_bytes(out), kv_secret_bytes(plain)));
    kv_secret_free(out);
}

#endif
