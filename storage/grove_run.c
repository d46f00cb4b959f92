/* A run of the grove, on the worker. */
#include <stdlib.h>
#include <string.h>

#include "storage/storage_internal.h"

/* ---- changes ---- */
static void unknow(struct ses_grove_view *view, struct ses_grove_seg *seg)
{
    ses_forest_drop(view->forest, &seg->id);
    seg->known = false;
    seg->open = false;
    seg->empty = false;
}

static void apply_to(struct ses_grove_view *view, const struct ses_leaf *leaf)
{
    struct ses_segment_id id;
    ses_leaf_segment(&id, leaf);
    struct ses_grove_seg *seg = ses_grove_find(view, &id);
    if (seg == NULL || !seg->open ||
        !ses_digest_in(leaf->key.bytes, view->key.swarm, view->key.num_swarms)) {
        return; /* closed ones were made unknown before the run */
    }
    if (ses_forest_put(view->forest, leaf) != SES_OK) {
        unknow(view, seg); /* no memory: built again when it is needed */
        return;
    }
    seg->leaf_cnt++;
}

static void apply_all(struct ses_grove *grove)
{
    for (size_t v = 0; v < SES_VIEWS_MAX; v++) {
        struct ses_grove_view *view = &grove->views[v];
        if (!ses_grove_live(view)) {
            continue;
        }
        for (size_t at = 0; at < grove->applied.len; at += sizeof(struct ses_leaf)) {
            struct ses_leaf leaf;
            memcpy(&leaf, grove->applied.bytes + at, sizeof leaf);
            apply_to(view, &leaf);
        }
    }
    grove->applied.len = 0;
}

/* ---- building ---- */
static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, SES_LEAF_KEY_BYTES);
}
_Static_assert(offsetof(struct ses_leaf, key) == 0, "see by_key");

static enum ses_err add_trie(struct ses_grove_view *view, struct ses_forest_trie *trie,
                             const struct ses_segment_id *id)
{
    enum ses_err err = ses_forest_add_trie(view->forest, trie);
    if (err == SES_ERR_CHECKSUM && view->key.epoch == SES_EPOCH_LIVE) {
        ses_forest_drop(view->forest, id); /* what is stored is right by definition */
        err = ses_forest_add_trie(view->forest, trie);
    }
    return err;
}

static enum ses_err build(struct ses_grove *grove, struct ses_grove_build *b,
                          struct ses_grove_seg *seg)
{
    struct ses_forest_trie *trie;
    const bool was_known = seg->known && !seg->empty;
    if (b->cnt == 0) {
        SES_REQUIRE(!was_known || ses_grove_live(b->view), SES_ERR_CHECKSUM);
        ses_forest_drop(b->view->forest, &seg->id);
        seg->known = true;
        seg->empty = true;
        return SES_OK;
    }
    qsort(b->leaves, b->cnt, sizeof *b->leaves, by_key);
    SES_TRY(ses_forest_trie_build(&trie, grove->pool, &b->segment, b->leaves, b->cnt));
    const enum ses_err err = add_trie(b->view, trie, &b->segment);
    if (err != SES_OK) {
        ses_forest_trie_free(trie);
        return err;
    }
    seg->known = true;
    seg->open = true;
    seg->empty = false;
    seg->leaf_cnt = b->cnt;
    grove->now.build_cnt++;
    return SES_OK;
}

static void build_all(struct ses_grove *grove)
{
    for (size_t at = 0; at < grove->builds.len; at += sizeof(struct ses_grove_build)) {
        struct ses_grove_build b;
        memcpy(&b, grove->builds.bytes + at, sizeof b);
        struct ses_grove_seg *seg = ses_grove_find(b.view, &b.segment);
        if (seg != NULL && !seg->open) {
            const enum ses_err err = build(grove, &b, seg);
            b.job->err = err != SES_OK ? err : b.job->err;
        }
        ses_free(b.leaves);
    }
    grove->builds.len = 0;
}

