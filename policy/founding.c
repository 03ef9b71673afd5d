/* Collects a founding before there is a ledger (docs/approvals.md: founding is one commit). */
#include "core/buf.h"
#include "policy/sshsig.h"
#include "policy/state_founding.h"
#include "policy/state_model.h"

#include <stdlib.h>

struct vote {
    struct kv_buf text, signature;
    struct kv_hash nonce;
    bool have;
};

struct kv_founding {
    char vault[KV_VAULT_LEN];
    char log_key[512];
    struct kv_statement *request; /* NULL: none yet */
    struct kv_buf signature, policy;
    struct vote votes[KV_FOUNDERS_MAX + 2]; /* by number of the founder */
};

struct kv_founding *kv_founding_new(const char *vault, const char *log_key)
{
    struct kv_founding *f = calloc(1, sizeof *f);
    if (f == NULL) {
        abort();
    }
    assert(strlen(vault) < sizeof f->vault && strlen(log_key) < sizeof f->log_key);
    memcpy(f->vault, vault, strlen(vault) + 1);
    memcpy(f->log_key, log_key, strlen(log_key) + 1);
    kv_buf_init(&f->signature, KV_BLOB_MAX);
    kv_buf_init(&f->policy, KV_BLOB_MAX);
    for (size_t i = 0; i < KV_COUNT(f->votes); i++) {
        kv_buf_init(&f->votes[i].text, KV_BLOB_MAX);
        kv_buf_init(&f->votes[i].signature, KV_BLOB_MAX);
    }
    return f;
}

static void forget(struct kv_founding *f)
{
    kv_statement_freep(&f->request);
    kv_buf_clear(&f->signature);
    kv_buf_clear(&f->policy);
    for (size_t i = 0; i < KV_COUNT(f->votes); i++) {
        kv_buf_clear(&f->votes[i].text);
        kv_buf_clear(&f->votes[i].signature);
        f->votes[i].have = false;
    }
}

void kv_founding_free(struct kv_founding *f)
{
    if (f != NULL) {
        forget(f);
        free(f);
    }
}

static enum kv_code take_request(struct kv_founding *f, const struct kv_submission *sub,
                                 struct kv_statement *st, int64_t now_ms, struct kv_err *err)
{
    int64_t issued, until;
    if (kv_founding_check_request(f->vault, f->log_key, st, sub->signature, err) != KV_OK ||
        kv_check_policy_text(NULL, st, sub->policy, err) != KV_OK) {
        return err->code;
    }
    if (!kv_statement_time(st, KV_KEY_ISSUED, &issued) ||
        !kv_statement_time(st, KV_KEY_NOT_AFTER, &until) || now_ms < issued - KV_CLOCK_SLACK_5MIN ||
        now_ms >= until || now_ms >= issued + KV_COLLECT_HOURS_MAX * KV_HOUR_MS) {
        return KV_REFUSE(err, KV_E_APPR_TIME, "the founding's time is not now");
    }
    if (f->request != NULL &&
        kv_bytes_equal(kv_statement_text(f->request), kv_statement_text(st))) {
        kv_statement_free(st);
        return KV_OK; /* a repetition keeps the votes */
    }
    forget(f);
    f->request = st;
    kv_buf_add_bytes(&f->signature, sub->signature);
    kv_buf_add_bytes(&f->policy, sub->policy);
    return KV_OK;
}

static enum kv_code check_nonce(const struct kv_founding *f, const struct kv_statement *st,
                                uint64_t founder, struct kv_err *err)
{
    struct kv_hash nonce = kv_hash(kv_statement_get(st, KV_KEY_NONCE));
    for (size_t i = 0; i < KV_COUNT(f->votes); i++) {
        if (i != founder && f->votes[i].have && kv_hash_equal(&f->votes[i].nonce, &nonce)) {
            return KV_REFUSE(err, KV_E_APPR_NONCE, "another founder's text has this nonce");
        }
    }
    return KV_OK;
}

static enum kv_code take_vote(struct kv_founding *f, const struct kv_submission *sub,
                              struct kv_statement *st, int64_t now_ms, struct kv_err *err)
{
    struct kv_founding_vote vote = {st, sub->signature};
    uint64_t n = 0;
    if (f->request == NULL) {
        return KV_REFUSE(err, KV_E_UNFOUNDED, "hand the founding request in first");
    }
    if (kv_founding_check_vote(f->request, &vote, now_ms, &n, err) != KV_OK ||
        check_nonce(f, st, n, err) != KV_OK) {
        return err->code;
    }
    struct vote *v = &f->votes[n];
    v->nonce = kv_hash(kv_statement_get(st, KV_KEY_NONCE));
    kv_buf_clear(&v->text);
    kv_buf_clear(&v->signature);
    kv_buf_add_bytes(&v->text, sub->text);
    kv_buf_add_bytes(&v->signature, sub->signature);
    v->have = true;
    kv_statement_free(st);
    return KV_OK;
}

