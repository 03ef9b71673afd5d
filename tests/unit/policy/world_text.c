/* The texts of the tests' vault, and its founding. */
#include "policy/sshsig.h"
#include "tests/unit/kv_test.h"
#include "tests/unit/policy/world.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- composing ---- */

void world_text_clear(struct world_text *text)
{
    kv_buf_clear(&text->text);
    kv_buf_clear(&text->signature);
    kv_buf_clear(&text->proof);
    kv_buf_clear(&text->policy);
}

void world_text_init(struct world_text *text)
{
    *text = (struct world_text){.integration = NULL};
    kv_buf_init(&text->text, KV_STATEMENT_MAX);
    kv_buf_init(&text->signature, KV_SSHSIG_ARMOUR_MAX);
    kv_buf_init(&text->proof, KV_SSHSIG_ARMOUR_MAX);
    kv_buf_init(&text->policy, KV_BLOB_MAX);
}

struct draft {
    struct kv_line line[64];
    size_t count;
};

static void put(struct draft *d, enum kv_key key, uint32_t n, const char *value)
{
    assert_true(d->count < KV_COUNT(d->line));
    d->line[d->count++] = (struct kv_line){key, n, kv_bytes_str(value)};
}

struct values {
    char ulid[KV_ULID_LEN], nonce[KV_NONCE_LEN], issued[KV_TIME_S_LEN], before[KV_TIME_S_LEN],
        after[KV_TIME_S_LEN], policy[KV_HASH_HEX_LEN], reason[KV_HASH_BASE64_LEN],
        checkpoint[KV_SIZE_ROOT_LEN], requester[80];
    int64_t issued_ms;
};

static void draw(struct world *w, struct values *v, const struct kv_hash *policy)
{
    char seed[40];
    int len = snprintf(seed, sizeof seed, "draw %llu", (unsigned long long)++w->drawn);
    struct kv_hash random = kv_hash(kv_bytes(seed, (size_t)len));
    v->ulid[0] = '0';
    kv_base32_encode(kv_bytes(random.b, 16), 25, v->ulid + 1);
    kv_nonce_print(random.b, v->nonce);
    if (w->nonce[0] != '\0') {
        memcpy(v->nonce, w->nonce, sizeof v->nonce);
    }
    v->issued_ms = w->issued_ms != 0 ? w->issued_ms : w->now_ms;
    kv_time_format_s(v->issued_ms, v->issued);
    kv_hash_hex(policy, v->policy);
    kv_hash_base64(&random, v->reason);
    struct kv_size_root checkpoint = {.size = kv_state_size(w->state)};
    (void)world_root_at(w, checkpoint.size, &checkpoint.root);
    kv_size_root_print(w->has_checkpoint ? &w->checkpoint : &checkpoint, v->checkpoint);
}

static void used(struct world *w)
{
    w->issued_ms = w->not_before_ms = w->not_after_ms = 0;
    w->nonce[0] = '\0';
    w->has_checkpoint = false;
    w->vault = w->policy_sha256 = NULL;
}

static const char *vault_of(const struct world *w)
{
    return w->vault == NULL ? WORLD_VAULT : w->vault;
}

/* Compose the request of `d`, sign it by `signer` ("integration:<id>": nobody signs, "": nobody
 * asks). */
static void finish_request(struct world *w, struct world_text *out, const char *who,
                           enum kv_action action, struct draft *d, const struct kv_hash *policy)
{
    struct values v;
    struct kv_statement *st = NULL;
    static const char prefix[] = "integration:";
    bool itself = strncmp(who, prefix, strlen(prefix)) == 0;
    const struct signer *s = itself || who[0] == '\0' ? NULL : world_signer(w, who);
    draw(w, &v, policy);
    bool window = action == KV_ACTION_GRANT;
    int64_t before = window && w->not_before_ms != 0 ? w->not_before_ms : v.issued_ms;
    int64_t after = w->not_after_ms != 0 ? w->not_after_ms : before + (window ? 60 : 3) * KV_DAY_MS;
    kv_time_format_s(before, v.before);
    kv_time_format_s(after, v.after);
    put(d, KV_KEY_VAULT, 0, vault_of(w));
    put(d, KV_KEY_POLICY, 0, w->policy_sha256 == NULL ? v.policy : w->policy_sha256);
    put(d, KV_KEY_REQUEST, 0, v.ulid);
    put(d, KV_KEY_REQUESTER, 0, s != NULL ? s->person : itself ? who : "-");
    put(d, KV_KEY_REQUESTER_KEY, 0, s != NULL ? s->fingerprint : "-");
    put(d, KV_KEY_ACTION, 0, kv_action_word(action));
    put(d, KV_KEY_REASON_COMMITMENT, 0, action == KV_ACTION_FOUND ? "-" : v.reason);
    put(d, KV_KEY_NOT_BEFORE, 0, v.before);
    put(d, KV_KEY_NOT_AFTER, 0, v.after);
    put(d, KV_KEY_ISSUED, 0, v.issued);
    put(d, KV_KEY_NONCE, 0, v.nonce);
    used(w);
    if (kv_compose_request(d->line, d->count, &st, &w->err) != KV_OK) {
        fail_msg("%s", w->err.msg);
    }
    kv_buf_add_bytes(&out->text, kv_statement_text(st));
    kv_statement_free(st);
    memcpy(out->request, v.ulid, sizeof out->request);
    if (s != NULL) {
        signer_sign(s, kv_buf_bytes(&out->text), &out->signature);
    }
    out->integration = itself ? strchr(who, ':') + 1 : NULL;
}

