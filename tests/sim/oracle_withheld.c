/* What a member may lack because its running audit draws it (daemon/withhold.c): the others give it
 * when its response is on chain, and that may be shortly before the end of the epoch. */
#include "daemon/daemon_internal.h"
#include "tests/sim/sim.h"

static bool draws(const struct sim *s, const struct sim_node *node, const struct sim_msg *m)
{
    bool found = false;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *other = &s->nodes[i];
        found |= other != node && other->byz == NULL && sim_node_up(other) &&
                 ses_drawn(other->daemon, &node->node_id, &m->ids.id);
    }
    return found;
}

/* Or it draws a statement, without which nothing is there of what it deletes. */
bool oracle_withheld(struct sim *s, const struct sim_node *node, const struct sim_msg *m)
{
    uint32_t at = 0;
    bool found = draws(s, node, m);
    const struct sim_msg *statement = oracle_deleted_by(s, &m->ids.id, &at);
    while (statement != NULL && !found) {
        found = draws(s, node, statement);
        statement = oracle_deleted_by(s, &m->ids.id, &at);
    }
    return found;
}
