/* The store on real files with virtual time: what it promises when nothing goes wrong. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "storage/storage_internal.h"
#include "storage/test_kit.h"

static struct kit kit;

static void begin(void)
{
    kit_root(&kit);
    struct test_loop *loop = test_loop_new(KIT_NOW_MS);
    struct kit saved = kit;
    SES_ASSERT(ses_disk_open(&saved.real, kit.root, NULL) == SES_OK);
    kit.real = saved.real;
    kit_init(&kit, loop, &kit.real);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_MUST(kit.store != NULL);
}

static void end(void)
{
    if (kit.store != NULL) {
        kit_close(&kit);
    }
    TAP_EQ(0, kit.fatal_cnt);
    test_loop_free(kit.loop);
    ses_disk_close(&kit.real);
    kit_free(&kit);
}

static void reopen(void)
{
    kit_close(&kit);
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_MUST(kit.store != NULL);
}

static struct kit_spec spec_of(uint64_t n, uint64_t inbox)
{
    return (struct kit_spec){
        .n = n, .inbox = inbox, .ts_ms = KIT_NOW_MS, .payload_bytes = 1000, .ttl_class = 3};
}

static struct ses_hash id_of(const struct kit_spec *spec)
{
    struct kit_record r;
    kit_record(&r, spec);
    const struct ses_hash id = r.ids.id;
    kit_record_free(&r);
    return id;
}

static struct kit_box box;

static void test_put_and_read(void)
{
    begin();
    for (uint64_t n = 0; n < 20; n++) {
        const struct kit_spec spec = spec_of(n, n % 2);
        struct ses_receipt receipt;
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, &receipt));
        TAP_EQ(ses_admit_epoch(&kit.params.times, KIT_NOW_MS, KIT_NOW_MS, -1, 0),
               receipt.leaf.admit_epoch);
    }
    kit_read(&kit, &box, 0, 0, NULL, 100, 1 << 20);
    TAP_EQ(10, box.cnt);
    for (uint32_t i = 0; i < 10 && i < box.cnt; i++) { /* in order of arrival */
        const struct kit_spec spec = spec_of(2 * i, 0);
        const struct ses_hash id = id_of(&spec);
        TAP_BYTES(id.bytes, box.ids[i].bytes, 32);
    }
    kit_read(&kit, &box, 7, 0, NULL, 100, 1 << 20);
    TAP_EQ(0, box.cnt);
    kit_read(&kit, &box, 0, 10, NULL, 100, 1 << 20);
    TAP_EQ(0, box.cnt);
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(20, stats.record_cnt);
    TAP_EQ(2, stats.inbox_cnt);
    TAP_EQ(1, stats.segment_cnt);
    TAP_EQ(20 * 1088, stats.disk_bytes);
    end();
}

static void test_survives_restart(void)
{
    begin();
    for (uint64_t n = 0; n < 50; n++) {
        struct kit_spec spec = spec_of(n, 1);
        spec.ttl_class = (uint8_t)(n % 5);
        spec.payload_bytes = (uint32_t)(n * 100);
        TAP_ERR(SES_OK, kit_put(&kit, &spec, n % 2 == 0 ? KIT_ENTRY : KIT_REPLICA, NULL));
    }
    kit_read(&kit, &box, 1, 0, NULL, 100, 1 << 20);
    struct kit_box before = box;
    reopen();
    kit_read(&kit, &box, 1, 0, NULL, 100, 1 << 20);
    TAP_EQ(50, box.cnt);
    TAP_BYTES(before.ids, box.ids, 50 * 32);
    TAP_BYTES(before.next.bytes, box.next.bytes, SES_CURSOR_BYTES);
    /* what comes after a restart stands behind every cursor given before */
    const struct kit_spec late = spec_of(1000, 1);
    TAP_ERR(SES_OK, kit_put(&kit, &late, KIT_REPLICA, NULL));
    kit_read(&kit, &box, 1, 0, &before.next, 100, 1 << 20);
    TAP_EQ(1, box.cnt);
    end();
}

