#include "tests/unit/ksef/software_key.h"
#include "tests/unit/ksef/vector.h"

#include "core/time.h"
#include "ksef/authrequest.h"
#include "ksef/certificate.h"

static const char challenge[] = "20260601-CR-226FB7B000-3ACF9BE4C0-10";
static const char context[] = "Nip:5265877635";

static int64_t time_of(const char *text)
{
    int64_t ms = 0;
    assert_true(kv_time_parse_s(kv_bytes_str(text), &ms));
    return ms;
}

static struct kv_auth_request_params params_of(const struct kv_buf *cert)
{
    return (struct kv_auth_request_params){
        .challenge = kv_bytes_str(challenge),
        .context = kv_bytes_str(context),
        .subject = KV_AUTH_SUBJECT_CERTIFICATE,
        .signing_time_ms = time_of("2026-06-01T10:00:00Z"),
        .certificate = kv_buf_bytes(cert),
    };
}

/* The signature value of a document; it is the test's only reading of XML. */
static size_t signature_of(const struct kv_buf *xml, uint8_t out[static KV_KSEF_SIGNATURE_MAX])
{
    const char *from = strstr(kv_buf_str(xml), "<ds:SignatureValue>");
    assert_non_null(from);
    from += strlen("<ds:SignatureValue>");
    const char *to = strchr(from, '<');
    size_t len = 0;
    assert_true(
        kv_base64_decode(kv_bytes(from, (size_t)(to - from)), out, KV_KSEF_SIGNATURE_MAX, &len));
    return len;
}

static const struct {
    const char *cert, *xml;
    enum kv_ksef_key key;
} vectors[] = {
    {"auth-ec.der", "agent-ec-v1-signingcertificate.xml", KV_KSEF_KEY_EC_P256},
    {"auth-rsa.der", "agent-rsa-v1-signingcertificate.xml", KV_KSEF_KEY_RSA},
};

static void the_vectors_are_reproduced_byte_for_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(vectors); i++) {
        KV_CLEANUP(kv_buf_clear) struct kv_buf cert = vector_read(vectors[i].cert);
        KV_CLEANUP(kv_buf_clear) struct kv_buf want = vector_read(vectors[i].xml);
        uint8_t signature[KV_KSEF_SIGNATURE_MAX];
        size_t signature_len = signature_of(&want, signature);
        struct kv_auth_request_params params = params_of(&cert);
        KV_CLEANUP(kv_auth_request_freep) struct kv_auth_request *request = NULL;
        KV_CLEANUP(kv_buf_clear) struct kv_buf out;
        kv_buf_init(&out, KV_AUTH_REQUEST_MAX);

        assert_int_equal(kv_auth_request_begin(&params, &request, NULL), KV_OK);
        assert_int_equal(kv_auth_request_key(request), vectors[i].key);
        assert_int_equal(
            kv_auth_request_finish(request, kv_bytes(signature, signature_len), &out, NULL), KV_OK);

        assert_string_equal(kv_buf_str(&out), kv_buf_str(&want));
        assert_int_equal(out.len, want.len);
        struct kv_hash digest = kv_hash(kv_auth_request_signed_info(request));
        assert_true(kv_hash_equal(&digest, kv_auth_request_digest(request)));
    }
}

