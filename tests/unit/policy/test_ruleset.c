#include "tests/unit/kv_test.h"

#include "core/parse.h"
#include "policy/ruleset.h"
#include "tests/unit/policy/vector.h"

#define HEAD "version: 1\napprovals:\n  default: {finance: 1, custodian: 1}\n"

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct kv_ruleset parse(const char *text)
{
    struct kv_ruleset rules;
    struct kv_err err;
    if (kv_ruleset_parse(kv_bytes_str(text), &rules, &err) != KV_OK) {
        fail_msg("%s: %s", text, err.msg);
    }
    return rules;
}

static void the_shortest_text_means_what_version_1_says(void **state)
{
    (void)state;
    struct kv_ruleset rules = parse(HEAD);

    assert_int_equal(rules.version, 1);
    for (int i = 0; i < KV_ACTION_COUNT; i++) {
        assert_int_equal(rules.quorum[i].finance, 1);
        assert_int_equal(rules.quorum[i].custodian, 1);
    }
    assert_int_equal(rules.grant_days_max, 106);
    assert_int_equal(rules.emergency_hours_max, 4);
    assert_int_equal(rules.emergency_hours_default, 4);
    assert_int_equal(rules.collect_hours, 72);
    assert_int_equal(rules.emergency_collect_hours, 2);
    assert_int_equal(rules.renew_days, 30);
    assert_int_equal(rules.max_uses_default, 0);
    assert_int_equal(rules.rate_max.count, 0);
    assert_int_equal(rules.key_kinds[KV_SEAT_FINANCE], 0x3e);
    assert_true(rules.token_logins);
    assert_int_equal(rules.custody_minimum, KV_CUSTODY_FLOOR_CLAIMED);
    assert_int_equal(rules.exe_alarm_hours, 0);
}

static void every_key_is_read(void **state)
{
    (void)state;
    struct kv_ruleset rules = parse("--- # one document\n"
                                    "version: 1\n"
                                    "approvals:\n"
                                    "  default: {finance: 1, custodian: 2}\n"
                                    "  policy:\n"
                                    "    finance: 3\n"
                                    "    custodian: 1 # fewer than usual\n"
                                    "limits: {grant-days-max: 30, emergency-hours-max: 24,\n"
                                    "  emergency-hours-default: 8, collect-hours: 48,\n"
                                    "  emergency-collect-hours: 1, renew-days: 7,\n"
                                    "  max-uses-default: 500, rate-max: 600/min}\n"
                                    "key-types:\n"
                                    "  finance:\n"
                                    "  - sk-ssh-ed25519@openssh.com\n"
                                    "  - ssh-ed25519\n"
                                    "token-logins: no\n"
                                    "custody-minimum: attested\n"
                                    "on-exe-change: alarm-for 24\n");

    assert_int_equal(rules.quorum[KV_ACTION_GRANT].custodian, 2);
    assert_int_equal(rules.quorum[KV_ACTION_POLICY].finance, 3);
    assert_int_equal(rules.quorum[KV_ACTION_POLICY].custodian, 1);
    assert_int_equal(rules.grant_days_max, 30);
    assert_int_equal(rules.emergency_hours_max, 24);
    assert_int_equal(rules.emergency_hours_default, 8);
    assert_int_equal(rules.collect_hours, 48);
    assert_int_equal(rules.emergency_collect_hours, 1);
    assert_int_equal(rules.renew_days, 7);
    assert_int_equal(rules.max_uses_default, 500);
    assert_int_equal(rules.rate_max.count, 600);
    assert_int_equal(rules.rate_max.per_ms, KV_MINUTE_MS);
    assert_int_equal(rules.key_kinds[KV_SEAT_FINANCE],
                     1U << KV_PUBKEY_SK_ED25519 | 1U << KV_PUBKEY_ED25519);
    assert_int_equal(rules.key_kinds[KV_SEAT_CUSTODIAN], 0x3e);
    assert_false(rules.token_logins);
    assert_int_equal(rules.custody_minimum, KV_CUSTODY_FLOOR_ATTESTED);
    assert_int_equal(rules.exe_alarm_hours, 24);
}

