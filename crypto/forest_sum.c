/* The hashes of the forest, and settling: making the sums of dirty nodes again, children first.
 * The buckets below one branch are hashed together, eight inputs at a time. */
#include <string.h>

#include "crypto/forest_internal.h"

/* ---- one node ---- */

void forest_bucket_sum(struct ses_sum *out, const struct ses_sum *leaves)
{
    const struct ses_sum of = *leaves;
    uint8_t sums[16];
    ses_put_u64(sums, of.count);
    ses_put_u64(sums + 8, of.bytes);
    ses_b(&out->hash, SES_TAG_BUCKET,
          SES_PARTS(SES_PART(sums, sizeof sums), SES_PART(of.hash.bytes, 32)));
    out->count = of.count;
    out->bytes = of.bytes;
}

void forest_branch_sum(struct ses_sum *out, const struct forest_shape *shape,
                       const struct ses_sum *children)
{
    const struct ses_sum of = *children;
    uint8_t sums[18];
    ses_put_u16(sums, shape->bitmap);
    ses_put_u64(sums + 2, of.count);
    ses_put_u64(sums + 10, of.bytes);
    ses_b(&out->hash, SES_TAG_NODE,
          SES_PARTS(SES_PART(&shape->skip_len, 1),
                    SES_PART(shape->skip, (shape->skip_len + 1u) / 2u), SES_PART(sums, sizeof sums),
                    SES_PART(of.hash.bytes, 32)));
    out->count = of.count;
    out->bytes = of.bytes;
}

void forest_segment_element(struct ses_sum *out, const struct ses_segment_id *id,
                            const struct ses_sum *sum)
{
    const struct ses_sum of = *sum;
    uint8_t bytes[SES_SEGMENT_ID_BYTES + SUM_BYTES];
    memcpy(bytes, id->bytes, sizeof id->bytes);
    forest_sum_put(bytes + SES_SEGMENT_ID_BYTES, &of);
    ses_b(&out->hash, SES_TAG_SEGMENT, SES_PARTS(SES_PART(bytes, sizeof bytes)));
    out->count = of.count;
    out->bytes = of.bytes;
}

void forest_join(struct ses_sum *out, const struct ses_sum *left, const struct ses_sum *right)
{
    uint8_t pair[2 * SUM_BYTES];
    const uint64_t count = left->count + right->count;
    const uint64_t bytes = left->bytes + right->bytes;
    forest_sum_put(pair, left);
    forest_sum_put(pair + SUM_BYTES, right);
    ses_b(&out->hash, SES_TAG_MS, SES_PARTS(SES_PART(pair, sizeof pair)));
    out->count = count;
    out->bytes = bytes;
}

void forest_leaf_sums(struct ses_sum *out, struct ses_hash *scratch, const uint8_t *leaves,
                      size_t cnt)
{
    struct ses_leaf leaf;
    ses_b_batch(scratch, SES_TAG_LEAF, leaves, SES_LEAF_BYTES, SES_LEAF_BYTES, cnt);
    for (size_t i = 0; i < cnt; i++) {
        ses_leaf_decode(&leaf, leaves + i * SES_LEAF_BYTES);
        out[i] = (struct ses_sum){.hash = scratch[i], .count = 1, .bytes = leaf.size};
    }
}

unsigned forest_child_sums(struct ses_sum out[16], uint16_t *bitmap,
                           const struct forest_branch *branch)
{
    uint8_t elements[16][SUM_BYTES];
    struct ses_hash hashes[16];
    unsigned cnt = 0;
    *bitmap = 0;
    for (unsigned n = 0; n < 16; n++) {
        const struct forest_node *child = branch->children[n];
        if (child != NULL) {
            SES_ASSERT(!child->dirty);
            out[cnt] = child->sum;
            forest_sum_put(elements[cnt++], &child->sum);
            *bitmap = (uint16_t)(*bitmap | 1u << n);
        }
    }
    ses_b_batch(hashes, SES_TAG_CHILD, elements[0], SUM_BYTES, SUM_BYTES, cnt);
    for (unsigned i = 0; i < cnt; i++) {
        out[i].hash = hashes[i];
    }
    return cnt;
}

void forest_branch_from(struct ses_sum *out, const struct forest_branch *branch, unsigned depth)
{
    struct ses_sum sums[16];
    struct ses_sum children;
    uint8_t skip[64];
    SES_ASSERT(depth >= branch->node.depth && depth <= branch->node.end);
    struct forest_shape shape = {.skip = skip, .skip_len = (uint8_t)(branch->node.end - depth)};
    forest_skip_pack(skip, branch->node.first->bytes, depth, branch->node.end);
    ses_ms(&children, sums, forest_child_sums(sums, &shape.bitmap, branch));
    forest_branch_sum(out, &shape, &children);
}

/* ---- buckets together ---- */

/* Puts the joined pairs of a row in its first half, an odd last one behind them; how many pairs. */
static unsigned row_halve(struct ses_sum *row, size_t cnt, const struct ses_hash *hashes)
{
    const size_t half = cnt / 2;
    for (size_t i = 0; i < half; i++) {
        row[i] = (struct ses_sum){.hash = hashes[i],
                                  .count = row[2 * i].count + row[2 * i + 1].count,
                                  .bytes = row[2 * i].bytes + row[2 * i + 1].bytes};
    }
    if (cnt % 2 != 0) {
        row[half] = row[cnt - 1];
    }
    return (unsigned)half;
}

