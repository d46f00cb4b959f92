/* Life of a store. */
#include <string.h>

#include "storage/storage_internal.h"

static enum ses_err check_params(const struct ses_store_params *p)
{
    SES_REQUIRE(p->disk != NULL && p->loop != NULL && p->random != NULL && p->key != NULL,
                SES_ERR_INVALID);
    SES_REQUIRE(p->on_fatal != NULL && p->times.epoch_s > 0, SES_ERR_INVALID);
    return SES_OK;
}

static enum ses_err init(struct ses_store *store, const struct ses_store_params *params)
{
    store->p = *params;
    store->seat = (struct ses_store_seat){.swarm = SES_SWARM_NONE, .num_swarms = 1};
    store->sealed = -1;
    store->sealed_saved = -1;
    store->ops.item = sizeof(struct ses_op);
    ses_catalog_init(&store->catalog, ses_random_u64(params->random));
    ses_lane_init(&store->lane, params->disk, params->log);
    SES_TRY(ses_grove_init(store));
    store->signer.job = ses_alloc(1, sizeof *store->signer.job);
    return store->signer.job != NULL ? SES_OK : SES_ERR_MEMORY;
}

enum ses_err ses_store_open(struct ses_store **out, const struct ses_store_params *params,
                            struct ses_note *note)
{
    *out = NULL;
    SES_TRY(check_params(params));
    struct ses_store *store = ses_alloc(1, sizeof *store);
    SES_REQUIRE(store != NULL, SES_ERR_MEMORY);
    SES_ASSERT(pthread_mutex_init(&store->lock, NULL) == 0);
    enum ses_err err = init(store, params);
    if (err == SES_OK) {
        ses_note_set(note, "the store in %s cannot be opened: check the disk", params->disk->root);
        err = ses_store_recover(store, note);
    }
    if (err != SES_OK) {
        ses_store_free(store);
        return err;
    }
    ses_note_set(note, "%s", "");
    ses_scrub_start(store);
    *out = store;
    return SES_OK;
}

void ses_store_free(struct ses_store *store)
{
    if (store == NULL) {
        return;
    }
    SES_ASSERT(!store->writing && !store->signer.busy && store->read_cnt == 0);
    SES_ASSERT(store->put_cnt == 0 && store->tasks == NULL);
    const struct ses_loop *loop = store->p.loop;
    loop->timer_stop(loop->ctx, store->gather);
    loop->timer_stop(loop->ctx, store->signer.timer);
    ses_scrub_stop(store);
    ses_grove_free(store);
    ses_lane_close(&store->lane);
    ses_meta_close(store->meta);
    ses_catalog_free(&store->catalog);
    ses_slab_free(&store->ops);
    ses_free(store->signer.job);
    SES_ASSERT(pthread_mutex_destroy(&store->lock) == 0);
    ses_free(store);
}

/* ---- closing ---- */
static void close_run(void *cookie)
{
    struct ses_store *store = cookie;
    ses_lane_close(&store->lane);
    ses_meta_close(store->meta);
    store->meta = NULL;
}

static void close_done(void *cookie)
{
    struct ses_store *store = cookie;
    store->on_closed(store->closed_cookie);
}

static bool busy(const struct ses_store *store)
{
    return store->put_cnt > 0 || store->writing || store->tasks != NULL || store->signer.busy ||
           store->read_cnt > 0 || ses_grove_waits(&store->grove);
}

void ses_store_settle(struct ses_store *store)
{
    const struct ses_loop *loop = store->p.loop;
    if (store->phase != SES_PHASE_CLOSING || busy(store)) {
        return;
    }
    if (!store->fatal && store->signer.row.batch_cnt > 0) {
        ses_signed_flush(store, true);
        if (busy(store)) {
            return; /* comes back here when it is written */
        }
    }
    store->phase = SES_PHASE_CLOSED;
    loop->timer_stop(loop->ctx, store->gather);
    loop->timer_stop(loop->ctx, store->signer.timer);
    loop->timer_stop(loop->ctx, store->grove.timer);
    ses_scrub_stop(store);
    store->grove.timer = NULL;
    store->gather = NULL;
    store->signer.timer = NULL;
    if (loop->work(loop->ctx, close_run, close_done, store) != SES_OK) {
        close_run(store);
        close_done(store);
    }
}

void ses_store_close(struct ses_store *store, void (*on_closed)(void *cookie), void *cookie)
{
    SES_ASSERT(store->phase == SES_PHASE_OPEN);
    store->phase = SES_PHASE_CLOSING;
    store->on_closed = on_closed;
    store->closed_cookie = cookie;
    ses_store_settle(store);
}

/* ---- the end without closing ---- */
static void fail_queued(struct ses_store *store)
{
    struct ses_op *op;
    while ((op = ses_op_pop(&store->queue)) != NULL) {
        ses_put_take_back(store, op);
        ses_put_op_fail(store, op, SES_ERR_IO);
    }
    while ((op = ses_op_pop(&store->signer.queue)) != NULL) {
        ses_put_op_fail(store, op, SES_ERR_IO);
    }
    struct ses_task *task = store->tasks;
    store->tasks = NULL;
    store->task_cnt = 0;
    while (task != NULL) {
        struct ses_task *next = task->next;
        task->err = SES_ERR_IO;
        task->done(task, store);
        task = next;
    }
}

