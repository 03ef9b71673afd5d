#include "tests/unit/ksef/software_key.h"
#include "tests/unit/ksef/vector.h"

#include "ksef/qr.h"

#include <jansson.h>

#define HASH_URL "0b_6XuCXyDi5OcEkMdEEw0dFF-OK3SUEzDAB6H3gMXQ"
#define FRONT    "qr-test.ksef.mf.gov.pl/certificate/Nip/5265877635/5265877635/01A1B2C3D4E5F603/"

static const struct kv_qr_issuer issuer = {.environment = {(const uint8_t *)"test", 4},
                                           .context = {(const uint8_t *)"Nip:5265877635", 14},
                                           .seller = {(const uint8_t *)"5265877635", 10},
                                           .serial = {(const uint8_t *)"01A1B2C3D4E5F603", 16}};

static struct kv_hash hash_of(const char *base64url)
{
    struct kv_hash hash;
    size_t len;
    assert_true(kv_base64url_decode(kv_bytes_str(base64url), hash.b, sizeof hash.b, &len));
    return hash;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    return text;
}

static json_t *vectors(void)
{
    KV_CLEANUP(kv_buf_clear) struct kv_buf file = vector_read("qr/kod.json");
    json_t *root = json_loadb((const char *)file.data, file.len, 0, NULL);
    assert_non_null(root);
    return root;
}

/* keys/…, certs/offline-ec.der → offline-ec.der */
static struct kv_buf certificate_of(const json_t *row)
{
    return vector_read(strrchr(text_of(row, "certificate"), '/') + 1);
}

static void the_published_links_are_built_byte_for_byte(void **state)
{
    (void)state;
    json_t *root = vectors(), *row;
    size_t index;
    struct kv_hash invoice = hash_of(text_of(root, "invoice_sha256_b64url"));
    KV_CLEANUP(kv_buf_clear) struct kv_buf file = vector_read("qr/invoice-sample.xml");
    struct kv_hash of_file = kv_hash(kv_buf_bytes(&file));
    assert_true(kv_hash_equal(&of_file, &invoice));

    const json_t *kod1 = json_object_get(root, "kod1");
    KV_CLEANUP(kv_buf_clear) struct kv_buf link;
    kv_buf_init(&link, KV_QR_LINK_MAX);
    assert_int_equal(kv_qr_invoice_link(kv_bytes_str("test"), kv_bytes_str("5265877635"),
                                        kv_bytes_str("2026-06-01"), &invoice, &link, NULL),
                     KV_OK);
    assert_string_equal(kv_buf_str(&link), text_of(kod1, "url"));

    json_array_foreach(json_object_get(root, "kod2"), index, row)
    {
        char context[KV_CONTEXT_LEN];
        assert_true(snprintf(context, sizeof context, "%s:%s", text_of(row, "context_type"),
                             text_of(row, "context_value")) > 0);
        struct kv_qr_issuer who = {.environment = kv_bytes_str("test"),
                                   .context = kv_bytes_str(context),
                                   .seller = kv_bytes_str(text_of(row, "seller_nip")),
                                   .serial = kv_bytes_str(text_of(row, "certificate_serial_hex"))};
        KV_CLEANUP(kv_buf_clear) struct kv_buf front;
        kv_buf_init(&front, KV_QR_TEXT_MAX);
        assert_int_equal(kv_qr_front(&who, &front, NULL), KV_OK);
        const char *text = text_of(row, "string_to_sign");
        assert_memory_equal(text, front.data, front.len);
        struct kv_hash digest = kv_qr_digest(kv_buf_bytes(&front), &invoice);
        char hex[KV_HASH_HEX_LEN];
        kv_hash_hex(&digest, hex);
        assert_string_equal(hex, text_of(row, "sha256_of_string_hex"));
    }
    assert_int_equal(index, 8); /* four contexts, two kinds of key */
    json_decref(root);
}

static void the_published_signatures_verify_and_the_wrong_ones_do_not(void **state)
{
    (void)state;
    json_t *root = vectors(), *row, *value;
    size_t index, accepted = 0, rejected = 0;
    const char *name;
    json_array_foreach(json_object_get(root, "kod2"), index, row)
    {
        KV_CLEANUP(kv_buf_clear) struct kv_buf certificate = certificate_of(row);
        struct kv_qr qr;
        json_object_foreach(json_object_get(row, "accept"), name, value)
        {
            assert_int_equal(kv_qr_parse(kv_bytes_str(json_string_value(value)), &qr, NULL), KV_OK);
            assert_int_equal(qr.kind, KV_QR_CERTIFICATE);
            assert_string_equal(qr.serial, text_of(row, "certificate_serial_hex"));
            assert_int_equal(kv_qr_verify(&qr, kv_buf_bytes(&certificate), NULL), KV_OK);
            accepted++;
        }
        json_object_foreach(json_object_get(row, "reject"), name, value)
        {
            enum kv_code code = kv_qr_parse(kv_bytes_str(json_string_value(value)), &qr, NULL);
            if (strncmp(name, "padded", 6) == 0) {
                assert_int_equal(code, KV_E_CODE_LINK);
            } else {
                assert_int_equal(code, KV_OK);
                assert_int_equal(kv_qr_verify(&qr, kv_buf_bytes(&certificate), NULL),
                                 KV_E_CODE_SIGNATURE);
            }
            rejected++;
        }
    }
    assert_int_equal(accepted, 4 * 2 + 4);
    assert_int_equal(rejected, 4 * 5 + 4 * 3);
    json_decref(root);
}

