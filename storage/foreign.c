/* Inboxes that the seat does not serve any more: after a split the other half, after a rotation
 * all of them. */
#include <string.h>

#include "storage/db.h"
#include "storage/storage_internal.h"

static void count_seg(const struct ses_catalog *c, const struct ses_seg *seg,
                      struct ses_foreign *out)
{
    *out = (struct ses_foreign){.segment = seg->id};
    for (uint32_t i = seg->first; i != SES_NONE; i = ses_catalog_entry(c, i)->link) {
        const struct ses_entry *e = ses_catalog_entry(c, i);
        if (ses_catalog_inbox(c, ses_catalog_box(c, e->box)->inbox)->foreign) {
            out->record_cnt++;
            out->payload_bytes += e->payload_bytes;
        }
    }
}

void ses_store_foreign(const struct ses_store *store,
                       void (*each)(void *cookie, const struct ses_foreign *foreign), void *cookie)
{
    const struct ses_catalog *c = &store->catalog;
    for (uint32_t i = 0; c->foreign_cnt > 0 && i < c->segs.used; i++) {
        const struct ses_seg *seg = ses_catalog_seg(c, i);
        struct ses_foreign foreign = {0};
        if (seg->used) {
            count_seg(c, seg, &foreign);
        }
        if (foreign.record_cnt > 0) {
            each(cookie, &foreign);
        }
    }
}

/* ---- dropping ---- */
struct drop {
    struct ses_task task; /* the last one */
    enum ses_err err;
    uint64_t record_cnt;
    void (*on_done)(void *cookie, enum ses_err err, uint64_t record_cnt);
    void *cookie;
};
struct drop_task {
    struct ses_task task;
    struct ses_segment segment;
    bool whole;          /* nothing is left: the log goes */
    struct ses_buf seqs; /* of uint64_t: rows that go */
    struct drop *drop;
};

/* Rows go before their log, and for good: the segment may be fetched again, and rows that a loss of
 * power brings back would be taken for places in the new log. */
static enum ses_err drop_whole(const struct drop_task *t, struct ses_lane *lane,
                               struct ses_index *index)
{
    char path[48];
    SES_REQUIRE(index != NULL,
                SES_ERR_NO_SPACE); /* left behind: its rows are there until a start */
    SES_TRY(ses_index_forget(index, t->segment.hour));
    index->sync = true;
    SES_TRY(ses_index_commit(index));
    ses_segment_path(path, &t->segment);
    ses_lane_forget_file(lane, &t->segment);
    return lane->disk->unlink(lane->disk->ctx, path);
}

/* After a crash in between the rows may be there again, or come again from the log: they are
 * foreign as before. */
static enum ses_err drop_rows(struct ses_task *task, struct ses_lane *lane)
{
    const struct drop_task *t = (struct drop_task *)task;
    struct ses_index *index;
    SES_TRY(ses_lane_index(lane, t->segment.ttl_class, ses_day_of(&t->segment), &index));
    if (t->whole) {
        return drop_whole(t, lane, index);
    }
    if (index == NULL) {
        return SES_OK;
    }
    for (size_t at = 0; at < t->seqs.len; at += sizeof(uint64_t)) {
        uint64_t seq;
        memcpy(&seq, t->seqs.bytes + at, sizeof seq);
        SES_TRY(ses_index_drop(index, seq));
    }
    return SES_OK;
}

static void rows_dropped(struct ses_task *task, struct ses_store *store)
{
    struct drop_task *t = (struct drop_task *)task;
    struct drop *drop = t->drop;
    struct ses_catalog *c = &store->catalog;
    uint32_t at;
    drop->err = task->err != SES_OK ? task->err : drop->err;
    if (t->whole && ses_catalog_find_seg(c, &t->segment, &at)) {
        struct ses_seg *seg = ses_catalog_seg(c, at);
        seg->unlinking = false;
        if (task->err == SES_OK && seg->entry_cnt == 0) {
            ses_catalog_drop_seg(c, at);
        } else if (task->err == SES_OK) { /* a statement left ghosts there meanwhile */
            c->log_bytes -= seg->end;
            seg->end = 0;
        }
    }
    ses_buf_free(&t->seqs);
    ses_free(t);
}

