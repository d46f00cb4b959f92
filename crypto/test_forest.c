#include "crypto/test_forest.h"

#define LEAVES_MAX 12000u

static struct ses_leaf leaves[LEAVES_MAX];
static struct ses_leaf others[LEAVES_MAX];

/* ---- the model ---- */

static void check_segments(struct world *w, const json_t *set)
{
    const json_t *segments = json_object_get(set, "segments");
    TAP_MUST(json_array_size(segments) == ses_forest_segment_cnt(w->forest));
    for (size_t i = 0; i < json_array_size(segments); i++) {
        const json_t *want = json_array_get(segments, i);
        struct ses_forest_segment got;
        uint8_t id[5];
        struct ses_hash hash;
        ses_forest_segment(w->forest, i, &got);
        member_fixed(want, "id", id, sizeof id);
        member_fixed(want, "hash", hash.bytes, sizeof hash);
        TAP_BYTES(id, got.id.bytes, sizeof id);
        TAP_BYTES(hash.bytes, got.sum.hash.bytes, sizeof hash);
        TAP_EQ(member_number(want, "count"), got.sum.count);
        TAP_EQ(member_number(want, "bytes"), got.sum.bytes);
    }
}

static void check_leaves(const json_t *set, size_t cnt)
{
    const json_t *encoded = json_object_get(set, "encoded_leaves");
    for (size_t i = 0; i < json_array_size(encoded); i++) {
        uint8_t want[SES_LEAF_BYTES];
        uint8_t got[SES_LEAF_BYTES];
        struct ses_leaf back;
        TAP_MUST(i < cnt);
        TAP_MUST(ses_hex_decode(want, sizeof want, json_string_value(json_array_get(encoded, i))) ==
                 SES_OK);
        ses_leaf_encode(got, &leaves[i]);
        TAP_BYTES(want, got, sizeof want);
        ses_leaf_decode(&back, want);
        TAP_OK(same_leaf(&back, &leaves[i]));
    }
}

static void check_set(const json_t *vectors, const json_t *forest, const json_t *set)
{
    struct world w;
    struct ses_sum sum;
    struct ses_hash want;
    struct ses_hash root;
    const size_t cnt = model_set(leaves, vectors, set);
    check_leaves(set, cnt);
    world_open(&w);
    world_put(&w, leaves, cnt);
    ses_forest_sum(w.forest, &sum);
    ses_forest_root(w.forest, &root, (uint32_t)member_number(forest, "swarm"),
                    member_number(forest, "epoch"));
    member_fixed(set, "root", want.bytes, sizeof want);
    TAP_BYTES(want.bytes, root.bytes, sizeof root);
    TAP_EQ(member_number(set, "count"), sum.count);
    TAP_EQ(member_number(set, "bytes"), sum.bytes);
    check_segments(&w, set);
    world_close(&w);
}

static void test_model(void)
{
    json_t *vectors = model_load();
    size_t i;
    json_t *set;
    if (vectors == NULL) {
        return;
    }
    const json_t *forest = json_object_get(vectors, "forest");
    json_array_foreach(json_object_get(forest, "sets"), i, set)
    {
        check_set(vectors, forest, set);
    }
    TAP_OK(i > 0);
    json_decref(vectors);
}

/* ---- against the definitions ---- */

/* Random leaves, one of a key and segment, sorted; how many are left. */
static size_t draw(struct ses_leaf *out, size_t cnt, unsigned hours)
{
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        random_leaf(&out[i], hours);
    }
    leaves_sort(out, cnt);
    for (size_t i = 0; i < cnt; i++) {
        if (kept == 0 || leaf_order(&out[kept - 1], &out[i]) != 0) {
            out[kept++] = out[i];
        }
    }
    return kept;
}

static void shuffle(struct ses_leaf *out, size_t cnt)
{
    for (size_t i = cnt; i > 1; i--) {
        const size_t j = below(i);
        const struct ses_leaf other = out[j];
        out[j] = out[i - 1];
        out[i - 1] = other;
    }
}

