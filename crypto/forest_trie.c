/* Changing a trie: one leaf at a time, or all of them at once from a sorted list. Only the shape
 * is made here; sums are settled when somebody asks (forest_sum.c). */
#include <string.h>

#include "crypto/forest_internal.h"

enum ses_err ses_forest_trie_new(struct ses_forest_trie **out, struct ses_forest_pool *pool,
                                 const struct ses_segment_id *segment)
{
    struct ses_forest_trie *trie = ses_alloc(1, sizeof *trie);
    *out = trie;
    SES_REQUIRE(trie != NULL, SES_ERR_MEMORY);
    trie->pool = pool;
    trie->segment = *segment;
    return SES_OK;
}

static void bucket_free(struct ses_forest_pool *pool, struct forest_node *bucket)
{
    while (bucket->first != NULL) {
        struct forest_leaf *leaf = bucket->first;
        bucket->first = leaf->next;
        forest_pool_give(pool, FOREST_LEAF, leaf);
    }
    forest_pool_give(pool, FOREST_BUCKET, bucket);
}

/* Takes the children off one by one, so that what is left is always a whole trie. */
static void nodes_free(struct ses_forest_pool *pool, struct forest_node *root)
{
    struct forest_branch *stack[FOREST_DEPTH_MAX] = {NULL};
    unsigned used = 0;
    struct forest_node *at = root;
    while (at != NULL || used > 0) {
        if (at == NULL) { /* the next child of the branch on top */
            struct forest_branch *top = stack[used - 1];
            for (unsigned n = 0; n < 16 && at == NULL; n++) {
                at = top->children[n];
                top->children[n] = NULL;
            }
            if (at == NULL) {
                forest_pool_give(pool, FOREST_BRANCH, top);
                used--;
            }
        } else if (at->branch) {
            SES_ASSERT(used < FOREST_DEPTH_MAX);
            stack[used++] = forest_as_branch(at);
            at = NULL;
        } else {
            bucket_free(pool, at);
            at = NULL;
        }
    }
}

void ses_forest_trie_free(struct ses_forest_trie *trie)
{
    if (trie != NULL) {
        nodes_free(trie->pool, trie->root);
        ses_free(trie);
    }
}

uint64_t ses_forest_trie_count(const struct ses_forest_trie *trie)
{
    return trie->count;
}

void ses_forest_trie_sum(struct ses_forest_trie *trie, struct ses_sum *out)
{
    forest_trie_settle(trie);
    *out = trie->root != NULL ? trie->root->sum : (struct ses_sum){0};
}

/* ---- nodes ---- */

/* The bucket of a list of leaves. */
static struct forest_node *bucket_new(struct ses_forest_pool *pool, struct forest_leaf *first,
                                      unsigned leaf_cnt)
{
    struct forest_node *bucket = forest_pool_take(pool, FOREST_BUCKET);
    SES_ASSERT(leaf_cnt <= FOREST_BUCKET_MAX);
    bucket->dirty = true;
    bucket->leaf_cnt = (uint8_t)leaf_cnt;
    bucket->first = first;
    return bucket;
}

static struct forest_branch *branch_new(struct ses_forest_pool *pool, unsigned depth, unsigned end,
                                        struct forest_leaf *below)
{
    struct forest_branch *branch = forest_pool_take(pool, FOREST_BRANCH);
    SES_ASSERT(depth <= end && end < SES_LEAF_NIBBLES);
    branch->node.branch = true;
    branch->node.dirty = true;
    branch->node.depth = (uint8_t)depth;
    branch->node.end = (uint8_t)end;
    branch->node.first = below;
    return branch;
}

static struct forest_leaf *leaf_new(struct ses_forest_pool *pool, const uint8_t *bytes)
{
    struct forest_leaf *leaf = forest_pool_take(pool, FOREST_LEAF);
    memcpy(leaf->bytes, bytes, sizeof leaf->bytes);
    return leaf;
}

/* ---- one leaf ---- */

static struct forest_node *bucket_of_one(struct ses_forest_pool *pool, const uint8_t *bytes)
{
    return bucket_new(pool, leaf_new(pool, bytes), 1);
}

/* The key leaves the branch within its skip, at nibble `at`: a new branch above it. */
static void branch_above(struct ses_forest_pool *pool, struct forest_node **slot,
                         const uint8_t *bytes, unsigned at)
{
    struct forest_node *low = *slot;
    struct forest_branch *high = branch_new(pool, low->depth, at, low->first);
    low->depth = (uint8_t)(at + 1);
    low->dirty = true; /* its skip is shorter */
    high->children[forest_nibble(low->first->bytes, at)] = low;
    high->children[forest_nibble(bytes, at)] = bucket_of_one(pool, bytes);
    *slot = &high->node;
}

/* Hands more leaves than a bucket takes to the children of a new branch. They are sorted and
 * differ, so that no child gets all of them. */
