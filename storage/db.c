#include "storage/db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 4096

static enum ses_err err_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return SES_OK;
    case SQLITE_FULL:
        return SES_ERR_NO_SPACE;
    case SQLITE_NOMEM:
        return SES_ERR_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_ERROR: /* a table is missing */
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return SES_ERR_CHECKSUM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return SES_ERR_IN_USE;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return SES_ERR_PERMISSION;
    default:
        return SES_ERR_IO;
    }
}

static enum ses_err path_of(char out[PATH_MAX_BYTES], const struct ses_disk *disk, const char *name,
                            const char *suffix)
{
    const int len = snprintf(out, PATH_MAX_BYTES, "%s/%s%s", disk->root, name, suffix);
    SES_REQUIRE(len > 0 && len < PATH_MAX_BYTES, SES_ERR_TOO_LARGE);
    return SES_OK;
}

enum ses_err ses_db_open(sqlite3 **out, const struct ses_disk *disk, const char *name,
                         bool synchronous_full)
{
    char path[PATH_MAX_BYTES];
    *out = NULL;
    SES_TRY(path_of(path, disk, name, ""));
    sqlite3 *db = NULL;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    enum ses_err err = err_of(sqlite3_open_v2(path, &db, flags, disk->vfs));
    if (err == SES_OK) {
        /* exclusive before WAL: the WAL's index stays in this process's memory */
        err = ses_db_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = 4096;"
                              "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
                              "PRAGMA journal_mode = WAL; PRAGMA trusted_schema = OFF;"
                              "PRAGMA temp_store = MEMORY;");
    }
    if (err == SES_OK && !SES_MUTANT(CACHE_WITHOUT_LIMIT)) {
        err = ses_db_exec(db, "PRAGMA cache_size = -256");
    }
    if (err == SES_OK) { /* what must be durable may also hold secrets that are to be erased */
        err = ses_db_exec(db, synchronous_full
                                  ? "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON"
                                  : "PRAGMA synchronous = NORMAL");
    }
    if (err != SES_OK) {
        ses_db_close(db);
        return err;
    }
    *out = db;
    return SES_OK;
}

void ses_db_close(sqlite3 *db)
{
    SES_ASSERT(sqlite3_close(db) == SQLITE_OK); /* else a statement was not finalised */
}

/* SQLite calls only ENOSPC a full disk; a quota and a file size limit are full disks, too. It
 * forgets the error of a failed COMMIT, hence errno, which the caller zeroed before. */
static enum ses_err db_err(sqlite3 *db, int rc)
{
    if ((rc & 0xff) == SQLITE_IOERR) {
        const int known = sqlite3_system_errno(db);
        const int error = known != 0 ? known : errno;
        SES_REQUIRE(ses_errno_err(error) != SES_ERR_NO_SPACE, SES_ERR_NO_SPACE);
    }
    return err_of(rc);
}

enum ses_err ses_db_exec(sqlite3 *db, const char *sql)
{
    errno = 0;
    return db_err(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

enum ses_err ses_db_prepare(sqlite3 *db, sqlite3_stmt **out, const char *sql)
{
    return err_of(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL));
}

enum ses_err ses_db_run(sqlite3_stmt *stmt)
{
    errno = 0;
    const enum ses_err err = db_err(sqlite3_db_handle(stmt), sqlite3_step(stmt));
    sqlite3_reset(stmt);
    return err;
}

enum ses_err ses_db_step(sqlite3_stmt *stmt, bool *row)
{
    errno = 0;
    const int rc = sqlite3_step(stmt);
    *row = rc == SQLITE_ROW;
    return db_err(sqlite3_db_handle(stmt), rc);
}

void ses_db_bind_u64(sqlite3_stmt *stmt, int at, uint64_t v)
{
    /* what cannot be bound stays NULL, which the NOT NULL columns refuse */
    (void)sqlite3_bind_int64(stmt, at, (sqlite3_int64)v);
}

void ses_db_bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t len)
{
    (void)sqlite3_bind_blob64(stmt, at, bytes, len, SQLITE_STATIC);
}

void ses_db_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    (void)sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC);
}

uint64_t ses_db_u64(sqlite3_stmt *stmt, int at)
{
    return (uint64_t)sqlite3_column_int64(stmt, at);
}

bool ses_db_blob(sqlite3_stmt *stmt, int at, void *out, size_t len)
{
    const void *bytes = sqlite3_column_blob(stmt, at);
    if (bytes == NULL || (size_t)sqlite3_column_bytes(stmt, at) != len) {
        memset(out, 0, len);
        return false;
    }
    memcpy(out, bytes, len);
    return true;
}

enum ses_err ses_db_version(sqlite3 *db, uint64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    enum ses_err err = ses_db_prepare(db, &stmt, "PRAGMA user_version");
    if (err == SES_OK) {
        err = ses_db_step(stmt, &row);
    }
    *out = row ? ses_db_u64(stmt, 0) : 0;
    sqlite3_finalize(stmt);
    return err;
}

enum ses_err ses_db_unlink(const struct ses_disk *disk, const char *name)
{
    static const char *const suffixes[] = {"-wal", "-journal", "-shm", ""};
    sqlite3_vfs *vfs = sqlite3_vfs_find(disk->vfs);
    SES_REQUIRE(vfs != NULL, SES_ERR_INVALID);
    for (size_t i = 0; i < SES_COUNT(suffixes); i++) {
        char path[PATH_MAX_BYTES];
        SES_TRY(path_of(path, disk, name, suffixes[i]));
        const int rc = vfs->xDelete(vfs, path, 0);
        SES_REQUIRE(rc == SQLITE_OK || rc == SQLITE_IOERR_DELETE_NOENT, SES_ERR_IO);
    }
    return SES_OK;
}
