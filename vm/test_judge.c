/* Judging: each cause of a miss from the epoch on in which it counts, what it costs, outages, lost
 * seats, the end of service, canonical roots; and that no coin is lost or made by it. */
#include "vm/test_duty.h"

#define NODES 9u
#define EPOCH_S 100u
#define MISS (STAKE / 200) /* 50 of 10000 */

/* What a node does in an epoch. */
enum {
    COMMITS = 1,
    ANSWERS = 2,
    OPENS = 4,
    LACKS = 8,   /* a record: it commits to another root */
    FULL = 16,   /* no free space */
    HIDDEN = 32, /* nobody reaches it */
    SILENT = 0,
    GOOD = COMMITS | ANSWERS | OPENS,
};

static struct person people[NODES + 1]; /* one each, and a stranger without a node */
static uint64_t last_commit[NODES];
static bool lacked[NODES]; /* in the epoch before */
static struct tx_bytes tx;
static struct answer answer;
static struct keep keep;
static struct chain c;
static char *texts[8];
static size_t text_cnt;

static void fresh(const char *params)
{
    char all[400];
    snprintf(all, sizeof(all),
             "{\"epochSeconds\": 100, \"settleSeconds\": 20, \"freezeSeconds\": 10, "
             "\"rotatePerSwarmEpochs\": 0%s}",
             params);
    for (size_t i = 0; i <= NODES; i++) {
        people[i].nonce = 0;
        people[i].shown = false;
    }
    memset(last_commit, 0, sizeof(last_commit));
    memset(lacked, 0, sizeof(lacked));
    texts[text_cnt] = genesis_text(genesis_json(people, NODES + 1, NODES, all));
    chain_new(&c, texts[text_cnt++]);
    keep_split(&keep, 1);
}

static void done(void)
{
    chain_free(&c);
    while (text_cnt > 0) {
        free(texts[--text_cnt]);
    }
}

static uint64_t epoch_now(void)
{
    struct ses_vm_head head;
    ses_vm_head(c.vm, &head);
    return head.epoch;
}

static void go_to(uint64_t epoch, uint64_t second)
{
    c.now_s = GENESIS_TIME + EPOCH_S * epoch + second;
    const enum ses_err err = chain_step(&c, NULL);
    TAP_OK(err == SES_OK || err == SES_ERR_AGAIN);
}

