/* Logs, tables and the catalog by themselves; memory that runs out. */
#include <stdio.h>
#include <string.h>

#include "storage/catalog.h"
#include "storage/log.h"
#include "storage/table.h"
#include "storage/test_disk.h"
#include "storage/test_kit.h"

#define HOUR ((uint32_t)(KIT_NOW_MS / 3600000))

/* ---- log ---- */
static void add(struct ses_buf *log, uint64_t n, uint32_t payload_bytes, uint8_t flags)
{
    uint8_t prefix[SES_LOG_PREFIX_BYTES];
    struct kit_record r;
    const struct ses_log_stamp stamp = {
        .flags = flags, .accepted_ms = KIT_NOW_MS + n, .admit_epoch = 100 + n};
    const struct kit_spec spec = {
        .n = n, .inbox = n, .ts_ms = KIT_NOW_MS, .payload_bytes = payload_bytes, .ttl_class = 3};
    kit_record(&r, &spec);
    ses_log_prefix_write(prefix, &stamp, &r.ids.id, payload_bytes);
    SES_ASSERT(ses_buf_append(log, prefix, sizeof prefix) == SES_OK);
    SES_ASSERT(ses_buf_append(log, r.header, sizeof r.header) == SES_OK);
    SES_ASSERT(ses_buf_append(log, r.payload, payload_bytes) == SES_OK);
    kit_record_free(&r);
}

/* The accepted_ms - KIT_NOW_MS of the records found, as bits. */
static uint64_t scan(const struct ses_buf *log, uint64_t *valid_end)
{
    const struct ses_segment segment = {.ttl_class = 3, .hour = HOUR};
    const struct ses_hash chain = {{0}};
    struct test_disk *disk = test_disk_new("/nowhere", tap_random());
    const struct ses_disk *door = test_disk_door(disk);
    struct ses_log_scan s;
    struct ses_log_record record;
    struct ses_file *file;
    uint64_t found = 0;
    test_disk_put(disk, "seg/3/1.log", log->bytes, log->len);
    SES_ASSERT(door->open(door->ctx, "seg/3/1.log", false, &file) == SES_OK);
    TAP_ERR(SES_OK, ses_log_scan_init(&s, door, file, &segment, &chain, 0));
    enum ses_err err = ses_log_scan_next(&s, &record);
    for (; err == SES_OK; err = ses_log_scan_next(&s, &record)) {
        found |= 1ull << (record.stamp.accepted_ms - KIT_NOW_MS);
        TAP_EQ(record.stamp.accepted_ms - KIT_NOW_MS + 100, record.stamp.admit_epoch);
    }
    TAP_ERR(SES_ERR_NOT_FOUND, err);
    *valid_end = s.valid_end;
    ses_log_scan_free(&s);
    door->close(door->ctx, file);
    test_disk_free(disk);
    return found;
}

static void test_layout(void)
{
    struct ses_buf log = {0};
    struct ses_log_record record;
    add(&log, 5, 10, SES_FLAG_ENTRY | SES_FLAG_STRANGER);
    static const uint8_t head[8] = {0xA5, 0x53, 0x4C, 0x55, 0, 0, 0, 58};
    TAP_BYTES(head, log.bytes, 8);
    TAP_EQ(KIT_NOW_MS + 5, ses_get_u64(log.bytes + 8));
    TAP_EQ(105, ses_get_u64(log.bytes + 16));
    TAP_EQ(98, log.len);
    TAP_ERR(SES_OK, ses_log_parse(&record, log.bytes, log.len));
    TAP_EQ(SES_FLAG_ENTRY | SES_FLAG_STRANGER, record.stamp.flags);
    struct ses_hash check;
    ses_b(&check, SES_TAG_LOG,
          SES_PARTS(SES_PART(log.bytes + 8, 16), SES_PART(record.ids.id.bytes, 32)));
    TAP_BYTES(check.bytes, log.bytes + 24, 16);
    log.bytes[3] = 0x33;
    TAP_ERR(SES_OK, ses_log_parse(&record, log.bytes, log.len));
    TAP_EQ(SES_FLAG_ENTRY, record.stamp.flags);
    log.bytes[3] = 0x0F;
    TAP_ERR(SES_OK, ses_log_parse(&record, log.bytes, log.len));
    TAP_EQ(0, record.stamp.flags);
    for (size_t len = 0; len < log.len; len++) {
        TAP_ERR(SES_ERR_TRUNCATED, ses_log_parse(&record, log.bytes, len));
    }
    ses_buf_free(&log);
}

