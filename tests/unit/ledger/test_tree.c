#include "tests/unit/ledger/ledger_test.h"

#include "ledger/tree.h"

#define MANY 70

/* MTH as RFC 6962 §2.1 defines it, without anything kept. */
static struct kv_hash mth(const struct kv_hash *leaf, size_t n)
{
    if (n == 0) {
        return kv_hash(KV_BYTES_NULL);
    }
    if (n == 1) {
        return leaf[0];
    }
    size_t k = 1;
    while (2 * k < n) {
        k *= 2;
    }
    struct kv_hash left = mth(leaf, k);
    struct kv_hash right = mth(leaf + k, n - k);
    return kv_node_hash(&left, &right);
}

static struct kv_hash leaves[MANY];

static struct kv_tree *grow(void)
{
    struct kv_tree *tree = kv_tree_new();
    for (uint8_t i = 0; i < MANY; i++) {
        leaves[i] = kv_leaf_hash(kv_bytes(&i, 1));
        kv_tree_append(tree, &leaves[i]);
    }
    return tree;
}

static void roots_are_those_of_rfc_6962(void **state)
{
    (void)state;
    static const char *const data[] = {"",
                                       "00",
                                       "10",
                                       "2021",
                                       "3031",
                                       "40414243",
                                       "5051525354555657",
                                       "606162636465666768696a6b6c6d6e6f"};
    static const char *const roots[] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    struct kv_tree *tree = kv_tree_new();
    for (size_t n = 0; n <= 8; n++) {
        struct kv_hash root = kv_tree_root(tree, n);
        char hex[KV_HASH_HEX_LEN];
        kv_hash_hex(&root, hex);
        assert_string_equal(hex, roots[n]);
        if (n < 8) {
            uint8_t bytes[16];
            size_t len;
            assert_true(kv_hex_decode(kv_bytes_str(data[n]), bytes, sizeof bytes, &len));
            struct kv_hash leaf = kv_leaf_hash(kv_bytes(bytes, len));
            kv_tree_append(tree, &leaf);
        }
    }
    kv_tree_free(tree);
}

static void every_earlier_root_is_known(void **state)
{
    (void)state;
    struct kv_tree *tree = grow();
    for (size_t n = 0; n <= MANY; n++) {
        struct kv_hash want = mth(leaves, n);
        struct kv_hash got = kv_tree_root(tree, n);
        assert_true(kv_hash_equal(&want, &got));
    }
    kv_tree_free(tree);
}

static void break_one(const struct kv_proof *good, size_t i, struct kv_proof *out)
{
    *out = *good;
    out->hash[i].b[i % KV_HASH_LEN] ^= 1;
}

/* All n ≤ 70, all m < n: the proof holds; with another index, size, leaf, root, hash, or one hash
 * more or less it does not. */
static void inclusion_proofs_hold_for_nothing_else(void **state)
{
    (void)state;
    struct kv_tree *tree = grow();
    for (uint64_t n = 1; n <= MANY; n++) {
        struct kv_hash root = kv_tree_root(tree, n);
        for (uint64_t m = 0; m < n; m++) {
            struct kv_proof p, bad;
            kv_tree_inclusion(tree, m, n, &p);
            assert_true(kv_inclusion_verify(&p, m, n, &leaves[m], &root));
            assert_false(kv_inclusion_verify(&p, n, n, &leaves[m], &root));
            assert_false(kv_inclusion_verify(&p, m, n, &leaves[(m + 1) % MANY], &root));
            assert_false(kv_inclusion_verify(&p, m, n, &leaves[m], &leaves[(m + 1) % MANY]));
            for (size_t i = 0; i < p.count; i++) {
                break_one(&p, i, &bad);
                assert_false(kv_inclusion_verify(&bad, m, n, &leaves[m], &root));
            }
            for (uint64_t other = 0; n > 1 && other < n; other++) {
                assert_int_equal(kv_inclusion_verify(&p, other, n, &leaves[m], &root), other == m);
            }
            bad = p;
            bad.hash[bad.count++] = root;
            assert_false(kv_inclusion_verify(&bad, m, n, &leaves[m], &root));
            if (p.count > 0) {
                bad.count = p.count - 1;
                assert_false(kv_inclusion_verify(&bad, m, n, &leaves[m], &root));
            }
        }
    }
    kv_tree_free(tree);
}

