/* The approval vectors through the counting of the fold. Their policy text is a sample and their
 * requests rest on things that no record of theirs made, so the people, the policy and the request
 * are put into the state by hand; each decision then goes the way of every decision. */
#include "tests/unit/kv_test.h"

#include "policy/state_model.h"
#include "tests/unit/policy/vector.h"

#include <stdio.h>
#include <stdlib.h>

/* A log that had exactly the checkpoint that the text names. */
static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct kv_size_root *said = ctx;
    *out = said->root;
    return size == said->size;
}

struct scene {
    struct kv_state *state;
    struct kv_err err;
    struct kv_size_root said;
    bool other_root; /* the log has another root than the text says */
};

static void add_person(struct scene *s, const json_t *row, uint64_t seq)
{
    const char *id = vector_str(row, "person");
    struct kv_person_key *key = calloc(1, sizeof *key);
    struct kv_bytes file = vector_read(vector_str(row, "public_key"));
    int64_t until = 0;
    assert_non_null(key);
    assert_int_equal(kv_pubkey_parse_file(file, &key->key, &s->err), KV_OK);
    vector_free(file);
    memcpy(key->fingerprint, key->key.fingerprint, sizeof key->fingerprint);
    memcpy(key->person, id, strlen(id) + 1);
    assert_true(kv_time_parse_s(kv_bytes_str(vector_str(row, "valid_from")), &key->valid_from_ms));
    bool ends = kv_time_parse_s(kv_bytes_str(vector_str(row, "valid_until")), &until);
    key->not_after_ms = ends ? until + KV_SECOND_MS : KV_TIME_MAX;
    key->seq = seq;
    kv_list_add(&s->state->keys, key);
    if (kv_find_person(s->state, id) == NULL) {
        struct kv_person *p = calloc(1, sizeof *p);
        assert_non_null(p);
        memcpy(p->id, id, strlen(id) + 1);
        assert_true(kv_duty_parse(kv_bytes_str(vector_str(row, "duty")), &p->duty));
        p->enabled = true;
        kv_list_add(&s->state->persons, p);
    }
}

static void open_scene(struct scene *s, const json_t *index)
{
    static const char policy[] = "version: 1\n"
                                 "approvals:\n"
                                 "  default: {finance: 1, custodian: 1}\n";
    size_t i;
    json_t *row;
    *s = (struct scene){.state = kv_state_new()};
    assert_int_equal(kv_ruleset_parse(kv_bytes_str(policy), &s->state->rules, &s->err), KV_OK);
    s->state->has_rules = true;
    s->state->founded = true;
    s->state->size = 2; /* log.init and vault.found, of which nothing is asked here */
    json_array_foreach(json_object_get(index, "persons"), i, row)
    {
        add_person(s, row, 0);
    }
}

static void close_scene(struct scene *s)
{
    kv_state_free(s->state);
}

/* The request as if it had been opened when it was issued. */
static void put_request(struct scene *s, const char *name)
{
    struct kv_statement *st = NULL;
    struct kv_bytes text = vector_read(name);
    assert_int_equal(kv_statement_parse(text, &st, NULL, &s->err), KV_OK);
    vector_free(text);
    const char *vault = "ksef-vault.example.com/nip-5265877635";
    memcpy(s->state->vault, vault, strlen(vault) + 1);
    assert_true(kv_statement_hash(st, KV_KEY_POLICY, &s->state->policy));
    struct kv_record *rec = kv_record_new(KV_EV_REQUEST_OPEN);
    assert_true(kv_statement_time(st, KV_KEY_ISSUED, &rec->ts_ms));
    struct kv_judge j = {.s = s->state, .rec = rec, .now = rec->ts_ms, .err = &s->err};
    struct kv_request *r = kv_add_request(&j, st);
    r->collect_until_ms = r->issued_ms + (r->action == KV_ACTION_EMERGENCY ? 2 : 72) * KV_HOUR_MS;
    kv_note_text(&j, st, 1);
    s->state->last_ts_ms = rec->ts_ms;
    kv_record_free(rec);
}

