#include "core/public.h"
#include "pkcs11/session.h"
#include "tests/unit/pkcs11/softhsm.h"

static void signs(struct kv_token *token, const struct kv_token_key *key,
                  enum kv_token_mechanism mechanism)
{
    struct kv_hash digest = kv_hash(kv_bytes_str("text"));
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    assert_int_equal(kv_token_sign(token, key->handle, mechanism, &digest, sig, &len, NULL), KV_OK);
    assert_true(kv_public_verify(key, mechanism, &digest, kv_bytes(sig, len)));
}

/* The only object of a class and label, by the module itself. */
static CK_OBJECT_HANDLE object(struct kv_token *token, CK_OBJECT_CLASS class, char *label)
{
    struct kv_pkcs11_token *inside = kv_pkcs11_token(token);
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE want[] = {{CKA_CLASS, &class, sizeof class},
                           {CKA_TOKEN, &yes, sizeof yes},
                           {CKA_LABEL, label, strlen(label)}};
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = 0;
    assert_int_equal(inside->module.f->C_FindObjectsInit(inside->session, want, 3), CKR_OK);
    assert_int_equal(inside->module.f->C_FindObjects(inside->session, found, 2, &n), CKR_OK);
    assert_int_equal(inside->module.f->C_FindObjectsFinal(inside->session), CKR_OK);
    assert_int_equal(n, 1);
    return found[0];
}

static void relabel(struct kv_token *token, CK_OBJECT_CLASS class, char *from, char *to)
{
    struct kv_pkcs11_token *inside = kv_pkcs11_token(token);
    CK_ATTRIBUTE label = {CKA_LABEL, to, strlen(to)};
    CK_OBJECT_HANDLE handle = object(token, class, from);
    assert_int_equal(inside->module.f->C_SetAttributeValue(inside->session, handle, &label, 1),
                     CKR_OK);
}

static void two_halves_of_one_label_must_be_one_pair(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    char a[] = "a", b[] = "b", c[] = "c";
    struct kv_err err;
    for (int t = 0; t < KV_TOKEN_KEY_TYPE_COUNT; t++) {
        enum kv_token_key_type type = (enum kv_token_key_type)t;
        struct kv_token *token = softhsm_open(hsm);
        struct kv_token_key key;
        assert_int_equal(kv_token_generate(token, a, type, &key, NULL), KV_OK);
        assert_int_equal(kv_token_generate(token, b, type, &key, NULL), KV_OK);
        kv_token_close(token); /* with what it remembers */
        token = softhsm_open(hsm);
        relabel(token, CKO_PUBLIC_KEY, a, c);
        assert_int_equal(kv_token_find(token, a, &key, NULL), KV_E_TOKEN_KEY_MISSING);
        relabel(token, CKO_PUBLIC_KEY, b, a);
        assert_int_equal(kv_token_find(token, a, &key, NULL), KV_E_TOKEN);
        /* half a key that was not made for the name is in the way of a new one, and is destroyed */
        assert_int_equal(kv_token_generate(token, c, type, &key, NULL), KV_E_TOKEN_KEY_EXISTS);
        assert_int_equal(kv_token_destroy(token, c, NULL), KV_OK);
        relabel(token, CKO_PRIVATE_KEY, b, a);
        assert_int_equal(kv_token_find(token, a, &key, &err), KV_E_TOKEN);
        assert_non_null(strstr(err.msg, "more than one private key"));
        assert_int_equal(kv_token_destroy(token, a, NULL), KV_OK);
        kv_token_close(token);
    }
    softhsm_free(hsm);
}

