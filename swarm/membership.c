/* Steps 4 and 5 of the epoch transition: resize, assign, fill, rotate (registry page, Epochs). */
#include <string.h>

#include "swarm/swarm_internal.h"

#define NUM_SWARMS_MAX (1u << 24)

/* The scratch, in four arrays over swarms and three over nodes. */
struct work {
    struct ses_membership *m;
    const struct ses_hash *seed;
    uint32_t swarm_cap;
    uint32_t *active;   /* Active members by swarm */
    uint32_t *own;      /* of the owner at hand, by swarm; zeros in between */
    uint32_t *least;    /* the least populated swarms, ascending */
    uint32_t *first;    /* by swarm: its first Active member, or none */
    uint32_t *next;     /* by node: the next member of its swarm */
    uint32_t *by_owner; /* nodes sorted by owner, then node_id */
    uint32_t *rows;     /* own[] kept for each owner with more nodes than there are swarms */
};

/* num_swarms doubles once, or at genesis at most until 1.43 swarms a node. */
static uint32_t swarm_cap(uint32_t seat_cnt, uint32_t num_swarms)
{
    return 2 * (num_swarms > seat_cnt ? num_swarms : seat_cnt) + 2;
}

uint32_t ses_membership_scratch(uint32_t seat_cnt, uint32_t num_swarms)
{
    return 4 * swarm_cap(seat_cnt, num_swarms) + 3 * seat_cnt;
}

static void work_init(struct work *w, struct ses_membership *m, const struct ses_hash *seed)
{
    const uint32_t cap = swarm_cap(m->seat_cnt, m->num_swarms);
    *w = (struct work){.m = m,
                       .seed = seed,
                       .swarm_cap = cap,
                       .active = m->scratch,
                       .own = m->scratch + cap,
                       .least = m->scratch + 2 * (size_t)cap,
                       .first = m->scratch + 3 * (size_t)cap,
                       .next = m->scratch + 4 * (size_t)cap,
                       .by_owner = m->scratch + 4 * (size_t)cap + m->seat_cnt,
                       .rows = m->scratch + 4 * (size_t)cap + 2 * (size_t)m->seat_cnt};
}

static enum ses_err membership_validate(const struct ses_membership *m,
                                        const struct ses_membership_rules *rules)
{
    SES_REQUIRE(m->num_swarms > 0 && m->num_swarms <= NUM_SWARMS_MAX, SES_ERR_INVALID);
    SES_REQUIRE((m->num_swarms & (m->num_swarms - 1)) == 0, SES_ERR_INVALID);
    SES_REQUIRE(m->seat_cnt <= NUM_SWARMS_MAX, SES_ERR_INVALID);
    SES_REQUIRE(rules->swarm_target > 0 && rules->swarm_target <= UINT32_MAX, SES_ERR_INVALID);
    SES_REQUIRE(m->scratch_cnt >= ses_membership_scratch(m->seat_cnt, m->num_swarms),
                SES_ERR_INVALID);
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        const struct ses_seat *seat = &m->seats[i];
        SES_REQUIRE(seat->swarm == SES_SWARM_NONE || seat->swarm < m->num_swarms, SES_ERR_INVALID);
        SES_REQUIRE(i == 0 || memcmp(m->seats[i - 1].node_id.bytes, seat->node_id.bytes, 20) < 0,
                    SES_ERR_INVALID);
    }
    return SES_OK;
}

static uint32_t active_cnt(const struct ses_membership *m)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        cnt += ses_seat_active(&m->seats[i]);
    }
    return cnt;
}

static void move_to(struct ses_seat *seat, uint32_t swarm)
{
    seat->swarm = swarm;
    seat->moved = true;
    seat->keeps_from = false;
}

/* ---- step 4 ---- */

static bool less_swarm_rank(const void *ctx, uint32_t a, uint32_t b)
{
    const struct ses_seat *x = (const struct ses_seat *)ctx + a;
    const struct ses_seat *y = (const struct ses_seat *)ctx + b;
    return x->swarm != y->swarm ? x->swarm < y->swarm : ses_hash_compare(&x->rank, &y->rank) < 0;
}

