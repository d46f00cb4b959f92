/* The plan of an epoch: what is owed, when, and who is tested by whom. */
#include "daemon/plan.h"

#include <string.h>

#include "base/tap.h"

#define GENESIS_S 1790000000u
#define NODES_MAX 64u

static struct ses_map_node nodes[NODES_MAX];
static struct ses_plan plan; /* large */

static struct ses_chain_params chain_of(uint64_t epoch_s, uint64_t block_s)
{
    struct ses_chain_params chain = {.genesis_timestamp = GENESIS_S};
    ses_params_defaults(&chain.params);
    chain.params.epoch_seconds = epoch_s;
    chain.params.block_seconds = block_s;
    chain.params.settle_seconds = epoch_s / 6;
    chain.params.freeze_seconds = epoch_s / 12 > 0 ? epoch_s / 12 : 1;
    return chain;
}

static int by_id(const void *a, const void *b)
{
    const struct ses_map_node *x = a;
    const struct ses_map_node *y = b;
    return memcmp(x->row.node_id.bytes, y->row.node_id.bytes, sizeof x->row.node_id.bytes);
}

static struct ses_map map_of(uint32_t node_cnt, uint32_t num_swarms)
{
    struct ses_map map = {.epoch = 100, .num_swarms = num_swarms, .nodes = nodes};
    map.node_cnt = node_cnt;
    ses_random_fill(tap_random(), map.seed.bytes, sizeof map.seed.bytes);
    memset(nodes, 0, sizeof nodes);
    for (uint32_t i = 0; i < node_cnt; i++) {
        struct ses_registry_row *row = &nodes[i].row;
        ses_random_fill(tap_random(), row->node_id.bytes, sizeof row->node_id.bytes);
        ses_random_fill(tap_random(), row->owner.bytes, sizeof row->owner.bytes);
        row->status = SES_NODE_ACTIVE;
        row->swarm = i % num_swarms;
        row->prev_swarm = SES_SWARM_NONE;
        row->swarm_from_epoch = 90;
    }
    qsort(nodes, node_cnt, sizeof nodes[0], by_id);
    return map;
}

static void check_moments(const struct ses_chain_params *chain)
{
    const uint64_t len_ms = chain->params.epoch_seconds * 1000;
    const uint64_t block_ms = chain->params.block_seconds * 1000;
    TAP_EQ((GENESIS_S + 100 * chain->params.epoch_seconds) * 1000, plan.start_ms);
    TAP_EQ(plan.start_ms + len_ms, plan.end_ms);
    TAP_OK(plan.commit_ms >= plan.start_ms && plan.commit_ms < plan.start_ms + len_ms / 3);
    TAP_OK(plan.respond_ms >= plan.start_ms + len_ms / 2);
    TAP_OK(plan.respond_ms <= plan.start_ms + len_ms / 10 * 9);
    TAP_OK(plan.respond_ms + 3 * block_ms <= plan.end_ms);
    TAP_OK(plan.probe_end_ms < plan.respond_ms);
    TAP_OK(plan.give_up_ms >= plan.respond_ms && plan.give_up_ms < plan.end_ms);
    for (uint16_t i = 0; i < plan.target_cnt; i++) {
        TAP_OK(plan.targets[i].at_ms >= plan.start_ms + len_ms / 20);
        TAP_OK(plan.targets[i].at_ms < plan.probe_end_ms); /* there is time for a second attempt */
    }
    TAP_OK(plan.resend_ms > 0 && plan.resend_ms < len_ms / 4);
}

static void test_moments(void)
{
    static const struct {
        uint64_t epoch_s, block_s;
    } all[] = {{3600, 2}, {86400, 60}, {60, 2}, {20, 1}, {8, 1}, {6, 1}};
    for (size_t i = 0; i < SES_COUNT(all); i++) {
        const struct ses_chain_params chain = chain_of(all[i].epoch_s, all[i].block_s);
        const struct ses_map map = map_of(20, 2);
        for (uint32_t n = 0; n < map.node_cnt; n++) {
            TAP_ERR(SES_OK, ses_plan_make(&plan, &map, &nodes[n].row.node_id, &chain));
            TAP_EQ(100, plan.epoch);
            check_moments(&chain);
        }
    }
}

/* Nodes do not all come at once, and the same node comes at the same offset each time. */
static void test_offsets_spread(void)
{
    const struct ses_chain_params chain = chain_of(3600, 2);
    struct ses_map map = map_of(NODES_MAX, 4);
    uint64_t commits[4] = {0}, responses[4] = {0};
    for (uint32_t n = 0; n < map.node_cnt; n++) {
        TAP_ERR(SES_OK, ses_plan_make(&plan, &map, &nodes[n].row.node_id, &chain));
        commits[(plan.commit_ms - plan.start_ms) / 300000]++;
        responses[(plan.respond_ms - plan.start_ms - 1800000) / 360000]++;
        const uint64_t offset_ms = plan.respond_ms - plan.start_ms;
        map.epoch++;
        TAP_ERR(SES_OK, ses_plan_make(&plan, &map, &nodes[n].row.node_id, &chain));
        TAP_EQ(offset_ms, plan.respond_ms - plan.start_ms);
        map.epoch--;
    }
    for (size_t i = 0; i < 4; i++) {
        TAP_OK(commits[i] > 2 && commits[i] < 40);
        TAP_OK(responses[i] > 2 && responses[i] < 40);
    }
}

