#include "ledger/csv.h"

#include "core/time.h"

static const char HEADER[] = "seq,ts,ev,who,via,person,key,role,req,grant,integ,cred,op,ctx,of,out,"
                             "err,auth_ref,session_ref,http,code,dig,docs,leaf_hash\r\n";

void kv_csv_header(struct kv_buf *out)
{
    kv_buf_add_str(out, HEADER);
}

/* One cell and the comma before it. RFC 4180: quoted if it holds a comma, quote or line end. */
static void cell(struct kv_buf *out, const char *text)
{
    kv_buf_add_u8(out, ',');
    bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    bool quote = strpbrk(text, ",\"\r\n") != NULL;
    kv_buf_add_str(out, quote ? "\"" : "");
    kv_buf_add_str(out, formula ? "'" : "");
    for (const char *p = text; *p != '\0'; p++) {
        kv_buf_add_str(out, *p == '"' ? "\"" : "");
        kv_buf_add_u8(out, (uint8_t)*p);
    }
    kv_buf_add_str(out, quote ? "\"" : "");
}

static void text_cell(struct kv_buf *out, const struct kv_record *rec, enum kv_record_key key,
                      const char *text)
{
    cell(out, kv_record_has(rec, key) ? text : "");
}

static void hash_cell(struct kv_buf *out, bool has, const struct kv_hash *hash)
{
    char text[KV_HASH_BASE64_LEN] = "";
    if (has) {
        kv_hash_base64(hash, text);
    }
    cell(out, text);
}

static void number_cell(struct kv_buf *out, bool has, int64_t number)
{
    kv_buf_add_u8(out, ',');
    if (has) {
        kv_buf_add_format(out, "%s%lld", number < 0 ? "'" : "", (long long)number);
    }
}

static void docs_cell(struct kv_buf *out, const struct kv_record *rec)
{
    struct kv_buf text;
    kv_buf_init(&text, KV_RECORD_MAX);
    for (size_t i = 0; i < rec->doc_count; i++) {
        char hex[KV_HASH_HEX_LEN];
        kv_hash_hex(&rec->docs[i].hash, hex);
        kv_buf_add_format(&text, "%s%s:%s", i == 0 ? "" : " ", kv_doc_kind_word(rec->docs[i].kind),
                          hex);
    }
    cell(out, kv_buf_str(&text));
    out->failed = out->failed || text.failed;
    kv_buf_clear(&text);
}

static const char *out_word(const struct kv_record *rec)
{
    switch (rec->out) {
    case KV_OUT_OK: return "ok";
    case KV_OUT_ERROR: return "error";
    case KV_OUT_UNKNOWN: return "unknown";
    }
    return "";
}

void kv_csv_record(const struct kv_record *rec, const struct kv_hash *leaf, struct kv_buf *out)
{
    char ts[KV_TIME_MS_LEN];
    const struct kv_record_ksef *ksef = &rec->ksef;
    kv_time_format_ms(rec->ts_ms, ts);
    struct kv_buf who;
    kv_buf_init(&who, 16 + KV_ID_LEN);
    kv_buf_add_format(&who, "%s %s", kv_who_word(rec->who), rec->who_id);
    kv_buf_add_format(out, "%llu", (unsigned long long)rec->seq);
    cell(out, ts);
    cell(out, kv_event_word(rec->ev));
    cell(out, kv_buf_str(&who));
    kv_buf_clear(&who);
    cell(out, rec->via);
    text_cell(out, rec, KV_RK_PERSON, rec->person);
    text_cell(out, rec, KV_RK_KEY, rec->key);
    text_cell(out, rec, KV_RK_ROLE, rec->role);
    text_cell(out, rec, KV_RK_REQ, rec->req);
    text_cell(out, rec, KV_RK_GRANT, rec->grant);
    text_cell(out, rec, KV_RK_INTEG, rec->integ);
    text_cell(out, rec, KV_RK_CRED, rec->cred);
    text_cell(out, rec, KV_RK_OP, kv_record_has(rec, KV_RK_OP) ? kv_op_word(rec->op) : "");
    text_cell(out, rec, KV_RK_CTX, rec->ctx);
    number_cell(out, kv_record_has(rec, KV_RK_OF), (int64_t)rec->of);
    text_cell(out, rec, KV_RK_OUT, out_word(rec));
    text_cell(out, rec, KV_RK_ERR, rec->err);
    text_cell(out, rec, KV_RK_KSEF, ksef->auth_ref);
    text_cell(out, rec, KV_RK_KSEF, ksef->sess_ref);
    number_cell(out, kv_record_has(rec, KV_RK_KSEF) && ksef->has_http, ksef->http);
    number_cell(out, kv_record_has(rec, KV_RK_KSEF) && ksef->has_code, ksef->code);
    hash_cell(out, kv_record_has(rec, KV_RK_DIG), &rec->dig);
    docs_cell(out, rec);
    hash_cell(out, true, leaf);
    kv_buf_add_str(out, "\r\n");
}
