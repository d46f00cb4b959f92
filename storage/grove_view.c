/* The views of a grove: which segments each has, and which of them are known. */
#include <string.h>

#include "storage/storage_internal.h"

struct ses_grove_seg *ses_grove_find(const struct ses_grove_view *view,
                                     const struct ses_segment_id *id)
{
    uint32_t low = 0;
    uint32_t high = view->seg_cnt;
    while (low < high) {
        const uint32_t at = low + (high - low) / 2;
        const int order = memcmp(view->segs[at].id.bytes, id->bytes, sizeof id->bytes);
        if (order == 0) {
            return &view->segs[at];
        }
        if (order < 0) {
            low = at + 1;
        } else {
            high = at;
        }
    }
    return NULL;
}

enum ses_err ses_grove_add(struct ses_grove_view *view, const struct ses_segment_id *id,
                           struct ses_grove_seg **out)
{
    if (view->seg_cnt == view->seg_cap) {
        const uint32_t cap = view->seg_cap * 2 + 64;
        struct ses_grove_seg *segs = ses_realloc(view->segs, cap, sizeof *segs);
        SES_REQUIRE(segs != NULL, SES_ERR_MEMORY);
        view->segs = segs;
        view->seg_cap = cap;
    }
    uint32_t at = view->seg_cnt;
    while (at > 0 && memcmp(view->segs[at - 1].id.bytes, id->bytes, sizeof id->bytes) > 0) {
        at--;
    }
    memmove(&view->segs[at + 1], &view->segs[at], (view->seg_cnt - at) * sizeof *view->segs);
    view->segs[at] = (struct ses_grove_seg){.id = *id};
    view->seg_cnt++;
    *out = &view->segs[at];
    return SES_OK;
}

void ses_grove_view_free(struct ses_grove *grove, struct ses_grove_view *view)
{
    grove->live_cnt -= ses_grove_live(view);
    ses_forest_free(view->forest);
    ses_free(view->segs);
    *view = (struct ses_grove_view){0};
}

/* ---- making one ---- */
static bool same_key(const struct ses_view *a, const struct ses_view *b)
{
    return a->epoch == b->epoch && a->swarm == b->swarm && a->num_swarms == b->num_swarms;
}

/* A free place, or that of the view which no job has used for the longest time; NULL if this run
 * uses all of them. */
static struct ses_grove_view *free_place(struct ses_grove *grove)
{
    struct ses_grove_view *oldest = NULL;
    for (size_t i = 0; i < SES_VIEWS_MAX; i++) {
        struct ses_grove_view *view = &grove->views[i];
        if (!view->used) {
            return view;
        }
        if (view->tick != grove->run_no && (oldest == NULL || view->tick < oldest->tick)) {
            oldest = view;
        }
    }
    if (oldest != NULL) {
        ses_grove_view_free(grove, oldest);
    }
    return oldest;
}

/* Every segment of the catalog that can belong to the view, unknown. */
static enum ses_err list_segments(const struct ses_store *store, struct ses_grove_view *view)
{
    const struct ses_catalog *c = &store->catalog;
    const bool live = view->key.epoch == SES_EPOCH_LIVE;
    const uint64_t from_ms = live ? 0 : ses_epoch_start_ms(&store->p.times, view->key.epoch + 2);
    for (uint32_t i = 0; i < c->segs.used; i++) {
        const struct ses_seg *seg = ses_catalog_seg(c, i);
        struct ses_segment_id id = {{0}};
        struct ses_grove_seg *added;
        if (seg->used && seg->entry_cnt > 0 && seg->expires_ms >= from_ms) {
            ses_segment_encode(id.bytes, &seg->id);
            SES_TRY(ses_grove_add(view, &id, &added));
        }
    }
    return SES_OK;
}

static enum ses_err take_sum(struct ses_grove_view *view, struct ses_reader *r)
{
    struct ses_segment_id id;
    struct ses_grove_seg *seg;
    struct ses_sum sum = {0};
    ses_read_bytes(r, id.bytes, sizeof id.bytes);
    ses_read_bytes(r, sum.hash.bytes, sizeof sum.hash.bytes);
    sum.count = ses_read_u64(r);
    sum.bytes = ses_read_u64(r);
    SES_REQUIRE(r->err == SES_OK, SES_ERR_CHECKSUM);
    SES_TRY(ses_grove_add(view, &id, &seg));
    seg->known = true;
    return ses_forest_add_sum(view->forest, &id, &sum);
}

/* What meta.db remembers of a snapshot. */
static enum ses_err load_sums(const struct ses_store *store, struct ses_grove_view *view)
{
    struct ses_buf bytes = {0};
    struct ses_reader r;
    enum ses_err err = ses_meta_get_snapshot(store->meta, view->key.epoch, &bytes);
    ses_reader_init(&r, bytes.bytes, bytes.len);
    while (err == SES_OK && r.left > 0) {
        err = take_sum(view, &r);
    }
    ses_buf_free(&bytes);
    return err;
}

static enum ses_err fill(const struct ses_job *job, struct ses_grove_view *view)
{
    struct ses_store *store = job->store;
    SES_TRY(ses_forest_new(&view->forest, store->grove.pool));
    if (view->key.epoch == SES_EPOCH_LIVE || job->create) {
        return list_segments(store, view);
    }
    return load_sums(store, view);
}

static enum ses_err key_of(const struct ses_job *job, struct ses_view *key)
{
    const struct ses_store *store = job->store;
    *key = job->key;
    if (job->own) {
        *key = (struct ses_view){.epoch = SES_EPOCH_LIVE,
                                 .swarm = store->seat.swarm,
                                 .num_swarms = store->seat.num_swarms};
    } else if (key->epoch != SES_EPOCH_LIVE && !job->create) {
        struct ses_snapshot s;
        SES_TRY(ses_store_snapshot_get(store, &s, key->epoch));
        key->swarm = s.swarm;
        key->num_swarms = s.num_swarms;
    }
    return SES_OK;
}

enum ses_err ses_grove_view(struct ses_job *job)
{
    struct ses_grove *grove = &job->store->grove;
    struct ses_view key;
    SES_TRY(key_of(job, &key));
    for (size_t i = 0; i < SES_VIEWS_MAX; i++) {
        struct ses_grove_view *view = &grove->views[i];
        if (view->used && same_key(&view->key, &key)) {
            view->tick = grove->run_no;
            job->view = view;
            return SES_OK;
        }
    }
    struct ses_grove_view *view = free_place(grove);
    SES_REQUIRE(view != NULL, SES_ERR_FULL);
    *view = (struct ses_grove_view){.key = key, .used = true, .tick = grove->run_no};
    grove->live_cnt += ses_grove_live(view);
    const enum ses_err err = fill(job, view);
    if (err != SES_OK) {
        ses_grove_view_free(grove, view);
        return err;
    }
    job->view = view;
    return SES_OK;
}
