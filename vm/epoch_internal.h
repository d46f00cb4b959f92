/* A transition on its way: shared by epoch.c (the frame) and judge.c (steps 2 and 1). */
#ifndef SES_VM_EPOCH_INTERNAL_H
#define SES_VM_EPOCH_INTERNAL_H

#include "vm/vm_internal.h"

/* How one node stood in the judged epoch. */
struct ses_standing {
    bool judged;
    bool seated;
    bool committed;
    bool responded;
    bool off_root; /* committed to another root than the canonical one */
    bool forgiven;
    uint8_t owed; /* bit i: owed opening i */
    uint64_t age; /* s: epochs in its seat */
    struct ses_committed root;
    struct ses_response_state response;
    struct ses_judgement note;
};
struct ses_transition {
    const struct ses_vm *vm;
    struct ses_tip *tip;
    struct ses_new_epoch *out;
    const struct ses_tip *parent; /* NULL at genesis */
    uint64_t n;                   /* the epoch that begins */
    bool judges;                  /* the epoch before was settled: its misses count */
    struct ses_node *nodes;       /* all of the state, by node_id */
    uint32_t node_cnt;
    struct ses_standing *standings;       /* parallel to nodes; NULL at genesis */
    struct ses_canonical_root *canonical; /* of the epoch before, by swarm */
    uint32_t canonical_cnt;
    struct ses_membership m; /* parallel to nodes */
    uint32_t active_cnt;
};
/* Whether the node was put out of its seat for misses and has not passed an epoch since. */
static inline bool ses_seat_lost(const struct ses_transition *t, const struct ses_node *node)
{
    return node->misses_running >= t->vm->params.seat_lost_misses;
}
/* Loads what the nodes did in the epoch before, and its canonical roots (step 2), then judges
 * (step 1): changes t->nodes, stakes, totals and t->tip->epoch, and notes what it found in t->out.
 */
SES_CHECKED enum ses_err ses_judge(struct ses_transition *t);

#endif
