/* The test of one noun. One file, though long: a row or two for each reply that KSeF has, and what
 * is wrong with it. */
#include "tests/unit/kv_test.h"

#include "core/parse.h"
#include "ksef/reply.h"

#include <stdio.h>
#include <stdlib.h>

/* Every free of the program passes here (ld --wrap): a block that is given back must not hold a
 * token. */
void __real_free(void *ptr);
void __wrap_free(void *ptr);

#include <malloc.h>

#define MARK "eyJhbGciOi-secret-part"
static size_t freed_with_token;

void __wrap_free(void *ptr)
{
    if (ptr != NULL && memmem(ptr, malloc_usable_size(ptr), MARK, sizeof MARK - 1) != NULL) {
        freed_with_token++;
    }
    __real_free(ptr);
}

#define REFERENCE "20250625-AU-2FDC223000-C2BFC98A9C-4E"

static enum kv_code read_challenge(const char *json, struct kv_ksef_challenge *out)
{
    return kv_ksef_read_challenge(kv_bytes_str(json), out, NULL);
}

static void a_challenge_is_read(void **state)
{
    (void)state;
    struct kv_ksef_challenge got;

    assert_int_equal(read_challenge("{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\","
                                    "\"timestamp\":\"2025-06-25T10:00:00.1234567+00:00\","
                                    "\"timestampMs\":1750845600123,\"clientIp\":\"192.0.2.7\","
                                    "\"new\":{\"a\":[1,2]}}",
                                    &got),
                     KV_OK);

    assert_string_equal(got.challenge, "20250625-CR-2FDC223000-C2BFC98A9C-4E");
    assert_int_equal(got.timestamp_ms, INT64_C(1750845600123));
    assert_string_equal(got.client_ip, "192.0.2.7");
}

static void bad_challenges_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "{",
        "[]",
        "\"20250625-CR-2FDC223000-C2BFC98A9C-4E\"",
        "{}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\"}",
        "{\"timestampMs\":1750845600123}",
        "{\"challenge\":1,\"timestampMs\":1}",
        "{\"challenge\":\"20250625-AU-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":1}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4e\",\"timestampMs\":1}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":-1}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":\"1\"}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":1.5}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":9007199254740992}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":1}x",
        /* twice, so that two readers could see two things */
        ("{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":1,"
         "\"timestampMs\":2}"),
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\\u0000\",\"timestampMs\":1}",
        "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\",\"timestampMs\":1,\"a\":\"\xc5\"}",
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_ksef_challenge got = {.timestamp_ms = 77};
        enum kv_code code = read_challenge(cases[i], &got);
        if (code != KV_E_KSEF_ANSWER || got.timestamp_ms != 77) {
            fail_msg("%s: %s", cases[i], kv_code_word(code));
        }
    }
}

static void an_address_that_is_none_is_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *ip, *want;
    } cases[] = {
        {"2001:db8::7", "2001:db8::7"},
        {"", ""},
        {"<script>", ""},
        {"1234567890123456789012345678901234567890123456", ""},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        char json[256];
        assert_true(snprintf(json, sizeof json,
                             "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\","
                             "\"timestampMs\":1,\"clientIp\":\"%s\"}",
                             cases[i].ip) > 0);
        struct kv_ksef_challenge got;
        assert_int_equal(read_challenge(json, &got), KV_OK);
        assert_string_equal(got.client_ip, cases[i].want);
    }
}

static void an_answer_over_the_limit_is_refused(void **state)
{
    (void)state;
    static char body[KV_KSEF_BODY_MAX + 1];
    static const char head[] = "{\"challenge\":\"20250625-CR-2FDC223000-C2BFC98A9C-4E\","
                               "\"timestampMs\":1}";
    memset(body, ' ', sizeof body);
    memcpy(body, head, sizeof head - 1);
    struct kv_ksef_challenge got;

    assert_int_equal(kv_ksef_read_challenge(kv_bytes(body, KV_KSEF_BODY_MAX), &got, NULL), KV_OK);
    assert_int_equal(kv_ksef_read_challenge(kv_bytes(body, sizeof body), &got, NULL),
                     KV_E_KSEF_ANSWER);
}

/* The readers of bodies with tokens behind one face. */
enum reader { LOGIN, TOKENS, REFRESH };

