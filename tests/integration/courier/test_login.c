/* The whole login against the stand-in, and each of its refusals. */
#include "tests/integration/courier/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char context[] = "Nip:5265877635";

static struct world *world_of(void **state)
{
    struct world *world = *state;
    world_control(world, "/clear", "{}");
    return world;
}

static void a_session_is_opened_used_refreshed_and_ended(void **state)
{
    struct world *world = world_of(state);
    struct software_key keys[] = {software_key_ec("P-256"), software_key_rsa(2048)};
    for (size_t i = 0; i < KV_COUNT(keys); i++) {
        struct login login;
        login_init(&login, keys[i]);
        world_control(world, "/polls", "{\"n\":3}");

        assert_int_equal(login_challenge(world, &login), KV_OK);
        assert_string_equal(login.challenge.client_ip, "127.0.0.1");
        login_sign(&login, context);
        assert_int_equal(login_submit(world, &login), KV_OK);
        assert_int_equal(login_redeem(world, &login), KV_E_KSEF_AUTH); /* too early: 21301 */
        assert_int_equal(login.error.ksef, 21301);
        assert_int_equal(login_wait(world, &login), KV_OK);
        assert_int_equal(login_redeem(world, &login), KV_OK);
        assert_int_equal(login_use(world, &login), KV_OK);
        assert_int_equal(login_refresh(world, &login), KV_OK);
        assert_int_equal(login_use(world, &login), KV_OK);
        assert_int_equal(login_redeem(world, &login), KV_E_KSEF_AUTH); /* once only */
        assert_int_equal(login_end(world, &login), KV_OK);
        assert_int_equal(login_refresh(world, &login), KV_E_KSEF_AUTH);
        assert_int_equal(login.error.ksef, 21301);

        login_clear(&login);
    }
}

/* What the stand-in received is what was signed: nothing touched it on the way. */
static void the_document_arrives_byte_for_byte(void **state)
{
    struct world *world = world_of(state);
    struct login login;
    login_init(&login, software_key_ec("P-256"));
    assert_int_equal(login_all(world, &login, context), KV_OK);

    struct kv_buf received = world_wait_file(world, "received/latest.xml");

    assert_true(kv_bytes_equal(kv_buf_bytes(&received), kv_buf_bytes(&login.document)));
    kv_buf_clear(&received);
    login_clear(&login);
}

/* A second opinion on canonical form, digests and signature, with the library's own program. */
static void xmlsec1_verifies_the_document_until_it_is_changed(void **state)
{
    struct world *world = world_of(state);
    if (access("/usr/bin/xmlsec1", X_OK) != 0) {
        print_message("skipped: xmlsec1 is not installed\n");
        skip();
    }
    struct software_key keys[] = {software_key_ec("P-256"), software_key_rsa(2048)};
    for (size_t i = 0; i < KV_COUNT(keys); i++) {
        struct login login;
        login_init(&login, keys[i]);
        assert_int_equal(login_challenge(world, &login), KV_OK);
        login_sign(&login, context);
        world_write_file(world, "document.xml", kv_buf_bytes(&login.document));
        world_write_file(world, "key.der", kv_buf_bytes(&login.certificate));
        char document[128], key[128];
        world_path(world, "document.xml", document, sizeof document);
        world_path(world, "key.der", key, sizeof key);
        const char *const argv[] = {"xmlsec1",
                                    "--verify",
                                    "--id-attr:Id",
                                    "http://uri.etsi.org/01903/v1.3.2#:SignedProperties",
                                    "--pubkey-cert-der",
                                    key,
                                    document,
                                    NULL};

        assert_int_equal(world_run(world, "xmlsec1", argv), 0);

        uint8_t *nip = memmem(login.document.data, login.document.len, "5265877635", 10);
        assert_non_null(nip);
        nip[9] = '6';
        world_write_file(world, "document.xml", kv_buf_bytes(&login.document));
        assert_int_not_equal(world_run(world, "xmlsec1", argv), 0);
        login_clear(&login);
    }
}

