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
    free(genesis);
    people_free(people, PEOPLE);
    return tap_done();
}
