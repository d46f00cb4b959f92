/* Deleted payloads are overwritten on disk once no snapshot that may be asked for shows them. The
 * record keeps its place in the log, so nothing moves; its row is marked, its leaf is the
 * statement's from then on. */
#include <string.h>

#include "storage/storage_internal.h"

#define ERASE_MAX 128u /* records of one task */

struct erased {
    uint64_t seq;
    uint64_t offset;
    uint32_t payload_bytes;
};
struct erase_task {
    struct ses_task task;
    struct ses_segment segment;
    uint32_t cnt;
    struct erased records[ERASE_MAX];
};

static enum ses_err overwrite(const struct erase_task *t, struct ses_lane *lane)
{
    static const uint8_t zeros[SES_PAYLOAD_MAX];
    const struct ses_disk *disk = lane->disk;
    struct ses_file *file;
    SES_TRY(ses_lane_file(lane, &t->segment, false, &file));
    for (uint32_t i = 0; i < t->cnt; i++) {
        const struct ses_iov iov = {.bytes = zeros, .len = t->records[i].payload_bytes};
        if (iov.len > 0) {
            SES_TRY(
                disk->write(disk->ctx, file, t->records[i].offset + SES_LOG_HEAD_BYTES, &iov, 1));
        }
    }
    return disk->sync(disk->ctx, file);
}

/* Rows are marked when the zeros are durable: after a crash in between it is done again. */
static enum ses_err run(struct ses_task *task, struct ses_lane *lane)
{
    const struct erase_task *t = (struct erase_task *)task;
    struct ses_index *index;
    SES_TRY(overwrite(t, lane));
    SES_TRY(ses_lane_index(lane, t->segment.ttl_class, ses_day_of(&t->segment), &index));
    for (uint32_t i = 0; index != NULL && i < t->cnt; i++) {
        SES_TRY(ses_index_drop(index, t->records[i].seq));
    }
    return SES_OK;
}

static void done(struct ses_task *task, struct ses_store *store)
{
    if (task->err == SES_OK) {
        store->erased += ((struct erase_task *)task)->cnt;
    } else {
        ses_logf(store->p.log, SES_LOG_WARN, "storage",
                 "deleted records are erased after the next start: %s", ses_err_text(task->err));
    }
    ses_free(task);
}

static bool due(const struct ses_store *store, const struct ses_entry *e, uint64_t now_ms)
{
    return e->admit_epoch >= e->tomb_epoch || !ses_snapshot_open(store, e->tomb_epoch - 1, now_ms);
}

/* Up to ERASE_MAX records of a segment; the rest in a minute. */
static void erase_seg(struct ses_store *store, struct ses_seg *seg, uint64_t now_ms)
{
    struct ses_catalog *c = &store->catalog;
    struct erase_task *t = ses_alloc(1, sizeof *t);
    if (t == NULL) {
        return;
    }
    t->task = (struct ses_task){.run = run, .done = done};
    t->segment = seg->id;
    seg->erase = false;
    for (uint32_t i = seg->first; i != SES_NONE; i = ses_catalog_entry(c, i)->link) {
        const struct ses_entry *e = ses_catalog_entry(c, i);
        if (!ses_entry_deleted(e) || e->admit_epoch == SES_EPOCH_NONE) {
            continue;
        }
        if (t->cnt == ERASE_MAX || (e->flags & SES_FLAG_BUSY) != 0 || !due(store, e, now_ms)) {
            seg->erase = true; /* later */
            continue;
        }
        t->records[t->cnt++] =
            (struct erased){.seq = e->seq, .offset = e->offset, .payload_bytes = e->payload_bytes};
        ses_catalog_erase(c, i);
    }
    if (t->cnt > 0) {
        ses_task_push(store, &t->task);
    } else {
        ses_free(t);
    }
}

void ses_erase_deleted(struct ses_store *store, uint64_t now_ms)
{
    for (uint32_t i = 0; i < store->catalog.segs.used; i++) {
        struct ses_seg *seg = ses_catalog_seg(&store->catalog, i);
        if (seg->used && seg->erase && !seg->unlinking && seg->expires_ms > now_ms &&
            store->task_cnt < SES_TASKS_MAX) {
            erase_seg(store, seg, now_ms);
        }
    }
}
