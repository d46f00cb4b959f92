/* Two event loops for tests: one with virtual time on one thread, where the order of everything is
 * given; one with real time and two worker threads. */
#ifndef SES_STORAGE_TEST_LOOP_H
#define SES_STORAGE_TEST_LOOP_H

#include "base/base.h"

struct test_loop;
/* Virtual: `now_ms` is the clock at start and moves with the timers. */
struct test_loop *test_loop_new(uint64_t now_ms);
/* Real clock and threads. */
struct test_loop *test_loop_new_threads(void);
void test_loop_free(struct test_loop *loop);
const struct ses_loop *test_loop_door(struct test_loop *loop);
/* Until *flag (NULL: until nothing is left to do). False if it ran dry before, or after a million
 * steps. */
bool test_loop_run(struct test_loop *loop, const bool *flag);
/* One callback or work item; false if there is nothing to do. Virtual loops only. */
bool test_loop_step(struct test_loop *loop);
/* Moves the clock. Virtual loops only. */
void test_loop_skip(struct test_loop *loop, uint64_t ms);

#endif
