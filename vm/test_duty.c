/* Transactions 5 to 9: each way to break their rules, at the mempool's door and in a block; and
 * what they oblige to. */
#include "vm/test_duty.h"

#define NODES 7u
#define EPOCH_S 100u
static struct person people[NODES + 1]; /* one each, and a stranger without a node */
static uint64_t last_commit[NODES];     /* epoch + 1; 0: none yet */
static struct tx_bytes tx;
static struct answer answer;
static struct keep keep;
static char *genesis;
static char *two_swarms;

static void fresh_of(struct chain *c, const char *text)
{
    for (size_t i = 0; i <= NODES; i++) {
        people[i].nonce = 0;
        people[i].shown = false;
    }
    memset(last_commit, 0, sizeof(last_commit));
    chain_new(c, text);
}

static void fresh(struct chain *c)
{
    fresh_of(c, genesis);
}

static struct ses_forest *held(const struct chain *c, size_t i)
{
    struct ses_epoch e;
    struct ses_buf buf = {0};
    struct ses_canonical_root roots[KEEP_SWARMS_MAX];
    struct ses_reader r;
    TAP_MUST(ses_vm_epoch(c->vm, UINT64_MAX, &buf) == SES_OK);
    ses_reader_init(&r, buf.bytes, buf.len);
    ses_epoch_read(&r, &e, roots, KEEP_SWARMS_MAX);
    TAP_MUST(ses_reader_done(&r) == SES_OK);
    ses_buf_free(&buf);
    keep_split(&keep, e.num_swarms);
    const uint32_t swarm = node_of(c, &people[i]).swarm;
    TAP_MUST(swarm < e.num_swarms);
    return keep.whole[swarm];
}

/* The same error at the door and in a block; the state stays as it was. A node that nobody knows has
 * no key to verify with: so says the block. */
static void refused(struct chain *c, enum ses_err want, const struct tx_bytes *bad)
{
    const struct tx_bytes *const list[] = {bad};
    struct ses_vm_head before;
    struct ses_vm_head after;
    ses_vm_head(c->vm, &before);
    TAP_ERR(want, submit(c, bad));
    TAP_ERR(want == SES_ERR_NOT_FOUND ? SES_ERR_SIGNATURE : want, judge(c, list, 1));
    ses_vm_head(c->vm, &after);
    TAP_BYTES(before.state_root.bytes, after.state_root.bytes, 32);
}

static void sign(const struct chain *c, const struct ses_tx *t, size_t node)
{
    sign_tx(&tx, c, t, SES_AUTH_NODE, &people[node], NULL, tap_random());
}

static void refuse(struct chain *c, enum ses_err want, const struct ses_tx *t, size_t node)
{
    sign(c, t, node);
    refused(c, want, &tx);
}

static void accept(struct chain *c, const struct ses_tx *t, size_t node)
{
    sign(c, t, node);
    TAP_ERR(SES_OK, submit(c, &tx));
    TAP_ERR(SES_OK, chain_step(c, NULL));
}

static void go_to(struct chain *c, uint64_t epoch, uint64_t second)
{
    c->now_s = GENESIS_TIME + EPOCH_S * epoch + second;
    const enum ses_err err = chain_step(c, NULL);
    TAP_OK(err == SES_OK || err == SES_ERR_AGAIN);
}

static struct ses_tx commitment(const struct chain *c, size_t i)
{
    return commitment_of(c, &people[i], held(c, i), last_commit[i]);
}

static void commits(struct chain *c, size_t i)
{
    const struct ses_tx t = commitment(c, i);
    sign(c, &t, i);
    TAP_ERR(SES_OK, submit(c, &tx));
    last_commit[i] = t.body.commitment.epoch + 1;
}

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

/* ---- type 6 ---- */

/* A chain in epoch 3, all of whose nodes have committed so far. */
static void third_epoch(struct chain *c, const char *text)
{
    fresh_of(c, text);
    for (uint64_t e = 0; e < 3; e++) {
        for (size_t i = 0; i < NODES; i++) {
            commits(c, i);
        }
        go_to(c, e, 30);
        for (size_t i = 0; i < NODES; i++) {
            answer_of(&answer, c, &keep, held(c, i), &people[i]);
            sign(c, &answer.tx, i);
            TAP_ERR(SES_OK, submit(c, &tx));
        }
        go_to(c, e, 60);
        go_to(c, e, 90);
        go_to(c, e + 1, 0);
    }
}

