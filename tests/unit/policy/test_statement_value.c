/* Values of single lines, put into good texts: what each key takes and what it refuses. */
#include "tests/unit/kv_test.h"

#include "core/buf.h"
#include "policy/statement.h"
#include "tests/unit/policy/vector.h"

#define H64        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define A64        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 64 */
#define A62        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A50        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define U50        "żżżżżżżżżżżżżżżżżżżżżżżżż" /* 25 characters, 50 bytes */
#define EMPTY_ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define FIN_01     "ssh:SHA256:fulVT3THb3iK4l2yWKEod8oXsAntymuTZezYSr5lLGg"
#define PUB_01     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILftompKDSi2cDw+NJULjehUAavD+Gch+j4yvNbGfvNU"
#define VKEY                                                                                       \
    "AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHFwE0Ra5YQsFg6wgjF08q8mSgT034rlfzxRbxi/T0eQqtu6XV7F+N7e" \
    "+i413GP6DNka9PKR+LhFQwz+ScI+YxU="

/* Replace the value of `key` in `text` and parse. */
static enum kv_code parse_with(struct kv_bytes text, const char *key, const char *value,
                               unsigned *key_line, unsigned *line, struct kv_err *err)
{
    char prefix[64];
    int skip = snprintf(prefix, sizeof prefix, "\n%s: ", key);
    assert_true(skip > 0 && (size_t)skip < sizeof prefix);
    const uint8_t *at = memmem(text.ptr, text.len, prefix, (size_t)skip);
    if (at == NULL) {
        fail_msg("no line %s", key);
    }
    size_t begin = (size_t)(at - text.ptr) + (size_t)skip;
    const uint8_t *lf = memchr(text.ptr + begin, '\n', text.len - begin);
    assert_non_null(lf);
    *key_line = 2;
    for (const uint8_t *p = text.ptr; p < at; p++) {
        *key_line += *p == '\n';
    }
    struct kv_buf buf;
    kv_buf_init(&buf, 65536);
    kv_buf_add(&buf, text.ptr, begin);
    kv_buf_add_str(&buf, value);
    kv_buf_add(&buf, lf, text.len - (size_t)(lf - text.ptr));
    KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
    enum kv_code code = kv_statement_parse(kv_buf_bytes(&buf), &st, line, err);
    kv_buf_clear(&buf);
    return code;
}

struct row {
    const char *key;
    const char *value;
};

static void check_rows(const char *name, const struct row *rows, size_t count, enum kv_code want)
{
    struct kv_bytes text = vector_read(name);
    for (size_t i = 0; i < count; i++) {
        unsigned line = 0, key_line = 0;
        struct kv_err err = {.msg = ""};
        enum kv_code code = parse_with(text, rows[i].key, rows[i].value, &key_line, &line, &err);
        if (code != want || (want != KV_OK && line != key_line)) {
            fail_msg("%s: '%s: %s' gave %s at line %u (%s)", name, rows[i].key, rows[i].value,
                     kv_code_word(code), line, err.msg);
        }
    }
    vector_free(text);
}

#define GOOD(name, ...)                                                                            \
    do {                                                                                           \
        static const struct row rows[] = {__VA_ARGS__};                                            \
        check_rows(name, rows, KV_COUNT(rows), KV_OK);                                             \
    } while (0)
#define BAD(name, ...)                                                                             \
    do {                                                                                           \
        static const struct row rows[] = {__VA_ARGS__};                                            \
        check_rows(name, rows, KV_COUNT(rows), KV_E_STMT_VALUE);                                   \
    } while (0)

