/* The test of one noun. One file, though long: each test bends another part of the same
 * certificate. */
#include "tests/unit/ksef/software_key.h"
#include "tests/unit/ksef/vector.h"

#include "core/time.h"
#include "ksef/certificate.h"

#include <openssl/core_names.h>
#include <openssl/x509v3.h>

#define NOT_BEFORE INT64_C(1780300800000) /* 2026-06-01T08:00:00Z */
#define NOT_AFTER  INT64_C(1843372800000) /* 2028-05-31T08:00:00Z */

static struct kv_certificate_params seal_params(struct kv_bytes spki)
{
    return (struct kv_certificate_params){
        .kind = KV_CERTIFICATE_SEAL,
        .number = kv_bytes_str("5265877635"),
        .common_name = kv_bytes_str("Żółw i Spółka"),
        .organisation = kv_bytes_str("Żółw sp. z o.o."),
        .spki = spki,
        .serial = {1, 2, 3, 4, 5, 6, 7, 8},
        .not_before_ms = NOT_BEFORE,
        .not_after_ms = NOT_AFTER,
    };
}

static struct kv_certificate_params person_params(struct kv_bytes spki)
{
    struct kv_certificate_params params = seal_params(spki);
    params.kind = KV_CERTIFICATE_PERSON_PESEL;
    params.number = kv_bytes_str("44051401359");
    params.organisation = KV_BYTES_NULL;
    params.given_name = kv_bytes_str("Świętopełk");
    params.surname = kv_bytes_str("Źdźbło");
    return params;
}

static struct kv_buf make(const struct kv_certificate_params *params,
                          const struct software_key *key)
{
    KV_CLEANUP(kv_certificate_draft_freep) struct kv_certificate_draft *draft = NULL;
    assert_int_equal(kv_certificate_begin(params, &draft, NULL), KV_OK);
    struct kv_hash digest = kv_hash(kv_certificate_tbs(draft));
    assert_true(kv_hash_equal(&digest, kv_certificate_digest(draft)));
    uint8_t signature[KV_KSEF_SIGNATURE_MAX];
    size_t len = software_key_sign(key, kv_certificate_digest(draft), signature);
    struct kv_buf out;
    kv_buf_init(&out, KV_CERTIFICATE_MAX);
    assert_int_equal(kv_certificate_finish(draft, kv_bytes(signature, len), &out, NULL), KV_OK);
    return out;
}

static X509 *parse(const struct kv_buf *der)
{
    const uint8_t *at = der->data;
    X509 *cert = d2i_X509(NULL, &at, (long)der->len);
    assert_non_null(cert);
    assert_ptr_equal(at, der->data + der->len);
    return cert;
}

static void assert_subject(const X509 *cert, const char *want)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_true(X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
                                   XN_FLAG_SEP_COMMA_PLUS | XN_FLAG_FN_SN |
                                       ASN1_STRFLGS_UTF8_CONVERT | ASN1_STRFLGS_SHOW_TYPE) >= 0);
    long len = BIO_get_mem_data(bio, &text);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, strlen(want));
    assert_int_equal(BIO_free(bio), 1);
}

static void a_seal_is_what_openssl_reads_and_verifies(void **state)
{
    (void)state;
    struct software_key keys[] = {software_key_ec("P-256"), software_key_rsa(2048)};
    for (size_t i = 0; i < KV_COUNT(keys); i++) {
        struct kv_certificate_params params = seal_params(software_key_spki(&keys[i]));
        KV_CLEANUP(kv_buf_clear) struct kv_buf der = make(&params, &keys[i]);

        X509 *cert = parse(&der);

        assert_int_equal(X509_verify(cert, keys[i].pkey), 1);
        assert_int_equal(X509_get_version(cert), X509_VERSION_3);
        assert_subject(cert, "C=PRINTABLESTRING:PL,organizationIdentifier=UTF8STRING:"
                             "VATPL-5265877635,O=UTF8STRING:Żółw sp. z o.o.,"
                             "CN=UTF8STRING:Żółw i Spółka");
        assert_int_equal(X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)), 0);
        assert_int_equal(X509_get_ext_count(cert), 3);
        assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
        assert_int_equal(X509_check_ca(cert), 0);
        assert_non_null(X509_get0_subject_key_id(cert));
        for (int e = 0; e < 3; e++) {
            X509_EXTENSION *ext = X509_get_ext(cert, e);
            int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
            assert_int_equal(X509_EXTENSION_get_critical(ext),
                             nid == NID_basic_constraints || nid == NID_key_usage);
        }
        X509_free(cert);
        software_key_free(&keys[i]);
    }
}

