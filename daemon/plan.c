#include "daemon/plan.h"

#include <string.h>

#define COMMIT_SHARE 3u      /* the first third */
#define PROBE_FROM_SHARE 20u /* not in the rush at the beginning */
#define PROBE_SPAN_PERMILLE 400u
#define RESPOND_TO_PERMILLE 900u
#define BLOCKS_LEFT 4u /* for a response to be taken in, where an epoch is a few blocks long */
#define PROBE_WAIT_MIN_MS 1000u
#define PROBE_WAIT_MAX_MS 5000u
#define PROBE_WAIT_SHARE 8u
#define PROBE_AGAIN_SHARE 32u
#define RESEND_BLOCKS 3u
#define GIVE_UP_SHARE 20u /* so much before the end, or three blocks */

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Nodes spread over a window by their ids, so that the chain is not flooded at its beginning. */
static uint64_t offset_of(const char *label, uint64_t window_ms, const struct ses_node_id *self)
{
    return window_ms > 0
               ? ses_draw(label, window_ms, SES_PARTS(SES_PART(self->bytes, sizeof self->bytes)))
               : 0;
}

static void set_times(struct ses_plan *plan, const struct ses_node_id *self,
                      const struct ses_chain_params *chain)
{
    const struct ses_params *p = &chain->params;
    const uint64_t block_ms = p->block_seconds * 1000;
    const struct ses_times times = {.genesis_s = chain->genesis_timestamp,
                                    .epoch_s = p->epoch_seconds};
    const uint64_t len_ms = p->epoch_seconds * 1000;
    plan->start_ms = ses_epoch_start_ms(&times, plan->epoch);
    plan->end_ms = plan->start_ms + len_ms;
    plan->commit_ms = plan->start_ms + offset_of("commit-at", len_ms / COMMIT_SHARE, self);
    uint64_t last_ms = len_ms / 1000 * RESPOND_TO_PERMILLE;
    if (last_ms + BLOCKS_LEFT * block_ms > len_ms) {
        last_ms = len_ms > BLOCKS_LEFT * block_ms ? len_ms - BLOCKS_LEFT * block_ms : 0;
    }
    const uint64_t window_ms = last_ms > len_ms / 2 ? last_ms - len_ms / 2 : 0;
    plan->respond_ms = plan->start_ms + len_ms / 2 + offset_of("respond-at", window_ms, self);
    plan->give_up_ms = plan->end_ms - clamp(len_ms / GIVE_UP_SHARE, 3 * block_ms, len_ms / 2);
    plan->probe_wait_ms = clamp(len_ms / PROBE_WAIT_SHARE, PROBE_WAIT_MIN_MS, PROBE_WAIT_MAX_MS);
    plan->probe_again_ms = len_ms / PROBE_AGAIN_SHARE;
    plan->probe_end_ms = plan->respond_ms - plan->probe_again_ms;
    plan->resend_ms = clamp(RESEND_BLOCKS * block_ms, 500, len_ms / 8);
}

static void set_seat(struct ses_plan *plan, const struct ses_map *map,
                     const struct ses_node_id *self)
{
    const struct ses_map_node *own = ses_map_find(map, self);
    plan->swarm = SES_SWARM_NONE;
    plan->num_swarms = map->num_swarms;
    if (own == NULL || own->row.status == SES_NODE_RETIRED) {
        return;
    }
    plan->registered = true;
    plan->swarm = own->row.swarm;
    plan->seated = own->row.swarm != SES_SWARM_NONE;
    plan->swarm_from_epoch = own->row.swarm_from_epoch;
    const uint64_t held = plan->epoch - plan->swarm_from_epoch;
    plan->commits = plan->seated && plan->epoch >= plan->swarm_from_epoch && held >= 1;
    plan->opens = plan->commits && held >= 2;
}

/* ---- who is to be tested ---- */
struct draft { /* what the rules of swarm work on */
    struct ses_membership m;
    struct ses_tester_plan plan;
    struct ses_rank *ranks;
};

static void draft_free(struct draft *draft)
{
    ses_free(draft->m.seats);
    ses_free(draft->plan.order);
    ses_free(draft->plan.offsets);
    ses_free(draft->ranks);
}

