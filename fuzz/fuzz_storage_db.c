/* The databases of a store, changed by hand: a store with records, a snapshot and a commitment is
 * closed, values of its rows are replaced, and it is opened again. It opens or says why not;
 * whatever is asked of it is answered, and a record that it hands out carries its id.
 *
 * Input: u8 what is replaced (below), a value; repeated. A value: u8 kind (NULL, small or large
 * number, bytes), then its bytes. All stands in memory. */
#include <sqlite3.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "storage/test_ask.h"
#include "storage/test_disk.h"

#define ROOT "/nowhere" /* a name that connections of one process share (SQLite's memdb) */
#define META ROOT "/meta.db"
#define INDEX ROOT "/idx/3-19680.db"
_Static_assert(KIT_NOW_MS / 86400000 == 19680, "INDEX names it");
#define CHANGES_MAX 16u
#define TTL_CLASS 3u
#define RECORDS 3u
#define EPOCH 101u /* of the snapshot: the records are admitted to it */

static const struct {
    bool in_index;
    const char *sql; /* ?1 is the value */
} changes[] = {
    {false, "UPDATE value SET value = ?1 WHERE key = 'storage.instance'"},
    {false, "UPDATE value SET value = ?1 WHERE key = 'storage.boot'"},
    {false, "UPDATE value SET value = ?1 WHERE key = 'storage.sealed'"},
    {false, "UPDATE value SET value = ?1 WHERE key = 'storage.synced'"},
    {false, "UPDATE OR REPLACE snapshot SET epoch = ?1"},
    {false, "UPDATE OR IGNORE snapshot SET swarm = ?1"},
    {false, "UPDATE OR IGNORE snapshot SET num_swarms = ?1"},
    {false, "UPDATE OR IGNORE snapshot SET root = ?1"},
    {false, "UPDATE OR IGNORE snapshot SET count = ?1"},
    {false, "UPDATE OR IGNORE snapshot SET bytes = ?1"},
    {false, "UPDATE OR IGNORE snapshot SET segments = ?1"},
    {false, "UPDATE OR IGNORE snapshot SET segments = CAST(segments || segments AS BLOB)"},
    {false, "UPDATE OR REPLACE commitment SET epoch = ?1"},
    {false, "UPDATE OR IGNORE commitment SET secret = ?1"},
    {false, "UPDATE OR IGNORE commitment SET bytes = ?1"},
    {true, "UPDATE OR IGNORE info SET instance = ?1"},
    {true, "UPDATE OR REPLACE segment SET hour = ?1"},
    {true, "UPDATE OR IGNORE segment SET end = ?1"},
    {true, "UPDATE OR REPLACE record SET seq = ?1"},
    {true, "UPDATE OR IGNORE record SET key = ?1"},
    {true, "UPDATE OR IGNORE record SET hour = ?1"},
    {true, "UPDATE OR IGNORE record SET offset = ?1"},
    {true, "UPDATE OR IGNORE record SET size = ?1"},
    {true, "UPDATE OR IGNORE record SET namespace = ?1"},
    {true, "UPDATE OR IGNORE record SET ts = ?1"},
    {true, "UPDATE OR IGNORE record SET kind = ?1"},
    {true, "UPDATE OR IGNORE record SET admit_epoch = ?1"},
    {true, "UPDATE OR IGNORE record SET flags = ?1"},
    {true, "UPDATE OR IGNORE record SET sum = ?1"},
    {true, "INSERT OR REPLACE INTO receipt VALUES(?1, ?1, ?1, ?1)"},
    {true, "INSERT OR REPLACE INTO signature VALUES(?1, ?1)"},
    {true, "INSERT OR IGNORE INTO deletion SELECT seq, ?1, ?1 FROM record"},
    {true, "DROP TABLE record"},
    {false, "DELETE FROM value"},
};

struct databases {
    sqlite3 *meta;
    sqlite3 *index;
};

