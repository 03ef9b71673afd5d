/* Live equals replay: a life in which each event happens is judged again from its records, each
 * changed record is refused, and no record can be written at another place than its own. */
#include "tests/unit/kv_test.h"

#include "ledger/encode.h"
#include "tests/unit/policy/copy.h"
#include "tests/unit/policy/life.h"

#include <stdio.h>
#include <stdlib.h>

static enum kv_code judge(struct world *w, struct kv_state *state, struct kv_record *rec,
                          const struct kv_bytes *blobs, struct kv_err *err)
{
    struct kv_blobs view = {blobs, rec->doc_count};
    struct kv_log_view log = {world_root_at, w, kv_state_size(state), UINT64_MAX};
    return kv_state_apply(state, rec, &view, &log, err);
}

static void view_of(const struct world_entry *e, struct kv_bytes out[static WORLD_BLOBS])
{
    for (size_t i = 0; i < e->rec->doc_count; i++) {
        out[i] = kv_buf_bytes(&e->blob[i]);
    }
}

static void live_equals_replay(void **state)
{
    (void)state;
    struct world w;
    struct kv_err err = {0};
    size_t bad;
    bool seen[KV_EV_COUNT] = {false};
    life(&w);
    for (size_t i = 0; i < w.count; i++) {
        seen[w.entry[i].rec->ev] = true;
    }
    for (int ev = KV_EV_NONE + 1; ev < KV_EV_COUNT; ev++) {
        if (!seen[ev]) {
            fail_msg("%s never happened", kv_event_word((enum kv_event)ev));
        }
    }
    struct kv_state *again = world_replay(&w, &bad, &err);
    if (bad != w.count) {
        fail_msg("record %zu, %s: %s", bad, kv_event_word(w.entry[bad].rec->ev), err.msg);
    }
    struct kv_hash have = kv_state_digest(again), want = kv_state_digest(w.state);
    assert_true(kv_hash_equal(&have, &want));
    kv_state_free(again);
    world_close(&w);
}

/* What the fold drafts has the keys, types and documents that the ledger demands of its event. */
static void what_is_drafted_can_be_written(void **state)
{
    (void)state;
    struct world w;
    struct kv_err err = {0};
    life(&w);
    for (size_t i = 0; i < w.count; i++) {
        struct kv_record *rec = w.entry[i].rec;
        memcpy(rec->boot, "d48d8659", KV_BOOT_LEN);
        rec->has_prev = i > 0;
        if (kv_record_check(rec, &err) != KV_OK) {
            fail_msg("record %zu, %s: %s", i, kv_event_word(rec->ev), err.msg);
        }
    }
    world_close(&w);
}

/* ---- one fact changed ---- */

/* Facts that the fold has no other source for: what the agent saw, noted, or made. */
static bool is_note(enum kv_event ev)
{
    return ev == KV_EV_AGENT_START || ev == KV_EV_AGENT_STOP || ev == KV_EV_LOG_RECOVERED ||
           ev == KV_EV_USE_REFUSED || ev == KV_EV_EXPORT_MADE || ev == KV_EV_VERIFY_RUN ||
           ev == KV_EV_ALARM_SIGNER_DOWN || ev == KV_EV_ALARM_CHECKPOINT ||
           ev == KV_EV_ALARM_EXE_CHANGED || ev == KV_EV_ALARM_DISK_LOW ||
           ev == KV_EV_ALARM_CLOCK_BEHIND;
}

/* Likewise single facts. (The log key is compared by the founding, see another_log_key, and with
 * its document by the ledger.) */
static bool seen_by_agent(enum kv_event ev, const char *what)
{
    return (ev == KV_EV_CRED_CREATE && strcmp(what, "document") == 0) ||
           (ev == KV_EV_CRED_ACTIVATE && strcmp(what, "document") == 0) ||
           (ev == KV_EV_KSEF_KEY && strcmp(what, "document") == 0) ||
           (ev == KV_EV_CRED_ACTIVATE && (strcmp(what, "from") == 0 || strcmp(what, "to") == 0)) ||
           (ev == KV_EV_LOG_INIT && (strcmp(what, "document") == 0 || strcmp(what, "vkey") == 0)) ||
           (ev == KV_EV_KSEF_SESSION &&
            (strcmp(what, "lease") == 0 || strcmp(what, "until") == 0)) ||
           (ev == KV_EV_USE_OUTCOME &&
            (strcmp(what, "access") == 0 || strcmp(what, "refresh") == 0)) ||
           (ev == KV_EV_KSEF_CLOSE && strcmp(what, "why") == 0) ||
           (ev == KV_EV_KSEF_RESIDUAL && strcmp(what, "until") == 0);
}

struct tamper {
    struct world *w;
    const struct world_entry *entry;
    const struct kv_state *before;
    size_t index, tried;
};

