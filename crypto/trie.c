/* Versions of the state trie. A change copies the branches on its way (once per version) and its
 * bucket; shapes and hashes are settled at the end, bottom up, over the dirty nodes only. So a
 * batch hashes each changed node once, and the result depends on the set alone. */
#include <string.h>

#include "crypto/trie_internal.h"

unsigned trie_differ(const struct ses_hash *a, const struct ses_hash *b, unsigned from, unsigned to)
{
    while (from < to && trie_nibble(a, from) == trie_nibble(b, from)) {
        from++;
    }
    return from;
}

unsigned trie_bucket_find(const struct trie_bucket *bucket, const struct ses_hash *key)
{
    unsigned at = 0;
    while (at < bucket->node.leaf_cnt && memcmp(&bucket->leaves[at].key, key, sizeof *key) < 0) {
        at++;
    }
    return at;
}

bool trie_bucket_has(const struct trie_bucket *bucket, unsigned at, const struct ses_hash *key)
{
    return at < bucket->node.leaf_cnt && memcmp(&bucket->leaves[at].key, key, sizeof *key) == 0;
}

/* ---- reading ---- */

void ses_trie_root(const struct ses_trie *trie, struct ses_hash *out)
{
    *out = trie != NULL ? trie->hash : (struct ses_hash){0};
}

bool ses_trie_get(const struct ses_trie *trie, const struct ses_hash *key, struct ses_hash *value)
{
    while (trie != NULL && trie_is_branch(trie)) {
        if (trie_differ(&trie_as_branch(trie)->key, key, trie->depth, trie->end) != trie->end) {
            return false;
        }
        trie = trie_as_branch(trie)->children[trie_nibble(key, trie->end)];
    }
    if (trie == NULL) {
        return false;
    }
    const unsigned at = trie_bucket_find(trie_as_bucket(trie), key);
    if (!trie_bucket_has(trie_as_bucket(trie), at, key)) {
        return false;
    }
    if (value != NULL) {
        *value = trie_as_bucket(trie)->leaves[at].value;
    }
    return true;
}

/* ---- one change ---- */

/* Puts `node` where `slot` points, in place of what was there. */
static void replace(struct ses_trie_pool *pool, const struct ses_trie **slot,
                    const struct ses_trie *node)
{
    const struct ses_trie *old = *slot;
    *slot = node;
    ses_trie_unref(pool, old);
}

/* Makes the branch in `slot` one that may be changed: itself if it is dirty, else a copy. */
static enum ses_err branch_open(struct trie_branch **out, struct ses_trie_pool *pool,
                                const struct ses_trie **slot)
{
    const struct trie_branch *old = trie_as_branch(*slot);
    *out = (struct trie_branch *)(uintptr_t)old;
    if (old->node.dirty) {
        return SES_OK;
    }
    struct trie_branch *copy = trie_branch_new(pool);
    SES_REQUIRE(copy != NULL, SES_ERR_MEMORY);
    copy->node.depth = old->node.depth;
    copy->node.end = old->node.end;
    copy->key = old->key;
    for (unsigned i = 0; i < 16; i++) {
        copy->children[i] = old->children[i];
        ses_trie_ref(copy->children[i]);
    }
    replace(pool, slot, &copy->node);
    *out = copy;
    return SES_OK;
}

static enum ses_err bucket_of_one(struct ses_trie_pool *pool, const struct ses_trie **slot,
                                  const struct trie_leaf *leaf)
{
    struct trie_bucket *bucket = trie_bucket_new(pool, 1);
    SES_REQUIRE(bucket != NULL, SES_ERR_MEMORY);
    bucket->leaves[0] = *leaf;
    replace(pool, slot, &bucket->node);
    return SES_OK;
}

/* Distributes more leaves than a bucket takes over the children of a new branch. They are sorted
 * and differ, so that no child gets all of them. */