static void a_shorter_emergency_shortens_its_default(void **state)
{
    (void)state;
    struct kv_ruleset rules = parse(HEAD "limits: {emergency-hours-max: 2}\n");
    assert_int_equal(rules.emergency_hours_default, 2);
}

static void the_packaged_policy_says_what_is_left_out(void **state)
{
    (void)state;
    struct kv_bytes text = vector_read("../../../packaging/policy.yaml");
    struct kv_ruleset packaged, silent = parse(HEAD);
    struct kv_err err;
    if (kv_ruleset_parse(text, &packaged, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    vector_free(text);
    struct kv_sentences *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    assert_non_null(a);
    assert_non_null(b);
    kv_ruleset_sentences(&packaged, KV_LANG_EN, a);
    kv_ruleset_sentences(&silent, KV_LANG_EN, b);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->text[i], b->text[i]);
    }
    free(a);
    free(b);
}

/* The text that the ledger's vectors were made with. */
static void the_policy_of_the_ledger_vectors_is_read(void **state)
{
    (void)state;
    struct kv_bytes text = vector_read("../../fuzz/corpus/ruleset/short");
    struct kv_ruleset rules;
    struct kv_err err;
    if (kv_ruleset_parse(text, &rules, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    vector_free(text);
    assert_int_equal(rules.grant_days_max, 106);
    assert_int_equal(rules.custody_minimum, KV_CUSTODY_FLOOR_CLAIMED);
    assert_int_equal(rules.exe_alarm_hours, 0);
}

static void bad_texts_are_refused_with_line_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        const char *says; /* part of the message */
    } bad[] = {
        {"empty", "", "empty"},
        {"comment only", "# nothing\n", "empty"},
        {"no version", "approvals:\n  default: {finance: 1, custodian: 1}\n", "version"},
        {"other version", "version: 2\napprovals:\n  default: {finance: 1, custodian: 1}\n",
         "line 1: version"},
        {"version with a unit", "version: 1d\napprovals: {default: {finance: 1, custodian: 1}}\n",
         "line 1: version"},
        {"no approvals", "version: 1\n", "approvals"},
        {"no default", "version: 1\napprovals: {grant: {finance: 1, custodian: 1}}\n", "default"},
        {"no custodian", "version: 1\napprovals:\n  default: {finance: 1}\n", "custodian"},
        {"no finance", "version: 1\napprovals:\n  default: {custodian: 1}\n", "finance"},
        {"zero custodians", "version: 1\napprovals:\n  default: {finance: 1, custodian: 0}\n",
         "line 3: default: custodian"},
        {"ten finance", "version: 1\napprovals:\n  default: {finance: 10, custodian: 1}\n",
         "line 3: default: finance"},
        {"zero in an override",
         HEAD "  grant: {finance: 1, custodian: 1}\n  policy: {finance: 0, custodian: 1}\n",
         "line 5: policy: finance"},
        {"founding is not counted", HEAD "  found: {finance: 1, custodian: 1}\n", "line 4"},
        {"unknown action", HEAD "  grants: {finance: 1, custodian: 1}\n",
         "line 4: unknown key 'grants'"},
        {"unknown key", HEAD "custody-minimun: claimed\n", "line 4: unknown key 'custody-minimun'"},
        {"duplicate key", HEAD "token-logins: no\ntoken-logins: yes\n", "already seen"},
        {"duplicate in a map", HEAD "limits: {renew-days: 1, renew-days: 2}\n", "already seen"},
        {"days with a unit", HEAD "limits:\n  grant-days-max: 90d\n",
         "line 5: limits: grant-days-max"},
        {"107 days", HEAD "limits: {grant-days-max: 107}\n", "from 1 to 106"},
        {"0 days", HEAD "limits: {grant-days-max: 0}\n", "from 1 to 106"},
        {"leading zero", HEAD "limits: {grant-days-max: 090}\n", "grant-days-max"},
        {"hex", HEAD "limits: {grant-days-max: 0x10}\n", "grant-days-max"},
        {"negative", HEAD "limits: {grant-days-max: -1}\n", "grant-days-max"},
        {"25 hours", HEAD "limits: {emergency-hours-max: 25}\n", "emergency-hours-max"},
        {"default above maximum",
         HEAD "limits: {emergency-hours-max: 2, emergency-hours-default: 3}\n",
         "line 4: limits: emergency-hours-default"},
        {"73 hours", HEAD "limits: {collect-hours: 73}\n", "collect-hours"},
        {"3 hours", HEAD "limits: {emergency-collect-hours: 3}\n", "emergency-collect-hours"},
        {"31 days", HEAD "limits: {renew-days: 31}\n", "renew-days"},
        {"rate of nothing", HEAD "limits: {rate-max: 0/h}\n", "rate-max"},
        {"rate without unit", HEAD "limits: {rate-max: 5}\n", "rate-max"},
        {"uses above 2^53-1", HEAD "limits: {max-uses-default: 9007199254740992}\n",
         "max-uses-default"},
        {"no type of key", HEAD "key-types: {finance: []}\n", "entries"},
        {"unknown type", HEAD "key-types: {finance: [ssh-dss]}\n", "line 4: key-types: finance"},
        {"type twice", HEAD "key-types: {custodian: [ssh-rsa, ssh-rsa]}\n", "twice"},
        {"six types", HEAD "key-types: {finance: [a, b, c, d, e, f]}\n", "entries"},
        {"true is not yes", HEAD "token-logins: true\n", "line 4: token-logins"},
        {"unknown level", HEAD "custody-minimum: hardware\n", "line 4: custody-minimum"},
        {"unknown reaction", HEAD "on-exe-change: ignore\n", "line 4: on-exe-change"},
        {"alarm for ever", HEAD "on-exe-change: alarm-for 169\n", "from 1 to 168"},
        {"alarm for no time", HEAD "on-exe-change: alarm-for 0\n", "from 1 to 168"},
        {"list at the top", "- version: 1\n", "MAPPING"},
        {"map where a word belongs", HEAD "token-logins: {a: b}\n", "STRING"},
        {"word where a map belongs", HEAD "limits: many\n", "MAPPING"},
        {"anchor", HEAD "token-logins: &a yes\n", "line 4"},
        {"alias", HEAD "token-logins: *a\n", "line 4"},
        {"tag", HEAD "token-logins: !!str yes\n", "line 4"},
        {"merge", HEAD "limits:\n  <<: x\n", "line 5"},
        {"quotes", HEAD "token-logins: \"yes\"\n", "line 4"},
        {"single quotes", HEAD "token-logins: 'yes'\n", "line 4"},
        {"block", HEAD "token-logins: |\n  yes\n", "line 4"},
        {"tab", HEAD "limits:\n\trenew-days: 1\n", "line 5"},
        {"tab in a comment", HEAD "# a\tb\n", "line 4"},
        {"CR LF", "version: 1\r\n", "line 1"},
        {"directive", "%YAML 1.1\n---\n" HEAD, "line 1"},
        {"byte order mark", "\xef\xbb\xbf" HEAD, "line 1"},
        {"right-to-left in a comment", HEAD "# \xe2\x80\xae\n", "line 4"},
        {"broken UTF-8 in a comment", HEAD "# \xc5\n", "line 4"},
        {"non-ASCII outside comments", HEAD "token-logins: t\xc4\x99\n", "line 4"},
        {"second document", HEAD "---\n" HEAD, "line 4"},
        {"end of document", HEAD "...\ntoken-logins: no\n", "line 4"},
        {"open map", HEAD "limits: {renew-days: 1\n", ""},
        {"long word", HEAD "on-exe-change: " A50 A50 "\n", "length"},
    };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        struct kv_ruleset rules = {.version = 77};
        struct kv_err err = {.code = KV_OK};
        enum kv_code code = kv_ruleset_parse(kv_bytes_str(bad[i].text), &rules, &err);
        if (code != KV_E_POLICY_TEXT || rules.version != 77 ||
            strstr(err.msg, bad[i].says) == NULL) {
            fail_msg("%s: %s (%s)", bad[i].name, kv_code_word(code), err.msg);
        }
    }
}

