/* Reconciliation of two members' sets: bytes, round trips and processor time, beside their target.
 *
 *     bench_sync [RECORDS]                  1000000 unless told
 *
 * The records lie in the 336 segments of 14 days. "Recent" differences are of the last three hours,
 * as after a short outage; "spread" ones lie anywhere. Bytes are those of all frames, without the
 * missing records themselves; a round trip is a request and its answer, those that fetch included
 * (128 records each). Time is that of both sides together. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/test_reconcile_kit.h"

#define HOURS 336u
#define HOUR 500000u
#define RECENT 3u

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put_both(struct kit_side *a, struct kit_side *b, uint64_t n)
{
    struct ses_leaf leaf;
    kit_leaf(&leaf, n, 3, HOUR - (uint32_t)(n % HOURS));
    kit_put(a, &leaf);
    kit_put(b, &leaf);
}

/* `cnt` records that only `b` has. */
static uint64_t put_missing(struct kit_side *b, uint64_t from, uint64_t cnt, uint32_t hours)
{
    struct ses_sum sum;
    for (uint64_t i = 0; i < cnt; i++) {
        struct ses_leaf leaf;
        kit_leaf(&leaf, from + i, 3, HOUR - (uint32_t)(i % hours));
        kit_put(b, &leaf);
    }
    ses_forest_sum(b->forest, &sum);
    return from + cnt;
}

static void measure(struct kit_side *a, struct kit_side *b, const char *where, uint64_t cnt,
                    const char *target)
{
    const struct reconcile_params params = {.set = {1, 0}, .whole = true};
    struct kit_cost cost;
    const double start = seconds();
    kit_run(a, b, &params, false, &cost);
    const double took = seconds() - start;
    const bool ok = cost.fetched == cnt && kit_same(a, b);
    printf("%-8s %7" PRIu64 " %12" PRIu64 " %8.1f %8u %9.1f   %s%s\n", where, cnt, cost.bytes,
           cnt > 0 ? (double)cost.bytes / (double)cnt : 0.0, cost.rounds, took * 1e3, target,
           ok ? "" : "  NOT CONVERGED");
    if (!ok) {
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static const uint64_t counts[] = {1, 100, 10000};
    const uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    struct kit_side a, b;
    struct ses_sum sum;
    kit_side_init(&a);
    kit_side_init(&b);
    for (uint64_t n = 0; n < records; n++) {
        put_both(&a, &b, n);
    }
    ses_forest_sum(a.forest, &sum);
    ses_forest_sum(b.forest, &sum);
    printf("%" PRIu64 " records on both sides, in %u segments\n", records, HOURS);
    printf("%-8s %7s %12s %8s %8s %9s   %s\n", "where", "missing", "bytes", "each", "trips", "ms",
           "target");
    uint64_t next = records;
    measure(&a, &b, "nowhere", 0, "");
    for (size_t i = 0; i < SES_COUNT(counts); i++) {
        next = put_missing(&b, next, counts[i], RECENT);
        measure(&a, &b, "recent", counts[i], counts[i] == 100 ? "<= 30000 bytes, <= 4 trips" : "");
    }
    for (size_t i = 0; i < SES_COUNT(counts); i++) {
        next = put_missing(&b, next, counts[i], HOURS);
        measure(&a, &b, "spread", counts[i], "");
    }
    kit_side_free(&a);
    kit_side_free(&b);
    return 0;
}