static void test_batches(void)
{
    enum { CNT = 600 };
    static struct kit_put puts[CNT];
    static struct kit_record records[CNT];
    begin();
    for (uint32_t n = 0; n < CNT; n++) {
        const struct kit_spec spec = spec_of(n, n % 7);
        kit_record(&records[n], &spec);
        kit_put_start(&kit, &puts[n], &records[n], KIT_REPLICA);
    }
    TAP_OK(test_loop_run(kit.loop, NULL));
    bool all = true;
    for (uint32_t n = 0; n < CNT; n++) {
        all = all && puts[n].done && puts[n].err == SES_OK && !puts[n].result.existed &&
              ses_store_has(kit.store, &records[n].ids);
        if (n % 97 == 0) {
            TAP_ERR(SES_OK,
                    ses_receipt_verify(&puts[n].result.receipt, &kit.params.chain_id, &kit.pk));
        }
        kit_record_free(&records[n]);
    }
    TAP_OK(all);
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(3, stats.batches);
    TAP_EQ(3, stats.signatures);
    end();
}

static void test_duplicates(void)
{
    begin();
    const struct kit_spec spec = spec_of(1, 1);
    struct kit_record record;
    struct kit_put a;
    struct kit_put b;
    struct kit_put c;
    kit_record(&record, &spec);
    TAP_OK(!ses_store_has(kit.store, &record.ids));
    kit_put_start(&kit, &a, &record, KIT_REPLICA);
    kit_put_start(&kit, &b, &record, KIT_REPLICA); /* while the first is being written */
    TAP_OK(!ses_store_has(kit.store, &record.ids));
    TAP_OK(test_loop_run(kit.loop, NULL));
    /* an hour later, with another epoch to come, it keeps the epoch of its first arrival */
    test_loop_skip(kit.loop, 3600000);
    kit_put_start(&kit, &c, &record, KIT_REPLICA);
    TAP_OK(test_loop_run(kit.loop, NULL));
    TAP_ERR(SES_OK, a.err);
    TAP_ERR(SES_OK, b.err);
    TAP_ERR(SES_OK, c.err);
    TAP_OK(!a.result.existed && b.result.existed && c.result.existed);
    TAP_EQ(a.result.receipt.leaf.admit_epoch, b.result.receipt.leaf.admit_epoch);
    TAP_EQ(a.result.receipt.leaf.admit_epoch, c.result.receipt.leaf.admit_epoch);
    TAP_OK(c.result.receipt.leaf.time_ms > a.result.receipt.leaf.time_ms);
    TAP_ERR(SES_OK, ses_receipt_verify(&c.result.receipt, &kit.params.chain_id, &kit.pk));
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(1, stats.record_cnt);
    TAP_EQ(1088, stats.disk_bytes);
    kit_record_free(&record);
    end();
}

static void test_paging_never_skips(void)
{
    begin();
    struct ses_cursor after = {{0}};
    uint32_t seen = 0;
    uint32_t put = 0;
    for (int round = 0; round < 40; round++) {
        for (uint64_t i = ses_random_below(tap_random(), 6); i > 0; i--) {
            struct kit_spec spec = spec_of(put++, 1);
            spec.ttl_class = (uint8_t)(1 + put % 4);
            spec.ts_ms -= ses_random_below(tap_random(), 20) * 3600000;
            TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
        }
        kit_read(&kit, &box, 1, 0, &after, (uint16_t)(1 + round % 5), 3000);
        after = box.next;
        seen += box.cnt;
        TAP_EQ(put, seen);
        if (round % 10 == 9) {
            reopen();
        }
    }
    /* a cursor of another store, or from the future: from the beginning */
    struct ses_cursor foreign = after;
    foreign.bytes[3] ^= 1;
    kit_read(&kit, &box, 1, 0, &foreign, 1000, 1 << 20);
    TAP_EQ(put, box.cnt);
    foreign = after;
    foreign.bytes[8] = 0x70;
    kit_read(&kit, &box, 1, 0, &foreign, 1000, 1 << 20);
    TAP_EQ(put, box.cnt);
    end();
}

static void test_page_limits(void)
{
    begin();
    for (uint64_t n = 0; n < 30; n++) {
        struct kit_spec spec = spec_of(n, 1);
        spec.payload_bytes = SES_PAYLOAD_MAX;
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    }
    kit_read(&kit, &box, 1, 0, NULL, 1024, UINT32_MAX); /* frames have a limit of their own */
    TAP_EQ(30, box.cnt);
    TAP_EQ(3, box.page_cnt);
    kit_read(&kit, &box, 1, 0, NULL, 1024, 0); /* at least one record */
    TAP_EQ(30, box.cnt);
    TAP_EQ(30, box.page_cnt);
    end();
}

