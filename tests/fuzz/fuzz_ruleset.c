/* Policy texts: no text loosens the product's own limits, and every policy can be said. */
#include "core/parse.h"
#include "policy/ruleset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_limits(const struct kv_ruleset *rules)
{
    for (int i = 0; i < KV_ACTION_COUNT; i++) {
        assert(rules->quorum[i].finance >= 1 && rules->quorum[i].custodian >= 1);
    }
    assert(rules->grant_days_max >= 1 && rules->grant_days_max <= KV_GRANT_DAYS_MAX);
    assert(rules->emergency_hours_max >= 1);
    assert(rules->emergency_hours_max <= KV_EMERGENCY_HOURS_MAX);
    assert(rules->emergency_hours_default >= 1);
    assert(rules->emergency_hours_default <= rules->emergency_hours_max);
    assert(rules->collect_hours >= 1 && rules->collect_hours <= KV_COLLECT_HOURS_MAX);
    assert(rules->key_kinds[KV_SEAT_FINANCE] != 0 && rules->key_kinds[KV_SEAT_CUSTODIAN] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_ruleset rules;
    struct kv_err err;
    if (kv_ruleset_parse(kv_bytes(data, size), &rules, &err) != KV_OK) {
        assert(err.code == KV_E_POLICY_TEXT);
        return 0;
    }
    check_limits(&rules);
    struct kv_sentences *sentences = malloc(sizeof *sentences);
    assert(sentences != NULL);
    for (int lang = KV_LANG_EN; lang < KV_LANG_COUNT; lang++) {
        kv_ruleset_sentences(&rules, (enum kv_lang)lang, sentences);
        assert(sentences->count >= 1);
        for (size_t i = 0; i < sentences->count; i++) {
            assert(kv_utf8_valid(kv_bytes_str(sentences->text[i])));
        }
    }
    free(sentences);
    return 0;
}
