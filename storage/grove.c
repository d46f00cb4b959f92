/* Jobs of the grove: what each of them misses is copied out of the catalog, then a run is started.
 */
#include <string.h>

#include "storage/storage_internal.h"

#define POOL_BYTES_MAX ((size_t)1 << 36) /* what is open is limited elsewhere */

enum ses_err ses_grove_init(struct ses_store *store)
{
    return ses_forest_pool_new(&store->grove.pool, POOL_BYTES_MAX);
}

void ses_grove_free(struct ses_store *store)
{
    struct ses_grove *grove = &store->grove;
    const struct ses_loop *loop = store->p.loop;
    SES_ASSERT(!ses_grove_waits(grove));
    loop->timer_stop(loop->ctx, grove->timer);
    for (size_t i = 0; i < SES_VIEWS_MAX; i++) {
        ses_grove_view_free(grove, &grove->views[i]);
    }
    ses_forest_pool_free(grove->pool);
    ses_buf_free(&grove->changes);
    ses_buf_free(&grove->applied);
    ses_buf_free(&grove->builds);
    *grove = (struct ses_grove){0};
}

/* ---- jobs ---- */
enum ses_err ses_job_check(const struct ses_store *store, const struct ses_view *view)
{
    SES_REQUIRE(store->phase == SES_PHASE_OPEN, SES_ERR_UNAVAILABLE);
    SES_REQUIRE(store->grove.job_cnt < SES_JOBS_MAX, SES_ERR_FULL);
    if (view != NULL && view->epoch == SES_EPOCH_LIVE) {
        SES_REQUIRE(view->num_swarms > 0 && (view->num_swarms & (view->num_swarms - 1)) == 0,
                    SES_ERR_INVALID);
    }
    return SES_OK;
}

void ses_job_init(struct ses_job *job, struct ses_store *store, const struct ses_view *view)
{
    *job = (struct ses_job){.store = store, .own = view == NULL};
    if (view != NULL) {
        job->key = *view;
    }
}

void ses_job_push(struct ses_store *store, struct ses_job *job)
{
    struct ses_grove *grove = &store->grove;
    job->next = NULL;
    if (grove->jobs == NULL) {
        grove->jobs_end = &grove->jobs;
    }
    *grove->jobs_end = job;
    grove->jobs_end = &job->next;
    grove->job_cnt++;
    ses_grove_kick(store);
}

/* ---- changes ---- */
void ses_grove_touch(struct ses_store *store, uint32_t entry)
{
    struct ses_grove *grove = &store->grove;
    struct ses_leaf leaf;
    memset(&leaf, 0, sizeof leaf);
    if (grove->live_cnt == 0 || !ses_catalog_leaf(&store->catalog, entry, SES_EPOCH_MAX, &leaf)) {
        return; /* nobody has asked yet */
    }
    if (ses_buf_append(&grove->changes, &leaf, sizeof leaf) != SES_OK) {
        grove->changes.len = 0;
        grove->forget = SES_FORGET_LIVE;
    }
    if (grove->changes.len >= SES_CHANGES_MAX * sizeof leaf) {
        ses_grove_kick(store);
    }
}

/* ---- before a run ---- */
static void forget_views(struct ses_store *store)
{
    struct ses_grove *grove = &store->grove;
    for (size_t i = 0; i < SES_VIEWS_MAX; i++) {
        struct ses_grove_view *view = &grove->views[i];
        struct ses_snapshot s;
        const bool own =
            view->key.swarm == store->seat.swarm && view->key.num_swarms == store->seat.num_swarms;
        const bool stale =
            ses_grove_live(view)
                ? grove->forget == SES_FORGET_LIVE || (grove->forget == SES_FORGET_OTHERS && !own)
                : view->used && ses_store_snapshot_get(store, &s, view->key.epoch) != SES_OK &&
                      !ses_snapshot_awaited(store, view->key.epoch);
        if (stale) {
            ses_grove_view_free(grove, view);
        }
    }
    grove->forget = SES_FORGET_NOTHING;
}

/* The segment of the leaf is one of the view's; if it is not open, its sum is unknown now. */
static enum ses_err note_change(struct ses_grove_view *view, const struct ses_leaf *leaf)
{
    struct ses_segment_id id;
    if (!ses_digest_in(leaf->key.bytes, view->key.swarm, view->key.num_swarms)) {
        return SES_OK;
    }
    ses_leaf_segment(&id, leaf);
    struct ses_grove_seg *seg = ses_grove_find(view, &id);
    if (seg == NULL) {
        SES_TRY(ses_grove_add(view, &id, &seg));
    }
    if (!seg->open && seg->known) {
        ses_forest_drop(view->forest, &id);
        seg->known = false;
        seg->empty = false;
    }
    return SES_OK;
}

