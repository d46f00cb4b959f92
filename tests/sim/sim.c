/* One run: builds the world from the seed, lets it live, and tears it down. */
#include <stdarg.h>

#include "tests/sim/sim.h"

#define CHECK_MS 60000u

static struct sim *current;

struct sim *sim_current(void)
{
    return current;
}

void sim_broken(struct sim *s, const char *promise, const char *format, ...)
{
    struct verdict_of_run *v = &s->verdict;
    if (v->failed) {
        return;
    }
    va_list args;
    v->failed = true;
    v->at_ms = s->now_ms;
    (void)snprintf(v->promise, sizeof v->promise, "%s", promise);
    va_start(args, format);
    (void)vsnprintf(v->text, sizeof v->text, format, args);
    va_end(args);
    sim_tell(s, "%s is broken: %.120s", v->promise, v->text);
}

bool sim_calm(const struct sim *s, uint64_t for_ms)
{
    return s->now_ms >= s->storm_until_ms + for_ms;
}

void sim_storm(struct sim *s, uint64_t for_ms)
{
    const uint64_t until = s->now_ms + for_ms;
    s->storm_until_ms = until > s->storm_until_ms ? until : s->storm_until_ms;
}

/* ---- building ---- */
static void set_params(struct sim *s)
{
    struct ses_params *p = &s->chain.params.params;
    ses_params_defaults(p);
    s->chain.params.genesis_timestamp = SIM_START_MS / 1000;
    p->block_seconds = 10;
    p->rotate_per_swarm_epochs = s->churn ? 2 : 0;
    p->unbond_epochs = s->churn ? 2 : p->unbond_epochs;
    p->swarm_target = s->node_cnt <= 16 && !s->churn ? s->node_cnt : s->node_cnt <= 16 ? 4 : 10;
    p->inbox_quota_bytes = 16u << 20;
    (void)snprintf(s->chain.params.network_name, sizeof s->chain.params.network_name, "sim");
}

static void build(struct sim *s)
{
    struct dice size;
    dice_init(&size, s->seed, "size", 0);
    dice_init(&s->net_dice, s->seed, "net", 0);
    dice_init(&s->plan_dice, s->seed, "plan", 0);
    s->node_cnt = (uint32_t)dice_between(&size, 3, 10);
    s->person_cnt = (uint32_t)dice_between(&size, 2, 6);
    s->node_cnt = s->setup.nodes != 0 ? s->setup.nodes : s->node_cnt;
    s->person_cnt = s->setup.people != 0 ? s->setup.people : s->person_cnt;
    s->end_ms = s->setup.hours_max * SIM_HOUR_MS;
    SES_ASSERT(s->node_cnt <= SIM_NODES_MAX && s->person_cnt <= SIM_PEOPLE_MAX);
    s->churn = s->node_cnt > 5 && dice_chance(&size, 350);
    set_params(s);
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        sim_node_init(s, i);
        if (s->churn && i > 4 && dice_chance(&size, 300)) {
            s->nodes[i].phase = NODE_ABSENT;
        }
    }
    byz_draw(s);
    for (uint32_t i = 0; i < s->person_cnt; i++) {
        sim_person_init(s, i);
    }
    sim_net_init(&s->stranger, s, SIM_HOSTS_MAX - 1);
    sim_fair_weather(s);
    sim_chain_start(s);
    for (uint32_t i = 0; i < s->node_cnt && !s->verdict.failed; i++) {
        if (s->nodes[i].phase == NODE_DOWN) {
            sim_node_start(&s->nodes[i]);
        }
    }
    sim_storm(s, SIM_MINUTE_MS);
}