static struct ses_tx_response *good(const struct chain *c, size_t i)
{
    answer_of(&answer, c, &keep, held(c, i), &people[i]);
    TAP_MUST(answer.tx.body.response.opening_cnt == 2); /* the seed draws two positions */
    return &answer.tx.body.response;
}

static void refuse_answer(struct chain *c, enum ses_err want, size_t i)
{
    refuse(c, want, &answer.tx, i);
}

/* Index of an opening with a chunk, whichever was drawn. */
static uint8_t with_chunk(const struct ses_tx_response *m)
{
    for (uint8_t i = 0; i < m->opening_cnt; i++) {
        if (m->openings[i].chunk_len > 0) {
            return i;
        }
    }
    return UINT8_MAX;
}

/* A node whose draws include a chunk. */
static size_t chunky(const struct chain *c)
{
    for (size_t i = 0; i < NODES; i++) {
        if (with_chunk(good(c, i)) != UINT8_MAX) {
            return i;
        }
    }
    TAP_MUST(false);
    return 0;
}

static void test_response(void)
{
    struct chain c;
    struct ses_duty duty;
    third_epoch(&c, genesis);
    struct ses_tx_response *m = good(&c, 0);
    m->epoch = 2;
    m->opening_cnt = 0;
    m->proof_len = 0;
    refuse_answer(&c, SES_ERR_EPOCH, 0);
    m = good(&c, 0);
    m->verdict_cnt++;
    refuse_answer(&c, SES_ERR_MALFORMED, 0);
    m = good(&c, 0);
    m->verdicts[0] |= 0x80; /* there are six others */
    refuse_answer(&c, SES_ERR_MALFORMED, 0);
    (void)good(&c, 0);
    accept(&c, &answer.tx, 0);
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[0].node_id, &duty));
    TAP_OK(duty.responded && duty.shown == 3 && duty.owed_cnt == 2 && duty.has_root);
    TAP_EQ(c.now_s, node_of(&c, &people[0]).last_ping_at);
    answer.tx.body.response.free--;
    refuse_answer(&c, SES_ERR_EXISTS, 0);
    chain_free(&c);
}

/* Something is missing: the response is valid and says so. */
static void test_lacking_opening(void)
{
    struct chain c;
    struct ses_duty duty;
    third_epoch(&c, genesis);
    struct ses_tx_response *m = good(&c, 1);
    m->openings[0] = m->openings[1];
    m->opening_cnt = 1;
    accept(&c, &answer.tx, 1);
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[1].node_id, &duty));
    TAP_EQ(2, duty.shown);
    m = good(&c, 2);
    m->opening_cnt = 0;
    accept(&c, &answer.tx, 2);
    m = good(&c, 3);
    m->opening_cnt = 0;
    m->proof_len = 0;
    accept(&c, &answer.tx, 3);
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[3].node_id, &duty));
    TAP_OK(duty.responded && duty.shown == 0);
    chain_free(&c);
}

static void test_false_openings(void)
{
    struct chain c;
    third_epoch(&c, genesis);
    const size_t i = chunky(&c);
    struct ses_tx_response *m = good(&c, i);
    const uint8_t at = with_chunk(m);
    uint8_t chunk[SES_CHUNK_BYTES];
    memcpy(chunk, m->openings[at].chunk, m->openings[at].chunk_len);
    chunk[0] ^= 1;
    m->openings[at].chunk = chunk;
    refuse_answer(&c, SES_ERR_OPENING, i);
    m = good(&c, i);
    m->openings[at].header_hash.bytes[0] ^= 1;
    refuse_answer(&c, SES_ERR_OPENING, i);
    m = good(&c, i);
    m->openings[at].payload_root.bytes[31] ^= 1;
    refuse_answer(&c, SES_ERR_OPENING, i);
    m = good(&c, i);
    m->openings[at].chunk_len--;
    refuse_answer(&c, SES_ERR_OPENING, i);
    m = good(&c, i);
    m->openings[at].path_cnt++;
    refuse_answer(&c, SES_ERR_OPENING, i);
    m = good(&c, i);
    m->openings[at].leaf_only = true; /* it is no deleted record */
    refuse_answer(&c, SES_ERR_OPENING, i);
    m = good(&c, i);
    m->openings[1].index = 2; /* nobody asked for a third one */
    refuse_answer(&c, SES_ERR_OPENING, i);
    m = good(&c, i);
    const struct ses_opening first = m->openings[0]; /* each about the other's leaf */
    m->openings[0] = m->openings[1];
    m->openings[1] = first;
    m->openings[0].index = 0;
    m->openings[1].index = 1;
    refuse_answer(&c, SES_ERR_OPENING, i);
    chain_free(&c);
}