static enum ses_err split_bucket(struct ses_trie_pool *pool, const struct ses_trie **slot,
                                 const struct trie_leaf *leaves, unsigned leaf_cnt, unsigned depth)
{
    struct trie_branch *branch = trie_branch_new(pool);
    SES_REQUIRE(branch != NULL, SES_ERR_MEMORY);
    const unsigned end =
        trie_differ(&leaves[0].key, &leaves[leaf_cnt - 1].key, depth, TRIE_NIBBLES);
    SES_ASSERT(end < TRIE_NIBBLES);
    branch->node.depth = (uint8_t)depth;
    branch->node.end = (uint8_t)end;
    branch->key = leaves[0].key;
    replace(pool, slot, &branch->node);
    for (unsigned from = 0; from < leaf_cnt;) {
        const unsigned nibble = trie_nibble(&leaves[from].key, end);
        unsigned to = from + 1;
        while (to < leaf_cnt && trie_nibble(&leaves[to].key, end) == nibble) {
            to++;
        }
        struct trie_bucket *bucket = trie_bucket_new(pool, to - from);
        SES_REQUIRE(bucket != NULL, SES_ERR_MEMORY);
        memcpy(bucket->leaves, leaves + from, (to - from) * sizeof *leaves);
        branch->children[nibble] = &bucket->node;
        from = to;
    }
    return SES_OK;
}

/* Sets the leaf in the bucket that `slot` holds. */
static enum ses_err bucket_put(struct ses_trie_pool *pool, const struct ses_trie **slot,
                               const struct trie_leaf *leaf, unsigned depth)
{
    const struct trie_bucket *old = trie_as_bucket(*slot);
    struct trie_leaf leaves[TRIE_BUCKET_MAX + 1];
    const unsigned old_cnt = old->node.leaf_cnt;
    const unsigned at = trie_bucket_find(old, &leaf->key);
    const unsigned gone = trie_bucket_has(old, at, &leaf->key);
    const unsigned cnt = old_cnt + 1 - gone;
    memcpy(leaves, old->leaves, at * sizeof *leaves);
    leaves[at] = *leaf;
    memcpy(leaves + at + 1, old->leaves + at + gone, (old_cnt - at - gone) * sizeof *leaves);
    if (cnt > TRIE_BUCKET_MAX) {
        return split_bucket(pool, slot, leaves, cnt, depth);
    }
    struct trie_bucket *bucket = trie_bucket_new(pool, cnt);
    SES_REQUIRE(bucket != NULL, SES_ERR_MEMORY);
    memcpy(bucket->leaves, leaves, cnt * sizeof *leaves);
    replace(pool, slot, &bucket->node);
    return SES_OK;
}

/* The key leaves the branch in `slot` within its skip, at nibble `at`: a new branch above it. */
static enum ses_err branch_above(struct ses_trie_pool *pool, const struct ses_trie **slot,
                                 const struct trie_leaf *leaf, unsigned at)
{
    struct trie_branch *low;
    SES_TRY(branch_open(&low, pool, slot));
    struct trie_branch *high = trie_branch_new(pool);
    SES_REQUIRE(high != NULL, SES_ERR_MEMORY);
    high->node.depth = low->node.depth;
    high->node.end = (uint8_t)at;
    high->key = low->key;
    low->node.depth = (uint8_t)(at + 1);
    high->children[trie_nibble(&low->key, at)] = &low->node;
    *slot = &high->node; /* took over the reference to `low` */
    return bucket_of_one(pool, &high->children[trie_nibble(&leaf->key, at)], leaf);
}

