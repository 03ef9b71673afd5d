/* B5: who vouches for the TPMs of keys whose custody is `attested`, in the eyes of whoever
 * verifies: with his own list of makers, at the time of the record. (That what the TPM certified is
 * of the key and of the credential is the fold's to see, B1.) */
#include "cli/judge_parts.h"

#include "core/roots.h"
#include "core/token.h"

#include <stdio.h>

static enum kv_code check_maker(const struct kv_roots *roots, const struct kv_entry *entry,
                                struct kv_err *why)
{
    struct kv_evidence evidence = {.certificate_count = 0};
    char name[KV_ROOT_NAME_LEN];
    if (kv_evidence_parse(entry->blobs.blob[1], &evidence, why) != KV_OK) {
        return why->code;
    }
    enum kv_code code = kv_roots_check(roots, evidence.certificate, evidence.certificate_count,
                                       entry->rec->ts_ms, name, NULL, why);
    kv_evidence_clear(&evidence);
    return code;
}

void judge_evidence_entry(struct judge *judge, const struct kv_entry *entry)
{
    const struct kv_record *rec = entry->rec;
    struct judge_evidence *count = &judge->evidence;
    struct kv_err why = {.msg = ""};
    if (rec->ev != KV_EV_CRED_CREATE) {
        return;
    }
    bool certified = rec->doc_count == 2;
    bool attested =
        strcmp(kv_record_info_get_str(rec, "custody"), kv_custody_word(KV_CUSTODY_ATTESTED)) == 0;
    count->certified += certified;
    count->attested += attested;
    if (judge->roots != NULL && attested && certified &&
        check_maker(judge->roots, entry, &why) != KV_OK) {
        struct place place = judge_place(judge, entry);
        char what[256];
        int n = snprintf(what, sizeof what, "the maker of its TPM is not among yours: %.120s [%s]",
                         why.msg, kv_code_word(why.code));
        assert(n > 0);
        judge_find(judge, KV_VERIFY_BAD, "B5", &place, NULL, rec->ev, what);
    }
}
