/* A few threads that share the work of one run() at a time. */
#include <pthread.h>
#include <unistd.h>

#include "plugin/plugin.h"

#define THREADS_MAX 8u

struct ses_pool {
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
static void take_tasks(struct ses_pool *pool)
{
    while (pool->next < pool->cnt) {
        const size_t i = pool->next++;
        pthread_mutex_unlock(&pool->lock);
        pool->task(pool->cookie, i);
        pthread_mutex_lock(&pool->lock);
        pool->finished++;
        if (pool->finished == pool->cnt) {
            pthread_cond_signal(&pool->done);
        }
    }
}

static void *worker(void *cookie)
{
    struct ses_pool *pool = cookie;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        take_tasks(pool);
        if (!pool->stop) {
            pthread_cond_wait(&pool->work, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void run(void *ctx, void (*task)(void *cookie, size_t i), void *cookie, size_t cnt)
{
    struct ses_pool *pool = ctx;
    pthread_mutex_lock(&pool->lock);
    SES_ASSERT(pool->next == pool->cnt && pool->finished == pool->cnt);
    pool->task = task;
    pool->cookie = cookie;
    pool->next = 0;
    pool->finished = 0;
    pool->cnt = cnt;
    if (cnt > 1) {
        pthread_cond_broadcast(&pool->work);
    }
    take_tasks(pool);
    while (pool->finished < pool->cnt) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
}

/* The caller of run() is one of `threads`. */
static enum ses_err start_threads(struct ses_pool *pool, uint32_t threads)
{
    while (pool->thread_cnt + 1 < threads) {
        SES_REQUIRE(pthread_create(&pool->threads[pool->thread_cnt], NULL, worker, pool) == 0,
                    SES_ERR_MEMORY);
        pool->thread_cnt++;
    }
    return SES_OK;
}

enum ses_err ses_pool_new(struct ses_pool **out, uint32_t threads)
{
    *out = NULL;
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0) {
        threads = processors > 0 ? (uint32_t)processors : 1;
    }
    struct ses_pool *pool = ses_alloc(1, sizeof *pool);
    SES_REQUIRE(pool != NULL, SES_ERR_MEMORY);
    SES_ASSERT(pthread_mutex_init(&pool->lock, NULL) == 0);
    SES_ASSERT(pthread_cond_init(&pool->work, NULL) == 0);
    SES_ASSERT(pthread_cond_init(&pool->done, NULL) == 0);
    pool->parallel = (struct ses_parallel){.ctx = pool, .run = run};
    const enum ses_err err = start_threads(pool, threads < THREADS_MAX ? threads : THREADS_MAX);
    if (err != SES_OK) {
        ses_pool_free(pool);
        return err;
    }
    *out = pool;
    return SES_OK;
}

void ses_pool_free(struct ses_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_cnt; i++) {
        SES_ASSERT(pthread_join(pool->threads[i], NULL) == 0);
    }
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    ses_free(pool);
}

const struct ses_parallel *ses_pool_parallel(const struct ses_pool *pool)
{
    return &pool->parallel;
}
