/* runner: runs of the simulator in processes of their own. A world that breaks is left as it is, a
 * run that crashes is an outcome like another, and SQLite and OpenSSL begin anew each time. */
#ifndef SES_TESTS_SIM_RUNNER_H
#define SES_TESTS_SIM_RUNNER_H

#include <sys/types.h>

#include "tests/sim/sim.h"

#define RUNNER_JOBS_MAX 64u /* under way, those included that are done and wait for their turn */
struct outcome {
    struct verdict_of_run verdict;
    char lines[TRACE_LINES][TRACE_CHARS];
    int signal; /* the process died of it */
    bool differs;
    uint32_t plan_cnt;
};
struct job {
    pid_t pid;
    int from;
    uint64_t seed;
};

/* `twice`: the seed is run again in the same process, and must give the same trace. */
struct job runner_spawn(const struct sim_setup *setup, bool twice);
/* How many of them are not done; with `wait` not before one is that was not. */
uint32_t runner_busy(const struct job *jobs, uint32_t cnt, bool wait);
/* Waits. `plan` gets what was planned (plan_free). */
void runner_collect(const struct job *job, struct outcome *out, struct plan *plan);
/* Ends a run of which nothing is wanted any more. */
void runner_drop(const struct job *job);
/* Leaves out faults while the same promise stays broken; *best is the last run that broke it. */
void runner_shrink(const struct sim_setup *setup, struct plan *plan, struct outcome *best);
/* Faults that are not left out. */
uint32_t runner_kept(const struct plan *plan);
/* mutants.c: switches one on for every run of this process. false after a message: unknown. */
bool mutants_switch_on(const char *name);
/* Each of `only` (NAME,NAME..., NULL: all) against up to `seed_max` seeds; a table. 0 if all were
 * caught. */
int mutants_run(const struct sim_setup *setup, const char *only, uint64_t seed_max, uint32_t jobs,
                bool tap);

#endif
