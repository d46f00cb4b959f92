/* The chain's state machine: blocks of transfers beside the bare verification of their signatures,
 * and epoch transitions of growing networks.
 *
 *     bench_vm [ROUNDS]
 *
 * Verification runs on two threads in both cases, so that a row compares the same cores. A row
 * shows the median of the rounds; a block is parsed, verified and accepted into a database in
 * memory by a chain that has not seen its transactions. Transitions count from the decision to
 * build until the state root is known ("build"), and the write ("accept"). */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/vm_internal.h"

#define TRANSFERS 500u
#define PAYERS 20u
#define ROUNDS_MAX 99u
#define GENESIS_TIME 1800000000u
#define THREADS 2u

static void must(enum ses_err err)
{
    if (err != SES_OK) {
        fprintf(stderr, "bench_vm: %s\n", ses_err_text(err));
        exit(1);
    }
}

static void *memory(size_t count, size_t size)
{
    void *p = ses_alloc(count, size);
    must(p == NULL ? SES_ERR_MEMORY : SES_OK);
    return p;
}

/* ---- two threads ---- */

struct job {
    void (*task)(void *cookie, size_t i);
    void *cookie;
    size_t cnt;
    atomic_size_t next;
};

static void *run_job(void *arg)
{
    struct job *job = arg;
    for (size_t i = atomic_fetch_add(&job->next, 1); i < job->cnt;
         i = atomic_fetch_add(&job->next, 1)) {
        job->task(job->cookie, i);
    }
    return NULL;
}

