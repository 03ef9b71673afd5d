#include "tests/unit/policy/copy.h"

#include "policy/state_model.h"

#include <stdlib.h>

static void *copy_bytes(const void *from, size_t count, size_t cap, size_t size)
{
    if (cap == 0) {
        return NULL;
    }
    void *to = calloc(cap, size);
    if (to == NULL) {
        abort();
    }
    if (count > 0) {
        memcpy(to, from, count * size);
    }
    return to;
}

static void copy_list(struct kv_list *list, size_t size)
{
    list->item = copy_bytes(list->item, list->count, list->cap, sizeof *list->item);
    for (size_t i = 0; i < list->count; i++) {
        list->item[i] = copy_bytes(list->item[i], 1, 1, size);
    }
}

static void copy_map(struct kv_hash_map *map)
{
    map->slot = copy_bytes(map->slot, map->cap, map->cap, sizeof *map->slot);
}

/* Where `item` of the old list is in the new one. */
static void *moved(const struct kv_list *from, const struct kv_list *to, const void *item)
{
    for (size_t i = 0; i < from->count; i++) {
        if (from->item[i] == item) {
            return to->item[i];
        }
    }
    assert(item == NULL);
    return NULL;
}

static void copy_request(struct kv_request *r, bool share)
{
    r->decisions =
        copy_bytes(r->decisions, r->decision_count, r->decision_count, sizeof *r->decisions);
    if (share) {
        return;
    }
    struct kv_statement *st = NULL;
    enum kv_code code = kv_statement_parse(kv_statement_text(r->text), &st, NULL, NULL);
    assert(code == KV_OK);
    r->text = st;
}

static void move_things(const struct kv_state *from, struct kv_state *to)
{
    const struct kv_list *old = &from->requests, *new = &to->requests;
    for (size_t i = 0; i < to->credentials.count; i++) {
        struct kv_credential *c = to->credentials.item[i];
        c->request = moved(old, new, c->request);
    }
    for (size_t i = 0; i < to->integrations.count; i++) {
        struct kv_integration *n = to->integrations.item[i];
        n->request = moved(old, new, n->request);
        n->resumed = moved(old, new, n->resumed);
    }
    for (size_t i = 0; i < to->grants.count; i++) {
        struct kv_grant *g = to->grants.item[i];
        g->request = moved(old, new, g->request);
        g->resumed = moved(old, new, g->resumed);
        g->credential = moved(&from->credentials, &to->credentials, g->credential);
        g->integration = moved(&from->integrations, &to->integrations, g->integration);
        g->use_times = copy_bytes(g->use_times, g->use_count, g->use_cap, sizeof *g->use_times);
    }
    to->policy_request = moved(old, new, from->policy_request);
    to->cloned = moved(&from->keys, &to->keys, from->cloned);
}

struct kv_state *state_copy(const struct kv_state *from, size_t shared)
{
    struct kv_state *to = kv_state_new();
    *to = *from;
    copy_list(&to->persons, sizeof(struct kv_person));
    copy_list(&to->keys, sizeof(struct kv_person_key));
    copy_list(&to->requests, sizeof(struct kv_request));
    copy_list(&to->credentials, sizeof(struct kv_credential));
    copy_list(&to->integrations, sizeof(struct kv_integration));
    copy_list(&to->grants, sizeof(struct kv_grant));
    for (size_t i = 0; i < to->requests.count; i++) {
        copy_request(to->requests.item[i], i < shared);
    }
    move_things(from, to);
    to->intents =
        copy_bytes(from->intents, from->intent_count, from->intent_cap, sizeof *from->intents);
    to->sessions =
        copy_bytes(from->sessions, from->session_count, from->session_cap, sizeof *from->sessions);
    to->ministry = copy_bytes(from->ministry, from->ministry_count, from->ministry_cap,
                              sizeof *from->ministry);
    copy_map(&to->texts);
    copy_map(&to->nonces);
    copy_map(&to->counters);
    return to;
}

void state_copy_free(struct kv_state *copy, size_t shared)
{
    for (size_t i = 0; copy != NULL && i < shared && i < copy->requests.count; i++) {
        struct kv_request *r = copy->requests.item[i];
        r->text = NULL;
    }
    kv_state_free(copy);
}