static enum ses_err put(struct ses_trie_pool *pool, const struct ses_trie **slot,
                        const struct trie_leaf *leaf)
{
    unsigned depth = 0;
    while (*slot != NULL && trie_is_branch(*slot)) {
        const unsigned end = (*slot)->end;
        const unsigned at = trie_differ(&trie_as_branch(*slot)->key, &leaf->key, depth, end);
        if (at != end) {
            return branch_above(pool, slot, leaf, at);
        }
        struct trie_branch *branch;
        SES_TRY(branch_open(&branch, pool, slot));
        slot = &branch->children[trie_nibble(&leaf->key, end)];
        depth = end + 1;
    }
    return *slot == NULL ? bucket_of_one(pool, slot, leaf) : bucket_put(pool, slot, leaf, depth);
}

/* Takes a leaf that is there out of its bucket. */
static enum ses_err bucket_cut(struct ses_trie_pool *pool, const struct ses_trie **slot,
                               const struct ses_hash *key)
{
    const struct trie_bucket *old = trie_as_bucket(*slot);
    const unsigned cnt = old->node.leaf_cnt - 1u;
    const unsigned at = trie_bucket_find(old, key);
    if (cnt == 0) {
        replace(pool, slot, NULL);
        return SES_OK;
    }
    struct trie_bucket *bucket = trie_bucket_new(pool, cnt);
    SES_REQUIRE(bucket != NULL, SES_ERR_MEMORY);
    memcpy(bucket->leaves, old->leaves, at * sizeof *old->leaves);
    memcpy(bucket->leaves + at, old->leaves + at + 1, (cnt - at) * sizeof *old->leaves);
    replace(pool, slot, &bucket->node);
    return SES_OK;
}

static enum ses_err cut(struct ses_trie_pool *pool, const struct ses_trie **slot,
                        const struct ses_hash *key)
{
    while (trie_is_branch(*slot)) {
        struct trie_branch *branch;
        SES_TRY(branch_open(&branch, pool, slot));
        slot = &branch->children[trie_nibble(key, branch->node.end)];
    }
    return bucket_cut(pool, slot, key);
}

/* A change that changes nothing must not copy the nodes on its way. */
static enum ses_err change_apply(struct ses_trie_pool *pool, const struct ses_trie **root,
                                 const struct ses_trie_change *change)
{
    struct ses_hash value;
    const bool present = ses_trie_get(*root, &change->key, &value);
    if (change->removed) {
        return present ? cut(pool, root, &change->key) : SES_OK;
    }
    if (present && memcmp(&value, &change->value, sizeof value) == 0) {
        return SES_OK;
    }
    const struct trie_leaf leaf = {.key = change->key, .value = change->value};
    return put(pool, root, &leaf);
}

/* ---- settling ---- */

static void bucket_settle(struct trie_bucket *bucket)
{
    struct ses_hash root;
    trie_leaves_root(&root, bucket->leaves, bucket->node.leaf_cnt);
    trie_bucket_hash(&bucket->node.hash, bucket->node.leaf_cnt, &root);
    bucket->node.dirty = false;
}

static void branch_hash(struct trie_branch *branch)
{
    struct ses_hash hashes[16];
    struct ses_hash root;
    uint16_t bitmap;
    ses_mt(&root, hashes, trie_children(hashes, &bitmap, branch));
    trie_branch_hash(&branch->node.hash, &branch->key, branch->node.depth, branch->node.end, bitmap,
                     &root);
    branch->node.dirty = false;
}

/* So few leaves are left that their branch is a bucket. Its children, settled before it and no
 * larger, are buckets. */
static enum ses_err branch_collapse(struct ses_trie_pool *pool, const struct ses_trie **slot,
                                    unsigned leaf_cnt)
{
    const struct trie_branch *branch = trie_as_branch(*slot);
    struct trie_bucket *bucket = trie_bucket_new(pool, leaf_cnt);
    SES_REQUIRE(bucket != NULL, SES_ERR_MEMORY);
    unsigned cnt = 0;
    for (unsigned i = 0; i < 16; i++) {
        if (branch->children[i] != NULL) {
            const struct trie_bucket *child = trie_as_bucket(branch->children[i]);
            memcpy(bucket->leaves + cnt, child->leaves,
                   child->node.leaf_cnt * sizeof *bucket->leaves);
            cnt += child->node.leaf_cnt;
        }
    }
    SES_ASSERT(cnt == leaf_cnt);
    bucket_settle(bucket);
    replace(pool, slot, &bucket->node);
    return SES_OK;
}

