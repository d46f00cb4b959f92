/* The offline check: silent over what a kill leaves behind, loud over everything else. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/test_ask.h"

#define HOUR ((uint32_t)(KIT_NOW_MS / 3600000))

static struct kit kit;
static struct ses_verify_report report;
static char last[256]; /* damage */

static void put_one(uint64_t n)
{
    const struct kit_spec spec = {
        .n = n, .inbox = n % 3, .ts_ms = KIT_NOW_MS, .payload_bytes = 500, .ttl_class = 3};
    TAP_ERR(SES_OK, kit_put(&kit, &spec, KIT_ENTRY, NULL));
}

/* A store of ten records, closed. */
static void begin(void)
{
    kit_root(&kit);
    SES_ASSERT(ses_disk_open(&kit.real, kit.root, &kit.note) == SES_OK);
    kit_init(&kit, test_loop_new(KIT_NOW_MS), &kit.real);
    TAP_ERR(SES_OK, kit_open(&kit));
    for (uint64_t n = 0; n < 10; n++) {
        put_one(n);
    }
    kit_close(&kit);
}

static void end(void)
{
    ses_disk_close(&kit.real);
    test_loop_free(kit.loop);
    kit_free(&kit);
}

static void on_damage(void *cookie, const char *text)
{
    (void)cookie;
    snprintf(last, sizeof last, "%s", text);
    printf("# %s\n", text);
}

static uint64_t verify(void)
{
    struct ses_note note;
    const struct ses_verify_params params = {.disk = &kit.real,
                                             .chain_id = kit.params.chain_id,
                                             .now_ms = KIT_NOW_MS,
                                             .on_damage = on_damage,
                                             .note = &note};
    last[0] = '\0';
    TAP_ERR(SES_OK, ses_store_verify(&report, &params));
    return report.damage_cnt;
}

static void path_of(char out[512], const char *name)
{
    SES_ASSERT(snprintf(out, 512, "%s/%s", kit.root, name) < 512);
}

static void log_path(char out[512])
{
    char name[64];
    SES_ASSERT(snprintf(name, sizeof name, "seg/3/%u.log", (unsigned)HOUR) > 0);
    path_of(out, name);
}