static void a_challenge_serves_once(void **state)
{
    struct world *world = world_of(state);
    struct login login;
    login_init(&login, software_key_ec("P-256"));
    assert_int_equal(login_all(world, &login, context), KV_OK);

    assert_int_equal(login_submit(world, &login), KV_E_KSEF_CHALLENGE);
    assert_int_equal(login.error.ksef, 21111);

    assert_int_equal(login_challenge(world, &login), KV_OK);
    login_sign(&login, context);
    world_control(world, "/clock", "{\"offset_seconds\":601}"); /* and ten minutes */
    assert_int_equal(login_submit(world, &login), KV_E_KSEF_CHALLENGE);
    login_clear(&login);
}

static void a_changed_document_is_refused_as_a_signature(void **state)
{
    struct world *world = world_of(state);
    struct login login;
    login_init(&login, software_key_ec("P-256"));
    assert_int_equal(login_challenge(world, &login), KV_OK);
    login_sign(&login, context);
    uint8_t *digest = memmem(login.document.data, login.document.len, "DigestValue>", 12);
    assert_non_null(digest);
    digest[12] = digest[12] == 'A' ? 'B' : 'A';

    assert_int_equal(login_submit(world, &login), KV_E_KSEF_SIGNATURE);

    assert_int_equal(login.error.ksef, 9105);
    login_clear(&login);
}

static void a_context_without_permission_is_refused(void **state)
{
    struct world *world = world_of(state);
    struct login login;
    login_init(&login, software_key_ec("P-256"));

    assert_int_equal(login_all(world, &login, "Nip:1111111111"), KV_E_KSEF_PERMISSION);

    world_control(world, "/grant",
                  "{\"subject\":{\"type\":\"Nip\",\"value\":\"5265877635\"},"
                  "\"context\":{\"type\":\"Nip\",\"value\":\"1111111111\"}}");
    assert_int_equal(login_all(world, &login, "Nip:1111111111"), KV_OK);
    login_clear(&login);
}

static void each_outcome_of_the_status_has_its_code(void **state)
{
    struct world *world = world_of(state);
    static const struct {
        int status;
        enum kv_code want;
    } cases[] = {
        {400, KV_E_KSEF_CERT},    {415, KV_E_KSEF_PERMISSION}, {425, KV_E_KSEF_REVOKED},
        {450, KV_E_KSEF_TOKEN},   {460, KV_E_KSEF_CERT},       {470, KV_E_KSEF_IDENTITY},
        {480, KV_E_KSEF_BLOCKED}, {500, KV_E_KSEF_SERVER},     {550, KV_E_KSEF_SERVER},
    };
    struct login login;
    login_init(&login, software_key_ec("P-256"));
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        char json[96];
        int n =
            snprintf(json, sizeof json, "{\"code\":%d,\"details\":[\"Powód\"]}", cases[i].status);
        assert_in_range(n, 1, sizeof json - 1);
        world_control(world, "/status", json);

        assert_int_equal(login_all(world, &login, context), cases[i].want);

        assert_non_null(strstr(login.err.msg, "(Powód)"));
    }
    login_clear(&login);
}

static void an_expired_certificate_is_refused_by_ksef(void **state)
{
    struct world *world = world_of(state);
    struct login login;
    login_init(&login, software_key_ec("P-256"));
    world_control(world, "/clock", "{\"offset_seconds\":172800}"); /* two days on */

    assert_int_equal(login_all(world, &login, context), KV_E_KSEF_CERT);

    login_clear(&login);
}

static void an_expired_access_token_is_refused(void **state)
{
    struct world *world = world_of(state);
    struct login login;
    login_init(&login, software_key_ec("P-256"));
    assert_int_equal(login_all(world, &login, context), KV_OK);
    world_control(world, "/clock", "{\"offset_seconds\":901}");

    assert_int_equal(login_use(world, &login), KV_E_KSEF_AUTH);

    assert_int_equal(login.error.http, 401);
    assert_int_equal(login_refresh(world, &login), KV_OK);
    assert_int_equal(login_use(world, &login), KV_OK);
    login_clear(&login);
}

