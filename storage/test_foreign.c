/* Seats that change, logs in bulk, and records whose bytes on disk are damaged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/storage_internal.h"
#include "storage/test_ask.h"
#include "storage/test_disk.h"

#define CNT 200u
#define EPOCH 101u

static struct kit kit;
static struct test_disk *disk;
static struct ask ask;
static struct oracle oracle;
static struct kit_record records[CNT];

static void begin(void)
{
    kit_root(&kit);
    disk = test_disk_new(kit.root, tap_random());
    kit_init(&kit, test_loop_new(KIT_NOW_MS), test_disk_door(disk));
    TAP_ERR(SES_OK, kit_open(&kit));
    oracle.cnt = 0;
    for (uint32_t n = 0; n < CNT; n++) {
        const struct kit_spec spec = {.n = n,
                                      .inbox = n % 40,
                                      .ts_ms = KIT_NOW_MS,
                                      .payload_bytes = 100 + n,
                                      .ttl_class = (uint8_t)(1 + n % 3)};
        kit_record(&records[n], &spec);
    }
}

static void put_all(void)
{
    for (uint32_t n = 0; n < CNT; n++) {
        uint64_t epoch = 0;
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
        oracle_put(&oracle, &records[n], epoch);
    }
}

static void end(void)
{
    if (kit.store != NULL) {
        kit_close(&kit);
    }
    for (uint32_t n = 0; n < CNT; n++) {
        kit_record_free(&records[n]);
    }
    test_loop_free(kit.loop);
    test_disk_free(disk);
    kit_free(&kit);
}

/* ---- split and merge ---- */
static void seat(uint32_t swarm, uint32_t num_swarms)
{
    const struct ses_store_seat s = {.swarm = swarm, .num_swarms = num_swarms, .from_epoch = 90};
    ses_store_set_seat(kit.store, &s);
}

static uint64_t check_view(const struct ses_view *view, const struct ses_view *asked)
{
    struct ses_sum want;
    oracle_sum(&oracle, &want, view, KIT_NOW_MS);
    ask_segments(&kit, &ask, asked, 0);
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(want.count, ask.sum.count);
    TAP_BYTES(want.hash.bytes, ask.sum.hash.bytes, 32);
    return want.count;
}

static void add_foreign(void *cookie, const struct ses_foreign *foreign)
{
    *(uint64_t *)cookie += foreign->record_cnt;
}

static uint64_t foreign_cnt(void)
{
    struct ses_store_stats stats;
    uint64_t cnt = 0;
    ses_store_foreign(kit.store, add_foreign, &cnt);
    ses_store_stats(kit.store, &stats);
    TAP_EQ(cnt, stats.foreign_cnt);
    return cnt;
}

