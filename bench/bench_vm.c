/* The chain's state machine: blocks of transfers beside the bare verification of their signatures,
 * and epoch transitions of growing networks.
 *
 *     bench_vm [ROUNDS]
 *
 * Verification runs on two threads in both cases, so that a row compares the same cores. A row
 * shows the median of the rounds; a block is parsed, verified and accepted into a database in
 * memory by a chain that has not seen its transactions. Transitions count from the decision to
 * build until the state root is known ("build"), and the write ("accept"); "judged": all nodes have
 * committed, tested each other and answered in the epoch before, and nobody missed. */
#include "bench/bench_vm.h"

#define TRANSFERS 500u
#define PAYERS 20u

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
    struct ses_undecided *u = hand_begin(w);
    put_nodes(&u->layer, nodes);
    put_accounts(&u->layer, accounts);
    hand_end(w, u);
}

/* Everybody committed, tested and answered in the running epoch, which is settled then. */
static void do_duties(struct world *w)
{
    struct ses_undecided *u = NULL;
    const struct ses_tests *tests = w->vm->tip.tests;
    const struct ses_tip *tip = &w->vm->tip;
    struct ses_response_state response = {.epoch = tip->epoch.epoch,
                                          .free = UINT64_MAX,
                                          .shown = 3,
                                          .verdict_cnt = (uint8_t)tests->stride};
    memset(response.verdicts, 0xFF, sizeof(response.verdicts));
    w->now_s += 3100;
    u = hand_begin(w);
    for (uint32_t i = 0; i < tip->rows->cnt; i++) {
        const struct ses_registry_row *row = &tip->rows->rows[i].row;
        const struct ses_committed c = {.node_id = row->node_id,
                                        .epoch = tip->epoch.epoch,
                                        .swarm = row->swarm,
                                        .num_swarms = tip->epoch.num_swarms,
                                        .root.bytes = {(uint8_t)tip->epoch.epoch, 1},
                                        .count = 1000,
                                        .bytes = 1000000,
                                        .reveal.bytes = {(uint8_t)tip->epoch.epoch, 2}};
        must(ses_committed_store(&u->layer, &c));
        must(ses_response_store(&u->layer, &row->node_id, &response));
    }
    hand_end(w, u);
    w->now_s += 500;
}

static void transition(struct world *w, uint64_t *build_ns, uint64_t *accept_ns)
{
    struct ses_hash id;
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
    w.now_s += 3600;
    transition(&w, &build[0], &accept[0]);
    first_build = build[0];
    first_accept = accept[0];
    for (size_t i = 0; i < 12; i++) {
        w.now_s += 3600;
        transition(&w, &build[0], &accept[0]); /* splits until the number of swarms fits */
    }
    for (size_t i = 0; i < rounds + 4; i++) { /* the first ones without an opening owed */
        do_duties(&w);
        transition(&w, &build[i % rounds], &accept[i % rounds]);
    }
    must(w.vm->tip.epoch.miss_cnt == 0 ? SES_OK : SES_ERR_INVALID);
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
    printf("\nepoch transition, ms   all new      all new       judged       judged\n");
    printf("  nodes   swarms        build       accept        build       accept\n");
    bench_transitions(151, rounds);
    bench_transitions(2000, rounds);
    bench_transitions(10000, rounds);
    printf("\n");
    bench_open(2000, 100000);
    return 0;
}
