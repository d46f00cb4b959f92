/* A chain from genesis on: blocks, epochs, restarts, forks, refusals. */
#include "vm/test_chain.h"

#define PEOPLE 6u
#define NODES 4u

static struct person people[PEOPLE];
static char *genesis;
static struct tx_bytes tx;

static const char *const quick = "{\"epochSeconds\": 100, \"settleSeconds\": 20, "
                                 "\"freezeSeconds\": 10, \"unbondEpochs\": 3}";

static void test_open(void)
{
    struct chain c;
    struct ses_vm_head head;
    struct ses_hash chain_id;
    chain_new(&c, genesis);
    ses_vm_head(c.vm, &head);
    ses_vm_chain_id(c.vm, &chain_id);
    TAP_EQ(0, head.height);
    TAP_EQ(0, head.epoch);
    TAP_EQ(GENESIS_TIME, head.timestamp);
    TAP_EQ(NODES * STAKE, ses_vm_total_bonded(c.vm));

    struct ses_buf bytes = {0};
    struct ses_block block;
    TAP_MUST(ses_vm_block(c.vm, &head.id, &bytes) == SES_OK);
    TAP_MUST(ses_block_decode(&block, bytes.bytes, bytes.len, 1000) == SES_OK);
    TAP_BYTES(chain_id.bytes, block.parent.bytes, 32);
    ses_buf_free(&bytes);

    struct ses_node node;
    struct ses_map_node keys;
    TAP_ERR(SES_OK, ses_vm_node(c.vm, &people[0].node_id, &keys, &node));
    TAP_EQ(0, node.swarm);
    TAP_EQ(SES_SWARM_NONE, node.prev_swarm);
    TAP_BYTES(people[0].kem.bytes, keys.keys.encryption_key.bytes, SES_KEM_PK_BYTES);
    const struct ses_hash root = head.state_root;
    chain_restart(&c);
    ses_vm_head(c.vm, &head);
    TAP_BYTES(root.bytes, head.state_root.bytes, 32);
    chain_free(&c);
}

static void test_transfer(void)
{
    struct chain c;
    struct ses_hash id;
    struct ses_vm_account a;
    for (size_t i = 0; i < PEOPLE; i++) {
        people[i].nonce = 0;
        people[i].shown = false;
    }
    chain_new(&c, genesis);
    TAP_ERR(SES_ERR_AGAIN, ses_vm_build(c.vm, &id));
    make_transfer(&tx, &c, &people[0], &people[1].account, 5 * LUX, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_ERR_EXISTS, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, &id));
    TAP_ERR(SES_ERR_EXISTS, submit(&c, &tx));
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[1].account, &a));
    TAP_EQ(RICH + 5 * LUX, a.balance);
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[0].account, &a));
    TAP_EQ(RICH - 5 * LUX - FEE, a.balance);
    TAP_EQ(1, a.nonce);
    TAP_OK(a.has_key);
    TAP_EQ(PEOPLE * RICH + NODES * STAKE, supply_of(&c, people, PEOPLE));
    chain_free(&c);
}

static void forget(void)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        people[i].nonce = 0;
        people[i].shown = false;
    }
}

static void pay(struct chain *c, struct person *from, uint64_t amount)
{
    make_transfer(&tx, c, from, &people[1].account, amount, tap_random());
    TAP_MUST(submit(c, &tx) == SES_OK);
}

static enum ses_err try_block(struct chain *c, struct ses_block block)
{
    struct ses_hash id;
    struct ses_note note = {{0}};
    SES_TRY(forge(c, &id, block, NULL, 0));
    const enum ses_err err = ses_vm_verify(c->vm, &id, &note);
    TAP_OK(err == SES_OK || note.text[0] != 0);
    TAP_ERR(SES_OK, ses_vm_reject(c->vm, &id));
    return err;
}

