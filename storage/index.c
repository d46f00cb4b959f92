#include "storage/index.h"

#include <stdio.h>
#include <string.h>

#include "storage/db.h"

#define INDEX_VERSION 2u

/* `seq` is the row's key, so that rows are appended and no second B-tree is kept: what is looked up
 * by id or inbox is looked up in memory. Receipts without their signature, which up to 256 share:
 * the signature stands once, under its own first bytes (those of a hash). */
static const char schema[] =
    "CREATE TABLE info(instance BLOB NOT NULL);"
    "CREATE TABLE segment(hour INTEGER PRIMARY KEY, end INTEGER NOT NULL);"
    "CREATE TABLE record(seq INTEGER PRIMARY KEY, key BLOB NOT NULL, hour INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, size INTEGER NOT NULL, namespace INTEGER NOT NULL,"
    " ts INTEGER NOT NULL, kind INTEGER NOT NULL, admit_epoch INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, sum INTEGER NOT NULL);"
    "CREATE TABLE receipt(seq INTEGER NOT NULL, node BLOB NOT NULL, body BLOB NOT NULL,"
    " signature INTEGER NOT NULL, PRIMARY KEY(seq, node)) WITHOUT ROWID;"
    "CREATE TABLE deletion(seq INTEGER NOT NULL, target BLOB NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY(seq, target)) WITHOUT ROWID;"
    "CREATE TABLE signature(key INTEGER PRIMARY KEY, bytes BLOB NOT NULL);";

void ses_index_name(char out[48], uint8_t ttl_class, uint32_t day)
{
    const int len = snprintf(out, 48, "idx/%u-%u.db", (unsigned)ttl_class, (unsigned)day);
    SES_ASSERT(len > 0 && len < 48);
}

bool ses_index_name_parse(const char *name, uint8_t *ttl_class, uint32_t *day)
{
    if (name[0] < '0' || name[0] >= '0' + (int)SES_TTL_CLASS_CNT || name[1] != '-') {
        return false;
    }
    *ttl_class = (uint8_t)(name[0] - '0');
    uint64_t value = 0;
    size_t at = 2;
    for (; name[at] >= '0' && name[at] <= '9' && at < 12; at++) {
        value = value * 10 + (uint64_t)(name[at] - '0');
    }
    *day = (uint32_t)value;
    char again[48];
    ses_index_name(again, *ttl_class, *day);
    return at > 2 && value <= UINT32_MAX / ses_day_hours(*ttl_class) &&
           strcmp(again + 4, name) == 0;
}

static enum ses_err create(struct ses_index *index, const uint8_t instance[8])
{
    sqlite3_stmt *stmt = NULL;
    SES_TRY(ses_db_exec(index->db, "BEGIN IMMEDIATE"));
    SES_TRY(ses_db_exec(index->db, schema));
    SES_TRY(ses_db_prepare(index->db, &stmt, "INSERT INTO info VALUES(?)"));
    ses_db_bind_blob(stmt, 1, instance, 8);
    const enum ses_err err = ses_db_run(stmt);
    sqlite3_finalize(stmt);
    SES_TRY(err);
    _Static_assert(INDEX_VERSION == 2, "the statement below names it");
    return ses_db_exec(index->db, "PRAGMA user_version = 2; COMMIT");
}

static enum ses_err check_instance(struct ses_index *index, const uint8_t instance[8])
{
    sqlite3_stmt *stmt = NULL;
    uint8_t found[8];
    bool row = false;
    SES_TRY(ses_db_prepare(index->db, &stmt, "SELECT instance FROM info"));
    enum ses_err err = ses_db_step(stmt, &row);
    if (err == SES_OK &&
        (!row || !ses_db_blob(stmt, 0, found, 8) || memcmp(found, instance, 8) != 0)) {
        err = SES_ERR_CHECKSUM;
    }
    sqlite3_finalize(stmt);
    return err;
}

