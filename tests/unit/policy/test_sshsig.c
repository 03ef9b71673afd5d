#include "tests/unit/kv_test.h"

#include "core/cursor.h"
#include "policy/sshsig.h"
#include "policy/statement.h"
#include "tests/unit/policy/vector.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

#define FIN_01 "ssh:SHA256:fulVT3THb3iK4l2yWKEod8oXsAntymuTZezYSr5lLGg"

static void add_string(struct kv_buf *buf, struct kv_bytes bytes)
{
    kv_buf_add_u32(buf, (uint32_t)bytes.len);
    kv_buf_add_bytes(buf, bytes);
}

/* Armour as ssh-keygen writes it: lines of 70 characters. */
static void armour_of(struct kv_bytes blob, struct kv_buf *out)
{
    struct kv_buf text;
    kv_buf_init(&text, 65536);
    kv_buf_add_base64(&text, blob);
    kv_buf_add_str(out, "-----BEGIN SSH SIGNATURE-----\n");
    for (size_t at = 0; at < text.len; at += 70) {
        kv_buf_add(out, text.data + at, text.len - at < 70 ? text.len - at : 70);
        kv_buf_add_u8(out, '\n');
    }
    kv_buf_add_str(out, "-----END SSH SIGNATURE-----\n");
    kv_buf_clear(&text);
}

static size_t dearmour(struct kv_bytes armour, uint8_t out[static 2048])
{
    struct kv_buf text;
    kv_buf_init(&text, 65536);
    bool inside = false;
    for (size_t at = 0; at < armour.len;) {
        const uint8_t *lf = memchr(armour.ptr + at, '\n', armour.len - at);
        assert_non_null(lf);
        size_t len = (size_t)(lf - armour.ptr) - at;
        if (armour.ptr[at] == '-') {
            inside = !inside;
        } else if (inside) {
            kv_buf_add(&text, armour.ptr + at, len);
        }
        at += len + 1;
    }
    size_t len = 0;
    assert_true(kv_base64_decode(kv_buf_bytes(&text), out, 2048, &len));
    kv_buf_clear(&text);
    return len;
}

static const struct {
    const char *text, *sig, *key;
} good[] = {
    {"good/grant/finance-fin-01.txt", "good/grant/finance-fin-01.sig", FIN_01},
    {"good/grant/request.txt", "good/grant/request.sig",
     "ssh:SHA256:qF9LQAe+Tk7xpesVwQHm1S1355GD6KgbQuNcHEkHEXA"},
    {"methods/custodian-cus-03.txt", "methods/custodian-cus-03.sig",
     "ssh:SHA256:/CP/uQ8uXIGSyRF4y1de2C3NPXHKMOONbsoQ8Qz/m0Q"},
    {"methods/finance-fin-04.txt", "methods/finance-fin-04.flags-5.sig",
     "ssh:SHA256:CvLYz0yrVLWwe4wShHNkW3jMjmsl3/QgA/81CpZEffY"},
    {"methods/finance-fin-05.txt", "methods/finance-fin-05.flags-5.sig",
     "ssh:SHA256:Pv2bwFurTnOcsKFXA4A1t5Kgy4QFZWirVWjwoSBU/08"},
};

static void every_kind_of_key_verifies_and_says_who_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        struct kv_bytes text = vector_read(good[i].text), sig = vector_read(good[i].sig);
        struct kv_sshsig_result result;
        struct kv_pubkey signer;
        struct kv_err err;

        assert_int_equal(kv_sshsig_verify(text, sig, kv_bytes_str(good[i].key), &result, &err),
                         KV_OK);
        assert_int_equal(kv_sshsig_signer(sig, &signer, &err), KV_OK);

        assert_string_equal(result.key.fingerprint, good[i].key);
        assert_string_equal(signer.fingerprint, good[i].key);
        assert_int_equal(result.flags, kv_pubkey_kind_is_sk(result.key.kind) ? 5 : 0);
        vector_free(text);
        vector_free(sig);
    }
}

static void a_signature_is_good_for_its_own_text_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        struct kv_bytes sig = vector_read(good[i].sig);
        for (size_t j = 0; j < KV_COUNT(good); j++) {
            struct kv_bytes text = vector_read(good[j].text);
            enum kv_code code = kv_sshsig_verify(text, sig, kv_bytes_str(good[i].key), NULL, NULL);
            assert_int_equal(code, i == j ? KV_OK : KV_E_SIG_BAD);
            code = kv_sshsig_verify(kv_bytes(text.ptr, text.len - 1), sig,
                                    kv_bytes_str(good[i].key), NULL, NULL);
            assert_int_equal(code, KV_E_SIG_BAD);
            vector_free(text);
        }
        vector_free(sig);
    }
}

