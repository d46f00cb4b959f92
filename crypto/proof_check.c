/* The checker: a proof's root, and the answers to questions from what a proof shows. A closed part
 * never answers a question that it could touch, and a leaf counts only in its own segment and
 * under its own key. */
#include <string.h>

#include "crypto/proof.h"
#include "crypto/proof_walk.h"

void ses_forest_range_key(struct ses_forest_range *out, const struct ses_segment_id *segment,
                          const struct ses_leaf_key *key)
{
    *out = (struct ses_forest_range){.segment = *segment, .low = *key, .high = *key};
}

void ses_forest_range_slot(struct ses_forest_range *out, const struct ses_segment_id *segment,
                           const struct ses_hash *digest)
{
    struct ses_leaf_key prefix = {{0}};
    memcpy(prefix.bytes, digest->bytes, sizeof digest->bytes);
    /* cppcheck-suppress ctuuninitvar ; it does not see that callers encode into the bytes */
    out->segment = *segment;
    ses_leaf_prefix_range(&out->low, &out->high, &prefix, 2 * (unsigned)sizeof digest->bytes);
}

enum ses_err ses_forest_check(struct ses_opened *out, const struct ses_hash *root, uint32_t swarm,
                              uint64_t epoch, const uint8_t *proof, size_t len)
{
    struct walk w;
    struct ses_hash found;
    enum walk_event event;
    memset(out, 0, sizeof *out);
    walk_begin(&w, proof, len, true);
    do {
        SES_TRY(walk_next(&w, &event));
    } while (event != WALK_END);
    SES_ASSERT(w.sum_cnt <= 1);
    ses_forest_root_of(&found, swarm, epoch, &w.sums[0]);
    SES_REQUIRE(memcmp(&found, root, sizeof found) == 0, SES_ERR_CHECKSUM);
    *out = (struct ses_opened){
        .proof = proof, .len = len, .count = w.sums[0].count, .bytes = w.sums[0].bytes};
    return SES_OK;
}

/* The leaf that the walk stands at, if it stands under its own segment and key. */
static enum ses_err leaf_placed(const struct walk *w, struct ses_leaf *out)
{
    struct ses_segment_id segment;
    ses_leaf_decode(out, w->leaf);
    SES_REQUIRE(out->ts_ms / HOUR_MS <= UINT32_MAX, SES_ERR_MALFORMED);
    ses_leaf_segment(&segment, out);
    SES_REQUIRE(memcmp(&segment, &w->segment, sizeof segment) == 0, SES_ERR_MALFORMED);
    SES_REQUIRE(forest_compare(w->path, w->leaf, w->depth) == 0, SES_ERR_MALFORMED);
    return SES_OK;
}

/* ---- a range of keys ---- */

/* A list of shown items in ascending order, with closed parts between them. A closed part is
 * fenced off from a range if the item shown before it is above, or the one after it below. */
struct fence {
    bool above;   /* the last item was above the range */
    bool waiting; /* for an item below it: something closed came by */
};

static void fence_closed(struct fence *f)
{
    f->waiting |= !f->above;
}

/* `low` and `high`: how the item compares to both ends. */
static enum ses_err fence_shown(struct fence *f, int low, int high)
{
    SES_REQUIRE(!f->waiting || low < 0, SES_ERR_CLOSED);
    f->waiting = false;
    f->above = high > 0;
    return SES_OK;
}

struct finder {
    const struct ses_forest_range *range;
    struct fence segments;
    struct fence leaves;
    const uint8_t *before; /* the bucket's last leaf that was shown; NULL if none was */
    bool here;             /* in the range's segment */
    bool near;             /* in a bucket that keys of the range may be in */
    struct ses_leaf *out;
    size_t max;
    size_t cnt;
};

/* Whether keys that begin with the walk's path may be in the range. */
static bool path_meets(const struct finder *f, const struct walk *w, unsigned depth)
{
    return f->here && forest_compare(f->range->low.bytes, w->path, depth) <= 0 &&
           forest_compare(w->path, f->range->high.bytes, depth) <= 0;
}

/* As path_meets, for each of the children that the walk passed by. */
static bool children_meet(const struct finder *f, const struct walk *w)
{
    uint8_t path[SES_LEAF_KEY_BYTES];
    const unsigned shift = w->depth % 2 == 0 ? 4 : 0;
    memcpy(path, w->path, sizeof path);
    for (unsigned n = 0; n < 16 && f->here; n++) {
        uint8_t *byte = &path[w->depth / 2];
        *byte = (uint8_t)((*byte & (0xf0u >> shift)) | n << shift);
        if ((w->nibbles >> n & 1) != 0 &&
            forest_compare(f->range->low.bytes, path, w->depth + 1) <= 0 &&
            forest_compare(path, f->range->high.bytes, w->depth + 1) <= 0) {
            return true;
        }
    }
    return false;
}

static enum ses_err find_segment(struct finder *f, const struct walk *w)
{
    const int order = memcmp(&w->segment, &f->range->segment, sizeof w->segment);
    f->here = order == 0;
    return fence_shown(&f->segments, order, order);
}