/* Hand a text in half a minute after it was issued. */
static enum kv_code hand_in(struct scene *s, const char *text_name, const char *sig_name)
{
    struct kv_submission sub = {.text = vector_read(text_name), .signature = vector_read(sig_name)};
    struct kv_draft draft = {.rec = NULL};
    struct kv_statement *st = NULL;
    int64_t issued = 0;
    enum kv_code code = kv_state_draft(s->state, &sub, &draft, &s->err);
    if (code == KV_OK) {
        assert_int_equal(kv_statement_parse(sub.text, &st, NULL, &s->err), KV_OK);
        assert_true(kv_statement_time(st, KV_KEY_ISSUED, &issued));
        (void)kv_statement_checkpoint(st, &s->said);
        s->said.root.b[0] ^= s->other_root ? 1 : 0;
        struct kv_log_view log = {root_at, &s->said, UINT64_MAX, UINT64_MAX};
        struct kv_blobs blobs = {draft.blobs, draft.rec->doc_count};
        draft.rec->seq = s->state->size;
        draft.rec->ts_ms = issued + 30 * KV_SECOND_MS;
        if (draft.rec->ts_ms < s->state->last_ts_ms) {
            draft.rec->ts_ms = s->state->last_ts_ms;
        }
        code = kv_state_apply(s->state, draft.rec, &blobs, &log, &s->err);
    }
    kv_statement_free(st);
    kv_record_free(draft.rec);
    vector_free(sub.text);
    vector_free(sub.signature);
    return code;
}

static void sig_of(const char *text, char out[static 256])
{
    size_t stem = strlen(text) - strlen(".txt");
    int n = snprintf(out, 256, "%.*s.sig", (int)stem, text);
    assert_true(n > 0 && n < 256);
}

static bool is_founding(const char *request)
{
    return strncmp(request, "good/found", 10) == 0 || strstr(request, "founders") != NULL;
}

/* ---- founding ---- */

struct parts {
    struct kv_bytes blob[KV_RECORD_DOCS_MAX];
    size_t count;
};

static void part(struct parts *p, struct kv_record *rec, enum kv_doc_kind kind, const char *name)
{
    assert_true(p->count < KV_COUNT(p->blob));
    p->blob[p->count] = vector_read(name);
    kv_record_add_doc(rec, kind, p->blob[p->count++]);
}

/* log.init and vault.found with these decisions. */
static enum kv_code found(struct scene *s, const char *request, const char *decisions)
{
    struct kv_statement *st = NULL;
    struct kv_bytes text = vector_read(request);
    struct parts p = {.count = 0};
    char vault[KV_VAULT_LEN], key[512], id[KV_ULID_LEN], name[256], sig[256];
    assert_int_equal(kv_statement_parse(text, &st, NULL, &s->err), KV_OK);
    vector_free(text);
    kv_statement_copy(st, KV_KEY_VAULT, vault, sizeof vault);
    kv_statement_copy(st, KV_KEY_LOG_KEY, key, sizeof key);
    kv_statement_copy(st, KV_KEY_REQUEST, id, sizeof id);
    struct kv_record *init = kv_record_new(KV_EV_LOG_INIT);
    kv_record_info_str(init, "vault", vault);
    kv_record_info_str(init, "vkey", key);
    kv_record_info_bool(init, "test", kv_statement_yes(st, KV_KEY_TEST));
    struct kv_log_view log = {root_at, &s->said, 0, UINT64_MAX};
    struct kv_blobs none = {NULL, 0};
    assert_int_equal(kv_state_apply(s->state, init, &none, &log, &s->err), KV_OK);