static void a_person_is_named_by_pesel_or_nip(void **state)
{
    (void)state;
    struct software_key key = software_key_ec("P-256");
    struct kv_certificate_params params = person_params(software_key_spki(&key));
    KV_CLEANUP(kv_buf_clear) struct kv_buf by_pesel = make(&params, &key);
    params.kind = KV_CERTIFICATE_PERSON_NIP;
    params.number = kv_bytes_str("5265877635");
    KV_CLEANUP(kv_buf_clear) struct kv_buf by_nip = make(&params, &key);

    X509 *first = parse(&by_pesel), *second = parse(&by_nip);

    assert_subject(first, "GN=UTF8STRING:Świętopełk,SN=UTF8STRING:Źdźbło,"
                          "serialNumber=PRINTABLESTRING:PNOPL-44051401359,"
                          "CN=UTF8STRING:Żółw i Spółka,C=PRINTABLESTRING:PL");
    assert_subject(second, "GN=UTF8STRING:Świętopełk,SN=UTF8STRING:Źdźbło,"
                           "serialNumber=PRINTABLESTRING:TINPL-5265877635,"
                           "CN=UTF8STRING:Żółw i Spółka,C=PRINTABLESTRING:PL");
    struct kv_certificate_info info;
    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&by_pesel), &info, NULL), KV_OK);
    assert_string_equal(info.pesel, "44051401359");
    assert_string_equal(info.nip, "");
    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&by_nip), &info, NULL), KV_OK);
    assert_string_equal(info.pesel, "");
    assert_string_equal(info.nip, "5265877635");
    X509_free(first);
    X509_free(second);
    software_key_free(&key);
}

static void inspecting_gives_back_what_was_put_in(void **state)
{
    (void)state;
    static const struct {
        uint8_t serial[KV_CERTIFICATE_SERIAL_LEN];
        const char *want;
    } serials[] = {
        {{1, 2, 3, 4, 5, 6, 7, 8}, "0102030405060708"},
        {{0xff, 2, 3, 4, 5, 6, 7, 8}, "7F02030405060708"}, /* made positive */
        {{0, 0, 0, 0, 0, 0, 0, 0}, "0100000000000000"},    /* never zero */
        {{0x80, 0, 0, 0, 0, 0, 0, 1}, "0100000000000001"},
    };
    struct software_key keys[] = {software_key_ec("P-256"), software_key_rsa(3072)};
    for (size_t i = 0; i < KV_COUNT(serials); i++) {
        const struct software_key *key = &keys[i % 2];
        struct kv_certificate_params params = seal_params(software_key_spki(key));
        memcpy(params.serial, serials[i].serial, sizeof params.serial);
        KV_CLEANUP(kv_buf_clear) struct kv_buf der = make(&params, key);
        struct kv_certificate_info info;

        assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL), KV_OK);

        assert_string_equal(info.serial, serials[i].want);
        assert_true(kv_bytes_equal(kv_bytes(info.spki, info.spki_len), params.spki));
        assert_int_equal(info.key, i % 2 == 0 ? KV_KSEF_KEY_EC_P256 : KV_KSEF_KEY_RSA);
        assert_int_equal(info.key_bits, i % 2 == 0 ? 256 : 3072);
        assert_int_equal(info.usage, KV_CERTIFICATE_AUTHENTICATION);
        assert_string_equal(info.nip, "5265877635");
        assert_string_equal(info.pesel, "");
        assert_true(info.self_signed);
        assert_int_equal(info.not_before_ms, NOT_BEFORE);
        assert_int_equal(info.not_after_ms, NOT_AFTER);
        struct kv_hash sha256 = kv_hash(kv_buf_bytes(&der)), spki = kv_hash(params.spki);
        assert_true(kv_hash_equal(&info.sha256, &sha256));
        assert_true(kv_hash_equal(&info.spki_sha256, &spki));
    }
    software_key_free(&keys[0]);
    software_key_free(&keys[1]);
}