/* Judge the changed record where the true one was written: refused, and nothing happened. */
static void must_be_refused(struct tamper *t, struct kv_record *rec, const struct kv_bytes *blobs,
                            const char *what)
{
    struct kv_err err = {0};
    if (is_note(rec->ev) || seen_by_agent(rec->ev, what)) {
        return;
    }
    struct kv_state *copy = state_copy(t->before, 0);
    struct kv_hash before = kv_state_digest(copy);
    if (judge(t->w, copy, rec, blobs, &err) == KV_OK) {
        fail_msg("record %zu, %s, another %s: accepted", t->index, kv_event_word(rec->ev), what);
    }
    struct kv_hash after = kv_state_digest(copy);
    assert_true(kv_hash_equal(&before, &after));
    state_copy_free(copy, 0);
    t->tried++;
}

static void swap_text(struct tamper *t, const struct kv_bytes *blobs, char *field,
                      const char *other, const char *what)
{
    char old[KV_VIA_LEN];
    size_t len = strlen(field);
    if (len == 0 || strcmp(field, other) == 0) {
        return;
    }
    memcpy(old, field, len + 1);
    memcpy(field, other, strlen(other) + 1);
    must_be_refused(t, t->entry->rec, blobs, what);
    memcpy(field, old, len + 1);
}

/* Other values are those of other things that exist. */
static void change_keys(struct tamper *t, const struct kv_bytes *blobs)
{
    struct kv_record *rec = t->entry->rec;
    const char *fin = world_signer(t->w, "fin-02")->fingerprint;
    const char *cus = world_signer(t->w, "cus-02")->fingerprint;
    const char *other = strcmp(rec->req, t->w->entry[1].rec->req) == 0
                            ? "01KEBQGH006J9ATSEGBABKZVWC"
                            : t->w->entry[1].rec->req;
    swap_text(t, blobs, rec->person, strcmp(rec->person, "cus-02") == 0 ? "fin-02" : "cus-02",
              "person");
    swap_text(t, blobs, rec->key, strcmp(rec->key, cus) == 0 ? fin : cus, "key");
    swap_text(t, blobs, rec->role, strcmp(rec->role, "finance") == 0 ? "custodian" : "finance",
              "role");
    swap_text(t, blobs, rec->req, other, "request");
    if (rec->ev != KV_EV_GRANT_EXPIRE) { /* there is none to swap it with */
        swap_text(t, blobs, rec->grant, "01KEBQGH006J9ATSEGBABKZVWC", "grant");
    }
    swap_text(t, blobs, rec->integ, "erp-9", "integration");
    swap_text(t, blobs, rec->cred, "cred-9", "credential");
    swap_text(t, blobs, rec->ctx, "Nip:1111111111", "context");
    if (rec->who != KV_WHO_AGENT) {
        swap_text(t, blobs, rec->who_id, strcmp(rec->who_id, "cus-02") == 0 ? "fin-02" : "cus-02",
                  "who");
    }
    if (rec->who == KV_WHO_PERSON) {
        swap_text(t, blobs, rec->via, strcmp(rec->via, cus) == 0 ? fin : cus, "via");
    }
    if (kv_record_has(rec, KV_RK_OP)) {
        enum kv_op op = rec->op;
        rec->op = KV_OP_QR_KOD2; /* not in the grant */
        must_be_refused(t, rec, blobs, "operation");
        rec->op = op;
    }
    if (rec->ev == KV_EV_USE_OUTCOME) {
        rec->of++;
        must_be_refused(t, rec, blobs, "intent");
        rec->of--;
    }
}

static void change_info(struct tamper *t, const struct kv_bytes *blobs)
{
    struct kv_record *rec = t->entry->rec;
    for (size_t i = 0; i < rec->info_count; i++) {
        struct kv_info *info = &rec->info[i];
        if (info->type == KV_INFO_STRING) {
            char *old = info->s;
            char other[] = "auditor";
            info->s = other;
            must_be_refused(t, rec, blobs, info->name);
            info->s = old;
        } else if (info->type == KV_INFO_BOOLEAN && rec->ev == KV_EV_LOG_INIT) {
            info->b = !info->b;
            must_be_refused(t, rec, blobs, info->name);
            info->b = !info->b;
        }
    }
}

static void change_documents(struct tamper *t, const struct kv_bytes *blobs)
{
    struct kv_record *rec = t->entry->rec;
    struct kv_bytes view[WORLD_BLOBS] = {{NULL, 0}};
    memcpy(view, blobs, rec->doc_count * sizeof *view);
    for (size_t i = 0; i < rec->doc_count; i++) {
        uint8_t *changed = malloc(blobs[i].len);
        assert_non_null(changed);
        memcpy(changed, blobs[i].ptr, blobs[i].len);
        view[i] = kv_bytes(changed, blobs[i].len);
        for (size_t at = 0; at < 5; at++) { /* somewhere in it, five times */
            size_t byte = at * (blobs[i].len - 1) / 5 + 1;
            changed[byte] ^= 1;
            must_be_refused(t, rec, view, "document");
            changed[byte] ^= 1;
        }
        /* of an armour, whose last line end nobody needs, the two last bytes */
        view[i] = kv_bytes(changed, blobs[i].len - 2);
        must_be_refused(t, rec, view, "document");
        view[i] = blobs[i];
        free(changed);
    }
}

