#include "ledger/encode.h"

#include "core/parse.h"
#include "core/time.h"

#include <jansson.h>
#include <stdlib.h>

/* jansson reads the JSON, the setters below fill the record, and then the record is written again:
 * if the bytes are the same, then order, spaces, escapes, numbers and unknown keys were right, and
 * the encoder has checked every value and the row of the event. */

#define BAD(err, ...) KV_REFUSE((err), KV_E_LEDGER_RECORD, __VA_ARGS__)

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static bool set_text(const json_t *v, char *to, size_t size)
{
    if (!json_is_string(v) || json_string_length(v) >= size || json_string_length(v) == 0) {
        return false;
    }
    memcpy(to, json_string_value(v), json_string_length(v) + 1);
    return true;
}

static struct kv_bytes text_of(const json_t *v)
{
    return json_is_string(v) ? kv_bytes(json_string_value(v), json_string_length(v))
                             : KV_BYTES_NULL;
}

static bool set_integer(const json_t *v, int64_t *to)
{
    *to = json_is_integer(v) ? json_integer_value(v) : 0;
    return json_is_integer(v);
}

static bool set_number(const json_t *v, uint64_t *to)
{
    int64_t n;
    bool ok = set_integer(v, &n) && n >= 0;
    *to = ok ? (uint64_t)n : 0;
    return ok;
}

static bool set_hash(const json_t *v, struct kv_hash *to)
{
    return kv_hash_from_base64(text_of(v), to);
}

static bool set_who(const json_t *v, struct kv_record *rec)
{
    static const enum kv_who kinds[] = {KV_WHO_PERSON, KV_WHO_INTEGRATION, KV_WHO_CALLER,
                                        KV_WHO_AGENT};
    struct kv_bytes kind = text_of(json_object_get(v, "kind"));
    bool found = false;
    for (size_t i = 0; i < KV_COUNT(kinds); i++) {
        if (kv_bytes_is(kind, kv_who_word(kinds[i]))) {
            rec->who = kinds[i];
            found = true;
        }
    }
    json_t *via = json_object_get(v, "via");
    return found && set_text(json_object_get(v, "id"), rec->who_id, sizeof rec->who_id) &&
           (via == NULL || set_text(via, rec->via, sizeof rec->via));
}

static bool set_ksef(const json_t *v, struct kv_record_ksef *to)
{
    json_t *auth = json_object_get(v, "authRef");
    json_t *sess = json_object_get(v, "sessRef");
    json_t *http = json_object_get(v, "http");
    json_t *code = json_object_get(v, "code");
    json_t *off = json_object_get(v, "off");
    to->has_http = http != NULL;
    to->has_code = code != NULL;
    to->has_off = off != NULL;
    return (auth == NULL || set_text(auth, to->auth_ref, sizeof to->auth_ref)) &&
           (sess == NULL || set_text(sess, to->sess_ref, sizeof to->sess_ref)) &&
           (http == NULL || set_integer(http, &to->http)) &&
           (code == NULL || set_integer(code, &to->code)) &&
           (off == NULL || set_integer(off, &to->off_ms));
}

static bool set_inv(const json_t *v, struct kv_record *rec)
{
    size_t count = json_array_size(v);
    if (count < 1 || count > KV_RECORD_INV_MAX) {
        return false;
    }
    rec->inv = calloc(count, sizeof *rec->inv);
    if (rec->inv == NULL) {
        abort();
    }
    rec->inv_count = count;
    for (size_t i = 0; i < count; i++) {
        struct kv_invoice *inv = &rec->inv[i];
        const json_t *o = json_array_get(v, i);
        json_t *n = json_object_get(o, "n");
        json_t *p2 = json_object_get(o, "p2");
        json_t *st = json_object_get(o, "st");
        json_t *src = json_object_get(o, "src");
        inv->has_status = st != NULL;
        if (!set_hash(json_object_get(o, "h"), &inv->hash) ||
            (n != NULL && !set_text(n, inv->number, sizeof inv->number)) ||
            (p2 != NULL && !set_text(p2, inv->p2, sizeof inv->p2)) ||
            (st != NULL && !set_integer(st, &inv->status)) ||
            (src != NULL && !set_text(src, inv->source, sizeof inv->source))) {
            return false;
        }
    }
    return true;
}

static bool set_out(const json_t *v, enum kv_out *to)
{
    struct kv_bytes word = text_of(v);
    *to = kv_bytes_is(word, "error")     ? KV_OUT_ERROR
          : kv_bytes_is(word, "unknown") ? KV_OUT_UNKNOWN
                                         : KV_OUT_OK;
    return *to != KV_OUT_OK || kv_bytes_is(word, "ok");
}