static void test_any_order(void)
{
    static const size_t cnts[] = {1, 15, 16, 17, 18, 33, 100, 257, 1000, 5000};
    for (size_t c = 0; c < SES_COUNT(cnts); c++) {
        struct world w;
        struct ses_sum want;
        struct ses_sum got;
        const size_t cnt = draw(leaves, cnts[c], 1 + (unsigned)(c % 7));
        naive_forest(&want, leaves, cnt);
        for (unsigned again = 0; again < 3; again++) {
            memcpy(others, leaves, cnt * sizeof *leaves);
            shuffle(others, cnt);
            world_open(&w);
            world_put(&w, others, cnt);
            world_put(&w, others, cnt / 2); /* what is there already changes nothing */
            ses_forest_sum(w.forest, &got);
            TAP_OK(same_sum(&want, &got));
            world_close(&w);
        }
    }
}

/* Where the leaf's key stands among the first `cnt`; `cnt` if it is new. */
static size_t known(const struct ses_leaf *leaf, size_t cnt)
{
    size_t at = 0;
    while (at < cnt && leaf_order(&leaves[at], leaf) != 0) {
        at++;
    }
    return at;
}

static void check_sum(struct world *w, size_t cnt)
{
    struct ses_sum want;
    struct ses_sum got;
    memcpy(others, leaves, cnt * sizeof *leaves);
    leaves_sort(others, cnt);
    naive_forest(&want, others, cnt);
    ses_forest_sum(w->forest, &got);
    TAP_MUST(same_sum(&want, &got));
}

/* Inserts and tombstones, with the sum asked for now and then, so that cached sums are of every
 * age: after each look it is what the definitions say. */
static void test_operations(void)
{
    struct world w;
    size_t cnt = 0;
    world_open(&w);
    for (unsigned i = 0; i < 10000; i++) {
        size_t at = cnt > 0 ? below(cnt) : 0;
        if (cnt == 0 || below(4) > 0) {
            struct ses_leaf leaf;
            random_leaf(&leaf, 5);
            at = known(&leaf, cnt);
            leaves[at] = leaf;
            cnt += at == cnt;
        } else {
            leaves[at].kind = 1;
            leaves[at].size = 0;
        }
        TAP_MUST(ses_forest_put(w.forest, &leaves[at]) == SES_OK);
        if (below(i < 300 ? 3 : 500) == 0) {
            check_sum(&w, cnt);
        }
    }
    check_sum(&w, cnt);
    world_close(&w);
}

static void test_build(void)
{
    static const size_t cnts[] = {0, 1, 16, 17, 300, 10000};
    for (size_t c = 0; c < SES_COUNT(cnts); c++) {
        struct world w;
        struct ses_forest_trie *trie;
        struct ses_segment_id id = {{3, 0, 7, 0xa1, 0x20}};
        struct ses_sum want;
        struct ses_sum got;
        const size_t cnt = draw(leaves, cnts[c], 1);
        world_open(&w);
        TAP_MUST(ses_forest_trie_build(&trie, w.pool, &id, leaves, cnt) == SES_OK);
        TAP_EQ(cnt, ses_forest_trie_count(trie));
        ses_forest_trie_sum(trie, &got);
        if (cnt == 0) {
            want = (struct ses_sum){0};
        } else {
            naive_trie(&want, leaves, cnt, 0);
        }
        TAP_OK(same_sum(&want, &got));
        for (size_t i = 0; i < cnt; i += 7) { /* and it can be changed like any other */
            leaves[i].kind = 1;
            leaves[i].size = 0;
            TAP_MUST(ses_forest_trie_put(trie, &leaves[i]) == SES_OK);
        }
        if (cnt > 0) {
            naive_trie(&want, leaves, cnt, 0);
            ses_forest_trie_sum(trie, &got);
            TAP_OK(same_sum(&want, &got));
        }
        ses_forest_trie_free(trie);
        world_close(&w);
    }
}

/* ---- reading ---- */

static void check_page(const struct ses_forest_trie *trie, size_t cnt,
                       const struct ses_forest_range *r)
{
    static struct ses_leaf page[7];
    struct ses_leaf_key low = r->low;
    size_t got = 0;
    size_t at = 0;
    bool more = true;
    while (at < cnt && ses_leaf_key_compare(&leaves[at].key, &r->low) < 0) {
        at++;
    }
    do {
        got = ses_forest_trie_range(trie, page, SES_COUNT(page), &low, &r->high);
        for (size_t i = 0; i < got; i++, at++) {
            TAP_MUST(at < cnt && same_leaf(&page[i], &leaves[at]));
            low = page[i].key;
        }
        more = got == SES_COUNT(page) && ses_leaf_key_next(&low);
    } while (more);
    TAP_OK(at == cnt || ses_leaf_key_compare(&leaves[at].key, &r->high) > 0);
}

