/* The mempool: runs of nonces, bounds, order of building, eviction, re-checks. */
#include "vm/test_chain.h"

#define PEOPLE 6u
static struct person people[PEOPLE];
static struct tx_bytes tx;
static char *genesis;
static char *small_genesis; /* blocks of at most nine transfers */

static const char *const quick = "{\"epochSeconds\": 100, \"settleSeconds\": 20, "
                                 "\"freezeSeconds\": 10, \"unbondEpochs\": 1}";
static const char *const small = "{\"blockMaxBytes\": 33000}";

static void fresh(struct chain *c, const char *text)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        people[i].nonce = 0;
        people[i].shown = false;
    }
    chain_new(c, text);
}

static uint32_t pending(const struct chain *c)
{
    struct ses_mempool_info info;
    ses_vm_mempool(c->vm, &info);
    TAP_EQ(info.tx_cnt == 0, info.bytes == 0);
    return info.tx_cnt;
}

/* A transfer of one nLUX with a fee of its own. */
static enum ses_err offer(struct chain *c, struct person *from, uint64_t nonce, uint64_t fee,
                          struct ses_hash *id)
{
    const struct ses_tx t = {
        .type = SES_TX_TRANSFER,
        .body.transfer = {.to = people[0].account, .amount = 1, .nonce = nonce, .fee = fee}};
    struct ses_note note = {{0}};
    sign_tx(&tx, c, &t, SES_AUTH_FIRST, from, NULL, tap_random());
    const enum ses_err err = ses_vm_submit(c->vm, tx.bytes, tx.len, id, &note);
    TAP_OK(err == SES_OK || note.text[0] != 0);
    return err;
}

static void test_runs(void)
{
    struct chain c;
    struct ses_hash id;
    struct ses_vm_account a;
    fresh(&c, genesis);
    TAP_ERR(SES_ERR_NONCE, offer(&c, &people[1], 2, FEE, &id));
    for (uint64_t n = 1; n <= SES_VM_ACCOUNT_PENDING_MAX; n++) {
        TAP_ERR(SES_OK, offer(&c, &people[1], n, FEE, &id));
    }
    TAP_ERR(SES_ERR_FULL, offer(&c, &people[1], SES_VM_ACCOUNT_PENDING_MAX + 1, FEE, &id));
    TAP_ERR(SES_ERR_NONCE, offer(&c, &people[1], 3, 2 * FEE, &id)); /* no replacement */
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[1].account, &a));
    TAP_EQ(0, a.nonce);
    TAP_EQ(SES_VM_ACCOUNT_PENDING_MAX, a.pending_nonce);
    TAP_EQ(SES_VM_ACCOUNT_PENDING_MAX, pending(&c));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_EQ(0, pending(&c));
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[1].account, &a));
    TAP_EQ(SES_VM_ACCOUNT_PENDING_MAX, a.nonce);
    TAP_EQ(RICH - SES_VM_ACCOUNT_PENDING_MAX * (FEE + 1), a.balance);
    chain_free(&c);
}

/* What is pending counts against the balance. */
static void test_reserved(void)
{
    struct chain c;
    struct ses_hash id;
    fresh(&c, genesis);
    TAP_ERR(SES_OK, offer(&c, &people[1], 1, RICH - FEE, &id));
    TAP_ERR(SES_ERR_FUNDS, offer(&c, &people[1], 2, FEE, &id));
    chain_free(&c);
}

static uint64_t fee_of(const struct ses_buf *block, struct ses_reader *r, bool first)
{
    struct ses_tx t;
    size_t len = 0;
    if (first) {
        ses_reader_init(r, block->bytes + SES_BLOCK_HEADER_BYTES,
                        block->len - SES_BLOCK_HEADER_BYTES);
    }
    const uint8_t *at = ses_block_next_tx(r, &len);
    TAP_MUST(at != NULL && ses_tx_decode(&t, at, len) == SES_OK);
    return t.body.transfer.fee;
}