static void a_link_is_its_parts_again(void **state)
{
    (void)state;
    struct kv_hash invoice = hash_of(HASH_URL);
    uint8_t signature[64];
    struct kv_qr qr;
    memset(signature, 0x5a, sizeof signature);
    KV_CLEANUP(kv_buf_clear) struct kv_buf link;
    kv_buf_init(&link, KV_QR_LINK_MAX);
    kv_qr_certificate_link(kv_bytes_str(FRONT), &invoice, kv_bytes(signature, sizeof signature),
                           &link);

    assert_int_equal(kv_qr_parse(kv_buf_bytes(&link), &qr, NULL), KV_OK);
    assert_string_equal(qr.environment, "test");
    assert_string_equal(qr.context, "Nip:5265877635");
    assert_string_equal(qr.seller, "5265877635");
    assert_string_equal(qr.serial, "01A1B2C3D4E5F603");
    assert_true(kv_hash_equal(&qr.invoice, &invoice));
    assert_int_equal(qr.signature_len, sizeof signature);
    assert_memory_equal(qr.signature, signature, sizeof signature);
    struct kv_hash digest = kv_hash(kv_bytes_str(FRONT HASH_URL));
    assert_true(kv_hash_equal(&qr.digest, &digest));
    for (size_t len = 0; len + 1 < link.len; len++) {
        struct kv_bytes cut = kv_bytes(link.data, len);
        enum kv_code code = kv_qr_parse(cut, &qr, NULL);
        /* a signature may end at any whole byte */
        assert_true(code == KV_E_CODE_LINK || len > sizeof "https://" FRONT HASH_URL);
    }
}

static void what_is_no_link_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "https://",
        "http://qr-test.ksef.mf.gov.pl/invoice/5265877635/01-06-2026/" HASH_URL,
        "https://qr-test.ksef.mf.gov.pl.example.com/invoice/5265877635/01-06-2026/" HASH_URL,
        "https://qr-test.ksef.mf.gov.pl/invoice/5265877635/01-06-2026/" HASH_URL "/",
        "https://qr-test.ksef.mf.gov.pl/invoice/5265877635/01-06-2026/" HASH_URL "=",
        "https://qr-test.ksef.mf.gov.pl/invoice/5265877635/01-06-2026/" HASH_URL "A",
        "https://qr-test.ksef.mf.gov.pl/invoice/5265877636/01-06-2026/" HASH_URL,
        "https://qr-test.ksef.mf.gov.pl/invoice/5265877635/2026-06-01/" HASH_URL,
        "https://qr-test.ksef.mf.gov.pl/invoice/5265877635/31-06-2026/" HASH_URL,
        "https://qr-test.ksef.mf.gov.pl/invoice/5265877635/01-06-2026/0b/6XuCXyDi5OcEkMdEEw0dFF",
        "https://qr-test.ksef.mf.gov.pl/other/5265877635/01-06-2026/" HASH_URL,
        "https://" FRONT HASH_URL,
        "https://" FRONT HASH_URL "/",
        "https://" FRONT HASH_URL "/AA/",
        "https://" FRONT HASH_URL "/A",
        "https://qr-test.ksef.mf.gov.pl/certificate/Nip/5265877636/5265877635/"
        "01A1B2C3D4E5F603/" HASH_URL "/AAAA",
        "https://qr-test.ksef.mf.gov.pl/certificate/nip/5265877635/5265877635/"
        "01A1B2C3D4E5F603/" HASH_URL "/AAAA",
        "https://qr-test.ksef.mf.gov.pl/certificate/Nip/5265877635/5265877635/"
        "01a1b2c3d4e5f603/" HASH_URL "/AAAA",
        "https://qr-test.ksef.mf.gov.pl/certificate/Nip/5265877635/5265877635/"
        "01A1B2C3D4E5F6/" HASH_URL "/AAAA",
    };
    struct kv_qr qr;
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_int_equal(kv_qr_parse(kv_bytes_str(bad[i]), &qr, NULL), KV_E_CODE_LINK);
    }
    static const char hidden[] =
        "https://qr-test.ksef.mf.gov.pl/certificate/NipVatUe/5265877635-DE123456789\0x/"
        "5265877635/01A1B2C3D4E5F603/" HASH_URL "/AAAA";
    assert_int_equal(kv_qr_parse(kv_bytes(hidden, sizeof hidden - 1), &qr, NULL), KV_E_CODE_LINK);
    char *huge = malloc(KV_QR_LINK_MAX + 1);
    assert_non_null(huge);
    memset(huge, 'A', KV_QR_LINK_MAX + 1);
    memcpy(huge, "https://" FRONT HASH_URL "/", sizeof "https://" FRONT HASH_URL);
    assert_int_equal(kv_qr_parse(kv_bytes(huge, KV_QR_LINK_MAX + 1), &qr, NULL), KV_E_CODE_LINK);
    free(huge);
}

