/* 200 epochs of 151 nodes of 151 owners that commit, test each other and answer, from fixed keys:
 * some are flaky, hidden, full, deviant, open nothing, or stop; there are outages, demands,
 * rotations of keys, moves, departures (merges) and returns (splits). Records, plans, judgements
 * and state roots of all epochs are pinned by one hash: whatever changes it changes consensus.
 *
 * Signatures of nodes are zeros here and the builder is told to have seen them hold (60,000 real
 * ones would take a minute); those of accounts and receipts are real, and openings are checked. */
#include "vm/test_duty.h"

#define NODES 151u
#define EPOCHS 200u
#define EPOCH_S 1000u
#define SIZES 6u /* 1 .. 32 swarms */
#define GOLDEN "465fece95bdebd9dd82c5a8d76b0775c4f6bcd11bacfd5b57bc3016df9c0a687"

static struct person people[NODES];
static struct fixed_random fixed;
static struct tx_bytes tx;
static struct answer answer;
static struct keep keeps[SIZES];
static uint64_t last_commit[NODES];
static bool lacked[NODES];
static struct chain c;

/* ---- who does what: by BLAKE3 of epoch and node ---- */

enum {
    COMMITS = 1,
    ANSWERS = 2,
    OPENS = 4,
    LACKS = 8,
    FULL = 16,
    HIDDEN = 32,
    SILENT = 0,
    GOOD = 7
};

static uint32_t chance(uint64_t epoch, uint32_t node, uint8_t what)
{
    uint8_t bytes[13];
    struct ses_hash h;
    ses_put_u64(bytes, epoch);
    ses_put_u32(bytes + 8, node);
    bytes[12] = what;
    ses_blake3_hash(&h, bytes, sizeof(bytes));
    return ses_get_u32(h.bytes) % 100;
}

static bool outage(uint64_t epoch)
{
    return epoch % 45 == 40 || epoch % 45 == 41;
}

static int behaviour(uint64_t e, uint32_t i)
{
    if (outage(e) && chance(e, i, 1) < 40) {
        return SILENT;
    }
    if (i < 5) { /* flaky */
        return chance(e, i, 2) < 30 ? SILENT : GOOD;
    }
    if (i < 10) { /* another root for a while */
        return e / 10 % 3 == 1 ? GOOD | LACKS : GOOD;
    }
    if (i < 15) {
        return e / 5 % 4 == 2 ? GOOD | HIDDEN : GOOD;
    }
    if (i < 18) {
        return e % 9 == 0 ? GOOD | FULL : GOOD;
    }
    if (i < 21) {
        return e % 7 == 3 ? COMMITS | ANSWERS : GOOD;
    }
    if (i < 24) { /* stop, and one of them comes back */
        return e >= 60 && (i != 23 || e < 75) ? SILENT : GOOD;
    }
    return GOOD;
}

/* ---- duties ---- */

static struct keep *keep_of(uint32_t num_swarms)
{
    uint32_t at = 0;
    while (1u << at < num_swarms) {
        at++;
    }
    TAP_MUST(at < SIZES);
    return &keeps[at];
}

static void send(enum ses_err want)
{
    TAP_ERR(want, submit(&c, &tx));
}

static bool serves(uint32_t i, struct ses_node *node)
{
    struct ses_map_node keys;
    return ses_vm_node(c.vm, &people[i].node_id, &keys, node) == SES_OK &&
           node->status != SES_NODE_RETIRED;
}

static void commit_all(uint64_t e, uint32_t num_swarms)
{
    const struct keep *k = keep_of(num_swarms);
    for (uint32_t i = 0; i < NODES; i++) {
        struct ses_node node;
        const int did = behaviour(e, i);
        if (!serves(i, &node) || node.swarm == SES_SWARM_NONE || (did & COMMITS) == 0) {
            continue;
        }
        lacked[i] = (did & LACKS) != 0;
        const struct ses_tx t =
            commitment_of(&c, &people[i], lacked[i] ? k->lacking[node.swarm] : k->whole[node.swarm],
                          last_commit[i]);
        sign_duty(&tx, &c, &t, &people[i], true, &fixed.random);
        send(SES_OK);
        last_commit[i] = e + 1;
    }
}