/* The only child left, too large for a bucket, is a branch: it takes its parent's place, with the
 * nibbles between them in its skip. */
static enum ses_err branch_shorten(struct ses_trie_pool *pool, const struct ses_trie **slot,
                                   const struct ses_trie *child)
{
    const uint8_t depth = (*slot)->depth;
    const uint64_t count = child->count;
    struct trie_branch *branch;
    ses_trie_ref(child);
    replace(pool, slot, child);
    /* if our reference is the only one left the copy is needless, but rare enough */
    SES_TRY(branch_open(&branch, pool, slot));
    branch->node.depth = depth;
    branch->node.count = count;
    branch_hash(branch);
    return SES_OK;
}

static enum ses_err branch_settle(struct ses_trie_pool *pool, const struct ses_trie **slot)
{
    struct trie_branch *branch = (struct trie_branch *)(uintptr_t)trie_as_branch(*slot);
    const struct ses_trie *last = NULL;
    unsigned child_cnt = 0;
    uint64_t count = 0;
    for (unsigned i = 0; i < 16; i++) {
        if (branch->children[i] != NULL) {
            last = branch->children[i];
            child_cnt++;
            count += last->count;
        }
    }
    if (count == 0) {
        replace(pool, slot, NULL);
        return SES_OK;
    }
    if (count <= TRIE_BUCKET_MAX) {
        return branch_collapse(pool, slot, (unsigned)count);
    }
    if (child_cnt == 1) {
        return branch_shorten(pool, slot, last);
    }
    branch->node.count = count;
    branch_hash(branch);
    return SES_OK;
}

static bool is_dirty(const struct ses_trie *node)
{
    return node != NULL && node->dirty;
}

/* Children first, with a stack of our own: the way down is at most TRIE_DEPTH_MAX nodes long. */
static enum ses_err settle(struct ses_trie_pool *pool, const struct ses_trie **root)
{
    struct {
        const struct ses_trie **slot;
        unsigned child;
    } stack[TRIE_DEPTH_MAX];
    stack[0].slot = root;
    stack[0].child = 0;
    unsigned used = is_dirty(*root);
    while (used > 0) {
        const unsigned top = used - 1;
        const struct ses_trie **slot = stack[top].slot;
        if (!trie_is_branch(*slot)) {
            bucket_settle((struct trie_bucket *)(uintptr_t)trie_as_bucket(*slot));
            used--;
        } else if (stack[top].child == 16) {
            SES_TRY(branch_settle(pool, slot));
            used--;
        } else {
            struct trie_branch *branch = (struct trie_branch *)(uintptr_t)trie_as_branch(*slot);
            const struct ses_trie **child = &branch->children[stack[top].child++];
            if (is_dirty(*child)) {
                SES_ASSERT(used < TRIE_DEPTH_MAX);
                stack[used].slot = child;
                stack[used].child = 0;
                used++;
            }
        }
    }
    return SES_OK;
}

enum ses_err ses_trie_apply(struct ses_trie_pool *pool, const struct ses_trie **out,
                            const struct ses_trie *base, const struct ses_trie_change *changes,
                            size_t change_cnt)
{
    const struct ses_trie *root = base;
    enum ses_err err = SES_OK;
    *out = NULL;
    ses_trie_ref(root);
    for (size_t i = 0; i < change_cnt && err == SES_OK; i++) {
        err = change_apply(pool, &root, &changes[i]);
    }
    if (err == SES_OK) {
        err = settle(pool, &root);
    }
    if (err != SES_OK) {
        ses_trie_unref(pool, root);
        return err;
    }
    *out = root;
    return SES_OK;
}
