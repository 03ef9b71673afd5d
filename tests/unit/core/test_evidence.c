/* Evidence that no honest TPM gives. That of a real one: tests/unit/tpm/test_evidence.c. */
#include "core/evidence.h"

#include "tests/unit/certifier.h"

#include <stdlib.h>

static const struct kv_evidence_subject subject = {"vault.example.com/test-1",
                                                   "01M8RDBZ702DD05EARSWR5F8EA", "ksef-auth"};

static enum kv_code judge(struct kv_bytes text, struct kv_bytes spki, struct kv_err *err)
{
    struct kv_evidence evidence = {.store = NULL};
    enum kv_code code = kv_evidence_parse(text, &evidence, err);
    if (code == KV_OK) {
        code = kv_evidence_check(&evidence, &subject, spki, err);
    }
    kv_evidence_clear(&evidence);
    return code;
}

static void what_a_tpm_says_is_good_with_and_without_a_certificate(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct certifier words = certifier_honest;
        struct kv_buf spki, text;
        struct kv_err err = {.msg = ""};
        words.certificate = i == 0 ? NULL : words.certificate;
        certifier_spki(&spki);
        certifier_say(&words, &subject, kv_buf_bytes(&spki), &text);
        if (judge(kv_buf_bytes(&text), kv_buf_bytes(&spki), &err) != KV_OK) {
            fail_msg("%s", err.msg);
        }
        kv_buf_clear(&spki);
        kv_buf_clear(&text);
    }
}

static void what_no_tpm_says_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct certifier words;
    } rows[] = {
        {"not made by a TPM", {0xff544348, 0x8017, 0x40472, 0x50472, 0x18, 0x4000000b, NULL}},
        {"a quote", {0xff544347, 0x8018, 0x40472, 0x50472, 0x18, 0x4000000b, NULL}},
        {"may leave the TPM", {0xff544347, 0x8017, 0x40470, 0x50472, 0x18, 0x4000000b, NULL}},
        {"may leave its parent", {0xff544347, 0x8017, 0x40462, 0x50472, 0x18, 0x4000000b, NULL}},
        {"made outside", {0xff544347, 0x8017, 0x40452, 0x50472, 0x18, 0x4000000b, NULL}},
        {"does not sign", {0xff544347, 0x8017, 0x472, 0x50472, 0x18, 0x4000000b, NULL}},
        {"decrypts, too", {0xff544347, 0x8017, 0x60472, 0x50472, 0x18, 0x4000000b, NULL}},
        {"signs the TPM's words only",
         {0xff544347, 0x8017, 0x50472, 0x50472, 0x18, 0x4000000b, NULL}},
        {"of another scheme", {0xff544347, 0x8017, 0x40472, 0x50472, 0x1a, 0x4000000b, NULL}},
        {"by a key that signs anything",
         {0xff544347, 0x8017, 0x40472, 0x40472, 0x18, 0x4000000b, NULL}},
        {"by a key that can leave", {0xff544347, 0x8017, 0x40472, 0x50470, 0x18, 0x4000000b, NULL}},
        {"by a key that can leave its parent",
         {0xff544347, 0x8017, 0x40472, 0x50462, 0x18, 0x4000000b, NULL}},
        {"by a key from outside", {0xff544347, 0x8017, 0x40472, 0x50452, 0x18, 0x4000000b, NULL}},
        {"by a key that decrypts", {0xff544347, 0x8017, 0x40472, 0x70472, 0x18, 0x4000000b, NULL}},
        {"by a key of the owner", {0xff544347, 0x8017, 0x40472, 0x50472, 0x18, 0x40000001, NULL}},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_buf spki, text;
        certifier_spki(&spki);
        certifier_say(&rows[i].words, &subject, kv_buf_bytes(&spki), &text);
        if (judge(kv_buf_bytes(&text), kv_buf_bytes(&spki), NULL) != KV_E_LEDGER_EVIDENCE) {
            fail_msg("%s: accepted", rows[i].name);
        }
        kv_buf_clear(&spki);
        kv_buf_clear(&text);
    }
}