static bool set_map(const char *name, json_t *v, struct kv_record *rec)
{
    const char *key;
    json_t *value;
    kv_record_info_map_str(rec, name, NULL, NULL);
    json_object_foreach(v, key, value)
    {
        if (json_is_string(value)) {
            kv_record_info_map_str(rec, name, key, json_string_value(value));
        } else if (json_is_boolean(value)) {
            kv_record_info_map_bool(rec, name, key, json_is_true(value));
        } else {
            return false;
        }
    }
    return true;
}

static bool set_info(json_t *v, struct kv_record *rec)
{
    const char *name;
    json_t *value;
    if (!json_is_object(v) || json_object_size(v) == 0) {
        return false;
    }
    json_object_foreach(v, name, value)
    {
        if (rec->info_count == KV_INFO_MAX || strlen(name) >= sizeof rec->info[0].name) {
            return false;
        }
        if (json_is_string(value) && json_string_length(value) <= KV_INFO_VALUE_MAX) {
            kv_record_info_str(rec, name, json_string_value(value));
        } else if (json_is_integer(value)) {
            kv_record_info_int(rec, name, json_integer_value(value));
        } else if (json_is_boolean(value)) {
            kv_record_info_bool(rec, name, json_is_true(value));
        } else if (!json_is_object(value) || !set_map(name, value, rec)) {
            return false;
        }
    }
    return true;
}

/* `strict`: kinds must be known; otherwise (peek) an unknown one is called evidence. */
static bool set_docs(const json_t *v, struct kv_record *rec, bool strict)
{
    size_t count = json_array_size(v);
    if (count < 1 || count > KV_RECORD_DOCS_MAX) {
        return false;
    }
    rec->docs = calloc(count, sizeof *rec->docs);
    if (rec->docs == NULL) {
        abort();
    }
    rec->doc_count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *o = json_array_get(v, i);
        int64_t n;
        if (!kv_doc_kind_parse(text_of(json_object_get(o, "k")), &rec->docs[i].kind)) {
            rec->docs[i].kind = KV_DOC_EVIDENCE;
            if (strict) {
                return false;
            }
        }
        if (!set_hash(json_object_get(o, "h"), &rec->docs[i].hash) ||
            !set_integer(json_object_get(o, "n"), &n) || n < 1 || n > KV_BLOB_MAX) {
            return false;
        }
        rec->docs[i].len = (uint32_t)n;
    }
    return true;
}

static bool set_priv(const json_t *v, struct kv_record *rec)
{
    bool any = false;
    for (int i = 0; i < KV_PRIV_COUNT; i++) {
        json_t *h = json_object_get(v, kv_priv_field_word((enum kv_priv_field)i));
        rec->has_priv[i] = h != NULL;
        any = any || h != NULL;
        if (h != NULL && !set_hash(h, &rec->priv[i])) {
            return false;
        }
    }
    return any;
}

static bool set_key(enum kv_record_key key, const json_t *v, struct kv_record *rec)
{
    switch (key) {
    case KV_RK_PERSON: return set_text(v, rec->person, sizeof rec->person);
    case KV_RK_KEY: return set_text(v, rec->key, sizeof rec->key);
    case KV_RK_ROLE: return set_text(v, rec->role, sizeof rec->role);
    case KV_RK_REQ: return set_text(v, rec->req, sizeof rec->req);
    case KV_RK_GRANT: return set_text(v, rec->grant, sizeof rec->grant);
    case KV_RK_INTEG: return set_text(v, rec->integ, sizeof rec->integ);
    case KV_RK_CRED: return set_text(v, rec->cred, sizeof rec->cred);
    case KV_RK_OP: return kv_op_parse(text_of(v), &rec->op);
    case KV_RK_CTX: return set_text(v, rec->ctx, sizeof rec->ctx);
    case KV_RK_DIG: return set_hash(v, &rec->dig);
    case KV_RK_OF: return set_number(v, &rec->of);
    case KV_RK_KSEF: return set_ksef(v, &rec->ksef);
    case KV_RK_INV: return set_inv(v, rec);
    case KV_RK_OUT: return set_out(v, &rec->out);
    case KV_RK_ERR: return set_text(v, rec->err, sizeof rec->err);
    case KV_RK_COUNT: break;
    }
    return false;
}

static bool set_prev(const json_t *v, struct kv_record *rec)
{
    struct kv_bytes in = text_of(v);
    rec->has_prev = in.len != 0;
    return json_is_string(v) && (in.len == 0 || kv_hash_from_base64(in, &rec->prev));
}

