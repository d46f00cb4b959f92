/* Properties of a transition on random networks, and its refusals. */
#include <string.h>

#include "base/tap.h"
#include "swarm/swarm_internal.h"

#define NODES_MAX 400u

struct net {
    struct ses_membership m;
    struct ses_seat seats[NODES_MAX];
    uint32_t scratch[16384];
    struct ses_hash seed;
};

static uint32_t below(uint64_t bound)
{
    return (uint32_t)ses_random_below(tap_random(), bound);
}

static void random_net(struct net *net, uint32_t nodes, uint32_t num_swarms)
{
    const uint64_t owners = 1 + (below(2) == 0 ? below(3) : below(nodes / 3 + 1));
    memset(net, 0, sizeof(*net));
    ses_random_fill(tap_random(), net->seed.bytes, 32);
    for (uint32_t i = 0; i < nodes; i++) {
        struct ses_seat *seat = &net->seats[i];
        ses_put_u32(seat->node_id.bytes, i * 7 + 1); /* sorted and unique */
        seat->owner.bytes[0] = (uint8_t)below(owners);
        seat->status = (enum ses_node_status)(1 + (below(10) == 0));
        seat->swarm = below(5) == 0 ? SES_SWARM_NONE : below(num_swarms);
        seat->seatable = below(8) != 0;
    }
    net->m = (struct ses_membership){.num_swarms = num_swarms,
                                     .seats = net->seats,
                                     .seat_cnt = nodes,
                                     .scratch = net->scratch,
                                     .scratch_cnt = SES_COUNT(net->scratch)};
}

static void check_seats(const struct net *before, const struct net *after)
{
    const struct ses_membership *m = &after->m;
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        const struct ses_seat *old = &before->seats[i];
        const struct ses_seat *now = &after->seats[i];
        const bool unseated = now->swarm == SES_SWARM_NONE;
        TAP_OK(unseated || now->swarm < m->num_swarms);
        TAP_OK(now->moved || now->swarm == old->swarm);
        TAP_OK(now->moved || !now->keeps_from);
        TAP_OK(!now->keeps_from || now->swarm == old->swarm + before->m.num_swarms);
        TAP_OK(old->swarm == SES_SWARM_NONE || !unseated);
        if (now->status == SES_NODE_DECOMMISSIONING) { /* moves only by split and merge */
            TAP_OK(unseated == (old->swarm == SES_SWARM_NONE));
            TAP_OK(unseated || now->swarm % before->m.num_swarms == old->swarm ||
                   now->swarm == old->swarm % m->num_swarms);
        } else if (old->swarm == SES_SWARM_NONE) {
            TAP_EQ(!old->seatable, unseated);
        }
    }
}

/* Steps 5 (i) and (ii) as the page says them, without any short cut. */
static void count_plain(const struct ses_membership *m, uint32_t *active)
{
    memset(active, 0, m->num_swarms * sizeof(*active));
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        if (m->seats[i].swarm != SES_SWARM_NONE && ses_seat_active(&m->seats[i])) {
            active[m->seats[i].swarm]++;
        }
    }
}

static void plain_assign(struct net *net, struct ses_seat *seat)
{
    const struct ses_membership *m = &net->m;
    uint32_t active[64];
    uint32_t best[64];
    uint32_t best_cnt = 0;
    uint64_t best_rank = UINT64_MAX;
    count_plain(m, active);
    for (uint32_t s = 0; s < m->num_swarms; s++) {
        uint64_t rank = (uint64_t)active[s] << 32;
        for (uint32_t k = 0; k < m->seat_cnt; k++) {
            rank += m->seats[k].swarm == s && ses_seat_active(&m->seats[k]) &&
                    memcmp(&m->seats[k].owner, &seat->owner, 20) == 0;
        }
        best_cnt = rank < best_rank ? 0 : best_cnt;
        best_rank = rank < best_rank ? rank : best_rank;
        if (rank == best_rank) {
            best[best_cnt++] = s;
        }
    }
    seat->swarm =
        best[ses_draw("assign", best_cnt,
                      SES_PARTS(SES_PART(net->seed.bytes, 32), SES_PART(seat->node_id.bytes, 20)))];
}

