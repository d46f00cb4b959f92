/* What the chain says of an epoch: S3 (who is honest loses nothing) and C2 (equal sets have equal
 * roots). Judged only where nothing disturbed it: from before the freeze of its commitments to its
 * end. */
#include "tests/sim/sim.h"

#define BEFORE_MS                                                                                  \
    500000u /* before an epoch begins: settle, freeze and a round of reconciliation                \
             */

bool oracle_undisturbed(const struct sim *s, uint64_t epoch)
{
    const uint64_t start_ms = epoch * s->chain.params.params.epoch_seconds * 1000;
    const uint64_t from_ms = start_ms > BEFORE_MS ? start_ms - BEFORE_MS : 0;
    return epoch > 0 && s->storm_until_ms <= from_ms && s->chain.trouble_until_ms <= from_ms;
}

/* Its disk was lost or changed. A commitment of that epoch may already stand on the chain, and then
 * the records that its audit draws are given to it only when its response is on chain, or the epoch
 * over: too late to be admitted to the next one, whose audit may draw one of them again. What was
 * changed in the journal of a database is read at the next start, and is lost, with all that was
 * written behind it, from then on. */
uint64_t oracle_lost_ms(const struct sim_node *node)
{
    return node->reopened_ms > node->spoiled_ms ? node->reopened_ms : node->spoiled_ms;
}

static bool restored(const struct sim *s, const struct sim_node *node, uint64_t epoch)
{
    const uint64_t epoch_ms = s->chain.params.params.epoch_seconds * 1000;
    return node->spoiled && epoch <= oracle_lost_ms(node) / epoch_ms + 2;
}

/* Honest, and so are more than two thirds of its swarm. */
static bool kept_bounds(const struct sim *s, const struct sim_node *node)
{
    const struct ses_map *map = s->chain.map;
    const struct ses_map_node *row = map != NULL ? ses_map_find(map, &node->node_id) : NULL;
    return node->byz == NULL && (row == NULL || byz_bounded(s, map, row->row.swarm));
}

/* ---- S3 ---- */
static bool find_miss(void *cookie, const struct ses_judgement *j)
{
    struct sim *s = cookie;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *node = &s->nodes[i];
        const bool asked = restored(s, node, j->epoch - 1) && oracle_demanded(s, i, j->epoch);
        const bool honest = !restored(s, node, j->epoch) && !asked && kept_bounds(s, node);
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
static bool is_restored(const struct sim *s, const struct ses_committed *c)
{
    bool found = false;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *node = &s->nodes[i];
        found |= ses_equal(&node->node_id, &c->node_id, sizeof c->node_id) &&
                 (!kept_bounds(s, node) || restored(s, node, c->epoch));
    }
    return found;
}

struct roots {
    struct sim *sim;
    struct ses_committed first;
    uint32_t cnt;
};

static bool compare_root(void *cookie, const struct ses_committed *c)
{
    struct roots *r = cookie;
    if (is_restored(r->sim, c)) {
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
    if (!oracle_undisturbed(s, epoch)) {
        return;
    }
    s->oracle.epoch_cnt++;
    const enum ses_err err = ses_vm_judgements(vm, epoch, find_miss, s);
    if (err != SES_OK && err != SES_ERR_NOT_FOUND) {
        sim_broken(s, "S3", "epoch %" PRIu64 " has no judgement: %s", epoch, ses_err_text(err));
    }
    byz_epoch(s, epoch);
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