/* Any prefix of the last write, with garbage or zeros behind it. */
static void test_torn_tail(void)
{
    struct ses_buf log = {0};
    uint64_t end;
    add(&log, 0, 700, 0);
    add(&log, 1, 0, SES_FLAG_ENTRY);
    const size_t whole = log.len;
    add(&log, 2, 300, 0);
    const size_t all = log.len;
    for (size_t len = whole; len <= all; len++) {
        for (unsigned tail = 0; tail < 3; tail++) {
            struct ses_buf torn = {0};
            uint8_t junk[100] = {0};
            if (tail == 2) {
                ses_random_fill(tap_random(), junk, sizeof junk);
            }
            SES_ASSERT(ses_buf_append(&torn, log.bytes, len) == SES_OK);
            SES_ASSERT(ses_buf_append(&torn, junk, tail > 0 ? sizeof junk : 0) == SES_OK);
            TAP_EQ(len == all ? 7 : 3, scan(&torn, &end));
            TAP_EQ(len == all ? all : whole, end);
            ses_buf_free(&torn);
        }
    }
    ses_buf_free(&log);
}

/* One flipped bit anywhere costs at most the record that it hits. */
static void test_flipped_bits(void)
{
    struct ses_buf log = {0};
    size_t starts[6];
    uint64_t end;
    for (uint64_t n = 0; n < 5; n++) {
        starts[n] = log.len;
        add(&log, n, (uint32_t)(n * 50), 0);
    }
    starts[5] = log.len;
    for (uint64_t n = 0; n < 5; n++) {
        for (size_t at = starts[n]; at < starts[n + 1]; at++) {
            const uint8_t flip = (uint8_t)(1u << ses_random_below(tap_random(), 8));
            log.bytes[at] ^= flip;
            const uint64_t found = scan(&log, &end) | 1ull << n;
            log.bytes[at] ^= flip;
            TAP_EQ(31, found);
        }
    }
    ses_buf_free(&log);
}

/* Somebody hides a record of an owner's namespace in a payload and waits for damage. */
static void plant(int16_t ns, bool damage_len)
{
    struct ses_buf planted = {0};
    struct ses_buf log = {0};
    struct kit_record outer;
    uint8_t prefix[SES_LOG_PREFIX_BYTES];
    uint64_t end;
    struct ses_log_stamp stamp = {.accepted_ms = KIT_NOW_MS + 9, .admit_epoch = 109};
    struct kit_record inner;
    struct kit_spec spec = {
        .n = 9, .inbox = 9, .ts_ms = KIT_NOW_MS, .payload_bytes = 7000, .ns = ns, .ttl_class = 3};
    kit_record(&inner, &spec);
    ses_log_prefix_write(prefix, &stamp, &inner.ids.id, spec.payload_bytes);
    SES_ASSERT(ses_buf_append(&planted, prefix, sizeof prefix) == SES_OK);
    SES_ASSERT(ses_buf_append(&planted, inner.header, sizeof inner.header) == SES_OK);
    SES_ASSERT(ses_buf_append(&planted, inner.payload, spec.payload_bytes) == SES_OK);
    spec.ns = 0;
    spec.payload_bytes = (uint32_t)planted.len;
    kit_record(&outer, &spec);
    memcpy(outer.payload, planted.bytes, planted.len);
    SES_ASSERT(ses_record_identify(&outer.ids, &outer.record) == SES_OK);
    stamp = (struct ses_log_stamp){.accepted_ms = KIT_NOW_MS + 1, .admit_epoch = 101};
    ses_log_prefix_write(prefix, &stamp, &outer.ids.id, spec.payload_bytes);
    SES_ASSERT(ses_buf_append(&log, prefix, sizeof prefix) == SES_OK);
    SES_ASSERT(ses_buf_append(&log, outer.header, sizeof outer.header) == SES_OK);
    SES_ASSERT(ses_buf_append(&log, outer.payload, planted.len) == SES_OK);
    add(&log, 2, 10, 0);
    TAP_EQ(1u << 1 | 1u << 2, scan(&log, &end));
    log.bytes[30] ^= 1; /* the outer record's check */
    log.bytes[4] ^= damage_len ? 0x40 : 0;
    TAP_EQ(1u << 2, scan(&log, &end));
    kit_record_free(&inner);
    kit_record_free(&outer);
    ses_buf_free(&planted);
    ses_buf_free(&log);
}

