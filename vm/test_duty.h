/* For the tests of duties: records of a network, what each swarm holds of them, and nodes that
 * commit, test each other and answer, or do not. */
#ifndef SES_VM_TEST_DUTY_H
#define SES_VM_TEST_DUTY_H

#include "vm/test_chain.h"

#define KEEP_RECORDS 120u
#define KEEP_PAYLOAD_MAX 1500u
#define KEEP_SWARMS_MAX 64u
#define KEEP_TS_MS (1000ull * GENESIS_TIME - 7200000)

/* ---- records, and the forest of each swarm over them ---- */
struct kept_record {
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t payload[KEEP_PAYLOAD_MAX];
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_leaf leaf;
};
struct keep {
    struct kept_record *records;
    struct ses_forest_pool *pool;
    uint32_t num_swarms;
    struct ses_forest *whole[KEEP_SWARMS_MAX];
    struct ses_forest *lacking[KEEP_SWARMS_MAX]; /* the same without its first record */
};

/* Record i: one of three segments; sizes 0, small, of several chunks; some deleted, some delete
 * statements. */
static inline void keep_record(struct kept_record *r, uint32_t i)
{
    struct ses_record_header h = {.ns = 0,
                                  .kind = i % 7 == 6 ? SES_RECORD_TOMBSTONE : SES_RECORD_MESSAGE,
                                  .ttl_class = (uint8_t)(3 + i % 2),
                                  .ts_ms = KEEP_TS_MS + 3600000ull * (i % 3) + 1000ull * i};
    static const uint32_t sizes[] = {0, 1, 255, 256, 257, 700, KEEP_PAYLOAD_MAX};
    const uint32_t size = sizes[i % SES_COUNT(sizes)];
    uint8_t number[4];
    ses_put_u32(number, i / 2); /* two records for each inbox */
    ses_blake3_hash(&h.inbox, number, sizeof(number));
    ses_record_header_encode(r->header, &h);
    memset(r->payload, (int)i, sizeof(r->payload));
    r->record =
        (struct ses_record){.header = r->header, .payload = r->payload, .payload_bytes = size};
    TAP_MUST(ses_record_identify(&r->ids, &r->record) == SES_OK);
    const bool deleted = i % 11 == 10;
    r->leaf = (struct ses_leaf){.ts_ms = h.ts_ms,
                                .ttl_class = h.ttl_class,
                                .kind = deleted ? 1 : (uint8_t)h.kind,
                                .size = deleted ? 0 : size};
    memcpy(r->leaf.key.bytes, r->ids.digest.bytes, 32);
    memcpy(r->leaf.key.bytes + 32, r->ids.id.bytes, 32);
}
static inline void keep_init(struct keep *k)
{
    *k = (struct keep){.records = ses_alloc(KEEP_RECORDS, sizeof(*k->records))};
    TAP_MUST(k->records != NULL && ses_forest_pool_new(&k->pool, 64u << 20) == SES_OK);
    for (uint32_t i = 0; i < KEEP_RECORDS; i++) {
        keep_record(&k->records[i], i);
    }
}
static inline void keep_drop(struct keep *k)
{
    for (uint32_t s = 0; s < k->num_swarms; s++) {
        ses_forest_free(k->whole[s]);
        ses_forest_free(k->lacking[s]);
    }
    k->num_swarms = 0;
}
static inline void keep_free(struct keep *k)
{
    keep_drop(k);
    ses_forest_pool_free(k->pool);
    ses_free(k->records);
}
/* Every swarm holds its records; `lacking` misses one of them. */
static inline void keep_split(struct keep *k, uint32_t num_swarms)
{
    if (k->num_swarms == num_swarms) {
        return;
    }
    keep_drop(k);
    TAP_MUST(num_swarms <= KEEP_SWARMS_MAX);
    k->num_swarms = num_swarms;
    for (uint32_t s = 0; s < num_swarms; s++) {
        TAP_MUST(ses_forest_new(&k->whole[s], k->pool) == SES_OK);
        TAP_MUST(ses_forest_new(&k->lacking[s], k->pool) == SES_OK);
        bool first = true;
        for (uint32_t i = 0; i < KEEP_RECORDS; i++) {
            if (ses_swarm_of(&k->records[i].ids.digest, num_swarms) != s) {
                continue;
            }
            TAP_MUST(ses_forest_put(k->whole[s], &k->records[i].leaf) == SES_OK);
            TAP_MUST(first || ses_forest_put(k->lacking[s], &k->records[i].leaf) == SES_OK);
            first = false;
        }
    }
}
static inline const struct kept_record *keep_find(const struct keep *k,
                                                  const struct ses_leaf_key *key)
{
    for (uint32_t i = 0; i < KEEP_RECORDS; i++) {
        if (memcmp(k->records[i].leaf.key.bytes, key->bytes, sizeof(key->bytes)) == 0) {
            return &k->records[i];
        }
    }
    return NULL;
}

