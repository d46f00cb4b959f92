/* Runs seeds, each in a process of its own, on as many processors as given. A seed is run twice and
 * must give the same trace; a seed that breaks a promise is run again with fewer and fewer faults,
 * until none can be left out (docs/testing.md). */
#include <getopt.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/tap.h"
#include "tests/sim/sim.h"

#define SHRINK_RUNS 40u
#define JOBS_MAX 64u

struct options {
    uint64_t first, cnt;
    uint32_t jobs;
    bool twice, tap, shrink;
    struct sim_setup setup;
};
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
        sim_run(&second, setup, NULL, NULL);
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

static struct job spawn(const struct sim_setup *setup, bool twice)
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

static void collect(const struct job *job, struct outcome *out, struct plan *plan)
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

static bool breaks(const struct sim_setup *setup, const struct plan *plan, const char *promise,
                   struct outcome *out)
{
    struct sim_setup again = *setup;
    struct plan ignored;
    again.plan = plan;
    again.trace = false;
    const struct job job = spawn(&again, false);
    collect(&job, out, &ignored);
    plan_free(&ignored);
    return out->verdict.failed && strcmp(out->verdict.promise, promise) == 0;
}

/* ---- shrinking: leaves out halves, quarters, ... of the faults while the promise stays broken */
static uint32_t kept(const struct plan *plan)
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

