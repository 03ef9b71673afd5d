#include "tests/integration/courier/login.h"

#include "core/time.h"
#include "ksef/authrequest.h"
#include "ksef/certificate.h"

#include <openssl/rand.h>
#include <stdlib.h>

void login_init(struct login *login, struct software_key key_take)
{
    *login = (struct login){.key = key_take};
    kv_buf_init(&login->certificate, KV_CERTIFICATE_MAX);
    kv_buf_init(&login->document, KV_AUTH_REQUEST_MAX);
    int64_t now_ms = kv_time_now_ms();
    struct kv_certificate_params params = {
        .kind = KV_CERTIFICATE_SEAL,
        .number = kv_bytes_str("5265877635"),
        .common_name = kv_bytes_str("Próba & Syn <pieczęć>"),
        .organisation = kv_bytes_str("Próba, sp. z o.o."),
        .spki = software_key_spki(&login->key),
        .not_before_ms = now_ms - 61 * KV_MINUTE_MS,
        .not_after_ms = now_ms + KV_DAY_MS,
    };
    assert_int_equal(RAND_bytes(params.serial, sizeof params.serial), 1);
    struct kv_certificate_draft *draft = NULL;
    assert_int_equal(kv_certificate_begin(&params, &draft, NULL), KV_OK);
    uint8_t signature[KV_KSEF_SIGNATURE_MAX];
    size_t len = software_key_sign(&login->key, kv_certificate_digest(draft), signature);
    assert_int_equal(
        kv_certificate_finish(draft, kv_bytes(signature, len), &login->certificate, NULL), KV_OK);
    kv_certificate_draft_free(draft);
}

void login_clear(struct login *login)
{
    software_key_free(&login->key);
    kv_buf_clear(&login->certificate);
    kv_buf_clear(&login->document);
    kv_ksef_login_clear(&login->started);
    kv_ksef_tokens_clear(&login->tokens);
}

/* One call of the table; NULL and the code in *code unless it has the status of success. */
static struct answer *send_call(struct world *world, struct login *login, enum kv_ksef_call call,
                                struct kv_bytes body, const struct kv_secret *bearer,
                                enum kv_code *code)
{
    const struct kv_ksef_call_row *row = kv_ksef_call_row(call);
    struct kv_buf path;
    kv_buf_init(&path, 128);
    struct kv_bytes reference =
        row->reference ? kv_bytes_str(login->started.reference) : KV_BYTES_NULL;
    assert_int_equal(kv_ksef_call_path(call, reference, &path, NULL), KV_OK);
    struct kv_courier_request request = {
        .method = row->method,
        .path = kv_buf_str(&path),
        .body = body,
        .content_type = row->content_type,
        .bearer = bearer,
        .deadline_ms = 10000,
        .fresh = row->single_use,
    };
    struct answer *answer = world_call(world, world->ksef, &request);
    kv_buf_clear(&path);
    *code = answer->code;
    if (answer->code == KV_OK && answer->status == row->status) {
        return answer;
    }
    if (answer->code == KV_OK) {
        struct kv_ksef_reply reply = {answer->status, kv_bytes_str(answer->content_type),
                                      kv_bytes_str(answer->retry_after),
                                      kv_bytes(answer->body, answer->body_len)};
        *code = kv_ksef_read_error(&reply, &login->error, &login->err);
    }
    free(answer);
    return NULL;
}

enum kv_code login_challenge(struct world *world, struct login *login)
{
    enum kv_code code;
    struct answer *answer = send_call(world, login, KV_KSEF_CHALLENGE, KV_BYTES_NULL, NULL, &code);
    if (answer != NULL) {
        code = kv_ksef_read_challenge(kv_bytes(answer->body, answer->body_len), &login->challenge,
                                      &login->err);
        free(answer);
    }
    return code;
}

