#include "network/chain.h"

#include <string.h>

static struct ses_chain_chunk *chunk_get(struct ses_chain_pool *pool)
{
    struct ses_chain_chunk *chunk = pool->free;
    if (chunk == NULL) {
        chunk = ses_alloc(1, sizeof *chunk);
        pool->used_cnt += chunk != NULL;
        return chunk;
    }
    pool->used_cnt++;
    pool->free = chunk->next;
    pool->free_cnt--;
    chunk->next = NULL;
    chunk->from = 0;
    chunk->to = 0;
    return chunk;
}

static void chunk_put(struct ses_chain_pool *pool, struct ses_chain_chunk *chunk)
{
    pool->used_cnt--;
    if (pool->free_cnt >= SES_CHAIN_POOL_MAX) {
        ses_free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->free_cnt++;
}

/* Chunks for the part that does not fit into the tail, linked and empty; NULL only without memory
 * or when none is needed. */
static enum ses_err chunks_reserve(struct ses_chain_chunk **out, struct ses_chain_pool *pool,
                                   size_t len)
{
    struct ses_chain_chunk *first = NULL;
    for (size_t room = 0; room < len; room += SES_CHAIN_CHUNK_BYTES) {
        struct ses_chain_chunk *chunk = chunk_get(pool);
        if (chunk == NULL) {
            while (first != NULL) {
                struct ses_chain_chunk *next = first->next;
                chunk_put(pool, first);
                first = next;
            }
            return SES_ERR_MEMORY;
        }
        chunk->next = first;
        first = chunk;
    }
    *out = first;
    return SES_OK;
}

static size_t chunk_fill(struct ses_chain_chunk *chunk, const uint8_t *bytes, size_t len)
{
    const size_t room = SES_CHAIN_CHUNK_BYTES - chunk->to;
    const size_t n = len < room ? len : room;
    memcpy(chunk->bytes + chunk->to, bytes, n);
    chunk->to += (uint32_t)n;
    return n;
}

enum ses_err ses_chain_append(struct ses_chain *chain, struct ses_chain_pool *pool,
                              const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    const size_t room = chain->tail == NULL ? 0 : SES_CHAIN_CHUNK_BYTES - chain->tail->to;
    struct ses_chain_chunk *fresh = NULL;
    if (len > room) {
        SES_TRY(chunks_reserve(&fresh, pool, len - room));
    }
    chain->len += len;
    if (len > 0 && room > 0) {
        const size_t n = chunk_fill(chain->tail, at, len);
        at += n;
        len -= n;
    }
    if (fresh == NULL) {
        return SES_OK;
    }
    if (chain->tail == NULL) {
        chain->head = fresh;
    } else {
        chain->tail->next = fresh;
    }
    for (; fresh != NULL; fresh = fresh->next) {
        const size_t n = chunk_fill(fresh, at, len);
        at += n;
        len -= n;
        chain->tail = fresh;
    }
    SES_ASSERT(len == 0);
    return SES_OK;
}

size_t ses_chain_take(struct ses_chain *chain, struct ses_chain_pool *pool, uint8_t *out,
                      size_t cap)
{
    size_t taken = 0;
    while (taken < cap && chain->head != NULL) {
        struct ses_chain_chunk *chunk = chain->head;
        const size_t have = chunk->to - chunk->from;
        const size_t n = have < cap - taken ? have : cap - taken;
        memcpy(out + taken, chunk->bytes + chunk->from, n);
        chunk->from += (uint32_t)n;
        taken += n;
        if (chunk->from == chunk->to) {
            chain->head = chunk->next;
            chunk_put(pool, chunk);
        }
    }
    if (chain->head == NULL) {
        chain->tail = NULL;
    }
    chain->len -= taken;
    return taken;
}

void ses_chain_clear(struct ses_chain *chain, struct ses_chain_pool *pool)
{
    while (chain->head != NULL) {
        struct ses_chain_chunk *next = chain->head->next;
        chunk_put(pool, chain->head);
        chain->head = next;
    }
    *chain = (struct ses_chain){0};
}

void ses_chain_pool_clear(struct ses_chain_pool *pool)
{
    while (pool->free != NULL) {
        struct ses_chain_chunk *next = pool->free->next;
        ses_free(pool->free);
        pool->free = next;
    }
    pool->free_cnt = 0;
}
