/* What a keeper answers: keys, and signatures of what it builds itself. */
#include "agent/keeper.h"

#include "core/evidence.h"
#include "core/name.h"
#include "core/parse.h"
#include "ksef/allowedips.h"
#include "ksef/authrequest.h"
#include "ksef/certificate.h"

#include <stdio.h>

static void add_key(struct kv_buf *out, const struct keeper *k, const struct kv_token_key *key)
{
    const struct kv_token_info *info = kv_token_info(k->token);
    kv_message_octets(out, "public-key", kv_bytes(key->spki, key->spki_len));
    kv_message_str(out, "custody", kv_custody_word(info->custody));
    kv_message_str(out, "custody-why", info->custody_why);
    kv_message_str(out, "model", info->model);
    kv_message_begin(out, "attrs", KV_FIELD_OBJECT);
    kv_message_bool(out, "always_sensitive", key->always_sensitive);
    kv_message_bool(out, "extractable", key->extractable);
    kv_message_bool(out, "local", key->local);
    kv_message_bool(out, "never_extractable", key->never_extractable);
    kv_message_bool(out, "sensitive", key->sensitive);
    kv_message_end(out);
}

static bool text_of(const struct kv_field *field, char *out, size_t size)
{
    return field->type == KV_FIELD_STRING && kv_field_copy(field, out, size);
}

static enum kv_code on_state(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                             struct kv_err *err)
{
    (void)field;
    (void)err;
    const struct kv_token_info *info = kv_token_info(k->token);
    kv_message_str(out, "custody", kv_custody_word(info->custody));
    kv_message_str(out, "custody-why", info->custody_why);
    kv_message_str(out, "model", info->model);
    return KV_OK;
}

static const struct kv_field_spec key_specs[] = {
    {"label", KV_FIELD_STRING, KV_TOKEN_LABEL_LEN - 1, true, NULL},
    {"type", KV_FIELD_STRING, 16, false, NULL},
    {"existing", KV_FIELD_BOOLEAN, 1, false, NULL},
    {"request", KV_FIELD_STRING, KV_ULID_LEN - 1, false, NULL},
    {"credential", KV_FIELD_STRING, KV_ID_LEN - 1, false, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

/* What the token says of a key, if it was asked for what the key is and has something to say. */
static enum kv_code add_evidence(struct keeper *k, const struct kv_token_key *key,
                                 const struct kv_field *request, const struct kv_field *credential,
                                 struct kv_buf *out, struct kv_err *err)
{
    char of_request[KV_ULID_LEN], of_credential[KV_ID_LEN];
    struct kv_evidence_subject subject = {k->vault_name, of_request, of_credential};
    struct kv_buf text;
    if (request->type == 0 || credential->type == 0) {
        return KV_OK;
    }
    if (!text_of(request, of_request, sizeof of_request) ||
        !text_of(credential, of_credential, sizeof of_credential)) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "request or credential");
    }
    kv_buf_init(&text, KV_EVIDENCE_MAX);
    enum kv_code code = kv_token_certify(k->token, key->handle, &subject, &text, err);
    if (code == KV_OK && text.len > 0) {
        kv_message_octets(out, "evidence", kv_buf_bytes(&text));
    }
    kv_buf_clear(&text);
    return code;
}

static enum kv_code on_find(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                            struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN];
    struct kv_token_key key;
    if (!text_of(&field[0], label, sizeof label)) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "label");
    }
    enum kv_code code = kv_token_find(k->token, label, &key, err);
    if (code == KV_OK) {
        add_key(out, k, &key);
        code = add_evidence(k, &key, &field[3], &field[4], out, err);
    }
    return code;
}

/* `existing`: a key of that label that is there already is the answer (the caller crashed between
 * making it and recording it). It is of the wanted type, or refused. */
static enum kv_code on_generate(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                                struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN];
    struct kv_token_key key;
    bool rsa = kv_bytes_is(field[1].value, "rsa-2048");
    enum kv_token_key_type type = rsa ? KV_TOKEN_RSA_2048 : KV_TOKEN_EC_P256;
    if (!text_of(&field[0], label, sizeof label) ||
        (!rsa && !kv_bytes_is(field[1].value, "ec-p256"))) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "label or type");
    }
    enum kv_code code = KV_E_TOKEN_KEY_MISSING;
    if (field[2].number != 0) {
        code = kv_token_find(k->token, label, &key, err);
    }
    if (code == KV_E_TOKEN_KEY_MISSING) {
        code = kv_token_generate(k->token, label, type, &key, err);
    }
    if (code == KV_OK && key.type != type) {
        code =
            KV_REFUSE(err, KV_E_TOKEN_KEY_EXISTS, "a key of another type has the label %s", label);
    }
    if (code == KV_OK) {
        add_key(out, k, &key);
        code = add_evidence(k, &key, &field[3], &field[4], out, err);
    }
    return code;
}

