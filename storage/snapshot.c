/* Snapshots: what a commitment is about, and the commitments themselves. */
#include <string.h>

#include "storage/storage_internal.h"

/* ---- the remembered ones ---- */
static enum ses_err remember(struct ses_store *store, const struct ses_snapshot *s)
{
    uint32_t at = store->snapshot_cnt;
    if (store->snapshot_cnt == SES_SNAPSHOTS_MAX) { /* a clock that was set back: the least goes */
        SES_REQUIRE(s->epoch > store->snapshots[0].epoch, SES_ERR_FULL);
        SES_TRY(ses_meta_drop_snapshots(store->meta, store->snapshots[0].epoch));
        memmove(store->snapshots, store->snapshots + 1, (at - 1) * sizeof *s);
        at = --store->snapshot_cnt;
    }
    for (; at > 0 && store->snapshots[at - 1].epoch > s->epoch; at--) {
        store->snapshots[at] = store->snapshots[at - 1];
    }
    store->snapshots[at] = *s;
    store->snapshot_cnt++;
    return SES_OK;
}

static enum ses_err load_one(void *cookie, const struct ses_snapshot *snapshot)
{
    struct ses_store *store = cookie;
    if (store->snapshot_cnt == SES_SNAPSHOTS_MAX) { /* the greatest are kept */
        memmove(store->snapshots, store->snapshots + 1, (SES_SNAPSHOTS_MAX - 1) * sizeof *snapshot);
        store->snapshot_cnt--;
    }
    store->snapshots[store->snapshot_cnt++] = *snapshot;
    return SES_OK;
}

enum ses_err ses_snapshots_load(struct ses_store *store)
{
    return ses_meta_each_snapshot(store->meta, load_one, store);
}

enum ses_err ses_store_snapshot_get(const struct ses_store *store, struct ses_snapshot *out,
                                    uint64_t epoch)
{
    for (uint32_t i = 0; i < store->snapshot_cnt; i++) {
        if (store->snapshots[i].epoch == epoch) {
            *out = store->snapshots[i];
            return SES_OK;
        }
    }
    return SES_ERR_NOT_FOUND;
}

bool ses_snapshot_open(const struct ses_store *store, uint64_t epoch, uint64_t now_ms)
{
    return now_ms < ses_epoch_start_ms(&store->p.times, epoch + 2);
}

bool ses_snapshot_awaited(const struct ses_store *store, uint64_t epoch)
{
    for (const struct ses_job *job = store->grove.jobs; job != NULL; job = job->next) {
        if (job->create && job->key.epoch == epoch) {
            return true;
        }
    }
    return false;
}

/* An epoch longer than anybody may ask, for clocks differ. */
void ses_snapshots_expire(struct ses_store *store, uint64_t now_ms)
{
    while (store->snapshot_cnt > 0 &&
           !ses_snapshot_open(store, store->snapshots[0].epoch + 1, now_ms)) {
        const enum ses_err err = ses_meta_drop_snapshots(store->meta, store->snapshots[0].epoch);
        if (err != SES_OK) {
            ses_logf(store->p.log, SES_LOG_WARN, "storage", "a snapshot stays in meta.db: %s",
                     ses_err_text(err));
            return;
        }
        store->snapshot_cnt--;
        memmove(store->snapshots, store->snapshots + 1,
                store->snapshot_cnt * sizeof *store->snapshots);
    }
}

/* ---- making one ---- */
struct snapshot_job {
    struct ses_job job;
    struct ses_snapshot snapshot;
    void (*on_done)(void *cookie, enum ses_err err, const struct ses_snapshot *snapshot);
    void *cookie;
};

static enum ses_err append_sum(struct ses_buf *out, const struct ses_forest_segment *segment)
{
    uint8_t bytes[SES_SNAPSHOT_SEGMENT_BYTES];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, segment->id.bytes, sizeof segment->id.bytes);
    ses_write_bytes(&w, segment->sum.hash.bytes, sizeof segment->sum.hash.bytes);
    ses_write_u64(&w, segment->sum.count);
    ses_write_u64(&w, segment->sum.bytes);
    SES_TRY(ses_writer_done(&w));
    return ses_buf_append(out, bytes, sizeof bytes);
}

static enum ses_err write_snapshot(const struct snapshot_job *j)
{
    struct ses_forest *forest = j->job.view->forest;
    struct ses_buf bytes = {0};
    enum ses_err err = SES_OK;
    for (size_t i = 0; err == SES_OK && i < ses_forest_segment_cnt(forest); i++) {
        struct ses_forest_segment segment;
        ses_forest_segment(forest, i, &segment);
        err = append_sum(&bytes, &segment);
    }
    if (err == SES_OK) {
        err = ses_meta_put_snapshot(j->job.store->meta, &j->snapshot, bytes.bytes, bytes.len);
    }
    ses_buf_free(&bytes);
    return err;
}

