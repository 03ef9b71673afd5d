#include "pkcs11/object.h"
#include "pkcs11/session.h"
#include "tests/unit/pkcs11/softhsm.h"

#define SECRET "20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|919f"
#define LABEL  "wrap"
#define RUNGS  (KV_TOKEN_RUNG_ECDH + 1) /* those of PKCS#11 */

static struct kv_bytes aad(void)
{
    return kv_bytes_str("what it is for");
}

static void wrap(struct kv_token *token, enum kv_token_rung rung, const struct kv_secret *plain,
                 struct kv_buf *out)
{
    struct kv_err err = {.msg = ""};
    kv_buf_init(out, 65536);
    if (kv_token_wrap(token, LABEL, rung, aad(), plain, out, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
}

static void softhsm_has_the_best_rung(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    enum kv_token_rung rung;
    assert_int_equal(kv_token_best_rung(token, &rung, NULL), KV_OK);
    assert_int_equal(rung, KV_TOKEN_RUNG_AES_GCM);
    kv_token_close(token);
    softhsm_free(hsm);
}

static void a_wrapped_secret_opens_again_in_a_later_session(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_secret *plain = secret(SECRET), *out = NULL;
    struct kv_buf box[RUNGS], again;
    for (int r = 0; r < RUNGS; r++) {
        wrap(token, (enum kv_token_rung)r, plain, &box[r]);
        wrap(token, (enum kv_token_rung)r, plain, &again); /* under the same key, with a new IV */
        assert_false(kv_bytes_equal(kv_buf_bytes(&box[r]), kv_buf_bytes(&again)));
        assert_null(memmem(box[r].data, box[r].len, "nip-", 4));
        kv_buf_clear(&again);
    }
    kv_token_close(token);
    token = softhsm_open(hsm);
    for (int r = 0; r < RUNGS; r++) {
        assert_int_equal(kv_token_unwrap(token, LABEL, (enum kv_token_rung)r, aad(),
                                         kv_buf_bytes(&box[r]), &out, NULL),
                         KV_OK);
        assert_true(kv_bytes_is(kv_secret_bytes(out), SECRET));
        kv_secret_free(out);
        kv_buf_clear(&box[r]);
    }
    kv_token_close(token);
    kv_secret_free(plain);
    softhsm_free(hsm);
}

static void nothing_of_it_may_change(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_secret *plain = secret(SECRET), *out = NULL;
    for (int r = 0; r < RUNGS; r++) {
        enum kv_token_rung rung = (enum kv_token_rung)r;
        struct kv_buf box;
        wrap(token, rung, plain, &box);
        for (size_t i = 0; i < box.len; i++) {
            box.data[i] ^= 1;
            assert_int_equal(
                kv_token_unwrap(token, LABEL, rung, aad(), kv_buf_bytes(&box), &out, NULL),
                KV_E_TOKEN_WRAPPED);
            box.data[i] ^= 1;
        }
        for (size_t len = 0; len < box.len; len += 7) {
            assert_int_equal(
                kv_token_unwrap(token, LABEL, rung, aad(), kv_bytes(box.data, len), &out, NULL),
                KV_E_TOKEN_WRAPPED);
        }
        assert_int_equal(kv_token_unwrap(token, LABEL, rung, kv_bytes_str("else"),
                                         kv_buf_bytes(&box), &out, NULL),
                         KV_E_TOKEN_WRAPPED);
        assert_int_equal(
            kv_token_unwrap(token, "other", rung, aad(), kv_buf_bytes(&box), &out, NULL),
            KV_E_TOKEN_KEY_MISSING);
        assert_null(out);
        kv_buf_clear(&box);
    }
    kv_token_close(token);
    kv_secret_free(plain);
    softhsm_free(hsm);
}

static void what_a_tpm_wrapped_is_refused(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_secret *plain = secret(SECRET), *out = NULL;
    struct kv_buf box;
    kv_buf_init(&box, 4096);
    assert_int_equal(kv_token_wrap(token, LABEL, KV_TOKEN_RUNG_SEALED, aad(), plain, &box, NULL),
                     KV_E_TOKEN_MECHANISM);
    assert_int_equal(box.len, 0);
    assert_int_equal(kv_token_unwrap(token, LABEL, KV_TOKEN_RUNG_SEALED, aad(),
                                     kv_bytes_str("anything"), &out, NULL),
                     KV_E_TOKEN_MECHANISM);
    assert_null(out);
    kv_token_close(token);
    kv_secret_free(plain);
    softhsm_free(hsm);
}

/* The size of a refresh token at its limit. */
static void long_secrets_are_wrapped_too(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_secret *plain = NULL, *out = NULL;
    assert_int_equal(kv_secret_new(8192, &plain, NULL), KV_OK);
    memset(kv_secret_data(plain), 'j', 8192);
    for (int r = 0; r < RUNGS; r++) {
        struct kv_buf box;
        wrap(token, (enum kv_token_rung)r, plain, &box);
        assert_int_equal(kv_token_unwrap(token, LABEL, (enum kv_token_rung)r, aad(),
                                         kv_buf_bytes(&box), &out, NULL),
                         KV_OK);
        assert_true(kv_bytes_equal(kv_secret_bytes(out), kv_secret_bytes(plain)));
        kv_secret_free(out);
        kv_buf_clear(&box);
    }
    kv_token_close(token);
    kv_secret_free(plain);
    softhsm_free(hsm);
}

/* Somebody with the PIN puts a key there whose value he knows. */
static void a_planted_wrapping_key_is_not_used(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_pkcs11_token *inside = kv_pkcs11_token(token);
    static const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static const CK_KEY_TYPE type = CKK_AES;
    static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    static const uint8_t value[32] = {1};
    CK_ATTRIBUTE of[] = {kv_object_attr(CKA_CLASS, &class, sizeof class),
                         kv_object_attr(CKA_KEY_TYPE, &type, sizeof type),
                         kv_object_attr(CKA_TOKEN, &yes, sizeof yes),
                         kv_object_attr(CKA_SENSITIVE, &yes, sizeof yes),
                         kv_object_attr(CKA_EXTRACTABLE, &no, sizeof no),
                         kv_object_attr(CKA_ENCRYPT, &yes, sizeof yes),
                         kv_object_attr(CKA_VALUE, value, sizeof value),
                         kv_object_attr(CKA_LABEL, LABEL, strlen(LABEL))};
    CK_OBJECT_HANDLE planted;
    struct kv_secret *plain = secret(SECRET);
    struct kv_buf box;
    kv_buf_init(&box, 4096);
    assert_int_equal(inside->module.f->C_CreateObject(inside->session, of, KV_COUNT(of), &planted),
                     CKR_OK);
    assert_int_equal(kv_token_wrap(token, LABEL, KV_TOKEN_RUNG_AES_GCM, aad(), plain, &box, NULL),
                     KV_E_TOKEN_KEY_WEAK);
    assert_int_equal(box.len, 0);
    kv_token_close(token);
    kv_secret_free(plain);
    softhsm_free(hsm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softhsm_has_the_best_rung),
        cmocka_unit_test(a_wrapped_secret_opens_again_in_a_later_session),
        cmocka_unit_test(nothing_of_it_may_change),
        cmocka_unit_test(what_a_tpm_wrapped_is_refused),
        cmocka_unit_test(long_secrets_are_wrapped_too),
        cmocka_unit_test(a_planted_wrapping_key_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
