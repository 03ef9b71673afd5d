/* KSeF's answers: the first octet chooses the reader, the rest is the body. Whatever is accepted
 * keeps the promises of ksef/reply.h. */
#include "core/parse.h"
#include "ksef/authrequest.h"
#include "ksef/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void check_text(const char *text, size_t size)
{
    check(strnlen(text, size) < size && kv_utf8_valid(kv_bytes_str(text)));
}

static void check_token(struct kv_ksef_token *token)
{
    check(token->token != NULL && kv_secret_len(token->token) <= KV_KSEF_TOKEN_MAX);
    kv_ksef_token_clear(token);
}

static void read_error(struct kv_bytes body, int http)
{
    struct kv_ksef_reply reply = {.http = http,
                                  .content_type = kv_bytes_str("application/json"),
                                  .retry_after = body,
                                  .body = body};
    struct kv_ksef_error error;
    struct kv_err err;
    check(kv_ksef_read_error(&reply, &error, &err) != KV_OK);
    check_text(error.description, sizeof error.description);
    check_text(error.details, sizeof error.details);
    check_text(error.reason, sizeof error.reason);
    check_text(err.msg, sizeof err.msg);
    check(error.retry_after_s <= 86400);
}

static const int statuses[] = {400, 401, 403, 429, 500, 200};

static void read_body(uint8_t which, uint8_t *body, size_t len)
{
    struct kv_bytes bytes = kv_bytes(body, len);
    struct kv_ksef_challenge challenge;
    struct kv_ksef_status status;
    struct kv_ksef_login login;
    struct kv_ksef_tokens tokens;
    struct kv_ksef_token token;
    switch (which % 6) {
    case 0:
        if (kv_ksef_read_challenge(bytes, &challenge, NULL) == KV_OK) {
            check(kv_auth_challenge_valid(kv_bytes_str(challenge.challenge)));
        }
        break;
    case 1:
        if (kv_ksef_read_login(body, len, &login, NULL) == KV_OK) {
            check(kv_ksef_reference_valid(kv_bytes_str(login.reference)));
            check_token(&login.authentication);
        }
        break;
    case 2:
        if (kv_ksef_read_tokens(body, len, &tokens, NULL) == KV_OK) {
            check_token(&tokens.access);
            check_token(&tokens.refresh);
        }
        break;
    case 3:
        if (kv_ksef_read_refresh(body, len, &token, NULL) == KV_OK) {
            check_token(&token);
        }
        break;
    case 4:
        if (kv_ksef_read_status(bytes, &status, NULL) == KV_OK) {
            check_text(status.description, sizeof status.description);
            check_text(status.details, sizeof status.details);
            check((kv_ksef_status_code(&status, NULL) == KV_OK) == (status.code == 200));
        }
        break;
    default: read_error(bytes, statuses[which / 6 % KV_COUNT(statuses)]); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool prepared;
    if (!prepared) {
        kv_ksef_json_init();
        check(kv_secret_heap_init(NULL) == KV_OK);
        prepared = true;
    }
    if (size == 0) {
        return 0;
    }
    uint8_t *body = malloc(size); /* exact, so that a sanitizer sees one octet too many */
    check(body != NULL);
    memcpy(body, data + 1, size - 1);
    read_body(data[0], body, size - 1);
    free(body);
    return 0;
}