static enum kv_code read_tokens(enum reader reader, const char *json, char *token, size_t size)
{
    char body[1024] = "";
    size_t len = strlen(json);
    assert_true(len < sizeof body);
    memcpy(body, json, len);
    struct kv_ksef_login login = {.reference = ""};
    struct kv_ksef_tokens tokens = {.access = {NULL, 0}};
    struct kv_ksef_token *got = NULL;
    enum kv_code code = KV_E_INTERNAL;
    uint8_t *bytes = (uint8_t *)body;
    switch (reader) {
    case LOGIN:
        code = kv_ksef_read_login(bytes, len, &login, NULL);
        got = &login.authentication;
        break;
    case TOKENS:
        code = kv_ksef_read_tokens(bytes, len, &tokens, NULL);
        got = &tokens.refresh;
        break;
    case REFRESH:
        code = kv_ksef_read_refresh(bytes, len, &tokens.access, NULL);
        got = &tokens.access;
        break;
    }
    for (size_t i = 0; i < len; i++) { /* wiped, whatever came of it */
        assert_int_equal(body[i], 0);
    }
    assert_int_equal(got->token == NULL, code != KV_OK);
    token[0] = '\0';
    if (code == KV_OK) {
        assert_in_range(kv_secret_len(got->token), 1, size - 1);
        memcpy(token, kv_secret_data(got->token), kv_secret_len(got->token));
        token[kv_secret_len(got->token)] = '\0';
        assert_int_equal(got->valid_until_ms, INT64_C(1750848300000));
    }
    if (reader == LOGIN) {
        assert_string_equal(login.reference, code == KV_OK ? REFERENCE : "");
    }
    kv_ksef_login_clear(&login);
    kv_ksef_tokens_clear(&tokens);
    return code;
}

#define UNTIL "\"validUntil\":\"2025-06-25T12:45:00.0000000+02:00\""
#define INFO  "{\"token\":\"" MARK ".a_b-c.d\"," UNTIL "}"

static void tokens_go_into_secrets_and_nowhere_else(void **state)
{
    (void)state;
    static const struct {
        enum reader reader;
        const char *json;
    } cases[] = {
        {LOGIN, "{\"referenceNumber\":\"" REFERENCE "\",\"authenticationToken\":" INFO "}"},
        {TOKENS, "{\"accessToken\":{\"token\":\"x\"," UNTIL "},\"refreshToken\":" INFO "}"},
        {REFRESH, "{\"accessToken\":" INFO ",\"more\":null}"},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        char token[128];
        freed_with_token = 0;

        assert_int_equal(read_tokens(cases[i].reader, cases[i].json, token, sizeof token), KV_OK);

        assert_string_equal(token, MARK ".a_b-c.d");
        assert_int_equal(freed_with_token, 0);
    }
}

static void bad_tokens_are_refused_and_wiped(void **state)
{
    (void)state;
    static const struct {
        enum reader reader;
        const char *json;
    } cases[] = {
        {LOGIN, "{\"referenceNumber\":\"" REFERENCE "\"}"},
        {LOGIN, "{\"authenticationToken\":" INFO "}"},
        {LOGIN, "{\"referenceNumber\":\"../../x\",\"authenticationToken\":" INFO "}"},
        {LOGIN, "{\"referenceNumber\":\"" REFERENCE "\",\"authenticationToken\":\"" MARK "\"}"},
        {LOGIN, "{\"referenceNumber\":\"" REFERENCE "\",\"authenticationToken\":" INFO ""},
        {TOKENS, "{\"accessToken\":" INFO "}"},
        {TOKENS, "{\"refreshToken\":" INFO "}"},
        {TOKENS, "{\"accessToken\":" INFO ",\"refreshToken\":{\"token\":\"" MARK "\"}}"},
        {REFRESH, "{\"accessToken\":{\"token\":\"\"," UNTIL "}}"},
        {REFRESH, "{\"accessToken\":{\"token\":\"" MARK " x\"," UNTIL "}}"},
        {REFRESH, "{\"accessToken\":{\"token\":\"" MARK "\\r\\nX: y\"," UNTIL "}}"},
        {REFRESH, "{\"accessToken\":{\"token\":\"" MARK "ł\"," UNTIL "}}"},
        {REFRESH, "{\"accessToken\":{\"token\":\"" MARK "\",\"validUntil\":\"soon\"}}"},
        {REFRESH, "{\"accessToken\":" INFO ",\"accessToken\":" INFO "}"},
        {REFRESH, "{\"accessToken\":" INFO "} " MARK},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        char token[128];
        freed_with_token = 0;

        enum kv_code code = read_tokens(cases[i].reader, cases[i].json, token, sizeof token);

        if (code != KV_E_KSEF_ANSWER || freed_with_token != 0) {
            fail_msg("%s: %s, %zu", cases[i].json, kv_code_word(code), freed_with_token);
        }
    }
}

