/* Power loss at every point of a scripted run. The logs stand on the test disk, the databases on
 * the real one; the index is as it was committed, or an older copy, or gone. */
#include <stdio.h>
#include <string.h>

#include "storage/test_disk.h"
#include "storage/test_kit.h"

#define PUTS 24u

static struct kit kit;
static struct test_disk *disk;
static struct kit_put put_of[PUTS];
static struct kit_record records[PUTS];
static struct kit_box box;
static struct kit_box before;
static char copy_dir[300];
static char idx_dir[300];

enum index_fate { INDEX_AS_IS, INDEX_GONE, INDEX_OLD, INDEX_FATES };

static void begin(void)
{
    kit_root(&kit);
    struct test_loop *loop = test_loop_new(KIT_NOW_MS);
    disk = test_disk_new(kit.root, tap_random());
    kit_init(&kit, loop, test_disk_door(disk));
    SES_ASSERT(snprintf(idx_dir, sizeof idx_dir, "%s/idx", kit.root) > 0);
    SES_ASSERT(snprintf(copy_dir, sizeof copy_dir, "%s/old", kit.root) > 0);
    memset(put_of, 0, sizeof put_of);
    for (uint32_t n = 0; n < PUTS; n++) {
        const struct kit_spec spec = {.n = n,
                                      .inbox = 1,
                                      .ts_ms = KIT_NOW_MS,
                                      .payload_bytes = (n * 397) % 3000,
                                      .ttl_class = (uint8_t)(2 + n % 2)};
        kit_record(&records[n], &spec);
    }
}

static void end(void)
{
    for (uint32_t n = 0; n < PUTS; n++) {
        kit_record_free(&records[n]);
    }
    test_loop_free(kit.loop);
    test_disk_free(disk);
    kit_remove_tree(copy_dir);
    kit_free(&kit);
}

/* Groups of 1, 2, 3 ... records, each waited for; stops when the store does. The index is copied
 * half-way. */
static void script(void)
{
    uint32_t at = 0;
    for (uint32_t group = 1; at < PUTS && kit.fatal_cnt == 0; group++) {
        for (uint32_t i = 0; i < group && at < PUTS; i++, at++) {
            kit_put_start(&kit, &put_of[at], &records[at], at % 3 == 0 ? KIT_ENTRY : KIT_REPLICA);
        }
        TAP_OK(test_loop_run(kit.loop, NULL));
        if (group == 3) {
            kit_copy_dir(idx_dir, copy_dir);
        }
    }
}

static void decide_index(enum index_fate fate)
{
    if (fate == INDEX_AS_IS) {
        return;
    }
    kit_remove_tree(idx_dir);
    if (fate == INDEX_OLD) {
        kit_copy_dir(copy_dir, idx_dir);
    }
}

static bool acknowledged(uint32_t n)
{
    return put_of[n].done && put_of[n].err == SES_OK;
}

static struct {
    uint32_t cnt;
    struct ses_hash ids[PUTS];
} owed;

static void on_debt(void *cookie, const struct ses_hash *id, const struct ses_segment *segment)
{
    (void)cookie;
    (void)segment;
    SES_ASSERT(owed.cnt < PUTS);
    owed.ids[owed.cnt++] = *id;
}

static bool is_owed(const struct ses_hash *id)
{
    for (uint32_t i = 0; i < owed.cnt; i++) {
        if (memcmp(owed.ids[i].bytes, id->bytes, 32) == 0) {
            return true;
        }
    }
    return false;
}

/* Everything acknowledged is there, with the epoch that was promised; nothing half is served; a
 * reader who goes on from its cursor misses nothing. */
static void check_after(bool have_before, uint32_t others)
{
    static struct kit_box rest;
    kit_read(&kit, &box, 1, 0, NULL, 5, 1 << 20);
    TAP_ERR(SES_OK, box.err);
    kit_read(&kit, &rest, 1, 0, have_before ? &before.next : NULL, 5, 1 << 20);
    owed.cnt = 0;
    TAP_ERR(SES_OK, ses_store_pending(kit.store, on_debt, NULL));
    for (uint32_t n = 0; n < PUTS; n++) {
        const struct ses_hash *id = &records[n].ids.id;
        const bool seen = have_before && kit_box_has(&before, id);
        const bool there = kit_box_has(&box, id);
        TAP_OK(there || !acknowledged(n));
        TAP_OK(!there || seen || kit_box_has(&rest, id));
        TAP_OK(!acknowledged(n) || n % 3 != 0 || is_owed(id));
        TAP_OK(there == ses_store_has(kit.store, &records[n].ids));
        if (acknowledged(n)) {
            struct kit_put again;
            kit_put_start(&kit, &again, &records[n], KIT_REPLICA);
            TAP_OK(test_loop_run(kit.loop, &again.done));
            TAP_OK(again.result.existed);
            TAP_EQ(put_of[n].result.receipt.leaf.admit_epoch,
                   again.result.receipt.leaf.admit_epoch);
        }
    }
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(box.cnt + others, stats.record_cnt);
    TAP_EQ(0, stats.corrupt_reads);
    TAP_EQ(stats.disk_bytes, test_disk_log_bytes(disk)); /* what was torn is gone */
}

