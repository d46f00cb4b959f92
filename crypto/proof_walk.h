/* Inside crypto only: reading a proof from its first byte to its last, as a sequence of events.
 *
 *   proof   = u16 segments, mt<segment>
 *   mt<x>   = (no element) empty | 0x00 sum | 0x01 mt<x> mt<x> (n >= 2, split as in RFC 6962)
 *           | 0x01 x (n = 1)
 *   segment = u8 ttl_class, u32 hour, trie
 *   trie    = 0x00 sum | 0x01 u8 skip_len, skip, u16 bitmap, mt<trie> | 0x02 u8 n, mt<leaf>
 *
 * With sums it recomputes the root; without, on bytes whose root was checked, it costs little. */
#ifndef SES_CRYPTO_PROOF_WALK_H
#define SES_CRYPTO_PROOF_WALK_H

#include "crypto/forest_internal.h"

enum walk_event {
    WALK_SEGMENTS_CLOSED, /* some segments */
    WALK_SEGMENT,         /* one begins */
    WALK_TRIE_CLOSED,     /* all keys that begin with the path */
    WALK_CHILDREN_CLOSED, /* all keys that begin with the path and then one of `nibbles` */
    WALK_BUCKET,          /* a bucket of the keys that begin with the path */
    WALK_LEAVES_CLOSED,   /* some leaves of the bucket */
    WALK_LEAF,
    WALK_BUCKET_END,
    WALK_SEGMENT_END,
    WALK_END,
};

/* A list of n > 1 elements halves at most 16 times for segments, 4 times for children and leaves;
 * each level waits with a right half and a join, a node, its element and one byte to spare. */
#define WALK_STEPS_MAX (2u * 16u + FOREST_DEPTH_MAX * (2u * 4u + 4u))
#define WALK_SUMS_MAX (16u + FOREST_DEPTH_MAX * 5u + 8u)

struct walk_step {
    uint8_t what;
    uint16_t cnt;
};

struct walk_node { /* a branch whose children are being read */
    uint8_t depth;
    uint8_t end;
    uint8_t used; /* children so far */
    uint16_t bitmap;
    const uint8_t *skip; /* packed, in the proof */
};

struct walk {
    struct ses_reader r;
    bool summing;
    unsigned step_cnt;
    unsigned sum_cnt;
    unsigned node_cnt;
    bool any_segment; /* one was shown: the next one's id is greater */
    bool in_segment;
    bool in_bucket;
    /* where the reader stands, valid for the last event */
    struct ses_segment_id segment;
    const uint8_t *leaf; /* SES_LEAF_BYTES in the proof */
    uint64_t count;      /* leaves that a closed part stands for */
    uint16_t nibbles;
    unsigned depth; /* nibbles of the path that count */
    uint8_t path[SES_LEAF_KEY_BYTES];
    struct walk_step steps[WALK_STEPS_MAX];
    struct walk_node nodes[SES_LEAF_NIBBLES];
    struct ses_sum sums[WALK_SUMS_MAX];
};

/* Sets up at the first byte. The arrays need no initialisation. */
void walk_begin(struct walk *w, const uint8_t *proof, size_t len, bool summing);
/* The next event. WALK_END only behind the last byte; a walk with sums has then its total in
 * sums[0]. */
SES_CHECKED enum ses_err walk_next(struct walk *w, enum walk_event *event);

#endif
