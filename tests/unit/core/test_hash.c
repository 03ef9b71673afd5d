#include "core/hash.h"

#include "tests/unit/kv_test.h"

static void hashes_the_vector_of_fips_180(void **state)
{
    (void)state;
    char hex[KV_HASH_HEX_LEN], base64[KV_HASH_BASE64_LEN];
    struct kv_hash hash = kv_hash(kv_bytes_str("abc"));
    kv_hash_hex(&hash, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct kv_hash back;
    assert_true(kv_hash_from_hex(kv_bytes_str(hex), &back));
    assert_true(kv_hash_equal(&hash, &back));
    kv_hash_base64(&hash, base64);
    assert_true(kv_hash_from_base64(kv_bytes_str(base64), &back));
    assert_true(kv_hash_equal(&hash, &back));
    assert_false(kv_hash_from_hex(kv_bytes_str("ba78"), &back));
    assert_false(kv_hash_from_base64(kv_bytes_str("unge"), &back));
}

static void parts_and_increments_hash_as_the_whole(void **state)
{
    (void)state;
    struct kv_hash whole = kv_hash(kv_bytes_str("abc"));
    struct kv_hash parts = kv_hash3(kv_bytes_str("a"), KV_BYTES_NULL, kv_bytes_str("bc"));
    struct kv_hasher *hasher = kv_hasher_new();
    kv_hasher_add(hasher, kv_bytes_str("ab"));
    kv_hasher_add(hasher, kv_bytes_str("c"));
    struct kv_hash steps = kv_hasher_finish(hasher);
    assert_true(kv_hash_equal(&whole, &parts));
    assert_true(kv_hash_equal(&whole, &steps));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_the_vector_of_fips_180),
        cmocka_unit_test(parts_and_increments_hash_as_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
