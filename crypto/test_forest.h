/* For the tests of the forest and its proofs: the sets of the model's vectors, random leaves whose
 * keys share long prefixes, and the storage page's definitions written down as they stand there. */
#ifndef SES_CRYPTO_TEST_FOREST_H
#define SES_CRYPTO_TEST_FOREST_H

#include "crypto/test_vectors.h"

#define POOL_BYTES ((size_t)256 << 20)
#define MODEL_TS_MS 1800000000000ull
#define SET_MAX 1000u

/* ---- the model's sets ---- */

/* BLAKE3(what, salt, u32 i) */
static inline void model_name(uint8_t out[32], const char *what, const char *salt, unsigned i)
{
    uint8_t bytes[128];
    struct ses_writer w;
    struct ses_hash hash;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, what, strlen(what));
    ses_write_bytes(&w, salt, strlen(salt));
    ses_write_u32(&w, i);
    TAP_MUST(ses_writer_done(&w) == SES_OK);
    ses_blake3_hash(&hash, bytes, w.len);
    memcpy(out, hash.bytes, 32);
}

static inline void model_leaf(struct ses_leaf *out, const char *salt, unsigned i, unsigned inboxes,
                              bool two_segments)
{
    const bool dead = i % 10 == 9;
    uint8_t session_id[33] = {7};
    struct ses_hash digest;
    memset(out, 0, sizeof *out);
    model_name(session_id + 1, "smf-inbox", salt, i % inboxes);
    ses_blake3_hash(&digest, session_id, sizeof session_id);
    memcpy(out->key.bytes, digest.bytes, 32);
    model_name(out->key.bytes + 32, "smf-id", salt, i);
    out->ts_ms = MODEL_TS_MS + 1000ull * i;
    out->ttl_class = two_segments && i % 3 == 0 ? 4 : 3;
    out->kind = dead;
    out->size = dead ? 0 : 9000 + i;
}

/* The leaves of a set (or of a proof's set) by its entry in the vectors; how many. */
static inline size_t model_set(struct ses_leaf leaves[SET_MAX], const json_t *vectors,
                               const json_t *set)
{
    const char *salt = member_text(vectors, "salt");
    const size_t cnt = (size_t)member_number(set, "leaves");
    const unsigned inboxes = (unsigned)member_number(set, "inboxes");
    TAP_MUST(cnt <= SET_MAX);
    for (unsigned i = 0; i < cnt; i++) {
        model_leaf(&leaves[i], salt, i, inboxes,
                   json_is_true(json_object_get(set, "two_segments")));
    }
    return cnt;
}

/* ---- a pool and a forest ---- */

struct world {
    struct ses_forest_pool *pool;
    struct ses_forest *forest;
};

static inline void world_open(struct world *w)
{
    TAP_MUST(ses_forest_pool_new(&w->pool, POOL_BYTES) == SES_OK);
    TAP_MUST(ses_forest_new(&w->forest, w->pool) == SES_OK);
}

static inline void world_close(struct world *w)
{
    ses_forest_free(w->forest);
    ses_forest_pool_free(w->pool);
}

static inline void world_put(struct world *w, const struct ses_leaf *leaves, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        TAP_MUST(ses_forest_put(w->forest, &leaves[i]) == SES_OK);
    }
}

/* ---- random sets ---- */

static inline size_t below(size_t bound)
{
    return (size_t)ses_random_below(tap_random(), bound);
}

/* A leaf of one of `hours` segments; two of three keys share a prefix of some length with the one
 * pattern, so that skips of every length and parity come up. */