static void armour_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        struct kv_bytes text = vector_read(good[i].text), sig = vector_read(good[i].sig);
        for (size_t len = 0; len + 1 < sig.len; len++) {
            assert_int_equal(kv_sshsig_verify(text, kv_bytes(sig.ptr, len),
                                              kv_bytes_str(good[i].key), NULL, NULL),
                             KV_E_SIG_FORMAT);
        }
        vector_free(text);
        vector_free(sig);
    }
}

/* Every byte of the blob means something: changed, the signature is not good any more. */
static void a_changed_byte_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        struct kv_bytes text = vector_read(good[i].text), sig = vector_read(good[i].sig);
        uint8_t blob[2048];
        size_t len = dearmour(sig, blob);
        for (size_t at = 0; at < len; at++) {
            struct kv_buf armour;
            kv_buf_init(&armour, 8192);
            blob[at] ^= 0x10;
            armour_of(kv_bytes(blob, len), &armour);
            blob[at] ^= 0x10;
            enum kv_code code = kv_sshsig_verify(text, kv_buf_bytes(&armour),
                                                 kv_bytes_str(good[i].key), NULL, NULL);
            assert_int_not_equal(code, KV_OK);
            kv_buf_clear(&armour);
        }
        vector_free(text);
        vector_free(sig);
    }
}

static void line_ends_of_the_armour_do_not_matter(void **state)
{
    (void)state;
    struct kv_bytes text = vector_read(good[0].text), sig = vector_read(good[0].sig);
    struct kv_buf crlf;
    kv_buf_init(&crlf, 8192);
    for (size_t i = 0; i < sig.len; i++) {
        if (sig.ptr[i] == '\n') {
            kv_buf_add_u8(&crlf, '\r');
        }
        kv_buf_add_u8(&crlf, sig.ptr[i]);
    }
    struct kv_bytes key = kv_bytes_str(FIN_01);
    assert_int_equal(kv_sshsig_verify(text, kv_buf_bytes(&crlf), key, NULL, NULL), KV_OK);
    assert_int_equal(kv_sshsig_verify(text, kv_bytes(sig.ptr, sig.len - 1), key, NULL, NULL),
                     KV_OK);
    kv_buf_add_u8(&crlf, '\n');
    assert_int_equal(kv_sshsig_verify(text, kv_buf_bytes(&crlf), key, NULL, NULL), KV_E_SIG_FORMAT);
    kv_buf_clear(&crlf);
    vector_free(text);
    vector_free(sig);
}

/* A signature made here, each part of which a test may choose. */
struct recipe {
    const char *magic, *space, *reserved, *hash, *algorithm;
    uint32_t version;
    const char *behind; /* bytes behind the blob */
};
static const struct recipe plain = {"SSHSIG", KV_SSHSIG_NAMESPACE, "", "sha512", NULL, 1, ""};

static EVP_PKEY *make_key(bool rsa, unsigned bits)
{
    EVP_PKEY *pkey = rsa ? EVP_RSA_gen(bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(pkey);
    return pkey;
}

static void key_blob(EVP_PKEY *pkey, bool rsa, struct kv_buf *out)
{
    add_string(out, kv_bytes_str(rsa ? "ssh-rsa" : "ssh-ed25519"));
    if (!rsa) {
        uint8_t raw[32];
        size_t len = sizeof raw;
        assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, raw, &len), 1);
        add_string(out, kv_bytes(raw, len));
        return;
    }
    static const char *const parts[] = {"e", "n"};
    for (size_t i = 0; i < 2; i++) {
        BIGNUM *bn = NULL;
        uint8_t bytes[600] = {0};
        assert_int_equal(EVP_PKEY_get_bn_param(pkey, parts[i], &bn), 1);
        int len = BN_bn2bin(bn, bytes + 1);
        size_t sign = (bytes[1] & 0x80) != 0 ? 1 : 0;
        add_string(out, kv_bytes(bytes + 1 - sign, (size_t)len + sign));
        BN_free(bn);
    }
}

