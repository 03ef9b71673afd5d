#include "tests/unit/policy/world.h"

#include "core/hash.h"
#include "tests/unit/kv_test.h"

#include <openssl/ec.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char world_policy[] = "version: 1\n"
                            "approvals:\n"
                            "  default: {finance: 1, custodian: 1}\n"
                            "limits:\n"
                            "  grant-days-max: 106\n"
                            "custody-minimum: software\n"
                            "on-exe-change: suspend\n";

/* ---- people and log ---- */

struct signer *world_signer(struct world *w, const char *label)
{
    for (size_t i = 0; i < w->signer_count; i++) {
        if (strcmp(w->signer[i].label, label) == 0) {
            return &w->signer[i];
        }
    }
    assert_true(w->signer_count < KV_COUNT(w->signer));
    signer_init(&w->signer[w->signer_count], label);
    return &w->signer[w->signer_count++];
}

bool world_root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    char text[32];
    (void)ctx;
    int len = snprintf(text, sizeof text, "root %llu", (unsigned long long)size);
    *out = kv_hash(size == 0 ? KV_BYTES_NULL : kv_bytes(text, (size_t)len));
    return true;
}

struct kv_log_view world_log(struct world *w)
{
    return (struct kv_log_view){world_root_at, w, kv_state_size(w->state), w->covered};
}

static void make_log_key(struct world *w)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    assert_int_equal(len, 91);
    kv_buf_init(&w->spki, 256);
    kv_buf_add(&w->spki, der, (size_t)len);
    struct kv_hash id = kv_hash(kv_buf_bytes(&w->spki));
    char hex[KV_HASH_HEX_LEN];
    kv_hash_hex(&id, hex);
    struct kv_buf out;
    kv_buf_init(&out, sizeof w->log_key - 1);
    struct kv_buf tagged;
    kv_buf_init(&tagged, 256);
    kv_buf_add_u8(&tagged, 2);
    kv_buf_add(&tagged, der, (size_t)len);
    kv_buf_add_format(&out, WORLD_VAULT "/audit+%.8s+", hex);
    kv_buf_add_base64(&out, kv_buf_bytes(&tagged));
    memcpy(w->log_key, kv_buf_str(&out), out.len + 1);
    kv_buf_clear(&tagged);
    kv_buf_clear(&out);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

/* ---- the list of records ---- */

enum kv_code world_record(struct world *w, struct kv_record *rec, const struct kv_bytes *blobs)
{
    struct kv_log_view log = world_log(w);
    struct kv_blobs view = {blobs, rec->doc_count};
    rec->seq = kv_state_size(w->state);
    rec->ts_ms = w->now_ms;
    enum kv_code code = kv_state_apply(w->state, rec, &view, &log, &w->err);
    if (code != KV_OK) {
        kv_record_free(rec);
        return code;
    }
    assert_true(rec->doc_count <= WORLD_BLOBS);
    if (w->count == w->cap) {
        w->cap = w->cap == 0 ? 64 : 2 * w->cap;
        w->entry = reallocarray(w->entry, w->cap, sizeof *w->entry);
        assert_non_null(w->entry);
    }
    struct world_entry *e = &w->entry[w->count++];
    *e = (struct world_entry){.rec = rec};
    for (size_t i = 0; i < rec->doc_count; i++) {
        kv_buf_init(&e->blob[i], KV_BLOB_MAX);
        kv_buf_add_bytes(&e->blob[i], blobs[i]);
    }
    return KV_OK;
}

struct kv_state *world_replay(struct world *w, size_t *bad, struct kv_err *err)
{
    struct kv_state *state = kv_state_new();
    for (*bad = 0; *bad < w->count; ++*bad) {
        struct world_entry *e = &w->entry[*bad];
        struct kv_bytes view[WORLD_BLOBS];
        for (size_t i = 0; i < e->rec->doc_count; i++) {
            view[i] = kv_buf_bytes(&e->blob[i]);
        }
        struct kv_blobs blobs = {view, e->rec->doc_count};
        struct kv_log_view log = {world_root_at, w, *bad, UINT64_MAX};
        if (kv_state_apply(state, e->rec, &blobs, &log, err) != KV_OK) {
            break;
        }
    }
    return state;
}

/* ---- composing ---- */

void world_text_clear(struct world_text *text)
{
    kv_buf_clear(&text->text);
    kv_buf_clear(&text->signature);
    kv_buf_clear(&text->proof);
    kv_buf_clear(&text->policy);
}

static void text_init(struct world_text *text)
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
    text_init(out);
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
    text_init(out);
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

static void decide_on(struct world *w, struct world_text *out, const char *signer, const char *role,
                      enum kv_decision decision, const struct kv_statement *request)
{
    struct values v;
    struct kv_statement *st = NULL;
    const struct signer *s = world_signer(w, signer);
    struct kv_decision_head head = {.decision = decision};
    text_init(out);
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
    decide_on(w, out, signer, role, decision, r->text);
    memcpy(out->request, r->id, sizeof out->request);
}