static void test_headers(void)
{
    struct chain c;
    forget();
    chain_new(&c, genesis);
    c.now_s = GENESIS_TIME + 85; /* the settling time has begun */
    struct ses_block b = next_block(&c);
    TAP_ERR(SES_ERR_STATE_ROOT, try_block(&c, b)); /* nothing else is wrong with it */
    b.height = 2;
    TAP_ERR(SES_ERR_PARENT, try_block(&c, b));
    b.height = 0;
    TAP_ERR(SES_ERR_PARENT, try_block(&c, b));
    b = next_block(&c);
    b.parent.bytes[0] ^= 1;
    TAP_ERR(SES_ERR_PARENT, try_block(&c, b));
    b = next_block(&c);
    b.timestamp = GENESIS_TIME - 1;
    TAP_ERR(SES_ERR_TIME, try_block(&c, b));
    b.timestamp = c.now_s + 11;
    TAP_ERR(SES_ERR_TIME, try_block(&c, b));
    b.timestamp = UINT64_MAX;
    TAP_ERR(SES_ERR_TIME, try_block(&c, b));
    b.timestamp = c.now_s + 10;
    TAP_ERR(SES_ERR_STATE_ROOT, try_block(&c, b));
    struct ses_hash id = {{9}};
    struct ses_note note;
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_verify(c.vm, &id, &note));
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_accept(c.vm, &id));
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_set_preference(c.vm, &id));
    chain_free(&c);
}

/* An empty block: a transition, or the first at or behind T_1 - settleSeconds, and no other. */
static void test_empty_blocks(void)
{
    struct chain c;
    uint64_t next_ms = 0;
    struct ses_hash id;
    forget();
    chain_new(&c, genesis);
    c.now_s = GENESIS_TIME + 79;
    TAP_ERR(SES_ERR_TIME, try_block(&c, next_block(&c)));
    TAP_OK(!ses_vm_wants_block(c.vm, &next_ms));
    TAP_EQ((GENESIS_TIME + 80) * 1000ull, next_ms);
    TAP_ERR(SES_ERR_AGAIN, ses_vm_build(c.vm, &id));
    c.now_s = GENESIS_TIME + 80;
    TAP_OK(ses_vm_wants_block(c.vm, &next_ms));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    c.now_s = GENESIS_TIME + 99;
    TAP_OK(!ses_vm_wants_block(c.vm, &next_ms));
    TAP_EQ((GENESIS_TIME + 100) * 1000ull, next_ms);
    TAP_ERR(SES_ERR_TIME, try_block(&c, next_block(&c)));
    c.now_s = GENESIS_TIME + 100;
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_ERR(SES_ERR_TIME, try_block(&c, next_block(&c)));
    c.now_s = GENESIS_TIME + 730; /* epochs 2 to 6 leave no record */
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    struct ses_vm_head head;
    struct ses_buf buf = {0};
    ses_vm_head(c.vm, &head);
    TAP_EQ(7, head.epoch);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_epoch(c.vm, 6, &buf));
    TAP_ERR(SES_OK, ses_vm_epoch(c.vm, 1, &buf));
    ses_buf_free(&buf);
    chain_free(&c);
}

static void test_size(void)
{
    struct chain c;
    struct ses_hash id;
    static uint8_t large[1000001];
    forget();
    chain_new(&c, genesis);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_vm_parse(c.vm, large, sizeof(large), &id));
    TAP_ERR(SES_ERR_VERSION, ses_vm_parse(c.vm, large, 1000000, &id));
    TAP_ERR(SES_ERR_TRUNCATED, ses_vm_parse(c.vm, (const uint8_t *)"\1", 1, &id));
    chain_free(&c);
}

