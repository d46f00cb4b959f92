/* Shared by the benchmarks of the chain: two threads, a chain on a database in memory, medians. */
#ifndef SES_BENCH_BENCH_VM_H
#define SES_BENCH_BENCH_VM_H

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/vm_internal.h"

#define ROUNDS_MAX 99u
#define GENESIS_TIME 1800000000u
#define THREADS 2u

static inline void must(enum ses_err err)
{
    if (err != SES_OK) {
        fprintf(stderr, "bench: %s\n", ses_err_text(err));
        exit(1);
    }
}

static inline void *memory(size_t count, size_t size)
{
    void *p = ses_alloc(count, size);
    must(p == NULL ? SES_ERR_MEMORY : SES_OK);
    return p;
}

/* ---- two threads ---- */

struct job {
    void (*task)(void *cookie, size_t i);
    void *cookie;
    size_t cnt;
    atomic_size_t next;
};

static inline void *run_job(void *arg)
{
    struct job *job = arg;
    for (size_t i = atomic_fetch_add(&job->next, 1); i < job->cnt;
         i = atomic_fetch_add(&job->next, 1)) {
        job->task(job->cookie, i);
    }
    return NULL;
}

static inline void run_parallel(void *ctx, void (*task)(void *cookie, size_t i), void *cookie,
                                size_t cnt)
{
    struct job job = {.task = task, .cookie = cookie, .cnt = cnt};
    pthread_t threads[THREADS - 1];
    (void)ctx;
    for (size_t i = 0; i < SES_COUNT(threads); i++) {
        must(pthread_create(&threads[i], NULL, run_job, &job) == 0 ? SES_OK : SES_ERR_MEMORY);
    }
    run_job(&job);
    for (size_t i = 0; i < SES_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

static const char empty_genesis[] =
    "{\"networkName\":\"bench\",\"timestamp\":1800000000,\"allocations\":[]}";

static const struct ses_parallel two_threads = {.run = run_parallel};

/* ---- a chain ---- */

struct world {
    uint64_t now_s;
    struct ses_clock clock;
    struct ses_kv_memory *memory;
    struct ses_vm *vm;
};

static inline uint64_t world_now(void *ctx)
{
    return ((const struct world *)ctx)->now_s * 1000;
}

static inline void world_new(struct world *w, const char *genesis)
{
    struct ses_note note = {{0}};
    *w = (struct world){.now_s = GENESIS_TIME};
    w->clock = (struct ses_clock){.ctx = w, .now_ms = world_now};
    must(ses_kv_memory_new(&w->memory));
    const struct ses_vm_params params = {.genesis = (const uint8_t *)genesis,
                                         .genesis_len = strlen(genesis),
                                         .kv = ses_kv_memory_kv(w->memory),
                                         .clock = &w->clock,
                                         .parallel = &two_threads};
    must(ses_vm_new(&w->vm, &params, &note));
}

static inline void world_free(struct world *w)
{
    ses_vm_free(w->vm);
    ses_kv_memory_free(w->memory);
}

static inline int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static inline double median_ms(uint64_t *ns, size_t cnt)
{
    qsort(ns, cnt, sizeof(*ns), by_value);
    return (double)ns[cnt / 2] / 1e6;
}

/* A block whose state is written by hand: registering 10,000 nodes would take longer than
 * everything that is measured. begin, write into u->layer, then end, which accepts it. */
static inline struct ses_undecided *hand_begin(struct world *w)
{
    struct ses_undecided *u = NULL;
    must(ses_undecided_new(&u));
    must(ses_undecided_begin(w->vm, u, NULL, w->now_s));
    return u;
}

static inline void hand_end(struct world *w, struct ses_undecided *u)
{
    uint8_t header[SES_BLOCK_HEADER_BYTES];
    struct ses_writer out;
    must(ses_undecided_seal(w->vm, u));
    u->block = (struct ses_block){.parent = w->vm->tip.id,
                                  .height = w->vm->tip.height + 1,
                                  .timestamp = w->now_s,
                                  .state_root = u->tip.state_root};
    ses_writer_init(&out, header, sizeof(header));
    ses_block_write_header(&out, &u->block);
    must(ses_writer_done(&out));
    must(ses_buf_append(&u->bytes, header, sizeof(header)));
    ses_sha256(&u->block.id, SES_PARTS(SES_PART(header, sizeof(header))));
    u->tip.id = u->block.id;
    u->status = SES_BLOCK_VERIFIED;
    ses_undecided_link(w->vm, u);
    const struct ses_hash id = u->block.id;
    must(ses_vm_accept(w->vm, &id));
}

#endif