/* By fee, but never a later nonce of an account before an earlier one. */
static void test_order(void)
{
    static const uint64_t want[] = {6, 5, 4, 2, 9, 3};
    struct chain c;
    struct ses_hash id;
    struct ses_buf block = {0};
    struct ses_reader r;
    fresh(&c, genesis);
    TAP_ERR(SES_OK, offer(&c, &people[1], 1, 2 * FEE, &id));
    TAP_ERR(SES_OK, offer(&c, &people[1], 2, 9 * FEE, &id));
    TAP_ERR(SES_OK, offer(&c, &people[2], 1, 5 * FEE, &id));
    TAP_ERR(SES_OK, offer(&c, &people[2], 2, 4 * FEE, &id));
    TAP_ERR(SES_OK, offer(&c, &people[3], 1, 6 * FEE, &id));
    TAP_ERR(SES_OK, offer(&c, &people[1], 3, 3 * FEE, &id));
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &id));
    TAP_ERR(SES_OK, ses_vm_block(c.vm, &id, &block));
    for (size_t i = 0; i < SES_COUNT(want); i++) {
        TAP_EQ(want[i] * FEE, fee_of(&block, &r, i == 0));
    }
    ses_buf_free(&block);
    chain_free(&c);
}

static void test_block_size(void)
{
    struct chain c;
    struct ses_hash id;
    fresh(&c, small_genesis);
    for (uint64_t n = 1; n <= 20; n++) {
        TAP_ERR(SES_OK, offer(&c, &people[1], n, FEE, &id));
    }
    for (uint32_t left = 20; left > 0;) {
        struct ses_buf block = {0};
        TAP_MUST(chain_step(&c, &id) == SES_OK);
        TAP_ERR(SES_OK, ses_vm_block(c.vm, &id, &block));
        TAP_OK(block.len <= 33000);
        TAP_OK(pending(&c) == 0 || block.len + 5400 > 33000); /* as full as it can be */
        TAP_MUST(pending(&c) < left);
        left = pending(&c);
        ses_buf_free(&block);
    }
    chain_free(&c);
}

/* A pending decommission makes a pending second one of the same node fail: it is evicted with what
 * follows it in its run. */
static void test_eviction(void)
{
    struct chain c;
    struct ses_hash id;
    struct ses_vm_account a;
    fresh(&c, genesis);
    make_decommission(&tx, &c, &people[0], &people[0].node_id, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    make_decommission(&tx, &c, &people[0], &people[0].node_id, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx)); /* holds against the accepted state */
    make_transfer(&tx, &c, &people[0], &people[1].account, LUX, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_EQ(3, pending(&c));
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &id));
    TAP_EQ(1, pending(&c));
    TAP_ERR(SES_OK, ses_vm_accept(c.vm, &id));
    TAP_EQ(0, pending(&c));
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[0].account, &a));
    TAP_EQ(1, a.pending_nonce);
    chain_free(&c);
}

/* A block from elsewhere with the same nonces: the pending ones are gone or re-checked. */
static void test_recheck(void)
{
    struct chain c;
    struct chain other;
    struct ses_hash id;
    fresh(&c, genesis);
    fresh(&other, genesis);
    /* elsewhere people[1] spends nearly everything with nonce 1 */
    const struct ses_tx spend = {
        .type = SES_TX_TRANSFER,
        .body.transfer = {
            .to = people[2].account, .amount = RICH - 3 * FEE, .nonce = 1, .fee = FEE}};
    sign_tx(&tx, &other, &spend, SES_AUTH_FIRST, &people[1], NULL, tap_random());
    TAP_ERR(SES_OK, submit(&other, &tx));
    TAP_ERR(SES_OK, chain_step(&other, &id));
    struct ses_hash ignored;
    TAP_ERR(SES_OK, offer(&c, &people[1], 1, FEE, &ignored));
    TAP_ERR(SES_OK, offer(&c, &people[1], 2, FEE, &ignored));
    TAP_ERR(SES_OK, offer(&c, &people[1], 3, 2 * FEE, &ignored)); /* too much after the block */
    TAP_ERR(SES_OK, offer(&c, &people[3], 1, FEE, &ignored));
    TAP_ERR(SES_OK, chain_follow(&c, &other, &id));
    TAP_EQ(2, pending(&c)); /* nonce 2 of people[1], and people[3]'s */
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_EQ(0, pending(&c));
    TAP_EQ(PEOPLE * RICH + STAKE, supply_of(&c, people, PEOPLE));
    chain_free(&other);
    chain_free(&c);
}

