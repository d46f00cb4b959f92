/* People: an identity, a map, an outbox and what was seen, as a client keeps them. What is saved
 * survives a crash, everything else is made anew from it. */
#include "tests/sim/sim.h"

uint64_t sim_person_now(const struct sim_person *p)
{
    return (uint64_t)((int64_t)sim_unix_ms(p->sim) + p->skew_ms);
}

static uint64_t person_clock(void *ctx)
{
    return sim_person_now(ctx);
}

void sim_target_of(struct ses_target *out, const struct ses_map_node *node)
{
    out->node_id = node->row.node_id;
    out->public_key = node->keys.public_key;
    out->endpoint = node->endpoint;
}

/* ---- map ---- */
static bool map_old(const struct sim_person *p)
{
    const struct ses_chain_params *c = &p->sim->chain.params;
    const struct ses_times times = {.genesis_s = c->genesis_timestamp,
                                    .epoch_s = c->params.epoch_seconds,
                                    .settle_s = c->params.settle_seconds,
                                    .freeze_s = c->params.freeze_seconds};
    return p->map == NULL || ses_epoch_at(&times, sim_person_now(p) / 1000) > p->map->epoch;
}

void sim_person_map(struct sim_person *p, bool force)
{
    struct sim *s = p->sim;
    struct ses_vm_head head;
    struct ses_hash scratch[SIM_NODES_MAX];
    const uint32_t machine = p->host % 2;
    if (s->chain.cut_until_ms[p->host] > s->now_ms || (!force && !map_old(p))) {
        return;
    }
    ses_vm_head(s->chain.machines[machine].vm, &head);
    if (p->map != NULL && head.epoch <= p->map->epoch) {
        return; /* the chain has nothing newer */
    }
    struct ses_map *map = sim_chain_map(s, machine);
    if (ses_map_verify(map, &s->chain.params.chain_id, scratch) != SES_OK) {
        sim_broken(s, "B2", "the registry of epoch %" PRIu64 " does not match its root",
                   map->epoch);
    }
    sim_map_free(p->map);
    p->map = map;
}

uint32_t sim_person_members(const struct sim_person *p, const struct ses_hash *inbox,
                            uint32_t out[SES_MEMBERS_MAX], uint32_t *active_cnt)
{
    *active_cnt = 0;
    if (p->map == NULL) {
        return 0;
    }
    return ses_map_members(p->map, ses_map_swarm_of_inbox(p->map, inbox), out, SES_MEMBERS_MAX,
                           active_cnt);
}

/* ---- life ---- */
void sim_person_init(struct sim *s, uint32_t index)
{
    struct sim_person *p = &s->people[index];
    p->sim = s;
    p->index = index;
    p->host = SIM_NODES_MAX + index;
    dice_init(&p->dice, s->seed, "person", index);
    SES_ASSERT(ses_identity_generate(&p->identity, &p->dice.random) == SES_OK);
    ses_card_of(&p->card, p->identity, "");
    ses_random_fill(&p->dice.random, p->token.bytes, sizeof p->token.bytes);
    memcpy(p->inbox.bytes, p->identity->id.bytes + 1, sizeof p->inbox.bytes);
    p->clock = (struct ses_clock){.ctx = p, .now_ms = person_clock};
    sim_net_init(&p->net, s, p->host);
}

static void come_back(void *cookie)
{
    struct sim_person *p = cookie;
    if (p->sim->ending) {
        return;
    }
    p->net.down = false;
    if (p->saved_inbox.len > 0 &&
        ses_inbox_decode(&p->inbox_state, p->saved_inbox.bytes, p->saved_inbox.len) != SES_OK) {
        sim_broken(p->sim, "D1", "person %u cannot read what it saved", p->index);
        return;
    }
    sim_items_resume(p);
    sim_person_read(p);
}

static void forget(struct sim_person *p)
{
    p->life++;
    sim_reading_drop(p);
    sim_items_drop(p, true);
    ses_inbox_free(&p->inbox_state);
    p->read_again = false; /* the map is on disk */
    p->watch = NULL;
    sim_net_down(&p->net, true, false);
}

void sim_person_crash(struct sim_person *p)
{
    if (p->net.down) {
        return;
    }
    forget(p);
    sim_see(p->sim, SEEN_PERSON_CRASH);
    sim_tell(p->sim, "person %u is killed", p->index);
    sim_after(p->sim, dice_between(&p->dice, 1000, 120000), come_back, p);
}

void sim_person_free(struct sim_person *p)
{
    sim_items_drop(p, false);
    ses_inbox_free(&p->inbox_state);
    sim_map_free(p->map);
    ses_buf_free(&p->saved_inbox);
    sim_net_free(&p->net);
    ses_identity_free(p->identity);
}
