/* KOD II for invoices: decide once for the call, stage one use.sign for each invoice, and let the
 * keeper sign while those records are made durable. The answer leaves when both are there: a
 * signature never leaves without its record. */
#include "agent/vault.h"

#include "core/log.h"
#include "ksef/qr.h"

#include <stdlib.h>

#define KEEPER_TIMEOUT_MS 20000
#define SELLER_LEN        11 /* a NIP, with NUL */

enum { A_CONTEXT, A_SELLER, A_INVOICES };

struct invoice {
    struct kv_hash hash;
    char date[KV_QR_DATE_LEN]; /* "": no KOD I is asked for */
    uint64_t seq;
};

struct codes {
    LIST_ENTRY(codes) of_vault;
    struct vault *v;
    struct call *call;
    struct kv_channel *keeper; /* which is asked; gone with its channel */
    struct kv_buf front;       /* of what is signed */
    char environment[5], seller[SELLER_LEN];
    bool durable, answered;
    enum kv_code code; /* the keeper's */
    char detail[192];
    struct kv_buf signatures;
    size_t count;
    struct invoice invoice[];
};

/* What a call asks for, before it is anything that lasts. */
struct invoices {
    size_t count;
    struct invoice invoice[KV_CODES_MAX];
};

/* An active Offline certificate with what is read from it once. */
struct code_certificate {
    struct code_certificate *next;
    struct kv_hash hash;
    char serial[KV_CERTIFICATE_SERIAL_HEX_LEN];
    struct kv_buf der;
};

static void free_codes(struct codes *codes)
{
    LIST_REMOVE(codes, of_vault);
    codes->v->awaited -= codes->durable && !codes->answered;
    kv_buf_clear(&codes->front);
    kv_buf_clear(&codes->signatures);
    free(codes);
}

/* ---- the answer ---- */

static void add_code(struct codes *codes, const struct invoice *invoice, struct kv_bytes signature,
                     struct kv_buf *out)
{
    char hash[KV_HASH_BASE64_LEN];
    struct kv_buf link;
    struct kv_err err;
    kv_hash_base64(&invoice->hash, hash);
    kv_buf_init(&link, KV_QR_LINK_MAX);
    kv_qr_certificate_link(kv_buf_bytes(&codes->front), &invoice->hash, signature, &link);
    kv_message_begin(out, "", KV_FIELD_OBJECT);
    kv_message_str(out, "hash", hash);
    kv_message_number(out, "record", invoice->seq);
    kv_message_text(out, "certificateLink", kv_buf_bytes(&link));
    if (invoice->date[0] != '\0') {
        kv_buf_reset(&link);
        enum kv_code code =
            kv_qr_invoice_link(kv_bytes_str(codes->environment), kv_bytes_str(codes->seller),
                               kv_bytes_str(invoice->date), &invoice->hash, &link, &err);
        assert(code == KV_OK); /* read_invoice has checked its parts */
        kv_message_text(out, "invoiceLink", kv_buf_bytes(&link));
    }
    kv_message_end(out);
    kv_buf_clear(&link);
}

static void answer(struct codes *codes)
{
    struct call *call = codes->call;
    struct kv_buf out;
    size_t len = codes->signatures.len / codes->count;
    kv_buf_init(&out, KV_CALL_REPLY_MAX);
    kv_message_begin(&out, "codes", KV_FIELD_ARRAY);
    for (size_t i = 0; i < codes->count; i++) {
        add_code(codes, &codes->invoice[i], kv_bytes(codes->signatures.data + i * len, len), &out);
    }
    kv_message_end(&out);
    free_codes(codes);
    vault_reply(call, &out);
}

/* Both the records and the signatures are waited for, in either order. */
static void answer_if_both(struct codes *codes)
{
    if (!codes->durable || !codes->answered) {
        return;
    }
    if (codes->code == KV_OK) {
        answer(codes);
        return;
    }
    /* The records stand: they say what the slot was asked to sign, not that it was handed out. */
    struct call *call = codes->call;
    enum kv_code code = codes->code;
    char detail[sizeof codes->detail];
    memcpy(detail, codes->detail, sizeof detail);
    free_codes(codes);
    vault_refuse(call, code, detail);
}

