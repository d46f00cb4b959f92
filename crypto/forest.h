/* The forest of a swarm (storage page, "Segments and the forest"): one trie per segment, its sums,
 * and the root over the segments. The shape and the hashes are a pure function of the set of
 * leaves, whatever the order in which they came.
 *
 *     root R = B(0x03) ── MS over the segments by id
 *                           │
 *                 segment 03 0007a120: trie over key = digest || id, 128 nibbles
 *                           │
 *                  branch: skip, bitmap, MS over up to 16 children
 *                     │              │
 *                  bucket         branch ...     bucket: at most 16 leaves, MS over them
 *
 * Memory: leaves, buckets and branches come from a pool that the caller owns; several tries and
 * forests may share it, and it outlives them. Hashes are cached in the nodes and made again only
 * along what changed, when a sum is asked for. Nothing here is thread-safe; one pool belongs to one
 * thread at a time. Leaves are not removed one by one: a segment expires whole. */
#ifndef SES_CRYPTO_FOREST_H
#define SES_CRYPTO_FOREST_H

#include "crypto/crypto.h"

#define SES_LEAF_BYTES 78u
#define SES_LEAF_KEY_BYTES 64u
#define SES_LEAF_NIBBLES 128u
#define SES_SEGMENT_ID_BYTES 5u
#define SES_FOREST_SEGMENTS_MAX 65535u

struct ses_leaf_key {
    uint8_t bytes[SES_LEAF_KEY_BYTES]; /* digest of the inbox 32, record id 32 */
};
struct ses_segment_id {
    uint8_t bytes[SES_SEGMENT_ID_BYTES]; /* u8 ttl_class, u32 hour: segments sort by these bytes */
};
_Static_assert(sizeof(struct ses_leaf_key) == SES_LEAF_KEY_BYTES, "byte structs have no padding");
_Static_assert(sizeof(struct ses_segment_id) == SES_SEGMENT_ID_BYTES, "no padding here either");

struct ses_leaf {
    struct ses_leaf_key key;
    uint64_t ts_ms;
    uint32_t size; /* payload bytes; 0 for a tombstone */
    uint8_t ttl_class;
    uint8_t kind; /* 0 message, 1 tombstone */
};

/* ---- leaves ---- */
/* key 64, u64 ts_ms, u8 ttl_class, u8 kind, u32 size */
void ses_leaf_encode(uint8_t out[SES_LEAF_BYTES], const struct ses_leaf *leaf);
/* Any bytes are a leaf; ses_leaf_validate says whether one of a record. */
void ses_leaf_decode(struct ses_leaf *out, const uint8_t in[SES_LEAF_BYTES]);
/* SES_ERR_MALFORMED: a class above 4, a kind above 1, a time whose hour does not fit 32 bits. */
SES_CHECKED enum ses_err ses_leaf_validate(const struct ses_leaf *leaf);
/* The segment that a valid leaf belongs to. */
void ses_leaf_segment(struct ses_segment_id *out, const struct ses_leaf *leaf);
int ses_leaf_key_compare(const struct ses_leaf_key *a, const struct ses_leaf_key *b);
/* The following key, for paging; false (and `key` unchanged) for the last one of all. */
bool ses_leaf_key_next(struct ses_leaf_key *key);
/* The least and the greatest key that begin with the first `nibble_cnt` (0..128) nibbles of
 * `prefix`; 64 nibbles are those of one inbox. */
void ses_leaf_prefix_range(struct ses_leaf_key *low, struct ses_leaf_key *high,
                           const struct ses_leaf_key *prefix, unsigned nibble_cnt);

/* ---- memory ---- */
struct ses_forest_pool;
/* `bytes_max`: limit of what the pool takes from the system, at least 1 MiB. */
SES_CHECKED enum ses_err ses_forest_pool_new(struct ses_forest_pool **out, size_t bytes_max);
/* NULL allowed. Every trie and forest in it is gone. */
void ses_forest_pool_free(struct ses_forest_pool *pool);
/* Taken from the system so far; freed nodes are kept for the next ones. */
size_t ses_forest_pool_bytes(const struct ses_forest_pool *pool);

/* ---- the trie of one segment ---- */
struct ses_forest_trie;
SES_CHECKED enum ses_err ses_forest_trie_new(struct ses_forest_trie **out,
                                             struct ses_forest_pool *pool,
                                             const struct ses_segment_id *segment);
/* From `cnt` leaves of the segment with strictly ascending keys, much faster than one by one.
 * SES_ERR_INVALID if they are not; SES_ERR_MEMORY and SES_ERR_FULL of the pool. */
SES_CHECKED enum ses_err ses_forest_trie_build(struct ses_forest_trie **out,
                                               struct ses_forest_pool *pool,
                                               const struct ses_segment_id *segment,
                                               const struct ses_leaf *leaves, size_t cnt);