static void check_children(struct ses_forest_trie *trie, size_t cnt,
                           const struct ses_leaf_key *prefix, unsigned nibble_cnt)
{
    struct ses_sum got[16];
    struct ses_leaf_key low;
    struct ses_leaf_key high;
    ses_forest_trie_children(trie, got, prefix, nibble_cnt);
    for (unsigned n = 0; n < 16; n++) {
        struct ses_leaf_key child = *prefix;
        struct ses_sum want = {0};
        const unsigned shift = nibble_cnt % 2 == 0 ? 4 : 0;
        child.bytes[nibble_cnt / 2] =
            (uint8_t)((child.bytes[nibble_cnt / 2] & (0xf0u >> shift)) | n << shift);
        ses_leaf_prefix_range(&low, &high, &child, nibble_cnt + 1);
        size_t from = 0;
        while (from < cnt && ses_leaf_key_compare(&leaves[from].key, &low) < 0) {
            from++;
        }
        size_t to = from;
        while (to < cnt && ses_leaf_key_compare(&leaves[to].key, &high) <= 0) {
            to++;
        }
        if (to > from) {
            naive_trie(&want, leaves + from, to - from, nibble_cnt + 1);
        }
        TAP_MUST(same_sum(&want, &got[n]));
    }
}

static void check_reading(struct ses_forest_trie *trie, size_t cnt)
{
    struct ses_leaf got;
    for (size_t i = 0; i < cnt; i++) {
        TAP_MUST(ses_forest_trie_get(trie, &leaves[i].key, &got) && same_leaf(&got, &leaves[i]));
        TAP_MUST(ses_forest_trie_at(trie, i, &got) && same_leaf(&got, &leaves[i]));
    }
    TAP_OK(!ses_forest_trie_at(trie, cnt, &got));
    TAP_OK(!ses_forest_trie_at(trie, UINT64_MAX, &got));
    for (unsigned i = 0; i < 300; i++) {
        struct ses_forest_range r;
        struct ses_leaf a;
        random_leaf(&a, 1);
        const unsigned nibble_cnt = (unsigned)below(SES_LEAF_NIBBLES);
        const struct ses_leaf_key *prefix = i % 2 == 0 ? &a.key : &leaves[below(cnt)].key;
        ses_leaf_prefix_range(&r.low, &r.high, prefix, nibble_cnt);
        check_page(trie, cnt, &r);
        check_children(trie, cnt, prefix, nibble_cnt);
        r.low = a.key;
        r.high = leaves[below(cnt)].key;
        check_page(trie, cnt, &r);
    }
}

static void test_reading(void)
{
    static const size_t cnts[] = {1, 16, 17, 40, 1000};
    for (size_t c = 0; c < SES_COUNT(cnts); c++) {
        struct world w;
        struct ses_forest_segment segment;
        const size_t cnt = draw(leaves, cnts[c], 1);
        world_open(&w);
        world_put(&w, leaves, cnt);
        ses_forest_segment(w.forest, 0, &segment);
        check_reading(segment.trie, cnt);
        world_close(&w);
    }
}

static void test_positions(void)
{
    struct world w;
    struct ses_segment_id segment;
    struct ses_segment_id want;
    struct ses_leaf got;
    const size_t cnt = draw(leaves, 800, 9);
    world_open(&w);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_forest_at(w.forest, 0, &segment, &got));
    world_put(&w, leaves, cnt);
    for (size_t i = 0; i < cnt; i++) {
        TAP_MUST(ses_forest_at(w.forest, i, &segment, &got) == SES_OK);
        ses_leaf_segment(&want, &leaves[i]);
        TAP_MUST(same_leaf(&got, &leaves[i]) && memcmp(&want, &segment, sizeof want) == 0);
    }
    TAP_ERR(SES_ERR_NOT_FOUND, ses_forest_at(w.forest, cnt, &segment, &got));
    ses_forest_seal(w.forest, &want);
    TAP_ERR(SES_ERR_AGAIN, ses_forest_at(w.forest, cnt - 1, &segment, &got));
    TAP_BYTES(want.bytes, segment.bytes, sizeof want);
    world_close(&w);
}

/* ---- segments ---- */

static void root_of(struct world *w, struct ses_hash *root)
{
    ses_forest_root(w->forest, root, 1, 2);
}

