/* Epochs of a store: what a seal shuts out, the one commitment of an epoch, the first full sync;
 * and the same roots after power loss at every point, and with memory that fails at every point. */
#include <stdio.h>
#include <string.h>

#include "storage/storage_internal.h"
#include "storage/test_ask.h"
#include "storage/test_disk.h"

#define PUTS 30u
#define EPOCH 101u /* to which what is put at KIT_NOW_MS is admitted */

static struct kit kit;
static struct test_disk *disk;
static struct ask ask;
static struct oracle oracle;
static struct owner owner;
static struct kit_record records[PUTS];
static struct kit_put put_of[PUTS];
static struct statement statement;

static void begin_on(bool real)
{
    kit_root(&kit);
    disk = real ? NULL : test_disk_new(kit.root, tap_random());
    SES_ASSERT(!real || ses_disk_open(&kit.real, kit.root, NULL) == SES_OK);
    kit_init(&kit, test_loop_new(KIT_NOW_MS), real ? &kit.real : test_disk_door(disk));
    owner_init(&owner, 9);
    for (uint32_t n = 0; n < PUTS; n++) {
        owner_record(&records[n], &owner, n, KIT_NOW_MS, (uint8_t)(1 + n % 3), 50 + n * 31);
    }
    statement_make(&statement, &kit, &owner, records + 3, 8, KIT_NOW_MS + 2000);
    oracle.cnt = 0;
    memset(put_of, 0, sizeof put_of);
}

static void end(void)
{
    if (kit.store != NULL) {
        kit_close(&kit);
    }
    for (uint32_t n = 0; n < PUTS; n++) {
        kit_record_free(&records[n]);
    }
    statement_free(&statement);
    owner_free(&owner);
    test_loop_free(kit.loop);
    if (disk != NULL) {
        test_disk_free(disk);
    } else {
        ses_disk_close(&kit.real);
    }
    kit_free(&kit);
}

static void restart(void)
{
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
}

/* ---- seals ---- */
/* A seal at any moment of a put: the snapshot holds exactly what was promised for it. */
static void test_seal_in_flight(void)
{
    bool both = false;
    for (uint32_t steps = 0; steps < 60 && !(both && steps > 40); steps++) {
        begin_on(false);
        TAP_ERR(SES_OK, kit_open(&kit));
        for (uint32_t n = 0; n < PUTS; n++) {
            kit_put_start(&kit, &put_of[n], &records[n], KIT_REPLICA);
            if (n % 7 == 6) {
                (void)test_loop_step(kit.loop);
            }
        }
        for (uint32_t i = 0; i < steps; i++) {
            (void)test_loop_step(kit.loop);
        }
        TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
        ask_snapshot(&kit, &ask, EPOCH, 0, 1);
        const struct ses_snapshot s = ask.snapshot;
        TAP_OK(test_loop_run(kit.loop, NULL));
        uint32_t in_cnt = 0;
        for (uint32_t n = 0; n < PUTS; n++) {
            TAP_ERR(SES_OK, put_of[n].err);
            const uint64_t epoch = put_of[n].result.receipt.leaf.admit_epoch;
            TAP_OK(epoch == EPOCH || epoch == EPOCH + 1);
            in_cnt += epoch == EPOCH;
            oracle_put(&oracle, &records[n], epoch);
        }
        TAP_EQ(in_cnt, s.count);
        both |= in_cnt > 0 && in_cnt < PUTS;
        oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
        TAP_BYTES(s.root.bytes, ask.snapshot.root.bytes, 32);
        restart();
        oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
        oracle_check_live(&oracle, &kit, &ask);
        end();
    }
    TAP_OK(both); /* a moment between was among them */
}