static void test_registrations(void)
{
    struct chain c;
    fresh(&c, genesis);
    make_register(&tx, &c, &people[1], &people[2], STAKE, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    make_register(&tx, &c, &people[3], &people[2], STAKE, tap_random());
    TAP_ERR(SES_ERR_EXISTS, submit(&c, &tx)); /* one pending registration a node */
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_ERR(SES_ERR_REGISTERED, submit(&c, &tx));
    chain_free(&c);
}

/* When all places are taken the door says what fee would do. */
static void test_full(void)
{
    struct chain c;
    struct ses_hash id;
    struct ses_note note = {{0}};
    fresh(&c, genesis);
    TAP_ERR(SES_OK, offer(&c, &people[1], 1, 3 * FEE, &id));
    c.vm->pool.tx_cnt += SES_VM_MEMPOOL_TXS_MAX - 1; /* as if others had the rest */
    TAP_ERR(SES_ERR_FULL, offer(&c, &people[2], 1, FEE, &id));
    TAP_ERR(SES_ERR_TRUNCATED, ses_vm_submit(c.vm, tx.bytes, 0, &id, &note));
    TAP_ERR(SES_OK, offer(&c, &people[3], 1, 4 * FEE, &id)); /* in the place of the cheapest */
    c.vm->pool.tx_cnt -= SES_VM_MEMPOOL_TXS_MAX - 1;
    TAP_EQ(1, pending(&c));
    chain_free(&c);
}

/* Structure only, without a chain: bounds and who makes room for whom. */
static enum ses_err put(struct ses_mempool *pool, uint32_t account, uint64_t nonce, uint64_t fee,
                        size_t len, uint64_t *least)
{
    static uint8_t bytes[SES_TX_BYTES_MAX];
    static uint32_t serial;
    struct ses_tx t = {.bytes = bytes, .len = len};
    struct ses_tx_facts facts = {.type = SES_TX_TRANSFER, .nonce = nonce, .fee = fee};
    ses_put_u32(facts.payer.bytes, account);
    ses_put_u32(t.id.bytes, ++serial);
    SES_TRY(ses_pool_make_room(pool, &facts.payer, len, fee, least));
    return ses_pool_add(pool, &t, &facts, fee);
}

static void test_bounds(void)
{
    struct ses_mempool *pool = ses_alloc(1, sizeof(*pool));
    uint64_t least = 0;
    TAP_MUST(pool != NULL);
    for (uint32_t i = 0; i < SES_VM_MEMPOOL_TXS_MAX; i++) {
        TAP_MUST(put(pool, i / 4, 1 + i % 4, 100 + i, 10, &least) == SES_OK);
    }
    TAP_ERR(SES_ERR_FULL, put(pool, 1u << 20, 1, 103, 10, &least));
    TAP_EQ(104, least); /* the end of the first account's run pays 103 */
    TAP_ERR(SES_OK, put(pool, 1u << 20, 1, 104, 10, &least));
    TAP_EQ(SES_VM_MEMPOOL_TXS_MAX, pool->tx_cnt);
    struct ses_account first = {{0}};
    TAP_EQ(3, ses_pool_account(pool, &first)->tx_cnt);
    /* 30,000 bytes a piece: the bytes run out before the number does */
    ses_pool_free(pool);
    TAP_EQ(0, pool->tx_cnt);
    TAP_EQ(0, pool->bytes);
    uint32_t taken = 0;
    while (put(pool, taken, 1, 5, 30000, &least) == SES_OK) {
        taken++;
    }
    TAP_EQ(SES_VM_MEMPOOL_BYTES_MAX / 30000, taken);
    ses_pool_free(pool);
    ses_free(pool);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        person_init(&people[i], tap_random());
    }
    genesis = genesis_text(genesis_json(people, PEOPLE, 1, quick));
    small_genesis = genesis_text(genesis_json(people, PEOPLE, 1, small));
    TAP_RUN(test_runs);
    TAP_RUN(test_reserved);
    TAP_RUN(test_order);
    TAP_RUN(test_block_size);
    TAP_RUN(test_eviction);
    TAP_RUN(test_recheck);
    TAP_RUN(test_registrations);
    TAP_RUN(test_full);
    TAP_RUN(test_bounds);
    free(genesis);
    free(small_genesis);
    people_free(people, PEOPLE);
    return tap_done();
}