/* The first by rank stays, the second goes to the new half, and so on alternately. */
static void split(struct work *w)
{
    struct ses_membership *m = w->m;
    struct ses_ranker ranker;
    uint32_t cnt = 0;
    ses_ranker_init(&ranker, "split", w->seed);
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        if (m->seats[i].swarm != SES_SWARM_NONE) {
            ses_ranker_node(&ranker, &m->seats[i].rank, &m->seats[i].node_id);
            w->next[cnt++] = i;
        }
    }
    ses_sort_u32(w->next, cnt, less_swarm_rank, m->seats);

    uint32_t swarm = SES_SWARM_NONE;
    bool goes = false;
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_seat *seat = &m->seats[w->next[i]];
        goes = seat->swarm == swarm && !goes;
        swarm = seat->swarm;
        if (goes) {
            move_to(seat, swarm + m->num_swarms);
            seat->keeps_from = true;
        }
    }
    m->num_swarms *= 2;
}

static void merge(struct ses_membership *m)
{
    m->num_swarms /= 2;
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        struct ses_seat *seat = &m->seats[i];
        if (seat->swarm != SES_SWARM_NONE && seat->swarm >= m->num_swarms) {
            move_to(seat, seat->swarm - m->num_swarms);
        }
    }
}

static void resize(struct work *w, const struct ses_membership_rules *rules)
{
    struct ses_membership *m = w->m;
    const uint64_t tenfold = 10 * (uint64_t)active_cnt(m);
    const uint64_t bound = m->num_swarms * rules->swarm_target;
    if (rules->genesis) {
        while (tenfold >= 14 * m->num_swarms * rules->swarm_target) {
            m->num_swarms *= 2;
        }
    } else if (tenfold >= 14 * bound) {
        split(w);
    } else if (tenfold < 6 * bound && m->num_swarms > 1) {
        merge(m);
    }
}

/* ---- step 5 (i) ---- */

static void count_active(struct work *w)
{
    memset(w->active, 0, w->m->num_swarms * sizeof(uint32_t));
    for (uint32_t i = 0; i < w->m->seat_cnt; i++) {
        const struct ses_seat *seat = &w->m->seats[i];
        if (seat->swarm != SES_SWARM_NONE && ses_seat_active(seat)) {
            w->active[seat->swarm]++;
        }
    }
}

static bool less_owner(const void *ctx, uint32_t a, uint32_t b)
{
    const struct ses_seat *seats = ctx;
    const int order = memcmp(seats[a].owner.bytes, seats[b].owner.bytes, 20);
    return order != 0 ? order < 0 : a < b;
}

