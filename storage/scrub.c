/* Scrub: reads every record of the store again, in the order of the logs, and checks it as a start
 * would. What nobody reads rots unseen; it is found here while other members still have it, and
 * reported like damage that a read finds.
 *
 * One piece of a log after the other: picked on the loop's thread, read and checked on a worker,
 * then a pause. A cycle lasts as long as an epoch, or longer if the rate does not allow that. The
 * first one of a run begins at a record that is drawn at random and is not counted: so a node that
 * restarts often reads all of its store in time, and no two members read the same at once. */
#include <string.h>

#include "storage/storage_internal.h"

#define STEP_BYTES (1u << 20)
#define STEP_PLACES 1024u
#define PAUSE_MIN_MS 1000u /* between cycles, and before the first */
_Static_assert(STEP_BYTES >= SES_LOG_RECORD_MAX, "a step has room for any record");

struct scrub_job {
    struct ses_store *store;
    enum ses_err err;
    uint64_t from, to; /* in the log */
    uint8_t *bytes;
    uint32_t place_cnt;
    struct ses_place places[STEP_PLACES]; /* of one segment */
};

static void step(void *cookie);

static void pause(struct ses_store *store, uint64_t delay_ms)
{
    const struct ses_loop *loop = store->p.loop;
    if (store->phase == SES_PHASE_OPEN && !store->fatal &&
        loop->timer_start(loop->ctx, &store->scrub.timer, delay_ms, step, store) != SES_OK) {
        ses_logf(store->p.log, SES_LOG_WARN, "storage", "the scrub ends: out of memory");
    }
}

/* ---- on the worker ---- */
static bool sound(const struct ses_place *place, const uint8_t *bytes, size_t len)
{
    struct ses_log_record record;
    if (SES_MUTANT(ROT_NOT_SEEN)) {
        return true;
    }
    return ses_log_parse(&record, bytes, len) == SES_OK &&
           ses_equal(&record.ids.id, &place->id, sizeof place->id);
}

/* One large read; if it fails, each record gets a read of its own, so that a bad sector costs no
 * more than what stands there. */
static void check_places(struct scrub_job *job, struct ses_file *file)
{
    const struct ses_disk *disk = job->store->p.disk;
    const size_t all = (size_t)(job->to - job->from);
    if (disk->uncache != NULL) {
        disk->uncache(disk->ctx, file, job->from, all);
    }
    const bool read = disk->read(disk->ctx, file, job->from, job->bytes, all) == SES_OK;
    for (uint32_t i = 0; i < job->place_cnt; i++) {
        struct ses_place *place = &job->places[i];
        uint8_t *at = job->bytes + (place->offset - job->from);
        const size_t len = SES_LOG_HEAD_BYTES + (size_t)place->payload_bytes;
        place->damaged = (!read && disk->read(disk->ctx, file, place->offset, at, len) != SES_OK) ||
                         !sound(place, at, len);
    }
}

static void scrub_run(void *cookie)
{
    struct scrub_job *job = cookie;
    const struct ses_disk *disk = job->store->p.disk;
    struct ses_file *file;
    char path[48];
    ses_segment_path(path, &job->places[0].segment);
    job->err = disk->open(disk->ctx, path, false, &file);
    if (job->err == SES_OK) {
        check_places(job, file);
        disk->close(disk->ctx, file);
    }
}

/* ---- on the loop ---- */
/* So that a cycle takes an epoch, but never faster than the rate. */
static uint64_t delay_ms(const struct ses_store *store, uint64_t bytes)
{
    const uint64_t total = store->catalog.log_bytes;
    const uint64_t by_rate = bytes * 1000 / store->p.scrub_rate;
    const uint64_t by_cycle = total > 0 ? bytes * store->p.times.epoch_s * 1000 / total : 0;
    return by_rate > by_cycle ? by_rate : by_cycle;
}

static void scrub_done(void *cookie)
{
    struct scrub_job *job = cookie;
    struct ses_store *store = job->store;
    struct ses_scrub *scrub = &store->scrub;
    const uint64_t bytes = job->to - job->from;
    const bool lost = job->err == SES_ERR_NOT_FOUND; /* the whole log, unless it expired */
    for (uint32_t i = 0; i < job->place_cnt; i++) {
        if (lost || job->places[i].damaged) {
            scrub->damaged += ses_place_damaged(store, &job->places[i]);
        }
    }
    scrub->records += job->err == SES_OK ? job->place_cnt : 0;
    scrub->bytes += job->err == SES_OK ? bytes : 0;
    store->read_cnt--;
    ses_free(job->bytes);
    ses_free(job);
    pause(store, delay_ms(store, bytes));
    ses_store_settle(store);
}

