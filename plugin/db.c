/* The vm's key-value store: one SQLite file, one connection, one table.
 *
 * WAL with synchronous=FULL: a batch is on the disk when its COMMIT returns, and a kill at any
 * moment leaves either all of it or nothing. The lock on chain.lock goes with the process. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/plugin.h"

#define APPLICATION_ID 0x53455356 /* "SESV" */
#define CHECKED_WHOLE_BYTES_MAX 67108864
#define BUSY_MS 2000
#define PATH_MAX_CHARS 1024u
#define STR2(x) #x
#define STR(x) STR2(x)

struct ses_db {
    sqlite3 *sql;
    sqlite3_stmt *get;
    sqlite3_stmt *put;
    sqlite3_stmt *del;
    int lock_fd;
    int cause; /* errno of the last SQLITE_IOERR */
    char path[PATH_MAX_CHARS];
};

/* ---- errors ---- */

/* Passes on the code of a call that has just returned. sqlite3_system_errno is 0 after a failed
 * COMMIT in WAL mode; errno still is what the failed system call left. */
static int seen(struct ses_db *db, int code)
{
    if ((code & 0xff) == SQLITE_IOERR) {
        db->cause = errno;
    }
    return code;
}

static enum ses_err db_err(const struct ses_db *db, int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return SES_OK;
    case SQLITE_FULL:
        return SES_ERR_NO_SPACE;
    case SQLITE_IOERR:
        return ses_errno_err(db->cause) == SES_ERR_NO_SPACE ? SES_ERR_NO_SPACE : SES_ERR_IO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return SES_ERR_CHECKSUM;
    case SQLITE_NOMEM:
        return SES_ERR_MEMORY;
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

/* What to do about it. */
static enum ses_err db_explain(const struct ses_db *db, int code, struct ses_note *note)
{
    const enum ses_err err = db_err(db, code);
    const char *reason = db->sql != NULL ? sqlite3_errmsg(db->sql) : sqlite3_errstr(code);
    const char *advice = "check the disk";
    if (err == SES_ERR_CHECKSUM) {
        advice = "it is damaged or no database of sessionvm: restore a backup, or move it away to "
                 "start a new chain";
    } else if (err == SES_ERR_NO_SPACE) {
        advice = "free some space on its disk";
    } else if (err == SES_ERR_IN_USE) {
        advice = "close the program that uses it";
    } else if (err == SES_ERR_PERMISSION) {
        advice = "give this user the right to write it";
    }
    ses_note_set(note, "the database %.150s: %.100s; %s", db->path, reason, advice);
    return err;
}

/* ---- the store ---- */

static int bind_blob(sqlite3_stmt *stmt, int at, const uint8_t *bytes, size_t len)
{
    /* a NULL pointer would bind NULL, which is no value */
    return sqlite3_bind_blob64(stmt, at, bytes != NULL ? bytes : (const uint8_t *)"", len,
                               SQLITE_STATIC);
}

static enum ses_err kv_get(void *ctx, const uint8_t *key, size_t key_len, struct ses_buf *out)
{
    struct ses_db *db = ctx;
    enum ses_err err = SES_ERR_NOT_FOUND;
    int code = bind_blob(db->get, 1, key, key_len);
    if (code == SQLITE_OK) {
        code = seen(db, sqlite3_step(db->get));
    }
    if (code == SQLITE_ROW) {
        err = ses_buf_append(out, sqlite3_column_blob(db->get, 0),
                             (size_t)sqlite3_column_bytes(db->get, 0));
    } else if (code != SQLITE_DONE) {
        err = db_err(db, code);
    }
    sqlite3_reset(db->get);
    return err;
}

static int write_change(struct ses_db *db, const struct ses_kv_change *change)
{
    sqlite3_stmt *stmt = change->value != NULL ? db->put : db->del;
    int code = bind_blob(stmt, 1, change->key, change->key_len);
    if (code == SQLITE_OK && change->value != NULL) {
        code = bind_blob(stmt, 2, change->value, change->value_len);
    }
    if (code == SQLITE_OK) {
        code = seen(db, sqlite3_step(stmt));
    }
    sqlite3_reset(stmt);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static enum ses_err kv_write_batch(void *ctx, const struct ses_kv_change *changes, size_t cnt)
{
    struct ses_db *db = ctx;
    int code = seen(db, sqlite3_exec(db->sql, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    for (size_t i = 0; code == SQLITE_OK && i < cnt; i++) {
        code = write_change(db, &changes[i]);
    }
    if (code == SQLITE_OK) {
        code = seen(db, sqlite3_exec(db->sql, "COMMIT", NULL, NULL, NULL));
    }
    const enum ses_err err = db_err(db, code);
    if (err != SES_OK && sqlite3_get_autocommit(db->sql) == 0) {
        sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
    }
    return err;
}

/* The first key behind all that begin with `prefix`; left empty if there is none. */
static enum ses_err prefix_end(struct ses_buf *out, const uint8_t *prefix, size_t len)
{
    while (len > 0 && prefix[len - 1] == 0xff) {
        len--;
    }
    SES_TRY(ses_buf_append(out, prefix, len));
    if (len > 0) {
        out->bytes[len - 1]++;
    }
    return SES_OK;
}

static int step_rows(sqlite3_stmt *rows,
                     bool (*each)(void *cookie, const uint8_t *key, size_t key_len,
                                  const uint8_t *value, size_t value_len),
                     void *cookie)
{
    int code = sqlite3_step(rows);
    while (code == SQLITE_ROW) {
        const uint8_t *key = sqlite3_column_blob(rows, 0);
        const size_t key_len = (size_t)sqlite3_column_bytes(rows, 0);
        const uint8_t *value = sqlite3_column_blob(rows, 1);
        const size_t value_len = (size_t)sqlite3_column_bytes(rows, 1);
        if (!each(cookie, key, key_len, value, value_len)) {
            return SQLITE_OK;
        }
        code = sqlite3_step(rows);
    }
    return code;
}

static enum ses_err kv_iterate(void *ctx, const uint8_t *prefix, size_t prefix_len,
                               const uint8_t *from, size_t from_len,
                               bool (*each)(void *cookie, const uint8_t *key, size_t key_len,
                                            const uint8_t *value, size_t value_len),
                               void *cookie)
{
    struct ses_db *db = ctx;
    sqlite3_stmt *rows = NULL; /* its own: `each` may iterate too */
    struct ses_buf end = {0};
    SES_TRY(prefix_end(&end, prefix, prefix_len));
    const bool bounded = end.len > 0;
    /* the lower bounds are both needed: `from` may stand before the prefix, or be empty */
    int code = sqlite3_prepare_v2(db->sql,
                                  bounded ? "SELECT k, v FROM kv WHERE k >= max(?1, ?2) AND k < ?3 "
                                            "ORDER BY k"
                                          : "SELECT k, v FROM kv WHERE k >= max(?1, ?2) ORDER BY k",
                                  -1, &rows, NULL);
    code = code == SQLITE_OK ? bind_blob(rows, 1, prefix, prefix_len) : code;
    code = code == SQLITE_OK ? bind_blob(rows, 2, from, from_len) : code;
    code = code == SQLITE_OK && bounded ? bind_blob(rows, 3, end.bytes, end.len) : code;
    code = code == SQLITE_OK ? step_rows(rows, each, cookie) : code;
    const enum ses_err err = db_err(db, code);
    sqlite3_finalize(rows);
    ses_buf_free(&end);
    return err;
}

void ses_db_kv(struct ses_db *db, struct ses_kv *out)
{
    *out = (struct ses_kv){
        .ctx = db, .get = kv_get, .write_batch = kv_write_batch, .iterate = kv_iterate};
}

/* ---- opening ---- */

static enum ses_err explain_dir(const char *dir, int cause, struct ses_note *note)
{
    ses_note_set(note, "cannot use the data directory %.200s: %s", dir, strerror(cause));
    const enum ses_err err = ses_errno_err(cause);
    return err == SES_ERR_NOT_FOUND ? SES_ERR_IO : err; /* something stands in its way */
}

/* mkdir -p: parents too, so that a fresh machine needs no preparation. */
static enum ses_err make_dir(const char *dir, struct ses_note *note)
{
    char path[PATH_MAX_CHARS];
    const size_t len = strlen(dir);
    if (len == 0 || len >= sizeof path - 16) {
        ses_note_set(note, "the name of the data directory must have 1 to %u characters",
                     PATH_MAX_CHARS - 17);
        return SES_ERR_CONFIG;
    }
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0) {
            continue;
        }
        path[i] = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            return explain_dir(dir, errno, note);
        }
        path[i] = dir[i];
    }
    return SES_OK;
}

static enum ses_err take_lock(struct ses_db *db, const char *dir, struct ses_note *note)
{
    char path[PATH_MAX_CHARS];
    SES_REQUIRE(snprintf(path, sizeof path, "%.1000s/chain.lock", dir) > 0, SES_ERR_IO);
    db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (db->lock_fd < 0) {
        return explain_dir(dir, errno, note);
    }
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ses_note_set(note,
                     "the chain in %.200s is open in another process; stop that one or give "
                     "another --data",
                     dir);
        return SES_ERR_IN_USE;
    }
    return SES_OK;
}

