/* The snapshot that nodes and clients route by. */
#include <string.h>

#include "swarm/swarm_internal.h"

static uint32_t collect(const struct ses_map *map, uint32_t swarm, enum ses_node_status status,
                        uint32_t *out, uint32_t max)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < map->node_cnt && cnt < max; i++) {
        const struct ses_registry_row *row = &map->nodes[i].row;
        if (row->swarm == swarm && row->status == status) {
            out[cnt++] = i;
        }
    }
    return cnt;
}

uint32_t ses_map_members(const struct ses_map *map, uint32_t swarm, uint32_t *out, uint32_t max,
                         uint32_t *active_cnt)
{
    *active_cnt = 0;
    if (swarm == SES_SWARM_NONE) {
        return 0; /* no seat is no swarm */
    }
    const uint32_t active = collect(map, swarm, SES_NODE_ACTIVE, out, max);
    *active_cnt = active;
    return active + collect(map, swarm, SES_NODE_DECOMMISSIONING, out + active, max - active);
}

const struct ses_map_node *ses_map_find(const struct ses_map *map,
                                        const struct ses_node_id *node_id)
{
    uint32_t low = 0;
    uint32_t high = map->node_cnt;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const int order = memcmp(map->nodes[mid].row.node_id.bytes, node_id->bytes, 20);
        if (order == 0) {
            return &map->nodes[mid];
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

uint32_t ses_map_swarm_of_inbox(const struct ses_map *map, const struct ses_hash *inbox)
{
    struct ses_hash digest;
    ses_inbox_digest(&digest, inbox);
    return ses_swarm_of(&digest, map->num_swarms);
}

enum ses_err ses_map_verify(const struct ses_map *map, const struct ses_hash *chain_id,
                            struct ses_hash *scratch)
{
    struct ses_hash hash;
    SES_REQUIRE(map->num_swarms > 0 && (map->num_swarms & (map->num_swarms - 1)) == 0,
                SES_ERR_MALFORMED);
    for (uint32_t i = 0; i < map->node_cnt; i++) {
        const struct ses_map_node *node = &map->nodes[i];
        SES_REQUIRE(i == 0 || memcmp(map->nodes[i - 1].row.node_id.bytes, node->row.node_id.bytes,
                                     sizeof(node->row.node_id.bytes)) < 0,
                    SES_ERR_MALFORMED);
        ses_node_keys_hash(&hash, &node->keys, &node->endpoint);
        SES_REQUIRE(ses_equal(hash.bytes, node->row.keys_hash.bytes, sizeof(hash.bytes)),
                    SES_ERR_CHECKSUM);
        ses_registry_row_hash(&scratch[i], &node->row);
    }
    ses_registry_root(&hash, chain_id, map->epoch, &map->seed, map->num_swarms, scratch,
                      map->node_cnt);
    SES_REQUIRE(ses_equal(hash.bytes, map->registry_root.bytes, sizeof(hash.bytes)),
                SES_ERR_CHECKSUM);
    return SES_OK;
}