/* One life that ends at change number `at`, by a kill or by power loss; a second that ends with
 * power loss; a third. */
static bool crash_at(uint64_t at, enum index_fate fate, bool power_loss)
{
    begin();
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_MUST(kit.store != NULL);
    test_disk_stop_at(disk, at);
    script();
    const bool crashed = kit.fatal_cnt > 0;
    TAP_OK(kit.fatal_cnt <= 1);
    memset(&before, 0, sizeof before);
    bool have_before = false;
    kit_read(&kit, &before, 1, 0, NULL, 5, 1 << 20);
    /* somebody read before the crash; with a lost index everything may come twice, but not less */
    have_before = before.err == SES_OK;
    kit_abandon(&kit);
    if (power_loss) {
        test_disk_crash(disk);
    } else {
        test_disk_kill(disk);
    }
    decide_index(at > 20 ? fate : fate == INDEX_OLD ? INDEX_GONE : fate);
    for (int life = 0; life < 2; life++) {
        TAP_ERR(SES_OK, kit_open(&kit));
        TAP_MUST(kit.store != NULL);
        check_after(have_before, (uint32_t)life);
        const struct kit_spec fresh = {.n = 1000 + (uint64_t)life,
                                       .inbox = 2,
                                       .ts_ms = KIT_NOW_MS,
                                       .payload_bytes = 500,
                                       .ttl_class = 3};
        TAP_ERR(SES_OK, kit_put(&kit, &fresh, KIT_ENTRY, NULL));
        kit_read(&kit, &box, 2, 0, NULL, 5, 1 << 20);
        TAP_EQ((uint64_t)life + 1, box.cnt);
        kit_read(&kit, &before, 1, 0, NULL, 5, 1 << 20);
        for (uint32_t n = 0; n < PUTS; n++) { /* what this life served, the next one must */
            if (kit_box_has(&before, &records[n].ids.id) && !acknowledged(n)) {
                struct kit_put again;
                kit_put_start(&kit, &again, &records[n], n % 3 == 0 ? KIT_ENTRY : KIT_REPLICA);
                TAP_OK(test_loop_run(kit.loop, &again.done));
                put_of[n] = again;
            }
        }
        have_before = true;
        kit_abandon(&kit);
        test_disk_crash(disk);
        kit.fatal_cnt = 0;
    }
    end();
    return crashed;
}

static void enumerate(enum index_fate fate)
{
    uint64_t at = 1;
    while (crash_at(at, fate, true) && crash_at(at, fate, false)) {
        at++;
    }
    printf("# %u crash points\n", (unsigned)at);
    TAP_OK(at > 10);
}

static void test_crash_with_index(void)
{
    enumerate(INDEX_AS_IS);
}

static void test_crash_without_index(void)
{
    enumerate(INDEX_GONE);
}

static void test_crash_with_old_index(void)
{
    enumerate(INDEX_OLD);
}

/* The machine goes off while the store is being opened after a crash. */
static void test_crash_in_recovery(void)
{
    for (uint64_t at = 1; at < 20; at++) {
        begin();
        TAP_ERR(SES_OK, kit_open(&kit));
        test_disk_stop_at(disk, 22);
        script();
        kit_abandon(&kit);
        test_disk_crash(disk);
        decide_index(INDEX_GONE);
        test_disk_stop_at(disk, at);
        const enum ses_err err = kit_open(&kit);
        if (err == SES_OK) {
            kit_abandon(&kit);
        } else {
            TAP_ERR(SES_ERR_IO, err);
            TAP_OK(kit.note.text[0] != 0);
        }
        test_disk_crash(disk);
        kit.fatal_cnt = 0;
        TAP_ERR(SES_OK, kit_open(&kit));
        TAP_MUST(kit.store != NULL);
        check_after(false, 0);
        kit_abandon(&kit);
        end();
    }
}

