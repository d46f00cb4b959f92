/* MT and MS. The shape of RFC 6962 (largest power of two below n to the left) is what comes out of
 * joining neighbours level by level and handing an odd last one up as it is. */
#include <string.h>

#include "crypto/crypto.h"

#define BLOCK 256u /* leaves that a path joins in one go */

void ses_mt(struct ses_hash *out, struct ses_hash *hashes, size_t cnt)
{
    if (cnt == 0) {
        *out = (struct ses_hash){0};
        return;
    }
    for (; cnt > 1; cnt = cnt / 2 + cnt % 2) {
        const size_t pair_cnt = cnt / 2;
        /* a pair is 64 adjacent bytes; its hash goes to a place that was read before */
        ses_b_batch(hashes, SES_TAG_MT, (const uint8_t *)hashes, 64, 64, pair_cnt);
        if (cnt % 2 != 0) {
            hashes[pair_cnt] = hashes[cnt - 1];
        }
    }
    *out = hashes[0];
}

/* The greatest power of two below n; n > 1. */
static size_t split(size_t n)
{
    size_t k = 1;
    while (k < n - k) {
        k *= 2;
    }
    return k;
}

static void join(struct ses_hash *out, const struct ses_hash *left, const struct ses_hash *right)
{
    ses_b(out, SES_TAG_MT, SES_PARTS(SES_PART(left->bytes, 32), SES_PART(right->bytes, 32)));
}

/* MT that leaves its input alone, with a fixed amount of memory: whole blocks are subtrees, which
 * are joined as a binary counter. cnt > 0. */
static void mt_of(struct ses_hash *out, const struct ses_hash *hashes, size_t cnt)
{
    struct ses_hash block[BLOCK];
    struct ses_hash stack[64];
    unsigned stack_cnt = 0;
    size_t block_cnt = 0;
    do {
        const size_t used = cnt < BLOCK ? cnt : BLOCK;
        struct ses_hash node;
        memcpy(block, hashes, used * sizeof *hashes);
        ses_mt(&node, block, used);
        block_cnt++;
        for (size_t size = block_cnt; used == BLOCK && size % 2 == 0; size /= 2) {
            join(&node, &stack[--stack_cnt], &node);
        }
        stack[stack_cnt++] = node;
        hashes += used;
        cnt -= used;
    } while (cnt > 0);
    while (stack_cnt > 1) {
        stack_cnt--;
        join(&stack[stack_cnt - 1], &stack[stack_cnt - 1], &stack[stack_cnt]);
    }
    *out = stack[0];
}

void ses_mt_path(struct ses_hash *path, size_t *path_cnt, const struct ses_hash *hashes, size_t cnt,
                 size_t index)
{
    SES_ASSERT(index < cnt && (uint64_t)cnt <= 1ull << SES_MT_PATH_MAX);
    size_t found = 0;
    while (cnt > 1) { /* from the root down */
        const size_t k = split(cnt);
        const bool left = index < k;
        mt_of(&path[found++], left ? hashes + k : hashes, left ? cnt - k : k);
        hashes += left ? 0 : k;
        index -= left ? 0 : k;
        cnt = left ? k : cnt - k;
    }
    for (size_t i = 0; i < found / 2; i++) {
        const struct ses_hash other = path[i];
        path[i] = path[found - 1 - i];
        path[found - 1 - i] = other;
    }
    *path_cnt = found;
}

enum ses_err ses_mt_root_of_path(struct ses_hash *out, const struct ses_hash *leaf, uint64_t index,
                                 uint64_t cnt, const struct ses_hash *path, size_t path_cnt)
{
    *out = (struct ses_hash){0};
    SES_REQUIRE(index < cnt, SES_ERR_MALFORMED);
    struct ses_hash hash = *leaf;
    uint64_t last = cnt - 1;
    for (size_t i = 0; i < path_cnt; i++) {
        SES_REQUIRE(last > 0, SES_ERR_MALFORMED);
        if (index % 2 == 1 || index == last) {
            join(&hash, &path[i], &hash);
            while (index % 2 == 0 && index > 0) { /* levels at which it was handed up */
                index /= 2;
                last /= 2;
            }
        } else {
            join(&hash, &hash, &path[i]);
        }
        index /= 2;
        last /= 2;
    }
    SES_REQUIRE(last == 0, SES_ERR_MALFORMED);
    *out = hash;
    return SES_OK;
}

#define SUM_BYTES 48u

static void sum_put(uint8_t out[SUM_BYTES], const struct ses_sum *sum)
{
    memcpy(out, sum->hash.bytes, 32);
    ses_put_u64(out + 32, sum->count);
    ses_put_u64(out + 40, sum->bytes);
}

/* Joins up to eight pairs. */
static void join_sums(struct ses_sum *out, const struct ses_sum *sums, size_t pair_cnt)
{
    uint8_t pairs[8][2 * SUM_BYTES];
    struct ses_hash hashes[8];
    for (size_t i = 0; i < pair_cnt; i++) {
        sum_put(pairs[i], &sums[2 * i]);
        sum_put(pairs[i] + SUM_BYTES, &sums[2 * i + 1]);
    }
    ses_b_batch(hashes, SES_TAG_MS, pairs[0], sizeof pairs[0], sizeof pairs[0], pair_cnt);
    for (size_t i = 0; i < pair_cnt; i++) {
        out[i] = (struct ses_sum){.hash = hashes[i],
                                  .count = sums[2 * i].count + sums[2 * i + 1].count,
                                  .bytes = sums[2 * i].bytes + sums[2 * i + 1].bytes};
    }
}

void ses_ms(struct ses_sum *out, struct ses_sum *sums, size_t cnt)
{
    if (cnt == 0) {
        *out = (struct ses_sum){0};
        return;
    }
    for (; cnt > 1; cnt = cnt / 2 + cnt % 2) {
        const size_t pair_cnt = cnt / 2;
        for (size_t i = 0; i < pair_cnt; i += 8) {
            join_sums(sums + i, sums + 2 * i, pair_cnt - i < 8 ? pair_cnt - i : 8);
        }
        if (cnt % 2 != 0) {
            sums[pair_cnt] = sums[cnt - 1];
        }
    }
    *out = sums[0];
}
