/* swarm: pure rules of the network. Inbox -> swarm, membership per epoch (split, merge, assign,
 * fill, rotate), testers, quorums. No I/O, no allocation: the caller's arrays are worked on in
 * place.
 *
 *     nodes sorted by node_id ──► resize ──► assign ──► fill ──► rotate ──► testers
 *                                 step 4     step 5 (i)  (ii)     (iii)      step 6
 *
 * and for one node:  root, seed, demands ──► what its response owes ──► what it shows  (step 7)
 *
 * Normative source: the registry page, Epochs; golden vectors in registry of vectors.json.
 */
#ifndef SES_SWARM_SWARM_H
#define SES_SWARM_SWARM_H

#include "protocol/protocol.h"

/* 256-bit big-endian `digest` mod num_swarms (a power of two). LP-046 row 15. */
uint32_t ses_swarm_of(const struct ses_hash *digest, uint32_t num_swarms);
/* seed_n from seed_p: the reveals of p in node_id order, or the parent block id without any. */
void ses_epoch_seed(struct ses_hash *out, const struct ses_hash *seed, uint64_t epoch,
                    const struct ses_hash *reveals, size_t reveal_cnt,
                    const struct ses_hash *parent_block);
void ses_genesis_seed(struct ses_hash *out, const struct ses_hash *chain_id);

/* One node as the rules see it. */
struct ses_seat {
    struct ses_node_id node_id;
    struct ses_account owner;
    enum ses_node_status status;
    uint32_t swarm;
    bool seatable;        /* registered before the judged epoch began */
    bool moved;           /* out: got another swarm in this transition */
    bool keeps_from;      /* out: moved by a split, swarm_from_epoch stays */
    struct ses_hash rank; /* scratch */
};
struct ses_membership {
    uint32_t num_swarms;
    struct ses_seat *seats; /* sorted by node_id, unique */
    uint32_t seat_cnt;
    uint32_t *scratch; /* room for ses_membership_scratch(seat_cnt, num_swarms) numbers */
    uint32_t scratch_cnt;
};
struct ses_membership_rules {
    uint64_t swarm_target;
    uint64_t rotate_per_swarm_epochs; /* 0: never */
    bool genesis;                     /* double while needed, no rotation */
};
/* How many numbers of scratch a transition of `seat_cnt` nodes needs (num_swarms may double). */
uint32_t ses_membership_scratch(uint32_t seat_cnt, uint32_t num_swarms);
/* Steps 4 and 5 in place. Deterministic; O(n log n) sorting, one pass over the least populated
 * swarms for each assignment and over the swarm that gives for each fill and rotation. ERR_INVALID
 * if not sorted, num_swarms is no power of two, a seat lies outside it, or scratch is short. */
SES_CHECKED enum ses_err ses_membership_advance(struct ses_membership *m,
                                                const struct ses_hash *seed,
                                                const struct ses_membership_rules *rules);

/* Step 6: positions of the Active nodes and the offsets common to all. order[i] indexes seats;
 * *order_cnt Active nodes, *offset_cnt = min(testers, N - 1). `rank` fields are scratch;
 * `distances` holds N - 1 hashes of scratch. */
struct ses_tester_plan {
    uint32_t *order;
    uint32_t order_cnt;
    uint32_t *offsets;
    uint32_t offset_cnt;
};
struct ses_rank {
    struct ses_hash hash;
    uint32_t value;
};
SES_CHECKED enum ses_err ses_tester_plan_make(struct ses_tester_plan *plan,
                                              struct ses_membership *m, const struct ses_hash *seed,
                                              uint64_t testers, struct ses_rank *scratch);

/* The node tested by position `position` under verdict bit `j`: an index into seats. */
uint32_t ses_tester_target(const struct ses_tester_plan *plan, uint32_t position, uint32_t j);
/* Whether that pair counts: false if it is void (its verdict bit is 0). `m` as given to
 * ses_tester_plan_make, positions < order_cnt, j < offset_cnt. */
bool ses_tester_tests(const struct ses_tester_plan *plan, const struct ses_membership *m,
                      uint32_t position, uint32_t j);

/* ---- step 7: audits and demands ---- */
/* What the response of an epoch with `seed` has to open: the distinct positions drawn from the
 * node's root of the epoch before (NULL: it has none), then the demands, in order. Their count. */
uint32_t ses_owed_list(struct ses_owed out[SES_OWED_MAX], const struct ses_hash *seed,
                       const struct ses_node_id *node_id, const struct ses_committed *root,
                       uint64_t audit_leaves, const struct ses_owed *demands, uint32_t demand_cnt);
/* Bit i of *shown: the response opens owed[i]. ERR_OPENING: something in it is false, about another
 * root, or was not asked for; *shown is 0 then. Linear in the length of the response. */
SES_CHECKED enum ses_err ses_response_check(uint8_t *shown, const struct ses_tx_response *response,
                                            const struct ses_committed *root,
                                            const struct ses_owed *owed, uint32_t owed_cnt);

/* ---- the map that nodes and clients route by: one epoch's snapshot ---- */
struct ses_map_node {
    struct ses_registry_row row;
    struct ses_node_keys keys;
    struct ses_endpoint endpoint;
};
struct ses_map {
    uint64_t epoch;
    struct ses_hash seed;
    struct ses_hash registry_root;
    uint32_t num_swarms;
    uint32_t node_cnt;
    struct ses_map_node *nodes; /* sorted by node_id; owned by whoever built the map */
};
/* Members of `swarm` that hold a seat, Active first, each group by node_id; at most `max` indices
 * into map->nodes. Returns how many; *active_cnt of them are Active. */
uint32_t ses_map_members(const struct ses_map *map, uint32_t swarm, uint32_t *out, uint32_t max,
                         uint32_t *active_cnt);
const struct ses_map_node *ses_map_find(const struct ses_map *map,
                                        const struct ses_node_id *node_id);
uint32_t ses_map_swarm_of_inbox(const struct ses_map *map, const struct ses_hash *inbox);
/* A reader asks m - W + 1 of m Active members (quality page, C1). */
static inline uint32_t ses_read_quorum(uint32_t members)
{
    return members - ses_write_quorum(members) + (SES_MUTANT(READ_ONE_LESS) ? 0 : 1);
}
/* Recomputes every keys hash and the registry root from the rows. ERR_CHECKSUM. `scratch` holds
 * node_cnt hashes. */
SES_CHECKED enum ses_err ses_map_verify(const struct ses_map *map, const struct ses_hash *chain_id,
                                        struct ses_hash *scratch);

#endif