enum kv_code kv_founding_add(struct kv_founding *f, const struct kv_submission *sub, int64_t now_ms,
                             struct kv_err *err)
{
    struct kv_statement *st = NULL;
    if (kv_statement_parse(sub->text, &st, NULL, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code;
    if (kv_statement_type(st) == KV_STATEMENT_REQUEST) {
        code = take_request(f, sub, st, now_ms, err);
    } else if (kv_statement_type(st) == KV_STATEMENT_DECISION) {
        code = take_vote(f, sub, st, now_ms, err);
    } else {
        code = KV_REFUSE(err, KV_E_UNFOUNDED, "this vault has not been founded");
    }
    if (code != KV_OK) {
        kv_statement_free(st);
    }
    return code;
}

bool kv_founding_complete(const struct kv_founding *f)
{
    if (f->request == NULL) {
        return false;
    }
    for (uint64_t n = 1; n < KV_COUNT(f->votes); n++) {
        if (kv_founding_must_vote(f->request, n) && !f->votes[n].have) {
            return false;
        }
    }
    return true;
}

void kv_founding_missing(const struct kv_founding *f, struct kv_buf *out)
{
    struct kv_founder founder;
    for (uint64_t n = 1; f->request != NULL && kv_statement_founder(f->request, n, &founder); n++) {
        if (kv_founding_must_vote(f->request, n) && !f->votes[n].have) {
            kv_buf_add_str(out, out->len == 0 ? "" : ",");
            kv_buf_add_bytes(out, founder.id);
        }
    }
}

static void text_of(struct kv_bytes bytes, char *out, size_t size)
{
    assert(bytes.len < size);
    memcpy(out, bytes.ptr, bytes.len);
    out[bytes.len] = '\0';
}

static void add(struct kv_founding_record *out, enum kv_doc_kind kind, struct kv_bytes blob)
{
    out->blobs[out->rec->doc_count] = blob;
    kv_record_add_doc(out->rec, kind, blob);
}

static void log_init(const struct kv_founding *f, struct kv_bytes spki,
                     struct kv_founding_record *out)
{
    out->rec = kv_record_new(KV_EV_LOG_INIT);
    kv_record_info_str(out->rec, "vault", f->vault);
    kv_record_info_str(out->rec, "vkey", f->log_key);
    kv_record_info_bool(out->rec, "test", kv_statement_yes(f->request, KV_KEY_TEST));
    add(out, KV_DOC_PUBLIC_KEY, spki);
}

static void vault_found(const struct kv_founding *f, const char *req,
                        struct kv_founding_record *out)
{
    out->rec = kv_record_new(KV_EV_VAULT_FOUND);
    kv_record_set(out->rec, KV_RK_REQ, req);
    add(out, KV_DOC_REQUEST, kv_statement_text(f->request));
    if (f->signature.len > 0) {
        add(out, KV_DOC_SIGNATURE, kv_buf_bytes(&f->signature));
    }
    for (size_t n = 1; n < KV_COUNT(f->votes); n++) {
        if (f->votes[n].have && out->rec->doc_count + 2 <= KV_FOUNDING_BLOBS_MAX) {
            add(out, KV_DOC_STATEMENT, kv_buf_bytes(&f->votes[n].text));
            add(out, KV_DOC_SIGNATURE, kv_buf_bytes(&f->votes[n].signature));
        }
    }
}

/* The public key's blob is its line and an LF, which the request's own bytes hold. */
static void person_enrol(const struct kv_founder *founder, const char *req,
                         struct kv_founding_record *out)
{
    char id[KV_ID_LEN], key[KV_KEY_LEN];
    text_of(founder->id, id, sizeof id);
    text_of(founder->key, key, sizeof key);
    out->rec = kv_record_new(KV_EV_PERSON_ENROL);
    kv_record_set(out->rec, KV_RK_PERSON, id);
    kv_record_set(out->rec, KV_RK_KEY, key);
    kv_record_set(out->rec, KV_RK_REQ, req);
    kv_record_info_str(out->rec, "duty", kv_duty_word(founder->duty));
    add(out, KV_DOC_PUBLIC_KEY, kv_bytes(founder->public_key.ptr, founder->public_key.len + 1));
}

void kv_founding_record(const struct kv_founding *f, struct kv_bytes spki, size_t i,
                        struct kv_founding_record *out)
{
    struct kv_founder founder;
    char req[KV_ULID_LEN];
    uint64_t founders = 0;
    assert(kv_founding_complete(f));
    out->rec = NULL;
    text_of(kv_statement_get(f->request, KV_KEY_REQUEST), req, sizeof req);
    while (kv_statement_founder(f->request, founders + 1, &founder)) {
        founders++;
    }
    if (i == 0) {
        log_init(f, spki, out);
    } else if (i == 1) {
        vault_found(f, req, out);
    } else if (i < 2 + founders) {
        bool there = kv_statement_founder(f->request, i - 1, &founder);
        assert(there);
        person_enrol(&founder, req, out);
    } else if (i == 2 + founders) {
        out->rec = kv_record_new(KV_EV_POLICY_ACTIVATE);
        kv_record_set(out->rec, KV_RK_REQ, req);
        add(out, KV_DOC_POLICY, kv_buf_bytes(&f->policy));
    }
}