static uint32_t index_of(const struct ses_node_id *node_id)
{
    uint32_t i = 0;
    while (memcmp(people[i].node_id.bytes, node_id->bytes, 20) != 0) {
        i++;
    }
    return i;
}

static void vote(struct ses_tx_response *m, uint64_t e, uint32_t i)
{
    struct ses_node_id targets[256];
    uint8_t counts[SES_VERDICT_BYTES_MAX];
    uint32_t cnt = 0;
    TAP_MUST(ses_vm_tests(c.vm, &people[i].node_id, targets, &cnt, counts) == SES_OK);
    for (uint32_t j = 0; j < cnt; j++) {
        const int did = behaviour(e, index_of(&targets[j]));
        if ((did & HIDDEN) != 0 || did == SILENT) {
            m->verdicts[j / 8] = (uint8_t)(m->verdicts[j / 8] & ~(1u << (j % 8)));
        }
    }
}

static void answer_all(uint64_t e)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct ses_node node;
        struct ses_committed root;
        struct ses_forest *forest = NULL;
        const int did = behaviour(e, i);
        if (!serves(i, &node) || (did & ANSWERS) == 0) {
            continue;
        }
        const bool has = ses_vm_commitment(c.vm, &people[i].node_id, e - 1, &root) == SES_OK;
        const struct keep *k = keep_of(has ? root.num_swarms : 1);
        if (has && (did & OPENS) != 0) {
            struct ses_sum sum;
            ses_forest_sum(k->whole[root.swarm], &sum);
            forest = sum.count == root.count ? k->whole[root.swarm] : k->lacking[root.swarm];
        }
        answer_of(&answer, &c, k, forest, &people[i]);
        vote(&answer.tx.body.response, e, i);
        answer.tx.body.response.free = (did & FULL) != 0 ? 5 : (uint64_t)1 << 40;
        sign_duty(&tx, &c, &answer.tx, &people[i], true, &fixed.random);
        send(SES_OK);
    }
}

/* ---- the rest ---- */

static void rotate(uint64_t e)
{
    struct ses_node node;
    const uint32_t i = (uint32_t)(e * 7 % NODES);
    if (!serves(i, &node)) {
        return;
    }
    const struct ses_tx key = {.type = SES_TX_ROTATE_KEY,
                               .body.rotate_key = {.node_id = people[i].node_id,
                                                   .encryption_key = people[e % NODES].kem,
                                                   .key_epoch = e}};
    sign_duty(&tx, &c, &key, &people[i], true, &fixed.random);
    send(SES_OK);
    const struct ses_tx place = {
        .type = SES_TX_ENDPOINT,
        .body.endpoint = {.node_id = people[i].node_id,
                          .sequence = c.now_s,
                          .endpoint = {.addr_cnt = 1, .addrs = {{2, {4, (uint8_t)e}}}}}};
    sign_duty(&tx, &c, &place, &people[i], true, &fixed.random);
    send(SES_OK);
}

/* Of a record that a node may have lost: a deviant one, or anybody. */
static void demand(uint64_t e, uint32_t num_swarms)
{
    const uint32_t i = e % 2 == 0 ? 5 + (uint32_t)(e / 2 % 5) : (uint32_t)(e * 11 % NODES);
    struct person *by = &people[100];
    struct ses_hash chain_id;
    struct ses_node node;
    if (!serves(i, &node) || node.swarm == SES_SWARM_NONE) {
        return;
    }
    const struct keep *k = keep_of(num_swarms);
    uint32_t r = 0;
    while (r < KEEP_RECORDS && ses_swarm_of(&k->records[r].ids.digest, num_swarms) != node.swarm) {
        r++;
    }
    if (r == KEEP_RECORDS) {
        return;
    }
    const struct ses_receipt_leaf leaf = {.id = k->records[r].ids.id,
                                          .digest = k->records[r].ids.digest,
                                          .segment = k->records[r].ids.segment,
                                          .swarm = node.swarm,
                                          .swarm_from_epoch = node.swarm_from_epoch};
    struct ses_tx t = {.type = SES_TX_DEMAND, .body.demand = {.nonce = ++by->nonce, .fee = FEE}};
    ses_vm_chain_id(c.vm, &chain_id);
    TAP_MUST(ses_receipts_sign(&t.body.demand.receipt, &leaf, 1, &chain_id, &people[i].node_id,
                               people[i].key, &fixed.random) == SES_OK);
    sign_tx(&tx, &c, &t, kind_of(by), by, NULL, &fixed.random);
    send(SES_OK);
}

