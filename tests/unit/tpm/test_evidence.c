/* What a TPM says of its keys, and whose TPM it is. The TPM is swtpm, certified by maker.h.
 * One file, though long: each test bends another part of the same chain. */
#include "core/evidence.h"
#include "core/roots.h"
#include "core/time.h"
#include "tests/unit/tpm/maker.h"
#include "tpm/credential.h"

static const struct kv_evidence_subject subject = {"vault.example.com/test-1",
                                                   "01M8RDBZ702DD05EARSWR5F8EA", "ksef-auth"};

/* ---- a chip that guesses (the linker puts this in the call's place) ---- */

static bool guesses;
typedef TSS2_RC activate_fn(ESYS_CONTEXT *esys, ESYS_TR own, ESYS_TR endorsement, ESYS_TR session1,
                            ESYS_TR session2, ESYS_TR session3, const TPM2B_ID_OBJECT *blob,
                            const TPM2B_ENCRYPTED_SECRET *seed, TPM2B_DIGEST **opened);
activate_fn __real_Esys_ActivateCredential, __wrap_Esys_ActivateCredential;

TSS2_RC __wrap_Esys_ActivateCredential(ESYS_CONTEXT *esys, ESYS_TR own, ESYS_TR endorsement,
                                       ESYS_TR session1, ESYS_TR session2, ESYS_TR session3,
                                       const TPM2B_ID_OBJECT *blob,
                                       const TPM2B_ENCRYPTED_SECRET *seed, TPM2B_DIGEST **opened)
{
    TSS2_RC rc = __real_Esys_ActivateCredential(esys, own, endorsement, session1, session2,
                                                session3, blob, seed, opened);
    if (rc == TSS2_RC_SUCCESS && guesses) {
        (*opened)->buffer[31] ^= 1;
    }
    return rc;
}

/* ---- evidence ---- */