static void test_false_proofs(void)
{
    struct chain c;
    struct answer other = {0};
    third_epoch(&c, genesis);
    struct ses_tx_response *m = good(&c, 0);
    m->proof_len--;
    refuse_answer(&c, SES_ERR_OPENING, 0);
    m = good(&c, 0);
    answer.proof.bytes[m->proof_len / 2] ^= 1;
    refuse_answer(&c, SES_ERR_OPENING, 0);
    m = good(&c, 0);
    m->proof_len = 0; /* openings of nothing */
    refuse_answer(&c, SES_ERR_OPENING, 0);
    /* a proof of the same records that shows the leaves of another node's draw */
    answer_of(&other, &c, &keep, held(&c, 1), &people[1]);
    m = good(&c, 0);
    m->proof = other.proof.bytes;
    m->proof_len = (uint32_t)other.proof.len;
    refuse_answer(&c, SES_ERR_OPENING, 0);
    /* of fewer records than were committed to */
    struct ses_duty duty;
    TAP_MUST(ses_vm_duty(c.vm, &people[0].node_id, &duty) == SES_OK);
    m = good(&c, 0);
    answer.proof.len = 0;
    m->opening_cnt = 0;
    duty.owed_cnt = 1;
    duty.owed[0].position = 0;
    prove_owed(&answer, keep.lacking[0], &duty);
    refuse_answer(&c, SES_ERR_OPENING, 0);
    ses_buf_free(&other.proof);
    chain_free(&c);
}

/* A node without a root of the epoch before has nothing to prove with. */
static void test_no_root(void)
{
    struct chain c;
    third_epoch(&c, genesis);
    go_to(&c, 3, 90);
    (void)good(&c, 0);
    go_to(&c, 4, 0);
    struct ses_tx_response *m = &answer.tx.body.response;
    m->epoch = 4;
    refuse_answer(&c, SES_ERR_OPENING, 0);
    m->opening_cnt = 0;
    refuse_answer(&c, SES_ERR_OPENING, 0);
    m->proof_len = 0;
    accept(&c, &answer.tx, 0);
    chain_free(&c);
}

static void test_malformed_responses(void)
{
    struct chain c;
    struct ses_writer w;
    third_epoch(&c, genesis);
    struct ses_tx_response *m = good(&c, 0);
    m->openings[1].index = 0; /* the same twice */
    ses_writer_init(&w, tx.bytes, sizeof(tx.bytes));
    ses_tx_write_body(&w, &answer.tx);
    TAP_ERR(SES_ERR_INVALID, ses_writer_done(&w));
    m = good(&c, 0);
    sign(&c, &answer.tx, 0);
    struct ses_tx decoded;
    TAP_MUST(ses_tx_decode(&decoded, tx.bytes, tx.len) == SES_OK);
    /* the second opening begins with its index */
    for (size_t at = 0; at < decoded.signed_len; at++) {
        const uint8_t *o = tx.bytes + at;
        if (decoded.body.response.openings[1].chunk_len > 0 &&
            memcmp(o + 2, decoded.body.response.openings[1].header_hash.bytes, 32) == 0) {
            tx.bytes[at] = 0;
            TAP_ERR(SES_ERR_MALFORMED, submit(&c, &tx));
            tx.bytes[at] = SES_OWED_MAX;
            TAP_ERR(SES_ERR_MALFORMED, submit(&c, &tx));
            break;
        }
    }
    /* 16 KiB and a byte */
    static uint8_t big[SES_RESPONSE_TX_BYTES_MAX];
    m = good(&c, 0);
    m->proof = big;
    m->proof_len = sizeof(big) - 3000;
    m->opening_cnt = 0;
    ses_writer_init(&w, tx.bytes, sizeof(tx.bytes));
    ses_tx_write_body(&w, &answer.tx);
    ses_write_u8(&w, SES_AUTH_NODE);
    ses_write_bytes(&w, people[0].node_id.bytes, 20);
    memset(ses_write_space(&w, SES_DSA_SIG_BYTES), 0, SES_DSA_SIG_BYTES);
    tx.len = w.len;
    TAP_OK(tx.len > SES_RESPONSE_TX_BYTES_MAX && w.err == SES_OK);
    TAP_ERR(SES_ERR_TOO_LARGE, submit(&c, &tx));
    chain_free(&c);
}

