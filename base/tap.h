/* Test harness: Test Anything Protocol on standard output, one program per test file.
 *
 *     static void test_roundtrip(void) { TAP_EQ(2, 1 + 1); }
 *     int main(void) { TAP_RUN(test_roundtrip); return tap_done(); }
 *
 * A failed check prints where and what and marks the running test; the test goes on unless TAP_MUST
 * is used. Each program prints its random seed; SES_TEST_SEED in the environment replays it. */
#ifndef SES_BASE_TAP_H
#define SES_BASE_TAP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sys.h"

void tap_run(const char *name, void (*test)(void));
/* Prints the plan; 0 if all passed, 1 otherwise. Returned by main. */
int tap_done(void);
/* Marks the running test as skipped, with the reason. */
void tap_skip(const char *reason);
bool tap_check(bool ok, const char *what, const char *file, int line);
bool tap_check_u64(uint64_t want, uint64_t got, const char *what, const char *file, int line);
bool tap_check_err(enum ses_err want, enum ses_err got, const char *what, const char *file,
                   int line);
bool tap_check_bytes(const void *want, const void *got, size_t len, const char *what,
                     const char *file, int line);
bool tap_check_text(const char *want, const char *got, const char *what, const char *file,
                    int line);
__attribute__((noreturn)) void tap_leave(void);
/* Deterministic from the printed seed. */
const struct ses_random *tap_random(void);
/* The whole file as a NUL-terminated string from ses_alloc, or NULL if it does not exist. `name` is
 * relative to the folder of public test vectors: SES_VECTORS, else ../shared/vectors. */
char *tap_vectors(const char *name, size_t *len);

#define TAP_RUN(test) tap_run(#test, test)
#define TAP_OK(cond) tap_check((cond), #cond, __FILE__, __LINE__)
#define TAP_EQ(want, got) tap_check_u64((want), (got), #got, __FILE__, __LINE__)
#define TAP_ERR(want, call) tap_check_err((want), (call), #call, __FILE__, __LINE__)
#define TAP_BYTES(want, got, len) tap_check_bytes((want), (got), (len), #got, __FILE__, __LINE__)
#define TAP_TEXT(want, got) tap_check_text((want), (got), #got, __FILE__, __LINE__)
/* Leaves the running test at once if the condition does not hold. */
#define TAP_MUST(cond)                                                                             \
    do {                                                                                           \
        if (!TAP_OK(cond))                                                                         \
            tap_leave();                                                                           \
    } while (0)

#endif
