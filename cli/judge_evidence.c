/* B5: who vouches for the TPMs of keys whose custody is `attested`, in the eyes of whoever
 * verifies: with his own list of makers, at the time of the record. (That what the TPM certified is
 * of the key and of the credential is the fold's to see, B1; of the log's own key, which has no
 * record for it, that is seen here.) */
#include "cli/judge_parts.h"

#include "core/evidence.h"
#include "core/roots.h"
#include "core/token.h"
#include "ledger/file.h"

#include <stdio.h>

static enum kv_code check_maker(const struct kv_roots *roots, const struct kv_evidence *evidence,
                                int64_t at_ms, struct kv_err *why)
{
    char name[KV_ROOT_NAME_LEN];
    return kv_roots_check(roots, evidence->certificate, evidence->certificate_count, at_ms, name,
                          NULL, why);
}

static enum kv_code check_text(const struct kv_roots *roots, const struct kv_entry *entry,
                               struct kv_err *why)
{
    struct kv_evidence evidence = {.certificate_count = 0};
    enum kv_code code = kv_evidence_parse(entry->blobs.blob[1], &evidence, why);
    if (code == KV_OK) {
        code = check_maker(roots, &evidence, entry->rec->ts_ms, why);
    }
    kv_evidence_clear(&evidence);
    return code;
}

static void find_maker(struct judge *judge, const struct place *place, const char *file,
                       enum kv_event ev, const struct kv_err *why)
{
    char what[256];
    int n = snprintf(what, sizeof what, "the maker of its TPM is not among yours: %.120s [%s]",
                     why->msg, kv_code_word(why->code));
    assert(n > 0);
    judge_find(judge, KV_VERIFY_BAD, "B5", place, file, ev, what);
}

void judge_evidence_entry(struct judge *judge, const struct kv_entry *entry)
{
    const struct kv_record *rec = entry->rec;
    struct judge_evidence *count = &judge->evidence;
    struct kv_err why = {.msg = ""};
    if (rec->seq == 0) {
        judge->began_ms = rec->ts_ms;
    }
    if (rec->ev != KV_EV_CRED_CREATE) {
        return;
    }
    bool certified = rec->doc_count == 2;
    bool attested =
        strcmp(kv_record_info_get_str(rec, "custody"), kv_custody_word(KV_CUSTODY_ATTESTED)) == 0;
    count->certified += certified;
    count->attested += attested;
    if (judge->roots != NULL && attested && certified &&
        check_text(judge->roots, entry, &why) != KV_OK) {
        struct place place = judge_place(judge, entry);
        find_maker(judge, &place, NULL, rec->ev, &why);
    }
}

static void judge_log_text(struct judge *judge, const struct kv_vkey *vkey, struct kv_bytes text)
{
    const char *path = kv_reader_evidence_path(judge->reader);
    const char *last = strrchr(vkey->name, '/'); /* the vault's name, then the log's */
    char vault[KV_ORIGIN_LEN], what[256];
    struct kv_evidence evidence = {.certificate_count = 0};
    struct kv_evidence_subject subject = {vault, KV_EVIDENCE_LOG_REQUEST, KV_EVIDENCE_LOG_NAME};
    struct kv_err why = {.msg = ""};
    int n = snprintf(vault, sizeof vault, "%.*s", last == NULL ? 0 : (int)(last - vkey->name),
                     vkey->name);
    assert(n >= 0);
    enum kv_code code = kv_evidence_parse(text, &evidence, &why);
    if (code == KV_OK) {
        code = kv_evidence_check(&evidence, &subject, kv_bytes(vkey->key, vkey->key_len), &why);
    }
    if (code != KV_OK) {
        n = snprintf(what, sizeof what, "%s [%s]", why.msg, kv_code_word(code));
        assert(n > 0);
        judge_find(judge, KV_VERIFY_BAD, "B5", NULL, path, KV_EV_NONE, what);
    } else {
        judge->evidence.certified++;
        judge->evidence.attested += evidence.certificate_count > 0;
        if (judge->roots != NULL && evidence.certificate_count > 0 &&
            check_maker(judge->roots, &evidence, judge->began_ms, &why) != KV_OK) {
            find_maker(judge, NULL, path, KV_EV_NONE, &why);
        }
    }
    kv_evidence_clear(&evidence);
}

void judge_evidence_log(struct judge *judge, const struct kv_vkey *vkey)
{
    struct kv_err why;
    struct kv_buf text;
    const char *path = kv_reader_evidence_path(judge->reader);
    kv_buf_init(&text, KV_EVIDENCE_MAX);
    enum kv_code code =
        kv_file_read(kv_reader_dir(judge->reader), path, KV_EVIDENCE_MAX, &text, &why);
    if (code == KV_OK) {
        judge_log_text(judge, vkey, kv_buf_bytes(&text));
    } else if (code != KV_E_NOT_FOUND) {
        judge_find(judge, KV_VERIFY_BAD, "B5", NULL, path, KV_EV_NONE, why.msg);
    }
    kv_buf_clear(&text);
}