static enum ses_err prepare(struct ses_index *x)
{
    SES_TRY(
        ses_db_prepare(x->db, &x->insert,
                       "INSERT OR REPLACE INTO record VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"));
    SES_TRY(ses_db_prepare(x->db, &x->segment, "INSERT OR REPLACE INTO segment VALUES(?1, ?2)"));
    SES_TRY(ses_db_prepare(x->db, &x->mark, "UPDATE record SET flags = ?2 WHERE seq = ?1"));
    SES_TRY(ses_db_prepare(x->db, &x->put_receipt,
                           "INSERT OR REPLACE INTO receipt VALUES(?1, ?2, ?3, ?4)"));
    SES_TRY(
        ses_db_prepare(x->db, &x->put_signature, "INSERT OR IGNORE INTO signature VALUES(?1, ?2)"));
    SES_TRY(ses_db_prepare(x->db, &x->get_receipts,
                           "SELECT body, bytes FROM receipt, signature"
                           " WHERE seq = ?1 AND signature = key"));
    SES_TRY(ses_db_prepare(x->db, &x->put_deletion,
                           "INSERT OR REPLACE INTO deletion VALUES(?1, ?2, ?3)"));
    SES_TRY(
        ses_db_prepare(x->db, &x->drop, "UPDATE record SET flags = flags | 128 WHERE seq = ?1"));
    _Static_assert(SES_FLAG_DROPPED == 128, "the statement above names it");
    SES_TRY(ses_db_prepare(x->db, &x->begin, "BEGIN IMMEDIATE"));
    return ses_db_prepare(x->db, &x->commit, "COMMIT");
}

static enum ses_err open_in(struct ses_index *index, const struct ses_disk *disk,
                            const uint8_t instance[8])
{
    char name[48];
    uint64_t version;
    ses_index_name(name, index->ttl_class, index->day);
    SES_TRY(ses_db_open(&index->db, disk, name, false));
    SES_TRY(ses_db_version(index->db, &version));
    if (version == 0) {
        SES_TRY(create(index, instance));
        /* some of what it will keep stands in no log: its name must last */
        SES_TRY(disk->sync_dir(disk->ctx, "idx"));
    } else {
        SES_REQUIRE(version == INDEX_VERSION, SES_ERR_CHECKSUM);
        SES_TRY(check_instance(index, instance));
    }
    return prepare(index);
}

enum ses_err ses_index_open(struct ses_index **out, const struct ses_disk *disk, uint8_t ttl_class,
                            uint32_t day, const uint8_t instance[8])
{
    *out = NULL;
    struct ses_index *index = ses_alloc(1, sizeof *index);
    SES_REQUIRE(index != NULL, SES_ERR_MEMORY);
    index->ttl_class = ttl_class;
    index->day = day;
    const enum ses_err err = open_in(index, disk, instance);
    if (err != SES_OK) {
        ses_index_free(index);
        return err;
    }
    *out = index;
    return SES_OK;
}

static void close_in(struct ses_index *index)
{
    sqlite3_finalize(index->insert);
    sqlite3_finalize(index->segment);
    sqlite3_finalize(index->mark);
    sqlite3_finalize(index->put_receipt);
    sqlite3_finalize(index->put_signature);
    sqlite3_finalize(index->get_receipts);
    sqlite3_finalize(index->put_deletion);
    sqlite3_finalize(index->drop);
    sqlite3_finalize(index->begin);
    sqlite3_finalize(index->commit);
    ses_db_close(index->db);
}

void ses_index_free(struct ses_index *index)
{
    if (index != NULL) {
        close_in(index);
        ses_buf_free(&index->rows);
        ses_free(index);
    }
}

void ses_index_leave(struct ses_index *index)
{
    ses_index_rollback(index);
    close_in(index);
    *index = (struct ses_index){.ttl_class = index->ttl_class,
                                .day = index->day,
                                .rows = index->rows,
                                .rows_lost = index->rows_lost,
                                .tried = index->tried};
}

enum ses_err ses_index_return(struct ses_index *index, const struct ses_disk *disk,
                              const uint8_t instance[8])
{
    const enum ses_err err = open_in(index, disk, instance);
    if (err != SES_OK) {
        ses_index_leave(index);
    }
    return err;
}

enum ses_err ses_index_begin(struct ses_index *index)
{
    if (!index->in_transaction) {
        SES_TRY(ses_db_run(index->begin));
        index->in_transaction = true;
    }
    return SES_OK;
}