static void on_durable(void *ctx, enum kv_code code, const char *detail)
{
    struct codes *codes = ctx;
    (void)code;
    (void)detail; /* the flush itself cannot fail without ending us */
    codes->durable = true;
    codes->v->awaited += !codes->answered;
    answer_if_both(codes);
}

static void keep_failure(struct codes *codes, enum kv_code code, const char *detail)
{
    size_t n = strlen(detail);
    codes->code = code;
    memcpy(codes->detail, detail, n < sizeof codes->detail ? n : sizeof codes->detail - 1);
}

static void on_signatures(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"signatures", KV_FIELD_OCTETS, KV_CODES_MAX * KV_KSEF_SIGNATURE_MAX, true, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct codes *codes = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    codes->v->awaited -= codes->durable;
    codes->answered = true;
    if (!codes->durable) {
        vault_flush_now(codes->v); /* it overtook its record */
    }
    if (answer->code != KV_OK) {
        keep_failure(codes, answer->code, answer->detail);
    } else if (kv_message_read(answer->fields, specs, field, &err) != KV_OK) {
        keep_failure(codes, err.code, err.msg);
    } else if (field[0].value.len == 0 || field[0].value.len % codes->count != 0) {
        keep_failure(codes, KV_E_PROTOCOL, "the keeper made another number of signatures");
    } else {
        kv_buf_add_bytes(&codes->signatures, field[0].value);
    }
    answer_if_both(codes);
}

/* ---- the certificate ---- */

static enum kv_code load_certificate(struct vault *v, const struct kv_hash *hash,
                                     struct code_certificate **out, struct kv_err *err)
{
    static struct kv_certificate_info info; /* with its key: too much for the stack */
    struct code_certificate *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL) {
        abort();
    }
    fresh->hash = *hash;
    kv_buf_init(&fresh->der, KV_CERTIFICATE_MAX);
    if (kv_log_blob(v->log, hash, 0, &fresh->der, err) != KV_OK ||
        kv_certificate_inspect(kv_buf_bytes(&fresh->der), &info, err) != KV_OK) {
        kv_buf_clear(&fresh->der);
        free(fresh);
        return err->code;
    }
    memcpy(fresh->serial, info.serial, sizeof fresh->serial);
    fresh->next = v->code_certificates;
    v->code_certificates = fresh;
    *out = fresh;
    return KV_OK;
}

static enum kv_code certificate_of(struct vault *v, const struct kv_hash *hash,
                                   struct code_certificate **out, struct kv_err *err)
{
    for (struct code_certificate *c = v->code_certificates; c != NULL; c = c->next) {
        if (kv_hash_equal(&c->hash, hash)) {
            *out = c;
            return KV_OK;
        }
    }
    return load_certificate(v, hash, out, err);
}

/* ---- the call ---- */

static enum kv_code read_field(const struct kv_field *field, struct invoice *out, bool *has_hash,
                               struct kv_err *err)
{
    size_t len;
    struct kv_hash ignored;
    struct kv_buf link;
    if (field->type != KV_FIELD_STRING) {
        return KV_REFUSE(err, KV_E_INPUT_TYPE, "invoices: hash and date are strings");
    }
    if (kv_bytes_is(field->name, "hash") && !*has_hash) {
        *has_hash = kv_base64_decode(field->value, out->hash.b, sizeof out->hash.b, &len) &&
                    len == sizeof out->hash.b;
        return *has_hash ? KV_OK
                         : KV_REFUSE(err, KV_E_INPUT_VALUE,
                                     "invoices: hash is the SHA-256 of the invoice file, 44 "
                                     "characters of base64");
    }
    if (!kv_bytes_is(field->name, "date") || out->date[0] != '\0') {
        return KV_REFUSE(err, KV_E_INPUT_FIELD, "invoices: each is {hash, date?}");
    }
    memset(&ignored, 0, sizeof ignored);
    kv_buf_init(&link, KV_QR_LINK_MAX); /* a date is good if a link can be made of it */
    enum kv_code code = kv_qr_invoice_link(kv_bytes_str("test"), kv_bytes_str("5265877635"),
                                           field->value, &ignored, &link, err);
    kv_buf_clear(&link);
    bool fits = code != KV_OK || kv_field_copy(field, out->date, sizeof out->date);
    assert(fits); /* a date has ten characters */
    return code;
}