static void test_split(void)
{
    const struct ses_view whole = {SES_EPOCH_LIVE, 0, 1};
    const struct ses_view left = {SES_EPOCH_LIVE, 0, 2};
    const struct ses_view right = {SES_EPOCH_LIVE, 1, 2};
    begin();
    put_all();
    TAP_EQ(CNT, check_view(&whole, NULL));
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
    const struct ses_snapshot s = ask.snapshot;
    seat(1, 2);
    const uint64_t mine = check_view(&right, NULL);
    TAP_OK(mine > 20 && mine < CNT - 20);
    TAP_EQ(CNT - mine, check_view(&left, &left)); /* what the others have can be compared */
    TAP_EQ(CNT, check_view(&whole, &whole));
    TAP_EQ(CNT - mine, foreign_cnt());
    /* nothing goes while S_101 of the whole can be asked for */
    TAP_ERR(SES_ERR_AGAIN, ses_store_drop_foreign(kit.store, NULL, NULL));
    const uint64_t zero = 0;
    const struct ses_forest_question question = {.positions = &zero, .position_cnt = 1};
    const struct ses_view old = {.epoch = EPOCH};
    ask_prove(&kit, &ask, &old, &question);
    TAP_ERR(SES_OK, ask.err);
    struct ses_opened opened;
    TAP_ERR(SES_OK, ses_forest_check(&opened, &s.root, 0, EPOCH, ask.bytes.bytes, ask.bytes.len));
    TAP_EQ(CNT, opened.count);
    test_loop_skip(kit.loop, ses_epoch_start_ms(&kit.params.times, EPOCH + 2) - KIT_NOW_MS);
    ask_drop_foreign(&kit, &ask);
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(CNT - mine, ask.record_cnt);
    for (int i = 0; i < 2; i++) {
        TAP_EQ(0, foreign_cnt());
        TAP_EQ(mine, check_view(&right, NULL));
        ask_segments(&kit, &ask, &left, 0);
        TAP_EQ(0, ask.sum.count);
        for (uint32_t n = 0; n < CNT; n++) {
            const bool own = (records[n].ids.digest.bytes[31] & 1) == 1;
            TAP_OK(own == ses_store_has(kit.store, &records[n].ids));
        }
        kit_close(&kit);
        TAP_ERR(SES_OK, kit_open(&kit));
        seat(1, 2);
    }
    /* a merge brings the others back */
    seat(0, 1);
    TAP_EQ(0, foreign_cnt());
    for (uint32_t n = 0; n < CNT; n++) {
        uint64_t epoch = 0;
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
        oracle_put(&oracle, &records[n], epoch);
    }
    TAP_EQ(CNT, check_view(&whole, NULL));
    end();
}

/* A seat is lost: everything goes, logs included, and what comes in meanwhile stays. */
static void test_drop_all(void)
{
    const struct ses_view whole = {SES_EPOCH_LIVE, 0, 1};
    begin();
    put_all();
    seat(SES_SWARM_NONE, 1);
    ask_drop_foreign(&kit, &ask);
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(CNT, ask.record_cnt);
    TAP_EQ(0, test_disk_log_bytes(disk));
    seat(0, 1);
    put_all();
    TAP_EQ(CNT, check_view(&whole, NULL));
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_EQ(CNT, check_view(&whole, NULL));
    end();
}

/* An owner whose inbox is served by swarm `half` of two. */
static void owner_of_half(struct owner *owner, uint8_t first, unsigned half)
{
    for (uint8_t n = first;; n++) {
        struct ses_hash digest;
        owner_init(owner, n);
        ses_inbox_digest(&digest, &owner->inbox);
        if ((digest.bytes[31] & 1) == half) {
            return;
        }
        owner_free(owner);
    }
}

static void on_gone(void *cookie, enum ses_err err, uint64_t record_cnt)
{
    *(bool *)cookie = err == SES_OK && record_cnt == 1;
}

/* A statement leaves a ghost where a log is about to go; what vouched for its message has it come
 * after all just then: it waits until the log is gone. */
static void test_comes_while_a_log_goes(void)
{
    struct owner left, right;
    struct kit_record foreign, message;
    struct statement statement;
    struct kit_put put;
    bool gone = false;
    begin();
    owner_of_half(&left, 1, 0);
    owner_of_half(&right, 100, 1);
    const uint64_t start_ms = ses_epoch_start_ms(&kit.params.times, EPOCH);
    const uint64_t now_ms = start_ms - 1000ull * kit.params.times.freeze_s + 5000;
    test_loop_skip(kit.loop, now_ms - ses_now_ms(&kit.params.loop->clock));
    owner_record(&foreign, &left, 1, start_ms - 7200000, 2, 10);
    owner_record(&message, &right, 2, start_ms - 7200000, 2, 10);
    statement_make(&statement, &kit, &right, &message, 1, now_ms / 1000 * 1000);
    TAP_ERR(SES_OK, ask_put(&kit, &foreign.record, &foreign.ids, NULL, NULL));
    seat(1, 2);
    kit_put_start_as(&kit, &put, &statement.record, statement.targets, statement.target_cnt,
                     KIT_REPLICA);
    while (!kit.store->writing) {
        TAP_MUST(test_loop_step(kit.loop));
    }
    TAP_ERR(SES_OK, ses_store_drop_foreign(kit.store, on_gone, &gone));
    while (!ses_store_has(kit.store, &message.ids)) {
        TAP_MUST(test_loop_step(kit.loop));
    }
    const struct ses_put late = {
        .record = message.record, .ids = &message.ids, .vouchers = {.cnt = 1, .epochs = {EPOCH}}};
    TAP_ERR(SES_ERR_FULL, ses_store_put(kit.store, &late));
    TAP_OK(test_loop_run(kit.loop, NULL) && gone);
    TAP_ERR(SES_OK, ses_store_put(kit.store, &late));
    TAP_OK(test_loop_run(kit.loop, NULL));
    ask_chunk(&kit, &ask, &message.ids.id, 0);
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(0, kit.fatal_cnt);
    kit_record_free(&foreign);
    kit_record_free(&message);
    statement_free(&statement);
    owner_free(&left);
    owner_free(&right);
    end();
}

