#include "ledger/encode.h"

#include "core/parse.h"

/* The values of a record (docs/ledger-format.md §4) and the row of its event (§5). */

#define BAD(err, ...) KV_REFUSE((err), KV_E_LEDGER_RECORD, __VA_ARGS__)

static struct kv_bytes text(const char *s)
{
    return kv_bytes_str(s);
}

/* Visible ASCII without spaces, 1 to `max`. */
static bool visible(struct kv_bytes in, size_t max)
{
    for (size_t i = 0; i < in.len; i++) {
        if (in.ptr[i] <= ' ' || in.ptr[i] > '~') {
            return false;
        }
    }
    return in.len >= 1 && in.len <= max;
}

/* Dotted words: [a-z0-9-]+(\.[a-z0-9-]+)+. Not looked up in the table: an older program must read
 * what a newer one wrote under the same version of the format. */
static bool code_word_valid(struct kv_bytes in)
{
    size_t dots = 0;
    bool empty = true;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (c == '.') {
            if (empty) {
                return false;
            }
            dots++;
            empty = true;
        } else if (kv_is_lower(c) || kv_is_digit(c) || c == '-') {
            empty = false;
        } else {
            return false;
        }
    }
    return !empty && dots > 0;
}

static bool take_word(struct kv_bytes *rest, struct kv_bytes *word)
{
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *space = memchr(rest->ptr, ' ', rest->len);
    size_t len = space == NULL ? rest->len : (size_t)(space - rest->ptr);
    *word = kv_bytes(rest->ptr, len);
    size_t skip = space == NULL ? len : len + 1;
    rest->ptr += skip;
    rest->len -= skip;
    return true;
}

static bool take_prefix(struct kv_bytes *word, const char *prefix)
{
    size_t n = strlen(prefix);
    if (word->len < n || memcmp(word->ptr, prefix, n) != 0) {
        return false;
    }
    word->ptr += n;
    word->len -= n;
    return true;
}

static bool uid_valid(struct kv_bytes word)
{
    uint64_t uid;
    return take_prefix(&word, "uid:") && kv_parse_u64(word, UINT32_MAX, &uid);
}

/* `uid:N`, then of what was attested ` unit:NAME`, ` exe:HEX`. */
static bool attested_valid(struct kv_bytes via)
{
    struct kv_bytes word;
    if (via.len == 0 || via.ptr[via.len - 1] == ' ' || !take_word(&via, &word) ||
        !uid_valid(word)) {
        return false;
    }
    bool more = take_word(&via, &word);
    if (more && take_prefix(&word, "unit:")) {
        if (!visible(word, 255)) {
            return false;
        }
        more = take_word(&via, &word);
    }
    if (more) {
        struct kv_hash hash;
        if (!take_prefix(&word, "exe:") || !kv_hash_from_hex(word, &hash)) {
            return false;
        }
        more = take_word(&via, &word);
    }
    return !more;
}

static enum kv_code check_who(const struct kv_record *rec, struct kv_err *err)
{
    struct kv_bytes id = text(rec->who_id);
    struct kv_bytes via = text(rec->via);
    bool ok = kv_id_valid(id);
    switch (rec->who) {
    case KV_WHO_AGENT: ok = kv_bytes_is(id, "vault") && via.len == 0; break;
    case KV_WHO_PERSON: ok = ok && (kv_approval_key_valid(via) || uid_valid(via)); break;
    case KV_WHO_INTEGRATION: ok = ok && attested_valid(via); break;
    case KV_WHO_CALLER: {
        uint64_t uid;
        ok = ok && take_prefix(&id, "uid-") && kv_parse_u64(id, UINT32_MAX, &uid) &&
             attested_valid(via);
        break;
    }
    }
    return ok ? KV_OK : BAD(err, "who '%s' via '%.64s' is malformed", rec->who_id, rec->via);
}

static enum kv_code check_ksef(const struct kv_record_ksef *k, struct kv_err *err)
{
    bool any = k->auth_ref[0] != '\0' || k->sess_ref[0] != '\0' || k->has_http || k->has_code ||
               k->has_off;
    bool refs = (k->auth_ref[0] == '\0' || visible(text(k->auth_ref), KV_REF_LEN - 1)) &&
                (k->sess_ref[0] == '\0' || visible(text(k->sess_ref), KV_REF_LEN - 1));
    bool numbers = (!k->has_http || (k->http >= 100 && k->http <= 599)) &&
                   (!k->has_code || (k->code >= 0 && k->code <= 99999)) &&
                   (!k->has_off ||
                    (k->off_ms >= -(int64_t)KV_NUMBER_MAX && k->off_ms <= (int64_t)KV_NUMBER_MAX));
    return any && refs && numbers ? KV_OK : BAD(err, "value of ksef");
}