static enum ses_err pragma_u64(struct ses_db *db, const char *sql, uint64_t *out,
                               struct ses_note *note)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(db->sql, sql, -1, &stmt, NULL);
    if (code == SQLITE_OK) {
        code = seen(db, sqlite3_step(stmt));
    }
    *out = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_finalize(stmt);
    return code == SQLITE_ROW ? SES_OK : db_explain(db, code, note);
}

static enum ses_err check_identity(struct ses_db *db, bool *fresh, struct ses_note *note)
{
    uint64_t pages = 0;
    uint64_t application = 0;
    uint64_t format = 0;
    SES_TRY(pragma_u64(db, "SELECT count(*) FROM sqlite_master", &pages, note));
    SES_TRY(pragma_u64(db, "PRAGMA application_id", &application, note));
    SES_TRY(pragma_u64(db, "PRAGMA user_version", &format, note));
    *fresh = pages == 0 && application == 0 && format == 0;
    if (!*fresh && application != APPLICATION_ID) {
        ses_note_set(note, "%.200s belongs to another program; give another --data or move it away",
                     db->path);
        return SES_ERR_CHECKSUM;
    }
    if (!*fresh && format != SES_DB_FORMAT) {
        ses_note_set(note,
                     "%.200s has format %llu, this program reads format %u; use the release that "
                     "wrote it",
                     db->path, (unsigned long long)format, SES_DB_FORMAT);
        return SES_ERR_VERSION;
    }
    return SES_OK;
}

