/* Runs seeds, each in a process of its own, on as many processors as given. A seed is run twice and
 * must give the same trace; a seed that breaks a promise is run again with fewer and fewer faults,
 * until none can be left out (docs/testing.md). */
#include <errno.h>
#include <getopt.h>
#include <unistd.h>

#include "tests/sim/runner.h"

struct options {
    uint64_t first, cnt;
    uint32_t jobs;
    bool twice, tap, shrink;
    const char *mutants; /* NULL: none */
    const char *mutate;  /* NULL: the code as it is */
    struct sim_setup setup;
};
/* ---- telling ---- */
static void tell_broken(const struct options *opt, const struct sim_setup *setup, struct outcome *o,
                        struct plan *plan)
{
    printf("# seed %" PRIu64 ": %s: %s\n", setup->seed, o->verdict.promise, o->verdict.text);
    printf("#   again: make sim SEED=%" PRIu64 " NODES=%u HOURS=%" PRIu64 "%s%s\n", setup->seed,
           setup->nodes, setup->hours_max, opt->mutate != NULL ? " MUTANT=" : "",
           opt->mutate != NULL ? opt->mutate : "");
    if (opt->shrink && !o->differs && plan->cnt > 0) {
        runner_shrink(setup, plan, o);
        printf("#   the shortest plan that breaks it, %u of %u faults:\n", runner_kept(plan),
               plan->cnt);
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
    uint64_t spread_ms_max, epochs, fetches, walks;
    uint64_t deleted, demands, shown, paid;
    uint64_t memory_bytes_max, memory_percent_max;
    uint64_t seen[SEEN_CNT];
};

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_up(struct totals *t, const struct verdict_of_run *v)
{
    t->run_cnt++;
    t->failed_cnt += v->failed;
    t->msgs += v->msg_cnt;
    t->stored += v->stored_cnt;
    t->delivered += v->delivered_cnt;
    t->crashes += v->crash_cnt;
    t->faults += v->fault_cnt;
    t->epochs += v->epoch_cnt;
    t->fetches += v->fetch_cnt;
    t->walks += v->walk_cnt;
    t->deleted += v->deleted_cnt;
    t->demands += v->demand_cnt;
    t->shown += v->shown_cnt;
    t->paid += v->paid_cnt;
    for (uint32_t i = 0; i < SEEN_CNT; i++) {
        t->seen[i] += v->seen[i];
    }
    t->virtual_ms += v->virtual_ms;
    t->spread_ms_max = most(t->spread_ms_max, v->spread_ms_max);
    t->memory_bytes_max = most(t->memory_bytes_max, v->memory_bytes_max);
    t->memory_percent_max = most(t->memory_percent_max, v->memory_percent_max);
}

static void take(const struct options *opt, const struct job *job, struct totals *totals)
{
    struct outcome *o = ses_alloc(1, sizeof *o);
    struct plan plan;
    struct sim_setup setup = opt->setup;
    SES_ASSERT(o != NULL);
    setup.seed = job->seed;
    runner_collect(job, o, &plan);
    add_up(totals, &o->verdict);
    if (o->verdict.failed) {
        tell_broken(opt, &setup, o, &plan);
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

static void tell_progress(const struct options *opt, const struct totals *t)
{
    if (opt->cnt > 4 && isatty(2) == 1) {
        fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " failed%s", t->run_cnt,
                opt->cnt, t->failed_cnt, t->run_cnt == opt->cnt ? "\n" : "");
    }
}

static struct totals run_all(const struct options *opt)
{
    struct totals totals = {0};
    struct job jobs[RUNNER_JOBS_MAX];
    uint32_t job_cnt = 0;
    uint64_t next = 0;
    while (next < opt->cnt || job_cnt > 0) {
        const bool more = next < opt->cnt && job_cnt < RUNNER_JOBS_MAX;
        const uint32_t busy = runner_busy(jobs, job_cnt, false);
        if (more && busy < opt->jobs) {
            struct sim_setup setup = opt->setup;
            setup.seed = opt->first + next++;
            jobs[job_cnt++] = runner_spawn(&setup, opt->twice);
        } else if (!more || runner_busy(jobs, 1, false) == 0) {
            take(opt, &jobs[0], &totals); /* in order: the output is the same on every machine */
            memmove(jobs, jobs + 1, --job_cnt * sizeof jobs[0]);
            tell_progress(opt, &totals);
        } else {
            (void)runner_busy(jobs, job_cnt, true);
        }
    }
    return totals;
}

static void tell_seen(const struct totals *t, const char *mark)
{
    for (uint32_t i = 0; i < SEEN_CNT; i++) {
        printf("%s%" PRIu64 " %s%s", i % 8 == 0 ? mark : "", t->seen[i],
               sim_seen_text((enum sim_seen)i), i % 8 == 7 || i + 1 == SEEN_CNT ? "\n" : ", ");
    }
}

static const char usage[] =
    "usage: sim [--seed N] [--seeds N] [--hours N] [--nodes N] [--people N] [--jobs N]\n"
    "           [--twice] [--trace] [--tap] [--no-shrink] [--mldsa]\n"
    "       sim_mutants --mutants all|NAME,NAME... [--seeds N] [--hours N] [--jobs N] [--tap]\n"
    "       sim_mutants --mutate NAME [options of sim]\n"
    "  --seed 1 --seeds 1  the first seed and how many from there\n"
    "  --hours 4           of virtual time, at least 2: the last one is calm\n"
    "  --nodes 0           of the network; 0: 3 to 10, by the seed\n"
    "  --people 0          who write and read; 0: 2 to 6, by the seed\n"
    "  --jobs 2            seeds at the same time\n"
    "  --twice             each seed again: the trace must be the same\n"
    "  --trace             print every event, and what the nodes log\n"
    "  --no-shrink         do not look for the faults that are needed\n"
    "  --mldsa             make every signature a real one\n"
    "  --mutants           for each the first seed that notices the mistake: a table\n"
    "  --mutate            the seeds as ever, with one mistake (base/mutant.h) in the code\n"
    "docs/testing.md tells what is simulated and judged.\n";

/* The argument of the option just read. */
static uint64_t number(const char *name, uint64_t min, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    const uint64_t value = strtoull(optarg, &end, 10);
    if (optarg[0] < '0' || optarg[0] > '9' || *end != 0 || errno != 0 || value < min ||
        value > max) {
        fprintf(stderr, "sim: --%s %s: must be a number from %" PRIu64 " to %" PRIu64 "\n", name,
                optarg, min, max);
        exit(2);
    }
    return value;
}

static bool parse(struct options *opt, int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", 1, NULL, 's'},      {"seeds", 1, NULL, 'n'},   {"hours", 1, NULL, 'h'},
        {"nodes", 1, NULL, 'm'},     {"people", 1, NULL, 'p'},  {"jobs", 1, NULL, 'j'},
        {"twice", 0, NULL, '2'},     {"trace", 0, NULL, 't'},   {"tap", 0, NULL, 'T'},
        {"no-shrink", 0, NULL, 'S'}, {"mutants", 1, NULL, 'M'}, {"mldsa", 0, NULL, 'D'},
        {"mutate", 1, NULL, 'x'},    {"help", 0, NULL, '?'},    {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 's':
            opt->first = number("seed", 0, INT64_MAX);
            break;
        case 'n':
            opt->cnt = number("seeds", 1, INT32_MAX);
            break;
        case 'h':
            opt->setup.hours_max = number("hours", 2, 10000);
            break;
        case 'm':
            opt->setup.nodes = (uint32_t)number("nodes", 0, SIM_NODES_MAX);
            break;
        case 'p':
            opt->setup.people = (uint32_t)number("people", 0, SIM_PEOPLE_MAX - 1);
            break;
        case 'j':
            opt->jobs = (uint32_t)number("jobs", 1, RUNNER_JOBS_MAX);
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
        case 'D':
            sim_mldsa = true;
            break;
        case 'M':
            opt->mutants = optarg;
            break;
        case 'x':
            opt->mutate = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct options opt = {
        .first = 1, .cnt = 1, .jobs = 2, .shrink = true, .setup = {.hours_max = 4}};
    if (!parse(&opt, argc, argv)) {
        const bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
        fputs(usage, asked ? stdout : stderr);
        return asked ? 0 : 2;
    }
    if (opt.mutate != NULL && !mutants_switch_on(opt.mutate)) {
        return 2;
    }
    if (opt.mutants != NULL) {
        const char *only = strcmp(opt.mutants, "all") == 0 ? NULL : opt.mutants;
        return mutants_run(&opt.setup, only, opt.cnt, opt.jobs, opt.tap);
    }
    const uint64_t start_ms = ses_mono_ms();
    const struct totals t = run_all(&opt);
    const uint64_t took_ms = ses_mono_ms() - start_ms + 1;
    const char *mark = opt.tap ? "# " : "";
    printf("%s%" PRIu64 " seeds, %" PRIu64 " failed: %" PRIu64
           " h of virtual time in %.1f s (%.0fx)\n",
           mark, t.run_cnt, t.failed_cnt, t.virtual_ms / SIM_HOUR_MS, (double)took_ms / 1000,
           (double)t.virtual_ms / (double)took_ms);
    printf("%s%" PRIu64 " faults, %" PRIu64 " crashes; %" PRIu64 " messages, %" PRIu64 " stored, "
           "%" PRIu64 " read; %" PRIu64 " fetches, %" PRIu64 " walks, %" PRIu64 " epochs judged\n",
           mark, t.faults, t.crashes, t.msgs, t.stored, t.delivered, t.fetches, t.walks, t.epochs);
    printf("%s%" PRIu64 " messages deleted; %" PRIu64 " demands on the chain, %" PRIu64
           " shown, %" PRIu64 " paid for\n",
           mark, t.deleted, t.demands, t.shown, t.paid);
    printf("%sa node had %" PRIu64 " KiB of memory at most, at rest %" PRIu64
           " %% of what it may\n",
           mark, t.memory_bytes_max >> 10, t.memory_percent_max);
    tell_seen(&t, mark);
    if (opt.tap) {
        printf("1..%" PRIu64 "\n", t.run_cnt);
    }
    return t.failed_cnt == 0 ? 0 : 1;
}
