/* Promises for what is durable, signed in batches. */
#include <string.h>

#include "storage/storage_internal.h"

#define MINUTE_MS 60000u

static void sign_kick(struct ses_store *store);

/* ---- what was signed, for meta.db ---- */
struct signed_task {
    struct ses_task task;
    struct ses_meta *meta;
    struct ses_meta_signed row;
};

static enum ses_err write_signed(struct ses_task *task, struct ses_lane *lane)
{
    struct signed_task *t = (struct signed_task *)task;
    (void)lane;
    return ses_meta_add_signed(t->meta, &t->row);
}

static void signed_written(struct ses_task *task, struct ses_store *store)
{
    if (task->err != SES_OK) {
        ses_logf(store->p.log, SES_LOG_WARN, "storage", "what was signed is not in meta.db: %s",
                 ses_err_text(task->err));
    }
    ses_free(task);
}

void ses_signed_flush(struct ses_store *store, bool now)
{
    struct ses_signer *s = &store->signer;
    const uint64_t at = store->p.loop->mono_ms(store->p.loop->ctx);
    if (s->row.batch_cnt == 0 || (!now && at - s->row_ms < SES_SIGNED_MS)) {
        return;
    }
    struct signed_task *t = ses_alloc(1, sizeof *t);
    if (t == NULL) {
        return; /* stays for the next time */
    }
    t->task = (struct ses_task){.run = write_signed, .done = signed_written};
    t->meta = store->meta;
    t->row = s->row;
    s->row = (struct ses_meta_signed){0};
    ses_task_push(store, &t->task);
}

static void count_signed(struct ses_store *store, const struct ses_sign_job *job)
{
    struct ses_signer *s = &store->signer;
    const struct ses_receipt_leaf *leaf = &job->leaves[0];
    const uint64_t minute = leaf->time_ms / MINUTE_MS;
    if (s->row.batch_cnt > 0 && (s->row.minute != minute || s->row.swarm != leaf->swarm ||
                                 s->row.swarm_from_epoch != leaf->swarm_from_epoch)) {
        ses_signed_flush(store, true);
    }
    if (s->row.batch_cnt == 0) {
        s->row_ms = store->p.loop->mono_ms(store->p.loop->ctx);
        s->row = (struct ses_meta_signed){.minute = minute,
                                          .swarm = leaf->swarm,
                                          .swarm_from_epoch = leaf->swarm_from_epoch,
                                          .epoch_min = UINT64_MAX};
    }
    s->row.batch_cnt++;
    s->row.leaf_cnt += job->cnt;
    for (uint16_t i = 0; i < job->cnt; i++) {
        const uint64_t epoch = job->leaves[i].admit_epoch;
        s->row.epoch_min = epoch < s->row.epoch_min ? epoch : s->row.epoch_min;
        s->row.epoch_max = epoch > s->row.epoch_max ? epoch : s->row.epoch_max;
    }
}

/* ---- signing ---- */
static void sign_run(void *cookie)
{
    struct ses_sign_job *job = cookie;
    const struct ses_store_params *p = &job->store->p;
    job->err = ses_receipts_sign(job->receipts, job->leaves, job->cnt, &p->chain_id, &p->node_id,
                                 p->key, p->random);
}

static void sign_done(void *cookie)
{
    struct ses_sign_job *job = cookie;
    struct ses_store *store = job->store;
    store->signer.busy = false;
    if (store->fatal) {
        job->err = SES_ERR_IO; /* nothing is acknowledged any more */
    }
    if (job->err == SES_OK) {
        store->signatures++;
        count_signed(store, job);
    }
    for (uint16_t i = 0; i < job->cnt; i++) {
        if (job->err == SES_OK) {
            ses_op_succeed(store, job->ops[i], &job->receipts[i]);
        } else {
            ses_put_op_fail(store, job->ops[i], job->err);
        }
    }
    ses_signed_flush(store, false);
    sign_kick(store);
    ses_store_settle(store);
}

static void fill(struct ses_store *store, struct ses_sign_job *job)
{
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    for (job->cnt = 0; store->signer.queue.first != NULL && job->cnt < SES_RECEIPT_BATCH_MAX;) {
        struct ses_op *op = ses_op_pop(&store->signer.queue);
        job->leaves[job->cnt] = (struct ses_receipt_leaf){
            .id = op->ids.id,
            .digest = op->ids.digest,
            .segment = op->ids.segment,
            .swarm = store->seat.swarm,
            .swarm_from_epoch = store->seat.from_epoch,
            .admit_epoch = op->admit_epoch,
            .time_ms = now_ms,
        };
        job->ops[job->cnt++] = op;
    }
}

static void start(struct ses_store *store)
{
    const struct ses_loop *loop = store->p.loop;
    struct ses_sign_job *job = store->signer.job;
    job->store = store;
    fill(store, job);
    store->signer.busy = true;
    store->signer.last_ms = loop->mono_ms(loop->ctx);
    const enum ses_err err = loop->work(loop->ctx, sign_run, sign_done, job);
    if (err != SES_OK) {
        store->signer.busy = false;
        for (uint16_t i = 0; i < job->cnt; i++) {
            ses_put_op_fail(store, job->ops[i], err);
        }
    }
}

static void fire(void *cookie)
{
    struct ses_store *store = cookie;
    store->signer.timer = NULL;
    if (!store->signer.busy && store->signer.queue.cnt > 0) {
        start(store);
    }
    ses_store_settle(store);
}

/* After a pause a signature is made at once; under load there is one in 10 ms or for 256 records,
 * and what comes while one is being made waits for the next. */
static void sign_kick(struct ses_store *store)
{
    struct ses_signer *s = &store->signer;
    const struct ses_loop *loop = store->p.loop;
    if (s->busy || s->queue.cnt == 0) {
        return;
    }
    const bool full = s->queue.cnt >= SES_RECEIPT_BATCH_MAX;
    if (s->timer != NULL && full && !s->urgent) {
        loop->timer_stop(loop->ctx, s->timer);
        s->timer = NULL;
    }
    if (s->timer != NULL) {
        return;
    }
    const uint64_t gone = loop->mono_ms(loop->ctx) - s->last_ms;
    s->urgent = full || gone >= SES_SIGN_MS;
    if (loop->timer_start(loop->ctx, &s->timer, s->urgent ? 0 : SES_SIGN_MS - gone, fire, store) !=
        SES_OK) {
        s->timer = NULL;
        start(store);
    }
}

void ses_sign_push(struct ses_store *store, struct ses_op *op)
{
    if (store->fatal) {
        ses_put_op_fail(store, op, SES_ERR_IO);
        return;
    }
    ses_op_push(&store->signer.queue, op);
    sign_kick(store);
}