static void test_planted_record(void)
{
    plant(-1, true); /* found by searching, but the owner did not sign it */
    plant(-1, false);
    plant(0, false); /* the length leads past it */
}

static void test_other_segment(void)
{
    struct ses_buf log = {0};
    struct kit_record r;
    uint8_t prefix[SES_LOG_PREFIX_BYTES];
    uint64_t end;
    const struct ses_log_stamp stamp = {.accepted_ms = KIT_NOW_MS, .admit_epoch = 100};
    const struct kit_spec spec = {
        .ts_ms = KIT_NOW_MS + 3600000, .payload_bytes = 5, .ttl_class = 3};
    kit_record(&r, &spec);
    ses_log_prefix_write(prefix, &stamp, &r.ids.id, 5);
    SES_ASSERT(ses_buf_append(&log, prefix, sizeof prefix) == SES_OK);
    SES_ASSERT(ses_buf_append(&log, r.header, sizeof r.header) == SES_OK);
    SES_ASSERT(ses_buf_append(&log, r.payload, 5) == SES_OK);
    add(&log, 1, 5, 0);
    TAP_EQ(2, scan(&log, &end));
    kit_record_free(&r);
    ses_buf_free(&log);
}

/* ---- tables ---- */
static bool same_number(const void *ctx, uint32_t i, const void *key)
{
    (void)ctx;
    return i == *(const uint32_t *)key;
}

/* Against a plain array, with hashes that collide often. */
static void test_map(void)
{
    static bool model[500];
    struct ses_table map = {0};
    memset(model, 0, sizeof model);
    for (int step = 0; step < 20000; step++) {
        const uint32_t i = (uint32_t)ses_random_below(tap_random(), 500);
        const uint32_t hash = i % 37 * 0x9e3779b9u;
        uint32_t found = 0;
        TAP_OK(ses_table_find(&map, hash, same_number, NULL, &i, &found) == model[i]);
        if (model[i]) {
            ses_table_remove(&map, hash, i);
        } else {
            TAP_ERR(SES_OK, ses_table_reserve(&map, 1));
            ses_table_add(&map, hash, i);
        }
        model[i] = !model[i];
    }
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < 500; i++) {
        cnt += model[i];
    }
    TAP_EQ(cnt, map.cnt);
    ses_table_free(&map);
}

static void test_pool(void)
{
    struct ses_slab pool = {.item = 24};
    uint32_t a;
    uint32_t b;
    TAP_ERR(SES_OK, ses_slab_take(&pool, &a));
    memset(ses_slab_at(&pool, a), 0xff, 24);
    ses_slab_give(&pool, a);
    TAP_ERR(SES_OK, ses_slab_take(&pool, &b));
    TAP_EQ(a, b);
    static const uint8_t zeros[24] = {0};
    TAP_BYTES(zeros, ses_slab_at(&pool, b), 24);
    for (uint32_t i = 1; i < 3 * SES_SLAB_CHUNK; i++) {
        TAP_ERR(SES_OK, ses_slab_take(&pool, &a));
        TAP_EQ(i, a);
    }
    ses_slab_free(&pool);
}

/* ---- catalog ---- */
static struct ses_catalog_new entry_of(uint64_t n)
{
    struct ses_catalog_new e = {.segment = {.ttl_class = 3, .hour = (uint32_t)(n % 5)},
                                .ns = (int16_t)(n % 3),
                                .flags = n % 2 == 0 ? SES_FLAG_STRANGER : 0,
                                .payload_bytes = 100};
    kit_inbox(&e.id, n);
    kit_inbox(&e.digest, n % 7);
    return e;
}