static enum kv_code check_inv(const struct kv_record *rec, struct kv_err *err)
{
    bool ok = rec->inv_count >= 1 && rec->inv_count <= KV_RECORD_INV_MAX;
    for (size_t i = 0; ok && i < rec->inv_count; i++) {
        const struct kv_invoice *inv = &rec->inv[i];
        struct kv_bytes source = text(inv->source);
        ok = (inv->number[0] == '\0' || visible(text(inv->number), sizeof inv->number - 1)) &&
             kv_utf8_valid(text(inv->p2)) &&
             (!inv->has_status || (inv->status >= 0 && inv->status <= 99999)) &&
             (source.len == 0 || kv_bytes_is(source, "relay") || kv_bytes_is(source, "reported") ||
              kv_bytes_is(source, "ksef"));
    }
    return ok ? KV_OK : BAD(err, "value of inv");
}

/* One key behind `who`, present in the record. */
static bool key_value_valid(const struct kv_record *rec, enum kv_record_key key)
{
    switch (key) {
    case KV_RK_PERSON: return kv_id_valid(text(rec->person));
    case KV_RK_KEY: return kv_approval_key_valid(text(rec->key));
    case KV_RK_ROLE:
        return kv_bytes_is(text(rec->role), "finance") || kv_bytes_is(text(rec->role), "custodian");
    case KV_RK_REQ: return kv_ulid_valid(text(rec->req));
    case KV_RK_GRANT: return kv_ulid_valid(text(rec->grant));
    case KV_RK_INTEG: return kv_id_valid(text(rec->integ));
    case KV_RK_CRED: return kv_id_valid(text(rec->cred));
    case KV_RK_OP: return rec->op > KV_OP_NONE && rec->op < KV_OP_COUNT;
    case KV_RK_CTX: return kv_context_parse(text(rec->ctx), NULL, NULL) == KV_OK;
    case KV_RK_DIG: return true;
    case KV_RK_OF: return rec->of <= KV_NUMBER_MAX;
    case KV_RK_KSEF: return check_ksef(&rec->ksef, NULL) == KV_OK;
    case KV_RK_INV: return check_inv(rec, NULL) == KV_OK;
    case KV_RK_OUT: return rec->out <= KV_OUT_UNKNOWN;
    case KV_RK_ERR: return code_word_valid(text(rec->err));
    case KV_RK_COUNT: break;
    }
    return false;
}

static enum kv_code check_values(const struct kv_record *rec, struct kv_err *err)
{
    uint8_t boot[4];
    size_t len;
    if (rec->v != KV_RECORD_VERSION || rec->seq > KV_NUMBER_MAX || rec->mono_us > KV_NUMBER_MAX) {
        return BAD(err, "value of v, seq or mono");
    }
    if (rec->has_prev != (rec->seq > 0)) {
        return BAD(err, "prev is empty in record 0 and only there");
    }
    if (rec->ts_ms < 0 || !kv_hex_decode(text(rec->boot), boot, sizeof boot, &len) || len != 4) {
        return BAD(err, "value of ts or boot");
    }
    for (int i = 0; i < KV_RK_COUNT; i++) {
        enum kv_record_key key = (enum kv_record_key)i;
        if (kv_record_has(rec, key) && !key_value_valid(rec, key)) {
            return BAD(err, "value of %s", kv_record_key_word(key));
        }
    }
    return check_who(rec, err);
}

static bool info_string_valid(const char *s, size_t min)
{
    struct kv_bytes in = s == NULL ? KV_BYTES_NULL : text(s);
    return s != NULL && in.len >= min && in.len <= KV_INFO_VALUE_MAX && kv_utf8_valid(in);
}

static bool info_value_valid(const struct kv_info *info)
{
    switch (info->type) {
    case KV_INFO_STRING: return info_string_valid(info->s, 1);
    case KV_INFO_INTEGER:
        return info->n >= -(int64_t)KV_NUMBER_MAX && info->n <= (int64_t)KV_NUMBER_MAX;
    case KV_INFO_BOOLEAN: return true;
    case KV_INFO_MAP:
        for (size_t i = 0; i < info->pair_count; i++) {
            const struct kv_info_pair *pair = &info->pairs[i];
            if (!info_string_valid(pair->name, 1) ||
                (!pair->is_bool && !info_string_valid(pair->s, 1)) ||
                (i > 0 && strcmp(info->pairs[i - 1].name, pair->name) >= 0)) {
                return false;
            }
        }
        return true;
    }
    return false;
}

