/* The life of a store in which one thing fails once: an allocation, an operation of the disk, a
 * call of SQLite; every one of them in turn. Whatever it was, what was acknowledged is there
 * afterwards, what was deleted is not, and the store is whole.
 *
 * All of them take minutes. Unless SES_FAIL_EVERY=1 asks for them, one in SES_FAIL_EVERY is tried,
 * from a random one on. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/test_ask.h"
#include "storage/test_disk.h"
#include "storage/test_sql.h"

#define RECORDS 6u
#define DELETED 2u /* the first ones */
#define FOREIGN 3u
#define EPOCH 101u /* to which what is put at KIT_NOW_MS is admitted */
#define EVERY 7u

enum failing { FAIL_MEMORY, FAIL_DISK, FAIL_SQL };

static struct kit kit;
static struct test_disk *disk;
static struct ask ask;
static struct owner owner;
static struct kit_record records[RECORDS];
static struct kit_record brief; /* expires */
static struct kit_record foreign[FOREIGN];
static struct statement statement;
static bool acknowledged[RECORDS];
static bool deleted;
static bool committed;

/* What SQLite says, and the system. */
static const struct {
    int code, system;
} sql_errors[] = {{SQLITE_IOERR_WRITE, EIO},    {SQLITE_FULL, 0},    {SQLITE_NOMEM, 0},
                  {SQLITE_IOERR_WRITE, ENOSPC}, {SQLITE_BUSY, 0},    {SQLITE_IOERR_WRITE, EDQUOT},
                  {SQLITE_CANTOPEN, 0},         {SQLITE_READONLY, 0}};

/* Returns what was left: 0 if what was armed before has failed. */
static uint64_t arm(enum failing what, uint64_t at)
{
    const size_t error = at % SES_COUNT(sql_errors);
    return ses_alloc_fail_at(what == FAIL_MEMORY ? at : 0) +
           test_disk_fail_op_at(disk, what == FAIL_DISK ? at : 0) +
           test_sql_fail_at(what == FAIL_SQL ? at : 0, sql_errors[error].code,
                            sql_errors[error].system);
}

static uint32_t seat_of(const struct kit_record *r)
{
    return r->ids.digest.bytes[31] & 1u;
}

/* Memory fails above a real disk: the other one allocates, too. */
static void begin(enum failing what)
{
    kit_root(&kit);
    disk = test_disk_new(kit.root, tap_random());
    SES_ASSERT(what != FAIL_MEMORY || ses_disk_open(&kit.real, kit.root, NULL) == SES_OK);
    kit_init(&kit, test_loop_new(KIT_NOW_MS),
             what == FAIL_MEMORY ? &kit.real : test_disk_door(disk));
    kit.params.random = tap_random();
    test_disk_put(disk, "meta.db", "", 0); /* the real one is SQLite's; the check looks for it */
    for (uint32_t n = 0; n < RECORDS; n++) {
        owner_record(&records[n], &owner, n, KIT_NOW_MS, (uint8_t)(1 + n % 3), 50 + n * 500);
    }
    owner_record(&brief, &owner, 90, KIT_NOW_MS, 0, 70);
    for (uint32_t n = 0, inbox = 0; n < FOREIGN; n += seat_of(&foreign[n]) != seat_of(&brief)) {
        const struct kit_spec spec = {.n = 100 + n,
                                      .inbox = inbox++,
                                      .ts_ms = KIT_NOW_MS,
                                      .payload_bytes = 60,
                                      .ttl_class = 2};
        kit_record_free(&foreign[n]);
        kit_record(&foreign[n], &spec);
    }
    statement_make(&statement, &kit, &owner, records, DELETED, KIT_NOW_MS + 2000);
    memset(acknowledged, 0, sizeof acknowledged);
    deleted = false;
    committed = false;
}

static void end(void)
{
    for (uint32_t n = 0; n < RECORDS; n++) {
        kit_record_free(&records[n]);
    }
    for (uint32_t n = 0; n < FOREIGN; n++) {
        kit_record_free(&foreign[n]);
    }
    kit_record_free(&brief);
    statement_free(&statement);
    test_loop_free(kit.loop);
    test_disk_free(disk);
    if (kit.real.ctx != NULL) {
        ses_disk_close(&kit.real);
    }
    kit_free(&kit);
    memset(foreign, 0, sizeof foreign);
}

