/* Test only: records that are at nodes without ever having been sent, and nodes that move. */
#ifndef SES_DAEMON_TEST_CROP_H
#define SES_DAEMON_TEST_CROP_H

#include "daemon/test_post.h"

#define CROP_EPOCH_MS 3600000u /* of the world */

struct crop {
    struct post *posts;
    uint32_t cnt;
};
/* Small public messages of one time, each to an inbox of its own in the swarm. */
void crop_make(struct crop *crop, struct world *w, uint32_t cnt, uint32_t num_swarms,
               uint32_t swarm, uint64_t ts_ms);
void crop_free(struct crop *crop);
/* Puts them into the store of a node, as if another member had brought them. */
void plant(struct world *w, uint32_t node, const struct crop *crop);
uint32_t held(struct world *w, uint32_t node, const struct crop *crop);

const struct ses_daemon_stats *stats(const struct world *w, uint32_t node);
bool is_partial(const struct world *w, uint32_t node);
/* To another swarm, from the next epoch on. */
void move(struct world *w, uint32_t node, uint32_t swarm);
void next_epoch(struct world *w);

#endif
