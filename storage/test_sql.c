#include "storage/test_sql.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>

static _Thread_local struct {
    uint64_t left;
    int code;
    int system;
} failure;

uint64_t test_sql_fail_at(uint64_t n, int code, int system)
{
    const uint64_t left = failure.left;
    failure.left = n;
    failure.code = code;
    failure.system = system;
    return left;
}

static bool trips(void)
{
    if (failure.left == 0 || --failure.left > 0) {
        return false;
    }
    errno = failure.system;
    return true;
}

int __real_sqlite3_step(sqlite3_stmt *stmt);
int __wrap_sqlite3_step(sqlite3_stmt *stmt);
int __wrap_sqlite3_step(sqlite3_stmt *stmt)
{
    return trips() ? failure.code : __real_sqlite3_step(stmt);
}

int __real_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags,
                              sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags,
                              sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags,
                              sqlite3_stmt **out, const char **tail)
{
    return trips() ? failure.code : __real_sqlite3_prepare_v3(db, sql, len, flags, out, tail);
}

int __real_sqlite3_exec(sqlite3 *db, const char *sql, sqlite3_callback each, void *cookie,
                        char **error);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, sqlite3_callback each, void *cookie,
                        char **error);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, sqlite3_callback each, void *cookie,
                        char **error)
{
    return trips() ? failure.code : __real_sqlite3_exec(db, sql, each, cookie, error);
}