static void evidence_of(struct kv_token *token, const struct kv_token_key *key, struct kv_buf *out)
{
    struct kv_err err = {.msg = ""};
    kv_buf_init(out, KV_EVIDENCE_MAX);
    if (kv_token_certify(token, key->handle, &subject, out, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
}

static enum kv_code judge(struct kv_bytes text, const struct kv_evidence_subject *of,
                          const struct kv_token_key *key, struct kv_err *err)
{
    struct kv_evidence evidence = {.store = NULL};
    enum kv_code code = kv_evidence_parse(text, &evidence, err);
    if (code == KV_OK) {
        code = kv_evidence_check(&evidence, of, kv_bytes(key->spki, key->spki_len), err);
    }
    kv_evidence_clear(&evidence);
    return code;
}

/* Objects and sessions that the chip holds. */
static size_t held(struct kv_tpm_chip *chip)
{
    static const uint32_t kinds[] = {TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST};
    size_t count = 0;
    for (size_t i = 0; i < KV_COUNT(kinds); i++) {
        TPMS_CAPABILITY_DATA *data = NULL;
        TPMI_YES_NO more;
        assert_int_equal(Esys_GetCapability(chip->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                            TPM2_CAP_HANDLES, kinds[i], 32, &more, &data),
                         TSS2_RC_SUCCESS);
        count += data->data.handles.count;
        Esys_Free(data);
    }
    return count;
}

static void every_changed_byte_is_refused(struct kv_bytes text, const struct kv_token_key *key)
{
    uint8_t *copy = malloc(text.len);
    assert_non_null(copy);
    for (size_t i = 0; i < text.len; i += SANITIZED ? 7 : 1) {
        memcpy(copy, text.ptr, text.len);
        copy[i] ^= 1;
        if (judge(kv_bytes(copy, text.len), &subject, key, NULL) != KV_E_LEDGER_EVIDENCE) {
            fail_msg("byte %zu of %zu may be changed", i, text.len);
        }
        if (judge(kv_bytes(text.ptr, i), &subject, key, NULL) != KV_E_LEDGER_EVIDENCE) {
            fail_msg("%zu of %zu bytes are enough", i, text.len);
        }
    }
    free(copy);
}

static void a_key_is_certified_and_nothing_of_it_may_be_changed(void **state)
{
    (void)state;
    char roots[128];
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = opened(tpm, &models[0], OF_TPM, 30, roots);
    for (int type = 0; type < KV_TOKEN_KEY_TYPE_COUNT; type++) {
        struct kv_token_key key;
        struct kv_buf text;
        struct kv_err err = {.msg = ""};
        assert_int_equal(kv_token_generate(token, type == 0 ? "a" : "b",
                                           (enum kv_token_key_type)type, &key, NULL),
                         KV_OK);
        evidence_of(token, &key, &text);
        if (judge(kv_buf_bytes(&text), &subject, &key, &err) != KV_OK) {
            fail_msg("%s", err.msg);
        }
        every_changed_byte_is_refused(kv_buf_bytes(&text), &key);
        kv_buf_clear(&text);
    }
    kv_token_close(token);
    swtpm_free(tpm);
}

static void evidence_is_good_for_one_key_and_one_credential(void **state)
{
    (void)state;
    static const struct kv_evidence_subject others[] = {
        {"vault.example.com/test-2", "01M8RDBZ702DD05EARSWR5F8EA", "ksef-auth"},
        {"vault.example.com/test-1", "01M8RDBZ702DD05EARSWR5F8EB", "ksef-auth"},
        {"vault.example.com/test-1", "01M8RDBZ702DD05EARSWR5F8EA", "ksef-auth-2"},
    };
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_token_key key, other;
    struct kv_buf text, again;
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    assert_int_equal(kv_token_generate(token, "b", KV_TOKEN_EC_P256, &other, NULL), KV_OK);
    evidence_of(token, &key, &text);
    assert_int_equal(judge(kv_buf_bytes(&text), &subject, &key, NULL), KV_OK);
    assert_int_equal(judge(kv_buf_bytes(&text), &subject, &other, NULL), KV_E_LEDGER_EVIDENCE);
    for (size_t i = 0; i < KV_COUNT(others); i++) {
        assert_int_equal(judge(kv_buf_bytes(&text), &others[i], &key, NULL), KV_E_LEDGER_EVIDENCE);
    }
    evidence_of(token, &other, &again);
    assert_int_equal(judge(kv_buf_bytes(&again), &subject, &key, NULL), KV_E_LEDGER_EVIDENCE);
    kv_buf_clear(&text);
    kv_buf_clear(&again);
    kv_token_close(token);
    swtpm_free(tpm);
}

/* Parts of two that are good, one from each: of another key, of another certificate, of none. */
static void parts_of_two_are_no_whole(void **state)
{
    (void)state;
    char roots[128];
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = opened(tpm, &models[0], OF_TPM, 30, roots);
    struct kv_token_key key, other;
    struct kv_buf text, more, mixed;
    struct kv_evidence a = {.store = NULL}, b = {.store = NULL};
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    assert_int_equal(kv_token_generate(token, "b", KV_TOKEN_EC_P256, &other, NULL), KV_OK);
    evidence_of(token, &key, &text);
    evidence_of(token, &other, &more);
    assert_int_equal(kv_evidence_parse(kv_buf_bytes(&text), &a, NULL), KV_OK);
    assert_int_equal(kv_evidence_parse(kv_buf_bytes(&more), &b, NULL), KV_OK);
    assert_int_equal(a.certificate_count, 1);
    for (int i = 0; i < 6; i++) {
        struct kv_evidence c = a;
        c.attested = i == 0 || i == 1 ? b.attested : c.attested;
        c.signature = i == 0 || i == 2 ? b.signature : c.signature;
        c.key = i == 3 ? b.key : c.key;
        c.signer = i == 4 ? b.key : c.signer; /* a key that signs anything */
        c.certificate_count = i == 5 ? 0 : 1;
        kv_buf_init(&mixed, KV_EVIDENCE_MAX);
        kv_evidence_print(&c, &mixed);
        assert_int_equal(judge(kv_buf_bytes(&mixed), &subject, &key, NULL), KV_E_LEDGER_EVIDENCE);
        kv_buf_clear(&mixed);
    }
    kv_evidence_clear(&a);
    kv_evidence_clear(&b);
    kv_buf_clear(&text);
    kv_buf_clear(&more);
    kv_token_close(token);
    swtpm_free(tpm);
}

static void certifying_leaves_nothing_in_the_chip(void **state)
{
    (void)state;
    char roots[128];
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = opened(tpm, &models[1], OF_TPM, 30, roots);
    struct kv_tpm_chip *chip = &kv_tpm_token(token)->chip;
    struct kv_token_key key;
    assert_int_equal(held(chip), 2); /* the storage key and the session */
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    for (int i = 0; i < 5; i++) {
        struct kv_buf text;
        evidence_of(token, &key, &text);
        kv_buf_clear(&text);
        assert_int_equal(held(chip), 3); /* and the key */
    }
    kv_token_close(token);
    swtpm_free(tpm);
}

/* ---- custody ---- */

static void a_chip_is_attested_by_its_maker(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(models); i++) {
        char roots[128];
        struct swtpm *tpm = swtpm_ready();
        struct kv_token *token = opened(tpm, &models[i], OF_TPM, 30, roots);
        const struct kv_token_info *info = kv_token_info(token);
        if (info->custody != KV_CUSTODY_ATTESTED) {
            fail_msg("%s: %s", models[i].name, info->custody_why);
        }
        assert_non_null(strstr(info->custody_why, "'Maker', though in software"));
        kv_token_close(token);
        tpm->profile.roots = NULL;
        token = swtpm_open(tpm);
        assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_SOFTWARE);
        kv_token_close(token);
        swtpm_free(tpm);
    }
}

