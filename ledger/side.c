#include "ledger/side.h"

#include "core/parse.h"
#include "ledger/encode.h"
#include "ledger/file.h"

#include <jansson.h>
#include <stdio.h>

#define NAME_LEN (KV_HASH_HEX_LEN + 5)

static void json_freep(json_t **json)
{
    json_decref(*json);
}

struct kv_hash kv_commitment(const uint8_t salt[static KV_SALT_LEN], struct kv_bytes value)
{
    static const char tag[] = "ksefvault/priv/v1"; /* with its NUL */
    uint8_t head[KV_SALT_LEN + 4];
    memcpy(head, salt, KV_SALT_LEN);
    for (size_t i = 0; i < 4; i++) {
        head[KV_SALT_LEN + i] = (uint8_t)(value.len >> (8 * (3 - i)) & 0xff);
    }
    return kv_hash3(kv_bytes(tag, sizeof tag), kv_bytes(head, sizeof head), value);
}

static bool value_valid(struct kv_bytes value)
{
    return value.len >= 1 && value.len <= KV_SIDE_VALUE_MAX && kv_utf8_valid(value) &&
           memchr(value.ptr, '\0', value.len) == NULL;
}

enum kv_code kv_side_row_encode(const struct kv_side_row *row, struct kv_buf *out,
                                struct kv_err *err)
{
    if (row->value.len < 1 || row->value.len > KV_SIDE_VALUE_MAX) {
        return KV_REFUSE(err, KV_E_LIMIT, "a private value has 1 to %d bytes", KV_SIDE_VALUE_MAX);
    }
    if (!value_valid(row->value)) {
        return KV_REFUSE(err, KV_E_INPUT_UTF8, "a private value is not text");
    }
    kv_buf_add_format(out, "{\"field\":\"%s\",\"salt\":\"", kv_priv_field_word(row->field));
    kv_buf_add_base64(out, kv_bytes(row->salt, KV_SALT_LEN));
    kv_buf_add_str(out, "\",\"value\":");
    kv_json_string(out, row->value);
    kv_buf_add_str(out, "}\n");
    return out->failed ? KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a side row") : KV_OK;
}

static bool field_of(const char *word, enum kv_priv_field *out)
{
    for (int i = 0; word != NULL && i < KV_PRIV_COUNT; i++) {
        if (strcmp(word, kv_priv_field_word((enum kv_priv_field)i)) == 0) {
            *out = (enum kv_priv_field)i;
            return true;
        }
    }
    return false;
}

enum kv_code kv_side_row_parse(struct kv_bytes text, struct kv_side_row *out, struct kv_buf *store,
                               struct kv_err *err)
{
    struct kv_side_row row = {0};
    size_t len = 0;
    KV_CLEANUP(json_freep)
    json_t *json = text.len > KV_SIDE_ROW_MAX
                       ? NULL
                       : json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    const char *field = json_string_value(json_object_get(json, "field"));
    const char *salt = json_string_value(json_object_get(json, "salt"));
    const char *value = json_string_value(json_object_get(json, "value"));
    if (salt == NULL || value == NULL || !field_of(field, &row.field) ||
        !kv_base64_decode(kv_bytes_str(salt), row.salt, sizeof row.salt, &len) ||
        len != KV_SALT_LEN || !value_valid(kv_bytes_str(value))) {
        return KV_REFUSE(err, KV_E_LEDGER_RECORD, "a side row is malformed");
    }
    row.value = kv_bytes_str(value);
    struct kv_buf again;
    kv_buf_init(&again, 2 * KV_SIDE_ROW_MAX);
    enum kv_code code = kv_side_row_encode(&row, &again, err);
    if (code == KV_OK && !kv_bytes_equal(kv_buf_bytes(&again), text)) {
        code = KV_REFUSE(err, KV_E_LEDGER_RECORD, "a side row is not the one way to write it");
    }
    kv_buf_clear(&again);
    if (code != KV_OK) {
        return code;
    }
    kv_buf_reset(store);
    kv_buf_add_bytes(store, row.value);
    if (store->failed) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no room for a side row");
    }
    row.value = kv_buf_bytes(store);
    *out = row;
    return KV_OK;
}

static void file_name(const struct kv_hash *commitment, char out[static NAME_LEN])
{
    char hex[KV_HASH_HEX_LEN];
    kv_hash_hex(commitment, hex);
    int n = snprintf(out, NAME_LEN, "%s.json", hex);
    assert(n == NAME_LEN - 1);
}

enum kv_code kv_side_rows_put(int private_fd, const struct kv_side_row *rows, size_t count,
                              struct kv_err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct kv_hash commitment = kv_commitment(rows[i].salt, rows[i].value);
        char name[NAME_LEN];
        struct kv_buf text;
        file_name(&commitment, name);
        kv_buf_init(&text, KV_SIDE_ROW_MAX);
        enum kv_code code = kv_side_row_encode(&rows[i], &text, err);
        if (code == KV_OK) {
            code = kv_file_write(private_fd, name, kv_buf_bytes(&text), 0600, false, err);
        }
        kv_buf_clear(&text);
        if (code != KV_OK) {
            return kv_wrap(err, "keep a side row");
        }
    }
    return count == 0 ? KV_OK : kv_dir_sync(private_fd, err);
}

enum kv_code kv_side_row_get(int private_fd, const struct kv_hash *commitment,
                             struct kv_side_row *out, struct kv_buf *store, struct kv_err *err)
{
    char name[NAME_LEN];
    struct kv_buf text;
    struct kv_side_row row;
    file_name(commitment, name);
    kv_buf_init(&text, KV_SIDE_ROW_MAX);
    enum kv_code code = kv_file_read(private_fd, name, KV_SIDE_ROW_MAX, &text, err);
    if (code == KV_OK) {
        code = kv_side_row_parse(kv_buf_bytes(&text), &row, store, err);
    }
    kv_buf_clear(&text);
    if (code != KV_OK) {
        return code == KV_E_INPUT_TOO_LARGE
                   ? KV_REFUSE(err, KV_E_LEDGER_RECORD, "a side row is malformed")
                   : code;
    }
    struct kv_hash is = kv_commitment(row.salt, row.value);
    if (!kv_hash_equal(&is, commitment)) {
        return KV_REFUSE(err, KV_E_LEDGER_RECORD, "a side row is not what its name commits to");
    }
    *out = row;
    return KV_OK;
}
