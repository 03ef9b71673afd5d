#include "core/record.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const doc_words[KV_DOC_KIND_COUNT] = {
    [KV_DOC_REQUEST] = "request",       [KV_DOC_STATEMENT] = "statement",
    [KV_DOC_SIGNATURE] = "signature",   [KV_DOC_POLICY] = "policy",
    [KV_DOC_PUBLIC_KEY] = "public-key", [KV_DOC_CERTIFICATE] = "certificate",
    [KV_DOC_EVIDENCE] = "evidence",
};
static const char *const priv_words[KV_PRIV_COUNT] = {
    [KV_PRIV_NAME] = "name",
    [KV_PRIV_REASON] = "reason",
    [KV_PRIV_PESEL] = "pesel",
    [KV_PRIV_NOTE] = "note",
};

const char *kv_doc_kind_word(enum kv_doc_kind kind)
{
    return doc_words[kind];
}

bool kv_doc_kind_parse(struct kv_bytes word, enum kv_doc_kind *out)
{
    for (int i = 0; i < KV_DOC_KIND_COUNT; i++) {
        if (kv_bytes_is(word, doc_words[i])) {
            *out = (enum kv_doc_kind)i;
            return true;
        }
    }
    return false;
}

const char *kv_priv_field_word(enum kv_priv_field field)
{
    return priv_words[field];
}

static void *grow(void *old, size_t count, size_t size)
{
    void *mem = reallocarray(old, count, size);
    if (mem == NULL) {
        abort(); /* a few hundred bytes: there is no way to go on */
    }
    return mem;
}

static char *copy(const char *s)
{
    char *out = strdup(s);
    if (out == NULL) {
        abort();
    }
    return out;
}

struct kv_record *kv_record_new(enum kv_event ev)
{
    struct kv_record *rec = grow(NULL, 1, sizeof *rec);
    *rec = (struct kv_record){.v = KV_RECORD_VERSION, .ev = ev, .who = KV_WHO_AGENT};
    memcpy(rec->who_id, "vault", sizeof "vault");
    return rec;
}

void kv_record_free(struct kv_record *rec)
{
    if (rec == NULL) {
        return;
    }
    for (size_t i = 0; i < rec->info_count; i++) {
        struct kv_info *info = &rec->info[i];
        for (size_t j = 0; j < info->pair_count; j++) {
            free(info->pairs[j].name);
            free(info->pairs[j].s);
        }
        free(info->pairs);
        free(info->s);
    }
    free(rec->inv);
    free(rec->docs);
    free(rec);
}

void kv_record_freep(struct kv_record **rec)
{
    kv_record_free(*rec);
    *rec = NULL;
}

static void put(char *to, size_t size, const char *value)
{
    size_t len = strlen(value);
    assert(len < size);
    memcpy(to, value, len + 1);
}

void kv_record_set_who(struct kv_record *rec, enum kv_who who, const char *id, const char *via)
{
    rec->who = who;
    put(rec->who_id, sizeof rec->who_id, id);
    put(rec->via, sizeof rec->via, via);
}

void kv_record_set(struct kv_record *rec, enum kv_record_key key, const char *value)
{
    const struct {
        enum kv_record_key key;
        char *to;
        size_t size;
    } fields[] = {
        {KV_RK_PERSON, rec->person, sizeof rec->person},
        {KV_RK_KEY, rec->key, sizeof rec->key},
        {KV_RK_ROLE, rec->role, sizeof rec->role},
        {KV_RK_REQ, rec->req, sizeof rec->req},
        {KV_RK_GRANT, rec->grant, sizeof rec->grant},
        {KV_RK_INTEG, rec->integ, sizeof rec->integ},
        {KV_RK_CRED, rec->cred, sizeof rec->cred},
        {KV_RK_CTX, rec->ctx, sizeof rec->ctx},
        {KV_RK_ERR, rec->err, sizeof rec->err},
    };
    for (size_t i = 0; i < KV_COUNT(fields); i++) {
        if (fields[i].key == key) {
            put(fields[i].to, fields[i].size, value);
            rec->has |= UINT32_C(1) << key;
            return;
        }
    }
    abort(); /* a key that is no string */
}

void kv_record_set_op(struct kv_record *rec, enum kv_op op)
{
    rec->op = op;
    rec->has |= UINT32_C(1) << KV_RK_OP;
}

void kv_record_set_dig(struct kv_record *rec, const struct kv_hash *dig)
{
    rec->dig = *dig;
    rec->has |= UINT32_C(1) << KV_RK_DIG;
}

