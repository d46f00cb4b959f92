/* Pending transactions: by id, and by account as a contiguous run of nonces. */
#include "vm/vm_internal.h"

static uint32_t id_bucket(const struct ses_hash *id)
{
    return ses_get_u32(id->bytes) % SES_POOL_BUCKETS;
}

static uint32_t account_bucket(const struct ses_account *account)
{
    return ses_get_u32(account->bytes) % SES_POOL_BUCKETS;
}

struct ses_pool_tx *ses_pool_find(const struct ses_mempool *pool, const struct ses_hash *id)
{
    struct ses_pool_tx *tx = pool->by_id[id_bucket(id)];
    while (tx != NULL && memcmp(tx->id.bytes, id->bytes, sizeof(id->bytes)) != 0) {
        tx = tx->next_by_id;
    }
    return tx;
}

struct ses_pool_account *ses_pool_account(const struct ses_mempool *pool,
                                          const struct ses_account *account)
{
    struct ses_pool_account *a = pool->by_account[account_bucket(account)];
    while (a != NULL && memcmp(a->account.bytes, account->bytes, sizeof(account->bytes)) != 0) {
        a = a->next_by_key;
    }
    return a;
}

static struct ses_pool_account *account_new(struct ses_mempool *pool,
                                            const struct ses_account *account)
{
    struct ses_pool_account *a = ses_alloc(1, sizeof(*a));
    if (a == NULL) {
        return NULL;
    }
    struct ses_pool_account **bucket = &pool->by_account[account_bucket(account)];
    SES_ASSERT(pool->account_cnt < SES_VM_MEMPOOL_TXS_MAX);
    a->account = *account;
    a->next_by_key = *bucket;
    *bucket = a;
    a->at = pool->account_cnt;
    pool->accounts[pool->account_cnt++] = a;
    return a;
}

static void account_free(struct ses_mempool *pool, struct ses_pool_account *a)
{
    struct ses_pool_account **at = &pool->by_account[account_bucket(&a->account)];
    while (*at != a) {
        at = &(*at)->next_by_key;
    }
    *at = a->next_by_key;
    pool->accounts[a->at] = pool->accounts[--pool->account_cnt];
    pool->accounts[a->at]->at = a->at;
    ses_free(a);
}

void ses_pool_id_add(struct ses_mempool *pool, struct ses_pool_tx *tx)
{
    struct ses_pool_tx **bucket = &pool->by_id[id_bucket(&tx->id)];
    tx->next_by_id = *bucket;
    *bucket = tx;
}

void ses_pool_id_remove(struct ses_mempool *pool, struct ses_pool_tx *tx)
{
    struct ses_pool_tx **at = &pool->by_id[id_bucket(&tx->id)];
    while (*at != tx) {
        at = &(*at)->next_by_id;
    }
    *at = tx->next_by_id;
}

/* `tx` is out of its account's run already. */
static void tx_free(struct ses_mempool *pool, struct ses_pool_tx *tx)
{
    ses_pool_id_remove(pool, tx);
    tx->account->tx_cnt--;
    tx->account->cost -= tx->cost;
    pool->tx_cnt--;
    pool->bytes -= tx->len;
    ses_free(tx);
}

enum ses_err ses_pool_add(struct ses_mempool *pool, const struct ses_tx *tx,
                          const struct ses_tx_facts *facts, uint64_t cost)
{
    SES_REQUIRE(pool->tx_cnt < SES_VM_MEMPOOL_TXS_MAX, SES_ERR_FULL);
    struct ses_pool_tx *p = ses_alloc(1, sizeof(*p) + tx->len);
    SES_REQUIRE(p != NULL, SES_ERR_MEMORY);
    struct ses_pool_account *a = ses_pool_account(pool, &facts->payer);
    a = a == NULL ? account_new(pool, &facts->payer) : a;
    if (a == NULL) {
        ses_free(p);
        return SES_ERR_MEMORY;
    }
    p->facts = *facts;
    p->id = tx->id;
    p->account = a;
    p->seq = pool->seq++;
    p->cost = cost;
    p->len = tx->len;
    memcpy(p->bytes, tx->bytes, tx->len);
    ses_pool_id_add(pool, p);
    if (a->last == NULL) {
        a->first = p;
    } else {
        SES_ASSERT(a->last->facts.nonce + 1 == facts->nonce);
        a->last->next_nonce = p;
    }
    a->last = p;
    a->tx_cnt++;
    a->cost += cost;
    pool->tx_cnt++;
    pool->bytes += p->len;
    return SES_OK;
}

/* Pending transactions of a type that pays about a node. */
static uint32_t count_of(const struct ses_mempool *pool, enum ses_tx_type type,
                         const struct ses_node_id *node_id)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < pool->account_cnt; i++) {
        for (const struct ses_pool_tx *tx = pool->accounts[i]->first; tx != NULL;
             tx = tx->next_nonce) {
            cnt += tx->facts.type == type &&
                   memcmp(tx->facts.node_id.bytes, node_id->bytes, sizeof(node_id->bytes)) == 0;
        }
    }
    return cnt;
}

