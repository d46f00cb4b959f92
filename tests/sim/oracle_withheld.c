/* What a member may lack because its running audit draws it (daemon/withhold.c): the others give it
 * when the response is on chain, so it is an excuse until then and for a while after. */
#include "daemon/daemon_internal.h"
#include "tests/sim/sim.h"

#define GIVEN_MS (15u * SIM_MINUTE_MS) /* two rounds of older segments: they ask, and offer */

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
static bool drawn(struct sim *s, const struct sim_node *node, const struct sim_msg *m)
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

/* The response is in a block for so long that, in calm weather and among honest members, somebody
 * has asked the chain. */
static bool given_by_now(const struct sim *s, const struct sim_node *node)
{
    struct ses_node record;
    struct ses_map_node *keys = ses_alloc(1, sizeof *keys);
    SES_ASSERT(keys != NULL);
    const enum ses_err err = ses_vm_node(s->chain.machines[1].vm, &node->node_id, keys, &record);
    ses_free(keys);
    const uint64_t epoch_s = s->chain.params.params.epoch_seconds;
    const uint64_t now_s = sim_unix_ms(s) / 1000;
    const uint64_t start_s = sim_unix_ms(s) / 1000 - s->now_ms / 1000 % epoch_s;
    return err == SES_OK && s->byz_cnt == 0 && sim_calm(s, GIVEN_MS) &&
           s->chain.trouble_until_ms + GIVEN_MS < s->now_ms && record.last_ping_at > start_s &&
           record.last_ping_at + GIVEN_MS / 1000 < now_s && node->up_ms + GIVEN_MS < s->now_ms;
}

bool oracle_withheld(struct sim *s, const struct sim_node *node, const struct sim_msg *m)
{
    return drawn(s, node, m) && !given_by_now(s, node);
}