/* Two children of one parent are verified; one is accepted, the other can only be rejected. */
static void test_forks(void)
{
    struct chain c;
    struct ses_hash a;
    struct ses_hash b;
    struct ses_hash on_a;
    struct ses_hash on_b;
    struct ses_note note;
    struct ses_vm_account account;
    forget();
    chain_new(&c, genesis);
    pay(&c, &people[0], LUX);
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &a));
    pay(&c, &people[2], 2 * LUX);
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &b)); /* on the same parent: has both */
    TAP_OK(memcmp(a.bytes, b.bytes, 32) != 0);
    TAP_ERR(SES_OK, ses_vm_set_preference(c.vm, &a));
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &on_a)); /* only the second payment is left */
    TAP_ERR(SES_OK, ses_vm_set_preference(c.vm, &b));
    uint64_t next_ms = 0;
    TAP_OK(!ses_vm_wants_block(c.vm, &next_ms)); /* b has all that is pending */
    TAP_ERR(SES_ERR_AGAIN, ses_vm_build(c.vm, &on_b));
    c.now_s = GENESIS_TIME + 100;
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &on_b));
    TAP_ERR(SES_ERR_PARENT, ses_vm_accept(c.vm, &on_a)); /* its parent is undecided */
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[1].account, &account));
    TAP_EQ(RICH, account.balance); /* undecided blocks are not seen */
    TAP_ERR(SES_OK, ses_vm_accept(c.vm, &a));
    TAP_ERR(SES_OK, ses_vm_accept(c.vm, &a)); /* again: nothing to do */
    TAP_ERR(SES_ERR_PARENT, ses_vm_accept(c.vm, &b));
    TAP_ERR(SES_ERR_PARENT, ses_vm_accept(c.vm, &on_b));
    TAP_ERR(SES_ERR_PARENT, ses_vm_verify(c.vm, &on_b, &note));
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_set_preference(c.vm, &b));
    TAP_ERR(SES_OK, ses_vm_reject(c.vm, &b));
    TAP_ERR(SES_OK, ses_vm_reject(c.vm, &on_b));
    TAP_ERR(SES_OK, ses_vm_reject(c.vm, &on_b));
    TAP_ERR(SES_OK, ses_vm_accept(c.vm, &on_a));
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[1].account, &account));
    TAP_EQ(RICH + 3 * LUX, account.balance);
    TAP_EQ(PEOPLE * RICH + NODES * STAKE, supply_of(&c, people, PEOPLE));
    TAP_ERR(SES_OK, ses_vm_verify(c.vm, &a, &note)); /* accepted long ago */
    chain_free(&c);
}

static void test_reject_subtree(void)
{
    struct chain c;
    struct ses_hash a;
    struct ses_hash child;
    forget();
    chain_new(&c, genesis);
    pay(&c, &people[0], LUX);
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &a));
    TAP_ERR(SES_OK, ses_vm_set_preference(c.vm, &a));
    pay(&c, &people[0], LUX);
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &child));
    TAP_ERR(SES_OK, ses_vm_set_preference(c.vm, &child));
    TAP_ERR(SES_OK, ses_vm_reject(c.vm, &a));
    TAP_ERR(SES_ERR_PARENT, ses_vm_accept(c.vm, &child));
    TAP_ERR(SES_OK, ses_vm_reject(c.vm, &child));
    TAP_ERR(SES_OK, chain_step(&c, NULL)); /* built anew on the last accepted block */
    struct ses_mempool_info pool;
    ses_vm_mempool(c.vm, &pool);
    TAP_EQ(0, pool.tx_cnt);
    chain_free(&c);
}

/* A write that fails leaves the old state, in memory and in the database; trying again works. */
static void test_failing_write(void)
{
    struct chain c;
    struct ses_hash id;
    struct ses_vm_head before;
    struct ses_vm_head after;
    struct ses_vm_account account;
    forget();
    chain_new(&c, genesis);
    pay(&c, &people[0], LUX);
    ses_vm_head(c.vm, &before);
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &id));
    ses_kv_memory_fail_at(c.memory, 1);
    TAP_ERR(SES_ERR_IO, ses_vm_accept(c.vm, &id));
    ses_vm_head(c.vm, &after);
    TAP_BYTES(before.id.bytes, after.id.bytes, 32);
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[1].account, &account));
    TAP_EQ(RICH, account.balance);
    TAP_ERR(SES_OK, ses_vm_accept(c.vm, &id));
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[1].account, &account));
    TAP_EQ(RICH + LUX, account.balance);
    c.now_s = GENESIS_TIME + 100;
    ses_kv_memory_fail_at(c.memory, 1);
    TAP_ERR(SES_ERR_IO, chain_step(&c, NULL));
    ses_vm_head(c.vm, &before);
    chain_restart(&c);
    ses_vm_head(c.vm, &after);
    TAP_BYTES(before.state_root.bytes, after.state_root.bytes, 32);
    TAP_BYTES(before.id.bytes, after.id.bytes, 32);
    TAP_EQ(0, after.epoch);
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    chain_free(&c);
}