/* First position in by_owner whose owner is not less than `owner`. */
static uint32_t owner_begin(const struct work *w, const struct ses_account *owner)
{
    uint32_t low = 0;
    uint32_t high = w->m->seat_cnt;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (memcmp(w->m->seats[w->by_owner[mid]].owner.bytes, owner->bytes, 20) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool same_owner(const struct work *w, uint32_t at, const struct ses_account *owner)
{
    return at < w->m->seat_cnt && memcmp(w->m->seats[w->by_owner[at]].owner.bytes, owner->bytes,
                                         sizeof(owner->bytes)) == 0;
}

/* Counts the seated Active nodes of the owner whose nodes begin at by_owner[begin] into `own`, or
 * sets the counts to zero again. */
static void count_own(const struct work *w, uint32_t *own, uint32_t begin, bool set)
{
    const struct ses_account *owner = &w->m->seats[w->by_owner[begin]].owner;
    for (uint32_t i = begin; same_owner(w, i, owner); i++) {
        const struct ses_seat *seat = &w->m->seats[w->by_owner[i]];
        if (seat->swarm != SES_SWARM_NONE && ses_seat_active(seat)) {
            own[seat->swarm] = set ? own[seat->swarm] + 1 : 0;
        }
    }
}

/* Sorts the nodes by owner. An owner of more nodes than swarms gets a row of counts that is kept
 * (all rows together are shorter than the nodes); the counts of the others are made when needed, in
 * fewer steps than there are swarms. next[] is free until the members are linked: at the beginning
 * of an owner's nodes it holds where the row starts, or none. */
static void group_by_owner(struct work *w)
{
    const uint32_t cnt = w->m->seat_cnt;
    uint32_t row = 0;
    memset(w->own, 0, w->m->num_swarms * sizeof(uint32_t));
    for (uint32_t i = 0; i < cnt; i++) {
        w->by_owner[i] = i;
    }
    ses_sort_u32(w->by_owner, cnt, less_owner, w->m->seats);
    for (uint32_t begin = 0, end = 0; begin < cnt; begin = end) {
        const struct ses_account *owner = &w->m->seats[w->by_owner[begin]].owner;
        while (same_owner(w, end, owner)) {
            end++;
        }
        w->next[begin] = SES_INDEX_NONE;
        if (end - begin > w->m->num_swarms) {
            w->next[begin] = row;
            memset(w->rows + row, 0, w->m->num_swarms * sizeof(uint32_t));
            count_own(w, w->rows + row, begin, true);
            row += w->m->num_swarms;
        }
    }
}

static uint32_t collect_least(struct work *w)
{
    uint32_t fewest = UINT32_MAX;
    uint32_t cnt = 0;
    for (uint32_t s = 0; s < w->m->num_swarms; s++) {
        if (w->active[s] < fewest) {
            fewest = w->active[s];
            cnt = 0;
        }
        if (w->active[s] == fewest) {
            w->least[cnt++] = s;
        }
    }
    return cnt;
}

/* Position in least[] of the drawn swarm among those where the owner has the fewest nodes. */
static uint32_t draw_seat(const struct work *w, const uint32_t *own, uint32_t least_cnt,
                          const struct ses_seat *seat)
{
    uint32_t fewest = UINT32_MAX;
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < least_cnt; i++) {
        const uint32_t here = own[w->least[i]];
        if (here < fewest) {
            fewest = here;
            cnt = 0;
        }
        cnt += here == fewest;
    }
    uint64_t nth = ses_draw("assign", cnt,
                            SES_PARTS(SES_PART(w->seed->bytes, 32),
                                      SES_PART(seat->node_id.bytes, sizeof(seat->node_id.bytes))));
    uint32_t at = 0;
    while (own[w->least[at]] != fewest || nth-- > 0) {
        at++;
    }
    return at;
}

/* Gives `seat` a swarm of the least[]; returns its position there. */
static uint32_t assign_seat(struct work *w, struct ses_seat *seat, uint32_t least_cnt)
{
    const uint32_t begin = owner_begin(w, &seat->owner);
    const bool kept = w->next[begin] != SES_INDEX_NONE;
    uint32_t *own = kept ? w->rows + w->next[begin] : w->own;
    if (!kept) {
        count_own(w, own, begin, true);
    }
    const uint32_t at = draw_seat(w, own, least_cnt, seat);
    if (!kept) {
        count_own(w, own, begin, false);
    } else {
        own[w->least[at]]++;
    }
    move_to(seat, w->least[at]);
    w->active[seat->swarm]++;
    return at;
}

static void assign(struct work *w)
{
    struct ses_membership *m = w->m;
    uint32_t least_cnt = 0;
    bool grouped = false;
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        struct ses_seat *seat = &m->seats[i];
        if (!ses_seat_active(seat) || seat->swarm != SES_SWARM_NONE || !seat->seatable) {
            continue;
        }
        if (!grouped) {
            group_by_owner(w); /* most transitions assign nobody */
            grouped = true;
        }
        if (least_cnt == 0) {
            least_cnt = collect_least(w);
        }
        const uint32_t at = assign_seat(w, seat, least_cnt);
        least_cnt--; /* it has one more than the least now */
        memmove(&w->least[at], &w->least[at + 1], (least_cnt - at) * sizeof(uint32_t));
    }
}

/* ---- step 5 (ii) and (iii): lists of the Active members of each swarm ---- */

static void link_member(struct work *w, uint32_t node, uint32_t swarm)
{
    w->next[node] = w->first[swarm];
    w->first[swarm] = node;
}