/* ---- a life; each part ends early when the store is gone ---- */
static void leave(void)
{
    if (kit.store != NULL && kit.fatal_cnt > 0) {
        kit_abandon(&kit);
    } else if (kit.store != NULL) {
        kit_close(&kit);
    }
    kit.fatal_cnt = 0;
}

static bool enter(void)
{
    if (kit_open(&kit) != SES_OK) {
        leave();
    }
    return kit.store != NULL;
}

static bool put(const struct kit_record *r, enum kit_how how)
{
    struct kit_put p;
    kit_put_start(&kit, &p, r, how);
    TAP_MUST(test_loop_run(kit.loop, &p.done));
    if (p.err == SES_OK && how == KIT_ENTRY) {
        struct ses_receipt other = p.result.receipt; /* as of another member */
        memset(other.node_id.bytes, 0x33, sizeof other.node_id.bytes);
        ses_store_keep_receipt(kit.store, &other);
    }
    return p.err == SES_OK;
}

static void put_all(void)
{
    for (uint32_t n = 0; n < RECORDS; n++) {
        acknowledged[n] |= put(&records[n], n % 2 == 0 ? KIT_ENTRY : KIT_REPLICA);
    }
    for (uint32_t n = 0; n < FOREIGN; n++) {
        (void)put(&foreign[n], KIT_REPLICA);
    }
    (void)put(&brief, KIT_STRANGER);
    deleted |= statement_put(&kit, &statement, NULL) == SES_OK;
}

static void on_receipts(void *cookie, enum ses_err err, const struct ses_receipt *receipts,
                        uint16_t cnt)
{
    (void)cookie;
    TAP_OK(err != SES_OK ||
           (cnt > 0 && ses_receipt_verify(&receipts[0], &kit.params.chain_id, &kit.pk) == SES_OK));
}

static void on_copy(void *cookie, enum ses_err err, const struct ses_record_copy *copy)
{
    const struct kit_record *r = cookie;
    TAP_OK(err != SES_OK || memcmp(copy->ids.id.bytes, r->ids.id.bytes, 32) == 0);
}

static void read_all(void)
{
    static struct kit_box box;
    struct kit_record *r = &records[RECORDS - 1];
    bool asked = ses_store_receipts(kit.store, &r->ids.id, on_receipts, NULL) == SES_OK;
    asked |= ses_store_get(kit.store, &r->ids.id, on_copy, r) == SES_OK;
    (void)asked;
    TAP_OK(test_loop_run(kit.loop, NULL));
    kit_read(&kit, &box, 0, 0, NULL, 2, 1 << 20);
    ask_chunk(&kit, &ask, &r->ids.id, 0);
    ask_bulk(&kit, &ask, &r->ids.segment, 0, 1000);
}

static void ask_all(void)
{
    const uint64_t at = 0;
    const struct ses_forest_question question = {.positions = &at, .position_cnt = 1};
    struct ses_children_ask child = {0};
    struct ses_view view;
    struct ses_forest_range range;
    ask_segments(&kit, &ask, NULL, 0);
    if (ask.err == SES_OK && ask.segment_cnt > 0) {
        child.segment = ask.segments[0].id;
        ses_forest_range_slot(&range, &child.segment, &records[0].ids.digest);
        ask_children(&kit, &ask, NULL, &child, 1);
        ask_leaves(&kit, &ask, NULL, &range, 10);
    }
    ask_snapshot(&kit, &ask, EPOCH, 0, 1);
    ask_view_of(&view, EPOCH);
    ask_prove(&kit, &ask, &view, &question);
    ask_at(&kit, &ask, &view, &at, 1);
}

static void commit(void)
{
    struct ses_commitment out = {0};
    struct ses_commitment mine = {.epoch = EPOCH};
    uint8_t bytes[] = "signed";
    mine.bytes = (struct ses_buf){.bytes = bytes, .len = sizeof bytes};
    if (ses_store_mark_synced(kit.store) == SES_OK &&
        ses_store_commit(kit.store, &out, &mine) == SES_OK) {
        ses_buf_free(&out.bytes);
        committed = true;
    }
    ses_buf_free(&out.bytes);
}

/* The seat is halved, the snapshot can no longer be asked for: what is foreign, deleted or expired
 * goes. */
