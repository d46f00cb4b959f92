/* The inbox store: durable inserts beside the bare append + fdatasync of the same bytes, reading,
 * memory per record, recovery, and the forest over all of it.
 *
 *     bench_storage [DIRECTORY [RECORDS_FOR_MEMORY]]
 *
 * DIRECTORY (default: the current one) should be on the disk that is to be measured. Rounds of the
 * two ways of writing alternate, so that both see the same disk; medians are printed. The records'
 * ids are computed before, as whoever receives a record computes them anyway. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "storage/storage.h"
#include "storage/test_ask.h"

#define PAYLOAD 8192u
#define LOG_BYTES (88u + PAYLOAD)
#define ROUNDS 7u
#define BATCH 256u
#define BATCHES 12u /* of a round */
#define SINGLES 100u
#define POOL (ROUNDS * (BATCH * BATCHES * 2 + SINGLES * 2))
#define SCRUB_RATE (4u << 20) /* sessiond's default */

static struct kit kit;
static struct kit_record *pool;
static uint32_t pool_used;

/* ---- the bare disk ---- */
static double raw_rate(uint32_t batch, uint32_t cnt)
{
    char path[300];
    static uint8_t bytes[BATCH * LOG_BYTES];
    SES_ASSERT(snprintf(path, sizeof path, "%s/raw", kit.root) > 0);
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    SES_ASSERT(fd >= 0);
    memset(bytes, 0x5a, sizeof bytes);
    const uint64_t begin = ses_mono_ns();
    for (uint32_t at = 0; at < cnt; at += batch) {
        const size_t len = (size_t)batch * LOG_BYTES;
        SES_ASSERT(write(fd, bytes, len) == (ssize_t)len);
        SES_ASSERT(fdatasync(fd) == 0);
    }
    const double rate = (double)cnt * 1e9 / (double)(ses_mono_ns() - begin);
    SES_ASSERT(close(fd) == 0 && unlink(path) == 0);
    return rate;
}

/* ---- the store ---- */
static struct {
    uint32_t limit; /* in flight */
    uint32_t todo;
    uint32_t started;
    uint32_t durable;
    uint32_t signed_cnt;
    bool wait_signed; /* the next is put when one is signed, not when it is durable */
    bool done;
} run;

static void on_signed(void *cookie, const struct ses_put_result *result);

static void put_more(void)
{
    const uint32_t *finished = run.wait_signed ? &run.signed_cnt : &run.durable;
    while (run.started < run.todo && run.started - *finished < run.limit) {
        const struct kit_record *r = &pool[pool_used++];
        const struct ses_put put = {.record = r->record, .ids = &r->ids, .on_done = on_signed};
        SES_ASSERT(ses_store_put(kit.store, &put) == SES_OK);
        run.started++;
    }
    run.done = *finished == run.todo;
}

static void on_signed(void *cookie, const struct ses_put_result *result)
{
    (void)cookie;
    SES_ASSERT(result->err == SES_OK);
    run.signed_cnt++;
    /* whole batches, as they come from the network */
    if (run.wait_signed && run.signed_cnt % (run.limit > 1 ? run.limit / 2 : 1) == 0) {
        put_more();
    }
}

static void on_record(void *cookie, const struct ses_hash *inbox, int16_t ns)
{
    (void)cookie;
    (void)inbox;
    (void)ns;
    run.durable++;
    if (!run.wait_signed && run.durable % (run.limit > 1 ? run.limit / 2 : 1) == 0) {
        put_more();
    }
}

static double store_rate(uint32_t limit, uint32_t cnt, bool wait_signed)
{
    memset(&run, 0, sizeof run);
    run.limit = limit;
    run.todo = cnt;
    run.wait_signed = wait_signed;
    const uint64_t begin = ses_mono_ns();
    put_more();
    SES_ASSERT(test_loop_run(kit.loop, &run.done));
    const double rate = (double)cnt * 1e9 / (double)(ses_mono_ns() - begin);
    SES_ASSERT(test_loop_run(kit.loop, NULL));
    return rate;
}