static void bucket_split(struct ses_forest_pool *pool, struct forest_node **slot, unsigned depth)
{
    struct forest_node *bucket = *slot;
    struct forest_leaf *leaf = bucket->first;
    const struct forest_leaf *last = leaf;
    while (last->next != NULL) {
        last = last->next;
    }
    const unsigned end = forest_differ(leaf->bytes, last->bytes, depth, SES_LEAF_NIBBLES);
    struct forest_branch *branch = branch_new(pool, depth, end, leaf);
    struct forest_node *child = bucket; /* until the first leaf makes one */
    struct forest_leaf **tail = &child->first;
    while (leaf != NULL) {
        struct forest_leaf *next = leaf->next;
        const unsigned nibble = forest_nibble(leaf->bytes, end);
        if (branch->children[nibble] == NULL) {
            child = bucket_new(pool, NULL, 0);
            branch->children[nibble] = child;
            tail = &child->first;
        }
        leaf->next = NULL;
        *tail = leaf;
        tail = &leaf->next;
        child->leaf_cnt++;
        leaf = next;
    }
    forest_pool_give(pool, FOREST_BUCKET, bucket);
    *slot = &branch->node;
}

enum put { PUT_SAME, PUT_REPLACED, PUT_NEW };

static enum put bucket_put(struct ses_forest_pool *pool, struct forest_node **slot,
                           const uint8_t *bytes, unsigned depth)
{
    struct forest_node *bucket = *slot;
    struct forest_leaf **at = &bucket->first;
    int order = 1;
    while (*at != NULL && (order = memcmp((*at)->bytes, bytes, SES_LEAF_KEY_BYTES)) < 0) {
        at = &(*at)->next;
    }
    if (*at != NULL && order == 0) {
        if (memcmp((*at)->bytes, bytes, SES_LEAF_BYTES) == 0) {
            return PUT_SAME;
        }
        memcpy((*at)->bytes, bytes, SES_LEAF_BYTES);
        bucket->dirty = true;
        return PUT_REPLACED;
    }
    struct forest_leaf *leaf = leaf_new(pool, bytes);
    leaf->next = *at;
    *at = leaf;
    bucket->leaf_cnt++;
    bucket->dirty = true;
    if (bucket->leaf_cnt > FOREST_BUCKET_MAX) {
        bucket_split(pool, slot, depth);
    }
    return PUT_NEW;
}

/* Marks what is above a change. */
static void path_dirty(struct forest_node *const *path, unsigned cnt)
{
    for (unsigned i = 0; i < cnt; i++) {
        path[i]->dirty = true;
    }
}

static enum put put(struct ses_forest_trie *trie, const uint8_t *bytes)
{
    struct forest_node *path[FOREST_DEPTH_MAX];
    unsigned path_cnt = 0;
    unsigned depth = 0;
    struct forest_node **slot = &trie->root;
    enum put done = PUT_NEW;
    while (*slot != NULL && (*slot)->branch) {
        const unsigned end = (*slot)->end;
        const unsigned at = forest_differ((*slot)->first->bytes, bytes, depth, end);
        if (at != end) {
            branch_above(trie->pool, slot, bytes, at);
            path_dirty(path, path_cnt);
            return PUT_NEW;
        }
        path[path_cnt++] = *slot;
        slot = &forest_as_branch(*slot)->children[forest_nibble(bytes, end)];
        depth = end + 1;
    }
    if (*slot == NULL) {
        *slot = bucket_of_one(trie->pool, bytes);
    } else {
        done = bucket_put(trie->pool, slot, bytes, depth);
    }
    if (done != PUT_SAME) {
        path_dirty(path, path_cnt);
    }
    return done;
}

static enum ses_err leaf_belongs(const struct ses_forest_trie *trie, const struct ses_leaf *leaf)
{
    struct ses_segment_id segment;
    SES_TRY(ses_leaf_validate(leaf));
    ses_leaf_segment(&segment, leaf);
    SES_REQUIRE(memcmp(&segment, &trie->segment, sizeof segment) == 0, SES_ERR_INVALID);
    return SES_OK;
}

enum ses_err ses_forest_trie_put(struct ses_forest_trie *trie, const struct ses_leaf *leaf)
{
    uint8_t bytes[SES_LEAF_BYTES];
    SES_TRY(leaf_belongs(trie, leaf));
    /* the most that one leaf can need: a split hands 17 leaves to 16 buckets at most */
    SES_TRY(forest_pool_reserve(trie->pool, 1, 16, 1));
    ses_leaf_encode(bytes, leaf);
    trie->count += put(trie, bytes) == PUT_NEW;
    return SES_OK;
}

/* ---- all at once ---- */

/* Leaves that are still to be handed to the children of a branch. */
struct build {
    struct forest_branch *branch;
    struct forest_leaf *first;
    size_t cnt;
};

/* How many leaves from `first` on have the same nibble at `at`; *next is the one behind them. */
static size_t group(struct forest_leaf *first, struct forest_leaf **last, size_t cnt, unsigned at)
{
    const unsigned nibble = forest_nibble(first->bytes, at);
    size_t found = 1;
    *last = first;
    while (found < cnt && forest_nibble((*last)->next->bytes, at) == nibble) {
        *last = (*last)->next;
        found++;
    }
    return found;
}

