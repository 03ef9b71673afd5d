/* Lists of addresses from hostile bytes: what is accepted cannot break out of the XML or the JSON
 * that it is written into. */
#include "ksef/allowedips.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
    if (!promise) {
        abort();
    }
}

static size_t occurrences(const struct kv_buf *buf, char c)
{
    size_t count = 0;
    for (size_t i = 0; i < buf->len; i++) {
        count += buf->data[i] == (uint8_t)c;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_buf xml, json;
    struct kv_bytes list = kv_bytes(data, size);
    if (kv_allowed_ips_check(list, NULL) != KV_OK) {
        return 0;
    }
    kv_buf_init(&xml, 16384);
    kv_buf_init(&json, 16384);
    kv_allowed_ips_xml(list, &xml);
    kv_allowed_ips_json(list, &json);
    check(!xml.failed && !json.failed && (size == 0) == (xml.len == 0));
    check(occurrences(&xml, '<') == occurrences(&xml, '>'));
    check(occurrences(&xml, '&') == 0 && occurrences(&json, '\\') == 0);
    check(occurrences(&json, '{') == occurrences(&json, '}') && occurrences(&json, '"') % 2 == 0);
    kv_buf_clear(&xml);
    kv_buf_clear(&json);
    return 0;
}
