/* Debts of replication, and the receipts that other members gave. */
#include <string.h>

#include "storage/storage_internal.h"

enum ses_err ses_store_pending(struct ses_store *store,
                               void (*each)(void *cookie, const struct ses_hash *id,
                                            const struct ses_segment *segment),
                               void *cookie)
{
    SES_REQUIRE(store->phase == SES_PHASE_OPEN, SES_ERR_UNAVAILABLE);
    const struct ses_catalog *c = &store->catalog;
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    for (uint32_t i = 0; i < c->pending_cnt; i++) {
        const struct ses_entry *e = ses_catalog_debt(c, i);
        if (e == NULL || ses_entry_deleted(e)) {
            continue;
        }
        const struct ses_seg *seg = ses_catalog_seg(c, e->segment);
        if (seg->expires_ms > now_ms) {
            const struct ses_hash id = e->id;
            const struct ses_segment segment = seg->id;
            each(cookie, &id, &segment);
        }
    }
    return SES_OK;
}

static bool find_live(const struct ses_store *store, const struct ses_hash *id, uint32_t *at)
{
    return ses_catalog_find(&store->catalog, id, at) &&
           ses_catalog_entry(&store->catalog, *at)->state == SES_ENTRY_LIVE;
}

/* ---- replicated ---- */
struct mark_task {
    struct ses_task task;
    struct ses_segment segment;
    uint64_t seq;
    uint8_t flags;
};

static enum ses_err write_mark(struct ses_task *task, struct ses_lane *lane)
{
    const struct mark_task *t = (struct mark_task *)task;
    struct ses_index *index;
    SES_TRY(ses_lane_index(lane, t->segment.ttl_class, ses_day_of(&t->segment), &index));
    return index != NULL ? ses_index_mark(index, t->seq, t->flags) : SES_OK;
}

static void free_task(struct ses_task *task, struct ses_store *store)
{
    (void)store; /* without the mark, the record is replicated once more after a restart */
    ses_free(task);
}

void ses_store_replicated(struct ses_store *store, const struct ses_hash *id)
{
    uint32_t at;
    if (!find_live(store, id, &at)) {
        return;
    }
    struct ses_entry *e = ses_catalog_entry(&store->catalog, at);
    if ((e->flags & SES_FLAG_PENDING) == 0) {
        return;
    }
    ses_catalog_settle(&store->catalog, at);
    struct mark_task *t = store->task_cnt < SES_TASKS_MAX ? ses_alloc(1, sizeof *t) : NULL;
    if (t == NULL || store->fatal) {
        ses_free(t);
        return;
    }
    t->task = (struct ses_task){.run = write_mark, .done = free_task};
    t->segment = ses_catalog_seg(&store->catalog, e->segment)->id;
    t->seq = e->seq;
    t->flags = e->flags;
    ses_task_push(store, &t->task);
}

/* ---- receipts of others ---- */
struct keep_task {
    struct ses_task task;
    uint64_t seq;
    struct ses_receipt receipt;
};

static enum ses_err write_receipt(struct ses_task *task, struct ses_lane *lane)
{
    const struct keep_task *t = (struct keep_task *)task;
    const struct ses_segment *segment = &t->receipt.leaf.segment;
    struct ses_index *index;
    SES_TRY(ses_lane_index(lane, segment->ttl_class, ses_day_of(segment), &index));
    return index != NULL ? ses_index_put_receipt(index, t->seq, &t->receipt) : SES_OK;
}

void ses_store_keep_receipt(struct ses_store *store, const struct ses_receipt *receipt)
{
    uint32_t at;
    if (store->fatal || store->task_cnt >= SES_TASKS_MAX ||
        !find_live(store, &receipt->leaf.id, &at)) {
        return;
    }
    const struct ses_entry *e = ses_catalog_entry(&store->catalog, at);
    const struct ses_segment *segment = &ses_catalog_seg(&store->catalog, e->segment)->id;
    if (receipt->leaf.segment.ttl_class != segment->ttl_class ||
        receipt->leaf.segment.hour != segment->hour) {
        return; /* no receipt of this record */
    }
    struct keep_task *t = ses_alloc(1, sizeof *t);
    if (t == NULL) {
        return;
    }
    t->task = (struct ses_task){.run = write_receipt, .done = free_task};
    t->seq = e->seq;
    t->receipt = *receipt;
    ses_task_push(store, &t->task);
}

