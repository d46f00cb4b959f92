/* Completeness of an inbox: honest members, careless ones, and liars of every kind. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

#define EPOCH 77u
#define SWARM 5u
#define MEMBERS 6u
#define GENESIS_S 1790000000u
#define OTHERS 400u /* records of other inboxes */

static const struct ses_times times = {
    .genesis_s = GENESIS_S, .epoch_s = 3600, .settle_s = 600, .freeze_s = 330};

static struct ses_forest_pool *pool;
static struct ses_forest *forests[MEMBERS];
static struct ses_hash digest;
static struct ses_complete *c;
static struct ses_segment segments[SES_COMPLETE_SEGMENTS_MAX];
static uint32_t segment_cnt;

static struct ses_node_id node_of(uint32_t i)
{
    struct ses_node_id id = {{(uint8_t)(i + 1)}};
    return id;
}

static struct ses_leaf leaf_make(const struct ses_hash *of, uint32_t salt, unsigned hours_ago)
{
    uint8_t bytes[4];
    struct ses_hash id;
    struct ses_leaf leaf = {.ttl_class = (uint8_t)(2 + salt % 3), .size = 8192};
    leaf.ts_ms = ses_epoch_start_ms(&times, EPOCH) - 3600000u * (hours_ago + 1);
    ses_put_u32(bytes, salt);
    ses_blake3_hash(&id, bytes, sizeof bytes);
    memcpy(leaf.key.bytes, of->bytes, 32);
    memcpy(leaf.key.bytes + 32, id.bytes, 32);
    return leaf;
}

static void put(uint32_t member, const struct ses_leaf *leaf)
{
    TAP_MUST(ses_forest_put(forests[member], leaf) == SES_OK);
}

static void put_all(const struct ses_leaf *leaf)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        put(i, leaf);
    }
}

static struct ses_leaf own(uint32_t salt)
{
    return leaf_make(&digest, salt, salt % 40);
}

/* Six members with the same 20 records of ours among those of others. */
static void scene(void)
{
    TAP_ERR(SES_OK, ses_forest_pool_new(&pool, (size_t)64 << 20));
    ses_random_fill(tap_random(), digest.bytes, sizeof digest.bytes);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        TAP_ERR(SES_OK, ses_forest_new(&forests[i], pool));
    }
    for (uint32_t i = 0; i < OTHERS; i++) {
        struct ses_hash other;
        ses_random_fill(tap_random(), other.bytes, sizeof other.bytes);
        const struct ses_leaf leaf = leaf_make(&other, i, i % 40);
        put_all(&leaf);
    }
    for (uint32_t i = 0; i < 20; i++) {
        const struct ses_leaf leaf = own(i);
        put_all(&leaf);
    }
    c = ses_alloc(1, sizeof *c);
    TAP_MUST(c != NULL);
    ses_complete_init(c, &digest, EPOCH);
    segment_cnt = ses_complete_segments(segments, &times, EPOCH, 0);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        const struct ses_node_id id = node_of(i);
        TAP_ERR(SES_OK, ses_complete_add(c, &id));
    }
}

static void scene_end(void)
{
    ses_complete_free(c);
    ses_free(c);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        ses_forest_free(forests[i]);
    }
    ses_forest_pool_free(pool);
}

static void commit(uint32_t member)
{
    struct ses_complete_member *m = &c->members[member];
    struct ses_sum sum;
    ses_forest_sum(forests[member], &sum);
    m->committed = true;
    m->commitment = (struct ses_committed){.node_id = m->node_id,
                                           .epoch = EPOCH,
                                           .swarm = SWARM,
                                           .num_swarms = 8,
                                           .count = sum.count,
                                           .bytes = sum.bytes};
    ses_forest_root(forests[member], &m->commitment.root, SWARM, EPOCH);
}

/* What `from` can show for segments first..first+cnt. */
static void prove(struct ses_buf *out, uint32_t from, uint32_t first, uint32_t cnt)
{
    struct ses_forest_range *ranges = ses_alloc(cnt, sizeof *ranges);
    struct ses_segment_id id;
    TAP_MUST(ranges != NULL);
    for (uint32_t i = 0; i < cnt; i++) {
        ses_segment_encode(id.bytes, &segments[first + i]);
        ses_forest_range_slot(&ranges[i], &id, &digest);
    }
    const struct ses_forest_question q = {.ranges = ranges, .range_cnt = cnt};
    TAP_MUST(ses_forest_prove(forests[from], out, &q, NULL) == SES_OK);
    ses_free(ranges);
}

