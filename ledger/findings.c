#include "ledger/verify.h"

#include <stdlib.h>

/* What verification found, in the order in which it was found. */

void kv_findings_clear(struct kv_findings *findings)
{
    free(findings->list);
    *findings = (struct kv_findings){0};
}

void kv_findings_add(struct kv_findings *findings, const struct kv_finding *finding)
{
    assert(finding->exit > 0 && finding->exit < (int)KV_COUNT(findings->exits));
    findings->exits[finding->exit] = true;
    if (findings->count == KV_FINDINGS_MAX) {
        return;
    }
    struct kv_finding *grown =
        reallocarray(findings->list, findings->count + 1, sizeof *findings->list);
    if (grown == NULL) {
        abort();
    }
    findings->list = grown;
    findings->list[findings->count++] = *finding;
}

enum kv_verify_exit kv_findings_exit(const struct kv_findings *findings)
{
    static const enum kv_verify_exit order[] = {KV_VERIFY_BAD, KV_VERIFY_ROLLBACK,
                                                KV_VERIFY_APPROVALS, KV_VERIFY_INTENTS,
                                                KV_VERIFY_UNJUDGED};
    for (size_t i = 0; i < KV_COUNT(order); i++) {
        if (findings->exits[order[i]]) {
            return order[i];
        }
    }
    return KV_VERIFY_GOOD;
}

const struct kv_finding *kv_findings_first(const struct kv_findings *findings)
{
    enum kv_verify_exit exit = kv_findings_exit(findings);
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->list[i].exit == exit) {
            return &findings->list[i];
        }
    }
    return NULL;
}