static void change_place(struct tamper *t, const struct kv_bytes *blobs)
{
    struct kv_record *rec = t->entry->rec;
    struct kv_err err;
    struct kv_state *copy = state_copy(t->before, 0);
    rec->seq++;
    assert_int_equal(judge(t->w, copy, rec, blobs, &err), KV_E_LEDGER_ILLEGAL);
    rec->seq--;
    if (t->index > 0) {
        int64_t ts = rec->ts_ms;
        rec->ts_ms = t->w->entry[t->index - 1].rec->ts_ms - 1;
        assert_int_equal(judge(t->w, copy, rec, blobs, &err), KV_E_LEDGER_ILLEGAL);
        rec->ts_ms = ts;
    }
    state_copy_free(copy, 0);
}

static void each_changed_fact_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct kv_err err;
    life(&w);
    struct kv_state *before = kv_state_new();
    struct tamper t = {.w = &w, .before = before};
    for (t.index = 0; t.index < w.count; t.index++) {
        struct kv_bytes blobs[WORLD_BLOBS];
        t.entry = &w.entry[t.index];
        view_of(t.entry, blobs);
        change_keys(&t, blobs);
        change_info(&t, blobs);
        change_documents(&t, blobs);
        change_place(&t, blobs);
        assert_int_equal(judge(&w, before, t.entry->rec, blobs, &err), KV_OK);
    }
    print_message("%zu records, %zu changed facts refused\n", w.count, t.tried);
    assert_true(t.tried > 1000);
    kv_state_free(before);
    world_close(&w);
}

static void another_log_key(void **state)
{
    (void)state;
    struct world w;
    struct kv_err err;
    life(&w);
    struct kv_state *fresh = kv_state_new();
    struct kv_bytes blobs[WORLD_BLOBS];
    struct kv_info *vkey = &w.entry[0].rec->info[1];
    assert_string_equal(vkey->name, "vkey");
    char *digit = strchr(vkey->s, '+') + 1;
    *digit = *digit == '0' ? '1' : '0';
    view_of(&w.entry[0], blobs);
    assert_int_equal(judge(&w, fresh, w.entry[0].rec, blobs, &err), KV_OK);
    view_of(&w.entry[1], blobs);
    assert_int_equal(judge(&w, fresh, w.entry[1].rec, blobs, &err), KV_E_STMT_VALUE);
    kv_state_free(fresh);
    world_close(&w);
}

/* ---- at another place ---- */

/* May be written again or elsewhere: notes, and uses while the grant stands. */
static bool may_repeat(const struct kv_record *rec)
{
    return is_note(rec->ev) || rec->ev == KV_EV_USE_SIGN || rec->ev == KV_EV_USE_INTENT ||
           rec->ev == KV_EV_KSEF_SESSION || rec->ev == KV_EV_ALARM_KEY_CLONED;
}

/* Each record in each state that the life passes through: accepted where it was written, and never
 * after it; what gives, not before it either, except between its approval and itself. */
static void each_record_has_its_place(void **state)
{
    (void)state;
    struct world w;
    struct kv_err err;
    size_t tried = 0;
    life(&w);
    struct kv_state *now = kv_state_new();
    for (size_t at = 0; at < w.count; at++) {
        struct kv_bytes blobs[WORLD_BLOBS];
        struct kv_hash before = kv_state_digest(now);
        for (size_t i = 0; i < w.count; i++) {
            struct kv_record *rec = w.entry[i].rec;
            bool gives = kv_event_row(rec->ev)->class == KV_STRICT && rec->ev != KV_EV_APPROVE;
            if (may_repeat(rec) || (i >= at && !gives) || i == at) {
                continue;
            }
            struct kv_record elsewhere = *rec;
            elsewhere.seq = at;
            elsewhere.ts_ms = w.entry[at].rec->ts_ms;
            view_of(&w.entry[i], blobs);
            if (judge(&w, now, &elsewhere, blobs, &err) == KV_OK) {
                fail_msg("%s of record %zu was accepted as record %zu", kv_event_word(rec->ev), i,
                         at);
            }
            tried++;
        }
        struct kv_hash after = kv_state_digest(now);
        assert_true(kv_hash_equal(&before, &after));
        view_of(&w.entry[at], blobs);
        assert_int_equal(judge(&w, now, w.entry[at].rec, blobs, &err), KV_OK);
    }
    print_message("%zu records at wrong places refused\n", tried);
    kv_state_free(now);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_equals_replay),
        cmocka_unit_test(what_is_drafted_can_be_written),
        cmocka_unit_test(each_changed_fact_is_refused),
        cmocka_unit_test(another_log_key),
        cmocka_unit_test(each_record_has_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