/* `member` answers with the proofs of the forest of `from`, in two parts. */
static enum ses_err answer(uint32_t member, uint32_t from)
{
    enum ses_err err = SES_OK;
    const uint32_t half = segment_cnt / 2;
    for (unsigned part = 0; part < 2 && err == SES_OK; part++) {
        struct ses_buf proof = {0};
        const uint32_t first = part == 0 ? 0 : half;
        const uint32_t cnt = part == 0 ? half : segment_cnt - half;
        prove(&proof, from, first, cnt);
        err = ses_complete_proof(c, member, &segments[first], cnt, proof.bytes, proof.len);
        ses_buf_free(&proof);
    }
    if (err == SES_OK) {
        c->members[member].state = SES_COMPLETE_PROVEN;
    }
    return err;
}

static void all_answer(void)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        commit(i);
        TAP_ERR(SES_OK, answer(i, i));
    }
    TAP_ERR(SES_OK, ses_complete_finish(c));
}

static uint32_t findings(enum ses_complete_kind kind, uint32_t member)
{
    uint32_t at = 0;
    uint32_t at_member = 0;
    uint32_t cnt = 0;
    struct ses_complete_finding f;
    while (ses_complete_next(c, &at, &at_member, &f)) {
        cnt += f.kind == kind && f.member == member;
    }
    return cnt;
}

static void test_honest(void)
{
    scene();
    all_answer();
    TAP_EQ(20, c->record_cnt);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        TAP_EQ(20, c->members[i].leaf_cnt);
        TAP_OK(ses_complete_is(&c->members[i]));
    }
    scene_end();
}

/* What can be committed is asked for, and nothing else. */
static void test_segments(void)
{
    static const uint64_t epochs[] = {0, 1, 2, 30, 77, 800, 2000};
    for (size_t e = 0; e < SES_COUNT(epochs); e++) {
        segment_cnt = ses_complete_segments(segments, &times, epochs[e], 0);
        for (unsigned i = 0; i < 2000; i++) {
            const struct ses_segment s = {
                (uint8_t)ses_random_below(tap_random(), 5),
                (uint32_t)(GENESIS_S / 3600 - 2 + ses_random_below(tap_random(), epochs[e] + 4))};
            const uint64_t ts_ms = (uint64_t)s.hour * 3600000u;
            bool asked = false;
            for (uint32_t k = 0; k < segment_cnt; k++) {
                asked |= segments[k].ttl_class == s.ttl_class && segments[k].hour == s.hour;
            }
            const bool may = ts_ms + 3600000u > (uint64_t)GENESIS_S * 1000 - 120000 &&
                             ts_ms <= ses_epoch_start_ms(&times, epochs[e]) &&
                             ses_in_commitment(&times, epochs[e], &s, 0);
            if (!TAP_EQ(may, asked)) {
                printf("#   epoch %u class %u\n", (unsigned)epochs[e], s.ttl_class);
            }
        }
    }
    TAP_OK(ses_complete_segments(segments, &times, 5000, 0) < 1260);
    const uint32_t all = ses_complete_segments(segments, &times, 77, 0);
    const uint64_t since_ms = ses_epoch_start_ms(&times, 70);
    TAP_OK(ses_complete_segments(segments, &times, 77, since_ms) < all);
}

static void test_lacking(void)
{
    scene();
    const struct ses_leaf leaf = own(1000);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (i != 2) {
            put(i, &leaf);
        }
    }
    all_answer();
    TAP_EQ(1, findings(SES_COMPLETE_MISSING, 2));
    TAP_EQ(1, c->members[2].missing);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        TAP_EQ(i != 2, ses_complete_is(&c->members[i]));
    }
    scene_end();
}

/* A liar shows a record that nobody else has: that is about the liar. */
static void test_made_up(void)
{
    scene();
    const struct ses_leaf leaf = own(1000);
    put(4, &leaf);
    all_answer();
    TAP_EQ(1, findings(SES_COMPLETE_EXTRA, 4));
    for (uint32_t i = 0; i < MEMBERS; i++) {
        TAP_EQ(i != 4, ses_complete_is(&c->members[i]));
    }
    scene_end();
}

static void test_deletes(void)
{
    scene();
    struct ses_leaf gone = own(3);
    gone.kind = 1;
    gone.size = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (i != 0) {
            put(i, &gone);
        }
    }
    struct ses_leaf hidden = own(4); /* by one member that would rather not have it */
    hidden.kind = 1;
    hidden.size = 0;
    put(5, &hidden);
    all_answer();
    TAP_EQ(1, findings(SES_COMPLETE_UNDELETED, 0));
    TAP_EQ(1, findings(SES_COMPLETE_DELETED, 5));
    TAP_OK(!ses_complete_is(&c->members[0]) && !ses_complete_is(&c->members[5]));
    TAP_OK(ses_complete_is(&c->members[1]) && ses_complete_is(&c->members[4]));
    scene_end();
}

