#include "storage/meta.h"

#include <pthread.h>
#include <string.h>

#include "storage/db.h"

#define META_NAME "meta.db"
#define KEY_INSTANCE "storage.instance"

struct ses_meta {
    sqlite3 *db;
    sqlite3_stmt *set;
    sqlite3_stmt *get;
    sqlite3_stmt *add_signed;
    sqlite3_stmt *trim_signed;
    pthread_mutex_t lock;
};

static const char schema[] =
    "CREATE TABLE value(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE signed(minute INTEGER NOT NULL, swarm INTEGER NOT NULL,"
    " swarm_from_epoch INTEGER NOT NULL, epoch_min INTEGER NOT NULL, epoch_max INTEGER NOT NULL,"
    " batches INTEGER NOT NULL, leaves INTEGER NOT NULL,"
    " PRIMARY KEY(minute, swarm, swarm_from_epoch)) WITHOUT ROWID;";
static const char schema_2[] =
    "CREATE TABLE snapshot(epoch INTEGER PRIMARY KEY, swarm INTEGER NOT NULL,"
    " num_swarms INTEGER NOT NULL, root BLOB NOT NULL, count INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, segments BLOB NOT NULL);"
    "CREATE TABLE commitment(epoch INTEGER PRIMARY KEY, secret BLOB NOT NULL,"
    " bytes BLOB NOT NULL);";

static enum ses_err set_locked(struct ses_meta *meta, const char *key, const void *value,
                               size_t len)
{
    ses_db_bind_text(meta->set, 1, key);
    ses_db_bind_blob(meta->set, 2, value, len);
    return ses_db_run(meta->set);
}

static enum ses_err get_locked(struct ses_meta *meta, const char *key, struct ses_buf *out)
{
    bool row;
    ses_db_bind_text(meta->get, 1, key);
    enum ses_err err = ses_db_step(meta->get, &row);
    if (err == SES_OK) {
        err = row ? ses_buf_append(out, sqlite3_column_blob(meta->get, 0),
                                   (size_t)sqlite3_column_bytes(meta->get, 0))
                  : SES_ERR_NOT_FOUND;
    }
    sqlite3_reset(meta->get);
    return err;
}

/* `initial` if there is none; ERR_CHECKSUM if it is no number. */
static enum ses_err get_u64(struct ses_meta *meta, const char *key, uint64_t initial, uint64_t *out)
{
    struct ses_buf value = {0};
    enum ses_err err = get_locked(meta, key, &value);
    *out = initial;
    if (err == SES_OK) {
        err = value.len == 8 ? SES_OK : SES_ERR_CHECKSUM;
        *out = err == SES_OK ? ses_get_u64(value.bytes) : initial;
    } else if (err == SES_ERR_NOT_FOUND) {
        err = SES_OK;
    }
    ses_buf_free(&value);
    return err;
}

static enum ses_err set_u64(struct ses_meta *meta, const char *key, uint64_t value)
{
    uint8_t bytes[8];
    ses_put_u64(bytes, value);
    return set_locked(meta, key, bytes, sizeof bytes);
}

static enum ses_err prepare(struct ses_meta *meta)
{
    SES_TRY(ses_db_prepare(meta->db, &meta->set, "INSERT OR REPLACE INTO value VALUES(?1, ?2)"));
    SES_TRY(ses_db_prepare(meta->db, &meta->get, "SELECT value FROM value WHERE key = ?1"));
    SES_TRY(ses_db_prepare(meta->db, &meta->trim_signed, "DELETE FROM signed WHERE minute < ?1"));
    return ses_db_prepare(meta->db, &meta->add_signed,
                          "INSERT INTO signed VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                          " ON CONFLICT(minute, swarm, swarm_from_epoch) DO UPDATE SET"
                          " epoch_min = min(epoch_min, excluded.epoch_min),"
                          " epoch_max = max(epoch_max, excluded.epoch_max),"
                          " batches = batches + excluded.batches,"
                          " leaves = leaves + excluded.leaves");
}

static enum ses_err create(struct ses_meta *meta, const struct ses_random *random)
{
    uint8_t instance[8];
    ses_random_fill(random, instance, sizeof instance);
    SES_TRY(ses_db_exec(meta->db, "BEGIN IMMEDIATE"));
    SES_TRY(ses_db_exec(meta->db, schema));
    SES_TRY(ses_db_exec(meta->db, schema_2));
    SES_TRY(prepare(meta));
    SES_TRY(set_locked(meta, KEY_INSTANCE, instance, sizeof instance));
    _Static_assert(SES_META_VERSION == 2, "the statement below names it");
    return ses_db_exec(meta->db, "PRAGMA user_version = 2; COMMIT");
}

static enum ses_err take_over_1(struct ses_meta *meta)
{
    SES_TRY(ses_db_exec(meta->db, "BEGIN IMMEDIATE"));
    SES_TRY(ses_db_exec(meta->db, schema_2));
    return ses_db_exec(meta->db, "PRAGMA user_version = 2; COMMIT");
}

static enum ses_err open_format(struct ses_meta *meta, const struct ses_random *random,
                                struct ses_note *note)
{
    uint64_t version;
    SES_TRY(ses_db_version(meta->db, &version));
    if (version == 0) {
        return create(meta, random);
    }
    if (version == 1) {
        SES_TRY(take_over_1(meta));
    } else if (version != SES_META_VERSION) {
        ses_note_set(note,
                     "the data directory has format %llu and this program knows format %u: run "
                     "the version that wrote it, or a newer one",
                     (unsigned long long)version, SES_META_VERSION);
        return SES_ERR_VERSION;
    }
    return prepare(meta);
}

