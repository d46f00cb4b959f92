/* Random transactions and epochs on three machines: one builds, one verifies from bytes, one does
 * so and is restarted at random heights. Equal roots, equal queries, and no coin lost or made. */
#include <pthread.h>
#include <stdatomic.h>

#include "vm/test_duty.h"

#define PEOPLE 24u
#define STEPS 220u

static struct person people[PEOPLE];
static struct tx_bytes tx;

/* The verifier checks signatures on three threads, in whatever order they come. */
struct job {
    void (*task)(void *cookie, size_t i);
    void *cookie;
    size_t cnt;
    atomic_size_t next;
    atomic_size_t done;
};
static void *run_job(void *arg)
{
    struct job *job = arg;
    for (size_t i = atomic_fetch_add(&job->next, 1); i < job->cnt;
         i = atomic_fetch_add(&job->next, 1)) {
        job->task(job->cookie, i);
        atomic_fetch_add(&job->done, 1);
    }
    return NULL;
}
static void run_parallel(void *ctx, void (*task)(void *cookie, size_t i), void *cookie, size_t cnt)
{
    struct job job = {.task = task, .cookie = cookie, .cnt = cnt};
    pthread_t threads[2];
    for (size_t i = 0; i < SES_COUNT(threads); i++) {
        TAP_MUST(pthread_create(&threads[i], NULL, run_job, &job) == 0);
    }
    run_job(&job);
    for (size_t i = 0; i < SES_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    TAP_EQ(cnt, atomic_load(&job.done));
    *(uint64_t *)ctx += 1;
}

static uint64_t below(uint64_t bound)
{
    return ses_random_below(tap_random(), bound);
}

/* Some of these are refused: a refused one gives its nonce back. */
static void random_tx(struct chain *c)
{
    struct person *from = &people[below(PEOPLE)];
    const struct person *other = &people[below(PEOPLE)];
    const bool shown = from->shown;
    switch (below(8)) {
    case 0:
    case 1:
        make_register(&tx, c, from, other, STAKE + below(50) * LUX, tap_random());
        break;
    case 2:
        make_top_up(&tx, c, from, &other->node_id, below(100 * LUX), tap_random());
        break;
    case 3:
        make_decommission(&tx, c, from, &other->node_id, tap_random());
        break;
    case 4:
        make_decommission(&tx, c, from, &from->node_id, tap_random());
        break;
    default:
        make_transfer(&tx, c, from, &other->account, below(2 * RICH / 3), tap_random());
        break;
    }
    if (submit(c, &tx) != SES_OK) {
        from->nonce--;
        from->shown = shown;
    }
}

/* Nonces of what was evicted while building are free again. */
static void resync(const struct chain *c)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        struct ses_vm_account a;
        TAP_MUST(ses_vm_account(c->vm, &people[i].account, &a) == SES_OK);
        people[i].nonce = a.pending_nonce;
        people[i].shown = a.has_key;
    }
}

static void same_state(const struct chain *a, const struct chain *b)
{
    struct ses_vm_head x;
    struct ses_vm_head y;
    ses_vm_head(a->vm, &x);
    ses_vm_head(b->vm, &y);
    TAP_BYTES(x.id.bytes, y.id.bytes, 32);
    TAP_BYTES(x.state_root.bytes, y.state_root.bytes, 32);
    TAP_EQ(x.epoch, y.epoch);
    TAP_EQ(ses_vm_total_bonded(a->vm), ses_vm_total_bonded(b->vm));
}

static bool hash_row(void *cookie, const struct ses_map_node *node)
{
    struct ses_hash hash;
    ses_registry_row_hash(&hash, &node->row);
    ses_blake3_update(cookie, hash.bytes, 32);
    ses_blake3_update(cookie, node->keys.public_key.bytes, SES_DSA_PK_BYTES);
    return true;
}

static void same_registry(const struct chain *a, const struct chain *b, uint64_t since)
{
    const struct chain *both[2] = {a, b};
    struct ses_hash hash[2];
    for (int i = 0; i < 2; i++) {
        struct ses_blake3 h;
        ses_blake3_init(&h);
        TAP_ERR(SES_OK, ses_vm_registry(both[i]->vm, since, hash_row, &h));
        ses_blake3_final(&h, &hash[i]);
    }
    TAP_BYTES(hash[0].bytes, hash[1].bytes, 32);
}

