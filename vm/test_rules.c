/* Every rule of transactions 1 to 4: each way to break one, at the mempool's door and in a block.
 */
#include "vm/test_chain.h"

#define PEOPLE 5u
static struct person people[PEOPLE];
static struct person stranger; /* has nothing */
static struct tx_bytes tx;
static struct tx_bytes tx2;
static char *genesis;

/* settleSeconds 20: T_1 - 20 is where the second half of an epoch starts to matter */
static const char *const quick = "{\"epochSeconds\": 100, \"settleSeconds\": 20, "
                                 "\"freezeSeconds\": 10, \"unbondEpochs\": 3}";

static void fresh(struct chain *c)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        people[i].nonce = 0;
        people[i].shown = false;
    }
    stranger.nonce = 0;
    stranger.shown = false;
    chain_new(c, genesis);
}

/* The same error at the door and in a block; the state stays as it was. */
static void refused(struct chain *c, enum ses_err want, const struct tx_bytes *bad)
{
    const struct tx_bytes *const list[] = {bad};
    struct ses_vm_head before;
    struct ses_vm_head after;
    ses_vm_head(c->vm, &before);
    TAP_ERR(want, submit(c, bad));
    TAP_ERR(want, judge(c, list, 1));
    ses_vm_head(c->vm, &after);
    TAP_BYTES(before.state_root.bytes, after.state_root.bytes, 32);
}

static void sign(const struct chain *c, const struct ses_tx *t, struct person *by,
                 const struct person *node)
{
    sign_tx(&tx, c, t, SES_AUTH_FIRST, by, node, tap_random());
}

static struct ses_tx transfer_of(uint64_t amount, uint64_t nonce, uint64_t fee)
{
    return (struct ses_tx){
        .type = SES_TX_TRANSFER,
        .body.transfer = {.to = people[1].account, .amount = amount, .nonce = nonce, .fee = fee}};
}

static void test_transfer(void)
{
    struct chain c;
    struct ses_tx t;
    fresh(&c);
    t = transfer_of(LUX, 1, FEE - 1);
    sign(&c, &t, &people[0], NULL);
    refused(&c, SES_ERR_FEE, &tx);
    t = transfer_of(LUX, 0, FEE);
    sign(&c, &t, &people[0], NULL);
    refused(&c, SES_ERR_NONCE, &tx);
    t = transfer_of(LUX, 2, FEE);
    sign(&c, &t, &people[0], NULL);
    refused(&c, SES_ERR_NONCE, &tx);
    t = transfer_of(RICH - FEE + 1, 1, FEE);
    sign(&c, &t, &people[0], NULL);
    refused(&c, SES_ERR_FUNDS, &tx);
    t = transfer_of(UINT64_MAX, 1, FEE); /* amount + fee overflows */
    sign(&c, &t, &people[0], NULL);
    refused(&c, SES_ERR_FUNDS, &tx);
    t = transfer_of(LUX, 1, FEE);
    sign(&c, &t, &stranger, NULL);
    refused(&c, SES_ERR_FUNDS, &tx);
    t = transfer_of(RICH - FEE, 1, FEE); /* everything: allowed */
    sign(&c, &t, &people[0], NULL);
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_EQ(PEOPLE * RICH, supply_of(&c, people, PEOPLE));
    chain_free(&c);
}

static void test_new_account(void)
{
    struct chain c;
    struct ses_vm_account a;
    fresh(&c);
    make_transfer(&tx, &c, &people[0], &stranger.account, 3 * LUX, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &stranger.account, &a));
    TAP_EQ(3 * LUX, a.balance);
    TAP_EQ(0, a.nonce);
    TAP_OK(!a.has_key);
    make_transfer(&tx, &c, &stranger, &stranger.account, LUX, tap_random()); /* to itself */
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &stranger.account, &a));
    TAP_EQ(3 * LUX - FEE, a.balance);
    TAP_OK(a.has_key);
    chain_free(&c);
}

static void test_signatures(void)
{
    struct chain c;
    struct ses_tx t = transfer_of(LUX, 1, FEE);
    fresh(&c);
    sign_tx(&tx, &c, &t, SES_AUTH_KNOWN, &people[0], NULL, tap_random());
    refused(&c, SES_ERR_SIGNATURE, &tx); /* the chain has not seen the key */
    sign(&c, &t, &people[0], NULL);
    tx.bytes[tx.len - 1] ^= 1;
    refused(&c, SES_ERR_SIGNATURE, &tx);
    tx.bytes[tx.len - 1] ^= 1;
    tx.bytes[2] ^= 1; /* another receiver */
    refused(&c, SES_ERR_SIGNATURE, &tx);
    tx.bytes[2] ^= 1;
    /* somebody else's key under this account's name: 46 bytes of body, kind, signer, key */
    memcpy(tx.bytes + 46 + 1 + 20, people[1].pk.bytes, SES_DSA_PK_BYTES);
    refused(&c, SES_ERR_SIGNATURE, &tx);
    sign(&c, &t, &people[0], NULL);
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    /* the account of person 0, signed with person 1's key, as known */
    t.body.transfer.nonce = 2;
    sign_tx(&tx, &c, &t, SES_AUTH_KNOWN, &people[1], NULL, tap_random());
    memcpy(tx.bytes + 46 + 1, people[0].account.bytes, 20);
    refused(&c, SES_ERR_SIGNATURE, &tx);
    chain_free(&c);
}