static void times_from_2050_on_are_kept(void **state)
{
    (void)state;
    struct software_key key = software_key_ec("P-256");
    struct kv_certificate_params params = seal_params(software_key_spki(&key));
    params.not_before_ms = INT64_C(2524607999000); /* 2049-12-31T23:59:59Z */
    params.not_after_ms = INT64_C(2524608000000);  /* 2050-01-01T00:00:00Z */
    KV_CLEANUP(kv_buf_clear) struct kv_buf der = make(&params, &key);
    struct kv_certificate_info info;

    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL), KV_OK);

    assert_int_equal(info.not_before_ms, params.not_before_ms);
    assert_int_equal(info.not_after_ms, params.not_after_ms);
    X509 *cert = parse(&der);
    assert_int_equal(ASN1_STRING_type(X509_get0_notBefore(cert)), V_ASN1_UTCTIME);
    assert_int_equal(ASN1_STRING_type(X509_get0_notAfter(cert)), V_ASN1_GENERALIZEDTIME);
    X509_free(cert);
    software_key_free(&key);
}

/* Each row spoils one thing of good parameters. */
enum spoil { NUMBER, COMMON_NAME, ORGANISATION, GIVEN_NAME, SURNAME, SPKI, END };

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    static const char long_name[] =
        "0123456789012345678901234567890123456789012345678901234567890123"
        "4";
    static const struct {
        const char *name;
        bool person;
        enum spoil spoil;
        const char *value;
        enum kv_code want;
    } cases[] = {
        {"NIP check digit", false, NUMBER, "5265877636", KV_E_INPUT_NIP},
        {"NIP length", false, NUMBER, "526587763", KV_E_INPUT_NIP},
        {"PESEL check digit", true, NUMBER, "44051401358", KV_E_INPUT_VALUE},
        {"PESEL length", true, NUMBER, "440514013590", KV_E_INPUT_VALUE},
        {"PESEL digits", true, NUMBER, "4405140135A", KV_E_INPUT_VALUE},
        {"no common name", false, COMMON_NAME, "", KV_E_INPUT_MISSING},
        {"common name not UTF-8", false, COMMON_NAME, "a\xc5", KV_E_INPUT_UTF8},
        {"common name with a line feed", false, COMMON_NAME, "a\nb", KV_E_INPUT_VALUE},
        {"common name turning right to left", false, COMMON_NAME,
         "a\xe2\x80\xae"
         "b",
         KV_E_INPUT_VALUE},
        {"common name too long", false, COMMON_NAME, long_name, KV_E_LIMIT},
        {"no organisation", false, ORGANISATION, "", KV_E_INPUT_MISSING},
        {"no given name", true, GIVEN_NAME, "", KV_E_INPUT_MISSING},
        {"no surname", true, SURNAME, "", KV_E_INPUT_MISSING},
        {"no key", false, SPKI, "", KV_E_INPUT_VALUE},
        {"a key that is none", false, SPKI, "0123456789", KV_E_INPUT_VALUE},
        {"an end before the beginning", false, END, "", KV_E_INPUT_VALUE},
    };
    struct software_key key = software_key_ec("P-256");
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_bytes spki = software_key_spki(&key), value = kv_bytes_str(cases[i].value);
        struct kv_certificate_params params =
            cases[i].person ? person_params(spki) : seal_params(spki);
        switch (cases[i].spoil) {
        case NUMBER: params.number = value; break;
        case COMMON_NAME: params.common_name = value; break;
        case ORGANISATION: params.organisation = value; break;
        case GIVEN_NAME: params.given_name = value; break;
        case SURNAME: params.surname = value; break;
        case SPKI: params.spki = value; break;
        case END: params.not_after_ms = params.not_before_ms; break;
        }
        struct kv_certificate_draft *draft = NULL;
        struct kv_err err = {0};

        enum kv_code code = kv_certificate_begin(&params, &draft, &err);

        if (code != cases[i].want || draft != NULL) {
            fail_msg("%s: %s", cases[i].name, kv_code_word(code));
        }
    }
    software_key_free(&key);
}

