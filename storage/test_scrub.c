/* The scrub: what rots while nobody reads it is reported, and nothing else is. */
#include <stdio.h>
#include <string.h>

#include "storage/test_ask.h"
#include "storage/test_disk.h"

#define CNT 120u
#define CLASSES 3u
#define PAYLOAD 40000u /* a log takes more than one step */
#define LOG_BYTES (88u + PAYLOAD)
#define HOUR_MS (KIT_EPOCH_S * 1000ull)

static struct kit kit;
static struct test_disk *disk;
static struct kit_record records[CNT];
static struct {
    uint32_t cnt; /* reports */
    bool of[CNT];
    uint32_t others;
    bool no_room; /* whoever is told cannot see to it */
} damaged;

static bool on_damage(void *cookie, const struct ses_hash *id, const struct ses_segment *segment)
{
    (void)cookie;
    (void)segment;
    damaged.cnt++;
    for (uint32_t n = 0; n < CNT; n++) {
        if (memcmp(records[n].ids.id.bytes, id->bytes, 32) == 0) {
            damaged.of[n] = true;
            return !damaged.no_room;
        }
    }
    damaged.others++;
    return !damaged.no_room;
}

static void open_store(void)
{
    TAP_ERR(SES_OK, kit_open(&kit));
    ses_store_listen_damage(kit.store, on_damage, NULL);
}

static enum ses_err put(const struct kit_record *record)
{
    uint64_t epoch = 0;
    return ask_put(&kit, &record->record, &record->ids, NULL, &epoch);
}

/* Logs of classes 1 to 3, in each the records n % 3 and 1.6 MB. */
static void begin(void)
{
    kit_root(&kit);
    disk = test_disk_new(kit.root, tap_random());
    kit_init(&kit, test_loop_new(KIT_NOW_MS), test_disk_door(disk));
    kit.params.random = tap_random();
    kit.params.scrub_rate = 1u << 20;
    memset(&damaged, 0, sizeof damaged);
    open_store();
    for (uint32_t n = 0; n < CNT; n++) {
        const struct kit_spec spec = {.n = n,
                                      .inbox = n % 40,
                                      .ts_ms = KIT_NOW_MS,
                                      .payload_bytes = PAYLOAD,
                                      .ttl_class = (uint8_t)(1 + n % CLASSES)};
        kit_record(&records[n], &spec);
        TAP_ERR(SES_OK, put(&records[n]));
    }
}

static void end(void)
{
    kit_close(&kit);
    for (uint32_t n = 0; n < CNT; n++) {
        kit_record_free(&records[n]);
    }
    test_loop_free(kit.loop);
    test_disk_free(disk);
    kit_free(&kit);
}

static uint64_t now_ms(void)
{
    return ses_now_ms(&test_loop_door(kit.loop)->clock);
}

static void run_for(uint64_t ms)
{
    const uint64_t until_ms = now_ms() + ms;
    while (now_ms() < until_ms) {
        TAP_MUST(test_loop_step(kit.loop));
    }
}

static struct ses_store_stats stats(void)
{
    struct ses_store_stats out;
    ses_store_stats(kit.store, &out);
    return out;
}

static void log_path(char out[48], uint32_t n)
{
    const struct ses_segment *segment = &records[n].ids.segment;
    SES_ASSERT(snprintf(out, 48, "seg/%u/%u.log", (unsigned)segment->ttl_class,
                        (unsigned)segment->hour) > 0);
}

/* Flips a bit of record n, `at` bytes behind its magic. */
static void flip(uint32_t n, uint32_t at)
{
    char path[48];
    uint64_t len = 0;
    log_path(path, n);
    uint8_t *bytes = test_disk_bytes(disk, path, &len);
    const uint64_t place = n / CLASSES * LOG_BYTES + at;
    SES_ASSERT(bytes != NULL && place < len);
    bytes[place] ^= 0x10;
}

static void test_sound(void)
{
    begin();
    run_for(4 * HOUR_MS);
    const struct ses_store_stats s = stats();
    TAP_EQ(0, damaged.cnt);
    TAP_EQ(0, s.scrub_damaged);
    TAP_OK(s.scrub_cycles >= 3 && s.scrub_cycles <= 4); /* each takes an epoch */
    TAP_OK(s.scrub_records >= 3 * CNT && s.scrub_records <= 5 * CNT);
    TAP_EQ(s.scrub_records * LOG_BYTES, s.scrub_bytes);
    TAP_OK(s.scrub_cycle_ms > KIT_NOW_MS && s.scrub_cycle_ms <= now_ms());
    end();
}

static void test_rot(void)
{
    static const uint32_t at[] = {16, 24, 41, 90,
                                  LOG_BYTES - 1}; /* epoch, check, header, payload, its end */
    begin();
    for (uint32_t i = 0; i < SES_COUNT(at); i++) {
        flip(20 * i, at[i]);
    }
    run_for(4 * HOUR_MS);
    TAP_EQ(SES_COUNT(at), damaged.cnt); /* each is told once */
    TAP_EQ(0, damaged.others);
    for (uint32_t i = 0; i < SES_COUNT(at); i++) {
        TAP_OK(damaged.of[20 * i]);
    }
    TAP_EQ(SES_COUNT(at), stats().scrub_damaged);
    /* another member's copy is watched over like the first one */
    TAP_ERR(SES_OK, put(&records[20]));
    TAP_EQ(1, stats().repaired);
    memset(&damaged, 0, sizeof damaged);
    run_for(3 * HOUR_MS);
    TAP_EQ(0, damaged.cnt);
    char path[48];
    uint64_t len = 0;
    log_path(path, 20);
    test_disk_bytes(disk, path, &len)[len - 1] ^= 1;
    run_for(3 * HOUR_MS);
    TAP_OK(damaged.cnt == 1 && damaged.of[20]);
    end();
}

