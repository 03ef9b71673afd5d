#include "ledger/tree.h"

#include <stdlib.h>

#define LEVELS 54 /* a size has at most 53 bits (docs/ledger-format.md §4: integers) */

struct level {
    struct kv_hash *hash; /* owned */
    size_t count;
    size_t cap;
};

/* level[k].hash[i] covers the leaves [i·2^k, (i+1)·2^k). */
struct kv_tree {
    struct level level[LEVELS];
};

struct kv_hash kv_leaf_hash(struct kv_bytes data)
{
    static const uint8_t tag = 0;
    return kv_hash3(kv_bytes(&tag, 1), data, KV_BYTES_NULL);
}

struct kv_hash kv_node_hash(const struct kv_hash *left, const struct kv_hash *right)
{
    uint8_t in[1 + 2 * KV_HASH_LEN] = {1};
    memcpy(in + 1, left->b, KV_HASH_LEN);
    memcpy(in + 1 + KV_HASH_LEN, right->b, KV_HASH_LEN);
    return kv_hash(kv_bytes(in, sizeof in));
}

struct kv_tree *kv_tree_new(void)
{
    struct kv_tree *tree = calloc(1, sizeof *tree);
    if (tree == NULL) {
        abort();
    }
    return tree;
}

void kv_tree_free(struct kv_tree *tree)
{
    if (tree == NULL) {
        return;
    }
    for (size_t k = 0; k < LEVELS; k++) {
        free(tree->level[k].hash);
    }
    free(tree);
}

void kv_tree_freep(struct kv_tree **tree)
{
    kv_tree_free(*tree);
    *tree = NULL;
}

static void push(struct level *level, const struct kv_hash *hash)
{
    if (level->count == level->cap) {
        size_t cap = level->cap == 0 ? 64 : 2 * level->cap;
        struct kv_hash *grown = reallocarray(level->hash, cap, sizeof *grown);
        if (grown == NULL) {
            abort();
        }
        level->hash = grown;
        level->cap = cap;
    }
    level->hash[level->count++] = *hash;
}

void kv_tree_append(struct kv_tree *tree, const struct kv_hash *leaf)
{
    struct kv_hash hash = *leaf;
    for (size_t k = 0; k < LEVELS; k++) {
        struct level *level = &tree->level[k];
        push(level, &hash);
        if (level->count % 2 != 0) {
            return; /* a left child: its parent waits for the right one */
        }
        hash = kv_node_hash(&level->hash[level->count - 2], &level->hash[level->count - 1]);
    }
    abort(); /* 2^53 records */
}

uint64_t kv_tree_size(const struct kv_tree *tree)
{
    return tree->level[0].count;
}

struct kv_hash kv_tree_leaf(const struct kv_tree *tree, uint64_t index)
{
    return kv_tree_node(tree, 0, index);
}

struct kv_hash kv_tree_node(const struct kv_tree *tree, unsigned level, uint64_t index)
{
    assert(level < LEVELS && index < tree->level[level].count);
    return tree->level[level].hash[index];
}

/* The largest power of two below n ≥ 2, as an exponent. */
static unsigned split_bit(uint64_t n)
{
    return 63U - (unsigned)__builtin_clzll(n - 1);
}

/* MTH(D[from : from + n]), n ≥ 1. In every call `from` is a multiple of the power of two that is
 * not below n: splits go at k, so left parts are complete subtrees and stored. */
static struct kv_hash range_hash(const struct kv_tree *tree, uint64_t from, uint64_t n)
{
    if (n == 1) {
        return kv_tree_leaf(tree, from);
    }
    if ((n & (n - 1)) == 0) {
        unsigned k = split_bit(n) + 1;
        return kv_tree_node(tree, k, from >> k);
    }
    unsigned k = split_bit(n);
    struct kv_hash left = kv_tree_node(tree, k, from >> k);
    struct kv_hash right = range_hash(tree, from + (UINT64_C(1) << k), n - (UINT64_C(1) << k));
    return kv_node_hash(&left, &right);
}

struct kv_hash kv_tree_root(const struct kv_tree *tree, uint64_t size)
{
    assert(size <= kv_tree_size(tree));
    return size == 0 ? kv_hash(KV_BYTES_NULL) : range_hash(tree, 0, size);
}