/* ---- a transaction of a node ---- */
/* `trusted`: the signature is zeros, and the chain is told to have seen it hold: for long runs,
 * where others check real ones. */
static inline void sign_duty(struct tx_bytes *out, const struct chain *c, const struct ses_tx *tx,
                             const struct person *node, bool trusted,
                             const struct ses_random *random)
{
    if (!trusted) {
        sign_tx(out, c, tx, SES_AUTH_NODE, node, NULL, random);
        return;
    }
    struct ses_tx decoded;
    struct ses_writer w;
    ses_writer_init(&w, out->bytes, sizeof(out->bytes));
    ses_tx_write_body(&w, tx);
    ses_write_u8(&w, SES_AUTH_NODE);
    ses_write_bytes(&w, node->node_id.bytes, 20);
    memset(ses_write_space(&w, SES_DSA_SIG_BYTES), 0, SES_DSA_SIG_BYTES);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    out->len = w.len;
    TAP_MUST(ses_tx_decode(&decoded, out->bytes, out->len) == SES_OK);
    ses_verified_add(c->vm, &decoded.id);
}
/* The reveal of the commitment that follows one of epoch - 1 `before`; 0: the first. */
static inline void reveal_of(struct ses_hash *out, const struct person *node, uint64_t before)
{
    uint8_t number[8];
    ses_put_u64(number, before);
    ses_h(out, "test-reveal", SES_PARTS(SES_PART(node->node_id.bytes, 20), SES_PART(number, 8)));
}
static inline struct ses_node node_of(const struct chain *c, const struct person *p)
{
    struct ses_node node;
    struct ses_map_node keys;
    TAP_MUST(ses_vm_node(c->vm, &p->node_id, &keys, &node) == SES_OK);
    return node;
}
static inline struct ses_tx commitment_of(const struct chain *c, const struct person *p,
                                          struct ses_forest *forest, uint64_t last_epoch)
{
    const struct ses_node node = node_of(c, p);
    struct ses_tx tx = {.type = SES_TX_COMMITMENT};
    struct ses_tx_commitment *m = &tx.body.commitment;
    struct ses_vm_head head;
    struct ses_sum sum;
    struct ses_hash reveal;
    ses_vm_head(c->vm, &head);
    ses_forest_sum(forest, &sum);
    m->node_id = p->node_id;
    m->epoch = head.epoch;
    m->swarm = node.swarm;
    m->count = sum.count;
    m->bytes = sum.bytes;
    ses_forest_root(forest, &m->root, node.swarm, head.epoch);
    reveal_of(&m->reveal, p, last_epoch);
    reveal_of(&reveal, p, head.epoch + 1);
    ses_reveal_commit(&m->next, &reveal);
    return tx;
}