static void a_generation_that_was_cut_short_is_made_again(void **state)
{
    (void)state;
    struct softhsm *hsm = softhsm_ready();
    char a[] = "a", b[] = "b";
    for (int t = 0; t < KV_TOKEN_KEY_TYPE_COUNT; t++) {
        enum kv_token_key_type type = (enum kv_token_key_type)t;
        struct kv_token *token = softhsm_open(hsm);
        struct kv_pkcs11_token *inside = kv_pkcs11_token(token);
        struct kv_token_key key, ab, old;
        size_t count = 0;
        assert_int_equal(kv_token_generate(token, "ab", type, &ab, NULL), KV_OK);
        assert_int_equal(kv_token_generate(token, a, type, &old, NULL), KV_OK);
        assert_int_equal(
            inside->module.f->C_DestroyObject(inside->session, object(token, CKO_PRIVATE_KEY, a)),
            CKR_OK);
        kv_token_close(token);
        token = softhsm_open(hsm);
        assert_int_equal(kv_token_find(token, a, &key, NULL), KV_E_TOKEN_KEY_MISSING);

        assert_int_equal(kv_token_generate(token, a, type, &key, NULL), KV_OK);

        assert_memory_not_equal(key.spki, old.spki, key.spki_len);
        signs(token, &key, type == KV_TOKEN_EC_P256 ? KV_TOKEN_ECDSA : KV_TOKEN_RSA_PSS_SHA256);
        (void)object(token, CKO_PUBLIC_KEY, a); /* exactly one */
        assert_int_equal(kv_token_find(token, "ab", &key, NULL), KV_OK);
        assert_memory_equal(key.spki, ab.spki, key.spki_len);
        /* two such halves were not left by one generation: not touched */
        assert_int_equal(kv_token_generate(token, b, type, &key, NULL), KV_OK);
        relabel(token, CKO_PUBLIC_KEY, b, a);
        relabel(token, CKO_PRIVATE_KEY, a, b);
        assert_int_equal(kv_token_generate(token, a, type, &key, NULL), KV_E_TOKEN_KEY_EXISTS);
        assert_int_equal(kv_token_destroy_prefix(token, a, &count, NULL), KV_OK);
        assert_int_equal(count, 4); /* both halves of ab, two public ones of a */
        assert_int_equal(kv_token_destroy(token, b, NULL), KV_OK);
        kv_token_close(token);
    }
    softhsm_free(hsm);
}

static void a_new_key_signs_and_does_nothing_else(void **state)
{
    (void)state;
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        bool want;
    } rows[] = {{CKA_SIGN, true},          {CKA_DECRYPT, false}, {CKA_UNWRAP, false},
                {CKA_SIGN_RECOVER, false}, {CKA_DERIVE, false},  {CKA_EXTRACTABLE, false}};
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_pkcs11_token *inside = kv_pkcs11_token(token);
    for (int t = 0; t < KV_TOKEN_KEY_TYPE_COUNT; t++) {
        struct kv_token_key key;
        char label[] = "a";
        assert_int_equal(kv_token_generate(token, label, (enum kv_token_key_type)t, &key, NULL),
                         KV_OK);
        for (size_t i = 0; i < KV_COUNT(rows); i++) {
            CK_OBJECT_HANDLE handles[] = {object(token, CKO_PRIVATE_KEY, label), key.handle};
            for (size_t h = 0; h < KV_COUNT(handles); h++) {
                CK_BBOOL flag = CK_TRUE + 1;
                CK_ATTRIBUTE a = {rows[i].type, &flag, sizeof flag};
                assert_int_equal(
                    inside->module.f->C_GetAttributeValue(inside->session, handles[h], &a, 1),
                    CKR_OK);
                if (flag != (rows[i].want ? CK_TRUE : CK_FALSE)) {
                    fail_msg("type %d, row %zu, handle %zu", t, i, h);
                }
            }
        }
        assert_int_equal(kv_token_destroy(token, label, NULL), KV_OK);
    }
    kv_token_close(token);
    softhsm_free(hsm);
}

/* A module that does as it likes with one attribute of a new private key. */
static CK_FUNCTION_LIST *obedient;
static CK_ATTRIBUTE_TYPE wilful;

static CK_RV generate_wilfully(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                               CK_ATTRIBUTE *public, CK_ULONG public_count, CK_ATTRIBUTE *private,
                               CK_ULONG private_count, CK_OBJECT_HANDLE *public_key,
                               CK_OBJECT_HANDLE *private_key)
{
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    for (CK_ULONG i = 0; i < private_count; i++) {
        if (private[i].type == wilful) {
            private[i].pValue = *(CK_BBOOL *)private[i].pValue == CK_TRUE ? &no : &yes;
        }
    }
    return obedient->C_GenerateKeyPair(session, mechanism, public, public_count, private,
                                       private_count, public_key, private_key);
}