static void test_admit_boundaries(void)
{
    const uint64_t settle_ms = 300000;
    const uint64_t freeze_ms = 120000;
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    const uint64_t start_ms = ses_epoch_start_ms(&kit.params.times, EPOCH);
    const struct {
        uint64_t accepted_ms, ts_ms, epoch;
    } cases[] = {{start_ms - freeze_ms - 1000, start_ms - settle_ms - 1000, EPOCH},
                 {start_ms - freeze_ms - 1000, start_ms - settle_ms, EPOCH + 1},
                 {start_ms - freeze_ms, start_ms - settle_ms - 1000, EPOCH},
                 {start_ms - freeze_ms + 1, start_ms - settle_ms - 1000, EPOCH + 1}};
    for (uint32_t i = 0; i < SES_COUNT(cases); i++) {
        struct ses_receipt receipt;
        const uint64_t now_ms = ses_now_ms(&kit.params.loop->clock);
        test_loop_skip(kit.loop, cases[i].accepted_ms - now_ms);
        struct kit_record r;
        owner_record(&r, &owner, 500 + i, cases[i].ts_ms, 3, 10);
        struct kit_put put;
        kit_put_start(&kit, &put, &r, KIT_REPLICA);
        while (!put.done) { /* the clock stands while it is written */
            TAP_MUST(test_loop_step(kit.loop));
        }
        receipt = put.result.receipt;
        const bool exact = ses_now_ms(&kit.params.loop->clock) - cases[i].accepted_ms < 1000;
        TAP_OK(exact);
        if (i != 2) { /* the timers took some ms: the third case is one past its boundary */
            TAP_EQ(cases[i].epoch, receipt.leaf.admit_epoch);
        }
        oracle_put(&oracle, &r, receipt.leaf.admit_epoch);
        kit_record_free(&r);
    }
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH + 1));
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH + 1);
    end();
}

/* Who had it before the freeze vouches for it: a copy that came after the freeze is admitted with
 * it, while there is time, and is so after a restart. */
static void test_known_comes_earlier(void)
{
    const uint64_t freeze_ms = 120000;
    const struct ses_vouchers one = {.cnt = 1, .epochs = {EPOCH}};
    struct kit_record records_of[2];
    uint64_t epoch = 0;
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    const uint64_t start_ms = ses_epoch_start_ms(&kit.params.times, EPOCH);
    test_loop_skip(kit.loop, start_ms - freeze_ms + 5000 - ses_now_ms(&kit.params.loop->clock));
    const uint64_t names = test_disk_index_names(disk);
    for (uint32_t i = 0; i < 2; i++) {
        struct kit_record *r = &records_of[i];
        owner_record(r, &owner, 600 + i, start_ms - 400000, 3, 10);
        TAP_ERR(SES_OK, ask_put(&kit, &r->record, &r->ids, NULL, &epoch));
        TAP_EQ(EPOCH + 1, epoch);
    }
    TAP_EQ(names + 1, test_disk_index_names(disk)); /* the earlier epoch stands in the index only */
    TAP_ERR(SES_OK, ask_put(&kit, &records_of[0].record, &records_of[0].ids, &one, &epoch));
    TAP_EQ(EPOCH, epoch);
    test_loop_skip(kit.loop, freeze_ms / 6); /* one receipt is too few by now */
    TAP_ERR(SES_OK, ask_put(&kit, &records_of[1].record, &records_of[1].ids, &one, &epoch));
    TAP_EQ(EPOCH + 1, epoch);
    oracle_put(&oracle, &records_of[0], EPOCH);
    oracle_put(&oracle, &records_of[1], EPOCH + 1);
    restart();
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH + 1));
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH + 1);
    oracle_check_live(&oracle, &kit, &ask);
    kit_record_free(&records_of[0]);
    kit_record_free(&records_of[1]);
    end();
}

/* ---- commitments ---- */
static struct ses_commitment commitment_of(uint64_t epoch, const char *text)
{
    struct ses_commitment c = {.epoch = epoch};
    memset(c.secret.bytes, (int)epoch, 32);
    SES_ASSERT(ses_buf_append(&c.bytes, text, strlen(text)) == SES_OK);
    return c;
}

static void check_commit(enum ses_err err, uint64_t epoch, const char *text, const char *want)
{
    struct ses_commitment c = commitment_of(epoch, text);
    struct ses_commitment out;
    TAP_ERR(err, ses_store_commit(kit.store, &out, &c));
    if (err == SES_OK) {
        TAP_EQ(epoch, out.epoch);
        TAP_EQ(strlen(want), out.bytes.len);
        TAP_BYTES(want, out.bytes.bytes, out.bytes.len);
        TAP_BYTES(c.secret.bytes, out.secret.bytes, 32);
    }
    ses_buf_free(&out.bytes);
    ses_buf_free(&c.bytes);
}