static void a_token_over_the_limit_is_refused(void **state)
{
    (void)state;
    for (size_t len = KV_KSEF_TOKEN_MAX; len <= KV_KSEF_TOKEN_MAX + 1; len++) {
        struct kv_buf body;
        kv_buf_init(&body, 2 * (size_t)KV_KSEF_TOKEN_MAX);
        kv_buf_add_str(&body, "{\"accessToken\":{\"token\":\"");
        for (size_t i = 0; i < len; i++) {
            kv_buf_add_u8(&body, 'a');
        }
        kv_buf_add_str(&body, "\"," UNTIL "}}");
        struct kv_ksef_token token = {NULL, 0};

        enum kv_code code = kv_ksef_read_refresh(body.data, body.len, &token, NULL);

        assert_int_equal(code, len > KV_KSEF_TOKEN_MAX ? KV_E_KSEF_ANSWER : KV_OK);
        kv_ksef_token_clear(&token);
        kv_buf_clear(&body);
    }
}

static void the_status_decides_by_its_number(void **state)
{
    (void)state;
    static const struct {
        int number;
        enum kv_code want;
    } cases[] = {
        {100, KV_E_KSEF_BUSY},     {200, KV_OK},
        {400, KV_E_KSEF_CERT},     {415, KV_E_KSEF_PERMISSION},
        {425, KV_E_KSEF_REVOKED},  {450, KV_E_KSEF_TOKEN},
        {460, KV_E_KSEF_CERT},     {470, KV_E_KSEF_IDENTITY},
        {480, KV_E_KSEF_BLOCKED},  {500, KV_E_KSEF_SERVER},
        {550, KV_E_KSEF_SERVER},   {0, KV_E_KSEF_REJECTED},
        {201, KV_E_KSEF_REJECTED}, {999999, KV_E_KSEF_REJECTED},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        char json[256];
        assert_true(snprintf(json, sizeof json,
                             "{\"startDate\":\"x\",\"status\":{\"code\":%d,\"description\":"
                             "\"Opis błędu\",\"details\":[\"pierwszy\",\"drugi\\u0007\",3]}}",
                             cases[i].number) > 0);
        struct kv_ksef_status status;
        struct kv_err err = {0};

        assert_int_equal(kv_ksef_read_status(kv_bytes_str(json), &status, NULL), KV_OK);

        assert_int_equal(status.code, cases[i].number);
        assert_string_equal(status.description, "Opis błędu");
        assert_string_equal(status.details, "pierwszy; drugi ");
        assert_int_equal(kv_ksef_status_code(&status, &err), cases[i].want);
        if (cases[i].want != KV_OK) {
            assert_non_null(strstr(err.msg, "Opis błędu (pierwszy; drugi )"));
        }
    }
}

static void a_status_without_a_number_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{}",
        "{\"status\":200}",
        "{\"status\":{\"code\":\"200\"}}",
        "{\"status\":{\"code\":-200}}",
        "{\"status\":{\"code\":2147483648}}",
        "{\"status\":{\"code\":200.0}}",
        "{\"code\":200}",
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct kv_ksef_status status;
        assert_int_equal(kv_ksef_read_status(kv_bytes_str(cases[i]), &status, NULL),
                         KV_E_KSEF_ANSWER);
    }
}

#define JSON    "application/json"
#define PROBLEM "application/problem+json; charset=utf-8"
#define LEGACY(code)                                                                               \
    "{\"exception\":{\"exceptionDetailList\":[{\"exceptionCode\":" code                            \
    ",\"exceptionDescription\":\"Opis.\",\"details\":[\"Szczegół.\"]}],\"serviceName\":\"U\"}}"
#define MODERN(code)                                                                               \
    "{\"title\":\"Bad Request\",\"status\":400,\"errors\":[{\"code\":" code                        \
    ",\"description\":\"Opis.\",\"details\":null}]}"
