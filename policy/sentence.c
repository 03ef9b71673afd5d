/* The sentences of a policy. Each value of struct kv_ruleset that decides anything is in one of
 * them, or its absence says that nothing is limited: two rulesets with the same sentences decide
 * alike. Never change a sentence of a released version: what people signed would be derived anew
 * into something else. */
#include "policy/ruleset.h"

#include <stdarg.h>
#include <stdio.h>

static void add(struct kv_sentences *out, const char *fmt, ...) KV_PRINTF(2, 3);
static void add(struct kv_sentences *out, const char *fmt, ...)
{
    assert(out->count < KV_RULESET_SENTENCES_MAX);
    char *text = out->text[out->count++];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, KV_SENTENCE_LEN, fmt, args);
    va_end(args);
    assert(len > 0 && len < KV_SENTENCE_LEN);
}

/* "1 day", "106 days"; "1 dnia", "106 dni" */
struct amount {
    char text[24];
};
static struct amount amount(unsigned n, const char *one, const char *many)
{
    struct amount made;
    int len = snprintf(made.text, sizeof made.text, "%u %s", n, n == 1 ? one : many);
    assert(len > 0 && (size_t)len < sizeof made.text);
    return made;
}

static struct amount hours(unsigned n, bool pl)
{
    return pl ? amount(n, "godz.", "godz.") : amount(n, "hour", "hours");
}

static void say_quorum(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    const struct kv_quorum *usual = &rules->quorum[KV_ACTION_NONE];
    if (usual->finance == 1 && usual->custodian == 1) {
        add(out, pl ? "Każda zmiana i każde uprawnienie wymaga jednego podpisu finansów i jednego "
                      "podpisu opiekuna technicznego."
                    : "Every change and every grant needs one finance and one custodian "
                      "signature.");
    } else {
        add(out,
            pl ? "Każda zmiana i każde uprawnienie wymaga podpisów: finanse %u, opiekunowie "
                 "techniczni %u."
               : "Every change and every grant needs %u finance and %u custodian signatures.",
            usual->finance, usual->custodian);
    }
    for (int i = KV_ACTION_NONE + 1; i < KV_ACTION_COUNT; i++) {
        const struct kv_quorum *own = &rules->quorum[i];
        if (own->finance != usual->finance || own->custodian != usual->custodian) {
            add(out,
                pl ? "Czynność %s wymaga podpisów: finanse %u, opiekunowie techniczni %u."
                   : "The action %s needs %u finance and %u custodian signatures.",
                kv_action_word((enum kv_action)i), own->finance, own->custodian);
        }
    }
}

static void say_grant(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    struct amount longest = pl ? amount(rules->grant_days_max, "dzień", "dni")
                               : amount(rules->grant_days_max, "day", "days");
    struct amount before =
        pl ? amount(rules->renew_days, "dnia", "dni") : amount(rules->renew_days, "day", "days");
    add(out, pl ? "Zwykłe uprawnienie trwa najwyżej %s." : "A routine grant lasts at most %s.",
        longest.text);
    add(out,
        pl ? "Zwykłe uprawnienie można odnowić od %s przed jego końcem."
           : "A routine grant may be renewed from %s before its end.",
        before.text);
    if (rules->max_uses_default != 0) {
        add(out,
            pl ? "Nowym uprawnieniom proponuje się najwyżej %llu użyć."
               : "New grants are proposed with at most %llu uses.",
            (unsigned long long)rules->max_uses_default);
    }
}

static void say_emergency(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    struct amount longest = hours(rules->emergency_hours_max, pl);
    struct amount usual = hours(rules->emergency_hours_default, pl);
    if (rules->emergency_hours_default == rules->emergency_hours_max) {
        add(out,
            pl ? "Dostęp awaryjny trwa najwyżej %s i jest sprawdzany w ciągu 7 dni."
               : "An emergency lasts at most %s and is reviewed within 7 days.",
            longest.text);
    } else {
        add(out,
            pl ? "Dostęp awaryjny trwa %s, na żądanie najwyżej %s, i jest sprawdzany w ciągu 7 dni."
               : "An emergency lasts %s, or as asked at most %s, and is reviewed within 7 days.",
            usual.text, longest.text);
    }
}

