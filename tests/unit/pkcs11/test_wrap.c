#include "pkcs11/object.h"
#include "pkcs11/session.h"
#include "tests/unit/pkcs11/softhsm.h"

#define SECRET "20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|919f"
#define LABEL  "wrap"

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
    assert_int_equal(kv_token_wrap(token, LABEL, KV_TOKEN_RUNG_AES_GCM,
                                   kv_bytes_str("what it is for"), plain, &box, NULL),
                     KV_E_TOKEN_KEY_WEAK);
    assert_int_equal(box.len, 0);
    kv_token_close(token);
    kv_secret_free(plain);
    softhsm_free(hsm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_planted_wrapping_key_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
