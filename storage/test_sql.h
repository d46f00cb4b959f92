/* SQLite calls that fail: the linker puts these in the place of SQLite's own (meson.build). */
#ifndef SES_STORAGE_TEST_SQL_H
#define SES_STORAGE_TEST_SQL_H

#include <stdint.h>

/* The n-th call from now that prepares, steps or runs a statement does nothing and returns `code`
 * with `system` in errno, once. 0: never. Returns how many calls
 * were left of the last n: 0 if that one failed. */
uint64_t test_sql_fail_at(uint64_t n, int code, int system);

#endif