static struct ses_receipt receipt_of(uint32_t member, const struct ses_leaf *leaf, uint64_t admit)
{
    struct ses_receipt r = {0};
    struct ses_segment_id id;
    r.node_id = node_of(member);
    memcpy(r.leaf.digest.bytes, leaf->key.bytes, 32);
    memcpy(r.leaf.id.bytes, leaf->key.bytes + 32, 32);
    ses_leaf_segment(&id, leaf);
    r.leaf.segment = (struct ses_segment){id.bytes[0], ses_get_u32(id.bytes + 1)};
    r.leaf.swarm = SWARM;
    r.leaf.admit_epoch = admit;
    return r;
}

/* A receipt holds its signer to the record, even if no other member shows it. */
static void test_promised(void)
{
    scene();
    const struct ses_leaf lost = own(2000);
    const struct ses_leaf later = own(2001);
    struct ses_receipt r = receipt_of(1, &lost, EPOCH);
    TAP_ERR(SES_OK, ses_complete_promise(c, &r, &times));
    r = receipt_of(2, &later, EPOCH + 1); /* not yet due */
    TAP_ERR(SES_OK, ses_complete_promise(c, &r, &times));
    const struct ses_leaf held = own(7);
    r = receipt_of(3, &held, EPOCH - 1); /* kept */
    TAP_ERR(SES_OK, ses_complete_promise(c, &r, &times));
    r = receipt_of(9, &lost, EPOCH); /* of no member */
    TAP_ERR(SES_OK, ses_complete_promise(c, &r, &times));
    all_answer();
    TAP_EQ(1, findings(SES_COMPLETE_PROMISED, 1));
    TAP_EQ(1, c->members[1].promised);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        TAP_EQ(i != 1, ses_complete_is(&c->members[i]));
    }
    r = receipt_of(5, &lost, EPOCH); /* found later */
    TAP_ERR(SES_OK, ses_complete_promise(c, &r, &times));
    TAP_ERR(SES_OK, ses_complete_finish(c));
    TAP_EQ(1, c->members[5].promised);
    TAP_EQ(1, c->members[1].promised);
    TAP_EQ(21, c->record_cnt);
    scene_end();
}

/* Proofs of another set, of another epoch's root, cut, changed, or that leave a door open. */
static void test_false_answers(void)
{
    struct ses_buf proof = {0};
    scene();
    const struct ses_leaf leaf = own(1000);
    put(1, &leaf);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        commit(i);
    }
    TAP_ERR(SES_ERR_PEER, answer(0, 1));
    TAP_EQ(SES_COMPLETE_FALSE, c->members[0].state);
    c->members[1].commitment.epoch = EPOCH;
    ses_forest_root(forests[1], &c->members[1].commitment.root, SWARM, EPOCH - 1);
    TAP_ERR(SES_ERR_PEER, answer(1, 1));
    prove(&proof, 2, 0, segment_cnt / 2); /* answers half of the question */
    TAP_ERR(SES_ERR_PEER, ses_complete_proof(c, 2, segments, segment_cnt, proof.bytes, proof.len));
    TAP_EQ(0, c->members[2].leaf_cnt);
    TAP_ERR(SES_ERR_PEER,
            ses_complete_proof(c, 3, segments, segment_cnt / 2, proof.bytes, proof.len - 1));
    proof.bytes[proof.len / 2] ^= 1;
    TAP_ERR(SES_ERR_PEER,
            ses_complete_proof(c, 4, segments, segment_cnt / 2, proof.bytes, proof.len));
    c->members[5].commitment.count++;
    TAP_ERR(SES_ERR_PEER, answer(5, 5));
    TAP_ERR(SES_OK, ses_complete_finish(c));
    for (uint32_t i = 0; i < MEMBERS; i++) {
        TAP_EQ(SES_COMPLETE_FALSE, c->members[i].state);
        TAP_OK(!ses_complete_is(&c->members[i]));
    }
    ses_buf_free(&proof);
    scene_end();
}

int main(void)
{
    TAP_MUST(ses_crypto_init() == SES_OK);
    TAP_RUN(test_honest);
    TAP_RUN(test_segments);
    TAP_RUN(test_lacking);
    TAP_RUN(test_made_up);
    TAP_RUN(test_deletes);
    TAP_RUN(test_promised);
    TAP_RUN(test_false_answers);
    return tap_done();
}