/* Memory runs out at every allocation of a block in turn: an error, and the block works later. */
static void test_failing_memory(void)
{
    struct chain c;
    struct ses_hash id;
    uint64_t failures = 0;
    forget();
    chain_new(&c, genesis);
    pay(&c, &people[0], LUX);
    c.now_s = GENESIS_TIME + 100;
    for (uint64_t n = 1; n < 400; n++) {
        ses_alloc_fail_at(n);
        const enum ses_err err = ses_vm_build(c.vm, &id);
        ses_alloc_fail_at(0);
        if (err == SES_OK) {
            break;
        }
        TAP_ERR(SES_ERR_MEMORY, err);
        failures++;
    }
    TAP_OK(failures > 10);
    for (uint64_t n = 1; n < 400; n++) {
        ses_alloc_fail_at(n);
        const enum ses_err err = ses_vm_accept(c.vm, &id);
        ses_alloc_fail_at(0);
        if (err == SES_OK) {
            break;
        }
        TAP_ERR(SES_ERR_MEMORY, err);
        failures++;
    }
    TAP_OK(failures > 20);
    TAP_EQ(PEOPLE * RICH + NODES * STAKE, supply_of(&c, people, PEOPLE));
    chain_restart(&c);
    TAP_EQ(PEOPLE * RICH + NODES * STAKE, supply_of(&c, people, PEOPLE));
    chain_free(&c);
}

/* The same while opening: a new chain, and one that is there. */
static void test_failing_open(void)
{
    struct chain c;
    struct ses_vm_head head;
    forget();
    for (int existing = 0; existing < 2; existing++) {
        uint64_t failures = 0;
        c = (struct chain){.now_s = GENESIS_TIME, .genesis = genesis};
        c.clock = (struct ses_clock){.ctx = &c, .now_ms = chain_now};
        TAP_MUST(ses_kv_memory_new(&c.memory) == SES_OK);
        if (existing == 1) {
            TAP_MUST(chain_open(&c, NULL) == SES_OK);
            ses_vm_free(c.vm);
        }
        for (uint64_t n = 1; n < 1000; n++) {
            ses_alloc_fail_at(n);
            const enum ses_err err = chain_open(&c, NULL);
            ses_alloc_fail_at(0);
            if (err == SES_OK) {
                break;
            }
            TAP_OK(err == SES_ERR_MEMORY || err == SES_ERR_CONFIG); /* a key's check needs some */
            TAP_OK(c.vm == NULL);
            failures++;
        }
        TAP_OK(failures > 20);
        TAP_MUST(c.vm != NULL);
        ses_vm_head(c.vm, &head);
        TAP_EQ(NODES * STAKE, ses_vm_total_bonded(c.vm));
        chain_free(&c);
    }
}

static enum ses_err open_with(struct chain *c, const char *text, const char *named)
{
    const char *kept = c->genesis;
    struct ses_note note = {{0}};
    ses_vm_free(c->vm);
    c->vm = NULL;
    c->genesis = text;
    const enum ses_err err = chain_open(c, &note);
    c->genesis = kept;
    TAP_OK(err == SES_OK || strstr(note.text, named) != NULL);
    return err;
}

static void overwrite(struct chain *c, const char *key, size_t key_len, const void *value,
                      size_t value_len)
{
    const struct ses_kv kv = ses_kv_memory_kv(c->memory);
    const struct ses_kv_change change = {
        .key = (const uint8_t *)key, .key_len = key_len, .value = value, .value_len = value_len};
    TAP_MUST(kv.write_batch(kv.ctx, &change, 1) == SES_OK);
}