static void shell(const char *format)
{
    char command[1024];
    SES_ASSERT(snprintf(command, sizeof command, format, kit.root) > 0);
    SES_ASSERT(system(command) == 0);
}

static void on_get(void *cookie, enum ses_err err, const struct ses_record_copy *record)
{
    (void)record;
    *(enum ses_err *)cookie = err;
}

static enum ses_err get(uint32_t n)
{
    enum ses_err err = SES_ERR_TIMEOUT;
    SES_TRY(ses_store_get(kit.store, &records[n].ids.id, on_get, &err));
    TAP_OK(test_loop_run(kit.loop, NULL));
    return err;
}

/* A seat is lost and won again, the records come in another order, and a loss of power takes from
 * the index what no checkpoint wrote: the rows of the old logs do not come back for the new ones.
 */
static void test_seat_again(void)
{
    begin();
    put_all();
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
    seat(SES_SWARM_NONE, 1);
    ask_drop_foreign(&kit, &ask);
    TAP_EQ(CNT, ask.record_cnt);
    shell("cd '%s' && rm -rf then && cp -r idx then && find then -name '*-wal' -delete");
    seat(0, 1);
    for (uint32_t n = CNT; n-- > 0;) {
        uint64_t epoch = 0;
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
    }
    kit_abandon(&kit);
    test_disk_crash(disk);
    shell("cd '%s' && rm -rf idx && mv then idx");
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint32_t n = 0; n < CNT; n++) {
        TAP_ERR(SES_OK, get(n));
    }
    end();
}

/* More views than are kept, again and again: each is made anew. */
static void test_many_views(void)
{
    begin();
    put_all();
    for (int round = 0; round < 2; round++) {
        for (uint32_t swarm = 0; swarm < 32; swarm++) {
            const struct ses_view view = {SES_EPOCH_LIVE, swarm, 32};
            (void)check_view(&view, &view);
        }
    }
    const struct ses_view odd = {SES_EPOCH_LIVE, 0, 3};
    TAP_ERR(SES_ERR_INVALID, ses_store_segments(kit.store, &odd, 0, NULL, NULL));
    end();
}

/* ---- bulk ---- */
static void test_bulk(void)
{
    uint32_t seen = 0;
    begin();
    put_all();
    const struct ses_segment *s = &records[0].ids.segment;
    uint64_t offset = 0;
    bool more = true;
    while (more) {
        ask_bulk(&kit, &ask, s, offset, 2000);
        TAP_ERR(SES_OK, ask.err);
        TAP_OK(ask.record_cnt > 0 && ask.bytes.len <= 2000);
        struct ses_reader r;
        ses_reader_init(&r, ask.bytes.bytes, ask.bytes.len);
        for (uint32_t i = 0; i < ask.record_cnt; i++) {
            struct ses_record record;
            struct ses_record_ids ids;
            ses_record_read(&r, &record);
            TAP_ERR(SES_OK, ses_record_identify(&ids, &record));
            TAP_BYTES(records[seen * 3].ids.id.bytes, ids.id.bytes, 32);
            seen++;
        }
        TAP_ERR(SES_OK, ses_reader_done(&r));
        TAP_OK(ask.next > offset);
        offset = ask.next;
        more = ask.more;
    }
    TAP_EQ((CNT + 2) / 3, seen);
    ask_bulk(&kit, &ask, s, offset, 2000); /* at the end */
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(0, ask.record_cnt);
    ask_bulk(&kit, &ask, s, 0, 1); /* one at least */
    TAP_EQ(1, ask.record_cnt);
    ask_bulk(&kit, &ask, s, UINT64_MAX, 1);
    TAP_EQ(0, ask.record_cnt);
    const struct ses_segment none = {.ttl_class = 4, .hour = s->hour};
    ask_bulk(&kit, &ask, &none, 0, 1000);
    TAP_ERR(SES_ERR_NOT_FOUND, ask.err);
    end();
}