static void move_on(void)
{
    const struct ses_store_seat half = {
        .swarm = seat_of(&brief), .num_swarms = 2, .from_epoch = EPOCH};
    ses_store_replicated(kit.store, &records[0].ids.id);
    test_loop_skip(kit.loop, ses_epoch_start_ms(&kit.params.times, EPOCH + 4) - KIT_NOW_MS);
    ses_store_expire(kit.store);
    TAP_OK(test_loop_run(kit.loop, NULL));
    ses_store_set_seat(kit.store, &half);
    ask_drop_foreign(&kit, &ask);
    ses_store_expire(kit.store);
    TAP_OK(test_loop_run(kit.loop, NULL));
}

static void no_index(void)
{
    char idx[300];
    SES_ASSERT(snprintf(idx, sizeof idx, "%s/idx", kit.root) > 0);
    kit_remove_tree(idx);
}

static void on_damage(void *cookie, const char *text)
{
    (void)cookie;
    printf("# %s\n", text);
}

static uint64_t verify(enum ses_err *err)
{
    struct ses_note note = {{0}};
    struct ses_verify_report report;
    const struct ses_verify_params params = {.disk = kit.disk,
                                             .chain_id = kit.params.chain_id,
                                             .now_ms = ses_now_ms(&kit.params.loop->clock),
                                             .on_damage = on_damage,
                                             .note = &note};
    *err = ses_store_verify(&report, &params);
    TAP_OK(*err == SES_OK || note.text[0] != '\0');
    return report.damage_cnt;
}

static void live(void)
{
    enum ses_err err;
    if (!enter()) {
        return;
    }
    put_all();
    leave();
    if (!enter()) {
        return;
    }
    put_all(); /* known by now */
    read_all();
    (void)(ses_store_seal(kit.store, EPOCH) == SES_OK);
    ask_all();
    commit();
    move_on();
    leave();
    no_index();
    if (enter()) {
        leave();
        (void)verify(&err);
    }
}

/* ---- afterwards ---- */
static bool in_store(struct kit_record *r)
{
    if (ses_store_get(kit.store, &r->ids.id, on_copy, r) != SES_OK) {
        return false;
    }
    TAP_OK(test_loop_run(kit.loop, NULL));
    return true;
}

static void judge(void)
{
    struct ses_commitment mine;
    enum ses_err err;
    TAP_MUST(enter());
    TAP_OK(ses_store_commitment(kit.store, &mine, EPOCH) == SES_OK || !committed);
    ses_buf_free(&mine.bytes);
    for (uint32_t n = 0; n < RECORDS; n++) {
        const bool gone = n < DELETED && deleted;
        TAP_OK(!acknowledged[n] || gone || in_store(&records[n]));
        TAP_OK(!gone || !in_store(&records[n]));
        TAP_OK(!acknowledged[n] || ses_store_has(kit.store, &records[n].ids));
    }
    leave();
    TAP_EQ(0, verify(&err));
    TAP_ERR(SES_OK, err);
}

/* False if the life was over before. */
static bool trial(enum failing what, uint64_t at)
{
    begin(what);
    arm(what, at);
    live();
    const bool failed = arm(what, 0) == 0;
    leave();
    if (at % 2 == 0) {
        test_disk_crash(disk); /* and the power goes */
    }
    judge();
    end();
    return failed;
}

static void each(enum failing what)
{
    const char *given = getenv("SES_FAIL_EVERY");
    const uint64_t every = given != NULL ? strtoull(given, NULL, 10) : EVERY;
    uint64_t at = 1 + ses_random_below(tap_random(), every);
    uint64_t cnt = 0;
    for (; trial(what, at); at += every) {
        cnt++;
    }
    printf("# %llu failures, up to the %llu-th\n", (unsigned long long)cnt,
           (unsigned long long)(at - 1));
    TAP_OK(cnt > 3);
}

static void test_memory(void)
{
    each(FAIL_MEMORY);
}

static void test_disk_operations(void)
{
    each(FAIL_DISK);
}

static void test_sql(void)
{
    each(FAIL_SQL);
}

int main(void)
{
    owner_init(&owner, 9);
    TAP_RUN(test_memory);
    TAP_RUN(test_disk_operations);
    TAP_RUN(test_sql);
    owner_free(&owner);
    ask_free(&ask);
    return tap_done();
}