#define FORBIDDEN(reason)                                                                          \
    "{\"title\":\"Forbidden\",\"status\":403,\"detail\":\"Brak.\",\"reasonCode\":\"" reason        \
    "\",\"security\":{}}"

static const struct error_case {
    const char *name;
    int http;
    const char *type, *retry_after, *body;
    enum kv_code want;
    int ksef;
    uint32_t wait;
} error_cases[] = {
    {"challenge, old", 400, JSON, "", LEGACY("21111"), KV_E_KSEF_CHALLENGE, 21111, 0},
    {"challenge, new", 400, PROBLEM, "", MODERN("21111"), KV_E_KSEF_CHALLENGE, 21111, 0},
    {"document", 400, JSON, "", LEGACY("9101"), KV_E_KSEF_SIGNATURE, 9101, 0},
    {"signature", 400, PROBLEM, "", MODERN("9105"), KV_E_KSEF_SIGNATURE, 9105, 0},
    {"certificate", 400, PROBLEM, "", MODERN("21115"), KV_E_KSEF_SIGNATURE, 21115, 0},
    {"encoding", 400, PROBLEM, "", MODERN("21217"), KV_E_KSEF_SIGNATURE, 21217, 0},
    {"schema", 400, PROBLEM, "", MODERN("21401"), KV_E_KSEF_SIGNATURE, 21401, 0},
    {"input", 400, PROBLEM, "", MODERN("21405"), KV_E_KSEF_SIGNATURE, 21405, 0},
    {"subject", 400, PROBLEM, "", MODERN("21406"), KV_E_KSEF_SIGNATURE, 21406, 0},
    {"subject and context", 400, PROBLEM, "", MODERN("21117"), KV_E_KSEF_PERMISSION, 21117, 0},
    {"redeemed twice", 400, JSON, "", LEGACY("21301"), KV_E_KSEF_AUTH, 21301, 0},
    {"operation unknown", 400, JSON, "", LEGACY("21304"), KV_E_KSEF_AUTH, 21304, 0},
    {"deceased", 400, JSON, "", LEGACY("21308"), KV_E_KSEF_IDENTITY, 21308, 0},
    {"a code of tomorrow", 400, JSON, "", LEGACY("29999"), KV_E_KSEF_REJECTED, 29999, 0},
    {"not logged in", 401, PROBLEM, "", "{\"title\":\"Unauthorized\",\"status\":401}",
     KV_E_KSEF_AUTH, 0, 0},
    {"permission", 403, PROBLEM, "", FORBIDDEN("missing-permissions"), KV_E_KSEF_PERMISSION, 0, 0},
    {"a reason of tomorrow", 403, PROBLEM, "", FORBIDDEN("new"), KV_E_KSEF_PERMISSION, 0, 0},
    {"KSeF's firewall", 403, PROBLEM, "", FORBIDDEN("security-service-blocked"), KV_E_KSEF_REJECTED,
     0, 0},
    {"a firewall's text", 403, "text/html", "", "<html>Request blocked</html>", KV_E_KSEF_ANSWER, 0,
     0},
    {"a firewall's JSON", 403, JSON, "", "{\"clientIp\":\"1.2.3.4\",\"incidentId\":\"7\"}",
     KV_E_KSEF_ANSWER, 0, 0},
    {"too old", 410, PROBLEM, "", "{\"title\":\"Gone\",\"status\":410}", KV_E_KSEF_AUTH, 0, 0},
    {"content type", 415, "", "", "", KV_E_KSEF_ANSWER, 0, 0},
    {"rate, old", 429, JSON, "30",
     "{\"status\":{\"code\":429,\"description\":\"Too Many Requests\",\"details\":[\"x\"]}}",
     KV_E_KSEF_RATE, 0, 30},
    {"rate, new", 429, PROBLEM, "2500", "{\"title\":\"Too Many\",\"status\":429}", KV_E_KSEF_RATE,
     0, 2500},
    {"rate without a time", 429, PROBLEM, "", "", KV_E_KSEF_RATE, 0, 60},
    {"rate with a date", 429, PROBLEM, "Wed, 21 Oct 2015 07:28:00 GMT", "", KV_E_KSEF_RATE, 0, 60},
    {"rate with a huge time", 429, PROBLEM, "99999999999999999999", "", KV_E_KSEF_RATE, 0, 86400},
    {"rate of a gateway", 429, "text/plain", "7", "slow down", KV_E_KSEF_RATE, 0, 7},
    {"server", 500, "text/html", "", "<h1>oops", KV_E_KSEF_SERVER, 0, 0},
    {"gateway", 502, "", "", "", KV_E_KSEF_SERVER, 0, 0},
    {"unavailable", 503, PROBLEM, "120", "{\"title\":\"Unavailable\",\"status\":503}",
     KV_E_KSEF_SERVER, 0, 120},
    {"redirect", 302, "text/html", "", "", KV_E_KSEF_ANSWER, 0, 0},
    {"success of another kind", 204, "", "", "", KV_E_KSEF_ANSWER, 0, 0},
    {"success that looks like an error", 200, JSON, "", LEGACY("21111"), KV_E_KSEF_ANSWER, 21111,
     0},
    {"KSeF's JSON of another type", 400, "text/plain", "", LEGACY("21111"), KV_E_KSEF_ANSWER, 0, 0},
    {"a type that begins alike", 400, "application/jsonp", "", LEGACY("21111"), KV_E_KSEF_ANSWER, 0,
     0},
    {"type in capitals", 400, "Application/JSON;charset=utf-8", "", LEGACY("21111"),
     KV_E_KSEF_CHALLENGE, 21111, 0},
    {"empty list", 400, JSON, "", "{\"exception\":{\"exceptionDetailList\":[]}}", KV_E_KSEF_ANSWER,
     0, 0},
    {"broken JSON", 400, JSON, "", "{\"exception\":", KV_E_KSEF_ANSWER, 0, 0},
};

