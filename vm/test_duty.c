/* Transactions 5, 7, 8 and 9: each way to break their rules, at the mempool's door and in a block;
 * what they oblige to; and how they wait. */
#include "vm/test_duty_net.h"

/* ---- type 5 ---- */

static void test_commitment(void)
{
    struct chain c;
    struct ses_committed got;
    fresh(&c);
    struct ses_tx t = commitment(&c, 0);
    t.body.commitment.epoch = 1;
    refuse(&c, SES_ERR_EPOCH, &t, 0);
    t = commitment(&c, 0);
    t.body.commitment.swarm = 1;
    refuse(&c, SES_ERR_SEAT, &t, 0);
    t = commitment(&c, 0);
    memset(t.body.commitment.next.bytes, 0, 32);
    refuse(&c, SES_ERR_INVALID, &t, 0);
    t = commitment(&c, 0);
    t.body.commitment.node_id = people[NODES].node_id;
    refuse(&c, SES_ERR_NOT_FOUND, &t, NODES);
    t = commitment(&c, 0);
    accept(&c, &t, 0);
    TAP_ERR(SES_OK, ses_vm_commitment(c.vm, &people[0].node_id, 0, &got));
    TAP_BYTES(t.body.commitment.root.bytes, got.root.bytes, 32);
    TAP_OK(got.count == t.body.commitment.count && got.bytes == t.body.commitment.bytes);
    TAP_OK(got.num_swarms == 1 && got.swarm == 0 && got.epoch == 0);
    t.body.commitment.count++;
    refuse(&c, SES_ERR_EXISTS, &t, 0);
    TAP_BYTES(t.body.commitment.next.bytes, node_of(&c, &people[0]).next_commit.bytes, 32);
    go_to(&c, 1, 1);
    last_commit[0] = 0; /* the reveal of a node that has forgotten */
    t = commitment(&c, 0);
    refuse(&c, SES_ERR_CHECKSUM, &t, 0);
    last_commit[0] = 1;
    t = commitment(&c, 0);
    accept(&c, &t, 0);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_commitment(c.vm, &people[0].node_id, 2, &got));
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_commitment(c.vm, &people[1].node_id, 1, &got));
    chain_free(&c);
}

static void test_commitment_signatures(void)
{
    struct chain c;
    fresh(&c);
    const struct ses_tx t = commitment(&c, 0);
    sign(&c, &t, 0);
    tx.bytes[tx.len - 1] ^= 1;
    refused(&c, SES_ERR_SIGNATURE, &tx);
    sign_tx(&tx, &c, &t, SES_AUTH_NODE, &people[1], NULL, tap_random());
    TAP_ERR(SES_ERR_MALFORMED, submit(&c, &tx)); /* the signer is not the node of the body */
    memcpy(tx.bytes + tx.len - SES_DSA_SIG_BYTES - 20, people[0].node_id.bytes, 20);
    refused(&c, SES_ERR_SIGNATURE, &tx);
    sign_tx(&tx, &c, &t, SES_AUTH_KNOWN, &people[0], NULL, tap_random());
    TAP_ERR(SES_ERR_MALFORMED, submit(&c, &tx)); /* an account cannot commit */
    chain_free(&c);
}

/* They are kept for three epochs. */
static void test_commitments_kept(void)
{
    struct chain c;
    struct ses_committed got;
    fresh(&c);
    for (uint64_t e = 0; e < 4; e++) {
        commits(&c, 2);
        go_to(&c, e, 10);
        go_to(&c, e + 1, 0);
    }
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_commitment(c.vm, &people[2].node_id, 1, &got));
    TAP_ERR(SES_OK, ses_vm_commitment(c.vm, &people[2].node_id, 2, &got));
    TAP_ERR(SES_OK, ses_vm_commitment(c.vm, &people[2].node_id, 3, &got));
    TAP_EQ(3, got.epoch);
    struct ses_buf value = {0};
    struct ses_buf proof = {0};
    bool present = false;
    const struct ses_state_key key =
        ses_state_key_slot(SES_STATE_COMMITMENT, people[2].node_id.bytes, 3 % 3);
    TAP_ERR(SES_OK, ses_vm_proof(c.vm, key.bytes, key.len, &present, &value, &proof));
    TAP_OK(present && value.len == SES_COMMITTED_BYTES && ses_get_u64(value.bytes) == 3);
    ses_buf_free(&value);
    ses_buf_free(&proof);
    chain_restart(&c);
    TAP_ERR(SES_OK, ses_vm_commitment(c.vm, &people[2].node_id, 3, &got));
    chain_free(&c);
}

/* ---- type 7 ---- */

static bool keys_of_row(void *cookie, const struct ses_map_node *node)
{
    struct ses_map_node *want = cookie;
    if (memcmp(want->row.node_id.bytes, node->row.node_id.bytes, 20) == 0) {
        *want = *node;
    }
    return true;
}