static void random_clock(struct chain *c)
{
    static const uint64_t jumps[] = {0, 1, 30, 30, 80, 100, 100, 350};
    c->now_s += jumps[below(SES_COUNT(jumps))];
}

/* A verified rival that is never accepted must leave no trace. */
static void rival(struct chain *c)
{
    struct ses_hash id;
    const uint64_t now = c->now_s;
    c->now_s += 1 + below(200);
    if (ses_vm_build(c->vm, &id) == SES_OK) {
        TAP_ERR(SES_OK, ses_vm_reject(c->vm, &id));
    }
    c->now_s = now;
}

static void run(const char *params, size_t nodes)
{
    struct chain builder;
    struct chain verifier;
    struct chain restarted;
    char *genesis = genesis_text(genesis_json(people, PEOPLE, nodes, params));
    const uint64_t supply = PEOPLE * RICH + nodes * STAKE;
    uint32_t blocks = 0;
    uint64_t parallel_runs = 0;
    const struct ses_parallel parallel = {.ctx = &parallel_runs, .run = run_parallel};
    chain_new(&builder, genesis);
    chain_new(&verifier, genesis);
    chain_new(&restarted, genesis);
    verifier.parallel = &parallel;
    chain_restart(&verifier);
    resync(&builder);
    for (uint32_t step = 0; step < STEPS; step++) {
        struct ses_hash id;
        for (uint64_t n = below(5); n > 0; n--) {
            random_tx(&builder);
        }
        random_clock(&builder);
        if (below(4) == 0) {
            rival(&builder);
        }
        const enum ses_err err = chain_step(&builder, &id);
        resync(&builder);
        if (err == SES_ERR_AGAIN) {
            continue;
        }
        TAP_MUST(err == SES_OK);
        blocks++;
        TAP_MUST(chain_follow(&verifier, &builder, &id) == SES_OK);
        TAP_MUST(chain_follow(&restarted, &builder, &id) == SES_OK);
        if (below(6) == 0) {
            chain_restart(&restarted);
        }
        same_state(&builder, &verifier);
        same_state(&builder, &restarted);
        TAP_EQ(supply, supply_of(&builder, people, PEOPLE));
    }
    struct ses_vm_head head;
    ses_vm_head(builder.vm, &head);
    TAP_OK(blocks > STEPS / 2 && head.epoch > STEPS / 4);
    TAP_OK(parallel_runs > 0);
    chain_restart(&restarted);
    same_registry(&builder, &restarted, UINT64_MAX);
    same_registry(&builder, &restarted, head.epoch - 3);
    TAP_EQ(supply, supply_of(&restarted, people, PEOPLE));
    chain_free(&builder);
    chain_free(&verifier);
    chain_free(&restarted);
    free(genesis);
}

static void test_one_swarm(void)
{
    run("{\"epochSeconds\": 100, \"settleSeconds\": 20, \"freezeSeconds\": 10, "
        "\"unbondEpochs\": 4}",
        0);
}

static void test_many_swarms(void)
{
    run("{\"epochSeconds\": 100, \"settleSeconds\": 20, \"freezeSeconds\": 10, "
        "\"unbondEpochs\": 2, \"swarmTarget\": 2, \"rotatePerSwarmEpochs\": 2, \"testers\": 3}",
        12);
}

/* ---- duties: random ones of twelve nodes, with real signatures ---- */

#define KEEPERS 12u
#define DUTY_EPOCHS 14u
static struct keep keep[3]; /* 1, 2, 4 swarms */
static uint64_t last_commit[KEEPERS];
static struct answer reply;

static void try_commit(struct chain *c, size_t i, uint64_t e)
{
    const struct ses_node node = node_of(c, &people[i]);
    struct ses_epoch record = c->vm->tip.epoch;
    const struct keep *k = &keep[record.num_swarms / 2];
    if (node.swarm == SES_SWARM_NONE) {
        return;
    }
    struct ses_forest *forest = below(6) == 0 ? k->lacking[node.swarm] : k->whole[node.swarm];
    const struct ses_tx t = commitment_of(c, &people[i], forest, last_commit[i]);
    sign_duty(&tx, c, &t, &people[i], false, tap_random());
    TAP_ERR(SES_OK, submit(c, &tx));
    last_commit[i] = e + 1;
}