/* ---- a response ---- */
struct answer {
    struct ses_buf proof;
    struct ses_tx tx;
};
static inline int by_position(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}
static inline void prove_owed(struct answer *a, struct ses_forest *forest,
                              const struct ses_duty *duty)
{
    struct ses_forest_range ranges[SES_DEMANDS_MAX];
    uint64_t positions[SES_OWED_MAX];
    struct ses_forest_question q = {.ranges = ranges, .positions = positions};
    for (uint32_t i = 0; i < duty->owed_cnt; i++) {
        if (duty->owed[i].kind == SES_OWED_AUDIT) {
            positions[q.position_cnt++] = duty->owed[i].position;
        } else {
            ses_forest_range_key(&ranges[q.range_cnt++], &duty->owed[i].segment,
                                 &duty->owed[i].key);
        }
    }
    qsort(positions, q.position_cnt, sizeof(positions[0]), by_position);
    TAP_MUST(ses_forest_prove(forest, &a->proof, &q, NULL) == SES_OK);
    a->tx.body.response.proof = a->proof.bytes;
    a->tx.body.response.proof_len = (uint32_t)a->proof.len;
}
static inline bool holds(struct ses_forest *forest, const struct ses_owed *demand)
{
    struct ses_forest_segment segment;
    struct ses_leaf leaf;
    size_t index = 0;
    if (!ses_forest_find(forest, &demand->segment, &index)) {
        return false;
    }
    ses_forest_segment(forest, index, &segment);
    return segment.trie != NULL && ses_forest_trie_get(segment.trie, &demand->key, &leaf);
}
/* Opens owed leaf i, if the forest has it. */
static inline void open_owed(struct answer *a, const struct keep *k, struct ses_forest *forest,
                             const struct ses_owed *owed, uint8_t i)
{
    struct ses_segment_id segment;
    struct ses_leaf leaf = {.key = owed->key};
    struct ses_tx_response *m = &a->tx.body.response;
    if (owed->kind == SES_OWED_AUDIT) {
        TAP_MUST(ses_forest_at(forest, owed->position, &segment, &leaf) == SES_OK);
    } else if (!holds(forest, owed)) {
        return;
    }
    const struct kept_record *r = keep_find(k, &leaf.key);
    TAP_MUST(r != NULL);
    struct ses_opening *o = &m->openings[m->opening_cnt++];
    if (r->leaf.kind == 1 && r->leaf.size == 0) {
        *o = (struct ses_opening){.index = i, .leaf_only = true};
    } else {
        ses_opening_make(o, i, &r->record, &r->ids, owed->chunk_draw);
    }
}
/* All yes, nothing free to spare, everything opened that is owed (`forest` NULL: nothing). */
static inline void answer_of(struct answer *a, const struct chain *c, const struct keep *k,
                             struct ses_forest *forest, const struct person *p)
{
    struct ses_duty duty;
    struct ses_node_id targets[256];
    uint32_t target_cnt = 0;
    struct ses_tx_response *m = &a->tx.body.response;
    a->proof.len = 0;
    a->tx = (struct ses_tx){.type = SES_TX_RESPONSE};
    TAP_MUST(ses_vm_duty(c->vm, &p->node_id, &duty) == SES_OK);
    m->node_id = p->node_id;
    m->epoch = duty.epoch;
    m->free = (uint64_t)1 << 40;
    TAP_MUST(ses_vm_tests(c->vm, &p->node_id, targets, &target_cnt, m->verdicts) == SES_OK);
    m->verdict_cnt = (uint8_t)((target_cnt + 7) / 8);
    if (forest == NULL || !duty.has_root || duty.owed_cnt == 0) {
        return;
    }
    prove_owed(a, forest, &duty);
    for (uint8_t i = 0; i < duty.owed_cnt; i++) {
        open_owed(a, k, forest, &duty.owed[i], i);
    }
}

/* ---- judgements ---- */
struct found {
    const struct person *of;
    struct ses_judgement j;
    uint32_t cnt;
};
static inline bool find_judgement(void *cookie, const struct ses_judgement *j)
{
    struct found *f = cookie;
    if (f->of == NULL || memcmp(f->of->node_id.bytes, j->node_id.bytes, 20) == 0) {
        f->j = *j;
        f->cnt++;
    }
    return true;
}
/* What the epoch says of the node; zeros if nothing. */
static inline struct ses_judgement judged(const struct chain *c, const struct person *p,
                                          uint64_t epoch)
{
    struct found f = {.of = p};
    TAP_ERR(SES_OK, ses_vm_judgements(c->vm, epoch, find_judgement, &f));
    TAP_OK(f.cnt <= 1);
    return f.j;
}

#endif
