/* What meta.db remembers for each epoch: the sums of its snapshot, and the commitment. */
#include <string.h>

#include "storage/catalog.h"
#include "storage/db.h"
#include "storage/meta.h"

#define COMMITMENTS_KEPT 200u /* epochs */

/* ---- snapshots ---- */
static enum ses_err put_snapshot(sqlite3 *db, const struct ses_snapshot *s, const uint8_t *segments,
                                 size_t len)
{
    sqlite3_stmt *stmt = NULL;
    SES_TRY(ses_db_prepare(db, &stmt,
                           "INSERT OR IGNORE INTO snapshot VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"));
    ses_db_bind_u64(stmt, 1, s->epoch);
    ses_db_bind_u64(stmt, 2, s->swarm);
    ses_db_bind_u64(stmt, 3, s->num_swarms);
    ses_db_bind_blob(stmt, 4, s->root.bytes, sizeof s->root.bytes);
    ses_db_bind_u64(stmt, 5, s->count);
    ses_db_bind_u64(stmt, 6, s->bytes);
    ses_db_bind_blob(stmt, 7, len > 0 ? (const void *)segments : "", len);
    const enum ses_err err = ses_db_run(stmt);
    sqlite3_finalize(stmt);
    return err;
}

enum ses_err ses_meta_put_snapshot(struct ses_meta *meta, const struct ses_snapshot *snapshot,
                                   const uint8_t *segments, size_t len)
{
    sqlite3 *db = ses_meta_lock(meta);
    const enum ses_err err = put_snapshot(db, snapshot, segments, len);
    ses_meta_unlock(meta);
    return err;
}

static enum ses_err get_segments(sqlite3 *db, uint64_t epoch, struct ses_buf *out)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    SES_TRY(ses_db_prepare(db, &stmt, "SELECT segments FROM snapshot WHERE epoch = ?1"));
    ses_db_bind_u64(stmt, 1, epoch);
    enum ses_err err = ses_db_step(stmt, &row);
    if (err == SES_OK) {
        err = row ? ses_buf_append(out, sqlite3_column_blob(stmt, 0),
                                   (size_t)sqlite3_column_bytes(stmt, 0))
                  : SES_ERR_NOT_FOUND;
    }
    sqlite3_finalize(stmt);
    return err;
}

enum ses_err ses_meta_get_snapshot(struct ses_meta *meta, uint64_t epoch, struct ses_buf *segments)
{
    sqlite3 *db = ses_meta_lock(meta);
    const enum ses_err err = get_segments(db, epoch, segments);
    ses_meta_unlock(meta);
    return err;
}

/* What no seat can be would end the program where it asks whose an inbox is. */
static bool read_snapshot(sqlite3_stmt *stmt, struct ses_snapshot *s)
{
    const uint64_t swarm = ses_db_u64(stmt, 1);
    const uint64_t num_swarms = ses_db_u64(stmt, 2);
    *s = (struct ses_snapshot){.epoch = ses_db_u64(stmt, 0),
                               .swarm = (uint32_t)swarm,
                               .num_swarms = (uint32_t)num_swarms,
                               .count = ses_db_u64(stmt, 3),
                               .bytes = ses_db_u64(stmt, 4)};
    return ses_db_blob(stmt, 5, s->root.bytes, sizeof s->root.bytes) && s->epoch < SES_EPOCH_MAX &&
           swarm < num_swarms && num_swarms <= UINT32_MAX && (num_swarms & (num_swarms - 1)) == 0;
}

static enum ses_err
each_snapshot(sqlite3 *db, enum ses_err (*each)(void *cookie, const struct ses_snapshot *snapshot),
              void *cookie)
{
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    SES_TRY(ses_db_prepare(db, &stmt,
                           "SELECT epoch, swarm, num_swarms, count, bytes, root FROM snapshot"
                           " ORDER BY epoch"));
    enum ses_err err = SES_OK;
    while (err == SES_OK && row) {
        err = ses_db_step(stmt, &row);
        if (err == SES_OK && row) {
            struct ses_snapshot s;
            err = read_snapshot(stmt, &s) ? each(cookie, &s) : SES_ERR_CHECKSUM;
        }
    }
    sqlite3_finalize(stmt);
    return err;
}

enum ses_err ses_meta_each_snapshot(struct ses_meta *meta,
                                    enum ses_err (*each)(void *cookie,
                                                         const struct ses_snapshot *snapshot),
                                    void *cookie)
{
    sqlite3 *db = ses_meta_lock(meta);
    const enum ses_err err = each_snapshot(db, each, cookie);
    ses_meta_unlock(meta);
    return err;
}

