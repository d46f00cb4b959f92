/* What happens to a record that is put. */
#include <string.h>

#include "storage/storage_internal.h"

enum ses_err ses_op_new(struct ses_store *store, struct ses_op **out)
{
    uint32_t at;
    SES_TRY(ses_slab_take(&store->ops, &at));
    *out = ses_slab_at(&store->ops, at);
    (*out)->self = at;
    (*out)->entry = SES_NONE;
    store->put_cnt++;
    return SES_OK;
}

static void op_free(struct ses_store *store, struct ses_op *op)
{
    if (op->targets != NULL) {
        ses_catalog_release_ghosts(&store->catalog, op->target_cnt);
    }
    ses_free(op->targets);
    ses_free(op->bytes);
    ses_slab_give(&store->ops, op->self);
    store->put_cnt--;
}

static void answer(struct ses_op *op, enum ses_err err, const struct ses_receipt *receipt)
{
    struct ses_put_result result = {
        .err = err, .existed = op->existed, .earlier = op->earlier && err == SES_OK};
    if (receipt != NULL) {
        result.receipt = *receipt;
    }
    if (op->on_done != NULL) {
        op->on_done(op->cookie, &result);
    }
}

void ses_op_succeed(struct ses_store *store, struct ses_op *op, const struct ses_receipt *receipt)
{
    SES_ASSERT(op->followers == NULL);
    answer(op, SES_OK, receipt);
    op_free(store, op);
}

void ses_put_op_fail(struct ses_store *store, struct ses_op *op, enum ses_err err)
{
    struct ses_op *next = op->followers;
    answer(op, err, NULL);
    op_free(store, op);
    while (next != NULL) {
        struct ses_op *follower = next;
        next = follower->next;
        answer(follower, err, NULL);
        op_free(store, follower);
    }
}

/* ---- known records ---- */
struct owe_task {
    struct ses_task task;
    struct ses_op *op;
    uint64_t seq;
    uint8_t flags;
};

static enum ses_err write_debt(struct ses_task *task, struct ses_lane *lane)
{
    const struct owe_task *t = (struct owe_task *)task;
    const struct ses_segment *segment = &t->op->ids.segment;
    struct ses_index *index;
    SES_TRY(ses_lane_index(lane, segment->ttl_class, ses_day_of(segment), &index));
    SES_REQUIRE(index != NULL, SES_ERR_DISK_LOW);
    index->sync = true; /* unlike a new record's, this mark stands in no log */
    return ses_index_mark(index, t->seq, t->flags);
}

/* Nobody was told: whoever comes with the record again is not told either before it stands. */
static void owe_not(struct ses_store *store, const struct owe_task *t)
{
    struct ses_entry *e = ses_catalog_entry(&store->catalog, t->op->entry);
    if (e->state == SES_ENTRY_LIVE && e->seq == t->seq) {
        ses_catalog_settle(&store->catalog, t->op->entry);
        e->flags &= (uint8_t)~SES_FLAG_ENTRY;
    }
}

static void debt_written(struct ses_task *task, struct ses_store *store)
{
    struct owe_task *t = (struct owe_task *)task;
    if (task->err == SES_OK) {
        ses_sign_push(store, t->op);
    } else {
        owe_not(store, t);
        ses_put_op_fail(store, t->op, task->err == SES_ERR_NO_SPACE ? SES_ERR_DISK_LOW : task->err);
    }
    ses_free(t);
}

/* The record came from another member before; now it entered here as well. */
static enum ses_err owe(struct ses_store *store, struct ses_op *op, struct ses_entry *e)
{
    struct owe_task *t = ses_alloc(1, sizeof *t);
    SES_REQUIRE(t != NULL, SES_ERR_MEMORY);
    const enum ses_err err = ses_catalog_owe(&store->catalog, op->entry);
    if (err != SES_OK) {
        ses_free(t);
        return err;
    }
    e->flags |= SES_FLAG_ENTRY;
    t->task = (struct ses_task){.kept = &op->ids.segment, .run = write_debt, .done = debt_written};
    t->op = op;
    t->seq = e->seq;
    t->flags = e->flags;
    ses_task_push(store, &t->task);
    return SES_OK;
}

