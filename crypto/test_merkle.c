#include "crypto/test_vectors.h"

#define CNT_MAX 1100u

static struct ses_hash leaves[CNT_MAX];
static struct ses_hash scratch[CNT_MAX];

/* The definition, top down. */
static void mt_slow(struct ses_hash *out, const struct ses_hash *hashes, size_t cnt)
{
    struct ses_hash pair[2];
    size_t k = 1;
    if (cnt <= 1) {
        *out = cnt == 1 ? hashes[0] : (struct ses_hash){0};
        return;
    }
    while (2 * k < cnt) {
        k *= 2;
    }
    mt_slow(&pair[0], hashes, k);
    mt_slow(&pair[1], hashes + k, cnt - k);
    ses_b(out, SES_TAG_MT, SES_PARTS(SES_PART(pair, 64)));
}

static void ms_slow(struct ses_sum *out, const struct ses_sum *sums, size_t cnt)
{
    struct ses_sum l;
    struct ses_sum r;
    uint8_t bytes[96];
    size_t k = 1;
    if (cnt <= 1) {
        *out = cnt == 1 ? sums[0] : (struct ses_sum){0};
        return;
    }
    while (2 * k < cnt) {
        k *= 2;
    }
    ms_slow(&l, sums, k);
    ms_slow(&r, sums + k, cnt - k);
    memcpy(bytes, l.hash.bytes, 32);
    ses_put_u64(bytes + 32, l.count);
    ses_put_u64(bytes + 40, l.bytes);
    memcpy(bytes + 48, r.hash.bytes, 32);
    ses_put_u64(bytes + 80, r.count);
    ses_put_u64(bytes + 88, r.bytes);
    ses_b(&out->hash, SES_TAG_MS, SES_PARTS(SES_PART(bytes, 96)));
    out->count = l.count + r.count;
    out->bytes = l.bytes + r.bytes;
}

static void test_mt(void)
{
    for (size_t cnt = 0; cnt <= CNT_MAX; cnt = cnt < 140 ? cnt + 1 : cnt + 97) {
        struct ses_hash want;
        struct ses_hash got;
        mt_slow(&want, leaves, cnt);
        memcpy(scratch, leaves, sizeof scratch);
        ses_mt(&got, scratch, cnt);
        TAP_BYTES(want.bytes, got.bytes, 32);
    }
}

static void test_ms(void)
{
    for (size_t cnt = 0; cnt < 300; cnt = cnt < 70 ? cnt + 1 : cnt + 31) {
        struct ses_sum sums[300] = {0};
        struct ses_sum want;
        struct ses_sum got;
        for (size_t i = 0; i < cnt; i++) {
            sums[i] = (struct ses_sum){leaves[i], i + 1, ses_random_u64(tap_random()) >> 20};
        }
        ms_slow(&want, sums, cnt);
        ses_ms(&got, sums, cnt);
        TAP_BYTES(want.hash.bytes, got.hash.bytes, 32);
        TAP_EQ(want.count, got.count);
        TAP_EQ(want.bytes, got.bytes);
    }
}

static void check_path(size_t cnt, size_t index)
{
    struct ses_hash path[SES_MT_PATH_MAX];
    struct ses_hash root;
    struct ses_hash got;
    size_t path_cnt = 0;
    mt_slow(&root, leaves, cnt);
    ses_mt_path(path, &path_cnt, leaves, cnt, index);
    TAP_ERR(SES_OK, ses_mt_root_of_path(&got, &leaves[index], index, cnt, path, path_cnt));
    TAP_BYTES(root.bytes, got.bytes, 32);
    /* another place, another length, another count: not this root */
    const size_t other = (index + 1) % cnt;
    if (other != index &&
        ses_mt_root_of_path(&got, &leaves[index], other, cnt, path, path_cnt) == SES_OK) {
        TAP_OK(!ses_equal(root.bytes, got.bytes, 32));
    }
    TAP_ERR(SES_ERR_MALFORMED, ses_mt_root_of_path(&got, &leaves[index], cnt, cnt, path, path_cnt));
    if (path_cnt > 0) {
        TAP_ERR(SES_ERR_MALFORMED,
                ses_mt_root_of_path(&got, &leaves[index], index, cnt, path, path_cnt - 1));
    }
    path[path_cnt] = leaves[0];
    TAP_ERR(SES_ERR_MALFORMED,
            ses_mt_root_of_path(&got, &leaves[index], index, cnt, path, path_cnt + 1));
}

static void test_paths(void)
{
    for (size_t cnt = 1; cnt <= 70; cnt++) {
        for (size_t index = 0; index < cnt; index++) {
            check_path(cnt, index);
        }
    }
    for (unsigned i = 0; i < 60; i++) {
        const size_t cnt = 1 + ses_random_below(tap_random(), CNT_MAX);
        check_path(cnt, ses_random_below(tap_random(), cnt));
    }
}

static void test_path_of_nothing(void)
{
    struct ses_hash got;
    TAP_ERR(SES_ERR_MALFORMED, ses_mt_root_of_path(&got, &leaves[0], 0, 0, NULL, 0));
    TAP_ERR(SES_OK, ses_mt_root_of_path(&got, &leaves[0], 0, 1, NULL, 0));
    TAP_BYTES(leaves[0].bytes, got.bytes, 32);
    /* the longest tree there can be: length checks must not overflow */
    TAP_ERR(SES_ERR_MALFORMED, ses_mt_root_of_path(&got, &leaves[0], 0, UINT64_MAX, leaves, 63));
    TAP_ERR(SES_OK, ses_mt_root_of_path(&got, &leaves[0], 0, UINT64_MAX, leaves, 64));
}

int main(void)
{
    ses_random_fill(tap_random(), leaves, sizeof leaves);
    TAP_RUN(test_mt);
    TAP_RUN(test_ms);
    TAP_RUN(test_paths);
    TAP_RUN(test_path_of_nothing);
    return tap_done();
}