static void a_certificate_that_is_not_good_attests_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *use;
        long days;
        bool of_another;
        const char *why;
    } rows[] = {
        {OF_TPM, -1, false, "expired"},
        {"serverAuth", 30, false, "not of an endorsement key"},
        {OF_TPM, 30, true, "of another key"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char roots[128];
        struct swtpm *tpm = swtpm_ready();
        struct kv_token_key key;
        endorsement_of(tpm, &models[0], &key);
        if (rows[i].of_another) { /* another chip's */
            struct kv_token *own = swtpm_open(tpm);
            assert_int_equal(kv_token_generate(own, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
            kv_token_close(own);
        }
        endorse(tpm, &models[0], &key, rows[i].use, rows[i].days);
        be_trusted(tpm, roots);
        struct kv_token *token = swtpm_open(tpm);
        const struct kv_token_info *info = kv_token_info(token);
        assert_int_equal(info->custody, KV_CUSTODY_SOFTWARE);
        if (strstr(info->custody_why, rows[i].why) == NULL) {
            fail_msg("'%s' does not say '%s'", info->custody_why, rows[i].why);
        }
        kv_token_close(token);
        swtpm_free(tpm);
    }
}

static void without_a_certificate_or_a_maker_that_is_trusted_nothing_is_attested(void **state)
{
    (void)state;
    char roots[128];
    struct swtpm *tpm = swtpm_ready();
    be_trusted(tpm, roots);
    struct kv_token *token = swtpm_open(tpm);
    assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_SOFTWARE);
    assert_non_null(strstr(kv_token_info(token)->custody_why, "keeps none"));
    kv_token_close(token);
    struct kv_token_key key;
    endorsement_of(tpm, &models[0], &key);
    EVP_PKEY *usual = maker_key;
    maker_key = EVP_EC_gen("P-256"); /* of the same name */
    endorse(tpm, &models[0], &key, OF_TPM, 30);
    EVP_PKEY_free(maker_key);
    maker_key = usual;
    token = swtpm_open(tpm);
    assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_SOFTWARE);
    assert_non_null(strstr(kv_token_info(token)->custody_why, "signature failure"));
    kv_token_close(token);
    swtpm_free(tpm);
}

