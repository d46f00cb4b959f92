/* A queue of bytes in chunks of 4 KiB: appending and taking never move what is already queued, and
 * an empty queue holds no memory. Chunks come from a pool that many queues share. */
#ifndef SES_NETWORK_CHAIN_H
#define SES_NETWORK_CHAIN_H

#include "base/base.h"

#define SES_CHAIN_CHUNK_BYTES 4080u
#define SES_CHAIN_POOL_MAX 512u /* free chunks kept for reuse */

struct ses_chain_chunk {
    struct ses_chain_chunk *next;
    uint32_t from;
    uint32_t to;
    uint8_t bytes[SES_CHAIN_CHUNK_BYTES];
};
struct ses_chain_pool {
    struct ses_chain_chunk *free;
    size_t free_cnt;
    size_t used_cnt; /* chunks in queues */
};
/* Zero-initialise; ses_chain_clear at the end. */
struct ses_chain {
    struct ses_chain_chunk *head;
    struct ses_chain_chunk *tail;
    size_t len;
};

/* Copies all of `bytes` or, without memory, nothing. */
SES_CHECKED enum ses_err ses_chain_append(struct ses_chain *chain, struct ses_chain_pool *pool,
                                          const void *bytes, size_t len);
/* Moves at most `cap` bytes from the front into `out`; the number moved. */
size_t ses_chain_take(struct ses_chain *chain, struct ses_chain_pool *pool, uint8_t *out,
                      size_t cap);
void ses_chain_clear(struct ses_chain *chain, struct ses_chain_pool *pool);
void ses_chain_pool_clear(struct ses_chain_pool *pool);

#endif