static void commit(size_t i, bool lacks)
{
    const struct ses_tx t =
        commitment_of(&c, &people[i], lacks ? keep.lacking[0] : keep.whole[0], last_commit[i]);
    sign_duty(&tx, &c, &t, &people[i], true, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    last_commit[i] = t.body.commitment.epoch + 1;
}

static size_t index_of(const struct ses_node_id *node_id)
{
    size_t i = 0;
    while (i < NODES && memcmp(people[i].node_id.bytes, node_id->bytes, 20) != 0) {
        i++;
    }
    return i;
}

static void respond(size_t i, const int did[NODES])
{
    struct ses_node_id targets[256];
    uint8_t counts[SES_VERDICT_BYTES_MAX];
    uint32_t cnt = 0;
    struct ses_forest *forest = lacked[i] ? keep.lacking[0] : keep.whole[0];
    answer_of(&answer, &c, &keep, (did[i] & OPENS) != 0 ? forest : NULL, &people[i]);
    struct ses_tx_response *m = &answer.tx.body.response;
    TAP_ERR(SES_OK, ses_vm_tests(c.vm, &people[i].node_id, targets, &cnt, counts));
    for (uint32_t j = 0; j < cnt; j++) {
        if ((did[index_of(&targets[j])] & HIDDEN) != 0) {
            m->verdicts[j / 8] = (uint8_t)(m->verdicts[j / 8] & ~(1u << (j % 8)));
        }
    }
    m->free = (did[i] & FULL) != 0 ? 1000 : m->free;
    sign_duty(&tx, &c, &answer.tx, &people[i], true, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
}

/* One epoch, and the transition behind it. */
static void play(const int did[NODES])
{
    const uint64_t e = epoch_now();
    for (size_t i = 0; i < NODES; i++) {
        if ((did[i] & COMMITS) != 0) {
            commit(i, (did[i] & LACKS) != 0);
        }
    }
    go_to(e, 30);
    for (size_t i = 0; i < NODES; i++) {
        if ((did[i] & ANSWERS) != 0) {
            respond(i, did);
        }
        lacked[i] = (did[i] & LACKS) != 0;
    }
    go_to(e, 60);
    go_to(e, 90);
    go_to(e + 1, 0);
    TAP_EQ((NODES + 1) * RICH + NODES * STAKE, supply_of(&c, people, NODES + 1));
}

/* `cnt` epochs in which all are good but the first few, which do as they are told. */
static void play_but(unsigned epochs, unsigned cnt, int first)
{
    int did[NODES];
    for (size_t i = 0; i < NODES; i++) {
        did[i] = i < cnt ? first : GOOD;
    }
    for (unsigned n = 0; n < epochs; n++) {
        play(did);
    }
}

static void good_epochs(unsigned epochs)
{
    play_but(epochs, 0, GOOD);
}

static struct ses_epoch record(struct ses_canonical_root roots[4])
{
    struct ses_epoch e;
    struct ses_buf buf = {0};
    struct ses_reader r;
    TAP_MUST(ses_vm_epoch(c.vm, UINT64_MAX, &buf) == SES_OK);
    ses_reader_init(&r, buf.bytes, buf.len);
    ses_epoch_read(&r, &e, roots, 4);
    TAP_MUST(ses_reader_done(&r) == SES_OK);
    ses_buf_free(&buf);
    return e;
}

/* The last epoch's judgement of node 0. */
static struct ses_judgement verdict(void)
{
    return judged(&c, &people[0], epoch_now() - 1);
}

static void missed(unsigned causes, uint64_t slashed)
{
    const struct ses_judgement j = verdict();
    TAP_EQ(causes, j.causes);
    TAP_EQ(slashed, j.slashed);
}

/* ---- the good ---- */

static void test_nobody_misses(void)
{
    struct ses_canonical_root roots[4];
    fresh("");
    good_epochs(6);
    for (size_t i = 0; i < NODES; i++) {
        const struct ses_node node = node_of(&c, &people[i]);
        TAP_OK(node.misses == 0 && node.slashed == 0 && node.stake == STAKE && node.swarm == 0);
        TAP_OK(node.observed[0] == 0x3F && node.uptime[0] == 0x3F && node.deviant_cnt == 0);
    }
    struct found all = {0};
    TAP_ERR(SES_OK, ses_vm_judgements(c.vm, 5, find_judgement, &all));
    TAP_EQ(0, all.cnt);
    const struct ses_epoch e = record(roots);
    TAP_OK(e.epoch == 6 && !e.outage && e.miss_cnt == 0 && e.canonical_cnt == 1);
    struct ses_committed mine;
    TAP_ERR(SES_OK, ses_vm_commitment(c.vm, &people[0].node_id, 5, &mine));
    TAP_BYTES(mine.root.bytes, roots[0].root.bytes, 32);
    TAP_OK(roots[0].count == mine.count && roots[0].bytes == mine.bytes && roots[0].swarm == 0);
    done();
}

/* The seed of an epoch is made of the reveals of the one before, in the order of node ids. */
static void test_seed_of_reveals(void)
{
    struct ses_canonical_root roots[4];
    struct ses_hash reveals[NODES];
    struct ses_committed one;
    struct ses_hash seed;
    uint32_t cnt = 0;
    fresh("");
    good_epochs(1);
    const struct ses_hash before = record(roots).seed;
    play_but(1, 3, ANSWERS); /* three do not commit */
    for (uint32_t i = 0; i < c.vm->node_cnt; i++) {
        if (ses_vm_commitment(c.vm, &c.vm->node_ids[i], 1, &one) == SES_OK) {
            reveals[cnt++] = one.reveal;
        }
    }
    TAP_EQ(NODES - 3, cnt);
    const struct ses_epoch e = record(roots);
    ses_epoch_seed(&seed, &before, 2, reveals, cnt, &e.parent_block);
    TAP_BYTES(seed.bytes, e.seed.bytes, 32);
    done();
}

/* ---- the causes ---- */

static void test_no_commitment(void)
{
    fresh("");
    play_but(1, 1, ANSWERS); /* its first epoch in the seat */
    missed(0, 0);
    play_but(1, 1, ANSWERS);
    missed(SES_CAUSE_COMMITMENT, MISS);
    const struct ses_node node = node_of(&c, &people[0]);
    TAP_OK(node.stake == STAKE - MISS && node.slashed == MISS && node.principal == STAKE);
    TAP_OK(node.misses == 1 && node.misses_running == 1);
    TAP_OK(node.observed[0] == 3 && node.uptime[0] == 1);
    TAP_EQ(MISS, ses_vm_total_burned(c.vm));
    good_epochs(1);
    TAP_OK(node_of(&c, &people[0]).misses == 1 && node_of(&c, &people[0]).misses_running == 0);
    done();
}

static void test_no_response(void)
{
    fresh("");
    play_but(1, 1, COMMITS);
    missed(SES_CAUSE_RESPONSE, MISS);
    done();
}

static void test_nothing_opened(void)
{
    fresh("");
    good_epochs(1);
    play_but(1, 1, COMMITS | ANSWERS); /* s = 1 */
    missed(0, 0);
    play_but(1, 1, COMMITS | ANSWERS);
    missed(SES_CAUSE_OPENING, MISS);
    TAP_OK(verdict().lacking == 3 || verdict().lacking == 1);
    done();
}

/* Nothing was committed to in the epoch before: nothing is owed. */
static void test_nothing_owed(void)
{
    fresh("");
    good_epochs(2);
    play_but(1, 1, ANSWERS | OPENS);
    missed(SES_CAUSE_COMMITMENT, MISS);
    play_but(1, 1, COMMITS | ANSWERS);
    missed(0, 0);
    done();
}

static void test_full(void)
{
    fresh("");
    good_epochs(1);
    play_but(1, 1, GOOD | FULL);
    missed(SES_CAUSE_FREE, MISS);
    done();
    fresh(", \"minFreeBytes\": 1000, \"minFreeBps\": 0"); /* just enough */
    play_but(1, 1, GOOD | FULL);
    missed(0, 0);
    done();
}

static void test_unreachable(void)
{
    fresh("");
    play_but(1, 1, GOOD | HIDDEN);
    missed(0, 0);
    TAP_OK(verdict().flags == SES_JUDGED_UNREACHED && verdict().reached == 0);
    TAP_OK(verdict().tested == NODES - 1 && verdict().answered == NODES - 1);
    good_epochs(1); /* breaks the row */
    play_but(1, 1, GOOD | HIDDEN);
    missed(0, 0);
    play_but(1, 1, GOOD | HIDDEN);
    missed(SES_CAUSE_UNREACHABLE, MISS);
    play_but(1, 1, GOOD | HIDDEN);
    missed(SES_CAUSE_UNREACHABLE, MISS);
    TAP_EQ(3, node_of(&c, &people[0]).unreachable_cnt);
    done();
}

/* Half of the testers that answered are enough; what too few say is nothing. */
static void test_testers(void)
{
    int did[NODES] = {GOOD | HIDDEN};
    fresh(", \"outageBps\": 10000, \"seatLostMisses\": 168");
    for (size_t i = 1; i < NODES; i++) {
        did[i] = i == 1 ? COMMITS : GOOD; /* one does not answer: less than all of eight */
    }
    play(did);
    TAP_EQ(0, verdict().flags);
    TAP_EQ(0, node_of(&c, &people[0]).unreachable_cnt);
    done();
}

static void test_deviant(void)
{
    fresh("");
    good_epochs(1);
    play_but(3, 1, GOOD | LACKS); /* epochs 1, 2, 3 */
    TAP_EQ(SES_JUDGED_OFF_ROOT, verdict().flags);
    missed(0, 0); /* three in a row, but s = 3 */
    TAP_EQ(3, node_of(&c, &people[0]).deviant_cnt);
    play_but(1, 1, GOOD | LACKS);
    missed(SES_CAUSE_DEVIANT, MISS);
    good_epochs(1); /* committed as the others again, but opens what it lacked */
    missed(0, 0);
    TAP_EQ(0, node_of(&c, &people[0]).deviant_cnt);
    play_but(2, 1, GOOD | LACKS);
    missed(0, 0);
    play_but(1, 1, GOOD | LACKS);
    missed(SES_CAUSE_DEVIANT, MISS);
    done();
}

/* Two thirds are not more than two thirds: no canonical root, no deviants. */
static void test_no_canonical_root(void)
{
    struct ses_canonical_root roots[4];
    fresh("");
    good_epochs(1);
    play_but(1, 2, GOOD | LACKS);
    TAP_EQ(1, record(roots).canonical_cnt);
    TAP_EQ(1, node_of(&c, &people[0]).deviant_cnt);
    play_but(1, 3, GOOD | LACKS);
    TAP_EQ(0, record(roots).canonical_cnt);
    TAP_EQ(0, node_of(&c, &people[0]).deviant_cnt);
    done();
}

/* ---- outages ---- */

static void test_outage(void)
{
    struct ses_canonical_root roots[4];
    fresh("");
    good_epochs(1);
    play_but(1, 2, ANSWERS | OPENS); /* two of nine are more than a fifth */
    missed(SES_CAUSE_COMMITMENT, 0);
    TAP_EQ(SES_JUDGED_FORGIVEN, verdict().flags);
    struct ses_epoch e = record(roots);
    TAP_OK(e.outage && e.miss_cnt == 2);
    struct ses_node node = node_of(&c, &people[0]);
    TAP_OK(node.misses == 0 && node.misses_running == 0 && node.stake == STAKE);
    TAP_OK(node.forgiven[0] == 2 && node.observed[0] == 3 && node.uptime[0] == 1);
    play_but(5, 2, ANSWERS);
    TAP_EQ(SES_JUDGED_FORGIVEN, verdict().flags);
    play_but(1, 2, ANSWERS); /* the seventh time */
    missed(SES_CAUSE_COMMITMENT, MISS);
    TAP_EQ(0, verdict().flags);
    e = record(roots);
    TAP_OK(e.outage && e.miss_cnt == 2);
    node = node_of(&c, &people[0]);
    TAP_OK(node.misses == 1 && node.forgiven[0] == 0x7E);
    done();
}

/* ---- seats ---- */

static void test_seat_lost(void)
{
    fresh("");
    good_epochs(1);
    play_but(5, 1, ANSWERS);
    TAP_EQ(0, node_of(&c, &people[0]).swarm);
    play_but(1, 1, ANSWERS);
    TAP_EQ(SES_JUDGED_SEAT_LOST, verdict().flags);
    struct ses_node node = node_of(&c, &people[0]);
    TAP_OK(node.swarm == SES_SWARM_NONE && node.prev_swarm == 0 && node.misses_running == 6);
    TAP_EQ(SES_NODE_ACTIVE, node.status);
    play_but(1, 1, SILENT); /* still has to answer */
    missed(SES_CAUSE_RESPONSE, MISS);
    TAP_EQ(0, verdict().flags);
    TAP_EQ(SES_SWARM_NONE, node_of(&c, &people[0]).swarm);
    chain_restart(&c);
    const uint64_t n = epoch_now() + 1;
    play_but(1, 1, ANSWERS); /* but not to commit; it passes and gets a seat */
    missed(0, 0);
    node = node_of(&c, &people[0]);
    TAP_OK(node.swarm == 0 && node.misses_running == 0 && node.swarm_from_epoch == n);
    done();
}

/* ---- the end of service ---- */

static void test_decommissioned(void)
{
    fresh(", \"missBps\": 2000, \"maxSlashBps\": 5000, \"unbondEpochs\": 3");
    good_epochs(1);
    play_but(1, 1, ANSWERS);
    missed(SES_CAUSE_COMMITMENT, STAKE / 5);
    play_but(1, 1, ANSWERS);
    missed(SES_CAUSE_COMMITMENT, STAKE / 5);
    TAP_EQ(SES_NODE_ACTIVE, node_of(&c, &people[0]).status);
    play_but(1, 1, ANSWERS); /* the cap leaves a tenth, and it is the third miss */
    missed(SES_CAUSE_COMMITMENT, STAKE / 10);
    TAP_EQ(SES_JUDGED_DECOMMISSIONED, verdict().flags);
    struct ses_node node = node_of(&c, &people[0]);
    TAP_OK(node.status == SES_NODE_DECOMMISSIONING && node.decommission_epoch == epoch_now());
    TAP_OK(node.swarm == 0 && node.slashed == STAKE / 2 && node.stake == STAKE / 2);
    play_but(1, 1, ANSWERS); /* nothing is left to take */
    missed(SES_CAUSE_COMMITMENT, 0);
    play_but(2, 1, GOOD);
    node = node_of(&c, &people[0]);
    TAP_OK(node.status == SES_NODE_RETIRED && node.stake == 0 && node.swarm == SES_SWARM_NONE);
    struct ses_vm_account owner;
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[0].account, &owner));
    TAP_EQ(RICH + STAKE / 2, owner.balance);
    TAP_EQ(STAKE / 2, ses_vm_total_burned(c.vm));
    struct ses_duty duty; /* nothing of it is left */
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[0].node_id, &duty));
    TAP_OK(!duty.committed && !duty.responded && duty.owed_cnt == 0);
    done();
}