static void a_text_above_64_kib_is_refused(void **state)
{
    (void)state;
    char *text = malloc(KV_RULESET_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, '#', KV_RULESET_BYTES_MAX + 1);
    memcpy(text, HEAD, strlen(HEAD));
    struct kv_ruleset rules;
    struct kv_err err;
    assert_int_equal(kv_ruleset_parse(kv_bytes(text, KV_RULESET_BYTES_MAX), &rules, &err), KV_OK);
    assert_int_equal(kv_ruleset_parse(kv_bytes(text, KV_RULESET_BYTES_MAX + 1), &rules, &err),
                     KV_E_POLICY_TEXT);
    free(text);
}

static void a_text_cut_anywhere_is_refused_or_complete(void **state)
{
    (void)state;
    static const char text[] = HEAD;
    for (size_t len = 0; len < sizeof text - 3; len++) {
        struct kv_ruleset rules;
        struct kv_err err;
        assert_int_equal(kv_ruleset_parse(kv_bytes(text, len), &rules, &err), KV_E_POLICY_TEXT);
    }
}

static void sentences_are_those_that_people_know(void **state)
{
    (void)state;
    struct kv_ruleset rules = parse(HEAD "token-logins: no\n");
    struct kv_sentences *en = malloc(sizeof *en), *pl = malloc(sizeof *pl);
    assert_non_null(en);
    assert_non_null(pl);
    kv_ruleset_sentences(&rules, KV_LANG_EN, en);
    kv_ruleset_sentences(&rules, KV_LANG_PL, pl);

    static const char *const want[] = {
        "Every change and every grant needs one finance and one custodian signature.",
        "A routine grant lasts at most 106 days.",
        "A routine grant may be renewed from 30 days before its end.",
        "An emergency lasts at most 4 hours and is reviewed within 7 days.",
        ("A request that is not approved within 72 hours lapses; an emergency request within 2 "
         "hours."),
        "Nobody logs in to KSeF with a token.",
        "Keys are kept only in modules that say that they protect them in hardware.",
        "An integration whose program changed is suspended at once.",
    };
    assert_int_equal(en->count, KV_COUNT(want));
    assert_int_equal(pl->count, KV_COUNT(want));
    for (size_t i = 0; i < KV_COUNT(want); i++) {
        assert_string_equal(en->text[i], want[i]);
    }
    assert_string_equal(pl->text[5], "Nikt nie loguje się do KSeF tokenem.");
    free(en);
    free(pl);
}