static void a_signature_by_another_key_or_in_another_form_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(vectors); i++) {
        KV_CLEANUP(kv_buf_clear) struct kv_buf cert = vector_read(vectors[i].cert);
        KV_CLEANUP(kv_buf_clear) struct kv_buf xml = vector_read(vectors[i].xml);
        uint8_t good[KV_KSEF_SIGNATURE_MAX + 1];
        size_t len = signature_of(&xml, good);
        struct kv_auth_request_params params = params_of(&cert);
        KV_CLEANUP(kv_auth_request_freep) struct kv_auth_request *request = NULL;
        assert_int_equal(kv_auth_request_begin(&params, &request, NULL), KV_OK);
        KV_CLEANUP(kv_buf_clear) struct kv_buf out, der;
        kv_buf_init(&out, KV_AUTH_REQUEST_MAX);
        kv_buf_init(&der, 128);

        for (size_t bit = 0; bit < 8 * len; bit += 37) {
            good[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(kv_auth_request_finish(request, kv_bytes(good, len), &out, NULL),
                             KV_E_TOKEN);
            good[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(kv_auth_request_finish(request, kv_bytes(good, cut), &out, NULL),
                             KV_E_TOKEN);
        }
        good[len] = 0;
        assert_int_equal(kv_auth_request_finish(request, kv_bytes(good, len + 1), &out, NULL),
                         KV_E_TOKEN);
        if (vectors[i].key == KV_KSEF_KEY_EC_P256) { /* what KSeF refuses as 9105 */
            assert_int_equal(kv_ksef_key_ecdsa_der(kv_bytes(good, len), &der, NULL), KV_OK);
            assert_int_equal(kv_auth_request_finish(request, kv_buf_bytes(&der), &out, NULL),
                             KV_E_TOKEN);
        }

        assert_int_equal(out.len, 0); /* never touched */
    }
}

static void what_is_signed_changes_with_each_input(void **state)
{
    (void)state;
    KV_CLEANUP(kv_buf_clear) struct kv_buf cert = vector_read("auth-ec.der");
    KV_CLEANUP(kv_buf_clear) struct kv_buf other = vector_read("offline-ec.der");
    struct kv_auth_request_params variants[6];
    for (size_t i = 0; i < KV_COUNT(variants); i++) {
        variants[i] = params_of(&cert);
    }
    variants[1].challenge = kv_bytes_str("20260601-CR-226FB7B000-3ACF9BE4C0-11");
    variants[2].context = kv_bytes_str("InternalId:5265877635-12345");
    variants[3].subject = KV_AUTH_SUBJECT_FINGERPRINT;
    variants[4].signing_time_ms += 1000;
    variants[5].certificate = kv_buf_bytes(&other);
    struct kv_hash digests[KV_COUNT(variants)];

    for (size_t i = 0; i < KV_COUNT(variants); i++) {
        KV_CLEANUP(kv_auth_request_freep) struct kv_auth_request *request = NULL;
        assert_int_equal(kv_auth_request_begin(&variants[i], &request, NULL), KV_OK);
        digests[i] = *kv_auth_request_digest(request);
    }

    for (size_t i = 0; i < KV_COUNT(variants); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_false(kv_hash_equal(&digests[i], &digests[j]));
        }
    }
}

static void bad_challenges_and_contexts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *challenge, *context;
        enum kv_code want;
    } cases[] = {
        {"empty challenge", "", context, KV_E_KSEF_ANSWER},
        {"another kind of reference", "20260601-AU-226FB7B000-3ACF9BE4C0-10", context,
         KV_E_KSEF_ANSWER},
        {"lower case", "20260601-CR-226fB7B000-3ACF9BE4C0-10", context, KV_E_KSEF_ANSWER},
        {"too long", "20260601-CR-226FB7B000-3ACF9BE4C0-100", context, KV_E_KSEF_ANSWER},
        {"markup", "20260601-CR-226FB7B000-3ACF9BE4C0-</", context, KV_E_KSEF_ANSWER},
        {"check digit", challenge, "Nip:5265877636", KV_E_INPUT_NIP},
        {"no type", challenge, "5265877635", KV_E_INPUT_VALUE},
        {"unknown type", challenge, "Pesel:5265877635", KV_E_INPUT_VALUE},
        {"markup in the value", challenge, "Nip:<5265877635", KV_E_INPUT_VALUE},
    };
    KV_CLEANUP(kv_buf_clear) struct kv_buf cert = vector_read("auth-ec.der");
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_auth_request_params params = params_of(&cert);
        params.challenge = kv_bytes_str(cases[i].challenge);
        params.context = kv_bytes_str(cases[i].context);
        struct kv_auth_request *request = NULL;
        struct kv_err err = {0};

        enum kv_code code = kv_auth_request_begin(&params, &request, &err);

        if (code != cases[i].want) {
            fail_msg("%s: %s", cases[i].name, kv_code_word(code));
        }
        assert_null(request);
    }
}