static void test_outbox(void)
{
    begin();
    struct kit_spec spec = spec_of(1, 1);
    spec.ns = SES_NS_TOKEN;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    kit_read(&kit, &box, 1, SES_NS_TOKEN, NULL, 10, 1 << 20);
    TAP_EQ(1, box.cnt);
    const struct ses_cursor first = box.next;
    struct kit_spec newer = spec;
    newer.n = 2;
    newer.ts_ms += 5000;
    const struct ses_hash newest = id_of(&newer);
    TAP_ERR(SES_OK, kit_put(&kit, &newer, KIT_REPLICA, NULL));
    struct kit_spec older = spec; /* arrives last, but is not the greatest */
    older.n = 3;
    TAP_ERR(SES_OK, kit_put(&kit, &older, KIT_REPLICA, NULL));
    kit_read(&kit, &box, 1, SES_NS_TOKEN, NULL, 10, 1 << 20);
    TAP_EQ(1, box.cnt);
    TAP_BYTES(newest.bytes, box.ids[0].bytes, 32);
    kit_read(&kit, &box, 1, SES_NS_TOKEN, &first, 10, 1 << 20);
    TAP_EQ(1, box.cnt);
    const struct ses_cursor last = box.next;
    kit_read(&kit, &box, 1, SES_NS_TOKEN, &last, 10, 1 << 20);
    TAP_EQ(0, box.cnt);
    end();
}

struct got {
    bool done;
    enum ses_err err;
    struct ses_hash id;
    uint32_t payload_bytes;
};

static void on_get(void *cookie, enum ses_err err, const struct ses_record_copy *record)
{
    struct got *got = cookie;
    got->done = true;
    got->err = err;
    if (record != NULL) {
        got->id = record->ids.id;
        got->payload_bytes = record->payload_bytes;
    }
}

static void test_get(void)
{
    begin();
    struct kit_spec spec = spec_of(1, 1);
    spec.ns = SES_NS_CARD;
    const struct ses_hash id = id_of(&spec);
    struct got got = {0};
    TAP_ERR(SES_ERR_NOT_FOUND, ses_store_get(kit.store, &id, on_get, &got));
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    TAP_ERR(SES_OK, ses_store_get(kit.store, &id, on_get, &got));
    TAP_OK(test_loop_run(kit.loop, &got.done));
    TAP_ERR(SES_OK, got.err);
    TAP_BYTES(id.bytes, got.id.bytes, 32);
    TAP_EQ(1000, got.payload_bytes);
    end();
}

static void test_quota(void)
{
    begin();
    kit.params.inbox_quota_bytes = 10 * 1088;
    reopen();
    uint64_t n = 0;
    for (; n < 2; n++) { /* a quarter is 2.5 records */
        const struct kit_spec spec = spec_of(n, 1);
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_STRANGER, NULL));
    }
    struct kit_spec spec = spec_of(n, 1);
    TAP_ERR(SES_ERR_STRANGERS, kit_put(&kit, &spec, KIT_STRANGER, NULL));
    for (; n < 10; n++) {
        spec = spec_of(n, 1);
        TAP_ERR(SES_OK, kit_put(&kit, &spec, n % 2 == 0 ? KIT_ENTRY : KIT_REPLICA, NULL));
    }
    spec = spec_of(n, 1);
    TAP_ERR(SES_ERR_QUOTA, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL)); /* replication is not refused */
    spec = spec_of(n + 1, 2);
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    reopen(); /* counted anew */
    spec = spec_of(n + 2, 1);
    TAP_ERR(SES_ERR_QUOTA, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    spec = spec_of(n + 3, 2);
    spec.payload_bytes = 2 * 1088 - 88;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_STRANGER, NULL));
    spec.n++;
    TAP_ERR(SES_ERR_STRANGERS, kit_put(&kit, &spec, KIT_STRANGER, NULL));
    end();
}

static void test_quota_counts_what_is_in_flight(void)
{
    begin();
    kit.params.inbox_quota_bytes = 3 * 1088;
    reopen();
    struct kit_put puts[5];
    uint32_t refused = 0;
    for (uint64_t n = 0; n < 5; n++) {
        struct kit_record record;
        const struct kit_spec spec = spec_of(n, 1);
        kit_record(&record, &spec);
        kit_put_start(&kit, &puts[n], &record, KIT_ENTRY);
        refused += puts[n].err == SES_ERR_QUOTA;
        kit_record_free(&record);
    }
    TAP_EQ(2, refused);
    TAP_OK(test_loop_run(kit.loop, NULL));
    end();
}