/* Goes on to the next segment where the last one ended; false at the end of the cycle. */
static bool find_next(struct ses_store *store)
{
    const struct ses_catalog *c = &store->catalog;
    struct ses_scrub *scrub = &store->scrub;
    if (scrub->entry != SES_NONE) { /* it may have gone meanwhile, with its segment or without */
        const struct ses_entry *e = ses_catalog_entry(c, scrub->entry);
        if (e->state != SES_ENTRY_LIVE || e->segment + 1 != scrub->next_seg) {
            scrub->entry = SES_NONE;
        }
    }
    while (scrub->entry == SES_NONE && scrub->next_seg < c->segs.used) {
        const struct ses_seg *seg = ses_catalog_seg(c, scrub->next_seg++);
        scrub->entry = seg->used ? seg->first : SES_NONE;
    }
    return scrub->entry != SES_NONE;
}

/* What is known to be damaged waits for its copy; what is deleted is about to be overwritten. */
static bool wanted(const struct ses_entry *e)
{
    return e->admit_epoch != SES_EPOCH_NONE && !ses_entry_deleted(e) &&
           (e->flags & SES_FLAG_DAMAGED) == 0;
}

/* Neighbours in the list are neighbours in the log, the last one first; one that was stored again
 * stands elsewhere, and ends the piece. */
static void pick(struct scrub_job *job)
{
    const struct ses_catalog *c = &job->store->catalog;
    uint32_t *at = &job->store->scrub.entry;
    while (*at != SES_NONE && job->place_cnt < STEP_PLACES) {
        const struct ses_entry *e = ses_catalog_entry(c, *at);
        if (wanted(e)) {
            const uint64_t end = e->offset + ses_record_cost(e->payload_bytes);
            const uint64_t from = e->offset < job->from ? e->offset : job->from;
            const uint64_t to = end > job->to ? end : job->to;
            if (job->place_cnt > 0 && to - from > STEP_BYTES) {
                return;
            }
            job->from = from;
            job->to = to;
            ses_place_of(&job->places[job->place_cnt++], c, *at);
        }
        *at = e->link;
    }
}

static enum ses_err start(struct scrub_job *job)
{
    const struct ses_loop *loop = job->store->p.loop;
    SES_ASSERT(job->from < job->to && job->to - job->from <= STEP_BYTES);
    job->bytes = ses_realloc(NULL, (size_t)(job->to - job->from), 1); /* not zeroed */
    SES_REQUIRE(job->bytes != NULL, SES_ERR_MEMORY);
    SES_TRY(loop->work(loop->ctx, scrub_run, scrub_done, job));
    job->store->read_cnt++;
    return SES_OK;
}

/* A cycle is over: the next one begins when it is due. */
static void turn_over(struct ses_store *store)
{
    struct ses_scrub *scrub = &store->scrub;
    const struct ses_loop *loop = store->p.loop;
    const uint64_t now_ms = loop->mono_ms(loop->ctx);
    const uint64_t due_ms = scrub->begun_ms + store->p.times.epoch_s * 1000;
    const bool wait = scrub->whole && due_ms > now_ms + PAUSE_MIN_MS;
    if (scrub->whole) {
        scrub->cycles++;
        scrub->cycle_ms = ses_now_ms(&loop->clock);
    }
    const uint64_t pause_ms = wait ? due_ms - now_ms : PAUSE_MIN_MS;
    scrub->whole = true;
    scrub->next_seg = 0;
    scrub->begun_ms = now_ms + pause_ms;
    pause(store, pause_ms);
}

static void step(void *cookie)
{
    struct ses_store *store = cookie;
    store->scrub.timer = NULL;
    struct scrub_job *job = ses_alloc(1, sizeof *job);
    if (job == NULL) {
        pause(store, PAUSE_MIN_MS);
        return;
    }
    job->store = store;
    job->from = UINT64_MAX;
    while (job->place_cnt == 0 && find_next(store)) {
        pick(job);
    }
    if (job->place_cnt > 0 && start(job) == SES_OK) {
        return; /* scrub_done */
    }
    const bool over = job->place_cnt == 0;
    ses_free(job->bytes);
    ses_free(job);
    if (over) {
        turn_over(store);
    } else {
        pause(store, PAUSE_MIN_MS); /* these records are read in the next cycle */
    }
}

void ses_scrub_start(struct ses_store *store)
{
    const struct ses_catalog *c = &store->catalog;
    struct ses_scrub *scrub = &store->scrub;
    if (store->p.scrub_rate == 0) {
        return;
    }
    scrub->entry = SES_NONE;
    scrub->whole = true;
    scrub->begun_ms = store->p.loop->mono_ms(store->p.loop->ctx);
    if (c->entries.used > 0) {
        const uint32_t at = (uint32_t)(ses_random_u64(store->p.random) % c->entries.used);
        const struct ses_entry *e = ses_catalog_entry(c, at);
        if (e->state == SES_ENTRY_LIVE) {
            scrub->entry = at;
            scrub->next_seg = e->segment + 1;
            scrub->whole = false;
        }
    }
    pause(store, PAUSE_MIN_MS);
}

void ses_scrub_stop(struct ses_store *store)
{
    const struct ses_loop *loop = store->p.loop;
    loop->timer_stop(loop->ctx, store->scrub.timer);
    store->scrub.timer = NULL;
}
