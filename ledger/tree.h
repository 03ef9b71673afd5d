/* The Merkle tree over the records (RFC 6962 §2.1, SHA-256). All hashes of complete subtrees are
 * kept (64 bytes a leaf), so the root at any size so far and every proof take O(log n) steps. */
#ifndef KV_LEDGER_TREE_H
#define KV_LEDGER_TREE_H

#include "core/err.h"
#include "core/hash.h"

#define KV_PROOF_MAX 64 /* hashes in a proof: one per bit of the size */

struct kv_tree;

/* H(00 ‖ data). */
struct kv_hash kv_leaf_hash(struct kv_bytes data);
/* H(01 ‖ left ‖ right). */
struct kv_hash kv_node_hash(const struct kv_hash *left, const struct kv_hash *right);

/* An empty tree; owned by the caller. Out of memory aborts, here and in kv_tree_append: a ledger
 * that cannot know its own root must not go on. */
struct kv_tree *kv_tree_new(void);
void kv_tree_free(struct kv_tree *tree);
void kv_tree_freep(struct kv_tree **tree);
void kv_tree_append(struct kv_tree *tree, const struct kv_hash *leaf);
uint64_t kv_tree_size(const struct kv_tree *tree);
/* Hash of leaf `index` < size. */
struct kv_hash kv_tree_leaf(const struct kv_tree *tree, uint64_t index);
/* Hash of the complete subtree `index` of 2^level leaves; it must lie inside the tree. */
struct kv_hash kv_tree_node(const struct kv_tree *tree, unsigned level, uint64_t index);
/* Root over the first `size` leaves, size ≤ kv_tree_size; of none: H(""). */
struct kv_hash kv_tree_root(const struct kv_tree *tree, uint64_t size);

struct kv_proof {
    struct kv_hash hash[KV_PROOF_MAX];
    size_t count;
};
/* Proof that leaf `index` is in the tree of `size`; index < size ≤ kv_tree_size. */
void kv_tree_inclusion(const struct kv_tree *tree, uint64_t index, uint64_t size,
                       struct kv_proof *out);
/* Proof that the tree of `size` continues that of `old`; old ≤ size ≤ kv_tree_size. */
void kv_tree_consistency(const struct kv_tree *tree, uint64_t old, uint64_t size,
                         struct kv_proof *out);

/* docs/ledger-format.md §3: true iff the proof leads from the leaf to the root. */
bool kv_inclusion_verify(const struct kv_proof *proof, uint64_t index, uint64_t size,
                         const struct kv_hash *leaf, const struct kv_hash *root);
/* True iff (size, root) continues (old, old_root). */
bool kv_consistency_verify(const struct kv_proof *proof, uint64_t old, uint64_t size,
                           const struct kv_hash *old_root, const struct kv_hash *root);

#endif