static void plan_seat(const struct ses_map *map, uint32_t node, uint64_t from_epoch)
{
    const struct ses_chain_params chain = chain_of(3600, 2);
    nodes[node].row.swarm_from_epoch = from_epoch;
    TAP_ERR(SES_OK, ses_plan_make(&plan, map, &nodes[node].row.node_id, &chain));
}

static void test_what_is_owed(void)
{
    const struct ses_chain_params chain = chain_of(3600, 2);
    const struct ses_map map = map_of(6, 2);
    const struct ses_node_id stranger = {{1}};
    plan_seat(&map, 0, 100); /* this is its first epoch in the seat */
    TAP_OK(plan.registered && plan.seated && !plan.commits && !plan.opens);
    plan_seat(&map, 0, 99);
    TAP_OK(plan.commits && !plan.opens);
    plan_seat(&map, 0, 98);
    TAP_OK(plan.commits && plan.opens);
    plan_seat(&map, 0, 101); /* a map that contradicts itself: nothing is promised */
    TAP_OK(plan.seated && !plan.commits && !plan.opens);
    nodes[1].row.swarm = SES_SWARM_NONE;
    plan_seat(&map, 1, 90);
    TAP_OK(plan.registered && !plan.seated && !plan.commits && plan.target_cnt > 0);
    nodes[2].row.status = SES_NODE_DECOMMISSIONING;
    plan_seat(&map, 2, 90);
    TAP_OK(plan.registered && plan.commits && plan.opens);
    TAP_EQ(0, plan.target_cnt); /* neither tests nor is tested */
    TAP_EQ(0, plan.verdict_bits);
    nodes[3].row.status = SES_NODE_RETIRED;
    plan_seat(&map, 3, 90);
    TAP_OK(!plan.registered && !plan.seated && !plan.commits);
    TAP_ERR(SES_OK, ses_plan_make(&plan, &map, &stranger, &chain));
    TAP_OK(!plan.registered && plan.target_cnt == 0);
}

/* Every Active node is tested by somebody, by nobody of its swarm and of its owner, and each pair
 * at a moment of its own. */
static void test_targets(void)
{
    const struct ses_chain_params chain = chain_of(3600, 2);
    struct ses_map map = map_of(40, 4);
    uint32_t tested[NODES_MAX] = {0};
    uint64_t moments = 0, sum_ms = 0;
    nodes[7].row.status = SES_NODE_DECOMMISSIONING;
    nodes[8].row.owner = nodes[9].row.owner;
    for (uint32_t n = 0; n < map.node_cnt; n++) {
        TAP_ERR(SES_OK, ses_plan_make(&plan, &map, &nodes[n].row.node_id, &chain));
        TAP_OK(n == 7 || plan.verdict_bits == 20);
        for (uint16_t i = 0; i < plan.target_cnt; i++) {
            const struct ses_plan_target *target = &plan.targets[i];
            TAP_OK(target->node != n && target->node != 7 && target->bit < plan.verdict_bits);
            TAP_OK(nodes[target->node].row.swarm != nodes[n].row.swarm);
            TAP_OK(!(n == 8 && target->node == 9) && !(n == 9 && target->node == 8));
            TAP_OK(i == 0 || plan.targets[i - 1].bit < target->bit);
            tested[target->node]++;
            moments++;
            sum_ms += target->at_ms - plan.start_ms;
        }
    }
    for (uint32_t n = 0; n < map.node_cnt; n++) {
        TAP_OK(n == 7 ? tested[n] == 0 : tested[n] >= 5);
    }
    TAP_OK(sum_ms / moments > 600000 && sum_ms / moments < 1200000); /* 3 .. 27 minutes */
}

static void test_lonely(void)
{
    const struct ses_chain_params chain = chain_of(3600, 2);
    const struct ses_map map = map_of(1, 1);
    TAP_ERR(SES_OK, ses_plan_make(&plan, &map, &nodes[0].row.node_id, &chain));
    TAP_OK(plan.commits && plan.target_cnt == 0 && plan.verdict_bits == 0);
}

static void test_sealed(void)
{
    const struct ses_times times = {
        .genesis_s = GENESIS_S, .epoch_s = 3600, .settle_s = 600, .freeze_s = 330};
    const uint64_t genesis_ms = (uint64_t)GENESIS_S * 1000;
    TAP_OK(ses_plan_sealed(&times, 0) == -1);
    TAP_OK(ses_plan_sealed(&times, genesis_ms - 55001) == -1);
    TAP_OK(ses_plan_sealed(&times, genesis_ms) == 0);
    const uint64_t t5_ms = genesis_ms + (uint64_t)5 * 3600000;
    TAP_OK(ses_plan_sealed(&times, t5_ms - 55001) == 4); /* F_5 + 5 * 55 s = T_5 - 55 s */
    TAP_OK(ses_plan_sealed(&times, t5_ms - 55000) == 5);
    TAP_OK(ses_plan_sealed(&times, t5_ms + 3500000) == 5);
}

int main(void)
{
    TAP_RUN(test_moments);
    TAP_RUN(test_offsets_spread);
    TAP_RUN(test_what_is_owed);
    TAP_RUN(test_targets);
    TAP_RUN(test_lonely);
    TAP_RUN(test_sealed);
    return tap_done();
}