static void add(struct kv_proof *proof, struct kv_hash hash)
{
    assert(proof->count < KV_PROOF_MAX);
    proof->hash[proof->count++] = hash;
}

/* RFC 6962 §2.1.1, PATH(m, D[from : from + n]). */
static void path(const struct kv_tree *tree, uint64_t m, uint64_t from, uint64_t n,
                 struct kv_proof *out)
{
    if (n == 1) {
        return;
    }
    uint64_t k = UINT64_C(1) << split_bit(n);
    if (m < k) {
        path(tree, m, from, k, out);
        add(out, range_hash(tree, from + k, n - k));
    } else {
        path(tree, m - k, from + k, n - k, out);
        add(out, range_hash(tree, from, k));
    }
}

void kv_tree_inclusion(const struct kv_tree *tree, uint64_t index, uint64_t size,
                       struct kv_proof *out)
{
    assert(index < size && size <= kv_tree_size(tree));
    out->count = 0;
    path(tree, index, 0, size, out);
}

/* RFC 6962 §2.1.2, SUBPROOF(m, D[from : from + n], whole). */
static void subproof(const struct kv_tree *tree, uint64_t m, uint64_t from, uint64_t n, bool whole,
                     struct kv_proof *out)
{
    if (m == n) {
        if (!whole) {
            add(out, range_hash(tree, from, n));
        }
        return;
    }
    uint64_t k = UINT64_C(1) << split_bit(n);
    if (m <= k) {
        subproof(tree, m, from, k, whole, out);
        add(out, range_hash(tree, from + k, n - k));
    } else {
        subproof(tree, m - k, from + k, n - k, false, out);
        add(out, range_hash(tree, from, k));
    }
}

void kv_tree_consistency(const struct kv_tree *tree, uint64_t old, uint64_t size,
                         struct kv_proof *out)
{
    assert(old <= size && size <= kv_tree_size(tree));
    out->count = 0;
    if (old > 0 && old < size) {
        subproof(tree, old, 0, size, true, out);
    }
}

bool kv_inclusion_verify(const struct kv_proof *proof, uint64_t index, uint64_t size,
                         const struct kv_hash *leaf, const struct kv_hash *root)
{
    if (index >= size) {
        return false;
    }
    uint64_t fn = index;
    uint64_t sn = size - 1;
    struct kv_hash r = *leaf;
    for (size_t i = 0; i < proof->count; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            r = kv_node_hash(&proof->hash[i], &r);
            if ((fn & 1) == 0) {
                do {
                    fn >>= 1;
                    sn >>= 1;
                } while (fn != 0 && (fn & 1) == 0);
            }
        } else {
            r = kv_node_hash(&r, &proof->hash[i]);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && kv_hash_equal(&r, root);
}

/* The loop of the consistency check, from the first hash on; `rest` are the others. */
static bool consistency_climb(struct kv_hash first, const struct kv_hash *rest, size_t count,
                              uint64_t old, uint64_t size, const struct kv_hash *old_root,
                              const struct kv_hash *root)
{
    uint64_t fn = old - 1;
    uint64_t sn = size - 1;
    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    struct kv_hash fr = first;
    struct kv_hash sr = first;
    for (size_t i = 0; i < count; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            fr = kv_node_hash(&rest[i], &fr);
            sr = kv_node_hash(&rest[i], &sr);
            while (fn != 0 && (fn & 1) == 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            sr = kv_node_hash(&sr, &rest[i]);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && kv_hash_equal(&fr, old_root) && kv_hash_equal(&sr, root);
}

bool kv_consistency_verify(const struct kv_proof *proof, uint64_t old, uint64_t size,
                           const struct kv_hash *old_root, const struct kv_hash *root)
{
    if (old > size) {
        return false;
    }
    if (old == size) {
        return proof->count == 0 && kv_hash_equal(old_root, root);
    }
    if (old == 0) {
        return proof->count == 0;
    }
    if ((old & (old - 1)) == 0) {
        /* The old root is a node of the new tree and left out of the proof. */
        return consistency_climb(*old_root, proof->hash, proof->count, old, size, old_root, root);
    }
    return proof->count > 0 && consistency_climb(proof->hash[0], proof->hash + 1, proof->count - 1,
                                                 old, size, old_root, root);
}
