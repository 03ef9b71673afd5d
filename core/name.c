#include "core/name.h"

#include "core/parse.h"

#include <stdio.h>

static bool in_class(uint8_t c, const char *extra)
{
    return kv_is_lower(c) || kv_is_digit(c) || (c != 0 && strchr(extra, c) != NULL);
}

static bool all_in_class(struct kv_bytes in, size_t min, size_t max, const char *extra)
{
    if (in.len < min || in.len > max) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        if (!in_class(in.ptr[i], extra)) {
            return false;
        }
    }
    return true;
}

bool kv_id_valid(struct kv_bytes in)
{
    return all_in_class(in, 1, KV_ID_LEN - 1, "._-") && in_class(in.ptr[0], "");
}

static bool split_vault(struct kv_bytes in, struct kv_bytes *host, struct kv_bytes *name)
{
    const uint8_t *slash = in.len == 0 ? NULL : memchr(in.ptr, '/', in.len);
    if (slash == NULL) {
        return false;
    }
    *host = kv_bytes(in.ptr, (size_t)(slash - in.ptr));
    *name = kv_bytes(slash + 1, in.len - host->len - 1);
    return true;
}

bool kv_vault_valid(struct kv_bytes in)
{
    struct kv_bytes host, name;
    return split_vault(in, &host, &name) && all_in_class(host, 1, 100, ".-") &&
           all_in_class(name, 1, 64, ".-");
}

bool kv_vault_is_test(struct kv_bytes vault)
{
    struct kv_bytes host, name;
    return split_vault(vault, &host, &name) && name.len >= 5 && memcmp(name.ptr, "test-", 5) == 0;
}

static const char CROCKFORD[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

bool kv_ulid_valid(struct kv_bytes in)
{
    if (in.len != KV_ULID_LEN - 1 || in.ptr[0] > '7') {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) {
        if (in.ptr[i] == 0 || strchr(CROCKFORD, in.ptr[i]) == NULL) {
            return false;
        }
    }
    return true;
}

void kv_ulid_make(int64_t ms, const uint8_t random[static 10], char out[static KV_ULID_LEN])
{
    uint64_t t = (uint64_t)ms;
    for (int i = 9; i >= 0; i--) {
        out[i] = CROCKFORD[t & 31];
        t >>= 5;
    }
    char tail[17];
    kv_base32_encode(kv_bytes(random, 10), 16, tail);
    memcpy(out + 10, tail, sizeof tail);
}

bool kv_approval_key_valid(struct kv_bytes in)
{
    static const char prefix[] = "ssh:SHA256:";
    size_t skip = sizeof prefix - 1;
    if (in.len != skip + 43 || memcmp(in.ptr, prefix, skip) != 0) {
        return false;
    }
    char padded[45];
    memcpy(padded, in.ptr + skip, 43);
    memcpy(padded + 43, "=", 2);
    uint8_t hash[32];
    size_t len;
    return kv_base64_decode(kv_bytes(padded, 44), hash, sizeof hash, &len) && len == sizeof hash;
}

/* Weights 6 5 7 2 3 4 5 6 7, modulo 11; a remainder of 10 is never issued. */
bool kv_nip_valid(struct kv_bytes in)
{
    static const int weight[9] = {6, 5, 7, 2, 3, 4, 5, 6, 7};
    if (in.len != 10 || !kv_all_digits(in)) {
        return false;
    }
    int sum = 0;
    for (size_t i = 0; i < 9; i++) {
        sum += weight[i] * (in.ptr[i] - '0');
    }
    return sum % 11 == in.ptr[9] - '0';
}

static const char *const context_words[KV_CONTEXT_TYPE_COUNT] = {
    [KV_CONTEXT_NIP] = "Nip",
    [KV_CONTEXT_INTERNAL_ID] = "InternalId",
    [KV_CONTEXT_NIP_VAT_UE] = "NipVatUe",
    [KV_CONTEXT_PEPPOL_ID] = "PeppolId",
};

const char *kv_context_type_word(enum kv_context_type type)
{
    return context_words[type];
}

/* VAT UE: two letters of the state, then 2 to 12 letters, digits, + or * (schema of KSeF). */
static bool vat_ue_valid(struct kv_bytes in)
{
    if (in.len < 4 || in.len > 14 || !kv_is_upper(in.ptr[0]) || !kv_is_upper(in.ptr[1])) {
        return false;
    }
    for (size_t i = 2; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (!kv_is_upper(c) && !kv_is_digit(c) && c != '+' && c != '*') {
            return false;
        }
    }
    return true;
}

static bool value_valid(enum kv_context_type type, struct kv_bytes v)
{
    switch (type) {
    case KV_CONTEXT_NIP: return v.len == 10;
    case KV_CONTEXT_INTERNAL_ID:
        return v.len == 16 && v.ptr[10] == '-' && kv_all_digits(kv_bytes(v.ptr + 11, 5));
    case KV_CONTEXT_NIP_VAT_UE:
        return v.len > 11 && v.ptr[10] == '-' && vat_ue_valid(kv_bytes(v.ptr + 11, v.len - 11));
    case KV_CONTEXT_PEPPOL_ID:
        return v.len == 9 && v.ptr[0] == 'P' && kv_is_upper(v.ptr[1]) && kv_is_upper(v.ptr[2]) &&
               kv_all_digits(kv_bytes(v.ptr + 3, 6));
    case KV_CONTEXT_TYPE_COUNT: break;
    }
    return false;
}

enum kv_code kv_context_parse(struct kv_bytes in, struct kv_context *out, struct kv_err *err)
{
    const uint8_t *colon = in.len == 0 ? NULL : memchr(in.ptr, ':', in.len);
    if (colon == NULL || in.len >= KV_CONTEXT_LEN) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "a context is Type:value, for example Nip:5265877635");
    }
    struct kv_bytes word = kv_bytes(in.ptr, (size_t)(colon - in.ptr));
    struct kv_bytes value = kv_bytes(colon + 1, in.len - word.len - 1);
    for (int i = 0; i < KV_CONTEXT_TYPE_COUNT; i++) {
        if (!kv_bytes_is(word, context_words[i])) {
            continue;
        }
        if (!value_valid((enum kv_context_type)i, value)) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE, "'%.*s' is not a value of context type %s",
                             (int)value.len, (const char *)value.ptr, context_words[i]);
        }
        if (i != KV_CONTEXT_PEPPOL_ID && !kv_nip_valid(kv_bytes(value.ptr, 10))) {
            return KV_REFUSE(err, KV_E_INPUT_NIP, "the check digit of NIP %.10s is wrong",
                             (const char *)value.ptr);
        }
        if (out != NULL) {
            *out = (struct kv_context){(enum kv_context_type)i, value};
        }
        return KV_OK;
    }
    return KV_REFUSE(err, KV_E_INPUT_VALUE,
                     "a context's type is one of Nip, InternalId, NipVatUe, PeppolId");
}