static enum kv_code sign_with(struct keeper *k, const char *label, const struct kv_hash *digest,
                              uint8_t sig[static KV_TOKEN_SIG_MAX], size_t *len, struct kv_err *err)
{
    struct kv_token_key key;
    *len = KV_TOKEN_SIG_MAX;
    if (kv_token_find(k->token, label, &key, err) != KV_OK) {
        return err->code;
    }
    enum kv_token_mechanism mechanism =
        key.type == KV_TOKEN_EC_P256 ? KV_TOKEN_ECDSA : KV_TOKEN_RSA_PKCS1_SHA256;
    return kv_token_sign(k->token, key.handle, mechanism, digest, sig, len, err);
}

static const struct kv_field_spec checkpoint_specs[] = {
    {"label", KV_FIELD_STRING, KV_TOKEN_LABEL_LEN - 1, true, NULL},
    {"origin", KV_FIELD_STRING, KV_ORIGIN_LEN - 1, true, NULL},
    {"size", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
    {"root", KV_FIELD_OCTETS, KV_HASH_LEN, true, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

/* The text of a checkpoint (docs/ledger-format.md §3), for this vault's log only. */
static enum kv_code on_checkpoint(struct keeper *k, const struct kv_field *field,
                                  struct kv_buf *out, struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN], origin[KV_ORIGIN_LEN], want[KV_ORIGIN_LEN];
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len;
    struct kv_buf text;
    int n = snprintf(want, sizeof want, "%s/audit", k->vault_name);
    if (!text_of(&field[0], label, sizeof label) || !text_of(&field[1], origin, sizeof origin) ||
        n < 0 || strcmp(origin, want) != 0 || field[3].value.len != KV_HASH_LEN) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "not a checkpoint of this vault");
    }
    kv_buf_init(&text, 1024);
    kv_buf_add_format(&text, "%s\n%llu\n", origin, (unsigned long long)field[2].number);
    kv_buf_add_base64(&text, field[3].value);
    kv_buf_add_str(&text, "\n");
    struct kv_hash digest = kv_hash(kv_buf_bytes(&text));
    kv_buf_clear(&text);
    enum kv_code code = sign_with(k, label, &digest, sig, &len, err);
    if (code == KV_OK) {
        kv_message_octets(out, "signature", kv_bytes(sig, len));
    }
    return code;
}

static const struct kv_field_spec login_specs[] = {
    {"label", KV_FIELD_STRING, KV_TOKEN_LABEL_LEN - 1, true, NULL},
    {"challenge", KV_FIELD_STRING, KV_AUTH_CHALLENGE_LEN - 1, true, NULL},
    {"context", KV_FIELD_STRING, KV_CONTEXT_LEN - 1, true, NULL},
    {"time", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
    {"certificate", KV_FIELD_OCTETS, KV_CERTIFICATE_MAX, true, NULL},
    {"allowed-ips", KV_FIELD_STRING, KV_ALLOWED_IPS_LEN - 1, false, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

static enum kv_code on_login(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                             struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN];
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len;
    struct kv_buf document;
    KV_CLEANUP(kv_auth_request_freep) struct kv_auth_request *request = NULL;
    struct kv_auth_request_params params = {.challenge = field[1].value,
                                            .context = field[2].value,
                                            .subject = KV_AUTH_SUBJECT_CERTIFICATE,
                                            .signing_time_ms = (int64_t)field[3].number,
                                            .certificate = field[4].value,
                                            .allowed_ips = field[5].value};
    if (!text_of(&field[0], label, sizeof label)) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "label");
    }
    kv_buf_init(&document, KV_AUTH_REQUEST_MAX);
    enum kv_code code = kv_auth_request_begin(&params, &request, err);
    if (code == KV_OK) {
        code = sign_with(k, label, kv_auth_request_digest(request), sig, &len, err);
    }
    if (code == KV_OK) {
        code = kv_auth_request_finish(request, kv_bytes(sig, len), &document, err);
    }
    if (code == KV_OK) {
        kv_message_octets(out, "document", kv_buf_bytes(&document));
    }
    kv_buf_clear(&document);
    return code;
}