static void note_changes(struct ses_store *store)
{
    struct ses_grove *grove = &store->grove;
    for (size_t v = 0; v < SES_VIEWS_MAX; v++) {
        struct ses_grove_view *view = &grove->views[v];
        enum ses_err err = SES_OK;
        for (size_t at = 0; ses_grove_live(view) && at < grove->changes.len;
             at += sizeof(struct ses_leaf)) {
            struct ses_leaf leaf;
            memcpy(&leaf, grove->changes.bytes + at, sizeof leaf);
            err = err == SES_OK ? note_change(view, &leaf) : err;
        }
        if (err != SES_OK) {
            ses_grove_view_free(grove, view); /* made again when it is asked for */
        }
    }
    const struct ses_buf empty = grove->applied;
    grove->applied = grove->changes;
    grove->changes = empty;
    SES_ASSERT(empty.len == 0);
}

static bool seg_of(const struct ses_store *store, const struct ses_segment_id *id,
                   const struct ses_seg **out)
{
    const struct ses_segment segment = {.ttl_class = id->bytes[0],
                                        .hour = ses_get_u32(id->bytes + 1)};
    uint32_t at;
    if (!ses_catalog_find_seg(&store->catalog, &segment, &at)) {
        return false;
    }
    *out = ses_catalog_seg(&store->catalog, at);
    return true;
}

/* Live views lose what has expired, to the millisecond: members are compared by them. */
static void expire_view(struct ses_store *store, struct ses_grove_view *view)
{
    const uint64_t now_ms = ses_now_ms(&store->p.loop->clock);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < view->seg_cnt; i++) {
        const struct ses_seg *seg;
        if (seg_of(store, &view->segs[i].id, &seg) && seg->expires_ms > now_ms) {
            view->segs[kept++] = view->segs[i];
        } else {
            ses_forest_drop(view->forest, &view->segs[i].id);
        }
    }
    view->seg_cnt = kept;
}

static enum ses_err gather(struct ses_job *job, const struct ses_segment_id *id)
{
    struct ses_store *store = job->store;
    const struct ses_grove_view *view = job->view;
    const uint32_t epoch =
        view->key.epoch < SES_EPOCH_MAX ? (uint32_t)view->key.epoch : SES_EPOCH_MAX;
    struct ses_grove_build b;
    const struct ses_seg *seg;
    memset(&b, 0, sizeof b);
    b.job = job;
    b.view = job->view;
    b.segment = *id;
    const bool there = seg_of(store, id, &seg);
    b.leaves = ses_alloc(there ? seg->entry_cnt + 1u : 1u, sizeof *b.leaves);
    SES_REQUIRE(b.leaves != NULL, SES_ERR_MEMORY);
    for (uint32_t i = there ? seg->first : SES_NONE; i != SES_NONE;) {
        struct ses_leaf *leaf = &b.leaves[b.cnt];
        b.cnt += ses_catalog_leaf(&store->catalog, i, epoch, leaf) &&
                 ses_digest_in(leaf->key.bytes, view->key.swarm, view->key.num_swarms);
        i = ses_catalog_entry(&store->catalog, i)->link;
    }
    const enum ses_err err = ses_buf_append(&store->grove.builds, &b, sizeof b);
    if (err != SES_OK) {
        ses_free(b.leaves);
        return err;
    }
    store->grove.gathered += b.cnt + 1;
    return SES_OK;
}

/* A snapshot's segment in which nothing is younger than it, is what the live view has. */
static bool can_copy(const struct ses_job *job, const struct ses_grove_seg *seg)
{
    const struct ses_grove *grove = &job->store->grove;
    const struct ses_view *key = &job->view->key;
    const struct ses_seg *stored;
    for (size_t v = 0; job->create && v < SES_VIEWS_MAX; v++) {
        const struct ses_grove_view *live = &grove->views[v];
        if (ses_grove_live(live) && live->key.swarm == key->swarm &&
            live->key.num_swarms == key->num_swarms) {
            const struct ses_grove_seg *twin = ses_grove_find(live, &seg->id);
            return twin != NULL && twin->known && seg_of(job->store, &seg->id, &stored) &&
                   stored->epoch_max <= key->epoch;
        }
    }
    return false;
}

static enum ses_err gather_sums(struct ses_job *job)
{
    for (uint32_t i = 0; job->sums && i < job->view->seg_cnt; i++) {
        struct ses_grove_seg *seg = &job->view->segs[i];
        seg->copy = !seg->known && can_copy(job, seg);
        if (seg->known || seg->copy) {
            continue;
        }
        SES_REQUIRE(job->store->grove.gathered < SES_GATHER_LEAVES, SES_ERR_AGAIN);
        SES_TRY(gather(job, &seg->id));
    }
    return SES_OK;
}

static enum ses_err gather_tries(struct ses_job *job)
{
    for (size_t at = 0; at < job->needs.len; at += sizeof(struct ses_segment_id)) {
        struct ses_segment_id id;
        memcpy(&id, job->needs.bytes + at, sizeof id);
        struct ses_grove_seg *seg = ses_grove_find(job->view, &id);
        if (seg == NULL || (seg->known && seg->empty)) {
            continue;
        }
        seg->used = job->store->grove.run_no;
        if (!seg->open) {
            SES_REQUIRE(job->store->grove.gathered < SES_GATHER_LEAVES, SES_ERR_AGAIN);
            SES_TRY(gather(job, &id));
        }
    }
    return SES_OK;
}