/* What `challenge` does, for a name that need not be that of the key: TPM2_ActivateCredential. */
static bool opens(struct kv_tpm_chip *chip, ESYS_TR endorsement, const struct kv_token_key *key,
                  ESYS_TR own, const TPM2B_NAME *name)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    struct kv_hash secret = {.b = {4, 7, 1, 1}};
    TPM2B_ID_OBJECT blob;
    TPM2B_ENCRYPTED_SECRET seed;
    TPM2B_DIGEST *opened = NULL;
    ESYS_TR policy = ESYS_TR_NONE;
    assert_int_equal(kv_tpm_credential_make(kv_bytes(key->spki, key->spki_len), name, &secret,
                                            &blob, &seed, NULL),
                     KV_OK);
    assert_int_equal(Esys_StartAuthSession(chip->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                           ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none,
                                           TPM2_ALG_SHA256, &policy),
                     TSS2_RC_SUCCESS);
    assert_int_equal(Esys_PolicySecret(chip->esys, ESYS_TR_RH_ENDORSEMENT, policy, ESYS_TR_PASSWORD,
                                       ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL),
                     TSS2_RC_SUCCESS);
    TSS2_RC rc = Esys_ActivateCredential(chip->esys, own, endorsement, ESYS_TR_PASSWORD, policy,
                                         ESYS_TR_NONE, &blob, &seed, &opened);
    bool same = rc == TSS2_RC_SUCCESS && kv_bytes_equal(kv_bytes(opened->buffer, opened->size),
                                                        kv_bytes(secret.b, sizeof secret.b));
    Esys_Free(opened);
    assert_int_equal(Esys_FlushContext(chip->esys, policy), TSS2_RC_SUCCESS);
    return same;
}

static void a_riddle_is_opened_by_the_key_that_it_names(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_token *token = swtpm_open(tpm);
    struct kv_tpm_chip *chip = &kv_tpm_token(token)->chip;
    for (size_t i = 0; i < KV_COUNT(models); i++) {
        struct kv_token_key key;
        TPM2B_PUBLIC public;
        TPM2B_NAME *name = NULL;
        ESYS_TR endorsement = ESYS_TR_NONE, own = ESYS_TR_NONE;
        assert_int_equal(
            kv_tpm_endorsed_key(chip, &models[i].template, &endorsement, &public, NULL), KV_OK);
        assert_true(kv_tpm_public_key(&public.publicArea, &key));
        assert_int_equal(kv_tpm_attestation_key(chip, &own, &public, NULL), KV_OK);
        assert_int_equal(Esys_TR_GetName(chip->esys, own, &name), TSS2_RC_SUCCESS);
        assert_true(opens(chip, endorsement, &key, own, name));
        name->name[name->size - 1] ^= 1; /* an attestation key that lies elsewhere */
        assert_false(opens(chip, endorsement, &key, own, name));
        Esys_Free(name);
        kv_tpm_chip_flush(chip, &own);
        kv_tpm_chip_flush(chip, &endorsement);
    }
    kv_token_close(token);
    swtpm_free(tpm);
}

static void a_chip_that_guesses_the_answer_is_not_attested(void **state)
{
    (void)state;
    char roots[128];
    struct swtpm *tpm = swtpm_ready();
    guesses = true;
    struct kv_token *token = opened(tpm, &models[0], OF_TPM, 30, roots);
    guesses = false;
    assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_SOFTWARE);
    assert_non_null(strstr(kv_token_info(token)->custody_why, "the certified key is not here"));
    assert_int_equal(kv_tpm_token(token)->endorsement.certificate_count, 0);
    kv_token_close(token);
    swtpm_free(tpm);
}