static void each_type_of_context_has_its_element(void **state)
{
    (void)state;
    static const struct {
        const char *context, *element;
    } cases[] = {
        {"Nip:5265877635", "<Nip>5265877635</Nip>"},
        {"InternalId:5265877635-12345", "<InternalId>5265877635-12345</InternalId>"},
        {"NipVatUe:5265877635-DE123456789", "<NipVatUe>5265877635-DE123456789</NipVatUe>"},
        {"PeppolId:PPL123456", "<PeppolId>PPL123456</PeppolId>"},
    };
    struct software_key key = software_key_ec("P-256");
    struct kv_certificate_params made = {
        .kind = KV_CERTIFICATE_SEAL,
        .number = kv_bytes_str("5265877635"),
        .common_name = kv_bytes_str("a"),
        .organisation = kv_bytes_str("b"),
        .spki = software_key_spki(&key),
        .not_after_ms = KV_DAY_MS,
    };
    KV_CLEANUP(kv_certificate_draft_freep) struct kv_certificate_draft *draft = NULL;
    KV_CLEANUP(kv_buf_clear) struct kv_buf cert, out;
    kv_buf_init(&cert, KV_CERTIFICATE_MAX);
    kv_buf_init(&out, KV_AUTH_REQUEST_MAX);
    uint8_t signature[KV_KSEF_SIGNATURE_MAX];
    assert_int_equal(kv_certificate_begin(&made, &draft, NULL), KV_OK);
    size_t len = software_key_sign(&key, kv_certificate_digest(draft), signature);
    assert_int_equal(kv_certificate_finish(draft, kv_bytes(signature, len), &cert, NULL), KV_OK);

    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_auth_request_params params = params_of(&cert);
        params.context = kv_bytes_str(cases[i].context);
        KV_CLEANUP(kv_auth_request_freep) struct kv_auth_request *request = NULL;
        assert_int_equal(kv_auth_request_begin(&params, &request, NULL), KV_OK);
        len = software_key_sign(&key, kv_auth_request_digest(request), signature);
        kv_buf_reset(&out);
        assert_int_equal(kv_auth_request_finish(request, kv_bytes(signature, len), &out, NULL),
                         KV_OK);
        assert_non_null(strstr(kv_buf_str(&out), cases[i].element));
    }
    software_key_free(&key);
}

/* A certificate whose issuer (and subject) has every kind of character that needs care. */
static struct kv_buf odd_certificate(struct software_key *key)
{
    static const char organisation[] = "Łódź & Syn <\"x\">, #1 + \\ ;";
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "C", MBSTRING_UTF8, (const uint8_t *)"PL", -1, -1, 0), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "organizationIdentifier", MBSTRING_UTF8,
                                                (const uint8_t *)"VATPL-5265877635", -1, -1, 0),
                     1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                                (const uint8_t *)organisation, -1, -1, 0),
                     1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_UTF8, (const uint8_t *)"u", -1, -1, -1), 1);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), UINT64_C(0x1ffffffffffffff)), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), 0));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), 1000));
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_int_equal(X509_set_pubkey(cert, key->pkey), 1);
    assert_true(X509_sign(cert, key->pkey, EVP_sha256()) > 0);
    uint8_t *der = NULL;
    int len = i2d_X509(cert, &der);
    assert_true(len > 0);
    struct kv_buf out;
    kv_buf_init(&out, KV_CERTIFICATE_MAX);
    kv_buf_add(&out, der, (size_t)len);
    OPENSSL_free(der);
    X509_NAME_free(name);
    X509_free(cert);
    return out;
}

static void the_issuer_is_written_by_rfc_2253_and_escaped_for_xml(void **state)
{
    (void)state;
    struct software_key key = software_key_ec("P-256");
    KV_CLEANUP(kv_buf_clear) struct kv_buf cert = odd_certificate(&key);
    struct kv_auth_request_params params = params_of(&cert);
    KV_CLEANUP(kv_auth_request_freep) struct kv_auth_request *request = NULL;
    KV_CLEANUP(kv_buf_clear) struct kv_buf out;
    kv_buf_init(&out, KV_AUTH_REQUEST_MAX);
    uint8_t signature[KV_KSEF_SIGNATURE_MAX];

    assert_int_equal(kv_auth_request_begin(&params, &request, NULL), KV_OK);
    size_t len = software_key_sign(&key, kv_auth_request_digest(request), signature);
    assert_int_equal(kv_auth_request_finish(request, kv_bytes(signature, len), &out, NULL), KV_OK);

    /* 2.5.4.97 has no name in RFC 2253: its DER in hex; the last RDN has two values */
    assert_non_null(strstr(kv_buf_str(&out),
                           ">O=Łódź &amp; Syn \\&lt;\\\"x\\\"\\&gt;\\, #1 \\+ \\\\ \\;+OU=u,"
                           "2.5.4.97=#0C10564154504C2D35323635383737363335,C=PL<"));
    assert_non_null(strstr(kv_buf_str(&out), ">144115188075855871<"));
    software_key_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_are_reproduced_byte_for_byte),
        cmocka_unit_test(a_signature_by_another_key_or_in_another_form_is_refused),
        cmocka_unit_test(what_is_signed_changes_with_each_input),
        cmocka_unit_test(bad_challenges_and_contexts_are_refused),
        cmocka_unit_test(each_type_of_context_has_its_element),
        cmocka_unit_test(the_issuer_is_written_by_rfc_2253_and_escaped_for_xml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