static void test_one_commitment(void)
{
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH + 1));
    ask_snapshot(&kit, &ask, EPOCH, 0, 1);
    TAP_ERR(SES_OK, ask.err);
    TAP_EQ(0, ask.snapshot.count);
    check_commit(SES_ERR_AGAIN, EPOCH, "first", NULL); /* not compared with anybody yet */
    TAP_OK(ses_store_needs_sync(kit.store));
    TAP_ERR(SES_OK, ses_store_mark_synced(kit.store));
    TAP_OK(!ses_store_needs_sync(kit.store));
    check_commit(SES_OK, EPOCH, "first", "first");
    check_commit(SES_OK, EPOCH, "second", "first");
    restart();
    TAP_OK(!ses_store_needs_sync(kit.store));
    check_commit(SES_OK, EPOCH, "third", "first");
    check_commit(SES_ERR_INVALID, EPOCH + 1, "no snapshot", NULL);
    ask_snapshot(&kit, &ask, EPOCH + 1, 0, 1);
    check_commit(SES_OK, EPOCH + 1, "next", "next");
    check_commit(SES_OK, EPOCH, "late", "first");
    struct ses_commitment last;
    TAP_ERR(SES_OK, ses_store_commitment(kit.store, &last, UINT64_MAX));
    TAP_EQ(EPOCH + 1, last.epoch);
    ses_buf_free(&last.bytes);
    TAP_ERR(SES_OK, ses_store_commitment(kit.store, &last, EPOCH));
    TAP_EQ(EPOCH, last.epoch);
    ses_buf_free(&last.bytes);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_store_commitment(kit.store, &last, EPOCH - 1));
    /* an epoch that was passed over */
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH + 3));
    ask_snapshot(&kit, &ask, EPOCH + 3, 0, 1);
    ask_snapshot(&kit, &ask, EPOCH + 2, 0, 1);
    check_commit(SES_OK, EPOCH + 3, "far", "far");
    check_commit(SES_ERR_INVALID, EPOCH + 2, "behind", NULL);
    TAP_ERR(SES_ERR_INVALID, ses_store_snapshot(kit.store, EPOCH, 1, 2, NULL, NULL));
    end();
}

/* Without its meta.db a store has sealed the epoch of the day and must be compared first. */
static void test_lost_meta(void)
{
    char path[300];
    uint64_t epoch = 0;
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_EQ(100, (uint64_t)ses_store_sealed(kit.store));
    TAP_ERR(SES_OK, ses_store_mark_synced(kit.store));
    TAP_ERR(SES_OK, ask_put(&kit, &records[0].record, &records[0].ids, NULL, &epoch));
    kit_close(&kit);
    SES_ASSERT(snprintf(path, sizeof path, "%s/meta.db", kit.root) > 0);
    SES_ASSERT(remove(path) == 0);
    test_loop_skip(kit.loop, 5 * KIT_EPOCH_S * 1000ull);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_EQ(105, (uint64_t)ses_store_sealed(kit.store));
    TAP_OK(ses_store_needs_sync(kit.store));
    oracle_put(&oracle, &records[0], epoch);
    oracle_check_live(&oracle, &kit, &ask);
    end();
}

/* Records that were committed to are gone, as from a restored disk: what they were in cannot be
 * opened, everything else can. */