static inline void random_leaf(struct ses_leaf *out, unsigned hours)
{
    memset(out, 0, sizeof *out);
    ses_random_fill(tap_random(), out->key.bytes, sizeof out->key.bytes);
    if (below(3) > 0) {
        struct ses_leaf_key low;
        struct ses_leaf_key high;
        struct ses_leaf_key pattern;
        const unsigned shared = (unsigned)below(SES_LEAF_NIBBLES);
        memset(pattern.bytes, 0x5a, sizeof pattern.bytes);
        ses_leaf_prefix_range(&low, &high, &pattern, shared);
        for (unsigned i = 0; i < SES_LEAF_KEY_BYTES; i++) {
            out->key.bytes[i] = (out->key.bytes[i] & (low.bytes[i] ^ high.bytes[i])) | low.bytes[i];
        }
    }
    const unsigned hour = (unsigned)below(hours);
    out->ts_ms = MODEL_TS_MS + 3600000ull * (hour / 2) + 1000ull * below(3600);
    out->ttl_class = (uint8_t)(3 + hour % 2);
    out->kind = below(8) == 0;
    out->size = out->kind == 1 ? 0 : (uint32_t)below(90113);
}

/* By segment, then by key: the order of positions. */
static inline int leaf_order(const void *a, const void *b)
{
    const struct ses_leaf *x = a;
    const struct ses_leaf *y = b;
    struct ses_segment_id sx;
    struct ses_segment_id sy;
    ses_leaf_segment(&sx, x);
    ses_leaf_segment(&sy, y);
    const int order = memcmp(&sx, &sy, sizeof sx);
    return order != 0 ? order : ses_leaf_key_compare(&x->key, &y->key);
}

static inline bool same_segment(const struct ses_leaf *a, const struct ses_leaf *b)
{
    struct ses_segment_id sa;
    struct ses_segment_id sb;
    ses_leaf_segment(&sa, a);
    ses_leaf_segment(&sb, b);
    return memcmp(&sa, &sb, sizeof sa) == 0;
}

static inline void leaves_sort(struct ses_leaf *leaves, size_t cnt)
{
    qsort(leaves, cnt, sizeof *leaves, leaf_order);
}

static inline bool same_leaf(const struct ses_leaf *a, const struct ses_leaf *b)
{
    uint8_t x[SES_LEAF_BYTES];
    uint8_t y[SES_LEAF_BYTES];
    ses_leaf_encode(x, a);
    ses_leaf_encode(y, b);
    return memcmp(x, y, sizeof x) == 0;
}

static inline bool same_sum(const struct ses_sum *a, const struct ses_sum *b)
{
    return memcmp(a->hash.bytes, b->hash.bytes, 32) == 0 && a->count == b->count &&
           a->bytes == b->bytes;
}

/* ---- the definitions, top down ---- */

static inline void naive_b(struct ses_sum *out, enum ses_tag tag, const struct ses_writer *w,
                           uint64_t count, uint64_t bytes)
{
    TAP_MUST(ses_writer_done(w) == SES_OK);
    ses_b(&out->hash, tag, SES_PARTS(SES_PART(w->bytes, w->len)));
    out->count = count;
    out->bytes = bytes;
}

static inline void naive_write(struct ses_writer *w, const struct ses_sum *sum)
{
    ses_write_bytes(w, sum->hash.bytes, 32);
    ses_write_u64(w, sum->count);
    ses_write_u64(w, sum->bytes);
}

static void naive_ms(struct ses_sum *out, const struct ses_sum *sums, size_t cnt)
{
    uint8_t bytes[96];
    struct ses_writer w;
    struct ses_sum l;
    struct ses_sum r;
    size_t k = 1;
    if (cnt <= 1) {
        *out = cnt == 1 ? sums[0] : (struct ses_sum){0};
        return;
    }
    while (2 * k < cnt) {
        k *= 2;
    }
    naive_ms(&l, sums, k);
    naive_ms(&r, sums + k, cnt - k);
    ses_writer_init(&w, bytes, sizeof bytes);
    naive_write(&w, &l);
    naive_write(&w, &r);
    naive_b(out, SES_TAG_MS, &w, l.count + r.count, l.bytes + r.bytes);
}

static inline unsigned naive_nibble(const struct ses_leaf *leaf, unsigned i)
{
    return (unsigned)leaf->key.bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u;
}

