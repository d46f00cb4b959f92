/* The routing map: members, lookup, and what a forged snapshot looks like. */
#include <string.h>

#include "base/tap.h"
#include "swarm/swarm.h"

#define NODES 12u

static struct ses_map_node nodes[NODES];
static struct ses_hash chain_id;

static struct ses_map make_map(void)
{
    struct ses_map map = {.epoch = 9, .num_swarms = 2, .node_cnt = NODES, .nodes = nodes};
    struct ses_hash hashes[NODES];
    ses_random_fill(tap_random(), map.seed.bytes, 32);
    ses_random_fill(tap_random(), chain_id.bytes, 32);
    memset(nodes, 0, sizeof(nodes));
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i].row.node_id.bytes[0] = (uint8_t)(2 * i);
        nodes[i].row.status = i % 3 == 1 ? SES_NODE_DECOMMISSIONING : SES_NODE_ACTIVE;
        nodes[i].row.swarm = i == 11 ? SES_SWARM_NONE : i % 2;
        nodes[i].row.prev_swarm = SES_SWARM_NONE;
        ses_random_fill(tap_random(), nodes[i].keys.public_key.bytes, 8);
        ses_node_keys_hash(&nodes[i].row.keys_hash, &nodes[i].keys, &nodes[i].endpoint);
        ses_registry_row_hash(&hashes[i], &nodes[i].row);
    }
    ses_registry_root(&map.registry_root, &chain_id, map.epoch, &map.seed, map.num_swarms, hashes,
                      NODES);
    return map;
}

static void test_members(void)
{
    const struct ses_map map = make_map();
    static const uint32_t want[] = {0, 2, 6, 8, 4, 10}; /* Active first, each by node_id */
    uint32_t out[NODES];
    uint32_t active = 0;
    TAP_EQ(6, ses_map_members(&map, 0, out, NODES, &active));
    TAP_EQ(4, active);
    for (size_t i = 0; i < SES_COUNT(want); i++) {
        TAP_EQ(want[i], out[i]);
    }
    TAP_EQ(2, ses_map_members(&map, 0, out, 2, &active));
    TAP_EQ(2, active);
    TAP_EQ(5, ses_map_members(&map, 0, out, 5, &active));
    TAP_EQ(4, active);
    TAP_EQ(0, ses_map_members(&map, SES_SWARM_NONE, out, NODES, &active));
    TAP_EQ(0, active);
}

static void test_find(void)
{
    const struct ses_map map = make_map();
    for (uint32_t i = 0; i < NODES; i++) {
        struct ses_node_id id = nodes[i].row.node_id;
        TAP_OK(ses_map_find(&map, &id) == &nodes[i]);
        id.bytes[19] = 1;
        TAP_OK(ses_map_find(&map, &id) == NULL);
    }
}

static void test_verify(void)
{
    struct ses_hash scratch[NODES];
    struct ses_map map = make_map();
    TAP_ERR(SES_OK, ses_map_verify(&map, &chain_id, scratch));
    map.epoch++;
    TAP_ERR(SES_ERR_CHECKSUM, ses_map_verify(&map, &chain_id, scratch));
    map.epoch--;
    nodes[3].endpoint.peer_key.bytes[0] ^= 1;
    TAP_ERR(SES_ERR_CHECKSUM, ses_map_verify(&map, &chain_id, scratch));
    nodes[3].endpoint.peer_key.bytes[0] ^= 1;
    nodes[3].row.swarm = 0;
    TAP_ERR(SES_ERR_CHECKSUM, ses_map_verify(&map, &chain_id, scratch));
    nodes[3].row.swarm = 1;
    map.node_cnt--;
    TAP_ERR(SES_ERR_CHECKSUM, ses_map_verify(&map, &chain_id, scratch));
    map.node_cnt++;
    map.num_swarms = 3;
    TAP_ERR(SES_ERR_MALFORMED, ses_map_verify(&map, &chain_id, scratch));
    map.num_swarms = 2;
    nodes[5].row.node_id = nodes[4].row.node_id;
    TAP_ERR(SES_ERR_MALFORMED, ses_map_verify(&map, &chain_id, scratch));
}

static void test_swarm_of(void)
{
    struct ses_hash digest = {{0}};
    digest.bytes[31] = 0xB5;
    digest.bytes[30] = 0x01;
    TAP_EQ(0, ses_swarm_of(&digest, 1));
    TAP_EQ(5, ses_swarm_of(&digest, 16));
    TAP_EQ(0x1B5, ses_swarm_of(&digest, 1024));
}

int main(void)
{
    TAP_RUN(test_members);
    TAP_RUN(test_find);
    TAP_RUN(test_verify);
    TAP_RUN(test_swarm_of);
    return tap_done();
}