static void keys_that_ksef_does_not_take_are_refused(void **state)
{
    (void)state;
    struct software_key keys[] = {software_key_ec("P-384"), software_key_ec("secp256k1"),
                                  software_key_rsa(1024),
                                  software_key_take(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"))};
    for (size_t i = 0; i < KV_COUNT(keys); i++) {
        enum kv_ksef_key type;
        assert_int_equal(kv_ksef_key_type(software_key_spki(&keys[i]), &type, NULL, NULL),
                         KV_E_INPUT_VALUE);
        software_key_free(&keys[i]);
    }
    static const char *const forms[][2] = {
        {OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"},
        {OSSL_PKEY_PARAM_EC_ENCODING, "explicit"},
    };
    for (size_t i = 0; i < KV_COUNT(forms); i++) {
        EVP_PKEY *pkey = EVP_EC_gen("P-256");
        assert_int_equal(EVP_PKEY_set_utf8_string_param(pkey, forms[i][0], forms[i][1]), 1);
        struct software_key odd = software_key_take(pkey);
        enum kv_ksef_key type;
        assert_int_equal(kv_ksef_key_type(software_key_spki(&odd), &type, NULL, NULL),
                         KV_E_INPUT_VALUE);
        software_key_free(&odd);
    }
    struct software_key good = software_key_ec("P-256");
    uint8_t longer[KV_KSEF_SPKI_MAX] = {0};
    memcpy(longer, good.spki, good.spki_len);
    enum kv_ksef_key type;
    for (size_t len = 0; len <= good.spki_len + 1; len++) {
        assert_int_equal(kv_ksef_key_type(kv_bytes(longer, len), &type, NULL, NULL),
                         len == good.spki_len ? KV_OK : KV_E_INPUT_VALUE);
    }
    software_key_free(&good);
}

static void a_certificate_is_not_finished_with_anothers_signature(void **state)
{
    (void)state;
    struct software_key key = software_key_ec("P-256"), other = software_key_ec("P-256");
    struct kv_certificate_params params = seal_params(software_key_spki(&key));
    KV_CLEANUP(kv_certificate_draft_freep) struct kv_certificate_draft *draft = NULL;
    KV_CLEANUP(kv_buf_clear) struct kv_buf out;
    kv_buf_init(&out, KV_CERTIFICATE_MAX);
    assert_int_equal(kv_certificate_begin(&params, &draft, NULL), KV_OK);
    uint8_t signature[KV_KSEF_SIGNATURE_MAX] = {0};
    size_t len = software_key_sign(&other, kv_certificate_digest(draft), signature);

    assert_int_equal(kv_certificate_finish(draft, kv_bytes(signature, len), &out, NULL),
                     KV_E_TOKEN);
    memset(signature, 0, sizeof signature); /* r = s = 0 */
    assert_int_equal(kv_certificate_finish(draft, kv_bytes(signature, len), &out, NULL),
                     KV_E_TOKEN);
    assert_int_equal(kv_certificate_finish(draft, KV_BYTES_NULL, &out, NULL), KV_E_TOKEN);

    assert_int_equal(out.len, 0);
    software_key_free(&key);
    software_key_free(&other);
}

static void ksefs_own_certificates_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *file, *serial;
        enum kv_ksef_key key;
        enum kv_certificate_usage usage;
    } cases[] = {
        {"auth-ec.der", "01A1B2C3D4E5F601", KV_KSEF_KEY_EC_P256, KV_CERTIFICATE_AUTHENTICATION},
        {"auth-rsa.der", "01A1B2C3D4E5F602", KV_KSEF_KEY_RSA, KV_CERTIFICATE_AUTHENTICATION},
        {"offline-ec.der", "01A1B2C3D4E5F603", KV_KSEF_KEY_EC_P256, KV_CERTIFICATE_OFFLINE},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        KV_CLEANUP(kv_buf_clear) struct kv_buf der = vector_read(cases[i].file);
        struct kv_certificate_info info;

        assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL), KV_OK);

        assert_string_equal(info.serial, cases[i].serial);
        assert_int_equal(info.key, cases[i].key);
        assert_int_equal(info.usage, cases[i].usage);
        assert_string_equal(info.nip, "5265877635");
        assert_false(info.self_signed);
    }
}