static void bad_parts_of_a_code_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct kv_qr_issuer who;
        enum kv_code want;
    } rows[] = {
        {{.environment = {(const uint8_t *)"live", 4}}, KV_E_INPUT_VALUE},
        {{.context = {(const uint8_t *)"Nip:5265877636", 14}}, KV_E_INPUT_NIP},
        {{.context = {(const uint8_t *)"5265877635", 10}}, KV_E_INPUT_VALUE},
        {{.seller = {(const uint8_t *)"5265877636", 10}}, KV_E_INPUT_NIP},
        {{.seller = {(const uint8_t *)"526587763", 9}}, KV_E_INPUT_NIP},
        {{.serial = {(const uint8_t *)"01a1b2c3d4e5f603", 16}}, KV_E_INPUT_VALUE},
        {{.serial = {(const uint8_t *)"01A1", 4}}, KV_E_INPUT_VALUE},
    };
    struct kv_hash invoice = hash_of(HASH_URL);
    KV_CLEANUP(kv_buf_clear) struct kv_buf out;
    kv_buf_init(&out, KV_QR_LINK_MAX);
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_qr_issuer who = rows[i].who;
        struct kv_err err;
        who.environment = who.environment.len == 0 ? issuer.environment : who.environment;
        who.context = who.context.len == 0 ? issuer.context : who.context;
        who.seller = who.seller.len == 0 ? issuer.seller : who.seller;
        who.serial = who.serial.len == 0 ? issuer.serial : who.serial;
        assert_int_equal(kv_qr_front(&who, &out, &err), rows[i].want);
        assert_int_equal(out.len, 0);
    }
    assert_int_equal(kv_qr_invoice_link(issuer.environment, issuer.seller,
                                        kv_bytes_str("2026-02-30"), &invoice, &out, NULL),
                     KV_E_INPUT_VALUE);
    assert_int_equal(kv_qr_invoice_link(kv_bytes_str("TEST"), issuer.seller,
                                        kv_bytes_str("2026-02-01"), &invoice, &out, NULL),
                     KV_E_INPUT_VALUE);
    assert_int_equal(kv_qr_invoice_link(issuer.environment, kv_bytes_str("1234567890"),
                                        kv_bytes_str("2026-02-01"), &invoice, &out, NULL),
                     KV_E_INPUT_NIP);
    assert_int_equal(out.len, 0);
}

static void an_authentication_certificate_proves_no_code(void **state)
{
    (void)state;
    KV_CLEANUP(kv_buf_clear) struct kv_buf auth = vector_read("auth-ec.der");
    KV_CLEANUP(kv_buf_clear) struct kv_buf offline = vector_read("offline-ec.der");
    static struct kv_certificate_info info;
    struct kv_hash invoice = hash_of(HASH_URL);
    uint8_t signature[64] = {1};
    struct kv_qr qr;
    assert_int_equal(kv_certificate_inspect(kv_buf_bytes(&auth), &info, NULL), KV_OK);
    struct kv_qr_issuer who = issuer;
    who.serial = kv_bytes_str(info.serial);
    KV_CLEANUP(kv_buf_clear) struct kv_buf front, link;
    kv_buf_init(&front, KV_QR_TEXT_MAX);
    kv_buf_init(&link, KV_QR_LINK_MAX);
    assert_int_equal(kv_qr_front(&who, &front, NULL), KV_OK);
    kv_qr_certificate_link(kv_buf_bytes(&front), &invoice, kv_bytes(signature, sizeof signature),
                           &link);
    assert_int_equal(kv_qr_parse(kv_buf_bytes(&link), &qr, NULL), KV_OK);
    assert_int_equal(kv_qr_verify(&qr, kv_buf_bytes(&auth), NULL), KV_E_CODE_CERTIFICATE);
    /* the right kind, but another serial number */
    assert_int_equal(kv_qr_verify(&qr, kv_buf_bytes(&offline), NULL), KV_E_CODE_CERTIFICATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_links_are_built_byte_for_byte),
        cmocka_unit_test(the_published_signatures_verify_and_the_wrong_ones_do_not),
        cmocka_unit_test(a_link_is_its_parts_again),
        cmocka_unit_test(what_is_no_link_is_refused),
        cmocka_unit_test(bad_parts_of_a_code_are_refused_by_name),
        cmocka_unit_test(an_authentication_certificate_proves_no_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