static void test_lost_records(void)
{
    char path[300];
    struct ses_view view;
    struct ses_forest_range range = {0};
    uint64_t epoch = 0;
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint32_t n = 0; n < PUTS; n++) {
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
    }
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
    ask_snapshot(&kit, &ask, EPOCH, 0, 1);
    const struct ses_snapshot s = ask.snapshot;
    TAP_EQ(PUTS, s.count);
    kit_close(&kit);
    SES_ASSERT(snprintf(path, sizeof path, "%s/idx", kit.root) > 0);
    kit_remove_tree(path);
    SES_ASSERT(snprintf(path, sizeof path, "seg/2/%u.log", (unsigned)records[1].ids.segment.hour) >
               0);
    uint64_t len = 0;
    const uint8_t *bytes = test_disk_bytes(disk, path, &len);
    TAP_MUST(bytes != NULL && len > 500);
    test_disk_put(disk, path, bytes, len / 2);
    TAP_ERR(SES_OK, kit_open(&kit));
    ask_snapshot(&kit, &ask, EPOCH, 0, 1);
    TAP_BYTES(s.root.bytes, ask.snapshot.root.bytes, 32); /* it stays what was committed to */
    ask_view_of(&view, EPOCH);
    memset(range.high.bytes, 0xff, sizeof range.high.bytes);
    const struct ses_forest_question question = {.ranges = &range, .range_cnt = 1};
    for (uint32_t n = 0; n < 3; n++) { /* classes 1, 2, 3 */
        ses_segment_encode(range.segment.bytes, &records[n].ids.segment);
        ask_prove(&kit, &ask, &view, &question);
        TAP_ERR(n == 1 ? SES_ERR_CHECKSUM : SES_OK, ask.err);
        struct ses_opened opened;
        if (n != 1) {
            TAP_ERR(SES_OK,
                    ses_forest_check(&opened, &s.root, 0, EPOCH, ask.bytes.bytes, ask.bytes.len));
        }
    }
    /* no record of a segment is left: the same */
    kit_close(&kit);
    test_disk_put(disk, path, bytes, 0);
    SES_ASSERT(snprintf(path, sizeof path, "%s/idx", kit.root) > 0);
    kit_remove_tree(path);
    TAP_ERR(SES_OK, kit_open(&kit));
    ses_segment_encode(range.segment.bytes, &records[1].ids.segment);
    ask_prove(&kit, &ask, &view, &question);
    TAP_ERR(SES_ERR_CHECKSUM, ask.err);
    end();
}

/* Whether the payload stands in the record's log. */
static bool on_disk(const struct kit_record *record)
{
    const struct ses_disk *door = kit.params.disk;
    struct ses_file *file;
    char path[48];
    uint64_t len = 0;
    SES_ASSERT(snprintf(path, sizeof path, "seg/%u/%u.log", (unsigned)record->ids.segment.ttl_class,
                        (unsigned)record->ids.segment.hour) > 0);
    SES_ASSERT(door->open(door->ctx, path, false, &file) == SES_OK);
    SES_ASSERT(door->size(door->ctx, file, &len) == SES_OK);
    uint8_t *bytes = ses_alloc(1, (size_t)len);
    SES_ASSERT(bytes != NULL && door->read(door->ctx, file, 0, bytes, (size_t)len) == SES_OK);
    door->close(door->ctx, file);
    const bool found =
        memmem(bytes, (size_t)len, record->payload, record->record.payload_bytes) != NULL;
    ses_free(bytes);
    return found;
}

static void count_damage(void *cookie, const char *text)
{
    (void)text;
    ++*(uint32_t *)cookie;
}

static uint32_t damage_cnt(void)
{
    uint32_t cnt = 0;
    struct ses_note note = {{0}};
    struct ses_verify_report report;
    const struct ses_verify_params params = {.disk = kit.params.disk,
                                             .chain_id = kit.params.chain_id,
                                             .now_ms = ses_now_ms(&kit.params.loop->clock),
                                             .on_damage = count_damage,
                                             .cookie = &cnt,
                                             .note = &note};
    TAP_ERR(SES_OK, ses_store_verify(&report, &params));
    return cnt;
}

static void expire_now(void)
{
    ses_store_expire(kit.store);
    TAP_OK(test_loop_run(kit.loop, NULL));
}

/* What was deleted is overwritten as soon as no snapshot can be asked to show it, not before; the
 * forest, the neighbours and every start are none the worse. */