static uint32_t index_files(void)
{
    char path[300];
    uint32_t cnt = 0;
    SES_ASSERT(snprintf(path, sizeof path, "%s/idx", kit.root) > 0);
    DIR *dir = opendir(path);
    SES_ASSERT(dir != NULL);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        const size_t len = strlen(e->d_name);
        cnt += len > 3 && strcmp(e->d_name + len - 3, ".db") == 0;
    }
    SES_ASSERT(closedir(dir) == 0);
    return cnt;
}

static void test_expiry(void)
{
    begin();
    kit.params.inbox_quota_bytes = 3 * 1088;
    reopen();
    struct kit_spec spec = spec_of(1, 1);
    spec.ttl_class = 0; /* one hour */
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    spec.n = 2;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    spec.n = 3;
    spec.ttl_class = 1; /* a day */
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    spec.n = 4;
    TAP_ERR(SES_ERR_QUOTA, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    kit_read(&kit, &box, 1, 0, NULL, 10, 1 << 20);
    TAP_EQ(3, box.cnt);
    TAP_EQ(2, index_files());
    test_loop_skip(kit.loop, 2 * 3600000);
    kit_read(&kit, &box, 1, 0, NULL, 10, 1 << 20); /* filtered before it is removed */
    TAP_EQ(1, box.cnt);
    ses_store_expire(kit.store);
    TAP_OK(test_loop_run(kit.loop, NULL));
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(1, stats.record_cnt);
    TAP_EQ(1, stats.segment_cnt);
    TAP_EQ(1088, stats.disk_bytes);
    TAP_EQ(1, index_files()); /* what stood in it is of no use to anybody */
    spec.n = 5;
    spec.ttl_class = 0; /* too old to be put by now */
    TAP_ERR(SES_ERR_CLOCK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    spec.ts_ms += 2 * 3600000;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL)); /* the quota is free again */
    test_loop_skip(kit.loop, 3ull * 86400000);
    ses_store_expire(kit.store);
    TAP_OK(test_loop_run(kit.loop, NULL));
    ses_store_stats(kit.store, &stats);
    TAP_EQ(0, stats.record_cnt);
    TAP_EQ(0, stats.inbox_cnt);
    TAP_EQ(0, index_files());
    reopen();
    kit_read(&kit, &box, 1, 0, NULL, 10, 1 << 20);
    TAP_EQ(0, box.cnt);
    end();
}

/* Of the one database that is open. */
static struct ses_index *open_index(void)
{
    uint32_t i = 0;
    while (i < SES_LANE_INDEXES - 1 && kit.store->lane.indexes[i] == NULL) {
        i++;
    }
    TAP_MUST(kit.store->lane.indexes[i] != NULL);
    return kit.store->lane.indexes[i];
}

static uint64_t seq_of(const struct kit_record *record)
{
    uint32_t entry;
    const bool found = ses_catalog_find(&kit.store->catalog, &record->ids.id, &entry);
    TAP_MUST(found);
    return ses_catalog_entry(&kit.store->catalog, entry)->seq;
}

static enum ses_err put_run(const struct kit_record *record, enum kit_how how)
{
    struct kit_put put;
    kit_put_start(&kit, &put, record, how);
    TAP_OK(test_loop_run(kit.loop, &put.done));
    return put.err;
}

/* Receipts that find no room take the whole batch out of the index: what would stand there only is
 * refused. */
static void take_room(struct kit_record records[2])
{
    struct kit_put puts[3];
    for (uint64_t n = 0; n < 2; n++) {
        const struct kit_spec spec = spec_of(n, 1);
        kit_record(&records[n], &spec);
    }
    kit_put_start(&kit, &puts[0], &records[0], KIT_REPLICA);
    TAP_OK(test_loop_run(kit.loop, &puts[0].done));
    TAP_OK(SQLITE_OK ==
           sqlite3_exec(open_index()->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL));
    kit_put_start(&kit, &puts[1], &records[0], KIT_ENTRY); /* a debt, which stands in no log */
    kit_put_start(&kit, &puts[2], &records[1], KIT_REPLICA);
    for (uint32_t i = 0; i < 100; i++) {
        struct ses_receipt receipt = puts[0].result.receipt;
        ses_random_fill(tap_random(), receipt.node_id.bytes, sizeof receipt.node_id.bytes);
        ses_random_fill(tap_random(), receipt.signature.bytes, sizeof receipt.signature.bytes);
        ses_store_keep_receipt(kit.store, &receipt);
    }
    TAP_OK(test_loop_run(kit.loop, NULL));
    TAP_EQ(0, kit.fatal_cnt);
    TAP_ERR(SES_ERR_DISK_LOW, puts[1].err);
    TAP_ERR(SES_OK, puts[2].err);
    TAP_OK(open_index()->db == NULL);
}