enum ses_err ses_put_known(struct ses_store *store, struct ses_op *op)
{
    struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    SES_ASSERT(e->state == SES_ENTRY_LIVE);
    op->existed = true;
    op->admit_epoch = ses_entry_epoch(e);
    if ((op->flags & SES_FLAG_ENTRY) == 0 || (e->flags & SES_FLAG_ENTRY) != 0 ||
        ses_entry_deleted(e) || store->fatal) {
        ses_sign_push(store, op);
        return SES_OK;
    }
    return owe(store, op, e);
}

/* ---- new records ---- */
uint64_t ses_store_free_bytes(const struct ses_store *store)
{
    uint64_t left = store->free_bytes;
    const uint64_t used = store->catalog.log_bytes;
    if (store->p.capacity_bytes > 0) {
        const uint64_t room = store->p.capacity_bytes > used ? store->p.capacity_bytes - used : 0;
        left = room < left ? room : left;
    }
    return left > store->put_bytes ? left - store->put_bytes : 0;
}

/* Other programs fill the disk and empty it without a word, so it is asked for each record that
 * comes. What it refused to take itself is believed for a while: statvfs(3) knows no quota. */
void ses_store_measure(struct ses_store *store)
{
    const struct ses_loop *loop = store->p.loop;
    const struct ses_disk *disk = store->p.disk;
    uint64_t free_bytes = 0;
    if (store->full && loop->mono_ms(loop->ctx) - store->full_ms < SES_FULL_MS) {
        return;
    }
    if (disk->space(disk->ctx, &free_bytes) == SES_OK) {
        store->full = false;
        store->free_bytes = free_bytes;
    }
}

static enum ses_err check_space(struct ses_store *store, const struct ses_put *put)
{
    const uint64_t cost = ses_record_cost(put->record.payload_bytes);
    const uint64_t reserve =
        put->entry ? store->p.entry_reserve_bytes : store->p.hard_reserve_bytes;
    ses_store_measure(store);
    const uint64_t left = ses_store_free_bytes(store);
    SES_REQUIRE(left >= cost && left - cost >= reserve, SES_ERR_DISK_LOW);
    /* a statement may make an entry of each of its targets */
    const uint64_t coming = (uint64_t)store->put_cnt + store->catalog.ghost_room + put->target_cnt;
    SES_REQUIRE(store->catalog.record_cnt + coming < SES_RECORDS_MAX, SES_ERR_DISK_LOW);
    return SES_OK;
}

/* What a statement makes free. */
static uint64_t freed_bytes(const struct ses_store *store, const struct ses_put *put)
{
    uint64_t bytes = 0;
    for (uint8_t i = 0; i < put->target_cnt && i < SES_DELETIONS_MAX; i++) {
        uint32_t at;
        if (ses_catalog_find(&store->catalog, &put->targets[i].id, &at)) {
            const struct ses_entry *e = ses_catalog_entry(&store->catalog, at);
            bytes += ses_entry_deleted(e) ? 0 : ses_record_cost(e->payload_bytes);
        }
    }
    return bytes;
}

static bool has_room(uint64_t quota, uint64_t used, uint64_t cost)
{
    return used <= quota && cost <= quota - used;
}

/* Counted at entry only, but over everything held for the inbox: what other members let in has
 * used its quota there. What frees more than it takes always enters, but nothing is freed twice:
 * above the quota one statement waits for the other. */
static enum ses_err check_quota(const struct ses_store *store, const struct ses_put *put)
{
    const uint64_t quota = store->p.inbox_quota_bytes;
    const uint64_t cost = ses_record_cost(put->record.payload_bytes);
    static const struct ses_inbox none = {.bytes = 0};
    const struct ses_inbox *inbox = &none;
    uint32_t at;
    if (ses_catalog_find_inbox(&store->catalog, &put->ids->digest, &at)) {
        inbox = ses_catalog_inbox(&store->catalog, at);
    }
    if (!has_room(quota, inbox->bytes, cost)) {
        SES_REQUIRE(put->target_cnt > 0 && freed_bytes(store, put) >= cost, SES_ERR_QUOTA);
        return inbox->deleting == 0 ? SES_OK : SES_ERR_FULL;
    }
    SES_REQUIRE(!put->stranger || has_room(quota / 4, inbox->stranger_bytes, cost),
                SES_ERR_STRANGERS);
    return SES_OK;
}

