#include "ksef/ministry.h"

#include "ksef/json.h"
#include "ksef/reply.h"
#include "ksef/x509.h"

#include <stdlib.h>

#define ENTRIES_MAX 64
#define USAGE       "KsefTokenEncryption"

static bool is_for_tokens(const json_t *entry)
{
    const json_t *usage = json_object_get(entry, "usage");
    for (size_t i = 0; i < json_array_size(usage); i++) {
        const json_t *word = json_array_get(usage, i);
        if (json_is_string(word) && strcmp(json_string_value(word), USAGE) == 0) {
            return true;
        }
    }
    return false;
}

static bool ids_agree(const json_t *entry, const struct kv_ministry_key *key)
{
    char certificate[KV_HASH_BASE64_LEN], id[KV_HASH_BASE64_LEN];
    struct kv_hash hash = kv_hash(kv_bytes(key->certificate, key->certificate_len));
    kv_hash_base64(&hash, certificate);
    kv_hash_base64(&key->id, id);
    return kv_bytes_is(kv_ksef_json_text(entry, "certificateId"), certificate) &&
           kv_bytes_is(kv_ksef_json_text(entry, "publicKeyId"), id);
}

static bool read_key(const json_t *entry, struct kv_ministry_key *out)
{
    KV_CLEANUP(kv_x509_freep) X509 *cert = NULL;
    if (!is_for_tokens(entry) ||
        !kv_base64_decode(kv_ksef_json_text(entry, "certificate"), out->certificate,
                          sizeof out->certificate, &out->certificate_len) ||
        kv_x509_parse(kv_bytes(out->certificate, out->certificate_len), &cert, NULL) != KV_OK ||
        !kv_x509_time(X509_get0_notBefore(cert), &out->from_ms) ||
        !kv_x509_time(X509_get0_notAfter(cert), &out->to_ms)) {
        return false;
    }
    return kv_x509_key_id(cert, &out->id) && ids_agree(entry, out);
}

static int later_first(const void *a, const void *b)
{
    const struct kv_ministry_key *x = a, *y = b;
    return (x->from_ms < y->from_ms) - (x->from_ms > y->from_ms);
}

static enum kv_code load_array(struct kv_bytes body, json_t **out, struct kv_err *err)
{
    json_error_t where;
    json_t *json =
        body.len == 0 || body.len > KV_KSEF_BODY_MAX
            ? NULL
            : json_loadb((const char *)body.ptr, body.len, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_array(json) || json_array_size(json) > ENTRIES_MAX) {
        json_decref(json);
        return KV_REFUSE(err, KV_E_KSEF_ANSWER, "KSeF's list of public keys is not one");
    }
    *out = json;
    return KV_OK;
}

enum kv_code kv_ksef_read_ministry_keys(struct kv_bytes body, int64_t now_ms,
                                        struct kv_ministry_key **keys, size_t *count,
                                        struct kv_err *err)
{
    KV_CLEANUP(kv_ksef_json_freep) json_t *json = NULL;
    enum kv_code code = load_array(body, &json, err);
    if (code != KV_OK) {
        return code;
    }
    struct kv_ministry_key *found = calloc(KV_MINISTRY_KEYS_MAX, sizeof *found);
    size_t n = 0;
    if (found == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for KSeF's public keys");
    }
    for (size_t i = 0; i < json_array_size(json) && n < KV_MINISTRY_KEYS_MAX; i++) {
        if (read_key(json_array_get(json, i), &found[n]) && found[n].from_ms <= now_ms &&
            now_ms < found[n].to_ms) {
            n++;
        }
    }
    if (n == 0) {
        free(found);
        return KV_REFUSE(err, KV_E_KSEF_KEY, "KSeF lists no public key for tokens that is valid");
    }
    qsort(found, n, sizeof *found, later_first);
    *keys = found;
    *count = n;
    return KV_OK;
}
