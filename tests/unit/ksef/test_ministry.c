#include "ksef/ministry.h"

#include "tests/unit/ksef/vector.h"

#include <jansson.h>
#include <stdlib.h>

#define JUNE_2026 INT64_C(1780308000000)

static json_t *entry(void)
{
    struct kv_buf file = vector_read("token/public-keys.json");
    json_t *json = json_loadb((const char *)file.data, file.len, 0, NULL);
    assert_non_null(json);
    kv_buf_clear(&file);
    return json;
}

/* Takes the list. */
static enum kv_code read_list(json_t *list, int64_t now_ms, struct kv_ministry_key **keys,
                              size_t *count)
{
    char *text = json_dumps(list, JSON_COMPACT);
    enum kv_code code = kv_ksef_read_ministry_keys(kv_bytes_str(text), now_ms, keys, count, NULL);
    free(text);
    json_decref(list);
    return code;
}

static void a_key_for_tokens_is_read_with_ids_of_our_own_making(void **state)
{
    (void)state;
    struct kv_ministry_key *keys = NULL;
    size_t count = 0;
    char id[KV_HASH_BASE64_LEN];
    assert_int_equal(read_list(json_pack("[o]", entry()), JUNE_2026, &keys, &count), KV_OK);
    assert_int_equal(count, 1);
    kv_hash_base64(&keys[0].id, id);
    assert_string_equal(id, "KBFOlbJ7qtlfR5NMqAuLeJnJuh8/8LYb2kH5qdFckDg=");
    assert_true(keys[0].from_ms < JUNE_2026 && JUNE_2026 < keys[0].to_ms);
    free(keys);
}

static void what_is_not_usable_is_left_out(void **state)
{
    (void)state;
    struct kv_ministry_key *keys = NULL;
    size_t count = 0;
    json_t *other = entry(), *lying = entry(), *broken = entry(), *good = entry();
    assert_int_equal(
        json_object_set_new(other, "usage", json_pack("[s]", "SymmetricKeyEncryption")), 0);
    assert_int_equal(
        json_object_set_new(lying, "publicKeyId",
                            json_string("aBFOlbJ7qtlfR5NMqAuLeJnJuh8/8LYb2kH5qdFckDg=")),
        0);
    assert_int_equal(json_object_set_new(broken, "certificate", json_string("MIID")), 0);
    assert_int_equal(read_list(json_pack("[OOOOsi]", other, lying, broken, good, "x", 1), JUNE_2026,
                               &keys, &count),
                     KV_OK);
    assert_int_equal(count, 1);
    free(keys);
    assert_int_equal(read_list(json_pack("[ooo]", other, lying, broken), JUNE_2026, &keys, &count),
                     KV_E_KSEF_KEY);
    assert_int_equal(read_list(json_pack("[o]", good), 0, &keys, &count), KV_E_KSEF_KEY);
}

static void what_is_no_list_is_not_understood(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "{}", "[", "\"x\"", "[]x", "[{\"a\":1,\"a\":2}]"};
    struct kv_ministry_key *keys = NULL;
    size_t count = 0;
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_int_equal(
            kv_ksef_read_ministry_keys(kv_bytes_str(bad[i]), JUNE_2026, &keys, &count, NULL),
            KV_E_KSEF_ANSWER);
    }
    json_t *many = json_array();
    for (int i = 0; i < 65; i++) {
        assert_int_equal(json_array_append_new(many, json_integer(i)), 0);
    }
    assert_int_equal(read_list(many, JUNE_2026, &keys, &count), KV_E_KSEF_ANSWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_for_tokens_is_read_with_ids_of_our_own_making),
        cmocka_unit_test(what_is_not_usable_is_left_out),
        cmocka_unit_test(what_is_no_list_is_not_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