static void listed(const struct chain *c, const struct ses_kem_pk *now,
                   const struct ses_kem_pk *prev)
{
    struct ses_map_node row = {.row.node_id = people[0].node_id};
    TAP_ERR(SES_OK, ses_vm_registry(c->vm, UINT64_MAX, keys_of_row, &row));
    TAP_BYTES(now->bytes, row.keys.encryption_key.bytes, SES_KEM_PK_BYTES);
    TAP_EQ(prev != NULL, row.keys.has_prev_encryption_key);
    TAP_OK(prev == NULL ||
           memcmp(prev->bytes, row.keys.prev_encryption_key.bytes, SES_KEM_PK_BYTES) == 0);
}

static void test_rotation(void)
{
    struct chain c;
    fresh(&c);
    struct ses_tx t = {.type = SES_TX_ROTATE_KEY,
                       .body.rotate_key = {.node_id = people[0].node_id,
                                           .encryption_key = people[1].kem,
                                           .key_epoch = 1}};
    refuse(&c, SES_ERR_EPOCH, &t, 0);
    t.body.rotate_key.key_epoch = 0;
    memset(t.body.rotate_key.encryption_key.bytes, 0xFF, 3); /* 4095 is no residue of 3329 */
    refuse(&c, SES_ERR_MALFORMED, &t, 0);
    t.body.rotate_key.encryption_key = people[1].kem;
    accept(&c, &t, 0);
    listed(&c, &people[0].kem, NULL); /* effective in the next epoch */
    t.body.rotate_key.encryption_key = people[2].kem;
    refuse(&c, SES_ERR_EXISTS, &t, 0);
    go_to(&c, 1, 0);
    listed(&c, &people[1].kem, &people[0].kem);
    t.body.rotate_key.key_epoch = 1;
    accept(&c, &t, 0);
    go_to(&c, 2, 0);
    listed(&c, &people[2].kem, &people[1].kem);
    chain_restart(&c);
    go_to(&c, 3, 0);
    listed(&c, &people[2].kem, NULL);
    go_to(&c, 4, 0);
    listed(&c, &people[2].kem, NULL);
    chain_free(&c);
}

/* ---- type 8 ---- */

static void test_endpoint(void)
{
    struct chain c;
    fresh(&c);
    c.now_s = GENESIS_TIME + 5;
    struct ses_tx t = {.type = SES_TX_ENDPOINT,
                       .body.endpoint = {.node_id = people[0].node_id,
                                         .sequence = GENESIS_TIME - 1,
                                         .endpoint = {.addr_cnt = 1, .addrs = {{3, {4, 9, 9}}}}}};
    refuse(&c, SES_ERR_CLOCK, &t, 0); /* before it registered */
    t.body.endpoint.sequence = GENESIS_TIME + 6;
    refuse(&c, SES_ERR_CLOCK, &t, 0); /* not yet */
    t.body.endpoint.sequence = GENESIS_TIME + 5;
    accept(&c, &t, 0);
    struct ses_map_node row = {.row.node_id = people[0].node_id};
    TAP_ERR(SES_OK, ses_vm_registry(c.vm, UINT64_MAX, keys_of_row, &row));
    TAP_OK(row.endpoint.addrs[0].len == 8);
    c.now_s += 10;
    t.body.endpoint.sequence = GENESIS_TIME + 10;
    refuse(&c, SES_ERR_EXISTS, &t, 0);
    go_to(&c, 1, 0);
    TAP_ERR(SES_OK, ses_vm_registry(c.vm, UINT64_MAX, keys_of_row, &row));
    TAP_OK(row.endpoint.addrs[0].len == 3 && row.endpoint.addrs[0].bytes[1] == 9);
    t.body.endpoint.sequence = GENESIS_TIME + 5;
    refuse(&c, SES_ERR_CLOCK, &t, 0); /* the same again */
    t.body.endpoint.sequence = GENESIS_TIME + 10;
    accept(&c, &t, 0);
    chain_free(&c);
}

/* ---- type 9 ---- */

/* Receipt of node i for record r, as its seat is now. */
static struct ses_receipt receipt_of(const struct chain *c, size_t i, uint32_t r)
{
    const struct kept_record *record = &keep.records[r];
    const struct ses_node node = node_of(c, &people[i]);
    const struct ses_receipt_leaf leaf = {.id = record->ids.id,
                                          .digest = record->ids.digest,
                                          .segment = record->ids.segment,
                                          .swarm = node.swarm,
                                          .swarm_from_epoch = node.swarm_from_epoch};
    struct ses_receipt receipt;
    struct ses_hash chain_id;
    ses_vm_chain_id(c->vm, &chain_id);
    TAP_MUST(ses_receipts_sign(&receipt, &leaf, 1, &chain_id, &people[i].node_id, people[i].key,
                               tap_random()) == SES_OK);
    return receipt;
}