static enum kv_code read_invoices(struct kv_bytes array, struct invoices *out, struct kv_err *err)
{
    struct kv_cursor cur = kv_cursor(array);
    struct kv_field field;
    bool inside = false, has_hash = false;
    while (kv_message_next(&cur, &field)) {
        if (field.type == KV_FIELD_OBJECT && !inside) {
            inside = true;
            has_hash = false;
            out->invoice[out->count] = (struct invoice){.seq = 0};
        } else if (field.type == KV_FIELD_END && inside) {
            if (!has_hash) {
                return KV_REFUSE(err, KV_E_INPUT_MISSING, "invoices: one has no hash");
            }
            inside = false;
            out->count++; /* the table allows KV_CODES_MAX */
        } else if (!inside) {
            return KV_REFUSE(err, KV_E_INPUT_TYPE, "invoices: an array of objects");
        } else if (read_field(&field, &out->invoice[out->count], &has_hash, err) != KV_OK) {
            return err->code;
        }
    }
    return out->count > 0 ? KV_OK : KV_REFUSE(err, KV_E_INPUT_VALUE, "invoices: at least one");
}

/* All or nothing: a batch that the grant does not hold is not begun. */
static enum kv_code check_room(const struct codes *codes, const struct entitlement *who,
                               struct kv_err *err)
{
    if (codes->count <= who->room) {
        return KV_OK;
    }
    return KV_REFUSE(err, who->room_code, "grant %s allows %llu more uses now, not %zu", who->grant,
                     (unsigned long long)who->room, codes->count);
}

static enum kv_code stage(struct codes *codes, const struct entitlement *who, const char *ctx,
                          struct kv_err *err)
{
    struct vault *v = codes->v;
    char via[KV_VIA_LEN];
    vault_client_via(codes->call->client, true, via);
    for (size_t i = 0; i < codes->count; i++) {
        struct invoice *invoice = &codes->invoice[i];
        struct kv_hash digest = kv_qr_digest(kv_buf_bytes(&codes->front), &invoice->hash);
        struct kv_record *rec = kv_record_new(KV_EV_USE_SIGN);
        kv_record_set_who(rec, KV_WHO_INTEGRATION, who->integration, via);
        kv_record_set(rec, KV_RK_GRANT, who->grant);
        kv_record_set(rec, KV_RK_CRED, who->credential);
        kv_record_set(rec, KV_RK_CTX, ctx);
        kv_record_set_op(rec, KV_OP_QR_KOD2);
        kv_record_set_dig(rec, &digest);
        kv_record_add_inv(rec, &invoice->hash);
        if (vault_record(v, rec, NULL, &invoice->seq, err) != KV_OK) {
            return err->code;
        }
    }
    return KV_OK;
}

static enum kv_code ask_keeper(struct codes *codes, const struct entitlement *who, const char *ctx,
                               const struct code_certificate *certificate, struct kv_err *err)
{
    struct vault *v = codes->v;
    const struct keeper *keeper = vault_keeper(v, who->slot);
    struct kv_buf body, hashes;
    char label[KV_LABEL_LEN];
    if (keeper == NULL || !keeper->ready) {
        return KV_REFUSE(err, keeper == NULL ? KV_E_TOKEN_ABSENT : keeper->code, "slot %s: %.100s",
                         who->slot, keeper == NULL ? "not configured" : keeper->detail);
    }
    vault_key_label(v, who->credential, label);
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_buf_init(&hashes, sizeof(struct kv_hash) * KV_CODES_MAX);
    for (size_t i = 0; i < codes->count; i++) {
        kv_buf_add(&hashes, codes->invoice[i].hash.b, KV_HASH_LEN);
    }
    kv_message_str(&body, "label", label);
    kv_message_str(&body, "environment", codes->environment);
    kv_message_str(&body, "context", ctx);
    kv_message_str(&body, "seller", codes->seller);
    kv_message_octets(&body, "certificate", kv_buf_bytes(&certificate->der));
    kv_message_octets(&body, "invoices", kv_buf_bytes(&hashes));
    enum kv_code code = kv_channel_ask(keeper->channel, KV_FRAME_SIGN_CODES, kv_buf_bytes(&body),
                                       -1, KEEPER_TIMEOUT_MS, on_signatures, codes, err);
    codes->keeper = code == KV_OK ? keeper->channel : NULL;
    kv_buf_clear(&hashes);
    kv_buf_clear(&body);
    return code;
}

