/* Expiry: what has expired is not read any more; here it is forgotten and its files go. */
#include <stdio.h>
#include <string.h>

#include "storage/db.h"
#include "storage/storage_internal.h"

#define HOUR_MS 3600000u
#define SIGNED_KEPT_MINUTES (60u * 24u * 31u) /* longer than any record lives */

struct unlink_task {
    struct ses_task task;
    struct ses_meta *meta;
    uint64_t trim_minute;
    bool has_segment; /* a log goes */
    struct ses_segment segment;
    bool has_index; /* an index goes */
    uint8_t ttl_class;
    uint32_t day;
};

static enum ses_err unlink_log(struct ses_lane *lane, const struct ses_segment *segment)
{
    char path[48];
    ses_segment_path(path, segment);
    ses_lane_forget_file(lane, segment);
    return lane->disk->unlink(lane->disk->ctx, path);
}

static enum ses_err unlink_index(struct ses_lane *lane, uint8_t ttl_class, uint32_t day)
{
    char name[48];
    ses_index_name(name, ttl_class, day);
    ses_lane_drop_index(lane, ttl_class, day);
    return ses_db_unlink(lane->disk, name);
}

/* A log goes before its index: rows without a log are dropped at start, a log without rows would be
 * indexed again. Nothing need be synced: what comes back after a crash has expired all the same. */
static enum ses_err run(struct ses_task *task, struct ses_lane *lane)
{
    const struct unlink_task *t = (struct unlink_task *)task;
    if (t->has_segment) {
        SES_TRY(unlink_log(lane, &t->segment));
    }
    if (t->has_index) {
        SES_TRY(unlink_index(lane, t->ttl_class, t->day));
    }
    return t->trim_minute > 0 ? ses_meta_trim_signed(t->meta, t->trim_minute) : SES_OK;
}

static void done(struct ses_task *task, struct ses_store *store)
{
    if (task->err != SES_OK) {
        ses_logf(store->p.log, SES_LOG_WARN, "storage", "expired files could not be removed: %s",
                 ses_err_text(task->err));
    }
    ses_free(task);
}

static bool push(struct ses_store *store, const struct unlink_task *what)
{
    struct unlink_task *t = ses_alloc(1, sizeof *t);
    if (t == NULL) {
        return false;
    }
    *t = *what;
    t->task = (struct ses_task){.run = run, .done = done};
    t->meta = store->meta;
    ses_task_push(store, &t->task);
    return true;
}

int64_t ses_expired_day(uint8_t ttl_class, uint64_t now_ms)
{
    const uint64_t ttl_ms = ses_ttl_ms(ttl_class);
    const uint64_t day_ms = ses_day_hours(ttl_class) * (uint64_t)HOUR_MS;
    return now_ms < ttl_ms ? -1 : (int64_t)((now_ms - ttl_ms) / day_ms) - 1;
}

static void expire_indexes(struct ses_store *store, uint64_t now_ms)
{
    for (uint8_t class = 0; class < SES_TTL_CLASS_CNT; class ++) {
        const int64_t last = ses_expired_day(class, now_ms);
        for (int64_t *day = &store->expired_day[class]; *day < last; (*day)++) {
            const struct unlink_task t = {
                .has_index = true, .ttl_class = class, .day = (uint32_t)(*day + 1)};
            if (store->task_cnt >= SES_TASKS_MAX || !push(store, &t)) {
                return; /* the others at the next call */
            }
        }
    }
}

static bool gone(const struct ses_seg *seg, uint64_t now_ms)
{
    const uint64_t early_ms = SES_MUTANT(EXPIRED_TOO_EARLY) ? 3600000u : 0;
    return seg->expires_ms <= now_ms + early_ms && !SES_MUTANT(EXPIRED_SERVED);
}

static void expire_segments(struct ses_store *store, uint64_t now_ms)
{
    struct ses_catalog *c = &store->catalog;
    for (uint32_t i = 0; i < c->segs.used; i++) {
        const struct ses_seg *seg = ses_catalog_seg(c, i);
        if (!seg->used || !gone(seg, now_ms) || seg->reserved > 0 || seg->unlinking) {
            continue; /* what is being written is forgotten next time */
        }
        const struct unlink_task t = {.has_segment = true, .segment = seg->id};
        if (!push(store, &t)) {
            return;
        }
        ses_catalog_drop_seg(c, i);
    }
}

void ses_store_expire(struct ses_store *store)
{
    if (store->phase != SES_PHASE_OPEN || store->fatal) {
        return;
    }
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    const uint64_t minute = now_ms / 60000u;
    ses_snapshots_expire(store, now_ms);
    expire_segments(store, now_ms);
    expire_indexes(store, now_ms);
    ses_erase_deleted(store, now_ms);
    /* in any case a batch runs, which asks the disk for its free space */
    const struct unlink_task trim = {
        .trim_minute = minute > SIGNED_KEPT_MINUTES ? minute - SIGNED_KEPT_MINUTES : 0};
    (void)push(store, &trim);
}
