/* byz: members that lie. A liar is a node like the others (daemon, store, keys, disk); what it
 * answers, sends and submits passes through here and is changed, well-formed and signed anew with
 * its own key where that takes a signature.
 *
 *     daemon ──► net.c, flow.c ──► byz_net.c ──► the others
 *        └─────► chain.c ────────► byz_chain.c ──► the chain
 *     byz_late.c sends what no daemon would; byz_judge.c: what may be expected all the same
 *
 * Fewer than a third of the nodes lie, drawn from the seed; some seeds have none. */
#ifndef SES_TESTS_SIM_BYZ_H
#define SES_TESTS_SIM_BYZ_H

#include "tests/sim/sim.h"

#define BYZ_LIES(X)                                                                                \
    X(OTHER_ROOT, "commits to another root than it answers with, or to both")                      \
    X(EMPTY_ROOT, "commits to nothing")                                                            \
    X(NO_OPENINGS, "opens nothing of what it committed to")                                        \
    X(FALSE_OPENINGS, "opens with forged proofs")                                                  \
    X(ACCUSE, "says that nobody whom it tests is there")                                           \
    X(FRAME, "commits and responds in the name of others")                                         \
    X(HIDE_PAGES, "keeps records back from readers")                                               \
    X(HIDE_SYNC, "keeps records back from members")                                                \
    X(SYNC_JUNK, "tells each member of other records, which do not exist")                         \
    X(SYNC_OTHER, "gives other records than it was asked for")                                     \
    X(TAKE_NOTHING, "gives receipts and stores nothing")                                           \
    X(OLD_RECEIPTS, "answers with receipts of other records")                                      \
    X(KEEP, "passes what entered here to some members only")                                       \
    X(LATE, "gives out records around the freeze, to some members before others")
enum byz_lie {
#define BYZ_X(name, text) BYZ_##name,
    BYZ_LIES(BYZ_X)
#undef BYZ_X
        BYZ_LIE_CNT
};

struct byz {
    struct sim_node *node;
    struct dice dice;
    uint32_t lies; /* bits of enum byz_lie */
    uint8_t hides; /* of four records so many */
    bool patient;  /* lies to members in bulk only: else it would not be asked for that */
    struct ses_receipt *old;
    struct ses_hash *forged; /* ids of what it gave in bulk in the place of other records */
    uint32_t forged_cnt, forged_cap;
    uint64_t bare_epoch;                  /* its last response that opened nothing */
    uint64_t caught_ms[SIM_HOSTS_MAX];    /* who was given another record than he asked for; 0 */
    uint32_t caught_start[SIM_HOSTS_MAX]; /* in which of his lives */
};
static inline bool byz_does(const struct byz *b, enum byz_lie lie)
{
    return b != NULL && (b->lies >> lie & 1u) != 0;
}
static inline struct byz *byz_of(const struct sim *s, uint32_t host)
{
    return host < s->node_cnt ? s->nodes[host].byz : NULL;
}
/* A record of an inbox of `swarm` that nobody reads, as old as asked for. */
struct byz_record {
    uint8_t bytes[SES_RECORD_HEADER_BYTES + 64];
    struct ses_record record;
    struct ses_record_ids ids;
};
void byz_record_make(struct byz_record *out, struct byz *b, const struct ses_map *map,
                     uint32_t swarm, uint64_t ts_ms);
/* A receipt of the liar's own. */
void byz_receipt_make(struct ses_receipt *out, struct byz *b, const struct ses_record_ids *ids,
                      uint64_t admit_epoch);
/* byz_late.c, byz_chain.c: once an epoch, before its freeze and at its beginning. */
void byz_late(struct byz *b, uint64_t epoch);
void byz_frame_others(struct byz *b);

#endif
