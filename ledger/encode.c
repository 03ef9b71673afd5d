#include "ledger/encode.h"

#include "core/time.h"

/* Written by hand rather than through a JSON tree: the order of the keys is the format, and a turn
 * of the vault writes many. That it is jansson's encoding to the byte is proven by a test. */

static void add_number(struct kv_buf *out, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    kv_buf_add(out, digits + at, sizeof digits - at);
}

static void add_integer(struct kv_buf *out, int64_t v)
{
    if (v < 0) {
        kv_buf_add_u8(out, '-');
    }
    add_number(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void kv_json_string(struct kv_buf *out, struct kv_bytes text)
{
    static const char HEX[] = "0123456789ABCDEF";
    static const char plain[] = "\b\f\n\r\t\"\\";
    static const char letter[] = "bfnrt\"\\";
    kv_buf_add_u8(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        kv_buf_add(out, text.ptr + from, i - from);
        from = i + 1;
        const char *at = c == 0 ? NULL : strchr(plain, c);
        if (at != NULL) {
            char escape[2] = {'\\', letter[at - plain]};
            kv_buf_add(out, escape, sizeof escape);
        } else {
            char escape[6] = {'\\', 'u', '0', '0', HEX[c >> 4], HEX[c & 15]};
            kv_buf_add(out, escape, sizeof escape);
        }
    }
    kv_buf_add(out, text.ptr + from, text.len - from);
    kv_buf_add_u8(out, '"');
}

static void add_string(struct kv_buf *out, const char *s)
{
    kv_json_string(out, kv_bytes_str(s));
}

static void add_hash(struct kv_buf *out, const struct kv_hash *hash)
{
    kv_buf_add_u8(out, '"');
    kv_buf_add_base64(out, kv_bytes(hash->b, KV_HASH_LEN));
    kv_buf_add_u8(out, '"');
}

/* `,"name":`, without the comma behind an opening brace. */
static void add_name(struct kv_buf *out, const char *name)
{
    if (out->len > 0 && out->data[out->len - 1] != '{') {
        kv_buf_add_u8(out, ',');
    }
    kv_buf_add_u8(out, '"');
    kv_buf_add_str(out, name);
    kv_buf_add_str(out, "\":");
}

static void add_named(struct kv_buf *out, const char *name, const char *value)
{
    if (value[0] != '\0') {
        add_name(out, name);
        add_string(out, value);
    }
}

static void add_named_integer(struct kv_buf *out, const char *name, bool has, int64_t value)
{
    if (has) {
        add_name(out, name);
        add_integer(out, value);
    }
}

static void add_common(struct kv_buf *out, const struct kv_record *rec)
{
    char ts[KV_TIME_MS_LEN];
    kv_time_format_ms(rec->ts_ms, ts);
    kv_buf_add_str(out, "{\"v\":");
    add_number(out, rec->v);
    kv_buf_add_str(out, ",\"seq\":");
    add_number(out, rec->seq);
    kv_buf_add_str(out, ",\"ts\":\"");
    kv_buf_add_str(out, ts);
    kv_buf_add_str(out, "\",\"boot\":\"");
    kv_buf_add_str(out, rec->boot);
    kv_buf_add_str(out, "\",\"mono\":");
    add_number(out, rec->mono_us);
    kv_buf_add_str(out, ",\"prev\":");
    if (rec->has_prev) {
        add_hash(out, &rec->prev);
    } else {
        kv_buf_add_str(out, "\"\"");
    }
    kv_buf_add_str(out, ",\"ev\":");
    add_string(out, kv_event_word(rec->ev));
    kv_buf_add_str(out, ",\"who\":{");
    add_named(out, "kind", kv_who_word(rec->who));
    add_named(out, "id", rec->who_id);
    add_named(out, "via", rec->via);
    kv_buf_add_u8(out, '}');
}

static void add_ksef(struct kv_buf *out, const struct kv_record_ksef *ksef)
{
    kv_buf_add_u8(out, '{');
    add_named(out, "authRef", ksef->auth_ref);
    add_named(out, "sessRef", ksef->sess_ref);
    add_named_integer(out, "http", ksef->has_http, ksef->http);
    add_named_integer(out, "code", ksef->has_code, ksef->code);
    add_named_integer(out, "off", ksef->has_off, ksef->off_ms);
    kv_buf_add_u8(out, '}');
}

static void add_inv(struct kv_buf *out, const struct kv_record *rec)
{
    for (size_t i = 0; i < rec->inv_count; i++) {
        const struct kv_invoice *inv = &rec->inv[i];
        kv_buf_add_str(out, i == 0 ? "[{" : ",{");
        add_name(out, "h");
        add_hash(out, &inv->hash);
        add_named(out, "n", inv->number);
        add_named(out, "p2", inv->p2);
        add_named_integer(out, "st", inv->has_status, inv->status);
        add_named(out, "src", inv->source);
        kv_buf_add_u8(out, '}');
    }
    kv_buf_add_u8(out, ']');
}

static const char *out_word(enum kv_out out)
{
    static const char *const words[] = {
        [KV_OUT_OK] = "ok", [KV_OUT_ERROR] = "error", [KV_OUT_UNKNOWN] = "unknown"};
    return words[out];
}

static void add_key(struct kv_buf *out, const struct kv_record *rec, enum kv_record_key key)
{
    add_name(out, kv_record_key_word(key));
    switch (key) {
    case KV_RK_PERSON: add_string(out, rec->person); break;
    case KV_RK_KEY: add_string(out, rec->key); break;
    case KV_RK_ROLE: add_string(out, rec->role); break;
    case KV_RK_REQ: add_string(out, rec->req); break;
    case KV_RK_GRANT: add_string(out, rec->grant); break;
    case KV_RK_INTEG: add_string(out, rec->integ); break;
    case KV_RK_CRED: add_string(out, rec->cred); break;
    case KV_RK_OP: add_string(out, kv_op_word(rec->op)); break;
    case KV_RK_CTX: add_string(out, rec->ctx); break;
    case KV_RK_DIG: add_hash(out, &rec->dig); break;
    case KV_RK_OF: add_number(out, rec->of); break;
    case KV_RK_KSEF: add_ksef(out, &rec->ksef); break;
    case KV_RK_INV: add_inv(out, rec); break;
    case KV_RK_OUT: add_string(out, out_word(rec->out)); break;
    case KV_RK_ERR: add_string(out, rec->err); break;
    case KV_RK_COUNT: assert(false);
    }
}

static void add_info(struct kv_buf *out, const struct kv_info *info)
{
    add_name(out, info->name);
    switch (info->type) {
    case KV_INFO_STRING: add_string(out, info->s); break;
    case KV_INFO_INTEGER: add_integer(out, info->n); break;
    case KV_INFO_BOOLEAN: kv_buf_add_str(out, info->b ? "true" : "false"); break;
    case KV_INFO_MAP:
        kv_buf_add_u8(out, '{');
        for (size_t i = 0; i < info->pair_count; i++) {
            const struct kv_info_pair *pair = &info->pairs[i];
            kv_buf_add_str(out, i == 0 ? "" : ",");
            add_string(out, pair->name);
            kv_buf_add_u8(out, ':');
            if (pair->is_bool) {
                kv_buf_add_str(out, pair->b ? "true" : "false");
            } else {
                add_string(out, pair->s);
            }
        }
        kv_buf_add_u8(out, '}');
        break;
    }
}

static void add_docs(struct kv_buf *out, const struct kv_record *rec)
{
    for (size_t i = 0; i < rec->doc_count; i++) {
        kv_buf_add_str(out, i == 0 ? ",\"docs\":[{" : ",{");
        add_named(out, "k", kv_doc_kind_word(rec->docs[i].kind));
        add_name(out, "h");
        add_hash(out, &rec->docs[i].hash);
        add_name(out, "n");
        add_number(out, rec->docs[i].len);
        kv_buf_add_u8(out, '}');
    }
    kv_buf_add_str(out, rec->doc_count > 0 ? "]" : "");
}

static void add_priv(struct kv_buf *out, const struct kv_record *rec)
{
    bool any = false;
    for (int i = 0; i < KV_PRIV_COUNT; i++) {
        if (rec->has_priv[i]) {
            kv_buf_add_str(out, any ? "" : ",\"priv\":{");
            add_name(out, kv_priv_field_word((enum kv_priv_field)i));
            add_hash(out, &rec->priv[i]);
            any = true;
        }
    }
    kv_buf_add_str(out, any ? "}" : "");
}

enum kv_code kv_record_encode(const struct kv_record *rec, struct kv_buf *out, struct kv_err *err)
{
    enum kv_code code = kv_record_check(rec, err);
    if (code != KV_OK) {
        return code;
    }
    size_t start = out->len;
    add_common(out, rec);
    for (int i = 0; i < KV_RK_COUNT; i++) {
        if (kv_record_has(rec, (enum kv_record_key)i)) {
            add_key(out, rec, (enum kv_record_key)i);
        }
    }
    for (size_t i = 0; i < rec->info_count; i++) {
        kv_buf_add_str(out, i == 0 ? ",\"info\":{" : "");
        add_info(out, &rec->info[i]);
    }
    kv_buf_add_str(out, rec->info_count > 0 ? "}" : "");
    add_docs(out, rec);
    add_priv(out, rec);
    kv_buf_add_u8(out, '}');
    bool failed = out->failed;
    size_t len = out->len - start;
    if (failed || len > KV_RECORD_MAX) {
        out->len = start;
        out->failed = false;
    }
    if (failed) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a record");
    }
    if (len > KV_RECORD_MAX) {
        return KV_REFUSE(err, KV_E_LEDGER_RECORD, "a record of %zu bytes", len);
    }
    return KV_OK;
}