static enum kv_code begin(struct codes *codes, const struct entitlement *who, const char *ctx,
                          struct kv_err *err)
{
    struct vault *v = codes->v;
    struct code_certificate *certificate = NULL;
    const struct kv_credential *c = kv_state_credential(v->state, kv_bytes_str(who->credential));
    assert(c != NULL); /* the decision named it */
    kv_statement_copy(c->request->text, KV_KEY_ENVIRONMENT, codes->environment,
                      sizeof codes->environment);
    if (certificate_of(v, &who->certificate, &certificate, err) != KV_OK) {
        return err->code;
    }
    struct kv_qr_issuer issuer = {.environment = kv_bytes_str(codes->environment),
                                  .context = kv_bytes_str(ctx),
                                  .seller = kv_bytes_str(codes->seller),
                                  .serial = kv_bytes_str(certificate->serial)};
    if (kv_qr_front(&issuer, &codes->front, err) != KV_OK || check_room(codes, who, err) != KV_OK ||
        ask_keeper(codes, who, ctx, certificate, err) != KV_OK) {
        return err->code;
    }
    if (stage(codes, who, ctx, err) != KV_OK) {
        kv_channel_forget(codes->keeper, codes);
        return err->code;
    }
    vault_after_flush_or_later(v, on_durable, codes);
    return KV_OK;
}

static struct codes *new_codes(struct call *call, const struct invoices *invoices)
{
    struct vault *v = call->vault;
    size_t len = invoices->count * sizeof invoices->invoice[0];
    struct codes *codes = calloc(1, sizeof *codes + len);
    if (codes == NULL) {
        abort();
    }
    codes->v = v;
    codes->call = call;
    codes->count = invoices->count;
    memcpy(codes->invoice, invoices->invoice, len);
    kv_buf_init(&codes->front, KV_QR_TEXT_MAX);
    kv_buf_init(&codes->signatures, KV_CODES_MAX * KV_KSEF_SIGNATURE_MAX);
    LIST_INSERT_HEAD(&v->codes, codes, of_vault);
    return codes;
}

static enum kv_code read_call(const struct call *call, char ctx[static KV_CONTEXT_LEN],
                              char seller[static SELLER_LEN], struct invoices *invoices,
                              struct kv_err *err)
{
    if (!kv_field_copy(&call->field[A_CONTEXT], ctx, KV_CONTEXT_LEN) ||
        !kv_field_copy(&call->field[A_SELLER], seller, SELLER_LEN)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "context or seller");
    }
    if (kv_context_parse(call->field[A_CONTEXT].value, NULL, err) != KV_OK) {
        return err->code;
    }
    if (!kv_nip_valid(call->field[A_SELLER].value)) {
        return KV_REFUSE(err, KV_E_INPUT_NIP, "seller: not a NIP with a good check digit");
    }
    return read_invoices(call->field[A_INVOICES].value, invoices, err);
}

void vault_call_codes(struct call *call)
{
    struct entitlement who;
    struct invoices invoices = {.count = 0};
    struct kv_err err;
    char ctx[KV_CONTEXT_LEN], seller[SELLER_LEN];
    enum kv_code code = read_call(call, ctx, seller, &invoices, &err);
    if (code != KV_OK) {
        vault_refuse(call, code, err.msg);
        return;
    }
    if (!vault_entitled(call, KV_OP_QR_KOD2, ctx, &who)) {
        return; /* refused, recorded and answered */
    }
    struct codes *codes = new_codes(call, &invoices);
    memcpy(codes->seller, seller, sizeof codes->seller);
    code = begin(codes, &who, ctx, &err);
    if (code != KV_OK) {
        free_codes(codes);
        vault_refuse(call, code, err.msg);
    }
}

void vault_codes_clear(struct vault *v)
{
    while (!LIST_EMPTY(&v->codes)) {
        struct codes *codes = LIST_FIRST(&v->codes);
        if (codes->keeper != NULL && !codes->answered) {
            kv_channel_forget(codes->keeper, codes);
        }
        vault_drop_effects(v, codes);
        free_codes(codes);
    }
    while (v->code_certificates != NULL) {
        struct code_certificate *next = v->code_certificates->next;
        kv_buf_clear(&v->code_certificates->der);
        free(v->code_certificates);
        v->code_certificates = next;
    }
}
