#include "storage/table.h"

#include <string.h>

static enum ses_err pool_grow(struct ses_slab *pool)
{
    uint8_t **chunks = ses_realloc(pool->chunks, pool->chunk_cnt + 1, sizeof *chunks);
    SES_REQUIRE(chunks != NULL, SES_ERR_MEMORY);
    pool->chunks = chunks;
    chunks[pool->chunk_cnt] = ses_alloc(SES_SLAB_CHUNK, pool->item);
    SES_REQUIRE(chunks[pool->chunk_cnt] != NULL, SES_ERR_MEMORY);
    pool->chunk_cnt++;
    return SES_OK;
}

enum ses_err ses_slab_reserve(struct ses_slab *pool, uint32_t more)
{
    while (pool->free_cnt + (pool->chunk_cnt * SES_SLAB_CHUNK - pool->used) < more) {
        SES_TRY(pool_grow(pool));
    }
    return SES_OK;
}

enum ses_err ses_slab_take(struct ses_slab *pool, uint32_t *index)
{
    SES_ASSERT(pool->item >= sizeof(uint32_t));
    if (pool->free_head != 0) {
        *index = pool->free_head - 1;
        uint8_t *item = ses_slab_at(pool, *index);
        memcpy(&pool->free_head, item, sizeof pool->free_head);
        pool->free_cnt--;
        memset(item, 0, pool->item);
        return SES_OK;
    }
    if (pool->used == pool->chunk_cnt * SES_SLAB_CHUNK) {
        SES_TRY(pool_grow(pool));
    }
    *index = pool->used++;
    return SES_OK;
}

void ses_slab_give(struct ses_slab *pool, uint32_t index)
{
    SES_ASSERT(index < pool->used);
    uint8_t *item = ses_slab_at(pool, index);
    memset(item, 0, pool->item);
    memcpy(item, &pool->free_head, sizeof pool->free_head);
    pool->free_head = index + 1;
    pool->free_cnt++;
}

void ses_slab_free(struct ses_slab *pool)
{
    for (uint32_t i = 0; i < pool->chunk_cnt; i++) {
        ses_free(pool->chunks[i]);
    }
    ses_free(pool->chunks);
    *pool = (struct ses_slab){.item = pool->item};
}

static void place(uint64_t *slots, uint32_t cap, uint64_t slot)
{
    uint32_t at = (uint32_t)(slot >> 32) & (cap - 1);
    while (slots[at] != 0) {
        at = (at + 1) & (cap - 1);
    }
    slots[at] = slot;
}

enum ses_err ses_table_reserve(struct ses_table *map, uint32_t more)
{
    const uint64_t want = (uint64_t)map->cnt + more;
    SES_REQUIRE(want < 1u << 30, SES_ERR_FULL);
    uint32_t cap = map->cap > 0 ? map->cap : 64;
    while (want * 4 > (uint64_t)cap * 3) {
        cap *= 2;
    }
    if (cap == map->cap) {
        return SES_OK;
    }
    uint64_t *slots = ses_alloc(cap, sizeof *slots);
    SES_REQUIRE(slots != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < map->cap; i++) {
        if (map->slots[i] != 0) {
            place(slots, cap, map->slots[i]);
        }
    }
    ses_free(map->slots);
    map->slots = slots;
    map->cap = cap;
    return SES_OK;
}

void ses_table_add(struct ses_table *map, uint32_t hash, uint32_t index)
{
    SES_ASSERT(((uint64_t)map->cnt + 1) * 4 <= (uint64_t)map->cap * 3);
    place(map->slots, map->cap, (uint64_t)hash << 32 | (index + 1));
    map->cnt++;
}

void ses_table_remove(struct ses_table *map, uint32_t hash, uint32_t index)
{
    SES_ASSERT(map->cap > 0);
    const uint32_t mask = map->cap - 1;
    const uint64_t slot = (uint64_t)hash << 32 | (index + 1);
    uint32_t hole = hash & mask;
    while (map->slots[hole] != slot) {
        SES_ASSERT(map->slots[hole] != 0);
        hole = (hole + 1) & mask;
    }
    /* close the gap: whoever stands behind it and could stand in it moves forward */
    for (uint32_t at = (hole + 1) & mask; map->slots[at] != 0; at = (at + 1) & mask) {
        const uint32_t home = (uint32_t)(map->slots[at] >> 32) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = 0;
    map->cnt--;
}

bool ses_table_find(const struct ses_table *map, uint32_t hash,
                    bool (*same)(const void *ctx, uint32_t index, const void *key), const void *ctx,
                    const void *key, uint32_t *index)
{
    if (map->cap == 0) {
        return false;
    }
    const uint32_t mask = map->cap - 1;
    for (uint32_t at = hash & mask; map->slots[at] != 0; at = (at + 1) & mask) {
        const uint32_t found = (uint32_t)map->slots[at] - 1;
        if ((uint32_t)(map->slots[at] >> 32) == hash && same(ctx, found, key)) {
            *index = found;
            return true;
        }
    }
    return false;
}

void ses_table_free(struct ses_table *map)
{
    ses_free(map->slots);
    *map = (struct ses_table){0};
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t ses_table_hash(uint64_t seed, uint64_t a, uint64_t b)
{
    return (uint32_t)mix(mix(a ^ seed) + (b ^ (seed << 32 | seed >> 32)));
}