void ses_store_fail(struct ses_store *store, enum ses_err err, const char *what)
{
    if (store->fatal) {
        return;
    }
    store->fatal = true;
    ses_logf(store->p.log, SES_LOG_ERROR, "storage",
             "the store stops, nothing is acknowledged from now on: %s: %s", what,
             ses_err_text(err));
    store->p.on_fatal(store->p.cookie, err, what);
    fail_queued(store);
}

/* ---- small things ---- */
void ses_store_set_seat(struct ses_store *store, const struct ses_store_seat *seat)
{
    SES_ASSERT(seat->num_swarms > 0 && (seat->num_swarms & (seat->num_swarms - 1)) == 0);
    const bool other =
        seat->swarm != store->seat.swarm || seat->num_swarms != store->seat.num_swarms;
    store->seat = *seat;
    if (other) {
        ses_catalog_set_seat(&store->catalog, seat->swarm, seat->num_swarms);
    }
}

bool ses_store_needs_sync(const struct ses_store *store)
{
    return !store->synced;
}

enum ses_err ses_store_mark_synced(struct ses_store *store)
{
    SES_REQUIRE(store->meta != NULL, SES_ERR_UNAVAILABLE);
    if (!store->synced) {
        SES_TRY(ses_meta_set_u64(store->meta, SES_META_SYNCED, 1));
        store->synced = true;
    }
    return SES_OK;
}

int64_t ses_store_sealed(const struct ses_store *store)
{
    return store->sealed;
}

enum ses_err ses_store_seal(struct ses_store *store, int64_t sealed_epoch)
{
    SES_REQUIRE(store->meta != NULL, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(sealed_epoch >= -1 && sealed_epoch < (int64_t)SES_EPOCH_MAX, SES_ERR_INVALID);
    store->sealing_batch = store->batches_started;
    /* first for the lane, then for good: no record gets a sealed epoch from here on */
    SES_ASSERT(pthread_mutex_lock(&store->lock) == 0);
    store->sealed = sealed_epoch > store->sealed ? sealed_epoch : store->sealed;
    SES_ASSERT(pthread_mutex_unlock(&store->lock) == 0);
    if (store->sealed > store->sealed_saved) {
        SES_TRY(ses_meta_set_u64(store->meta, SES_META_SEALED, (uint64_t)store->sealed));
        store->sealed_saved = store->sealed;
    }
    return SES_OK;
}

void ses_store_listen_damage(struct ses_store *store,
                             bool (*on_damage)(void *cookie, const struct ses_hash *id,
                                               const struct ses_segment *segment),
                             void *cookie)
{
    store->on_damage = on_damage;
    store->damage_cookie = cookie;
}

void ses_store_listen(struct ses_store *store,
                      void (*on_record)(void *cookie, const struct ses_hash *inbox, int16_t ns),
                      void *cookie)
{
    store->on_record = on_record;
    store->record_cookie = cookie;
}

static uint64_t leaf_cnt(const struct ses_catalog *c)
{
    return c->record_cnt > c->foreign_cnt ? c->record_cnt - c->foreign_cnt : 0;
}

void ses_store_stats(const struct ses_store *store, struct ses_store_stats *out)
{
    const uint64_t left = ses_store_free_bytes(store);
    *out = (struct ses_store_stats){.record_cnt = store->catalog.record_cnt,
                                    .payload_bytes = store->catalog.payload_bytes,
                                    .disk_bytes = store->catalog.log_bytes,
                                    .free_bytes = left,
                                    .inbox_cnt = store->catalog.inbox_cnt,
                                    .segment_cnt = store->catalog.segment_cnt,
                                    .puts = store->puts,
                                    .batches = store->batches,
                                    .signatures = store->signatures,
                                    .corrupt_reads = store->corrupt_reads,
                                    .torn_tails = store->torn_tails,
                                    .repaired = store->repaired,
                                    .erased = store->erased,
                                    .deleted_cnt = store->catalog.deleted_cnt,
                                    .foreign_cnt = store->catalog.foreign_cnt,
                                    .leaf_cnt = leaf_cnt(&store->catalog),
                                    .open_segments = store->grove.last.open_cnt,
                                    .forest_bytes = store->grove.last.bytes,
                                    .forest_builds = store->grove.last.build_cnt,
                                    .snapshot_cnt = store->snapshot_cnt,
                                    .entry_refused = left < store->p.entry_reserve_bytes,
                                    .scrub_records = store->scrub.records,
                                    .scrub_bytes = store->scrub.bytes,
                                    .scrub_damaged = store->scrub.damaged,
                                    .scrub_cycles = store->scrub.cycles,
                                    .scrub_cycle_ms = store->scrub.cycle_ms};
}

enum ses_err ses_store_meta_set(struct ses_store *store, const char *key, const void *value,
                                size_t len)
{
    SES_REQUIRE(store->meta != NULL, SES_ERR_UNAVAILABLE);
    return ses_meta_set(store->meta, key, value, len);
}

enum ses_err ses_store_meta_get(struct ses_store *store, const char *key, struct ses_buf *out)
{
    SES_REQUIRE(store->meta != NULL, SES_ERR_UNAVAILABLE);
    return ses_meta_get(store->meta, key, out);
}