static enum ses_err snapshot_run(struct ses_job *job)
{
    struct snapshot_job *j = (struct snapshot_job *)job;
    struct ses_sum sum;
    if (!job->create) {
        return SES_OK; /* remembered already */
    }
    ses_forest_sum(job->view->forest, &sum);
    j->snapshot = (struct ses_snapshot){.epoch = job->key.epoch,
                                        .swarm = job->key.swarm,
                                        .num_swarms = job->key.num_swarms,
                                        .count = sum.count,
                                        .bytes = sum.bytes};
    ses_forest_root(job->view->forest, &j->snapshot.root, job->key.swarm, job->key.epoch);
    return write_snapshot(j);
}

static void snapshot_done(struct ses_job *job)
{
    struct snapshot_job *j = (struct snapshot_job *)job;
    struct ses_store *store = job->store;
    struct ses_snapshot known;
    if (job->err == SES_OK &&
        ses_store_snapshot_get(store, &known, j->snapshot.epoch) == SES_ERR_NOT_FOUND) {
        job->err = remember(store, &j->snapshot);
    }
    if (job->err == SES_ERR_IO) {
        ses_store_fail(store, job->err, "writing a snapshot");
    }
    j->on_done(j->cookie, job->err, job->err == SES_OK ? &j->snapshot : NULL);
    ses_free(j);
}

static bool other_seat(const struct ses_store *store, const struct ses_view *key)
{
    struct ses_snapshot s;
    if (ses_store_snapshot_get(store, &s, key->epoch) == SES_OK) {
        return s.swarm != key->swarm || s.num_swarms != key->num_swarms;
    }
    for (const struct ses_job *job = store->grove.jobs; job != NULL; job = job->next) {
        if (job->create && job->key.epoch == key->epoch) {
            return job->key.swarm != key->swarm || job->key.num_swarms != key->num_swarms;
        }
    }
    return false;
}

enum ses_err ses_store_snapshot(struct ses_store *store, uint64_t epoch, uint32_t swarm,
                                uint32_t num_swarms,
                                void (*on_done)(void *cookie, enum ses_err err,
                                                const struct ses_snapshot *snapshot),
                                void *cookie)
{
    const struct ses_view key = {.epoch = epoch, .swarm = swarm, .num_swarms = num_swarms};
    SES_TRY(ses_job_check(store, NULL));
    SES_REQUIRE(num_swarms > 0 && (num_swarms & (num_swarms - 1)) == 0, SES_ERR_INVALID);
    SES_REQUIRE(epoch < SES_EPOCH_MAX && (int64_t)epoch <= store->sealed, SES_ERR_INVALID);
    SES_REQUIRE(!other_seat(store, &key), SES_ERR_INVALID);
    struct snapshot_job *j = ses_alloc(1, sizeof *j);
    SES_REQUIRE(j != NULL, SES_ERR_MEMORY);
    ses_job_init(&j->job, store, &key);
    j->job.create = ses_store_snapshot_get(store, &j->snapshot, epoch) != SES_OK;
    j->job.sums = j->job.create;
    j->job.after_batch = store->sealing_batch;
    j->job.run = snapshot_run;
    j->job.done = snapshot_done;
    j->on_done = on_done;
    j->cookie = cookie;
    ses_job_push(store, &j->job);
    return SES_OK;
}

/* ---- commitments ---- */
enum ses_err ses_store_commit(struct ses_store *store, struct ses_commitment *out,
                              const struct ses_commitment *commitment)
{
    struct ses_snapshot snapshot;
    *out = (struct ses_commitment){0};
    SES_REQUIRE(store->meta != NULL && !store->fatal, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(store->synced, SES_ERR_AGAIN);
    SES_REQUIRE(commitment->bytes.len > 0, SES_ERR_INVALID);
    SES_REQUIRE(ses_store_snapshot_get(store, &snapshot, commitment->epoch) == SES_OK,
                SES_ERR_INVALID);
    return ses_meta_put_commitment(store->meta, out, commitment);
}

enum ses_err ses_store_commitment(struct ses_store *store, struct ses_commitment *out,
                                  uint64_t epoch)
{
    *out = (struct ses_commitment){0};
    SES_REQUIRE(store->meta != NULL, SES_ERR_UNAVAILABLE);
    return ses_meta_get_commitment(store->meta, out, epoch);
}
