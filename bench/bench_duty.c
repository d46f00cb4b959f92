/* A full block of challenge responses beside the bare verification of its signatures, and what
 * nodes add to the chain in a day.
 *
 *     bench_duty [ROUNDS]
 *
 * The swarm of the nodes holds RECORDS records; a response opens what the audit draws, with one
 * joint proof. The block is parsed, verified (signatures and openings on two threads) and accepted
 * by a chain that has not seen it. Bare: the same signatures with nothing around them, on as many
 * threads. Medians of the rounds. */
#include "bench/bench_vm.h"

#define RECORDS 100000u
#define HOURS 168u
#define PAYLOAD 8192u
#define NODES_MAX 250u
#define POOL_BYTES ((size_t)1 << 30)

struct node_key {
    struct ses_dsa_private *key;
    struct ses_dsa_pk pk;
    struct ses_node_id id;
};
struct bench {
    struct world builder;
    struct world follower;
    struct ses_hash chain_id;
    struct node_key nodes[NODES_MAX];
    struct ses_forest_pool *pool;
    struct ses_forest *forest;
    struct ses_sum sum;
};

/* ---- records: made again from their number whenever one is opened ---- */

static void record_make(uint32_t i, uint8_t header[SES_RECORD_HEADER_BYTES],
                        uint8_t payload[PAYLOAD], struct ses_record *record,
                        struct ses_record_ids *ids)
{
    struct ses_record_header h = {.ttl_class = 3};
    uint8_t number[4];
    ses_put_u32(number, i / 20); /* twenty records for each inbox */
    ses_blake3_hash(&h.inbox, number, sizeof(number));
    h.ts_ms = 1000ull * (GENESIS_TIME - HOURS * 3600 + i % (HOURS * 3600));
    ses_record_header_encode(header, &h);
    memset(payload, (int)i, PAYLOAD);
    ses_put_u32(payload, i);
    *record = (struct ses_record){.header = header, .payload = payload, .payload_bytes = PAYLOAD};
    must(ses_record_identify(ids, record));
}

static void leaf_of(struct ses_leaf *leaf, const struct ses_record_ids *ids)
{
    *leaf = (struct ses_leaf){
        .ts_ms = ids->header.ts_ms, .ttl_class = ids->header.ttl_class, .size = PAYLOAD};
    memcpy(leaf->key.bytes, ids->digest.bytes, 32);
    memcpy(leaf->key.bytes + 32, ids->id.bytes, 32);
}

static void forest_make(struct bench *b)
{
    static uint8_t payload[PAYLOAD];
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_leaf leaf;
    must(ses_forest_pool_new(&b->pool, POOL_BYTES));
    must(ses_forest_new(&b->forest, b->pool));
    for (uint32_t i = 0; i < RECORDS; i++) {
        record_make(i, header, payload, &record, &ids);
        leaf_of(&leaf, &ids);
        must(ses_forest_put(b->forest, &leaf));
    }
    ses_forest_sum(b->forest, &b->sum);
}

/* Which record a leaf is of: its time and inbox leave a few. */
static void open_leaf(struct ses_opening *out, uint8_t index, const struct ses_leaf *leaf,
                      uint64_t draw, uint8_t payload[PAYLOAD])
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record record;
    struct ses_record_ids ids;
    const uint32_t period = HOURS * 3600;
    const uint64_t second = leaf->ts_ms / 1000 - (GENESIS_TIME - period);
    for (uint64_t i = second; i < RECORDS; i += period) {
        record_make((uint32_t)i, header, payload, &record, &ids);
        if (memcmp(ids.id.bytes, leaf->key.bytes + 32, 32) == 0) {
            ses_opening_make(out, index, &record, &ids, draw);
            return;
        }
    }
    must(SES_ERR_NOT_FOUND);
}

/* ---- nodes in one swarm, which committed in the epoch before ---- */