static void issuers_that_the_chip_keeps_lead_to_the_root(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    char roots[128];
    struct kv_token_key key, plant;
    struct kv_buf text;
    unsigned char *der = NULL;
    struct kv_evidence evidence = {.store = NULL};
    endorsement_of(tpm, &models[1], &key);
    be_trusted(tpm, roots);
    /* the maker's root certifies a plant, and that the chips */
    EVP_PKEY *root = maker_key, *own = EVP_EC_gen("P-256");
    int len = i2d_PUBKEY(own, &der);
    assert_true(len > 0 && (size_t)len <= sizeof plant.spki);
    memcpy(plant.spki, der, (size_t)len);
    OPENSSL_free(der);
    X509 *certificate = certify("Plant", kv_bytes(plant.spki, (size_t)len), NULL, 30);
    maker_key = own;
    maker_name = "Plant";
    endorse(tpm, &models[1], &key, OF_TPM, 30);
    maker_key = root;
    maker_name = "Maker";
    struct kv_token *token = swtpm_open(tpm);
    assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_SOFTWARE);
    assert_non_null(strstr(kv_token_info(token)->custody_why, "unable to get local issuer"));
    der = NULL;
    len = i2d_X509(certificate, &der);
    assert_true(len > 200);
    burn(&kv_tpm_token(token)->chip, 0x01c00100, der, (size_t)len);
    kv_token_close(token);
    token = swtpm_open(tpm);
    if (kv_token_info(token)->custody != KV_CUSTODY_ATTESTED) {
        fail_msg("%s", kv_token_info(token)->custody_why);
    }
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    evidence_of(token, &key, &text);
    assert_int_equal(kv_evidence_parse(kv_buf_bytes(&text), &evidence, NULL), KV_OK);
    assert_int_equal(evidence.certificate_count, 2);
    assert_true(kv_bytes_equal(evidence.certificate[1], kv_bytes(der, (size_t)len)));
    kv_evidence_clear(&evidence);
    kv_buf_clear(&text);
    kv_token_close(token);
    OPENSSL_free(der);
    X509_free(certificate);
    EVP_PKEY_free(own);
    swtpm_free(tpm);
}

/* An issuer's certificate for which evidence has no room: of a key so certified no record would be
 * taken, so its chip is not attested in the first place. */
static void a_chain_too_long_for_evidence_attests_nothing(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    char roots[128], words[KV_EVIDENCE_CERTIFICATE_MAX + 1];
    struct kv_token_key key;
    struct kv_buf text;
    unsigned char *der = NULL;
    endorsement_of(tpm, &models[0], &key);
    be_trusted(tpm, roots);
    EVP_PKEY *root = maker_key, *own = EVP_EC_gen("P-256");
    int len = i2d_PUBKEY(own, &der);
    assert_true(len > 0);
    X509 *certificate = certify("Plant", kv_bytes(der, (size_t)len), NULL, 30);
    OPENSSL_free(der);
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    X509_EXTENSION *comment = X509V3_EXT_conf_nid(NULL, NULL, NID_netscape_comment, words);
    assert_int_equal(X509_add_ext(certificate, comment, -1), 1);
    X509_EXTENSION_free(comment);
    assert_true(X509_sign(certificate, root, EVP_sha256()) > 0);
    FILE *file = fopen(roots, "ae");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    maker_key = own;
    maker_name = "Plant";
    endorse(tpm, &models[0], &key, OF_TPM, 30);
    maker_key = root;
    maker_name = "Maker";
    struct kv_token *token = swtpm_open(tpm);
    assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_SOFTWARE);
    assert_non_null(strstr(kv_token_info(token)->custody_why, "too long"));
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    evidence_of(token, &key, &text);
    assert_int_equal(judge(kv_buf_bytes(&text), &subject, &key, NULL), KV_OK);
    kv_buf_clear(&text);
    kv_token_close(token);
    X509_free(certificate);
    EVP_PKEY_free(own);
    swtpm_free(tpm);
}