static void a_cut_or_longer_certificate_is_refused(void **state)
{
    (void)state;
    KV_CLEANUP(kv_buf_clear) struct kv_buf der = vector_read("auth-ec.der");
    struct kv_certificate_info info;

    for (size_t len = 0; len < der.len; len++) {
        assert_int_equal(kv_certificate_inspect(kv_bytes(der.data, len), &info, NULL),
                         KV_E_INPUT_VALUE);
    }
    for (size_t i = 0; i < der.len; i++) {
        der.data[i] ^= 0x01;
        if (kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL) == KV_OK) {
            /* what is accepted keeps its promises */
            enum kv_ksef_key type;
            assert_int_equal(
                kv_ksef_key_type(kv_bytes(info.spki, info.spki_len), &type, NULL, NULL), KV_OK);
            assert_in_range(strlen(info.serial), 16, 40);
            assert_false(info.self_signed);
        }
        der.data[i] ^= 0x01;
    }
    kv_buf_add_u8(&der, 0);
    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL), KV_E_INPUT_VALUE);
    KV_CLEANUP(kv_buf_clear) struct kv_buf huge;
    kv_buf_init(&huge, 65536);
    while (huge.len <= KV_CERTIFICATE_MAX) {
        kv_buf_add_u8(&huge, 0x30);
    }
    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&huge), &info, NULL),
                     KV_E_INPUT_TOO_LARGE);
}

static void login_is_refused_outside_validity_usage_and_key(void **state)
{
    (void)state;
    struct software_key key = software_key_ec("P-256"), other = software_key_ec("P-256");
    struct kv_certificate_params params = seal_params(software_key_spki(&key));
    KV_CLEANUP(kv_buf_clear) struct kv_buf der = make(&params, &key);
    struct kv_certificate_info info;
    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL), KV_OK);
    static const struct {
        int64_t now_ms;
        enum kv_certificate_usage usage;
        bool other;
        enum kv_code want;
    } cases[] = {
        {NOT_BEFORE, KV_CERTIFICATE_AUTHENTICATION, false, KV_OK},
        {NOT_AFTER, KV_CERTIFICATE_ANY, false, KV_OK},
        {NOT_BEFORE - 1, KV_CERTIFICATE_AUTHENTICATION, false, KV_E_CERT_EXPIRED},
        {NOT_AFTER + 1, KV_CERTIFICATE_AUTHENTICATION, false, KV_E_CERT_EXPIRED},
        {NOT_BEFORE, KV_CERTIFICATE_OFFLINE, false, KV_E_CRED_STATE},
        {NOT_BEFORE, KV_CERTIFICATE_NOTHING, false, KV_E_CRED_STATE},
        {NOT_BEFORE, KV_CERTIFICATE_AUTHENTICATION, true, KV_E_CRED_STATE},
    };

    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        info.usage = cases[i].usage;
        assert_int_equal(
            kv_certificate_check_login(&info, software_key_spki(cases[i].other ? &other : &key),
                                       cases[i].now_ms, NULL),
            cases[i].want);
    }
    software_key_free(&key);
    software_key_free(&other);
}

/* A certificate of a foreign CA's making: one subject attribute, optional key usage. */
static struct kv_buf foreign(struct software_key *key, const char *type, const char *value,
                             const char *usage)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const uint8_t *)value, -1, -1, 0),
        1);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), 0));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), 1000));
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    assert_int_equal(X509_set_pubkey(cert, key->pkey), 1);
    if (usage != NULL) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, usage);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
    }
    assert_true(X509_sign(cert, key->pkey, EVP_sha256()) > 0);
    uint8_t *der = NULL;
    int len = i2d_X509(cert, &der);
    struct kv_buf out;
    kv_buf_init(&out, KV_CERTIFICATE_MAX);
    kv_buf_add(&out, der, (size_t)len);
    OPENSSL_free(der);
    X509_NAME_free(name);
    X509_free(cert);
    return out;
}