static enum ses_err run_with(sqlite3 *db, const char *sql, uint64_t epoch)
{
    sqlite3_stmt *stmt = NULL;
    SES_TRY(ses_db_prepare(db, &stmt, sql));
    ses_db_bind_u64(stmt, 1, epoch);
    const enum ses_err err = ses_db_run(stmt);
    sqlite3_finalize(stmt);
    return err;
}

enum ses_err ses_meta_drop_snapshots(struct ses_meta *meta, uint64_t last)
{
    sqlite3 *db = ses_meta_lock(meta);
    const enum ses_err err = run_with(db, "DELETE FROM snapshot WHERE epoch <= ?1", last);
    ses_meta_unlock(meta);
    return err;
}

/* ---- commitments ---- */
static enum ses_err read_commitment(sqlite3_stmt *stmt, struct ses_commitment *out)
{
    bool row = false;
    SES_TRY(ses_db_step(stmt, &row));
    SES_REQUIRE(row, SES_ERR_NOT_FOUND);
    out->epoch = ses_db_u64(stmt, 0);
    SES_REQUIRE(ses_db_blob(stmt, 1, out->secret.bytes, sizeof out->secret.bytes),
                SES_ERR_CHECKSUM);
    return ses_buf_append(&out->bytes, sqlite3_column_blob(stmt, 2),
                          (size_t)sqlite3_column_bytes(stmt, 2));
}

static enum ses_err last_commitment(sqlite3 *db, struct ses_commitment *out, uint64_t epoch)
{
    sqlite3_stmt *stmt = NULL;
    *out = (struct ses_commitment){0};
    SES_TRY(ses_db_prepare(db, &stmt,
                           "SELECT epoch, secret, bytes FROM commitment WHERE epoch <= ?1"
                           " ORDER BY epoch DESC LIMIT 1"));
    ses_db_bind_u64(stmt, 1, epoch < INT64_MAX ? epoch : INT64_MAX);
    const enum ses_err err = read_commitment(stmt, out);
    sqlite3_finalize(stmt);
    if (err != SES_OK) {
        ses_buf_free(&out->bytes);
        *out = (struct ses_commitment){0};
    }
    return err;
}

static enum ses_err insert(sqlite3 *db, const struct ses_commitment *c)
{
    sqlite3_stmt *stmt = NULL;
    SES_TRY(ses_db_prepare(db, &stmt, "INSERT INTO commitment VALUES(?1, ?2, ?3)"));
    ses_db_bind_u64(stmt, 1, c->epoch);
    ses_db_bind_blob(stmt, 2, c->secret.bytes, sizeof c->secret.bytes);
    ses_db_bind_blob(stmt, 3, c->bytes.bytes, c->bytes.len);
    const enum ses_err err = ses_db_run(stmt);
    sqlite3_finalize(stmt);
    SES_TRY(err);
    const uint64_t oldest = c->epoch > COMMITMENTS_KEPT ? c->epoch - COMMITMENTS_KEPT : 0;
    return run_with(db, "DELETE FROM commitment WHERE epoch < ?1", oldest);
}

static enum ses_err put_commitment(sqlite3 *db, struct ses_commitment *out,
                                   const struct ses_commitment *commitment)
{
    struct ses_commitment last;
    enum ses_err err = last_commitment(db, &last, UINT64_MAX);
    SES_REQUIRE(err == SES_OK || err == SES_ERR_NOT_FOUND, err);
    if (err == SES_ERR_NOT_FOUND || last.epoch < commitment->epoch) {
        err = insert(db, commitment);
    }
    ses_buf_free(&last.bytes);
    SES_TRY(err);
    /* what is sent is what is read back, never what was meant to be written */
    SES_TRY(last_commitment(db, out, commitment->epoch));
    if (out->epoch != commitment->epoch) {
        ses_buf_free(&out->bytes);
        *out = (struct ses_commitment){0};
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

enum ses_err ses_meta_put_commitment(struct ses_meta *meta, struct ses_commitment *out,
                                     const struct ses_commitment *commitment)
{
    *out = (struct ses_commitment){0};
    sqlite3 *db = ses_meta_lock(meta);
    const enum ses_err err = put_commitment(db, out, commitment);
    ses_meta_unlock(meta);
    return err;
}

enum ses_err ses_meta_get_commitment(struct ses_meta *meta, struct ses_commitment *out,
                                     uint64_t epoch)
{
    sqlite3 *db = ses_meta_lock(meta);
    const enum ses_err err = last_commitment(db, out, epoch);
    ses_meta_unlock(meta);
    return err;
}
