/* SQLite the way this folder uses it: one connection per file, below the disk's root, through the
 * disk's VFS, in exclusive mode (the disk is locked: no second process, no shared memory file). */
#ifndef SES_STORAGE_DB_H
#define SES_STORAGE_DB_H

#include <sqlite3.h>

#include "storage/storage.h"

SES_CHECKED enum ses_err ses_db_open(sqlite3 **out, const struct ses_disk *disk, const char *name,
                                     bool synchronous_full);
void ses_db_close(sqlite3 *db);
SES_CHECKED enum ses_err ses_db_exec(sqlite3 *db, const char *sql);
SES_CHECKED enum ses_err ses_db_prepare(sqlite3 *db, sqlite3_stmt **out, const char *sql);
/* Runs a statement that yields no rows and resets it. */
SES_CHECKED enum ses_err ses_db_run(sqlite3_stmt *stmt);
/* *row = true: a row stands ready. */
SES_CHECKED enum ses_err ses_db_step(sqlite3_stmt *stmt, bool *row);
/* Binds by position; errors show when the statement runs. */
void ses_db_bind_u64(sqlite3_stmt *stmt, int at, uint64_t v);
void ses_db_bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t len);
void ses_db_bind_text(sqlite3_stmt *stmt, int at, const char *text);
uint64_t ses_db_u64(sqlite3_stmt *stmt, int at);
/* Copies a blob of exactly `len` bytes; false if it has another length. */
bool ses_db_blob(sqlite3_stmt *stmt, int at, void *out, size_t len);
/* PRAGMA user_version. */
SES_CHECKED enum ses_err ses_db_version(sqlite3 *db, uint64_t *out);
/* Deletes the database with its journals; OK if absent. */
SES_CHECKED enum ses_err ses_db_unlink(const struct ses_disk *disk, const char *name);

#endif