/* Leaves that belong to another swarm prove nothing. */
static void test_wrong_swarm(void)
{
    struct chain c;
    fresh_of(&c, two_swarms);
    (void)held(&c, 0);
    TAP_MUST(keep.num_swarms == 2);
    go_to(&c, 1, 0);
    const uint32_t swarm = node_of(&c, &people[0]).swarm;
    struct ses_forest *others = keep.whole[1 - swarm];
    const struct ses_tx t = commitment_of(&c, &people[0], others, 0);
    accept(&c, &t, 0);
    go_to(&c, 2, 0);
    answer_of(&answer, &c, &keep, others, &people[0]);
    TAP_OK(answer.tx.body.response.opening_cnt > 0);
    refuse_answer(&c, SES_ERR_OPENING, 0);
    chain_free(&c);
}

/* Nodes of one swarm do not test each other, nor do nodes of one owner. */
static void test_void_verdicts(void)
{
    struct chain c;
    struct ses_node_id targets[256];
    uint8_t counts[SES_VERDICT_BYTES_MAX];
    uint32_t cnt = 0;
    uint32_t void_cnt = 0;
    fresh_of(&c, two_swarms);
    TAP_ERR(SES_OK, ses_vm_tests(c.vm, &people[0].node_id, targets, &cnt, counts));
    TAP_EQ(NODES - 1, cnt);
    for (uint32_t j = 0; j < cnt; j++) {
        const bool same = node_of(&c, &people[0]).swarm ==
                          node_of(&c, &(struct person){.node_id = targets[j]}).swarm;
        TAP_EQ(!same, counts[0] >> j & 1);
        void_cnt += same;
    }
    TAP_OK(void_cnt > 0);
    answer_of(&answer, &c, &keep, NULL, &people[0]);
    answer.tx.body.response.verdicts[0] = 0x3F;
    refuse_answer(&c, SES_ERR_MALFORMED, 0);
    TAP_ERR(SES_OK, ses_vm_tests(c.vm, &people[NODES].node_id, targets, &cnt, counts));
    TAP_EQ(0, cnt);
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
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    for (size_t i = 0; i <= NODES; i++) {
        person_init(&people[i], tap_random());
    }
    keep_init(&keep);
#define PARAMS                                                                                     \
    "{\"epochSeconds\": 100, \"settleSeconds\": 20, \"freezeSeconds\": 10, "                       \
    "\"rotatePerSwarmEpochs\": 0"
    genesis = genesis_text(genesis_json(people, NODES + 1, NODES, PARAMS "}"));
    two_swarms =
        genesis_text(genesis_json(people, NODES + 1, NODES, PARAMS ", \"swarmTarget\": 4}"));
    TAP_RUN(test_commitment);
    TAP_RUN(test_commitment_signatures);
    TAP_RUN(test_commitments_kept);
    TAP_RUN(test_response);
    TAP_RUN(test_lacking_opening);
    TAP_RUN(test_false_openings);
    TAP_RUN(test_false_proofs);
    TAP_RUN(test_no_root);
    TAP_RUN(test_malformed_responses);
    TAP_RUN(test_wrong_swarm);
    TAP_RUN(test_void_verdicts);
    TAP_RUN(test_rotation);
    TAP_RUN(test_endpoint);
    TAP_RUN(test_demand_refusals);
    TAP_RUN(test_demand_of_another_swarm);
    TAP_RUN(test_demand_is_owed);
    TAP_RUN(test_pending);
    TAP_RUN(test_duties_first);
    ses_buf_free(&answer.proof);
    keep_free(&keep);
    free(genesis);
    free(two_swarms);
    people_free(people, NODES + 1);
    return tap_done();
}
