/* What one member may make us read in an epoch without another member's word is spread by answering
 * later. It belongs to the node, not to a flow or a request: dialling again does not fill it. */
#include "daemon/daemon_internal.h"

#define BUDGET_MIN_BYTES ((uint64_t)64 << 20)

static uint64_t epoch_budget(const struct ses_daemon *d)
{
    const uint64_t bytes = d->p.capacity_bytes / 200;
    return bytes > BUDGET_MIN_BYTES ? bytes : BUDGET_MIN_BYTES;
}

static struct budget *budget_of(struct ses_daemon *d, const struct ses_node_id *node_id)
{
    struct budget *oldest = &d->budgets[0];
    for (uint32_t i = 0; i < BUDGETS; i++) {
        struct budget *b = &d->budgets[i];
        if (b->used && ses_equal(&b->node_id, node_id, sizeof *node_id)) {
            return b;
        }
        if (!b->used || (oldest->used && b->at_ms < oldest->at_ms)) {
            oldest = b;
        }
    }
    oldest->used = true;
    oldest->node_id = *node_id;
    oldest->bytes = epoch_budget(d);
    oldest->at_ms = ses_daemon_mono(d);
    return oldest;
}

static void refill(const struct ses_daemon *d, struct budget *b)
{
    const uint64_t depth = epoch_budget(d);
    const uint64_t now_ms = ses_daemon_mono(d);
    const uint64_t epoch_ms = d->times.epoch_s * 1000;
    const uint64_t passed = now_ms - b->at_ms;
    const uint64_t gain =
        passed < epoch_ms ? (uint64_t)((double)depth * (double)passed / (double)epoch_ms) : depth;
    if (gain == 0) {
        return; /* keeps what has passed for the next time */
    }
    b->bytes = depth - b->bytes < gain ? depth : b->bytes + gain;
    b->at_ms = now_ms;
}

bool ses_budget_take(struct ses_daemon *d, const struct ses_node_id *node_id, uint64_t bytes)
{
    struct budget *b = budget_of(d, node_id);
    refill(d, b);
    if (b->bytes < bytes) {
        return false;
    }
    b->bytes -= bytes;
    return true;
}

void ses_budget_give(struct ses_daemon *d, const struct ses_node_id *node_id, uint64_t bytes)
{
    struct budget *b = budget_of(d, node_id);
    const uint64_t depth = epoch_budget(d);
    b->bytes = depth - b->bytes < bytes ? depth : b->bytes + bytes;
}