    struct kv_record *rec = kv_record_new(KV_EV_VAULT_FOUND);
    rec->seq = 1;
    assert_true(kv_time_parse_s(kv_bytes_str("2026-01-05T10:00:00Z"), &rec->ts_ms));
    kv_record_set(rec, KV_RK_REQ, id);
    part(&p, rec, KV_DOC_REQUEST, request);
    if (kv_statement_has(st, KV_KEY_REQUESTER)) {
        sig_of(request, sig);
        part(&p, rec, KV_DOC_SIGNATURE, sig);
    }
    for (const char *at = decisions; *at != '\0';) {
        size_t len = strcspn(at, " ");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, at);
        sig_of(name, sig);
        part(&p, rec, KV_DOC_STATEMENT, name);
        part(&p, rec, KV_DOC_SIGNATURE, sig);
        at += len + (at[len] == ' ');
    }
    struct kv_blobs blobs = {p.blob, p.count};
    enum kv_code code = kv_state_apply(s->state, rec, &blobs, &log, &s->err);
    for (size_t i = 0; i < p.count; i++) {
        vector_free(p.blob[i]);
    }
    kv_record_free(init);
    kv_record_free(rec);
    kv_statement_free(st);
    return code;
}

/* ---- sets ---- */

static const char *count_founding(struct scene *s, const json_t *row)
{
    kv_state_free(s->state);
    s->state = kv_state_new();
    enum kv_code code = found(s, vector_str(row, "request"), vector_str(row, "decisions"));
    return code == KV_OK ? "approved" : code == KV_E_LEDGER_NOT_APPROVED ? "open" : s->err.msg;
}

static const char *count_set(struct scene *s, const json_t *row, enum kv_code *last)
{
    char name[256], sig[256];
    put_request(s, vector_str(row, "request"));
    for (const char *at = vector_str(row, "decisions"); *at != '\0';) {
        size_t len = strcspn(at, " ");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, at);
        sig_of(name, sig);
        *last = hand_in(s, name, sig);
        at += len + (at[len] == ' ');
    }
    const struct kv_request *r = s->state->requests.item[0];
    return kv_request_state_word(r->state);
}

static void every_set_counts_as_it_says(void **state)
{
    (void)state;
    json_t *index = vector_index();
    size_t i, count = 0;
    json_t *row;
    json_array_foreach(json_object_get(index, "sets"), i, row)
    {
        struct scene s;
        enum kv_code last = KV_OK, expected = KV_OK;
        open_scene(&s, index);
        const char *name = vector_str(row, "set");
        const char *got = is_founding(vector_str(row, "request")) ? count_founding(&s, row)
                                                                  : count_set(&s, row, &last);
        if (strcmp(got, vector_str(row, "expect")) != 0) {
            fail_msg("%s: %s (%s)", name, got, s.err.msg);
        }
        if (strcmp(name, "deny-vetoes") == 0) {
            expected = KV_E_APPR_NOT_OPEN; /* whoever else approves */
        } else if (strcmp(name, "person-twice") == 0) {
            expected = KV_E_APPR_TWICE;
        }
        assert_int_equal(last, expected);
        close_scene(&s);
        count++;
    }
    assert_int_equal(count, 20);
    json_decref(index);
}

/* ---- single texts ---- */

/* The nonces of all other good decisions are in the ledger already. */
static void note_others(struct scene *s, const json_t *index, const char *except)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(index, "texts"), i, row)
    {
        struct kv_statement *st = NULL;
        struct kv_bytes text = vector_read(vector_str(row, "text"));
        if (strcmp(vector_str(row, "expect"), "good") == 0 &&
            strcmp(vector_str(row, "text"), except) != 0 &&
            kv_statement_parse(text, &st, NULL, NULL) == KV_OK &&
            kv_statement_type(st) == KV_STATEMENT_DECISION) {
            struct kv_hash nonce = kv_hash(kv_statement_get(st, KV_KEY_NONCE));
            kv_hash_map_put(&s->state->nonces, &nonce, 0);
        }
        kv_statement_free(st);
        vector_free(text);
    }
}

static enum kv_code judge_one(struct scene *s, const json_t *index, const json_t *row)
{
    const char *request = vector_str(row, "request"), *text = vector_str(row, "text");
    note_others(s, index, text);
    put_request(s, request);
    return hand_in(s, text, vector_str(row, "sig"));
}