/* A whole check of what is small enough to be checked at every start. */
static enum ses_err check_pages(struct ses_db *db, struct ses_note *note)
{
    struct stat info;
    sqlite3_stmt *stmt = NULL;
    if (stat(db->path, &info) != 0 || info.st_size > CHECKED_WHOLE_BYTES_MAX) {
        return SES_OK;
    }
    int code = sqlite3_prepare_v2(db->sql, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (code == SQLITE_OK) {
        code = seen(db, sqlite3_step(stmt));
    }
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    const bool ok = text != NULL && strcmp(text, "ok") == 0;
    sqlite3_finalize(stmt);
    return ok ? SES_OK : db_explain(db, code == SQLITE_ROW ? SQLITE_CORRUPT : code, note);
}

static enum ses_err exec(struct ses_db *db, const char *sql, struct ses_note *note)
{
    const int code = seen(db, sqlite3_exec(db->sql, sql, NULL, NULL, NULL));
    return code == SQLITE_OK ? SES_OK : db_explain(db, code, note);
}

static enum ses_err prepare(struct ses_db *db, sqlite3_stmt **out, const char *sql,
                            struct ses_note *note)
{
    const int code = sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return code == SQLITE_OK ? SES_OK : db_explain(db, code, note);
}

static enum ses_err open_file(struct ses_db *db, struct ses_note *note)
{
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE;
    const int code = sqlite3_open_v2(db->path, &db->sql, flags, NULL);
    if (code != SQLITE_OK) {
        return db_explain(db, code, note);
    }
    sqlite3_busy_timeout(db->sql, BUSY_MS);
    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    return SES_OK;
}

static enum ses_err prepare_file(struct ses_db *db, struct ses_note *note)
{
    bool fresh = false;
    SES_TRY(open_file(db, note));
    SES_TRY(check_identity(db, &fresh, note));
    SES_TRY(exec(db,
                 "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
                 note));
    if (fresh) {
        SES_TRY(
            exec(db,
                 "BEGIN IMMEDIATE;"
                 "CREATE TABLE kv(k BLOB PRIMARY KEY NOT NULL, v BLOB NOT NULL) STRICT, "
                 "WITHOUT ROWID;"
                 "PRAGMA application_id = " STR(APPLICATION_ID) ";"
                                                                "PRAGMA user_version = 1; COMMIT",
                 note));
    } else {
        SES_TRY(check_pages(db, note));
    }
    SES_TRY(prepare(db, &db->get, "SELECT v FROM kv WHERE k = ?1", note));
    SES_TRY(prepare(db, &db->put, "INSERT OR REPLACE INTO kv(k, v) VALUES(?1, ?2)", note));
    return prepare(db, &db->del, "DELETE FROM kv WHERE k = ?1", note);
}

enum ses_err ses_db_open(struct ses_db **out, const char *dir, struct ses_note *note)
{
    *out = NULL;
    _Static_assert(SES_DB_FORMAT == 1, "the number in prepare_file");
    SES_TRY(make_dir(dir, note));
    struct ses_db *db = ses_alloc(1, sizeof *db);
    SES_REQUIRE(db != NULL, SES_ERR_MEMORY);
    db->lock_fd = -1;
    const int len = snprintf(db->path, sizeof db->path, "%s/chain.db", dir);
    SES_ASSERT(len > 0 && (size_t)len < sizeof db->path);
    enum ses_err err = take_lock(db, dir, note);
    if (err == SES_OK) {
        err = prepare_file(db, note);
    }
    if (err != SES_OK) {
        ses_db_close(db);
        return err;
    }
    *out = db;
    return SES_OK;
}

void ses_db_close(struct ses_db *db)
{
    if (db == NULL) {
        return;
    }
    sqlite3_finalize(db->get);
    sqlite3_finalize(db->put);
    sqlite3_finalize(db->del);
    sqlite3_close(db->sql); /* moves the log into the file */
    if (db->lock_fd >= 0) {
        close(db->lock_fd);
    }
    ses_free(db);
}
