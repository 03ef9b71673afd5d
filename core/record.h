/* A record of the ledger (FORMATS §4) as a value. `ledger/` reads and writes its bytes, `policy/`
 * interprets it. Plain data; strings are NUL-terminated, "" when absent; `has` says which keys of
 * the table are present. */
#ifndef KV_CORE_RECORD_H
#define KV_CORE_RECORD_H

#include "core/event.h"
#include "core/hash.h"
#include "core/name.h"

#define KV_RECORD_MAX      16384 /* bytes of the encoded record */
#define KV_RECORD_VERSION  1
#define KV_RECORD_DOCS_MAX 64
#define KV_RECORD_INV_MAX  64
#define KV_BLOB_MAX        65536
#define KV_VIA_LEN         352 /* `uid:N unit:NAME exe:HEX`, a unit of up to 255 */
#define KV_INFO_MAX        10
#define KV_INFO_VALUE_MAX  512 /* bytes of a string in info */
#define KV_ERR_WORD_LEN    64
#define KV_REF_LEN         64 /* a KSeF reference number */
#define KV_BOOT_LEN        9

enum kv_doc_kind {
    KV_DOC_REQUEST,
    KV_DOC_STATEMENT,
    KV_DOC_SIGNATURE,
    KV_DOC_POLICY,
    KV_DOC_PUBLIC_KEY,
    KV_DOC_CERTIFICATE,
    KV_DOC_EVIDENCE,
    KV_DOC_KIND_COUNT
};
const char *kv_doc_kind_word(enum kv_doc_kind kind);
bool kv_doc_kind_parse(struct kv_bytes word, enum kv_doc_kind *out);

struct kv_doc {
    enum kv_doc_kind kind;
    struct kv_hash hash;
    uint32_t len; /* bytes of the blob, 1 to KV_BLOB_MAX */
};

struct kv_info_pair {
    char *name; /* owned */
    bool is_bool;
    bool b;
    char *s; /* owned; NULL if is_bool */
};
struct kv_info {
    char name[24];
    enum kv_info_type type;
    int64_t n;
    bool b;
    char *s;                    /* owned */
    struct kv_info_pair *pairs; /* owned; sorted by name */
    size_t pair_count;
};

struct kv_record_ksef {
    char auth_ref[KV_REF_LEN]; /* "" if not known */
    char sess_ref[KV_REF_LEN];
    bool has_http, has_code, has_off;
    int64_t http, code, off_ms;
};

struct kv_invoice {
    struct kv_hash hash;
    char number[40]; /* KSeF number; "" if none */
    char p2[260];    /* invoice number; "" if none */
    bool has_status;
    int64_t status;
    char source[12]; /* relay, reported, ksef; "" if none */
};

enum kv_priv_field { KV_PRIV_NAME, KV_PRIV_REASON, KV_PRIV_PESEL, KV_PRIV_NOTE, KV_PRIV_COUNT };
const char *kv_priv_field_word(enum kv_priv_field field);

enum kv_out { KV_OUT_OK, KV_OUT_ERROR, KV_OUT_UNKNOWN };

struct kv_record {
    uint32_t v;
    uint64_t seq;
    int64_t ts_ms;
    char boot[KV_BOOT_LEN];
    uint64_t mono_us;
    bool has_prev; /* false in record 0 only */
    struct kv_hash prev;
    enum kv_event ev;
    enum kv_who who;
    char who_id[KV_ID_LEN];
    char via[KV_VIA_LEN]; /* "" if none */

    uint32_t has; /* 1 << enum kv_record_key, of those below */
    char person[KV_ID_LEN];
    char key[KV_KEY_LEN];
    char role[12];
    char req[KV_ULID_LEN];
    char grant[KV_ULID_LEN];
    char integ[KV_ID_LEN];
    char cred[KV_ID_LEN];
    enum kv_op op;
    char ctx[KV_CONTEXT_LEN];
    struct kv_hash dig;
    uint64_t of;
    struct kv_record_ksef ksef;
    struct kv_invoice *inv; /* owned */
    size_t inv_count;
    enum kv_out out;
    char err[KV_ERR_WORD_LEN];

    struct kv_info info[KV_INFO_MAX];
    size_t info_count;
    struct kv_doc *docs; /* owned */
    size_t doc_count;
    bool has_priv[KV_PRIV_COUNT];
    struct kv_hash priv[KV_PRIV_COUNT];
};

/* A record of event `ev` by the agent itself, v 1; owned by the caller. Memory is never NULL: these
 * are small, and out of memory aborts. */
struct kv_record *kv_record_new(enum kv_event ev);
void kv_record_free(struct kv_record *rec);
void kv_record_freep(struct kv_record **rec);

static inline bool kv_record_has(const struct kv_record *rec, enum kv_record_key key)
{
    return (rec->has >> key & 1) != 0;
}

/* Setters of keys; a value that does not fit is our own bug (assert). */
void kv_record_set_who(struct kv_record *rec, enum kv_who who, const char *id, const char *via);
void kv_record_set(struct kv_record *rec, enum kv_record_key key, const char *value);
void kv_record_set_op(struct kv_record *rec, enum kv_op op);
void kv_record_set_dig(struct kv_record *rec, const struct kv_hash *dig);
/* One more invoice, by its hash alone; at most KV_RECORD_INV_MAX. */
void kv_record_add_inv(struct kv_record *rec, const struct kv_hash *invoice);
void kv_record_set_of(struct kv_record *rec, uint64_t of);
void kv_record_set_out(struct kv_record *rec, enum kv_out out);
void kv_record_add_doc(struct kv_record *rec, enum kv_doc_kind kind, struct kv_bytes blob);
void kv_record_set_priv(struct kv_record *rec, enum kv_priv_field field,
                        const struct kv_hash *commitment);

void kv_record_info_str(struct kv_record *rec, const char *name, const char *value);
void kv_record_info_int(struct kv_record *rec, const char *name, int64_t value);
void kv_record_info_bool(struct kv_record *rec, const char *name, bool value);
/* Add one pair to the map `name`, kept sorted; key NULL: the map is there, perhaps empty. */
void kv_record_info_map_str(struct kv_record *rec, const char *name, const char *key,
                            const char *value);
void kv_record_info_map_bool(struct kv_record *rec, const char *name, const char *key, bool value);
/* NULL if there is none of that name. */
const struct kv_info *kv_record_info(const struct kv_record *rec, const char *name);
/* The string, or "" if there is none. */
const char *kv_record_info_get_str(const struct kv_record *rec, const char *name);

/* The first document of `kind`, NULL if none. */
const struct kv_doc *kv_record_doc(const struct kv_record *rec, enum kv_doc_kind kind);

/* The blobs of a record, resolved: blob[i] are the bytes of docs[i], borrowed for the call. */
struct kv_blobs {
    const struct kv_bytes *blob;
    size_t count;
};

#endif