/* A statement that is written, or was. */
static struct ses_inbox *inbox_of(const struct ses_store *store, const struct ses_op *op)
{
    const struct ses_catalog *c = &store->catalog;
    return ses_catalog_inbox(c, ses_catalog_box(c, ses_catalog_entry(c, op->entry)->box)->inbox);
}

void ses_put_written(struct ses_store *store, const struct ses_op *op)
{
    inbox_of(store, op)->deleting -= op->target_cnt > 0 ? 1 : 0;
}

static uint8_t flags_of(const struct ses_put *put)
{
    const bool statement = put->ids->header.kind == SES_RECORD_TOMBSTONE;
    const unsigned entry = put->entry ? SES_FLAG_ENTRY | SES_FLAG_PENDING : 0u;
    return (uint8_t)(entry | (put->entry && put->stranger ? SES_FLAG_STRANGER : 0u) |
                     (statement ? SES_FLAG_STATEMENT : 0u));
}

static enum ses_err reserve(struct ses_store *store, const struct ses_put *put, uint32_t *entry)
{
    const struct ses_catalog_new record = {.id = put->ids->id,
                                           .digest = put->ids->digest,
                                           .segment = put->ids->segment,
                                           .ts_ms = put->ids->header.ts_ms,
                                           .ns = put->ids->header.ns,
                                           .flags = flags_of(put),
                                           .payload_bytes = put->record.payload_bytes};
    return ses_catalog_reserve(&store->catalog, &record, entry);
}

/* Prefix (stamped when the batch is written), header and payload in one piece. */
static enum ses_err copy_record(struct ses_op *op, const struct ses_record *record)
{
    op->payload_bytes = record->payload_bytes;
    op->len = SES_LOG_HEAD_BYTES + record->payload_bytes;
    op->bytes = ses_alloc(1, op->len);
    SES_REQUIRE(op->bytes != NULL, SES_ERR_MEMORY);
    memcpy(op->bytes + SES_LOG_PREFIX_BYTES, record->header, SES_RECORD_HEADER_BYTES);
    if (record->payload_bytes > 0) {
        memcpy(op->bytes + SES_LOG_HEAD_BYTES, record->payload, record->payload_bytes);
    }
    return SES_OK;
}

static void enqueue(struct ses_store *store, struct ses_op *op)
{
    store->put_bytes += op->len;
    store->puts++;
    ses_op_push(&store->queue, op);
    ses_batch_kick(store);
}

static enum ses_err put_new(struct ses_store *store, struct ses_op *op, const struct ses_put *put)
{
    uint32_t seg;
    SES_REQUIRE(!ses_catalog_find_seg(&store->catalog, &put->ids->segment, &seg) ||
                    !ses_catalog_seg(&store->catalog, seg)->unlinking,
                SES_ERR_FULL);
    SES_TRY(check_space(store, put));
    if (put->entry) {
        SES_TRY(check_quota(store, put));
    }
    SES_TRY(copy_record(op, &put->record));
    SES_TRY(ses_put_targets(store, op, put));
    SES_TRY(reserve(store, put, &op->entry));
    ses_catalog_entry(&store->catalog, op->entry)->link = op->self;
    inbox_of(store, op)->deleting += op->target_cnt > 0 ? 1 : 0;
    enqueue(store, op);
    return SES_OK;
}

/* ---- records that are known ---- */
/* Its bytes are wanted all the same: the copy on disk is damaged, or it was deleted before it came
 * and is admitted to an epoch that does not know of that. */
static bool wanted_again(const struct ses_store *store, const struct ses_op *op,
                         const struct ses_entry *e)
{
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    if (e->admit_epoch != SES_EPOCH_NONE) {
        return (e->flags & SES_FLAG_DAMAGED) != 0;
    }
    return ses_vouched_epoch(&store->p.times, op->ids.header.ts_ms, now_ms, store->sealed,
                             &op->vouchers) < e->tomb_epoch;
}

static enum ses_err put_again(struct ses_store *store, struct ses_op *op, const struct ses_put *put)
{
    struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    SES_REQUIRE((e->flags & SES_FLAG_BUSY) == 0 &&
                    !ses_catalog_seg(&store->catalog, e->segment)->unlinking,
                SES_ERR_FULL);
    SES_TRY(check_space(store, put));
    SES_TRY(copy_record(op, &put->record));
    op->again = true;
    op->existed = true;
    op->fixed_epoch = e->admit_epoch != SES_EPOCH_NONE;
    op->admit_epoch = op->fixed_epoch ? e->admit_epoch : 0;
    op->flags = op->fixed_epoch ? e->flags : 0;
    e->flags |= SES_FLAG_BUSY;
    ses_catalog_seg(&store->catalog, e->segment)->reserved++;
    enqueue(store, op);
    return SES_OK;
}