static void test_catalog(void)
{
    struct ses_catalog c;
    ses_catalog_init(&c, 7);
    for (uint64_t n = 0; n < 1000; n++) {
        uint32_t at;
        const struct ses_catalog_new e = entry_of(n);
        TAP_ERR(SES_OK, ses_catalog_reserve(&c, &e, &at));
        if (n % 10 == 9) {
            ses_catalog_cancel(&c, at);
        } else {
            ses_catalog_commit(&c, at, 5000 - n, n, 1);
        }
    }
    ses_catalog_sort(&c);
    TAP_EQ(900, c.record_cnt);
    TAP_EQ(7, c.inbox_cnt);
    uint32_t at;
    struct ses_catalog_new e = entry_of(3);
    TAP_OK(ses_catalog_find_box(&c, &e.digest, e.ns, &at));
    const struct ses_box *box = ses_catalog_box(&c, at);
    bool sorted = true;
    for (uint32_t i = 1; i < box->cnt; i++) {
        sorted = sorted && ses_catalog_entry(&c, box->list[i - 1])->seq <
                               ses_catalog_entry(&c, box->list[i])->seq;
    }
    TAP_OK(sorted);
    const uint64_t middle = ses_catalog_entry(&c, box->list[box->cnt / 2])->seq;
    TAP_EQ(box->cnt / 2 + 1, ses_catalog_after(&c, box, middle));
    TAP_EQ(box->cnt / 2, ses_catalog_after(&c, box, middle - 1));
    for (uint32_t hour = 0; hour < 5; hour++) {
        const struct ses_segment s = {.ttl_class = 3, .hour = hour};
        TAP_OK(ses_catalog_find_seg(&c, &s, &at));
        ses_catalog_drop_seg(&c, at);
        for (uint64_t n = 0; n < 1000; n++) {
            e = entry_of(n);
            TAP_OK(ses_catalog_find(&c, &e.id, &at) == (n % 10 != 9 && n % 5 > hour));
        }
    }
    TAP_EQ(0, c.record_cnt + c.inbox_cnt + c.segment_cnt + c.payload_bytes);
    TAP_EQ(0, c.by_box.cnt + c.by_id.cnt + c.by_inbox.cnt + c.by_seg.cnt);
    ses_catalog_free(&c);
}

/* Each allocation of a reservation fails once; nothing is left behind. */
static void test_catalog_without_memory(void)
{
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct ses_catalog c;
        uint32_t at;
        const struct ses_catalog_new e = entry_of(1);
        ses_catalog_init(&c, 7);
        ses_alloc_fail_at(n);
        const enum ses_err err = ses_catalog_reserve(&c, &e, &at);
        ses_alloc_fail_at(0);
        failed = err != SES_OK;
        if (failed) {
            TAP_ERR(SES_ERR_MEMORY, err);
            TAP_EQ(0, c.inbox_cnt + c.by_box.cnt + c.by_id.cnt);
            TAP_ERR(SES_OK, ses_catalog_reserve(&c, &e, &at));
        }
        ses_catalog_commit(&c, at, 1, 0, 0);
        TAP_EQ(1, c.record_cnt);
        ses_catalog_free(&c);
        TAP_MUST(n < 100);
    }
}

/* Each allocation of a start and of a put fails once; the store stays in order. */
static void test_store_without_memory(void)
{
    struct kit kit;
    struct test_loop *loop = test_loop_new(KIT_NOW_MS);
    kit_root(&kit);
    SES_ASSERT(ses_disk_open(&kit.real, kit.root, NULL) == SES_OK);
    const struct ses_disk real = kit.real;
    kit_init(&kit, loop, &real);
    const struct kit_spec spec = {
        .n = 1, .inbox = 1, .ts_ms = KIT_NOW_MS, .payload_bytes = 100, .ttl_class = 3};
    TAP_ERR(SES_OK, kit_open(&kit));
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
    kit_close(&kit);
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        ses_alloc_fail_at(n);
        failed = kit_open(&kit) != SES_OK;
        ses_alloc_fail_at(0);
        TAP_MUST(n < 200);
    }
    struct kit_record record;
    struct kit_spec next = spec;
    failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct kit_put put;
        next.n = 100;
        kit_record(&record, &next);
        ses_alloc_fail_at(n);
        kit_put_start(&kit, &put, &record, KIT_ENTRY);
        failed = put.err != SES_OK;
        ses_alloc_fail_at(0);
        TAP_OK(test_loop_run(loop, NULL));
        kit_record_free(&record);
        TAP_MUST(n < 100);
    }
    struct ses_store_stats stats;
    ses_store_stats(kit.store, &stats);
    TAP_EQ(2, stats.record_cnt);
    kit_close(&kit);
    test_loop_free(loop);
    ses_disk_close(&kit.real);
    kit_free(&kit);
}

int main(void)
{
    TAP_RUN(test_layout);
    TAP_RUN(test_torn_tail);
    TAP_RUN(test_flipped_bits);
    TAP_RUN(test_planted_record);
    TAP_RUN(test_other_segment);
    TAP_RUN(test_map);
    TAP_RUN(test_pool);
    TAP_RUN(test_catalog);
    TAP_RUN(test_catalog_without_memory);
    TAP_RUN(test_store_without_memory);
    return tap_done();
}