static void put_nodes(struct bench *b, struct ses_layer *layer)
{
    struct ses_node_keys *keys = memory(1, sizeof(*keys));
    const struct ses_endpoint endpoint = {.addr_cnt = 1, .addrs = {{8, {4, 127, 0, 0, 1}}}};
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct ses_node node = {.node_id = b->nodes[i].id,
                                .stake = 1,
                                .swarm = 0,
                                .prev_swarm = 0,
                                .status = SES_NODE_ACTIVE,
                                .registered_at = 1};
        ses_put_u32(node.owner.bytes, i);
        keys->public_key = b->nodes[i].pk;
        must(ses_node_store(layer, &node));
        must(ses_node_keys_store(layer, &node.node_id, keys, &endpoint));
    }
    ses_free(keys);
}

static void commit_all(struct bench *b, struct world *w)
{
    struct ses_undecided *u = hand_begin(w);
    const uint64_t epoch = w->vm->tip.epoch.epoch;
    struct ses_committed c = {
        .epoch = epoch, .num_swarms = 1, .count = b->sum.count, .bytes = b->sum.bytes};
    ses_forest_root_of(&c.root, 0, epoch, &b->sum);
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        c.node_id = b->nodes[i].id;
        must(ses_committed_store(&u->layer, &c));
    }
    hand_end(w, u);
}

static void next_epoch(struct world *w)
{
    struct ses_hash id;
    w->now_s += 3600;
    must(ses_vm_build(w->vm, &id));
    must(ses_vm_accept(w->vm, &id));
}

static void bench_new(struct bench *b)
{
    static const char genesis[] = "{\"networkName\":\"bench\",\"timestamp\":1800000000,"
                                  "\"params\":{\"swarmTarget\":32,\"rotatePerSwarmEpochs\":0},"
                                  "\"allocations\":[]}";
    struct world *both[] = {&b->builder, &b->follower};
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct ses_dsa_seed seed = {{(uint8_t)i, (uint8_t)(i >> 8)}};
        must(ses_dsa_private_new(&b->nodes[i].key, &seed));
        ses_dsa_private_pk(b->nodes[i].key, &b->nodes[i].pk);
        ses_node_id_of(&b->nodes[i].id, &b->nodes[i].pk);
    }
    forest_make(b);
    for (size_t k = 0; k < SES_COUNT(both); k++) {
        world_new(both[k], genesis);
        struct ses_undecided *u = hand_begin(both[k]);
        put_nodes(b, &u->layer);
        hand_end(both[k], u);
        commit_all(b, both[k]);
        next_epoch(both[k]);
    }
    ses_vm_chain_id(b->builder.vm, &b->chain_id);
}

static void bench_free(struct bench *b)
{
    world_free(&b->builder);
    world_free(&b->follower);
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        ses_dsa_private_free(b->nodes[i].key);
    }
    ses_forest_free(b->forest);
    ses_forest_pool_free(b->pool);
}

/* ---- responses ---- */

static int by_number(const void *a, const void *b)
{
    return by_value(a, b);
}

static void prove(struct bench *b, const struct ses_duty *duty, struct ses_buf *proof)
{
    uint64_t positions[SES_OWED_MAX];
    const struct ses_forest_question q = {.positions = positions, .position_cnt = duty->owed_cnt};
    for (uint32_t i = 0; i < duty->owed_cnt; i++) {
        positions[i] = duty->owed[i].position;
    }
    qsort(positions, duty->owed_cnt, sizeof(positions[0]), by_number);
    proof->len = 0;
    must(ses_forest_prove(b->forest, proof, &q, NULL));
}