void world_request(struct world *w, struct world_text *out, const char *signer,
                   enum kv_action action, ...)
{
    struct draft d = {.count = 0};
    va_list ap;
    world_text_init(out);
    va_start(ap, action);
    for (const char *word; (word = va_arg(ap, const char *)) != NULL;) {
        enum kv_key key;
        uint32_t n;
        assert_true(kv_key_parse(kv_bytes_str(word), &key, &n));
        put(&d, key, n, va_arg(ap, const char *));
    }
    va_end(ap);
    finish_request(w, out, signer, action, &d, kv_state_policy(w->state));
}

static void put_policy(struct draft *d, const char *policy, struct kv_sentences *sentences,
                       char hex[static KV_HASH_HEX_LEN])
{
    struct kv_ruleset rules;
    struct kv_err err;
    struct kv_hash hash = kv_hash(kv_bytes_str(policy));
    if (kv_ruleset_parse(kv_bytes_str(policy), &rules, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    kv_ruleset_sentences(&rules, KV_LANG_EN, sentences);
    kv_hash_hex(&hash, hex);
    put(d, KV_KEY_POLICY_SHA256, 0, hex);
    put(d, KV_KEY_LANG, 0, "en");
    for (size_t i = 0; i < sentences->count; i++) {
        put(d, KV_KEY_SENTENCE_N, (uint32_t)i + 1, sentences->text[i]);
    }
}

void world_policy_request(struct world *w, struct world_text *out, const char *signer,
                          const char *policy, const char *ends)
{
    static struct kv_sentences sentences; /* too big for the stack */
    struct draft d = {.count = 0};
    char hex[KV_HASH_HEX_LEN];
    world_text_init(out);
    put_policy(&d, policy, &sentences, hex);
    if (ends != NULL) {
        put(&d, KV_KEY_ENDS_GRANT_N, 1, ends);
    }
    kv_buf_add_str(&out->policy, policy);
    finish_request(w, out, signer, KV_ACTION_POLICY, &d, kv_state_policy(w->state));
}

void world_prove(struct world *w, struct world_text *text, const char *signer)
{
    signer_sign(world_signer(w, signer), kv_buf_bytes(&text->text), &text->proof);
}

void world_decide(struct world *w, struct world_text *out, const char *signer, const char *role,
                  enum kv_decision decision, const struct kv_statement *request)
{
    struct values v;
    struct kv_statement *st = NULL;
    const struct signer *s = world_signer(w, signer);
    struct kv_decision_head head = {.decision = decision};
    world_text_init(out);
    draw(w, &v, kv_state_policy(w->state));
    assert_true(kv_seat_parse(kv_bytes_str(role), &head.seat));
    assert_true(kv_size_root_parse(kv_bytes_str(v.checkpoint), &head.checkpoint));
    head.approver = kv_bytes_str(s->person);
    head.approver_key = kv_bytes_str(s->fingerprint);
    head.nonce = kv_bytes_str(v.nonce);
    head.issued_ms = v.issued_ms;
    used(w);
    if (kv_compose_decision(request, &head, &st, &w->err) != KV_OK) {
        fail_msg("%s", w->err.msg);
    }
    kv_buf_add_bytes(&out->text, kv_statement_text(st));
    kv_statement_free(st);
    signer_sign(s, kv_buf_bytes(&out->text), &out->signature);
}

void world_decision(struct world *w, struct world_text *out, const char *signer, const char *role,
                    enum kv_decision decision, const char *request)
{
    const struct kv_request *r = kv_state_request(w->state, kv_bytes_str(request));
    assert_non_null(r);
    world_decide(w, out, signer, role, decision, r->text);
    memcpy(out->request, r->id, sizeof out->request);
}

void world_act(struct world *w, struct world_text *out, const char *signer, enum kv_act act,
               const char *target, const char *key, const char *value)
{
    struct values v;
    struct draft d = {.count = 0};
    struct kv_statement *st = NULL;
    const struct signer *s = world_signer(w, signer);
    world_text_init(out);
    draw(w, &v, kv_state_policy(w->state));
    put(&d, KV_KEY_VAULT, 0, vault_of(w));
    put(&d, KV_KEY_ACT, 0, kv_act_word(act));
    put(&d, KV_KEY_TARGET, 0, target);
    put(&d, KV_KEY_ACTOR, 0, s->person);
    put(&d, KV_KEY_ACTOR_KEY, 0, s->fingerprint);
    if (key != NULL) {
        enum kv_key line;
        uint32_t n;
        assert_true(kv_key_parse(kv_bytes_str(key), &line, &n));
        put(&d, line, n, value);
    }
    put(&d, KV_KEY_REASON_COMMITMENT, 0, v.reason);
    put(&d, KV_KEY_LOG_CHECKPOINT, 0, v.checkpoint);
    put(&d, KV_KEY_NONCE, 0, v.nonce);
    put(&d, KV_KEY_ISSUED, 0, v.issued);
    used(w);
    if (kv_compose_act(d.line, d.count, &st, &w->err) != KV_OK) {
        fail_msg("%s", w->err.msg);
    }
    kv_buf_add_bytes(&out->text, kv_statement_text(st));
    kv_statement_free(st);
    signer_sign(s, kv_buf_bytes(&out->text), &out->signature);
}

/* ---- founding ---- */

void world_found(struct world *w)
{
    static const char *const people[] = {"fin-01 finance", "fin-02 finance", "cus-01 custodian",
                                         "cus-02 custodian", "req-01 -"};
    static struct kv_sentences sentences; /* too big for the stack */
    struct draft d = {.count = 0};
    char line[KV_COUNT(people)][160], hex[KV_HASH_HEX_LEN];
    struct world_text request, vote;
    put(&d, KV_KEY_LOG_KEY, 0, w->log_key);
    put(&d, KV_KEY_TEST, 0, "yes");
    for (size_t i = 0; i < KV_COUNT(people); i++) {
        char id[16] = "";
        memcpy(id, people[i], 6);
        const struct signer *s = world_signer(w, id);
        int len = snprintf(line[i], sizeof line[i], "%s %s", people[i], s->fingerprint);
        assert_true(len > 0 && (size_t)len < sizeof line[i]);
        put(&d, KV_KEY_PERSON_N, (uint32_t)i + 1, line[i]);
        put(&d, KV_KEY_PUBLIC_KEY_N, (uint32_t)i + 1, s->line);
    }
    put_policy(&d, kv_buf_str(&w->policy), &sentences, hex);
    struct kv_hash policy = kv_hash(kv_buf_bytes(&w->policy));
    world_text_init(&request);
    finish_request(w, &request, "req-01", KV_ACTION_FOUND, &d, &policy);

    struct kv_founding *f = kv_founding_new(WORLD_VAULT, w->log_key);
    struct kv_submission sub = {.text = kv_buf_bytes(&request.text),
                                .signature = kv_buf_bytes(&request.signature),
                                .policy = kv_buf_bytes(&w->policy)};
    struct kv_statement *st = NULL;
    world_must(w, kv_founding_add(f, &sub, w->now_ms, &w->err));
    world_must(w, kv_statement_parse(sub.text, &st, NULL, &w->err));
    for (size_t i = 0; i < 4; i++) {
        assert_false(kv_founding_complete(f));
        world_decide(w, &vote, w->signer[i]->label, i < 2 ? "finance" : "custodian",
                     KV_DECISION_APPROVE, st);
        sub = (struct kv_submission){.text = kv_buf_bytes(&vote.text),
                                     .signature = kv_buf_bytes(&vote.signature)};
        world_must(w, kv_founding_add(f, &sub, w->now_ms, &w->err));
        world_text_clear(&vote);
    }
    assert_true(kv_founding_complete(f));
    struct kv_founding_record rec;
    for (size_t i = 0;; i++) {
        kv_founding_record(f, kv_buf_bytes(&w->spki), i, &rec);
        if (rec.rec == NULL) {
            break;
        }
        world_must(w, world_record(w, rec.rec, rec.blobs));
    }
    kv_statement_free(st);
    kv_founding_free(f);
    world_text_clear(&request);
}