static void errors_of_all_shapes_get_their_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(error_cases); i++) {
        const struct error_case *c = &error_cases[i];
        struct kv_ksef_reply reply = {c->http, kv_bytes_str(c->type), kv_bytes_str(c->retry_after),
                                      kv_bytes_str(c->body)};
        struct kv_ksef_error error;
        struct kv_err err = {0};

        enum kv_code code = kv_ksef_read_error(&reply, &error, &err);

        if (code != c->want || err.code != c->want || error.ksef != c->ksef ||
            error.retry_after_s != c->wait || error.http != c->http) {
            fail_msg("%s: %s, %d, %u: %s", c->name, kv_code_word(code), error.ksef,
                     error.retry_after_s, err.msg);
        }
    }
}

static void an_errors_text_is_kept_for_people(void **state)
{
    (void)state;
    struct kv_ksef_reply reply = {
        .http = 400, .content_type = kv_bytes_str(JSON), .body = kv_bytes_str(LEGACY("9105"))};
    struct kv_ksef_error error;
    struct kv_err err;

    assert_int_equal(kv_ksef_read_error(&reply, &error, &err), KV_E_KSEF_SIGNATURE);
    assert_string_equal(error.description, "Opis.");
    assert_string_equal(error.details, "Szczegół.");
    assert_string_equal(err.msg, "KSeF 9105: Opis. (Szczegół.)");

    reply.http = 403;
    reply.body = kv_bytes_str(FORBIDDEN("ip-not-allowed"));
    assert_int_equal(kv_ksef_read_error(&reply, &error, &err), KV_E_KSEF_PERMISSION);
    assert_string_equal(error.reason, "ip-not-allowed");
    assert_string_equal(err.msg, "KSeF, HTTP 403: Brak. (ip-not-allowed)");
}

static void text_is_cleaned_and_cut_at_a_character(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t size;
        const char *want;
    } cases[] = {
        {"zażółć", 32, "zażółć"},
        {"zażółć", 7, "zażó"}, /* ł would need two bytes, and only one is left with the NUL */
        {"zażółć", 1, ""},
        {"a\nb\x7f"
         "c",
         32, "a b c"},
        {"a\xe2\x80\xae"
         "b",
         32, "a b"},
        {"a\xff\xc5"
         "b",
         32, "a  b"},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        char out[32];
        memset(out, 'x', sizeof out);
        kv_ksef_text(kv_bytes_str(cases[i].in), out, cases[i].size);
        assert_string_equal(out, cases[i].want);
    }
}

