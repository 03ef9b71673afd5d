#include "cli/judge_parts.h"

#include "core/time.h"
#include "policy/state.h"
#include "policy/statement.h"

#include <stdio.h>
#include <stdlib.h>

struct judge *judge_new(const struct kv_reader *reader, const struct kv_roots *roots,
                        struct cli_progress *progress)
{
    struct judge *judge = calloc(1, sizeof *judge);
    if (judge == NULL) {
        abort();
    }
    judge->reader = reader;
    judge->roots = roots;
    judge->progress = progress;
    judge->state = kv_state_new();
    return judge;
}

void judge_free(struct judge *judge)
{
    if (judge == NULL) {
        return;
    }
    judge_files_clear(&judge->approvals);
    free(judge->intents.list);
    kv_findings_clear(&judge->findings);
    kv_state_free(judge->state);
    free(judge);
}

void judge_freep(struct judge **judge)
{
    judge_free(*judge);
    *judge = NULL;
}

const struct kv_findings *judge_findings(const struct judge *judge)
{
    return &judge->findings;
}

uint64_t judge_in_flight(const struct judge *judge)
{
    return judge->in_flight;
}

struct judge_evidence judge_evidence(const struct judge *judge)
{
    return judge->evidence;
}

struct place judge_place(const struct judge *judge, const struct kv_entry *entry)
{
    struct place place = {.line = kv_reader_line(judge->reader), .seq = entry->rec->seq};
    int n = snprintf(place.file, sizeof place.file, "%s", kv_reader_file(judge->reader));
    assert(n > 0 && n < (int)sizeof place.file); /* wal/ and 20 digits at most */
    return place;
}

void judge_find(struct judge *judge, enum kv_verify_exit exit, const char *stage,
                const struct place *place, const char *file, enum kv_event ev, const char *what)
{
    struct kv_finding f = {.exit = exit, .seq = place == NULL ? KV_NO_SEQ : place->seq};
    int n = snprintf(f.stage, sizeof f.stage, "%s", stage);
    int m = snprintf(f.file, sizeof f.file, "%s", place == NULL ? file : place->file);
    int k = snprintf(f.what, sizeof f.what, "%s", what);
    int e = snprintf(f.event, sizeof f.event, "%s", ev == KV_EV_NONE ? "" : kv_event_word(ev));
    assert(n > 0 && m > 0 && k >= 0 && e >= 0);
    f.line = place == NULL ? 0 : place->line;
    kv_findings_add(&judge->findings, &f);
}

static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct kv_tree *tree = ctx;
    if (size > kv_tree_size(tree)) {
        return false;
    }
    *out = kv_tree_root(tree, size);
    return true;
}

/* B2, for each text that a person signed. */
static void check_checkpoints(struct judge *judge, const struct kv_entry *entry)
{
    const struct kv_record *rec = entry->rec;
    for (size_t i = 0; i < rec->doc_count; i++) {
        KV_CLEANUP(kv_statement_freep) struct kv_statement *st = NULL;
        struct kv_size_root signed_over;
        struct kv_hash root;
        if (rec->docs[i].kind != KV_DOC_STATEMENT ||
            kv_statement_parse(entry->blobs.blob[i], &st, NULL, NULL) != KV_OK ||
            !kv_statement_checkpoint(st, &signed_over)) {
            continue; /* a text that is none is the fold's finding */
        }
        if (signed_over.size > entry->covered ||
            !root_at((void *)(uintptr_t)entry->tree, signed_over.size, &root) ||
            !kv_hash_equal(&root, &signed_over.root)) {
            struct place place = judge_place(judge, entry);
            char what[160];
            int n = snprintf(what, sizeof what,
                             "a person signed over a log of size %llu that is not this log",
                             (unsigned long long)signed_over.size);
            assert(n > 0);
            judge_find(judge, KV_VERIFY_ROLLBACK, "B2", &place, NULL, rec->ev, what);
        }
    }
}

/* What a refusal of the fold means for the exit status: approvals that are missing or not
 * sufficient, or a bad record. (B2 has told about checkpoints already.) */
static enum kv_verify_exit exit_of(enum kv_code code, const char **stage)
{
    const char *word = kv_code_word(code);
    bool approvals = strncmp(word, "approval.", 9) == 0 || code == KV_E_FOUNDERS ||
                     strcmp(word, "ledger.not-approved") == 0;
    *stage = approvals ? "B3" : "B1";
    return approvals ? KV_VERIFY_APPROVALS : KV_VERIFY_BAD;
}

static void fold(struct judge *judge, const struct kv_entry *entry)
{
    struct kv_log_view view = {root_at, (void *)(uintptr_t)entry->tree, entry->covered, UINT64_MAX};
    struct kv_err why = {0};
    const char *stage;
    if (judge->fold_ended) {
        return;
    }
    enum kv_code code = kv_state_apply(judge->state, entry->rec, &entry->blobs, &view, &why);
    if (code == KV_OK) {
        return;
    }
    judge->fold_ended = true;
    if (code == KV_E_APPR_CHECKPOINT) {
        return; /* B2 */
    }
    struct place place = judge_place(judge, entry);
    char what[256];
    enum kv_verify_exit exit = exit_of(code, &stage);
    int n = snprintf(what, sizeof what, "%s [%s]", why.msg, kv_code_word(code));
    assert(n > 0);
    judge_find(judge, exit, stage, &place, NULL, entry->rec->ev, what);
}

enum kv_code judge_entry(void *ctx, const struct kv_entry *entry, struct kv_err *err)
{
    struct judge *judge = ctx;
    cli_progress_at(judge->progress, entry->rec->seq + 1);
    check_checkpoints(judge, entry);
    fold(judge, entry);
    judge_intents_entry(judge, entry);
    judge_evidence_entry(judge, entry);
    judge_files_entry(judge, entry);
    (void)err; /* findings are no errors: the verification goes on */
    return KV_OK;
}

enum kv_code judge_finish(struct judge *judge, const struct kv_vkey *vkey, struct kv_err *err)
{
    judge_intents_finish(judge);
    judge_evidence_log(judge, vkey);
    return judge_files_finish(judge, err);
}