void ses_put_cancel(struct ses_store *store, uint32_t entry)
{
    ses_catalog_cancel(&store->catalog, entry);
    if (ses_catalog_entry(&store->catalog, entry)->state == SES_ENTRY_LIVE) {
        ses_grove_touch(store, entry); /* deleted meanwhile: a ghost */
    }
}

void ses_put_take_back(struct ses_store *store, struct ses_op *op)
{
    struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    store->put_bytes -= op->len;
    if (op->again) {
        ses_catalog_seg(&store->catalog, e->segment)->reserved--;
        e->flags &= (uint8_t)~SES_FLAG_BUSY;
    } else {
        ses_put_written(store, op);
        ses_put_cancel(store, op->entry);
    }
}

/* ---- records that are known, and belong to an earlier epoch ---- */
static uint64_t epoch_now(const struct ses_store *store, const struct ses_op *op,
                          const struct ses_vouchers *vouchers)
{
    return ses_vouched_epoch(&store->p.times, op->ids.header.ts_ms,
                             ses_now_ms(&store->p.loop->clock), store->sealed, vouchers);
}

/* Members that accepted it earlier vouch for an epoch before the one that it was admitted to here:
 * they commit to it there, so must we. Else whoever sends a record to some members just before an
 * epoch freezes, and to the others just after, would make them commit to different sets. */
static bool comes_earlier(const struct ses_store *store, const struct ses_op *op, uint64_t epoch)
{
    return op->vouchers.cnt > 0 && epoch_now(store, op, &op->vouchers) < epoch;
}

struct admit_task {
    struct ses_task task;
    struct ses_store *store;
    struct ses_op *op;
    struct ses_index_row row;
};

static enum ses_err write_admission(struct ses_task *task, struct ses_lane *lane)
{
    struct admit_task *t = (struct admit_task *)task;
    struct ses_index *index;
    SES_ASSERT(pthread_mutex_lock(&t->store->lock) == 0);
    const int64_t sealed = t->store->sealed;
    SES_ASSERT(pthread_mutex_unlock(&t->store->lock) == 0);
    const uint64_t epoch =
        ses_vouched_epoch(&t->store->p.times, t->row.ts_ms, ses_now_ms(&t->store->p.loop->clock),
                          sealed, &t->op->vouchers);
    if (epoch >= t->row.admit_epoch) {
        return SES_OK; /* too late by now */
    }
    t->row.admit_epoch = epoch;
    t->op->earlier = true;
    SES_TRY(ses_lane_index(lane, t->row.segment.ttl_class, ses_day_of(&t->row.segment), &index));
    SES_REQUIRE(index != NULL, SES_ERR_DISK_LOW);
    index->sync = true; /* it stands in no log */
    return ses_index_insert(index, &t->row);
}

static void admission_written(struct ses_task *task, struct ses_store *store)
{
    struct admit_task *t = (struct admit_task *)task;
    struct ses_op *op = t->op;
    struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    ses_catalog_seg(&store->catalog, e->segment)->reserved--;
    e->flags &= (uint8_t)~SES_FLAG_BUSY;
    if (task->err != SES_OK) {
        ses_put_op_fail(store, op, task->err == SES_ERR_NO_SPACE ? SES_ERR_DISK_LOW : task->err);
    } else {
        if (op->earlier) {
            op->admit_epoch = t->row.admit_epoch;
            ses_catalog_move(&store->catalog, op->entry, e->seq, e->offset,
                             (uint32_t)op->admit_epoch, e->payload_bytes);
            ses_delete_targets(store, op);
        }
        op->admit_epoch = ses_entry_epoch(e);
        ses_sign_push(store, op);
    }
    ses_free(t);
}

