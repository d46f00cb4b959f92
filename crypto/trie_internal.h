/* The nodes of the state trie, for trie.c (versions and changes), trie_pool.c (memory and
 * references) and trie_proof.c.
 *
 * A node is a bucket (at most 16 leaves in the order of their keys) or a branch. A branch knows a
 * key below it and the nibbles [depth, end) of that key that it skips; its children differ in
 * nibble `end`. Nodes are immutable once hashed. While a version is being made, the nodes that are
 * new in it are `dirty`: nobody else knows them, so they may be changed in place, and their hash,
 * count and shape are not settled yet. Every ancestor of a dirty node is dirty. */
#ifndef SES_CRYPTO_TRIE_INTERNAL_H
#define SES_CRYPTO_TRIE_INTERNAL_H

#include "crypto/crypto_internal.h"

#define TRIE_NIBBLES 64u
#define TRIE_BUCKET_MAX 16u
/* Nodes from the root to a leaf: each branch on the way takes one nibble at least. */
#define TRIE_DEPTH_MAX (TRIE_NIBBLES + 1u)

struct ses_trie {
    struct ses_hash hash;
    struct ses_trie *next; /* in the pool's lists, while nobody uses the node */
    uint64_t count;        /* leaves at or below it */
    uint32_t refs;
    uint8_t leaf_cnt; /* of a bucket; 0 for a branch */
    uint8_t depth;
    uint8_t end;
    bool dirty;
};

struct trie_leaf {
    struct ses_hash key;
    struct ses_hash value;
};

struct trie_bucket {
    struct ses_trie node;
    struct trie_leaf leaves[];
};

struct trie_branch {
    struct ses_trie node;
    struct ses_hash key;                 /* some key below, for the skipped nibbles */
    const struct ses_trie *children[16]; /* NULL where there is none */
};

static inline unsigned trie_nibble(const struct ses_hash *key, unsigned at)
{
    return key->bytes[at / 2] >> (at % 2 == 0 ? 4 : 0) & 15;
}

static inline bool trie_is_branch(const struct ses_trie *node)
{
    return node->leaf_cnt == 0;
}

static inline const struct trie_bucket *trie_as_bucket(const struct ses_trie *node)
{
    SES_ASSERT(node->leaf_cnt > 0);
    return (const struct trie_bucket *)node;
}

static inline const struct trie_branch *trie_as_branch(const struct ses_trie *node)
{
    SES_ASSERT(node->leaf_cnt == 0);
    return (const struct trie_branch *)node;
}

/* First nibble in [from, to) in which the keys differ; `to` if there is none. */
unsigned trie_differ(const struct ses_hash *a, const struct ses_hash *b, unsigned from,
                     unsigned to);
/* Index of the first leaf whose key is not below `key`. */
unsigned trie_bucket_find(const struct trie_bucket *bucket, const struct ses_hash *key);
bool trie_bucket_has(const struct trie_bucket *bucket, unsigned at, const struct ses_hash *key);

/* Fresh dirty nodes with one reference; NULL without memory. */
struct trie_bucket *trie_bucket_new(struct ses_trie_pool *pool, unsigned leaf_cnt);
struct trie_branch *trie_branch_new(struct ses_trie_pool *pool);

/* ---- hashes (registry page, Blocks and state) ---- */
/* MT over the leaves B(0x10, key, value). */
void trie_leaves_root(struct ses_hash *out, const struct trie_leaf *leaves, unsigned leaf_cnt);
void trie_bucket_hash(struct ses_hash *out, unsigned leaf_cnt, const struct ses_hash *leaves_root);
/* `key` gives the skipped nibbles [depth, end). */
void trie_branch_hash(struct ses_hash *out, const struct ses_hash *key, unsigned depth,
                      unsigned end, uint16_t bitmap, const struct ses_hash *children_root);
/* The skipped nibbles, two a byte, an odd last one in the high half; number of bytes. */
unsigned trie_skip_pack(uint8_t out[32], const struct ses_hash *key, unsigned depth, unsigned end);
/* Hashes of the children in the order of their nibbles; their number. */
unsigned trie_children(struct ses_hash out[16], uint16_t *bitmap, const struct trie_branch *branch);

#endif