bool ses_pool_registers(const struct ses_mempool *pool, const struct ses_node_id *node_id)
{
    return count_of(pool, SES_TX_REGISTER, node_id) > 0;
}

uint32_t ses_pool_demands(const struct ses_mempool *pool, const struct ses_node_id *node_id)
{
    return count_of(pool, SES_TX_DEMAND, node_id);
}

void ses_pool_drop_from(struct ses_mempool *pool, struct ses_pool_tx *tx)
{
    struct ses_pool_account *a = tx->account;
    struct ses_pool_tx *last = NULL;
    for (struct ses_pool_tx *t = a->first; t != tx; t = t->next_nonce) {
        last = t;
    }
    a->last = last;
    if (last == NULL) {
        a->first = NULL;
    } else {
        last->next_nonce = NULL;
    }
    while (tx != NULL) {
        struct ses_pool_tx *next = tx->next_nonce;
        tx_free(pool, tx);
        tx = next;
    }
    if (a->first == NULL) {
        account_free(pool, a);
    }
}

void ses_pool_drop_first(struct ses_mempool *pool, struct ses_pool_account *account)
{
    struct ses_pool_tx *tx = account->first;
    account->first = tx->next_nonce;
    account->last = account->first == NULL ? NULL : account->last;
    tx_free(pool, tx);
    if (account->first == NULL) {
        account_free(pool, account);
    }
}

void ses_pool_free(struct ses_mempool *pool)
{
    while (pool->account_cnt > 0) {
        ses_pool_drop_from(pool, pool->accounts[0]->first);
    }
    while (pool->first_duty != NULL) {
        ses_duty_pool_drop(pool, pool->first_duty);
    }
}

/* The end of a run that pays least; not of `payer`, whose run is to grow. */
static struct ses_pool_tx *cheapest_end(const struct ses_mempool *pool,
                                        const struct ses_account *payer)
{
    struct ses_pool_tx *least = NULL;
    for (uint32_t i = 0; i < pool->account_cnt; i++) {
        struct ses_pool_account *a = pool->accounts[i];
        if (memcmp(a->account.bytes, payer->bytes, sizeof(payer->bytes)) != 0 &&
            (least == NULL || a->last->facts.fee < least->facts.fee)) {
            least = a->last;
        }
    }
    return least;
}

enum ses_err ses_pool_make_room(struct ses_mempool *pool, const struct ses_account *payer,
                                size_t bytes, uint64_t fee, uint64_t *least_fee)
{
    *least_fee = UINT64_MAX;
    while (pool->tx_cnt >= SES_VM_MEMPOOL_TXS_MAX ||
           pool->bytes + bytes > SES_VM_MEMPOOL_BYTES_MAX) {
        struct ses_pool_tx *least = cheapest_end(pool, payer);
        if (least == NULL || least->facts.fee >= fee) {
            *least_fee =
                least == NULL || least->facts.fee == UINT64_MAX ? UINT64_MAX : least->facts.fee + 1;
            return SES_ERR_FULL;
        }
        ses_pool_drop_from(pool, least);
    }
    return SES_OK;
}

/* ---- cursor: a heap of the heads of all runs ---- */

static bool dearer(const struct ses_pool_tx *a, const struct ses_pool_tx *b)
{
    return a->facts.fee != b->facts.fee ? a->facts.fee > b->facts.fee : a->seq < b->seq;
}

static void sift_down(struct ses_pool_tx **heap, uint32_t at, uint32_t cnt)
{
    struct ses_pool_tx *moving = heap[at];
    while (at < cnt / 2) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < cnt && dearer(heap[child + 1], heap[child])) {
            child++;
        }
        if (!dearer(heap[child], moving)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

enum ses_err ses_pool_cursor_init(struct ses_pool_cursor *c, const struct ses_mempool *pool)
{
    c->cnt = pool->account_cnt;
    c->heap = ses_alloc(c->cnt == 0 ? 1 : c->cnt, sizeof(struct ses_pool_tx *));
    SES_REQUIRE(c->heap != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < c->cnt; i++) {
        c->heap[i] = pool->accounts[i]->first;
    }
    for (uint32_t i = c->cnt / 2; i > 0; i--) {
        sift_down(c->heap, i - 1, c->cnt);
    }
    return SES_OK;
}

struct ses_pool_tx *ses_pool_cursor_take(struct ses_pool_cursor *c)
{
    if (c->cnt == 0) {
        return NULL;
    }
    struct ses_pool_tx *best = c->heap[0];
    c->heap[0] = c->heap[--c->cnt];
    if (c->cnt > 0) {
        sift_down(c->heap, 0, c->cnt);
    }
    return best;
}

void ses_pool_cursor_follow(struct ses_pool_cursor *c, struct ses_pool_tx *taken)
{
    if (taken->next_nonce == NULL) {
        return;
    }
    uint32_t at = c->cnt++; /* one was taken: there is room */
    while (at > 0 && dearer(taken->next_nonce, c->heap[(at - 1) / 2])) {
        c->heap[at] = c->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    c->heap[at] = taken->next_nonce;
}

void ses_pool_cursor_free(struct ses_pool_cursor *c)
{
    ses_free(c->heap);
    c->heap = NULL;
}