/* A node of `cnt` linked leaves whose last one is `last`. A bucket ends its list; a branch leaves
 * its leaves to be handed out. */
static enum ses_err build_node(struct forest_node **out, struct ses_forest_pool *pool,
                               struct forest_leaf *first, struct forest_leaf *last, size_t cnt,
                               unsigned depth)
{
    *out = NULL;
    SES_TRY(forest_pool_reserve(pool, 0, 1, 1));
    if (cnt <= FOREST_BUCKET_MAX) {
        last->next = NULL;
        *out = bucket_new(pool, first, (unsigned)cnt);
        return SES_OK;
    }
    const unsigned end = forest_differ(first->bytes, last->bytes, depth, SES_LEAF_NIBBLES);
    *out = &branch_new(pool, depth, end, first)->node;
    return SES_OK;
}

static void list_free(struct ses_forest_pool *pool, struct forest_leaf *first, size_t cnt)
{
    for (; cnt > 0; cnt--) {
        struct forest_leaf *next = first->next;
        forest_pool_give(pool, FOREST_LEAF, first);
        first = next;
    }
}

/* Hands out the next group of leaves of the branch on top of the stack. */
static enum ses_err build_step(struct ses_forest_pool *pool, struct build *stack, unsigned *used)
{
    struct build *top = &stack[*used - 1];
    const unsigned end = top->branch->node.end;
    struct forest_leaf *first = top->first;
    struct forest_leaf *last;
    const size_t cnt = group(first, &last, top->cnt, end);
    struct forest_leaf *next = last->next;
    struct forest_node *child;
    SES_TRY(build_node(&child, pool, first, last, cnt, end + 1));
    top->branch->children[forest_nibble(first->bytes, end)] = child;
    top->first = next;
    top->cnt -= cnt;
    if (child->branch) {
        SES_ASSERT(*used < FOREST_DEPTH_MAX);
        stack[(*used)++] =
            (struct build){.branch = forest_as_branch(child), .first = first, .cnt = cnt};
    }
    return SES_OK;
}

/* On an error the leaves that no bucket holds yet go back to the pool; the rest is a trie. */
static enum ses_err build(struct ses_forest_trie *trie, struct forest_leaf *first,
                          struct forest_leaf *last, size_t cnt)
{
    struct build stack[FOREST_DEPTH_MAX];
    unsigned used = 0;
    enum ses_err err = build_node(&trie->root, trie->pool, first, last, cnt, 0);
    if (err != SES_OK) {
        list_free(trie->pool, first, cnt);
        return err;
    }
    if (trie->root->branch) {
        stack[used++] =
            (struct build){.branch = forest_as_branch(trie->root), .first = first, .cnt = cnt};
    }
    while (used > 0 && err == SES_OK) {
        if (stack[used - 1].cnt == 0) {
            used--;
        } else {
            err = build_step(trie->pool, stack, &used);
        }
    }
    while (used > 0) {
        used--;
        list_free(trie->pool, stack[used].first, stack[used].cnt);
    }
    return err;
}

static enum ses_err leaves_check(const struct ses_forest_trie *trie, const struct ses_leaf *leaves,
                                 size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        SES_REQUIRE(leaf_belongs(trie, &leaves[i]) == SES_OK, SES_ERR_INVALID);
        SES_REQUIRE(i == 0 || ses_leaf_key_compare(&leaves[i - 1].key, &leaves[i].key) < 0,
                    SES_ERR_INVALID);
    }
    return SES_OK;
}

static enum ses_err fill(struct ses_forest_trie *trie, const struct ses_leaf *leaves, size_t cnt)
{
    uint8_t bytes[SES_LEAF_BYTES];
    struct forest_leaf *first = NULL;
    struct forest_leaf *last = NULL;
    SES_TRY(leaves_check(trie, leaves, cnt));
    SES_TRY(forest_pool_reserve(trie->pool, cnt, 0, 0));
    for (size_t i = 0; i < cnt; i++) {
        ses_leaf_encode(bytes, &leaves[i]);
        struct forest_leaf *leaf = leaf_new(trie->pool, bytes);
        if (last == NULL) {
            first = leaf;
        } else {
            last->next = leaf;
        }
        last = leaf;
    }
    trie->count = cnt;
    return cnt > 0 ? build(trie, first, last, cnt) : SES_OK;
}

enum ses_err ses_forest_trie_build(struct ses_forest_trie **out, struct ses_forest_pool *pool,
                                   const struct ses_segment_id *segment,
                                   const struct ses_leaf *leaves, size_t cnt)
{
    SES_TRY(ses_forest_trie_new(out, pool, segment));
    const enum ses_err err = fill(*out, leaves, cnt);
    if (err != SES_OK) {
        ses_forest_trie_free(*out);
        *out = NULL;
    }
    return err;
}
