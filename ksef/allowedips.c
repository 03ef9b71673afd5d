#include "ksef/allowedips.h"

#include "core/parse.h"

#define EACH_MAX 10

enum kind { ADDRESS, RANGE, MASK, KIND_COUNT, NOT_ONE };

static const struct {
    const char *xml, *json;
} names[KIND_COUNT] = {
    [ADDRESS] = {"Ip4Address", "ip4Addresses"},
    [RANGE] = {"Ip4Range", "ip4Ranges"},
    [MASK] = {"Ip4Mask", "ip4Masks"},
};

/* The next entry; *rest is what is behind its comma. */
static struct kv_bytes next(struct kv_bytes *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != ',') {
        len++;
    }
    struct kv_bytes entry = kv_bytes(rest->ptr, len);
    size_t skip = len < rest->len ? len + 1 : len;
    *rest = kv_bytes(rest->ptr + skip, rest->len - skip);
    return entry;
}

static bool is_address(struct kv_bytes in, uint32_t *out)
{
    uint32_t value = 0;
    for (int part = 0; part < 4; part++) {
        size_t len = 0;
        uint64_t n;
        while (len < in.len && in.ptr[len] != '.') {
            len++;
        }
        if (!kv_parse_u64(kv_bytes(in.ptr, len), 255, &n) || (len == in.len) != (part == 3)) {
            return false;
        }
        value = value << 8 | (uint32_t)n;
        size_t skip = part == 3 ? len : len + 1;
        in = kv_bytes(in.ptr + skip, in.len - skip);
    }
    *out = value;
    return true;
}

static enum kind kind_of(struct kv_bytes entry)
{
    uint32_t low, high;
    uint64_t bits;
    for (size_t i = 0; i < entry.len; i++) {
        struct kv_bytes front = kv_bytes(entry.ptr, i);
        struct kv_bytes back = kv_bytes(entry.ptr + i + 1, entry.len - i - 1);
        if (entry.ptr[i] == '-') {
            return is_address(front, &low) && is_address(back, &high) && low <= high ? RANGE
                                                                                     : NOT_ONE;
        }
        if (entry.ptr[i] == '/') {
            return is_address(front, &low) && kv_parse_u64(back, 32, &bits) ? MASK : NOT_ONE;
        }
    }
    return is_address(entry, &low) ? ADDRESS : NOT_ONE;
}

enum kv_code kv_allowed_ips_check(struct kv_bytes list, struct kv_err *err)
{
    unsigned count[KIND_COUNT] = {0};
    if (list.len >= KV_ALLOWED_IPS_LEN) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "allowed-ips is too long");
    }
    while (list.len > 0) {
        bool last_comma = list.ptr[list.len - 1] == ',';
        struct kv_bytes entry = next(&list);
        enum kind kind = kind_of(entry);
        if (kind == NOT_ONE || last_comma) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE,
                             "allowed-ips: '%.*s' is no IPv4 address, range or network",
                             (int)(entry.len < 40 ? entry.len : 40), (const char *)entry.ptr);
        }
        if (++count[kind] > EACH_MAX) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE,
                             "allowed-ips: KSeF takes at most %d addresses, ranges and networks "
                             "each",
                             EACH_MAX);
        }
    }
    return KV_OK;
}

void kv_allowed_ips_xml(struct kv_bytes list, struct kv_buf *out)
{
    if (list.len == 0) {
        return;
    }
    kv_buf_add_str(out, "<AuthorizationPolicy><AllowedIps>");
    for (int kind = ADDRESS; kind < KIND_COUNT; kind++) {
        for (struct kv_bytes rest = list; rest.len > 0;) {
            struct kv_bytes entry = next(&rest);
            if (kind_of(entry) == (enum kind)kind) {
                kv_buf_add_format(out, "<%s>", names[kind].xml);
                kv_buf_add_bytes(out, entry);
                kv_buf_add_format(out, "</%s>", names[kind].xml);
            }
        }
    }
    kv_buf_add_str(out, "</AllowedIps></AuthorizationPolicy>");
}

void kv_allowed_ips_json(struct kv_bytes list, struct kv_buf *out)
{
    if (list.len == 0) {
        return;
    }
    kv_buf_add_str(out, ",\"authorizationPolicy\":{\"allowedIps\":{");
    for (int kind = ADDRESS; kind < KIND_COUNT; kind++) {
        const char *comma = "";
        kv_buf_add_format(out, "%s\"%s\":[", kind == ADDRESS ? "" : ",", names[kind].json);
        for (struct kv_bytes rest = list; rest.len > 0;) {
            struct kv_bytes entry = next(&rest);
            if (kind_of(entry) == (enum kind)kind) {
                kv_buf_add_format(out, "%s\"", comma);
                kv_buf_add_bytes(out, entry);
                kv_buf_add_str(out, "\"");
                comma = ",";
            }
        }
        kv_buf_add_str(out, "]");
    }
    kv_buf_add_str(out, "}}");
}