/* ERR_AGAIN: not in this run. Another error is the job's. */
static enum ses_err prepare(struct ses_job *job)
{
    struct ses_store *store = job->store;
    SES_REQUIRE(store->batches_finished >= job->after_batch, SES_ERR_AGAIN);
    SES_TRY(ses_grove_view(job));
    if (ses_grove_live(job->view)) {
        expire_view(store, job->view);
    }
    SES_TRY(gather_tries(job));
    return gather_sums(job);
}

/* Takes the jobs that can run from the head of the queue. */
static void prepare_all(struct ses_store *store)
{
    struct ses_grove *grove = &store->grove;
    struct ses_job **end = &grove->running;
    SES_ASSERT(grove->running == NULL);
    grove->gathered = 0;
    while (grove->jobs != NULL) {
        struct ses_job *job = grove->jobs;
        job->err = job->err == SES_OK ? prepare(job) : job->err; /* or of an earlier build */
        if (job->err == SES_ERR_AGAIN) {
            job->err = SES_OK;
            break; /* what is gathered for it is built all the same */
        }
        grove->jobs = job->next;
        job->next = NULL;
        *end = job;
        end = &job->next;
    }
}

/* ---- after a run ---- */
static bool needed(const struct ses_job *job, const struct ses_segment_id *id)
{
    for (size_t at = 0; at < job->needs.len; at += sizeof *id) {
        if (memcmp(job->needs.bytes + at, id, sizeof *id) == 0) {
            return true;
        }
    }
    return false;
}

/* A job that misses a segment goes to the head again; false if it is done. */
static bool again(struct ses_grove *grove, struct ses_job *job, struct ses_job ***head)
{
    static const struct ses_segment_id none = {{0}};
    if (job->err != SES_ERR_AGAIN) {
        return false;
    }
    if (memcmp(&job->missing, &none, sizeof none) != 0) {
        const enum ses_err err = needed(job, &job->missing)
                                     ? SES_ERR_CHECKSUM
                                     : ses_buf_append(&job->needs, &job->missing, sizeof none);
        if (err != SES_OK) {
            job->err = err;
            return false;
        }
    }
    job->missing = none;
    job->err = SES_OK;
    job->next = **head;
    **head = job;
    if (job->next == NULL) {
        grove->jobs_end = &job->next;
    }
    *head = &job->next;
    return true;
}

static void run_done(void *cookie)
{
    struct ses_store *store = cookie;
    struct ses_grove *grove = &store->grove;
    struct ses_job *job = grove->running;
    struct ses_job **head = &grove->jobs;
    grove->running = NULL;
    grove->busy = false;
    grove->last = grove->now;
    struct ses_job *answered = NULL;
    struct ses_job **end = &answered;
    while (job != NULL) {
        struct ses_job *next = job->next;
        if (!again(grove, job, &head)) {
            job->next = NULL;
            *end = job;
            end = &job->next;
        }
        job = next;
    }
    while (answered != NULL) {
        job = answered;
        answered = job->next;
        grove->job_cnt--;
        ses_buf_free(&job->needs);
        job->done(job);
    }
    ses_grove_kick(store);
    ses_store_settle(store);
}

static void drop_builds(struct ses_grove *grove)
{
    for (size_t at = 0; at < grove->builds.len; at += sizeof(struct ses_grove_build)) {
        struct ses_grove_build b;
        memcpy(&b, grove->builds.bytes + at, sizeof b);
        ses_free(b.leaves);
    }
    grove->builds.len = 0;
}

static void start(void *cookie)
{
    struct ses_store *store = cookie;
    struct ses_grove *grove = &store->grove;
    const struct ses_loop *loop = store->p.loop;
    grove->timer = NULL;
    SES_ASSERT(!grove->busy);
    grove->run_no++;
    forget_views(store);
    note_changes(store);
    prepare_all(store);
    if (grove->running == NULL && grove->builds.len == 0 && grove->applied.len == 0) {
        return; /* the first job waits for a batch, whose end kicks */
    }
    grove->busy = true;
    const enum ses_err err = loop->work(loop->ctx, ses_grove_run, run_done, store);
    if (err != SES_OK) {
        drop_builds(grove);
        for (struct ses_job *job = grove->running; job != NULL; job = job->next) {
            job->err = err;
        }
        grove->applied.len = 0;
        grove->forget = SES_FORGET_LIVE;
        run_done(store);
    }
}

void ses_grove_kick(struct ses_store *store)
{
    struct ses_grove *grove = &store->grove;
    const struct ses_loop *loop = store->p.loop;
    const bool work =
        grove->jobs != NULL || grove->changes.len >= SES_CHANGES_MAX * sizeof(struct ses_leaf);
    if (grove->busy || grove->timer != NULL || !work) {
        return;
    }
    if (loop->timer_start(loop->ctx, &grove->timer, 0, start, store) != SES_OK) {
        grove->timer = NULL;
        start(store);
    }
}
