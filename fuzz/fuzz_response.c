/* ChallengeResponses against a small forest: the first byte chooses what is done to an honest one,
 * the rest is laid over its proof (or takes the place of the whole transaction).
 *
 * Whatever comes: nothing is shown but by the leaf that was owed, opened as its owner holds it. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "swarm/swarm.h"

#define RECORDS 40u
#define PAYLOAD_MAX 700u

struct kept {
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t payload[PAYLOAD_MAX];
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_leaf leaf;
};
struct world {
    struct kept kept[RECORDS];
    struct ses_committed root;
    struct ses_owed owed[SES_OWED_MAX];
    uint32_t owed_cnt;
    struct ses_buf proof;
    struct ses_tx_response honest;
};
static struct world *world;

static void keep(struct kept *k, uint32_t i)
{
    struct ses_record_header h = {.ttl_class = (uint8_t)(2 + i % 3),
                                  .ts_ms = 1800000000000u + 1000u * i};
    h.inbox.bytes[0] = (uint8_t)(i / 4);
    ses_record_header_encode(k->header, &h);
    memset(k->payload, (int)i, sizeof(k->payload));
    k->record = (struct ses_record){
        .header = k->header, .payload = k->payload, .payload_bytes = i * 37 % PAYLOAD_MAX};
    SES_ASSERT(ses_record_identify(&k->ids, &k->record) == SES_OK);
    k->leaf = (struct ses_leaf){
        .ts_ms = h.ts_ms, .ttl_class = h.ttl_class, .size = k->record.payload_bytes};
    memcpy(k->leaf.key.bytes, k->ids.digest.bytes, 32);
    memcpy(k->leaf.key.bytes + 32, k->ids.id.bytes, 32);
}

static const struct kept *find(const struct ses_leaf_key *key)
{
    uint32_t i = 0;
    while (memcmp(world->kept[i].leaf.key.bytes, key->bytes, sizeof(key->bytes)) != 0) {
        i++;
        SES_ASSERT(i < RECORDS);
    }
    return &world->kept[i];
}

static void answer(struct ses_forest *forest)
{
    struct ses_forest_range range;
    uint64_t positions[SES_OWED_MAX];
    struct ses_forest_question q = {.ranges = &range, .range_cnt = 1, .positions = positions};
    struct ses_segment_id segment;
    struct ses_leaf leaf;
    for (uint32_t i = 0; i < world->owed_cnt; i++) {
        const struct ses_owed *o = &world->owed[i];
        leaf.key = o->key;
        if (o->kind == SES_OWED_AUDIT) {
            SES_ASSERT(ses_forest_at(forest, o->position, &segment, &leaf) == SES_OK);
            size_t at = q.position_cnt++;
            for (; at > 0 && positions[at - 1] > o->position; at--) {
                positions[at] = positions[at - 1];
            }
            positions[at] = o->position;
        } else {
            ses_forest_range_key(&range, &o->segment, &o->key);
        }
        const struct kept *k = find(&leaf.key);
        ses_opening_make(&world->honest.openings[i], (uint8_t)i, &k->record, &k->ids,
                         o->chunk_draw);
    }
    SES_ASSERT(ses_forest_prove(forest, &world->proof, &q, NULL) == SES_OK);
    world->honest.opening_cnt = (uint8_t)world->owed_cnt;
    world->honest.proof = world->proof.bytes;
    world->honest.proof_len = (uint32_t)world->proof.len;
}

static void setup(void)
{
    const struct ses_hash seed = {{1}};
    const struct ses_node_id node_id = {{2}};
    struct ses_forest_pool *pool = NULL;
    struct ses_forest *forest = NULL;
    struct ses_sum sum;
    world = ses_alloc(1, sizeof(*world));
    SES_ASSERT(world != NULL && ses_forest_pool_new(&pool, 8u << 20) == SES_OK);
    SES_ASSERT(ses_forest_new(&forest, pool) == SES_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        keep(&world->kept[i], i);
        SES_ASSERT(ses_forest_put(forest, &world->kept[i].leaf) == SES_OK);
    }
    ses_forest_sum(forest, &sum);
    world->root =
        (struct ses_committed){.epoch = 7, .num_swarms = 1, .count = sum.count, .bytes = sum.bytes};
    ses_forest_root(forest, &world->root.root, 0, 7);
    struct ses_owed demand = {.kind = SES_OWED_DEMAND, .key = world->kept[5].leaf.key};
    ses_leaf_segment(&demand.segment, &world->kept[5].leaf);
    world->owed_cnt = ses_owed_list(world->owed, &seed, &node_id, &world->root, 3, &demand, 1);
    answer(forest);
    ses_forest_free(forest);
    ses_forest_pool_free(pool);
}

static void check(const struct ses_tx_response *m, bool same_proof)
{
    uint8_t shown = 0;
    const enum ses_err err =
        ses_response_check(&shown, m, &world->root, world->owed, world->owed_cnt);
    SES_ASSERT(err == SES_OK || (err == SES_ERR_OPENING && shown == 0));
    for (uint32_t i = 0; err == SES_OK && i < m->opening_cnt; i++) {
        const struct ses_opening *o = &m->openings[i];
        const struct ses_opening *want = &world->honest.openings[o->index];
        SES_ASSERT((shown >> o->index & 1) != 0 && o->chunk_len == want->chunk_len);
        SES_ASSERT(memcmp(o->header_hash.bytes, want->header_hash.bytes, 32) == 0);
        SES_ASSERT(o->chunk_len == 0 || memcmp(o->chunk, want->chunk, o->chunk_len) == 0);
    }
    SES_ASSERT(!same_proof || err == SES_OK);
}

/* `data` is laid over the proof from a place that its first two bytes choose. */
static void overlay(const uint8_t *data, size_t size)
{
    struct ses_tx_response m = world->honest;
    uint8_t *proof = ses_alloc(m.proof_len, 1);
    SES_ASSERT(proof != NULL);
    memcpy(proof, m.proof, m.proof_len);
    if (size > 2) {
        const size_t from = (size_t)(data[0] << 8 | data[1]) % m.proof_len;
        const size_t room = m.proof_len - from;
        memcpy(proof + from, data + 2, size - 2 < room ? size - 2 : room);
    }
    m.proof = proof;
    check(&m, memcmp(proof, world->honest.proof, m.proof_len) == 0);
    ses_free(proof);
}

/* The openings are what the bytes say. */
static void openings(const uint8_t *data, size_t size)
{
    struct ses_tx_response m = world->honest;
    struct ses_reader r;
    ses_reader_init(&r, data, size);
    for (m.opening_cnt = 0; m.opening_cnt < SES_OWED_MAX && r.left > 0; m.opening_cnt++) {
        ses_opening_read(&r, &m.openings[m.opening_cnt]);
        if (r.err != SES_OK) {
            break;
        }
    }
    check(&m, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_tx tx;
    if (world == NULL) {
        setup();
    }
    if (size == 0) {
        return 0;
    }
    if (data[0] % 3 == 0) {
        overlay(data + 1, size - 1);
    } else if (data[0] % 3 == 1) {
        openings(data + 1, size - 1);
    } else if (ses_tx_decode(&tx, data + 1, size - 1) == SES_OK && tx.type == SES_TX_RESPONSE) {
        check(&tx.body.response, false);
    }
    return 0;
}