static void run_parallel(void *ctx, void (*task)(void *cookie, size_t i), void *cookie, size_t cnt)
{
    struct job job = {.task = task, .cookie = cookie, .cnt = cnt};
    pthread_t threads[THREADS - 1];
    (void)ctx;
    for (size_t i = 0; i < SES_COUNT(threads); i++) {
        must(pthread_create(&threads[i], NULL, run_job, &job) == 0 ? SES_OK : SES_ERR_MEMORY);
    }
    run_job(&job);
    for (size_t i = 0; i < SES_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

static const struct ses_parallel two_threads = {.run = run_parallel};

/* ---- a chain ---- */

struct world {
    uint64_t now_s;
    struct ses_clock clock;
    struct ses_kv_memory *memory;
    struct ses_vm *vm;
};

static uint64_t world_now(void *ctx)
{
    return ((const struct world *)ctx)->now_s * 1000;
}

static void world_new(struct world *w, const char *genesis)
{
    struct ses_note note = {{0}};
    *w = (struct world){.now_s = GENESIS_TIME};
    w->clock = (struct ses_clock){.ctx = w, .now_ms = world_now};
    must(ses_kv_memory_new(&w->memory));
    const struct ses_vm_params params = {.genesis = (const uint8_t *)genesis,
                                         .genesis_len = strlen(genesis),
                                         .kv = ses_kv_memory_kv(w->memory),
                                         .clock = &w->clock,
                                         .parallel = &two_threads};
    must(ses_vm_new(&w->vm, &params, &note));
}

static void world_free(struct world *w)
{
    ses_vm_free(w->vm);
    ses_kv_memory_free(w->memory);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double median_ms(uint64_t *ns, size_t cnt)
{
    qsort(ns, cnt, sizeof(*ns), by_value);
    return (double)ns[cnt / 2] / 1e6;
}

/* ---- blocks of transfers ---- */

struct payer {
    struct ses_dsa_private *key;
    struct ses_account account;
    uint64_t nonce;
};
struct pair {
    struct world builder;
    struct world follower;
    struct payer payers[PAYERS];
    struct ses_hash chain_id;
};

static char *transfer_genesis(struct payer *payers)
{
    const size_t room = 4096;
    char *text = memory(room, 1);
    int len = snprintf(text, room,
                       "{\"networkName\":\"bench\",\"timestamp\":%u,"
                       "\"params\":{\"blockMaxBytes\":2000000},\"allocations\":[",
                       GENESIS_TIME);
    for (size_t i = 0; i < PAYERS; i++) {
        char account[SES_ID_TEXT_MAX];
        ses_account_text(account, &payers[i].account);
        len +=
            snprintf(text + len, room - (size_t)len,
                     "%s{\"account\":\"%s\",\"amount\":1000000000000}", i == 0 ? "" : ",", account);
    }
    snprintf(text + len, room - (size_t)len, "]}");
    return text;
}

static void pair_new(struct pair *p)
{
    for (size_t i = 0; i < PAYERS; i++) {
        struct ses_dsa_seed seed;
        struct ses_dsa_pk pk;
        ses_random_fill(ses_random_system(), seed.bytes, sizeof(seed.bytes));
        must(ses_dsa_private_new(&p->payers[i].key, &seed));
        ses_dsa_private_pk(p->payers[i].key, &pk);
        ses_account_of(&p->payers[i].account, &pk);
    }
    char *genesis = transfer_genesis(p->payers);
    world_new(&p->builder, genesis);
    world_new(&p->follower, genesis);
    ses_vm_chain_id(p->builder.vm, &p->chain_id);
    ses_free(genesis);
}

static void pair_free(struct pair *p)
{
    world_free(&p->builder);
    world_free(&p->follower);
    for (size_t i = 0; i < PAYERS; i++) {
        ses_dsa_private_free(p->payers[i].key);
    }
}

static void submit_transfer(struct pair *p, struct payer *from)
{
    uint8_t bytes[SES_TX_BYTES_MAX];
    struct ses_writer w;
    struct ses_hash id;
    const struct ses_tx tx = {
        .type = SES_TX_TRANSFER,
        .body.transfer = {
            .to = p->payers[0].account, .amount = 1, .nonce = ++from->nonce, .fee = 1000000}};
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_tx_write_body(&w, &tx);
    must(ses_tx_sign(&w, &p->chain_id, bytes, w.len,
                     from->nonce == 1 ? SES_AUTH_FIRST : SES_AUTH_KNOWN, from->key,
                     ses_random_system()));
    must(ses_vm_submit(p->builder.vm, bytes, w.len, &id, NULL));
}

/* The bytes of a block of `cnt` transfers, accepted by the builder. */
static void make_block(struct pair *p, uint32_t cnt, struct ses_buf *bytes)
{
    struct ses_hash id;
    for (uint32_t i = 0; i < cnt; i++) {
        submit_transfer(p, &p->payers[i % PAYERS]);
    }
    must(ses_vm_build(p->builder.vm, &id));
    must(ses_vm_block(p->builder.vm, &id, bytes));
    must(ses_vm_accept(p->builder.vm, &id));
}

static uint64_t follow(struct pair *p, const struct ses_buf *bytes)
{
    struct ses_hash id;
    const uint64_t start = ses_mono_ns();
    must(ses_vm_parse(p->follower.vm, bytes->bytes, bytes->len, &id));
    must(ses_vm_verify(p->follower.vm, &id, NULL));
    must(ses_vm_accept(p->follower.vm, &id));
    return ses_mono_ns() - start;
}

/* The same signatures with nothing around them. */
struct bare {
    struct ses_dsa_pk pk[TRANSFERS];
    struct ses_dsa_sig sig[TRANSFERS];
    uint8_t message[TRANSFERS][128];
    size_t len[TRANSFERS];
};

static void bare_one(void *cookie, size_t i)
{
    const struct bare *b = cookie;
    must(ses_verify(&b->pk[i], SES_DOMAIN_TX, b->message[i], b->len[i], &b->sig[i]));
}

static void bare_load(struct bare *b, struct pair *p, const struct ses_buf *bytes)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes->bytes + SES_BLOCK_HEADER_BYTES, bytes->len - SES_BLOCK_HEADER_BYTES);
    for (size_t i = 0; i < TRANSFERS; i++) {
        struct ses_tx tx;
        size_t len = 0;
        const uint8_t *at = ses_block_next_tx(&r, &len);
        must(at == NULL ? SES_ERR_MALFORMED : ses_tx_decode(&tx, at, len));
        for (size_t k = 0; k < PAYERS; k++) {
            if (memcmp(p->payers[k].account.bytes, tx.auth[0].signer, 20) == 0) {
                ses_dsa_private_pk(p->payers[k].key, &b->pk[i]);
            }
        }
        memcpy(b->sig[i].bytes, tx.auth[0].signature, SES_DSA_SIG_BYTES);
        memcpy(b->message[i], p->chain_id.bytes, 32);
        memcpy(b->message[i] + 32, tx.bytes, tx.signed_len);
        b->len[i] = 32 + tx.signed_len;
    }
}

static void bench_blocks(size_t rounds)
{
    uint64_t ours[ROUNDS_MAX];
    uint64_t bare_ns[ROUNDS_MAX];
    struct pair *p = memory(1, sizeof(*p));
    struct bare *bare = memory(1, sizeof(*bare));
    struct ses_buf bytes = {0};
    pair_new(p);
    make_block(p, PAYERS, &bytes); /* shows the keys */
    (void)follow(p, &bytes);
    for (size_t i = 0; i < rounds; i++) {
        bytes.len = 0;
        make_block(p, TRANSFERS, &bytes);
        bare_load(bare, p, &bytes);
        const uint64_t start = ses_mono_ns();
        run_parallel(NULL, bare_one, bare, TRANSFERS);
        bare_ns[i] = ses_mono_ns() - start;
        ours[i] = follow(p, &bytes);
    }
    const double ours_ms = median_ms(ours, rounds);
    const double bare_ms = median_ms(bare_ns, rounds);
    printf("block of %u transfers, %u threads\n", TRANSFERS, THREADS);
    printf("  parse + verify + accept %9.2f ms %9.0f tx/s\n", ours_ms, TRANSFERS / ours_ms * 1e3);
    printf("  bare ML-DSA verify      %9.2f ms %9.0f tx/s\n", bare_ms, TRANSFERS / bare_ms * 1e3);
    printf("  share of the bound      %9.1f %%\n", 100 * bare_ms / ours_ms);
    ses_buf_free(&bytes);
    pair_free(p);
    ses_free(p);
    ses_free(bare);
}

/* ---- transitions ---- */

/* Nodes with made-up keys straight into the accepted state: signing 10,000 registrations would take
 * longer than everything measured here. */
static void add_nodes(struct world *w, uint32_t cnt)
{
    struct ses_vm *vm = w->vm;
    struct ses_node_keys *keys = memory(1, sizeof(*keys));
    struct ses_endpoint endpoint = {.addr_cnt = 1, .addrs = {{8, {4, 127, 0, 0, 1}}}};
    vm->node_ids = memory(cnt, sizeof(*vm->node_ids));
    vm->node_cap = cnt;
    vm->node_cnt = cnt;
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_node node = {.stake = 1,
                                .swarm = SES_SWARM_NONE,
                                .prev_swarm = SES_SWARM_NONE,
                                .status = SES_NODE_ACTIVE,
                                .registered_at = 1};
        ses_put_u32(node.node_id.bytes, i);
        ses_put_u32(node.owner.bytes, i / 3 * 2654435761u);
        ses_put_u32(keys->public_key.bytes, i);
        vm->node_ids[i] = node.node_id;
        must(ses_node_store(&vm->base, &node));
        must(ses_node_keys_store(&vm->base, &node.node_id, keys, &endpoint));
    }
    ses_trie_unref(vm->trie_pool, vm->tip.trie);
    must(ses_layer_root(vm, &vm->tip, NULL));
    ses_free(keys);
}

