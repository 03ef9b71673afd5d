/* The first half of a login: a challenge, and what proves to KSeF who we are. The keeper makes the
 * proof, a signed document or an encrypted token; here it is recorded before it leaves. */
#include "agent/vault_login.h"

#include "core/time.h"

#define KEEPER_TIMEOUT_MS 20000
#define BACKDATE_MS       60000 /* SigningTime: KSeF's clock may be behind ours */

/* ---- 3. posted ---- */

static void on_posted(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (!login_good_answer(login, answer, field)) {
        return;
    }
    if (!kv_field_copy(&field[F_REFERENCE], login->reference, sizeof login->reference) ||
        field[F_TOKEN].value.len == 0 ||
        kv_secret_from(field[F_TOKEN].value, &login->token, &err) != KV_OK) {
        login_end_badly(login, KV_OUT_UNKNOWN, KV_E_KSEF_ANSWER, "no reference in the answer", 0, 0,
                        0);
        return;
    }
    login_posted(login);
}

static void post(void *ctx, enum kv_code code, const char *detail)
{
    struct login *login = ctx;
    struct kv_buf body;
    (void)code;
    (void)detail;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    kv_message_octets(&body, "document", kv_buf_bytes(&login->document));
    login_ask(login, login_by_token(login) ? KV_FRAME_KSEF_TOKEN_LOGIN : KV_FRAME_KSEF_LOGIN, &body,
              on_posted);
}

/* ---- 2. proven by the keeper: the intent, then the POST ---- */

static void on_document(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {{"document", KV_FIELD_OCTETS, 32768, true, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    const struct keeper *keeper = vault_keeper(login->v, login->who.slot);
    if (answer->code == KV_E_STARTING && keeper != NULL && keeper->code != KV_OK) {
        login_fail(login, keeper->code, keeper->detail, 1); /* what it died of says more */
        return;
    }
    if (answer->code != KV_OK) {
        login_fail(login, answer->code, answer->detail, 1);
        return;
    }
    if (kv_message_read(answer->fields, specs, field, &err) != KV_OK) {
        login_fail(login, err.code, err.msg, 0);
        return;
    }
    kv_buf_reset(&login->document);
    kv_buf_add_bytes(&login->document, field[0].value);
    struct kv_hash dig = kv_hash(kv_buf_bytes(&login->document));
    enum kv_op op = login_by_token(login) ? KV_OP_AUTH_TOKEN : KV_OP_AUTH_XADES;
    if (login_intent(login, op, &dig, &err) != KV_OK) {
        login_fail(login, err.code, err.msg, 1);
        return;
    }
    vault_after_flush(login->v, post, login);
}

static void ask_keeper(struct login *login, enum kv_frame_op op, struct kv_bytes body)
{
    struct keeper *keeper = vault_keeper(login->v, login->who.slot);
    struct kv_err err;
    if (keeper == NULL || !keeper->ready) {
        login_fail(login, keeper == NULL ? KV_E_TOKEN_ABSENT : keeper->code,
                   keeper == NULL ? "the credential's slot is not configured" : keeper->detail, 1);
    } else if (kv_channel_ask(keeper->channel, op, body, -1, KEEPER_TIMEOUT_MS, on_document, login,
                              &err) != KV_OK) {
        login_fail(login, err.code, err.msg, 1);
    }
}

/* From where the access token may be used: as configured, or from where KSeF saw us. An address
 * that is no IPv4 cannot be named to KSeF. */
static bool add_allowed_ips(struct login *login, struct kv_buf *body)
{
    const char *list = login->v->allowed_ips;
    struct kv_err err;
    if (strcmp(list, "challenge") == 0) {
        list = login->client_ip;
        if (list[0] == '\0' || kv_allowed_ips_check(kv_bytes_str(list), &err) != KV_OK) {
            login_fail(login, KV_E_CONFIG,
                       "allowed-ips is 'challenge', but KSeF saw no IPv4 address of ours", 0);
            return false;
        }
    }
    if (list[0] != '\0') {
        kv_message_str(body, "allowed-ips", list);
    }
    return true;
}

static void sign(struct login *login)
{
    struct vault *v = login->v;
    struct kv_err err;
    struct kv_buf body, certificate;
    char label[KV_LABEL_LEN];
    vault_key_label(v, login->who.credential, label);
    kv_buf_init(&body, 16384);
    kv_buf_init(&certificate, KV_BLOB_MAX);
    if (kv_log_blob(v->log, &login->who.certificate, 0, &certificate, &err) != KV_OK) {
        login_fail(login, err.code, err.msg, 1);
    } else {
        kv_message_str(&body, "label", label);
        kv_message_str(&body, "challenge", login->challenge);
        kv_message_str(&body, "context", login->ctx);
        kv_message_number(&body, "time", (uint64_t)(vault_now(v) - BACKDATE_MS));
        kv_message_octets(&body, "certificate", kv_buf_bytes(&certificate));
        if (add_allowed_ips(login, &body)) {
            ask_keeper(login, KV_FRAME_SIGN_LOGIN, kv_buf_bytes(&body));
        }
    }
    kv_buf_clear(&certificate);
    kv_buf_clear(&body);
}

static void on_ministry_key(void *ctx, enum kv_code code, const char *detail,
                            const struct vault_ministry_key *key)
{
    struct login *login = ctx;
    struct kv_buf body;
    char reference[KV_REF_LEN];
    if (code != KV_OK) {
        login_fail(login, code, detail, 1);
        return;
    }
    kv_statement_copy(login->who.terms, KV_KEY_KSEF_REF, reference, sizeof reference);
    kv_buf_init(&body, 16384);
    vault_add_binding(&body, login->who.terms, login->who.credential, reference);
    kv_message_str(&body, "challenge", login->challenge);
    kv_message_str(&body, "context", login->ctx);
    kv_message_number(&body, "timestamp", (uint64_t)login->timestamp_ms);
    kv_message_octets(&body, "certificate", key->certificate);
    if (add_allowed_ips(login, &body)) {
        ask_keeper(login, KV_FRAME_SIGN_TOKEN_LOGIN, kv_buf_bytes(&body));
    }
    kv_buf_clear(&body);
}

/* ---- 1. challenged ---- */

static void on_challenge(void *ctx, const struct kv_answer_frame *answer)
{
    struct login *login = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    if (!login_good_answer(login, answer, field)) {
        return;
    }
    if (!kv_field_copy(&field[F_CHALLENGE], login->challenge, sizeof login->challenge) ||
        login->challenge[0] == '\0' || field[F_TIMESTAMP].type == 0) {
        login_fail(login, KV_E_KSEF_ANSWER, "no challenge in the answer", 1);
        return;
    }
    bool fits = kv_field_copy(&field[F_CLIENT_IP], login->client_ip, sizeof login->client_ip);
    assert(fits); /* the table's limit */
    login->timestamp_ms = (int64_t)field[F_TIMESTAMP].number;
    login->has_offset = true;
    login->offset_ms = login->timestamp_ms - kv_time_now_ms();
    if (login_by_token(login)) {
        vault_ministry_key(login->v, on_ministry_key, login);
    } else {
        sign(login);
    }
}

void login_begin(struct login *login)
{
    struct kv_buf body;
    login->stage = LOGIN_PROVES;
    kv_buf_init(&body, 16);
    login_ask(login, KV_FRAME_KSEF_CHALLENGE, &body, on_challenge);
}
