#include "storage/test_loop.h"

#include <pthread.h>
#include <time.h>

#define STEPS_MAX 1000000u
#define WORKERS 2

struct ses_timer {
    struct ses_timer *next;
    uint64_t due_ms;
    uint64_t order;
    void (*fire)(void *cookie);
    void *cookie;
};
struct item {
    struct item *next;
    void (*run)(void *cookie);
    void (*done)(void *cookie);
    void *cookie;
};
struct items {
    struct item *first;
    struct item **end;
};
struct test_loop {
    struct ses_loop door;
    bool threads;
    uint64_t mono_ms;
    uint64_t wall_ms; /* wall clock at mono 0 */
    uint64_t order;
    struct ses_timer *timers; /* by due_ms, then order */
    struct items todo;
    struct items finished;
    uint64_t under_way; /* work items not yet done */
    pthread_mutex_t lock;
    pthread_cond_t todo_changed;
    pthread_cond_t finished_changed;
    pthread_t workers[WORKERS];
    bool stop;
};

static void push(struct items *list, struct item *item)
{
    item->next = NULL;
    if (list->first == NULL) {
        list->end = &list->first;
    }
    *list->end = item;
    list->end = &item->next;
}

static struct item *pop(struct items *list)
{
    struct item *item = list->first;
    if (item != NULL) {
        list->first = item->next;
    }
    return item;
}

static uint64_t loop_mono_ms(void *ctx)
{
    const struct test_loop *loop = ctx;
    return loop->threads ? ses_mono_ms() : loop->mono_ms;
}

static uint64_t loop_now_ms(void *ctx)
{
    const struct test_loop *loop = ctx;
    return loop->wall_ms + loop->mono_ms;
}

static enum ses_err timer_start(void *ctx, struct ses_timer **out, uint64_t delay_ms,
                                void (*fire)(void *cookie), void *cookie)
{
    struct test_loop *loop = ctx;
    struct ses_timer *timer = ses_alloc(1, sizeof *timer);
    SES_REQUIRE(timer != NULL, SES_ERR_MEMORY);
    *timer = (struct ses_timer){.due_ms = loop_mono_ms(loop) + delay_ms,
                                .order = loop->order++,
                                .fire = fire,
                                .cookie = cookie};
    struct ses_timer **at = &loop->timers;
    while (*at != NULL && (*at)->due_ms <= timer->due_ms) {
        at = &(*at)->next;
    }
    timer->next = *at;
    *at = timer;
    *out = timer;
    return SES_OK;
}

static void timer_stop(void *ctx, struct ses_timer *timer)
{
    struct test_loop *loop = ctx;
    for (struct ses_timer **at = &loop->timers; timer != NULL && *at != NULL; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            ses_free(timer);
            return;
        }
    }
}

static enum ses_err work(void *ctx, void (*run)(void *cookie), void (*done)(void *cookie),
                         void *cookie)
{
    struct test_loop *loop = ctx;
    struct item *item = ses_alloc(1, sizeof *item);
    SES_REQUIRE(item != NULL, SES_ERR_MEMORY);
    *item = (struct item){.run = run, .done = done, .cookie = cookie};
    SES_ASSERT(pthread_mutex_lock(&loop->lock) == 0);
    push(&loop->todo, item);
    loop->under_way++;
    SES_ASSERT(pthread_cond_signal(&loop->todo_changed) == 0);
    SES_ASSERT(pthread_mutex_unlock(&loop->lock) == 0);
    return SES_OK;
}

static void *worker(void *cookie)
{
    struct test_loop *loop = cookie;
    SES_ASSERT(pthread_mutex_lock(&loop->lock) == 0);
    while (!loop->stop) {
        struct item *item = pop(&loop->todo);
        if (item == NULL) {
            SES_ASSERT(pthread_cond_wait(&loop->todo_changed, &loop->lock) == 0);
            continue;
        }
        SES_ASSERT(pthread_mutex_unlock(&loop->lock) == 0);
        item->run(item->cookie);
        SES_ASSERT(pthread_mutex_lock(&loop->lock) == 0);
        push(&loop->finished, item);
        SES_ASSERT(pthread_cond_signal(&loop->finished_changed) == 0);
    }
    SES_ASSERT(pthread_mutex_unlock(&loop->lock) == 0);
    return NULL;
}

static struct test_loop *new_loop(void)
{
    struct test_loop *loop = ses_alloc(1, sizeof *loop);
    SES_ASSERT(loop != NULL);
    SES_ASSERT(pthread_mutex_init(&loop->lock, NULL) == 0);
    SES_ASSERT(pthread_cond_init(&loop->todo_changed, NULL) == 0);
    SES_ASSERT(pthread_cond_init(&loop->finished_changed, NULL) == 0);
    loop->door = (struct ses_loop){.clock = {.ctx = loop, .now_ms = loop_now_ms},
                                   .mono_ms = loop_mono_ms,
                                   .timer_start = timer_start,
                                   .timer_stop = timer_stop,
                                   .work = work,
                                   .ctx = loop};
    return loop;
}

