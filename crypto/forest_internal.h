/* Inside crypto only: the nodes of the forest, for forest_*.c and proof_make.c.
 *
 * A node is a bucket (at most 16 leaves, a list in the order of their keys) or a branch, whose
 * children differ in nibble `end`; it skips the nibbles [depth, end), which are those of any key
 * below it. A `dirty` node's sum is out of date, and so is that of every node above it. A leaf
 * keeps its address until its trie is freed. */
#ifndef SES_CRYPTO_FOREST_INTERNAL_H
#define SES_CRYPTO_FOREST_INTERNAL_H

#include "crypto/forest.h"

#define FOREST_BUCKET_MAX 16u
/* Nodes from the root to a leaf: each branch on the way takes one nibble at least. */
#define FOREST_DEPTH_MAX (SES_LEAF_NIBBLES + 1u)
#define SUM_BYTES 48u
#define HOUR_MS 3600000u

struct forest_leaf {
    struct forest_leaf *next;
    uint8_t bytes[SES_LEAF_BYTES]; /* encoded: begins with the key */
};

struct forest_node {
    struct ses_sum sum;
    bool branch;
    bool dirty;
    uint8_t leaf_cnt; /* of a bucket */
    uint8_t depth;    /* of a branch */
    uint8_t end;
    struct forest_leaf *first; /* of a bucket: its leaves; of a branch: some leaf below it */
};

struct forest_branch {
    struct forest_node node; /* first, so that a node is a branch */
    struct forest_node *children[16];
};

/* What hashing needs: up to sixteen rows of up to sixteen sums. */
struct forest_scratch {
    uint8_t leaves[256][SES_LEAF_BYTES];
    struct ses_hash hashes[256];
    struct ses_sum sums[16][16];
    uint8_t pairs[128][2 * SUM_BYTES];
};

enum forest_slab { FOREST_LEAF, FOREST_BUCKET, FOREST_BRANCH, FOREST_SLAB_CNT };

struct ses_forest_pool {
    struct {
        void *free; /* a list: the first bytes of a free piece point to the next one */
        size_t free_cnt;
    } slabs[FOREST_SLAB_CNT];
    void *blocks; /* list of what came from the system */
    size_t bytes;
    size_t bytes_max;
    struct forest_scratch scratch;
};

struct ses_forest_trie {
    struct ses_forest_pool *pool;
    struct forest_node *root; /* NULL if empty */
    uint64_t count;
    struct ses_segment_id segment;
};

static inline unsigned forest_nibble(const uint8_t *key, unsigned i)
{
    return (unsigned)key[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u;
}

static inline struct forest_branch *forest_as_branch(struct forest_node *node)
{
    return (struct forest_branch *)node;
}

static inline const struct forest_branch *forest_as_const_branch(const struct forest_node *node)
{
    return (const struct forest_branch *)node;
}

/* ---- forest_leaf.c ---- */
/* The first nibble in [from, to) in which the keys differ; `to` if none. */
unsigned forest_differ(const uint8_t *a, const uint8_t *b, unsigned from, unsigned to);
/* As memcmp, over the first `nibble_cnt` nibbles. */
int forest_compare(const uint8_t *a, const uint8_t *b, unsigned nibble_cnt);
/* The skipped nibbles [depth, end) of `key`, an odd last one in the high half; how many bytes. */
unsigned forest_skip_pack(uint8_t out[64], const uint8_t *key, unsigned depth, unsigned end);
void forest_sum_put(uint8_t out[SUM_BYTES], const struct ses_sum *sum);

/* ---- forest_pool.c ---- */
/* The pool holds so many free pieces afterwards: the next takes cannot fail. */
SES_CHECKED enum ses_err forest_pool_reserve(struct ses_forest_pool *pool, size_t leaf_cnt,
                                             size_t bucket_cnt, size_t branch_cnt);
/* Zeroed, from the reserve. */
void *forest_pool_take(struct ses_forest_pool *pool, enum forest_slab slab);
void forest_pool_give(struct ses_forest_pool *pool, enum forest_slab slab, void *piece);

/* ---- forest_sum.c ---- */
/* The bucket of `cnt` leaves from the MS of their sums. */
void forest_bucket_sum(struct ses_sum *out, const struct ses_sum *leaves);
struct forest_shape {
    const uint8_t *skip; /* packed */
    uint8_t skip_len;    /* nibbles */
    uint16_t bitmap;
};
/* A branch from the MS of its children's elements. */
void forest_branch_sum(struct ses_sum *out, const struct forest_shape *shape,
                       const struct ses_sum *children);
/* The sums of `cnt` <= 256 encoded leaves. */
void forest_leaf_sums(struct ses_sum *out, struct ses_hash *scratch, const uint8_t *leaves,
                      size_t cnt);
/* The elements of a branch's children by nibble; how many. The children are not dirty. */
unsigned forest_child_sums(struct ses_sum out[16], uint16_t *bitmap,
                           const struct forest_branch *branch);
/* The branch as if it skipped from `depth`, which is not above its own. */
void forest_branch_from(struct ses_sum *out, const struct forest_branch *branch, unsigned depth);
void forest_segment_element(struct ses_sum *out, const struct ses_segment_id *id,
                            const struct ses_sum *sum);
/* Joins neighbours: the inner node of MS. */
void forest_join(struct ses_sum *out, const struct ses_sum *left, const struct ses_sum *right);
/* Makes every sum of the trie up to date. */
void forest_trie_settle(struct ses_forest_trie *trie);

/* ---- forest.c, for proof_make.c: `forest` is settled ---- */
void forest_settle(struct ses_forest *forest);
/* The MS over the `cnt` segments from `from`, a range that splitting all of them comes to. */
const struct ses_sum *forest_range_sum(const struct ses_forest *forest, size_t from, size_t cnt);

#endif