enum ses_err ses_index_commit(struct ses_index *index)
{
    SES_ASSERT(index->in_transaction);
    /* SQLite ends the transaction by itself where one statement finds no room */
    SES_REQUIRE(sqlite3_get_autocommit(index->db) == 0, SES_ERR_NO_SPACE);
    SES_TRY(ses_db_run(index->commit));
    index->in_transaction = false;
    ses_buf_free(&index->rows);
    index->rows_lost = false;
    if (index->sync) {
        /* WAL with synchronous=NORMAL does not sync commits; a checkpoint does */
        index->sync = false;
        SES_TRY(ses_db_exec(index->db, "PRAGMA wal_checkpoint(FULL)"));
    }
    return SES_OK;
}

void ses_index_rollback(struct ses_index *index)
{
    if (index->in_transaction) {
        /* SQLite has often rolled back by itself: then there is nothing to do */
        (void)sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
        index->in_transaction = false;
        memset(index->recent, 0, sizeof index->recent);
    }
}

static uint64_t sum_of(const uint8_t *bytes, size_t len, uint64_t seed)
{
    uint64_t sum = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    }
    return sum;
}

/* FNV-1a over what must not change: a flipped bit in the database file makes the index damaged, and
 * a damaged index is rebuilt. (Against accidents only: the logs carry the real checks.) */
static uint64_t row_sum(const struct ses_index_row *row)
{
    uint8_t bytes[8 * 3 + 64 + SES_SEGMENT_BYTES + 8 + 4 + 3];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_u64(&w, row->seq);
    ses_write_u64(&w, row->offset);
    ses_write_u64(&w, row->ts_ms);
    ses_write_u64(&w, row->admit_epoch);
    ses_write_bytes(&w, row->digest.bytes, 32);
    ses_write_bytes(&w, row->id.bytes, 32);
    ses_write_u8(&w, row->segment.ttl_class);
    ses_write_u32(&w, row->segment.hour);
    ses_write_u32(&w, row->payload_bytes);
    ses_write_u16(&w, (uint16_t)row->ns);
    ses_write_u8(&w, row->kind);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len == sizeof bytes);
    return sum_of(bytes, sizeof bytes, 0);
}

enum ses_err ses_index_insert(struct ses_index *index, const struct ses_index_row *row)
{
    uint8_t key[64];
    memcpy(key, row->digest.bytes, 32);
    memcpy(key + 32, row->id.bytes, 32);
    sqlite3_stmt *s = index->insert;
    ses_db_bind_u64(s, 1, row->seq);
    ses_db_bind_blob(s, 2, key, sizeof key);
    ses_db_bind_u64(s, 3, row->segment.hour);
    ses_db_bind_u64(s, 4, row->offset);
    ses_db_bind_u64(s, 5, row->payload_bytes);
    ses_db_bind_u64(s, 6, (uint64_t)(int64_t)row->ns);
    ses_db_bind_u64(s, 7, row->ts_ms);
    ses_db_bind_u64(s, 8, row->kind);
    ses_db_bind_u64(s, 9, row->admit_epoch);
    ses_db_bind_u64(s, 10, row->flags);
    ses_db_bind_u64(s, 11, row_sum(row));
    return ses_db_run(s);
}

enum ses_err ses_index_set_end(struct ses_index *index, uint32_t hour, uint64_t end)
{
    ses_db_bind_u64(index->segment, 1, hour);
    ses_db_bind_u64(index->segment, 2, end);
    return ses_db_run(index->segment);
}

enum ses_err ses_index_mark(struct ses_index *index, uint64_t seq, uint8_t flags)
{
    ses_db_bind_u64(index->mark, 1, seq);
    ses_db_bind_u64(index->mark, 2, flags);
    return ses_db_run(index->mark);
}

enum ses_err ses_index_drop(struct ses_index *index, uint64_t seq)
{
    ses_db_bind_u64(index->drop, 1, seq);
    return ses_db_run(index->drop);
}

