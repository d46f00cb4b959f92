/* Pending transactions of nodes (types 5 to 8): no fee, no nonce, one of each type for a node. */
#include "vm/vm_internal.h"

static uint32_t node_bucket(const struct ses_node_id *node_id)
{
    return ses_get_u32(node_id->bytes) % SES_POOL_BUCKETS;
}

struct ses_pool_tx *ses_duty_pool_find(const struct ses_mempool *pool,
                                       const struct ses_node_id *node_id, enum ses_tx_type type)
{
    struct ses_pool_tx *tx = pool->by_node[node_bucket(node_id)];
    while (tx != NULL &&
           (tx->facts.type != type || memcmp(tx->facts.node_id.bytes, node_id->bytes, 20) != 0)) {
        tx = tx->next_by_node;
    }
    return tx;
}

enum ses_err ses_duty_pool_add(struct ses_mempool *pool, const struct ses_tx *tx,
                               const struct ses_tx_facts *facts)
{
    SES_REQUIRE(pool->duty_cnt < SES_VM_MEMPOOL_DUTIES_MAX, SES_ERR_FULL);
    SES_REQUIRE(pool->duty_bytes + tx->len <= SES_VM_MEMPOOL_DUTY_BYTES_MAX, SES_ERR_FULL);
    SES_ASSERT(ses_duty_pool_find(pool, &facts->node_id, facts->type) == NULL);
    struct ses_pool_tx *p = ses_alloc(1, sizeof(*p) + tx->len);
    SES_REQUIRE(p != NULL, SES_ERR_MEMORY);
    struct ses_pool_tx **bucket = &pool->by_node[node_bucket(&facts->node_id)];
    p->facts = *facts;
    p->id = tx->id;
    p->seq = pool->seq++;
    p->len = tx->len;
    memcpy(p->bytes, tx->bytes, tx->len);
    p->next_by_node = *bucket;
    *bucket = p;
    ses_pool_id_add(pool, p);
    p->prev_duty = pool->last_duty;
    if (pool->last_duty == NULL) {
        pool->first_duty = p;
    } else {
        pool->last_duty->next_duty = p;
    }
    pool->last_duty = p;
    pool->duty_cnt++;
    pool->duty_bytes += p->len;
    return SES_OK;
}

void ses_duty_pool_drop(struct ses_mempool *pool, struct ses_pool_tx *tx)
{
    struct ses_pool_tx **at = &pool->by_node[node_bucket(&tx->facts.node_id)];
    while (*at != tx) {
        at = &(*at)->next_by_node;
    }
    *at = tx->next_by_node;
    *(tx->prev_duty == NULL ? &pool->first_duty : &tx->prev_duty->next_duty) = tx->next_duty;
    *(tx->next_duty == NULL ? &pool->last_duty : &tx->next_duty->prev_duty) = tx->prev_duty;
    ses_pool_id_remove(pool, tx);
    pool->duty_cnt--;
    pool->duty_bytes -= tx->len;
    ses_free(tx);
}