static enum ses_err find_leaf(struct finder *f, const struct walk *w)
{
    if (!f->near) {
        return SES_OK;
    }
    const int low = memcmp(w->leaf, f->range->low.bytes, SES_LEAF_KEY_BYTES);
    const int high = memcmp(w->leaf, f->range->high.bytes, SES_LEAF_KEY_BYTES);
    SES_REQUIRE(f->before == NULL || memcmp(f->before, w->leaf, SES_LEAF_KEY_BYTES) < 0,
                SES_ERR_MALFORMED);
    f->before = w->leaf;
    SES_TRY(fence_shown(&f->leaves, low, high));
    if (low >= 0 && high <= 0) {
        struct ses_leaf leaf;
        SES_TRY(leaf_placed(w, &leaf));
        if (f->cnt < f->max) {
            f->out[f->cnt] = leaf;
        }
        f->cnt++;
    }
    return SES_OK;
}

static enum ses_err find_event(struct finder *f, const struct walk *w, enum walk_event event)
{
    switch (event) {
    case WALK_SEGMENTS_CLOSED:
        fence_closed(&f->segments);
        return SES_OK;
    case WALK_SEGMENT:
        return find_segment(f, w);
    case WALK_TRIE_CLOSED:
        return path_meets(f, w, w->depth) ? SES_ERR_CLOSED : SES_OK;
    case WALK_CHILDREN_CLOSED:
        return children_meet(f, w) ? SES_ERR_CLOSED : SES_OK;
    case WALK_BUCKET:
        f->near = path_meets(f, w, w->depth);
        f->leaves = (struct fence){0};
        f->before = NULL;
        return SES_OK;
    case WALK_LEAVES_CLOSED:
        fence_closed(&f->leaves);
        return SES_OK;
    case WALK_LEAF:
        return find_leaf(f, w);
    case WALK_BUCKET_END:
        return f->near && f->leaves.waiting ? SES_ERR_CLOSED : SES_OK;
    case WALK_SEGMENT_END:
        f->here = false;
        return SES_OK;
    case WALK_END:
        return f->segments.waiting ? SES_ERR_CLOSED : SES_OK;
    }
    return SES_ERR_MALFORMED;
}

static enum ses_err find(struct finder *f, const struct ses_opened *opened)
{
    struct walk w;
    enum walk_event event;
    walk_begin(&w, opened->proof, opened->len, false);
    do {
        SES_TRY(walk_next(&w, &event));
        SES_TRY(find_event(f, &w, event));
    } while (event != WALK_END);
    return SES_OK;
}

enum ses_err ses_opened_range(const struct ses_opened *opened, const struct ses_forest_range *range,
                              struct ses_leaf *leaves, size_t *cnt)
{
    struct finder f = {.range = range, .out = leaves, .max = *cnt};
    *cnt = 0;
    const enum ses_err err = find(&f, opened);
    if (err != SES_OK) { /* leaves of an answer that does not hold are none */
        memset(leaves, 0, (f.cnt < f.max ? f.cnt : f.max) * sizeof *leaves);
        return err;
    }
    *cnt = f.cnt;
    return f.cnt <= f.max ? SES_OK : SES_ERR_FULL;
}

enum ses_err ses_opened_key(const struct ses_opened *opened, const struct ses_segment_id *segment,
                            const struct ses_leaf_key *key, bool *present, struct ses_leaf *leaf)
{
    struct ses_forest_range range;
    size_t cnt = 1;
    *present = false;
    memset(leaf, 0, sizeof *leaf);
    ses_forest_range_key(&range, segment, key);
    SES_TRY(ses_opened_range(opened, &range, leaf, &cnt));
    *present = cnt == 1;
    return SES_OK;
}

/* ---- a position ---- */

enum ses_err ses_opened_at(const struct ses_opened *opened, uint64_t position,
                           struct ses_segment_id *segment, struct ses_leaf *leaf)
{
    struct walk w;
    enum walk_event event;
    memset(leaf, 0, sizeof *leaf);
    *segment = (struct ses_segment_id){0};
    walk_begin(&w, opened->proof, opened->len, false);
    do {
        SES_TRY(walk_next(&w, &event));
        const bool closed = event == WALK_SEGMENTS_CLOSED || event == WALK_TRIE_CLOSED ||
                            event == WALK_CHILDREN_CLOSED || event == WALK_LEAVES_CLOSED;
        const uint64_t count = closed ? w.count : event == WALK_LEAF;
        SES_REQUIRE(!closed || position >= count, SES_ERR_CLOSED);
        if (position < count) {
            *segment = w.segment;
            const enum ses_err err = leaf_placed(&w, leaf);
            if (err != SES_OK) {
                memset(leaf, 0, sizeof *leaf);
            }
            return err;
        }
        position -= count;
    } while (event != WALK_END);
    return SES_ERR_NOT_FOUND;
}