/* In bytewise order: the order of enum kv_op is the order of the words. */
static const char *const op_words[KV_OP_COUNT] = {
    [KV_OP_NONE] = "-",
    [KV_OP_AUTH_TOKEN] = "auth.token",
    [KV_OP_AUTH_XADES] = "auth.xades",
    [KV_OP_CSR_SIGN] = "csr.sign",
    [KV_OP_QR_KOD2] = "qr.kod2",
    [KV_OP_RELAY_READ] = "relay.read",
    [KV_OP_RELAY_SEND] = "relay.send",
    [KV_OP_SESSION_OPEN] = "session.open",
    [KV_OP_SIGN_RAW] = "sign.raw",
};

const char *kv_op_word(enum kv_op op)
{
    return op_words[op];
}

bool kv_op_parse(struct kv_bytes in, enum kv_op *out)
{
    for (int i = KV_OP_NONE + 1; i < KV_OP_COUNT; i++) {
        if (kv_bytes_is(in, op_words[i])) {
            *out = (enum kv_op)i;
            return true;
        }
    }
    return false;
}

bool kv_ops_parse(struct kv_bytes in, uint32_t *set)
{
    uint32_t found = 0;
    enum kv_op last = KV_OP_NONE;
    size_t at = 0;
    do {
        const uint8_t *comma = at < in.len ? memchr(in.ptr + at, ',', in.len - at) : NULL;
        size_t end = comma == NULL ? in.len : (size_t)(comma - in.ptr);
        enum kv_op op;
        if (at >= in.len || !kv_op_parse(kv_bytes(in.ptr + at, end - at), &op) || op <= last) {
            return false;
        }
        found |= UINT32_C(1) << op;
        last = op;
        at = end + 1;
        if (comma == NULL) {
            *set = found;
            return true;
        }
    } while (true);
}

void kv_ops_format(uint32_t set, char out[static KV_OPS_LEN])
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = KV_OP_NONE + 1; i < KV_OP_COUNT; i++) {
        if ((set >> i & 1) != 0) {
            int n = snprintf(out + at, KV_OPS_LEN - at, "%s%s", at == 0 ? "" : ",", op_words[i]);
            assert(n > 0 && (size_t)n < KV_OPS_LEN - at);
            at += (size_t)n;
        }
    }
}
