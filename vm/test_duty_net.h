/* Seven nodes on a chain, for the tests of duties: each includes this once. */
#ifndef SES_VM_TEST_DUTY_NET_H
#define SES_VM_TEST_DUTY_NET_H

#include "vm/test_duty.h"

#define NODES 7u
#define EPOCH_S 100u
static struct person people[NODES + 1]; /* one each, and a stranger without a node */
static uint64_t last_commit[NODES];     /* epoch + 1; 0: none yet */
static struct tx_bytes tx;
static struct answer answer;
static struct keep keep;
static char *genesis;
static char *two_swarms;

static inline void fresh_of(struct chain *c, const char *text)
{
    for (size_t i = 0; i <= NODES; i++) {
        people[i].nonce = 0;
        people[i].shown = false;
    }
    memset(last_commit, 0, sizeof(last_commit));
    chain_new(c, text);
}

static inline void fresh(struct chain *c)
{
    fresh_of(c, genesis);
}

static inline struct ses_forest *held(const struct chain *c, size_t i)
{
    struct ses_epoch e;
    struct ses_buf buf = {0};
    struct ses_canonical_root roots[KEEP_SWARMS_MAX];
    struct ses_reader r;
    TAP_MUST(ses_vm_epoch(c->vm, UINT64_MAX, &buf) == SES_OK);
    ses_reader_init(&r, buf.bytes, buf.len);
    ses_epoch_read(&r, &e, roots, KEEP_SWARMS_MAX);
    TAP_MUST(ses_reader_done(&r) == SES_OK);
    ses_buf_free(&buf);
    keep_split(&keep, e.num_swarms);
    const uint32_t swarm = node_of(c, &people[i]).swarm;
    TAP_MUST(swarm < e.num_swarms);
    return keep.whole[swarm];
}

/* The same error at the door and in a block; the state stays as it was. A node that nobody knows
 * has no key to verify with: so says the block. */
static inline void refused(struct chain *c, enum ses_err want, const struct tx_bytes *bad)
{
    const struct tx_bytes *const list[] = {bad};
    struct ses_vm_head before;
    struct ses_vm_head after;
    ses_vm_head(c->vm, &before);
    TAP_ERR(want, submit(c, bad));
    TAP_ERR(want == SES_ERR_NOT_FOUND ? SES_ERR_SIGNATURE : want, judge(c, list, 1));
    ses_vm_head(c->vm, &after);
    TAP_BYTES(before.state_root.bytes, after.state_root.bytes, 32);
}

static inline void sign(const struct chain *c, const struct ses_tx *t, size_t node)
{
    sign_tx(&tx, c, t, SES_AUTH_NODE, &people[node], NULL, tap_random());
}

static inline void refuse(struct chain *c, enum ses_err want, const struct ses_tx *t, size_t node)
{
    sign(c, t, node);
    refused(c, want, &tx);
}

static inline void accept(struct chain *c, const struct ses_tx *t, size_t node)
{
    sign(c, t, node);
    TAP_ERR(SES_OK, submit(c, &tx));
    TAP_ERR(SES_OK, chain_step(c, NULL));
}

static inline void go_to(struct chain *c, uint64_t epoch, uint64_t second)
{
    c->now_s = GENESIS_TIME + EPOCH_S * epoch + second;
    const enum ses_err err = chain_step(c, NULL);
    TAP_OK(err == SES_OK || err == SES_ERR_AGAIN);
}

static inline struct ses_tx commitment(const struct chain *c, size_t i)
{
    return commitment_of(c, &people[i], held(c, i), last_commit[i]);
}

static inline void commits(struct chain *c, size_t i)
{
    const struct ses_tx t = commitment(c, i);
    sign(c, &t, i);
    TAP_ERR(SES_OK, submit(c, &tx));
    last_commit[i] = t.body.commitment.epoch + 1;
}

/* A chain in epoch 3, all of whose nodes have committed so far. */
static inline void third_epoch(struct chain *c, const char *text)
{
    fresh_of(c, text);
    for (uint64_t e = 0; e < 3; e++) {
        for (size_t i = 0; i < NODES; i++) {
            commits(c, i);
        }
        go_to(c, e, 30);
        for (size_t i = 0; i < NODES; i++) {
            answer_of(&answer, c, &keep, held(c, i), &people[i]);
            sign(c, &answer.tx, i);
            TAP_ERR(SES_OK, submit(c, &tx));
        }
        go_to(c, e, 60);
        go_to(c, e, 90);
        go_to(c, e + 1, 0);
    }
}

/* The same people in every run: two draws of an audit may fall on one position, and these do not.
 */
static inline void same_bytes(void *ctx, void *out, size_t len)
{
    uint8_t *bytes = out;
    uint64_t *state = ctx;
    for (size_t i = 0; i < len; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(*state >> 56);
    }
}

static inline void net_init(void)
{
    uint64_t state = 1;
    const struct ses_random same = {.fill = same_bytes, .ctx = &state};
    TAP_MUST(ses_crypto_init() == SES_OK);
    for (size_t i = 0; i <= NODES; i++) {
        person_init(&people[i], &same);
    }
    keep_init(&keep);
#define PARAMS                                                                                     \
    "{\"epochSeconds\": 100, \"settleSeconds\": 20, \"freezeSeconds\": 10, "                       \
    "\"rotatePerSwarmEpochs\": 0"
    genesis = genesis_text(genesis_json(people, NODES + 1, NODES, PARAMS "}"));
    two_swarms =
        genesis_text(genesis_json(people, NODES + 1, NODES, PARAMS ", \"swarmTarget\": 4}"));
}

static inline void net_free(void)
{
    ses_buf_free(&answer.proof);
    keep_free(&keep);
    free(genesis);
    free(two_swarms);
    people_free(people, NODES + 1);
}

#endif