/* A failed fdatasync ends everything: no acknowledgement, no second try. */
static void test_failed_sync_is_fatal(void)
{
    begin();
    TAP_ERR(SES_OK, kit_open(&kit));
    test_disk_fail_sync_at(disk, 3);
    script();
    TAP_EQ(1, kit.fatal_cnt);
    struct kit_put put;
    kit_put_start(&kit, &put, &records[PUTS - 1], KIT_REPLICA);
    TAP_ERR(SES_ERR_UNAVAILABLE, put.err);
    kit_read(&kit, &box, 1, 0, NULL, 5, 1 << 20);
    uint32_t acked = 0;
    for (uint32_t n = 0; n < PUTS; n++) {
        acked += acknowledged(n);
        TAP_OK(!acknowledged(n) || kit_box_has(&box, &records[n].ids.id));
    }
    TAP_OK(acked < PUTS);
    TAP_EQ(acked, box.cnt); /* and what was not acknowledged is not served */
    kit_close(&kit);        /* can still be closed in good order */
    test_disk_crash(disk);
    kit.fatal_cnt = 0;
    TAP_ERR(SES_OK, kit_open(&kit));
    check_after(false, 0);
    kit_abandon(&kit);
    end();
}

/* A signature that was being made when the disk failed is not handed out. */
static void test_no_receipt_after_failure(void)
{
    begin();
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_put_start(&kit, &put_of[0], &records[0], KIT_REPLICA);
    TAP_OK(test_loop_run(kit.loop, NULL));
    test_loop_skip(kit.loop, 1000);
    test_disk_fail_sync_at(disk, 1);
    kit_put_start(&kit, &put_of[1], &records[1], KIT_REPLICA);
    struct kit_put again; /* signed only */
    kit_put_start(&kit, &again, &records[0], KIT_REPLICA);
    TAP_OK(test_loop_run(kit.loop, NULL));
    TAP_EQ(1, kit.fatal_cnt);
    TAP_OK(put_of[1].done && again.done);
    TAP_ERR(SES_ERR_IO, put_of[1].err);
    TAP_ERR(SES_ERR_IO, again.err);
    kit_abandon(&kit);
    end();
}

/* No space: the batch is refused as a whole, leaves nothing behind, and reading goes on. */
static void test_no_space(void)
{
    begin();
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint32_t n = 0; n < 6; n++) {
        kit_put_start(&kit, &put_of[n], &records[n], n % 3 == 0 ? KIT_ENTRY : KIT_REPLICA);
        TAP_OK(test_loop_run(kit.loop, NULL));
        TAP_ERR(SES_OK, put_of[n].err);
    }
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    const uint64_t bytes = stats.disk_bytes;
    for (uint64_t room = 0; room < 8000; room += 1000) {
        test_disk_set_quota(disk, room);
        uint32_t refused = 0;
        for (uint32_t n = 6; n < 18; n++) {
            kit_put_start(&kit, &put_of[n], &records[n], n % 3 == 0 ? KIT_ENTRY : KIT_REPLICA);
        }
        TAP_OK(test_loop_run(kit.loop, NULL));
        for (uint32_t n = 6; n < 18; n++) {
            refused += put_of[n].err == SES_ERR_DISK_LOW;
        }
        TAP_EQ(12, refused);
        ses_store_stats(kit.store, &stats);
        TAP_EQ(bytes, stats.disk_bytes);
        TAP_EQ(bytes, test_disk_log_bytes(disk));
        TAP_EQ(6, stats.record_cnt);
        kit_read(&kit, &box, 1, 0, NULL, 5, 1 << 20);
        TAP_EQ(6, box.cnt);
        test_disk_set_quota(disk, 1u << 30);
        kit_put_start(&kit, &put_of[6], &records[6], KIT_ENTRY);
        TAP_OK(test_loop_run(kit.loop, NULL));
        TAP_ERR(SES_ERR_DISK_LOW, put_of[6].err); /* not asked again at once */
        test_loop_skip(kit.loop, 1000);
    }
    TAP_EQ(0, kit.fatal_cnt);
    for (uint32_t n = 6; n < 18; n++) {
        kit_put_start(&kit, &put_of[n], &records[n], n % 3 == 0 ? KIT_ENTRY : KIT_REPLICA);
    }
    TAP_OK(test_loop_run(kit.loop, NULL));
    kit_abandon(&kit);
    test_disk_crash(disk);
    TAP_ERR(SES_OK, kit_open(&kit));
    check_after(false, 0);
    TAP_EQ(18, box.cnt);
    kit_close(&kit);
    end();
}

