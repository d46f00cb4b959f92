/* Inside swarm: the working set of one transition, carved out of the caller's scratch. */
#ifndef SES_SWARM_INTERNAL_H
#define SES_SWARM_INTERNAL_H

#include <string.h>

#include "swarm/swarm.h"

#define SES_INDEX_NONE UINT32_MAX

/* Heap sort: in place, no allocation, no recursion, O(n log n) whatever the input. `less` orders
 * two elements. */
void ses_sort_u32(uint32_t *v, uint32_t cnt, bool (*less)(const void *ctx, uint32_t a, uint32_t b),
                  const void *ctx);

/* H(label, seed, [u32], node_id) for many nodes: the label's key and the seed are hashed once. */
struct ses_ranker {
    struct ses_blake3 primed;
};
void ses_ranker_init(struct ses_ranker *r, const char *label, const struct ses_hash *seed);
void ses_ranker_init_u32(struct ses_ranker *r, const char *label, const struct ses_hash *seed,
                         uint32_t number);
void ses_ranker_node(const struct ses_ranker *r, struct ses_hash *out,
                     const struct ses_node_id *node_id);
void ses_ranker_u32(const struct ses_ranker *r, struct ses_hash *out, uint32_t number);

static inline int ses_hash_compare(const struct ses_hash *a, const struct ses_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static inline bool ses_seat_active(const struct ses_seat *seat)
{
    return seat->status == SES_NODE_ACTIVE;
}

#endif