static void check_both(void)
{
    kit_read(&kit, &box, 1, 0, NULL, 10, 1 << 20);
    TAP_EQ(2, box.cnt);
}

/* When there is room again, the next that needs the index completes it. */
static void test_index_without_room(void)
{
    struct kit_record records[2];
    begin();
    take_room(records);
    const uint64_t seq = seq_of(&records[1]);
    TAP_ERR(SES_OK, put_run(&records[0], KIT_ENTRY));
    TAP_OK(open_index()->db != NULL);
    TAP_EQ(0, open_index()->rows.len);
    reopen();
    check_both();
    TAP_EQ(seq, seq_of(&records[1])); /* else it was read from its log, and came later */
    kit_record_free(&records[0]);
    kit_record_free(&records[1]);
    end();
}

/* More rows than are kept: the next start has them from the logs. */
static void test_index_far_behind(void)
{
    struct kit_record records[2];
    begin();
    take_room(records);
    open_index()->rows_lost = true;
    const uint64_t seq = seq_of(&records[1]);
    TAP_ERR(SES_ERR_DISK_LOW, put_run(&records[0], KIT_ENTRY));
    reopen();
    check_both();
    TAP_OK(seq < seq_of(&records[1]));
    TAP_ERR(SES_OK, put_run(&records[0], KIT_ENTRY));
    kit_record_free(&records[0]);
    kit_record_free(&records[1]);
    end();
}

static struct {
    uint32_t cnt;
    struct ses_hash ids[100];
} debts;

static void on_debt(void *cookie, const struct ses_hash *id, const struct ses_segment *segment)
{
    (void)cookie;
    TAP_EQ(3, segment->ttl_class);
    SES_ASSERT(debts.cnt < 100);
    debts.ids[debts.cnt++] = *id;
}

static uint32_t count_debts(void)
{
    debts.cnt = 0;
    TAP_ERR(SES_OK, ses_store_pending(kit.store, on_debt, NULL));
    return debts.cnt;
}

/* Whose machine wakes up with a clock that is weeks ahead loses nothing by a start alone. */
static void test_start_with_a_clock_ahead(void)
{
    const uint64_t ahead_ms = 40ull * 86400000;
    struct ses_store_stats stats;
    struct kit_spec spec = spec_of(1, 1);
    begin();
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    test_loop_skip(kit.loop, ahead_ms);
    reopen();
    kit_read(&kit, &box, 1, 0, NULL, 10, 1 << 20);
    TAP_EQ(0, box.cnt);
    test_loop_skip(kit.loop, 0 - ahead_ms);
    reopen();
    kit_read(&kit, &box, 1, 0, NULL, 10, 1 << 20);
    TAP_EQ(1, box.cnt);
    test_loop_skip(kit.loop, ahead_ms);
    reopen();
    TAP_EQ(1, index_files());
    ses_store_expire(kit.store);
    TAP_OK(test_loop_run(kit.loop, NULL));
    ses_store_stats(kit.store, &stats);
    TAP_EQ(0, stats.record_cnt);
    TAP_EQ(0, index_files());
    end();
}