/* ---- living ---- */
static void person_acts(void *cookie)
{
    struct sim_person *p = cookie;
    struct sim *s = p->sim;
    static const uint8_t classes[] = {0, 1, 1, 2};
    if (s->ending) {
        return;
    }
    const bool last_hour = s->now_ms + SIM_HOUR_MS > s->end_ms;
    if (dice_chance(&p->dice, 500) && !last_hour) {
        const uint32_t to = (uint32_t)dice_below(&p->dice, s->person_cnt);
        const uint64_t bytes = dice_chance(&p->dice, 50) ? dice_between(&p->dice, 1000, 20000)
                                                         : dice_between(&p->dice, 1, 900);
        const uint8_t ttl_class = classes[dice_below(&p->dice, SES_COUNT(classes))];
        const uint64_t burst = dice_chance(&p->dice, 100) ? dice_between(&p->dice, 2, 6) : 1;
        for (uint64_t i = 0; i < burst; i++) {
            sim_person_send(p, to, (uint32_t)bytes, ttl_class);
        }
    } else if (dice_chance(&p->dice, 300)) {
        oracle_walk(s, (uint32_t)dice_below(&p->dice, s->node_cnt), p->index);
    } else {
        sim_person_read(p);
    }
    const uint64_t pace = s->end_ms > 8 * SIM_HOUR_MS ? 40 : 20; /* long days are quieter */
    sim_after(s, dice_between(&p->dice, SIM_MINUTE_MS, pace * SIM_MINUTE_MS), person_acts, p);
}

static void check(void *cookie)
{
    struct sim *s = cookie;
    if (!s->ending) {
        oracle_check(s);
        oracle_deletes_check(s);
        oracle_rots_check(s);
        oracle_demands(s);
        oracle_memory_check(s);
        sim_after(s, CHECK_MS, check, s);
    }
}

static void epoch_ends(void *cookie)
{
    struct sim *s = cookie;
    const uint64_t epoch_ms = s->chain.params.params.epoch_seconds * 1000;
    if (!s->ending) {
        oracle_epoch(s, s->now_ms / epoch_ms - 1);
        for (uint32_t i = 0; i < s->node_cnt; i++) {
            if (s->nodes[i].wiped_ms + epoch_ms > s->now_ms && s->nodes[i].wiped_ms > 0) {
                oracle_draw(s, &s->nodes[i]);
            }
        }
        sim_after(s, epoch_ms, epoch_ends, s);
    }
}

static void epoch_is_over(void *cookie)
{
    struct sim *s = cookie;
    if (!s->ending) {
        oracle_spread(s, s->now_ms / (s->chain.params.params.epoch_seconds * 1000), false);
    }
}

static void epoch_is_ending(void *cookie)
{
    struct sim *s = cookie;
    const uint64_t epoch_ms = s->chain.params.params.epoch_seconds * 1000;
    if (!s->ending) {
        oracle_spread(s, s->now_ms / epoch_ms, true);
        sim_after(s, SIM_MINUTE_MS / 2, epoch_is_over, s);
        sim_after(s, epoch_ms, epoch_is_ending, s);
    }
}

static void start_people(struct sim *s)
{
    for (uint32_t i = 0; i < s->person_cnt; i++) {
        struct sim_person *p = &s->people[i];
        sim_person_map(p, true);
        sim_person_publish(p);
        sim_after(s, dice_between(&p->dice, 20000, 5 * SIM_MINUTE_MS), person_acts, p);
        sim_person_deletes(p);
        if (dice_chance(&p->dice, 400)) {
            sim_person_watch(p);
        }
    }
    sim_demands_start(s);
    sim_after(s, CHECK_MS, check, s);
    const uint64_t epoch_ms = s->chain.params.params.epoch_seconds * 1000;
    sim_after(s, epoch_ms + SIM_MINUTE_MS, epoch_ends, s);
    sim_after(s, epoch_ms - SIM_MINUTE_MS * 3 / 2, epoch_is_ending, s);
}

/* ---- the end ---- */
static void everybody_reads(struct sim *s)
{
    for (uint32_t i = 0; i < s->person_cnt; i++) {
        sim_person_read(&s->people[i]);
    }
}