/* clang-format off */
static void values_of_a_grant(void **state)
{
    (void)state;
    GOOD("good/grant/request.txt",
         {"request", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}, {"credential", "a"}, {"credential", "0"},
         {"credential", "a" A62}, {"context", "NipVatUe:5265877635-DE123456789"},
         {"context", "PeppolId:PPL123456"}, {"context", "InternalId:5265877635-12345"},
         {"operations", "auth.token"},
         {"operations", "auth.token,auth.xades,csr.sign,qr.kod2,relay.read,relay.send,"
                        "session.open,sign.raw"},
         {"max-uses", "1"}, {"max-uses", "9007199254740991"}, {"rate", "-"}, {"rate", "1/s"},
         {"rate", "1/min"}, {"rate", "9007199254740991/day"},
         {"not-before", "2026-02-06T08:00:00Z"}, {"not-after", "2026-01-07T08:00:01Z"},
         {"not-after", "9999-12-31T23:59:59Z"});
    BAD("good/grant/request.txt",
        {"vault", "ksef-vault.example.com"}, {"vault", "Ksef/nip"}, {"vault", "a/b/c"},
        {"policy", A64 "a"}, {"policy", "-"}, {"policy", "A123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        {"request", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"}, {"request", "01KEBQGH006J9ATSEGBABKZVW"},
        {"request", "01KEBQGH006J9ATSEGBABKZVWU"}, {"request", "01kebqgh006j9atsegbabkzvwc"},
        {"requester", "-"}, {"requester", "Fin-02"}, {"requester", "integration:"},
        {"requester", "integration:a b"},
        {"requester-key", "-"}, {"requester-key", "SHA256:" A62}, {"requester-key", FIN_01 "="},
        {"action", "Grant"}, {"action", "-"}, {"credential", "a" A62 "a"}, {"credential", "-"},
        {"credential", ".a"}, {"credential", "a/b"}, {"credential", "a b"}, {"integration", "-"},
        {"context", "Nip:5265877636"}, {"context", "nip:5265877635"}, {"context", "5265877635"},
        {"context", "Nip:5265877635,PeppolId:PPL123456"}, {"operations", "-"},
        {"operations", "auth.xades,auth.token"}, {"operations", "auth.xades,auth.xades"},
        {"operations", "auth.xades,"}, {"operations", "auth.xades, session.open"},
        {"operations", "auth"}, {"class", "emergency"}, {"class", "-"},
        {"max-uses", "9007199254740992"}, {"max-uses", "01"}, {"max-uses", "+1"},
        {"max-uses", "1.0"}, {"rate", "120"}, {"rate", "120/hour"}, {"rate", "/h"},
        {"rate", "01/h"}, {"reason-commitment", "-"}, {"reason-commitment", A64},
        {"not-before", "2026-01-07T07:59:59Z"}, {"not-before", "2026-02-06T08:00:01Z"},
        {"not-before", "2026-01-07T08:00:00.000Z"}, {"not-before", "2026-01-07T08:00:00+00:00"},
        {"not-after", "2026-01-07T08:00:00Z"}, {"not-after", "2026-02-30T08:00:00Z"},
        {"nonce", A50}, {"nonce", "queJakXCkX9Wj7QfjIliBnavfDR8aPJc-0Duu3aJ5v9"},
        {"nonce", "queJakXCkX9Wj7QfjIliBnavfDR8aPJc+0Duu3aJ5v8"});
}

static void values_of_a_decision(void **state)
{
    (void)state;
    GOOD("good/grant/finance-fin-01.txt",
         {"decision", "deny"}, {"role", "custodian"}, {"log-checkpoint", "0 " EMPTY_ROOT},
         {"log-checkpoint", "9007199254740991 " EMPTY_ROOT});
    BAD("good/grant/finance-fin-01.txt",
        {"request-sha256", "-"}, {"request-sha256", "1CE0" }, {"decision", "approved"},
        {"decision", "-"}, {"role", "auditor"}, {"role", "-"}, {"approver", "-"},
        {"approver", "integration:sap"}, {"approver-key", "-"},
        {"approver-key", "fido2:SHA256:JG0uoFwyTd397h1UrdHPsZK0/xGxVBC6ZYB/dyvf/ds"},
        {"log-checkpoint", "-"}, {"log-checkpoint", "5"}, {"log-checkpoint", "05 " EMPTY_ROOT},
        {"log-checkpoint", "5  " EMPTY_ROOT}, {"log-checkpoint", "9007199254740992 " EMPTY_ROOT},
        {"log-checkpoint", "0 683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwTQ="},
        {"issued", "2026-01-07T24:00:00Z"});
}