static void sign_raw(EVP_PKEY *pkey, const EVP_MD *md, struct kv_bytes data, struct kv_buf *out)
{
    uint8_t sig[1024];
    size_t len = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, data.ptr, data.len), 1);
    EVP_MD_CTX_free(ctx);
    kv_buf_add(out, sig, len);
}

static const EVP_MD *digest_of(const char *algorithm, bool rsa)
{
    if (!rsa) {
        return NULL;
    }
    if (strcmp(algorithm, "ssh-rsa") == 0) {
        return EVP_sha1();
    }
    return strcmp(algorithm, "rsa-sha2-256") == 0 ? EVP_sha256() : EVP_sha512();
}

/* Sign `text` by the recipe and verify it; the key named is the one that signs. */
static enum kv_code try_recipe(const struct recipe *recipe, EVP_PKEY *pkey, bool rsa)
{
    struct kv_bytes text = kv_bytes_str("ksefvault/request/v1\n");
    uint8_t hash[64];
    kv_hash512(text, hash);
    struct kv_hash short_hash = kv_hash(text);
    bool is256 = strcmp(recipe->hash, "sha256") == 0;
    struct kv_buf data, raw, inner, key, blob, armour;
    kv_buf_init(&data, 4096);
    kv_buf_init(&raw, 4096);
    kv_buf_init(&inner, 4096);
    kv_buf_init(&key, 4096);
    kv_buf_init(&blob, 8192);
    kv_buf_init(&armour, 16384);
    const char *algorithm = recipe->algorithm != NULL ? recipe->algorithm
                            : rsa                     ? "rsa-sha2-512"
                                                      : "ssh-ed25519";

    kv_buf_add_str(&data, "SSHSIG");
    add_string(&data, kv_bytes_str(recipe->space));
    add_string(&data, kv_bytes_str(recipe->reserved));
    add_string(&data, kv_bytes_str(recipe->hash));
    add_string(&data, is256 ? kv_bytes(short_hash.b, 32) : kv_bytes(hash, 64));
    sign_raw(pkey, digest_of(algorithm, rsa), kv_buf_bytes(&data), &raw);
    add_string(&inner, kv_bytes_str(algorithm));
    add_string(&inner, kv_buf_bytes(&raw));
    key_blob(pkey, rsa, &key);
    kv_buf_add_str(&blob, recipe->magic);
    kv_buf_add_u32(&blob, recipe->version);
    add_string(&blob, kv_buf_bytes(&key));
    add_string(&blob, kv_bytes_str(recipe->space));
    add_string(&blob, kv_bytes_str(recipe->reserved));
    add_string(&blob, kv_bytes_str(recipe->hash));
    add_string(&blob, kv_buf_bytes(&inner));
    kv_buf_add_str(&blob, recipe->behind);
    armour_of(kv_buf_bytes(&blob), &armour);

    struct kv_pubkey parsed = {.fingerprint = ""};
    enum kv_code ignored = kv_pubkey_parse_blob(kv_buf_bytes(&key), &parsed, NULL);
    (void)ignored; /* a key that is not accepted is refused inside the signature, too */
    enum kv_code code =
        kv_sshsig_verify(text, kv_buf_bytes(&armour), kv_bytes_str(parsed.fingerprint), NULL, NULL);
    kv_buf_clear(&data);
    kv_buf_clear(&raw);
    kv_buf_clear(&inner);
    kv_buf_clear(&key);
    kv_buf_clear(&blob);
    kv_buf_clear(&armour);
    return code;
}

static void each_part_of_the_envelope_is_checked(void **state)
{
    (void)state;
    EVP_PKEY *pkey = make_key(false, 0);
    struct recipe recipe = plain;
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_OK);
    recipe.hash = "sha256";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_OK);
    recipe.hash = "sha1";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_FORMAT);
    recipe = plain;
    recipe.magic = "SSHSIH";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_FORMAT);
    recipe = plain;
    recipe.version = 2;
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_FORMAT);
    recipe = plain;
    recipe.reserved = "x";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_FORMAT);
    recipe = plain;
    recipe.behind = "x";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_FORMAT);
    recipe = plain;
    recipe.space = "file";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_NAMESPACE);
    recipe.space = "";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_NAMESPACE);
    recipe.space = KV_SSHSIG_NAMESPACE "2";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_NAMESPACE);
    recipe = plain;
    recipe.algorithm = "rsa-sha2-512";
    assert_int_equal(try_recipe(&recipe, pkey, false), KV_E_SIG_FORMAT);
    EVP_PKEY_free(pkey);
}

