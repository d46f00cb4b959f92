#include "daemon/daemon_internal.h"

#define ATLAS_VERSION 1u
#define ATLAS_NODES_MAX 1000000u
/* Upper bound of one encoded node: row, keys with two encryption keys, endpoint, with room. */
#define NODE_BYTES_MAX 8192u

void ses_atlas_free(struct ses_map *map)
{
    if (map != NULL) {
        ses_free(map->nodes);
        ses_free(map);
    }
}

static int by_node_id(const void *a, const void *b)
{
    const struct ses_map_node *x = a;
    const struct ses_map_node *y = b;
    return memcmp(x->row.node_id.bytes, y->row.node_id.bytes, sizeof x->row.node_id.bytes);
}

static enum ses_err check_map(const struct ses_map *map, const struct ses_hash *chain_id)
{
    const uint32_t n = map->num_swarms;
    SES_REQUIRE(n >= 1 && (n & (n - 1)) == 0, SES_ERR_MALFORMED);
    for (uint32_t i = 0; i < map->node_cnt; i++) {
        const struct ses_registry_row *row = &map->nodes[i].row;
        SES_REQUIRE(i == 0 || by_node_id(&map->nodes[i - 1], &map->nodes[i]) < 0,
                    SES_ERR_MALFORMED);
        SES_REQUIRE(row->swarm < n || row->swarm == SES_SWARM_NONE, SES_ERR_MALFORMED);
    }
    struct ses_hash *scratch = ses_alloc((size_t)map->node_cnt + 1, sizeof *scratch);
    SES_REQUIRE(scratch != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_map_verify(map, chain_id, scratch);
    ses_free(scratch);
    return err;
}

/* Both sorted by node id; a row of the delta replaces the old one. */
static uint32_t merge(struct ses_map_node *out, const struct ses_map *old,
                      const struct ses_map_node *rows, uint32_t row_cnt)
{
    const uint32_t old_cnt = old != NULL ? old->node_cnt : 0;
    uint32_t i = 0;
    uint32_t j = 0;
    uint32_t cnt = 0;
    while (i < old_cnt || j < row_cnt) {
        int order = i == old_cnt ? 1 : -1;
        if (i < old_cnt && j < row_cnt) {
            order = by_node_id(&old->nodes[i], &rows[j]);
        }
        if (order < 0) {
            out[cnt++] = old->nodes[i++];
        } else {
            i += order == 0 ? 1 : 0;
            out[cnt++] = rows[j++];
        }
    }
    return cnt;
}

enum ses_err ses_atlas_build(struct ses_map **out, const struct ses_map *old,
                             struct ses_chain_registry *delta, const struct ses_hash *chain_id)
{
    *out = NULL;
    const size_t room = (size_t)delta->row_cnt + (old != NULL ? old->node_cnt : 0) + 1;
    SES_REQUIRE(room <= ATLAS_NODES_MAX, SES_ERR_TOO_LARGE);
    struct ses_map *map = ses_alloc(1, sizeof *map);
    SES_REQUIRE(map != NULL, SES_ERR_MEMORY);
    enum ses_err err = SES_ERR_MEMORY;
    map->nodes = ses_alloc(room, sizeof *map->nodes);
    if (map->nodes == NULL) {
        goto out;
    }
    map->epoch = delta->header.epoch;
    map->seed = delta->header.seed;
    map->registry_root = delta->header.root;
    map->num_swarms = delta->header.num_swarms;
    if (delta->row_cnt > 0) {
        qsort(delta->rows, delta->row_cnt, sizeof *delta->rows, by_node_id);
    }
    map->node_cnt = merge(map->nodes, old, delta->rows, delta->row_cnt);
    err = check_map(map, chain_id);
out:
    if (err != SES_OK) {
        ses_atlas_free(map);
        return err;
    }
    *out = map;
    return SES_OK;
}

static enum ses_err encode_node(struct ses_buf *out, const struct ses_map_node *node)
{
    SES_TRY(ses_buf_reserve(out, NODE_BYTES_MAX));
    struct ses_writer w;
    ses_writer_init(&w, out->bytes + out->len, NODE_BYTES_MAX);
    ses_registry_row_write(&w, &node->row);
    ses_node_keys_write(&w, &node->keys);
    ses_endpoint_write(&w, &node->endpoint);
    SES_TRY(ses_writer_done(&w));
    out->len += w.len;
    return SES_OK;
}

enum ses_err ses_atlas_encode(struct ses_buf *out, const struct ses_map *map)
{
    uint8_t head[1 + 8 + 32 + 32 + 4 + 4];
    struct ses_writer w;
    ses_writer_init(&w, head, sizeof head);
    ses_write_u8(&w, ATLAS_VERSION);
    ses_write_u64(&w, map->epoch);
    ses_write_bytes(&w, map->seed.bytes, 32);
    ses_write_bytes(&w, map->registry_root.bytes, 32);
    ses_write_u32(&w, map->num_swarms);
    ses_write_u32(&w, map->node_cnt);
    SES_TRY(ses_writer_done(&w));
    SES_TRY(ses_buf_append(out, head, sizeof head));
    for (uint32_t i = 0; i < map->node_cnt; i++) {
        SES_TRY(encode_node(out, &map->nodes[i]));
    }
    return SES_OK;
}

static void decode_nodes(struct ses_reader *r, struct ses_map *map)
{
    for (uint32_t i = 0; i < map->node_cnt && r->err == SES_OK; i++) {
        ses_registry_row_read(r, &map->nodes[i].row);
        ses_node_keys_read(r, &map->nodes[i].keys);
        ses_endpoint_read(r, &map->nodes[i].endpoint);
    }
}

enum ses_err ses_atlas_decode(struct ses_map **out, const uint8_t *bytes, size_t len,
                              const struct ses_hash *chain_id)
{
    *out = NULL;
    struct ses_reader r;
    ses_reader_init(&r, bytes, len);
    SES_REQUIRE(ses_read_u8(&r) == ATLAS_VERSION, SES_ERR_VERSION);
    struct ses_map *map = ses_alloc(1, sizeof *map);
    SES_REQUIRE(map != NULL, SES_ERR_MEMORY);
    map->epoch = ses_read_u64(&r);
    ses_read_bytes(&r, map->seed.bytes, 32);
    ses_read_bytes(&r, map->registry_root.bytes, 32);
    map->num_swarms = ses_read_u32(&r);
    map->node_cnt = ses_read_u32(&r);
    /* Every node has at least its two keys: proves the count before the allocation. */
    enum ses_err err = SES_ERR_MALFORMED;
    if (r.err == SES_OK && map->node_cnt <= r.left / (SES_DSA_PK_BYTES + SES_KEM_PK_BYTES)) {
        map->nodes = ses_alloc((size_t)map->node_cnt + 1, sizeof *map->nodes);
        err = map->nodes != NULL ? SES_OK : SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        decode_nodes(&r, map);
        err = ses_reader_done(&r);
    }
    if (err == SES_OK) {
        err = check_map(map, chain_id);
    }
    if (err != SES_OK) {
        ses_atlas_free(map);
        return err;
    }
    *out = map;
    return SES_OK;
}