/* A transaction of another chain does not count here. */
static void test_other_chain(void)
{
    struct chain c;
    struct chain other;
    struct ses_tx t = transfer_of(LUX, 1, FEE);
    char *text = genesis_text(genesis_json(people, PEOPLE, 1, quick));
    fresh(&c);
    chain_new(&other, text);
    sign_tx(&tx, &other, &t, SES_AUTH_FIRST, &people[0], NULL, tap_random());
    refused(&c, SES_ERR_SIGNATURE, &tx);
    TAP_ERR(SES_OK, submit(&other, &tx));
    chain_free(&other);
    chain_free(&c);
    free(text);
}

static void test_malformed(void)
{
    struct chain c;
    fresh(&c);
    make_transfer(&tx, &c, &people[0], &people[1].account, LUX, tap_random());
    tx.len--;
    refused(&c, SES_ERR_TRUNCATED, &tx);
    tx.len += 2;
    refused(&c, SES_ERR_MALFORMED, &tx);
    tx.len--;
    tx.bytes[0] = 2;
    refused(&c, SES_ERR_VERSION, &tx);
    tx.bytes[0] = 1;
    tx.bytes[1] = 200;
    refused(&c, SES_ERR_VERSION, &tx);
    chain_free(&c);
}

static void test_register(void)
{
    struct chain c;
    struct ses_node node;
    struct ses_map_node keys;
    fresh(&c);
    struct ses_tx t = register_of(&people[0], &people[1], STAKE - 1);
    sign(&c, &t, &people[0], &people[1]);
    refused(&c, SES_ERR_STAKE, &tx);
    t.body.reg.stake = RICH;
    sign(&c, &t, &people[0], &people[1]);
    refused(&c, SES_ERR_FUNDS, &tx);
    t.body.reg.stake = STAKE;
    memset(t.body.reg.encryption_key.bytes, 0xFF, 64); /* above the modulus of FIPS 203 */
    sign(&c, &t, &people[0], &people[1]);
    refused(&c, SES_ERR_MALFORMED, &tx);
    t.body.reg.encryption_key = people[1].kem;
    t.body.reg.node_id = people[2].node_id; /* not of this key */
    sign(&c, &t, &people[0], &people[2]);
    refused(&c, SES_ERR_SIGNATURE, &tx);
    t.body.reg.node_id = people[1].node_id;
    t.body.reg.owner = people[3].account; /* not the first signer */
    sign(&c, &t, &people[0], &people[1]);
    refused(&c, SES_ERR_NOT_OWNER, &tx);
    t.body.reg.owner = people[0].account;
    sign(&c, &t, &people[0], &people[1]);
    tx.bytes[tx.len - 9] ^= 1; /* the node's signature */
    refused(&c, SES_ERR_SIGNATURE, &tx);
    sign(&c, &t, &people[0], &people[1]);
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_ERR(SES_OK, ses_vm_node(c.vm, &people[1].node_id, &keys, &node));
    TAP_EQ(SES_NODE_ACTIVE, node.status);
    TAP_EQ(SES_SWARM_NONE, node.swarm);
    TAP_EQ(STAKE, node.principal);
    TAP_EQ(GENESIS_TIME, node.registered_at);
    t = register_of(&people[2], &people[1], STAKE);
    sign(&c, &t, &people[2], &people[1]);
    refused(&c, SES_ERR_REGISTERED, &tx);
    TAP_EQ(PEOPLE * RICH, supply_of(&c, people, PEOPLE));
    chain_free(&c);
}

static void register_one(struct chain *c)
{
    make_register(&tx, c, &people[0], &people[1], STAKE, tap_random());
    TAP_MUST(submit(c, &tx) == SES_OK);
    TAP_MUST(chain_step(c, NULL) == SES_OK);
}

