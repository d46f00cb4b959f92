/* A run in a process of its own, and what it tells; the search for fewer faults. */
#include "tests/sim/runner.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHRINK_RUNS 40u

static void write_all(int fd, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        const ssize_t n = write(fd, at, len);
        if (n <= 0) {
            _exit(2);
        }
        at += n;
        len -= (size_t)n;
    }
}

static bool read_all(int fd, void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        const ssize_t n = read(fd, at, len);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* ---- one run in a process ---- */
static void child(int to, const struct sim_setup *setup, bool twice)
{
    struct outcome *o = ses_alloc(1, sizeof *o);
    struct plan plan = {0};
    struct verdict_of_run second;
    SES_ASSERT(o != NULL);
    sim_run(&o->verdict, setup, &plan, o->lines);
    if (twice && !o->verdict.failed) {
        struct sim_setup again = *setup;
        again.trace = false;
        sim_run(&second, &again, NULL, NULL);
        o->differs = second.hash != o->verdict.hash || second.event_cnt != o->verdict.event_cnt;
    }
    o->plan_cnt = plan.cnt;
    write_all(to, o, sizeof *o);
    if (plan.cnt > 0) {
        write_all(to, plan.faults, plan.cnt * sizeof *plan.faults);
    }
    const bool leaks_matter = !o->verdict.failed;
    plan_free(&plan);
    ses_free(o);
    fflush(stdout);
    if (leaks_matter) {
        exit(0);
    }
    _exit(0);
}

struct job runner_spawn(const struct sim_setup *setup, bool twice)
{
    int ends[2];
    fflush(stdout);
    SES_ASSERT(pipe(ends) == 0);
    const pid_t pid = fork();
    SES_ASSERT(pid >= 0);
    if (pid == 0) {
        (void)close(ends[0]);
        child(ends[1], setup, twice);
    }
    (void)close(ends[1]);
    return (struct job){.pid = pid, .from = ends[0], .seed = setup->seed};
}

uint32_t runner_busy(const struct job *jobs, uint32_t cnt, bool wait)
{
    struct pollfd ends[RUNNER_JOBS_MAX];
    uint32_t busy = 0;
    SES_ASSERT(cnt <= RUNNER_JOBS_MAX);
    for (uint32_t i = 0; i < cnt; i++) {
        ends[busy] = (struct pollfd){.fd = jobs[i].from, .events = POLLIN};
        busy += poll(&ends[busy], 1, 0) == 0; /* a process that is done writes, or is gone */
    }
    if (wait && busy > 0 && poll(ends, busy, -1) > 0) {
        return runner_busy(jobs, cnt, false);
    }
    return busy;
}

void runner_collect(const struct job *job, struct outcome *out, struct plan *plan)
{
    int status = 0;
    *plan = (struct plan){0};
    const bool whole = read_all(job->from, out, sizeof *out);
    if (whole && out->plan_cnt > 0) {
        plan->cnt = plan->cap = out->plan_cnt;
        plan->faults = ses_alloc(plan->cnt, sizeof *plan->faults);
        SES_ASSERT(plan->faults != NULL);
        if (!read_all(job->from, plan->faults, plan->cnt * sizeof *plan->faults)) {
            plan_free(plan);
        }
    }
    (void)close(job->from);
    (void)waitpid(job->pid, &status, 0);
    if (!whole || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        if (!whole) {
            memset(out, 0, sizeof *out);
        }
        out->verdict.failed = true;
        out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
        (void)snprintf(out->verdict.promise, sizeof out->verdict.promise, "B1");
        (void)snprintf(out->verdict.text, sizeof out->verdict.text, "the process ended by %s %d",
                       out->signal > 0 ? "signal" : "exit code",
                       out->signal > 0 ? out->signal : -out->signal);
    } else if (out->differs) {
        out->verdict.failed = true;
        (void)snprintf(out->verdict.promise, sizeof out->verdict.promise, "B2");
        (void)snprintf(out->verdict.text, sizeof out->verdict.text,
                       "the same seed gave two traces");
    }
}

void runner_drop(const struct job *job)
{
    (void)kill(job->pid, SIGKILL);
    (void)close(job->from);
    (void)waitpid(job->pid, NULL, 0);
}

static bool breaks(const struct sim_setup *setup, const struct plan *plan, const char *promise,
                   struct outcome *out)
{
    struct sim_setup again = *setup;
    struct plan ignored;
    again.plan = plan;
    again.trace = false;
    const struct job job = runner_spawn(&again, false);
    runner_collect(&job, out, &ignored);
    plan_free(&ignored);
    return out->verdict.failed && strcmp(out->verdict.promise, promise) == 0;
}

/* ---- shrinking: leaves out halves, quarters, ... of the faults while the promise stays broken */
uint32_t runner_kept(const struct plan *plan)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < plan->cnt; i++) {
        cnt += !plan->faults[i].dropped;
    }
    return cnt;
}

/* Drops `len` kept faults from the `skip`-th kept one on; how many there were. */
static uint32_t drop(struct plan *plan, uint32_t skip, uint32_t len, bool dropped,
                     const bool *before)
{
    uint32_t seen = 0;
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < plan->cnt; i++) {
        if (before[i]) {
            continue;
        }
        if (seen >= skip && seen < skip + len) {
            plan->faults[i].dropped = dropped;
            cnt++;
        }
        seen++;
    }
    return cnt;
}

static void remember(const struct plan *plan, bool *before)
{
    for (uint32_t i = 0; i < plan->cnt; i++) {
        before[i] = plan->faults[i].dropped;
    }
}

void runner_shrink(const struct sim_setup *setup, struct plan *plan, struct outcome *best)
{
    struct outcome *trial = ses_alloc(1, sizeof *trial);
    bool *before = ses_alloc(plan->cnt + 1u, sizeof *before);
    uint32_t runs = 0;
    char promise[8];
    SES_ASSERT(trial != NULL && before != NULL);
    memcpy(promise, best->verdict.promise, sizeof promise);
    for (uint32_t i = 0; i < plan->cnt; i++) { /* what comes after the end caused nothing */
        plan->faults[i].dropped = best->signal == 0 && plan->faults[i].at_ms > best->verdict.at_ms;
    }
    for (uint32_t len = (runner_kept(plan) + 1) / 2; len > 0 && runs < SHRINK_RUNS;) {
        bool shorter = false;
        for (uint32_t skip = 0; skip < runner_kept(plan) && runs < SHRINK_RUNS;) {
            remember(plan, before);
            (void)drop(plan, skip, len, true, before);
            runs++;
            if (breaks(setup, plan, promise, trial)) {
                *best = *trial;
                shorter = true;
            } else {
                (void)drop(plan, skip, len, false, before);
                skip += len;
            }
        }
        len = len > 1 ? len / 2 : shorter ? 1 : 0;
    }
    ses_free(before);
    ses_free(trial);
}