static void every_bad_decision_has_its_code(void **state)
{
    (void)state;
    json_t *index = vector_index();
    size_t i, count = 0;
    json_t *row;
    json_array_foreach(json_object_get(index, "texts"), i, row)
    {
        struct scene s;
        const char *expect = vector_str(row, "expect"), *request = vector_str(row, "request");
        bool counts = strncmp(expect, "approval.", 9) == 0 ||
                      strncmp(expect, "signature.", 10) == 0 ||
                      strcmp(expect, "statement.request-differs") == 0;
        if (!counts || strcmp(request, "-") == 0 || strcmp(vector_str(row, "sig"), "-") == 0 ||
            strcmp(vector_str(row, "issue"), "console") == 0) {
            continue;
        }
        open_scene(&s, index);
        enum kv_code code;
        if (is_founding(request)) {
            kv_state_free(s.state);
            s.state = kv_state_new();
            code = found(&s, request, vector_str(row, "text"));
        } else {
            code = judge_one(&s, index, row);
        }
        if (strcmp(kv_code_word(code), expect) != 0) {
            fail_msg("%s: %s instead of %s (%s)", vector_str(row, "text"), kv_code_word(code),
                     expect, s.err.msg);
        }
        close_scene(&s);
        count++;
    }
    assert_in_range(count, 12, 100);
    json_decref(index);
}

static void every_good_decision_is_collected_alone(void **state)
{
    (void)state;
    json_t *index = vector_index();
    size_t i, count = 0;
    json_t *row;
    json_array_foreach(json_object_get(index, "texts"), i, row)
    {
        struct scene s;
        const char *request = vector_str(row, "request");
        if (strcmp(vector_str(row, "expect"), "good") != 0 || strcmp(request, "-") == 0 ||
            is_founding(request) || strncmp(vector_str(row, "text"), "good/", 5) != 0) {
            continue;
        }
        open_scene(&s, index);
        enum kv_code code = judge_one(&s, index, row);
        if (code != KV_OK) {
            fail_msg("%s: %s", vector_str(row, "text"), s.err.msg);
        }
        close_scene(&s);
        /* and is refused by a log that never had that state */
        open_scene(&s, index);
        s.other_root = true;
        assert_int_equal(judge_one(&s, index, row), KV_E_APPR_CHECKPOINT);
        close_scene(&s);
        count++;
    }
    assert_in_range(count, 25, 100);
    json_decref(index);
}

static void too_few_founders_found_nothing(void **state)
{
    (void)state;
    struct scene s = {.state = kv_state_new()};
    assert_int_equal(found(&s, "bad/too-few-founders/request.txt", ""), KV_E_FOUNDERS);
    close_scene(&s);
}

static void a_key_of_somebody_else_is_not_enrolled(void **state)
{
    (void)state;
    json_t *index = vector_index();
    struct scene s;
    open_scene(&s, index);
    put_request(&s, "good/person.enrol/request.txt"); /* vault and policy of the texts */
    assert_int_equal(hand_in(&s, "bad/key-in-use/request.txt", "bad/key-in-use/request.sig"),
                     KV_E_PERSON_KEY_USED);
    close_scene(&s);
    json_decref(index);
}

static void acts_of_the_vectors_take_away(void **state)
{
    (void)state;
    static const char *const acts[] = {"compromised", "leave", "retire"};
    json_t *index = vector_index();
    struct scene s;
    open_scene(&s, index);
    put_request(&s, "good/person.enrol/request.txt");
    for (size_t i = 0; i < KV_COUNT(acts); i++) {
        char text[64], sig[64];
        (void)snprintf(text, sizeof text, "good/acts/%s.txt", acts[i]);
        (void)snprintf(sig, sizeof sig, "good/acts/%s.sig", acts[i]);
        if (hand_in(&s, text, sig) != KV_OK) {
            fail_msg("%s: %s", text, s.err.msg);
        }
    }
    assert_false(kv_find_person(s.state, "fin-03")->enabled);
    assert_null(kv_state_good_key(s.state, "cus-02", s.state->last_ts_ms));
    close_scene(&s);
    json_decref(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_counts_as_it_says),
        cmocka_unit_test(every_bad_decision_has_its_code),
        cmocka_unit_test(every_good_decision_is_collected_alone),
        cmocka_unit_test(too_few_founders_found_nothing),
        cmocka_unit_test(a_key_of_somebody_else_is_not_enrolled),
        cmocka_unit_test(acts_of_the_vectors_take_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
