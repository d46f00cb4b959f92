/* Proofs of the forest. The first byte says what the rest is:
 *
 *   even  proof bytes against the root of a fixed set: whatever the checker accepts and answers is
 *         what the set holds
 *   odd   proof bytes against the root that they lead to, as a liar would commit to it: no answer
 *         is a leaf outside its range, out of order, or of another segment; the sums add up */
#include <string.h>

#include "crypto/proof_walk.h"
#include "fuzz/fuzz.h"

#define LEAVES 300u
#define ANSWERS_MAX 400u
#define SWARM 5u
#define EPOCH 77u

struct set {
    struct ses_forest_pool *pool;
    struct ses_forest *forest;
    struct ses_leaf leaves[LEAVES];
    struct ses_hash root;
};

/* Keys of which some share long prefixes, in three segments. The first inbox has many. */
static void leaf_make(struct ses_leaf *leaf, unsigned i)
{
    uint8_t number[2];
    struct ses_hash hash;
    ses_put_u16(number, (uint16_t)i);
    ses_blake3_hash(&hash, number, sizeof number);
    memset(leaf, 0, sizeof *leaf);
    memset(leaf->key.bytes, 0x5a, 32);
    memcpy(leaf->key.bytes + 32, hash.bytes, 32);
    if (i % 3 != 0) {
        memcpy(leaf->key.bytes + i % 32, hash.bytes, 32 - i % 32);
    }
    leaf->ts_ms = 1800000000000u + 3600000u * (i % 3) + 1000u * i;
    leaf->ttl_class = 3;
    leaf->kind = i % 10 == 9;
    leaf->size = leaf->kind == 1 ? 0 : 9000 + i;
}

static struct set *set_once(void)
{
    static struct set set;
    if (set.pool == NULL) {
        SES_ASSERT(ses_forest_pool_new(&set.pool, (size_t)16 << 20) == SES_OK);
        SES_ASSERT(ses_forest_new(&set.forest, set.pool) == SES_OK);
        for (unsigned i = 0; i < LEAVES; i++) {
            leaf_make(&set.leaves[i], i);
            SES_ASSERT(ses_forest_put(set.forest, &set.leaves[i]) == SES_OK);
        }
        ses_forest_root(set.forest, &set.root, SWARM, EPOCH);
    }
    return &set;
}

static bool in_range(const struct ses_forest_range *range, const struct ses_leaf *leaf)
{
    struct ses_segment_id segment;
    ses_leaf_segment(&segment, leaf);
    return memcmp(&segment, &range->segment, sizeof segment) == 0 &&
           ses_leaf_key_compare(&range->low, &leaf->key) <= 0 &&
           ses_leaf_key_compare(&leaf->key, &range->high) <= 0;
}

/* The leaves of an answer are in range and ascend; how many there are. */
static size_t answer(const struct ses_opened *opened, const struct ses_forest_range *range,
                     struct ses_leaf *leaves, bool *answered)
{
    size_t cnt = ANSWERS_MAX;
    const enum ses_err err = ses_opened_range(opened, range, leaves, &cnt);
    *answered = err == SES_OK;
    SES_ASSERT(err == SES_OK || err == SES_ERR_CLOSED || err == SES_ERR_MALFORMED ||
               err == SES_ERR_FULL);
    for (size_t i = 0; i < cnt && err == SES_OK; i++) {
        SES_ASSERT(in_range(range, &leaves[i]));
        SES_ASSERT(i == 0 || ses_leaf_key_compare(&leaves[i - 1].key, &leaves[i].key) < 0);
    }
    return cnt;
}

static bool same_leaf(const struct ses_leaf *a, const struct ses_leaf *b)
{
    uint8_t x[SES_LEAF_BYTES];
    uint8_t y[SES_LEAF_BYTES];
    ses_leaf_encode(x, a);
    ses_leaf_encode(y, b);
    return memcmp(x, y, sizeof x) == 0;
}

/* ---- a fixed root ---- */