/* ---- all receipts of a record ---- */
struct ask_task {
    struct ses_task task;
    struct ses_op *op; /* for our own */
    struct ses_segment segment;
    uint64_t seq;
    struct ses_buf encoded;
    uint16_t cnt;
    void (*on_done)(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                    uint16_t receipt_cnt);
    void *cookie;
};

static void ask_free(struct ask_task *t)
{
    ses_buf_free(&t->encoded);
    ses_free(t);
}

static enum ses_err read_receipts(struct ses_task *task, struct ses_lane *lane)
{
    struct ask_task *t = (struct ask_task *)task;
    struct ses_index *index;
    SES_TRY(ses_lane_index(lane, t->segment.ttl_class, ses_day_of(&t->segment), &index));
    return index != NULL ? ses_index_get_receipts(index, t->seq, &t->encoded, &t->cnt) : SES_OK;
}

static void receipts_read(struct ses_task *task, struct ses_store *store)
{
    struct ask_task *t = (struct ask_task *)task;
    if (task->err != SES_OK) {
        ses_put_op_fail(store, t->op, task->err); /* ends in receipts_signed */
        return;
    }
    ses_sign_push(store, t->op);
}

static enum ses_err decode(const struct ask_task *t, struct ses_receipt *out)
{
    struct ses_reader r;
    ses_reader_init(&r, t->encoded.bytes, t->encoded.len);
    for (uint16_t i = 0; i < t->cnt; i++) {
        ses_receipt_read(&r, &out[i]);
    }
    return ses_reader_done(&r) == SES_OK ? SES_OK : SES_ERR_CHECKSUM;
}

static void receipts_signed(void *cookie, const struct ses_put_result *own)
{
    struct ask_task *t = cookie;
    enum ses_err err = own->err;
    struct ses_receipt *all = NULL;
    if (err == SES_OK) {
        all = ses_alloc(t->cnt + 1u, sizeof *all);
        err = all != NULL ? decode(t, all + 1) : SES_ERR_MEMORY;
    }
    if (err == SES_OK) {
        all[0] = own->receipt;
    }
    t->on_done(t->cookie, err, err == SES_OK ? all : NULL,
               err == SES_OK ? (uint16_t)(t->cnt + 1u) : 0);
    ses_free(all);
    ask_free(t);
}

/* An op that only wants a signature over the stored record. */
static enum ses_err own_op(struct ses_store *store, uint32_t entry, struct ask_task *t)
{
    SES_TRY(ses_op_new(store, &t->op));
    const struct ses_entry *e = ses_catalog_entry(&store->catalog, entry);
    const struct ses_box *box = ses_catalog_box(&store->catalog, e->box);
    t->op->entry = entry;
    t->op->existed = true;
    t->op->admit_epoch = ses_entry_epoch(e);
    t->op->ids.id = e->id;
    t->op->ids.digest = ses_catalog_inbox(&store->catalog, box->inbox)->digest;
    t->op->ids.segment = ses_catalog_seg(&store->catalog, e->segment)->id;
    t->op->on_done = receipts_signed;
    t->op->cookie = t;
    t->segment = t->op->ids.segment;
    t->seq = e->seq;
    return SES_OK;
}

enum ses_err ses_store_receipts(struct ses_store *store, const struct ses_hash *id,
                                void (*on_done)(void *cookie, enum ses_err err,
                                                const struct ses_receipt *receipts,
                                                uint16_t receipt_cnt),
                                void *cookie)
{
    uint32_t at;
    SES_REQUIRE(store->phase == SES_PHASE_OPEN && !store->fatal, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(store->put_cnt < SES_PUTS_MAX && store->task_cnt < SES_TASKS_MAX, SES_ERR_FULL);
    SES_REQUIRE(find_live(store, id, &at), SES_ERR_NOT_FOUND);
    struct ask_task *t = ses_alloc(1, sizeof *t);
    SES_REQUIRE(t != NULL, SES_ERR_MEMORY);
    t->task = (struct ses_task){.run = read_receipts, .done = receipts_read};
    t->on_done = on_done;
    t->cookie = cookie;
    const enum ses_err err = own_op(store, at, t);
    if (err != SES_OK) {
        ask_free(t);
        return err;
    }
    ses_task_push(store, &t->task);
    return SES_OK;
}
