/* Gathering puts and tasks into batches for the lane, and what comes back. */
#include <string.h>

#include "storage/storage_internal.h"

void ses_op_push(struct ses_op_list *list, struct ses_op *op)
{
    op->next = NULL;
    if (list->first == NULL) {
        list->end = &list->first;
    }
    *list->end = op;
    list->end = &op->next;
    list->cnt++;
}

struct ses_op *ses_op_pop(struct ses_op_list *list)
{
    struct ses_op *op = list->first;
    if (op != NULL) {
        list->first = op->next;
        op->next = NULL;
        list->cnt--;
    }
    return op;
}

void ses_task_push(struct ses_store *store, struct ses_task *task)
{
    task->next = NULL;
    if (store->fatal) { /* no batch will come any more */
        task->err = SES_ERR_IO;
        task->done(task, store);
        return;
    }
    if (store->tasks == NULL) {
        store->tasks_end = &store->tasks;
    }
    *store->tasks_end = task;
    store->tasks_end = &task->next;
    store->task_cnt++;
    ses_batch_kick(store);
}

/* The slot of the file that `segment` is logged to; false if the batch has no room for it. */
static bool file_of(struct ses_batch *batch, const struct ses_seg *seg, uint32_t *at)
{
    for (*at = 0; *at < batch->file_cnt; (*at)++) {
        const struct ses_segment *s = &batch->files[*at].segment;
        if (s->ttl_class == seg->id.ttl_class && s->hour == seg->id.hour) {
            return true;
        }
    }
    if (batch->file_cnt == SES_LANE_FILES) {
        return false;
    }
    batch->files[batch->file_cnt++] =
        (struct ses_batch_file){.segment = seg->id, .start = seg->end, .end = seg->end};
    return true;
}

static struct ses_batch *gather(struct ses_store *store)
{
    store->batch_at ^= 1;
    struct ses_batch *batch = &store->writes[store->batch_at];
    *batch = (struct ses_batch){.store = store, .tasks = store->tasks, .what = ""};
    store->tasks = NULL;
    store->task_cnt = 0;
    while (store->queue.first != NULL && batch->op_cnt < SES_BATCH_MAX) {
        struct ses_op *op = store->queue.first;
        const struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
        if (!file_of(batch, ses_catalog_seg(&store->catalog, e->segment), &op->file)) {
            break;
        }
        (void)ses_op_pop(&store->queue);
        op->offset = batch->files[op->file].end;
        op->seq = op->fixed_epoch ? e->seq : store->next_seq++; /* a repair replaces its row */
        batch->files[op->file].end += op->len;
        batch->ops[batch->op_cnt++] = op;
    }
    return batch;
}

/* ---- what comes back ---- */
/* A damaged record has a new copy, or a deleted one came after all. */
static void finish_again(struct ses_store *store, const struct ses_batch *batch, struct ses_op *op)
{
    struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    ses_catalog_seg(&store->catalog, e->segment)->reserved--;
    e->flags &= (uint8_t)~SES_FLAG_BUSY;
    if (batch->refused || batch->err != SES_OK) {
        ses_put_op_fail(store, op, batch->refused ? SES_ERR_DISK_LOW : SES_ERR_IO);
        return;
    }
    store->repaired += (e->flags & SES_FLAG_DAMAGED) != 0;
    e->flags &= (uint8_t)~SES_FLAG_DAMAGED;
    ses_catalog_move(&store->catalog, op->entry, op->seq, op->offset, (uint32_t)op->admit_epoch,
                     op->payload_bytes);
    op->admit_epoch = ses_entry_epoch(e);
    ses_sign_push(store, op);
}

static void finish_op(struct ses_store *store, struct ses_batch *batch, struct ses_op *op)
{
    struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    store->put_bytes -= op->len;
    ses_free(op->bytes);
    op->bytes = NULL;
    if (op->again) {
        finish_again(store, batch, op);
        return;
    }
    ses_put_written(store, op);
    if (batch->refused || batch->err != SES_OK) {
        ses_put_cancel(store, op->entry);
        ses_put_op_fail(store, op, batch->refused ? SES_ERR_DISK_LOW : SES_ERR_IO);
        return;
    }
    e->flags = op->flags;
    ses_catalog_commit(&store->catalog, op->entry, op->seq, op->offset, (uint32_t)op->admit_epoch);
    ses_grove_touch(store, op->entry);
    ses_delete_targets(store, op);
    if ((op->flags & SES_FLAG_PENDING) != 0 &&
        ses_catalog_owe(&store->catalog, op->entry) != SES_OK) {
        /* the mark is in the index: the debt comes back with the next start */
        ses_logf(store->p.log, SES_LOG_ERROR, "storage", "no memory to remember a replication");
    }
    if (store->on_record != NULL) {
        store->on_record(store->record_cookie, &op->ids.header.inbox, op->ids.header.ns);
    }
    struct ses_op *follower = op->followers;
    op->followers = NULL;
    ses_sign_push(store, op);
    while (follower != NULL) {
        struct ses_op *next = follower->next;
        const enum ses_err err = ses_put_known(store, follower);
        if (err != SES_OK) {
            ses_put_op_fail(store, follower, err);
        }
        follower = next;
    }
}