static void test_wrong_database(void)
{
    struct chain c;
    char *other = genesis_text(genesis_json(people, PEOPLE, 1, quick));
    forget();
    chain_new(&c, genesis);
    TAP_ERR(SES_ERR_CHECKSUM, open_with(&c, other, "another genesis"));
    TAP_ERR(SES_ERR_MALFORMED, open_with(&c, "{", "genesis"));
    TAP_ERR(SES_OK, open_with(&c, genesis, ""));
    /* one balance changed behind our back */
    char key[22] = {'s', SES_STATE_ACCOUNT};
    uint8_t value[SES_ACCOUNT_STATE_BYTES] = {1};
    memcpy(key + 2, people[0].account.bytes, 20);
    overwrite(&c, key, sizeof(key), value, sizeof(value));
    TAP_ERR(SES_ERR_CHECKSUM, open_with(&c, genesis, "damaged"));
    overwrite(&c, "h", 1, "short", 5);
    TAP_ERR(SES_ERR_CHECKSUM, open_with(&c, genesis, "damaged"));
    overwrite(&c, "f", 1, "\0\0\0\2", 4);
    TAP_ERR(SES_ERR_VERSION, open_with(&c, genesis, "format 2"));
    overwrite(&c, "f", 1, NULL, 0); /* not ours any more */
    TAP_ERR(SES_ERR_CHECKSUM, open_with(&c, genesis, "something else"));
    chain_free(&c);
    free(other);
}

/* Parsed blocks make room for each other; what fell out can be parsed again. */
static void test_parsed_bound(void)
{
    struct chain c;
    struct ses_hash first;
    struct ses_hash id;
    struct ses_note note;
    forget();
    chain_new(&c, genesis);
    struct ses_block b = next_block(&c);
    TAP_ERR(SES_OK, forge(&c, &first, b, NULL, 0));
    for (unsigned i = 0; i < SES_VM_PARSED_MAX; i++) {
        b.timestamp++;
        TAP_ERR(SES_OK, forge(&c, &id, b, NULL, 0));
    }
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_verify(c.vm, &first, &note));
    b = next_block(&c);
    TAP_ERR(SES_OK, forge(&c, &first, b, NULL, 0));
    TAP_ERR(SES_ERR_TIME, ses_vm_verify(c.vm, &first, &note));
    chain_free(&c);
}

static void test_verified_bound(void)
{
    struct chain c;
    struct ses_hash id;
    struct ses_hash first = {{0}};
    forget();
    chain_new(&c, genesis);
    for (unsigned i = 0; i < SES_VM_UNDECIDED_MAX; i++) {
        c.now_s = GENESIS_TIME + 100 + i % 100; /* rivals of different times, same parent */
        if (i >= 100) {
            c.now_s += 100 * (i / 100);
        }
        TAP_MUST(ses_vm_build(c.vm, &id) == SES_OK);
        first = i == 0 ? id : first;
    }
    c.now_s += 50;
    TAP_ERR(SES_ERR_FULL, ses_vm_build(c.vm, &id));
    struct ses_note note = {{0}};
    TAP_ERR(SES_OK, forge(&c, &id, next_block(&c), NULL, 0));
    TAP_ERR(SES_ERR_FULL, ses_vm_verify(c.vm, &id, &note));
    TAP_OK(note.text[0] != 0);
    TAP_ERR(SES_OK, ses_vm_accept(c.vm, &first));
    chain_free(&c);
}

struct counter {
    uint32_t cnt;
    const struct ses_node_id *only;
};
static bool count_node(void *cookie, const struct ses_map_node *node)
{
    struct counter *n = cookie;
    struct ses_hash hash;
    ses_node_keys_hash(&hash, &node->keys, &node->endpoint);
    TAP_BYTES(node->row.keys_hash.bytes, hash.bytes, 32);
    TAP_OK(n->only == NULL || memcmp(n->only->bytes, node->row.node_id.bytes, 20) == 0);
    n->cnt++;
    return true;
}