static void try_answer(struct chain *c, size_t i, uint64_t e)
{
    struct ses_committed root;
    struct ses_forest *forest = NULL;
    const struct keep *k = &keep[0];
    if (e > 0 && ses_vm_commitment(c->vm, &people[i].node_id, e - 1, &root) == SES_OK) {
        struct ses_sum sum;
        k = &keep[root.num_swarms / 2];
        ses_forest_sum(k->whole[root.swarm], &sum);
        forest = sum.count == root.count ? k->whole[root.swarm] : k->lacking[root.swarm];
    }
    answer_of(&reply, c, k, below(8) == 0 ? NULL : forest, &people[i]);
    for (unsigned j = 0; j < reply.tx.body.response.verdict_cnt; j++) {
        reply.tx.body.response.verdicts[j] &= (uint8_t)below(256);
    }
    sign_duty(&tx, c, &reply.tx, &people[i], false, tap_random());
    TAP_ERR(SES_OK, submit(c, &tx));
}

static void duties(struct chain *c, uint64_t e, bool second_half)
{
    for (size_t i = 0; i < KEEPERS; i++) {
        if (node_of(c, &people[i]).status == SES_NODE_RETIRED || below(6) == 0) {
            continue;
        }
        if (second_half) {
            try_answer(c, i, e);
        } else {
            try_commit(c, i, e);
        }
    }
}

static void test_duties(void)
{
    struct chain builder;
    struct chain verifier;
    uint64_t parallel_runs = 0;
    const struct ses_parallel parallel = {.ctx = &parallel_runs, .run = run_parallel};
    char *genesis =
        genesis_text(genesis_json(people, PEOPLE, KEEPERS,
                                  "{\"epochSeconds\": 100, \"settleSeconds\": 20, "
                                  "\"freezeSeconds\": 10, \"swarmTarget\": 4, \"unbondEpochs\": 3, "
                                  "\"missBps\": 1000, \"seatLostMisses\": 2, "
                                  "\"rotatePerSwarmEpochs\": 2, \"outageForgiven\": 1}"));
    for (uint32_t i = 0; i < 3; i++) {
        keep_init(&keep[i]);
        keep_split(&keep[i], 1u << i);
    }
    chain_new(&builder, genesis);
    chain_new(&verifier, genesis);
    verifier.parallel = &parallel;
    chain_restart(&verifier);
    static const uint64_t at[] = {10, 60, 85, 100};
    for (uint64_t step = 0; step < SES_COUNT(at) * DUTY_EPOCHS; step++) {
        const uint64_t e = step / SES_COUNT(at);
        struct ses_hash id;
        builder.now_s = GENESIS_TIME + 100 * e + at[step % SES_COUNT(at)];
        if (step % SES_COUNT(at) < 2) {
            duties(&builder, e, step % SES_COUNT(at) == 1);
        }
        const enum ses_err err = chain_step(&builder, &id);
        TAP_MUST(err == SES_OK || err == SES_ERR_AGAIN);
        TAP_MUST(err != SES_OK || chain_follow(&verifier, &builder, &id) == SES_OK);
        if (below(6) == 0) {
            chain_restart(&verifier);
        }
        same_state(&builder, &verifier);
        TAP_EQ(PEOPLE * RICH + KEEPERS * STAKE, supply_of(&builder, people, PEOPLE));
    }
    TAP_OK(parallel_runs > DUTY_EPOCHS && ses_vm_total_burned(builder.vm) > 0);
    same_registry(&builder, &verifier, UINT64_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        keep_free(&keep[i]);
    }
    ses_buf_free(&reply.proof);
    chain_free(&builder);
    chain_free(&verifier);
    free(genesis);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        person_init(&people[i], tap_random());
    }
    TAP_RUN(test_one_swarm);
    TAP_RUN(test_many_swarms);
    TAP_RUN(test_duties);
    people_free(people, PEOPLE);
    return tap_done();
}
