/* B4: each use.intent has exactly one use.outcome. */
#include "cli/judge_parts.h"

#include "core/time.h"

#include <stdio.h>
#include <stdlib.h>

static void add_intent(struct judge *judge, const struct kv_entry *entry)
{
    struct intents *intents = &judge->intents;
    if (intents->count == intents->cap) {
        intents->cap = intents->cap == 0 ? 64 : 2 * intents->cap;
        intents->list = reallocarray(intents->list, intents->cap, sizeof *intents->list);
        if (intents->list == NULL) {
            abort();
        }
    }
    intents->list[intents->count++] =
        (struct intent){judge_place(judge, entry), entry->rec->ts_ms, 0};
}

static int compare_seq(const void *key, const void *element)
{
    uint64_t seq = *(const uint64_t *)key;
    uint64_t other = ((const struct intent *)element)->place.seq;
    return seq < other ? -1 : seq > other;
}

void judge_intents_entry(struct judge *judge, const struct kv_entry *entry)
{
    struct intents *intents = &judge->intents;
    const struct kv_record *rec = entry->rec;
    intents->last_ts_ms = rec->ts_ms;
    if (rec->ev == KV_EV_AGENT_START) {
        intents->last_start = rec->seq;
    } else if (rec->ev == KV_EV_USE_INTENT) {
        add_intent(judge, entry);
    } else if (rec->ev == KV_EV_USE_OUTCOME && intents->count > 0) {
        struct intent *intent =
            bsearch(&rec->of, intents->list, intents->count, sizeof *intents->list, compare_seq);
        if (intent != NULL) {
            intent->outcomes++;
        }
    }
}

void judge_intents_finish(struct judge *judge)
{
    const struct intents *intents = &judge->intents;
    for (size_t i = 0; i < intents->count; i++) {
        const struct intent *intent = &intents->list[i];
        char what[96];
        if (intent->outcomes == 1) {
            continue;
        }
        bool restarted = intents->last_start > intent->place.seq;
        if (intent->outcomes == 0 && !restarted &&
            intents->last_ts_ms - intent->ts_ms <= IN_FLIGHT_MS) {
            judge->in_flight++;
            continue;
        }
        int n = snprintf(what, sizeof what, "this intent has %u outcomes%s", intent->outcomes,
                         restarted && intent->outcomes == 0 ? ", although the agent started again"
                                                            : "");
        assert(n > 0);
        judge_find(judge, KV_VERIFY_INTENTS, "B4", &intent->place, NULL, KV_EV_USE_INTENT, what);
    }
}