/* ---- damage ---- */
static struct {
    uint32_t cnt;
    struct ses_hash id;
} damaged;

static bool on_damage(void *cookie, const struct ses_hash *id, const struct ses_segment *segment)
{
    (void)cookie;
    (void)segment;
    damaged.cnt++;
    damaged.id = *id;
    return true;
}

static void test_damage(void)
{
    static struct kit_box box;
    char path[48];
    uint64_t len = 0;
    uint64_t epoch = 0;
    begin();
    put_all();
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
    ses_store_listen_damage(kit.store, on_damage, NULL);
    damaged.cnt = 0;
    /* record 3 is the second of its log: one byte of its payload */
    SES_ASSERT(snprintf(path, sizeof path, "seg/1/%u.log", (unsigned)records[0].ids.segment.hour) >
               0);
    uint8_t *bytes = test_disk_bytes(disk, path, &len);
    TAP_MUST(bytes != NULL && len > 600);
    bytes[88 + 100 + 88 + 50] ^= 4;
    TAP_ERR(SES_OK, get(0));
    TAP_ERR(SES_ERR_CHECKSUM, get(3));
    TAP_ERR(SES_ERR_CHECKSUM, get(3));
    TAP_EQ(1, damaged.cnt); /* told once */
    TAP_BYTES(records[3].ids.id.bytes, damaged.id.bytes, 32);
    kit_read(&kit, &box, 3, 0, NULL, 100, 1 << 20);
    TAP_OK(!kit_box_has(&box, &records[3].ids.id));
    ask_bulk(&kit, &ask, &records[3].ids.segment, 0, 1 << 20);
    TAP_EQ((CNT + 2) / 3 - 1, ask.record_cnt);
    oracle_check_live(&oracle, &kit, &ask); /* the promise stands */
    /* another member's copy takes its place, in the epoch of the first */
    TAP_ERR(SES_OK, ask_put(&kit, &records[3].record, &records[3].ids, NULL, &epoch));
    TAP_EQ(EPOCH, epoch);
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(1, stats.repaired);
    for (int i = 0; i < 3; i++) {
        TAP_ERR(SES_OK, get(3));
        kit_read(&kit, &box, 3, 0, NULL, 100, 1 << 20);
        TAP_OK(kit_box_has(&box, &records[3].ids.id));
        ask_chunk(&kit, &ask, &records[3].ids.id, 0);
        TAP_ERR(SES_OK, ask.err);
        ask_bulk(&kit, &ask, &records[3].ids.segment, 0, 1 << 20);
        TAP_EQ((CNT + 2) / 3, ask.record_cnt);
        oracle_check_live(&oracle, &kit, &ask);
        oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
        kit_close(&kit);
        if (i == 1) { /* the logs alone tell the same */
            char idx[300];
            SES_ASSERT(snprintf(idx, sizeof idx, "%s/idx", kit.root) > 0);
            kit_remove_tree(idx);
        }
        TAP_ERR(SES_OK, kit_open(&kit));
    }
    end();
}

int main(void)
{
    TAP_RUN(test_split);
    TAP_RUN(test_drop_all);
    TAP_RUN(test_comes_while_a_log_goes);
    TAP_RUN(test_seat_again);
    TAP_RUN(test_many_views);
    TAP_RUN(test_bulk);
    TAP_RUN(test_damage);
    return tap_done();
}