/* Sealing changes no root; a segment opens again with the same leaves only. */
static void test_sealing(void)
{
    struct world w;
    struct ses_hash before;
    struct ses_hash after;
    struct ses_segment_id id;
    struct ses_forest_trie *trie;
    size_t index;
    const size_t cnt = draw(leaves, 500, 3);
    world_open(&w);
    world_put(&w, leaves, cnt);
    root_of(&w, &before);
    ses_leaf_segment(&id, &leaves[0]);
    size_t first = 0;
    while (first < cnt && same_segment(&leaves[0], &leaves[first])) {
        first++;
    }
    ses_forest_seal(w.forest, &id);
    root_of(&w, &after);
    TAP_BYTES(before.bytes, after.bytes, 32);
    TAP_ERR(SES_ERR_AGAIN, ses_forest_put(w.forest, &leaves[0]));
    TAP_MUST(ses_forest_trie_build(&trie, w.pool, &id, leaves, first - 1) == SES_OK);
    TAP_ERR(SES_ERR_CHECKSUM, ses_forest_add_trie(w.forest, trie));
    TAP_MUST(ses_forest_trie_put(trie, &leaves[first - 1]) == SES_OK);
    TAP_ERR(SES_OK, ses_forest_add_trie(w.forest, trie));
    root_of(&w, &after);
    TAP_BYTES(before.bytes, after.bytes, 32);
    TAP_OK(ses_forest_find(w.forest, &id, &index) && index == 0);
    ses_forest_drop(w.forest, &id);
    TAP_OK(!ses_forest_find(w.forest, &id, &index));
    struct ses_sum want;
    struct ses_sum got;
    naive_forest(&want, leaves + first, cnt - first);
    ses_forest_sum(w.forest, &got);
    TAP_OK(same_sum(&want, &got));
    world_close(&w);
}

/* A trie changed through the forest's view of it. */
static void test_view(void)
{
    struct world w;
    struct ses_forest_segment segment;
    struct ses_sum want;
    struct ses_sum got;
    const size_t cnt = draw(leaves, 600, 1);
    world_open(&w);
    world_put(&w, leaves, cnt / 2);
    ses_forest_sum(w.forest, &got);
    ses_forest_segment(w.forest, 0, &segment);
    for (size_t i = cnt / 2; i < cnt; i++) {
        TAP_MUST(ses_forest_trie_put(segment.trie, &leaves[i]) == SES_OK);
    }
    ses_forest_trie_sum(segment.trie, &got); /* settles it behind the forest's back */
    naive_forest(&want, leaves, cnt);
    ses_forest_sum(w.forest, &got);
    TAP_OK(same_sum(&want, &got));
    world_close(&w);
}

/* Many segments, known by their sums and added in any order, one changed at a time. */
static void test_many_segments(void)
{
    struct world w;
    struct ses_sum got;
    struct ses_sum want;
    const size_t cnt = draw(leaves, 3000, 1300);
    memcpy(others, leaves, cnt * sizeof *leaves);
    world_open(&w);
    shuffle(others, cnt);
    world_put(&w, others, cnt);
    for (unsigned i = 0; i < 60; i++) {
        struct ses_leaf *leaf = &leaves[below(cnt)];
        leaf->kind = 1;
        leaf->size = 0;
        TAP_MUST(ses_forest_put(w.forest, leaf) == SES_OK);
        naive_forest(&want, leaves, cnt);
        ses_forest_sum(w.forest, &got);
        TAP_MUST(same_sum(&want, &got));
    }
    world_close(&w);
}

/* ---- refusals ---- */