/* ---- sums that the live view has ---- */
static struct ses_grove_view *live_twin(struct ses_grove *grove, const struct ses_grove_view *view)
{
    for (size_t i = 0; i < SES_VIEWS_MAX; i++) {
        struct ses_grove_view *v = &grove->views[i];
        if (ses_grove_live(v) && v->key.swarm == view->key.swarm &&
            v->key.num_swarms == view->key.num_swarms) {
            return v;
        }
    }
    return NULL;
}

static enum ses_err copy_sum(struct ses_grove_view *view, struct ses_grove_seg *seg,
                             const struct ses_grove_view *live)
{
    const struct ses_grove_seg *from = ses_grove_find(live, &seg->id);
    struct ses_forest_segment sum;
    size_t index;
    if (from == NULL || !from->known) {
        return SES_OK; /* built after all */
    }
    if (!from->empty) {
        SES_ASSERT(ses_forest_find(live->forest, &seg->id, &index));
        ses_forest_segment(live->forest, index, &sum);
        SES_TRY(ses_forest_add_sum(view->forest, &seg->id, &sum.sum));
    }
    seg->known = true;
    seg->empty = from->empty;
    return SES_OK;
}

static enum ses_err copy_sums(struct ses_grove *grove, struct ses_grove_view *view)
{
    const struct ses_grove_view *live = live_twin(grove, view);
    for (uint32_t i = 0; i < view->seg_cnt; i++) {
        struct ses_grove_seg *seg = &view->segs[i];
        if (seg->copy && !seg->known && live != NULL) {
            SES_TRY(copy_sum(view, seg, live));
        }
        seg->copy = false;
    }
    return SES_OK;
}

/* ---- jobs ---- */
static bool all_known(const struct ses_grove_view *view)
{
    for (uint32_t i = 0; i < view->seg_cnt; i++) {
        if (!view->segs[i].known) {
            return false;
        }
    }
    return true;
}

static enum ses_err run_job(struct ses_grove *grove, struct ses_job *job)
{
    SES_TRY(job->err);
    if (job->sums) {
        SES_TRY(copy_sums(grove, job->view));
        SES_REQUIRE(all_known(job->view), SES_ERR_AGAIN);
    }
    return job->run(job);
}

/* ---- forgetting ---- */
/* The open segment that was needed before all others; NULL if this run needs what is open. */
static struct ses_grove_seg *oldest(struct ses_grove *grove, struct ses_grove_view **of)
{
    struct ses_grove_seg *found = NULL;
    for (size_t v = 0; v < SES_VIEWS_MAX; v++) {
        struct ses_grove_view *view = &grove->views[v];
        for (uint32_t i = 0; i < view->seg_cnt; i++) {
            struct ses_grove_seg *seg = &view->segs[i];
            if (seg->open && seg->used != grove->run_no &&
                (found == NULL || seg->used < found->used)) {
                found = seg;
                *of = view;
            }
        }
    }
    return found;
}

static void close_some(struct ses_grove *grove, uint64_t bytes_max)
{
    uint64_t leaves = 0;
    grove->now.open_cnt = 0;
    for (size_t v = 0; v < SES_VIEWS_MAX; v++) {
        for (uint32_t i = 0; i < grove->views[v].seg_cnt; i++) {
            const struct ses_grove_seg *seg = &grove->views[v].segs[i];
            leaves += seg->open ? seg->leaf_cnt : 0;
            grove->now.open_cnt += seg->open;
        }
    }
    while (leaves * SES_OPEN_LEAF_BYTES > bytes_max) {
        struct ses_grove_view *view = NULL;
        struct ses_grove_seg *seg = oldest(grove, &view);
        if (seg == NULL) {
            break;
        }
        ses_forest_seal(view->forest, &seg->id);
        seg->open = false;
        leaves -= seg->leaf_cnt;
        grove->now.open_cnt--;
    }
}

void ses_grove_run(void *cookie)
{
    struct ses_store *store = cookie;
    struct ses_grove *grove = &store->grove;
    apply_all(grove);
    build_all(grove);
    for (struct ses_job *job = grove->running; job != NULL; job = job->next) {
        job->err = run_job(grove, job);
    }
    close_some(grove, store->p.forest_bytes > 0 ? store->p.forest_bytes : SES_FOREST_BYTES);
    grove->now.bytes = ses_forest_pool_bytes(grove->pool);
}
