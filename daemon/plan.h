/* What a node owes in one epoch, and when: a pure function of the map, the parameters and its id.
 *
 *     T_n      commit          probes               respond       give up        T_n+1
 *      |---------|-----------------------------|---------|-----------|-------------|
 *      0     < E/3          E/20 .. 9E/20     E/2 .. 9E/10        19E/20
 *
 * Every moment is a fraction E of the epoch, so that the loop works at 3600 s and at 8 s alike. */
#ifndef SES_DAEMON_PLAN_H
#define SES_DAEMON_PLAN_H

#include "rpc/rpc.h"
#include "swarm/swarm.h"

#define SES_TARGETS_MAX 256u /* genesis: testers */
struct ses_plan_target {
    uint16_t bit;   /* of the verdict */
    uint32_t node;  /* in map->nodes */
    uint64_t at_ms; /* unix: the first attempt */
};
struct ses_plan {
    uint64_t epoch;
    bool registered; /* Active or Decommissioning: it answers */
    bool seated;
    bool commits; /* from its second epoch in the seat on */
    bool opens;   /* from the third on */
    uint32_t swarm, num_swarms;
    uint64_t swarm_from_epoch;
    uint64_t start_ms, end_ms; /* T_n, T_n+1; all times are unix ms */
    uint64_t commit_ms, respond_ms;
    uint64_t give_up_ms;    /* later, a response goes as it is: too late is worse than incomplete */
    uint64_t probe_wait_ms; /* for one answer */
    uint64_t probe_again_ms;           /* between attempts */
    uint64_t probe_end_ms;             /* no attempt after this */
    uint64_t resend_ms;                /* between submissions of one transaction */
    uint16_t verdict_bits, target_cnt; /* bits of void pairs and of pairs of others stay 0 */
    struct ses_plan_target targets[SES_TARGETS_MAX];
};
/* CPU: sorts all nodes, so a worker's job in a large network. ERR_MEMORY. */
SES_CHECKED enum ses_err ses_plan_make(struct ses_plan *out, const struct ses_map *map,
                                       const struct ses_node_id *self,
                                       const struct ses_chain_params *chain);
/* The epoch that is sealed at `now_ms` by the own clock: the greatest e with F_e + 5 freeze / 6 <=
 * now, that is T_e - freeze / 6; -1: none. */
int64_t ses_plan_sealed(const struct ses_times *times, uint64_t now_ms);

#endif