static void test_refused(void)
{
    struct world w;
    struct ses_leaf leaf;
    struct ses_forest_trie *trie;
    struct ses_forest_trie *other;
    struct ses_segment_id id;
    struct ses_sum sum = {0};
    random_leaf(&leaf, 1);
    ses_leaf_segment(&id, &leaf);
    world_open(&w);
    struct ses_leaf bad = leaf;
    bad.ttl_class = 5;
    TAP_ERR(SES_ERR_MALFORMED, ses_forest_put(w.forest, &bad));
    bad = leaf;
    bad.kind = 2;
    TAP_ERR(SES_ERR_MALFORMED, ses_forest_put(w.forest, &bad));
    bad = leaf;
    bad.ts_ms = 3600000ull << 32;
    TAP_ERR(SES_ERR_MALFORMED, ses_forest_put(w.forest, &bad));
    bad.ts_ms--;
    TAP_ERR(SES_OK, ses_forest_put(w.forest, &bad));
    TAP_MUST(ses_forest_trie_new(&trie, w.pool, &id) == SES_OK);
    TAP_ERR(SES_ERR_INVALID, ses_forest_trie_put(trie, &bad));
    TAP_ERR(SES_ERR_INVALID, ses_forest_add_trie(w.forest, trie)); /* empty */
    TAP_ERR(SES_ERR_INVALID, ses_forest_add_sum(w.forest, &id, &sum));
    sum.count = 1;
    TAP_ERR(SES_OK, ses_forest_add_sum(w.forest, &id, &sum));
    TAP_ERR(SES_ERR_EXISTS, ses_forest_add_sum(w.forest, &id, &sum));
    struct ses_leaf twice[2] = {leaf, leaf};
    TAP_ERR(SES_ERR_INVALID, ses_forest_trie_build(&other, w.pool, &id, twice, 2));
    TAP_ERR(SES_ERR_INVALID, ses_forest_trie_build(&other, w.pool, &id, &bad, 1));
    TAP_OK(other == NULL);
    ses_forest_trie_free(trie);
    ses_forest_trie_free(NULL);
    world_close(&w);
    world_close(&(struct world){NULL, NULL});
}

static void test_keys(void)
{
    struct ses_leaf_key key;
    memset(key.bytes, 0xff, sizeof key.bytes);
    TAP_OK(!ses_leaf_key_next(&key) && key.bytes[0] == 0xff);
    key.bytes[0] = 0x12;
    TAP_OK(ses_leaf_key_next(&key));
    TAP_EQ(0x13, key.bytes[0]);
    TAP_EQ(0, key.bytes[63]);
    TAP_OK(ses_leaf_key_next(&key));
    TAP_EQ(1, key.bytes[63]);
}

/* A pool that is full, or a machine without memory, leaves the trie as it was. */
static void test_memory(void)
{
    struct ses_forest_pool *pool;
    struct ses_forest_trie *trie;
    struct ses_segment_id id = {{3, 0, 7, 0xa1, 0x20}};
    struct ses_sum want;
    struct ses_sum got;
    size_t cnt = 0;
    enum ses_err err = SES_OK;
    TAP_ERR(SES_ERR_INVALID, ses_forest_pool_new(&pool, 1000));
    TAP_MUST(ses_forest_pool_new(&pool, 1u << 20) == SES_OK);
    TAP_MUST(ses_forest_trie_new(&trie, pool, &id) == SES_OK);
    while (err == SES_OK && cnt < LEAVES_MAX) {
        random_leaf(&leaves[cnt], 1);
        ses_random_fill(tap_random(), leaves[cnt].key.bytes, SES_LEAF_KEY_BYTES);
        err = ses_forest_trie_put(trie, &leaves[cnt]);
        cnt += err == SES_OK;
    }
    TAP_ERR(SES_ERR_FULL, err);
    TAP_OK(ses_forest_pool_bytes(pool) <= 1u << 20);
    TAP_EQ(cnt, ses_forest_trie_count(trie));
    leaves_sort(leaves, cnt);
    naive_trie(&want, leaves, cnt, 0);
    ses_forest_trie_sum(trie, &got);
    TAP_OK(same_sum(&want, &got));
    ses_forest_trie_free(trie);
    /* what was freed serves again, and nothing is lost when building runs out of memory */
    const size_t bytes = ses_forest_pool_bytes(pool);
    TAP_ERR(SES_OK, ses_forest_trie_build(&trie, pool, &id, leaves, cnt));
    ses_forest_trie_free(trie);
    TAP_EQ(bytes, ses_forest_pool_bytes(pool));
    ses_forest_pool_free(pool);
}

static enum ses_err build_in_new_pool(size_t cnt)
{
    struct ses_forest_pool *pool = NULL;
    struct ses_forest_trie *trie = NULL;
    struct ses_segment_id id = {{3, 0, 7, 0xa1, 0x20}};
    enum ses_err err = ses_forest_pool_new(&pool, POOL_BYTES);
    if (err == SES_OK) {
        err = ses_forest_trie_build(&trie, pool, &id, leaves, cnt);
    }
    ses_forest_trie_free(trie);
    ses_forest_pool_free(pool);
    return err;
}

