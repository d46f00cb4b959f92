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

static const char empty_genesis[] =
    "{\"networkName\":\"bench\",\"timestamp\":1800000000,\"allocations\":[]}";

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

/* Nodes with made-up keys straight into an accepted block: signing 10,000 registrations would take
 * longer than everything measured here. */
static void put_nodes(struct ses_layer *layer, uint32_t cnt)
{
    struct ses_node_keys *keys = memory(1, sizeof(*keys));
    struct ses_endpoint endpoint = {.addr_cnt = 1, .addrs = {{8, {4, 127, 0, 0, 1}}}};
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_node node = {.stake = 1,
                                .swarm = SES_SWARM_NONE,
                                .prev_swarm = SES_SWARM_NONE,
                                .status = SES_NODE_ACTIVE,
                                .registered_at = 1};
        ses_put_u32(node.node_id.bytes, i * 2654435761u);
        ses_put_u32(node.owner.bytes, i / 3);
        ses_put_u32(keys->public_key.bytes, i);
        must(ses_node_store(layer, &node));
        must(ses_node_keys_store(layer, &node.node_id, keys, &endpoint));
    }
    ses_free(keys);
}

static void put_accounts(struct ses_layer *layer, uint32_t cnt)
{
    struct ses_dsa_pk *pk = memory(1, sizeof(*pk));
    for (uint32_t i = 0; i < cnt; i++) {
        const struct ses_account_state state = {.balance = i, .nonce = 1, .has_key = true};
        struct ses_account account = {{0}};
        ses_put_u32(account.bytes, i * 2654435761u);
        ses_put_u32(pk->bytes, i);
        const struct ses_state_key key = ses_state_key(SES_STATE_ACCOUNT_KEY, account.bytes);
        must(ses_account_store(layer, &account, &state));
        must(ses_state_put(layer, &key, pk->bytes, sizeof(pk->bytes)));
    }
    ses_free(pk);
}

static void add_state(struct world *w, uint32_t nodes, uint32_t accounts)
{
    struct ses_undecided *u = NULL;
    uint8_t header[SES_BLOCK_HEADER_BYTES];
    struct ses_writer out;
    must(ses_undecided_new(&u));
    must(ses_undecided_begin(w->vm, u, NULL, w->now_s));
    put_nodes(&u->layer, nodes);
    put_accounts(&u->layer, accounts);
    must(ses_undecided_seal(w->vm, u));
    u->block = (struct ses_block){.parent = w->vm->tip.id,
                                  .height = 1,
                                  .timestamp = w->now_s,
                                  .state_root = u->tip.state_root};
    ses_writer_init(&out, header, sizeof(header));
    ses_block_write_header(&out, &u->block);
    must(ses_writer_done(&out));
    must(ses_buf_append(&u->bytes, header, sizeof(header)));
    ses_sha256(&u->block.id, SES_PARTS(SES_PART(header, sizeof(header))));
    u->tip.id = u->block.id;
    u->status = SES_BLOCK_VERIFIED;
    ses_undecided_link(w->vm, u);
    const struct ses_hash id = u->block.id;
    must(ses_vm_accept(w->vm, &id));
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
    struct world w;
    world_new(&w, empty_genesis);
    add_state(&w, nodes, 0);
    transition(&w, &build[0], &accept[0]);
    first_build = build[0];
    first_accept = accept[0];
    for (size_t i = 0; i < 12; i++) {
        transition(&w, &build[0], &accept[0]); /* splits until the number of swarms fits */
    }
    for (size_t i = 0; i < rounds; i++) {
        transition(&w, &build[i], &accept[i]);
    }
    printf("%7u %8u %12.2f %12.2f %12.2f %12.2f\n", nodes, w.vm->tip.epoch.num_swarms,
           (double)first_build / 1e6, (double)first_accept / 1e6, median_ms(build, rounds),
           median_ms(accept, rounds));
    world_free(&w);
}

/* ---- opening ---- */

static void bench_open(uint32_t nodes, uint32_t accounts)
{
    struct world w;
    struct ses_note note = {{0}};
    world_new(&w, empty_genesis);
    add_state(&w, nodes, accounts);
    ses_vm_free(w.vm);
    const struct ses_vm_params params = {.genesis = (const uint8_t *)empty_genesis,
                                         .genesis_len = strlen(empty_genesis),
                                         .kv = ses_kv_memory_kv(w.memory),
                                         .clock = &w.clock};
    const uint64_t start = ses_mono_ns();
    must(ses_vm_new(&w.vm, &params, &note));
    printf("open with %u nodes and %u accounts: %.0f ms\n", nodes, accounts,
           (double)(ses_mono_ns() - start) / 1e6);
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
    printf("\n");
    bench_open(2000, 100000);
    return 0;
}