static void insert_row(const char *what, uint32_t batch, uint32_t cnt)
{
    double raw[ROUNDS];
    double durable[ROUNDS];
    double with_receipt[ROUNDS];
    double ratio[ROUNDS];
    for (uint32_t i = 0; i < ROUNDS; i++) {
        raw[i] = raw_rate(batch, cnt);
        durable[i] = store_rate(batch == 1 ? 1 : 2 * batch, cnt, false);
        ratio[i] = durable[i] / raw[i];
        with_receipt[i] = store_rate(batch == 1 ? 1 : 2 * batch, cnt, true);
    }
    printf("%-24s %12.0f %12.0f %7.0f %% %14.0f\n", what, median(raw, ROUNDS),
           median(durable, ROUNDS), 100 * median(ratio, ROUNDS), median(with_receipt, ROUNDS));
}

/* Records numbered from `first` on. */
static void fill_pool(uint64_t first)
{
    pool = ses_alloc(POOL, sizeof *pool);
    SES_ASSERT(pool != NULL);
    const uint64_t now = ses_now_ms(ses_clock_system());
    for (uint32_t n = 0; n < POOL; n++) {
        const struct kit_spec spec = {.n = first + n,
                                      .inbox = n % 16,
                                      .ts_ms = now,
                                      .payload_bytes = PAYLOAD,
                                      .ttl_class = 3};
        kit_record(&pool[n], &spec);
    }
}

static void empty_pool(void)
{
    for (uint32_t n = 0; n < POOL; n++) {
        kit_record_free(&pool[n]);
    }
    ses_free(pool);
    pool_used = 0;
}

static void bench_insert(void)
{
    fill_pool(0);
    ses_store_listen(kit.store, on_record, NULL);
    printf("durable inserts/s, 8 KiB  append+fdatasync       store    ratio  with receipts\n");
    insert_row("  one at a time", 1, SINGLES);
    insert_row("  256 at a time", BATCH, BATCH * BATCHES);
    empty_pool();
}

/* ---- the scrub ---- */
static void reopen(uint64_t scrub_rate)
{
    kit_close(&kit);
    kit.params.scrub_rate = scrub_rate;
    SES_ASSERT(kit_open(&kit) == SES_OK);
    ses_store_listen(kit.store, on_record, NULL);
}

static void raise_flag(void *cookie)
{
    *(bool *)cookie = true;
}

static void run_ms(uint64_t ms)
{
    const struct ses_loop *loop = test_loop_door(kit.loop);
    struct ses_timer *timer;
    bool over = false;
    SES_ASSERT(loop->timer_start(loop->ctx, &timer, ms, raise_flag, &over) == SES_OK);
    SES_ASSERT(test_loop_run(kit.loop, &over));
}

/* As fast as it can: bytes by the time of processors. */
static void scrub_speed(void)
{
    struct ses_store_stats stats;
    reopen((uint64_t)1 << 40);
    const clock_t begin = clock();
    run_ms(6000);
    const double s = (double)(clock() - begin) / CLOCKS_PER_SEC;
    ses_store_stats(kit.store, &stats);
    printf("scrub, 8 KiB records      %12.0f MB a second of one core\n",
           (double)stats.scrub_bytes / 1e6 / s);
}

static double rate_beside(uint64_t scrub_rate)
{
    const uint32_t cnt = BATCH * BATCHES;
    reopen(scrub_rate);
    run_ms(1100); /* it begins after a second */
    memset(&run, 0, sizeof run);
    run.limit = 2 * BATCH;
    run.todo = cnt;
    run.wait_signed = true;
    const uint64_t begin = ses_mono_ns();
    put_more();
    SES_ASSERT(test_loop_run(kit.loop, &run.done));
    return (double)cnt * 1e9 / (double)(ses_mono_ns() - begin);
}

/* With an epoch of a second nothing but the rate holds the scrub up. */
static void bench_scrub(void)
{
    const struct ses_times times = kit.params.times;
    double off[ROUNDS];
    double on[ROUNDS];
    double ratio[ROUNDS];
    kit.params.times = (struct ses_times){.genesis_s = times.genesis_s, .epoch_s = 1};
    scrub_speed();
    fill_pool(POOL);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        off[i] = rate_beside(0);
        on[i] = rate_beside(SCRUB_RATE);
        ratio[i] = on[i] / off[i];
    }
    printf("inserts/s with receipts beside it at %u MiB/s: %.0f of %.0f, %.0f %%\n",
           SCRUB_RATE >> 20, median(on, ROUNDS), median(off, ROUNDS), 100 * median(ratio, ROUNDS));
    empty_pool();
    kit.params.times = times;
    reopen(0);
}

