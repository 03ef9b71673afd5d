/* Signed texts: what every request, decision and act is checked for, once, here. */
#include "policy/sshsig.h"
#include "policy/state_model.h"

enum kv_code kv_judge_text(const struct kv_judge *j, size_t index, enum kv_statement_type type,
                           struct kv_statement **out)
{
    struct kv_statement *st = NULL;
    if (index >= j->rec->doc_count) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record lacks a signed text");
    }
    if (kv_statement_parse(j->blob[index], &st, NULL, j->err) != KV_OK) {
        return j->err->code;
    }
    enum kv_code code = KV_OK;
    if (kv_statement_type(st) != type) {
        code = KV_REFUSE(j->err, KV_E_STMT_LINE, "the text is of another type");
    } else if (type != KV_STATEMENT_DECISION && /* which must repeat its request's */
               !kv_bytes_is(kv_statement_get(st, KV_KEY_VAULT), j->s->vault)) {
        code = KV_REFUSE(j->err, KV_E_STMT_VALUE, "the text is for another vault");
    }
    if (code != KV_OK) {
        kv_statement_free(st);
        return code;
    }
    *out = st;
    return KV_OK;
}

enum kv_code kv_judge_signature(const struct kv_judge *j, struct kv_bytes text, size_t index,
                                const char *fingerprint)
{
    if (index >= j->rec->doc_count) {
        return KV_REFUSE(j->err, KV_E_LEDGER_ILLEGAL, "the record lacks a signature");
    }
    if (kv_sshsig_verify(text, j->blob[index], kv_bytes_str(fingerprint), NULL, j->err) != KV_OK) {
        return j->err->code;
    }
    return KV_OK;
}

bool kv_key_good(const struct kv_person_key *key, int64_t now_ms)
{
    return key->retired_ms == 0 && !key->compromised && now_ms < key->not_after_ms;
}

enum kv_code kv_judge_person(const struct kv_judge *j, const char *person, const char *fingerprint,
                             int64_t issued_ms, struct kv_person **out)
{
    struct kv_person *p = kv_find_person(j->s, person);
    if (p == NULL || !p->enabled) {
        return KV_REFUSE(j->err, KV_E_APPR_PERSON, "%s is %s", person,
                         p == NULL ? "not enrolled" : "no longer here");
    }
    const struct kv_person_key *key = kv_find_key(j->s, fingerprint);
    if (key == NULL || strcmp(key->person, person) != 0) {
        return KV_REFUSE(j->err, KV_E_APPR_KEY, "%.60s is not a key of %s", fingerprint, person);
    }
    if (!kv_key_good(key, j->now) || issued_ms < key->valid_from_ms || issued_ms < key->back_ms) {
        return KV_REFUSE(j->err, KV_E_APPR_KEY, "the key of %s is %s", person,
                         key->compromised              ? "compromised"
                         : key->retired_ms != 0        ? "retired"
                         : j->now >= key->not_after_ms ? "past its end"
                                                       : "younger than the text");
    }
    if (p->seq >= j->log->covered || key->seq >= j->log->covered) {
        return KV_REFUSE(j->err, KV_E_LEDGER_COVER, "the enrolment of %s is not covered yet",
                         person);
    }
    *out = p;
    return KV_OK;
}

static struct kv_hash nonce_of(const struct kv_statement *st)
{
    return kv_hash(kv_statement_get(st, KV_KEY_NONCE));
}

enum kv_code kv_judge_nonce(const struct kv_judge *j, const struct kv_statement *st)
{
    struct kv_hash nonce = nonce_of(st);
    uint64_t seq;
    if (kv_hash_map_get(&j->s->nonces, &nonce, &seq)) {
        return KV_REFUSE(j->err, KV_E_APPR_NONCE, "the nonce was used in record %llu",
                         (unsigned long long)seq);
    }
    return KV_OK;
}

enum kv_code kv_judge_checkpoint(const struct kv_judge *j, const struct kv_statement *st)
{
    struct kv_size_root said;
    struct kv_hash root;
    if (!kv_statement_checkpoint(st, &said)) {
        return KV_REFUSE(j->err, KV_E_STMT_LINE, "the text names no checkpoint");
    }
    if (said.size > j->log->size || !j->log->root_at(j->log->ctx, said.size, &root) ||
        !kv_hash_equal(&root, &said.root)) {
        return KV_REFUSE(j->err, KV_E_APPR_CHECKPOINT,
                         "the text names a log of %llu records that this log never was",
                         (unsigned long long)said.size);
    }
    return KV_OK;
}

void kv_note_text(const struct kv_judge *j, const struct kv_statement *st, size_t signature)
{
    struct kv_hash text = kv_statement_sha256(st);
    struct kv_hash nonce = nonce_of(st);
    struct kv_sshsig_result result;
    uint64_t seq;
    kv_hash_map_put(&j->s->texts, &text, j->rec->seq);
    kv_hash_map_put(&j->s->nonces, &nonce, j->rec->seq);
    if (signature >= j->rec->doc_count) {
        return;
    }
    /* one counter of a security key on two texts: the key exists twice */
    struct kv_pubkey key;
    if (kv_sshsig_signer(j->blob[signature], &key, NULL) != KV_OK ||
        !kv_pubkey_kind_is_sk(key.kind) ||
        kv_sshsig_verify(kv_statement_text(st), j->blob[signature], kv_bytes_str(key.fingerprint),
                         &result, NULL) != KV_OK ||
        result.counter == 0) {
        return;
    }
    uint8_t counter[4] = {(uint8_t)(result.counter >> 24), (uint8_t)(result.counter >> 16 & 0xff),
                          (uint8_t)(result.counter >> 8 & 0xff), (uint8_t)(result.counter & 0xff)};
    struct kv_hash mark =
        kv_hash3(kv_bytes_str(key.fingerprint), kv_bytes(counter, 4), KV_BYTES_NULL);
    if (kv_hash_map_get(&j->s->counters, &mark, &seq)) {
        j->s->cloned = kv_find_key(j->s, key.fingerprint);
    }
    kv_hash_map_put(&j->s->counters, &mark, j->rec->seq);
}
