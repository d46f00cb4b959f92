#include "network/uv.h"

#include <signal.h>
#include <string.h>

struct post {
    struct post *next;
    void (*fn)(void *cookie);
    void *cookie;
};

struct watch {
    uv_signal_t handle; /* first: handles are cast */
    void (*on_signal)(void *cookie, int signum);
    void *cookie;
};

struct ses_uv {
    uv_loop_t loop;
    struct ses_loop face;
    uv_async_t wake; /* keeps the loop alive */
    uv_mutex_t lock; /* of the queue below */
    struct post *first, **last;
};

struct ses_timer {
    uv_timer_t handle;
    void (*fire)(void *cookie);
    void *cookie;
};

struct job {
    uv_work_t request;
    void (*run)(void *cookie);
    void (*done)(void *cookie);
    void *cookie;
};

static void handle_free(uv_handle_t *handle)
{
    ses_free(handle->data);
}

static void timer_fire(uv_timer_t *handle)
{
    struct ses_timer *timer = handle->data;
    uv_close((uv_handle_t *)handle, handle_free);
    timer->fire(timer->cookie);
}

static enum ses_err timer_start(void *ctx, struct ses_timer **out, uint64_t delay_ms,
                                void (*fire)(void *cookie), void *cookie)
{
    struct ses_uv *uv = ctx;
    struct ses_timer *timer = ses_alloc(1, sizeof *timer);
    *out = timer;
    SES_REQUIRE(timer != NULL, SES_ERR_MEMORY);
    timer->fire = fire;
    timer->cookie = cookie;
    timer->handle.data = timer;
    uv_update_time(&uv->loop);
    SES_ASSERT(uv_timer_init(&uv->loop, &timer->handle) == 0 &&
               uv_timer_start(&timer->handle, timer_fire, delay_ms, 0) == 0);
    return SES_OK;
}

static void timer_stop(void *ctx, struct ses_timer *timer)
{
    (void)ctx;
    if (timer != NULL) {
        uv_close((uv_handle_t *)&timer->handle, handle_free);
    }
}

static void job_run(uv_work_t *request)
{
    struct job *job = request->data;
    job->run(job->cookie);
}

static void job_done(uv_work_t *request, int status)
{
    struct job *job = request->data;
    SES_ASSERT(status == 0); /* nobody cancels */
    job->done(job->cookie);
    ses_free(job);
}

static enum ses_err work(void *ctx, void (*run)(void *cookie), void (*done)(void *cookie),
                         void *cookie)
{
    struct ses_uv *uv = ctx;
    struct job *job = ses_alloc(1, sizeof *job);
    SES_REQUIRE(job != NULL, SES_ERR_MEMORY);
    job->run = run;
    job->done = done;
    job->cookie = cookie;
    job->request.data = job;
    SES_ASSERT(uv_queue_work(&uv->loop, &job->request, job_run, job_done) == 0);
    return SES_OK;
}

static uint64_t mono_ms(void *ctx)
{
    (void)ctx;
    return ses_mono_ms();
}

/* Takes the whole queue, so that posts from within a post run in the next turn. */
static void posts_run(uv_async_t *wake)
{
    struct ses_uv *uv = wake->data;
    uv_mutex_lock(&uv->lock);
    struct post *post = uv->first;
    uv->first = NULL;
    uv->last = &uv->first;
    uv_mutex_unlock(&uv->lock);
    while (post != NULL) {
        struct post *next = post->next;
        post->fn(post->cookie);
        ses_free(post);
        post = next;
    }
}

enum ses_err ses_uv_new(struct ses_uv **out)
{
    *out = NULL;
    struct ses_uv *uv = ses_alloc(1, sizeof *uv);
    SES_REQUIRE(uv != NULL, SES_ERR_MEMORY);
    uv->last = &uv->first;
    if (uv_loop_init(&uv->loop) != 0) {
        ses_free(uv);
        return SES_ERR_IO;
    }
    if (uv_async_init(&uv->loop, &uv->wake, posts_run) != 0) {
        SES_ASSERT(uv_loop_close(&uv->loop) == 0);
        ses_free(uv);
        return SES_ERR_IO;
    }
    uv->wake.data = uv;
    SES_ASSERT(uv_mutex_init(&uv->lock) == 0);
    uv->face = (struct ses_loop){.clock = *ses_clock_system(),
                                 .mono_ms = mono_ms,
                                 .timer_start = timer_start,
                                 .timer_stop = timer_stop,
                                 .work = work,
                                 .ctx = uv};
    /* A peer that closes early must not kill the process; OpenSSL writes with write(2). */
    (void)signal(SIGPIPE, SIG_IGN);
    *out = uv;
    return SES_OK;
}

static void handle_close(uv_handle_t *handle, void *cookie)
{
    struct ses_uv *uv = cookie;
    if (!uv_is_closing(handle)) {
        uv_close(handle, handle == (uv_handle_t *)&uv->wake ? NULL : handle_free);
    }
}

void ses_uv_free(struct ses_uv *uv)
{
    if (uv == NULL) {
        return;
    }
    posts_run(&uv->wake);
    uv_walk(&uv->loop, handle_close, uv); /* timers and signals that are left */
    (void)uv_run(&uv->loop, UV_RUN_DEFAULT);
    SES_ASSERT(uv_loop_close(&uv->loop) == 0);
    uv_mutex_destroy(&uv->lock);
    ses_free(uv);
}

const struct ses_loop *ses_uv_loop(struct ses_uv *uv)
{
    return &uv->face;
}

uv_loop_t *ses_uv_raw(struct ses_uv *uv)
{
    return &uv->loop;
}

void ses_uv_run(struct ses_uv *uv)
{
    (void)uv_run(&uv->loop, UV_RUN_DEFAULT);
}

void ses_uv_stop(struct ses_uv *uv)
{
    uv_stop(&uv->loop);
}

static void watch_fire(uv_signal_t *handle, int signum)
{
    struct watch *watch = handle->data;
    watch->on_signal(watch->cookie, signum);
}

enum ses_err ses_uv_signal(struct ses_uv *uv, int signum,
                           void (*on_signal)(void *cookie, int signum), void *cookie)
{
    struct watch *watch = ses_alloc(1, sizeof *watch);
    SES_REQUIRE(watch != NULL, SES_ERR_MEMORY);
    watch->on_signal = on_signal;
    watch->cookie = cookie;
    watch->handle.data = watch;
    if (uv_signal_init(&uv->loop, &watch->handle) != 0) {
        ses_free(watch);
        return SES_ERR_IO;
    }
    if (uv_signal_start(&watch->handle, watch_fire, signum) != 0) {
        uv_close((uv_handle_t *)&watch->handle, handle_free);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

enum ses_err ses_uv_post(struct ses_uv *uv, void (*fn)(void *cookie), void *cookie)
{
    struct post *post = ses_alloc(1, sizeof *post);
    SES_REQUIRE(post != NULL, SES_ERR_MEMORY);
    post->fn = fn;
    post->cookie = cookie;
    uv_mutex_lock(&uv->lock);
    *uv->last = post;
    uv->last = &post->next;
    uv_mutex_unlock(&uv->lock);
    SES_ASSERT(uv_async_send(&uv->wake) == 0);
    return SES_OK;
}