static void link_all(struct work *w)
{
    for (uint32_t s = 0; s < w->m->num_swarms; s++) {
        w->first[s] = SES_INDEX_NONE;
    }
    for (uint32_t i = 0; i < w->m->seat_cnt; i++) {
        const struct ses_seat *seat = &w->m->seats[i];
        if (seat->swarm != SES_SWARM_NONE && ses_seat_active(seat)) {
            link_member(w, i, seat->swarm);
        }
    }
}

static void unlink_member(struct work *w, uint32_t node, uint32_t swarm)
{
    uint32_t *at = &w->first[swarm];
    while (*at != node) {
        SES_ASSERT(*at != SES_INDEX_NONE);
        at = &w->next[*at];
    }
    *at = w->next[node];
}

static void move_member(struct work *w, uint32_t node, uint32_t swarm)
{
    struct ses_seat *seat = &w->m->seats[node];
    unlink_member(w, node, seat->swarm);
    w->active[seat->swarm]--;
    move_to(seat, swarm);
    link_member(w, node, swarm);
    w->active[swarm]++;
}

/* The member of `swarm` with the least rank; none if it is empty. */
static uint32_t least_member(const struct work *w, const struct ses_ranker *ranker, uint32_t swarm)
{
    struct ses_hash best = {{0}};
    uint32_t found = SES_INDEX_NONE;
    for (uint32_t i = w->first[swarm]; i != SES_INDEX_NONE; i = w->next[i]) {
        struct ses_hash rank;
        ses_ranker_node(ranker, &rank, &w->m->seats[i].node_id);
        if (found == SES_INDEX_NONE || ses_hash_compare(&rank, &best) < 0) {
            best = rank;
            found = i;
        }
    }
    return found;
}

static void fill(struct work *w, uint64_t floor)
{
    for (;;) {
        uint32_t poor = 0;
        uint32_t rich = 0;
        for (uint32_t s = 1; s < w->m->num_swarms; s++) {
            poor = w->active[s] < w->active[poor] ? s : poor;
            rich = w->active[s] > w->active[rich] ? s : rich;
        }
        if (w->active[poor] >= floor || w->active[rich] - w->active[poor] < 2) {
            return; /* each round narrows the spread, so this ends */
        }
        struct ses_ranker ranker;
        ses_ranker_init_u32(&ranker, "fill", w->seed, poor);
        move_member(w, least_member(w, &ranker, rich), poor);
    }
}

static uint64_t draw_u32(const struct work *w, const char *label, uint64_t bound, uint32_t number)
{
    uint8_t bytes[4];
    ses_put_u32(bytes, number);
    return ses_draw(label, bound,
                    SES_PARTS(SES_PART(w->seed->bytes, 32), SES_PART(bytes, sizeof(bytes))));
}

static void rotate(struct work *w, uint64_t every)
{
    const uint32_t num_swarms = w->m->num_swarms;
    for (uint32_t s = 0; every > 0 && num_swarms > 1 && s < num_swarms; s++) {
        if (draw_u32(w, "rotate", every, s) != 0) {
            continue;
        }
        uint32_t other = (uint32_t)draw_u32(w, "partner", num_swarms - 1, s);
        other += other >= s;
        struct ses_ranker ranker;
        ses_ranker_init_u32(&ranker, "swap", w->seed, s);
        const uint32_t a = least_member(w, &ranker, s);
        const uint32_t b = least_member(w, &ranker, other);
        if (a != SES_INDEX_NONE && b != SES_INDEX_NONE) {
            move_member(w, a, other);
            move_member(w, b, s);
        }
    }
}

enum ses_err ses_membership_advance(struct ses_membership *m, const struct ses_hash *seed,
                                    const struct ses_membership_rules *rules)
{
    struct work w;
    SES_TRY(membership_validate(m, rules));
    work_init(&w, m, seed);
    for (uint32_t i = 0; i < m->seat_cnt; i++) {
        m->seats[i].moved = false;
        m->seats[i].keeps_from = false;
    }
    resize(&w, rules);
    SES_ASSERT(m->num_swarms <= w.swarm_cap);
    count_active(&w);
    assign(&w);
    link_all(&w);
    fill(&w, rules->swarm_target / 2 + rules->swarm_target % 2);
    if (!rules->genesis) {
        rotate(&w, rules->rotate_per_swarm_epochs);
    }
    return SES_OK;
}