static void values_of_people(void **state)
{
    (void)state;
    GOOD("good/person.enrol/request.txt",
         {"duty", "custodian"}, {"duty", "auditor"}, {"duty", "-"}, {"duty", "external-auditor"},
         {"organisation", "kancelaria-1"}, {"contract-end", "2027-01-01T00:00:00Z"},
         {"business-duties", "payments"}, {"business-duties", "bank-accounts,payments"},
         {"uid", "0"}, {"name-commitment", "-"}, {"key-not-after", "-"});
    BAD("good/person.enrol/request.txt",
        {"duty", "Finance"}, {"duty", "finance,custodian"}, {"organisation", "-"},
        {"contract-end", "2027-01-01"}, {"business-duties", "payments,bank-accounts"},
        {"business-duties", "payments,payments"}, {"business-duties", ",payments"},
        {"uid", "x"}, {"uid", "00"}, {"key", "-"}, {"key", FIN_01},
        {"key-not-after", "never"}, {"not-before", "2026-01-05T12:00:01Z"},
        {"not-before", "2026-01-05T11:59:59Z"});
    GOOD("good/person.change/request.txt", {"duty-from", "-"}, {"duty-to", "finance"});
    BAD("good/person.change/request.txt", {"duty-to", "none"}, {"person", "-"});
    GOOD("good/key.enrol/request.txt", {"replaces-key", "-"}, {"key-not-after", "-"});
    BAD("good/key.enrol/request.txt", {"replaces-key", "none"}, {"key", "-"}, {"key", FIN_01},
        {"public-key", "-"}, {"public-key", "ssh-ed25519"}, {"public-key", PUB_01 " comment"},
        {"public-key", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAILftompKDSi2cDw+NJULjehUAavD+Gch"});
}

static void values_of_credentials_and_integrations(void **state)
{
    (void)state;
    GOOD("good/credential.create/request.txt",
         {"kind", "offline-certificate"}, {"key-type", "rsa-2048"}, {"environment", "test"},
         {"environment", "demo"}, {"contexts", "Nip:5265877635,PeppolId:PPL123456"});
    BAD("good/credential.create/request.txt",
        {"kind", "certificate"}, {"kind", "token"}, {"key-type", "-"}, {"key-type", "rsa-4096"},
        {"slot", "-"}, {"environment", "production"}, {"contexts", "-"},
        {"contexts", "PeppolId:PPL123456,Nip:5265877635"},
        {"contexts", "Nip:5265877635,Nip:5265877635"}, {"contexts", "Nip:5265877635,"},
        {"business-owner", "-"}, {"technical-custodian", "integration:a"});
    GOOD("good/credential.import/request.txt",
         {"ksef-ref", "-"}, {"public-key-sha256", H64});
    BAD("good/credential.import/request.txt",
        {"key-type", "ec-p256"}, {"ksef-ref", "20251010-EC-1DCE3E3000-12ECB5B36E-4"},
        {"ksef-ref", "20251010-EC-1DCE3E3000-12ECB5B36E-455"},
        {"ksef-ref", "20251010-ec-1DCE3E3000-12ECB5B36E-45"},
        {"ksef-ref", "20251010-EC-1DCE3E300G-12ECB5B36E-45"}, {"public-key-sha256", "none"});
    GOOD("good/integration.register/request.txt",
         {"purpose", "-"}, {"purpose", "Wysyła faktury — źródło ŻÓŁĆ"},
         {"purpose", A50 A50 A50 A50}, {"purpose", U50 U50 U50 U50}, {"gid", "0"},
         {"unit", "-"}, {"unit", "user@1000.service"}, {"unit", "a-b:c_d\\x2de.scope"},
         {"exe", "-"}, {"exe", "/a"}, {"exe", "/opt/with space/x..y"},
         {"exe", "/" A50 A50 A50 A50 A50 "aaaa"}, {"exe-sha256", H64});
    BAD("good/integration.register/request.txt",
        {"purpose", A50 A50 A50 A50 "a"}, {"purpose", U50 U50 U50 U50 "a"}, {"uid", "-"},
        {"unit", "sap-ksef"}, {"unit", ".service"}, {"unit", "a/b.service"}, {"unit", "a.timer"},
        {"exe", "opt/x"}, {"exe", "/"}, {"exe", "/opt/"}, {"exe", "/opt//x"}, {"exe", "/opt/./x"},
        {"exe", "/opt/../x"}, {"exe", "/.."}, {"exe", "/ż"},
        {"exe", "/" A50 A50 A50 A50 A50 "aaaaa"}, {"exe-sha256", "x"});
    BAD("good/integration.change/request.txt", {"replaces-request", "-"}, {"uid", "-"});
}

static void values_of_founding_and_policy(void **state)
{
    (void)state;
    BAD("good/found/request.txt",
        {"requester", "fin-01"}, {"requester", "integration:sap"}, {"requester-key", FIN_01},
        {"test", "yes"}, {"test", "maybe"}, {"persons", "04"}, {"persons", "-"},
        {"persons", "16385"}, {"sentences", "0"}, {"sentences", "x"}, {"lang", "de"},
        {"policy-sha256", H64},
        {"person-1", "fin-01 auditor " FIN_01}, {"person-1", "fin-01 - " FIN_01},
        {"person-1", "fin-01 finance"}, {"person-1", "fin-01  finance " FIN_01},
        {"person-1", "fin-01 finance " FIN_01 " x"},
        {"person-2", "fin-02 finance " FIN_01},
        {"log-key", "ksef-vault.example.com/nip-5265877635/audit+494af724+" VKEY},
        {"log-key", "ksef-vault.example.com/nip-5265877635/audit+" VKEY},
        {"log-key", "ksef-vault.example.com/nip-5265877635+494af723+" VKEY},
        {"log-key", "ksef-vault.example.com/nip-5265877636/audit+494af723+" VKEY},
        {"sentence-1", A50 A50 A50 A50 "a"});
    GOOD("good/found/request.txt", {"lang", "pl"}, {"sentence-1", "Każda zmiana."},
         {"reason-commitment", EMPTY_ROOT});
    BAD("good/found.test/request.txt",
        {"requester", "fin-01"}, {"requester", "req-02"}, {"test", "no"});
    BAD("good/policy/request.txt", {"ends-grants", "65"}, {"ends-grants", "01"},
        {"ends-grant-1", "-"});
}

static void values_of_emergencies_and_reviews(void **state)
{
    (void)state;
    GOOD("good/emergency/request.txt",
         {"beneficiary", "fin-02"}, {"integration", "-"}, {"waive", "-"},
         {"waive", "exe-sha256=" H64 ",hours,rate"}, {"waive", "hours"}, {"incident", A64},
         {"incident", "INC/2026_1.a-B"});
    BAD("good/emergency/request.txt",
        {"class", "routine"}, {"max-uses", "-"}, {"waive", "rate,hours"}, {"waive", "all"},
        {"waive", "exe-sha256="}, {"incident", "-" "\x7f"}, {"incident", A64 "a"},
        {"incident", "a b"}, {"beneficiary", "integration:a"},
        {"requester-key", FIN_01});
    GOOD("good/review/request.txt",
         {"used-by", "-"}, {"follow-up", "-"}, {"rotation", "done"}, {"lifted", "custodian,finance"},
         {"invoices", "0 -"}, {"manual-work-commitment", "-"});
    BAD("good/review/request.txt",
        {"covers", "2026-02-16T20:19:30Z 2026-02-16T18:14:03Z"}, {"covers", "2026-02-16T20:19:30Z"},
        {"invoices", "0 " H64}, {"invoices", "1 -"}, {"invoices", "1"},
        {"approved-by", "fin-01,cus-01"},
        {"still-open", "sessions=0 tokens=0 tickets=0 waivers=0"},
        {"still-open", "sessions=0 tokens=0 tickets=0 waivers=0 rights=0 x=0"},
        {"still-open", "tokens=0 sessions=0 tickets=0 waivers=0 rights=0"},
        {"rotation", "no"}, {"follow-up", "cus-01"}, {"follow-up", "cus-01 2026-02-29"},
        {"lifted", "finance,custodian"}, {"manual-work", "maybe"});
}

static void values_of_acts(void **state)
{
    (void)state;
    GOOD("good/acts/suspend.txt",
         {"operations", "auth.xades"}, {"target", "grant 01KEBQGH006J9ATSEGBABKZVWC"},
         {"reason-commitment", "-"});
    BAD("good/acts/suspend.txt",
        {"act", "pause"}, {"act", "release"}, {"act", "attest"}, {"target", "person fin-01"},
        {"target", "integration"}, {"target", "integration Sap"}, {"target", "grant sap"},
        {"target", "integration  sap"}, {"operations", "none"}, {"actor", "-"},
        {"actor-key", "-"});
    BAD("good/acts/compromised.txt", {"since", "-"}, {"since", "2026-02-20"},
        {"target", "key fin-03"});
    BAD("good/acts/leave.txt", {"left-on", "2026-03-31T00:00:00Z"}, {"left-on", "2026-02-30"});
    GOOD("good/acts/revoke.txt", {"target", "credential ksef-auth-2026a"}, {"act", "close"});
    BAD("good/acts/revoke.txt", {"target", "integration sap-fi-prod"});
    GOOD("good/resume/request.txt", {"target", "grant 01KEBQGH006J9ATSEGBABKZVWC"});
    BAD("good/resume/request.txt", {"target", "person fin-01"});
}
/* clang-format on */

static void an_external_auditor_may_have_no_key(void **state)
{
    (void)state;
    static const char head[] = "ksefvault/request/v1\n"
                               "vault: ksef-vault.example.com/nip-5265877635\n"
                               "policy: " H64 "\n"
                               "request: 01KE70EHG0BS152V836N39S7M7\n"
                               "requester: fin-01\n"
                               "requester-key: " FIN_01 "\n"
                               "action: person.enrol\n"
                               "person: aud-01\n"
                               "duty: %s\n"
                               "organisation: audit-house\n"
                               "contract-end: -\n"
                               "business-duties: -\n"
                               "uid: -\n"
                               "name-commitment: -\n"
                               "key: %s\n"
                               "public-key: %s\n"
                               "key-not-after: -\n"
                               "reason-commitment: " EMPTY_ROOT "\n"
                               "not-before: 2026-01-05T12:00:00Z\n"
                               "not-after: 2026-01-12T12:00:00Z\n"
                               "issued: 2026-01-05T12:00:00Z\n"
                               "nonce: 1NJ45MSKW_W-e2xTYl2sHzBpzr3iolprkk--5LonrrU\n";
    static const struct {
        const char *duty, *key, *public_key;
        unsigned line; /* 0: good */
    } rows[] = {
        {"external-auditor", "-", "-", 0},
        {"external-auditor", FIN_01, PUB_01, 0},
        {"external-auditor", "-", PUB_01, 15},
        {"external-auditor", FIN_01, "-", 16},
        {"auditor", "-", "-", 15},
        {"finance", "-", "-", 15},
        {"auditor", FIN_01, PUB_01, 0},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        char text[4096];
        int len = snprintf(text, sizeof text, head, rows[i].duty, rows[i].key, rows[i].public_key);
        assert_true(len > 0 && (size_t)len < sizeof text);
        KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
        unsigned line = 0;
        enum kv_code code = kv_statement_parse(kv_bytes(text, (size_t)len), &st, &line, NULL);
        assert_int_equal(code, rows[i].line == 0 ? KV_OK : KV_E_STMT_VALUE);
        assert_int_equal(line, rows[i].line);
    }
}

/* Characters that hide, turn or break a line, in a key that takes any text and in one that does
 * not.
 */
static void characters_that_deceive_are_refused_everywhere(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x01",         "\t",
                                      "\x1b[0m",      "\x7f",
                                      "\r",           "\xc2\x80",
                                      "\xc2\x85",     "\xc2\xad",
                                      "\xd8\x9c",     "\xe1\xa0\x8e",
                                      "\xe2\x80\x8b", "\xe2\x80\x8f",
                                      "\xe2\x80\xa8", "\xe2\x80\xae",
                                      "\xe2\x81\xa0", "\xe2\x81\xa9",
                                      "\xef\xbb\xbf", "\xef\xbf\xb9",
                                      "\xef\xbf\xbb", "\xc0\x80",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xe2\x80",     "\xff"};
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        char value[64];
        int len = snprintf(value, sizeof value, "a%sb", bad[i]);
        assert_true(len > 0);
        const struct row rows[] = {{"purpose", value}, {"unit", value}, {"exe", value}};
        check_rows("good/integration.register/request.txt", rows, KV_COUNT(rows), KV_E_STMT_VALUE);
    }
    static const struct row spaces[] = {{"purpose", "a "}, {"exe", "/a "}};
    check_rows("good/integration.register/request.txt", spaces, 2, KV_E_STMT_VALUE);
    static const struct row leading[] = {{"purpose", ""}, {"purpose", " a"}, {"purpose", " "}};
    check_rows("good/integration.register/request.txt", leading, 3, KV_E_STMT_LINE);
}

static void lines_and_texts_have_their_limits(void **state)
{
    (void)state;
    struct kv_bytes text = vector_read("good/grant/request.txt");
    char value[1100];
    unsigned line = 0, key_line = 0;
    size_t room = KV_STATEMENT_LINE_MAX - strlen("credential: ");
    memset(value, 'a', sizeof value);
    value[room] = '\0';
    assert_int_equal(parse_with(text, "credential", value, &key_line, &line, NULL),
                     KV_E_STMT_VALUE); /* long enough to be read, too long for an id */
    value[room] = 'a';
    value[room + 1] = '\0';
    assert_int_equal(parse_with(text, "credential", value, &key_line, &line, NULL),
                     KV_E_STMT_TOO_LONG);
    assert_int_equal(line, key_line);
    vector_free(text);

    /* Of lines that end the text at the limit and one byte behind it, the first is a matter of
     * grammar, the second of size. */
    static const struct {
        const char *type;
        size_t max;
        enum kv_code within;
    } types[] = {{"ksefvault/request/v1\n", KV_REQUEST_MAX, KV_E_STMT_LINE},
                 {"ksefvault/approval/v1\n", KV_STATEMENT_MAX, KV_E_STMT_TOO_LONG},
                 {"ksefvault/act/v1\n", KV_STATEMENT_MAX, KV_E_STMT_LINE},
                 {"ksefvault/other/v1\n", KV_STATEMENT_MAX, KV_E_STMT_LINE}};
    for (size_t i = 0; i < KV_COUNT(types); i++) {
        struct kv_buf buf;
        kv_buf_init(&buf, 65536);
        kv_buf_add_str(&buf, types[i].type);
        while (buf.len < types[i].max + 1) {
            kv_buf_add_u8(&buf, buf.len % 64 == 63 ? '\n' : 'a');
        }
        buf.data[types[i].max - 1] = '\n';
        KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
        struct kv_bytes most = kv_bytes(buf.data, types[i].max);
        assert_int_equal(kv_statement_parse(most, &st, &line, NULL), types[i].within);
        buf.data[types[i].max - 1] = 'a';
        buf.data[types[i].max] = '\n';
        assert_int_equal(kv_statement_parse(kv_buf_bytes(&buf), &st, &line, NULL),
                         KV_E_STMT_TOO_LONG);
        kv_buf_clear(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_a_grant),
        cmocka_unit_test(values_of_a_decision),
        cmocka_unit_test(values_of_people),
        cmocka_unit_test(values_of_credentials_and_integrations),
        cmocka_unit_test(values_of_founding_and_policy),
        cmocka_unit_test(values_of_emergencies_and_reviews),
        cmocka_unit_test(values_of_acts),
        cmocka_unit_test(an_external_auditor_may_have_no_key),
        cmocka_unit_test(characters_that_deceive_are_refused_everywhere),
        cmocka_unit_test(lines_and_texts_have_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
