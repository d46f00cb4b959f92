/* The registry's map with what is needed to check it, in memory and as bytes. */
#include <string.h>

#include "client/client_internal.h"

#define NODES_MAX 65536u
#define NODE_LEAST 2048u /* an encoded row with keys and endpoint is longer */
#define NODE_MOST 6144u
#define HEAD_MAX 256u

void ses_registry_cache_free(struct ses_registry_cache *cache)
{
    ses_free(cache->map.nodes);
    memset(cache, 0, sizeof *cache);
}

static uint32_t place(const struct ses_map *map, const struct ses_node_id *id)
{
    uint32_t low = 0;
    uint32_t high = map->node_cnt;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (memcmp(map->nodes[mid].row.node_id.bytes, id->bytes, sizeof id->bytes) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static enum ses_err room(struct ses_registry_cache *cache, uint32_t cnt)
{
    if (cnt <= cache->node_cap) {
        return SES_OK;
    }
    SES_REQUIRE(cnt <= NODES_MAX, SES_ERR_FULL);
    const uint32_t cap = cnt < 16 ? 16 : cnt + cnt / 2;
    struct ses_map_node *nodes = ses_realloc(cache->map.nodes, cap, sizeof *nodes);
    SES_REQUIRE(nodes != NULL, SES_ERR_MEMORY);
    cache->map.nodes = nodes;
    cache->node_cap = cap;
    return SES_OK;
}

enum ses_err ses_registry_cache_put(struct ses_registry_cache *cache,
                                    const struct ses_registry_row *row,
                                    const struct ses_node_keys *keys,
                                    const struct ses_endpoint *endpoint)
{
    struct ses_map *map = &cache->map;
    const uint32_t at = place(map, &row->node_id);
    const bool there =
        at < map->node_cnt && memcmp(map->nodes[at].row.node_id.bytes, row->node_id.bytes, 20) == 0;
    SES_REQUIRE(there || (keys != NULL && endpoint != NULL), SES_ERR_PEER);
    if (!there) {
        SES_TRY(room(cache, map->node_cnt + 1));
        memmove(&map->nodes[at + 1], &map->nodes[at], (map->node_cnt - at) * sizeof map->nodes[0]);
        memset(&map->nodes[at], 0, sizeof map->nodes[at]);
        map->node_cnt++;
    }
    map->nodes[at].row = *row;
    if (keys != NULL) {
        map->nodes[at].keys = *keys;
    }
    if (endpoint != NULL) {
        map->nodes[at].endpoint = *endpoint;
    }
    return SES_OK;
}

enum ses_err ses_registry_cache_copy(struct ses_registry_cache *out,
                                     const struct ses_registry_cache *from)
{
    *out = *from;
    out->map.nodes = NULL;
    out->node_cap = 0;
    SES_TRY(room(out, from->map.node_cnt));
    if (from->map.node_cnt > 0) {
        memcpy(out->map.nodes, from->map.nodes, from->map.node_cnt * sizeof out->map.nodes[0]);
    }
    return SES_OK;
}

enum ses_err ses_registry_cache_verify(const struct ses_registry_cache *cache)
{
    struct ses_hash *scratch = ses_alloc(cache->map.node_cnt + 1u, sizeof *scratch);
    SES_REQUIRE(scratch != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_map_verify(&cache->map, &cache->chain_id, scratch);
    ses_free(scratch);
    return err;
}

uint64_t ses_registry_cache_epoch_at(const struct ses_registry_cache *cache, uint64_t now_ms)
{
    const uint64_t now_s = now_ms / 1000;
    if (now_s < cache->genesis_s || cache->epoch_s == 0) {
        return 0;
    }
    return (now_s - cache->genesis_s) / cache->epoch_s;
}

enum ses_err ses_registry_cache_encode(struct ses_buf *out, const struct ses_registry_cache *cache)
{
    struct ses_writer w;
    const struct ses_map *map = &cache->map;
    const size_t space = HEAD_MAX + (size_t)map->node_cnt * NODE_MOST;
    const size_t name_len = strnlen(cache->network_name, sizeof cache->network_name - 1);
    SES_TRY(ses_buf_reserve(out, space));
    ses_writer_init(&w, out->bytes + out->len, space);
    ses_write_bytes(&w, cache->chain_id.bytes, sizeof cache->chain_id.bytes);
    ses_write_u8(&w, (uint8_t)name_len);
    ses_write_bytes(&w, cache->network_name, name_len);
    ses_write_u64(&w, cache->genesis_s);
    ses_write_u64(&w, cache->epoch_s);
    ses_write_u64(&w, map->epoch);
    ses_write_bytes(&w, map->seed.bytes, sizeof map->seed.bytes);
    ses_write_bytes(&w, map->registry_root.bytes, sizeof map->registry_root.bytes);
    ses_write_u32(&w, map->num_swarms);
    ses_write_u32(&w, map->node_cnt);
    for (uint32_t i = 0; i < map->node_cnt; i++) {
        ses_registry_row_write(&w, &map->nodes[i].row);
        ses_node_keys_write(&w, &map->nodes[i].keys);
        ses_endpoint_write(&w, &map->nodes[i].endpoint);
    }
    SES_TRY(ses_writer_done(&w));
    out->len += w.len;
    return SES_OK;
}

static void read_head(struct ses_reader *r, struct ses_registry_cache *cache)
{
    ses_read_bytes(r, cache->chain_id.bytes, sizeof cache->chain_id.bytes);
    const uint8_t name_len = ses_read_u8(r);
    ses_reader_check(r, name_len < sizeof cache->network_name, SES_ERR_MALFORMED);
    ses_read_bytes(r, cache->network_name, r->err == SES_OK ? name_len : 0);
    ses_reader_check(r, strnlen(cache->network_name, name_len) == name_len, SES_ERR_MALFORMED);
    cache->genesis_s = ses_read_u64(r);
    cache->epoch_s = ses_read_u64(r);
    ses_reader_check(r, cache->epoch_s > 0, SES_ERR_MALFORMED);
    cache->map.epoch = ses_read_u64(r);
    ses_read_bytes(r, cache->map.seed.bytes, sizeof cache->map.seed.bytes);
    ses_read_bytes(r, cache->map.registry_root.bytes, sizeof cache->map.registry_root.bytes);
    cache->map.num_swarms = ses_read_u32(r);
}

static enum ses_err decode(struct ses_registry_cache *cache, struct ses_reader *r)
{
    read_head(r, cache);
    const uint32_t cnt = ses_read_u32(r);
    ses_reader_check(r, cnt <= NODES_MAX && cnt <= r->left / NODE_LEAST, SES_ERR_MALFORMED);
    SES_TRY(r->err);
    SES_TRY(room(cache, cnt));
    for (uint32_t i = 0; r->err == SES_OK && i < cnt; i++) {
        struct ses_map_node *node = &cache->map.nodes[i];
        memset(node, 0, sizeof *node);
        ses_registry_row_read(r, &node->row);
        ses_node_keys_read(r, &node->keys);
        ses_endpoint_read(r, &node->endpoint);
        cache->map.node_cnt++;
    }
    return ses_reader_done(r);
}

enum ses_err ses_registry_cache_decode(struct ses_registry_cache *cache, const uint8_t *bytes,
                                       size_t len)
{
    struct ses_reader r;
    memset(cache, 0, sizeof *cache);
    ses_reader_init(&r, bytes, len);
    enum ses_err err = decode(cache, &r);
    if (err == SES_OK) {
        err = ses_registry_cache_verify(cache);
    }
    if (err != SES_OK) {
        ses_registry_cache_free(cache);
        return err;
    }
    cache->loaded = true;
    return SES_OK;
}