static bool plain_fill(struct net *net, uint64_t floor)
{
    const struct ses_membership *m = &net->m;
    uint32_t active[64];
    uint32_t poor = 0;
    uint32_t rich = 0;
    count_plain(m, active);
    for (uint32_t s = 0; s < m->num_swarms; s++) {
        poor = active[s] < active[poor] ? s : poor;
        rich = active[s] > active[rich] ? s : rich;
    }
    if (active[poor] >= floor || active[rich] < active[poor] + 2) {
        return false;
    }
    struct ses_seat *giver = NULL;
    struct ses_hash least;
    uint8_t number[4];
    ses_put_u32(number, poor);
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        struct ses_hash rank;
        if (m->seats[i].swarm != rich || !ses_seat_active(&m->seats[i])) {
            continue;
        }
        ses_h(&rank, "fill",
              SES_PARTS(SES_PART(net->seed.bytes, 32), SES_PART(number, 4),
                        SES_PART(m->seats[i].node_id.bytes, 20)));
        if (giver == NULL || memcmp(rank.bytes, least.bytes, 32) < 0) {
            giver = &m->seats[i];
            least = rank;
        }
    }
    giver->swarm = poor;
    return true;
}

static void test_plainly(void)
{
    static struct net plain;
    static struct net after;
    uint32_t compared = 0;
    for (int round = 0; round < 200; round++) {
        const struct ses_membership_rules rules = {.swarm_target = 1 + below(12)};
        const uint32_t num_swarms = 1u << below(5);
        const uint64_t fit = num_swarms * rules.swarm_target;
        random_net(&plain, (uint32_t)(1 + below(fit * 14 / 10)), num_swarms);
        after = plain;
        after.m.seats = after.seats;
        after.m.scratch = after.scratch;
        TAP_MUST(ses_membership_advance(&after.m, &plain.seed, &rules) == SES_OK);
        if (after.m.num_swarms != num_swarms) {
            continue;
        }
        for (uint32_t i = 0; i < plain.m.seat_cnt; i++) {
            struct ses_seat *seat = &plain.seats[i];
            if (ses_seat_active(seat) && seat->swarm == SES_SWARM_NONE && seat->seatable) {
                plain_assign(&plain, seat);
            }
        }
        while (plain_fill(&plain, (rules.swarm_target + 1) / 2)) {
        }
        for (uint32_t i = 0; i < plain.m.seat_cnt; i++) {
            TAP_EQ(plain.seats[i].swarm, after.seats[i].swarm);
        }
        compared++;
    }
    TAP_OK(compared > 40);
}

static uint32_t spread_ok(const struct net *net, uint64_t target)
{
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    for (uint32_t s = 0; s < net->m.num_swarms; s++) {
        uint32_t cnt = 0;
        for (uint32_t i = 0; i < net->m.seat_cnt; i++) {
            cnt += net->seats[i].swarm == s && ses_seat_active(&net->seats[i]);
        }
        least = cnt < least ? cnt : least;
        most = cnt > most ? cnt : most;
    }
    return least >= (target + 1) / 2 || most - least < 2;
}

static void test_random_networks(void)
{
    static struct net before;
    static struct net after;
    static struct net again;
    for (int round = 0; round < 300; round++) {
        const struct ses_membership_rules rules = {.swarm_target = 1 + below(12),
                                                   .rotate_per_swarm_epochs = below(4)};
        random_net(&before, 1 + below(NODES_MAX - 1), 1u << below(6));
        after = before;
        after.m.seats = after.seats;
        after.m.scratch = after.scratch;
        TAP_MUST(ses_membership_advance(&after.m, &before.seed, &rules) == SES_OK);
        check_seats(&before, &after);
        TAP_OK(spread_ok(&after, rules.swarm_target));
        again = before;
        again.m.seats = again.seats;
        again.m.scratch = again.scratch;
        memset(again.scratch, 0xA5, sizeof(again.scratch)); /* scratch content must not matter */
        TAP_MUST(ses_membership_advance(&again.m, &before.seed, &rules) == SES_OK);
        TAP_EQ(after.m.num_swarms, again.m.num_swarms);
        for (uint32_t i = 0; i < before.m.seat_cnt; i++) {
            TAP_EQ(after.seats[i].swarm, again.seats[i].swarm);
        }
    }
}

static void test_small_networks(void)
{
    static struct net net;
    const struct ses_membership_rules rules = {.swarm_target = 10, .genesis = true};
    for (uint32_t nodes = 0; nodes < 5; nodes++) {
        random_net(&net, nodes, 1);
        for (uint32_t i = 0; i < nodes; i++) {
            net.seats[i].swarm = SES_SWARM_NONE;
            net.seats[i].status = SES_NODE_ACTIVE;
            net.seats[i].seatable = true;
        }
        TAP_ERR(SES_OK, ses_membership_advance(&net.m, &net.seed, &rules));
        TAP_EQ(1, net.m.num_swarms);
        for (uint32_t i = 0; i < nodes; i++) {
            TAP_EQ(0, net.seats[i].swarm);
        }
    }
}

