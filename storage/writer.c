/* A batch on the worker: logs, fdatasync, index, tasks. */
#include <string.h>

#include "storage/storage_internal.h"

#define RESTAMPS_MAX 16

/* Writes one file's records, which stand one behind the other, in one call. */
static enum ses_err write_file(struct ses_batch *batch, uint32_t at)
{
    struct ses_store *store = batch->store;
    const struct ses_batch_file *f = &batch->files[at];
    struct ses_iov iov[SES_BATCH_MAX];
    size_t cnt = 0;
    for (uint32_t i = 0; i < batch->op_cnt; i++) {
        const struct ses_op *op = batch->ops[i];
        if (op->bytes != NULL && op->file == at) {
            iov[cnt++] = (struct ses_iov){.bytes = op->bytes, .len = op->len};
        }
    }
    struct ses_file *file;
    SES_TRY(ses_lane_file(&store->lane, &f->segment, f->start == 0, &file));
    const struct ses_disk *disk = store->lane.disk;
    return disk->write(disk->ctx, file, f->start, iov, cnt);
}

/* Nothing of the batch was acknowledged: the logs go back to where they ended before. */
static enum ses_err undo(struct ses_batch *batch, uint32_t file_cnt)
{
    const struct ses_disk *disk = batch->store->lane.disk;
    for (uint32_t i = 0; i < file_cnt; i++) {
        struct ses_file *file;
        const struct ses_batch_file *f = &batch->files[i];
        const enum ses_err err = ses_lane_file(&batch->store->lane, &f->segment, false, &file);
        if (err == SES_ERR_NOT_FOUND) {
            continue; /* it could not be created */
        }
        SES_TRY(err);
        SES_TRY(disk->truncate(disk->ctx, file, f->start));
    }
    return SES_OK;
}

static enum ses_err sync_files(struct ses_batch *batch)
{
    const struct ses_disk *disk = batch->store->lane.disk;
    for (uint32_t i = 0; i < batch->file_cnt; i++) {
        struct ses_file *file;
        SES_TRY(ses_lane_file(&batch->store->lane, &batch->files[i].segment, false, &file));
        if (SES_MUTANT(ACK_BEFORE_SYNC) ||
            (SES_MUTANT(DELETE_UNSYNCED) && batch->ops[0]->target_cnt > 0)) {
            continue;
        }
        const enum ses_err err = disk->sync(disk->ctx, file);
        SES_REQUIRE(err == SES_OK || SES_MUTANT(SYNC_ERROR_IGNORED), err);
    }
    return SES_OK;
}

static uint64_t epoch_of(const struct ses_store *store, const struct ses_op *op, uint64_t now_ms,
                         int64_t sealed)
{
    return op->fixed_epoch ? op->admit_epoch
                           : ses_vouched_epoch(&store->p.times, op->ids.header.ts_ms, now_ms,
                                               sealed, &op->vouchers);
}

static void stamp(struct ses_op *op, uint64_t now_ms, uint64_t epoch)
{
    const struct ses_log_stamp s = {
        .flags = op->flags, .accepted_ms = now_ms, .admit_epoch = epoch};
    ses_log_prefix_write(op->bytes, &s, &op->ids.id, op->len - SES_LOG_HEAD_BYTES);
    op->admit_epoch = epoch;
}

static void stamp_all(struct ses_batch *batch)
{
    struct ses_store *store = batch->store;
    SES_ASSERT(pthread_mutex_lock(&store->lock) == 0);
    const int64_t sealed = store->sealed;
    SES_ASSERT(pthread_mutex_unlock(&store->lock) == 0);
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    for (uint32_t i = 0; i < batch->op_cnt; i++) {
        struct ses_op *op = batch->ops[i];
        if (op->bytes != NULL) {
            stamp(op, now_ms, epoch_of(store, op, now_ms, sealed));
        }
    }
}

/* Writes the stamp of a record that is in its log already, but in nobody's hands. */
static enum ses_err rewrite_stamp(struct ses_batch *batch, const struct ses_op *op)
{
    struct ses_file *file;
    struct ses_lane *lane = &batch->store->lane;
    const struct ses_iov iov = {.bytes = op->bytes, .len = SES_LOG_PREFIX_BYTES};
    SES_TRY(ses_lane_file(lane, &batch->files[op->file].segment, false, &file));
    return lane->disk->write(lane->disk->ctx, file, op->offset, &iov, 1);
}

/* The records are accepted now that they are durable. If an epoch was frozen or sealed since they
 * were stamped, they get the stamp of now, and that must become durable in turn. */
