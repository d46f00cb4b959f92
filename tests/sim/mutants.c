/* Teeth: our own code with one mistake switched on, against seed after seed until a promise breaks.
 * Only in the program that is built with SES_MUTANTS. */
#include "tests/sim/runner.h"

#ifdef SES_MUTANTS
enum ses_mutant ses_mutant_on;

#define AHEAD_MAX 16u

struct mutant {
    const char *name, *text;
};
static const struct mutant mutants[SES_MUTANT_CNT] = {
    [SES_MUTANT_NONE] = {"NONE", "the code as it is"},
#define SES_X(name, text) [SES_MUTANT_##name] = {#name, text},
    SES_MUTANTS_LIST(SES_X)
#undef SES_X
};

/* SES_MUTANT_CNT after a message: there is none of these `len` letters. */
static uint32_t find(const char *name, size_t len)
{
    for (uint32_t i = 0; i < SES_MUTANT_CNT; i++) {
        if (strlen(mutants[i].name) == len && memcmp(mutants[i].name, name, len) == 0) {
            return i;
        }
    }
    fprintf(stderr, "sim_mutants: no mutant is called '%.*s'; base/mutant.h lists them\n", (int)len,
            name);
    return SES_MUTANT_CNT;
}

bool mutants_switch_on(const char *name)
{
    const uint32_t mutant = find(name, strlen(name));
    ses_mutant_on = (enum ses_mutant)mutant;
    return mutant != SES_MUTANT_CNT;
}

static bool choose(bool chosen[SES_MUTANT_CNT], const char *only)
{
    for (const char *at = only; at != NULL && *at != 0;) {
        const size_t len = strcspn(at, ",");
        const uint32_t mutant = find(at, len);
        if (mutant == SES_MUTANT_CNT) {
            return false;
        }
        chosen[mutant] = true;
        at += at[len] == ',' ? len + 1 : len;
    }
    return true;
}

static bool catches(const struct job *job, struct outcome *out)
{
    struct outcome *o = ses_alloc(1, sizeof *o);
    struct plan plan;
    SES_ASSERT(o != NULL);
    runner_collect(job, o, &plan);
    const bool failed = o->verdict.failed;
    if (failed) {
        *out = *o;
    }
    plan_free(&plan);
    ses_free(o);
    return failed;
}

/* The first seed that catches the mutant, 0 if none does. */
static uint64_t hunt(const struct sim_setup *base, uint64_t seed_max, uint32_t jobs,
                     struct outcome *out)
{
    struct job running[AHEAD_MAX];
    uint32_t cnt = 0;
    uint64_t caught = 0;
    uint64_t next = 1;
    while (caught == 0 && (next <= seed_max || cnt > 0)) {
        const bool more = next <= seed_max && cnt < AHEAD_MAX;
        if (more && runner_busy(running, cnt, false) < jobs) {
            struct sim_setup setup = *base;
            setup.seed = next++;
            running[cnt++] = runner_spawn(&setup, false);
        } else if (!more || runner_busy(running, 1, false) == 0) { /* in order: the lowest counts */
            caught = catches(&running[0], out) ? running[0].seed : 0;
            memmove(running, running + 1, --cnt * sizeof running[0]);
        } else {
            (void)runner_busy(running, cnt, true);
        }
    }
    for (uint32_t i = 0; i < cnt; i++) {
        runner_drop(&running[i]);
    }
    return caught;
}

static bool judge(uint32_t number, uint32_t mutant, uint64_t caught, uint64_t seed_max,
                  const struct outcome *o, bool tap)
{
    const bool good = mutant == SES_MUTANT_NONE ? caught == 0 : caught != 0;
    const char *name = mutants[mutant].name;
    if (tap) {
        printf("%sok %u - %s: %s\n", good ? "" : "not ", number, name,
               caught != 0 ? o->verdict.promise : "kept every promise");
    }
    if (caught != 0) {
        printf("%s%-22s %-5s seed %2" PRIu64 "  %s\n%s%34s %s\n", tap ? "# " : "", name,
               o->verdict.promise, caught, mutants[mutant].text, tap ? "# " : "", "",
               o->verdict.text);
    } else {
        printf("%s%-22s %-5s %2" PRIu64 " seeds %s\n", tap ? "# " : "", name,
               mutant == SES_MUTANT_NONE ? "kept" : "MISSED", seed_max, mutants[mutant].text);
    }
    fflush(stdout);
    return good;
}

int mutants_run(const struct sim_setup *setup, const char *only, uint64_t seed_max, uint32_t jobs,
                bool tap)
{
    bool chosen[SES_MUTANT_CNT] = {0};
    uint32_t bad = 0;
    uint32_t cnt = 0;
    if (!choose(chosen, only)) {
        return 2;
    }
    struct outcome *o = ses_alloc(1, sizeof *o);
    SES_ASSERT(o != NULL);
    for (uint32_t i = 0; i < SES_MUTANT_CNT; i++) {
        if (only != NULL && !chosen[i]) {
            continue;
        }
        ses_mutant_on = (enum ses_mutant)i;
        const uint64_t caught = hunt(setup, seed_max, jobs < AHEAD_MAX ? jobs : AHEAD_MAX, o);
        bad += !judge(++cnt, i, caught, seed_max, o, tap);
    }
    printf("%s%u mutants, %u not as they should be\n", tap ? "# " : "", cnt, bad);
    if (tap) {
        printf("1..%u\n", cnt);
    } else {
        printf("more about one: make sim MUTANT=NAME SEED=N HOURS=%" PRIu64 "\n", setup->hours_max);
    }
    ses_free(o);
    return bad == 0 && cnt > 0 ? 0 : 1;
}
#else
static const char none[] = "this program was built without mutants: use sim_mutants\n";

bool mutants_switch_on(const char *name)
{
    (void)name;
    fputs(none, stderr);
    return false;
}

int mutants_run(const struct sim_setup *setup, const char *only, uint64_t seed_max, uint32_t jobs,
                bool tap)
{
    (void)setup;
    (void)only;
    (void)seed_max;
    (void)jobs;
    (void)tap;
    fputs(none, stderr);
    return 2;
}
#endif