static uint32_t rows(struct chain *c, uint64_t since, const struct ses_node_id *only)
{
    struct counter n = {.only = only};
    TAP_ERR(SES_OK, ses_vm_registry(c->vm, since, count_node, &n));
    return n.cnt;
}

static void step_to(struct chain *c, uint64_t epoch)
{
    c->now_s = GENESIS_TIME + 100 * epoch;
    TAP_MUST(chain_step(c, NULL) == SES_OK);
}

static void test_registry(void)
{
    struct chain c;
    forget();
    chain_new(&c, genesis);
    TAP_EQ(NODES, rows(&c, UINT64_MAX, NULL));
    TAP_EQ(0, rows(&c, 0, NULL));
    make_register(&tx, &c, &people[0], &people[5], STAKE, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_EQ(NODES, rows(&c, UINT64_MAX, NULL)); /* a snapshot is of the start of the epoch */
    step_to(&c, 1);
    TAP_EQ(NODES + 1, rows(&c, UINT64_MAX, NULL));
    step_to(&c, 2); /* the four have prev_swarm 0 since epoch 1; the new one gets its seat */
    TAP_EQ(1, rows(&c, 1, &people[5].node_id));
    chain_restart(&c);
    TAP_EQ(1, rows(&c, 1, &people[5].node_id));
    step_to(&c, 3);
    TAP_EQ(1, rows(&c, 2, &people[5].node_id)); /* prev_swarm is its swarm now */
    step_to(&c, 4);
    TAP_EQ(0, rows(&c, 3, NULL));
    TAP_EQ(NODES + 1, rows(&c, 0, NULL));
    chain_free(&c);
}

struct snapshot {
    struct ses_map_node nodes[8];
    uint32_t cnt;
};
static bool keep_node(void *cookie, const struct ses_map_node *node)
{
    struct snapshot *s = cookie;
    s->nodes[s->cnt++] = *node;
    return s->cnt < 8;
}

/* A client rebuilds the registry root from the rows. */
static void test_snapshot_verifies(void)
{
    struct chain c;
    static struct snapshot s;
    struct ses_hash scratch[8];
    struct ses_hash chain_id;
    struct ses_buf record = {0};
    struct ses_buf plan = {0};
    struct ses_reader r;
    struct ses_epoch e;
    struct ses_canonical_root roots[1];
    forget();
    chain_new(&c, genesis);
    step_to(&c, 1);
    s.cnt = 0;
    TAP_ERR(SES_OK, ses_vm_registry(c.vm, UINT64_MAX, keep_node, &s));
    TAP_ERR(SES_OK, ses_vm_epoch(c.vm, UINT64_MAX, &record));
    ses_reader_init(&r, record.bytes, record.len);
    ses_epoch_read(&r, &e, roots, 1);
    TAP_ERR(SES_OK, ses_reader_done(&r));
    TAP_EQ(1, e.epoch);
    TAP_EQ(NODES, e.active_cnt);
    TAP_EQ(NODES * STAKE, e.total_bonded);
    ses_vm_chain_id(c.vm, &chain_id);
    const struct ses_map map = {.epoch = e.epoch,
                                .seed = e.seed,
                                .registry_root = e.registry_root,
                                .num_swarms = e.num_swarms,
                                .node_cnt = s.cnt,
                                .nodes = s.nodes};
    TAP_ERR(SES_OK, ses_map_verify(&map, &chain_id, scratch));
    TAP_ERR(SES_OK, ses_vm_testers(c.vm, 1, &plan));
    TAP_EQ(4 + 20 * NODES + 4 + 4 * (NODES - 1), plan.len);
    ses_buf_free(&plan);
    ses_buf_free(&record);
    chain_free(&c);
}

/* The same parent, second and transactions give the same block, however it came to be known. */
static void test_same_block(void)
{
    struct chain c;
    struct chain other;
    struct ses_hash id;
    struct ses_hash again;
    struct ses_hash parsed;
    struct ses_note note;
    struct ses_buf bytes = {0};
    forget();
    chain_new(&c, genesis);
    chain_new(&other, genesis);
    c.now_s = other.now_s = GENESIS_TIME + 100;
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &id));
    TAP_ERR(SES_OK, ses_vm_build(c.vm, &again));
    TAP_BYTES(id.bytes, again.bytes, 32);
    TAP_ERR(SES_OK, ses_vm_verify(c.vm, &id, &note)); /* verified by building it */
    TAP_ERR(SES_OK, ses_vm_block(c.vm, &id, &bytes));
    TAP_ERR(SES_OK, ses_vm_parse(other.vm, bytes.bytes, bytes.len, &parsed));
    TAP_ERR(SES_OK, ses_vm_parse(other.vm, bytes.bytes, bytes.len, &parsed)); /* known */
    TAP_ERR(SES_OK, ses_vm_build(other.vm, &again)); /* replaces the one that was only parsed */
    TAP_BYTES(id.bytes, again.bytes, 32);
    TAP_ERR(SES_OK, ses_vm_set_preference(other.vm, &again));
    TAP_ERR(SES_OK, ses_vm_accept(other.vm, &again));
    TAP_ERR(SES_OK, ses_vm_parse(other.vm, bytes.bytes, bytes.len, &parsed)); /* accepted */
    TAP_BYTES(id.bytes, parsed.bytes, 32);
    TAP_ERR(SES_OK, ses_vm_set_preference(other.vm, &again));
    ses_buf_free(&bytes);
    chain_free(&other);
    chain_free(&c);
}

