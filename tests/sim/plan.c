/* What the seed has in store: a list of faults, drawn before the run begins. Each hour has a storm,
 * in which faults come, and a calm, in which the promises about time hold; the last hour is calm.
 */
#include "tests/sim/byz.h"
#include "tests/sim/sim.h"

#define STORM_FROM_MS (2 * SIM_MINUTE_MS)
#define STORM_END_MS (32 * SIM_MINUTE_MS)
#define DRILL_AT_MS (42 * SIM_MINUTE_MS)
#define BULK_TRIES 4u

const char *fault_name(enum fault_kind kind)
{
    static const char *const names[] = {
#define SIM_X(name, text) #name,
        SIM_FAULTS(SIM_X)
#undef SIM_X
    };
    return names[kind];
}

void fault_text(char out[TRACE_CHARS], const struct fault *f)
{
    static const char *const texts[] = {
#define SIM_X(name, text) text,
        SIM_FAULTS(SIM_X)
#undef SIM_X
    };
    (void)snprintf(out, TRACE_CHARS,
                   "%2" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " %-13s a=%u b=%u for %" PRIu64 " s: %s",
                   f->at_ms / SIM_HOUR_MS, f->at_ms / SIM_MINUTE_MS % 60, f->at_ms / 1000 % 60,
                   fault_name(f->kind), f->a, f->b, f->for_ms / 1000, texts[f->kind]);
}

static void add(struct plan *plan, const struct fault *f)
{
    if (plan->cnt == plan->cap) {
        plan->cap = plan->cap != 0 ? 2 * plan->cap : 128;
        plan->faults = ses_realloc(plan->faults, plan->cap, sizeof *plan->faults);
        SES_ASSERT(plan->faults != NULL);
    }
    plan->faults[plan->cnt++] = *f;
}

void plan_free(struct plan *plan)
{
    ses_free(plan->faults);
    *plan = (struct plan){0};
}

/* How often each kind is drawn; those that spoil disks are drawn apart. */
static const uint8_t weights[FAULT_CNT] = {
    [FAULT_WEATHER] = 5,     [FAULT_CUT] = 7,           [FAULT_PARTITION] = 8,
    [FAULT_CLOG] = 4,        [FAULT_HALF_OPEN] = 5,     [FAULT_SKEW] = 4,
    [FAULT_PERSON_SKEW] = 2, [FAULT_STOP] = 4,          [FAULT_KILL] = 12,
    [FAULT_POWER] = 14,      [FAULT_BLACKOUT] = 4,      [FAULT_OLD_CLOCK] = 2,
    [FAULT_SLOW_DISK] = 7,   [FAULT_FULL_DISK] = 3,     [FAULT_SYNC_ERROR] = 6,
    [FAULT_READ_ERROR] = 2,  [FAULT_CHAIN_STALL] = 2,   [FAULT_CHAIN_LAG] = 2,
    [FAULT_CHAIN_CUT] = 3,   [FAULT_CHAIN_RESTART] = 1, [FAULT_PERSON_CRASH] = 6,
    [FAULT_GARBAGE] = 3,
};

static enum fault_kind draw_kind(struct dice *d)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < FAULT_CNT; i++) {
        sum += weights[i];
    }
    uint64_t at = dice_below(d, sum);
    uint32_t kind = 0;
    while (at >= weights[kind]) {
        at -= weights[kind++];
    }
    return kind;
}

static uint64_t draw_length(struct dice *d, enum fault_kind kind)
{
    switch ((int)kind) {
    case FAULT_CHAIN_STALL:
    case FAULT_CHAIN_LAG:
    case FAULT_CHAIN_CUT:
        return dice_between(d, 10, 240) * SIM_MINUTE_MS;
    case FAULT_WEATHER:
        return dice_between(d, 1, 10) * SIM_MINUTE_MS;
    case FAULT_CUT:
    case FAULT_PARTITION:
    case FAULT_CLOG:
        return dice_chance(d, 500) ? dice_between(d, 1000, 50000) : dice_between(d, 60000, 300000);
    default:
        return dice_chance(d, 700) ? dice_between(d, 500, 30000) : dice_between(d, 30000, 300000);
    }
}

static struct fault draw(struct sim *s, uint64_t hour)
{
    struct dice *d = &s->plan_dice;
    struct fault f = {.kind = draw_kind(d)};
    f.for_ms = draw_length(d, f.kind);
    const uint64_t room =
        f.for_ms < STORM_END_MS - STORM_FROM_MS ? STORM_END_MS - STORM_FROM_MS - f.for_ms : 1;
    f.at_ms = hour * SIM_HOUR_MS + STORM_FROM_MS + dice_below(d, room);
    f.a = (uint32_t)dice_below(d, s->node_cnt);
    f.b = (uint32_t)dice_below(d, s->node_cnt + s->person_cnt);
    f.seed = dice_u64(d);
    return f;
}

static bool somebody_lies_in_bulk(const struct sim *s)
{
    bool found = false;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        found |=
            byz_does(s->nodes[i].byz, BYZ_HIDE_SYNC) || byz_does(s->nodes[i].byz, BYZ_SYNC_OTHER);
    }
    return found;
}

/* A disk is lost where no other is: while its node's audit runs (nothing is drawn before the second
 * epoch), also in the last hour; where some lie in the first, so that others can be judged, and
 * what is fetched in bulk may be a lie. From dice of its own. */
