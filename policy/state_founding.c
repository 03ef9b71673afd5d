#include "policy/state_founding.h"

#include "policy/pubkey.h"
#include "policy/ruleset.h"
#include "policy/sshsig.h"
#include "policy/state_model.h"

static enum kv_code check_key(const struct kv_founder *f, struct kv_hash *material,
                              struct kv_err *err)
{
    struct kv_pubkey key;
    if (kv_pubkey_parse_line(f->public_key, &key, err) != KV_OK) {
        return err->code;
    }
    if (!kv_bytes_is(f->key, key.fingerprint)) {
        return KV_REFUSE(err, KV_E_STMT_VALUE, "the public key of %.*s has another fingerprint",
                         (int)f->id.len, (const char *)f->id.ptr);
    }
    *material = kv_pubkey_material(&key);
    return KV_OK;
}

/* Beside finance, custodians and auditors only the requester of a TEST, who does not vote: so
 * nobody who asks for the founding also approves it. */
static enum kv_code check_duty(const struct kv_statement *request, const struct kv_founder *f,
                               bool test, struct kv_err *err)
{
    struct kv_bytes requester;
    bool asks = kv_statement_requester(request, &requester) == KV_REQUESTER_PERSON &&
                kv_bytes_equal(requester, f->id);
    if (f->duty == KV_DUTY_EXTERNAL || (f->duty == KV_DUTY_NONE) != asks || (asks && !test)) {
        return KV_REFUSE(err, KV_E_STMT_VALUE,
                         "%.*s: only a founding with --test has a requester, of no duty",
                         (int)f->id.len, (const char *)f->id.ptr);
    }
    return KV_OK;
}

static enum kv_code check_founders(const struct kv_statement *request, bool test,
                                   struct kv_err *err)
{
    struct kv_founder f[KV_FOUNDERS_MAX + 1];
    struct kv_hash material[KV_FOUNDERS_MAX + 1];
    unsigned finance = 0, custodian = 0;
    size_t count = 0;
    while (kv_statement_founder(request, count + 1, &f[count])) {
        if (count == KV_FOUNDERS_MAX) {
            return KV_REFUSE(err, KV_E_LIMIT, "at most %d people found a vault", KV_FOUNDERS_MAX);
        }
        if (check_key(&f[count], &material[count], err) != KV_OK ||
            check_duty(request, &f[count], test, err) != KV_OK) {
            return err->code;
        }
        for (size_t i = 0; i < count; i++) {
            if (kv_bytes_equal(f[i].id, f[count].id)) {
                return KV_REFUSE(
                    err, f[i].duty != f[count].duty ? KV_E_PERSON_DUTIES : KV_E_PERSON_EXISTS,
                    "%.*s is named twice", (int)f[i].id.len, (const char *)f[i].id.ptr);
            }
            if (kv_hash_equal(&material[i], &material[count])) {
                return KV_REFUSE(err, KV_E_PERSON_KEY_USED, "two founders have the same key");
            }
        }
        finance += f[count].duty == KV_DUTY_FINANCE;
        custodian += f[count].duty == KV_DUTY_CUSTODIAN;
        count++;
    }
    unsigned least = test ? 1 : 2;
    if (finance < least || custodian < least) {
        return KV_REFUSE(err, KV_E_FOUNDERS,
                         "%u finance and %u custodians are named, %u of each are needed", finance,
                         custodian, least);
    }
    return KV_OK;
}

static enum kv_code check_requester(const struct kv_statement *request, struct kv_bytes signature,
                                    struct kv_err *err)
{
    struct kv_bytes id, key = kv_statement_get(request, KV_KEY_REQUESTER_KEY);
    struct kv_founder f;
    if (kv_statement_requester(request, &id) == KV_REQUESTER_NOBODY) {
        return KV_OK;
    }
    for (uint64_t n = 1; kv_statement_founder(request, n, &f); n++) {
        if (kv_bytes_equal(f.id, id) && kv_bytes_equal(f.key, key)) {
            return kv_sshsig_verify(kv_statement_text(request), signature, key, NULL, err);
        }
    }
    return KV_REFUSE(err, KV_E_STMT_VALUE, "the requester is not among the founders");
}