static sqlite3 *open_shared(const char *path)
{
    sqlite3 *db = NULL;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    SES_ASSERT(sqlite3_open_v2(path, &db, flags, "memdb") == SQLITE_OK);
    const char *sql = "PRAGMA locking_mode = EXCLUSIVE"; /* else a WAL needs shared memory */
    SES_ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static void bind(sqlite3_stmt *s, struct ses_reader *r)
{
    const uint8_t kind = ses_read_u8(r) % 4;
    if (sqlite3_bind_parameter_count(s) == 0 || kind == 0) {
        return;
    }
    if (kind == 1) {
        sqlite3_bind_int(s, 1, (int8_t)ses_read_u8(r));
    } else if (kind == 2) {
        sqlite3_bind_int64(s, 1, (sqlite3_int64)ses_read_u64(r));
    } else {
        const uint8_t len = ses_read_u8(r);
        const uint8_t *bytes = ses_read_view(r, len);
        sqlite3_bind_blob(s, 1, bytes != NULL ? (const void *)bytes : "", bytes != NULL ? len : 0,
                          SQLITE_STATIC);
    }
}

static void change(const uint8_t *data, size_t size)
{
    struct ses_reader r;
    const struct databases db = {open_shared(META), open_shared(INDEX)};
    ses_reader_init(&r, data, size);
    for (unsigned i = 0; i < CHANGES_MAX && r.left > 0; i++) {
        sqlite3_stmt *s = NULL;
        const size_t which = ses_read_u8(&r) % SES_COUNT(changes);
        sqlite3 *at = changes[which].in_index ? db.index : db.meta;
        if (sqlite3_prepare_v2(at, changes[which].sql, -1, &s, NULL) == SQLITE_OK) {
            bind(s, &r);
            (void)sqlite3_step(s); /* some changes the database itself refuses */
        }
        sqlite3_finalize(s);
    }
    SES_ASSERT(sqlite3_close(db.meta) == SQLITE_OK && sqlite3_close(db.index) == SQLITE_OK);
}

static void fill(struct kit *kit, struct ask *ask)
{
    struct ses_commitment out;
    const struct ses_commitment mine = {
        .epoch = EPOCH, .secret = {{5}}, .bytes = {.bytes = (uint8_t[]){1, 2}, .len = 2}};
    SES_ASSERT(kit_open(kit) == SES_OK);
    for (uint64_t n = 0; n < RECORDS; n++) {
        const struct kit_spec spec = {
            .n = n, .inbox = n, .ts_ms = KIT_NOW_MS, .payload_bytes = 9, .ttl_class = TTL_CLASS};
        SES_ASSERT(kit_put(kit, &spec, KIT_ENTRY, NULL) == SES_OK);
    }
    SES_ASSERT(ses_store_mark_synced(kit->store) == SES_OK);
    SES_ASSERT(ses_store_seal(kit->store, EPOCH) == SES_OK);
    ask_snapshot(kit, ask, EPOCH, 0, 1);
    SES_ASSERT(ask->err == SES_OK && ask->snapshot.count == RECORDS);
    SES_ASSERT(ses_store_commit(kit->store, &out, &mine) == SES_OK);
    ses_buf_free(&out.bytes);
    kit_close(kit);
}

/* A record that is handed out is one of those that were put. */
static void read_boxes(struct kit *kit)
{
    static struct kit_box box;
    for (uint64_t n = 0; n < RECORDS; n++) {
        const struct kit_spec spec = {
            .n = n, .inbox = n, .ts_ms = KIT_NOW_MS, .payload_bytes = 9, .ttl_class = TTL_CLASS};
        struct kit_record r;
        kit_record(&r, &spec);
        kit_read(kit, &box, n, 0, NULL, 10, 1u << 20);
        SES_ASSERT(box.err != SES_OK || box.cnt == 0 ||
                   (box.cnt == 1 && kit_box_has(&box, &r.ids.id)));
        kit_record_free(&r);
    }
}

static void ask_all(struct kit *kit, struct ask *ask)
{
    struct ses_snapshot snapshot;
    struct ses_commitment mine;
    struct ses_forest_range range = {0};
    const struct ses_view all = {.epoch = SES_EPOCH_LIVE, .num_swarms = 1};
    const struct ses_view view = {.epoch = EPOCH, .num_swarms = 1};
    const struct ses_forest_question question = {.ranges = &range, .range_cnt = 1};
    ask_segments(kit, ask, &all, 0);
    read_boxes(kit);
    ask_segments(kit, ask, &view, 0);
    ask_prove(kit, ask, &view, &question);
    if (ses_store_snapshot_get(kit->store, &snapshot, EPOCH) == SES_OK) {
        const uint32_t n = snapshot.num_swarms; /* as a seat is */
        SES_ASSERT(n > 0 && (n & (n - 1)) == 0 && snapshot.swarm < n);
    }
    const enum ses_err err = ses_store_commitment(kit->store, &mine, UINT64_MAX);
    SES_ASSERT(err == SES_OK || mine.bytes.len == 0);
    ses_buf_free(&mine.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kit kit;
    static struct ask ask;
    struct test_disk *disk = test_disk_new(ROOT, ses_random_system());
    struct ses_disk door = *test_disk_door(disk);
    door.vfs = "memdb";
    memset(&kit, 0, sizeof kit);
    memset(&ask, 0, sizeof ask);
    kit_init(&kit, test_loop_new(KIT_NOW_MS), &door);
    /* memory lasts as long as somebody has it open */
    const struct databases keepers = {open_shared(META), open_shared(INDEX)};
    fill(&kit, &ask);
    change(data, size);
    if (kit_open(&kit) == SES_OK) {
        ask_all(&kit, &ask);
        ses_store_free(kit.store);
    }
    ask_free(&ask);
    test_loop_free(kit.loop);
    ses_dsa_private_free(kit.key);
    (void)sqlite3_close(keepers.meta);
    (void)sqlite3_close(keepers.index);
    test_disk_free(disk);
    return 0;
}