static bool keep_one(void *cookie, const struct ses_node *node)
{
    *(struct ses_node_id *)cookie = node->node_id;
    return false;
}

static bool stop_rows(void *cookie, const struct ses_map_node *node)
{
    (void)node;
    *(uint32_t *)cookie += 1;
    return false;
}

static void test_pages(void)
{
    struct chain c;
    struct ses_params params;
    struct ses_node_id at;
    char name[64];
    uint64_t timestamp = 0;
    uint32_t cnt = 0;
    forget();
    chain_new(&c, genesis);
    ses_vm_params_of(c.vm, &params, &timestamp, name);
    TAP_EQ(100, params.epoch_seconds);
    TAP_EQ(GENESIS_TIME, timestamp);
    TAP_TEXT("test", name);
    TAP_ERR(SES_OK, ses_vm_nodes(c.vm, NULL, keep_one, &at));
    for (uint32_t i = 1; i < NODES; i++) {
        const struct ses_node_id before = at;
        TAP_ERR(SES_OK, ses_vm_nodes(c.vm, &before, keep_one, &at));
        TAP_OK(memcmp(before.bytes, at.bytes, 20) < 0);
    }
    const struct ses_node_id last = at;
    TAP_ERR(SES_OK, ses_vm_nodes(c.vm, &last, keep_one, &at));
    TAP_BYTES(last.bytes, at.bytes, 20); /* nobody behind the last */
    TAP_ERR(SES_OK, ses_vm_registry(c.vm, UINT64_MAX, stop_rows, &cnt));
    TAP_EQ(1, cnt);
    struct ses_node node;
    struct ses_map_node keys;
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_node(c.vm, &people[5].node_id, &keys, &node));
    chain_free(&c);
}

