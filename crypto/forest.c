/* The segments of a forest and its root. The elements of the segments and the inner nodes of MS
 * over them are kept, level by level, so that one changed segment costs one way to the root. */
#include <string.h>

#include "crypto/forest_internal.h"

#define LEVELS_MAX 17u /* of 65535 segments */
_Static_assert(SES_FOREST_SEGMENTS_MAX < 1u << (LEVELS_MAX - 1), "levels of MS");

struct slot {
    struct ses_segment_id id;
    struct ses_sum sum;
    struct ses_forest_trie *trie;
};

struct ses_forest {
    struct ses_forest_pool *pool;
    struct slot *slots; /* by id */
    size_t slot_cnt;
    size_t slot_cap;
    struct ses_sum *sums; /* level 0: one element a segment; each next level joins pairs */
    size_t level_at[LEVELS_MAX];
    uint16_t *open; /* indices of the slots with a trie */
    size_t open_cnt;
    bool stale; /* segments came, went, or were opened or sealed since all this was made */
};

enum ses_err ses_forest_new(struct ses_forest **out, struct ses_forest_pool *pool)
{
    struct ses_forest *forest = ses_alloc(1, sizeof *forest);
    *out = forest;
    SES_REQUIRE(forest != NULL, SES_ERR_MEMORY);
    forest->pool = pool;
    return SES_OK;
}

void ses_forest_free(struct ses_forest *forest)
{
    if (forest == NULL) {
        return;
    }
    for (size_t i = 0; i < forest->slot_cnt; i++) {
        ses_forest_trie_free(forest->slots[i].trie);
    }
    ses_free(forest->slots);
    ses_free(forest->sums);
    ses_free(forest->open);
    ses_free(forest);
}

/* ---- the list of segments ---- */