/* The keys up to `who`; false also of a name that is none of them, with *known false. */
static bool set_common(const char *name, const json_t *v, struct kv_record *rec, bool *known)
{
    uint64_t n;
    struct kv_bytes key = kv_bytes_str(name);
    *known = true;
    if (kv_bytes_is(key, "v")) {
        bool ok = set_number(v, &n) && n <= UINT32_MAX;
        rec->v = ok ? (uint32_t)n : 0;
        return ok;
    }
    if (kv_bytes_is(key, "seq")) {
        return set_number(v, &rec->seq);
    }
    if (kv_bytes_is(key, "ts")) {
        return kv_time_parse_ms(text_of(v), &rec->ts_ms);
    }
    if (kv_bytes_is(key, "boot")) {
        return set_text(v, rec->boot, sizeof rec->boot);
    }
    if (kv_bytes_is(key, "mono")) {
        return set_number(v, &rec->mono_us);
    }
    if (kv_bytes_is(key, "prev")) {
        return set_prev(v, rec);
    }
    if (kv_bytes_is(key, "ev")) {
        return kv_event_parse(text_of(v), &rec->ev);
    }
    if (kv_bytes_is(key, "who")) {
        return set_who(v, rec);
    }
    *known = false;
    return false;
}

static bool set_any(const char *name, json_t *v, struct kv_record *rec)
{
    bool known;
    bool set = set_common(name, v, rec, &known);
    if (known) {
        return set;
    }
    for (int i = 0; i < KV_RK_COUNT; i++) {
        if (strcmp(name, kv_record_key_word((enum kv_record_key)i)) == 0) {
            rec->has |= UINT32_C(1) << i;
            return set_key((enum kv_record_key)i, v, rec);
        }
    }
    struct kv_bytes key = kv_bytes_str(name);
    return (kv_bytes_is(key, "info") && set_info(v, rec)) ||
           (kv_bytes_is(key, "docs") && set_docs(v, rec, true)) ||
           (kv_bytes_is(key, "priv") && set_priv(v, rec));
}

static enum kv_code parse(struct kv_bytes line, json_t **out, struct kv_err *err)
{
    if (line.len > KV_RECORD_MAX) {
        return BAD(err, "a record of %zu bytes", line.len);
    }
    json_error_t why;
    json_t *json = json_loadb((const char *)line.ptr, line.len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL) {
        return BAD(err, "not JSON: %.120s", why.text);
    }
    if (!json_is_object(json)) {
        json_decref(json);
        return BAD(err, "not an object");
    }
    *out = json;
    return KV_OK;
}

static enum kv_code same_bytes(const struct kv_record *rec, struct kv_bytes line,
                               struct kv_err *err)
{
    struct kv_buf again;
    kv_buf_init(&again, 2 * KV_RECORD_MAX);
    enum kv_code code = kv_record_encode(rec, &again, err);
    if (code == KV_OK && !kv_bytes_equal(kv_buf_bytes(&again), line)) {
        code = BAD(err, "the bytes are not the one way to write this record");
    }
    kv_buf_clear(&again);
    return code;
}

enum kv_code kv_record_decode(struct kv_bytes line, struct kv_record **out, struct kv_err *err)
{
    KV_CLEANUP(json_freep) json_t *json = NULL;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = kv_record_new(KV_EV_NONE);
    enum kv_code code = parse(line, &json, err);
    if (code != KV_OK) {
        return code;
    }
    const json_t *v = json_object_get(json, "v");
    if (json_is_integer(v) && json_integer_value(v) > KV_RECORD_VERSION) {
        return KV_REFUSE(err, KV_E_LEDGER_NEWER, "written by a newer version (v %lld)",
                         (long long)json_integer_value(v));
    }
    rec->v = 0;
    rec->who_id[0] = '\0';
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value)
    {
        if (!set_any(name, value, rec)) {
            return BAD(err, "'%.40s' is unknown, or its value malformed", name);
        }
    }
    code = same_bytes(rec, line, err);
    if (code != KV_OK) {
        return code;
    }
    *out = rec;
    rec = NULL; /* handed over */
    return KV_OK;
}

enum kv_code kv_record_peek(struct kv_bytes line, struct kv_record **out, struct kv_err *err)
{
    static const char *const names[] = {"v", "seq", "ts", "prev"};
    KV_CLEANUP(json_freep) json_t *json = NULL;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = kv_record_new(KV_EV_NONE);
    enum kv_code code = parse(line, &json, err);
    if (code != KV_OK) {
        return code;
    }
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        bool known;
        if (!set_common(names[i], json_object_get(json, names[i]), rec, &known)) {
            return BAD(err, "'%s' is missing or malformed", names[i]);
        }
    }
    const json_t *docs = json_object_get(json, "docs");
    if (docs != NULL && !set_docs(docs, rec, false)) {
        return BAD(err, "docs are malformed");
    }
    *out = rec;
    rec = NULL; /* handed over */
    return KV_OK;
}