static size_t submit_response(struct bench *b, uint32_t i, struct ses_buf *proof)
{
    static uint8_t payloads[SES_OWED_MAX][PAYLOAD];
    static uint8_t bytes[SES_TX_BYTES_MAX];
    struct ses_tx tx = {.type = SES_TX_RESPONSE};
    struct ses_tx_response *m = &tx.body.response;
    struct ses_node_id targets[256];
    struct ses_segment_id segment;
    struct ses_leaf leaf;
    struct ses_duty duty;
    struct ses_writer w;
    struct ses_hash id;
    uint32_t cnt = 0;
    must(ses_vm_duty(b->builder.vm, &b->nodes[i].id, &duty));
    must(ses_vm_tests(b->builder.vm, &b->nodes[i].id, targets, &cnt, m->verdicts));
    prove(b, &duty, proof);
    *m = (struct ses_tx_response){.node_id = b->nodes[i].id,
                                  .epoch = duty.epoch,
                                  .free = 1,
                                  .verdict_cnt = (uint8_t)((cnt + 7) / 8),
                                  .proof = proof->bytes,
                                  .proof_len = (uint32_t)proof->len,
                                  .opening_cnt = (uint8_t)duty.owed_cnt};
    for (uint32_t k = 0; k < duty.owed_cnt; k++) {
        must(ses_forest_at(b->forest, duty.owed[k].position, &segment, &leaf));
        open_leaf(&m->openings[k], (uint8_t)k, &leaf, duty.owed[k].chunk_draw, payloads[k]);
    }
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_tx_write_body(&w, &tx);
    must(ses_tx_sign(&w, &b->chain_id, bytes, w.len, SES_AUTH_NODE, b->nodes[i].key,
                     ses_random_system()));
    must(ses_vm_submit(b->builder.vm, bytes, w.len, &id, NULL));
    return w.len;
}

/* ---- the same signatures with nothing around them ---- */

struct bare {
    const struct bench *b;
    struct ses_tx *txs;
    struct ses_hash chain_id;
};

static void bare_one(void *cookie, size_t i)
{
    const struct bare *bare = cookie;
    static _Thread_local uint8_t message[32 + SES_RESPONSE_TX_BYTES_MAX];
    const struct ses_tx *tx = &bare->txs[i];
    struct ses_dsa_sig sig;
    uint32_t k = 0;
    while (memcmp(bare->b->nodes[k].id.bytes, tx->auth[0].signer, 20) != 0) {
        k++;
    }
    memcpy(message, bare->chain_id.bytes, 32);
    memcpy(message + 32, tx->bytes, tx->signed_len);
    memcpy(sig.bytes, tx->auth[0].signature, sizeof(sig.bytes));
    must(ses_verify(&bare->b->nodes[k].pk, SES_DOMAIN_TX, message, 32 + tx->signed_len, &sig));
}

static uint64_t bare_ns(struct bench *b, const struct ses_buf *block, uint32_t cnt)
{
    struct bare bare = {.b = b, .txs = memory(cnt, sizeof(struct ses_tx)), .chain_id = b->chain_id};
    struct ses_reader r;
    ses_reader_init(&r, block->bytes + SES_BLOCK_HEADER_BYTES, block->len - SES_BLOCK_HEADER_BYTES);
    for (uint32_t i = 0; i < cnt; i++) {
        size_t len = 0;
        const uint8_t *at = ses_block_next_tx(&r, &len);
        must(at == NULL ? SES_ERR_MALFORMED : ses_tx_decode(&bare.txs[i], at, len));
    }
    const uint64_t start = ses_mono_ns();
    run_parallel(NULL, bare_one, &bare, cnt);
    const uint64_t ns = ses_mono_ns() - start;
    ses_free(bare.txs);
    return ns;
}

/* *verify_ns: of that, checking everything and applying it. */
static uint64_t follow(struct bench *b, const struct ses_buf *bytes, uint64_t *verify_ns)
{
    struct ses_note note = {{0}};
    struct ses_hash id;
    b->follower.now_s = b->builder.now_s;
    const uint64_t start = ses_mono_ns();
    must(ses_vm_parse(b->follower.vm, bytes->bytes, bytes->len, &id));
    const uint64_t parsed = ses_mono_ns();
    must(ses_vm_verify(b->follower.vm, &id, &note));
    *verify_ns = ses_mono_ns() - parsed;
    must(ses_vm_accept(b->follower.vm, &id));
    return ses_mono_ns() - start;
}

