/* A map as a daemon finds it on its disk: what is accepted obeys its rules and encodes identically.
 * Nearly all bytes have a wrong hash somewhere; so they come a second time with the right ones. */
#include <string.h>

#include "daemon/daemon_internal.h"
#include "fuzz/fuzz.h"

#define ROOT_AT (1u + 8u + 32u)
#define NODES_MAX 64u

static const struct ses_hash chain_id = {{7}};

static void check_rules(const struct ses_map *map)
{
    SES_ASSERT(map->num_swarms > 0 && (map->num_swarms & (map->num_swarms - 1)) == 0);
    for (uint32_t i = 0; i < map->node_cnt; i++) {
        const struct ses_registry_row *row = &map->nodes[i].row;
        SES_ASSERT(row->swarm < map->num_swarms || row->swarm == SES_SWARM_NONE);
        SES_ASSERT(ses_map_find(map, &row->node_id) == &map->nodes[i]);
    }
}

static void decode(const uint8_t *bytes, size_t len)
{
    struct ses_map *map;
    struct ses_buf again = {0};
    if (ses_atlas_decode(&map, bytes, len, &chain_id) != SES_OK) {
        SES_ASSERT(map == NULL);
        return;
    }
    check_rules(map);
    SES_ASSERT(ses_atlas_encode(&again, map) == SES_OK);
    SES_ASSERT(again.len == len && memcmp(again.bytes, bytes, len) == 0);
    ses_buf_free(&again);
    ses_atlas_free(map);
}

/* Writes the hash of a node's keys into its row, which ends where the keys begin. */
static void mend_node(struct ses_reader *r, struct ses_hash *row_hash)
{
    struct ses_map_node node;
    ses_registry_row_read(r, &node.row);
    const uint8_t *keys = r->at;
    ses_node_keys_read(r, &node.keys);
    ses_endpoint_read(r, &node.endpoint);
    if (r->err == SES_OK) {
        ses_node_keys_hash(&node.row.keys_hash, &node.keys, &node.endpoint);
        memcpy((uint8_t *)(uintptr_t)keys - 32, node.row.keys_hash.bytes, 32);
        ses_registry_row_hash(row_hash, &node.row);
    }
}

static void mend(uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    struct ses_map map;
    struct ses_hash hashes[NODES_MAX];
    ses_reader_init(&r, bytes, len);
    (void)ses_read_u8(&r);
    map.epoch = ses_read_u64(&r);
    ses_read_bytes(&r, map.seed.bytes, 32);
    ses_read_bytes(&r, map.registry_root.bytes, 32);
    map.num_swarms = ses_read_u32(&r);
    map.node_cnt = ses_read_u32(&r);
    for (uint32_t i = 0; i < map.node_cnt && i < NODES_MAX && r.err == SES_OK; i++) {
        mend_node(&r, &hashes[i]);
    }
    if (r.err == SES_OK && map.node_cnt <= NODES_MAX) {
        ses_registry_root(&map.registry_root, &chain_id, map.epoch, &map.seed, map.num_swarms,
                          hashes, map.node_cnt);
        memcpy(bytes + ROOT_AT, map.registry_root.bytes, 32);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = ses_alloc(size + 1, 1);
    SES_ASSERT(mended != NULL);
    decode(data, size);
    if (size > 0) {
        memcpy(mended, data, size);
    }
    mend(mended, size);
    decode(mended, size);
    ses_free(mended);
    return 0;
}