static struct ses_receipt signed_leaf(const struct chain *c, size_t i,
                                      const struct ses_receipt_leaf *leaf)
{
    struct ses_receipt receipt;
    struct ses_hash chain_id;
    ses_vm_chain_id(c->vm, &chain_id);
    TAP_MUST(ses_receipts_sign(&receipt, leaf, 1, &chain_id, &people[i].node_id, people[i].key,
                               tap_random()) == SES_OK);
    return receipt;
}

static void demand(struct chain *c, enum ses_err want, const struct ses_receipt *receipt)
{
    struct person *by = &people[NODES];
    const bool shown = by->shown;
    const struct ses_tx t = {
        .type = SES_TX_DEMAND,
        .body.demand = {.receipt = *receipt, .nonce = by->nonce + 1, .fee = FEE}};
    sign_tx(&tx, c, &t, kind_of(by), by, NULL, tap_random());
    if (want != SES_OK) {
        by->shown = shown;
        refused(c, want, &tx);
        return;
    }
    by->nonce++;
    TAP_ERR(SES_OK, submit(c, &tx));
    TAP_ERR(SES_OK, chain_step(c, NULL));
}

static void test_demand_refusals(void)
{
    struct chain c;
    fresh(&c);
    const struct ses_receipt ok = receipt_of(&c, 0, 0);
    struct ses_receipt bad = ok;
    bad.signature.bytes[0] ^= 1;
    demand(&c, SES_ERR_SIGNATURE, &bad);
    bad = ok;
    bad.node_id = people[1].node_id; /* who did not sign it */
    demand(&c, SES_ERR_SIGNATURE, &bad);
    bad = ok;
    bad.node_id = people[NODES].node_id;
    demand(&c, SES_ERR_NOT_FOUND, &bad);
    struct ses_receipt_leaf leaf = ok.leaf;
    leaf.swarm = 1;
    bad = signed_leaf(&c, 0, &leaf);
    demand(&c, SES_ERR_SEAT, &bad);
    leaf = ok.leaf;
    leaf.swarm_from_epoch = 1;
    bad = signed_leaf(&c, 0, &leaf);
    demand(&c, SES_ERR_SEAT, &bad);
    leaf = ok.leaf;
    leaf.admit_epoch = 1;
    bad = signed_leaf(&c, 0, &leaf);
    demand(&c, SES_ERR_EPOCH, &bad);
    leaf = ok.leaf;
    leaf.segment = (struct ses_segment){.ttl_class = 0, .hour = GENESIS_TIME / 3600 - 2};
    bad = signed_leaf(&c, 0, &leaf); /* gone before T_2 */
    demand(&c, SES_ERR_EPOCH, &bad);
    demand(&c, SES_OK, &ok);
    demand(&c, SES_ERR_EXISTS, &ok);
    bad = receipt_of(&c, 0, 1);
    demand(&c, SES_OK, &bad);
    bad = receipt_of(&c, 0, 2);
    demand(&c, SES_ERR_FULL, &bad);
    bad = receipt_of(&c, 1, 2);
    demand(&c, SES_OK, &bad); /* of another node */
    struct ses_duty duty;
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[0].node_id, &duty));
    TAP_EQ(2, duty.demanded_cnt);
    TAP_BYTES(keep.records[0].leaf.key.bytes, duty.demanded[0].key.bytes, SES_LEAF_KEY_BYTES);
    TAP_EQ((NODES + 1) * RICH + NODES * STAKE, supply_of(&c, people, NODES + 1));
    chain_free(&c);
}

static void test_demand_of_another_swarm(void)
{
    struct chain c;
    fresh_of(&c, two_swarms);
    (void)held(&c, 0);
    const uint32_t swarm = node_of(&c, &people[0]).swarm;
    uint32_t r = 0;
    while (ses_swarm_of(&keep.records[r].ids.digest, 2) == swarm) {
        r++;
    }
    const struct ses_receipt wrong = receipt_of(&c, 0, r);
    demand(&c, SES_ERR_WRONG_SWARM, &wrong);
    chain_free(&c);
}