/* What is told to somebody who has no room for it is told again. */
static void test_told_in_vain(void)
{
    begin();
    flip(7, 100);
    damaged.no_room = true;
    run_for(4 * HOUR_MS);
    TAP_OK(damaged.cnt >= 2 && damaged.of[7]);
    TAP_EQ(0, stats().scrub_damaged);
    damaged.no_room = false;
    damaged.cnt = 0;
    run_for(4 * HOUR_MS);
    TAP_EQ(1, damaged.cnt);
    TAP_EQ(1, stats().scrub_damaged);
    TAP_ERR(SES_OK, put(&records[7]));
    TAP_EQ(1, stats().repaired);
    end();
}

/* A read that fails costs no more than the records that it cannot bring; a log that is not there
 * costs all of them. */
static void test_lost_bytes(void)
{
    char path[48];
    uint64_t len = 0;
    begin();
    log_path(path, 0);
    uint8_t *bytes = test_disk_bytes(disk, path, &len);
    uint8_t *copy = ses_alloc(len, 1);
    SES_ASSERT(copy != NULL);
    memcpy(copy, bytes, len);
    test_disk_put(disk, path, copy, len - LOG_BYTES - 1); /* two records */
    ses_free(copy);
    run_for(3 * HOUR_MS);
    TAP_EQ(2, damaged.cnt);
    TAP_OK(damaged.of[CNT - CLASSES] && damaged.of[CNT - 2 * CLASSES]);
    log_path(path, 1);
    TAP_ERR(SES_OK, kit.disk->unlink(kit.disk->ctx, path));
    run_for(3 * HOUR_MS);
    TAP_EQ(2 + CNT / CLASSES, damaged.cnt);
    end();
}

/* Logs go, and records are deleted and erased, while a cycle is under way and while its read is. */
static void test_what_goes_is_no_damage(void)
{
    struct owner owner;
    struct kit_record mine[2];
    struct statement statement;
    begin();
    owner_init(&owner, 1);
    for (uint32_t i = 0; i < 2; i++) {
        owner_record(&mine[i], &owner, i, KIT_NOW_MS, 3, 4000);
        TAP_ERR(SES_OK, put(&mine[i]));
    }
    run_for(HOUR_MS / 2);
    statement_make(&statement, &kit, &owner, mine, 2, now_ms() / 1000 * 1000);
    TAP_ERR(SES_OK, statement_put(&kit, &statement, NULL));
    const uint64_t last_ms = ses_segment_expires_ms(&records[1].ids.segment);
    for (uint64_t minute = 0; now_ms() < last_ms + 2 * HOUR_MS;) {
        TAP_MUST(test_loop_step(kit.loop));
        if (now_ms() / 60000 != minute) { /* the step that moved the clock may have begun a read */
            minute = now_ms() / 60000;
            ses_store_expire(kit.store);
        }
    }
    TAP_EQ(0, damaged.cnt);
    TAP_EQ(2, stats().erased);
    TAP_EQ(CNT / CLASSES + 1, stats().record_cnt - 2); /* class 3, the statement; two ghosts */
    TAP_EQ(0, stats().corrupt_reads);
    statement_free(&statement);
    kit_record_free(&mine[0]);
    kit_record_free(&mine[1]);
    owner_free(&owner);
    end();
}

/* A node that never lives long enough for a cycle reads all of its store in time: also what a cycle
 * that begins at the beginning reads last. */
static void test_restarts(void)
{
    begin();
    kit_close(&kit);
    for (uint32_t n = 0; n < CLASSES; n++) {
        flip(n, 100);
        flip(CNT - 1 - n, 100);
    }
    for (uint32_t i = 0; i < 200; i++) {
        open_store();
        run_for(HOUR_MS / 8);
        kit_close(&kit);
    }
    for (uint32_t n = 0; n < CLASSES; n++) {
        TAP_OK(damaged.of[n]);
        TAP_OK(damaged.of[CNT - 1 - n]);
    }
    TAP_EQ(0, damaged.others);
    open_store();
    end();
}

/* More than the rate allows within an epoch takes longer. */
static void test_rate(void)
{
    begin();
    kit_close(&kit);
    kit.params.scrub_rate = 300;
    open_store();
    run_for(HOUR_MS);
    TAP_OK(stats().scrub_bytes <= 300 * (KIT_EPOCH_S + 1) + (1u << 20));
    TAP_EQ(0, stats().scrub_cycles);
    kit_close(&kit);
    kit.params.scrub_rate = 0; /* off */
    flip(0, 100);
    open_store();
    TAP_OK(!test_loop_step(kit.loop));
    TAP_EQ(0, stats().scrub_records);
    end();
}

int main(void)
{
    TAP_RUN(test_sound);
    TAP_RUN(test_rot);
    TAP_RUN(test_told_in_vain);
    TAP_RUN(test_lost_bytes);
    TAP_RUN(test_what_goes_is_no_damage);
    TAP_RUN(test_restarts);
    TAP_RUN(test_rate);
    return tap_done();
}
