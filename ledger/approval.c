#include "ledger/approval.h"

#include <stdio.h>

/* The value of the line `name: value` of a signed text; false if there is none. Only what names a
 * file is read here; what the text means is judged elsewhere. */
static bool line_value(struct kv_bytes text, const char *name, struct kv_bytes *value)
{
    size_t skip = strlen(name) + 2;
    while (text.len > 0) {
        const uint8_t *lf = memchr(text.ptr, '\n', text.len);
        size_t len = lf == NULL ? text.len : (size_t)(lf - text.ptr);
        if (len >= skip && memcmp(text.ptr, name, skip - 2) == 0 && text.ptr[skip - 2] == ':' &&
            text.ptr[skip - 1] == ' ') {
            *value = kv_bytes(text.ptr + skip, len - skip);
            return true;
        }
        size_t used = lf == NULL ? len : len + 1;
        text.ptr += used;
        text.len -= used;
    }
    return false;
}

/* approvals/<request>/<role>-<person>, checked so that no text can name a path elsewhere. */
static enum kv_code founder_stem(const struct kv_entry *entry, size_t doc,
                                 char stem[static KV_APPROVAL_PATH_LEN], struct kv_err *err)
{
    struct kv_bytes role, person;
    if (!line_value(entry->blobs.blob[doc], "role", &role) ||
        !line_value(entry->blobs.blob[doc], "approver", &person) || !kv_id_valid(person) ||
        !(kv_bytes_is(role, "finance") || kv_bytes_is(role, "custodian"))) {
        return KV_REFUSE(err, KV_E_LEDGER_RECORD, "a founding decision names no role and approver");
    }
    int n =
        snprintf(stem, KV_APPROVAL_PATH_LEN, "approvals/%s/%.*s-%.*s", entry->rec->req,
                 (int)role.len, (const char *)role.ptr, (int)person.len, (const char *)person.ptr);
    assert(n > 0 && n < KV_APPROVAL_PATH_LEN - 16);
    return KV_OK;
}

static enum kv_code give(const char *stem, const char *suffix, size_t doc, kv_approval_fn fn,
                         void *ctx, struct kv_err *err)
{
    char path[KV_APPROVAL_PATH_LEN];
    int n = snprintf(path, sizeof path, "%s%s", stem, suffix);
    assert(n > 0 && n < KV_APPROVAL_PATH_LEN);
    return fn(ctx, path, doc, err);
}

static enum kv_code give_founding(const struct kv_entry *entry, kv_approval_fn fn, void *ctx,
                                  struct kv_err *err)
{
    char stem[KV_APPROVAL_PATH_LEN];
    enum kv_code code = KV_OK;
    int n = snprintf(stem, sizeof stem, "approvals/%s/request", entry->rec->req);
    assert(n > 0 && n < KV_APPROVAL_PATH_LEN - 16);
    for (size_t i = 0; code == KV_OK && i < entry->rec->doc_count; i++) {
        enum kv_doc_kind kind = entry->rec->docs[i].kind;
        if (kind == KV_DOC_STATEMENT) {
            code = founder_stem(entry, i, stem, err);
        }
        if (code == KV_OK) {
            code = give(stem, kind == KV_DOC_SIGNATURE ? ".sig" : ".txt", i, fn, ctx, err);
        }
    }
    return code;
}

static enum kv_code give_request(const struct kv_entry *entry, kv_approval_fn fn, void *ctx,
                                 struct kv_err *err)
{
    static const char *const names[] = {"/request.txt", "/request.sig", "/new-key.sig"};
    char stem[KV_APPROVAL_PATH_LEN];
    enum kv_code code = KV_OK;
    int n = snprintf(stem, sizeof stem, "approvals/%s", entry->rec->req);
    assert(n > 0 && n < KV_APPROVAL_PATH_LEN - 16);
    for (size_t i = 0; code == KV_OK && i < entry->rec->doc_count && i < KV_COUNT(names); i++) {
        code = give(stem, names[i], i, fn, ctx, err);
    }
    return code;
}

/* A decision or an act: its text and its signature. */
static enum kv_code give_signed(const struct kv_entry *entry, const char *stem, const char *infix,
                                kv_approval_fn fn, void *ctx, struct kv_err *err)
{
    enum kv_code code = KV_OK;
    for (size_t i = 0; code == KV_OK && i < entry->rec->doc_count; i++) {
        char suffix[16];
        int n = snprintf(suffix, sizeof suffix, "%s%s", infix,
                         entry->rec->docs[i].kind == KV_DOC_SIGNATURE ? ".sig" : ".txt");
        assert(n > 0);
        code = give(stem, suffix, i, fn, ctx, err);
    }
    return code;
}

enum kv_code kv_approval_files(const struct kv_entry *entry, kv_approval_fn fn, void *ctx,
                               struct kv_err *err)
{
    const struct kv_record *rec = entry->rec;
    char stem[KV_APPROVAL_PATH_LEN];
    assert(entry->blobs.count == rec->doc_count);
    if (rec->ev == KV_EV_VAULT_FOUND) {
        return give_founding(entry, fn, ctx, err);
    }
    if (rec->ev == KV_EV_REQUEST_OPEN) {
        return give_request(entry, fn, ctx, err);
    }
    if (rec->doc_count == 0 || rec->docs[0].kind != KV_DOC_STATEMENT) {
        return KV_OK;
    }
    bool decision = rec->ev == KV_EV_APPROVE || rec->ev == KV_EV_DENY;
    int n =
        decision
            ? snprintf(stem, sizeof stem, "approvals/%s/%s-%s", rec->req, rec->role, rec->who_id)
            : snprintf(stem, sizeof stem, "approvals/acts/%llu", (unsigned long long)rec->seq);
    assert(n > 0 && n < KV_APPROVAL_PATH_LEN - 16);
    return give_signed(entry, stem, rec->ev == KV_EV_DENY ? ".deny" : "", fn, ctx, err);
}