static void a_new_key_that_can_do_more_is_destroyed_again(void **state)
{
    (void)state;
    static const CK_ATTRIBUTE_TYPE types[] = {CKA_DECRYPT, CKA_UNWRAP,    CKA_SIGN_RECOVER,
                                              CKA_DERIVE,  CKA_SENSITIVE, CKA_EXTRACTABLE};
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_pkcs11_token *inside = kv_pkcs11_token(token);
    CK_FUNCTION_LIST wilful_functions = *inside->module.f;
    wilful_functions.C_GenerateKeyPair = generate_wilfully;
    obedient = inside->module.f;
    inside->module.f = &wilful_functions;
    for (size_t i = 0; i < KV_COUNT(types); i++) {
        struct kv_token_key key;
        size_t count = 0;
        wilful = types[i];
        for (int t = 0; t < KV_TOKEN_KEY_TYPE_COUNT; t++) {
            assert_int_equal(kv_token_generate(token, "a", (enum kv_token_key_type)t, &key, NULL),
                             KV_E_TOKEN_MECHANISM);
            assert_int_equal(kv_token_find(token, "a", &key, NULL), KV_E_TOKEN_KEY_MISSING);
        }
        assert_int_equal(kv_token_destroy_prefix(token, "a", &count, NULL), KV_OK);
        assert_int_equal(count, 0);
    }
    inside->module.f = obedient;
    kv_token_close(token);
    softhsm_free(hsm);
}

static void a_planted_key_that_could_leave_is_not_used(void **state)
{
    (void)state;
    static const struct {
        CK_BBOOL sensitive, extractable;
        enum kv_code want;
    } rows[] = {{CK_FALSE, CK_TRUE, KV_E_TOKEN_KEY_WEAK},
                {CK_TRUE, CK_TRUE, KV_E_TOKEN_KEY_WEAK},
                {CK_FALSE, CK_FALSE, KV_E_TOKEN_KEY_WEAK},
                {CK_TRUE, CK_FALSE, KV_OK}};
    struct softhsm *hsm = softhsm_ready();
    struct kv_token *token = softhsm_open(hsm);
    struct kv_pkcs11_token *inside = kv_pkcs11_token(token);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char label[] = {(char)('a' + i), '\0'};
        CK_BBOOL yes = CK_TRUE, sensitive = rows[i].sensitive, extractable = rows[i].extractable;
        uint8_t oid[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
        CK_ATTRIBUTE public[] = {
            {CKA_TOKEN, &yes, 1}, {CKA_LABEL, label, 1}, {CKA_EC_PARAMS, oid, sizeof oid}};
        CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, 1},
                                  {CKA_LABEL, label, 1},
                                  {CKA_SENSITIVE, &sensitive, 1},
                                  {CKA_EXTRACTABLE, &extractable, 1},
                                  {CKA_SIGN, &yes, 1}};
        CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
        CK_OBJECT_HANDLE x, y;
        struct kv_token_key key;
        struct kv_err err = {.msg = ""};
        assert_int_equal(inside->module.f->C_GenerateKeyPair(inside->session, &mechanism, public, 3,
                                                             private, 5, &x, &y),
                         CKR_OK);
        for (int again = 0; again < 2; again++) { /* nothing of it is remembered */
            if (kv_token_find(token, label, &key, &err) != rows[i].want) {
                fail_msg("row %zu: %s", i, err.msg);
            }
        }
        /* it is not the agent's to destroy, nor to replace */
        assert_int_equal(kv_token_generate(token, label, KV_TOKEN_EC_P256, &key, NULL),
                         KV_E_TOKEN_KEY_EXISTS);
        assert_int_equal(object(token, CKO_PRIVATE_KEY, label), y);
    }
    kv_token_close(token);
    softhsm_free(hsm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_halves_of_one_label_must_be_one_pair),
        cmocka_unit_test(a_generation_that_was_cut_short_is_made_again),
        cmocka_unit_test(a_new_key_signs_and_does_nothing_else),
        cmocka_unit_test(a_new_key_that_can_do_more_is_destroyed_again),
        cmocka_unit_test(a_planted_key_that_could_leave_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