/* ---- reading ---- */
static struct {
    uint64_t records;
    struct ses_cursor next;
    bool more;
    bool done;
} reading;

static void on_page(void *cookie, const struct ses_page_result *result)
{
    (void)cookie;
    SES_ASSERT(result->err == SES_OK);
    reading.records += result->record_cnt;
    reading.next = result->next;
    reading.more = result->more;
    reading.done = true;
}

static void bench_read(void)
{
    struct ses_retrieve ask = {.record_max = 100, .bytes_max = SES_FRAME_BYTES_MAX};
    const uint64_t begin = ses_mono_ns();
    memset(&reading, 0, sizeof reading);
    for (uint64_t inbox = 0; ses_mono_ns() - begin < 2000000000u; inbox = (inbox + 1) % 16) {
        memset(&ask.after, 0, sizeof ask.after);
        kit_inbox(&ask.inbox, inbox);
        do {
            reading.done = false;
            SES_ASSERT(ses_store_page(kit.store, &ask, on_page, NULL) == SES_OK);
            SES_ASSERT(test_loop_run(kit.loop, &reading.done));
            ask.after = reading.next;
        } while (reading.more);
    }
    printf("retrieve, cached, 8 KiB   %12.0f records/s, one page of 100 at a time\n",
           (double)reading.records * 1e9 / (double)(ses_mono_ns() - begin));
}

/* ---- memory ---- */
static uint64_t resident_bytes(void)
{
    char line[200];
    unsigned long long kib = 0;
    (void)malloc_trim(0);
    FILE *f = fopen("/proc/self/status", "r");
    SES_ASSERT(f != NULL);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kib = strtoull(line + 6, NULL, 10);
        }
    }
    SES_ASSERT(fclose(f) == 0);
    return (uint64_t)kib * 1024;
}

static void bench_memory(uint32_t cnt)
{
    const uint64_t now = ses_now_ms(ses_clock_system());
    const uint64_t before = resident_bytes();
    const uint64_t begin = ses_mono_ns();
    memset(&run, 0, sizeof run);
    run.wait_signed = true;
    run.limit = UINT32_MAX;
    for (uint32_t n = 0; n < cnt; n++) {
        struct kit_record r;
        const struct kit_spec spec = {.n = 1000000 + n,
                                      .inbox = 100 + n / 10,
                                      .ts_ms = now - (uint64_t)(n / 512 % 200) * 3600000,
                                      .payload_bytes = 64,
                                      .ttl_class = (uint8_t)(3 + n % 2)};
        kit_record(&r, &spec);
        const struct ses_put put = {.record = r.record, .ids = &r.ids, .on_done = on_signed};
        enum ses_err err = ses_store_put(kit.store, &put);
        while (err == SES_ERR_FULL) {
            run.done = false;
            run.signed_cnt = 0;
            SES_ASSERT(test_loop_run(kit.loop, NULL));
            err = ses_store_put(kit.store, &put);
        }
        SES_ASSERT(err == SES_OK);
        kit_record_free(&r);
    }
    SES_ASSERT(test_loop_run(kit.loop, NULL));
    const double seconds = (double)(ses_mono_ns() - begin) / 1e9;
    const uint64_t after = resident_bytes();
    const double each = after > before ? (double)(after - before) / cnt : 0;
    printf("memory                    %12.0f bytes a record (%u records, ten an inbox, 400 "
           "segments)\n",
           each, cnt);
    printf("                          %12.0f MiB with 10^6 records%s\n",
           ((double)before + each * 1e6) / 1048576, cnt < 1000000 ? ", extrapolated" : "");
    printf("                          %12.0f records/s meanwhile, 64 bytes, with receipts\n",
           cnt / seconds);
    const uint64_t open_begin = ses_mono_ns();
    kit_close(&kit);
    SES_ASSERT(kit_open(&kit) == SES_OK);
    printf("close and open again      %12.2f s\n", (double)(ses_mono_ns() - open_begin) / 1e9);
}