static void each_fault_of_ksef_or_its_gateway_has_its_code(void **state)
{
    struct world *world = world_of(state);
    static const struct {
        const char *fault; /* without the endpoint */
        enum kv_code want;
        uint32_t wait;
    } cases[] = {
        {"\"kind\":\"too-many-requests\",\"retry_after\":77", KV_E_KSEF_RATE, 77},
        {"\"kind\":\"bad-request\",\"code\":21111", KV_E_KSEF_CHALLENGE, 0},
        {"\"kind\":\"bad-request\",\"code\":21301", KV_E_KSEF_AUTH, 0},
        {"\"kind\":\"unauthorized\"", KV_E_KSEF_AUTH, 0},
        {"\"kind\":\"forbidden\"", KV_E_KSEF_PERMISSION, 0},
        {"\"kind\":\"forbidden\",\"reason\":\"security-service-blocked\"", KV_E_KSEF_REJECTED, 0},
        {"\"kind\":\"firewall\"", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"gone\"", KV_E_KSEF_AUTH, 0},
        {"\"kind\":\"bad-gateway\"", KV_E_KSEF_SERVER, 0},
        {"\"kind\":\"server-error\"", KV_E_KSEF_SERVER, 0},
        {"\"kind\":\"oversized\"", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"endless\"", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"hang-up\",\"times\":9", KV_E_KSEF_UNREACHABLE, 0},
        {"\"kind\":\"drop\"", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"broken-json\"", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"literal\",\"body\":\"\"", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"literal\",\"body\":\"[1]\"", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"literal\",\"status\":302", KV_E_KSEF_ANSWER, 0},
        {"\"kind\":\"literal\",\"status\":429,\"content_type\":\"text/plain\"", KV_E_KSEF_RATE, 60},
        {"\"kind\":\"slow\",\"delay\":0.2", KV_OK, 0},
        {"\"kind\":\"trickle\",\"delay\":0.0001", KV_OK, 0},
        {"\"kind\":\"warning\"", KV_OK, 0},
    };
    static const struct {
        const char *endpoint;
        enum kv_code (*step)(struct world *, struct login *);
    } steps[] = {
        {"challenge", login_challenge}, {"xades", login_submit},      {"status", login_wait},
        {"redeem", login_redeem},       {"auth-sessions", login_use},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        for (size_t s = 0; s < KV_COUNT(steps); s++) {
            struct login login;
            login_init(&login, software_key_ec("P-256"));
            char json[160];
            int n = snprintf(json, sizeof json, "{\"endpoint\":\"%s\",%s}", steps[s].endpoint,
                             cases[i].fault);
            assert_in_range(n, 1, sizeof json - 1);
            for (size_t before = 0; before < s; before++) {
                assert_int_equal(steps[before].step(world, &login), KV_OK);
                if (before == 0) {
                    login_sign(&login, context);
                }
            }
            world_control(world, "/fault", json);

            enum kv_code code = steps[s].step(world, &login);

            /* the list of sessions is only searched: half of it may do */
            bool unread = code == KV_OK && steps[s].step == login_use;
            if ((code != cases[i].want && !unread) || login.error.retry_after_s != cases[i].wait) {
                fail_msg("%s: %s, wait %u: %s", json, kv_code_word(code), login.error.retry_after_s,
                         login.err.msg);
            }
            world_control(world, "/clear", "{}");
            login_clear(&login);
        }
    }
}

static struct world world; /* for cmocka's main, which has no other place */

static int share(void **state)
{
    *state = &world;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_opened_used_refreshed_and_ended),
        cmocka_unit_test(the_document_arrives_byte_for_byte),
        cmocka_unit_test(xmlsec1_verifies_the_document_until_it_is_changed),
        cmocka_unit_test(a_challenge_serves_once),
        cmocka_unit_test(a_changed_document_is_refused_as_a_signature),
        cmocka_unit_test(a_context_without_permission_is_refused),
        cmocka_unit_test(each_outcome_of_the_status_has_its_code),
        cmocka_unit_test(an_expired_certificate_is_refused_by_ksef),
        cmocka_unit_test(an_expired_access_token_is_refused),
        cmocka_unit_test(each_fault_of_ksef_or_its_gateway_has_its_code),
    };
    kv_ksef_json_init();
    if (kv_secret_heap_init(NULL) != KV_OK) {
        return 1;
    }
    if (!world_open(&world)) {
        world_close(&world);
        return 77; /* CTest: skipped */
    }
    int failed = cmocka_run_group_tests(tests, share, NULL);
    world_close(&world);
    return failed;
}
