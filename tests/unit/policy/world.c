#include "tests/unit/policy/world.h"

#include "core/hash.h"
#include "tests/unit/kv_test.h"

#include <openssl/ec.h>
#include <openssl/x509.h>
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
        if (strcmp(w->signer[i]->label, label) == 0) {
            return w->signer[i];
        }
    }
    assert_true(w->signer_count < KV_COUNT(w->signer));
    struct signer *signer = malloc(sizeof *signer);
    assert_non_null(signer);
    signer_init(signer, label);
    w->signer[w->signer_count++] = signer;
    return signer;
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

/* ---- judging ---- */

void world_must(const struct world *w, enum kv_code code)
{
    if (code != KV_OK) {
        fail_msg("%s: %s", kv_code_word(code), w->err.msg);
    }
}

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
    world_must(w, world_record(w, rec, &spki));

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
    world_must(w, world_record(w, rec, &certificate));
}

void world_due(struct world *w)
{
    struct kv_due due;
    struct kv_moment moment = {w->now_ms, UINT64_MAX};
    for (int i = 0; i < 100; i++) {
        kv_state_due(w->state, &moment, true, &due);
        if (due.rec == NULL) {
            kv_buf_clear(&due.doc);
            size_t at = 0;
            const struct kv_request *r = kv_state_key_wanted(w->state, &moment, &at);
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
        world_must(w, world_record(w, due.rec, &blob));
        kv_buf_clear(&due.doc);
    }
    fail_msg("something is due for ever");
}

/* ---- stories in one call ---- */

static void submit_and_clear(struct world *w, struct world_text *text)
{
    world_must(w, world_submit(w, text));
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
    world_must(w, world_submit(w, &text));
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
    world_must(w, world_submit(w, &text));
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
    world_must(w, world_submit(w, &text));
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

/* ---- opening ---- */

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
    world_found(w);
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
        signer_clear(w->signer[i]);
        free(w->signer[i]);
    }
    free(w->entry);
    kv_buf_clear(&w->policy);
    kv_buf_clear(&w->spki);
    kv_state_free(w->state);
}