enum kv_code kv_founding_check_request(const char *vault, const char *log_key,
                                       const struct kv_statement *request,
                                       struct kv_bytes signature, struct kv_err *err)
{
    if (kv_statement_action(request) != KV_ACTION_FOUND) {
        return KV_REFUSE(err, KV_E_UNFOUNDED,
                         "only founding can be requested of an unfounded vault");
    }
    if (!kv_bytes_is(kv_statement_get(request, KV_KEY_VAULT), vault)) {
        return KV_REFUSE(err, KV_E_STMT_VALUE, "the text founds another vault than %.80s", vault);
    }
    if (!kv_bytes_is(kv_statement_get(request, KV_KEY_LOG_KEY), log_key)) {
        return KV_REFUSE(err, KV_E_STMT_VALUE, "the text names another log key than the slot has");
    }
    if (!kv_bytes_equal(kv_statement_get(request, KV_KEY_POLICY),
                        kv_statement_get(request, KV_KEY_POLICY_SHA256))) {
        return KV_REFUSE(err, KV_E_STMT_VALUE, "policy and policy-sha256 differ");
    }
    bool test = kv_statement_yes(request, KV_KEY_TEST);
    if (test != kv_vault_is_test(kv_bytes_str(vault))) {
        return KV_REFUSE(err, KV_E_STMT_VALUE,
                         "a vault is founded with --test exactly when its name is .../test-...");
    }
    if (check_founders(request, test, err) != KV_OK) {
        return err->code;
    }
    return check_requester(request, signature, err);
}

bool kv_founding_must_vote(const struct kv_statement *request, uint64_t n)
{
    struct kv_founder f;
    return kv_statement_founder(request, n, &f) &&
           (f.duty == KV_DUTY_FINANCE || f.duty == KV_DUTY_CUSTODIAN);
}

enum kv_code kv_founding_check_vote(const struct kv_statement *request,
                                    const struct kv_founding_vote *vote, int64_t now_ms,
                                    uint64_t *founder, struct kv_err *err)
{
    int64_t issued, asked, until;
    struct kv_founder f;
    struct kv_size_root checkpoint;
    const struct kv_statement *st = vote->text;
    struct kv_bytes approver = kv_statement_get(st, KV_KEY_APPROVER);
    struct kv_bytes key = kv_statement_get(st, KV_KEY_APPROVER_KEY);
    if (kv_statement_repeats(st, kv_statement_text(request), NULL, err) != KV_OK) {
        return err->code;
    }
    if (!kv_statement_time(st, KV_KEY_ISSUED, &issued) ||
        !kv_statement_time(request, KV_KEY_ISSUED, &asked) ||
        !kv_statement_time(request, KV_KEY_NOT_AFTER, &until) ||
        issued - KV_CLOCK_SLACK_5MIN > now_ms || asked - KV_CLOCK_SLACK_5MIN > issued ||
        now_ms > asked + KV_COLLECT_HOURS_MAX * KV_HOUR_MS || now_ms >= until) {
        return KV_REFUSE(err, KV_E_APPR_TIME, "signed or handed in outside the founding's time");
    }
    struct kv_hash none = kv_hash(KV_BYTES_NULL);
    if (!kv_statement_checkpoint(st, &checkpoint) || checkpoint.size != 0 ||
        !kv_hash_equal(&checkpoint.root, &none)) {
        return KV_REFUSE(err, KV_E_APPR_CHECKPOINT, "a founder signs over the empty log");
    }
    for (uint64_t n = 1; kv_statement_founder(request, n, &f); n++) {
        if (!kv_bytes_equal(f.id, approver)) {
            continue;
        }
        if (!kv_bytes_equal(f.key, key)) {
            return KV_REFUSE(err, KV_E_APPR_KEY, "the founding names another key of this person");
        }
        if (kv_seat_duty(kv_statement_seat(st)) != f.duty) {
            return KV_REFUSE(err, KV_E_APPR_DUTY, "the founding gives this person another duty");
        }
        if (kv_statement_decision(st) != KV_DECISION_APPROVE) {
            return KV_REFUSE(err, KV_E_APPR_NOT_OPEN, "%.*s refuses to found this vault",
                             (int)approver.len, (const char *)approver.ptr);
        }
        *founder = n;
        return kv_sshsig_verify(kv_statement_text(st), vote->signature, key, NULL, err);
    }
    return KV_REFUSE(err, KV_E_APPR_PERSON, "%.*s is not among the founders", (int)approver.len,
                     (const char *)approver.ptr);
}