static void index_path(char out[512])
{
    char name[64];
    SES_ASSERT(snprintf(name, sizeof name, "idx/3-%u.db", (unsigned)(HOUR / 24)) > 0);
    path_of(out, name);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    const int fd = open(path, O_RDWR);
    SES_ASSERT(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x10;
    SES_ASSERT(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
}

static void test_whole(void)
{
    begin();
    TAP_EQ(0, verify());
    TAP_EQ(1, report.log_cnt);
    TAP_EQ(10, report.record_cnt);
    TAP_EQ(1, report.index_cnt);
    TAP_EQ(10u * 588, report.log_bytes);
    TAP_EQ(0, report.tail_bytes + report.unindexed_cnt);
    end();
}

/* What a kill leaves: half a record, records that no index knows, no index at all. */
static void test_after_kill(void)
{
    char path[512];
    begin();
    log_path(path);
    const int fd = open(path, O_WRONLY | O_APPEND);
    SES_ASSERT(fd >= 0 && write(fd, "\xA5SL", 3) == 3 && close(fd) == 0);
    TAP_EQ(0, verify());
    TAP_EQ(3, report.tail_bytes);
    index_path(path);
    SES_ASSERT(unlink(path) == 0);
    TAP_EQ(0, verify());
    TAP_EQ(10, report.unindexed_cnt);
    TAP_ERR(SES_OK, kit_open(&kit)); /* mends both */
    kit_close(&kit);
    TAP_EQ(0, verify());
    TAP_EQ(10, report.record_cnt);
    TAP_EQ(0, report.tail_bytes + report.unindexed_cnt);
    end();
}

/* A copy that came after the freeze, and then again with a member that vouches for it: its earlier
 * epoch stands in the index only. */
static void test_admitted_earlier(void)
{
    const struct kit_spec spec = {
        .n = 77, .ts_ms = KIT_NOW_MS, .payload_bytes = 500, .ttl_class = 3};
    const struct ses_vouchers one = {.cnt = 1, .epochs = {101}};
    struct kit_record record;
    uint64_t epoch = 0;
    begin();
    const uint64_t freeze_ms = ses_epoch_start_ms(&kit.params.times, 101) - 120000;
    TAP_ERR(SES_OK, kit_open(&kit));
    test_loop_skip(kit.loop, freeze_ms + 5000 - ses_now_ms(&kit.params.loop->clock));
    kit_record(&record, &spec);
    TAP_ERR(SES_OK, ask_put(&kit, &record.record, &record.ids, NULL, &epoch));
    TAP_EQ(102, epoch);
    TAP_ERR(SES_OK, ask_put(&kit, &record.record, &record.ids, &one, &epoch));
    TAP_EQ(101, epoch);
    kit_record_free(&record);
    kit_close(&kit);
    TAP_EQ(0, verify());
    TAP_EQ(11, report.record_cnt);
    end();
}

/* Every part of a record. */
static void test_flipped_bit(void)
{
    char path[512];
    begin();
    log_path(path);
    static const off_t places[] = {588 + 5, 588 + 10, 588 + 20, 588 + 30, 588 + 50, 588 + 300};
    for (size_t i = 0; i < SES_COUNT(places); i++) {
        flip(path, places[i]);
        TAP_EQ(2, verify()); /* the log, and a row without its record */
        flip(path, places[i]);
        TAP_EQ(0, verify());
    }
    end();
}

static void test_lost_end(void)
{
    char path[512];
    begin();
    log_path(path);
    SES_ASSERT(truncate(path, 9 * 588) == 0);
    TAP_EQ(2, verify());
    TAP_OK(strstr(last, "no such record") != NULL);
    SES_ASSERT(unlink(path) == 0);
    TAP_EQ(11, verify());
    end();
}

static void test_damaged_index(void)
{
    char path[512];
    begin();
    index_path(path);
    SES_ASSERT(truncate(path, 4096) == 0);
    TAP_OK(verify() > 0);
    SES_ASSERT(unlink(path) == 0);
    TAP_ERR(SES_OK, kit_open(&kit));
    kit_close(&kit);
    TAP_EQ(0, verify());
    sqlite3 *db;
    SES_ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
    SES_ASSERT(sqlite3_exec(db, "DELETE FROM record WHERE rowid = (SELECT min(rowid) FROM record)",
                            NULL, NULL, NULL) == SQLITE_OK);
    SES_ASSERT(sqlite3_close(db) == SQLITE_OK);
    TAP_EQ(1, verify());
    TAP_OK(strstr(last, "missing in the index") != NULL);
    end();
}

static void test_meta(void)
{
    char path[512];
    begin();
    path_of(path, "meta.db");
    SES_ASSERT(truncate(path, 100) == 0);
    TAP_OK(verify() > 0);
    SES_ASSERT(unlink(path) == 0);
    TAP_OK(verify() > 0); /* missing, so the index is of another store */
    end();
}

static void test_foreign_file(void)
{
    char path[512];
    begin();
    path_of(path, "seg/3/notes.txt");
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    SES_ASSERT(fd >= 0 && close(fd) == 0);
    TAP_EQ(1, verify());
    TAP_TEXT("seg/3/notes.txt is no log of a store", last);
    end();
}

int main(void)
{
    TAP_RUN(test_whole);
    TAP_RUN(test_after_kill);
    TAP_RUN(test_admitted_earlier);
    TAP_RUN(test_flipped_bit);
    TAP_RUN(test_lost_end);
    TAP_RUN(test_damaged_index);
    TAP_RUN(test_meta);
    TAP_RUN(test_foreign_file);
    return tap_done();
}
