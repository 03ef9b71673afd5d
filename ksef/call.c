#include "ksef/call.h"

#include "core/parse.h"

/* clang-format off */
static const struct kv_ksef_call_row rows[KV_KSEF_CALL_COUNT] = {
    [KV_KSEF_CHALLENGE]       = {"challenge", "POST", "/auth/challenge", false, NULL, 200, KV_KSEF_BEARER_NONE, false},
    [KV_KSEF_XADES]           = {"xades", "POST", "/auth/xades-signature", false, "application/xml", 202, KV_KSEF_BEARER_NONE, true},
    [KV_KSEF_TOKEN_LOGIN]     = {"token-login", "POST", "/auth/ksef-token", false, "application/json", 202, KV_KSEF_BEARER_NONE, true},
    [KV_KSEF_KEYS]            = {"keys", "GET", "/security/public-key-certificates", false, NULL, 200, KV_KSEF_BEARER_NONE, false},
    [KV_KSEF_STATUS]          = {"status", "GET", "/auth/", true, NULL, 200, KV_KSEF_BEARER_AUTHENTICATION, false},
    [KV_KSEF_REDEEM]          = {"redeem", "POST", "/auth/token/redeem", false, NULL, 200, KV_KSEF_BEARER_AUTHENTICATION, true},
    [KV_KSEF_REFRESH]         = {"refresh", "POST", "/auth/token/refresh", false, NULL, 200, KV_KSEF_BEARER_REFRESH, false},
    [KV_KSEF_SESSION_CURRENT] = {"session-current", "DELETE", "/auth/sessions/current", false, NULL, 204, KV_KSEF_BEARER_REFRESH, false},
    [KV_KSEF_SESSION_END]     = {"session-end", "DELETE", "/auth/sessions/", true, NULL, 204, KV_KSEF_BEARER_ACCESS, false},
    [KV_KSEF_SESSIONS]        = {"sessions", "GET", "/auth/sessions?pageSize=100", false, NULL, 200, KV_KSEF_BEARER_ACCESS, false},
};
/* clang-format on */

const struct kv_ksef_call_row *kv_ksef_call_row(enum kv_ksef_call call)
{
    assert((unsigned)call < KV_KSEF_CALL_COUNT);
    return &rows[call];
}

/* KSeF API 2.0: YYYYMMDD-XX-10HEX-10HEX-2HEX, upper case. The date is not an expiry and is not
 * judged. */
bool kv_ksef_reference_valid(struct kv_bytes in)
{
    static const char shape[] = "00000000-AA-XXXXXXXXXX-XXXXXXXXXX-XX";
    _Static_assert(sizeof shape == KV_KSEF_REFERENCE_LEN, "36 characters and NUL");
    if (in.len != sizeof shape - 1) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        bool hex = kv_is_digit(c) || (c >= 'A' && c <= 'F');
        bool fits = shape[i] == '0'   ? kv_is_digit(c)
                    : shape[i] == 'A' ? kv_is_upper(c)
                    : shape[i] == 'X' ? hex
                                      : c == '-';
        if (!fits) {
            return false;
        }
    }
    return true;
}

enum kv_code kv_ksef_call_path(enum kv_ksef_call call, struct kv_bytes reference,
                               struct kv_buf *out, struct kv_err *err)
{
    const struct kv_ksef_call_row *row = kv_ksef_call_row(call);
    if (row->reference ? !kv_ksef_reference_valid(reference) : reference.len != 0) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the call '%s' needs %s reference number",
                         row->name, row->reference ? "a well-formed" : "no");
    }
    kv_buf_add_str(out, row->path);
    kv_buf_add_bytes(out, reference);
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a path") : KV_OK;
}
