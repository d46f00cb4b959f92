/* Virtual time: a heap of events, by (time, order of being asked for). */
#include "tests/sim/memory.h"

#define BURST_MAX 400000u /* events in one millisecond: somebody runs in circles */

struct ses_timer {
    size_t place; /* in the heap */
    void (*run)(void *cookie);
    void (*fire)(void *cookie);
    void *cookie;
    uint64_t after_run_ms;
    uint32_t owner; /* memory.h */
};

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void place(struct events *e, size_t i, const struct event *event)
{
    e->heap[i] = *event;
    event->timer->place = i;
}

static void up(struct events *e, size_t i)
{
    const struct event event = e->heap[i];
    while (i > 0 && before(&event, &e->heap[(i - 1) / 2])) {
        place(e, i, &e->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(e, i, &event);
}

static void down(struct events *e, size_t i)
{
    const struct event event = e->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < e->cnt && before(&e->heap[child + 1], &e->heap[child])) {
            child++;
        }
        if (child >= e->cnt || !before(&e->heap[child], &event)) {
            break;
        }
        place(e, i, &e->heap[child]);
        i = child;
    }
    place(e, i, &event);
}

static void take_out(struct events *e, struct ses_timer *t)
{
    const size_t i = t->place;
    e->cnt--;
    if (i < e->cnt) {
        place(e, i, &e->heap[e->cnt]);
        down(e, i);
        up(e, i);
    }
}

static void put_in(struct sim *s, struct ses_timer *t, uint64_t delay_ms)
{
    struct events *e = &s->events;
    if (e->cnt == e->cap) {
        e->cap = e->cap != 0 ? 2 * e->cap : 1024;
        e->heap = ses_realloc(e->heap, e->cap, sizeof *e->heap);
        SES_ASSERT(e->heap != NULL);
    }
    const struct event event = {.at_ms = s->now_ms + delay_ms, .order = e->order++, .timer = t};
    place(e, e->cnt++, &event);
    up(e, t->place);
}

struct ses_timer *sim_after(struct sim *s, uint64_t delay_ms, void (*fire)(void *cookie),
                            void *cookie)
{
    SIM_AS(SIM_WORLD);
    struct ses_timer *t = ses_alloc(1, sizeof *t);
    SES_ASSERT(t != NULL);
    t->fire = fire;
    t->cookie = cookie;
    put_in(s, t, delay_ms);
    return t;
}

void sim_cancel(struct sim *s, struct ses_timer *timer)
{
    if (timer != NULL) {
        take_out(&s->events, timer);
        ses_free(timer);
    }
}

static void call(const struct ses_timer *t, void (*what)(void *cookie))
{
    SIM_AS(t->owner);
    what(t->cookie);
}

static void step(struct sim *s)
{
    const uint64_t at_ms = s->events.heap[0].at_ms;
    struct ses_timer *t = s->events.heap[0].timer;
    take_out(&s->events, t);
    s->events.burst = at_ms == s->now_ms ? s->events.burst + 1 : 0;
    s->now_ms = at_ms;
    if (t->run != NULL) {
        call(t, t->run);
        t->run = NULL;
        put_in(s, t, t->after_run_ms);
        return;
    }
    call(t, t->fire);
    ses_free(t);
}

void sim_run_until(struct sim *s, uint64_t until_ms)
{
    struct events *e = &s->events;
    while (!s->verdict.failed && e->cnt > 0 && e->heap[0].at_ms <= until_ms) {
        step(s);
        if (e->burst > BURST_MAX) {
            sim_broken(s, "B1", "%u events in one millisecond: something runs in circles",
                       BURST_MAX);
        }
    }
    if (!s->verdict.failed) {
        s->now_ms = until_ms;
    }
}

uint64_t sim_unix_ms(const struct sim *s)
{
    return SIM_START_MS + s->now_ms;
}

/* ---- a node's loop ---- */
static uint64_t loop_mono(void *ctx)
{
    return ((const struct sim_node *)ctx)->sim->now_ms;
}

static uint64_t loop_clock(void *ctx)
{
    const struct sim_node *node = ctx;
    return (uint64_t)((int64_t)sim_unix_ms(node->sim) + node->skew_ms);
}

static enum ses_err loop_timer(void *ctx, struct ses_timer **out, uint64_t delay_ms,
                               void (*fire)(void *cookie), void *cookie)
{
    const struct sim_node *node = ctx;
    *out = sim_after(node->sim, delay_ms, fire, cookie);
    (*out)->owner = sim_owner_of(node->sim, node->index);
    return SES_OK;
}

static void loop_stop(void *ctx, struct ses_timer *timer)
{
    sim_cancel(((struct sim_node *)ctx)->sim, timer);
}

/* Some work waits before it begins, some before its end is noticed. */
static enum ses_err loop_work(void *ctx, void (*run)(void *cookie), void (*done)(void *cookie),
                              void *cookie)
{
    SIM_AS(SIM_WORLD);
    struct sim_node *node = ctx;
    const uint64_t slow = node->slow_ms;
    struct ses_timer *t = ses_alloc(1, sizeof *t);
    SES_ASSERT(t != NULL);
    t->run = run;
    t->fire = done;
    t->cookie = cookie;
    t->owner = sim_owner_of(node->sim, node->index);
    t->after_run_ms = dice_below(&node->dice, 2 + slow / 2);
    put_in(node->sim, t, dice_below(&node->dice, 2 + slow));
    return SES_OK;
}

void sim_loop_init(struct ses_loop *loop, struct sim_node *node)
{
    *loop = (struct ses_loop){.clock = {.ctx = node, .now_ms = loop_clock},
                              .mono_ms = loop_mono,
                              .timer_start = loop_timer,
                              .timer_stop = loop_stop,
                              .work = loop_work,
                              .ctx = node};
}