static void every_changed_byte_and_every_cut_is_refused(void **state)
{
    (void)state;
    struct kv_buf spki, text;
    certifier_spki(&spki);
    certifier_say(&certifier_honest, &subject, kv_buf_bytes(&spki), &text);
    for (size_t i = 0; i < text.len; i++) {
        assert_int_equal(judge(kv_bytes(text.data, i), kv_buf_bytes(&spki), NULL),
                         KV_E_LEDGER_EVIDENCE);
        for (int bit = 0; bit < 8; bit++) {
            text.data[i] ^= (uint8_t)(1U << bit);
            if (judge(kv_buf_bytes(&text), kv_buf_bytes(&spki), NULL) != KV_E_LEDGER_EVIDENCE) {
                fail_msg("bit %d of byte %zu may be changed", bit, i);
            }
            text.data[i] ^= (uint8_t)(1U << bit);
        }
    }
    kv_buf_clear(&spki);
    kv_buf_clear(&text);
}

static void only_the_one_form_is_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "ksefvault-evidence-1\n",
        "ksefvault-evidence-2\nattested QQ==\nsignature QQ==\nkey QQ==\nattestation-key QQ==\n",
        "ksefvault-evidence-1\nattested QQ==\nsignature QQ==\nkey QQ==\n",
        "ksefvault-evidence-1\nattested QQ==\nsignature QQ==\nkey QQ==\nattestation-key QQ==",
        "ksefvault-evidence-1\nattested \nsignature QQ==\nkey QQ==\nattestation-key QQ==\n",
        "ksefvault-evidence-1\nattested QR==\nsignature QQ==\nkey QQ==\nattestation-key QQ==\n",
        "ksefvault-evidence-1\nattested QQ==\r\nsignature QQ==\nkey QQ==\nattestation-key QQ==\n",
        "ksefvault-evidence-1\nsignature QQ==\nattested QQ==\nkey QQ==\nattestation-key QQ==\n",
        "ksefvault-evidence-1\nattested QQ==\nsignature QQ==\nkey QQ==\nattestation-key QQ==\n\n",
        "ksefvault-evidence-1\nattested QQ==\nsignature QQ==\nkey QQ==\nattestation-key QQ==\n"
        "certificate QQ==\ncertificate QQ==\ncertificate QQ==\ncertificate QQ==\n"
        "certificate QQ==\ncertificate QQ==\ncertificate QQ==\ncertificate QQ==\n"
        "certificate QQ==\n",
    };
    for (size_t i = 0; i < KV_COUNT(texts); i++) {
        struct kv_evidence evidence = {.store = NULL};
        if (kv_evidence_parse(kv_bytes_str(texts[i]), &evidence, NULL) != KV_E_LEDGER_EVIDENCE) {
            fail_msg("row %zu is read", i);
        }
        assert_null(evidence.store);
    }
}

static void a_part_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct kv_buf text;
    static uint8_t zeros[KV_EVIDENCE_CERTIFICATE_MAX + 1];
    struct kv_evidence evidence = {.store = NULL};
    for (size_t more = 0; more < 2; more++) {
        kv_buf_init(&text, KV_EVIDENCE_MAX);
        kv_buf_add_str(&text, "ksefvault-evidence-1\nattested QQ==\nsignature QQ==\nkey QQ==\n"
                              "attestation-key QQ==\ncertificate ");
        kv_buf_add_base64(&text, kv_bytes(zeros, KV_EVIDENCE_CERTIFICATE_MAX + more));
        kv_buf_add_str(&text, "\n");
        assert_int_equal(kv_evidence_parse(kv_buf_bytes(&text), &evidence, NULL),
                         more == 0 ? KV_OK : KV_E_LEDGER_EVIDENCE);
        kv_evidence_clear(&evidence);
        kv_buf_clear(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_tpm_says_is_good_with_and_without_a_certificate),
        cmocka_unit_test(what_no_tpm_says_is_refused),
        cmocka_unit_test(every_changed_byte_and_every_cut_is_refused),
        cmocka_unit_test(only_the_one_form_is_read),
        cmocka_unit_test(a_part_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