/* NULL allowed. */
void ses_forest_trie_free(struct ses_forest_trie *trie);
/* Inserts the leaf, or puts it in the place of the one with the same key (a tombstone for a
 * message). SES_ERR_MALFORMED for no leaf of a record, SES_ERR_INVALID for one of another segment,
 * SES_ERR_MEMORY, SES_ERR_FULL: the trie is unchanged then. */
SES_CHECKED enum ses_err ses_forest_trie_put(struct ses_forest_trie *trie,
                                             const struct ses_leaf *leaf);
uint64_t ses_forest_trie_count(const struct ses_forest_trie *trie);
/* Hash, count and bytes of the segment; zeros for an empty one. */
void ses_forest_trie_sum(struct ses_forest_trie *trie, struct ses_sum *out);
/* False if the key is absent. */
bool ses_forest_trie_get(const struct ses_forest_trie *trie, const struct ses_leaf_key *key,
                         struct ses_leaf *out);
/* The leaf at a position in the order of keys; false beyond the end. */
bool ses_forest_trie_at(struct ses_forest_trie *trie, uint64_t position, struct ses_leaf *out);
/* The first `max` leaves with low <= key <= high, ascending, into `out`; how many there were. The
 * next page begins at ses_leaf_key_next of the last key. */
size_t ses_forest_trie_range(const struct ses_forest_trie *trie, struct ses_leaf *out, size_t max,
                             const struct ses_leaf_key *low, const struct ses_leaf_key *high);
/* For reconciliation: out[n] is the sum of the trie that holds just the keys which begin with the
 * first `nibble_cnt` (0..127) nibbles of `prefix` and then nibble n, built from depth
 * nibble_cnt + 1; zeros where there are none. A function of that subset alone, so two members may
 * compare it whatever else they hold. */
void ses_forest_trie_children(struct ses_forest_trie *trie, struct ses_sum out[16],
                              const struct ses_leaf_key *prefix, unsigned nibble_cnt);

/* ---- the forest ---- */
struct ses_forest;
SES_CHECKED enum ses_err ses_forest_new(struct ses_forest **out, struct ses_forest_pool *pool);
/* NULL allowed. Frees its tries too. */
void ses_forest_free(struct ses_forest *forest);
/* Into the leaf's segment, which is made if it is not there. Errors of ses_forest_trie_put;
 * SES_ERR_AGAIN if the segment is there only as a sum: open it first; SES_ERR_FULL for too many
 * segments. */
SES_CHECKED enum ses_err ses_forest_put(struct ses_forest *forest, const struct ses_leaf *leaf);
/* A segment's place among the segments by id; false (and the place where it would stand) if it is
 * absent. */
bool ses_forest_find(const struct ses_forest *forest, const struct ses_segment_id *segment,
                     size_t *index);
size_t ses_forest_segment_cnt(const struct ses_forest *forest);
struct ses_forest_segment {
    struct ses_segment_id id;
    struct ses_sum sum;
    struct ses_forest_trie *trie; /* NULL if only the sum is here; borrowed until the next change */
};
/* index < ses_forest_segment_cnt */
void ses_forest_segment(struct ses_forest *forest, size_t index, struct ses_forest_segment *out);
/* A segment known by its sum alone, or one opened: its trie belongs to the forest from now on.
 * SES_ERR_EXISTS if a trie is there already; SES_ERR_CHECKSUM if a sum is there and the trie's
 * differs; SES_ERR_INVALID for an empty one. On an error the trie stays the caller's. */
SES_CHECKED enum ses_err ses_forest_add_sum(struct ses_forest *forest,
                                            const struct ses_segment_id *segment,
                                            const struct ses_sum *sum);
SES_CHECKED enum ses_err ses_forest_add_trie(struct ses_forest *forest,
                                             struct ses_forest_trie *trie);
/* Keeps the segment's sum and frees its trie; nothing happens if it is absent. */
void ses_forest_seal(struct ses_forest *forest, const struct ses_segment_id *segment);
/* The segment expired: forgets it; nothing happens if it is absent. */
void ses_forest_drop(struct ses_forest *forest, const struct ses_segment_id *segment);
/* MS over the segment elements: the count and the bytes of everything. */
void ses_forest_sum(struct ses_forest *forest, struct ses_sum *out);
/* R of the page. */
void ses_forest_root(struct ses_forest *forest, struct ses_hash *out, uint32_t swarm,
                     uint64_t epoch);
/* R from the sum over the segments. */
void ses_forest_root_of(struct ses_hash *out, uint32_t swarm, uint64_t epoch,
                        const struct ses_sum *sum);
/* The leaf at a position of the whole forest (by segment, then by key): SES_ERR_NOT_FOUND beyond
 * the end, SES_ERR_AGAIN in a segment that is not open. `segment` is set for both SES_OK and
 * SES_ERR_AGAIN. */
SES_CHECKED enum ses_err ses_forest_at(struct ses_forest *forest, uint64_t position,
                                       struct ses_segment_id *segment, struct ses_leaf *out);

#include "crypto/proof.h" /* which needs all of this */

#endif