static void test_erased(void)
{
    uint64_t epoch = 0;
    char path[300];
    begin_on(true);
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint32_t n = 0; n < PUTS; n++) {
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
        oracle_put(&oracle, &records[n], epoch);
    }
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
    ask_snapshot(&kit, &ask, EPOCH, 0, 1);
    TAP_ERR(SES_OK, statement_put(&kit, &statement, &epoch)); /* records 3..10 */
    TAP_EQ(EPOCH + 1, epoch);
    oracle_delete(&oracle, &statement, &records[0].ids.digest, epoch);
    const uint64_t until_ms = ses_epoch_start_ms(&kit.params.times, EPOCH + 2);
    test_loop_skip(kit.loop, until_ms - 1000 - ses_now_ms(&kit.params.loop->clock));
    expire_now();
    TAP_OK(on_disk(&records[3]));
    test_loop_skip(kit.loop, 1000);
    expire_now();
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(8, stats.erased);
    for (int i = 0; i < 3; i++) {
        for (uint32_t n = 0; n < PUTS; n++) {
            const bool deleted = n >= 3 && n < 11;
            TAP_OK(on_disk(&records[n]) != deleted);
            TAP_OK(ses_store_has(kit.store, &records[n].ids));
            ask_chunk(&kit, &ask, &records[n].ids.id, 0);
            TAP_ERR(deleted ? SES_ERR_NOT_FOUND : SES_OK, ask.err);
        }
        oracle_check_live(&oracle, &kit, &ask);
        ask_bulk(&kit, &ask, &records[1].ids.segment, 0, 1 << 20); /* 1, 4, 7, ... less 4, 7, 10 */
        TAP_EQ(10 - 3, ask.record_cnt);
        expire_now();
        ses_store_stats(kit.store, &stats);
        TAP_EQ(i == 0 ? 8 : 0, stats.erased); /* not again */
        kit_close(&kit);
        TAP_EQ(0, damage_cnt());
        if (i == 1) {
            SES_ASSERT(snprintf(path, sizeof path, "%s/idx", kit.root) > 0);
            kit_remove_tree(path);
        }
        TAP_ERR(SES_OK, kit_open(&kit));
        ses_store_stats(kit.store, &stats);
        TAP_EQ(0, stats.torn_tails);
    }
    /* nobody brings it back */
    TAP_ERR(SES_OK, ask_put(&kit, &records[3].record, &records[3].ids, NULL, &epoch));
    TAP_EQ(EPOCH + 1, epoch);
    TAP_OK(!on_disk(&records[3]));
    oracle_check_live(&oracle, &kit, &ask);
    end();
}

/* More epochs than are remembered: the last ones count. */
static void test_many_snapshots(void)
{
    struct ses_snapshot s;
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint64_t e = EPOCH; e < EPOCH + 12; e++) {
        TAP_ERR(SES_OK, ses_store_seal(kit.store, (int64_t)e));
        ask_snapshot(&kit, &ask, e, 0, 1);
        TAP_ERR(SES_OK, ask.err);
    }
    for (int i = 0; i < 2; i++) {
        TAP_ERR(SES_ERR_NOT_FOUND, ses_store_snapshot_get(kit.store, &s, EPOCH + 3));
        TAP_ERR(SES_OK, ses_store_snapshot_get(kit.store, &s, EPOCH + 4));
        TAP_ERR(SES_OK, ses_store_snapshot_get(kit.store, &s, EPOCH + 11));
        restart();
    }
    ask_snapshot(&kit, &ask, EPOCH, 0, 1); /* older than all of them */
    TAP_ERR(SES_ERR_FULL, ask.err);
    end();
}

/* The disk fails while more waits than one batch holds: everybody hears of it. */
static void test_failure_with_a_queue(void)
{
    enum { MANY = 400 };
    static struct kit_put many[MANY];
    struct kit_put again;
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    test_disk_fail_sync_at(disk, 1);
    for (uint32_t n = 0; n < MANY; n++) {
        struct kit_record r;
        owner_record(&r, &owner, 1000 + n, KIT_NOW_MS, 2, 20);
        kit_put_start(&kit, &many[n], &r, KIT_REPLICA);
        if (n == MANY - 1) {
            kit_put_start(&kit, &again, &r, KIT_REPLICA);
        }
        kit_record_free(&r);
    }
    TAP_OK(test_loop_run(kit.loop, NULL));
    for (uint32_t n = 0; n < MANY; n++) {
        TAP_OK(many[n].done);
        TAP_ERR(SES_ERR_IO, many[n].err);
    }
    TAP_ERR(SES_ERR_IO, again.err);
    TAP_EQ(1, kit.fatal_cnt);
    kit_abandon(&kit);
    end();
}