static void say_collect(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    struct amount usual = hours(rules->collect_hours, pl);
    struct amount urgent = hours(rules->emergency_collect_hours, pl);
    add(out,
        pl ? "Wniosek niezatwierdzony w ciągu %s wygasa; wniosek awaryjny w ciągu %s."
           : "A request that is not approved within %s lapses; an emergency request within %s.",
        usual.text, urgent.text);
}

static void say_rate(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    static const struct {
        int64_t ms;
        const char *en, *pl;
    } units[] = {
        {KV_SECOND_MS, "second", "sekundę"},
        {KV_MINUTE_MS, "minute", "minutę"},
        {KV_HOUR_MS, "hour", "godzinę"},
        {KV_DAY_MS, "day", "dobę"},
    };
    for (size_t i = 0; i < KV_COUNT(units) && rules->rate_max.count != 0; i++) {
        if (rules->rate_max.per_ms == units[i].ms) {
            add(out,
                pl ? "Uprawnienie pozwala na najwyżej %llu użyć na %s."
                   : "A grant allows at most %llu uses per %s.",
                (unsigned long long)rules->rate_max.count, pl ? units[i].pl : units[i].en);
        }
    }
}

static void say_key_types(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    for (int seat = KV_SEAT_NONE + 1; seat < KV_SEAT_COUNT; seat++) {
        char kinds[128] = "";
        size_t len = 0;
        bool all = true;
        for (int kind = KV_PUBKEY_NONE + 1; kind < KV_PUBKEY_KIND_COUNT; kind++) {
            if ((rules->key_kinds[seat] >> kind & 1) == 0) {
                all = false;
                continue;
            }
            int n = snprintf(kinds + len, sizeof kinds - len, "%s%s", len == 0 ? "" : ", ",
                             kv_pubkey_kind_word((enum kv_pubkey_kind)kind));
            assert(n > 0 && (size_t)n < sizeof kinds - len);
            len += (size_t)n;
        }
        if (!all) {
            add(out, pl ? "W roli %s podpisują tylko klucze %s." : "As %s only keys of %s sign.",
                kv_seat_word((enum kv_seat)seat), kinds);
        }
    }
}

static void say_custody(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    switch (rules->custody_minimum) {
    case KV_CUSTODY_FLOOR_SOFTWARE:
        add(out, "%s",
            pl ? "Klucze mogą być przechowywane programowo." : "Keys may be kept in software.");
        break;
    case KV_CUSTODY_FLOOR_CLAIMED:
        add(out, "%s",
            pl ? "Klucze są tylko w modułach, które deklarują ochronę sprzętową."
               : "Keys are kept only in modules that say that they protect them in hardware.");
        break;
    case KV_CUSTODY_FLOOR_ATTESTED:
        add(out, "%s",
            pl ? "Klucze są tylko w sprzęcie, za który ręczy podpis jego producenta."
               : "Keys are kept only in hardware that its maker's signature vouches for.");
        break;
    case KV_CUSTODY_FLOOR_COUNT: break;
    }
}

static void say_exe_change(const struct kv_ruleset *rules, bool pl, struct kv_sentences *out)
{
    struct amount delay = hours(rules->exe_alarm_hours, pl);
    if (rules->exe_alarm_hours == 0) {
        add(out, "%s",
            pl ? "Integracja, której program się zmienił, jest natychmiast zawieszana."
               : "An integration whose program changed is suspended at once.");
    } else {
        add(out,
            pl ? "Zmiana programu integracji wywołuje alarm; po %s integracja jest zawieszana."
               : "An integration whose program changed raises an alarm and is suspended after %s.",
            delay.text);
    }
}

void kv_ruleset_sentences(const struct kv_ruleset *rules, enum kv_lang lang,
                          struct kv_sentences *out)
{
    assert(lang == KV_LANG_EN || lang == KV_LANG_PL);
    bool pl = lang == KV_LANG_PL;
    out->count = 0;
    say_quorum(rules, pl, out);
    say_grant(rules, pl, out);
    say_emergency(rules, pl, out);
    say_collect(rules, pl, out);
    say_rate(rules, pl, out);
    say_key_types(rules, pl, out);
    add(out, "%s",
        rules->token_logins ? (pl ? "Uprawnienie może pozwalać na logowanie do KSeF tokenem."
                                  : "A grant may allow logging in to KSeF with a token.")
                            : (pl ? "Nikt nie loguje się do KSeF tokenem."
                                  : "Nobody logs in to KSeF with a token."));
    say_custody(rules, pl, out);
    say_exe_change(rules, pl, out);
}
