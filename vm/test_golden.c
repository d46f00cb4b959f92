/* 200 epochs of a network that grows to 151 nodes, shrinks and grows again, from fixed keys: the
 * epoch records, blocks and tester plans of all of them are pinned by one hash. No epoch is
 * settled, so that nobody is judged (test_accountable.c does that). Whatever changes it changes
 * consensus: raise the versions and say so in CHANGELOG under "State". */
#include "vm/test_chain.h"

#define OWNERS 12u
#define NODES 151u
#define EPOCHS 200u
#define GOLDEN "2d5ae8f070722bda78c3a4a3200ab2c4b83fb96f26b390c7412d8ebb75a89241"

static struct person owners[OWNERS];
static struct person nodes[NODES];
static struct tx_bytes tx;
static struct fixed_random fixed;

static struct person *owner_of(size_t node)
{
    return &owners[node * node % OWNERS];
}

static void send(struct chain *c)
{
    TAP_MUST(submit(c, &tx) == SES_OK);
}

static void register_range(struct chain *c, size_t begin, size_t end)
{
    for (size_t i = begin; i < end && i < NODES; i++) {
        make_register(&tx, c, owner_of(i), &nodes[i], STAKE + i, &fixed.random);
        send(c);
    }
}

static void decommission_range(struct chain *c, size_t begin, size_t end)
{
    for (size_t i = begin; i < end && i < NODES; i++) {
        make_decommission(&tx, c, owner_of(i), &nodes[i].node_id, &fixed.random);
        send(c);
    }
}

/* 151 come in epochs 0..50, 120 go in 70..109, all retire, and come again from 130 on. */
static void script(struct chain *c, uint64_t epoch)
{
    if (epoch <= 50) {
        register_range(c, 3 * epoch, 3 * epoch + 3);
    } else if (epoch >= 70 && epoch < 110) {
        decommission_range(c, 3 * (epoch - 70), 3 * (epoch - 70) + 3);
    } else if (epoch >= 130 && epoch < 170) {
        register_range(c, 3 * (epoch - 130), 3 * (epoch - 130) + 3);
    }
    if (epoch % 7 == 3 && epoch > 60 && epoch < 69) {
        make_top_up(&tx, c, owner_of(epoch), &nodes[epoch].node_id, epoch * LUX, &fixed.random);
        send(c);
    }
    if (epoch % 5 == 0) {
        make_transfer(&tx, c, &owners[epoch % OWNERS], &owners[(epoch + 1) % OWNERS].account, epoch,
                      &fixed.random);
        send(c);
    }
}

struct seen {
    uint32_t splits, merges, rotated, retired, most;
    uint32_t num_swarms;
    uint32_t swarm[NODES + 1];
};

static void look(struct chain *c, struct seen *s, struct ses_blake3 *h, uint64_t epoch)
{
    struct ses_buf record = {0};
    struct ses_buf plan = {0};
    struct ses_canonical_root roots[1];
    struct ses_epoch e;
    struct ses_reader r;
    TAP_MUST(ses_vm_epoch(c->vm, epoch, &record) == SES_OK);
    TAP_MUST(ses_vm_testers(c->vm, epoch, &plan) == SES_OK);
    ses_blake3_update(h, record.bytes, record.len);
    ses_blake3_update(h, plan.bytes, plan.len);
    ses_reader_init(&r, record.bytes, record.len);
    ses_epoch_read(&r, &e, roots, 1);
    TAP_MUST(ses_reader_done(&r) == SES_OK && e.epoch == epoch);
    s->splits += e.num_swarms > s->num_swarms && epoch > 0;
    s->merges += e.num_swarms < s->num_swarms;
    s->most = (uint32_t)e.active_cnt > s->most ? (uint32_t)e.active_cnt : s->most;
    for (uint32_t i = 0; i < NODES; i++) {
        struct ses_node node;
        struct ses_map_node keys;
        if (ses_vm_node(c->vm, &nodes[i].node_id, &keys, &node) != SES_OK) {
            continue;
        }
        s->retired += node.status == SES_NODE_RETIRED && s->swarm[i] != SES_SWARM_NONE;
        s->rotated += e.num_swarms == s->num_swarms && node.prev_swarm != SES_SWARM_NONE &&
                      node.swarm != SES_SWARM_NONE && node.swarm != node.prev_swarm;
        s->swarm[i] = node.swarm;
    }
    s->num_swarms = e.num_swarms;
    ses_buf_free(&record);
    ses_buf_free(&plan);
}

static void check(const struct chain *c, const struct seen *s, struct ses_blake3 *h)
{
    struct ses_vm_head head;
    struct ses_hash hash;
    char text[65];
    ses_vm_head(c->vm, &head);
    TAP_EQ(EPOCHS, head.epoch);
    ses_blake3_update(h, head.id.bytes, 32);
    ses_blake3_final(h, &hash);
    ses_hex_encode(text, hash.bytes, 32);
    TAP_TEXT(GOLDEN, text);
    printf("# %u splits, %u merges, %u rotated, %u retired, at most %u active\n", s->splits,
           s->merges, s->rotated, s->retired, s->most);
    TAP_OK(s->splits >= 4 && s->merges >= 2 && s->rotated > 50);
    TAP_EQ(120, s->retired);
    TAP_EQ(NODES, s->most);
    TAP_EQ(OWNERS * RICH, supply_of(c, owners, OWNERS));
}

static void test_golden(void)
{
    static struct seen seen;
    struct chain c;
    struct ses_blake3 h;
    char *genesis = genesis_text(
        genesis_json(owners, OWNERS, 0,
                     "{\"epochSeconds\": 1000, \"settleSeconds\": 100, \"freezeSeconds\": 50, "
                     "\"unbondEpochs\": 5, \"swarmTarget\": 4, "
                     "\"rotatePerSwarmEpochs\": 6}"));
    memset(seen.swarm, 0xFF, sizeof(seen.swarm));
    ses_blake3_init(&h);
    chain_new(&c, genesis);
    look(&c, &seen, &h, 0);
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        script(&c, epoch);
        c.now_s = GENESIS_TIME + 1000 * epoch + 500;
        const enum ses_err err = chain_step(&c, NULL);
        TAP_MUST(err == SES_OK || err == SES_ERR_AGAIN);
        c.now_s = GENESIS_TIME + 1000 * (epoch + 1) + 3;
        TAP_MUST(chain_step(&c, NULL) == SES_OK);
        look(&c, &seen, &h, epoch + 1);
        if (epoch % 41 == 40) {
            chain_restart(&c);
        }
    }
    check(&c, &seen, &h);
    chain_free(&c);
    free(genesis);
}

int main(void)
{
    if (ses_crypto_init() != SES_OK) {
        return 1;
    }
    fixed_random_init(&fixed);
    for (size_t i = 0; i < OWNERS; i++) {
        person_init(&owners[i], &fixed.random);
    }
    for (size_t i = 0; i < NODES; i++) {
        person_init(&nodes[i], &fixed.random);
    }
    TAP_RUN(test_golden);
    people_free(owners, OWNERS);
    people_free(nodes, NODES);
    return tap_done();
}