static bool sentences_equal(const struct kv_sentences *a, const struct kv_sentences *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = strcmp(a->text[i], b->text[i]) == 0;
    }
    return same;
}

/* Texts that decide differently, each from each. */
static const char *const different[] = {
    HEAD,
    "version: 1\napprovals:\n  default: {finance: 2, custodian: 1}\n",
    "version: 1\napprovals:\n  default: {finance: 1, custodian: 2}\n",
    HEAD "  grant: {finance: 2, custodian: 1}\n",
    HEAD "  policy: {finance: 2, custodian: 1}\n",
    HEAD "  policy: {finance: 1, custodian: 2}\n",
    HEAD "limits: {grant-days-max: 1}\n",
    HEAD "limits: {grant-days-max: 105}\n",
    HEAD "limits: {renew-days: 1}\n",
    HEAD "limits: {emergency-hours-max: 1}\n",
    HEAD "limits: {emergency-hours-max: 24}\n",
    HEAD "limits: {emergency-hours-max: 24, emergency-hours-default: 24}\n",
    HEAD "limits: {collect-hours: 71}\n",
    HEAD "limits: {emergency-collect-hours: 1}\n",
    HEAD "limits: {rate-max: 1/s}\n",
    HEAD "limits: {rate-max: 1/min}\n",
    HEAD "limits: {rate-max: 1/h}\n",
    HEAD "limits: {rate-max: 1/day}\n",
    HEAD "key-types: {finance: [ssh-ed25519]}\n",
    HEAD "key-types: {custodian: [ssh-ed25519]}\n",
    HEAD "token-logins: no\n",
    HEAD "custody-minimum: software\n",
    HEAD "custody-minimum: attested\n",
    HEAD "on-exe-change: alarm-for 1\n",
    HEAD "on-exe-change: alarm-for 24\n",
};

