/* A few threads that share the work of one run() at a time. */
#include <pthread.h>
#include <unistd.h>

#include "plugin/plugin.h"

#define THREADS_MAX 8u

struct ses_workers {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a run began, or the end came */
    pthread_cond_t done; /* the last task of a run is finished */
    void (*task)(void *cookie, size_t i);
    void *cookie;
    size_t next;
    size_t cnt;
    size_t finished;
    bool stop;
    pthread_t threads[THREADS_MAX];
    uint32_t thread_cnt;
    struct ses_parallel parallel;
};

/* Takes tasks until none is left; holds the lock on entry and on return. */
static void take_tasks(struct ses_workers *workers)
{
    while (workers->next < workers->cnt) {
        const size_t i = workers->next++;
        pthread_mutex_unlock(&workers->lock);
        workers->task(workers->cookie, i);
        pthread_mutex_lock(&workers->lock);
        workers->finished++;
        if (workers->finished == workers->cnt) {
            pthread_cond_signal(&workers->done);
        }
    }
}

static void *worker(void *cookie)
{
    struct ses_workers *workers = cookie;
    pthread_mutex_lock(&workers->lock);
    while (!workers->stop) {
        take_tasks(workers);
        if (!workers->stop) {
            pthread_cond_wait(&workers->work, &workers->lock);
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static void run(void *ctx, void (*task)(void *cookie, size_t i), void *cookie, size_t cnt)
{
    struct ses_workers *workers = ctx;
    pthread_mutex_lock(&workers->lock);
    SES_ASSERT(workers->next == workers->cnt && workers->finished == workers->cnt);
    workers->task = task;
    workers->cookie = cookie;
    workers->next = 0;
    workers->finished = 0;
    workers->cnt = cnt;
    if (cnt > 1) {
        pthread_cond_broadcast(&workers->work);
    }
    take_tasks(workers);
    while (workers->finished < workers->cnt) {
        pthread_cond_wait(&workers->done, &workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
}

/* The caller of run() is one of `threads`. */
static enum ses_err start_threads(struct ses_workers *workers, uint32_t threads)
{
    while (workers->thread_cnt + 1 < threads) {
        SES_REQUIRE(pthread_create(&workers->threads[workers->thread_cnt], NULL, worker, workers) ==
                        0,
                    SES_ERR_MEMORY);
        workers->thread_cnt++;
    }
    return SES_OK;
}

enum ses_err ses_workers_new(struct ses_workers **out, uint32_t threads)
{
    *out = NULL;
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0) {
        threads = processors > 0 ? (uint32_t)processors : 1;
    }
    struct ses_workers *workers = ses_alloc(1, sizeof *workers);
    SES_REQUIRE(workers != NULL, SES_ERR_MEMORY);
    SES_ASSERT(pthread_mutex_init(&workers->lock, NULL) == 0);
    SES_ASSERT(pthread_cond_init(&workers->work, NULL) == 0);
    SES_ASSERT(pthread_cond_init(&workers->done, NULL) == 0);
    workers->parallel = (struct ses_parallel){.ctx = workers, .run = run};
    const enum ses_err err = start_threads(workers, threads < THREADS_MAX ? threads : THREADS_MAX);
    if (err != SES_OK) {
        ses_workers_free(workers);
        return err;
    }
    *out = workers;
    return SES_OK;
}

void ses_workers_free(struct ses_workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    for (uint32_t i = 0; i < workers->thread_cnt; i++) {
        SES_ASSERT(pthread_join(workers->threads[i], NULL) == 0);
    }
    pthread_cond_destroy(&workers->work);
    pthread_cond_destroy(&workers->done);
    pthread_mutex_destroy(&workers->lock);
    ses_free(workers);
}

const struct ses_parallel *ses_workers_parallel(const struct ses_workers *workers)
{
    return &workers->parallel;
}