static void test_snapshots_go(void)
{
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
    ask_snapshot(&kit, &ask, EPOCH, 0, 1);
    const uint64_t gone_ms = ses_epoch_start_ms(&kit.params.times, EPOCH + 3);
    test_loop_skip(kit.loop, gone_ms - 1 - ses_now_ms(&kit.params.loop->clock));
    ses_store_expire(kit.store);
    TAP_ERR(SES_OK, ses_store_snapshot_get(kit.store, &ask.snapshot, EPOCH));
    TAP_OK(test_loop_run(kit.loop, NULL));
    test_loop_skip(kit.loop, 1);
    ses_store_expire(kit.store);
    TAP_ERR(SES_ERR_NOT_FOUND, ses_store_snapshot_get(kit.store, &ask.snapshot, EPOCH));
    TAP_OK(test_loop_run(kit.loop, NULL));
    restart();
    TAP_ERR(SES_ERR_NOT_FOUND, ses_store_snapshot_get(kit.store, &ask.snapshot, EPOCH));
    end();
}

/* ---- power loss ---- */
static void script(void)
{
    for (uint32_t n = 0; n < PUTS && kit.fatal_cnt == 0; n++) {
        kit_put_start(&kit, &put_of[n], &records[n], KIT_REPLICA);
        if (n == 8 && statement_put(&kit, &statement, NULL) != SES_OK) {
            return;
        }
        if (n % 5 == 4) {
            TAP_OK(test_loop_run(kit.loop, NULL));
        }
    }
    TAP_OK(test_loop_run(kit.loop, NULL));
}

/* Whatever was lost is put again; then all is as if nothing had happened. */
static void repeat_all(void)
{
    uint64_t epoch = 0;
    TAP_ERR(SES_OK, statement_put(&kit, &statement, &epoch));
    oracle_delete(&oracle, &statement, &records[0].ids.digest, epoch);
    for (uint32_t n = 0; n < PUTS; n++) {
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
        oracle_put(&oracle, &records[n], epoch);
        if (put_of[n].done && put_of[n].err == SES_OK) {
            const uint64_t promised = put_of[n].result.receipt.leaf.admit_epoch;
            TAP_OK(epoch <= promised); /* an earlier leaf is one all the same */
        }
    }
}

static bool crash_at(uint64_t at, bool lose_index)
{
    char idx[300];
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    test_disk_stop_at(disk, at);
    script();
    const bool stopped = kit.fatal_cnt > 0;
    kit_abandon(&kit);
    test_disk_crash(disk);
    if (lose_index) {
        SES_ASSERT(snprintf(idx, sizeof idx, "%s/idx", kit.root) > 0);
        kit_remove_tree(idx);
    }
    kit.fatal_cnt = 0;
    TAP_ERR(SES_OK, kit_open(&kit));
    repeat_all();
    oracle_check_live(&oracle, &kit, &ask);
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
    kit_close(&kit);
    end();
    return stopped;
}

static void test_power_loss(void)
{
    uint64_t at = 1;
    while (crash_at(at, at % 2 == 0)) {
        at++;
    }
    TAP_OK(at > 15);
}

/* ---- no space ---- */
static void test_no_space(void)
{
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    script();
    repeat_all();
    test_disk_set_space(disk, 100);
    struct kit_record more;
    owner_record(&more, &owner, 900, KIT_NOW_MS, 2, 5000);
    TAP_ERR(SES_ERR_DISK_LOW, ask_put(&kit, &more.record, &more.ids, NULL, NULL));
    struct statement late;
    statement_make(&late, &kit, &owner, records + 20, 3, KIT_NOW_MS + 3000);
    TAP_ERR(SES_ERR_DISK_LOW, statement_put(&kit, &late, NULL)); /* deletes nothing, then */
    oracle_check_live(&oracle, &kit, &ask);
    TAP_ERR(SES_OK, ses_store_seal(kit.store, EPOCH));
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH); /* meta.db is on another disk here */
    test_disk_set_space(disk, 1u << 30);
    test_loop_skip(kit.loop, 2000);
    enum ses_err err = SES_ERR_DISK_LOW;
    uint64_t epoch = 0;
    for (int i = 0; i < 5 && err != SES_OK; i++) {
        test_loop_skip(kit.loop, 1100);
        err = statement_put(&kit, &late, &epoch);
        TAP_OK(test_loop_run(kit.loop, NULL));
    }
    TAP_ERR(SES_OK, err);
    oracle_delete(&oracle, &late, &records[0].ids.digest, epoch);
    oracle_check_live(&oracle, &kit, &ask);
    statement_free(&late);
    kit_record_free(&more);
    end();
}