static void test_queries(void)
{
    struct chain c;
    struct ses_hash tx_id;
    struct ses_hash id;
    struct ses_hash block_id;
    struct ses_buf buf = {0};
    uint64_t height = 0;
    uint32_t index = 9;
    forget();
    chain_new(&c, genesis);
    make_transfer(&tx, &c, &people[0], &people[1].account, LUX, tap_random());
    TAP_ERR(SES_OK, ses_vm_submit(c.vm, tx.bytes, tx.len, &tx_id, NULL));
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_tx(c.vm, &tx_id, &block_id, &height, &index, &buf));
    TAP_EQ(1, ses_vm_mempool_ids(c.vm, &id, 1));
    TAP_BYTES(tx_id.bytes, id.bytes, 32);
    TAP_ERR(SES_OK, ses_vm_mempool_tx(c.vm, &tx_id, &buf));
    TAP_EQ(tx.len, buf.len);
    ses_buf_free(&buf);
    TAP_ERR(SES_OK, chain_step(&c, &id));
    TAP_ERR(SES_OK, ses_vm_tx(c.vm, &tx_id, &block_id, &height, &index, &buf));
    TAP_BYTES(id.bytes, block_id.bytes, 32);
    TAP_EQ(1, height);
    TAP_EQ(0, index);
    TAP_EQ(tx.len, buf.len);
    TAP_BYTES(tx.bytes, buf.bytes, tx.len);
    ses_buf_free(&buf);
    TAP_ERR(SES_OK, ses_vm_block_id_at(c.vm, 1, &id));
    TAP_BYTES(block_id.bytes, id.bytes, 32);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_block_id_at(c.vm, 2, &id));
    TAP_ERR(SES_ERR_NOT_FOUND, ses_vm_mempool_tx(c.vm, &tx_id, &buf));
    ses_buf_free(&buf);
    chain_free(&c);
}

static void check_proof(struct chain *c, const struct ses_state_key *key, bool want)
{
    struct ses_vm_head head;
    struct ses_buf value = {0};
    struct ses_buf proof = {0};
    struct ses_hash key_hash;
    struct ses_hash value_hash;
    struct ses_hash proven;
    bool present = !want;
    ses_vm_head(c->vm, &head);
    TAP_ERR(SES_OK, ses_vm_proof(c->vm, key->bytes, key->len, &present, &value, &proof));
    TAP_EQ(want, present);
    ses_blake3_hash(&key_hash, key->bytes, key->len);
    ses_blake3_hash(&value_hash, value.bytes, value.len);
    TAP_ERR(SES_OK,
            ses_trie_check(&head.state_root, &key_hash, proof.bytes, proof.len, &present, &proven));
    TAP_EQ(want, present);
    TAP_OK(!want || memcmp(proven.bytes, value_hash.bytes, 32) == 0);
    ses_buf_free(&value);
    ses_buf_free(&proof);
}

static void test_proofs(void)
{
    struct chain c;
    bool present = false;
    struct ses_buf buf = {0};
    forget();
    chain_new(&c, genesis);
    struct ses_state_key key = ses_state_key(SES_STATE_ACCOUNT, people[0].account.bytes);
    check_proof(&c, &key, true);
    key = ses_state_key(SES_STATE_NODE_KEYS, people[0].node_id.bytes);
    check_proof(&c, &key, true);
    key = ses_state_key(SES_STATE_NODE_KEYS, people[5].node_id.bytes);
    check_proof(&c, &key, false);
    key = ses_state_key_single(SES_STATE_EPOCH);
    check_proof(&c, &key, true);
    TAP_ERR(SES_ERR_INVALID, ses_vm_proof(c.vm, key.bytes, 0, &present, &buf, &buf));
    TAP_ERR(SES_ERR_INVALID, ses_vm_proof(c.vm, key.bytes, 32, &present, &buf, &buf));
    chain_free(&c);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        person_init(&people[i], tap_random());
    }
    genesis = genesis_text(genesis_json(people, PEOPLE, NODES, quick));
    TAP_RUN(test_open);
    TAP_RUN(test_transfer);
    TAP_RUN(test_headers);
    TAP_RUN(test_empty_blocks);
    TAP_RUN(test_size);
    TAP_RUN(test_forks);
    TAP_RUN(test_reject_subtree);
    TAP_RUN(test_failing_write);
    TAP_RUN(test_failing_memory);
    TAP_RUN(test_failing_open);
    TAP_RUN(test_wrong_database);
    TAP_RUN(test_parsed_bound);
    TAP_RUN(test_verified_bound);
    TAP_RUN(test_registry);
    TAP_RUN(test_snapshot_verifies);
    TAP_RUN(test_same_block);
    TAP_RUN(test_pages);
    TAP_RUN(test_queries);
    TAP_RUN(test_proofs);
    free(genesis);
    people_free(people, PEOPLE);
    return tap_done();
}
