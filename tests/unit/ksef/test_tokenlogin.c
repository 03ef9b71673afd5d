#include "ksef/tokenlogin.h"

#include "tests/unit/ksef/software_key.h"
#include "tests/unit/ksef/vector.h"

#include <jansson.h>
#include <openssl/pem.h>

static json_t *vector_json(const char *name)
{
    struct kv_buf file = vector_read(name);
    json_t *json = json_loadb((const char *)file.data, file.len, 0, NULL);
    assert_non_null(json);
    kv_buf_clear(&file);
    return json;
}

static struct kv_bytes text_of(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    assert_non_null(text);
    return kv_bytes_str(text);
}

/* As KSeF would. */
static size_t decrypt(const char *base64, uint8_t *out, size_t size)
{
    char path[512];
    uint8_t cipher[512];
    size_t len = 0;
    assert_true(
        snprintf(path, sizeof path, "%s/ksef/token/mf-token-encryption.key.pem", KV_VECTORS) > 0);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_int_equal(fclose(file), 0);
    assert_true(kv_base64_decode(kv_bytes_str(base64), cipher, sizeof cipher, &len));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()), 1);
    size_t got = size;
    assert_int_equal(EVP_PKEY_decrypt(ctx, out, &got, cipher, len), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return got;
}

static void the_body_is_what_ksef_asks_for(void **state)
{
    (void)state;
    json_t *vector = vector_json("token/ksef-token-encryption.json");
    struct kv_buf certificate = vector_read("token/mf-token-encryption.der"), body;
    struct kv_err err = {.msg = ""};
    uint8_t plain[512];
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    struct kv_token_login_params params = {
        .challenge = text_of(vector, "challenge"),
        .timestamp_ms = json_integer_value(json_object_get(vector, "timestampMs")),
        .context = kv_bytes_str("Nip:5265877635"),
        .certificate = kv_buf_bytes(&certificate)};
    kv_buf_init(&body, KV_TOKEN_LOGIN_MAX);
    if (kv_token_login(&params, text_of(vector, "token"), &body, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    json_t *json = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_object_size(json), 4);
    assert_true(kv_bytes_equal(text_of(json, "challenge"), params.challenge));
    assert_true(kv_bytes_equal(text_of(json, "publicKeyId"), text_of(vector, "publicKeyId")));
    const json_t *context = json_object_get(json, "contextIdentifier");
    assert_true(kv_bytes_is(text_of(context, "type"), "Nip"));
    assert_true(kv_bytes_is(text_of(context, "value"), "5265877635"));
    size_t len =
        decrypt(json_string_value(json_object_get(json, "encryptedToken")), plain, sizeof plain);
    assert_true(kv_bytes_equal(kv_bytes(plain, len), text_of(vector, "plaintext_utf8")));
    assert_null(memmem(body.data, body.len, "919f70", 6));
    json_decref(json);
    kv_buf_clear(&body);
    kv_buf_clear(&certificate);
    json_decref(vector);
}

#define REFERENCE "20251010-EC-1DCE3E3000-12ECB5B36E-45"
#define REST      "|nip-5265877635|919f704466624ce29cd5ac7b65ded5e7cccc112eee314f2aaa76e02cd16df7b9"

static void what_is_no_token_is_told_before_anything_is_sent(void **state)
{
    (void)state;
    static const struct {
        const char *token, *reference, *says;
    } bad[] = {
        {"", "", "1 to 160"},
        {"919f704466624ce29cd5ac7b65ded5e7cccc112eee314f2aaa76e02cd16df7b9", "", "KSeF 1.0"},
        {REFERENCE, "", "KSeF 1.0"},
        {"20251010-AU-1DCE3E3000-12ECB5B36E-45" REST, "", "KSeF 1.0"},
        {REFERENCE REST "\n", "", "character"},
        {REFERENCE "|nip 1|x", "", "character"},
        {REFERENCE REST, "20251010-EC-1DCE3E3000-12ECB5B36E-46", "not the approved one"},
        {REFERENCE REST REST, "", "1 to 160"},
    };
    struct kv_err err;
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_int_equal(
            kv_ksef_token_check(kv_bytes_str(bad[i].token), kv_bytes_str(bad[i].reference), &err),
            KV_E_INPUT_VALUE);
        if (strstr(err.msg, bad[i].says) == NULL || strstr(err.msg, "919f") != NULL) {
            fail_msg("%s", err.msg);
        }
    }
    assert_int_equal(
        kv_ksef_token_check(kv_bytes_str(REFERENCE REST), kv_bytes_str(REFERENCE), &err), KV_OK);
}

static void only_an_rsa_key_of_good_size_gets_a_token(void **state)
{
    (void)state;
    struct kv_buf ec = vector_read("auth-ec.der"), body;
    struct kv_err err;
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    struct kv_token_login_params params = {.challenge =
                                               kv_bytes_str("20250514-CR-226FB7B000-3ACF9BE4C0-10"),
                                           .timestamp_ms = 1752236636015,
                                           .context = kv_bytes_str("Nip:5265877635"),
                                           .certificate = kv_buf_bytes(&ec)};
    kv_buf_init(&body, KV_TOKEN_LOGIN_MAX);
    assert_int_equal(kv_token_login(&params, kv_bytes_str(REFERENCE REST), &body, &err),
                     KV_E_KSEF_KEY);
    params.certificate = kv_bytes(ec.data, ec.len - 1);
    assert_int_equal(kv_token_login(&params, kv_bytes_str(REFERENCE REST), &body, &err),
                     KV_E_KSEF_KEY);
    params.context = kv_bytes_str("Nip:5265877636");
    assert_int_equal(kv_token_login(&params, kv_bytes_str(REFERENCE REST), &body, &err),
                     KV_E_INPUT_NIP);
    params.challenge = kv_bytes_str("x");
    assert_int_equal(kv_token_login(&params, kv_bytes_str(REFERENCE REST), &body, &err),
                     KV_E_KSEF_ANSWER);
    kv_buf_clear(&ec);
    kv_buf_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_body_is_what_ksef_asks_for),
        cmocka_unit_test(what_is_no_token_is_told_before_anything_is_sent),
        cmocka_unit_test(only_an_rsa_key_of_good_size_gets_a_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