static enum kv_code check_info(const struct kv_record *rec, const struct kv_event_form *form,
                               struct kv_err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < KV_COUNT(form->info) && form->info[i].name != NULL; i++) {
        const struct kv_info_spec *spec = &form->info[i];
        if (at < rec->info_count && strcmp(rec->info[at].name, spec->name) == 0) {
            if (rec->info[at].type != spec->type || !info_value_valid(&rec->info[at])) {
                return BAD(err, "value of info.%s", spec->name);
            }
            at++;
        } else if (!spec->optional) {
            return BAD(err, "info.%s is missing, or the order is another", spec->name);
        }
    }
    return at == rec->info_count ? KV_OK
                                 : BAD(err, "info.%s does not belong here", rec->info[at].name);
}

/* Match the kinds from *at on against the words of one group; advances on success. */
static bool match_group(const struct kv_record *rec, struct kv_bytes group, size_t *at)
{
    size_t i = *at;
    struct kv_bytes word;
    while (take_word(&group, &word)) {
        if (i >= rec->doc_count || !kv_bytes_is(word, kv_doc_kind_word(rec->docs[i].kind))) {
            return false;
        }
        i++;
    }
    *at = i;
    return true;
}

/* The next group of a pattern, "a" or "(a b)", and its sign: 0, `?` or `+`. */
static bool take_group(const char **pattern, struct kv_bytes *group, char *sign)
{
    const char *p = *pattern;
    p += *p == ' ';
    if (*p == '\0') {
        return false;
    }
    size_t len = *p == '(' ? strcspn(p + 1, ")") : strcspn(p, " ?+");
    *group = *p == '(' ? kv_bytes(p + 1, len) : kv_bytes(p, len);
    p += *p == '(' ? len + 2 : len;
    *sign = *p == '?' || *p == '+' ? *p++ : '\0';
    *pattern = p;
    return true;
}

/* The patterns of §5 are such that the first match is the only one. */
static enum kv_code check_docs(const struct kv_record *rec, const char *pattern, struct kv_err *err)
{
    size_t at = 0;
    struct kv_bytes group;
    char sign;
    const char *p = pattern;
    while (take_group(&p, &group, &sign)) {
        bool matched = match_group(rec, group, &at);
        if (!matched && sign != '?') {
            return BAD(err, "docs are not '%s'", pattern);
        }
        while (matched && sign == '+') {
            matched = match_group(rec, group, &at);
        }
    }
    if (at != rec->doc_count || rec->doc_count > KV_RECORD_DOCS_MAX) {
        return BAD(err, "docs are not '%s'", pattern);
    }
    for (size_t i = 0; i < rec->doc_count; i++) {
        if (rec->docs[i].len < 1 || rec->docs[i].len > KV_BLOB_MAX) {
            return BAD(err, "a document of %u bytes", rec->docs[i].len);
        }
    }
    return KV_OK;
}

static const struct kv_event_form *form_of(const struct kv_record *rec)
{
    if (rec->ev <= KV_EV_NONE || rec->ev >= KV_EV_COUNT) {
        return NULL;
    }
    const struct kv_event_row *row = kv_event_row(rec->ev);
    for (size_t i = 0; i < KV_COUNT(row->forms) && row->forms[i].who != 0; i++) {
        if ((row->forms[i].who & (unsigned)rec->who) != 0) {
            return &row->forms[i];
        }
    }
    return NULL;
}

static const char *first_key(uint32_t set)
{
    for (int i = 0; i < KV_RK_COUNT; i++) {
        if ((set >> i & 1) != 0) {
            return kv_record_key_word((enum kv_record_key)i);
        }
    }
    return "-";
}

static enum kv_code check_row(const struct kv_record *rec, struct kv_err *err)
{
    const struct kv_event_form *form = form_of(rec);
    if (form == NULL) {
        return BAD(err, "%s is not written by who is '%s'", kv_event_word(rec->ev),
                   kv_who_word(rec->who));
    }
    uint32_t foreign = rec->has & ~(form->required | form->optional);
    uint32_t missing = form->required & ~rec->has;
    if (foreign != 0) {
        return BAD(err, "%s does not belong here", first_key(foreign));
    }
    if (missing != 0) {
        return BAD(err, "%s is missing", first_key(missing));
    }
    if (kv_record_has(rec, KV_RK_OUT) &&
        (rec->out == KV_OUT_ERROR) != kv_record_has(rec, KV_RK_ERR)) {
        return BAD(err, "err is there exactly if out is error");
    }
    enum kv_code code = check_info(rec, form, err);
    return code == KV_OK ? check_docs(rec, form->docs == NULL ? "" : form->docs, err) : code;
}

enum kv_code kv_record_check(const struct kv_record *rec, struct kv_err *err)
{
    enum kv_code code = check_values(rec, err);
    return code == KV_OK ? check_row(rec, err) : code;
}