static void policies_that_decide_differently_say_so_in_both_languages(void **state)
{
    (void)state;
    struct kv_sentences *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    assert_non_null(a);
    assert_non_null(b);
    for (int lang = KV_LANG_EN; lang < KV_LANG_COUNT; lang++) {
        for (size_t i = 0; i < KV_COUNT(different); i++) {
            for (size_t j = i + 1; j < KV_COUNT(different); j++) {
                struct kv_ruleset one = parse(different[i]), other = parse(different[j]);
                kv_ruleset_sentences(&one, (enum kv_lang)lang, a);
                kv_ruleset_sentences(&other, (enum kv_lang)lang, b);
                if (sentences_equal(a, b)) {
                    fail_msg("%s\nsays what this says:\n%s", different[i], different[j]);
                }
            }
        }
    }
    free(a);
    free(b);
}

static void the_longest_policy_fits_its_sentences(void **state)
{
    (void)state;
    struct kv_ruleset rules = parse(HEAD);
    for (int i = KV_ACTION_FOUND + 1; i < KV_ACTION_COUNT; i++) {
        rules.quorum[i] = (struct kv_quorum){9, 9};
    }
    rules.max_uses_default = (UINT64_C(1) << 53) - 1;
    rules.rate_max = (struct kv_rate){(UINT64_C(1) << 53) - 1, KV_SECOND_MS};
    rules.emergency_hours_max = 24;
    for (int seat = KV_SEAT_FINANCE; seat < KV_SEAT_COUNT; seat++) {
        rules.key_kinds[seat] = 0x3e & ~(1U << KV_PUBKEY_RSA);
    }
    rules.exe_alarm_hours = 168;
    struct kv_sentences *all = malloc(sizeof *all);
    assert_non_null(all);
    for (int lang = KV_LANG_EN; lang < KV_LANG_COUNT; lang++) {
        kv_ruleset_sentences(&rules, (enum kv_lang)lang, all);
        assert_true(all->count <= KV_RULESET_SENTENCES_MAX);
        for (size_t i = 0; i < all->count; i++) {
            assert_in_range(strlen(all->text[i]), 1, 200);
            assert_true(kv_utf8_valid(kv_bytes_str(all->text[i])));
        }
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shortest_text_means_what_version_1_says),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(a_shorter_emergency_shortens_its_default),
        cmocka_unit_test(the_packaged_policy_says_what_is_left_out),
        cmocka_unit_test(the_policy_of_the_ledger_vectors_is_read),
        cmocka_unit_test(bad_texts_are_refused_with_line_and_key),
        cmocka_unit_test(a_text_above_64_kib_is_refused),
        cmocka_unit_test(a_text_cut_anywhere_is_refused_or_complete),
        cmocka_unit_test(sentences_are_those_that_people_know),
        cmocka_unit_test(policies_that_decide_differently_say_so_in_both_languages),
        cmocka_unit_test(the_longest_policy_fits_its_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