static void shrink(const struct sim_setup *setup, struct plan *plan, struct outcome *best)
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
    for (uint32_t len = (kept(plan) + 1) / 2; len > 0 && runs < SHRINK_RUNS;) {
        bool shorter = false;
        for (uint32_t skip = 0; skip < kept(plan) && runs < SHRINK_RUNS;) {
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

/* ---- telling ---- */
static void tell_broken(const struct sim_setup *setup, struct outcome *o, struct plan *plan,
                        bool shorter)
{
    printf("# seed %" PRIu64 ": %s: %s\n", setup->seed, o->verdict.promise, o->verdict.text);
    printf("#   again: make sim SEED=%" PRIu64 " NODES=%u HOURS=%" PRIu64 "\n", setup->seed,
           setup->nodes, setup->hours_max);
    if (shorter && !o->differs && plan->cnt > 0) {
        shrink(setup, plan, o);
        printf("#   the shortest plan that breaks it, %u of %u faults:\n", kept(plan), plan->cnt);
        for (uint32_t i = 0; i < plan->cnt; i++) {
            char text[TRACE_CHARS];
            fault_text(text, &plan->faults[i]);
            if (!plan->faults[i].dropped) {
                printf("#     %s\n", text);
            }
        }
    }
    printf("#   the end of its trace:\n");
    for (uint32_t i = 0; i < TRACE_LINES; i++) {
        if (o->lines[i][0] != 0) {
            printf("#     %s\n", o->lines[i]);
        }
    }
}

struct totals {
    uint64_t run_cnt, failed_cnt, msgs, stored, delivered, crashes, faults, virtual_ms;
    uint64_t spread_ms_max;
};

static void add_up(struct totals *t, const struct verdict_of_run *v)
{
    t->run_cnt++;
    t->failed_cnt += v->failed;
    t->msgs += v->msg_cnt;
    t->stored += v->stored_cnt;
    t->delivered += v->delivered_cnt;
    t->crashes += v->crash_cnt;
    t->faults += v->fault_cnt;
    t->virtual_ms += v->virtual_ms;
    t->spread_ms_max = v->spread_ms_max > t->spread_ms_max ? v->spread_ms_max : t->spread_ms_max;
}

static void take(const struct options *opt, const struct job *job, struct totals *totals)
{
    struct outcome *o = ses_alloc(1, sizeof *o);
    struct plan plan;
    struct sim_setup setup = opt->setup;
    SES_ASSERT(o != NULL);
    setup.seed = job->seed;
    collect(job, o, &plan);
    add_up(totals, &o->verdict);
    if (o->verdict.failed) {
        tell_broken(&setup, o, &plan, opt->shrink);
    }
    if (opt->tap) {
        printf("%sok %" PRIu64 " - seed %" PRIu64 ": %u nodes, %u messages, %u faults\n",
               o->verdict.failed ? "not " : "", totals->run_cnt, job->seed, o->verdict.node_cnt,
               o->verdict.msg_cnt, o->verdict.fault_cnt);
    } else if (opt->cnt <= 4 || o->verdict.failed) {
        printf("seed %" PRIu64 ": %s, trace %016" PRIx64 " of %" PRIu64 " events, %u nodes, %u "
               "messages, %u stored, %u read, %" PRIu64 " crashes\n",
               job->seed, o->verdict.failed ? "BROKEN" : "kept", o->verdict.hash,
               o->verdict.event_cnt, o->verdict.node_cnt, o->verdict.msg_cnt, o->verdict.stored_cnt,
               o->verdict.delivered_cnt, o->verdict.crash_cnt);
    }
    fflush(stdout);
    plan_free(&plan);
    ses_free(o);
}

static struct totals run_all(const struct options *opt)
{
    struct totals totals = {0};
    struct job jobs[JOBS_MAX];
    uint32_t running = 0;
    uint64_t next = 0;
    while (next < opt->cnt || running > 0) {
        while (next < opt->cnt && running < opt->jobs) {
            struct sim_setup setup = opt->setup;
            setup.seed = opt->first + next++;
            jobs[running++] = spawn(&setup, opt->twice);
        }
        take(opt, &jobs[0], &totals); /* in order: the output is the same on every machine */
        memmove(jobs, jobs + 1, --running * sizeof jobs[0]);
    }
    return totals;
}

static const char usage[] =
    "usage: sim [--seed N] [--seeds N] [--hours N] [--nodes N] [--people N] [--jobs N]\n"
    "           [--twice] [--trace] [--tap] [--no-shrink]\n";

static bool parse(struct options *opt, int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", 1, NULL, 's'},      {"seeds", 1, NULL, 'n'},  {"hours", 1, NULL, 'h'},
        {"nodes", 1, NULL, 'm'},     {"people", 1, NULL, 'p'}, {"jobs", 1, NULL, 'j'},
        {"twice", 0, NULL, '2'},     {"trace", 0, NULL, 't'},  {"tap", 0, NULL, 'T'},
        {"no-shrink", 0, NULL, 'S'}, {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        const uint64_t value = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
        switch (c) {
        case 's':
            opt->first = value;
            break;
        case 'n':
            opt->cnt = value;
            break;
        case 'h':
            opt->setup.hours_max = value;
            break;
        case 'm':
            opt->setup.nodes = (uint32_t)value;
            break;
        case 'p':
            opt->setup.people = (uint32_t)value;
            break;
        case 'j':
            opt->jobs = (uint32_t)value;
            break;
        case '2':
            opt->twice = true;
            break;
        case 't':
            opt->setup.trace = true;
            break;
        case 'T':
            opt->tap = true;
            break;
        case 'S':
            opt->shrink = false;
            break;
        default:
            return false;
        }
    }
    return optind == argc && opt->setup.hours_max >= 2 && opt->jobs >= 1 && opt->jobs <= JOBS_MAX &&
           opt->setup.nodes <= SIM_NODES_MAX && opt->setup.people < SIM_PEOPLE_MAX;
}

int main(int argc, char **argv)
{
    struct options opt = {
        .first = 1, .cnt = 1, .jobs = 2, .shrink = true, .setup = {.hours_max = 4}};
    if (!parse(&opt, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    const uint64_t start_ms = ses_mono_ms();
    const struct totals t = run_all(&opt);
    const uint64_t took_ms = ses_mono_ms() - start_ms + 1;
    printf("%s%" PRIu64 " seeds, %" PRIu64 " failed: %" PRIu64
           " h of virtual time in %.1f s (%.0fx), "
           "%" PRIu64 " faults, %" PRIu64 " crashes, %" PRIu64 " messages, %" PRIu64 " stored, "
           "%" PRIu64 " read\n",
           opt.tap ? "# " : "", t.run_cnt, t.failed_cnt, t.virtual_ms / SIM_HOUR_MS,
           (double)took_ms / 1000, (double)t.virtual_ms / (double)took_ms, t.faults, t.crashes,
           t.msgs, t.stored, t.delivered);
    if (opt.tap) {
        printf("1..%" PRIu64 "\n", t.run_cnt);
    }
    return t.failed_cnt == 0 ? 0 : 1;
}
