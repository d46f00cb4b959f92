/* Test only: the real vm behind the daemons of a world (daemon/test_world.h), making its blocks on
 * the world's clock. It also watches what nodes send: two commitments of one node for one epoch
 * that differ are the one thing that must never be seen. */
#ifndef SES_TESTS_EPOCHS_LEDGER_H
#define SES_TESTS_EPOCHS_LEDGER_H

#include "daemon/test_world.h"
#include "vm/vm.h"

#define LEDGER_LUX 1000000000ull
#define LEDGER_STAKE (100 * LEDGER_LUX)

struct ledger_sent { /* commitments, as they came */
    struct ses_node_id node_id;
    uint64_t epoch;
    struct ses_hash tx_id;
    uint32_t times;
};
struct ledger {
    struct world *world;
    struct ses_params params;
    struct ses_kv_memory *kv;
    struct ses_vm *vm;
    struct ses_clock clock;
    struct ses_identity *rich; /* has an account with funds */
    uint64_t nonce;
    char *genesis;
    bool stalled; /* no blocks */
    bool deaf;    /* nothing submitted arrives, and nobody is told */
    bool ending;
    struct ledger_sent *sent;
    uint32_t sent_cnt, sent_cap;
    uint32_t twice;        /* another commitment for the same epoch: must stay 0 */
    uint32_t sent_txs[16]; /* by type */
};
/* A world of `node_cnt` nodes in the genesis, with these parameters; runs and is connected. */
struct world *ledger_world(struct ledger *l, uint32_t node_cnt, const struct ses_params *params);
void ledger_free(struct ledger *l); /* the world first, with ledger_stop before it */
void ledger_stop(struct ledger *l);
/* Signs with the rich account and submits; type and body of `tx` set, nonce and fee are filled. */
void ledger_demand(struct ledger *l, const struct ses_receipt *receipt);
uint64_t ledger_epoch(const struct ledger *l);
void ledger_node(const struct ledger *l, uint32_t node, struct ses_node *out);
/* Runs until the first block of `epoch`. */
void ledger_run_to(struct ledger *l, uint64_t epoch);
/* What the chain noted about a node in an epoch; causes 0 and flags 0: nothing. */
void ledger_judgement(const struct ledger *l, uint32_t node, uint64_t epoch,
                      struct ses_judgement *out);
/* Nodes with a miss in [from, to], as bits. */
uint64_t ledger_missed(const struct ledger *l, uint64_t from, uint64_t to);

#endif