static void a_long_error_still_is_valid_utf8(void **state)
{
    (void)state;
    struct kv_buf body;
    kv_buf_init(&body, 8192);
    kv_buf_add_str(&body, "{\"errors\":[{\"code\":9105,\"description\":\"x");
    for (int i = 0; i < 500; i++) {
        kv_buf_add_str(&body, "ł");
    }
    kv_buf_add_str(&body, "\",\"details\":[\"y\"]}]}");
    struct kv_ksef_reply reply = {
        .http = 400, .content_type = kv_bytes_str(PROBLEM), .body = kv_buf_bytes(&body)};
    struct kv_ksef_error error;
    struct kv_err err;

    assert_int_equal(kv_ksef_read_error(&reply, &error, &err), KV_E_KSEF_SIGNATURE);

    assert_true(kv_utf8_valid(kv_bytes_str(error.description)));
    assert_true(kv_utf8_valid(kv_bytes_str(err.msg)));
    kv_buf_clear(&body);
}

static void warnings_are_found_by_their_code(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool want;
    } cases[] = {
        {"[sig-001]: Format podpisu", true},
        {"[abc-002]: x | [sig-001]: y", true},
        {"[sig-0011]: x", false},
        {"sig-001", false},
        {"[sig-001", false},
        {"", false},
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        assert_int_equal(kv_ksef_warning_has(kv_bytes_str(cases[i].header), "sig-001"),
                         cases[i].want);
    }
}

static int prepare(void **state)
{
    (void)state;
    kv_ksef_json_init();
    return kv_secret_heap_init(NULL) == KV_OK ? 0 : -1;
}

static void a_list_tells_whether_a_session_is_open(void **state)
{
    (void)state;
#define REF   "20250625-AU-2FDC223000-C2BFC98A9C-4E"
#define OTHER "20250625-AU-2FDC223000-C2BFC98A9C-4F"
    static const struct {
        const char *body;
        enum kv_code want;
        bool listed, whole;
    } rows[] = {
        {"{\"items\":[]}", KV_OK, false, true},
        {"{\"continuationToken\":null,\"items\":[{\"referenceNumber\":\"" REF "\"}]}", KV_OK, true,
         true},
        {"{\"items\":[{\"referenceNumber\":\"" OTHER "\",\"isCurrent\":true}]}", KV_OK, false,
         true},
        {"{\"continuationToken\":\"W10=\",\"items\":[{\"referenceNumber\":\"" OTHER "\"}]}", KV_OK,
         false, false},
        {"{}", KV_E_KSEF_ANSWER, false, false},
        {"{\"items\":{}}", KV_E_KSEF_ANSWER, false, false},
        {"{\"items\":[{}]}", KV_E_KSEF_ANSWER, false, false},
        {"{\"items\":[\"" REF "\"]}", KV_E_KSEF_ANSWER, false, false},
        {"{\"items\":[{\"referenceNumber\":\"x\"}]}", KV_E_KSEF_ANSWER, false, false},
        {"<html>", KV_E_KSEF_ANSWER, false, false},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        bool listed = !rows[i].listed, whole = !rows[i].whole;
        assert_int_equal(
            kv_ksef_read_sessions(kv_bytes_str(rows[i].body), REF, &listed, &whole, NULL),
            rows[i].want);
        if (rows[i].want == KV_OK) {
            assert_int_equal(listed, rows[i].listed);
            assert_int_equal(whole, rows[i].whole);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_tells_whether_a_session_is_open),
        cmocka_unit_test(a_challenge_is_read),
        cmocka_unit_test(bad_challenges_are_refused),
        cmocka_unit_test(an_address_that_is_none_is_left_out),
        cmocka_unit_test(an_answer_over_the_limit_is_refused),
        cmocka_unit_test(tokens_go_into_secrets_and_nowhere_else),
        cmocka_unit_test(bad_tokens_are_refused_and_wiped),
        cmocka_unit_test(a_token_over_the_limit_is_refused),
        cmocka_unit_test(the_status_decides_by_its_number),
        cmocka_unit_test(a_status_without_a_number_is_refused),
        cmocka_unit_test(errors_of_all_shapes_get_their_code),
        cmocka_unit_test(an_errors_text_is_kept_for_people),
        cmocka_unit_test(text_is_cleaned_and_cut_at_a_character),
        cmocka_unit_test(a_long_error_still_is_valid_utf8),
        cmocka_unit_test(warnings_are_found_by_their_code),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