/* ---- a message and its delete under way together ---- */
static void start_statement(struct kit_put *put)
{
    kit_put_start_as(&kit, put, &statement.record, statement.targets, statement.target_cnt,
                     KIT_REPLICA);
}

static void finish_both(const struct kit_put *message, const struct kit_put *delete)
{
    TAP_OK(test_loop_run(kit.loop, NULL));
    TAP_ERR(SES_OK, delete->err);
    if (message->err == SES_OK) {
        oracle_put(&oracle, &records[3], message->result.receipt.leaf.admit_epoch);
    }
    oracle_delete(&oracle, &statement, &records[3].ids.digest,
                  delete->result.receipt.leaf.admit_epoch);
    for (int i = 0; i < 2; i++) {
        oracle_check_live(&oracle, &kit, &ask);
        TAP_OK(ses_store_has(kit.store, &records[3].ids));
        TAP_ERR(SES_ERR_NOT_FOUND, ses_store_get(kit.store, &records[3].ids.id, NULL, NULL));
        restart();
    }
}

static void test_delete_in_flight(void)
{
    struct kit_put message;
    struct kit_put delete;
    for (int first = 0; first < 2; first++) { /* of one batch, in either order */
        begin_on(false);
        TAP_ERR(SES_OK, kit_open(&kit));
        ask_segments(&kit, &ask, NULL, 0);
        if (first == 0) {
            kit_put_start(&kit, &message, &records[3], KIT_REPLICA);
        }
        start_statement(&delete);
        if (first == 1) {
            kit_put_start(&kit, &message, &records[3], KIT_REPLICA);
        }
        finish_both(&message, &delete);
        end();
    }
    begin_on(false); /* the message waits for the next batch, for which there is no space */
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint32_t n = 0; n < 3; n++) { /* whose segments are open then */
        uint64_t epoch = 0;
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
        oracle_put(&oracle, &records[n], epoch);
    }
    ask_segments(&kit, &ask, NULL, 0);
    TAP_EQ(3, ask.segment_cnt);
    start_statement(&delete);
    TAP_OK(test_loop_step(kit.loop));
    kit_put_start(&kit, &message, &records[3], KIT_REPLICA);
    while (!ses_store_has(kit.store, &statement.record.ids)) {
        TAP_MUST(test_loop_step(kit.loop));
    }
    test_disk_set_space(disk, 10);
    finish_both(&message, &delete);
    TAP_ERR(SES_ERR_DISK_LOW, message.err);
    end();
}

/* What a statement deletes unseen takes memory as a record does, and counts before it is there. */
static void test_targets_count(void)
{
    struct kit_put delete;
    begin_on(false);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit.store->catalog.record_cnt = SES_RECORDS_MAX - 5;
    start_statement(&delete);
    TAP_ERR(SES_ERR_DISK_LOW, delete.err);
    TAP_EQ(0, kit.store->catalog.ghost_room);
    kit.store->catalog.record_cnt = SES_RECORDS_MAX - 15; /* eight targets, two puts */
    start_statement(&delete);
    TAP_EQ(8, kit.store->catalog.ghost_room);
    struct kit_put message;
    kit.store->catalog.record_cnt += 5;
    kit_put_start(&kit, &message, &records[20], KIT_REPLICA);
    TAP_ERR(SES_ERR_DISK_LOW, message.err);
    kit.store->catalog.record_cnt = 0;
    TAP_OK(test_loop_run(kit.loop, NULL));
    TAP_ERR(SES_OK, delete.err);
    TAP_EQ(9, kit.store->catalog.record_cnt);
    TAP_EQ(0, kit.store->catalog.ghost_room);
    end();
}