static void test_pending(void)
{
    begin();
    struct ses_hash ids[5];
    for (uint64_t n = 0; n < 5; n++) {
        const struct kit_spec spec = spec_of(n, 1);
        ids[n] = id_of(&spec);
        TAP_ERR(SES_OK, kit_put(&kit, &spec, n == 2 ? KIT_REPLICA : KIT_ENTRY, NULL));
    }
    TAP_EQ(4, count_debts());
    TAP_BYTES(ids[0].bytes, debts.ids[0].bytes, 32);
    TAP_BYTES(ids[3].bytes, debts.ids[2].bytes, 32);
    ses_store_replicated(kit.store, &ids[0]);
    ses_store_replicated(kit.store, &ids[0]);
    ses_store_replicated(kit.store, &ids[2]);
    TAP_EQ(3, count_debts());
    reopen();
    TAP_EQ(3, count_debts());
    TAP_BYTES(ids[1].bytes, debts.ids[0].bytes, 32);
    /* came from a member before, enters here now: from then on it is owed */
    const struct kit_spec spec = spec_of(2, 1);
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    TAP_EQ(4, count_debts());
    reopen();
    TAP_EQ(4, count_debts());
    /* entered before and replicated: a second entry owes nothing new */
    ses_store_replicated(kit.store, &ids[2]);
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    TAP_EQ(3, count_debts());
    end();
}

static struct {
    bool done;
    enum ses_err err;
    uint16_t cnt;
    struct ses_receipt all[10];
} asked;

static void on_receipts(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                        uint16_t cnt)
{
    (void)cookie;
    asked.done = true;
    asked.err = err;
    asked.cnt = cnt;
    SES_ASSERT(cnt <= 10);
    if (cnt > 0) {
        memcpy(asked.all, receipts, cnt * sizeof receipts[0]);
    }
}

static void ask_receipts(const struct ses_hash *id)
{
    memset(&asked, 0, sizeof asked);
    TAP_ERR(SES_OK, ses_store_receipts(kit.store, id, on_receipts, NULL));
    TAP_OK(!asked.done);
    TAP_OK(test_loop_run(kit.loop, &asked.done));
}

static void test_receipts(void)
{
    begin();
    struct ses_receipt own[2];
    struct ses_hash ids[2];
    for (uint64_t n = 0; n < 2; n++) {
        const struct kit_spec spec = spec_of(n, 1);
        ids[n] = id_of(&spec);
        TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, &own[n]));
    }
    /* receipts of four other members, the first two records in one signature each */
    struct ses_receipt other[4][2];
    for (uint8_t m = 0; m < 4; m++) {
        struct ses_dsa_private *key;
        struct ses_dsa_pk pk;
        struct ses_node_id node;
        const struct ses_dsa_seed seed = {{m, 9}};
        const struct ses_receipt_leaf leaves[2] = {own[0].leaf, own[1].leaf};
        SES_ASSERT(ses_dsa_private_new(&key, &seed) == SES_OK);
        ses_dsa_private_pk(key, &pk);
        ses_node_id_of(&node, &pk);
        SES_ASSERT(ses_receipts_sign(other[m], leaves, 2, &kit.params.chain_id, &node, key,
                                     tap_random()) == SES_OK);
        ses_dsa_private_free(key);
        ses_store_keep_receipt(kit.store, &other[m][0]);
        ses_store_keep_receipt(kit.store, &other[m][0]); /* twice is once */
        ses_store_keep_receipt(kit.store, &other[m][1]);
    }
    for (int again = 0; again < 2; again++) {
        ask_receipts(&ids[1]);
        TAP_ERR(SES_OK, asked.err);
        TAP_EQ(5, asked.cnt);
        TAP_BYTES(kit.params.node_id.bytes, asked.all[0].node_id.bytes, 20);
        TAP_ERR(SES_OK, ses_receipt_verify(&asked.all[0], &kit.params.chain_id, &kit.pk));
        uint32_t found = 0;
        for (uint16_t i = 1; i < asked.cnt; i++) {
            for (uint8_t m = 0; m < 4; m++) {
                found += memcmp(&asked.all[i], &other[m][1], sizeof other[m][1]) == 0;
            }
        }
        TAP_EQ(4, found);
        reopen();
    }
    struct ses_hash unknown = ids[0];
    unknown.bytes[0] ^= 1;
    TAP_ERR(SES_ERR_NOT_FOUND, ses_store_receipts(kit.store, &unknown, on_receipts, NULL));
    struct ses_receipt wrong = other[0][0]; /* for a record that is not here: ignored */
    wrong.leaf.id = unknown;
    ses_store_keep_receipt(kit.store, &wrong);
    end();
}

