/* Memory of the forest: pieces of three sizes, cut from blocks that are kept until the end. A trie
 * that grows leaf by leaf leaves no holes: a leaf never moves, and a bucket's head has one size. */
#include <string.h>

#include "crypto/forest_internal.h"

#define BLOCK_BYTES 65536u

static const size_t piece_bytes[FOREST_SLAB_CNT] = {
    [FOREST_LEAF] = sizeof(struct forest_leaf),
    [FOREST_BUCKET] = sizeof(struct forest_node),
    [FOREST_BRANCH] = sizeof(struct forest_branch),
};

enum ses_err ses_forest_pool_new(struct ses_forest_pool **out, size_t bytes_max)
{
    *out = NULL;
    SES_REQUIRE(bytes_max >= 1u << 20, SES_ERR_INVALID);
    struct ses_forest_pool *pool = ses_alloc(1, sizeof *pool);
    SES_REQUIRE(pool != NULL, SES_ERR_MEMORY);
    pool->bytes = sizeof *pool;
    pool->bytes_max = bytes_max;
    *out = pool;
    return SES_OK;
}

void ses_forest_pool_free(struct ses_forest_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    while (pool->blocks != NULL) {
        void *block = pool->blocks;
        memcpy(&pool->blocks, block, sizeof pool->blocks);
        ses_free(block);
    }
    ses_free(pool);
}

size_t ses_forest_pool_bytes(const struct ses_forest_pool *pool)
{
    return pool->bytes;
}

void forest_pool_give(struct ses_forest_pool *pool, enum forest_slab slab, void *piece)
{
    memcpy(piece, &pool->slabs[slab].free, sizeof(void *));
    pool->slabs[slab].free = piece;
    pool->slabs[slab].free_cnt++;
}

void *forest_pool_take(struct ses_forest_pool *pool, enum forest_slab slab)
{
    void *piece = pool->slabs[slab].free;
    SES_ASSERT(piece != NULL);
    memcpy(&pool->slabs[slab].free, piece, sizeof(void *));
    pool->slabs[slab].free_cnt--;
    memset(piece, 0, piece_bytes[slab]);
    return piece;
}

/* One more block, cut into pieces that are handed out in the order of their addresses. */
static enum ses_err grow(struct ses_forest_pool *pool, enum forest_slab slab)
{
    SES_REQUIRE(pool->bytes_max - pool->bytes >= BLOCK_BYTES, SES_ERR_FULL);
    uint8_t *block = ses_alloc(1, BLOCK_BYTES);
    SES_REQUIRE(block != NULL, SES_ERR_MEMORY);
    memcpy(block, &pool->blocks, sizeof pool->blocks);
    pool->blocks = block;
    pool->bytes += BLOCK_BYTES;
    const size_t head = sizeof pool->blocks;
    for (size_t cnt = (BLOCK_BYTES - head) / piece_bytes[slab]; cnt > 0; cnt--) {
        forest_pool_give(pool, slab, block + head + (cnt - 1) * piece_bytes[slab]);
    }
    return SES_OK;
}

enum ses_err forest_pool_reserve(struct ses_forest_pool *pool, size_t leaf_cnt, size_t bucket_cnt,
                                 size_t branch_cnt)
{
    const size_t wanted[FOREST_SLAB_CNT] = {leaf_cnt, bucket_cnt, branch_cnt};
    for (unsigned slab = 0; slab < FOREST_SLAB_CNT; slab++) {
        while (pool->slabs[slab].free_cnt < wanted[slab]) {
            SES_TRY(grow(pool, (enum forest_slab)slab));
        }
    }
    return SES_OK;
}
