/* Test only: two forests in memory that reconcile with each other; for the tests of the core, its
 * fuzz target and its benchmark. */
#ifndef SES_DAEMON_TEST_RECONCILE_KIT_H
#define SES_DAEMON_TEST_RECONCILE_KIT_H

#include "daemon/reconcile.h"

struct kit_side {
    struct ses_forest_pool *pool;
    struct ses_forest *forest;
};
void kit_side_init(struct kit_side *side);
void kit_side_free(struct kit_side *side);
/* Leaf number `n` of a segment: always the same one. */
void kit_leaf(struct ses_leaf *out, uint64_t n, uint8_t ttl_class, uint32_t hour);
void kit_put(struct kit_side *side, const struct ses_leaf *leaf);
bool kit_same(struct kit_side *a, struct kit_side *b);

/* What a run cost, and what was transferred. */
struct kit_cost {
    uint64_t bytes;  /* of all frames, records apart */
    uint32_t rounds; /* requests, those that fetch included */
    uint32_t fetched, offered;
    bool cut, older;
    uint32_t bulk_cnt;
};
/* Answers a frame from a forest; false if it is refused. */
bool kit_answer(struct kit_side *side, const uint8_t *body, size_t len, struct ses_buf *out);
/* `params` without a nonce: it is drawn. One run of `a` against `b`, after which `a` has what was
 * fetched and, if `both`, `b` what was offered. */
void kit_run(struct kit_side *a, struct kit_side *b, const struct reconcile_params *params,
             bool both, struct kit_cost *cost);
/* Gives what is needed from the forest, until a frame is to be sent or all is done. */
enum ses_err kit_feed(struct kit_side *side, struct reconcile *r);

#endif