struct test_loop *test_loop_new(uint64_t now_ms)
{
    struct test_loop *loop = new_loop();
    loop->wall_ms = now_ms;
    loop->mono_ms = 1000; /* an uptime, as on a real machine */
    return loop;
}

struct test_loop *test_loop_new_threads(void)
{
    struct test_loop *loop = new_loop();
    loop->threads = true;
    loop->door.clock = *ses_clock_system();
    for (int i = 0; i < WORKERS; i++) {
        SES_ASSERT(pthread_create(&loop->workers[i], NULL, worker, loop) == 0);
    }
    return loop;
}

void test_loop_free(struct test_loop *loop)
{
    if (loop->threads) {
        SES_ASSERT(pthread_mutex_lock(&loop->lock) == 0);
        loop->stop = true;
        SES_ASSERT(pthread_cond_broadcast(&loop->todo_changed) == 0);
        SES_ASSERT(pthread_mutex_unlock(&loop->lock) == 0);
        for (int i = 0; i < WORKERS; i++) {
            SES_ASSERT(pthread_join(loop->workers[i], NULL) == 0);
        }
    }
    while (loop->timers != NULL) {
        timer_stop(loop, loop->timers);
    }
    SES_ASSERT(loop->under_way == 0);
    SES_ASSERT(pthread_cond_destroy(&loop->todo_changed) == 0);
    SES_ASSERT(pthread_cond_destroy(&loop->finished_changed) == 0);
    SES_ASSERT(pthread_mutex_destroy(&loop->lock) == 0);
    ses_free(loop);
}

const struct ses_loop *test_loop_door(struct test_loop *loop)
{
    return &loop->door;
}

static void fire_first(struct test_loop *loop)
{
    struct ses_timer *timer = loop->timers;
    loop->timers = timer->next;
    void (*fire)(void *cookie) = timer->fire;
    void *cookie = timer->cookie;
    ses_free(timer);
    fire(cookie);
}

static void finish(struct test_loop *loop, struct item *item)
{
    loop->under_way--;
    item->done(item->cookie);
    ses_free(item);
}

bool test_loop_step(struct test_loop *loop)
{
    SES_ASSERT(!loop->threads);
    if (loop->timers != NULL && loop->timers->due_ms <= loop->mono_ms) {
        fire_first(loop);
        return true;
    }
    struct item *item = pop(&loop->todo);
    if (item != NULL) {
        item->run(item->cookie);
        finish(loop, item);
        return true;
    }
    if (loop->timers == NULL) {
        return false;
    }
    if (loop->timers->due_ms > loop->mono_ms) {
        loop->mono_ms = loop->timers->due_ms;
    }
    fire_first(loop);
    return true;
}

static bool wait_finished(struct test_loop *loop)
{
    SES_ASSERT(pthread_mutex_lock(&loop->lock) == 0);
    if (loop->finished.first == NULL && loop->under_way > 0 && loop->timers == NULL) {
        SES_ASSERT(pthread_cond_wait(&loop->finished_changed, &loop->lock) == 0);
    } else if (loop->finished.first == NULL && loop->timers != NULL) {
        struct timespec until;
        SES_ASSERT(clock_gettime(CLOCK_REALTIME, &until) == 0);
        until.tv_nsec += 500000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&loop->finished_changed, &loop->lock, &until);
    }
    struct item *item = pop(&loop->finished);
    SES_ASSERT(pthread_mutex_unlock(&loop->lock) == 0);
    if (item != NULL) {
        SES_ASSERT(pthread_mutex_lock(&loop->lock) == 0);
        SES_ASSERT(pthread_mutex_unlock(&loop->lock) == 0);
        finish(loop, item);
    }
    return item != NULL;
}

static bool step_threads(struct test_loop *loop)
{
    if (loop->timers != NULL && loop->timers->due_ms <= ses_mono_ms()) {
        fire_first(loop);
        return true;
    }
    if (loop->timers == NULL && loop->under_way == 0) {
        return false;
    }
    (void)wait_finished(loop);
    return true;
}

bool test_loop_run(struct test_loop *loop, const bool *flag)
{
    for (uint64_t i = 0; i < STEPS_MAX || loop->threads; i++) {
        if (flag != NULL && *flag) {
            return true;
        }
        if (!(loop->threads ? step_threads(loop) : test_loop_step(loop))) {
            return flag == NULL;
        }
    }
    return false;
}

void test_loop_skip(struct test_loop *loop, uint64_t ms)
{
    SES_ASSERT(!loop->threads);
    loop->mono_ms += ms;
}