static void test_disk_low_marks(void)
{
    begin();
    kit.params.entry_reserve_bytes = 100000;
    kit.params.hard_reserve_bytes = 50000;
    test_disk_set_space(disk, 102000);
    TAP_ERR(SES_OK, kit_open(&kit));
    struct kit_spec spec = {
        .n = 1, .inbox = 1, .ts_ms = KIT_NOW_MS, .payload_bytes = 1000, .ttl_class = 3};
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    spec.n = 2;
    TAP_ERR(SES_ERR_DISK_LOW, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_OK(!stats.entry_refused);
    for (uint64_t n = 2; n < 40; n++) {
        spec.n = n;
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    }
    ses_store_stats(kit.store, &stats);
    TAP_OK(stats.entry_refused);
    test_disk_set_space(disk, 50500); /* another program took it, and nobody says so */
    spec.n = 100;
    TAP_ERR(SES_ERR_DISK_LOW, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    test_disk_set_space(disk, 1u << 30);
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    test_disk_set_space(disk, 101000);
    spec.n = 101;
    TAP_ERR(SES_ERR_DISK_LOW, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    test_disk_set_space(disk, 1u << 30);
    ses_store_measure(kit.store);
    ses_store_stats(kit.store, &stats);
    TAP_OK(!stats.entry_refused);
    kit_close(&kit);
    kit.params.capacity_bytes = 200000; /* a limit of its own, below the disk's */
    test_disk_set_space(disk, 1u << 30);
    TAP_ERR(SES_OK, kit_open(&kit));
    ses_store_stats(kit.store, &stats);
    TAP_EQ(200000 - 40 * 1088, stats.free_bytes);
    kit_close(&kit);
    end();
}

/* An epoch is frozen, or sealed, while a batch is being made durable: what is promised is what was
 * true when fdatasync came back. */
static struct {
    struct test_loop *loop;
    uint64_t skip_ms;
    int64_t seal;
    enum ses_err (*sync)(void *ctx, struct ses_file *file);
} slow;

static enum ses_err slow_sync(void *ctx, struct ses_file *file)
{
    test_loop_skip(slow.loop, slow.skip_ms);
    slow.skip_ms = 0;
    if (slow.seal >= 0) {
        TAP_ERR(SES_OK, ses_store_seal(kit.store, slow.seal));
        slow.seal = -1;
    }
    return slow.sync(ctx, file);
}

static void test_accepted_late(void)
{
    begin();
    struct ses_disk slow_disk = *test_disk_door(disk);
    slow.loop = kit.loop;
    slow.skip_ms = 0;
    slow.seal = -1;
    slow.sync = slow_disk.sync;
    slow_disk.sync = slow_sync;
    kit.params.disk = &slow_disk;
    TAP_ERR(SES_OK, kit_open(&kit));
    const struct ses_times *t = &kit.params.times;
    const uint64_t first = ses_admit_epoch(t, KIT_NOW_MS, KIT_NOW_MS, -1, 0);
    slow.skip_ms = ses_epoch_start_ms(t, first) - KIT_NOW_MS - 60000; /* F_e is past by then */
    struct ses_receipt receipts[2];
    struct kit_spec spec = {
        .n = 1, .inbox = 1, .ts_ms = KIT_NOW_MS, .payload_bytes = 1000, .ttl_class = 3};
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, &receipts[0]));
    TAP_EQ(first + 1, receipts[0].leaf.admit_epoch);
    slow.seal = (int64_t)first + 4;
    spec.n = 2;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, &receipts[1]));
    TAP_EQ(first + 5, receipts[1].leaf.admit_epoch);
    kit_abandon(&kit);
    test_disk_crash(disk);
    decide_index(INDEX_GONE); /* the logs say the same */
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint64_t n = 0; n < 2; n++) {
        struct ses_receipt again;
        spec.n = n + 1;
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, &again));
        TAP_EQ(receipts[n].leaf.admit_epoch, again.leaf.admit_epoch);
    }
    kit_close(&kit);
    end();
}

int main(void)
{
    TAP_RUN(test_crash_with_index);
    TAP_RUN(test_crash_without_index);
    TAP_RUN(test_crash_with_old_index);
    TAP_RUN(test_crash_in_recovery);
    TAP_RUN(test_failed_sync_is_fatal);
    TAP_RUN(test_no_receipt_after_failure);
    TAP_RUN(test_no_space);
    TAP_RUN(test_disk_low_marks);
    TAP_RUN(test_accepted_late);
    return tap_done();
}