enum ses_err ses_index_forget(struct ses_index *index, uint32_t hour)
{
    char sql[256];
    const int len = snprintf(sql, sizeof sql,
                             "DELETE FROM deletion WHERE seq IN"
                             " (SELECT seq FROM record WHERE hour = %u);"
                             "DELETE FROM record WHERE hour = %u;"
                             "DELETE FROM segment WHERE hour = %u;",
                             (unsigned)hour, (unsigned)hour, (unsigned)hour);
    SES_ASSERT(len > 0 && (size_t)len < sizeof sql);
    return ses_db_exec(index->db, sql);
}

/* ---- what statements delete ---- */
#define TARGET_BYTES (32u + 1u + 8u + 2u)
enum ses_err ses_index_put_deletion(struct ses_index *index, uint64_t seq,
                                    const struct ses_deletion *target)
{
    uint8_t bytes[TARGET_BYTES];
    memcpy(bytes, target->id.bytes, 32);
    bytes[32] = target->ttl_class;
    ses_put_u64(bytes + 33, target->ts_ms);
    ses_put_u16(bytes + 41, (uint16_t)target->ns);
    sqlite3_stmt *s = index->put_deletion;
    ses_db_bind_u64(s, 1, seq);
    ses_db_bind_blob(s, 2, bytes, sizeof bytes);
    ses_db_bind_u64(s, 3, sum_of(bytes, sizeof bytes, seq));
    return ses_db_run(s);
}

static bool read_deletion(sqlite3_stmt *s, struct ses_hash *statement, struct ses_deletion *out)
{
    uint8_t bytes[TARGET_BYTES];
    uint8_t key[64];
    if (!ses_db_blob(s, 1, bytes, sizeof bytes) || !ses_db_blob(s, 3, key, sizeof key) ||
        ses_db_u64(s, 2) != sum_of(bytes, sizeof bytes, ses_db_u64(s, 0))) {
        return false;
    }
    memcpy(statement->bytes, key + 32, 32);
    memcpy(out->id.bytes, bytes, 32);
    out->ttl_class = bytes[32];
    out->ts_ms = ses_get_u64(bytes + 33);
    out->ns = (int16_t)((uint16_t)bytes[41] << 8 | bytes[42]);
    return out->ttl_class < SES_TTL_CLASS_CNT && out->ts_ms <= SES_TS_MAX_MS;
}

enum ses_err ses_index_each_deletion(struct ses_index *index,
                                     enum ses_err (*each)(void *cookie,
                                                          const struct ses_hash *statement,
                                                          const struct ses_deletion *target),
                                     void *cookie)
{
    sqlite3_stmt *s = NULL;
    bool more = true;
    SES_TRY(ses_db_prepare(index->db, &s,
                           "SELECT deletion.seq, target, deletion.sum, key FROM deletion, record"
                           " WHERE record.seq = deletion.seq"));
    enum ses_err err = SES_OK;
    while (err == SES_OK && more) {
        err = ses_db_step(s, &more);
        if (err == SES_OK && more) {
            struct ses_hash statement;
            struct ses_deletion target;
            err = read_deletion(s, &statement, &target) ? each(cookie, &statement, &target)
                                                        : SES_ERR_CHECKSUM;
        }
    }
    sqlite3_finalize(s);
    return err;
}

/* ---- receipts ---- */
static enum ses_err put_signature(struct ses_index *index, uint64_t key,
                                  const struct ses_dsa_sig *signature)
{
    for (size_t i = 0; i < SES_COUNT(index->recent); i++) {
        if (index->recent[i] == key) {
            return SES_OK;
        }
    }
    ses_db_bind_u64(index->put_signature, 1, key);
    ses_db_bind_blob(index->put_signature, 2, signature->bytes, sizeof signature->bytes);
    SES_TRY(ses_db_run(index->put_signature));
    index->recent[index->recent_at++ % SES_COUNT(index->recent)] = key;
    return SES_OK;
}

enum ses_err ses_index_put_receipt(struct ses_index *index, uint64_t seq,
                                   const struct ses_receipt *receipt)
{
    uint8_t body[SES_RECEIPT_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, body, sizeof body);
    ses_receipt_write(&w, receipt);
    SES_TRY(ses_writer_done(&w));
    SES_ASSERT(w.len > SES_DSA_SIG_BYTES);
    const size_t rest = w.len - SES_DSA_SIG_BYTES; /* the signature stands last */
    const uint64_t key = ses_get_u64(receipt->signature.bytes);
    SES_TRY(put_signature(index, key, &receipt->signature));
    sqlite3_stmt *s = index->put_receipt;
    ses_db_bind_u64(s, 1, seq);
    ses_db_bind_blob(s, 2, receipt->node_id.bytes, 20);
    ses_db_bind_blob(s, 3, body, rest);
    ses_db_bind_u64(s, 4, key);
    return ses_db_run(s);
}