static void rsa_signs_with_sha2_and_2048_bits_at_least(void **state)
{
    (void)state;
    EVP_PKEY *pkey = make_key(true, 2048), *small = make_key(true, 1024);
    struct recipe recipe = plain;
    assert_int_equal(try_recipe(&recipe, pkey, true), KV_OK);
    recipe.algorithm = "rsa-sha2-256";
    assert_int_equal(try_recipe(&recipe, pkey, true), KV_OK);
    recipe.algorithm = "ssh-rsa"; /* SHA-1 */
    assert_int_equal(try_recipe(&recipe, pkey, true), KV_E_SIG_FORMAT);
    recipe = plain;
    assert_int_equal(try_recipe(&recipe, small, true), KV_E_SIG_FORMAT);
    EVP_PKEY_free(pkey);
    EVP_PKEY_free(small);
}

static void another_key_than_the_one_named_is_refused(void **state)
{
    (void)state;
    struct kv_bytes text = vector_read(good[0].text), sig = vector_read(good[0].sig);
    static const char *const others[] = {"", "-", "ssh:SHA256:", FIN_01 "A", "fido2:SHA256:x"};
    for (size_t i = 0; i < KV_COUNT(others); i++) {
        assert_int_equal(kv_sshsig_verify(text, sig, kv_bytes_str(others[i]), NULL, NULL),
                         KV_E_SIG_KEY);
    }
    vector_free(text);
    vector_free(sig);
}

static void a_text_and_its_signature_in_one_file_are_split(void **state)
{
    (void)state;
    struct kv_bytes text = vector_read(good[0].text), sig = vector_read(good[0].sig);
    struct kv_buf joined;
    kv_buf_init(&joined, 32768);
    kv_buf_add_bytes(&joined, text);
    struct kv_bytes a, b;
    assert_false(kv_sshsig_split(kv_buf_bytes(&joined), &a, &b));
    kv_buf_add_bytes(&joined, sig);
    assert_true(kv_sshsig_split(kv_buf_bytes(&joined), &a, &b));
    assert_true(kv_bytes_equal(a, text));
    assert_true(kv_bytes_equal(b, sig));
    assert_false(kv_sshsig_split(kv_bytes_str("x-----BEGIN SSH SIGNATURE-----\n"), &a, &b));
    kv_buf_clear(&joined);
    vector_free(text);
    vector_free(sig);
}

static void what_is_no_armour_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\n",
        "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n",
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\nU1NI U0lH\n-----END SSH SIGNATURE-----\n",
        " -----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN PGP SIGNATURE-----\nU1NIU0lH\n-----END PGP SIGNATURE-----\n",
    };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_int_equal(kv_sshsig_verify(kv_bytes_str("a"), kv_bytes_str(bad[i]),
                                          kv_bytes_str(FIN_01), NULL, NULL),
                         KV_E_SIG_FORMAT);
    }
    /* a line of 77 characters; more than an armour may have */
    char *big = malloc(KV_SSHSIG_ARMOUR_MAX + 1);
    assert_non_null(big);
    memset(big, 'A', KV_SSHSIG_ARMOUR_MAX + 1);
    memcpy(big, "-----BEGIN SSH SIGNATURE-----\n", 30);
    assert_int_equal(kv_sshsig_verify(kv_bytes_str("a"), kv_bytes(big, 30 + 77),
                                      kv_bytes_str(FIN_01), NULL, NULL),
                     KV_E_SIG_FORMAT);
    assert_int_equal(kv_sshsig_verify(kv_bytes_str("a"), kv_bytes(big, KV_SSHSIG_ARMOUR_MAX + 1),
                                      kv_bytes_str(FIN_01), NULL, NULL),
                     KV_E_SIG_FORMAT);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key_verifies_and_says_who_signed),
        cmocka_unit_test(a_signature_is_good_for_its_own_text_only),
        cmocka_unit_test(armour_cut_anywhere_is_refused),
        cmocka_unit_test(a_changed_byte_anywhere_is_refused),
        cmocka_unit_test(line_ends_of_the_armour_do_not_matter),
        cmocka_unit_test(each_part_of_the_envelope_is_checked),
        cmocka_unit_test(rsa_signs_with_sha2_and_2048_bits_at_least),
        cmocka_unit_test(another_key_than_the_one_named_is_refused),
        cmocka_unit_test(a_text_and_its_signature_in_one_file_are_split),
        cmocka_unit_test(what_is_no_armour_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