static enum ses_err count_start(struct ses_meta *meta, struct ses_meta_start *start)
{
    struct ses_buf instance = {0};
    uint64_t sealed;
    enum ses_err err = get_locked(meta, KEY_INSTANCE, &instance);
    if (err == SES_OK && instance.len != sizeof start->instance) {
        err = SES_ERR_CHECKSUM;
    }
    if (err == SES_OK) {
        memcpy(start->instance, instance.bytes, sizeof start->instance);
    }
    ses_buf_free(&instance);
    SES_TRY(err);
    SES_TRY(get_u64(meta, SES_META_SEALED, UINT64_MAX, &sealed));
    start->sealed = (int64_t)sealed; /* -1 is stored as all ones */
    uint64_t synced;
    SES_TRY(get_u64(meta, SES_META_SYNCED, 0, &synced));
    start->synced = synced != 0;
    SES_TRY(get_u64(meta, SES_META_BOOT, 0, &start->boot));
    start->boot++;
    return set_u64(meta, SES_META_BOOT, start->boot);
}

static enum ses_err open_in(struct ses_meta *meta, struct ses_meta_start *start,
                            const struct ses_disk *disk, const struct ses_random *random,
                            struct ses_note *note)
{
    SES_TRY(ses_db_open(&meta->db, disk, META_NAME, true));
    SES_TRY(open_format(meta, random, note));
    SES_TRY(count_start(meta, start));
    return disk->sync_dir(disk->ctx, "");
}

enum ses_err ses_meta_open(struct ses_meta **out, struct ses_meta_start *start,
                           const struct ses_disk *disk, const struct ses_random *random,
                           struct ses_note *note)
{
    *out = NULL;
    *start = (struct ses_meta_start){.sealed = -1};
    struct ses_meta *meta = ses_alloc(1, sizeof *meta);
    SES_REQUIRE(meta != NULL, SES_ERR_MEMORY);
    SES_ASSERT(pthread_mutex_init(&meta->lock, NULL) == 0);
    const enum ses_err err = open_in(meta, start, disk, random, note);
    if (err != SES_OK) {
        if (err != SES_ERR_VERSION) {
            ses_note_set(note,
                         "meta.db cannot be opened (%s): check the disk and its free space; a "
                         "damaged file must come back from a backup, because it says what this "
                         "node has signed",
                         ses_err_text(err));
        }
        ses_meta_close(meta);
        return err;
    }
    *out = meta;
    return SES_OK;
}

void ses_meta_close(struct ses_meta *meta)
{
    if (meta == NULL) {
        return;
    }
    sqlite3_finalize(meta->set);
    sqlite3_finalize(meta->get);
    sqlite3_finalize(meta->add_signed);
    sqlite3_finalize(meta->trim_signed);
    ses_db_close(meta->db);
    SES_ASSERT(pthread_mutex_destroy(&meta->lock) == 0);
    ses_free(meta);
}

static void lock(struct ses_meta *meta)
{
    SES_ASSERT(pthread_mutex_lock(&meta->lock) == 0);
}

static void unlock(struct ses_meta *meta)
{
    SES_ASSERT(pthread_mutex_unlock(&meta->lock) == 0);
}

struct sqlite3 *ses_meta_lock(struct ses_meta *meta)
{
    lock(meta);
    return meta->db;
}

void ses_meta_unlock(struct ses_meta *meta)
{
    unlock(meta);
}

enum ses_err ses_meta_set(struct ses_meta *meta, const char *key, const void *value, size_t len)
{
    SES_REQUIRE(strlen(key) <= SES_META_KEY_MAX && len <= SES_META_VALUE_MAX, SES_ERR_TOO_LARGE);
    lock(meta);
    const enum ses_err err = set_locked(meta, key, len > 0 ? value : "", len);
    unlock(meta);
    return err;
}

enum ses_err ses_meta_set_u64(struct ses_meta *meta, const char *key, uint64_t value)
{
    uint8_t bytes[8];
    ses_put_u64(bytes, value);
    return ses_meta_set(meta, key, bytes, sizeof bytes);
}

enum ses_err ses_meta_get(struct ses_meta *meta, const char *key, struct ses_buf *out)
{
    lock(meta);
    const enum ses_err err = get_locked(meta, key, out);
    unlock(meta);
    return err;
}

enum ses_err ses_meta_add_signed(struct ses_meta *meta, const struct ses_meta_signed *row)
{
    lock(meta);
    sqlite3_stmt *s = meta->add_signed;
    ses_db_bind_u64(s, 1, row->minute);
    ses_db_bind_u64(s, 2, row->swarm);
    ses_db_bind_u64(s, 3, row->swarm_from_epoch);
    ses_db_bind_u64(s, 4, row->epoch_min);
    ses_db_bind_u64(s, 5, row->epoch_max);
    ses_db_bind_u64(s, 6, row->batch_cnt);
    ses_db_bind_u64(s, 7, row->leaf_cnt);
    const enum ses_err err = ses_db_run(s);
    unlock(meta);
    return err;
}

enum ses_err ses_meta_trim_signed(struct ses_meta *meta, uint64_t minute)
{
    lock(meta);
    ses_db_bind_u64(meta->trim_signed, 1, minute);
    const enum ses_err err = ses_db_run(meta->trim_signed);
    unlock(meta);
    return err;
}