/* A block that is as full as blockMaxBytes allows; its number of responses, and their mean size. */
static uint32_t full_block(struct bench *b, struct ses_buf *bytes, size_t *mean)
{
    struct ses_buf proof = {0};
    struct ses_block block;
    struct ses_hash id;
    size_t sum = 0;
    uint32_t cnt = 0;
    while (cnt < NODES_MAX && SES_BLOCK_HEADER_BYTES + sum + 16384 < 1000000) {
        sum += 4 + submit_response(b, cnt++, &proof);
    }
    must(ses_vm_build(b->builder.vm, &id));
    must(ses_vm_block(b->builder.vm, &id, bytes));
    must(ses_block_decode(&block, bytes->bytes, bytes->len, 1000000));
    must(ses_vm_accept(b->builder.vm, &id));
    must(block.tx_cnt == cnt ? SES_OK : SES_ERR_FULL);
    ses_buf_free(&proof);
    *mean = sum / cnt - 4;
    return cnt;
}

/* Commitment and response, each with its length in a block, 24 times a day. */
static void print_day(size_t response)
{
    const size_t commitment = 2 + 20 + 8 + 4 + 32 + 8 + 8 + 32 + 32 + 21 + SES_DSA_SIG_BYTES;
    const double node = 24.0 * (double)(commitment + response + 8);
    printf(
        "\nchain bytes of a node and day: 24 x (commitment %zu + response %zu) = %.0f KB; of 2,000 "
        "nodes %.2f GB\n",
        commitment, response, node / 1e3, 2000 * node / 1e9);
}

static void run(struct bench *b, size_t rounds)
{
    uint64_t ours[ROUNDS_MAX];
    uint64_t verify[ROUNDS_MAX];
    uint64_t bare[ROUNDS_MAX];
    struct ses_buf bytes = {0};
    size_t mean = 0;
    uint32_t cnt = 0;
    for (size_t i = 0; i < rounds; i++) {
        bytes.len = 0;
        cnt = full_block(b, &bytes, &mean);
        bare[i] = bare_ns(b, &bytes, cnt);
        ours[i] = follow(b, &bytes, &verify[i]);
        commit_all(b, &b->builder);
        commit_all(b, &b->follower);
        next_epoch(&b->builder);
        next_epoch(&b->follower);
    }
    const double ours_ms = median_ms(ours, rounds);
    const double verify_ms = median_ms(verify, rounds);
    const double bare_ms = median_ms(bare, rounds);
    printf("block of %u responses (%zu bytes each, %u records in the swarm), %u threads\n", cnt,
           mean, RECORDS, THREADS);
    printf("  parse + verify + accept %9.2f ms %9.0f tx/s\n", ours_ms, cnt / ours_ms * 1e3);
    printf("  verify + apply          %9.2f ms %9.0f tx/s\n", verify_ms, cnt / verify_ms * 1e3);
    printf("  bare ML-DSA verify      %9.2f ms %9.0f tx/s\n", bare_ms, cnt / bare_ms * 1e3);
    printf("  share of the bound      %9.1f %% of all, %.1f %% of verify + apply\n",
           100 * bare_ms / ours_ms, 100 * bare_ms / verify_ms);
    print_day(mean);
    ses_buf_free(&bytes);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    const unsigned long rounds = argc > 1 ? strtoul(argv[1], &end, 10) : 11;
    if (argc > 2 || (argc == 2 && (*end != 0 || rounds == 0 || rounds > ROUNDS_MAX))) {
        fprintf(stderr, "usage: bench_duty [ROUNDS, 1 .. %u]\n", ROUNDS_MAX);
        return 2;
    }
    must(ses_crypto_init());
    struct bench *b = memory(1, sizeof(*b));
    bench_new(b);
    run(b, rounds);
    bench_free(b);
    ses_free(b);
    return 0;
}
