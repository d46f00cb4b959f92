/* Step 6: who tests whom (registry page, Epochs). */
#include <string.h>

#include "swarm/swarm_internal.h"

static bool less_rank(const void *ctx, uint32_t a, uint32_t b)
{
    const struct ses_seat *seats = ctx;
    return ses_hash_compare(&seats[a].rank, &seats[b].rank) < 0;
}

static bool rank_less(const struct ses_rank *a, const struct ses_rank *b)
{
    return ses_hash_compare(&a->hash, &b->hash) < 0;
}

static void swap_ranks(struct ses_rank *a, struct ses_rank *b)
{
    const struct ses_rank kept = *a;
    *a = *b;
    *b = kept;
}

/* Min-heap over ranks: the least offsets come out first, the rest is never sorted. */
static void sift(struct ses_rank *heap, uint32_t root, uint32_t cnt)
{
    while (root < cnt / 2) {
        uint32_t child = 2 * root + 1;
        if (child + 1 < cnt && rank_less(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!rank_less(&heap[child], &heap[root])) {
            return;
        }
        swap_ranks(&heap[root], &heap[child]);
        root = child;
    }
}

static void take_offsets(struct ses_tester_plan *plan, const struct ses_hash *seed,
                         uint64_t testers, struct ses_rank *heap, uint32_t distance_cnt)
{
    struct ses_ranker ranker;
    ses_ranker_init(&ranker, "offset", seed);
    for (uint32_t i = 0; i < distance_cnt; i++) {
        heap[i].value = i + 1;
        ses_ranker_u32(&ranker, &heap[i].hash, i + 1);
    }
    for (uint32_t i = distance_cnt / 2; i > 0; i--) {
        sift(heap, i - 1, distance_cnt);
    }
    uint32_t left = distance_cnt;
    for (plan->offset_cnt = 0; left > 0 && plan->offset_cnt < testers; plan->offset_cnt++) {
        plan->offsets[plan->offset_cnt] = heap[0].value;
        heap[0] = heap[--left];
        sift(heap, 0, left);
    }
}

enum ses_err ses_tester_plan_make(struct ses_tester_plan *plan, struct ses_membership *m,
                                  const struct ses_hash *seed, uint64_t testers,
                                  struct ses_rank *scratch)
{
    struct ses_ranker ranker;
    ses_ranker_init(&ranker, "testers", seed);
    plan->order_cnt = 0;
    plan->offset_cnt = 0;
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        SES_REQUIRE(i == 0 || memcmp(m->seats[i - 1].node_id.bytes, m->seats[i].node_id.bytes,
                                     sizeof(m->seats[i].node_id.bytes)) < 0,
                    SES_ERR_INVALID);
        if (ses_seat_active(&m->seats[i])) {
            ses_ranker_node(&ranker, &m->seats[i].rank, &m->seats[i].node_id);
            plan->order[plan->order_cnt++] = i;
        }
    }
    ses_sort_u32(plan->order, plan->order_cnt, less_rank, m->seats);
    if (plan->order_cnt > 1) {
        take_offsets(plan, seed, testers, scratch, plan->order_cnt - 1);
    }
    return SES_OK;
}

static bool void_pair(const struct ses_membership *m, const struct ses_seat *a,
                      const struct ses_seat *b)
{
    return memcmp(a->owner.bytes, b->owner.bytes, sizeof(a->owner.bytes)) == 0 ||
           (m->num_swarms > 1 && a->swarm == b->swarm);
}

bool ses_tester_tests(const struct ses_tester_plan *plan, const struct ses_membership *m,
                      uint32_t position, uint32_t j)
{
    SES_ASSERT(position < plan->order_cnt && j < plan->offset_cnt);
    const uint32_t n = plan->order_cnt;
    const uint32_t target_at = (position + n - plan->offsets[j]) % n;
    const struct ses_seat *target = &m->seats[plan->order[target_at]];
    if (!void_pair(m, target, &m->seats[plan->order[position]])) {
        return true;
    }
    for (uint32_t i = 0; i < plan->offset_cnt; i++) {
        const uint32_t tester = plan->order[(target_at + plan->offsets[i]) % n];
        if (!void_pair(m, target, &m->seats[tester])) {
            return false; /* somebody else can test it */
        }
    }
    return true;
}

uint32_t ses_tester_target(const struct ses_tester_plan *plan, uint32_t position, uint32_t j)
{
    SES_ASSERT(position < plan->order_cnt && j < plan->offset_cnt);
    return plan->order[(position + plan->order_cnt - plan->offsets[j]) % plan->order_cnt];
}