/* ---- the forest ---- */
static struct ask ask;

static double ms_since(uint64_t begin)
{
    return (double)(ses_mono_ns() - begin) / 1e6;
}

static void bench_one_more(void)
{
    const struct kit_spec spec = {.n = 77,
                                  .inbox = 77,
                                  .ts_ms = ses_now_ms(ses_clock_system()),
                                  .payload_bytes = 64,
                                  .ttl_class = 3};
    SES_ASSERT(kit_put(&kit, &spec, KIT_REPLICA, NULL) == SES_OK);
    const uint64_t begin = ses_mono_ns();
    ask_segments(&kit, &ask, NULL, (uint32_t)(spec.ts_ms / 3600000));
    printf("  sums after one insert   %12.2f ms\n", ms_since(begin));
}

static void bench_snapshot(uint64_t epoch, const char *what)
{
    SES_ASSERT(ses_store_seal(kit.store, (int64_t)epoch) == SES_OK);
    const uint64_t begin = ses_mono_ns();
    ask_snapshot(&kit, &ask, epoch, 0, 1);
    SES_ASSERT(ask.err == SES_OK);
    printf("  snapshot, %s %12.2f ms (%llu leaves)\n", what, ms_since(begin),
           (unsigned long long)ask.snapshot.count);
}

static void bench_proofs(uint64_t epoch, const char *what)
{
    struct ses_view view;
    double sum = 0;
    size_t bytes = 0;
    ask_view_of(&view, epoch);
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t positions[2] = {i * 7919 % ask.snapshot.count, ask.snapshot.count - 1 - i};
        const bool swap = positions[0] > positions[1];
        const uint64_t t = positions[0];
        positions[0] = swap ? positions[1] : t;
        positions[1] = swap ? t : positions[1];
        const struct ses_forest_question question = {.positions = positions, .position_cnt = 2};
        const uint64_t begin = ses_mono_ns();
        ask_prove(&kit, &ask, &view, &question);
        sum += ms_since(begin);
        SES_ASSERT(ask.err == SES_OK);
        bytes += ask.bytes.len;
    }
    printf("  proof of two, %s %12.2f ms, %zu bytes\n", what, sum / 100, bytes / 100);
}

static void bench_forest(void)
{
    struct ses_store_stats stats;
    const uint64_t before = resident_bytes();
    uint64_t begin = ses_mono_ns();
    ask_segments(&kit, &ask, NULL, 0);
    SES_ASSERT(ask.err == SES_OK);
    printf("forest over all of them   %12.2f ms to the sum of %llu leaves in %zu segments\n",
           ms_since(begin), (unsigned long long)ask.sum.count, ask.segment_cnt);
    ses_store_stats(kit.store, &stats);
    printf("  open tries              %12.1f MiB, %u segments; process + %.1f MiB\n",
           (double)stats.forest_bytes / 1048576, stats.open_segments,
           ((double)resident_bytes() - (double)before) / 1048576);
    bench_one_more();
    const uint64_t now_s = ses_now_ms(ses_clock_system()) / 1000;
    const uint64_t epoch = ses_epoch_at(&kit.params.times, now_s);
    bench_snapshot(epoch + 1, "sums known   ");
    bench_proofs(epoch + 1, "first ask");
    bench_proofs(epoch + 1, "open     ");
    kit_close(&kit);
    SES_ASSERT(kit_open(&kit) == SES_OK);
    bench_snapshot(epoch + 2, "nothing known");
}

int main(int argc, char **argv)
{
    SES_ASSERT(setenv("TMPDIR", argc > 1 ? argv[1] : ".", 1) == 0);
    SES_ASSERT(ses_crypto_init() == SES_OK);
    kit_root(&kit);
    SES_ASSERT(ses_disk_open(&kit.real, kit.root, NULL) == SES_OK);
    kit_init(&kit, test_loop_new_threads(), &kit.real);
    SES_ASSERT(kit_open(&kit) == SES_OK);
    bench_insert();
    bench_scrub();
    bench_read();
    bench_memory(argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100000);
    bench_forest();
    ask_free(&ask);
    kit_close(&kit);
    test_loop_free(kit.loop);
    ses_disk_close(&kit.real);
    kit_free(&kit);
    return 0;
}
