/* What the chain says of an epoch: S3 (who is honest loses nothing) and C2 (equal sets have equal
 * roots). Judged only where nothing disturbed it: from before the freeze of its commitments to its
 * end. */
#include "tests/sim/sim.h"

#define BEFORE_MS                                                                                  \
    500000u /* before an epoch begins: settle, freeze and a round of reconciliation                \
             */

static bool undisturbed(const struct sim *s, uint64_t epoch)
{
    const uint64_t start_ms = epoch * s->chain.params.params.epoch_seconds * 1000;
    const uint64_t from_ms = start_ms > BEFORE_MS ? start_ms - BEFORE_MS : 0;
    return epoch > 0 && s->storm_until_ms <= from_ms && s->chain.trouble_until_ms <= from_ms;
}

/* ---- S3 ---- */
static bool find_miss(void *cookie, const struct ses_judgement *j)
{
    struct sim *s = cookie;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *node = &s->nodes[i];
        const uint64_t since_ms = s->now_ms - node->spoiled_ms;
        const bool honest = !node->spoiled || since_ms > 3 * SIM_HOUR_MS;
        if (honest && j->causes != 0 && ses_equal(&node->node_id, &j->node_id, sizeof j->node_id)) {
            sim_broken(s, "S3",
                       "node %u, honest and undisturbed, missed epoch %" PRIu64 ": causes "
                       "%02x, %u of %u testers reached it",
                       i, j->epoch, j->causes, j->reached, j->answered);
        }
    }
    return true;
}

/* ---- C2 ---- */
/* Its disk was lost or changed within the last hours: what it fetched it may have admitted later.
 */
static bool restored(const struct sim *s, const struct ses_node_id *node_id)
{
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *node = &s->nodes[i];
        if (ses_equal(&node->node_id, node_id, sizeof *node_id)) {
            return node->spoiled && s->now_ms - node->spoiled_ms < 3 * SIM_HOUR_MS;
        }
    }
    return false;
}

struct roots {
    struct sim *sim;
    struct ses_committed first;
    uint32_t cnt;
};

static bool compare_root(void *cookie, const struct ses_committed *c)
{
    struct roots *r = cookie;
    if (restored(r->sim, &c->node_id)) {
        return true;
    }
    if (r->cnt++ == 0) {
        r->first = *c;
    } else if (!ses_equal(&r->first.root, &c->root, sizeof c->root) || r->first.count != c->count ||
               r->first.bytes != c->bytes) {
        sim_broken(r->sim, "C2",
                   "two members of swarm %u committed in epoch %" PRIu64 " to %" PRIu64
                   " and %" PRIu64 " records",
                   c->swarm, c->epoch, r->first.count, c->count);
    }
    return true;
}

void oracle_epoch(struct sim *s, uint64_t epoch)
{
    struct ses_epoch record;
    const struct ses_vm *vm = s->chain.machines[0].vm;
    if (!undisturbed(s, epoch)) {
        return;
    }
    s->oracle.epoch_cnt++;
    const enum ses_err err = ses_vm_judgements(vm, epoch, find_miss, s);
    if (err != SES_OK && err != SES_ERR_NOT_FOUND) {
        sim_broken(s, "S3", "epoch %" PRIu64 " has no judgement: %s", epoch, ses_err_text(err));
    }
    sim_chain_epoch(s, 0, &record);
    for (uint32_t swarm = 0; swarm < record.num_swarms && !s->verdict.failed; swarm++) {
        struct roots roots = {.sim = s};
        const enum ses_err read = ses_vm_commitments(vm, swarm, epoch, compare_root, &roots);
        if (read != SES_OK && read != SES_ERR_NOT_FOUND) {
            sim_broken(s, "C2", "no commitments of epoch %" PRIu64 ": %s", epoch,
                       ses_err_text(read));
        }
        sim_tell(s, "epoch %" PRIu64 ": %u members of swarm %u committed to %" PRIu64 " records",
                 epoch, roots.cnt, swarm, roots.first.count);
    }
}