void login_sign(struct login *login, const char *context)
{
    struct kv_auth_request_params params = {
        .challenge = kv_bytes_str(login->challenge.challenge),
        .context = kv_bytes_str(context),
        .subject = KV_AUTH_SUBJECT_CERTIFICATE,
        .signing_time_ms = login->challenge.timestamp_ms - KV_MINUTE_MS,
        .certificate = kv_buf_bytes(&login->certificate),
    };
    struct kv_auth_request *request = NULL;
    assert_int_equal(kv_auth_request_begin(&params, &request, NULL), KV_OK);
    uint8_t signature[KV_KSEF_SIGNATURE_MAX];
    size_t len = software_key_sign(&login->key, kv_auth_request_digest(request), signature);
    kv_buf_reset(&login->document);
    assert_int_equal(
        kv_auth_request_finish(request, kv_bytes(signature, len), &login->document, NULL), KV_OK);
    kv_auth_request_free(request);
}

enum kv_code login_submit(struct world *world, struct login *login)
{
    enum kv_code code;
    struct answer *answer =
        send_call(world, login, KV_KSEF_XADES, kv_buf_bytes(&login->document), NULL, &code);
    if (answer != NULL) {
        kv_ksef_login_clear(&login->started);
        code = kv_ksef_read_login(answer->body, answer->body_len, &login->started, &login->err);
        free(answer);
    }
    return code;
}

enum kv_code login_wait(struct world *world, struct login *login)
{
    enum kv_code code;
    do {
        struct answer *answer = send_call(world, login, KV_KSEF_STATUS, KV_BYTES_NULL,
                                          login->started.authentication.token, &code);
        if (answer == NULL) {
            return code;
        }
        struct kv_ksef_status status;
        code = kv_ksef_read_status(kv_bytes(answer->body, answer->body_len), &status, &login->err);
        free(answer);
        if (code == KV_OK) {
            code = kv_ksef_status_code(&status, &login->err);
        }
    } while (code == KV_E_KSEF_BUSY);
    return code;
}

enum kv_code login_redeem(struct world *world, struct login *login)
{
    enum kv_code code;
    struct answer *answer = send_call(world, login, KV_KSEF_REDEEM, KV_BYTES_NULL,
                                      login->started.authentication.token, &code);
    if (answer != NULL) {
        kv_ksef_tokens_clear(&login->tokens);
        code = kv_ksef_read_tokens(answer->body, answer->body_len, &login->tokens, &login->err);
        free(answer);
    }
    return code;
}

enum kv_code login_refresh(struct world *world, struct login *login)
{
    enum kv_code code;
    struct answer *answer =
        send_call(world, login, KV_KSEF_REFRESH, KV_BYTES_NULL, login->tokens.refresh.token, &code);
    if (answer != NULL) {
        kv_ksef_token_clear(&login->tokens.access);
        code = kv_ksef_read_refresh(answer->body, answer->body_len, &login->tokens.access,
                                    &login->err);
        free(answer);
    }
    return code;
}

enum kv_code login_end(struct world *world, struct login *login)
{
    enum kv_code code;
    free(send_call(world, login, KV_KSEF_SESSION_CURRENT, KV_BYTES_NULL,
                   login->tokens.refresh.token, &code));
    return code;
}

enum kv_code login_use(struct world *world, struct login *login)
{
    struct kv_courier_request request = {.method = "GET",
                                         .path = "/auth/sessions?pageSize=10",
                                         .bearer = login->tokens.access.token,
                                         .deadline_ms = 10000};
    struct answer *answer = world_call(world, world->ksef, &request);
    enum kv_code code = answer->code;
    if (code == KV_OK && answer->status != 200) {
        struct kv_ksef_reply reply = {answer->status, kv_bytes_str(answer->content_type),
                                      kv_bytes_str(answer->retry_after),
                                      kv_bytes(answer->body, answer->body_len)};
        code = kv_ksef_read_error(&reply, &login->error, &login->err);
    } else if (code == KV_OK && memmem(answer->body, answer->body_len, "\"items\"", 7) == NULL) {
        code = KV_E_KSEF_ANSWER; /* not a list of sessions */
    }
    free(answer);
    return code;
}

enum kv_code login_all(struct world *world, struct login *login, const char *context)
{
    enum kv_code code = login_challenge(world, login);
    if (code == KV_OK) {
        login_sign(login, context);
        code = login_submit(world, login);
    }
    if (code == KV_OK) {
        code = login_wait(world, login);
    }
    return code == KV_OK ? login_redeem(world, login) : code;
}