/* One node a swarm is the most swarms that a genesis can ask scratch for. */
static void test_genesis_scratch(void)
{
    static struct net net;
    const struct ses_membership_rules rules = {.swarm_target = 1, .genesis = true};
    for (uint32_t nodes = 1; nodes < NODES_MAX; nodes += 13) {
        random_net(&net, nodes, 1);
        for (uint32_t i = 0; i < nodes; i++) {
            net.seats[i].swarm = SES_SWARM_NONE;
        }
        net.m.scratch_cnt = ses_membership_scratch(nodes, 1);
        TAP_ERR(SES_OK, ses_membership_advance(&net.m, &net.seed, &rules));
        net.m.num_swarms = 1;
        net.m.scratch_cnt--;
        for (uint32_t i = 0; i < nodes; i++) {
            net.seats[i].swarm = SES_SWARM_NONE;
        }
        TAP_ERR(SES_ERR_INVALID, ses_membership_advance(&net.m, &net.seed, &rules));
    }
}

static void test_refusals(void)
{
    static struct net net;
    struct ses_membership_rules rules = {.swarm_target = 10};
    random_net(&net, 20, 4);
    net.m.num_swarms = 3;
    TAP_ERR(SES_ERR_INVALID, ses_membership_advance(&net.m, &net.seed, &rules));
    net.m.num_swarms = 0;
    TAP_ERR(SES_ERR_INVALID, ses_membership_advance(&net.m, &net.seed, &rules));
    random_net(&net, 20, 4);
    net.seats[4].swarm = 4;
    TAP_ERR(SES_ERR_INVALID, ses_membership_advance(&net.m, &net.seed, &rules));
    random_net(&net, 20, 4);
    net.seats[4].node_id = net.seats[5].node_id;
    TAP_ERR(SES_ERR_INVALID, ses_membership_advance(&net.m, &net.seed, &rules));
    random_net(&net, 20, 4);
    rules.swarm_target = 0;
    TAP_ERR(SES_ERR_INVALID, ses_membership_advance(&net.m, &net.seed, &rules));
}

static bool less_number(const void *ctx, uint32_t a, uint32_t b)
{
    (void)ctx;
    return a < b;
}

static void test_sort(void)
{
    uint32_t v[200];
    for (int round = 0; round < 200; round++) {
        const uint32_t cnt = below(SES_COUNT(v) + 1);
        uint64_t sum = 0;
        for (uint32_t i = 0; i < cnt; i++) {
            v[i] = below(50);
            sum += v[i];
        }
        ses_sort_u32(v, cnt, less_number, NULL);
        for (uint32_t i = 0; i < cnt; i++) {
            TAP_OK(i == 0 || v[i - 1] <= v[i]);
            sum -= v[i];
        }
        TAP_EQ(0, sum);
    }
}

/* A lone pair of one owner may test each other: nobody else could. */
static void test_void_pairs(void)
{
    static struct net net;
    uint32_t order[2];
    uint32_t offsets[2];
    struct ses_rank scratch[2];
    struct ses_tester_plan plan = {.order = order, .offsets = offsets};
    random_net(&net, 2, 1);
    for (int i = 0; i < 2; i++) {
        net.seats[i].status = SES_NODE_ACTIVE;
        net.seats[i].owner.bytes[0] = 1;
    }
    TAP_ERR(SES_OK, ses_tester_plan_make(&plan, &net.m, &net.seed, 20, scratch));
    TAP_EQ(2, plan.order_cnt);
    TAP_EQ(1, plan.offset_cnt);
    TAP_OK(ses_tester_tests(&plan, &net.m, 0, 0) && ses_tester_tests(&plan, &net.m, 1, 0));
    net.m.seats[0].status = SES_NODE_RETIRED;
    TAP_ERR(SES_OK, ses_tester_plan_make(&plan, &net.m, &net.seed, 20, scratch));
    TAP_EQ(1, plan.order_cnt);
    TAP_EQ(0, plan.offset_cnt);
}

int main(void)
{
    TAP_RUN(test_random_networks);
    TAP_RUN(test_plainly);
    TAP_RUN(test_small_networks);
    TAP_RUN(test_genesis_scratch);
    TAP_RUN(test_refusals);
    TAP_RUN(test_sort);
    TAP_RUN(test_void_pairs);
    return tap_done();
}