static void consistency_proofs_hold_for_nothing_else(void **state)
{
    (void)state;
    struct kv_tree *tree = grow();
    for (uint64_t n = 0; n <= MANY; n++) {
        struct kv_hash root = kv_tree_root(tree, n);
        for (uint64_t m = 0; m <= n; m++) {
            struct kv_hash old = kv_tree_root(tree, m);
            struct kv_proof p, bad;
            kv_tree_consistency(tree, m, n, &p);
            assert_true(kv_consistency_verify(&p, m, n, &old, &root));
            assert_false(kv_consistency_verify(&p, n + 1, n, &old, &root));
            bad = p;
            bad.hash[bad.count++] = root;
            assert_false(kv_consistency_verify(&bad, m, n, &old, &root));
            if (m == 0) {
                continue;
            }
            assert_false(kv_consistency_verify(&p, m, n, &leaves[MANY - 1], &root));
            assert_false(kv_consistency_verify(&p, m, n, &old, &leaves[MANY - 1]));
            for (size_t i = 0; i < p.count; i++) {
                break_one(&p, i, &bad);
                assert_false(kv_consistency_verify(&bad, m, n, &old, &root));
            }
            if (p.count > 0) {
                bad = p;
                bad.count--;
                assert_false(kv_consistency_verify(&bad, m, n, &old, &root));
            }
        }
    }
    kv_tree_free(tree);
}

static void published_proofs_are_ours(void **state)
{
    (void)state;
    static const char *const data[] = {
        "{\"ev\":\"log.init\",\"seq\":0,\"v\":1}", "{\"ev\":\"grant.request\",\"seq\":1,\"v\":1}",
        "{\"ev\":\"grant.approve\",\"seq\":2,\"v\":1}",
        "{\"ev\":\"grant.approve\",\"seq\":3,\"v\":1}", "{\"ev\":\"key.use\",\"seq\":4,\"v\":1}"};
    static const char *const cons[] = {
        "3443d2ad388a04300b8be544b8ea9f625102a30ed46e8dcaa9848acba11ae5d1",
        "a6f924fbf9aa0d8c0336713b58675dcf0805add7475db92da134a214acd7ac8f",
        "2823bb55f4a76d2611348824be96fe6e43d1b366c4636ae6d91c6b2a98017587",
        "a4b6d60a457c3827edf103325a14c625af8d13c5ade56f8d1979c6f7b6f6dd2f"};
    struct kv_tree *tree = kv_tree_new();
    for (size_t i = 0; i < KV_COUNT(data); i++) {
        struct kv_hash leaf = kv_leaf_hash(kv_bytes_str(data[i]));
        kv_tree_append(tree, &leaf);
    }
    struct kv_proof p;
    char hex[KV_HASH_HEX_LEN];

    kv_tree_consistency(tree, 3, 5, &p);
    assert_int_equal(p.count, KV_COUNT(cons));
    for (size_t i = 0; i < p.count; i++) {
        kv_hash_hex(&p.hash[i], hex);
        assert_string_equal(hex, cons[i]);
    }
    kv_tree_inclusion(tree, 4, 5, &p);
    assert_int_equal(p.count, 1);
    kv_hash_hex(&p.hash[0], hex);
    assert_string_equal(hex, "dc8ec5bb4f390317d1090c80d96cfa2d511542f0b5fc342d77312bd24b39492f");
    kv_tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_those_of_rfc_6962),
        cmocka_unit_test(every_earlier_root_is_known),
        cmocka_unit_test(inclusion_proofs_hold_for_nothing_else),
        cmocka_unit_test(consistency_proofs_hold_for_nothing_else),
        cmocka_unit_test(published_proofs_are_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