/* 84 leave in epochs 100..119 and come back from 140 on. */
static void come_and_go(uint64_t e)
{
    for (uint32_t n = 0; n < 4; n++) {
        const uint32_t i = 60 + (uint32_t)(e % 20) * 4 + n;
        struct ses_node node;
        if (e >= 100 && e < 120 && serves(i, &node) && node.status == SES_NODE_ACTIVE) {
            make_decommission(&tx, &c, &people[i], &people[i].node_id, &fixed.random);
            send(SES_OK);
        } else if (e >= 140 && e < 160 && !serves(i, &node)) {
            make_register(&tx, &c, &people[i], &people[i], STAKE + i, &fixed.random);
            send(SES_OK);
            last_commit[i] = 0;
        }
    }
    if (e % 13 == 5) {
        make_top_up(&tx, &c, &people[30], &people[30].node_id, e * LUX, &fixed.random);
        send(SES_OK);
    }
}

/* ---- what comes of it ---- */

struct seen {
    uint32_t causes[SES_CAUSE_CNT];
    uint32_t flags[5];
    uint32_t outages, canonical, splits, merges, demanded_lacking, misses;
    uint64_t slashed;
    uint32_t num_swarms;
};

static bool see(void *cookie, const struct ses_judgement *j)
{
    struct seen *s = cookie;
    for (unsigned b = 0; b < SES_CAUSE_CNT; b++) {
        s->causes[b] += j->causes >> b & 1;
    }
    for (unsigned b = 0; b < SES_COUNT(s->flags); b++) {
        s->flags[b] += j->flags >> b & 1;
    }
    s->misses += j->causes != 0;
    s->demanded_lacking += j->lacking > 3;
    s->slashed += j->slashed;
    return true;
}

static void hash_of_table(struct ses_blake3 *h, enum ses_ledger_table table, uint64_t epoch)
{
    struct ses_buf buf = {0};
    uint8_t number[8];
    ses_put_u64(number, epoch);
    const enum ses_err err = ses_ledger_get(&c.vm->kv, table, number, sizeof(number), &buf);
    TAP_MUST(err == SES_OK || (table == SES_STORE_JUDGED && err == SES_ERR_NOT_FOUND));
    ses_blake3_update(h, buf.bytes, buf.len);
    ses_buf_free(&buf);
}

static uint32_t look(struct seen *s, struct ses_blake3 *h, uint64_t epoch)
{
    struct ses_canonical_root roots[32];
    struct ses_buf record = {0};
    struct ses_vm_head head;
    struct ses_epoch e;
    struct ses_reader r;
    TAP_MUST(ses_vm_epoch(c.vm, epoch, &record) == SES_OK);
    ses_reader_init(&r, record.bytes, record.len);
    ses_epoch_read(&r, &e, roots, 32);
    TAP_MUST(ses_reader_done(&r) == SES_OK && e.epoch == epoch);
    ses_buf_free(&record);
    hash_of_table(h, SES_STORE_EPOCH, epoch);
    hash_of_table(h, SES_STORE_TESTERS, epoch);
    if (epoch > 0) {
        hash_of_table(h, SES_STORE_JUDGED, epoch - 1);
        const uint32_t before = s->misses;
        TAP_ERR(SES_OK, ses_vm_judgements(c.vm, epoch - 1, see, s));
        TAP_EQ(e.miss_cnt, s->misses - before);
    }
    ses_vm_head(c.vm, &head);
    ses_blake3_update(h, head.state_root.bytes, 32);
    s->outages += e.outage;
    s->canonical += e.canonical_cnt;
    s->splits += epoch > 0 && e.num_swarms > s->num_swarms;
    s->merges += e.num_swarms < s->num_swarms;
    s->num_swarms = e.num_swarms;
    return e.num_swarms;
}