static const struct kv_field_spec certificate_specs[] = {
    {"label", KV_FIELD_STRING, KV_TOKEN_LABEL_LEN - 1, true, NULL},
    {"subject", KV_FIELD_STRING, 8, true, NULL},
    {"number", KV_FIELD_STRING, 11, true, NULL},
    {"common-name", KV_FIELD_STRING, 256, true, NULL},
    {"organisation", KV_FIELD_STRING, 256, false, NULL},
    {"given-name", KV_FIELD_STRING, 256, false, NULL},
    {"surname", KV_FIELD_STRING, 256, false, NULL},
    {"serial", KV_FIELD_OCTETS, KV_CERTIFICATE_SERIAL_LEN, true, NULL},
    {"from", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
    {"to", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
    {"offline", KV_FIELD_BOOLEAN, 1, true, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

static enum kv_code on_certificate(struct keeper *k, const struct kv_field *field,
                                   struct kv_buf *out, struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN];
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len;
    struct kv_token_key key;
    struct kv_buf der;
    KV_CLEANUP(kv_certificate_draft_freep) struct kv_certificate_draft *draft = NULL;
    if (!text_of(&field[0], label, sizeof label) ||
        field[7].value.len != KV_CERTIFICATE_SERIAL_LEN) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "label or serial");
    }
    if (kv_token_find(k->token, label, &key, err) != KV_OK) {
        return err->code;
    }
    bool seal = kv_bytes_is(field[1].value, "seal");
    struct kv_certificate_params params = {.kind = seal ? KV_CERTIFICATE_SEAL
                                                        : KV_CERTIFICATE_PERSON_NIP,
                                           .offline = field[10].number != 0,
                                           .number = field[2].value,
                                           .common_name = field[3].value,
                                           .organisation = field[4].value,
                                           .given_name = field[5].value,
                                           .surname = field[6].value,
                                           .spki = kv_bytes(key.spki, key.spki_len),
                                           .not_before_ms = (int64_t)field[8].number,
                                           .not_after_ms = (int64_t)field[9].number};
    memcpy(params.serial, field[7].value.ptr, sizeof params.serial);
    kv_buf_init(&der, KV_CERTIFICATE_MAX);
    enum kv_code code = kv_certificate_begin(&params, &draft, err);
    if (code == KV_OK) {
        code = sign_with(k, label, kv_certificate_digest(draft), sig, &len, err);
    }
    if (code == KV_OK) {
        code = kv_certificate_finish(draft, kv_bytes(sig, len), &der, err);
    }
    if (code == KV_OK) {
        kv_message_octets(out, "certificate", kv_buf_bytes(&der));
    }
    kv_buf_clear(&der);
    return code;
}

static const struct kv_field_spec no_specs[] = {{NULL, KV_FIELD_END, 0, false, NULL}};

/* What a keeper does for the vault, and nothing else. */
static const struct {
    enum kv_frame_op op;
    const struct kv_field_spec *specs;
    keeper_fn *fn;
} table[] = {
    {KV_FRAME_SLOT_STATE, no_specs, on_state},
    {KV_FRAME_KEY_FIND, key_specs, on_find},
    {KV_FRAME_KEY_GENERATE, key_specs, on_generate},
    {KV_FRAME_SIGN_CHECKPOINT, checkpoint_specs, on_checkpoint},
    {KV_FRAME_SIGN_LOGIN, login_specs, on_login},
    {KV_FRAME_SIGN_CERTIFICATE, certificate_specs, on_certificate},
    {KV_FRAME_SIGN_TOKEN_LOGIN, keeper_token_login_specs, keeper_on_token_login},
    {KV_FRAME_TOKEN_POINT, no_specs, keeper_on_point},
    {KV_FRAME_TOKEN_IMPORT, keeper_import_specs, keeper_on_import},
    {KV_FRAME_TOKEN_DROP, keeper_binding_specs, keeper_on_drop_token},
    {KV_FRAME_END_KEEP, keeper_keep_specs, keeper_on_keep},
    {KV_FRAME_END_TAKE, keeper_binding_specs, keeper_on_take},
    {KV_FRAME_END_DROP, keeper_binding_specs, keeper_on_drop_end},
};

enum kv_code keeper_answer(struct keeper *k, const struct kv_frame *frame, struct kv_buf *out,
                           struct kv_err *err)
{
    struct kv_field field[KV_FIELDS_MAX];
    for (size_t i = 0; i < KV_COUNT(table); i++) {
        if (table[i].op == frame->op) {
            return kv_message_read(frame->body, table[i].specs, field, err) != KV_OK
                       ? err->code
                       : table[i].fn(k, field, out, err);
        }
    }
    return KV_REFUSE(err, KV_E_PROTOCOL, "a keeper does not answer this");
}