void kv_record_set_of(struct kv_record *rec, uint64_t of)
{
    rec->of = of;
    rec->has |= UINT32_C(1) << KV_RK_OF;
}

void kv_record_set_out(struct kv_record *rec, enum kv_out out)
{
    rec->out = out;
    rec->has |= UINT32_C(1) << KV_RK_OUT;
}

void kv_record_add_doc(struct kv_record *rec, enum kv_doc_kind kind, struct kv_bytes blob)
{
    assert(rec->doc_count < KV_RECORD_DOCS_MAX && blob.len <= KV_BLOB_MAX);
    rec->docs = grow(rec->docs, rec->doc_count + 1, sizeof *rec->docs);
    rec->docs[rec->doc_count++] = (struct kv_doc){kind, kv_hash(blob), (uint32_t)blob.len};
}

void kv_record_add_inv(struct kv_record *rec, const struct kv_hash *invoice)
{
    assert(rec->inv_count < KV_RECORD_INV_MAX);
    rec->inv = grow(rec->inv, rec->inv_count + 1, sizeof *rec->inv);
    rec->inv[rec->inv_count++] = (struct kv_invoice){.hash = *invoice};
    rec->has |= UINT32_C(1) << KV_RK_INV;
}

void kv_record_set_priv(struct kv_record *rec, enum kv_priv_field field,
                        const struct kv_hash *commitment)
{
    rec->has_priv[field] = true;
    rec->priv[field] = *commitment;
}

static struct kv_info *add_info(struct kv_record *rec, const char *name, enum kv_info_type type)
{
    for (size_t i = 0; i < rec->info_count; i++) {
        if (strcmp(rec->info[i].name, name) == 0) {
            assert(type == KV_INFO_MAP && rec->info[i].type == KV_INFO_MAP);
            return &rec->info[i];
        }
    }
    assert(rec->info_count < KV_INFO_MAX);
    struct kv_info *info = &rec->info[rec->info_count++];
    *info = (struct kv_info){.type = type};
    put(info->name, sizeof info->name, name);
    return info;
}

void kv_record_info_str(struct kv_record *rec, const char *name, const char *value)
{
    assert(strlen(value) <= KV_INFO_VALUE_MAX);
    add_info(rec, name, KV_INFO_STRING)->s = copy(value);
}

void kv_record_info_int(struct kv_record *rec, const char *name, int64_t value)
{
    add_info(rec, name, KV_INFO_INTEGER)->n = value;
}

void kv_record_info_bool(struct kv_record *rec, const char *name, bool value)
{
    add_info(rec, name, KV_INFO_BOOLEAN)->b = value;
}

static struct kv_info_pair *add_pair(struct kv_record *rec, const char *name, const char *key)
{
    struct kv_info *info = add_info(rec, name, KV_INFO_MAP);
    if (key == NULL) {
        return NULL; /* an empty map */
    }
    info->pairs = grow(info->pairs, info->pair_count + 1, sizeof *info->pairs);
    size_t at = info->pair_count;
    while (at > 0 && strcmp(info->pairs[at - 1].name, key) > 0) {
        info->pairs[at] = info->pairs[at - 1];
        at--;
    }
    info->pair_count++;
    info->pairs[at] = (struct kv_info_pair){.name = copy(key)};
    return &info->pairs[at];
}

void kv_record_info_map_str(struct kv_record *rec, const char *name, const char *key,
                            const char *value)
{
    struct kv_info_pair *pair = add_pair(rec, name, key);
    if (pair != NULL) {
        pair->s = copy(value);
    }
}

void kv_record_info_map_bool(struct kv_record *rec, const char *name, const char *key, bool value)
{
    struct kv_info_pair *pair = add_pair(rec, name, key);
    if (pair != NULL) {
        pair->is_bool = true;
        pair->b = value;
    }
}

const struct kv_info *kv_record_info(const struct kv_record *rec, const char *name)
{
    for (size_t i = 0; i < rec->info_count; i++) {
        if (strcmp(rec->info[i].name, name) == 0) {
            return &rec->info[i];
        }
    }
    return NULL;
}

const char *kv_record_info_get_str(const struct kv_record *rec, const char *name)
{
    const struct kv_info *info = kv_record_info(rec, name);
    return info == NULL || info->s == NULL ? "" : info->s;
}

const struct kv_doc *kv_record_doc(const struct kv_record *rec, enum kv_doc_kind kind)
{
    for (size_t i = 0; i < rec->doc_count; i++) {
        if (rec->docs[i].kind == kind) {
            return &rec->docs[i];
        }
    }
    return NULL;
}