/* What is demanded in an epoch is owed in the next one, behind the audit. */
static void test_demand_is_owed(void)
{
    struct chain c;
    struct ses_duty duty;
    third_epoch(&c, genesis);
    for (size_t i = 0; i < NODES; i++) {
        commits(&c, i);
    }
    go_to(&c, 3, 5);
    const struct ses_receipt a = receipt_of(&c, 0, 5);
    const struct ses_receipt b = receipt_of(&c, 0, 10); /* a deleted one: its leaf alone */
    demand(&c, SES_OK, &a);
    demand(&c, SES_OK, &b);
    go_to(&c, 3, 90);
    go_to(&c, 4, 0);
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[0].node_id, &duty));
    TAP_MUST(duty.owed_cnt == 4 || duty.owed_cnt == 3);
    TAP_EQ(SES_OWED_DEMAND, duty.owed[duty.owed_cnt - 1].kind);
    TAP_EQ(0, duty.demanded_cnt);
    answer_of(&answer, &c, &keep, held(&c, 0), &people[0]);
    struct ses_tx_response *m = &answer.tx.body.response;
    TAP_OK(m->openings[m->opening_cnt - 1].leaf_only && m->opening_cnt == duty.owed_cnt);
    accept(&c, &answer.tx, 0);
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[0].node_id, &duty));
    TAP_EQ((1u << duty.owed_cnt) - 1, duty.shown);
    chain_free(&c);
}

/* ---- the mempool of nodes ---- */

static void test_pending(void)
{
    struct chain c;
    struct ses_mempool_info info;
    struct ses_hash ids[8];
    fresh(&c);
    struct ses_tx t = commitment(&c, 0);
    sign(&c, &t, 0);
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_ERR_EXISTS, submit(&c, &tx));
    t.body.commitment.count++;
    sign(&c, &t, 0);
    TAP_ERR(SES_ERR_EXISTS, submit(&c, &tx)); /* one of a type for a node */
    answer_of(&answer, &c, &keep, NULL, &people[0]);
    sign(&c, &answer.tx, 0);
    TAP_ERR(SES_OK, submit(&c, &tx));
    ses_vm_mempool(c.vm, &info);
    TAP_EQ(2, info.tx_cnt);
    TAP_EQ(2, ses_vm_mempool_ids(c.vm, ids, 8));
    uint64_t next = 0;
    TAP_OK(ses_vm_wants_block(c.vm, &next));
    /* those of an epoch that is over go */
    go_to(&c, 1, 0);
    ses_vm_mempool(c.vm, &info);
    TAP_EQ(0, info.tx_cnt);
    struct ses_committed got;
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_commitment(c.vm, &people[0].node_id, 0, &got));
    /* an undecided ancestor has it: it waits, and goes with the decision */
    t = commitment(&c, 1);
    sign(&c, &t, 1);
    TAP_ERR(SES_OK, submit(&c, &tx));
    struct ses_hash first;
    struct ses_hash second;
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &first));
    TAP_ERR(SES_OK, ses_vm_set_preference(c.vm, &first));
    TAP_ERR(SES_ERR_AGAIN, ses_vm_build(c.vm, &second));
    TAP_OK(!ses_vm_wants_block(c.vm, &next));
    TAP_ERR(SES_OK, ses_vm_accept(c.vm, &first));
    ses_vm_mempool(c.vm, &info);
    TAP_EQ(0, info.tx_cnt);
    TAP_ERR(SES_OK, ses_vm_commitment(c.vm, &people[1].node_id, 1, &got));
    chain_free(&c);
}

/* Duties stand before what is paid for, in the order of their arrival. */
static void test_duties_first(void)
{
    struct chain c;
    struct ses_hash id;
    struct ses_buf bytes = {0};
    struct ses_reader r;
    fresh(&c);
    make_transfer(&tx, &c, &people[1], &people[2].account, LUX, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    commits(&c, 3);
    commits(&c, 2);
    TAP_ERR(SES_OK, chain_step(&c, &id));
    TAP_ERR(SES_OK, ses_vm_block(c.vm, &id, &bytes));
    ses_reader_init(&r, bytes.bytes + SES_BLOCK_HEADER_BYTES, bytes.len - SES_BLOCK_HEADER_BYTES);
    static const enum ses_tx_type want[] = {SES_TX_COMMITMENT, SES_TX_COMMITMENT, SES_TX_TRANSFER};
    for (size_t i = 0; i < SES_COUNT(want); i++) {
        size_t len = 0;
        struct ses_tx got;
        const uint8_t *at = ses_block_next_tx(&r, &len);
        TAP_MUST(at != NULL && ses_tx_decode(&got, at, len) == SES_OK);
        TAP_EQ(want[i], got.type);
        TAP_OK(i > 0 ||
               memcmp(got.body.commitment.node_id.bytes, people[3].node_id.bytes, 20) == 0);
    }
    ses_buf_free(&bytes);
    chain_free(&c);
}

int main(void)
{
    net_init();
    TAP_RUN(test_commitment);
    TAP_RUN(test_commitment_signatures);
    TAP_RUN(test_commitments_kept);
    TAP_RUN(test_rotation);
    TAP_RUN(test_endpoint);
    TAP_RUN(test_demand_refusals);
    TAP_RUN(test_demand_of_another_swarm);
    TAP_RUN(test_demand_is_owed);
    TAP_RUN(test_pending);
    TAP_RUN(test_duties_first);
    net_free();
    return tap_done();
}
