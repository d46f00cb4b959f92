/* Two small containers of the loop thread: items by index, and a hash table of such indexes. */
#ifndef SES_STORAGE_TABLE_H
#define SES_STORAGE_TABLE_H

#include "base/base.h"

/* Items of one size in chunks: they never move, an index is 4 bytes. Zero-initialise with `item`.
 */
struct ses_slab {
    size_t item; /* bytes, at least 4 */
    uint8_t **chunks;
    uint32_t chunk_cnt;
    uint32_t used; /* indexes ever given out */
    uint32_t free_cnt;
    uint32_t free_head; /* index + 1 of the first free item */
};
#define SES_SLAB_CHUNK 1024u
/* A zeroed item. ERR_MEMORY. */
SES_CHECKED enum ses_err ses_slab_take(struct ses_slab *pool, uint32_t *index);
/* So that `more` further ses_slab_take cannot fail. ERR_MEMORY. */
SES_CHECKED enum ses_err ses_slab_reserve(struct ses_slab *pool, uint32_t more);
void ses_slab_give(struct ses_slab *pool, uint32_t index);
void ses_slab_free(struct ses_slab *pool);
static inline void *ses_slab_at(const struct ses_slab *pool, uint32_t index)
{
    return pool->chunks[index / SES_SLAB_CHUNK] + (index % SES_SLAB_CHUNK) * pool->item;
}

/* Open addressing with linear probing; a slot is hash || index + 1, 0 = empty. */
struct ses_table {
    uint64_t *slots;
    uint32_t cap; /* power of two */
    uint32_t cnt;
};
/* So that `more` further ses_table_add cannot fail. ERR_MEMORY. */
SES_CHECKED enum ses_err ses_table_reserve(struct ses_table *map, uint32_t more);
void ses_table_add(struct ses_table *map, uint32_t hash, uint32_t index);
void ses_table_remove(struct ses_table *map, uint32_t hash, uint32_t index);
bool ses_table_find(const struct ses_table *map, uint32_t hash,
                    bool (*same)(const void *ctx, uint32_t index, const void *key), const void *ctx,
                    const void *key, uint32_t *index);
void ses_table_free(struct ses_table *map);
/* Spreads keys that others choose: nobody outside knows `seed`. */
uint32_t ses_table_hash(uint64_t seed, uint64_t a, uint64_t b);

#endif
