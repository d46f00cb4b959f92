/* The forest: inserting, proving, checking, roots and memory, beside their targets.
 *
 *     bench_forest [LEAVES]                 1000000 unless told
 *
 * The forest has 1,250 segments, as many as can live at once, of which one is open with 100,000
 * leaves of 10,000 inboxes. Each figure is the median of the rounds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "crypto/crypto.h"

#define OPEN_LEAVES 100000u
#define SEGMENTS 1250u
#define INBOXES 10000u
#define ROUNDS 11u
#define BATCH 256u
#define TS_MS 1800000000000ull
#define POOL_BYTES ((size_t)4 << 30)

struct fixture {
    struct ses_leaf *fresh; /* leaves of the open segment that were not inserted yet */
    size_t fresh_cnt;
    size_t used;
    struct ses_forest_pool *pool;
    struct ses_forest *forest;
    struct ses_segment_id segment;
    struct ses_hash root;
    struct ses_forest_range range;
    uint64_t position;
    struct ses_forest_question question;
    struct ses_buf proof;
};

static void must(bool ok)
{
    if (!ok) {
        fprintf(stderr, "bench_forest: an operation failed\n");
        exit(1);
    }
}

/* Random ids in random inboxes, all in the one hour. */
static void leaf_make(struct ses_leaf *out, size_t i)
{
    uint8_t seed[4];
    struct ses_hash digest;
    ses_put_u32(seed, (uint32_t)(i * 2654435761u % INBOXES));
    ses_blake3_hash(&digest, seed, sizeof seed);
    memset(out, 0, sizeof *out);
    memcpy(out->key.bytes, digest.bytes, 32);
    ses_random_fill(ses_random_system(), out->key.bytes + 32, 32);
    out->ts_ms = TS_MS + 1000u * (i % 3600);
    out->ttl_class = 3;
    out->size = 8192;
}

static struct ses_leaf *leaves_make(size_t cnt)
{
    struct ses_leaf *leaves = ses_alloc(cnt, sizeof *leaves);
    must(leaves != NULL);
    for (size_t i = 0; i < cnt; i++) {
        leaf_make(&leaves[i], i);
    }
    return leaves;
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->fresh_cnt = OPEN_LEAVES + 200000u;
    f->fresh = leaves_make(f->fresh_cnt);
    must(ses_forest_pool_new(&f->pool, POOL_BYTES) == SES_OK);
    must(ses_forest_new(&f->forest, f->pool) == SES_OK);
    ses_leaf_segment(&f->segment, &f->fresh[0]);
    for (uint32_t i = 0; i + 1 < SEGMENTS; i++) {
        struct ses_segment_id id = f->segment;
        struct ses_sum sum = {.count = 800, .bytes = 800 * 8192};
        ses_put_u32(id.bytes + 1, ses_get_u32(id.bytes + 1) - 1 - i);
        ses_random_fill(ses_random_system(), sum.hash.bytes, sizeof sum.hash.bytes);
        must(ses_forest_add_sum(f->forest, &id, &sum) == SES_OK);
    }
    for (; f->used < OPEN_LEAVES; f->used++) {
        must(ses_forest_put(f->forest, &f->fresh[f->used]) == SES_OK);
    }
    ses_forest_root(f->forest, &f->root, 5, 77);
}

static void fixture_free(struct fixture *f)
{
    ses_buf_free(&f->proof);
    ses_forest_free(f->forest);
    ses_forest_pool_free(f->pool);
    ses_free(f->fresh);
}

static void row(const char *what, double us, const char *target)
{
    printf("%-52s %10.2f us   %s\n", what, us, target);
}

/* ---- inserting ---- */

enum settle { NEVER, EACH_BATCH, EACH_LEAF };

static double insert_us(struct fixture *f, enum settle settle)
{
    double us[ROUNDS];
    const size_t cnt = 4 * BATCH;
    for (unsigned r = 0; r < ROUNDS; r++) {
        const uint64_t begin = ses_mono_ns();
        for (size_t i = 0; i < cnt; i++) {
            must(f->used < f->fresh_cnt);
            must(ses_forest_put(f->forest, &f->fresh[f->used++]) == SES_OK);
            if (settle == EACH_LEAF || (settle == EACH_BATCH && i % BATCH == BATCH - 1)) {
                ses_forest_root(f->forest, &f->root, 5, 77);
            }
        }
        us[r] = (double)(ses_mono_ns() - begin) / 1e3 / (double)cnt;
        ses_forest_root(f->forest, &f->root, 5, 77);
    }
    return median(us, ROUNDS);
}

/* ---- proofs ---- */

static void ask(struct fixture *f, bool position, bool inbox)
{
    const struct ses_leaf *some = &f->fresh[ses_random_below(ses_random_system(), f->used)];
    struct ses_sum sum;
    struct ses_hash digest;
    memset(&f->question, 0, sizeof f->question);
    if (position) {
        ses_forest_sum(f->forest, &sum);
        f->position = sum.count - 1 - ses_random_below(ses_random_system(), OPEN_LEAVES);
        f->question.positions = &f->position;
        f->question.position_cnt = 1;
        return;
    }
    memcpy(digest.bytes, some->key.bytes, sizeof digest.bytes);
    if (inbox) {
        ses_forest_range_slot(&f->range, &f->segment, &digest);
    } else {
        ses_forest_range_key(&f->range, &f->segment, &some->key);
    }
    f->question.ranges = &f->range;
    f->question.range_cnt = 1;
}