static void the_subjects_number_and_usage_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *type, *value, *usage, *nip, *pesel;
        enum kv_certificate_usage want;
    } cases[] = {
        {"serialNumber", "TINPL-5265877635", "digitalSignature", "5265877635", "",
         KV_CERTIFICATE_AUTHENTICATION},
        {"serialNumber", "NIP-5265877635", "nonRepudiation", "5265877635", "",
         KV_CERTIFICATE_OFFLINE},
        {"serialNumber", "PESEL:44051401359", "digitalSignature,nonRepudiation", "", "44051401359",
         KV_CERTIFICATE_ANY},
        {"serialNumber", "PNOPL-44051401359", NULL, "", "44051401359", KV_CERTIFICATE_ANY},
        {"organizationIdentifier", "VATPL-5265877635", "keyAgreement", "5265877635", "",
         KV_CERTIFICATE_NOTHING},
        {"serialNumber", "VATPL-5265877635", NULL, "", "", KV_CERTIFICATE_ANY},
        {"serialNumber", "TINPL-52658776350", NULL, "", "", KV_CERTIFICATE_ANY},
        {"serialNumber", "TINPL-526587763", NULL, "", "", KV_CERTIFICATE_ANY},
        {"serialNumber", "TINPL-5265877636", NULL, "", "", KV_CERTIFICATE_ANY},
        {"serialNumber", "XTINPL-5265877635", NULL, "", "", KV_CERTIFICATE_ANY},
        {"CN", "TINPL-5265877635", NULL, "", "", KV_CERTIFICATE_ANY},
    };
    struct software_key key = software_key_ec("P-256");
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        KV_CLEANUP(kv_buf_clear)
        struct kv_buf der = foreign(&key, cases[i].type, cases[i].value, cases[i].usage);
        struct kv_certificate_info info;

        assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL), KV_OK);

        assert_string_equal(info.nip, cases[i].nip);
        assert_string_equal(info.pesel, cases[i].pesel);
        assert_int_equal(info.usage, cases[i].want);
        assert_string_equal(info.serial, "0000000000000001");
    }
    software_key_free(&key);
}

/* `der`, which begins 30 82 hi lo, with its outer length in three octets: BER, but not DER. */
static struct kv_buf needlessly_long(struct kv_bytes der)
{
    static const uint8_t head[] = {0x30, 0x83, 0x00};
    assert_int_equal(der.ptr[0], 0x30);
    assert_int_equal(der.ptr[1], 0x82);
    struct kv_buf out;
    kv_buf_init(&out, KV_CERTIFICATE_MAX);
    kv_buf_add(&out, head, sizeof head);
    kv_buf_add(&out, der.ptr + 2, der.len - 2);
    return out;
}

static void a_second_encoding_of_the_same_is_refused(void **state)
{
    (void)state;
    struct software_key key = software_key_rsa(2048);
    KV_CLEANUP(kv_buf_clear) struct kv_buf der = vector_read("auth-rsa.der");
    KV_CLEANUP(kv_buf_clear) struct kv_buf cert = needlessly_long(kv_buf_bytes(&der));
    KV_CLEANUP(kv_buf_clear) struct kv_buf spki = needlessly_long(software_key_spki(&key));
    struct kv_certificate_info info;
    enum kv_ksef_key type;

    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&cert), &info, NULL), KV_E_INPUT_VALUE);
    assert_int_equal(kv_ksef_key_type(kv_buf_bytes(&spki), &type, NULL, NULL), KV_E_INPUT_VALUE);

    software_key_free(&key);
}

static void an_offline_certificate_is_for_codes_and_not_for_logins(void **state)
{
    (void)state;
    static struct kv_certificate_info info;
    struct software_key key = software_key_ec("P-256");
    struct kv_certificate_params params = seal_params(kv_bytes(key.spki, key.spki_len));
    params.offline = true;
    KV_CLEANUP(kv_buf_clear) struct kv_buf der = make(&params, &key);
    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&der), &info, NULL), KV_OK);
    assert_int_equal(info.usage, KV_CERTIFICATE_OFFLINE);
    assert_int_equal(kv_certificate_check_login(&info, params.spki, NOT_BEFORE, NULL),
                     KV_E_CRED_STATE);
    software_key_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seal_is_what_openssl_reads_and_verifies),
        cmocka_unit_test(a_person_is_named_by_pesel_or_nip),
        cmocka_unit_test(inspecting_gives_back_what_was_put_in),
        cmocka_unit_test(times_from_2050_on_are_kept),
        cmocka_unit_test(bad_parameters_are_refused),
        cmocka_unit_test(keys_that_ksef_does_not_take_are_refused),
        cmocka_unit_test(a_certificate_is_not_finished_with_anothers_signature),
        cmocka_unit_test(ksefs_own_certificates_are_read),
        cmocka_unit_test(a_cut_or_longer_certificate_is_refused),
        cmocka_unit_test(a_second_encoding_of_the_same_is_refused),
        cmocka_unit_test(login_is_refused_outside_validity_usage_and_key),
        cmocka_unit_test(the_subjects_number_and_usage_are_read_strictly),
        cmocka_unit_test(an_offline_certificate_is_for_codes_and_not_for_logins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