static enum ses_err append_column(struct ses_buf *out, sqlite3_stmt *s, int column)
{
    const void *bytes = sqlite3_column_blob(s, column);
    return ses_buf_append(out, bytes, (size_t)sqlite3_column_bytes(s, column));
}

enum ses_err ses_index_get_receipts(struct ses_index *index, uint64_t seq, struct ses_buf *out,
                                    uint16_t *cnt)
{
    bool row = true;
    enum ses_err err = SES_OK;
    sqlite3_stmt *s = index->get_receipts;
    ses_db_bind_u64(s, 1, seq);
    for (*cnt = 0; err == SES_OK && row && *cnt < SES_MEMBERS_MAX;) {
        err = ses_db_step(s, &row);
        if (err == SES_OK && row) {
            err = append_column(out, s, 0);
            err = err == SES_OK ? append_column(out, s, 1) : err;
            (*cnt)++;
        }
    }
    sqlite3_reset(s);
    return err;
}

/* ---- loading ---- */
static bool read_row(sqlite3_stmt *s, uint8_t ttl_class, struct ses_index_row *row)
{
    uint8_t key[64];
    if (!ses_db_blob(s, 1, key, sizeof key)) {
        return false;
    }
    memset(row, 0, sizeof *row);
    row->seq = ses_db_u64(s, 0);
    memcpy(row->digest.bytes, key, 32);
    memcpy(row->id.bytes, key + 32, 32);
    row->segment.ttl_class = ttl_class;
    row->segment.hour = (uint32_t)ses_db_u64(s, 2);
    row->offset = ses_db_u64(s, 3);
    row->payload_bytes = (uint32_t)ses_db_u64(s, 4);
    row->ns = (int16_t)ses_db_u64(s, 5);
    row->ts_ms = ses_db_u64(s, 6);
    row->kind = (uint8_t)ses_db_u64(s, 7);
    row->admit_epoch = ses_db_u64(s, 8);
    row->flags = (uint8_t)ses_db_u64(s, 9);
    return ses_db_u64(s, 10) == row_sum(row) && row->payload_bytes <= SES_PAYLOAD_MAX;
}

enum ses_err ses_index_each(struct ses_index *index,
                            enum ses_err (*each)(void *cookie, const struct ses_index_row *row),
                            void *cookie)
{
    sqlite3_stmt *s = NULL;
    struct ses_index_row row;
    bool more = true;
    SES_TRY(ses_db_prepare(index->db, &s, "SELECT * FROM record ORDER BY seq"));
    enum ses_err err = SES_OK;
    while (err == SES_OK && more) {
        err = ses_db_step(s, &more);
        if (err == SES_OK && more) {
            err = read_row(s, index->ttl_class, &row) && ses_day_of(&row.segment) == index->day
                      ? each(cookie, &row)
                      : SES_ERR_CHECKSUM;
        }
    }
    sqlite3_finalize(s);
    return err;
}

enum ses_err ses_index_each_end(struct ses_index *index,
                                enum ses_err (*each)(void *cookie, uint32_t hour, uint64_t end),
                                void *cookie)
{
    sqlite3_stmt *s = NULL;
    bool more = true;
    SES_TRY(ses_db_prepare(index->db, &s, "SELECT hour, end FROM segment"));
    enum ses_err err = SES_OK;
    while (err == SES_OK && more) {
        err = ses_db_step(s, &more);
        if (err == SES_OK && more) {
            const uint64_t hour = ses_db_u64(s, 0);
            err = hour / ses_day_hours(index->ttl_class) == index->day
                      ? each(cookie, (uint32_t)hour, ses_db_u64(s, 1))
                      : SES_ERR_CHECKSUM;
        }
    }
    sqlite3_finalize(s);
    return err;
}