static void plan_loss(struct sim *s, uint64_t hours)
{
    struct dice d;
    const bool lies = s->byz_cnt > 0;
    if (!lies && hours < 2) {
        return;
    }
    dice_init(&d, s->seed, "loss", 0);
    const uint64_t hour = lies ? 0 : dice_between(&d, 2, hours);
    const uint64_t into_ms = dice_between(&d, lies ? 25 : 2, lies ? 35 : 20) * SIM_MINUTE_MS;
    struct fault f = {.kind = FAULT_WIPE, .at_ms = hour * SIM_HOUR_MS + into_ms};
    f.a = (uint32_t)dice_below(&d, s->node_cnt);
    while (s->nodes[f.a].byz != NULL) {
        f.a = (f.a + 1) % s->node_cnt;
    }
    f.for_ms = dice_between(&d, 1000, 20000);
    f.seed = dice_u64(&d);
    add(&s->plan, &f);
    if (somebody_lies_in_bulk(s)) { /* to whom it comes in one of some tries */
        for (uint32_t i = 1; i < BULK_TRIES; i++) {
            f.at_ms += 4 * SIM_MINUTE_MS;
            f.seed = dice_u64(&d);
            add(&s->plan, &f);
        }
        f = (struct fault){.kind = FAULT_FLOOD, .b = (uint32_t)dice_u64(&d), .seed = dice_u64(&d)};
        f.at_ms = into_ms - dice_between(&d, 2, 20) * SIM_MINUTE_MS;
        add(&s->plan, &f);
    }
}

/* Rare, and from dice of its own: an epoch that nobody can report to. */
static void plan_empty(struct sim *s, uint64_t hours)
{
    struct dice d;
    dice_init(&d, s->seed, "empty", 0);
    if (!dice_chance(&d, 200)) {
        return;
    }
    const struct fault f = {.kind = FAULT_CHAIN_EMPTY,
                            .at_ms = dice_below(&d, hours * SIM_HOUR_MS),
                            .for_ms = dice_between(&d, 10, 150) * SIM_MINUTE_MS,
                            .seed = dice_u64(&d)};
    add(&s->plan, &f);
}

/* No more disks are spoiled than a quorum bears. */
static void plan_spoilers(struct sim *s, uint64_t hours)
{
    static const enum fault_kind kinds[] = {FAULT_BIT_FLIP, FAULT_MISDIRECT, FAULT_WIPE};
    struct dice *d = &s->plan_dice;
    const uint32_t m = s->node_cnt;
    const uint32_t most = m - ses_write_quorum(m) < 2 ? m - ses_write_quorum(m) : 2;
    if (most == 0) {
        return;
    }
    if (!dice_chance(d, 500)) {
        plan_loss(s, hours);
        return;
    }
    const uint32_t cnt = (uint32_t)dice_between(d, 1, most);
    for (uint32_t i = 0; i < cnt; i++) {
        struct fault f = draw(s, dice_below(d, hours));
        f.kind = kinds[dice_below(d, SES_COUNT(kinds))];
        f.for_ms = dice_between(d, 1000, 60000);
        add(&s->plan, &f);
    }
}

/* Nodes that were not there at the beginning register, some of the others leave. */
static void plan_churn(struct sim *s, uint64_t hours)
{
    struct dice *d = &s->plan_dice;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const bool late = s->nodes[i].phase == NODE_ABSENT;
        if (!late && (!s->churn || !dice_chance(d, 100))) {
            continue;
        }
        const struct fault f = {.kind = late ? FAULT_JOIN : FAULT_LEAVE,
                                .at_ms = dice_below(d, hours * SIM_HOUR_MS),
                                .a = i,
                                .seed = dice_u64(d)};
        add(&s->plan, &f);
    }
}

static int by_time(const void *left, const void *right)
{
    const struct fault *a = left;
    const struct fault *b = right;
    if (a->at_ms != b->at_ms) {
        return a->at_ms < b->at_ms ? -1 : 1;
    }
    return a->seed < b->seed ? -1 : a->seed > b->seed;
}

void plan_make(struct sim *s)
{
    struct dice *d = &s->plan_dice;
    const uint64_t hours = s->end_ms / SIM_HOUR_MS - 1;
    const uint64_t most = dice_between(d, 3, 24);
    for (uint64_t hour = 0; hour < hours; hour++) {
        const bool lies = s->byz_cnt > 0; /* which are judged where nothing else disturbs */
        if (hour > (lies ? 0 : 1) && dice_chance(d, lies ? 600 : 250)) {
            continue; /* nothing at all, so that its epoch can be judged */
        }
        const uint64_t cnt = dice_between(d, most / 3, most);
        for (uint64_t i = 0; i < cnt; i++) {
            const struct fault f = draw(s, hour);
            add(&s->plan, &f);
        }
        const struct fault drill = {
            .at_ms = hour * SIM_HOUR_MS + DRILL_AT_MS + dice_below(d, 4 * SIM_MINUTE_MS),
            .kind = dice_chance(d, 700) ? FAULT_DOWN_WRITE : FAULT_DOWN_READ,
            .b = (uint32_t)dice_below(d, s->person_cnt),
            .for_ms = 150000,
            .seed = dice_u64(d)};
        add(&s->plan, &drill);
    }
    if (hours > 0) {
        plan_spoilers(s, hours);
        plan_churn(s, hours);
        plan_empty(s, hours);
    }
    if (s->plan.cnt > 0) {
        qsort(s->plan.faults, s->plan.cnt, sizeof *s->plan.faults, by_time);
    }
}

static void begin(void *cookie)
{
    struct fault *f = cookie;
    struct sim *s = sim_current();
    char text[TRACE_CHARS];
    fault_text(text, f);
    sim_tell(s, "fault %s", text);
    fault_begin(s, f);
}

void plan_start(struct sim *s)
{
    for (uint32_t i = 0; i < s->plan.cnt; i++) {
        if (!s->plan.faults[i].dropped) {
            sim_after(s, s->plan.faults[i].at_ms, begin, &s->plan.faults[i]);
        }
    }
}