/* A forest of many segments, one leaf at a time; what was put before a failure is there. */
static enum ses_err put_in_new_pool(size_t cnt)
{
    struct world w = {NULL, NULL};
    struct ses_sum want;
    struct ses_sum got;
    size_t put = 0;
    enum ses_err err = ses_forest_pool_new(&w.pool, POOL_BYTES);
    if (err == SES_OK) {
        err = ses_forest_new(&w.forest, w.pool);
    }
    for (; err == SES_OK && put < cnt; put += err == SES_OK) {
        err = ses_forest_put(w.forest, &leaves[put]);
    }
    if (w.forest != NULL) {
        naive_forest(&want, leaves, put);
        ses_forest_sum(w.forest, &got);
        TAP_OK(same_sum(&want, &got));
    }
    world_close(&w);
    return err;
}

static void fail_each(enum ses_err (*run)(size_t cnt), size_t cnt)
{
    enum ses_err err = SES_ERR_MEMORY;
    unsigned n = 0;
    while (err == SES_ERR_MEMORY && n < 1000) {
        ses_alloc_fail_at(++n);
        err = run(cnt);
        ses_alloc_fail_at(0);
    }
    TAP_ERR(SES_OK, err);
    TAP_OK(n > 5);
}

static void test_allocation_failures(void)
{
    fail_each(build_in_new_pool, draw(leaves, 6000, 1));
    fail_each(put_in_new_pool, draw(leaves, 120, 40));
}

/* add_sum and add_trie with no room for a segment more leave the trie with its owner. */
static void test_add_failures(void)
{
    struct world w;
    struct ses_forest_trie *trie;
    struct ses_segment_id id = {{3, 0, 7, 0xa1, 0x20}};
    const struct ses_sum sum = {.count = 1};
    const size_t cnt = draw(leaves, 10, 1);
    world_open(&w);
    TAP_MUST(ses_forest_trie_build(&trie, w.pool, &id, leaves, cnt) == SES_OK);
    for (unsigned n = 1; n <= 3; n++) { /* the three arrays of the forest */
        ses_alloc_fail_at(n);
        TAP_ERR(SES_ERR_MEMORY, ses_forest_add_trie(w.forest, trie));
        ses_alloc_fail_at(n);
        TAP_ERR(SES_ERR_MEMORY, ses_forest_add_sum(w.forest, &id, &sum));
        ses_alloc_fail_at(0);
    }
    TAP_EQ(0, ses_forest_segment_cnt(w.forest));
    TAP_ERR(SES_OK, ses_forest_add_trie(w.forest, trie));
    TAP_ERR(SES_ERR_EXISTS, ses_forest_add_trie(w.forest, trie));
    world_close(&w);
}

/* Up to the number of segments that a proof can count, and not beyond. */
static void test_most_segments(void)
{
    struct world w;
    struct ses_sum got;
    struct ses_segment_id id = {{0}};
    const struct ses_sum sum = {.count = 3, .bytes = 5};
    world_open(&w);
    for (uint32_t i = 0; i < SES_FOREST_SEGMENTS_MAX; i++) {
        ses_put_u32(id.bytes + 1, i);
        TAP_MUST(ses_forest_add_sum(w.forest, &id, &sum) == SES_OK);
    }
    ses_forest_sum(w.forest, &got);
    TAP_EQ(3ull * SES_FOREST_SEGMENTS_MAX, got.count);
    TAP_EQ(5ull * SES_FOREST_SEGMENTS_MAX, got.bytes);
    id.bytes[0] = 1;
    TAP_ERR(SES_ERR_FULL, ses_forest_add_sum(w.forest, &id, &sum));
    world_close(&w);
}

int main(void)
{
    TAP_RUN(test_model);
    TAP_RUN(test_any_order);
    TAP_RUN(test_operations);
    TAP_RUN(test_build);
    TAP_RUN(test_reading);
    TAP_RUN(test_positions);
    TAP_RUN(test_sealing);
    TAP_RUN(test_view);
    TAP_RUN(test_many_segments);
    TAP_RUN(test_refused);
    TAP_RUN(test_keys);
    TAP_RUN(test_memory);
    TAP_RUN(test_allocation_failures);
    TAP_RUN(test_add_failures);
    TAP_RUN(test_most_segments);
    return tap_done();
}