static void tear_down(struct sim *s)
{
    s->ending = true;
    for (uint32_t i = 0; i < s->person_cnt; i++) {
        sim_reading_drop(&s->people[i]);
        sim_items_drop(&s->people[i], true);
        sim_net_down(&s->people[i].net, true, false);
    }
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        sim_node_die(&s->nodes[i], DEATH_STOP, SIM_DEAD);
    }
    sim_net_down(&s->stranger, true, false);
    sim_run_until(s, s->now_ms + 4 * SIM_HOUR_MS); /* what is on its way arrives */
    if (s->verdict.failed) {
        return; /* a node left something */
    }
    SES_ASSERT(s->events.cnt == 0);
    for (uint32_t i = 0; i < s->person_cnt; i++) {
        sim_person_free(&s->people[i]);
    }
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        sim_node_free(&s->nodes[i]);
    }
    sim_net_free(&s->stranger);
    sim_chain_free(s);
    oracle_free(s);
    ses_free(s->events.heap);
}

static void sum_up(struct sim *s, struct verdict_of_run *out)
{
    *out = s->verdict;
    out->hash = s->trace.hash;
    out->event_cnt = s->trace.event_cnt;
    out->virtual_ms = s->now_ms;
    out->node_cnt = s->node_cnt;
    out->msg_cnt = s->oracle.cnt;
    out->stored_cnt = s->oracle.stored_cnt;
    out->delivered_cnt = s->oracle.delivered_cnt;
    out->fault_cnt = s->plan.cnt;
    out->epoch_cnt = s->oracle.epoch_cnt;
    out->deleted_cnt = s->oracle.tomb_cnt;
    out->demand_cnt = s->oracle.owed_cnt;
    out->shown_cnt = s->oracle.shown_cnt;
    out->paid_cnt = s->oracle.paid_cnt;
    out->fetch_cnt = s->oracle.fetch_cnt;
    out->walk_cnt = s->oracle.walk_cnt;
    out->spread_ms_max = s->oracle.spread_ms_max;
}

static void copy_plan(struct plan *to, const struct plan *from)
{
    *to = (struct plan){.cnt = from->cnt, .cap = from->cnt};
    to->faults = ses_alloc(from->cnt + 1u, sizeof *to->faults);
    SES_ASSERT(to->faults != NULL);
    if (from->cnt > 0) {
        memcpy(to->faults, from->faults, from->cnt * sizeof *to->faults);
    }
}

/* A broken world is left to the end of the process. */
static void end_world(struct sim *s, struct verdict_of_run *out)
{
    tear_down(s);
    if (s->verdict.failed) {
        const uint64_t hash = out->hash;
        sum_up(s, out);
        out->hash = hash;
    } else {
        plan_free(&s->plan);
        ses_free(s);
    }
}

void sim_run(struct verdict_of_run *out, const struct sim_setup *setup, struct plan *plan,
             char (*lines)[TRACE_CHARS])
{
    struct sim *s = ses_alloc(1, sizeof *s);
    SES_ASSERT(s != NULL);
    current = s;
    s->setup = *setup;
    s->seed = setup->seed;
    s->trace.print = setup->trace;
    sim_vfs_use(s);
    build(s);
    plan_make(s);
    if (setup->plan != NULL) {
        plan_free(&s->plan);
        copy_plan(&s->plan, setup->plan);
    }
    plan_start(s);
    byz_start(s);
    start_people(s);
    sim_run_until(s, s->end_ms - 10 * SIM_MINUTE_MS);
    if (!s->verdict.failed) {
        everybody_reads(s);
        sim_run_until(s, s->end_ms + 2 * SIM_MINUTE_MS); /* the last epoch is judged */
    }
    if (!s->verdict.failed) {
        oracle_end(s);
    }
    sum_up(s, out);
    if (plan != NULL) {
        copy_plan(plan, &s->plan);
    }
    for (uint32_t i = 0; lines != NULL && i < TRACE_LINES; i++) {
        memcpy(lines[i], s->trace.lines[(s->trace.line_cnt + i) % TRACE_LINES], TRACE_CHARS);
    }
    if (!s->verdict.failed) {
        end_world(s, out);
    }
    current = NULL;
}