/* ---- epochs that are not judged ---- */

static void test_unsettled(void)
{
    fresh("");
    good_epochs(2);
    commit(1, false); /* the last block of the epoch is too early */
    go_to(2, 30);
    go_to(3, 0);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_judgements(c.vm, 2, find_judgement, &(struct found){0}));
    struct ses_node node = node_of(&c, &people[0]);
    TAP_OK(node.misses == 0 && node.observed[0] == 3);
    done();
}

static void test_skipped_epochs(void)
{
    fresh("");
    good_epochs(3);
    for (size_t i = 0; i < NODES; i++) {
        commit(i, false);
    }
    go_to(3, 30);
    go_to(3, 85);
    go_to(6, 5); /* 3 is judged: nobody answered */
    TAP_EQ(6, epoch_now());
    struct ses_judgement j = judged(&c, &people[0], 3);
    TAP_EQ(SES_CAUSE_RESPONSE, j.causes);
    TAP_EQ(SES_JUDGED_FORGIVEN, j.flags);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_judgements(c.vm, 4, find_judgement, &(struct found){0}));
    struct ses_duty duty;
    TAP_ERR(SES_OK, ses_vm_duty(c.vm, &people[0].node_id, &duty));
    TAP_OK(!duty.has_root && duty.owed_cnt == 0);
    good_epochs(2);
    missed(0, 0);
    done();
}