static void check(const struct seen *s, struct ses_blake3 *h)
{
    struct ses_vm_head head;
    struct ses_hash hash;
    char text[65];
    ses_vm_head(c.vm, &head);
    TAP_EQ(EPOCHS, head.epoch);
    ses_blake3_update(h, head.id.bytes, 32);
    ses_blake3_final(h, &hash);
    ses_hex_encode(text, hash.bytes, 32);
    TAP_TEXT(GOLDEN, text);
    printf("# misses %u: a %u, b %u, c %u (%u demanded), d %u, e %u, f %u; slashed %" PRIu64
           " nLUX\n",
           s->misses, s->causes[0], s->causes[1], s->causes[2], s->demanded_lacking, s->causes[3],
           s->causes[4], s->causes[5], s->slashed);
    printf("# forgiven %u in %u outages, %u seats lost, %u decommissioned, %u off root, %u "
           "unreached; %u canonical roots, %u splits, %u merges\n",
           s->flags[0], s->outages, s->flags[1], s->flags[2], s->flags[3], s->flags[4],
           s->canonical, s->splits, s->merges);
    for (unsigned b = 0; b < SES_CAUSE_CNT; b++) {
        TAP_OK(s->causes[b] > 0);
    }
    for (unsigned b = 0; b < SES_COUNT(s->flags); b++) {
        TAP_OK(s->flags[b] > 0);
    }
    TAP_OK(s->outages > 0 && s->splits > 0 && s->merges > 0 && s->demanded_lacking > 0);
    TAP_EQ(NODES * (RICH + STAKE), supply_of(&c, people, NODES));
    TAP_OK(s->slashed <= ses_vm_total_burned(c.vm));
}

/* The node that was only ever good paid nothing. */
static void check_good(void)
{
    for (uint32_t i = 24; i < 60; i++) {
        const struct ses_node node = node_of(&c, &people[i]);
        TAP_OK(node.misses == 0 && node.slashed == 0 && node.status == SES_NODE_ACTIVE);
    }
}

static void play(uint64_t e, uint32_t num_swarms)
{
    c.now_s = GENESIS_TIME + EPOCH_S * e + 100;
    commit_all(e, num_swarms);
    come_and_go(e);
    rotate(e);
    demand(e, num_swarms);
    TAP_MUST(chain_step(&c, NULL) == SES_OK);
    c.now_s += 500;
    if (e > 0) {
        answer_all(e);
        TAP_MUST(chain_step(&c, NULL) == SES_OK);
    }
    c.now_s = GENESIS_TIME + EPOCH_S * e + 905;
    TAP_MUST(chain_step(&c, NULL) == SES_OK);
    c.now_s = GENESIS_TIME + EPOCH_S * (e + 1) + 3;
    TAP_MUST(chain_step(&c, NULL) == SES_OK);
}

static void test_accountable(void)
{
    static struct seen seen;
    struct ses_blake3 h;
    char *genesis = genesis_text(genesis_json(people, NODES, NODES,
                                              "{\"epochSeconds\": 1000, \"settleSeconds\": 100, "
                                              "\"freezeSeconds\": 50, \"swarmTarget\": 8, "
                                              "\"rotatePerSwarmEpochs\": 12, \"unbondEpochs\": 5, "
                                              "\"missBps\": 100, \"maxSlashBps\": 1500}"));
    ses_blake3_init(&h);
    chain_new(&c, genesis);
    uint32_t num_swarms = look(&seen, &h, 0);
    for (uint64_t e = 0; e < EPOCHS; e++) {
        play(e, num_swarms);
        num_swarms = look(&seen, &h, e + 1);
        if (e % 41 == 40) {
            chain_restart(&c);
        }
    }
    check(&seen, &h);
    check_good();
    chain_free(&c);
    free(genesis);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    fixed_random_init(&fixed);
    for (size_t i = 0; i < NODES; i++) {
        person_init(&people[i], &fixed.random);
    }
    for (uint32_t i = 0; i < SIZES; i++) {
        keep_init(&keeps[i]);
        keep_split(&keeps[i], 1u << i);
    }
    TAP_RUN(test_accountable);
    ses_buf_free(&answer.proof);
    for (uint32_t i = 0; i < SIZES; i++) {
        keep_free(&keeps[i]);
    }
    people_free(people, NODES);
    return tap_done();
}