static void test_top_up(void)
{
    struct chain c;
    struct ses_node node;
    struct ses_map_node keys;
    fresh(&c);
    make_top_up(&tx, &c, &people[0], &people[1].node_id, LUX, tap_random());
    refused(&c, SES_ERR_NOT_FOUND, &tx);
    people[0].nonce = 0;
    people[0].shown = false;
    register_one(&c);
    make_top_up(&tx, &c, &people[2], &people[1].node_id, LUX, tap_random());
    refused(&c, SES_ERR_NOT_OWNER, &tx);
    make_top_up(&tx, &c, &people[0], &people[1].node_id, UINT64_MAX - 5, tap_random());
    refused(&c, SES_ERR_FUNDS, &tx);
    people[0].nonce--;
    make_top_up(&tx, &c, &people[0], &people[1].node_id, 7 * LUX, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_ERR(SES_OK, ses_vm_node(c.vm, &people[1].node_id, &keys, &node));
    TAP_EQ(STAKE + 7 * LUX, node.stake);
    TAP_EQ(STAKE + 7 * LUX, node.principal);
    TAP_EQ(PEOPLE * RICH, supply_of(&c, people, PEOPLE));
    chain_free(&c);
}

static void to_epoch(struct chain *c, uint64_t epoch)
{
    c->now_s = GENESIS_TIME + 100 * epoch;
    TAP_MUST(chain_step(c, NULL) == SES_OK);
}

static void test_decommission(void)
{
    struct chain c;
    struct ses_node node;
    struct ses_map_node keys;
    struct ses_vm_account a;
    fresh(&c);
    register_one(&c);
    make_decommission(&tx, &c, &people[2], &people[1].node_id, tap_random());
    refused(&c, SES_ERR_NOT_OWNER, &tx);
    make_decommission(&tx, &c, &people[3], &people[3].node_id, tap_random());
    refused(&c, SES_ERR_NOT_FOUND, &tx);
    to_epoch(&c, 1);
    to_epoch(&c, 2);
    TAP_ERR(SES_OK, ses_vm_node(c.vm, &people[1].node_id, &keys, &node));
    TAP_EQ(0, node.swarm); /* a seat from the first epoch whose predecessor began after it */
    TAP_EQ(2, node.swarm_from_epoch);
    make_decommission(&tx, &c, &people[0], &people[1].node_id, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    make_decommission(&tx, &c, &people[0], &people[1].node_id, tap_random());
    refused(&c, SES_ERR_STATUS, &tx);
    people[0].nonce--;
    to_epoch(&c, 3);
    to_epoch(&c, 4);
    TAP_ERR(SES_OK, ses_vm_node(c.vm, &people[1].node_id, &keys, &node));
    TAP_EQ(SES_NODE_DECOMMISSIONING, node.status);
    TAP_EQ(2, node.decommission_epoch);
    TAP_EQ(0, node.swarm); /* keeps its seat */
    to_epoch(&c, 5);
    TAP_ERR(SES_OK, ses_vm_node(c.vm, &people[1].node_id, &keys, &node));
    TAP_EQ(SES_NODE_RETIRED, node.status);
    TAP_EQ(0, node.stake);
    TAP_EQ(SES_SWARM_NONE, node.swarm);
    TAP_EQ(0, node.prev_swarm);
    TAP_ERR(SES_OK, ses_vm_account(c.vm, &people[0].account, &a));
    TAP_EQ(RICH - 2 * FEE, a.balance);
    TAP_EQ(PEOPLE * RICH, supply_of(&c, people, PEOPLE));
    make_top_up(&tx, &c, &people[0], &people[1].node_id, LUX, tap_random());
    refused(&c, SES_ERR_STATUS, &tx);
    people[0].nonce--;
    make_register(&tx, &c, &people[2], &people[1], STAKE, tap_random()); /* anew, another owner */
    people[2].nonce = 0;
    people[2].shown = false;
    make_register(&tx, &c, &people[2], &people[1], STAKE, tap_random());
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_ERR(SES_OK, ses_vm_node(c.vm, &people[1].node_id, &keys, &node));
    TAP_EQ(SES_NODE_ACTIVE, node.status);
    TAP_BYTES(people[2].account.bytes, node.owner.bytes, 20);
    chain_free(&c);
}

/* Within one block: the first shows the key, the second uses it; nonces must follow. */
static void test_order_in_block(void)
{
    struct chain c;
    fresh(&c);
    make_transfer(&tx, &c, &people[0], &people[1].account, LUX, tap_random());
    make_transfer(&tx2, &c, &people[0], &people[1].account, LUX, tap_random());
    const struct tx_bytes *const ordered[] = {&tx, &tx2};
    const struct tx_bytes *const reversed[] = {&tx2, &tx};
    const struct tx_bytes *const twice[] = {&tx, &tx};
    TAP_ERR(SES_ERR_STATE_ROOT, judge(&c, ordered, 2)); /* all rules hold; the root is forged */
    TAP_ERR(SES_ERR_NONCE, judge(&c, reversed, 2));
    TAP_ERR(SES_ERR_NONCE, judge(&c, twice, 2));
    TAP_ERR(SES_OK, submit(&c, &tx));
    TAP_ERR(SES_OK, submit(&c, &tx2)); /* its key is shown by a pending transaction */
    TAP_ERR(SES_OK, chain_step(&c, NULL));
    TAP_EQ(PEOPLE * RICH, supply_of(&c, people, PEOPLE));
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
    person_init(&stranger, tap_random());
    genesis = genesis_text(genesis_json(people, PEOPLE, 0, quick));
    TAP_RUN(test_transfer);
    TAP_RUN(test_new_account);
    TAP_RUN(test_signatures);
    TAP_RUN(test_other_chain);
    TAP_RUN(test_malformed);
    TAP_RUN(test_register);
    TAP_RUN(test_top_up);
    TAP_RUN(test_decommission);
    TAP_RUN(test_order_in_block);
    free(genesis);
    people_free(people, PEOPLE);
    people_free(&stranger, 1);
    return tap_done();
}