static void test_seal(void)
{
    begin();
    struct ses_receipt receipt;
    struct kit_spec spec = spec_of(1, 1);
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, &receipt));
    const uint64_t open_epoch = receipt.leaf.admit_epoch;
    TAP_ERR(SES_OK, ses_store_seal(kit.store, (int64_t)open_epoch));
    TAP_ERR(SES_OK, ses_store_seal(kit.store, 1)); /* never goes down */
    spec.n = 2;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, &receipt));
    TAP_EQ(open_epoch + 1, receipt.leaf.admit_epoch);
    reopen();
    spec.n = 3;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, &receipt));
    TAP_EQ(open_epoch + 1, receipt.leaf.admit_epoch);
    end();
}

static void test_meta(void)
{
    begin();
    struct ses_buf value = {0};
    TAP_ERR(SES_ERR_NOT_FOUND, ses_store_meta_get(kit.store, "key", &value));
    TAP_ERR(SES_OK, ses_store_meta_set(kit.store, "key", "one", 3));
    TAP_ERR(SES_OK, ses_store_meta_set(kit.store, "key", "four", 4));
    TAP_ERR(SES_OK, ses_store_meta_set(kit.store, "empty", NULL, 0));
    reopen();
    TAP_ERR(SES_OK, ses_store_meta_get(kit.store, "key", &value));
    TAP_EQ(4, value.len);
    TAP_BYTES("four", value.bytes, 4);
    TAP_ERR(SES_OK, ses_store_meta_get(kit.store, "empty", &value));
    TAP_EQ(4, value.len);
    ses_buf_free(&value);
    end();
}

static uint32_t listened;

static void on_record(void *cookie, const struct ses_hash *inbox, int16_t ns)
{
    struct ses_hash want;
    (void)cookie;
    kit_inbox(&want, 5);
    TAP_BYTES(want.bytes, inbox->bytes, 32);
    TAP_OK(ns == 20);
    listened++;
}

static void test_listen(void)
{
    begin();
    listened = 0;
    ses_store_listen(kit.store, on_record, NULL);
    struct kit_spec spec = spec_of(1, 5);
    spec.ns = 20;
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_REPLICA, NULL));
    TAP_EQ(1, listened); /* once for each record */
    end();
}

static void test_in_flight_limit(void)
{
    enum { CNT = 5000 };
    static struct kit_put puts[CNT];
    begin();
    uint32_t full = 0;
    for (uint64_t n = 0; n < CNT; n++) {
        struct kit_record record;
        struct kit_spec spec = spec_of(n, n);
        spec.payload_bytes = 10;
        kit_record(&record, &spec);
        kit_put_start(&kit, &puts[n], &record, KIT_REPLICA);
        full += puts[n].err == SES_ERR_FULL;
        kit_record_free(&record);
    }
    TAP_EQ(CNT - 4096, full);
    TAP_OK(test_loop_run(kit.loop, NULL));
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(4096, stats.record_cnt);
    end();
}

static void test_close_finishes_puts(void)
{
    static struct kit_put puts[300];
    begin();
    for (uint64_t n = 0; n < 300; n++) {
        struct kit_record record;
        const struct kit_spec spec = spec_of(n, 1);
        kit_record(&record, &spec);
        kit_put_start(&kit, &puts[n], &record, KIT_REPLICA);
        kit_record_free(&record);
    }
    kit_close(&kit);
    bool all = true;
    for (uint64_t n = 0; n < 300; n++) {
        all = all && puts[n].done && puts[n].err == SES_OK;
    }
    TAP_OK(all);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_read(&kit, &box, 1, 0, NULL, 1000, 1 << 20);
    TAP_EQ(300, box.cnt);
    end();
}

int main(void)
{
    TAP_RUN(test_put_and_read);
    TAP_RUN(test_survives_restart);
    TAP_RUN(test_batches);
    TAP_RUN(test_duplicates);
    TAP_RUN(test_paging_never_skips);
    TAP_RUN(test_page_limits);
    TAP_RUN(test_outbox);
    TAP_RUN(test_get);
    TAP_RUN(test_quota);
    TAP_RUN(test_quota_counts_what_is_in_flight);
    TAP_RUN(test_index_without_room);
    TAP_RUN(test_index_far_behind);
    TAP_RUN(test_expiry);
    TAP_RUN(test_start_with_a_clock_ahead);
    TAP_RUN(test_pending);
    TAP_RUN(test_receipts);
    TAP_RUN(test_seal);
    TAP_RUN(test_meta);
    TAP_RUN(test_listen);
    TAP_RUN(test_in_flight_limit);
    TAP_RUN(test_close_finishes_puts);
    return tap_done();
}