static void transition(struct world *w, uint64_t *build_ns, uint64_t *accept_ns)
{
    struct ses_hash id;
    w->now_s += 3600;
    const uint64_t start = ses_mono_ns();
    must(ses_vm_build(w->vm, &id));
    const uint64_t built = ses_mono_ns();
    must(ses_vm_accept(w->vm, &id));
    *build_ns = built - start;
    *accept_ns = ses_mono_ns() - built;
}

static void bench_transitions(uint32_t nodes, size_t rounds)
{
    uint64_t build[ROUNDS_MAX];
    uint64_t accept[ROUNDS_MAX];
    uint64_t first_build = 0;
    uint64_t first_accept = 0;
    char genesis[128];
    struct world w;
    snprintf(genesis, sizeof(genesis),
             "{\"networkName\":\"bench\",\"timestamp\":%u,\"allocations\":[]}", GENESIS_TIME);
    world_new(&w, genesis);
    add_nodes(&w, nodes);
    transition(&w, &build[0], &accept[0]); /* p = 0: nobody registered before T_0 is new */
    first_build = build[0];
    first_accept = accept[0];
    for (size_t i = 0; i < 12; i++) {
        transition(&w, &build[0], &accept[0]); /* splits until the number of swarms fits */
    }
    for (size_t i = 0; i < rounds; i++) {
        transition(&w, &build[i], &accept[i]);
    }
    struct ses_vm_head head;
    ses_vm_head(w.vm, &head);
    printf("%7u %8u %12.2f %12.2f %12.2f %12.2f\n", nodes, w.vm->tip.epoch.num_swarms,
           (double)first_build / 1e6, (double)first_accept / 1e6, median_ms(build, rounds),
           median_ms(accept, rounds));
    world_free(&w);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long rounds = argc > 1 ? strtoul(argv[1], &end, 10) : 11;
    if (argc > 2 || (argc == 2 && (*end != 0 || rounds == 0 || rounds > ROUNDS_MAX))) {
        fprintf(stderr, "usage: bench_vm [ROUNDS, 1 .. %u]\n", ROUNDS_MAX);
        return 2;
    }
    must(ses_crypto_init());
    bench_blocks(rounds);
    printf("\nepoch transition, ms   all new      all new       steady       steady\n");
    printf("  nodes   swarms        build       accept        build       accept\n");
    bench_transitions(151, rounds);
    bench_transitions(2000, rounds);
    bench_transitions(10000, rounds);
    return 0;
}