/* ---- demands ---- */

static void demand(uint32_t record_i)
{
    const struct kept_record *r = &keep.records[record_i];
    const struct ses_receipt_leaf leaf = {
        .id = r->ids.id, .digest = r->ids.digest, .segment = r->ids.segment};
    struct ses_tx t = {.type = SES_TX_DEMAND,
                       .body.demand = {.nonce = ++people[NODES].nonce, .fee = FEE}};
    struct ses_hash chain_id;
    ses_vm_chain_id(c.vm, &chain_id);
    TAP_MUST(ses_receipts_sign(&t.body.demand.receipt, &leaf, 1, &chain_id, &people[0].node_id,
                               people[0].key, tap_random()) == SES_OK);
    sign_tx(&tx, &c, &t, kind_of(&people[NODES]), &people[NODES], NULL, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
}

/* A node that lost what it signed for pays, epoch after epoch; one that has it shows it. */
static void test_demand(void)
{
    uint32_t first = 0; /* the record that `lacking` lacks: the first one */
    fresh(", \"deviantEpochs\": 168");
    play_but(3, 1, GOOD | LACKS);
    demand(first);
    play_but(1, 1, GOOD | LACKS);
    missed(0, 0);
    /* it cannot open it: answers without openings at all, for a proof would show its absence */
    play_but(1, 1, COMMITS | ANSWERS | LACKS);
    missed(SES_CAUSE_OPENING, MISS);
    TAP_OK((verdict().lacking & 4) != 0 || (verdict().lacking & 2) != 0);
    good_epochs(1);
    demand(first);
    play_but(1, 1, GOOD);
    play_but(1, 1, GOOD);
    missed(0, 0);
    done();
}

/* A demand is owed also by who did not commit. */
static void test_demand_without_root(void)
{
    fresh("");
    good_epochs(3);
    demand(1);
    play_but(1, 1, ANSWERS | OPENS);
    missed(SES_CAUSE_COMMITMENT, MISS);
    play_but(1, 1, COMMITS | ANSWERS);
    missed(SES_CAUSE_OPENING, MISS);
    TAP_EQ(1, verdict().lacking);
    done();
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
    TAP_RUN(test_nobody_misses);
    TAP_RUN(test_seed_of_reveals);
    TAP_RUN(test_no_commitment);
    TAP_RUN(test_no_response);
    TAP_RUN(test_nothing_opened);
    TAP_RUN(test_nothing_owed);
    TAP_RUN(test_full);
    TAP_RUN(test_unreachable);
    TAP_RUN(test_testers);
    TAP_RUN(test_deviant);
    TAP_RUN(test_no_canonical_root);
    TAP_RUN(test_outage);
    TAP_RUN(test_seat_lost);
    TAP_RUN(test_decommissioned);
    TAP_RUN(test_unsettled);
    TAP_RUN(test_skipped_epochs);
    TAP_RUN(test_demand);
    TAP_RUN(test_demand_without_root);
    ses_buf_free(&answer.proof);
    keep_free(&keep);
    people_free(people, NODES + 1);
    return tap_done();
}