static enum ses_err restamp(struct ses_batch *batch, bool *changed)
{
    struct ses_store *store = batch->store;
    bool stale[SES_BATCH_MAX] = {false};
    *changed = false;
    SES_ASSERT(pthread_mutex_lock(&store->lock) == 0);
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    for (uint32_t i = 0; i < batch->op_cnt; i++) {
        struct ses_op *op = batch->ops[i];
        const uint64_t epoch = epoch_of(store, op, now_ms, store->sealed);
        if (op->bytes != NULL && epoch > op->admit_epoch) {
            stamp(op, now_ms, epoch);
            stale[i] = true;
            *changed = true;
        }
    }
    SES_ASSERT(pthread_mutex_unlock(&store->lock) == 0);
    for (uint32_t i = 0; i < batch->op_cnt; i++) {
        if (stale[i]) {
            SES_TRY(rewrite_stamp(batch, batch->ops[i]));
        }
    }
    return *changed ? sync_files(batch) : SES_OK;
}

static enum ses_err accept_all(struct ses_batch *batch)
{
    bool changed = true;
    for (int i = 0; i < RESTAMPS_MAX && changed; i++) {
        SES_TRY(restamp(batch, &changed));
    }
    return changed ? SES_ERR_TIMEOUT : SES_OK;
}

static enum ses_err write_logs(struct ses_batch *batch)
{
    for (uint32_t i = 0; i < batch->file_cnt; i++) {
        enum ses_err err = write_file(batch, i);
        if (err == SES_ERR_NO_SPACE && !SES_MUTANT(FULL_DISK_IGNORED)) {
            err = undo(batch, i + 1);
            batch->what = "taking an unfinished write out of a log";
            SES_TRY(err);
            return SES_ERR_NO_SPACE;
        }
        SES_REQUIRE(err == SES_OK || SES_MUTANT(FULL_DISK_IGNORED), err);
    }
    batch->what = "fdatasync of a log";
    SES_TRY(sync_files(batch));
    batch->what = "accepting records";
    return accept_all(batch);
}

static void row_of(struct ses_index_row *row, const struct ses_op *op)
{
    *row = (struct ses_index_row){.seq = op->seq,
                                  .digest = op->ids.digest,
                                  .id = op->ids.id,
                                  .segment = op->ids.segment,
                                  .offset = op->offset,
                                  .ts_ms = op->ids.header.ts_ms,
                                  .admit_epoch = op->admit_epoch,
                                  .payload_bytes = op->len - SES_LOG_HEAD_BYTES,
                                  .ns = op->ids.header.ns,
                                  .kind = (uint8_t)op->ids.header.kind,
                                  .flags = op->flags & SES_FLAGS_DURABLE,
                                  .target_cnt = op->target_cnt,
                                  .targets = op->targets};
}

static enum ses_err index_all(struct ses_batch *batch)
{
    for (uint32_t i = 0; i < batch->op_cnt; i++) {
        const struct ses_op *op = batch->ops[i];
        if (op->bytes == NULL) {
            continue;
        }
        struct ses_index_row row;
        row_of(&row, op);
        const uint64_t end = op->offset + op->len;
        const bool last = end == batch->files[op->file].end;
        SES_TRY(ses_lane_insert(&batch->store->lane, &row, last ? end : 0));
    }
    return SES_OK;
}

static enum ses_err run_tasks(struct ses_batch *batch)
{
    for (struct ses_task *task = batch->tasks; task != NULL; task = task->next) {
        task->err = task->run(task, &batch->store->lane);
        if (task->err == SES_ERR_IO || task->err == SES_ERR_CHECKSUM) {
            return task->err;
        }
    }
    return SES_OK;
}

/* What stands in no log is not done unless its index has it. */
static void check_kept(struct ses_batch *batch)
{
    for (struct ses_task *task = batch->tasks; task != NULL; task = task->next) {
        if (task->err == SES_OK && task->kept != NULL &&
            ses_lane_behind(&batch->store->lane, task->kept)) {
            task->err = SES_ERR_NO_SPACE;
        }
    }
}

static enum ses_err run(struct ses_batch *batch)
{
    batch->what = "writing a log";
    stamp_all(batch);
    const enum ses_err wrote = write_logs(batch);
    if (wrote != SES_OK && wrote != SES_ERR_NO_SPACE) {
        return wrote;
    }
    batch->refused = wrote == SES_ERR_NO_SPACE;
    batch->what = "writing the index";
    if (!batch->refused) {
        SES_TRY(index_all(batch));
    }
    SES_TRY(run_tasks(batch));
    SES_TRY(ses_lane_commit(&batch->store->lane));
    check_kept(batch);
    batch->what = "asking for free space";
    const struct ses_disk *disk = batch->store->lane.disk;
    return disk->space(disk->ctx, &batch->free_bytes);
}

void ses_batch_run(void *cookie)
{
    struct ses_batch *batch = cookie;
    batch->err = run(batch);
}