bool ses_forest_find(const struct ses_forest *forest, const struct ses_segment_id *segment,
                     size_t *index)
{
    size_t low = 0;
    size_t high = forest->slot_cnt;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (memcmp(&forest->slots[mid].id, segment, sizeof *segment) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *index = low;
    return low < forest->slot_cnt && memcmp(&forest->slots[low].id, segment, sizeof *segment) == 0;
}

/* Sums and slots have room for one segment more: MS over n elements has less than 2n + LEVELS_MAX
 * nodes when an odd last one is handed up as a copy. */
static enum ses_err reserve(struct ses_forest *forest)
{
    SES_REQUIRE(forest->slot_cnt < SES_FOREST_SEGMENTS_MAX, SES_ERR_FULL);
    if (forest->slot_cnt < forest->slot_cap) {
        return SES_OK;
    }
    const size_t cap = forest->slot_cap < 16 ? 16 : 2 * forest->slot_cap;
    struct slot *slots = ses_realloc(forest->slots, cap, sizeof *slots);
    SES_REQUIRE(slots != NULL, SES_ERR_MEMORY);
    forest->slots = slots;
    struct ses_sum *sums = ses_realloc(forest->sums, 2 * cap + LEVELS_MAX, sizeof *sums);
    SES_REQUIRE(sums != NULL, SES_ERR_MEMORY);
    forest->sums = sums;
    uint16_t *open = ses_realloc(forest->open, cap, sizeof *open);
    SES_REQUIRE(open != NULL, SES_ERR_MEMORY);
    forest->open = open;
    forest->slot_cap = cap;
    return SES_OK;
}

static struct slot *slot_insert(struct ses_forest *forest, size_t index,
                                const struct ses_segment_id *segment)
{
    struct slot *slot = &forest->slots[index];
    SES_ASSERT(forest->slot_cnt < forest->slot_cap && index <= forest->slot_cnt);
    memmove(slot + 1, slot, (forest->slot_cnt - index) * sizeof *slot);
    *slot = (struct slot){.id = *segment};
    forest->slot_cnt++;
    forest->stale = true;
    return slot;
}

static enum ses_err put_new(struct ses_forest *forest, size_t index,
                            const struct ses_segment_id *segment, const struct ses_leaf *leaf)
{
    struct ses_forest_trie *trie;
    SES_TRY(reserve(forest));
    SES_TRY(ses_forest_trie_new(&trie, forest->pool, segment));
    const enum ses_err err = ses_forest_trie_put(trie, leaf);
    if (err != SES_OK) {
        ses_forest_trie_free(trie);
        return err;
    }
    slot_insert(forest, index, segment)->trie = trie;
    return SES_OK;
}

enum ses_err ses_forest_put(struct ses_forest *forest, const struct ses_leaf *leaf)
{
    struct ses_segment_id segment;
    size_t index;
    SES_TRY(ses_leaf_validate(leaf));
    ses_leaf_segment(&segment, leaf);
    if (!ses_forest_find(forest, &segment, &index)) {
        return put_new(forest, index, &segment, leaf);
    }
    struct slot *slot = &forest->slots[index];
    SES_REQUIRE(slot->trie != NULL, SES_ERR_AGAIN);
    return ses_forest_trie_put(slot->trie, leaf);
}

enum ses_err ses_forest_add_sum(struct ses_forest *forest, const struct ses_segment_id *segment,
                                const struct ses_sum *sum)
{
    size_t index;
    SES_REQUIRE(sum->count > 0, SES_ERR_INVALID);
    SES_REQUIRE(!ses_forest_find(forest, segment, &index), SES_ERR_EXISTS);
    SES_TRY(reserve(forest));
    slot_insert(forest, index, segment)->sum = *sum;
    return SES_OK;
}

static bool same_sum(const struct ses_sum *a, const struct ses_sum *b)
{
    return memcmp(&a->hash, &b->hash, sizeof a->hash) == 0 && a->count == b->count &&
           a->bytes == b->bytes;
}

enum ses_err ses_forest_add_trie(struct ses_forest *forest, struct ses_forest_trie *trie)
{
    struct ses_sum sum;
    size_t index;
    SES_REQUIRE(trie->count > 0 && trie->pool == forest->pool, SES_ERR_INVALID);
    ses_forest_trie_sum(trie, &sum);
    if (ses_forest_find(forest, &trie->segment, &index)) {
        SES_REQUIRE(forest->slots[index].trie == NULL, SES_ERR_EXISTS);
        SES_REQUIRE(same_sum(&forest->slots[index].sum, &sum), SES_ERR_CHECKSUM);
    } else {
        SES_TRY(reserve(forest));
        slot_insert(forest, index, &trie->segment)->sum = sum;
    }
    forest->slots[index].trie = trie;
    forest->stale = true;
    return SES_OK;
}

void ses_forest_seal(struct ses_forest *forest, const struct ses_segment_id *segment)
{
    size_t index;
    if (ses_forest_find(forest, segment, &index) && forest->slots[index].trie != NULL) {
        struct slot *slot = &forest->slots[index];
        ses_forest_trie_sum(slot->trie, &slot->sum);
        ses_forest_trie_free(slot->trie);
        slot->trie = NULL;
        forest->stale = true;
    }
}

void ses_forest_drop(struct ses_forest *forest, const struct ses_segment_id *segment)
{
    size_t index;
    if (ses_forest_find(forest, segment, &index)) {
        struct slot *slot = &forest->slots[index];
        ses_forest_trie_free(slot->trie);
        forest->slot_cnt--;
        memmove(slot, slot + 1, (forest->slot_cnt - index) * sizeof *slot);
        forest->stale = true;
    }
}

size_t ses_forest_segment_cnt(const struct ses_forest *forest)
{
    return forest->slot_cnt;
}

void ses_forest_segment(struct ses_forest *forest, size_t index, struct ses_forest_segment *out)
{
    SES_ASSERT(index < forest->slot_cnt);
    const struct slot *slot = &forest->slots[index];
    *out = (struct ses_forest_segment){.id = slot->id, .sum = slot->sum, .trie = slot->trie};
    if (slot->trie != NULL) {
        ses_forest_trie_sum(slot->trie, &out->sum);
    }
}

/* ---- sums ---- */

/* Joins the pair below node `index` of level `level`, which has `below_cnt` nodes below it. */
static void node_join(struct ses_forest *forest, size_t level, size_t index, size_t below_cnt)
{
    const struct ses_sum *below = forest->sums + forest->level_at[level - 1] + 2 * index;
    struct ses_sum *node = forest->sums + forest->level_at[level] + index;
    if (2 * index + 1 < below_cnt) {
        forest_join(node, below, below + 1);
    } else {
        *node = below[0];
    }
}

static void element_make(struct ses_forest *forest, size_t index)
{
    struct slot *slot = &forest->slots[index];
    if (slot->trie != NULL) {
        ses_forest_trie_sum(slot->trie, &slot->sum);
    }
    forest_segment_element(&forest->sums[index], &slot->id, &slot->sum);
}

/* One segment changed: its element and the way up. */
static void way_make(struct ses_forest *forest, size_t index)
{
    size_t cnt = forest->slot_cnt;
    element_make(forest, index);
    for (size_t level = 1; cnt > 1; level++) {
        index /= 2;
        node_join(forest, level, index, cnt);
        cnt = cnt / 2 + cnt % 2;
    }
}

static void all_make(struct ses_forest *forest)
{
    size_t level = 0;
    size_t at = 0;
    forest->open_cnt = 0;
    for (size_t i = 0; i < forest->slot_cnt; i++) {
        element_make(forest, i);
        if (forest->slots[i].trie != NULL) {
            forest->open[forest->open_cnt++] = (uint16_t)i;
        }
    }
    for (size_t cnt = forest->slot_cnt; cnt > 1; cnt = cnt / 2 + cnt % 2) {
        forest->level_at[level++] = at;
        at += cnt;
        SES_ASSERT(level < LEVELS_MAX);
        forest->level_at[level] = at;
        for (size_t i = 0; i < cnt / 2 + cnt % 2; i++) {
            node_join(forest, level, i, cnt);
        }
    }
    forest->stale = false;
}

/* A trie may have been changed, and even settled, through the view that ses_forest_segment gives;
 * so what counts is what stands in it. */
static bool slot_changed(const struct slot *slot)
{
    const struct forest_node *root = slot->trie->root;
    return root->dirty || !same_sum(&root->sum, &slot->sum);
}

void forest_settle(struct ses_forest *forest)
{
    if (forest->stale) {
        all_make(forest);
        return;
    }
    for (size_t i = 0; i < forest->open_cnt; i++) {
        if (slot_changed(&forest->slots[forest->open[i]])) {
            way_make(forest, forest->open[i]);
        }
    }
}

const struct ses_sum *forest_range_sum(const struct ses_forest *forest, size_t from, size_t cnt)
{
    SES_ASSERT(cnt > 0 && cnt <= forest->slot_cnt && from <= forest->slot_cnt - cnt);
    size_t level = 0;
    while ((size_t)1 << level < cnt) {
        level++;
    }
    return &forest->sums[(level > 0 ? forest->level_at[level] : 0) + (from >> level)];
}

void ses_forest_sum(struct ses_forest *forest, struct ses_sum *out)
{
    forest_settle(forest);
    *out =
        forest->slot_cnt > 0 ? *forest_range_sum(forest, 0, forest->slot_cnt) : (struct ses_sum){0};
}

void ses_forest_root_of(struct ses_hash *out, uint32_t swarm, uint64_t epoch,
                        const struct ses_sum *sum)
{
    uint8_t bytes[28];
    ses_put_u32(bytes, swarm);
    ses_put_u64(bytes + 4, epoch);
    ses_put_u64(bytes + 12, sum->count);
    ses_put_u64(bytes + 20, sum->bytes);
    ses_b(out, SES_TAG_ROOT,
          SES_PARTS(SES_PART(bytes, sizeof bytes), SES_PART(sum->hash.bytes, 32)));
}

void ses_forest_root(struct ses_forest *forest, struct ses_hash *out, uint32_t swarm,
                     uint64_t epoch)
{
    struct ses_sum sum;
    ses_forest_sum(forest, &sum);
    ses_forest_root_of(out, swarm, epoch, &sum);
}

enum ses_err ses_forest_at(struct ses_forest *forest, uint64_t position,
                           struct ses_segment_id *segment, struct ses_leaf *out)
{
    memset(out, 0, sizeof *out);
    forest_settle(forest);
    for (size_t i = 0; i < forest->slot_cnt; i++) {
        const struct slot *slot = &forest->slots[i];
        if (position < slot->sum.count) {
            *segment = slot->id;
            SES_REQUIRE(slot->trie != NULL, SES_ERR_AGAIN);
            SES_ASSERT(ses_forest_trie_at(slot->trie, position, out));
            return SES_OK;
        }
        position -= slot->sum.count;
    }
    return SES_ERR_NOT_FOUND;
}
