#include "ksef/reply.h"

#include "core/parse.h"
#include "core/time.h"
#include "ksef/authrequest.h"
#include "ksef/json.h"

void kv_ksef_text(struct kv_bytes in, char *out, size_t size)
{
    size_t at = 0, len = 0;
    while (at < in.len) {
        size_t from = at;
        uint32_t c;
        bool shown = kv_utf8_next(in, &at, &c) && !kv_char_hides(c);
        if (!shown && at == from) {
            at++; /* not UTF-8: one byte further */
        }
        size_t wide = shown ? at - from : 1;
        if (len + wide >= size) {
            break; /* cut at a character */
        }
        if (shown) {
            memcpy(out + len, in.ptr + from, wide);
        } else {
            out[len] = ' ';
        }
        len += wide;
    }
    out[len] = '\0';
}

/* Copy ASCII that was checked to fit. */
static void copy(char *out, struct kv_bytes in)
{
    memcpy(out, in.ptr, in.len);
    out[in.len] = '\0';
}

static void read_address(struct kv_bytes in, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        bool hex = kv_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!hex && c != '.' && c != ':') {
            return;
        }
    }
    if (in.len > 0 && in.len < size) {
        copy(out, in);
    }
}

enum kv_code kv_ksef_read_challenge(struct kv_bytes body, struct kv_ksef_challenge *out,
                                    struct kv_err *err)
{
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    enum kv_code code = kv_ksef_json_load(body, &json, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_bytes challenge = kv_ksef_json_text(json, "challenge");
    int64_t timestamp_ms;
    if (!kv_auth_challenge_valid(challenge) ||
        !kv_ksef_json_number(json, "timestampMs", (int64_t)KV_NUMBER_MAX, &timestamp_ms)) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's challenge is not well-formed");
    }
    copy(out->challenge, challenge);
    out->timestamp_ms = timestamp_ms;
    read_address(kv_ksef_json_text(json, "clientIp"), out->client_ip, sizeof out->client_ip);
    return KV_OK;
}

/* RFC 6750 2.1, b64token: what may stand in an Authorization header. */
static bool token_valid(struct kv_bytes in)
{
    static const char marks[] = "-._~+/=";
    if (in.len == 0 || in.len > KV_KSEF_TOKEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (!kv_is_digit(c) && !kv_is_lower(c) && !kv_is_upper(c) &&
            memchr(marks, c, sizeof marks - 1) == NULL) {
            return false;
        }
    }
    return true;
}

/* TokenInfo: {token, validUntil}. */
static enum kv_code read_token(const json_t *object, const char *name, struct kv_ksef_token *out,
                               struct kv_err *err)
{
    const json_t *info = json_object_get(object, name);
    struct kv_bytes token = kv_ksef_json_text(info, "token");
    int64_t valid_until_ms;
    if (!token_valid(token) ||
        !kv_time_parse_any(kv_ksef_json_text(info, "validUntil"), &valid_until_ms)) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's %s is not well-formed", name);
    }
    enum kv_code code = kv_secret_from(token, &out->token, err);
    if (code == KV_OK) {
        out->valid_until_ms = valid_until_ms;
    }
    return code;
}

void kv_ksef_token_clear(struct kv_ksef_token *token)
{
    kv_secret_freep(&token->token);
    token->valid_until_ms = 0;
}

void kv_ksef_login_clear(struct kv_ksef_login *login)
{
    kv_ksef_token_clear(&login->authentication);
    login->reference[0] = '\0';
}

void kv_ksef_tokens_clear(struct kv_ksef_tokens *tokens)
{
    kv_ksef_token_clear(&tokens->access);
    kv_ksef_token_clear(&tokens->refresh);
}

/* Parse a body with tokens; nothing of it stays in the caller's buffer. */
static enum kv_code load_and_wipe(uint8_t *body, size_t len, json_t **out, struct kv_err *err)
{
    enum kv_code code = kv_ksef_json_load(kv_bytes(body, len), out, err);
    kv_wipe(body, len);
    return code;
}

enum kv_code kv_ksef_read_login(uint8_t *body, size_t len, struct kv_ksef_login *out,
                                struct kv_err *err)
{
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    enum kv_code code = load_and_wipe(body, len, &json, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_bytes reference = kv_ksef_json_text(json, "referenceNumber");
    if (!kv_ksef_reference_valid(reference)) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's reference number is not well-formed");
    }
    code = read_token(json, "authenticationToken", &out->authentication, err);
    if (code == KV_OK) {
        copy(out->reference, reference);
    }
    return code;
}

enum kv_code kv_ksef_read_tokens(uint8_t *body, size_t len, struct kv_ksef_tokens *out,
                                 struct kv_err *err)
{
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    KV_CLEANUP(kv_ksef_tokens_clear) struct kv_ksef_tokens tokens = {0};
    enum kv_code code = load_and_wipe(body, len, &json, err);
    if (code == KV_OK) {
        code = read_token(json, "accessToken", &tokens.access, err);
    }
    if (code == KV_OK) {
        code = read_token(json, "refreshToken", &tokens.refresh, err);
    }
    if (code == KV_OK) {
        *out = tokens;
        tokens = (struct kv_ksef_tokens){0}; /* handed over */
    }
    return code;
}

enum kv_code kv_ksef_read_refresh(uint8_t *body, size_t len, struct kv_ksef_token *out,
                                  struct kv_err *err)
{
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    enum kv_code code = load_and_wipe(body, len, &json, err);
    return code == KV_OK ? read_token(json, "accessToken", out, err) : code;
}

enum kv_code kv_ksef_read_sessions(struct kv_bytes body, const char *reference, bool *listed,
                                   bool *whole, struct kv_err *err)
{
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    if (kv_ksef_json_load(body, &json, err) != KV_OK) {
        return err == NULL ? KV_E_KSEF_ANSWER : err->code;
    }
    const json_t *items = json_object_get(json, "items");
    if (!json_is_array(items)) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's list of sessions is not well-formed");
    }
    bool found = false;
    for (size_t i = 0; i < json_array_size(items); i++) {
        struct kv_bytes item = kv_ksef_json_text(json_array_get(items, i), "referenceNumber");
        if (!kv_ksef_reference_valid(item)) {
            return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's list has a session without reference");
        }
        found = found || kv_bytes_is(item, reference);
    }
    *listed = found;
    *whole = kv_ksef_json_text(json, "continuationToken").len == 0;
    return KV_OK;
}

enum kv_code kv_ksef_read_status(struct kv_bytes body, struct kv_ksef_status *out,
                                 struct kv_err *err)
{
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    enum kv_code code = kv_ksef_json_load(body, &json, err);
    if (code != KV_OK) {
        return code;
    }
    const json_t *status = json_object_get(json, "status");
    int64_t number;
    if (!kv_ksef_json_number(status, "code", INT32_MAX, &number)) {
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's status is not well-formed");
    }
    out->code = (int)number;
    kv_ksef_text(kv_ksef_json_text(status, "description"), out->description,
                 sizeof out->description);
    kv_ksef_json_join(status, "details", out->details, sizeof out->details);
    return KV_OK;
}

bool kv_ksef_warning_has(struct kv_bytes header, const char *code)
{
    size_t len = strlen(code);
    for (size_t i = 0; i + len + 2 <= header.len; i++) {
        if (header.ptr[i] == '[' && header.ptr[i + len + 1] == ']' &&
            kv_bytes_is(kv_bytes(header.ptr + i + 1, len), code)) {
            return true;
        }
    }
    return false;
}