/* The last task of all, behind the others. */
static enum ses_err drop_run(struct ses_task *task, struct ses_lane *lane)
{
    (void)task;
    (void)lane;
    return SES_OK;
}

static void drop_done(struct ses_task *task, struct ses_store *store)
{
    struct drop *drop = (struct drop *)task;
    (void)store;
    drop->err = task->err != SES_OK ? task->err : drop->err;
    drop->on_done(drop->cookie, drop->err, drop->record_cnt);
    ses_free(drop);
}

static void note_seq(void *cookie, const struct ses_entry *entry)
{
    struct ses_buf *seqs = cookie;
    if (entry->admit_epoch != SES_EPOCH_NONE) {
        /* without memory the row stays, and is foreign again after a restart */
        (void)!(ses_buf_append(seqs, &entry->seq, sizeof entry->seq) == SES_OK);
    }
}

static enum ses_err drop_seg(struct ses_store *store, uint32_t at, struct drop *drop)
{
    struct ses_catalog *c = &store->catalog;
    struct ses_seg *seg = ses_catalog_seg(c, at);
    struct ses_foreign foreign;
    count_seg(c, seg, &foreign);
    if (foreign.record_cnt == 0) {
        return SES_OK;
    }
    struct drop_task *t = ses_alloc(1, sizeof *t);
    SES_REQUIRE(t != NULL, SES_ERR_MEMORY);
    t->task = (struct ses_task){.run = drop_rows, .done = rows_dropped};
    t->segment = seg->id;
    t->drop = drop;
    drop->record_cnt += ses_catalog_drop_foreign(c, at, note_seq, &t->seqs);
    t->whole = seg->entry_cnt == 0 && seg->reserved == 0;
    seg->unlinking = t->whole; /* nothing is put there until it is gone */
    ses_task_push(store, &t->task);
    return SES_OK;
}

static bool still_shown(const struct ses_store *store)
{
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    for (uint32_t i = 0; i < store->snapshot_cnt; i++) {
        const struct ses_snapshot *s = &store->snapshots[i];
        if (s->count > 0 && ses_snapshot_open(store, s->epoch, now_ms) &&
            (s->swarm != store->seat.swarm || s->num_swarms != store->seat.num_swarms)) {
            return true;
        }
    }
    return false;
}

enum ses_err ses_store_drop_foreign(struct ses_store *store,
                                    void (*on_done)(void *cookie, enum ses_err err,
                                                    uint64_t record_cnt),
                                    void *cookie)
{
    SES_REQUIRE(store->phase == SES_PHASE_OPEN && !store->fatal, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(store->task_cnt + SES_SEGMENTS_MAX < SES_TASKS_MAX, SES_ERR_FULL);
    SES_REQUIRE(!still_shown(store), SES_ERR_AGAIN);
    struct drop *drop = ses_alloc(1, sizeof *drop);
    SES_REQUIRE(drop != NULL, SES_ERR_MEMORY);
    *drop = (struct drop){.on_done = on_done, .cookie = cookie};
    drop->task = (struct ses_task){.run = drop_run, .done = drop_done};
    for (uint32_t i = 0; drop->err == SES_OK && i < store->catalog.segs.used; i++) {
        const struct ses_seg *seg = ses_catalog_seg(&store->catalog, i);
        if (seg->used && !seg->unlinking) {
            drop->err = drop_seg(store, i, drop);
        }
    }
    if (store->grove.forget < SES_FORGET_OTHERS) {
        store->grove.forget = SES_FORGET_OTHERS;
    }
    ses_task_push(store, &drop->task);
    return SES_OK;
}