/* MS of each row, level by level over all rows at once; what is left stands in the first place. */
static void rows_join(struct forest_scratch *s, uint8_t cnts[16], unsigned row_cnt)
{
    for (;;) {
        unsigned pair_cnt = 0;
        for (unsigned r = 0; r < row_cnt; r++) {
            for (unsigned i = 0; i + 1 < cnts[r]; i += 2) {
                forest_sum_put(s->pairs[pair_cnt], &s->sums[r][i]);
                forest_sum_put(s->pairs[pair_cnt++] + SUM_BYTES, &s->sums[r][i + 1]);
            }
        }
        if (pair_cnt == 0) {
            return;
        }
        ses_b_batch(s->hashes, SES_TAG_MS, s->pairs[0], sizeof s->pairs[0], sizeof s->pairs[0],
                    pair_cnt);
        unsigned used = 0;
        for (unsigned r = 0; r < row_cnt; r++) {
            used += row_halve(s->sums[r], cnts[r], s->hashes + used);
            cnts[r] = (uint8_t)(cnts[r] / 2 + cnts[r] % 2);
        }
    }
}

/* The leaves of all the buckets, hashed at once, into one row a bucket. */
static void rows_fill(struct forest_scratch *s, uint8_t cnts[16],
                      struct forest_node *const *buckets, unsigned bucket_cnt)
{
    unsigned used = 0;
    for (unsigned b = 0; b < bucket_cnt; b++) {
        for (const struct forest_leaf *l = buckets[b]->first; l != NULL; l = l->next) {
            memcpy(s->leaves[used++], l->bytes, SES_LEAF_BYTES);
        }
        cnts[b] = buckets[b]->leaf_cnt;
    }
    ses_b_batch(s->hashes, SES_TAG_LEAF, s->leaves[0], SES_LEAF_BYTES, SES_LEAF_BYTES, used);
    used = 0;
    for (unsigned b = 0; b < bucket_cnt; b++) {
        for (unsigned i = 0; i < cnts[b]; i++, used++) {
            struct ses_leaf leaf;
            ses_leaf_decode(&leaf, s->leaves[used]);
            s->sums[b][i] =
                (struct ses_sum){.hash = s->hashes[used], .count = 1, .bytes = leaf.size};
        }
    }
}

/* At most sixteen buckets. */
static void buckets_settle(struct forest_scratch *s, struct forest_node *const *buckets,
                           unsigned bucket_cnt)
{
    uint8_t cnts[16];
    uint8_t in[16][SUM_BYTES];
    rows_fill(s, cnts, buckets, bucket_cnt);
    rows_join(s, cnts, bucket_cnt);
    for (unsigned b = 0; b < bucket_cnt; b++) {
        ses_put_u64(in[b], s->sums[b][0].count);
        ses_put_u64(in[b] + 8, s->sums[b][0].bytes);
        memcpy(in[b] + 16, s->sums[b][0].hash.bytes, 32);
    }
    ses_b_batch(s->hashes, SES_TAG_BUCKET, in[0], sizeof in[0], sizeof in[0], bucket_cnt);
    for (unsigned b = 0; b < bucket_cnt; b++) {
        buckets[b]->sum = s->sums[b][0];
        buckets[b]->sum.hash = s->hashes[b];
        buckets[b]->dirty = false;
    }
}

/* ---- settling ---- */

/* All branches below it are settled already. */
static void branch_settle(struct forest_scratch *s, struct forest_branch *branch)
{
    struct forest_node *buckets[16];
    unsigned bucket_cnt = 0;
    for (unsigned n = 0; n < 16; n++) {
        struct forest_node *child = branch->children[n];
        if (child != NULL && child->dirty) {
            SES_ASSERT(!child->branch);
            buckets[bucket_cnt++] = child;
        }
    }
    buckets_settle(s, buckets, bucket_cnt);
    forest_branch_from(&branch->node.sum, branch, branch->node.depth);
    branch->node.dirty = false;
}

/* The next child from nibble *from on that is a dirty branch. */
static struct forest_branch *next_dirty(const struct forest_branch *branch, unsigned *from)
{
    while (*from < 16) {
        struct forest_node *child = branch->children[(*from)++];
        if (child != NULL && child->branch && child->dirty) {
            return forest_as_branch(child);
        }
    }
    return NULL;
}

void forest_trie_settle(struct ses_forest_trie *trie)
{
    struct {
        struct forest_branch *branch;
        unsigned child;
    } stack[FOREST_DEPTH_MAX];
    unsigned used = 0;
    if (trie->root == NULL || !trie->root->dirty) {
        return;
    }
    if (!trie->root->branch) {
        buckets_settle(&trie->pool->scratch, &trie->root, 1);
        return;
    }
    stack[used].branch = forest_as_branch(trie->root);
    stack[used++].child = 0;
    while (used > 0) {
        struct forest_branch *child = next_dirty(stack[used - 1].branch, &stack[used - 1].child);
        if (child == NULL) {
            branch_settle(&trie->pool->scratch, stack[--used].branch);
        } else {
            SES_ASSERT(used < FOREST_DEPTH_MAX);
            stack[used].branch = child;
            stack[used++].child = 0;
        }
    }
}