static inline void naive_bucket(struct ses_sum *out, const struct ses_leaf *leaves, size_t cnt)
{
    struct ses_sum sums[16];
    uint8_t bytes[128];
    struct ses_writer w;
    for (size_t i = 0; i < cnt; i++) {
        ses_writer_init(&w, bytes, sizeof bytes);
        ses_leaf_encode(ses_write_space(&w, SES_LEAF_BYTES), &leaves[i]);
        naive_b(&sums[i], SES_TAG_LEAF, &w, 1, leaves[i].size);
    }
    naive_ms(out, sums, cnt);
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_u64(&w, out->count);
    ses_write_u64(&w, out->bytes);
    ses_write_bytes(&w, out->hash.bytes, 32);
    naive_b(out, SES_TAG_BUCKET, &w, out->count, out->bytes);
}

/* The canonical trie of leaves sorted by key, from a depth on. */
static void naive_trie(struct ses_sum *out, const struct ses_leaf *leaves, size_t cnt,
                       unsigned depth)
{
    struct ses_sum sums[16] = {0};
    uint8_t bytes[256];
    struct ses_writer w;
    unsigned child_cnt = 0;
    uint16_t bitmap = 0;
    if (cnt <= 16) {
        naive_bucket(out, leaves, cnt);
        return;
    }
    unsigned end = depth;
    while (naive_nibble(&leaves[0], end) == naive_nibble(&leaves[cnt - 1], end)) {
        end++;
    }
    for (size_t from = 0, to; from < cnt; from = to) {
        const unsigned nibble = naive_nibble(&leaves[from], end);
        for (to = from; to < cnt && naive_nibble(&leaves[to], end) == nibble; to++) {
        }
        struct ses_sum *sum = &sums[child_cnt++];
        naive_trie(sum, leaves + from, to - from, end + 1);
        ses_writer_init(&w, bytes, sizeof bytes);
        naive_write(&w, sum);
        naive_b(sum, SES_TAG_CHILD, &w, sum->count, sum->bytes);
        bitmap = (uint16_t)(bitmap | 1u << nibble);
    }
    naive_ms(out, sums, child_cnt);
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_u8(&w, (uint8_t)(end - depth));
    for (unsigned i = depth; i < end; i += 2) {
        const unsigned low = i + 1 < end ? naive_nibble(&leaves[0], i + 1) : 0;
        ses_write_u8(&w, (uint8_t)(naive_nibble(&leaves[0], i) << 4 | low));
    }
    ses_write_u16(&w, bitmap);
    ses_write_u64(&w, out->count);
    ses_write_u64(&w, out->bytes);
    ses_write_bytes(&w, out->hash.bytes, 32);
    naive_b(out, SES_TAG_NODE, &w, out->count, out->bytes);
}

/* The sum over the segments of leaves in the order of positions. */
static inline void naive_forest(struct ses_sum *out, const struct ses_leaf *leaves, size_t cnt)
{
    static struct ses_sum sums[4096];
    size_t segment_cnt = 0;
    for (size_t from = 0, to; from < cnt; from = to) {
        uint8_t bytes[64];
        struct ses_writer w;
        struct ses_segment_id id;
        for (to = from; to < cnt && same_segment(&leaves[from], &leaves[to]); to++) {
        }
        TAP_MUST(segment_cnt < SES_COUNT(sums));
        struct ses_sum *sum = &sums[segment_cnt++];
        naive_trie(sum, leaves + from, to - from, 0);
        ses_leaf_segment(&id, &leaves[from]);
        ses_writer_init(&w, bytes, sizeof bytes);
        ses_write_bytes(&w, id.bytes, sizeof id.bytes);
        naive_write(&w, sum);
        naive_b(sum, SES_TAG_SEGMENT, &w, sum->count, sum->bytes);
    }
    naive_ms(out, sums, segment_cnt);
}

#endif