static void answer(const struct fixture *f)
{
    struct ses_opened opened;
    struct ses_segment_id segment;
    struct ses_leaf leaves[256];
    size_t cnt = 256;
    must(ses_forest_check(&opened, &f->root, 5, 77, f->proof.bytes, f->proof.len) == SES_OK);
    if (f->question.position_cnt > 0) {
        must(ses_opened_at(&opened, f->position, &segment, leaves) == SES_OK);
    } else {
        must(ses_opened_range(&opened, &f->range, leaves, &cnt) == SES_OK && cnt > 0);
    }
}

static void proof_rows(struct fixture *f, const char *what, bool position, bool inbox)
{
    enum { CNT = 2001 };
    static double prove[CNT];
    static double check[CNT];
    static double bytes[CNT];
    char text[64];
    for (size_t i = 0; i < CNT; i++) {
        ask(f, position, inbox);
        f->proof.len = 0;
        const uint64_t begin = ses_mono_ns();
        must(ses_forest_prove(f->forest, &f->proof, &f->question, NULL) == SES_OK);
        const uint64_t made = ses_mono_ns();
        answer(f);
        check[i] = (double)(ses_mono_ns() - made) / 1e3;
        prove[i] = (double)(made - begin) / 1e3;
        bytes[i] = (double)f->proof.len;
    }
    snprintf(text, sizeof text, "prove %s (%.0f bytes)", what, median(bytes, CNT));
    row(text, median(prove, CNT), "target 50");
    snprintf(text, sizeof text, "verify %s and answer", what);
    row(text, median(check, CNT), "target 20");
}

/* ---- many at once ---- */

static int by_key(const void *a, const void *b)
{
    const struct ses_leaf *x = a;
    const struct ses_leaf *y = b;
    return ses_leaf_key_compare(&x->key, &y->key);
}

/* Seconds from no forest to its root; the pool's bytes. */
static double root_once(const struct ses_leaf *leaves, size_t cnt, bool sorted, size_t *bytes)
{
    struct ses_forest_pool *pool;
    struct ses_forest *forest;
    struct ses_forest_trie *trie;
    struct ses_segment_id segment;
    struct ses_hash root;
    const uint64_t begin = ses_mono_ns();
    ses_leaf_segment(&segment, &leaves[0]);
    must(ses_forest_pool_new(&pool, POOL_BYTES) == SES_OK);
    must(ses_forest_new(&forest, pool) == SES_OK);
    if (sorted) {
        must(ses_forest_trie_build(&trie, pool, &segment, leaves, cnt) == SES_OK);
        must(ses_forest_add_trie(forest, trie) == SES_OK);
    }
    for (size_t i = 0; i < cnt && !sorted; i++) {
        must(ses_forest_put(forest, &leaves[i]) == SES_OK);
    }
    ses_forest_root(forest, &root, 5, 77);
    const double seconds = (double)(ses_mono_ns() - begin) / 1e9;
    *bytes = ses_forest_pool_bytes(pool);
    ses_forest_free(forest);
    ses_forest_pool_free(pool);
    return seconds;
}

static void root_rows(size_t cnt)
{
    struct ses_leaf *leaves = leaves_make(cnt);
    double seconds[3];
    size_t bytes = 0;
    char text[64];
    for (unsigned r = 0; r < 3; r++) {
        seconds[r] = root_once(leaves, cnt, false, &bytes);
    }
    snprintf(text, sizeof text, "root of %zu fresh leaves, one by one", cnt);
    printf("%-52s %10.3f s    target 2\n", text, median(seconds, 3));
    printf("%-52s %10.1f bytes\n", "memory for a record", (double)bytes / (double)cnt);
    qsort(leaves, cnt, sizeof *leaves, by_key);
    for (unsigned r = 0; r < 3; r++) {
        seconds[r] = root_once(leaves, cnt, true, &bytes);
    }
    snprintf(text, sizeof text, "root of %zu fresh leaves, sorted", cnt);
    printf("%-52s %10.3f s    target 2\n", text, median(seconds, 3));
    ses_free(leaves);
}

int main(int argc, char **argv)
{
    const size_t cnt = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000u;
    struct fixture f;
    if (cnt == 0) {
        fprintf(stderr, "usage: bench_forest [LEAVES]\n");
        return 2;
    }
    must(ses_crypto_init() == SES_OK);
    fixture_init(&f);
    row("insert, sums left for later", insert_us(&f, NEVER), "target 8");
    row("insert, root after every 256", insert_us(&f, EACH_BATCH), "target 8");
    row("insert, root after every one", insert_us(&f, EACH_LEAF), "");
    proof_rows(&f, "a key", false, false);
    proof_rows(&f, "an inbox", false, true);
    proof_rows(&f, "a position", true, false);
    fixture_free(&f);
    root_rows(cnt);
    return 0;
}
