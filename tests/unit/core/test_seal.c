#include "core/seal.h"
#include "tests/unit/kv_test.h"

#define SECRET "20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|919f"

static struct kv_bytes aad(void)
{
    return kv_bytes_str("what it is for");
}

static void seal(const struct kv_seal_key *key, struct kv_buf *out)
{
    kv_buf_init(out, 4096);
    assert_int_equal(kv_seal(kv_seal_key_point(key), aad(), kv_bytes_str(SECRET), out, NULL),
                     KV_OK);
    assert_int_equal(out->len, strlen(SECRET) + KV_SEAL_OVERHEAD);
}

static void who_has_the_key_opens_it_and_no_two_boxes_are_alike(void **state)
{
    (void)state;
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    struct kv_seal_key *key = kv_seal_key_new();
    struct kv_buf a, b;
    seal(key, &a);
    seal(key, &b);
    assert_false(kv_bytes_equal(kv_buf_bytes(&a), kv_buf_bytes(&b)));
    assert_null(memmem(a.data, a.len, "nip-", 4));
    struct kv_secret *out = NULL;
    assert_int_equal(kv_seal_open(key, kv_buf_bytes(&a), aad(), &out, NULL), KV_OK);
    assert_true(kv_bytes_is(kv_secret_bytes(out), SECRET));
    kv_secret_free(out);
    kv_buf_clear(&a);
    kv_buf_clear(&b);
    kv_seal_key_free(key);
}

/* Every bit of the box and of what it is bound to counts. */
static void nothing_of_it_may_change(void **state)
{
    (void)state;
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    struct kv_seal_key *key = kv_seal_key_new(), *other = kv_seal_key_new();
    struct kv_buf box;
    struct kv_secret *out = NULL;
    seal(key, &box);
    for (size_t i = 0; i < box.len; i++) {
        box.data[i] ^= 1;
        assert_int_equal(kv_seal_open(key, kv_buf_bytes(&box), aad(), &out, NULL),
                         KV_E_TOKEN_WRAPPED);
        box.data[i] ^= 1;
        assert_int_equal(kv_seal_open(key, kv_bytes(box.data, i), aad(), &out, NULL),
                         KV_E_TOKEN_WRAPPED);
    }
    assert_int_equal(kv_seal_open(key, kv_buf_bytes(&box), kv_bytes_str("else"), &out, NULL),
                     KV_E_TOKEN_WRAPPED);
    assert_int_equal(kv_seal_open(other, kv_buf_bytes(&box), aad(), &out, NULL),
                     KV_E_TOKEN_WRAPPED);
    assert_null(out);
    kv_buf_clear(&box);
    kv_seal_key_free(key);
    kv_seal_key_free(other);
}

static void only_a_point_of_the_curve_is_sealed_to(void **state)
{
    (void)state;
    struct kv_seal_key *key = kv_seal_key_new();
    uint8_t point[KV_SEAL_POINT_LEN];
    struct kv_buf out;
    memcpy(point, kv_seal_key_point(key).ptr, sizeof point);
    point[64] ^= 1;
    kv_buf_init(&out, 4096);
    assert_int_equal(kv_seal(kv_bytes(point, sizeof point), aad(), kv_bytes_str("x"), &out, NULL),
                     KV_E_INPUT_VALUE);
    assert_int_equal(kv_seal(kv_bytes(point, 64), aad(), kv_bytes_str("x"), &out, NULL),
                     KV_E_INPUT_VALUE);
    assert_int_equal(out.len, 0);
    kv_seal_key_free(key);
}

static struct kv_secret *shared_key(uint8_t fill)
{
    struct kv_secret *key = NULL;
    assert_int_equal(kv_secret_new(KV_SEAL_KEY_LEN, &key, NULL), KV_OK);
    memset(kv_secret_data(key), fill, KV_SEAL_KEY_LEN);
    return key;
}

static void under_a_shared_key_nothing_may_change_either(void **state)
{
    (void)state;
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    struct kv_secret *key = shared_key(1), *other = shared_key(2), *out = NULL;
    struct kv_buf box, again;
    kv_buf_init(&box, 4096);
    kv_buf_init(&again, 4096);
    assert_int_equal(kv_seal_under(key, aad(), kv_bytes_str(SECRET), &box, NULL), KV_OK);
    assert_int_equal(kv_seal_under(key, aad(), kv_bytes_str(SECRET), &again, NULL), KV_OK);
    assert_int_equal(box.len, strlen(SECRET) + KV_SEAL_UNDER_OVERHEAD);
    assert_false(kv_bytes_equal(kv_buf_bytes(&box), kv_buf_bytes(&again)));
    assert_null(memmem(box.data, box.len, "nip-", 4));
    for (size_t i = 0; i < box.len; i++) {
        box.data[i] ^= 1;
        assert_int_equal(kv_seal_open_under(key, kv_buf_bytes(&box), aad(), &out, NULL),
                         KV_E_TOKEN_WRAPPED);
        box.data[i] ^= 1;
        assert_int_equal(kv_seal_open_under(key, kv_bytes(box.data, i), aad(), &out, NULL),
                         KV_E_TOKEN_WRAPPED);
    }
    assert_int_equal(kv_seal_open_under(key, kv_buf_bytes(&box), kv_bytes_str("else"), &out, NULL),
                     KV_E_TOKEN_WRAPPED);
    assert_int_equal(kv_seal_open_under(other, kv_buf_bytes(&box), aad(), &out, NULL),
                     KV_E_TOKEN_WRAPPED);
    assert_null(out);
    assert_int_equal(kv_seal_open_under(key, kv_buf_bytes(&box), aad(), &out, NULL), KV_OK);
    assert_true(kv_bytes_is(kv_secret_bytes(out), SECRET));
    kv_secret_free(out);
    kv_secret_free(key);
    kv_secret_free(other);
    kv_buf_clear(&box);
    kv_buf_clear(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_the_key_opens_it_and_no_two_boxes_are_alike),
        cmocka_unit_test(nothing_of_it_may_change),
        cmocka_unit_test(only_a_point_of_the_curve_is_sealed_to),
        cmocka_unit_test(under_a_shared_key_nothing_may_change_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