void world_act(struct world *w, struct world_text *out, const char *signer, enum kv_act act,
               const char *target, const char *key, const char *value)
{
    struct values v;
    struct draft d = {.count = 0};
    struct kv_statement *st = NULL;
    const struct signer *s = world_signer(w, signer);
    text_init(out);
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

/* ---- judging ---- */

enum kv_code world_submit(struct world *w, const struct world_text *text)
{
    struct kv_draft draft = {.rec = NULL};
    struct kv_submission sub = {.text = kv_buf_bytes(&text->text),
                                .signature = kv_buf_bytes(&text->signature),
                                .new_key_signature = kv_buf_bytes(&text->proof),
                                .policy = kv_buf_bytes(&text->policy),
                                .integration = text->integration,
                                .via = text->integration == NULL ? NULL : "uid:2101"};
    enum kv_code code = kv_state_draft(w->state, &sub, &draft, &w->err);
    code = code != KV_OK ? code : world_record(w, draft.rec, draft.blobs);
    if (code == KV_OK && text->policy.len > 0) {
        kv_buf_reset(&w->policy);
        kv_buf_add_bytes(&w->policy, kv_buf_bytes(&text->policy));
    }
    return code;
}

static void must(struct world *w, enum kv_code code)
{
    if (code != KV_OK) {
        fail_msg("%s: %s", kv_code_word(code), w->err.msg);
    }
}

static void make_key(struct world *w, const struct kv_request *r)
{
    char id[KV_ID_LEN];
    struct kv_bytes spki = kv_buf_bytes(&w->spki);
    kv_statement_copy(r->text, KV_KEY_CREDENTIAL, id, sizeof id);
    struct kv_record *rec = kv_record_new(KV_EV_CRED_CREATE);
    kv_record_set(rec, KV_RK_REQ, r->id);
    kv_record_set(rec, KV_RK_CRED, id);
    kv_record_info_str(rec, "custody", "software");
    kv_record_info_map_bool(rec, "attrs", "local", true);
    kv_record_add_doc(rec, KV_DOC_PUBLIC_KEY, spki);
    must(w, world_record(w, rec, &spki));

    char from[KV_TIME_S_LEN], to[KV_TIME_S_LEN];
    struct kv_bytes certificate = kv_bytes_str("a certificate; the fold takes its hash only");
    kv_time_format_s(w->now_ms - KV_DAY_MS, from);
    kv_time_format_s(w->now_ms + 365 * KV_DAY_MS, to);
    rec = kv_record_new(KV_EV_CRED_ACTIVATE);
    kv_record_set(rec, KV_RK_REQ, r->id);
    kv_record_set(rec, KV_RK_CRED, id);
    kv_record_info_str(rec, "from", from);
    kv_record_info_str(rec, "to", to);
    kv_record_info_bool(rec, "self", true);
    kv_record_add_doc(rec, KV_DOC_CERTIFICATE, certificate);
    must(w, world_record(w, rec, &certificate));
}

void world_due(struct world *w)
{
    struct kv_due due;
    struct kv_moment moment = {w->now_ms, UINT64_MAX};
    for (int i = 0; i < 100; i++) {
        kv_state_due(w->state, &moment, true, &due);
        if (due.rec == NULL) {
            kv_buf_clear(&due.doc);
            const struct kv_request *r = kv_state_key_wanted(w->state, &moment);
            if (r == NULL) {
                return;
            }
            make_key(w, r);
            continue;
        }
        struct kv_bytes blob = kv_buf_bytes(&due.doc);
        if (due.wants_policy) {
            blob = kv_buf_bytes(&w->policy);
            kv_record_add_doc(due.rec, KV_DOC_POLICY, blob);
        }
        must(w, world_record(w, due.rec, &blob));
        kv_buf_clear(&due.doc);
    }
    fail_msg("something is due for ever");
}

/* ---- stories in one call ---- */

static void submit_and_clear(struct world *w, struct world_text *text)
{
    must(w, world_submit(w, text));
    world_text_clear(text);
}

void world_approve(struct world *w, const char *request)
{
    struct world_text text;
    world_decision(w, &text, "fin-01", "finance", KV_DECISION_APPROVE, request);
    submit_and_clear(w, &text);
    world_decision(w, &text, "cus-01", "custodian", KV_DECISION_APPROVE, request);
    submit_and_clear(w, &text);
    world_due(w);
}

void world_credential(struct world *w, const char *id)
{
    struct world_text text;
    world_request(w, &text, "cus-02", KV_ACTION_CREDENTIAL_CREATE, "credential", id, "kind",
                  "auth-certificate", "key-type", "ec-p256", "slot", "main", "environment", "test",
                  "contexts", WORLD_NIP, "business-owner", "fin-01", "technical-custodian",
                  "cus-01", NULL);
    must(w, world_submit(w, &text));
    world_approve(w, text.request);
    world_text_clear(&text);
}

void world_integration(struct world *w, const char *id, const char *uid)
{
    struct world_text text;
    world_request(w, &text, "cus-02", KV_ACTION_INTEGRATION_REGISTER, "integration", id, "purpose",
                  "Sends invoices", "business-owner", "fin-01", "technical-custodian", "cus-01",
                  "organisation", "own", "contract-end", "-", "contexts", WORLD_NIP, "operations",
                  "auth.xades,csr.sign,qr.kod2,session.open", "uid", uid, "gid", "-", "unit", "-",
                  "exe", "-", "exe-sha256", "-", NULL);
    must(w, world_submit(w, &text));
    world_approve(w, text.request);
    world_text_clear(&text);
}

void world_grant(struct world *w, char id[static KV_ULID_LEN])
{
    struct world_text text;
    if (kv_state_credential_count(w->state) == 0) {
        world_credential(w, "cred-1");
        world_integration(w, "erp-1", "2101");
    }
    world_request(w, &text, "req-01", KV_ACTION_GRANT, "credential", "cred-1", "integration",
                  "erp-1", "context", WORLD_NIP, "operations", "auth.xades,csr.sign,session.open",
                  "class", "routine", "max-uses", "-", "rate", "-", NULL);
    must(w, world_submit(w, &text));
    world_approve(w, text.request);
    memcpy(id, text.request, KV_ULID_LEN);
    world_text_clear(&text);
}

enum kv_code world_use(struct world *w, const char *grant)
{
    const struct kv_grant *g = kv_state_grant(w->state, kv_bytes_str(grant));
    struct kv_record *rec = kv_record_new(KV_EV_USE_SIGN);
    struct kv_hash dig = kv_hash(kv_bytes_str("what is signed"));
    kv_record_set_who(rec, KV_WHO_INTEGRATION, "erp-1", "uid:2101");
    kv_record_set(rec, KV_RK_GRANT, grant);
    kv_record_set(rec, KV_RK_CRED, g == NULL ? "cred-1" : g->credential->id);
    kv_record_set_op(rec, KV_OP_CSR_SIGN);
    kv_record_set(rec, KV_RK_CTX, WORLD_NIP);
    kv_record_set_dig(rec, &dig);
    return world_record(w, rec, NULL);
}

/* ---- founding ---- */

static void found(struct world *w)
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
    text_init(&request);
    finish_request(w, &request, "req-01", KV_ACTION_FOUND, &d, &policy);

    struct kv_founding *f = kv_founding_new(WORLD_VAULT, w->log_key);
    struct kv_submission sub = {.text = kv_buf_bytes(&request.text),
                                .signature = kv_buf_bytes(&request.signature),
                                .policy = kv_buf_bytes(&w->policy)};
    struct kv_statement *st = NULL;
    must(w, kv_founding_add(f, &sub, w->now_ms, &w->err));
    must(w, kv_statement_parse(sub.text, &st, NULL, &w->err));
    for (size_t i = 0; i < 4; i++) {
        assert_false(kv_founding_complete(f));
        decide_on(w, &vote, w->signer[i].label, i < 2 ? "finance" : "custodian",
                  KV_DECISION_APPROVE, st);
        sub = (struct kv_submission){.text = kv_buf_bytes(&vote.text),
                                     .signature = kv_buf_bytes(&vote.signature)};
        must(w, kv_founding_add(f, &sub, w->now_ms, &w->err));
        world_text_clear(&vote);
    }
    assert_true(kv_founding_complete(f));
    struct kv_founding_record rec;
    for (size_t i = 0;; i++) {
        kv_founding_record(f, kv_buf_bytes(&w->spki), i, &rec);
        if (rec.rec == NULL) {
            break;
        }
        must(w, world_record(w, rec.rec, rec.blobs));
    }
    kv_statement_free(st);
    kv_founding_free(f);
    world_text_clear(&request);
}

void world_open_unfounded(struct world *w, const char *policy)
{
    *w = (struct world){.state = kv_state_new(), .now_ms = WORLD_START, .covered = UINT64_MAX};
    kv_buf_init(&w->policy, KV_BLOB_MAX);
    kv_buf_add_str(&w->policy, policy);
    make_log_key(w);
}

void world_open_with(struct world *w, const char *policy)
{
    world_open_unfounded(w, policy);
    found(w);
}

void world_open(struct world *w)
{
    world_open_with(w, world_policy);
}

void world_close(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        for (size_t k = 0; k < w->entry[i].rec->doc_count; k++) {
            kv_buf_clear(&w->entry[i].blob[k]);
        }
        kv_record_free(w->entry[i].rec);
    }
    for (size_t i = 0; i < w->signer_count; i++) {
        signer_clear(&w->signer[i]);
    }
    free(w->entry);
    kv_buf_clear(&w->policy);
    kv_buf_clear(&w->spki);
    kv_state_free(w->state);
}