static void finish_tasks(struct ses_store *store, struct ses_task *task, enum ses_err err)
{
    while (task != NULL) {
        struct ses_task *next = task->next;
        task->err = err != SES_OK ? err : task->err;
        task->done(task, store);
        task = next;
    }
}

static void finish_batch(struct ses_store *store, struct ses_batch *batch)
{
    for (uint32_t i = 0; i < batch->op_cnt; i++) {
        finish_op(store, batch, batch->ops[i]);
    }
    store->batches_finished++;
    finish_tasks(store, batch->tasks, batch->err);
    ses_grove_kick(store);
}

static void move_ends(struct ses_store *store, const struct ses_batch *batch)
{
    for (uint32_t i = 0; i < batch->file_cnt; i++) {
        uint32_t seg;
        SES_ASSERT(ses_catalog_find_seg(&store->catalog, &batch->files[i].segment, &seg));
        ses_catalog_seg(&store->catalog, seg)->end = batch->files[i].end;
        store->catalog.log_bytes += batch->files[i].end - batch->files[i].start;
    }
}

static void start(struct ses_store *store);

static void batch_done(void *cookie)
{
    struct ses_batch *batch = cookie;
    struct ses_store *store = batch->store;
    store->writing = false;
    store->batches += batch->op_cnt > 0;
    if (batch->err != SES_OK) {
        ses_store_fail(store, batch->err, batch->what);
    } else {
        store->free_bytes = batch->refused ? 0 : batch->free_bytes;
        store->full = batch->refused;
        store->full_ms = store->p.loop->mono_ms(store->p.loop->ctx);
    }
    if (batch->err == SES_OK && !batch->refused) {
        move_ends(store, batch);
    }
    if (!store->fatal && store->queue.cnt >= SES_BATCH_MAX) {
        start(store); /* a full one waits: the disk need not wait for the callbacks */
    }
    finish_batch(store, batch);
    ses_batch_kick(store);
    ses_store_settle(store);
}

/* ---- when ---- */
static void start(struct ses_store *store)
{
    SES_ASSERT(!store->writing && !store->fatal);
    store->writing = true;
    store->batches_started++;
    store->last_batch_ms = store->p.loop->mono_ms(store->p.loop->ctx);
    struct ses_batch *batch = gather(store);
    const struct ses_loop *loop = store->p.loop;
    const enum ses_err err = loop->work(loop->ctx, ses_batch_run, batch_done, batch);
    if (err != SES_OK) {
        store->writing = false;
        ses_store_fail(store, err, "starting a worker");
        batch->err = err;
        finish_batch(store, batch);
    }
}

static void gathered(void *cookie)
{
    struct ses_store *store = cookie;
    store->gather = NULL;
    if (!store->writing && !store->fatal && (store->queue.cnt > 0 || store->tasks != NULL)) {
        start(store);
    }
    ses_store_settle(store);
}

/* A batch starts 2 ms after the one before it, or, after a pause, with the loop's next turn, so
 * that what arrives together is written together. */
void ses_batch_kick(struct ses_store *store)
{
    if (store->writing || store->fatal || (store->queue.cnt == 0 && store->tasks == NULL)) {
        return;
    }
    const struct ses_loop *loop = store->p.loop;
    if (store->gather != NULL) {
        return;
    }
    const uint64_t gone = loop->mono_ms(loop->ctx) - store->last_batch_ms;
    const bool now = gone >= SES_GATHER_MS || store->queue.cnt >= SES_BATCH_MAX;
    const enum ses_err err = loop->timer_start(loop->ctx, &store->gather,
                                               now ? 0 : SES_GATHER_MS - gone, gathered, store);
    if (err != SES_OK) {
        store->gather = NULL;
        start(store);
    }
}