/* ---- no memory ---- */
static void ask_everything(void)
{
    struct ses_view view;
    const uint64_t first = 0;
    const struct ses_forest_question question = {.positions = &first, .position_cnt = 1};
    struct ses_children_ask child = {.nibble_cnt = 1};
    ask_view_of(&view, SES_EPOCH_LIVE);
    ask_segments(&kit, &ask, NULL, 0);
    if (ask.err == SES_OK && ask.segment_cnt > 0) {
        child.segment = ask.segments[0].id;
        ask_children(&kit, &ask, NULL, &child, 1);
    }
    ask_snapshot(&kit, &ask, EPOCH, 0, 1);
    view.epoch = EPOCH;
    ask_prove(&kit, &ask, &view, &question);
    ask_chunk(&kit, &ask, &records[0].ids.id, 0);
    ask_bulk(&kit, &ask, &records[0].ids.segment, 0, 1000);
}

static void starve(uint64_t at)
{
    begin_on(true);
    TAP_ERR(SES_OK, kit_open(&kit));
    uint64_t epoch = 0;
    for (uint32_t n = 0; n < PUTS / 2; n++) {
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
    }
    ask_segments(&kit, &ask, NULL, 0);
    ses_alloc_fail_at(at);
    for (uint32_t n = PUTS / 2; n < PUTS; n++) {
        (void)(ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch) == SES_OK);
        if (n == PUTS / 2) {
            (void)(statement_put(&kit, &statement, &epoch) == SES_OK);
        }
    }
    const bool sealed = ses_store_seal(kit.store, EPOCH) == SES_OK;
    ask_everything();
    ses_alloc_fail_at(0);
    if (kit.fatal_cnt > 0) { /* the writer stops the store: a start makes all good */
        kit_abandon(&kit);
        kit.fatal_cnt = 0;
        TAP_ERR(SES_OK, kit_open(&kit));
    }
    TAP_OK(sealed);
    repeat_all();
    oracle_check_live(&oracle, &kit, &ask);
    oracle_check_snapshot(&oracle, &kit, &ask, EPOCH);
    end();
}

static void test_no_memory(void)
{
    for (uint64_t at = 1; at < 1500; at += 1 + at / 8) {
        starve(at);
    }
}

/* A start that lacks memory says so and leaves what is stored alone; the next one that has enough
 * comes to the same, with the index or without it. */
static void open_starving(bool indexed)
{
    char path[sizeof kit.root + 8];
    uint32_t failed_cnt = 0;
    snprintf(path, sizeof path, "%s/idx", kit.root);
    for (uint64_t at = 1; kit.store == NULL; at += 1 + at / 16) {
        if (!indexed) {
            kit_remove_tree(path);
        }
        ses_alloc_fail_at(at);
        const enum ses_err err = kit_open(&kit);
        ses_alloc_fail_at(0);
        if (err != SES_OK) {
            TAP_ERR(SES_ERR_MEMORY, err);
            kit.store = NULL;
            failed_cnt++;
        }
    }
    TAP_OK(failed_cnt > 20);
    oracle_check_live(&oracle, &kit, &ask);
    kit_close(&kit);
}

static void test_start_without_memory(void)
{
    uint64_t epoch = 0;
    begin_on(true);
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint32_t n = 0; n < PUTS / 2; n++) {
        TAP_ERR(SES_OK, ask_put(&kit, &records[n].record, &records[n].ids, NULL, &epoch));
        oracle_put(&oracle, &records[n], epoch);
    }
    TAP_ERR(SES_OK, statement_put(&kit, &statement, &epoch));
    oracle_delete(&oracle, &statement, &records[0].ids.digest, epoch);
    kit_close(&kit);
    open_starving(true);
    open_starving(false);
    end();
}

int main(void)
{
    TAP_RUN(test_seal_in_flight);
    TAP_RUN(test_admit_boundaries);
    TAP_RUN(test_known_comes_earlier);
    TAP_RUN(test_one_commitment);
    TAP_RUN(test_lost_meta);
    TAP_RUN(test_snapshots_go);
    TAP_RUN(test_lost_records);
    TAP_RUN(test_erased);
    TAP_RUN(test_many_snapshots);
    TAP_RUN(test_failure_with_a_queue);
    TAP_RUN(test_power_loss);
    TAP_RUN(test_no_space);
    TAP_RUN(test_delete_in_flight);
    TAP_RUN(test_targets_count);
    TAP_RUN(test_no_memory);
    TAP_RUN(test_start_without_memory);
    return tap_done();
}