static enum ses_err admit_earlier(struct ses_store *store, struct ses_op *op,
                                  const struct ses_put *put)
{
    struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    SES_REQUIRE((e->flags & SES_FLAG_BUSY) == 0 && !store->fatal, SES_ERR_FULL);
    SES_TRY(ses_put_targets(store, op, put));
    struct admit_task *t = ses_alloc(1, sizeof *t);
    SES_REQUIRE(t != NULL, SES_ERR_MEMORY);
    t->task = (struct ses_task){
        .kept = &op->ids.segment, .run = write_admission, .done = admission_written};
    t->store = store;
    t->op = op;
    t->row = (struct ses_index_row){.seq = e->seq,
                                    .digest = op->ids.digest,
                                    .id = op->ids.id,
                                    .segment = op->ids.segment,
                                    .offset = e->offset,
                                    .ts_ms = op->ids.header.ts_ms,
                                    .admit_epoch = e->admit_epoch,
                                    .payload_bytes = e->payload_bytes,
                                    .ns = op->ids.header.ns,
                                    .kind = (uint8_t)op->ids.header.kind,
                                    .flags = e->flags & SES_FLAGS_DURABLE};
    op->existed = true;
    e->flags |= SES_FLAG_BUSY;
    ses_catalog_seg(&store->catalog, e->segment)->reserved++;
    ses_task_push(store, &t->task);
    return SES_OK;
}

static enum ses_err put_live(struct ses_store *store, struct ses_op *op, const struct ses_put *put)
{
    const struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    if (wanted_again(store, op, e)) {
        return put_again(store, op, put);
    }
    const bool earlier = e->admit_epoch != SES_EPOCH_NONE && !SES_MUTANT(NEVER_EARLIER) &&
                         comes_earlier(store, op, e->admit_epoch);
    return earlier ? admit_earlier(store, op, put) : ses_put_known(store, op);
}

static enum ses_err put_known_or_wait(struct ses_store *store, struct ses_op *op,
                                      const struct ses_put *put)
{
    const struct ses_entry *e = ses_catalog_entry(&store->catalog, op->entry);
    if (e->state == SES_ENTRY_LIVE) {
        return put_live(store, op, put);
    }
    struct ses_op *leader = ses_slab_at(&store->ops, e->link);
    /* what is being written without these receipts is stamped already: let it come again */
    SES_REQUIRE(!comes_earlier(store, op, epoch_now(store, leader, &leader->vouchers)),
                SES_ERR_FULL);
    op->existed = true;
    op->next = leader->followers;
    leader->followers = op;
    return SES_OK;
}

enum ses_err ses_store_put(struct ses_store *store, const struct ses_put *put)
{
    const struct ses_record *record = &put->record;
    SES_REQUIRE(record->payload_bytes <= SES_PAYLOAD_MAX, SES_ERR_TOO_LARGE);
    SES_REQUIRE(store->phase == SES_PHASE_OPEN && !store->fatal && store->sealed >= 0,
                SES_ERR_UNAVAILABLE);
    SES_REQUIRE(store->put_cnt < SES_PUTS_MAX, SES_ERR_FULL);
    SES_REQUIRE(store->put_bytes + SES_LOG_HEAD_BYTES + record->payload_bytes <= SES_PUT_BYTES_MAX,
                SES_ERR_FULL);
    SES_REQUIRE(ses_segment_expires_ms(&put->ids->segment) > ses_now_ms(&store->p.loop->clock),
                SES_ERR_CLOCK);
    SES_REQUIRE(ses_admit_epoch(&store->p.times, put->ids->header.ts_ms,
                                ses_now_ms(&store->p.loop->clock), store->sealed,
                                0) < SES_EPOCH_MAX,
                SES_ERR_CLOCK);
    struct ses_op *op;
    SES_TRY(ses_op_new(store, &op));
    op->ids = *put->ids;
    op->flags = flags_of(put);
    op->vouchers = put->vouchers;
    op->on_done = put->on_done;
    op->cookie = put->cookie;
    const bool known = ses_catalog_find(&store->catalog, &put->ids->id, &op->entry);
    const enum ses_err err = known ? put_known_or_wait(store, op, put) : put_new(store, op, put);
    if (err != SES_OK) {
        op_free(store, op);
    }
    return err;
}

bool ses_store_has(struct ses_store *store, const struct ses_record_ids *ids)
{
    uint32_t entry;
    return ses_catalog_find(&store->catalog, &ids->id, &entry) &&
           ses_catalog_entry(&store->catalog, entry)->state == SES_ENTRY_LIVE;
}