static enum ses_err draft_fill(struct draft *draft, const struct ses_map *map)
{
    const size_t room = (size_t)map->node_cnt + 1;
    draft->m.num_swarms = map->num_swarms;
    draft->m.seats = ses_alloc(room, sizeof *draft->m.seats);
    draft->plan.order = ses_alloc(room, sizeof *draft->plan.order);
    draft->plan.offsets = ses_alloc(room, sizeof *draft->plan.offsets);
    draft->ranks = ses_alloc(room, sizeof *draft->ranks);
    SES_REQUIRE(draft->m.seats != NULL && draft->plan.order != NULL &&
                    draft->plan.offsets != NULL && draft->ranks != NULL,
                SES_ERR_MEMORY);
    for (uint32_t i = 0; i < map->node_cnt; i++) {
        const struct ses_registry_row *row = &map->nodes[i].row;
        struct ses_seat *seat = &draft->m.seats[draft->m.seat_cnt++];
        memset(seat, 0, sizeof *seat);
        seat->node_id = row->node_id;
        seat->owner = row->owner;
        seat->status = row->status;
        seat->swarm = row->swarm;
    }
    return SES_OK;
}

static bool find_position(const struct draft *draft, const struct ses_node_id *self,
                          uint32_t *position)
{
    for (uint32_t i = 0; i < draft->plan.order_cnt; i++) {
        const struct ses_seat *seat = &draft->m.seats[draft->plan.order[i]];
        if (ses_equal(&seat->node_id, self, sizeof *self)) {
            *position = i;
            return true;
        }
    }
    return false; /* not Active */
}

static uint64_t probe_at(const struct ses_plan *plan, const struct ses_map *map,
                         const struct ses_node_id *self, const struct ses_node_id *target)
{
    const uint64_t len_ms = plan->end_ms - plan->start_ms;
    const uint64_t span_ms = len_ms / 1000 * PROBE_SPAN_PERMILLE;
    return plan->start_ms + len_ms / PROBE_FROM_SHARE +
           ses_draw("probe-at", span_ms,
                    SES_PARTS(SES_PART(map->seed.bytes, sizeof map->seed.bytes),
                              SES_PART(self->bytes, sizeof self->bytes),
                              SES_PART(target->bytes, sizeof target->bytes)));
}

static void set_targets(struct ses_plan *plan, const struct draft *draft, const struct ses_map *map,
                        const struct ses_node_id *self)
{
    uint32_t position = 0;
    const uint32_t bits = draft->plan.offset_cnt;
    SES_ASSERT(bits <= SES_TARGETS_MAX);
    if (!find_position(draft, self, &position)) {
        return;
    }
    plan->verdict_bits = (uint16_t)bits;
    for (uint32_t j = 0; j < bits; j++) {
        if (ses_tester_tests(&draft->plan, &draft->m, position, j)) {
            struct ses_plan_target *target = &plan->targets[plan->target_cnt++];
            target->bit = (uint16_t)j;
            target->node = ses_tester_target(&draft->plan, position, j); /* seats are the rows */
            target->at_ms = probe_at(plan, map, self, &map->nodes[target->node].row.node_id);
        }
    }
}

enum ses_err ses_plan_make(struct ses_plan *out, const struct ses_map *map,
                           const struct ses_node_id *self, const struct ses_chain_params *chain)
{
    struct draft draft = {.ranks = NULL};
    memset(out, 0, sizeof *out);
    out->epoch = map->epoch;
    set_seat(out, map, self);
    set_times(out, self, chain);
    enum ses_err err = draft_fill(&draft, map);
    if (err == SES_OK) {
        err = ses_tester_plan_make(&draft.plan, &draft.m, &map->seed, chain->params.testers,
                                   draft.ranks);
    }
    if (err == SES_OK) {
        set_targets(out, &draft, map, self);
    }
    draft_free(&draft);
    return err;
}

int64_t ses_plan_sealed(const struct ses_times *times, uint64_t now_ms)
{
    const uint64_t ahead_ms = now_ms + times->freeze_s * 1000 / 6;
    if (ahead_ms < times->genesis_s * 1000) {
        return -1;
    }
    return (int64_t)((ahead_ms - times->genesis_s * 1000) / (times->epoch_s * 1000));
}
