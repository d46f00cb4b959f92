/* Transaction 6: true openings, false ones, lacking ones, and what is none. */
#include "vm/test_duty_net.h"

/* ---- type 6 ---- */

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
    /* longer than it may be */
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

/* ---- the longest one ---- */
#define GROUND 15u /* nibbles: 2^60 hashes are not to be had */

static void put_leaf(struct ses_forest *forest, const uint8_t key[64], uint8_t ttl_class,
                     uint64_t ts_ms)
{
    struct ses_leaf leaf = {.ts_ms = ts_ms, .ttl_class = ttl_class, .size = SES_PAYLOAD_MAX};
    memcpy(leaf.key.bytes, key, sizeof(leaf.key.bytes));
    TAP_MUST(ses_forest_put(forest, &leaf) == SES_OK);
}

/* Fifteen keys that part from `key` at this nibble. */
static void put_neighbours(struct ses_forest *forest, const uint8_t key[64], unsigned nibble,
                           uint8_t ttl_class, uint64_t ts_ms)
{
    const unsigned shift = nibble % 2 == 0 ? 4 : 0;
    for (unsigned i = 1; i < 16; i++) {
        uint8_t other[64];
        ses_random_fill(tap_random(), other, sizeof(other));
        memcpy(other, key, nibble / 2);
        const uint8_t rest = shift == 4 ? 0 : key[nibble / 2] & 0xF0;
        other[nibble / 2] = (uint8_t)(rest | (((key[nibble / 2] >> shift & 15) ^ i) << shift));
        put_leaf(forest, other, ttl_class, ts_ms);
    }
}

/* A record that is as deep as its writer could bring it: among inboxes, and among ids in its own.
 */
static void dig(struct ses_forest *forest, struct ses_forest_range *range, uint8_t ttl_class)
{
    uint8_t key[64];
    struct ses_segment segment;
    struct ses_segment_id id;
    struct ses_leaf_key leaf_key;
    ses_random_fill(tap_random(), key, sizeof(key));
    for (unsigned i = 0; i < GROUND; i++) {
        put_neighbours(forest, key, i, ttl_class, KEEP_TS_MS);
        put_neighbours(forest, key, 64 + i, ttl_class, KEEP_TS_MS);
    }
    put_leaf(forest, key, ttl_class, KEEP_TS_MS);
    memcpy(leaf_key.bytes, key, sizeof(key));
    ses_segment_of(&segment, ttl_class, KEEP_TS_MS);
    ses_segment_encode(id.bytes, &segment);
    ses_forest_range_key(range, &id, &leaf_key);
}

static struct ses_forest *deep_forest(struct ses_forest_pool *pool,
                                      struct ses_forest_range ranges[SES_DEMANDS_MAX])
{
    struct ses_forest *forest = NULL;
    TAP_MUST(ses_forest_new(&forest, pool) == SES_OK);
    for (uint32_t i = 0; i < 1250 * 20; i++) {
        uint8_t key[64];
        ses_random_fill(tap_random(), key, sizeof(key));
        put_leaf(forest, key, (uint8_t)(3 + i % 2), KEEP_TS_MS + 3600000ull * (i / 2 % 625));
    }
    for (uint8_t i = 0; i < SES_DEMANDS_MAX; i++) {
        dig(forest, &ranges[i], (uint8_t)(3 + i));
    }
    return forest;
}

/* Whoever demands two records must not make a node's response longer than it may be. */
static void test_longest(void)
{
    static uint8_t bytes[SES_TX_BYTES_MAX];
    static const uint8_t chunk[SES_CHUNK_BYTES];
    struct ses_forest_pool *pool = NULL;
    struct ses_forest_range ranges[SES_DEMANDS_MAX];
    uint64_t positions[SES_AUDIT_LEAVES_MAX];
    struct ses_sum sum;
    struct ses_buf proof = {0};
    struct ses_tx longest = {.type = SES_TX_RESPONSE};
    struct ses_tx_response *m = &longest.body.response;
    TAP_MUST(ses_forest_pool_new(&pool, 256u << 20) == SES_OK);
    struct ses_forest *forest = deep_forest(pool, ranges);
    ses_forest_sum(forest, &sum);
    for (uint32_t i = 0; i < SES_AUDIT_LEAVES_MAX; i++) {
        positions[i] = sum.count / SES_AUDIT_LEAVES_MAX * i + ses_random_below(tap_random(), 1000);
    }
    const struct ses_forest_question q = {.ranges = ranges,
                                          .range_cnt = SES_DEMANDS_MAX,
                                          .positions = positions,
                                          .position_cnt = SES_AUDIT_LEAVES_MAX};
    TAP_MUST(ses_forest_prove(forest, &proof, &q, NULL) == SES_OK);
    m->verdict_cnt = SES_VERDICT_BYTES_MAX;
    m->proof = proof.bytes;
    m->proof_len = (uint32_t)proof.len;
    m->opening_cnt = SES_OWED_MAX;
    for (uint8_t i = 0; i < SES_OWED_MAX; i++) {
        m->openings[i] = (struct ses_opening){.index = i,
                                              .chunk = chunk,
                                              .chunk_len = sizeof(chunk),
                                              .path_cnt = SES_OPENING_PATH_MAX};
    }
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_tx_write_body(&w, &longest);
    TAP_OK(ses_writer_done(&w) == SES_OK);
    TAP_OK(w.len + 21 + SES_DSA_SIG_BYTES <= SES_RESPONSE_TX_BYTES_MAX);
    ses_buf_free(&proof);
    ses_forest_free(forest);
    ses_forest_pool_free(pool);
}

int main(void)
{
    net_init();
    TAP_RUN(test_response);
    TAP_RUN(test_lacking_opening);
    TAP_RUN(test_false_openings);
    TAP_RUN(test_false_proofs);
    TAP_RUN(test_no_root);
    TAP_RUN(test_malformed_responses);
    TAP_RUN(test_wrong_swarm);
    TAP_RUN(test_void_verdicts);
    TAP_RUN(test_longest);
    net_free();
    return tap_done();
}