static void check_range(const struct set *set, const struct ses_opened *opened,
                        const struct ses_forest_range *range)
{
    static struct ses_leaf leaves[ANSWERS_MAX];
    bool answered;
    const size_t cnt = answer(opened, range, leaves, &answered);
    size_t found = 0;
    for (unsigned i = 0; i < LEAVES && answered; i++) {
        found += in_range(range, &set->leaves[i]);
    }
    for (size_t i = 0; i < cnt && answered; i++) {
        bool known = false;
        for (unsigned n = 0; n < LEAVES && !known; n++) {
            known = same_leaf(&leaves[i], &set->leaves[n]);
        }
        SES_ASSERT(known);
    }
    SES_ASSERT(!answered || found == cnt);
}

static void fixed_root(const uint8_t *proof, size_t len)
{
    struct set *set = set_once();
    struct ses_opened opened;
    if (ses_forest_check(&opened, &set->root, SWARM, EPOCH, proof, len) != SES_OK) {
        return;
    }
    SES_ASSERT(opened.count == LEAVES);
    for (unsigned i = 0; i < LEAVES; i += 7) {
        struct ses_forest_range range;
        struct ses_segment_id segment;
        struct ses_hash digest;
        struct ses_leaf got;
        struct ses_leaf want;
        ses_leaf_segment(&segment, &set->leaves[i]);
        ses_forest_range_key(&range, &segment, &set->leaves[i].key);
        check_range(set, &opened, &range);
        memcpy(digest.bytes, set->leaves[i].key.bytes, 32);
        ses_forest_range_slot(&range, &segment, &digest);
        check_range(set, &opened, &range);
        if (ses_opened_at(&opened, i, &segment, &got) == SES_OK) {
            SES_ASSERT(ses_forest_at(set->forest, i, &segment, &want) == SES_OK);
            SES_ASSERT(same_leaf(&got, &want));
        }
    }
}

/* ---- a root of the liar's ---- */

/* The root that the bytes lead to, the leaves that they show and the sum of all parts. */
static bool lied_root(struct ses_hash *root, uint64_t *count, const uint8_t *proof, size_t len)
{
    static struct walk w;
    enum walk_event event = WALK_BUCKET;
    *count = 0;
    walk_begin(&w, proof, len, true);
    while (event != WALK_END) {
        if (walk_next(&w, &event) != SES_OK) {
            return false;
        }
        const bool closed = event == WALK_SEGMENTS_CLOSED || event == WALK_TRIE_CLOSED ||
                            event == WALK_CHILDREN_CLOSED || event == WALK_LEAVES_CLOSED;
        *count += closed ? w.count : event == WALK_LEAF;
    }
    SES_ASSERT(*count == w.sums[0].count);
    ses_forest_root_of(root, SWARM, EPOCH, &w.sums[0]);
    return true;
}

static void lied(const uint8_t *proof, size_t len)
{
    static struct ses_leaf leaves[ANSWERS_MAX];
    struct ses_opened opened;
    struct ses_hash root;
    uint64_t count;
    bool answered;
    if (!lied_root(&root, &count, proof, len)) {
        return;
    }
    SES_ASSERT(ses_forest_check(&opened, &root, SWARM, EPOCH, proof, len) == SES_OK);
    SES_ASSERT(opened.count == count);
    for (uint64_t at = 0; at < 50; at++) {
        struct ses_forest_range range;
        struct ses_segment_id segment;
        struct ses_leaf leaf;
        const enum ses_err err = ses_opened_at(&opened, at, &segment, &leaf);
        SES_ASSERT((err == SES_ERR_NOT_FOUND) == (at >= count));
        if (err != SES_OK) {
            continue;
        }
        ses_forest_range_key(&range, &segment, &leaf.key);
        SES_ASSERT(in_range(&range, &leaf));
        answer(&opened, &range, leaves, &answered);
        ses_leaf_prefix_range(&range.low, &range.high, &leaf.key, (unsigned)at * 2);
        answer(&opened, &range, leaves, &answered);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        fixed_root(data + 1, size - 1);
    } else {
        lied(data + 1, size - 1);
    }
    return 0;
}