/* Who verifies a ledger asks for the time of the record. */
static void a_certificate_is_judged_at_the_time_that_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        int64_t ago; /* in hours; it was good from two days to one day ago */
        enum kv_code code;
    } rows[] = {{0, KV_E_LEDGER_EVIDENCE}, {36, KV_OK}, {72, KV_E_LEDGER_EVIDENCE}};
    struct swtpm *tpm = swtpm_new();
    KV_CLEANUP(kv_roots_freep) struct kv_roots *roots = NULL;
    char path[128], name[KV_ROOT_NAME_LEN];
    unsigned char *spki = NULL, *der = NULL;
    be_trusted(tpm, path);
    assert_int_equal(kv_roots_load(path, &roots, NULL), KV_OK);
    EVP_PKEY *own = EVP_EC_gen("P-256");
    int len = i2d_PUBKEY(own, &spki);
    assert_true(len > 0);
    X509 *certificate = certify("A TPM", kv_bytes(spki, (size_t)len), OF_TPM, -1);
    len = i2d_X509(certificate, &der);
    assert_true(len > 0);
    const struct kv_bytes chain[] = {kv_bytes(der, (size_t)len)};
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        int64_t at_ms = kv_time_now_ms() - rows[i].ago * 3600 * 1000;
        assert_int_equal(kv_roots_check(roots, chain, 1, at_ms, name, NULL, NULL), rows[i].code);
    }
    OPENSSL_free(spki);
    OPENSSL_free(der);
    X509_free(certificate);
    EVP_PKEY_free(own);
    swtpm_free(tpm);
}

static void a_roots_file_must_be_good(void **state)
{
    (void)state;
    static const char *const texts[] = {
        NULL, "", "no certificate\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"};
    struct swtpm *tpm = swtpm_ready();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/roots.pem", tpm->dir);
    tpm->profile.roots = path;
    for (size_t i = 0; i < KV_COUNT(texts); i++) {
        struct kv_err err = {.msg = ""};
        if (texts[i] != NULL) {
            FILE *file = fopen(path, "we");
            assert_non_null(file);
            (void)fputs(texts[i], file);
            assert_int_equal(fclose(file), 0);
        }
        assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_E_CONFIG);
        assert_non_null(strstr(err.msg, "tpm-roots"));
    }
    swtpm_free(tpm);
}

static void an_endorsement_hierarchy_with_a_password_gives_no_evidence(void **state)
{
    (void)state;
    char roots[128];
    struct swtpm *tpm = swtpm_ready();
    struct kv_token_key key;
    struct kv_buf text;
    endorsement_of(tpm, &models[0], &key);
    endorse(tpm, &models[0], &key, OF_TPM, 30);
    struct kv_token *token = swtpm_open(tpm);
    const TPM2B_AUTH theirs = {.size = 4, .buffer = "4711"};
    assert_int_equal(Esys_HierarchyChangeAuth(kv_tpm_token(token)->chip.esys,
                                              ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
                                              ESYS_TR_NONE, ESYS_TR_NONE, &theirs),
                     TSS2_RC_SUCCESS);
    kv_token_close(token);
    be_trusted(tpm, roots);
    token = swtpm_open(tpm);
    assert_int_equal(kv_token_info(token)->custody, KV_CUSTODY_SOFTWARE);
    assert_non_null(strstr(kv_token_info(token)->custody_why, "has a password"));
    assert_int_equal(kv_token_generate(token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    evidence_of(token, &key, &text);
    assert_int_equal(text.len, 0);
    kv_buf_clear(&text);
    kv_token_close(token);
    swtpm_free(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_certified_and_nothing_of_it_may_be_changed),
        cmocka_unit_test(evidence_is_good_for_one_key_and_one_credential),
        cmocka_unit_test(parts_of_two_are_no_whole),
        cmocka_unit_test(certifying_leaves_nothing_in_the_chip),
        cmocka_unit_test(a_chip_is_attested_by_its_maker),
        cmocka_unit_test(a_certificate_that_is_not_good_attests_nothing),
        cmocka_unit_test(without_a_certificate_or_a_maker_that_is_trusted_nothing_is_attested),
        cmocka_unit_test(a_riddle_is_opened_by_the_key_that_it_names),
        cmocka_unit_test(a_chip_that_guesses_the_answer_is_not_attested),
        cmocka_unit_test(issuers_that_the_chip_keeps_lead_to_the_root),
        cmocka_unit_test(a_chain_too_long_for_evidence_attests_nothing),
        cmocka_unit_test(a_certificate_is_judged_at_the_time_that_is_asked_for),
        cmocka_unit_test(a_roots_file_must_be_good),
        cmocka_unit_test(an_endorsement_hierarchy_with_a_password_gives_no_evidence),
    };
    maker_key = EVP_EC_gen("P-256");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(maker_key);
    return failed;
}
